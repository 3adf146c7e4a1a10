//! Each mistake with its code and its place.

use super::*;

/// The findings of a job with these keys, the first of them on line 8.
fn of_job(keys: &str) -> Vec<String> {
    main_file(&job_with(keys)).findings()
}

/// The findings of a main file with this text before a valid job.
fn of_main(text: &str) -> Vec<String> {
    main_file(&format!("{text}\n{}", job_with(""))).findings()
}

#[test]
fn a_mistake_in_a_key_of_a_job_has_its_code_and_its_place() {
    let spot = "capacity_provider = 'FARGATE_SPOT'";
    let many = |item: &str, count: usize| vec![item; count].join(", ");
    let cases = [
        ("shedule = 'x'".to_owned(), "unknown-key", 1),
        ("timeout = 900".to_owned(), "wrong-type", 11),
        ("timeout = '900'".to_owned(), "bad-value", 11),
        ("timeout = '0s'".to_owned(), "bad-value", 11),
        ("timeout = '1000 days'".to_owned(), "bad-value", 11),
        ("start_timeout = true".to_owned(), "wrong-type", 17),
        ("overlap = 'skp'".to_owned(), "bad-value", 11),
        ("catchup = 1".to_owned(), "wrong-type", 11),
        ("timezone = 'Berlin'".to_owned(), "unknown-zone", 12),
        ("launch_type = 'fargate'".to_owned(), "bad-value", 15),
        ("launch_type = 'MANAGED_INSTANCES'".to_owned(), "bad-value", 15),
        (format!("launch_type = 'EC2'\ncapacity_provider_strategy = [{{ {spot} }}]"), "launch-type-and-strategy", 1),
        ("capacity_provider_strategy = []".to_owned(), "bad-value", 30),
        (format!("capacity_provider_strategy = [{}]", many(&format!("{{ {spot}, weight = 1 }}"), 21)), "bad-value", 30),
        (format!("capacity_provider_strategy = [{{ {spot}, weight = 1001 }}]"), "bad-value", 78),
        (format!("capacity_provider_strategy = [{}]", many(&format!("{{ {spot}, base = 1 }}"), 2)), "bad-value", 30),
        (format!("capacity_provider_strategy = [{}]", many(&format!("{{ {spot} }}"), 2)), "bad-value", 30),
        (format!("network = {{ subnets = [{}] }}", many("'s'", 17)), "bad-value", 23),
        ("network = { subnets = [] }".to_owned(), "bad-value", 23),
        ("network = { }".to_owned(), "missing-key", 11),
        (format!("network = {{ subnets = ['s'], security_groups = [{}] }}", many("'g'", 6)), "bad-value", 48),
        ("network = { subnets = ['s'], assign_public_ip = 'ENABLED' }".to_owned(), "wrong-type", 49),
        ("[jobs.a.container]\nname = 'c'".to_owned(), "wrong-type", 1),
        ("container = [{ command = ['x'] }]".to_owned(), "missing-key", 14),
        ("container = [{ name = 'c', command = 'x y' }]".to_owned(), "wrong-type", 38),
        ("container = [{ name = 'c' }, { name = 'c' }]".to_owned(), "bad-value", 13),
        ("container = [{ name = 'c', environment = { PORT = 80 } }]".to_owned(), "wrong-type", 51),
        ("container = [{ name = 'c', environment = { 'A=B' = 'x' } }]".to_owned(), "bad-value", 52),
        ("container = [{ name = 'c', cpu = 0 }]".to_owned(), "bad-value", 34),
        ("overrides = { cpu = 256 }".to_owned(), "wrong-type", 21),
        ("overrides = { ephemeral_storage = { size_in_gib = 20 } }".to_owned(), "bad-value", 51),
        ("tags = { 'aws:a' = '1' }".to_owned(), "bad-tag", 20),
        ("tags = { 'tenacron:job' = '1' }".to_owned(), "bad-tag", 27),
        (format!("tags = {{ {} = '1' }}", "k".repeat(129)), "bad-tag", 142),
        (format!("tags = {{ k = '{}' }}", "ä".repeat(257)), "bad-tag", 14),
        ("tags = { k = 'AWS:x' }".to_owned(), "bad-tag", 14),
        ("propagate_tags = 'SERVICE'".to_owned(), "bad-value", 18),
        ("cluster = 'a b'".to_owned(), "bad-value", 11),
        (format!("cluster = '{}'", "c".repeat(256)), "bad-value", 11),
        ("overrides = { cpu = 'one' }".to_owned(), "bad-value", 21),
        ("overrides = { cpu = '0 vCPU' }".to_owned(), "bad-value", 21),
        ("overrides = { memory = '2 TB' }".to_owned(), "bad-value", 24),
        ("overrides = { memory = 'inf GB' }".to_owned(), "bad-value", 24),
        ("container = [{ name = 'c', memory = 1, memory_reservation = 2 }]".to_owned(), "bad-value", 61),
        ("retry = [{ interval_seconds = 1 }]".to_owned(), "missing-key", 10),
        ("retry = [{ error_equals = [] }]".to_owned(), "bad-retrier", 27),
        ("retry = [{ error_equals = [''] }]".to_owned(), "bad-retrier", 27),
        ("retry = [{ error_equals = ['x'], interval_seconds = 0 }]".to_owned(), "bad-value", 53),
        ("retry = [{ error_equals = ['x'], max_attempts = -1 }]".to_owned(), "bad-value", 49),
        ("retry = [{ error_equals = ['x'], backoff_rate = 0.9 }]".to_owned(), "bad-retrier", 49),
        ("retry = [{ error_equals = ['x'], backoff_rate = nan }]".to_owned(), "bad-retrier", 49),
        ("retry = [{ error_equals = ['x'], max_delay_seconds = 31622401 }]".to_owned(), "bad-value", 54),
        ("retry = [{ error_equals = ['x'], jitter_strategy = 'full' }]".to_owned(), "bad-value", 52),
        ("retry = [{ error_equals = ['States.ALL', 'x'] }]".to_owned(), "bad-retrier", 27),
        ("retry = [{ error_equals = ['States.ALL'] }, { error_equals = ['x'] }]".to_owned(), "bad-retrier", 27),
        ("start_at = 'soon'".to_owned(), "bad-schedule", 13),
        ("start_at = 5".to_owned(), "wrong-type", 12),
        ("end_at = 10:00:00".to_owned(), "bad-schedule", 10),
        ("end_at = 2026-12-01T10:00:00.5Z".to_owned(), "bad-schedule", 10),
        ("except = ['2026-12-25', ' 0 25 * * *']".to_owned(), "bad-schedule", 29),
        ("except = ['2026-12-25', 'rate(5 minutes)']".to_owned(), "bad-schedule", 26),
        ("except = [2026-12-25T10:00:00Z]".to_owned(), "bad-schedule", 11),
        ("except = 7".to_owned(), "wrong-type", 10),
        ("log_tail = 201".to_owned(), "bad-value", 12),
        ("log_tail = true".to_owned(), "wrong-type", 12),
        ("success = 'any'".to_owned(), "bad-value", 11),
        ("accept_stop_codes = 'SpotInterruption'".to_owned(), "wrong-type", 21),
        ("accept_stop_codes = ['SpotInteruption']".to_owned(), "unknown-stop-code", 22),
        ("exit_codes = [3]".to_owned(), "wrong-type", 14),
        ("exit_codes = { skip = 99 }".to_owned(), "wrong-type", 23),
        ("exit_codes = { skip = [0] }".to_owned(), "bad-value", 24),
        ("exit_codes = { succeed = [256] }".to_owned(), "bad-value", 27),
        ("exit_codes = { fail = [-1] }".to_owned(), "bad-value", 24),
        ("exit_codes = { sucess = [3] }".to_owned(), "unknown-key", 16),
        ("exit_codes = { succeed = [3], skip = [4, 3] }".to_owned(), "bad-value", 38),
        ("exit_codes = { fail = [64], retry = [64] }".to_owned(), "bad-value", 37),
        ("attempt_timeout = '2s'".to_owned(), "slow-poll", 19),
        (
            "retry = [{ error_equals = ['x'], interval_seconds = 9, max_delay_seconds = 8 }]".to_owned(),
            "short-max-delay",
            76,
        ),
        ("retry = [{ error_equals = ['State.ALL'] }]".to_owned(), "unknown-error-name", 28),
        ("retry = [{ error_equals = ['ecs.ServerException'] }]".to_owned(), "unknown-error-name", 28),
        ("retry = [{ error_equals = ['x'] }, { error_equals = ['x'] }]".to_owned(), "unreachable-retrier", 53),
    ];
    for (keys, code, column) in cases {
        let found = of_job(&keys);
        let line = if keys.contains("\ncapacity") { 9 } else { 8 };
        assert_eq!(found, [format!("{code} main.toml:{line}:{column}")], "{keys}");
    }
}

#[test]
fn a_mistake_in_the_settings_has_its_code_and_its_place() {
    let cases = [
        ("region = 'x'", "unknown-key", 1),
        ("ecs.regoin = 'x'", "unknown-key", 5),
        ("ecs.poll_interval = '499ms'", "bad-value", 21),
        ("ecs.poll_interval = 5", "wrong-type", 21),
        ("ecs.launch_rate = 0", "bad-value", 19),
        ("ecs.launch_rate = inf", "bad-value", 19),
        ("ecs.launch_rate = '20'", "wrong-type", 19),
        ("ecs.launch_burst = 10001", "bad-value", 20),
        ("ecs.describe_rate = 0.0", "bad-value", 21),
        ("ecs.describe_rate = 20.5", "bad-value", 21),
        ("ecs.describe_rate = '2'", "wrong-type", 21),
        ("ecs.endpoint = 'localhost:5100'", "bad-value", 16),
        ("ecs.events_queue = 'tenacron'", "bad-value", 20),
        ("ecs.events_queue = 'https://sqs.eu-central-1.amazonaws.com/tenacron'", "bad-value", 20),
        ("retention.max_age = 30", "wrong-type", 21),
        ("retention.max_age = '23h'", "bad-value", 21),
        ("retention.max_age = 'always'", "bad-value", 21),
        ("retention.max_age = '101 years'", "bad-value", 21),
        ("retention.max_runs_per_job = 0", "bad-value", 30),
        ("retention.max_runs = 9", "unknown-key", 11),
        ("state.url = '/var/lib/x.db'", "bad-value", 13),
        ("state.url = 'postgres://host/db'", "bad-value", 13),
        ("state.url = 'sqlite:///x.db?mode=ro'", "bad-value", 13),
        ("http.listen = ':8080'", "bad-value", 15),
        ("http.listen = '0.0.0.0:8080'", "no-token", 15),
        ("http = { listen = '192.0.2.1:80', hosts = ['a.example'] }", "no-token", 19),
        ("http = { token_file = 't', hosts = ['https://a.example'] }", "bad-value", 37),
        ("http = { token_file = 't', hosts = ['a.example:80'] }", "bad-value", 37),
        ("http.hosts = ['a.example']", "open-hosts", 14),
        ("http.token_file = ''", "bad-value", 19),
        ("http.token_file = 'credential:'", "bad-value", 19),
        ("http.read_token_file = 'credential:../x'", "bad-value", 24),
        ("http = 8080", "wrong-type", 8),
        ("jobs.x = 1", "wrong-type", 10),
        ("local.task_definitions.t = { containers = [] }", "bad-value", 43),
        ("local.task_definitions.t = { }", "missing-key", 28),
        ("local.task_definitions.'a b' = { containers = [{ name = 'c', command = ['x'] }] }", "bad-name", 32),
        ("local.task_definitions.t = { containers = [{ name = 'c', command = [] }] }", "bad-value", 68),
        (
            "local.task_definitions.t = { containers = [{ name = 'c', command = ['x'], essential = false }] }",
            "bad-value",
            43,
        ),
        (
            "local.task_definitions.t = { containers = [{ name = 'c', command = ['x'] }], outcomes = ['throtled'] }",
            "bad-value",
            90,
        ),
        (
            "local.task_definitions.t = { containers = [{ name = 'c', command = ['x'] }], outcomes = [{ failed = 'x' }] }",
            "unknown-key",
            92,
        ),
        (
            "local.task_definitions.t = { containers = [{ name = 'c', command = ['x'] }], outcomes = [{}] }",
            "bad-value",
            90,
        ),
    ];
    for (text, code, column) in cases {
        assert_eq!(of_main(text), [format!("{code} main.toml:1:{column}")], "{text}");
    }
    let twice = of_job("[jobs.a]");
    assert_eq!(twice, ["duplicate-job main.toml:8:7"]);
    assert_eq!(main_file(&job_with("").replace("'test'", "'a b'")).findings(), ["bad-name main.toml:1:12"]);
}

#[test]
fn ends_and_exceptions_that_leave_nothing_have_the_place_of_what_to_mend() {
    let cases = [
        ("start_at = 2026-12-02\nend_at = 2026-12-01", "main.toml:9:10"),
        ("start_at = 2026-12-02T10:00:00\nend_at = 2026-12-02", "main.toml:9:10"),
        ("end_at = 1970-01-01T00:00:00-10:00\nstart_at = 1970-01-01T00:00:01Z", "main.toml:8:10"),
        ("start_at = 2199-12-31T00:00:01", "main.toml:8:12"),
        ("except = '0 0 * * *'", "main.toml:6:12"),
    ];
    for (keys, place) in cases {
        assert_eq!(of_job(keys), [format!("bad-schedule {place}")], "{keys}");
    }
    // A wrong default is one mistake, whoever inherits it; the ends belong to a job.
    let two = job_with("[jobs.b]\nschedule = '@daily'\ntask_definition = 't'");
    let of_default =
        |key: &str| main_file(&two.replace("cluster = 'batch'", &format!("cluster = 'batch'\n{key}"))).findings();
    assert_eq!(of_default("except = ['christmas']"), ["bad-schedule main.toml:4:12"]);
    assert_eq!(of_default("start_at = 2026-12-02"), ["unknown-key main.toml:4:1"]);
    let everything = of_default("except = ['* * * * *']");
    assert_eq!(everything, ["bad-schedule main.toml:7:12", "bad-schedule main.toml:10:12"]);
}

#[test]
fn mistakes_of_a_schedule_point_into_it() {
    let with = |schedule: &str| main_file(&job_with("").replace("'@daily'", schedule)).findings();
    assert_eq!(with("'0 25 * * *'"), ["bad-schedule main.toml:6:15"]);
    assert_eq!(with("['@hourly', '61 * * * *']"), ["bad-schedule main.toml:6:25"]);
    assert_eq!(with("\"0 25 * * *\\u0020\""), ["bad-schedule main.toml:6:12"], "escapes hide where the bytes are");
    assert_eq!(with("''"), ["bad-schedule main.toml:6:12"]);
    assert_eq!(with("[]"), ["bad-value main.toml:6:12"]);
    assert_eq!(with("['@daily', 3]"), ["wrong-type main.toml:6:23"]);
    assert_eq!(with("{ cron = 'x' }"), ["wrong-type main.toml:6:12"]);
}

#[test]
fn a_job_needs_a_schedule_a_cluster_and_a_task_definition() {
    assert_eq!(main_file("instance = 'i'\n[jobs.a]\ntimeout = '1h'\n").findings(), ["missing-key main.toml:2:1"; 3]);
}

#[test]
fn a_wrong_default_is_reported_once_and_at_its_own_place() {
    let jobs: String = (0..50).map(|n| format!("[jobs.j{n}]\nschedule = '@daily'\ntask_definition = 't'\n")).collect();
    let text = format!("{AROUND}timezone = 'x'\nretry = 3\ncatchup_window = '0s'\n{jobs}");
    let found = main_file(&text).findings();
    assert_eq!(found, ["unknown-zone main.toml:5:12", "wrong-type main.toml:6:9", "bad-value main.toml:7:18"]);
    let nothing_inherited = main_file(&format!("instance = 'i'\ndefaults = 3\n{jobs}")).findings();
    assert_eq!(
        nothing_inherited.iter().filter(|line| !line.starts_with("no-timeout")).collect::<Vec<_>>(),
        ["wrong-type main.toml:2:12"]
    );
}

#[test]
fn too_many_inherited_tags_are_reported_once() {
    let tags: Vec<String> = (0..46).map(|n| format!("t{n} = ''")).collect();
    let tags = format!("tags = {{ {} }}", tags.join(", "));
    let job = |name, more| format!("[jobs.{name}]\nschedule = '@daily'\ntask_definition = 't'\n{more}");
    let text = format!("{AROUND}{tags}\n{}{}", job("a", ""), job("b", ""));
    assert_eq!(main_file(&text).findings(), ["bad-tag main.toml:5:8"]);
    assert!(main_file(&format!("{AROUND}{tags}\n{}", job("a", "add_tags = false\n"))).findings().is_empty());
}

#[test]
fn overrides_are_measured_with_what_is_added_to_them() {
    let with = |length: usize, more: &str| {
        of_job(&format!("{more}\ncontainer = [{{ name = 'c', environment = {{ X = '{}' }} }}]", "x".repeat(length)))
    };
    assert_eq!(with(8000, ""), ["overrides-too-large main.toml:9:13"]);
    assert!(with(8000, "add_environment = false").is_empty(), "without our variables it fits");
    assert!(with(7000, "").is_empty());
    assert_eq!(with(8192, "add_environment = false"), ["overrides-too-large main.toml:9:13"]);
}

#[test]
fn the_size_of_the_overrides_is_estimated_upwards_and_closely() {
    use crate::engine::job::ContainerOverride;
    use crate::engine::resources::{EnvironmentFile, ResourceRequirement};
    use serde_json::json;
    let container = ContainerOverride {
        name: "app".into(),
        command: Some(vec!["run".into(), "say \"ä\"\n".into()]),
        environment: [("A".to_owned(), "\u{1}".repeat(50)), ("B".to_owned(), "x".repeat(500))].into(),
        cpu: Some(1),
        memory: Some(i32::MAX),
        memory_reservation: None,
        environment_files: vec![EnvironmentFile { value: "arn:aws:s3:::bucket/a.env".into(), kind: "s3".into() }],
        resource_requirements: vec![ResourceRequirement { value: "ALL".into(), kind: "GPU".into() }],
    };
    let task = crate::engine::job::TaskOverride { cpu: Some("1 vCPU".into()), ..Default::default() };
    let variables: Vec<_> =
        container.environment.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let sent = json!({ "cpu": "1 vCPU", "containerOverrides": [{
        "name": "app", "command": container.command, "environment": variables, "cpu": 1, "memory": i32::MAX,
        "environmentFiles": [{ "value": "arn:aws:s3:::bucket/a.env", "type": "s3" }],
        "resourceRequirements": [{ "value": "ALL", "type": "GPU" }],
    }] });
    let exact = sent.to_string().chars().count();
    let estimate = crate::engine::overrides::overrides_size(&[container], &task, false);
    assert!((exact..exact + 20).contains(&estimate), "{estimate} for {exact}");
}

#[test]
fn doubts_about_the_whole_are_warnings() {
    let job = "[jobs.a]\nschedule = '@daily'\ntask_definition = 't'\n";
    let loaded = main_file(&format!("defaults.cluster = 'c'\n{job}"));
    assert_eq!(loaded.findings(), ["no-instance main.toml:-:-", "no-timeout main.toml:2:1"]);
    assert_eq!(loaded.load().config.unwrap().instance.as_str(), "default");
    assert_eq!(main_file(AROUND).findings(), ["no-jobs main.toml:-:-"]);
    let folder = Folder::with(&[("main.toml", &job_with("")), ("jobs.d/a.toml", "# later\n")]);
    assert_eq!(folder.findings(), ["empty-file jobs.d/a.toml:-:-"]);
    assert!(folder.load().config.is_some());
}

#[test]
fn retriers_that_are_never_asked_are_warned_of() {
    let names = |first: &str, second: &str| {
        of_job(&format!("retry = [{{ error_equals = ['{first}'] }}, {{ error_equals = ['{second}'] }}]"))
    };
    let unreachable = |first, second| names(first, second).iter().any(|line| line.starts_with("unreachable-retrier"));
    assert!(unreachable("States.TaskFailed", "ECS.AmazonECSException"), "the order of the deployed sample");
    assert!(unreachable("States.TaskFailed", "Task.ExitCode.1"));
    assert!(unreachable("ECS.AmazonECSException", "ECS.Throttled"), "it is the base class");
    assert!(unreachable("States.Timeout", "Task.StartTimeout"));
    assert!(unreachable("x", "States.Runtime"));
    for (first, second) in [
        ("ECS.AmazonECSException", "States.TaskFailed"),
        ("States.TaskFailed", "States.Timeout"),
        ("States.TaskFailed", "Task.StartTimeout"),
        ("States.TaskFailed", "Tenacron.LaunchUnknown"),
        ("States.TaskFailed", "States.ALL"),
        ("ECS.AmazonECSException", "Task.Capacity"),
    ] {
        assert_eq!(names(first, second), [""; 0], "{first}, {second}");
    }
}

#[test]
fn names_of_ecs_and_of_ours_are_known_and_others_pass() {
    for known in ["ECS.ServerException", "ECS.Throttled", "Task.ExitCode.137", "Task.ExitCode.-1", "Custom.Name", "x"] {
        assert_eq!(of_job(&format!("retry = [{{ error_equals = ['{known}'] }}]")), [""; 0], "{known}");
    }
    let meant = |text: &str| {
        let loaded = main_file(&job_with(&format!("retry = [{{ error_equals = ['{text}'] }}]"))).load();
        loaded.findings[0].help.as_deref().and_then(|help| help.split('"').nth(1)).unwrap_or_default().to_owned()
    };
    assert_eq!(meant("State.ALL"), "States.ALL");
    assert_eq!(meant("States.Taskfailed"), "States.TaskFailed");
    assert_eq!(meant("Ecs.ServerException"), "ECS.ServerException");
    assert_eq!(meant("AmazonECS.ServerException"), "ECS.ServerException");
    assert_eq!(meant("ECS.ThrottlingException"), "ECS.Throttled");
    assert_eq!(meant("Task.ImagePul"), "Task.ImagePull");
}

#[test]
fn what_is_defined_twice_is_found_across_files() {
    let job = "[jobs.b]\nschedule = '@daily'\ntask_definition = 't'\n";
    let local = "[local.task_definitions.t]\ncontainers = [{ name = 'c', command = ['x'] }]\n";
    let (one, two) = (format!("{job}{local}"), format!("{local}{job}"));
    let folder = Folder::with(&[("main.toml", &job_with("")), ("jobs.d/1.toml", &one), ("jobs.d/2.toml", &two)]);
    assert_eq!(folder.findings(), ["duplicate-task-definition jobs.d/2.toml:1:25", "duplicate-job jobs.d/2.toml:3:7",]);
    let lines = |finding: &Finding| finding.also.map(|(spot, _)| (spot.line, spot.column));
    assert_eq!(folder.load().findings.iter().map(lines).collect::<Vec<_>>(), [Some((4, 25)), Some((1, 7))]);
}

#[test]
fn what_is_there_twice_in_one_file_names_both_places() {
    let places = |keys: &str| {
        let findings = main_file(&job_with(keys)).load().findings;
        let first = |finding: &Finding| finding.also.map(|(spot, _)| (spot.line, spot.column));
        findings
            .iter()
            .map(|finding| (finding.line.unwrap(), finding.column.unwrap(), first(finding)))
            .collect::<Vec<_>>()
    };
    assert_eq!(places("group = 'g'\ngroup = 'h'"), [(9, 1, Some((8, 1)))]);
    assert_eq!(places("tags = { a = '1', b = '2', a = '3' }"), [(8, 28, Some((8, 10)))]);
    assert_eq!(places("[[jobs.a.container]]\nname = 'c'\nname = 'd'"), [(10, 1, Some((9, 1)))]);
    assert_eq!(places("[jobs.a.tags]\n[jobs.a.tags]"), [(9, 9, Some((8, 9)))]);
    assert_eq!(places("[jobs.a]\nschedule = 'x'\n[jobs.a]"), [(8, 7, Some((5, 7))), (10, 7, Some((5, 7)))]);
}

#[test]
fn all_mistakes_of_all_files_come_at_once() {
    let folder = Folder::with(&[
        ("main.toml", "instance = 'i'\n[defaults]\ncluster = 3\n[jobs.a]\nschedule = 'x'\ntask_definition = \n"),
        ("jobs.d/1.toml", "[jobs.b]\ntimeot = '1h'\n[ecs]\nregion = 'x'\n"),
        ("jobs.d/2.toml", "[jobs.c\nschedule = '@daily'\n[jobs.d]\nschedule = 'rate(1 hour)\n"),
    ]);
    let found = folder.findings();
    let errors: Vec<&str> = found.iter().map(String::as_str).filter(|line| !line.starts_with("no-timeout")).collect();
    assert_eq!(
        errors,
        [
            "wrong-type main.toml:3:11",
            "bad-schedule main.toml:5:13",
            "syntax main.toml:6:19",
            "unknown-key jobs.d/1.toml:2:1",
            "misplaced-table jobs.d/1.toml:3:2",
            "syntax jobs.d/2.toml:1:8",
            "syntax jobs.d/2.toml:4:25",
        ]
    );
    assert!(folder.load().config.is_none());
}
