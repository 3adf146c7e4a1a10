//! Commands, their JSON and their exit codes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::harness::{Ended, Site, tenacron};
use super::metrics::readiness;

fn next(arguments: &[&str]) -> Ended {
    Ended::of(tenacron().arg("next").args(arguments))
}

fn next_json(arguments: &[&str]) -> Value {
    let ended = next(&[arguments, &["--json"]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

#[test]
fn next_needs_neither_daemon_nor_configuration() {
    let firings = next_json(&[
        "--schedule",
        "30 2 * * *",
        "--timezone",
        "Europe/Berlin",
        "--from",
        "2026-03-27T12:00:00Z",
        "-n",
        "3",
    ]);
    assert_eq!(
        firings,
        json!([
            { "job": null, "scheduled_at": "2026-03-28T01:30:00Z", "local": "2026-03-28T02:30:00+01:00" },
            { "job": null, "scheduled_at": "2026-03-29T01:00:00Z", "local": "2026-03-29T03:00:00+02:00" },
            { "job": null, "scheduled_at": "2026-03-30T00:30:00Z", "local": "2026-03-30T02:30:00+02:00" },
        ])
    );
}

#[test]
fn next_takes_a_range_open_at_its_beginning() {
    let range = ["--from", "2026-01-01T00:00:00Z", "--until", "2026-01-01T03:00:00Z"];
    let firings = next_json(&[&["--schedule", "@hourly"], range.as_slice()].concat());
    let instants: Vec<&str> =
        firings.as_array().expect("a list").iter().filter_map(|f| f["scheduled_at"].as_str()).collect();
    assert_eq!(instants, ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-01T03:00:00Z"]);
}

#[test]
fn next_refuses_what_it_does_not_understand() {
    for (arguments, text) in [
        (["--schedule", "0 25 * * *", "--timezone", "UTC"], "25"),
        (["--schedule", "@daily", "--timezone", "Mars/Olympus"], "Mars/Olympus"),
        (["--schedule", "@daily", "--from", "yesterday"], "yesterday"),
        (["--schedule", "@daily", "--except", "rate(5 minutes)"], "--except `rate(5 minutes)`"),
        (["--schedule", "@daily", "--except", "@daily"], "except leaves none"),
        (["--schedule", "@daily", "--start-at", "soon"], "soon"),
        (["--schedule", "@daily", "--dst-gap", "before"], "after, skip"),
        (["--schedule", "@daily", "--from", "2016-12-31T23:59:60Z"], "leap seconds are not accepted"),
    ] {
        let ended = next(&arguments);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(text), "{}", ended.stderr);
    }
}

#[test]
fn next_merges_the_jobs_of_a_configuration() {
    let job = |name: &str, schedule: &str| {
        format!(
            "[jobs.{name}]\nschedule = \"{schedule}\"\ncluster = \"c\"\ntask_definition = \"t\"\ntimeout = \"1h\"\n"
        )
    };
    let site = Site::new(&format!("instance = \"test\"\n{}{}", job("a", "0 */2 * * *"), job("b", "0 1-23/2 * * *")));
    let all = site.json(&["next", "--from", "2026-01-01T00:30:00Z", "-n", "4"]);
    let names: Vec<&str> = all.as_array().expect("a list").iter().filter_map(|firing| firing["job"].as_str()).collect();
    assert_eq!(names, ["b", "a", "b", "a"]);
    let one = site.json(&["next", "a", "--from", "2026-01-01T00:30:00Z", "-n", "1"]);
    assert_eq!(one[0]["scheduled_at"], "2026-01-01T02:00:00Z");
    let unknown = site.run(&["next", "c"]);
    assert_eq!(unknown.code, Some(3));
    assert!(unknown.stderr.contains("`c`") && unknown.stderr.contains("a, b"), "{}", unknown.stderr);
}

#[test]
fn validate_prints_findings_as_json() {
    let site = Site::new("instance = \"test\"\n[jobs.a]\nschedul = \"@daily\"\n");
    let ended = site.run(&["validate", "--json"]);
    assert_eq!(ended.code, Some(78));
    let findings: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let unknown = findings.as_array().expect("a list").iter().find(|finding| finding["line"] == 3).expect("the typo");
    assert_eq!((&unknown["level"], &unknown["column"]), (&"error".into(), &1.into()));
    let keys: Vec<&String> = unknown.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["code", "column", "file", "level", "line", "message"]);
    assert!(unknown["message"].as_str().expect("text").contains("schedul"));
}

#[test]
fn commands_that_need_a_daemon_say_where_they_looked() {
    let site = Site::new("instance = \"test\"\n[control]\nsocket = \"control.sock\"\n");
    for command in [["jobs"].as_slice(), &["runs"], &["show", "x"]] {
        let ended = site.run(command);
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
        assert!(ended.stderr.contains("control.sock"), "{}", ended.stderr);
    }
}

/// A daemon's configuration with a port and a job that stays quiet.
const YEARLY: &str = r#"
instance = "test"
[http]
listen = "127.0.0.1:0"
[jobs.yearly]
schedule = "@yearly"
timezone = "Europe/Berlin"
cluster = "batch"
task_definition = "t"
timeout = "1h"
"#;

/// Status and body of a GET that calls the machine `host`.
pub(crate) fn get(address: &str, host: &str, path: &str) -> (u16, Value) {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
}

/// Status and answer of a POST with one more header.
pub(crate) fn post(address: &str, path: &str, header: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    exchange(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\n{header}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        ),
    )
}

/// The body of a GET that is no JSON.
pub(crate) fn get_text(address: &str, host: &str, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).1
}

fn exchange(address: &str, request: &str) -> (u16, Value) {
    let (status, body) = ask(address, request);
    (status, serde_json::from_str(&body).expect("JSON"))
}

fn ask(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

#[test]
fn a_daemon_answers_on_its_socket_and_on_http() {
    let site = Site::new(YEARLY);
    let (_daemon, address) = site.daemon_on_http(&["run", "--local"]);
    let jobs = site.json(&["jobs"]);
    let job = &jobs[0];
    assert_eq!(
        (&job["job"], &job["schedule"], &job["timezone"]),
        (&"yearly".into(), &"@yearly".into(), &"Europe/Berlin".into())
    );
    assert_eq!((&job["paused"], &job["last_run"]), (&false.into(), &Value::Null));
    assert!(job["next_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{job}");
    assert_eq!(get(&address, &address, "/api/v1/jobs"), (200, jobs.clone()));
    assert_eq!(get(&address, &address, "/api/v1/jobs/yearly"), (200, job.clone()));
    assert_eq!(get(&address, &address, "/api/v1/jobs/weekly").0, 404);
    assert_eq!(get(&address, &address, "/healthz").0, 200);
    assert_eq!(readiness(&address, 200)["reason"], Value::Null, "once ECS has answered");
    for path in ["/api/v1/runs?limit=many", "/api/v1/runs?status=green", "/api/v1/runs?stauts=failed"] {
        let (status, body) = get(&address, &address, path);
        assert!(status == 400 && body["error"].is_string(), "{path}: {status} {body}");
    }
    for foreign in ["rebound.example", "127.0.0.1.rebound.example"] {
        assert_eq!(get(&address, foreign, "/api/v1/jobs").0, 400, "{foreign}");
    }
    assert_eq!(site.json(&["runs"]), json!([]));
    assert_eq!(get(&address, &address, "/api/v1/runs"), (200, json!([])));
    assert_eq!(site.run(&["show", "nothing"]).code, Some(3));
    assert_eq!(site.run(&["runs", "--status", "green"]).code, Some(2));
}

#[test]
fn half_a_request_does_not_hold_up_the_end_of_a_daemon() {
    let site = Site::new(YEARLY);
    let (daemon, address) = site.daemon_on_http(&["run", "--local"]);
    let mut stream = TcpStream::connect(&address).expect("it listens");
    stream.write_all(b"GET /api/v1/jobs HTTP/1.1\r\nHost: ").expect("sent");
    // Answered after the half request was accepted, since connections are accepted in their order.
    assert_eq!(get(&address, &address, "/api/v1/runs").0, 200);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing_and_lost_output_is_a_failure() {
    let site = Site::new("instance = \"test\"\n");
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let mut daemon = site.command(&["run", "--local"]).stderr(full()).spawn().expect("the binary runs");
    // It answers although every line of its log fails.
    let answers = || site.run(&["jobs"]).code == Some(0);
    assert!((0..3_000).any(|_| answers()), "it runs");
    let lost = site.command(&["runs", "--json"]).stdout(full()).status().expect("the binary runs");
    assert_eq!(lost.code(), Some(1));
    let pid = rustix::process::Pid::from_child(&daemon);
    rustix::process::kill_process(pid, Signal::TERM).expect("it can be signalled");
    assert_eq!(daemon.wait().expect("it ends").code(), Some(0));
}

#[test]
fn version_names_commit_and_time_zones() {
    let ended = Ended::of(tenacron().arg("--version"));
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.starts_with(concat!("tenacron ", env!("CARGO_PKG_VERSION"), " (commit ")), "{}", ended.stdout);
    assert!(ended.stdout.contains("time zones 20"), "{}", ended.stdout);
}
