//! The name of a run. It follows from the job and its instant, so that the same firing always has the same name, and with it
//! the same client tokens, whatever state was lost in between. A run that somebody asked for says so behind its instant, and
//! when: people may ask for the same instant again.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::job::JobName;
use super::Trigger;

/// An instant in a name, to the millisecond.
const MILLIS: &str = "%Y%m%dT%H%M%S%.3fZ";

/// What somebody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A run now.
    Manual,
    /// An instant once more.
    Retry,
    /// An instant of the past.
    Backfill,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Manual => "manual",
            Kind::Retry => "retry",
            Kind::Backfill => "backfill",
        }
    }

    pub(super) fn trigger(self) -> Trigger {
        match self {
            Kind::Manual | Kind::Retry => Trigger::Manual,
            Kind::Backfill => Trigger::Backfill,
        }
    }
}

/// The name of a run: its job and its instant, and for a run that was asked for also what it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Arc<str>);

impl RunId {
    /// The name of the run that a schedule's instant becomes.
    pub fn of_firing(job: &JobName, scheduled_at: DateTime<Utc>) -> RunId {
        let form = if scheduled_at.timestamp_subsec_millis() == 0 { "%Y%m%dT%H%M%SZ" } else { MILLIS };
        RunId(format!("{job}-{}", scheduled_at.format(form)).into())
    }

    /// The name of a run that somebody asked for at `asked_at`: that of its instant, and what it is.
    pub(super) fn of_request(job: &JobName, scheduled_at: DateTime<Utc>, kind: Kind, asked_at: DateTime<Utc>) -> RunId {
        let instant = RunId::of_firing(job, scheduled_at);
        let word = kind.word();
        match kind {
            // Its instant is the one at which it was asked for.
            Kind::Manual => RunId(format!("{instant}-{word}").into()),
            Kind::Retry | Kind::Backfill => RunId(format!("{instant}-{word}-{}", asked_at.format(MILLIS)).into()),
        }
    }

    /// What kind of run of this job and instant bears this name; none if it is the name of another job or instant.
    pub(in super::super) fn trigger_of(&self, job: &JobName, scheduled_at: DateTime<Utc>) -> Option<Trigger> {
        let instant = RunId::of_firing(job, scheduled_at);
        let rest = self.0.strip_prefix(instant.as_str())?;
        let Some(rest) = rest.strip_prefix('-') else { return rest.is_empty().then_some(Trigger::Schedule) };
        let word = rest.split('-').next()?;
        let kind = [Kind::Manual, Kind::Retry, Kind::Backfill].into_iter().find(|kind| kind.word() == word)?;
        Some(kind.trigger())
    }

    /// A name that came from the store or from a person.
    pub fn from_text(text: &str) -> RunId {
        RunId(text.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
