//! The ECS of the simulation: it honours client tokens and forgets them and its tasks as the real one does, loses answers,
//! and starts ghosts. Everything random comes from one seed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::engine::launch::LaunchRequest;
use crate::engine::run::{Event, RunId};
use crate::engine::task::{ContainerFacts, FoundTask, LaunchAnswer, LaunchFailure, SearchAnswer, TaskArn, TaskFacts};

/// Xorshift: enough to vary histories, and the same on every machine.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        // The first numbers of a small seed are small.
        for _ in 0..8 {
            random.below(2);
        }
        random
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(super) fn milliseconds(&mut self, from: u64, to: u64) -> TimeDelta {
        TimeDelta::milliseconds(i64::try_from(from + self.below(to - from)).unwrap())
    }
}

/// A task in ECS, with the life that it will have unless somebody stops it.
pub(super) struct FakeTask {
    arn: TaskArn,
    started_by: String,
    token: String,
    tags: BTreeMap<String, String>,
    pub(super) run: RunId,
    created_at: DateTime<Utc>,
    runs_at: DateTime<Utc>,
    stops_at: Option<DateTime<Utc>>,
    pub(super) exit_code: i32,
    stop_code: &'static str,
}

impl FakeTask {
    pub(super) fn is_stopped(&self, now: DateTime<Utc>) -> bool {
        self.stops_at.is_some_and(|at| at <= now)
    }

    /// A fresh task is not visible at once.
    fn is_visible(&self, now: DateTime<Utc>) -> bool {
        self.created_at + TimeDelta::seconds(2) <= now
    }

    /// Stopped tasks are shown for an hour.
    pub(super) fn is_forgotten(&self, now: DateTime<Utc>) -> bool {
        self.stops_at.is_some_and(|at| at + TimeDelta::hours(1) < now)
    }

    pub(super) fn succeeded(&self) -> bool {
        self.exit_code == 0 && self.stop_code == "EssentialContainerExited"
    }

    pub(super) fn facts(&self, now: DateTime<Utc>) -> TaskFacts {
        let (stopped, started) = (self.is_stopped(now), self.runs_at <= now);
        let container = ContainerFacts {
            name: "app".into(),
            essential: Some(true),
            exit_code: stopped.then_some(self.exit_code),
            reason: None,
        };
        let last_status = if stopped { "STOPPED" } else { ["PENDING", "RUNNING"][usize::from(started)] };
        TaskFacts {
            task: self.arn.clone(),
            last_status: last_status.into(),
            stop_code: stopped.then(|| self.stop_code.to_owned()),
            stopped_reason: None,
            started_at: started.then_some(self.runs_at),
            stopped_at: self.stops_at.filter(|_| stopped),
            containers: vec![container],
        }
    }
}

/// ECS, on real time whatever the daemon's clock says.
#[derive(Default)]
pub(super) struct FakeEcs {
    pub(super) tasks: Vec<FakeTask>,
    /// Token, to the request and to what came of it: a task, or `failures`.
    tokens: BTreeMap<String, (LaunchRequest, Option<usize>, DateTime<Utc>)>,
    pub(super) is_healthy: bool,
    pub(super) launches_hang: bool,
}

impl FakeEcs {
    pub(super) fn run_task(
        &mut self,
        request: &LaunchRequest,
        random: &mut Random,
        now: DateTime<Utc>,
    ) -> LaunchAnswer {
        let chance = if self.is_healthy { 99 } else { random.below(100) };
        let lost = LaunchAnswer::NoAnswer { sent: true, message: "read timed out".into() };
        let refused =
            |code: &str, status| LaunchAnswer::Refused { code: Some(code.into()), message: "".into(), status };
        match chance {
            0..5 => LaunchAnswer::NoAnswer { sent: false, message: "connection refused".into() },
            5..10 => refused("ThrottlingException", 400),
            10..14 => refused("ServerException", 500),
            14..18 => lost,
            18..22 => self.accept(request, random, now, true, true),
            22..25 => self.accept(request, random, now, true, false),
            25..35 => {
                self.accept(request, random, now, false, false);
                lost
            }
            35..40 => {
                self.accept(request, random, now, false, false);
                refused("InternalFailure", 500)
            }
            _ => self.accept(request, random, now, false, false),
        }
    }

    pub(super) fn accept(
        &mut self,
        request: &LaunchRequest,
        random: &mut Random,
        now: DateTime<Utc>,
        fails: bool,
        ghost: bool,
    ) -> LaunchAnswer {
        let token = request.client_token.as_str().to_owned();
        let failures = || LaunchAnswer::Failures(vec![LaunchFailure { reason: "RESOURCE:CPU".into(), detail: None }]);
        let remembered = self.tokens.get(&token).filter(|(_, task, at)| match task {
            Some(task) => !self.tasks[*task].is_forgotten(now) && *at + TimeDelta::hours(24) > now,
            None => *at + TimeDelta::hours(1) > now,
        });
        if let Some((before, task, _)) = remembered {
            assert_eq!(before, request, "a token was sent with another request");
            return task.map_or_else(failures, |task| LaunchAnswer::Launched { task: self.tasks[task].arn.clone() });
        }
        let task = (!fails || ghost).then(|| self.start(request, random, now));
        self.tokens.insert(token, (request.clone(), task.filter(|_| !fails), now));
        match task {
            Some(task) if !fails => LaunchAnswer::Launched { task: self.tasks[task].arn.clone() },
            Some(_) | None => failures(),
        }
    }

    pub(super) fn start(&mut self, request: &LaunchRequest, random: &mut Random, now: DateTime<Utc>) -> usize {
        let run = RunId::from_text(&request.task.tags["tenacron:run"]);
        for other in self.tasks.iter().filter(|task| task.run == run) {
            assert_ne!(other.token, request.client_token.as_str(), "launched twice: {run}");
            assert!(other.is_stopped(now), "two tasks of {run} live together");
        }
        let runs_at = now + random.milliseconds(500, 5_000);
        let hangs = self.launches_hang || (!self.is_healthy && random.percent(10));
        let length = if self.is_healthy { 5_000 } else { 90_000 };
        self.tasks.push(FakeTask {
            arn: TaskArn(format!("arn:aws:ecs:eu-central-1:1:task/main/{}", self.tasks.len())),
            started_by: request.started_by.clone(),
            token: request.client_token.as_str().to_owned(),
            tags: request.task.tags.clone(),
            run,
            created_at: now,
            runs_at,
            stops_at: (!hangs).then(|| runs_at + random.milliseconds(100, length)),
            exit_code: i32::from(!self.is_healthy && random.percent(25)),
            stop_code: "EssentialContainerExited",
        });
        self.tasks.len() - 1
    }

    pub(super) fn find(&self, request: &LaunchRequest, random: &mut Random, now: DateTime<Utc>) -> SearchAnswer {
        if !self.is_healthy && random.percent(20) {
            return SearchAnswer::NoAnswer("no route to host".into());
        }
        let ours = self.tasks.iter().filter(|task| task.started_by == request.started_by && !task.is_forgotten(now));
        let found: Vec<TaskArn> = ours.map(|task| task.arn.clone()).collect();
        if found.is_empty() { SearchAnswer::Nothing } else { SearchAnswer::Found(found) }
    }

    /// What a daemon on an empty store is shown.
    pub(super) fn live(&self, now: DateTime<Utc>) -> Vec<FoundTask> {
        let live = self.tasks.iter().filter(|task| task.is_visible(now) && !task.is_stopped(now));
        let found = live.map(|task| FoundTask {
            task: task.arn.clone(),
            cluster: "main".into(),
            started_by: task.started_by.clone(),
            created_at: Some(task.created_at),
            tags: task.tags.clone(),
            environment: BTreeMap::new(),
        });
        found.collect()
    }

    /// The runs whose tasks are shown as living.
    pub(super) fn living_runs(&self, now: DateTime<Utc>) -> BTreeSet<RunId> {
        let live = self.tasks.iter().filter(|task| task.is_visible(now) && !task.is_stopped(now));
        live.map(|task| task.run.clone()).collect()
    }

    /// The runs whose tasks are not shown yet.
    pub(super) fn hidden_runs(&self, now: DateTime<Utc>) -> BTreeSet<RunId> {
        self.tasks.iter().filter(|task| !task.is_visible(now)).map(|task| task.run.clone()).collect()
    }

    /// Every task ends as a success.
    pub(super) fn end_all(&mut self, now: DateTime<Utc>) {
        for task in self.tasks.iter_mut().filter(|task| !task.is_stopped(now)) {
            (task.stops_at, task.exit_code) = (Some(now), 0);
        }
    }

    pub(super) fn stop(&mut self, arn: &TaskArn, random: &mut Random, now: DateTime<Utc>) {
        if !self.is_healthy && random.percent(20) {
            return;
        }
        if let Some(task) = self.tasks.iter_mut().find(|task| task.arn == *arn && !task.is_stopped(now)) {
            let gone = now + random.milliseconds(200, 4_000);
            if task.stops_at.is_none_or(|at| at > gone) {
                (task.stops_at, task.stop_code) = (Some(gone), "UserInitiated");
                task.exit_code = if random.percent(50) { 0 } else { 143 };
            }
        }
    }

    pub(super) fn describe(&self, arn: &TaskArn, now: DateTime<Utc>) -> Event {
        let shown = self.tasks.iter().find(|task| task.arn == *arn);
        match shown.filter(|task| task.is_visible(now) && !task.is_forgotten(now)) {
            Some(task) => Event::Observed(task.facts(now)),
            None => Event::Missing(arn.clone()),
        }
    }
}
