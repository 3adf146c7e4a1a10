//! Runs to store: one in every state, with every reason and every end, each driven there by the real engine, so that what is
//! stored in these tests is what the daemon stores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tenacron::engine::exit_codes::ExitCodes;
use tenacron::engine::job::{
    Capacity, ContainerOverride, Definition, Instance, JobName, Limits, Network, OnUnknown, Overlap, Success, TaskSpec,
};
use tenacron::engine::retry::RetryPolicy;
use tenacron::engine::run::{
    Asker, Covered, Entry, Event, Firing, Outcome, Request, Run, RunId, State, Step, StopWhy, Trigger,
};
use tenacron::engine::task::{
    ContainerFacts, LaunchAnswer, LaunchFailure, SearchAnswer, TaskArn, TaskFacts, TaskTimes,
};
use tenacron::store::{Batch, RunQuery, RunSave, RunSummary, Store, Term};

/// So many seconds after the morning on which all this happens.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_774_000_000 + seconds, 0).unwrap()
}

pub(crate) fn job(name: &str) -> JobName {
    JobName::new(name).unwrap()
}

pub(crate) fn definition() -> Arc<Definition> {
    let container = ContainerOverride {
        name: "app".into(),
        command: Some(vec!["sync".into(), "--all".into()]),
        environment: BTreeMap::from([("PARAM".to_owned(), "\"tenacron\" \\ é 🦀 \n".to_owned())]).into(),
        ..ContainerOverride::default()
    };
    let network = Network { subnets: vec!["subnet-1".into()], security_groups: vec![], assign_public_ip: true };
    Arc::new(Definition {
        task: TaskSpec {
            capacity: Capacity::LaunchType("FARGATE".into()),
            network: Some(network.into()),
            containers: vec![container],
            tags: BTreeMap::from([("team".to_owned(), "data".to_owned())]),
            enable_ecs_managed_tags: true,
            ..TaskSpec::new("batch", "hello:7")
        },
        retry: RetryPolicy::default(),
        limits: Limits {
            timeout: Some(Duration::from_secs(7200)),
            attempt_timeout: Some(Duration::from_secs(600)),
            start_timeout: Some(Duration::from_secs(120)),
            start_deadline: None,
        },
        success: Success::Essential,
        accept_stop_codes: vec![],
        exit_codes: ExitCodes::none(),
        on_unknown: OnUnknown::Fail,
        log_tail: 0,
        notify: Arc::default(),
    })
}

pub(crate) fn firing(name: &str, scheduled_at: DateTime<Utc>) -> Firing {
    Firing::of_schedule(&job(name), scheduled_at, Trigger::Schedule)
}

/// A run together with what of it is not saved yet, as the driver keeps it.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) run: Run,
    pub(crate) entries: Vec<Entry>,
    pub(crate) all_entries: Vec<Entry>,
    pub(crate) is_new: bool,
    pub(crate) saved_attempts: usize,
}

impl Life {
    pub(crate) fn of((run, entries): (Run, Vec<Entry>)) -> Life {
        Life { run, all_entries: entries.clone(), entries, is_new: true, saved_attempts: 0 }
    }

    pub(crate) fn due(name: &str, seconds: i64) -> Life {
        Life::due_under(name, seconds, definition())
    }

    pub(crate) fn due_under(name: &str, seconds: i64, definition: Arc<Definition>) -> Life {
        Life::of(Run::due(firing(name, at(seconds)), Instance::new("prod").unwrap(), definition, at(seconds)))
    }

    pub(crate) fn never(name: &str, outcome: Outcome) -> Life {
        let instance = Instance::new("prod").unwrap();
        Life::of(Run::not_started(firing(name, at(0)), instance, definition(), outcome, at(1)))
    }

    pub(crate) fn tell(mut self, seconds: i64, event: Event) -> Life {
        match self.run.step(event, at(seconds)).unwrap() {
            Step::Unchanged => {}
            Step::Changed(entries) => {
                self.entries.extend(entries.clone());
                self.all_entries.extend(entries);
            }
        }
        self
    }

    pub(crate) fn running(name: &str) -> Life {
        let launched = LaunchAnswer::Launched { tasks: vec![arn(name)], failures: Vec::new() };
        Life::due(name, 0).tell(1, Event::Permitted).tell(2, Event::Answered(launched))
    }

    pub(crate) fn save(&mut self) -> RunSave {
        let save = RunSave {
            run: self.run.clone(),
            is_new: self.is_new,
            attempts_from: self.saved_attempts.saturating_sub(1),
            entries: std::mem::take(&mut self.entries),
        };
        self.is_new = false;
        self.saved_attempts = self.run.attempts.len();
        save
    }
}

pub(crate) fn arn(name: &str) -> TaskArn {
    TaskArn(format!("arn:aws:ecs:eu-central-1:1:task/batch/{name}"))
}

pub(crate) fn stopped(name: &str, exit_code: Option<i32>) -> Event {
    Event::Observed(TaskFacts {
        task: arn(name),
        last_status: "STOPPED".into(),
        stop_code: Some("EssentialContainerExited".into()),
        stopped_reason: Some("Essential container in task exited".into()),
        // ECS tells microseconds; inside JSON they are kept.
        times: TaskTimes {
            started_at: Some(at(5) + TimeDelta::microseconds(123_456)),
            stopped_at: Some(at(9)),
            ..TaskTimes::default()
        },
        described: None,
        containers: vec![ContainerFacts { name: "app".into(), essential: Some(true), exit_code, reason: None }],
    })
}

pub(crate) fn seen_running(name: &str) -> Event {
    seen(name, "RUNNING", Some(at(5)))
}

pub(crate) fn seen(name: &str, last_status: &str, started_at: Option<DateTime<Utc>>) -> Event {
    Event::Observed(TaskFacts {
        task: arn(name),
        last_status: last_status.into(),
        stop_code: None,
        stopped_reason: None,
        times: TaskTimes { started_at, ..TaskTimes::default() },
        described: None,
        containers: vec![],
    })
}

pub(crate) fn no_answer() -> Event {
    Event::Answered(LaunchAnswer::NoAnswer { sent: true, message: "time-out".into() })
}

pub(crate) fn cancel() -> Event {
    Event::Cancel { reason: "by ada, on call".into() }
}

/// Who asked for a run, and what is different about it.
pub(crate) fn asked(overlap: Option<Overlap>, retry_of: Option<&str>) -> Request {
    let asker = Asker { by: "uid 0 (root)".into(), reason: Some("ada, on call".into()) };
    Request { asker, overlap, retry_of: retry_of.map(RunId::from_text) }
}

pub(crate) fn asked_for(firing: Firing) -> Life {
    let mut definition = Definition::clone(&definition());
    definition.limits.start_deadline = Some(Duration::from_secs(900));
    Life::of(Run::due(firing, Instance::new("prod").unwrap(), Arc::new(definition), at(1)))
}

/// What came with schema 2: runs that people asked for, the row of a pause.
pub(crate) fn lives_since_schema_2() -> Vec<(&'static str, Life)> {
    let reason = || "the job was paused".to_owned();
    let covers = Some(Covered { first: at(-500), count: 501 });
    let overdue = Event::Overdue { waited_for: "run other-1 to end".into() };
    let manual = |name| asked_for(Firing::manual(&job(name), asked(None, None), at(1)));
    let backfill = Firing::backfill(&job("backfill"), at(-60), asked(Some(Overlap::QueueAll), None), at(1));
    vec![
        ("manual", manual("manual")),
        ("retry", asked_for(Firing::retry(&job("retry"), at(-60), asked(None, Some("retry-1")), at(1)))),
        ("backfill", asked_for(backfill).tell(2, Event::Permitted)),
        ("overdue", manual("overdue").tell(1_000, overdue)),
        ("paused", Life::never("paused", Outcome::Skipped { reason: reason(), covers })),
    ]
}

/// A run in every state, with every reason and every end, each reached through the engine.
pub(crate) fn every_life() -> Vec<(&'static str, Life)> {
    lives_of_schema_1().into_iter().chain(lives_since_schema_2()).collect()
}

pub(crate) fn lives_of_schema_1() -> Vec<(&'static str, Life)> {
    let launching = |name| Life::due(name, 0).tell(1, Event::Permitted);
    let refused = LaunchAnswer::Refused { code: Some("ClientException".into()), message: "no".into(), status: 400 };
    let failures = LaunchAnswer::Failures(vec![LaunchFailure { reason: "RESOURCE:MEMORY".into(), detail: None }]);
    let placed_nothing = |name| {
        let life = launching(name).tell(2, Event::Answered(failures.clone()));
        life.tell(3, Event::Sought(SearchAnswer::Nothing))
    };
    let nothing = || Event::Sought(SearchAnswer::Nothing);
    let too_old = |name| launching(name).tell(4000, Event::Resumed);
    let failed = |name| {
        let mut life = Life::running(name);
        for attempt in 0..3 {
            life = life.tell(10 + 10 * attempt, stopped(name, Some(137))).tell(19 + 10 * attempt, Event::Permitted);
            life = life.tell(
                19 + 10 * attempt,
                Event::Answered(LaunchAnswer::Launched { tasks: vec![arn(name)], failures: Vec::new() }),
            );
        }
        life.tell(60, stopped(name, Some(1)))
    };
    let reason = || "run other-1 still lives".to_owned();
    let covers = Some(Covered { first: at(-1000), count: 101 });
    vec![
        ("due", Life::due("due", 0)),
        ("launching", launching("launching")),
        ("seeking a ghost", launching("ghost").tell(2, Event::Answered(failures.clone()))),
        ("seeking before the next", placed_nothing("before-next").tell(14, Event::Woken)),
        ("seeking before the end", launching("before-end").tell(2, cancel()).tell(3, no_answer())),
        ("seeking what is too old", too_old("too-old")),
        ("running", Life::running("running")),
        ("running, started", Life::running("started").tell(6, seen_running("started"))),
        ("stopping: attempt", Life::running("attempt").tell(6, seen_running("attempt")).tell(700, Event::Woken)),
        ("stopping: start", Life::running("start").tell(200, seen("start", "PENDING", None))),
        ("stopping: run", Life::running("run").tell(7300, Event::Woken)),
        ("stopping: cancelled", Life::running("stop").tell(6, cancel()).tell(7, Event::StopAsked { refusal: None })),
        ("waiting", launching("waiting").tell(2, Event::Answered(refused))),
        ("waiting to resend", launching("resend").tell(2, no_answer())),
        ("waiting to look first", placed_nothing("look-first")),
        ("succeeded", Life::running("succeeded").tell(9, stopped("succeeded", Some(0)))),
        ("failed", failed("failed")),
        ("timed out", Life::running("timed-out").tell(7300, Event::Woken).tell(7400, stopped("timed-out", None))),
        ("cancelled", Life::due("cancelled", 0).tell(1, cancel())),
        ("skipped", Life::never("skipped", Outcome::Skipped { reason: reason(), covers: None })),
        ("missed", Life::never("missed", Outcome::Missed { reason: reason(), covers })),
        ("unknown", too_old("unknown").tell(4030, nothing()).tell(4031, nothing())),
    ]
}

/// What the states are called in the store; a state, reason or end that `every_life` forgot shows up here.
pub(crate) fn kinds(lives: &[(&str, Life)]) -> BTreeSet<String> {
    use tenacron::engine::run::{Seek, State};
    let kind = |run: &Run| match &run.state {
        State::Due => "due".to_owned(),
        State::Launching => "launching".to_owned(),
        State::Seeking { why: Seek::Ghost { .. }, .. } => "seeking ghost".to_owned(),
        State::Seeking { why: Seek::BeforeNext { .. }, .. } => "seeking before next".to_owned(),
        State::Seeking { why: Seek::BeforeEnd { .. }, .. } => "seeking before end".to_owned(),
        State::Seeking { why: Seek::TooOld, .. } => "seeking too old".to_owned(),
        State::Running { tasks } => format!("running {}", tasks.iter().all(|followed| followed.started)),
        State::Stopping { why: StopWhy::AttemptTimeout, .. } => "stopping attempt".to_owned(),
        State::Stopping { why: StopWhy::StartTimeout, .. } => "stopping start".to_owned(),
        State::Stopping { why: StopWhy::RunTimeout, .. } => "stopping run".to_owned(),
        State::Stopping { why: StopWhy::Cancelled, .. } => "stopping cancelled".to_owned(),
        State::Waiting { resend, look_first, .. } => format!("waiting {resend} {look_first}"),
        State::Finished { outcome, .. } => outcome.status().as_str().to_owned(),
    };
    lives.iter().map(|(_, life)| kind(&life.run)).collect()
}

pub(crate) fn batch(term: Term, seconds: i64, runs: Vec<RunSave>) -> Batch {
    Batch { runs, ..Batch::empty(term, at(seconds)) }
}

/// What a listing must show of a run, asked of the run itself.
pub(crate) fn summary_of(run: &Run) -> RunSummary {
    RunSummary {
        run: run.id.clone(),
        job: run.job.clone(),
        trigger: run.trigger,
        scheduled_at: run.scheduled_at,
        status: run.status(),
        attempts: u32::try_from(run.attempts.len()).unwrap(),
        error: run.shown_failure().map(|failure| failure.primary.to_string()),
        cause: run.shown_cause().map(str::to_owned),
        exit_code: run.shown_exit_code(),
        created_at: run.created_at,
        finished_at: run.finished_at(),
        next_action_at: run.wake_at(),
        covers: match &run.state {
            State::Finished { outcome, .. } => outcome.covers(),
            _ => None,
        },
    }
}

pub(crate) async fn save(store: &impl Store, runs: Vec<RunSave>) -> BTreeSet<RunId> {
    store.commit(batch(store.term(), 0, runs)).await.unwrap()
}

pub(crate) async fn listed(store: &impl Store, query: RunQuery) -> Vec<String> {
    store.runs(query).await.unwrap().into_iter().map(|run| run.run.to_string()).collect()
}

pub(crate) fn all() -> RunQuery {
    RunQuery { limit: usize::MAX, ..RunQuery::default() }
}

/// The error and all its sources, as people read it.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
