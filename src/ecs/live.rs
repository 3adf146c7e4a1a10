//! The live tasks of a cluster that some installation of Tenacron launched, for a daemon whose state is gone.
//!
//! ListTasks can't filter by the beginning of a `startedBy`, so every live task is listed and described, and those of
//! others are dropped here. Only tasks that shall run are listed: what is already being stopped ends by itself.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{DesiredStatus, TaskField};

use super::answer::Unfulfilled;
use super::search::PAGE_SIZE;
use super::{CallError, LivePage, facts};
use crate::engine::job::Site;

/// One page of them.
pub(super) async fn page(client: &Client, site: &Site, page: Option<&str>) -> Result<LivePage, CallError> {
    let list = client.list_tasks().cluster(&site.cluster).desired_status(DesiredStatus::Running).max_results(PAGE_SIZE);
    let output = list.set_next_token(page.map(str::to_owned)).send().await;
    let output = output.map_err(|error| Unfulfilled::of(&error).call_error("ListTasks"))?;
    let next = output.next_token.filter(|token| !token.is_empty());
    let listed = output.task_arns.unwrap_or_default();
    let count = listed.len();
    if listed.is_empty() {
        return Ok(LivePage { next, ..LivePage::default() });
    }
    let describe = client.describe_tasks().cluster(&site.cluster).set_tasks(Some(listed)).include(TaskField::Tags);
    let described = describe.send().await.map_err(|error| Unfulfilled::of(&error).call_error("DescribeTasks"))?;
    let shown = described.tasks();
    let found = shown.iter().filter_map(|task| facts::found(task, site)).collect();
    Ok(LivePage { listed: count, unseen: count.saturating_sub(shown.len()), found, next })
}
