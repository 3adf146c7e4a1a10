//! All runs, newest first, a page at a time.

use axum::extract::State;
use axum::response::Response;
use maud::html;
use serde::Deserialize;

use super::filter::Filter;
use super::shell::{NoPage, Section, Viewer, page};
use super::table::{Of, no_runs, runs_table};
use crate::engine::job::JobName;
use crate::store::{RunQuery, Store};
use crate::web::api::{Problem, Sources, listed};
use crate::web::asked::Asked;

/// How many runs one page shows.
const RUNS_SHOWN: usize = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    job: String,
    status: String,
    before: String,
}

pub(super) async fn runs<S: Store>(
    State(sources): State<Sources<S>>,
    viewer: Viewer,
    query: Result<Asked<Wanted>, Problem>,
) -> Result<Response, NoPage> {
    let Asked(Wanted { job, status, before }) = query?;
    let filter = Filter::read(status, &before)?;
    let job = Some(job.trim()).filter(|job| !job.is_empty()).map(JobName::new).transpose();
    let job = job.map_err(|error| NoPage::bad_request(error.to_string()))?;
    let (statuses, before) = (filter.statuses.clone(), filter.before.clone());
    let query = RunQuery { job: job.clone(), statuses, before, limit: RUNS_SHOWN };
    let (rows, last) = listed(&sources.store, query).await?;
    let job = job.as_ref().map(JobName::as_str);
    let body = html! {
        h1 { "Runs" }
        form .row.choose action="/runs" role="search" {
            label { "Job " input name="job" value=(job.unwrap_or_default()) maxlength="64" autocomplete="off" spellcheck="false"; }
            (filter.select())
            button { "Show" }
            @if job.is_some() || !filter.is_open() { a href="/runs" { "Show all" } }
        }
        section #runs data-live aria-label="Runs" {
            @if rows.is_empty() {
                (no_runs(&filter.statuses, job))
            } @else {
                (runs_table(&rows, Of::AllJobs, "Runs, the newest first", viewer.now))
            }
            (filter.pager("/runs", job, last.as_ref()))
        }
    };
    Ok(page(&viewer, Section::Runs, "Runs", &body))
}
