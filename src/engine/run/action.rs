//! What a run's state asks for next, and when to ask again.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::super::launch::Launch;
use super::{Run, State, StopWhy, Tasks};

/// The soonest that an instant can be which is still to come.
const AT_ONCE: TimeDelta = TimeDelta::milliseconds(1);

/// How the reason of every StopTask of ours begins; ECS shows it as the task's stopped reason.
pub const OUR_STOP: &str = "tenacron: ";

/// What the daemon must do for a run. It follows from the state and the instant alone.
#[derive(Debug, PartialEq)]
pub enum Action<'a> {
    /// Give it a launch permit: [`super::Event::Permitted`].
    Begin,
    /// Send this request.
    Launch(&'a Launch),
    /// Look for a task of this launch.
    Find(&'a Launch),
    /// Follow these tasks.
    Watch(&'a Tasks),
    /// Ask these tasks to stop, and follow them.
    Stop {
        /// The tasks.
        tasks: &'a Tasks,
        /// What people see as the tasks' stopped reason.
        reason: String,
    },
    /// Nothing until [`Run::wake_at`].
    Rest,
}

impl Run {
    /// What to do now.
    pub fn action(&self, now: DateTime<Utc>) -> Action<'_> {
        match &self.state {
            State::Due => Action::Begin,
            State::Launching => self.launch.as_ref().map_or(Action::Begin, Action::Launch),
            State::Seeking { look_at, .. } if *look_at <= now => {
                self.launch.as_ref().map_or(Action::Rest, Action::Find)
            }
            State::Running { tasks } => Action::Watch(tasks),
            State::Stopping { tasks, why, ask_at, .. } if *ask_at <= now => {
                Action::Stop { tasks, reason: self.stop_reason(why) }
            }
            State::Stopping { tasks, .. } => Action::Watch(tasks),
            State::Waiting { until, look_first: false, .. } if *until <= now => Action::Begin,
            State::Seeking { .. } | State::Waiting { .. } | State::Finished { .. } => Action::Rest,
        }
    }

    /// When the run's state is due for its next step; none if only an event moves it.
    pub fn wake_at(&self) -> Option<DateTime<Utc>> {
        match &self.state {
            State::Due => self.start_by(),
            State::Launching | State::Finished { .. } => None,
            State::Seeking { look_at, .. } => Some(*look_at),
            State::Running { .. } => [self.deadline, self.attempt_deadline()].into_iter().flatten().min(),
            State::Stopping { ask_at, .. } => Some(*ask_at),
            State::Waiting { until, .. } => Some(self.deadline.map_or(*until, |deadline| deadline.min(*until))),
        }
    }

    /// The next instant after `now` at which the run wants [`super::Event::Woken`]. Unlike [`Run::wake_at`] it looks past
    /// instants that are over: a retry that waits for its permit still has a deadline.
    pub fn wake_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let instants = match &self.state {
            State::Due => [self.start_by(), None],
            State::Launching | State::Finished { .. } => [None; 2],
            State::Seeking { look_at, .. } => [Some(*look_at), None],
            State::Running { .. } => [self.deadline, self.attempt_deadline()],
            State::Stopping { ask_at, .. } => [Some(*ask_at), None],
            // A look that is due is not waited for, whatever event came instead of its wake.
            State::Waiting { until, look_first: true, .. } => [Some((*until).max(now + AT_ONCE)), self.deadline],
            State::Waiting { until, .. } => [Some(*until), self.deadline],
        };
        instants.into_iter().flatten().filter(|instant| *instant > now).min()
    }

    /// When `attempt_timeout` of the newest attempt is over.
    pub(super) fn attempt_deadline(&self) -> Option<DateTime<Utc>> {
        self.after_launch(self.definition.limits.attempt_timeout)
    }

    /// When a run that has not begun is not to begin any more: `start_deadline` after its instant, or after somebody asked.
    pub(super) fn start_by(&self) -> Option<DateTime<Utc>> {
        let from = if self.request.is_some() { self.created_at } else { self.scheduled_at };
        after(from, self.definition.limits.start_deadline)
    }

    /// Whether a run that has not begun is not to begin any more: [`super::Event::Overdue`] is what it wants.
    pub fn is_overdue(&self, now: DateTime<Utc>) -> bool {
        self.state == State::Due && self.start_by().is_some_and(|until| until <= now)
    }

    /// When `start_timeout` of the newest attempt is over.
    pub(super) fn start_timeout_at(&self) -> Option<DateTime<Utc>> {
        self.after_launch(self.definition.limits.start_timeout)
    }

    fn after_launch(&self, limit: Option<Duration>) -> Option<DateTime<Utc>> {
        after(self.attempts.last()?.launched_at?, limit)
    }

    /// When `timeout` is over for a run whose first launch was at this instant.
    pub(super) fn deadline_from(&self, first_launched_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        after(first_launched_at, self.definition.limits.timeout)
    }

    pub(super) fn stop_reason(&self, why: &StopWhy) -> String {
        let what = match why {
            StopWhy::AttemptTimeout => "attempt_timeout reached".to_owned(),
            StopWhy::StartTimeout => "start_timeout reached".to_owned(),
            StopWhy::RunTimeout => "timeout of the run reached".to_owned(),
            StopWhy::Cancelled => self.cancelled.clone().unwrap_or_default(),
        };
        format!("{OUR_STOP}{what}, run {}", self.id)
    }
}

/// No instant for no limit, and none for one beyond the calendar.
fn after(instant: DateTime<Utc>, limit: Option<Duration>) -> Option<DateTime<Utc>> {
    instant.checked_add_signed(TimeDelta::from_std(limit?).ok()?)
}
