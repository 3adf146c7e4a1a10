//! Draining: a daemon that finishes what is in flight before it ends.
//!
//! Nothing new begins: no instant is decided, and no run is launched for the first time. What was launched goes on to its end,
//! retries included. To the schedules this is an absence: the next start decides what they named meanwhile, and launches what
//! was recorded and did not begin. So what people may change meanwhile is the end of a run only; a pause that is lifted, say,
//! would let instants fire that came while it was on.

use super::Driver;
use super::command::{Command, Declined};
use crate::engine::run::{RunId, State};

impl Driver {
    /// From the next turn on nothing new begins. There is no way back.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// How many runs a daemon that drains still waits for; none if it does not drain.
    pub fn drains(&self) -> Option<usize> {
        self.is_draining.then(|| self.runs.keys().filter(|id| !self.is_due(id)).count())
    }

    /// Whether a run was never launched.
    pub(super) fn is_due(&self, id: &RunId) -> bool {
        self.runs.get(id).is_some_and(|tracked| tracked.run.state == State::Due)
    }

    /// Why a command has to wait for the next start.
    pub(super) fn declined_by_drain(&self, command: &Command) -> Result<(), Declined> {
        let is_an_end = matches!(command, Command::Cancel { .. });
        if self.is_draining && !is_an_end { Err(Declined::Draining) } else { Ok(()) }
    }
}
