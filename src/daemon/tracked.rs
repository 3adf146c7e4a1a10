//! A living run in the driver's books: what there is to save of it, and what is being done for it.

use chrono::{DateTime, Utc};

use super::act::Act;
use super::driver::Queued;
use crate::engine::job::Site;
use crate::engine::notice::Before;
use crate::engine::run::{Action, Entry, Run};
use crate::engine::task::TaskArn;
use crate::store::RunSave;

/// A living run with what the driver knows beside it.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) run: Run,
    /// The how manieth it is of those that this daemon has begun; 0 if it was loaded.
    pub(super) nth: u64,
    /// Never saved yet.
    is_new: bool,
    /// Attempts that are saved and final.
    pub(super) attempts_saved: usize,
    /// Entries to save.
    pub(super) entries: Vec<Entry>,
    /// Must be saved.
    pub(super) is_dirty: bool,
    /// A call for it is under way, so no other is ordered.
    pub(super) is_calling: bool,
    /// The tasks that are being polled for it.
    watched: Vec<TaskArn>,
    /// From when on that is done often.
    watched_often_from: Option<DateTime<Utc>>,
    /// Where it waits for a launch permit.
    pub(super) queued: Option<Queued>,
    /// Whether something else than a permit kept it from its first launch.
    pub(super) was_held: bool,
    /// Where it stands in `wakes`.
    pub(super) wake_at: Option<DateTime<Utc>>,
    /// How its job stood before it was over; none while it lives, and if nobody is told of its end.
    pub(super) before: Option<Before>,
}

impl Tracked {
    /// A run that the store holds. Its newest attempt may still change.
    pub(super) fn loaded(run: Run) -> Tracked {
        let attempts_saved = run.attempts.len().saturating_sub(1);
        Tracked { attempts_saved, ..Tracked::new(run, false) }
    }

    /// A run that was just begun or refused, with its first entries: it must be saved.
    pub(super) fn begun(nth: u64, run: Run, entries: Vec<Entry>) -> Tracked {
        Tracked { nth, entries, is_dirty: true, ..Tracked::new(run, true) }
    }

    fn new(run: Run, is_new: bool) -> Tracked {
        Tracked {
            run,
            nth: 0,
            is_new,
            attempts_saved: 0,
            entries: Vec::new(),
            is_dirty: false,
            is_calling: false,
            watched: Vec::new(),
            watched_often_from: None,
            queued: None,
            was_held: false,
            wake_at: None,
            before: None,
        }
    }

    /// What there is to save, once.
    pub(super) fn take_save(&mut self) -> Option<RunSave> {
        if !std::mem::take(&mut self.is_dirty) {
            return None;
        }
        let save = RunSave {
            run: self.run.clone(),
            is_new: std::mem::take(&mut self.is_new),
            attempts_from: self.attempts_saved,
            entries: std::mem::take(&mut self.entries),
        };
        self.attempts_saved = self.run.attempts.len().saturating_sub(1);
        Some(save)
    }

    fn site(&self) -> Site {
        self.run.definition.task.site()
    }

    /// Polling follows the run's tasks.
    pub(super) fn watch(&mut self, acts: &mut Vec<Act>) {
        let often_from = self.run.may_stop_from();
        let is_otherwise = often_from != self.watched_often_from;
        if !is_otherwise && self.run.followed().map(|followed| &followed.task).eq(&self.watched) {
            return;
        }
        let wanted: Vec<TaskArn> = self.run.followed().map(|followed| followed.task.clone()).collect();
        for task in self.watched.iter().filter(|task| !wanted.contains(task)) {
            acts.push(Act::Unwatch { site: self.site(), task: task.clone() });
        }
        for task in wanted.iter().filter(|task| is_otherwise || !self.watched.contains(task)) {
            acts.push(Act::Watch { run: self.run.id.clone(), site: self.site(), task: task.clone(), often_from });
        }
        (self.watched, self.watched_often_from) = (wanted, often_from);
    }

    /// The call that the run's state asks for, unless one is under way.
    pub(super) fn call(&mut self, now: DateTime<Utc>) -> Option<Act> {
        if self.is_calling {
            return None;
        }
        let run = self.run.id.clone();
        let act = match self.run.action(now) {
            Action::Launch(launch) => Act::Launch { run, launch: launch.clone() },
            Action::Find(launch) => Act::Find { run, launch: launch.clone() },
            Action::Stop { tasks, reason } => {
                let tasks = tasks.iter().map(|followed| followed.task.clone()).collect();
                Act::Stop { run, site: self.site(), tasks, reason }
            }
            Action::Begin | Action::Watch(_) | Action::Rest => return None,
        };
        self.is_calling = true;
        Some(act)
    }
}
