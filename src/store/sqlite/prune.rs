//! Pruning in SQLite: the reader finds what a slice deletes, the writer deletes it.
//!
//! What may go stays so: a run that is over never changes, and newer ones only make it older. So the writer, on which every
//! commit waits, is asked for the deleting alone.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::super::prune::{Candidate, ENTRIES_A_ROW, Judge, Position, ROWS_MAX, RUNS_MAX, Stage, Verdict};
use super::super::row::{DefinitionIds, Fault};
use super::super::{StoreError, Term};
use super::home::Home;
use super::{fault, sql, write};
use crate::engine::retention::Retention;

/// What is being done when it fails.
const PRUNING: &str = "delete what is kept no longer";

/// A slice to be deleted, and who waits for it.
#[derive(Debug)]
pub(super) struct Prune {
    pub(super) slice: Slice,
    pub(super) term: Term,
    /// How many runs went.
    pub(super) answer: oneshot::Sender<Result<usize, StoreError>>,
}

/// What one slice deletes, and where the next one goes on.
#[derive(Debug)]
pub(super) struct Slice {
    /// Places of runs.
    pub(super) runs: Vec<i64>,
    /// The definitions that they had.
    definitions: BTreeSet<i64>,
    /// Places in the audit.
    pub(super) audit: Vec<i64>,
    pub(super) next: Option<Position>,
}

/// Finds what the next slice deletes.
pub(super) fn find(
    connection: &Connection,
    rules: Retention,
    from: Position,
    now: DateTime<Utc>,
) -> Result<Slice, Fault> {
    let mut walk = Walk { connection, rules, now, looked_at: 0, runs: Vec::new(), definitions: BTreeSet::new() };
    let mut stage = from.0;
    while walk.has_room() {
        stage = match stage {
            Stage::After(job) => {
                walk.looked_at += 1;
                let mut statement = connection.prepare_cached(sql::JOB_AFTER)?;
                let next: Option<String> = statement.query_row([job], |row| row.get(0))?;
                next.map_or(Stage::Audit, |job| Stage::Within(job, i64::MIN))
            }
            Stage::Within(job, after) => walk.walk_job(job, after)?,
            Stage::Audit if walk.runs.is_empty() => return old_audit(connection, rules, now),
            Stage::Audit => break,
        };
    }
    let Walk { runs, definitions, .. } = walk;
    Ok(Slice { runs, definitions, audit: Vec::new(), next: Some(Position(stage)) })
}

/// What people did too long ago. It is written in order, so the oldest come first. The newest stays, so that no number comes
/// twice.
fn old_audit(connection: &Connection, rules: Retention, now: DateTime<Utc>) -> Result<Slice, Fault> {
    let mut slice = Slice { runs: Vec::new(), definitions: BTreeSet::new(), audit: Vec::new(), next: None };
    if let Some(before) = rules.too_old_before(now) {
        let mut statement = connection.prepare_cached(sql::OLD_AUDIT)?;
        let rows =
            statement.query_map(params![i64::try_from(ROWS_MAX)?, before.timestamp_millis()], |row| row.get(0))?;
        slice.audit = rows.collect::<rusqlite::Result<_>>()?;
    }
    if !slice.audit.is_empty() {
        slice.next = Some(Position(Stage::Audit));
    }
    Ok(slice)
}

struct Walk<'a> {
    connection: &'a Connection,
    rules: Retention,
    now: DateTime<Utc>,
    looked_at: usize,
    runs: Vec<i64>,
    definitions: BTreeSet<i64>,
}

impl Walk<'_> {
    fn has_room(&self) -> bool {
        self.looked_at < ROWS_MAX && self.runs.len() < RUNS_MAX
    }

    /// Looks at the rows of a job behind a place, for as long as there is room.
    fn walk_job(&mut self, job: String, after: i64) -> Result<Stage, Fault> {
        let surplus_up_to = self.surplus_up_to(&job)?;
        let judge = Judge { rules: self.rules, now: self.now, job: &job, surplus_up_to };
        let mut newest: HashMap<String, i64> = HashMap::new();
        let mut statement = self.connection.prepare_cached(sql::ROWS_OF_JOB)?;
        let mut rows = statement.query(params![job, after])?;
        while let Some(row) = rows.next()? {
            self.looked_at += 1;
            let candidate = Candidate {
                place: row.get("seq")?,
                scheduled_at: row.get("scheduled_at")?,
                created_at: row.get("created_at")?,
                finished_at: row.get("finished_at")?,
            };
            let status: String = row.get("status")?;
            let verdict = judge.verdict(&candidate, || {
                if let Some(known) = newest.get(&status) {
                    return Ok(*known);
                }
                let mut statement = self.connection.prepare_cached(sql::NEWEST_IN_STATUS)?;
                let found = statement.query_row(params![job, status], |row| row.get(0))?;
                newest.insert(status.clone(), found);
                Ok(found)
            })?;
            match verdict {
                Verdict::Goes => {
                    self.runs.push(candidate.place);
                    self.definitions.insert(row.get("definition")?);
                }
                Verdict::Stays => {}
                Verdict::EndsTheJob => break,
            }
            if !self.has_room() {
                return Ok(Stage::Within(job, candidate.place));
            }
        }
        Ok(Stage::After(job))
    }

    fn surplus_up_to(&mut self, job: &str) -> Result<Option<i64>, Fault> {
        let Some(kept) = self.rules.max_runs else { return Ok(None) };
        self.looked_at += usize::try_from(kept)? / ENTRIES_A_ROW;
        let mut statement = self.connection.prepare_cached(sql::NTH_NEWEST_OF_JOB)?;
        Ok(statement.query_row(params![job, kept], |row| row.get(0)).optional()?)
    }
}

/// Deletes a slice for whoever asked.
pub(super) fn answer(asked: Prune, connection: &mut Connection, home: &Home, definitions: &mut DefinitionIds) {
    let Prune { slice, term, answer } = asked;
    let mine = i64::try_from(term.0).unwrap_or(i64::MAX);
    let at_home = write::check_home(connection, home);
    let mut delete = || delete(connection, &slice, mine, definitions);
    let pruned = match at_home.and_then(|()| fault::certain(home.path(), &mut delete)) {
        Ok(Ok(runs)) => Ok(runs),
        Ok(Err(current)) => {
            Err(StoreError::Deposed { mine: term.0, current: u64::try_from(current).unwrap_or(u64::MAX) })
        }
        Err(fault) => Err(fault::told(home.path(), PRUNING, fault)),
    };
    let _nobody_waits = answer.send(pruned);
}

/// Everything of a run that stands in other tables, and the run itself.
const OF_A_RUN: [&str; 6] =
    [sql::DROP_EVENTS, sql::DROP_LOG_TAILS, sql::DROP_NOTICES, sql::DROP_ATTEMPTS, sql::DROP_LAUNCHES, sql::DROP_RUN];

/// Deletes a slice in one transaction, if the term is still the one under which it was found; else says which one is. Runs that
/// owe a notice stay: one may have been revived. Says how many went.
fn delete(
    connection: &mut Connection,
    slice: &Slice,
    term: i64,
    definitions: &mut DefinitionIds,
) -> Result<Result<usize, i64>, Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let current: i64 = transaction.prepare_cached(sql::TERM)?.query_row([], |row| row.get(0))?;
    if current != term {
        return Ok(Err(current));
    }
    let mut runs = 0;
    for run in &slice.runs {
        if transaction.prepare_cached(sql::OWES_NOTICE)?.query_row([run], |row| row.get(0))? {
            continue;
        }
        for statement in OF_A_RUN {
            transaction.prepare_cached(statement)?.execute([run])?;
        }
        runs += 1;
    }
    let mut dropped = 0;
    for definition in &slice.definitions {
        dropped += transaction.prepare_cached(sql::DROP_DEFINITION_UNUSED)?.execute([definition])?;
    }
    for place in &slice.audit {
        transaction.prepare_cached(sql::DROP_AUDIT)?.execute([place])?;
    }
    transaction.commit()?;
    if dropped > 0 {
        // A run that has one of them stores it anew.
        definitions.forget();
    }
    Ok(Ok(runs))
}
