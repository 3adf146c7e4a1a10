//! Single rules of who is told what: over restarts, absences, pauses and reloads.

use std::collections::BTreeMap;

use super::pauses::{end_next_with, minute};
use super::people::Wish;
use super::rules::{healthy, minutes, statuses};
use super::world::World;
use super::*;
use crate::engine::notice::{ChannelId, Notice, NotifyRule, On, Repeat};
use crate::engine::pause::Scope;
use crate::engine::run::Status::{Failed, Missed, Skipped, Succeeded};
use crate::store::NoticeTurn;

const BAD: [On; 6] = [On::Failed, On::TimedOut, On::Missed, On::Skipped, On::Unknown, On::Recovered];

fn telling(job: &Arc<Job>, on: impl IntoIterator<Item = On>, repeat: Repeat) -> Arc<Job> {
    otherwise(job, |job| {
        let rule = NotifyRule { on: on.into_iter().collect(), repeat, channel: ChannelId("a".into()) };
        let retry = RetryPolicy::new(Vec::new()).unwrap();
        job.definition = Arc::new(Definition { retry, notify: [rule].into(), ..Definition::clone(&job.definition) });
    })
}

fn every_minute(overlap: Overlap, catchup: Catchup) -> Arc<Job> {
    job("a", "* * * * *", overlap, catchup, limits(None, None))
}

/// What was owed so far, oldest first.
fn notices(world: &World) -> Vec<&Notice> {
    let mut notices: Vec<&Notice> = world.shelf.told.notices.values().collect();
    notices.sort_by_key(|notice| notice.at);
    world.shelf.keeps_its_notices();
    notices
}

fn told(world: &World) -> Vec<On> {
    notices(world).iter().map(|notice| notice.facts.on).collect()
}

#[test]
fn the_first_failure_and_the_recovery_are_told_and_a_restart_tells_nothing_twice() {
    for restarts in [false, true] {
        let mut world = healthy(vec![telling(&every_minute(Overlap::Allow, Catchup::All), BAD, Repeat::First)]);
        for exit_code in [0, 1, 1, 1, 0, 0, 1] {
            if restarts {
                world.restart();
            }
            end_next_with(&mut world, exit_code);
        }
        assert_eq!(statuses(&world, "a"), [Succeeded, Failed, Failed, Failed, Succeeded, Succeeded, Failed]);
        assert_eq!(told(&world), [On::Failed, On::Recovered, On::Failed], "restarts: {restarts}");
        assert_eq!(notices(&world)[1].facts.failed_in_a_row, 3);
        assert_eq!(notices(&world)[0].facts.next_at, Some(minute(2)));
    }
}

#[test]
fn the_failure_that_pauses_a_job_says_so_and_its_recovery_is_told_though_somebody_resumed_it() {
    let pausing = otherwise(&telling(&every_minute(Overlap::Allow, Catchup::All), BAD, Repeat::Every), |job| {
        job.admission.pause_after = Some(2);
    });
    let mut world = healthy(vec![pausing]);
    end_next_with(&mut world, 1);
    end_next_with(&mut world, 1);
    let paused: Vec<_> =
        notices(&world).iter().map(|notice| (notice.facts.paused.clone(), notice.facts.next_at)).collect();
    assert_eq!(paused, [(None, Some(minute(1))), (Some("pause_after = 2".to_owned()), None)]);
    world.run_until(world.real + minutes(2));
    assert_eq!(told(&world), [On::Failed; 2], "the pause itself tells nobody more");
    world.restart();
    world.ask(Wish::Resume(Scope::Job(JobName::new("a").unwrap()))).unwrap();
    world.restart();
    end_next_with(&mut world, 0);
    assert_eq!(told(&world), [On::Failed, On::Failed, On::Recovered]);
}

#[test]
fn an_absence_makes_one_notice_and_the_next_one_another() {
    let mut world = healthy(vec![telling(&every_minute(Overlap::Allow, Catchup::None), BAD, Repeat::First)]);
    world.run_until(minute(0) + TimeDelta::seconds(30));
    for _ in 0..2 {
        world.real += minutes(30);
        world.restart();
        world.run_until(world.real + minutes(1) + TimeDelta::seconds(30));
    }
    let missed = statuses(&world, "a").into_iter().filter(|status| *status == Missed).count() as u64;
    let owed = notices(&world);
    assert_eq!(owed.iter().map(|notice| notice.facts.on).collect::<Vec<_>>(), [On::Missed; 2]);
    assert!(missed > 50, "{missed}");
    assert_eq!(owed.iter().map(|notice| notice.facts.others + 1).sum::<u64>(), missed);
    assert_eq!(owed[0].facts.others_from, Some(minute(1)));
}

#[test]
fn a_job_fails_until_one_of_its_runs_succeeds_and_while_nothing_began_after_a_missed_instant() {
    let often = job("a", "*/5 * * * *", Overlap::Allow, Catchup::None, limits(None, None));
    // Whether anybody is told makes no difference to how it stands.
    let told = telling(&often, BAD, Repeat::First);
    let untold = otherwise(&told, |job| {
        job.definition = Arc::new(Definition { notify: Arc::default(), ..Definition::clone(&job.definition) });
    });
    for often in [told, untold] {
        fails_and_recovers(healthy(vec![often]));
    }
}

fn fails_and_recovers(mut world: World) {
    let view = |world: &World| (world.driver.jobs()[0].failing, world.driver.jobs()[0].living);
    for (exit_code, fails) in [(0, false), (1, true), (1, true), (0, false)] {
        end_next_with(&mut world, exit_code);
        assert_eq!(view(&world), (fails, 0), "after exit code {exit_code}");
        world.restart();
        assert_eq!(view(&world), (fails, 0), "a restart knows it too");
    }
    world.real += minutes(24);
    world.restart();
    world.turn(false);
    assert_eq!(*statuses(&world, "a").last().unwrap(), Missed);
    assert_eq!(view(&world), (true, 0));
    world.ecs.launches_hang = true;
    world.run_until(world.real + minutes(5));
    assert_eq!(view(&world), (false, 1), "a run began");
}

#[test]
fn instants_that_meet_the_same_run_are_told_once_and_those_that_meet_the_next_one_again() {
    let mut world = healthy(vec![telling(&every_minute(Overlap::Skip, Catchup::All), BAD, Repeat::First)]);
    for _ in 0..2 {
        let before = world.shelf.runs.len();
        world.ecs.launches_hang = true;
        while world.shelf.runs.len() < before + 4 {
            world.run_until(world.real + TimeDelta::seconds(10));
            world.restart();
        }
        world.ecs.launches_hang = false;
        world.ecs.end_all(world.real);
        world.run_until(world.real + TimeDelta::seconds(30));
    }
    let skipped = statuses(&world, "a").into_iter().filter(|status| *status == Skipped).count();
    assert!(skipped >= 6, "{skipped}");
    assert_eq!(told(&world), [On::Skipped; 2]);
}

#[test]
fn nobody_is_told_of_what_somebody_did() {
    let mut world = healthy(vec![telling(&every_minute(Overlap::Skip, Catchup::All), On::ALL, Repeat::Every)]);
    let job = JobName::new("a").unwrap();
    world.ecs.launches_hang = true;
    world.run_until(minute(0) + TimeDelta::seconds(20));
    assert_eq!(told(&world), [On::Started]);
    world.ask(Wish::Pause(Scope::All, None)).unwrap();
    world.ask(Wish::Trigger { job, overlap: None, environment: BTreeMap::new() }).unwrap();
    let run = world.shelf.living()[0].id.clone();
    world.run_until(minute(2) + TimeDelta::seconds(20));
    world.ask(Wish::Cancel(run)).unwrap();
    world.run_until(minute(3) + TimeDelta::seconds(20));
    assert_eq!(statuses(&world, "a").iter().filter(|status| **status == Skipped).count(), 4);
    assert_eq!(world.shelf.living().len(), 0);
    assert_eq!(told(&world), [On::Started], "a trigger was skipped, instants were paused, and the run was cancelled");
}

#[test]
fn a_run_tells_how_it_ended_though_its_job_is_gone_or_tells_nobody_any_more() {
    let job = telling(&every_minute(Overlap::Allow, Catchup::All), BAD, Repeat::Every);
    let quiet = otherwise(&job, |job| {
        job.definition = Arc::new(Definition { notify: Arc::default(), ..Definition::clone(&job.definition) });
    });
    for (new, zone) in [(vec![], None), (vec![quiet], Some("UTC"))] {
        let mut world = healthy(vec![Arc::clone(&job)]);
        world.ecs.launches_hang = true;
        world.run_until(minute(0) + TimeDelta::seconds(20));
        world.ask(Wish::Reload(new, world.room.clone())).unwrap();
        world.restart();
        world.ecs.end_all(world.real);
        world.ecs.tasks[0].exit_code = 1;
        world.run_until(minute(0) + TimeDelta::seconds(50));
        let facts = Arc::clone(&notices(&world).remove(0).facts);
        assert_eq!((facts.on, facts.timezone.as_deref()), (On::Failed, zone));
    }
}

#[test]
fn a_job_that_tells_nobody_owes_nothing_and_keeps_nothing() {
    let mut world = healthy(vec![every_minute(Overlap::Skip, Catchup::None)]);
    world.run_until(minute(0) + TimeDelta::seconds(30));
    world.real += minutes(30);
    world.restart();
    world.turn(false);
    let stands = world.driver.jobs.values().map(JobEntry::stands).collect::<Vec<_>>();
    assert_eq!(stands, [crate::engine::notice::Before::default()]);
    assert!(world.shelf.runs.len() > 20);
    assert_eq!(told(&world), []);
}

#[test]
fn dead_letters_are_owed_again_because_somebody_wants_it_and_that_is_recorded() {
    let mut world = healthy(vec![every_minute(Overlap::Skip, Catchup::None)]);
    world.turn(false);
    let asker = crate::engine::run::Asker { by: "ada".into(), reason: Some("it listens now".into()) };
    world.driver.order(Command::Revive { notices: vec!["n1".into(), "n2".into()], asker });
    let now = world.wall();
    let batch = world.driver.turn(vec![], now, false).unwrap();
    let revived = |id: &str| NoticeMove { id: id.into(), at: now, tries: 0, turn: NoticeTurn::Revived };
    assert_eq!(batch.notice_moves, [revived("n1"), revived("n2")]);
    let audit = &batch.audit[0];
    assert_eq!((audit.by.as_str(), audit.action.as_str()), ("ada", "notices"));
    assert_eq!(world.driver.answers(), [Ok(Done::Revived(2))]);
}
