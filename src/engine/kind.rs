//! The kind of a task's end: the finer error name that its stop code and ECS's words stand for.
//!
//! ECS has seven stop codes and says the rest in words, which it changes from time to time. So only the well-known beginnings
//! and phrases count, a stop code goes before words, and what is not known gets no kind: a retrier must not take what it was
//! not written for. `tests/fixtures/ecs-messages.json` holds the messages that were seen.

use super::failure::{ErrorName, is_no_capacity};
use super::outcome::{EXITED, USER_INITIATED};
use super::task::{ContainerFacts, TaskFacts};

const UNSTARTED: &str = "TaskFailedToStart";
/// What the reason of a task begins with that found no place, `TaskFailedToStart: ` apart.
/// Source: Amazon ECS Developer Guide, "API failure reasons".
const NO_PLACE: [&str; 7] = [
    "RESOURCE:",
    "AGENT",
    "ATTRIBUTE",
    "LOCATION",
    "MemberOf placement constraint",
    "NO ACTIVE INSTANCES",
    "EMPTY CAPACITY PROVIDER",
];
/// The same, somewhere within.
const NO_PLACE_WITHIN: [&str; 2] = ["unable to place a task", "placement constraint unsatisfied"];
/// Source of these and those below: Amazon ECS Developer Guide, "Stopped tasks error messages", and the names of the errors
/// in the ECS agent.
const IMAGE_PULL: [&str; 1] = ["CannotPull"];
const RESOURCE_INIT: [&str; 3] = ["ResourceInitializationError", "CannotCreateVolumeError", "Fetching secret data"];
const ENI: [&str; 6] = [
    "network interface",
    "Network Interface",
    "InsufficientFreeAddressesInSubnet",
    "ENIInformationError",
    "NetworkNamespaceError",
    "failed to setup network namespace",
];
const CONTAINER_START: [&str; 7] = [
    "CannotStartContainer",
    "CannotCreateContainer",
    "CannotInspectContainer",
    "ContainerRuntimeError",
    "ContainerRuntimeTimeoutError",
    "DockerTimeoutError",
    "HostConfigError",
];
/// A runtime that was too slow to stop a container has started it.
const NOT_STOPPED: &str = "transition to stopped";
const OUT_OF_MEMORY: [&str; 2] = ["OutOfMemory", "OOM-killed"];
const SPOT: &str = "Spot Task was interrupted";
const HOST_GONE: [&str; 3] =
    ["Host EC2", "performing maintenance on the underlying infrastructure", "Container instance deregistration"];

/// What ECS said of a task and of the containers that decide.
struct Words<'f> {
    task: &'f str,
    containers: Vec<&'f str>,
}

impl Words<'_> {
    fn say(&self, text: &str) -> bool {
        self.task.contains(text) || self.containers.iter().any(|reason| reason.contains(text))
    }

    fn say_any(&self, texts: &[&str]) -> bool {
        texts.iter().any(|text| self.say(text))
    }
}

/// The kind of the end of a stopped task; none if it is not known to have one.
pub(super) fn of(facts: &TaskFacts, deciding: &[&ContainerFacts]) -> Option<ErrorName> {
    let words = Words {
        task: facts.stopped_reason.as_deref().unwrap_or_default(),
        containers: deciding.iter().filter_map(|container| container.reason.as_deref()).collect(),
    };
    match facts.stop_code.as_deref() {
        Some("SpotInterruption") => Some(ErrorName::SPOT_INTERRUPTION),
        // The notice of a Spot interruption came under this code before it had one of its own.
        Some("TerminationNotice" | "InfrastructureHealth") => {
            Some(if words.say(SPOT) { ErrorName::SPOT_INTERRUPTION } else { ErrorName::INFRASTRUCTURE })
        }
        // The reason is whatever somebody gave.
        Some(USER_INITIATED) => Some(ErrorName::STOPPED),
        Some("ServiceSchedulerInitiated") => Some(taken_away(&words).unwrap_or(ErrorName::STOPPED)),
        Some(EXITED) => trouble(&words).or_else(|| taken_away(&words)),
        Some(UNSTARTED) | None => trouble(&words).or_else(|| taken_away(&words)).or_else(|| not_placed(&words)),
        // A code of the future: the words may tell, else it was stopped for a reason that nobody here knows.
        Some(_) => {
            let told = trouble(&words).or_else(|| taken_away(&words)).or_else(|| not_placed(&words));
            Some(told.unwrap_or(ErrorName::STOPPED))
        }
    }
}

/// Whether ECS says in words that the host or the capacity went away, under a stop code that leaves it open.
pub(super) fn is_taken_away(facts: &TaskFacts) -> bool {
    let task = facts.stopped_reason.as_deref().unwrap_or_default();
    taken_away(&Words { task, containers: Vec::new() }).is_some()
}

/// Trouble on the way up, or with memory.
fn trouble(words: &Words<'_>) -> Option<ErrorName> {
    if words.say_any(&OUT_OF_MEMORY) {
        Some(ErrorName::OUT_OF_MEMORY)
    } else if words.say_any(&IMAGE_PULL) {
        Some(ErrorName::IMAGE_PULL)
    } else if words.say_any(&RESOURCE_INIT) {
        Some(ErrorName::RESOURCE_INIT)
    } else if words.say_any(&ENI) {
        Some(ErrorName::ENI)
    } else if words.say_any(&CONTAINER_START) && !words.say(NOT_STOPPED) {
        Some(ErrorName::CONTAINER_START)
    } else {
        None
    }
}

fn taken_away(words: &Words<'_>) -> Option<ErrorName> {
    if words.say(SPOT) {
        Some(ErrorName::SPOT_INTERRUPTION)
    } else {
        words.say_any(&HOST_GONE).then_some(ErrorName::INFRASTRUCTURE)
    }
}

fn not_placed(words: &Words<'_>) -> Option<ErrorName> {
    if is_no_capacity(words.task) {
        return Some(ErrorName::CAPACITY);
    }
    let reason = words.task.trim_start_matches("TaskFailedToStart:").trim_start();
    let is_known = NO_PLACE.iter().any(|known| reason.starts_with(known))
        || NO_PLACE_WITHIN.iter().any(|known| reason.contains(known));
    is_known.then_some(ErrorName::PLACEMENT)
}
