//! Error names: what a failure is called, and the text that explains it.
//!
//! Step Functions reports one name for each failure and retriers are written against those names, so ours are the same
//! strings. We know more than that one name: a refused launch is also an `ECS.AmazonECSException`, a failed task also a
//! `Task.ExitCode.1`. A [`Failure`] therefore carries its *primary* name, the one Step Functions would report, and every
//! other name it answers to, most specific first. This module names what the ECS API refused; `outcome.rs` names what
//! became of a task. Neither decides whether to retry: that is `retry.rs`.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::task::{LaunchAnswer, LaunchFailure};

/// An error name as in ASL's `ErrorEquals`: compared exactly, case included.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorName(Cow<'static, str>);

impl ErrorName {
    /// ASL wildcard: every error but `States.Timeout`.
    pub const TASK_FAILED: ErrorName = ErrorName::fixed("States.TaskFailed");
    /// ASL wildcard: every error.
    pub const ALL: ErrorName = ErrorName::fixed("States.ALL");
    /// An attempt or a start took longer than its limit.
    pub const TIMEOUT: ErrorName = ErrorName::fixed("States.Timeout");
    /// ASL's error of the interpreter itself; no retrier ever matches it.
    pub const RUNTIME: ErrorName = ErrorName::fixed("States.Runtime");
    /// ASL's payload limit; `States.ALL` passes over it.
    pub const DATA_LIMIT_EXCEEDED: ErrorName = ErrorName::fixed("States.DataLimitExceeded");
    /// The SDK's base class of every ECS exception.
    pub const ECS_EXCEPTION: ErrorName = ErrorName::fixed("ECS.AmazonECSException");
    /// No HTTP answer: DNS, connect, TLS, time-out.
    pub const SDK_CLIENT: ErrorName = ErrorName::fixed("ECS.SdkClientException");
    /// ECS throttled, openly or in disguise.
    pub const THROTTLED: ErrorName = ErrorName::fixed("ECS.Throttled");
    /// HTTP 200 with `failures`.
    pub const ECS_UNKNOWN: ErrorName = ErrorName::fixed("AmazonECS.Unknown");
    /// No room on the cluster's instances, or none that fits.
    pub const PLACEMENT: ErrorName = ErrorName::fixed("Task.Placement");
    /// No capacity on Fargate, or under a quota of the account.
    pub const CAPACITY: ErrorName = ErrorName::fixed("Task.Capacity");
    /// The image could not be pulled.
    pub const IMAGE_PULL: ErrorName = ErrorName::fixed("Task.ImagePull");
    /// Secrets, logs or volumes could not be set up.
    pub const RESOURCE_INIT: ErrorName = ErrorName::fixed("Task.ResourceInit");
    /// The network interface could not be set up.
    pub const ENI: ErrorName = ErrorName::fixed("Task.Eni");
    /// A container could not be created or started, also in time.
    pub const CONTAINER_START: ErrorName = ErrorName::fixed("Task.ContainerStart");
    /// A container was killed for its memory use.
    pub const OUT_OF_MEMORY: ErrorName = ErrorName::fixed("Task.OutOfMemory");
    /// Spot capacity was taken back.
    pub const SPOT_INTERRUPTION: ErrorName = ErrorName::fixed("Task.SpotInterruption");
    /// The host failed or was retired.
    pub const INFRASTRUCTURE: ErrorName = ErrorName::fixed("Task.Infrastructure");
    /// Somebody stopped the task.
    pub const STOPPED: ErrorName = ErrorName::fixed("Task.Stopped");
    /// ECS no longer knows the task, so its end is unknown.
    pub const LOST: ErrorName = ErrorName::fixed("Task.Lost");
    /// The task never reached RUNNING within its limit.
    pub const START_TIMEOUT: ErrorName = ErrorName::fixed("Task.StartTimeout");
    /// Whether a launch happened can no longer be known; matched by its own name only.
    pub const LAUNCH_UNKNOWN: ErrorName = ErrorName::fixed("Tenacron.LaunchUnknown");

    /// With which [`exit_code`](ErrorName::exit_code) begins.
    pub const EXIT_CODES: &str = "Task.ExitCode.";

    const fn fixed(name: &'static str) -> ErrorName {
        ErrorName(Cow::Borrowed(name))
    }

    /// A name from a configuration or from ECS.
    pub fn new(name: impl Into<String>) -> ErrorName {
        ErrorName(Cow::Owned(name.into()))
    }

    /// `Task.ExitCode.<n>`.
    pub fn exit_code(code: i32) -> ErrorName {
        ErrorName::new(format!("{}{code}", ErrorName::EXIT_CODES))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What went wrong with an attempt: its names and the sentence that explains it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What Step Functions would report.
    pub primary: ErrorName,
    /// Every name it answers to, most specific first, the primary among them.
    pub names: Vec<ErrorName>,
    /// What happened, for a person.
    pub cause: String,
    /// With what the deciding container ended, if the task ended by itself: what the `exit_codes` of its job judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

impl Failure {
    /// A failure with one name.
    pub fn new(primary: ErrorName, cause: impl Into<String>) -> Failure {
        Failure { names: vec![primary.clone()], primary, cause: cause.into(), exit_code: None }
    }

    /// The task never reached RUNNING within its limit.
    pub fn start_timed_out(cause: impl Into<String>) -> Failure {
        Failure::new(ErrorName::TIMEOUT, cause).with_finer([ErrorName::START_TIMEOUT])
    }

    /// ECS no longer knows the task.
    pub fn lost(cause: impl Into<String>) -> Failure {
        Failure::new(ErrorName::TASK_FAILED, cause).with_finer([ErrorName::LOST])
    }

    /// The most specific name, if that is not the primary one.
    pub fn finer(&self) -> Option<&ErrorName> {
        self.names.first().filter(|name| **name != self.primary)
    }

    /// Adds finer names, most specific first, before those it has.
    #[must_use]
    pub fn with_finer(mut self, finer: impl IntoIterator<Item = ErrorName>) -> Failure {
        let mut names: Vec<ErrorName> = finer.into_iter().collect();
        names.append(&mut self.names);
        self.names = names;
        self
    }

    /// Adds a coarser name after those it has, unless it is there already.
    #[must_use]
    pub fn with_base(mut self, base: ErrorName) -> Failure {
        if !self.names.contains(&base) {
            self.names.push(base);
        }
        self
    }
}

/// The exceptions that ECS models for RunTask; any other code is reported under the base class.
/// Source: Amazon ECS API reference, RunTask, "Errors".
pub(super) const MODELLED: [&str; 10] = [
    "AccessDeniedException",
    "BlockedException",
    "ClientException",
    "ClusterNotFoundException",
    "ConflictException",
    "InvalidParameterException",
    "PlatformTaskDefinitionIncompatibilityException",
    "PlatformUnknownException",
    "ServerException",
    "UnsupportedFeatureException",
];

/// Error codes by which AWS services throttle. Source: the AWS SDK's own list, those of other services left out.
const THROTTLE_CODES: [&str; 9] = [
    "ThrottlingException",
    "Throttling",
    "ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "EC2ThrottledException",
    "SlowDown",
];

/// What the message of a throttled call of EC2 holds when ECS passes it on. Source: Amazon EC2 API reference, "Error codes".
const THROTTLED_WITHIN: [&str; 4] =
    ["Rate exceeded", "Request limit exceeded", "ErrorCode: Throttling", "ErrorCode: RequestLimitExceeded"];

/// What ECS says when there is no room for a task on Fargate, or under a quota of the account.
/// Source: AWS re:Post, "Capacity is unavailable"; Amazon ECS Developer Guide, "Service event messages".
const NO_CAPACITY: [&str; 2] = ["Capacity is unavailable", "you can run concurrently"];

/// The failure that an answer to RunTask stands for; none if a task was launched or adopted.
pub fn of_answer(answer: &LaunchAnswer) -> Option<Failure> {
    match answer {
        LaunchAnswer::Launched { .. } => None,
        LaunchAnswer::Refused { code, message, status } => {
            let failure = refused(code.as_deref(), message, *status);
            let finer = if is_throttling(code.as_deref(), message, *status) {
                Some(ErrorName::THROTTLED)
            } else {
                (is_no_capacity(message) || is_full_of_provisioning(message)).then_some(ErrorName::CAPACITY)
            };
            Some(failure.with_finer(finer))
        }
        LaunchAnswer::Conflict { message, .. } => Some(refused(Some("ConflictException"), message, 400)),
        LaunchAnswer::NoAnswer { message, .. } => Some(
            Failure::new(ErrorName::SDK_CLIENT, format!("RunTask got no answer: {message}"))
                .with_base(ErrorName::ECS_EXCEPTION),
        ),
        LaunchAnswer::Failures(failures) => Some(not_placed(failures, 0)),
    }
}

/// Error codes that come with a 4xx and say that the exchange broke off, not that the request was refused. Source: AWS,
/// "Common errors".
const BROKEN_OFF_CODES: [&str; 4] =
    ["RequestTimeout", "RequestTimeoutException", "RequestAborted", "RequestAbortedException"];

/// Whether an HTTP answer with an error surely means that this request started nothing: ECS itself refused it, with an error
/// code of its own. A 4xx without one came from something in between, such as a proxy whose patience was over after it had
/// passed the request on.
pub fn is_definite(code: Option<&str>, status: u16) -> bool {
    (400..500).contains(&status) && status != 408 && code.is_some_and(|code| !BROKEN_OFF_CODES.contains(&code))
}

fn refused(code: Option<&str>, message: &str, status: u16) -> Failure {
    let primary = match code {
        Some(code) if MODELLED.contains(&code) => ErrorName::new(format!("ECS.{code}")),
        Some(_) | None => ErrorName::ECS_EXCEPTION,
    };
    let said = if message.is_empty() { "no message" } else { message };
    let is_definite = is_definite(code, status);
    let code = code.map(|code| format!("{code}: ")).unwrap_or_default();
    let cause = if is_definite {
        format!("RunTask was refused: {code}{said}")
    } else {
        format!("RunTask failed with HTTP {status}, and a task may have been started: {code}{said}")
    };
    Failure::new(primary, cause).with_base(ErrorName::ECS_EXCEPTION)
}

/// Whether an error of any call of ECS is throttling. EC2's, inside RunTask, arrives as `InvalidParameterException`
/// "… Rate exceeded (ErrorCode: Throttling)". Source: Amazon ECS Developer Guide, "Request throttling for the Amazon ECS
/// API".
pub fn is_throttling(code: Option<&str>, message: &str, status: u16) -> bool {
    status == 429
        || code.is_some_and(|code| THROTTLE_CODES.contains(&code))
        || THROTTLED_WITHIN.into_iter().any(|text| message.contains(text))
}

/// Whether ECS says, wherever it says it, that there is no capacity for a task now.
pub(super) fn is_no_capacity(text: &str) -> bool {
    NO_CAPACITY.into_iter().any(|known| text.contains(known))
}

/// A cluster with managed scaling has a quota of tasks in PROVISIONING, and refuses more with a `ClientException`.
/// Source: Amazon ECS API reference, RunTask.
fn is_full_of_provisioning(message: &str) -> bool {
    let is_quota = ["limit", "quota", "exceed"].into_iter().any(|word| message.to_ascii_lowercase().contains(word));
    message.contains("PROVISIONING") && is_quota
}

/// The failure of a launch of which these tasks could not be placed, and so many were.
pub(super) fn not_placed(failures: &[LaunchFailure], placed: usize) -> Failure {
    let told: Vec<String> = failures
        .iter()
        .map(|failure| match &failure.detail {
            Some(detail) => format!("{} ({detail})", failure.reason),
            None => failure.reason.clone(),
        })
        .collect();
    let capacity = failures
        .iter()
        .any(|failure| is_no_capacity(&failure.reason) || failure.detail.as_deref().is_some_and(is_no_capacity));
    let finer = if capacity { ErrorName::CAPACITY } else { ErrorName::PLACEMENT };
    let started = if placed == 0 { "nothing".to_owned() } else { format!("only {placed} of its tasks") };
    Failure::new(ErrorName::ECS_UNKNOWN, format!("RunTask started {started}: {}", told.join("; ")))
        .with_finer([finer])
        .with_base(ErrorName::ECS_EXCEPTION)
}

#[cfg(test)]
mod tests;
