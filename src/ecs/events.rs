//! Task state changes that an EventBridge rule puts into an SQS queue, read from there.
//!
//! A message's body is the event as EventBridge sent it: its detail is the task as DescribeTasks shows it, but for
//! instants in words instead of numbers. Nothing here concludes from an event or says when its message may go;
//! `daemon/events.rs` does. Source: Amazon ECS developer guide, "Amazon ECS task state change events".

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Builder;
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::CallError;
use super::answer::{Unfulfilled, one_line};
use super::evidence;
use crate::engine::call_fault::CallFault;
use crate::engine::task::{ContainerFacts, TaskArn, TaskFacts, TaskTimes};

/// How many messages one call receives or deletes. Source: Amazon SQS API reference, ReceiveMessage and
/// DeleteMessageBatch.
pub const MESSAGES_MAX: usize = 10;
/// How long a call waits for a first message, in seconds; the longest that SQS allows. Source: Amazon SQS API reference,
/// ReceiveMessage, `WaitTimeSeconds`.
pub const LONG_POLL_SECONDS: i32 = 20;
/// How long a message that was received stays out of sight, in seconds, whatever the queue's own setting; then it is received
/// again, unless it was deleted. Shorter than `LOST_AFTER` of `engine/run`: a daemon that died with a message must find it at
/// its next start before it gives up its task.
const OUT_OF_SIGHT_SECONDS: i32 = 20;
/// How long a call may take: the long poll and a little more.
const CALL_WITHIN: Duration = Duration::from_secs(30);
/// To make the connection, TLS included.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// An SQS queue of task state changes.
#[derive(Debug, Clone)]
pub struct EventQueue {
    client: Client,
    url: String,
}

/// A message that was received.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// By which it is deleted.
    pub receipt: String,
    /// What it says.
    pub body: Result<TaskEvent, Unreadable>,
}

/// A task as an event showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEvent {
    /// Rises with each change of the task; an event with the same one is the same event.
    pub version: i64,
    /// The task, without the essential flags of its containers.
    pub facts: TaskFacts,
    /// The ARN of its task definition, for those flags.
    pub task_definition: Option<String>,
}

/// Why a message is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unreadable {
    /// The body is not what EventBridge sends.
    NoEvent,
    /// It is an event of something else.
    OtherEvent,
    /// The event names no task.
    NoTask,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unreadable::NoEvent => {
                "it is no event as EventBridge sends it; the rule's target must not transform its input"
            }
            Unreadable::OtherEvent => {
                "it is another event than ECS Task State Change; the rule's pattern can keep it out"
            }
            Unreadable::NoTask => "its event names no task",
        })
    }
}

impl EventQueue {
    /// The queue at this URL, called with the credentials and in the region of `config`.
    pub(super) fn new(config: &SdkConfig, url: &str) -> EventQueue {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_WITHIN)
            .operation_attempt_timeout(CALL_WITHIN)
            .operation_timeout(CALL_WITHIN)
            .build();
        // Whoever listens waits between its tries.
        let config = Builder::from(config).retry_config(RetryConfig::disabled()).timeout_config(timeouts).build();
        EventQueue { client: Client::from_conf(config), url: url.to_owned() }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Receives up to [`MESSAGES_MAX`] messages, and waits for the first one for up to `wait_seconds`. With any wait, no
    /// message means that the queue held none: SQS then asks all its servers.
    ///
    /// # Errors
    /// SQS did not answer, or refused.
    pub async fn receive(&self, wait_seconds: i32) -> Result<Vec<Message>, CallError> {
        let call = self.client.receive_message().queue_url(&self.url).wait_time_seconds(wait_seconds);
        let most = i32::try_from(MESSAGES_MAX).unwrap_or(i32::MAX);
        let call = call.max_number_of_messages(most).visibility_timeout(OUT_OF_SIGHT_SECONDS);
        let output = Box::pin(call.send()).await;
        let output = output.map_err(|error| Unfulfilled::of(&error).call_error("ReceiveMessage"))?;
        let received = output.messages().iter().filter_map(|message| {
            let body = TaskEvent::parse(message.body().unwrap_or_default());
            Some(Message { receipt: message.receipt_handle()?.to_owned(), body })
        });
        Ok(received.collect())
    }

    /// Deletes up to [`MESSAGES_MAX`] messages. One that SQS keeps all the same is received again.
    ///
    /// # Errors
    /// SQS did not answer, or refused the call as a whole.
    pub async fn delete(&self, receipts: &[String]) -> Result<(), CallError> {
        // A request that names a receipt twice is refused.
        let distinct: HashSet<&String> = receipts.iter().collect();
        let entry = |(nth, receipt): (usize, &String)| {
            DeleteMessageBatchRequestEntry::builder().id(nth.to_string()).receipt_handle(receipt).build()
        };
        let entries: Result<Vec<_>, _> = distinct.into_iter().enumerate().map(entry).collect();
        let entries = entries.map_err(|error| CallError { fault: CallFault::Refused, message: error.to_string() })?;
        let call = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
        match Box::pin(call.send()).await {
            Ok(_output) => Ok(()),
            Err(error) => Err(Unfulfilled::of(&error).call_error("DeleteMessageBatch")),
        }
    }
}

/// What EventBridge sends.
#[derive(Debug, Deserialize)]
struct Event {
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    #[serde(default)]
    detail: serde_json::Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    task_arn: String,
    version: i64,
    last_status: String,
    task_definition_arn: Option<String>,
    stop_code: Option<String>,
    stopped_reason: Option<String>,
    created_at: Option<String>,
    pull_started_at: Option<String>,
    pull_stopped_at: Option<String>,
    started_at: Option<String>,
    stopping_at: Option<String>,
    execution_stopped_at: Option<String>,
    stopped_at: Option<String>,
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    #[serde(default)]
    name: String,
    exit_code: Option<i32>,
    reason: Option<String>,
}

impl TaskEvent {
    fn parse(body: &str) -> Result<TaskEvent, Unreadable> {
        let event: Event = serde_json::from_str(body).map_err(|_| Unreadable::NoEvent)?;
        if (event.source.as_str(), event.detail_type.as_str()) != ("aws.ecs", "ECS Task State Change") {
            return Err(Unreadable::OtherEvent);
        }
        let described = evidence::stopped_task(&event.detail).map(|(_, text)| text);
        let detail: Detail = serde_json::from_value(event.detail).map_err(|_| Unreadable::NoTask)?;
        let containers = detail.containers.into_iter().map(|container| ContainerFacts {
            name: container.name,
            essential: None,
            exit_code: container.exit_code,
            reason: container.reason.as_deref().map(one_line),
        });
        let facts = TaskFacts {
            task: TaskArn(detail.task_arn),
            last_status: detail.last_status,
            stop_code: detail.stop_code,
            stopped_reason: detail.stopped_reason.as_deref().map(one_line),
            times: TaskTimes {
                created_at: instant(detail.created_at),
                pull_started_at: instant(detail.pull_started_at),
                pull_stopped_at: instant(detail.pull_stopped_at),
                started_at: instant(detail.started_at),
                stopping_at: instant(detail.stopping_at),
                execution_stopped_at: instant(detail.execution_stopped_at),
                stopped_at: instant(detail.stopped_at),
            },
            containers: containers.collect(),
            described,
        };
        Ok(TaskEvent { version: detail.version, facts, task_definition: detail.task_definition_arn })
    }
}

/// An instant that can't be read is one that ECS left out.
fn instant(sent: Option<String>) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(&sent?).ok().map(DateTime::<Utc>::from)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// As the developer guide shows it, cut to the fields that matter and some that do not.
    fn event() -> Value {
        json!({
            "version": "0",
            "id": "3317b2af-7005-947d-b652-f55e762e571a",
            "detail-type": "ECS Task State Change",
            "source": "aws.ecs",
            "account": "111122223333",
            "time": "2026-01-23T17:57:58Z",
            "region": "us-west-2",
            "resources": ["arn:aws:ecs:us-west-2:111122223333:task/main/c13b4cb40f1f4fe4a2971f76ae5a47ad"],
            "detail": {
                "clusterArn": "arn:aws:ecs:us-west-2:111122223333:cluster/main",
                "containers": [{
                    "containerArn": "arn:aws:ecs:us-west-2:111122223333:container/cf159fd6",
                    "lastStatus": "STOPPED",
                    "name": "app",
                    "exitCode": 137,
                    "reason": "OutOfMemoryError: Container killed\n due to memory usage",
                    "runtimeId": "0d63",
                }, { "lastStatus": "STOPPED", "name": "log" }],
                "createdAt": "2026-01-23T17:57:34.402Z",
                "desiredStatus": "STOPPED",
                "lastStatus": "STOPPED",
                "stopCode": "EssentialContainerExited",
                "stoppedReason": "Essential container in task exited",
                "startedAt": "2026-01-23T17:57:40.5Z",
                "stoppedAt": "2026-01-23T18:57:58+01:00",
                "startedBy": "tenacron/6f1c9e0a",
                "taskArn": "arn:aws:ecs:us-west-2:111122223333:task/main/c13b4cb40f1f4fe4a2971f76ae5a47ad",
                "taskDefinitionArn": "arn:aws:ecs:us-west-2:111122223333:task-definition/nightly:7",
                "updatedAt": "2026-01-23T17:57:58.103Z",
                "version": 6,
            },
        })
    }

    #[test]
    fn event_is_the_task_that_describe_tasks_would_show() {
        let read = TaskEvent::parse(&event().to_string()).unwrap();
        assert_eq!(read.version, 6);
        assert_eq!(
            read.task_definition.as_deref(),
            Some("arn:aws:ecs:us-west-2:111122223333:task-definition/nightly:7")
        );
        let facts = read.facts;
        assert!(facts.is_stopped());
        assert!(facts.task.0.ends_with("c13b4cb40f1f4fe4a2971f76ae5a47ad"));
        assert_eq!(facts.stop_code.as_deref(), Some("EssentialContainerExited"));
        assert_eq!(facts.stopped_reason.as_deref(), Some("Essential container in task exited"));
        assert_eq!(facts.times.created_at, "2026-01-23T17:57:34.402Z".parse().ok());
        assert_eq!(facts.times.started_at, "2026-01-23T17:57:40.500Z".parse().ok());
        assert_eq!(facts.times.stopped_at, "2026-01-23T17:57:58Z".parse().ok());
        let described: Value = serde_json::from_str(&facts.described.unwrap()).unwrap();
        assert_eq!(described, event()["detail"], "it is the evidence, if ECS has forgotten the task");
        let container = |name: &str, exit_code, reason: Option<&str>| ContainerFacts {
            name: name.into(),
            essential: None,
            exit_code,
            reason: reason.map(str::to_owned),
        };
        let reason = "OutOfMemoryError: Container killed due to memory usage";
        assert_eq!(facts.containers, [container("app", Some(137), Some(reason)), container("log", None, None)]);
    }

    #[test]
    fn what_an_event_leaves_out_is_not_made_up() {
        let mut bare = event();
        bare["detail"] = json!({ "taskArn": "task/1", "version": 1, "lastStatus": "PENDING", "startedAt": "soon" });
        let read = TaskEvent::parse(&bare.to_string()).unwrap();
        let facts = TaskFacts { task: TaskArn("task/1".into()), last_status: "PENDING".into(), ..TaskFacts::default() };
        assert_eq!(read, TaskEvent { version: 1, facts, task_definition: None });
    }

    #[test]
    fn messages_of_no_use_say_why() {
        let with = |change: fn(&mut Value)| {
            let mut event = event();
            change(&mut event);
            TaskEvent::parse(&event.to_string())
        };
        assert_eq!(TaskEvent::parse("hello"), Err(Unreadable::NoEvent));
        assert_eq!(TaskEvent::parse(""), Err(Unreadable::NoEvent));
        // What SNS puts around an event, unless raw delivery is on.
        assert_eq!(TaskEvent::parse(r#"{"Type":"Notification","Message":"{}"}"#), Err(Unreadable::NoEvent));
        let of_service = |event: &mut Value| event["detail-type"] = json!("ECS Service Action");
        assert_eq!(with(of_service), Err(Unreadable::OtherEvent));
        assert_eq!(with(|event| event["source"] = json!("my.app")), Err(Unreadable::OtherEvent));
        assert_eq!(with(|event| event["detail"]["taskArn"] = json!(null)), Err(Unreadable::NoTask));
        assert_eq!(with(|event| event["detail"] = json!({})), Err(Unreadable::NoTask));
    }
}
