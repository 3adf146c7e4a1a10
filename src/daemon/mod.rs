//! The daemon: one loop that asks the driver, saves, performs, and waits.
//!
//! ```text
//! reports ─┐                 ┌─ not saved: nothing is performed, try again
//! time ────┼→ driver.turn → store.commit → driver.acts → perform ─→ ECS
//! requests ┘                                               │
//!    └───────────────── reports ←──────────────────────────┘
//! ```
//!
//! The driver decides by asking `engine/`; this loop reads the clock, waits for durability and hands out work. While the
//! store fails, nothing is performed: what was decided waits, pollers keep looking, letters are answered, and the daemon
//! says that it is not ready. A stop leaves tasks in ECS running: the next start picks them up from the store.

mod act;
pub mod clock;
pub mod driver;
mod lost_state;
mod mailbox;
mod perform;
#[cfg(test)]
mod tests;
mod tracked;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::driver::{Driver, Report};
pub use self::mailbox::{Health, Mailbox};
use self::mailbox::{Letter, Pulse};
use self::perform::Performer;
use self::watch::Watcher;
use crate::ecs::Ecs;
use crate::engine::bucket::Bucket;
use crate::engine::job::{Instance, Job};
use crate::engine::run::{RunId, in_words};
use crate::observe;
use crate::store::{Batch, Store, StoreError};

/// How many bundles of reports may wait for the loop.
const REPORTS_MAX: usize = 1_024;
/// How many bundles one turn takes: all of them become one commit.
const REPORTS_A_TURN: usize = 1_024;
/// How often an idle daemon writes that it is alive, so that an absence has a beginning.
const HEARTBEAT: TimeDelta = TimeDelta::seconds(60);
/// The pauses between tries to save while the store fails.
const COMMIT_PAUSE_MIN: Duration = Duration::from_millis(200);
const COMMIT_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a stop waits for calls that are under way, so that their answers are on record.
const LEAVE_WITHIN: Duration = Duration::from_millis(900);

/// What the daemon runs on.
#[derive(Debug)]
pub struct Settings {
    /// The name of this installation.
    pub instance: Instance,
    /// The jobs.
    pub jobs: Vec<Arc<Job>>,
    /// RunTask calls a second.
    pub launch_rate: f64,
    /// RunTask calls at once.
    pub launch_burst: u32,
    /// The pause between two looks at the same task.
    pub poll_interval: Duration,
}

/// Why the daemon ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// What was in flight could not be read.
    #[error("failed to read what is in flight")]
    Load(#[source] StoreError),
    /// Another daemon took over.
    #[error("failed to go on")]
    Deposed(#[source] StoreError),
    /// What is in memory does not continue what is stored, or the store is closed; a restart begins from what is stored.
    #[error("failed to go on")]
    Inconsistent(#[source] StoreError),
    /// The daemon was told to stop while its store failed: the newest decisions were neither saved nor performed.
    #[error("stopped while the state could not be saved")]
    StoppedUnsaved(#[source] StoreError),
}

/// A daemon that is about to run.
#[derive(Debug)]
pub struct Daemon<S, E> {
    store: S,
    driver: Driver,
    performer: Performer<E>,
    reports: mpsc::Receiver<Vec<Report>>,
    letters: mpsc::Receiver<Letter>,
    pulse: Arc<Pulse>,
    tracker: TaskTracker,
    pollers: CancellationToken,
    committed_at: DateTime<Utc>,
    /// On an empty store: whom to ask for tasks of one that is gone.
    looks_first: Option<E>,
}

impl<S: Store, E: Ecs> Daemon<S, E> {
    /// Loads what is in flight. Nothing fires before [`Daemon::run`].
    ///
    /// # Errors
    /// The store could not be read.
    pub async fn start(settings: Settings, store: S, ecs: E) -> Result<(Daemon<S, E>, Mailbox), DaemonError> {
        let loaded = store.load().await.map_err(DaemonError::Load)?;
        let now = clock::now();
        tracing::info!(
            jobs = settings.jobs.len(),
            in_flight = loaded.runs.len(),
            last_seen = loaded.last_commit_at.map(in_words),
            "state loaded"
        );
        let looks_first = loaded.last_commit_at.is_none().then(|| ecs.clone());
        let bucket = Bucket::new(settings.launch_rate, settings.launch_burst, now);
        let driver = Driver::new(settings.instance, store.term(), settings.jobs, bucket, loaded, now);
        let (sender, reports) = mpsc::channel(REPORTS_MAX);
        let (mailbox, letters, pulse) = mailbox::open();
        let (tracker, pollers) = (TaskTracker::new(), CancellationToken::new());
        let watcher =
            Watcher::new(ecs.clone(), settings.poll_interval, sender.clone(), tracker.clone(), pollers.clone());
        let performer = Performer::new(ecs, watcher, sender, tracker.clone());
        let committed_at = now;
        let daemon =
            Daemon { store, driver, performer, reports, letters, pulse, tracker, pollers, committed_at, looks_first };
        Ok((daemon, mailbox))
    }

    /// Runs until `stop`, then lets calls under way be answered and returns.
    ///
    /// # Errors
    /// Another daemon took over, or the last decisions could not be saved.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), DaemonError> {
        if let Some(ecs) = self.looks_first.take()
            && !self.find_lost_tasks(ecs, &stop).await
        {
            tracing::info!("stopping before anything was begun");
            return Ok(());
        }
        let mut arrived = Vec::new();
        while !stop.is_cancelled() {
            self.turn(std::mem::take(&mut arrived), false, &stop).await?;
            let next = self.driver.next_turn_at();
            tokio::select! {
                () = stop.cancelled() => {}
                Some(first) = self.reports.recv() => arrived = self.drain(first),
                Some(letter) = self.letters.recv() => letter.answer(&self.driver),
                () = clock::nap_until(next) => {}
            }
        }
        self.leave(arrived, &stop).await
    }

    /// Everything that has been reported by now: all of it is one turn and one commit.
    fn drain(&mut self, mut reports: Vec<Report>) -> Vec<Report> {
        for _ in 1..REPORTS_A_TURN {
            match self.reports.try_recv() {
                Ok(more) => reports.extend(more),
                Err(_) => break,
            }
        }
        reports
    }

    async fn turn(
        &mut self,
        arrived: Vec<Report>,
        is_leaving: bool,
        stop: &CancellationToken,
    ) -> Result<(), DaemonError> {
        let now = clock::now();
        let batch = self.driver.turn(arrived, now, is_leaving).or_else(|| {
            // Also on a clock that was set back: else an absence would seem to begin in the future.
            let is_quiet = (now - self.committed_at).abs() >= HEARTBEAT;
            is_quiet.then(|| self.driver.heartbeat(now))
        });
        if let Some(batch) = batch {
            let duplicates = self.commit(&batch, stop).await?;
            self.committed_at = now;
            self.driver.forget(&duplicates, now);
            for save in batch.runs.iter().filter(|save| !duplicates.contains(&save.run.id)) {
                observe::transition(save);
            }
        }
        for act in self.driver.acts(clock::now()) {
            self.performer.perform(act);
        }
        self.pulse.turned(now, self.driver.living_runs());
        Ok(())
    }

    /// Saves a batch, however long it takes: nothing is performed before. Who asks meanwhile is answered.
    async fn commit(&mut self, batch: &Batch, stop: &CancellationToken) -> Result<BTreeSet<RunId>, DaemonError> {
        let mut pause = COMMIT_PAUSE_MIN;
        loop {
            match self.store.commit(batch.clone()).await {
                Ok(duplicates) => {
                    if self.pulse.store_works() {
                        tracing::info!("state can be saved again");
                    }
                    return Ok(duplicates);
                }
                Err(error @ StoreError::Deposed { .. }) => return Err(DaemonError::Deposed(error)),
                Err(error @ (StoreError::Inconsistent { .. } | StoreError::Closed)) => {
                    return Err(DaemonError::Inconsistent(error));
                }
                Err(error) => {
                    let told = observe::chain(&error);
                    tracing::error!(error = told, "state could not be saved; nothing is launched until it can");
                    self.pulse.store_fails(clock::now(), told);
                    if !self.pause(pause, stop).await {
                        return Err(DaemonError::StoppedUnsaved(error));
                    }
                    pause = (pause * 2).min(COMMIT_PAUSE_MAX);
                }
            }
        }
    }

    /// Waits and answers letters. False if the daemon is told to stop.
    async fn pause(&mut self, pause: Duration, stop: &CancellationToken) -> bool {
        let over = tokio::time::sleep(pause);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = stop.cancelled() => return false,
                () = &mut over => return true,
                Some(letter) = self.letters.recv() => letter.answer(&self.driver),
            }
        }
    }

    /// Begins nothing new, waits a moment for answers under way and records them.
    async fn leave(mut self, arrived: Vec<Report>, stop: &CancellationToken) -> Result<(), DaemonError> {
        tracing::info!(living_runs = self.driver.living_runs(), "stopping; runs in flight go on at the next start");
        self.pollers.cancel();
        let give_up = tokio::time::sleep(LEAVE_WITHIN);
        tokio::pin!(give_up);
        self.turn(arrived, true, stop).await?;
        while self.driver.calls_under_way() > 0 {
            tokio::select! {
                () = &mut give_up => break,
                Some(first) = self.reports.recv() => {
                    let reports = self.drain(first);
                    self.turn(reports, true, stop).await?;
                }
            }
        }
        let last = self.driver.heartbeat(clock::now());
        self.commit(&last, stop).await?;
        self.tracker.close();
        Ok(())
    }
}
