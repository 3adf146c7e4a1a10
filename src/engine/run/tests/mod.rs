//! The run's state machine, driven event by event on instants that the tests choose.
//!
//! [`Scene`] is one run and a clock; it checks on every step that the history has no gap and that a refused event leaves
//! the run as it was. The files go by duty, as the code does.

mod clock;
mod ending;
mod examples;
mod following;
mod forecast;
mod launching;
mod lookup;
mod properties;
mod several;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::engine::failure::ErrorName;
use crate::engine::job::{Capacity, ContainerOverride, Limits, OnUnknown, TaskSpec};
use crate::engine::retry::{Jitter, Retrier, RetryPolicy};
use crate::engine::samples;
use crate::engine::task::{LaunchAnswer, LaunchFailure, SearchAnswer, TaskFacts, TaskTimes};

/// What every test starts from; a test replaces what it is about.
pub(super) fn definition() -> Definition {
    let plain = samples::definition();
    Definition {
        task: TaskSpec {
            task_definition: "hello:3".into(),
            capacity: Capacity::LaunchType("FARGATE".into()),
            containers: vec![ContainerOverride { name: "app".into(), ..ContainerOverride::default() }],
            tags: [("team".to_owned(), "billing".to_owned())].into(),
            ..plain.task.clone()
        },
        ..plain
    }
}

pub(super) fn retrier(name: ErrorName, interval_seconds: u32, max_attempts: u32) -> Retrier {
    Retrier {
        error_equals: vec![name],
        interval_seconds,
        max_attempts,
        backoff_rate: 1.0,
        max_delay_seconds: None,
        jitter_strategy: Jitter::None,
    }
}

pub(super) fn policy(retriers: Vec<Retrier>) -> RetryPolicy {
    RetryPolicy::new(retriers).expect("the retriers are valid")
}

pub(super) fn seconds(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(count))
}

pub(super) fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000, 0).expect("the instant exists")
}

pub(super) fn firing() -> Firing {
    Firing::of_schedule(&JobName::new("nightly").expect("valid"), start(), Trigger::Schedule)
}

pub(super) fn task(nth: u32) -> TaskArn {
    TaskArn(format!("arn:aws:ecs:eu-central-1:1:task/main/{nth}"))
}

pub(super) fn launched(nth: u32) -> Event {
    Event::Answered(LaunchAnswer::Launched { tasks: vec![task(nth)], failures: Vec::new() })
}

pub(super) fn refused(code: &str, status: u16) -> Event {
    Event::Answered(LaunchAnswer::Refused { code: Some(code.into()), message: "Rate exceeded".into(), status })
}

/// No room in the message for a throttle: a definite refusal under its own name.
pub(super) fn denied() -> Event {
    let message = "not authorized to perform: ecs:RunTask".into();
    Event::Answered(LaunchAnswer::Refused { code: Some("AccessDeniedException".into()), message, status: 400 })
}

pub(super) fn no_answer(sent: bool) -> Event {
    Event::Answered(LaunchAnswer::NoAnswer { sent, message: "timed out".into() })
}

pub(super) fn failures() -> Event {
    Event::Answered(LaunchAnswer::Failures(vec![LaunchFailure { reason: "RESOURCE:MEMORY".into(), detail: None }]))
}

pub(super) fn found(nth: u32) -> Event {
    Event::Sought(SearchAnswer::Found(vec![task(nth)]))
}

pub(super) fn nothing() -> Event {
    Event::Sought(SearchAnswer::Nothing)
}

pub(super) fn facts(nth: u32, last_status: &str) -> TaskFacts {
    TaskFacts {
        task: task(nth),
        last_status: last_status.into(),
        stop_code: None,
        stopped_reason: None,
        times: TaskTimes::default(),
        described: None,
        containers: vec![container(None)],
    }
}

pub(super) fn container(exit_code: Option<i32>) -> ContainerFacts {
    ContainerFacts { name: "app".into(), essential: Some(true), exit_code, reason: None }
}

pub(super) fn stopped(nth: u32, exit_code: Option<i32>) -> TaskFacts {
    TaskFacts {
        stop_code: Some("EssentialContainerExited".into()),
        stopped_reason: Some("Essential container in task exited".into()),
        containers: vec![container(exit_code)],
        ..facts(nth, "STOPPED")
    }
}

pub(super) fn exited(nth: u32, exit_code: i32) -> Event {
    Event::Observed(stopped(nth, Some(exit_code)))
}

/// The end of a task that obeyed our StopTask.
pub(super) fn stopped_on_request(nth: u32, exit_code: i32) -> Event {
    let mut facts = stopped(nth, Some(exit_code));
    facts.stop_code = Some("UserInitiated".into());
    Event::Observed(facts)
}

pub(super) fn cancel() -> Event {
    Event::Cancel { reason: "by alice".into() }
}

/// One run, its history and a clock.
pub(super) struct Scene {
    pub(super) run: Run,
    pub(super) now: DateTime<Utc>,
    pub(super) entries: Vec<Entry>,
}

impl Scene {
    pub(super) fn new(definition: Definition) -> Scene {
        let instance = Instance::new("prod").expect("valid");
        let (run, entries) = Run::due(firing(), instance, Arc::new(definition), start());
        Scene { run, now: start(), entries }
    }

    /// A run whose first launch is about to be sent, at second 0.
    pub(super) fn sent(definition: Definition) -> Scene {
        let mut scene = Scene::new(definition);
        scene.on(Event::Permitted);
        scene
    }

    /// A run that follows its first task since second 0.
    pub(super) fn running(definition: Definition) -> Scene {
        let mut scene = Scene::sent(definition);
        scene.on(launched(1));
        scene
    }

    /// Sets the clock to so many seconds after the start.
    pub(super) fn at(&mut self, seconds: i64) -> &mut Scene {
        self.now = start() + TimeDelta::seconds(seconds);
        self
    }

    /// Takes an event that must fit.
    pub(super) fn on(&mut self, event: Event) -> &mut Scene {
        match self.run.step(event.clone(), self.now) {
            Ok(Step::Unchanged) => {}
            Ok(Step::Changed(entries)) => {
                for entry in entries {
                    assert_eq!(entry.seq, self.entries.last().map_or(1, |last| last.seq + 1), "the history has a gap");
                    self.entries.push(entry);
                }
            }
            Err(refused) => panic!("{event:?} was refused as {refused:?} in {:?}", self.run.state),
        }
        self
    }

    /// Takes an event that must not fit, and says how it was refused.
    pub(super) fn refused(&mut self, event: Event) -> Refused {
        let before = self.run.clone();
        let refused = self.run.step(event, self.now).expect_err("the event was taken");
        assert_eq!(self.run, before, "a refused event changed the run");
        refused
    }

    /// Looks that find nothing until that counts.
    pub(super) fn find_nothing(&mut self) -> &mut Scene {
        while let State::Seeking { look_at, .. } = self.run.state {
            self.now = self.now.max(look_at);
            self.on(nothing());
        }
        self
    }

    /// Looks that do not show the task until that counts.
    pub(super) fn miss(&mut self, nth: u32) -> &mut Scene {
        self.on(Event::Missing(task(nth)));
        self.now += LOST_AFTER;
        self.on(Event::Missing(task(nth)))
    }

    /// As a daemon does that died and comes back: the same run, then `Resumed`.
    pub(super) fn restart(&mut self) -> &mut Scene {
        self.on(Event::Resumed)
    }

    /// Tasks that were named now.
    pub(super) fn tasks(&self, nths: &[u32]) -> Tasks {
        Tasks::named(nths.iter().map(|nth| task(*nth)), self.now).expect("one at least")
    }

    /// Tasks that were named so many seconds after the start.
    pub(super) fn tasks_since(&self, nths: &[u32], seconds: i64) -> Tasks {
        let named_at = start() + TimeDelta::seconds(seconds);
        Tasks::named(nths.iter().map(|nth| task(*nth)), named_at).expect("one at least")
    }

    pub(super) fn launch(&self) -> &Launch {
        self.run.launch.as_ref().expect("the run has a launch")
    }

    pub(super) fn outcome(&self) -> &Outcome {
        let State::Finished { outcome, .. } = &self.run.state else {
            panic!("the run is not over: {:?}", self.run.state)
        };
        outcome
    }

    /// Seconds from the start to the end.
    pub(super) fn finished_after(&self) -> i64 {
        (self.run.finished_at().expect("the run is over") - start()).num_seconds()
    }

    /// The error name of the end.
    pub(super) fn error(&self) -> &str {
        self.outcome().failure().map_or("none", |failure| failure.primary.as_str())
    }

    /// Seconds from now until the next attempt.
    pub(super) fn wait(&self) -> f64 {
        let State::Waiting { until, .. } = self.run.state else {
            panic!("the run does not wait: {:?}", self.run.state)
        };
        (until - self.now).as_seconds_f64()
    }

    /// Names of the newest attempt's failure.
    pub(super) fn names(&self) -> Vec<String> {
        let failure = self.run.attempts.last().and_then(|attempt| attempt.failure.as_ref());
        failure.expect("the attempt failed").names.iter().map(ToString::to_string).collect()
    }

    pub(super) fn is_seeking(&self) -> bool {
        matches!(self.run.state, State::Seeking { .. })
    }

    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.run.state, State::Stopping { .. })
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.run.state, State::Running { .. })
    }
}
