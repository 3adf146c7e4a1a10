//! What must hold of a history when it is over, read from the books of the store and of ECS.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::asl::{Asl, Verdict};
use super::ecs::FakeTask;
use super::world::World;
use super::{demand, demand_eq};
use crate::engine::failure::ErrorName;
use crate::engine::job::{Instance, Job, JobName, OnUnknown, Overlap};
use crate::engine::retry::Retrier;
use crate::engine::run::{HistoryEvent, Outcome, Run, RunId, State, Status, Trigger};
use crate::engine::schedule::spread_offset;

impl World {
    /// No job drops out of sight: whatever its schedule named by now is decided. A firing that waits for a first look is given
    /// the time for it.
    pub(super) fn every_job_still_fires(&mut self) {
        self.run_until(self.real + TimeDelta::seconds(15));
        self.turn(false);
        for job in &self.jobs {
            let Some(epoch) = self.shelf.epochs.get(&job.name).and_then(|epochs| epochs.last()) else { continue };
            let offset = spread_offset(&Instance::new("prod").unwrap(), &job.name, job.admission.spread);
            let next = job.schedule.next(epoch.until, epoch.anchor);
            demand(next.is_none_or(|next| next + offset > self.wall()), || {
                format!("{} has stopped to fire: {next:?}", job.name)
            });
        }
    }

    /// Checks every invariant. `jobs` are all definitions that the history ever had.
    pub(super) fn audit(&self, jobs: &[Arc<Job>]) {
        self.every_instant_has_exactly_one_row(jobs);
        self.no_job_runs_beside_itself(jobs);
        self.shelf.keeps_its_audit();
        self.shelf.keeps_its_notices();
        let mut tasks: BTreeMap<&RunId, Vec<&FakeTask>> = BTreeMap::new();
        for task in &self.ecs.tasks {
            tasks.entry(&task.run).or_default().push(task);
        }
        for (id, tasks) in &tasks {
            demand(self.shelf.runs.contains_key(*id), || {
                format!("{id} was launched {} times without a row", tasks.len())
            });
        }
        for run in self.shelf.runs.values() {
            let tasks = tasks.get(&run.id).map(Vec::as_slice).unwrap_or_default();
            self.history_has_no_gap(run);
            self.metrics_count_what_was(run);
            self.no_task_is_lost(run, tasks);
            self.colours_are_true(run, tasks);
            self.no_success_is_launched_again(run, tasks);
            self.retries_are_those_of_asl(run);
        }
    }

    /// A row of its own, or a place in the one row that stands for many. What somebody asked for are rows beside them.
    fn every_instant_has_exactly_one_row(&self, jobs: &[Arc<Job>]) {
        for (name, epochs) in &self.shelf.epochs {
            let mut expected: BTreeMap<DateTime<Utc>, usize> = BTreeMap::new();
            for epoch in epochs {
                let job = jobs.iter().find(|job| job.name == *name && epoch.is_of(&job.schedule.identity()));
                let job = job.expect("every epoch has its job");
                expected.extend(epoch.instants(&job.schedule).map(|at| (at, 0)));
            }
            let is_named = |run: &&Run| matches!(run.trigger, Trigger::Schedule | Trigger::Catchup);
            for run in self.shelf.runs.values().filter(|run| run.job == *name).filter(is_named) {
                let first = covered_from(run);
                for (_, rows) in expected.range_mut(first..=run.scheduled_at) {
                    *rows += 1;
                }
                demand(expected.contains_key(&run.scheduled_at), || format!("{} is a row of no instant", run.id));
            }
            for (at, rows) in expected {
                demand_eq(rows, 1, || format!("the instant {at} of {name} has {rows} rows"));
            }
        }
    }

    /// Two tasks of a job live together only where its overlap policy lets them, or where ECS left it unknown.
    fn no_job_runs_beside_itself(&self, jobs: &[Arc<Job>]) {
        let allows =
            |name: &JobName| jobs.iter().any(|job| job.name == *name && job.admission.overlap == Overlap::Allow);
        let may_overlap = |run: &Run| run.request.as_ref().is_some_and(|asked| asked.overlap == Some(Overlap::Allow));
        let is_known = |task: &&FakeTask| {
            let run = self.shelf.runs.get(&task.run);
            run.is_some_and(|run| {
                let is_excused = allows(&run.job) || may_overlap(run) || says_unknown(run) || was_lost(run, task);
                !is_excused && !task.is_ghost
            })
        };
        let mut last: BTreeMap<&JobName, &FakeTask> = BTreeMap::new();
        for task in self.ecs.tasks.iter().filter(is_known) {
            let before = last.insert(&self.shelf.runs[&task.run].job, task);
            let Some(before) = before.filter(|before| before.run != task.run) else { continue };
            demand(before.is_stopped(task.created_at), || format!("{} runs beside {}", task.run, before.run));
        }
    }

    /// One end of each run, and each attempt once for each time it was over.
    fn metrics_count_what_was(&self, run: &Run) {
        let counts = &self.shelf.counts[&run.id];
        let ended: Vec<(Status, u64)> = counts.runs.iter().collect();
        let covers = match &run.state {
            State::Finished { outcome: Outcome::Skipped { covers, .. } | Outcome::Missed { covers, .. }, .. } => {
                *covers
            }
            _ => None,
        };
        let times = covers.map_or(1, |covers| covers.count);
        let expected = if run.is_finished() { vec![(run.status(), times)] } else { Vec::new() };
        demand_eq(ended, expected, || format!("the ends that are counted of {}", run.id));
        let attempts: u64 = counts.attempts.iter().map(|(_, count)| count).sum();
        let retries: u64 = counts.retries.iter().map(|(_, count)| count).sum();
        let (had, used) = (run.attempts.len() as u64, run.retries_used.iter().copied().map(u64::from).sum::<u64>());
        // A retry that was granted and given back counts, and what became of its attempt after all counts again.
        let is_so = !run.is_finished() || (attempts >= had && attempts - had == retries - used);
        demand(is_so, || {
            format!("{}: {attempts} of {had} attempts and {retries} of {used} retries are counted", run.id)
        });
        let succeeded = u64::from(run.status() == Status::Succeeded);
        demand_eq(counts.attempts.of("succeeded"), succeeded, || {
            format!("the successes that are counted of {}", run.id)
        });
    }

    fn history_has_no_gap(&self, run: &Run) {
        let entries = &self.shelf.entries[&run.id];
        let seqs: Vec<u32> = entries.iter().map(|entry| entry.seq).collect();
        let len = u32::try_from(entries.len()).unwrap();
        demand(seqs.iter().copied().eq(1..=len) && len == run.history_len, || format!("{}: entries {seqs:?}", run.id));
        let numbers: Vec<u32> = run.attempts.iter().map(|attempt| attempt.attempt).collect();
        let len = u32::try_from(numbers.len()).unwrap();
        demand(numbers.iter().copied().eq(1..=len), || format!("{}: attempts {numbers:?}", run.id));
    }

    /// Every task is one that its run knows and has followed to its end, unless the run says that it can't know.
    fn no_task_is_lost(&self, run: &Run, tasks: &[&FakeTask]) {
        let says_unknown = says_unknown(run);
        for task in tasks {
            let is_told = task.is_forgotten(self.real) && says_too_few(run);
            demand(is_known(run, task) || is_told || says_unknown || self.came_and_went(task), || {
                format!("{}: nobody follows {}", run.id, task.arn)
            });
            let is_alive = !task.is_stopped(self.real);
            demand(!is_alive || says_unknown || was_lost(run, task), || {
                format!("{}: {} outlives it", run.id, task.arn)
            });
        }
    }

    /// `failures` are ECS's own answer, so a ghost that came and went while nobody could look is not suspected.
    fn came_and_went(&self, task: &FakeTask) -> bool {
        task.is_ghost && task.is_forgotten(self.real) && self.was_away_for_long
    }

    /// A task that ended well is the last of its run, unless ECS forgot it while nobody looked: then its job may want that a
    /// launch of which nobody knows is tried again.
    fn no_success_is_launched_again(&self, run: &Run, tasks: &[&FakeTask]) {
        let names_unknown = |retrier: &Retrier| retrier.error_equals.contains(&ErrorName::LAUNCH_UNKNOWN);
        let may_rerun =
            run.definition.on_unknown == OnUnknown::Rerun || run.definition.retry.retriers().iter().any(names_unknown);
        let Some(first) = tasks.iter().find(|task| self.ecs.has_succeeded(task)) else { return };
        let is_excused = |task: &&FakeTask| was_lost(run, task) || self.came_and_went(task) || !is_known(run, task);
        let is_excused = may_rerun || tasks.iter().filter(|task| task.is_of_the_launch_of(first)).any(is_excused);
        let is_last = tasks.last().is_some_and(|last| last.is_of_the_launch_of(first));
        demand(is_last || is_excused, || format!("{} was launched after its success", run.id));
    }

    /// The same failures give the same retriers, the same waits and the same end.
    fn retries_are_those_of_asl(&self, run: &Run) {
        let mut asl = Asl::of(&run.definition.retry);
        for (nth, attempt) in run.attempts.iter().enumerate() {
            let Some(failure) = &attempt.failure else { continue };
            let is_last = nth + 1 == run.attempts.len();
            let reruns = run.definition.on_unknown == OnUnknown::Rerun && failure.primary == ErrorName::LAUNCH_UNKNOWN;
            let had_to_end =
                run.cancelled.is_some() || run.deadline.zip(run.finished_at()).is_some_and(|(d, at)| d <= at);
            let cut_short = is_last && (had_to_end || !matches!(run.status(), Status::Failed | Status::Unknown));
            let names: Vec<String> = failure.names.iter().map(ToString::to_string).collect();
            let primary = failure.primary.to_string();
            if attempt.retrier.is_none() && (reruns || cut_short) {
                continue;
            }
            let granted = match (attempt.retrier, attempt.retry_delay) {
                (Some(retrier), Some(delay)) => {
                    Verdict::Retry { retrier, milliseconds: i64::try_from(delay.as_millis()).unwrap() }
                }
                _ => Verdict::NoMatch,
            };
            let judged = match asl.judge(&primary, &names) {
                Verdict::Exhausted { .. } => Verdict::NoMatch,
                judged => judged,
            };
            demand_eq(granted, judged, || format!("{}: attempt {} after {primary}", run.id, attempt.attempt));
            demand(attempt.retrier.is_some() || is_last || reruns, || format!("{}: tried once more", run.id));
        }
        if !self.clock_was_changed {
            self.no_retry_comes_early(run);
        }
    }

    fn no_retry_comes_early(&self, run: &Run) {
        let mut not_before = None;
        for entry in &self.shelf.entries[&run.id] {
            match &entry.event {
                HistoryEvent::RetryScheduled { until, delay_seconds, .. } => {
                    let waits = (*until - entry.at).as_seconds_f64();
                    demand((waits - delay_seconds).abs() < 0.001, || format!("{}: waits {waits} s", run.id));
                    not_before = Some(*until);
                }
                HistoryEvent::TaskScheduled { .. } => {
                    let is_early = not_before.take().is_some_and(|until| entry.at < until);
                    demand(!is_early, || format!("{}: a retry was launched early, at {}", run.id, entry.at));
                }
                _ => {}
            }
        }
    }

    /// Green is proved by a launch whose tasks all ended well, and what was proved is green.
    fn colours_are_true(&self, run: &Run, tasks: &[&FakeTask]) {
        let is_proof = |task: &&&FakeTask| {
            let mut of_launch = tasks.iter().filter(|other| other.is_of_the_launch_of(task));
            self.ecs.has_succeeded(task) && of_launch.all(|task| is_known(run, task) && !was_lost(run, task))
        };
        let proof = tasks.iter().find(is_proof);
        match run.status() {
            Status::Succeeded => demand(proof.is_some(), || format!("{} is green without a success", run.id)),
            Status::Skipped | Status::Missed => demand(tasks.is_empty(), || format!("{} was launched", run.id)),
            Status::Failed | Status::TimedOut | Status::Cancelled => {
                demand(proof.is_none(), || format!("{} is {:?} after a success", run.id, run.status()));
            }
            Status::Unknown => {}
            Status::Due | Status::Launching | Status::Running | Status::Stopping | Status::Waiting => {
                super::violated(format!("{} is not over", run.id))
            }
        }
    }
}

/// The first instant that a row stands for.
fn covered_from(run: &Run) -> DateTime<Utc> {
    match &run.state {
        State::Finished { outcome, .. } => outcome.covers().map_or(run.scheduled_at, |covered| covered.first),
        _ => run.scheduled_at,
    }
}

/// Whether a launch of the run is one of which nobody knows.
fn says_unknown(run: &Run) -> bool {
    let mut failures = run.attempts.iter().filter_map(|attempt| attempt.failure.as_ref());
    failures.any(|failure| failure.primary == ErrorName::LAUNCH_UNKNOWN)
}

/// Whether the run says that ECS named fewer tasks than it asked for.
fn says_too_few(run: &Run) -> bool {
    let mut failures = run.attempts.iter().filter_map(|attempt| attempt.failure.as_ref());
    failures.any(|failure| failure.cause.contains("ECS named"))
}

/// Whether the run has followed the task.
fn is_known(run: &Run, task: &FakeTask) -> bool {
    run.attempts
        .iter()
        .any(|attempt| attempt.task.as_ref() == Some(&task.arn) || attempt.ends.iter().any(|end| end.task == task.arn))
}

/// Whether an attempt gave the task up because ECS no longer showed it.
fn was_lost(run: &Run, task: &FakeTask) -> bool {
    let mut ends = run.attempts.iter().flat_map(|attempt| &attempt.ends);
    let end = ends.find(|end| end.task == task.arn).and_then(|end| end.failure.as_ref());
    if end.is_some_and(|failure| failure.names.contains(&ErrorName::LOST)) {
        return true;
    }
    let attempt = run.attempts.iter().find(|attempt| attempt.task.as_ref() == Some(&task.arn));
    attempt.and_then(|attempt| attempt.failure.as_ref()).is_some_and(|failure| {
        failure.names.contains(&ErrorName::LOST)
            // A limit that was reached stands before what ECS no longer shows.
            || failure.cause.contains("ECS no longer knows")
    })
}
