//! Following: a task from the moment that ECS names it until it has stopped or is lost.
//!
//! The limits of time are kept here. What stops a task is recorded with the stop, because ECS will only say that
//! somebody asked; whether the attempt failed by it is decided when the task has stopped.

use chrono::{DateTime, Utc};

use super::super::failure::{ErrorName, Failure};
use super::super::outcome::{self, Verdict};
use super::super::task::{TaskArn, TaskFacts, TaskTimes};
use super::action::OUR_STOP;
use super::ending::Next;
use super::{
    Followed, HistoryEvent, LOST_AFTER, Outcome, Run, STOP_OVERDUE, STOP_REPEAT, STOP_RETRY, Seek, State, StopWhy,
    TaskEnd, Tasks, VISIBLE_WITHIN,
};

/// So often a pause or the time until the next alert doubles at most: five minutes become three and a half days.
const DOUBLINGS_MAX: u32 = 10;

impl Run {
    pub(super) fn follow(&mut self, tasks: Vec<TaskArn>, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        self.set_unresolved(false);
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.task = attempt.task.take().or_else(|| tasks.first().cloned());
            // The task of an ambiguous launch belongs to the attempt that found it; its failure was not one.
            attempt.failure = None;
            attempt.stopped_at = None;
        }
        self.give_back_retry();
        if let Some(tasks) = Tasks::named(tasks, now) {
            self.state = State::Running { tasks };
        }
        self.enforce_limits(now).unwrap_or_default()
    }

    /// A task that has not stopped: it has started, or its time to start is over. That limit is kept here and not by the
    /// clock, so that a task which started while nobody looked is not stopped for it.
    pub(super) fn saw_alive(&mut self, facts: &TaskFacts, now: DateTime<Utc>) -> Option<Vec<HistoryEvent>> {
        let (attempt_number, start_deadline) = (self.attempt_number(), self.start_timeout_at());
        let is_running = matches!(self.state, State::Running { .. });
        let followed = self.followed_mut(&facts.task)?;
        let shows_again = followed.missing_since.take().map(|_| Vec::new());
        if !is_running || followed.started {
            return shows_again;
        }
        if !facts.has_started() {
            let is_over = start_deadline.is_some_and(|deadline| deadline <= now);
            return if is_over { Some(self.ask_to_stop(StopWhy::StartTimeout, now)) } else { shows_again };
        }
        followed.started = true;
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.started_at = attempt.started_at.or(facts.times.started_at);
        }
        Some(vec![HistoryEvent::TaskStarted { attempt: attempt_number, task_arn: facts.task.clone() }])
    }

    /// A task that ECS does not show: not visible yet while it is young, lost when it is older and stays away.
    pub(super) fn saw_missing(&mut self, task: &TaskArn, now: DateTime<Utc>) -> Option<Vec<HistoryEvent>> {
        let followed = self.followed_mut(task)?;
        if now - followed.known_since <= VISIBLE_WITHIN {
            return None;
        }
        let Some(since) = followed.missing_since else {
            followed.missing_since = Some(now);
            return Some(Vec::new());
        };
        if now - since < LOST_AFTER {
            return None;
        }
        let failure = Failure::lost(format!("ECS no longer knows {task}, so how it ended is not known"));
        let (task, failure) = (task.clone(), Some(failure));
        if let Some(attempt) = self.attempts.last_mut()
            && attempt.ends.iter().all(|end| end.failure.is_none())
        {
            // Of several, what the attempt shows is of the task that it fails by.
            attempt.task = Some(task.clone());
            (attempt.exit_code, attempt.stop_code, attempt.stopped_reason) = (None, None, None);
            attempt.containers.clear();
        }
        let end =
            TaskEnd { task, failure, exit_code: None, skipped: None, times: TaskTimes::default(), described: None };
        Some(self.task_gone(end, now))
    }

    /// A task that was never seen RUNNING may not be visible yet, and after an absence or a jump of the clock it may be
    /// younger than it seems: its time to become visible begins anew. True if that changed anything.
    pub(super) fn count_missing_anew(&mut self, now: DateTime<Utc>) -> bool {
        let is_stopping = matches!(self.state, State::Stopping { .. });
        let (State::Running { tasks } | State::Stopping { tasks, .. }) = &mut self.state else { return false };
        let mut changed = false;
        for followed in tasks.iter_mut() {
            changed |= followed.missing_since.take().is_some();
            if is_stopping || !followed.started {
                changed |= std::mem::replace(&mut followed.known_since, now) != now;
            }
        }
        changed
    }

    pub(super) fn task_ended(&mut self, facts: &TaskFacts, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let verdict = if matches!(self.state, State::Stopping { .. }) {
            outcome::judge_asked_to_stop(facts, &self.definition)
        } else {
            outcome::judge(facts, &self.definition)
        };
        let exit_code = outcome::exit_code(facts, &self.definition);
        let mut events = Vec::new();
        let is_running = matches!(self.state, State::Running { .. });
        let was_unstarted = self.followed_mut(&facts.task).is_some_and(|followed| !followed.started);
        if is_running && was_unstarted && facts.times.started_at.is_some() {
            // It began and ended between two looks; the history tells both.
            events.push(HistoryEvent::TaskStarted { attempt: self.attempt_number(), task_arn: facts.task.clone() });
        }
        let (failure, skipped) = match verdict {
            Verdict::Succeeded => (None, None),
            Verdict::Skipped { reason } => (None, Some(reason)),
            Verdict::Failed(failure) => (Some(failure), None),
        };
        if let Some(attempt) = self.attempts.last_mut() {
            let is_first_failure = failure.is_some() && attempt.ends.iter().all(|end| end.failure.is_none());
            let is_first_skip =
                skipped.is_some() && attempt.ends.iter().all(|end| end.failure.is_none() && end.skipped.is_none());
            if is_first_failure || is_first_skip || attempt.ends.is_empty() {
                attempt.task = Some(facts.task.clone());
                attempt.exit_code = exit_code;
                attempt.stop_code.clone_from(&facts.stop_code);
                attempt.stopped_reason.clone_from(&facts.stopped_reason);
                attempt.containers.clone_from(&facts.containers);
            }
            attempt.started_at = [facts.times.started_at, attempt.started_at].into_iter().flatten().min();
            attempt.stopped_at = attempt.stopped_at.max(Some(facts.times.stopped_at.unwrap_or(now)));
        }
        let (task, described) = (facts.task.clone(), facts.described.clone());
        events
            .extend(self.task_gone(TaskEnd { task, exit_code, failure, skipped, times: facts.times, described }, now));
        events
    }

    /// A task is over; with the last one the attempt is.
    fn task_gone(&mut self, end: TaskEnd, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let attempt_number = self.attempt_number();
        let (State::Running { tasks } | State::Stopping { tasks, .. }) = &mut self.state else { return Vec::new() };
        if let Some(left) = tasks.clone().without(&end.task) {
            let ended = HistoryEvent::TaskEnded {
                attempt: attempt_number,
                task_arn: end.task.clone(),
                exit_code: end.exit_code,
                cause: end.failure.as_ref().map(|failure| failure.cause.clone()),
                living: left.iter().count(),
            };
            *tasks = left;
            self.note_end(end);
            return vec![ended];
        }
        let stopped_at = end.times.stopped_at;
        self.note_end(end);
        match self.failure_of_tasks() {
            Some(failure) => self.attempt_ended(failure, stopped_at, now),
            None => {
                let skipped = self.ended_tasks().find_map(|end| end.skipped.clone());
                if let Some(reason) = skipped {
                    return self.finish(Outcome::Skipped { reason, covers: None }, now);
                }
                // A task that ended well just before our StopTask reached it is a success, and is never run again.
                let exit_code = self.shown_exit_code();
                let mut events = vec![HistoryEvent::TaskSucceeded { attempt: attempt_number, exit_code }];
                events.extend(self.finish(Outcome::Succeeded, now));
                events
            }
        }
    }

    fn note_end(&mut self, end: TaskEnd) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.ends.push(end);
        }
    }

    /// What the attempt failed by, now that none of its tasks lives: the first task that failed, or that there were too few.
    fn failure_of_tasks(&self) -> Option<Failure> {
        let (wanted, known) = (self.tasks_wanted(), self.ended_tasks().count());
        let named = format!("ECS named {known} of {wanted} tasks");
        let mut failures = self.ended_tasks().filter_map(|end| end.failure.as_ref());
        if let Some(first) = failures.next() {
            // One exit code that is never tried again is enough: a retry launches all of them.
            let lists = &self.definition.exit_codes;
            let mut all = self.ended_tasks().filter_map(|end| end.failure.as_ref());
            let decisive = all.find(|failure| lists.forbids_retry(failure).is_some()).unwrap_or(first);
            let exit_code = decisive.exit_code;
            let count = 1 + failures.count();
            let of_all = |cause: &str| match known < wanted {
                true => format!("{count} of {wanted} tasks failed; the first: {cause}; {named}"),
                false => format!("{count} of {wanted} tasks failed; the first: {cause}"),
            };
            let cause = if wanted == 1 { first.cause.clone() } else { of_all(&first.cause) };
            return Some(Failure { cause, exit_code, ..first.clone() });
        }
        let shortage = self.attempts.last().and_then(|attempt| attempt.shortage.clone());
        let too_few = || Failure::new(ErrorName::ECS_UNKNOWN, named);
        (known < wanted).then(|| shortage.unwrap_or_else(too_few).with_base(ErrorName::ECS_EXCEPTION))
    }

    /// The attempt's tasks are gone, and it was no success: the limit that stopped them counts, else what ECS reported.
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
                events.extend(self.fail_or_look(failure, now));
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
        events.extend(self.fail_or_look(failure, now));
        events
    }

    /// The attempt failed; but where ECS named fewer tasks than were asked for, one more may live, beside which nothing is
    /// to be launched.
    fn fail_or_look(&mut self, failure: Failure, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        if self.ended_tasks().count() < self.tasks_wanted() {
            // Where nobody knows what became of the others and ECS may have forgotten them, they are not launched again.
            let is_explained = self.attempts.last().is_some_and(|attempt| attempt.shortage.is_some());
            let is_failed = self.ended_tasks().any(|end| end.failure.is_some());
            let is_young = self.launch.as_ref().is_some_and(|launch| launch.may_be_resent(now));
            let why = if is_explained || is_failed || is_young { Seek::Ghost { failure } } else { Seek::TooOld };
            return self.seek(why, "ECS named fewer tasks than were asked for", now);
        }
        self.fail_attempt(failure, Next::Fresh, now)
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
        let State::Running { tasks } = &self.state else { return Vec::new() };
        let (attempt, reason) = (self.attempt_number(), self.stop_reason(&why));
        let asked = |followed: &Followed| HistoryEvent::TaskStopRequested {
            attempt,
            task_arn: followed.task.clone(),
            reason: reason.clone(),
        };
        let events = tasks.iter().map(asked).collect();
        let tasks = tasks.clone();
        self.state = State::Stopping { tasks, why, ask_at: now, since: Some(now), refused: 0, alerts: 0 };
        events
    }

    /// StopTask was called. It is called again until ECS shows that the tasks have stopped, soon if it was refused.
    pub(super) fn stop_asked(&mut self, refusal: Option<String>, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let attempt = self.attempt_number();
        let State::Stopping { tasks, ask_at, since, refused, alerts, .. } = &mut self.state else { return Vec::new() };
        *refused = if refusal.is_some() { refused.saturating_add(1) } else { 0 };
        let mut events: Vec<HistoryEvent> = match refusal {
            // The first of a row; the log has them all.
            Some(cause) if *refused == 1 => vec![HistoryEvent::TaskStopRefused { attempt, cause }],
            Some(_) | None => Vec::new(),
        };
        let doubled = |times: u32| 2i32.saturating_pow(times.min(DOUBLINGS_MAX));
        let retry = STOP_RETRY * doubled(refused.saturating_sub(1));
        *ask_at = now + if *refused == 0 { STOP_REPEAT } else { retry.min(STOP_REPEAT) };
        let since = *since.get_or_insert(now);
        if now - since < STOP_OVERDUE * doubled(*alerts) {
            return events;
        }
        *alerts = alerts.saturating_add(1);
        let task_arns = tasks.iter().map(|followed| followed.task.clone()).collect();
        events.push(HistoryEvent::TaskStopOverdue { attempt, task_arns, since });
        events
    }
}
