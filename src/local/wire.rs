//! The wire: ECS's JSON 1.1 protocol over HTTP.
//!
//! One POST to `/` carries one operation; `X-Amz-Target` names it and the body is one JSON object. A refusal is a 400 or 500 with
//! `__type` and `message` in the body, which every SDK reads. Signatures are accepted unread. A form is for SNS (`topic.rs`).
//!
//! Closing the connection without an answer is an outcome that tests need, and a response cannot express it: the service returns
//! `HungUp` instead, and hyper then drops the connection with nothing written.
//!
//! A request for a host that is neither an IP address nor `localhost` is refused: otherwise a web page could, by pointing a name of
//! its own at 127.0.0.1, run commands here.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::clock;
use super::endpoint::Endpoint;
use super::operations;
use super::topic;

/// The largest request body. The largest real one is a task definition, which ECS limits to 64 KiB.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const CONTENT_TYPE_JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
const CONTENT_TYPE_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const TARGET_PREFIX: &str = "AmazonEC2ContainerServiceV20141113.";
const GREETING: &str = "This is Tenacron's local ECS endpoint. Point AWS_ENDPOINT_URL_ECS at it.\n";

/// What an operation gives back when it is not refused.
#[derive(Debug)]
pub(super) enum Answer {
    /// 200 with this body.
    Body(Value),
    /// No answer: the connection closes.
    HangUp,
}

/// An exception of the ECS API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: Cow<'static, str>,
    pub(super) message: String,
    /// The tasks that a ConflictException names.
    pub(super) resource_ids: Vec<String>,
}

impl Refusal {
    pub(super) fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: code.into(), message: message.into(), resource_ids: Vec::new() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", message)
    }

    pub(super) fn client(message: impl Into<String>) -> Self {
        Self::new("ClientException", message)
    }

    pub(super) fn server(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, ..Self::new("ServerException", message) }
    }

    pub(super) fn cluster_not_found() -> Self {
        Self::new("ClusterNotFoundException", "Cluster not found.")
    }

    pub(super) fn conflict(resource_ids: Vec<String>) -> Self {
        Self {
            resource_ids,
            ..Self::new("ConflictException", "The client token was used before with different parameters.")
        }
    }

    fn body(&self) -> Value {
        let mut body = json!({ "__type": self.code, "message": self.message });
        if let (false, Some(members)) = (self.resource_ids.is_empty(), body.as_object_mut()) {
            members.insert("resourceIds".to_owned(), json!(self.resource_ids));
        }
        body
    }
}

/// Reads the members that an operation knows. Unknown ones are ignored, as ECS ignores them.
pub(super) fn parse<T: DeserializeOwned>(body: &Value) -> Result<T, Refusal> {
    T::deserialize(body).map_err(|error| Refusal::new("SerializationException", error.to_string()))
}

/// The scripted end of a connection that gets no answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was closed without an answer, as scripted")]
pub(super) struct HungUp;

/// Answers one HTTP request.
pub(super) async fn serve(
    endpoint: Arc<Endpoint>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, HungUp> {
    if !host_is_ours(request.headers()) {
        return Ok(text(StatusCode::FORBIDDEN, "the Host header must be an IP address or localhost\n"));
    }
    if request.method() == Method::GET && request.uri().path() == "/" {
        return Ok(text(StatusCode::OK, GREETING));
    }
    if request.method() != Method::POST || request.uri().path() != "/" {
        return Ok(text(StatusCode::NOT_FOUND, "only POST / and GET / exist here\n"));
    }
    if topic::is_meant(request.headers()) {
        return Ok(match bytes(request.into_body()).await {
            Ok(body) => topic::serve(&body),
            Err(refusal) => response(refusal.status, &refusal.body()),
        });
    }
    match answer(endpoint, request).await {
        Ok(Answer::Body(body)) => Ok(response(StatusCode::OK, &body)),
        Ok(Answer::HangUp) => Err(HungUp),
        Err(refusal) => Ok(response(refusal.status, &refusal.body())),
    }
}

async fn answer(endpoint: Arc<Endpoint>, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let operation = operation(request.headers())?.to_owned();
    let body = read(request.into_body()).await?;
    // A task of its own, because hyper drops this future when the client goes away: a launch that is in the journal must start.
    let performed = tokio::spawn(async move { operations::perform(&endpoint, &operation, body, clock::now()).await });
    performed.await.unwrap_or_else(|_| Err(Refusal::server("the operation panicked")))
}

fn operation(headers: &HeaderMap) -> Result<&str, Refusal> {
    headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .and_then(|target| target.strip_prefix(TARGET_PREFIX))
        .ok_or_else(unknown_operation)
}

/// The refusal of an operation that is not served.
pub(super) fn unknown_operation() -> Refusal {
    Refusal::new("UnknownOperationException", "The local ECS endpoint does not serve this operation.")
}

fn malformed(message: String) -> Refusal {
    Refusal::new("SerializationException", message)
}

async fn bytes(body: Incoming) -> Result<Bytes, Refusal> {
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect())
        .await
        .map_err(|_| malformed(format!("the body took longer than {BODY_TIMEOUT:?}")))?
        .map_err(|error| malformed(format!("failed to read the body: {error}")))?;
    Ok(collected.to_bytes())
}

async fn read(body: Incoming) -> Result<Value, Refusal> {
    let bytes = bytes(body).await?;
    if bytes.is_empty() {
        return Ok(json!({}));
    }
    match serde_json::from_slice(&bytes) {
        Ok(body @ Value::Object(_)) => Ok(body),
        Ok(_) => Err(malformed("the body is not a JSON object".to_owned())),
        Err(error) => Err(malformed(error.to_string())),
    }
}

fn host_is_ours(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else {
        // Only HTTP/1.0 may omit it, and no browser speaks that.
        return true;
    };
    let Ok(host) = host.to_str() else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, CONTENT_TYPE_TEXT);
    response
}

fn response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, CONTENT_TYPE_JSON);
    if let Ok(id) = HeaderValue::try_from(Uuid::new_v4().to_string()) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_names_its_tasks_and_nothing_else_does() {
        let conflict = Refusal::conflict(vec!["arn:1".to_owned()]).body();
        assert_eq!(conflict["__type"], "ConflictException");
        assert_eq!(conflict["resourceIds"], json!(["arn:1"]));
        assert_eq!(
            Refusal::cluster_not_found().body(),
            json!({ "__type": "ClusterNotFoundException", "message": "Cluster not found." })
        );
    }

    #[test]
    fn foreign_hosts_are_refused() {
        let ours = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).unwrap());
            host_is_ours(&headers)
        };
        assert!(ours("127.0.0.1:8475"));
        assert!(ours("localhost:8475"));
        assert!(ours("localhost"));
        assert!(ours("[::1]:8475"));
        assert!(ours("[::1]"));
        assert!(!ours("rebound.example:8475"));
        assert!(!ours("rebound.example"));
        assert!(!ours("127.0.0.1.rebound.example:80"));
    }

    #[test]
    fn the_target_must_be_of_ecs() {
        let mut headers = HeaderMap::new();
        assert_eq!(operation(&headers).unwrap_err().code, "UnknownOperationException");
        headers.insert("x-amz-target", HeaderValue::from_static("DynamoDB.PutItem"));
        assert!(operation(&headers).is_err());
        headers.insert("x-amz-target", HeaderValue::from_static("AmazonEC2ContainerServiceV20141113.RunTask"));
        assert_eq!(operation(&headers).unwrap(), "RunTask");
    }
}
