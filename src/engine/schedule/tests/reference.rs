//! A slow reading of schedules, written apart from the product: it looks at every step of a range, reads the clock of the zone
//! as it is shown, and asks of each field whether it holds the number. Expressions are generated with their meaning, never
//! parsed.

use super::*;
use chrono::{Datelike, NaiveDate, Offset, TimeDelta, TimeZone, Timelike};
use proptest::prelude::*;
use std::collections::{BTreeSet, HashSet};

pub(super) const ALL_RULES: [Dst; 4] = [
    Dst { gap: Gap::After, overlap: Overlap::First },
    Dst { gap: Gap::After, overlap: Overlap::Both },
    Dst { gap: Gap::Skip, overlap: Overlap::First },
    Dst { gap: Gap::Skip, overlap: Overlap::Both },
];

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
    /// What is asked of the day beyond the fields.
    pub(super) special: Special,
    /// None for every year.
    pub(super) years: Option<BTreeSet<u32>>,
}

/// The days that EventBridge names by letters; days of the week count from Sunday as 0.
#[derive(Debug, Clone, Copy)]
pub(super) enum Special {
    None,
    BeforeLast(u32),
    Nearest(u32),
    LastWeekday,
    LastOfName(u32),
    NthOfName(u32, u32),
}

impl Special {
    /// Answered by a look at all days of the month.
    fn holds(self, date: NaiveDate) -> bool {
        let month: Vec<NaiveDate> = (1..=31).filter_map(|day| date.with_day(day)).collect();
        let name = |date: &NaiveDate| date.weekday().num_days_from_sunday();
        let works: Vec<NaiveDate> = month.iter().copied().filter(|date| (1..=5).contains(&name(date))).collect();
        let meant = match self {
            Special::None => return true,
            Special::BeforeLast(back) => month.iter().rev().nth(back as usize),
            Special::LastWeekday => works.last(),
            Special::Nearest(day) if day as usize > month.len() => None,
            Special::Nearest(day) => works.iter().min_by_key(|date| date.day().abs_diff(day)),
            Special::LastOfName(day) => month.iter().rev().find(|date| name(date) == day),
            Special::NthOfName(day, nth) => month.iter().filter(|date| name(date) == day).nth(nth as usize - 1),
        };
        meant == Some(&date)
    }
}

impl Meaning {
    pub(super) fn names(&self, shown: NaiveDateTime) -> bool {
        let day = self.days.contains(&shown.day());
        let weekday = self.weekdays.contains(&shown.weekday().num_days_from_sunday());
        let date = if self.either_day { day || weekday } else { day && weekday };
        let year =
            self.years.as_ref().is_none_or(|years| u32::try_from(shown.year()).is_ok_and(|year| years.contains(&year)));
        date && year
            && self.months.contains(&shown.month())
            && self.hours.contains(&shown.hour())
            && self.minutes.contains(&shown.minute())
            && self.seconds.contains(&shown.second())
            && self.special.holds(shown.date())
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
        special: Special::None,
        years: None,
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
        special: Special::None,
        years: None,
    })
}

/// EventBridge's own six fields: one of the day fields is `?`, and letters may stand in the other.
pub(super) fn eventbridge() -> impl Strategy<Value = Meaning> {
    let years = prop_oneof![
        6 => Just(None),
        1 => (1972..2098_u32, 0..40_u32).prop_map(|(from, more)| Some((from, from + more))),
    ];
    let numbers = (0..9_u8, 1..=31_u32, 1..=7_u32, 1..=5_u32);
    let lists = (part(1, 31, true, 4), part(1, 12, true, 8), weekday_list());
    (part(0, 59, true, 2), part(0, 23, true, 3), lists, numbers, years).prop_map(
        |(minute, hour, (day, month, weekday), (kind, number, name, nth), years)| {
            let all = |min, max| (min..=max).collect::<BTreeSet<u32>>();
            let (days, weekdays, special) = match kind {
                0..=2 => (format!("{} {} ?", day.text, month.text), all(0, 6), Special::None),
                3 | 4 => (format!("? {} {}", month.text, weekday.text), weekday.means, Special::None),
                5 if number == 31 => (format!("L {} ?", month.text), all(0, 6), Special::BeforeLast(0)),
                5 => (format!("L-{number} {} ?", month.text), all(0, 6), Special::BeforeLast(number)),
                6 if number > 29 => (format!("LW {} ?", month.text), all(0, 6), Special::LastWeekday),
                6 => (format!("{number}W {} ?", month.text), all(0, 6), Special::Nearest(number)),
                7 => (format!("? {} {name}L", month.text), all(0, 6), Special::LastOfName(name - 1)),
                _ => (format!("? {} {name}#{nth}", month.text), all(0, 6), Special::NthOfName(name - 1, nth)),
            };
            let year = years.map_or("*".to_owned(), |(from, to)| format!("{from}-{to}"));
            Meaning {
                text: format!("cron({} {} {days} {year})", minute.text, hour.text),
                seconds: BTreeSet::from([0]),
                minutes: minute.means,
                hours: hour.means,
                days: if kind <= 2 { day.means } else { all(1, 31) },
                months: month.means,
                weekdays,
                either_day: false,
                special,
                years: years.map(|(from, to)| all(from, to)),
            }
        },
    )
}

/// EventBridge has no steps in the days of the week.
fn weekday_list() -> impl Strategy<Value = Part> {
    prop::collection::vec((1..=7_u32, 1..=7_u32, any::<bool>()), 1..3).prop_map(|items| {
        let text =
            |(from, to, range): &(u32, u32, bool)| if *range { format!("{from}-{to}") } else { from.to_string() };
        let means = |(from, to, range): (u32, u32, bool)| around(from, if range { to } else { from }, 1, 1, 7);
        Part {
            text: items.iter().map(text).collect::<Vec<_>>().join(","),
            means: items.into_iter().flat_map(means).map(|day| day - 1).collect(),
        }
    })
}

/// Everything that narrows a schedule, with its meaning.
#[derive(Debug, Clone)]
pub(super) struct Narrowing {
    pub(super) texts: Vec<String>,
    /// Each with whether it leaves out whole minutes.
    expressions: Vec<(Meaning, bool)>,
    days: Vec<(NaiveDate, NaiveDate)>,
    single: Option<NaiveDateTime>,
    pub(super) start: Option<DateTime<Utc>>,
    pub(super) end: Option<DateTime<Utc>>,
}

impl Narrowing {
    /// Whether an instant is kept, by its local time.
    pub(super) fn keeps(&self, zone: Tz, at: DateTime<Utc>) -> bool {
        let wall = shown(zone, at).with_nanosecond(0).expect("whole seconds");
        let minute = wall.with_second(0).expect("whole minutes");
        let by_fields =
            self.expressions.iter().any(|(meaning, whole)| meaning.names(if *whole { minute } else { wall }));
        let by_day = self.days.iter().any(|(first, last)| (*first..=*last).contains(&wall.date()));
        !by_fields
            && !by_day
            && self.single != Some(wall)
            && self.start.is_none_or(|start| start <= at)
            && self.end.is_none_or(|end| at < end + TimeDelta::seconds(1))
    }

    pub(super) fn bounds(&self) -> Bounds {
        let texts: Vec<&str> = self.texts.iter().map(String::as_str).collect();
        Bounds {
            start_at: self.start.map(Moment::Instant),
            end_at: self.end.map(Moment::Instant),
            except: Exceptions::read(&texts).unwrap_or_else(|mistakes| panic!("{texts:?}: {mistakes:?}")).into(),
        }
    }
}

/// Five or six fields that name enough to matter.
fn exception_fields() -> impl Strategy<Value = (Meaning, bool)> {
    let fields = (
        part(0, 59, true, 6),
        part(0, 59, true, 5),
        part(0, 23, true, 5),
        part(1, 31, true, 7),
        part(1, 12, true, 9),
        part(1, 7, true, 7),
    );
    (fields, any::<bool>()).prop_map(|((second, minute, hour, day, month, weekday), five)| {
        let weekdays: BTreeSet<u32> = weekday.means.iter().map(|day| day - 1).collect();
        let (days, seconds) = if five {
            let listed: Vec<String> = weekdays.iter().map(u32::to_string).collect();
            let text = if weekday.text == "*" { "*".to_owned() } else { listed.join(",") };
            (format!("{} {} {text}", day.text, month.text), BTreeSet::from([0]))
        } else {
            (format!("{} {} {}", day.text, month.text, weekday.text), second.means)
        };
        let text = format!("{} {} {days}", minute.text, hour.text);
        let meaning = Meaning {
            text: if five { text } else { format!("{} {text}", second.text) },
            seconds,
            minutes: minute.means,
            hours: hour.means,
            either_day: five && !day.text.starts_with('*') && !days.ends_with('*'),
            days: day.means,
            months: month.means,
            weekdays,
            special: Special::None,
            years: None,
        };
        (meaning, five)
    })
}

/// What narrows a schedule, with its times told from a moment that is not known yet.
#[derive(Debug, Clone)]
pub(super) struct Narrower {
    start: Option<TimeDelta>,
    end: Option<TimeDelta>,
    single: Option<TimeDelta>,
    /// From which day on, and how many more.
    days: Vec<(TimeDelta, TimeDelta)>,
    expressions: Vec<(Meaning, bool)>,
}

impl Narrower {
    pub(super) fn from(&self, zone: Tz, moment: DateTime<Utc>) -> Narrowing {
        let date = |after: TimeDelta| shown(zone, moment + after).date();
        let days: Vec<_> = self.days.iter().map(|(from, more)| (date(*from), date(*from + *more))).collect();
        let single = self.single.map(|after| shown(zone, moment + after));
        let mut texts: Vec<String> = self.expressions.iter().map(|(meaning, _)| meaning.text.clone()).collect();
        texts.extend(days.iter().map(|(first, last)| format!("{first}..{last}")));
        texts.extend(single.map(|single| format!("at({})", single.format("%Y-%m-%dT%H:%M:%S"))));
        let expressions = self.expressions.clone();
        let (start, end) = (self.start.map(|after| moment + after), self.end.map(|after| moment + after));
        Narrowing { texts, expressions, days, single, start, end }
    }
}

/// What narrows a schedule in the hours after a moment.
pub(super) fn narrower(hours: i64) -> impl Strategy<Value = Narrower> {
    let seconds = || (0..hours * 3_600).prop_map(TimeDelta::seconds);
    let ends = (prop::option::of(seconds()), prop::option::of(seconds()));
    let days = prop::collection::vec((0..4_i64, 0..2_i64), 0..2);
    let fields = prop::collection::vec(exception_fields(), 0..3);
    (ends, days, fields, prop::option::of(seconds())).prop_map(|((start, end), days, expressions, single)| {
        let (start, end) = match (start, end) {
            (Some(one), Some(other)) => (Some(one.min(other)), Some(one.max(other))),
            open => open,
        };
        let days = days.into_iter().map(|(from, more)| (TimeDelta::days(from), TimeDelta::days(more))).collect();
        Narrower { start, end, single, days, expressions }
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
pub(super) fn change_after(zone: Tz, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
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
    late.with_nanosecond(0)
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
