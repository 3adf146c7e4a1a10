//! What becomes of a launch for each way in which a call can end.

use std::io::Write as _;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_ecs::config::Region;
use serde_json::json;

use super::{AMPLE, TASK, adapter, adapter_of, arn, bare, full_request};
use crate::ecs::{AwsEcs, Ecs as _, Timeouts};
use crate::engine::task::{LaunchAnswer, LaunchFailure, TaskArn};
use crate::outbound::stub::{Reply, Stub, ok, refusal};

/// Sends one launch to a server with that reply; each answer must cost one request.
async fn answer_to(reply: Reply) -> LaunchAnswer {
    let stub = Stub::always(reply).await;
    let answer = adapter(&stub.endpoint).run_task(&full_request()).await;
    assert_eq!(stub.operations(), ["RunTask"], "{answer:?}");
    answer
}

fn refused(code: Option<&str>, message: &str, status: u16) -> LaunchAnswer {
    LaunchAnswer::Refused { code: code.map(str::to_owned), message: message.to_owned(), status }
}

/// That there was no answer; returns what was said about it.
fn unanswered(answer: LaunchAnswer, expect_sent: bool) -> String {
    match answer {
        LaunchAnswer::NoAnswer { sent, message } if sent == expect_sent => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn refusals_carry_code_message_and_status() {
    for (status, code, message) in [
        (400, "ThrottlingException", "Rate exceeded"),
        (500, "ServerException", "Service Unavailable. Please try again later."),
        (400, "ClientException", "No such thing."),
        (400, "AccessDeniedException", "User is not authorized to perform: ecs:RunTask"),
        (400, "ExpiredTokenException", "The security token included in the request is expired"),
    ] {
        assert_eq!(answer_to(refusal(status, code, message)).await, refused(Some(code), message, status));
    }
}

#[tokio::test]
async fn code_is_bare_and_the_message_is_found_in_either_spelling() {
    let answer = answer_to(refusal(400, "com.amazonaws.ecs#ClusterNotFoundException", "Cluster not found.")).await;
    assert_eq!(answer, refused(Some("ClusterNotFoundException"), "Cluster not found.", 400));
    let body = json!({ "__type": "SomethingNewException", "Message": "two\n lines" });
    let answer = answer_to(Reply::Http(400, body.to_string())).await;
    assert_eq!(answer, refused(Some("SomethingNewException"), "two lines", 400));
    let answer = answer_to(Reply::Http(400, json!({ "__type": "BlockedException" }).to_string())).await;
    assert_eq!(answer, refused(Some("BlockedException"), "", 400));
}

#[tokio::test]
async fn error_of_a_load_balancer_has_a_status_and_no_code_and_its_page_is_not_repeated() {
    let answer = answer_to(Reply::Http(503, "<html><h1>Service Unavailable</h1></html>".into())).await;
    assert_eq!(answer, refused(None, "HTTP 503 with a body that is no error of ECS", 503));
    let answer = answer_to(Reply::Http(502, String::new())).await;
    assert_eq!(answer, refused(None, "HTTP 502 with a body that is no error of ECS", 502));
}

#[tokio::test]
async fn conflict_names_the_tasks_of_the_token() {
    let body = json!({
        "__type": "ConflictException",
        "message": "The clientToken was used with other parameters.",
        "resourceIds": [TASK, arn(2).0],
    });
    let message = "The clientToken was used with other parameters.".to_owned();
    let tasks = vec![TaskArn(TASK.into()), arn(2)];
    assert_eq!(answer_to(Reply::Http(400, body.to_string())).await, LaunchAnswer::Conflict { tasks, message });
    let answer = answer_to(refusal(400, "ConflictException", "none")).await;
    assert_eq!(answer, LaunchAnswer::Conflict { tasks: vec![], message: "none".into() });
}

#[tokio::test]
async fn task_is_launched_in_whatever_state_and_beside_failures() {
    for task in [
        json!({ "taskArn": TASK, "lastStatus": "PROVISIONING", "desiredStatus": "RUNNING" }),
        json!({ "taskArn": TASK, "lastStatus": "STOPPED", "desiredStatus": "STOPPED" }),
    ] {
        let failed = LaunchFailure { reason: "RESOURCE:MEMORY".into(), detail: None };
        let shown = json!({ "arn": null, "reason": "RESOURCE:MEMORY" });
        for (shown, failures) in [(json!([]), vec![]), (json!([shown]), vec![failed])] {
            let answer = answer_to(ok(json!({ "tasks": [task, { "taskArn": arn(2).0 }], "failures": shown }))).await;
            assert_eq!(answer, LaunchAnswer::Launched { tasks: vec![TaskArn(TASK.into()), arn(2)], failures });
        }
    }
}

#[tokio::test]
async fn failures_without_a_task_are_listed() {
    let failures = json!([
        { "arn": "arn:aws:ecs:…:container-instance/1", "reason": "RESOURCE:MEMORY" },
        { "reason": "AGENT", "detail": "agent is\ndisconnected" },
        {},
    ]);
    let answer = answer_to(ok(json!({ "tasks": [], "failures": failures }))).await;
    let failure = |reason: &str, detail: Option<&str>| LaunchFailure {
        reason: reason.to_owned(),
        detail: detail.map(str::to_owned),
    };
    let expected = vec![
        failure("RESOURCE:MEMORY", None),
        failure("AGENT", Some("agent is disconnected")),
        failure("no reason given", None),
    ];
    assert_eq!(answer, LaunchAnswer::Failures(expected));
}

#[tokio::test]
async fn success_that_says_nothing_readable_may_have_started_a_task() {
    for body in [r#"{"tasks": [{"taskA"#, "<html>ok</html>", r#"{"tasks": 7}"#] {
        let message = unanswered(answer_to(Reply::Http(200, body.into())).await, true);
        assert!(message.starts_with("HTTP 200 could not be read: "), "{message}");
    }
    for body in ["", "{}", r#"{"tasks":[],"failures":[]}"#, r#"{"tasks":[{"lastStatus":"PENDING"}]}"#] {
        let message = unanswered(answer_to(Reply::Http(200, body.into())).await, true);
        assert_eq!(message, "HTTP 200 with neither a task nor a failure", "{body}");
    }
}

#[tokio::test]
async fn answer_that_breaks_off_is_no_answer_whatever_its_status() {
    for status in ["200 OK", "400 Bad Request", "500 Oh"] {
        let body = r#"{"__type":"ConflictException","message":"#;
        let bytes = format!("HTTP/1.1 {status}\r\nContent-Length: 900\r\n\r\n{body}");
        let message = unanswered(answer_to(Reply::Bytes(bytes)).await, true);
        assert!(message.starts_with("HTTP "), "{message}");
    }
    let message = unanswered(answer_to(Reply::Bytes("HTTP/1.1 2".into())).await, true);
    assert!(!message.is_empty());
}

#[tokio::test]
async fn connection_closed_before_the_answer_may_have_started_a_task() {
    let message = unanswered(answer_to(Reply::Close).await, true);
    assert!(message.contains("connection closed"), "{message}");
}

#[tokio::test]
async fn silence_may_have_started_a_task() {
    let stub = Stub::always(Reply::Silence).await;
    let short = Duration::from_millis(500);
    let timeouts = [
        Timeouts { connect: AMPLE, attempt: short, operation: AMPLE },
        Timeouts { connect: AMPLE, attempt: AMPLE, operation: short },
    ];
    for timeouts in timeouts {
        let ecs = AwsEcs::local_within(&stub.endpoint, timeouts).unwrap();
        let message = unanswered(ecs.run_task(&full_request()).await, true);
        assert!(message.contains("timeout") && message.contains("500ms"), "{message}");
    }
    assert_eq!(stub.operations(), ["RunTask", "RunTask"]);
}

#[tokio::test]
async fn refused_connection_sent_nothing() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let message = unanswered(adapter(&format!("http://{closed}")).run_task(&full_request()).await, false);
    assert!(message.contains("Connection refused"), "{message}");
}

#[tokio::test]
async fn name_that_cannot_be_resolved_sent_nothing() {
    // A label of 64 letters is too long to be asked for, so no name server is.
    let endpoint = format!("http://{}.invalid", "x".repeat(64));
    let message = unanswered(adapter(&endpoint).run_task(&full_request()).await, false);
    assert!(message.contains("dns error"), "{message}");
}

#[tokio::test]
async fn failed_handshake_of_tls_sent_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _peer) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    unanswered(adapter(&endpoint).run_task(&full_request()).await, false);
    server.join().unwrap();
}

#[tokio::test]
async fn connection_that_takes_too_long_sent_nothing() {
    // The backlog holds one connection that nobody accepts; the next one is left without an answer.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _held = tokio::net::TcpStream::connect(address).await.unwrap();
    let timeouts = Timeouts { connect: Duration::from_millis(300), attempt: AMPLE, operation: AMPLE };
    let ecs = AwsEcs::local_within(&format!("http://{address}"), timeouts).unwrap();
    let message = unanswered(ecs.run_task(&full_request()).await, false);
    assert!(message.contains("HTTP connect timeout occurred after 300ms"), "{message}");
}

#[derive(Debug)]
struct NoCredentials;

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("the role is gone")))
    }
}

#[tokio::test]
async fn credentials_that_cannot_be_had_and_an_unknown_endpoint_sent_nothing() {
    let stub = Stub::always(Reply::Close).await;
    let gone = SharedCredentialsProvider::new(NoCredentials);
    let without_credentials = bare().into_builder().credentials_provider(gone).region(Region::new("local")).build();
    let ecs = adapter_of(without_credentials, Some(&stub.endpoint));
    let message = unanswered(ecs.run_task(&full_request()).await, false);
    assert!(message.contains("the role is gone"), "{message}");
    let key = SharedCredentialsProvider::new(Credentials::new("key", "secret", None, None, "test"));
    let without_region = bare().into_builder().credentials_provider(key).build();
    let message = unanswered(adapter_of(without_region, None).run_task(&full_request()).await, false);
    assert!(message.contains("Region"), "{message}");
    assert!(stub.seen().is_empty());
}
