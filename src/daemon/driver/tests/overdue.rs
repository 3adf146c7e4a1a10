//! Single rules of `start_deadline`, of what is named that a run waited for, and of `spread`.

use super::people::{Room, Wish};
use super::rules::{healthy, minutes, reported_end, statuses};
use super::*;
use crate::engine::pause::Scope;
use crate::engine::run::Status::{Due, Launching, Missed, Running, Skipped, Succeeded};
use crate::engine::run::Trigger;
use crate::engine::schedule::spread_offset;

fn cause_of(world: &World, nth: usize) -> &str {
    world.shelf.runs.values().nth(nth).and_then(Run::shown_cause).unwrap_or_default()
}

fn seconds(count: i64) -> TimeDelta {
    TimeDelta::seconds(count)
}

/// 2025-06-15 15:07, the first instant of a job of every minute.
fn first() -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_020, 0).unwrap()
}

fn every_minute(overlap: Overlap, catchup: Catchup) -> Arc<Job> {
    job("a", "* * * * *", overlap, catchup, limits(None, None))
}

#[test]
fn a_run_that_waits_too_long_for_another_one_is_missed_and_says_so() {
    let mut world = healthy(vec![within(&every_minute(Overlap::QueueAll, Catchup::None), 30)]);
    world.ecs.launches_hang = true;
    world.run_until(first() + seconds(85));
    assert_eq!(statuses(&world, "a"), [Running, Due]);
    let run = world.shelf.living()[0].clone();
    // The end is reported in the very turn of the deadline.
    world.real = first() + seconds(90);
    world.report(reported_end(&run));
    world.turn(false);
    assert_eq!(statuses(&world, "a"), [Succeeded, Missed]);
    let waited = "its start_deadline of 30s passed while it waited for run a-20250615T150700Z to end";
    assert_eq!((cause_of(&world, 1), world.launched_at.len()), (waited, 1));
}

#[test]
fn what_else_a_run_waited_for_is_named() {
    let two = || vec![within(&every_minute(Overlap::Skip, Catchup::None), 20), unscheduled("b", Overlap::Skip)];
    let mut world = healthy(two());
    world.room = Room { max_running: Some(1), ..Room::default() };
    world.restart();
    world.ecs.launches_hang = true;
    let job = JobName::new("b").unwrap();
    world.ask(Wish::Trigger { job, overlap: None, environment: BTreeMap::new() }).unwrap();
    world.run_until(first() + seconds(30));
    let slot = "its start_deadline of 20s passed while it waited for a slot (max_running = 1: run \
                b-20250615T150641Z-manual lives)";
    assert_eq!((statuses(&world, "a"), cause_of(&world, 0)), (vec![Missed], slot));

    let mut world = healthy(two());
    world.turn(false);
    use_up(&mut world, 0.001);
    world.run_until(first() + seconds(19));
    assert_eq!(statuses(&world, "a"), [Due]);
    world.run_until(first() + seconds(21));
    let quota = "its start_deadline of 20s passed while it waited for the launch quota: 0 before it, 0.001 a second";
    assert_eq!((statuses(&world, "a"), cause_of(&world, 0)), (vec![Missed], quota));

    let mut world = healthy(two());
    world.turn(false);
    use_up(&mut world, 0.001);
    world.run_until(first() + seconds(5));
    world.real = first() + seconds(50);
    world.restart();
    world.turn(false);
    let away = "its start_deadline of 20s passed while it waited for the daemon, which was away or could not save from \
                2025-06-15T15:07:00Z to 2025-06-15T15:07:50Z";
    assert_eq!((statuses(&world, "a"), cause_of(&world, 0)), (vec![Missed], away));
}

#[test]
fn an_instant_that_passed_unattended_beyond_its_deadline_is_missed_and_takes_nobodys_place() {
    let mut world = healthy(vec![within(&every_minute(Overlap::CancelRunning, Catchup::All), 30)]);
    world.ecs.launches_hang = true;
    world.run_until(first() + seconds(20));
    // On time for every other rule.
    world.real = first() + seconds(100);
    world.restart();
    world.run_until(world.real + seconds(15));
    assert_eq!(statuses(&world, "a"), [Running, Missed], "what runs is not cancelled for it");
    let away = "the daemon was away from 2025-06-15T15:07:";
    assert!(cause_of(&world, 1).starts_with(away), "{}", cause_of(&world, 1));
    assert!(cause_of(&world, 1).ends_with("; its start_deadline of 30s had passed"), "{}", cause_of(&world, 1));
}

#[test]
fn what_somebody_asked_for_has_its_deadline_from_then_on() {
    let mut world = healthy(vec![within(&unscheduled("a", Overlap::QueueAll), 60)]);
    world.ecs.launches_hang = true;
    let old = world.wall() - TimeDelta::days(200);
    world
        .ask(Wish::Backfill {
            job: JobName::new("a").unwrap(),
            from: old,
            until: world.wall(),
            overlap: Overlap::Allow,
        })
        .unwrap();
    assert_eq!(statuses(&world, "a"), [Launching]);
}

#[test]
fn a_whole_queue_that_is_overdue_at_once_is_missed() {
    let secondly = job("a", "* * * * * *", Overlap::Skip, Catchup::None, limits(None, None));
    let mut world = healthy(vec![within(&secondly, 60), unscheduled("b", Overlap::Skip)]);
    world.room = Room { max_running: Some(1), ..Room::default() };
    world.restart();
    world.ecs.launches_hang = true;
    let (name, now) = (|name| JobName::new(name).unwrap(), world.wall());
    let trigger = Wish::Trigger { job: name("b"), overlap: None, environment: BTreeMap::new() };
    let backfill = Wish::Backfill { job: name("a"), from: now - seconds(999), until: now, overlap: Overlap::QueueAll };
    world.ask(trigger).unwrap();
    world.ask(backfill).unwrap();
    assert_eq!(statuses(&world, "a"), [Due; 1_000]);
    world.run_until(world.real + seconds(63));
    let missed = world.shelf.runs.values().filter(|run| run.trigger == Trigger::Backfill);
    assert!(missed.clone().count() == 1_000 && missed.clone().all(|run| run.status() == Missed));
    // An instant of the schedule went before the backfill, and it is this one that waited for the slot.
    let is_slot = |run: &Run| run.shown_cause().is_some_and(|cause| cause.contains("max_running = 1: run b-"));
    assert!(world.shelf.runs.values().any(is_slot));
}

/// A job that leaves between four and ten minutes after its instants, and how long after them.
pub(super) fn spread(job: &Arc<Job>) -> (Arc<Job>, TimeDelta) {
    let instance = Instance::new("prod").unwrap();
    let offset_in = |seconds| spread_offset(&instance, &job.name, Duration::from_secs(seconds));
    let seconds = (600..).find(|seconds| (minutes(4)..minutes(10)).contains(&offset_in(*seconds))).unwrap();
    (otherwise(job, |job| job.admission.spread = Duration::from_secs(seconds)), offset_in(seconds))
}

#[test]
fn a_spread_job_leaves_later_and_keeps_its_instant() {
    let (job, offset) = spread(&every_minute(Overlap::Skip, Catchup::None));
    let mut world = healthy(vec![job]);
    assert_eq!(world.driver.jobs()[0].next_at, Some(first() + offset));
    world.run_until(first() + offset - TimeDelta::milliseconds(1));
    assert_eq!(world.shelf.runs.len(), 0);
    // What it holds back is held back over a restart too, and on time afterwards.
    world.restart();
    world.run_until(first() + offset + seconds(40));
    let run = world.shelf.runs.values().next().unwrap();
    assert_eq!((run.scheduled_at, run.trigger, run.status()), (first(), Trigger::Schedule, Succeeded));
    assert_eq!(world.launched_at, [first() + offset]);
    world.restart();
    world.run_until(first() + offset + minutes(2) + seconds(20));
    assert_eq!((statuses(&world, "a"), world.launched_at.len()), (vec![Succeeded; 3], 3));
    assert!(world.shelf.runs.values().all(|run| run.trigger == Trigger::Schedule));
}

#[test]
fn what_a_spread_holds_back_leaves_at_once_when_it_is_made_shorter_and_once_when_it_is_made_longer() {
    let base = every_minute(Overlap::Allow, Catchup::None);
    let (long, offset) = spread(&base);
    let mut world = healthy(vec![Arc::clone(&long)]);
    world.run_until(first() + minutes(3) + seconds(10));
    assert!(world.shelf.runs.is_empty());
    world.ask(Wish::Reload(vec![base], world.room.clone())).unwrap();
    let at_once: Vec<Trigger> = world.shelf.runs.values().map(|run| run.trigger).collect();
    assert_eq!((at_once, world.launched_at.len()), (vec![Trigger::Schedule; 4], 4));
    world.ask(Wish::Reload(vec![long], world.room.clone())).unwrap();
    world.run_until(first() + minutes(4) + offset - seconds(1));
    assert_eq!(world.shelf.runs.len(), 4, "nothing leaves twice, and nothing before its place");
    world.run_until(first() + minutes(4) + offset + seconds(15));
    assert_eq!(world.shelf.runs.len(), 5);
}

#[test]
fn what_a_spread_holds_back_stays_held_back_by_a_pause() {
    let base = every_minute(Overlap::Allow, Catchup::None);
    let mut world = healthy(vec![spread(&base).0]);
    world.run_until(first() + minutes(1) + seconds(10));
    world.ask(Wish::Pause(Scope::All, None)).unwrap();
    world.ask(Wish::Reload(vec![base], world.room.clone())).unwrap();
    assert_eq!(statuses(&world, "a"), [Skipped, Skipped]);
}
