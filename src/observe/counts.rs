//! What is counted of each job, and how it follows from the runs that are saved.

use chrono::{DateTime, TimeDelta, Utc};

use crate::engine::failure::ErrorName;
use crate::engine::run::{Attempt, HistoryEvent, Outcome, Run, State, Status};
use crate::store::{RunSave, RunSummary};

/// How often each of a few things happened; there may be a hundred thousand of these, so it is small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally<K>(Vec<(K, u64)>);

impl<K> Default for Tally<K> {
    fn default() -> Tally<K> {
        Tally(Vec::new())
    }
}

impl<K: Copy + PartialEq> Tally<K> {
    fn add(&mut self, key: K, times: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += times,
            None => self.0.push((key, times)),
        }
    }

    /// How often this happened.
    pub fn of(&self, key: K) -> u64 {
        self.0.iter().find(|(known, _)| *known == key).map_or(0, |(_, count)| *count)
    }

    /// What happened, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        self.0.iter().copied()
    }
}

/// The counts of one job since the daemon started, and what is known of its newest ends, also of earlier daemons.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// Instants by how their runs ended; a row that stands for several counts as many.
    pub runs: Tally<Status>,
    /// Attempts by how they ended.
    pub attempts: Tally<&'static str>,
    /// Retries by the retrier that granted them, from 0.
    pub retries: Tally<usize>,
    /// Its newest run that succeeded.
    pub last_success: Option<LastSuccess>,
    /// When its newest run ended that failed, timed out or ended as unknown.
    pub last_failure_at: Option<DateTime<Utc>>,
    /// How long its newest run took that launched something, from its record to its end.
    pub last_duration: Option<TimeDelta>,
}

/// A run that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastSuccess {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Its nominal instant.
    pub scheduled_at: DateTime<Utc>,
}

impl Counts {
    /// Counts what is new about a run.
    pub(crate) fn count(&mut self, save: &RunSave) {
        for entry in &save.entries {
            match &entry.event {
                HistoryEvent::RetryScheduled { attempt, retrier, .. } => {
                    self.retries.add(*retrier, 1);
                    self.count_attempt(attempt_of(&save.run, *attempt), None);
                }
                HistoryEvent::LaunchRerun { attempt, .. } => {
                    self.count_attempt(attempt_of(&save.run, *attempt), None);
                }
                HistoryEvent::ExecutionSucceeded {}
                | HistoryEvent::ExecutionFailed { .. }
                | HistoryEvent::ExecutionTimedOut { .. }
                | HistoryEvent::ExecutionAborted { .. }
                | HistoryEvent::ExecutionSkipped { .. }
                | HistoryEvent::ExecutionMissed { .. }
                | HistoryEvent::ExecutionUnknown { .. } => self.count_end(&save.run),
                HistoryEvent::ExecutionStarted { .. }
                | HistoryEvent::TaskScheduled { .. }
                | HistoryEvent::TaskSubmitted { .. }
                | HistoryEvent::TaskSubmitFailed { .. }
                | HistoryEvent::TaskAdopted { .. }
                | HistoryEvent::TaskStarted { .. }
                | HistoryEvent::TaskEnded { .. }
                | HistoryEvent::TaskSucceeded { .. }
                | HistoryEvent::TaskFailed { .. }
                | HistoryEvent::TaskTimedOut { .. }
                | HistoryEvent::TaskStopRequested { .. }
                | HistoryEvent::TaskStopRefused { .. }
                | HistoryEvent::TaskStopOverdue { .. }
                | HistoryEvent::RetryForbidden { .. }
                | HistoryEvent::LaunchLookup { .. }
                | HistoryEvent::LaunchLookupFailed { .. }
                | HistoryEvent::Resumed { .. }
                | HistoryEvent::CancelRequested { .. } => {}
            }
        }
    }

    fn count_end(&mut self, run: &Run) {
        let State::Finished { outcome, at } = &run.state else { return };
        let covered = match outcome {
            Outcome::Skipped { covers, .. } | Outcome::Missed { covers, .. } => covers.map(|covers| covers.count),
            Outcome::Succeeded
            | Outcome::Failed { .. }
            | Outcome::TimedOut { .. }
            | Outcome::Cancelled { .. }
            | Outcome::Unknown { .. } => None,
        };
        self.runs.add(outcome.status(), covered.unwrap_or(1));
        // One that was followed by a retry is counted already.
        let last = run.attempts.last();
        self.count_attempt(last.filter(|attempt| attempt.retrier.is_none()), Some(outcome));
        if last.is_some() {
            self.last_duration = Some(*at - run.created_at);
        }
        self.note_end(outcome.status(), *at, run.scheduled_at);
    }

    fn count_attempt(&mut self, attempt: Option<&Attempt>, end: Option<&Outcome>) {
        if let Some(attempt) = attempt {
            self.attempts.add(attempt_outcome(attempt, end), 1);
        }
    }

    fn note_end(&mut self, status: Status, at: DateTime<Utc>, scheduled_at: DateTime<Utc>) {
        match status {
            Status::Succeeded if self.last_success.is_none_or(|last| last.at <= at) => {
                self.last_success = Some(LastSuccess { at, scheduled_at });
            }
            Status::Failed | Status::TimedOut | Status::Unknown => {
                self.last_failure_at = self.last_failure_at.max(Some(at));
            }
            Status::Succeeded
            | Status::Due
            | Status::Launching
            | Status::Running
            | Status::Stopping
            | Status::Waiting
            | Status::Cancelled
            | Status::Skipped
            | Status::Missed => {}
        }
    }

    /// Takes in a run that an earlier daemon saw end.
    pub(super) fn remember(&mut self, run: &RunSummary) {
        let Some(at) = run.finished_at else { return };
        let is_newest =
            self.last_success.is_none_or(|last| last.at <= at) && self.last_failure_at.is_none_or(|last| last <= at);
        self.note_end(run.status, at, run.scheduled_at);
        if is_newest && run.attempts > 0 {
            self.last_duration = Some(at - run.created_at);
        }
    }
}

fn attempt_of(run: &Run, number: u32) -> Option<&Attempt> {
    run.attempts.iter().find(|attempt| attempt.attempt == number)
}

/// How an attempt ended: in the end of its run, or in a retry.
fn attempt_outcome(attempt: &Attempt, end: Option<&Outcome>) -> &'static str {
    match end {
        Some(outcome @ (Outcome::Succeeded | Outcome::Skipped { .. } | Outcome::Cancelled { .. })) => {
            outcome.status().as_str()
        }
        Some(Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Missed { .. } | Outcome::Unknown { .. })
        | None => match &attempt.failure {
            Some(failure) if failure.primary == ErrorName::LAUNCH_UNKNOWN => "unknown",
            Some(failure) if failure.primary == ErrorName::TIMEOUT => "timed_out",
            Some(_) if attempt.task.is_none() => "launch_failed",
            Some(_) => "failed",
            // The run's time was over before anything was known of it.
            None => "timed_out",
        },
    }
}
