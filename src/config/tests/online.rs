//! What ECS has to say of a valid configuration, each with its place.

use crate::engine::inventory::{Answer, DefinedContainer, DefinitionFacts, Destination, Inventory, Named};

use super::*;

/// A definition that suits Fargate, with the containers `app` and `log`.
fn facts() -> DefinitionFacts {
    let container = |name: &str| DefinedContainer {
        name: name.to_owned(),
        logs: Destination::Group { group: "g".into(), region: None, prefix: Some("ecs".into()) },
    };
    DefinitionFacts {
        arn: "arn:aws:ecs:eu-central-1:123456789012:task-definition/t:7".into(),
        status: "ACTIVE".into(),
        containers: vec![container("app"), container("log")],
        compatibilities: vec!["EC2".into(), "FARGATE".into()],
        network_mode: Some("awsvpc".into()),
        cpu: Some("256".into()),
        memory: Some("512".into()),
        ..DefinitionFacts::default()
    }
}

/// The same answers about whatever the jobs name.
fn inventory(config: &Config, cluster: &Answer<String>, definition: &Answer<DefinitionFacts>) -> Inventory {
    let mut inventory = Inventory::default();
    for job in config.jobs.values() {
        let task = &job.definition.task;
        inventory.clusters.insert(Named::cluster(task), cluster.clone());
        inventory.definitions.insert(Named::definition(task), definition.clone());
    }
    inventory
}

fn compared(folder: &Folder, cluster: &Answer<String>, definition: &Answer<DefinitionFacts>) -> Loaded {
    let mut loaded = folder.load();
    let inventory = inventory(loaded.config.as_ref().expect("valid"), cluster, definition);
    loaded.compare_in(&inventory, &|_| None);
    loaded
}

/// `level code line:column message`, one line for each finding of these.
fn told(loaded: &Loaded) -> Vec<String> {
    let online = loaded.findings.iter().filter(|finding| finding.code.starts_with("online-"));
    let place = |finding: &Finding| format!("{}:{}", finding.line.unwrap_or(0), finding.column.unwrap_or(0));
    online
        .map(|finding| {
            let level = if finding.level == Level::Error { "error" } else { "warning" };
            format!("{level} {} {} {}", finding.code, place(finding), finding.message)
        })
        .collect()
}

/// A job on Fargate with these keys more, on line 9 and following, and its definition changed.
fn with(keys: &str, change: impl FnOnce(&mut DefinitionFacts)) -> Vec<String> {
    let mut definition = facts();
    change(&mut definition);
    let network = "network = { subnets = ['subnet-1'] }\n";
    let folder = main_file(&job_with(&format!("{network}{keys}")));
    let loaded = compared(&folder, &Answer::Found("ACTIVE".into()), &Answer::Found(definition));
    let told = told(&loaded);
    assert_eq!(loaded.config.is_none(), told.iter().any(|line| line.starts_with("error")), "{told:?}");
    told
}

#[test]
fn a_job_that_ecs_would_take_has_no_finding() {
    let all = "launch_type = 'FARGATE'\nlog_tail = 5\noverrides = { cpu = '1 vCPU', memory = '2 GB' }\n\
               container = [{ name = 'log' }, { name = 'app' }]";
    assert_eq!(with(all, |_| {}), [""; 0]);
    // What ECS does not say is not judged.
    let unsaid = |facts: &mut DefinitionFacts| {
        (facts.compatibilities, facts.network_mode, facts.cpu) = (Vec::new(), None, None);
    };
    assert_eq!(with("launch_type = 'EC2'\noverrides = { memory = '3' }", unsaid), [""; 0]);
}

#[test]
fn clusters_must_be_there_and_active() {
    let folder = main_file(&job_with(""));
    let by = |answer: Answer<String>| {
        let loaded = compared(&folder, &answer, &Answer::Unknown(String::new()));
        told(&loaded).into_iter().find(|line| line.contains("online-cluster")).unwrap_or_default()
    };
    assert_eq!(by(Answer::Missing), "error online-cluster 3:11 defaults.cluster: there is no cluster \"batch\"");
    let is = |status: &str| by(Answer::Found(status.to_owned()));
    assert!(is("INACTIVE").starts_with("error") && is("INACTIVE").ends_with("is INACTIVE, not ACTIVE"));
    assert!(is("PROVISIONING").starts_with("warning"));
    assert_eq!(is("ACTIVE"), "");
}

#[test]
fn task_definitions_must_be_there_and_active() {
    let by = |name: &str, answer: Answer<DefinitionFacts>| {
        let folder = main_file(&format!(
            "{AROUND}[jobs.a]\nschedule = '@daily'\nnetwork = {{ subnets = ['s'] }}\ntask_definition = '{name}'\n"
        ));
        told(&compared(&folder, &Answer::Found("ACTIVE".into()), &answer))
    };
    assert_eq!(
        by("t", Answer::Missing),
        [
            "error online-task-definition 8:19 jobs.a.task_definition: there is no task definition \"t\" with a revision that is ACTIVE"
        ]
    );
    assert_eq!(
        by("t:7", Answer::Missing),
        ["error online-task-definition 8:19 jobs.a.task_definition: there is no task definition \"t:7\""]
    );
    let is = |status: &str| Answer::Found(DefinitionFacts { status: status.into(), ..facts() });
    assert_eq!(
        by("t:7", is("INACTIVE")),
        ["warning online-inactive 8:19 jobs.a.task_definition: t:7 is INACTIVE, and ECS launches no task of it"]
    );
    assert!(by("t:7", is("DELETE_IN_PROGRESS"))[0].starts_with("error online-inactive"));
}

#[test]
fn overrides_must_name_containers() {
    assert_eq!(
        with("[[jobs.a.container]]\nname = 'app'\n[[jobs.a.container]]\nname = 'logg'", |_| {}),
        ["error online-container 12:8 jobs.a.container[1].name: t:7 has no container \"logg\", did you mean \"log\"?"]
    );
    let folder = main_file(&job_with("network = { subnets = ['s'] }\n[[jobs.a.container]]\nname = 'x'"));
    let loaded = compared(&folder, &Answer::Found("ACTIVE".into()), &Answer::Found(facts()));
    assert!(loaded.render(false).contains("it has \"app\" and \"log\""), "{}", loaded.render(false));
}

#[test]
fn launch_types_and_networks_must_fit() {
    let only_ec2 = |facts: &mut DefinitionFacts| facts.compatibilities = vec!["EC2".into()];
    for (keys, place) in [
        ("launch_type = 'FARGATE'", "9:15 jobs.a.launch_type"),
        (
            "capacity_provider_strategy = [{ capacity_provider = 'FARGATE_SPOT' }]",
            "9:30 jobs.a.capacity_provider_strategy",
        ),
    ] {
        let message = format!("error online-compatibility {place}: t:7 can't run on FARGATE, only on EC2");
        assert_eq!(with(keys, only_ec2), [message]);
    }
    assert_eq!(with("capacity_provider_strategy = [{ capacity_provider = 'mine' }]", only_ec2), [""; 0]);
    assert_eq!(
        with("", |facts| facts.network_mode = Some("bridge".into())),
        ["error online-network 8:11 jobs.a.network: is not for t:7: its network mode is bridge, not awsvpc"]
    );
    let folder = main_file(&job_with(""));
    let loaded = compared(&folder, &Answer::Found("ACTIVE".into()), &Answer::Found(facts()));
    assert_eq!(
        told(&loaded),
        ["error online-network 5:1 jobs.a: network is not set, which t:7 needs: its network mode is awsvpc"]
    );
}

#[test]
fn sizes_of_fargate_are_those_of_its_table() {
    let size = |overrides: &str| with(&format!("launch_type = 'FARGATE'\noverrides = {overrides}"), |_| {});
    for good in [
        "{ memory = '2048' }",
        "{ cpu = '0.5 vCPU', memory = '4 GB' }",
        "{ cpu = '4096', memory = '30 GB' }",
        "{ cpu = '8 vCPU', memory = '20 GB' }",
        "{ cpu = '16384', memory = '122880' }",
        "{ ephemeral_storage = { size_in_gib = 30 } }",
    ] {
        assert_eq!(size(good), [""; 0], "{good}");
    }
    for bad in ["{ memory = '3072' }", "{ cpu = '512' }", "{ cpu = '8192', memory = '18 GB' }", "{ cpu = '300' }"] {
        let told = size(bad);
        assert!(told.len() == 1 && told[0].starts_with("warning online-fargate-size 10:13"), "{bad}: {told:?}");
    }
}

#[test]
fn log_tails_need_a_log_driver_that_can_be_read() {
    let elsewhere = |facts: &mut DefinitionFacts| {
        facts.containers[0].logs = Destination::Elsewhere("fluentd".into());
        facts.containers[1].logs = Destination::Unsaid;
    };
    assert_eq!(
        with("log_tail = 5", elsewhere),
        [
            "warning online-log-driver 9:12 jobs.a.log_tail: no lines can be had of container \"app\" of t:7, nor of one other: \
          its log driver is fluentd, not awslogs"
        ]
    );
    assert_eq!(with("log_tail = 0", elsewhere), [""; 0]);
}

#[test]
fn what_many_jobs_inherit_is_told_once_and_where_it_stands() {
    let jobs: String = (0..50)
        .map(|n| {
            format!(
                "[jobs.j{n}]\nschedule = '@daily'\nnetwork = {{ subnets = ['s'] }}\ntask_definition = 't{}'\n",
                n % 5
            )
        })
        .collect();
    let folder = Folder::with(&[("main.toml", AROUND), ("jobs.d/a.toml", &jobs)]);
    let loaded = compared(&folder, &Answer::Missing, &Answer::Unknown("DescribeTaskDefinition was refused: no".into()));
    let files: Vec<_> = loaded.findings.iter().map(|found| found.file.file_name().unwrap().to_owned()).collect();
    assert_eq!(files, ["main.toml", "a.toml"]);
    assert_eq!(
        told(&loaded),
        [
            "error online-cluster 3:11 defaults.cluster: there is no cluster \"batch\"",
            "warning online-unchecked 4:19 jobs.j0.task_definition: could not be checked, nor could 4 others: \
             DescribeTaskDefinition was refused: no",
        ]
    );
    assert!(loaded.config.is_none());
}

#[test]
fn findings_of_both_kinds_stand_in_one_order_and_each_once() {
    let text = "[defaults]\ncluster = 'batch'\n[jobs.a]\nschedule = '@daily'\ntask_definition = 't'\n";
    let folder = main_file(text);
    let loaded = compared(&folder, &Answer::Missing, &Answer::Found(facts()));
    let codes: Vec<&str> = loaded.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["online-cluster", "online-network", "no-instance", "no-timeout"]);
}

#[test]
fn a_value_of_the_environment_is_not_shown() {
    let folder = main_file(&job_with("cluster = '${CLUSTER}'\nnetwork = { subnets = ['s'] }"));
    let environment = |name: &str| (name == "CLUSTER").then(|| "very-secret-name".into());
    let mut loaded = load::load(&folder.path("main.toml"), &environment);
    let inventory = inventory(loaded.config.as_ref().unwrap(), &Answer::Missing, &Answer::Found(facts()));
    loaded.compare_in(&inventory, &environment);
    assert_eq!(told(&loaded), ["error online-cluster 8:11 jobs.a.cluster: there is no cluster \"${CLUSTER}\""]);
}

#[test]
fn other_targets_are_named_and_jobs_that_were_not_asked_about_are_passed_over() {
    let text = format!(
        "{}[targets.lab]\nregion = 'us-east-1'\n[jobs.a]\nschedule = '@daily'\ntask_definition = 't'\n[jobs.b]\n\
         schedule = '@daily'\ntask_definition = 't'\ntarget = 'lab'\nnetwork = {{ subnets = ['s'] }}\n",
        AROUND
    );
    let folder = main_file(&text);
    let mut loaded = folder.load();
    let config = loaded.config.as_ref().unwrap();
    let mut inventory = inventory(config, &Answer::Missing, &Answer::Found(facts()));
    inventory.clusters.retain(|named, _| named.target.name.is_some());
    inventory.definitions.retain(|named, _| named.target.name.is_some());
    loaded.compare_in(&inventory, &|_| None);
    assert_eq!(
        told(&loaded),
        ["error online-cluster 3:11 defaults.cluster: there is no cluster \"batch\" of target lab"]
    );
}
