//! A notice as a ping: a start, an end, and how it ended, to a service that raises the alarm when none comes.
//!
//! healthchecks.io takes them at addresses below that of the check, `/start`, `/fail` and the exit code, Cronitor as `state`
//! and `status_code`. Both can pair a start with its end: by `rid`, a UUID that is made of the run, and by `series`. An
//! instant that was left out by a rule is no failure: it goes into the log of the check where there is one. A run that found
//! nothing to do is a success to both, for it came to its end. Sources: healthchecks.io documentation, "Pinging API";
//! Cronitor documentation, "Telemetry API".

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::channel::{Ping, Style};
use super::{Wire, subject, text};
use crate::engine::notice::{NoticeFacts, On};

/// What healthchecks.io says, with status 200, of a check that it does not have.
const NOT_FOUND: &[u8] = b"(not found)";

/// What a notice is to a watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Start,
    Success,
    Fail,
    /// It happened, and changes nothing.
    Log,
}

fn signal(facts: &NoticeFacts) -> Signal {
    match facts.on {
        On::Started => Signal::Start,
        On::Succeeded | On::Recovered => Signal::Success,
        On::Failed | On::TimedOut | On::Unknown | On::Missed => Signal::Fail,
        On::Skipped if facts.attempt_count > 0 => Signal::Success,
        On::Skipped | On::Retrying => Signal::Log,
    }
}

/// The request for a notice; none if there is nothing to say.
pub(super) fn wire(ping: &Ping, facts: &NoticeFacts) -> Option<Wire> {
    let signal = signal(facts);
    match ping.style {
        Style::Healthchecks => Some(healthchecks(ping, facts, signal)),
        Style::Cronitor => cronitor(ping, facts, signal),
    }
}

/// Whether an answer that looks like a success is none.
pub(super) fn is_refusal(style: Style, body: &[u8]) -> bool {
    style == Style::Healthchecks && body.windows(NOT_FOUND.len()).any(|part| part == NOT_FOUND)
}

fn healthchecks(ping: &Ping, facts: &NoticeFacts, signal: Signal) -> Wire {
    let below = match (signal, facts.on, facts.exit_code) {
        (Signal::Start, ..) => "/start".to_owned(),
        (Signal::Success, ..) => String::new(),
        (Signal::Fail, On::Failed, Some(code @ 1..=255)) => format!("/{code}"),
        (Signal::Fail, ..) => "/fail".to_owned(),
        (Signal::Log, ..) => "/log".to_owned(),
    };
    let (path, query) = parts(ping.address.reveal());
    let rid = run_uuid(facts);
    let url = format!("{}{below}?{query}rid={rid}", path.trim_end_matches('/'));
    let headers = vec![
        ("User-Agent".to_owned(), Wire::user_agent()),
        ("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned()),
    ];
    Wire { method: "POST", url, headers, body: text(facts) }
}

fn cronitor(ping: &Ping, facts: &NoticeFacts, signal: Signal) -> Option<Wire> {
    let state = match signal {
        Signal::Start => "run",
        Signal::Success => "complete",
        Signal::Fail => "fail",
        Signal::Log => return None,
    };
    let (path, query) = parts(ping.address.reveal());
    let mut url = format!(
        "{path}?{query}state={state}&series={}&host={}&message={}",
        encoded(&facts.run.to_string()),
        encoded(facts.instance.as_str()),
        encoded(&subject(facts))
    );
    if let Some(code) = facts.telling_exit_code().filter(|_| signal != Signal::Start) {
        let _infallible = write!(url, "&status_code={code}");
    }
    let headers = vec![("User-Agent".to_owned(), Wire::user_agent())];
    Some(Wire { method: "GET", url, headers, body: String::new() })
}

/// An address before its query, and its query ready for more; what follows a `#` is never sent.
fn parts(url: &str) -> (&str, String) {
    let url = url.split('#').next().unwrap_or_default();
    match url.split_once('?') {
        Some((path, "")) => (path, String::new()),
        Some((path, query)) => (path, format!("{query}&")),
        None => (url, String::new()),
    }
}

/// A UUID of a run, the same for its start and its end.
fn run_uuid(facts: &NoticeFacts) -> uuid::Uuid {
    let hash = Sha256::digest(format!("{}\n{}", facts.instance, facts.run));
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash.iter()).for_each(|(byte, of_hash)| *byte = *of_hash);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Percent-encoded for a query. Source: RFC 3986, section 2.3.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
