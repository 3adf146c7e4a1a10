//! The adapter over real loopback sockets: what it puts on the wire and what it makes of the answers.

mod describe;
mod inventory;
mod launch;
mod live;
mod logs;
mod queue;
mod topic;
mod wire;

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};

use super::clients::Clients;
use super::{AwsEcs, Timeouts};
use crate::engine::job::{Site, Target, TaskSpec};
use crate::engine::launch::LaunchRequest;
use crate::engine::task::TaskArn;
use crate::outbound;
use crate::outbound::stub::Stub;

const TASK: &str = "arn:aws:ecs:eu-central-1:123456789012:task/main/0123456789abcdef0123456789abcdef";
const DEFINITION: &str = "arn:aws:ecs:eu-central-1:123456789012:task-definition/nightly:7";

/// Far beyond what a loopback answer takes, and not reached by a test that passes.
const AMPLE: Duration = Duration::from_secs(30);

fn adapter(endpoint: &str) -> AwsEcs {
    AwsEcs::local_within(endpoint, Timeouts { connect: AMPLE, attempt: AMPLE, operation: AMPLE }).unwrap()
}

/// An adapter whose own target begins with this.
fn adapter_of(shared: SdkConfig, endpoint: Option<&str>) -> AwsEcs {
    let region = shared.region().map(|region| region.as_ref().to_owned());
    let own = Target { region, endpoint: endpoint.map(str::to_owned), ..Target::default() };
    AwsEcs::with_clients(Clients::new(shared, own, Vec::new(), "tenacron-test".into()))
}

/// What nothing is said of but how HTTP is spoken.
fn bare() -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(outbound::client_without_proxy())
        .build()
}

/// What the clients of other services begin with, all of them at this endpoint.
fn with_endpoint(stub: &Stub) -> SdkConfig {
    let config = super::connect::shared_local().into_builder();
    config.endpoint_url(&stub.endpoint).build()
}

fn main() -> Site {
    TaskSpec::new("main", "nightly:7").site()
}

fn arn(n: usize) -> TaskArn {
    TaskArn(format!("arn:aws:ecs:eu-central-1:123456789012:task/main/{n:032x}"))
}

/// A launch that uses every field.
fn full_request() -> LaunchRequest {
    serde_json::from_value(serde_json::json!({
        "client_token": "6f1c9e0a",
        "started_by": "tenacron/6f1c9e0a",
        "task": {
            "cluster": "main",
            "task_definition": "nightly:7",
            "capacity": { "strategy": [
                { "capacity_provider": "FARGATE_SPOT", "weight": 3, "base": 0 },
                { "capacity_provider": "FARGATE", "weight": 1, "base": 2 },
            ] },
            "platform_version": "1.4.0",
            "network": {
                "subnets": ["subnet-b", "subnet-a"],
                "security_groups": ["sg-2", "sg-1"],
                "assign_public_ip": true,
            },
            "containers": [
                {
                    "name": "worker",
                    "command": ["run", "--date", "2026-11-23"],
                    "environment": { "ZONE": "b", "AREA": "a" },
                    "cpu": 256,
                    "memory": 512,
                    "memory_reservation": 128,
                    "environment_files": [{ "value": "arn:aws:s3:::bucket/b.env", "type": "s3" },
                        { "value": "arn:aws:s3:::bucket/a.env", "type": "s3" }],
                    "resource_requirements": [{ "value": "2", "type": "GPU" }],
                },
                { "name": "log", "command": null, "environment": {}, "cpu": null, "memory": null,
                  "memory_reservation": null },
            ],
            "overrides": {
                "cpu": "1024",
                "memory": "2 GB",
                "task_role_arn": "arn:aws:iam::123456789012:role/worker",
                "execution_role_arn": "arn:aws:iam::123456789012:role/puller",
                "ephemeral_storage_gib": 42,
            },
            "placement_constraints": [
                { "type": "memberOf", "expression": "attribute:ecs.instance-type =~ g5.*" },
                { "type": "distinctInstance", "expression": null },
            ],
            "placement_strategy": [
                { "type": "spread", "field": "attribute:ecs.availability-zone" },
                { "type": "random", "field": null },
            ],
            "volume_configurations": [{ "name": "scratch", "managed_ebs_volume": {
                "role_arn": "arn:aws:iam::123456789012:role/ecsInfrastructure",
                "size_in_gib": 100,
                "volume_type": "gp3",
                "iops": 4000,
                "throughput": 250,
                "encrypted": true,
                "kms_key_id": "alias/scratch",
                "snapshot_id": "snap-1",
                "volume_initialization_rate": 200,
                "filesystem_type": "ext4",
                "tag_specifications": [
                    { "resource_type": "volume", "tags": { "team": "ml", "cost": "7" }, "propagate_tags": "NONE" },
                ],
                "delete_on_termination": false,
            } }],
            "group": "batch",
            "tags": { "team": "night", "cost": "7" },
            "propagate_tags": "TASK_DEFINITION",
            "enable_ecs_managed_tags": true,
            "enable_execute_command": true,
            "add_tags": true,
            "add_environment": true,
        },
    }))
    .unwrap()
}
