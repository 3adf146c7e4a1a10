//! Answers of ECS transcribed to the engine's values.
//!
//! Nothing is added and nothing concluded: a fact that ECS left out stays none, a value that this SDK does not know yet
//! passes through as ECS spelt it, and an answer that says neither yes nor no stays open. What an answer means is decided
//! in the engine.

use aws_sdk_ecs::operation::run_task::{RunTaskError, RunTaskOutput};
use aws_sdk_ecs::types;
use chrono::{DateTime, SubsecRound as _, Utc};

use super::answer::{Unfulfilled, one_line};
use crate::engine::job::Site;
use crate::engine::launch::{STARTED_BY, TAG, VARIABLE};
use crate::engine::task::{ContainerFacts, FoundTask, LaunchAnswer, LaunchFailure, TaskArn, TaskFacts, TaskTimes};

/// What HTTP 200 says about a launch.
pub(super) fn launched(output: &RunTaskOutput) -> LaunchAnswer {
    let tasks: Vec<TaskArn> =
        output.tasks().iter().filter_map(|task| task.task_arn()).map(|arn| TaskArn(arn.to_owned())).collect();
    let failures: Vec<LaunchFailure> = output.failures().iter().map(launch_failure).collect();
    if !tasks.is_empty() {
        return LaunchAnswer::Launched { tasks, failures };
    }
    if failures.is_empty() {
        // Sending it again with the same token is harmless; taking it for a refusal might not be.
        let message = "HTTP 200 with neither a task nor a failure".to_owned();
        return LaunchAnswer::NoAnswer { sent: true, message };
    }
    LaunchAnswer::Failures(failures)
}

/// What an error says about a launch.
pub(super) fn not_launched(unfulfilled: Unfulfilled, error: Option<&RunTaskError>, saw_sending: bool) -> LaunchAnswer {
    match (unfulfilled, error) {
        (Unfulfilled::Refused { message, .. }, Some(RunTaskError::ConflictException(conflict))) => {
            let tasks = conflict.resource_ids().iter().cloned().map(TaskArn).collect();
            LaunchAnswer::Conflict { tasks, message }
        }
        (Unfulfilled::Refused { code, message, status }, _) => LaunchAnswer::Refused { code, message, status },
        (Unfulfilled::NoAnswer { unconnected, message }, _) => {
            LaunchAnswer::NoAnswer { sent: saw_sending && !unconnected, message }
        }
    }
}

fn launch_failure(failure: &types::Failure) -> LaunchFailure {
    LaunchFailure {
        reason: failure.reason().map_or_else(|| "no reason given".to_owned(), one_line),
        detail: failure.detail().map(one_line),
    }
}

/// What DescribeTasks showed of a task; none without an ARN. The essential flags are still to be found.
pub(super) fn task(task: &types::Task) -> Option<TaskFacts> {
    Some(TaskFacts {
        task: TaskArn(task.task_arn()?.to_owned()),
        last_status: task.last_status().unwrap_or_default().to_owned(),
        stop_code: task.stop_code().map(|code| code.as_str().to_owned()),
        stopped_reason: task.stopped_reason().map(one_line),
        times: TaskTimes {
            created_at: task.created_at().and_then(instant),
            pull_started_at: task.pull_started_at().and_then(instant),
            pull_stopped_at: task.pull_stopped_at().and_then(instant),
            started_at: task.started_at().and_then(instant),
            stopping_at: task.stopping_at().and_then(instant),
            execution_stopped_at: task.execution_stopped_at().and_then(instant),
            stopped_at: task.stopped_at().and_then(instant),
        },
        containers: task.containers().iter().map(container).collect(),
        described: None,
    })
}

/// A task that a Tenacron launched, with its marks; none if somebody else did.
pub(super) fn found(task: &types::Task, site: &Site) -> Option<FoundTask> {
    let started_by = task.started_by().filter(|started_by| started_by.starts_with(STARTED_BY))?;
    let ours = |prefix: &'static str| {
        move |(name, value): (Option<&str>, Option<&str>)| {
            let name = name.filter(|name| name.starts_with(prefix))?;
            Some((name.to_owned(), value?.to_owned()))
        }
    };
    let overrides = task.overrides().map(types::TaskOverride::container_overrides).unwrap_or_default();
    let variables = overrides.iter().flat_map(types::ContainerOverride::environment);
    Some(FoundTask {
        task: TaskArn(task.task_arn()?.to_owned()),
        site: site.clone(),
        started_by: started_by.to_owned(),
        created_at: task.created_at().and_then(instant),
        tags: task.tags().iter().map(|tag| (tag.key(), tag.value())).filter_map(ours(TAG)).collect(),
        environment: variables.map(|pair| (pair.name(), pair.value())).filter_map(ours(VARIABLE)).collect(),
    })
}

fn container(container: &types::Container) -> ContainerFacts {
    ContainerFacts {
        name: container.name().unwrap_or_default().to_owned(),
        essential: None,
        exit_code: container.exit_code(),
        reason: container.reason().map(one_line),
    }
}

/// Rounded, not cut: ECS sends seconds with a fraction, and 12.345 arrives as 12.344999790.
fn instant(sent: &aws_sdk_ecs::primitives::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(sent.secs(), sent.subsec_nanos()).map(|instant| instant.round_subsecs(3))
}
