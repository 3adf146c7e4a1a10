//! Looking: for a task of a launch whose answer is not known, or not to be trusted.
//!
//! A task that is found is always adopted. What "found nothing" means depends on why the run looks ([`Seek`]) and on the
//! age of the launch: beyond the resend window ECS may have forgotten a task, so nothing found proves nothing.

use chrono::{DateTime, TimeDelta, Utc};

use super::super::failure::{ErrorName, Failure};
use super::ending::Next;
use super::{HistoryEvent, LOOKUP_PAUSE, LOOKUP_PAUSE_DOUBLINGS_MAX, LOOKUP_SETTLE, Run, Seek, State, in_words};

impl Run {
    pub(super) fn found_nothing(&mut self, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let State::Seeking { why, until, look_at, .. } = &self.state else { return Vec::new() };
        // What counts is when the look began, which was not before `look_at`: a slow one saw what there was then.
        if *look_at < *until {
            return self.look_again(now);
        }
        match why.clone() {
            Seek::Ghost { failure } => self.fail_attempt(failure, Next::FreshAfterLook, now),
            Seek::BeforeNext { until } => match self.must_end(now) {
                Some(outcome) => self.end(outcome, now),
                None => {
                    self.state = State::Waiting { until, resend: false, look_first: false };
                    Vec::new()
                }
            },
            Seek::BeforeEnd { outcome } if self.is_surely_remembered(now) => {
                self.set_unresolved(false);
                self.finish(outcome, now)
            }
            Seek::BeforeEnd { .. } | Seek::TooOld => {
                self.set_unresolved(false);
                let since = self.first_launched_at().unwrap_or(now);
                let cause = format!(
                    "a launch was sent at {} and its answer is not known; ECS shows no task of it, but by now it may have \
                     forgotten one, so sending it again could run it twice",
                    in_words(since)
                );
                self.fail_attempt(Failure::new(ErrorName::LAUNCH_UNKNOWN, cause), Next::Fresh, now)
            }
        }
    }

    /// After an absence or a jump of the clock "found nothing" counts only once ECS has had its time to show a task: it may
    /// have been launched a moment ago. True if that changed anything.
    pub(super) fn settle_anew(&mut self, now: DateTime<Utc>) -> bool {
        match &mut self.state {
            State::Seeking { why: Seek::BeforeEnd { .. } | Seek::TooOld, until, .. } => {
                std::mem::replace(until, now + LOOKUP_SETTLE) != now + LOOKUP_SETTLE
            }
            State::Seeking { why: Seek::Ghost { .. } | Seek::BeforeNext { .. }, .. }
            | State::Due
            | State::Launching
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Waiting { .. }
            | State::Finished { .. } => false,
        }
    }

    /// Whether ECS would still show a task of the launch: it is young, or ECS has said that it started none.
    fn is_surely_remembered(&self, now: DateTime<Utc>) -> bool {
        self.launch.as_ref().is_none_or(|launch| !launch.unresolved || launch.may_be_resent(now))
    }

    /// Whether ECS said that it started nothing, and may be wrong: some launches come up although `failures` was answered.
    pub(super) fn may_have_a_ghost(&self) -> bool {
        match &self.state {
            State::Waiting { look_first, .. } => *look_first,
            State::Seeking { why, .. } => matches!(why, Seek::Ghost { .. } | Seek::BeforeNext { .. }),
            State::Due | State::Launching | State::Running { .. } | State::Stopping { .. } | State::Finished { .. } => {
                false
            }
        }
    }

    /// ECS did not answer, which proves nothing: the run looks until it does, and its history says so once.
    pub(super) fn not_answered(&mut self, cause: String, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let attempt = self.attempt_number();
        let State::Seeking { look_at, unanswered, .. } = &mut self.state else { return Vec::new() };
        *look_at = now + LOOKUP_PAUSE * 2i32.pow((*unanswered).min(LOOKUP_PAUSE_DOUBLINGS_MAX));
        *unanswered = unanswered.saturating_add(1);
        if *unanswered == 1 { vec![HistoryEvent::LaunchLookupFailed { attempt, cause }] } else { Vec::new() }
    }

    /// After half of the time that is left, and at last when it is over: a task shows up soon or not at all, and the read
    /// quota is the whole account's.
    fn look_again(&mut self, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        if let State::Seeking { look_at, unanswered, until, .. } = &mut self.state {
            let left = *until - now;
            let is_last = left <= LOOKUP_PAUSE * 2;
            *look_at =
                if is_last { now.max(*until) } else { now + TimeDelta::milliseconds(left.num_milliseconds() / 2) };
            *unanswered = 0;
        }
        Vec::new()
    }

    pub(super) fn seek(&mut self, why: Seek, reason: &str, now: DateTime<Utc>) -> Vec<HistoryEvent> {
        let settle = match why {
            // Also for a launch that is too old: where the clock was set back it may have been sent a moment ago.
            Seek::BeforeEnd { .. } | Seek::TooOld => LOOKUP_SETTLE,
            Seek::Ghost { .. } | Seek::BeforeNext { .. } => TimeDelta::zero(),
        };
        self.state = State::Seeking { why, until: now + settle, look_at: now, unanswered: 0 };
        let started_by = self.launch.as_ref().map(|launch| launch.request.started_by.clone()).unwrap_or_default();
        vec![HistoryEvent::LaunchLookup { attempt: self.attempt_number(), started_by, reason: reason.into() }]
    }
}
