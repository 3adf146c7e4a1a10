//! Asks a running daemon over its control socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::http::request::Builder;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::exit::{Exit, Failed};
use crate::web::objects::ErrorObject;
use crate::web::peer::ON_BEHALF_OF;
use crate::web::socket;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long the daemon may take before it answers with a file: until all of it is there and checked.
const FILE_WITHIN: Duration = Duration::from_secs(60 * 60);
/// The largest answer.
const BODY_MAX: usize = 256 << 20;

/// A daemon's control socket, connected anew for each request.
#[derive(Debug)]
pub(super) struct Client {
    path: PathBuf,
}

impl Client {
    /// The first of these sockets that answers.
    pub(super) async fn connect(candidates: &[PathBuf]) -> Result<Client, Failed> {
        let mut tried = Vec::new();
        for path in candidates {
            match open(path).await {
                Ok(_) => return Ok(Client { path: path.clone() }),
                Err(error) => tried.push(format!("  {}: {error}", path.display())),
            }
        }
        let message = format!("no daemon answers; is it running with this --config? Tried:\n{}", tried.join("\n"));
        Err(Failed::new(Exit::NoDaemon, message))
    }

    /// Sends GET and reads the object.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        self.ask(Request::get(path), Bytes::new()).await
    }

    /// Sends POST with a body and reads the object.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failed> {
        let (request, body) = posted(path, body)?;
        self.ask(request, body).await
    }

    /// Sends POST and answers with the head of a file; its bytes are to be read.
    pub(super) async fn post_for_file(&self, path: &str, body: &impl Serialize) -> Result<Response<Incoming>, Failed> {
        let (request, body) = posted(path, body)?;
        let response = in_time(FILE_WITHIN, self.send(request, body)).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let reading = async { Ok(Limited::new(response.into_body(), BODY_MAX).collect().await?.to_bytes()) };
        Err(refusal(status, &in_time(ANSWER_WITHIN, reading).await?))
    }

    async fn ask<T: DeserializeOwned>(&self, request: Builder, body: Bytes) -> Result<T, Failed> {
        let exchange = async {
            let response = self.send(request, body).await?;
            let status = response.status();
            Ok((status, Limited::new(response.into_body(), BODY_MAX).collect().await?.to_bytes()))
        };
        let (status, body) = in_time(ANSWER_WITHIN, exchange).await?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| Failed::new(Exit::Failed, format!("failed to read the daemon's answer: {error}")));
        }
        Err(refusal(status, &body))
    }

    async fn send(&self, request: Builder, body: Bytes) -> Result<Response<Incoming>, Trouble> {
        let stream = open(&self.path).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = request.header("host", "localhost").body(Full::new(body))?;
        Ok(sender.send_request(request).await?)
    }
}

/// What a connection can meet.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

async fn in_time<T>(within: Duration, asking: impl Future<Output = Result<T, Trouble>>) -> Result<T, Failed> {
    tokio::time::timeout(within, asking)
        .await
        .map_err(|_| Failed::new(Exit::NoDaemon, "the daemon did not answer in time"))?
        .map_err(|error| Failed::new(Exit::NoDaemon, format!("failed to ask the daemon: {error}")))
}

fn posted(path: &str, body: &impl Serialize) -> Result<(Builder, Bytes), Failed> {
    let body = serde_json::to_vec(body)
        .map_err(|error| Failed::new(Exit::Failed, format!("failed to write the request: {error}")))?;
    let mut request = Request::post(path).header("content-type", "application/json");
    // Root acts for somebody who is worth a line in the record.
    if let Some(user) = std::env::var("SUDO_USER").ok().filter(|user| HeaderValue::from_str(user).is_ok()) {
        request = request.header(ON_BEHALF_OF, user);
    }
    Ok((request, body.into()))
}

/// An answer that is not what was asked for.
fn refusal(status: StatusCode, body: &[u8]) -> Failed {
    let message = serde_json::from_slice::<ErrorObject>(body).map_or_else(|_| status.to_string(), |body| body.error);
    let exit = match status {
        StatusCode::NOT_FOUND => Exit::NotFound,
        StatusCode::BAD_REQUEST => Exit::Usage,
        StatusCode::CONFLICT => Exit::Declined,
        StatusCode::UNPROCESSABLE_ENTITY => Exit::Config,
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
