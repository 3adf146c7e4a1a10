//! Tasks of a state that is gone, taken into the books before anything fires.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Driver;
use crate::engine::admit;
use crate::engine::found::{self, Findings, Stray};
use crate::engine::job::{JobName, Site};
use crate::engine::run::Event;
use crate::engine::task::FoundTask;

/// What became of tasks that were found.
#[derive(Debug)]
pub struct TakenIn {
    /// How many living runs they are.
    pub runs: usize,
    /// Those that may be ours and are not followed.
    pub strays: Vec<Stray>,
    /// How many are of other installations.
    pub foreign: usize,
}

impl Driver {
    /// Where the jobs run their tasks.
    pub fn sites(&self) -> BTreeSet<Site> {
        self.jobs.values().map(|entry| entry.job.definition.task.site()).collect()
    }

    /// Takes over the runs whose tasks were found. They are new to the store, and are saved with the next batch.
    pub fn take_in(&mut self, found: Vec<FoundTask>, now: DateTime<Utc>) -> TakenIn {
        let definition_of = |name: &JobName| self.jobs.get(name).map(|entry| Arc::clone(&entry.job.definition));
        let Findings { mut runs, strays, foreign } = found::conclude(&self.instance, definition_of, found, now);
        runs.retain(|(run, _)| !self.runs.contains_key(&run.id));
        let taken = TakenIn { runs: runs.len(), strays, foreign };
        for (run, entries) in runs {
            let id = run.id.clone();
            self.line_up(&run);
            self.enter(run, entries);
            self.step(&id, Event::Resumed, now);
            self.unseen.insert(id);
        }
        self.first_look_until = now + admit::FIRST_LOOK_WITHIN;
        taken
    }
}
