//! The reader: one thread with a connection that can only read, and the queries that it answers.
//!
//! Each query sees one state of the database, that of the last commit when it began, and hinders no commit. A row that
//! can't be read back fails the query and is named, see [`row::Damaged`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};
use tokio::sync::{mpsc, oneshot};

use super::super::notice::{NoticeRow, PAUSE_MAX};
use super::super::row::{self, Damaged, EventRow, Extent, Fault, LaunchRow, Origin, Parts, Progress};
use super::super::{
    Audit, AuditRow, Loaded, Mark, NoticeCounts, NoticeQuery, NoticeState, NoticeSummary, OwedNotice, RunQuery,
    RunStory, RunSummary,
};
use super::sql;
use crate::engine::job::{Definition, Instance, JobName};
use crate::engine::launch::Launch;
use crate::engine::log_tail::LogTail;
use crate::engine::notice::{ChannelId, Standing};
use crate::engine::pause::{Pause, Scope};
use crate::engine::run::{Attempt, Run, RunId, Status};

/// A query together with the way back of its answer.
pub(super) type Query = Box<dyn FnOnce(&mut Connection) + Send>;

/// What the reader is asked for.
pub(super) enum Request {
    /// Answer a query.
    Query(Query),
    /// End, and answer when the connection is closed.
    Close(oneshot::Sender<()>),
}

/// Serves requests until it is asked to close or the last handle is gone.
pub(super) fn serve(mut connection: Connection, mut requests: mpsc::Receiver<Request>) {
    while let Some(request) = requests.blocking_recv() {
        match request {
            Request::Query(query) => query(&mut connection),
            Request::Close(done) => {
                drop(connection);
                let _nobody_waits = done.send(());
                return;
            }
        }
    }
}

/// Runs a query on one state of the database.
pub(super) fn at_once<T>(
    connection: &mut Connection,
    query: impl FnOnce(&Connection) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let transaction = connection.transaction()?;
    query(&transaction)
}

pub(super) fn load(connection: &Connection) -> Result<Loaded, Fault> {
    let mut definitions = HashMap::new();
    let mut runs = Vec::new();
    for stored in stored_runs(connection, sql::UNFINISHED, [])? {
        runs.push(whole_run(connection, stored, &mut definitions)?);
    }
    let last_commit_at = connection
        .prepare_cached(sql::META)?
        .query_row([super::LAST_COMMIT_AT], |row| row.get::<_, String>(0))
        .optional()?
        .map(|text| row::from_json(&text, "table meta", super::LAST_COMMIT_AT))
        .transpose()?
        .map(|millis| row::instant(millis, "table meta", super::LAST_COMMIT_AT))
        .transpose()?;
    Ok(Loaded { marks: marks(connection)?, runs, pauses: pauses(connection)?, last_commit_at })
}

pub(super) fn runs(connection: &Connection, query: &RunQuery) -> Result<Vec<RunSummary>, Fault> {
    let before = match &query.before {
        None => Some(i64::MAX),
        Some(run) => {
            connection.prepare_cached(sql::RUN_EXTENT)?.query_row([run.as_str()], |row| row.get(0)).optional()?
        }
    };
    // Nothing was recorded before a run that was never recorded.
    let Some(before) = before else { return Ok(Vec::new()) };
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let job = query.job.as_ref().map(JobName::as_str);
    let newest = |status: Option<Status>| match (job, status.map(Status::as_str)) {
        (None, None) => stored_runs(connection, sql::RUNS, params![before, limit]),
        (Some(job), None) => stored_runs(connection, sql::RUNS_OF_JOB, params![job, before, limit]),
        (None, Some(status)) => stored_runs(connection, sql::RUNS_IN_STATUS, params![status, before, limit]),
        (Some(job), Some(status)) => {
            stored_runs(connection, sql::RUNS_OF_JOB_IN_STATUS, params![job, status, before, limit])
        }
    };
    // An index leads to the newest of each status, and the newest of all are among them.
    let mut stored = if query.statuses.is_empty() { newest(None)? } else { Vec::new() };
    for status in &query.statuses {
        stored.extend(newest(Some(*status))?);
    }
    stored.sort_unstable_by_key(|run| Reverse(run.place));
    stored.dedup_by_key(|run| run.place);
    stored.truncate(query.limit);
    summaries(stored)
}

pub(super) fn last_runs(connection: &Connection, status: Option<Status>) -> Result<Vec<RunSummary>, Fault> {
    summaries(match status {
        None => stored_runs(connection, sql::LAST_RUNS, [])?,
        Some(status) => stored_runs(connection, sql::LAST_RUNS_IN_STATUS, [status.as_str()])?,
    })
}

pub(super) fn story(connection: &Connection, run: &RunId) -> Result<Option<RunStory>, Fault> {
    let Some(stored) = stored_runs(connection, sql::RUN, [run.as_str()])?.pop() else { return Ok(None) };
    let mut statement = connection.prepare_cached(sql::EVENTS)?;
    let mut rows = statement.query([stored.place])?;
    let named = row::named(run);
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let event = EventRow {
            seq: column(row, "seq", &named)?,
            at: column(row, "at", &named)?,
            kind: column(row, "type", &named)?,
            detail: column(row, "detail", &named)?,
        };
        entries.push(event.into_entry(run)?);
    }
    let attempts = attempts(connection, stored.place, run)?;
    let log_tails = log_tails(connection, stored.place, run)?;
    let notices = notices_of_run(connection, stored.place, run)?;
    let definition = read_definition(connection, stored.definition, run)?;
    let launch = newest_launch(connection, stored.place, run)?;
    let deadline = row::deadline(&stored.progress, run)?;
    let summary = row::to_summary(stored.origin, stored.progress)?;
    Ok(Some(RunStory { summary, attempts, entries, log_tails, notices, definition, launch, deadline }))
}

pub(super) fn summaries(stored: Vec<Stored>) -> Result<Vec<RunSummary>, Fault> {
    stored.into_iter().map(|run| Ok(row::to_summary(run.origin, run.progress)?)).collect()
}

/// A row of the table `run`.
pub(super) struct Stored {
    place: i64,
    definition: i64,
    origin: Origin,
    progress: Progress,
}

pub(super) fn stored_runs(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Stored>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut stored = Vec::new();
    while let Some(row) = rows.next()? {
        stored.push(stored_run(row)?);
    }
    Ok(stored)
}

fn stored_run(row: &Row<'_>) -> Result<Stored, Damaged> {
    let id = RunId::from_text(&column::<String>(row, "id", "a run")?);
    let named = row::named(&id);
    let text = |name: &'static str| column::<String>(row, name, &named);
    let damaged = |name: &'static str| {
        let named = named.clone();
        move |source: Fault| Damaged::new(named, name, source)
    };
    Ok(Stored {
        place: column(row, "seq", &named)?,
        definition: column(row, "definition", &named)?,
        origin: Origin {
            instance: Instance::new(&text("instance")?).map_err(|error| damaged("instance")(error.into()))?,
            job: JobName::new(&text("job")?).map_err(|error| damaged("job")(error.into()))?,
            trigger: row::to_trigger(&text("trigger")?).map_err(damaged("trigger"))?,
            scheduled_at: column(row, "scheduled_at", &named)?,
            created_at: column(row, "created_at", &named)?,
            request: column(row, "request", &named)?,
            id,
        },
        progress: Progress {
            finished_at: column(row, "finished_at", &named)?,
            deadline: column(row, "deadline", &named)?,
            cancelled: column(row, "cancelled", &named)?,
            status: row::to_status(&text("status")?).map_err(damaged("status"))?,
            state: text("state")?,
            retries_used: text("retries_used")?,
            extent: Extent {
                history_len: column(row, "history_len", &named)?,
                attempts: column(row, "attempts", &named)?,
            },
            error: column(row, "error", &named)?,
            cause: column(row, "cause", &named)?,
            exit_code: column(row, "exit_code", &named)?,
            next_action_at: column(row, "next_action_at", &named)?,
        },
    })
}

pub(super) fn column<T: FromSql>(row: &Row<'_>, name: &'static str, what: &str) -> Result<T, Damaged> {
    row.get(name).map_err(|source| Damaged::new(what, name, source))
}

fn whole_run(
    connection: &Connection,
    stored: Stored,
    definitions: &mut HashMap<i64, Arc<Definition>>,
) -> Result<Run, Fault> {
    let Stored { place, definition, origin, progress } = stored;
    let parts = Parts {
        definition: match definitions.get(&definition) {
            Some(known) => Arc::clone(known),
            None => {
                let read = read_definition(connection, definition, &origin.id)?;
                definitions.insert(definition, Arc::clone(&read));
                read
            }
        },
        attempts: attempts(connection, place, &origin.id)?,
        launch: newest_launch(connection, place, &origin.id)?,
    };
    Ok(row::to_run(origin, progress, parts)?)
}

fn newest_launch(connection: &Connection, place: i64, run: &RunId) -> Result<Option<Launch>, Fault> {
    let launch = connection
        .prepare_cached(sql::NEWEST_LAUNCH)?
        .query_row([place], |row| {
            Ok(LaunchRow {
                generation: row.get(0)?,
                request: row.get(1)?,
                first_sent_at: row.get(2)?,
                unresolved: row.get(3)?,
            })
        })
        .optional()?;
    Ok(launch.map(|launch| launch.into_launch(run)).transpose()?)
}

fn read_definition(connection: &Connection, id: i64, run: &RunId) -> Result<Arc<Definition>, Fault> {
    let body: String = connection.prepare_cached(sql::DEFINITION)?.query_row([id], |row| row.get(0))?;
    Ok(Arc::new(row::from_json(&body, &row::named(run), "definition.body")?))
}

pub(super) fn attempts(connection: &Connection, place: i64, run: &RunId) -> Result<Vec<Attempt>, Fault> {
    let mut statement = connection.prepare_cached(sql::ATTEMPTS)?;
    let mut rows = statement.query([place])?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        attempts.push(row::to_attempt(&column::<String>(row, "body", &row::named(run))?, run)?);
    }
    Ok(attempts)
}

fn log_tails(connection: &Connection, place: i64, run: &RunId) -> Result<BTreeMap<u32, Vec<LogTail>>, Fault> {
    let mut statement = connection.prepare_cached(sql::LOG_TAILS)?;
    let mut rows = statement.query([place])?;
    let named = row::named(run);
    let mut tails = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let body: String = column(row, "body", &named)?;
        tails.insert(column(row, "attempt", &named)?, row::from_json(&body, &named, "log_tail.body")?);
    }
    Ok(tails)
}

fn marks(connection: &Connection) -> Result<Vec<Mark>, Fault> {
    let mut statement = connection.prepare_cached(sql::MARKS)?;
    let mut rows = statement.query([])?;
    let mut marks = Vec::new();
    while let Some(row) = rows.next()? {
        let job: String = column(row, "job", "a mark")?;
        let named = format!("mark of job {job}");
        let left_out: Option<String> = column(row, "left_out", &named)?;
        let left_out = row::to_left_out(left_out.as_deref(), &named)?;
        marks.push(Mark {
            job: JobName::new(&job).map_err(|source| Damaged::new(&named, "job", source))?,
            schedule: column(row, "schedule", &named)?,
            mark: row::instant(column(row, "mark", &named)?, &named, "mark")?,
            anchor: row::instant(column(row, "anchor", &named)?, &named, "anchor")?,
            failed_in_a_row: column(row, "failed_in_a_row", &named)?,
            standing: Standing { ended_badly: column(row, "ended_badly", &named)?, left_out },
        });
    }
    Ok(marks)
}

fn pauses(connection: &Connection) -> Result<Vec<(Scope, Pause)>, Fault> {
    let mut statement = connection.prepare_cached(sql::PAUSES)?;
    let mut rows = statement.query([])?;
    let mut pauses = Vec::new();
    while let Some(row) = rows.next()? {
        let (scope, body): (String, String) = (column(row, "job", "a pause")?, column(row, "body", "a pause")?);
        pauses.push(row::to_pause(&scope, &body)?);
    }
    Ok(pauses)
}

pub(super) fn of_instant(
    connection: &Connection,
    job: &JobName,
    instant: DateTime<Utc>,
) -> Result<Vec<RunSummary>, Fault> {
    let at = instant.timestamp_millis();
    let mut found = summaries(stored_runs(connection, sql::RUN_OF_INSTANT, params![job.as_str(), at])?)?;
    found.retain(|summary| row::stands_for(summary, instant));
    found.extend(summaries(stored_runs(connection, sql::RUNS_ASKED_FOR, params![job.as_str(), at])?)?);
    Ok(found)
}

pub(super) fn audit(connection: &Connection, before: Option<u64>, limit: usize) -> Result<Vec<AuditRow>, Fault> {
    let mut statement = connection.prepare_cached(sql::AUDIT)?;
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut rows = statement.query([before.map_or(i64::MAX, number), i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut audit = Vec::new();
    while let Some(row) = rows.next()? {
        let named = "an audit row";
        let job: Option<String> = column(row, "job", named)?;
        let run: Option<String> = column(row, "run", named)?;
        let entry = Audit {
            at: row::instant(column(row, "at", named)?, named, "at")?,
            by: column(row, "actor", named)?,
            action: column(row, "action", named)?,
            job: job.map(|job| JobName::new(&job)).transpose().map_err(|e| Damaged::new(named, "job", e))?,
            run: run.map(|run| RunId::from_text(&run)),
            detail: column(row, "detail", named)?,
        };
        let seq: i64 = column(row, "seq", named)?;
        audit.push(AuditRow { seq: seq.unsigned_abs(), audit: entry });
    }
    Ok(audit)
}

pub(super) fn notice_row(row: &Row<'_>) -> Result<NoticeRow, Damaged> {
    let id: String = column(row, "id", "a notice")?;
    let named = format!("notice {id}");
    Ok(NoticeRow {
        channel: column(row, "channel", &named)?,
        job: column(row, "job", &named)?,
        about: column(row, "about", &named)?,
        owed_at: column(row, "owed_at", &named)?,
        since: column(row, "since", &named)?,
        next_at: column(row, "next_at", &named)?,
        moved_at: column(row, "moved_at", &named)?,
        tries: column(row, "tries", &named)?,
        last_error: column(row, "last_error", &named)?,
        state: column(row, "state", &named)?,
        facts: column(row, "facts", &named)?,
        id,
    })
}

/// The notices of one run, or of those that the rows name.
fn summaries_of_notices(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    of_run: Option<&RunId>,
) -> Result<Vec<NoticeSummary>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut notices = Vec::new();
    while let Some(row) = rows.next()? {
        let run = match of_run {
            Some(run) => run.clone(),
            None => RunId::from_text(&column::<String>(row, "run_id", "a notice")?),
        };
        notices.push(notice_row(row)?.into_summary(run)?);
    }
    Ok(notices)
}

fn notices_of_run(connection: &Connection, place: i64, run: &RunId) -> Result<Vec<NoticeSummary>, Fault> {
    summaries_of_notices(connection, sql::NOTICES_OF_RUN, [place], Some(run))
}

pub(super) fn notices(connection: &Connection, query: &NoticeQuery) -> Result<Option<Vec<NoticeSummary>>, Fault> {
    let before = match &query.before {
        None => Some(i64::MAX),
        Some(id) => connection.prepare_cached(sql::NOTICE)?.query_row([id], |row| row.get(0)).optional()?,
    };
    let Some(before) = before else { return Ok(None) };
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let (job, state) = (query.job.as_ref().map(JobName::as_str), query.state.map(NoticeState::as_str));
    let channel = query.channel.as_ref().map(|channel| &*channel.0);
    let listed = match (job, state) {
        (None, None) => summaries_of_notices(connection, sql::NOTICES, params![before, channel, limit], None),
        (Some(job), None) => {
            summaries_of_notices(connection, sql::NOTICES_OF_JOB, params![job, before, channel, limit], None)
        }
        (None, Some(state)) => {
            summaries_of_notices(connection, sql::NOTICES_IN_STATE, params![state, before, channel, limit], None)
        }
        (Some(job), Some(state)) => {
            let params = params![job, state, before, channel, limit];
            summaries_of_notices(connection, sql::NOTICES_OF_JOB_IN_STATE, params, None)
        }
    };
    listed.map(Some)
}

pub(super) fn owed_channels(connection: &Connection) -> Result<Vec<(ChannelId, DateTime<Utc>)>, Fault> {
    let mut statement = connection.prepare_cached(sql::OWED_CHANNELS)?;
    let mut rows = statement.query([])?;
    let mut channels = Vec::new();
    while let Some(row) = rows.next()? {
        let channel: String = column(row, "channel", "a notice")?;
        let named = format!("the notices to {channel}");
        let next_at = row::instant(column(row, "next_at", &named)?, &named, "next_at")?;
        channels.push((ChannelId(channel.into()), next_at));
    }
    Ok(channels)
}

pub(super) fn due_notices(
    connection: &Connection,
    channel: &ChannelId,
    now: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<OwedNotice>, Fault> {
    let (now, ahead) = (now.timestamp_millis(), (now + PAUSE_MAX).timestamp_millis());
    let (mut due, mut left) = (Vec::new(), i64::try_from(limit).unwrap_or(i64::MAX));
    for (after, until) in [(i64::MIN, now), (ahead, i64::MAX)] {
        let mut statement = connection.prepare_cached(sql::DUE_NOTICES)?;
        let mut rows = statement.query(params![&*channel.0, after, until, left])?;
        while let Some(row) = rows.next()? {
            due.push(notice_row(row)?.into_owed()?);
            left -= 1;
        }
    }
    Ok(due)
}

pub(super) fn notice_counts(connection: &Connection) -> Result<NoticeCounts, Fault> {
    let mut statement = connection.prepare_cached(sql::COUNT_NOTICES)?;
    let mut count = |state: NoticeState| -> Result<u64, Fault> {
        let count: i64 = statement.query_row([state.as_str()], |row| row.get(0))?;
        Ok(u64::try_from(count)?)
    };
    Ok(NoticeCounts { owed: count(NoticeState::Owed)?, dead: count(NoticeState::Dead)? })
}
