//! How a run ended, and the status that the interface shows.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::failure::Failure;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// A task ended as a success.
    Succeeded,
    /// A failure that no retrier takes any more.
    Failed {
        /// The last one.
        failure: Failure,
    },
    /// `timeout` has passed.
    TimedOut {
        /// `States.Timeout` and what was going on.
        failure: Failure,
    },
    /// Stopped on request.
    Cancelled {
        /// By whom and why.
        reason: String,
    },
    /// Never started because of a rule, or ended with an exit code that says that there was nothing to do.
    Skipped {
        /// Which rule, and which run or who; or which container, and its code.
        reason: String,
        /// The instants that it stands for, if it stands for more than its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        covers: Option<Covered>,
    },
    /// Never started, because its instant passed unattended.
    Missed {
        /// From when to when, and which rule left it out.
        reason: String,
        /// The instants that it stands for, if it stands for more than its own; older rows have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        covers: Option<Covered>,
    },
    /// Whether a task was launched can no longer be known.
    Unknown {
        /// `Tenacron.LaunchUnknown`.
        failure: Failure,
    },
}

/// Instants that share a row because they are many: all that the schedule named from `first` up to and with the row's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// The first of them.
    pub first: DateTime<Utc>,
    /// How many they are, the row's own included.
    pub count: u64,
}

/// The status that the interface shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is described at its state or outcome")]
pub enum Status {
    Due,
    Launching,
    Running,
    Stopping,
    Waiting,
    Succeeded,
    Failed,
    TimedOut,
    Cancelled,
    Skipped,
    Missed,
    Unknown,
}

impl Status {
    /// Every status, in the order of a run's life.
    pub const ALL: [Status; 12] = [
        Status::Due,
        Status::Launching,
        Status::Running,
        Status::Stopping,
        Status::Waiting,
        Status::Succeeded,
        Status::Failed,
        Status::TimedOut,
        Status::Cancelled,
        Status::Skipped,
        Status::Missed,
        Status::Unknown,
    ];

    /// The name in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Due => "due",
            Status::Launching => "launching",
            Status::Running => "running",
            Status::Stopping => "stopping",
            Status::Waiting => "waiting",
            Status::Succeeded => "succeeded",
            Status::Failed => "failed",
            Status::TimedOut => "timed_out",
            Status::Cancelled => "cancelled",
            Status::Skipped => "skipped",
            Status::Missed => "missed",
            Status::Unknown => "unknown",
        }
    }

    /// Whether it ended so that somebody has to look.
    pub fn is_bad(self) -> bool {
        match self {
            Status::Failed | Status::TimedOut | Status::Missed | Status::Unknown => true,
            Status::Due
            | Status::Launching
            | Status::Running
            | Status::Stopping
            | Status::Waiting
            | Status::Succeeded
            | Status::Cancelled
            | Status::Skipped => false,
        }
    }
}

impl std::str::FromStr for Status {
    type Err = ();
    fn from_str(text: &str) -> Result<Status, ()> {
        Status::ALL.into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

impl Outcome {
    /// The status that it gives a run.
    pub fn status(&self) -> Status {
        match self {
            Outcome::Succeeded => Status::Succeeded,
            Outcome::Failed { .. } => Status::Failed,
            Outcome::TimedOut { .. } => Status::TimedOut,
            Outcome::Cancelled { .. } => Status::Cancelled,
            Outcome::Skipped { .. } => Status::Skipped,
            Outcome::Missed { .. } => Status::Missed,
            Outcome::Unknown { .. } => Status::Unknown,
        }
    }

    /// The failure in it.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Outcome::Failed { failure } | Outcome::TimedOut { failure } | Outcome::Unknown { failure } => Some(failure),
            Outcome::Succeeded | Outcome::Cancelled { .. } | Outcome::Skipped { .. } | Outcome::Missed { .. } => None,
        }
    }

    /// The instants that it stands for, if it stands for more than its own.
    pub fn covers(&self) -> Option<Covered> {
        match self {
            Outcome::Skipped { covers, .. } | Outcome::Missed { covers, .. } => *covers,
            Outcome::Succeeded
            | Outcome::Failed { .. }
            | Outcome::TimedOut { .. }
            | Outcome::Cancelled { .. }
            | Outcome::Unknown { .. } => None,
        }
    }

    /// The reason in it.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Outcome::Cancelled { reason } | Outcome::Skipped { reason, .. } | Outcome::Missed { reason, .. } => {
                Some(reason)
            }
            Outcome::Succeeded | Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Unknown { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_row_from_before_rows_could_stand_for_many_reads_back() {
        let stored = r#"{"outcome":"missed","reason":"away"}"#;
        let missed: Outcome = serde_json::from_str(stored).unwrap();
        assert_eq!(missed, Outcome::Missed { reason: "away".into(), covers: None });
        assert_eq!(serde_json::to_string(&missed).unwrap(), stored);
    }

    #[test]
    fn a_row_that_stands_for_many_keeps_which() {
        let covers = Some(Covered { first: DateTime::from_timestamp(1_750_000_000, 0).unwrap(), count: 31_535_940 });
        let missed = Outcome::Missed { reason: "away".into(), covers };
        let stored = serde_json::to_string(&missed).unwrap();
        let expected = r#""covers":{"first":"2025-06-15T15:06:40Z","count":31535940}"#;
        assert!(stored.contains(expected), "{stored}");
        assert_eq!(serde_json::from_str::<Outcome>(&stored).unwrap(), missed);
    }
}
