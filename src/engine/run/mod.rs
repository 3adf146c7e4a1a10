//! A run: what a firing becomes, up to its outcome.
//!
//! A run is a value. [`Run::step`] takes an event and an instant and moves it on: `step.rs` says which event fits which
//! state, `launching.rs`, `lookup.rs`, `following.rs` and `ending.rs` what it means there. [`Run::action`] says what the
//! state asks for next. Because the action follows from the stored state alone, a restart or a failover is not a path of
//! its own: load the runs, tell each [`Event::Resumed`], ask for their actions, go on.
//!
//! Nothing here performs anything or reads a clock, and nothing here can fail for an outside reason: a refused launch, a
//! lost answer or a vanished task are events. The only error is [`Refused`], for an event that does not fit the state.

mod action;
mod clock;
mod ending;
mod following;
mod found;
mod history;
mod id;
mod launching;
mod lookup;
mod outcome;
mod phases;
mod request;
mod step;
mod tasks;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use self::action::{Action, OUR_STOP};
pub use self::clock::ClockChange;
pub(super) use self::found::FoundLaunch;
pub use self::history::{Entry, HistoryEvent};
pub use self::id::RunId;
pub use self::outcome::{Covered, Outcome, Status};
pub use self::phases::Phases;
pub use self::request::{Asker, Firing, Request};
pub use self::step::{Event, Refused, Step};
pub use self::tasks::{Followed, TaskEnd, Tasks};
use super::failure::Failure;
use super::job::{Definition, Instance, JobName};
use super::launch::Launch;
use super::task::{ContainerFacts, TaskArn};

/// How long a fresh task may be MISSING: DescribeTasks is eventually consistent.
/// Source: Amazon ECS API reference, RunTask, on eventual consistency.
pub const VISIBLE_WITHIN: TimeDelta = TimeDelta::minutes(5);
/// How long a task must be MISSING in every look before it is lost: one answer may be wrong, and what follows on a lost task
/// may run beside it.
pub const LOST_AFTER: TimeDelta = TimeDelta::seconds(30);
/// How long the look-up of an unresolved launch goes on before "found nothing" counts. What was sent may arrive after its
/// connection was given up, and ListTasks shows a task some seconds after it was started.
pub const LOOKUP_SETTLE: TimeDelta = TimeDelta::seconds(30);
/// The least pause between two look-ups of the same launch; it doubles while ECS does not answer.
pub const LOOKUP_PAUSE: TimeDelta = TimeDelta::seconds(3);
/// By how much that pause grows at most: to 48 seconds.
const LOOKUP_PAUSE_DOUBLINGS_MAX: u32 = 4;
/// The pause between two StopTask calls for the same task.
pub const STOP_REPEAT: TimeDelta = TimeDelta::seconds(15);
/// The first pause after a StopTask that ECS did not take; it doubles up to [`STOP_REPEAT`].
pub const STOP_RETRY: TimeDelta = TimeDelta::seconds(2);
/// How long a task may take to stop before a person is told: ECS kills at most two minutes after it was asked, and takes the
/// network down after that. Told again after twice that time, and so on.
/// Source: Amazon ECS Developer Guide, "Task definition parameters", `stopTimeout`.
pub const STOP_OVERDUE: TimeDelta = TimeDelta::minutes(5);

/// Why a run stands still whose tasks do not stop.
const WILL_NOT_STOP: &str = "its tasks were asked to stop and have not; its history says since when";

/// Why a run stands still whose look-up is not answered.
const UNANSWERED: &str = "a task of its launch is looked for, and ECS does not answer; its history says what it said";

/// What began a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Its instant came.
    Schedule,
    /// Its instant passed while the daemon was away.
    Catchup,
    /// Somebody asked for it, for now or for an instant once more.
    Manual,
    /// Somebody asked for an instant of the past.
    Backfill,
}

impl Trigger {
    /// The name in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::Schedule => "schedule",
            Trigger::Catchup => "catchup",
            Trigger::Manual => "manual",
            Trigger::Backfill => "backfill",
        }
    }
}

/// Where a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Recorded; the first launch waits for its turn.
    Due,
    /// The run's launch is being sent; it was saved before.
    Launching,
    /// Looking for a task of the run's launch.
    Seeking {
        /// What the answer decides.
        why: Seek,
        /// The settled end of looking; "found nothing" before it is asked again.
        until: DateTime<Utc>,
        /// When to look next.
        look_at: DateTime<Utc>,
        /// How many looks in a row ECS did not answer.
        unanswered: u32,
    },
    /// Tasks live, as far as we know.
    Running {
        /// Which.
        #[serde(flatten)]
        tasks: Tasks,
    },
    /// The tasks were asked to stop, and are followed until they have.
    Stopping {
        /// Which.
        #[serde(flatten)]
        tasks: Tasks,
        /// Why they must stop.
        why: StopWhy,
        /// When to ask next.
        ask_at: DateTime<Utc>,
        /// When they were first to be asked; none in what an older version stored.
        #[serde(default)]
        since: Option<DateTime<Utc>>,
        /// How many calls in a row ECS did not take.
        #[serde(default)]
        refused: u32,
        /// How often a person was told that they do not stop.
        #[serde(default)]
        alerts: u32,
    },
    /// A failed attempt is waited out.
    Waiting {
        /// When the next attempt is due.
        until: DateTime<Utc>,
        /// Whether the next attempt sends the same launch again.
        resend: bool,
        /// Whether a task is looked for once more before the next launch: ECS had answered `failures`.
        #[serde(default)]
        look_first: bool,
    },
    /// Over.
    Finished {
        /// How.
        outcome: Outcome,
        /// When.
        at: DateTime<Utc>,
    },
}

/// What a look-up decides. "Found" always adopts the task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "seek", rename_all = "snake_case")]
pub enum Seek {
    /// ECS answered `failures`, yet a task may have come up: nothing found makes it the attempt's failure.
    Ghost {
        /// The failure.
        failure: Failure,
    },
    /// The wait after `failures` is over, and a task that came up all the same may be visible by now: nothing found lets
    /// the next generation be launched.
    BeforeNext {
        /// When that launch is due.
        until: DateTime<Utc>,
    },
    /// The run would end while a task of it may yet show up: nothing found lets it end.
    BeforeEnd {
        /// How it would end.
        outcome: Outcome,
    },
    /// The launch is too old to be sent again: nothing found means that nobody knows.
    TooOld,
}

/// Why a task must stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum StopWhy {
    /// `attempt_timeout` has passed.
    AttemptTimeout,
    /// `start_timeout` has passed.
    StartTimeout,
    /// `timeout` has passed.
    RunTimeout,
    /// The run was cancelled.
    Cancelled,
}

/// One try of a run by the retry rules, with all that became of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1.
    pub attempt: u32,
    /// Which launch it sent.
    pub generation: u32,
    /// When it was due: the run was recorded, or the wait before it was over. None in what an older version stored.
    #[serde(default)]
    pub due_at: Option<DateTime<Utc>>,
    /// When it was sent.
    pub launched_at: Option<DateTime<Utc>>,
    /// The task, once known; of several the first that failed, else the first.
    pub task: Option<TaskArn>,
    /// When the task reached RUNNING.
    pub started_at: Option<DateTime<Utc>>,
    /// When the attempt ended: the task's stop, else the refusal.
    pub stopped_at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// The exit code that stands for the task.
    pub exit_code: Option<i32>,
    /// ECS's stop code.
    pub stop_code: Option<String>,
    /// ECS's words.
    pub stopped_reason: Option<String>,
    /// Which retrier took the failure, from 0.
    pub retrier: Option<usize>,
    /// How long that retrier waits.
    pub retry_delay: Option<Duration>,
    /// What became of the containers of `task`.
    pub containers: Vec<ContainerFacts>,
    /// Why ECS launched fewer tasks than were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortage: Option<Failure>,
    /// How its tasks ended, in the order in which that was seen.
    #[serde(default)]
    pub ends: Vec<TaskEnd>,
}

/// What a firing becomes.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// The installation it belongs to.
    pub instance: Instance,
    /// Its job.
    pub job: JobName,
    /// What began it.
    pub trigger: Trigger,
    /// Its nominal instant.
    pub scheduled_at: DateTime<Utc>,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// What somebody asked for; none if its schedule named it.
    pub request: Option<Request>,
    /// What it does, as of its firing.
    pub definition: Arc<Definition>,
    /// When `timeout` is over, counted from its first launch.
    pub deadline: Option<DateTime<Utc>>,
    /// Why it was asked to end early.
    pub cancelled: Option<String>,
    /// Retries granted, by retrier.
    pub retries_used: Vec<u32>,
    /// Its attempts so far.
    pub attempts: Vec<Attempt>,
    /// Its newest launch.
    pub launch: Option<Launch>,
    /// How many entries its history has.
    pub history_len: u32,
    /// Where it is.
    pub state: State,
}

impl Run {
    /// A run that will launch, and the first entry of its history.
    pub fn due(
        firing: Firing,
        instance: Instance,
        definition: Arc<Definition>,
        now: DateTime<Utc>,
    ) -> (Run, Vec<Entry>) {
        let mut run = Run::in_state(State::Due, firing, instance, definition, now);
        let started = run.started();
        let entry = run.entry(started, now);
        (run, vec![entry])
    }

    /// A run that never starts: skipped or missed, and the one entry that says why.
    pub fn not_started(
        firing: Firing,
        instance: Instance,
        definition: Arc<Definition>,
        outcome: Outcome,
        now: DateTime<Utc>,
    ) -> (Run, Vec<Entry>) {
        let ended = HistoryEvent::of_end(&outcome);
        let mut run = Run::in_state(State::Finished { outcome, at: now }, firing, instance, definition, now);
        let entry = run.entry(ended, now);
        (run, vec![entry])
    }

    fn in_state(
        state: State,
        firing: Firing,
        instance: Instance,
        definition: Arc<Definition>,
        now: DateTime<Utc>,
    ) -> Run {
        Run {
            id: firing.id,
            instance,
            job: firing.job,
            trigger: firing.trigger,
            scheduled_at: firing.scheduled_at,
            created_at: now,
            request: firing.request,
            retries_used: vec![0; definition.retry.retriers().len()],
            definition,
            deadline: None,
            cancelled: None,
            attempts: Vec::new(),
            launch: None,
            history_len: 0,
            state,
        }
    }

    /// The entry that begins a run.
    fn started(&self) -> HistoryEvent {
        HistoryEvent::ExecutionStarted {
            trigger: self.trigger,
            scheduled_at: self.scheduled_at,
            request: self.request.clone(),
        }
    }

    /// The status that the interface shows.
    pub fn status(&self) -> Status {
        match &self.state {
            State::Due => Status::Due,
            State::Launching | State::Seeking { .. } => Status::Launching,
            State::Running { .. } => Status::Running,
            State::Stopping { .. } => Status::Stopping,
            State::Waiting { .. } => Status::Waiting,
            State::Finished { outcome, .. } => outcome.status(),
        }
    }

    /// Whether it is over.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished { .. })
    }

    /// When it ended.
    pub fn finished_at(&self) -> Option<DateTime<Utc>> {
        match &self.state {
            State::Finished { at, .. } => Some(*at),
            State::Due
            | State::Launching
            | State::Seeking { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Waiting { .. } => None,
        }
    }

    /// The error that the interface shows: of the end, or of the attempt that is being waited out.
    pub fn shown_failure(&self) -> Option<&Failure> {
        match &self.state {
            State::Finished { outcome, .. } => outcome.failure(),
            State::Waiting { .. } => self.attempts.last().and_then(|attempt| attempt.failure.as_ref()),
            State::Due | State::Launching | State::Seeking { .. } | State::Running { .. } | State::Stopping { .. } => {
                None
            }
        }
    }

    /// The cause that the interface shows: the failure's, the reason of a run that never started or was cancelled, or why a
    /// run does not go on.
    pub fn shown_cause(&self) -> Option<&str> {
        let of_failure = self.shown_failure().map(|failure| failure.cause.as_str());
        of_failure.or(match &self.state {
            State::Finished { outcome, .. } => outcome.reason(),
            State::Seeking { unanswered: 1.., .. } => Some(UNANSWERED),
            State::Stopping { alerts: 1.., .. } => Some(WILL_NOT_STOP),
            State::Due
            | State::Launching
            | State::Seeking { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Waiting { .. } => None,
        })
    }

    /// The exit code of the newest attempt.
    pub fn shown_exit_code(&self) -> Option<i32> {
        self.attempts.last().and_then(|attempt| attempt.exit_code)
    }

    /// Adds to the history.
    fn entry(&mut self, event: HistoryEvent, now: DateTime<Utc>) -> Entry {
        self.history_len += 1;
        Entry { seq: self.history_len, at: now, event }
    }
}

/// An instant as texts show it.
pub(crate) fn in_words(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
