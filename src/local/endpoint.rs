//! The endpoint's memory: one `State`, changed by journal entries alone.
//!
//! `commit` writes an entry and then applies it, and a start applies the entries that it reads. Both go through `apply`, so what a
//! crash leaves is understood by the same code that made it. One lock covers deciding, writing and applying: two calls with the same
//! client token are one after the other, and the second finds the first one's result on the disk.
//!
//! A task that has no end in the journal lost its endpoint while it ran. Its processes are killed, and it is shown as ECS shows a task
//! whose host is gone.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clock;
use super::definitions::Definitions;
use super::journal::{self, Entry, Journal, JournalError};
use super::names::Names;
use super::orphans;
use super::settings::Settings;
use super::tasks::{Task, Tasks};
use super::tokens::Tokens;
use super::trouble::Trouble;
use super::wire::Refusal;

/// The cluster that a request means when it names none.
pub(super) const DEFAULT_CLUSTER: &str = "default";

/// What all requests and all supervisors share.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) names: Names,
    pub(super) state: Mutex<State>,
    /// Cancelled when every task shall end.
    pub(super) closing: CancellationToken,
    /// Cancelled when no process may go on.
    pub(super) killing: CancellationToken,
    pub(super) supervisors: TaskTracker,
}

/// Everything that a request can see or change.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) clusters: BTreeSet<String>,
    pub(super) definitions: Definitions,
    pub(super) tasks: Tasks,
    pub(super) tokens: Tokens,
    pub(super) trouble: Trouble,
    /// How many further calls of DescribeTasks are throttled; a new endpoint has forgotten it.
    pub(super) describes_throttled: u32,
    /// One for each task that has not stopped: cancelled when StopTask was called.
    pub(super) stops: HashMap<String, CancellationToken>,
    journal: Option<Journal>,
}

/// Why the settings or the journal cannot be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("task definition {family}: {message}")]
    Definition { family: String, message: String },
}

impl Endpoint {
    /// Reads the journal and ends what an earlier endpoint left running. Blocks.
    pub(super) fn open(settings: &Settings, now: DateTime<Utc>) -> Result<Self, OpenError> {
        Ok(Self {
            names: Names::new(&settings.region, &settings.account),
            state: Mutex::new(State::open(settings, now)?),
            closing: CancellationToken::new(),
            killing: CancellationToken::new(),
            supervisors: TaskTracker::new(),
        })
    }

    /// Changes a task, if it is still known.
    pub(super) async fn update(&self, id: &str, change: impl FnOnce(&mut Task, DateTime<Utc>)) {
        let now = clock::now();
        if let Some(task) = self.state.lock().await.tasks.get_mut(id) {
            change(task, now);
        }
    }
}

impl State {
    fn open(settings: &Settings, now: DateTime<Utc>) -> Result<Self, OpenError> {
        let mut state = Self::default();
        let opened = settings.journal.as_deref().map(journal::open).transpose()?;
        let past: &[Entry] = opened.as_ref().map_or(&[], |opened| &opened.entries);
        for entry in past {
            state.apply(entry.clone());
        }
        let lost = state.end_lost_tasks(past, now);
        state.forget(now);
        let mut entries = state.retain(past.to_vec(), now);
        entries.extend(lost);
        entries.extend(state.adopt(settings, now)?);
        if let Some(opened) = opened {
            state.journal = Some(opened.rewrite(&entries)?);
        }
        Ok(state)
    }

    /// Kills what tasks without an end left running, and ends them.
    fn end_lost_tasks(&mut self, past: &[Entry], now: DateTime<Utc>) -> Vec<Entry> {
        let unfinished = self.tasks.iter().filter(|task| !task.has_stopped());
        let lost: BTreeSet<String> = unfinished.map(|task| task.id.clone()).collect();
        let processes = past.iter().filter_map(|entry| match entry {
            Entry::Started { task, processes, .. } if lost.contains(task) => Some(processes.values().cloned()),
            _ => None,
        });
        if !orphans::kill(&processes.flatten().collect(), &lost) {
            tracing::error!("failed to kill all processes that an earlier local endpoint left");
        }
        let mut ends = Vec::new();
        for id in &lost {
            if let Some(task) = self.tasks.get_mut(id) {
                task.lose_host(now);
                task.stop(now);
                let task = Box::new(task.clone());
                ends.push(Entry::Stopped { task });
            }
        }
        ends
    }

    /// Whether the entry still says something once ECS's memory has passed over it. The counts of outcomes are kept apart.
    fn needs(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Cluster { .. } | Entry::Definition { .. } => true,
            Entry::Consumed { .. } => false,
            Entry::Started { task, .. } => {
                let task = self.tasks.get(task);
                task.is_some_and(|task| !task.has_stopped())
            }
            Entry::Launch { cluster, token, tasks, .. } => {
                tasks.iter().any(|task| self.tasks.get(&task.id).is_some())
                    || token.as_ref().is_some_and(|token| self.tokens.contains(cluster, token))
            }
            Entry::Stopped { task } => self.tasks.get(&task.id).is_some(),
        }
    }

    /// What a rewrite keeps: how far each script has been played, and the entries that are still needed.
    fn retain(&self, mut past: Vec<Entry>, at: DateTime<Utc>) -> Vec<Entry> {
        past.retain(|entry| self.needs(entry));
        let counts = self.trouble.consumed();
        counts
            .map(|(family, consumed)| Entry::Consumed { at, family: family.to_owned(), consumed, refusal: None })
            .chain(past)
            .collect()
    }

    /// Takes over what the settings name and the journal does not know.
    fn adopt(&mut self, settings: &Settings, now: DateTime<Utc>) -> Result<Vec<Entry>, OpenError> {
        let entries = self.news(settings, now)?;
        for entry in &entries {
            self.apply(entry.clone());
        }
        Ok(entries)
    }

    /// What the settings name and nobody knows yet; it takes effect with its entries.
    pub(super) fn news(&mut self, settings: &Settings, now: DateTime<Utc>) -> Result<Vec<Entry>, OpenError> {
        let mut entries = Vec::new();
        let clusters = settings.clusters.iter().map(String::as_str);
        for name in clusters.chain([DEFAULT_CLUSTER]) {
            if !self.clusters.contains(name) {
                let name = name.to_owned();
                entries.push(Entry::Cluster { at: now, name });
            }
        }
        for definition in &settings.task_definitions {
            let family = &definition.family;
            let next = self.definitions.next_of_settings(definition, now);
            let next =
                next.map_err(|refusal| OpenError::Definition { family: family.clone(), message: refusal.message })?;
            let definition_entry = next.map(|next| Entry::Definition { definition: Box::new(next) });
            entries.extend(definition_entry);
        }
        for definition in &settings.task_definitions {
            self.trouble.script(&definition.family, definition.outcomes.clone());
        }
        Ok(entries)
    }

    /// Writes an entry, durably, and lets it take effect. If it cannot be written nothing has happened.
    pub(super) async fn commit(&mut self, entry: Entry) -> Result<(), Refusal> {
        if let Some(journal) = &mut self.journal {
            journal.record(&entry).await.map_err(|error| {
                tracing::error!(%error, "failed to write the journal of the local endpoint");
                Refusal::server("The journal of the local endpoint cannot be written.")
            })?;
        }
        self.apply(entry);
        Ok(())
    }

    /// Writes an entry about something that has already happened, and lets it take effect in any case.
    pub(super) async fn observe(&mut self, entry: Entry) {
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.note(&entry).await
        {
            tracing::error!(%error, "failed to write the journal of the local endpoint");
        }
        self.apply(entry);
    }

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Cluster { name, .. } => {
                self.clusters.insert(name);
            }
            Entry::Definition { definition } => self.definitions.insert(*definition),
            Entry::Consumed { family, consumed, .. } => self.trouble.consume(&family, consumed),
            Entry::Launch { cluster, family, consumed, token, record, tasks } => {
                self.trouble.consume(&family, consumed);
                for task in tasks {
                    self.tasks.insert(task);
                }
                if let Some(token) = token {
                    self.tokens.insert(&cluster, &token, *record);
                }
            }
            Entry::Started { at, task, .. } => {
                if let Some(task) = self.tasks.get_mut(&task) {
                    task.run(at);
                }
            }
            Entry::Stopped { task } => {
                self.stops.remove(&task.id);
                self.tasks.insert(*task);
            }
        }
    }

    /// Drops what ECS would no longer know, in memory and, when it is worth the work, in the journal.
    pub(super) async fn tidy(&mut self, now: DateTime<Utc>) {
        self.forget(now);
        if self.journal.as_ref().is_some_and(Journal::is_large) {
            self.rewrite_journal(now).await;
        }
    }

    pub(super) async fn rewrite_journal(&mut self, now: DateTime<Utc>) {
        let Some(mut journal) = self.journal.take() else {
            return;
        };
        let rewritten = journal.rewrite(|past| self.retain(past, now)).await;
        if let Err(error) = rewritten {
            tracing::error!(%error, "failed to rewrite the journal of the local endpoint");
        }
        self.journal = Some(journal);
    }

    fn forget(&mut self, now: DateTime<Utc>) {
        self.tokens.forget(&self.tasks, now);
        self.tasks.forget(now);
    }

    #[cfg(test)]
    pub(super) fn set_journal(&mut self, journal: Journal) {
        self.journal = Some(journal);
    }
}
