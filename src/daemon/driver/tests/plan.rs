//! A random history: which jobs there are, how ECS behaves from stretch to stretch, and what happens to the daemon, its
//! clock, its disk and its configuration in between. All of it follows from the seed.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::ecs::Mood;
use super::people::Room;
use super::random::Random;
use super::told;
use super::wishes;
use super::world::World;
use super::{definition, elsewhere, retrier};
use crate::engine::failure::ErrorName;
use crate::engine::job::{Admission, Catchup, Definition, Job, JobName, Limits, OnUnknown, Overlap, TaskSpec};
use crate::engine::retry::{Retrier, RetryPolicy};
use crate::engine::schedule::{Dst, Schedule};

/// What a history is about. Each kind keeps to what Tenacron can promise under it: see [`play`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Deaths, an ECS that lies and loses, a disk that fails.
    Deaths,
    /// The same, and a clock that jumps ahead and back while the daemon runs.
    Clocks,
    /// Long absences, machines that sleep in the middle of a call, and whatever clock comes after.
    Absences,
    /// The configuration changes at restarts: definitions, schedules, jobs that leave and come back.
    Reloads,
    /// Jobs leave and come back on a clock that was set back, so that they begin before instants that have their rows.
    Returns,
    /// People trigger, cancel, pause, resume, retry and backfill while slots are few and daemons die.
    Hands,
    /// The same, and the configuration of the running daemon changes.
    Changes,
    /// The clock jumps ahead again and again while answers are lost. It has seeds of its own, because among the others what it is
    /// about is rare.
    Jumps,
}

impl Kind {
    pub(super) fn of_seed(seed: u64) -> Kind {
        if seed >= JUMPS_FROM {
            return Kind::Jumps;
        }
        let kinds =
            [Kind::Deaths, Kind::Clocks, Kind::Absences, Kind::Reloads, Kind::Returns, Kind::Hands, Kind::Changes];
        kinds[usize::try_from(seed % 7).unwrap()]
    }

    /// Whether people want things in it.
    fn has_people(self) -> bool {
        matches!(self, Kind::Hands | Kind::Changes)
    }
}

/// The first seed of the histories of jumps.
pub(super) const JUMPS_FROM: u64 = 1_000_000_000;

const SCHEDULES: [&str; 8] = [
    "*/10 * * * * *",
    "*/15 * * * * *",
    "*/20 * * * * *",
    "5,35 * * * * *",
    "* * * * *",
    "*/2 * * * *",
    "rate(1 minute)",
    "rate(2 minutes)",
];

pub(super) const OVERLAPS: [Overlap; 5] =
    [Overlap::Skip, Overlap::Allow, Overlap::QueueOne, Overlap::QueueAll, Overlap::CancelRunning];

/// One to three jobs, and the room for their runs.
pub(super) fn configuration(random: &mut Random, kind: Kind) -> (Vec<Arc<Job>>, Room) {
    let count = 1 + random.below(3);
    let jobs = (0..count).map(|nth| job(random, &format!("job-{nth}"))).collect();
    let is_narrow = kind.has_people() || random.percent(20);
    (jobs, if is_narrow { wishes::room(random) } else { Room::default() })
}

fn job(random: &mut Random, name: &str) -> Arc<Job> {
    let schedule = random.one_of(&SCHEDULES);
    let job = Arc::new(Job {
        name: JobName::new(name).unwrap(),
        schedule: Schedule::parse(&[schedule], Tz::UTC, Dst::default()).unwrap(),
        admission: Admission {
            overlap: random.one_of(&OVERLAPS),
            catchup: random.one_of(&[Catchup::None, Catchup::Last, Catchup::All]),
            catchup_window: Duration::from_secs(random.one_of(&[120, 600])),
            spread: Duration::from_secs(random.one_of(&[0, 0, 0, 7, 25])),
            pause_after: random.one_of(&[None, None, None, Some(2), Some(4)]),
        },
        definition: Arc::new(random_definition(random)),
    });
    // One of three launches with a quota of its own.
    if name.ends_with('1') { elsewhere(&job) } else { job }
}

fn random_definition(random: &mut Random) -> Definition {
    let plain = definition_without_room(random);
    let group = random.one_of(&[None, None, Some(wishes::GROUPS[0]), Some(wishes::GROUPS[1])]).map(str::to_owned);
    // Longer than any spread.
    let start_deadline = random.one_of(&[None, None, None, Some(30), Some(90)]).map(Duration::from_secs);
    let count = random.one_of(&[1, 1, 1, 1, 2, 3]);
    let (task, limits) = (TaskSpec { group, count, ..plain.task.clone() }, Limits { start_deadline, ..plain.limits });
    Definition { task, limits, notify: told::rules(random).into(), ..plain }
}

fn definition_without_room(random: &mut Random) -> Definition {
    let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
    let limits = Limits {
        timeout: seconds(random.one_of(&[None, Some(70), Some(300)])),
        attempt_timeout: seconds(random.one_of(&[None, None, Some(40)])),
        start_timeout: seconds(random.one_of(&[None, None, None, Some(30)])),
        start_deadline: None,
    };
    let on_unknown = if random.percent(10) { OnUnknown::Rerun } else { OnUnknown::Fail };
    Definition { retry: policy(random), on_unknown, ..definition(limits) }
}

/// No jitter: a wait of nearly nothing leaves a ghost no time to show up, and `retry.rs` has tests of its own.
fn policy(random: &mut Random) -> RetryPolicy {
    let slow = |name, interval_seconds, backoff_rate, max_delay_seconds| Retrier {
        backoff_rate,
        max_delay_seconds,
        ..retrier(name, interval_seconds)
    };
    let retriers = match random.below(6) {
        0 => return RetryPolicy::default(),
        1 => Vec::new(),
        2 => vec![slow(ErrorName::ECS_EXCEPTION, 4, 2.5, Some(15)), retrier(ErrorName::ALL, 2)],
        3 => vec![Retrier { max_attempts: 0, ..retrier(ErrorName::TIMEOUT, 2) }, retrier(ErrorName::ALL, 3)],
        4 => vec![
            retrier(ErrorName::THROTTLED, 2),
            slow(ErrorName::SDK_CLIENT, 5, 1.5, None),
            slow(ErrorName::TASK_FAILED, 3, 1.0, None),
        ],
        _ => vec![retrier(ErrorName::LAUNCH_UNKNOWN, 7), retrier(ErrorName::TASK_FAILED, 2)],
    };
    RetryPolicy::new(retriers).unwrap()
}

/// Plays a history of a few stretches.
///
/// What a kind leaves out is what nobody can promise: a clock that is set back by an unknown amount *during* an absence, and
/// is believed, hides how old a launch is. AWS does not believe it: it refuses calls whose clock is wrong by more than five
/// minutes, and so does the ECS of the kinds in which that happens.
pub(super) fn play(world: &mut World, kind: Kind) {
    if kind.has_people() {
        world.people.busy = world.random.one_of(&[10, 30, 100]);
        world.people.reload = kind == Kind::Changes;
    }
    world.ecs.checks_signatures = kind == Kind::Absences || (kind != Kind::Jumps && world.random.percent(30));
    world.deaths_in_thousand = world.random.one_of(&[0, 10, 40]);
    world.failing_saves_in_hundred = world.random.one_of(&[0, 0, 10, 40]);
    // A clock that is wrong by more than a signature may be keeps ECS from answering for as long as an absence.
    world.was_away_for_long = matches!(kind, Kind::Absences | Kind::Clocks);
    world.clock_may_change = matches!(kind, Kind::Clocks | Kind::Jumps);
    if kind == Kind::Absences {
        world.naps_in_thousand = world.random.one_of(&[0, 5, 20]);
    }
    for _ in 0..2 + world.random.below(3) {
        world.ecs.mood = world.random.one_of(&[
            Mood::Healthy,
            Mood::Flaky,
            Mood::Flaky,
            Mood::Flaky,
            Mood::Throttling,
            Mood::Failing,
            Mood::Deaf,
            Mood::Unreachable,
        ]);
        if kind == Kind::Jumps {
            // No ghosts: a jump cuts short the wait in which they show up.
            world.ecs.mood = Mood::Deaf;
        }
        let mood = world.ecs.mood;
        world.tell(|| format!("== ECS is {mood:?}"));
        let stretch = world.random.milliseconds(8_000, 75_000);
        world.run_until(world.real + stretch);
        match kind {
            Kind::Deaths | Kind::Hands | Kind::Changes => pause(world),
            Kind::Clocks => change_clock(world),
            Kind::Absences => absence(world),
            Kind::Reloads => reload(world),
            Kind::Returns => come_back(world),
            Kind::Jumps => jump_ahead(world),
        }
    }
}

/// A process that is stopped and continued, drains before it ends, or dies and comes back soon.
fn pause(world: &mut World) {
    let stopped_for = world.random.seconds(1, 200);
    match world.random.below(5) {
        0 => {}
        1 => {
            world.leave();
            world.real += stopped_for;
            world.restart();
        }
        2 => {
            world.tell(|| "zz the process is stopped for a while");
            world.real += stopped_for;
        }
        3 => {
            world.drain(stopped_for);
            world.restart();
        }
        _ => {
            world.real += stopped_for;
            world.restart();
        }
    }
}

fn change_clock(world: &mut World) {
    world.clock_was_changed = true;
    let by = match world.random.below(5) {
        0 => world.random.seconds(0, 240),
        1 => -world.random.seconds(0, 240),
        2 => world.random.seconds(0, 7_200),
        // Many small steps back, each of which looks like a correction.
        3 => {
            for _ in 0..world.random.below(14) {
                world.run_until(world.real + TimeDelta::seconds(241));
                world.skew -= TimeDelta::seconds(240);
            }
            TimeDelta::zero()
        }
        _ => -world.random.seconds(0, 5_400),
    };
    world.tell(|| format!("<> the clock is changed by {} s", by.num_seconds()));
    world.skew += by;
    if world.random.percent(30) {
        world.restart();
    }
}

fn jump_ahead(world: &mut World) {
    world.clock_was_changed = true;
    for _ in 0..10 {
        let until = world.real + world.random.seconds(1, 9);
        world.run_until(until);
        let by = world.random.seconds(11, 120);
        world.skew += by;
        world.tell(|| format!("<> the clock jumps {} s ahead", by.num_seconds()));
    }
}

fn absence(world: &mut World) {
    world.clock_was_changed = true;
    let away = world.random.one_of(&[30, 600, 2_400, 3_000, 4_000, 9_000]);
    world.tell(|| format!("-- away for {away} s"));
    world.real += TimeDelta::seconds(away) + world.random.seconds(0, 60);
    if world.random.percent(25) {
        world.skew += world.random.seconds(0, 7_200) - TimeDelta::seconds(3_600);
    } else if world.random.percent(50) {
        world.skew = TimeDelta::zero();
    }
    world.restart();
}

/// Every job leaves the configuration and comes back on a clock that was set back meanwhile.
fn come_back(world: &mut World) {
    world.clock_was_changed = true;
    world.shelf.forget_marks(world.wall());
    world.skew -= world.random.seconds(0, 240);
    world.tell(|| "<> the jobs left and come back, the clock was set back");
    world.restart();
}

/// Another configuration than the present one.
pub(super) fn change_jobs(world: &mut World) -> Vec<Arc<Job>> {
    let mut jobs = world.jobs.clone();
    let random = &mut world.random;
    for old in &mut jobs {
        match random.below(6) {
            0 => {
                let definition = Arc::new(random_definition(random));
                *old = Arc::new(Job { definition, ..Job::clone(old) });
            }
            1 => {
                let Job { admission, .. } = *job(random, old.name.as_str());
                *old = Arc::new(Job { admission, ..Job::clone(old) });
            }
            2 => *old = job(random, old.name.as_str()),
            _ => {}
        }
    }
    match random.below(6) {
        0 => drop(jobs.pop()),
        1 => {
            // One that was known before, or a new one.
            let nth = random.below(4);
            let name = format!("job-{nth}");
            if !jobs.iter().any(|job| job.name.as_str() == name) {
                jobs.push(job(random, &name));
            }
        }
        _ => {}
    }
    jobs
}

/// The daemon comes back with another configuration.
fn reload(world: &mut World) {
    world.jobs = change_jobs(world);
    world.people.known.extend(world.jobs.iter().cloned());
    let names: Vec<&str> = world.jobs.iter().map(|job| job.name.as_str()).collect();
    world.tell(|| format!("-- another configuration: {names:?}"));
    world.real += world.random.milliseconds(0, 20_000);
    world.restart();
}
