//! Facts of a stopped task to a verdict: succeeded, or the failure with every name it answers to.
//!
//! Success needs proof: every container that decides ended with exit code 0, and ECS says that the task ended by itself.
//! An absent exit code, an unknown stop code or a task without containers is a failure. Which containers decide is the
//! job's `success`: the essential ones, or all of them as `ecs:runTask.sync` does. The rules and their sources are in
//! `docs/architecture.md`, "From facts to a verdict".

use super::failure::{ErrorName, Failure};
use super::job::{Definition, Success};
use super::task::{ContainerFacts, TaskFacts};

/// ECS's stop code of a task that StopTask ended.
const USER_INITIATED: &str = "UserInitiated";
/// What ECS's reasons of a task that found no place begin with or hold.
const PLACEMENT_REASONS: [&str; 8] = [
    "RESOURCE:",
    "AGENT",
    "ATTRIBUTE",
    "LOCATION",
    "MemberOf placement constraint",
    "NO ACTIVE INSTANCES",
    "EMPTY CAPACITY PROVIDER",
    "unable to place a task",
];

/// How a stopped task is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every deciding container ended with exit code 0.
    Succeeded,
    /// Anything else.
    Failed(Failure),
}

/// Judges a stopped task.
pub fn judge(facts: &TaskFacts, definition: &Definition) -> Verdict {
    judge_accepting(facts, definition, |code| definition.accept_stop_codes.iter().any(|accepted| accepted == code))
}

/// Judges a stopped task that we had asked to stop: `UserInitiated` is then our own doing, which no `accept_stop_codes`
/// makes a success. A task that ended by itself before the request reached it is judged as any other.
pub fn judge_asked_to_stop(facts: &TaskFacts, definition: &Definition) -> Verdict {
    judge_accepting(facts, definition, |code| {
        code != USER_INITIATED && definition.accept_stop_codes.iter().any(|accepted| accepted == code)
    })
}

fn judge_accepting(facts: &TaskFacts, definition: &Definition, accepts: impl Fn(&str) -> bool) -> Verdict {
    let deciding = deciding_containers(facts, definition.success);
    let all_zero = !deciding.is_empty() && deciding.iter().all(|container| container.exit_code == Some(0));
    if all_zero && ended_by_itself(facts, accepts) {
        return Verdict::Succeeded;
    }
    Verdict::Failed(failure(facts, &deciding))
}

/// The failure of a stopped task of which every container decides.
pub(super) fn failure_of(facts: &TaskFacts) -> Failure {
    failure(facts, &deciding_containers(facts, Success::All))
}

fn failure(facts: &TaskFacts, deciding: &[&ContainerFacts]) -> Failure {
    let culprit = deciding.iter().copied().find(|container| container.exit_code != Some(0));
    Failure::new(ErrorName::TASK_FAILED, cause(facts, culprit)).with_finer(finer_names(facts, culprit))
}

/// The exit code that stands for the whole task: of the first deciding container that did not end with 0, else 0.
pub fn exit_code(facts: &TaskFacts, success: Success) -> Option<i32> {
    let deciding = deciding_containers(facts, success);
    let culprit = deciding.iter().find(|container| container.exit_code != Some(0));
    culprit.or(deciding.first()).and_then(|container| container.exit_code)
}

/// With unreadable essential flags every container decides: the stricter reading.
fn deciding_containers(facts: &TaskFacts, success: Success) -> Vec<&ContainerFacts> {
    let containers = facts.containers.iter();
    match success {
        Success::All => containers.collect(),
        Success::Essential => containers.filter(|container| container.essential != Some(false)).collect(),
    }
}

/// A task that was cut short is no success, whatever its containers managed to return.
fn ended_by_itself(facts: &TaskFacts, accepts: impl Fn(&str) -> bool) -> bool {
    match facts.stop_code.as_deref() {
        None | Some("EssentialContainerExited") => true,
        Some(code) => accepts(code),
    }
}

fn finer_names(facts: &TaskFacts, culprit: Option<&ContainerFacts>) -> Vec<ErrorName> {
    let mut names = Vec::new();
    if let Some(code) = culprit.and_then(|container| container.exit_code) {
        names.push(ErrorName::exit_code(code));
    }
    names.extend(kind(facts));
    names
}

/// The one kind of end, by stop code and by the reasons' well-known beginnings.
/// Source: Amazon ECS Developer Guide, "Stopped tasks error messages" and "API failure reasons".
fn kind(facts: &TaskFacts) -> Option<ErrorName> {
    let reason = facts.stopped_reason.as_deref().unwrap_or_default();
    let said = |text: &str| {
        reason.contains(text)
            || facts.containers.iter().any(|container| container.reason.as_deref().is_some_and(|r| r.contains(text)))
    };
    if said("OutOfMemory") {
        return Some(ErrorName::OUT_OF_MEMORY);
    }
    match facts.stop_code.as_deref() {
        Some("TaskFailedToStart") => start_failure(&said),
        Some("SpotInterruption") => Some(ErrorName::SPOT_INTERRUPTION),
        Some("TerminationNotice" | "InfrastructureHealth") => Some(ErrorName::INFRASTRUCTURE),
        Some("EssentialContainerExited") => said("CannotStartContainer").then_some(ErrorName::CONTAINER_START),
        None if said("Host EC2") => Some(ErrorName::INFRASTRUCTURE),
        None => None,
        Some(_) => Some(ErrorName::STOPPED),
    }
}

/// None for a reason that is not known: a retrier for placement must not take what it was not written for.
fn start_failure(said: &dyn Fn(&str) -> bool) -> Option<ErrorName> {
    if said("CannotPull") {
        Some(ErrorName::IMAGE_PULL)
    } else if said("ResourceInitializationError") {
        Some(ErrorName::RESOURCE_INIT)
    } else if said("network interface") {
        Some(ErrorName::ENI)
    } else if said("CannotStartContainer") || said("CannotCreateContainer") || said("CannotInspectContainer") {
        Some(ErrorName::CONTAINER_START)
    } else if said("Capacity is unavailable") {
        Some(ErrorName::CAPACITY)
    } else {
        PLACEMENT_REASONS.into_iter().any(said).then_some(ErrorName::PLACEMENT)
    }
}

/// One sentence, the most telling fact first: the container, then what ECS says of the task.
fn cause(facts: &TaskFacts, culprit: Option<&ContainerFacts>) -> String {
    let mut parts = Vec::new();
    if let Some(container) = culprit {
        let end = match container.exit_code {
            Some(code) => format!("container `{}` exited with {code}", container.name),
            None => format!("container `{}` has no exit code", container.name),
        };
        parts.push(match &container.reason {
            Some(reason) => format!("{end} ({reason})"),
            None => end,
        });
    }
    if facts.containers.is_empty() {
        parts.push("ECS reported no container".to_owned());
    }
    match (&facts.stop_code, &facts.stopped_reason) {
        (Some(code), Some(reason)) => parts.push(format!("{code}: {reason}")),
        (Some(code), None) => parts.push(code.clone()),
        (None, Some(reason)) => parts.push(reason.clone()),
        (None, None) => {}
    }
    if parts.is_empty() { "the task stopped and ECS gave no reason".to_owned() } else { parts.join("; ") }
}

#[cfg(test)]
mod tests;
