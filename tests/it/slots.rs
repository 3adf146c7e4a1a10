//! Groups, the limit of all runs, and runs that wait too long, through the real binary.

use rustix::process::Signal;

use super::harness::{SETTINGS, Site};

/// Two jobs of one group that wait at a gate, and one that ends at once.
fn site(settings: &str, job_keys: &str) -> Site {
    let site = Site::new(&format!("{settings}{SETTINGS}"));
    let gate = site.gate();
    let job = |name: &str, group: &str| {
        format!("[jobs.{name}]\nschedule = \"0 3 1 1 *\"\ntask_definition = \"{name}\"\n{group}{job_keys}")
    };
    let local = |name: &str, command: &str| {
        format!("[local.task_definitions.{name}]\ncontainers = [{{ name = \"app\", command = {command} }}]\n")
    };
    let waits = format!("[\"cat\", \"{}\"]", gate.display());
    let db = "group = \"db\"\n";
    let jobs = [job("first", db), job("second", db), job("free", "")].concat();
    let local = [local("first", &waits), local("second", "[\"true\"]"), local("free", "[\"true\"]")].concat();
    site.write("jobs.d/jobs.toml", jobs + &local);
    site
}

fn trigger(site: &Site, job: &str) -> String {
    let ended = site.run(&["trigger", job, "--quiet"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout.trim().to_owned()
}

#[test]
fn a_run_waits_for_a_slot_of_its_group_and_holds_up_nobody() {
    let site = site("groups.db.max_running = 1\n", "");
    let daemon = site.daemon(&["run", "--local"]);
    trigger(&site, "first");
    daemon.wait_for_job("first", "task launched");
    let second = trigger(&site, "second");
    trigger(&site, "free");
    daemon.wait_for_job("free", "run succeeded");
    let shown = site.json(&["show", &second]);
    assert_eq!(shown["status"], "due");
    let waits_for = shown["waits_for"].as_str().expect("a reason");
    assert!(waits_for.starts_with("a slot (groups.db.max_running = 1: run first-"), "{waits_for}");
    site.open_gate();
    daemon.wait_for_job("second", "run succeeded");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_slot_is_still_held_after_a_restart_and_the_limit_of_all_counts_everybody() {
    let site = site("max_running = 1\n", "");
    let (_endpoint, url) = site.endpoint_with_journal("tasks.jsonl");
    let daemon = site.daemon_with(&super::harness::aws(&url), &["run"]);
    let first = trigger(&site, "first");
    daemon.wait_for_job("first", "task launched");
    let free = trigger(&site, "free");
    assert_eq!(daemon.end(Signal::KILL).code(), None);
    let daemon = site.daemon_with(&super::harness::aws(&url), &["run"]);
    assert_eq!(site.json(&["show", &free])["status"], "due");
    // The daemon before may have died before it heard of the task.
    daemon.wait_for("the first look", |line| line["run"] == first.as_str() || line["message"] == "run resumed");
    site.open_gate();
    daemon.wait_for_job("free", "run succeeded");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_run_that_waits_past_its_start_deadline_is_missed_and_says_for_what_it_waited() {
    let site = site("groups.db.max_running = 1\n", "start_deadline = \"2s\"\n");
    let daemon = site.daemon(&["run", "--local"]);
    let first = trigger(&site, "first");
    daemon.wait_for_job("first", "task launched");
    let second = trigger(&site, "second");
    let missed = daemon.wait_for_job("second", "run missed");
    let expected = format!(
        "its start_deadline of 2s passed while it waited for a slot (groups.db.max_running = 1: run {first} lives)"
    );
    assert_eq!(missed["reason"], expected.as_str());
    assert_eq!(site.json(&["show", &second])["status"], "missed");
    site.open_gate();
    daemon.wait_for_job("first", "run succeeded");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}
