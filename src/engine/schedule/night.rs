//! How a change of the clocks touches an instant of a schedule, for whoever reads a list of them and wonders.

use super::Schedule;
use super::local_time::offset;
use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone as _, Utc};

const SECOND: TimeDelta = TimeDelta::seconds(1);

/// What the night of a change has to do with an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Night {
    /// It is the first instant after local times that the clock skips.
    AfterGap {
        /// The first of them.
        from: NaiveDateTime,
        /// The first one that is shown again.
        to: NaiveDateTime,
    },
    /// The clock shows its local time twice.
    Twice {
        /// Whether this is the second time.
        is_second: bool,
        /// Whether the schedule names both.
        fires_both: bool,
    },
    /// The clocks moved between the instant before it and this one.
    Moved {
        /// Ahead; below zero if they went back.
        by: TimeDelta,
    },
}

impl Schedule {
    /// How a change of the clocks touches the instant `at`, which follows on `before`.
    pub fn night(&self, before: DateTime<Utc>, at: DateTime<Utc>, anchor: DateTime<Utc>) -> Option<Night> {
        let ahead = |instant: DateTime<Utc>| offset(self.zone, instant);
        let wall = at.naive_utc() + ahead(at);
        let skipped = ahead(at) - ahead(at - SECOND);
        if skipped > TimeDelta::zero() {
            return Some(Night::AfterGap { from: wall - skipped, to: wall });
        }
        if let LocalResult::Ambiguous(first, second) = self.zone.from_local_datetime(&wall) {
            let is_second = second.to_utc() == at;
            let other = if is_second { first.to_utc() } else { second.to_utc() };
            let fires_both = self.next(other - SECOND, anchor) == Some(other);
            return Some(Night::Twice { is_second, fires_both });
        }
        let by = ahead(at) - ahead(before);
        (!by.is_zero()).then_some(Night::Moved { by })
    }
}
