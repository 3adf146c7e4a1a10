//! The retry rules as data: every vector through the policy alone, and through whole runs where real events can cause
//! the failures that it names.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use tenacron::engine::exit_codes::ExitCodes;
use tenacron::engine::failure::{ErrorName, Failure};
use tenacron::engine::job::{Definition, Instance, JobName, Limits, OnUnknown, Success, TaskSpec};
use tenacron::engine::retry::{Decision, Jitter, Retrier, RetryPolicy};
use tenacron::engine::run::{Action, Event, Firing, Outcome, Run, State, Trigger};
use tenacron::engine::task::{
    ContainerFacts, LaunchAnswer, LaunchFailure, SearchAnswer, TaskArn, TaskFacts, TaskTimes,
};

/// One row of `retry-vectors.json`. Every key must be known, so that none is ignored by mistake.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    retry: Vec<Row>,
    outcomes: Vec<String>,
    delays: Vec<f64>,
    #[serde(rename = "final")]
    ends: Ends,
    final_error: Option<String>,
    matched_retrier: Vec<Option<usize>>,
    #[serde(default)]
    delays_are: DelaysAre,
    #[serde(default, rename = "note")]
    _note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ends {
    Succeeded,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DelaysAre {
    #[default]
    Exact,
    UpperBound,
}

/// A retrier as in ASL: absent keys mean ASL's defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    error_equals: Vec<ErrorName>,
    #[serde(default = "one")]
    interval_seconds: u32,
    #[serde(default = "three")]
    max_attempts: u32,
    #[serde(default = "two")]
    backoff_rate: f64,
    max_delay_seconds: Option<u32>,
    #[serde(default = "no_jitter")]
    jitter_strategy: Jitter,
}

fn one() -> u32 {
    1
}

fn three() -> u32 {
    3
}

fn two() -> f64 {
    2.0
}

fn no_jitter() -> Jitter {
    Jitter::None
}

fn vectors() -> Vec<Vector> {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../fixtures/retry-vectors.json")).unwrap();
    assert_eq!(vectors.len(), 25, "a vector was added or lost: look at the list of those that runs can't cause");
    vectors
}

impl Vector {
    fn policy(&self) -> RetryPolicy {
        let retriers = self.retry.iter().cloned().map(|row| Retrier {
            error_equals: row.error_equals,
            interval_seconds: row.interval_seconds,
            max_attempts: row.max_attempts,
            backoff_rate: row.backoff_rate,
            max_delay_seconds: row.max_delay_seconds,
            jitter_strategy: row.jitter_strategy,
        });
        RetryPolicy::new(retriers.collect()).unwrap_or_else(|mistakes| panic!("{}: {mistakes:?}", self.name))
    }

    fn check_delay(&self, nth: usize, delay: Duration) {
        let (got, expected) = (delay.as_secs_f64(), self.delays[nth]);
        let fits = match self.delays_are {
            DelaysAre::Exact => (got - expected).abs() <= 1e-6,
            DelaysAre::UpperBound => got <= expected + 1e-6,
        };
        assert!(fits, "{}: delay {nth} is {got} instead of {expected}", self.name);
    }

    fn check_end(&self, ends: Ends, error: Option<&str>, delays: usize, matched: &[Option<usize>]) {
        assert_eq!((ends, error), (self.ends, self.final_error.as_deref()), "{}", self.name);
        assert_eq!((delays, matched), (self.delays.len(), self.matched_retrier.as_slice()), "{}", self.name);
    }
}

#[test]
fn the_policy_decides_every_vector_on_names_alone() {
    for vector in vectors() {
        let policy = vector.policy();
        let mut used = vec![0; policy.retriers().len()];
        let (mut delays, mut matched) = (0, Vec::new());
        let mut end = None;
        for (nth, outcome) in vector.outcomes.iter().enumerate() {
            assert_eq!(end, None, "{}: ended before outcome {nth}", vector.name);
            if outcome == "ok" {
                end = Some((Ends::Succeeded, None));
                continue;
            }
            // The upper bounds of full jitter are the delays of a draw of 1.
            match policy.decide(&Failure::new(ErrorName::new(outcome.clone()), ""), &used, 1.0) {
                Decision::Retry { retrier, delay } => {
                    let bound = Vector { delays_are: DelaysAre::Exact, ..vector.clone() };
                    bound.check_delay(delays, delay);
                    delays += 1;
                    used[retrier] += 1;
                    matched.push(Some(retrier));
                }
                Decision::Exhausted { retrier } => {
                    matched.push(Some(retrier));
                    end = Some((Ends::Failed, Some(outcome.as_str())));
                }
                Decision::NoMatch => {
                    matched.push(None);
                    end = Some((Ends::Failed, Some(outcome.as_str())));
                }
            }
        }
        let (ends, error) = end.unwrap_or_else(|| panic!("{} never ended", vector.name));
        vector.check_end(ends, error, delays, &matched);
    }
}

/// Why real events can't play a vector: the names are made up, or design §3 gives the failure one more name, by which
/// "ECS exceptions" back off where Step Functions' wildcard would be steady.
const NOT_PLAYABLE: [(&str, &str); 3] = [
    ("doc-complex-scenario", "ErrorA to ErrorC are names of the Step Functions guide"),
    ("readme-order-placement-failure-uses-wildcard", "`failures` is also an ECS.AmazonECSException"),
    ("readme-order-server-exception-uses-wildcard", "a ServerException is also an ECS.AmazonECSException"),
];

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

struct Play {
    run: Run,
    now: DateTime<Utc>,
    tasks: u32,
}

impl Play {
    fn new(policy: RetryPolicy) -> Play {
        let now = DateTime::from_timestamp(1_750_000_000, 0).unwrap();
        let definition = Definition {
            task: TaskSpec::new("main", "hello"),
            retry: policy,
            limits: Limits { attempt_timeout: Some(ATTEMPT_TIMEOUT), ..Limits::default() },
            success: Success::All,
            accept_stop_codes: Vec::new(),
            exit_codes: ExitCodes::none(),
            on_unknown: OnUnknown::Fail,
            log_tail: 0,
            notify: Arc::default(),
        };
        let firing = Firing::of_schedule(&JobName::new("hello").unwrap(), now, Trigger::Schedule);
        let (run, _) = Run::due(firing, Instance::new("prod").unwrap(), Arc::new(definition), now);
        Play { run, now, tasks: 0 }
    }

    fn on(&mut self, event: Event) {
        self.run.step(event, self.now).expect("the event fits");
    }

    fn launched(&mut self) -> TaskArn {
        self.tasks += 1;
        let task = TaskArn(format!("task/{}", self.tasks));
        self.on(Event::Answered(LaunchAnswer::Launched { tasks: vec![task.clone()], failures: Vec::new() }));
        task
    }

    fn stopped(&mut self, task: TaskArn, stop_code: &str, exit_code: i32) {
        let container =
            ContainerFacts { name: "app".into(), essential: None, exit_code: Some(exit_code), reason: None };
        self.on(Event::Observed(TaskFacts {
            task,
            last_status: "STOPPED".into(),
            stop_code: Some(stop_code.into()),
            stopped_reason: None,
            times: TaskTimes { started_at: None, stopped_at: Some(self.now), ..TaskTimes::default() },
            described: None,
            containers: vec![container],
        }));
    }

    fn refused(&mut self, code: &str, status: u16) {
        let code = Some(code.to_owned());
        self.on(Event::Answered(LaunchAnswer::Refused { code, message: "no".into(), status }));
    }

    /// Lets the next attempt begin. After `failures` a ghost is looked for once more.
    fn begin(&mut self) {
        self.on(Event::Woken);
        if matches!(self.run.state, State::Seeking { .. }) {
            self.on(Event::Sought(SearchAnswer::Nothing));
        }
        assert_eq!(self.run.action(self.now), Action::Begin, "{:?}", self.run.state);
        self.on(Event::Permitted);
    }

    /// Lets an attempt fail as ECS would make it fail under this name.
    fn fail(&mut self, error: &str) {
        match error {
            "ECS.AmazonECSException" => self.refused("ExpiredTokenException", 400),
            "ECS.ServerException" => self.refused("ServerException", 500),
            "AmazonECS.Unknown" => {
                let reason = "RESOURCE:CPU".into();
                self.on(Event::Answered(LaunchAnswer::Failures(vec![LaunchFailure { reason, detail: None }])));
                self.on(Event::Sought(SearchAnswer::Nothing));
            }
            "States.TaskFailed" => {
                let task = self.launched();
                self.stopped(task, "EssentialContainerExited", 1);
            }
            "States.Timeout" => {
                let task = self.launched();
                self.now += TimeDelta::from_std(ATTEMPT_TIMEOUT).unwrap();
                self.on(Event::Woken);
                self.stopped(task, "UserInitiated", 143);
            }
            other => panic!("no event causes {other}"),
        }
    }

    fn succeed(&mut self) {
        let task = self.launched();
        self.stopped(task, "EssentialContainerExited", 0);
    }

    /// Answers look-ups until nothing found counts.
    fn find_nothing(&mut self) {
        while let State::Seeking { look_at, .. } = &self.run.state {
            self.now = self.now.max(*look_at);
            self.on(Event::Sought(SearchAnswer::Nothing));
        }
    }
}

#[test]
fn whole_runs_play_every_vector_that_real_events_can_cause() {
    let mut played = 0;
    for vector in vectors() {
        if NOT_PLAYABLE.iter().any(|(name, _)| *name == vector.name) {
            continue;
        }
        played += 1;
        let mut play = Play::new(vector.policy());
        let mut delays = 0;
        for outcome in &vector.outcomes {
            play.begin();
            if outcome == "ok" {
                play.succeed();
                continue;
            }
            play.fail(outcome);
            play.find_nothing();
            if let State::Waiting { until, .. } = play.run.state {
                vector.check_delay(delays, (until - play.now).to_std().unwrap());
                delays += 1;
                play.now = until;
            }
        }
        let State::Finished { outcome, .. } = &play.run.state else { panic!("{} goes on", vector.name) };
        let (ends, error) = match outcome {
            Outcome::Succeeded => (Ends::Succeeded, None),
            Outcome::Failed { failure } => (Ends::Failed, Some(failure.primary.as_str())),
            other => panic!("{}: {other:?}", vector.name),
        };
        // An attempt keeps which retrier granted its retry; that one matched and was used up, only the policy tells.
        let failed = vector.outcomes.iter().filter(|outcome| *outcome != "ok").count();
        let granted: Vec<Option<usize>> = play.run.attempts.iter().take(delays).map(|a| a.retrier).collect();
        assert_eq!(granted, vector.matched_retrier[..delays], "{}", vector.name);
        assert_eq!(play.run.attempts.len(), vector.outcomes.len(), "{}", vector.name);
        assert!(failed == delays || ends == Ends::Failed, "{}", vector.name);
        vector.check_end(ends, error, delays, &vector.matched_retrier);
    }
    assert_eq!(played + NOT_PLAYABLE.len(), vectors().len());
}

#[test]
fn whatever_ecs_refuses_backs_off_also_where_step_functions_uses_the_wildcard() {
    for error in ["AmazonECS.Unknown", "ECS.ServerException"] {
        let mut play = Play::new(RetryPolicy::default());
        for expected in [10, 20, 40] {
            play.begin();
            play.fail(error);
            let State::Waiting { until, .. } = play.run.state else { panic!("{error}: {:?}", play.run.state) };
            assert_eq!((until - play.now).num_seconds(), expected, "{error}");
            play.now = until;
        }
    }
}
