//! Counting a range gives what taking its instants one by one gives, and costs next to nothing.

use super::reference::{ALL_RULES, any_dst, any_zone, five_fields, moment_in, six_fields};
use super::*;
use chrono::TimeDelta;
use proptest::prelude::*;

const SECOND: TimeDelta = TimeDelta::seconds(1);
/// The instants of a range, taken one by one, to compare with.
pub(super) struct Walked {
    schedule: Schedule,
    anchor: DateTime<Utc>,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
    instants: Vec<DateTime<Utc>>,
}

impl Walked {
    pub(super) fn new(schedule: Schedule, anchor: DateTime<Utc>, after: DateTime<Utc>, until: DateTime<Utc>) -> Walked {
        let instants = schedule.firings(after, until, anchor).collect();
        Walked { schedule, anchor, after, until, instants }
    }

    fn compare_count(&self, after: DateTime<Utc>, until: DateTime<Utc>) {
        let counted = self.schedule.count(after, until, self.anchor);
        assert_eq!(counted, self.within(after, until).len() as u64, "{}, {after} to {until}", self.told());
    }

    fn compare_newest(&self, after: DateTime<Utc>, until: DateTime<Utc>, newest: u64) {
        let within = self.within(after, until);
        let last = self.schedule.last(after, until, self.anchor);
        assert_eq!(last, within.last().copied(), "{}, {after} to {until}", self.told());
        let parting = self.schedule.before_newest(newest, after, until, self.anchor);
        let newer = self.within(parting, until).len() as u64;
        assert_eq!(newer, newest.min(within.len() as u64), "{} newest of {}, {after} to {until}", newest, self.told());
        assert!(parting >= after);
    }

    fn within(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> &[DateTime<Utc>] {
        assert!(self.after <= after && until <= self.until);
        let upto = |end| self.instants.partition_point(|at| *at <= end);
        &self.instants[upto(after)..upto(until)]
    }

    fn told(&self) -> String {
        format!("{} in {}", self.schedule.text(), self.schedule.zone())
    }

    /// Ranges from and to anywhere within, of which the place is told by two numbers.
    pub(super) fn compare_at(&self, places: &[(u64, u64)], newest: u64) {
        let nanoseconds = (self.until - self.after).num_nanoseconds().unwrap().unsigned_abs();
        let at = |place: u64| self.after + TimeDelta::nanoseconds(i64::try_from(place % (nanoseconds + 1)).unwrap());
        self.compare_newest(self.after, self.until, newest);
        for (one, other) in places {
            let (after, until) = (at(*one).min(at(*other)), at(*one).max(at(*other)));
            self.compare_count(after, until);
        }
        if let Some((one, other)) = places.first() {
            self.compare_newest(at(*one).min(at(*other)), at(*one).max(at(*other)), newest);
        }
    }
}

pub(super) fn strange_zones() -> impl Strategy<Value = Tz> {
    let strange = [
        Tz::Australia__Lord_Howe,
        Tz::Pacific__Apia,
        Tz::Africa__Casablanca,
        Tz::Asia__Beirut,
        Tz::America__Sao_Paulo,
        Tz::Antarctica__Troll,
        Tz::Antarctica__Casey,
        Tz::Africa__Monrovia,
        Tz::Europe__Berlin,
        Tz::America__New_York,
    ];
    prop_oneof![any_zone(), prop::sample::select(strange.to_vec())]
}

pub(super) fn places() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec(any::<(u64, u64)>(), 12)
}

/// Rates, single instants and mixtures of them, beside the calendars that the properties bring.
pub(super) fn companions() -> impl Strategy<Value = Vec<&'static str>> {
    let known = [
        "rate(1 minute)",
        "rate(7 minutes)",
        "rate(21 minutes)",
        "rate(10 minutes)",
        "rate(1 hour)",
        "rate(5 hours)",
        "rate(1 day)",
        "@hourly",
        "0 0 * * *",
        "*/15 0-3 * * *",
    ];
    prop::collection::vec(prop::sample::select(known.to_vec()), 0..4)
}

/// None where a field names no day at all, or `at(…)` a time that the clock skips.
pub(super) fn parsed(texts: &[&str], zone: Tz, dst: Dst) -> Option<Schedule> {
    Schedule::parse(texts, zone, dst).ok()
}

/// Anchors of whole minutes, whose rates meet calendars and changes of the clocks, of whole seconds as the daemon sets them,
/// and others.
pub(super) fn anchors() -> impl Strategy<Value = TimeDelta> {
    let minutes = (-600..3_000_i64).prop_map(TimeDelta::minutes);
    let seconds = (-200_000..200_000_i64).prop_map(TimeDelta::seconds);
    let fractions = (-200_000_000..200_000_000_i64).prop_map(TimeDelta::milliseconds);
    prop_oneof![4 => minutes, 1 => seconds, 1 => fractions]
}

proptest! {
    #![proptest_config(properties::config(150))]

    #[test]
    fn days_of_five_fields_and_more_are_counted_as_they_are_walked(
        meaning in five_fields(), companions in companions(), dst in any_dst(), (zone, moment) in moment_in(strange_zones(), 72),
        anchor in anchors(), single in 0..96_i64, hours in 1..150_i64, places in places(), newest in 0..40_u64,
    ) {
        let single = (moment + TimeDelta::minutes(single * 30)).with_timezone(&zone).naive_local();
        let single = format!("at({})", single.format("%Y-%m-%dT%H:%M:%S"));
        let mut texts = companions;
        texts.extend([meaning.text.as_str(), &single]);
        if let Some(schedule) = parsed(&texts, zone, dst) {
            let until = moment + TimeDelta::hours(hours);
            Walked::new(schedule, moment + anchor, moment, until).compare_at(&places, newest);
        }
    }

    #[test]
    fn hours_of_six_fields_and_more_are_counted_as_they_are_walked(
        meaning in six_fields(true), other in six_fields(false), companions in companions(), dst in any_dst(),
        (zone, moment) in moment_in(strange_zones(), 4), anchor in anchors(), minutes in 1..400_i64, places in places(),
        newest in 0..400_u64,
    ) {
        let mut texts = companions;
        texts.extend([meaning.text.as_str(), other.text.as_str()]);
        if let Some(schedule) = parsed(&texts, zone, dst) {
            let until = moment + TimeDelta::minutes(minutes);
            Walked::new(schedule, moment + anchor, moment, until).compare_at(&places, newest);
        }
    }

    #[test]
    fn rates_alone_are_counted_as_they_are_walked(
        counts in prop::collection::vec(1..60_u32, 1..6), anchor in anchors(), hours in 1..300_i64, places in places(),
        newest in 0..40_u64,
    ) {
        let texts: Vec<String> = counts.iter().map(|count| format!("rate({} minutes)", count + 1)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let moment = utc("2026-03-28 12:00");
        let schedule = parsed(&texts, Tz::UTC, Dst::default()).expect("rates are always read");
        Walked::new(schedule, moment + anchor, moment, moment + TimeDelta::hours(hours)).compare_at(&places, newest);
    }

    #[test]
    fn years_of_rare_days_are_counted_as_they_are_walked(
        rare in prop::sample::select(vec![
            "cron(0 9 L * ? *)", "cron(30 2 15W * ? *)", "cron(0 2 ? * SUNL *)", "cron(15 1 ? * SUN#1 2011-2040)", "0 0 29 2 *",
            "0 12 13 * FRI", "0 0 30 12 *",
        ]),
        dst in any_dst(), (zone, moment) in moment_in(strange_zones(), 72), days in 1..4_000_i64, places in places(),
    ) {
        let schedule = schedule_in(rare, zone, dst);
        Walked::new(schedule, moment, moment, moment + TimeDelta::days(days)).compare_at(&places, 3);
    }
}

/// Every range whose ends are minutes around a change of the clocks, or a second beside them.
#[test]
fn no_end_within_or_beside_a_gap_or_a_repeated_hour_is_miscounted() {
    let nights = [
        (Tz::Europe__Berlin, "2026-03-29 01:00"),
        (Tz::Europe__Berlin, "2026-10-25 01:00"),
        (Tz::Australia__Lord_Howe, "2026-10-03 15:30"),
        (Tz::Australia__Lord_Howe, "2026-04-04 15:00"),
        (Tz::Africa__Casablanca, "2026-02-15 02:00"),
        (Tz::Africa__Casablanca, "2026-03-22 02:00"),
        (Tz::Pacific__Apia, "2011-12-30 10:00"),
        (Tz::America__Sao_Paulo, "2018-02-18 02:00"),
        (Tz::America__Sao_Paulo, "2018-11-04 03:00"),
        (Tz::Asia__Beirut, "2026-03-28 22:00"),
        (Tz::Antarctica__Vostok, "2023-12-17 19:00"),
    ];
    let texts = ["*/10 * * * *", "5,35 0-4,22,23 * * *", "0 0 * * *", "0 12 * * *", "* * 2 * * *"];
    let mut compared = 0;
    for (zone, change) in nights {
        let change = utc(change);
        let offset = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local() - at.naive_utc();
        assert_ne!(offset(change), offset(change - SECOND), "{zone} changes at {change}");
        for (text, dst) in texts.iter().flat_map(|text| ALL_RULES.map(|dst| (text, dst))) {
            let (after, until) = (change - TimeDelta::hours(4), change + TimeDelta::hours(4));
            let walked = Walked::new(schedule_in(text, zone, dst), after, after, until);
            let ends = [-1800, -1, 0, 1, 300, 1799, 1800, 1801, 3599, 3600, 7199, 7200];
            for (from, to) in
                ends.iter().enumerate().flat_map(|(nth, from)| ends[nth..].iter().map(move |to| (from, to)))
            {
                walked.compare_count(change + TimeDelta::seconds(*from), change + TimeDelta::seconds(*to));
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 11 * 5 * 4 * 78);
}

#[test]
fn a_year_of_seconds_is_counted_to_the_second() {
    let (after, until) = (utc("2025-01-01 00:00"), utc("2026-01-01 00:00"));
    let year = 365 * 86_400;
    let counted = |texts: &[&str], zone, dst| parsed(texts, zone, dst).unwrap().count(after, until, after);
    assert_eq!(counted(&["* * * * * *"], Tz::UTC, Dst::default()), year);
    for dst in ALL_RULES {
        assert_eq!(counted(&["* * * * * *"], Tz::Europe__Berlin, dst), year, "hours are followed as they are shown");
        // An hour of the night in March is skipped, and one of the night in October is shown twice.
        let shown_again = if dst.overlap == Overlap::Both { 3_600 } else { 0 };
        let expected = 365 * 23 * 3_600 - 3_600 + shown_again;
        assert_eq!(counted(&["* * 1-23 * * *"], Tz::Europe__Berlin, dst), expected, "{dst:?}");
    }
    let all = ["* * * * * *", "* * * * *", "rate(1 minute)", "at(2025-06-01T12:00:00)"];
    assert_eq!(counted(&all, Tz::UTC, Dst::default()), year, "the same instant counts once");
    assert_eq!(counted(&["rate(1 minute)", "30 * * * * *"], Tz::UTC, Dst::default()), 2 * year / 60);
    let night = ["rate(1 hour)", "30 2 * * *", "at(2025-03-30T02:30:00)"];
    assert_eq!(counted(&night, Tz::Europe__Berlin, Dst::default()), 365 * 24 + 364, "one of a gap is an hourly one");
    assert_eq!(counted(&["rate(2 minutes)", "rate(3 minutes)"], Tz::UTC, Dst::default()), year / 60 * 4 / 6);
}

#[test]
fn a_century_of_seconds_is_counted_and_its_newest_are_found() {
    let secondly = schedule_in("* * * * * *", Tz::Australia__Lord_Howe, Dst::default());
    let (after, until) = (utc("2000-01-01 00:00"), utc("2100-01-01 00:00"));
    assert_eq!(secondly.count(after, until, after), 36_525 * 86_400);
    assert_eq!(secondly.last(after, until, after), Some(until));
    assert_eq!(secondly.before_newest(1_000, after, until, after), until - TimeDelta::seconds(1_000));
}

#[test]
fn the_ends_of_time_are_counted() {
    let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    for zone in [Tz::UTC, Tz::Pacific__Kiritimati, Tz::Pacific__Pago_Pago] {
        let monthly = schedule_in("0 0 1 * *", zone, Dst::default());
        assert_eq!(monthly.count(first, last, first), 230 * 12);
        assert_eq!(monthly.count(last, first, first), 0);
        let end = monthly.last(first, last, first).map(|at| at.with_timezone(&zone).naive_local().to_string());
        assert_eq!(end.as_deref(), Some("2199-12-01 00:00:00"));
    }
    let rate = schedule("rate(36500 days)");
    assert_eq!(rate.count(first, last, last), 0);
    assert_eq!(rate.count(first, last, first), rate.firings(first, last, first).count() as u64);
}
