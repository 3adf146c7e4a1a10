//! How many instants a range holds, and which are its newest, without taking them one by one.
//!
//! A calendar names the same times on each of its days, so a part of a local day in which the clock runs straight on is
//! counted by looking at the day and at a set of times. Only three kinds of instants are looked at singly:
//!
//! * the first second after a gap, where [`Schedule::next`] knows what fires;
//! * the one or two instants of an `at(…)`;
//! * instants of a rate on days that a calendar names as well, because the same instant counts once. A rate has at most 1,440
//!   of them a day.
//!
//! So a range costs a look at each of its days, whether a job fires once a day or every second, and rates alone cost nothing.

use super::Schedule;
use super::calendar::Calendar;
use super::day_parts::{DayPart, Shown, day_parts};
use super::expression::Expression;
use super::local_time::{FIRST, LAST};
use super::rates::Rates;
use super::times::Times;
use chrono::{DateTime, NaiveDate, SubsecRound as _, TimeDelta, Utc};
use std::collections::{BTreeSet, HashMap};

/// How many sets of times are kept; a schedule with more combinations of days builds some of them anew.
const UNIONS_MAX: usize = 256;
/// So few instants are rather walked than parted further.
const WALKED_MAX: u64 = 16;
const SECOND: TimeDelta = TimeDelta::seconds(1);

impl Schedule {
    /// How many instants the range (`after`, `until`] holds: as many as [`Schedule::firings`] gives.
    pub fn count(&self, after: DateTime<Utc>, until: DateTime<Utc>, anchor: DateTime<Utc>) -> u64 {
        Counter::new(self, anchor).count(after, until)
    }

    /// The last instant of the range (`after`, `until`].
    pub fn last(&self, after: DateTime<Utc>, until: DateTime<Utc>, anchor: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let before = self.before_newest(1, after, until, anchor);
        self.next(before, anchor).filter(|last| *last <= until)
    }

    /// A moment that parts the newest `count` instants of the range (`after`, `until`] from the older ones: (moment, `until`]
    /// holds them. It is `after` if there are no more than that.
    pub fn before_newest(
        &self,
        count: u64,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
        anchor: DateTime<Utc>,
    ) -> DateTime<Utc> {
        let mut counter = Counter::new(self, anchor);
        let (mut early, mut late) = (after, until);
        // How many instants of (early, until] are too old, and how many of (late, until] there are.
        let mut older = counter.count(early, until).saturating_sub(count);
        let mut newer = 0;
        while older > WALKED_MAX && late - early > SECOND {
            let middle = early + SECOND.max((late - early) / 2);
            // Only the half in question is counted, so that all turns together cost no more than the first count.
            let above = counter.count(middle, late) + newer;
            if above > count {
                (early, older) = (middle, above - count);
            } else {
                (late, newer) = (middle, above);
            }
        }
        let too_old = usize::try_from(older).unwrap_or(usize::MAX);
        self.firings(early, until, anchor).take(too_old).last().unwrap_or(early)
    }
}

/// Counts ranges of one schedule, and keeps what it found out from range to range.
struct Counter<'a> {
    schedule: &'a Schedule,
    calendars: Vec<Days<'a>>,
    rates: Rates,
    /// The times of a day that several calendars name, by their indexes.
    unions: HashMap<Vec<usize>, Times>,
}

/// A calendar, and what was asked last of its days.
struct Days<'a> {
    calendar: &'a Calendar,
    times: Times,
    fires_twice: bool,
    /// From this day on, `next` is the first one that is named.
    from: NaiveDate,
    next: Option<NaiveDate>,
}

impl<'a> Counter<'a> {
    fn new(schedule: &'a Schedule, anchor: DateTime<Utc>) -> Counter<'a> {
        let mut calendars = Vec::new();
        let mut periods = Vec::new();
        for expression in &schedule.expressions {
            match expression {
                Expression::Calendar(calendar) => calendars.push(Days {
                    calendar,
                    times: calendar.times(),
                    fires_twice: schedule.local_time(calendar.every_hour()).fires_twice(),
                    from: NaiveDate::MAX,
                    next: None,
                }),
                Expression::Interval(interval) => periods.push(interval.period_seconds()),
                Expression::Once(_) => {}
            }
        }
        Counter { schedule, calendars, rates: Rates::new(anchor, periods), unions: HashMap::new() }
    }

    fn count(&mut self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        if after >= until {
            return 0;
        }
        self.rates.count(after, until) + self.singles_alone(after, until) + self.calendars_alone(after, until)
    }

    /// How many instants of `at(…)` no other expression names.
    fn singles_alone(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        let mut alone = BTreeSet::new();
        for expression in &self.schedule.expressions {
            if let Expression::Once(once) = expression {
                let next = |after| self.schedule.next_once(*once, after).filter(|instant| *instant <= until);
                let instants = std::iter::successors(next(after), |last| next(*last));
                alone.extend(instants.filter(|instant| !self.rates.contains(*instant) && !self.is_named(*instant)));
            }
        }
        alone.len() as u64
    }

    /// How many instants of calendars no rate names.
    fn calendars_alone(&mut self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        if self.calendars.is_empty() {
            return 0;
        }
        let first = after.clamp(FIRST, LAST).trunc_subsecs(0) + SECOND;
        day_parts(self.schedule.zone, first, until.min(LAST)).map(|part| self.in_part(&part)).sum()
    }

    fn in_part(&mut self, part: &DayPart) -> u64 {
        if part.shown == Shown::AfterGap {
            return u64::from(self.is_named(part.first) && !self.rates.contains(part.first));
        }
        let date = part.date();
        let mut naming = Vec::new();
        for (nth, days) in self.calendars.iter_mut().enumerate() {
            if (part.shown == Shown::First || days.fires_twice) && days.name(date) {
                naming.push(nth);
            }
        }
        if naming.is_empty() {
            return 0;
        }
        if self.unions.len() >= UNIONS_MAX {
            self.unions.clear();
        }
        let calendars = &self.calendars;
        let times = self.unions.entry(naming).or_insert_with_key(|naming| union(calendars, naming));
        let (from, to) = part.seconds_of_day().into_inner();
        let seconds = self.rates.seconds(part.first, i64::from(to - from) + 1);
        let is_shared = |second: &i64| u32::try_from(*second).is_ok_and(|second| times.contains(from + second));
        let shared = seconds.filter(is_shared).count() as u64;
        times.count(from..=to) - shared
    }

    /// Whether a calendar fires at an instant of a whole second.
    fn is_named(&self, instant: DateTime<Utc>) -> bool {
        let fires = |days: &Days<'_>| self.schedule.next_in(days.calendar, instant - SECOND) == Some(instant);
        self.calendars.iter().any(fires)
    }
}

impl Days<'_> {
    fn name(&mut self, date: NaiveDate) -> bool {
        let is_known = self.from <= date && self.next.is_none_or(|next| date <= next);
        if !is_known {
            self.from = date;
            self.next = self.calendar.next_day(date);
        }
        self.next == Some(date)
    }
}

fn union(calendars: &[Days<'_>], naming: &[usize]) -> Times {
    let named = naming.iter().filter_map(|nth| calendars.get(*nth));
    named.fold(Times::none(), |union, days| union.with(&days.times))
}
