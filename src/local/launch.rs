//! What one RunTask call asks for, checked, and the tasks that it creates.
//!
//! The checks are those that a real launch would stumble over and that need no other resource of AWS: lengths, counts, exclusive
//! members, the size of the overrides. Networks, roles, images and the capacity providers of a cluster are not looked at, so that a
//! production job can be tried here unchanged.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::definitions::{Definition, Overrides};
use super::extras::Extras;
use super::tasks::{Status, Task, TaskContainer};
use super::wire::{Refusal, parse};

const COUNT_MAX: usize = 10;
const STARTED_BY_CHARACTERS_MAX: usize = 128;
const TOKEN_CHARACTERS_MAX: usize = 64;
const TAGS_MAX: usize = 50;
/// The limit on the JSON of all overrides of a call (RunTask, Amazon ECS API reference).
const OVERRIDES_CHARACTERS_MAX: usize = 8192;
const CAPACITY_PROVIDERS_MAX: usize = 20;
const FARGATE: &str = "FARGATE";
const LAUNCH_TYPES: [&str; 4] = ["EC2", FARGATE, "EXTERNAL", "MANAGED_INSTANCES"];

/// The members of RunTask that this endpoint uses.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RunTask {
    pub(super) cluster: Option<String>,
    task_definition: Option<String>,
    count: Option<usize>,
    launch_type: Option<String>,
    capacity_provider_strategy: Vec<StrategyItem>,
    platform_version: Option<String>,
    overrides: Option<Value>,
    group: Option<String>,
    started_by: Option<String>,
    pub(super) client_token: Option<String>,
    tags: Vec<Value>,
    #[serde(flatten)]
    extras: Extras,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StrategyItem {
    capacity_provider: String,
}

impl RunTask {
    /// Refuses what could be refused without knowing what exists.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let refuse = |message: &str| Err(Refusal::invalid(message));
        if self.task_definition().is_empty() {
            return refuse("TaskDefinition cannot be blank.");
        }
        if !(1..=COUNT_MAX).contains(&self.count()) {
            return refuse("Count must be between 1 and 10.");
        }
        if self.launch_type.is_some() && !self.capacity_provider_strategy.is_empty() {
            return refuse(
                "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
            );
        }
        if let Some(launch_type) = self.launch_type.as_deref()
            && !LAUNCH_TYPES.contains(&launch_type)
        {
            return refuse("Launch type must be one of EC2, FARGATE, EXTERNAL, MANAGED_INSTANCES.");
        }
        if self.capacity_provider_strategy.len() > CAPACITY_PROVIDERS_MAX {
            return refuse("A capacity provider strategy has at most 20 items.");
        }
        if self.started_by.as_deref().map_or(0, characters) > STARTED_BY_CHARACTERS_MAX {
            return refuse("startedBy length must be at most 128.");
        }
        if self.tags.len() > TAGS_MAX {
            return refuse("The number of tags must be at most 50.");
        }
        if let Some(token) = self.client_token.as_deref()
            && (token.is_empty()
                || token.len() > TOKEN_CHARACTERS_MAX
                || !token.bytes().all(|byte| (33..=126).contains(&byte)))
        {
            return refuse("clientToken must be 1 to 64 characters in the ASCII range of 33-126.");
        }
        if let Some(overrides) = &self.overrides
            && characters(&overrides.to_string()) > OVERRIDES_CHARACTERS_MAX
        {
            return refuse("Container Overrides length must be at most 8192");
        }
        self.extras.check(self.launch_type.as_deref(), self.platform_version.as_deref(), self.overrides.as_ref())
    }

    pub(super) fn task_definition(&self) -> &str {
        self.task_definition.as_deref().unwrap_or_default()
    }

    fn count(&self) -> usize {
        self.count.unwrap_or(1)
    }

    pub(super) fn overrides(&self) -> Result<Overrides, Refusal> {
        match &self.overrides {
            Some(overrides) => parse(overrides),
            None => Ok(Overrides::default()),
        }
    }

    /// The tasks of this call, as they are before anything has started.
    pub(super) fn tasks(
        &self,
        cluster: &str,
        definition: &Definition,
        hidden: Duration,
        now: DateTime<Utc>,
    ) -> Vec<Task> {
        let task = || self.task(cluster, definition, hidden, now);
        std::iter::repeat_with(task).take(self.count()).collect()
    }

    fn task(&self, cluster: &str, definition: &Definition, hidden: Duration, now: DateTime<Utc>) -> Task {
        let launch_type = self.resolved_launch_type();
        let fargate = launch_type == FARGATE;
        let platform_version = self.platform_version.as_deref().unwrap_or("LATEST");
        let family = definition.family();
        Task {
            id: Uuid::new_v4().simple().to_string(),
            cluster: cluster.to_owned(),
            family: family.to_owned(),
            revision: definition.revision,
            launch_type: Some(launch_type.to_owned()),
            capacity_provider: self.capacity_provider().map(str::to_owned),
            platform_version: fargate.then(|| platform_version.replace("LATEST", "1.4.0")),
            group: self.group.clone().unwrap_or_else(|| format!("family:{family}")),
            started_by: self.started_by.clone(),
            overrides: self.shown_overrides(),
            shown: self.extras.shown(self.overrides.as_ref()),
            tags: self.tags.clone(),
            containers: definition.container_names().map(container).collect(),
            last_status: Status::Provisioning,
            desired_status: Status::Running,
            stop_code: None,
            stopped_reason: None,
            version: 1,
            created_at: now,
            visible_from: TimeDelta::from_std(hidden)
                .ok()
                .and_then(|hidden| now.checked_add_signed(hidden))
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
            pull_started_at: None,
            started_at: None,
            stopping_at: None,
            execution_stopped_at: None,
            stopped_at: None,
        }
    }

    fn capacity_provider(&self) -> Option<&str> {
        self.capacity_provider_strategy.first().map(|item| item.capacity_provider.as_str())
    }

    fn resolved_launch_type(&self) -> &str {
        match (self.launch_type.as_deref(), self.capacity_provider()) {
            (Some(launch_type), _) => launch_type,
            (None, Some("FARGATE" | "FARGATE_SPOT")) => FARGATE,
            (None, _) => "EC2",
        }
    }

    fn shown_overrides(&self) -> Value {
        let mut shown = self.overrides.clone().unwrap_or_else(|| json!({}));
        if let Some(members) = shown.as_object_mut() {
            for list in ["containerOverrides", "inferenceAcceleratorOverrides"] {
                members.entry(list).or_insert_with(|| json!([]));
            }
        }
        shown
    }
}

fn container(name: &str) -> TaskContainer {
    TaskContainer {
        id: Uuid::new_v4().to_string(),
        name: name.to_owned(),
        status: Status::Pending,
        exit_code: None,
        reason: None,
    }
}

fn characters(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: Value) -> Option<String> {
        let call: RunTask = serde_json::from_value(body).unwrap();
        call.check().err().map(|refusal| {
            assert_eq!(refusal.code, "InvalidParameterException");
            refusal.message
        })
    }

    #[test]
    fn each_limit_is_refused_one_past_it_and_not_at_it() {
        let with = |name: &str, value: Value| {
            let mut body = json!({ "taskDefinition": "hello" });
            body[name] = value;
            refused(body)
        };
        // {"environment":"…"} around the filling is 18 characters.
        let overrides = |length: usize| json!({ "environment": "x".repeat(length - 18) });
        assert_eq!(overrides(8192).to_string().len(), 8192, "the filling is miscounted");
        for (name, good, bad) in [
            ("count", json!(10), json!(11)),
            ("count", json!(1), json!(0)),
            ("startedBy", json!("x".repeat(128)), json!("x".repeat(129))),
            ("clientToken", json!("x".repeat(64)), json!("x".repeat(65))),
            ("clientToken", json!("!~"), json!("a b")),
            ("overrides", overrides(8192), overrides(8193)),
            ("tags", json!(vec![json!({}); 50]), json!(vec![json!({}); 51])),
            ("launchType", json!("FARGATE"), json!("LAMBDA")),
        ] {
            assert_eq!(with(name, good), None, "{name}");
            assert!(with(name, bad).is_some(), "{name}");
        }
        assert_eq!(with("overrides", overrides(8193)).unwrap(), "Container Overrides length must be at most 8192");
        assert_eq!(refused(json!({})).unwrap(), "TaskDefinition cannot be blank.");
    }

    #[test]
    fn launch_type_excludes_a_capacity_provider_strategy() {
        let strategy = json!([{ "capacityProvider": "FARGATE_SPOT", "weight": 1 }]);
        let spot = json!({ "taskDefinition": "hello", "capacityProviderStrategy": strategy });
        assert_eq!(refused(spot.clone()), None);
        let call: RunTask = serde_json::from_value(spot.clone()).unwrap();
        assert_eq!(call.capacity_provider(), Some("FARGATE_SPOT"));
        assert_eq!(call.resolved_launch_type(), "FARGATE");
        let mut both = spot;
        both["launchType"] = json!("FARGATE");
        assert!(refused(both).is_some());
    }
}
