//! Task events from a queue, and the last lines of a failed container, through the real binary.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::aws::{Aws, QUEUE, Shown, TASK, event};
use super::harness::{Process, Site, aws};

/// A job whose task nobody looks at for an hour after the first look.
fn site(ecs_keys: &str, job_keys: &str) -> Site {
    Site::new(&format!(
        r#"
instance = "test"
[state]
url = "sqlite://state.db"
[control]
socket = "control.sock"
[ecs]
poll_interval = "1h"
{ecs_keys}
[jobs.nightly]
schedule = "0 3 1 1 *"
cluster = "batch"
task_definition = "nightly"
launch_type = "FARGATE"
timeout = "5h"
retry = []
network = {{ subnets = ["subnet-1"], security_groups = ["sg-1"], assign_public_ip = true }}
{job_keys}
"#
    ))
}

fn with_queue() -> String {
    format!("events_queue = \"{QUEUE}\"")
}

fn start(site: &Site, on: &Aws) -> Process {
    site.daemon_with(&aws(&on.url), &["run"])
}

/// Triggers the job and waits until its task was seen running.
fn trigger(site: &Site, daemon: &Process) -> String {
    let ended = site.run(&["trigger", "nightly", "--quiet"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    daemon.wait_for_job("nightly", "task started");
    ended.stdout.trim().to_owned()
}

fn attempt(site: &Site, run: &str) -> Value {
    site.json(&["show", run])["attempt_list"][0].clone()
}

#[test]
fn an_event_makes_a_run_end_long_before_the_next_poll_and_then_leaves_the_queue() {
    let (on, site) = (Aws::start(), site(&with_queue(), ""));
    let daemon = start(&site, &on);
    let run = trigger(&site, &daemon);
    on.show(Shown::Stopped(0));
    let receipt = on.send(&event(5, Shown::Stopped(0)).to_string());
    daemon.wait_for_job("nightly", "run succeeded");
    assert_eq!(site.json(&["show", &run])["status"], "succeeded");
    // It was the last use of the message, so the next receive lets it go; this one wakes the long poll.
    let other = on.send("no event");
    on.wait_for_deleted(&[receipt, other]);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn an_event_is_no_verdict_and_what_is_of_no_use_leaves_the_queue() {
    let (on, site) = (Aws::start(), site(&with_queue(), ""));
    let daemon = start(&site, &on);
    let run = trigger(&site, &daemon);
    // ECS itself shows the task running, whatever this says.
    let wrong = on.send(&event(7, Shown::Stopped(1)).to_string());
    let mut of_another = event(9, Shown::Stopped(1));
    of_another["detail"]["taskArn"] = json!(TASK.replace("0123", "ffff"));
    let of_service = json!({ "source": "aws.ecs", "detail-type": "ECS Service Action", "detail": {} });
    let useless = [
        on.send(&of_another.to_string()),
        on.send(&of_service.to_string()),
        on.send("hello"),
        on.send(&event(3, Shown::Running).to_string()),
    ];
    on.wait_for_deleted(&useless);
    assert!(!on.deleted().contains(&wrong), "a final event stays until the run's end is saved");
    assert_eq!(site.json(&["show", &run])["status"], "running");
    on.show(Shown::Stopped(0));
    on.send(&event(8, Shown::Stopped(0)).to_string());
    daemon.wait_for_job("nightly", "run succeeded");
    let (lines, ended) = {
        daemon.signal(Signal::TERM);
        daemon.last_words()
    };
    assert_eq!(ended.code(), Some(0), "{lines:?}");
}

#[test]
fn a_task_that_ecs_has_forgotten_ends_with_the_exit_code_of_its_event() {
    let (on, site) = (Aws::start(), site(&with_queue(), ""));
    // The first daemon must leave no poll behind that would take the message with it.
    on.fail_queue(Some((500, json!({ "__type": "InternalError", "message": "not yet" }))));
    let daemon = start(&site, &on);
    let run = trigger(&site, &daemon);
    daemon.end(Signal::KILL);
    on.fail_queue(None);
    on.show(Shown::Missing);
    let receipt = on.send(&event(6, Shown::Stopped(3)).to_string());
    let daemon = start(&site, &on);
    let line = daemon.wait_for_job("nightly", "task failed");
    assert_eq!(line["exit_code"], 3);
    daemon.wait_for_job("nightly", "run failed");
    let shown = attempt(&site, &run);
    assert_eq!((&shown["exit_code"], &shown["stop_code"]), (&json!(3), &json!("EssentialContainerExited")));
    assert!(shown["error_names"].as_array().unwrap().contains(&json!("Task.ExitCode.3")), "{shown}");
    assert_eq!(shown["containers"][0]["essential"], true);
    let other = on.send("no event");
    on.wait_for_deleted(&[receipt, other]);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_queue_that_fails_is_told_once_and_changes_no_run() {
    let (on, site) = (Aws::start(), site(&with_queue(), ""));
    on.fail_queue(Some((400, json!({ "__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no such queue" }))));
    let daemon = start(&site, &on);
    let told = daemon.wait_for("the failure", |line| {
        line["message"] == "task events could not be heard; tasks are polled all the same"
    });
    assert_eq!(told["error"], "ReceiveMessage was refused: QueueDoesNotExist: no such queue");
    trigger(&site, &daemon);
    on.fail_queue(None);
    daemon.wait_for("the end of it", |line| {
        assert_ne!(line["message"], told["message"], "it is told once");
        line["message"] == "task events are heard again"
    });
    on.show(Shown::Stopped(0));
    on.send(&event(5, Shown::Stopped(0)).to_string());
    daemon.wait_for_job("nightly", "run succeeded");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

/// A run whose task has failed with exit code 1, its log being like this; what `show` tells of it.
fn failed_with_log(status: u16, body: Value) -> (Value, String) {
    let (on, site) = (Aws::start(), site(&with_queue(), "log_tail = 2"));
    let daemon = start(&site, &on);
    let run = trigger(&site, &daemon);
    on.log(status, body);
    on.show(Shown::Stopped(1));
    on.send(&event(5, Shown::Stopped(1)).to_string());
    daemon.wait_for("the log tail", |line| line["message"] == "log tail kept" && line["run"] == run.as_str());
    let (shown, text) = (site.json(&["show", &run]), site.run(&["show", &run]).stdout);
    assert_eq!((&shown["status"], &shown["exit_code"]), (&json!("failed"), &json!(1)), "{text}");
    daemon.signal(Signal::TERM);
    let (lines, ended) = daemon.last_words();
    assert_eq!(ended.code(), Some(0));
    assert!(!lines.iter().any(|line| line.to_string().contains("secret")), "{lines:?}");
    (shown["attempt_list"][0]["log_tail"].clone(), text)
}

#[test]
fn the_last_lines_of_a_failed_container_are_shown_with_its_attempt() {
    let events = json!([{ "message": "connecting\n" }, { "message": "secret: no route to db" }]);
    let (tail, text) = failed_with_log(200, json!({ "events": events }));
    let lines = ["connecting", "secret: no route to db"];
    let stream = json!({ "group": "/ecs/nightly", "name": "ecs/app/0123456789abcdef0123456789abcdef" });
    assert_eq!(tail, json!([{ "container": "app", "lines": lines, "note": null, "stream": stream }]));
    assert!(text.contains("  log of app\n    | connecting\n    | secret: no route to db\n"), "{text}");
}

#[test]
fn a_log_that_can_not_be_read_is_a_note_and_the_run_is_as_it_was() {
    for (code, status) in
        [("ResourceNotFoundException", 400), ("AccessDeniedException", 400), ("ThrottlingException", 400)]
    {
        let (tail, text) = failed_with_log(status, json!({ "__type": code, "message": "no" }));
        let note = tail[0]["note"].as_str().unwrap();
        assert!(note.ends_with(&format!("GetLogEvents was refused: {code}: no")), "{note}");
        assert_eq!(tail[0]["lines"], json!([]));
        assert!(text.contains(&format!("  log of app ({note})")), "{text}");
    }
}
