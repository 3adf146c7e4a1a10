//! What people see of the daemon from outside: log lines, one for each transition, all written here.
//!
//! Texts are constant and in the past tense, what varies is in fields, so that a search for the text finds every case and
//! a search for a run finds its whole story. On a terminal the lines are for eyes, elsewhere they are JSON.

use std::error::Error;
use std::io::IsTerminal as _;
use std::path::Path;

use tracing_subscriber::EnvFilter;

use crate::engine::hint::hint;
use crate::engine::run::{HistoryEvent, in_words};
use crate::engine::task::TaskArn;
use crate::store::{Audit, RunSave};

/// The environment variable that chooses what is logged.
const LOG_VARIABLE: &str = "TENACRON_LOG";

/// Starts logging to standard error. `TENACRON_LOG` takes `tracing-subscriber`'s filter syntax; default `info`, with what
/// `quiet` says in that syntax of libraries that repeat us.
///
/// A log that can't be written is lost and ends nothing: the daemon outlives a log shipper and a full disk.
pub fn start_logging(quiet: &str) {
    let wanted = std::env::var(LOG_VARIABLE).ok().filter(|wanted| !wanted.is_empty());
    let parsed = wanted.as_deref().map(EnvFilter::try_new);
    let mistake = parsed.as_ref().and_then(|parsed| parsed.as_ref().err().map(ToString::to_string));
    let filter = parsed.and_then(Result::ok).unwrap_or_else(|| EnvFilter::new(format!("info,{quiet}")));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let builder = builder.with_target(false).log_internal_errors(false);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().flatten_event(true).with_current_span(false).init();
    }
    if let Some(mistake) = mistake {
        tracing::warn!(variable = LOG_VARIABLE, mistake, "log filter not understood; logging at info");
    }
}

/// Writes the log lines of doubts about a configuration: code, file, line and text of each.
pub fn warnings<'a>(found: impl Iterator<Item = (&'a str, &'a Path, Option<usize>, &'a str)>) {
    for (code, file, line, detail) in found {
        tracing::warn!(code, file = %file.display(), line, detail, "configuration warning");
    }
}

/// An error with everything that led to it, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// Writes the log lines of a run that was just saved.
pub fn transition(save: &RunSave) {
    let (job, run) = (save.run.job.as_str(), save.run.id.as_str());
    let hint = save.run.shown_failure().and_then(hint).map(|hint| hint.text);
    for entry in &save.entries {
        log_entry(job, run, &entry.event, hint);
    }
}

/// Writes the log line of something that a person did, or a rule in a person's place, and that was just saved.
pub fn carried_out(audit: &Audit) {
    let Audit { at: _, by, action, job, run, detail } = audit;
    let (job, run) = (job.as_ref().map(|job| job.as_str()), run.as_ref().map(|run| run.as_str()));
    tracing::info!(action, by, job, run, detail, "command carried out");
}

fn in_one(tasks: &[TaskArn]) -> String {
    tasks.iter().map(|task| task.0.as_str()).collect::<Vec<_>>().join(" ")
}

/// `hint` is about the failure that the run shows now: only the entry that ends a run is sure to be about the same.
fn log_entry(job: &str, run: &str, event: &HistoryEvent, hint: Option<&str>) {
    match event {
        HistoryEvent::ExecutionStarted { trigger, scheduled_at, request } => {
            let (trigger, scheduled_at) = (trigger.as_str(), in_words(*scheduled_at));
            let by = request.as_ref().map(|request| request.asker.by.as_str());
            tracing::info!(job, run, trigger, scheduled_at, by, "run recorded");
        }
        HistoryEvent::TaskScheduled { attempt, generation, target, cluster, task_definition, client_token, resend } => {
            tracing::info!(
                job,
                run,
                attempt,
                generation,
                target,
                cluster,
                task_definition,
                client_token,
                resend,
                "launch recorded"
            );
        }
        HistoryEvent::TaskSubmitted { attempt, task_arn, others } => {
            tracing::info!(job, run, attempt, %task_arn, "task launched");
            others.iter().for_each(|task_arn| tracing::info!(job, run, attempt, %task_arn, "task launched"));
        }
        HistoryEvent::TaskSubmitFailed { attempt, error, cause, ambiguous } => {
            tracing::warn!(job, run, attempt, %error, cause, ambiguous, "launch failed");
        }
        HistoryEvent::TaskAdopted { attempt, task_arn, others, reason } => {
            tracing::warn!(job, run, attempt, %task_arn, others = in_one(others), reason, "task adopted");
        }
        HistoryEvent::TaskStarted { attempt, task_arn } => tracing::info!(job, run, attempt, %task_arn, "task started"),
        HistoryEvent::TaskEnded { attempt, task_arn, exit_code, cause, living } => {
            tracing::info!(job, run, attempt, %task_arn, exit_code, cause, living, "task ended");
        }
        HistoryEvent::TaskStopRefused { attempt, cause } => {
            tracing::warn!(job, run, attempt, cause, "task could not be stopped; trying again");
        }
        HistoryEvent::TaskStopOverdue { attempt, task_arns, since } => {
            let (since, task_arns) = (in_words(*since), in_one(task_arns));
            tracing::error!(job, run, attempt, task_arns, since, "task does not stop");
        }
        HistoryEvent::TaskSucceeded { attempt, exit_code } => {
            tracing::info!(job, run, attempt, exit_code, "task succeeded");
        }
        HistoryEvent::TaskFailed { attempt, error, cause, exit_code } => {
            tracing::warn!(job, run, attempt, %error, cause, exit_code, "task failed");
        }
        HistoryEvent::TaskTimedOut { attempt, error, cause } => {
            tracing::warn!(job, run, attempt, %error, cause, "task timed out");
        }
        HistoryEvent::TaskStopRequested { attempt, task_arn, reason } => {
            tracing::info!(job, run, attempt, %task_arn, reason, "task stop requested");
        }
        HistoryEvent::RetryScheduled { attempt, retrier, delay_seconds, until } => {
            let until = in_words(*until);
            tracing::info!(job, run, attempt, retrier, delay_seconds, until, "retry scheduled");
        }
        HistoryEvent::RetryForbidden { attempt, reason } => {
            tracing::warn!(job, run, attempt, reason, "retry forbidden");
        }
        HistoryEvent::LaunchLookup { attempt, started_by, reason } => {
            tracing::info!(job, run, attempt, started_by, reason, "launch looked up");
        }
        HistoryEvent::LaunchLookupFailed { attempt, cause } => {
            tracing::warn!(job, run, attempt, cause, "launch look-up failed; looking again");
        }
        HistoryEvent::LaunchRerun { attempt, cause } => {
            tracing::warn!(job, run, attempt, cause, "launch of unknown outcome repeated");
        }
        HistoryEvent::Resumed { state } => tracing::info!(job, run, state, "run resumed"),
        HistoryEvent::CancelRequested { reason } => tracing::info!(job, run, reason, "run cancel requested"),
        HistoryEvent::ExecutionSucceeded {} => tracing::info!(job, run, "run succeeded"),
        HistoryEvent::ExecutionFailed { error, cause } => tracing::error!(job, run, %error, cause, hint, "run failed"),
        HistoryEvent::ExecutionTimedOut { error, cause } => {
            tracing::error!(job, run, %error, cause, hint, "run timed out");
        }
        HistoryEvent::ExecutionAborted { reason } => tracing::warn!(job, run, reason, "run cancelled"),
        HistoryEvent::ExecutionSkipped { reason } => tracing::warn!(job, run, reason, "run skipped"),
        HistoryEvent::ExecutionMissed { reason } => tracing::warn!(job, run, reason, "run missed"),
        HistoryEvent::ExecutionUnknown { error, cause } => {
            tracing::error!(job, run, %error, cause, hint, "run ended as unknown");
        }
    }
}
