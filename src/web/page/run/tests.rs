//! The page of each kind of run. Each story is made as the store tells it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::engine::failure::ErrorName;
use crate::engine::job::{ContainerOverride, Instance, JobName};
use crate::engine::run::{Asker, Attempt, Covered, Entry, Firing, Run, Status, TaskEnd};
use crate::engine::samples;
use crate::engine::task::{ContainerFacts, TaskArn, TaskTimes};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000 + second, 0).unwrap()
}

fn definition() -> Definition {
    let mut definition = samples::definition();
    definition.task.containers = vec![ContainerOverride {
        name: "app".into(),
        environment: [("PASSWORD".to_owned(), "hunter2".to_owned())].into_iter().collect(),
        ..ContainerOverride::default()
    }];
    definition
}

/// A run of `nightly` with these attempts, as it is after `seconds` of its life.
fn story(status: Status, attempts: Vec<Attempt>, seconds: i64) -> RunStory {
    let (job, definition) = (JobName::new("nightly").unwrap(), Arc::new(definition()));
    let firing = Firing::of_schedule(&job, at(0), Trigger::Schedule);
    let (run, entries) = Run::due(firing, Instance::new("prod").unwrap(), Arc::clone(&definition), at(0));
    let newest = attempts.last();
    let failure = newest.and_then(|attempt| attempt.failure.as_ref());
    let is_over =
        !matches!(status, Status::Due | Status::Launching | Status::Running | Status::Stopping | Status::Waiting);
    RunStory {
        summary: RunSummary {
            run: run.id.clone(),
            job,
            trigger: Trigger::Schedule,
            scheduled_at: at(0),
            status,
            attempts: u32::try_from(attempts.len()).unwrap(),
            error: failure.map(|failure| failure.primary.to_string()),
            cause: failure.map(|failure| failure.cause.clone()),
            exit_code: newest.and_then(|attempt| attempt.exit_code),
            created_at: at(0),
            finished_at: is_over.then_some(at(seconds)),
            next_action_at: (!is_over).then_some(at(seconds + 2)),
            covers: None,
        },
        launch: newest.map(|newest| Launch::freeze(&run, newest.generation, at(1))),
        attempts,
        entries,
        log_tails: BTreeMap::new(),
        notices: Vec::new(),
        definition,
        deadline: Some(at(3_600)),
    }
}

/// The n-th attempt, which began at `from` and ran for ten seconds.
fn attempt(nth: u32, from: i64, exit_code: i32) -> Attempt {
    let task = TaskArn(format!("arn:aws:ecs:eu-central-1:123456789012:task/main/{nth}"));
    let times = TaskTimes {
        created_at: Some(at(from)),
        pull_started_at: Some(at(from + 2)),
        pull_stopped_at: Some(at(from + 3)),
        started_at: Some(at(from + 4)),
        stopping_at: Some(at(from + 13)),
        execution_stopped_at: Some(at(from + 14)),
        stopped_at: Some(at(from + 15)),
    };
    let failure = (exit_code != 0).then(|| {
        let failure = Failure::new(ErrorName::TASK_FAILED, format!("container `app` exited with {exit_code}"));
        Failure { exit_code: Some(exit_code), ..failure.with_finer([ErrorName::exit_code(exit_code)]) }
    });
    let described = serde_json::json!({ "taskArn": task.0, "lastStatus": "STOPPED" }).to_string();
    Attempt {
        attempt: nth,
        generation: nth,
        due_at: Some(at(from)),
        launched_at: Some(at(from)),
        task: Some(task.clone()),
        started_at: Some(at(from + 4)),
        stopped_at: Some(at(from + 15)),
        failure: failure.clone(),
        exit_code: Some(exit_code),
        stop_code: Some("EssentialContainerExited".into()),
        stopped_reason: Some("Essential container in task exited".into()),
        containers: vec![ContainerFacts {
            name: "app".into(),
            essential: Some(true),
            exit_code: Some(exit_code),
            reason: None,
        }],
        ends: vec![TaskEnd {
            task,
            exit_code: Some(exit_code),
            failure,
            skipped: None,
            times,
            described: Some(described),
        }],
        ..Attempt::default()
    }
}

/// The same, and the second of the built-in retriers took it.
fn caught(nth: u32, from: i64) -> Attempt {
    Attempt { retrier: Some(1), retry_delay: Some(Duration::from_secs(3)), ..attempt(nth, from, 1) }
}

fn told(story: RunStory) -> Told {
    let now = story.summary.finished_at.or(story.summary.next_action_at).unwrap_or_else(|| at(0));
    Told { zone: Some(chrono_tz::Europe::Berlin), ..Told::new(story, now) }
}

pub(super) fn succeeded() -> Told {
    told(story(Status::Succeeded, vec![attempt(1, 1, 0)], 16))
}

pub(super) fn retried() -> Told {
    let mut second = attempt(2, 19, 0);
    second.launched_at = second.launched_at.map(|at| at + TimeDelta::milliseconds(100));
    told(story(Status::Succeeded, vec![caught(1, 1), second], 34))
}

pub(super) fn failed() -> Told {
    let caught = [(1, 1), (2, 20), (3, 40)].map(|(nth, from)| caught(nth, from));
    told(story(Status::Failed, caught.into_iter().chain([attempt(4, 60, 1)]).collect(), 75))
}

pub(super) fn failed_often(attempts: u32) -> Told {
    let caught = (1..attempts).map(|nth| caught(nth, i64::from(nth) * 20));
    let last = attempt(attempts, i64::from(attempts) * 20, 1);
    told(story(Status::Failed, caught.chain([last]).collect(), i64::from(attempts) * 20 + 15))
}

pub(super) fn waiting() -> Told {
    told(story(Status::Waiting, vec![caught(1, 1)], 16))
}

pub(super) fn cancelled_while_it_waited() -> Told {
    let mut story = story(Status::Cancelled, vec![caught(1, 1)], 17);
    (story.summary.error, story.summary.cause) = (None, Some("by uid 0 (root): <b>enough</b>".into()));
    told(story)
}

pub(super) fn skipped() -> Told {
    let mut story = story(Status::Skipped, Vec::new(), 0);
    story.summary.cause = Some("run nightly-0 still lives".into());
    told(story)
}

fn shown(told: &Told) -> String {
    let shown = body(told, true).into_string();
    assert!(!shown.contains("style=") && !shown.contains("<script"), "{shown}");
    shown
}

fn has(shown: &str, all: &[&str]) {
    for one in all {
        assert!(shown.contains(one), "{one} is not in {shown}");
    }
}

#[test]
fn a_success_is_told_in_a_line_and_may_be_repeated() {
    let page = shown(&succeeded());
    has(
        &page,
        &[
            "It went well after 1 attempt, 16 s in all.",
            "in the zone of its job: Sun, 15 Jun 2025, 17:06:40 CEST",
            "by its schedule",
            "action=\"/runs/nightly-20250615T150640Z/retry\"",
            "name=\"frozen\"",
            "href=\"/jobs/nightly\"",
        ],
    );
    assert!(!page.contains("/cancel") && !page.contains("Deadline"), "{page}");
    let read_only = body(&succeeded(), false).into_string();
    assert!(!read_only.contains("<form"), "{read_only}");
}

#[test]
fn what_failed_for_good_says_why_what_to_do_and_why_it_is_not_tried_again() {
    let page = shown(&failed());
    has(
        &page,
        &[
            "It failed for good after 4 attempts and 1 min 15 s.",
            "<b>States.TaskFailed</b>: container `app` exited with 1",
            "What to do: the program itself says that it failed: its log says why.",
            "Not tried again: retrier 2 of 2 (States.TaskFailed) has granted its 3 retries.",
            "any error, as the program sees it",
        ],
    );
}

#[test]
fn a_run_that_waits_says_for_what_and_may_be_cancelled() {
    let mut told = waiting();
    told.run.waits_for = Some("a slot of group <db>".into());
    let page = shown(&told);
    has(
        &page,
        &[
            "Attempt 1 failed. Attempt 2 is due at ",
            "a slot of group &lt;db&gt;",
            "Deadline",
            "then it is stopped",
            "action=\"/runs/nightly-20250615T150640Z/cancel\"",
        ],
    );
    assert!(!page.contains("/retry\""), "{page}");
}

#[test]
fn what_ran_out_of_time_or_was_cancelled_says_so() {
    let mut story = story(Status::TimedOut, vec![attempt(1, 1, 137)], 3_600);
    (story.summary.error, story.summary.cause) = (Some("States.Timeout".into()), Some("timeout of 1h".into()));
    story.attempts[0].failure = Some(Failure::new(ErrorName::TIMEOUT, "timeout of 1h"));
    has(
        &shown(&told(story)),
        &[
            "Its time was over after 1 attempt and 1 h.",
            "<b>States.Timeout</b>: timeout of 1h",
            "no retrier names States.Timeout",
            "ended by SIGKILL",
        ],
    );
    has(
        &shown(&cancelled_while_it_waited()),
        &["Somebody or a rule ended it after 1 attempt.", "by uid 0 (root): &lt;b&gt;enough&lt;/b&gt;"],
    );
}

#[test]
fn what_was_left_out_says_which_rule_and_for_how_many_instants_it_stands() {
    has(
        &shown(&skipped()),
        &["Nothing was launched: a rule left this instant out.", "run nightly-0 still lives", "There is none."],
    );
    let mut missed = story(Status::Missed, Vec::new(), 0);
    missed.summary.cause = Some("the daemon was away".into());
    missed.summary.covers = Some(Covered { first: at(-86_400), count: 1_441 });
    has(
        &shown(&told(missed)),
        &[
            "Nothing was launched: the instant was missed.",
            "This row stands for 1441 instants that the same rule left out, from ",
            "retry it.",
        ],
    );
}

#[test]
fn a_run_that_was_asked_for_names_who_why_and_what_it_repeats() {
    let mut again = succeeded();
    let asker = Asker { by: "uid 0 (root)".into(), reason: Some("<i>once more</i>".into()) };
    let retry_of = Some(RunId::from_text("nightly-0"));
    let request = Some(Request { asker, overlap: None, retry_of });
    let event = HistoryEvent::ExecutionStarted { trigger: Trigger::Manual, scheduled_at: at(0), request };
    again.run.events = vec![Entry { seq: 1, at: at(0), event }];
    again.run.summary.trigger = Trigger::Manual;
    again.others = vec![failed().run.summary];
    again.is_orphan = true;
    has(
        &shown(&again),
        &[
            "by hand, asked for by uid 0 (root): &lt;i&gt;once more&lt;/i&gt;",
            "<a href=\"/runs/nightly-0\">nightly-0</a>",
            "Same instant",
            "is not configured any more",
            "name=\"frozen\" value=\"yes\" checked",
        ],
    );
}

#[test]
fn whatever_ecs_says_is_escaped() {
    let evil = "<script>alert(1)</script>";
    let mut story = story(Status::Failed, vec![attempt(1, 1, 3)], 16);
    let attempt = &mut story.attempts[0];
    attempt.containers[0].reason = Some(evil.into());
    attempt.containers[0].name = evil.into();
    attempt.stopped_reason = Some(evil.into());
    attempt.stop_code = Some(evil.into());
    attempt.failure = Some(Failure::new(ErrorName::new(evil), evil));
    attempt.ends[0].described = Some(serde_json::json!({ evil: evil }).to_string());
    (story.summary.error, story.summary.cause) = (Some(evil.into()), Some(evil.into()));
    let page = shown(&told(story));
    assert!(page.matches("&lt;script&gt;").count() > 8, "{page}");
}
