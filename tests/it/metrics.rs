//! `/metrics`, the page that documents it, the alerts and the dashboard that are shipped, `/readyz`, and how the log looks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::commands::get;
use super::harness::{Process, SETTINGS, Site, WITHIN, aws, now};
use super::python;
use super::wire::Place;

/// One job that succeeds, one that fails after a retry.
const JOBS: &str = r#"
[http]
listen = "127.0.0.1:0"
[jobs.fine]
schedule = "0 3 1 1 *"
task_definition = "fine"
[jobs.bad]
schedule = "* * * * * *"
overlap = "skip"
task_definition = "bad"
[[jobs.bad.retry]]
error_equals = ["States.ALL"]
interval_seconds = 1
max_attempts = 1
[local.task_definitions.fine]
containers = [{ name = "app", command = ["true"] }]
[local.task_definitions.bad]
containers = [{ name = "app", command = ["false"] }]
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shipped(name: &str) -> String {
    fs::read_to_string(root().join("config/examples").join(name)).expect("it is shipped")
}

fn site() -> Site {
    Site::new(&format!("{SETTINGS}{JOBS}"))
}

/// As Prometheus asks for it.
const OPEN_METRICS: &str = "Accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3";

fn page(address: &str) -> String {
    Place::Port(address.to_owned()).get("/metrics", &[OPEN_METRICS]).body
}

/// The page as soon as it has a line that begins so.
fn page_with(address: &str, line: &str) -> String {
    let until = now() + WITHIN;
    loop {
        let page = page(address);
        if page.lines().any(|said| said.starts_with(line)) {
            return page;
        }
        assert!(now() < until, "waited in vain for {line}: {page}");
    }
}

/// What `/readyz` answers, as soon as it has this status.
pub(crate) fn readiness(address: &str, status: u16) -> Value {
    let until = now() + WITHIN;
    loop {
        let (said, body) = get(address, address, "/readyz");
        if said == status {
            return body;
        }
        assert!(now() < until, "waited in vain for {status}: {body}");
    }
}

/// A daemon of which both jobs have had a run that is over.
fn busy_daemon(site: &Site) -> (Process, String) {
    let (daemon, address) = site.daemon_on_http(&["run", "--local"]);
    readiness(&address, 200);
    assert_eq!(site.run(&["trigger", "fine"]).code, Some(0));
    daemon.wait_for_job("fine", "run succeeded");
    daemon.wait_for_job("bad", "run failed");
    (daemon, address)
}

/// Names as they are asked for, with type and labels.
fn metrics_of(page: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut metrics = BTreeMap::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        assert!(
            metrics.insert(format!("{name}{suffix}"), (kind.to_owned(), BTreeSet::new())).is_none(),
            "{name} twice"
        );
    }
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once(['{', ' ']).expect("a name and a value");
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let name = of_histogram.filter(|name| metrics.contains_key(*name)).unwrap_or(name);
        let (_, labels) = metrics.get_mut(name).unwrap_or_else(|| panic!("{name} has no type"));
        let quoted: Vec<&str> = rest.split('"').collect();
        let keys = quoted.iter().filter_map(|part| part.strip_suffix('=')).map(|key| key.trim_start_matches(','));
        labels.extend(keys.filter(|key| *key != "le").map(str::to_owned));
    }
    metrics
}

/// The same, as `docs/metrics.md` has them.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let page = fs::read_to_string(root().join("docs/metrics.md")).expect("the page is there");
    let section =
        page.split_once("\n## Every metric\n").expect("the heading").1.split("\n## ").next().expect("a section");
    let mut metrics = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let name = cells[1].trim_matches('`').to_owned();
        assert!(metrics.insert(name, (cells[2].to_owned(), labels)).is_none(), "{row}");
    }
    metrics
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_there() {
    let site = site();
    let (_daemon, address) = busy_daemon(&site);
    let page = page(&address);
    assert_eq!(metrics_of(&page), documented());
    let value = |series: &str| {
        let line =
            page.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("{series}: {page}"));
        line.trim().parse::<f64>().expect("a number")
    };
    assert_eq!(value("tenacron_runs_total{job=\"fine\",status=\"succeeded\"}"), 1.0);
    assert_eq!(value("tenacron_runs_total{job=\"fine\",status=\"failed\"}"), 0.0, "the first failure is an increase");
    let failed = value("tenacron_runs_total{job=\"bad\",status=\"failed\"}");
    let (attempts, retries) = (
        value("tenacron_attempts_total{job=\"bad\",outcome=\"failed\"}"),
        value("tenacron_retries_total{job=\"bad\",retrier=\"0\"}"),
    );
    assert!(failed >= 1.0 && retries >= failed && attempts >= 2.0 * failed, "{failed} {attempts} {retries}");
    let between = "tenacron_runs_total{job=\"bad\",status=\"skipped\"}";
    assert!(value(between) >= 1.0, "instants that met a living run");
    assert!(value("tenacron_ecs_calls_total{operation=\"RunTask\",error=\"\"}") >= 3.0);
    assert!(value("tenacron_start_lag_seconds_count") >= 1.0, "the run that was asked for has no lag");
    assert_eq!(value("tenacron_ready"), 1.0);
}

#[test]
fn each_format_is_read_by_prometheus_s_own_parser_and_says_the_same() {
    let site = site();
    let (_daemon, address) = busy_daemon(&site);
    let port = Place::Port(address);
    let kinds = [
        ("open", OPEN_METRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("text", "Accept: */*", "text/plain; version=0.0.4; charset=utf-8"),
    ];
    // What happens between two scrapes may bring a series.
    let until = now() + WITHIN;
    loop {
        for (name, accept, kind) in kinds {
            let answer = port.get("/metrics", &[accept]);
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)));
            site.write(name, answer.body);
        }
        let python = python::with("metrics", &["prometheus-client==0.22.1"]).unwrap_or_else(|error| panic!("{error}"));
        let mut command = Command::new(python);
        command.arg(python::script("metrics_check.py")).args([site.path("open"), site.path("text")]);
        match python::run(&mut command) {
            Ok(told) => break assert!(told.starts_with("the same: "), "{told}"),
            Err(differences) => assert!(now() < until, "{differences}"),
        }
    }
}

#[test]
fn a_restart_does_not_hide_when_a_job_last_succeeded_and_a_removed_job_has_no_series() {
    let site = site();
    let (daemon, address) = busy_daemon(&site);
    let last = |page: &str, metric: &str, job: &str| {
        let series = format!("tenacron_last_{metric}_timestamp_seconds{{job=\"{job}\"}}");
        page.lines().find(|line| line.starts_with(&series)).map(str::to_owned)
    };
    let succeeded = last(&page(&address), "success", "fine").expect("it is there");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
    let (daemon, address) = site.daemon_on_http(&["run", "--local"]);
    page_with(&address, "tenacron_last_failure_timestamp_seconds{job=\"bad\"}");
    assert_eq!(last(&page(&address), "success", "fine"), Some(succeeded));

    site.write("tenacron.toml", format!("{SETTINGS}{JOBS}").replace("[jobs.fine]", "[jobs.other]"));
    daemon.wait_for("the new configuration", |line| line["message"] == "configuration taken");
    let page = page(&address);
    assert!(page.contains("tenacron_job_paused{job=\"other\"} 0.0\n"), "{page}");
    assert!(!page.contains("job=\"fine\""), "{page}");
}

/// Metrics that a text names, as they are asked for.
fn named_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("tenacron_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

fn expressions_of_the_dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&shipped("grafana-dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    targets.map(|target| target["expr"].as_str().expect("an expression").to_owned()).collect()
}

#[test]
fn alerts_and_dashboard_ask_for_what_there_is() {
    let known = documented();
    let is_known = |name: &String| {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let is_histogram = |name| known.get(name).is_some_and(|(kind, _)| kind == "histogram");
        known.contains_key(name) || of_histogram.is_some_and(is_histogram)
    };
    let rules = shipped("prometheus-rules.yaml");
    let in_rules = named_in(&rules);
    assert!(in_rules.len() > 8, "{in_rules:?}");
    let tests = shipped("prometheus-rules.test.yaml");
    let expressions = expressions_of_the_dashboard();
    let on_the_dashboard = named_in(&expressions.join("\n"));
    assert!(on_the_dashboard.len() > 20, "{on_the_dashboard:?}");
    for name in in_rules.iter().chain(&named_in(&tests)).chain(&on_the_dashboard) {
        assert!(is_known(name), "{name} is no metric");
    }
    let alerts: BTreeSet<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let page = fs::read_to_string(root().join("docs/metrics.md")).expect("the page is there");
    let listed: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `Tenacron")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let listed: BTreeSet<String> = listed.into_iter().map(|name| format!("Tenacron{name}")).collect();
    assert_eq!(listed, alerts.iter().map(|alert| (*alert).to_owned()).collect());
    for alert in alerts {
        let is_played = tests.matches(&format!("alertname: {alert}")).count() > 0;
        assert!(is_played, "{alert} has no example");
    }
}

/// Prometheus's own tool, where it is installed; Debian's package `prometheus` has it.
fn promtool(arguments: &[&str], folder: &Path) {
    let Ok(ran) = Command::new("promtool").args(arguments).current_dir(folder).output() else {
        let told =
            format!("promtool is not installed, so Prometheus's own opinion of {arguments:?} is not asked for\n");
        io::stderr().write_all(told.as_bytes()).unwrap();
        return;
    };
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{arguments:?}: {said}");
}

#[test]
fn prometheus_takes_the_alerts_and_they_fire_when_they_should() {
    let examples: PathBuf = root().join("config/examples");
    promtool(&["check", "rules", "prometheus-rules.yaml"], &examples);
    promtool(&["test", "rules", "prometheus-rules.test.yaml"], &examples);
    let of_grafana = expressions_of_the_dashboard().into_iter().map(|expr| expr.replace("$__rate_interval", "5m"));
    let rules: Vec<Value> = of_grafana.map(|expr| json!({ "record": "panel", "expr": expr })).collect();
    let folder = tempfile::tempdir().expect("a folder");
    // JSON is YAML. One group for each, because two rules of a group must differ by name.
    let group = |(nth, rule): (usize, Value)| json!({ "name": format!("panel {nth}"), "rules": [rule] });
    let groups: Vec<Value> = rules.into_iter().enumerate().map(group).collect();
    fs::write(folder.path().join("panels.yaml"), json!({ "groups": groups }).to_string()).expect("written");
    promtool(&["check", "rules", "panels.yaml"], folder.path());
}

#[test]
fn a_daemon_is_not_ready_before_ecs_has_answered_and_says_why() {
    let site = site();
    // Nobody listens there any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let url = format!("http://{port}");
    let (daemon, address) = site.daemon_on_http_with(&aws(&url), &["run"]);
    daemon.wait_for("the line that says so", |line| {
        line["message"] == "ECS does not answer; the daemon is not ready" && line["cluster"] == "batch"
    });
    let (status, body) = get(&address, &address, "/readyz");
    let reason = body["reason"].as_str().expect("a reason");
    assert!(status == 503 && reason.starts_with("ECS does not answer for cluster batch: "), "{status} {body}");
    assert_eq!((&body["ecs"][0]["cluster"], &body["ecs"][0]["answered_at"]), (&json!("batch"), &Value::Null));
    assert_eq!(get(&address, &address, "/healthz").0, 200, "a restart would mend nothing");
    let page = page(&address);
    assert!(page.contains("tenacron_ready 0.0\n"), "{page}");
    assert!(page.contains("tenacron_ecs_answers{target=\"\",cluster=\"batch\"} 0.0\n"), "{page}");

    let mut endpoint = site.command(&["local", "--listen", &port.to_string()]);
    let _endpoint = Process::start(&mut endpoint);
    daemon.wait_for("ECS", |line| line["message"] == "ECS answers again");
    assert_eq!(readiness(&address, 200)["reason"], Value::Null);
}

#[test]
fn the_log_is_json_unless_somebody_wants_text() {
    let site = Site::new("instance = \"test\"\n");
    for (format, is_json) in [(None, true), (Some("json"), true), (Some("text"), false), (Some("xml"), true)] {
        let mut command = site.command(&["run", "--local"]);
        command.envs(format.map(|format| ("TENACRON_LOG_FORMAT", format)));
        let daemon = Process::start(&mut command);
        // A line that is no JSON is a message as a whole.
        let said = |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("daemon started"));
        let line = daemon.wait_for("its first words", said);
        assert_eq!(line["level"] == "INFO", is_json, "{format:?}: {line}");
        assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
    }
}
