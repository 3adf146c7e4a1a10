//! The whole launch surface, from TOML and the environment to the bytes that ECS gets, through the real binary.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::harness::{Ended, Process, SETTINGS, Site, aws};
use super::tap::Tap;

/// Two jobs that use every key of a launch between them: some keys are for Fargate, some for instances.
const JOBS: &str = r#"
[jobs.fargate]
schedule = "0 3 1 1 *"
cluster = "${STAGE}"
task_definition = "app"
count = 2
capacity_provider_strategy = [{ capacity_provider = "FARGATE_SPOT", weight = 3 }, { capacity_provider = "FARGATE", weight = 1, base = 2 }]
platform_version = "1.4.0"
network = { subnets = ["subnet-a", "${SUBNET:-subnet-b}"], security_groups = ["sg-1"], assign_public_ip = true }
overrides = { cpu = "1 vCPU", memory = "2 GB", task_role_arn = "arn:t", execution_role_arn = "arn:e", ephemeral_storage = { size_in_gib = 42 } }
group = "${STAGE}-group"
tags = { stage = "${STAGE}" }
propagate_tags = "TASK_DEFINITION"
enable_ecs_managed_tags = true
enable_execute_command = true
add_tags = false
add_environment = false
[[jobs.fargate.container]]
name = "app"
command = ["sh", "-c", "test \"$${TOKEN}\" = sesame"]
environment = { TOKEN = "${TOKEN}", PLAIN = "$HOME" }
environment_files = [{ value = "arn:aws:s3:::${STAGE}/app.env" }]
cpu = 256
memory = 512
memory_reservation = 128

[jobs.instances]
schedule = "0 3 1 1 *"
cluster = "${STAGE}"
task_definition = "app:1"
launch_type = "EC2"
add_tags = false
add_environment = false
network = { subnets = ["subnet-a"] }
container = [{ name = "app", command = ["true"], resource_requirements = [{ type = "GPU", value = "1" }] }]
placement_constraints = [{ type = "distinctInstance" }, { type = "memberOf", expression = "attribute:ecs.instance-type =~ g5.*" }]
placement_strategy = [{ type = "spread", field = "attribute:ecs.availability-zone" }, { type = "random" }]
[[jobs.instances.volume_configurations]]
name = "scratch"
[jobs.instances.volume_configurations.managed_ebs_volume]
role_arn = "arn:aws:iam::123456789012:role/${STAGE}"
size_in_gib = 100
volume_type = "gp3"
iops = 4000
throughput = 250
encrypted = true
kms_key_id = "alias/scratch"
snapshot_id = "snap-1"
volume_initialization_rate = 200
filesystem_type = "ext4"
tag_specifications = [{ tags = { stage = "${STAGE}" }, propagate_tags = "NONE" }]
termination_policy = { delete_on_termination = false }

[local.task_definitions.app]
containers = [{ name = "app", command = ["false"] }]
"#;

const ENVIRONMENT: [(&str, &str); 2] = [("STAGE", "prod"), ("TOKEN", "sesame")];

fn site() -> Site {
    // The task definition is for Fargate and for instances, so no launch type is inherited.
    Site::new(&format!("{}{JOBS}", SETTINGS.replace("launch_type = \"FARGATE\"\n", "")))
}

/// The request of a job without the two members that are its own in every run.
fn request(site: &Site, daemon: &Process, tap: &Tap, job: &str) -> Value {
    let known = tap.requests().len();
    let ended = site.run(&["trigger", job]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    daemon.wait_for_job(job, "task launched");
    let requests = tap.requests();
    assert_eq!(requests.len(), known + 1);
    let mut body = requests[known].clone();
    let members = body.as_object_mut().expect("an object");
    for own in ["clientToken", "startedBy"] {
        assert!(members.remove(own).is_some_and(|value| value.is_string()), "{own}");
    }
    body
}

fn fargate() -> Value {
    json!({
        "cluster": "prod",
        "taskDefinition": "app",
        "count": 2,
        "capacityProviderStrategy": [
            { "capacityProvider": "FARGATE_SPOT", "weight": 3, "base": 0 },
            { "capacityProvider": "FARGATE", "weight": 1, "base": 2 },
        ],
        "platformVersion": "1.4.0",
        "networkConfiguration": { "awsvpcConfiguration": {
            "subnets": ["subnet-a", "subnet-b"], "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED",
        } },
        "overrides": {
            "containerOverrides": [{
                "name": "app",
                "command": ["sh", "-c", "test \"${TOKEN}\" = sesame"],
                "environment": [{ "name": "PLAIN", "value": "$HOME" }, { "name": "TOKEN", "value": "sesame" }],
                "environmentFiles": [{ "value": "arn:aws:s3:::prod/app.env", "type": "s3" }],
                "cpu": 256,
                "memory": 512,
                "memoryReservation": 128,
            }],
            "cpu": "1 vCPU",
            "memory": "2 GB",
            "taskRoleArn": "arn:t",
            "executionRoleArn": "arn:e",
            "ephemeralStorage": { "sizeInGiB": 42 },
        },
        "group": "prod-group",
        "tags": [{ "key": "stage", "value": "prod" }],
        "propagateTags": "TASK_DEFINITION",
        "enableECSManagedTags": true,
        "enableExecuteCommand": true,
    })
}

fn instances() -> Value {
    json!({
        "cluster": "prod",
        "taskDefinition": "app:1",
        "count": 1,
        "launchType": "EC2",
        "networkConfiguration": { "awsvpcConfiguration": { "subnets": ["subnet-a"], "assignPublicIp": "DISABLED" } },
        "overrides": { "containerOverrides": [{
            "name": "app", "command": ["true"], "resourceRequirements": [{ "type": "GPU", "value": "1" }],
        }] },
        "placementConstraints": [
            { "type": "distinctInstance" },
            { "type": "memberOf", "expression": "attribute:ecs.instance-type =~ g5.*" },
        ],
        "placementStrategy": [{ "type": "spread", "field": "attribute:ecs.availability-zone" }, { "type": "random" }],
        "volumeConfigurations": [{ "name": "scratch", "managedEBSVolume": {
            "roleArn": "arn:aws:iam::123456789012:role/prod",
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
                "resourceType": "volume", "tags": [{ "key": "stage", "value": "prod" }], "propagateTags": "NONE",
            }],
            "terminationPolicy": { "deleteOnTermination": false },
        } }],
        "enableECSManagedTags": false,
        "enableExecuteCommand": false,
    })
}

#[test]
fn every_key_of_a_launch_reaches_ecs_as_it_was_written() {
    let site = site();
    let (_endpoint, url) = site.endpoint_in(&ENVIRONMENT);
    let tap = Tap::before(&url);
    let daemon = site.daemon_with(&[&aws(&tap.url)[..], &ENVIRONMENT].concat(), &["run"]);
    assert_eq!(request(&site, &daemon, &tap, "fargate"), fargate());
    // The shell in the container saw the variable by its name, and its value came from the environment of the daemon.
    daemon.wait_for_job("fargate", "run succeeded");
    assert_eq!(request(&site, &daemon, &tap, "instances"), instances());
    daemon.wait_for_job("instances", "run succeeded");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn validate_reads_the_environment_of_its_own_process_and_keeps_it_to_itself() {
    let site = site();
    let ended = Ended::of(site.command(&["validate", "--json"]).envs(ENVIRONMENT));
    assert_eq!((ended.code, ended.stdout.trim()), (Some(0), "[]"), "{}", ended.stderr);
    let ended = Ended::of(site.command(&["validate"]).env("TOKEN", "sesame"));
    assert_eq!(ended.code, Some(78));
    let told = format!("{}{}", ended.stdout, ended.stderr);
    assert!(told.contains("jobs.fargate.cluster: the environment variable STAGE is not set"), "{told}");
    let line = std::fs::read_to_string(site.path("tenacron.toml"))
        .expect("text")
        .lines()
        .position(|line| line.starts_with("cluster = \"$"))
        .expect("it is there")
        + 1;
    assert!(told.contains(&format!("tenacron.toml:{line}:11")), "{told}");
    let ended = Ended::of(site.command(&["validate"]).env("STAGE", "open sesame").env("TOKEN", "sesame"));
    let told = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.code, Some(78));
    assert!(told.contains("found \"${STAGE}\"") && !told.contains("open sesame"), "{told}");
}
