//! What ECS says of the clusters and task definitions that jobs name: what is asked, and the answers as plain facts.
//!
//! `ecs/inventory.rs` asks. `config/online.rs` holds jobs against the answers, `iam/` reads roles and log groups from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::job::{Target, TaskSpec};

/// A cluster or a task definition, as a job names it, and where it is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Named {
    /// The account and region.
    pub target: Arc<Target>,
    /// The name or the ARN.
    pub name: String,
}

impl Named {
    /// The cluster of a task.
    pub fn cluster(task: &TaskSpec) -> Named {
        Named { target: Arc::clone(&task.target), name: task.cluster.clone() }
    }

    /// Its task definition.
    pub fn definition(task: &TaskSpec) -> Named {
        Named { target: Arc::clone(&task.target), name: task.task_definition.clone() }
    }
}

/// What is asked, each thing once however many jobs name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Questions {
    /// Clusters.
    pub clusters: BTreeSet<Named>,
    /// Task definitions.
    pub definitions: BTreeSet<Named>,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// There is one.
    Found(T),
    /// ECS says that there is none.
    Missing,
    /// Nothing is known, and why.
    Unknown(String),
}

impl<T> Answer<T> {
    /// What was found.
    pub fn found(&self) -> Option<&T> {
        match self {
            Answer::Found(facts) => Some(facts),
            Answer::Missing | Answer::Unknown(_) => None,
        }
    }

    /// Why nothing is known.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Answer::Unknown(why) => Some(why),
            Answer::Found(_) | Answer::Missing => None,
        }
    }
}

/// All answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Of the clusters that were asked for, their status: `ACTIVE`, `INACTIVE`, …
    pub clusters: BTreeMap<Named, Answer<String>>,
    /// Of the task definitions.
    pub definitions: BTreeMap<Named, Answer<DefinitionFacts>>,
}

impl Inventory {
    /// Of how many questions all failed, and why the first one did; none if one of them was answered, or none asked.
    pub fn silence(&self) -> Option<(usize, &str)> {
        let clusters = self.clusters.values().map(Answer::unknown);
        let all: Option<Vec<&str>> = clusters.chain(self.definitions.values().map(Answer::unknown)).collect();
        all.and_then(|all| Some((all.len(), *all.first()?)))
    }

    /// The task definition of a task, if it was found.
    pub fn definition(&self, task: &TaskSpec) -> Option<&DefinitionFacts> {
        self.definitions.get(&Named::definition(task))?.found()
    }
}

/// A revision of a task definition. Source: Amazon ECS API reference, TaskDefinition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefinitionFacts {
    /// Its ARN, with the revision.
    pub arn: String,
    /// `ACTIVE`, `INACTIVE` or `DELETE_IN_PROGRESS`.
    pub status: String,
    /// Its containers, in order.
    pub containers: Vec<DefinedContainer>,
    /// For which launch types ECS found it good; empty if it does not say.
    pub compatibilities: Vec<String>,
    /// `awsvpc`, `bridge`, `host` or `none`; none if it does not say.
    pub network_mode: Option<String>,
    /// CPU units of a task.
    pub cpu: Option<String>,
    /// Its memory, in MiB.
    pub memory: Option<String>,
    /// The role that the containers have: an ARN, or a name.
    pub task_role: Option<String>,
    /// The role that pulls images and writes logs, likewise.
    pub execution_role: Option<String>,
}

/// A container of a task definition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefinedContainer {
    /// Its name.
    pub name: String,
    /// Where it writes.
    pub logs: Destination,
}

/// Where a container's output goes, by its task definition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Destination {
    /// Its definition says nothing about it.
    #[default]
    Unsaid,
    /// To a log group. Source: Amazon ECS developer guide, "Using the awslogs log driver".
    Group {
        /// Its name.
        group: String,
        /// None for the task's own.
        region: Option<String>,
        /// None if the streams are named after the container's id, which ECS does not tell.
        prefix: Option<String>,
    },
    /// To another log driver, of this name.
    Elsewhere(String),
}

impl Destination {
    /// Why no lines can be fetched from there; none if they can.
    pub fn unreadable(&self) -> Option<String> {
        match self {
            Destination::Unsaid => Some("its task definition names no log driver".to_owned()),
            Destination::Elsewhere(driver) => Some(format!("its log driver is {driver}, not awslogs")),
            Destination::Group { prefix: None, .. } => {
                Some("its task definition has no awslogs-stream-prefix, so its stream is not known".to_owned())
            }
            Destination::Group { prefix: Some(_), .. } => None,
        }
    }
}
