//! Asks a running daemon: over its control socket, or at a URL with a token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::exit::{Exit, Failed};
use super::remote::Remote;
use crate::daemon::Health;
use crate::web::objects::ErrorObject;
use crate::web::peer::ON_BEHALF_OF;
use crate::web::socket;

/// How long an answer may take.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long the daemon may take before it answers with a file: until all of it is there and checked.
const FILE_WITHIN: Duration = Duration::from_secs(60 * 60);
/// The largest answer.
pub(super) const BODY_MAX: usize = 256 << 20;

/// A way to the daemon, taken anew for each request.
#[derive(Debug)]
pub(super) enum Client {
    /// Its control socket.
    Socket(PathBuf),
    /// Its URL.
    Url(Remote),
}

/// A request.
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    /// JSON; none if it asks for something only.
    pub(super) body: Option<String>,
}

impl Client {
    /// The first of these sockets that answers.
    pub(super) async fn connect(candidates: &[PathBuf]) -> Result<Client, Failed> {
        let mut tried = Vec::new();
        for path in candidates {
            match open(path).await {
                Ok(_) => return Ok(Client::Socket(path.clone())),
                Err(error) => tried.push(format!("  {}: {error}", path.display())),
            }
        }
        let message = format!("no daemon answers; is it running with this --config? Tried:\n{}", tried.join("\n"));
        Err(Failed::new(Exit::NoDaemon, message))
    }

    /// Where it listens.
    pub(super) fn place(&self) -> String {
        match self {
            Client::Socket(path) => path.display().to_string(),
            Client::Url(remote) => remote.base().to_owned(),
        }
    }

    /// The process that listens, as this one sees it; none if it can't, as from outside the daemon's container.
    pub(super) async fn process(&self) -> Option<i32> {
        let Client::Socket(path) = self else { return None };
        open(path).await.ok()?.peer_cred().ok()?.pid().filter(|pid| *pid > 0)
    }

    /// Whether the daemon says of this path that all is well there, and how it is, if it tells those who show no token.
    pub(super) async fn health(&self, path: &str) -> Result<(bool, Option<Health>), Failed> {
        let (status, body) = self.answer(Ask { method: "GET", path, body: None }).await?;
        match status {
            StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE => {
                Ok((status == StatusCode::OK, serde_json::from_slice(&body).ok()))
            }
            _ => Err(Failed::new(Exit::Failed, format!("the answer to {path} is {status}"))),
        }
    }

    /// Sends GET and gives the text.
    pub(super) async fn text(&self, path: &str) -> Result<String, Failed> {
        let (status, body) = self.answer(Ask { method: "GET", path, body: None }).await?;
        match String::from_utf8(body.into()) {
            Ok(text) if status.is_success() => Ok(text),
            Ok(_) | Err(_) => Err(Failed::new(Exit::Failed, format!("the answer to {path} is {status}"))),
        }
    }

    /// Sends GET and reads the object.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        self.ask(Ask { method: "GET", path, body: None }).await
    }

    /// Sends POST with a body and reads the object.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failed> {
        self.ask(posted(path, body)?).await
    }

    /// Sends POST and answers with the head of a file; its bytes are to be read. Over a URL files are not fetched.
    pub(super) async fn post_for_file(&self, path: &str, body: &impl Serialize) -> Result<Response<Incoming>, Failed> {
        let Client::Socket(socket) = self else {
            let message = "this goes over the daemon's control socket: leave --url out";
            return Err(Failed::new(Exit::Usage, message));
        };
        let response = in_time(FILE_WITHIN, send(socket, posted(path, body)?)).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, body) = in_time(ANSWER_WITHIN, whole(response)).await?;
        Err(refusal(status, &body))
    }

    async fn answer(&self, ask: Ask<'_>) -> Result<(StatusCode, Bytes), Failed> {
        match self {
            Client::Url(remote) => remote.ask(ask).await,
            Client::Socket(path) => in_time(ANSWER_WITHIN, async { whole(send(path, ask).await?).await }).await,
        }
    }

    async fn ask<T: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<T, Failed> {
        let (status, body) = self.answer(ask).await?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| Failed::new(Exit::Failed, format!("failed to read the daemon's answer: {error}")));
        }
        Err(refusal(status, &body))
    }
}

fn posted<'a>(path: &'a str, body: &impl Serialize) -> Result<Ask<'a>, Failed> {
    let body = serde_json::to_string(body)
        .map_err(|error| Failed::new(Exit::Failed, format!("failed to write the request: {error}")))?;
    Ok(Ask { method: "POST", path, body: Some(body) })
}

async fn send(path: &Path, ask: Ask<'_>) -> Result<Response<Incoming>, Trouble> {
    let stream = open(path).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder().method(ask.method).uri(ask.path).header("host", "localhost");
    if ask.body.is_some() {
        request = request.header("content-type", "application/json");
        // Root acts for somebody who is worth a line in the record.
        if let Some(user) = std::env::var("SUDO_USER").ok().filter(|user| HeaderValue::from_str(user).is_ok()) {
            request = request.header(ON_BEHALF_OF, user);
        }
    }
    Ok(sender.send_request(request.body(Full::new(Bytes::from(ask.body.unwrap_or_default())))?).await?)
}

async fn whole(response: Response<Incoming>) -> Result<(StatusCode, Bytes), Trouble> {
    let status = response.status();
    Ok((status, Limited::new(response.into_body(), BODY_MAX).collect().await?.to_bytes()))
}

/// What a connection can meet.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

async fn in_time<T>(within: Duration, asking: impl Future<Output = Result<T, Trouble>>) -> Result<T, Failed> {
    tokio::time::timeout(within, asking)
        .await
        .map_err(|_| Failed::new(Exit::NoDaemon, "the daemon did not answer in time"))?
        .map_err(|error| Failed::new(Exit::NoDaemon, format!("failed to ask the daemon: {error}")))
}

/// An answer that is not what was asked for.
fn refusal(status: StatusCode, body: &[u8]) -> Failed {
    let message = serde_json::from_slice::<ErrorObject>(body).map_or_else(|_| status.to_string(), |body| body.error);
    let exit = match status {
        StatusCode::NOT_FOUND => Exit::NotFound,
        StatusCode::BAD_REQUEST => Exit::Usage,
        StatusCode::CONFLICT => Exit::Declined,
        StatusCode::UNPROCESSABLE_ENTITY => Exit::Config,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::Denied,
        _ => Exit::Failed,
    };
    Failed::new(exit, message)
}

async fn open(path: &Path) -> std::io::Result<UnixStream> {
    let (short, _folder) = socket::reachable(path)?;
    UnixStream::connect(short).await
}

/// A path segment or a query value, with everything escaped that could end it.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
