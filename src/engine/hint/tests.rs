//! Messages that were seen, through names to hints.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::engine::catalogue;
use crate::engine::failure::{self, ErrorName, Failure};
use crate::engine::outcome::{self, Verdict};
use crate::engine::samples;
use crate::engine::task::{ContainerFacts, LaunchAnswer, LaunchFailure, TaskArn, TaskFacts};

/// A row of `tests/fixtures/ecs-messages.json`: where it was seen, all that ECS said, and what is made of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    source: String,
    r#where: String,
    code: Option<String>,
    message: Option<String>,
    status: Option<u16>,
    reason: Option<String>,
    detail: Option<String>,
    stop_code: Option<String>,
    stopped_reason: Option<String>,
    exit_code: Option<i32>,
    container_reason: Option<String>,
    names: Vec<String>,
    hint: Option<String>,
}

impl Seen {
    /// The failure that it is; none if it is none.
    fn failure(&self) -> Option<Failure> {
        let answer = match self.r#where.as_str() {
            "run_task_error" => LaunchAnswer::Refused {
                code: self.code.clone(),
                message: self.message.clone().unwrap(),
                status: self.status.unwrap(),
            },
            "failures" => LaunchAnswer::Failures(vec![LaunchFailure {
                reason: self.reason.clone().unwrap(),
                detail: self.detail.clone(),
            }]),
            "stopped_task" | "container" => return self.judged(),
            other => panic!("{other}"),
        };
        failure::of_answer(&answer)
    }

    fn judged(&self) -> Option<Failure> {
        let facts = TaskFacts {
            task: TaskArn("arn:aws:ecs:eu-central-1:111122223333:task/main/1".into()),
            last_status: "STOPPED".into(),
            stop_code: self.stop_code.clone(),
            stopped_reason: self.stopped_reason.clone(),
            containers: vec![ContainerFacts {
                name: "main".into(),
                essential: Some(true),
                exit_code: self.exit_code,
                reason: self.container_reason.clone(),
            }],
            ..TaskFacts::default()
        };
        match outcome::judge(&facts, &samples::definition()) {
            Verdict::Succeeded => None,
            Verdict::Skipped { reason } => panic!("{reason}"),
            Verdict::Failed(failure) => Some(failure),
        }
    }
}

fn seen() -> Vec<Seen> {
    serde_json::from_str(include_str!("../../../tests/fixtures/ecs-messages.json")).expect("the fixtures are JSON")
}

#[test]
fn every_message_that_was_seen_has_its_names_and_its_hint() {
    let all = seen();
    assert!(all.len() >= 100, "{}", all.len());
    let mut wrong = Vec::new();
    for row in &all {
        let failure = row.failure();
        let names: Vec<&str> = failure.iter().flat_map(|failure| &failure.names).map(ErrorName::as_str).collect();
        let key = failure.as_ref().and_then(hint).map(|hint| hint.key);
        if names != row.names || key != row.hint.as_deref() {
            wrong.push(format!("{names:?} {key:?} instead of {row:?}"));
        }
        assert!(!row.source.is_empty());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_message_in_words_of_the_future_is_a_failure_with_its_words_in_the_cause() {
    for mut row in seen() {
        row.message = row.message.map(|_| "words of the future".to_owned());
        row.reason = row.reason.map(|_| "words of the future".to_owned());
        row.stopped_reason = row.stopped_reason.map(|_| "words of the future".to_owned());
        row.container_reason = None;
        let Some(failure) = row.failure() else { continue };
        assert!(failure.cause.contains("words of the future"), "{failure:?}");
        assert!(failure.names.contains(&failure.primary));
    }
}

#[test]
fn every_kind_of_failure_has_a_hint() {
    let bare: Vec<String> = catalogue::kinds()
        .iter()
        .filter(|kind| hint(&kind.failure).is_none())
        .map(|kind| format!("{kind:?}"))
        .collect();
    assert!(bare.is_empty(), "{}", bare.join("\n"));
}

#[test]
fn what_was_not_seen_yet_is_told_apart_as_well() {
    let refused = |code: &str, message: &str| {
        let answer = LaunchAnswer::Refused { code: Some(code.into()), message: message.into(), status: 400 };
        hint(&failure::of_answer(&answer).unwrap()).map(|hint| hint.key)
    };
    for (code, message, key) in [
        ("AccessDeniedException", "not authorized to perform: ecs:TagResource on resource: x", "tag-permission"),
        ("ClientException", "The quota of tasks in PROVISIONING per cluster has been reached", "provisioning-quota"),
        ("ClientException", "TaskDefinition is inactive", "task-definition"),
        ("InvalidParameterException", "The subnet ID 'subnet-1' does not exist", "network-wrong"),
        ("InvalidParameterException", "The specified capacity provider strategy cannot be used", "capacity-provider"),
        ("UnsupportedFeatureException", "", "unsupported"),
        ("PlatformUnknownException", "", "platform"),
        ("ConflictException", "", "conflict"),
        ("InternalFailure", "", "ecs-fault"),
    ] {
        assert_eq!(refused(code, message), Some(key), "{code} {message}");
    }
    assert_eq!(refused("SomethingNewException", "who knows"), None, "no advice is better than a guess");
}

/// A key stands for one advice, wherever it is given; and the page lists every one, with its words.
#[test]
fn every_hint_is_one_line_and_on_its_page() {
    let page = include_str!("../../../docs/failures.md");
    let mut texts = BTreeMap::new();
    for Rule { hint: Hint { key, text }, names, words } in RULES {
        assert!(text.len() <= 130 && !text.contains('\n') && !text.ends_with('.'), "{key}: {text}");
        assert!(!names.is_empty() && words.iter().all(|word| *word == word.to_ascii_lowercase()), "{key}");
        assert_eq!(texts.insert(key, text).unwrap_or(text), text, "{key}");
        assert!(page.contains(&format!("| `{key}` | {text} |")), "docs/failures.md lacks\n| `{key}` | {text} |");
    }
}
