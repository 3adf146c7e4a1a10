//! What the policies of jobs hold, statement by statement. Whether they allow the calls that are made is for
//! `tests/it/iam.rs`, which plays IAM.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::engine::inventory::DefinedContainer;
use crate::engine::job::TaskOverride;
use crate::engine::resources::{EbsVolume, VolumeConfiguration};
use crate::engine::samples;

const ECS: &str = "arn:aws:ecs:eu-central-1:123456789012";

fn place() -> Place {
    Place::new(None, Some("eu-central-1"), Some("123456789012"))
}

/// A job of this family on this cluster.
fn job(cluster: &str, task_definition: &str) -> Definition {
    Definition { task: TaskSpec::new(cluster, task_definition), ..samples::definition() }
}

fn policy(jobs: &[Definition]) -> Value {
    let mut needs = Needs::default();
    jobs.iter().for_each(|job| needs.job(&place(), job, Some(&DefinitionFacts::default())));
    serde_json::to_value(needs.document()).unwrap()
}

/// The statement of that name.
fn statement<'p>(policy: &'p Value, sid: &str) -> Option<&'p Value> {
    policy["Statement"].as_array().unwrap().iter().find(|statement| statement["Sid"] == sid)
}

fn sids(policy: &Value) -> Vec<&str> {
    policy["Statement"].as_array().unwrap().iter().map(|statement| statement["Sid"].as_str().unwrap()).collect()
}

#[test]
fn the_policy_of_one_job_in_full() {
    let mut needs = Needs::default();
    needs.job(&Place::new(None, Some("eu-central-1"), None), &job("batch", "billing"), None);
    let at = |resource: &str| format!("arn:aws:ecs:eu-central-1:ACCOUNT:{resource}");
    let on_cluster = json!({ "ArnEquals": { "ecs:cluster": at("cluster/batch") } });
    assert_eq!(
        serde_json::to_value(needs.document()).unwrap(),
        json!({ "Version": "2012-10-17", "Statement": [
            { "Sid": "Run", "Effect": "Allow", "Action": "ecs:RunTask",
              "Resource": at("task-definition/billing:*"), "Condition": on_cluster },
            { "Sid": "FollowAndStop", "Effect": "Allow", "Action": ["ecs:DescribeTasks", "ecs:StopTask"],
              "Resource": at("task/batch/*") },
            { "Sid": "Find", "Effect": "Allow", "Action": "ecs:ListTasks", "Resource": "*", "Condition": on_cluster },
            { "Sid": "TaskDefinitions", "Effect": "Allow", "Action": "ecs:DescribeTaskDefinition", "Resource": "*" },
            { "Sid": "TagOnCreate", "Effect": "Allow", "Action": "ecs:TagResource", "Resource": at("task/batch/*"),
              "Condition": { "StringEquals": { "ecs:CreateAction": "RunTask" } } },
            { "Sid": "PassTaskRoles", "Effect": "Allow", "Action": "iam:PassRole",
              "Resource": ["arn:aws:iam::ACCOUNT:role/EXECUTION_ROLE", "arn:aws:iam::ACCOUNT:role/TASK_ROLE"],
              "Condition": { "StringEquals": { "iam:PassedToService": "ecs-tasks.amazonaws.com" } } },
        ] })
    );
    assert_eq!(needs.open().iter().copied().collect::<Vec<_>>(), [Open::Account, Open::Roles]);
}

#[test]
fn families_run_where_their_jobs_run_them_and_revisions_within_their_family() {
    let jobs = [
        job("batch", "a"),
        job("batch", "b:3"),
        job("other", "b:3"),
        job("other", "c"),
        job("other", "c:7"),
        job("batch", "c:7"),
        job("batch", &format!("{ECS}:task-definition/d:1")),
        job(&format!("{ECS}:cluster/batch"), &format!("{ECS}:task-definition/e")),
    ];
    let policy = policy(&jobs);
    let run = |sid: &str| {
        let statement = statement(&policy, sid).unwrap();
        (statement["Resource"].clone(), statement["Condition"]["ArnEquals"]["ecs:cluster"].clone())
    };
    let definition = |name: &str| json!(format!("{ECS}:task-definition/{name}"));
    let cluster = |name: &str| json!(format!("{ECS}:cluster/{name}"));
    let here = ["a:*", "c:7", "d:1", "e:*"].map(definition);
    assert_eq!(run("Run"), (json!(here), cluster("batch")));
    assert_eq!(run("Run2"), (definition("b:3"), json!(["batch", "other"].map(cluster))));
    assert_eq!(run("Run3"), (definition("c:*"), cluster("other")));
    assert_eq!(statement(&policy, "Run4"), None);
    let tasks = ["batch", "other"].map(|name| format!("{ECS}:task/{name}/*"));
    assert_eq!(statement(&policy, "FollowAndStop").unwrap()["Resource"], json!(tasks));
}

#[test]
fn what_no_job_needs_is_not_there() {
    let mut plain = job("batch", "a");
    plain.task.add_tags = false;
    plain.success = Success::All;
    assert_eq!(sids(&policy(&[plain.clone()])), ["Run", "FollowAndStop", "Find"]);
    assert_eq!(sids(&policy(&[])), [""; 0]);
    for tag in [
        |task: &mut TaskSpec| task.add_tags = true,
        |task: &mut TaskSpec| drop(task.tags.insert("team".into(), "a".into())),
        |task: &mut TaskSpec| task.enable_ecs_managed_tags = true,
        |task: &mut TaskSpec| task.propagate_tags = Some("TASK_DEFINITION".into()),
    ] {
        let mut tagged = plain.clone();
        tag(&mut tagged.task);
        assert!(sids(&policy(&[tagged])).contains(&"TagOnCreate"));
    }
    let mut read = plain.clone();
    read.log_tail = 5;
    assert!(sids(&policy(&[read])).contains(&"TaskDefinitions"), "which say where containers write");
    plain.task.propagate_tags = Some("NONE".into());
    assert!(!sids(&policy(&[plain])).contains(&"TagOnCreate"));
}

#[test]
fn roles_of_a_job_go_before_those_of_its_task_definition() {
    let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    let passed = |of_job: [Option<&str>; 2], known: Option<[Option<&str>; 2]>| {
        let mut given = job("batch", "a");
        let [task_role_arn, execution_role_arn] = of_job.map(|name| name.map(role));
        given.task.overrides = Arc::new(TaskOverride { task_role_arn, execution_role_arn, ..TaskOverride::default() });
        let known = known.map(|[task_role, execution_role]| DefinitionFacts {
            task_role: task_role.map(role),
            execution_role: execution_role.map(str::to_owned),
            ..DefinitionFacts::default()
        });
        let mut needs = Needs::default();
        needs.job(&place(), &given, known.as_ref());
        let is_open = needs.open().contains(&Open::Roles);
        let policy = serde_json::to_value(needs.document()).unwrap();
        (statement(&policy, "PassTaskRoles").map_or(Value::Null, |statement| statement["Resource"].clone()), is_open)
    };
    let all = |names: &[&str]| json!(names.iter().map(|name| role(name)).collect::<Vec<_>>());
    assert_eq!(passed([None, None], None), (all(&["EXECUTION_ROLE", "TASK_ROLE"]), true));
    assert_eq!(passed([Some("t"), None], None), (all(&["EXECUTION_ROLE", "t"]), true));
    assert_eq!(passed([Some("t"), Some("x")], None), (all(&["t", "x"]), false));
    assert_eq!(passed([None, None], Some([None, None])), (Value::Null, false));
    // An old definition may name a role without its ARN.
    assert_eq!(passed([Some("t"), None], Some([Some("u"), Some("x")])), (all(&["t", "x"]), false));
}

#[test]
fn volumes_logs_queues_topics_and_roles_have_statements_of_their_own() {
    let mut given = job("batch", "a");
    given.log_tail = 20;
    let volume = EbsVolume { role_arn: "arn:aws:iam::123456789012:role/ebs".into(), ..ebs() };
    given.task.volume_configurations = vec![VolumeConfiguration { name: "v".into(), managed_ebs_volume: volume }];
    let group = |group: &str, region: Option<&str>, prefix: Option<&str>| DefinedContainer {
        name: group.to_owned(),
        logs: Destination::Group {
            group: group.to_owned(),
            region: region.map(str::to_owned),
            prefix: prefix.map(str::to_owned),
        },
    };
    let known = DefinitionFacts {
        containers: vec![
            group("/ecs/a", None, Some("ecs")),
            group("/ecs/b", Some("eu-west-1"), Some("ecs")),
            group("/ecs/unread", None, None),
            DefinedContainer { name: "x".into(), logs: Destination::Elsewhere("fluentd".into()) },
        ],
        ..DefinitionFacts::default()
    };
    let mut needs = Needs::default();
    needs.job(&place(), &given, Some(&known));
    needs.queue(&place(), "https://sqs.eu-central-1.amazonaws.com/210987654321/tenacron");
    needs.topic("arn:aws:sns:eu-central-1:123456789012:ops");
    needs.role("arn:aws:iam::210987654321:role/tenacron");
    assert!(needs.open().is_empty());
    let policy = serde_json::to_value(needs.document()).unwrap();
    let resource = |sid: &str| statement(&policy, sid).unwrap()["Resource"].clone();
    assert_eq!(
        resource("LogTails"),
        json!([
            "arn:aws:logs:eu-central-1:123456789012:log-group:/ecs/a:log-stream:*",
            "arn:aws:logs:eu-west-1:123456789012:log-group:/ecs/b:log-stream:*",
        ])
    );
    assert_eq!(resource("PassVolumeRoles"), "arn:aws:iam::123456789012:role/ebs");
    let passed = &statement(&policy, "PassVolumeRoles").unwrap()["Condition"];
    assert_eq!(*passed, json!({ "StringEquals": { "iam:PassedToService": "ecs.amazonaws.com" } }));
    assert_eq!(resource("TaskEvents"), "arn:aws:sqs:eu-central-1:210987654321:tenacron");
    assert_eq!(resource("Notices"), "arn:aws:sns:eu-central-1:123456789012:ops");
    assert_eq!(resource("AssumeTargetRoles"), "arn:aws:iam::210987654321:role/tenacron");

    let mut unread = Needs::default();
    unread.job(&place(), &given, None);
    let policy = serde_json::to_value(unread.document()).unwrap();
    let group = "arn:aws:logs:eu-central-1:123456789012:log-group:GROUP:log-stream:*";
    assert_eq!(statement(&policy, "LogTails").unwrap()["Resource"], group);
    assert!(unread.open().contains(&Open::Groups));
}

fn ebs() -> EbsVolume {
    serde_json::from_value(json!({ "role_arn": "", "tag_specifications": [] })).unwrap()
}

#[test]
fn thousands_of_jobs_of_few_families_stay_small_and_in_order() {
    let names = |n: usize| (format!("cluster-{}", n % 2), format!("family-{}", n % 20));
    let jobs: Vec<Definition> = (0..5_000).map(names).map(|(cluster, family)| job(&cluster, &family)).collect();
    let backwards: Vec<Definition> = jobs.iter().rev().cloned().collect();
    let (first, second) = (policy(&jobs), policy(&backwards));
    assert_eq!(first, second);
    assert!(first.to_string().len() < CHARACTERS_MAX, "{}", first.to_string().len());
}

#[test]
fn what_is_written_is_measured_without_white_space() {
    let mut needs = Needs::default();
    needs.job(&place(), &job("batch", "a"), None);
    let document = needs.document();
    let written = serde_json::to_string_pretty(&document).unwrap();
    assert_eq!(document.characters(), written.chars().filter(|character| !character.is_whitespace()).count());
}

#[test]
fn a_role_is_trusted_with_the_external_ids_of_its_targets() {
    let daemon = "arn:aws:iam::123456789012:role/daemon";
    let without = serde_json::to_value(trust(daemon, &BTreeSet::new())).unwrap();
    let principal = json!({ "AWS": daemon });
    let plain = json!({ "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole" });
    assert_eq!(without["Statement"], json!([plain]));
    let with = serde_json::to_value(trust(daemon, &BTreeSet::from(["b", "a"]))).unwrap();
    assert_eq!(with["Statement"][0]["Condition"], json!({ "StringEquals": { "sts:ExternalId": ["a", "b"] } }));
}
