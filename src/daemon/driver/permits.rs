//! Who may launch: the living runs of a job in their order, slots of groups and of all, and the launch quotas.
//!
//! A run that wants a permit stands in the line of its account and region. The one whose launch became due first goes first,
//! be it a first launch or a retry: so neither a storm of retries starves firings nor the other way round. A first launch
//! also needs a slot where one is limited; a run that finds none is set aside with what is full, so that it holds up nobody,
//! and comes back when a slot is free.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::clock_change::AHEAD_MIN;
use super::line::{Lines, Place, Queued};
use super::{Driver, Tracked};
use crate::engine::admit;
use crate::engine::job::{JobName, Overlap};
use crate::engine::quota::{QuotaKey, quota_key};
use crate::engine::run::{Action, Event, Run, RunId, State, Trigger, in_words};
use crate::engine::slots::Limited;

/// How the launches of one account and region stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchQueue {
    /// Which account and region.
    #[serde(flatten)]
    pub key: QuotaKey,
    /// How many launches wait for a permit.
    pub waiting: usize,
    /// Since when the one that is next waits for nothing else.
    pub since: Option<DateTime<Utc>>,
    /// How many permits a second are granted now.
    pub rate: f64,
    /// Whether these are fewer than configured, because ECS throttled.
    pub slowed: bool,
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
        let (job, group) = (run.job.clone(), run.definition.task.group.clone());
        let (is_due, is_finished) = (run.state == State::Due, run.is_finished());
        let may_begin = !is_due || self.may_begin(run);
        if may_begin && matches!(run.action(now), Action::Begin) {
            self.queue_up(id, now);
        } else {
            let tracked = self.runs.get_mut(id)?;
            tracked.was_held |= !may_begin;
            if let Some(queued) = tracked.queued.take() {
                self.leave_queue(&queued, group.clone(), now);
            }
        }
        if is_finished {
            self.give_back_slot(id, now);
            return self.leave_living(&job, id, now);
        }
        if !is_due {
            self.slots.take(id, group.as_deref());
        }
        None
    }

    /// Lets a run wait for its permit, unless it does already.
    fn queue_up(&mut self, id: &RunId, now: DateTime<Utc>) {
        let Some(Tracked { run, queued: None, was_held, .. }) = self.runs.get(id) else { return };
        let due_at = self.due_at(run);
        let is_late_otherwise = *was_held || (run.state == State::Due && run.trigger == Trigger::Catchup);
        let since = if is_late_otherwise { now } else { due_at };
        let (key, place) = (quota_key(&run.definition.task.target), (due_at, id.clone()));
        self.queue.insert(key.clone(), place.clone());
        if let Some(tracked) = self.runs.get_mut(id) {
            tracked.queued = Some(Queued { key, place, since });
        }
    }

    /// When a run's next launch became due: a first one at its instant and its place in the spread, a retry at the end of its
    /// wait. What people ask for does not go before an instant of today, however old its own is.
    fn due_at(&self, run: &Run) -> DateTime<Utc> {
        if let State::Waiting { until, .. } = run.state {
            return until;
        }
        match run.trigger {
            Trigger::Schedule | Trigger::Catchup => {
                let offset = self.jobs.get(&run.job).map(|entry| entry.offset).unwrap_or_default();
                run.created_at.min(run.scheduled_at + offset)
            }
            Trigger::Manual | Trigger::Backfill => run.created_at,
        }
    }

    /// Ends what was not launched in time, before reports change what it waited for.
    pub(super) fn end_overdue(&mut self, now: DateTime<Utc>) {
        let due = self.wakes.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| id);
        let is_overdue = |id: &&RunId| self.runs.get(*id).is_some_and(|tracked| tracked.run.is_overdue(now));
        let overdue: Vec<RunId> = due.filter(is_overdue).cloned().collect();
        // All are told before the first one leaves its place in the queue.
        let told: Vec<(RunId, String)> =
            overdue.into_iter().map(|id| (id.clone(), self.waits_for(&id, now).unwrap_or_default())).collect();
        for (id, waited_for) in told {
            self.take(&id, Event::Overdue { waited_for }, now);
            self.reconsider(&id, now);
        }
    }

    fn may_begin(&self, run: &Run) -> bool {
        // A job that left the configuration finishes its runs one after the other.
        let of_job = self.jobs.get(&run.job).map_or(Overlap::QueueAll, |entry| entry.job.admission.overlap);
        let overlap = run.request.as_ref().and_then(|request| request.overlap).unwrap_or(of_job);
        let oldest = self.living.get(&run.job).and_then(|ids| ids.first());
        admit::may_begin(overlap, oldest == Some(&run.id))
    }

    /// What keeps a run whose launch is due from it; none for any other run.
    pub fn waits_for(&self, id: &RunId, now: DateTime<Utc>) -> Option<String> {
        let Tracked { run, queued, .. } = self.runs.get(id)?;
        let quota = || queued.as_ref().map(|queued| self.quota_in_words(queued, now));
        if run.state != State::Due {
            return quota();
        }
        if self.is_draining {
            return Some("the next start of the daemon, which is draining".to_owned());
        }
        let oldest = self.living.get(&run.job).and_then(|ids| ids.first());
        Some(match (oldest, self.slots.full(run.definition.task.group.as_deref())) {
            (Some(oldest), _) if !self.may_begin(run) => format!("run {oldest} to end"),
            (_, Some(full)) => format!("a slot ({})", self.slots.in_words(&full)),
            (_, None) if now - self.last_turn_at > AHEAD_MIN => {
                let (from, until) = (in_words(self.last_turn_at), in_words(now));
                format!("the daemon, which was away or could not save from {from} to {until}")
            }
            (_, None) => quota().unwrap_or_else(|| "its turn".to_owned()),
        })
    }

    fn quota_in_words(&self, queued: &Queued, now: DateTime<Utc>) -> String {
        let Queued { key, place, .. } = queued;
        let (before, pace) = (self.queue.before(key, place), self.quotas.pace(key, now));
        // As many digits as say something: 20, 7.5, 0.625.
        let pace = if pace < 1.0 { (pace * 1e3).round() / 1e3 } else { (pace * 10.0).round() / 10.0 };
        let whose = if *key == QuotaKey::default() { String::new() } else { format!(" of {key}") };
        let slowed = if self.quotas.is_slowed(key, now) { " while ECS throttles" } else { "" };
        format!("the launch quota{whose}: {before} before it, {pace} a second{slowed}")
    }

    /// How the launches of each account and region stand.
    pub fn launch_queues(&self, now: DateTime<Utc>) -> Vec<LaunchQueue> {
        let since = |place: &Place| self.runs.get(&place.1)?.queued.as_ref().map(|queued| queued.since);
        let view = |key: &QuotaKey| LaunchQueue {
            key: key.clone(),
            waiting: self.queue.len(key),
            since: self.queue.first(key).and_then(since),
            rate: self.quotas.pace(key, now),
            slowed: self.quotas.is_slowed(key, now),
        };
        self.quotas.keys().map(view).collect()
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
        while let Some((key, place)) = self.next_in_line(now) {
            let id = &place.1;
            self.queue.remove(&key, &place);
            if self.is_draining && self.is_due(id) {
                // The next start lines it up again.
                self.runs.get_mut(id).into_iter().for_each(|tracked| tracked.queued = None);
                continue;
            }
            if let Some(full) = self.lacks_slot(id) {
                if full != Limited::All {
                    // The slot of all that it did not take is another one's.
                    self.call_back(&Limited::All, now);
                }
                if let Some(tracked) = self.runs.get_mut(id) {
                    tracked.was_held = true;
                }
                self.waiting.entry(full).or_default().insert(key, place);
                continue;
            }
            let tasks = self.runs.get(id).map_or(1, |tracked| tracked.run.definition.task.count);
            self.quotas.bucket(key, now).take_several(tasks, now);
            if let Some(tracked) = self.runs.get_mut(id) {
                (tracked.queued, tracked.was_held) = (None, false);
            }
            self.step(id, Event::Permitted, now);
        }
    }

    /// Who has waited longest of those for whom there is a permit.
    fn next_in_line(&mut self, now: DateTime<Utc>) -> Option<(QuotaKey, Place)> {
        let quotas = &mut self.quotas;
        let firsts = self.queue.firsts().filter(|(key, _)| quotas.bucket((*key).clone(), now).has_permit(now));
        firsts.min_by_key(|(_, place)| *place).map(|(key, place)| (key.clone(), place.clone()))
    }

    /// ECS throttled the newest launch of a run: that slows all of its account and region.
    pub(super) fn heed_throttle(&mut self, id: &RunId, now: DateTime<Utc>) {
        let Some(Tracked { run, .. }) = self.runs.get(id) else { return };
        let sent_at = run.attempts.last().and_then(|attempt| attempt.launched_at).unwrap_or(now);
        self.quotas.bucket(quota_key(&run.definition.task.target), now).throttled(sent_at, now);
    }

    /// What has no slot for the first launch of a run.
    fn lacks_slot(&self, id: &RunId) -> Option<Limited> {
        let run = self.runs.get(id).map(|tracked| &tracked.run).filter(|run| run.state == State::Due)?;
        self.slots.full(run.definition.task.group.as_deref())
    }

    /// A run that no longer waits for a permit leaves the slots that it was called back for to the next ones: who lacks a slot
    /// of all may have been called back for one of its group.
    pub(super) fn leave_queue(&mut self, queued: &Queued, group: Option<String>, now: DateTime<Utc>) {
        let Queued { key, place, .. } = queued;
        if !self.queue.remove(key, place) {
            self.waiting.retain(|_, lines| {
                lines.remove(key, place);
                !lines.is_empty()
            });
        }
        self.call_back(&Limited::All, now);
        group.map(Limited::Group).iter().for_each(|group| self.call_back(group, now));
    }

    pub(super) fn give_back_slot(&mut self, id: &RunId, now: DateTime<Utc>) {
        for freed in self.slots.give_back(id) {
            self.call_back(&freed, now);
        }
    }

    /// Puts the first run of each account and region that waited for a slot back into the queue. The slot is taken by the one
    /// that has a permit first; it is not kept free for one whose account is throttled.
    fn call_back(&mut self, freed: &Limited, now: DateTime<Utc>) {
        let Some(lines) = self.waiting.get_mut(freed) else { return };
        let firsts = lines.take_firsts();
        if lines.is_empty() {
            self.waiting.remove(freed);
        }
        self.put_back(firsts, now);
    }

    /// After limits have changed: who waits is looked at anew.
    pub(super) fn call_all_back(&mut self, now: DateTime<Utc>) {
        for lines in std::mem::take(&mut self.waiting).into_values() {
            self.put_back(lines, now);
        }
    }

    fn put_back(&mut self, lines: Lines, now: DateTime<Utc>) {
        for (_, id) in lines.all() {
            let queued = self.runs.get_mut(id).and_then(|tracked| tracked.queued.as_mut());
            queued.into_iter().for_each(|queued| queued.since = now);
        }
        self.queue.join(lines);
    }
}
