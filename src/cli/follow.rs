//! Follows the configuration of a running daemon: reads it anew on SIGHUP, on `tenacron reload` and when its files change.
//!
//! A configuration is taken as a whole or not at all. One with a mistake, or with a change that needs a restart, leaves the
//! daemon as it is; the reason is in the log, in the answer, and in `tenacron jobs` until a later one is taken. A daemon that
//! is about to end declines every one: that is no mistake of the file, and is shown nowhere as one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::service::Reload;
use super::{gate, local, targets};
use crate::config::{self, Config, Look};
use crate::daemon::driver::{Changes, Command, Declined, Done, NewJobs, Pace};
use crate::daemon::{Mailbox, ReloadState, clock};
use crate::ecs::AwsEcs;
use crate::engine::job::Target;
use crate::engine::retention::Retention;
use crate::engine::run::Asker;
use crate::local::Handle;
use crate::notify::Outlets;
use crate::observe;
use crate::web::gate::Access;
use crate::web::hands::{NotTaken, ReloadAsk};
use crate::web::page::Shown;

/// How often the files are looked at. They are read when two looks in a row show the same change.
const LOOK_EACH: Duration = Duration::from_secs(1);

/// The settings that a running daemon keeps, by their keys, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept([(&'static str, String); 8]);

impl Kept {
    pub(super) fn of(config: &Config) -> Kept {
        let Config { instance, state, control_socket, http, ecs, target_queues, .. } = config;
        Kept([
            ("instance", instance.to_string()),
            ("state.url", format!("{state:?}")),
            ("control.socket", format!("{control_socket:?}")),
            ("http.listen", format!("{:?}", http.listen)),
            ("ecs.region", format!("{:?}", ecs.region)),
            ("ecs.endpoint", format!("{:?}", ecs.endpoint)),
            ("ecs.events_queue", format!("{:?}", ecs.events_queue)),
            ("targets.*.events_queue", format!("{target_queues:?}")),
        ])
    }

    fn changed_in(&self, other: &Kept) -> Vec<&'static str> {
        let pairs = self.0.iter().zip(&other.0);
        pairs.filter(|(ours, theirs)| ours != theirs).map(|((key, _), _)| *key).collect()
    }
}

/// What follows the configuration.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) path: PathBuf,
    pub(super) kept: Kept,
    pub(super) mailbox: Mailbox,
    /// What calls ECS, which is told of new targets.
    pub(super) ecs: AwsEcs,
    /// Who may come in over HTTP.
    pub(super) access: Access,
    /// Where notices and the heartbeat go, which is told of new channels.
    pub(super) outlets: watch::Sender<Arc<Outlets>>,
    /// The local ECS endpoint, which has task definitions of its own.
    pub(super) endpoint: Option<Handle>,
    pub(super) asks: mpsc::Receiver<ReloadAsk>,
    pub(super) hangups: Signal,
    /// Whoever tells the service manager.
    pub(super) service: mpsc::UnboundedSender<Reload>,
    /// As the files were when they were last read.
    pub(super) read: Look,
    /// For whoever deletes what is kept no longer.
    pub(super) retention: watch::Sender<Retention>,
    /// For the page.
    pub(super) shown: watch::Sender<Arc<Shown>>,
}

impl Follower {
    /// Follows until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        self.mailbox.note_start(clock::now());
        let mut looks = tokio::time::interval(LOOK_EACH);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut changed: Option<Look> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(ask) = self.asks.recv() => {
                    let answer = self.reload(ask.asker).await;
                    // Whoever asked may have gone away.
                    drop(ask.answer.send(answer));
                }
                Some(()) = self.hangups.recv() => drop(self.reload(by("SIGHUP")).await),
                _ = looks.tick() => {
                    let seen = self.look().await;
                    if seen == self.read {
                        changed = None;
                    } else if changed.as_ref() == Some(&seen) {
                        changed = None;
                        drop(self.reload(by("a change of the files")).await);
                    } else {
                        changed = Some(seen);
                    }
                }
            }
        }
    }

    async fn look(&self) -> Look {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || config::look(&path)).await.unwrap_or_else(|_| self.read.clone())
    }

    /// Reads the configuration and has the daemon take it, or says why not.
    async fn reload(&mut self, asker: Asker) -> Result<Changes, NotTaken> {
        let by = asker.by.clone();
        // Where there is no service manager, nobody listens.
        drop(self.service.send(Reload::Begins));
        let taken = self.take(asker).await;
        match &taken {
            Ok(changes) => {
                let (added, changed, removed) = (changes.added.len(), changes.changed.len(), changes.removed.len());
                tracing::info!(by, added, changed, removed, unchanged = changes.unchanged, "configuration taken");
                self.mailbox.note_reload(ReloadState { at: clock::now(), error: None });
            }
            Err(NotTaken::Refused(error)) => {
                tracing::error!(by, error, "configuration refused; the one before goes on");
                self.mailbox.note_reload(ReloadState { at: clock::now(), error: Some(error.clone()) });
            }
            Err(NotTaken::Declined(reason)) => {
                tracing::warn!(by, reason, "configuration declined; the next start reads it");
            }
        }
        drop(self.service.send(Reload::Over));
        taken
    }

    async fn take(&mut self, asker: Asker) -> Result<Changes, NotTaken> {
        // What changes while it is read is read once more.
        self.read = self.look().await;
        let path = self.path.clone();
        let loading = tokio::task::spawn_blocking(move || config::load(&path));
        let loaded = loading.await.map_err(|panic| format!("the configuration could not be read: {panic}"))?;
        let told = loaded.render(false);
        let Some(mut config) = loaded.config else { return Err(NotTaken::Refused(told.trim_end().to_owned())) };
        let changed = self.kept.changed_in(&Kept::of(&config));
        if !changed.is_empty() {
            let keys = changed.join(", ");
            let told = "a running daemon can't change this; restart it, or put the former value back";
            return Err(NotTaken::Refused(format!("{keys}: {told}")));
        }
        // Read anew also where the configuration is the same: that is how tokens are replaced.
        let http = config.http.clone();
        let reading = tokio::task::spawn_blocking(move || gate::rules(&http));
        let (rules, doubts) = reading.await.map_err(|panic| format!("the tokens could not be read: {panic}"))??;
        observe::warnings(doubts.iter().map(|one| (one.code, one.file.as_path(), one.line, &*one.message)));
        observe::warnings(loaded.findings.iter().map(|one| (one.code, one.file.as_path(), one.line, &*one.message)));
        if let Some(endpoint) = &self.endpoint {
            let known = endpoint.take_over(local::settings(Some(&config), None)).await;
            known.map_err(|error| observe::chain(&error))?;
        }
        let targets = targets::of(&config);
        if self.endpoint.is_none() {
            targets::settle(&mut config, self.ecs.own());
        }
        let outlets = outlets(&config);
        let (retention, shown) = (config.retention, shown(&config));
        let new = NewJobs {
            jobs: config.jobs.into_values().collect(),
            launch_rate: config.ecs.launch_rate,
            launch_burst: config.ecs.launch_burst,
            pace: Pace { poll_interval: config.ecs.poll_interval, describe_rate: config.ecs.describe_rate },
            max_running: config.max_running,
            groups: config.groups,
        };
        match self.mailbox.command(Command::Reload { new, asker }).await {
            Some(Ok(Done::Reloaded(changes))) => {
                self.take_targets(targets);
                self.outlets.send_if_modified(|before| std::mem::replace(before, Arc::clone(&outlets)) != outlets);
                self.retention.send_replace(retention);
                self.shown.send_replace(shown);
                self.access.set(rules);
                Ok(changes)
            }
            Some(Ok(_)) | None => Err(NotTaken::Declined(Declined::Leaving.to_string())),
            Some(Err(declined @ (Declined::Leaving | Declined::Draining))) => {
                Err(NotTaken::Declined(declined.to_string()))
            }
            Some(Err(declined)) => Err(NotTaken::Refused(declined.to_string())),
        }
    }

    /// Calls go by the new targets from now on, also those for what is in flight.
    fn take_targets(&self, targets: Vec<Target>) {
        let new = self.ecs.configure(targets);
        if self.endpoint.is_none() {
            targets::check(&self.ecs, new);
        }
    }
}

/// What the page shows of a configuration.
pub(super) fn shown(config: &Config) -> Arc<Shown> {
    Arc::new(Shown {
        written: Arc::clone(&config.written),
        launch_rate: config.ecs.launch_rate,
        launch_burst: config.ecs.launch_burst,
        region: config.ecs.region.clone(),
    })
}

/// Where notices and the heartbeat go by a configuration.
pub(super) fn outlets(config: &Config) -> Arc<Outlets> {
    Arc::new(Outlets { channels: config.channels.clone(), heartbeat: config.heartbeat.clone() })
}

fn by(what: &str) -> Asker {
    Asker { by: what.to_owned(), reason: None }
}
