//! The clock: what becomes of a run's instants when the wall clock does not go on as time does.
//!
//! Waits, limits and ages are kept as instants of the wall clock, because they must survive a restart. When that clock is set
//! back, each of them would lie further away by as much, so they are moved along; then a wait of ten seconds stays one. When
//! it jumps ahead, nobody can tell a jump from an absence, so limits and waits are over as after an absence; only what an
//! early answer of ECS proves must not be taken for more than it is: "not there" counts after a time that has really passed.

use chrono::{DateTime, TimeDelta, Utc};

use super::super::launch::RESEND_WINDOW;
use super::{Run, Seek, State};

/// What the wall clock did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockChange {
    /// It was set back by this much.
    SetBack(TimeDelta),
    /// It was set back, and how much time passed meanwhile is not known either: the age of a launch is a guess.
    AgeLost,
    /// It went ahead by more than a turn of the loop takes: a jump, or a machine that slept.
    Ahead,
}

impl Run {
    /// Adjusts the run's instants. True if it changed and must be saved.
    pub fn adjust(&mut self, change: ClockChange, now: DateTime<Utc>) -> bool {
        match change {
            ClockChange::SetBack(by) => self.move_back(by),
            ClockChange::AgeLost => self.age_launch(now),
            ClockChange::Ahead => self.count_missing_anew(now) | self.settle_anew(now),
        }
    }

    /// Whatever is still to come is as far away as before, and what has been is as long ago.
    fn move_back(&mut self, by: TimeDelta) -> bool {
        match &mut self.state {
            State::Due | State::Finished { .. } => return false,
            State::Launching => {}
            State::Seeking { why, until, look_at, .. } => {
                if let Seek::BeforeNext { until } = why {
                    *until -= by;
                }
                *until -= by;
                *look_at -= by;
            }
            State::Running { tasks } => tasks.move_back(by),
            State::Stopping { tasks, ask_at, since, .. } => {
                tasks.move_back(by);
                *ask_at -= by;
                *since = since.map(|since| since - by);
            }
            State::Waiting { until, .. } => *until -= by,
        }
        if let Some(deadline) = &mut self.deadline {
            *deadline -= by;
        }
        if let Some(launched_at) = self.attempts.last_mut().and_then(|attempt| attempt.launched_at.as_mut()) {
            *launched_at -= by;
        }
        if let Some(launch) = &mut self.launch {
            launch.first_sent_at -= by;
        }
        true
    }

    /// Takes a launch that may be open for too old to be sent again. An answer that is under way still counts.
    fn age_launch(&mut self, now: DateTime<Utc>) -> bool {
        let is_being_sent = self.state == State::Launching;
        match self.launch.as_mut().filter(|launch| launch.unresolved || is_being_sent) {
            Some(launch) => {
                launch.first_sent_at = now - RESEND_WINDOW;
                true
            }
            None => false,
        }
    }
}
