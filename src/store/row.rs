//! Runs as rows: every field of a run to a column and back, for all stores alike.
//!
//! What listings show gets columns of its own, what only the engine reads is JSON. Both are written together from one
//! run, and reading checks that they agree, so a listing cannot say something else than the run. Instants in columns are
//! whole milliseconds; what is finer is cut off, inside JSON it is kept.
//!
//! A row that can't be read back is [`Damaged`], which names the run and the column. It is never skipped: a run that
//! silently drops out of sight is a task that nobody follows any more.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer as _};
use serde::{Deserialize as _, Serialize};
use sha2::{Digest as _, Sha256};

use super::{RunSave, RunSummary, StoreError};
use crate::engine::job::{Definition, Instance, JobName};
use crate::engine::launch::{Launch, LaunchRequest};
use crate::engine::notice::LeftOut;
use crate::engine::pause::{Pause, Scope};
use crate::engine::run::{Attempt, Covered, Entry, HistoryEvent, Run, RunId, State, Status, Trigger};

/// Anything that went wrong, with its chain of sources.
pub(super) type Fault = Box<dyn Error + Send + Sync>;

/// A row that can't be read back.
#[derive(Debug, thiserror::Error)]
#[error("{what}: column `{column}` can't be read back")]
pub(super) struct Damaged {
    what: String,
    column: &'static str,
    #[source]
    source: Fault,
}

impl Damaged {
    pub(super) fn new(what: impl ToString, column: &'static str, source: impl Into<Fault>) -> Damaged {
        Damaged { what: what.to_string(), column, source: source.into() }
    }
}

/// A save that does not continue what is stored: a mistake in the program, refused before it can hide history.
#[derive(Debug, thiserror::Error)]
pub(super) enum Misfit {
    #[error("run {0} was never saved, so it can't be updated")]
    NeverSaved(RunId),
    #[error("run {run}: {len} new history entries up to {last} do not continue the {stored} stored ones")]
    Entries { run: RunId, len: usize, last: u32, stored: u32 },
    #[error("run {run}: attempts from index {from} on leave a gap, {stored} are stored and {len} are known")]
    Attempts { run: RunId, from: usize, stored: u32, len: usize },
}

/// The fault as a store tells it: a mistake in the program, damage, or the database.
pub(super) fn told(doing: &'static str, source: Fault) -> StoreError {
    if source.is::<Misfit>() {
        StoreError::Inconsistent { source }
    } else if source.is::<Damaged>() {
        StoreError::Damaged { doing, source }
    } else {
        StoreError::Database { doing, source }
    }
}

/// How much of a run is stored.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extent {
    pub(super) history_len: u32,
    pub(super) attempts: u32,
}

impl Extent {
    /// Checks that a save continues what is stored, and says how much is stored then.
    pub(super) fn continued_by(self, save: &RunSave) -> Result<Extent, Misfit> {
        let (run, entries) = (&save.run, &save.entries);
        let numbered = (self.history_len.saturating_add(1)..).zip(entries).all(|(seq, entry)| entry.seq == seq);
        let last = entries.last().map_or(self.history_len, |entry| entry.seq);
        if !numbered || last != run.history_len {
            let (len, last) = (entries.len(), run.history_len);
            return Err(Misfit::Entries { run: run.id.clone(), len, last, stored: self.history_len });
        }
        let attempts = count(run.attempts.len());
        if count(save.attempts_from) > self.attempts || attempts < self.attempts {
            let (from, len) = (save.attempts_from, run.attempts.len());
            return Err(Misfit::Attempts { run: run.id.clone(), from, stored: self.attempts, len });
        }
        Ok(Extent { history_len: last, attempts })
    }
}

/// The columns of a run that never change.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) id: RunId,
    pub(super) instance: Instance,
    pub(super) job: JobName,
    pub(super) trigger: Trigger,
    pub(super) scheduled_at: i64,
    pub(super) created_at: i64,
    /// JSON.
    pub(super) request: Option<String>,
}

/// The columns of a run that move.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    pub(super) finished_at: Option<i64>,
    pub(super) deadline: Option<i64>,
    pub(super) cancelled: Option<String>,
    pub(super) status: Status,
    pub(super) state: String,
    pub(super) retries_used: String,
    pub(super) extent: Extent,
    pub(super) error: Option<String>,
    pub(super) cause: Option<String>,
    pub(super) exit_code: Option<i32>,
    pub(super) next_action_at: Option<i64>,
}

/// What belongs to a run and stands in other tables.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) definition: Arc<Definition>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) launch: Option<Launch>,
}

/// The columns of a run, but for its place, definition and term, which the store adds. Every field of a run is named, so
/// that a new one must find its column here before the program compiles.
pub(super) fn of_run(run: &Run) -> Result<(Origin, Progress), Fault> {
    let Run {
        id,
        instance,
        job,
        trigger,
        scheduled_at,
        created_at,
        request,
        definition: _,
        deadline,
        cancelled,
        retries_used,
        attempts,
        launch: _,
        history_len,
        state,
    } = run;
    let origin = Origin {
        id: id.clone(),
        instance: instance.clone(),
        job: job.clone(),
        trigger: *trigger,
        scheduled_at: scheduled_at.timestamp_millis(),
        created_at: created_at.timestamp_millis(),
        request: request.as_ref().map(to_json).transpose()?,
    };
    let progress = Progress {
        finished_at: run.finished_at().as_ref().map(DateTime::timestamp_millis),
        deadline: deadline.as_ref().map(DateTime::timestamp_millis),
        cancelled: cancelled.clone(),
        status: run.status(),
        state: to_json(state)?,
        retries_used: to_json(retries_used)?,
        extent: Extent { history_len: *history_len, attempts: count(attempts.len()) },
        error: run.shown_failure().map(|failure| failure.primary.to_string()),
        cause: run.shown_cause().map(str::to_owned),
        exit_code: run.shown_exit_code(),
        next_action_at: run.wake_at().as_ref().map(DateTime::timestamp_millis),
    };
    Ok((origin, progress))
}

/// The run that was stored.
pub(super) fn to_run(origin: Origin, progress: Progress, parts: Parts) -> Result<Run, Damaged> {
    let Origin { id, instance, job, trigger, scheduled_at, created_at, request } = origin;
    let named = named(&id);
    let state: State = from_json(&progress.state, &named, "state")?;
    let stored = progress.extent.attempts;
    let in_order = (1..).zip(&parts.attempts).all(|(number, attempt)| attempt.attempt == number);
    if count(parts.attempts.len()) != stored || !in_order {
        return Err(Damaged::new(&named, "attempts", format!("{stored} attempts are counted, others are stored")));
    }
    if parts.launch.is_none() && stored > 0 {
        return Err(Damaged::new(&named, "launch", "the run has attempts, and none of its launches is stored"));
    }
    let run = Run {
        scheduled_at: instant(scheduled_at, &named, "scheduled_at")?,
        created_at: instant(created_at, &named, "created_at")?,
        deadline: deadline(&progress, &id)?,
        request: request.map(|text| from_json(&text, &named, "request")).transpose()?,
        retries_used: from_json(&progress.retries_used, &named, "retries_used")?,
        id,
        instance,
        job,
        trigger,
        definition: parts.definition,
        cancelled: progress.cancelled,
        attempts: parts.attempts,
        launch: parts.launch,
        history_len: progress.extent.history_len,
        state,
    };
    if run.status() != progress.status {
        let (told, is) = (progress.status.as_str(), run.status().as_str());
        return Err(Damaged::new(&named, "status", format!("it says {told}, and the state is {is}")));
    }
    Ok(run)
}

/// When a run's `timeout` is over.
pub(super) fn deadline(progress: &Progress, run: &RunId) -> Result<Option<DateTime<Utc>>, Damaged> {
    progress.deadline.map(|at| instant(at, &named(run), "deadline")).transpose()
}

/// The run as listings show it.
pub(super) fn to_summary(origin: Origin, progress: Progress) -> Result<RunSummary, Damaged> {
    let named = named(&origin.id);
    let at = |millis: Option<i64>, column| millis.map(|millis| instant(millis, &named, column)).transpose();
    let covers = match progress.status {
        Status::Skipped | Status::Missed => covers(&progress.state, &named)?,
        _ => None,
    };
    Ok(RunSummary {
        covers,
        scheduled_at: instant(origin.scheduled_at, &named, "scheduled_at")?,
        created_at: instant(origin.created_at, &named, "created_at")?,
        finished_at: at(progress.finished_at, "finished_at")?,
        next_action_at: at(progress.next_action_at, "next_action_at")?,
        run: origin.id,
        job: origin.job,
        trigger: origin.trigger,
        status: progress.status,
        attempts: progress.extent.attempts,
        error: progress.error,
        cause: progress.cause,
        exit_code: progress.exit_code,
    })
}

fn covers(state: &str, named: &str) -> Result<Option<Covered>, Damaged> {
    match from_json::<State>(state, named, "state")? {
        State::Finished { outcome, .. } => Ok(outcome.covers()),
        _ => Ok(None),
    }
}

/// Whether a row stands for an instant.
pub(super) fn stands_for(summary: &RunSummary, instant: DateTime<Utc>) -> bool {
    let first = summary.covers.map_or(summary.scheduled_at, |covered| covered.first);
    (first..=summary.scheduled_at).contains(&instant)
}

/// The table `pause` has one column for its scope: no job is called so.
const EVERY_JOB: &str = "*";

pub(super) fn of_scope(scope: &Scope) -> &str {
    match scope {
        Scope::All => EVERY_JOB,
        Scope::Job(job) => job.as_str(),
    }
}

pub(super) fn to_pause(scope: &str, body: &str) -> Result<(Scope, Pause), Damaged> {
    let named = format!("pause of {scope}");
    let pause = from_json(body, &named, "body")?;
    if scope == EVERY_JOB {
        return Ok((Scope::All, pause));
    }
    let job = JobName::new(scope).map_err(|source| Damaged::new(&named, "job", source))?;
    Ok((Scope::Job(job), pause))
}

/// A row of the table `launch`.
#[derive(Debug, Clone)]
pub(super) struct LaunchRow {
    pub(super) generation: u32,
    pub(super) request: String,
    pub(super) first_sent_at: i64,
    pub(super) unresolved: bool,
}

impl LaunchRow {
    pub(super) fn of(launch: &Launch) -> Result<LaunchRow, Fault> {
        let Launch { generation, request, first_sent_at, unresolved } = launch;
        Ok(LaunchRow {
            generation: *generation,
            request: to_json(&**request)?,
            first_sent_at: first_sent_at.timestamp_millis(),
            unresolved: *unresolved,
        })
    }

    pub(super) fn into_launch(self, run: &RunId) -> Result<Launch, Damaged> {
        let named = named(run);
        let request: LaunchRequest = from_json(&self.request, &named, "launch.request")?;
        Ok(Launch {
            generation: self.generation,
            request: Arc::new(request),
            first_sent_at: instant(self.first_sent_at, &named, "launch.first_sent_at")?,
            unresolved: self.unresolved,
        })
    }
}

/// A row of the table `event`.
#[derive(Debug, Clone)]
pub(super) struct EventRow {
    pub(super) seq: u32,
    pub(super) at: i64,
    pub(super) kind: String,
    pub(super) detail: String,
}

impl EventRow {
    pub(super) fn of(entry: &Entry) -> Result<EventRow, Fault> {
        let Entry { seq, at, event } = entry;
        let text = to_json(event)?;
        // Cut, not parsed: the tag is written first and is a plain word, and there are many events.
        let parts =
            text.strip_prefix(r#"{"type":""#).and_then(|text| text.strip_suffix('}')?.split_once(r#"","detail":"#));
        let (kind, detail) = parts.ok_or("a history event is not written as its type and its detail")?;
        Ok(EventRow { seq: *seq, at: at.timestamp_millis(), kind: kind.to_owned(), detail: detail.to_owned() })
    }

    pub(super) fn into_entry(self, run: &RunId) -> Result<Entry, Damaged> {
        let named = format!("run {run}, entry {}", self.seq);
        let detail: serde_json::Value = from_json(&self.detail, &named, "event.detail")?;
        let value = serde_json::json!({ "type": self.kind, "detail": detail });
        let event: HistoryEvent =
            serde_json::from_value(value).map_err(|source| Damaged::new(&named, "event.detail", source))?;
        Ok(Entry { seq: self.seq, at: instant(self.at, &named, "event.at")?, event })
    }
}

/// The attempt in a row of the table `attempt`.
pub(super) fn to_attempt(body: &str, run: &RunId) -> Result<Attempt, Damaged> {
    from_json(body, &named(run), "attempt.body")
}

/// Where each definition is stored, by its address in memory: the runs of a job share one, and it is large.
#[derive(Debug, Default)]
pub(super) struct DefinitionIds(HashMap<usize, (Arc<Definition>, i64)>);

/// More definitions than that are forgotten together and looked up anew.
const DEFINITIONS_MAX: usize = 10_000;

impl DefinitionIds {
    /// The id of a definition; `find_or_add` gets the hash and the body of one that is not known yet.
    pub(super) fn id_of(
        &mut self,
        definition: &Arc<Definition>,
        find_or_add: impl FnOnce(&str, &str) -> Result<i64, Fault>,
    ) -> Result<i64, Fault> {
        // The entry holds on to the definition, so its address can't come to mean another one.
        let address = Arc::as_ptr(definition).addr();
        if let Some((_, id)) = self.0.get(&address) {
            return Ok(*id);
        }
        let body = to_json(&**definition)?;
        let hash: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
        let id = find_or_add(&hash, &body)?;
        if self.0.len() >= DEFINITIONS_MAX {
            self.0.clear();
        }
        self.0.insert(address, (Arc::clone(definition), id));
        Ok(id)
    }

    /// Forgets all: after a transaction was undone, its definitions are not stored.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// How instants of a job were left out, as the table `mark` says it.
pub(super) fn to_left_out(text: Option<&str>, named: &str) -> Result<LeftOut, Damaged> {
    let text = text.unwrap_or_default();
    text.parse().map_err(|()| Damaged::new(named, "left_out", format!("`{text}` is none")))
}

/// Null if in no way.
pub(super) fn of_left_out(left_out: LeftOut) -> Option<String> {
    (left_out != LeftOut::NONE).then(|| left_out.to_string())
}

pub(super) fn to_trigger(text: &str) -> Result<Trigger, Fault> {
    let deserializer: StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    Ok(Trigger::deserialize(deserializer)?)
}

/// Whether there is one run at most for the job and the instant: a schedule names an instant once. The partial index
/// `run_of_firing` says the same.
pub(super) fn is_unique(trigger: Trigger) -> bool {
    match trigger {
        Trigger::Schedule | Trigger::Catchup => true,
        Trigger::Manual | Trigger::Backfill => false,
    }
}

pub(super) fn to_status(text: &str) -> Result<Status, Fault> {
    text.parse().map_err(|()| format!("`{text}` is no status").into())
}

pub(super) fn instant(millis: i64, what: &str, column: &'static str) -> Result<DateTime<Utc>, Damaged> {
    DateTime::from_timestamp_millis(millis)
        .ok_or_else(|| Damaged::new(what, column, format!("{millis} ms is no instant that can be told")))
}

pub(super) fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, Fault> {
    Ok(serde_json::to_string(value)?)
}

pub(super) fn from_json<T: DeserializeOwned>(text: &str, what: &str, column: &'static str) -> Result<T, Damaged> {
    serde_json::from_str(text).map_err(|source| Damaged::new(what, column, source))
}

pub(super) fn named(run: &RunId) -> String {
    format!("run {run}")
}

pub(super) fn named_job(job: &str) -> String {
    format!("a run of job {job}")
}

/// A length as a column; no run comes near the limit.
pub(super) fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
