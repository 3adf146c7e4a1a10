//! The daemon's mailbox: how the rest of the process asks the loop something, and reads its pulse without asking.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::driver::{Driver, JobView};

/// How many letters may wait.
const LETTERS_MAX: usize = 64;

/// A question to the loop.
#[derive(Debug)]
pub(super) enum Letter {
    Jobs(oneshot::Sender<Vec<JobView>>),
}

impl Letter {
    pub(super) fn answer(self, driver: &Driver) {
        match self {
            // Whoever asked may have gone away.
            Letter::Jobs(reply) => drop(reply.send(driver.jobs())),
        }
    }
}

/// How the daemon is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Health {
    /// When the loop last turned; none before its first turn.
    pub turned_at: Option<DateTime<Utc>>,
    /// How many runs are alive.
    pub living_runs: usize,
    /// Why the state can't be saved, if it can't.
    pub store_error: Option<String>,
}

/// What the loop lets others read at any time.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<Health>);

impl Pulse {
    fn with<T>(&self, change: impl FnOnce(&mut Health) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn turned(&self, now: DateTime<Utc>, living_runs: usize) {
        self.with(|health| {
            health.turned_at = Some(now);
            health.living_runs = living_runs;
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
}

pub(super) fn open() -> (Mailbox, mpsc::Receiver<Letter>, Arc<Pulse>) {
    let (sender, letters) = mpsc::channel(LETTERS_MAX);
    let pulse = Arc::new(Pulse(Mutex::new(Health { turned_at: None, living_runs: 0, store_error: None })));
    (Mailbox { letters: sender, pulse: Arc::clone(&pulse) }, letters, pulse)
}

impl Mailbox {
    /// Every job with its next instant; none if the loop has ended.
    pub async fn jobs(&self) -> Option<Vec<JobView>> {
        let (reply, jobs) = oneshot::channel();
        self.letters.send(Letter::Jobs(reply)).await.ok()?;
        jobs.await.ok()
    }

    /// How the daemon is.
    pub fn health(&self) -> Health {
        self.pulse.with(|health| health.clone())
    }
}
