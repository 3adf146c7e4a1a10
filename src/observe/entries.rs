//! The log line of each history entry.

use crate::engine::hint::hint;
use crate::engine::run::{HistoryEvent, in_words};
use crate::engine::task::TaskArn;
use crate::store::RunSave;

/// Writes the log lines of a run that was just saved.
pub(super) fn log(save: &RunSave) {
    let (job, run) = (save.run.job.as_str(), save.run.id.as_str());
    let hint = save.run.shown_failure().and_then(hint).map(|hint| hint.text);
    for entry in &save.entries {
        log_entry(job, run, &entry.event, hint);
    }
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
