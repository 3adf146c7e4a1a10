//! The routes. `docs/` names them; `objects.rs` is what they answer with.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::asked::{Asked, BODY_MAX, Named};
use super::events::{Streams, events};
use super::hands::{self, ReloadAsk};
use super::metrics::metrics;
use super::notices::notices;
use super::objects::{ErrorObject, JobObject, RunObject};
use super::openapi::openapi;
use super::page::{self, Shown};
use super::why::why;
use crate::daemon::driver::JobView;
use crate::daemon::{Health, Mailbox, clock};
use crate::engine::job::JobName;
use crate::engine::run::{RunId, Status};
use crate::observe;
use crate::store::{AuditRow, RunQuery, RunSummary, Store, StoreError};

/// How many runs a listing shows unless told.
pub const RUNS_DEFAULT: usize = 20;
/// How many runs one answer holds at most.
pub const RUNS_MAX: usize = 1_000;

/// How long the loop may take to answer; it stands still only while one batch is being written.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What the routes read from.
#[derive(Debug, Clone)]
pub struct Sources<S> {
    /// Runs.
    pub store: S,
    /// Jobs and health.
    pub mailbox: Mailbox,
    /// Whoever reads the configuration anew.
    pub reloads: mpsc::Sender<ReloadAsk>,
    /// What the page shows of the configuration in force.
    pub shown: watch::Receiver<Arc<Shown>>,
}

/// A method in lower case, a path, and what answers.
pub(super) type Route<S> = (&'static str, &'static str, MethodRouter<Sources<S>>);

/// Every route of the API. `openapi.json` describes each, and `openapi.rs` holds it to that.
pub(super) fn routes<S: Store>() -> Vec<Route<S>> {
    let reading = vec![
        ("get", "/api/v1/jobs", get(jobs::<S>)),
        ("get", "/api/v1/jobs/{job}", get(job::<S>)),
        ("get", "/api/v1/jobs/{job}/why", get(why::<S>)),
        ("get", "/api/v1/audit", get(audit::<S>)),
        ("get", "/api/v1/notices", get(notices::<S>)),
        ("get", "/api/v1/runs", get(runs::<S>)),
        ("get", "/api/v1/runs/{run}", get(run::<S>)),
        ("get", "/api/v1/events", get(events::<S>)),
        ("get", "/api/v1/openapi.json", get(openapi)),
        ("get", "/metrics", metrics()),
        ("get", "/healthz", get(healthz::<S>)),
        ("get", "/readyz", get(readyz::<S>)),
    ];
    reading.into_iter().chain(hands::routes()).collect()
}

/// Every route, and what answers where there is none.
pub fn router<S: Store>(sources: Sources<S>) -> Router {
    let all = routes().into_iter().chain(page::routes());
    let all = all.fold(Router::new(), |router, (_, path, answers)| router.route(path, answers));
    all.layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(Extension(Streams::default()))
        .fallback(nothing_here)
        .method_not_allowed_fallback(|| async {
            Problem(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method".into())
        })
        .with_state(sources)
}

async fn nothing_here(headers: HeaderMap) -> Response {
    let what = "there is no such path";
    if page::wants_a_page(&headers) {
        page::not_found(what).into_response()
    } else {
        Problem::not_found(what).into_response()
    }
}

/// An answer that is not what was asked for.
pub(super) struct Problem(pub(super) StatusCode, pub(super) String);

impl Problem {
    pub(super) fn not_found(what: impl Into<String>) -> Problem {
        Problem(StatusCode::NOT_FOUND, what.into())
    }

    /// Perhaps not any more.
    pub(super) fn no_run(run: &RunId) -> Problem {
        Problem::not_found(format!(
            "there is no run `{run}`; one that ended longer ago than [retention] keeps is deleted"
        ))
    }

    pub(super) fn bad_request(what: impl Into<String>) -> Problem {
        Problem(StatusCode::BAD_REQUEST, what.into())
    }

    pub(super) fn unavailable(why: &str) -> Problem {
        Problem(StatusCode::SERVICE_UNAVAILABLE, why.into())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        Problem(StatusCode::SERVICE_UNAVAILABLE, observe::chain(&error))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(ErrorObject { error: self.1 })).into_response()
    }
}

/// Asks the loop for its jobs.
pub(super) async fn views(mailbox: &Mailbox) -> Result<Vec<JobView>, Problem> {
    in_time(mailbox.jobs()).await
}

/// Asks it for one of them; none if the configuration does not have it.
pub(super) async fn view_of(mailbox: &Mailbox, job: &JobName) -> Result<Option<JobView>, Problem> {
    in_time(mailbox.job(job.clone())).await
}

/// What the loop answers.
async fn in_time<T>(answer: impl Future<Output = Option<T>>) -> Result<T, Problem> {
    let answered = tokio::time::timeout(ANSWER_WITHIN, answer).await;
    let answered =
        answered.map_err(|_elapsed| Problem::unavailable("the daemon is busy and did not answer in time"))?;
    answered.ok_or_else(|| Problem::unavailable("the daemon is stopping"))
}

async fn jobs<S: Store>(State(sources): State<Sources<S>>) -> Result<Json<Vec<JobObject>>, Problem> {
    let views = views(&sources.mailbox).await?;
    let last = sources.store.last_runs(None).await?;
    let mut last: HashMap<JobName, _> = last.into_iter().map(|run| (run.job.clone(), run)).collect();
    Ok(Json(views.iter().map(|view| JobObject::new(view, last.remove(&view.job.name))).collect()))
}

async fn job<S: Store>(State(sources): State<Sources<S>>, Named(name): Named) -> Result<Json<JobObject>, Problem> {
    let name = hands::job_name(&name)?;
    let view = view_of(&sources.mailbox, &name).await?;
    let view = view.ok_or_else(|| Problem::not_found(format!("there is no job `{name}`")))?;
    let newest = RunQuery { job: Some(view.job.name.clone()), limit: 1, ..RunQuery::default() };
    let last_run = sources.store.runs(newest).await?.pop();
    Ok(Json(JobObject::new(&view, last_run)))
}

/// The query of `/api/v1/runs`. A key that is misspelt must not list what was not asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunsQuery {
    job: Option<String>,
    status: Option<String>,
    limit: Option<usize>,
    before: Option<String>,
}

async fn runs<S: Store>(
    State(sources): State<Sources<S>>,
    Asked(query): Asked<RunsQuery>,
) -> Result<Response, Problem> {
    let job = query.job.map(|job| JobName::new(&job)).transpose();
    let status = query.status.as_deref().map(status).transpose()?;
    let limit = query.limit.unwrap_or(RUNS_DEFAULT).min(RUNS_MAX);
    let query = RunQuery {
        job: job.map_err(|error| Problem::bad_request(error.to_string()))?,
        statuses: status.into_iter().collect(),
        before: query.before.as_deref().map(RunId::from_text),
        limit,
    };
    let job = query.job.clone();
    let (runs, last) = listed(&sources.store, query).await?;
    let kept = [("job", job.as_ref().map(JobName::as_str)), ("status", status.map(Status::as_str))];
    Ok(page_of("/api/v1/runs", &runs, limit, last.map(|run| run.to_string()), &kept))
}

/// A page of runs, and after which of them the next one begins if there is one.
pub(super) async fn listed<S: Store>(store: &S, query: RunQuery) -> Result<(Vec<RunSummary>, Option<RunId>), Problem> {
    let (limit, before) = (query.limit, query.before.clone());
    // One more tells whether there is a next page.
    let mut runs = store.runs(RunQuery { limit: limit + 1, ..query }).await?;
    if let (true, Some(before)) = (runs.is_empty(), &before)
        && store.story(before.clone()).await?.is_none()
    {
        return Err(Problem::not_found(format!(
            "there is no run `{before}` to list from; begin anew without `before`"
        )));
    }
    let more = runs.len() > limit;
    runs.truncate(limit);
    let last = runs.last().filter(|_| more).map(|run| run.run.clone());
    Ok((runs, last))
}

/// The status of this name.
pub(super) fn status(text: &str) -> Result<Status, Problem> {
    text.parse().map_err(|()| Problem::bad_request(format!("`{text}` is not a status: {}", statuses())))
}

/// A page of a list, which names the next one if there is one. Source of the header: RFC 8288.
pub(super) fn page_of<T: Serialize>(
    path: &str,
    items: &[T],
    limit: usize,
    last: Option<String>,
    kept: &[(&str, Option<&str>)],
) -> Response {
    let mut response = Json(items).into_response();
    if let Some(last) = last {
        let kept = kept.iter().filter_map(|(key, value)| Some(format!("{key}={}&", value.as_ref()?)));
        let link = format!("<{path}?{}limit={limit}&before={last}>; rel=\"next\"", kept.collect::<String>());
        // The names of jobs, runs and notices are plain: nothing of them needs to be escaped.
        if let Ok(link) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    response
}

/// The accepted statuses, for messages.
pub fn statuses() -> String {
    Status::ALL.map(Status::as_str).join(", ")
}

async fn run<S: Store>(State(sources): State<Sources<S>>, Named(id): Named) -> Result<Json<RunObject>, Problem> {
    let story = sources.store.story(RunId::from_text(&id)).await?;
    let story = story.ok_or_else(|| Problem::no_run(&RunId::from_text(&id)))?;
    let waits_for = waits_for(&sources, &story.summary).await;
    Ok(Json(RunObject { waits_for, ..story.into() }))
}

/// What keeps a run whose launch is due from it. An answer without it is better than none.
pub(super) async fn waits_for<S: Store>(sources: &Sources<S>, run: &RunSummary) -> Option<String> {
    if !matches!(run.status, Status::Due | Status::Waiting) {
        return None;
    }
    tokio::time::timeout(ANSWER_WITHIN, sources.mailbox.waits_for(run.run.clone())).await.ok()?
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    limit: Option<usize>,
    before: Option<u64>,
}

async fn audit<S: Store>(
    State(sources): State<Sources<S>>,
    Asked(query): Asked<AuditQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(RUNS_DEFAULT).min(RUNS_MAX);
    let mut rows: Vec<AuditRow> = sources.store.audit(query.before, limit + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| more).map(|row| row.seq.to_string());
    Ok(page_of("/api/v1/audit", &rows, limit, last, &[]))
}

/// The loop turns.
async fn healthz<S: Store>(State(sources): State<Sources<S>>) -> (StatusCode, Json<Health>) {
    let health = sources.mailbox.health();
    let turns = health.turns(clock::now());
    (if turns { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(health))
}

/// The loop turns, the state can be saved and ECS answers.
async fn readyz<S: Store>(State(sources): State<Sources<S>>) -> (StatusCode, Json<Readiness>) {
    let health = sources.mailbox.health();
    let reason = health.unready(clock::now());
    let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { reason, health }))
}

/// What `/readyz` answers.
#[derive(Debug, Serialize)]
struct Readiness {
    /// Why the daemon is not ready; none if it is.
    reason: Option<String>,
    #[serde(flatten)]
    health: Health,
}
