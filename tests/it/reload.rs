//! A configuration that changes under a running daemon: taken as a whole or not at all, and running work is never touched.

use std::os::unix::fs::symlink;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::commands::get_text;
use super::harness::{Process, SETTINGS, Site};

fn job(name: &str, schedule: &str) -> String {
    format!(
        "[jobs.{name}]\nschedule = \"{schedule}\"\ntask_definition = \"{name}\"\n[local.task_definitions.{name}]\n\
         containers = [{{ name = \"app\", command = [\"true\"] }}]\n"
    )
}

/// The job `slow`, whose task waits for the gate.
fn add_slow_job(site: &Site) {
    let gate = site.gate();
    let waits = format!(
        "[jobs.slow]\nschedule = \"0 3 1 1 *\"\ntask_definition = \"slow\"\n[local.task_definitions.slow]\n\
         containers = [{{ name = \"app\", command = [\"cat\", \"{}\"] }}]\n",
        gate.display()
    );
    site.write("jobs.d/slow.toml", waits);
}

fn names(site: &Site) -> Vec<String> {
    let jobs = site.json(&["jobs"]);
    jobs.as_array().expect("a list").iter().filter_map(|job| job["job"].as_str().map(str::to_owned)).collect()
}

fn taken(daemon: &Process, by: &str) -> Value {
    daemon.wait_for("a new configuration", |line| line["message"] == "configuration taken" && line["by"] == by)
}

fn refused(daemon: &Process) -> Value {
    daemon.wait_for("a refusal", |line| line["message"] == "configuration refused; the one before goes on")
}

#[test]
fn a_changed_file_is_taken_and_a_broken_one_changes_nothing_and_shows() {
    let site = Site::new(&format!("{SETTINGS}\n[http]\nlisten = \"127.0.0.1:0\"\n"));
    site.write("jobs.d/a.toml", job("a", "0 3 1 1 *"));
    let (daemon, address) = site.daemon_on_http(&["run", "--local"]);
    assert_eq!(names(&site), ["a"]);
    // Without a word to the daemon.
    site.write("jobs.d/b.toml", job("b", "* * * * * *"));
    let line = taken(&daemon, "a change of the files");
    assert_eq!((&line["added"], &line["unchanged"]), (&json!(1), &json!(1)));
    daemon.wait_for_job("b", "run succeeded");

    site.write("jobs.d/b.toml", job("b", "* * * * * *") + "[jobs.c]\nschedule = \"61 * * * *\"\n");
    let line = refused(&daemon);
    let error = line["error"].as_str().expect("text");
    for told in ["b.toml:6:1", "task_definition is missing", "b.toml:7:13", "minute \"61\" is out of range"] {
        assert!(error.contains(told), "all mistakes at once, {told}: {error}");
    }
    daemon.wait_for_job("b", "run succeeded");
    let shown = site.run(&["jobs"]);
    assert!(shown.stderr.contains("was refused, and the one before goes on"), "{}", shown.stderr);
    assert!(shown.stderr.contains("b.toml:6"), "{}", shown.stderr);
    assert_eq!(names(&site), ["a", "b"]);
    let metrics = get_text(&address, &address, "/metrics");
    assert!(metrics.contains("tenacron_config_last_reload_successful 0.0\n"), "{metrics}");
    let reload = site.run(&["reload"]);
    assert_eq!(reload.code, Some(78), "{}", reload.stdout);
    assert!(reload.stderr.contains("b.toml:6"), "{}", reload.stderr);

    site.write("jobs.d/b.toml", job("c", "0 3 1 1 *"));
    taken(&daemon, "a change of the files");
    assert_eq!(names(&site), ["a", "c"]);
    assert_eq!(site.run(&["jobs"]).stderr, "", "the mistake is gone");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_signal_and_a_command_reload_and_say_what_changed() {
    let site = Site::new(SETTINGS);
    site.write("jobs.d/a.toml", job("a", "0 3 1 1 *"));
    let daemon = site.daemon(&["run", "--local"]);
    site.write("jobs.d/a.toml", job("a", "0 4 1 1 *") + &job("b", "0 3 1 1 *"));
    let changes = site.json(&["reload"]);
    // The daemon's own look may have come first.
    let is_first = changes["added"] == json!(["b"]) && changes["changed"] == json!(["a"]);
    assert!(is_first || changes["unchanged"] == 2, "{changes}");
    site.write("jobs.d/a.toml", job("b", "0 3 1 1 *"));
    daemon.signal(Signal::HUP);
    daemon.wait_for("a new configuration", |line| line["message"] == "configuration taken" && line["removed"] == 1);
    assert_eq!(names(&site), ["b"]);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn what_a_running_daemon_can_not_change_refuses_the_whole() {
    let site = Site::new(SETTINGS);
    let daemon = site.daemon(&["run", "--local"]);
    site.write("jobs.d/a.toml", job("a", "0 3 1 1 *"));
    site.write("tenacron.toml", SETTINGS.replace("instance = \"test\"", "instance = \"other\""));
    let line = refused(&daemon);
    assert!(line["error"].as_str().is_some_and(|text| text.starts_with("instance: ")), "{line}");
    assert!(names(&site).is_empty());
    site.write("tenacron.toml", SETTINGS);
    taken(&daemon, "a change of the files");
    assert_eq!(names(&site), ["a"]);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_folder_that_is_swapped_by_a_link_is_seen() {
    let site = Site::new(SETTINGS);
    for (version, name) in [("v1", "a"), ("v2", "b")] {
        site.write(&format!("{version}/jobs.toml"), job(name, "0 3 1 1 *"));
    }
    symlink("v1", site.path("jobs.d")).expect("linked");
    let daemon = site.daemon(&["run", "--local"]);
    assert_eq!(names(&site), ["a"]);
    symlink("v2", site.path("next")).expect("linked");
    std::fs::rename(site.path("next"), site.path("jobs.d")).expect("swapped");
    taken(&daemon, "a change of the files");
    assert_eq!(names(&site), ["b"]);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn another_pace_of_polling_is_taken_by_the_running_daemon() {
    // There is a look soon after the first launch, and then none before the run's timeout.
    let slow = SETTINGS.replace("poll_interval = \"500ms\"", "poll_interval = \"1h\"");
    let site = Site::new(&slow);
    add_slow_job(&site);
    let daemon = site.daemon(&["run", "--local"]);
    site.json(&["trigger", "slow"]);
    daemon.wait_for_job("slow", "task launched");
    site.write("tenacron.toml", slow.replace("\"1h\"", "\"500ms\""));
    taken(&daemon, "a change of the files");
    site.open_gate();
    daemon.wait_for_job("slow", "run succeeded");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_removed_job_finishes_its_run_on_the_definition_that_it_began_with() {
    let site = Site::new(SETTINGS);
    add_slow_job(&site);
    let daemon = site.daemon(&["run", "--local"]);
    let run = site.json(&["trigger", "slow"])["run"].as_str().expect("a run").to_owned();
    daemon.wait_for_job("slow", "task launched");
    std::fs::remove_file(site.path("jobs.d/slow.toml")).expect("removed");
    taken(&daemon, "a change of the files");
    assert!(names(&site).is_empty());
    assert_eq!(site.json(&["show", &run])["status"], "running");
    site.open_gate();
    daemon.wait_for("its success", |line| line["message"] == "run succeeded" && line["run"] == run.as_str());
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}
