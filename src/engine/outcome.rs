//! Facts of a stopped task to a verdict: succeeded, or the failure with every name it answers to.
//!
//! Success needs proof: every container that decides ended with exit code 0, and ECS says that the task ended by itself.
//! An absent exit code, an unknown stop code or a task without containers is a failure. Which containers decide is the
//! job's `success`: the essential ones, or all of them as `ecs:runTask.sync` does. The rules and their sources are in
//! `docs/architecture.md`, "From facts to a verdict".

use super::exit_codes::ExitCodes;
use super::failure::{ErrorName, Failure};
use super::job::{Definition, Success};
use super::kind;
use super::task::{ContainerFacts, TaskFacts};

/// ECS's stop code of a task that StopTask ended.
pub(super) const USER_INITIATED: &str = "UserInitiated";
/// ECS's stop code of a task that ended by itself, well or not.
pub(super) const EXITED: &str = "EssentialContainerExited";
/// What a shell and a container runtime report of a process that SIGKILL ended.
const SIGKILLED: i32 = 137;

/// How a stopped task is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every deciding container ended with exit code 0, or another that the job calls a success.
    Succeeded,
    /// The same, but for a container whose exit code says that there was nothing to do.
    Skipped {
        /// Which container, and its code.
        reason: String,
    },
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
    let codes = &definition.exit_codes;
    let deciding = deciding_containers(facts, definition.success);
    let is_by_itself = ended_by_itself(facts, accepts);
    let is_well = |container: &&ContainerFacts| codes.is_success(container.exit_code);
    if is_by_itself && !deciding.is_empty() {
        if deciding.iter().all(is_well) {
            return Verdict::Succeeded;
        }
        let others: Vec<&ContainerFacts> = deciding.iter().copied().filter(|container| !is_well(container)).collect();
        if let Some(ContainerFacts { name, exit_code: Some(code), .. }) = others.first()
            && others.iter().all(|container| codes.is_skip(container.exit_code))
        {
            return Verdict::Skipped {
                reason: format!("container `{name}` exited with {code}, which exit_codes.skip lists"),
            };
        }
    }
    Verdict::Failed(failure(facts, &deciding, codes, is_by_itself))
}

/// The failure of a stopped task of which every container decides, and no exit code but 0 is good.
pub(super) fn failure_of(facts: &TaskFacts) -> Failure {
    let is_by_itself = ended_by_itself(facts, |_| false);
    failure(facts, &deciding_containers(facts, Success::All), &ExitCodes::default(), is_by_itself)
}

fn failure(facts: &TaskFacts, deciding: &[&ContainerFacts], codes: &ExitCodes, is_by_itself: bool) -> Failure {
    let culprit = decider(deciding, codes).filter(|container| container.exit_code != Some(0));
    let kind = kind::of(facts, deciding);
    let exit_code = culprit.and_then(|container| container.exit_code);
    let finer = exit_code.map(ErrorName::exit_code).into_iter().chain(kind.clone());
    let failure = Failure::new(ErrorName::TASK_FAILED, cause(facts, culprit, kind.as_ref())).with_finer(finer);
    Failure { exit_code: exit_code.filter(|_| is_by_itself), ..failure }
}

/// The exit code that stands for the whole task.
pub fn exit_code(facts: &TaskFacts, definition: &Definition) -> Option<i32> {
    let deciding = deciding_containers(facts, definition.success);
    decider(&deciding, &definition.exit_codes).and_then(|container| container.exit_code)
}

/// The container whose end tells most: the first that failed, else the first with nothing to do, else the first that did
/// not end with 0.
fn decider<'f>(deciding: &[&'f ContainerFacts], codes: &ExitCodes) -> Option<&'f ContainerFacts> {
    let rank = |container: &&ContainerFacts| match container.exit_code {
        Some(0) => 3,
        code if codes.is_success(code) => 2,
        code if codes.is_skip(code) => 1,
        Some(_) | None => 0,
    };
    deciding.iter().copied().min_by_key(rank)
}

/// Whether it matters which containers of a stopped task decide: not if all ended with the same exit code.
pub fn depends_on_flags(facts: &TaskFacts) -> bool {
    let mut codes = facts.containers.iter().map(|container| container.exit_code);
    let first = codes.next().flatten();
    first.is_none() || codes.any(|code| code != first)
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
        None | Some(EXITED) => !kind::is_taken_away(facts),
        Some(code) => accepts(code),
    }
}

/// One sentence, the most telling fact first: the container, then what ECS says of the task.
fn cause(facts: &TaskFacts, culprit: Option<&ContainerFacts>, kind: Option<&ErrorName>) -> String {
    let mut parts = Vec::new();
    if let Some(container) = culprit {
        let name = &container.name;
        let end = match container.exit_code {
            // Memory is one reason among others, and only ECS's word for it is proof.
            Some(SIGKILLED) if kind != Some(&ErrorName::OUT_OF_MEMORY) => format!(
                "container `{name}` exited with 137, which is SIGKILL: a stop time-out, the shutdown after another \
                 container's end, or the host's memory"
            ),
            Some(code) => format!("container `{name}` exited with {code}"),
            None => format!("container `{name}` has no exit code"),
        };
        let is_known = container.essential.is_some() || facts.containers.len() < 2;
        let end = if is_known { end } else { format!("{end} (whether it is essential could not be read)") };
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
