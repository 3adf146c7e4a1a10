//! The limits of RunTask: each refused one past it, at its place, and accepted at it.

use crate::engine::job::TaskSpec;
use crate::engine::resources::{EbsTags, EbsVolume};

use super::*;

/// Keys of a job, in which a `^` stands before the place of the one finding.
fn assert_found(marked: &str, code: &str) {
    let (before, _) = marked.split_once('^').unwrap_or_else(|| panic!("no place is marked: {marked}"));
    let line = 8 + before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
    let found = main_file(&job_with(&marked.replacen('^', "", 1))).findings();
    assert_eq!(found, [format!("{code} main.toml:{line}:{column}")], "{marked}");
}

fn task(keys: &str) -> TaskSpec {
    clean(&job_with(keys)).jobs.values().next().unwrap().definition.task.clone()
}

fn of_container(keys: &str) -> String {
    format!("container = [{{ name = 'c', {keys} }}]")
}

fn of_volume(keys: &str) -> String {
    format!("volume_configurations = [{{ name = 'v', managed_ebs_volume = {{ role_arn = 'arn:r', {keys} }} }}]")
}

fn list(item: &str, count: usize) -> String {
    format!("[{}]", vec![item; count].join(", "))
}

#[test]
fn files_and_devices_of_a_container_have_their_limits() {
    let file = "{ value = 'arn:aws-cn:s3:::b/dir/x.env' }";
    for (keys, code) in [
        (format!("environment_files = ^{}", list(file, 11)), "bad-value"),
        ("environment_files = [{ value = ^'s3://b/x.env' }]".to_owned(), "bad-value"),
        ("environment_files = [{ value = ^'arn:aws:s3:::b/x.txt' }]".to_owned(), "bad-value"),
        ("environment_files = [{ value = ^'arn:aws:s3:::x.env' }]".to_owned(), "bad-value"),
        ("environment_files = [^{ type = 's3' }]".to_owned(), "missing-key"),
        ("environment_files = [{ value = 'arn:aws:s3:::b/x.env', type = ^'efs' }]".to_owned(), "bad-value"),
        ("resource_requirements = [{ type = ^'TPU', value = '1' }]".to_owned(), "bad-value"),
        ("resource_requirements = [{ type = ^'InferenceAccelerator', value = 'd' }]".to_owned(), "bad-value"),
        ("resource_requirements = [{ type = 'GPU', value = ^'0' }]".to_owned(), "bad-value"),
        ("resource_requirements = [{ type = 'GPU', value = ^1 }]".to_owned(), "wrong-type"),
        ("resource_requirements = [{ type = 'NeuronDevice', value = ^'1' }]".to_owned(), "bad-value"),
        ("resource_requirements = [^{ type = 'GPU' }]".to_owned(), "missing-key"),
        ("memory = 9, memory_reservation = ^10".to_owned(), "bad-value"),
    ] {
        assert_found(&of_container(&keys), code);
    }
    let container = &task(&of_container(&format!("environment_files = {}", list(file, 10)))).containers[0];
    assert_eq!((container.environment_files.len(), container.environment_files[0].kind.as_str()), (10, "s3"));
    for devices in
        ["{ type = 'GPU', value = 'ALL' }", "{ type = 'GPU', value = '8' }", "{ type = 'NeuronDevice', value = 'ALL' }"]
    {
        assert_eq!(task(&of_container(&format!("resource_requirements = [{devices}]"))).containers.len(), 1);
    }
}

#[test]
fn placement_has_its_limits() {
    let distinct = "{ type = 'distinctInstance' }";
    let member_of = |length: usize| format!("[{{ type = 'memberOf', expression = ^'{}' }}]", "e".repeat(length));
    for (keys, code) in [
        (format!("placement_constraints = ^{}", list(distinct, 11)), "bad-value"),
        ("placement_constraints = [{ type = ^'distinct' }]".to_owned(), "bad-value"),
        ("placement_constraints = [^{ expression = 'x' }]".to_owned(), "missing-key"),
        ("placement_constraints = [^{ type = 'memberOf' }]".to_owned(), "missing-key"),
        ("placement_constraints = [{ type = 'distinctInstance', ^expression = 'x' }]".to_owned(), "bad-value"),
        (format!("placement_constraints = {}", member_of(2001)), "bad-value"),
        (format!("placement_strategy = ^{}", list("{ type = 'random' }", 6)), "bad-value"),
        ("placement_strategy = [{ type = ^'pack' }]".to_owned(), "bad-value"),
        ("placement_strategy = [{ type = 'random', ^field = 'cpu' }]".to_owned(), "bad-value"),
        ("placement_strategy = [^{ type = 'spread' }]".to_owned(), "missing-key"),
        ("placement_strategy = [{ type = 'spread', field = ^'zone' }]".to_owned(), "bad-value"),
        ("placement_strategy = [{ type = 'spread', field = ^'attribute:' }]".to_owned(), "bad-value"),
        ("placement_strategy = [{ type = 'binpack', field = ^'gpu' }]".to_owned(), "bad-value"),
    ] {
        assert_found(&keys, code);
    }
    let keys = format!("placement_constraints = {}", list(distinct, 10));
    assert_eq!(task(&keys).placement_constraints.len(), 10);
    let keys = format!("placement_constraints = {}", member_of(2000).replace('^', ""));
    assert_eq!(task(&keys).placement_constraints[0].expression.as_ref().unwrap().len(), 2000);
    let fields = ["instanceId", "host", "attribute:ecs.availability-zone"]
        .map(|f| format!("{{ type = 'spread', field = '{f}' }}"));
    let rest = "{ type = 'binpack', field = 'CPU' }, { type = 'binpack', field = 'memory' }";
    assert_eq!(task(&format!("placement_strategy = [{}, {rest}]", fields.join(", "))).placement_strategy.len(), 5);
}

#[test]
fn a_volume_has_the_limits_of_its_type() {
    for keys in [
        "volume_configurations = ^[{ name = 'v', managed_ebs_volume = { role_arn = 'r', size_in_gib = 1 } }, \
         { name = 'w', managed_ebs_volume = { role_arn = 'r', size_in_gib = 1 } }]"
            .to_owned(),
        of_volume("size_in_gib = ^0"),
        of_volume("size_in_gib = ^16385"),
        of_volume("volume_type = ^'gp4', size_in_gib = 9"),
        of_volume("volume_type = 'io1', iops = 100, ^size_in_gib = 3"),
        of_volume("volume_type = 'st1', ^size_in_gib = 124"),
        of_volume("volume_type = 'standard', ^size_in_gib = 1025"),
        of_volume("volume_type = 'gp3', size_in_gib = 9, ^iops = 2999"),
        of_volume("volume_type = 'gp3', size_in_gib = 9, ^iops = 16001"),
        of_volume("volume_type = 'io1', size_in_gib = 9, ^iops = 64001"),
        of_volume("volume_type = 'io2', size_in_gib = 9, iops = ^256001"),
        of_volume("volume_type = 'gp2', size_in_gib = 9, ^iops = 3000"),
        of_volume("^volume_type = 'io2', size_in_gib = 9"),
        of_volume("volume_type = 'io2', size_in_gib = 9, iops = 100, ^throughput = 125"),
        of_volume("volume_type = 'gp3', size_in_gib = 9, throughput = ^1001"),
        of_volume("size_in_gib = 9, filesystem_type = ^'btrfs'"),
        of_volume("size_in_gib = 9, ^volume_initialization_rate = 100"),
        of_volume("snapshot_id = 's', volume_initialization_rate = ^99"),
        of_volume("size_in_gib = 9, encrypted = false, ^kms_key_id = 'k'"),
        of_volume("size_in_gib = 9, tag_specifications = [{ resource_type = ^'task' }]"),
        of_volume("size_in_gib = 9, tag_specifications = [{ propagate_tags = ^'SERVICE' }]"),
        of_volume("size_in_gib = 9, tag_specifications = ^[{ }, { }]"),
    ] {
        assert_found(&keys, "bad-value");
    }
    assert_found(
        &of_volume("size_in_gib = 9, tag_specifications = [{ tags = ^{ AmazonECSManaged = 'x' } }]"),
        "bad-tag",
    );
    assert_found(&of_volume("size_in_gib = 9, termination_policy = ^{ }"), "missing-key");
    assert_found("volume_configurations = [^{ name = 'v' }]", "missing-key");
    assert_found("volume_configurations = [{ name = 'v', managed_ebs_volume = ^{ size_in_gib = 1 } }]", "missing-key");
    assert_found("volume_configurations = [{ name = 'v', managed_ebs_volume = ^{ role_arn = 'r' } }]", "bad-value");
}

#[test]
fn a_volume_arrives_whole() {
    let volume = |keys: &str| task(&of_volume(keys)).volume_configurations[0].managed_ebs_volume.clone();
    let full = volume(
        "size_in_gib = 16384, volume_type = 'io2', iops = 256000, encrypted = true, kms_key_id = 'k', snapshot_id = 's', \
         volume_initialization_rate = 300, filesystem_type = 'ntfs', \
         tag_specifications = [{ tags = { a = 'b' }, propagate_tags = 'NONE' }], \
         termination_policy = { delete_on_termination = false }",
    );
    let expected = EbsVolume {
        role_arn: "arn:r".into(),
        size_in_gib: Some(16_384),
        volume_type: Some("io2".into()),
        iops: Some(256_000),
        throughput: None,
        encrypted: Some(true),
        kms_key_id: Some("k".into()),
        snapshot_id: Some("s".into()),
        volume_initialization_rate: Some(300),
        filesystem_type: Some("ntfs".into()),
        tag_specifications: vec![EbsTags {
            resource_type: "volume".into(),
            tags: [("a".to_owned(), "b".to_owned())].into(),
            propagate_tags: Some("NONE".into()),
        }],
        delete_on_termination: Some(false),
    };
    assert_eq!(full, expected);
    assert_eq!(volume("volume_type = 'gp3', size_in_gib = 1, iops = 16000, throughput = 1000").throughput, Some(1000));
    for (kind, size) in [("gp2", 1), ("st1", 125), ("sc1", 16_384), ("standard", 1024)] {
        assert_eq!(volume(&format!("volume_type = '{kind}', size_in_gib = {size}")).size_in_gib, Some(size));
    }
    assert_eq!(volume("snapshot_id = 's', iops = 3000").size_in_gib, None, "the default type is the account's affair");
}

#[test]
fn amounts_and_names_are_those_of_ecs() {
    for cpu in ["256", "0.25 vCPU", ".5vcpu", "16 VCPU"] {
        assert_eq!(task(&format!("overrides = {{ cpu = '{cpu}' }}")).overrides.cpu.as_deref(), Some(cpu));
    }
    for memory in ["512", "0.5 GB", "120gb"] {
        assert_eq!(task(&format!("overrides = {{ memory = '{memory}' }}")).overrides.memory.as_deref(), Some(memory));
    }
    let with = |name: &str| main_file(&job_with("").replace("'t'", &format!("'{name}'"))).findings();
    let longest = "f".repeat(255);
    for right in ["t", "t:1", "a-b_C9:4294967295", &longest, "arn:aws:ecs:eu-central-1:1:task-definition/t:3"] {
        assert_eq!(with(right), [""; 0], "{right}");
    }
    for wrong in ["t:", "t:0", "t:latest", "t:1:2", "a b", "a/b", &format!("{longest}f")] {
        assert_eq!(with(wrong), ["bad-value main.toml:7:19"], "{wrong}");
    }
}

const NETWORK: &str = "network = { subnets = ['s'] }\n";

#[test]
fn what_the_capacity_does_not_take_is_refused() {
    let gpu = "container = ^[{ name = 'c', resource_requirements = [{ type = 'GPU', value = '1' }] }]";
    let magnetic = of_volume("size_in_gib = 1, volume_type = 'standard'").replacen('[', "^[", 1);
    let spot = "capacity_provider_strategy = [{ capacity_provider = 'FARGATE_SPOT' }]";
    for fargate in ["launch_type = 'FARGATE'", spot] {
        for setting in [
            "placement_constraints = ^[{ type = 'distinctInstance' }]",
            "placement_strategy = ^[{ type = 'random' }]",
            gpu,
            &magnetic,
        ] {
            assert_found(&format!("{NETWORK}{fargate}\n{setting}"), "wrong-capacity");
        }
    }
    let volume = of_volume("size_in_gib = 1").replacen('[', "^[", 1);
    for (launch_type, setting) in [
        ("EC2", "platform_version = ^'1.4.0'"),
        ("EC2", "network = ^{ subnets = ['s'], assign_public_ip = true }"),
        ("EXTERNAL", "platform_version = ^'1.4.0'"),
        ("EXTERNAL", "network = ^{ subnets = ['s'] }"),
        ("EXTERNAL", &volume),
    ] {
        let keys = format!("launch_type = '{launch_type}'\n{setting}");
        assert_found(&keys, "wrong-capacity");
        assert!(main_file(&job_with(&keys.replacen('^', "", 1))).load().config.is_none(), "{keys}");
    }
    let mixed =
        "capacity_provider_strategy = ^[{ capacity_provider = 'FARGATE' }, { capacity_provider = 'mine', weight = 1 }]";
    assert_found(mixed, "bad-value");
}

#[test]
fn what_only_the_cluster_knows_is_a_warning_or_nothing() {
    let storage = "overrides = ^{ ephemeral_storage = { size_in_gib = 21 } }";
    let mine = "capacity_provider_strategy = [{ capacity_provider = 'mine' }]";
    for keys in [
        format!("launch_type = 'EC2'\n{storage}"),
        format!("launch_type = 'EXTERNAL'\n{storage}"),
        format!("{mine}\n{storage}"),
        format!("{mine}\nplatform_version = ^'1.4.0'"),
        format!("{mine}\nnetwork = ^{{ subnets = ['s'], assign_public_ip = true }}"),
    ] {
        assert_found(&keys, "wrong-capacity");
        assert!(main_file(&job_with(&keys.replacen('^', "", 1))).load().config.is_some(), "{keys}");
    }
    let all = "placement_strategy = [{ type = 'random' }]\nplatform_version = '1.4.0'\n\
               network = { subnets = ['s'], assign_public_ip = true }\noverrides = { ephemeral_storage = { size_in_gib = 21 } }";
    assert_eq!(main_file(&job_with(all)).findings(), [""; 0], "the cluster's default strategy is not known here");
    let none =
        "placement_strategy = []\nplacement_constraints = []\nvolume_configurations = []\nlaunch_type = 'FARGATE'\n";
    assert_eq!(main_file(&job_with(&format!("{none}{NETWORK}"))).findings(), [""; 0]);
}

#[test]
fn fargate_without_a_network_is_warned_of() {
    for keys in ["launch_type = 'FARGATE'", "capacity_provider_strategy = [{ capacity_provider = 'FARGATE' }]"] {
        assert_eq!(main_file(&job_with(keys)).findings(), ["no-network main.toml:5:1"]);
        assert_eq!(main_file(&job_with(&format!("{NETWORK}{keys}"))).findings(), [""; 0]);
    }
    assert_eq!(main_file(&job_with("launch_type = 'EC2'")).findings(), [""; 0], "other network modes need none");
}

#[test]
fn an_inherited_setting_that_one_job_can_not_have_is_told_with_the_job() {
    let text = format!(
        "{AROUND}platform_version = '1.4.0'\n[jobs.a]\nschedule = '@daily'\ntask_definition = 't'\nlaunch_type = 'EC2'\n\
         [jobs.b]\nschedule = '@daily'\ntask_definition = 't'\n"
    );
    let loaded = main_file(&text).load();
    let messages: Vec<&str> = loaded.findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(messages, ["jobs.a: platform_version is not for the launch type EC2"]);
    assert_eq!((loaded.findings[0].line, loaded.findings[0].column), (Some(5), Some(20)));
}
