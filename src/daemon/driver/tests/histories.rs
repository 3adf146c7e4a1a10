//! Whole histories: the same one with a death at every batch, and random ones with an ECS that lies, loses and forgets.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::world::{Death, World};
use super::*;

/// Runs one history and says which seed it was if it fails.
fn history(seed: u64, what: &str, play: impl FnOnce(&mut World)) -> World {
    let mut world = World::new(seed, mixed_jobs());
    let jobs = world.jobs.clone();
    let played = catch_unwind(AssertUnwindSafe(|| {
        play(&mut world);
        world.settle();
        world.audit(&jobs);
    }));
    assert!(played.is_ok(), "seed {seed} failed: {what}");
    world
}

#[test]
fn a_death_at_any_batch_of_a_history_launches_nothing_twice_and_loses_no_instant() {
    for seed in 1..=2 {
        let minutes = |count| move |world: &mut World| world.run_until(world.real + TimeDelta::minutes(count));
        let batches = history(seed, "undisturbed", minutes(4)).shelf.batches;
        assert!(batches > 40, "the history is too short to mean much: {batches}");
        for batch in 1..=batches {
            for death in [Death::BeforeSave, Death::AfterSave, Death::AmongActs] {
                history(seed, &format!("{death:?} at batch {batch}"), |world| {
                    world.die_at = Some((batch, death));
                    minutes(4)(world);
                });
            }
        }
    }
}

#[test]
fn random_histories_with_deaths_launch_nothing_twice_and_lose_no_instant() {
    let mut succeeded = 0;
    for seed in 100..300 {
        let world = history(seed, "deaths", |world| {
            world.deaths_in_thousand = 30;
            world.run_until(world.real + TimeDelta::minutes(12));
        });
        succeeded += world.shelf.runs.values().filter(|run| run.status() == Status::Succeeded).count();
    }
    assert!(succeeded > 1000, "the histories hardly run anything: {succeeded}");
}

#[test]
fn random_histories_with_long_absences_say_unknown_instead_of_launching_twice() {
    let mut unknown = 0;
    for seed in 300..400 {
        let world = history(seed, "absences", |world| {
            for _ in 0..4 {
                world.deaths_in_thousand = 10;
                world.run_until(world.real + TimeDelta::minutes(3));
                world.die_at = Some((world.shelf.batches + 1, Death::AmongActs));
                while world.turn(false) && world.die_at.is_some() {
                    world.real += TimeDelta::seconds(1);
                }
                let away = 1 + world.random.below(150);
                world.real += TimeDelta::minutes(i64::try_from(away).unwrap());
                world.restart();
            }
        });
        unknown += world.shelf.runs.values().filter(|run| run.status() == Status::Unknown).count();
    }
    assert!(unknown > 0, "no history came to the question");
}

#[test]
fn random_histories_on_a_clock_that_is_set_back_for_long_launch_nothing_twice() {
    for seed in 500..700 {
        history(seed, "set back", |world| {
            world.deaths_in_thousand = 10;
            for _ in 0..10 {
                let minutes = 1 + i64::try_from(world.random.below(40)).unwrap();
                world.run_until(world.real + TimeDelta::minutes(minutes));
                world.skew -= TimeDelta::seconds(i64::try_from(world.random.below(5400)).unwrap());
                if world.random.percent(50) {
                    world.restart();
                }
            }
        });
    }
}

#[test]
fn random_histories_on_a_clock_that_jumps_fire_no_instant_twice() {
    for seed in 400..500 {
        history(seed, "clock jumps", |world| {
            world.deaths_in_thousand = 10;
            for _ in 0..10 {
                world.run_until(world.real + TimeDelta::minutes(2));
                let by = i64::try_from(world.random.below(480)).unwrap() - 240;
                world.skew += TimeDelta::seconds(by);
                world.skew = world.skew.clamp(TimeDelta::minutes(-4), TimeDelta::minutes(4));
            }
        });
    }
}
