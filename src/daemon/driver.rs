//! The driver owns every living run and every mark; nobody else changes one.
//!
//! One turn takes all that has happened since the last one and moves the runs concerned; what it decided leaves as one
//! [`Batch`]. Only when that batch is durable does [`Driver::acts`] say what to perform. Acts follow from the runs' states,
//! so a driver that is built from the store does what the one before it would have done.
//!
//! There is no clock, no await and no call in here: the loop in `mod.rs` hands in the time and performs the acts, and a
//! simulation can do both instead. Which instants start, what a firing does that meets a run, and how a run moves is
//! asked of `engine/`; the driver keeps the books.

mod clock_change;
mod command;
mod drain;
mod firing;
mod found;
mod hands;
mod jobs;
mod line;
mod notices;
mod pauses;
mod permits;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::engine::admit;
use crate::engine::job::{Instance, Job, JobName};
use crate::engine::pause::{Pause, Scope};
use crate::engine::quota::{self, Quotas};
use crate::engine::run::{ClockChange, Entry, Event, Refused, Run, RunId, Status, Step};
use crate::engine::slots::{Limited, Slots};
use crate::store::{Audit, Batch, Loaded, Mark, NoticeMove, RunSave, Term};

use self::clock_change::SET_BACK_MIN;
pub use self::command::{Changes, Command, Declined, Done, NewJobs, Receipt};
use self::firing::Held;
pub use self::found::TakenIn;
use self::jobs::JobEntry;
pub use self::jobs::JobView;
use self::line::Lines;
pub(super) use self::line::Queued;
pub use self::permits::LaunchQueue;
pub use super::act::{Act, Pace, Report};
use super::tracked::Tracked;

/// What a driver is built from, beside what the store holds.
#[derive(Debug)]
pub struct Setup {
    /// The name of this installation.
    pub instance: Instance,
    /// Under which its batches are saved.
    pub term: Term,
    /// The jobs.
    pub jobs: Vec<Arc<Job>>,
    /// The launch quotas.
    pub quotas: Quotas,
    /// How many runs may live at once.
    pub slots: Slots,
}

/// The owner of all living runs.
#[derive(Debug)]
pub struct Driver {
    instance: Instance,
    term: Term,
    jobs: BTreeMap<JobName, JobEntry>,
    /// Jobs by their next instant.
    agenda: BTreeSet<(DateTime<Utc>, JobName)>,
    runs: HashMap<RunId, Tracked>,
    /// How many runs this driver has begun.
    begun: u64,
    /// Living runs of each job, oldest first.
    living: HashMap<JobName, Vec<RunId>>,
    /// Runs that want a launch permit.
    queue: Lines,
    /// Runs that want one too, and for which something has no slot.
    waiting: BTreeMap<Limited, Lines>,
    wakes: BTreeSet<(DateTime<Utc>, RunId)>,
    quotas: Quotas,
    slots: Slots,
    pauses: BTreeMap<Scope, Pause>,
    /// Pauses that began, changed or are over since the last batch.
    changed_pauses: BTreeSet<Scope>,
    /// What people did since the last batch.
    audit: Vec<Audit>,
    /// Dead letters that somebody wants delivered after all.
    revived: Vec<NoticeMove>,
    /// When somebody last asked for a run, as it is named.
    asked_at: DateTime<Utc>,
    /// At which pace tasks are polled from now on, if that is new.
    new_pace: Option<Pace>,
    /// What people want, for the next turn.
    orders: Vec<Command>,
    /// What became of it, in the same order.
    answers: Vec<Result<Done, Declined>>,
    /// Jobs whose mark moved since the last batch.
    moved_marks: BTreeSet<JobName>,
    /// Jobs with a mark that the configuration no longer has.
    forgotten_marks: Vec<JobName>,
    /// Marks of jobs whose schedule was changed while nobody looked.
    outdated_marks: Vec<Mark>,
    /// Runs to be looked at for acts.
    touched: BTreeSet<RunId>,
    /// Runs from before the start whose task nobody has looked at yet; it may have ended meanwhile.
    unseen: BTreeSet<RunId>,
    /// Until when a firing waits for such a look.
    first_look_until: DateTime<Utc>,
    held: Vec<Held>,
    /// Nothing new begins, until this daemon ends.
    is_draining: bool,
    last_turn_at: DateTime<Utc>,
    /// What the clock showed last.
    clock_seen_at: DateTime<Utc>,
}

impl Driver {
    /// A driver that goes on from what the store holds. A job without a mark, or with another schedule than its mark,
    /// begins now: nothing fires retroactively.
    pub fn new(setup: Setup, loaded: Loaded, now: DateTime<Utc>) -> Driver {
        let Setup { instance, term, jobs, quotas, slots } = setup;
        let mut driver = Driver {
            instance,
            term,
            jobs: BTreeMap::new(),
            agenda: BTreeSet::new(),
            runs: HashMap::new(),
            begun: 0,
            living: HashMap::new(),
            queue: Lines::default(),
            waiting: BTreeMap::new(),
            wakes: BTreeSet::new(),
            quotas,
            slots,
            pauses: loaded.pauses.into_iter().collect(),
            changed_pauses: BTreeSet::new(),
            audit: Vec::new(),
            revived: Vec::new(),
            asked_at: DateTime::<Utc>::MIN_UTC,
            new_pace: None,
            orders: Vec::new(),
            answers: Vec::new(),
            moved_marks: BTreeSet::new(),
            forgotten_marks: Vec::new(),
            outdated_marks: Vec::new(),
            touched: BTreeSet::new(),
            unseen: BTreeSet::new(),
            first_look_until: now + admit::FIRST_LOOK_WITHIN,
            held: Vec::new(),
            is_draining: false,
            last_turn_at: loaded.last_commit_at.map_or(now, |at| at.min(now)),
            clock_seen_at: now,
        };
        driver.set_jobs(jobs, loaded.marks, now);
        let set_back = loaded.last_commit_at.map(|at| at - now).filter(|by| *by > SET_BACK_MIN);
        for run in loaded.runs {
            driver.adopt(run, set_back, now);
        }
        if let Some(by) = set_back {
            driver.tell_set_back(by, now);
        }
        driver
    }

    /// Takes a run over from the store.
    fn adopt(&mut self, run: Run, set_back: Option<TimeDelta>, now: DateTime<Utc>) {
        let id = run.id.clone();
        let displaced = self.line_up(&run);
        self.runs.insert(id.clone(), Tracked::loaded(run));
        if let Some(by) = set_back {
            self.adjust(&id, ClockChange::SetBack(by), now);
            // How long the daemon was away is not known, so the difference is the least that the clock went back.
            self.adjust(&id, ClockChange::AgeLost, now);
        }
        self.step(&id, Event::Resumed, now);
        if let Some(displaced) = displaced {
            self.reconsider(&displaced, now);
        }
        if self.runs.get(&id).is_some_and(|tracked| tracked.run.followed_task().is_some()) {
            self.unseen.insert(id);
        }
    }

    /// Takes reports and the passing of time, and returns what must be saved before [`Driver::acts`] is asked; none if
    /// nothing changed. While `is_leaving`, nothing new begins.
    pub fn turn(&mut self, reports: Vec<Report>, now: DateTime<Utc>, is_leaving: bool) -> Option<Batch> {
        self.heed_clock(now);
        self.end_overdue(now);
        // Facts first: a run whose end has been reported is not in the way of a firing of the same turn.
        for report in reports {
            if let Some(tracked) = self.runs.get_mut(&report.run) {
                tracked.is_calling &= !report.answers_call;
                if matches!(report.event, Event::Observed(_) | Event::Missing(_)) {
                    self.unseen.remove(&report.run);
                }
                if matches!(&report.event, Event::Answered(answer) if quota::is_throttled(answer)) {
                    self.heed_throttle(&report.run, now);
                }
                self.step(&report.run, report.event, now);
            }
        }
        self.account_for_changes(now);
        if is_leaving {
            self.decline_orders();
        } else {
            if !self.is_draining {
                self.fire(now);
            }
            self.carry_out_orders(now);
        }
        while let Some((at, id)) = self.wakes.first().cloned() {
            if at > now {
                break;
            }
            self.wakes.remove(&(at, id.clone()));
            self.step(&id, Event::Woken, now);
        }
        if !is_leaving {
            self.grant_permits(now);
            if !self.is_draining {
                self.end_pauses(now);
            }
        }
        self.last_turn_at = self.last_turn_at.max(now);
        self.take_batch(now)
    }

    /// Enters a run that is new to the store.
    fn enter(&mut self, run: Run, entries: Vec<Entry>) {
        self.begun += 1;
        self.touched.insert(run.id.clone());
        self.runs.insert(run.id.clone(), Tracked::begun(self.begun, run, entries));
    }

    /// Moves a run and puts it where its new state wants it.
    fn step(&mut self, id: &RunId, event: Event, now: DateTime<Utc>) {
        let is_due = self.runs.get(id).is_some_and(|tracked| tracked.wake_at.is_some_and(|at| at <= now));
        let wakes_too = is_due && event != Event::Woken;
        self.take(id, event, now);
        if wakes_too {
            // Taking an event moves the run to its next wake; the one that is due now must not get lost by it.
            self.take(id, Event::Woken, now);
        }
        self.reconsider(id, now);
    }

    fn take(&mut self, id: &RunId, event: Event, now: DateTime<Utc>) {
        let Some(tracked) = self.runs.get_mut(id) else { return };
        #[cfg(not(test))]
        let stepped = tracked.run.step(event, now);
        #[cfg(test)]
        let stepped = tests::broken::step(&mut tracked.run, event, now);
        match stepped {
            Ok(Step::Unchanged) | Err(Refused::Stale) => {}
            Ok(Step::Changed(entries)) => {
                tracked.entries.extend(entries);
                tracked.is_dirty = true;
            }
            Err(Refused::Illegal) => {
                tracing::error!(run = %id, state = ?tracked.run.state, "event refused that does not fit the run's state");
                debug_assert!(false, "illegal event for run {id} in {:?}", tracked.run.state);
            }
        }
    }

    fn take_batch(&mut self, now: DateTime<Utc>) -> Option<Batch> {
        let moved = std::mem::take(&mut self.moved_marks);
        let marks = moved.into_iter().filter_map(|name| self.jobs.get(&name)).map(JobEntry::mark).collect();
        let mut runs = Vec::new();
        for id in &self.touched {
            let Some(tracked) = self.runs.get_mut(id) else { continue };
            runs.extend(tracked.take_save().map(|save| (tracked.nth, save)));
        }
        // The store keeps new runs in the order in which they were begun: after a restart they take turns in it.
        runs.sort_by_key(|(nth, _)| *nth);
        let runs: Vec<RunSave> = runs.into_iter().map(|(_, save)| save).collect();
        let changed = std::mem::take(&mut self.changed_pauses);
        let batch = Batch {
            marks,
            forgotten_marks: std::mem::take(&mut self.forgotten_marks),
            notices: self.owed(&runs),
            notice_moves: std::mem::take(&mut self.revived),
            runs,
            pauses: changed.into_iter().map(|scope| (scope.clone(), self.pauses.get(&scope).cloned())).collect(),
            audit: std::mem::take(&mut self.audit),
            ..self.heartbeat(now)
        };
        (!batch.is_empty()).then_some(batch)
    }

    /// A batch that changes nothing and says that the daemon is alive.
    pub fn heartbeat(&self, now: DateTime<Utc>) -> Batch {
        Batch::empty(self.term, now)
    }

    /// Forgets new runs whose firing had been recorded before, for example before a clock was set back.
    pub fn forget(&mut self, duplicates: &BTreeSet<RunId>, now: DateTime<Utc>) {
        for id in duplicates {
            if let Some(tracked) = self.runs.remove(id) {
                if let Some(queued) = tracked.queued {
                    self.leave_queue(&queued, tracked.run.definition.task.group.clone(), now);
                }
                self.give_back_slot(id, now);
                if let Some(at) = tracked.wake_at {
                    self.wakes.remove(&(at, id.clone()));
                }
                if let Some(oldest) = self.leave_living(&tracked.run.job, id, now) {
                    self.reconsider(&oldest, now);
                }
            }
        }
    }

    /// What to perform, now that the last batch is durable.
    pub fn acts(&mut self, now: DateTime<Utc>) -> Vec<Act> {
        // A commit may have taken long.
        self.heed_clock(now);
        self.quotas.left(now);
        let mut acts: Vec<Act> = self.new_pace.take().map(Act::Pace).into_iter().collect();
        for id in std::mem::take(&mut self.touched) {
            let Some(tracked) = self.runs.get_mut(&id) else { continue };
            if tracked.is_dirty {
                // Changed after the batch was taken: it is acted upon once that is saved.
                self.touched.insert(id);
                continue;
            }
            if !tracked.is_calling && tracked.run.begin_late(now) {
                tracked.is_dirty = true;
                self.touched.insert(id);
                continue;
            }
            tracked.watch(&mut acts);
            acts.extend(tracked.call(now));
            if tracked.run.is_finished() {
                self.runs.remove(&id);
            }
        }
        acts
    }

    /// When the next turn is due, unless a report comes first.
    pub fn next_turn_at(&self) -> Option<DateTime<Utc>> {
        let firing = self.agenda.first().map(|(at, _)| *at).filter(|_| !self.is_draining);
        let wake = self.wakes.first().map(|(at, _)| *at);
        let permit = self.queue.firsts().map(|(key, _)| self.quotas.next_permit(key)).min();
        let look = (!self.held.is_empty() && !self.is_draining).then_some(self.first_look_until);
        [firing, wake, permit, look].into_iter().flatten().min()
    }

    /// How many calls are under way.
    pub fn calls_under_way(&self) -> usize {
        self.runs.values().filter(|tracked| tracked.is_calling).count()
    }

    /// How many living runs are in each status.
    pub fn in_flight(&self) -> Vec<(Status, usize)> {
        let mut counts: HashMap<Status, usize> = HashMap::new();
        self.runs.values().for_each(|tracked| *counts.entry(tracked.run.status()).or_default() += 1);
        Status::ALL.into_iter().filter_map(|status| Some((status, *counts.get(&status)?))).collect()
    }

    /// How many runs are alive.
    pub fn living_runs(&self) -> usize {
        self.runs.len()
    }
}

#[cfg(test)]
mod tests;
