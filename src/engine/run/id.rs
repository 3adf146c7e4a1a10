//! The name of a run. It follows from the job and its instant, so that the same firing always has the same name, and with it
//! the same client tokens, whatever state was lost in between.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::job::JobName;

/// The name of a run: its job and its instant, so that the same firing always has the same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Arc<str>);

impl RunId {
    /// The name of the run that a schedule's instant becomes.
    pub fn of_firing(job: &JobName, scheduled_at: DateTime<Utc>) -> RunId {
        let form = if scheduled_at.timestamp_subsec_millis() == 0 { "%Y%m%dT%H%M%SZ" } else { "%Y%m%dT%H%M%S%.3fZ" };
        RunId(format!("{job}-{}", scheduled_at.format(form)).into())
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
