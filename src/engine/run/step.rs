//! How a run moves: one event at a time, matched on the state first and on the event inside, every pair named.
//!
//! The rules of launching exactly once live here:
//! - a launch is frozen and recorded by [`Event::Permitted`]; only then may it be sent;
//! - an ambiguous answer marks the launch unresolved, and whatever the policy then grants sends the same launch again;
//! - a new generation follows a definite end only: a stopped task, a definite refusal, or `failures` without a ghost;
//! - a run whose launch is unresolved never ends before a look-up has found nothing.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};

use super::super::failure::{self, ErrorName, Failure};
use super::super::job::OnUnknown;
use super::super::launch::Launch;
use super::super::outcome::{self, Verdict};
use super::super::retry::Decision;
use super::super::task::{LaunchAnswer, SearchAnswer, TaskArn, TaskFacts};
use super::{
    Attempt, Entry, HistoryEvent, LOOKUP_PAUSE, LOOKUP_SETTLE, Outcome, Run, STOP_REPEAT, Seek, State, StopWhy,
    VISIBLE_WITHIN, in_words,
};

/// What can happen to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A launch permit was granted.
    Permitted,
    /// The daemon started and loaded the run.
    Resumed,
    /// RunTask was answered.
    Answered(LaunchAnswer),
    /// A look-up was answered.
    Sought(SearchAnswer),
    /// DescribeTasks showed the task.
    Observed(TaskFacts),
    /// DescribeTasks does not know the task.
    Missing(TaskArn),
    /// StopTask was called; what counts is STOPPED.
    StopAsked,
    /// Somebody or a rule wants the run to end.
    Cancel {
        /// Who and why.
        reason: String,
    },
    /// An instant that the run waited for has come.
    Woken,
}

/// What an event did.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Nothing to save.
    Unchanged,
    /// The run changed and must be saved with these new entries before it is acted upon.
    Changed(Vec<Entry>),
}

/// Why an event was not taken; the run is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It came too late: normal after a cancellation, a restart or a failover.
    #[error("the event is about something that is over")]
    Stale,
    /// It can't happen in this state: a mistake in the program.
    #[error("the event does not fit the state")]
    Illegal,
}

/// Events for the history, or nothing to save.
type Moved = Result<Option<Vec<HistoryEvent>>, Refused>;

impl Run {
    /// Takes an event.
    ///
    /// # Errors
    /// The event does not fit; the run is as it was.
    pub fn step(&mut self, event: Event, now: DateTime<Utc>) -> Result<Step, Refused> {
        let moved = match &self.state {
            State::Due => self.in_due(event, now),
            State::Launching => self.in_launching(event, now),
            State::Seeking { .. } => self.in_seeking(event, now),
            State::Running { .. } => self.in_running(event, now),
            State::Stopping { .. } => self.in_stopping(event, now),
            State::Waiting { .. } => self.in_waiting(event, now),
            State::Finished { .. } => Err(Refused::Stale),
        }?;
        Ok(match moved {
            None => Step::Unchanged,
            Some(events) => Step::Changed(events.into_iter().map(|event| self.entry(event, now)).collect()),
        })
    }

    fn in_due(&mut self, event: Event, now: DateTime<Utc>) -> Moved {
        match event {
            Event::Permitted => {
                let timeout = self.definition.limits.timeout.and_then(|timeout| TimeDelta::from_std(timeout).ok());
                self.deadline = timeout.and_then(|timeout| now.checked_add_signed(timeout));
                Ok(Some(self.launch_generation(1, now)))
            }
            Event::Cancel { reason } => Ok(Some(self.finish(Outcome::Cancelled { reason }, now))),
            Event::Resumed | Event::Woken => Ok(None),
            Event::Answered(_) | Event::Sought(_) | Event::Observed(_) | Event::Missing(_) | Event::StopAsked => {
                Err(Refused::Illegal)
            }
        }
    }

    fn in_launching(&mut self, event: Event, now: DateTime<Utc>) -> Moved {
        match event {
            Event::Answered(answer) => Ok(Some(self.answered(answer, now))),
            Event::Resumed => {
                // The request may have left before the daemon died, so its launch is open until an answer says more.
                self.set_unresolved(true);
                let mut events = vec![HistoryEvent::Resumed { state: "launching".into() }];
                if self.launch.as_ref().is_some_and(|launch| launch.resend_until() <= now) {
                    events.extend(self.seek(Seek::TooOld, "the launch is too old to be sent again", now));
                }
                Ok(Some(events))
            }
            Event::Cancel { reason } => Ok(Some(self.note_cancel(reason))),
            Event::Woken => Ok(None),
            Event::Permitted => Err(Refused::Illegal),
            Event::Sought(_) | Event::Observed(_) | Event::Missing(_) | Event::StopAsked => Err(Refused::Stale),
        }
    }

    fn in_seeking(&mut self, event: Event, now: DateTime<Utc>) -> Moved {
        match event {
            Event::Sought(SearchAnswer::Found(tasks)) => {
                Ok(Some(self.adopt(tasks, "found by its startedBy".into(), now).ok_or(Refused::Illegal)?))
            }
            Event::Sought(SearchAnswer::Nothing) => Ok(Some(self.found_nothing(now))),
            Event::Sought(SearchAnswer::NoAnswer(_)) => Ok(Some(self.look_again(now))),
            Event::Cancel { reason } => Ok(Some(self.note_cancel(reason))),
            Event::Woken | Event::Resumed => Ok(None),
            Event::Permitted => Err(Refused::Illegal),
            Event::Answered(_) | Event::Observed(_) | Event::Missing(_) | Event::StopAsked => Err(Refused::Stale),
        }
    }

    fn in_running(&mut self, event: Event, now: DateTime<Utc>) -> Moved {
        match event {
            Event::Observed(facts) if self.followed_task() != Some(&facts.task) => Err(Refused::Stale),
            Event::Missing(task) if self.followed_task() != Some(&task) => Err(Refused::Stale),
            Event::Observed(facts) if facts.is_stopped() => Ok(Some(self.task_ended(&facts, now))),
            Event::Observed(facts) => Ok(self.saw_started(&facts)),
            Event::Missing(_) => Ok(self.saw_missing(now)),
            Event::Woken => Ok(self.enforce_limits(now)),
            Event::Cancel { reason } => {
                let mut events = self.note_cancel(reason);
                events.extend(self.enforce_limits(now).unwrap_or_default());
                Ok(Some(events))
            }
            Event::Resumed => Ok(None),
            Event::Permitted => Err(Refused::Illegal),
            Event::Answered(_) | Event::Sought(_) | Event::StopAsked => Err(Refused::Stale),
        }
    }

    fn in_stopping(&mut self, event: Event, now: DateTime<Utc>) -> Moved {
        match event {
            Event::Observed(facts) if self.followed_task() != Some(&facts.task) => Err(Refused::Stale),
            Event::Missing(task) if self.followed_task() != Some(&task) => Err(Refused::Stale),
            Event::Observed(facts) if facts.is_stopped() => Ok(Some(self.task_ended(&facts, now))),
            Event::Observed(_) => Ok(None),
            Event::Missing(_) => Ok(self.saw_missing(now)),
            Event::StopAsked => {
                if let State::Stopping { ask_at, .. } = &mut self.state {
                    *ask_at = now + STOP_REPEAT;
                }
                Ok(Some(Vec::new()))
            }
            Event::Cancel { reason } => Ok(Some(self.note_cancel(reason))),
            Event::Woken | Event::Resumed => Ok(None),
            Event::Permitted => Err(Refused::Illegal),
            Event::Answered(_) | Event::Sought(_) => Err(Refused::Stale),
        }
    }

    fn in_waiting(&mut self, event: Event, now: DateTime<Utc>) -> Moved {
        match event {
            Event::Permitted => self.begin_again(now),
            Event::Woken => Ok(self.must_end(now).map(|outcome| self.end(outcome, now))),
            Event::Cancel { reason } => {
                let mut events = self.note_cancel(reason.clone());
                events.extend(self.end(Outcome::Cancelled { reason }, now));
                Ok(Some(events))
            }
            Event::Resumed => Ok(None),
            Event::Answered(_) | Event::Sought(_) | Event::Observed(_) | Event::Missing(_) | Event::StopAsked => {
                Err(Refused::Stale)
            }
        }
    }

    /// The next attempt: the same launch after an ambiguous answer, else the next generation.
    fn begin_again(&mut self, now: DateTime<Utc>) -> Moved {
        let State::Waiting { until, resend } = self.state else { return Err(Refused::Illegal) };
        if until > now {
            return Err(Refused::Stale);
        }
        if let Some(outcome) = self.must_end(now) {
            return Ok(Some(self.end(outcome, now)));
        }
        let Some(launch) = &mut self.launch else { return Err(Refused::Illegal) };
        if !resend {
            let next = launch.generation.saturating_add(1);
            return Ok(Some(self.launch_generation(next, now)));
        }
        if !launch.unresolved {
            // No send of it ever left, so its token is not yet ageing.
            launch.first_sent_at = now;
        }
        let (generation, too_old) = (launch.generation, launch.resend_until() <= now);
        if too_old {
            self.attempts.push(Attempt { attempt: self.next_attempt(), generation, ..Attempt::default() });
            return Ok(Some(self.seek(Seek::TooOld, "the launch is too old to be sent again", now)));
        }
        Ok(Some(self.send(generation, true, now)))
    }

    fn launch_generation(&mut self, generation: u32, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        self.launch = Some(Launch::freeze(self, generation, now));
        self.send(generation, false, now)
    }

    /// Records that the run's launch is about to be sent.
    fn send(&mut self, generation: u32, resend: bool, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let attempt = self.next_attempt();
        self.attempts.push(Attempt { attempt, generation, launched_at: Some(now), ..Attempt::default() });
        self.state = State::Launching;
        let Some(launch) = &self.launch else { return Vec::new() };
        vec![HistoryEvent::TaskScheduled {
            attempt,
            generation,
            cluster: launch.request.task.cluster.clone(),
            task_definition: launch.request.task.task_definition.clone(),
            client_token: launch.request.client_token.to_string(),
            resend,
        }]
    }

    fn answered(&mut self, answer: LaunchAnswer, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let failure = failure::of_answer(&answer);
        let (definite, resend) = match answer {
            LaunchAnswer::Launched { task } => {
                let submitted = HistoryEvent::TaskSubmitted { attempt: self.attempt_number(), task_arn: task.clone() };
                let mut events = vec![submitted];
                events.extend(self.follow(task, now));
                return events;
            }
            LaunchAnswer::Conflict { tasks, message } => {
                if let Some(events) = self.adopt(tasks, format!("ConflictException: {message}"), now) {
                    return events;
                }
                (false, true)
            }
            LaunchAnswer::Failures(_) => {
                // An answer to this token is definite, whatever earlier sends of it left open.
                self.set_unresolved(false);
                let failure =
                    failure.unwrap_or_else(|| Failure::new(ErrorName::ECS_UNKNOWN, "RunTask started nothing"));
                let mut events = vec![self.submit_failed(&failure, false)];
                events.extend(self.seek(
                    Seek::Ghost { failure },
                    "RunTask reported failures, yet a task may have come up",
                    now,
                ));
                return events;
            }
            // A refusal says nothing about an earlier send of the same token, so an open launch stays open.
            LaunchAnswer::Refused { status, .. } => (status < 500, self.is_unresolved()),
            LaunchAnswer::NoAnswer { sent, .. } => (!sent, true),
        };
        let failure = failure.unwrap_or_else(|| Failure::new(ErrorName::ECS_EXCEPTION, "RunTask failed"));
        if !definite {
            self.set_unresolved(true);
        }
        let mut events = vec![self.submit_failed(&failure, self.is_unresolved())];
        events.extend(self.fail_attempt(failure, resend || !definite, now));
        events
    }

    fn submit_failed(&self, failure: &Failure, ambiguous: bool) -> HistoryEvent {
        HistoryEvent::TaskSubmitFailed {
            attempt: self.attempt_number(),
            error: failure.primary.clone(),
            cause: failure.cause.clone(),
            ambiguous,
        }
    }

    /// Follows a task that some send of this launch started.
    fn adopt(&mut self, tasks: Vec<TaskArn>, reason: String, now: DateTime<Utc>) -> Option<Vec<HistoryEvent>> {
        let mut tasks = tasks.into_iter();
        let task = tasks.next()?;
        let adopted = HistoryEvent::TaskAdopted {
            attempt: self.attempt_number(),
            task_arn: task.clone(),
            others: tasks.collect(),
            reason,
        };
        let mut events = vec![adopted];
        events.extend(self.follow(task, now));
        Some(events)
    }

    fn follow(&mut self, task: TaskArn, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        self.set_unresolved(false);
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.task = Some(task.clone());
            // The task of an ambiguous launch belongs to the attempt that found it; its failure was not one.
            attempt.failure = None;
            attempt.stopped_at = None;
        }
        self.state = State::Running { task, known_since: now, started: false };
        self.enforce_limits(now).unwrap_or_default()
    }

    fn saw_started(&mut self, facts: &TaskFacts) -> Option<Vec<HistoryEvent>> {
        let attempt_number = self.attempt_number();
        let State::Running { started, task, .. } = &mut self.state else { return None };
        if *started || !facts.has_started() {
            return None;
        }
        *started = true;
        let task_arn = task.clone();
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.started_at = facts.started_at;
        }
        Some(vec![HistoryEvent::TaskStarted { attempt: attempt_number, task_arn }])
    }

    /// A task that ECS does not show: not visible yet while it is young, lost when it is older.
    fn saw_missing(&mut self, now: DateTime<Utc>) -> Option<Vec<HistoryEvent>> {
        let (State::Running { known_since, task, .. } | State::Stopping { known_since, task, .. }) = &self.state else {
            return None;
        };
        if now - *known_since <= VISIBLE_WITHIN {
            return None;
        }
        let cause = format!("ECS no longer knows {task}, so how it ended is not known");
        let failure = Failure::new(ErrorName::TASK_FAILED, cause).with_finer([ErrorName::LOST]);
        Some(self.attempt_ended(failure, now))
    }

    fn task_ended(&mut self, facts: &TaskFacts, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let verdict = outcome::judge(facts, &self.definition);
        let exit_code = outcome::exit_code(facts, self.definition.success);
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
                let mut events = vec![HistoryEvent::TaskSucceeded { attempt: self.attempt_number(), exit_code }];
                events.extend(self.finish(Outcome::Succeeded, now));
                events
            }
            Verdict::Failed(failure) => self.attempt_ended(failure, now),
        }
    }

    /// The attempt's task is gone, and it was no success: the limit that stopped it counts, else what ECS reported.
    fn attempt_ended(&mut self, failure: Failure, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let attempt = self.attempt_number();
        let why = match &self.state {
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
            let limit = limit.unwrap_or_default();
            Failure::new(ErrorName::TIMEOUT, format!("{key} of {limit:?} was reached; {}", failure.cause))
        };
        let failure = match why {
            None => {
                let (error, cause) = (failure.primary.clone(), failure.cause.clone());
                let exit_code = self.shown_exit_code();
                let mut events = vec![HistoryEvent::TaskFailed { attempt, error, cause, exit_code }];
                events.extend(self.fail_attempt(failure, false, now));
                return events;
            }
            Some(StopWhy::AttemptTimeout) => timed_out("attempt_timeout", limits.attempt_timeout),
            Some(StopWhy::StartTimeout) => {
                timed_out("start_timeout", limits.start_timeout).with_finer([ErrorName::START_TIMEOUT])
            }
            Some(StopWhy::RunTimeout) => timed_out("timeout", limits.timeout),
            Some(StopWhy::Cancelled) => failure,
        };
        let timed_out =
            HistoryEvent::TaskTimedOut { attempt, error: failure.primary.clone(), cause: failure.cause.clone() };
        let mut events = if failure.primary == ErrorName::TIMEOUT { vec![timed_out] } else { Vec::new() };
        events.extend(self.fail_attempt(failure, false, now));
        events
    }

    /// Asks the policy. The attempt is over, its task with it.
    fn fail_attempt(&mut self, failure: Failure, resend: bool, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let draw = self.draw();
        let attempt_number = self.attempt_number();
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.stopped_at.get_or_insert(now);
            attempt.failure = Some(failure.clone());
        }
        if let Some(outcome) = self.must_end(now) {
            return self.end(outcome, now);
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
                self.state = State::Waiting { until, resend };
                let delay_seconds = delay.as_secs_f64();
                vec![HistoryEvent::RetryScheduled { attempt: attempt_number, retrier, delay_seconds, until }]
            }
            Decision::Exhausted { .. } | Decision::NoMatch if failure.primary == ErrorName::LAUNCH_UNKNOWN => {
                self.end_unknown(failure, now)
            }
            Decision::Exhausted { .. } | Decision::NoMatch => self.end(Outcome::Failed { failure }, now),
        }
    }

    fn end_unknown(&mut self, failure: Failure, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        match self.definition.on_unknown {
            OnUnknown::Fail => self.finish(Outcome::Unknown { failure }, now),
            OnUnknown::Rerun => {
                self.state = State::Waiting { until: now, resend: false };
                vec![HistoryEvent::LaunchRerun { attempt: self.attempt_number(), cause: failure.cause }]
            }
        }
    }

    fn found_nothing(&mut self, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let State::Seeking { why, until, .. } = &self.state else { return Vec::new() };
        if now < *until {
            return self.look_again(now);
        }
        match why.clone() {
            Seek::Ghost { failure } => {
                self.set_unresolved(false);
                self.fail_attempt(failure, false, now)
            }
            Seek::BeforeEnd { outcome } => {
                self.set_unresolved(false);
                self.finish(outcome, now)
            }
            Seek::TooOld => {
                self.set_unresolved(false);
                let since = self.launch.as_ref().map_or(now, |launch| launch.first_sent_at);
                let cause = format!(
                    "a launch was sent at {} and its answer is not known; ECS shows no task of it, but by now it may have \
                     forgotten one, so sending it again could run it twice",
                    in_words(since)
                );
                self.fail_attempt(Failure::new(ErrorName::LAUNCH_UNKNOWN, cause), false, now)
            }
        }
    }

    fn look_again(&mut self, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        if let State::Seeking { look_at, .. } = &mut self.state {
            *look_at = now + LOOKUP_PAUSE;
        }
        Vec::new()
    }

    fn seek(&mut self, why: Seek, reason: &str, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let settle = match why {
            Seek::BeforeEnd { .. } => LOOKUP_SETTLE,
            Seek::Ghost { .. } | Seek::TooOld => TimeDelta::zero(),
        };
        self.state = State::Seeking { why, until: now + settle, look_at: now };
        let started_by = self.launch.as_ref().map(|launch| launch.request.started_by.clone()).unwrap_or_default();
        vec![HistoryEvent::LaunchLookup { attempt: self.attempt_number(), started_by, reason: reason.into() }]
    }

    /// Ends the run, unless a launch of it is unresolved: then a look-up decides first.
    fn end(&mut self, outcome: Outcome, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        if self.is_unresolved() {
            self.seek(Seek::BeforeEnd { outcome }, "the run would end while a launch of it is open", now)
        } else {
            self.finish(outcome, now)
        }
    }

    fn finish(&mut self, outcome: Outcome, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let ended = HistoryEvent::of_end(&outcome);
        self.state = State::Finished { outcome, at: now };
        vec![ended]
    }

    /// The end that is due whatever the attempt did.
    fn must_end(&self, now: DateTime<Utc>) -> Option<Outcome> {
        if let Some(reason) = &self.cancelled {
            return Some(Outcome::Cancelled { reason: reason.clone() });
        }
        let deadline = self.deadline.filter(|deadline| *deadline <= now)?;
        let last = self.attempts.last().and_then(|attempt| attempt.failure.as_ref());
        let after = last.map(|failure| format!("; the last failure was {}: {}", failure.primary, failure.cause));
        let cause = format!("timeout of the run was reached at {}{}", in_words(deadline), after.unwrap_or_default());
        Some(Outcome::TimedOut { failure: Failure::new(ErrorName::TIMEOUT, cause) })
    }

    /// Stops a running task whose time is over.
    fn enforce_limits(&mut self, now: DateTime<Utc>) -> Option<Vec<HistoryEvent>> {
        let State::Running { task, known_since, started } = &self.state else { return None };
        let over = |limit: Option<DateTime<Utc>>| limit.is_some_and(|limit| limit <= now);
        let why = if self.cancelled.is_some() {
            StopWhy::Cancelled
        } else if over(self.deadline) {
            StopWhy::RunTimeout
        } else if over(self.attempt_deadline()) {
            StopWhy::AttemptTimeout
        } else if !started && over(self.start_deadline()) {
            StopWhy::StartTimeout
        } else {
            return None;
        };
        let (task, known_since) = (task.clone(), *known_since);
        let reason = self.stop_reason(&why);
        let asked = HistoryEvent::TaskStopRequested { attempt: self.attempt_number(), task_arn: task.clone(), reason };
        self.state = State::Stopping { task, known_since, why, ask_at: now };
        Some(vec![asked])
    }

    fn note_cancel(&mut self, reason: String) -> Vec<HistoryEvent> {
        self.cancelled.get_or_insert_with(|| reason.clone());
        vec![HistoryEvent::CancelRequested { reason }]
    }

    fn next_attempt(&self) -> u32 {
        self.attempt_number().saturating_add(1)
    }

    fn attempt_number(&self) -> u32 {
        self.attempts.last().map_or(0, |attempt| attempt.attempt)
    }

    fn is_unresolved(&self) -> bool {
        self.launch.as_ref().is_some_and(|launch| launch.unresolved)
    }

    fn set_unresolved(&mut self, unresolved: bool) {
        if let Some(launch) = &mut self.launch {
            launch.unresolved = unresolved;
        }
    }

    /// The draw of `FULL` jitter, 0 to 1: reproducible, so that a restart does not draw again.
    fn draw(&self) -> f64 {
        let mut hash = Sha256::new();
        hash.update(self.id.as_str().as_bytes());
        hash.update(self.attempt_number().to_be_bytes());
        let mut first = [0u8; 4];
        first.iter_mut().zip(hash.finalize().iter()).for_each(|(to, from)| *to = *from);
        f64::from(u32::from_be_bytes(first)) / f64::from(u32::MAX)
    }
}
