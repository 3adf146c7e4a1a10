//! The numbers that the daemon counts as it goes, for `/metrics`. Each daemon has its own, and so has each test.
//!
//! What can be read off the daemon when it is asked is not kept here: `web/metrics.rs` makes that anew at each scrape.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::counts::Counts;
use crate::engine::call_fault::CallFault;
use crate::engine::job::JobName;
use crate::engine::run::{HistoryEvent, Run, Trigger};
use crate::store::{RunSave, RunSummary};

/// Bounds of buckets, in seconds: from the milliseconds of a quiet daemon to the hour of a queue.
const LAG: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0];
const CALL: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];
const COMMIT: [f64; 11] = [0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 8.0];
const SWEEP: [f64; 9] = [0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 300.0];
const RUN: [f64; 12] = [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0, 86_400.0];

/// The calls of ECS that are counted. A look-up is a `ListTasks`, with what it shows of the tasks that it lists.
pub(crate) const RUN_TASK: &str = "RunTask";
pub(crate) const DESCRIBE_TASKS: &str = "DescribeTasks";
pub(crate) const LIST_TASKS: &str = "ListTasks";
pub(crate) const STOP_TASK: &str = "StopTask";
const OPERATIONS: [&str; 4] = [RUN_TASK, DESCRIBE_TASKS, LIST_TASKS, STOP_TASK];

/// What came of a try to deliver a notice.
pub(crate) const DELIVERED: &str = "delivered";
pub(crate) const FAILED: &str = "failed";
pub(crate) const DEAD: &str = "dead";
/// The kinds of channels, as the configuration names them.
const CHANNELS: [&str; 3] = ["sns", "webhook", "ping"];

/// The tries of a kind of channel by what came of them.
type NoticeLabels = [(&'static str, &'static str); 2];
/// A call of ECS by its name and how it came to nothing.
type CallLabels = [(&'static str, &'static str); 2];
type OperationLabel = [(&'static str, &'static str); 1];

/// The numbers of one daemon; clones are the same.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Numbers>);

#[derive(Debug)]
struct Numbers {
    started_at: DateTime<Utc>,
    /// All that is below but the jobs.
    registry: Registry,
    start_lag: Histogram,
    run_duration: Histogram,
    calls: Family<CallLabels, Counter>,
    call_time: Family<OperationLabel, Histogram>,
    sweep: Histogram,
    commit: Histogram,
    notices: Family<NoticeLabels, Counter>,
    /// Of jobs that have had a run.
    jobs: Mutex<HashMap<JobName, Arc<Mutex<Counts>>>>,
    /// Of all jobs together that the configuration no longer has.
    gone: Mutex<Counts>,
}

impl Metrics {
    /// Those of a daemon that starts now.
    pub fn new(started_at: DateTime<Utc>) -> Metrics {
        let mut registry = Registry::default();
        let mut histogram = |name: &str, help: &str, bounds: &[f64]| {
            let histogram = Histogram::new(bounds.iter().copied());
            registry.register(name, help, histogram.clone());
            histogram
        };
        let start_lag = histogram("tenacron_start_lag_seconds", "From an instant until its RunTask was sent", &LAG);
        let run_duration = histogram("tenacron_run_duration_seconds", "From the record of a run to its end", &RUN);
        let sweep = histogram(
            "tenacron_poll_sweep_seconds",
            "How old the oldest look was that a look at tasks renewed",
            &SWEEP,
        );
        let commit = histogram("tenacron_store_commit_seconds", "How long a commit took that was saved", &COMMIT);
        let calls = Family::<CallLabels, Counter>::default();
        registry.register("tenacron_ecs_calls", "Calls of ECS; an empty error is a success", calls.clone());
        // All that can be, so that the first of each shows as an increase.
        for operation in OPERATIONS {
            let errors = std::iter::once("").chain(CallFault::ALL.map(CallFault::as_str));
            errors.for_each(|error| drop(calls.get_or_create(&[("operation", operation), ("error", error)])));
        }
        let call_time = Family::new_with_constructor((|| Histogram::new(CALL)) as fn() -> Histogram);
        registry.register("tenacron_ecs_call_seconds", "How long calls of ECS took", call_time.clone());
        let notices = Family::<NoticeLabels, Counter>::default();
        registry.register("tenacron_notices", "Tries to deliver notices, and notices given up", notices.clone());
        for kind in CHANNELS {
            for result in [DELIVERED, FAILED, DEAD] {
                drop(notices.get_or_create(&[("kind", kind), ("result", result)]));
            }
        }
        let (jobs, gone) = (Mutex::default(), Mutex::default());
        Metrics(Arc::new(Numbers {
            started_at,
            registry,
            start_lag,
            run_duration,
            calls,
            call_time,
            sweep,
            commit,
            notices,
            jobs,
            gone,
        }))
    }

    /// When the daemon started.
    pub fn started_at(&self) -> DateTime<Utc> {
        self.0.started_at
    }

    /// Writes what is counted, but for the jobs, in the OpenMetrics text format and without its end.
    ///
    /// # Errors
    /// As the writer's.
    pub fn encode(&self, text: &mut String) -> fmt::Result {
        encode_registry(text, &self.0.registry)
    }

    /// The counts of each job that has had a run, by name, and those of all that are gone.
    pub fn jobs(&self) -> (Vec<(JobName, Counts)>, Counts) {
        // The loop must not wait for a copy of them all.
        let mut jobs: Vec<(JobName, Arc<Mutex<Counts>>)> =
            lock(&self.0.jobs).iter().map(|(name, counts)| (name.clone(), Arc::clone(counts))).collect();
        jobs.sort_by(|(a, _), (b, _)| a.cmp(b));
        let jobs = jobs.into_iter().map(|(name, counts)| (name, lock(&counts).clone())).collect();
        (jobs, lock(&self.0.gone).clone())
    }

    /// Counts what is new about a run; see [`super::transition`].
    pub(super) fn count(&self, save: &RunSave, offset: Option<TimeDelta>, sent_at: DateTime<Utc>) {
        match offset {
            Some(offset) => {
                lock(&self.of(&save.run.job)).count(save);
                if let Some(lag) = start_lag(save, offset, sent_at) {
                    self.0.start_lag.observe(lag);
                }
            }
            None => lock(&self.0.gone).count(save),
        }
        if let Some(duration) = duration(&save.run) {
            self.0.run_duration.observe(duration);
        }
    }

    /// Takes in how runs of earlier daemons ended.
    pub(crate) fn remember(&self, ended: &[RunSummary], is_known: impl Fn(&JobName) -> bool) {
        for run in ended.iter().filter(|run| is_known(&run.job)) {
            lock(&self.of(&run.job)).remember(run);
        }
    }

    fn of(&self, job: &JobName) -> Arc<Mutex<Counts>> {
        Arc::clone(lock(&self.0.jobs).entry(job.clone()).or_default())
    }

    /// Forgets the jobs that left the configuration.
    pub(crate) fn forget(&self, gone: &[JobName]) {
        let mut jobs = lock(&self.0.jobs);
        gone.iter().for_each(|job| drop(jobs.remove(job)));
    }

    /// A call of ECS came back.
    pub(crate) fn called(&self, operation: &'static str, fault: Option<CallFault>, took: Duration) {
        let error = fault.map_or("", CallFault::as_str);
        self.0.calls.get_or_create(&[("operation", operation), ("error", error)]).inc();
        self.0.call_time.get_or_create(&[("operation", operation)]).observe(took.as_secs_f64());
    }

    /// A look at tasks came back, and the oldest look that it renewed was so old.
    pub(crate) fn swept(&self, age: Duration) {
        self.0.sweep.observe(age.as_secs_f64());
    }

    /// A try to deliver a notice came to this, or a notice was given up.
    pub(crate) fn told(&self, kind: &'static str, result: &'static str) {
        self.0.notices.get_or_create(&[("kind", kind), ("result", result)]).inc();
    }

    /// A commit was saved.
    pub(crate) fn committed(&self, took: Duration) {
        self.0.commit.observe(took.as_secs_f64());
    }
}

/// Every change leaves the counts whole, so a panic elsewhere in the daemon does not spoil them.
fn lock<T>(counts: &Mutex<T>) -> MutexGuard<'_, T> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How late the first launch left of a run whose instant came while the daemon ran, if this save led to it; in seconds.
fn start_lag(save: &RunSave, offset: TimeDelta, sent_at: DateTime<Utc>) -> Option<f64> {
    let is_first = |event: &HistoryEvent| matches!(event, HistoryEvent::TaskScheduled { attempt: 1, .. });
    let is_launched = save.run.trigger == Trigger::Schedule && save.entries.iter().any(|entry| is_first(&entry.event));
    let left_at = save.run.scheduled_at.checked_add_signed(offset)?;
    is_launched.then(|| (sent_at - left_at).as_seconds_f64().max(0.0))
}

/// How long a run took that is over and launched something, in seconds.
fn duration(run: &Run) -> Option<f64> {
    let ended_at = run.finished_at().filter(|_| !run.attempts.is_empty())?;
    Some((ended_at - run.created_at).as_seconds_f64().max(0.0))
}
