//! What is wrong with a job by what ECS says of its cluster and its task definition.
//!
//! An error is what ECS refuses each time; what may be right tomorrow, or is only a pity, is a warning. What a task
//! definition does not say is not judged. Sources: Amazon ECS API reference, RunTask and TaskDefinition.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::config::capacity::is_fargate;
use crate::config::report::{Level, Report, one_of, shown};
use crate::engine::inventory::{Answer, DefinitionFacts, Inventory, Named};
use crate::engine::job::{Capacity, Definition, Target, TaskSpec};

const FARGATE: &str = "FARGATE";
const AWSVPC: &str = "awsvpc";
/// How many containers a message names.
const NAMES_SHOWN: usize = 10;

/// The sizes of a Fargate task: CPU units, and the memory that goes with them from, to and in steps of so many MiB. Source:
/// Amazon ECS developer guide, "Amazon ECS task definition parameters for Fargate", task CPU and memory.
const FARGATE_SIZES: [(f64, u32, u32, u32); 8] = [
    (256.0, 512, 512, 512),
    (256.0, 1_024, 2_048, 1_024),
    (512.0, 1_024, 4_096, 1_024),
    (1_024.0, 2_048, 8_192, 1_024),
    (2_048.0, 4_096, 16_384, 1_024),
    (4_096.0, 8_192, 30_720, 1_024),
    (8_192.0, 16_384, 61_440, 4_096),
    (16_384.0, 32_768, 122_880, 8_192),
];

/// What of a job is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Cluster,
    TaskDefinition,
    /// The name of that override.
    Container(usize),
    Network,
    Capacity,
    Overrides,
    LogTail,
}

impl Key {
    /// Where a table has it: the bytes of the value, and the dotted name.
    pub(super) fn find(self, table: &DeTable<'_>) -> Option<(Range<usize>, String)> {
        let found = |key: &str| Some((table.get(key)?.span(), key.to_owned()));
        match self {
            Key::Cluster => found("cluster"),
            Key::TaskDefinition => found("task_definition"),
            Key::Network => found("network"),
            Key::Capacity => found("launch_type").or_else(|| found("capacity_provider_strategy")),
            Key::Overrides => found("overrides"),
            Key::LogTail => found("log_tail"),
            Key::Container(nth) => {
                let DeValue::Array(items) = table.get("container")?.get_ref() else { return None };
                let name = items.get(nth)?.get_ref().as_table()?.get("name")?;
                Some((name.span(), format!("container[{nth}].name")))
            }
        }
    }
}

/// One thing that is wrong.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) level: Level,
    pub(super) code: &'static str,
    pub(super) key: Key,
    pub(super) message: String,
    pub(super) help: String,
}

impl Doubt {
    fn error(code: &'static str, key: Key, message: String, help: &str) -> Doubt {
        Doubt { level: Level::Error, code, key, message, help: help.to_owned() }
    }

    fn warning(code: &'static str, key: Key, message: String, help: &str) -> Doubt {
        Doubt { level: Level::Warning, ..Doubt::error(code, key, message, help) }
    }
}

/// All of it, as far as the inventory knows.
pub(super) fn of(job: &Definition, inventory: &Inventory, report: &Report) -> Vec<Doubt> {
    let task = &job.task;
    let mut found: Vec<Doubt> = Vec::new();
    found.extend(inventory.clusters.get(&Named::cluster(task)).and_then(|answer| cluster(task, answer)));
    match inventory.definitions.get(&Named::definition(task)) {
        None | Some(Answer::Unknown(_)) => {}
        Some(Answer::Missing) => found.push(no_definition(task)),
        Some(Answer::Found(facts)) => {
            found.extend(status(facts));
            found.extend(containers(task, facts, report));
            found.extend(launch_type(task, facts));
            found.extend(network(task, facts));
            found.extend(fargate_size(task, facts));
            found.extend(logs(job, facts));
        }
    }
    found
}

fn cluster(task: &TaskSpec, answer: &Answer<String>) -> Option<Doubt> {
    let (name, of) = (shown(&task.cluster), in_words(&task.target));
    let help = "create it, or correct the name; a name means a cluster of the target's own account and region";
    match answer {
        Answer::Unknown(_) => None,
        Answer::Missing => {
            Some(Doubt::error("online-cluster", Key::Cluster, format!("there is no cluster \"{name}\"{of}"), help))
        }
        Answer::Found(status) if status == "ACTIVE" => None,
        Answer::Found(status) => {
            let message = format!("the cluster \"{name}\"{of} is {}, not ACTIVE", shown(status));
            // One that is deleted stays to be seen for a while.
            Some(match status.as_str() {
                "INACTIVE" | "FAILED" => Doubt::error("online-cluster", Key::Cluster, message, help),
                _ => Doubt::warning("online-cluster", Key::Cluster, message, "wait until it is ACTIVE"),
            })
        }
    }
}

fn no_definition(task: &TaskSpec) -> Doubt {
    let (name, of) = (shown(&task.task_definition), in_words(&task.target));
    let short = task.task_definition.rsplit('/').next().unwrap_or_default();
    let message = match short.contains(':') {
        true => format!("there is no task definition \"{name}\"{of}"),
        false => format!("there is no task definition \"{name}\"{of} with a revision that is ACTIVE"),
    };
    let help = "register it, or correct the name; a name means a family of the target's own account and region";
    Doubt::error("online-task-definition", Key::TaskDefinition, message, help)
}

fn status(facts: &DefinitionFacts) -> Option<Doubt> {
    let message = format!("{} is {}, and ECS launches no task of it", short(facts), shown(&facts.status));
    let help = "name a revision that is ACTIVE, or the family alone for its newest one";
    match facts.status.as_str() {
        "INACTIVE" => Some(Doubt::warning("online-inactive", Key::TaskDefinition, message, help)),
        "DELETE_IN_PROGRESS" => Some(Doubt::error("online-inactive", Key::TaskDefinition, message, help)),
        _ => None,
    }
}

fn containers(task: &TaskSpec, facts: &DefinitionFacts, report: &Report) -> Vec<Doubt> {
    let known = || facts.containers.iter().map(|container| container.name.as_str());
    let strangers = (0..).zip(&task.containers).filter(|(_, given)| !known().any(|name| name == given.name));
    let doubts = strangers.map(|(nth, given)| {
        let mut message = format!("{} has no container \"{}\"", short(facts), shown(&given.name));
        if let Some(meant) = report.suggest(&given.name, known()) {
            message.push_str(&format!(", did you mean \"{}\"?", shown(meant)));
        }
        let names: Vec<String> = known().take(NAMES_SHOWN).map(shown).collect();
        let help = format!("it has {}", one_of(names.iter().map(String::as_str)).replace(" or ", " and "));
        Doubt::error("online-container", Key::Container(nth), message, &help)
    });
    doubts.collect()
}

/// The launch type that a job asks for; none if only the cluster knows it.
fn wanted(task: &TaskSpec) -> Option<&str> {
    match &task.capacity {
        Capacity::LaunchType(name) => Some(name),
        Capacity::Strategy(items) => items.iter().any(|item| is_fargate(&item.capacity_provider)).then_some(FARGATE),
        Capacity::ClusterDefault => None,
    }
}

fn launch_type(task: &TaskSpec, facts: &DefinitionFacts) -> Option<Doubt> {
    let wanted = wanted(task)?;
    if facts.compatibilities.is_empty() || facts.compatibilities.iter().any(|kind| kind == wanted) {
        return None;
    }
    let made_for: Vec<String> = facts.compatibilities.iter().map(|kind| shown(kind)).collect();
    let message = format!("{} can't run on {wanted}, only on {}", short(facts), made_for.join(", "));
    let help = "change the capacity, or register a revision that is compatible with it";
    Some(Doubt::error("online-compatibility", Key::Capacity, message, help))
}

fn network(task: &TaskSpec, facts: &DefinitionFacts) -> Option<Doubt> {
    let mode = facts.network_mode.as_deref()?;
    match (mode == AWSVPC, &task.network) {
        (true, Some(_)) | (false, None) => None,
        (true, None) => {
            let message = format!("network is not set, which {} needs: its network mode is awsvpc", short(facts));
            let help = "set network = { subnets = […] } here or in [defaults]";
            Some(Doubt::error("online-network", Key::Network, message, help))
        }
        (false, Some(_)) => {
            let message = format!("is not for {}: its network mode is {}, not awsvpc", short(facts), shown(mode));
            let help = "remove network, or register a revision with the network mode awsvpc";
            Some(Doubt::error("online-network", Key::Network, message, help))
        }
    }
}

/// Only what the job changes: a task definition for Fargate has a size that Fargate takes.
fn fargate_size(task: &TaskSpec, facts: &DefinitionFacts) -> Option<Doubt> {
    let own = &task.overrides;
    if wanted(task) != Some(FARGATE) || (own.cpu.is_none() && own.memory.is_none()) {
        return None;
    }
    let cpu = own.cpu.as_deref().or(facts.cpu.as_deref())?;
    let memory = own.memory.as_deref().or(facts.memory.as_deref())?;
    let (units, mib) = (amount(cpu, "vcpu")?, amount(memory, "gb")?);
    let mut of_cpu = FARGATE_SIZES.iter().filter(|(size, ..)| (*size - units).abs() < 1.0);
    let is_size = of_cpu.any(|(_, from, to, step)| {
        (*from..=*to).step_by(usize::try_from(*step).unwrap_or(1)).any(|size| (f64::from(size) - mib).abs() < 1.0)
    });
    if is_size {
        return None;
    }
    let message = format!("Fargate is not known to have tasks of {} CPU and {} memory", shown(cpu), shown(memory));
    let help = "the task definition's value counts for what is not overridden; docs of ECS: task CPU and memory";
    Some(Doubt::warning("online-fargate-size", Key::Overrides, message, help))
}

/// ECS's units, 1,024 of them to the larger one.
fn amount(text: &str, unit: &str) -> Option<f64> {
    let lower = text.trim().to_ascii_lowercase();
    match lower.strip_suffix(unit) {
        Some(number) => number.trim_end().parse::<f64>().ok().map(|number| number * 1_024.0),
        None => lower.parse().ok(),
    }
}

fn logs(job: &Definition, facts: &DefinitionFacts) -> Option<Doubt> {
    if job.log_tail == 0 {
        return None;
    }
    let mut without = facts.containers.iter().filter_map(|container| Some((container, container.logs.unreadable()?)));
    let (first, why) = without.next()?;
    let others = match without.count() {
        0 => String::new(),
        1 => ", nor of one other".to_owned(),
        others => format!(", nor of {others} others"),
    };
    let message =
        format!("no lines can be had of container \"{}\" of {}{others}: {why}", shown(&first.name), short(facts));
    let help = "give it the log driver awslogs with an awslogs-stream-prefix, or set log_tail = 0";
    Some(Doubt::warning("online-log-driver", Key::LogTail, message, help))
}

/// Such as `billing:7`.
fn short(facts: &DefinitionFacts) -> String {
    shown(facts.arn.rsplit('/').next().unwrap_or_default())
}

fn in_words(target: &Target) -> String {
    target.name.as_deref().map(|name| format!(" of target {name}")).unwrap_or_default()
}
