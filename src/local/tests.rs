//! The life of tasks, from RunTask to the last answer, with real processes and without HTTP.
//!
//! A test waits for what DescribeTasks shows or for a file that a command makes, in a loop with a limit; it never sleeps and hopes.

mod restarts;
mod trouble;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::clock;
use super::endpoint::Endpoint;
use super::journal::{Journal, JournalError};
use super::operations::perform;
use super::settings::{Container, Outcome, Settings, TaskDefinition};
use super::wire::{Answer, Refusal};

/// Ten milliseconds each: no condition of these tests takes half a minute.
const POLLS_MAX: u32 = 3000;

struct Local {
    endpoint: Arc<Endpoint>,
}

impl Local {
    fn open(settings: &Settings) -> Self {
        Self { endpoint: Arc::new(Endpoint::open(settings, clock::now()).unwrap()) }
    }

    fn of(containers: Vec<Container>, outcomes: Vec<Outcome>) -> Self {
        Self::open(&settings(containers, outcomes))
    }

    async fn answer(&self, operation: &str, body: Value, now: DateTime<Utc>) -> Result<Answer, Refusal> {
        perform(&self.endpoint, operation, body, now).await
    }

    async fn call(&self, operation: &str, body: Value) -> Result<Value, Refusal> {
        match self.answer(operation, body, clock::now()).await? {
            Answer::Body(body) => Ok(body),
            Answer::HangUp => panic!("{operation} hung up"),
        }
    }

    async fn run(&self, extra: Value) -> Result<Value, Refusal> {
        self.call("RunTask", request(extra)).await
    }

    /// Runs a task and gives it back stopped.
    async fn run_to_end(&self, extra: Value) -> Value {
        let answer = self.run(extra).await.unwrap();
        self.stopped(arn(&answer)).await
    }

    async fn describe(&self, arn: &str) -> Value {
        let described = self.call("DescribeTasks", json!({ "tasks": [arn] })).await;
        described.unwrap()["tasks"][0].clone()
    }

    async fn stopped(&self, arn: &str) -> Value {
        self.until(arn, |task| task["lastStatus"] == "STOPPED").await
    }

    async fn until(&self, arn: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut looks = looks();
        for _ in 0..POLLS_MAX {
            looks.tick().await;
            let task = self.describe(arn).await;
            if wanted(&task) {
                return task;
            }
        }
        panic!("waited in vain for {arn}: {}", self.describe(arn).await);
    }

    async fn list(&self, filter: Value) -> Vec<Value> {
        let listed = self.call("ListTasks", filter).await.unwrap();
        listed["taskArns"].as_array().unwrap().clone()
    }

    async fn list_all(&self) -> Vec<Value> {
        let mut all = self.list(json!({})).await;
        all.extend(self.list(json!({ "desiredStatus": "STOPPED" })).await);
        all
    }
}

fn settings(containers: Vec<Container>, outcomes: Vec<Outcome>) -> Settings {
    Settings {
        task_definitions: vec![TaskDefinition { family: "hello".to_owned(), containers, outcomes }],
        ..Settings::default()
    }
}

fn shell(name: &str, script: &str) -> Container {
    Container {
        name: name.to_owned(),
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        ..Container::default()
    }
}

fn sidecar(name: &str, script: &str) -> Container {
    Container { essential: false, ..shell(name, script) }
}

fn request(extra: Value) -> Value {
    let mut body = json!({ "taskDefinition": "hello", "startedBy": "tenacron/1" });
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn arn(answer: &Value) -> &str {
    answer["tasks"][0]["taskArn"].as_str().unwrap()
}

/// The beat of looking for a condition.
fn looks() -> tokio::time::Interval {
    tokio::time::interval(Duration::from_millis(10))
}

async fn exists(path: &Path) {
    let mut looks = looks();
    for _ in 0..POLLS_MAX {
        looks.tick().await;
        if path.exists() {
            return;
        }
    }
    panic!("waited in vain for {}", path.display());
}

#[tokio::test]
async fn a_task_runs_with_its_overrides_and_ends_with_its_exit_code() {
    let mut app = shell("app", "test \"$A$B\" = 13 || exit 9; exit $CODE");
    app.environment = BTreeMap::from([("A", "1"), ("B", "2")].map(|(name, value)| (name.to_owned(), value.to_owned())));
    let local = Local::of(vec![app], vec![]);
    for code in [0, 7] {
        let overrides = json!({ "containerOverrides": [{ "name": "app", "environment": [
            { "name": "B", "value": "3" }, { "name": "CODE", "value": code.to_string() }] }] });
        let task = local.run_to_end(json!({ "overrides": overrides })).await;
        assert_eq!(task["containers"][0]["exitCode"], code);
        assert_eq!(task["stopCode"], "EssentialContainerExited");
        assert_eq!(task["stoppedReason"], "Essential container in task exited");
        assert_eq!(task["overrides"]["containerOverrides"], overrides["containerOverrides"]);
    }
    let overrides = json!({ "containerOverrides": [{ "name": "app", "command": ["sh", "-c", "exit 5"] }] });
    let task = local.run_to_end(json!({ "overrides": overrides })).await;
    assert_eq!(task["containers"][0]["exitCode"], 5);
}

#[tokio::test]
async fn a_fresh_task_is_provisioning_and_its_times_follow_in_order() {
    let local = Local::of(vec![shell("app", "true")], vec![]);
    let answer = local.run(json!({})).await.unwrap();
    let fresh = &answer["tasks"][0];
    assert_eq!(fresh["lastStatus"], "PROVISIONING");
    assert_eq!(fresh["desiredStatus"], "RUNNING");
    assert_eq!(fresh["version"], 1);
    assert_eq!(fresh["group"], "family:hello");
    assert_eq!(fresh["containers"][0]["lastStatus"], "PENDING");
    let task = local.stopped(arn(&answer)).await;
    let at = |name: &str| task[name].as_f64().unwrap_or_else(|| panic!("no {name}"));
    let times = ["createdAt", "pullStartedAt", "startedAt", "stoppingAt", "executionStoppedAt", "stoppedAt"];
    assert!(times.map(at).is_sorted(), "{task}");
    assert!(task["version"].as_u64().unwrap() > 1);
}

#[tokio::test]
async fn a_sidecar_is_stopped_with_the_essential_container() {
    let log = Container {
        stop_timeout: Duration::from_millis(100),
        ..sidecar("log", "trap '' TERM; while :; do sleep 1; done")
    };
    let local = Local::of(vec![shell("app", "exit 0"), log, sidecar("tail", "sleep 60")], vec![]);
    let task = local.run_to_end(json!({})).await;
    assert_eq!(task["containers"][0]["exitCode"], 0);
    // Whether the trap was set in time is a matter of luck, so either signal may have ended it.
    let log = task["containers"][1]["exitCode"].as_i64().unwrap();
    assert!(log == 137 || log == 143, "{task}");
    assert_eq!(task["containers"][2]["exitCode"], 143);
    assert_eq!(task["stopCode"], "EssentialContainerExited");
}

#[tokio::test]
async fn a_container_that_is_not_essential_may_end_alone() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let wait = format!("until test -e {}; do sleep 0.01; done; exit 4", go.display());
    let local = Local::of(vec![shell("app", &wait), sidecar("init", "exit 3")], vec![]);
    let answer = local.run(json!({})).await.unwrap();
    let task = local.until(arn(&answer), |task| task["containers"][1]["exitCode"] == 3).await;
    assert_eq!(task["lastStatus"], "RUNNING");
    fs::write(&go, "").unwrap();
    let task = local.stopped(arn(&answer)).await;
    assert_eq!(task["containers"][0]["exitCode"], 4);
}

#[tokio::test]
async fn stop_task_ends_politely_and_then_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let stubborn = Container {
        stop_timeout: Duration::from_millis(100),
        ..shell("app", &format!("trap '' TERM; touch {}; while :; do sleep 0.05; done", ready.display()))
    };
    let local = Local::of(vec![stubborn], vec![]);
    let answer = local.run(json!({ "tags": [{ "key": "k", "value": "v" }] })).await.unwrap();
    exists(&ready).await;
    let described = local.call("DescribeTasks", json!({ "tasks": [arn(&answer)], "include": ["TAGS"] })).await.unwrap();
    assert_eq!(described["tasks"][0]["tags"][0]["value"], "v");
    let stop = json!({ "task": arn(&answer), "reason": "too slow" });
    let stopping = local.call("StopTask", stop.clone()).await.unwrap();
    assert_eq!(stopping["task"]["desiredStatus"], "STOPPED");
    let task = local.stopped(arn(&answer)).await;
    assert_eq!(task["containers"][0]["exitCode"], 137);
    assert_eq!(task["stopCode"], "UserInitiated");
    assert_eq!(task["stoppedReason"], "too slow");
    // Stopping what has stopped changes nothing, and the tags went with the first stop.
    let again = local.call("StopTask", stop).await.unwrap();
    assert_eq!(again["task"]["version"], task["version"]);
    let described = local.call("DescribeTasks", json!({ "tasks": [arn(&answer)], "include": ["TAGS"] })).await.unwrap();
    assert_eq!(described["tasks"][0]["tags"], json!([]));
    let unknown = json!({ "task": "0123456789abcdef0123456789abcdef" });
    assert_eq!(local.call("StopTask", unknown).await.unwrap_err().code, "InvalidParameterException");
}

#[tokio::test]
async fn a_task_that_is_stopped_at_once_ends() {
    let local = Local::of(vec![shell("app", "sleep 60")], vec![]);
    let answer = local.run(json!({})).await.unwrap();
    let stop = json!({ "task": arn(&answer) });
    local.call("StopTask", stop).await.unwrap();
    let task = local.stopped(arn(&answer)).await;
    assert_eq!(task["stopCode"], "UserInitiated");
    assert_eq!(task["stoppedReason"], "Task stopped by user");
}

#[tokio::test]
async fn a_command_that_cannot_be_run_fails_to_start() {
    let mut app = shell("app", "");
    app.command = vec!["/no/such/program".to_owned()];
    let local = Local::of(vec![sidecar("log", "sleep 60"), app], vec![]);
    let task = local.run_to_end(json!({})).await;
    assert_eq!(task["stopCode"], "TaskFailedToStart");
    let reason = task["stoppedReason"].as_str().unwrap();
    assert!(reason.starts_with("CannotStartContainerError: "), "{reason}");
    assert!(reason.contains("/no/such/program"), "{reason}");
    assert_eq!(task["containers"][1]["reason"], reason);
    assert!(task["containers"][1].get("exitCode").is_none());
    assert!(task.get("startedAt").is_none());
}

#[tokio::test]
async fn a_sidecar_that_cannot_be_run_does_not_end_its_task() {
    let mut log = sidecar("log", "");
    log.command = vec!["/no/such/program".to_owned()];
    let local = Local::of(vec![log, shell("app", "exit 0")], vec![]);
    let task = local.run_to_end(json!({})).await;
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    assert_eq!(task["containers"][1]["exitCode"], 0);
    assert!(task["containers"][0].get("exitCode").is_none());
    let reason = task["containers"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("CannotStartContainerError: "), "{reason}");
}

#[tokio::test]
async fn calls_with_one_token_at_the_same_time_start_one_task() {
    let local = Local::of(vec![shell("app", "sleep 60")], vec![]);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let endpoint = Arc::clone(&local.endpoint);
        let body = request(json!({ "clientToken": "t-1" }));
        calls.spawn(async move { perform(&endpoint, "RunTask", body, clock::now()).await });
    }
    let mut arns = std::collections::BTreeSet::new();
    for answer in calls.join_all().await {
        let Ok(Answer::Body(answer)) = answer else {
            panic!("a call was refused");
        };
        arns.insert(arn(&answer).to_owned());
    }
    assert_eq!(arns.len(), 1);
    assert_eq!(local.list_all().await.len(), 1);
}

#[tokio::test]
async fn a_token_replays_its_first_result_and_refuses_another_call() {
    let outcomes = vec![Outcome::Run, Outcome::Failure { reason: "RESOURCE:MEMORY".to_owned(), detail: None }];
    let local = Local::of(vec![shell("app", "exit 3")], outcomes);
    let first = local.run(json!({ "clientToken": "t-1" })).await.unwrap();
    local.stopped(arn(&first)).await;
    let replay = local.run(json!({ "clientToken": "t-1" })).await.unwrap();
    assert_eq!(
        replay["tasks"],
        json!([{ "taskArn": arn(&first), "lastStatus": "STOPPED", "desiredStatus": "STOPPED" }])
    );
    let other = json!({ "clientToken": "t-1", "startedBy": "tenacron/2" });
    let conflict = local.run(other).await.unwrap_err();
    assert_eq!(conflict.code, "ConflictException");
    assert_eq!(conflict.resource_ids, [arn(&first)]);
    // Neither the replay nor the conflict took the failure that the script has for the second launch.
    for _ in 0..2 {
        let failed = local.run(json!({ "clientToken": "t-2" })).await.unwrap();
        assert_eq!(failed["failures"][0]["reason"], "RESOURCE:MEMORY");
        assert_eq!(failed["tasks"], json!([]));
    }
    assert_eq!(local.list_all().await.len(), 1);
}

#[tokio::test]
async fn a_forgotten_token_starts_a_second_task() {
    let local = Local::of(vec![shell("app", "true")], vec![]);
    let first = local.run(json!({ "clientToken": "t-1" })).await.unwrap();
    local.stopped(arn(&first)).await;
    let body = request(json!({ "clientToken": "t-1" }));
    let later = clock::now() + TimeDelta::hours(1);
    let Ok(Answer::Body(second)) = local.answer("RunTask", body, later).await else {
        panic!("the second launch was refused");
    };
    assert_ne!(arn(&first), arn(&second));
    let described = local.answer("DescribeTasks", json!({ "tasks": [arn(&first)] }), later).await;
    let Ok(Answer::Body(described)) = described else {
        panic!("DescribeTasks was refused");
    };
    assert_eq!(described["failures"], json!([{ "arn": arn(&first), "reason": "MISSING" }]));
}

#[tokio::test]
async fn a_refusal_creates_nothing_and_frees_its_token() {
    let refusals = [
        (Outcome::Throttled, "ThrottlingException"),
        (Outcome::ThrottledAsInvalidParameter, "InvalidParameterException"),
        (Outcome::AccessDenied, "AccessDeniedException"),
        (Outcome::ServerException, "ServerException"),
    ];
    let outcomes = refusals.iter().map(|(outcome, _)| outcome.clone());
    let local = Local::of(vec![shell("app", "true")], outcomes.collect());
    for (_, code) in refusals {
        let refusal = local.run(json!({ "clientToken": "t-1" })).await.unwrap_err();
        assert_eq!(refusal.code, code);
        assert!(local.list_all().await.is_empty());
    }
    let started = local.run(json!({ "clientToken": "t-1" })).await.unwrap();
    assert_eq!(started["tasks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_does_not_exist_is_refused_by_name() {
    let local = Local::of(vec![shell("app", "true")], vec![]);
    for (operation, body, code, message) in [
        ("RunTask", json!({ "taskDefinition": "hallo" }), "ClientException", "TaskDefinition not found."),
        ("RunTask", json!({ "taskDefinition": "hello:2" }), "ClientException", "TaskDefinition not found."),
        (
            "RunTask",
            json!({ "taskDefinition": "hello", "cluster": "batch" }),
            "ClusterNotFoundException",
            "Cluster not found.",
        ),
        ("RunTask", json!({}), "InvalidParameterException", "TaskDefinition cannot be blank."),
        ("RunTask", json!({ "taskDefinition": 7 }), "SerializationException", "invalid type"),
        ("DescribeTasks", json!({}), "InvalidParameterException", "Tasks cannot be empty."),
        ("DescribeTasks", json!({ "tasks": vec!["a"; 101] }), "InvalidParameterException", "at most 100"),
        (
            "DescribeTaskDefinition",
            json!({ "taskDefinition": "hallo" }),
            "ClientException",
            "Unable to describe task definition.",
        ),
        ("DeleteEverything", json!({}), "UnknownOperationException", "does not serve"),
    ] {
        let refusal = local.call(operation, body).await.unwrap_err();
        assert_eq!(refusal.code, code);
        assert!(refusal.message.contains(message), "{}", refusal.message);
    }
}
