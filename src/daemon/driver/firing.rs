//! Firings: which jobs are due, and what becomes of each instant.
//!
//! What starts, and what a firing does that meets a run, is asked of `engine/admit.rs`. After a restart a firing waits for
//! the first look at the runs in its way, for they may have ended while nobody looked.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Driver;
use crate::engine::admit::{self, Absence, Living, Meeting, Planned, Undecided};
use crate::engine::job::{Definition, Job, JobName, Overlap};
use crate::engine::pause::Scope;
use crate::engine::run::{Event, Firing, Outcome, Run, RunId, State};
use crate::engine::schedule::Schedule;
use crate::store::Mark;

/// How many firings of paused jobs are passed over to say which one comes next: it is said at each turn.
const PAUSED_SKIPPED_MAX: usize = 100;

/// A firing that is due and waits until the runs in its way have been looked at.
#[derive(Debug)]
pub(super) struct Held {
    job: JobName,
    /// Since when nobody had looked at the schedule.
    away_since: DateTime<Utc>,
}

/// A firing that is to become a run, and what it then does.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) firing: Firing,
    /// What it does that meets a living run.
    pub(super) overlap: Overlap,
    pub(super) definition: Arc<Definition>,
    /// How many may wait under `queue_all`.
    pub(super) queue_max: usize,
}

impl Driver {
    /// Decides every instant that has come since each job was last looked at.
    pub(super) fn fire(&mut self, now: DateTime<Utc>) {
        let away_since = self.last_turn_at.min(now);
        let mut due = std::mem::take(&mut self.held);
        while let Some((at, job)) = self.agenda.first().cloned() {
            if at > now {
                break;
            }
            self.agenda.remove(&(at, job.clone()));
            // The daemon before this one may have drained: it turned to its end, and decided nothing that came meanwhile.
            due.push(Held { job, away_since: away_since.min(at) });
        }
        for held in due {
            if self.waits_for_a_look(&held.job, now) {
                self.held.push(held);
            } else {
                self.fire_job(&held.job, Absence { from: held.away_since, until: now });
            }
        }
    }

    /// The firing that comes next: which job's, and when. None if nothing fires, or all that would come next is paused.
    pub fn next_firing(&self) -> Option<(JobName, DateTime<Utc>)> {
        let is_paused = |at: DateTime<Utc>, job: &JobName| {
            let lasts = |scope| self.pauses.get(&scope).is_some_and(|pause| pause.lasts(at));
            lasts(Scope::All) || lasts(Scope::Job(job.clone()))
        };
        let coming = self.agenda.iter().take(PAUSED_SKIPPED_MAX).filter(|_| !self.is_draining);
        coming
            .filter(|(at, job)| self.pauses.is_empty() || !is_paused(*at, job))
            .map(|(at, job)| (job.clone(), *at))
            .next()
    }

    /// Decides what waits for a first look, look or no look.
    pub(super) fn decide_held(&mut self, scope: &Scope, now: DateTime<Utc>) {
        let is_meant = |held: &Held| match scope {
            Scope::All => true,
            Scope::Job(name) => held.job == *name,
        };
        let (meant, others) = std::mem::take(&mut self.held).into_iter().partition(is_meant);
        self.held = others;
        for Held { job, away_since } in meant {
            self.fire_job(&job, Absence { from: away_since, until: now });
        }
    }

    /// Whether a job's next instant waits for a first look.
    pub(super) fn is_held(&self, name: &JobName) -> bool {
        self.held.iter().any(|held| held.job == *name)
    }

    /// Forgets that a job waits for a first look: what it waited with is decided otherwise.
    pub(super) fn drop_held(&mut self, name: &JobName) {
        self.held.retain(|held| held.job != *name);
    }

    fn waits_for_a_look(&self, job: &JobName, now: DateTime<Utc>) -> bool {
        let overlap = self.jobs.get(job).map(|entry| entry.job.admission.overlap);
        let is_unseen = |id: &RunId| self.unseen.contains(id);
        now < self.first_look_until
            && overlap.is_some_and(admit::heeds_living_runs)
            && self.living.get(job).is_some_and(|ids| ids.iter().any(is_unseen))
    }

    fn fire_job(&mut self, name: &JobName, absence: Absence) {
        let pauses = self.pauses_of(name);
        let Some(entry) = self.jobs.get_mut(name) else { return };
        let (job, undecided) = (Arc::clone(&entry.job), entry.undecided(absence));
        let planned = admit::plan(&job, undecided, &pauses);
        // A held firing may be decided on a clock that was set back meanwhile: what was decided is not decided again.
        entry.mark = entry.mark.max(undecided.until);
        entry.next_at = job.schedule.next(entry.mark, entry.anchor);
        self.enter_agenda(name);
        self.moved_marks.insert(name.clone());
        self.carry_out(&job, planned, absence.until);
    }

    pub(super) fn carry_out(&mut self, job: &Job, planned: Vec<Planned>, now: DateTime<Utc>) {
        let (overlap, definition) = (job.admission.overlap, &job.definition);
        for plan in planned {
            match plan {
                Planned::Start(firing) => {
                    let definition = Arc::clone(definition);
                    self.begin(Beginning { firing, overlap, definition, queue_max: admit::QUEUE_MAX }, now);
                }
                Planned::LeftOut { firing, outcome } => {
                    // What a plan skips, it skips for a pause, and who paused knows.
                    let is_told = matches!(outcome, Outcome::Missed { .. });
                    let recorded = self.record_not_started(firing, Arc::clone(definition), outcome, now);
                    recorded.filter(|_| is_told).iter().for_each(|id| self.note_left_out(id));
                }
            }
        }
    }

    /// Rows for what the former schedule of a job named while nobody looked.
    pub(super) fn account_for_changes(&mut self, now: DateTime<Utc>) {
        for Mark { job, schedule, mark, anchor, .. } in std::mem::take(&mut self.outdated_marks) {
            let Some(entry) = self.jobs.get(&job) else { continue };
            // Up to where the new schedule begins.
            let until = entry.mark;
            let undecided =
                Undecided { mark, anchor, until, absence: Absence { from: self.last_turn_at.min(until), until } };
            let job = Arc::clone(&entry.job);
            let Some(before) = Schedule::of_identity(&schedule) else {
                tracing::warn!(
                    job = job.name.as_str(),
                    schedule,
                    "former schedule not understood; what it named meanwhile has no row"
                );
                continue;
            };
            self.carry_out(&job, admit::plan_changed(&job, &before, undecided), now);
        }
    }

    /// A firing becomes a run, or a row that says why not.
    pub(super) fn begin(&mut self, beginning: Beginning, now: DateTime<Utc>) {
        let Beginning { firing, overlap, definition, queue_max } = beginning;
        if self.runs.contains_key(&firing.id) {
            // It was recorded before and lives; it must not be replaced by itself.
            return;
        }
        match admit::meet(overlap, firing.trigger, &self.living_of(&firing.job), queue_max) {
            Meeting::Start => self.start(firing, definition, now),
            Meeting::Skip { reason } => {
                // Who asked for a run is answered.
                let is_told = firing.request.is_none();
                let outcome = Outcome::Skipped { reason, covers: None };
                let recorded = self.record_not_started(firing, definition, outcome, now);
                recorded.filter(|_| is_told).iter().for_each(|id| self.note_left_out(id));
            }
            Meeting::Replace(runs) => {
                for run in runs {
                    let reason = format!("replaced by run {} (overlap = \"cancel_running\")", firing.id);
                    self.step(&run, Event::Cancel { reason }, now);
                }
                self.start(firing, definition, now);
            }
        }
    }

    fn start(&mut self, firing: Firing, definition: Arc<Definition>, now: DateTime<Utc>) {
        let (run, entries) = Run::due(firing, self.instance.clone(), definition, now);
        let id = run.id.clone();
        self.note_begun(&run.job);
        let displaced = self.line_up(&run);
        self.enter(run, entries);
        self.reconsider(&id, now);
        // It is the oldest no more, and may have been about to begin.
        if let Some(displaced) = displaced {
            self.reconsider(&displaced, now);
        }
    }

    /// Records a firing that is left out, unless it is recorded already, and names its run.
    fn record_not_started(
        &mut self,
        firing: Firing,
        definition: Arc<Definition>,
        outcome: Outcome,
        now: DateTime<Utc>,
    ) -> Option<RunId> {
        let (run, entries) = Run::not_started(firing, self.instance.clone(), definition, outcome, now);
        let id = run.id.clone();
        if self.runs.contains_key(&id) {
            return None;
        }
        self.enter(run, entries);
        Some(id)
    }

    /// Gives a living run its place among those of its job, and names the one that it displaced as the oldest.
    pub(super) fn line_up(&mut self, run: &Run) -> Option<RunId> {
        let place = admit::place_among(run.trigger, &self.living_of(&run.job));
        let living = self.living.entry(run.job.clone()).or_default();
        let displaced = living.first().cloned().filter(|_| place == 0);
        living.insert(place, run.id.clone());
        displaced
    }

    fn living_of(&self, job: &JobName) -> Vec<Living> {
        let ids = self.living.get(job).map(Vec::as_slice).unwrap_or_default();
        let living = ids.iter().filter_map(|id| self.runs.get(id));
        let living = living.map(|tracked| &tracked.run);
        living.map(|run| Living { id: run.id.clone(), is_due: run.state == State::Due, trigger: run.trigger }).collect()
    }
}
