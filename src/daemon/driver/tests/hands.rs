//! Single rules of what people ask for: runs now, runs once more, runs of the past, and the end of a run.

use super::ecs::Mood;
use super::people::{Answer, Wish};
use super::rules::{healthy, minutes};
use super::world::{Death, World};
use super::*;
use crate::engine::pause::Scope;
use crate::engine::run::Status::{Cancelled, Due, Launching, Running, Skipped, Stopping, Succeeded, Waiting};
use crate::engine::run::{Status, Trigger};

pub(super) fn name(text: &str) -> JobName {
    JobName::new(text).unwrap()
}

pub(super) fn trigger(job: &str, overlap: Option<Overlap>) -> Wish {
    Wish::Trigger { job: name(job), overlap, environment: BTreeMap::new() }
}

fn backfill(from: DateTime<Utc>, until: DateTime<Utc>, overlap: Overlap) -> Wish {
    Wish::Backfill { job: name("a"), from, until, overlap }
}

/// The only run that was recorded.
pub(super) fn recorded(answer: Answer) -> Receipt {
    match answer {
        Ok(Done::Recorded(mut receipts)) if receipts.len() == 1 => receipts.remove(0),
        other => panic!("{other:?}"),
    }
}

pub(super) fn status(world: &World, run: &RunId) -> Status {
    world.shelf.runs[run].status()
}

/// A world with one run of job `a` that was triggered and runs for long.
fn with_a_run(overlap: Overlap) -> (World, RunId) {
    let mut world = healthy(vec![unscheduled("a", overlap)]);
    world.ecs.launches_hang = true;
    let run = recorded(world.ask(trigger("a", None))).run;
    world.run_until(world.real + TimeDelta::seconds(10));
    assert_eq!(status(&world, &run), Running);
    (world, run)
}

#[test]
fn a_trigger_is_a_run_of_now_that_says_who_asked() {
    let mut world = healthy(vec![unscheduled("a", Overlap::Skip)]);
    world.turn(false);
    let receipt = recorded(world.ask(trigger("a", None)));
    assert_eq!(
        (receipt.run.as_str(), receipt.trigger, receipt.status),
        ("a-20250615T150641Z-manual", Trigger::Manual, Due)
    );
    let run = &world.shelf.runs[&receipt.run];
    let by = run.request.as_ref().map(|request| request.asker.by.as_str());
    assert_eq!((run.status(), by, run.scheduled_at), (Launching, Some("ops"), world.wall()));
    let audit = world.shelf.audit.last().unwrap();
    assert_eq!((audit.action.as_str(), audit.by.as_str(), audit.run.as_ref()), ("trigger", "ops", Some(&receipt.run)));
    world.settle();
    assert_eq!((status(&world, &receipt.run), world.launched_at.len()), (Succeeded, 1));
}

#[test]
fn triggers_of_one_millisecond_have_names_of_their_own() {
    let (mut world, _) = with_a_run(Overlap::Skip);
    let answers = world.ask_all(vec![trigger("a", None), trigger("a", Some(Overlap::Allow))]);
    let mut names: BTreeSet<RunId> = answers.into_iter().map(|answer| recorded(answer).run).collect();
    // A turn later, when those that were skipped are over.
    names.insert(recorded(world.ask(trigger("a", None))).run);
    assert_eq!((names.len(), world.shelf.runs.len()), (3, 4));
}

#[test]
fn a_trigger_that_meets_a_run_goes_by_the_policy_of_its_job_or_its_own() {
    let expected = [
        (Overlap::Skip, Running, Skipped),
        (Overlap::Allow, Running, Launching),
        (Overlap::QueueOne, Running, Due),
        (Overlap::QueueAll, Running, Due),
        (Overlap::CancelRunning, Stopping, Due),
    ];
    for (overlap, old, new) in expected {
        for (of_job, own) in [(overlap, None), (Overlap::Skip, Some(overlap)), (Overlap::Allow, Some(overlap))] {
            let (mut world, first) = with_a_run(of_job);
            let second = recorded(world.ask(trigger("a", own))).run;
            assert_eq!((status(&world, &first), status(&world, &second)), (old, new), "{of_job:?} {own:?}");
            world.settle();
            let ends = if new == Skipped { Skipped } else { Succeeded };
            assert_eq!(status(&world, &second), ends, "{of_job:?} {own:?}");
        }
    }
    let (mut world, first) = with_a_run(Overlap::QueueOne);
    let queued = recorded(world.ask(trigger("a", None))).run;
    let receipt = recorded(world.ask(trigger("a", None)));
    let cause = format!("run {queued} already waits (overlap = \"queue_one\")");
    assert_eq!((receipt.status, receipt.cause), (Skipped, Some(cause)));
    assert_eq!(status(&world, &first), Running);
}

#[test]
fn what_is_otherwise_in_one_run_is_in_its_request_and_in_no_other() {
    let mut world = healthy(vec![unscheduled("a", Overlap::Allow)]);
    let environment = BTreeMap::from([("DAY".to_owned(), "monday".to_owned())]);
    let answers = world.ask_all(vec![Wish::Trigger { job: name("a"), overlap: None, environment }, trigger("a", None)]);
    let days = answers.into_iter().map(|answer| {
        let launch = world.shelf.runs[&recorded(answer).run].launch.clone().expect("it is launched");
        launch.request.task.containers[0].environment.get("DAY").cloned()
    });
    assert_eq!(days.collect::<Vec<_>>(), [Some("monday".to_owned()), None]);
    let environment = BTreeMap::from([("DAY".to_owned(), "x".repeat(9_000))]);
    let before = (world.shelf.runs.len(), world.shelf.audit.len());
    let refused = world.ask(Wish::Trigger { job: name("a"), overlap: None, environment });
    assert!(matches!(refused, Err(Declined::Overrides(_))), "{refused:?}");
    assert_eq!((world.shelf.runs.len(), world.shelf.audit.len()), before, "nothing was done");
}

#[test]
fn commands_of_one_turn_are_answered_in_their_order_and_what_is_declined_leaves_no_trace() {
    let mut world = healthy(vec![unscheduled("a", Overlap::Skip)]);
    let nobody = RunId::from_text("nobody");
    let old = world.wall() - minutes(60);
    let answers = world.ask_all(vec![
        trigger("b", None),
        trigger("a", None),
        Wish::Cancel(nobody.clone()),
        Wish::Pause(Scope::Job(name("b")), None),
        Wish::Pause(Scope::All, Some(world.wall())),
        Wish::Resume(Scope::Job(name("b"))),
        Wish::Retry { run: nobody.clone(), job: name("b"), scheduled_at: old, frozen: None },
        Wish::Backfill { job: name("b"), from: old, until: old, overlap: Overlap::Skip },
        Wish::Resume(Scope::All),
    ]);
    let no_job = || Err(Declined::NoJob(name("b")));
    assert_eq!(answers[0], no_job());
    assert!(answers[1].is_ok());
    assert_eq!(answers[2], Err(Declined::NotAlive(nobody)));
    assert_eq!((&answers[3], &answers[4]), (&no_job(), &Err(Declined::EndHasPassed)));
    assert_eq!(answers[5..8], [no_job(), no_job(), no_job()]);
    assert_eq!(answers[8], Ok(Done::Resumed { lifted: None, still: None }));
    let noted: Vec<&str> = world.shelf.audit.iter().map(|audit| audit.action.as_str()).collect();
    assert_eq!((noted, world.shelf.runs.len(), world.shelf.pauses.len()), (vec!["trigger", "resume"], 1, 0));
}

#[test]
fn a_daemon_that_leaves_takes_no_commands() {
    let mut world = healthy(vec![unscheduled("a", Overlap::Skip)]);
    world.turn(false);
    world.wish(trigger("a", None));
    world.turn(true);
    assert_eq!(world.people.answers, [Err(Declined::Leaving)]);
    assert_eq!((world.shelf.runs.len(), world.shelf.audit.len()), (0, 0));
}

#[test]
fn a_death_around_the_save_of_a_trigger_leaves_all_of_it_or_nothing() {
    for (death, runs) in [(Death::BeforeSave, 0), (Death::AfterSave, 1)] {
        let mut world = healthy(vec![unscheduled("a", Overlap::Skip)]);
        world.turn(false);
        world.die_at = Some((world.shelf.batches + 1, death));
        world.wish(trigger("a", None));
        assert!(!world.turn(false), "it dies");
        world.run_until(world.real + minutes(1));
        let counts = (world.shelf.runs.len(), world.shelf.audit.len(), world.launched_at.len());
        assert_eq!(counts, (runs, runs, runs), "{death:?}");
    }
}

#[test]
fn what_waits_is_cancelled_at_once() {
    let (mut world, first) = with_a_run(Overlap::QueueAll);
    let second = recorded(world.ask(trigger("a", None))).run;
    assert_eq!(world.ask(Wish::Cancel(second.clone())), Ok(Done::Cancelling(second.clone(), Cancelled)));
    assert_eq!((status(&world, &second), status(&world, &first)), (Cancelled, Running));
    assert_eq!(world.shelf.runs[&second].shown_cause(), Some("cancelled by ops"));
    assert_eq!(world.ask(Wish::Cancel(second.clone())), Err(Declined::NotAlive(second)));
}

#[test]
fn a_launch_that_is_being_sent_and_a_task_that_runs_are_stopped_before_the_run_ends() {
    for wait in [0, 10] {
        let mut world = healthy(vec![unscheduled("a", Overlap::Skip)]);
        world.ecs.launches_hang = true;
        let run = recorded(world.ask(trigger("a", None))).run;
        world.run_until(world.real + TimeDelta::seconds(wait));
        let before = if wait == 0 { Launching } else { Running };
        assert_eq!(status(&world, &run), before);
        let then = if wait == 0 { Launching } else { Stopping };
        assert_eq!(world.ask(Wish::Cancel(run.clone())), Ok(Done::Cancelling(run.clone(), then)));
        world.run_until(world.real + minutes(1));
        assert_eq!((status(&world, &run), world.launched_at.len()), (Cancelled, 1));
        assert!(world.ecs.tasks.iter().all(|task| task.is_stopped(world.real)));
        assert_eq!(world.ask(Wish::Cancel(run.clone())), Err(Declined::NotAlive(run)));
    }
}

#[test]
fn a_run_that_waits_for_a_retry_is_cancelled_and_launched_no_more() {
    let mut world = healthy(vec![unscheduled("a", Overlap::Skip)]);
    world.ecs.mood = Mood::Unreachable;
    let run = recorded(world.ask(trigger("a", None))).run;
    world.run_until(world.real + TimeDelta::seconds(4));
    assert_eq!(status(&world, &run), Waiting);
    assert_eq!(world.ask(Wish::Cancel(run.clone())), Ok(Done::Cancelling(run.clone(), Cancelled)));
    let sent = world.launched_at.len();
    world.ecs.mood = Mood::Healthy;
    world.run_until(world.real + minutes(2));
    assert_eq!((status(&world, &run), world.launched_at.len()), (Cancelled, sent));
}

#[test]
fn a_retry_repeats_an_instant_with_the_definition_of_then_or_of_today() {
    let (mut world, first) = with_a_run(Overlap::Skip);
    let former = world.shelf.runs[&first].clone();
    let retry = |frozen| Wish::Retry { run: first.clone(), job: name("a"), scheduled_at: former.scheduled_at, frozen };
    assert_eq!(world.ask(retry(None)), Err(Declined::Alive(first.clone())));
    world.ecs.end_all(world.real);
    world.run_until(world.real + TimeDelta::seconds(10));
    world.ecs.launches_hang = false;
    let changed = vec![launching(&world.jobs[0], "other")];
    world.ask(Wish::Reload(changed, world.room.clone())).unwrap();
    for (frozen, launched) in [(Some(Arc::clone(&former.definition)), "hello"), (None, "other")] {
        let receipt = recorded(world.ask(retry(frozen)));
        let run = &world.shelf.runs[&receipt.run];
        assert_eq!((receipt.trigger, run.scheduled_at), (Trigger::Manual, former.scheduled_at));
        assert_eq!(run.request.as_ref().and_then(|request| request.retry_of.as_ref()), Some(&first));
        assert_eq!(run.launch.as_ref().map(|launch| launch.request.task.task_definition.as_str()), Some(launched));
        world.run_until(world.real + minutes(1));
        assert_eq!(status(&world, &receipt.run), Succeeded);
    }
    assert_eq!((world.shelf.runs.len(), world.launched_at.len()), (3, 3));
}

#[test]
fn a_backfill_takes_both_ends_of_its_range_and_runs_one_after_the_other() {
    let mut world = healthy(vec![job("a", "0-3 15 * * *", Overlap::Allow, Catchup::None, limits(None, None))]);
    world.turn(false);
    let minute = |minute: u32| DateTime::from_timestamp(1_749_999_600 + i64::from(minute) * 60, 0).unwrap();
    let done = world.ask(backfill(minute(0), minute(3), Overlap::QueueAll)).unwrap();
    let Done::Recorded(receipts) = done else { panic!("{done:?}") };
    let instants: Vec<DateTime<Utc>> = receipts.iter().map(|receipt| receipt.scheduled_at).collect();
    assert_eq!(instants, [minute(0), minute(1), minute(2), minute(3)]);
    assert_eq!(receipts[3].run.as_str(), "a-20250615T150300Z-backfill-20250615T150641.000Z");
    let detail = world.shelf.audit[0].detail.clone().unwrap();
    assert_eq!(detail, format!("4 runs, {} to {}", receipts[0].run, receipts[3].run));
    for (nth, receipt) in receipts.iter().enumerate() {
        let waiting = world.shelf.living().iter().filter(|run| run.status() == Due).count();
        assert_eq!((waiting, world.launched_at.len()), (3 - nth, nth + 1), "one at a time");
        while !world.shelf.runs[&receipt.run].is_finished() {
            world.run_until(world.real + TimeDelta::milliseconds(500));
        }
        world.run_until(world.real + TimeDelta::milliseconds(1));
    }
    let order: Vec<DateTime<Utc>> = world.ecs.tasks.iter().map(|t| world.shelf.runs[&t.run].scheduled_at).collect();
    assert_eq!(order, instants, "in the order of their instants");
}

#[test]
fn a_backfill_is_about_the_past_and_bounded() {
    let mut world = healthy(vec![job("a", "* * * * * *", Overlap::Allow, Catchup::None, limits(None, None))]);
    world.turn(false);
    let now = world.wall();
    let refused = world.ask(backfill(now - minutes(1), now + TimeDelta::milliseconds(1), Overlap::Allow));
    assert_eq!(refused, Err(Declined::NotPast));
    let half = now - TimeDelta::milliseconds(1_500);
    assert_eq!(world.ask(backfill(half, half, Overlap::Allow)), Err(Declined::NoInstant(name("a"))));
    assert_eq!(world.ask(backfill(now, now - minutes(1), Overlap::Allow)), Err(Declined::NoInstant(name("a"))));
    let refused = world.ask(backfill(now - TimeDelta::seconds(1_000), now, Overlap::QueueAll));
    assert_eq!(refused, Err(Declined::TooMany { count: 1_001, max: 1_000 }));
    assert_eq!((world.shelf.runs.len(), world.shelf.audit.len()), (0, 0));
    let done = world.ask(backfill(now - TimeDelta::seconds(999), now, Overlap::QueueAll)).unwrap();
    let Done::Recorded(receipts) = done else { panic!("{done:?}") };
    assert!(receipts.len() == 1_000 && receipts.iter().all(|receipt| receipt.status == Due), "all of them wait");
}

#[test]
fn a_backfill_does_not_go_before_an_instant_of_today() {
    let daily = |nth| job(&format!("b-{nth}"), "0 7 15 * * *", Overlap::Skip, Catchup::None, limits(None, None));
    let mut jobs: Vec<Arc<Job>> = (0..8).map(daily).collect();
    jobs.push(job("a", "* * * * *", Overlap::Allow, Catchup::None, limits(None, None)));
    let mut world = healthy(jobs);
    world.turn(false);
    world.real += TimeDelta::milliseconds(19_001);
    let old = world.wall() - minutes(60);
    world.ask(backfill(old, old + minutes(10), Overlap::Allow)).unwrap();
    world.run_until(world.real + TimeDelta::seconds(20));
    let triggers: Vec<Trigger> = world.ecs.tasks.iter().map(|task| world.shelf.runs[&task.run].trigger).collect();
    assert_eq!(triggers[..9], [Trigger::Schedule; 9], "what was due goes first");
    assert_eq!(triggers[9..], [Trigger::Backfill; 10]);
}
