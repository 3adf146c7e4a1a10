//! The nights on which clocks change, spelled out.

use super::*;

const SKIP: Dst = Dst { gap: Gap::Skip, overlap: Overlap::First };
const BOTH: Dst = Dst { gap: Gap::After, overlap: Overlap::Both };
const DEFAULT: Dst = Dst { gap: Gap::After, overlap: Overlap::First };

/// The firings of a range in UTC, as hour and minute, each one asked for anew as after a restart.
fn night(expression: &str, zone: Tz, dst: Dst, after: &str, until: &str) -> Vec<String> {
    let schedule = schedule_in(expression, zone, dst);
    let (after, until) = (utc(after), utc(until));
    let firings: Vec<_> = schedule.firings(after, until, after).collect();
    for pair in firings.windows(2) {
        assert!(pair[0] < pair[1]);
    }
    firings.iter().map(|firing| firing.format("%H:%M").to_string()).collect()
}

#[test]
fn berlin_in_spring() {
    // 2026-03-29: at 01:00 UTC the clock goes from 02:00 to 03:00.
    let check = |expression, dst, expected: &[&str]| {
        let found = night(expression, Tz::Europe__Berlin, dst, "2026-03-28 23:00", "2026-03-29 03:00");
        assert_eq!(found, expected, "{expression}");
    };
    check("30 2 * * *", DEFAULT, &["01:00"]);
    check("30 2 * * *", SKIP, &[]);
    check("0 2,3 * * *", DEFAULT, &["01:00"]);
    check("0 2,3 * * *", SKIP, &["01:00"]);
    check("*/20 2 * * *", DEFAULT, &["01:00"]);
    check("*/20 1-3 * * *", DEFAULT, &["00:00", "00:20", "00:40", "01:00", "01:20", "01:40"]);
    check("*/30 * * * *", DEFAULT, &["23:30", "00:00", "00:30", "01:00", "01:30", "02:00", "02:30", "03:00"]);
    check("7 * * * *", DEFAULT, &["23:07", "00:07", "01:07", "02:07"]);
}

#[test]
fn berlin_in_autumn() {
    // 2026-10-25: at 01:00 UTC the clock goes from 03:00 back to 02:00.
    let check = |expression, dst, expected: &[&str]| {
        let found = night(expression, Tz::Europe__Berlin, dst, "2026-10-24 22:00", "2026-10-25 03:00");
        assert_eq!(found, expected, "{expression}");
    };
    check("30 2 * * *", DEFAULT, &["00:30"]);
    check("30 2 * * *", BOTH, &["00:30", "01:30"]);
    check("0 2,3 * * *", DEFAULT, &["00:00", "02:00"]);
    check("0 2,3 * * *", BOTH, &["00:00", "01:00", "02:00"]);
    check("*/30 1-2 * * *", DEFAULT, &["23:00", "23:30", "00:00", "00:30"]);
    check("*/30 1-2 * * *", BOTH, &["23:00", "23:30", "00:00", "00:30", "01:00", "01:30"]);
    check(
        "*/30 0-23 * * *",
        DEFAULT,
        &["22:30", "23:00", "23:30", "00:00", "00:30", "01:00", "01:30", "02:00", "02:30", "03:00"],
    );
    check("@hourly", SKIP, &["23:00", "00:00", "01:00", "02:00", "03:00"]);
}

#[test]
fn new_york_both_nights() {
    let zone = Tz::America__New_York;
    let spring = |dst| night("30 2 * * *", zone, dst, "2026-03-07 12:00", "2026-03-08 12:00");
    assert_eq!(spring(DEFAULT), ["07:00"]);
    assert_eq!(spring(SKIP), [""; 0]);
    let autumn = |text, dst| night(text, zone, dst, "2026-11-01 04:00", "2026-11-01 07:00");
    assert_eq!(autumn("30 1 * * *", DEFAULT), ["05:30"]);
    assert_eq!(autumn("30 1 * * *", BOTH), ["05:30", "06:30"]);
    // The crate alone runs backwards here: 05:00, 06:00, 05:30, 06:30.
    assert_eq!(autumn("*/30 * * * *", DEFAULT), ["04:30", "05:00", "05:30", "06:00", "06:30", "07:00"]);
    let once = schedule_in("at(2026-11-01T01:30:00)", zone, DEFAULT);
    assert_eq!(next_local(&once, "2026-01-01 00:00", 3), ["Sun 2026-11-01 01:30:00"]);
    let gap = schedule_in("at(2026-03-08T02:30:00)", zone, DEFAULT);
    assert_eq!(next_local(&gap, "2026-01-01 00:00", 3), ["Sun 2026-03-08 03:00:00"]);
}

#[test]
fn a_restart_inside_the_repeated_hour_repeats_nothing() {
    let half_hours = schedule_in("*/30 1 * * *", Tz::America__New_York, DEFAULT);
    let second_pass = utc("2026-11-01 06:10");
    assert_eq!(half_hours.next(second_pass, second_pass), Some(utc("2026-11-02 06:00")));
    // Nearly an hour of seconds is passed over at once.
    let seconds = schedule_in("* * 1 * * *", Tz::America__New_York, DEFAULT);
    let start = utc("2026-11-01 06:00:01");
    assert_eq!(seconds.next(start, start), Some(utc("2026-11-02 06:00")));
    let first_pass = utc("2026-11-01 05:10");
    assert_eq!(half_hours.next(first_pass, first_pass), Some(utc("2026-11-01 05:30")));
}

#[test]
fn lord_howe_moves_by_half_an_hour() {
    let zone = Tz::Australia__Lord_Howe;
    // 2026-10-04: at 15:30 UTC of the day before the clock goes from 02:00 to 02:30.
    let spring = |text, dst| night(text, zone, dst, "2026-10-03 14:00", "2026-10-03 17:00");
    assert_eq!(spring("15 2 * * *", DEFAULT), ["15:30"]);
    assert_eq!(spring("15 2 * * *", SKIP), [""; 0]);
    assert_eq!(spring("0,15,30 2 * * *", DEFAULT), ["15:30"]);
    assert_eq!(spring("0 * * * *", DEFAULT), ["14:30", "16:00", "17:00"]);
    // 2026-04-05: at 15:00 UTC of the day before the clock goes from 02:00 back to 01:30.
    let autumn = |text, dst| night(text, zone, dst, "2026-04-04 14:00", "2026-04-04 16:00");
    assert_eq!(autumn("45 1 * * *", DEFAULT), ["14:45"]);
    assert_eq!(autumn("45 1 * * *", BOTH), ["14:45", "15:15"]);
    assert_eq!(
        autumn("*/15 * * * *", DEFAULT),
        ["14:15", "14:30", "14:45", "15:00", "15:15", "15:30", "15:45", "16:00"]
    );
}

#[test]
fn apia_lost_a_whole_day() {
    // 2011-12-30 did not happen: at 10:00 UTC of that day the 29th ended and the 31st began.
    let zone = Tz::Pacific__Apia;
    let days = |text, dst| night(text, zone, dst, "2011-12-28 12:00", "2011-12-31 12:00");
    assert_eq!(days("0 12 * * *", DEFAULT), ["22:00", "22:00", "10:00", "22:00"]);
    assert_eq!(days("0 12 * * *", SKIP), ["22:00", "22:00", "22:00"]);
    assert_eq!(days("0 12 30 12 *", DEFAULT), ["10:00"]);
    assert_eq!(days("0 0 * * *", DEFAULT), ["10:00", "10:00", "10:00"]);
    let hourly = schedule_in("@hourly", zone, DEFAULT);
    let (after, until) = (utc("2011-12-29 00:00"), utc("2011-12-31 00:00"));
    assert_eq!(hourly.firings(after, until, after).count(), 48);
}

#[test]
fn gaps_at_midnight_do_not_lose_the_day() {
    // Asia/Beirut, 2026-03-29: 00:00 does not exist; America/Santiago, 2026-09-06, likewise; Sao Paulo until 2018.
    let table = [
        (Tz::Asia__Beirut, "2026-03-28 12:00", "Sun 2026-03-29 01:00:00"),
        (Tz::America__Santiago, "2026-09-05 12:00", "Sun 2026-09-06 01:00:00"),
        (Tz::America__Sao_Paulo, "2018-11-03 12:00", "Sun 2018-11-04 01:00:00"),
    ];
    for (zone, after, expected) in table {
        assert_eq!(next_local(&schedule_in("@daily", zone, DEFAULT), after, 1), [expected]);
        assert_eq!(next_local(&schedule_in("@weekly", zone, DEFAULT), after, 1), [expected]);
    }
    let caracas = schedule_in("0 3 * * *", Tz::America__Caracas, DEFAULT);
    assert_eq!(next_local(&caracas, "2016-05-01 00:00", 1), ["Sun 2016-05-01 03:00:00"]);
    let inside = schedule_in("45 2 * * *", Tz::America__Caracas, DEFAULT);
    assert_eq!(next_local(&inside, "2016-05-01 00:00", 1), ["Sun 2016-05-01 03:00:00"]);
}

#[test]
fn rates_ignore_the_clock() {
    let daily = schedule_in("rate(1 day)", Tz::Europe__Berlin, DEFAULT);
    assert_eq!(next_local(&daily, "2026-03-28 05:00", 2), ["Sun 2026-03-29 07:00:00", "Mon 2026-03-30 07:00:00"]);
}

#[test]
fn a_gap_of_a_day_is_passed_over_at_once() {
    let seconds = schedule_in("* * 1-22 * * *", Tz::Pacific__Apia, SKIP);
    let start = utc("2011-12-30 09:00:00");
    assert_eq!(seconds.next(start, start), Some(utc("2011-12-30 11:00")));
}

/// What `local_time.rs` relies on. Days are looked at, not hours; the laws of 2037 are those of all later years.
#[test]
fn no_zone_changes_its_clocks_twice_within_three_days() {
    use chrono::Offset;
    for zone in TZ_VARIANTS {
        let offset = |day: i64| {
            let noon = DateTime::from_timestamp(day * 86_400 + 43_200, 0).unwrap();
            let offset = zone.offset_from_utc_datetime(&noon.naive_utc());
            offset.fix().local_minus_utc()
        };
        let days = 0..68 * 365;
        let (mut shown, mut changed) = (offset(-1), -4);
        for day in days {
            let now = offset(day);
            if now != shown {
                assert!(day - changed > 3, "{zone} changes on day {day} and day {changed}");
                (shown, changed) = (now, day);
            }
        }
    }
}
