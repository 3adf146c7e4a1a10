//! Whole histories: thousands of random ones, the same one with a death at every save and every call, and the proof that
//! each safeguard is needed.
//!
//! `SEED=1234 cargo test --lib a_random_history -- --nocapture` plays one history again and prints it.
//! `HISTORIES=1000000 cargo test --lib random_histories -- --nocapture` is the soak.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use super::broken::Flaw;
use super::plan::{self, JUMPS_FROM, Kind};
use super::shelf::Shelf;
use super::world::{Death, World};
use super::*;
use crate::engine::run::Status;

/// How many random histories an ordinary test run plays.
const HISTORIES: u64 = 10_000;
/// How many of them are played on SQLite as well.
const HISTORIES_ON_DISK: u64 = 50;
/// How many are played on a store whose past is deleted, and how many of them on SQLite.
const HISTORIES_PRUNED: u64 = 300;
const HISTORIES_PRUNED_ON_DISK: u64 = 14;
/// How many histories of jumps ahead are played beside them.
const HISTORIES_OF_JUMPS: u64 = 200;
/// Within how many histories a broken build must be caught.
const CAUGHT_WITHIN: u64 = 12_000;

/// Plays the history of a seed to its end and audits it. What it violated, if anything.
fn history(seed: u64, flaw: Option<Flaw>, is_told: bool) -> Result<World, String> {
    history_on(Shelf::in_memory(), seed, flaw, is_told)
}

fn history_on(shelf: Shelf, seed: u64, flaw: Option<Flaw>, is_told: bool) -> Result<World, String> {
    history_of(shelf, seed, flaw, |world| world.is_told = is_told)
}

fn history_of(shelf: Shelf, seed: u64, flaw: Option<Flaw>, prepare: impl FnOnce(&mut World)) -> Result<World, String> {
    let mut random = random::Random::new(seed ^ 0x5EED);
    let kind = Kind::of_seed(seed);
    let (jobs, room) = plan::configuration(&mut random, kind);
    let mut world = World::with(seed, jobs, shelf, flaw);
    world.room = room;
    prepare(&mut world);
    let played = catch_unwind(AssertUnwindSafe(|| {
        world.restart();
        plan::play(&mut world, kind);
        world.settle();
        world.audit(&world.people.known);
    }));
    match played {
        Ok(()) => Ok(world),
        Err(why) => Err(told(&*why)),
    }
}

fn told(why: &(dyn std::any::Any + Send)) -> String {
    let panicked = why.downcast_ref::<&str>().map(ToString::to_string).or(why.downcast_ref::<String>().cloned());
    let violated = why.downcast_ref::<Violation>().map(|violation| violation.0.clone());
    violated.or(panicked).unwrap_or_else(|| "it panicked".to_owned())
}

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a whole number")))
}

/// Plays the histories of these seeds on every core, until one fails.
fn play_all(seeds: std::ops::Range<u64>, play: impl Fn(u64) -> Result<(), String> + Sync) -> Result<(), String> {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let failures: Vec<(u64, String)> = std::thread::scope(|scope| {
        let worker = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return None;
                }
                if let Err(why) = play(seed) {
                    next.store(seeds.end, Ordering::Relaxed);
                    return Some((seed, why));
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().filter_map(|worker| worker.join().expect("a worker ends")).collect()
    });
    match failures.into_iter().min() {
        None => Ok(()),
        Some((seed, why)) => Err(format!(
            "{why}\nseed {seed} ({:?}); to see it: SEED={seed} cargo test --lib a_random_history -- --nocapture",
            Kind::of_seed(seed)
        )),
    }
}

#[test]
fn a_random_history() {
    let (seed, is_told) = number_from_environment("SEED").map_or((1, false), |seed| (seed, true));
    if let Err(why) = history(seed, None, is_told) {
        panic!("{why}");
    }
}

#[test]
fn random_histories_launch_nothing_twice_and_lose_nothing() {
    let count = number_from_environment("HISTORIES").unwrap_or(HISTORIES);
    let ends: [AtomicU64; Status::ALL.len()] = Default::default();
    let tasks = AtomicU64::new(0);
    let played = play_all(1..count + 1, |seed| {
        let world = history(seed, None, false)?;
        for run in world.shelf.runs.values() {
            let nth = Status::ALL.iter().position(|status| *status == run.status()).unwrap();
            ends[nth].fetch_add(1, Ordering::Relaxed);
        }
        tasks.fetch_add(world.ecs.tasks.len() as u64, Ordering::Relaxed);
        Ok(())
    });
    if let Err(why) = played {
        panic!("{why}");
    }
    let ends: BTreeMap<&str, u64> = Status::ALL
        .iter()
        .map(|status| status.as_str())
        .zip(ends.iter().map(|end| end.load(Ordering::Relaxed)))
        .collect();
    println!("{count} histories with {} tasks; runs by their end: {ends:?}", tasks.load(Ordering::Relaxed));
    for status in ["succeeded", "failed", "timed_out", "cancelled", "skipped", "missed", "unknown"] {
        assert!(ends[status] * 100 > count, "the histories hardly come to `{status}`: {ends:?}");
    }
}

#[test]
fn sqlite_keeps_what_random_histories_save() {
    let played = play_all(1..HISTORIES_ON_DISK + 1, |seed| history_on(Shelf::on_disk(), seed, None, false).map(drop));
    if let Err(why) = played {
        panic!("{why}");
    }
}

/// Rows that are a minute old are deleted, and the daemon never misses them. Where the clock is set back and jobs begin anew,
/// rows stay for as long as all its steps together.
#[test]
fn histories_whose_past_is_deleted_launch_nothing_twice_and_lose_nothing() {
    let pruned = AtomicU64::new(0);
    let play = |shelf: Shelf, seed| {
        let beyond = match Kind::of_seed(seed) {
            Kind::Returns => TimeDelta::minutes(20),
            _ => TimeDelta::minutes(1),
        };
        let world = history_of(shelf, seed, None, |world| world.prunes_beyond = Some(beyond))?;
        pruned.fetch_add(world.pruned as u64, Ordering::Relaxed);
        Ok(())
    };
    let in_memory = play_all(1..HISTORIES_PRUNED + 1, |seed| play(Shelf::in_memory(), seed));
    let on_disk =
        in_memory.and_then(|()| play_all(1..HISTORIES_PRUNED_ON_DISK + 1, |seed| play(Shelf::on_disk(), seed)));
    if let Err(why) = on_disk {
        panic!("{why}");
    }
    let pruned = pruned.load(Ordering::Relaxed);
    assert!(pruned > HISTORIES_PRUNED, "hardly anything was deleted: {pruned}");
}

/// Jobs that begin anew on a clock that was set back meet the rows of instants that have run. `beyond` is how old a row must
/// be to have been deleted by then.
fn comes_back_on_an_earlier_clock(beyond: TimeDelta) -> Result<(), String> {
    let each_minute = job("skip", "* * * * *", Overlap::Skip, Catchup::All, limits(Some(90), None));
    let mut world = World::new(3, vec![each_minute]);
    world.prunes_beyond = Some(beyond);
    let played = catch_unwind(AssertUnwindSafe(|| {
        world.restart();
        world.run_until(world.real + TimeDelta::minutes(30));
        world.shelf.forget_marks(world.wall());
        world.clock_was_changed = true;
        world.skew -= TimeDelta::minutes(10);
        world.restart();
        world.run_until(world.real + TimeDelta::minutes(12));
        world.settle();
        world.audit(&world.people.known);
    }));
    assert!(world.pruned > 5, "{} rows were deleted", world.pruned);
    played.map_err(|why| told(&*why))
}

#[test]
fn a_row_is_needed_for_as_long_as_a_clock_may_be_set_back() {
    comes_back_on_an_earlier_clock(TimeDelta::minutes(11)).unwrap();
    let why = comes_back_on_an_earlier_clock(TimeDelta::minutes(2)).unwrap_err();
    assert!(why.contains("a finished run changed"), "{why}");
}

#[test]
fn a_clock_that_jumps_ahead_again_and_again_launches_nothing_twice_and_loses_nothing() {
    let played = play_all(JUMPS_FROM..JUMPS_FROM + HISTORIES_OF_JUMPS, |seed| history(seed, None, false).map(drop));
    if let Err(why) = played {
        panic!("{why}");
    }
}

#[test]
fn every_safeguard_is_needed() {
    let mut missed = Vec::new();
    for flaw in Flaw::ALL {
        let first = if flaw == Flaw::TrustsAClockThatJumpedAhead { JUMPS_FROM } else { 1 };
        let caught = play_all(first..first + CAUGHT_WITHIN, |seed| history(seed, Some(flaw), false).map(drop));
        match caught {
            Ok(()) => missed.push(flaw),
            Err(why) => {
                println!("{flaw:?}: {why}")
            }
        }
    }
    assert!(missed.is_empty(), "no history catches a build that {missed:?}");
}

/// The same history again, with one death in it; every second seed has people who want things.
fn with_death(seed: u64, at: Option<(usize, Death)>) -> Result<World, String> {
    let mut world = World::new(seed, mixed_jobs());
    if seed.is_multiple_of(2) {
        (world.people.busy, world.people.reload) = (40, true);
        world.room = wishes::room(&mut random::Random::new(seed));
    }
    let played = catch_unwind(AssertUnwindSafe(|| {
        world.restart();
        world.die_at = at;
        world.run_until(world.real + TimeDelta::minutes(5));
        world.settle();
        world.audit(&world.people.known);
    }));
    played.map(|()| world).map_err(|why| told(&*why))
}

fn dies_everywhere(count: impl Fn(&World) -> usize, deaths: &[Death]) {
    for seed in 1..=4 {
        let undisturbed = with_death(seed, None).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        let count = count(&undisturbed);
        assert!(count > 25, "the history is too short to mean much: {count}");
        let died = play_all(1..count as u64 + 1, |at| {
            for death in deaths {
                let at = usize::try_from(at).unwrap();
                with_death(seed, Some((at, *death)))
                    .map_err(|why| format!("history {seed}, {death:?} at {at}: {why}"))?;
            }
            Ok(())
        });
        if let Err(why) = died {
            panic!("{why}");
        }
    }
}

#[test]
fn a_death_at_any_save_of_a_history_launches_nothing_twice_and_loses_no_instant() {
    dies_everywhere(|world| world.shelf.batches, &Death::AT_SAVES);
}

#[test]
fn a_death_at_any_call_of_a_history_launches_nothing_twice_and_loses_no_instant() {
    dies_everywhere(|world| world.calls_made, &Death::AT_CALLS);
}
