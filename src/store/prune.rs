//! Pruning, as far as all stores share it: the walk over the jobs, slice by slice.
//!
//! A slice is bounded by what it looks at and by what it deletes, so that nobody waits for long behind one. Rows of a job are
//! looked at from the oldest on, up to the first that is too young; `engine/retention.rs` says which of them go.

use chrono::{DateTime, Utc};

use super::row::Damaged;
use super::row::{Fault, instant, named_job};
use crate::engine::retention::{Kept, Retention};

/// How many runs one slice deletes at most, each with all that belongs to it.
pub(super) const RUNS_MAX: usize = 100;
/// How many rows one slice looks at, at most.
pub(super) const ROWS_MAX: usize = 1_000;
/// How many entries of an index count as one row.
pub(super) const ENTRIES_A_ROW: usize = 10;

/// Where the next slice goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position(pub(super) Stage);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// With the first job by name after this one.
    After(String),
    /// Within this job, behind this place in the order in which runs were recorded.
    Within(String, i64),
    /// With what people did.
    Audit,
}

impl Position {
    /// Where a pass begins.
    pub fn first() -> Position {
        Position(Stage::After(String::new()))
    }
}

/// What one slice did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// How many runs it deleted.
    pub runs: usize,
    /// How many rows of what people did.
    pub audit: usize,
    /// Where the next one goes on; none if the pass is over.
    pub next: Option<Position>,
}

/// The columns of a run that matter here.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// Its place in the order in which runs were recorded.
    pub(super) place: i64,
    pub(super) scheduled_at: i64,
    pub(super) created_at: i64,
    pub(super) finished_at: Option<i64>,
}

/// What is to become of a row that the walk has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Goes,
    Stays,
    /// It stays, and so do all behind it.
    EndsTheJob,
}

/// Judges the rows of one job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) rules: Retention,
    pub(super) now: DateTime<Utc>,
    pub(super) job: &'a str,
    /// The newest place that is one too many.
    pub(super) surplus_up_to: Option<i64>,
}

impl Judge<'_> {
    /// `newest` finds the newest place of the job's runs that ended like this one; it is asked only where that matters.
    pub(super) fn verdict(
        &self,
        row: &Candidate,
        newest: impl FnOnce() -> Result<i64, Fault>,
    ) -> Result<Verdict, Fault> {
        let at = |millis, column| -> Result<DateTime<Utc>, Damaged> { instant(millis, &named_job(self.job), column) };
        let is_surplus = self.surplus_up_to.is_some_and(|place| row.place <= place);
        let created_at = at(row.created_at, "created_at")?;
        let is_too_old = self.rules.too_old_before(self.now).is_some_and(|before| created_at < before);
        // One from a clock that ran ahead says nothing of those behind it.
        if !is_surplus && !is_too_old && created_at <= self.now {
            return Ok(Verdict::EndsTheJob);
        }
        let mut kept = Kept {
            scheduled_at: at(row.scheduled_at, "scheduled_at")?,
            finished_at: row.finished_at.map(|millis| at(millis, "finished_at")).transpose()?,
            is_newest_of_its_end: false,
            is_surplus,
        };
        if !self.rules.lets_go(kept, self.now) {
            return Ok(Verdict::Stays);
        }
        kept.is_newest_of_its_end = newest()? == row.place;
        Ok(if self.rules.lets_go(kept, self.now) { Verdict::Goes } else { Verdict::Stays })
    }
}
