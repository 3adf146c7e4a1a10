//! Signing in with a token, where tokens are asked for. The browser keeps proof of it for a while, never the token.

use std::sync::{Arc, LazyLock};

use axum::Extension;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::Duration;
use maud::{Markup, html};
use serde::Deserialize;

use super::actions::filled_in;
use super::shell::{self, NoPage};
use crate::daemon::clock;
use crate::web::api::Problem;
use crate::web::asked::Asked;
use crate::web::gate::Rules;
use crate::web::peer::Peer;
use crate::web::seldom::Seldom;
use crate::web::session;

/// Where one signs in.
pub(super) const PATH: &str = "/sign-in";
/// Where one signs out.
pub(super) const PATH_OUT: &str = "/sign-out";
/// Open to everybody: whoever may only read signs out too.
pub(in super::super) const SIGNING: [&str; 2] = [PATH, PATH_OUT];

/// Tokens that are not known, in the log.
static REFUSED: LazyLock<Seldom> = LazyLock::new(Seldom::default);

/// Where somebody wanted to go who has to sign in first.
#[derive(Debug, Deserialize)]
pub(super) struct Way {
    #[serde(default)]
    to: String,
}

/// What is filled in.
#[derive(Deserialize)]
pub(super) struct Filled {
    token: String,
    #[serde(default)]
    to: String,
}

/// Leads to where one signs in, and from there on to what was asked for.
pub(in super::super) fn lead_to_sign_in(asked_for: &str) -> Response {
    let to: String = asked_for.bytes().map(escaped).collect();
    Redirect::to(&format!("{PATH}?to={to}")).into_response()
}

/// Answered to a form of somebody who is not signed in any more.
pub(in super::super) fn signed_out() -> Response {
    asks(StatusCode::UNAUTHORIZED, "/", Some("You were signed out, and nothing was done. Sign in, and ask again."))
}

/// A byte as a query of an address holds it.
pub(super) fn escaped(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

/// Only what stands here: an address that leads elsewhere would lend our name to others.
fn own_path(to: &str) -> &str {
    let is_plain = to.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_own = to.starts_with('/') && !to.starts_with("//") && is_plain;
    if is_own { to } else { "/" }
}

pub(super) async fn form(
    rules: Option<Extension<Arc<Rules>>>,
    query: Result<Asked<Way>, Problem>,
) -> Result<Response, NoPage> {
    let Asked(way) = query?;
    Ok(match rules {
        Some(_) => asks(StatusCode::OK, &way.to, None),
        None => Redirect::to(own_path(&way.to)).into_response(),
    })
}

fn asks(status: StatusCode, to: &str, refused: Option<&str>) -> Response {
    let body: Markup = html! {
        h1 { "Sign in" }
        p { "This daemon asks for a token: one that may read shows everything, a full one may also do something." }
        @if let Some(why) = refused { p .cause #refused role="alert" { (why) } }
        form .stack method="post" action=(PATH) {
            input type="hidden" name="to" value=(own_path(to));
            label for="token" { "Token" }
            input #token type="password" name="token" autocomplete="current-password" required autofocus
                aria-describedby=[refused.map(|_| "refused")];
            button { "Sign in" }
        }
        p .muted { "The tokens stand in the files that " code { "[http] tokens" } " names." }
    };
    shell::bare(status, "Sign in", &body)
}

pub(super) async fn sign_in(request: Request) -> Result<Response, NoPage> {
    let rules = request.extensions().get::<Arc<Rules>>().cloned();
    let from = request.extensions().get::<Peer>().and_then(Peer::address);
    let headers = request.headers().clone();
    let Filled { token, to } = filled_in(request, &()).await?;
    let Some(rules) = rules else { return Ok(Redirect::to(own_path(&to)).into_response()) };
    let until = clock::now() + Duration::from_std(session::LASTS).unwrap_or_default();
    let Some(proof) = rules.sign_in(token.trim().as_bytes(), until) else {
        if let Some(held_back) = REFUSED.now() {
            tracing::warn!(from = from.map(tracing::field::display), path = PATH, held_back, "token refused");
        }
        return Ok(asks(StatusCode::UNAUTHORIZED, &to, Some("This token is not known.")));
    };
    let cookie = session::cookie(&headers, &proof, session::LASTS.as_secs());
    Ok(with_cookie(Redirect::to(own_path(&to)), &cookie))
}

pub(super) async fn sign_out(headers: HeaderMap) -> Response {
    with_cookie(Redirect::to(PATH), &session::cookie(&headers, "", 0))
}

fn with_cookie(to: Redirect, cookie: &str) -> Response {
    let mut response = to.into_response();
    // A proof is made of plain characters.
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_leads_nowhere_else() {
        for own in ["/", "/runs/nightly-1", "/?q=a&page=2", "/jobs/a%2Fb"] {
            assert_eq!(own_path(own), own);
        }
        for foreign in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:x",
            "/\t/evil.example",
            "/\u{b}",
            "/ü",
            "runs",
        ] {
            assert_eq!(own_path(foreign), "/", "{foreign}");
        }
        let asked = lead_to_sign_in("/runs?job=a&status=failed");
        assert_eq!(asked.headers()[header::LOCATION], "/sign-in?to=/runs%3Fjob%3Da%26status%3Dfailed");
    }
}
