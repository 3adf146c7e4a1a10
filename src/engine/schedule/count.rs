//! How many instants a range holds, and which are its newest, without taking them one by one.
//!
//! A calendar names the same times on each of its days, so a part of a local day in which the clock runs straight on is
//! counted by looking at the day and at a set of times. Only three kinds of instants are looked at singly:
//!
//! * the first second after a gap, where [`Schedule::next`] knows what fires;
//! * the one or two instants of an `at(…)`;
//! * instants of a rate on days that a calendar names as well, because the same instant counts once, and on days of which an
//!   exception leaves out a part. A rate has at most 1,440 of them a day.
//!
//! What `except` leaves out is a set of times of a day too, and is taken from the times that are named.
//!
//! So a range costs a look at each of its days, whether a job fires once a day or every second, and rates alone cost nothing.

use super::Schedule;
use super::calendar::Calendar;
use super::day_parts::{DayPart, Shown, day_parts};
use super::except::Excepted;
use super::expression::Expression;
use super::interval::Anchor;
use super::local_time::{FIRST, LAST};
use super::rates::Rates;
use super::times::Times;
use chrono::{DateTime, NaiveDate, SubsecRound as _, TimeDelta, Utc};
use std::collections::{BTreeSet, HashMap};

/// How many sets of times are kept; a schedule with more combinations of days builds some of them anew.
const SETS_MAX: usize = 256;
/// So few instants are rather walked than parted further.
const WALKED_MAX: u64 = 16;
const SECOND: TimeDelta = TimeDelta::seconds(1);

impl Schedule {
    /// How many instants the range (`after`, `until`] holds: as many as [`Schedule::firings`] gives.
    pub fn count(&self, after: DateTime<Utc>, until: DateTime<Utc>, anchor: DateTime<Utc>) -> u64 {
        Counter::new(self, self.anchor(anchor)).count(after, until)
    }

    /// The last instant of the range (`after`, `until`].
    pub fn last(&self, after: DateTime<Utc>, until: DateTime<Utc>, anchor: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let before = self.before_newest(1, after, until, anchor);
        self.next_until(before, until, anchor)
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
        let mut counter = Counter::new(self, self.anchor(anchor));
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
pub(super) struct Counter<'a> {
    schedule: &'a Schedule,
    calendars: Vec<Days<'a>>,
    exceptions: Vec<LeftOut<'a>>,
    rates: Rates,
    /// The times of a day that several calendars name and several exceptions do not, by their indexes.
    named: HashMap<Vec<usize>, Times>,
    /// The times of a day that several exceptions name, by their indexes.
    left_out: HashMap<Vec<usize>, Times>,
}

/// An exception that is not a whole day.
struct LeftOut<'a> {
    excepted: &'a Excepted,
    times: Times,
}

/// A calendar.
struct Days<'a> {
    calendar: &'a Calendar,
    times: Times,
    fires_twice: bool,
}

impl<'a> Counter<'a> {
    pub(super) fn new(schedule: &'a Schedule, anchor: Anchor) -> Counter<'a> {
        let mut calendars = Vec::new();
        let mut periods = Vec::new();
        for expression in &schedule.expressions {
            match expression {
                Expression::Calendar(calendar) => calendars.push(Days {
                    calendar,
                    times: calendar.times(),
                    fires_twice: schedule.local_time(calendar.every_hour()).fires_twice(),
                }),
                Expression::Interval(interval) => periods.push(interval.period_seconds()),
                Expression::Once(_) => {}
            }
        }
        let exceptions = schedule.except.expressions().iter();
        Counter {
            schedule,
            calendars,
            exceptions: exceptions.map(|excepted| LeftOut { excepted, times: excepted.times() }).collect(),
            rates: Rates::new(anchor, periods),
            named: HashMap::new(),
            left_out: HashMap::new(),
        }
    }

    pub(super) fn count(&mut self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        let (after, until) = self.schedule.clipped(after, until);
        if after >= until {
            return 0;
        }
        self.rates.count(after, until) - self.rates_left_out(after, until)
            + self.singles_alone(after, until)
            + self.calendars_alone(after, until)
    }

    /// How many instants of rates are left out.
    fn rates_left_out(&mut self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        if self.rates.is_empty() || self.schedule.except.is_empty() {
            return 0;
        }
        let (first, last) = self.rates.seconds_of(after.clamp(FIRST, LAST), until.clamp(FIRST, LAST));
        day_parts(self.schedule.zone, first, last).map(|part| self.rates_left_out_in(&part)).sum()
    }

    fn rates_left_out_in(&mut self, part: &DayPart) -> u64 {
        let (date, (from, to)) = (part.date(), part.seconds_of_day().into_inner());
        let seconds = i64::from(to - from) + 1;
        if self.schedule.except.has_whole_day(date) {
            return self.rates.count_seconds(part.first, seconds);
        }
        let naming = self.exceptions_of(date);
        if naming.is_empty() {
            return 0;
        }
        keep_few(&mut self.left_out);
        let exceptions = &self.exceptions;
        let times = self.left_out.entry(naming).or_insert_with_key(|naming| left_out(exceptions, naming));
        if times.is_whole_day() {
            return self.rates.count_seconds(part.first, seconds);
        }
        let is_left_out = |second: &i64| u32::try_from(*second).is_ok_and(|second| times.contains(from + second));
        self.rates.seconds(part.first, seconds).filter(is_left_out).count() as u64
    }

    /// The indexes of the exceptions that leave out a part of a day.
    fn exceptions_of(&self, date: NaiveDate) -> Vec<usize> {
        let exceptions = self.exceptions.iter().enumerate();
        exceptions.filter(|(_, left_out)| left_out.excepted.has_day(date)).map(|(nth, _)| nth).collect()
    }

    /// How many instants of `at(…)` no other expression names.
    fn singles_alone(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        let mut alone = BTreeSet::new();
        for expression in &self.schedule.expressions {
            if let Expression::Once(once) = expression {
                let next = |after| self.schedule.next_once(*once, after).filter(|instant| *instant <= until);
                let instants = std::iter::successors(next(after), |last| next(*last));
                let is_alone = |instant: &DateTime<Utc>| !self.rates.contains(*instant) && !self.is_named(*instant);
                alone.extend(instants.filter(|at| is_alone(at) && !self.schedule.is_left_out(*at)));
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
            let is_alone = self.is_named(part.first) && !self.rates.contains(part.first);
            return u64::from(is_alone && !self.schedule.is_left_out(part.first));
        }
        let date = part.date();
        if self.schedule.except.has_whole_day(date) {
            return 0;
        }
        let names = |days: &Days<'_>| (part.shown == Shown::First || days.fires_twice) && days.calendar.has_day(date);
        let calendars = self.calendars.iter().enumerate();
        let mut naming: Vec<usize> = calendars.filter(|(_, days)| names(days)).map(|(nth, _)| nth).collect();
        if naming.is_empty() {
            return 0;
        }
        naming.extend(self.exceptions_of(date).into_iter().map(|nth| self.calendars.len() + nth));
        keep_few(&mut self.named);
        let (calendars, exceptions) = (&self.calendars, &self.exceptions);
        let times = self.named.entry(naming).or_insert_with_key(|naming| named(calendars, exceptions, naming));
        let (from, to) = part.seconds_of_day().into_inner();
        let seconds = self.rates.shared_seconds(part.first, i64::from(to - from) + 1);
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

fn keep_few(sets: &mut HashMap<Vec<usize>, Times>) {
    if sets.len() >= SETS_MAX {
        sets.clear();
    }
}

/// The times of several calendars, numbered first, without those of several exceptions, numbered after them.
fn named(calendars: &[Days<'_>], exceptions: &[LeftOut<'_>], naming: &[usize]) -> Times {
    let named = naming.iter().filter_map(|nth| calendars.get(*nth));
    let named = named.fold(Times::none(), |union, days| union.with(&days.times));
    let excepting: Vec<usize> = naming.iter().filter_map(|nth| nth.checked_sub(calendars.len())).collect();
    if excepting.is_empty() { named } else { named.without(&left_out(exceptions, &excepting)) }
}

fn left_out(exceptions: &[LeftOut<'_>], naming: &[usize]) -> Times {
    let naming = naming.iter().filter_map(|nth| exceptions.get(*nth));
    naming.fold(Times::none(), |union, left_out| union.with(&left_out.times))
}
