//! How often one task is looked at: often while something is expected of it, else half as often.
//!
//! What is seen late is told late, so a task is looked at often while it starts, in its first minutes, in which most tasks
//! end, while it goes down, and when it was asked to stop or a limit of its time is near. One that has run for long will
//! mostly go on, and the read quota is the whole account's.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::engine::task::TaskFacts;

/// How long a task counts as young after it reached RUNNING.
const YOUNG_FOR: TimeDelta = TimeDelta::minutes(2);
/// How many times the usual pause a long runner is left alone.
const LONG_RUNNER: u32 = 2;
/// The longest pause of a long runner, unless the usual one is longer: ECS forgets a stopped task after an hour.
const LONG_RUNNER_MAX: Duration = Duration::from_secs(60);

/// The pause until the next look at a task that has just been shown.
pub(super) fn next_look_in(
    facts: &TaskFacts,
    often_from: Option<DateTime<Utc>>,
    poll_interval: Duration,
    now: DateTime<Utc>,
) -> Duration {
    let has_run_for_long = facts.times.started_at.is_some_and(|at| now - at >= YOUNG_FOR);
    // On the way down it is DEACTIVATING, STOPPING, DEPROVISIONING. Source: Amazon ECS developer guide, "Task lifecycle".
    if !has_run_for_long || facts.times.stopping_at.is_some() || facts.last_status != "RUNNING" {
        return poll_interval;
    }
    let pause = (poll_interval * LONG_RUNNER).min(LONG_RUNNER_MAX.max(poll_interval));
    let until_then = often_from.map(|at| (at - now).to_std().unwrap_or_default());
    until_then.map_or(pause, |left| pause.min(left.max(poll_interval)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::task::TaskTimes;

    #[test]
    fn a_long_runner_is_looked_at_half_as_often_until_something_is_expected_of_it() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let (usual, seconds) = (Duration::from_secs(5), Duration::from_secs);
        let facts = |last_status: &str, age: Option<i64>| TaskFacts {
            last_status: last_status.into(),
            times: TaskTimes {
                started_at: age.map(|seconds| now - TimeDelta::seconds(seconds)),
                ..TaskTimes::default()
            },
            ..TaskFacts::default()
        };
        let pause = |facts: &TaskFacts, often_in: Option<i64>| {
            let often_from = often_in.map(|seconds| now + TimeDelta::seconds(seconds));
            next_look_in(facts, often_from, usual, now)
        };
        for (last_status, age) in [("PENDING", None), ("RUNNING", None), ("RUNNING", Some(119))] {
            assert_eq!(pause(&facts(last_status, age), None), usual, "it starts, or is young");
        }
        for last_status in ["DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED", "OF_THE_FUTURE"] {
            assert_eq!(pause(&facts(last_status, Some(9_000)), None), usual, "it goes down");
        }
        let mut long = facts("RUNNING", Some(120));
        long.times.stopping_at = Some(now);
        assert_eq!(pause(&long, None), usual, "it begins to");
        long.times.stopping_at = None;
        assert_eq!(pause(&long, None), seconds(10));
        assert_eq!(pause(&long, Some(3_600)), seconds(10));
        assert_eq!(pause(&long, Some(7)), seconds(7), "then it is looked at often");
        for often_in in [2, 0, -100] {
            assert_eq!(pause(&long, Some(often_in)), usual);
        }
        assert_eq!(next_look_in(&long, None, seconds(40), now), seconds(60), "ECS forgets");
        assert_eq!(next_look_in(&long, None, seconds(900), now), seconds(900), "what is configured counts");
    }
}
