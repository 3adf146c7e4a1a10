//! Asks a running daemon over its control socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::http::request::Builder;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::exit::{Exit, Failed};
use crate::daemon::Health;
use crate::web::objects::ErrorObject;
use crate::web::peer::ON_BEHALF_OF;
use crate::web::socket;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
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

    /// Where it listens.
    pub(super) fn socket(&self) -> &Path {
        &self.path
    }

    /// The process that listens, as this one sees it; none if it can't, as from outside the daemon's container.
    pub(super) async fn process(&self) -> Option<i32> {
        open(&self.path).await.ok()?.peer_cred().ok()?.pid().filter(|pid| *pid > 0)
    }

    /// How the daemon is, and whether it says of this path that all is well there.
    pub(super) async fn health(&self, path: &str) -> Result<(bool, Health), Failed> {
        let (status, body) = self.answer(Request::get(path), Bytes::new()).await?;
        let health = serde_json::from_slice(&body)
            .map_err(|error| Failed::new(Exit::Failed, format!("failed to read the daemon's answer: {error}")))?;
        Ok((status.is_success(), health))
    }

    /// Sends GET and reads the object.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        self.ask(Request::get(path), Bytes::new()).await
    }

    /// Sends POST with a body and reads the object.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failed> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failed::new(Exit::Failed, format!("failed to write the request: {error}")))?;
        let mut request = Request::post(path).header("content-type", "application/json");
        // Root acts for somebody who is worth a line in the record.
        if let Some(user) = std::env::var("SUDO_USER").ok().filter(|user| HeaderValue::from_str(user).is_ok()) {
            request = request.header(ON_BEHALF_OF, user);
        }
        self.ask(request, body.into()).await
    }

    async fn answer(&self, request: Builder, body: Bytes) -> Result<(StatusCode, Bytes), Failed> {
        tokio::time::timeout(ANSWER_WITHIN, self.exchange(request, body))
            .await
            .map_err(|_| Failed::new(Exit::NoDaemon, "the daemon did not answer in time"))?
            .map_err(|error| Failed::new(Exit::NoDaemon, format!("failed to ask the daemon: {error}")))
    }

    async fn ask<T: DeserializeOwned>(&self, request: Builder, body: Bytes) -> Result<T, Failed> {
        let (status, body) = self.answer(request, body).await?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| Failed::new(Exit::Failed, format!("failed to read the daemon's answer: {error}")));
        }
        let message =
            serde_json::from_slice::<ErrorObject>(&body).map_or_else(|_| status.to_string(), |body| body.error);
        let exit = match status {
            StatusCode::NOT_FOUND => Exit::NotFound,
            StatusCode::BAD_REQUEST => Exit::Usage,
            StatusCode::CONFLICT => Exit::Declined,
            StatusCode::UNPROCESSABLE_ENTITY => Exit::Config,
            _ => Exit::Failed,
        };
        Err(Failed::new(exit, message))
    }

    async fn exchange(
        &self,
        request: Builder,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let stream = open(&self.path).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = request.header("host", "localhost").body(Full::new(body))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_MAX).collect().await?.to_bytes();
        Ok((status, body))
    }
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
