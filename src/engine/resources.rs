//! What a launch asks for beside containers and capacity: files of variables, devices, a place, a volume.
//!
//! ECS's own terms and nesting; the values are checked in `config/`. Source: Amazon ECS API reference, RunTask.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A file of variables that a container gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentFile {
    /// The ARN of the object in S3.
    pub value: String,
    /// `s3`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Devices that a container gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRequirement {
    /// How many, or `ALL`.
    pub value: String,
    /// `GPU` or `NeuronDevice`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// On which container instances a task may be placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementConstraint {
    /// `distinctInstance` or `memberOf`.
    #[serde(rename = "type")]
    pub kind: String,
    /// In the cluster query language, for `memberOf`.
    pub expression: Option<String>,
}

/// Which of these instances is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementStrategy {
    /// `random`, `spread` or `binpack`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is spread over, or packed by.
    pub field: Option<String>,
}

/// A volume of the task definition that is configured at launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeConfiguration {
    /// Its name in the task definition.
    pub name: String,
    /// What ECS creates.
    pub managed_ebs_volume: EbsVolume,
}

/// An EBS volume that ECS creates for one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EbsVolume {
    /// The infrastructure role by which ECS manages it.
    pub role_arn: String,
    /// Its size; none for that of the snapshot.
    pub size_in_gib: Option<i32>,
    /// For example `gp3`.
    pub volume_type: Option<String>,
    /// Operations a second.
    pub iops: Option<i32>,
    /// In MiB/s.
    pub throughput: Option<i32>,
    /// None for the default of the region.
    pub encrypted: Option<bool>,
    /// The key; none for the default one.
    pub kms_key_id: Option<String>,
    /// What it holds at first.
    pub snapshot_id: Option<String>,
    /// How fast the snapshot is fetched, in MiB/s.
    pub volume_initialization_rate: Option<i32>,
    /// None for ECS's default, xfs.
    pub filesystem_type: Option<String>,
    /// Its tags.
    pub tag_specifications: Vec<EbsTags>,
    /// Whether it is deleted when the task stops; none for ECS's default, which is yes.
    pub delete_on_termination: Option<bool>,
}

/// Tags of an EBS volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EbsTags {
    /// `volume`.
    pub resource_type: String,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
    /// `TASK_DEFINITION` or `NONE`.
    pub propagate_tags: Option<String>,
}
