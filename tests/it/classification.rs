//! Every outcome of the table in `docs/failures.md`, made by the local endpoint, through the real SDK and the real binary, to
//! its names, its retrier, its wait, its hint and its end.
//!
//! Two rows take longer than a test may: `Task.Lost` needs five minutes and `Tenacron.LaunchUnknown` 45. The engine's own
//! tests have them, on a clock of their own (`engine/run/tests/following.rs`, `lookup.rs`).

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::harness::{Process, SETTINGS, Site, aws};

/// A job whose first attempt fails so, and whose second one succeeds.
struct Row {
    job: &'static str,
    /// What the endpoint does with the first launch.
    outcome: &'static str,
    /// What the first task runs.
    first: &'static str,
    /// Further keys of the job.
    keys: &'static str,
    names: &'static [&'static str],
    /// Whether a run that is not retried ends at once: nothing of it may show up later.
    is_definite: bool,
}

const HANGS: &str = "exec sleep 60";
const NEVER: &str = "exit 1";

/// RunTask refuses.
const fn refused(job: &'static str, outcome: &'static str, names: &'static [&'static str]) -> Row {
    Row { job, outcome, first: NEVER, keys: "", names, is_definite: true }
}

/// Nobody may know yet whether a task runs.
const fn open(job: &'static str, outcome: &'static str, names: &'static [&'static str]) -> Row {
    // The same launch may be sent again, and its task is then of the first generation.
    Row { is_definite: false, first: "exit 0", ..refused(job, outcome, names) }
}

/// The task is taken away while it runs, or never comes up.
const fn taken(job: &'static str, outcome: &'static str, names: &'static [&'static str]) -> Row {
    Row { first: HANGS, ..refused(job, outcome, names) }
}

/// The program ends by itself.
const fn ended(job: &'static str, first: &'static str, names: &'static [&'static str]) -> Row {
    Row { first, ..refused(job, "\"run\"", names) }
}

const BASE: &str = "ECS.AmazonECSException";
const FAILED: &str = "States.TaskFailed";

const ROWS: [Row; 61] = [
    refused("throttled", "\"throttled\"", &["ECS.Throttled", BASE]),
    refused(
        "disguised",
        "\"throttled_as_invalid_parameter\"",
        &["ECS.Throttled", "ECS.InvalidParameterException", BASE],
    ),
    refused(
        "disguised-ec2",
        "{ refused = { code = \"InvalidParameterException\", message = \"Error retrieving security group information for [sg-1]: Request limit exceeded. (ErrorCode: RequestLimitExceeded)\" } }",
        &["ECS.Throttled", "ECS.InvalidParameterException", BASE],
    ),
    refused("http-429", "{ refused = { code = \"SlowDown\", status = 429 } }", &["ECS.Throttled", BASE]),
    refused("denied", "\"access_denied\"", &["ECS.AccessDeniedException", BASE]),
    refused("blocked", "{ refused = \"BlockedException\" }", &["ECS.BlockedException", BASE]),
    refused("client", "{ refused = \"ClientException\" }", &["ECS.ClientException", BASE]),
    refused(
        "quota",
        "{ refused = { code = \"ClientException\", message = \"You've reached the limit on the number of vCPUs you can run concurrently\" } }",
        &["Task.Capacity", "ECS.ClientException", BASE],
    ),
    refused(
        "provisioning",
        "{ refused = { code = \"ClientException\", message = \"The quota of tasks in PROVISIONING per cluster has been reached\" } }",
        &["Task.Capacity", "ECS.ClientException", BASE],
    ),
    refused("cluster", "{ refused = \"ClusterNotFoundException\" }", &["ECS.ClusterNotFoundException", BASE]),
    refused("invalid", "{ refused = \"InvalidParameterException\" }", &["ECS.InvalidParameterException", BASE]),
    refused("platform", "{ refused = \"PlatformUnknownException\" }", &["ECS.PlatformUnknownException", BASE]),
    refused(
        "incompatible",
        "{ refused = \"PlatformTaskDefinitionIncompatibilityException\" }",
        &["ECS.PlatformTaskDefinitionIncompatibilityException", BASE],
    ),
    refused("unsupported", "{ refused = \"UnsupportedFeatureException\" }", &["ECS.UnsupportedFeatureException", BASE]),
    refused("expired", "{ refused = \"ExpiredTokenException\" }", &[BASE]),
    refused("future-code", "{ refused = { code = \"SomethingNewException\", message = \"who knows\" } }", &[BASE]),
    open("conflict", "{ refused = \"ConflictException\" }", &["ECS.ConflictException", BASE]),
    open("server", "\"server_exception\"", &["ECS.ServerException", BASE]),
    open("unavailable", "{ refused = { code = \"ServiceUnavailable\", status = 503 } }", &[BASE]),
    open("no-answer", "\"connection_closed_before\"", &["ECS.SdkClientException", BASE]),
    open("no-cpu", "{ failure = \"RESOURCE:CPU\" }", &["Task.Placement", "AmazonECS.Unknown", BASE]),
    open(
        "no-memory",
        "{ failure = { reason = \"RESOURCE:MEMORY\", detail = \"needs 4096\" } }",
        &["Task.Placement", "AmazonECS.Unknown", BASE],
    ),
    open("no-ports", "{ failure = \"RESOURCE:PORTS\" }", &["Task.Placement", "AmazonECS.Unknown", BASE]),
    open("no-eni", "{ failure = \"RESOURCE:ENI\" }", &["Task.Placement", "AmazonECS.Unknown", BASE]),
    open("no-gpu", "{ failure = \"RESOURCE:GPU\" }", &["Task.Placement", "AmazonECS.Unknown", BASE]),
    open("agent", "{ failure = \"AGENT\" }", &["Task.Placement", "AmazonECS.Unknown", BASE]),
    open("attribute", "{ failure = \"ATTRIBUTE\" }", &["Task.Placement", "AmazonECS.Unknown", BASE]),
    open("location", "{ failure = \"LOCATION\" }", &["Task.Placement", "AmazonECS.Unknown", BASE]),
    open(
        "member-of",
        "{ failure = \"MemberOf placement constraint unsatisfied.\" }",
        &["Task.Placement", "AmazonECS.Unknown", BASE],
    ),
    open(
        "capacity",
        "{ failure = \"Capacity is unavailable at this time. Please try again later or in a different availability zone\" }",
        &["Task.Capacity", "AmazonECS.Unknown", BASE],
    ),
    open(
        "task-limit",
        "{ failure = \"You've reached the limit on the number of tasks you can run concurrently\" }",
        &["Task.Capacity", "AmazonECS.Unknown", BASE],
    ),
    taken("image", "{ task_failed_to_start = \"CannotPullContainerError: not found\" }", &["Task.ImagePull", FAILED]),
    taken(
        "secrets",
        "{ task_failed_to_start = \"ResourceInitializationError: unable to pull secrets or registry auth\" }",
        &["Task.ResourceInit", FAILED],
    ),
    taken(
        "eni",
        "{ task_failed_to_start = \"Timeout waiting for network interface provisioning to complete.\" }",
        &["Task.Eni", FAILED],
    ),
    taken(
        "addresses",
        "{ task_failed_to_start = \"Unexpected EC2 error while attempting to Create Network Interface in subnet 'subnet-1': InsufficientFreeAddressesInSubnet\" }",
        &["Task.Eni", FAILED],
    ),
    taken("start", "{ task_failed_to_start = \"CannotStartContainerError: exec\" }", &["Task.ContainerStart", FAILED]),
    taken("create", "{ task_failed_to_start = \"CannotCreateContainerError: x\" }", &["Task.ContainerStart", FAILED]),
    taken("inspect", "{ task_failed_to_start = \"CannotInspectContainerError: x\" }", &["Task.ContainerStart", FAILED]),
    taken(
        "runtime",
        "{ task_failed_to_start = \"ContainerRuntimeTimeoutError: Could not transition to running; timed out after waiting 1m\" }",
        &["Task.ContainerStart", FAILED],
    ),
    taken(
        "late-memory",
        "{ task_failed_to_start = \"TaskFailedToStart: RESOURCE:MEMORY\" }",
        &["Task.Placement", FAILED],
    ),
    taken("late-agent", "{ task_failed_to_start = \"TaskFailedToStart: AGENT\" }", &["Task.Placement", FAILED]),
    taken("late-attribute", "{ task_failed_to_start = \"TaskFailedToStart: ATTRIBUTE\" }", &["Task.Placement", FAILED]),
    taken(
        "late-member-of",
        "{ task_failed_to_start = \"TaskFailedToStart: MemberOf placement constraint unsatisfied\" }",
        &["Task.Placement", FAILED],
    ),
    taken(
        "late-inactive",
        "{ task_failed_to_start = \"TaskFailedToStart: NO ACTIVE INSTANCES\" }",
        &["Task.Placement", FAILED],
    ),
    taken(
        "late-empty",
        "{ task_failed_to_start = \"TaskFailedToStart: EMPTY CAPACITY PROVIDER\" }",
        &["Task.Placement", FAILED],
    ),
    taken(
        "late-capacity",
        "{ task_failed_to_start = \"Capacity is unavailable at this time\" }",
        &["Task.Capacity", FAILED],
    ),
    taken("unknown-start", "{ task_failed_to_start = \"Task failed to start\" }", &[FAILED]),
    taken("spot", "{ spot_interruption = \"200ms\" }", &["Task.ExitCode.143", "Task.SpotInterruption", FAILED]),
    taken(
        "spot-notice",
        "{ stopped = { stop_code = \"TerminationNotice\", reason = \"Your Spot Task was interrupted.\", after = \"200ms\" } }",
        &["Task.ExitCode.143", "Task.SpotInterruption", FAILED],
    ),
    taken("host", "{ host_terminated = \"200ms\" }", &["Task.Infrastructure", FAILED]),
    taken(
        "retired",
        "{ stopped = { stop_code = \"TerminationNotice\", reason = \"ECS is performing maintenance on the underlying infrastructure hosting the task\", after = \"200ms\" } }",
        &["Task.ExitCode.143", "Task.Infrastructure", FAILED],
    ),
    taken(
        "unhealthy-host",
        "{ stopped = { stop_code = \"InfrastructureHealth\", reason = \"x\", after = \"200ms\" } }",
        &["Task.ExitCode.143", "Task.Infrastructure", FAILED],
    ),
    taken(
        "by-user",
        "{ stopped = { stop_code = \"UserInitiated\", reason = \"Task stopped by user\", after = \"200ms\" } }",
        &["Task.ExitCode.143", "Task.Stopped", FAILED],
    ),
    taken(
        "by-service",
        "{ stopped = { stop_code = \"ServiceSchedulerInitiated\", reason = \"Scaling activity initiated by x\", after = \"200ms\" } }",
        &["Task.ExitCode.143", "Task.Stopped", FAILED],
    ),
    Row {
        // A stop code that nobody knows yet is no success, whatever the container managed to return. It is given time to set
        // its trap, also on a busy machine; so are the limits below for the attempt that must keep them.
        first: "trap 'exit 0' TERM; while :; do sleep 0.05; done",
        ..taken(
            "future-stop",
            "{ stopped = { stop_code = \"SomethingNew\", reason = \"who knows\", after = \"3s\" } }",
            &["Task.Stopped", FAILED],
        )
    },
    taken("memory", "{ out_of_memory = \"200ms\" }", &["Task.ExitCode.137", "Task.OutOfMemory", FAILED]),
    ended("exit-1", "exit 1", &["Task.ExitCode.1", FAILED]),
    ended("exit-127", "exec no-such-command", &["Task.ExitCode.127", FAILED]),
    ended("killed", "kill -KILL $$", &["Task.ExitCode.137", FAILED]),
    Row { keys: "attempt_timeout = \"5s\"", ..taken("hangs", "\"run\"", &["States.Timeout"]) },
    Row {
        keys: "start_timeout = \"5s\"",
        ..taken("never-up", "{ slow_start = \"10m\" }", &["Task.StartTimeout", "States.Timeout"])
    },
];

/// What ECS refuses is retried after one second, what ran and failed after two, what took too long after three.
const POLICY: &str = r#"retry = [
  { error_equals = ["ECS.AmazonECSException"], interval_seconds = 1, max_attempts = 1 },
  { error_equals = ["States.TaskFailed"], interval_seconds = 2, max_attempts = 1 },
  { error_equals = ["States.Timeout"], interval_seconds = 3, max_attempts = 1 },
]"#;

/// A job that is only ever triggered, and what its launches meet.
fn job(name: &str, keys: &str, outcome: &str, script: &str) -> String {
    let script = serde_json::to_string(script).expect("a string of JSON is one of TOML");
    format!(
        "[jobs.{name}]\nschedule = \"@yearly\"\ntask_definition = \"{name}\"\ncontainer = [{{ name = \"app\" }}]\n{keys}\n\
         [local.task_definitions.{name}]\ncontainers = [{{ name = \"app\", command = [\"sh\", \"-c\", {script}] }}]\n\
         outcomes = [{outcome}]\n"
    )
}

impl Row {
    fn jobs(&self) -> String {
        let retried = format!("test \"$TENACRON_ATTEMPT\" = 1 || exit 0; {}", self.first);
        let once = format!("{}\n{POLICY}", self.keys);
        let mut text = job(self.job, &once, self.outcome, &retried);
        if self.is_definite {
            let never = format!("{}\nretry = []", self.keys);
            text.push_str(&job(&format!("{}-final", self.job), &never, self.outcome, self.first));
        }
        text
    }

    fn retrier(&self) -> (u64, f64) {
        match self.names.last() {
            Some(&BASE) => (0, 1.0),
            Some(&FAILED) => (1, 2.0),
            other => {
                assert_eq!(other, Some(&"States.Timeout"));
                (2, 3.0)
            }
        }
    }

    /// What Step Functions would report: the name that is not ours, of ECS or of ASL.
    fn primary(&self) -> &str {
        let is_theirs = |name: &&&str| !name.starts_with("Task.") && **name != "ECS.Throttled";
        self.names.iter().find(is_theirs).expect("a name")
    }
}

/// Triggers every job, and gives the run of each as it is when all are over.
fn play(site: &Site, daemon: &Process, jobs: &[&str]) -> BTreeMap<String, Value> {
    let runs: BTreeMap<String, String> = jobs
        .iter()
        .map(|job| ((*job).to_owned(), site.json(&["trigger", job])["run"].as_str().expect("a run").to_owned()))
        .collect();
    let mut living: BTreeSet<&str> = runs.values().map(String::as_str).collect();
    let ends = ["run succeeded", "run failed", "run timed out", "run skipped"];
    while !living.is_empty() {
        let is_end = |line: &Value| line["message"].as_str().is_some_and(|message| ends.contains(&message));
        let line = daemon.wait_for(&format!("the ends of {living:?}"), is_end);
        living.remove(line["run"].as_str().expect("a run"));
        if line["message"] == "run failed" && line["cause"].as_str().is_some_and(|cause| !cause.contains("who knows")) {
            assert!(line["hint"].is_string(), "the log line has advice: {line}");
        }
    }
    runs.into_iter().map(|(job, run)| (job, site.json(&["show", &run]))).collect()
}

#[test]
fn every_outcome_has_its_names_its_wait_and_its_end() {
    let config: String = ROWS.iter().map(Row::jobs).collect();
    let site = Site::new(&format!("{SETTINGS}\n{config}"));
    let (endpoint, url) = site.endpoint();
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    let finals: Vec<String> =
        ROWS.iter().filter(|row| row.is_definite).map(|row| format!("{}-final", row.job)).collect();
    let jobs: Vec<&str> = ROWS.iter().map(|row| row.job).chain(finals.iter().map(String::as_str)).collect();
    let runs = play(&site, &daemon, &jobs);
    for row in &ROWS {
        let run = &runs[row.job];
        let first = &run["attempt_list"][0];
        assert_eq!(first["error_names"], json!(row.names), "{}: {run:#}", row.job);
        let (retrier, delay) = row.retrier();
        assert_eq!((&first["retrier"], &first["retry_delay_seconds"]), (&json!(retrier), &json!(delay)), "{}", row.job);
        assert_eq!((&run["status"], &run["attempts"]), (&json!("succeeded"), &json!(2)), "{}: {run:#}", row.job);
        if row.job != "future-code" {
            assert!(first["hint"].is_string(), "{}: {first:#}", row.job);
        }
        assert_eq!((&run["error"], &run["hint"]), (&Value::Null, &Value::Null), "a success needs no advice");
        if !row.is_definite {
            continue;
        }
        let run = &runs[&format!("{}-final", row.job)];
        assert_eq!((&run["status"], &run["error"]), (&json!("failed"), &json!(row.primary())), "{}: {run:#}", row.job);
        assert_eq!((&run["attempts"], &run["hint"]), (&json!(1), &run["attempt_list"][0]["hint"]), "{}", row.job);
    }
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
    endpoint.end(Signal::TERM);
}

#[test]
fn exit_codes_decide_before_the_retriers() {
    let keys = format!("exit_codes = {{ succeed = [3], skip = [99], fail = [64], retry = [75] }}\n{POLICY}");
    let ended = |name: &str, script: &str| job(name, &keys, "\"run\"", script);
    let config = [
        ended("well", "exit 3"),
        ended("idle", "exit 99"),
        ended("hopeless", "exit 64"),
        ended("unlisted", "exit 1"),
        ended("hopeful", "test \"$TENACRON_ATTEMPT\" = 2 || exit 75"),
        job("taken", &keys, "{ spot_interruption = \"200ms\" }", "test \"$TENACRON_ATTEMPT\" = 2 || exec sleep 60"),
        job("unseen", &keys, "{ describe_throttled = 2 }", "exit 0"),
    ]
    .concat();
    let site = Site::new(&format!("{SETTINGS}\n{config}"));
    let (endpoint, url) = site.endpoint();
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    let runs = play(&site, &daemon, &["well", "idle", "hopeless", "unlisted", "hopeful", "taken", "unseen"]);
    let essence = |job: &str| {
        let run = &runs[job];
        json!([run["status"], run["attempts"], run["exit_code"], run["error"]])
    };
    assert_eq!(essence("well"), json!(["succeeded", 1, 3, null]));
    assert_eq!(essence("idle"), json!(["skipped", 1, 99, null]));
    assert_eq!(runs["idle"]["cause"], "container `app` exited with 99, which exit_codes.skip lists");
    assert_eq!(essence("hopeless"), json!(["failed", 1, 64, FAILED]));
    assert_eq!(essence("unlisted"), json!(["failed", 1, 1, FAILED]));
    assert_eq!(essence("hopeful"), json!(["succeeded", 2, 0, null]));
    assert_eq!(essence("taken"), json!(["succeeded", 2, 0, null]), "Spot is the retriers' affair");
    assert_eq!(essence("unseen"), json!(["succeeded", 1, 0, null]), "a throttled look fails no run");
    let events = runs["hopeless"]["events"].as_array().expect("events");
    let why = events.iter().find(|event| event["type"] == "RetryForbidden").expect("its history says why");
    assert_eq!(why["detail"]["reason"], "exit_codes.fail lists 64");
    let told = site.run(&["show", runs["hopeless"]["run"].as_str().expect("a run")]).stdout;
    assert!(told.contains("hint       the program itself says that it failed"), "{told}");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
    endpoint.end(Signal::TERM);
}
