//! What the endpoint is told: plain data, filled by the product's configuration or by a test.
//!
//! Nothing here is checked. `Server::bind` checks a task definition of the settings exactly as it would check one that arrives
//! through RegisterTaskDefinition.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What an endpoint serves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The region in every ARN.
    pub region: String,
    /// The account in every ARN.
    pub account: String,
    /// Clusters that exist from the start, beside `default`.
    pub clusters: Vec<String>,
    /// Task definitions that exist from the start. One that changed since the journal was written becomes a new revision.
    pub task_definitions: Vec<TaskDefinition>,
    /// The file that lets the endpoint survive its own crash. Without it everything is forgotten when the endpoint ends.
    pub journal: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            account: "000000000000".to_owned(),
            clusters: Vec::new(),
            task_definitions: Vec::new(),
            journal: None,
        }
    }
}

/// A family of task definitions, as processes.
#[derive(Debug, Clone, Default)]
pub struct TaskDefinition {
    /// The name that RunTask uses.
    pub family: String,
    /// At least one, and at least one of them essential.
    pub containers: Vec<Container>,
    /// What happens to the first, second, … launch of this family. Launches after the end of the list just run.
    pub outcomes: Vec<Outcome>,
}

/// A container: one command run as a process group of its own.
#[derive(Debug, Clone)]
pub struct Container {
    /// Its name in overrides and answers.
    pub name: String,
    /// The program and its arguments. An override replaces them all.
    pub command: Vec<String>,
    /// When an essential container ends, all others of the task are stopped.
    pub essential: bool,
    /// Variables added to the few inherited from the host. An override replaces them one by one.
    pub environment: BTreeMap<String, String>,
    /// The time between SIGTERM and SIGKILL.
    pub stop_timeout: Duration,
}

impl Default for Container {
    fn default() -> Self {
        Self {
            name: String::new(),
            command: Vec::new(),
            essential: true,
            environment: BTreeMap::new(),
            // The default of ECS ("Task definition parameters", stopTimeout).
            stop_timeout: Duration::from_secs(30),
        }
    }
}

/// How one launch of a family goes. A launch is one new RunTask call; a call that replays a known client token is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The task runs.
    Run,
    /// Refused with `ThrottlingException`.
    Throttled,
    /// Refused because EC2 throttled ECS, which ECS reports as an `InvalidParameterException`.
    ThrottledAsInvalidParameter,
    /// Refused with `AccessDeniedException`.
    AccessDenied,
    /// Answered with `ServerException` (500); nothing was created.
    ServerException,
    /// Answered with `ServerException` (500), yet the task was created.
    ServerExceptionAfterCreate,
    /// Refused with any exception, one that ECS models or another.
    Refused {
        /// Its name.
        code: String,
        /// What it says.
        message: String,
        /// The HTTP status.
        status: u16,
    },
    /// Answered with 200 and this in `failures`; nothing was created.
    Failure {
        /// For example `RESOURCE:MEMORY`.
        reason: String,
        /// More about it.
        detail: Option<String>,
    },
    /// Answered with 200 and some of the tasks that were asked for, and this reason in `failures` for each of the others.
    PartialFailure {
        /// How many are created.
        started: usize,
        /// Why the others are not.
        reason: String,
    },
    /// Answered like `Failure`, yet the task was created: a ghost that only `startedBy` finds.
    FailureAfterCreate(String),
    /// The task is created and stays PENDING for this time, or until it is stopped; then it runs.
    SlowStart(Duration),
    /// The task is created and stops before any container started, for this reason.
    TaskFailedToStart(String),
    /// The task runs and is interrupted as Spot tasks are.
    SpotInterruption {
        /// Counted from the launch.
        after: Duration,
    },
    /// The task runs and its host vanishes: no stop code, no exit codes.
    HostTerminated {
        /// Counted from the launch.
        after: Duration,
    },
    /// The task runs until it is stopped for this reason, as if by ECS itself.
    Stopped {
        /// None if ECS gives none.
        stop_code: Option<String>,
        /// In ECS's words.
        reason: String,
        /// Counted from the launch.
        after: Duration,
    },
    /// The task runs until its first essential container is killed for its memory use.
    OutOfMemory {
        /// Counted from the launch.
        after: Duration,
    },
    /// The task runs until its host vanishes and ECS forgets it: MISSING from then on.
    Forgotten {
        /// Counted from the launch.
        after: Duration,
    },
    /// The task runs, and so many further calls of DescribeTasks, by whomever, are throttled.
    DescribeThrottled(u32),
    /// The connection is closed without an answer; nothing was created.
    ConnectionClosedBefore,
    /// The task is created and the connection is closed without an answer.
    ConnectionClosed,
    /// The task is created at once and the answer comes late.
    SlowAnswer(Duration),
    /// The task is created and stays MISSING for this time, as eventual consistency permits.
    VisibleAfter(Duration),
}
