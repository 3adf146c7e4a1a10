//! The retry rules of the Amazon States Language, written a second time and as plainly as possible, to judge histories by.
//! It reproduces `tests/fixtures/retry-vectors.json` and shares no line with `engine/retry.rs`.

use crate::engine::retry::RetryPolicy;

/// A retrier as ASL writes it.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    error_equals: Vec<String>,
    interval_seconds: f64,
    max_attempts: u32,
    backoff_rate: f64,
    max_delay_seconds: Option<f64>,
    granted: u32,
}

/// What a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// A retry, by this retrier, after so many milliseconds.
    Retry { retrier: usize, milliseconds: i64 },
    /// This retrier matches and has nothing left.
    Exhausted { retrier: usize },
    /// The end, because none matches.
    NoMatch,
}

/// The policy of one run, with what it has granted so far.
#[derive(Debug, Clone)]
pub(super) struct Asl(Vec<Rule>);

impl Asl {
    pub(super) fn of(policy: &RetryPolicy) -> Asl {
        let rule = |retrier: &crate::engine::retry::Retrier| Rule {
            error_equals: retrier.error_equals.iter().map(ToString::to_string).collect(),
            interval_seconds: f64::from(retrier.interval_seconds),
            max_attempts: retrier.max_attempts,
            backoff_rate: retrier.backoff_rate,
            max_delay_seconds: retrier.max_delay_seconds.map(f64::from),
            granted: 0,
        };
        Asl(policy.retriers().iter().map(rule).collect())
    }

    /// Judges a failure by its primary name and all others that it answers to.
    pub(super) fn judge(&mut self, primary: &str, names: &[String]) -> Verdict {
        let matches = |listed: &String| match listed.as_str() {
            "States.ALL" => {
                !["States.DataLimitExceeded", "States.Runtime", "Tenacron.LaunchUnknown"].contains(&primary)
            }
            "States.TaskFailed" => {
                names.contains(listed)
                    || !["States.Timeout", "States.DataLimitExceeded", "States.Runtime", "Tenacron.LaunchUnknown"]
                        .contains(&primary)
            }
            _ => names.contains(listed),
        };
        let Some(retrier) = self.0.iter().position(|rule| rule.error_equals.iter().any(matches)) else {
            return Verdict::NoMatch;
        };
        let rule = &mut self.0[retrier];
        if rule.granted == rule.max_attempts {
            return Verdict::Exhausted { retrier };
        }
        let mut seconds = rule.interval_seconds;
        for _ in 0..rule.granted {
            seconds *= rule.backoff_rate;
        }
        rule.granted += 1;
        let seconds = rule.max_delay_seconds.map_or(seconds, |longest| seconds.min(longest));
        #[expect(clippy::cast_possible_truncation, reason = "a wait in milliseconds")]
        let milliseconds = (seconds * 1000.0).round() as i64;
        Verdict::Retry { retrier, milliseconds }
    }
}

#[test]
fn the_second_writing_reproduces_the_vectors() {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/retry-vectors.json"));
    let vectors: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    assert!(vectors.len() > 20, "all vectors are there");
    for vector in vectors {
        let rule = |retrier: &serde_json::Value| Rule {
            error_equals: serde_json::from_value(retrier["error_equals"].clone()).unwrap(),
            interval_seconds: retrier["interval_seconds"].as_f64().unwrap_or(1.0),
            max_attempts: u32::try_from(retrier["max_attempts"].as_u64().unwrap_or(3)).unwrap(),
            backoff_rate: retrier["backoff_rate"].as_f64().unwrap_or(2.0),
            max_delay_seconds: retrier["max_delay_seconds"].as_f64(),
            granted: 0,
        };
        let mut asl = Asl(vector["retry"].as_array().unwrap().iter().map(rule).collect());
        let (mut delays, mut matched) = (Vec::new(), Vec::new());
        for outcome in vector["outcomes"].as_array().unwrap().iter().filter_map(|outcome| outcome.as_str()) {
            if outcome == "ok" {
                continue;
            }
            match asl.judge(outcome, &[outcome.to_owned()]) {
                Verdict::Retry { retrier, milliseconds } => {
                    delays.push(serde_json::json!(milliseconds as f64 / 1000.0));
                    matched.push(serde_json::json!(retrier));
                }
                Verdict::Exhausted { retrier } => matched.push(serde_json::json!(retrier)),
                Verdict::NoMatch => matched.push(serde_json::Value::Null),
            }
        }
        let as_floats = |value: &serde_json::Value| -> Vec<f64> {
            value.as_array().unwrap().iter().map(|delay| delay.as_f64().unwrap()).collect()
        };
        let name = &vector["name"];
        assert_eq!(as_floats(&serde_json::Value::Array(delays)), as_floats(&vector["delays"]), "{name}");
        assert_eq!(&serde_json::Value::Array(matched), &vector["matched_retrier"], "{name}");
    }
}
