//! Who comes in over TCP: requests that name this server, from no foreign page, with a token where tokens are asked for.
//!
//! A browser sends requests for any page that it shows. So the Host header must name this server (a name of an attacker can be
//! made to lead here: DNS rebinding), a page's request must come from this server's own page, and what does something
//! must say that it is JSON, which no form can. Tokens are compared as hashes, in a time that tells nothing of them. The
//! control socket has none of this: the permissions of its file are the authentication.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use axum::Json;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::api::Problem;
use super::peer::Peer;
use super::seldom::Seldom;
use super::{page, session};
use crate::daemon::clock;

/// Answered to everybody, with the details only for whoever may read: load balancers have no token.
const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// Reading.
    Read,
    /// Everything.
    Act,
}

/// Who holds a token that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The name of the token, if it has one.
    pub name: Option<String>,
    /// What it allows.
    pub may: May,
}

#[derive(Debug, PartialEq)]
struct Key {
    hash: [u8; 32],
    holder: Holder,
}

/// The names of this server, and who may come in.
#[derive(Debug, PartialEq)]
pub struct Rules {
    hosts: Vec<String>,
    /// None: nobody needs a token.
    keys: Option<Vec<Key>>,
}

impl Rules {
    /// For whoever asks under an address or one of these names; everybody may come in.
    pub fn open(hosts: Vec<String>) -> Rules {
        Rules { hosts, keys: None }
    }

    /// The same for whoever holds one of these tokens.
    pub fn with_tokens<'t>(hosts: Vec<String>, tokens: impl Iterator<Item = (Holder, &'t str)>) -> Rules {
        let keys = tokens.map(|(holder, secret)| Key { hash: Sha256::digest(secret).into(), holder });
        Rules { hosts, keys: Some(keys.collect()) }
    }

    /// Whose token this is. It takes the same time for all.
    fn holder(&self, secret: &[u8]) -> Option<&Holder> {
        let hash: [u8; 32] = Sha256::digest(secret).into();
        let keys = self.keys.as_deref().unwrap_or_default();
        let same = |key: &&Key| bool::from(key.hash.ct_eq(&hash));
        keys.iter().filter(same).fold(None, |first, key| first.or(Some(&key.holder)))
    }

    /// Proof for a browser that whoever shows this token signed in; none if it is not known.
    pub(super) fn sign_in(&self, secret: &[u8], until: DateTime<Utc>) -> Option<String> {
        self.holder(secret)?;
        Some(session::proof(&Sha256::digest(secret).into(), until))
    }

    /// Who signed in with this proof. It takes the same time for all.
    fn signed_in(&self, shown: &str, now: DateTime<Utc>) -> Option<&Holder> {
        let until = session::until(shown, now)?;
        let keys = self.keys.as_deref().unwrap_or_default();
        let same = |key: &&Key| bool::from(session::proof(&key.hash, until).as_bytes().ct_eq(shown.as_bytes()));
        keys.iter().filter(same).fold(None, |first, key| first.or(Some(&key.holder)))
    }
}

/// The rules of a server that runs. A reload may set others, for the next request.
#[derive(Debug, Clone)]
pub struct Access(Arc<RwLock<Arc<Rules>>>);

impl Access {
    /// Begins with these.
    pub fn new(rules: Rules) -> Access {
        Access(Arc::new(RwLock::new(Arc::new(rules))))
    }

    /// Others from now on.
    pub fn set(&self, rules: Rules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Under which rules a request was let in.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    access: Access,
    rules: Arc<Rules>,
}

impl Admitted {
    /// Whether they are still the rules.
    pub(super) fn holds(&self) -> bool {
        let current = self.access.rules();
        Arc::ptr_eq(&current, &self.rules) || current == self.rules
    }
}

/// What stands before the routes of a TCP listener.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    access: Access,
    is_loopback: bool,
    refusals: Arc<Seldom>,
}

impl Gate {
    pub(super) fn new(access: Access, listens_on: SocketAddr) -> Gate {
        Gate { access, is_loopback: listens_on.ip().is_loopback(), refusals: Arc::default() }
    }

    /// Lets a request through, or answers why not.
    pub(super) async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
        let rules = gate.access.rules();
        if let Some(problem) = other_target(request.uri(), request.headers())
            .or_else(|| refusal(&rules.hosts, gate.is_loopback, request.method(), request.headers()))
        {
            return problem.into_response();
        }
        let path = request.uri().path();
        if rules.keys.is_some() && page::SIGNING.contains(&path) {
            request.extensions_mut().insert::<Arc<Rules>>(rules);
            return pass_on(request, next).await;
        }
        match gate.holder(&rules, &request) {
            Ok(holder) => {
                request.extensions_mut().insert(Admitted { access: gate.access.clone(), rules });
                if let Some(Peer::Port { holder: place, .. }) = request.extensions_mut().get_mut::<Peer>() {
                    *place = holder;
                }
            }
            Err(_) if OPEN_PATHS.contains(&request.uri().path()) && is_reading(request.method()) => {
                return without_details(&next.run(request).await);
            }
            Err(_) if page::is_asset(request.uri().path()) => {}
            Err(refused) => return *refused,
        }
        pass_on(request, next).await
    }

    /// Who asks; nobody where no token is asked for.
    fn holder(&self, rules: &Rules, request: &Request) -> Result<Option<Holder>, Box<Response>> {
        if rules.keys.is_none() {
            return Ok(None);
        }
        let said = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let secret = said.and_then(bearer);
        let mut sessions = session::shown(request.headers()).filter(|_| said.is_none());
        let signed_in = sessions.find_map(|shown| rules.signed_in(shown, clock::now()));
        let Some(holder) = secret.and_then(|secret| rules.holder(secret)).or(signed_in) else {
            let from = request.extensions().get::<Peer>().and_then(Peer::address);
            if let Some(held_back) = said.and_then(|_| self.refusals.now()) {
                let from = from.map(tracing::field::display);
                tracing::warn!(from, path = request.uri().path(), held_back, "token refused");
            }
            let why = if said.is_none() {
                "a token is needed: Authorization: Bearer TOKEN"
            } else {
                "this token is not known"
            };
            if said.is_none() && page::wants_a_page(request.headers()) {
                if !is_reading(request.method()) {
                    return Err(Box::new(page::signed_out()));
                }
                let asked_for = request.uri().path_and_query().map_or("/", |asked_for| asked_for.as_str());
                return Err(Box::new(page::lead_to_sign_in(asked_for)));
            }
            let mut response = Problem(StatusCode::UNAUTHORIZED, why.into()).into_response();
            let challenge = HeaderValue::from_static("Bearer realm=\"tenacron\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            return Err(Box::new(response));
        };
        if holder.may == May::Read && !is_reading(request.method()) {
            let why = "this token may only read";
            return Err(Box::new(Problem(StatusCode::FORBIDDEN, why.into()).into_response()));
        }
        // A browser shows a session to whoever makes it ask: what does something must come from a page of ours, and say so.
        let is_of_our_page = request.headers().contains_key(header::ORIGIN);
        if said.is_none() && !is_reading(request.method()) && !is_of_our_page {
            let why = "a session does something only from its own page; use a token";
            return Err(Box::new(Problem(StatusCode::FORBIDDEN, why.into()).into_response()));
        }
        Ok(Some(holder.clone()))
    }
}

async fn pass_on(request: Request, next: Next) -> Response {
    match foreign_body(request.method(), request.headers()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

/// Also a HEAD: it is a GET without a body.
fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The token of `Bearer TOKEN`. The scheme has no case. Source: RFC 9110, 11.1; RFC 6750, 2.1.
fn bearer(said: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = said.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
}

fn without_details(full: &Response) -> Response {
    (full.status(), Json(json!({ "ok": full.status().is_success() }))).into_response()
}

/// A target that names a server (`GET http://…`) must name the one of the Host header, which is checked. Source: RFC 9112, 3.2.2.
fn other_target(target: &Uri, headers: &HeaderMap) -> Option<Problem> {
    let named = target.authority()?.as_str();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let is_other = host.is_none_or(|host| !named.eq_ignore_ascii_case(host));
    is_other.then(|| Problem::bad_request("the target of the request names another server than its Host header"))
}

/// Why a request is not served, whoever asks.
fn refusal(hosts: &[String], is_loopback: bool, method: &Method, headers: &HeaderMap) -> Option<Problem> {
    let said = |name| headers.get(name).and_then(|said| said.to_str().ok());
    let host = said(header::HOST).unwrap_or_default();
    if headers.get_all(header::HOST).iter().count() != 1 || !names_this_server(host, hosts, is_loopback) {
        return Some(Problem::bad_request("the Host header is not of this server; [http] hosts takes further names"));
    }
    // A browser names the page that a request comes from; only our own may make it.
    let foreign = Some(Problem(StatusCode::FORBIDDEN, "the request comes from a foreign page".into()));
    if headers.contains_key(header::ORIGIN) && !said(header::ORIGIN).is_some_and(|origin| is_own(origin, host, hosts)) {
        return foreign;
    }
    let is_ours = |site| matches!(site, "same-origin" | "none");
    let asks_from_elsewhere =
        said(HeaderName::from_static("sec-fetch-site")).is_some_and(|site| !is_ours(site)) && !is_reading(method);
    // A link may lead here; what a foreign page loads or fetches would only make us work.
    let is_link = said(HeaderName::from_static("sec-fetch-mode")).is_none_or(|mode| mode == "navigate");
    let is_fetched = said(HeaderName::from_static("sec-fetch-site")).is_some_and(|site| !is_ours(site)) && !is_link;
    (asks_from_elsewhere || is_fetched).then_some(()).and(foreign)
}

/// Whether a Host header is an address that leads here, `localhost`, or one of our names. The address is parsed as a whole: a
/// name such as `127.0.0.1.example.com` is somebody else's, and can be made to lead here.
fn names_this_server(host: &str, hosts: &[String], is_loopback: bool) -> bool {
    let Some(name) = name_of(host) else { return false };
    let is_named = hosts.iter().any(|ours| name.eq_ignore_ascii_case(ours));
    let is_local = name.eq_ignore_ascii_case("localhost");
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    is_named || is_local || address.is_ok_and(|address| !is_loopback || address.is_loopback())
}

/// The host of an authority, without user and port.
fn name_of(authority: &str) -> Option<String> {
    let authority: Authority = authority.parse().ok()?;
    (!authority.as_str().contains('@')).then(|| authority.host().to_owned())
}

/// Whether a page of this origin was sent by us: directly, or under one of our names by a proxy that speaks TLS.
fn is_own(origin: &str, host: &str, hosts: &[String]) -> bool {
    let by_proxy = name_of(host).is_some_and(|name| hosts.iter().any(|ours| name.eq_ignore_ascii_case(ours)));
    let is = |scheme: &str| origin.strip_prefix(scheme).is_some_and(|rest| rest.eq_ignore_ascii_case(host));
    is("http://") || (by_proxy && is("https://"))
}

/// A body that does something must be JSON: that is what no form of a foreign page can send unasked. A form of our own page is
/// known by its origin, which [`refusal`] has looked at.
fn foreign_body(method: &Method, headers: &HeaderMap) -> Option<Problem> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let is_empty = length.is_none_or(|length| length == "0") && !headers.contains_key(header::TRANSFER_ENCODING);
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let is_json = kind.eq_ignore_ascii_case("application/json");
    let is_our_form =
        kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") && headers.contains_key(header::ORIGIN);
    let message = "the body must be JSON: Content-Type: application/json";
    (!is_reading(method) && !is_empty && !is_json && !is_our_form)
        .then(|| Problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, message.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn refused(pairs: &[(&'static str, &str)], hosts: &[&str], method: &Method) -> Option<StatusCode> {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        refusal(&hosts, true, method, &headers(pairs)).map(|problem| problem.0)
    }

    #[test]
    fn a_page_of_elsewhere_can_do_nothing_here() {
        let host = ("host", "127.0.0.1:8474");
        assert_eq!(refused(&[host], &[], &Method::POST), None, "a client that is no browser");
        assert_eq!(refused(&[host, ("origin", "http://127.0.0.1:8474")], &[], &Method::POST), None);
        for foreign in ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:8474"] {
            let refused = refused(&[host, ("origin", foreign)], &[], &Method::GET);
            assert_eq!(refused, Some(StatusCode::FORBIDDEN), "{foreign}");
        }
        for site in ["cross-site", "same-site"] {
            let pairs = [host, ("sec-fetch-site", site)];
            assert_eq!(refused(&pairs, &[], &Method::POST), Some(StatusCode::FORBIDDEN), "{site}");
            assert_eq!(refused(&pairs, &[], &Method::GET), None, "a link may lead here");
            let by = |mode| refused(&[pairs[0], pairs[1], ("sec-fetch-mode", mode)], &[], &Method::GET);
            assert_eq!((by("navigate"), by("no-cors")), (None, Some(StatusCode::FORBIDDEN)), "but no image, no script");
        }
        for site in ["same-origin", "none"] {
            assert_eq!(refused(&[host, ("sec-fetch-site", site)], &[], &Method::POST), None, "{site}");
        }
    }

    #[test]
    fn a_proxy_that_speaks_tls_has_pages_of_its_own_name() {
        let (host, names) = (("host", "cron.example"), ["cron.example"]);
        assert_eq!(refused(&[host, ("origin", "https://cron.example")], &names, &Method::POST), None);
        for foreign in ["https://cron.example:8443", "https://evil.example", "ftp://cron.example"] {
            let refused = refused(&[host, ("origin", foreign)], &names, &Method::POST);
            assert_eq!(refused, Some(StatusCode::FORBIDDEN), "{foreign}");
        }
    }

    #[test]
    fn only_hosts_of_this_server_are_served() {
        let names = |host: &str, is_loopback| names_this_server(host, &["cron.example".to_owned()], is_loopback);
        let near = [
            "127.0.0.1:8474",
            "127.0.0.1",
            "127.1.2.3:1",
            "localhost:8474",
            "LOCALHOST",
            "[::1]:8474",
            "Cron.Example:80",
        ];
        for ours in near {
            assert!(names(ours, true) && names(ours, false), "{ours}");
        }
        for address in ["192.0.2.1:8474", "[2001:db8::1]:8474"] {
            assert!(!names(address, true) && names(address, false), "{address}");
        }
        for foreign in [
            "",
            "rebound.example:8474",
            "127.0.0.1.rebound.example:8474",
            "127.rebound.example",
            "localhost.rebound.example",
            "localhost@rebound.example",
            "rebound@localhost",
            "x.cron.example",
        ] {
            assert!(!names(foreign, true) && !names(foreign, false), "{foreign}");
        }
        let twice = [("host", "127.0.0.1"), ("host", "127.0.0.1")];
        assert_eq!(refused(&twice, &[], &Method::GET), Some(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn a_target_names_the_server_that_the_host_header_names() {
        let refused = |target: &str, host: &str| {
            other_target(&target.parse().unwrap(), &headers(&[("host", host)])).map(|problem| problem.0)
        };
        for target in ["/api/v1/jobs", "http://127.0.0.1:8474/api/v1/jobs", "HTTP://127.0.0.1:8474"] {
            assert_eq!(refused(target, "127.0.0.1:8474"), None, "{target}");
        }
        assert_eq!(refused("http://Cron.example/x", "cron.example"), None);
        for target in ["http://evil.example/x", "http://127.0.0.1/x", "http://a@127.0.0.1:8474/x", "127.0.0.1:22"] {
            assert_eq!(refused(target, "127.0.0.1:8474"), Some(StatusCode::BAD_REQUEST), "{target}");
        }
        let without_a_host = other_target(&"http://127.0.0.1/x".parse().unwrap(), &HeaderMap::new());
        assert!(without_a_host.is_some());
    }

    #[test]
    fn what_a_form_can_send_is_no_body_that_does_something() {
        let refused = |method: Method, pairs: &[(&'static str, &str)]| {
            foreign_body(&method, &headers(pairs)).map(|problem| problem.0.as_u16())
        };
        for kind in
            ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json", ""]
        {
            assert_eq!(refused(Method::POST, &[("content-length", "2"), ("content-type", kind)]), Some(415), "{kind}");
            assert_eq!(refused(Method::POST, &[("transfer-encoding", "chunked"), ("content-type", kind)]), Some(415));
        }
        for kind in ["application/json", "Application/JSON; charset=utf-8"] {
            assert_eq!(refused(Method::POST, &[("content-length", "2"), ("content-type", kind)]), None, "{kind}");
        }
        assert_eq!(refused(Method::POST, &[("content-length", "0")]), None);
        assert_eq!(refused(Method::POST, &[]), None);
        let form = [("content-length", "2"), ("content-type", "application/x-www-form-urlencoded")];
        let of_a_page = [form[0], form[1], ("origin", "http://127.0.0.1:8474")];
        assert_eq!(refused(Method::POST, &of_a_page), None, "a foreign origin was refused before");
    }

    #[test]
    fn a_session_is_known_by_its_token_and_ends_with_it() {
        let holder = Holder { name: Some("ops".to_owned()), may: May::Act };
        let rules = |token| Rules::with_tokens(Vec::new(), [(holder.clone(), token)].into_iter());
        let now = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
        let until = now + session::LASTS;
        let before = rules("token-of-ops-1");
        assert_eq!(before.sign_in(b"token-of-ops-2", until), None);
        let proof = before.sign_in(b"token-of-ops-1", until).unwrap();
        assert_eq!(before.signed_in(&proof, now), Some(&holder));
        assert_eq!(before.signed_in(&proof, until), None, "it is over");
        assert_eq!(rules("token-of-ops-2").signed_in(&proof, now), None, "another token was set");
        let (_, code) = proof.split_once('-').unwrap();
        let longer = format!("{}-{code}", (until - chrono::TimeDelta::seconds(1)).timestamp());
        assert_eq!(before.signed_in(&longer, now), None, "another time needs another proof");
        assert!(!proof.contains("token-of-ops"));
    }

    #[test]
    fn a_token_is_known_whole_or_not_at_all() {
        let holder = |name: Option<&str>, may| Holder { name: name.map(str::to_owned), may };
        let tokens =
            [(holder(Some("ci"), May::Act), "full-token-of-ci"), (holder(None, May::Read), "token-of-readers")];
        let rules = Rules::with_tokens(Vec::new(), tokens.iter().map(|(holder, secret)| (holder.clone(), *secret)));
        for (holder, secret) in &tokens {
            assert_eq!(rules.holder(secret.as_bytes()), Some(holder));
        }
        for wrong in ["", "full-token-of-c", "full-token-of-ci ", "full-token-of-cI", "token-of-readers\0"] {
            assert_eq!(rules.holder(wrong.as_bytes()), None, "{wrong}");
        }
        assert!(!format!("{rules:?}").contains("token-of"), "only hashes are kept");
        assert_eq!(bearer(b"bearer  abc "), Some(b"abc".as_slice()));
        assert_eq!([bearer(b"Basic abc"), bearer(b"Bearer"), bearer(b"")], [None; 3]);
    }
}
