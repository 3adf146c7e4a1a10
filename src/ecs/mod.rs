//! ECS as the daemon sees it: a few calls, with answers transcribed to facts.
//!
//! Nothing is concluded here: whether an answer is a success, a failure or worth a retry is the engine's. No call is
//! retried by the SDK behind our back, because the engine must see every answer to RunTask once, and the client token is
//! part of the request, never an afterthought.
//!
//! [`AwsEcs`] is the real one. By file: `connect.rs` finds region and credentials, `clients.rs` keeps a client for each target,
//! `request.rs` writes RunTask, `facts.rs` and `answer.rs` transcribe what came back, `search.rs` looks for a lost
//! launch, `live.rs` lists the live tasks that a Tenacron launched, `essential.rs` remembers which containers are essential,
//! `events.rs` reads task state changes from SQS, `logs.rs` the last lines of a container from CloudWatch Logs, and `sns.rs`
//! publishes notices. `inventory.rs` asks what the command line wants to know of clusters and task definitions.

mod answer;
mod client;
mod clients;
mod connect;
mod essential;
mod events;
mod evidence;
mod facts;
mod inventory;
mod live;
mod logs;
mod request;
mod search;
mod sns;
#[cfg(test)]
mod tests;

use std::future::Future;

pub use self::client::AwsEcs;
pub use self::connect::{ConnectError, QUIET, Settings, Timeouts};
pub use self::events::{EventQueue, LONG_POLL_SECONDS, MESSAGES_MAX, Message, TaskEvent, Unreadable};
pub use self::search::PAGES_MAX;
use crate::engine::call_fault::CallFault;
use crate::engine::job::Site;
use crate::engine::launch::LaunchRequest;
use crate::engine::log_tail::{LogTail, Wanted};
use crate::engine::task::{FoundTask, LaunchAnswer, SearchAnswer, TaskArn, TaskFacts};
use crate::notify::TopicMessage;

/// How many tasks DescribeTasks takes. Source: Amazon ECS API reference, DescribeTasks.
pub const DESCRIBE_TASKS_MAX: usize = 100;

/// What DescribeTasks said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    /// Tasks that it showed.
    pub facts: Vec<TaskFacts>,
    /// Tasks that it answered MISSING for. A task in no list is to be asked about again.
    pub missing: Vec<TaskArn>,
    /// Stopped tasks whose end depends on essential flags that could not be read just now: to be asked about again, and known
    /// to have ended should ECS forget them before that.
    pub unjudged: Vec<TaskEvent>,
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
    /// How it came to nothing.
    pub fault: CallFault,
    /// What went wrong, for a person.
    pub message: String,
}

impl CallError {
    /// Whether ECS throttled, so that the next call should wait.
    pub fn is_throttled(&self) -> bool {
        self.fault == CallFault::Throttled
    }
}

/// The calls of ECS that the daemon needs, and those of its neighbours for the same target.
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

    /// Adds the essential flags to what an event said of a stopped task; none if they could not be read just now. Where
    /// tasks have no definitions, an event says all there is.
    fn with_flags(&self, site: &Site, event: TaskEvent) -> impl Future<Output = Option<TaskFacts>> + Send {
        let _site = site;
        std::future::ready(Some(event.facts))
    }

    /// The last lines of containers of a stopped task, or why there are none. Where no logs are kept there are none.
    fn log_tail(&self, wanted: &Wanted) -> impl Future<Output = Vec<LogTail>> + Send {
        std::future::ready(wanted.without_lines("logs are not kept"))
    }

    /// Publishes the message of a notice. Where there are no topics it fails.
    ///
    /// # Errors
    /// SNS did not take it.
    fn publish(&self, message: &TopicMessage) -> impl Future<Output = Result<(), CallError>> + Send {
        let message = format!("{} can't be published to from here", message.topic.arn);
        std::future::ready(Err(CallError { fault: CallFault::Refused, message }))
    }

    /// Lists a page of the tasks of a cluster that shall run, and shows those that a Tenacron launched. At most
    /// [`PAGES_MAX`] pages are to be asked for.
    ///
    /// # Errors
    /// Nothing is known of the page; ask again.
    fn live_tasks(&self, site: &Site, page: Option<&str>) -> impl Future<Output = Result<LivePage, CallError>> + Send;

    /// Asks ECS something small about a cluster, to see whether it answers. Where there is nobody to ask, it does.
    ///
    /// # Errors
    /// It did not answer as hoped, and how.
    fn knock(&self, site: &Site) -> impl Future<Output = Result<(), CallError>> + Send {
        let _site = site;
        std::future::ready(Ok(()))
    }

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
