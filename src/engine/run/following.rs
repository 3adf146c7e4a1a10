//! Following: a task from the moment that ECS names it until it has stopped or is lost.
//!
//! The limits of time are kept here. What stops a task is recorded with the stop, because ECS will only say that
//! somebody asked; whether the attempt failed by it is decided when the task has stopped.

use chrono::{DateTime, Utc};

use super::super::failure::{ErrorName, Failure};
use super::super::outcome::{self, Verdict};
use super::super::task::{TaskArn, TaskFacts};
use super::action::OUR_STOP;
use super::ending::Next;
use super::{HistoryEvent, LOST_AFTER, Outcome, Run, State, StopWhy, VISIBLE_WITHIN};

impl Run {
    pub(super) fn follow(&mut self, task: TaskArn, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        self.set_unresolved(false);
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.task = Some(task.clone());
            // The task of an ambiguous launch belongs to the attempt that found it; its failure was not one.
            attempt.failure = None;
            attempt.stopped_at = None;
        }
        self.give_back_retry();
        self.state = State::Running { task, known_since: now, started: false, missing_since: None };
        self.enforce_limits(now).unwrap_or_default()
    }

    /// A task that has not stopped: it has started, or its time to start is over. That limit is kept here and not by the
    /// clock, so that a task which started while nobody looked is not stopped for it.
    pub(super) fn saw_alive(&mut self, facts: &TaskFacts, now: DateTime<Utc>) -> Option<Vec<HistoryEvent>> {
        let (attempt_number, start_deadline) = (self.attempt_number(), self.start_timeout_at());
        let shows_again = self.shows_again().then(Vec::new);
        let State::Running { started, task, .. } = &mut self.state else { return shows_again };
        if *started {
            return shows_again;
        }
        if !facts.has_started() {
            let is_over = start_deadline.is_some_and(|deadline| deadline <= now);
            return if is_over { Some(self.ask_to_stop(StopWhy::StartTimeout, now)) } else { shows_again };
        }
        *started = true;
        let task_arn = task.clone();
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.started_at = facts.started_at;
        }
        Some(vec![HistoryEvent::TaskStarted { attempt: attempt_number, task_arn }])
    }

    /// ECS shows the task. True if it had not, although it should.
    fn shows_again(&mut self) -> bool {
        match &mut self.state {
            State::Running { missing_since, .. } | State::Stopping { missing_since, .. } => {
                missing_since.take().is_some()
            }
            State::Due | State::Launching | State::Seeking { .. } | State::Waiting { .. } | State::Finished { .. } => {
                false
            }
        }
    }

    /// A task that ECS does not show: not visible yet while it is young, lost when it is older and stays away.
    pub(super) fn saw_missing(&mut self, now: DateTime<Utc>) -> Option<Vec<HistoryEvent>> {
        let (State::Running { known_since, task, missing_since, .. }
        | State::Stopping { known_since, task, missing_since, .. }) = &mut self.state
        else {
            return None;
        };
        if now - *known_since <= VISIBLE_WITHIN {
            return None;
        }
        let Some(since) = *missing_since else {
            *missing_since = Some(now);
            return Some(Vec::new());
        };
        if now - since < LOST_AFTER {
            return None;
        }
        let cause = format!("ECS no longer knows {task}, so how it ended is not known");
        Some(self.attempt_ended(Failure::lost(cause), None, now))
    }

    /// A task that was never seen RUNNING may not be visible yet, and after an absence or a jump of the clock it may be
    /// younger than it seems: its time to become visible begins anew. True if that changed anything.
    pub(super) fn count_missing_anew(&mut self, now: DateTime<Utc>) -> bool {
        match &mut self.state {
            State::Running { known_since, started: false, missing_since, .. }
            | State::Stopping { known_since, missing_since, .. } => {
                let was_missing = missing_since.take().is_some();
                (std::mem::replace(known_since, now) != now) | was_missing
            }
            State::Running { started: true, missing_since, .. } => missing_since.take().is_some(),
            State::Due | State::Launching | State::Seeking { .. } | State::Waiting { .. } | State::Finished { .. } => {
                false
            }
        }
    }

    pub(super) fn task_ended(&mut self, facts: &TaskFacts, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let verdict = if matches!(self.state, State::Stopping { .. }) {
            outcome::judge_asked_to_stop(facts, &self.definition)
        } else {
            outcome::judge(facts, &self.definition)
        };
        let exit_code = outcome::exit_code(facts, &self.definition);
        let mut events = Vec::new();
        if matches!(self.state, State::Running { started: false, .. }) && facts.started_at.is_some() {
            // It began and ended between two looks; the history tells both.
            events.push(HistoryEvent::TaskStarted { attempt: self.attempt_number(), task_arn: facts.task.clone() });
        }
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.started_at = facts.started_at.or(attempt.started_at);
            attempt.stopped_at = Some(facts.stopped_at.unwrap_or(now));
            attempt.exit_code = exit_code;
            attempt.stop_code.clone_from(&facts.stop_code);
            attempt.stopped_reason.clone_from(&facts.stopped_reason);
            attempt.containers.clone_from(&facts.containers);
        }
        match verdict {
            Verdict::Succeeded => {
                // A task that ended well just before our StopTask reached it is a success, and is never run again.
                events.push(HistoryEvent::TaskSucceeded { attempt: self.attempt_number(), exit_code });
                events.extend(self.finish(Outcome::Succeeded, now));
            }
            Verdict::Skipped { reason } => events.extend(self.finish(Outcome::Skipped { reason, covers: None }, now)),
            Verdict::Failed(failure) => events.extend(self.attempt_ended(failure, facts.stopped_at, now)),
        }
        events
    }

    /// The attempt's task is gone, and it was no success: the limit that stopped it counts, else what ECS reported.
    fn attempt_ended(
        &mut self,
        failure: Failure,
        stopped_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Vec<HistoryEvent> {
        let attempt = self.attempt_number();
        // A task that had ended before its limit was not ended by it, however late that was noticed. ECS has a clock of its
        // own, so what it says to have been ended by us was.
        let stopped_reason = self.attempts.last().and_then(|attempt| attempt.stopped_reason.as_deref());
        let is_ours = stopped_reason.is_some_and(|reason| reason.starts_with(OUR_STOP));
        let in_time =
            |limit: Option<DateTime<Utc>>| !is_ours && stopped_at.zip(limit).is_some_and(|(at, limit)| at < limit);
        let why = match &self.state {
            State::Stopping { why: StopWhy::AttemptTimeout, .. } if in_time(self.attempt_deadline()) => None,
            State::Stopping { why: StopWhy::StartTimeout, .. } if in_time(self.start_timeout_at()) => None,
            State::Stopping { why, .. } => Some(why.clone()),
            State::Due
            | State::Launching
            | State::Seeking { .. }
            | State::Running { .. }
            | State::Waiting { .. }
            | State::Finished { .. } => None,
        };
        let limits = self.definition.limits;
        let timed_out = |key: &str, limit: Option<std::time::Duration>| {
            format!("{key} of {:?} was reached; {}", limit.unwrap_or_default(), failure.cause)
        };
        let failure = match why {
            None => {
                let (error, cause) = (failure.primary.clone(), failure.cause.clone());
                let exit_code = self.shown_exit_code();
                let mut events = vec![HistoryEvent::TaskFailed { attempt, error, cause, exit_code }];
                events.extend(self.fail_attempt(failure, Next::Fresh, now));
                return events;
            }
            Some(StopWhy::AttemptTimeout) => {
                Failure::new(ErrorName::TIMEOUT, timed_out("attempt_timeout", limits.attempt_timeout))
            }
            Some(StopWhy::StartTimeout) => Failure::start_timed_out(timed_out("start_timeout", limits.start_timeout)),
            Some(StopWhy::RunTimeout) => Failure::new(ErrorName::TIMEOUT, timed_out("timeout", limits.timeout)),
            Some(StopWhy::Cancelled) => failure,
        };
        let timed_out =
            HistoryEvent::TaskTimedOut { attempt, error: failure.primary.clone(), cause: failure.cause.clone() };
        let mut events = if failure.primary == ErrorName::TIMEOUT { vec![timed_out] } else { Vec::new() };
        events.extend(self.fail_attempt(failure, Next::Fresh, now));
        events
    }

    /// Stops a running task whose time is over.
    pub(super) fn enforce_limits(&mut self, now: DateTime<Utc>) -> Option<Vec<HistoryEvent>> {
        let State::Running { .. } = &self.state else { return None };
        let over = |limit: Option<DateTime<Utc>>| limit.is_some_and(|limit| limit <= now);
        let why = if self.cancelled.is_some() {
            StopWhy::Cancelled
        } else if over(self.deadline) {
            StopWhy::RunTimeout
        } else if over(self.attempt_deadline()) {
            StopWhy::AttemptTimeout
        } else {
            return None;
        };
        Some(self.ask_to_stop(why, now))
    }

    fn ask_to_stop(&mut self, why: StopWhy, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let State::Running { task, known_since, missing_since, .. } = &self.state else { return Vec::new() };
        let (task, known_since, missing_since) = (task.clone(), *known_since, *missing_since);
        let reason = self.stop_reason(&why);
        let asked = HistoryEvent::TaskStopRequested { attempt: self.attempt_number(), task_arn: task.clone(), reason };
        self.state = State::Stopping { task, known_since, why, ask_at: now, missing_since };
        vec![asked]
    }
}
