//! Notices on their way to people: what a notice says, the channels, and what each of them is sent.
//!
//! Everything here is a value made of values: `text.rs` has the words, `channel.rs` what the configuration says of a channel, and the
//! others write the request that a notice becomes. Nobody here calls, waits or remembers; `daemon/notices.rs` does.

mod channel;
mod ping;
mod slack;
mod sns;
#[cfg(test)]
mod tests;
mod text;
mod webhook;

use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};

pub use self::channel::{Address, Channel, Format, Heartbeat, Outlets, Ping, Secret, Style, Topic, Webhook, kind_of};
pub use self::sns::TopicMessage;
pub use self::text::{SUBJECT_MAX, TEXT_MAX, VERSION, for_chat, json, subject, text};
use crate::engine::notice::Notice;
use crate::outbound::{self, Outgoing, Reply};

/// What a notice becomes on a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sendable {
    /// One HTTP request.
    Call(Wire),
    /// A message of a topic.
    Publish(TopicMessage),
    /// This channel has no word for it.
    Nothing,
}

/// What a notice becomes on a channel, sent at this instant.
pub fn sendable(channel: &Channel, notice: &Notice, now: DateTime<Utc>) -> Sendable {
    match channel {
        Channel::Topic(topic) => Sendable::Publish(sns::message(topic, notice)),
        Channel::Webhook(webhook) => Sendable::Call(webhook::wire(webhook, notice, now)),
        Channel::Ping(ping) => ping::wire(ping, &notice.facts).map_or(Sendable::Nothing, Sendable::Call),
    }
}

/// Whether the other side took what it was sent.
///
/// # Errors
/// It did not, and what it answered; a body may echo a secret, so nothing of it is told.
pub fn taken(channel: &Channel, reply: &Reply) -> Result<(), String> {
    match (reply.status, channel) {
        (200..=299, Channel::Ping(ping)) if ping::is_refusal(ping.style, &reply.body) => {
            Err(format!("{} answered that it has no such check", ping.address.origin()))
        }
        (200..=299, _) => Ok(()),
        (status, channel) => {
            let redirect = if (300..=399).contains(&status) { ", a redirect, which is not followed" } else { "" };
            Err(format!("{} answered HTTP {status}{redirect}", channel.shown()))
        }
    }
}

/// One HTTP request. All of it may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Wire {
    pub(super) method: &'static str,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Wire {
    /// The ping of a heartbeat.
    pub fn heartbeat(heartbeat: &Heartbeat) -> Wire {
        let url = heartbeat.address.reveal().to_owned();
        Wire { method: "GET", url, headers: vec![("User-Agent".to_owned(), Wire::user_agent())], body: String::new() }
    }

    /// The request with its headers, as it is called.
    pub fn outgoing<'w>(&'w self, headers: &'w [(&'w str, &'w str)]) -> Outgoing<'w> {
        Outgoing { method: self.method, url: &self.url, headers, body: &self.body }
    }

    /// Its headers, borrowed.
    pub fn headers(&self) -> Vec<(&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    fn user_agent() -> String {
        format!("tenacron/{}", env!("CARGO_PKG_VERSION"))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/…", self.method, outbound::origin(&self.url))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
