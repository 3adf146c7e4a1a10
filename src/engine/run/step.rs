//! How a run moves: one event at a time, matched on the state first and on the event inside, every pair named.
//!
//! The rules of launching exactly once live here:
//! - a launch is frozen and recorded by [`Event::Permitted`]; only then may it be sent;
//! - an ambiguous answer marks the launch unresolved, and whatever the policy then grants sends the same launch again;
//! - a new generation follows a definite end only: a stopped task, a definite refusal, or `failures` without a ghost, for
//!   which ECS is asked at once and again when the next launch is due;
//! - a run of which a task may yet show up never ends before a look-up has found nothing.

use chrono::{DateTime, Utc};

use super::super::task::{LaunchAnswer, SearchAnswer, TaskArn, TaskFacts};
use super::launching::TOO_OLD;
use super::{Entry, HistoryEvent, Outcome, Run, Seek, State};

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
    StopAsked {
        /// What ECS said, if it did not take the call for every task that was to stop.
        refusal: Option<String>,
    },
    /// Somebody or a rule wants the run to end.
    Cancel {
        /// Who and why.
        reason: String,
    },
    /// An instant that the run waited for has come.
    Woken,
    /// The run has not begun in time.
    Overdue {
        /// What it waited for.
        waited_for: String,
    },
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
pub(super) type Moved = Result<Option<Vec<HistoryEvent>>, Refused>;

impl Run {
    /// Takes an event.
    ///
    /// # Errors
    /// The event does not fit; the run is as it was.
    pub fn step(&mut self, event: Event, now: DateTime<Utc>) -> Result<Step, Refused> {
        let is_cancelled_again = matches!(event, Event::Cancel { .. }) && self.cancelled.is_some();
        let moved = match &self.state {
            State::Finished { .. } => Err(Refused::Stale),
            // The first reason counts, and a firing of every second must not lengthen the history each time.
            _ if is_cancelled_again => Ok(None),
            State::Due => self.in_due(event, now),
            State::Launching => self.in_launching(event, now),
            State::Seeking { .. } => self.in_seeking(event, now),
            State::Running { .. } => self.in_running(event, now),
            State::Stopping { .. } => self.in_stopping(event, now),
            State::Waiting { .. } => self.in_waiting(event, now),
        }?;
        Ok(match moved {
            None => Step::Unchanged,
            Some(events) => Step::Changed(events.into_iter().map(|event| self.entry(event, now)).collect()),
        })
    }

    fn in_due(&mut self, event: Event, now: DateTime<Utc>) -> Moved {
        match event {
            Event::Permitted => {
                self.deadline = self.deadline_from(now);
                Ok(Some(self.launch_generation(1, now)))
            }
            Event::Cancel { reason } => Ok(Some(self.finish(Outcome::Cancelled { reason }, now))),
            Event::Overdue { waited_for } => {
                Ok(self.is_overdue(now).then(|| self.finish(self.too_late(&waited_for), now)))
            }
            Event::Resumed | Event::Woken => Ok(None),
            Event::Answered(_)
            | Event::Sought(_)
            | Event::Observed(_)
            | Event::Missing(_)
            | Event::StopAsked { .. } => Err(Refused::Illegal),
        }
    }

    /// The end of a run that was not let begin in time.
    fn too_late(&self, waited_for: &str) -> Outcome {
        let limit = self.definition.limits.start_deadline.unwrap_or_default();
        let reason = format!("its start_deadline of {limit:?} passed while it waited for {waited_for}");
        Outcome::Missed { reason, covers: None }
    }

    fn in_launching(&mut self, event: Event, now: DateTime<Utc>) -> Moved {
        match event {
            Event::Answered(answer) => Ok(Some(self.answered(answer, now))),
            Event::Resumed => {
                // The request may have left before the daemon died, so its launch is open until an answer says more.
                self.set_unresolved(true);
                let mut events = vec![HistoryEvent::Resumed { state: "launching".into() }];
                if self.launch.as_ref().is_some_and(|launch| !launch.may_be_resent(now)) {
                    events.extend(self.seek(Seek::TooOld, TOO_OLD, now));
                } else if let Some(outcome) = self.must_end(now) {
                    // Sending again could start what nobody wants any more.
                    events.extend(self.end(outcome, now));
                }
                Ok(Some(events))
            }
            Event::Cancel { reason } => Ok(Some(self.note_cancel(reason))),
            Event::Woken => Ok(None),
            Event::Permitted | Event::Overdue { .. } => Err(Refused::Illegal),
            Event::Sought(_) | Event::Observed(_) | Event::Missing(_) | Event::StopAsked { .. } => Err(Refused::Stale),
        }
    }

    fn in_seeking(&mut self, event: Event, now: DateTime<Utc>) -> Moved {
        match event {
            Event::Sought(SearchAnswer::Found(tasks)) => {
                // Tasks whose end is known already are none that were looked for.
                let adopted = self.adopt(tasks, "found by its startedBy".into(), now);
                Ok(Some(adopted.unwrap_or_else(|| self.found_nothing(now))))
            }
            Event::Sought(SearchAnswer::Nothing) => Ok(Some(self.found_nothing(now))),
            Event::Sought(SearchAnswer::NoAnswer { fault: _, message: cause }) => {
                Ok(Some(self.not_answered(cause, now)))
            }
            Event::Cancel { reason } => Ok(Some(self.note_cancel(reason))),
            Event::Woken => Ok(None),
            Event::Resumed => Ok(self.settle_anew(now).then(Vec::new)),
            Event::Permitted | Event::Overdue { .. } => Err(Refused::Illegal),
            Event::Answered(_) | Event::Observed(_) | Event::Missing(_) | Event::StopAsked { .. } => {
                Err(Refused::Stale)
            }
        }
    }

    fn in_running(&mut self, event: Event, now: DateTime<Utc>) -> Moved {
        match event {
            Event::Observed(facts) if !self.follows(&facts.task) => Err(Refused::Stale),
            Event::Missing(task) if !self.follows(&task) => Err(Refused::Stale),
            Event::Observed(facts) if facts.is_stopped() => Ok(Some(self.task_ended(&facts, now))),
            Event::Observed(facts) => Ok(self.saw_alive(&facts, now)),
            Event::Missing(task) => Ok(self.saw_missing(&task, now)),
            Event::Woken => Ok(self.enforce_limits(now)),
            Event::Resumed => {
                let counts_anew = self.count_missing_anew(now);
                Ok(self.enforce_limits(now).or_else(|| counts_anew.then(Vec::new)))
            }
            Event::Cancel { reason } => {
                let mut events = self.note_cancel(reason);
                events.extend(self.enforce_limits(now).unwrap_or_default());
                Ok(Some(events))
            }
            Event::Permitted | Event::Overdue { .. } => Err(Refused::Illegal),
            Event::Answered(_) | Event::Sought(_) | Event::StopAsked { .. } => Err(Refused::Stale),
        }
    }

    fn in_stopping(&mut self, event: Event, now: DateTime<Utc>) -> Moved {
        match event {
            Event::Observed(facts) if !self.follows(&facts.task) => Err(Refused::Stale),
            Event::Missing(task) if !self.follows(&task) => Err(Refused::Stale),
            Event::Observed(facts) if facts.is_stopped() => Ok(Some(self.task_ended(&facts, now))),
            Event::Observed(facts) => Ok(self.saw_alive(&facts, now)),
            Event::Missing(task) => Ok(self.saw_missing(&task, now)),
            Event::StopAsked { refusal } => Ok(Some(self.stop_asked(refusal, now))),
            Event::Cancel { reason } => Ok(Some(self.note_cancel(reason))),
            Event::Resumed => Ok(self.count_missing_anew(now).then(Vec::new)),
            Event::Woken => Ok(None),
            Event::Permitted | Event::Overdue { .. } => Err(Refused::Illegal),
            Event::Answered(_) | Event::Sought(_) => Err(Refused::Stale),
        }
    }

    fn in_waiting(&mut self, event: Event, now: DateTime<Utc>) -> Moved {
        match event {
            Event::Permitted => self.begin_again(now),
            Event::Woken | Event::Resumed => Ok(self.waited(now)),
            Event::Cancel { reason } => {
                let mut events = self.note_cancel(reason.clone());
                events.extend(self.end(Outcome::Cancelled { reason }, now));
                Ok(Some(events))
            }
            Event::Overdue { .. } => Err(Refused::Illegal),
            Event::Answered(_)
            | Event::Sought(_)
            | Event::Observed(_)
            | Event::Missing(_)
            | Event::StopAsked { .. } => Err(Refused::Stale),
        }
    }

    fn note_cancel(&mut self, reason: String) -> Vec<HistoryEvent> {
        self.cancelled.get_or_insert_with(|| reason.clone());
        vec![HistoryEvent::CancelRequested { reason }]
    }
}
