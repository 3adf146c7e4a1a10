//! The audit of a history: what the daemon shows at the end, against what the endpoint recorded and what tasks wrote.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::history::{History, Shown};
use super::jobs::{Job, TASK_RETRIES, TIMEOUT_RETRIES};
use super::record::{Task, begun, instant};
use super::told::firing;

/// How much evidence of one kind is printed.
const SHOWN_MAX: usize = 20;

/// What is wrong, with the evidence.
#[derive(Default)]
pub(super) struct Findings {
    /// A launch, a process or a run that was there twice.
    pub(super) doubles: Vec<String>,
    /// An instant without a row, a task without a run, a run without an end.
    pub(super) losses: Vec<String>,
    /// An end, a retry or a line that the record does not bear out.
    pub(super) wrongs: Vec<String>,
}

impl Findings {
    pub(super) fn are_none(&self) -> bool {
        self.doubles.is_empty() && self.losses.is_empty() && self.wrongs.is_empty()
    }

    pub(super) fn evidence(&self) -> String {
        let kinds = [("double", &self.doubles), ("loss", &self.losses), ("wrong", &self.wrongs)];
        let lines = kinds
            .iter()
            .flat_map(|(kind, found)| found.iter().take(SHOWN_MAX).map(move |evidence| format!("{kind}: {evidence}")));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Compares everything with everything.
pub(super) fn audit(history: &History, shown: &Shown) -> Findings {
    let mut findings = Findings { wrongs: history.told.complaints.clone(), ..Findings::default() };
    launches(history, &mut findings);
    processes(history, &mut findings);
    instants(history, shown, &mut findings);
    for row in &shown.rows {
        plausible(history, row, shown, &mut findings);
    }
    let by_run = history.record.by_run();
    let mut known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for story in &shown.stories {
        let run = text(&story["run"]);
        let arns = attempts(story).iter().filter_map(|attempt| attempt["task_arn"].as_str());
        known.entry(run).or_default().extend(arns.filter_map(|arn| arn.rsplit('/').next()));
        let tasks = by_run.get(run).map_or(&[][..], Vec::as_slice);
        ends(story, tasks, &mut findings);
        retries(story, &mut findings);
    }
    for task in history.record.tasks.values() {
        if !known.get(task.run.as_str()).is_some_and(|known| known.contains(task.id.as_str())) {
            findings.losses.push(format!("no run knows {}", task.evidence()));
        }
    }
    for (run, arn) in &history.told.followed {
        let id = arn.rsplit('/').next().unwrap_or_default();
        if !known.get(run.as_str()).is_some_and(|known| known.contains(id)) {
            findings.losses.push(format!("{run} was said to follow {arn} and does not know it"));
        }
    }
    findings
}

/// One task a launch, one task of a run at a time, and one of a job where its runs must not overlap.
fn launches(history: &History, findings: &mut Findings) {
    let mut jobs: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
    for (run, tasks) in history.record.by_run() {
        let mut generations = BTreeMap::new();
        for task in &tasks {
            if let Some(other) = generations.insert(task.generation, *task) {
                findings.doubles.push(format!("{run}: {} and {}", other.evidence(), task.evidence()));
            }
            jobs.entry(&task.job).or_default().push(task);
        }
        findings.doubles.extend(side_by_side(&tasks, true));
    }
    for (job, mut tasks) in jobs {
        if Job::of(job).expect("a job").overlap != "allow" {
            tasks.sort_by_key(|task| task.created_at);
            findings.doubles.extend(side_by_side(&tasks, false));
        }
    }
}

/// Pairs of neighbours, of one run or of two, of which the second was created before the first had stopped.
fn side_by_side(tasks: &[&Task], of_one_run: bool) -> Vec<String> {
    let overlap = |pair: &&[&Task]| {
        let is_late = pair[0].stopped.as_ref().is_none_or(|stopped| stopped.at > pair[1].created_at);
        is_late && (pair[0].run == pair[1].run) == of_one_run
    };
    let words = |pair: &[&Task]| format!("side by side: {} and {}", pair[0].evidence(), pair[1].evidence());
    tasks.windows(2).filter(overlap).map(words).collect()
}

/// One process a task, and none beside another of its run.
fn processes(history: &History, findings: &mut Findings) {
    let begun = begun(&history.site);
    for ((run, generation), times) in &begun {
        if *times > 1 {
            findings.doubles.push(format!("{run} generation {generation} began {times} times"));
        }
        if !history.record.tasks.values().any(|task| task.run == *run && task.generation == *generation) {
            findings.wrongs.push(format!("{run} generation {generation} began and is not in the record"));
        }
    }
    for line in std::fs::read_to_string(history.site.path("beside")).unwrap_or_default().lines() {
        findings.doubles.push(format!("a process of {line} ran beside another of its run"));
    }
    for task in history.record.tasks.values() {
        let key = (task.run.clone(), task.generation);
        if matches!(task.exit_code(), Some(0 | 1)) && !begun.contains_key(&key) {
            findings.wrongs.push(format!("no process wrote anything of {}", task.evidence()));
        }
    }
}

/// One row for each instant between the first one that every job has recorded and each job's newest.
fn instants(history: &History, shown: &Shown, findings: &mut Findings) {
    let mut rows: BTreeMap<&str, BTreeMap<DateTime<Utc>, &str>> = BTreeMap::new();
    for row in &shown.rows {
        let (run, job, at) = (text(&row["run"]), text(&row["job"]), instant(&row["scheduled_at"]));
        if firing(run) != (job, at) {
            findings.wrongs.push(format!("{run} is the row of {job} at {at}"));
        }
        if let Some(other) = rows.entry(job).or_default().insert(at, run) {
            findings.doubles.push(format!("{other} and {run} are rows of one instant"));
        }
    }
    for (job, (first, newest)) in &history.told.instants {
        let every = Job::of(job).expect("a job").every;
        let rows = rows.remove(job.as_str()).unwrap_or_default();
        let newest = rows.last_key_value().map_or(*newest, |(at, _)| *newest.max(at));
        let mut at = *first;
        while at <= newest {
            let is_due = at.timestamp() % every == 0;
            if is_due && !rows.contains_key(&at) {
                findings.losses.push(format!("{job} has no row of {at}"));
            }
            at += TimeDelta::seconds(1);
        }
        for (at, run) in &rows {
            if at.timestamp() % every != 0 || at < first {
                findings.wrongs.push(format!("{run} is a row of no instant of {job}"));
            }
        }
    }
}

/// Every row has ended, in a way that this history can have brought about, and as the log said.
fn plausible(history: &History, row: &Value, shown: &Shown, findings: &mut Findings) {
    let (run, status) = (text(&row["run"]), text(&row["status"]));
    let cause = row["cause"].as_str().unwrap_or_default();
    let job = Job::of(text(&row["job"])).expect("a job");
    let was_launched = history.record.tasks.values().any(|task| task.run == run);
    let is_plausible = match status {
        "succeeded" | "failed" => true,
        "cancelled" => job.overlap == "cancel_running" && cause.contains("replaced by run"),
        "skipped" => job.overlap != "allow" && !was_launched && was_in_the_way(row, cause, shown),
        "missed" => !was_launched && cause.contains("the daemon was away"),
        "due" | "launching" | "running" | "stopping" | "waiting" => {
            findings.losses.push(format!("{run} has not ended: {row}"));
            true
        }
        _ => false,
    };
    if !is_plausible {
        findings.wrongs.push(format!("not plausible: {row}"));
    }
    match history.told.ends.get(run).map(Vec::as_slice) {
        None => {}
        Some([told]) if *told == status => {}
        Some(told) => findings.wrongs.push(format!("{run} was said to be {told:?}: {row}")),
    }
}

/// Whether the run that a skipped row names lived when that row was made.
fn was_in_the_way(row: &Value, cause: &str, shown: &Shown) -> bool {
    let Some(other) = shown.rows.iter().find(|other| cause.contains(&format!("run {} ", text(&other["run"])))) else {
        return false;
    };
    let skipped_at = instant(&row["created_at"]);
    other["job"] == row["job"]
        && instant(&other["created_at"]) <= skipped_at
        && instant(&other["finished_at"]) >= skipped_at
}

/// A run is a success exactly if a task of it was, and nothing is launched after that.
fn ends(story: &Value, tasks: &[&Task], findings: &mut Findings) {
    let (run, status) = (text(&story["run"]), text(&story["status"]));
    let evidence = || tasks.iter().map(|task| task.evidence()).collect::<Vec<_>>().join("; ");
    let succeeded = |task: &&&Task| task.exit_code() == Some(0) && !task.was_asked_to_stop();
    let success = tasks.iter().position(|task| succeeded(&task));
    match success {
        None if status == "succeeded" => {
            findings.wrongs.push(format!("{run} is green without a success: {}", evidence()))
        }
        Some(at) if at + 1 < tasks.len() => {
            findings.doubles.push(format!("{run} went on after a success: {}", evidence()))
        }
        // Whoever replaces a run may come when its task has ended and nobody has looked yet.
        Some(_) if status != "succeeded" && status != "cancelled" => {
            findings.losses.push(format!("{run} is {status} despite a success: {}", evidence()));
        }
        None | Some(_) => {}
    }
    for task in tasks {
        if task.stopped.is_none() {
            findings.wrongs.push(format!("{run} is {status}, and {}", task.evidence()));
        }
        let shown = attempts(story).iter().find(|attempt| text(&attempt["task_arn"]).ends_with(&task.id));
        if shown.is_some_and(|attempt| attempt["exit_code"].as_i64() != task.exit_code()) {
            findings.wrongs.push(format!("{run} shows another exit code than {}", task.evidence()));
        }
    }
}

/// A run that failed has used its last retrier up, and not more: no death takes a retry, and none gives one.
fn retries(story: &Value, findings: &mut Findings) {
    let job = Job::of(text(&story["job"])).expect("a job");
    let names = |attempt: &Value, name: &str| {
        attempt["error_names"].as_array().is_some_and(|names| names.iter().any(|other| other == name))
    };
    let kinds = [
        ("ECS.AmazonECSException", job.ecs_retries),
        ("States.TaskFailed", TASK_RETRIES),
        ("States.Timeout", TIMEOUT_RETRIES),
    ];
    let last = attempts(story).last();
    let mut is_used_up = false;
    for (name, granted) in kinds {
        let failed = attempts(story).iter().filter(|attempt| names(attempt, name)).count();
        if failed > granted + 1 {
            findings.doubles.push(format!("more retries after {name} than granted: {story}"));
        }
        is_used_up |= failed == granted + 1 && last.is_some_and(|attempt| names(attempt, name));
    }
    if story["status"] == "failed" && !is_used_up {
        findings.losses.push(format!("failed with retries left: {story}"));
    }
}

fn attempts(story: &Value) -> &[Value] {
    story["attempt_list"].as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
