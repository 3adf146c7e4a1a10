//! Notices in the API: who was told what, and another try of what was given up.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::api::{Problem, RUNS_DEFAULT, RUNS_MAX, Sources, page_of};
use super::asked::Asked;
use super::hands::{Reasoned, Said, carry_out, reasoned};
use crate::daemon::driver::{Command, Done};
use crate::engine::job::JobName;
use crate::engine::notice::ChannelId;
use crate::store::{NoticeQuery, NoticeState, Store};

/// The query of `/api/v1/notices`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoticesQuery {
    job: Option<String>,
    channel: Option<String>,
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
    Asked(query): Asked<NoticesQuery>,
) -> Result<Response, Problem> {
    let state = query.state.map(|text| text.parse::<NoticeState>().map_err(|()| text)).transpose();
    let limit = query.limit.unwrap_or(RUNS_DEFAULT).min(RUNS_MAX);
    let query = NoticeQuery {
        job: named(query.job)?,
        channel: query.channel.map(|channel| ChannelId(channel.into())),
        state: state.map_err(|text| Problem::bad_request(format!("`{text}` is not a state: {}", states())))?,
        before: query.before,
        // One more tells whether there is a next page.
        limit: limit + 1,
    };
    let notices = sources.store.notices(query.clone()).await?;
    let before = query.before.as_deref().unwrap_or_default();
    let mut notices = notices.ok_or_else(|| {
        Problem::not_found(format!("there is no notice `{before}` to list from; begin anew without `before`"))
    })?;
    let more = notices.len() > limit;
    notices.truncate(limit);
    let last = notices.last().filter(|_| more).map(|notice| notice.id.clone());
    let job = query.job.as_ref().map(JobName::as_str);
    let channel = query.channel.as_ref().map(|channel| in_a_link(&channel.0));
    let kept = [("job", job), ("channel", channel.as_deref()), ("state", query.state.map(NoticeState::as_str))];
    Ok(page_of("/api/v1/notices", &notices, limit, last, &kept))
}

fn named(job: Option<String>) -> Result<Option<JobName>, Problem> {
    let job = job.map(|job| JobName::new(&job)).transpose();
    job.map_err(|error| Problem::bad_request(error.to_string()))
}

/// The name of a channel as a query has it: it holds a `#`, which would end the query.
fn in_a_link(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte);
    let escaped = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(escaped).collect()
}

/// The body of a retry: which dead letters.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryNotices {
    /// Why.
    pub reason: Option<String>,
    /// Of this job only.
    pub job: Option<String>,
    /// By this channel only, as a listing names it.
    pub channel: Option<String>,
}

reasoned!(RetryNotices);

fn dead(meant: RetryNotices) -> Result<NoticeQuery, Problem> {
    Ok(NoticeQuery {
        state: Some(NoticeState::Dead),
        job: named(meant.job)?,
        channel: meant.channel.map(|channel| ChannelId(channel.into())),
        before: None,
        limit: RUNS_MAX,
    })
}

/// Owes the newest dead letters again, as many as a listing shows.
pub(super) async fn retry<S: Store>(
    State(sources): State<Sources<S>>,
    Said { asker, body }: Said<RetryNotices>,
) -> Result<Json<Revived>, Problem> {
    let notices = sources.store.notices(dead(body)?).await?.into_iter().flatten().map(|notice| notice.id).collect();
    match carry_out(&sources, Command::Revive { notices, asker }).await? {
        Done::Revived(revived) => Ok(Json(Revived { revived })),
        _ => Err(Problem::unavailable("the daemon answered something else")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_is_of_dead_letters_and_of_those_alone_that_it_names() {
        let meant = |job: Option<&str>, channel: Option<&str>| {
            dead(RetryNotices { reason: None, job: job.map(str::to_owned), channel: channel.map(str::to_owned) })
        };
        let all = meant(None, None).ok().unwrap();
        assert_eq!((all.state, all.job, all.channel, all.limit), (Some(NoticeState::Dead), None, None, RUNS_MAX));
        let some = meant(Some("billing"), Some("webhook:hooks.example#1a2b")).ok().unwrap();
        assert_eq!(some.job.as_ref().map(JobName::as_str), Some("billing"));
        assert_eq!(some.channel, Some(ChannelId("webhook:hooks.example#1a2b".into())));
        assert!(meant(Some("no job"), None).is_err(), "a name that is misspelt must not mean all");
    }

    #[test]
    fn the_name_of_a_channel_stands_in_a_link() {
        assert_eq!(in_a_link("webhook:hooks.example#1a&b=c"), "webhook:hooks.example%231a%26b%3Dc");
    }
}
