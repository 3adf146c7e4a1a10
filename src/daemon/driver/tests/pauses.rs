//! Single rules of pauses: which instants they leave out, and how long they last.

use super::people::Wish;
use super::rules::{healthy, minutes, statuses};
use super::world::World;
use super::*;
use crate::engine::pause::Scope;
use crate::engine::run::Status::{self, Due, Failed, Running, Skipped, Succeeded};

fn only(job: &str) -> Scope {
    Scope::Job(JobName::new(job).unwrap())
}

fn every_minute(overlap: Overlap) -> Vec<Arc<Job>> {
    vec![job("a", "* * * * *", overlap, Catchup::All, limits(None, None))]
}

fn causes(world: &World) -> Vec<&str> {
    world.shelf.runs.values().filter_map(Run::shown_cause).collect()
}

/// 2025-06-15 15:07, the first instant of a job of every minute, and `minute` minutes later.
pub(super) fn minute(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_020 + minute * 60, 0).unwrap()
}

#[test]
fn instants_of_a_pause_are_skipped_with_who_and_nothing_of_the_past_fires_afterwards() {
    for restarts in [false, true] {
        let mut world = healthy(every_minute(Overlap::Allow));
        world.run_until(minute(0) + TimeDelta::seconds(30));
        world.ask(Wish::Pause(only("a"), None)).unwrap();
        world.run_until(minute(2) + TimeDelta::seconds(30));
        if restarts {
            world.restart();
            world.run_until(minute(3) + TimeDelta::seconds(30));
            world.leave();
            world.real = minute(5) + TimeDelta::seconds(30);
            world.restart();
        }
        world.run_until(minute(5) + TimeDelta::seconds(31));
        let done = world.ask(Wish::Resume(only("a"))).unwrap();
        assert!(matches!(done, Done::Resumed { lifted: Some(_), still: None }), "{done:?}");
        world.run_until(minute(6) + TimeDelta::seconds(20));
        let expected = [Succeeded, Skipped, Skipped, Skipped, Skipped, Skipped, Succeeded];
        assert_eq!(statuses(&world, "a"), expected);
        assert_eq!(causes(&world), ["the job was paused at 2025-06-15T15:07:30Z by ops"; 5]);
    }
}

#[test]
fn a_pause_ends_with_its_end_also_if_that_passes_while_nobody_looks() {
    let until = minute(2);
    let expected = [Skipped, Skipped, Skipped, Succeeded, Succeeded];
    for is_away in [false, true] {
        let mut world = healthy(every_minute(Overlap::Allow));
        world.turn(false);
        world.ask(Wish::Pause(Scope::All, Some(until))).unwrap();
        if is_away {
            world.real = minute(4);
            world.restart();
        }
        world.run_until(minute(4) + TimeDelta::seconds(20));
        assert_eq!((statuses(&world, "a"), world.shelf.pauses.len()), (expected.to_vec(), 0), "{is_away}");
        let reason = "all jobs were paused at 2025-06-15T15:06:41Z until 2025-06-15T15:09:00Z by ops";
        assert_eq!(causes(&world), [reason; 3]);
    }
}

#[test]
fn a_daemon_that_leaves_does_not_forget_a_pause_whose_instants_are_not_decided() {
    let mut world = healthy(every_minute(Overlap::Allow));
    world.turn(false);
    world.ask(Wish::Pause(only("a"), Some(minute(1)))).unwrap();
    world.real = minute(1) + TimeDelta::seconds(30);
    world.restart();
    world.turn(true);
    world.restart();
    world.turn(false);
    assert_eq!(statuses(&world, "a"), [Skipped, Skipped]);
}

#[test]
fn somebody_else_who_pauses_meanwhile_changes_nothing_for_what_came_before() {
    let mut world = healthy(every_minute(Overlap::Skip));
    world.ecs.launches_hang = true;
    world.run_until(minute(0) + TimeDelta::seconds(20));
    world.ask(Wish::Pause(only("a"), None)).unwrap();
    world.real = minute(2) + TimeDelta::seconds(1);
    world.restart();
    // Two instants wait for the first look at the run.
    world.turn(false);
    assert_eq!(statuses(&world, "a"), [Running]);
    world.ask(Wish::Pause(only("a"), None)).unwrap();
    world.ecs.end_all(world.real);
    world.run_until(minute(2) + TimeDelta::seconds(30));
    assert_eq!(statuses(&world, "a"), [Succeeded, Skipped, Skipped]);
}

#[test]
fn a_job_is_paused_as_long_as_it_or_all_jobs_are() {
    let mut world = healthy(every_minute(Overlap::Allow));
    world.turn(false);
    world.ask_all(vec![Wish::Pause(only("a"), None), Wish::Pause(Scope::All, None)]);
    world.run_until(minute(0) + TimeDelta::seconds(30));
    let done = world.ask(Wish::Resume(only("a"))).unwrap();
    assert!(matches!(done, Done::Resumed { lifted: Some(_), still: Some(_) }), "{done:?}");
    world.run_until(minute(1) + TimeDelta::seconds(30));
    assert_eq!(world.driver.jobs()[0].next_at, None);
    world.ask(Wish::Resume(Scope::All)).unwrap();
    assert_eq!(world.driver.jobs()[0].next_at, Some(minute(2)));
    world.run_until(minute(2) + TimeDelta::seconds(30));
    assert_eq!(statuses(&world, "a"), [Skipped, Skipped, Succeeded]);
}

#[test]
fn what_is_recorded_goes_on_and_what_somebody_asks_for_runs() {
    let mut world = healthy(every_minute(Overlap::QueueAll));
    world.ecs.launches_hang = true;
    world.run_until(minute(1) + TimeDelta::seconds(10));
    assert_eq!(statuses(&world, "a"), [Running, Due]);
    world.ask(Wish::Pause(Scope::All, None)).unwrap();
    world.ecs.launches_hang = false;
    world.ecs.end_all(world.real);
    let job = JobName::new("a").unwrap();
    world.ask(Wish::Trigger { job, overlap: None, environment: BTreeMap::new() }).unwrap();
    world.run_until(minute(1) + TimeDelta::seconds(50));
    assert_eq!(statuses(&world, "a"), [Succeeded; 3]);
}

#[test]
fn a_pause_lasts_on_a_clock_that_was_set_back_to_before_it_began() {
    let mut world = healthy(every_minute(Overlap::Allow));
    world.run_until(minute(1) + TimeDelta::seconds(10));
    world.ask(Wish::Pause(Scope::All, None)).unwrap();
    world.skew -= minutes(30);
    world.turn(false);
    let secondly = job("b", "*/10 * * * * *", Overlap::Allow, Catchup::All, limits(None, None));
    world.ask(Wish::Reload(vec![Arc::clone(&world.jobs[0]), secondly], world.room.clone())).unwrap();
    world.run_until(world.real + TimeDelta::seconds(40));
    assert_eq!(statuses(&world, "b"), [Skipped; 3]);
}

/// A job whose tasks fail, and which is paused after the second failure.
fn failing() -> World {
    let fails = otherwise(&every_minute(Overlap::Allow)[0], |job| {
        job.admission.pause_after = Some(2);
        let retry = RetryPolicy::new(Vec::new()).unwrap();
        job.definition = Arc::new(Definition { retry, ..Definition::clone(&job.definition) });
    });
    healthy(vec![fails])
}

/// Lets the next instant's task end with this exit code.
pub(super) fn end_next_with(world: &mut World, exit_code: i32) {
    let before = world.ecs.tasks.len();
    while world.ecs.tasks.len() == before {
        world.run_until(world.real + TimeDelta::milliseconds(100));
    }
    world.ecs.tasks[before].exit_code = exit_code;
    world.run_until(world.real + TimeDelta::seconds(20));
}

#[test]
fn failures_in_a_row_pause_their_job_and_are_counted_over_restarts() {
    let mut world = failing();
    for exit_code in [1, 0, 1] {
        end_next_with(&mut world, exit_code);
    }
    assert_eq!((statuses(&world, "a"), world.shelf.pauses.len()), (vec![Failed, Succeeded, Failed], 0));
    world.restart();
    end_next_with(&mut world, 1);
    let pause = &world.shelf.pauses[&only("a")];
    assert_eq!((pause.asker.by.as_str(), pause.until), ("pause_after = 2", None));
    let last = "a-20250615T151000Z";
    let why = format!("2 runs in a row ended badly, the last one is {last}");
    assert_eq!(pause.asker.reason, Some(why.clone()));
    let audit = world.shelf.audit.last().unwrap();
    let run = audit.run.as_ref().map(RunId::as_str);
    assert_eq!((audit.by.as_str(), run, audit.detail.as_ref()), ("pause_after = 2", Some(last), Some(&why)));
    world.run_until(world.real + minutes(2));
    assert_eq!(statuses(&world, "a")[4..], [Skipped; 2]);
}

#[test]
fn somebody_who_resumes_has_the_failures_counted_anew() {
    let mut world = failing();
    end_next_with(&mut world, 1);
    world.ask(Wish::Resume(only("a"))).unwrap();
    world.restart();
    end_next_with(&mut world, 1);
    assert_eq!(world.shelf.pauses.len(), 0);
    end_next_with(&mut world, 1);
    assert_eq!(world.shelf.pauses.len(), 1);
    world.ask(Wish::Resume(only("a"))).unwrap();
    end_next_with(&mut world, 1);
    assert_eq!(world.shelf.pauses.len(), 0);
}

#[test]
fn who_is_cancelled_says_nothing_about_the_job_and_no_rule_replaces_what_somebody_wanted() {
    let mut world = failing();
    end_next_with(&mut world, 1);
    world.ecs.launches_hang = true;
    world.run_until(world.real + minutes(1));
    let run = world.shelf.living()[0].id.clone();
    world.ask(Wish::Cancel(run.clone())).unwrap();
    world.run_until(world.real + TimeDelta::seconds(10));
    assert_eq!((world.shelf.runs[&run].status(), world.shelf.pauses.len()), (Status::Cancelled, 0));
    world.ecs.launches_hang = false;
    end_next_with(&mut world, 0);
    end_next_with(&mut world, 1);
    let until = world.wall() + minutes(60);
    let job = JobName::new("a").unwrap();
    world.ask(Wish::Pause(only("a"), Some(until))).unwrap();
    world.ask(Wish::Trigger { job, overlap: None, environment: BTreeMap::new() }).unwrap();
    world.ecs.tasks.last_mut().unwrap().exit_code = 1;
    world.run_until(world.real + TimeDelta::seconds(20));
    assert_eq!(world.shelf.pauses[&only("a")].until, Some(until));
}
