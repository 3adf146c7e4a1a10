//! Notices: what people are told of a run, by which channel, and what a notice says.
//!
//! A rule names what it is about and a channel. The rules are frozen with the definition of a firing; a channel itself, with
//! its address and its secrets, stays in the configuration, and only its name is ever stored.

pub mod delivery;
mod owed;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::job::{Instance, JobName};
use super::run::{Outcome, Run, RunId, State, Status, Trigger};

pub use self::owed::{Before, Happened, JobNow, owed};

/// How many attempts a notice names: what came before is in the history.
pub const ATTEMPTS_MAX: usize = 10;

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// The first launch of a run was taken by ECS; for channels that measure how long a run takes.
    Started,
    /// A failed attempt is tried again.
    Retrying,
    /// The run succeeded.
    Succeeded,
    /// The run succeeded, and the one before it had not.
    Recovered,
    /// The run failed.
    Failed,
    /// A limit of time ended the run.
    TimedOut,
    /// Whether its task was launched can't be known.
    Unknown,
    /// The instant passed and was left out.
    Missed,
    /// A rule left the instant out.
    Skipped,
}

impl On {
    /// All of them.
    pub const ALL: [On; 9] = [
        On::Started,
        On::Retrying,
        On::Succeeded,
        On::Recovered,
        On::Failed,
        On::TimedOut,
        On::Unknown,
        On::Missed,
        On::Skipped,
    ];

    /// The name in the configuration, in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            On::Started => "started",
            On::Retrying => "retrying",
            On::Succeeded => "succeeded",
            On::Recovered => "recovered",
            On::Failed => "failed",
            On::TimedOut => "timed_out",
            On::Unknown => "unknown",
            On::Missed => "missed",
            On::Skipped => "skipped",
        }
    }
}

impl std::str::FromStr for On {
    type Err = ();
    fn from_str(text: &str) -> Result<On, ()> {
        On::ALL.into_iter().find(|on| on.as_str() == text).ok_or(())
    }
}

/// Which of several in a row are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// Each one.
    #[default]
    Every,
    /// The first one, and the next one only after it went well again.
    First,
}

/// In which ways instants of a job were left out since it went on: each is remembered by itself, so that a job of which
/// instants are missed and skipped by turns has told both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Missed, since a run began.
    pub missed: bool,
    /// Skipped by a rule, without a launch, since a run began.
    pub skipped: bool,
    /// Skipped by the exit code of its task, since a run ended otherwise.
    pub nothing_to_do: bool,
}

impl LeftOut {
    /// In none of them.
    pub const NONE: LeftOut = LeftOut { missed: false, skipped: false, nothing_to_do: false };
    const MISSED: LeftOut = LeftOut { missed: true, ..LeftOut::NONE };
    const SKIPPED: LeftOut = LeftOut { skipped: true, ..LeftOut::NONE };
    const NOTHING_TO_DO: LeftOut = LeftOut { nothing_to_do: true, ..LeftOut::NONE };
    const NAMED: [(&str, LeftOut); 3] =
        [("missed", LeftOut::MISSED), ("skipped", LeftOut::SKIPPED), ("nothing_to_do", LeftOut::NOTHING_TO_DO)];

    /// How a run was left out that ended so.
    fn of(outcome: &Outcome, run: &Run) -> LeftOut {
        match outcome {
            Outcome::Missed { .. } => LeftOut::MISSED,
            Outcome::Skipped { .. } if run.attempts.is_empty() => LeftOut::SKIPPED,
            Outcome::Skipped { .. } => LeftOut::NOTHING_TO_DO,
            Outcome::Succeeded
            | Outcome::Failed { .. }
            | Outcome::TimedOut { .. }
            | Outcome::Cancelled { .. }
            | Outcome::Unknown { .. } => LeftOut::NONE,
        }
    }

    /// In the ways of both.
    #[must_use]
    pub fn and(self, other: LeftOut) -> LeftOut {
        LeftOut {
            missed: self.missed || other.missed,
            skipped: self.skipped || other.skipped,
            nothing_to_do: self.nothing_to_do || other.nothing_to_do,
        }
    }

    fn has(self, all_of: LeftOut) -> bool {
        self.and(all_of) == self
    }
}

/// As the store has it: names with commas between them.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = LeftOut::NAMED.into_iter().filter(|(_, way)| self.has(*way)).map(|(name, _)| name);
        f.write_str(&names.collect::<Vec<_>>().join(","))
    }
}

impl std::str::FromStr for LeftOut {
    type Err = ();
    fn from_str(text: &str) -> Result<LeftOut, ()> {
        text.split(',').filter(|name| !name.is_empty()).try_fold(LeftOut::NONE, |all, name| {
            let (_, way) = LeftOut::NAMED.into_iter().find(|(known, _)| *known == name).ok_or(())?;
            Ok(all.and(way))
        })
    }
}

/// How a job stands, as far as it decides what is told next. It is stored with the job's mark, so that a restart tells
/// nothing twice and keeps nothing back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its newest run that succeeded or ended badly ended badly. A person who resumes a job changes nothing about it.
    pub ended_badly: bool,
    /// How instants of it were left out since it went on.
    pub left_out: LeftOut,
}

impl Standing {
    /// After a run has begun: instants are no longer left out.
    #[must_use]
    pub fn begun(self) -> Standing {
        // What its exit code says is not known yet, and mostly it says what it said before.
        let left_out = LeftOut { nothing_to_do: self.left_out.nothing_to_do, ..LeftOut::NONE };
        Standing { left_out, ..self }
    }

    /// After a run is over.
    #[must_use]
    pub fn ended(self, run: &Run) -> Standing {
        let State::Finished { outcome, .. } = &run.state else { return self };
        let ended_badly = match outcome {
            Outcome::Succeeded => false,
            Outcome::Failed { .. } | Outcome::TimedOut { .. } | Outcome::Unknown { .. } => true,
            Outcome::Cancelled { .. } | Outcome::Skipped { .. } | Outcome::Missed { .. } => self.ended_badly,
        };
        let left_out = match LeftOut::of(outcome, run) {
            this if run.attempts.is_empty() && this != LeftOut::NONE => self.left_out.and(this),
            this => this,
        };
        Standing { ended_badly, left_out }
    }
}

/// The name of a channel. It can be shown and stored: an address that is a secret stands in it as a hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelId(pub Arc<str>);

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One `[[notify]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyRule {
    /// What is told.
    pub on: BTreeSet<On>,
    /// Which of several in a row.
    #[serde(default)]
    pub repeat: Repeat,
    /// By which channel.
    pub channel: ChannelId,
}

/// A notice that is owed: saved with the transition that it is about, delivered at least once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Its name, the same at each try: whoever receives it twice can tell. A hash of installation, run, history entry and
    /// channel, as 32 hexadecimal digits.
    pub id: String,
    /// By which channel.
    pub channel: ChannelId,
    /// When it was owed first.
    pub at: DateTime<Utc>,
    /// What it says.
    pub facts: Arc<NoticeFacts>,
}

/// What a notice says, complete when it is owed: every channel words it in its own way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoticeFacts {
    /// What it is about.
    pub on: On,
    /// The installation.
    pub instance: Instance,
    /// The job.
    pub job: JobName,
    /// The run.
    pub run: RunId,
    /// Where the run is.
    pub status: Status,
    /// What began it.
    pub trigger: Trigger,
    /// Its nominal instant.
    pub scheduled_at: DateTime<Utc>,
    /// The zone of its job's schedule; none if the job has left the configuration.
    pub timezone: Option<String>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How many attempts it has had.
    pub attempt_count: u32,
    /// The newest of them, in order: [`ATTEMPTS_MAX`] at most.
    pub attempts: Vec<AttemptFacts>,
    /// The primary error name.
    pub error: Option<String>,
    /// The most specific name that it answers to; none if that is the primary one.
    #[serde(default)]
    pub finer_error: Option<String>,
    /// What happened, for a person.
    pub cause: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The exit code of the newest attempt.
    pub exit_code: Option<i32>,
    /// What that exit code means, if anything is known of it.
    pub exit_code_meaning: Option<String>,
    /// When the newest attempt is tried again.
    pub retry_at: Option<DateTime<Utc>>,
    /// When the job fires next; none if never, or while it is paused.
    pub next_at: Option<DateTime<Utc>>,
    /// Who began the pause that the job is in.
    pub paused: Option<String>,
    /// How many runs in a row ended badly by now, this one included; before a recovery, how many had.
    pub failed_in_a_row: u32,
    /// How many further instants the same notice stands for, all before this one.
    pub others: u64,
    /// The first of them.
    pub others_from: Option<DateTime<Utc>>,
    /// The run that makes up for what was missed.
    #[serde(default)]
    pub made_up_by: Option<RunId>,
    /// The task object that DescribeTasks showed last, as JSON.
    pub task: Option<serde_json::Value>,
}

impl NoticeFacts {
    /// The exit code for programs that look at nothing else: the 0 of a task that was stopped or taken away is no success.
    pub fn telling_exit_code(&self) -> Option<i32> {
        let is_well = matches!(self.on, On::Started | On::Succeeded | On::Recovered | On::Skipped);
        self.exit_code.filter(|code| *code != 0 || is_well)
    }
}

/// One attempt in a notice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptFacts {
    /// From 1.
    pub attempt: u32,
    /// When it was sent.
    pub launched_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub stopped_at: Option<DateTime<Utc>>,
    /// Its task.
    pub task_arn: Option<String>,
    /// The primary error name.
    pub error: Option<String>,
    /// The most specific name that it answers to; none if that is the primary one.
    #[serde(default)]
    pub finer_error: Option<String>,
    /// What happened.
    pub cause: Option<String>,
    /// The exit code that stands for the task.
    pub exit_code: Option<i32>,
}
