//! What goes between the driver and the shell: reports in, acts out.

use crate::engine::job::Site;
use crate::engine::launch::Launch;
use crate::engine::run::{Event, RunId};
use crate::engine::task::TaskArn;

/// What the driver is told about a run.
#[derive(Debug)]
pub struct Report {
    /// Which run.
    pub run: RunId,
    /// What happened.
    pub event: Event,
    /// Whether this answers the call that the driver had ordered for the run.
    pub answers_call: bool,
}

/// What is to be performed, now that what led to it is durable.
#[derive(Debug, PartialEq)]
pub enum Act {
    /// Send RunTask; report [`Event::Answered`].
    Launch {
        /// For which run.
        run: RunId,
        /// What to send.
        launch: Launch,
    },
    /// Look for tasks of a launch; report [`Event::Sought`].
    Find {
        /// For which run.
        run: RunId,
        /// Of which launch.
        launch: Launch,
    },
    /// Send StopTask; report [`Event::StopAsked`].
    Stop {
        /// For which run.
        run: RunId,
        /// Where.
        site: Site,
        /// Which tasks.
        tasks: Vec<TaskArn>,
        /// What people see as their stopped reason.
        reason: String,
    },
    /// Poll a task; report [`Event::Observed`] and [`Event::Missing`].
    Watch {
        /// For which run.
        run: RunId,
        /// Where.
        site: Site,
        /// Which task.
        task: TaskArn,
    },
    /// Poll it no longer.
    Unwatch {
        /// Where.
        site: Site,
        /// Which task.
        task: TaskArn,
    },
}
