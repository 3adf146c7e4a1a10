//! What people asked for, over `kill -9`: a command that was answered is carried out once, whatever dies after; one that was not
//! answered is carried out once or not at all, and never half.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rustix::process::Signal;
use serde_json::Value;

use super::harness::{Process, SETTINGS, Site, aws};

/// A job whose task writes its run down. The endpoint lives on beside the daemons.
fn site() -> Site {
    let site = Site::new(SETTINGS);
    site.write(
        "jobs.d/jobs.toml",
        format!(
            "[jobs.noted]\nschedule = \"0 3 1 1 *\"\ntask_definition = \"noted\"\noverlap = \"allow\"\n\
             [[jobs.noted.container]]\nname = \"app\"\n[local.task_definitions.noted]\n\
             containers = [{{ name = \"app\", command = [\"sh\", \"-c\", \"echo $TENACRON_RUN_ID >> {}\"] }}]\n",
            site.path("begun").display()
        ),
    );
    site
}

/// How often the task of each run began.
fn begun(site: &Site) -> BTreeMap<String, usize> {
    let mut begun = BTreeMap::new();
    for run in std::fs::read_to_string(site.path("begun")).unwrap_or_default().lines() {
        *begun.entry(run.to_owned()).or_default() += 1;
    }
    begun
}

fn instant(value: &Value) -> DateTime<Utc> {
    value.as_str().and_then(|text| text.parse().ok()).expect("an instant")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// Waits until every run of the history is over.
fn settle(site: &Site, daemon: &Process) -> Vec<Value> {
    loop {
        let runs = site.json(&["runs", "-n", "1000"]);
        if list(&runs).iter().all(|run| !run["finished_at"].is_null()) {
            return list(&runs).to_vec();
        }
        daemon.wait_for("a run to end", |line| line["message"] == "run succeeded");
    }
}

#[test]
fn what_was_answered_is_carried_out_once_and_what_was_not_is_never_half_done() {
    let site = site();
    let (_endpoint, url) = site.endpoint_with_journal("tasks.jsonl");
    let mut answered = Vec::new();
    for moment in ["", "run recorded", "launch recorded", "task launched", "task succeeded", "command carried out"] {
        let daemon = site.daemon_with(&aws(&url), &["run"]);
        if moment.is_empty() {
            // It dies with the answer just given.
            let ended = site.run(&["trigger", "noted", "--quiet"]);
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            answered.push(ended.stdout.trim().to_owned());
        } else {
            let mut asking = site.command(&["trigger", "noted", "--quiet"]);
            let asking = asking.stdout(std::process::Stdio::piped()).spawn().expect("the binary runs");
            daemon.wait_for(moment, |line| line["message"] == moment);
            daemon.signal(Signal::KILL);
            let ended = asking.wait_with_output().expect("it ends");
            if ended.status.success() {
                answered.push(String::from_utf8(ended.stdout).expect("UTF-8").trim().to_owned());
            }
        }
        if moment.is_empty() {
            daemon.signal(Signal::KILL);
        }
        drop(daemon);
    }
    let (daemon, address) = {
        site.write("tenacron.toml", format!("{SETTINGS}\n[http]\nlisten = \"127.0.0.1:0\"\n"));
        site.daemon_on_http_with(&aws(&url), &["run"])
    };
    let runs = settle(&site, &daemon);
    let names: Vec<&str> = runs.iter().filter_map(|run| run["run"].as_str()).collect();
    for run in &answered {
        assert!(names.contains(&run.as_str()), "{run} was answered and is lost: {names:?}");
    }
    let begun = begun(&site);
    for run in &names {
        assert_eq!(begun.get(*run), Some(&1), "{run}: {begun:?}");
    }
    assert_eq!(begun.len(), names.len(), "a task without a run: {begun:?}");
    // A run and the record of who asked for it are there together, or neither is.
    let (_, audit) = super::commands::get(&address, &address, "/api/v1/audit?limit=1000");
    let mut asked: Vec<&str> = list(&audit).iter().filter_map(|entry| entry["run"].as_str()).collect();
    let mut names = names;
    asked.sort_unstable();
    names.sort_unstable();
    assert_eq!(asked, names);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_pause_that_was_answered_outlives_a_kill() {
    let site = site();
    site.write(
        "jobs.d/often.toml",
        "[jobs.often]\nschedule = \"* * * * * *\"\ntask_definition = \"noted\"\noverlap = \"allow\"\n",
    );
    let (_endpoint, url) = site.endpoint();
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    daemon.wait_for_job("often", "run succeeded");
    let paused = site.json(&["pause", "often"]);
    daemon.signal(Signal::KILL);
    drop(daemon);
    let since = instant(&paused["pause"]["since"]);
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    daemon.wait_for_job("often", "run skipped");
    daemon.wait_for_job("often", "run skipped");
    for run in list(&site.json(&["runs", "--job", "often", "-n", "1000"])) {
        let is_of_the_pause = instant(&run["scheduled_at"]) > since;
        assert_eq!(run["status"] == "skipped", is_of_the_pause, "{run}");
    }
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}
