//! The routes. `docs/` names them; `objects.rs` is what they answer with.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use chrono::TimeDelta;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::hands::{self, ReloadAsk};
use super::metrics::metrics;
use super::objects::{ErrorObject, JobObject, RunObject};
use super::why::why;
use crate::daemon::driver::JobView;
use crate::daemon::{Health, Mailbox, clock};
use crate::engine::job::JobName;
use crate::engine::run::{RunId, Status};
use crate::observe;
use crate::store::{Audit, RunQuery, RunSummary, Store, StoreError};

/// How many runs a listing shows unless told.
pub const RUNS_DEFAULT: usize = 20;
/// How many runs one answer holds at most.
pub const RUNS_MAX: usize = 1_000;
/// How long the loop may stand still before the daemon is unhealthy; it turns at least once a second.
pub const STILL_MAX: TimeDelta = TimeDelta::seconds(15);

/// The largest body that is read.
const BODY_MAX: usize = 64 << 10;
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
}

/// Every route.
pub fn router<S: Store>(sources: Sources<S>) -> Router {
    Router::new()
        .route("/api/v1/jobs", get(jobs::<S>))
        .route("/api/v1/jobs/{job}", get(job::<S>))
        .route("/api/v1/jobs/{job}/why", get(why::<S>))
        .route("/api/v1/audit", get(audit::<S>))
        .route("/api/v1/runs", get(runs::<S>))
        .route("/api/v1/runs/{run}", get(run::<S>))
        .route("/metrics", get(metrics::<S>))
        .route("/healthz", get(healthz::<S>))
        .route("/readyz", get(readyz::<S>))
        .merge(hands::routes())
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .fallback(|| async { Problem::not_found("there is no such path") })
        .method_not_allowed_fallback(|| async {
            Problem(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method".into())
        })
        .with_state(sources)
}

/// The routes for a TCP listener: requests must name this machine, whatever a foreign name resolves to.
pub fn for_tcp(router: Router) -> Router {
    router.layer(middleware::from_fn(|request: Request, next: Next| async move {
        match refusal(request.headers()) {
            Some(problem) => problem.into_response(),
            None => next.run(request).await,
        }
    }))
}

/// Why a request that came over TCP is not served.
fn refusal(headers: &HeaderMap) -> Option<Problem> {
    let said = |name| headers.get(name).and_then(|said| said.to_str().ok());
    let host = said(header::HOST).unwrap_or_default();
    if !names_this_machine(host) {
        return Some(Problem::bad_request("the Host header is not of this machine"));
    }
    // A browser names the page that a request comes from; only our own may make it.
    let is_foreign = headers.contains_key(header::ORIGIN) && said(header::ORIGIN) != Some(&*format!("http://{host}"));
    is_foreign.then(|| Problem(StatusCode::FORBIDDEN, "the request comes from a foreign page".into()))
}

/// Whether a Host header is a loopback address or `localhost`. The address is parsed as a whole: a name such as
/// `127.0.0.1.example.com` is somebody else's, and can be made to lead here.
fn names_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An answer that is not what was asked for.
pub(super) struct Problem(pub(super) StatusCode, pub(super) String);

impl Problem {
    pub(super) fn not_found(what: impl Into<String>) -> Problem {
        Problem(StatusCode::NOT_FOUND, what.into())
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
    let answered = tokio::time::timeout(ANSWER_WITHIN, mailbox.jobs()).await;
    let answered =
        answered.map_err(|_elapsed| Problem::unavailable("the daemon is busy and did not answer in time"))?;
    answered.ok_or_else(|| Problem::unavailable("the daemon is stopping"))
}

async fn jobs<S: Store>(State(sources): State<Sources<S>>) -> Result<Json<Vec<JobObject>>, Problem> {
    let views = views(&sources.mailbox).await?;
    let last = sources.store.last_runs().await?;
    let mut last: HashMap<JobName, _> = last.into_iter().map(|run| (run.job.clone(), run)).collect();
    Ok(Json(views.iter().map(|view| JobObject::new(view, last.remove(&view.job.name))).collect()))
}

async fn job<S: Store>(
    State(sources): State<Sources<S>>,
    Path(name): Path<String>,
) -> Result<Json<JobObject>, Problem> {
    let views = views(&sources.mailbox).await?;
    let view = views.iter().find(|view| view.job.name.as_str() == name);
    let view = view.ok_or_else(|| Problem::not_found(format!("there is no job `{name}`")))?;
    let newest = RunQuery { job: Some(view.job.name.clone()), limit: 1, ..RunQuery::default() };
    let last_run = sources.store.runs(newest).await?.pop();
    Ok(Json(JobObject::new(view, last_run)))
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
    query: Result<Query<RunsQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let job = query.job.map(|job| JobName::new(&job)).transpose();
    let status = query.status.map(|text| text.parse::<Status>().map_err(|()| text)).transpose();
    let query = RunQuery {
        job: job.map_err(|error| Problem::bad_request(error.to_string()))?,
        status: status.map_err(|text| Problem::bad_request(format!("`{text}` is not a status: {}", statuses())))?,
        before: query.before.as_deref().map(RunId::from_text),
        limit: query.limit.unwrap_or(RUNS_DEFAULT).min(RUNS_MAX),
    };
    Ok(Json(sources.store.runs(query).await?).into_response())
}

/// The accepted statuses, for messages.
pub fn statuses() -> String {
    Status::ALL.map(Status::as_str).join(", ")
}

async fn run<S: Store>(State(sources): State<Sources<S>>, Path(id): Path<String>) -> Result<Json<RunObject>, Problem> {
    let story = sources.store.story(RunId::from_text(&id)).await?;
    let story = story.ok_or_else(|| Problem::not_found(format!("there is no run `{id}`")))?;
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
}

async fn audit<S: Store>(
    State(sources): State<Sources<S>>,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Json<Vec<Audit>>, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    Ok(Json(sources.store.audit(query.limit.unwrap_or(RUNS_DEFAULT).min(RUNS_MAX)).await?))
}

/// The loop turns.
async fn healthz<S: Store>(State(sources): State<Sources<S>>) -> (StatusCode, Json<Health>) {
    let health = sources.mailbox.health();
    let turns = health.turned_at.or(health.began_at).is_some_and(|at| clock::now() - at <= STILL_MAX);
    (if turns { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(health))
}

/// The loop turns and the state can be saved.
async fn readyz<S: Store>(State(sources): State<Sources<S>>) -> (StatusCode, Json<Health>) {
    let (status, health) = healthz(State(sources)).await;
    (if health.store_error.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { status }, health)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_elsewhere_can_do_nothing_here() {
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
        };
        let host = ("host", "127.0.0.1:8474");
        assert!(refusal(&headers(&[host])).is_none(), "a client that is no browser");
        assert!(refusal(&headers(&[host, ("origin", "http://127.0.0.1:8474")])).is_none());
        for foreign in ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:8474"] {
            let refused = refusal(&headers(&[host, ("origin", foreign)])).map(|problem| problem.0);
            assert_eq!(refused, Some(StatusCode::FORBIDDEN), "{foreign}");
        }
    }

    #[test]
    fn only_loopback_hosts_are_of_this_machine() {
        for ours in ["127.0.0.1:8474", "127.0.0.1", "127.1.2.3:1", "localhost:8474", "LOCALHOST", "[::1]:8474", "[::1]"]
        {
            assert!(names_this_machine(ours), "{ours}");
        }
        for foreign in [
            "",
            "rebound.example:8474",
            "127.0.0.1.rebound.example:8474",
            "127.rebound.example",
            "localhost.rebound.example",
            "localhost@rebound.example",
            "192.0.2.1:8474",
            "[2001:db8::1]:8474",
        ] {
            assert!(!names_this_machine(foreign), "{foreign}");
        }
    }
}
