//! Every kind of failure that the engine reports, an example of each.
//!
//! What a retrier can ever be asked about is what the engine can report, and nothing else. So whether a retrier can match at
//! all is not a matter of more rules: the examples are made by `failure.rs` and `outcome.rs` from facts, as in a run, and put
//! to the retriers themselves. Each example bears as few names as a failure of its kind can have, because one name more could
//! be taken by a retrier that passes over the kind in general.

use std::sync::LazyLock;

use super::failure::{self, ErrorName, Failure, MODELLED};
use super::outcome;
use super::retry::{Decision, RetryPolicy};
use super::task::{ContainerFacts, LaunchAnswer, LaunchFailure, TaskArn, TaskFacts};

/// A kind of failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// An example of it.
    pub failure: Failure,
    /// Whether a task ran, or may have: such an attempt takes time, and a refused launch takes next to none.
    pub task_ran: bool,
}

/// What a task that stopped shows beside the exit code of its container: the stop code, the reason, the container's reason.
type Shown = (Option<&'static str>, &'static str, Option<&'static str>);
const ENDED: Shown = (Some("EssentialContainerExited"), "Essential container in task exited", None);
const UNSTARTED: Option<&str> = Some("TaskFailedToStart");

/// What ECS shows of a task whose end has a kind of its own. Source: Amazon ECS Developer Guide, "Stopped tasks error
/// messages".
const SHOWN: [Shown; 13] = [
    ENDED,
    (UNSTARTED, "", None),
    (UNSTARTED, "CannotPullContainerError", None),
    (UNSTARTED, "ResourceInitializationError", None),
    (UNSTARTED, "Timeout waiting for network interface provisioning to complete.", None),
    (UNSTARTED, "CannotStartContainerError", None),
    (UNSTARTED, "Capacity is unavailable at this time", None),
    (UNSTARTED, "RESOURCE:MEMORY", None),
    (ENDED.0, ENDED.1, Some("OutOfMemoryError: Container killed due to memory usage")),
    (Some("SpotInterruption"), "Your Spot Task was interrupted.", None),
    (Some("TerminationNotice"), "", None),
    (Some("UserInitiated"), "", None),
    (None, "Host EC2 (instance i-0) stopped/terminated.", None),
];

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| of_launches().chain(of_tasks()).collect());

/// All kinds but those that bear a number: `Task.ExitCode.<n>`.
pub fn kinds() -> &'static [Kind] {
    &KINDS
}

/// The kinds that bear a name, the one it was made for first. A name that the engine never reports is one of its own.
pub fn of_name(name: &ErrorName) -> Vec<Kind> {
    if let Some(code) = exit_code(name.as_str()) {
        return vec![Kind { failure: stopped(ENDED, Some(code)), task_ran: true }];
    }
    // The primary name is the kind's own; as a finer or a coarser one, it is shared.
    let mut found: Vec<Kind> = KINDS.iter().filter(|kind| kind.failure.names.contains(name)).cloned().collect();
    found.sort_by_key(|kind| (kind.failure.primary != *name, kind.failure.names.len()));
    if found.is_empty() {
        found.push(Kind { failure: unheard_of(name), task_ran: false });
    }
    found
}

/// In how many attempts of one run a task can run at most: in those alone that no retrier of refusals grants.
pub fn task_attempts_max(policy: &RetryPolicy) -> u64 {
    let repeated = policy.retriers().iter().zip(repeats_tasks(policy)).filter(|(_, repeats)| *repeats);
    1 + repeated.map(|(retrier, _)| u64::from(retrier.max_attempts)).sum::<u64>()
}

/// Which of the retriers can ever take an attempt in which a task ran, and so repeat it.
fn repeats_tasks(policy: &RetryPolicy) -> Vec<bool> {
    let mut repeats = vec![false; policy.retriers().len()];
    let named = policy
        .retriers()
        .iter()
        .flat_map(|retrier| &retrier.error_equals)
        .filter(|name| exit_code(name.as_str()).is_some());
    let numbered: Vec<Kind> = named.flat_map(of_name).collect();
    for kind in KINDS.iter().chain(&numbered).filter(|kind| kind.task_ran) {
        if let Decision::Retry { retrier, .. } = policy.decide(&kind.failure, &[], 1.0)
            && let Some(repeats) = repeats.get_mut(retrier)
        {
            *repeats = true;
        }
    }
    repeats
}

/// The number of a `Task.ExitCode.<n>`.
pub fn exit_code(name: &str) -> Option<i32> {
    name.strip_prefix("Task.ExitCode.")?.parse().ok()
}

/// A code of ECS under its prefix gets the names that ECS's answer would get; anything else is somebody's own name.
fn unheard_of(name: &ErrorName) -> Failure {
    let code = name.as_str().strip_prefix("ECS.").filter(|code| !code.is_empty());
    let refused = code.and_then(|code| failure::of_answer(&refusal(code, "")));
    refused.unwrap_or_else(|| Failure::new(name.clone(), ""))
}

fn of_launches() -> impl Iterator<Item = Kind> {
    let refused = MODELLED.into_iter().chain(["UnrecognizedClientException", "ThrottlingException"]);
    let answers = refused.map(|code| refusal(code, "")).chain([
        refusal("InvalidParameterException", "Rate exceeded"),
        LaunchAnswer::NoAnswer { sent: true, message: "timed out".into() },
        not_placed("RESOURCE:MEMORY"),
        not_placed("Capacity is unavailable at this time"),
    ]);
    let failures = answers.filter_map(|answer| failure::of_answer(&answer));
    failures.map(|failure| Kind { failure, task_ran: false })
}

fn of_tasks() -> impl Iterator<Item = Kind> {
    let stopped = SHOWN.into_iter().map(|shown| stopped(shown, None));
    let others = [
        Failure::lost(""),
        Failure::new(ErrorName::TIMEOUT, ""),
        Failure::start_timed_out(""),
        Failure::new(ErrorName::LAUNCH_UNKNOWN, ""),
    ];
    stopped.chain(others).map(|failure| Kind { failure, task_ran: true })
}

fn refusal(code: &str, message: &str) -> LaunchAnswer {
    LaunchAnswer::Refused { code: Some(code.into()), message: message.into(), status: 400 }
}

fn not_placed(reason: &str) -> LaunchAnswer {
    LaunchAnswer::Failures(vec![LaunchFailure { reason: reason.into(), detail: None }])
}

fn stopped((stop_code, stopped_reason, reason): Shown, exit_code: Option<i32>) -> Failure {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    outcome::failure_of(&TaskFacts {
        task: TaskArn(String::new()),
        last_status: "STOPPED".into(),
        stop_code: owned(stop_code),
        stopped_reason: Some(stopped_reason.to_owned()).filter(|reason| !reason.is_empty()),
        containers: vec![ContainerFacts { name: "app".into(), essential: None, exit_code, reason: owned(reason) }],
        ..TaskFacts::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Primary and all names.
    fn shown(kind: &Kind) -> (&str, Vec<&str>) {
        (kind.failure.primary.as_str(), kind.failure.names.iter().map(ErrorName::as_str).collect())
    }

    #[test]
    fn every_name_of_the_engine_has_an_example() {
        for name in [
            ErrorName::TASK_FAILED,
            ErrorName::TIMEOUT,
            ErrorName::ECS_EXCEPTION,
            ErrorName::SDK_CLIENT,
            ErrorName::THROTTLED,
            ErrorName::ECS_UNKNOWN,
            ErrorName::PLACEMENT,
            ErrorName::CAPACITY,
            ErrorName::IMAGE_PULL,
            ErrorName::RESOURCE_INIT,
            ErrorName::ENI,
            ErrorName::CONTAINER_START,
            ErrorName::OUT_OF_MEMORY,
            ErrorName::SPOT_INTERRUPTION,
            ErrorName::INFRASTRUCTURE,
            ErrorName::STOPPED,
            ErrorName::LOST,
            ErrorName::START_TIMEOUT,
            ErrorName::LAUNCH_UNKNOWN,
        ] {
            assert!(kinds().iter().any(|kind| kind.failure.names.contains(&name)), "{name}");
        }
    }

    #[test]
    fn a_name_gets_the_names_that_the_engine_gives_to_its_failure() {
        let first = |name: &str| {
            let kind = of_name(&ErrorName::new(name)).remove(0);
            let (primary, names) = shown(&kind);
            (primary.to_owned(), names.join(" "))
        };
        let expected = [
            ("ECS.AmazonECSException", "ECS.AmazonECSException", "ECS.AmazonECSException"),
            ("ECS.ServerException", "ECS.ServerException", "ECS.ServerException ECS.AmazonECSException"),
            ("ECS.ThrottlingException", "ECS.AmazonECSException", "ECS.Throttled ECS.AmazonECSException"),
            ("ECS.Throttled", "ECS.AmazonECSException", "ECS.Throttled ECS.AmazonECSException"),
            ("ECS.ExpiredTokenException", "ECS.AmazonECSException", "ECS.AmazonECSException"),
            ("AmazonECS.Unknown", "AmazonECS.Unknown", "Task.Placement AmazonECS.Unknown ECS.AmazonECSException"),
            ("States.TaskFailed", "States.TaskFailed", "States.TaskFailed"),
            ("Task.ExitCode.3", "States.TaskFailed", "Task.ExitCode.3 States.TaskFailed"),
            ("Task.ImagePull", "States.TaskFailed", "Task.ImagePull States.TaskFailed"),
            ("States.Timeout", "States.Timeout", "States.Timeout"),
            ("Task.StartTimeout", "States.Timeout", "Task.StartTimeout States.Timeout"),
            ("Tenacron.LaunchUnknown", "Tenacron.LaunchUnknown", "Tenacron.LaunchUnknown"),
            ("Ecs.ServerException", "Ecs.ServerException", "Ecs.ServerException"),
            ("Mine", "Mine", "Mine"),
        ];
        for (name, primary, names) in expected {
            assert_eq!(first(name), (primary.to_owned(), names.to_owned()), "{name}");
        }
    }

    #[test]
    fn only_some_retriers_repeat_a_task() {
        assert_eq!(repeats_tasks(&RetryPolicy::default()), [false, true]);
        assert_eq!(task_attempts_max(&RetryPolicy::default()), 4);
        let named = |name: &str| {
            let mut retriers = RetryPolicy::default().retriers().to_vec();
            retriers[1].error_equals = vec![ErrorName::new(name)];
            repeats_tasks(&RetryPolicy::new(retriers).unwrap())
        };
        assert_eq!(named("Task.ExitCode.75"), [false, true]);
        assert_eq!(named("States.Timeout"), [false, true]);
        assert_eq!(named("ECS.Throttled"), [false, false]);
        assert_eq!(named("Mine"), [false, false]);
    }
}
