//! The loop itself: that a call which panics takes nothing with it, (in `saving.rs`) what it does while its store fails,
//! (in `push.rs`) what task events and log tails change, (in `reach.rs`) whether ECS answers, and (in `pruning.rs`) what becomes
//! of what is kept no longer.

mod pruning;
mod push;
mod reach;
pub(in crate::daemon) mod saving;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::driver::{Act, Pace};
use super::perform::{LAUNCHES_MAX, LOOKUPS_MAX, Performer, STOPS_MAX};
use super::watch::Watcher;
use super::{Settings, clock};
use crate::ecs::{CallError, Described, Ecs, LivePage};
use crate::engine::job::{Instance, Site, Target};
use crate::engine::launch::{Launch, LaunchRequest};
use crate::engine::retention::Retention;
use crate::engine::run::{Event, Firing, Run, RunId, Trigger};
use crate::engine::samples;
use crate::engine::task::{LaunchAnswer, SearchAnswer, TaskArn};
use crate::observe::Metrics;

/// How often something is looked at that is waited for.
const BEAT: Duration = Duration::from_millis(10);
/// Far longer than anything takes, on a clock that does not really wait.
pub(in crate::daemon) const WITHIN: Duration = Duration::from_secs(600);

/// The target at which stops are answered.
const ANSWERS: &str = "answers";

/// An ECS that panics at the first look and knows no task at any later one, refuses each launch its connection and never
/// answers a look-up, nor a stop but at one target.
#[derive(Debug, Clone, Default)]
struct Frail {
    looks: Arc<AtomicU32>,
}

impl Ecs for Frail {
    async fn run_task(&self, _request: &LaunchRequest) -> LaunchAnswer {
        no_connection()
    }

    async fn find_tasks(&self, _request: &LaunchRequest) -> SearchAnswer {
        std::future::pending().await
    }

    async fn describe_tasks(&self, _site: &Site, tasks: &[TaskArn]) -> Result<Described, CallError> {
        assert!(self.looks.fetch_add(1, Ordering::SeqCst) > 0, "the first look panics on purpose");
        Ok(Described { facts: Vec::new(), missing: tasks.to_vec(), unjudged: Vec::new() })
    }

    async fn live_tasks(&self, _site: &Site, _page: Option<&str>) -> Result<LivePage, CallError> {
        Ok(LivePage::default())
    }

    async fn stop_task(&self, site: &Site, _task: &TaskArn, _reason: &str) -> Result<(), CallError> {
        match site.target.name.as_deref() {
            Some(ANSWERS) => Ok(()),
            _ => std::future::pending().await,
        }
    }
}

fn pace() -> Pace {
    Pace { poll_interval: Duration::from_secs(1), describe_rate: 20.0 }
}

pub(in crate::daemon) fn no_connection() -> LaunchAnswer {
    LaunchAnswer::NoAnswer { sent: false, message: "connection refused".into() }
}

pub(in crate::daemon) fn metrics() -> Metrics {
    Metrics::new(clock::now())
}

pub(in crate::daemon) fn settings() -> Settings {
    Settings {
        instance: Instance::new("test").unwrap(),
        jobs: vec![Arc::new(samples::job("@daily"))],
        launch_rate: 20.0,
        launch_burst: 20,
        poll_interval: Duration::from_secs(1),
        describe_rate: 20.0,
        max_running: None,
        groups: BTreeMap::new(),
        event_queues: Vec::new(),
        outlets: watch::channel(Arc::default()).1,
        retention: watch::channel(Retention::default()).1,
    }
}

/// Looks on a beat until it is so.
pub(in crate::daemon) async fn until(is_so: impl AsyncFn() -> bool) {
    let mut beat = tokio::time::interval(BEAT);
    let looking = async {
        while !is_so().await {
            beat.tick().await;
        }
    };
    tokio::time::timeout(WITHIN, looking).await.expect("it becomes so");
}

#[tokio::test(start_paused = true)]
async fn a_look_that_panics_does_not_end_the_polling_of_its_cluster() {
    let (sender, mut reports) = mpsc::channel(8);
    let stop = CancellationToken::new();
    let mut watcher = Watcher::new(Frail::default(), pace(), sender, TaskTracker::new(), stop.clone(), metrics());
    let task = TaskArn("task/1".into());
    watcher.watch(samples::definition().task.site(), task.clone(), RunId::from_text("run"), None);
    let second = tokio::time::timeout(WITHIN, reports.recv()).await.expect("a second look");
    let reported = second.expect("a report");
    assert_eq!(reported.first().map(|report| &report.event), Some(&Event::Missing(task)));
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_launch_does_not_wait_behind_look_ups_that_nobody_answers() {
    let (sender, mut reports) = mpsc::channel(8);
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let watcher = Watcher::new(Frail::default(), pace(), sender.clone(), tracker.clone(), stop.clone(), metrics());
    let mut performer = Performer::new(Frail::default(), watcher, sender, tracker);
    let (job, now) = (samples::job("@daily"), clock::now());
    let firing = Firing::of_schedule(&job.name, now, Trigger::Schedule);
    let (run, _) = Run::due(firing, Instance::new("test").unwrap(), job.definition, now);
    let launch = Launch::freeze(&run, 1, now);
    for _ in 0..LAUNCHES_MAX + LOOKUPS_MAX {
        performer.perform(Act::Find { run: run.id.clone(), launch: launch.clone() });
    }
    performer.perform(Act::Launch { run: run.id, launch });
    let reported = tokio::time::timeout(WITHIN, reports.recv()).await.expect("an answer").expect("a report");
    assert_eq!(reported.first().map(|report| &report.event), Some(&Event::Answered(no_connection())));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_never_answers_holds_up_no_other() {
    let (sender, mut reports) = mpsc::channel(8);
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let watcher = Watcher::new(Frail::default(), pace(), sender.clone(), tracker.clone(), stop.clone(), metrics());
    let mut performer = Performer::new(Frail::default(), watcher, sender, tracker);
    let (run, task) = (RunId::from_text("run"), TaskArn("task/1".into()));
    let silent = samples::definition().task.site();
    for _ in 0..=STOPS_MAX {
        let (run, site, task) = (run.clone(), silent.clone(), task.clone());
        performer.perform(Act::Stop { run, site, tasks: vec![task], reason: "over".into() });
    }
    let answers = Target { name: Some(ANSWERS.into()), ..Target::default() };
    let site = Site { target: Arc::new(answers), ..silent };
    performer.perform(Act::Stop { run, site, tasks: vec![task], reason: "over".into() });
    let reported = tokio::time::timeout(WITHIN, reports.recv()).await.expect("an answer").expect("a report");
    assert_eq!(reported.first().map(|report| &report.event), Some(&Event::StopAsked { refusal: None }));
}
