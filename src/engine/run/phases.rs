//! Where the time of an attempt went.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::task::TaskTimes;
use super::Attempt;

/// How long each phase of a task took, in seconds; none for a phase whose end or beginning is not known. The first two
/// end by the daemon's clock and by that of ECS: where those differ, a phase may come out as 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    /// From when the attempt was due until RunTask was sent: its turn in the quota, slots, runs before it.
    pub queued_seconds: Option<f64>,
    /// From RunTask until ECS had taken the task in.
    pub launched_seconds: Option<f64>,
    /// Until the first image began to be pulled: capacity and network.
    pub provisioning_seconds: Option<f64>,
    /// Until the images were there.
    pub pulling_seconds: Option<f64>,
    /// Until the task was RUNNING.
    pub starting_seconds: Option<f64>,
    /// Until its containers had ended.
    pub running_seconds: Option<f64>,
    /// Until it was STOPPED.
    pub stopping_seconds: Option<f64>,
}

impl Attempt {
    /// The phases of one of its tasks.
    pub fn phases(&self, times: &TaskTimes) -> Phases {
        let ran_until = times.execution_stopped_at.or(times.stopping_at).or(times.stopped_at);
        // A task that never came up spent the rest of its time in the phase that it had come to.
        let cut_short = times.stopping_at.or(times.stopped_at).filter(|_| times.started_at.is_none());
        Phases {
            queued_seconds: between(self.due_at, self.launched_at),
            launched_seconds: between(self.launched_at, times.created_at),
            provisioning_seconds: between(times.created_at, times.pull_started_at.or(cut_short)),
            pulling_seconds: between(times.pull_started_at, times.pull_stopped_at.or(cut_short)),
            starting_seconds: between(times.pull_stopped_at, times.started_at.or(cut_short)),
            running_seconds: between(times.started_at, ran_until),
            stopping_seconds: between(times.execution_stopped_at.or(times.stopping_at), times.stopped_at),
        }
    }
}

fn between(from: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>) -> Option<f64> {
    let time = until? - from?;
    Some(time.as_seconds_f64().max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(1_750_000_000 + second, 0)
    }

    #[test]
    fn every_phase_has_its_time_and_none_is_counted_twice() {
        let attempt = Attempt { due_at: at(0), launched_at: at(1), ..Attempt::default() };
        let times = TaskTimes {
            created_at: at(3),
            pull_started_at: at(7),
            pull_stopped_at: at(15),
            started_at: at(31),
            stopping_at: at(60),
            execution_stopped_at: at(63),
            stopped_at: at(127),
        };
        let Phases {
            queued_seconds,
            launched_seconds,
            provisioning_seconds,
            pulling_seconds,
            starting_seconds,
            running_seconds,
            stopping_seconds,
        } = attempt.phases(&times);
        let all = [
            queued_seconds,
            launched_seconds,
            provisioning_seconds,
            pulling_seconds,
            starting_seconds,
            running_seconds,
            stopping_seconds,
        ];
        assert_eq!(all, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0].map(Some));
    }

    #[test]
    fn what_did_not_happen_has_no_time_and_a_clock_that_is_behind_makes_none_negative() {
        let attempt = Attempt { due_at: at(0), launched_at: at(5), ..Attempt::default() };
        let times = TaskTimes { created_at: at(4), ..TaskTimes::default() };
        let expected = Phases { queued_seconds: Some(5.0), launched_seconds: Some(0.0), ..Phases::default() };
        assert_eq!(attempt.phases(&times), expected);
        let times = TaskTimes { stopping_at: at(64), stopped_at: at(70), ..times };
        let expected = Phases { provisioning_seconds: Some(60.0), stopping_seconds: Some(6.0), ..expected };
        assert_eq!(attempt.phases(&times), expected, "it waited for its network until it was stopped");
    }
}
