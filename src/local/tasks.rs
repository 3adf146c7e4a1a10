//! Tasks: their life cycle and what the API shows of them.
//!
//! Every change of a task is one method that takes the time, and each raises `version` as ECS does. The first cause that stops a task
//! is the one that is reported; later ones only find it stopping. What is unknown stays absent: a container that never started, or
//! whose host vanished, has no exit code.
//!
//! A stopped task is shown for one hour and is MISSING afterwards ("Checking stopped tasks for errors", Amazon ECS developer guide).

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::names::Names;

/// How long a stopped task is shown.
const STOPPED_VISIBLE: TimeDelta = TimeDelta::hours(1);
/// The longest `reason` that ECS gives.
const REASON_CHARACTERS_MAX: usize = 1024;
/// The reason of tasks whose endpoint was ended or died.
const HOST_TERMINATED: &str = "Host EC2 (instance local) terminated.";

/// The states of a task and of a container that this endpoint passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Status {
    Provisioning,
    Pending,
    Running,
    Stopping,
    Deprovisioning,
    Stopped,
}

/// Why a task stopped, in ECS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StopCode {
    TaskFailedToStart,
    EssentialContainerExited,
    UserInitiated,
    SpotInterruption,
}

/// One entry of `failures`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) arn: Option<String>,
    pub(super) reason: String,
}

impl Failure {
    pub(super) fn missing(arn: impl Into<String>) -> Self {
        Self { arn: Some(arn.into()), reason: "MISSING".to_owned() }
    }
}

/// One container of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TaskContainer {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) status: Status,
    pub(super) exit_code: Option<i32>,
    pub(super) reason: Option<String>,
}

/// One task. Its JSON form is what the journal keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) cluster: String,
    pub(super) family: String,
    pub(super) revision: u32,
    pub(super) launch_type: Option<String>,
    pub(super) capacity_provider: Option<String>,
    pub(super) platform_version: Option<String>,
    pub(super) group: String,
    pub(super) started_by: Option<String>,
    pub(super) overrides: Value,
    /// What of the request is shown as it came.
    #[serde(default)]
    pub(super) shown: Map<String, Value>,
    pub(super) tags: Vec<Value>,
    pub(super) containers: Vec<TaskContainer>,
    pub(super) last_status: Status,
    pub(super) desired_status: Status,
    pub(super) stop_code: Option<StopCode>,
    pub(super) stopped_reason: Option<String>,
    pub(super) version: u64,
    pub(super) created_at: DateTime<Utc>,
    /// Until then the task is MISSING, as ECS's eventual consistency permits.
    pub(super) visible_from: DateTime<Utc>,
    pub(super) pull_started_at: Option<DateTime<Utc>>,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) stopping_at: Option<DateTime<Utc>>,
    pub(super) execution_stopped_at: Option<DateTime<Utc>>,
    pub(super) stopped_at: Option<DateTime<Utc>>,
}

impl Task {
    pub(super) fn pend(&mut self, now: DateTime<Utc>) {
        self.pull_started_at = Some(now);
        self.enter(Status::Pending);
    }

    pub(super) fn run(&mut self, now: DateTime<Utc>) {
        self.started_at = Some(now);
        for container in &mut self.containers {
            if container.status == Status::Pending {
                container.status = Status::Running;
            }
        }
        self.enter(Status::Running);
    }

    /// Records the end of a container: its exit code if it has one, or why it never started.
    pub(super) fn end_container(&mut self, index: usize, exit_code: Option<i32>, reason: Option<&str>) {
        if let Some(container) = self.containers.get_mut(index) {
            container.status = Status::Stopped;
            container.exit_code = exit_code;
            container.reason = reason.map(shorten);
        }
        self.version = self.version.saturating_add(1);
    }

    /// Begins the end of the task, unless something else has already begun it.
    pub(super) fn begin_stop(&mut self, code: Option<StopCode>, reason: &str, now: DateTime<Utc>) {
        if self.desired_status == Status::Stopped {
            return;
        }
        self.desired_status = Status::Stopped;
        self.stop_code = code;
        self.stopped_reason = Some(shorten(reason));
        self.stopping_at = Some(now);
        self.enter(Status::Stopping);
    }

    /// Begins the end of a task whose host is gone. That has no stop code.
    pub(super) fn lose_host(&mut self, now: DateTime<Utc>) {
        self.begin_stop(None, HOST_TERMINATED, now);
    }

    /// All containers have ended, and the resources of the task are being given back.
    pub(super) fn deprovision(&mut self, now: DateTime<Utc>) {
        self.execution_stopped_at = Some(now);
        self.enter(Status::Deprovisioning);
    }

    pub(super) fn stop(&mut self, now: DateTime<Utc>) {
        for container in &mut self.containers {
            container.status = Status::Stopped;
        }
        self.desired_status = Status::Stopped;
        self.stopped_at = Some(now);
        self.enter(Status::Stopped);
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.last_status == Status::Stopped
    }

    fn enter(&mut self, status: Status) {
        self.last_status = status;
        self.version = self.version.saturating_add(1);
    }

    fn is_shown(&self, now: DateTime<Utc>) -> bool {
        self.visible_from <= now && !self.is_forgotten(now)
    }

    fn is_forgotten(&self, now: DateTime<Utc>) -> bool {
        self.stopped_at.is_some_and(|stopped_at| stopped_at + STOPPED_VISIBLE <= now)
    }

    /// The task as DescribeTasks shows it. What is unknown is absent.
    pub(super) fn describe(&self, names: &Names, with_tags: bool) -> Value {
        let arn = names.task(&self.cluster, &self.id);
        let containers: Vec<Value> =
            self.containers.iter().map(|container| self.describe_container(container, &arn, names)).collect();
        let mut shown = members([
            ("launchType", self.launch_type.clone().map(Value::from)),
            ("capacityProviderName", self.capacity_provider.clone().map(Value::from)),
            ("platformVersion", self.platform_version.clone().map(Value::from)),
            ("startedBy", self.started_by.clone().map(Value::from)),
            ("stopCode", self.stop_code.map(|code| json!(code))),
            ("stoppedReason", self.stopped_reason.clone().map(Value::from)),
            ("pullStartedAt", self.pull_started_at.map(epoch)),
            ("pullStoppedAt", self.pull_started_at.map(epoch)),
            ("connectivityAt", self.pull_started_at.map(epoch)),
            ("startedAt", self.started_at.map(epoch)),
            ("stoppingAt", self.stopping_at.map(epoch)),
            ("executionStoppedAt", self.execution_stopped_at.map(epoch)),
            ("stoppedAt", self.stopped_at.map(epoch)),
            ("tags", with_tags.then(|| json!(self.tags))),
        ]);
        shown.extend(members([
            ("taskArn", Some(json!(arn))),
            ("clusterArn", Some(json!(names.cluster(&self.cluster)))),
            ("taskDefinitionArn", Some(json!(names.definition(&self.family, self.revision)))),
            ("availabilityZone", Some(json!(format!("{}a", names.region())))),
            ("containers", Some(Value::Array(containers))),
            ("createdAt", Some(epoch(self.created_at))),
            ("desiredStatus", Some(json!(self.desired_status))),
            ("group", Some(json!(self.group))),
            ("lastStatus", Some(json!(self.last_status))),
            ("overrides", Some(self.overrides.clone())),
            ("version", Some(json!(self.version))),
        ]));
        shown.extend(self.shown.clone());
        Value::Object(shown)
    }

    fn describe_container(&self, container: &TaskContainer, task: &str, names: &Names) -> Value {
        let arn = names.container(&self.cluster, &self.id, &container.id);
        Value::Object(members([
            ("containerArn", Some(json!(arn))),
            ("taskArn", Some(json!(task))),
            ("name", Some(json!(container.name))),
            ("lastStatus", Some(json!(container.status))),
            ("networkInterfaces", Some(json!([]))),
            ("exitCode", container.exit_code.map(Value::from)),
            ("reason", container.reason.clone().map(Value::from)),
        ]))
    }

    /// The task as a replayed RunTask shows it: of a stopped one, little more than its ARN.
    pub(super) fn replay(&self, names: &Names) -> Value {
        if !self.has_stopped() {
            return self.describe(names, true);
        }
        json!({
            "taskArn": names.task(&self.cluster, &self.id),
            "lastStatus": self.last_status,
            "desiredStatus": self.desired_status,
        })
    }
}

fn members<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// An instant as the wire carries it: seconds since 1970 with a fraction.
pub(super) fn epoch(instant: DateTime<Utc>) -> Value {
    json!(instant.timestamp_millis() as f64 / 1000.0)
}

fn shorten(reason: &str) -> String {
    reason.chars().take(REASON_CHARACTERS_MAX).collect()
}

/// The filters of ListTasks. An absent one lets every task pass.
#[derive(Debug, Default)]
pub(super) struct Filter<'a> {
    pub(super) cluster: &'a str,
    pub(super) family: Option<&'a str>,
    pub(super) started_by: Option<&'a str>,
    pub(super) launch_type: Option<&'a str>,
    /// A task that is stopping already counts as stopped.
    pub(super) stopped: bool,
}

impl Filter<'_> {
    fn matches(&self, task: &Task) -> bool {
        task.cluster == self.cluster
            && self.family.is_none_or(|family| task.family == family)
            && (self.started_by.is_none() || task.started_by.as_deref() == self.started_by)
            && (self.launch_type.is_none() || task.launch_type.as_deref() == self.launch_type)
            && (task.desired_status == Status::Stopped) == self.stopped
    }
}

/// All tasks that ECS would still know.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    by_id: BTreeMap<String, Task>,
}

impl Tasks {
    pub(super) fn insert(&mut self, task: Task) {
        self.by_id.insert(task.id.clone(), task);
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Task> {
        self.by_id.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Task> {
        self.by_id.get_mut(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Task> {
        self.by_id.values()
    }

    /// The task, if the API shows it in this cluster at this time.
    pub(super) fn shown(&self, cluster: &str, id: &str, now: DateTime<Utc>) -> Option<&Task> {
        self.get(id).filter(|task| task.cluster == cluster && task.is_shown(now))
    }

    /// The tasks that the filter lets pass, ordered by id.
    pub(super) fn list(&self, filter: &Filter<'_>, now: DateTime<Utc>) -> impl Iterator<Item = &Task> {
        self.iter().filter(move |task| task.is_shown(now) && filter.matches(task))
    }

    /// The tasks of this cluster that run and that are about to.
    pub(super) fn count(&self, cluster: &str) -> (usize, usize) {
        let live = self.iter().filter(|task| task.cluster == cluster && !task.has_stopped());
        let (running, pending): (Vec<_>, Vec<_>) = live.partition(|task| task.started_at.is_some());
        (running.len(), pending.len())
    }

    /// Drops what has been stopped for an hour.
    pub(super) fn forget(&mut self, now: DateTime<Utc>) {
        self.by_id.retain(|_, task| !task.is_forgotten(now));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::local) fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    pub(in crate::local) fn task(id: &str, now: DateTime<Utc>) -> Task {
        Task {
            id: id.to_owned(),
            cluster: "default".to_owned(),
            family: "hello".to_owned(),
            revision: 1,
            launch_type: Some("FARGATE".to_owned()),
            capacity_provider: None,
            platform_version: None,
            group: "family:hello".to_owned(),
            started_by: Some(format!("tenacron/{id}")),
            overrides: json!({}),
            shown: Map::new(),
            tags: Vec::new(),
            containers: vec![TaskContainer {
                id: "c".to_owned(),
                name: "app".to_owned(),
                status: Status::Pending,
                exit_code: None,
                reason: None,
            }],
            last_status: Status::Provisioning,
            desired_status: Status::Running,
            stop_code: None,
            stopped_reason: None,
            version: 1,
            created_at: now,
            visible_from: now,
            pull_started_at: None,
            started_at: None,
            stopping_at: None,
            execution_stopped_at: None,
            stopped_at: None,
        }
    }

    fn ids(tasks: &Tasks, filter: &Filter<'_>, now: DateTime<Utc>) -> Vec<String> {
        tasks.list(filter, now).map(|task| task.id.clone()).collect()
    }

    #[test]
    fn each_change_raises_the_version() {
        let mut task = task("a", at(0));
        let mut last = task.version;
        let mut grown = |task: &Task| {
            let grown = task.version > last;
            last = task.version;
            grown
        };
        task.pend(at(1));
        assert!(grown(&task));
        task.run(at(2));
        assert!(grown(&task));
        task.begin_stop(Some(StopCode::UserInitiated), "enough", at(3));
        assert!(grown(&task));
        task.end_container(0, Some(143), None);
        assert!(grown(&task));
        task.deprovision(at(4));
        assert!(grown(&task));
        task.stop(at(5));
        assert!(grown(&task));
    }

    #[test]
    fn the_first_cause_of_a_stop_is_reported() {
        let mut task = task("a", at(0));
        task.begin_stop(Some(StopCode::UserInitiated), "enough", at(3));
        task.begin_stop(Some(StopCode::EssentialContainerExited), "later", at(4));
        task.lose_host(at(5));
        assert_eq!(task.stop_code, Some(StopCode::UserInitiated));
        assert_eq!(task.stopped_reason.as_deref(), Some("enough"));
        assert_eq!(task.stopping_at, Some(at(3)));
    }

    #[test]
    fn the_unknown_is_absent_and_times_are_numbers() {
        let names = Names::new("r", "1");
        let mut task = task("a", at(0));
        let fresh = task.describe(&names, false);
        for absent in ["startedAt", "stoppedAt", "stopCode", "stoppedReason", "tags"] {
            assert!(fresh.get(absent).is_none(), "{absent} is known too early");
        }
        assert!(fresh["containers"][0].get("exitCode").is_none());
        assert_eq!(fresh["createdAt"], json!(1_700_000_000.0));
        assert_eq!(fresh["lastStatus"], "PROVISIONING");
        task.lose_host(at(1));
        task.stop(at(1));
        let lost = task.describe(&names, false);
        assert!(lost.get("stopCode").is_none());
        assert_eq!(lost["stoppedReason"], HOST_TERMINATED);
        assert!(lost["containers"][0].get("exitCode").is_none());
    }

    #[test]
    fn a_stopped_task_is_missing_after_an_hour() {
        let mut tasks = Tasks::default();
        let mut task = task("a", at(0));
        task.stop(at(100));
        tasks.insert(task);
        assert!(tasks.shown("default", "a", at(100 + 3599)).is_some());
        assert!(tasks.shown("default", "a", at(100 + 3600)).is_none());
        assert!(tasks.shown("other", "a", at(100)).is_none());
        tasks.forget(at(100 + 3599));
        assert_eq!(tasks.len(), 1);
        tasks.forget(at(100 + 3600));
        assert_eq!(tasks.len(), 0);
    }

    #[test]
    fn a_hidden_task_appears_later() {
        let mut tasks = Tasks::default();
        let mut hidden = task("a", at(0));
        hidden.visible_from = at(30);
        tasks.insert(hidden);
        let filter = Filter { cluster: "default", ..Filter::default() };
        assert!(tasks.shown("default", "a", at(29)).is_none());
        assert!(ids(&tasks, &filter, at(29)).is_empty());
        assert!(tasks.shown("default", "a", at(30)).is_some());
        assert_eq!(ids(&tasks, &filter, at(30)), ["a"]);
    }

    #[test]
    fn filters_combine_and_stopping_counts_as_stopped() {
        let mut tasks = Tasks::default();
        tasks.insert(task("a", at(0)));
        let mut other = task("b", at(0));
        other.family = "other".to_owned();
        other.launch_type = Some("EC2".to_owned());
        tasks.insert(other);
        let mut stopping = task("c", at(0));
        stopping.begin_stop(Some(StopCode::UserInitiated), "enough", at(1));
        tasks.insert(stopping);
        let all = Filter { cluster: "default", ..Filter::default() };
        assert_eq!(ids(&tasks, &all, at(2)), ["a", "b"]);
        let family = Filter { family: Some("other"), launch_type: Some("EC2"), ..all };
        assert_eq!(ids(&tasks, &family, at(2)), ["b"]);
        let all = Filter { cluster: "default", ..Filter::default() };
        let started_by = Filter { started_by: Some("tenacron/c"), stopped: true, ..all };
        assert_eq!(ids(&tasks, &started_by, at(2)), ["c"]);
        let elsewhere = Filter { cluster: "other", ..Filter::default() };
        assert!(ids(&tasks, &elsewhere, at(2)).is_empty());
    }

    #[test]
    fn a_replay_says_little_of_a_stopped_task() {
        let names = Names::new("r", "1");
        let mut task = task("a", at(0));
        assert_eq!(task.replay(&names)["version"], 1);
        task.stop(at(1));
        let replay = task.replay(&names);
        let mut known: Vec<_> = replay.as_object().unwrap().keys().collect();
        known.sort();
        assert_eq!(known, ["desiredStatus", "lastStatus", "taskArn"]);
    }
}
