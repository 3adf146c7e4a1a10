//! Single moments that random histories may miss, each brought about on purpose.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Heard, Process, SETTINGS, Site, aws, now};

use super::record::{JOURNAL, Record, Task};

/// How often the journal is looked at while something in it is waited for.
const BEAT: Duration = Duration::from_millis(50);
const BEATS_MAX: usize = 2400;

/// A job of every second whose task says `begun RUN`, waits until the test opens the pipe, and exits with this code.
fn gated(exit_code: u8, outcomes: &str) -> Site {
    let site = Site::new("");
    let (begun, gate) = (site.path("begun"), site.gate());
    site.write(
        "tenacron.toml",
        format!(
            r#"{SETTINGS}
[jobs.gated]
schedule = "* * * * * *"
task_definition = "gated"
retry = []
[[jobs.gated.container]]
name = "app"
[local.task_definitions.gated]
containers = [{{ name = "app", command = ["sh", "-c", '''
echo $TENACRON_RUN_ID $TENACRON_ATTEMPT >>{begun}
echo begun $TENACRON_RUN_ID
cat {gate}
exit {exit_code}'''] }}]
outcomes = [{outcomes}]
"#,
            begun = begun.display(),
            gate = gate.display(),
        ),
    );
    site
}

/// The run of the first task that begins.
fn first_begun(endpoint: &Process) -> String {
    let is_begun = |line: &Value| line["line"].as_str().is_some_and(|line| line.starts_with("begun "));
    let line = endpoint.wait_for("a task to begin", is_begun);
    line["line"].as_str().expect("text").trim_start_matches("begun ").to_owned()
}

/// Reads the journal until a task fits.
fn await_record(journal: &Path, endpoint: &Process, fits: impl Fn(&Task) -> bool) -> Record {
    let mut record = Record::default();
    for _ in 0..BEATS_MAX {
        record.read(journal);
        if record.tasks.values().any(&fits) {
            return record;
        }
        // The beat is a wait for the endpoint's next line; its journal is written without one.
        if matches!(endpoint.hear(now() + BEAT), Heard::End) {
            break;
        }
    }
    panic!("waited in vain for an entry of the journal");
}

fn of_run<'a>(record: &'a Record, run: &str) -> Vec<&'a Task> {
    record.tasks.values().filter(|task| task.run == run).collect()
}

fn begun(site: &Site, run: &str) -> usize {
    super::record::begun(site).iter().filter(|((other, _), _)| other == run).map(|(_, times)| times).sum()
}

#[test]
fn a_task_that_ended_while_the_daemon_was_stopped_is_harvested_with_its_exit_code() {
    let site = gated(3, "");
    let (endpoint, url) = site.endpoint_with_journal(JOURNAL);
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    let run = daemon.wait_for_job("gated", "task started")["run"].as_str().expect("a run").to_owned();
    daemon.signal(Signal::STOP);
    site.open_gate();
    let record = await_record(&site.path(JOURNAL), &endpoint, |task| task.run == run && task.stopped.is_some());
    daemon.signal(Signal::CONT);
    let failed = daemon.wait_for("the run to end", |line| line["message"] == "run failed" && line["run"] == *run);
    assert_eq!(failed["error"], "States.TaskFailed");
    let shown = site.json(&["show", &run]);
    let [attempt] = shown["attempt_list"].as_array().expect("a list").as_slice() else { panic!("once: {shown}") };
    let [task] = of_run(&record, &run)[..] else { panic!("{run} has one task") };
    assert_eq!((attempt["exit_code"].as_i64(), task.exit_code()), (Some(3), Some(3)));
    assert!(attempt["task_arn"].as_str().expect("a task").ends_with(&task.id));
    assert_eq!(begun(&site, &run), 1);
    // The next task waits at the gate; the instants of the silence are rows all the same.
    daemon.wait_for_job("gated", "task started");
    let rows = site.json(&["runs", "-n", "1000"]);
    let mut instants: Vec<_> = rows
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| super::record::instant(&row["scheduled_at"]).timestamp())
        .collect();
    instants.sort_unstable();
    assert!(instants.windows(2).all(|pair| pair[1] == pair[0] + 1), "an instant has no row: {instants:?}");
    site.open_gate();
}

/// What a daemon does that died between the creation of a task and its answer, when the task has ended by then or not.
fn killed_between_effect_and_answer(has_ended: bool) {
    // The answer comes long after everything else in this test.
    let site = gated(0, r#"{ slow_answer = "100s" }"#);
    let (endpoint, url) = site.endpoint_with_journal(JOURNAL);
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    let run = first_begun(&endpoint);
    let (lines, _) = {
        daemon.signal(Signal::KILL);
        daemon.last_words()
    };
    assert!(!lines.iter().any(|line| line["message"] == "task launched"), "it died before it was told");
    if has_ended {
        site.open_gate();
        await_record(&site.path(JOURNAL), &endpoint, |task| task.run == run && task.stopped.is_some());
    }
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    let launched = daemon.wait_for("the launch's answer", |line| line["message"] == "task launched");
    assert_eq!(launched["run"], *run, "the launch that was open comes first");
    if !has_ended {
        site.open_gate();
    }
    daemon.wait_for("the run to end", |line| line["message"] == "run succeeded" && line["run"] == *run);
    let mut record = Record::default();
    record.read(&site.path(JOURNAL));
    let [task] = of_run(&record, &run)[..] else { panic!("{run} has one task") };
    assert!(launched["task_arn"].as_str().expect("a task").ends_with(&task.id));
    assert_eq!(begun(&site, &run), 1);
    let shown = site.json(&["show", &run]);
    assert_eq!(shown["attempt_list"].as_array().map(Vec::len), Some(1), "{shown}");
}

#[test]
fn a_daemon_killed_between_effect_and_answer_finds_the_same_task() {
    killed_between_effect_and_answer(false);
}

#[test]
fn a_daemon_killed_between_effect_and_answer_finds_the_same_task_when_it_has_ended() {
    killed_between_effect_and_answer(true);
}
