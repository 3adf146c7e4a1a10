//! The routes that do something: each makes a command of its request, waits until the daemon has saved what it decided, and
//! answers with what became of it.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::oneshot;

use super::api::{ANSWER_WITHIN, Problem, Route, Sources};
use super::asked::{self, Named};
use super::backup;
use super::notices;
use super::peer::Peer;
use crate::daemon::driver::{Changes, Command, Declined, Done};
use crate::engine::job::{JobName, Overlap};
use crate::engine::overrides::Overrides;
use crate::engine::pause::{Pause, Scope};
use crate::engine::run::{Asker, RunId, Status};
use crate::store::Store;

/// Somebody wants the configuration read anew; answered when it was taken or refused.
#[derive(Debug)]
pub struct ReloadAsk {
    /// Who.
    pub asker: Asker,
    /// What changed, or why nothing did.
    pub answer: oneshot::Sender<Result<Changes, NotTaken>>,
}

/// Why a configuration was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// It has mistakes, or what a running daemon can't change: every one, for a person to read.
    Refused(String),
    /// Nothing is wrong with it: the daemon is about to end and takes no other.
    Declined(String),
}

impl From<String> for NotTaken {
    fn from(mistakes: String) -> NotTaken {
        NotTaken::Refused(mistakes)
    }
}

/// Every route that does something.
pub(super) fn routes<S: Store>() -> Vec<Route<S>> {
    vec![
        ("post", "/api/v1/jobs/{job}/trigger", post(trigger::<S>)),
        ("post", "/api/v1/jobs/{job}/backfill", post(backfill::<S>)),
        ("post", "/api/v1/jobs/{job}/pause", post(pause::<S>)),
        ("post", "/api/v1/jobs/{job}/resume", post(resume::<S>)),
        ("post", "/api/v1/pause", post(pause_all::<S>)),
        ("post", "/api/v1/resume", post(resume_all::<S>)),
        ("post", "/api/v1/runs/{run}/cancel", post(cancel::<S>)),
        ("post", "/api/v1/runs/{run}/retry", post(retry::<S>)),
        ("post", "/api/v1/notices/retry", post(notices::retry::<S>)),
        ("post", "/api/v1/reload", post(reload::<S>)),
        ("post", backup::PATH, post(backup::backup::<S>)),
    ]
}

/// How long a body may take to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyWithin(pub(super) Duration);

impl Default for BodyWithin {
    fn default() -> BodyWithin {
        BodyWithin(Duration::from_secs(10))
    }
}

/// Who asks, and what they said: the whole of a request that does something.
pub(super) struct Said<T> {
    pub(super) asker: Asker,
    pub(super) body: T,
}

/// A body that may carry a reason beside its own keys.
pub(super) trait Reasoned: DeserializeOwned + Default {
    fn reason(&mut self) -> Option<String>;
}

macro_rules! reasoned {
    ($($body:ident),*) => { $(impl Reasoned for $body {
        fn reason(&mut self) -> Option<String> {
            self.reason.take()
        }
    })* };
}
pub(super) use reasoned;

/// The body of a request that needs none; a key that is misspelt must not be overlooked.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plain {
    /// Why.
    pub reason: Option<String>,
}

/// The body of `trigger`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trigger {
    /// Why.
    pub reason: Option<String>,
    /// In which container the rest is meant.
    pub container: Option<String>,
    /// Variables that are added or replaced.
    pub environment: BTreeMap<String, String>,
    /// Instead of the job's command.
    pub command: Option<Vec<String>>,
    /// Instead of the job's overlap policy.
    pub overlap: Option<Overlap>,
}

/// The body of `pause`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PauseBody {
    /// Why.
    pub reason: Option<String>,
    /// Up to and with when.
    pub until: Option<DateTime<Utc>>,
}

/// The body of `retry`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Why.
    pub reason: Option<String>,
    /// With the definition that the run had, instead of the job's of today.
    pub frozen: bool,
    /// Instead of the job's overlap policy.
    pub overlap: Option<Overlap>,
}

/// The body of `backfill`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backfill {
    /// Why.
    pub reason: Option<String>,
    /// The first instant.
    pub from: Option<DateTime<Utc>>,
    /// The last one.
    pub until: Option<DateTime<Utc>>,
    /// What its runs do that meet a living one; one after the other if absent.
    pub overlap: Option<Overlap>,
}

reasoned!(Plain, Trigger, PauseBody, Retry, Backfill);

impl<S: Send + Sync, T: Reasoned> FromRequest<S> for Said<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Said<T>, Problem> {
        let peer = request.extensions().get::<Peer>().cloned().unwrap_or(Peer::Unknown);
        let within = request.extensions().get::<BodyWithin>().copied().unwrap_or_default();
        let (parts, body) = request.into_parts();
        let body = tokio::time::timeout(within.0, asked::body(&parts.headers, body)).await;
        let body = body.map_err(|_elapsed| {
            Problem(StatusCode::REQUEST_TIMEOUT, "the body of the request did not come in time".into())
        })??;
        let mut read: T = asked::object(&body)?;
        Ok(Said { asker: peer.asks(&parts.headers, read.reason()), body: read })
    }
}

/// Has a command carried out.
pub(super) async fn carry_out<S: Store>(sources: &Sources<S>, command: Command) -> Result<Done, Problem> {
    let answered = tokio::time::timeout(ANSWER_WITHIN, sources.mailbox.command(command)).await.map_err(|_elapsed| {
        Problem::unavailable("not saved yet, and it may still be: look what is there before you ask again")
    })?;
    let carried = answered.ok_or_else(|| Problem::unavailable("the daemon is stopping"))?;
    Ok(carried?)
}

impl From<Declined> for Problem {
    fn from(declined: Declined) -> Problem {
        let status = match &declined {
            Declined::NoJob(_) => StatusCode::NOT_FOUND,
            Declined::NotAlive(_) | Declined::Alive(_) | Declined::Exists(_) => StatusCode::CONFLICT,
            Declined::EndHasPassed
            | Declined::NotPast
            | Declined::NoInstant(_)
            | Declined::TooMany { .. }
            | Declined::Overrides(_) => StatusCode::BAD_REQUEST,
            Declined::Leaving | Declined::Draining | Declined::Unsaved(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Problem(status, declined.to_string())
    }
}

pub(super) fn job_name(name: &str) -> Result<JobName, Problem> {
    JobName::new(name).map_err(|_| Problem::not_found(format!("there is no job `{name}`")))
}

/// The one run that was recorded.
fn receipt(done: Done) -> Response {
    match done {
        Done::Recorded(receipts) => Json(receipts.into_iter().next()).into_response(),
        _ => Problem::unavailable("the daemon answered something else").into_response(),
    }
}

async fn trigger<S: Store>(
    State(sources): State<Sources<S>>,
    Named(job): Named,
    Said { asker, body }: Said<Trigger>,
) -> Result<Response, Problem> {
    let Trigger { container, environment, command, overlap, .. } = body;
    if let Some(name) = environment.keys().find(|name| name.is_empty() || name.contains('=')) {
        return Err(Problem::bad_request(format!("`{name}` is not the name of a variable")));
    }
    let overrides = Overrides { container, environment, command };
    let command = Command::Trigger { job: job_name(&job)?, asker, overrides, overlap };
    carry_out(&sources, command).await.map(receipt)
}

async fn backfill<S: Store>(
    State(sources): State<Sources<S>>,
    Named(job): Named,
    Said { asker, body }: Said<Backfill>,
) -> Result<Response, Problem> {
    let (Some(from), Some(until)) = (body.from, body.until) else {
        return Err(Problem::bad_request("`from` and `until` are needed"));
    };
    let overlap = body.overlap.unwrap_or(Overlap::QueueAll);
    match carry_out(&sources, Command::Backfill { job: job_name(&job)?, from, until, asker, overlap }).await? {
        Done::Recorded(receipts) => Ok(Json(receipts).into_response()),
        _ => Err(Problem::unavailable("the daemon answered something else")),
    }
}

async fn pause<S: Store>(
    State(sources): State<Sources<S>>,
    Named(job): Named,
    said: Said<PauseBody>,
) -> Result<Response, Problem> {
    set_pause(&sources, Scope::Job(job_name(&job)?), said).await
}

async fn pause_all<S: Store>(State(sources): State<Sources<S>>, said: Said<PauseBody>) -> Result<Response, Problem> {
    set_pause(&sources, Scope::All, said).await
}

async fn set_pause<S: Store>(sources: &Sources<S>, scope: Scope, said: Said<PauseBody>) -> Result<Response, Problem> {
    let job = job_of(&scope);
    let done = carry_out(sources, Command::Pause { scope, asker: said.asker, until: said.body.until }).await?;
    Ok(Json(json!({ "job": job, "paused": true, "pause": pause_of(&done) })).into_response())
}

async fn resume<S: Store>(
    State(sources): State<Sources<S>>,
    Named(job): Named,
    said: Said<Plain>,
) -> Result<Response, Problem> {
    lift(&sources, Scope::Job(job_name(&job)?), said).await
}

async fn resume_all<S: Store>(State(sources): State<Sources<S>>, said: Said<Plain>) -> Result<Response, Problem> {
    lift(&sources, Scope::All, said).await
}

async fn lift<S: Store>(sources: &Sources<S>, scope: Scope, said: Said<Plain>) -> Result<Response, Problem> {
    let job = job_of(&scope);
    let done = carry_out(sources, Command::Resume { scope, asker: said.asker }).await?;
    let still = match &done {
        Done::Resumed { still, .. } => still.clone(),
        _ => None,
    };
    let lifted = pause_of(&done);
    Ok(Json(json!({ "job": job, "paused": still.is_some(), "pause": still, "lifted": lifted })).into_response())
}

fn job_of(scope: &Scope) -> Option<JobName> {
    match scope {
        Scope::All => None,
        Scope::Job(job) => Some(job.clone()),
    }
}

fn pause_of(done: &Done) -> Option<&Pause> {
    match done {
        Done::Paused(pause) => Some(pause),
        Done::Resumed { lifted, .. } => lifted.as_ref(),
        Done::Recorded(_) | Done::Cancelling(..) | Done::Reloaded(_) | Done::Revived(_) | Done::Noted => None,
    }
}

async fn cancel<S: Store>(
    State(sources): State<Sources<S>>,
    Named(run): Named,
    Said { asker, .. }: Said<Plain>,
) -> Result<Response, Problem> {
    let run = RunId::from_text(&run);
    let (run, status) = ask_to_cancel(&sources, &run, asker).await?;
    Ok(Json(json!({ "run": run, "status": status })).into_response())
}

/// Asks a run to end. One that is over is told from one that never was.
pub(super) async fn ask_to_cancel<S: Store>(
    sources: &Sources<S>,
    run: &RunId,
    asker: Asker,
) -> Result<(RunId, Status), Problem> {
    match carry_out(sources, Command::Cancel { run: run.clone(), asker }).await {
        Ok(Done::Cancelling(run, status)) => Ok((run, status)),
        Ok(_) => Err(Problem::unavailable("the daemon answered something else")),
        Err(Problem(StatusCode::CONFLICT, why)) => match sources.store.story(run.clone()).await? {
            Some(story) => Err(Problem(StatusCode::CONFLICT, format!("{why}: {}", story.summary.status.as_str()))),
            None => Err(Problem::no_run(run)),
        },
        Err(problem) => Err(problem),
    }
}

async fn retry<S: Store>(
    State(sources): State<Sources<S>>,
    Named(run): Named,
    Said { asker, body }: Said<Retry>,
) -> Result<Response, Problem> {
    let command = to_retry(&sources, RunId::from_text(&run), body.frozen, asker, body.overlap).await?;
    carry_out(&sources, command).await.map(receipt)
}

/// What begins a run once more that is over.
pub(super) async fn to_retry<S: Store>(
    sources: &Sources<S>,
    run: RunId,
    is_frozen: bool,
    asker: Asker,
    overlap: Option<Overlap>,
) -> Result<Command, Problem> {
    let story = sources.store.story(run.clone()).await?;
    let story = story.ok_or_else(|| Problem::no_run(&run))?;
    if story.summary.finished_at.is_none() {
        return Err(Declined::Alive(run).into());
    }
    let (job, scheduled_at) = (story.summary.job, story.summary.scheduled_at);
    let frozen = is_frozen.then_some(story.definition);
    Ok(Command::Retry { run, job, scheduled_at, frozen, asker, overlap })
}

async fn reload<S: Store>(
    State(sources): State<Sources<S>>,
    Said { asker, .. }: Said<Plain>,
) -> Result<Response, Problem> {
    let (answer, answered) = oneshot::channel();
    let leaving = || Problem::unavailable("the daemon is stopping");
    sources.reloads.send(ReloadAsk { asker, answer }).await.map_err(|_| leaving())?;
    match answered.await.map_err(|_| leaving())? {
        Ok(changes) => Ok(Json(changes).into_response()),
        Err(NotTaken::Refused(why)) => Err(Problem(StatusCode::UNPROCESSABLE_ENTITY, why)),
        Err(NotTaken::Declined(why)) => Err(Problem::unavailable(&why)),
    }
}
