//! The driver on a virtual clock: what it saves, in which order it acts, and whole histories with deaths at any point.
//!
//! `world.rs` is the daemon's loop with a store (`shelf.rs`), calls (`calls.rs`), an ECS (`ecs.rs`), people (`people.rs`)
//! and a clock of its own. `plan.rs` makes up a history out of a seed, and `wishes.rs` what people want in it; `ledger.rs`
//! judges each batch when it is saved, `told.rs` who is told of it, `audit.rs` the history when it is over, with the retry
//! rules written a second time in `asl.rs`; `broken.rs` removes one safeguard after the other, to see that both are not
//! blind. `rules.rs` has single rules, `lost_state.rs` those of a store that was deleted, `drains.rs`, `notices.rs`,
//! `hands.rs`, `pauses.rs`, `quotas.rs`, `slots.rs`, `overdue.rs` and `reloads.rs` those of what their names say.

mod asl;
mod audit;
pub(super) mod broken;
mod calls;
mod drains;
mod ecs;
mod hands;
mod histories;
mod ledger;
mod lost_state;
mod notices;
mod overdue;
mod pauses;
mod people;
mod plan;
mod quotas;
mod random;
mod reloads;
mod rules;
mod shelf;
mod slots;
mod told;
mod wishes;
mod world;

use std::fmt::Debug;
use std::time::Duration;

use chrono::TimeDelta;
use chrono_tz::Tz;

use self::world::World;
use super::*;
use crate::engine::failure::ErrorName;
use crate::engine::job::{Admission, Catchup, ContainerOverride, Definition, Limits, Overlap, Target, TaskSpec};
use crate::engine::quota::QuotaKey;
use crate::engine::retry::{Jitter, Retrier, RetryPolicy};
use crate::engine::samples;
use crate::engine::schedule::{Dst, Schedule};

/// What a history must never do, and did.
struct Violation(String);

/// Ends a history. No panic message: that a broken build ends so is what a test wants to see.
fn violated(what: String) -> ! {
    std::panic::resume_unwind(Box::new(Violation(what)))
}

fn demand(holds: bool, what: impl FnOnce() -> String) {
    if !holds {
        violated(what());
    }
}

fn demand_eq<T: PartialEq + Debug>(left: T, right: T, what: impl FnOnce() -> String) {
    demand(left == right, || format!("{}: {left:?} instead of {right:?}", what()));
}

/// Leaves no permit of the daemon's own account, and one more after `1 / rate` seconds.
fn use_up(world: &mut World, rate: f64) {
    let now = world.wall();
    world.driver.quotas = Quotas::new(rate, 1);
    assert!(world.driver.quotas.bucket(QuotaKey::default(), now).take(now));
}

fn retrier(name: ErrorName, interval_seconds: u32) -> Retrier {
    Retrier {
        error_equals: vec![name],
        interval_seconds,
        max_attempts: 2,
        backoff_rate: 2.0,
        max_delay_seconds: None,
        jitter_strategy: Jitter::None,
    }
}

fn definition(limits: Limits) -> Definition {
    let retriers = vec![retrier(ErrorName::ECS_EXCEPTION, 4), retrier(ErrorName::ALL, 2)];
    let plain = samples::definition();
    let task = TaskSpec { containers: vec![ContainerOverride::default()], ..plain.task.clone() };
    Definition { task, retry: RetryPolicy::new(retriers).unwrap(), limits, ..plain }
}

fn limits(timeout: Option<u64>, attempt_timeout: Option<u64>) -> Limits {
    let seconds = |count: Option<u64>| count.map(Duration::from_secs);
    Limits {
        timeout: seconds(timeout),
        attempt_timeout: seconds(attempt_timeout),
        start_timeout: None,
        start_deadline: None,
    }
}

fn job_in(zone: Tz, name: &str, schedule: &str, overlap: Overlap, catchup: Catchup, limits: Limits) -> Arc<Job> {
    Arc::new(Job {
        name: JobName::new(name).unwrap(),
        schedule: Schedule::parse(&[schedule], zone, Dst::default()).unwrap(),
        admission: Admission { overlap, catchup, ..Admission::default() },
        definition: Arc::new(definition(limits)),
    })
}

fn job(name: &str, schedule: &str, overlap: Overlap, catchup: Catchup, limits: Limits) -> Arc<Job> {
    job_in(Tz::UTC, name, schedule, overlap, catchup, limits)
}

/// A job that is otherwise in something.
fn otherwise(job: &Arc<Job>, change: impl FnOnce(&mut Job)) -> Arc<Job> {
    let mut job = Job::clone(job);
    change(&mut job);
    Arc::new(job)
}

/// A job that launches another task definition.
fn launching(job: &Arc<Job>, task_definition: &str) -> Arc<Job> {
    otherwise(job, |job| {
        let mut definition = Definition::clone(&job.definition);
        definition.task.task_definition = task_definition.into();
        job.definition = Arc::new(definition);
    })
}

/// A job that launches in another account and region than the daemon's own.
fn elsewhere(job: &Arc<Job>) -> Arc<Job> {
    otherwise(job, |job| {
        let mut definition = Definition::clone(&job.definition);
        definition.task.target = Arc::new(Target {
            name: Some("elsewhere".into()),
            region: Some("eu-west-1".into()),
            role_arn: Some("arn:aws:iam::111122223333:role/launcher".into()),
            ..Target::default()
        });
        job.definition = Arc::new(definition);
    })
}

/// A job whose runs need a slot of a group.
fn in_group(job: &Arc<Job>, group: &str) -> Arc<Job> {
    otherwise(job, |job| {
        let mut definition = Definition::clone(&job.definition);
        definition.task.group = Some(group.into());
        job.definition = Arc::new(definition);
    })
}

/// A job whose runs must launch in time.
fn within(job: &Arc<Job>, start_deadline: u64) -> Arc<Job> {
    otherwise(job, |job| {
        let mut definition = Definition::clone(&job.definition);
        definition.limits.start_deadline = Some(Duration::from_secs(start_deadline));
        job.definition = Arc::new(definition);
    })
}

/// A job of which only people want runs.
fn unscheduled(name: &str, overlap: Overlap) -> Arc<Job> {
    job(name, "0 3 1 1 *", overlap, Catchup::None, limits(None, None))
}

/// One job of each overlap policy, with limits short enough to matter.
fn mixed_jobs() -> Vec<Arc<Job>> {
    vec![
        job("allow", "rate(1 minute)", Overlap::Allow, Catchup::None, limits(None, Some(60))),
        job("cancel", "rate(1 minute)", Overlap::CancelRunning, Catchup::Last, limits(Some(300), None)),
        job("queue-all", "*/2 * * * *", Overlap::QueueAll, Catchup::All, limits(Some(100), None)),
        job("queue-one", "* * * * *", Overlap::QueueOne, Catchup::Last, limits(Some(70), Some(50))),
        job("skip", "* * * * *", Overlap::Skip, Catchup::All, limits(Some(90), None)),
    ]
}
