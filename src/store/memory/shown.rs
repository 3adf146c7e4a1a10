//! What the page shows, from memory: the whole history is looked at, which only tests have.

use chrono::{DateTime, Utc};

use super::super::RunSummary;
use super::super::row::{self, Fault};
use super::super::span::{Span, SpanRow, newest};
use super::{Data, Stored};
use crate::engine::job::JobName;
use crate::engine::run::{Attempt, RunId};

impl Data {
    fn of_job<'a>(&'a self, job: &'a JobName) -> impl Iterator<Item = &'a Stored> {
        self.runs.values().rev().filter(move |run| run.origin.job == *job)
    }

    pub(super) fn recent_runs(&self, jobs: &[JobName], per_job: usize) -> Result<Vec<RunSummary>, Fault> {
        jobs.iter().flat_map(|job| self.of_job(job).take(per_job)).map(Stored::summary).collect()
    }

    pub(super) fn living(&self, limit: usize) -> Result<Vec<RunSummary>, Fault> {
        let living = self.unfinished.iter().rev().filter_map(|place| self.runs.get(place));
        living.take(limit).map(Stored::summary).collect()
    }

    pub(super) fn bad_since(&self, since: DateTime<Utc>, limit: usize) -> Result<Vec<RunSummary>, Fault> {
        let ended = |run: &&Stored| run.progress.finished_at.filter(|at| *at >= since.timestamp_millis());
        let bad = self.runs.values().rev().filter(|run| run.progress.status.is_bad() && ended(run).is_some());
        let mut bad: Vec<&Stored> = bad.collect();
        // A stable sort: those of one instant stay newest first.
        bad.sort_by_key(|run| std::cmp::Reverse(run.progress.finished_at));
        bad.into_iter().take(limit).map(Stored::summary).collect()
    }

    pub(super) fn spans(
        &self,
        jobs: &[JobName],
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        per_job: usize,
    ) -> Result<Vec<Span>, Fault> {
        let (from, until) = (from.timestamp_millis(), until.timestamp_millis());
        let overlaps = |run: &&Stored| {
            run.origin.created_at <= until && run.progress.finished_at.is_none_or(|finished| finished >= from)
        };
        let mut spans = Vec::new();
        for job in jobs {
            let of_job = self.of_job(job).filter(overlaps).map(Stored::span);
            spans.extend(newest(of_job.collect::<Result<_, Fault>>()?, per_job));
        }
        Ok(spans)
    }

    pub(super) fn launches(&self, from: DateTime<Utc>, until: DateTime<Utc>, limit: usize) -> Vec<DateTime<Utc>> {
        let all = self.runs.values().flat_map(|run| run.launches.values());
        let mut sent: Vec<DateTime<Utc>> = all
            .filter_map(|launch| DateTime::from_timestamp_millis(launch.first_sent_at))
            .filter(|at| (from..=until).contains(at))
            .collect();
        sent.sort_unstable_by(|a, b| b.cmp(a));
        sent.truncate(limit);
        sent
    }

    pub(super) fn attempts(&self, runs: Vec<RunId>) -> Result<Vec<(RunId, Vec<Attempt>)>, Fault> {
        let mut found = Vec::new();
        for run in runs {
            if let Some(stored) = self.places.get(&run).and_then(|place| self.runs.get(place)) {
                let bodies = stored.attempts.iter();
                let attempts = bodies.map(|body| row::to_attempt(body, &run)).collect::<Result<_, _>>()?;
                found.push((run, attempts));
            }
        }
        Ok(found)
    }
}

impl Stored {
    fn span(&self) -> Result<Span, Fault> {
        let row = SpanRow {
            run: self.origin.id.clone(),
            job: self.origin.job.clone(),
            status: self.progress.status,
            trigger: self.origin.trigger,
            scheduled_at: self.origin.scheduled_at,
            created_at: self.origin.created_at,
            finished_at: self.progress.finished_at,
            attempts: self.progress.extent.attempts,
        };
        Ok(row.into_span()?)
    }
}
