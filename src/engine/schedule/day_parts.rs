//! A range cut into parts of local days in which the clock of a zone runs straight on, so that whole parts can be counted.
//!
//! It knows when the clocks change, not what follows for a schedule: that is said for each part by [`Shown`] and judged by
//! `local_time.rs`. It relies on the same fact of the zone database as that file: clocks do not change twice within three days.

use super::local_time::{change_between, offset};
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use std::ops::RangeInclusive;

/// How far before a range the walk begins: a time of the range may have been shown before by so much, and no zone ever set
/// its clocks back by more than a day.
const LOOK_BACK: TimeDelta = TimeDelta::days(2);
const SECOND: TimeDelta = TimeDelta::seconds(1);

/// What the clock shows in a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Times that it shows for the first time, after the second before them.
    First,
    /// Times that it has shown before: the second pass after the clocks went back.
    Again,
    /// One second, the first after times that it skipped.
    AfterGap,
}

/// Seconds of one local day, all at one offset.
#[derive(Debug, Clone, Copy)]
pub(super) struct DayPart {
    pub(super) first: DateTime<Utc>,
    pub(super) last: DateTime<Utc>,
    pub(super) shown: Shown,
    offset: TimeDelta,
}

impl DayPart {
    pub(super) fn date(&self) -> NaiveDate {
        self.wall(self.first).date()
    }

    pub(super) fn seconds_of_day(&self) -> RangeInclusive<u32> {
        self.second_of_day(self.first)..=self.second_of_day(self.last)
    }

    /// For an instant of this part.
    pub(super) fn second_of_day(&self, instant: DateTime<Utc>) -> u32 {
        self.wall(instant).num_seconds_from_midnight()
    }

    fn wall(&self, instant: DateTime<Utc>) -> NaiveDateTime {
        instant.naive_utc() + self.offset
    }
}

/// The parts of a range of whole seconds, `first` and `last` included.
pub(super) fn day_parts(zone: Tz, first: DateTime<Utc>, last: DateTime<Utc>) -> impl Iterator<Item = DayPart> {
    let start = first - LOOK_BACK;
    let walk = Walk { zone, last, next: start, offset: offset(zone, start), shown_again_before: start };
    let within = move |part: DayPart| DayPart { first: part.first.max(first), ..part };
    walk.filter(move |part| part.last >= first).map(within)
}

struct Walk {
    zone: Tz,
    last: DateTime<Utc>,
    /// The first second of the next part.
    next: DateTime<Utc>,
    /// The offset of the second before it.
    offset: TimeDelta,
    /// The end of the second pass that began last.
    shown_again_before: DateTime<Utc>,
}

impl Iterator for Walk {
    type Item = DayPart;

    fn next(&mut self) -> Option<DayPart> {
        let first = self.next;
        if first > self.last {
            return None;
        }
        let offset_now = offset(self.zone, first);
        let jump = offset_now - std::mem::replace(&mut self.offset, offset_now);
        let mut part = DayPart { first, last: first, shown: Shown::First, offset: offset_now };
        if jump > TimeDelta::zero() {
            part.shown = Shown::AfterGap;
        } else {
            if jump < TimeDelta::zero() {
                self.shown_again_before = first - jump;
            }
            let left_of_day = TimeDelta::seconds(86_399 - i64::from(part.second_of_day(first)));
            part.last = self.last.min(first + left_of_day);
            if first < self.shown_again_before {
                part.shown = Shown::Again;
                part.last = part.last.min(self.shown_again_before - SECOND);
            }
            if offset(self.zone, part.last) != offset_now {
                part.last = change_between(self.zone, first, part.last) - SECOND;
            }
        }
        self.next = part.last + SECOND;
        Some(part)
    }
}
