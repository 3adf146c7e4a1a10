//! Single rules of slots: how many runs live at once, and that whoever waits for a slot gets one.

use super::ecs::Mood;
use super::people::{Room, Wish};
use super::rules::{healthy, minutes, reported_end, statuses};
use super::*;
use crate::engine::run::Status::{self, Cancelled, Due, Running, Succeeded};

fn room(max_running: Option<u32>, groups: &[(&str, u32)]) -> Room {
    Room { max_running, groups: groups.iter().map(|(name, max)| ((*name).to_owned(), *max)).collect() }
}

fn with_room(jobs: Vec<Arc<Job>>, room: Room) -> World {
    let mut world = healthy(jobs);
    world.room = room;
    world.restart();
    world
}

/// A job that is due at this second after 15:07.
fn at(second: u32, name: &str) -> Arc<Job> {
    job(name, &format!("{second} 7 15 * * *"), Overlap::Skip, Catchup::None, limits(None, None))
}

fn status(world: &World, job: &str) -> Status {
    statuses(world, job)[0]
}

/// The jobs of the runs that run, in the order of their names.
fn running(world: &World) -> Vec<&str> {
    let living = world.shelf.living();
    let launched = living.iter().filter(|run| run.launch.is_some());
    let names: BTreeSet<&str> = launched.map(|run| run.job.as_str()).collect();
    world.jobs.iter().map(|job| job.name.as_str()).filter(|name| names.contains(name)).collect()
}

fn seconds(count: i64) -> TimeDelta {
    TimeDelta::seconds(count)
}

/// Has the task of a job end now, and lets the daemon see it.
fn end(world: &mut World, job: &str) {
    let run = world.shelf.runs.values().find(|run| run.job.as_str() == job && run.followed_task().is_some());
    let report = reported_end(run.expect("it runs"));
    world.report(report);
    world.turn(false);
}

fn cancel(world: &mut World, job: &str) {
    let run = world.shelf.living().into_iter().find(|run| run.job.as_str() == job).expect("it lives");
    let wish = Wish::Cancel(run.id.clone());
    world.ask(wish).unwrap();
}

/// A run that is triggered, for jobs without a schedule of today.
fn trigger(world: &mut World, job: &str) {
    let job = JobName::new(job).unwrap();
    world.ask(Wish::Trigger { job, overlap: None, environment: BTreeMap::new() }).unwrap();
    world.run_until(world.real + seconds(6));
}

#[test]
fn no_more_runs_live_than_max_running_and_the_earliest_is_next() {
    let mut world = with_room(vec![at(3, "a"), at(2, "b"), at(1, "c"), at(0, "d")], room(Some(2), &[]));
    world.ecs.launches_hang = true;
    world.run_until(world.real + minutes(1));
    assert_eq!(running(&world), ["c", "d"]);
    end(&mut world, "d");
    assert_eq!(running(&world), ["b", "c"], "before a, which came later");
    world.run_until(world.real + seconds(10));
    // A restart knows who holds a slot.
    world.restart();
    world.run_until(world.real + seconds(10));
    assert_eq!((running(&world), status(&world, "a")), (vec!["b", "c"], Due));
    end(&mut world, "b");
    assert_eq!(running(&world), ["a", "c"]);
    world.settle();
    assert_eq!(status(&world, "a"), Succeeded);
}

#[test]
fn a_group_that_is_full_holds_up_nobody_else() {
    let jobs = vec![in_group(&at(0, "a"), "db"), in_group(&at(1, "b"), "db"), in_group(&at(2, "c"), "web"), at(3, "d")];
    let mut world = with_room(jobs, room(None, &[("db", 1)]));
    world.ecs.launches_hang = true;
    world.run_until(world.real + minutes(1));
    assert_eq!((running(&world), status(&world, "b")), (vec!["a", "c", "d"], Due));
    end(&mut world, "c");
    assert_eq!(status(&world, "b"), Due, "a slot of another group");
    end(&mut world, "a");
    assert_eq!(running(&world), ["b", "d"]);
}

#[test]
fn a_run_that_waits_for_a_retry_keeps_its_slot() {
    let mut world =
        with_room(vec![unscheduled("a", Overlap::Skip), unscheduled("b", Overlap::Skip)], room(Some(1), &[]));
    world.ecs.mood = Mood::Unreachable;
    let trigger_a = Wish::Trigger { job: world.jobs[0].name.clone(), overlap: None, environment: BTreeMap::new() };
    world.ask(trigger_a).unwrap();
    world.run_until(world.real + seconds(4));
    assert_eq!(status(&world, "a"), Status::Waiting);
    world.ecs.mood = Mood::Healthy;
    trigger(&mut world, "b");
    world.run_until(world.real + seconds(60));
    let order: Vec<&str> = world.ecs.tasks.iter().map(|task| world.shelf.runs[&task.run].job.as_str()).collect();
    assert_eq!(order, ["a", "b"]);
}

#[test]
fn a_slot_that_nobody_takes_is_the_next_ones() {
    // `c` and `d` wait for the group, `e` for a slot of all.
    let of_db = |name| in_group(&unscheduled(name, Overlap::Skip), "db");
    let jobs =
        vec![of_db("a"), unscheduled("b", Overlap::Skip), of_db("c"), of_db("d"), unscheduled("e", Overlap::Skip)];
    let mut world = with_room(jobs, room(Some(2), &[("db", 1)]));
    world.ecs.launches_hang = true;
    for name in ["a", "b", "e", "c", "d"] {
        trigger(&mut world, name);
    }
    assert_eq!(running(&world), ["a", "b"]);
    // `c` is called back for the group, and finds that `e` has taken the slot of all.
    end(&mut world, "a");
    assert_eq!((running(&world), status(&world, "c"), status(&world, "d")), (vec!["b", "e"], Due, Due));
    cancel(&mut world, "c");
    assert_eq!(status(&world, "c"), Cancelled);
    end(&mut world, "b");
    assert_eq!(running(&world), ["d", "e"], "the group has a slot, and now there is one of all");
}

#[test]
fn a_slot_is_passed_on_by_a_run_that_has_one_and_no_permit() {
    let jobs = ["a", "b", "c"].map(|name| unscheduled(name, Overlap::Skip)).to_vec();
    let mut world = with_room(jobs, room(Some(1), &[]));
    world.ecs.launches_hang = true;
    for name in ["a", "b", "c"] {
        trigger(&mut world, name);
    }
    use_up(&mut world, 0.1);
    end(&mut world, "a");
    assert_eq!(
        (status(&world, "b"), world.driver.queue.all().count()),
        (Due, 1),
        "it is called back and has no permit yet"
    );
    cancel(&mut world, "b");
    world.run_until(world.real + seconds(12));
    assert_eq!(running(&world), ["c"]);
}

#[test]
fn limits_that_are_lowered_take_nothing_and_raised_ones_let_begin_at_once() {
    let jobs: Vec<Arc<Job>> = ["a", "b", "c", "d", "e"].map(|name| unscheduled(name, Overlap::Skip)).to_vec();
    let mut world = with_room(jobs.clone(), room(Some(3), &[]));
    world.ecs.launches_hang = true;
    for name in ["a", "b", "c", "d", "e"] {
        trigger(&mut world, name);
    }
    world.ask(Wish::Reload(jobs.clone(), room(Some(2), &[]))).unwrap();
    assert_eq!(running(&world), ["a", "b", "c"], "they finish");
    end(&mut world, "a");
    assert_eq!(running(&world), ["b", "c"]);
    world.ask(Wish::Reload(jobs.clone(), room(Some(4), &[]))).unwrap();
    assert_eq!(running(&world), ["b", "c", "d", "e"]);
    end(&mut world, "b");
    trigger(&mut world, "a");
    world.ask(Wish::Reload(jobs.clone(), room(Some(1), &[]))).unwrap();
    trigger(&mut world, "b");
    world.ask(Wish::Reload(jobs, room(None, &[]))).unwrap();
    assert_eq!(running(&world), ["a", "b", "c", "d", "e"], "there is no limit any more");
}

#[test]
fn a_group_that_a_reload_limits_counts_who_lives() {
    let jobs: Vec<Arc<Job>> = ["a", "b"].map(|name| in_group(&unscheduled(name, Overlap::Skip), "db")).to_vec();
    let mut world = with_room(jobs.clone(), Room::default());
    world.ecs.launches_hang = true;
    trigger(&mut world, "a");
    world.ask(Wish::Reload(jobs, room(None, &[("db", 1)]))).unwrap();
    trigger(&mut world, "b");
    assert_eq!((status(&world, "a"), status(&world, "b")), (Running, Due));
    end(&mut world, "a");
    assert_eq!(running(&world), ["b"]);
}
