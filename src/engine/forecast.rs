//! What becomes of a run in which the same failure comes again and again: every wait, and the end.
//!
//! The policy is asked as a run asks it, attempt by attempt. An attempt is taken to last no longer than its failure needs, so
//! a real run waits no more often than this one. `run/tests/forecast.rs` plays the same failures in real runs and compares.

use std::time::Duration;

use super::failure::{ErrorName, Failure};
use super::job::{Definition, Limits, OnUnknown};
use super::launch::RESEND_WINDOW;
use super::retry::{Decision, RetryPolicy};

/// How many retries are foreseen at most.
pub const RETRIES_MAX: usize = 1_000;

/// What is to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Which retrier takes the failure, from 0.
    pub retrier: Option<usize>,
    /// The wait before each retry that happens; with `FULL` jitter, at most.
    pub delays: Vec<Duration>,
    /// How long each attempt lasts at least.
    pub attempt: Duration,
    /// A wait that is granted and that `timeout` ends.
    pub cut: Option<Duration>,
    /// How it ends.
    pub end: End,
}

/// How a forecast ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// No retrier takes the failure, or the one that does is used up.
    Failed,
    /// `timeout` is over.
    TimedOut,
    /// Whether a task was launched is not known, and `on_unknown` lets it rest at that.
    Unknown,
    /// The same, and `on_unknown` lets the task be launched again, outside the retriers.
    Rerun,
    /// It goes on after as many retries as are foreseen.
    Open,
}

/// Foresees a run.
pub fn forecast(definition: &Definition, failure: &Failure) -> Forecast {
    let timeout = definition.limits.timeout.unwrap_or(Duration::MAX);
    let attempt = shortest_attempt(definition, failure);
    let mut used = vec![0u32; definition.retry.retriers().len()];
    let mut seen = Forecast { retrier: None, delays: Vec::new(), attempt, cut: None, end: End::Open };
    let mut passed = attempt;
    if passed < timeout && definition.exit_codes.forbids_retry(failure).is_some() {
        return Forecast { end: End::Failed, ..seen };
    }
    loop {
        if passed >= timeout {
            // As in a run: an open question does not become a time-out.
            seen.end = if failure.primary == ErrorName::LAUNCH_UNKNOWN { End::Unknown } else { End::TimedOut };
            seen.retrier = seen.retrier.or(retrier_of(definition.retry.decide(failure, &used, 1.0)));
            return seen;
        }
        let decision = definition.retry.decide(failure, &used, 1.0);
        seen.retrier = retrier_of(decision);
        let Decision::Retry { retrier, delay } = decision else {
            seen.end = match definition.on_unknown {
                _ if failure.primary != ErrorName::LAUNCH_UNKNOWN => End::Failed,
                OnUnknown::Fail => End::Unknown,
                OnUnknown::Rerun => End::Rerun,
            };
            return seen;
        };
        if seen.delays.len() == RETRIES_MAX {
            return seen;
        }
        passed = passed.saturating_add(delay);
        if passed >= timeout {
            (seen.cut, seen.end) = (Some(delay), End::TimedOut);
            return seen;
        }
        seen.delays.push(delay);
        passed = passed.saturating_add(attempt);
        if let Some(used) = used.get_mut(retrier) {
            *used += 1;
        }
    }
}

/// The longest that a run may take; what a task needs to stop comes on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Longest {
    /// All of it.
    pub lasts: Duration,
    /// How long it waits between attempts; with `FULL` jitter, at most.
    pub waits: Duration,
    /// Whether `timeout` ends it before its attempts and waits are over.
    pub is_cut: bool,
}

/// The longest that a run of so many attempts with a task may take; none if no limit says so. The attempts that ECS refuses take
/// no time beside them.
pub fn longest_run(limits: &Limits, retry: &RetryPolicy, attempts: u64) -> Option<Longest> {
    let waits = retry.longest_wait();
    let uncut = limits
        .attempt_timeout
        .map(|attempt| attempt.saturating_mul(u32::try_from(attempts).unwrap_or(u32::MAX)).saturating_add(waits));
    let cut = limits.timeout.filter(|timeout| uncut.is_none_or(|uncut| *timeout < uncut));
    Some(Longest { lasts: cut.or(uncut)?, waits, is_cut: cut.is_some() })
}

fn retrier_of(decision: Decision) -> Option<usize> {
    match decision {
        Decision::Retry { retrier, .. } | Decision::Exhausted { retrier } => Some(retrier),
        Decision::NoMatch => None,
    }
}

/// A limit of time must pass before it is reached, and the age of a launch before it is too old.
fn shortest_attempt(definition: &Definition, failure: &Failure) -> Duration {
    if failure.primary == ErrorName::LAUNCH_UNKNOWN {
        RESEND_WINDOW.to_std().unwrap_or_default()
    } else if failure.names.contains(&ErrorName::START_TIMEOUT) {
        definition.limits.start_timeout.unwrap_or_default()
    } else if failure.primary == ErrorName::TIMEOUT {
        definition.limits.attempt_timeout.unwrap_or_default()
    } else {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest(timeout: Option<u64>, attempt_timeout: Option<u64>) -> Option<(u64, bool)> {
        let [timeout, attempt_timeout] = [timeout, attempt_timeout].map(|limit| limit.map(Duration::from_secs));
        let limits = Limits { timeout, attempt_timeout, ..Limits::default() };
        let longest = longest_run(&limits, &RetryPolicy::default(), 4)?;
        assert_eq!(longest.waits, Duration::from_secs(79));
        Some((longest.lasts.as_secs(), longest.is_cut))
    }

    #[test]
    fn the_longest_run_is_its_attempts_and_waits_or_its_timeout() {
        assert_eq!(longest(None, None), None);
        assert_eq!(longest(Some(900), None), Some((900, true)));
        assert_eq!(longest(None, Some(600)), Some((2_479, false)));
        assert_eq!(longest(Some(2_478), Some(600)), Some((2_478, true)));
        assert_eq!(longest(Some(2_479), Some(600)), Some((2_479, false)));
        assert_eq!(longest(None, Some(u64::MAX)).map(|(_, is_cut)| is_cut), Some(false));
    }
}
