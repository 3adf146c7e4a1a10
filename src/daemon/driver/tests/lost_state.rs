//! A store that is deleted while tasks run: what ECS still shows is taken in, and nothing is launched beside it.

use super::ecs::Mood;
use super::world::{Death, World};
use super::*;
use crate::engine::run::Status::{self, Running, Skipped, Succeeded};

/// A world with one task that runs, in the minute after its instant.
fn with_a_living_task(overlap: Overlap) -> (World, RunId) {
    let mut world = World::new(7, vec![job("a", "* * * * *", overlap, Catchup::All, limits(None, None))]);
    world.ecs.mood = Mood::Healthy;
    world.ecs.launches_hang = true;
    world.run_until(world.real + TimeDelta::seconds(75));
    let run = world.shelf.living()[0].id.clone();
    (world, run)
}

fn rows(world: &World) -> Vec<Status> {
    world.shelf.runs.values().map(Run::status).collect()
}

#[test]
fn a_task_of_a_lost_state_is_in_the_way_of_the_next_firing_and_ends_its_own_run() {
    let (mut world, run) = with_a_living_task(Overlap::Skip);
    world.lose_state();
    world.run_until(world.real + TimeDelta::seconds(40));
    assert_eq!(rows(&world), [Running, Skipped]);
    let skipped = world.shelf.runs.values().nth(1).and_then(Run::shown_cause);
    assert_eq!(skipped, Some(format!("run {run} still lives (overlap = \"skip\")").as_str()));
    assert_eq!(world.launched_at.len(), 1);
    world.ecs.end_all(world.real);
    world.run_until(world.real + TimeDelta::seconds(10));
    assert_eq!((world.shelf.runs[&run].status(), world.launched_at.len()), (Succeeded, 1));
}

#[test]
fn a_death_before_the_first_batch_finds_the_task_again() {
    for death in Death::AT_SAVES {
        let (mut world, run) = with_a_living_task(Overlap::Skip);
        world.die_at = Some((1, death));
        world.lose_state();
        world.turn(false);
        assert_eq!(world.die_at, None, "it died at the first batch");
        world.run_until(world.real + TimeDelta::seconds(60));
        assert_eq!((rows(&world), world.launched_at.len()), (vec![Running, Skipped], 1), "{death:?}");
        assert_eq!(world.shelf.runs[&run].attempts.len(), 1);
    }
}

#[test]
fn the_policies_see_a_run_that_was_found_as_any_other() {
    let (mut world, run) = with_a_living_task(Overlap::CancelRunning);
    world.lose_state();
    world.run_until(world.real + TimeDelta::seconds(5));
    assert_eq!(rows(&world), [Status::Stopping, Status::Due]);
    assert!(world.shelf.runs[&run].cancelled.is_some());
    let (mut world, _) = with_a_living_task(Overlap::QueueOne);
    world.lose_state();
    world.run_until(world.real + TimeDelta::seconds(60));
    assert_eq!(rows(&world), [Running, Status::Due]);
}

#[test]
fn random_histories_that_lose_their_state_launch_nothing_twice_and_follow_what_lives() {
    let mut found = 0;
    for seed in 700..800 {
        let mut world = World::new(seed, mixed_jobs());
        let mut hidden = BTreeSet::new();
        for _ in 0..5 {
            world.deaths_in_thousand = 20;
            world.run_until(world.real + TimeDelta::minutes(2));
            let living: BTreeSet<RunId> = world.ecs.living_runs(world.real);
            // What ECS did not show yet when it was asked is lost: the limit of the promise.
            hidden.extend(world.ecs.hidden_runs(world.real));
            world.lose_state();
            while !world.turn(false) {}
            // What has ended in the time that deaths took is gone.
            let living: BTreeSet<RunId> = living.intersection(&world.ecs.living_runs(world.real)).cloned().collect();
            let rows: BTreeSet<RunId> = world.shelf.runs.keys().cloned().collect();
            assert!(living.is_subset(&rows), "seed {seed}: {living:?} are not all in {rows:?}");
            found += living.len();
        }
        world.settle();
        let left = world.ecs.living_runs(world.real);
        assert!(left.is_subset(&hidden), "seed {seed}: nobody follows {left:?}");
    }
    assert!(found > 500, "the histories hardly find anything: {found}");
}
