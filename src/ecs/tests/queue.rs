//! A queue of task events, over SQS's own protocol.

use serde_json::json;

use super::*;
use crate::ecs::events::{LONG_POLL_SECONDS, MESSAGES_MAX, Unreadable};
use crate::ecs::{Ecs as _, EventQueue};
use crate::outbound::stub::{Reply, Stub, ok, refusal};

const URL: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/tenacron";

fn queue(stub: &Stub) -> EventQueue {
    EventQueue::new(&with_endpoint(stub), URL)
}

fn event(version: i64, status: &str) -> String {
    let detail = json!({ "taskArn": TASK, "version": version, "lastStatus": status, "taskDefinitionArn": DEFINITION });
    json!({ "source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": detail }).to_string()
}

#[tokio::test]
async fn messages_are_received_ten_at_a_time_by_a_long_poll() {
    let stub = Stub::always(ok(json!({ "Messages": [
        { "MessageId": "1", "ReceiptHandle": "first", "Body": event(3, "RUNNING") },
        { "MessageId": "2", "ReceiptHandle": "second", "Body": "hello" },
        { "MessageId": "3", "Body": "without a handle it can't be deleted" },
    ] })))
    .await;
    let messages = queue(&stub).receive(LONG_POLL_SECONDS).await.unwrap();
    let receipts: Vec<&str> = messages.iter().map(|message| message.receipt.as_str()).collect();
    assert_eq!(receipts, ["first", "second"]);
    let read = messages[0].body.as_ref().unwrap();
    assert_eq!((read.version, read.facts.task.0.as_str(), read.facts.last_status.as_str()), (3, TASK, "RUNNING"));
    assert_eq!(messages[1].body, Err(Unreadable::NoEvent));
    let asked = json!({ "QueueUrl": URL, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20, "VisibilityTimeout": 20 });
    assert_eq!(stub.seen()[0].json(), asked);
    assert_eq!(stub.operations(), ["ReceiveMessage"]);
}

#[tokio::test]
async fn an_empty_queue_has_no_messages() {
    for body in [json!({}), json!({ "Messages": [] })] {
        let stub = Stub::always(ok(body)).await;
        assert_eq!(queue(&stub).receive(1).await.unwrap(), []);
    }
}

#[tokio::test]
async fn messages_are_deleted_together_and_each_once() {
    let stub = Stub::always(ok(json!({ "Successful": [{ "Id": "0" }], "Failed": [] }))).await;
    let mut receipts: Vec<String> = (1..MESSAGES_MAX).map(|n| format!("receipt {n}")).collect();
    receipts.push("receipt 1".into());
    queue(&stub).delete(&receipts).await.unwrap();
    let sent = stub.seen()[0].json();
    let entries = sent["Entries"].as_array().unwrap();
    let mut deleted: Vec<&str> = entries.iter().map(|entry| entry["ReceiptHandle"].as_str().unwrap()).collect();
    deleted.sort_unstable();
    assert_eq!(deleted, receipts[..MESSAGES_MAX - 1]);
    let ids: std::collections::BTreeSet<&str> = entries.iter().map(|entry| entry["Id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), entries.len());
    assert_eq!(stub.operations(), ["DeleteMessageBatch"]);
}

#[tokio::test]
async fn a_queue_that_refuses_says_what_it_said_and_is_asked_once() {
    let stub =
        Stub::always(refusal(400, "com.amazonaws.sqs#QueueDoesNotExist", "The specified queue does not exist.")).await;
    let error = queue(&stub).receive(1).await.unwrap_err();
    assert_eq!(error.to_string(), "ReceiveMessage was refused: QueueDoesNotExist: The specified queue does not exist.");
    assert!(!error.is_throttled());
    let error = queue(&stub).delete(&["receipt".into()]).await.unwrap_err();
    assert!(error.to_string().starts_with("DeleteMessageBatch was refused: QueueDoesNotExist"), "{error}");
    assert_eq!(stub.operations(), ["ReceiveMessage", "DeleteMessageBatch"]);
    let closed = Stub::always(Reply::Close).await;
    assert!(queue(&closed).receive(1).await.unwrap_err().to_string().starts_with("ReceiveMessage got no answer"));
}

#[tokio::test]
async fn what_an_event_said_of_a_stopped_task_gets_the_flags_of_its_definition() {
    let stub = Stub::always(ok(json!({ "taskDefinition": { "taskDefinitionArn": DEFINITION, "containerDefinitions": [
        { "name": "app" }, { "name": "log", "essential": false },
    ] } })))
    .await;
    let told = json!({ "taskArn": TASK, "version": 6, "lastStatus": "STOPPED", "taskDefinitionArn": DEFINITION,
        "containers": [{ "name": "app", "exitCode": 3 }, { "name": "log", "exitCode": 137 }] });
    let told = json!({ "source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": told }).to_string();
    let received = Stub::always(ok(json!({ "Messages": [{ "ReceiptHandle": "r", "Body": told }] }))).await;
    let event = queue(&received).receive(1).await.unwrap().remove(0).body.unwrap();
    let facts = adapter(&stub.endpoint).with_flags(&main(), event.clone()).await.unwrap();
    let flags: Vec<_> = facts.containers.iter().map(|container| (container.exit_code, container.essential)).collect();
    assert_eq!(flags, [(Some(3), Some(true)), (Some(137), Some(false))]);
    let silent = Stub::always(refusal(500, "ServerException", "try again")).await;
    assert_eq!(adapter(&silent.endpoint).with_flags(&main(), event).await, None, "they are to be asked for again");
}
