//! The store of the simulation, with a second book beside it: every run as it was last saved.
//!
//! The store is the one in memory, which keeps what SQLite keeps and reads it back the same way, or SQLite itself. The book
//! holds what was acknowledged; each start compares what the store gives back with it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use chrono::{DateTime, Utc};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::ledger::Stretch;
use super::told::Told;
use super::{demand, demand_eq};
use crate::engine::job::{Instance, JobName};
use crate::engine::pause::{Pause, Scope};
use crate::engine::retention::Retention;
use crate::engine::run::{Entry, Run, RunId};
use crate::engine::schedule::Schedule;
use crate::observe::Counts;
use crate::store::memory::MemoryStore;
use crate::store::sqlite::{Holder, SqliteStore, World};
use crate::store::{Audit, Batch, Loaded, Mark, NOTICE_PAUSE_MAX, OwedNotice, Position, Store as _, StoreError, Term};

/// Where runs are kept.
#[derive(Debug)]
enum Kept {
    Memory(MemoryStore),
    Disk(Box<Disk>),
}

#[derive(Debug)]
struct Disk {
    folder: TempDir,
    runtime: Runtime,
    /// None while it is being opened again.
    store: Option<SqliteStore>,
}

impl Disk {
    fn open(&mut self) {
        if let Some(store) = self.store.take() {
            self.runtime.block_on(store.close());
        }
        let holder = Holder::this_process(Instance::new("prod").unwrap());
        let path = self.folder.path().join("state.db");
        self.store = Some(SqliteStore::open(&path, World::Local, &holder, super::world::beginning()).unwrap());
    }

    fn store(&self) -> &SqliteStore {
        self.store.as_ref().expect("it is open")
    }
}

/// A stretch of time over which a job had one schedule.
#[derive(Debug, Clone)]
pub(super) struct Epoch {
    identity: String,
    pub(super) from: DateTime<Utc>,
    /// The highest mark so far.
    pub(super) until: DateTime<Utc>,
    pub(super) anchor: DateTime<Utc>,
}

#[derive(Debug)]
pub(super) struct Shelf {
    kept: Kept,
    pub(super) runs: BTreeMap<RunId, Run>,
    /// What the metrics would count of each run.
    pub(super) counts: BTreeMap<RunId, Counts>,
    pub(super) entries: BTreeMap<RunId, Vec<Entry>>,
    /// In the order in which they were recorded.
    order: Vec<RunId>,
    pub(super) epochs: BTreeMap<JobName, Vec<Epoch>>,
    forgotten: BTreeSet<JobName>,
    /// Jobs that leave the configuration of a running daemon: what they had named by then is accounted for.
    pub(super) removals: BTreeMap<JobName, DateTime<Utc>>,
    marks: BTreeMap<JobName, Mark>,
    pub(super) pauses: BTreeMap<Scope, Pause>,
    /// All pauses that ever were.
    pub(super) stretches: Vec<Stretch>,
    pub(super) audit: Vec<Audit>,
    /// Since when the daemon has had its configuration: no schedule that is new begins before.
    pub(super) configured_at: DateTime<Utc>,
    pub(super) batches: usize,
    /// Who was told what.
    pub(super) told: Told,
}

impl Shelf {
    pub(super) fn in_memory() -> Shelf {
        Shelf::on(Kept::Memory(MemoryStore::new()))
    }

    pub(super) fn on_disk() -> Shelf {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut disk = Box::new(Disk { folder: TempDir::new().unwrap(), runtime, store: None });
        disk.open();
        Shelf::on(Kept::Disk(disk))
    }

    fn on(kept: Kept) -> Shelf {
        Shelf {
            kept,
            runs: BTreeMap::new(),
            entries: BTreeMap::new(),
            counts: BTreeMap::new(),
            order: Vec::new(),
            epochs: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            removals: BTreeMap::new(),
            marks: BTreeMap::new(),
            pauses: BTreeMap::new(),
            stretches: Vec::new(),
            audit: Vec::new(),
            configured_at: DateTime::<Utc>::MIN_UTC,
            batches: 0,
            told: Told::default(),
        }
    }

    pub(super) fn term(&self) -> Term {
        match &self.kept {
            Kept::Memory(store) => store.term(),
            Kept::Disk(disk) => disk.store().term(),
        }
    }

    /// As a new daemon opens it.
    pub(super) fn reopen(&mut self) {
        match &mut self.kept {
            Kept::Memory(store) => *store = store.begin_term(),
            Kept::Disk(disk) => disk.open(),
        }
    }

    fn save(&self, batch: &Batch) -> Result<BTreeSet<RunId>, StoreError> {
        match &self.kept {
            Kept::Memory(store) => at_once(store.commit(batch.clone())),
            Kept::Disk(disk) => disk.runtime.block_on(disk.store().commit(batch.clone())),
        }
    }

    /// Whether no daemon has ever saved anything here.
    pub(super) fn is_empty(&self) -> bool {
        self.batches == 0
    }

    pub(super) fn load(&self) -> Loaded {
        let loaded = match &self.kept {
            Kept::Memory(store) => at_once(store.load()),
            Kept::Disk(disk) => disk.runtime.block_on(disk.store().load()),
        };
        let loaded = loaded.unwrap_or_else(|error| super::violated(format!("the store can't be read: {error}")));
        let living: Vec<&Run> = self.order.iter().map(|id| &self.runs[id]).filter(|run| !run.is_finished()).collect();
        demand_eq(loaded.runs.len(), living.len(), || "the store gives back other runs than saved".to_owned());
        for (loaded, saved) in loaded.runs.iter().zip(living) {
            demand(loaded == saved, || format!("the store gives {} back otherwise than it was saved", saved.id));
        }
        let marks: Vec<&Mark> = self.marks.values().collect();
        demand_eq(loaded.marks.iter().collect(), marks, || "the store gives back other marks".to_owned());
        let pauses: BTreeMap<Scope, Pause> = loaded.pauses.iter().cloned().collect();
        demand_eq(&pauses, &self.pauses, || "the store gives back other pauses".to_owned());
        loaded
    }

    /// Deletes what is kept no longer where one run of each job is; says how many went.
    pub(super) fn prune(&self, now: DateTime<Utc>) -> usize {
        let rules = Retention { max_age: None, max_runs: Some(1) };
        let (mut runs, mut from) = (0, Some(Position::first()));
        while let Some(position) = from {
            let pruned = match &self.kept {
                Kept::Memory(store) => at_once(store.prune(rules, position, now)),
                Kept::Disk(disk) => disk.runtime.block_on(disk.store().prune(rules, position, now)),
            };
            let pruned = pruned.unwrap_or_else(|error| super::violated(format!("the store can't be pruned: {error}")));
            runs += pruned.runs;
            from = pruned.next;
        }
        runs
    }

    /// What people did, as the store has it, is what was saved.
    pub(super) fn keeps_its_audit(&self) {
        let limit = self.audit.len() + 1;
        let kept = match &self.kept {
            Kept::Memory(store) => at_once(store.audit(None, limit)),
            Kept::Disk(disk) => disk.runtime.block_on(disk.store().audit(None, limit)),
        };
        let mut kept = kept.unwrap_or_else(|error| super::violated(format!("the audit can't be read: {error}")));
        kept.reverse();
        let kept: Vec<Audit> = kept.into_iter().map(|row| row.audit).collect();
        demand_eq(kept, self.audit.clone(), || "what people did".to_owned());
    }

    /// What people are told, as the store has it, is what was owed, each once.
    pub(super) fn keeps_its_notices(&self) {
        let (now, limit) = (DateTime::<Utc>::MAX_UTC - NOTICE_PAUSE_MAX, usize::MAX);
        fn read<T>(answer: Result<T, StoreError>) -> T {
            answer.unwrap_or_else(|error| super::violated(format!("what is owed can't be read: {error}")))
        }
        let channels = match &self.kept {
            Kept::Memory(store) => at_once(store.owed_channels()),
            Kept::Disk(disk) => disk.runtime.block_on(disk.store().owed_channels()),
        };
        let of = |(channel, _)| match &self.kept {
            Kept::Memory(store) => at_once(store.due_notices(channel, now, limit)),
            Kept::Disk(disk) => disk.runtime.block_on(disk.store().due_notices(channel, now, limit)),
        };
        let owed: Vec<OwedNotice> = read(channels).into_iter().flat_map(|channel| read(of(channel))).collect();
        let mut kept: Vec<String> = owed.iter().map(|owed| owed.notice.id.clone()).collect();
        kept.sort_unstable();
        demand_eq(kept, self.told.notices.keys().cloned().collect(), || "what is owed".to_owned());
        for OwedNotice { notice, .. } in owed {
            let facts = &self.told.notices[&notice.id].facts;
            demand(notice.facts == *facts, || format!("{notice:?} came back otherwise than it was owed"));
        }
    }

    pub(super) fn fail_to_commit(&self, batch: &Batch) {
        // A disk fails in tests of its own.
        if let Kept::Memory(store) = &self.kept {
            store.fail_next_commits(1);
            assert!(self.save(batch).is_err(), "the commit fails on request");
        }
    }

    pub(super) fn commit(&mut self, batch: &Batch) -> BTreeSet<RunId> {
        self.batches += 1;
        let duplicates = match self.save(batch) {
            Ok(duplicates) => duplicates,
            Err(error) => super::violated(format!("the store refuses a batch: {error}: {:?}", batch.runs)),
        };
        self.told.note(batch, &duplicates);
        for job in &batch.forgotten_marks {
            let was_known = self.forgotten.insert(job.clone());
            self.marks.remove(job);
            // One that came and left in the same turn named nothing.
            let removed_at = self.removals.remove(job).filter(|_| was_known);
            if let (Some(at), Some(epoch)) = (removed_at, self.epochs.get_mut(job).and_then(|epochs| epochs.last_mut()))
            {
                epoch.until = epoch.until.max(at);
            }
        }
        for (scope, pause) in &batch.pauses {
            match pause {
                Some(pause) => self.pauses.insert(scope.clone(), pause.clone()),
                None => self.pauses.remove(scope),
            };
        }
        self.audit.extend(batch.audit.iter().cloned());
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
            self.counts.entry(id.clone()).or_default().count(save);
            self.entries.entry(id).or_default().extend(save.entries.iter().cloned());
        }
        duplicates
    }

    /// Another schedule, or a job that had been away, begins a new epoch.
    fn note_mark(&mut self, mark: &Mark) {
        self.marks.insert(mark.job.clone(), mark.clone());
        let epochs = self.epochs.entry(mark.job.clone()).or_default();
        let came_back = self.forgotten.remove(&mark.job);
        match epochs.last_mut() {
            // A schedule that was changed and changed back in one turn counts from another anchor.
            Some(epoch) if epoch.identity == mark.schedule && epoch.anchor == mark.anchor && !came_back => {
                epoch.until = epoch.until.max(mark.mark)
            }
            former => {
                // The former schedule is accounted for up to where the new one begins.
                if let Some(former) = former.filter(|_| !came_back) {
                    former.until = former.until.max(mark.mark);
                }
                let configured_at = self.configured_at;
                demand(mark.mark >= configured_at, || format!("{} begins before {configured_at}", mark.job));
                epochs.push(Epoch::of(mark));
            }
        }
    }

    pub(super) fn living(&self) -> Vec<&Run> {
        self.runs.values().filter(|run| !run.is_finished()).collect()
    }

    /// Loses every mark, as when a job leaves the configuration.
    pub(super) fn forget_marks(&mut self, at: DateTime<Utc>) {
        let forgotten_marks = self.epochs.keys().cloned().collect();
        self.commit(&Batch { forgotten_marks, ..Batch::empty(self.term(), at) });
    }
}

impl Epoch {
    fn of(mark: &Mark) -> Epoch {
        Epoch { identity: mark.schedule.clone(), from: mark.mark, until: mark.mark, anchor: mark.anchor }
    }

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
