//! What loads, and what it becomes.

use std::time::Duration;

use crate::engine::exit_codes::ExitCodes;
use crate::engine::failure::ErrorName;
use crate::engine::job::{Capacity, Catchup, Definition, OnUnknown, Overlap, Success};
use crate::engine::retry::{Jitter, RetryPolicy};
use crate::engine::schedule::Gap;
use crate::local::Outcome;

use super::*;

/// `design.md` §5, whole.
const EXAMPLE: &str = include_str!("../../../tests/fixtures/config/design.toml");

fn job(config: &Config, name: &str) -> Job {
    Job::clone(config.jobs.get(&JobName::new(name).unwrap()).unwrap())
}

fn definition(text: &str) -> Definition {
    job(&clean(text), "a").definition.as_ref().clone()
}

#[test]
fn the_example_of_the_design_loads_whole() {
    let config = clean(EXAMPLE);
    assert_eq!(config.instance.as_str(), "prod");
    assert_eq!(config.state.as_deref(), Some(Path::new("/var/lib/tenacron/state.db")));
    assert_eq!(config.control_socket.as_deref(), Some(Path::new("/run/tenacron/control.sock")));
    assert_eq!(config.http.listen, "127.0.0.1:8474".parse().ok());
    assert_eq!(config.ecs, EcsSettings { region: Some("eu-central-1".into()), ..EcsSettings::default() });
    assert_eq!(config.local.len(), 1);
    assert_eq!(config.local[0].containers[0].command, ["sh", "-c", "echo Hello from $PARAM"]);
    let hello = job(&config, "hello");
    assert_eq!(hello.schedule.text(), "rate(15 minutes)");
    assert_eq!(hello.definition.task.capacity, Capacity::LaunchType("FARGATE".into()));
    assert_eq!(hello.definition.task.network.as_ref().unwrap().subnets, ["subnet-1"]);
    assert_eq!(hello.definition.task.containers[0].environment["PARAM"], "tenacron");
    assert_eq!(hello.definition.limits.attempt_timeout, Some(Duration::from_secs(600)));
    assert_eq!(hello.definition.retry.retriers().len(), 1);
}

#[test]
fn an_address_of_elsewhere_is_listened_on_with_a_token_of_either_kind() {
    let folder = main_file(&format!(
        "http = {{ listen = '[::]:80', read_token_file = 'readers', hosts = ['A.example'] }}\n{}",
        job_with("")
    ));
    let loaded = folder.load();
    assert!(loaded.findings.is_empty(), "{}", loaded.render(false));
    let http = loaded.config.unwrap().http;
    assert_eq!((http.hosts.as_slice(), http.asks_for_tokens()), (["a.example".to_owned()].as_slice(), true));
    assert_eq!((http.token_file, http.read_token_file), (None, Some(TokenFile::Path(folder.path("readers")))));
    let config = clean(&format!("http.token_file = 'credential:full'\n{}", job_with("")));
    assert_eq!(config.http.token_file, Some(TokenFile::Credential("full".into())));
    assert!(!clean(&format!("http.listen = '127.0.0.1:80'\n{}", job_with(""))).http.asks_for_tokens());
}

#[test]
fn a_job_with_no_more_than_it_needs_has_the_documented_defaults() {
    let config = clean(&job_with(""));
    let job = job(&config, "a");
    assert_eq!(job.schedule.zone(), chrono_tz::Tz::UTC);
    assert_eq!((job.admission.overlap, job.admission.catchup), (Overlap::Skip, Catchup::Last));
    assert_eq!(job.admission.catchup_window, Duration::from_secs(3600));
    let Definition { task, retry, limits, success, accept_stop_codes, exit_codes, on_unknown, log_tail, notify } =
        job.definition.as_ref();
    assert_eq!((*retry == RetryPolicy::default(), *success, *on_unknown), (true, Success::Essential, OnUnknown::Fail));
    assert_eq!((limits.timeout, limits.attempt_timeout), (Some(Duration::from_secs(3600)), None));
    assert!(notify.is_empty());
    assert_eq!((*log_tail, config.ecs.events_queue.as_deref()), (0, None));
    assert!(
        accept_stop_codes.is_empty() && exit_codes.is_empty() && task.containers.is_empty() && task.tags.is_empty()
    );
    assert_eq!((&task.capacity, &task.network, &task.group), (&Capacity::ClusterDefault, &None, &None));
    assert_eq!((task.add_tags, task.add_environment, task.enable_ecs_managed_tags), (true, true, false));
    assert_eq!((config.ecs, config.state, config.http), (EcsSettings::default(), None, HttpSettings::default()));
}

#[test]
fn a_key_of_a_job_replaces_the_whole_default() {
    let text = format!(
        "{AROUND}tags = {{ a = '1', b = '2' }}\ntimezone = 'Europe/Berlin'\ndst_gap = 'skip'\n\
         [jobs.a]\nschedule = ['0 2 * * *', '@hourly']\ntask_definition = 't'\ntags = {{ c = '3' }}\ncluster = 'other'\n"
    );
    let job = job(&clean(&text), "a");
    assert_eq!(job.definition.task.tags.keys().collect::<Vec<_>>(), ["c"]);
    assert_eq!((job.definition.task.cluster.as_str(), job.schedule.zone().name()), ("other", "Europe/Berlin"));
    assert_eq!((job.schedule.dst().gap, job.schedule.expressions().len()), (Gap::Skip, 2));
}

#[test]
fn a_strategy_of_the_job_replaces_a_launch_type_of_the_defaults_and_the_other_way_round() {
    let spot = "capacity_provider_strategy = [{ capacity_provider = 'FARGATE_SPOT' }]";
    let rest = "[jobs.a]\nschedule = '@daily'\ntask_definition = 't'\nnetwork = { subnets = ['s'] }\n";
    let strategy = definition(&format!("{AROUND}launch_type = 'FARGATE'\n{rest}{spot}\n")).task.capacity;
    assert!(matches!(strategy, Capacity::Strategy(items) if items[0].capacity_provider == "FARGATE_SPOT"));
    let launch_type = definition(&format!("{AROUND}{spot}\n{rest}launch_type = 'EC2'\n")).task.capacity;
    assert_eq!(launch_type, Capacity::LaunchType("EC2".into()));
}

#[test]
fn retriers_have_the_defaults_of_the_states_language() {
    let retry = definition(&job_with("retry = [{ error_equals = ['States.Timeout'], backoff_rate = 3 }]")).retry;
    let retrier = &retry.retriers()[0];
    assert_eq!(retrier.error_equals, [ErrorName::TIMEOUT]);
    assert_eq!((retrier.interval_seconds, retrier.max_attempts, retrier.max_delay_seconds), (1, 3, None));
    assert_eq!((retrier.backoff_rate, retrier.jitter_strategy), (3.0, Jitter::None));
    assert!(
        definition(&job_with("retry = []")).retry.retriers().is_empty(),
        "an empty list is no retry, not the default"
    );
    let plain = definition(&job_with("[[jobs.a.retry]]\nerror_equals = ['Mine']")).retry;
    assert!((plain.retriers()[0].backoff_rate - 2.0).abs() < f64::EPSILON);
}

#[test]
fn every_field_of_run_task_arrives() {
    let task = definition(&job_with(
        "platform_version = '1.4.0'\ngroup = 'g'\npropagate_tags = 'TASK_DEFINITION'\nenable_ecs_managed_tags = true\n\
         enable_execute_command = true\nadd_tags = false\nadd_environment = false\n\
         overrides = { cpu = '1 vCPU', memory = '2 GB', task_role_arn = 'r', execution_role_arn = 'e', \
         ephemeral_storage = { size_in_gib = 200 } }\n\
         container = [{ name = 'c', command = ['a', ''], cpu = 1, memory = 3, memory_reservation = 2 }]",
    ))
    .task;
    assert_eq!((task.platform_version.as_deref(), task.group.as_deref()), (Some("1.4.0"), Some("g")));
    assert_eq!(
        (task.propagate_tags.as_deref(), task.add_tags, task.add_environment),
        (Some("TASK_DEFINITION"), false, false)
    );
    assert!(task.enable_ecs_managed_tags && task.enable_execute_command);
    assert_eq!((task.overrides.cpu.as_deref(), task.overrides.ephemeral_storage_gib), (Some("1 vCPU"), Some(200)));
    let container = &task.containers[0];
    assert_eq!((container.cpu, container.memory, container.memory_reservation), (Some(1), Some(3), Some(2)));
    assert_eq!(container.command.as_deref(), Some(["a".to_owned(), String::new()].as_slice()));
}

#[test]
fn relative_paths_are_meant_from_the_folder_of_the_file() {
    let folder = main_file(&format!("state.url = 'sqlite://db/s.db'\ncontrol.socket = 'c.sock'\n{}", job_with("")));
    let config = folder.load().config.unwrap();
    assert_eq!(config.state, Some(folder.path("db/s.db")));
    assert_eq!(config.control_socket, Some(folder.path("c.sock")));
}

#[test]
fn what_is_kept_is_an_age_or_for_ever_and_a_number() {
    let kept = |text: &str| clean(&format!("{text}\n{}", job_with(""))).retention;
    let days = |days: u64| Some(Duration::from_secs(days * 86_400));
    assert_eq!(kept(""), Retention { max_age: days(400), max_runs: None });
    assert_eq!(kept("retention.max_age = '90d'"), Retention { max_age: days(90), max_runs: None });
    let both = "retention = { max_age = 'forever', max_runs_per_job = 7 }";
    assert_eq!(kept(both), Retention { max_age: None, max_runs: Some(7) });
}

#[test]
fn exit_codes_are_read_and_a_jobs_own_replace_the_defaults() {
    let read = definition(&job_with("exit_codes = { succeed = [0, 3], skip = [99], fail = [64, 65], retry = [75] }"))
        .exit_codes;
    let read = ExitCodes::clone(&read);
    assert_eq!((read.succeed, read.skip, read.fail), ([0, 3].into(), [99].into(), [64, 65].into()));
    assert_eq!(read.retry, Some([75].into()));
    let defaults = format!("{AROUND}exit_codes = {{ succeed = [3], retry = [] }}\n");
    let of = |keys: &str| {
        let job = format!("{defaults}[jobs.a]\nschedule = '@daily'\ntask_definition = 't'\n{keys}\n");
        ExitCodes::clone(&definition(&job).exit_codes)
    };
    assert_eq!(
        (of("").retry, of("").succeed),
        (Some([].into()), [3].into()),
        "an empty list lets no code be tried again"
    );
    let own = of("exit_codes = { skip = [1] }");
    assert_eq!((own.retry, own.succeed, own.skip), (None, [].into(), [1].into()));
}

#[test]
fn outcomes_of_the_local_endpoint_are_words_or_tables_of_one_key() {
    let config = clean(&format!(
        "{}[local.task_definitions.t]\ncontainers = [{{ name = 'c', command = ['x'], stop_timeout = '2s' }}]\n\
         outcomes = ['run', 'throttled', 'throttled_as_invalid_parameter', 'access_denied', 'server_exception', \
         'server_exception_after_create', 'connection_closed_before', 'connection_closed', {{ failure = 'RESOURCE:MEMORY' }}, \
         {{ failure_after_create = 'AGENT' }}, {{ task_failed_to_start = 'CannotPull' }}, {{ spot_interruption = '2s' }}, \
         {{ host_terminated = '3s' }}, {{ slow_answer = '5s' }}, {{ visible_after = '1m' }}, {{ refused = 'ServerException' }}, \
         {{ refused = {{ code = 'X', message = '', status = 503 }} }}, {{ failure = {{ reason = 'AGENT', detail = 'd' }} }}, \
         {{ partial_failure = {{ started = 1, reason = 'AGENT' }} }}, {{ stopped = {{ reason = 'r', after = '1s' }} }}, \
         {{ out_of_memory = '1s' }}, {{ forgotten = '1s' }}, {{ describe_throttled = 3 }}]\n",
        job_with("")
    ));
    let outcomes = &config.local[0].outcomes;
    assert_eq!(config.local[0].containers[0].stop_timeout, Duration::from_secs(2));
    assert_eq!(outcomes.len(), 23);
    let server = "Service Unavailable. Please try again later.".to_owned();
    assert_eq!(outcomes[15], Outcome::Refused { code: "ServerException".into(), message: server, status: 500 });
    assert_eq!(outcomes[16], Outcome::Refused { code: "X".into(), message: String::new(), status: 503 });
    assert_eq!(outcomes[17], Outcome::Failure { reason: "AGENT".into(), detail: Some("d".into()) });
    let after = Duration::from_secs(1);
    assert_eq!(outcomes[19], Outcome::Stopped { stop_code: None, reason: "r".into(), after });
    assert_eq!(outcomes[22], Outcome::DescribeThrottled(3));
    assert_eq!(outcomes[1], Outcome::Throttled);
    assert_eq!(outcomes[8], Outcome::Failure { reason: "RESOURCE:MEMORY".into(), detail: None });
    assert_eq!(outcomes[11], Outcome::SpotInterruption { after: Duration::from_secs(2) });
    assert_eq!(outcomes[14], Outcome::VisibleAfter(Duration::from_secs(60)));
}

#[test]
fn files_of_the_folder_are_read_beside_the_main_file() {
    let job = |name: &str| format!("[jobs.{name}]\nschedule = '@daily'\ntask_definition = 't'\n");
    let (a, b, c) = (job("a"), job("b"), job("c"));
    let folder = Folder::with(&[
        ("main.toml", AROUND),
        ("jobs.d/b.toml", &b),
        ("jobs.d/a.toml", &a),
        ("jobs.d/.hidden.toml", "not TOML"),
        ("jobs.d/c.toml~", &c),
        ("jobs.d/sub/c.toml", &c),
    ]);
    let config = folder.load().config.unwrap();
    assert_eq!(config.jobs.keys().map(JobName::as_str).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn the_shipped_files_load_without_a_finding() {
    let loaded = load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config/tenacron.toml")));
    assert!(loaded.findings.is_empty(), "{}", loaded.render(false));
    let config = loaded.config.unwrap();
    let names = ["flaky", "hello", "throttled"];
    assert_eq!(config.jobs.keys().map(JobName::as_str).collect::<Vec<_>>(), names);
    for (name, local) in names.iter().zip(&config.local) {
        let task = job(&config, name).definition.task.clone();
        assert_eq!(task.task_definition, local.family);
        assert_eq!(task.containers[0].name, local.containers[0].name);
    }
    assert_eq!(job(&config, "flaky").definition.retry, RetryPolicy::default(), "the shipped retriers are the default");
    let throttled = config.local.iter().find(|definition| definition.family == "throttled").unwrap();
    assert_eq!(throttled.outcomes, [Outcome::Throttled]);
}

/// An unknown key is answered with the accepted ones, so each table can be asked for its own.
#[test]
fn the_shipped_file_names_every_key() {
    let shipped = include_str!("../../../config/tenacron.toml");
    let text = "zz = 1\n[state]\nzz = 1\n[control]\nzz = 1\n[http]\nzz = 1\n[ecs]\nzz = 1\n[local]\nzz = 1\n\
         [local.task_definitions.t]\nzz = 1\ncontainers = [{ zz = 1 }]\noutcomes = []\n\
         [defaults]\nzz = 1\n[jobs.a]\nzz = 1\nnetwork = { zz = 1 }\noverrides = { zz = 1, ephemeral_storage = { zz = 1 } }\n\
         container = [{ zz = 1, environment_files = [{ zz = 1 }], resource_requirements = [{ zz = 1 }] }]\n\
         placement_constraints = [{ zz = 1 }]\nplacement_strategy = [{ zz = 1 }]\n\
         volume_configurations = [{ zz = 1, managed_ebs_volume = { zz = 1, tag_specifications = [{ zz = 1 }], \
         termination_policy = { zz = 1 } } }]\nretry = [{ zz = 1 }]\ncapacity_provider_strategy = [{ zz = 1 }]\n";
    let loaded = main_file(text).load();
    let lists = loaded.findings.iter().filter_map(|finding| finding.help.as_deref()?.strip_prefix("accepted here: "));
    let keys: Vec<&str> = lists.flat_map(|list| list.split(", ")).collect();
    assert!(keys.len() > 115, "{keys:?}");
    for key in keys {
        assert!(shipped.contains(key), "config/tenacron.toml does not name {key}");
    }
    let page = include_str!("../../../docs/tasks.md");
    let of_task = |finding: &&Finding| finding.message.starts_with("jobs.a.") && !finding.message.contains(".retry[");
    let lists = loaded.findings.iter().filter(of_task).filter_map(|finding| finding.help.as_deref());
    let keys: Vec<&str> =
        lists.filter_map(|help| help.strip_prefix("accepted here: ")).flat_map(|list| list.split(", ")).collect();
    assert!(keys.len() > 40, "{keys:?}");
    for key in keys {
        assert!(page.contains(key), "docs/tasks.md does not name {key}");
    }
}

#[test]
fn a_finding_serialises_to_six_members() {
    let loaded = main_file("[jobs.a]\nschedul = 1\n").load();
    let finding = serde_json::to_value(&loaded.findings[0]).unwrap();
    let members: Vec<&String> = finding.as_object().unwrap().keys().collect();
    assert_eq!(members, ["code", "column", "file", "level", "line", "message"]);
    assert_eq!((&finding["level"], &finding["line"]), (&"error".into(), &1.into()));
}

#[test]
fn ends_and_exceptions_are_read_as_dates_and_as_text() {
    let text = "\
start_at = 2026-12-01
end_at = 2026-12-31T10:00:00
except = [2026-12-25, '2026-12-28..2026-12-30', 'cron(0 0 ? * SUN *)']
timezone = 'Europe/Berlin'
[jobs.b]
schedule = 'rate(1 day)'
task_definition = 't'
start_at = '2026-12-01T00:00:00Z'
[jobs.c]
schedule = '@daily'
task_definition = 't'
except = []
[jobs.d]
schedule = '@daily'
task_definition = 't'
end_at = 2026-12-31 23:00:00+01:00";
    let config = clean(&job_with(text).replace("[jobs.a]", "except = '2026-12-24'\n[jobs.a]"));
    let identity = |name| job(&config, name).schedule.identity();
    assert_eq!(
        identity("a"),
        "@daily in Europe/Berlin, gap After, overlap First, start 2026-11-30T23:00:00Z, end 2026-12-31T09:00:00Z, except \
         2026-12-25; 2026-12-28..2026-12-30; cron(0 0 ? * SUN *)"
    );
    assert_eq!(
        identity("b"),
        "rate(1 day) in UTC, gap After, overlap First, start 2026-12-01T00:00:00Z, except 2026-12-24"
    );
    assert_eq!(identity("c"), "@daily in UTC, gap After, overlap First");
    assert_eq!(identity("d"), "@daily in UTC, gap After, overlap First, end 2026-12-31T22:00:00Z, except 2026-12-24");
}
