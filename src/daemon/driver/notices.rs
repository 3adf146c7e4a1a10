//! Notices in the driver's books: how a job stood before a run of it was over, and what is owed for a batch.
//!
//! What is owed is asked of `engine/notice`, and saved with the transitions that it is about. Of jobs that
//! tell nobody it is kept all the same how they stand: the page says which of them fail.

use super::Driver;
use crate::engine::job::JobName;
use crate::engine::notice::{self, Before, Happened, JobNow, Notice};
use crate::engine::run::RunId;
use crate::store::RunSave;

impl Driver {
    /// Keeps how the job of a run stood that was left out, and how it stands now.
    pub(super) fn note_left_out(&mut self, id: &RunId) {
        let Some(tracked) = self.runs.get_mut(id) else { return };
        let Some(entry) = self.jobs.get_mut(&tracked.run.job) else {
            tracked.before = Some(Before::default());
            return;
        };
        let before = entry.stands();
        tracked.before = Some(before);
        entry.standing = before.standing.ended(&tracked.run);
        if entry.standing != before.standing {
            self.moved_marks.insert(tracked.run.job.clone());
        }
    }

    /// Instants of a job are no longer left out.
    pub(super) fn note_begun(&mut self, name: &JobName) {
        let Some(entry) = self.jobs.get_mut(name) else { return };
        let begun = entry.standing.begun();
        if entry.standing != begun {
            entry.standing = begun;
            self.moved_marks.insert(name.clone());
        }
    }

    /// The notices that are owed for what is about to be saved.
    pub(super) fn owed(&self, runs: &[RunSave]) -> Vec<Notice> {
        let telling = runs.iter().filter(|save| !save.run.definition.notify.is_empty());
        let happened = telling.map(|RunSave { run, entries, .. }| {
            let before = self.runs.get(&run.id).and_then(|tracked| tracked.before);
            let stands = || self.jobs.get(&run.job).map(super::JobEntry::stands).unwrap_or_default();
            let by_wish = run.is_finished() && before.is_none();
            Happened { run, entries, before: before.unwrap_or_else(stands), by_wish }
        });
        notice::owed(happened, |job| self.job_now(job))
    }

    fn job_now(&self, name: &JobName) -> JobNow {
        let Some(view) = self.jobs.get(name).map(|entry| self.view(entry)) else { return JobNow::default() };
        JobNow {
            timezone: Some(view.job.schedule.zone().name().to_owned()),
            next_at: view.next_at,
            paused: view.paused.map(|(_, pause)| pause.asker.by),
        }
    }
}
