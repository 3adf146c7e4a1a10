//! Values from the environment.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use crate::engine::job::{Capacity, TaskSpec};

use super::*;

fn loaded(keys: &str, environment: &[(&str, &str)]) -> Loaded {
    main_file(&job_with(keys)).load_with(environment)
}

fn task(keys: &str, environment: &[(&str, &str)]) -> TaskSpec {
    let loaded = loaded(keys, environment);
    assert!(loaded.findings.is_empty(), "{}", loaded.render(false));
    loaded.config.unwrap().jobs.values().next().unwrap().definition.task.clone()
}

/// `code line:column message` of each finding.
fn told(keys: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let told = |finding: &Finding| {
        format!("{} {}:{} {}", finding.code, finding.line.unwrap(), finding.column.unwrap(), finding.message)
    };
    loaded(keys, environment).findings.iter().map(told).collect()
}

#[test]
fn every_string_may_hold_variables_and_no_key_does() {
    let environment = [("SUBNETS", "subnet-7"), ("TEAM", "night"), ("KIND", "EC2"), ("IMAGE", "v2"), ("EMPTY", "")];
    let task = task(
        "launch_type = '${KIND}'\nnetwork = { subnets = ['${SUBNETS}'] }\n\
         tags = { '${TEAM}' = 'the ${TEAM} team, ${TEAM}', none = '${EMPTY}' }\n\
         [[jobs.a.container]]\nname = 'app'\ncommand = ['run', '--image=${IMAGE}']\nenvironment = { A = '${NOT_SET:-a b}', B = '${EMPTY:-b}' }",
        &environment,
    );
    assert_eq!(task.capacity, Capacity::LaunchType("EC2".into()));
    assert_eq!(task.network.unwrap().subnets, ["subnet-7"]);
    assert_eq!(task.tags["${TEAM}"], "the night team, night");
    assert_eq!(task.tags["none"], "");
    assert_eq!(task.containers[0].command.as_deref().unwrap(), ["run", "--image=v2"]);
    assert_eq!(task.containers[0].environment["A"], "a b");
    assert_eq!(task.containers[0].environment["B"], "b", "as in a shell, an empty variable is as good as none");
}

#[test]
fn settings_and_local_task_definitions_may_hold_variables_too() {
    let text = "instance = '${NAME}'\n[ecs]\nregion = '${REGION}'\n[defaults]\ncluster = 'c'\ntimeout = '${LIMIT}'\n\
         [jobs.a]\nschedule = '${WHEN}'\ntask_definition = 't'\n\
         [local.task_definitions.t]\ncontainers = [{ name = 'c', command = ['${PROGRAM}'] }]\n";
    let environment =
        [("NAME", "prod"), ("REGION", "eu-west-1"), ("LIMIT", "2h"), ("WHEN", "0 3 * * *"), ("PROGRAM", "true")];
    let loaded = main_file(text).load_with(&environment);
    assert!(loaded.findings.is_empty(), "{}", loaded.render(false));
    let config = loaded.config.unwrap();
    assert_eq!((config.instance.as_str(), config.ecs.region.as_deref()), ("prod", Some("eu-west-1")));
    assert_eq!(config.local[0].containers[0].command, ["true"]);
    let job = config.jobs.values().next().unwrap();
    assert_eq!((job.schedule.text(), job.definition.limits.timeout.unwrap().as_secs()), ("0 3 * * *".into(), 7200));
}

#[test]
fn a_value_is_not_looked_into_for_further_variables() {
    assert_eq!(task("group = '${A}'", &[("A", "${B}$${C}"), ("B", "x")]).group.as_deref(), Some("${B}$${C}"));
}

#[test]
fn dollar_signs_for_somebody_else_stay() {
    let command = |word: &str| {
        let keys = format!("container = [{{ name = 'c', command = ['sh', '-c', '{word}'] }}]");
        task(&keys, &[("OURS", "a")]).containers[0].command.as_ref().unwrap()[2].clone()
    };
    assert_eq!(
        command("echo $${A} $A $$ $(date) ${A%%.*} ${A:+b} ${#A} ${A} ${A:-c d} ${B:-${A}}"),
        "echo ${A} $A $$ $(date) ${A%%.*} ${A:+b} ${#A} ${A} ${A:-c d} ${B:-${A}}"
    );
}

#[test]
fn a_variable_that_is_not_set_is_one_error_with_its_place() {
    assert_eq!(
        told("timezone = '${ZONE}'\ngroup = 'x${A}${B}'", &[]),
        [
            "bad-variable 8:12 jobs.a.timezone: the environment variable ZONE is not set",
            "bad-variable 9:9 jobs.a.group: the environment variable A is not set",
            "bad-variable 9:9 jobs.a.group: the environment variable B is not set",
        ]
    );
    assert_eq!(
        told("[[jobs.a.container]]\nname = 'c'\nenvironment = { 'a key' = '${SECRET}' }", &[]),
        ["bad-variable 10:27 jobs.a.container[0].environment.a key: the environment variable SECRET is not set"]
    );
    assert!(loaded("group = '${A}'", &[]).config.is_none());
    let nested = told("group = '${A:-${B}}'", &[("A", "a"), ("B", "b")]);
    assert_eq!(nested, ["bad-variable 8:9 jobs.a.group: the default of ${A} can't hold another variable"]);
    let help =
        loaded("container = [{ name = 'c', command = ['echo', '${A}'] }]", &[]).findings[0].help.clone().unwrap();
    assert!(help.contains("${A:-DEFAULT}") && help.contains("if the container is to see ${A}, write $${A}"), "{help}");
}

#[test]
fn a_variable_that_is_not_utf8_is_an_error() {
    let folder = main_file(&job_with("group = '${A}'"));
    let loaded = load::load(&folder.path("main.toml"), &|_| Some(OsString::from_vec(vec![0xFF])));
    assert_eq!(loaded.findings.len(), 1);
    assert_eq!(loaded.findings[0].message, "jobs.a.group: the environment variable A is not UTF-8");
}

#[test]
fn no_finding_shows_what_the_environment_holds() {
    for (keys, value) in [
        ("timezone = '${S}'", "hunter2"),
        ("overlap = '${S}'", "x"),
        ("catchup_window = '${S}'", "900"),
        ("launch_type = 'prefix ${S}'", "swordfish"),
        ("cluster = '${S}'", "pass word"),
        ("schedule = '${S}'", "correct horse battery staple"),
        ("end_at = '${S}'", "correct horse battery staple"),
        ("except = ['${S}']", "correct horse battery staple"),
        ("accept_stop_codes = ['${S}']", "SpotInteruption"),
        ("overrides = { cpu = '${S}' }", &"long secret ".repeat(20)),
        ("tags = '${S}'", "swordfish"),
        ("container = [{ name = 'c ${S}' }, { name = 'c ${S}' }]", "12"),
        ("retry = [{ error_equals = ['${S}'] }]", "State.ALL"),
    ] {
        let text = job_with(if keys.starts_with("schedule") { "" } else { keys });
        let text = if keys.starts_with("schedule") { text.replace("schedule = '@daily'", keys) } else { text };
        let loaded = main_file(&text).load_with(&[("S", value)]);
        assert!(!loaded.findings.is_empty(), "{keys}");
        let json = serde_json::to_string(&loaded.findings).unwrap();
        for told in [json, loaded.render(false)] {
            for quote in ["\"", "\\\"", "`"] {
                assert!(!told.contains(&format!("{quote}{value}{quote}")), "{keys}: {told}");
            }
            assert!(value.len() < 8 || !told.contains(value.trim()), "{keys}: {told}");
            assert!(!told.contains("long secret"), "{keys}: {told}");
        }
    }
    // A mistake in a part of a string quotes the part.
    for (schedule, value, secret) in [
        ("${S}", "1 2 topsecretfield 4 5", "topsecretfield"),
        ("0 0 * * ${S}", "MON,hunterpw2,TUE", "hunterpw2"),
        ("cron(0 0 ${S} * ? *)", "hunterpw2", "hunterpw2"),
        ("rate(${S} minutes)", "17secretz", "17secretz"),
        ("${S}", "rate(17secretz minutes)", "17secretz"),
        ("${S}", "at(2026-01-01Tsecretclock)", "secretclock"),
    ] {
        let text = job_with("").replace("schedule = '@daily'", &format!("schedule = '{schedule}'"));
        let loaded = main_file(&text).load_with(&[("S", value)]);
        assert!(!loaded.findings.is_empty(), "{schedule}");
        let told = loaded.render(false);
        assert!(!told.contains(secret), "{schedule}: {told}");
    }
    assert_eq!(
        told("overlap = '${S}'", &[("S", "skp")]),
        [
            "bad-value 8:11 jobs.a.overlap: expected \"skip\", \"allow\", \"queue_one\", \"queue_all\" or \"cancel_running\", found \
          \"${S}\"; did you mean \"skip\"?"
        ]
    );
    // A value may show up in a finding about something else.
    let folder = main_file(&format!("groups.db.max_running = 1\n{}", job_with("group = '${S}'")));
    let rendered = folder.load_with(&[("S", "swordfish")]).render(false);
    assert!(rendered.contains("[groups.${S}]") && !rendered.contains("swordfish"), "{rendered}");
}

#[test]
fn a_default_is_no_secret() {
    let told = told("overlap = '${S:-skp}'", &[]);
    assert!(told[0].contains("found \"skp\"; did you mean \"skip\"?"), "{told:?}");
}

#[test]
fn a_command_that_a_shell_reads_is_left_to_it() {
    let of = |words: &str| {
        let keys = format!("container = [{{ name = 'c', command = [{words}] }}]");
        loaded(&keys, &[("HOME", "/root")]).findings.iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(of("'sh', '-c', 'ls ${HOME}'"), ["shell-variable"]);
    assert_eq!(of("'/bin/bash', '-ec', 'ls ${HOME}'"), ["shell-variable"]);
    assert_eq!(of("'-c', 'ls ${HOME:-/}'"), ["shell-variable"]);
    assert_eq!(of("'sh', '-c', 'ls ${THEIRS} ${A:-b}'"), [""; 0], "no variable of ours");
    assert_eq!(of("'ls', '${HOME}'"), [""; 0]);
    assert_eq!(of("'sh', '-c', 'ls $${HOME}'"), [""; 0]);
    let local = "[local.task_definitions.t]\ncontainers = [{ name = 'c', command = ['sh', '-c', 'echo ${HOME}'] }]";
    assert_eq!(loaded(local, &[("HOME", "/root")]).findings[0].code, "shell-variable");
}

#[test]
fn a_brace_that_opens_no_variable_is_warned_of_where_no_shell_could_mean_it() {
    let told = told("group = '${my-group}'", &[]);
    assert_eq!(
        told,
        ["stray-variable 8:9 jobs.a.group: \"${my-group}\" holds a `${` that begins no variable, so it stays as it is"]
    );
    assert_eq!(task("container = [{ name = 'c', command = ['echo ${A-b}'] }]", &[]).containers.len(), 1);
}
