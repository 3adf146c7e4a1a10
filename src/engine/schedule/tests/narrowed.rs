//! What `start_at`, `end_at` and `except` do: tables first, then properties against the slow reference.

use super::count::{Walked, anchors, companions, parsed, places, strange_zones};
use super::reference::{any_dst, eventbridge, five_fields, moment_in, narrower, six_fields, zone_and_moment};
use super::*;
use chrono::TimeDelta;
use proptest::prelude::*;

fn moment(text: &str) -> Option<Moment> {
    (!text.is_empty()).then(|| Moment::read(text).unwrap_or_else(|mistake| panic!("{text}: {mistake}")))
}

fn bounds(start_at: &str, end_at: &str, except: &[&str]) -> Bounds {
    let except = Exceptions::read(except).unwrap_or_else(|mistakes| panic!("{except:?}: {mistakes:?}"));
    Bounds { start_at: moment(start_at), end_at: moment(end_at), except: except.into() }
}

fn narrowed(expression: &str, zone: Tz, bounds: Bounds) -> Schedule {
    let narrowed = schedule_in(expression, zone, Dst::default()).bounded(bounds);
    narrowed.unwrap_or_else(|mistake| panic!("{expression}: {mistake}"))
}

#[test]
fn both_ends_are_included() {
    let hourly = narrowed("@hourly", Tz::UTC, bounds("2026-12-01T08:00:00Z", "2026-12-01T10:00:00Z", &[]));
    let expected = ["Tue 2026-12-01 08:00:00", "Tue 2026-12-01 09:00:00", "Tue 2026-12-01 10:00:00"];
    assert_eq!(next_local(&hourly, "2026-01-01 00:00", 9), expected);
    assert_eq!(next_local(&hourly, "2026-12-01 08:00", 9), expected[1..]);
    assert_eq!(hourly.count(utc("2026-01-01 00:00"), utc("2027-01-01 00:00"), utc("2026-01-01 00:00")), 3);
    assert_eq!(hourly.last(utc("2026-01-01 00:00"), utc("2027-01-01 00:00"), utc("2026-01-01 00:00")), hourly.end_at());
}

#[test]
fn moments_are_read_in_every_form_and_mean_local_time_without_an_offset() {
    let start = |text| narrowed("* * * * * *", Tz::Europe__Berlin, bounds(text, "", &[])).start_at().unwrap();
    let end = |text| narrowed("* * * * * *", Tz::Europe__Berlin, bounds("", text, &[])).end_at().unwrap();
    for text in [
        "2026-11-30T23:00:00Z",
        "2026-12-01T00:00:00+01:00",
        "2026-12-01 00:00:00+01:00",
        "2026-12-01T00:00:00",
        "2026-12-01 00:00:00.000",
        " 2026-12-01 ",
    ] {
        assert_eq!(start(text), utc("2026-11-30 23:00"), "{text}");
    }
    assert_eq!(end("2026-12-01"), utc("2026-12-01 22:59:59"));
    assert_eq!(end("2026-12-01T00:00:00"), utc("2026-11-30 23:00"));
    // 2026-03-29: 02:00 to 03:00 does not exist. 2026-10-25: 02:00 to 03:00 is shown twice.
    assert_eq!(start("2026-03-29T02:30:00"), utc("2026-03-29 01:00"));
    assert_eq!(start("2026-10-25T02:30:00"), utc("2026-10-25 00:30"));
    assert_eq!(end("2026-10-25T02:30:00"), utc("2026-10-25 01:30"));
    let beirut = narrowed("* * * * * *", Tz::Asia__Beirut, bounds("2026-03-29", "2026-03-29", &[]));
    let of_day = (utc("2026-03-28 22:00"), utc("2026-03-29 20:59:59"));
    assert_eq!((beirut.start_at().unwrap(), beirut.end_at().unwrap()), of_day);
    assert_eq!(beirut.count(utc("2026-01-01 00:00"), utc("2027-01-01 00:00"), utc("2026-01-01 00:00")), 23 * 3_600);
}

#[test]
fn other_moments_are_refused() {
    let forms = "expected an instant such as 2026-12-01T00:00:00Z, a local time such as 2026-12-01T08:30:00, or a date";
    for (text, message) in [
        ("", format!("\"\" is not understood: {forms}")),
        ("tomorrow", format!("\"tomorrow\" is not understood: {forms}")),
        ("2026-12-1", format!("\"2026-12-1\" is not understood: {forms}")),
        ("2026-12-01T24:00:00", format!("\"2026-12-01T24:00:00\" is not understood: {forms}")),
        ("2026-12-01T10:00", format!("\"2026-12-01T10:00\" is not understood: {forms}")),
        ("2026-12-01T10:00:00Europe", format!("\"2026-12-01T10:00:00Europe\" is not understood: {forms}")),
        ("2026-02-30", "\"2026-02-30\" is no date or time from 1970 to 2199".to_owned()),
        ("1969-12-31T00:00:00Z", "\"1969-12-31T00:00:00Z\" is no date or time from 1970 to 2199".to_owned()),
        ("2016-12-31T23:59:60Z", "\"2016-12-31T23:59:60Z\" is a leap second, which no schedule names".to_owned()),
        (
            "2026-12-01T10:00:00.5Z",
            "\"2026-12-01T10:00:00.5Z\" has a fraction of a second: write whole seconds".to_owned(),
        ),
    ] {
        assert_eq!(Moment::read(text).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_rate_with_a_start_fires_at_it_and_counts_from_it() {
    let rate = narrowed("rate(90 minutes)", Tz::UTC, bounds("2026-12-01T08:00:00Z", "2026-12-01T11:00:00Z", &[]));
    for anchor in ["2020-01-01 00:07", "2026-12-01 09:00:01", "2030-01-01 00:00"].map(utc) {
        let all = rate.firings(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC, anchor).collect::<Vec<_>>();
        assert_eq!(all, ["2026-12-01 08:00", "2026-12-01 09:30", "2026-12-01 11:00"].map(utc));
        assert_eq!(rate.count(utc("2026-12-01 07:59:59"), utc("2026-12-01 09:29:59"), anchor), 1);
        assert_eq!(rate.count(utc("2026-12-01 08:00:00"), utc("2026-12-01 09:29:59"), anchor), 0);
    }
    let two = Schedule::parse(&["rate(2 hours)", "rate(3 hours)", "0 8 * * *"], Tz::UTC, Dst::default()).unwrap();
    let two = two.bounded(bounds("2026-12-01T08:00:00Z", "", &[])).unwrap();
    let day = (utc("2026-11-30 08:00"), utc("2026-12-02 08:00"));
    assert_eq!(two.count(day.0, day.1, day.0), two.firings(day.0, day.1, day.0).count() as u64);
    assert_eq!(two.count(day.0, day.1, day.0), 1 + 12 + 4);
}

#[test]
fn days_and_times_are_left_out() {
    let berlin = |text, except: &[&str]| narrowed(text, Tz::Europe__Berlin, bounds("", "", except));
    let daily = berlin("0 9 * * *", &["2026-12-25..2026-12-27", "2026-12-28", "0 9 30 12 *"]);
    assert_eq!(
        next_local(&daily, "2026-12-23 12:00", 4),
        ["Thu 2026-12-24 09:00:00", "Tue 2026-12-29 09:00:00", "Thu 2026-12-31 09:00:00", "Fri 2027-01-01 09:00:00"]
    );
    // Without a field for seconds whole minutes are left out, with one only the seconds named.
    let seconds = berlin("* * * * * *", &["* 0-22 * * *", "0-57 59 23 * * *", "cron(0-58 23 * * ? *)"]);
    assert_eq!(
        next_local(&seconds, "2026-12-01 00:00", 3),
        ["Tue 2026-12-01 23:59:58", "Tue 2026-12-01 23:59:59", "Wed 2026-12-02 23:59:58"]
    );
    let once = berlin("0 9,10 * * *", &["at(2026-12-24T09:00:00)"]);
    assert_eq!(next_local(&once, "2026-12-23 12:00", 2), ["Thu 2026-12-24 10:00:00", "Fri 2026-12-25 09:00:00"]);
    let rate = berlin("rate(1 day)", &["@weekly", "2026-12-26"]);
    let from = utc("2026-12-24 23:00");
    assert_eq!(rate.firings(from, utc("2026-12-29 23:00"), from).count(), 3, "25th is kept; 26th, and Sunday, are not");
    // What a gap moves to 03:00 is left out as 03:00.
    assert_eq!(berlin("30 2 * * *", &["0 3 * * *"]).next(utc("2026-03-28 12:00"), from), Some(utc("2026-03-30 00:30")));
    assert_eq!(
        berlin("30 2 * * *", &["30 2 29 3 *"]).next(utc("2026-03-28 12:00"), from),
        Some(utc("2026-03-29 01:00"))
    );
}

#[test]
fn far_ends_of_what_is_left_out_are_found_without_a_walk() {
    let start = utc("2026-01-01 00:00");
    let century = narrowed("* * * * * *", Tz::Europe__Berlin, bounds("", "", &["2026-01-01..2126-12-31"]));
    assert_eq!(century.next(start, start), Some(utc("2126-12-31 23:00")));
    // Schedule and exception interlock: every firing of 99 years is left out on its own.
    let interlocked = narrowed("0 */2 * * *", Tz::UTC, bounds("", "", &["cron(0 0/2 * * ? 2026-2124)"]));
    assert_eq!(interlocked.next(start, start), Some(utc("2125-01-01 00:00")));
    assert_eq!(interlocked.count(start, utc("2125-01-01 02:00"), start), 2);
    let rate = narrowed("rate(2 minutes)", Tz::UTC, bounds("", "", &["cron(*/2 * * * ? 2026-2030)"]));
    assert_eq!(rate.next(start, start), Some(utc("2031-01-01 00:00")));
    // Whether anything is left of a rate depends on what it counts from.
    let nothing = narrowed("rate(2 minutes)", Tz::UTC, bounds("", "2030-12-31", &["*/2 * * * *"]));
    assert_eq!(nothing.next(start, start), None);
    assert_eq!(nothing.next(start, start + TimeDelta::minutes(1)), Some(start + TimeDelta::minutes(3)));
}

#[test]
fn what_cannot_fire_is_refused() {
    let refused = |texts: &[&str], bounds| {
        let schedule = Schedule::parse(texts, Tz::Europe__Berlin, Dst::default()).unwrap();
        schedule.bounded(bounds).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&["@daily"], bounds("2026-12-02", "2026-12-01", &[])),
        "end_at (2026-12-01T22:59:59Z) is before start_at (2026-12-01T23:00:00Z)"
    );
    assert_eq!(
        refused(&["0 9 * * *"], bounds("2026-12-01T10:00:00", "2026-12-02T08:00:00", &[])),
        "the schedule names no instant from start_at (2026-12-01T09:00:00Z) to end_at (2026-12-02T07:00:00Z)"
    );
    assert_eq!(
        refused(&["at(2026-11-01T09:00:00)"], bounds("2026-12-01", "", &[])),
        "the schedule names no instant from start_at (2026-11-30T23:00:00Z) on"
    );
    assert_eq!(
        refused(&["cron(0 9 * * ? 2027)"], bounds("", "2026-12-31", &[])),
        "the schedule names no instant up to end_at (2026-12-31T22:59:59Z)"
    );
    let excepted = |text: &str| format!("\"{text}\" never fires: except leaves none of its instants");
    assert_eq!(refused(&["0 9 * * *"], bounds("", "", &["0 9 * * *"])), excepted("0 9 * * *"));
    assert_eq!(refused(&["* * * * * *"], bounds("", "", &["* * * * *"])), excepted("* * * * * *"));
    assert_eq!(
        refused(&["0 9 * * MON", "@weekly"], bounds("", "", &["* * * * 0,1"])),
        excepted("0 9 * * MON; @weekly")
    );
    assert_eq!(
        refused(&["rate(5 minutes)"], bounds("2026-12-01", "2026-12-02", &["2026-11-30..2026-12-02"])),
        excepted("rate(5 minutes)")
    );
    assert_eq!(refused(&["rate(5 minutes)"], bounds("", "", &["1970-01-01..2199-12-31"])), excepted("rate(5 minutes)"));
}

#[test]
fn mistaken_exceptions_say_what_is_accepted() {
    let forms = "a date such as 2026-12-25, a range of dates such as 2026-12-24..2027-01-02, or a cron expression";
    let table = [
        ("christmas", format!("exception \"christmas\" is not understood: expected {forms}"), "christmas"),
        ("", format!("exception \"\" is not understood: expected {forms}"), ""),
        (" 2026-12-1 ", format!("exception \"2026-12-1\" is not understood: expected {forms}"), "2026-12-1"),
        ("2026-02-30", "\"2026-02-30\" is no date from 1970 to 2199".to_owned(), "2026-02-30"),
        ("2026-12-25..2200-01-01", "\"2200-01-01\" is no date from 1970 to 2199".to_owned(), "2200-01-01"),
        (
            "2026-12-25 .. 2026-12-24",
            "the range \"2026-12-25 .. 2026-12-24\" runs backwards: write the earlier date first".to_owned(),
            "2026-12-25 .. 2026-12-24",
        ),
        (
            "2026-12-24.2026-12-25",
            format!("exception \"2026-12-24.2026-12-25\" is not understood: expected {forms}"),
            "2026-12-24.2026-12-25",
        ),
        (
            "rate(5 minutes)",
            format!("\"rate(5 minutes)\" is refused: a rate names no time of the clock; write {forms}"),
            "rate(5 minutes)",
        ),
        ("0 25 * * *", "hour \"25\" is out of range: 0-23".to_owned(), "25"),
    ];
    for (text, message, under_caret) in table {
        let mistakes = Exceptions::read(&["2026-12-25", text]).unwrap_err();
        let [(1, mistake)] = mistakes.as_slice() else { panic!("{text}: {mistakes:?}") };
        assert_eq!((mistake.to_string(), &text[mistake.span()]), (message, under_caret));
    }
}

#[test]
fn an_identity_holds_what_narrows_and_nothing_if_nothing_does() {
    let zone = Tz::Europe__Berlin;
    let plain = schedule_in("0 9 * * *", zone, Dst::default());
    assert_eq!(plain.identity(), "0 9 * * * in Europe/Berlin, gap After, overlap First");
    assert_eq!(plain.clone().bounded(Bounds::default()).unwrap().identity(), plain.identity());
    let all =
        narrowed("0 9 * * *", zone, bounds("2026-12-01", "2026-12-31", &[" 2026-12-25", "at(2026-12-28T09:00:00)"]));
    assert_eq!(
        all.identity(),
        "0 9 * * * in Europe/Berlin, gap After, overlap First, start 2026-11-30T23:00:00Z, end 2026-12-31T22:59:59Z, \
         except 2026-12-25; at(2026-12-28T09:00:00)"
    );
    for bounds in [
        bounds("2026-12-01", "", &[]),
        bounds("", "2026-12-01", &[]),
        bounds("", "", &["0 9 24 12 *"]),
        bounds("2026-12-01", "2027-12-01", &["2026-12-25"]),
    ] {
        let schedule = narrowed("0 9 * * *", zone, bounds);
        assert_ne!(schedule, plain);
        assert_eq!(Schedule::of_identity(&schedule.identity()), Some(schedule));
    }
}

fn cases(count: u32) -> ProptestConfig {
    properties::config(count)
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn minutes_are_narrowed_as_in_the_slow_reference(
        meaning in prop_oneof![five_fields(), eventbridge()], narrower in narrower(60), dst in any_dst(),
        (zone, after) in zone_and_moment(40), restart in 0..60 * 3_600_i64,
    ) {
        let until = after + TimeDelta::hours(60);
        let narrowing = narrower.from(zone, after);
        let mut expected = meaning.firings(zone, dst, after, until, TimeDelta::minutes(1));
        expected.retain(|at| narrowing.keeps(zone, *at));
        // Nothing to ask where nothing at all is left.
        let narrowed = parsed(&[&meaning.text], zone, dst).and_then(|schedule| schedule.bounded(narrowing.bounds()).ok());
        let told = format!("{} in {zone} but for {narrowing:?}", meaning.text);
        let Some(schedule) = narrowed else {
            prop_assert!(expected.is_empty(), "{}", told);
            return Ok(());
        };
        let found: Vec<_> = schedule.firings(after, until, after).collect();
        prop_assert_eq!(&found, &expected, "{}", &told);
        let restart = after + TimeDelta::seconds(restart);
        expected.retain(|at| *at > restart);
        let again: Vec<_> = schedule.firings(restart, until, restart).collect();
        prop_assert_eq!(again, expected, "{}", &told);
        prop_assert_eq!(Schedule::of_identity(&schedule.identity()), Some(schedule), "{}", told);
    }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn seconds_are_narrowed_as_in_the_slow_reference(
        meaning in six_fields(true), narrower in narrower(2), dst in any_dst(), (zone, after) in zone_and_moment(2),
    ) {
        let until = after + TimeDelta::minutes(100);
        let narrowing = narrower.from(zone, after);
        let mut expected = meaning.firings(zone, dst, after, until, TimeDelta::seconds(1));
        expected.retain(|at| narrowing.keeps(zone, *at));
        let narrowed = parsed(&[&meaning.text], zone, dst).and_then(|schedule| schedule.bounded(narrowing.bounds()).ok());
        let found: Vec<_> =
            narrowed.map(|schedule| schedule.firings(after, until, after).collect()).unwrap_or_default();
        prop_assert_eq!(found, expected, "{} in {} but for {:?}", meaning.text, zone, narrowing);
    }

    #[test]
    fn rates_and_unions_are_narrowed_one_by_one(
        companions in companions(), narrower in narrower(60), dst in any_dst(), (zone, after) in moment_in(strange_zones(), 40),
        anchor in anchors(), period in 1..200_u32,
    ) {
        let rate = format!("rate({} minutes)", period + 1);
        let mut texts = companions;
        texts.push(&rate);
        let schedule = parsed(&texts, zone, dst).expect("all of these fire");
        let narrowing = narrower.from(zone, after);
        // What a rate counts from is the reference's own: its start, at which it fires.
        let (until, first_seen) = (after + TimeDelta::hours(60), after + anchor);
        let counted_from = narrowing.start.map_or(first_seen, |start| start - TimeDelta::minutes(i64::from(period + 1)));
        let mut expected: Vec<_> = match narrowing.start {
            None => schedule.firings(after, until, first_seen).collect(),
            Some(start) => {
                let union = texts.iter().flat_map(|text| {
                    let from = match Schedule::parse(&[text], zone, dst).unwrap().expressions[0] {
                        Expression::Interval(interval) => start - TimeDelta::seconds(interval.period_seconds()),
                        Expression::Calendar(_) | Expression::Once(_) => counted_from,
                    };
                    let alone = Schedule::parse(&[text], zone, dst).unwrap();
                    alone.firings(after - TimeDelta::seconds(1), until, from).collect::<Vec<_>>()
                });
                let union: std::collections::BTreeSet<_> = union.filter(|at| *at > after).collect();
                union.into_iter().collect()
            }
        };
        expected.retain(|at| narrowing.keeps(zone, *at));
        let narrowed = schedule.bounded(narrowing.bounds());
        let found: Vec<_> =
            narrowed.map(|schedule| schedule.firings(after, until, first_seen).collect()).unwrap_or_default();
        prop_assert_eq!(found, expected, "{:?} in {} but for {:?}", texts, zone, narrowing);
    }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn narrowed_days_are_counted_as_they_are_walked(
        meaning in five_fields(), companions in companions(), narrower in narrower(120), dst in any_dst(),
        (zone, moment) in moment_in(strange_zones(), 72), anchor in anchors(), single in 0..96_i64, hours in 1..150_i64,
        places in places(), newest in 0..40_u64,
    ) {
        let single = (moment + TimeDelta::minutes(single * 30)).with_timezone(&zone).naive_local();
        let single = format!("at({})", single.format("%Y-%m-%dT%H:%M:%S"));
        let mut texts = companions;
        texts.extend([meaning.text.as_str(), &single]);
        let narrowed = parsed(&texts, zone, dst)
            .and_then(|schedule| schedule.bounded(narrower.from(zone, moment).bounds()).ok());
        if let Some(schedule) = narrowed {
            let until = moment + TimeDelta::hours(hours);
            Walked::new(schedule, moment + anchor, moment, until).compare_at(&places, newest);
        }
    }

    #[test]
    fn narrowed_hours_are_counted_as_they_are_walked(
        meaning in six_fields(true), companions in companions(), narrower in narrower(6), dst in any_dst(),
        (zone, moment) in moment_in(strange_zones(), 4), anchor in anchors(), minutes in 1..400_i64, places in places(),
        newest in 0..400_u64,
    ) {
        let mut texts = companions;
        texts.push(meaning.text.as_str());
        let narrowed = parsed(&texts, zone, dst)
            .and_then(|schedule| schedule.bounded(narrower.from(zone, moment).bounds()).ok());
        if let Some(schedule) = narrowed {
            let until = moment + TimeDelta::minutes(minutes);
            Walked::new(schedule, moment + anchor, moment, until).compare_at(&places, newest);
        }
    }
}
