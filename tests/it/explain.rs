//! `explain` and `completion`: what they print, and how they end.

use serde_json::{Value, json};

use super::harness::{Ended, Site, tenacron};

const CONFIG: &str = r#"
instance = "test"
[defaults]
cluster = "c"
task_definition = "t"
timeout = "1h"
[jobs.plain]
schedule = "@daily"
[jobs.short]
schedule = "@daily"
timeout = "1m"
[jobs.rerun]
schedule = "@daily"
timeout = "3h"
on_unknown = "rerun"
accept_stop_codes = ["SpotInterruption"]
[jobs.coded]
schedule = "@daily"
exit_codes = { succeed = [3], skip = [99], fail = [64], retry = [75] }
[jobs.all]
schedule = "@daily"
attempt_timeout = "10m"
[[jobs.all.retry]]
error_equals = ["Task.OutOfMemory"]
max_attempts = 0
[[jobs.all.retry]]
error_equals = ["States.ALL"]
interval_seconds = 3
backoff_rate = 1.5
max_attempts = 2
"#;

fn explain(arguments: &[&str]) -> Value {
    Site::new(CONFIG).json(&[&["explain"], arguments].concat())
}

/// Names, retrier, delays and end.
fn essence(arguments: &[&str]) -> Value {
    let told = explain(arguments);
    json!([told["names"], told["retrier"], told["delays_seconds"], told["end"]])
}

#[test]
fn a_named_failure_is_followed_to_its_end() {
    let told = explain(&["plain", "--error", "ECS.ThrottlingException"]);
    assert_eq!(told["job"], "plain");
    assert_eq!(told["names"], json!(["ECS.Throttled", "ECS.AmazonECSException"]));
    assert_eq!((&told["primary"], &told["retrier"]), (&json!("ECS.AmazonECSException"), &json!(0)));
    assert_eq!(told["delays_seconds"], json!([10.0, 20.0, 40.0]));
    assert_eq!(told["total_delay_seconds"], json!(70.0));
    assert_eq!((&told["end"], &told["end_error"]), (&json!("failed"), &json!("ECS.AmazonECSException")));
    assert!(told["notes"][0].as_str().is_some_and(|note| note.contains("nothing is called ECS.ThrottlingException")));
    let keys: Vec<&String> = told.as_object().expect("an object").keys().collect();
    let expected = [
        "delays_seconds",
        "end",
        "end_error",
        "hint",
        "job",
        "names",
        "notes",
        "primary",
        "retrier",
        "total_delay_seconds",
    ];
    assert_eq!(keys, expected);
    assert!(told["hint"].as_str().is_some_and(|hint| hint.contains("launch_rate")));
}

#[test]
fn every_kind_of_fact_is_judged_as_the_daemon_judges_it() {
    let cases: [(&[&str], Value); 20] = [
        (&["coded", "--exit-code", "3"], json!([[], null, [], "succeeded"])),
        (&["coded", "--exit-code", "99"], json!([[], null, [], "skipped"])),
        (&["coded", "--exit-code", "64"], json!([["Task.ExitCode.64", "States.TaskFailed"], null, [], "failed"])),
        (
            &["coded", "--error", "Task.ExitCode.1"],
            json!([["Task.ExitCode.1", "States.TaskFailed"], null, [], "failed"]),
        ),
        (
            &["coded", "--exit-code", "75"],
            json!([["Task.ExitCode.75", "States.TaskFailed"], 1, [3.0, 3.0, 3.0], "failed"]),
        ),
        (
            &["coded", "--exit-code", "64", "--stop-code", "SpotInterruption"],
            json!([["Task.ExitCode.64", "Task.SpotInterruption", "States.TaskFailed"], 1, [3.0, 3.0, 3.0], "failed"]),
        ),
        (
            &["plain", "--exit-code", "3"],
            json!([["Task.ExitCode.3", "States.TaskFailed"], 1, [3.0, 3.0, 3.0], "failed"]),
        ),
        (
            &["plain", "--exit-code", "-1"],
            json!([["Task.ExitCode.-1", "States.TaskFailed"], 1, [3.0, 3.0, 3.0], "failed"]),
        ),
        (&["plain", "--exit-code", "0"], json!([[], null, [], "succeeded"])),
        (
            &["plain", "--stopped-reason", "CannotPullContainerError: not found"],
            json!([["Task.ImagePull", "States.TaskFailed"], 1, [3.0, 3.0, 3.0], "failed"]),
        ),
        (
            &["plain", "--stopped-reason", "Your Spot Task was interrupted.", "--exit-code", "0"],
            json!([["Task.SpotInterruption", "States.TaskFailed"], 1, [3.0, 3.0, 3.0], "failed"]),
        ),
        (&["rerun", "--stop-code", "SpotInterruption", "--exit-code", "0"], json!([[], null, [], "succeeded"])),
        (
            &["all", "--exit-code", "137", "--container-reason", "OutOfMemoryError: killed"],
            json!([["Task.ExitCode.137", "Task.OutOfMemory", "States.TaskFailed"], 0, [], "failed"]),
        ),
        (
            &["plain", "--stopped-reason", "Host EC2 (instance i-1) stopped/terminated."],
            json!([["Task.Infrastructure", "States.TaskFailed"], 1, [3.0, 3.0, 3.0], "failed"]),
        ),
        (
            &["plain", "--launch-failure", "Capacity is unavailable at this time."],
            json!([["Task.Capacity", "AmazonECS.Unknown", "ECS.AmazonECSException"], 0, [10.0, 20.0, 40.0], "failed"]),
        ),
        (
            &["short", "--error", "ECS.Throttled"],
            json!([["ECS.Throttled", "ECS.AmazonECSException"], 0, [10.0, 20.0], "timed_out"]),
        ),
        (&["plain", "--error", "States.Timeout"], json!([["States.Timeout"], null, [], "failed"])),
        (&["all", "--error", "States.Timeout"], json!([["States.Timeout"], 1, [3.0, 4.5], "failed"])),
        (&["plain", "--error", "Tenacron.LaunchUnknown"], json!([["Tenacron.LaunchUnknown"], null, [], "unknown"])),
        (&["rerun", "--error", "Tenacron.LaunchUnknown"], json!([["Tenacron.LaunchUnknown"], null, [], "rerun"])),
    ];
    for (arguments, expected) in cases {
        assert_eq!(essence(arguments), expected, "{arguments:?}");
    }
}

#[test]
fn a_person_reads_why() {
    let site = Site::new(CONFIG);
    let told = |arguments: &[&str]| {
        let ended = site.run(&[&["explain"], arguments].concat());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    };
    assert_eq!(
        told(&["short", "--error", "ECS.Throttled"]),
        "job        short\n\
         names      ECS.Throttled\n           ECS.AmazonECSException  (primary)\n\
         hint       ECS throttles the account: lower [ecs] launch_rate, or have the quota raised; others in the account share it\n\
         policy     the built-in one\n\
         retry[0]   takes it  (ECS.AmazonECSException)\n\
         retry[1]   would take it and is not asked: retry[0] comes first, also when it is used up  (States.TaskFailed)\n\
         retry 1    after 10 s, 10s waited in all\n\
         retry 2    after 20 s, 30s waited in all\n\
         end        timed_out with States.Timeout after 3 attempts: timeout = 1m cuts off the wait of 40 s before retry 3\n"
    );
    let passed_over = told(&["all", "--error", "Tenacron.LaunchUnknown"]);
    assert!(passed_over.contains("no wildcard takes Tenacron.LaunchUnknown"), "{passed_over}");
    let with_facts = told(&["plain", "--exit-code", "3"]);
    assert!(with_facts.contains("cause      container `app` exited with 3"), "{with_facts}");
    let ours = told(&["plain", "--stopped-reason", "tenacron: attempt_timeout"]);
    assert!(ours.contains("ask with --error States.Timeout"), "{ours}");
    let steered = told(&["plain", "--stopped-reason", "\u{1b}[31mred"]);
    assert!(!steered.contains('\u{1b}'), "{steered}");
}

#[test]
fn explain_tells_its_mistakes_apart() {
    let site = Site::new(CONFIG);
    let unknown = site.run(&["explain", "nobody", "--exit-code", "1"]);
    assert_eq!(unknown.code, Some(3), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("`nobody`") && unknown.stderr.contains("plain"), "{}", unknown.stderr);
    for usage in [
        ["explain", "plain"].as_slice(),
        &["explain", "plain", "--error", "x", "--exit-code", "1"],
        &["explain", "plain", "--launch-failure", "x", "--exit-code", "1"],
        &["explain", "plain", "--error", ""],
        &["explain", "plain", "--exit-code", "one"],
        &["explain", "--exit-code", "1"],
    ] {
        assert_eq!(site.run(usage).code, Some(2), "{usage:?}");
    }
    let broken = Site::new("instance = 3\n").run(&["explain", "plain", "--exit-code", "1"]);
    assert_eq!(broken.code, Some(78), "{}", broken.stderr);
    assert!(broken.stderr.contains("tenacron.toml:1:12"), "{}", broken.stderr);
}

#[test]
fn every_shell_gets_its_completion() {
    for (shell, text) in [
        ("bash", "complete -F _tenacron"),
        ("zsh", "#compdef tenacron"),
        ("fish", "complete -c tenacron"),
        ("elvish", "edit:completion:arg-completer[tenacron]"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let ended = Ended::of(tenacron().args(["completion", shell]));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stdout.contains(text) && ended.stdout.contains("explain"), "{shell}");
    }
    assert_eq!(Ended::of(tenacron().args(["completion", "tcsh"])).code, Some(2));
}
