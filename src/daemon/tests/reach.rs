//! Whether ECS answers: what calls say of it, when an idle daemon asks, and what makes it ready.

use std::sync::Mutex;

use chrono::TimeDelta;

use super::*;
use crate::daemon::counted::Counted;
use crate::daemon::reach::Reach;
use crate::daemon::{Daemon, Health, Mailbox, SiteHealth};
use crate::engine::call_fault::CallFault;
use crate::store::memory::MemoryStore;
use crate::store::{Batch, Store as _};

/// An ECS that does nothing but answer a knock, as it is told to.
#[derive(Debug, Clone, Default)]
struct Door {
    knocks: Arc<AtomicU32>,
    fault: Arc<Mutex<Option<CallFault>>>,
}

impl Ecs for Door {
    async fn run_task(&self, _request: &LaunchRequest) -> LaunchAnswer {
        no_connection()
    }

    async fn find_tasks(&self, _request: &LaunchRequest) -> SearchAnswer {
        SearchAnswer::Nothing
    }

    async fn describe_tasks(&self, _site: &Site, _tasks: &[TaskArn]) -> Result<Described, CallError> {
        Ok(Described::default())
    }

    async fn live_tasks(&self, _site: &Site, _page: Option<&str>) -> Result<LivePage, CallError> {
        self.answer().map(|()| LivePage::default())
    }

    async fn knock(&self, _site: &Site) -> Result<(), CallError> {
        self.knocks.fetch_add(1, Ordering::SeqCst);
        self.answer()
    }

    async fn stop_task(&self, _site: &Site, _task: &TaskArn, _reason: &str) -> Result<(), CallError> {
        Ok(())
    }
}

impl Door {
    fn answer(&self) -> Result<(), CallError> {
        match *self.fault.lock().unwrap() {
            Some(fault) => Err(CallError { fault, message: format!("it was {}", fault.as_str()) }),
            None => Ok(()),
        }
    }

    fn set(&self, fault: Option<CallFault>) {
        *self.fault.lock().unwrap() = fault;
    }
}

/// A daemon that is used, so that it does not look for the tasks of an earlier state first.
async fn used_store() -> MemoryStore {
    let store = MemoryStore::new();
    store.commit(Batch::empty(store.term(), clock::now())).await.unwrap();
    store
}

async fn reason(mailbox: &Mailbox, expected: Option<&str>) {
    // Only this part of it: the loop's own turns are on the real clock.
    let reason = || mailbox.health().ecs.iter().find_map(|site| site.trouble(clock::now()));
    let is_so = async || reason().as_deref() == expected;
    let waited = tokio::time::timeout(WITHIN, until(is_so)).await;
    assert!(waited.is_ok(), "{expected:?} did not come; it is {:?}", reason());
}

#[tokio::test(start_paused = true)]
async fn an_idle_daemon_asks_and_is_ready_once_ecs_has_answered() {
    let door = Door::default();
    door.set(Some(CallFault::Denied));
    let (daemon, mailbox) = Daemon::start(settings(), used_store().await, door.clone()).await.unwrap();
    let not_yet = "ECS has not answered yet for cluster main";
    assert_eq!(mailbox.health().ecs[0].trouble(clock::now()).as_deref(), Some(not_yet));
    let stop = CancellationToken::new();
    let running = tokio::spawn(daemon.run(stop.clone()));
    reason(&mailbox, Some("ECS does not answer for cluster main: it was denied")).await;
    assert!(mailbox.health().unready(clock::now()).is_some());
    door.set(Some(CallFault::Throttled));
    reason(&mailbox, None).await;
    assert_eq!(mailbox.health().unready(clock::now()), None, "a call that is throttled is answered");
    let answered = mailbox.metrics().clone();
    let mut page = String::new();
    answered.encode(&mut page).unwrap();
    assert!(page.contains("tenacron_ecs_calls_total{operation=\"ListTasks\",error=\"throttled\"} 1\n"), "{page}");
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_has_answered_is_left_in_peace_for_a_minute() {
    let (door, reach) = (Door::default(), Reach::default());
    let site = samples::definition().task.site();
    reach.set([site.clone()].into());
    let ecs = Counted::new(door.clone(), metrics(), reach.clone());
    let knocking = tokio::spawn(reach.clone().knock(ecs.clone()));
    until(async || door.knocks.load(Ordering::SeqCst) == 1).await;
    // A reload that brings no new cluster asks nobody.
    reach.set([site.clone()].into());
    tokio::time::advance(Duration::from_secs(50)).await;
    assert_eq!(door.knocks.load(Ordering::SeqCst), 1);
    let other = Site { cluster: "other".into(), ..site.clone() };
    reach.set([other.clone()].into());
    until(async || door.knocks.load(Ordering::SeqCst) == 2).await;
    let clusters: Vec<String> = reach.health().into_iter().map(|site| site.cluster).collect();
    assert_eq!(clusters, ["other"], "what the configuration no longer names is forgotten");
    ecs.knock(&site).await.unwrap();
    assert_eq!(reach.health().len(), 1, "and stays so");
    knocking.abort();
}

#[test]
fn what_failed_of_late_is_forgiven_while_an_answer_is_recent() {
    let now = clock::now();
    let site = |seconds: Option<i64>, error: Option<&str>| SiteHealth {
        target: Some("audit".into()),
        cluster: "main".into(),
        answered_at: seconds.map(|seconds| now - TimeDelta::seconds(seconds)),
        error: error.map(Into::into),
    };
    assert_eq!(site(Some(180), Some("no route")).trouble(now), None);
    let told = site(Some(181), Some("no route")).trouble(now);
    assert_eq!(told.as_deref(), Some("ECS does not answer for cluster main of target audit: no route"));
    assert!(site(None, Some("no route")).trouble(now).is_some());
    assert!(site(None, None).trouble(now).is_some());
    assert_eq!(site(Some(9_999), None).trouble(now), None, "nobody has asked since, and nothing failed");
}

#[test]
fn a_daemon_is_ready_only_if_loop_store_and_ecs_are_well() {
    let now = clock::now();
    let well = || Health { began_at: Some(now), turned_at: Some(now), ..Health::default() };
    assert_eq!(well().unready(now), None);
    let still = Health { turned_at: Some(now - TimeDelta::seconds(16)), ..well() };
    assert_eq!(still.unready(now).as_deref(), Some("the daemon's loop stands still"));
    let full = Health { store_error: Some("disk full".into()), ..well() };
    assert_eq!(full.unready(now).as_deref(), Some("the state can't be saved: disk full"));
}
