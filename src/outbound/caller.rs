//! One call to an address that somebody configured: bounded in time and in what is read, and told of without its secrets.
//!
//! Such an address may itself be a secret: the path of a webhook, the id of a ping. So no message here holds more of it than
//! its scheme and host. A redirect is not followed, for it would carry the headers to whoever it names. Connections are not
//! kept: calls are rare, and one that was closed meanwhile would look like a failure.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, HttpConnectorSettings};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt as _;

use super::{TLS, env_proxy, is_of_this_machine};

/// To make the connection, TLS included.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How much of the body of an answer is read, in bytes.
pub const BODY_MAX: usize = 4 << 10;
/// From how many bytes on a path is looked for in a message; a shorter one is a part of any word, and no secret.
const SECRET_MIN: usize = 4;
/// The longest reason of a failure, in characters.
const REASON_MAX: usize = 300;

/// A request.
#[derive(Clone, Copy)]
pub struct Outgoing<'r> {
    /// Such as `POST`.
    pub method: &'static str,
    /// All of it; what follows a `#` is not sent.
    pub url: &'r str,
    /// Names and values. `Host` and `Content-Length` come by themselves.
    pub headers: &'r [(&'r str, &'r str)],
    /// What is sent.
    pub body: &'r str,
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/…", self.method, origin(self.url))
    }
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The header `Retry-After`, as it came.
    pub retry_after: Option<String>,
    /// The first [`BODY_MAX`] bytes (or as many as were asked for), or what of them came in time.
    pub body: Vec<u8>,
}

/// Why there is no answer. The texts hold nothing of an address but scheme and host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFailed {
    /// Nothing was sent.
    #[error("{to} could not be called: {why}")]
    Unsendable {
        /// Scheme and host.
        to: String,
        /// What is wrong with the request.
        why: String,
    },
    /// The connection was not made, broke off, or brought something that is no HTTP.
    #[error("no answer of {to}: {why}")]
    NoAnswer {
        /// Scheme and host.
        to: String,
        /// What the client says.
        why: String,
    },
    /// It took too long.
    #[error("no answer of {to} within {} s", .within.as_secs())]
    TooSlow {
        /// Scheme and host.
        to: String,
        /// How long it might have taken.
        within: Duration,
    },
}

/// Calls out. Clones share what was read to do so: the certificates of the system, which are looked at before the first call.
#[derive(Debug, Clone, Default)]
pub struct Caller(Arc<OnceLock<Ways>>);

#[derive(Debug)]
struct Ways {
    direct: Connector,
    proxied: Option<Connector>,
}

impl Caller {
    /// Makes one call; all of it may take as long as this.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn call(&self, outgoing: Outgoing<'_>, within: Duration) -> Result<Reply, CallFailed> {
        self.call_for(outgoing, within, BODY_MAX).await
    }

    /// The same for a body of up to so many bytes.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn call_for(
        &self,
        outgoing: Outgoing<'_>,
        within: Duration,
        body_max: usize,
    ) -> Result<Reply, CallFailed> {
        let to = origin(outgoing.url).to_owned();
        let request =
            request(outgoing).map_err(|why| CallFailed::Unsendable { to: to.clone(), why: why.to_owned() })?;
        let (url, caller) = (request.uri().to_owned(), self.clone());
        // Certificates are files.
        let ready = tokio::task::spawn_blocking(move || {
            caller.ways();
        });
        let calling = async {
            if ready.await.is_err() {
                return Err("the certificates of this system could not be read".to_owned());
            }
            let ways = self.ways();
            let way = ways.proxied.as_ref().filter(|_| !is_of_this_machine(&url)).unwrap_or(&ways.direct);
            let response = way.call(request).await.map_err(|error| reason(&error, &url))?;
            let status = response.status().as_u16();
            let retry_after = response.headers().get("retry-after").map(str::to_owned);
            Ok((status, retry_after, response.into_body()))
        };
        let give_up = tokio::time::Instant::now() + within;
        match tokio::time::timeout_at(give_up, calling).await {
            Err(_elapsed) => Err(CallFailed::TooSlow { to, within }),
            Ok(Err(why)) => Err(CallFailed::NoAnswer { to, why }),
            Ok(Ok((status, retry_after, body))) => {
                let mut read = Vec::new();
                // The status is the answer. A body that does not come, or never ends, changes nothing of it.
                let _in_time = tokio::time::timeout_at(give_up, take(body, body_max, &mut read)).await;
                Ok(Reply { status, retry_after, body: read })
            }
        }
    }

    fn ways(&self) -> &Ways {
        self.0
            .get_or_init(|| Ways { direct: connector(None), proxied: env_proxy().map(|proxy| connector(Some(proxy))) })
    }
}

fn connector(proxy: Option<ProxyConfig>) -> Connector {
    let mut connector = Connector::builder();
    connector.set_proxy_config(proxy);
    connector
        .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT_WITHIN).build())
        .sleep_impl(TokioSleep::new())
        .pool_max_idle_per_host(0)
        .tls_provider(TLS)
        .build()
}

fn request(outgoing: Outgoing<'_>) -> Result<HttpRequest, &'static str> {
    let url = outgoing.url.split('#').next().unwrap_or_default();
    let mut request = HttpRequest::new(SdkBody::from(outgoing.body));
    request.set_method(outgoing.method).map_err(|_| "the method is none of HTTP's")?;
    request.set_uri(url.to_owned()).map_err(|_| "the address is no URL")?;
    for (name, value) in outgoing.headers {
        let added = request.headers_mut().try_append((*name).to_owned(), (*value).to_owned());
        added.map_err(|_| "a header holds what no header may hold")?;
    }
    Ok(request)
}

async fn take(mut body: SdkBody, body_max: usize, read: &mut Vec<u8>) {
    while read.len() < body_max {
        let Some(Ok(frame)) = body.frame().await else { return };
        let room = body_max - read.len();
        read.extend(frame.into_data().iter().flatten().take(room));
    }
}

/// Scheme and host of a URL, with the port.
pub(crate) fn origin(url: &str) -> &str {
    let after = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(after..).and_then(|rest| rest.find(['/', '?', '#'])).map_or(url.len(), |at| after + at);
    url.get(..end).unwrap_or_default()
}

/// An error with its sources, and nothing of the address that was called.
fn reason(error: &(dyn Error + 'static), url: &str) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let told = error.to_string();
        if !text.contains(&told) {
            let colon = if text.is_empty() { "" } else { ": " };
            let _infallible = write!(text, "{colon}{told}");
        }
        next = error.source();
    }
    let secret = url.strip_prefix(origin(url)).unwrap_or_default().trim_start_matches('/');
    if secret.len() >= SECRET_MIN {
        text = text.replace(secret, "…");
    }
    text.chars().take(REASON_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::stub::{Reply as Answer, Stub};

    const AMPLE: Duration = Duration::from_secs(30);

    async fn post(url: &str, within: Duration) -> Result<Reply, CallFailed> {
        let headers = [("Content-Type", "application/json"), ("Authorization", "Bearer tok")];
        let outgoing = Outgoing { method: "POST", url, headers: &headers, body: "{}" };
        Caller::default().call(outgoing, within).await
    }

    #[tokio::test]
    async fn what_is_sent_and_what_comes_back() {
        let stub = Stub::always(Answer::Bytes(
            "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nwait".to_owned(),
        ))
        .await;
        let reply = post(&format!("{}/a/b?c=d#ops", stub.endpoint), AMPLE).await.unwrap();
        assert_eq!(reply, Reply { status: 429, retry_after: Some("7".into()), body: b"wait".to_vec() });
        let seen = &stub.seen()[0];
        assert!(seen.head.starts_with("POST /a/b?c=d HTTP/1.1\r\n"), "{}", seen.head);
        let head = seen.head.to_ascii_lowercase();
        for line in
            ["content-type: application/json", "authorization: bearer tok", "content-length: 2", "host: 127.0.0.1"]
        {
            assert!(head.contains(&format!("\r\n{line}")), "{line}: {head}");
        }
        assert_eq!(seen.body, "{}");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let elsewhere = Stub::always(Answer::Http(200, String::new())).await;
        let moved = format!("HTTP/1.1 302 Found\r\nLocation: {}/x\r\nContent-Length: 0\r\n\r\n", elsewhere.endpoint);
        let stub = Stub::always(Answer::Bytes(moved)).await;
        assert_eq!(post(&stub.endpoint, AMPLE).await.unwrap().status, 302);
        assert!(elsewhere.seen().is_empty());
    }

    #[tokio::test]
    async fn of_a_body_without_end_the_beginning_is_read() {
        let endless =
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", "5\r\nhello\r\n".repeat(5_000));
        let stub = Stub::always(Answer::Bytes(endless)).await;
        let reply = post(&stub.endpoint, AMPLE).await.unwrap();
        assert_eq!((reply.status, reply.body.len()), (200, BODY_MAX));
        assert!(reply.body.starts_with(b"hellohello"));
    }

    #[tokio::test]
    async fn failures_say_what_happened_and_nothing_of_the_path() {
        let closing = Stub::always(Answer::Close).await;
        let garbage = Stub::always(Answer::Bytes("220 mail.example ESMTP\r\n".into())).await;
        let nobody = {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            format!("http://{}", listener.local_addr().unwrap())
        };
        for (endpoint, told) in
            [(&closing.endpoint, "connection closed"), (&garbage.endpoint, "invalid HTTP"), (&nobody, "refused")]
        {
            let failed = post(&format!("{endpoint}/services/s3cr3t?key=w0rd"), AMPLE).await.unwrap_err();
            let text = format!("{failed} {failed:?}");
            assert!(failed.to_string().starts_with(&format!("no answer of {endpoint}: ")), "{text}");
            assert!(text.contains(told), "{text}");
            assert!(!text.contains("s3cr3t") && !text.contains("w0rd") && !text.contains("tok"), "{text}");
        }
    }

    #[tokio::test]
    async fn who_never_answers_is_given_up() {
        let silent = Stub::always(Answer::Silence).await;
        let within = Duration::from_millis(50);
        let failed = post(&silent.endpoint, within).await.unwrap_err();
        assert_eq!(failed, CallFailed::TooSlow { to: silent.endpoint, within });
    }

    #[tokio::test]
    async fn what_no_request_can_hold_is_not_sent() {
        let bad_header = [("X-Token", "a\r\nb")];
        let outgoing = Outgoing { method: "POST", url: "http://127.0.0.1:1/x", headers: &bad_header, body: "" };
        let failed = Caller::default().call(outgoing, AMPLE).await.unwrap_err();
        assert_eq!(
            failed.to_string(),
            "http://127.0.0.1:1 could not be called: a header holds what no header may hold"
        );
        let shown = format!("{outgoing:?}");
        assert_eq!(shown, "POST http://127.0.0.1:1/…");
    }

    #[test]
    fn an_origin_is_scheme_and_host() {
        for (url, expected) in [
            ("https://hooks.example.com/services/x", "https://hooks.example.com"),
            ("https://example.com:8443?key=x", "https://example.com:8443"),
            ("http://[::1]:80#x", "http://[::1]:80"),
            ("https://example.com", "https://example.com"),
        ] {
            assert_eq!(origin(url), expected);
        }
    }
}
