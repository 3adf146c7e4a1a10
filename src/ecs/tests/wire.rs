//! What a launch looks like on the wire, and by which way it goes.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_ecs::config::Region;
use aws_smithy_http_client::proxy::ProxyConfig;
use serde_json::{Value, json};

use super::{TASK, adapter, adapter_of, bare, full_request};
use crate::ecs::Ecs as _;
use crate::engine::job::{Capacity, TaskOverride};
use crate::engine::launch::LaunchRequest;
use crate::engine::task::{LaunchAnswer, TaskArn};
use crate::outbound;
use crate::outbound::stub::{Stub, ok};

async fn launched_stub() -> Stub {
    Stub::always(ok(json!({ "tasks": [{ "taskArn": TASK, "lastStatus": "PROVISIONING" }], "failures": [] }))).await
}

#[tokio::test]
async fn every_field_of_a_launch_is_on_the_wire() {
    let stub = launched_stub().await;
    let answer = adapter(&stub.endpoint).run_task(&full_request()).await;
    assert_eq!(answer, LaunchAnswer::Launched { tasks: vec![TaskArn(TASK.into())], failures: Vec::new() });
    let seen = stub.seen();
    let [seen] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!(seen.operation, "RunTask");
    assert_eq!(
        seen.json(),
        json!({
            "clientToken": "6f1c9e0a",
            "startedBy": "tenacron/6f1c9e0a",
            "count": 1,
            "cluster": "main",
            "taskDefinition": "nightly:7",
            "capacityProviderStrategy": [
                { "capacityProvider": "FARGATE_SPOT", "weight": 3, "base": 0 },
                { "capacityProvider": "FARGATE", "weight": 1, "base": 2 },
            ],
            "platformVersion": "1.4.0",
            "networkConfiguration": { "awsvpcConfiguration": {
                "subnets": ["subnet-b", "subnet-a"],
                "securityGroups": ["sg-2", "sg-1"],
                "assignPublicIp": "ENABLED",
            } },
            "overrides": {
                "containerOverrides": [
                    {
                        "name": "worker",
                        "command": ["run", "--date", "2026-11-23"],
                        "environment": [{ "name": "AREA", "value": "a" }, { "name": "ZONE", "value": "b" }],
                        "cpu": 256,
                        "memory": 512,
                        "memoryReservation": 128,
                        "environmentFiles": [
                            { "value": "arn:aws:s3:::bucket/b.env", "type": "s3" },
                            { "value": "arn:aws:s3:::bucket/a.env", "type": "s3" },
                        ],
                        "resourceRequirements": [{ "value": "2", "type": "GPU" }],
                    },
                    { "name": "log" },
                ],
                "cpu": "1024",
                "memory": "2 GB",
                "taskRoleArn": "arn:aws:iam::123456789012:role/worker",
                "executionRoleArn": "arn:aws:iam::123456789012:role/puller",
                "ephemeralStorage": { "sizeInGiB": 42 },
            },
            "placementConstraints": [
                { "type": "memberOf", "expression": "attribute:ecs.instance-type =~ g5.*" },
                { "type": "distinctInstance" },
            ],
            "placementStrategy": [
                { "type": "spread", "field": "attribute:ecs.availability-zone" },
                { "type": "random" },
            ],
            "volumeConfigurations": [{ "name": "scratch", "managedEBSVolume": {
                "roleArn": "arn:aws:iam::123456789012:role/ecsInfrastructure",
                "sizeInGiB": 100,
                "volumeType": "gp3",
                "iops": 4000,
                "throughput": 250,
                "encrypted": true,
                "kmsKeyId": "alias/scratch",
                "snapshotId": "snap-1",
                "volumeInitializationRate": 200,
                "filesystemType": "ext4",
                "tagSpecifications": [{
                    "resourceType": "volume",
                    "tags": [{ "key": "cost", "value": "7" }, { "key": "team", "value": "ml" }],
                    "propagateTags": "NONE",
                }],
                "terminationPolicy": { "deleteOnTermination": false },
            } }],
            "group": "batch",
            "tags": [{ "key": "cost", "value": "7" }, { "key": "team", "value": "night" }],
            "propagateTags": "TASK_DEFINITION",
            "enableECSManagedTags": true,
            "enableExecuteCommand": true,
        })
    );
}

#[tokio::test]
async fn what_a_launch_leaves_open_is_not_on_the_wire() {
    let stub = launched_stub().await;
    let mut request = full_request();
    request.task.capacity = Capacity::LaunchType("FARGATE".into());
    request.task.platform_version = None;
    request.task.network = None;
    request.task.containers.clear();
    request.task.overrides = TaskOverride::none();
    request.task.placement_constraints.clear();
    request.task.placement_strategy.clear();
    request.task.volume_configurations.clear();
    request.task.group = None;
    request.task.tags.clear();
    request.task.propagate_tags = None;
    adapter(&stub.endpoint).run_task(&request).await;
    request.task.capacity = Capacity::ClusterDefault;
    adapter(&stub.endpoint).run_task(&request).await;
    let seen = stub.seen();
    let mut bare = json!({
        "clientToken": "6f1c9e0a",
        "startedBy": "tenacron/6f1c9e0a",
        "count": 1,
        "cluster": "main",
        "taskDefinition": "nightly:7",
        "enableECSManagedTags": true,
        "enableExecuteCommand": true,
    });
    assert_eq!(seen[1].json(), bare);
    bare["launchType"] = Value::from("FARGATE");
    assert_eq!(seen[0].json(), bare);
}

#[tokio::test]
async fn an_empty_volume_of_the_default_kind_says_no_more_than_it_must() {
    let stub = launched_stub().await;
    let mut request = full_request();
    let volume = &mut request.task.volume_configurations[0].managed_ebs_volume;
    *volume =
        serde_json::from_value(json!({ "role_arn": "arn:r", "size_in_gib": 1, "tag_specifications": [] })).unwrap();
    adapter(&stub.endpoint).run_task(&request).await;
    assert_eq!(
        stub.seen()[0].json()["volumeConfigurations"],
        json!([{ "name": "scratch", "managedEBSVolume": { "roleArn": "arn:r", "sizeInGiB": 1 } }])
    );
}

#[tokio::test]
async fn a_request_frozen_before_these_fields_existed_is_sent_as_it_was() {
    let stub = launched_stub().await;
    let mut stored = serde_json::to_value(full_request()).unwrap();
    let task = stored["task"].as_object_mut().unwrap();
    for field in ["placement_constraints", "placement_strategy", "volume_configurations"] {
        task.remove(field).unwrap();
    }
    let container = task["containers"][0].as_object_mut().unwrap();
    for field in ["environment_files", "resource_requirements"] {
        container.remove(field).unwrap();
    }
    let request: LaunchRequest = serde_json::from_value(stored.clone()).unwrap();
    adapter(&stub.endpoint).run_task(&request).await;
    let body = stub.seen()[0].body.clone();
    for member in ["placement", "volume", "environmentFiles", "resourceRequirements"] {
        assert!(!body.contains(member), "{body}");
    }
    assert_eq!(serde_json::to_value(&request).unwrap(), stored, "what says nothing is not stored, so hashes stay");
}

#[tokio::test]
async fn a_launch_sent_again_has_the_same_bytes_also_after_the_store() {
    let stub = launched_stub().await;
    let request = full_request();
    let stored: LaunchRequest = serde_json::from_str(&serde_json::to_string(&request).unwrap()).unwrap();
    let ecs = adapter(&stub.endpoint);
    ecs.run_task(&request).await;
    ecs.run_task(&request).await;
    // A new process: nothing is shared with the first client.
    adapter(&stub.endpoint).run_task(&stored).await;
    let seen = stub.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].body, seen[1].body);
    assert_eq!(seen[0].body, seen[2].body);
    assert!(seen[0].body.contains(r#""clientToken":"6f1c9e0a""#), "{}", seen[0].body);
}

#[tokio::test]
async fn loopback_endpoint_is_called_directly_and_the_world_through_the_proxy() {
    let endpoint = launched_stub().await;
    let proxy = launched_stub().await;
    let through = |url: String| {
        let shared = bare()
            .into_builder()
            .http_client(outbound::client_with_proxy(ProxyConfig::all(proxy.endpoint.as_str()).unwrap()))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("key", "secret", None, None, "test")))
            .region(Region::new("local"));
        adapter_of(shared.build(), Some(&url))
    };
    through(endpoint.endpoint.clone()).run_task(&full_request()).await;
    assert_eq!((endpoint.seen().len(), proxy.seen().len()), (1, 0));
    through("http://ecs.example.invalid".into()).run_task(&full_request()).await;
    assert_eq!((endpoint.seen().len(), proxy.seen().len()), (1, 1));
    assert!(proxy.seen()[0].head.starts_with("POST http://ecs.example.invalid/ "), "{}", proxy.seen()[0].head);
}
