//! A daemon at a URL: `--url` with the token of `--token-file` or `TENACRON_TOKEN`.
//!
//! A token over plain HTTP is read by whoever is on the way. So that is refused but for this machine, unless whoever asks says
//! that the way is safe. TLS ends at a proxy before the daemon, and the certificates are those that this system trusts.

use std::net::IpAddr;
use std::path::PathBuf;

use hyper::body::Bytes;
use hyper::{StatusCode, Uri};

use super::client::{ANSWER_WITHIN, Ask, BODY_MAX};
use super::exit::{Exit, Failed};
use crate::config;
use crate::observe;
use crate::outbound::{Caller, Outgoing};

/// The variable that holds a token. It is no default of a flag, because help shows those.
const TOKEN_VARIABLE: &str = "TENACRON_TOKEN";

/// Where a daemon is, and how it is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Address {
    /// The daemon's URL, instead of its control socket
    #[arg(long, global = true, env = "TENACRON_URL", hide_env_values = true, value_name = "URL")]
    url: Option<String>,
    /// The file whose first token is shown to --url; else the token in TENACRON_TOKEN is
    #[arg(long, global = true, env = "TENACRON_TOKEN_FILE", value_name = "PATH")]
    token_file: Option<PathBuf>,
    /// Show a token to an http:// URL of another machine, where nobody listens on the way
    #[arg(long, global = true)]
    insecure: bool,
}

/// A daemon at a URL.
pub(super) struct Remote {
    /// Without a slash at its end.
    base: String,
    /// The value of the header.
    authorization: Option<String>,
    caller: Caller,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Remote {
    /// The daemon that was named; none if none was.
    ///
    /// # Errors
    /// The URL or the token can't be used.
    pub(super) fn of(arguments: &Address) -> Result<Option<Remote>, Failed> {
        let variable = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        Remote::with(arguments, variable)
    }

    fn with(arguments: &Address, variable: Option<String>) -> Result<Option<Remote>, Failed> {
        let Some(url) = arguments.url.as_deref().filter(|url| !url.is_empty()) else { return Ok(None) };
        let usage = |message: String| Failed::new(Exit::Usage, message);
        let (base, is_safe) = read(url).map_err(|mistake| usage(format!("--url: {mistake}")))?;
        let token = match &arguments.token_file {
            Some(path) => {
                let token = config::client_token(path).map_err(|mistake| usage(format!("--token-file: {mistake}")))?;
                Some(token.secret().to_owned())
            }
            None => variable.map(|token| token.trim().to_owned()),
        };
        if token.is_some() && !is_safe && !arguments.insecure {
            let message = format!(
                "{base} is plain HTTP to another machine, and whoever is on the way could read the token: take https://, or say \
                 --insecure where the way is safe"
            );
            return Err(usage(message));
        }
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(usage(format!("{TOKEN_VARIABLE} holds what no token holds: it is one word of ASCII")));
        }
        let authorization = token.map(|token| format!("Bearer {token}"));
        Ok(Some(Remote { base, authorization, caller: Caller::default() }))
    }

    /// Its URL.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) async fn ask(&self, ask: Ask<'_>) -> Result<(StatusCode, Bytes), Failed> {
        let url = format!("{}{}", self.base, ask.path);
        let mut headers = Vec::new();
        headers.extend(self.authorization.as_deref().map(|value| ("Authorization", value)));
        headers.extend(ask.body.as_ref().map(|_| ("Content-Type", "application/json")));
        let body = ask.body.as_deref().unwrap_or_default();
        let outgoing = Outgoing { method: ask.method, url: &url, headers: &headers, body };
        let reply = self.caller.call_for(outgoing, ANSWER_WITHIN, BODY_MAX).await;
        let reply = reply.map_err(|error| Failed::new(Exit::NoDaemon, observe::chain(&error)))?;
        let status = StatusCode::from_u16(reply.status)
            .map_err(|error| Failed::new(Exit::Failed, format!("failed to read the answer: {error}")))?;
        if status.is_redirection() {
            let message = format!("{} leads elsewhere ({status}), and a token is not taken there", self.base);
            return Err(Failed::new(Exit::Failed, message));
        }
        Ok((status, reply.body.into()))
    }
}

/// A URL without the slash at its end, and whether a token may be sent there.
fn read(url: &str) -> Result<(String, bool), String> {
    const FORM: &str = "expected a URL such as https://tenacron.example.com or http://127.0.0.1:8474";
    if url.contains('@') {
        // Not shown: it holds a password.
        return Err("holds a user or a password; take --token-file".to_owned());
    }
    let is_plain = !url.contains(['?', '#']) && !url.contains(char::is_whitespace);
    let parsed: Option<Uri> = url.parse().ok().filter(|_| is_plain);
    let parts = parsed.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.host()?)));
    let Some((scheme @ ("http" | "https"), host)) = parts else { return Err(format!("{FORM}, found {url}")) };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_near = host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback());
    Ok((url.trim_end_matches('/').to_owned(), scheme == "https" || is_near))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(url: &str, token: Option<&str>, insecure: bool) -> Result<Remote, String> {
        let arguments = Address { url: Some(url.to_owned()), token_file: None, insecure };
        let remote = Remote::with(&arguments, token.map(str::to_owned)).map_err(|failed| failed.message)?;
        Ok(remote.expect("a URL was given"))
    }

    #[test]
    fn a_token_is_not_sent_in_the_clear_to_another_machine() {
        let token = Some("a-token-for-tests");
        for safe in ["https://cron.example", "http://127.0.0.1:8474", "http://localhost:1/", "http://[::1]:8474"] {
            let remote = remote(safe, token, false).unwrap();
            assert_eq!(remote.authorization.as_deref(), Some("Bearer a-token-for-tests"));
            assert!(!remote.base.ends_with('/') && !format!("{remote:?}").contains("a-token"), "{remote:?}");
        }
        for open in ["http://cron.example", "http://10.0.0.5:8474", "http://127.0.0.1.cron.example"] {
            let refused = remote(open, token, false).unwrap_err();
            assert!(refused.contains("--insecure") && !refused.contains("a-token"), "{refused}");
            assert!(remote(open, token, true).is_ok() && remote(open, None, false).is_ok(), "{open}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_and_a_password_in_it_is_not_shown() {
        for wrong in ["cron.example:8474", "ftp://cron.example", "https://", "https://a b", "https://a/?q=1", "/x"] {
            let refused = remote(wrong, None, false).unwrap_err();
            assert!(refused.contains("expected a URL"), "{wrong}: {refused}");
        }
        let refused = remote("https://ops:p4ssw0rd@cron.example", None, false).unwrap_err();
        assert!(!refused.contains("p4ssw0rd"), "{refused}");
        assert!(remote("https://cron.example", Some("two words"), false).is_err());
        assert_eq!(
            remote("https://cron.example/tenacron/", None, false).unwrap().base,
            "https://cron.example/tenacron"
        );
    }
}
