//! The look-up of a launch whose answer was lost, by the `startedBy` that only this launch carries.
//!
//! ListTasks refuses `startedBy` together with any other filter and by itself lists only tasks that shall run, so the
//! look-up has two steps: `startedBy` alone for live tasks, then all stopped tasks of the family, described and compared.
//! Source: Amazon ECS API reference, ListTasks.
//!
//! "Nothing" lets the engine launch anew, so it is said only after every page was read and every task on it was seen. A
//! page too many, a task listed but not shown and a refusal are all "no answer", and the engine asks again.

use std::collections::HashSet;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::operation::list_tasks::builders::ListTasksFluentBuilder;
use aws_sdk_ecs::types::{DesiredStatus, Task};

use super::answer::Unfulfilled;
use super::{CallError, DESCRIBE_TASKS_MAX};
use crate::engine::call_fault::CallFault;
use crate::engine::launch::LaunchRequest;
use crate::engine::task::{SearchAnswer, TaskArn};

/// How many pages of tasks one look-up reads: 10 000 stopped tasks of one family within ECS's hour of memory.
pub const PAGES_MAX: usize = 100;
/// How many tasks ListTasks puts on a page, at most; DescribeTasks takes as many.
pub(super) const PAGE_SIZE: i32 = 100;
const _: () = assert!(PAGE_SIZE as usize == DESCRIBE_TASKS_MAX, "a page is described with one call");

/// Why a look-up has no result.
type Unknown = CallError;

/// Looks for the tasks of a launch.
pub(super) async fn find_tasks(client: &Client, request: &LaunchRequest) -> SearchAnswer {
    let found = match live(client, request).await {
        Ok(live) if live.is_empty() => stopped(client, request).await,
        live => live,
    };
    match found {
        Ok(tasks) if tasks.is_empty() => SearchAnswer::Nothing,
        Ok(tasks) => SearchAnswer::Found(tasks.into_iter().map(TaskArn).collect()),
        Err(CallError { fault, message }) => SearchAnswer::NoAnswer { fault, message },
    }
}

async fn live(client: &Client, request: &LaunchRequest) -> Result<Vec<String>, Unknown> {
    let mut pages = Pages::new(client.list_tasks().cluster(&request.task.cluster).started_by(&request.started_by));
    let mut found = Vec::new();
    while let Some(page) = pages.next().await? {
        found.extend(page);
    }
    Ok(found)
}

async fn stopped(client: &Client, request: &LaunchRequest) -> Result<Vec<String>, Unknown> {
    let cluster = &request.task.cluster;
    let family = family(&request.task.task_definition);
    let list = client.list_tasks().cluster(cluster).family(family).desired_status(DesiredStatus::Stopped);
    let mut pages = Pages::new(list);
    let mut found: Vec<Task> = Vec::new();
    let mut unseen = 0;
    // Each page is described as it comes: a listed task that is about to be forgotten is still shown.
    while let Some(page) = pages.next().await? {
        if page.is_empty() {
            continue;
        }
        let listed: HashSet<String> = page.iter().cloned().collect();
        let described = client.describe_tasks().cluster(cluster).set_tasks(Some(page)).send().await;
        let described = described.map_err(|error| Unfulfilled::of(&error).call_error("DescribeTasks"))?;
        let shown = described.tasks.unwrap_or_default();
        let seen = shown.iter().filter(|task| task.task_arn().is_some_and(|arn| listed.contains(arn))).count();
        unseen += listed.len().saturating_sub(seen);
        found.extend(shown.into_iter().filter(|task| task.started_by() == Some(&request.started_by)));
    }
    if found.is_empty() && unseen > 0 {
        let message = format!("{unseen} stopped tasks of family {family} were listed, but not shown");
        return Err(CallError { fault: CallFault::Refused, message });
    }
    // Desired STOPPED includes tasks that still stop; those come first.
    found.sort_by_key(|task| task.last_status() == Some("STOPPED"));
    Ok(found.into_iter().filter_map(|task| task.task_arn).collect())
}

/// The pages of one ListTasks query.
struct Pages {
    query: ListTasksFluentBuilder,
    read: usize,
    /// None at first, then what ECS gave; an end is `Some(None)`.
    token: Option<Option<String>>,
}

impl Pages {
    fn new(query: ListTasksFluentBuilder) -> Pages {
        Pages { query: query.max_results(PAGE_SIZE), read: 0, token: None }
    }

    async fn next(&mut self) -> Result<Option<Vec<String>>, Unknown> {
        let token = match self.token.take() {
            None => None,
            Some(Some(token)) => Some(token),
            Some(None) => {
                self.token = Some(None);
                return Ok(None);
            }
        };
        if self.read == PAGES_MAX {
            let message = format!("ListTasks has more than {PAGES_MAX} pages");
            return Err(CallError { fault: CallFault::Refused, message });
        }
        self.read += 1;
        let output = self.query.clone().set_next_token(token).send().await;
        let output = output.map_err(|error| Unfulfilled::of(&error).call_error("ListTasks"))?;
        self.token = Some(output.next_token.filter(|token| !token.is_empty()));
        Ok(Some(output.task_arns.unwrap_or_default()))
    }
}

/// `family` out of `family`, `family:revision` or an ARN that ends in one of them.
fn family(task_definition: &str) -> &str {
    let name = task_definition.rsplit_once('/').map_or(task_definition, |(_, name)| name);
    name.split_once(':').map_or(name, |(family, _)| family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_is_what_names_no_revision() {
        for text in [
            "nightly",
            "nightly:7",
            "arn:aws:ecs:eu-central-1:123456789012:task-definition/nightly",
            "arn:aws:ecs:eu-central-1:123456789012:task-definition/nightly:7",
        ] {
            assert_eq!(family(text), "nightly", "{text}");
        }
    }
}
