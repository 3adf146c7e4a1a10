//! Client tokens: which RunTask calls were made before.
//!
//! The rules are those of "Ensuring idempotency" in the Amazon ECS API reference. A token belongs to a cluster. The same token with
//! the same parameters repeats the first result, its failures included; with any other parameter it is a conflict. A token is
//! forgotten after the shorter of 24 hours and the task's life time plus one hour, and the same call then starts a new task: a caller
//! that re-sends too late is caught here and not only on AWS.
//!
//! Whether AWS compares the raw parameters or the resolved ones is not documented. Here the raw ones count.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tasks::{Failure, Tasks};

const TOKEN_LIFETIME_MAX: TimeDelta = TimeDelta::hours(24);
const TOKEN_LIFETIME_AFTER_STOP: TimeDelta = TimeDelta::hours(1);

/// The result that a token stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The parameters of the call, without the token.
    pub(super) request: Value,
    pub(super) created_at: DateTime<Utc>,
    /// The ids of the tasks that the answer named.
    pub(super) tasks: Vec<String>,
    /// The ids of tasks that were created behind a failure: no replay shows them.
    pub(super) ghosts: Vec<String>,
    pub(super) failures: Vec<Failure>,
}

impl Record {
    fn expires_at(&self, tasks: &Tasks) -> DateTime<Utc> {
        let latest = self.created_at + TOKEN_LIFETIME_MAX;
        let mut last_stop = self.created_at;
        for id in self.tasks.iter().chain(&self.ghosts) {
            match tasks.get(id).map(|task| task.stopped_at) {
                Some(None) => return latest,
                Some(Some(stopped_at)) => last_stop = last_stop.max(stopped_at),
                // A task that is forgotten stopped more than an hour ago.
                None => {}
            }
        }
        latest.min(last_stop + TOKEN_LIFETIME_AFTER_STOP)
    }
}

/// What is known of a call.
#[derive(Debug, PartialEq)]
pub(super) enum Found<'a> {
    /// The call is new.
    New,
    /// The call was made before; this was its result.
    Replay(&'a Record),
    /// The token was used for another call.
    Conflict(&'a Record),
}

/// All tokens that ECS would still know.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    records: HashMap<(String, String), Record>,
}

impl Tokens {
    pub(super) fn find(
        &self,
        (cluster, token): (&str, &str),
        request: &Value,
        tasks: &Tasks,
        now: DateTime<Utc>,
    ) -> Found<'_> {
        let key = (cluster.to_owned(), token.to_owned());
        match self.records.get(&key) {
            Some(record) if record.expires_at(tasks) <= now => Found::New,
            Some(record) if record.request == *request => Found::Replay(record),
            Some(record) => Found::Conflict(record),
            None => Found::New,
        }
    }

    pub(super) fn insert(&mut self, cluster: &str, token: &str, record: Record) {
        self.records.insert((cluster.to_owned(), token.to_owned()), record);
    }

    /// Whether the token is still remembered, as it is until `forget` has dropped it.
    pub(super) fn contains(&self, cluster: &str, token: &str) -> bool {
        self.records.contains_key(&(cluster.to_owned(), token.to_owned()))
    }

    /// Drops what has expired. Called before the tasks are forgotten, because their ends decide.
    pub(super) fn forget(&mut self, tasks: &Tasks, now: DateTime<Utc>) {
        self.records.retain(|_, record| record.expires_at(tasks) > now);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tasks::tests::{at, task};
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn record(tasks: &[&str]) -> Record {
        Record {
            request: json!({ "taskDefinition": "hello" }),
            created_at: at(0),
            tasks: tasks.iter().map(|id| (*id).to_owned()).collect(),
            ghosts: Vec::new(),
            failures: Vec::new(),
        }
    }

    fn tokens(record: Record) -> Tokens {
        let mut tokens = Tokens::default();
        tokens.insert("default", "t-1", record);
        tokens
    }

    fn stopped(id: &str, seconds: i64) -> super::super::tasks::Task {
        let mut task = task(id, at(0));
        task.stop(at(seconds));
        task
    }

    #[test]
    fn the_same_call_replays_and_any_other_parameter_conflicts() {
        let mut tasks = Tasks::default();
        tasks.insert(task("a", at(0)));
        let tokens = tokens(record(&["a"]));
        let key = ("default", "t-1");
        let same = json!({ "taskDefinition": "hello" });
        let other = json!({ "taskDefinition": "hello", "count": 1 });
        assert!(matches!(tokens.find(key, &same, &tasks, at(5)), Found::Replay(_)));
        assert!(matches!(tokens.find(key, &other, &tasks, at(5)), Found::Conflict(_)));
    }

    #[test]
    fn a_token_belongs_to_its_cluster() {
        let tokens = tokens(record(&[]));
        let request = json!({ "taskDefinition": "hello" });
        let found = tokens.find(("other", "t-1"), &request, &Tasks::default(), at(5));
        assert_eq!(found, Found::New);
    }

    #[test]
    fn a_token_of_a_running_task_lives_a_day() {
        let mut tasks = Tasks::default();
        tasks.insert(task("a", at(0)));
        assert_eq!(record(&["a"]).expires_at(&tasks), at(24 * 3600));
    }

    #[test]
    fn a_token_ends_an_hour_after_the_last_task_stopped() {
        let mut tasks = Tasks::default();
        tasks.insert(stopped("a", 10));
        tasks.insert(stopped("b", 600));
        assert_eq!(record(&["a", "b"]).expires_at(&tasks), at(600 + 3600));
        let tokens = tokens(record(&["a", "b"]));
        let request = json!({ "taskDefinition": "hello" });
        let key = ("default", "t-1");
        let last = tokens.find(key, &request, &tasks, at(600 + 3599));
        assert!(matches!(last, Found::Replay(_)));
        assert_eq!(tokens.find(key, &request, &tasks, at(600 + 3600)), Found::New);
    }

    #[test]
    fn a_recorded_failure_is_known_for_an_hour() {
        assert_eq!(record(&[]).expires_at(&Tasks::default()), at(3600));
    }

    proptest! {
        #[test]
        fn no_token_outlives_a_day_or_its_task_by_an_hour(lived in 0_i64..200_000, asked in 0_i64..300_000) {
            let mut tasks = Tasks::default();
            tasks.insert(stopped("a", lived));
            let mut tokens = tokens(record(&["a"]));
            let request = json!({ "taskDefinition": "hello" });
            let known = asked < (lived + 3600).min(24 * 3600);
            let found = tokens.find(("default", "t-1"), &request, &tasks, at(asked));
            prop_assert_eq!(matches!(found, Found::Replay(_)), known);
            tokens.forget(&tasks, at(asked));
            prop_assert_eq!(tokens.contains("default", "t-1"), known);
        }
    }
}
