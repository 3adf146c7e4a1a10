//! Launching: a run's launches and what RunTask's answers make of them.
//!
//! A launch is frozen here and recorded before it is sent. An ambiguous answer leaves it unresolved until an answer to the
//! same token, or a look-up, is definite; while it is, whatever the policy grants sends the same bytes again.

use chrono::{DateTime, TimeDelta, Utc};

use super::super::failure::{self, ErrorName, Failure};
use super::super::launch::Launch;
use super::super::task::{LaunchAnswer, LaunchFailure, TaskArn};
use super::ending::Next;
use super::step::{Moved, Refused};
use super::{Attempt, HistoryEvent, Run, Seek, State};

/// A first launch that leaves this long after it was decided has its limits count anew.
const LATE: TimeDelta = TimeDelta::seconds(60);
/// Why a launch is looked up instead of sent again.
pub(super) const TOO_OLD: &str = "the launch is too old to be sent again";
/// Why it is looked up once more before the next one.
const MAYBE_VISIBLE_BY_NOW: &str =
    "RunTask had reported failures, and a task that came up all the same may be visible by now";

impl Run {
    /// The next attempt: the same launch after an ambiguous answer, else the next generation.
    pub(super) fn begin_again(&mut self, now: DateTime<Utc>) -> Moved {
        let State::Waiting { until, resend, look_first } = self.state else { return Err(Refused::Illegal) };
        if until > now || look_first {
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
        let generation = launch.generation;
        if !launch.may_be_resent(now) {
            // The limits of a task that is found count from the send that started it, not from this attempt.
            let (attempt, launched_at) = (self.next_attempt(), self.first_launched_at());
            self.attempts.push(Attempt { attempt, generation, launched_at, ..Attempt::default() });
            return Ok(Some(self.seek(Seek::TooOld, TOO_OLD, now)));
        }
        Ok(Some(self.send(generation, true, now)))
    }

    /// What a wait comes to when an instant of it has come: an end, or the last look for a ghost. The launch itself comes with
    /// its permit.
    pub(super) fn waited(&mut self, now: DateTime<Utc>) -> Option<Vec<HistoryEvent>> {
        if let Some(outcome) = self.must_end(now) {
            return Some(self.end(outcome, now));
        }
        let State::Waiting { until, look_first: true, .. } = self.state else { return None };
        (until <= now).then(|| self.seek(Seek::BeforeNext { until }, MAYBE_VISIBLE_BY_NOW, now))
    }

    /// A run whose first launch waited so long to be saved that its limits would be over before it has left: they count from
    /// now. True if that changed anything, and must be saved before it is sent.
    pub fn begin_late(&mut self, now: DateTime<Utc>) -> bool {
        let deadline = self.deadline_from(now);
        let (State::Launching, [only], Some(launch)) = (&self.state, self.attempts.as_mut_slice(), &mut self.launch)
        else {
            return false;
        };
        if launch.unresolved || now - launch.first_sent_at < LATE {
            return false;
        }
        (self.deadline, launch.first_sent_at, only.launched_at) = (deadline, now, Some(now));
        true
    }

    pub(super) fn launch_generation(&mut self, generation: u32, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        self.launch = Some(Launch::freeze(self, generation, now));
        self.send(generation, false, now)
    }

    /// Records that the run's launch is about to be sent.
    pub(super) fn send(&mut self, generation: u32, resend: bool, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let attempt = self.next_attempt();
        let due_at = match self.state {
            State::Waiting { until, .. } => until,
            State::Due
            | State::Launching
            | State::Seeking { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Finished { .. } => self.created_at,
        };
        let (due_at, launched_at) = (Some(due_at), Some(now));
        self.attempts.push(Attempt { attempt, generation, due_at, launched_at, ..Attempt::default() });
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

    pub(super) fn answered(&mut self, answer: LaunchAnswer, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let failure = failure::of_answer(&answer);
        let (definite, next) = match answer {
            LaunchAnswer::Launched { tasks, failures } => return self.launched(tasks, &failures, now),
            LaunchAnswer::Conflict { mut tasks, message } => {
                // It may name other resources than tasks, which nobody can follow.
                tasks.retain(|task| task.0.contains(":task/"));
                if let Some(events) = self.adopt(tasks, format!("ConflictException: {message}"), now) {
                    return events;
                }
                (false, Next::Resend)
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
            LaunchAnswer::Refused { code, status, .. } if failure::is_definite(code.as_deref(), status) => {
                (true, if self.is_unresolved() { Next::Resend } else { Next::Fresh })
            }
            LaunchAnswer::Refused { .. } => (false, Next::Resend),
            LaunchAnswer::NoAnswer { sent, .. } => (!sent, Next::Resend),
        };
        let failure = failure.unwrap_or_else(|| Failure::new(ErrorName::ECS_EXCEPTION, "RunTask failed"));
        if !definite {
            self.set_unresolved(true);
        }
        let mut events = vec![self.submit_failed(&failure, self.is_unresolved())];
        events.extend(self.fail_attempt(failure, next, now));
        events
    }

    pub(super) fn submit_failed(&self, failure: &Failure, ambiguous: bool) -> HistoryEvent {
        HistoryEvent::TaskSubmitFailed {
            attempt: self.attempt_number(),
            error: failure.primary.clone(),
            cause: failure.cause.clone(),
            ambiguous,
        }
    }

    /// ECS named tasks. If it said of others that they could not be placed, the attempt can't succeed any more, but what
    /// runs is followed to its end.
    fn launched(&mut self, tasks: Vec<TaskArn>, failures: &[LaunchFailure], now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let mut arns = tasks.iter().cloned();
        let Some(task_arn) = arns.next() else { return Vec::new() };
        let submitted =
            HistoryEvent::TaskSubmitted { attempt: self.attempt_number(), task_arn, others: arns.collect() };
        let mut events = vec![submitted];
        if !failures.is_empty() && tasks.len() < self.tasks_wanted() {
            let shortage = failure::not_placed(failures, tasks.len());
            events.push(self.submit_failed(&shortage, false));
            if let Some(attempt) = self.attempts.last_mut() {
                attempt.shortage = Some(shortage);
            }
        }
        events.extend(self.follow(tasks, now));
        events
    }

    /// Follows tasks that some send of this launch started, as many as were asked for; none if there are none but those whose
    /// end is known.
    pub(super) fn adopt(
        &mut self,
        mut tasks: Vec<TaskArn>,
        reason: String,
        now: DateTime<Utc>,
    ) -> Option<Vec<HistoryEvent>> {
        tasks.retain(|task| self.ended_tasks().all(|end| end.task != *task));
        let wanted = self.tasks_wanted().saturating_sub(self.ended_tasks().count()).max(1);
        let beyond = tasks.split_off(wanted.min(tasks.len()));
        let mut arns = tasks.iter().cloned();
        let adopted = HistoryEvent::TaskAdopted {
            attempt: self.attempt_number(),
            task_arn: arns.next()?,
            others: arns.chain(beyond).collect(),
            reason,
        };
        let mut events = vec![adopted];
        events.extend(self.follow(tasks, now));
        Some(events)
    }

    /// When the newest launch was first sent, by the clock of then.
    pub(super) fn first_launched_at(&self) -> Option<DateTime<Utc>> {
        let generation = self.launch.as_ref()?.generation;
        self.attempts.iter().find(|attempt| attempt.generation == generation)?.launched_at
    }

    pub(super) fn next_attempt(&self) -> u32 {
        self.attempt_number().saturating_add(1)
    }

    pub(super) fn attempt_number(&self) -> u32 {
        self.attempts.last().map_or(0, |attempt| attempt.attempt)
    }

    pub(super) fn is_unresolved(&self) -> bool {
        self.launch.as_ref().is_some_and(|launch| launch.unresolved)
    }

    pub(super) fn set_unresolved(&mut self, unresolved: bool) {
        if let Some(launch) = &mut self.launch {
            launch.unresolved = unresolved;
        }
    }
}
