//! A job as the rest of the program knows it: every value valid by construction, no file and no default in sight.
//!
//! A [`Job`] is what a schedule fires; its [`Definition`] is the part that a run keeps for its whole life, so that a
//! reload touches later firings only. The serde derives are the stored form of a definition, not a file format: files
//! have structs of their own in `config/`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::exit_codes::ExitCodes;
use super::notice::NotifyRule;
use super::pairs::Pairs;
use super::resources::{
    EnvironmentFile, PlacementConstraint, PlacementStrategy, ResourceRequirement, VolumeConfiguration,
};
use super::retry::RetryPolicy;
use super::schedule::Schedule;

pub use super::target::{Site, Target};

/// The longest job or instance name: with the longest suffix of a run id it still fits an ECS tag value.
pub const NAME_MAX: usize = 64;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name: use 1 to {NAME_MAX} letters, digits, `-`, `_` or `.`, beginning with a letter or digit")]
pub struct InvalidName(String);

fn checked(text: &str) -> Result<Arc<str>, InvalidName> {
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    let all_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if starts_well && all_plain && text.len() <= NAME_MAX { Ok(text.into()) } else { Err(InvalidName(text.to_owned())) }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks length and characters.
            ///
            /// # Errors
            /// The text is no valid name.
            pub fn new(text: &str) -> Result<$name, InvalidName> {
                checked(text).map($name)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<$name, InvalidName> {
                $name::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name_type! {
    /// The name of a job.
    JobName
}
name_type! {
    /// The name of this installation; it keeps two installations on one cluster apart.
    Instance
}

/// One TOML definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its name, unique in the configuration.
    pub name: JobName,
    /// When it fires.
    pub schedule: Schedule,
    /// What happens to a firing that is late or meets a run.
    pub admission: Admission,
    /// What a run of it does.
    pub definition: Arc<Definition>,
}

/// Whether a firing starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// What to do while another run of the job lives.
    pub overlap: Overlap,
    /// What to do with instants that passed while the daemon was away.
    pub catchup: Catchup,
    /// How old such an instant may be.
    pub catchup_window: Duration,
    /// Over how long a time the launches of one instant are spread, each job at a place of its own.
    pub spread: Duration,
    /// After how many runs in a row that ended badly the job is paused; never if none.
    pub pause_after: Option<u32>,
}

impl Default for Admission {
    /// One run at a time, and the last instant of an absence is made up for within an hour.
    fn default() -> Admission {
        Admission {
            overlap: Overlap::Skip,
            catchup: Catchup::Last,
            catchup_window: Duration::from_secs(3_600),
            spread: Duration::ZERO,
            pause_after: None,
        }
    }
}

/// What to do with a firing while another run of the job lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The firing is skipped.
    Skip,
    /// Both run.
    Allow,
    /// One firing waits, further ones are skipped.
    QueueOne,
    /// All firings wait, up to a limit, and run one after the other.
    QueueAll,
    /// The living run is stopped, and the firing starts when it has ended.
    CancelRunning,
}

/// Which instants that passed while the daemon was away are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catchup {
    /// None of them.
    None,
    /// The last of them.
    Last,
    /// All of them.
    All,
}

/// What a run does and when it is over; stored with the run, unchanged by a reload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// What is launched.
    pub task: TaskSpec,
    /// When a failure is tried again.
    pub retry: RetryPolicy,
    /// The limits of time.
    pub limits: Limits,
    /// Which containers decide.
    pub success: Success,
    /// Stop codes beside `EssentialContainerExited` that do not spoil a success.
    pub accept_stop_codes: Vec<String>,
    /// What exit codes mean beside that 0 is a success.
    #[serde(default, skip_serializing_if = "ExitCodes::is_empty")]
    pub exit_codes: Arc<ExitCodes>,
    /// What to do when it can no longer be known whether a launch happened.
    pub on_unknown: OnUnknown,
    /// How many of the last lines of each failed container are kept; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub log_tail: u16,
    /// Who is told what of a run.
    #[serde(default, skip_serializing_if = "nobody_is_told")]
    pub notify: Arc<[NotifyRule]>,
}

fn nobody_is_told(rules: &Arc<[NotifyRule]>) -> bool {
    rules.is_empty()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it a reference")]
fn is_zero(lines: &u16) -> bool {
    *lines == 0
}

/// Limits of time; none means no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Of the whole run, retries and waits included.
    pub timeout: Option<Duration>,
    /// Of one attempt.
    pub attempt_timeout: Option<Duration>,
    /// From the launch of an attempt until its task is RUNNING.
    pub start_timeout: Option<Duration>,
    /// From the instant of a run until its first launch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_deadline: Option<Duration>,
}

/// Which containers must end with exit code 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Success {
    /// The essential ones.
    Essential,
    /// All of them, as `ecs:runTask.sync` judges.
    All,
}

/// What follows on `Tenacron.LaunchUnknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// The run ends as `unknown`.
    Fail,
    /// The task is launched anew, possibly for a second time.
    Rerun,
}

/// What RunTask is asked for, in ECS's terms and nesting. Source: Amazon ECS API reference, RunTask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The account and region; frozen with the rest, so that a reload never moves what is in flight.
    #[serde(default, skip_serializing_if = "Target::is_own")]
    pub target: Arc<Target>,
    /// Short name or ARN of the cluster.
    pub cluster: String,
    /// `family`, `family:revision` or an ARN.
    pub task_definition: String,
    /// How many tasks one launch starts, 1 to 10; the run succeeds only if all do.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u32,
    /// On what it runs.
    pub capacity: Capacity,
    /// Fargate's platform version.
    pub platform_version: Option<String>,
    /// The `awsvpc` network; most jobs share one.
    pub network: Option<Arc<Network>>,
    /// What differs from the task definition, by container.
    pub containers: Vec<ContainerOverride>,
    /// What differs for the task as a whole.
    pub overrides: Arc<TaskOverride>,
    /// Which container instances will do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placement_constraints: Vec<PlacementConstraint>,
    /// Which of them are preferred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placement_strategy: Vec<PlacementStrategy>,
    /// The volumes that are configured at launch; ECS takes one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_configurations: Vec<VolumeConfiguration>,
    /// The task group.
    pub group: Option<String>,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
    /// `TASK_DEFINITION` or `NONE`.
    pub propagate_tags: Option<String>,
    /// ECS's own tags.
    pub enable_ecs_managed_tags: bool,
    /// Whether `aws ecs execute-command` works.
    pub enable_execute_command: bool,
    /// Whether the `tenacron:*` tags are added.
    pub add_tags: bool,
    /// Whether the `TENACRON_*` variables are added to each container override.
    pub add_environment: bool,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_one(count: &u32) -> bool {
    *count == 1
}

impl TaskSpec {
    /// A task definition on a cluster of the daemon's own account and region, with nothing else said.
    pub fn new(cluster: &str, task_definition: &str) -> TaskSpec {
        TaskSpec {
            target: Arc::default(),
            cluster: cluster.to_owned(),
            task_definition: task_definition.to_owned(),
            count: 1,
            capacity: Capacity::ClusterDefault,
            platform_version: None,
            network: None,
            containers: Vec::new(),
            overrides: TaskOverride::none(),
            placement_constraints: Vec::new(),
            placement_strategy: Vec::new(),
            volume_configurations: Vec::new(),
            group: None,
            tags: BTreeMap::new(),
            propagate_tags: None,
            enable_ecs_managed_tags: false,
            enable_execute_command: false,
            add_tags: true,
            add_environment: true,
        }
    }

    /// Where it runs.
    pub fn site(&self) -> Site {
        Site { target: Arc::clone(&self.target), cluster: self.cluster.clone() }
    }
}

/// Launch type and capacity provider strategy exclude each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capacity {
    /// The cluster's default strategy.
    ClusterDefault,
    /// `EC2`, `FARGATE` or `EXTERNAL`.
    LaunchType(String),
    /// For example Fargate Spot.
    Strategy(Vec<CapacityProvider>),
}

/// One item of a capacity provider strategy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityProvider {
    /// Its name, for example `FARGATE_SPOT`.
    pub capacity_provider: String,
    /// Its share.
    pub weight: i32,
    /// How many tasks it gets first.
    pub base: i32,
}

/// The `awsvpc` network of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// At most 16.
    pub subnets: Vec<String>,
    /// At most 5.
    pub security_groups: Vec<String>,
    /// A Fargate task in a public subnet needs it to pull its image.
    pub assign_public_ip: bool,
}

/// What differs from the task definition in one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerOverride {
    /// The container's name in the task definition.
    pub name: String,
    /// Replaces the command.
    pub command: Option<Vec<String>>,
    /// Added to the environment.
    pub environment: Pairs,
    /// CPU units.
    pub cpu: Option<i32>,
    /// Hard limit, in MiB.
    pub memory: Option<i32>,
    /// Soft limit, in MiB.
    pub memory_reservation: Option<i32>,
    /// Files of variables, in the place of the task definition's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment_files: Vec<EnvironmentFile>,
    /// Devices, in the place of the task definition's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_requirements: Vec<ResourceRequirement>,
}

/// Shared by all jobs that say nothing.
static NO_OVERRIDE: LazyLock<Arc<TaskOverride>> = LazyLock::new(Arc::default);

/// What differs for the task as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOverride {
    /// For example `1024` or `1 vCPU`.
    pub cpu: Option<String>,
    /// For example `2048` or `2 GB`.
    pub memory: Option<String>,
    /// The role that the containers have.
    pub task_role_arn: Option<String>,
    /// The role that pulls images and writes logs.
    pub execution_role_arn: Option<String>,
    /// 21 to 200 GiB.
    pub ephemeral_storage_gib: Option<i32>,
}

impl TaskOverride {
    /// Nothing differs.
    pub fn none() -> Arc<TaskOverride> {
        Arc::clone(&NO_OVERRIDE)
    }
}
