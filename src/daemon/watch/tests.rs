//! Which tasks are looked at when, and what that costs, on tokio's paused clock against an ECS that counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::daemon::clock;
use crate::daemon::tests::{WITHIN, metrics, no_connection};
use crate::ecs::{CallError, Described, LivePage};
use crate::engine::call_fault::CallFault;
use crate::engine::job::Target;
use crate::engine::launch::LaunchRequest;
use crate::engine::run::Event;
use crate::engine::task::{LaunchAnswer, SearchAnswer, TaskFacts, TaskTimes};

/// A call, by when it left after the beginning, and what it asked for.
type Call = (Duration, String, Vec<TaskArn>);

/// How a call ends that is not answered with tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Throttled,
    Failed,
}

/// An ECS that shows every task as it is told, and writes down who asked.
#[derive(Debug, Clone)]
struct Counting {
    began_at: Instant,
    calls: Arc<Mutex<Vec<Call>>>,
    /// For how long tasks have been RUNNING; they are PENDING if for none.
    running_for: Arc<Mutex<BTreeMap<TaskArn, Duration>>>,
    stopped: Arc<Mutex<BTreeSet<TaskArn>>>,
    /// How the next calls end.
    endings: Arc<Mutex<Vec<Ending>>>,
}

impl Counting {
    fn new() -> Counting {
        Counting {
            began_at: Instant::now(),
            calls: Arc::default(),
            running_for: Arc::default(),
            stopped: Arc::default(),
            endings: Arc::default(),
        }
    }

    /// The calls that left before then.
    fn calls(&self, until: Duration) -> Vec<Call> {
        self.calls.lock().unwrap().iter().filter(|(at, ..)| *at < until).cloned().collect()
    }

    fn facts(&self, task: &TaskArn) -> TaskFacts {
        let running_for = self.running_for.lock().unwrap().get(task).copied();
        // The clock of the machine stands still while that of the runtime goes on.
        let age = running_for.map(|age| age + self.began_at.elapsed());
        let last_status = if self.stopped.lock().unwrap().contains(task) {
            "STOPPED"
        } else if age.is_some() {
            "RUNNING"
        } else {
            "PENDING"
        };
        TaskFacts {
            task: task.clone(),
            last_status: last_status.into(),
            times: TaskTimes { started_at: age.map(|age| clock::now() - age), ..TaskTimes::default() },
            ..TaskFacts::default()
        }
    }
}

impl Ecs for Counting {
    async fn run_task(&self, _request: &LaunchRequest) -> LaunchAnswer {
        no_connection()
    }

    async fn find_tasks(&self, _request: &LaunchRequest) -> SearchAnswer {
        SearchAnswer::Nothing
    }

    async fn describe_tasks(&self, site: &Site, tasks: &[TaskArn]) -> Result<Described, CallError> {
        let call = (self.began_at.elapsed(), site.cluster.clone(), tasks.to_vec());
        self.calls.lock().unwrap().push(call);
        let mut endings = self.endings.lock().unwrap();
        if !endings.is_empty() {
            let is_throttled = endings.remove(0) == Ending::Throttled;
            let fault = if is_throttled { CallFault::Throttled } else { CallFault::NoAnswer };
            return Err(CallError { fault, message: "on purpose".into() });
        }
        Ok(Described {
            facts: tasks.iter().map(|task| self.facts(task)).collect(),
            missing: Vec::new(),
            unjudged: Vec::new(),
        })
    }

    async fn live_tasks(&self, _site: &Site, _page: Option<&str>) -> Result<LivePage, CallError> {
        Ok(LivePage::default())
    }

    async fn stop_task(&self, _site: &Site, _task: &TaskArn, _reason: &str) -> Result<(), CallError> {
        Ok(())
    }
}

struct Bench {
    ecs: Counting,
    watcher: Watcher<Counting>,
    reports: mpsc::Receiver<Vec<Report>>,
    stop: CancellationToken,
}

impl Bench {
    fn new(describe_rate: f64) -> Bench {
        let (sender, reports) = mpsc::channel(1_024);
        let (ecs, stop) = (Counting::new(), CancellationToken::new());
        let pace = Pace { poll_interval: Duration::from_secs(5), describe_rate };
        let watcher = Watcher::new(ecs.clone(), pace, sender, TaskTracker::new(), stop.clone(), metrics());
        Bench { ecs, watcher, reports, stop }
    }

    fn watch(&mut self, cluster: &str, nth: usize) -> TaskArn {
        let (task, run) = (TaskArn(format!("{cluster}/{nth:05}")), RunId::from_text(&format!("{cluster}-{nth}")));
        self.watcher.watch(site(cluster), task.clone(), run, None);
        task
    }

    /// Takes what is reported until so long after the beginning.
    async fn until(&mut self, seconds: f64) -> Vec<(Duration, Report)> {
        let until = self.ecs.began_at + Duration::from_secs_f64(seconds);
        let mut seen = Vec::new();
        while let Ok(bundle) = tokio::time::timeout_at(until, self.reports.recv()).await {
            let at = self.ecs.began_at.elapsed();
            seen.extend(bundle.expect("pollers run").into_iter().map(|report| (at, report)));
        }
        seen
    }

    /// The calls that left in a stretch of time, in seconds.
    fn calls(&self, from: f64, until: f64) -> Vec<Call> {
        let mut calls = self.ecs.calls(Duration::from_secs_f64(until));
        calls.retain(|(at, ..)| *at >= Duration::from_secs_f64(from));
        calls
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A cluster of the daemon's own account; one whose name begins with `there` is in another region.
fn site(cluster: &str) -> Site {
    let region = cluster.starts_with("there").then(|| "eu-west-1".to_owned());
    Site { target: Arc::new(Target { region, ..Target::default() }), cluster: cluster.into() }
}

fn times(calls: &[Call]) -> Vec<f64> {
    calls.iter().map(|(at, ..)| (at.as_secs_f64() * 10.0).round() / 10.0).collect()
}

#[tokio::test(start_paused = true)]
async fn five_thousand_tasks_cost_fifty_calls_a_sweep() {
    let mut bench = Bench::new(20.0);
    for nth in 0..5_000 {
        bench.watch("main", nth);
    }
    let mut seen = bench.until(5.0).await;
    seen.extend(bench.until(10.0).await);
    for (from, until) in [(0.0, 5.0), (5.0, 10.0)] {
        let calls = bench.calls(from, until);
        let asked: BTreeSet<&TaskArn> = calls.iter().flat_map(|(_, _, tasks)| tasks).collect();
        assert_eq!((calls.len(), asked.len()), (50, 5_000));
        assert!(calls.iter().all(|(_, _, tasks)| tasks.len() == 100));
    }
    assert_eq!(seen.len(), 10_000, "all that was seen is reported");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_tasks_are_asked_for_at_the_rate_of_the_budget_and_take_turns() {
    let mut bench = Bench::new(2.0);
    for nth in 0..10_000 {
        bench.watch("main", nth);
    }
    bench.until(50.0).await;
    let calls = bench.calls(0.0, 50.0);
    assert_eq!(times(&calls)[..3], [0.2, 0.7, 1.2], "a daemon that starts looks soon, and never faster than it may");
    let asked: BTreeSet<&TaskArn> = calls.iter().flat_map(|(_, _, tasks)| tasks).collect();
    assert_eq!((calls.len(), asked.len()), (100, 10_000), "nobody is asked for twice while others wait");
}

#[tokio::test(start_paused = true)]
async fn pollers_of_one_account_share_its_budget_fairly_and_those_of_another_do_not() {
    let mut bench = Bench::new(1.0);
    for nth in 0..500 {
        bench.watch("a", nth);
    }
    for cluster in ["b", "c", "there"] {
        bench.watch(cluster, 0);
    }
    bench.until(21.0).await;
    let calls = bench.calls(0.0, 21.0);
    let of = |cluster: &str| calls.iter().filter(|(_, of, _)| of == cluster).count();
    assert_eq!(of("there"), 5, "each 5 s");
    let own: Vec<Call> = calls.iter().filter(|(_, of, _)| of != "there").cloned().collect();
    let instants = times(&own);
    assert!(instants.windows(2).all(|two| two[1] - two[0] > 0.99), "{instants:?}");
    assert_eq!(own.len(), 21);
    assert!(of("b") >= 4 && of("c") >= 4, "a large cluster does not hold up the small ones: {own:?}");
}

#[tokio::test(start_paused = true)]
async fn a_few_tasks_are_looked_at_together_and_long_runners_half_as_often() {
    let mut bench = Bench::new(2.0);
    let tasks: Vec<TaskArn> = (0..3).map(|nth| bench.watch("main", nth)).collect();
    let set = |task: &TaskArn, seconds: u64| {
        bench.ecs.running_for.lock().unwrap().insert(task.clone(), Duration::from_secs(seconds));
    };
    // Two have run for long, and one is about to.
    [(0, 3_600), (1, 500), (2, 100)].into_iter().for_each(|(nth, age)| set(&tasks[nth], age));
    bench.until(60.0).await;
    let calls = bench.calls(0.0, 60.0);
    assert_eq!(times(&calls), [0.2, 5.2, 10.2, 15.2, 20.2, 30.2, 40.2, 50.2]);
    let is_whole = |(_, _, asked): &Call| asked.len() == 3 && tasks.iter().all(|task| asked.contains(task));
    assert!(calls.iter().all(is_whole), "one call shows them all");
    // One of them is to be stopped: it is looked at soon, and often.
    let stopping = RunId::from_text("main-0");
    bench.watcher.watch(site("main"), tasks[0].clone(), stopping, Some(clock::now()));
    bench.until(80.0).await;
    assert_eq!(times(&bench.calls(60.0, 80.0)), [60.2, 65.2, 70.2, 75.2]);
    // What stops is seen within an interval, and an end is not put off by those that go on.
    bench.ecs.stopped.lock().unwrap().insert(tasks[1].clone());
    let seen = bench.until(86.0).await;
    let is_end = |report: &Report| matches!(&report.event, Event::Observed(facts) if facts.is_stopped());
    assert!(seen.iter().any(|(_, report)| is_end(report) && report.run == RunId::from_text("main-1")));
}

#[tokio::test(start_paused = true)]
async fn a_task_is_followed_from_its_launch_and_no_longer_than_told() {
    let mut bench = Bench::new(2.0);
    let first = bench.watch("main", 0);
    bench.until(1.0).await;
    bench.watch("main", 1);
    bench.until(6.0).await;
    assert_eq!(times(&bench.calls(0.0, 6.0)), [0.2, 5.2], "a new task comes along when others are looked at");
    bench.watcher.unwatch(site("main"), first);
    bench.until(11.0).await;
    let calls = bench.calls(6.0, 11.0);
    assert_eq!(calls.iter().map(|(_, _, tasks)| tasks.len()).collect::<Vec<_>>(), [1]);
    bench.watcher.unwatch(site("main"), TaskArn("main/00001".into()));
    bench.until(60.0).await;
    assert_eq!(bench.calls(11.0, 60.0), [], "nobody is followed any more");
    bench.watch("main", 2);
    bench.until(70.0).await;
    assert_eq!(times(&bench.calls(60.0, 70.0)), [65.0]);
}

#[tokio::test(start_paused = true)]
async fn another_pace_counts_from_now_on() {
    let mut bench = Bench::new(2.0);
    bench.watch("main", 0);
    bench.until(6.0).await;
    bench.watcher.set_pace(Pace { poll_interval: Duration::from_secs(1), describe_rate: 0.5 });
    bench.until(12.0).await;
    assert_eq!(times(&bench.calls(0.0, 12.0)), [0.2, 5.2, 7.2, 9.2, 11.2], "the budget allows no more");
    bench.watcher.set_pace(Pace { poll_interval: Duration::from_secs(1), describe_rate: 10.0 });
    bench.until(15.0).await;
    assert_eq!(times(&bench.calls(12.0, 15.0)), [12.2, 13.2, 14.2]);
}

#[tokio::test(start_paused = true)]
async fn a_throttle_ends_the_sweep_and_doubles_the_pause_up_to_a_minute() {
    let mut bench = Bench::new(2.0);
    for nth in 0..300 {
        bench.watch("main", nth);
    }
    bench.watch("other", 0);
    bench.ecs.endings.lock().unwrap().extend([Ending::Throttled; 6]);
    let seen = bench.until(400.0).await;
    let calls = bench.calls(0.0, 400.0);
    let at = times(&calls);
    let pauses: Vec<f64> = at.windows(2).map(|two| two[1] - two[0]).collect();
    for (nth, most) in [10.0, 20.0, 40.0, 60.0, 60.0, 60.0].into_iter().enumerate() {
        assert!((most * 0.74..=most * 1.01).contains(&pauses[nth]), "pause {nth}: {pauses:?}");
    }
    // The first answer halves it, and so do those that follow, until the budget rules again.
    for (nth, expected) in [(6, 30.0), (7, 15.0), (8, 7.5), (9, 0.5)] {
        assert!((pauses[nth] - expected).abs() < 0.2, "pause {nth}: {pauses:?}");
    }
    let runs: BTreeSet<&RunId> = seen.iter().map(|(_, report)| &report.run).collect();
    assert_eq!(runs.len(), 301, "nobody is forgotten over it");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_made_again_and_slows_nobody() {
    let mut bench = Bench::new(2.0);
    for nth in 0..200 {
        bench.watch("main", nth);
    }
    bench.ecs.endings.lock().unwrap().push(Ending::Failed);
    let seen = bench.until(6.0).await;
    let calls = bench.calls(0.0, 6.0);
    assert_eq!(times(&calls)[..3], [0.2, 0.7, 5.2]);
    assert_eq!(calls[0].2, calls[2].2, "those that were not shown come first");
    let runs: BTreeSet<&RunId> = seen.iter().map(|(_, report)| &report.run).collect();
    assert_eq!(runs.len(), 200);
}

#[tokio::test(start_paused = true)]
async fn trouble_is_told_once_when_it_begins_and_once_when_all_is_seen_again() {
    let told = Told::default();
    let guard = tracing::subscriber::set_default(told.clone());
    let mut bench = Bench::new(2.0);
    for nth in 0..200 {
        bench.watch("main", nth);
    }
    bench.ecs.endings.lock().unwrap().extend([Ending::Failed, Ending::Failed, Ending::Throttled]);
    tokio::time::timeout(WITHIN, bench.until(60.0)).await.expect("it goes on");
    drop(guard);
    let expected = ["tasks could not be polled; their runs are unchanged", "tasks can be polled again"];
    assert_eq!(*told.0.lock().unwrap(), expected);
}

/// Keeps the messages of what is logged at info and above.
#[derive(Debug, Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Told {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::INFO && metadata.target().starts_with("tenacron")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Message(String);
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push(message.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
