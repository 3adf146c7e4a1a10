//! Single rules of the driver, each on a world with a healthy ECS.

use super::ecs::Mood;
use super::world::{World, rate};
use super::*;
use crate::engine::run::Status;
use crate::engine::run::Status::{Cancelled, Skipped, Succeeded};
use crate::engine::task::{ContainerFacts, LaunchAnswer, TaskFacts, TaskTimes};

pub(super) fn healthy(jobs: Vec<Arc<Job>>) -> World {
    let mut world = World::new(7, jobs);
    world.ecs.mood = Mood::Healthy;
    world
}

/// The statuses of a job's rows, oldest first.
pub(super) fn statuses(world: &World, name: &str) -> Vec<Status> {
    let runs = world.shelf.runs.values().filter(|run| run.job.as_str() == name);
    runs.map(Run::status).collect()
}

/// A look that found the run's task stopped with exit code 0.
pub(super) fn reported_end(run: &Run) -> Report {
    let facts = TaskFacts {
        task: run.followed_task().expect("it runs").clone(),
        last_status: "STOPPED".into(),
        stop_code: None,
        stopped_reason: None,
        times: TaskTimes::default(),
        described: None,
        containers: vec![ContainerFacts { name: "app".into(), essential: None, exit_code: Some(0), reason: None }],
    };
    Report { run: run.id.clone(), event: Event::Observed(facts), answers_call: false }
}

pub(super) fn minutes(count: i64) -> TimeDelta {
    TimeDelta::minutes(count)
}

#[test]
fn a_thousand_at_once_leave_in_one_batch_and_at_the_launch_rate_in_order() {
    let jobs = (0..1000).map(|nth| {
        // Names against the order of the instants: what counts is the instant.
        let schedule = if nth % 2 == 0 { "0 0 16 * * *" } else { "30 59 15 * * *" };
        job(&format!("job-{nth:04}"), schedule, Overlap::Skip, Catchup::All, Limits::default())
    });
    let mut world = healthy(jobs.collect());
    world.turn(false);
    let before = world.shelf.batches;
    world.real = DateTime::from_timestamp(1_750_003_200, 0).unwrap();
    world.turn(false);
    assert_eq!((world.shelf.batches - before, world.shelf.runs.len()), (1, 1000), "all instants are one batch");
    let due = world.real;
    let (per_second, burst) = rate();
    let launched = |world: &World| {
        let sent = world.shelf.runs.values().filter(|run| run.launch.is_some());
        sent.map(|run| run.scheduled_at).collect::<Vec<_>>()
    };
    assert_eq!(world.launched_at.len(), usize::try_from(burst).unwrap());
    world.run_until(due + TimeDelta::seconds(90));
    assert!(launched(&world).iter().all(|at| *at == due - TimeDelta::seconds(30)), "the earlier instant goes first");
    world.run_until(due + TimeDelta::seconds(210));
    assert_eq!(world.launched_at.len(), 1000);
    let last = *world.launched_at.last().unwrap() - due;
    let expected = (1000.0 - f64::from(burst)) / per_second;
    assert!((last.as_seconds_f64() - expected).abs() < 1.0, "drained in {last} instead of {expected} s");
}

#[test]
fn overlap_skip_records_the_firing_with_the_run_in_its_way() {
    let mut world = healthy(vec![job("a", "* * * * *", Overlap::Skip, Catchup::All, limits(Some(600), None))]);
    world.ecs.launches_hang = true;
    world.run_until(world.real + minutes(3));
    assert_eq!(statuses(&world, "a"), [Status::Running, Skipped, Skipped]);
    let reason = world.shelf.runs.values().nth(1).unwrap().shown_cause().unwrap().to_owned();
    assert_eq!(reason, "run a-20250615T150700Z still lives (overlap = \"skip\")");
}

#[test]
fn overlap_allow_runs_both() {
    let mut world = healthy(vec![job("a", "* * * * *", Overlap::Allow, Catchup::All, limits(Some(600), None))]);
    world.ecs.launches_hang = true;
    world.run_until(world.real + minutes(3));
    assert_eq!(statuses(&world, "a"), [Status::Running; 3]);
}

#[test]
fn overlap_queue_one_lets_one_wait_and_begins_it_when_the_first_has_ended() {
    let mut world = healthy(vec![job("a", "* * * * *", Overlap::QueueOne, Catchup::All, limits(Some(200), None))]);
    world.ecs.launches_hang = true;
    world.run_until(world.real + minutes(3));
    assert_eq!(statuses(&world, "a"), [Status::Running, Status::Due, Skipped]);
    world.ecs.launches_hang = false;
    world.run_until(world.real + minutes(1) + TimeDelta::seconds(20));
    assert_eq!(statuses(&world, "a")[..3], [Status::TimedOut, Succeeded, Skipped]);
}

#[test]
fn overlap_queue_all_runs_one_after_the_other_in_order() {
    let mut world = healthy(vec![job("a", "* * * * *", Overlap::QueueAll, Catchup::All, limits(Some(200), None))]);
    world.ecs.launches_hang = true;
    world.run_until(world.real + minutes(3));
    assert_eq!(statuses(&world, "a"), [Status::Running, Status::Due, Status::Due]);
    world.ecs.launches_hang = false;
    world.jobs.clear();
    world.restart();
    world.run_until(world.real + minutes(3));
    world.settle();
    assert_eq!(statuses(&world, "a"), [Status::TimedOut, Succeeded, Succeeded]);
}

#[test]
fn overlap_cancel_running_stops_the_old_run_before_the_new_one_begins() {
    let mut world = healthy(vec![job("a", "* * * * *", Overlap::CancelRunning, Catchup::All, limits(None, None))]);
    world.ecs.launches_hang = true;
    world.run_until(world.real + TimeDelta::seconds(80));
    assert_eq!(statuses(&world, "a"), [Status::Stopping, Status::Due]);
    world.ecs.launches_hang = false;
    world.settle();
    assert_eq!(statuses(&world, "a"), [Cancelled, Succeeded]);
    let reason = world.shelf.runs.values().next().unwrap().shown_cause().unwrap().to_owned();
    assert_eq!(reason, "replaced by run a-20250615T150800Z (overlap = \"cancel_running\")");
}

#[test]
fn an_end_that_is_reported_with_the_next_firing_makes_room_for_it() {
    let mut world = healthy(vec![job("a", "* * * * *", Overlap::Skip, Catchup::All, limits(None, None))]);
    world.ecs.launches_hang = true;
    world.run_until(world.real + TimeDelta::seconds(75));
    let run = world.shelf.living()[0].clone();
    let report = reported_end(&run);
    let batch = world.driver.turn(vec![report], world.wall() + minutes(1), false).expect("two runs changed");
    let statuses: Vec<Status> = batch.runs.iter().map(|save| save.run.status()).collect();
    assert_eq!(statuses, [Succeeded, Status::Launching]);
}

#[test]
fn a_report_in_the_turn_of_a_deadline_does_not_swallow_it() {
    let mut world = healthy(vec![job("a", "0 16 * * *", Overlap::Skip, Catchup::All, limits(None, Some(30)))]);
    world.ecs.launches_hang = true;
    world.real = DateTime::from_timestamp(1_750_003_200, 0).unwrap();
    world.run_until(world.real + TimeDelta::seconds(20));
    let run = world.shelf.living()[0].clone();
    let task = run.followed_task().expect("it runs").clone();
    let late = world.wall() + TimeDelta::seconds(20);
    let report = Report { run: run.id.clone(), event: Event::Missing(task), answers_call: false };
    let batch = world.driver.turn(vec![report], late, false).expect("the time-out is a change");
    assert_eq!(batch.runs[0].run.status(), Status::Stopping);
}

#[test]
fn a_limit_that_passed_while_the_daemon_was_away_is_enforced_by_its_first_turn() {
    let mut world = healthy(vec![job("a", "0 16 * * *", Overlap::Skip, Catchup::All, limits(None, Some(30)))]);
    world.ecs.launches_hang = true;
    world.real = DateTime::from_timestamp(1_750_003_200, 0).unwrap();
    world.run_until(world.real + TimeDelta::seconds(20));
    world.real += minutes(10);
    world.restart();
    world.turn(false);
    assert_eq!(statuses(&world, "a"), [Status::Stopping]);
}

#[test]
fn a_retry_that_waits_for_a_permit_still_ends_at_its_deadline() {
    let mut world = World::new(1, vec![job("a", "0 16 * * *", Overlap::Skip, Catchup::All, limits(Some(30), None))]);
    let slow = Bucket::new(0.001, 1, world.wall());
    let (instance, slots) = (Instance::new("prod").unwrap(), Slots::default());
    let setup = Setup { instance, term: Term(1), jobs: world.jobs.clone(), bucket: slow, slots };
    world.driver = Driver::new(setup, empty(), world.wall());
    let at = DateTime::from_timestamp(1_750_003_200, 0).unwrap();
    let batch = world.driver.turn(vec![], at, false).unwrap();
    let run = batch.runs[0].run.id.clone();
    world.driver.acts(at);
    let refused = LaunchAnswer::Refused { code: Some("ClientException".into()), message: String::new(), status: 400 };
    let report = Report { run, event: Event::Answered(refused), answers_call: true };
    world.driver.turn(vec![report], at + TimeDelta::seconds(1), false);
    world.driver.acts(at + TimeDelta::seconds(1));
    for second in 2..30 {
        world.driver.turn(vec![], at + TimeDelta::seconds(second), false);
        world.driver.acts(at + TimeDelta::seconds(second));
    }
    assert_eq!(world.driver.next_turn_at(), Some(at + TimeDelta::seconds(30)));
    let batch = world.driver.turn(vec![], at + TimeDelta::seconds(30), false).unwrap();
    assert_eq!(batch.runs[0].run.status(), Status::TimedOut);
}

fn empty() -> Loaded {
    Loaded { marks: Vec::new(), runs: Vec::new(), pauses: Vec::new(), last_commit_at: None }
}

#[test]
fn a_first_launch_that_waited_long_to_be_saved_has_its_limits_from_when_it_leaves() {
    let mut world = healthy(vec![job("a", "0 16 * * *", Overlap::Skip, Catchup::None, limits(Some(900), None))]);
    world.turn(false);
    let due = DateTime::from_timestamp(1_750_003_200, 0).unwrap();
    let late = due + TimeDelta::hours(2);
    let first = world.driver.turn(vec![], due, false).expect("a firing");
    world.shelf.commit(&first);
    assert_eq!(world.driver.acts(late), [], "its limits are over: they are saved anew first");
    let batch = world.driver.turn(vec![], late, false).expect("the run has changed");
    world.shelf.commit(&batch);
    let run = &batch.runs[0].run;
    assert_eq!((run.status(), run.deadline), (Status::Launching, Some(late + minutes(15))));
    assert!(matches!(world.driver.acts(late)[..], [Act::Launch { .. }]));
}

#[test]
fn leaving_begins_nothing_but_takes_answers() {
    let mut world = healthy(vec![job("a", "* * * * *", Overlap::Allow, Catchup::All, limits(None, None))]);
    world.turn(false);
    for _ in 0..10 {
        world.real += TimeDelta::seconds(20);
        world.turn(true);
    }
    assert_eq!((world.shelf.runs.len(), world.launched_at.len()), (0, 0));
    world.restart();
    world.turn(false);
    assert_eq!(world.shelf.runs.len(), 4, "the instants that passed are decided at the next start");
}

#[test]
fn a_run_that_the_store_knows_already_is_forgotten_and_nothing_is_done_for_it() {
    let mut world = healthy(vec![job("a", "* * * * *", Overlap::Skip, Catchup::All, limits(None, None))]);
    world.run_until(world.real + TimeDelta::seconds(75));
    assert_eq!((world.launched_at.len(), statuses(&world, "a")), (1, vec![Succeeded]));
    // As after a clock that was set back and a schedule that was edited: the mark is gone, the row is not.
    world.shelf.forget_marks(world.wall());
    world.skew -= TimeDelta::seconds(75);
    world.restart();
    world.run_until(world.real + TimeDelta::seconds(70));
    assert_eq!((world.shelf.runs.len(), world.launched_at.len(), world.driver.living_runs()), (1, 1, 0));
    assert!(world.driver.acts(world.wall()).is_empty());
}

#[test]
fn a_firing_that_meets_its_own_run_does_not_cancel_it() {
    let mut world = healthy(vec![job("a", "* * * * *", Overlap::CancelRunning, Catchup::All, limits(None, None))]);
    world.ecs.launches_hang = true;
    world.run_until(world.real + minutes(1));
    world.shelf.forget_marks(world.wall());
    world.skew -= minutes(1);
    world.restart();
    world.run_until(world.real + minutes(1));
    let runs: Vec<&Run> = world.shelf.runs.values().collect();
    assert_eq!((runs.len(), runs[0].cancelled.as_ref()), (1, None));
}

#[test]
fn a_job_with_another_schedule_or_zone_than_its_mark_begins_now() {
    let daily = |zone, schedule| vec![job_in(zone, "a", schedule, Overlap::Skip, Catchup::All, limits(None, None))];
    // The daemon is away from 14:36 to 15:06 UTC, which is 17:06 in Berlin, and the file changes meanwhile.
    let rows = |before, after| {
        let mut world = healthy(before);
        world.real -= minutes(30);
        world.restart();
        world.turn(false);
        world.real += minutes(30);
        world.jobs = after;
        world.restart();
        world.turn(false);
        world.shelf.runs.len()
    };
    let berlin = Tz::Europe__Berlin;
    assert_eq!(rows(daily(Tz::UTC, "0 15 * * *"), daily(Tz::UTC, "0 15 * * *")), 1, "15:00 UTC passed unattended");
    assert_eq!(rows(daily(Tz::UTC, "0 3 * * *"), daily(Tz::UTC, "0 15 * * *")), 0, "nothing fires retroactively");
    assert_eq!(rows(daily(Tz::UTC, "0 17 * * *"), daily(berlin, "0 17 * * *")), 0, "another zone, another schedule");
}

#[test]
fn what_a_former_schedule_named_meanwhile_starts_nothing_and_has_its_rows() {
    let every = |schedule| vec![job("a", schedule, Overlap::Skip, Catchup::All, limits(None, None))];
    let mut world = healthy(every("0 15 * * *"));
    world.real -= minutes(30);
    world.restart();
    world.turn(false);
    world.real += minutes(30);
    world.jobs = every("0 3 * * *");
    world.restart();
    world.turn(true);
    assert_eq!(statuses(&world, "a"), [Status::Missed], "also if the daemon is stopped at once");
    let reason = world.shelf.runs.values().next().and_then(Run::shown_cause).unwrap();
    assert_eq!(
        reason,
        "the daemon was away from 2025-06-15T14:36:41Z to 2025-06-15T15:06:41Z; its schedule then, 0 15 * * *, was changed \
         meanwhile"
    );
    assert_eq!(world.launched_at.len(), 0);
}

#[test]
fn after_a_restart_a_firing_waits_for_a_look_at_the_run_in_its_way() {
    let jobs = vec![job("a", "* * * * *", Overlap::Skip, Catchup::All, limits(None, None))];
    let restarted = |looks_at: Option<TimeDelta>| {
        let mut world = healthy(jobs.clone());
        world.ecs.launches_hang = true;
        world.run_until(world.real + minutes(1));
        let run = world.shelf.living()[0].clone();
        world.real += TimeDelta::seconds(50);
        world.restart();
        let now = world.wall();
        assert!(world.driver.turn(vec![], now, false).is_none(), "the firing waits");
        let report = reported_end(&run);
        let batch = match looks_at {
            Some(after) => world.driver.turn(vec![report], now + after, false),
            None => {
                let until = world.driver.next_turn_at().expect("it does not wait for ever");
                world.driver.turn(vec![], until, false)
            }
        };
        let runs = batch.expect("the firing is decided").runs;
        runs.last().map(|save| save.run.status()).expect("it has its row")
    };
    assert_eq!(restarted(Some(TimeDelta::seconds(1))), Status::Launching, "the run had ended while nobody looked");
    assert_eq!(restarted(None), Skipped, "without a look the run counts as living");
}

#[test]
fn a_held_firing_that_is_decided_on_a_clock_set_back_decides_nothing_again() {
    let mut world = healthy(vec![job("a", "* * * * *", Overlap::Skip, Catchup::All, limits(None, None))]);
    world.ecs.launches_hang = true;
    world.run_until(world.real + minutes(1));
    world.real += TimeDelta::seconds(50);
    world.restart();
    let now = world.wall();
    assert!(world.driver.turn(vec![], now, false).is_none(), "the firing waits for a look");
    let earlier = now - minutes(30);
    let batch = world.driver.turn(vec![], earlier, false).expect("the run moves along");
    assert!(batch.marks.iter().all(|mark| mark.mark > earlier), "{:?}", batch.marks);
    world.driver.turn(vec![], earlier + minutes(2), false);
    assert_eq!(world.driver.living_runs(), 1, "no instant before the mark fires");
}

#[test]
fn a_job_that_left_and_came_back_begins_anew() {
    let jobs = vec![job("a", "* * * * *", Overlap::Allow, Catchup::All, limits(None, None))];
    let mut world = healthy(jobs.clone());
    world.run_until(world.real + minutes(2));
    world.jobs = Vec::new();
    world.restart();
    world.run_until(world.real + minutes(30));
    world.jobs = jobs;
    world.restart();
    world.turn(false);
    assert_eq!(world.shelf.runs.len(), 2, "there was no job whose instants could have been missed");
}

#[test]
fn a_clock_that_is_set_back_fires_nothing_twice_and_a_jump_ahead_is_an_absence() {
    let jobs = vec![job("a", "* * * * *", Overlap::Allow, Catchup::All, limits(None, None))];
    let mut world = healthy(jobs.clone());
    world.run_until(world.real + minutes(5));
    assert_eq!(world.shelf.runs.len(), 5);
    world.skew = minutes(-3);
    world.run_until(world.real + minutes(3));
    assert_eq!(world.shelf.runs.len(), 5, "these instants have their rows");
    world.skew = minutes(57);
    world.run_until(world.real + TimeDelta::seconds(10));
    assert_eq!(world.shelf.runs.len(), 5 + 60);
    world.settle();
    world.audit(&jobs);
}

#[test]
fn a_store_that_fails_holds_back_every_act() {
    let mut world = healthy(vec![job("a", "* * * * *", Overlap::Skip, Catchup::All, limits(None, None))]);
    world.turn(false);
    let now = world.wall() + minutes(1);
    let batch = world.driver.turn(vec![], now, false).expect("a firing");
    assert_eq!(batch.runs.len(), 1);
    // The batch is not saved and the daemon dies: the next one decides the same instant.
    world.real += minutes(1);
    world.restart();
    world.run_until(world.real + TimeDelta::seconds(1));
    assert_eq!((world.shelf.runs.len(), world.launched_at.len()), (1, 1));
}
