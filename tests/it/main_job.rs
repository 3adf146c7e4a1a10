//! The main job, from TOML to a known result, through the real binary and the real SDK.

use rustix::process::Signal;
use serde_json::Value;

use super::harness::{SETTINGS, Site, aws};

fn runs_of<'a>(runs: &'a Value, job: &str) -> Vec<&'a Value> {
    runs.as_array().expect("a list").iter().filter(|run| run["job"] == job).collect()
}

#[test]
fn the_shipped_examples_run_on_a_machine_without_an_aws_account() {
    let site = Site::shipped();
    let daemon = site.daemon(&["run", "--local"]);
    let [hello, flaky, throttled] = daemon.wait_for_jobs(["hello", "flaky", "throttled"], "run succeeded");

    let shown = |line: &Value| site.json(&["show", line["run"].as_str().expect("a run")]);
    let hello = shown(&hello);
    assert_eq!(
        (&hello["status"], &hello["attempts"], &hello["exit_code"]),
        (&"succeeded".into(), &1.into(), &0.into())
    );

    let flaky = shown(&flaky);
    assert_eq!((&flaky["status"], &flaky["attempts"], &flaky["error"]), (&"succeeded".into(), &2.into(), &Value::Null));
    let first = &flaky["attempt_list"][0];
    assert_eq!(first["exit_code"], 1);
    assert_eq!(first["error_names"], serde_json::json!(["Task.ExitCode.1", "States.TaskFailed"]));
    assert_eq!((&first["retrier"], &first["retry_delay_seconds"]), (&1.into(), &3.0.into()));
    assert_eq!(first["containers"][0]["essential"], true);

    let throttled = shown(&throttled);
    let first = &throttled["attempt_list"][0];
    assert_eq!(first["error_names"], serde_json::json!(["ECS.Throttled", "ECS.AmazonECSException"]));
    assert_eq!((&first["retrier"], &first["retry_delay_seconds"]), (&0.into(), &10.0.into()));
    assert_eq!(throttled["attempt_list"][1]["generation"], 2, "a definite refusal ends a launch");
    let types: Vec<&str> =
        throttled["events"].as_array().expect("events").iter().filter_map(|e| e["type"].as_str()).collect();
    assert_eq!(types.first(), Some(&"ExecutionStarted"));
    assert_eq!(types.last(), Some(&"ExecutionSucceeded"));
    for expected in ["TaskScheduled", "TaskSubmitFailed", "RetryScheduled", "TaskSubmitted", "TaskSucceeded"] {
        assert!(types.contains(&expected), "{expected} is missing in {types:?}");
    }

    let table = site.run(&["runs"]);
    assert!(table.stdout.starts_with("RUN "), "{}", table.stdout);
    let before = site.json(&["runs", "-n", "1000"]);
    assert_eq!(daemon.end(Signal::INT).code(), Some(0), "Ctrl-C stops cleanly");

    let daemon = site.daemon(&["run", "--local"]);
    let after = site.json(&["runs", "-n", "1000"]);
    for run in before.as_array().expect("a list") {
        let again = after.as_array().expect("a list").iter().find(|other| other["run"] == run["run"]);
        assert!(again.is_some(), "the history goes on with {}", run["run"]);
    }
    daemon.wait_for_job("hello", "run succeeded");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_failure_is_never_green() {
    let site = Site::new(&format!(
        r#"{SETTINGS}
[jobs.broken]
schedule = "* * * * * *"
task_definition = "broken"
retry = []
[[jobs.broken.container]]
name = "app"
environment = {{ CODE = "7" }}
[local.task_definitions.broken]
containers = [
  {{ name = "app", command = ["sh", "-c", "exit $CODE"] }},
  {{ name = "sidecar", command = ["sleep", "600"], essential = false }},
]
"#
    ));
    let (endpoint, url) = site.endpoint();
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    let failed = daemon.wait_for_job("broken", "run failed");
    let run = site.json(&["show", failed["run"].as_str().expect("a run")]);
    assert_eq!(
        (&run["status"], &run["error"], &run["exit_code"]),
        (&"failed".into(), &"States.TaskFailed".into(), &7.into())
    );
    let attempt = &run["attempt_list"][0];
    assert_eq!(
        (&attempt["stop_code"], &attempt["error_names"][0]),
        (&"EssentialContainerExited".into(), &"Task.ExitCode.7".into())
    );
    let sidecar = attempt["containers"].as_array().expect("containers").iter().find(|c| c["name"] == "sidecar");
    assert_eq!(sidecar.expect("the sidecar")["essential"], false);
    let listed = site.json(&["runs", "--job", "broken", "--status", "failed"]);
    assert!(!runs_of(&listed, "broken").is_empty());
    assert!(site.json(&["runs", "--status", "succeeded"]).as_array().expect("a list").is_empty());
    daemon.end(Signal::TERM);
    endpoint.end(Signal::TERM);
}

#[test]
fn a_lost_answer_starts_no_second_task() {
    let site = Site::new("");
    let started = site.path("started.txt");
    let config = format!(
        r#"{SETTINGS}
[jobs.lost]
schedule = "* * * * * *"
task_definition = "lost"
[[jobs.lost.container]]
name = "app"
[[jobs.lost.retry]]
error_equals = ["States.ALL"]
interval_seconds = 1
[local.task_definitions.lost]
containers = [{{ name = "app", command = ["sh", "-c", "echo $TENACRON_RUN_ID >> {}"] }}]
outcomes = ["connection_closed", "server_exception_after_create", "run"]
"#,
        started.display()
    );
    site.write("tenacron.toml", config);
    let (endpoint, url) = site.endpoint();
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    let mut ended = Vec::new();
    for _ in 0..3 {
        ended.push(daemon.wait_for_job("lost", "run succeeded")["run"].as_str().expect("a run").to_owned());
    }
    daemon.end(Signal::TERM);
    endpoint.end(Signal::TERM);
    let started = std::fs::read_to_string(started).expect("written by the tasks");
    for run in &ended {
        assert_eq!(started.lines().filter(|line| line == run).count(), 1, "{run} ran once:\n{started}");
    }
}
