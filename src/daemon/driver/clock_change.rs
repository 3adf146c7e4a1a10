//! A clock that does not go on as time does: what a turn makes of a set-back or a jump ahead.
//!
//! The driver sees the wall clock only, turn by turn. That it was set back is certain when it shows less than before; that it
//! jumped ahead can not be told from a machine that slept, and both are an absence.

use chrono::{DateTime, TimeDelta, Utc};

use super::Driver;
use crate::engine::admit;
use crate::engine::launch::CLOCK_CORRECTION;
use crate::engine::run::{ClockChange, RunId, in_words};

/// A clock that is behind the last turn by more than this was set back; what is less passes by itself.
pub(super) const SET_BACK_MIN: TimeDelta = TimeDelta::seconds(1);
/// A clock that is ahead of the last turn by more than this jumped, or the machine slept: the loop turns each second.
pub(super) const AHEAD_MIN: TimeDelta = TimeDelta::seconds(10);

impl Driver {
    /// Adjusts every living run to a clock that did not go on as time does. To be told at every turn, and while one waits to
    /// be saved: what nobody saw in between can't be told from the passing of time.
    pub fn heed_clock(&mut self, now: DateTime<Utc>) {
        let ahead = now - self.clock_seen_at;
        // What is behind by less than it takes passes by itself, and adds up until it is.
        self.clock_seen_at = if ahead < -SET_BACK_MIN { now } else { now.max(self.clock_seen_at) };
        let changes: &[ClockChange] = if ahead < -CLOCK_CORRECTION {
            &[ClockChange::SetBack(-ahead), ClockChange::AgeLost]
        } else if ahead < -SET_BACK_MIN {
            &[ClockChange::SetBack(-ahead)]
        } else if ahead > AHEAD_MIN {
            &[ClockChange::Ahead]
        } else {
            return;
        };
        let ids: Vec<RunId> = self.runs.keys().cloned().collect();
        for id in ids {
            for change in changes {
                self.adjust(&id, *change, now);
            }
        }
        if ahead < -SET_BACK_MIN {
            self.first_look_until = self.first_look_until.min(now + admit::FIRST_LOOK_WITHIN);
            self.last_turn_at = self.last_turn_at.min(now);
            self.tell_set_back(-ahead, now);
        }
    }

    /// Instants that were decided on a clock that ran ahead are not decided again, and somebody must know.
    pub(super) fn tell_set_back(&self, by: TimeDelta, now: DateTime<Utc>) {
        let decided = self.jobs.values().filter(|entry| entry.mark - now > SET_BACK_MIN);
        let (jobs, until) = (decided.clone().count(), decided.map(|entry| entry.mark).max());
        let (by_seconds, decided_until) = (by.num_seconds(), until.map(in_words));
        tracing::warn!(by_seconds, jobs, decided_until, "clock was set back; instants that were decided are not again");
    }

    pub(super) fn adjust(&mut self, id: &RunId, change: ClockChange, now: DateTime<Utc>) {
        let Some(tracked) = self.runs.get_mut(id) else { return };
        #[cfg(not(test))]
        let is_changed = tracked.run.adjust(change, now);
        #[cfg(test)]
        let is_changed = super::tests::broken::adjust(&mut tracked.run, change, now);
        if is_changed {
            tracked.is_dirty = true;
            self.reconsider(id, now);
        }
    }
}
