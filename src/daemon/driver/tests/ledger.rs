//! What must hold of each batch at the moment at which it is saved: pauses, slots, spreads, the order of launches, and what
//! people did.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::people::Wish;
use super::world::World;
use super::{demand, demand_eq};
use crate::engine::job::{Instance, Job, JobName};
use crate::engine::pause::Scope;
use crate::engine::quota::quota_key;
use crate::engine::run::{HistoryEvent, Run, RunId, State, Trigger};
use crate::engine::schedule::spread_offset;
use crate::store::{Batch, RunSave};

/// A stretch of time for which something was paused, as it was saved.
#[derive(Debug)]
pub(super) struct Stretch {
    scope: Scope,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    lifted_at: Option<DateTime<Utc>>,
}

impl Stretch {
    /// Whether a job that leaves then is paused.
    fn holds(&self, job: &JobName, leaves_at: DateTime<Utc>) -> bool {
        let is_of = match &self.scope {
            Scope::All => true,
            Scope::Job(name) => name == job,
        };
        let ends = [self.until, self.lifted_at].into_iter().flatten().min();
        is_of && self.since < leaves_at && ends.is_none_or(|end| leaves_at <= end)
    }
}

impl World {
    /// The runs whose first launch is in a batch.
    pub(super) fn first_launches(&self, batch: &Batch) -> Vec<Run> {
        let launched_before = |id| self.shelf.runs.get(id).is_some_and(|run: &Run| run.launch.is_some());
        let runs = batch.runs.iter().map(|save| &save.run);
        runs.filter(|run| run.launch.is_some() && !launched_before(&run.id)).cloned().collect()
    }

    /// Checks a batch of the turn of `now` that has just been saved; `launched` are those whose first launch is in it.
    pub(super) fn check_saved(
        &mut self,
        batch: &Batch,
        launched: &[Run],
        dropped: &BTreeSet<RunId>,
        now: DateTime<Utc>,
    ) {
        let new = |save: &&RunSave| save.is_new && !dropped.contains(&save.run.id);
        for save in batch.runs.iter().filter(new) {
            let has_begun =
                matches!(save.entries.first().map(|e| &e.event), Some(HistoryEvent::ExecutionStarted { .. }));
            if has_begun && save.run.request.is_none() {
                self.leaves_when_it_may(&save.run, now);
            }
        }
        self.requests_are_rows_beside_what_people_did(batch, dropped);
        self.pauses_come_from_somebody(batch, now);
        self.slots_suffice(launched);
        demand(launched.is_empty() || self.driver.drains().is_none(), || {
            format!("{:?} began while the daemon drained", launched.iter().map(|run| &run.id).collect::<Vec<_>>())
        });
    }

    /// How much later than its instants a job leaves, in the configuration before this turn.
    fn offset_of(&self, name: &JobName) -> Option<TimeDelta> {
        let job = self.people.jobs_before.iter().find(|job| job.name == *name)?;
        Some(spread_offset(&Instance::new("prod").unwrap(), name, job.admission.spread))
    }

    /// Not before its instant and its part of the spread, and not of a time in which its job was paused.
    fn leaves_when_it_may(&self, run: &Run, now: DateTime<Utc>) {
        let Some(offset) = self.offset_of(&run.job) else { return };
        let is_reloaded = self.people.asked.iter().any(|wish| matches!(wish, Wish::Reload(..)));
        let leaves_at = run.scheduled_at + offset;
        demand(is_reloaded || leaves_at <= now, || format!("{} left before its place in the spread", run.id));
        if self.clock_was_changed {
            return;
        }
        let leaves_at = leaves_at.min(now);
        // What a longer spread held back over the end of a pause leaves after it, whatever the spread was made later.
        let of_job = self.people.known.iter().filter(|job| job.name == run.job);
        let had_other_spread = of_job.map(|job| job.admission.spread).collect::<BTreeSet<_>>().len() > 1;
        for stretch in self.shelf.stretches.iter().filter(|stretch| stretch.holds(&run.job, leaves_at)) {
            let is_over = stretch.lifted_at.is_some_and(|at| at < now) || stretch.until.is_some_and(|at| at < now);
            // What a reload lets go leaves after a pause that was lifted before it in the same turn.
            let is_lifted_first =
                is_reloaded && self.people.asked.iter().any(|wish| wish.scope() == Some(&stretch.scope));
            demand(is_lifted_first || (had_other_spread && is_over), || format!("{} started, and {stretch:?}", run.id));
        }
    }

    /// A run that somebody asked for and the row that says so are both there or neither.
    fn requests_are_rows_beside_what_people_did(&self, batch: &Batch, dropped: &BTreeSet<RunId>) {
        let of_kind = |trigger: Trigger| {
            let new = batch.runs.iter().filter(|save| save.is_new).map(|save| &save.run);
            new.filter(move |run| run.request.is_some() && run.trigger == trigger).map(|run| &run.id)
        };
        let noted_as = |actions: &'static [&'static str]| {
            batch.audit.iter().filter(move |audit| actions.contains(&audit.action.as_str()))
        };
        let manual: BTreeSet<&RunId> = of_kind(Trigger::Manual).collect();
        let noted: BTreeSet<&RunId> = noted_as(&["trigger", "retry"]).filter_map(|audit| audit.run.as_ref()).collect();
        demand(manual == noted, || format!("{manual:?} are new, and people asked for {noted:?}"));
        let counted = |detail: &String| detail.split(' ').next().and_then(|count| count.parse::<usize>().ok());
        let backfilled: usize =
            noted_as(&["backfill"]).filter_map(|audit| audit.detail.as_ref().and_then(counted)).sum();
        demand_eq(of_kind(Trigger::Backfill).count(), backfilled, || "runs of backfills".to_owned());
        let asked = batch.runs.iter().find(|save| save.run.request.is_some() && dropped.contains(&save.run.id));
        demand(asked.is_none(), || format!("{asked:?} was asked for, and there was one of its name"));
    }

    /// A pause begins because somebody or a rule wants it, and is over when somebody says so or its end has passed.
    fn pauses_come_from_somebody(&mut self, batch: &Batch, now: DateTime<Utc>) {
        for (scope, pause) in &batch.pauses {
            let is_asked = self.people.asked.iter().any(|wish| wish.scope() == Some(scope));
            let last = self.shelf.stretches.iter_mut().rev().find(|stretch| stretch.scope == *scope);
            let ends = last.as_ref().and_then(|last| last.until);
            if let Some(last) = last {
                last.lifted_at.get_or_insert(now);
            }
            match pause {
                None => demand(is_asked || ends.is_some_and(|end| end < now), || format!("{scope:?} was resumed")),
                Some(pause) => {
                    let is_rule = pause.asker.by.starts_with("pause_after = ");
                    demand(is_asked || is_rule, || format!("nobody paused {scope:?}: {pause:?}"));
                    let (since, until) = (pause.since, pause.until);
                    self.shelf.stretches.push(Stretch { scope: scope.clone(), since, until, lifted_at: None });
                }
            }
        }
    }

    /// Who waits for a permit.
    pub(super) fn in_line(&self) -> BTreeSet<RunId> {
        self.driver.queue.all().map(|(_, id)| id.clone()).collect()
    }

    /// When the launch of a run became due, told from its stored state; none if something else may have kept it since.
    fn launch_due_at(&self, run: &Run) -> Option<DateTime<Utc>> {
        let had_spread = |job: &Arc<Job>| job.name == run.job && !job.admission.spread.is_zero();
        match (self.shelf.runs.get(&run.id).map(|stored| &stored.state), &run.request) {
            (Some(State::Waiting { until, .. }), _) => Some(*until),
            (Some(State::Due), Some(_)) => Some(run.created_at),
            (Some(State::Due), None) => (!self.people.known.iter().any(had_spread)).then_some(run.scheduled_at),
            _ => None,
        }
    }

    /// Nobody who stood in line is passed by one of the same account whose launch became due later. Before the batch is saved.
    pub(super) fn launches_leave_in_order(&self, batch: &Batch, now: DateTime<Utc>) {
        if self.clock_was_changed || self.room.max_running.is_some() || !self.room.groups.is_empty() {
            return;
        }
        let key_of = |run: &Run| quota_key(&run.definition.task.target);
        let left = batch.runs.iter().map(|save| &save.run).filter(|run| {
            let sent_at = run.attempts.last().and_then(|attempt| attempt.launched_at);
            run.state == State::Launching && sent_at == Some(now)
        });
        let left: Vec<_> = left.filter_map(|run| Some((key_of(run), self.launch_due_at(run)?, run))).collect();
        for id in self.in_line().intersection(&self.stood_in_line) {
            let run = &self.driver.runs[id].run;
            let Some(due_at) = self.launch_due_at(run) else { continue };
            let passed_by =
                left.iter().find(|(key, at, _)| *key == key_of(run) && *at > due_at).map(|(_, at, run)| (at, &run.id));
            demand(passed_by.is_none(), || format!("{id}, due at {due_at}, was passed by {passed_by:?}"));
        }
    }

    /// Whoever began to launch in this batch found a slot. Slots that were taken before limits were lowered stay taken.
    fn slots_suffice(&self, launched: &[Run]) {
        if launched.is_empty() || (self.room.max_running.is_none() && self.room.groups.is_empty()) {
            return;
        }
        let living = self.shelf.living();
        let groups = living.iter().filter(|run| run.launch.is_some()).map(|run| &run.definition.task.group);
        let groups: Vec<_> = groups.collect();
        if let Some(max) = self.room.max_running {
            let count = groups.len();
            demand(count <= max as usize, || format!("{} launched, as the {count}th of {max}", launched[0].id));
        }
        for run in launched {
            let Some(group) = &run.definition.task.group else { continue };
            let Some(max) = self.room.groups.get(group) else { continue };
            let count = groups.iter().filter(|of| of.as_ref() == Some(group)).count();
            demand(count <= *max as usize, || format!("{} launched, as the {count}th of {max} of {group}", run.id));
        }
    }

    /// Whoever waits for a slot lacks one, unless somebody in the queue is about to take it.
    pub(super) fn nobody_waits_for_nothing(&self) {
        // Of a daemon that drains, first launches wait for the next start.
        if !self.driver.queue.is_empty() || self.driver.drains().is_some() {
            return;
        }
        for (_, id) in self.driver.waiting.values().flat_map(|lines| lines.all()) {
            let group = self.driver.runs[id].run.definition.task.group.as_deref();
            demand(self.driver.slots.full(group).is_some(), || format!("{id} waits for a slot, and one is free"));
        }
    }
}
