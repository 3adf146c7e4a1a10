//! Who may launch: the living runs of a job in their order, slots of groups and of all, and the launch quota.
//!
//! A run that wants a permit stands in one queue, the earliest first. A first launch also needs a slot where one is limited;
//! a run that finds none is set aside with what is full, so that it holds up nobody, and comes back when a slot is free.

use chrono::{DateTime, Utc};

use super::clock_change::AHEAD_MIN;
use super::{Driver, Place};
use crate::engine::admit;
use crate::engine::job::{JobName, Overlap};
use crate::engine::run::{Action, Event, Run, RunId, State, Trigger, in_words};
use crate::engine::slots::Limited;

/// Where a run stands in the queue. What people ask for does not go before an instant of today, however old its own is.
pub(super) fn place_of(run: &Run) -> Place {
    let at = match run.trigger {
        Trigger::Schedule | Trigger::Catchup => run.scheduled_at,
        Trigger::Manual | Trigger::Backfill => run.created_at,
    };
    (at, run.id.clone())
}

impl Driver {
    /// After any change of a run: puts it where its new state wants it, and whoever its end lets begin.
    pub(super) fn reconsider(&mut self, id: &RunId, now: DateTime<Utc>) {
        let mut next = Some(id.clone());
        // A loop, for a whole queue may be overdue at once.
        while let Some(id) = next {
            next = self.put_in_place(&id, now);
        }
    }

    /// Is it overdue, does it want a permit, when must it be woken, has it ended? Then the oldest run of its job is next.
    fn put_in_place(&mut self, id: &RunId, now: DateTime<Utc>) -> Option<RunId> {
        self.touched.insert(id.clone());
        if self.runs.get(id).is_some_and(|tracked| tracked.run.is_overdue(now)) {
            let waited_for = self.waits_for(id, now).unwrap_or_default();
            self.take(id, Event::Overdue { waited_for }, now);
        }
        let tracked = self.runs.get_mut(id)?;
        let wake_at = tracked.run.wake_after(now);
        if let Some(old) = std::mem::replace(&mut tracked.wake_at, wake_at) {
            self.wakes.remove(&(old, id.clone()));
        }
        if let Some(at) = wake_at {
            self.wakes.insert((at, id.clone()));
        }
        let run = &self.runs.get(id)?.run;
        let (job, place, group) = (run.job.clone(), place_of(run), run.definition.task.group.clone());
        let (is_due, is_finished) = (run.state == State::Due, run.is_finished());
        let wants_permit = matches!(run.action(now), Action::Begin) && (!is_due || self.may_begin(run));
        if !wants_permit {
            self.leave_queue(&place, group.clone());
        } else if !self.is_set_aside(&place) {
            self.queue.insert(place);
        }
        if is_finished {
            self.give_back_slot(id);
            return self.leave_living(&job, id, now);
        }
        if !is_due {
            self.slots.take(id, group.as_deref());
        }
        None
    }

    /// Ends what was not launched in time, before reports change what it waited for.
    pub(super) fn end_overdue(&mut self, now: DateTime<Utc>) {
        let due = self.wakes.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| id);
        let is_overdue = |id: &&RunId| self.runs.get(*id).is_some_and(|tracked| tracked.run.is_overdue(now));
        let overdue: Vec<RunId> = due.filter(is_overdue).cloned().collect();
        overdue.iter().for_each(|id| self.reconsider(id, now));
    }

    fn may_begin(&self, run: &Run) -> bool {
        // A job that left the configuration finishes its runs one after the other.
        let of_job = self.jobs.get(&run.job).map_or(Overlap::QueueAll, |entry| entry.job.admission.overlap);
        let overlap = run.request.as_ref().and_then(|request| request.overlap).unwrap_or(of_job);
        let oldest = self.living.get(&run.job).and_then(|ids| ids.first());
        admit::may_begin(overlap, oldest == Some(&run.id))
    }

    /// What keeps a run that is due from beginning; none for any other run.
    pub fn waits_for(&self, id: &RunId, now: DateTime<Utc>) -> Option<String> {
        let run = self.runs.get(id).map(|tracked| &tracked.run).filter(|run| run.state == State::Due)?;
        let oldest = self.living.get(&run.job).and_then(|ids| ids.first());
        Some(match (oldest, self.slots.full(run.definition.task.group.as_deref())) {
            (Some(oldest), _) if !self.may_begin(run) => format!("run {oldest} to end"),
            (_, Some(full)) => format!("a slot ({})", self.slots.in_words(&full)),
            (_, None) if now - self.last_turn_at > AHEAD_MIN => {
                let (from, until) = (in_words(self.last_turn_at), in_words(now));
                format!("the daemon, which was away or could not save from {from} to {until}")
            }
            (_, None) => "the launch quota, or for the state to be saved".to_owned(),
        })
    }

    /// The end of a run may let another one of its job begin: the oldest.
    pub(super) fn leave_living(&mut self, job: &JobName, id: &RunId, now: DateTime<Utc>) -> Option<RunId> {
        let ids = self.living.get_mut(job)?;
        let before = ids.len();
        ids.retain(|living| living != id);
        let left = ids.len() < before;
        let oldest = ids.first().cloned();
        if ids.is_empty() {
            self.living.remove(job);
        }
        if !left {
            return None;
        }
        self.note_end(id, now);
        oldest
    }

    pub(super) fn grant_permits(&mut self, now: DateTime<Utc>) {
        while let Some(place) = self.queue.first().cloned() {
            let id = &place.1;
            if let Some(full) = self.lacks_slot(id) {
                self.queue.remove(&place);
                if full != Limited::All {
                    // The slot of all that it did not take is another one's.
                    self.call_back(&Limited::All);
                }
                self.waiting.entry(full).or_default().insert(place);
                continue;
            }
            if !self.bucket.take(now) {
                break;
            }
            self.queue.remove(&place);
            self.step(id, Event::Permitted, now);
        }
    }

    /// What has no slot for the first launch of a run.
    fn lacks_slot(&self, id: &RunId) -> Option<Limited> {
        let run = self.runs.get(id).map(|tracked| &tracked.run).filter(|run| run.state == State::Due)?;
        self.slots.full(run.definition.task.group.as_deref())
    }

    fn is_set_aside(&self, place: &Place) -> bool {
        self.waiting.values().any(|places| places.contains(place))
    }

    /// A run that leaves the queue without a permit, or what it was set aside in, leaves the slots that it was called back
    /// for to the next ones: who lacks a slot of all may have been called back for one of its group.
    pub(super) fn leave_queue(&mut self, place: &Place, group: Option<String>) {
        let mut was_there = self.queue.remove(place);
        self.waiting.retain(|_, places| {
            was_there |= places.remove(place);
            !places.is_empty()
        });
        if was_there {
            self.call_back(&Limited::All);
            group.map(Limited::Group).iter().for_each(|group| self.call_back(group));
        }
    }

    pub(super) fn give_back_slot(&mut self, id: &RunId) {
        for freed in self.slots.give_back(id) {
            self.call_back(&freed);
        }
    }

    /// Puts the first run that waited for a slot back into the queue.
    fn call_back(&mut self, freed: &Limited) {
        let Some(places) = self.waiting.get_mut(freed) else { return };
        self.queue.extend(places.pop_first());
        if places.is_empty() {
            self.waiting.remove(freed);
        }
    }

    /// After limits have changed: who waits is looked at anew.
    pub(super) fn call_all_back(&mut self) {
        self.queue.extend(std::mem::take(&mut self.waiting).into_values().flatten());
    }
}
