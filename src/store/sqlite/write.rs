//! The writer: one thread that owns the writing connection and the lock, and saves batches.
//!
//! Batches that wait together share one transaction and so one fsync; each stands in a savepoint of its own, so that one
//! which is refused takes no other with it. Nobody is answered before COMMIT has returned. A batch is written in the order
//! of its runs, every run with all its parts, under the term that the batch names.
//!
//! A batch that failed may be handed in again. What a failed COMMIT left in the log is not part of the database for this
//! process: SQLite writes the next transaction over it. So the same batch meets what was there before, and never itself.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, ffi, params};
use tokio::sync::{mpsc, oneshot};

use super::super::notice::{NoticeMove, NoticeRow};
use super::super::row::{self, DefinitionIds, EventRow, Extent, Fault, Misfit};
use super::super::{Audit, Batch, Mark, RunSave, StoreError, Term};
use super::fault;
use super::home::{Astray, Home};
use super::prune::{self, Prune};
use super::{read, sql};
use crate::engine::job::JobName;
use crate::engine::launch::Launch;
use crate::engine::notice::{Notice, Standing};
use crate::engine::run::RunId;

/// How many waiting batches share a transaction at most.
const GROUP_MAX: usize = 64;
/// What is being done when it fails.
const SAVING: &str = "save a batch";

/// Which new runs were dropped.
pub(super) type Saved = Result<BTreeSet<RunId>, StoreError>;

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Request {
    /// Save a batch.
    Commit(Commit),
    /// Delete what the reader found.
    Prune(Prune),
    /// End, and answer when the lock is free.
    Close(oneshot::Sender<()>),
}

/// A batch and who waits for it.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) batch: Arc<Batch>,
    pub(super) answer: oneshot::Sender<Saved>,
}

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    /// Held until the connection is closed.
    pub(super) lock: File,
    pub(super) home: Home,
    /// Awaited before the connection closes: the last one to close folds the log into the database.
    pub(super) reader: JoinHandle<()>,
}

impl Writer {
    /// Serves requests until it is asked to close or the last handle is gone.
    pub(super) fn serve(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut definitions = DefinitionIds::default();
        let mut closing = None;
        while closing.is_none() {
            let mut next = requests.blocking_recv();
            if next.is_none() {
                break;
            }
            let mut group = Vec::new();
            let mut prunes = Vec::new();
            while let Some(request) = next.take() {
                match request {
                    Request::Commit(commit) => group.push(commit),
                    Request::Prune(prune) => prunes.push(prune),
                    Request::Close(done) => closing = Some(done),
                }
                if closing.is_none() && group.len() < GROUP_MAX {
                    next = requests.try_recv().ok();
                }
            }
            if !group.is_empty() {
                save_group(&mut self.connection, &self.home, group, &mut definitions);
            }
            // Behind the batches that came with them.
            for asked in prunes {
                prune::answer(asked, &mut self.connection, &self.home, &mut definitions);
            }
        }
        // Whoever still waits in the queue learns that the store is closed.
        drop(requests);
        let _ended = self.reader.join();
        drop(self.connection);
        drop(self.lock);
        if let Some(done) = closing {
            let _nobody_waits = done.send(());
        }
    }
}

pub(super) fn save_group(
    connection: &mut Connection,
    home: &Home,
    group: Vec<Commit>,
    definitions: &mut DefinitionIds,
) {
    let (batches, answers): (Vec<Arc<Batch>>, Vec<oneshot::Sender<Saved>>) =
        group.into_iter().map(|commit| (commit.batch, commit.answer)).unzip();
    let at_home = check_home(connection, home);
    let mut save = || {
        let saved = save_together(connection, home.path(), &batches, definitions);
        if saved.is_err() {
            definitions.forget();
        }
        saved
    };
    let saved = match at_home.and_then(|()| fault::certain(home.path(), &mut save)) {
        Ok(saved) => saved,
        Err(fault) => {
            let kind = fault::kind(&fault);
            // One error for everybody who waited.
            let source: Arc<dyn Error + Send + Sync> = fault::advised(home.path(), fault).into();
            let failed = || fault::of_kind(kind, SAVING, Box::new(Arc::clone(&source)));
            batches.iter().map(|_| Err(failed())).collect()
        }
    };
    for (answer, saved) in answers.into_iter().zip(saved) {
        // Whoever no longer waits finds the batch when it loads.
        let _nobody_waits = answer.send(saved);
    }
}

/// The log is gone. What it held is in the database now, or is not.
#[derive(Debug, thiserror::Error)]
pub(super) enum Severed {
    #[error("{0}; everything that was saved stands in the database itself, and a new start goes on from there")]
    Folded(Astray),
    #[error("{gone}; what was saved last could not be folded into the database and may end with this process")]
    Unfolded {
        gone: Astray,
        #[source]
        source: rusqlite::Error,
    },
}

/// Fails if the database or its log is not the file that was opened. Of a log that is gone, what it holds is at once moved
/// to the database: it ends with this process, and that may be killed.
pub(super) fn check_home(connection: &Connection, home: &Home) -> Result<(), Fault> {
    match home.check() {
        Ok(()) => Ok(()),
        Err(gone @ Astray::LogGone { .. }) => Err(match fold(connection) {
            Ok(()) => Severed::Folded(gone).into(),
            Err(source) => Severed::Unfolded { gone, source }.into(),
        }),
        Err(astray @ (Astray::Moved { .. } | Astray::Unseen { .. })) => Err(astray.into()),
    }
}

/// Moves all of the log to the database.
fn fold(connection: &Connection) -> rusqlite::Result<()> {
    let is_busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if is_busy { Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None)) } else { Ok(()) }
}

/// One transaction, and in it a savepoint for each batch. An error here means that none was saved.
fn save_together(
    connection: &mut Connection,
    path: &Path,
    batches: &[Arc<Batch>],
    definitions: &mut DefinitionIds,
) -> Result<Vec<Saved>, Fault> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut all = Vec::with_capacity(batches.len());
    for batch in batches {
        let savepoint = transaction.savepoint()?;
        let saved = match save(&savepoint, batch, definitions) {
            Ok(dropped) => {
                savepoint.commit()?;
                Ok(dropped)
            }
            // Some faults, such as a full disk, make SQLite undo the whole transaction at once. There is no savepoint
            // to return to then, and the next one would stand alone.
            Err(Refused::Fault(fault)) if savepoint.is_autocommit() => return Err(fault),
            Err(Refused::Fault(fault)) if fault::looks_damaged(&fault) => return Err(fault),
            Err(refused) => {
                definitions.forget();
                savepoint.finish()?;
                Err(refused.told(path))
            }
        };
        all.push(saved);
    }
    transaction.commit()?;
    Ok(all)
}

/// Why one batch is not saved.
#[derive(Debug)]
enum Refused {
    Deposed { mine: Term, current: Term },
    Fault(Fault),
}

impl Refused {
    fn told(self, path: &Path) -> StoreError {
        match self {
            Refused::Deposed { mine, current } => StoreError::Deposed { mine: mine.0, current: current.0 },
            Refused::Fault(fault) => fault::told(path, SAVING, fault),
        }
    }
}

fn save(connection: &Connection, batch: &Batch, definitions: &mut DefinitionIds) -> Result<BTreeSet<RunId>, Refused> {
    let current: i64 = connection
        .prepare_cached(sql::TERM)
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
        .map_err(|source| Refused::Fault(source.into()))?;
    let current = Term(u64::try_from(current).unwrap_or(u64::MAX));
    if current != batch.term {
        return Err(Refused::Deposed { mine: batch.term, current });
    }
    save_parts(connection, batch, definitions).map_err(Refused::Fault)
}

fn save_parts(
    connection: &Connection,
    batch: &Batch,
    definitions: &mut DefinitionIds,
) -> Result<BTreeSet<RunId>, Fault> {
    let term = i64::try_from(batch.term.0)?;
    for job in &batch.forgotten_marks {
        connection.prepare_cached(sql::FORGET_MARK)?.execute([job.as_str()])?;
    }
    for mark in &batch.marks {
        save_mark(connection, mark, term)?;
    }
    let mut dropped = BTreeSet::new();
    for save in &batch.runs {
        let place =
            if save.is_new { add_run(connection, save, term, definitions)? } else { set_run(connection, save, term)? };
        match place {
            Some(place) => save_children(connection, save, place)?,
            None => {
                dropped.insert(save.run.id.clone());
            }
        }
    }
    save_hands(connection, batch, &dropped)?;
    for (run, attempt, tails) in &batch.log_tails {
        let values = params![attempt, row::to_json(tails)?, run.as_str()];
        connection.prepare_cached(sql::SET_LOG_TAIL)?.execute(values)?;
    }
    let owed = batch.notices.iter().filter(|notice| !dropped.contains(&notice.facts.run));
    owed.into_iter().try_for_each(|notice| add_notice(connection, notice))?;
    batch.notice_moves.iter().try_for_each(|moved| move_notice(connection, moved))?;
    set_last_commit_at(connection, batch.at)?;
    Ok(dropped)
}

fn set_last_commit_at(connection: &Connection, at: DateTime<Utc>) -> rusqlite::Result<()> {
    let text = at.timestamp_millis().to_string();
    connection.prepare_cached(sql::SET_META)?.execute(params![super::LAST_COMMIT_AT, text]).map(drop)
}

fn save_mark(connection: &Connection, mark: &Mark, term: i64) -> rusqlite::Result<()> {
    let Mark { job, schedule, mark, anchor, failed_in_a_row, standing: Standing { ended_badly, left_out } } = mark;
    let (mark, anchor) = (mark.timestamp_millis(), anchor.timestamp_millis());
    let (ended_badly, left_out) = (i64::from(*ended_badly), row::of_left_out(*left_out));
    let values = params![job.as_str(), schedule, mark, anchor, failed_in_a_row, ended_badly, left_out, term];
    connection.prepare_cached(sql::SET_MARK)?.execute(values).map(drop)
}

/// Pauses, and what people did but for what came to nothing.
fn save_hands(connection: &Connection, batch: &Batch, dropped: &BTreeSet<RunId>) -> Result<(), Fault> {
    for (scope, pause) in &batch.pauses {
        let scope = row::of_scope(scope);
        match pause {
            Some(pause) => {
                connection.prepare_cached(sql::SET_PAUSE)?.execute(params![scope, row::to_json(pause)?])?;
            }
            None => {
                connection.prepare_cached(sql::LIFT_PAUSE)?.execute([scope])?;
            }
        }
    }
    for Audit { at, by, action, job, run, detail } in batch.audit.iter().filter(|entry| !entry.is_of_any(dropped)) {
        let (job, run) = (job.as_ref().map(JobName::as_str), run.as_ref().map(RunId::as_str));
        let values = params![at.timestamp_millis(), by, action, job, run, detail];
        connection.prepare_cached(sql::ADD_AUDIT)?.execute(values)?;
    }
    Ok(())
}

fn add_notice(connection: &Connection, notice: &Notice) -> Result<(), Fault> {
    let run = notice.facts.run.as_str();
    let NoticeRow { id, channel, job, about, owed_at, since, next_at, moved_at: _, tries, last_error: _, state, facts } =
        NoticeRow::of(notice)?;
    let values = params![id, job, channel, about, state, owed_at, since, next_at, tries, facts, run];
    connection.prepare_cached(sql::ADD_NOTICE)?.execute(values)?;
    Ok(())
}

/// Moves a notice on; one that is not there was deleted with its run.
fn move_notice(connection: &Connection, moved: &NoticeMove) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached(sql::NOTICE)?;
    let mut rows = statement.query([&moved.id])?;
    let Some(stored) = rows.next()?.map(read::notice_row).transpose()? else { return Ok(()) };
    let mut row = stored;
    row.take(moved);
    let values = params![row.state, row.since, row.next_at, row.moved_at, row.tries, row.last_error, row.facts, row.id];
    connection.prepare_cached(sql::MOVE_NOTICE)?.execute(values)?;
    Ok(())
}

/// Adds a run and says where; none if it, or another of its firing, is there already.
fn add_run(
    connection: &Connection,
    save: &RunSave,
    term: i64,
    definitions: &mut DefinitionIds,
) -> Result<Option<i64>, Fault> {
    let extent = Extent::default().continued_by(save)?;
    let definition = definitions.id_of(&save.run.definition, |hash, body| {
        let known = connection.prepare_cached(sql::DEFINITION_ID)?.query_row([hash], |row| row.get(0)).optional()?;
        match known {
            Some(id) => Ok(id),
            None => Ok(connection
                .prepare_cached(sql::ADD_DEFINITION)?
                .query_row([hash, body], |row| row.get::<_, i64>(0))?),
        }
    })?;
    let (origin, progress) = row::of_run(&save.run)?;
    let place = connection
        .prepare_cached(sql::ADD_RUN)?
        .query_row(
            params![
                origin.id.as_str(),
                origin.instance.as_str(),
                origin.job.as_str(),
                origin.trigger.as_str(),
                origin.scheduled_at,
                origin.created_at,
                progress.finished_at,
                progress.deadline,
                progress.cancelled,
                progress.status.as_str(),
                progress.state,
                definition,
                progress.retries_used,
                extent.history_len,
                extent.attempts,
                progress.error,
                progress.cause,
                progress.exit_code,
                progress.next_action_at,
                origin.request,
                term,
            ],
            |row| row.get(0),
        )
        .optional()?;
    Ok(place)
}

/// Moves a stored run on and says where it is.
fn set_run(connection: &Connection, save: &RunSave, term: i64) -> Result<Option<i64>, Fault> {
    let id = &save.run.id;
    let stored = connection
        .prepare_cached(sql::RUN_EXTENT)?
        .query_row([id.as_str()], |row| {
            Ok((row.get::<_, i64>(0)?, Extent { history_len: row.get(1)?, attempts: row.get(2)? }))
        })
        .optional()?;
    let (place, extent) = stored.ok_or_else(|| Misfit::NeverSaved(id.clone()))?;
    let extent = extent.continued_by(save)?;
    let (_, progress) = row::of_run(&save.run)?;
    connection.prepare_cached(sql::SET_RUN)?.execute(params![
        progress.finished_at,
        progress.deadline,
        progress.cancelled,
        progress.status.as_str(),
        progress.state,
        progress.retries_used,
        extent.history_len,
        extent.attempts,
        progress.error,
        progress.cause,
        progress.exit_code,
        progress.next_action_at,
        term,
        place,
    ])?;
    Ok(Some(place))
}

/// The changed attempts, the launch and the new entries of a run.
fn save_children(connection: &Connection, save: &RunSave, place: i64) -> Result<(), Fault> {
    for attempt in save.run.attempts.iter().skip(save.attempts_from) {
        let body = row::to_json(attempt)?;
        connection.prepare_cached(sql::SET_ATTEMPT)?.execute(params![place, attempt.attempt, body])?;
    }
    if let Some(launch) = &save.run.launch {
        save_launch(connection, launch, place)?;
    }
    for entry in &save.entries {
        let EventRow { seq, at, kind, detail } = EventRow::of(entry)?;
        connection.prepare_cached(sql::ADD_EVENT)?.execute(params![place, seq, at, kind, detail])?;
    }
    Ok(())
}

/// A launch that is stored keeps its request: what was frozen before the first send is what is sent again.
fn save_launch(connection: &Connection, launch: &Launch, place: i64) -> Result<(), Fault> {
    let Launch { generation, request, first_sent_at, unresolved } = launch;
    let (token, sent) = (request.client_token.as_str(), first_sent_at.timestamp_millis());
    let moved = connection.prepare_cached(sql::SET_LAUNCH)?.execute(params![
        sent,
        i64::from(*unresolved),
        place,
        generation,
        token
    ])?;
    if moved == 0 {
        let (by, body) = (request.started_by.as_str(), row::to_json(&**request)?);
        connection.prepare_cached(sql::ADD_LAUNCH)?.execute(params![
            place,
            generation,
            token,
            by,
            body,
            sent,
            i64::from(*unresolved)
        ])?;
    }
    Ok(())
}
