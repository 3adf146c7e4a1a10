//! A state that was deleted while tasks run: they are found in ECS, followed to their end, and not doubled.

use rustix::process::Signal;

use super::harness::{SETTINGS, Site, aws};
use super::restart::{begin, begun, long_task};

/// Deletes the database with all that belongs to it.
fn delete_state(site: &Site) {
    let folder = site.path("state.db").parent().expect("a folder").to_owned();
    let files: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    let belongs = |name: &str| name.starts_with("state.db");
    for file in files.iter().filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(belongs)) {
        std::fs::remove_file(file).expect("deleted");
    }
    assert!(!site.path("state.db").exists());
}

#[test]
fn a_task_whose_state_was_deleted_is_found_followed_and_in_the_way_of_the_next_firing() {
    let site = long_task();
    let (_endpoint, url) = site.endpoint();
    let (daemon, run) = begin(&site, &url);
    let task = site.json(&["show", &run])["attempt_list"][0]["task_arn"].clone();
    assert_eq!(daemon.end(Signal::KILL).code(), None);
    delete_state(&site);

    let daemon = site.daemon_with(&aws(&url), &["run"]);
    let looked = daemon.wait_for("the look for live tasks", |line| {
        line["message"] == "state is new; looked for live tasks of an earlier one"
    });
    assert_eq!((&looked["clusters"], &looked["adopted"], &looked["not_followed"]), (&1.into(), &1.into(), &0.into()));
    let adopted = daemon.wait_for_job("long", "task adopted");
    assert_eq!((&adopted["run"], &adopted["task_arn"]), (&run.as_str().into(), &task));
    let skipped = daemon.wait_for_job("long", "run skipped");
    assert_eq!(skipped["reason"], format!("run {run} still lives (overlap = \"skip\")"));

    let shown = site.json(&["show", &run]);
    assert_eq!((&shown["status"], &shown["attempt_list"][0]["task_arn"]), (&"running".into(), &task));
    let events: Vec<&str> =
        shown["events"].as_array().expect("events").iter().filter_map(|e| e["type"].as_str()).collect();
    assert_eq!(events[..2], ["ExecutionStarted", "TaskAdopted"]);
    assert!(site.json(&["runs", "-n", "1000"]).as_array().expect("rows").iter().any(|row| row["run"] == *run));

    let text = std::fs::read_to_string(site.path("begun.txt")).expect("the task wrote");
    assert_eq!(text.lines().collect::<Vec<_>>(), [run.as_str()], "no second task of the job has begun");
    site.open_gate();
    let failed = daemon.wait_for("the task to end", |line| line["message"] == "task failed" && line["run"] == *run);
    assert_eq!(failed["exit_code"], 3);
    assert_eq!(begun(&site, &run), 1);
}

#[test]
fn live_tasks_that_are_not_followed_are_named() {
    let job = |name: &str, marks: &str| {
        format!(
            "[jobs.{name}]\nschedule = \"* * * * * *\"\ntask_definition = \"long\"\n{marks}\n\
             [[jobs.{name}.container]]\nname = \"app\"\n"
        )
    };
    let definition =
        "[local.task_definitions.long]\ncontainers = [{ name = \"app\", command = [\"sleep\", \"600\"] }]\n";
    let bare = job("bare", "add_tags = false\nadd_environment = false");
    let site = Site::new(&format!("{SETTINGS}{}{bare}{definition}", job("gone", "")));
    let (_endpoint, url) = site.endpoint();
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    let [started, _] = daemon.wait_for_jobs(["gone", "bare"], "task started");
    daemon.end(Signal::KILL);
    delete_state(&site);

    let other = "[jobs.other]\nschedule = \"@yearly\"\ntask_definition = \"long\"\n";
    site.write("tenacron.toml", format!("{SETTINGS}{other}"));
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    let mut reasons: Vec<String> = (0..2)
        .map(|_| daemon.wait_for("a task that is not followed", |line| line["message"] == "live task not followed"))
        .map(|line| line["reason"].as_str().expect("a reason").to_owned())
        .collect();
    reasons.sort();
    let gone = format!("it is of run {}, whose job is not configured", started["run"].as_str().expect("a run"));
    assert_eq!(reasons, [gone.as_str(), "neither tags nor variables say whose it is"]);
    assert_eq!(site.json(&["runs"]).as_array().map(Vec::len), Some(0));
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}
