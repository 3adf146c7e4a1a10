//! Notices in the API: who was told what, and another try of what was given up.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::api::{Problem, RUNS_DEFAULT, RUNS_MAX, Sources, page_of};
use super::hands::{Plain, Said, carry_out};
use crate::daemon::driver::{Command, Done};
use crate::engine::job::JobName;
use crate::store::{NoticeQuery, NoticeState, Store};

/// The query of `/api/v1/notices`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoticesQuery {
    job: Option<String>,
    state: Option<String>,
    limit: Option<usize>,
    before: Option<String>,
}

/// How many dead letters are owed again.
#[derive(Debug, Serialize, Deserialize)]
pub struct Revived {
    /// So many.
    pub revived: usize,
}

/// The accepted states, for messages.
pub fn states() -> String {
    NoticeState::ALL.map(NoticeState::as_str).join(", ")
}

pub(super) async fn notices<S: Store>(
    State(sources): State<Sources<S>>,
    query: Result<Query<NoticesQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let job = query.job.map(|job| JobName::new(&job)).transpose();
    let state = query.state.map(|text| text.parse::<NoticeState>().map_err(|()| text)).transpose();
    let limit = query.limit.unwrap_or(RUNS_DEFAULT).min(RUNS_MAX);
    let query = NoticeQuery {
        job: job.map_err(|error| Problem::bad_request(error.to_string()))?,
        state: state.map_err(|text| Problem::bad_request(format!("`{text}` is not a state: {}", states())))?,
        before: query.before,
        // One more tells whether there is a next page.
        limit: limit + 1,
    };
    let mut notices = sources.store.notices(query.clone()).await?;
    let more = notices.len() > limit;
    notices.truncate(limit);
    let last = notices.last().filter(|_| more).map(|notice| notice.id.clone());
    let job = query.job.as_ref().map(JobName::as_str);
    let kept = [("job", job), ("state", query.state.map(NoticeState::as_str))];
    Ok(page_of("/api/v1/notices", &notices, limit, last, &kept))
}

/// Owes the newest dead letters again, as many as a listing shows.
pub(super) async fn retry<S: Store>(
    State(sources): State<Sources<S>>,
    Said { asker, .. }: Said<Plain>,
) -> Result<Json<Revived>, Problem> {
    let dead = NoticeQuery { state: Some(NoticeState::Dead), limit: RUNS_MAX, ..NoticeQuery::default() };
    let notices = sources.store.notices(dead).await?.into_iter().map(|notice| notice.id).collect();
    match carry_out(&sources, Command::Revive { notices, asker }).await? {
        Done::Revived(revived) => Ok(Json(Revived { revived })),
        _ => Err(Problem::unavailable("the daemon answered something else")),
    }
}
