//! A daemon that stops, dies or meets another one: tasks go on, are picked up, and are never started twice.

use rustix::process::Signal;

use super::harness::{Process, SETTINGS, Site, aws};

/// One long task a minute or so, which tells when it begins and ends only when it is allowed to.
pub(super) fn long_task() -> Site {
    let site = Site::new("");
    let (begun, gate) = (site.path("begun.txt"), site.gate());
    let config = format!(
        r#"{SETTINGS}
[jobs.long]
schedule = "* * * * * *"
task_definition = "long"
timeout = "5m"
[[jobs.long.container]]
name = "app"
[local.task_definitions.long]
containers = [{{ name = "app", command = ["sh", "-c", "echo $TENACRON_RUN_ID >> {begun}; cat {gate}; exit 3"] }}]
"#,
        begun = begun.display(),
        gate = gate.display(),
    );
    site.write("tenacron.toml", config);
    site
}

/// Starts a daemon and answers with it and the first run whose task has begun.
pub(super) fn begin(site: &Site, url: &str) -> (Process, String) {
    let daemon = site.daemon_with(&aws(url), &["run"]);
    let line = daemon.wait_for_job("long", "task started");
    (daemon, line["run"].as_str().expect("a run").to_owned())
}

pub(super) fn begun(site: &Site, run: &str) -> usize {
    let text = std::fs::read_to_string(site.path("begun.txt")).expect("the task wrote");
    text.lines().filter(|line| *line == run).count()
}

#[test]
fn a_task_that_outlives_its_daemon_is_harvested_with_its_exit_code() {
    let site = long_task();
    let (_endpoint, url) = site.endpoint();
    let (daemon, run) = begin(&site, &url);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
    site.open_gate();
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    let failed =
        daemon.wait_for("the first attempt to end", |line| line["message"] == "task failed" && line["run"] == *run);
    assert_eq!(failed["exit_code"], 3);
    assert_eq!(begun(&site, &run), 1);
    let shown = site.json(&["show", &run]);
    assert_eq!(shown["attempt_list"].as_array().map(Vec::len), Some(1), "it was not launched again");
}

#[test]
fn a_killed_daemon_resumes_and_starts_nothing_twice() {
    let site = long_task();
    let (_endpoint, url) = site.endpoint();
    let (daemon, run) = begin(&site, &url);
    assert_eq!(daemon.end(Signal::KILL).code(), None);
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    site.open_gate();
    daemon.wait_for("the first attempt to end", |line| line["message"] == "task failed" && line["run"] == *run);
    assert_eq!(begun(&site, &run), 1);
}

#[test]
fn a_second_daemon_on_the_same_state_refuses_and_names_the_first() {
    let site = long_task();
    let (_endpoint, url) = site.endpoint();
    let (daemon, _) = begin(&site, &url);
    let second = Process::start(site.command(&["run"]).envs(aws(&url)));
    let line =
        second.wait_for("a refusal", |line| line["message"].as_str().is_some_and(|text| text.contains("in use")));
    let text = line["message"].as_str().expect("text");
    assert!(text.contains("instance test") && text.contains("pid"), "{text}");
    assert_eq!(second.wait().code(), Some(75));
    site.open_gate();
    drop(daemon);
}
