//! The tests of schedules: tables of the dialects, the wording of mistakes, the nights on which clocks change, and properties
//! against a slow reference.

mod clock_changes;
mod count;
mod dialects;
mod mistakes;
mod narrowed;
mod night;
mod properties;
mod reference;
mod spread;
mod zones;

use super::*;
use chrono::TimeZone;

/// An instant written as `2026-01-15 10:07:30`, or without the seconds.
fn utc(text: &str) -> DateTime<Utc> {
    let text = if text.len() == 16 { format!("{text}:00") } else { text.to_owned() };
    NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S").expect("a time as the tests write it").and_utc()
}

fn schedule_in(expression: &str, zone: Tz, dst: Dst) -> Schedule {
    Schedule::parse(&[expression], zone, dst).unwrap_or_else(|mistakes| panic!("{expression}: {mistakes:?}"))
}

fn schedule(expression: &str) -> Schedule {
    schedule_in(expression, Tz::UTC, Dst::default())
}

/// The next firings in local time, as `Thu 2026-01-15 10:10:00`.
fn next_local(schedule: &Schedule, after: &str, count: usize) -> Vec<String> {
    let after = utc(after);
    schedule
        .firings(after, DateTime::<Utc>::MAX_UTC, after)
        .take(count)
        .map(|instant| instant.with_timezone(&schedule.zone()).format("%a %Y-%m-%d %H:%M:%S").to_string())
        .collect()
}

#[test]
fn a_schedule_is_the_union_of_its_expressions_with_nothing_twice() {
    let both = Schedule::parse(&["0 9 * * *", "0 9,17 * * MON-FRI"], Tz::UTC, Dst::default()).unwrap();
    assert_eq!(both.text(), "0 9 * * *; 0 9,17 * * MON-FRI");
    assert_eq!(both.expressions().len(), 2);
    assert_eq!(
        next_local(&both, "2026-01-16 00:00", 4),
        ["Fri 2026-01-16 09:00:00", "Fri 2026-01-16 17:00:00", "Sat 2026-01-17 09:00:00", "Sun 2026-01-18 09:00:00"]
    );
}

#[test]
fn a_range_leaves_out_its_start_and_holds_its_end() {
    let hourly = schedule("@hourly");
    let (after, until) = (utc("2026-01-15 10:00"), utc("2026-01-15 12:00"));
    let firings: Vec<_> = hourly.firings(after, until, after).collect();
    assert_eq!(firings, [utc("2026-01-15 11:00"), until]);
    assert_eq!(hourly.firings(until, after, after).count(), 0);
}

#[test]
fn fractions_of_a_second_neither_lose_nor_repeat_a_firing() {
    let daily = schedule("0 12 * * *");
    let noon = utc("2026-01-15 12:00");
    let nanosecond = chrono::TimeDelta::nanoseconds(1);
    assert_eq!(daily.next(noon - nanosecond, noon), Some(noon));
    assert_eq!(daily.next(noon + nanosecond, noon), Some(utc("2026-01-16 12:00")));
}

#[test]
fn the_ends_of_time_are_answered() {
    let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    for zone in [Tz::UTC, Tz::Pacific__Kiritimati, Tz::Pacific__Pago_Pago] {
        for text in ["* * * * *", "0 0 1 1 *", "cron(0 0 L * ? *)"] {
            let schedule = schedule_in(text, zone, Dst::default());
            let start = schedule.next(first, first).expect("it starts in 1970");
            assert!(start > utc("1969-12-31 00:00") && start < utc("1970-02-02 00:00"));
            assert_eq!(schedule.next(last, first), None);
        }
    }
    let rate = schedule("rate(7 days)");
    assert_eq!(rate.next(last, first), None);
    assert_eq!(rate.next(first, last), None);
    assert!(rate.next(utc("2026-01-01 00:00"), first).is_some());
    assert_eq!(schedule("at(2199-12-31T23:59:59)").next(last, first), None);
}

#[test]
fn equality_is_by_text_zone_and_rule() {
    let one = schedule("@daily");
    assert_eq!(one, schedule("@daily"));
    assert_ne!(one, schedule("0 0 * * *"));
    assert_ne!(one, schedule_in("@daily", Tz::Europe__Berlin, Dst::default()));
}

#[test]
fn zones_are_found_by_name_and_listed() {
    assert_eq!(parse_zone("Europe/Berlin"), Ok(Tz::Europe__Berlin));
    let unknown = parse_zone("Europe/Berlim").unwrap_err().to_string();
    assert!(unknown.starts_with("time zone \"Europe/Berlim\" is not in the IANA database 20"));
    assert!(zone_names().any(|name| name == "Australia/Lord_Howe"));
    assert!(zone_names().all(|name| parse_zone(name).is_ok()));
    assert_eq!(Tz::UTC.timestamp_opt(0, 0).unwrap().to_utc(), utc("1970-01-01 00:00"));
}
