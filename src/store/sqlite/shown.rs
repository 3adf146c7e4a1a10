//! The queries of the page: each reads about as many rows as are shown, however many there are.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::super::RunSummary;
use super::super::row::{self, Damaged, Fault};
use super::super::span::{LONG, Span, SpanRow, newest};
use super::read::{attempts, column, stored_runs, summaries};
use super::sql;
use crate::engine::job::JobName;
use crate::engine::run::{Attempt, RunId};

pub(super) fn recent_runs(connection: &Connection, jobs: &[JobName], per_job: usize) -> Result<Vec<RunSummary>, Fault> {
    let mut recent = Vec::new();
    for job in jobs {
        let newest = params![job.as_str(), i64::MAX, limit(per_job)];
        recent.extend(summaries(stored_runs(connection, sql::RUNS_OF_JOB, newest)?)?);
    }
    Ok(recent)
}

pub(super) fn living(connection: &Connection, at_most: usize) -> Result<Vec<RunSummary>, Fault> {
    summaries(stored_runs(connection, sql::LIVING, [limit(at_most)])?)
}

pub(super) fn bad_since(
    connection: &Connection,
    since: DateTime<Utc>,
    at_most: usize,
) -> Result<Vec<RunSummary>, Fault> {
    summaries(stored_runs(connection, sql::BAD_SINCE, params![since.timestamp_millis(), limit(at_most)])?)
}

pub(super) fn spans(
    connection: &Connection,
    jobs: &[JobName],
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    per_job: usize,
) -> Result<Vec<Span>, Fault> {
    let mut living: HashMap<JobName, Vec<Span>> = HashMap::new();
    for span in read(connection, sql::LIVING_SPANS, [until.timestamp_millis()])? {
        living.entry(span.job.clone()).or_default().push(span);
    }
    // What began before that and ended in the window has lasted for long, so that the two queries share no run.
    let early = from.checked_sub_signed(LONG).unwrap_or(DateTime::<Utc>::MIN_UTC).timestamp_millis();
    let (from, until) = (from.timestamp_millis(), until.timestamp_millis());
    let mut spans = Vec::new();
    for job in jobs {
        let name = job.as_str();
        let mut of_job = living.remove(job).unwrap_or_default();
        of_job.extend(read(connection, sql::SPANS, params![name, early, until, from, limit(per_job)])?);
        of_job.extend(read(connection, sql::LONG_SPANS, params![name, from, early, limit(per_job)])?);
        spans.extend(newest(of_job, per_job));
    }
    Ok(spans)
}

fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn read(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Span>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut spans = Vec::new();
    while let Some(row) = rows.next()? {
        spans.push(span_row(row)?.into_span()?);
    }
    Ok(spans)
}

fn span_row(row: &Row<'_>) -> Result<SpanRow, Damaged> {
    let run = RunId::from_text(&column::<String>(row, "id", "a run")?);
    let named = row::named(&run);
    let text = |name: &'static str| column::<String>(row, name, &named);
    let damaged = |name: &'static str| {
        let named = named.clone();
        move |source: Fault| Damaged::new(named, name, source)
    };
    Ok(SpanRow {
        job: JobName::new(&text("job")?).map_err(|error| damaged("job")(error.into()))?,
        status: row::to_status(&text("status")?).map_err(damaged("status"))?,
        trigger: row::to_trigger(&text("trigger")?).map_err(damaged("trigger"))?,
        scheduled_at: column(row, "scheduled_at", &named)?,
        created_at: column(row, "created_at", &named)?,
        finished_at: column(row, "finished_at", &named)?,
        attempts: column(row, "attempts", &named)?,
        run,
    })
}

pub(super) fn launches(
    connection: &Connection,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    at_most: usize,
) -> Result<Vec<DateTime<Utc>>, Fault> {
    let mut statement = connection.prepare_cached(sql::LAUNCHES)?;
    let mut rows = statement.query(params![from.timestamp_millis(), until.timestamp_millis(), limit(at_most)])?;
    let mut launches = Vec::new();
    while let Some(row) = rows.next()? {
        launches.push(row::instant(column(row, "first_sent_at", "a launch")?, "a launch", "first_sent_at")?);
    }
    Ok(launches)
}

pub(super) fn attempts_of(connection: &Connection, runs: Vec<RunId>) -> Result<Vec<(RunId, Vec<Attempt>)>, Fault> {
    let mut place_of = connection.prepare_cached(sql::RUN_EXTENT)?;
    let mut found = Vec::new();
    for run in runs {
        let place: Option<i64> = place_of.query_row([run.as_str()], |row| row.get(0)).optional()?;
        if let Some(place) = place {
            let attempts = attempts(connection, place, &run)?;
            found.push((run, attempts));
        }
    }
    Ok(found)
}
