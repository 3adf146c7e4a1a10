//! What is around every page: its head, its navigation, how the daemon is, and how a page says that it can't be shown.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, html};

use super::assets::ASSETS;
use super::parts::moment;
use crate::daemon::{Health, Mailbox, clock};
use crate::engine::job::JobName;
use crate::store::{Store, StoreError};
use crate::web::api::{Problem, Sources};
use crate::web::gate::May;
use crate::web::peer::Peer;

/// Nothing is loaded but our own, nothing in a page runs, and forms lead to us only.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Who looks, and when.
#[derive(Debug)]
pub(super) struct Viewer {
    /// Whether they may do something.
    pub(super) may_act: bool,
    /// Whether they came in with a token, and so can sign out.
    pub(super) has_token: bool,
    /// The one moment that the whole page speaks of.
    pub(super) now: DateTime<Utc>,
    /// How the daemon is.
    pub(super) health: Health,
    /// The name of this installation.
    pub(super) instance: String,
}

impl<S: Store> FromRef<Sources<S>> for Mailbox {
    fn from_ref(sources: &Sources<S>) -> Mailbox {
        sources.mailbox.clone()
    }
}

impl<T: Sync> FromRequestParts<T> for Viewer
where
    Mailbox: FromRef<T>,
{
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &T) -> Result<Viewer, Self::Rejection> {
        let mailbox = Mailbox::from_ref(state);
        let holder = match parts.extensions.get::<Peer>() {
            Some(Peer::Port { holder, .. }) => holder.as_ref(),
            Some(Peer::User(_) | Peer::Unknown) | None => None,
        };
        Ok(Viewer {
            may_act: holder.is_none_or(|holder| holder.may == May::Act),
            has_token: holder.is_some(),
            now: clock::now(),
            health: mailbox.health(),
            instance: mailbox.instance().to_string(),
        })
    }
}

/// Where a page stands in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Timeline,
    Runs,
    /// Below one of them, or beside them.
    None,
}

/// A whole page.
pub(super) fn page(viewer: &Viewer, section: Section, title: &str, body: &Markup) -> Response {
    whole(viewer, section, title, None, body)
}

/// A whole page of one job: what changes elsewhere does not concern it.
pub(super) fn page_of_job(viewer: &Viewer, title: &str, job: &JobName, body: &Markup) -> Response {
    whole(viewer, Section::None, title, Some(job), body)
}

fn whole(viewer: &Viewer, section: Section, title: &str, job: Option<&JobName>, body: &Markup) -> Response {
    let links = [
        (Section::Overview, "/", "Overview"),
        (Section::Timeline, "/timeline", "Timeline"),
        (Section::Runs, "/runs", "Runs"),
    ];
    let (name, title) = (&viewer.instance, format!("{title} · {}", viewer.instance));
    let around = html! {
        a .skip href="#main" { "Skip to the content" }
        header .top {
            a .brand href="/" { "Tenacron " b { (name) } }
            nav aria-label="Pages" {
                @for (this, path, text) in links {
                    a href=(path) aria-current=[(this == section).then_some("page")] { (text) }
                }
            }
            div #ready .state data-live { (state(viewer)) }
            @if viewer.has_token {
                form method="post" action="/sign-out" { button .plain { "Sign out" } }
            }
        }
        p #connection .connection role="status" hidden {}
        main #main tabindex="-1" { (body) }
        footer {
            span #zone { "Times are UTC" }
            " · as of " span #as-of data-live { (moment(viewer.now)) }
            " · Tenacron " (viewer.health.version)
        }
        button #held .held type="button" hidden {}
    };
    let more_style = (section != Section::Overview).then_some(&*ASSETS.more_style.path);
    document(StatusCode::OK, &title, job, more_style, &around)
}

/// How the daemon is, in a few words.
fn state(viewer: &Viewer) -> Markup {
    let Health { draining, .. } = &viewer.health;
    html! {
        @match (viewer.health.unready(viewer.now), draining) {
            (Some(_), _) => a .mark.bad href="/#daemon" { "Not ready" },
            (None, Some(_)) => a .mark.caught href="/#daemon" { "Draining" },
            (None, None) => a .mark.good href="/#daemon" { "Ready" },
        }
    }
}

fn document(
    status: StatusCode,
    title: &str,
    job: Option<&JobName>,
    more_style: Option<&str>,
    around: &Markup,
) -> Response {
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href=(ASSETS.icon.path);
                link rel="stylesheet" href=(ASSETS.style.path);
                @if let Some(path) = more_style { link rel="stylesheet" href=(path); }
                script src=(ASSETS.script.path) defer {}
            }
            body data-job=[job] { (around) }
        }
    };
    const HEADERS: [(HeaderName, HeaderValue); 3] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        // Without a referrer browsers send forms from nowhere, and the gate takes them for foreign ones.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    (status, HEADERS, whole.into_string()).into_response()
}

/// A page without what the daemon says: that of somebody who is not let in, or of a problem.
pub(super) fn bare(status: StatusCode, title: &str, body: &Markup) -> Response {
    let around = html! {
        header .top { a .brand href="/" { "Tenacron" } }
        main #main { (body) }
    };
    document(status, &format!("{title} · Tenacron"), None, None, &around)
}

/// A page that can't be shown, or something that was not done.
#[derive(Debug)]
pub(in super::super) struct NoPage(StatusCode, String);

pub(in super::super) fn not_found(what: &str) -> NoPage {
    NoPage(StatusCode::NOT_FOUND, what.to_owned())
}

impl NoPage {
    pub(super) fn bad_request(what: impl Into<String>) -> NoPage {
        NoPage(StatusCode::BAD_REQUEST, what.into())
    }

    /// The same with more to say.
    pub(super) fn and(self, more: &str) -> NoPage {
        NoPage(self.0, self.1 + more)
    }
}

impl From<Problem> for NoPage {
    fn from(Problem(status, why): Problem) -> NoPage {
        NoPage(status, why)
    }
}

impl From<StoreError> for NoPage {
    fn from(error: StoreError) -> NoPage {
        Problem::from(error).into()
    }
}

impl IntoResponse for NoPage {
    fn into_response(self) -> Response {
        let NoPage(status, why) = self;
        let title = match status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::CONFLICT => "Not done",
            StatusCode::FORBIDDEN => "Not allowed",
            StatusCode::BAD_REQUEST => "Not understood",
            _ => "Not to be had just now",
        };
        let body = html! {
            h1 { (title) }
            p .cause { (why) }
            p { a href="/" { "To the overview" } }
        };
        bare(status, title, &body)
    }
}

/// Whether whoever asks would rather read a page than a JSON object.
pub(in super::super) fn wants_a_page(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|accepts| accepts.to_str().ok());
    accepts.is_some_and(|accepts| accepts.contains("text/html"))
}
