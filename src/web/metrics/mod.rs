//! `/metrics`: what a Prometheus scrapes. What the daemon counts as it goes is in `observe`; the rest is made anew at each
//! scrape from what the daemon says of itself, so that nothing is done for a job until somebody asks.
//!
//! It answers also while the loop stands still, without what only the loop knows.

mod format;
mod page;
mod periods;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use chrono::{DateTime, TimeDelta, Utc};

use self::format::Format;
use self::periods::Periods;
use super::api::{Problem, Sources};
use crate::daemon::driver::JobView;
use crate::daemon::{Health, clock};
use crate::engine::job::JobName;
use crate::engine::run::Status;
use crate::observe::{Counts, Metrics, Process};
use crate::store::{NoticeCounts, Store};

/// How long loop and store may take to answer until a scrape does without them; Prometheus itself waits for 10 seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How many jobs are looked at in one go; then others have their turn.
const JOBS_IN_A_GO: usize = 64;

/// The route.
pub(super) fn metrics<S: Store>() -> MethodRouter<Sources<S>> {
    let periods = Arc::new(Periods::default());
    get(move |State(sources): State<Sources<S>>, headers: HeaderMap| async move {
        answer(&sources, &periods, Format::of(&headers)).await
    })
}

async fn answer<S: Store>(sources: &Sources<S>, periods: &Periods, format: Format) -> Result<Response, Problem> {
    let scrape = Scrape::of(sources, periods).await;
    // Ten thousand jobs are megabytes of text, and the loop must not wait for a thread meanwhile.
    let written = tokio::task::spawn_blocking(move || page::text(scrape, format)).await;
    let failed = || Problem(StatusCode::INTERNAL_SERVER_ERROR, "the page of metrics could not be written".into());
    let text = written.map_err(|_panic| failed())?.map_err(|_error| failed())?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], text).into_response())
}

/// Everything that a page of metrics is made of.
#[derive(Debug)]
struct Scrape {
    now: DateTime<Utc>,
    health: Health,
    metrics: Metrics,
    /// The counts of jobs that have had a run, by name, and of those that are gone.
    counts: (Vec<(JobName, Counts)>, Counts),
    /// Every job, by name; none if the loop did not answer.
    jobs: Option<Vec<JobNow>>,
    /// Likewise.
    in_flight: Option<Vec<(Status, usize)>>,
    term: u64,
    /// None if the store did not answer.
    notices: Option<NoticeCounts>,
    process: Process,
}

/// What there is to show of a job beside its counts.
#[derive(Debug)]
struct JobNow {
    name: JobName,
    next_at: Option<DateTime<Utc>>,
    is_paused: bool,
    period: Option<TimeDelta>,
}

impl Scrape {
    async fn of<S: Store>(sources: &Sources<S>, periods: &Periods) -> Scrape {
        let mailbox = &sources.mailbox;
        let of_loop = async { (mailbox.jobs().await, mailbox.in_flight().await) };
        let (of_loop, of_store) = tokio::join!(
            tokio::time::timeout(ANSWER_WITHIN, of_loop),
            tokio::time::timeout(ANSWER_WITHIN, sources.store.notice_counts())
        );
        let ((views, in_flight), notices) = (of_loop.unwrap_or_default(), of_store.ok().and_then(Result::ok));
        let (metrics, now) = (mailbox.metrics().clone(), clock::now());
        let counts = metrics.jobs();
        let jobs = match views {
            Some(views) => Some(jobs(&views, &counts.0, periods).await),
            None => None,
        };
        let (health, term, process) = (mailbox.health(), sources.store.term().0, Process::look());
        Scrape { now, health, metrics, counts, jobs, in_flight, term, notices, process }
    }
}

async fn jobs(views: &[JobView], counts: &[(JobName, Counts)], periods: &Periods) -> Vec<JobNow> {
    let mut jobs = Vec::with_capacity(views.len());
    for some in views.chunks(JOBS_IN_A_GO) {
        jobs.extend(some.iter().map(|view| {
            let found = counts.binary_search_by(|(name, _)| name.cmp(&view.job.name)).ok();
            let counts = found.and_then(|place| counts.get(place)).map(|(_, counts)| counts);
            let succeeded = counts.and_then(|counts| counts.last_success).map(|last| last.scheduled_at);
            JobNow {
                name: view.job.name.clone(),
                next_at: view.next_at,
                is_paused: view.paused.is_some(),
                period: periods.of(view, succeeded),
            }
        }));
        tokio::task::yield_now().await;
    }
    periods.keep(views);
    jobs
}
