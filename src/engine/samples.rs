//! Values for tests: the plainest definition and job. A test replaces what it is about, so that this is all it shows.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::json;

use super::exit_codes::ExitCodes;
use super::job::{Admission, Definition, Instance, Job, JobName, Limits, OnUnknown, Success, TaskSpec};
use super::notice::{AttemptFacts, NoticeFacts, On};
use super::retry::RetryPolicy;
use super::run::{RunId, Status, Trigger};
use super::schedule::{Dst, Schedule};

/// One task, the default policy, no limits.
pub(crate) fn definition() -> Definition {
    Definition {
        task: TaskSpec::new("main", "hello"),
        retry: RetryPolicy::default(),
        limits: Limits::default(),
        success: Success::Essential,
        accept_stop_codes: Vec::new(),
        exit_codes: ExitCodes::none(),
        on_unknown: OnUnknown::Fail,
        log_tail: 0,
        notify: Arc::default(),
    }
}

/// The job `nightly`, in UTC.
pub(crate) fn job(schedule: &str) -> Job {
    Job {
        name: JobName::new("nightly").unwrap(),
        schedule: Schedule::parse(&[schedule], Tz::UTC, Dst::default()).unwrap(),
        admission: Admission::default(),
        definition: Arc::new(definition()),
    }
}

/// What a notice says of a run that failed with exit code 3.
pub(crate) fn notice_facts(on: On) -> NoticeFacts {
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    NoticeFacts {
        on,
        instance: Instance::new("prod").unwrap(),
        job: JobName::new("billing").unwrap(),
        run: RunId::from_text("billing-20260115T020000Z"),
        status: Status::Failed,
        trigger: Trigger::Schedule,
        scheduled_at: at("2026-01-15T02:00:00Z"),
        timezone: Some("Europe/Berlin".into()),
        finished_at: Some(at("2026-01-15T02:05:00Z")),
        attempt_count: 1,
        attempts: vec![AttemptFacts {
            attempt: 1,
            launched_at: Some(at("2026-01-15T02:00:00Z")),
            stopped_at: Some(at("2026-01-15T02:05:00Z")),
            task_arn: Some("arn:aws:ecs:eu-central-1:123456789012:task/main/1".into()),
            error: Some("States.TaskFailed".into()),
            finer_error: Some("Task.ExitCode.3".into()),
            cause: Some("exit code 3".into()),
            exit_code: Some(3),
        }],
        error: Some("States.TaskFailed".into()),
        finer_error: Some("Task.ExitCode.3".into()),
        cause: Some("exit code 3".into()),
        hint: None,
        exit_code: Some(3),
        exit_code_meaning: None,
        retry_at: None,
        next_at: Some(at("2026-01-16T02:00:00Z")),
        paused: None,
        failed_in_a_row: 2,
        others: 0,
        others_from: None,
        made_up_by: None,
        task: Some(json!({
            "taskArn": "arn:x", "stoppedAt": 1_768_442_700.123, "startedBy": null,
            "containers": [{ "name": "app", "exitCode": 3 }],
        })),
    }
}
