//! `/api/v1/events`: what changes, as server-sent events. Source: the HTML standard, "Server-sent events".
//!
//! A stream begins with `hello`; then comes a `run` or a `job` for each change that was saved, and `lagged` where a reader was
//! too slow for some. Nothing is sent again: whoever comes back reads the lists anew. A stream ends when the daemon does.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::api::{Problem, Sources};
use super::asked::Asked;
use super::gate::Admitted;
use crate::daemon::{Change, Watching, What};
use crate::engine::job::JobName;
use crate::store::{RunSummary, Store};

/// How many streams there are at once.
const STREAMS_MAX: usize = 64;
/// How often a quiet stream says that it lives. A reader that is gone is noticed by the second thing that is written to it.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// Keeps a reverse proxy (nginx) from collecting events.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// The places for streams.
#[derive(Debug, Clone)]
pub(super) struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Streams {
        Streams(Arc::new(Semaphore::new(STREAMS_MAX)))
    }
}

/// The query of `/api/v1/events`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    job: Option<String>,
}

/// A run that moved: as listings show it, and what happened to it last.
#[derive(Debug, Serialize)]
struct RunEvent<'c> {
    #[serde(flatten)]
    run: &'c RunSummary,
    last_event: Option<&'c str>,
}

struct Stream {
    watching: Watching,
    job: Option<JobName>,
    is_greeted: bool,
    /// Under which rules; none on the control socket.
    admitted: Option<Admitted>,
    /// Given back when the stream ends, or its connection.
    _place: OwnedSemaphorePermit,
}

pub(super) async fn events<S: Store>(
    State(sources): State<Sources<S>>,
    Extension(streams): Extension<Streams>,
    admitted: Option<Extension<Admitted>>,
    Asked(query): Asked<EventsQuery>,
) -> Result<Response, Problem> {
    let job = query.job.map(|job| JobName::new(&job)).transpose();
    let job = job.map_err(|error| Problem::bad_request(error.to_string()))?;
    let place = streams.0.try_acquire_owned();
    let place =
        place.map_err(|_| Problem::unavailable(&format!("{STREAMS_MAX} streams of events are open already")))?;
    let watching = sources.mailbox.watch().ok_or_else(|| Problem::unavailable("the daemon is stopping"))?;
    let admitted = admitted.map(|Extension(admitted)| admitted);
    let stream = Stream { watching, job, is_greeted: false, admitted, _place: place };
    let events = stream::unfold(stream, |mut stream| async {
        let event = stream.next().await?;
        Some((Ok::<Event, Infallible>(event), stream))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE)).into_response();
    let (name, value) = UNBUFFERED;
    response.headers_mut().insert(name, value);
    Ok(response)
}

impl Stream {
    /// The next event that its reader wants; none when the daemon has ended.
    async fn next(&mut self) -> Option<Event> {
        if !self.is_greeted {
            self.is_greeted = true;
            let about = json!({ "instance": self.watching.instance.as_str(), "version": env!("CARGO_PKG_VERSION") });
            return Some(event("hello", Some(self.watching.seq), &about));
        }
        loop {
            match self.watching.changes.recv().await {
                // Whoever comes back shows a token anew.
                Ok(_) if self.admitted.as_ref().is_some_and(|admitted| !admitted.holds()) => return None,
                Ok(change) if self.is_wanted(&change) => return Some(of_change(&change)),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => return Some(event("lagged", None, &json!({ "missed": missed }))),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// What concerns all jobs concerns each.
    fn is_wanted(&self, change: &Change) -> bool {
        let (Some(wanted), Some(job)) = (&self.job, change.what.job()) else { return true };
        wanted == job
    }
}

fn of_change(change: &Change) -> Event {
    match &change.what {
        What::Run { run, last_event } => {
            event("run", Some(change.seq), &RunEvent { run, last_event: last_event.as_deref() })
        }
        What::Job(audit) => event("job", Some(change.seq), audit),
    }
}

fn event(kind: &str, id: Option<u64>, data: &impl Serialize) -> Event {
    // What is sent here can be written as JSON, which has no line breaks.
    let data = serde_json::to_string(data).unwrap_or_default();
    let event = Event::default().event(kind).data(data);
    match id {
        Some(id) => event.id(id.to_string()),
        None => event,
    }
}
