//! What was saved, told to whoever watches: a change for each run that moved, and for each job that people paused, resumed or
//! reloaded. Nothing is made of them where nobody watches; they are numbered all the same, so that a watcher who comes back
//! can see whether something happened meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use tokio::sync::broadcast;

use crate::engine::job::{Instance, JobName};
use crate::engine::run::RunId;
use crate::store::{Audit, Batch, RunSave, RunSummary};

/// How many changes wait for a watcher that is slow; it misses the oldest of more, and is told how many.
const CHANGES_MAX: usize = 1_024;
/// What people do to jobs, by its name in the record.
const TO_JOBS: [&str; 3] = ["pause", "resume", "reload"];

/// Something that was saved.
#[derive(Debug)]
pub struct Change {
    /// Its number since the daemon began, from 1.
    pub seq: u64,
    /// What.
    pub what: What,
}

/// What was saved.
#[derive(Debug)]
pub enum What {
    /// A run moved.
    Run {
        /// The run as listings show it now.
        run: Box<RunSummary>,
        /// The type of the newest entry of its history.
        last_event: Option<String>,
    },
    /// People did something to a job, or to all.
    Job(Audit),
}

impl What {
    /// Which job it is about; none for all.
    pub fn job(&self) -> Option<&JobName> {
        match self {
            What::Run { run, .. } => Some(&run.job),
            What::Job(audit) => audit.job.as_ref(),
        }
    }
}

/// Where the loop tells its changes. They end with it.
#[derive(Debug)]
pub(super) struct Changes {
    sender: broadcast::Sender<Arc<Change>>,
    seq: Arc<AtomicU64>,
}

/// How others come to watch.
#[derive(Debug, Clone)]
pub(super) struct Gallery {
    sender: broadcast::WeakSender<Arc<Change>>,
    seq: Arc<AtomicU64>,
    instance: Instance,
}

/// A watcher's place.
#[derive(Debug)]
pub struct Watching {
    /// Of which installation.
    pub instance: Instance,
    /// The number of the newest change by now.
    pub seq: u64,
    /// What happens from now on.
    pub changes: broadcast::Receiver<Arc<Change>>,
}

pub(super) fn open(instance: Instance) -> (Changes, Gallery) {
    let (sender, seq) = (broadcast::Sender::new(CHANGES_MAX), Arc::new(AtomicU64::new(0)));
    let gallery = Gallery { sender: sender.downgrade(), seq: Arc::clone(&seq), instance };
    (Changes { sender, seq }, gallery)
}

impl Changes {
    /// Tells what a batch has changed that was just saved, but for runs that were there already.
    pub(super) fn tell(&self, batch: &Batch, duplicates: &BTreeSet<RunId>) {
        let runs = batch.runs.iter().filter(|save| !duplicates.contains(&save.run.id));
        let jobs = batch.audit.iter().filter(|audit| TO_JOBS.contains(&audit.action.as_str()));
        if self.sender.receiver_count() == 0 {
            self.seq.fetch_add((runs.count() + jobs.count()) as u64, Ordering::Relaxed);
            return;
        }
        for what in runs.filter_map(moved).chain(jobs.cloned().map(What::Job)) {
            let seq = self.seq.fetch_add(1, Ordering::Relaxed) + 1;
            // The last watcher may have left.
            drop(self.sender.send(Arc::new(Change { seq, what })));
        }
    }
}

fn moved(save: &RunSave) -> Option<What> {
    let event = save.entries.last().and_then(|entry| serde_json::to_value(&entry.event).ok());
    let last_event = event.as_ref().and_then(|event| event.get("type")).and_then(Value::as_str).map(str::to_owned);
    RunSummary::of(&save.run).map(|run| What::Run { run: Box::new(run), last_event })
}

impl Gallery {
    pub(super) fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Begins to watch; none if the loop has ended.
    pub(super) fn watch(&self) -> Option<Watching> {
        let changes = self.sender.upgrade()?.subscribe();
        // Read after it: a change in between is told twice rather than not at all.
        Some(Watching { instance: self.instance.clone(), seq: self.seq.load(Ordering::Relaxed), changes })
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast::error::TryRecvError;

    use super::super::clock;
    use super::*;
    use crate::store::Term;

    fn batch(actions: &[&str]) -> Batch {
        let at = clock::now();
        let deed = |action: &&str| Audit {
            at,
            by: "ops".into(),
            action: (*action).to_owned(),
            job: None,
            run: None,
            detail: None,
        };
        Batch { audit: actions.iter().map(deed).collect(), ..Batch::empty(Term(1), at) }
    }

    fn told(watching: &mut Watching) -> Vec<u64> {
        std::iter::from_fn(|| watching.changes.try_recv().ok()).map(|change| change.seq).collect()
    }

    #[test]
    fn what_nobody_watches_is_counted_and_what_somebody_watches_is_told() {
        let (changes, gallery) = open(Instance::new("test").unwrap());
        changes.tell(&batch(&["pause", "trigger", "reload"]), &BTreeSet::new());
        let mut watching = gallery.watch().unwrap();
        assert_eq!((watching.seq, told(&mut watching)), (2, vec![]), "a trigger is told with its run");
        changes.tell(&batch(&["resume"]), &BTreeSet::new());
        assert_eq!(told(&mut watching), [3]);
        assert_eq!(gallery.watch().unwrap().seq, 3);
    }

    #[test]
    fn a_slow_watcher_hears_how_many_it_missed_and_all_hear_the_end() {
        let (changes, gallery) = open(Instance::new("test").unwrap());
        let mut watching = gallery.watch().unwrap();
        changes.tell(&batch(&vec!["pause"; CHANGES_MAX + 5]), &BTreeSet::new());
        let missed = watching.changes.try_recv().unwrap_err();
        assert!(matches!(missed, TryRecvError::Lagged(5)), "{missed:?}");
        assert_eq!(told(&mut watching).len(), CHANGES_MAX);
        drop(changes);
        assert!(matches!(watching.changes.try_recv(), Err(TryRecvError::Closed)));
        assert!(gallery.watch().is_none());
    }
}
