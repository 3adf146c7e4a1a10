//! A start on an empty store: what is taken in, how long it may take, and what is left behind when it is cut short.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::watch;
use tokio::time::Instant;

use super::super::{Mailbox, Settings};
use super::*;
use crate::daemon::DaemonError;
use crate::daemon::tests::until;
use crate::ecs::Described;
use crate::engine::call_fault::CallFault;
use crate::engine::job::{Instance, Job, Site};
use crate::engine::launch::{Launch, LaunchRequest};
use crate::engine::retention::Retention;
use crate::engine::run::{Firing, Run, RunId, Status, Trigger};
use crate::engine::samples;
use crate::engine::task::{LaunchAnswer, SearchAnswer, TaskArn, TaskFacts, TaskTimes};
use crate::store::memory::MemoryStore;
use crate::store::{Batch, RunQuery};

/// How the cluster answers when it is asked for its live tasks.
#[derive(Debug, Clone)]
enum Mood {
    /// At once, with these pages.
    Pages(Vec<LivePage>),
    /// Refuses so often, then answers with an empty page.
    Refuses(u32),
    /// Never.
    Silent,
}

/// An ECS whose tasks all run.
#[derive(Debug, Clone)]
struct Cluster {
    mood: Mood,
    asked: Arc<AtomicU32>,
}

impl Cluster {
    fn new(mood: Mood) -> Cluster {
        Cluster { mood, asked: Arc::default() }
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Ecs for Cluster {
    async fn run_task(&self, _request: &LaunchRequest) -> LaunchAnswer {
        panic!("nothing is due")
    }

    async fn find_tasks(&self, _request: &LaunchRequest) -> SearchAnswer {
        panic!("nothing is looked up")
    }

    async fn describe_tasks(&self, _site: &Site, tasks: &[TaskArn]) -> Result<Described, CallError> {
        let facts = tasks.iter().map(|task| TaskFacts {
            task: task.clone(),
            last_status: "RUNNING".into(),
            stop_code: None,
            stopped_reason: None,
            times: TaskTimes::default(),
            described: None,
            containers: Vec::new(),
        });
        Ok(Described { facts: facts.collect(), missing: Vec::new(), unjudged: Vec::new() })
    }

    async fn live_tasks(&self, _site: &Site, page: Option<&str>) -> Result<LivePage, CallError> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        match &self.mood {
            Mood::Pages(pages) => {
                let nth = page.map_or(0, |page| page.parse().unwrap());
                let next = (nth + 1 < pages.len()).then(|| (nth + 1).to_string());
                Ok(LivePage { next, ..pages[nth].clone() })
            }
            Mood::Refuses(times) if asked < *times => Err(CallError {
                fault: CallFault::Denied,
                message: "ListTasks was refused: AccessDeniedException".into(),
            }),
            Mood::Refuses(_) => Ok(LivePage::default()),
            Mood::Silent => std::future::pending().await,
        }
    }

    async fn stop_task(&self, _site: &Site, _task: &TaskArn, _reason: &str) -> Result<(), CallError> {
        panic!("nothing is stopped")
    }
}

fn job() -> Job {
    samples::job("0 0 29 2 *")
}

fn instance() -> Instance {
    Instance::new("test").unwrap()
}

/// A page with the task of the run of an instant so many minutes ago.
fn page_with(minutes: i64) -> (LivePage, RunId) {
    let (job, scheduled_at) = (job(), clock::now() - chrono::TimeDelta::minutes(minutes));
    let firing = Firing::of_schedule(&job.name, scheduled_at, Trigger::Schedule);
    let (run, _) = Run::due(firing, instance(), job.definition, scheduled_at);
    let request = Launch::freeze(&run, 1, scheduled_at).request;
    let found = FoundTask {
        task: TaskArn(format!("task/{minutes}")),
        site: request.task.site(),
        started_by: request.started_by.clone(),
        created_at: Some(scheduled_at),
        tags: request.task.tags.clone(),
        environment: BTreeMap::new(),
    };
    (LivePage { listed: 7, unseen: 0, found: vec![found], next: None }, run.id)
}

async fn start(store: &MemoryStore, ecs: &Cluster) -> (Daemon<MemoryStore, Cluster>, Mailbox) {
    let settings = Settings {
        instance: instance(),
        jobs: vec![Arc::new(job())],
        launch_rate: 20.0,
        launch_burst: 20,
        poll_interval: Duration::from_secs(1),
        describe_rate: 20.0,
        max_running: None,
        groups: BTreeMap::new(),
        event_queues: Vec::new(),
        outlets: watch::channel(Arc::default()).1,
        retention: watch::channel(Retention::default()).1,
    };
    Daemon::start(settings, store.clone(), ecs.clone()).await.unwrap()
}

/// Runs a daemon until its loop has turned, stops it, and says how long the turn was in coming.
async fn turned_after(store: &MemoryStore, ecs: &Cluster) -> Duration {
    let (daemon, mailbox) = start(store, ecs).await;
    let (stop, begun) = (CancellationToken::new(), Instant::now());
    let running = tokio::spawn(daemon.run(stop.clone()));
    until(async || mailbox.health().turned_at.is_some()).await;
    let after = begun.elapsed();
    stop.cancel();
    running.await.unwrap().unwrap();
    after
}

async fn rows(store: &MemoryStore) -> Vec<(RunId, Status)> {
    let runs = store.runs(RunQuery { limit: 10, ..RunQuery::default() }).await.unwrap();
    runs.into_iter().map(|run| (run.run, run.status)).collect()
}

#[tokio::test(start_paused = true)]
async fn tasks_of_a_lost_state_are_runs_again_and_the_next_start_does_not_look() {
    let ((first, older), (second, newer)) = (page_with(9), page_with(3));
    let (store, ecs) = (MemoryStore::new(), Cluster::new(Mood::Pages(vec![first, second])));
    let after = turned_after(&store, &ecs).await;
    assert!(after < ASK_AGAIN, "{after:?}");
    assert_eq!(rows(&store).await, [(newer.clone(), Status::Running), (older.clone(), Status::Running)]);
    assert_eq!(ecs.asked(), 2);
    turned_after(&store, &ecs).await;
    assert_eq!((ecs.asked(), rows(&store).await.len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_asked_again() {
    let (store, ecs) = (MemoryStore::new(), Cluster::new(Mood::Refuses(3)));
    let after = turned_after(&store, &ecs).await;
    assert!(after >= ASK_AGAIN * 3 && after < ASK_AGAIN * 4, "{after:?}");
    assert_eq!(ecs.asked(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_ecs_that_refuses_or_is_silent_keeps_the_daemon_no_longer_than_the_bound() {
    for mood in [Mood::Refuses(u32::MAX), Mood::Silent] {
        let (store, ecs) = (MemoryStore::new(), Cluster::new(mood.clone()));
        let after = turned_after(&store, &ecs).await;
        assert!(after >= LOOK_WITHIN && after < LOOK_WITHIN + ASK_AGAIN, "{mood:?}: {after:?}");
        assert!(ecs.asked() <= 11, "{mood:?}: asked {} times", ecs.asked());
    }
}

#[tokio::test(start_paused = true)]
async fn pages_without_end_are_given_up_and_what_was_found_is_kept() {
    let (page, run) = page_with(9);
    let endless = LivePage { found: Vec::new(), ..page.clone() };
    let pages = [page].into_iter().chain((0..PAGES_MAX).map(|_| endless.clone()));
    let (store, ecs) = (MemoryStore::new(), Cluster::new(Mood::Pages(pages.collect())));
    turned_after(&store, &ecs).await;
    assert_eq!(ecs.asked(), u32::try_from(PAGES_MAX).unwrap());
    assert_eq!(rows(&store).await, [(run, Status::Running)]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_look_at_once_and_leaves_the_store_as_empty_as_it_was() {
    let (store, ecs) = (MemoryStore::new(), Cluster::new(Mood::Silent));
    let (daemon, mailbox) = start(&store, &ecs).await;
    let (stop, begun) = (CancellationToken::new(), Instant::now());
    let running = tokio::spawn(daemon.run(stop.clone()));
    assert_eq!(mailbox.jobs().await.map(|jobs| jobs.len()), Some(1), "who asks meanwhile is answered");
    stop.cancel();
    let ended: Result<(), DaemonError> = running.await.unwrap();
    assert!(ended.is_ok() && begun.elapsed() < Duration::from_millis(100), "{ended:?}");
    assert_eq!(store.load().await.unwrap().last_commit_at, None, "the next start looks");
}

#[tokio::test(start_paused = true)]
async fn a_death_before_the_first_commit_looks_again_and_doubles_nothing() {
    let (page, run) = page_with(9);
    let (store, ecs) = (MemoryStore::new(), Cluster::new(Mood::Pages(vec![page])));
    store.fail_next_commits(u32::MAX);
    let (daemon, mailbox) = start(&store, &ecs).await;
    let dying = tokio::spawn(daemon.run(CancellationToken::new()));
    until(async || mailbox.health().store_error.is_some()).await;
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());
    store.fail_next_commits(0);
    turned_after(&store, &ecs).await;
    assert_eq!((ecs.asked(), rows(&store).await), (2, vec![(run, Status::Running)]));
}

#[tokio::test(start_paused = true)]
async fn a_store_with_any_commit_is_not_asked_about() {
    let (store, ecs) = (MemoryStore::new(), Cluster::new(Mood::Silent));
    store.commit(Batch::empty(store.term(), clock::now())).await.unwrap();
    turned_after(&store, &ecs).await;
    assert_eq!(ecs.asked(), 0);
}
