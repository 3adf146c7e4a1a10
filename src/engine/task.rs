//! What ECS said about a launch or a task, with nothing concluded from it.
//!
//! `ecs/` transcribes the SDK's answers into these values and `outcome.rs`, `failure.rs` and `run` conclude. A fact that
//! ECS left out is `None`: a container that never started has no exit code, and none is not zero.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::call_fault::CallFault;
use super::job::Site;

/// The ARN of an ECS task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskArn(pub String);

impl fmt::Display for TaskArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What came of one RunTask call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaunchAnswer {
    /// HTTP 200 with tasks.
    Launched {
        /// The tasks that now run, or ran: a replayed token names those of the first call. Never empty.
        tasks: Vec<TaskArn>,
        /// What is said of those that could not be launched, where several were asked for.
        failures: Vec<LaunchFailure>,
    },
    /// An HTTP answer with an error.
    Refused {
        /// The error code, for example `ThrottlingException`; none if the body held none.
        code: Option<String>,
        /// The error message, possibly empty.
        message: String,
        /// The HTTP status: 5xx leaves open whether a task was started.
        status: u16,
    },
    /// `ConflictException`: the token was used with other parameters.
    Conflict {
        /// The tasks that are tied to the token.
        tasks: Vec<TaskArn>,
        /// The error message.
        message: String,
    },
    /// HTTP 200 with `failures` and no task.
    Failures(Vec<LaunchFailure>),
    /// No HTTP answer.
    NoAnswer {
        /// False if the request surely never left: no connection could be made.
        sent: bool,
        /// What went wrong, for a person.
        message: String,
    },
}

/// One item of RunTask's `failures`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchFailure {
    /// For example `RESOURCE:MEMORY`.
    pub reason: String,
    /// More about it, where ECS says more.
    pub detail: Option<String>,
}

/// What a look-up of a launch by its `startedBy` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchAnswer {
    /// Tasks that this launch started, live or stopped; never empty.
    Found(Vec<TaskArn>),
    /// ECS answered and knows none.
    Nothing,
    /// ECS did not answer, so nothing is known.
    NoAnswer {
        /// How its call came to nothing.
        fault: CallFault,
        /// What went wrong, for a person.
        message: String,
    },
}

impl SearchAnswer {
    /// Without an HTTP answer.
    pub fn no_answer(message: impl Into<String>) -> SearchAnswer {
        SearchAnswer::NoAnswer { fault: CallFault::NoAnswer, message: message.into() }
    }
}

/// One task as DescribeTasks showed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFacts {
    /// Which task.
    pub task: TaskArn,
    /// `PROVISIONING` … `STOPPED`, as ECS spells it.
    pub last_status: String,
    /// Why it stopped, as ECS's enumeration spells it; unknown future values pass through.
    pub stop_code: Option<String>,
    /// Why it stopped, in words.
    pub stopped_reason: Option<String>,
    /// When it went through what.
    pub times: TaskTimes,
    /// Its containers.
    pub containers: Vec<ContainerFacts>,
    /// The object of a stopped task as ECS sent it, as JSON, without the values of its variables.
    pub described: Option<String>,
}

/// When a task went through what; none for what ECS did not say. Source: Amazon ECS API reference, Task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTimes {
    /// When ECS took it in.
    pub created_at: Option<DateTime<Utc>>,
    /// When the first image began to be pulled.
    pub pull_started_at: Option<DateTime<Utc>>,
    /// When the last image was there.
    pub pull_stopped_at: Option<DateTime<Utc>>,
    /// When it reached RUNNING.
    pub started_at: Option<DateTime<Utc>>,
    /// When it began to stop.
    pub stopping_at: Option<DateTime<Utc>>,
    /// When its containers had ended.
    pub execution_stopped_at: Option<DateTime<Utc>>,
    /// When it reached STOPPED.
    pub stopped_at: Option<DateTime<Utc>>,
}

impl TaskFacts {
    /// Whether this is final: containers can have ended while their task is still being taken down.
    pub fn is_stopped(&self) -> bool {
        matches!(self.last_status.as_str(), "STOPPED" | "DELETED")
    }

    /// Whether the task has been RUNNING. A poll can skip any state, and a task whose start failed passes through the
    /// states of going down as well, so those prove nothing: `started_at` does.
    pub fn has_started(&self) -> bool {
        self.times.started_at.is_some() || self.last_status == "RUNNING"
    }
}

/// One container of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerFacts {
    /// Its name in the task definition.
    pub name: String,
    /// Whether it is essential, from DescribeTaskDefinition; none if that could not be read.
    pub essential: Option<bool>,
    /// None if it never started, its host vanished, or the agent could not learn it.
    pub exit_code: Option<i32>,
    /// ECS's reason, which often says more than the task's.
    pub reason: Option<String>,
}

/// A live task that some installation of Tenacron launched, with the marks that it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTask {
    /// Which task.
    pub task: TaskArn,
    /// Where, with the cluster by the name that it was asked for.
    pub site: Site,
    /// By whom it says that it was started.
    pub started_by: String,
    /// When it was created.
    pub created_at: Option<DateTime<Utc>>,
    /// Its tags that are ours by their keys.
    pub tags: BTreeMap<String, String>,
    /// The variables that its containers were given and that are ours by their names.
    pub environment: BTreeMap<String, String>,
}
