//! A small world around the driver: a store, the ECS of `ecs.rs`, a clock that can be wrong, and a daemon that can die at
//! any point. Everything random comes from one seed.
//!
//! The world asserts while it runs: no act before its batch, one task for each token, no two tasks of a run at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::super::{Act, Driver, Report};
use super::ecs::{FakeEcs, FakeTask, Random};
use crate::engine::bucket::Bucket;
use crate::engine::job::{Instance, Job, JobName};
use crate::engine::run::{Entry, Event, Run, RunId, State, Status};
use crate::engine::task::TaskArn;
use crate::store::{Batch, Loaded, Mark, Term};

/// What the store keeps, exactly what a batch said.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) runs: BTreeMap<RunId, Run>,
    pub(super) entries: BTreeMap<RunId, Vec<Entry>>,
    pub(super) marks: BTreeMap<JobName, Mark>,
    pub(super) order: Vec<RunId>,
    pub(super) last_commit_at: Option<DateTime<Utc>>,
    pub(super) batches: usize,
}

impl Shelf {
    pub(super) fn commit(&mut self, batch: &Batch) -> BTreeSet<RunId> {
        self.batches += 1;
        self.last_commit_at = Some(batch.at);
        self.marks.retain(|job, _| !batch.forgotten_marks.contains(job));
        self.marks.extend(batch.marks.iter().map(|mark| (mark.job.clone(), mark.clone())));
        let mut duplicates = BTreeSet::new();
        for save in &batch.runs {
            let id = save.run.id.clone();
            if save.is_new {
                if self.runs.contains_key(&id) {
                    duplicates.insert(id);
                    continue;
                }
                self.order.push(id.clone());
            }
            let old = self.runs.insert(id.clone(), save.run.clone());
            assert!(old.is_none_or(|run| !run.is_finished()), "a finished run changed: {id}");
            let entries = self.entries.entry(id).or_default();
            for entry in &save.entries {
                entries.push(entry.clone());
                assert_eq!(usize::try_from(entry.seq).unwrap(), entries.len(), "the history has a gap");
            }
            assert_eq!(usize::try_from(save.run.history_len).unwrap(), entries.len());
        }
        duplicates
    }

    fn load(&self) -> Loaded {
        let living = self.order.iter().filter_map(|id| self.runs.get(id)).filter(|run| !run.is_finished());
        Loaded {
            marks: self.marks.values().cloned().collect(),
            runs: living.cloned().collect(),
            last_commit_at: self.last_commit_at,
        }
    }

    pub(super) fn living(&self) -> Vec<&Run> {
        self.runs.values().filter(|run| !run.is_finished()).collect()
    }
}

/// Where a daemon dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    BeforeSave,
    AfterSave,
    /// After about half of the acts.
    AmongActs,
}

pub(super) struct World {
    pub(super) jobs: Vec<Arc<Job>>,
    pub(super) random: Random,
    /// Real time; the daemon's clock is `skew` ahead of it.
    pub(super) real: DateTime<Utc>,
    pub(super) skew: TimeDelta,
    pub(super) shelf: Shelf,
    pub(super) ecs: FakeEcs,
    pub(super) driver: Driver,
    calls: Vec<(DateTime<Utc>, Report)>,
    watched: BTreeMap<TaskArn, RunId>,
    poll_at: DateTime<Utc>,
    /// Die at the batch of this number, counted from 1.
    pub(super) die_at: Option<(usize, Death)>,
    /// Chance in a thousand of dying at any batch.
    pub(super) deaths_in_thousand: u64,
    pub(super) launched_at: Vec<DateTime<Utc>>,
    turns_without_rest: u32,
}

pub(super) fn rate() -> (f64, u32) {
    (5.0, 5)
}

impl World {
    pub(super) fn new(seed: u64, jobs: Vec<Arc<Job>>) -> World {
        let real = DateTime::from_timestamp(1_750_000_001, 0).unwrap();
        let shelf = Shelf::default();
        let driver = build(&jobs, &shelf, real);
        World {
            jobs,
            random: Random::new(seed),
            real,
            skew: TimeDelta::zero(),
            shelf,
            ecs: FakeEcs::default(),
            driver,
            calls: Vec::new(),
            watched: BTreeMap::new(),
            poll_at: real,
            die_at: None,
            deaths_in_thousand: 0,
            launched_at: Vec::new(),
            turns_without_rest: 0,
        }
    }

    pub(super) fn wall(&self) -> DateTime<Utc> {
        self.real + self.skew
    }

    /// A daemon that starts on what the store holds, and on what ECS shows if the store is empty; the one before it is gone
    /// with its calls and pollers.
    pub(super) fn restart(&mut self) {
        self.calls.clear();
        self.watched.clear();
        self.driver = build(&self.jobs, &self.shelf, self.wall());
        if self.shelf.last_commit_at.is_none() {
            self.driver.take_in(self.ecs.live(self.real), self.wall());
        }
    }

    /// A restart after the store was deleted.
    pub(super) fn lose_state(&mut self) {
        self.shelf = Shelf::default();
        self.restart();
    }

    /// Lets the daemon turn until `real` reaches `until`.
    pub(super) fn run_until(&mut self, until: DateTime<Utc>) {
        while self.real < until {
            self.turn(false);
            self.advance(until);
        }
    }

    /// One turn of the daemon's loop; false if it died in it.
    pub(super) fn turn(&mut self, is_leaving: bool) -> bool {
        let mut reports = self.arrived();
        if self.poll_at <= self.real {
            self.poll_at = self.real + TimeDelta::seconds(5);
            let look = |(task, run): (&TaskArn, &RunId)| Report {
                run: run.clone(),
                event: self.ecs.describe(task, self.real),
                answers_call: false,
            };
            reports.extend(self.watched.iter().map(look));
        }
        let now = self.wall();
        let batch = self.driver.turn(reports, now, is_leaving);
        let death = self.death(batch.is_some());
        if death == Some(Death::BeforeSave) {
            self.restart();
            return false;
        }
        if let Some(batch) = batch {
            let duplicates = self.shelf.commit(&batch);
            self.driver.forget(&duplicates, now);
        }
        if death == Some(Death::AfterSave) {
            self.restart();
            return false;
        }
        let acts = self.driver.acts(self.wall());
        let performed = if death.is_some() { acts.len().div_ceil(2) } else { acts.len() };
        for act in acts.into_iter().take(performed) {
            self.perform(act);
        }
        if death.is_some() {
            self.restart();
        }
        death.is_none()
    }

    fn death(&mut self, at_batch: bool) -> Option<Death> {
        if !at_batch {
            return None;
        }
        if let Some((batch, death)) = self.die_at {
            return (self.shelf.batches + 1 == batch).then(|| {
                self.die_at = None;
                death
            });
        }
        let dies = self.random.below(1000) < self.deaths_in_thousand;
        dies.then(|| match self.random.below(3) {
            0 => Death::BeforeSave,
            1 => Death::AfterSave,
            _ => Death::AmongActs,
        })
    }

    fn arrived(&mut self) -> Vec<Report> {
        let real = self.real;
        let (arrived, left) = std::mem::take(&mut self.calls).into_iter().partition(|(at, _)| *at <= real);
        self.calls = left;
        arrived.into_iter().map(|(_, report)| report).collect()
    }

    fn stored(&self, run: &RunId) -> &State {
        &self.shelf.runs.get(run).expect("an act for a run that is not saved").state
    }

    fn perform(&mut self, act: Act) {
        let (run, event) = match act {
            Act::Watch { run, task, .. } => {
                assert!(self.shelf.runs[&run].followed_task() == Some(&task), "watching what is not saved");
                self.watched.insert(task, run);
                return;
            }
            Act::Unwatch { task, .. } => {
                self.watched.remove(&task);
                return;
            }
            Act::Launch { run, launch } => {
                assert_eq!(self.stored(&run), &State::Launching, "sending what is not saved");
                assert_eq!(
                    self.shelf.runs[&run].launch.as_ref(),
                    Some(&launch),
                    "sending another request than the saved"
                );
                self.launched_at.push(self.real);
                // As `perform.rs` does: the last look at the age is just before the send.
                let is_too_old = launch.unresolved && !launch.may_be_resent(self.wall());
                let answer = (!is_too_old).then(|| self.ecs.run_task(&launch.request, &mut self.random, self.real));
                (run, answer.map_or(Event::Resumed, Event::Answered))
            }
            Act::Find { run, launch } => {
                assert!(matches!(self.stored(&run), State::Seeking { .. }), "looking for what is not saved");
                (run, Event::Sought(self.ecs.find(&launch.request, &mut self.random, self.real)))
            }
            Act::Stop { run, task, .. } => {
                assert!(matches!(self.stored(&run), State::Stopping { .. }), "stopping what is not saved");
                self.ecs.stop(&task, &mut self.random, self.real);
                (run, Event::StopAsked)
            }
        };
        let at = self.real + self.random.milliseconds(20, 3_000);
        self.calls.push((at, Report { run, event, answers_call: true }));
    }

    /// Real time goes on to whatever comes next: an answer, a poll, or the instant that the driver named.
    fn advance(&mut self, until: DateTime<Utc>) {
        let named = self.driver.next_turn_at().map(|at| at - self.skew);
        let answer = self.calls.iter().map(|(at, _)| *at).min();
        let poll = (!self.watched.is_empty()).then_some(self.poll_at);
        let next = [named, answer, poll, Some(until)].into_iter().flatten().min().unwrap();
        self.turns_without_rest = if next <= self.real { self.turns_without_rest + 1 } else { 0 };
        assert!(self.turns_without_rest < 5, "the loop spins at {}: {named:?}", self.real);
        self.real = next.max(self.real + TimeDelta::milliseconds(1));
    }

    /// Heals ECS, takes every job away and lets what lives come to its end.
    pub(super) fn settle(&mut self) {
        self.jobs.clear();
        self.ecs.is_healthy = true;
        (self.die_at, self.deaths_in_thousand) = (None, 0);
        self.restart();
        let give_up = self.real + TimeDelta::hours(24);
        while !self.shelf.living().is_empty() {
            assert!(
                self.real < give_up,
                "runs hang: {:?}",
                self.shelf.living().iter().map(|r| &r.state).collect::<Vec<_>>()
            );
            self.turn(false);
            self.advance(give_up);
        }
        assert_eq!((self.driver.living_runs(), self.driver.next_turn_at()), (0, None));
    }

    /// Every instant up to each mark has exactly one row, nothing beyond has one, and green is green.
    pub(super) fn audit(&self, jobs: &[Arc<Job>]) {
        for job in jobs {
            let Some(mark) = self.shelf.marks.get(&job.name) else { continue };
            let begun = DateTime::from_timestamp(1_750_000_001, 0).unwrap();
            let expected: BTreeSet<RunId> =
                job.schedule.firings(begun, mark.mark, mark.anchor).map(|at| RunId::of_firing(&job.name, at)).collect();
            let rows = self.shelf.runs.values().filter(|run| run.job == job.name);
            let rows: BTreeSet<RunId> = rows.map(|run| run.id.clone()).collect();
            assert_eq!(rows, expected, "rows of {} differ from its instants", job.name);
        }
        for run in self.shelf.runs.values() {
            let tasks: Vec<&FakeTask> = self.ecs.tasks.iter().filter(|task| task.run == run.id).collect();
            match run.status() {
                Status::Succeeded => assert!(tasks.iter().any(|task| task.succeeded()), "{} is not green", run.id),
                Status::Skipped | Status::Missed => assert!(tasks.is_empty(), "{} was launched", run.id),
                Status::Failed | Status::TimedOut | Status::Cancelled | Status::Unknown => {}
                Status::Due | Status::Launching | Status::Running | Status::Stopping | Status::Waiting => {
                    panic!("{} is not over", run.id)
                }
            }
            let granted: u32 = run.retries_used.iter().sum();
            let numbers: Vec<u32> = run.attempts.iter().map(|attempt| attempt.attempt).collect();
            assert!(numbers.iter().copied().eq(1..=u32::try_from(numbers.len()).unwrap()), "{}: {numbers:?}", run.id);
            assert!(u32::try_from(numbers.len()).unwrap() <= granted + 1, "{} tried more often than granted", run.id);
        }
    }
}

fn build(jobs: &[Arc<Job>], shelf: &Shelf, now: DateTime<Utc>) -> Driver {
    let (rate, burst) = rate();
    let instance = Instance::new("prod").unwrap();
    Driver::new(instance, Term(1), jobs.to_vec(), Bucket::new(rate, burst, now), shelf.load(), now)
}
