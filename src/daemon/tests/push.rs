//! Task events that pollers are told of, and the fetching of log tails.

use std::sync::Mutex;

use super::*;
use crate::daemon::driver::Report;
use crate::daemon::events::Followed;
use crate::daemon::log_tail::{Fetcher, WAITING_MAX};
use crate::ecs::TaskEvent;
use crate::engine::log_tail::{LogTail, Wanted};
use crate::engine::run::Event;
use crate::engine::task::TaskFacts;
use crate::store::memory::MemoryStore;
use crate::store::{Batch, RunSave, Store as _};

/// Between two sweeps: no test of this file gets to the second one.
const FAR: Duration = Duration::from_secs(3_600);

/// An ECS that shows each task in this status, or not at all, and whose logs are as `Logs` says.
#[derive(Debug, Clone, Default)]
struct Told {
    status: Arc<Mutex<Option<&'static str>>>,
    logs: Logs,
}

#[derive(Debug, Clone, Default)]
enum Logs {
    #[default]
    Lines,
    Silent,
    Panics,
}

impl Ecs for Told {
    async fn run_task(&self, _request: &LaunchRequest) -> LaunchAnswer {
        no_connection()
    }

    async fn find_tasks(&self, _request: &LaunchRequest) -> SearchAnswer {
        std::future::pending().await
    }

    async fn describe_tasks(&self, _site: &Site, tasks: &[TaskArn]) -> Result<Described, CallError> {
        Ok(match *self.status.lock().unwrap() {
            None => Described { facts: Vec::new(), missing: tasks.to_vec(), unjudged: Vec::new() },
            Some(status) => Described {
                facts: tasks.iter().map(|task| facts(task, status)).collect(),
                missing: vec![],
                unjudged: vec![],
            },
        })
    }

    async fn log_tail(&self, wanted: &Wanted) -> Vec<LogTail> {
        match self.logs {
            Logs::Lines => {
                wanted.containers.iter().map(|name| LogTail { lines: vec!["line".into()], ..of(name) }).collect()
            }
            Logs::Silent => std::future::pending().await,
            Logs::Panics => panic!("on purpose"),
        }
    }

    async fn live_tasks(&self, _site: &Site, _page: Option<&str>) -> Result<LivePage, CallError> {
        Ok(LivePage::default())
    }

    async fn stop_task(&self, _site: &Site, _task: &TaskArn, _reason: &str) -> Result<(), CallError> {
        std::future::pending().await
    }
}

fn of(container: &str) -> LogTail {
    LogTail { container: container.into(), lines: Vec::new(), note: None, stream: None }
}

fn facts(task: &TaskArn, status: &str) -> TaskFacts {
    TaskFacts { task: task.clone(), last_status: status.into(), ..TaskFacts::default() }
}

fn task(nth: usize) -> TaskArn {
    TaskArn(format!("task/{nth}"))
}

fn event(version: i64, status: &str) -> TaskEvent {
    TaskEvent { version, facts: facts(&task(1), status), task_definition: None }
}

/// A watcher of one task, and what is reported.
struct Scene {
    ecs: Told,
    followed: Followed,
    watcher: Watcher<Told>,
    reports: mpsc::Receiver<Vec<Report>>,
}

impl Scene {
    fn new(queues: usize, status: Option<&'static str>) -> Scene {
        let ecs = Told { status: Arc::new(Mutex::new(status)), ..Told::default() };
        let (sender, reports) = mpsc::channel(64);
        let pace = Pace { poll_interval: FAR, describe_rate: 2.0 };
        let mut watcher =
            Watcher::new(ecs.clone(), pace, sender, TaskTracker::new(), CancellationToken::new(), metrics());
        let followed = watcher.followed();
        followed.await_queues(queues);
        watcher.watch(samples::definition().task.site(), task(1), RunId::from_text("run"), None);
        Scene { ecs, followed, watcher, reports }
    }

    async fn next(&mut self) -> Vec<Event> {
        let reports = tokio::time::timeout(WITHIN, self.reports.recv()).await.expect("a report").expect("a watcher");
        reports.into_iter().map(|report| report.event).collect()
    }

    fn show(&self, status: Option<&'static str>) {
        *self.ecs.status.lock().unwrap() = status;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_makes_its_task_be_looked_at_and_the_look_is_what_counts() {
    let mut scene = Scene::new(0, Some("RUNNING"));
    assert_eq!(scene.next().await, [Event::Observed(facts(&task(1), "RUNNING"))]);
    assert!(scene.followed.tell(event(4, "STOPPED")));
    assert_eq!(scene.next().await, [Event::Observed(facts(&task(1), "RUNNING"))], "ECS knows better");
    for (version, what) in [(4, "the same event"), (3, "an older one")] {
        assert!(scene.followed.tell(event(version, "STOPPED")), "{what} is of a task that is followed");
    }
    scene.show(Some("STOPPED"));
    assert!(scene.followed.tell(event(5, "RUNNING")));
    assert_eq!(scene.next().await, [Event::Observed(facts(&task(1), "STOPPED"))]);
    assert!(scene.reports.try_recv().is_err(), "old events made nobody look");
    scene.watcher.unwatch(samples::definition().task.site(), task(1));
    assert!(!scene.followed.tell(event(6, "STOPPED")), "nobody follows it any more");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ecs_has_forgotten_is_as_its_event_said() {
    let mut scene = Scene::new(0, None);
    assert_eq!(scene.next().await, [Event::Missing(task(1))]);
    assert!(scene.followed.tell(event(2, "RUNNING")));
    assert_eq!(scene.next().await, [Event::Missing(task(1))], "that it ran does not say how it ended");
    assert!(scene.followed.tell(event(3, "STOPPED")));
    assert_eq!(scene.next().await, [Event::Observed(facts(&task(1), "STOPPED"))]);
}

#[tokio::test(start_paused = true)]
async fn no_task_is_missing_before_the_queue_was_read() {
    let mut scene = Scene::new(1, None);
    assert_eq!(scene.next().await, [], "its end may be in the queue");
    assert!(!scene.followed.is_read());
    assert!(scene.followed.tell(event(3, "STOPPED")));
    assert_eq!(scene.next().await, [Event::Observed(facts(&task(1), "STOPPED"))], "and here it is");
}

/// A store with a run, and what is wanted of as many of its attempts.
async fn ordered(logs: Logs, attempts: u32) -> (MemoryStore, RunId) {
    let store = MemoryStore::new();
    let (job, now) = (samples::job("@daily"), clock::now());
    let firing = Firing::of_schedule(&job.name, now, Trigger::Schedule);
    let (run, entries) = Run::due(firing, Instance::new("test").unwrap(), job.definition, now);
    let id = run.id.clone();
    let runs = vec![RunSave { run, is_new: true, attempts_from: 0, entries }];
    store.commit(Batch { runs, ..Batch::empty(store.term(), now) }).await.unwrap();
    let (orders, fetcher) = Fetcher::new(store.clone(), Told { logs, ..Told::default() });
    for attempt in 1..=attempts {
        let wanted = Wanted {
            run: id.clone(),
            attempt,
            site: samples::definition().task.site(),
            task: task(1),
            task_definition: "nightly".into(),
            containers: vec!["app".into(), "log".into()],
            lines: 20,
        };
        orders.send(wanted).unwrap();
    }
    drop(orders);
    tokio::time::timeout(WITHIN, fetcher.run()).await.expect("it ends with those who order");
    (store, id)
}

async fn kept(logs: Logs) -> Vec<LogTail> {
    let (store, run) = ordered(logs, 1).await;
    store.story(run).await.unwrap().unwrap().log_tails.remove(&1).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_log_tail_is_kept_with_its_attempt_or_why_there_is_none() {
    let lines = |name: &str| LogTail { lines: vec!["line".into()], ..of(name) };
    assert_eq!(kept(Logs::Lines).await, ["app", "log"].map(lines));
    let late = |name: &str| LogTail::without_lines(name, "they did not come within 5 seconds");
    assert_eq!(kept(Logs::Silent).await, ["app", "log"].map(late));
    let aborted = |name: &str| LogTail::without_lines(name, "the call was aborted");
    assert_eq!(kept(Logs::Panics).await, ["app", "log"].map(aborted));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_attempts_wait_for_their_log_tails() {
    let many = u32::try_from(WAITING_MAX).unwrap() + 40;
    let (store, run) = ordered(Logs::Lines, many).await;
    let tails = store.story(run).await.unwrap().unwrap().log_tails;
    assert_eq!(tails.len(), WAITING_MAX + 40);
    let fetched = tails.values().filter(|tails| tails[0].lines == ["line"]).count();
    assert_eq!(fetched, WAITING_MAX);
    let refused = &tails[&many][0];
    assert_eq!(refused.note.as_deref(), Some("too many other attempts failed at the same time"));
}
