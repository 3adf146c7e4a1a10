//! What ECS answers to RunTask, in its own words, and the names that this gets.

use super::*;

fn names(answer: &LaunchAnswer) -> Vec<String> {
    of_answer(answer).expect("a failure").names.iter().map(ToString::to_string).collect()
}

const BASE: &str = "ECS.AmazonECSException";

/// Reasons of `failures`, as `ecs.md` §1.1 collects them from AWS's pages and from reports.
const REASONS: [(&str, &str); 10] = [
    ("RESOURCE:CPU", "Task.Placement"),
    ("RESOURCE:MEMORY", "Task.Placement"),
    ("RESOURCE:PORTS", "Task.Placement"),
    ("RESOURCE:ENI", "Task.Placement"),
    ("RESOURCE:GPU", "Task.Placement"),
    ("AGENT", "Task.Placement"),
    ("LOCATION", "Task.Placement"),
    ("ATTRIBUTE", "Task.Placement"),
    ("MemberOf placement constraint unsatisfied", "Task.Placement"),
    (
        "Capacity is unavailable at this time. Please try again later or in a different availability zone",
        "Task.Capacity",
    ),
];

#[test]
fn every_reason_of_failures_has_its_name() {
    for (reason, finer) in REASONS {
        let answer = LaunchAnswer::Failures(vec![LaunchFailure { reason: reason.into(), detail: None }]);
        assert_eq!(names(&answer), [finer, "AmazonECS.Unknown", BASE], "{reason}");
        assert_eq!(of_answer(&answer).unwrap().primary, ErrorName::ECS_UNKNOWN);
    }
}

#[test]
fn the_cause_of_failures_names_every_reason_and_detail() {
    let failure = |reason: &str, detail: Option<&str>| LaunchFailure {
        reason: reason.into(),
        detail: detail.map(ToOwned::to_owned),
    };
    let answer = LaunchAnswer::Failures(vec![failure("AGENT", None), failure("RESOURCE:CPU", Some("needs 4096"))]);
    let cause = of_answer(&answer).unwrap().cause;
    assert_eq!(cause, "RunTask started nothing: AGENT; RESOURCE:CPU (needs 4096)");
}

/// Code, message, HTTP status, and the names that come before the base class.
const REFUSALS: [(Option<&str>, &str, u16, &[&str]); 16] = [
    (Some("AccessDeniedException"), "not authorized to perform: ecs:RunTask", 400, &["ECS.AccessDeniedException"]),
    (Some("BlockedException"), "Your AWS account has been blocked.", 400, &["ECS.BlockedException"]),
    (Some("ClientException"), "TaskDefinition is inactive", 400, &["ECS.ClientException"]),
    (Some("ClusterNotFoundException"), "Cluster not found.", 400, &["ECS.ClusterNotFoundException"]),
    (
        Some("InvalidParameterException"),
        "Container Overrides length must be at most 8192",
        400,
        &["ECS.InvalidParameterException"],
    ),
    (
        Some("InvalidParameterException"),
        "Error retrieving subnet information for [subnet-1]: Rate exceeded (ErrorCode: Throttling)",
        400,
        &["ECS.Throttled", "ECS.InvalidParameterException"],
    ),
    (Some("PlatformUnknownException"), "", 400, &["ECS.PlatformUnknownException"]),
    (
        Some("PlatformTaskDefinitionIncompatibilityException"),
        "",
        400,
        &["ECS.PlatformTaskDefinitionIncompatibilityException"],
    ),
    (Some("UnsupportedFeatureException"), "", 400, &["ECS.UnsupportedFeatureException"]),
    (Some("ServerException"), "Service Unavailable. Please try again later.", 500, &["ECS.ServerException"]),
    (Some("ThrottlingException"), "Rate exceeded", 400, &["ECS.Throttled"]),
    (Some("RequestLimitExceeded"), "", 400, &["ECS.Throttled"]),
    (None, "slow down", 429, &["ECS.Throttled"]),
    (Some("ExpiredTokenException"), "The security token included in the request is expired", 400, &[]),
    (Some("InternalFailure"), "", 500, &[]),
    (None, "", 503, &[]),
];

#[test]
fn every_refusal_has_its_names_and_the_base_class() {
    for (code, message, status, finer) in REFUSALS {
        let answer = LaunchAnswer::Refused { code: code.map(Into::into), message: message.into(), status };
        let expected: Vec<&str> = finer.iter().copied().chain([BASE]).collect();
        assert_eq!(names(&answer), expected, "{code:?} {message}");
        // What Step Functions reports is the exception that ECS models, never our own finer word.
        let primary = finer.iter().find(|name| **name != "ECS.Throttled").unwrap_or(&BASE);
        assert_eq!(of_answer(&answer).unwrap().primary.as_str(), *primary);
    }
}

#[test]
fn a_refusal_without_words_still_says_what_was_tried() {
    let answer = LaunchAnswer::Refused { code: None, message: String::new(), status: 502 };
    assert_eq!(
        of_answer(&answer).unwrap().cause,
        "RunTask failed with HTTP 502, and a task may have been started: no message"
    );
}

#[test]
fn a_launch_is_no_failure() {
    assert_eq!(
        of_answer(&LaunchAnswer::Launched {
            tasks: vec![crate::engine::task::TaskArn("a".into())],
            failures: Vec::new()
        }),
        None
    );
}
