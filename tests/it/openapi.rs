//! `openapi.json`, asked by validators that are not ours: it is OpenAPI, and every endpoint answers as it says.

use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::harness::{SETTINGS, Site};
use super::python;
use super::wire::{Answer, Place};

/// One version of each, so that the same test passes tomorrow.
const PACKAGES: [&str; 2] = ["jsonschema==4.26.0", "openapi-spec-validator==0.7.2"];

/// A job that succeeds, one that fails with a hint and retries, one that waits for a slot behind it, one that is skipped.
const JOBS: &str = r#"
[http]
listen = "127.0.0.1:0"
token_file = "full"
read_token_file = "readers"
[groups.one]
max_running = 1
[jobs.quick]
schedule = "0 3 1 1 *"
task_definition = "quick"
[jobs.broken]
schedule = "0 3 1 1 *"
task_definition = "broken"
retry = [{ error_equals = ["States.TaskFailed"], interval_seconds = 1, max_attempts = 1 }]
[[jobs.broken.notify]]
webhook = "http://127.0.0.1:9/nobody"
[jobs.slow]
schedule = "0 3 1 1 *"
task_definition = "slow"
group = "one"
[jobs.behind]
schedule = "0 3 1 1 *"
task_definition = "quick"
group = "one"
[local.task_definitions.quick]
containers = [{ name = "app", command = ["true"] }]
[local.task_definitions.broken]
containers = [{ name = "app", command = ["sh", "-c", "exit 3"] }]
"#;
const FULL: &str = "a-full-token-of-this-test";
const READ: &str = "a-read-token-of-this-test";

/// Answers that were had, to be compared with what is written of them.
#[derive(Default)]
struct Had(Vec<Value>);

impl Had {
    /// An answer of an operation, by the path of the description.
    fn add(&mut self, method: &str, path: &str, answer: &Answer) -> Value {
        let kind = answer.header("content-type").unwrap_or_default().to_owned();
        let body = serde_json::from_str(&answer.body).unwrap_or_else(|_| json!(answer.body));
        self.0.push(json!({ "method": method, "path": path, "status": answer.status, "type": kind, "body": body }));
        body
    }
}

#[test]
fn every_endpoint_answers_as_it_is_described() {
    let site = Site::new(SETTINGS);
    let gate = site.gate();
    let slow = format!(
        "[local.task_definitions.slow]\ncontainers = [{{ name = \"app\", command = [\"sh\", \"-c\", \"cat {}\"] }}]\n",
        gate.display()
    );
    site.write("tenacron.toml", format!("{SETTINGS}{JOBS}{slow}"));
    site.write("full", FULL);
    site.write("readers", READ);
    let (daemon, address) = site.daemon_on_http(&["run", "--local"]);
    let (port, mut had) = (Place::Port(address), Had::default());
    let (full, read) = (format!("Authorization: Bearer {FULL}"), format!("Authorization: Bearer {READ}"));
    let mut events = port.events("/api/v1/events", &[&read]);

    let run_path = |action: &str| format!("/api/v1/runs/{{run}}{action}");
    let job_path = |action: &str| format!("/api/v1/jobs/{{job}}{action}");
    let post = |had: &mut Had, template: &str, with: &str, body: &str| {
        let path = template.replace("{job}", with).replace("{run}", with);
        had.add("post", template, &port.post(&path, &[&full], body))
    };
    let run_of = |receipt: &Value| receipt["run"].as_str().expect("a run").to_owned();
    let quick = run_of(&post(
        &mut had,
        &job_path("/trigger"),
        "quick",
        r#"{"reason": "a trial", "environment": {"A": "b"}, "container": "app"}"#,
    ));
    let broken = run_of(&post(&mut had, &job_path("/trigger"), "broken", ""));
    let slow = run_of(&post(&mut had, &job_path("/trigger"), "slow", "{}"));
    daemon.wait_for_jobs(["slow"], "task launched");
    post(&mut had, &job_path("/trigger"), "slow", "{}");
    let behind = run_of(&post(&mut had, &job_path("/trigger"), "behind", "{}"));
    daemon.wait_for_jobs(["broken"], "run failed");
    let range = r#"{"from": "2024-01-01T00:00:00Z", "until": "2025-06-01T00:00:00Z"}"#;
    post(&mut had, &job_path("/backfill"), "quick", range);
    post(&mut had, &job_path("/backfill"), "quick", "{}");
    post(&mut had, &job_path("/pause"), "quick", r#"{"until": "2099-01-01T00:00:00Z"}"#);
    post(&mut had, "/api/v1/pause", "", r#"{"reason": "all quiet"}"#);
    post(&mut had, &run_path("/retry"), &broken, r#"{"frozen": true}"#);
    post(&mut had, &run_path("/retry"), &slow, "{}");
    post(&mut had, &run_path("/cancel"), &quick, "{}");
    post(&mut had, &run_path("/cancel"), "none-19700101T000000Z", "{}");
    post(&mut had, &job_path("/trigger"), "nosuch", "{}");
    post(&mut had, &job_path("/trigger"), "quick", r#"{"reasn": "x"}"#);
    post(&mut had, &job_path("/trigger"), "quick", &format!("{{\"reason\": \"{}\"}}", "x".repeat(100 << 10)));

    let get = |had: &mut Had, template: &str, with: &str, query: &str| {
        let path = template.replace("{job}", with).replace("{run}", with);
        had.add("get", template, &port.get(&format!("{path}{query}"), &[&read]))
    };
    for (template, with, query) in [
        ("/api/v1/jobs", "", ""),
        ("/api/v1/jobs/{job}", "quick", ""),
        ("/api/v1/jobs/{job}", "nosuch", ""),
        ("/api/v1/jobs/{job}/why", "quick", "?at=2026-01-01T00:00:00Z"),
        ("/api/v1/jobs/{job}/why", "quick", "?at=soon"),
        ("/api/v1/runs", "", "?limit=1000"),
        ("/api/v1/runs", "", "?status=green"),
        ("/api/v1/runs", "", "?before=none-19700101T000000Z"),
        ("/api/v1/runs/{run}", &quick, ""),
        ("/api/v1/runs/{run}", &broken, ""),
        ("/api/v1/runs/{run}", &slow, ""),
        ("/api/v1/runs/{run}", &behind, ""),
        ("/api/v1/runs/{run}", "none", ""),
        ("/api/v1/notices", "", "?limit=1000"),
        ("/api/v1/notices", "", "?state=lost"),
        ("/api/v1/notices", "", "?channel=none"),
        ("/api/v1/notices", "", "?before=none"),
        ("/api/v1/audit", "", "?limit=1000"),
        ("/api/v1/audit", "", "?limit=many"),
        ("/api/v1/events", "", "?jobs=x"),
        ("/api/v1/openapi.json", "", ""),
        ("/metrics", "", ""),
        ("/healthz", "", ""),
        ("/readyz", "", ""),
    ] {
        get(&mut had, template, with, query);
    }
    let told = get(&mut had, "/api/v1/notices", "", "?state=owed&job=broken");
    assert_eq!((told[0]["on"].as_str(), told[0]["run"].as_str()), (Some("failed"), Some(&*broken)));
    had.add("get", "/metrics", &port.get("/metrics", &[&read, "Accept: application/openmetrics-text"]));
    had.add("get", "/healthz", &port.get("/healthz", &[]));
    had.add("get", "/readyz", &port.get("/readyz", &[]));
    had.add("get", "/api/v1/jobs", &port.get("/api/v1/jobs", &[]));
    had.add("post", "/api/v1/pause", &port.post("/api/v1/pause", &[], "{}"));
    had.add("post", "/api/v1/pause", &port.post("/api/v1/pause", &[&read], "{}"));
    had.add(
        "post",
        "/api/v1/pause",
        &port.ask("POST", "/api/v1/pause", &[&full, "Content-Type: text/plain", "Content-Length: 2"], None),
    );

    post(&mut had, &job_path("/resume"), "quick", "{}");
    post(&mut had, "/api/v1/resume", "", "");
    post(&mut had, &run_path("/cancel"), &slow, r#"{"reason": "enough"}"#);
    post(&mut had, "/api/v1/notices/retry", "", "{}");
    post(&mut had, "/api/v1/notices/retry", "", r#"{"reason": "mended", "job": "broken", "channel": "none"}"#);
    post(&mut had, "/api/v1/notices/retry", "", r#"{"job": "no job"}"#);
    post(&mut had, "/api/v1/backup", "", r#"{"reason": "before the upgrade"}"#);
    post(&mut had, "/api/v1/reload", "", "{}");
    site.write("jobs.d/wrong.toml", "[jobs.wrong]\n");
    post(&mut had, "/api/v1/reload", "", "{}");
    get(&mut had, "/healthz", "", "");

    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
    let mut told = Vec::new();
    while let Some(event) = events.next() {
        told.push(json!({ "event": event.kind, "data": event.data }));
    }
    site.write("had.json", json!({ "answers": had.0, "events": told }).to_string());
    let interpreter = python::with("openapi", &PACKAGES).unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new(interpreter);
    command.arg(python::script("openapi_check.py"));
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/openapi.json")).arg(site.path("had.json"));
    let told = python::run(&mut command).unwrap_or_else(|error| panic!("{error}"));
    assert!(told.starts_with("as described: "), "{told}");
}
