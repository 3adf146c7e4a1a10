//! A slow reading of schedules, written apart from the product: it looks at every step of a range, reads the clock of the zone
//! as it is shown, and asks of each field whether it holds the number. Expressions are generated with their meaning, never
//! parsed.

use super::*;
use chrono::{Datelike, Offset, TimeDelta, TimeZone, Timelike};
use proptest::prelude::*;
use std::collections::{BTreeSet, HashSet};

/// A field as text, with the numbers that it means.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) text: String,
    pub(super) means: BTreeSet<u32>,
}

/// Counts from `from` to `to` around the field, keeping every `step`-th.
fn around(from: u32, to: u32, step: u32, min: u32, max: u32) -> BTreeSet<u32> {
    let mut kept = BTreeSet::new();
    let (mut value, mut count) = (from, 0);
    loop {
        if count % step == 0 {
            kept.insert(value);
        }
        if value == to {
            return kept;
        }
        value = if value == max { min } else { value + 1 };
        count += 1;
    }
}

fn item(min: u32, max: u32, wraps: bool) -> impl Strategy<Value = Part> {
    let steps = 1..=(max - min).clamp(1, 20);
    (0..6_u8, min..=max, min..=max, steps).prop_map(move |(kind, a, b, step)| {
        let (a, b) = if wraps || a <= b { (a, b) } else { (b, a) };
        let (text, means) = match kind {
            0 | 1 => (a.to_string(), around(a, a, 1, min, max)),
            2 => (format!("{a}-{b}"), around(a, b, 1, min, max)),
            3 => (format!("{a}-{b}/{step}"), around(a, b, step, min, max)),
            4 => (format!("{a}/{step}"), around(a, max, step, min, max)),
            _ => (format!("*/{step}"), around(min, max, step, min, max)),
        };
        Part { text, means }
    })
}

/// `*` in one of `one_in` cases, else a short list.
pub(super) fn part(min: u32, max: u32, wraps: bool, star: u32) -> impl Strategy<Value = Part> {
    let all = Part { text: "*".to_owned(), means: (min..=max).collect() };
    let list = prop::collection::vec(item(min, max, wraps), 1..4).prop_map(|items| Part {
        text: items.iter().map(|item| item.text.as_str()).collect::<Vec<_>>().join(","),
        means: items.into_iter().flat_map(|item| item.means).collect(),
    });
    prop_oneof![star => Just(all), 10 - star => list]
}

/// What an expression means, in numbers; days of the week count from Sunday as 0.
#[derive(Debug, Clone)]
pub(super) struct Meaning {
    pub(super) text: String,
    pub(super) seconds: BTreeSet<u32>,
    pub(super) minutes: BTreeSet<u32>,
    pub(super) hours: BTreeSet<u32>,
    pub(super) days: BTreeSet<u32>,
    pub(super) months: BTreeSet<u32>,
    pub(super) weekdays: BTreeSet<u32>,
    /// Whether one of the two day fields is enough.
    pub(super) either_day: bool,
}

impl Meaning {
    fn names(&self, shown: NaiveDateTime) -> bool {
        let day = self.days.contains(&shown.day());
        let weekday = self.weekdays.contains(&shown.weekday().num_days_from_sunday());
        let date = if self.either_day { day || weekday } else { day && weekday };
        date && self.months.contains(&shown.month())
            && self.hours.contains(&shown.hour())
            && self.minutes.contains(&shown.minute())
            && self.seconds.contains(&shown.second())
    }

    /// The firings of (`after`, `until`], by looking at every `step`.
    pub(super) fn firings(
        &self,
        zone: Tz,
        dst: Dst,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
        step: TimeDelta,
    ) -> Vec<DateTime<Utc>> {
        let every_hour = self.hours.len() == 24;
        let mut seen = HashSet::new();
        let mut firings = Vec::new();
        let mut now = after - look_back(zone, after, until);
        let mut before = shown(zone, now - step);
        while now <= until {
            let shown = shown(zone, now);
            let mut fires = false;
            let mut skipped = before + step;
            while skipped < shown {
                fires |= !every_hour && dst.gap == Gap::After && self.names(skipped);
                skipped += step;
            }
            let is_first = seen.insert(shown);
            let counts = is_first || every_hour || dst.overlap == Overlap::Both;
            fires |= counts && self.names(shown);
            if fires && now > after {
                firings.push(now);
            }
            before = shown;
            now += step;
        }
        firings
    }
}

/// How far before a range a local time of it may have been shown: the longest repeated stretch is seven hours, and clocks do
/// not change twice within three days.
fn look_back(zone: Tz, after: DateTime<Utc>, until: DateTime<Utc>) -> TimeDelta {
    let (offset, shift) = (offset_seconds(zone, after), TimeDelta::hours(8));
    if offset_seconds(zone, after - shift) != offset {
        return shift;
    }
    let change = offset_seconds(zone, until) - offset;
    TimeDelta::seconds(i64::from(change.abs()))
}

fn shown(zone: Tz, instant: DateTime<Utc>) -> NaiveDateTime {
    instant.with_timezone(&zone).naive_local()
}

pub(super) fn five_fields() -> impl Strategy<Value = Meaning> {
    let fields =
        (part(0, 59, true, 2), part(0, 23, true, 3), part(1, 31, true, 6), part(1, 12, true, 8), part(0, 6, true, 6));
    fields.prop_map(|(minute, hour, day, month, weekday)| Meaning {
        text: format!("{} {} {} {} {}", minute.text, hour.text, day.text, month.text, weekday.text),
        seconds: BTreeSet::from([0]),
        minutes: minute.means,
        hours: hour.means,
        either_day: !day.text.starts_with('*') && !weekday.text.starts_with('*'),
        days: day.means,
        months: month.means,
        weekdays: weekday.means,
    })
}

/// Without wrapping ranges the text is the crate's own language.
pub(super) fn six_fields(wraps: bool) -> impl Strategy<Value = Meaning> {
    let fields = (
        part(0, 59, wraps, 1),
        part(0, 59, wraps, 3),
        part(0, 23, wraps, 3),
        part(1, 31, wraps, 6),
        part(1, 12, wraps, 8),
        part(1, 7, wraps, 6),
    );
    fields.prop_map(|(second, minute, hour, day, month, weekday)| Meaning {
        text: format!("{} {} {} {} {} {}", second.text, minute.text, hour.text, day.text, month.text, weekday.text),
        seconds: second.means,
        minutes: minute.means,
        hours: hour.means,
        either_day: false,
        days: day.means,
        months: month.means,
        weekdays: weekday.means.into_iter().map(|day| day - 1).collect(),
    })
}

pub(super) fn any_dst() -> impl Strategy<Value = Dst> {
    (any::<bool>(), any::<bool>()).prop_map(|(skip, both)| Dst {
        gap: if skip { Gap::Skip } else { Gap::After },
        overlap: if both { Overlap::Both } else { Overlap::First },
    })
}

pub(super) fn any_zone() -> impl Strategy<Value = Tz> {
    (0..TZ_VARIANTS.len()).prop_map(|index| TZ_VARIANTS[index])
}

fn offset_seconds(zone: Tz, instant: DateTime<Utc>) -> i32 {
    zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc()
}

/// The first change of the clocks within two years.
fn change_after(zone: Tz, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let offset = offset_seconds(zone, start);
    let days = 1..730;
    let mut late = days.map(|days| start + TimeDelta::days(days)).find(|day| offset_seconds(zone, *day) != offset)?;
    let mut early = late - TimeDelta::days(1);
    while late - early > TimeDelta::seconds(1) {
        let middle = early + (late - early) / 2;
        if offset_seconds(zone, middle) == offset {
            early = middle;
        } else {
            late = middle;
        }
    }
    Some(late)
}

/// A zone and a minute from 1972 to 2099, mostly in the hours before its clocks change.
pub(super) fn zone_and_moment(hours_before: i64) -> impl Strategy<Value = (Tz, DateTime<Utc>)> {
    moment_in(any_zone(), hours_before)
}

pub(super) fn moment_in(
    zone: impl Strategy<Value = Tz>,
    hours_before: i64,
) -> impl Strategy<Value = (Tz, DateTime<Utc>)> {
    let minutes = 63_072_000_i64 / 60..4_102_444_800_i64 / 60;
    (zone, minutes, 0..hours_before * 60, 0..8_u8).prop_map(|(zone, minute, before, kind)| {
        let start = DateTime::from_timestamp(minute * 60, 0).expect("a date before 2100");
        let change = if kind == 0 { None } else { change_after(zone, start) };
        let moment = change.map_or(start, |change| change - TimeDelta::minutes(before));
        // Monrovia's clock was 44:30 off until 1972; whole minutes are what the slow steps can see.
        let moment = moment.with_second(0).and_then(|moment| moment.with_nanosecond(0)).expect("whole minutes");
        (zone, moment)
    })
}
