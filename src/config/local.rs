//! `[local.task_definitions.NAME]`: what `--local` runs, as processes of this machine.
//!
//! The endpoint checks a task definition again, as it would check one that arrives over the wire; here the mistakes get a
//! place in the file.

use std::collections::{BTreeMap, BTreeSet};

use crate::local::{Container, Outcome, TaskDefinition};

use super::reader::{Table, Value};
use super::report::shown;
use super::task;

const FAMILY_MAX: usize = 255;

/// Outcomes that need no more than their name.
const PLAIN: [(&str, Outcome); 8] = [
    ("run", Outcome::Run),
    ("throttled", Outcome::Throttled),
    ("throttled_as_invalid_parameter", Outcome::ThrottledAsInvalidParameter),
    ("access_denied", Outcome::AccessDenied),
    ("server_exception", Outcome::ServerException),
    ("server_exception_after_create", Outcome::ServerExceptionAfterCreate),
    ("connection_closed_before", Outcome::ConnectionClosedBefore),
    ("connection_closed", Outcome::ConnectionClosed),
];

const SERVER_EXCEPTION: &str = "ServerException";
/// What RunTask says with the exceptions that ECS models, and with others that are seen.
const REFUSALS: [(&str, &str); 13] = [
    ("AccessDeniedException", "User is not authorized to perform: ecs:RunTask"),
    ("BlockedException", "Your account is currently blocked"),
    ("ClientException", "TaskDefinition is inactive"),
    ("ClusterNotFoundException", "Cluster not found."),
    ("ConflictException", "The client token was used before with different parameters."),
    ("ExpiredTokenException", "The security token included in the request is expired"),
    ("InvalidParameterException", "Container Overrides length must be at most 8192"),
    ("PlatformTaskDefinitionIncompatibilityException", "One or more of the requested capabilities are not supported."),
    ("PlatformUnknownException", "The platform version does not exist."),
    (SERVER_EXCEPTION, "Service Unavailable. Please try again later."),
    ("ThrottlingException", "Rate exceeded"),
    ("UnrecognizedClientException", "The security token included in the request is invalid."),
    ("UnsupportedFeatureException", "The feature is not supported in this region."),
];

/// Reads the task definition `family`.
pub(super) fn task_definition(family: &str, value: &Value<'_>) -> Option<TaskDefinition> {
    value.table(|table| {
        let containers = table.required("containers", containers);
        let outcomes = table.get("outcomes", |value| value.list(outcome));
        let family = is_family(family).then(|| family.to_owned()).or_else(|| {
            value.refuse("bad-name", format!("a task definition has 1 to {FAMILY_MAX} letters, digits, `-` or `_`"))
        });
        Some(TaskDefinition { family: family?, containers: containers?, outcomes: outcomes.or_default(Vec::new())? })
    })
}

fn is_family(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= FAMILY_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn containers(value: &Value<'_>) -> Option<Vec<Container>> {
    let containers = value.list(|item| item.table(container))?;
    let mut names = BTreeSet::new();
    if let Some(twice) = containers.iter().find(|container| !names.insert(container.name.as_str())) {
        return value.refuse("bad-value", format!("the container `{}` is there twice", shown(&twice.name)));
    }
    if !containers.iter().any(|container| container.essential) {
        return value.refuse("bad-value", "at least one container must be essential");
    }
    Some(containers)
}

fn container(table: &Table<'_>) -> Option<Container> {
    let preset = Container::default();
    let name = table.required("name", |value| value.string());
    let command = table.required("command", |value| match value.strings()? {
        words if words.is_empty() => value.refuse("bad-value", "is empty; it needs a program"),
        words => Some(words),
    });
    let essential = table.get("essential", |value| value.boolean());
    let environment = table.get("environment", task::environment);
    let stop_timeout = table.get("stop_timeout", |value| value.duration());
    Some(Container {
        name: name?,
        command: command?,
        essential: essential.or_default(preset.essential)?,
        environment: environment.or_default(BTreeMap::new())?,
        stop_timeout: stop_timeout.or_default(preset.stop_timeout)?,
    })
}

fn outcome(value: &Value<'_>) -> Option<Outcome> {
    if value.is_text() {
        return value.word(&PLAIN);
    }
    value.table(|table| {
        let found = [
            table.get("refused", refused),
            table.get("failure", failure),
            table.get("partial_failure", |value| value.table(partial_failure)),
            table.get("failure_after_create", |value| value.string().map(Outcome::FailureAfterCreate)),
            table.get("task_failed_to_start", |value| value.string().map(Outcome::TaskFailedToStart)),
            table.get("spot_interruption", |value| value.duration().map(|after| Outcome::SpotInterruption { after })),
            table.get("slow_start", |value| value.duration().map(Outcome::SlowStart)),
            table.get("stopped", |value| value.table(stopped)),
            table.get("out_of_memory", |value| value.duration().map(|after| Outcome::OutOfMemory { after })),
            table.get("forgotten", |value| value.duration().map(|after| Outcome::Forgotten { after })),
            table.get("describe_throttled", |value| value.integer(1..=1_000).map(Outcome::DescribeThrottled)),
            table.get("host_terminated", |value| value.duration().map(|after| Outcome::HostTerminated { after })),
            table.get("slow_answer", |value| value.duration().map(Outcome::SlowAnswer)),
            table.get("visible_after", |value| value.duration().map(Outcome::VisibleAfter)),
        ];
        let mut named = found.into_iter().filter(|field| !field.is_absent());
        match (named.next(), named.next()) {
            (Some(one), None) => one.optional().flatten(),
            (Some(_), Some(_)) => value.refuse("bad-value", "names more than one outcome; write one table for each"),
            (None, _) if table.is_empty() => value.refuse("bad-value", "names no outcome"),
            (None, _) => None,
        }
    })
}

/// An exception by its name alone, with the words that ECS has for it; or all of it.
fn refused(value: &Value<'_>) -> Option<Outcome> {
    let usual = |code: String| {
        let message = REFUSALS.iter().find(|(known, _)| *known == code).map_or("", |(_, message)| message).to_owned();
        let status = if code == SERVER_EXCEPTION { 500 } else { 400 };
        (code, message, status)
    };
    let (code, message, status) = if value.is_text() {
        usual(value.string()?)
    } else {
        value.table(|table| {
            let code = table.required("code", |value| value.string());
            let message = table.get("message", |value| value.text().map(str::to_owned));
            let status = table.get("status", |value| value.integer(400..=599));
            let (code, usual_message, usual_status) = usual(code?);
            Some((code, message.or_default(usual_message)?, status.or_default(usual_status)?))
        })?
    };
    Some(Outcome::Refused { code, message, status })
}

/// A reason alone, or with a detail.
fn failure(value: &Value<'_>) -> Option<Outcome> {
    if value.is_text() {
        return Some(Outcome::Failure { reason: value.string()?, detail: None });
    }
    value.table(|table| {
        let reason = table.required("reason", |value| value.string());
        let detail = table.get("detail", |value| value.string());
        Some(Outcome::Failure { reason: reason?, detail: detail.optional()? })
    })
}

fn partial_failure(table: &Table<'_>) -> Option<Outcome> {
    let started = table.required("started", |value| value.integer(1..=9));
    let reason = table.required("reason", |value| value.string());
    Some(Outcome::PartialFailure { started: started?, reason: reason? })
}

fn stopped(table: &Table<'_>) -> Option<Outcome> {
    let stop_code = table.get("stop_code", |value| value.string());
    let reason = table.required("reason", |value| value.string());
    let after = table.required("after", |value| value.duration());
    Some(Outcome::Stopped { stop_code: stop_code.optional()?, reason: reason?, after: after? })
}
