//! ECS as the daemon sees it: five calls, with answers transcribed to facts.
//!
//! Nothing is concluded here: whether an answer is a success, a failure or worth a retry is the engine's. No call is
//! retried by the SDK behind our back, because the engine must see every answer to RunTask once, and the client token is
//! part of the request, never an afterthought.
//!
//! [`AwsEcs`] is the real one. By file: `connect.rs` finds region and credentials, `http.rs` is the HTTP client beneath the
//! SDK, `request.rs` writes RunTask, `facts.rs` and `answer.rs` transcribe what came back, `search.rs` looks for a lost
//! launch, `live.rs` lists the live tasks that a Tenacron launched, `essential.rs` remembers which containers are essential.

mod answer;
mod client;
mod connect;
mod essential;
mod evidence;
mod facts;
mod http;
mod live;
mod request;
mod search;
#[cfg(test)]
mod tests;

use std::future::Future;

pub use self::client::AwsEcs;
pub use self::connect::{ConnectError, Settings, Timeouts};
pub use self::search::PAGES_MAX;
use crate::engine::job::Site;
use crate::engine::launch::LaunchRequest;
use crate::engine::task::{FoundTask, LaunchAnswer, SearchAnswer, TaskArn, TaskFacts};

/// How many tasks DescribeTasks takes. Source: Amazon ECS API reference, DescribeTasks.
pub const DESCRIBE_TASKS_MAX: usize = 100;

/// What DescribeTasks said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    /// Tasks that it showed.
    pub facts: Vec<TaskFacts>,
    /// Tasks that it answered MISSING for. A task in neither list is to be asked about again.
    pub missing: Vec<TaskArn>,
}

/// One page of the live tasks of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LivePage {
    /// How many tasks are on it.
    pub listed: usize,
    /// How many of them were listed and then not shown.
    pub unseen: usize,
    /// Those that a Tenacron launched, by their `startedBy`.
    pub found: Vec<FoundTask>,
    /// Where the next page begins; none after the last one.
    pub next: Option<String>,
}

/// A call that was not answered as hoped; the run that it concerns is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// Whether ECS throttled, so that the next call should wait.
    pub throttled: bool,
    /// What went wrong, for a person.
    pub message: String,
}

/// The calls of ECS that the daemon needs.
pub trait Ecs: Clone + Send + Sync + 'static {
    /// Sends RunTask, exactly as frozen.
    fn run_task(&self, request: &LaunchRequest) -> impl Future<Output = LaunchAnswer> + Send;

    /// Looks for tasks of a launch: live ones by `startedBy`, then stopped ones by family and `startedBy`.
    fn find_tasks(&self, request: &LaunchRequest) -> impl Future<Output = SearchAnswer> + Send;

    /// Sends DescribeTasks for at most [`DESCRIBE_TASKS_MAX`] tasks of one cluster. Stopped tasks come back with the
    /// essential flags of their containers, where those can be read.
    ///
    /// # Errors
    /// Nothing is known; ask again.
    fn describe_tasks(
        &self,
        site: &Site,
        tasks: &[TaskArn],
    ) -> impl Future<Output = Result<Described, CallError>> + Send;

    /// Lists a page of the tasks of a cluster that shall run, and shows those that a Tenacron launched. At most
    /// [`PAGES_MAX`] pages are to be asked for.
    ///
    /// # Errors
    /// Nothing is known of the page; ask again.
    fn live_tasks(&self, site: &Site, page: Option<&str>) -> impl Future<Output = Result<LivePage, CallError>> + Send;

    /// Sends StopTask.
    ///
    /// # Errors
    /// ECS did not accept it; ask again.
    fn stop_task(
        &self,
        site: &Site,
        task: &TaskArn,
        reason: &str,
    ) -> impl Future<Output = Result<(), CallError>> + Send;
}
