//! What a job launches: the fields of ECS's RunTask, in snake_case and with its nesting.
//!
//! ECS refuses a request that breaks its limits, but only when the job is due. What can be known when the file is read is
//! refused then. Source of all limits: Amazon ECS API reference, RunTask.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::job::{Capacity, CapacityProvider, ContainerOverride, Network, TaskOverride};

use super::capacity::is_fargate;
use super::reader::{Field, Table, Value};
use super::report::{Note, shown};
use super::resources;

const STRATEGY_ITEMS_MAX: usize = 20;
const SUBNETS_MAX: usize = 16;
const SECURITY_GROUPS_MAX: usize = 5;
/// The longest name of a cluster or a family. Source: Amazon ECS API reference, CreateCluster and RegisterTaskDefinition.
const IDENTIFIER_MAX: usize = 255;
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;
/// All tags of a task, ours among them.
pub(super) const TAGS_MAX: usize = 50;
/// `tenacron:instance`, `:job`, `:run`, `:scheduled-at`, `:attempt`.
pub(super) const OWN_TAGS: usize = 5;

/// Launch type or strategy. They exclude each other, so they are one field: a job's own replaces either default.
pub(super) fn capacity(table: &Table<'_>) -> Field<Capacity> {
    let launch_type = table.get("launch_type", launch_type);
    let strategy = table.get("capacity_provider_strategy", strategy);
    match (launch_type, strategy) {
        (Field::Absent, strategy) => strategy,
        (launch_type, Field::Absent) => launch_type,
        (Field::Wrong | Field::Is(_), Field::Wrong | Field::Is(_)) => {
            let message = format!("{}: launch_type and capacity_provider_strategy exclude each other", table.path);
            let places = (table.place_of("launch_type"), table.place_of("capacity_provider_strategy"));
            let (first, second) = (places.0.min(places.1), places.0.max(places.1));
            let note = Note::error("launch-type-and-strategy", second.unwrap_or(table.place), message);
            table.report().add(note.also(first, "one of the two").help("keep one of the two".to_owned()));
            Field::Wrong
        }
    }
}

fn launch_type(value: &Value<'_>) -> Option<Capacity> {
    if value.text()? == "MANAGED_INSTANCES" {
        return value.refuse_with_help(
            "bad-value",
            "\"MANAGED_INSTANCES\" is not launched by type",
            Some("name its capacity provider: capacity_provider_strategy = [{ capacity_provider = \"…\" }]".to_owned()),
        );
    }
    value
        .word(&[("EC2", "EC2"), ("FARGATE", "FARGATE"), ("EXTERNAL", "EXTERNAL")])
        .map(|word| Capacity::LaunchType(word.into()))
}

fn strategy(value: &Value<'_>) -> Option<Capacity> {
    let items = value.list(|item| item.table(provider))?;
    if items.is_empty() || items.len() > STRATEGY_ITEMS_MAX {
        return value.refuse("bad-value", format!("{} items are not 1 to {STRATEGY_ITEMS_MAX}", items.len()));
    }
    if items.iter().filter(|item| item.base > 0).count() > 1 {
        return value.refuse("bad-value", "only one capacity provider may have a base");
    }
    let fargate = items.iter().filter(|item| is_fargate(&item.capacity_provider)).count();
    if fargate > 0 && fargate < items.len() {
        return value.refuse("bad-value", "Fargate's capacity providers and others can't be mixed");
    }
    if items.len() > 1 && items.iter().all(|item| item.weight == 0) {
        return value.refuse("bad-value", "at least one of several capacity providers needs a weight above 0");
    }
    Some(Capacity::Strategy(items))
}

fn provider(table: &Table<'_>) -> Option<CapacityProvider> {
    let name = table.required("capacity_provider", |value| value.string());
    let weight = table.get("weight", |value| value.integer(0..=1_000));
    let base = table.get("base", |value| value.integer(0..=100_000));
    Some(CapacityProvider { capacity_provider: name?, weight: weight.or_default(0)?, base: base.or_default(0)? })
}

pub(super) fn network(table: &Table<'_>) -> Option<Arc<Network>> {
    let subnets = table.required("subnets", |value| ids(value, 1, SUBNETS_MAX));
    let security_groups = table.get("security_groups", |value| ids(value, 0, SECURITY_GROUPS_MAX));
    let assign_public_ip = table.get("assign_public_ip", |value| value.boolean());
    Some(Arc::new(Network {
        subnets: subnets?,
        security_groups: security_groups.or_default(Vec::new())?,
        assign_public_ip: assign_public_ip.or_default(false)?,
    }))
}

fn ids(value: &Value<'_>, least: usize, most: usize) -> Option<Vec<String>> {
    let ids = value.list(|value| value.string())?;
    if ids.len() < least || ids.len() > most {
        return value.refuse("bad-value", format!("{} items are not {least} to {most}", ids.len()));
    }
    Some(ids)
}

pub(super) fn containers(value: &Value<'_>) -> Option<Vec<ContainerOverride>> {
    let containers = value.list(|item| item.table(container))?;
    let mut names = BTreeSet::new();
    if let Some(twice) = containers.iter().find(|container| !names.insert(container.name.as_str())) {
        return value.refuse("bad-value", format!("the container `{}` is there twice", shown(&twice.name)));
    }
    Some(containers)
}

fn container(table: &Table<'_>) -> Option<ContainerOverride> {
    let amount = |key| table.get(key, |value| value.integer(1..=i64::from(i32::MAX)));
    let name = table.required("name", |value| value.string());
    let command = table.get("command", |value| value.strings());
    let environment = table.get("environment", environment);
    let cpu = amount("cpu");
    let memory = amount("memory");
    let memory_reservation = amount("memory_reservation");
    let environment_files = table.get("environment_files", resources::environment_files);
    let resource_requirements = table.get("resource_requirements", resources::resource_requirements);
    if let (Some(hard), Some(soft)) = (memory.valid(), memory_reservation.valid())
        && soft.value > hard.value
    {
        let message = format!("{}: memory_reservation is above memory, which is the hard limit", table.path);
        table.report().add(Note::error("bad-value", soft.place, message));
        return None;
    }
    Some(ContainerOverride {
        name: name?,
        command: command.optional()?,
        environment: environment.or_default(BTreeMap::new())?.into(),
        cpu: cpu.optional()?,
        memory: memory.optional()?,
        memory_reservation: memory_reservation.optional()?,
        environment_files: environment_files.or_default(Vec::new())?,
        resource_requirements: resource_requirements.or_default(Vec::new())?,
    })
}

/// Names and values of variables.
pub(super) fn environment(value: &Value<'_>) -> Option<BTreeMap<String, String>> {
    value.names(|table| {
        let mut read = Some(BTreeMap::new());
        for (_, name, value) in table.entries() {
            let text = if name.is_empty() || name.contains('=') {
                value.refuse("bad-value", "is not the name of a variable: it is empty or holds a `=`")
            } else {
                value.text()
            };
            read = read.zip(text).map(|(mut all, text)| {
                all.insert(name.to_owned(), text.to_owned());
                all
            });
        }
        read
    })
}

pub(super) fn overrides(table: &Table<'_>) -> Option<TaskOverride> {
    let cpu = table.get("cpu", |value| amount(value, "vcpu", "256\" or \"0.25 vCPU"));
    let memory = table.get("memory", |value| amount(value, "gb", "512\" or \"0.5 GB"));
    let task_role_arn = table.get("task_role_arn", |value| value.string());
    let execution_role_arn = table.get("execution_role_arn", |value| value.string());
    let storage = table.get("ephemeral_storage", |value| {
        value.table(|table| table.required("size_in_gib", |value| value.integer(21..=200)))
    });
    Some(TaskOverride {
        cpu: cpu.optional()?,
        memory: memory.optional()?,
        task_role_arn: task_role_arn.optional()?,
        execution_role_arn: execution_role_arn.optional()?,
        ephemeral_storage_gib: storage.optional()?,
    })
}

/// CPU or memory of a task: a whole number of ECS's units, or a number of larger ones.
fn amount(value: &Value<'_>, unit: &str, such_as: &str) -> Option<String> {
    let text = value.string()?;
    let lower = text.to_ascii_lowercase();
    let is_amount = match lower.strip_suffix(unit) {
        None => lower.parse::<u32>().is_ok_and(|number| number > 0),
        Some(number) => number.trim_end().parse::<f64>().is_ok_and(|number| number.is_finite() && number > 0.0),
    };
    if !is_amount {
        return value.refuse("bad-value", format!("expected \"{such_as}\" or the like, found \"{}\"", shown(&text)));
    }
    Some(text)
}

/// Short name or ARN of a cluster.
pub(super) fn cluster(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if is_arn(&text) || is_identifier(&text) {
        return Some(text);
    }
    let message = format!(
        "expected an ARN or a name of 1 to {IDENTIFIER_MAX} letters, digits, `-` or `_`, found \"{}\"",
        shown(&text)
    );
    value.refuse("bad-value", message)
}

/// `family`, `family:revision` or an ARN.
pub(super) fn task_definition(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let (family, revision) = text.split_once(':').unwrap_or((&text, "1"));
    let is_revision = revision.parse::<u32>().is_ok_and(|number| number > 0);
    if is_arn(&text) || (is_identifier(family) && is_revision) {
        return Some(text);
    }
    let message = format!(
        "expected \"family\", \"family:revision\" or an ARN, found \"{}\"; a family has 1 to {IDENTIFIER_MAX} letters, digits, \
         `-` or `_`",
        shown(&text)
    );
    value.refuse("bad-value", message)
}

fn is_arn(text: &str) -> bool {
    text.starts_with("arn:")
}

fn is_identifier(text: &str) -> bool {
    let all_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    !text.is_empty() && text.len() <= IDENTIFIER_MAX && all_plain
}

pub(super) fn propagate_tags(value: &Value<'_>) -> Option<String> {
    if value.text()? == "SERVICE" {
        let help = "write \"TASK_DEFINITION\" or \"NONE\"";
        return value.refuse_with_help("bad-value", "no service launches this task", Some(help.to_owned()));
    }
    value.word(&[("TASK_DEFINITION", "TASK_DEFINITION"), ("NONE", "NONE")]).map(str::to_owned)
}

pub(super) fn tags(value: &Value<'_>) -> Option<BTreeMap<String, String>> {
    value.names(|table| {
        let mut read = Some(BTreeMap::new());
        for (_, key, value) in table.entries() {
            let text = tag(key, &value);
            read = read.zip(text).map(|(mut all, text)| {
                all.insert(key.to_owned(), text);
                all
            });
        }
        read
    })
}

fn tag(key: &str, value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let reserved = |prefix: &str| key.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if reserved("aws:") || reserved("tenacron:") {
        return value.refuse("bad-tag", "the prefixes `aws:` and `tenacron:` are reserved");
    }
    if text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return value.refuse("bad-tag", "the prefix `aws:` is reserved in values too");
    }
    let (key_length, length) = (key.chars().count(), text.chars().count());
    if key_length == 0 || key_length > TAG_KEY_MAX {
        return value.refuse("bad-tag", format!("a tag's key has 1 to {TAG_KEY_MAX} characters, not {key_length}"));
    }
    if length > TAG_VALUE_MAX {
        return value.refuse("bad-tag", format!("a tag's value has at most {TAG_VALUE_MAX} characters, not {length}"));
    }
    Some(text.to_owned())
}

/// How many tags the user may set.
pub(super) fn tags_allowed(add_tags: bool) -> usize {
    if add_tags { TAGS_MAX - OWN_TAGS } else { TAGS_MAX }
}
