//! The jobs in the driver's books: what was decided of each, when it leaves next, and what a new configuration does to them.
//!
//! A schedule that changed begins at the moment of the change and never before it. What its former schedule named up to
//! then is decided first, under that schedule, also what its spread had held back: it starts at once. What a job named
//! that left the configuration no longer starts. Runs that were recorded go on as they were.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

use super::Driver;
use super::command::{Changes, NewJobs};
use crate::engine::admit::{self, Absence, Undecided};
use crate::engine::job::{Job, JobName};
use crate::engine::notice::{Before, Standing};
use crate::engine::pause::{Pause, Scope};
use crate::engine::quota::quota_key;
use crate::engine::run::RunId;
use crate::engine::schedule::spread_offset;
use crate::store::Mark;

/// A job as the driver sees it, for listings.
#[derive(Debug, Clone)]
pub struct JobView {
    /// The job.
    pub job: Arc<Job>,
    /// When it leaves next, its part of the spread included; none if never, or not before somebody resumes it.
    pub next_at: Option<DateTime<Utc>>,
    /// Where its rates count from.
    pub anchor: DateTime<Utc>,
    /// Why it does not fire.
    pub paused: Option<(Scope, Pause)>,
    /// How much later than its instants it leaves.
    pub offset: TimeDelta,
    /// It ended badly and has not succeeded since, or an instant of it was missed and no run has begun since.
    pub failing: bool,
    /// How many of its runs live.
    pub living: usize,
}

#[derive(Debug)]
pub(super) struct JobEntry {
    pub(super) job: Arc<Job>,
    pub(super) mark: DateTime<Utc>,
    pub(super) anchor: DateTime<Utc>,
    /// How much later than its instants it leaves.
    pub(super) offset: TimeDelta,
    /// Its next instant.
    pub(super) next_at: Option<DateTime<Utc>>,
    /// How many of its runs ended badly since one succeeded.
    pub(super) failed_in_a_row: u32,
    /// What decides which notices it owes next.
    pub(super) standing: Standing,
}

impl JobEntry {
    pub(super) fn mark(&self) -> Mark {
        Mark {
            job: self.job.name.clone(),
            schedule: self.job.schedule.identity(),
            mark: self.mark,
            anchor: self.anchor,
            failed_in_a_row: self.failed_in_a_row,
            standing: self.standing,
        }
    }

    /// How it stands, for what is told next.
    pub(super) fn stands(&self) -> Before {
        Before { failed_in_a_row: self.failed_in_a_row, standing: self.standing }
    }

    /// When its next instant's time has come.
    fn leaves_at(&self) -> Option<DateTime<Utc>> {
        self.next_at?.checked_add_signed(self.offset)
    }

    /// What has come and is not decided.
    pub(super) fn undecided(&self, absence: Absence) -> Undecided {
        Undecided { mark: self.mark, anchor: self.anchor, until: absence.until - self.offset, absence }
    }
}

impl Driver {
    /// The first jobs of a driver, with the marks that the store has.
    pub(super) fn set_jobs(&mut self, jobs: Vec<Arc<Job>>, marks: Vec<Mark>, now: DateTime<Utc>) {
        let mut marks: HashMap<JobName, Mark> = marks.into_iter().map(|mark| (mark.job.clone(), mark)).collect();
        for job in jobs {
            let known = marks.remove(&job.name);
            let outdated = self.set_job(job, known, now);
            self.outdated_marks.extend(outdated);
        }
        self.forgotten_marks = marks.into_keys().collect();
    }

    /// Enters a job. Answers with the mark of a schedule that it no longer has.
    fn set_job(&mut self, job: Arc<Job>, known: Option<Mark>, now: DateTime<Utc>) -> Option<Mark> {
        let (failed_in_a_row, standing) =
            known.as_ref().map(|mark| (mark.failed_in_a_row, mark.standing)).unwrap_or_default();
        let is_of = |mark: &Mark| mark.schedule == job.schedule.identity();
        let (stored, outdated) = if known.as_ref().is_some_and(is_of) { (known, None) } else { (None, known) };
        if stored.is_none() {
            self.moved_marks.insert(job.name.clone());
        }
        // Rates count from a whole second, so that their instants are ones.
        let (mark, anchor) = stored.map_or((now, now.trunc_subsecs(0)), |mark| (mark.mark, mark.anchor));
        let name = job.name.clone();
        let offset = spread_offset(&self.instance, &name, job.admission.spread);
        let next_at = job.schedule.next(mark, anchor);
        // So that its quota is shown before its first launch.
        self.quotas.bucket(quota_key(&job.definition.task.target), now);
        let entry = JobEntry { job, mark, anchor, offset, next_at, failed_in_a_row, standing };
        self.jobs.insert(name.clone(), entry);
        self.enter_agenda(&name);
        outdated
    }

    pub(super) fn enter_agenda(&mut self, name: &JobName) {
        if self.is_held(name) {
            return;
        }
        if let Some(at) = self.jobs.get(name).and_then(JobEntry::leaves_at) {
            self.agenda.insert((at, name.clone()));
        }
    }

    fn leave_agenda(&mut self, name: &JobName) {
        if let Some(at) = self.jobs.get(name).and_then(JobEntry::leaves_at) {
            self.agenda.remove(&(at, name.clone()));
        }
    }

    /// Takes a new configuration. What has come by now is decided already, but for what a spread or a first look held back.
    pub(super) fn reload(&mut self, new: NewJobs, now: DateTime<Utc>) -> Changes {
        let mut changes = Changes::default();
        let names: Vec<JobName> = self.jobs.keys().cloned().collect();
        let mut new_jobs: BTreeMap<JobName, Arc<Job>> =
            new.jobs.into_iter().map(|job| (job.name.clone(), job)).collect();
        for name in names {
            match new_jobs.remove(&name) {
                None => {
                    self.remove_job(&name, now);
                    changes.removed.push(name);
                }
                Some(job) if self.jobs.get(&name).is_some_and(|entry| entry.job == job) => changes.unchanged += 1,
                Some(job) => {
                    self.replace_job(job, now);
                    changes.changed.push(name);
                }
            }
        }
        for (name, job) in new_jobs {
            self.set_job(job, None, now);
            changes.added.push(name);
        }
        self.quotas.set(new.launch_rate, new.launch_burst, now);
        self.new_pace = Some(new.pace);
        self.slots.set_limits(new.max_running, new.groups);
        self.call_all_back(now);
        changes
    }

    fn replace_job(&mut self, job: Arc<Job>, now: DateTime<Utc>) {
        let name = job.name.clone();
        let Some(entry) = self.jobs.get(&name) else { return };
        let offset = spread_offset(&self.instance, &name, job.admission.spread);
        if entry.job.schedule.identity() != job.schedule.identity() {
            self.let_go(&name, now, now);
        } else if offset < entry.offset {
            self.let_go(&name, now - offset, now);
        }
        let known = self.jobs.get(&name).map(JobEntry::mark);
        self.leave_agenda(&name);
        self.set_job(job, known, now);
        // Another overlap policy may let a run begin that waits.
        for id in self.living.get(&name).cloned().unwrap_or_default() {
            self.reconsider(&id, now);
        }
    }

    /// Decides under the job as it is what its spread holds back of the instants up to `until`.
    fn let_go(&mut self, name: &JobName, until: DateTime<Utc>, now: DateTime<Utc>) {
        self.decide_held(&Scope::Job(name.clone()), now);
        let pauses = self.pauses_of(name);
        let Some(entry) = self.jobs.get_mut(name) else { return };
        // What has left by now is decided.
        let mark = entry.mark.max(now - entry.offset);
        let absence = Absence { from: now, until: now };
        let (job, undecided) = (Arc::clone(&entry.job), Undecided { mark, until, ..entry.undecided(absence) });
        entry.mark = entry.mark.max(until);
        self.moved_marks.insert(name.clone());
        let planned = admit::plan_held_back(&job, undecided, &pauses);
        self.carry_out(&job, planned, now);
    }

    fn remove_job(&mut self, name: &JobName, now: DateTime<Utc>) {
        self.drop_held(name);
        self.leave_agenda(name);
        let Some(entry) = self.jobs.remove(name) else { return };
        let absence = Absence { from: now, until: now };
        let undecided = Undecided { until: now, ..entry.undecided(absence) };
        let planned = admit::plan_removed(&entry.job, undecided);
        self.carry_out(&entry.job, planned, now);
        self.moved_marks.remove(name);
        self.forgotten_marks.push(name.clone());
        for id in self.living.get(name).cloned().unwrap_or_default() {
            self.reconsider(&id, now);
        }
    }

    /// Counts a run that is over towards `pause_after`, and keeps how its job stood before.
    pub(super) fn note_end(&mut self, id: &RunId, now: DateTime<Utc>) {
        let Some(tracked) = self.runs.get_mut(id) else { return };
        let run = &tracked.run;
        let Some(entry) = self.jobs.get_mut(&run.job) else {
            tracked.before = Some(Before::default());
            return;
        };
        let before = entry.stands();
        entry.failed_in_a_row = admit::failed_in_a_row(before.failed_in_a_row, run.status());
        entry.standing = before.standing.ended(run);
        tracked.before = Some(before);
        if entry.stands() == before {
            return;
        }
        let (name, failed) = (run.job.clone(), entry.failed_in_a_row);
        let is_reached = |limit: &u32| failed >= *limit && failed > before.failed_in_a_row;
        let limit = entry.job.admission.pause_after.filter(is_reached);
        self.moved_marks.insert(name.clone());
        if let Some(limit) = limit {
            self.pause_by_rule(name, limit, id.clone(), now);
        }
    }

    /// Every job, by name.
    pub fn jobs(&self) -> Vec<JobView> {
        self.jobs.values().map(|entry| self.view(entry)).collect()
    }

    /// One job; none if the configuration does not have it.
    pub fn job_view(&self, name: &JobName) -> Option<JobView> {
        self.jobs.get(name).map(|entry| self.view(entry))
    }

    /// How much later than its instants a job leaves; none if the configuration does not have it.
    pub fn offset_of(&self, name: &JobName) -> Option<TimeDelta> {
        self.jobs.get(name).map(|entry| entry.offset)
    }

    pub(super) fn view(&self, entry: &JobEntry) -> JobView {
        let pauses = self.pauses_of(&entry.job.name);
        let resumes_at =
            pauses.iter().map(|(_, pause)| pause.until).max_by_key(|until| until.unwrap_or(DateTime::<Utc>::MAX_UTC));
        let next = match resumes_at {
            None => entry.next_at,
            Some(None) => None,
            Some(Some(until)) => entry.job.schedule.next(entry.mark.max(until - entry.offset), entry.anchor),
        };
        JobView {
            job: Arc::clone(&entry.job),
            next_at: next.and_then(|next| next.checked_add_signed(entry.offset)),
            anchor: entry.anchor,
            paused: pauses.into_iter().next(),
            offset: entry.offset,
            failing: entry.standing.ended_badly || entry.standing.left_out.missed,
            living: self.living.get(&entry.job.name).map_or(0, Vec::len),
        }
    }
}
