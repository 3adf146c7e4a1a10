//! A small AWS on loopback: one task, its queue of events and its log, as a test says. All services share one port, as
//! their operations have different names.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{WITHIN, now};
use super::tap::first_call;

pub(crate) const TASK: &str = "arn:aws:ecs:eu-central-1:123456789012:task/batch/0123456789abcdef0123456789abcdef";
const DEFINITION: &str = "arn:aws:ecs:eu-central-1:123456789012:task-definition/nightly:7";
pub(crate) const QUEUE: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/tenacron";

/// What DescribeTasks says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Running,
    /// With this exit code.
    Stopped(i32),
    /// Forgotten.
    Missing,
}

#[derive(Debug)]
struct State {
    shown: Shown,
    /// Messages with their receipts.
    queue: VecDeque<(String, String)>,
    sent: usize,
    deleted: Vec<String>,
    /// Status and body of GetLogEvents.
    log: (u16, Value),
    /// Status and body of every call of the queue, unless it works.
    queue_fails: Option<(u16, Value)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Aws {
    pub(crate) url: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Aws {
    pub(crate) fn start() -> Aws {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = State {
            shown: Shown::Running,
            queue: VecDeque::new(),
            sent: 0,
            deleted: Vec::new(),
            log: (200, json!({ "events": [] })),
            queue_fails: None,
        };
        let aws = Aws { url, state: Arc::new((Mutex::new(state), Condvar::new())) };
        let served = aws.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let served = served.clone();
                thread::spawn(move || served.serve(client));
            }
        });
        aws
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.state.1.notify_all();
    }

    pub(crate) fn show(&self, shown: Shown) {
        self.change(|state| state.shown = shown);
    }

    pub(crate) fn log(&self, status: u16, body: Value) {
        self.change(|state| state.log = (status, body));
    }

    /// From now on the queue answers like this; none lets it work.
    pub(crate) fn fail_queue(&self, with: Option<(u16, Value)>) {
        self.change(|state| state.queue_fails = with);
    }

    /// Puts a message into the queue and answers with its receipt.
    pub(crate) fn send(&self, body: &str) -> String {
        let mut receipt = String::new();
        self.change(|state| {
            state.sent += 1;
            receipt = format!("receipt-{}", state.sent);
            state.queue.push_back((receipt.clone(), body.to_owned()));
        });
        receipt
    }

    pub(crate) fn deleted(&self) -> Vec<String> {
        self.state().deleted.clone()
    }

    /// Waits until these messages are deleted.
    pub(crate) fn wait_for_deleted(&self, receipts: &[String]) {
        let until = now() + WITHIN;
        let mut state = self.state();
        while !receipts.iter().all(|receipt| state.deleted.contains(receipt)) {
            let left = until.saturating_duration_since(now());
            assert!(!left.is_zero(), "waited in vain for {receipts:?}; deleted: {:?}", state.deleted);
            state = self.state.1.wait_timeout(state, left).unwrap().0;
        }
    }

    fn serve(&self, mut client: TcpStream) {
        let mut waiting = Vec::new();
        let mut piece = [0; 16_384];
        while let Ok(length) = client.read(&mut piece) {
            waiting.extend_from_slice(&piece[..length]);
            while let Some((call, end)) = first_call(&waiting) {
                waiting.drain(..end);
                let (status, body) = self.answer(&call.operation, &call.body);
                let body = body.to_string();
                let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n", body.len());
                if client.write_all((head + &body).as_bytes()).is_err() {
                    return;
                }
            }
            if length == 0 {
                return;
            }
        }
    }

    fn answer(&self, operation: &str, body: &Value) -> (u16, Value) {
        let shown = self.state().shown;
        match operation {
            "RunTask" => (200, json!({ "tasks": [task(Shown::Running)], "failures": [] })),
            "DescribeTasks" if shown == Shown::Missing => {
                (200, json!({ "tasks": [], "failures": [{ "arn": TASK, "reason": "MISSING" }] }))
            }
            "DescribeTasks" => (200, json!({ "tasks": [task(shown)], "failures": [] })),
            "ListTasks" => (200, json!({ "taskArns": [] })),
            "DescribeTaskDefinition" => (200, json!({ "taskDefinition": definition() })),
            "GetLogEvents" => self.state().log.clone(),
            "ReceiveMessage" => self.receive(body),
            "DeleteMessageBatch" => self.delete(body),
            other => (400, json!({ "__type": "UnknownOperationException", "message": other })),
        }
    }

    /// A message that was received is out of sight until the test sends it again.
    fn receive(&self, body: &Value) -> (u16, Value) {
        let until = now() + Duration::from_secs(body["WaitTimeSeconds"].as_u64().unwrap_or_default());
        let mut state = self.state();
        loop {
            if let Some(failure) = state.queue_fails.clone() {
                return failure;
            }
            let most = state.queue.len().min(10);
            let messages: Vec<Value> = state
                .queue
                .drain(..most)
                .map(|(receipt, body)| json!({ "MessageId": receipt, "ReceiptHandle": receipt, "Body": body }))
                .collect();
            let left = until.saturating_duration_since(now());
            if !messages.is_empty() || left.is_zero() {
                return (200, json!({ "Messages": messages }));
            }
            state = self.state.1.wait_timeout(state, left).unwrap().0;
        }
    }

    fn delete(&self, body: &Value) -> (u16, Value) {
        let entries = body["Entries"].as_array().cloned().unwrap_or_default();
        let receipts = entries.iter().map(|entry| entry["ReceiptHandle"].as_str().unwrap_or_default().to_owned());
        self.change(|state| state.deleted.extend(receipts));
        (
            200,
            json!({ "Successful": entries.iter().map(|entry| json!({ "Id": entry["Id"] })).collect::<Vec<_>>(), "Failed": [] }),
        )
    }
}

fn task(shown: Shown) -> Value {
    let base = json!({ "taskArn": TASK, "taskDefinitionArn": DEFINITION, "startedAt": 1_750_000_000.5 });
    let mut task = base;
    match shown {
        Shown::Running | Shown::Missing => {
            task["lastStatus"] = json!("RUNNING");
            task["containers"] = json!([{ "name": "app", "lastStatus": "RUNNING" }]);
        }
        Shown::Stopped(exit_code) => {
            task["lastStatus"] = json!("STOPPED");
            task["stopCode"] = json!("EssentialContainerExited");
            task["stoppedReason"] = json!("Essential container in task exited");
            task["containers"] = json!([{ "name": "app", "lastStatus": "STOPPED", "exitCode": exit_code }]);
        }
    }
    task
}

fn definition() -> Value {
    let options = json!({ "awslogs-group": "/ecs/nightly", "awslogs-stream-prefix": "ecs" });
    let logs = json!({ "logDriver": "awslogs", "options": options });
    json!({ "taskDefinitionArn": DEFINITION, "containerDefinitions": [{ "name": "app", "logConfiguration": logs }] })
}

/// An event as EventBridge puts it into the queue.
pub(crate) fn event(version: i64, shown: Shown) -> Value {
    let mut detail = task(shown);
    detail["version"] = json!(version);
    detail["startedAt"] = json!("2026-11-25T02:00:10.5Z");
    detail["clusterArn"] = json!("arn:aws:ecs:eu-central-1:123456789012:cluster/batch");
    json!({ "version": "0", "source": "aws.ecs", "detail-type": "ECS Task State Change", "detail": detail })
}
