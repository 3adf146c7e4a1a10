//! The ECS of the simulation: it honours client tokens and forgets them and its tasks as the real one does, answers late,
//! loses answers, throttles, starts ghosts, and shows what it did only after a while. Everything random comes from one seed.
//!
//! What it must never see is checked where it would see it: a token with two tasks, two tasks of a run alive together, a
//! launch after a success.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::demand;
use super::random::Random;
use crate::engine::job::Site;
use crate::engine::launch::LaunchRequest;
use crate::engine::quota::{QuotaKey, quota_key};
use crate::engine::run::{Event, RunId};
use crate::engine::task::{
    ContainerFacts, FoundTask, LaunchAnswer, LaunchFailure, SearchAnswer, TaskArn, TaskFacts, TaskTimes,
};

/// How long ECS shows a task that has stopped.
const MEMORY: TimeDelta = TimeDelta::hours(1);
/// By how much a signature's clock may be wrong. Source: AWS General Reference, "Signature Version 4 signing process".
const SIGNATURE_SKEW_MAX: TimeDelta = TimeDelta::minutes(5);

/// How ECS is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Every call is answered at once, every task ends well and soon.
    Healthy,
    /// A bit of everything.
    Flaky,
    /// Nearly every call is throttled.
    Throttling,
    /// Nearly every call is answered with 500, after the effect or before it.
    Failing,
    /// Nearly every answer is lost, and requests arrive late.
    Deaf,
    /// Nobody can connect.
    Unreachable,
}

/// A task in ECS, with the life that it will have unless somebody stops it.
pub(super) struct FakeTask {
    pub(super) arn: TaskArn,
    started_by: String,
    token: String,
    tags: BTreeMap<String, String>,
    site: Site,
    pub(super) run: RunId,
    pub(super) created_at: DateTime<Utc>,
    /// From when on DescribeTasks and ListTasks show it.
    described_from: DateTime<Utc>,
    listed_from: DateTime<Utc>,
    runs_at: DateTime<Utc>,
    stops_at: Option<DateTime<Utc>>,
    pub(super) exit_code: i32,
    stop_code: &'static str,
    /// How many tasks its launch asked for.
    wanted: usize,
    stopped_reason: Option<String>,
    /// ECS answered `failures`, and started it all the same.
    pub(super) is_ghost: bool,
}

impl FakeTask {
    pub(super) fn is_stopped(&self, now: DateTime<Utc>) -> bool {
        self.stops_at.is_some_and(|at| at <= now)
    }

    /// ListTasks and DescribeTasks both show it.
    fn is_visible(&self, now: DateTime<Utc>) -> bool {
        self.listed_from.max(self.described_from) <= now
    }

    pub(super) fn is_forgotten(&self, now: DateTime<Utc>) -> bool {
        self.stops_at.is_some_and(|at| at + MEMORY < now)
    }

    /// It ended well, and of its own accord.
    pub(super) fn succeeded(&self) -> bool {
        self.exit_code == 0 && self.stop_code == "EssentialContainerExited"
    }

    pub(super) fn is_of_the_launch_of(&self, other: &FakeTask) -> bool {
        self.token == other.token
    }

    fn facts(&self, now: DateTime<Utc>) -> TaskFacts {
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
            stopped_reason: self.stopped_reason.clone().filter(|_| stopped),
            times: TaskTimes {
                started_at: started.then_some(self.runs_at),
                stopped_at: self.stops_at.filter(|_| stopped),
                ..TaskTimes::default()
            },
            described: None,
            containers: vec![container],
        }
    }
}

/// What a token stands for.
struct Token {
    request: LaunchRequest,
    /// What the answer named; the others of what was asked for are `failures`.
    tasks: Vec<usize>,
    at: DateTime<Utc>,
}

/// ECS, on real time whatever the daemon's clock says.
pub(super) struct FakeEcs {
    pub(super) tasks: Vec<FakeTask>,
    tokens: BTreeMap<String, Token>,
    pub(super) mood: Mood,
    pub(super) launches_hang: bool,
    /// Whose launches it throttles, one and all.
    pub(super) throttles: BTreeSet<QuotaKey>,
    /// Whether it refuses calls of a clock that is wrong by more than five minutes, as AWS does.
    pub(super) checks_signatures: bool,
    /// Requests that are still under way although their answer is known to be lost.
    under_way: Vec<(DateTime<Utc>, LaunchRequest)>,
}

/// What comes back from RunTask, and when.
pub(super) type Answered = (TimeDelta, LaunchAnswer);

impl FakeEcs {
    pub(super) fn new() -> FakeEcs {
        FakeEcs {
            tasks: Vec::new(),
            tokens: BTreeMap::new(),
            mood: Mood::Flaky,
            launches_hang: false,
            throttles: BTreeSet::new(),
            checks_signatures: false,
            under_way: Vec::new(),
        }
    }

    fn is_healthy(&self) -> bool {
        self.mood == Mood::Healthy
    }

    /// Whether the signature of a call is refused.
    fn refuses(&self, skew: TimeDelta) -> bool {
        self.checks_signatures && skew.abs() > SIGNATURE_SKEW_MAX
    }

    /// Requests that have arrived by now, each at its own time, although nobody waits for them any more.
    pub(super) fn arrive(&mut self, random: &mut Random, now: DateTime<Utc>) {
        self.under_way.sort_by_key(|(at, _)| *at);
        while self.next_arrival().is_some_and(|at| at <= now) {
            let (at, request) = self.under_way.remove(0);
            self.accept(&request, random, at, Fate::Task);
        }
    }

    /// Nothing runs for ever.
    pub(super) fn end_what_hangs(&mut self, now: DateTime<Utc>) {
        self.launches_hang = false;
        for task in self.tasks.iter_mut().filter(|task| task.stops_at.is_none()) {
            task.stops_at = Some(task.runs_at.max(now) + TimeDelta::seconds(5));
        }
    }

    pub(super) fn next_arrival(&self) -> Option<DateTime<Utc>> {
        self.under_way.iter().map(|(at, _)| *at).min()
    }

    pub(super) fn run_task(
        &mut self,
        request: &LaunchRequest,
        random: &mut Random,
        now: DateTime<Utc>,
        skew: TimeDelta,
    ) -> Answered {
        let soon = if self.is_healthy() { random.milliseconds(20, 200) } else { random.milliseconds(20, 3_000) };
        if self.refuses(skew) {
            return (soon, refused("InvalidSignatureException", 400));
        }
        if self.throttles.contains(&quota_key(&request.task.target)) {
            return (soon, refused("ThrottlingException", 400));
        }
        let answer = match (self.mood, random.below(100)) {
            (Mood::Healthy, _) => self.accept(request, random, now, Fate::Task),
            (Mood::Unreachable, _) | (Mood::Flaky, 0..5) => {
                LaunchAnswer::NoAnswer { sent: false, message: "connection refused".into() }
            }
            (Mood::Throttling, 0..90) | (Mood::Flaky, 5..10) => refused("ThrottlingException", 400),
            (Mood::Failing, 0..45) | (Mood::Flaky, 10..14) => refused("ServerException", 500),
            (Mood::Failing, 45..90) | (Mood::Flaky, 14..19) => {
                self.accept(request, random, now, Fate::Task);
                refused("InternalFailure", 500)
            }
            (Mood::Flaky, 19..23) => self.accept(request, random, now, Fate::Ghost),
            (Mood::Flaky, 23..27) => self.accept(request, random, now, Fate::Nothing),
            (Mood::Flaky, 27..30) => {
                LaunchAnswer::Refused { code: None, message: "gateway time-out".into(), status: 408 }
            }
            (Mood::Deaf, 0..90) | (Mood::Flaky, 30..45) => return self.lose(request, random, now),
            (Mood::Flaky | Mood::Throttling | Mood::Failing | Mood::Deaf, _) => {
                self.accept(request, random, now, Fate::Task)
            }
        };
        (soon, answer)
    }

    /// The answer is lost: before the request arrived, after it, or while it is still under way.
    fn lose(&mut self, request: &LaunchRequest, random: &mut Random, now: DateTime<Utc>) -> Answered {
        let given_up = random.milliseconds(500, 15_000);
        match random.below(3) {
            0 => {}
            1 => drop(self.accept(request, random, now, Fate::Task)),
            _ => self.under_way.push((now + random.milliseconds(0, 20_000), request.clone())),
        }
        (given_up, LaunchAnswer::NoAnswer { sent: true, message: "read timed out".into() })
    }

    fn accept(&mut self, request: &LaunchRequest, random: &mut Random, now: DateTime<Utc>, fate: Fate) -> LaunchAnswer {
        let key = request.client_token.as_str().to_owned();
        let remembered = self.tokens.get(&key).filter(|token| {
            let mut known = token.tasks.iter().map(|task| &self.tasks[*task]);
            if token.tasks.is_empty() {
                return token.at + MEMORY > now;
            }
            known.any(|task| !task.is_forgotten(now)) && token.at + TimeDelta::hours(24) > now
        });
        if let Some(token) = remembered {
            demand(token.request == *request, || format!("token {key} was sent with another request"));
            // Whether a family that has a new revision by now is another request is not documented; it may be.
            let conflicts = !token.tasks.is_empty() && !self.is_healthy() && random.percent(20);
            return if conflicts {
                LaunchAnswer::Conflict { tasks: self.arns(&token.tasks), message: "the token is in use".into() }
            } else {
                self.answer(&token.tasks, wanted(request))
            };
        }
        let run = run_of(request);
        for other in self.tasks.iter().filter(|task| task.run == run) {
            demand(other.token != key, || format!("{run} was launched twice"));
            demand(other.is_stopped(now), || format!("tasks of two launches of {run} live together"));
            let of_launch = |task: &&FakeTask| task.is_of_the_launch_of(other);
            let is_known = !self.tasks.iter().filter(of_launch).any(|task| task.is_forgotten(now));
            demand(!self.has_succeeded(other) || !is_known, || format!("{run} was launched after its success"));
        }
        let mut named = Vec::new();
        for nth in 0..wanted(request) {
            // Of several, some find no place, or come up although that was said.
            let luck = if nth == 0 || self.is_healthy() { 0 } else { random.below(100) };
            let fate = match luck {
                90..95 if fate == Fate::Task => Fate::Ghost,
                95.. if fate == Fate::Task => Fate::Nothing,
                _ => fate,
            };
            if fate != Fate::Nothing {
                let task = self.start(request, random, now, fate);
                named.extend((fate == Fate::Task).then_some(task));
            }
        }
        let answer = self.answer(&named, wanted(request));
        self.tokens.insert(key, Token { request: request.clone(), tasks: named, at: now });
        answer
    }

    fn arns(&self, tasks: &[usize]) -> Vec<TaskArn> {
        tasks.iter().map(|task| self.tasks[*task].arn.clone()).collect()
    }

    fn answer(&self, tasks: &[usize], wanted: usize) -> LaunchAnswer {
        let failure = || LaunchFailure { reason: "RESOURCE:CPU".into(), detail: None };
        let failures = (tasks.len()..wanted).map(|_| failure()).collect();
        match self.arns(tasks) {
            none if none.is_empty() => LaunchAnswer::Failures(failures),
            tasks => LaunchAnswer::Launched { tasks, failures },
        }
    }

    /// Whether all that the launch of a task asked for came up and ended well.
    pub(super) fn has_succeeded(&self, task: &FakeTask) -> bool {
        let of_launch = || self.tasks.iter().filter(|other| other.token == task.token);
        of_launch().count() == task.wanted && of_launch().all(FakeTask::succeeded)
    }

    fn start(&mut self, request: &LaunchRequest, random: &mut Random, now: DateTime<Utc>, fate: Fate) -> usize {
        let run = run_of(request);
        let healthy = self.is_healthy();
        let runs_at = now + random.milliseconds(500, 5_000);
        let hangs = self.launches_hang || (!healthy && random.percent(10));
        let length = if healthy { 5_000 } else { 60_000 };
        // A ghost is found by the look that comes with the next launch, if it shows by then.
        let listed_after = match fate {
            Fate::Ghost => random.milliseconds(0, 1_500),
            Fate::Task | Fate::Nothing if healthy => TimeDelta::zero(),
            Fate::Task | Fate::Nothing => random.milliseconds(0, 5_000),
        };
        let described_after = if random.percent(90) { 3_000 } else { 60_000 };
        self.tasks.push(FakeTask {
            arn: TaskArn(format!("arn:aws:ecs:eu-central-1:1:task/main/{}", self.tasks.len())),
            started_by: request.started_by.clone(),
            token: request.client_token.as_str().to_owned(),
            tags: request.task.tags.clone(),
            site: request.task.site(),
            run,
            created_at: now,
            described_from: now + random.milliseconds(0, if healthy { 1_000 } else { described_after }),
            listed_from: now + listed_after,
            runs_at,
            stops_at: (!hangs).then(|| runs_at + random.milliseconds(100, length)),
            exit_code: i32::from(!healthy && random.percent(25)),
            stop_code: "EssentialContainerExited",
            stopped_reason: None,
            wanted: wanted(request),
            is_ghost: fate == Fate::Ghost,
        });
        self.tasks.len() - 1
    }

    pub(super) fn find(
        &self,
        request: &LaunchRequest,
        random: &mut Random,
        now: DateTime<Utc>,
        skew: TimeDelta,
    ) -> SearchAnswer {
        if self.refuses(skew) || self.ignores(random) {
            return SearchAnswer::no_answer("no route to host");
        }
        let shown = |task: &&FakeTask| task.listed_from <= now && !task.is_forgotten(now);
        let ours = self.tasks.iter().filter(|task| task.started_by == request.started_by).filter(shown);
        let found: Vec<TaskArn> = ours.map(|task| task.arn.clone()).collect();
        if found.is_empty() { SearchAnswer::Nothing } else { SearchAnswer::Found(found) }
    }

    /// What a daemon on an empty store is shown.
    pub(super) fn live(&self, now: DateTime<Utc>) -> Vec<FoundTask> {
        let live = self.tasks.iter().filter(|task| task.is_visible(now) && !task.is_stopped(now));
        let found = live.map(|task| FoundTask {
            task: task.arn.clone(),
            site: task.site.clone(),
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

    /// The runs whose tasks are not shown yet, or whose request is still under way.
    pub(super) fn hidden_runs(&self, now: DateTime<Utc>) -> BTreeSet<RunId> {
        let hidden = self.tasks.iter().filter(|task| !task.is_visible(now)).map(|task| task.run.clone());
        hidden.chain(self.under_way.iter().map(|(_, request)| run_of(request))).collect()
    }

    /// Every task ends as a success.
    pub(super) fn end_all(&mut self, now: DateTime<Utc>) {
        for task in self.tasks.iter_mut().filter(|task| !task.is_stopped(now)) {
            (task.stops_at, task.exit_code) = (Some(now), 0);
        }
    }

    /// Whether a call that is not RunTask goes unanswered.
    fn ignores(&self, random: &mut Random) -> bool {
        match self.mood {
            Mood::Healthy => false,
            Mood::Flaky => random.percent(20),
            Mood::Throttling | Mood::Failing | Mood::Deaf => random.percent(90),
            Mood::Unreachable => true,
        }
    }

    pub(super) fn stop(
        &mut self,
        arn: &TaskArn,
        reason: &str,
        random: &mut Random,
        now: DateTime<Utc>,
        skew: TimeDelta,
    ) {
        if self.refuses(skew) || self.ignores(random) {
            return;
        }
        if let Some(task) = self.tasks.iter_mut().find(|task| task.arn == *arn && !task.is_stopped(now)) {
            let gone = now + random.milliseconds(200, 4_000);
            if task.stops_at.is_none_or(|at| at > gone) {
                (task.stops_at, task.stop_code) = (Some(gone), "UserInitiated");
                task.stopped_reason = Some(reason.to_owned());
                task.exit_code = if random.percent(50) { 0 } else { 143 };
            }
        }
    }

    /// What a poll reports of a task; nothing if it was not answered.
    pub(super) fn describe(
        &self,
        arn: &TaskArn,
        random: &mut Random,
        now: DateTime<Utc>,
        skew: TimeDelta,
    ) -> Option<Event> {
        if self.refuses(skew) || self.ignores(random) {
            return None;
        }
        let shown = self.tasks.iter().find(|task| task.arn == *arn);
        Some(match shown.filter(|task| task.described_from <= now && !task.is_forgotten(now)) {
            Some(task) => Event::Observed(task.facts(now)),
            None => Event::Missing(arn.clone()),
        })
    }
}

/// What RunTask brings about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Task,
    /// A task, and `failures` in the answer.
    Ghost,
    /// `failures`.
    Nothing,
}

fn wanted(request: &LaunchRequest) -> usize {
    usize::try_from(request.task.count).unwrap()
}

fn run_of(request: &LaunchRequest) -> RunId {
    RunId::from_text(&request.task.tags["tenacron:run"])
}

fn refused(code: &str, status: u16) -> LaunchAnswer {
    LaunchAnswer::Refused { code: Some(code.into()), message: String::new(), status }
}
