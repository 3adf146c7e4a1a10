//! Which instants are marked in the nights of a change, in Europe and in America.

use super::super::{Dst, Gap, Night, Overlap, Schedule};
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;

/// The first instants after a moment, as local times, each with how its night touches it.
fn marks(expression: &str, zone: Tz, dst: Dst, after: &str, count: usize) -> Vec<(String, Option<Night>)> {
    let schedule = Schedule::parse(&[expression], zone, dst).unwrap();
    let after: DateTime<Utc> = after.parse().unwrap();
    let mut before = after;
    let instants = schedule.firings(after, DateTime::<Utc>::MAX_UTC, after).take(count);
    let marked = instants.map(|at| {
        let night = schedule.night(before, at, after);
        before = at;
        (at.with_timezone(&zone).format("%d %H:%M %Z").to_string(), night)
    });
    marked.collect()
}

fn told(shown: &str, night: Option<Night>) -> (String, Option<Night>) {
    (shown.to_owned(), night)
}

fn wall(year: i32, month: u32, day: u32, hour: u32) -> NaiveDateTime {
    NaiveDate::from_ymd_opt(year, month, day).unwrap().and_hms_opt(hour, 0, 0).unwrap()
}

const BERLIN: Tz = chrono_tz::Europe::Berlin;
const NEW_YORK: Tz = chrono_tz::America::New_York;

fn moved(hours: i64) -> Option<Night> {
    Some(Night::Moved { by: TimeDelta::hours(hours) })
}

fn twice(is_second: bool, fires_both: bool) -> Option<Night> {
    Some(Night::Twice { is_second, fires_both })
}

#[test]
fn a_time_that_is_skipped_is_marked_at_the_end_of_the_gap() {
    let gap = Some(Night::AfterGap { from: wall(2026, 3, 29, 2), to: wall(2026, 3, 29, 3) });
    let daily = marks("30 2 * * *", BERLIN, Dst::default(), "2026-03-27T12:00:00Z", 3);
    assert_eq!(daily, [told("28 02:30 CET", None), told("29 03:00 CEST", gap), told("30 02:30 CEST", None)]);
    let gap = Some(Night::AfterGap { from: wall(2026, 3, 8, 2), to: wall(2026, 3, 8, 3) });
    let daily = marks("30 2 * * *", NEW_YORK, Dst::default(), "2026-03-07T12:00:00Z", 2);
    assert_eq!(daily, [told("08 03:00 EDT", gap), told("09 02:30 EDT", None)]);
    let left_out = Dst { gap: Gap::Skip, ..Dst::default() };
    let daily = marks("30 2 * * *", BERLIN, left_out, "2026-03-27T12:00:00Z", 2);
    assert_eq!(daily, [told("28 02:30 CET", None), told("30 02:30 CEST", moved(1))]);
}

#[test]
fn a_time_that_is_shown_twice_says_how_often_it_fires() {
    let once = marks("30 2 * * *", BERLIN, Dst::default(), "2026-10-24T12:00:00Z", 2);
    assert_eq!(once, [told("25 02:30 CEST", twice(false, false)), told("26 02:30 CET", moved(-1))]);
    let both = Dst { overlap: Overlap::Both, ..Dst::default() };
    let two = marks("30 1 * * *", NEW_YORK, both, "2026-10-31T12:00:00Z", 3);
    let expected =
        [told("01 01:30 EDT", twice(false, true)), told("01 01:30 EST", twice(true, true)), told("02 01:30 EST", None)];
    assert_eq!(two, expected);
}

#[test]
fn an_hourly_expression_and_a_rate_follow_the_clock_that_is_shown() {
    for expression in ["0 * * * *", "rate(1 hour)"] {
        let hours = marks(expression, BERLIN, Dst::default(), "2026-10-24T23:00:00Z", 3);
        let expected = [
            told("25 02:00 CEST", twice(false, true)),
            told("25 02:00 CET", twice(true, true)),
            told("25 03:00 CET", None),
        ];
        assert_eq!(hours, expected, "{expression}");
    }
}

#[test]
fn what_comes_long_after_a_change_says_that_the_clocks_moved() {
    let monthly = marks("0 9 1 * *", NEW_YORK, Dst::default(), "2026-02-15T00:00:00Z", 3);
    assert_eq!(monthly, [told("01 09:00 EST", None), told("01 09:00 EDT", moved(1)), told("01 09:00 EDT", None)]);
    let utc = marks("0 9 1 * *", Tz::UTC, Dst::default(), "2026-02-15T00:00:00Z", 12);
    assert!(utc.iter().all(|(_, night)| night.is_none()), "{utc:?}");
}
