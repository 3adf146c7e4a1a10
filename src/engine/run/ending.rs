//! Ending: what follows on a failed attempt, and how a run is over.
//!
//! The policy is asked here and nowhere else. A run whose time is over or that was cancelled is not retried, and a run
//! whose launch is unresolved does not end before a look-up.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};

use super::super::failure::{ErrorName, Failure};
use super::super::job::OnUnknown;
use super::super::retry::Decision;
use super::{HistoryEvent, Outcome, Run, Seek, State, in_words};

/// What the next attempt sends, if the policy grants one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// A new generation: the launch has surely come to nothing, or its task has stopped.
    Fresh,
    /// A new generation, but first a task is looked for once more.
    FreshAfterLook,
    /// The same launch again: it may have started a task.
    Resend,
}

impl Run {
    /// Asks the policy. The attempt is over, its task with it.
    pub(super) fn fail_attempt(&mut self, failure: Failure, next: Next, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let draw = self.draw();
        let attempt_number = self.attempt_number();
        self.give_back_retry();
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.stopped_at.get_or_insert(now);
            attempt.failure = Some(failure.clone());
        }
        if let Some(outcome) = self.must_end(now) {
            // No time is left to act on it, but an open question does not become a time-out or a cancellation.
            let is_unknown = failure.primary == ErrorName::LAUNCH_UNKNOWN;
            return if is_unknown { self.finish(Outcome::Unknown { failure }, now) } else { self.end(outcome, now) };
        }
        if let Some(reason) = self.definition.exit_codes.forbids_retry(&failure) {
            let mut events = vec![HistoryEvent::RetryForbidden { attempt: attempt_number, reason }];
            events.extend(self.end(Outcome::Failed { failure }, now));
            return events;
        }
        match self.definition.retry.decide(&failure, &self.retries_used, draw) {
            Decision::Retry { retrier, delay } => {
                let until = now + TimeDelta::from_std(delay).unwrap_or(TimeDelta::days(366));
                if let Some(used) = self.retries_used.get_mut(retrier) {
                    *used += 1;
                }
                if let Some(attempt) = self.attempts.last_mut() {
                    attempt.retrier = Some(retrier);
                    attempt.retry_delay = Some(delay);
                }
                let (resend, look_first) = (next == Next::Resend, next == Next::FreshAfterLook);
                self.state = State::Waiting { until, resend, look_first };
                let delay_seconds = delay.as_secs_f64();
                vec![HistoryEvent::RetryScheduled { attempt: attempt_number, retrier, delay_seconds, until }]
            }
            Decision::Exhausted { .. } | Decision::NoMatch if failure.primary == ErrorName::LAUNCH_UNKNOWN => {
                self.end_unknown(failure, now)
            }
            Decision::Exhausted { .. } | Decision::NoMatch => self.end(Outcome::Failed { failure }, now),
        }
    }

    /// A retry that was granted after the newest attempt and was not begun: what it was granted for turned out otherwise.
    pub(super) fn give_back_retry(&mut self) {
        let Some(attempt) = self.attempts.last_mut() else { return };
        attempt.retry_delay = None;
        let granted_by = attempt.retrier.take().and_then(|retrier| self.retries_used.get_mut(retrier));
        if let Some(used) = granted_by {
            *used = used.saturating_sub(1);
        }
    }

    pub(super) fn end_unknown(&mut self, failure: Failure, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        match self.definition.on_unknown {
            OnUnknown::Fail => self.finish(Outcome::Unknown { failure }, now),
            OnUnknown::Rerun => {
                self.state = State::Waiting { until: now, resend: false, look_first: false };
                vec![HistoryEvent::LaunchRerun { attempt: self.attempt_number(), cause: failure.cause }]
            }
        }
    }

    /// Ends the run, unless a task of it may yet show up: then a look-up decides first.
    pub(super) fn end(&mut self, outcome: Outcome, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        if self.is_unresolved() || self.may_have_a_ghost() {
            self.seek(Seek::BeforeEnd { outcome }, "the run would end while a task of it may yet show up", now)
        } else {
            self.finish(outcome, now)
        }
    }

    pub(super) fn finish(&mut self, outcome: Outcome, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let ended = HistoryEvent::of_end(&outcome);
        self.state = State::Finished { outcome, at: now };
        vec![ended]
    }

    /// The end that is due whatever the attempt did.
    pub(super) fn must_end(&self, now: DateTime<Utc>) -> Option<Outcome> {
        if let Some(reason) = &self.cancelled {
            return Some(Outcome::Cancelled { reason: reason.clone() });
        }
        let deadline = self.deadline.filter(|deadline| *deadline <= now)?;
        let last = self.attempts.last().and_then(|attempt| attempt.failure.as_ref());
        let after = last.map(|failure| format!("; the last failure was {}: {}", failure.primary, failure.cause));
        let cause = format!("timeout of the run was reached at {}{}", in_words(deadline), after.unwrap_or_default());
        Some(Outcome::TimedOut { failure: Failure::new(ErrorName::TIMEOUT, cause) })
    }

    /// The draw of `FULL` jitter, 0 to 1: reproducible, so that a restart does not draw again.
    pub(super) fn draw(&self) -> f64 {
        let mut hash = Sha256::new();
        hash.update(self.id.as_str().as_bytes());
        hash.update(self.attempt_number().to_be_bytes());
        let mut first = [0u8; 4];
        first.iter_mut().zip(hash.finalize().iter()).for_each(|(to, from)| *to = *from);
        f64::from(u32::from_be_bytes(first)) / f64::from(u32::MAX)
    }
}
