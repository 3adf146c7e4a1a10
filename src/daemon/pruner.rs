//! Deletes what is kept no longer, beside everything else: one task, slice by slice, with a pause between two, so that no
//! commit of the loop waits for more than one slice.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::clock;
use super::mailbox::Pulse;
use crate::engine::retention::Retention;
use crate::engine::run::in_words;
use crate::observe;
use crate::store::{Position, Store, StoreError};

/// How long after a start the first pass begins: what was missed is caught up on first.
const FIRST_AFTER: Duration = Duration::from_secs(60);
/// The pause between two passes.
const EACH: Duration = Duration::from_secs(60 * 60);
/// The pause between two slices of one pass.
const BREATH: Duration = Duration::from_millis(20);

/// Prunes.
#[derive(Debug)]
pub(super) struct Pruner<S> {
    pub(super) store: S,
    /// What the configuration in force says.
    pub(super) rules: watch::Receiver<Retention>,
    pub(super) pulse: Arc<Pulse>,
}

/// What a pass deleted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Total {
    runs: usize,
    audit: usize,
}

impl<S: Store> Pruner<S> {
    /// Prunes from time to time, until the future is dropped.
    pub(super) async fn run(self) {
        tokio::time::sleep(FIRST_AFTER).await;
        loop {
            self.pass().await;
            tokio::time::sleep(EACH).await;
        }
    }

    async fn pass(&self) {
        let (rules, now) = (*self.rules.borrow(), clock::now());
        let mut total = Total::default();
        let ended = self.slices(rules, now, &mut total).await;
        if total != Total::default() {
            let Total { runs, audit } = total;
            let ended_before = rules.too_old_before(now).map(in_words);
            let max_runs_per_job = rules.max_runs;
            tracing::info!(runs, audit, ended_before, max_runs_per_job, "history pruned");
        }
        if let Err(error) = ended {
            // The loop meets the same fault, and says what follows.
            tracing::warn!(error = observe::chain(&error), "history could not be pruned; the next pass tries again");
        }
    }

    async fn slices(&self, rules: Retention, now: DateTime<Utc>, total: &mut Total) -> Result<(), StoreError> {
        let mut from = Position::first();
        // While nothing can be saved, nothing more is asked of the store.
        while self.pulse.can_save() {
            let pruned = self.store.prune(rules, from, now).await?;
            total.runs += pruned.runs;
            total.audit += pruned.audit;
            let Some(next) = pruned.next else { break };
            from = next;
            tokio::time::sleep(BREATH).await;
        }
        Ok(())
    }
}
