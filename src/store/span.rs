//! Runs as a stretch of time: what the timeline draws.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::row::{self, Damaged};
use crate::engine::job::JobName;
use crate::engine::run::{RunId, Status, Trigger};

/// From when to when a run lasted, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Its id.
    pub run: RunId,
    /// Its job.
    pub job: JobName,
    /// Where it is.
    pub status: Status,
    /// What began it.
    pub trigger: Trigger,
    /// Its nominal instant.
    pub scheduled_at: DateTime<Utc>,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// When it ended; none while it lives.
    pub finished_at: Option<DateTime<Utc>>,
    /// How many attempts it has had.
    pub attempts: u32,
}

/// What lasted longer is found by an index of its own (`run_long`).
pub(super) const LONG: TimeDelta = TimeDelta::hours(1);

/// The columns of a span.
#[derive(Debug)]
pub(super) struct SpanRow {
    pub(super) run: RunId,
    pub(super) job: JobName,
    pub(super) status: Status,
    pub(super) trigger: Trigger,
    pub(super) scheduled_at: i64,
    pub(super) created_at: i64,
    pub(super) finished_at: Option<i64>,
    pub(super) attempts: u32,
}

impl SpanRow {
    pub(super) fn into_span(self) -> Result<Span, Damaged> {
        let named = row::named(&self.run);
        let at = |millis, column| row::instant(millis, &named, column);
        Ok(Span {
            scheduled_at: at(self.scheduled_at, "scheduled_at")?,
            created_at: at(self.created_at, "created_at")?,
            finished_at: self.finished_at.map(|millis| at(millis, "finished_at")).transpose()?,
            run: self.run,
            job: self.job,
            status: self.status,
            trigger: self.trigger,
            attempts: self.attempts,
        })
    }
}

/// Of spans of one job, the newest `limit`, newest first.
pub(super) fn newest(mut spans: Vec<Span>, limit: usize) -> Vec<Span> {
    // A stable sort: those of one instant stay newest first.
    spans.sort_by_key(|span| std::cmp::Reverse(span.created_at));
    spans.truncate(limit);
    spans
}
