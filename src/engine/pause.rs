//! Pauses: of one job or of all, by a person or by a rule, with an end or without.
//!
//! A pause is about instants. Those that come while it lasts are recorded as skipped and never made up for; what was
//! recorded before goes on, and what somebody asks for by hand runs. Pauses are stored, so they outlast a restart.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::job::JobName;
use super::run::{Asker, in_words};

/// What is paused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every job.
    All,
    /// This one.
    Job(JobName),
}

/// A pause that lasts, or is about to be over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who wanted it and why.
    #[serde(flatten)]
    pub asker: Asker,
    /// From when on.
    pub since: DateTime<Utc>,
    /// Up to and with when; until somebody resumes if none.
    pub until: Option<DateTime<Utc>>,
}

impl Pause {
    /// Whether instants of now are left out.
    pub fn lasts(&self, now: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| now <= until)
    }

    /// Why an instant is left out.
    pub fn in_words(&self, scope: &Scope) -> String {
        let what = match scope {
            Scope::All => "all jobs were paused",
            Scope::Job(_) => "the job was paused",
        };
        let end = self.until.map(|until| format!(" until {}", in_words(until))).unwrap_or_default();
        format!("{what} at {}{end} {}", in_words(self.since), self.asker.in_words())
    }
}
