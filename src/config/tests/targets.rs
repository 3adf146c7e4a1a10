//! `[targets.NAME]`, and jobs that choose one.

use crate::engine::job::Target;

use super::*;

const ROLE: &str = "arn:aws:iam::123456789012:role/tenacron";

/// The findings of this line of `[targets.lab]`, which a job chooses.
fn of_target(key: &str) -> Vec<String> {
    main_file(&format!("targets.lab.{key}\n{}", job_with("target = 'lab'"))).findings()
}

/// The target of the job `a`.
fn target_of(text: &str) -> Target {
    let config = clean(text);
    (*config.jobs.values().next().unwrap().definition.task.target).clone()
}

#[test]
fn a_job_has_the_target_that_it_chose_or_that_of_the_defaults_or_the_daemons_own() {
    let lab =
        format!("targets.lab = {{ region = 'us-east-1', role_arn = '{ROLE}', external_id = 'a:b/c=d,e.f@g-h_i+' }}\n");
    let chosen = target_of(&format!("{lab}{}", job_with("target = 'lab'")));
    let text = |text: &str| Some(text.to_owned());
    let expected = Target {
        name: text("lab"),
        region: text("us-east-1"),
        role_arn: text(ROLE),
        external_id: text("a:b/c=d,e.f@g-h_i+"),
        endpoint: None,
    };
    assert_eq!(chosen, expected);
    let near = "targets.near.endpoint = 'http://127.0.0.1:5100'\n";
    let both = format!("{lab}{near}{}", job_with("").replace("timeout =", "target = 'lab'\ntimeout ="));
    let other = "[jobs.b]\nschedule = '@daily'\ntask_definition = 't'\ntarget = 'near'\n";
    let config = clean(&format!("{both}{other}"));
    let names: Vec<Option<&str>> = config.jobs.values().map(|job| job.definition.task.target.name.as_deref()).collect();
    assert_eq!(names, [Some("lab"), Some("near")]);
    assert_eq!(config.targets.keys().collect::<Vec<_>>(), ["lab", "near"]);
    assert_eq!(target_of(&job_with("")), Target::default());
}

#[test]
fn a_target_may_have_a_queue_of_task_events() {
    let queue = "https://sqs.us-east-1.amazonaws.com/123456789012/tenacron";
    let lab = format!("targets.lab = {{ region = 'us-east-1', events_queue = '{queue}' }}\n");
    let config = clean(&format!("{lab}{}", job_with("target = 'lab'")));
    assert_eq!(config.target_queues.into_iter().collect::<Vec<_>>(), [("lab".to_owned(), queue.to_owned())]);
    assert_eq!(config.targets["lab"].region.as_deref(), Some("us-east-1"));
}

#[test]
fn each_mistake_in_a_target_has_its_code_and_its_place() {
    let long = "x".repeat(1225);
    let cases = [
        ("region = 'eu_central_1'".to_owned(), "bad-value", 22),
        ("region = 'eu-central-1a'".to_owned(), "bad-value", 22),
        ("region = 'Frankfurt'".to_owned(), "bad-value", 22),
        ("region = 'eu--1'".to_owned(), "bad-value", 22),
        ("region = 1".to_owned(), "wrong-type", 22),
        ("role_arn = 'tenacron'".to_owned(), "bad-value", 24),
        ("role_arn = 'arn:aws:iam::123456789012:user/tenacron'".to_owned(), "bad-value", 24),
        ("role_arn = 'arn:aws:sts::123456789012:assumed-role/a/b'".to_owned(), "bad-value", 24),
        ("role_arn = 'arn:aws:iam::12345678901:role/tenacron'".to_owned(), "bad-value", 24),
        ("role_arn = 'arn:aws:iam::123456789012:role/a b'".to_owned(), "bad-value", 24),
        ("role_arn = 'arn:aws:iam::123456789012:role/'".to_owned(), "bad-value", 24),
        (format!("role_arn = '{ROLE}{}'", "x".repeat(2048)), "bad-value", 24),
        ("endpoint = 'localhost:5100'".to_owned(), "bad-value", 24),
        ("events_queue = 'tenacron'".to_owned(), "bad-value", 28),
        ("external_id = 'ab'".to_owned(), "missing-key", 27),
        ("regoin = 'us-east-1'".to_owned(), "unknown-key", 13),
    ];
    for (key, code, column) in cases {
        assert_eq!(of_target(&key), [format!("{code} main.toml:1:{column}")], "{key}");
    }
    for id in ["x".to_owned(), long, "a b".to_owned(), "ä".repeat(2)] {
        let text = format!("targets.lab = {{ role_arn = '{ROLE}', external_id = '{id}' }}");
        let column = text.find(&format!("'{id}'")).unwrap() + 1;
        let found = main_file(&format!("{text}\n{}", job_with("target = 'lab'"))).findings();
        assert_eq!(found, [format!("bad-value main.toml:1:{column}")], "{id}");
    }
    let job = job_with("target = 'lab'");
    assert_eq!(main_file(&format!("targets.lab = {{}}\n{job}")).findings(), ["missing-key main.toml:1:15"]);
    assert_eq!(main_file(&format!("targets = 3\n{job}")).findings(), ["wrong-type main.toml:1:11"]);
    let spaced = format!("targets.'a b'.region = 'us-east-1'\n{}", job_with("target = 'a b'"));
    assert_eq!(main_file(&spaced).findings(), ["bad-name main.toml:1:9"]);
}

#[test]
fn roles_of_every_partition_and_path_and_regions_of_every_kind_are_accepted() {
    for role in ["aws:iam::123456789012:role/x", "aws-us-gov:iam::123456789012:role/a/b/x+=,.@-_"] {
        assert_eq!(of_target(&format!("role_arn = 'arn:{role}'")), [""; 0], "{role}");
    }
    for region in ["eu-central-1", "us-gov-west-1", "us-isob-east-1", "eusc-de-east-1", "ap-southeast-12"] {
        assert_eq!(of_target(&format!("region = '{region}'")), [""; 0], "{region}");
    }
}

#[test]
fn a_target_that_is_not_there_is_named_with_the_one_that_was_meant() {
    let text = format!("targets.frankfurt.region = 'eu-central-1'\n{}", job_with("target = 'frankfort'"));
    let folder = main_file(&text);
    let loaded = folder.load();
    let codes: Vec<&str> = loaded.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["unknown-target", "unused-target"]);
    let told = "target: there is no [targets.frankfort]; did you mean \"frankfurt\"?";
    assert_eq!((loaded.findings[0].message.as_str(), loaded.findings[0].line), (told, Some(9)));
    // In the defaults it is one mistake, whether or not a job inherits it.
    let defaults = |text: String| main_file(&text.replace("timeout =", "target = 'x'\ntimeout =")).findings();
    assert_eq!(defaults(job_with("")), ["unknown-target main.toml:4:10"]);
    let two = job_with("[jobs.b]\nschedule = '@daily'\ntask_definition = 't'");
    assert_eq!(defaults(two), ["unknown-target main.toml:4:10"]);
    // It may be what could not be read.
    let broken = main_file(&format!("targets.x.region = \n{}", job_with("target = 'x'"))).findings();
    assert!(broken.iter().all(|line| line.starts_with("syntax")), "{broken:?}");
}

#[test]
fn a_target_that_no_job_chose_is_doubted_and_belongs_into_the_main_file() {
    let text = format!("targets.lab.region = 'us-east-1'\n{}", job_with(""));
    assert_eq!(main_file(&text).findings(), ["unused-target main.toml:1:9"]);
    let folder =
        Folder::with(&[("main.toml", &job_with("")), ("jobs.d/a.toml", "[targets.lab]\nregion = 'us-east-1'\n")]);
    assert_eq!(folder.findings(), ["misplaced-table jobs.d/a.toml:1:2"]);
}

#[test]
fn an_arn_of_another_region_or_account_than_the_targets_is_doubted() {
    let with = |keys: &str| {
        let target = format!("targets.lab = {{ region = 'us-east-1', role_arn = '{ROLE}' }}\n");
        main_file(&format!("{target}{}", job_with(&format!("target = 'lab'\n{keys}")))).findings()
    };
    assert_eq!(with("cluster = 'arn:aws:ecs:us-east-1:123456789012:cluster/batch'"), [""; 0]);
    let elsewhere = with("cluster = 'arn:aws:ecs:eu-west-1:123456789012:cluster/batch'");
    assert_eq!(elsewhere, ["arn-of-other-place main.toml:10:11"]);
    let elsewhose = with("cluster = 'arn:aws:ecs:us-east-1:210987654321:cluster/batch'");
    assert_eq!(elsewhose, ["arn-of-other-place main.toml:10:11"]);
    let target = "targets.lab.region = 'us-east-1'\n";
    let job = job_with("target = 'lab'").replace("'t'", "'arn:aws:ecs:eu-west-1:123456789012:task-definition/t:1'");
    assert_eq!(main_file(&format!("{target}{job}")).findings(), ["arn-of-other-place main.toml:8:19"]);
}
