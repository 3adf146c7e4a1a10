//! From wall clock to instants: the one place that knows what a change of the clocks does to a schedule.
//!
//! Walking local times and mapping each one is not enough: where the clocks go back, a later local time can be an earlier
//! instant. What holds is this. The next instant whose clock shows a wanted time is either the next wanted time above the one
//! shown now, or, if the time shown now will be shown again, the first wanted one of the second pass. Both are one question to
//! the calendar. Nothing is remembered between questions, so an answer depends on `after` alone and a restart changes nothing.
//!
//! The rule itself is stated in `mod.rs`. It relies on one fact of the zone database, which the tests sweep: since 1970 no zone
//! changed its clocks twice within three days, so a local time is shown at most twice and gaps do not touch.

use super::{Dst, Gap, Overlap};
use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::{GapInfo, Tz};

/// Each turn passes one gap, and no zone has more of them between 1970 and 2199.
const TURNS_MAX: usize = 1_024;
/// Halvings that narrow twelve days down to a second; the longest repeated stretch so far is seven hours.
const HALVINGS_MAX: usize = 20;
/// A day before the first and after the last local time that can be named, so that arithmetic cannot leave the calendar.
pub(super) const FIRST: DateTime<Utc> = at(-2 * 86_400);
pub(super) const LAST: DateTime<Utc> = at(7_258_118_400 + 2 * 86_400);

/// How local times of one expression become instants.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalTime {
    pub(super) zone: Tz,
    pub(super) dst: Dst,
    /// Follows the clock as it is shown: both passes, nothing for a gap.
    pub(super) every_hour: bool,
}

impl LocalTime {
    /// The first instant strictly after `after`; `wall_after` gives the first wanted local time strictly after another.
    pub(super) fn next(
        self,
        after: DateTime<Utc>,
        wall_after: impl Fn(NaiveDateTime) -> Option<NaiveDateTime>,
    ) -> Option<DateTime<Utc>> {
        let after = after.clamp(FIRST, LAST).with_nanosecond(0)?;
        let shown = self.wall(after);
        let (from, again) = match self.zone.from_local_datetime(&shown) {
            LocalResult::Ambiguous(first, second) => {
                let back = change_between(self.zone, first.to_utc(), second.to_utc());
                if after < second.to_utc() {
                    let again = self.second_pass(back, shown, second.to_utc(), &wall_after);
                    (shown, again)
                } else if self.fires_twice() {
                    (shown, None)
                } else {
                    // What the second pass still has to show has been shown already.
                    (self.last_shown_before(back), None)
                }
            }
            LocalResult::Single(_) | LocalResult::None => (shown, None),
        };
        let onward = self.onward(from, after, wall_after);
        [again, onward].into_iter().flatten().min()
    }

    /// The first instant that shows the next wanted local time after `from`.
    fn onward(
        self,
        from: NaiveDateTime,
        after: DateTime<Utc>,
        wall_after: impl Fn(NaiveDateTime) -> Option<NaiveDateTime>,
    ) -> Option<DateTime<Utc>> {
        let mut cursor = from;
        for _ in 0..TURNS_MAX {
            let wall = wall_after(cursor)?;
            let (found, next_cursor) = match self.zone.from_local_datetime(&wall) {
                LocalResult::Single(only) => (Some(only.to_utc()), wall),
                LocalResult::Ambiguous(first, second) if first.to_utc() <= after => {
                    (self.fires_twice().then(|| second.to_utc()), wall)
                }
                LocalResult::Ambiguous(first, _) => (Some(first.to_utc()), wall),
                LocalResult::None => {
                    let end = GapInfo::new(&wall, &self.zone)?.end?.to_utc();
                    let found = self.fires_after_gap().then_some(end);
                    (found, self.wall(end) - TimeDelta::seconds(1))
                }
            };
            match found {
                Some(instant) if instant > after => return Some(instant),
                Some(_) | None => cursor = next_cursor,
            }
        }
        None
    }

    /// The first wanted local time that is shown again, if it is not above the one shown now (those are `onward`'s).
    fn second_pass(
        self,
        back: DateTime<Utc>,
        shown: NaiveDateTime,
        shown_again: DateTime<Utc>,
        wall_after: impl Fn(NaiveDateTime) -> Option<NaiveDateTime>,
    ) -> Option<DateTime<Utc>> {
        if !self.fires_twice() {
            return None;
        }
        let wall = wall_after(self.wall(back) - TimeDelta::seconds(1))?;
        (wall <= shown).then(|| shown_again - (shown - wall))
    }

    /// The highest local time of the first pass.
    fn last_shown_before(self, back: DateTime<Utc>) -> NaiveDateTime {
        self.wall(back - TimeDelta::seconds(1))
    }

    /// Whether a time that is shown again counts again.
    pub(super) fn fires_twice(self) -> bool {
        self.every_hour || self.dst.overlap == Overlap::Both
    }

    fn fires_after_gap(self) -> bool {
        !self.every_hour && self.dst.gap == Gap::After
    }

    fn wall(self, instant: DateTime<Utc>) -> NaiveDateTime {
        instant.naive_utc() + offset(self.zone, instant)
    }
}

/// The first and the last instant at which the clock of a zone shows a local time: two where it is set back, and for a time
/// that it skips the first instant after the gap. None for a time that is out of reach.
pub(super) fn shown_at(zone: Tz, wall: NaiveDateTime) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(only) => Some((only.to_utc(), only.to_utc())),
        LocalResult::Ambiguous(first, last) => Some((first.to_utc(), last.to_utc())),
        LocalResult::None => {
            let end = GapInfo::new(&wall, &zone)?.end?.to_utc();
            Some((end, end))
        }
    }
}

/// By how much the clock of a zone is ahead of UTC.
pub(super) fn offset(zone: Tz, instant: DateTime<Utc>) -> TimeDelta {
    let offset = zone.offset_from_utc_datetime(&instant.naive_utc());
    TimeDelta::seconds(i64::from(offset.fix().local_minus_utc()))
}

/// The instant at which the clocks change, between two of whole seconds with one change between them.
pub(super) fn change_between(zone: Tz, first: DateTime<Utc>, last: DateTime<Utc>) -> DateTime<Utc> {
    let old = offset(zone, first);
    let (mut before, mut from) = (first, last);
    for _ in 0..HALVINGS_MAX {
        let half = TimeDelta::seconds((from - before).num_seconds() / 2);
        if half.is_zero() {
            break;
        }
        let middle = before + half;
        if offset(zone, middle) == old {
            before = middle;
        } else {
            from = middle;
        }
    }
    from
}

const fn at(seconds: i64) -> DateTime<Utc> {
    match DateTime::from_timestamp(seconds, 0) {
        Some(instant) => instant,
        None => DateTime::UNIX_EPOCH,
    }
}
