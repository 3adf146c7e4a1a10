//! What the daemon said in its log lines, over all its lives. A line is written after what it tells was saved, so each is
//! a promise that no later death may break.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::Value;

use super::jobs::Job;

/// The lines that end a run, and the status that it then has.
const ENDS: [(&str, &str); 7] = [
    ("run succeeded", "succeeded"),
    ("run failed", "failed"),
    ("run timed out", "timed_out"),
    ("run cancelled", "cancelled"),
    ("run skipped", "skipped"),
    ("run missed", "missed"),
    ("run ended as unknown", "unknown"),
];

#[derive(Default)]
pub(super) struct Told {
    /// How often each text was there.
    pub(super) texts: BTreeMap<String, usize>,
    /// Runs that have not been looked for in a listing since they were named.
    pub(super) unlisted: BTreeSet<String>,
    /// Runs with a task that they follow.
    pub(super) followed: BTreeSet<(String, String)>,
    /// The statuses with which each run was said to end.
    pub(super) ends: BTreeMap<String, Vec<&'static str>>,
    /// The first and the newest instant of each job that was recorded.
    pub(super) instants: BTreeMap<String, (DateTime<Utc>, DateTime<Utc>)>,
    /// Lines that no history should hold.
    pub(super) complaints: Vec<String>,
}

impl Told {
    pub(super) fn hear(&mut self, line: &Value) {
        let text = line["message"].as_str().unwrap_or_default();
        *self.texts.entry(text.to_owned()).or_default() += 1;
        let end = ENDS.iter().find(|(end, _)| *end == text).map(|(_, status)| *status);
        // A daemon that was stopped in the middle of a save for longer than one may take says so when it goes on.
        let is_late_save = text == "state could not be saved yet; nothing is launched until it is";
        if (line["level"] == "ERROR" && end.is_none() && !is_late_save) || text.contains("panicked") {
            self.complaints.push(format!("the daemon said: {line}"));
        }
        let Some(run) = line["run"].as_str() else { return };
        self.unlisted.insert(run.to_owned());
        let (job, at) = firing(run);
        let (first, newest) = self.instants.entry(job.to_owned()).or_insert((at, at));
        (*first, *newest) = ((*first).min(at), (*newest).max(at));
        if let Some(arn) = line["task_arn"].as_str() {
            self.followed.insert((run.to_owned(), arn.to_owned()));
        }
        if let Some(status) = end {
            self.ends.entry(run.to_owned()).or_default().push(status);
        }
    }

    pub(super) fn count(&self, text: &str) -> usize {
        self.texts.get(text).copied().unwrap_or_default()
    }
}

/// The job and the instant that a run is named after.
pub(super) fn firing(run: &str) -> (&str, DateTime<Utc>) {
    let (job, instant) = run.rsplit_once('-').expect("a run is named after its job and its instant");
    assert!(Job::of(job).is_some(), "{run} is of no job");
    (job, NaiveDateTime::parse_from_str(instant, "%Y%m%dT%H%M%SZ").expect("an instant").and_utc())
}
