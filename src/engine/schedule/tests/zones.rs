//! Every zone of the compiled database, in every decade that it knows: the nights on which its clocks change, against the slow
//! reference, with expressions of every dialect and all four rules.

use super::reference::{ALL_RULES, Meaning, change_after, eventbridge, five_fields, six_fields};
use super::*;
use chrono::TimeDelta;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// From 1970 on: the database knows changes up to 2099.
const DECADES: i64 = 13;
const DECADE_SECONDS: i64 = 10 * 365 * 86_400;

/// An expression from a strategy, one after the other, the same in every run.
fn draw(strategy: &impl Strategy<Value = Meaning>, runner: &mut TestRunner) -> Meaning {
    strategy.new_tree(runner).expect("expressions are generated without rejection").current()
}

fn compare(meaning: &Meaning, zone: Tz, dst: Dst, after: DateTime<Utc>, until: DateTime<Utc>, step: TimeDelta) {
    let expected = meaning.firings(zone, dst, after, until, step);
    let schedule = Schedule::parse(&[&meaning.text], zone, dst);
    let found: Vec<_> =
        schedule.iter().flat_map(|schedule| schedule.firings(after, until, after).collect::<Vec<_>>()).collect();
    let told = || format!("{} in {zone}, {dst:?}, {after} to {until}", meaning.text);
    assert_eq!(found, expected, "{}", told());
    assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{}", told());
    let Ok(schedule) = schedule else { return };
    // Asked again from the middle, and counted.
    let middle = after + (until - after) / 2;
    let again: Vec<_> = schedule.firings(middle, until, middle).collect();
    assert_eq!(again, expected[expected.partition_point(|at| *at <= middle)..], "{}", told());
    assert_eq!(schedule.count(after, until, after), expected.len() as u64, "{}", told());
}

#[test]
fn every_zone_and_decade_fires_as_the_slow_reference() {
    let rounds = properties::config(1).cases;
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (crontab, eventbridge, seconds) = (five_fields(), eventbridge(), six_fields(true));
    let (mut changes, mut nth) = (0, 0);
    for (zone, decade) in TZ_VARIANTS.iter().flat_map(|zone| (0..DECADES).map(move |decade| (*zone, decade))) {
        // Monrovia's clock was 44:30 off until January 1972, which steps of a minute do not meet.
        let start = DateTime::from_timestamp((decade * DECADE_SECONDS).max(65_750_400), 0).unwrap();
        let Some(change) = change_after(zone, start) else { continue };
        changes += 1;
        for _ in 0..rounds {
            nth += 1;
            // A zone meets each dialect under each rule within its decades.
            let dst = ALL_RULES[nth % ALL_RULES.len()];
            let (hour, minute, second) = (TimeDelta::hours(1), TimeDelta::minutes(1), TimeDelta::seconds(1));
            let (after, until) = (change - hour * 3, change + hour * 5);
            match nth % 3 {
                0 => compare(&draw(&crontab, &mut runner), zone, dst, after, until, minute),
                1 => compare(&draw(&eventbridge, &mut runner), zone, dst, after, until, minute),
                _ => compare(&draw(&seconds, &mut runner), zone, dst, change - minute * 3, change + minute * 3, second),
            }
        }
    }
    assert!(changes > 2_000, "{changes} changes are met");
}
