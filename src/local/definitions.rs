//! Task definitions: what is registered, and the processes that an override makes of it.
//!
//! A registered definition keeps the members that this endpoint does not use (image, cpu, log configuration, …) and shows them again,
//! so a tool that compares what it registered with what it reads finds no difference. A definition of the settings becomes a new
//! revision when it differs from the last one that came from the settings, as a deployment would register it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::names::Names;
use super::settings;
use super::tasks::epoch;
use super::wire::Refusal;

/// The quotas of ECS ("Amazon ECS service quotas") are per family; one limit for all is enough here.
const REVISIONS_MAX: usize = 100_000;
const FAMILY_CHARACTERS_MAX: usize = 255;
/// The default of `stopTimeout` ("Task definition parameters", Amazon ECS developer guide).
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A name and its value, as the API writes environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pair {
    pub(super) name: String,
    #[serde(default)]
    pub(super) value: String,
}

impl Pair {
    fn to_tuple(&self) -> (String, String) {
        (self.name.clone(), self.value.clone())
    }
}

/// A container as it was registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerDefinition {
    #[serde(default)]
    name: String,
    #[serde(default)]
    entry_point: Vec<String>,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default = "essential_by_default")]
    essential: bool,
    #[serde(default)]
    environment: Vec<Pair>,
    /// Seconds. The settings may ask for a fraction, which the API cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stop_timeout: Option<f64>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

fn essential_by_default() -> bool {
    true
}

impl From<&settings::Container> for ContainerDefinition {
    fn from(container: &settings::Container) -> Self {
        let environment = container.environment.iter();
        Self {
            name: container.name.clone(),
            entry_point: Vec::new(),
            command: container.command.clone(),
            essential: container.essential,
            environment: environment.map(|(name, value)| Pair { name: name.clone(), value: value.clone() }).collect(),
            stop_timeout: Some(container.stop_timeout.as_secs_f64()),
            other: Map::new(),
        }
    }
}

impl ContainerDefinition {
    fn stop_timeout(&self) -> Option<Duration> {
        self.stop_timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    fn describe(&self) -> Value {
        let mut shown = json!(self);
        if let (Some(timeout), Some(members)) = (self.stop_timeout(), shown.as_object_mut()) {
            let seconds = timeout.as_millis().div_ceil(1000);
            members.insert("stopTimeout".to_owned(), json!(seconds));
        }
        shown
    }
}

/// What RegisterTaskDefinition is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registration {
    #[serde(default)]
    pub(super) family: String,
    #[serde(default)]
    container_definitions: Vec<ContainerDefinition>,
    #[serde(default)]
    pub(super) tags: Vec<Value>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl From<&settings::TaskDefinition> for Registration {
    fn from(definition: &settings::TaskDefinition) -> Self {
        Self {
            family: definition.family.clone(),
            container_definitions: definition.containers.iter().map(Into::into).collect(),
            tags: Vec::new(),
            other: Map::new(),
        }
    }
}

impl Registration {
    /// Refuses what could never run.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.family.is_empty() {
            return Err(Refusal::client("Family cannot be blank."));
        }
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if self.family.len() > FAMILY_CHARACTERS_MAX || !self.family.bytes().all(letters) {
            return Err(Refusal::client(
                "Family contains invalid characters: up to 255 letters, numbers, hyphens and underscores are allowed.",
            ));
        }
        if self.container_definitions.is_empty() {
            return Err(Refusal::client("Container list cannot be empty."));
        }
        let mut names = BTreeSet::new();
        for container in &self.container_definitions {
            if container.name.is_empty() {
                return Err(Refusal::client("Container.name should not be null or empty."));
            }
            if !names.insert(&container.name) {
                return Err(Refusal::client(format!("Container name {} is used more than once.", container.name)));
            }
        }
        if !self.container_definitions.iter().any(|it| it.essential) {
            return Err(Refusal::client("Task definition must have at least one essential container."));
        }
        Ok(())
    }
}

/// One revision of a family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Definition {
    pub(super) registration: Registration,
    pub(super) revision: u32,
    registered_at: DateTime<Utc>,
    from_settings: bool,
}

impl Definition {
    pub(super) fn family(&self) -> &str {
        &self.registration.family
    }

    pub(super) fn arn(&self, names: &Names) -> String {
        names.definition(self.family(), self.revision)
    }

    pub(super) fn describe(&self, names: &Names) -> Value {
        let containers = self.registration.container_definitions.iter();
        let mut shown = self.registration.other.clone();
        let own = [
            ("taskDefinitionArn", json!(self.arn(names))),
            ("family", json!(self.family())),
            ("revision", json!(self.revision)),
            ("status", json!("ACTIVE")),
            ("registeredAt", epoch(self.registered_at)),
            ("containerDefinitions", containers.map(ContainerDefinition::describe).collect()),
        ];
        shown.extend(own.map(|(name, value)| (name.to_owned(), value)));
        for list in ["volumes", "placementConstraints", "compatibilities"] {
            shown.entry(list).or_insert_with(|| json!([]));
        }
        Value::Object(shown)
    }

    /// The names of the containers, in order.
    pub(super) fn container_names(&self) -> impl Iterator<Item = &str> {
        let containers = self.registration.container_definitions.iter();
        containers.map(|container| container.name.as_str())
    }

    /// The processes of one launch.
    pub(super) fn plan(&self, overrides: &Overrides) -> Result<Vec<Plan>, Refusal> {
        for given in &overrides.container_overrides {
            let name = given.name.as_deref().unwrap_or_default();
            if !self.container_names().any(|known| known == name) {
                return Err(Refusal::invalid(format!(
                    "Override for container named {name} is not a container in the TaskDefinition."
                )));
            }
        }
        let containers = self.registration.container_definitions.iter();
        Ok(containers.map(|container| container.plan(overrides)).collect())
    }
}

impl ContainerDefinition {
    /// An override replaces the command as a whole and the environment name by name; the entry point stays, as in Docker.
    fn plan(&self, overrides: &Overrides) -> Plan {
        let mut command = &self.command;
        let mut environment: BTreeMap<String, String> = BTreeMap::new();
        environment.extend(self.environment.iter().map(Pair::to_tuple));
        for given in &overrides.container_overrides {
            if given.name.as_deref() == Some(&self.name) {
                command = given.command.as_ref().unwrap_or(command);
                environment.extend(given.environment.iter().map(Pair::to_tuple));
            }
        }
        Plan {
            name: self.name.clone(),
            essential: self.essential,
            argv: self.entry_point.iter().chain(command).cloned().collect(),
            environment,
            stop_timeout: self.stop_timeout().unwrap_or(STOP_TIMEOUT),
        }
    }
}

/// One container of one launch: the process to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) essential: bool,
    pub(super) argv: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) stop_timeout: Duration,
}

/// The part of RunTask's `overrides` that changes a process.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Overrides {
    container_overrides: Vec<ContainerOverride>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerOverride {
    name: Option<String>,
    command: Option<Vec<String>>,
    environment: Vec<Pair>,
}

/// All revisions of all families.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    families: BTreeMap<String, BTreeMap<u32, Definition>>,
}

impl Definitions {
    /// The next revision of the family. It exists once it has been inserted.
    pub(super) fn next(&self, registration: Registration, now: DateTime<Utc>) -> Result<Definition, Refusal> {
        registration.check()?;
        if self.iter().count() >= REVISIONS_MAX {
            return Err(Refusal::client("Too many task definitions."));
        }
        let last = self.families.get(&registration.family).and_then(|revisions| revisions.keys().next_back());
        Ok(Definition {
            registration,
            revision: last.copied().unwrap_or(0).saturating_add(1),
            registered_at: now,
            from_settings: false,
        })
    }

    /// The next revision of a family of the settings, unless that is the one that they named last.
    pub(super) fn next_of_settings(
        &self,
        definition: &settings::TaskDefinition,
        now: DateTime<Utc>,
    ) -> Result<Option<Definition>, Refusal> {
        let registration = Registration::from(definition);
        let revisions = self.families.get(&registration.family);
        let last = revisions.and_then(|known| known.values().rfind(|it| it.from_settings));
        if last.is_some_and(|last| last.registration == registration) {
            return Ok(None);
        }
        let next = self.next(registration, now)?;
        Ok(Some(Definition { from_settings: true, ..next }))
    }

    pub(super) fn insert(&mut self, definition: Definition) {
        self.families.entry(definition.family().to_owned()).or_default().insert(definition.revision, definition);
    }

    /// The definition that `given` names: an ARN, `family:revision`, or a family for its latest revision.
    pub(super) fn resolve(&self, names: &Names, given: &str) -> Option<&Definition> {
        let (family, revision) = names.family(given)?;
        let revisions = self.families.get(family)?;
        match revision {
            Some(revision) => revisions.get(&revision),
            None => revisions.values().next_back(),
        }
    }

    /// All revisions, ordered by family and revision.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Definition> {
        self.families.values().flat_map(BTreeMap::values)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tasks::tests::at;
    use super::*;

    fn registration(body: Value) -> Registration {
        serde_json::from_value(body).unwrap()
    }

    fn two_containers() -> Definition {
        let registration = registration(json!({
            "family": "hello",
            "containerDefinitions": [
                { "name": "app", "image": "busybox", "command": ["run"], "stopTimeout": 5,
                  "environment": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }] },
                { "name": "log", "entryPoint": ["sh", "-c"], "command": ["tail"], "essential": false },
            ],
        }));
        Definitions::default().next(registration, at(0)).unwrap()
    }

    fn overrides(body: Value) -> Overrides {
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn an_override_replaces_the_command_and_merges_the_environment() {
        let plans = two_containers()
            .plan(&overrides(json!({ "containerOverrides": [
                { "name": "app", "command": ["walk", "far"], "environment": [
                    { "name": "B", "value": "3" }, { "name": "C", "value": "4" }] },
                { "name": "log", "command": ["head"] },
            ] })))
            .unwrap();
        assert_eq!(plans[0].argv, ["walk", "far"]);
        let environment: Vec<_> = plans[0].environment.values().cloned().collect();
        assert_eq!(environment, ["1", "3", "4"]);
        assert_eq!(plans[0].stop_timeout, Duration::from_secs(5));
        assert_eq!(plans[1].argv, ["sh", "-c", "head"]);
        assert_eq!(plans[1].stop_timeout, STOP_TIMEOUT);
        assert!(plans[0].essential && !plans[1].essential);
    }

    #[test]
    fn an_override_of_an_unknown_container_is_refused() {
        let refusal =
            two_containers().plan(&overrides(json!({ "containerOverrides": [{ "name": "ap" }] }))).unwrap_err();
        assert_eq!(refusal.code, "InvalidParameterException");
        assert!(refusal.message.contains("named ap is not"));
    }

    #[test]
    fn what_is_not_used_is_shown_again() {
        let shown = two_containers().describe(&Names::new("r", "1"));
        assert_eq!(shown["containerDefinitions"][0]["image"], "busybox");
        assert_eq!(shown["containerDefinitions"][0]["stopTimeout"], 5);
        assert_eq!(shown["taskDefinitionArn"], "arn:aws:ecs:r:1:task-definition/hello:1");
    }

    #[test]
    fn a_definition_that_could_never_run_is_refused() {
        let app = json!({ "name": "app", "image": "i" });
        let sidecar = json!({ "name": "app", "image": "i", "essential": false });
        for (body, message) in [
            (json!({ "containerDefinitions": [app] }), "Family"),
            (json!({ "family": "a b" }), "invalid characters"),
            (json!({ "family": "a" }), "cannot be empty"),
            (json!({ "family": "a", "containerDefinitions": [{}] }), "name"),
            (json!({ "family": "a", "containerDefinitions": [app, sidecar] }), "more than once"),
            (json!({ "family": "a", "containerDefinitions": [sidecar] }), "essential"),
        ] {
            let refusal = registration(body).check().unwrap_err();
            assert!(refusal.message.contains(message), "{}", refusal.message);
        }
    }

    #[test]
    fn only_a_changed_definition_of_the_settings_is_a_new_revision() {
        let mut hello = settings::TaskDefinition {
            family: "hello".to_owned(),
            containers: vec![settings::Container {
                name: "app".to_owned(),
                command: vec!["true".to_owned()],
                ..settings::Container::default()
            }],
            outcomes: Vec::new(),
        };
        let mut definitions = Definitions::default();
        let first = definitions.next_of_settings(&hello, at(0)).unwrap();
        definitions.insert(first.unwrap());
        assert_eq!(definitions.next_of_settings(&hello, at(1)), Ok(None));
        hello.containers[0].command = vec!["false".to_owned()];
        let second = definitions.next_of_settings(&hello, at(2)).unwrap();
        assert_eq!(second.unwrap().revision, 2);
    }

    #[test]
    fn a_family_means_its_latest_revision() {
        let names = Names::new("r", "1");
        let mut definitions = Definitions::default();
        let body = json!({ "family": "hello", "containerDefinitions": [{ "name": "app" }] });
        for _ in 0..12 {
            let next = definitions.next(registration(body.clone()), at(0)).unwrap();
            definitions.insert(next);
        }
        let revision = |given: &str| definitions.resolve(&names, given).map(|it| it.revision);
        assert_eq!(revision("hello"), Some(12));
        assert_eq!(revision("hello:3"), Some(3));
        assert_eq!(revision(&names.definition("hello", 4)), Some(4));
        assert_eq!(revision("hello:13"), None);
        assert_eq!(revision("hallo"), None);
    }
}
