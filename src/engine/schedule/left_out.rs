//! The next instant that no exception leaves out, without a walk over what they do.
//!
//! Most answers are near: the next instant, or the first one after a stretch that is left out. Where a few such steps do not
//! find it, because exceptions and schedule interlock for long, instants are counted in ranges of growing length until one
//! holds any, and the range is halved down to it. That costs a look at each day, as counting does, whatever is left out.

use super::Schedule;
use super::count::Counter;
use super::interval::Anchor;
use super::local_time::{LAST, change_between, offset};
use chrono::{DateTime, NaiveDateTime, SubsecRound as _, TimeDelta, Utc};

/// How many instants are looked at before they are counted instead.
const LOOKS_MAX: usize = 32;
const SECOND: TimeDelta = TimeDelta::seconds(1);
/// Clocks do not change twice within three days, so an offset that is the same at both ends of less is the same within.
const LEAP_MAX: TimeDelta = TimeDelta::days(2);
/// The longest range that is counted at once while nothing is found.
const RANGE_MAX: TimeDelta = TimeDelta::days(4_096);

impl Schedule {
    /// The first instant of (`after`, `until`] that is not left out.
    pub(super) fn next_not_left_out(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
        anchor: Anchor,
    ) -> Option<DateTime<Utc>> {
        let mut cursor = after;
        for _ in 0..LOOKS_MAX {
            let found = self.next_named(cursor, anchor).filter(|found| *found <= until)?;
            match self.left_out_until(found) {
                None => return Some(found),
                Some(last) => cursor = last,
            }
        }
        self.search(cursor, until, anchor)
    }

    /// Whether the local time of an instant is left out.
    pub(super) fn is_left_out(&self, instant: DateTime<Utc>) -> bool {
        self.except.reach(instant) && self.except.leaves_out(self.wall_of(instant))
    }

    /// An instant up to which everything from this one on is left out; none if this one is not.
    fn left_out_until(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if !self.except.reach(instant) {
            return None;
        }
        let wall = self.wall_of(instant);
        let leap = (self.except.left_out_until(wall)? - wall).min(LEAP_MAX);
        let second = instant.trunc_subsecs(0);
        let mut last = second + leap;
        if offset(self.zone, last) != offset(self.zone, second) {
            last = change_between(self.zone, second, last) - SECOND;
        }
        // All of the last second is left out, whatever fraction of it an instant has.
        Some(last + (SECOND - TimeDelta::nanoseconds(1)))
    }

    /// The whole second that the clock shows.
    fn wall_of(&self, instant: DateTime<Utc>) -> NaiveDateTime {
        let second = instant.trunc_subsecs(0);
        second.naive_utc() + offset(self.zone, second)
    }

    fn search(&self, after: DateTime<Utc>, until: DateTime<Utc>, anchor: Anchor) -> Option<DateTime<Utc>> {
        let mut counter = Counter::new(self, anchor);
        // Nothing is named or left out before the first and after the last date, but by rates, which are never left out there.
        let (mut early, mut late) = (after, after);
        let mut range = TimeDelta::days(1);
        while counter.count(early, late) == 0 {
            if late >= until || late >= LAST {
                return self.next_named(late, anchor).filter(|found| *found <= until);
            }
            early = late;
            late = late.checked_add_signed(range).map_or(until, |late| late.min(until));
            range = RANGE_MAX.min(range * 2);
        }
        while late - early > SECOND {
            let middle = early + (late - early) / 2;
            if counter.count(early, middle) == 0 { early = middle } else { late = middle }
        }
        // At most two seconds' instants are left, one after the other.
        let mut found = self.next_named(early, anchor)?;
        while self.is_left_out(found) && found < late {
            found = self.next_named(found, anchor)?;
        }
        (found <= late).then_some(found)
    }
}
