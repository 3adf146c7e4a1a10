//! A small world around the driver: the store in memory, which keeps the rows that SQLite would, the ECS of `ecs.rs`, a
//! clock that can be wrong, and a daemon that can die at every save and every call. Everything random comes from one seed.
//!
//! The loop here does what `daemon/mod.rs` does: turn, commit, forget, act; the acts are `calls.rs`'s. The world asserts while it
//! runs: no act before its batch, a stored run comes back as it was, a finished one never changes. What holds at the end is
//! `audit.rs`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::broken::{self, Flaw};
use super::ecs::{FakeEcs, Mood};
use super::people::{People, Room, Wish};
use super::random::Random;
use super::shelf::Shelf;
use super::{demand, demand_eq};
use crate::daemon::driver::{Driver, Report, Setup};
use crate::daemon::inbox::{self, Inbox};
use crate::engine::job::{Instance, Job, Overlap};
use crate::engine::notice::Notice;
use crate::engine::quota::Quotas;
use crate::engine::run::RunId;
use crate::engine::slots::Slots;
use crate::engine::task::TaskArn;
use crate::store::Batch;

/// Where a daemon dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// With a batch decided and not saved.
    BeforeSave,
    /// With a batch saved and nothing of it performed.
    AfterSave,
    /// With acts performed up to a call, and that one not.
    BeforeCall,
    /// After a call had its effect, and before its answer.
    AfterCall,
}

impl Death {
    pub(super) const AT_SAVES: [Death; 2] = [Death::BeforeSave, Death::AfterSave];
    pub(super) const AT_CALLS: [Death; 2] = [Death::BeforeCall, Death::AfterCall];
}

pub(super) struct World {
    pub(super) jobs: Vec<Arc<Job>>,
    pub(super) room: Room,
    pub(super) people: People,
    pub(super) random: Random,
    /// Real time; the daemon's clock is `skew` ahead of it.
    pub(super) real: DateTime<Utc>,
    pub(super) skew: TimeDelta,
    pub(super) shelf: Shelf,
    pub(super) ecs: FakeEcs,
    pub(super) driver: Driver,
    pub(super) calls: Vec<(DateTime<Utc>, Report)>,
    /// What was reported while nothing could be saved.
    inbox: Inbox,
    /// Who waited for a permit before the last turn.
    pub(super) stood_in_line: BTreeSet<RunId>,
    committed_at: DateTime<Utc>,
    pub(super) watched: BTreeMap<TaskArn, RunId>,
    pub(super) poll_at: DateTime<Utc>,
    /// Die at the save, or the call, of this number, counted from 1.
    pub(super) die_at: Option<(usize, Death)>,
    /// Chance in a thousand of dying at any save or call.
    pub(super) deaths_in_thousand: u64,
    deaths: u32,
    /// Chance in a thousand that the machine sleeps for up to two hours just before a call leaves.
    pub(super) naps_in_thousand: u64,
    /// Chance in a hundred that a save fails, again and again.
    pub(super) failing_saves_in_hundred: u64,
    pub(super) calls_made: usize,
    pub(super) launched_at: Vec<DateTime<Utc>>,
    /// How many turns in a row found nothing to do and nothing to wait for.
    idle_turns: u32,
    /// Whether the clock may be changed while the loop naps.
    pub(super) clock_may_change: bool,
    /// Whether the clock ever did anything but go on.
    pub(super) clock_was_changed: bool,
    /// Whether the daemon was ever away for longer than ECS remembers.
    pub(super) was_away_for_long: bool,
    /// How old a row must be at least to be deleted, where the store is pruned now and then; a day of the daemon's.
    pub(super) prunes_beyond: Option<TimeDelta>,
    /// How many rows were.
    pub(super) pruned: usize,
    turns: u32,
    /// Whether the history is printed as it goes.
    pub(super) is_told: bool,
    /// What a broken build saves with the next batch.
    pub(super) late_notices: Vec<Notice>,
}

pub(super) fn rate() -> (f64, u32) {
    (5.0, 5)
}

/// When every history begins.
pub(super) fn beginning() -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_001, 0).unwrap()
}

impl World {
    pub(super) fn new(seed: u64, jobs: Vec<Arc<Job>>) -> World {
        World::with(seed, jobs, Shelf::in_memory(), None)
    }

    /// A world with a store of one's own, and in which one safeguard is removed.
    pub(super) fn with(seed: u64, jobs: Vec<Arc<Job>>, shelf: Shelf, flaw: Option<Flaw>) -> World {
        let real = beginning();
        Flaw::put(flaw);
        let room = Room::default();
        let driver = build(&jobs, &room, &shelf, real);
        World {
            people: People { known: jobs.clone(), ..People::default() },
            jobs,
            room,
            random: Random::new(seed),
            real,
            skew: TimeDelta::zero(),
            shelf,
            ecs: FakeEcs::new(),
            driver,
            calls: Vec::new(),
            inbox: inbox::open().1,
            stood_in_line: BTreeSet::new(),
            committed_at: real,
            watched: BTreeMap::new(),
            poll_at: real,
            die_at: None,
            deaths_in_thousand: 0,
            deaths: 0,
            naps_in_thousand: 0,
            failing_saves_in_hundred: 0,
            calls_made: 0,
            launched_at: Vec::new(),
            idle_turns: 0,
            clock_may_change: false,
            clock_was_changed: false,
            was_away_for_long: false,
            prunes_beyond: None,
            pruned: 0,
            turns: 0,
            is_told: false,
            late_notices: Vec::new(),
        }
    }

    pub(super) fn wall(&self) -> DateTime<Utc> {
        self.real + self.skew
    }

    pub(super) fn tell<T: Display>(&self, what: impl FnOnce() -> T) {
        if self.is_told {
            println!("{} {}", self.real.format("%d %H:%M:%S%.3f"), what());
        }
    }

    /// A daemon that starts on what the store holds, and on what ECS shows if the store is empty; the one before it is gone
    /// with its calls and pollers.
    pub(super) fn restart(&mut self) {
        self.tell(|| format!("-- starts, its clock {} s off", self.skew.num_seconds()));
        self.calls.clear();
        self.watched.clear();
        self.inbox = inbox::open().1;
        self.committed_at = self.wall();
        self.hang_up();
        self.shelf.reopen();
        self.shelf.configured_at = self.wall();
        self.driver = build(&self.jobs, &self.room, &self.shelf, self.wall());
        if self.shelf.is_empty() {
            self.driver.take_in(self.ecs.live(self.real), self.wall());
        }
    }

    /// A restart after a death, which takes its time.
    fn start_again(&mut self) {
        self.real += self.random.milliseconds(300, 3_000);
        self.ecs.arrive(&mut self.random, self.real);
        self.restart();
    }

    /// A restart after the store was deleted.
    pub(super) fn lose_state(&mut self) {
        self.shelf = Shelf::in_memory();
        self.restart();
    }

    /// Lets the daemon turn until `real` reaches `until`.
    pub(super) fn run_until(&mut self, until: DateTime<Utc>) {
        while self.real < until {
            // A daemon that has just started turns at once.
            if self.turn(false) {
                self.advance(until);
            }
        }
    }

    /// Lets the next turn be told something that no call or poll came to.
    pub(super) fn report(&mut self, report: Report) {
        self.inbox.keep(report);
    }

    /// One turn of the daemon's loop; false if it died in it.
    pub(super) fn turn(&mut self, is_leaving: bool) -> bool {
        self.prune();
        self.ecs.arrive(&mut self.random, self.real);
        let mut reports = self.inbox.take_aside();
        reports.extend(self.arrived());
        reports.extend(self.polled());
        for report in &reports {
            self.tell(|| format!("   {}: {:?}", report.run, report.event));
        }
        let now = self.wall();
        self.people_want();
        self.hand_over();
        broken::before_turn(self, now);
        let is_told_something = !reports.is_empty();
        self.stood_in_line = self.in_line();
        let mut batch = self.driver.turn(reports, now, is_leaving);
        if Flaw::LosesAJob.is_here() && self.random.percent(1) {
            self.driver.agenda.pop_first();
        }
        self.idle_turns = if is_told_something || batch.is_some() { 0 } else { self.idle_turns + 1 };
        broken::after_turn(self, &mut batch, now);
        if self.acts_before_its_save() {
            let acts = self.driver.acts(self.wall());
            if !acts.into_iter().all(|act| self.perform(act)) {
                self.start_again();
                return false;
            }
        }
        if let (true, Some(batch)) = (Flaw::MarksApart.is_here(), &mut batch) {
            let marks = Batch { runs: Vec::new(), ..batch.clone() };
            (batch.marks, batch.forgotten_marks) = (Vec::new(), Vec::new());
            self.shelf.commit(&marks);
        }
        let is_quiet = (now - self.committed_at).abs() >= HEARTBEAT;
        let batch = batch.or_else(|| is_quiet.then(|| self.driver.heartbeat(now)));
        let mut duplicates = BTreeSet::new();
        if let Some(batch) = batch {
            match self.save(&batch, now) {
                Some(dropped) => duplicates = dropped,
                None => return false,
            }
        }
        self.listen(&duplicates);
        self.nobody_waits_for_nothing();
        for act in self.driver.acts(self.wall()) {
            if !self.perform(act) {
                self.start_again();
                return false;
            }
        }
        true
    }

    /// Deletes old rows at some turns. The store is told of a later time, so that what is a day to it is shorter.
    fn prune(&mut self) {
        self.turns += 1;
        if let Some(beyond) = self.prunes_beyond.filter(|_| self.turns.is_multiple_of(PRUNED_EACH)) {
            self.pruned += self.shelf.prune(self.wall() + TimeDelta::days(1) - beyond);
        }
    }

    fn acts_before_its_save(&self) -> bool {
        let is_triggered = self.people.asked.iter().any(|wish| matches!(wish, Wish::Trigger { .. }));
        Flaw::ActsBeforeItsSave.is_here() || (Flaw::TriggersBeforeItsSave.is_here() && is_triggered)
    }

    /// Commits a batch as `Daemon::commit` does, however long it takes, and says what was dropped; none if the daemon died.
    fn save(&mut self, batch: &Batch, now: DateTime<Utc>) -> Option<BTreeSet<RunId>> {
        if self.dies(Death::BeforeSave, self.shelf.batches) {
            self.start_again();
            return None;
        }
        while self.random.below(100) < self.failing_saves_in_hundred {
            self.shelf.fail_to_commit(batch);
            self.tell(|| "   the save failed");
            self.outlast();
        }
        let launched = self.first_launches(batch);
        self.launches_leave_in_order(batch, now);
        let duplicates = self.shelf.commit(&Batch { at: self.wall(), ..batch.clone() });
        self.committed_at = now;
        self.check_saved(batch, &launched, &duplicates, now);
        for save in &batch.runs {
            let is_new = save.is_new && !duplicates.contains(&save.run.id);
            let how = if duplicates.contains(&save.run.id) { " (known, dropped)" } else { "" };
            let events: Vec<String> = save.entries.iter().map(|entry| format!("{:?}", entry.event)).collect();
            let (id, status) = (&save.run.id, save.run.status());
            self.tell(|| format!("   saved {id}: {status:?}{how} {}{events:?}", if is_new { "new " } else { "" }));
        }
        if !Flaw::ForgetsNoDuplicate.is_here() {
            self.driver.forget(&duplicates, now);
        }
        if self.dies(Death::AfterSave, self.shelf.batches - 1) {
            self.start_again();
            return None;
        }
        Some(duplicates)
    }

    /// Time goes on while nothing can be saved, now and then for hours: polls go on, and what is reported is set aside.
    fn outlast(&mut self) {
        let (looks, pause) = if self.random.percent(2) { (24, 300_000) } else { (1, 5_000) };
        self.was_away_for_long |= looks > 1;
        for _ in 0..looks {
            self.real += self.random.milliseconds(200, pause);
            self.ecs.arrive(&mut self.random, self.real);
            self.driver.heed_clock(self.wall());
            for report in self.arrived().into_iter().chain(self.polled()) {
                self.inbox.keep(report);
            }
        }
    }

    /// As a daemon that is told to stop: nothing begins, what was answered is recorded, and a last heartbeat.
    pub(super) fn leave(&mut self) {
        self.tell(|| "-- leaves");
        if self.turn(true) {
            self.real += TimeDelta::milliseconds(900);
            if self.turn(true) {
                let last = self.driver.heartbeat(self.wall());
                self.shelf.commit(&last);
            }
        }
    }

    /// As a daemon that drains and, should that take long, is told to stop after all.
    pub(super) fn drain(&mut self, patience: TimeDelta) {
        self.tell(|| "-- drains");
        self.driver.drain();
        let give_up = self.real + patience;
        // The next daemon, should this one die, does not.
        while self.driver.drains().is_some_and(|runs| runs > 0) && self.real < give_up {
            if self.turn(false) {
                self.advance(give_up);
            }
        }
        self.leave();
    }

    /// Whether the daemon dies here; `before` is how many saves or calls there have been.
    pub(super) fn dies(&mut self, how: Death, before: usize) -> bool {
        let dies = match self.die_at {
            Some((at, chosen)) => chosen == how && before + 1 == at,
            None => self.random.below(2_000) < self.deaths_in_thousand,
        };
        if dies {
            self.die_at = None;
            self.deaths += 1;
            if self.deaths == DEATHS_MAX {
                self.deaths_in_thousand = 0;
            }
            self.tell(|| format!("!! dies: {how:?}"));
        }
        dies
    }

    /// Real time goes on to whatever comes next: an answer, a poll, or the instant that the driver named.
    fn advance(&mut self, until: DateTime<Utc>) {
        let named = self.driver.next_turn_at().map(|at| at - self.skew);
        let answer = self.calls.iter().map(|(at, _)| *at).min();
        let poll = (!self.watched.is_empty()).then_some(self.poll_at);
        let arrival = self.ecs.next_arrival();
        let next = [named, answer, poll, arrival, Some(until)].into_iter().flatten().min().unwrap();
        self.idle_turns = if next <= self.real { self.idle_turns } else { 0 };
        demand(self.idle_turns < 5, || format!("the loop spins at {}: {named:?}", self.real));
        let nap = if self.clock_may_change { NAP } else { LONG_NAP };
        self.real = next.clamp(self.real + TimeDelta::milliseconds(1), self.real + nap);
    }

    /// Heals ECS and the clock's course, takes every job away and lets what lives come to its end.
    pub(super) fn settle(&mut self) {
        self.tell(|| "== settles");
        self.ecs.mood = Mood::Healthy;
        (self.die_at, self.deaths_in_thousand, self.naps_in_thousand, self.failing_saves_in_hundred) = (None, 0, 0, 0);
        self.people.busy = 0;
        self.every_job_still_fires();
        self.jobs.clear();
        self.ecs.end_what_hangs(self.real);
        if self.ecs.checks_signatures {
            self.skew = TimeDelta::zero();
        }
        self.clock_may_change = false;
        self.restart();
        let give_up = self.real + TimeDelta::hours(24);
        while !self.shelf.living().is_empty() {
            let states = || self.shelf.living().iter().map(|run| format!("{:?}", run.state)).collect::<Vec<_>>();
            demand(self.real < give_up, || format!("runs hang: {:?}", states()));
            self.turn(false);
            self.advance(give_up);
        }
        let left = (self.driver.living_runs(), self.driver.next_turn_at());
        demand_eq(left, (0, None), || "the driver has something left".to_owned());
        // What was still on its way arrives, and must not be a launch that nobody follows.
        self.real += TimeDelta::minutes(1);
        self.ecs.arrive(&mut self.random, self.real);
    }
}

/// With many runs in flight a daemon dies at nearly every start, and the history would never go on.
const DEATHS_MAX: u32 = 40;

/// How many turns there are between two prunings.
const PRUNED_EACH: u32 = 5;

/// As `daemon/mod.rs`.
const HEARTBEAT: TimeDelta = TimeDelta::seconds(60);

/// The loop naps a second at most, so that it sees a clock that was changed.
const NAP: TimeDelta = TimeDelta::seconds(1);
/// Where none is, it is enough that a nap is no absence.
const LONG_NAP: TimeDelta = TimeDelta::seconds(9);

/// The jobs of a build, which may lack a safeguard.
pub(super) fn as_built(jobs: &[Arc<Job>]) -> Vec<Arc<Job>> {
    let beside = |job: &Arc<Job>| {
        let mut job = Job::clone(job);
        job.admission.overlap = Overlap::Allow;
        Arc::new(job)
    };
    if Flaw::StartsBesideALivingRun.is_here() { jobs.iter().map(beside).collect() } else { jobs.to_vec() }
}

fn build(jobs: &[Arc<Job>], room: &Room, shelf: &Shelf, now: DateTime<Utc>) -> Driver {
    let (rate, burst) = rate();
    let instance = Instance::new("prod").unwrap();
    let quotas = Quotas::new(rate, burst);
    let jobs = as_built(jobs);
    let Room { max_running, groups } = if Flaw::CountsNoSlots.is_here() { Room::default() } else { room.clone() };
    let setup = Setup { instance, term: shelf.term(), jobs, quotas, slots: Slots::new(max_running, groups) };
    Driver::new(setup, shelf.load(), now)
}
