//! `[[defaults.notify]]` and `[[jobs.NAME.notify]]`: what is told to whom; and `[heartbeat]`.
//!
//! An entry is a rule and its channel. The rule goes with the job and is frozen with each firing; the channel, with its address
//! and its secrets, stays in the configuration, where a reload replaces it also for what waits. Secrets stand in the file, come
//! from the environment, or from a file of their own, such as a credential of systemd. None of them is ever quoted.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::notice::{ChannelId, NotifyRule, On, Repeat};
use crate::notify::{Address, Channel, Format, Heartbeat, Ping, Secret, Style, Topic, Webhook};

use super::reader::{At, Field, Table, Value};
use super::report::{Note, Place, Report, listed, shown};

/// What is told if an entry does not say: what a person should look at, and that it is well again.
const ON_PRESET: [On; 5] = [On::Failed, On::TimedOut, On::Missed, On::Unknown, On::Recovered];
/// The largest file with a secret, in bytes; systemd's limit for a credential is far beyond what a header can hold.
const SECRET_FILE_MAX: u64 = 64 << 10;
/// The keys of which each names a channel.
const KINDS: [&str; 5] = ["sns", "webhook", "webhook_file", "ping", "ping_file"];
/// The keys whose values are no secrets.
const SHOWN: [&str; 11] = [
    "on",
    "repeat",
    "sns",
    "format",
    "style",
    "webhook_file",
    "ping_file",
    "secret_file",
    "header_files",
    "url_file",
    "interval",
];
const HEARTBEAT_PRESET: Duration = Duration::from_secs(60);
const HEARTBEAT_MIN: Duration = Duration::from_secs(10);

/// The `notify` of a job, or of `[defaults]`.
#[derive(Debug)]
pub(super) struct Notify {
    pub(super) rules: Arc<[NotifyRule]>,
    channels: Vec<At<Arc<Channel>>>,
}

/// Every channel of all files, with the place that named it first.
#[derive(Debug, Default)]
pub(super) struct Channels(RefCell<BTreeMap<ChannelId, At<Arc<Channel>>>>);

impl Channels {
    /// Takes in those of a job or of `[defaults]`. An address has one way of being called.
    pub(super) fn add(&self, report: &Report, notify: &Field<Arc<Notify>>) {
        for channel in notify.valid().into_iter().flat_map(|at| &at.value.channels) {
            let id = channel.value.id();
            let known = self.0.borrow().get(&id).cloned();
            match known {
                None => drop(self.0.borrow_mut().insert(id, channel.clone())),
                Some(known) if known.value == channel.value => {}
                Some(known) => {
                    let message = "notify: this address has other headers or another secret elsewhere, and a notice that \
                                   waits knows its channel by the address alone";
                    let help = "write the same for both; or tell them apart by something behind a `#` in the address, \
                                which is not sent";
                    let note = Note::error("conflicting-channel", channel.place, message).help(help.to_owned());
                    report.add(note.also(Some(known.place), "first written here"));
                }
            }
        }
    }

    pub(super) fn into_inner(self) -> BTreeMap<ChannelId, Arc<Channel>> {
        self.0.into_inner().into_iter().map(|(id, at)| (id, at.value)).collect()
    }
}

/// Reads a list of entries.
pub(super) fn rules(value: &Value<'_>) -> Option<Arc<Notify>> {
    value.conceal(&SHOWN);
    let read = value.list(|item| Some((item.table(entry)?, item.place)))?;
    let rules = read.iter().map(|((rule, _), _)| rule.clone()).collect();
    let channels = read.into_iter().map(|((_, channel), place)| At { value: Arc::new(channel), place });
    Some(Arc::new(Notify { rules, channels: channels.collect() }))
}

fn entry(table: &Table<'_>) -> Option<(NotifyRule, Channel)> {
    let on = table.get("on", on);
    let repeat = table.get("repeat", |value| value.word(&[("every", Repeat::Every), ("first", Repeat::First)]));
    let topic = table.get("sns", topic);
    let [webhook, webhook_file] = addresses(table, "webhook", "webhook_file");
    let [ping, ping_file] = addresses(table, "ping", "ping_file");
    let details = details(table);
    let style =
        table.get("style", |value| value.word(&[("healthchecks", Style::Healthchecks), ("cronitor", Style::Cronitor)]));
    let named: Vec<&str> = KINDS.into_iter().filter(|key| table.place_of(key).is_some()).collect();
    let kind = one_kind(table, &named)?;
    let is_clear = not_of(table, kind, "webhook", &["format", "secret", "secret_file", "headers", "header_files"])
        & not_of(table, kind, "ping", &["style"])
        & (kind != "ping" || ping_tells_all(table));
    let channel = match kind {
        "webhook" => {
            let address = webhook.or(&webhook_file).optional()??;
            let (format, secret, headers) = details?;
            Channel::Webhook(Webhook { address, format, secret, headers })
        }
        "ping" => {
            let address = ping.or(&ping_file).optional()??;
            Channel::Ping(Ping { style: style.or_default(Style::of(&address))?, address })
        }
        _ => Channel::Topic(topic.optional()??),
    };
    let preset = if kind == "ping" { BTreeSet::from(Ping::ON) } else { BTreeSet::from(ON_PRESET) };
    let rule =
        NotifyRule { on: on.or_default(preset)?, repeat: repeat.or_default(Repeat::Every)?, channel: channel.id() };
    is_clear.then_some((rule, channel))
}

/// The kind of the one channel that an entry names.
fn one_kind(table: &Table<'_>, named: &[&'static str]) -> Option<&'static str> {
    match named {
        [] => {
            let message = format!("{}: says no channel; set one of {}", table.path, listed(KINDS, "or"));
            table.report().add_absence(Note::error("missing-key", table.place, message));
            None
        }
        [one] => Some(one.strip_suffix("_file").unwrap_or(one)),
        [first, .., last] => {
            let message = format!(
                "{}: {} are {} channels, and an entry has one",
                table.path,
                listed(named.iter().copied(), "and"),
                named.len()
            );
            let help = "write an entry for each, [[jobs.NAME.notify]] twice";
            let place = table.place_of(last).unwrap_or(table.place);
            let note = Note::error("several-channels", place, message).help(help.to_owned());
            table.report().add(note.also(table.place_of(first), "the first one"));
            None
        }
    }
}

/// Whether an entry of another kind has none of these keys.
fn not_of(table: &Table<'_>, kind: &str, of: &str, keys: &[&'static str]) -> bool {
    let mut is_clear = true;
    for key in keys.iter().filter(|_| kind != of) {
        let Some(place) = table.place_of(key) else { continue };
        let message = format!("{}: `{key}` is a key of a {of}, and this is {kind}", table.path);
        table.report().add(Note::error("bad-value", place, message));
        is_clear = false;
    }
    is_clear
}

fn ping_tells_all(table: &Table<'_>) -> bool {
    let mut is_clear = true;
    for key in ["on", "repeat"] {
        let Some(place) = table.place_of(key) else { continue };
        let message = format!("{}: a ping tells every start and every end, so it has no `{key}`", table.path);
        table.report().add(Note::error("bad-value", place, message));
        is_clear = false;
    }
    is_clear
}

fn on(value: &Value<'_>) -> Option<BTreeSet<On>> {
    let words: Vec<(&'static str, On)> =
        On::ALL.into_iter().filter(|on| *on != On::Started).map(|on| (on.as_str(), on)).collect();
    let on = value.list(|item| item.word(&words))?;
    if on.is_empty() {
        return value.refuse("bad-value", "names nothing; to be told of nothing write notify = []");
    }
    Some(on.into_iter().collect())
}

fn topic(value: &Value<'_>) -> Option<Topic> {
    const WHAT: &str = "expected the ARN of a topic such as \"arn:aws:sns:eu-central-1:123456789012:nightly\"";
    let text = value.string()?;
    Topic::parse(&text).or_else(|| {
        if text.starts_with("arn:") {
            return value.refuse("bad-value", format!("{WHAT}, found \"{}\"", shown(&text)));
        }
        // It may be an address, which is a secret.
        value.conceal(&[]);
        let help = "the address of a webhook belongs in webhook, that of a check in ping".to_owned();
        value.refuse_with_help("bad-value", WHAT, Some(help))
    })
}

/// An address that is written here, and one that a file holds.
fn addresses(table: &Table<'_>, key: &'static str, of_file: &'static str) -> [Field<Address>; 2] {
    let checked = |value: &Value<'_>, text: &str| match Address::parse(text) {
        Ok(address) => {
            if address.is_readable_on_the_way() {
                let message = "goes out without encryption, so whoever is on the way reads it and learns the address";
                value.warn("plain-http", message, "use https://, or an address of this machine".to_owned());
            }
            Some(address)
        }
        Err(mistake) => value.refuse("bad-value", mistake),
    };
    [
        table.get(key, |value| checked(value, value.secret()?)),
        table.get(of_file, |value| checked(value, &secret_of_file(value)?)),
    ]
}

/// What a webhook has beside its address.
type Details = (Format, Option<Secret>, BTreeMap<String, Secret>);

fn details(table: &Table<'_>) -> Option<Details> {
    let format = table.get("format", |value| value.word(&[("json", Format::Json), ("slack", Format::Slack)]));
    let secret = table.get("secret", |value| value.secret().map(Secret::new));
    let secret_file = table.get("secret_file", |value| Some(Secret::new(&secret_of_file(value)?)));
    let written = table.get("headers", |value| headers(value, |value| value.secret().map(str::to_owned)));
    let of_files = table.get("header_files", |value| headers(value, secret_of_file));
    if let (Some(_), Some(place)) = (table.place_of("secret"), table.place_of("secret_file")) {
        let message = format!("{}: both secret and secret_file; keep one of them", table.path);
        table.report().add(Note::error("bad-value", place, message).also(table.place_of("secret"), "the other one"));
        return None;
    }
    let place = of_files.valid().map_or(table.place, |at| at.place);
    let (mut all, of_files) = (written.or_default(BTreeMap::new())?, of_files.or_default(BTreeMap::new())?);
    let names: BTreeSet<String> = all.keys().chain(of_files.keys()).map(|name| name.to_ascii_lowercase()).collect();
    let count = all.len() + of_files.len();
    all.extend(of_files);
    if names.len() < count {
        table.report().add(Note::error("bad-value", place, format!("{}: a header is there twice", table.path)));
        return None;
    }
    Some((format.or_default(Format::Json)?, secret.or(&secret_file).optional()?, all))
}

fn headers(value: &Value<'_>, read: impl Fn(&Value<'_>) -> Option<String>) -> Option<BTreeMap<String, Secret>> {
    value.names(|table| {
        let mut headers = Some(BTreeMap::new());
        for (place, name, value) in table.entries() {
            let text = read(&value).and_then(|text| {
                let is_header = text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
                if is_header {
                    Some(text)
                } else {
                    value.refuse("bad-value", "holds characters that no header may hold")
                }
            });
            let is_name = is_header_name(table.report(), place, name);
            headers = headers.zip(text.filter(|_| is_name)).map(|(mut all, text)| {
                all.insert(name.to_owned(), Secret::new(&text));
                all
            });
        }
        headers
    })
}

/// Source: RFC 9110, "Tokens".
fn is_header_name(report: &Report, place: Place, name: &str) -> bool {
    let is_token =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    let message = if !is_token {
        // It may be a header with its value, which is a secret.
        report.conceal(place, Some(name));
        "headers: a name holds what the name of a header may not hold".to_owned()
    } else if Webhook::sets(name) {
        format!("headers: `{}` is set by Tenacron", shown(name))
    } else {
        return true;
    };
    report.add(Note::error("bad-value", place, message));
    false
}

/// The secret that a file holds, without the end of its last line.
fn secret_of_file(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let path = value.path_of_file()?;
    match read_secret(&path) {
        Ok(secret) => Some(secret),
        Err(why) if is_path(&text, &path) => value.refuse("unreadable-secret", format!("{} {why}", path.display())),
        Err(why) => {
            // It may be the secret itself.
            value.conceal(&[]);
            let help = "write the path of a file that holds the secret; a relative one is meant from the folder of the \
                        main file";
            value.refuse_with_help("unreadable-secret", format!("the file {why}"), Some(help.to_owned()))
        }
    }
}

/// Whether a text is surely meant as a path: there is such a file, or the folder that it names.
fn is_path(text: &str, path: &Path) -> bool {
    let has_folder =
        text.contains('/') && path.parent().is_some_and(|folder| folder.parent().is_some() && folder.is_dir());
    path.exists() || (has_folder && !text.contains("://"))
}

fn read_secret(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("can't be read: {error}");
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is no regular file".to_owned());
    }
    let mut text = String::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(SECRET_FILE_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > SECRET_FILE_MAX {
        return Err(format!("is larger than {} KiB", SECRET_FILE_MAX >> 10));
    }
    let secret = text.trim_end_matches(['\n', '\r']);
    if secret.trim().is_empty() { Err("is empty".to_owned()) } else { Ok(secret.to_owned()) }
}

/// Reads `[heartbeat]`.
pub(super) fn heartbeat(value: &Value<'_>) -> Option<Heartbeat> {
    value.conceal(&SHOWN);
    value.table(|table| {
        let [url, url_file] = addresses(table, "url", "url_file");
        let interval = table.get("interval", |value| match value.duration()? {
            short if short < HEARTBEAT_MIN => value.refuse("bad-value", "is shorter than 10s"),
            interval => Some(interval),
        });
        let interval = interval.or_default(HEARTBEAT_PRESET);
        match (url.is_absent(), url_file.is_absent()) {
            (true, true) => {
                table.missing("url");
                return None;
            }
            (false, false) => {
                let message = format!("{}: both url and url_file; keep one of them", table.path);
                let place = table.place_of("url_file").unwrap_or(table.place);
                table.report().add(Note::error("bad-value", place, message));
                return None;
            }
            (true, false) | (false, true) => {}
        }
        Some(Heartbeat { address: url.or(&url_file).optional()??, interval: interval? })
    })
}
