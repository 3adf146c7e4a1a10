//! The history of a run: one entry for each thing that happened, under Step Functions' event name where one fits.
//!
//! Entries are appended and never changed. They are the source of the log lines and of `tenacron show`, so that log,
//! history and notices cannot disagree.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::failure::ErrorName;
use super::super::task::TaskArn;
use super::{Outcome, Request, Trigger, in_words};

/// One line of a run's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, without gaps.
    pub seq: u32,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    #[serde(flatten)]
    pub event: HistoryEvent,
}

/// What happened. Instants are UTC, delays are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "detail")]
#[expect(missing_docs, reason = "the fields carry the names of the interface")]
pub enum HistoryEvent {
    /// The firing was recorded as a run.
    ExecutionStarted {
        trigger: Trigger,
        scheduled_at: DateTime<Utc>,
        #[serde(default, flatten)]
        request: Option<Request>,
    },
    /// A launch is about to be sent; the request is stored.
    TaskScheduled {
        attempt: u32,
        generation: u32,
        /// Not stored for the daemon's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<String>,
        cluster: String,
        task_definition: String,
        client_token: String,
        resend: bool,
    },
    /// RunTask named a task.
    TaskSubmitted {
        attempt: u32,
        task_arn: TaskArn,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<TaskArn>,
    },
    /// RunTask was refused, placed nothing, or got no answer.
    TaskSubmitFailed {
        attempt: u32,
        error: ErrorName,
        cause: String,
        ambiguous: bool,
    },
    /// A task that an earlier send had started was found and is followed.
    TaskAdopted {
        attempt: u32,
        task_arn: TaskArn,
        others: Vec<TaskArn>,
        reason: String,
    },
    /// The task reached RUNNING.
    TaskStarted {
        attempt: u32,
        task_arn: TaskArn,
    },
    /// One task of several ended, and others live.
    TaskEnded {
        attempt: u32,
        task_arn: TaskArn,
        exit_code: Option<i32>,
        cause: Option<String>,
        living: usize,
    },
    /// The task ended as a success; of several, all of them.
    TaskSucceeded {
        attempt: u32,
        exit_code: Option<i32>,
    },
    /// The attempt failed.
    TaskFailed {
        attempt: u32,
        error: ErrorName,
        cause: String,
        exit_code: Option<i32>,
    },
    /// A limit of time was reached.
    TaskTimedOut {
        attempt: u32,
        error: ErrorName,
        cause: String,
    },
    /// The task is asked to stop.
    TaskStopRequested {
        attempt: u32,
        task_arn: TaskArn,
        reason: String,
    },
    /// ECS did not take the request to stop; it is made again until it does.
    TaskStopRefused {
        attempt: u32,
        cause: String,
    },
    /// The task was asked to stop and has not, longer than ECS should need.
    TaskStopOverdue {
        attempt: u32,
        task_arns: Vec<TaskArn>,
        since: DateTime<Utc>,
    },
    /// A retrier took the failure.
    RetryScheduled {
        attempt: u32,
        retrier: usize,
        delay_seconds: f64,
        until: DateTime<Utc>,
    },
    /// The failure's exit code is one that the job does not let be tried again, so no retrier was asked.
    RetryForbidden {
        attempt: u32,
        reason: String,
    },
    /// Looking for a task of an unresolved launch.
    LaunchLookup {
        attempt: u32,
        started_by: String,
        reason: String,
    },
    /// ECS did not answer the look-up; it is repeated until it does.
    LaunchLookupFailed {
        attempt: u32,
        cause: String,
    },
    /// Nobody knows whether a launch happened, and `on_unknown = "rerun"` launches anew.
    LaunchRerun {
        attempt: u32,
        cause: String,
    },
    /// The daemon started and found the run in flight.
    Resumed {
        state: String,
    },
    /// The run was asked to end.
    CancelRequested {
        reason: String,
    },
    ExecutionSucceeded {},
    ExecutionFailed {
        error: ErrorName,
        cause: String,
    },
    ExecutionTimedOut {
        error: ErrorName,
        cause: String,
    },
    ExecutionAborted {
        reason: String,
    },
    ExecutionSkipped {
        reason: String,
    },
    ExecutionMissed {
        reason: String,
    },
    ExecutionUnknown {
        error: ErrorName,
        cause: String,
    },
}

impl HistoryEvent {
    /// The entry that ends a run.
    pub(super) fn of_end(outcome: &Outcome) -> HistoryEvent {
        match outcome.clone() {
            Outcome::Succeeded => HistoryEvent::ExecutionSucceeded {},
            Outcome::Failed { failure } => {
                HistoryEvent::ExecutionFailed { error: failure.primary, cause: failure.cause }
            }
            Outcome::TimedOut { failure } => {
                HistoryEvent::ExecutionTimedOut { error: failure.primary, cause: failure.cause }
            }
            Outcome::Cancelled { reason } => HistoryEvent::ExecutionAborted { reason },
            Outcome::Skipped { reason, .. } => HistoryEvent::ExecutionSkipped { reason },
            Outcome::Missed { reason, .. } => HistoryEvent::ExecutionMissed { reason },
            Outcome::Unknown { failure } => {
                HistoryEvent::ExecutionUnknown { error: failure.primary, cause: failure.cause }
            }
        }
    }
}

impl fmt::Display for HistoryEvent {
    /// The detail for a person, without the event's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HistoryEvent::ExecutionStarted { trigger, scheduled_at, request } => {
                let by = match trigger {
                    Trigger::Schedule => "by its schedule",
                    Trigger::Catchup => "to catch up",
                    Trigger::Manual => "by hand",
                    Trigger::Backfill => "as a backfill",
                };
                write!(f, "{by}, for {}", in_words(*scheduled_at))?;
                let Some(request) = request else { return Ok(()) };
                write!(f, "; asked for {}", request.asker.in_words())?;
                request.retry_of.as_ref().map_or(Ok(()), |run| write!(f, "; the instant of {run} once more"))
            }
            HistoryEvent::TaskScheduled { attempt, generation, target, cluster, task_definition, resend, .. } => {
                let how = if *resend { "sending again" } else { "launching" };
                write!(f, "attempt {attempt}: {how} {task_definition} on {cluster}")?;
                target.as_ref().map_or(Ok(()), |target| write!(f, " of target {target}"))?;
                write!(f, " (generation {generation})")
            }
            HistoryEvent::TaskSubmitted { attempt, task_arn, others } => {
                write!(f, "attempt {attempt}: {task_arn}")?;
                others.iter().try_for_each(|task| write!(f, ", {task}"))
            }
            HistoryEvent::TaskSubmitFailed { attempt, error, cause, ambiguous } => {
                let open = if *ambiguous { " (a task may have been started)" } else { "" };
                write!(f, "attempt {attempt}: {error}: {cause}{open}")
            }
            HistoryEvent::TaskAdopted { attempt, task_arn, others, reason } => {
                write!(f, "attempt {attempt}: {task_arn}: {reason}")?;
                if others.is_empty() { Ok(()) } else { write!(f, "; {} more tasks carry its mark", others.len()) }
            }
            HistoryEvent::TaskStarted { attempt, task_arn } => write!(f, "attempt {attempt}: {task_arn}"),
            HistoryEvent::TaskEnded { attempt, task_arn, exit_code, cause, living } => {
                let how = match (cause, exit_code) {
                    (Some(cause), _) => cause.clone(),
                    (None, Some(code)) => format!("exit code {code}"),
                    (None, None) => "ended".to_owned(),
                };
                write!(f, "attempt {attempt}: {task_arn}: {how}; {living} more of its tasks live")
            }
            HistoryEvent::TaskSucceeded { attempt, exit_code } => match exit_code {
                Some(code) => write!(f, "attempt {attempt}: exit code {code}"),
                None => write!(f, "attempt {attempt}"),
            },
            HistoryEvent::TaskFailed { attempt, error, cause, .. }
            | HistoryEvent::TaskTimedOut { attempt, error, cause } => write!(f, "attempt {attempt}: {error}: {cause}"),
            HistoryEvent::TaskStopRequested { attempt, task_arn, reason } => {
                write!(f, "attempt {attempt}: {task_arn}: {reason}")
            }
            HistoryEvent::RetryForbidden { attempt, reason } => write!(f, "attempt {attempt}: {reason}"),
            HistoryEvent::TaskStopOverdue { attempt, task_arns, since } => {
                write!(
                    f,
                    "attempt {attempt}: asked to stop since {}, and ECS does not show it stopped:",
                    in_words(*since)
                )?;
                task_arns.iter().try_for_each(|task| write!(f, " {task}"))
            }
            HistoryEvent::RetryScheduled { attempt, retrier, delay_seconds, until } => {
                write!(f, "attempt {attempt}: retry[{retrier}] waits {delay_seconds} s, until {}", in_words(*until))
            }
            HistoryEvent::LaunchLookup { attempt, started_by, reason } => {
                write!(f, "attempt {attempt}: looking for {started_by}: {reason}")
            }
            HistoryEvent::TaskStopRefused { attempt, cause } => write!(f, "attempt {attempt}: asking again: {cause}"),
            HistoryEvent::LaunchLookupFailed { attempt, cause } => {
                write!(f, "attempt {attempt}: looking again: {cause}")
            }
            HistoryEvent::LaunchRerun { attempt, cause } => write!(f, "attempt {attempt}: launching anew: {cause}"),
            HistoryEvent::Resumed { state } => write!(f, "found {state}"),
            HistoryEvent::ExecutionSucceeded {} => Ok(()),
            HistoryEvent::ExecutionFailed { error, cause }
            | HistoryEvent::ExecutionTimedOut { error, cause }
            | HistoryEvent::ExecutionUnknown { error, cause } => write!(f, "{error}: {cause}"),
            HistoryEvent::CancelRequested { reason }
            | HistoryEvent::ExecutionAborted { reason }
            | HistoryEvent::ExecutionSkipped { reason }
            | HistoryEvent::ExecutionMissed { reason } => f.write_str(reason),
        }
    }
}
