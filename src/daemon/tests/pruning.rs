//! What is kept no longer is deleted beside the loop: when, by which rules, and not while nothing can be saved.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Frail, metrics, settings};
use crate::daemon::mailbox::Pulse;
use crate::daemon::pruner::Pruner;
use crate::daemon::reach::Reach;
use crate::daemon::{Daemon, changes, clock, mailbox};
use crate::engine::job::Instance;
use crate::engine::retention::Retention;
use crate::engine::run::{Firing, Outcome, Run, Trigger};
use crate::engine::samples;
use crate::store::memory::MemoryStore;
use crate::store::{Batch, RunQuery, RunSave, Store as _};

/// A missed instant of each of the last `days` days.
async fn history(days: i64) -> MemoryStore {
    let store = MemoryStore::new();
    let (job, now) = (samples::job("@daily"), clock::now());
    let missed = |at: DateTime<Utc>| {
        let firing = Firing::of_schedule(&job.name, at, Trigger::Schedule);
        let outcome = Outcome::Missed { reason: "away".into(), covers: None };
        let instance = Instance::new("test").unwrap();
        let (run, entries) = Run::not_started(firing, instance, Arc::clone(&job.definition), outcome, at);
        RunSave { run, is_new: true, attempts_from: 0, entries }
    };
    let runs = (0..days).rev().map(|days| missed(now - TimeDelta::days(days) - TimeDelta::hours(1))).collect();
    store.commit(Batch { runs, ..Batch::empty(store.term(), now) }).await.unwrap();
    store
}

async fn rows(store: &MemoryStore) -> usize {
    let query = RunQuery { limit: usize::MAX, ..RunQuery::default() };
    store.runs(query).await.unwrap().into_iter().filter(|run| run.cause.as_deref() == Some("away")).count()
}

fn pulse() -> Arc<Pulse> {
    let gallery = changes::open(Instance::new("test").unwrap()).1;
    mailbox::open(Reach::default(), metrics(), gallery).2
}

/// So many seconds of the paused clock later.
async fn after(seconds: u64) {
    tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(seconds)).await;
}

fn days(days: u64) -> Retention {
    Retention { max_age: Some(Duration::from_secs(days * 86_400)), max_runs: None }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_deletes_what_is_too_old_soon_after_its_start_and_by_new_rules_later() {
    let store = history(500).await;
    let (rules, followed) = watch::channel(Retention::default());
    let settings = crate::daemon::Settings { retention: followed, ..settings() };
    let (daemon, _mailbox) = Daemon::start(settings, store.clone(), Frail::default()).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(daemon.run(stop.clone()));
    after(70).await;
    assert_eq!(rows(&store).await, 400);
    rules.send_replace(days(30));
    after(3_610).await;
    assert_eq!(rows(&store).await, 30);
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn while_nothing_can_be_saved_nothing_is_deleted() {
    let store = history(500).await;
    let pulse = pulse();
    let rules = watch::channel(days(30)).1;
    let pruner = Pruner { store: store.clone(), rules, pulse: Arc::clone(&pulse) };
    pulse.store_fails(clock::now(), "full".into());
    let pruning = tokio::spawn(pruner.run());
    after(3 * 3_600).await;
    assert_eq!(rows(&store).await, 500);
    pulse.store_works();
    after(3_700).await;
    assert_eq!(rows(&store).await, 30);
    pruning.abort();
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_fails_is_followed_by_the_next() {
    let store = history(500).await;
    let pulse = pulse();
    let rules = watch::channel(days(30)).1;
    let newer = store.begin_term();
    let pruning = tokio::spawn(Pruner { store, rules, pulse }.run());
    after(3 * 3_600).await;
    assert!(!pruning.is_finished(), "a later term has begun, which the loop finds out");
    assert_eq!(rows(&newer).await, 500);
    pruning.abort();
}
