//! What people see of the daemon from outside: log lines and metrics, both made here of the same transitions.
//!
//! [`transition`] is called once for each run that was saved: it writes a line for each new entry of its history and counts
//! what they tell, so that log and metrics can't disagree. Texts are constant and in the past tense, what varies is in
//! fields, so that a search for the text finds every case and a search for a run finds its whole story.

mod counts;
mod entries;
mod limit;
mod log;
mod metrics;
mod process;

use std::error::Error;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

pub use self::counts::{Counts, LastSuccess, Tally};
pub use self::log::start_logging;
pub use self::metrics::Metrics;
pub(crate) use self::metrics::{DEAD, DELIVERED, DESCRIBE_TASKS, FAILED, LIST_TASKS, RUN_TASK, STOP_TASK};
pub use self::process::Process;
use crate::store::{Audit, RunSave};

/// Writes the log lines of a run that was just saved, and counts it. `offset` is how much later than its instants its job
/// leaves, and none if the configuration no longer has the job; by `sent_at` the calls that the save led to had begun.
pub fn transition(metrics: &Metrics, save: &RunSave, offset: Option<TimeDelta>, sent_at: DateTime<Utc>) {
    entries::log(save);
    metrics.count(save, offset, sent_at);
}

/// Writes the log line of something that a person did, or a rule in a person's place, and that was just saved.
pub fn carried_out(audit: &Audit) {
    let Audit { at: _, by, action, job, run, detail } = audit;
    let (job, run) = (job.as_ref().map(|job| job.as_str()), run.as_ref().map(|run| run.as_str()));
    tracing::info!(action, by, job, run, detail, "command carried out");
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
