//! The daemon's mailbox: how the rest of the process asks the loop something, and reads its pulse without asking.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::engine::job::{Instance, JobName};
use crate::engine::run::{RunId, Status};
use crate::observe::Metrics;

use super::changes::{Gallery, Watching};
use super::clock;
use super::driver::{Command, Declined, Done, Driver, JobView, LaunchQueue};
use super::reach::{Reach, SiteHealth};

/// How many letters may wait.
const LETTERS_MAX: usize = 64;
/// How long the loop may stand still before the daemon is unhealthy; it turns at least once a second.
const STILL_MAX: TimeDelta = TimeDelta::seconds(15);

/// Something that the loop is asked.
#[derive(Debug)]
pub(super) enum Letter {
    /// What the jobs are.
    Jobs(oneshot::Sender<Vec<JobView>>),
    /// What one of them is.
    Job(JobName, oneshot::Sender<Option<JobView>>),
    /// How many living runs are in each status.
    InFlight(oneshot::Sender<Vec<(Status, usize)>>),
    /// What keeps a run whose launch is due from it.
    WaitsFor(RunId, oneshot::Sender<Option<String>>),
    /// To do something; answered when it is saved.
    Command(Command, Reply),
    /// To begin nothing new, and to end once nothing is in flight.
    Drain,
}

/// Where the answer to a command goes; whoever asked may have gone away.
pub(super) type Reply = oneshot::Sender<Result<Done, Declined>>;

/// What came while a turn was under way.
#[derive(Debug, Default)]
pub(super) struct Tray {
    commands: Vec<(Command, Reply)>,
    drains: bool,
}

impl Tray {
    /// Answers a question at once and keeps a command for the next turn.
    pub(super) fn take_in(&mut self, letter: Letter, driver: &Driver) {
        match letter {
            Letter::Jobs(reply) => drop(reply.send(driver.jobs())),
            Letter::Job(name, reply) => drop(reply.send(driver.job_view(&name))),
            Letter::InFlight(reply) => drop(reply.send(driver.in_flight())),
            Letter::WaitsFor(run, reply) => drop(reply.send(driver.waits_for(&run, clock::now()))),
            Letter::Command(command, reply) => self.commands.push((command, reply)),
            Letter::Drain => self.drains = true,
        }
    }

    /// Hands the commands over to the driver and keeps where their answers go. Whoever no longer waits was told that
    /// nothing was done, so nothing is.
    pub(super) fn hand_over(&mut self, driver: &mut Driver) -> Vec<Reply> {
        if std::mem::take(&mut self.drains) {
            driver.drain();
        }
        self.commands.retain(|(_, reply)| !reply.is_closed());
        let (commands, replies): (Vec<_>, Vec<_>) = std::mem::take(&mut self.commands).into_iter().unzip();
        commands.into_iter().for_each(|command| driver.order(command));
        replies
    }

    /// Nothing of them is done: what is decided can't be saved.
    pub(super) fn decline(&mut self, why: &str) {
        for (_, reply) in std::mem::take(&mut self.commands) {
            drop(reply.send(Err(Declined::Unsaved(why.to_owned()))));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty() && !self.drains
    }
}

/// How the daemon is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Health {
    /// Version and commit of the daemon, which need not be those of the program that asks.
    #[serde(default)]
    pub version: String,
    /// When the loop began; a start on an empty state looks for tasks of an earlier one before the first turn.
    #[serde(default)]
    pub began_at: Option<DateTime<Utc>>,
    /// When the loop last turned; none before its first turn.
    pub turned_at: Option<DateTime<Utc>>,
    /// How many runs are alive.
    pub living_runs: usize,
    /// The firing that comes next; none if nothing fires, or all that comes next is paused.
    #[serde(default)]
    pub next_firing: Option<NextFiring>,
    /// How many runs the daemon waits for before it ends, and begins nothing new; none if it does not drain.
    #[serde(default)]
    pub draining: Option<usize>,
    /// How the launches of each account and region stood then.
    #[serde(default)]
    pub launches: Vec<LaunchQueue>,
    /// Why the state can't be saved, if it can't.
    pub store_error: Option<String>,
    /// Whether ECS answers, for each cluster of the configuration.
    #[serde(default)]
    pub ecs: Vec<SiteHealth>,
    /// When the configuration that is in force was taken; none before the first one was.
    #[serde(default)]
    pub config_taken_at: Option<DateTime<Utc>>,
    /// When the configuration was last looked at anew, and what came of it; none before the first time.
    #[serde(default)]
    pub reload: Option<ReloadState>,
}

impl Health {
    /// Whether the loop turns.
    pub fn turns(&self, now: DateTime<Utc>) -> bool {
        self.turned_at.or(self.began_at).is_some_and(|at| now - at <= STILL_MAX)
    }

    /// Why the daemon is not ready; none if its loop turns, its state can be saved and ECS answers for every cluster.
    pub fn unready(&self, now: DateTime<Utc>) -> Option<String> {
        if !self.turns(now) {
            return Some("the daemon's loop stands still".to_owned());
        }
        let unsaved = self.store_error.as_ref().map(|error| format!("the state can't be saved: {error}"));
        unsaved.or_else(|| self.ecs.iter().find_map(|site| site.trouble(now)))
    }
}

/// Which job fires next, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextFiring {
    /// Which job.
    pub job: JobName,
    /// When it leaves, its part of the spread included.
    pub at: DateTime<Utc>,
}

/// What came of the newest attempt to take another configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadState {
    /// When.
    pub at: DateTime<Utc>,
    /// Why the configuration was not taken and the one before goes on; none if it was taken.
    pub error: Option<String>,
}

/// What the loop lets others read at any time.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<Health>);

impl Pulse {
    fn with<T>(&self, change: impl FnOnce(&mut Health) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn began(&self, now: DateTime<Utc>) {
        self.with(|health| health.began_at = Some(now));
    }

    pub(super) fn turned(&self, now: DateTime<Utc>, driver: &Driver, launches: Vec<LaunchQueue>) {
        let next_firing = driver.next_firing().map(|(job, at)| NextFiring { job, at });
        self.with(|health| {
            health.turned_at = Some(now);
            (health.living_runs, health.launches) = (driver.living_runs(), launches);
            (health.next_firing, health.draining) = (next_firing, driver.drains());
        });
    }

    /// A loop that tries again to save turns all the same: to start it anew would mend nothing. True if this is news.
    pub(super) fn store_fails(&self, now: DateTime<Utc>, why: String) -> bool {
        self.with(|health| {
            health.turned_at = Some(now);
            let is_news = health.store_error.as_ref() != Some(&why);
            health.store_error = Some(why);
            is_news
        })
    }

    pub(super) fn can_save(&self) -> bool {
        self.with(|health| health.store_error.is_none())
    }

    /// True if it had failed before.
    pub(super) fn store_works(&self) -> bool {
        self.with(|health| health.store_error.take().is_some())
    }
}

/// A handle to the daemon's loop.
#[derive(Debug, Clone)]
pub struct Mailbox {
    letters: mpsc::Sender<Letter>,
    pulse: Arc<Pulse>,
    reach: Reach,
    metrics: Metrics,
    gallery: Gallery,
}

pub(super) fn open(reach: Reach, metrics: Metrics, gallery: Gallery) -> (Mailbox, mpsc::Receiver<Letter>, Arc<Pulse>) {
    let (sender, letters) = mpsc::channel(LETTERS_MAX);
    let version = concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("TENACRON_COMMIT"), ")").to_owned();
    let pulse = Arc::new(Pulse(Mutex::new(Health { version, ..Health::default() })));
    (Mailbox { letters: sender, pulse: Arc::clone(&pulse), reach, metrics, gallery }, letters, pulse)
}

impl Mailbox {
    /// Every job with its next instant; none if the loop has ended.
    pub async fn jobs(&self) -> Option<Vec<JobView>> {
        let (reply, jobs) = oneshot::channel();
        self.letters.send(Letter::Jobs(reply)).await.ok()?;
        jobs.await.ok()
    }

    /// One of them, if the configuration has it; the outer none if the loop has ended.
    pub async fn job(&self, name: JobName) -> Option<Option<JobView>> {
        let (reply, job) = oneshot::channel();
        self.letters.send(Letter::Job(name, reply)).await.ok()?;
        job.await.ok()
    }

    /// How many living runs are in each status; none if the loop has ended.
    pub async fn in_flight(&self) -> Option<Vec<(Status, usize)>> {
        let (reply, in_flight) = oneshot::channel();
        self.letters.send(Letter::InFlight(reply)).await.ok()?;
        in_flight.await.ok()
    }

    /// What keeps a run whose launch is due from it; none if nothing does, or nobody knows now.
    pub async fn waits_for(&self, run: RunId) -> Option<String> {
        let (reply, told) = oneshot::channel();
        self.letters.send(Letter::WaitsFor(run, reply)).await.ok()?;
        told.await.ok()?
    }

    /// Has something done, and waits until it is saved; none if the loop has ended.
    pub async fn command(&self, command: Command) -> Option<Result<Done, Declined>> {
        let (reply, done) = oneshot::channel();
        self.letters.send(Letter::Command(command, reply)).await.ok()?;
        done.await.ok()
    }

    /// Has the daemon begin nothing new, and end once nothing is in flight.
    pub async fn drain(&self) {
        // A loop that has ended needs no telling.
        drop(self.letters.send(Letter::Drain).await);
    }

    /// The name of this installation.
    pub fn instance(&self) -> &Instance {
        self.gallery.instance()
    }

    /// Begins to watch what changes; none if the loop has ended.
    pub fn watch(&self) -> Option<Watching> {
        self.gallery.watch()
    }

    /// Tells what came of a new configuration, for whoever asks how the daemon is.
    pub fn note_reload(&self, state: ReloadState) {
        self.pulse.with(|health| {
            if state.error.is_none() {
                health.config_taken_at = Some(state.at);
            }
            health.reload = Some(state);
        });
    }

    /// Tells since when the first configuration is in force.
    pub fn note_start(&self, at: DateTime<Utc>) {
        self.pulse.with(|health| health.config_taken_at = Some(at));
    }

    /// How the daemon is.
    pub fn health(&self) -> Health {
        Health { ecs: self.reach.health(), ..self.pulse.with(|health| health.clone()) }
    }

    /// What the daemon counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
