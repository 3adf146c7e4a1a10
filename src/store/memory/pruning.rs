//! Pruning in memory: the same walk as in SQLite, over the same columns.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};

use super::super::NoticeState;
use super::super::prune::{Candidate, Judge, Position, Pruned, ROWS_MAX, RUNS_MAX, Stage, Verdict};
use super::super::row::{self, Fault};
use super::{Data, Stored};
use crate::engine::retention::Retention;
use crate::engine::run::RunId;

/// Deletes the next slice.
pub(super) fn prune(data: &mut Data, rules: Retention, from: Position, now: DateTime<Utc>) -> Result<Pruned, Fault> {
    let mut goes = Vec::new();
    let mut stage = from.0;
    while goes.len() < RUNS_MAX {
        stage = match stage {
            Stage::After(job) => match data.job_after(&job) {
                Some(next) => Stage::Within(next, i64::MIN),
                None => Stage::Audit,
            },
            Stage::Within(job, after) => data.walk_job(job, after, rules, now, &mut goes)?,
            Stage::Audit if goes.is_empty() => return Ok(data.drop_audit(rules, now)),
            Stage::Audit => break,
        };
    }
    let runs = data.drop_runs(&goes);
    Ok(Pruned { runs, audit: 0, next: Some(Position(stage)) })
}

impl Data {
    fn job_after(&self, job: &str) -> Option<String> {
        let names = self.runs.values().map(|run| run.origin.job.as_str());
        names.filter(|name| *name > job).min().map(str::to_owned)
    }

    fn walk_job(
        &self,
        job: String,
        after: i64,
        rules: Retention,
        now: DateTime<Utc>,
        goes: &mut Vec<usize>,
    ) -> Result<Stage, Fault> {
        let of_job: Vec<(usize, i64, &Stored)> = self
            .runs
            .iter()
            .filter(|(_, run)| run.origin.job.as_str() == job)
            .map(|(place, run)| Ok((*place, i64::try_from(*place)?, run)))
            .collect::<Result<_, Fault>>()?;
        let kept = rules.max_runs.map(usize::try_from).transpose()?;
        let surplus_up_to = kept.and_then(|kept| of_job.iter().rev().nth(kept)).map(|(_, place, _)| *place);
        let judge = Judge { rules, now, job: &job, surplus_up_to };
        for (at, place, run) in of_job.iter().filter(|(_, place, _)| *place > after) {
            let candidate = Candidate {
                place: *place,
                scheduled_at: run.origin.scheduled_at,
                created_at: run.origin.created_at,
                finished_at: run.progress.finished_at,
            };
            let newest = || {
                let mut like_it =
                    of_job.iter().rev().filter(|(.., other)| other.progress.status == run.progress.status);
                Ok(like_it.next().map_or(*place, |(_, newest, _)| *newest))
            };
            match judge.verdict(&candidate, newest)? {
                Verdict::Goes => goes.push(*at),
                Verdict::Stays => {}
                Verdict::EndsTheJob => break,
            }
            if goes.len() >= RUNS_MAX {
                return Ok(Stage::Within(job, *place));
            }
        }
        Ok(Stage::After(job))
    }

    /// Runs that owe a notice stay. Says how many went.
    fn drop_runs(&mut self, places: &[usize]) -> usize {
        let owed = self.notices.iter().filter(|(_, notice)| notice.state == NoticeState::Owed.as_str());
        let owing: HashSet<RunId> = owed.map(|(run, _)| run.clone()).collect();
        let (mut definitions, mut dropped) = (BTreeSet::new(), HashSet::new());
        for place in places {
            if self.runs.get(place).is_none_or(|run| owing.contains(&run.origin.id)) {
                continue;
            }
            let Some(stored) = self.runs.remove(place) else { continue };
            self.places.remove(&stored.origin.id);
            dropped.insert(stored.origin.id);
            if row::is_unique(stored.origin.trigger) {
                self.firings.remove(&(stored.origin.job, stored.origin.scheduled_at));
            }
            definitions.insert(stored.definition);
        }
        self.notices.retain(|(run, _)| !dropped.contains(run));
        let used: BTreeSet<i64> = self.runs.values().map(|run| run.definition).collect();
        for unused in definitions.difference(&used) {
            self.definitions.remove(unused);
            self.by_hash.retain(|_, id| id != unused);
            // A run that has it stores it anew.
            self.definition_ids.forget();
        }
        dropped.len()
    }

    /// It is written in order, so the oldest come first. The newest stays, so that no number comes twice.
    fn drop_audit(&mut self, rules: Retention, now: DateTime<Utc>) -> Pruned {
        let is_old = |at: DateTime<Utc>| rules.too_old_before(now).is_some_and(|before| at < before);
        let oldest = self.audit.len().saturating_sub(1).min(ROWS_MAX);
        let young = self.audit.split_off(oldest);
        self.audit.retain(|row| !is_old(row.audit.at));
        let audit = oldest - self.audit.len();
        self.audit.extend(young);
        Pruned { runs: 0, audit, next: (audit > 0).then_some(Position(Stage::Audit)) }
    }
}
