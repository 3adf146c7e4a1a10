//! What really happened, as those say who are not on trial: the endpoint's journal, and the files that tasks write.
//!
//! The journal is a better record than the API: it names each task at its creation, also the ghosts that no answer shows,
//! keeps the tags that StopTask wipes, and forgets nothing that was read before. The files count processes, so that a task
//! that the endpoint itself started twice would be seen as well.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::harness::Site;

/// The journal's name in a site; `run --local` chose it.
pub(super) const JOURNAL: &str = "tasks.jsonl";

/// A task that the endpoint created.
pub(super) struct Task {
    /// The last part of its ARN.
    pub(super) id: String,
    pub(super) job: String,
    pub(super) run: String,
    pub(super) generation: u64,
    pub(super) created_at: DateTime<Utc>,
    pub(super) stopped: Option<Stopped>,
}

pub(super) struct Stopped {
    pub(super) at: DateTime<Utc>,
    pub(super) exit_code: Option<i64>,
    pub(super) stop_code: Option<String>,
}

impl Task {
    pub(super) fn exit_code(&self) -> Option<i64> {
        self.stopped.as_ref().and_then(|stopped| stopped.exit_code)
    }

    pub(super) fn was_asked_to_stop(&self) -> bool {
        self.stopped.as_ref().is_some_and(|stopped| stopped.stop_code.as_deref() == Some("UserInitiated"))
    }

    pub(super) fn evidence(&self) -> String {
        let Task { id, run, generation, created_at, stopped, .. } = self;
        let end = stopped.as_ref().map_or("still runs".to_owned(), |Stopped { at, exit_code, stop_code }| {
            format!("stopped {at} with exit code {exit_code:?}, {stop_code:?}")
        });
        format!("task {id} of {run} generation {generation}: created {created_at}, {end}")
    }
}

/// All tasks, by id.
#[derive(Default)]
pub(super) struct Record {
    pub(super) tasks: BTreeMap<String, Task>,
    /// For each family, how many launches met its script.
    launches: BTreeMap<String, u64>,
}

impl Record {
    /// Reads what the journal says by now. What it has said before stays, also when it was rewritten without it.
    pub(super) fn read(&mut self, journal: &Path) {
        let text = std::fs::read_to_string(journal).expect("the journal is readable");
        // What follows the last line break is being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            let entry: Value = serde_json::from_str(line).expect("the journal has one object a line");
            if let (Some(family), Some(consumed)) = (entry["family"].as_str(), entry["consumed"].as_u64()) {
                self.launches.insert(family.to_owned(), consumed);
            }
            for task in entry["tasks"].as_array().into_iter().flatten() {
                let task = created(task);
                self.tasks.entry(task.id.clone()).or_insert(task);
            }
            if entry["event"] == "stopped" {
                let (id, stopped) = stopped(&entry["task"]);
                self.tasks.get_mut(&id).expect("created before it stopped").stopped = Some(stopped);
            }
        }
    }

    /// Launches that met a script, refusals included.
    pub(super) fn launches(&self) -> u64 {
        self.launches.values().sum()
    }

    /// All tasks by their run, in the order of their creation.
    pub(super) fn by_run(&self) -> BTreeMap<&str, Vec<&Task>> {
        let mut runs: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
        for task in self.tasks.values() {
            runs.entry(&task.run).or_default().push(task);
        }
        for tasks in runs.values_mut() {
            tasks.sort_by_key(|task| task.created_at);
        }
        runs
    }
}

fn created(task: &Value) -> Task {
    let tag = |key: &str| {
        let mut tags = task["tags"].as_array().expect("tags").iter();
        let tag = tags.find(|tag| tag["key"] == format!("tenacron:{key}")).expect("every task is tagged");
        tag["value"].as_str().expect("text").to_owned()
    };
    Task {
        id: task["id"].as_str().expect("an id").to_owned(),
        job: tag("job"),
        run: tag("run"),
        generation: tag("attempt").parse().expect("a number"),
        created_at: instant(&task["created_at"]),
        stopped: None,
    }
}

fn stopped(task: &Value) -> (String, Stopped) {
    let stopped = Stopped {
        at: instant(&task["stopped_at"]),
        exit_code: task["containers"][0]["exit_code"].as_i64(),
        stop_code: task["stop_code"].as_str().map(str::to_owned),
    };
    (task["id"].as_str().expect("an id").to_owned(), stopped)
}

/// An instant of a JSON object.
pub(super) fn instant(value: &Value) -> DateTime<Utc> {
    value.as_str().expect("an instant").parse().expect("RFC 3339")
}

/// The processes that began, by run and generation, and how often each did.
pub(super) fn begun(site: &Site) -> BTreeMap<(String, u64), usize> {
    let mut begun = BTreeMap::new();
    for line in std::fs::read_to_string(site.path("begun")).unwrap_or_default().lines() {
        let (run, generation) = line.split_once(' ').expect("a run and its generation");
        *begun.entry((run.to_owned(), generation.parse().expect("a number"))).or_default() += 1;
    }
    begun
}
