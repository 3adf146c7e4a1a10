//! What people do to a running daemon, through the real binary: each command, its answer, its exit code and its record.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::commands::{get, post};
use super::harness::{Ended, SETTINGS, Site};

/// A job that waits at a gate, one that ends at once, and one that fires each second.
fn site() -> Site {
    let site = Site::new(SETTINGS);
    let gate = site.gate();
    site.write(
        "jobs.d/jobs.toml",
        format!(
            r#"
[jobs.slow]
schedule = "0 3 1 1 *"
task_definition = "slow"
[[jobs.slow.container]]
name = "app"
[jobs.quick]
schedule = "0 3 1 1 *"
task_definition = "quick"
[[jobs.quick.container]]
name = "app"
[jobs.broken]
schedule = "0 3 1 1 *"
task_definition = "broken"
retry = []
[jobs.often]
schedule = "* * * * * *"
task_definition = "quick"
overlap = "allow"
[local.task_definitions.slow]
containers = [{{ name = "app", command = ["sh", "-c", "cat {gate}"] }}]
[local.task_definitions.quick]
containers = [{{ name = "app", command = ["sh", "-c", "test \"$WANTED\" != yes || exit 7"] }}]
[local.task_definitions.broken]
containers = [{{ name = "app", command = ["false"] }}]
"#,
            gate = gate.display()
        ),
    );
    site
}

fn first_word(ended: &Ended) -> String {
    ended.stdout.split_whitespace().next().expect("a word").to_owned()
}

fn run_of(site: &Site, run: &str) -> Value {
    site.json(&["show", run])
}

#[test]
fn a_run_is_triggered_with_what_is_to_be_otherwise_and_its_name_is_printed() {
    let site = site();
    let daemon = site.daemon(&["run", "--local"]);
    let plain = site.run(&["trigger", "quick", "--reason", "a trial", "--quiet"]);
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);
    let run = plain.stdout.trim().to_owned();
    assert!(run.starts_with("quick-") && run.ends_with("-manual"), "{run}");
    daemon.wait_for("its success", |line| line["message"] == "run succeeded" && line["run"] == run.as_str());
    let shown = run_of(&site, &run);
    assert_eq!((&shown["trigger"], &shown["exit_code"]), (&json!("manual"), &json!(0)));
    let started = &shown["events"][0]["detail"];
    assert_eq!(started["reason"], "a trial");
    assert!(started["by"].as_str().is_some_and(|by| by.starts_with("uid ")), "{started}");

    let other = site.json(&["trigger", "quick", "--env", "WANTED=yes"]);
    let run = other["run"].as_str().expect("a run").to_owned();
    daemon.wait_for("its failure", |line| line["message"] == "task failed" && line["run"] == run.as_str());
    assert_eq!(run_of(&site, &run)["attempt_list"][0]["exit_code"], 7, "the variable has arrived");

    let command = site.run(&["trigger", "quick", "--overlap", "allow", "--quiet", "--", "sh", "-c", "exit 9"]);
    let run = command.stdout.trim().to_owned();
    let failed = daemon.wait_for("its failure", |line| line["message"] == "task failed" && line["run"] == run.as_str());
    assert_eq!(failed["exit_code"], 9, "the command has arrived");

    assert_eq!(site.run(&["trigger", "nosuch"]).code, Some(3));
    let unclear = site.run(&["trigger", "often", "--env", "A=b"]);
    assert_eq!(unclear.code, Some(2), "{}", unclear.stderr);
    assert!(unclear.stderr.contains("--container"), "{}", unclear.stderr);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_run_that_is_in_the_way_is_named_and_can_be_cancelled_and_its_instant_run_again() {
    let site = site();
    let daemon = site.daemon(&["run", "--local"]);
    let first = first_word(&site.run(&["trigger", "slow"]));
    daemon.wait_for("its task", |line| line["message"] == "task launched" && line["run"] == first.as_str());
    let second = site.run(&["trigger", "slow"]);
    assert_eq!(second.code, Some(5), "nothing was begun");
    assert!(second.stdout.contains(&format!("skipped: run {first} still lives")), "{}", second.stdout);

    let living = site.run(&["retry", &first]);
    assert_eq!(living.code, Some(5), "{}", living.stderr);
    assert!(living.stderr.contains("still lives"), "{}", living.stderr);
    let cancelled = site.run(&["cancel", &first, "--reason", "too slow"]);
    assert_eq!(cancelled.code, Some(0), "{}", cancelled.stderr);
    daemon.wait_for("its end", |line| line["message"] == "run cancelled" && line["run"] == first.as_str());
    let shown = run_of(&site, &first);
    assert_eq!(shown["status"], "cancelled");
    assert!(shown["cause"].as_str().is_some_and(|cause| cause.contains("too slow")), "{}", shown["cause"]);
    assert_eq!(site.run(&["cancel", &first]).code, Some(5), "it is over");
    assert_eq!(site.run(&["cancel", "slow-19700101T000000Z"]).code, Some(3), "it never was");

    let again = site.json(&["retry", &first, "--frozen", "--reason", "once more"]);
    assert_eq!(again["scheduled_at"], shown["scheduled_at"], "the same instant");
    let again = again["run"].as_str().expect("a run").to_owned();
    daemon.wait_for("its task", |line| line["message"] == "task launched" && line["run"] == again.as_str());
    site.open_gate();
    daemon.wait_for("its success", |line| line["message"] == "run succeeded" && line["run"] == again.as_str());
    assert_eq!(run_of(&site, &again)["events"][0]["detail"]["retry_of"], first.as_str());
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_pause_leaves_instants_out_over_a_restart_and_resuming_fires_nothing_from_the_past() {
    let site = site();
    let daemon = site.daemon(&["run", "--local"]);
    daemon.wait_for_job("often", "run succeeded");
    let paused = site.run(&["pause", "often", "--reason", "moving house"]);
    assert_eq!(paused.code, Some(0), "{}", paused.stderr);
    let skipped = daemon.wait_for_job("often", "run skipped");
    let reason = skipped["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("the job was paused at ") && reason.ends_with(": moving house"), "{reason}");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));

    let daemon = site.daemon(&["run", "--local"]);
    daemon.wait_for_job("often", "run skipped");
    let jobs = site.json(&["jobs"]);
    let often = jobs.as_array().expect("a list").iter().find(|job| job["job"] == "often").expect("the job");
    assert_eq!((&often["paused"], &often["pause"]["reason"]), (&json!(true), &json!("moving house")));
    assert_eq!(often["next_at"], Value::Null, "nobody knows when");
    assert!(site.run(&["jobs"]).stdout.contains("paused by uid "));
    assert_eq!(site.run(&["trigger", "often"]).code, Some(0), "a hand reaches a paused job");

    let resumed = site.json(&["resume", "often"]);
    assert_eq!((&resumed["paused"], &resumed["lifted"]["reason"]), (&json!(false), &json!("moving house")));
    let resumed_at =
        site.json(&["runs", "--job", "often", "--status", "skipped", "-n", "1"])[0]["scheduled_at"].clone();
    daemon.wait_for_job("often", "run succeeded");
    let runs = site.json(&["runs", "--job", "often", "-n", "1000"]);
    let since = runs.as_array().expect("a list").iter().filter(|run| run["trigger"] == "catchup").count();
    assert_eq!(since, 0, "nothing of the pause is made up for, last left out {resumed_at}");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn all_jobs_are_paused_and_resumed_together() {
    let site = site();
    let daemon = site.daemon(&["run", "--local"]);
    assert_eq!(site.run(&["pause"]).code, Some(2), "a job or --all");
    assert_eq!(site.run(&["pause", "--all", "--until", "2020-01-01"]).code, Some(2), "its end has passed");
    assert_eq!(site.run(&["pause", "--all"]).code, Some(0));
    let skipped = daemon.wait_for_job("often", "run skipped");
    assert!(skipped["reason"].as_str().is_some_and(|reason| reason.starts_with("all jobs were paused")), "{skipped}");
    let one = site.run(&["resume", "often"]);
    assert!(one.stdout.contains("all jobs are still paused"), "{}", one.stdout);
    assert_eq!(site.run(&["resume", "--all"]).code, Some(0));
    daemon.wait_for_job("often", "run succeeded");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_backfill_runs_every_instant_of_a_range_one_after_the_other() {
    let site = site();
    let daemon = site.daemon(&["run", "--local"]);
    let range = ["--from", "2020-01-01T00:00:00Z", "--until", "2020-01-01T00:00:02Z"];
    let receipts = site.json(&[&["backfill", "often"], range.as_slice()].concat());
    let instants: Vec<&str> =
        receipts.as_array().expect("a list").iter().filter_map(|one| one["scheduled_at"].as_str()).collect();
    assert_eq!(instants, ["2020-01-01T00:00:00Z", "2020-01-01T00:00:01Z", "2020-01-01T00:00:02Z"], "both ends");
    let mut before = String::new();
    for receipt in receipts.as_array().expect("a list") {
        let run = receipt["run"].as_str().expect("a run");
        daemon.wait_for("its success", |line| line["message"] == "run succeeded" && line["run"] == run);
        let shown = run_of(&site, run);
        assert_eq!(shown["trigger"], "backfill");
        let launched = shown["attempt_list"][0]["launched_at"].as_str().expect("an instant").to_owned();
        assert!(launched >= before, "one after the other");
        before = shown["finished_at"].as_str().expect("an instant").to_owned();
    }
    let asked = site.run(&["why", "often", "2020-01-01T00:00:01Z"]);
    assert!(asked.stdout.contains("succeeded at"), "{}", asked.stdout);
    let future = site.run(&["backfill", "often", "--from", "2020-01-01", "--until", "2999-01-01"]);
    assert_eq!(future.code, Some(2), "{}", future.stderr);
    let many = site.run(&["backfill", "often", "--from", "2020-01-01", "--until", "2020-01-02"]);
    assert!(many.stderr.contains("86401 instants") && many.stderr.contains("1000 at most"), "{}", many.stderr);
    let none = site.run(&["backfill", "slow", "--from", "2020-01-02", "--until", "2020-01-03"]);
    assert!(none.stderr.contains("names no instant"), "{}", none.stderr);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_job_that_keeps_failing_is_paused_and_the_record_says_who_did_what() {
    let site = site();
    site.write(
        "jobs.d/failing.toml",
        "[jobs.failing]\nschedule = \"* * * * * *\"\ntask_definition = \"broken\"\nretry = []\npause_after = 2\n",
    );
    let (daemon, address) = {
        let config = std::fs::read_to_string(site.path("tenacron.toml")).expect("readable");
        site.write("tenacron.toml", format!("{config}\n[http]\nlisten = \"127.0.0.1:0\"\n"));
        site.daemon_on_http(&["run", "--local"])
    };
    daemon.wait_for("the pause", |line| line["message"] == "command carried out" && line["action"] == "pause");
    let skipped = daemon.wait_for_job("failing", "run skipped");
    assert!(
        skipped["reason"].as_str().is_some_and(|reason| reason.contains("by pause_after = 2: 2 runs in a row")),
        "{skipped}"
    );
    let failed = site.json(&["runs", "--job", "failing", "--status", "failed"]);
    assert_eq!(failed.as_array().map(Vec::len), Some(2));

    let audit = get(&address, &address, "/api/v1/audit").1;
    assert_eq!(
        (&audit[0]["action"], &audit[0]["by"], &audit[0]["job"]),
        (&json!("pause"), &json!("pause_after = 2"), &json!("failing"))
    );
    let foreign = post(&address, "/api/v1/jobs/quick/trigger", "Origin: http://evil.example", "");
    assert_eq!(foreign.0, 403, "{}", foreign.1);
    let misspelt = post(&address, "/api/v1/jobs/quick/trigger", "X-No: thing", r#"{"reasn": "x"}"#);
    assert_eq!(misspelt.0, 400, "{}", misspelt.1);
    let done = post(&address, "/api/v1/jobs/quick/trigger", "X-No: thing", "");
    assert_eq!((done.0, &done.1["status"]), (200, &json!("due")), "{}", done.1);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn why_says_what_became_of_an_instant() {
    let site = site();
    let daemon = site.daemon(&["run", "--local"]);
    let line = daemon.wait_for_job("often", "run succeeded");
    let run = line["run"].as_str().expect("a run");
    let at = run_of(&site, run)["scheduled_at"].as_str().expect("an instant").to_owned();
    let why = site.json(&["why", "often", &at]);
    assert!(why["answer"].as_str().is_some_and(|text| text.starts_with("succeeded at ")), "{why}");
    assert_eq!(why["runs"][0]["run"], run);
    let nothing = site.run(&["why", "slow", "2026-01-01T00:00:00Z"]);
    assert!(nothing.stdout.contains("no instant"), "{}", nothing.stdout);
    assert_eq!(site.run(&["why", "nosuch", "2026-01-01T00:00:00Z"]).code, Some(3));
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}
