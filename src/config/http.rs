//! `[http]`: where HTTP is served, under which names, and which files hold the tokens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::reader::{Table, Value};
use super::report::{Note, shown};

/// How many names a server may have.
const HOSTS_MAX: usize = 100;
/// What begins the name of a systemd credential.
const CREDENTIAL: &str = "credential:";

/// `[http]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where HTTP is served; nowhere if it is not set.
    pub listen: Option<SocketAddr>,
    /// Names under which it is reached beside its addresses, in lower case.
    pub hosts: Vec<String>,
    /// Tokens that may read and do everything.
    pub token_file: Option<TokenFile>,
    /// Tokens that may read.
    pub read_token_file: Option<TokenFile>,
}

impl HttpSettings {
    /// Whether whoever asks needs a token.
    pub fn asks_for_tokens(&self) -> bool {
        self.token_file.is_some() || self.read_token_file.is_some()
    }
}

/// A file that holds tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenFile {
    /// A path.
    Path(PathBuf),
    /// The name of a credential that systemd hands over, below `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// Reads the table; relative paths are meant from `folder`.
pub(super) fn http(table: &Table<'_>, folder: &Path) -> Option<HttpSettings> {
    let listen = table.get("listen", listen);
    let hosts = table.get("hosts", hosts);
    let token_file = table.get("token_file", |value| file_of_tokens(value, folder));
    let read_token_file = table.get("read_token_file", |value| file_of_tokens(value, folder));
    let needs_none = token_file.is_absent() && read_token_file.is_absent();
    let elsewhere = listen.valid().filter(|at| needs_none && !at.value.ip().is_loopback());
    if let Some(at) = elsewhere {
        let message = format!("{}.listen: {} is not loopback, so it needs a token", table.path, at.value);
        let help = "set token_file, read_token_file or both; docs/http.md says what they hold";
        table.report().add(Note::error("no-token", at.place, message).help(help.to_owned()));
        return None;
    }
    if let Some(at) = hosts.valid().filter(|at| needs_none && !at.value.is_empty()) {
        let message = format!("{}.hosts: whoever comes in under these names needs no token", table.path);
        let help = "set token_file or read_token_file if a proxy lets others in";
        table.report().add(Note::warning("open-hosts", at.place, message).help(help.to_owned()));
    }
    Some(HttpSettings {
        listen: listen.optional()?,
        hosts: hosts.optional()?.unwrap_or_default(),
        token_file: token_file.optional()?,
        read_token_file: read_token_file.optional()?,
    })
}

fn listen(value: &Value<'_>) -> Option<SocketAddr> {
    let text = value.text()?;
    match text.parse::<SocketAddr>() {
        Ok(address) => Some(address),
        Err(_) => {
            let message =
                format!("expected an address and a port such as \"127.0.0.1:8474\", found \"{}\"", shown(text));
            value.refuse("bad-value", message)
        }
    }
}

fn hosts(value: &Value<'_>) -> Option<Vec<String>> {
    let hosts = value.list(host)?;
    if hosts.len() > HOSTS_MAX {
        return value.refuse("bad-value", format!("holds {} names; at most {HOSTS_MAX} are accepted", hosts.len()));
    }
    Some(hosts)
}

/// A name as a Host header has it, without a port.
fn host(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let is_label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        plain && (1..=63).contains(&label.len())
    };
    if text.len() <= 253 && text.split('.').all(is_label) {
        return Some(text.to_ascii_lowercase());
    }
    let message = format!(
        "expected a host name without scheme and port, such as \"tenacron.internal\", found \"{}\"",
        shown(text)
    );
    value.refuse("bad-value", message)
}

fn file_of_tokens(value: &Value<'_>, folder: &Path) -> Option<TokenFile> {
    let text = value.string()?;
    match text.strip_prefix(CREDENTIAL) {
        None => Some(TokenFile::Path(folder.join(text))),
        Some(name) if name.is_empty() || name.contains('/') || name.starts_with('.') => {
            let message =
                format!("expected {CREDENTIAL}NAME, the name as LoadCredential= has it, found \"{}\"", shown(&text));
            value.refuse("bad-value", message)
        }
        Some(name) => Some(TokenFile::Credential(name.to_owned())),
    }
}
