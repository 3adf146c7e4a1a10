//! Single rules of a daemon that drains: nothing begins, what is in flight goes on to its end, and nothing is lost.

use super::hands::{name, recorded, status, trigger};
use super::people::Wish;
use super::rules::{healthy, minutes};
use super::world::World;
use super::*;
use crate::engine::pause::Scope;
use crate::engine::run::Status::{Cancelled, Due, Running, Stopping, Succeeded};
use crate::engine::run::{Outcome, State, Trigger, in_words};

/// A job that is due each minute, and people's job `a`, with a run of `a` that hangs.
fn with_a_run(catchup: Catchup) -> (World, RunId) {
    let each_minute = job("m", "* * * * *", Overlap::Allow, catchup, limits(None, None));
    let mut world = healthy(vec![each_minute, unscheduled("a", Overlap::QueueAll)]);
    world.ecs.launches_hang = true;
    let run = recorded(world.ask(trigger("a", None))).run;
    world.run_until(world.real + TimeDelta::seconds(10));
    world.ecs.launches_hang = false;
    assert_eq!(status(&world, &run), Running);
    (world, run)
}

/// Lets the task of a run that hangs end badly.
fn fail(world: &mut World, run: &RunId) {
    world.ecs.tasks.iter_mut().filter(|task| task.run == *run).for_each(|task| task.exit_code = 1);
    world.ecs.end_what_hangs(world.real);
}

/// The instants of job `m` with what began their runs.
fn rows(world: &World) -> Vec<(DateTime<Utc>, Trigger)> {
    let runs = world.shelf.runs.values().filter(|run| run.job == name("m"));
    let mut rows: Vec<_> = runs.map(|run| (run.scheduled_at, run.trigger)).collect();
    rows.sort_by_key(|(at, _)| *at);
    rows
}

#[test]
fn what_comes_while_it_drains_is_decided_by_the_next_start() {
    let (mut world, run) = with_a_run(Catchup::All);
    let decided = rows(&world).len();
    world.driver.drain();
    world.run_until(world.real + minutes(5));
    assert_eq!((rows(&world).len(), world.driver.drains()), (decided, Some(1)), "no instant is decided");
    world.ecs.end_what_hangs(world.real);
    world.run_until(world.real + minutes(1));
    assert_eq!((status(&world, &run), world.driver.drains()), (Succeeded, Some(0)));
    world.leave();
    world.restart();
    world.turn(false);
    let caught_up = rows(&world).iter().filter(|(_, trigger)| *trigger == Trigger::Catchup).count();
    assert!((5..=6).contains(&caught_up), "{caught_up} of {:?}", rows(&world));
    world.settle();
}

#[test]
fn a_row_of_what_came_while_it_drained_names_the_whole_absence() {
    let (mut world, _) = with_a_run(Catchup::None);
    world.driver.drain();
    let drained_from = world.wall();
    world.run_until(world.real + minutes(5));
    world.leave();
    world.restart();
    world.turn(false);
    let missed = |run: &Run| match &run.state {
        State::Finished { outcome: Outcome::Missed { reason, .. }, .. } => Some((run.scheduled_at, reason.clone())),
        _ => None,
    };
    let mut missed: Vec<_> = world.shelf.runs.values().filter_map(missed).collect();
    missed.sort();
    let first = missed.first().expect("some are missed").0;
    assert!(first > drained_from, "{missed:?}");
    let from = format!(" from {} to ", in_words(first));
    assert!(missed.iter().all(|(_, reason)| reason.contains(&from)), "{from}: {missed:?}");
}

#[test]
fn a_retry_is_launched_and_a_first_launch_is_not() {
    let (mut world, run) = with_a_run(Catchup::None);
    let waits = recorded(world.ask(trigger("a", None))).run;
    world.driver.drain();
    fail(&mut world, &run);
    world.run_until(world.real + minutes(3));
    assert_eq!((status(&world, &run), status(&world, &waits)), (Succeeded, Due));
    assert_eq!(world.shelf.runs[&run].attempts.len(), 2, "its retry was launched");
    assert_eq!((world.driver.drains(), world.driver.living_runs()), (Some(0), 1));
    let waits_for = world.driver.waits_for(&waits, world.wall());
    assert_eq!(waits_for.as_deref(), Some("the next start of the daemon, which is draining"));
    world.leave();
    world.restart();
    world.run_until(world.real + minutes(1));
    assert_eq!(status(&world, &waits), Succeeded);
    world.settle();
}

#[test]
fn a_retry_behind_first_launches_has_its_permit() {
    let (mut world, run) = with_a_run(Catchup::None);
    use_up(&mut world, 0.2);
    let first = recorded(world.ask(trigger("a", Some(Overlap::Allow)))).run;
    world.turn(false);
    world.driver.drain();
    fail(&mut world, &run);
    world.run_until(world.real + minutes(3));
    assert_eq!((status(&world, &run), status(&world, &first)), (Succeeded, Due));
}

#[test]
fn of_commands_it_takes_only_the_end_of_a_run() {
    let (mut world, run) = with_a_run(Catchup::None);
    world.driver.drain();
    let old = world.wall() - minutes(5);
    let answers = world.ask_all(vec![
        trigger("a", None),
        Wish::Backfill { job: name("m"), from: old, until: old, overlap: Overlap::Allow },
        Wish::Pause(Scope::All, None),
        Wish::Resume(Scope::All),
    ]);
    assert!(answers.iter().all(|answer| *answer == Err(Declined::Draining)), "{answers:?}");
    assert!(matches!(world.ask(Wish::Cancel(run.clone())), Ok(Done::Cancelling(_, Stopping))));
    world.run_until(world.real + minutes(1));
    assert_eq!((status(&world, &run), world.driver.drains()), (Cancelled, Some(0)));
}

#[test]
fn the_next_firing_is_one_that_is_not_paused() {
    let at = |schedule| move |name| job(name, schedule, Overlap::Allow, Catchup::None, limits(None, None));
    let mut world = healthy(vec![at("*/2 * * * *")("often"), at("0 3 * * *")("nightly")]);
    world.turn(false);
    let next = |world: &World| world.driver.next_firing().map(|(job, _)| job.to_string());
    assert_eq!(next(&world).as_deref(), Some("often"));
    assert!(world.ask(Wish::Pause(Scope::Job(name("often")), None)).is_ok());
    assert_eq!(next(&world).as_deref(), Some("nightly"));
    // It is over before that.
    let until = world.wall() + minutes(1);
    assert!(world.ask(Wish::Pause(Scope::All, Some(until))).is_ok());
    assert_eq!(next(&world).as_deref(), Some("nightly"));
    assert!(world.ask(Wish::Pause(Scope::All, None)).is_ok());
    assert_eq!(next(&world), None);
    assert!(world.ask(Wish::Resume(Scope::All)).is_ok());
    world.driver.drain();
    assert_eq!(next(&world), None);
}
