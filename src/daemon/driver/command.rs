//! What people want of the driver, and what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::daemon::act::Pace;
use crate::engine::job::{Definition, Job, JobName, Overlap};
use crate::engine::overrides::{Overrides, OverridesRefused};
use crate::engine::pause::{Pause, Scope};
use crate::engine::run::{Asker, RunId, Status, Trigger};

/// What somebody wants; it is decided in the next turn, and answered when that is saved.
#[derive(Debug)]
pub enum Command {
    /// A run of a job now.
    Trigger {
        /// Which job.
        job: JobName,
        /// Who and why.
        asker: Asker,
        /// What differs from the job's definition.
        overrides: Overrides,
        /// Instead of the job's own.
        overlap: Option<Overlap>,
    },
    /// The end of a run.
    Cancel {
        /// Which run.
        run: RunId,
        /// Who and why.
        asker: Asker,
    },
    /// That instants are left out.
    Pause {
        /// Of which job.
        scope: Scope,
        /// Who and why.
        asker: Asker,
        /// Up to and with when.
        until: Option<DateTime<Utc>>,
    },
    /// That they no longer are.
    Resume {
        /// Of which job.
        scope: Scope,
        /// Who and why.
        asker: Asker,
    },
    /// The instant of a run once more.
    Retry {
        /// Which run; it is over, and its job and instant are these.
        run: RunId,
        /// Its job.
        job: JobName,
        /// Its instant.
        scheduled_at: DateTime<Utc>,
        /// With this definition instead of the job's of today.
        frozen: Option<Arc<Definition>>,
        /// Who and why.
        asker: Asker,
        /// Instead of the job's own.
        overlap: Option<Overlap>,
    },
    /// Every instant of the job's schedule in a range of the past, both ends included.
    Backfill {
        /// Which job.
        job: JobName,
        /// The first instant.
        from: DateTime<Utc>,
        /// The last one.
        until: DateTime<Utc>,
        /// Who and why.
        asker: Asker,
        /// What they do that meet a living run.
        overlap: Overlap,
    },
    /// That notices which were given up are owed again.
    Revive {
        /// Their names. One that is not a dead letter stays as it is.
        notices: Vec<String>,
        /// Who and why.
        asker: Asker,
    },
    /// That a backup is on record, before it is made.
    Backup {
        /// Who and why.
        asker: Asker,
    },
    /// Another configuration.
    Reload {
        /// What it says.
        new: NewJobs,
        /// Who.
        asker: Asker,
    },
}

/// What a configuration may change in a running daemon.
#[derive(Debug)]
pub struct NewJobs {
    /// All jobs.
    pub jobs: Vec<Arc<Job>>,
    /// RunTask calls a second, of each account and region.
    pub launch_rate: f64,
    /// RunTask calls at once, likewise.
    pub launch_burst: u32,
    /// How often tasks are polled.
    pub pace: Pace,
    /// How many runs may live at once.
    pub max_running: Option<u32>,
    /// How many of each group.
    pub groups: BTreeMap<String, u32>,
}

/// What a new configuration changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Jobs that are new.
    pub added: Vec<JobName>,
    /// Jobs that are otherwise.
    pub changed: Vec<JobName>,
    /// Jobs that are gone; their runs go on.
    pub removed: Vec<JobName>,
    /// How many jobs are as before.
    pub unchanged: usize,
}

/// A run that was recorded on request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Its name.
    pub run: RunId,
    /// Its job.
    pub job: JobName,
    /// What began it.
    pub trigger: Trigger,
    /// Its instant.
    pub scheduled_at: DateTime<Utc>,
    /// Where it is: `due`, or `skipped` by its overlap policy.
    pub status: Status,
    /// Why it was skipped.
    pub cause: Option<String>,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// These runs were recorded.
    Recorded(Vec<Receipt>),
    /// The run has been asked to end; its status then.
    Cancelling(RunId, Status),
    /// The pause.
    Paused(Pause),
    /// What was lifted, and what still keeps the job from firing.
    Resumed {
        /// The pause that is over, if there was one.
        lifted: Option<Pause>,
        /// A pause of all jobs that is still on.
        still: Option<Pause>,
    },
    /// What the new configuration changed.
    Reloaded(Changes),
    /// So many notices are owed again.
    Revived(usize),
    /// It is on record.
    Noted,
}

impl Done {
    /// What became of a command when the runs that it recorded were saved: their names may have been taken.
    pub(crate) fn unless_dropped(self, dropped: &BTreeSet<RunId>) -> Result<Done, Declined> {
        if let Done::Recorded(receipts) = &self
            && let Some(taken) = receipts.iter().find(|receipt| dropped.contains(&receipt.run))
        {
            return Err(Declined::Exists(taken.run.clone()));
        }
        Ok(self)
    }
}

/// Why a command was not carried out; nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// The configuration has no such job.
    #[error("there is no job `{0}`")]
    NoJob(JobName),
    /// The run is over, or never was.
    #[error("run `{0}` is over")]
    NotAlive(RunId),
    /// The run is not over.
    #[error("run `{0}` still lives; it can be cancelled")]
    Alive(RunId),
    /// A pause would end before it begins.
    #[error("the end of the pause has passed")]
    EndHasPassed,
    /// A backfill may not name instants to come.
    #[error("the range ends in the future; a backfill is about the past")]
    NotPast,
    /// A backfill names nothing.
    #[error("the schedule of `{0}` names no instant from the first to the last one given")]
    NoInstant(JobName),
    /// A backfill names too much.
    #[error("the range holds {count} instants; a backfill takes {max} at most, so ask for a part of it")]
    TooMany {
        /// How many it names.
        count: u64,
        /// How many it may.
        max: usize,
    },
    /// The overrides do not fit the job.
    #[error(transparent)]
    Overrides(#[from] OverridesRefused),
    /// A run of that name exists already.
    #[error("a run of the name `{0}` exists already; ask once more")]
    Exists(RunId),
    /// The daemon is about to end.
    #[error("the daemon is stopping")]
    Leaving,
    /// The daemon ends once its runs have.
    #[error("the daemon is draining: it finishes what is in flight and begins nothing new; a run can be cancelled")]
    Draining,
    /// What is decided can't be saved.
    #[error("the state can't be saved now, so nothing was done: {0}")]
    Unsaved(String),
}
