//! The store of the simulation, with a second book beside it: every run as it was last saved.
//!
//! The store is the one in memory, which keeps what SQLite keeps and reads it back the same way. The book holds what was
//! acknowledged; each start compares what the store gives back with it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use chrono::{DateTime, Utc};

use super::{demand, demand_eq};
use crate::engine::job::JobName;
use crate::engine::run::{Entry, Run, RunId};
use crate::engine::schedule::Schedule;
use crate::store::memory::MemoryStore;
use crate::store::{Batch, Loaded, Mark, Store as _, Term};

/// A stretch of time over which a job had one schedule.
#[derive(Debug, Clone)]
pub(super) struct Epoch {
    identity: String,
    pub(super) from: DateTime<Utc>,
    /// The highest mark so far.
    pub(super) until: DateTime<Utc>,
    pub(super) anchor: DateTime<Utc>,
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    store: MemoryStore,
    pub(super) runs: BTreeMap<RunId, Run>,
    pub(super) entries: BTreeMap<RunId, Vec<Entry>>,
    /// In the order in which they were recorded.
    order: Vec<RunId>,
    pub(super) epochs: BTreeMap<JobName, Vec<Epoch>>,
    forgotten: BTreeSet<JobName>,
    pub(super) batches: usize,
}

impl Shelf {
    pub(super) fn term(&self) -> Term {
        self.store.term()
    }

    /// As a new daemon opens it.
    pub(super) fn reopen(&mut self) {
        self.store = self.store.begin_term();
    }

    /// Whether no daemon has ever saved anything here.
    pub(super) fn is_empty(&self) -> bool {
        self.batches == 0
    }

    pub(super) fn load(&self) -> Loaded {
        let loaded = at_once(self.store.load()).expect("memory can be read");
        let living: Vec<&Run> = self.order.iter().map(|id| &self.runs[id]).filter(|run| !run.is_finished()).collect();
        demand_eq(loaded.runs.len(), living.len(), || "the store gives back other runs than saved".to_owned());
        for (loaded, saved) in loaded.runs.iter().zip(living) {
            demand(loaded == saved, || format!("the store gives {} back otherwise than it was saved", saved.id));
        }
        loaded
    }

    pub(super) fn fail_to_commit(&self, batch: &Batch) {
        self.store.fail_next_commits(1);
        let refused = at_once(self.store.commit(batch.clone()));
        assert!(refused.is_err(), "the commit fails on request");
    }

    pub(super) fn commit(&mut self, batch: &Batch) -> BTreeSet<RunId> {
        self.batches += 1;
        let duplicates = match at_once(self.store.commit(batch.clone())) {
            Ok(duplicates) => duplicates,
            Err(error) => super::violated(format!("the store refuses a batch: {error}: {:?}", batch.runs)),
        };
        for job in &batch.forgotten_marks {
            self.forgotten.insert(job.clone());
        }
        for mark in &batch.marks {
            self.note_mark(mark);
        }
        for save in batch.runs.iter().filter(|save| !duplicates.contains(&save.run.id)) {
            let id = save.run.id.clone();
            if save.is_new {
                self.order.push(id.clone());
            }
            let old = self.runs.insert(id.clone(), save.run.clone());
            demand(old.is_none_or(|run| !run.is_finished()), || format!("a finished run changed: {id}"));
            self.entries.entry(id).or_default().extend(save.entries.iter().cloned());
        }
        duplicates
    }

    /// Another schedule, or a job that had been away, begins a new epoch.
    fn note_mark(&mut self, mark: &Mark) {
        let epochs = self.epochs.entry(mark.job.clone()).or_default();
        let came_back = self.forgotten.remove(&mark.job);
        match epochs.last_mut().filter(|epoch| epoch.identity == mark.schedule && !came_back) {
            Some(epoch) => epoch.until = epoch.until.max(mark.mark),
            None => epochs.push(Epoch {
                identity: mark.schedule.clone(),
                from: mark.mark,
                until: mark.mark,
                anchor: mark.anchor,
            }),
        }
    }

    pub(super) fn living(&self) -> Vec<&Run> {
        self.runs.values().filter(|run| !run.is_finished()).collect()
    }

    /// Loses every mark, as when a job leaves the configuration.
    pub(super) fn forget_marks(&mut self, at: DateTime<Utc>) {
        let forgotten_marks = self.epochs.keys().cloned().collect();
        self.commit(&Batch { term: self.term(), at, marks: Vec::new(), forgotten_marks, runs: Vec::new() });
    }
}

impl Epoch {
    /// The instants that were decided in it, if this is its schedule.
    pub(super) fn instants(&self, schedule: &Schedule) -> impl Iterator<Item = DateTime<Utc>> {
        schedule.firings(self.from, self.until, self.anchor)
    }

    pub(super) fn is_of(&self, identity: &str) -> bool {
        self.identity == identity
    }
}

/// The answer of a store that needs no thread.
fn at_once<T>(answer: impl Future<Output = T>) -> T {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => unreachable!("memory answers at once"),
    }
}
