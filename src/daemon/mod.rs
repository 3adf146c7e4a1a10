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
//! says that it is not ready. A fault that no waiting mends ends it. A stop leaves tasks in ECS running: the next start
//! picks them up from the store.

mod act;
mod changes;
pub mod clock;
mod counted;
pub mod driver;
mod error;
mod events;
mod heartbeat;
mod inbox;
mod lag;
mod log_tail;
mod lost_state;
mod mailbox;
mod notices;
mod perform;
mod pruner;
mod reach;
#[cfg(test)]
mod tests;
mod tracked;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch::Receiver;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::changes::Changes;
pub use self::changes::{Change, Watching, What};
use self::counted::Counted;
use self::driver::{Done, Driver, Pace, Report, Setup};
pub use self::error::DaemonError;
use self::events::Listener;
use self::inbox::Inbox;
use self::lag::Lag;
use self::log_tail::Fetcher;
pub use self::mailbox::{Health, Mailbox, NextFiring, ReloadState};
use self::mailbox::{Letter, Pulse, Tray};
use self::notices::Courier;
use self::perform::Performer;
use self::pruner::Pruner;
use self::reach::Reach;
pub use self::reach::SiteHealth;
use self::watch::Watcher;
use crate::ecs::{Ecs, EventQueue};
use crate::engine::job::{Instance, Job, JobName};
use crate::engine::log_tail::{Wanted, wanted};
use crate::engine::quota::Quotas;
use crate::engine::retention::Retention;
use crate::engine::run::{RunId, Status, in_words};
use crate::engine::slots::Slots;
use crate::notify::Outlets;
use crate::observe::{self, Metrics};
use crate::store::{Batch, Store, StoreError};

/// How often an idle daemon writes that it is alive, so that an absence has a beginning.
const HEARTBEAT: TimeDelta = TimeDelta::seconds(60);
/// The pauses between tries to save while the store fails.
const COMMIT_PAUSE_MIN: Duration = Duration::from_millis(200);
const COMMIT_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long one try may take before the daemon says that it is not ready: longer than SQLite waits for a lock, so that
/// what it then says is heard first. A disk that hangs says nothing at all.
const COMMIT_SLOW: Duration = Duration::from_secs(8);
/// How long a stop waits for calls that are under way, so that their answers are on record.
const LEAVE_WITHIN: Duration = Duration::from_millis(900);
/// What is told of a try that takes long.
const SLOW: &str = "the store has not answered for several seconds";

/// What the daemon runs on.
#[derive(Debug)]
pub struct Settings {
    /// The name of this installation.
    pub instance: Instance,
    /// The jobs.
    pub jobs: Vec<Arc<Job>>,
    /// RunTask calls a second, of each account and region.
    pub launch_rate: f64,
    /// RunTask calls at once, likewise.
    pub launch_burst: u32,
    /// The pause between two looks at the same task.
    pub poll_interval: Duration,
    /// DescribeTasks calls a second, of each account and region.
    pub describe_rate: f64,
    /// How many runs may live at once.
    pub max_running: Option<u32>,
    /// How many of each group.
    pub groups: BTreeMap<String, u32>,
    /// Queues of task state changes.
    pub event_queues: Vec<EventQueue>,
    /// The channels of notices and the heartbeat, as the configuration of the moment has them.
    pub outlets: Receiver<Arc<Outlets>>,
    /// How long what is over is kept, as the configuration in force says.
    pub retention: Receiver<Retention>,
}

/// A daemon that is about to run.
#[derive(Debug)]
pub struct Daemon<S, E> {
    store: S,
    driver: Driver,
    performer: Performer<Counted<E>>,
    ecs: Counted<E>,
    metrics: Metrics,
    reach: Reach,
    inbox: Inbox,
    letters: mpsc::Receiver<Letter>,
    tray: Tray,
    pulse: Arc<Pulse>,
    changes: Changes,
    lag: Lag,
    tracker: TaskTracker,
    pollers: CancellationToken,
    /// They begin after the first turn.
    listeners: Option<Vec<Listener>>,
    log_tails: mpsc::UnboundedSender<Wanted>,
    /// Wakes the courier: something is owed, or owed again.
    owed: Arc<Notify>,
    /// It begins after the first turn.
    courier: Option<Courier<S, Counted<E>>>,
    delivering: Option<JoinHandle<()>>,
    committed_at: DateTime<Utc>,
    /// Whether the store is empty, so that tasks of one that is gone are looked for.
    looks_first: bool,
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
        let looks_first = loaded.last_commit_at.is_none();
        let (metrics, reach) = (Metrics::new(now), Reach::default());
        let ecs = Counted::new(ecs, metrics.clone(), reach.clone());
        let Settings { instance, jobs, launch_rate, launch_burst, poll_interval, describe_rate, .. } = settings;
        let (quotas, slots) =
            (Quotas::new(launch_rate, launch_burst), Slots::new(settings.max_running, settings.groups));
        let (changes, gallery) = changes::open(instance.clone());
        let driver = Driver::new(Setup { instance, term: store.term(), jobs, quotas, slots }, loaded, now);
        let (sender, inbox) = inbox::open();
        let (mailbox, letters, pulse) = mailbox::open(reach.clone(), metrics.clone(), gallery);
        let (tracker, pollers) = (TaskTracker::new(), CancellationToken::new());
        let latest = settings.outlets.clone();
        let (courier, owed) = Courier::new(store.clone(), ecs.clone(), latest, metrics.clone(), pollers.clone());
        let beating = heartbeat::beat(mailbox.clone(), settings.outlets);
        tracker.spawn(pollers.clone().run_until_cancelled_owned(beating));
        let pace = Pace { poll_interval, describe_rate };
        let watcher =
            Watcher::new(ecs.clone(), pace, sender.clone(), tracker.clone(), pollers.clone(), metrics.clone());
        let pruner = Pruner { store: store.clone(), rules: settings.retention, pulse: Arc::clone(&pulse) };
        tracker.spawn(pollers.clone().run_until_cancelled_owned(pruner.run()));
        let listeners = Some(events::listeners(settings.event_queues, &watcher.followed()));
        let (log_tails, fetcher) = Fetcher::new(store.clone(), ecs.clone());
        tracker.spawn(pollers.clone().run_until_cancelled_owned(fetcher.run()));
        reach.set(driver.sites());
        let performer = Performer::new(ecs.clone(), watcher, sender, tracker.clone());
        let committed_at = now;
        let daemon = Daemon {
            store,
            driver,
            performer,
            ecs,
            metrics,
            reach,
            inbox,
            letters,
            tray: Tray::default(),
            pulse,
            changes,
            lag: Lag::default(),
            tracker,
            pollers,
            listeners,
            log_tails,
            owed,
            courier: Some(courier),
            delivering: None,
            committed_at,
            looks_first,
        };
        Ok((daemon, mailbox))
    }

    /// Runs until `stop`, or until a daemon that drains has nothing in flight, then lets calls under way be answered and returns.
    ///
    /// # Errors
    /// Another daemon took over, or the last decisions could not be saved.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), DaemonError> {
        // It is alive while it looks for a lost state, which takes less time than the loop may stand still.
        self.pulse.began(clock::now());
        if self.looks_first && !self.find_lost_tasks(&stop).await {
            tracing::info!("stopping before anything was begun");
            return Ok(());
        }
        let mut arrived = Vec::new();
        while !stop.is_cancelled() {
            self.turn(std::mem::take(&mut arrived), false, &stop).await?;
            self.begin_beside();
            if self.driver.drains() == Some(0) {
                break;
            }
            let next = self.driver.next_turn_at();
            tokio::select! {
                () = stop.cancelled() => {}
                reports = self.inbox.next() => arrived = reports,
                Some(letter) = self.letters.recv() => {
                    self.tray.take_in(letter, &self.driver);
                    // All that wait are one turn and one commit.
                    while let Ok(letter) = self.letters.try_recv() {
                        self.tray.take_in(letter, &self.driver);
                    }
                }
                () = std::future::ready(()), if !self.tray.is_empty() => {}
                () = clock::nap_until(next) => {}
            }
        }
        self.leave(arrived, &stop).await
    }

    /// After the first turn: begins to listen to the queues, to deliver notices, to ask whether ECS answers, and to remember how
    /// runs of earlier daemons ended. What was in flight is followed by then; an event of any other task is not kept.
    fn begin_beside(&mut self) {
        let Some(listeners) = self.listeners.take() else { return };
        self.delivering = self.courier.take().map(|courier| tokio::spawn(courier.run()));
        for listener in listeners {
            self.tracker.spawn(self.pollers.clone().run_until_cancelled_owned(listener.run()));
        }
        let knocking = self.reach.clone().knock(self.ecs.clone());
        self.tracker.spawn(self.pollers.clone().run_until_cancelled_owned(knocking));
        let jobs = self.driver.jobs().into_iter().map(|view| view.job.name.clone()).collect();
        let remembering = remember(self.store.clone(), self.metrics.clone(), jobs);
        self.tracker.spawn(self.pollers.clone().run_until_cancelled_owned(remembering));
    }

    async fn turn(
        &mut self,
        arrived: Vec<Report>,
        is_leaving: bool,
        stop: &CancellationToken,
    ) -> Result<(), DaemonError> {
        let now = clock::now();
        let replies = self.tray.hand_over(&mut self.driver);
        let batch = self.driver.turn(arrived, now, is_leaving).or_else(|| {
            // Also on a clock that was set back: else an absence would seem to begin in the future.
            let is_quiet = (now - self.committed_at).abs() >= HEARTBEAT;
            is_quiet.then(|| self.driver.heartbeat(now))
        });
        let mut batch = batch.map(Arc::new);
        let mut duplicates = BTreeSet::new();
        if let Some(batch) = &mut batch {
            duplicates = self.commit(batch, stop).await?;
            self.committed_at = now;
            self.driver.forget(&duplicates, now);
        }
        for (reply, answer) in replies.into_iter().zip(self.driver.answers()) {
            if let Ok(Done::Reloaded(changes)) = &answer {
                self.heed_changes(changes);
            }
            // Whoever asked may have gone away.
            drop(reply.send(answer.and_then(|done| done.unless_dropped(&duplicates))));
        }
        for act in self.driver.acts(clock::now()) {
            self.performer.perform(act);
        }
        // Only now that the calls have begun: the lines of thousands of runs take longer than the calls may wait.
        if let Some(batch) = batch {
            let sent_at = clock::now();
            for save in batch.runs.iter().filter(|save| !duplicates.contains(&save.run.id)) {
                let offset = self.driver.offset_of(&save.run.job);
                observe::transition(&self.metrics, save, offset, sent_at);
                for wanted in wanted(&save.run, &save.entries) {
                    // It ends with the daemon only.
                    drop(self.log_tails.send(wanted));
                }
            }
            batch.audit.iter().for_each(observe::carried_out);
            self.changes.tell(&batch, &duplicates);
            if !batch.notices.is_empty() || !batch.notice_moves.is_empty() {
                self.owed.notify_one();
            }
        }
        let launches = self.driver.launch_queues(now);
        self.lag.heed(&launches, now);
        self.pulse.turned(now, &self.driver, launches);
        Ok(())
    }

    /// Takes in that jobs came, changed or left, where that is not the driver's.
    fn heed_changes(&self, changes: &driver::Changes) {
        self.metrics.forget(&changes.removed);
        self.reach.set(self.driver.sites());
    }

    /// Saves a batch, however long it takes: nothing is performed before.
    async fn commit(
        &mut self,
        batch: &mut Arc<Batch>,
        stop: &CancellationToken,
    ) -> Result<BTreeSet<RunId>, DaemonError> {
        let mut pause = COMMIT_PAUSE_MIN;
        loop {
            match self.try_to_save(batch).await {
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
                Err(error @ StoreError::Severed { .. }) => return Err(DaemonError::Severed(error)),
                Err(error @ StoreError::Damaged { .. }) => return Err(DaemonError::Damaged(error)),
                Err(error @ StoreError::Database { .. }) => {
                    let told = observe::chain(&error);
                    // First, so that whoever reads the line already meets a daemon that is not ready.
                    self.pulse.store_fails(clock::now(), told.clone());
                    tracing::error!(error = told, "state could not be saved; nothing is launched until it can");
                    self.driver.heed_clock(clock::now());
                    self.tray.decline(&observe::chain(&error));
                    if !self.pause(pause, observe::chain(&error), stop).await {
                        return Err(DaemonError::StoppedUnsaved(error));
                    }
                    pause = (pause * 2).min(COMMIT_PAUSE_MAX);
                }
            }
        }
    }

    /// One try. Who asks meanwhile is answered, and what is reported is set aside: a disk may hang for long.
    async fn try_to_save(&mut self, batch: &mut Arc<Batch>) -> Result<BTreeSet<RunId>, StoreError> {
        let store = self.store.clone();
        // The newest instant that this clock is known to have shown: a clock that is set back before the next start is found
        // out by it, also if the batch had to wait. Nothing is copied but where an earlier try still holds it.
        Arc::make_mut(batch).at = clock::now();
        let saving = store.commit(Arc::clone(batch));
        tokio::pin!(saving);
        let begun_at = Instant::now();
        let mut slow_at = begun_at + COMMIT_SLOW;
        loop {
            tokio::select! {
                biased;
                saved = &mut saving => {
                    if saved.is_ok() {
                        self.metrics.committed(begun_at.elapsed());
                    }
                    return saved;
                }
                () = tokio::time::sleep_until(slow_at) => {
                    if self.pulse.store_fails(clock::now(), SLOW.to_owned()) {
                        tracing::error!(error = SLOW, "state could not be saved yet; nothing is launched until it is");
                    }
                    self.tray.decline(SLOW);
                    slow_at += clock::NAP;
                }
                Some(letter) = self.letters.recv() => self.tray.take_in(letter, &self.driver),
                () = self.inbox.set_aside() => {}
            }
        }
    }

    /// Waits, answers letters, declines commands and sets reports aside. False if the daemon is told to stop.
    async fn pause(&mut self, pause: Duration, why: String, stop: &CancellationToken) -> bool {
        let over = tokio::time::sleep(pause);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = stop.cancelled() => return false,
                () = &mut over => return true,
                Some(letter) = self.letters.recv() => {
                    self.tray.take_in(letter, &self.driver);
                    self.tray.decline(&why);
                }
                () = self.inbox.set_aside() => {}
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
                reports = self.inbox.next() => self.turn(reports, true, stop).await?,
            }
        }
        if let Some(delivering) = &mut self.delivering {
            // It ends by itself, as late as the calls.
            tokio::select! {
                () = &mut give_up => {}
                _ended = delivering => {}
            }
        }
        let last = self.driver.heartbeat(clock::now());
        self.commit(&mut Arc::new(last), stop).await?;
        self.tracker.close();
        Ok(())
    }
}

/// Tells the metrics how the newest runs of earlier daemons ended, so that a restart does not make a job look as if it had
/// never succeeded.
async fn remember<S: Store>(store: S, metrics: Metrics, jobs: BTreeSet<JobName>) {
    for status in [Status::Succeeded, Status::Failed, Status::TimedOut, Status::Unknown] {
        match store.last_runs(Some(status)).await {
            Ok(ended) => metrics.remember(&ended, |job| jobs.contains(job)),
            Err(error) => {
                tracing::warn!(error = observe::chain(&error), "earlier ends could not be read; metrics lack them");
                return;
            }
        }
    }
}
