//! Single rules of a reload: what it leaves as it is, and from when on what it changes counts.

use super::people::{Answer, Wish};
use super::rules::{healthy, minutes, statuses};
use super::world::World;
use super::*;
use crate::engine::run::Status::{Due, Launching, Missed, Running, Skipped, Succeeded};
use crate::engine::run::Trigger;

fn seconds(count: i64) -> TimeDelta {
    TimeDelta::seconds(count)
}

/// 2025-06-15 15:07.
fn seven() -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_020, 0).unwrap()
}

fn allow(name: &str, schedule: &str) -> Arc<Job> {
    job(name, schedule, Overlap::Allow, Catchup::All, limits(None, None))
}

/// A job that leaves between four and ten minutes after its instants.
fn spread(job: &Arc<Job>) -> Arc<Job> {
    overdue::spread(job).0
}

fn reload(world: &mut World, jobs: Vec<Arc<Job>>) -> Changes {
    let room = world.room.clone();
    changes(world.ask(Wish::Reload(jobs, room)))
}

fn changes(answer: Answer) -> Changes {
    match answer {
        Ok(Done::Reloaded(changes)) => changes,
        other => panic!("{other:?}"),
    }
}

/// The seconds after 15:07 at which a job's instants lie.
fn instants(world: &World, name: &str) -> Vec<i64> {
    let runs = world.shelf.runs.values().filter(|run| run.job.as_str() == name);
    runs.map(|run| (run.scheduled_at - seven()).num_seconds()).collect()
}

#[test]
fn a_job_that_stays_as_it_is_keeps_its_mark_its_anchor_and_its_next_instant() {
    let (stays, rate, goes) = (allow("a", "*/7 * * * *"), allow("b", "rate(7 minutes)"), allow("c", "* * * * *"));
    let mut world = healthy(vec![Arc::clone(&stays), Arc::clone(&rate), goes]);
    world.run_until(seven() + minutes(4) + seconds(30));
    let before: Vec<_> = world.driver.jobs()[..2].iter().map(|view| (view.next_at, view.anchor)).collect();
    let marks = |world: &World| {
        [&world.driver.jobs[&stays.name].mark(), &world.driver.jobs[&rate.name].mark()].map(Clone::clone)
    };
    let marks_before = marks(&world);
    let changed = otherwise(&rate, |job| job.admission.overlap = Overlap::Skip);
    let new = allow("d", "* * * * *");
    let done = reload(&mut world, vec![Arc::clone(&stays), changed, new]);
    let name = |name| JobName::new(name).unwrap();
    let expected = Changes { added: vec![name("d")], changed: vec![name("b")], removed: vec![name("c")], unchanged: 1 };
    assert_eq!(done, expected);
    let after: Vec<_> = world.driver.jobs()[..2].iter().map(|view| (view.next_at, view.anchor)).collect();
    assert_eq!((after, marks(&world)), (before, marks_before));
    let detail = world.shelf.audit.last().and_then(|audit| audit.detail.clone());
    assert_eq!(detail.as_deref(), Some("1 added, 1 changed, 1 removed, 1 as before"));
    world.run_until(seven() + minutes(7) + seconds(30));
    assert_eq!((instants(&world, "a"), instants(&world, "b")), (vec![0, 420], vec![401]));
}

#[test]
fn a_changed_schedule_begins_at_the_reload_and_nothing_named_before_is_lost() {
    let (old, new) = (allow("a", "10 * * * * *"), allow("a", "20 * * * * *"));
    let mut world = healthy(vec![old]);
    world.run_until(seven() + seconds(40));
    // The reload comes in the turn of an instant.
    world.real = seven() + seconds(70);
    reload(&mut world, vec![new]);
    world.run_until(seven() + seconds(150));
    assert_eq!((instants(&world, "a"), statuses(&world, "a").len()), (vec![10, 70, 80, 140], 4));
    assert!(world.shelf.runs.values().all(|run| run.trigger == Trigger::Schedule));
}

#[test]
fn what_a_spread_held_back_of_a_changed_schedule_starts_at_once_whatever_catchup_says() {
    let none = |schedule| job("a", schedule, Overlap::Allow, Catchup::None, limits(None, None));
    let mut world = healthy(vec![spread(&none("10 * * * * *"))]);
    world.run_until(seven() + seconds(150));
    assert_eq!(world.shelf.runs.len(), 0);
    reload(&mut world, vec![spread(&none("20 * * * * *"))]);
    assert_eq!(instants(&world, "a"), [10, 70, 130]);
    assert_eq!(world.launched_at.len(), 3);
    world.run_until(seven() + minutes(14));
    assert_eq!(instants(&world, "a")[3], 200, "the new one begins at the reload");
}

#[test]
fn a_job_that_is_removed_finishes_its_runs_and_leaves_no_timer() {
    let queue = job("a", "* * * * *", Overlap::QueueAll, Catchup::All, limits(None, None));
    let (mut world, held_back) =
        (healthy(vec![Arc::clone(&queue), spread(&allow("b", "* * * * *"))]), allow("c", "0 3 1 1 *"));
    world.ecs.launches_hang = true;
    world.run_until(seven() + seconds(90));
    assert_eq!(statuses(&world, "a"), [Running, Due]);
    reload(&mut world, vec![held_back]);
    assert_eq!(statuses(&world, "b"), [Missed, Missed]);
    let reason = "the job left the configuration at 2025-06-15T15:08:30Z";
    assert_eq!(world.shelf.runs.values().last().and_then(Run::shown_cause), Some(reason));
    assert_eq!(world.driver.agenda.len(), 1);
    world.ecs.launches_hang = false;
    world.ecs.end_all(world.real);
    world.run_until(seven() + minutes(3));
    assert_eq!(statuses(&world, "a"), [Succeeded, Succeeded]);
    // Back again, it begins anew.
    world.run_until(seven() + minutes(5) + seconds(30));
    reload(&mut world, vec![queue]);
    world.run_until(seven() + minutes(6) + seconds(30));
    assert_eq!(instants(&world, "a"), [0, 60, 360]);
}

#[test]
fn a_job_that_leaves_and_comes_back_in_one_turn_begins_now() {
    let jobs = vec![spread(&allow("a", "* * * * *"))];
    let mut world = healthy(jobs.clone());
    world.run_until(seven() + seconds(90));
    let room = world.room.clone();
    let answers = world.ask_all(vec![Wish::Reload(Vec::new(), room.clone()), Wish::Reload(jobs, room)]);
    let counts: Vec<(usize, usize)> =
        answers.into_iter().map(changes).map(|changes| (changes.removed.len(), changes.added.len())).collect();
    assert_eq!((counts, statuses(&world, "a")), (vec![(1, 0), (0, 1)], vec![Missed, Missed]));
    world.restart();
    world.run_until(seven() + minutes(14));
    assert_eq!(instants(&world, "a")[..3], [0, 60, 120]);
}

#[test]
fn what_runs_is_untouched_and_what_is_triggered_in_the_same_turn_is_of_the_new_configuration() {
    let old = unscheduled("a", Overlap::Allow);
    let mut world = healthy(vec![Arc::clone(&old)]);
    world.ecs.launches_hang = true;
    let trigger = || Wish::Trigger { job: old.name.clone(), overlap: None, environment: BTreeMap::new() };
    world.ask(trigger()).unwrap();
    let room = world.room.clone();
    let new = vec![launching(&old, "other"), unscheduled("b", Overlap::Allow)];
    world.ask_all(vec![trigger(), Wish::Reload(new, room.clone()), trigger()]);
    let mut runs: Vec<&Run> = world.shelf.runs.values().collect();
    runs.sort_by_key(|run| run.scheduled_at);
    let launched: Vec<&str> = runs.iter().map(|run| run.definition.task.task_definition.as_str()).collect();
    assert_eq!(launched, ["hello", "hello", "other"]);
    let answers = world.ask_all(vec![Wish::Reload(Vec::new(), room), trigger()]);
    assert_eq!(answers[1], Err(Declined::NoJob(old.name.clone())));
    world.settle();
    assert_eq!(statuses(&world, "a"), [Succeeded; 3]);
}

#[test]
fn another_policy_or_definition_counts_for_whoever_waits_and_for_the_next_one() {
    let queue = job("a", "* * * * *", Overlap::QueueAll, Catchup::All, limits(None, None));
    let mut world = healthy(vec![Arc::clone(&queue)]);
    world.ecs.launches_hang = true;
    world.run_until(seven() + seconds(130));
    assert_eq!(statuses(&world, "a"), [Running, Due, Due]);
    let allow = otherwise(&launching(&queue, "other"), |job| job.admission.overlap = Overlap::Allow);
    reload(&mut world, vec![Arc::clone(&allow)]);
    assert_eq!(statuses(&world, "a"), [Running, Launching, Launching]);
    let skip = otherwise(&allow, |job| job.admission.overlap = Overlap::Skip);
    reload(&mut world, vec![skip]);
    world.run_until(seven() + seconds(190));
    assert_eq!(statuses(&world, "a"), [Running, Running, Running, Skipped]);
    let definitions: Vec<&str> =
        world.shelf.runs.values().map(|run| run.definition.task.task_definition.as_str()).collect();
    assert_eq!(definitions, ["hello", "hello", "hello", "other"]);
}

#[test]
fn a_firing_that_waits_for_a_look_is_decided_once_whatever_is_reloaded_meanwhile() {
    let skip = job("a", "* * * * *", Overlap::Skip, Catchup::All, limits(None, None));
    let changes = [
        launching(&skip, "other"),
        job("a", "30 * * * * *", Overlap::Skip, Catchup::All, limits(None, None)),
        otherwise(&skip, |job| job.admission.overlap = Overlap::Allow),
    ];
    for change in changes {
        let mut world = healthy(vec![Arc::clone(&skip)]);
        world.ecs.launches_hang = true;
        world.run_until(seven() + seconds(50));
        world.real = seven() + seconds(61);
        world.restart();
        world.turn(false);
        assert_eq!(statuses(&world, "a"), [Running], "the firing waits");
        reload(&mut world, vec![change]);
        let named = world.driver.next_turn_at();
        assert!(
            named.is_none_or(|at| at > world.wall()) || !world.driver.queue.is_empty(),
            "it does not spin: {named:?}"
        );
        world.run_until(seven() + seconds(80));
        assert_eq!(instants(&world, "a"), [0, 60]);
    }
}

#[test]
fn runs_that_begin_in_one_turn_take_turns_in_the_same_order_after_a_restart() {
    let queue = job("a", "* * * * *", Overlap::QueueAll, Catchup::All, limits(None, None));
    let mut world = healthy(vec![queue]);
    world.ecs.launches_hang = true;
    world.run_until(seven() - TimeDelta::milliseconds(1));
    // An instant, and the retry of an old one, whose name comes first.
    world.real = seven();
    let old = seven() - minutes(90);
    let former = RunId::from_text("a-former-run");
    let job = JobName::new("a").unwrap();
    world.ask(Wish::Retry { run: former, job, scheduled_at: old, frozen: None }).unwrap();
    assert_eq!(statuses(&world, "a"), [Due, Launching], "the retry waits");
    world.run_until(world.real + seconds(10));
    world.restart();
    world.run_until(world.real + seconds(20));
    assert_eq!((statuses(&world, "a"), world.launched_at.len()), (vec![Due, Running], 1), "and still does");
}
