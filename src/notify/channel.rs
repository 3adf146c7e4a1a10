//! Channels as the configuration describes them: kind, address, secrets.
//!
//! Nothing of this is stored or shown. A notice holds the [`ChannelId`] alone, in which an address stands as a hash, for the
//! address of a webhook or a ping is most often its only key. Two entries with one id are one channel, so the secrets that go
//! with an address are not part of it: one that is renewed still delivers what has waited.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::hex;
use crate::engine::notice::{ChannelId, On};
use crate::outbound;

/// Headers that are ours, or the connection's.
const RESERVED_HEADERS: [&str; 8] =
    ["host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "te", "expect"];
const OWN_HEADERS: &str = "tenacron-";
/// How many bytes of the hash of an address stand in the name of its channel.
const HASHED: usize = 5;

/// A text that no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Hides a text.
    pub fn new(text: &str) -> Secret {
        Secret(text.into())
    }

    /// The text, for a request.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A URL of which only scheme and host are shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Arc<str>);

impl Address {
    /// Checks a URL.
    ///
    /// # Errors
    /// It is none that can be called, and why; the words hold nothing of it.
    pub fn parse(text: &str) -> Result<Address, &'static str> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let Some(rest) = rest else { return Err("does not begin with https:// or http://") };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err("holds a user or a password; send them as a header of a webhook, or not at all");
        }
        let called = text.split('#').next().unwrap_or_default();
        let is_uri = called.parse::<hyper::Uri>().is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()))
            && authority.rsplit_once(':').is_none_or(|(_, port)| port.ends_with(']') || port.parse::<u16>().is_ok());
        if !is_uri || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("is no URL");
        }
        Ok(Address(text.into()))
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        outbound::origin(&self.0)
    }

    /// The host, without port.
    pub fn host(&self) -> &str {
        let authority = self.origin().split_once("://").map_or("", |(_, rest)| rest);
        match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((bracketed, _port)) => bracketed,
            None => authority.split(':').next().unwrap_or_default(),
        }
    }

    /// Whether what is sent there can be read on the way: without TLS, and not on this machine.
    pub fn is_readable_on_the_way(&self) -> bool {
        let host = self.host();
        let is_here = host.parse::<IpAddr>().map_or_else(
            |_name| host.eq_ignore_ascii_case("localhost") || host.ends_with(".localhost"),
            |address| address.is_loopback(),
        );
        self.0.starts_with("http://") && !is_here
    }

    /// All of it, for a request.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/…", self.origin())
    }
}

/// Where notices go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// A topic of Amazon SNS.
    Topic(Topic),
    /// A POST for each notice.
    Webhook(Webhook),
    /// A service that watches for jobs that do not report.
    Ping(Ping),
}

impl Channel {
    /// Its name.
    pub fn id(&self) -> ChannelId {
        match self {
            Channel::Topic(topic) => ChannelId(Arc::clone(&topic.arn)),
            Channel::Webhook(webhook) => hashed("webhook", &webhook.address, webhook.format.as_str()),
            Channel::Ping(ping) => hashed("ping", &ping.address, ping.style.as_str()),
        }
    }

    /// What a message may say of where it is.
    pub fn shown(&self) -> &str {
        match self {
            Channel::Topic(topic) => &topic.arn,
            Channel::Webhook(webhook) => webhook.address.origin(),
            Channel::Ping(ping) => ping.address.origin(),
        }
    }

    /// What kind it is, as the configuration names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Channel::Topic(_) => "sns",
            Channel::Webhook(_) => "webhook",
            Channel::Ping(_) => "ping",
        }
    }
}

/// The kind of the channel that has this name.
pub fn kind_of(id: &ChannelId) -> &'static str {
    ["webhook", "ping"].into_iter().find(|kind| id.0.starts_with(&format!("{kind}:"))).unwrap_or("sns")
}

fn hashed(kind: &str, address: &Address, way: &str) -> ChannelId {
    let hash = Sha256::digest(format!("{}\n{way}", address.reveal()));
    let hashed = hex(hash.get(..HASHED).unwrap_or_default());
    ChannelId(format!("{kind}:{}:{hashed}", address.host()).into())
}

/// An SNS topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its ARN.
    pub arn: Arc<str>,
    /// The region that the ARN names.
    pub region: String,
}

impl Topic {
    /// The topic of an ARN; none if it is the ARN of no topic. Source: Amazon SNS API reference, CreateTopic, `Name`.
    pub fn parse(arn: &str) -> Option<Topic> {
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", partition, "sns", region, account, name] = parts[..] else { return None };
        let is_made_of = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        let is_name = is_made_of(name.strip_suffix(".fifo").unwrap_or(name), "-_") && name.len() <= 256;
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_right = partition.starts_with("aws") && is_made_of(region, "-") && is_account && is_name;
        is_right.then(|| Topic { arn: arn.into(), region: region.to_owned() })
    }

    /// Whether its messages keep their order, for which each needs a group.
    pub fn is_fifo(&self) -> bool {
        self.arn.ends_with(".fifo")
    }
}

/// An address that is sent a POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Where.
    pub address: Address,
    /// What is sent.
    pub format: Format,
    /// The key of the signature; none if there is none.
    pub secret: Option<Secret>,
    /// Further headers.
    pub headers: BTreeMap<String, Secret>,
}

impl Webhook {
    /// Whether a header of this name is ours to set, or the connection's.
    pub fn sets(name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        RESERVED_HEADERS.contains(&name.as_str()) || name.starts_with(OWN_HEADERS)
    }
}

/// What a webhook is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// The notice as an object.
    #[default]
    Json,
    /// One message, as Slack takes it, and Mattermost, and Discord under `/slack`.
    Slack,
}

impl Format {
    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Slack => "slack",
        }
    }
}

/// The address of one check of such a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// Where.
    pub address: Address,
    /// In whose way.
    pub style: Style,
}

impl Ping {
    /// What a ping is about: a start, and every end.
    pub const ON: [On; 7] =
        [On::Started, On::Succeeded, On::Failed, On::TimedOut, On::Unknown, On::Missed, On::Skipped];
}

/// Whose way of pinging it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// healthchecks.io and what copies it.
    Healthchecks,
    /// Cronitor.
    Cronitor,
}

impl Style {
    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Style::Healthchecks => "healthchecks",
            Style::Cronitor => "cronitor",
        }
    }

    /// What an address most likely means.
    pub fn of(address: &Address) -> Style {
        let host = address.host().to_ascii_lowercase();
        let is_cronitor = |of: &str| host == of || host.ends_with(&format!(".{of}"));
        if ["cronitor.link", "cronitor.io"].into_iter().any(is_cronitor) {
            Style::Cronitor
        } else {
            Style::Healthchecks
        }
    }
}

/// What is pinged while the daemon itself is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Where.
    pub address: Address,
    /// How often.
    pub interval: Duration,
}

/// All that a configuration says of calling out to people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlets {
    /// The channels, by name.
    pub channels: BTreeMap<ChannelId, Arc<Channel>>,
    /// The heartbeat of the daemon.
    pub heartbeat: Option<Heartbeat>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(url: &str, format: Format, secret: Option<&str>) -> Channel {
        let secret = secret.map(Secret::new);
        Channel::Webhook(Webhook { address: Address::parse(url).unwrap(), format, secret, headers: BTreeMap::new() })
    }

    #[test]
    fn names_of_channels_tell_them_apart_and_nothing_of_their_keys() {
        let url = "https://hooks.slack.com/services/T0/B0/s3cr3t";
        let id = |channel: Channel| channel.id().to_string();
        let named = id(webhook(url, Format::Json, None));
        assert!(named.starts_with("webhook:hooks.slack.com:") && named.len() == 24 + 10, "{named}");
        assert!(!named.contains("s3cr3t"));
        assert_eq!(named, id(webhook(url, Format::Json, Some("renewed"))), "what waited goes out with the new key");
        assert_ne!(named, id(webhook(url, Format::Slack, None)));
        assert_ne!(named, id(webhook(&format!("{url}#other"), Format::Json, None)));
        let ping =
            |style| id(Channel::Ping(Ping { address: Address::parse("https://hc-ping.com/0-1").unwrap(), style }));
        assert!(ping(Style::Healthchecks).starts_with("ping:hc-ping.com:"));
        assert_ne!(ping(Style::Healthchecks), ping(Style::Cronitor));
        for channel in [webhook(url, Format::Json, None), Channel::Topic(Topic::parse(TOPIC).unwrap())] {
            assert_eq!(kind_of(&channel.id()), channel.kind());
        }
    }

    const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:nightly";

    #[test]
    fn nothing_that_is_secret_is_printed() {
        let mut channel = webhook("https://example.com/s3cr3t?key=w0rd", Format::Json, Some("hmac-k3y"));
        if let Channel::Webhook(webhook) = &mut channel {
            webhook.headers.insert("Authorization".into(), Secret::new("Bearer t0ken"));
        }
        let shown = format!("{channel:?}");
        for secret in ["s3cr3t", "w0rd", "hmac-k3y", "t0ken"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("https://example.com/…") && shown.contains("Authorization"), "{shown}");
    }

    #[test]
    fn addresses_are_urls_without_a_user() {
        for good in
            ["https://example.com", "http://127.0.0.1:8080/x?y=z", "https://[::1]/", "https://a.example/%7B#ops"]
        {
            assert_eq!(Address::parse(good).map(|address| address.reveal().to_owned()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "example.com",
            "ftp://x/",
            "https://",
            "https:///x",
            "https://a b/",
            "https://ä.example/",
            "http://h:x/",
        ] {
            let refused = Address::parse(bad).unwrap_err();
            assert!(refused == "is no URL" || refused.starts_with("does not begin"), "{bad}: {refused}");
        }
        let refused = Address::parse("https://me:s3cr3t@example.com/").unwrap_err();
        assert!(refused.starts_with("holds a user") && !refused.contains("s3cr3t"));
    }

    #[test]
    fn only_tls_and_this_machine_keep_a_notice_from_being_read() {
        let readable = |url: &str| Address::parse(url).unwrap().is_readable_on_the_way();
        for kept in ["https://example.com/", "http://127.0.0.1:1/", "http://[::1]/", "http://localhost/x"] {
            assert!(!readable(kept), "{kept}");
        }
        for open in ["http://example.com/", "http://10.0.0.1/", "http://localhost.example.com/"] {
            assert!(readable(open), "{open}");
        }
    }

    #[test]
    fn topics_are_told_from_other_arns() {
        assert_eq!(Topic::parse(TOPIC).unwrap().region, "eu-central-1");
        assert!(Topic::parse(&format!("{TOPIC}.fifo")).unwrap().is_fifo());
        assert!(Topic::parse("arn:aws-cn:sns:cn-north-1:123456789012:x_1").is_some());
        for bad in [
            "nightly",
            "arn:aws:sqs:eu-central-1:123456789012:nightly",
            "arn:aws:sns::123456789012:nightly",
            "arn:aws:sns:eu-central-1:1234:nightly",
            "arn:aws:sns:eu-central-1:123456789012:",
            "arn:aws:sns:eu-central-1:123456789012:a b",
            "arn:aws:sns:eu-central-1:123456789012:nightly:0f0a-subscription",
        ] {
            assert_eq!(Topic::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_style_follows_from_the_host() {
        let style = |url: &str| Style::of(&Address::parse(url).unwrap());
        assert_eq!(style("https://cronitor.link/p/key/job"), Style::Cronitor);
        assert_eq!(style("https://hc-ping.com/uuid"), Style::Healthchecks);
        assert_eq!(style("https://checks.example.com/ping/uuid"), Style::Healthchecks);
        assert_eq!(style("https://notcronitor.link/"), Style::Healthchecks);
    }
}
