//! The record of what people did.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::engine::job::JobName;
use crate::engine::run::RunId;

/// Something that a person did, or a rule in a person's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub by: String,
    /// What: the name of the command.
    pub action: String,
    /// To which job.
    pub job: Option<JobName>,
    /// To which run.
    pub run: Option<RunId>,
    /// Why, and what came of it.
    pub detail: Option<String>,
}

/// An entry of the record of what people did, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Its place in the record: a later entry has a higher one.
    #[serde(default)]
    pub seq: u64,
    /// What it says.
    #[serde(flatten)]
    pub audit: Audit,
}

impl Audit {
    /// Whether it is about one of these runs.
    pub(super) fn is_of_any(&self, runs: &BTreeSet<RunId>) -> bool {
        self.run.as_ref().is_some_and(|run| runs.contains(run))
    }
}
