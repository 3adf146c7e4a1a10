//! Launches of several tasks, and the evidence that is kept of each, through the real binary and the real SDK.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::Value;

use super::harness::{SETTINGS, Site};

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

#[test]
fn three_tasks_are_one_attempt_and_what_ecs_said_of_each_is_kept() {
    let site = Site::new("");
    let lock = site.path("first-of-two");
    let config = format!(
        r#"{SETTINGS}
[jobs.all]
schedule = "* * * * * *"
task_definition = "all"
count = 3
[[jobs.all.container]]
name = "app"
environment = {{ PASSWORD = "hunter2" }}

[jobs.one-bad]
schedule = "* * * * * *"
task_definition = "one-bad"
count = 2
retry = []

[local.task_definitions.all]
containers = [{{ name = "app", command = ["true"] }}]
[local.task_definitions.one-bad]
containers = [{{ name = "app", command = ["sh", "-c", "mkdir {lock} 2>/dev/null && exit 9; exit 0"] }}]
"#,
        lock = lock.display()
    );
    site.write("tenacron.toml", config);
    let daemon = site.daemon(&["run", "--local"]);
    let all = daemon.wait_for_job("all", "run succeeded");
    let run = site.json(&["show", all["run"].as_str().expect("a run")]);
    let attempt = &run["attempt_list"][0];
    let tasks = list(&attempt["tasks"]);
    let arns: BTreeSet<&str> = tasks.iter().filter_map(|task| task["task_arn"].as_str()).collect();
    assert_eq!((list(&run["attempt_list"]).len(), arns.len()), (1, 3), "{run:#}");
    for task in tasks {
        let described = &task["described"];
        assert_eq!((&described["taskArn"], &described["lastStatus"]), (&task["task_arn"], &"STOPPED".into()));
        assert_eq!(described["containers"][0]["exitCode"], 0);
        assert!(task["phases"]["running_seconds"].as_f64().is_some(), "{task:#}");
    }
    assert!(attempt["phases"]["queued_seconds"].as_f64().is_some(), "{attempt:#}");
    assert!(attempt["due_at"].is_string(), "{attempt:#}");
    let told = run.to_string();
    assert!(told.contains("PASSWORD") && !told.contains("hunter2"), "values of variables are not kept as evidence");
    let shown = site.run(&["show", all["run"].as_str().expect("a run")]).stdout;
    for part in ["  phases   queued ", ", running ", "  of them arn:"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    let failed = daemon.wait_for_job("one-bad", "run failed");
    let run = site.json(&["show", failed["run"].as_str().expect("a run")]);
    assert_eq!(
        (&run["status"], &run["exit_code"], &run["error"]),
        (&"failed".into(), &9.into(), &"States.TaskFailed".into())
    );
    assert!(run["cause"].as_str().is_some_and(|cause| cause.starts_with("1 of 2 tasks failed")), "{run:#}");
    let mut codes: Vec<i64> =
        list(&run["attempt_list"][0]["tasks"]).iter().filter_map(|task| task["exit_code"].as_i64()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [0, 9]);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}
