//! The retry policy of the Amazon States Language, on names alone.
//!
//! A policy is an ordered list of retriers, each with a counter that starts at zero with the run. The first retrier that
//! matches a failure decides, even when it is used up: ASL does not fall through to the next. `max_attempts` counts
//! retries, so 3 allows four attempts. Source: AWS Step Functions Developer Guide, "Handling errors in Step Functions
//! workflows". `tests/fixtures/retry-vectors.json` holds the rules as data.
//!
//! Nothing here sleeps or remembers: the counters live in the run, the wait becomes an instant in its state, and so a
//! restart changes neither.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use backoff::backoff::Backoff as _;
use serde::{Deserialize, Serialize};

use super::failure::{ErrorName, Failure};

/// The longest wait, 366 days: ASL's own limit of `MaxDelaySeconds`.
pub const MAX_DELAY_SECONDS: u32 = 31_622_400;
/// ASL's limit of `IntervalSeconds` and `MaxAttempts`.
pub const MAX_INTEGER: u32 = 99_999_999;

/// ASL's `JitterStrategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Jitter {
    /// Wait exactly the computed delay.
    #[serde(rename = "NONE")]
    None,
    /// Wait a random time between zero and the computed delay.
    #[serde(rename = "FULL")]
    Full,
}

/// One retrier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retrier {
    /// The error names that it takes.
    pub error_equals: Vec<ErrorName>,
    /// Wait before the first retry, in seconds; default 1.
    pub interval_seconds: u32,
    /// How many retries it grants; default 3, and 0 means "never retry these".
    pub max_attempts: u32,
    /// By what each wait is longer than the one before; default 2.0.
    pub backoff_rate: f64,
    /// The longest wait, in seconds.
    pub max_delay_seconds: Option<u32>,
    /// Whether the wait is drawn at random.
    pub jitter_strategy: Jitter,
}

/// Why a retrier or a policy is not valid; `field` is its key in the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidRetrier {
    /// Which retrier, from 0.
    pub retrier: usize,
    /// The key that is wrong.
    pub field: &'static str,
    /// What is wrong and what is accepted.
    pub message: String,
}

/// An ordered list of valid retriers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RetryPolicy(Arc<[Retrier]>);

/// Shared by all jobs that name no retrier.
static BUILT_IN: LazyLock<RetryPolicy> = LazyLock::new(|| {
    let retrier = |name, interval_seconds, backoff_rate| Retrier {
        error_equals: vec![name],
        interval_seconds,
        max_attempts: 3,
        backoff_rate,
        max_delay_seconds: None,
        jitter_strategy: Jitter::None,
    };
    RetryPolicy([retrier(ErrorName::ECS_EXCEPTION, 10, 2.0), retrier(ErrorName::TASK_FAILED, 3, 1.0)].into())
});

/// What the policy says to a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Try again after the wait; the retrier's counter goes up by one.
    Retry {
        /// Which retrier took it, from 0.
        retrier: usize,
        /// How long to wait, in whole milliseconds.
        delay: Duration,
    },
    /// A retrier matches and has no retry left.
    Exhausted {
        /// Which retrier took it, from 0.
        retrier: usize,
    },
    /// No retrier names this failure.
    NoMatch,
}

impl Default for RetryPolicy {
    /// What a job gets that names no retrier: ECS exceptions 10 s × 2.0, then task failures 3 s × 1.0, three retries each.
    fn default() -> RetryPolicy {
        BUILT_IN.clone()
    }
}

impl RetryPolicy {
    /// Checks the limits of every field and that `States.ALL` stands alone and last.
    ///
    /// # Errors
    /// Every mistake of every retrier.
    pub fn new(retriers: Vec<Retrier>) -> Result<RetryPolicy, Vec<InvalidRetrier>> {
        let last = retriers.len().saturating_sub(1);
        let mistakes: Vec<InvalidRetrier> =
            retriers.iter().enumerate().flat_map(|(index, retrier)| retrier.mistakes(index, index == last)).collect();
        if mistakes.is_empty() { Ok(RetryPolicy(retriers.into())) } else { Err(mistakes) }
    }

    /// The retriers in their order.
    pub fn retriers(&self) -> &[Retrier] {
        &self.0
    }

    /// How many retries it can grant in one run.
    pub fn retries_max(&self) -> u64 {
        self.0.iter().map(|retrier| u64::from(retrier.max_attempts)).sum()
    }

    /// How long all retries that it can grant in one run wait together; with `FULL` jitter, at most.
    pub fn longest_wait(&self) -> Duration {
        self.0.iter().map(|retrier| retrier.waits(retrier.max_attempts)).fold(Duration::ZERO, Duration::saturating_add)
    }

    /// The first retry that can't happen in a run of this length, attempts of no length assumed: one that its own retrier
    /// makes come too late, else the first that comes too late after all retriers before it are used up. None if every
    /// retry can happen.
    pub fn first_beyond(&self, limit: Duration) -> Option<Beyond> {
        let beyond = |retrier: usize, before: Duration| {
            let one = self.0.get(retrier)?;
            let nth = one.first_wait_beyond(limit.saturating_sub(before))?;
            Some(Beyond { retrier, nth, at: before.saturating_add(one.waits(nth)), after_others: !before.is_zero() })
        };
        let alone = (0..self.0.len()).find_map(|retrier| beyond(retrier, Duration::ZERO));
        alone.or_else(|| {
            let mut before = Duration::ZERO;
            self.0.iter().enumerate().find_map(|(index, retrier)| {
                let found = beyond(index, before);
                before = before.saturating_add(retrier.waits(retrier.max_attempts));
                found
            })
        })
    }

    /// Decides about a failure. `used` holds the retries that each retrier has granted in this run, `draw` is a number
    /// from 0 to 1 that `FULL` jitter scales the wait by.
    pub fn decide(&self, failure: &Failure, used: &[u32], draw: f64) -> Decision {
        let Some((index, retrier)) = self.0.iter().enumerate().find(|(_, retrier)| retrier.takes(failure)) else {
            return Decision::NoMatch;
        };
        let used = used.get(index).copied().unwrap_or(0);
        if used >= retrier.max_attempts {
            return Decision::Exhausted { retrier: index };
        }
        let full = delay(retrier, used.saturating_add(1));
        let delay = match retrier.jitter_strategy {
            Jitter::None => full,
            Jitter::Full => to_milliseconds(full.mul_f64(draw.clamp(0.0, 1.0))),
        };
        Decision::Retry { retrier: index, delay }
    }
}

/// A retry that comes too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beyond {
    /// Whose it is, from 0.
    pub retrier: usize,
    /// Which of its retries, from 1.
    pub nth: u32,
    /// How much has been waited when it begins.
    pub at: Duration,
    /// Whether it is late only if the retriers before its own are used up.
    pub after_others: bool,
}

impl Retrier {
    /// How long the first `count` of its retries wait together, as far as it grants them; with `FULL` jitter, at most. In
    /// closed form, because there can be a hundred million.
    pub fn waits(&self, count: u32) -> Duration {
        let cap = f64::from(self.max_delay_seconds.unwrap_or(MAX_DELAY_SECONDS));
        let first = f64::from(self.interval_seconds).min(cap);
        let count = f64::from(count.min(self.max_attempts));
        let growth = (self.backoff_rate - 1.0).ln_1p();
        let (growing, grown) = if growth > 0.0 {
            let growing = ((cap / first).ln() / growth).ceil().clamp(0.0, count);
            (growing, first * (growing * growth).exp_m1() / (self.backoff_rate - 1.0))
        } else {
            (count, first * count)
        };
        let all = Duration::try_from_secs_f64(grown + (count - growing) * cap);
        all.map_or(Duration::MAX, to_milliseconds)
    }

    /// The first of its retries that begins at `limit` or later.
    fn first_wait_beyond(&self, limit: Duration) -> Option<u32> {
        let (mut least, mut most) = (1, self.max_attempts);
        if most == 0 || self.waits(most) < limit {
            return None;
        }
        while least < most {
            let middle = least + (most - least) / 2;
            if self.waits(middle) < limit { least = middle + 1 } else { most = middle }
        }
        Some(least)
    }

    /// Whether any of its names matches the failure. The wildcards look at the primary name, as in ASL; a finer name
    /// matches literally only.
    pub fn takes(&self, failure: &Failure) -> bool {
        self.error_equals.iter().any(|name| matches(name, failure))
    }

    fn mistakes(&self, index: usize, is_last: bool) -> Vec<InvalidRetrier> {
        let mut mistakes = Vec::new();
        let mut add = |field, message: String| mistakes.push(InvalidRetrier { retrier: index, field, message });
        if self.error_equals.is_empty() {
            add("error_equals", "is empty; it needs at least one error name".into());
        }
        if self.error_equals.iter().any(|name| name.as_str().is_empty()) {
            add("error_equals", "holds an empty error name".into());
        }
        if self.error_equals.contains(&ErrorName::ALL) && (self.error_equals.len() > 1 || !is_last) {
            add("error_equals", "`States.ALL` must be the only name of the last retrier".into());
        }
        if self.interval_seconds == 0 || self.interval_seconds > MAX_INTEGER {
            add("interval_seconds", format!("{} is not in 1 to {MAX_INTEGER}", self.interval_seconds));
        }
        if self.max_attempts > MAX_INTEGER {
            add("max_attempts", format!("{} is not in 0 to {MAX_INTEGER}", self.max_attempts));
        }
        if !(self.backoff_rate.is_finite() && self.backoff_rate >= 1.0) {
            add("backoff_rate", format!("{} is not a number of at least 1.0", self.backoff_rate));
        }
        if self.max_delay_seconds.is_some_and(|cap| cap == 0 || cap > MAX_DELAY_SECONDS) {
            add("max_delay_seconds", format!("is not in 1 to {MAX_DELAY_SECONDS}"));
        }
        mistakes
    }
}

/// Whether a name in `error_equals` matches a failure. Nothing matches `States.Runtime`.
pub fn matches(name: &ErrorName, failure: &Failure) -> bool {
    failure.primary != ErrorName::RUNTIME && (failure.names.contains(name) || is_wildcard_for(name, &failure.primary))
}

/// `States.TaskFailed` is every error but `States.Timeout`; `States.ALL` is every error. Neither takes
/// `Tenacron.LaunchUnknown`: retrying what may have run is a decision that a person writes down by name.
fn is_wildcard_for(name: &ErrorName, primary: &ErrorName) -> bool {
    if *primary == ErrorName::LAUNCH_UNKNOWN {
        false
    } else if *name == ErrorName::ALL {
        *primary != ErrorName::DATA_LIMIT_EXCEEDED
    } else {
        *name == ErrorName::TASK_FAILED && *primary != ErrorName::TIMEOUT
    }
}

/// The wait before the n-th retry that this retrier grants, n from 1: interval × rate^(n−1), never above the cap.
///
/// The one place that names the `backoff` crate. Its defaults give up after 15 minutes and cap at one minute, and it does
/// not cap the first interval, so all three are set here; it adds up to a nanosecond, hence the rounding.
pub fn delay(retrier: &Retrier, nth: u32) -> Duration {
    let cap = Duration::from_secs(u64::from(retrier.max_delay_seconds.unwrap_or(MAX_DELAY_SECONDS)));
    let first = Duration::from_secs(u64::from(retrier.interval_seconds)).min(cap);
    let mut intervals = backoff::ExponentialBackoff {
        current_interval: first,
        initial_interval: first,
        randomization_factor: 0.0,
        multiplier: retrier.backoff_rate,
        max_interval: cap,
        max_elapsed_time: None,
        ..backoff::ExponentialBackoff::default()
    };
    if retrier.backoff_rate > 1.0 {
        for _ in 1..nth {
            if intervals.current_interval >= cap {
                break;
            }
            intervals.next_backoff();
        }
    }
    to_milliseconds(intervals.next_backoff().unwrap_or(cap))
}

fn to_milliseconds(exact: Duration) -> Duration {
    let rounded = (exact.as_nanos() + 500_000) / 1_000_000;
    Duration::from_millis(u64::try_from(rounded).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn retrier(interval_seconds: u32, backoff_rate: f64, max_delay_seconds: Option<u32>) -> Retrier {
        Retrier {
            error_equals: vec![ErrorName::ALL],
            interval_seconds,
            max_attempts: 3,
            backoff_rate,
            max_delay_seconds,
            jitter_strategy: Jitter::None,
        }
    }

    #[test]
    fn default_policy_backs_off_for_ecs_and_is_steady_for_tasks() {
        let policy = RetryPolicy::default();
        let waits = |name: ErrorName| -> Vec<u64> {
            (0..3)
                .map(|used| match policy.decide(&Failure::new(name.clone(), ""), &[used, used], 1.0) {
                    Decision::Retry { delay, .. } => delay.as_secs(),
                    Decision::Exhausted { .. } | Decision::NoMatch => 0,
                })
                .collect()
        };
        assert_eq!(waits(ErrorName::ECS_EXCEPTION), [10, 20, 40]);
        assert_eq!(waits(ErrorName::TASK_FAILED), [3, 3, 3]);
    }

    #[test]
    fn wildcards_judge_the_primary_name_only() {
        let start_timeout = Failure::new(ErrorName::TIMEOUT, "").with_finer([ErrorName::START_TIMEOUT]);
        let mut takes = retrier(1, 1.0, None);
        takes.error_equals = vec![ErrorName::TASK_FAILED];
        assert!(!takes.takes(&start_timeout), "a finer name must not slip past the time-out rule");
        takes.error_equals = vec![ErrorName::START_TIMEOUT];
        assert!(takes.takes(&start_timeout));
    }

    #[test]
    fn launch_unknown_answers_to_its_own_name_alone() {
        let unknown = Failure::new(ErrorName::LAUNCH_UNKNOWN, "");
        for (name, expected) in
            [(ErrorName::ALL, false), (ErrorName::TASK_FAILED, false), (ErrorName::LAUNCH_UNKNOWN, true)]
        {
            let mut candidate = retrier(1, 1.0, None);
            candidate.error_equals = vec![name];
            assert_eq!(candidate.takes(&unknown), expected);
        }
    }

    #[test]
    fn states_all_must_stand_alone_and_last() {
        let all = retrier(1, 1.0, None);
        let mut both = all.clone();
        both.error_equals.push(ErrorName::TIMEOUT);
        assert!(RetryPolicy::new(vec![both]).is_err());
        let mistakes = RetryPolicy::new(vec![all.clone(), all]).expect_err("the first is not last");
        assert_eq!((mistakes.len(), mistakes[0].retrier, mistakes[0].field), (1, 0, "error_equals"));
    }

    fn beyond(retrier: usize, nth: u32, seconds: u64, after_others: bool) -> Option<Beyond> {
        Some(Beyond { retrier, nth, at: Duration::from_secs(seconds), after_others })
    }

    #[test]
    fn the_default_policy_waits_79_seconds_at_most() {
        let policy = RetryPolicy::default();
        assert_eq!((policy.longest_wait(), policy.retries_max()), (Duration::from_secs(79), 6));
        let first_beyond = |seconds| policy.first_beyond(Duration::from_secs(seconds));
        assert_eq!(first_beyond(80), None);
        assert_eq!(first_beyond(79), beyond(1, 3, 79, true), "a retry that begins at the limit is over");
        assert_eq!(first_beyond(75), beyond(1, 2, 76, true));
        assert_eq!(first_beyond(70), beyond(0, 3, 70, false));
        assert_eq!(first_beyond(60), beyond(0, 3, 70, false));
        assert_eq!(first_beyond(9), beyond(0, 1, 10, false));
    }

    #[test]
    fn a_hundred_million_retries_are_summed_at_once() {
        let mut endless = retrier(1, 1.0, None);
        endless.max_attempts = MAX_INTEGER;
        assert_eq!(endless.waits(MAX_INTEGER), Duration::from_secs(u64::from(MAX_INTEGER)));
        let policy = RetryPolicy::new(vec![endless.clone()]).unwrap();
        assert_eq!(policy.first_beyond(Duration::from_secs(900)), beyond(0, 900, 900, false));
        (endless.backoff_rate, endless.max_delay_seconds) = (1.000_001, Some(60));
        let per_retry = endless.waits(MAX_INTEGER).as_secs_f64() / f64::from(MAX_INTEGER);
        assert!((50.0..60.0).contains(&per_retry), "{per_retry}");
        (endless.backoff_rate, endless.max_delay_seconds) = (f64::MAX, None);
        assert_eq!(endless.waits(2), Duration::from_secs(1 + u64::from(MAX_DELAY_SECONDS)));
    }

    #[test]
    fn a_retrier_that_grants_nothing_is_never_late() {
        let mut never = retrier(100, 1.0, None);
        never.max_attempts = 0;
        let policy = RetryPolicy::new(vec![never]).unwrap();
        assert_eq!((policy.longest_wait(), policy.first_beyond(Duration::from_secs(1))), (Duration::ZERO, None));
    }

    proptest! {
        #[test]
        fn the_sum_of_the_waits_is_what_each_of_them_adds(
            interval in 1u32..1000, rate in prop_oneof![Just(1.0), 1.0f64..4.0], count in 0u32..30,
            cap in proptest::option::of(1u32..100_000), granted in 0u32..30,
        ) {
            let mut retrier = retrier(interval, rate, cap);
            retrier.max_attempts = granted;
            let exact: Duration = (1..=count.min(granted)).map(|nth| delay(&retrier, nth)).sum();
            let (got, exact) = (retrier.waits(count).as_secs_f64(), exact.as_secs_f64());
            prop_assert!((got - exact).abs() <= 0.02 + exact * 1e-9, "{got} is not {exact}");
        }

        #[test]
        fn delay_is_interval_times_rate_to_the_power(
            interval in 1u32..100_000, rate in 1.0f64..10.0, nth in 1u32..40, cap in proptest::option::of(1u32..MAX_DELAY_SECONDS),
        ) {
            let exact = f64::from(interval) * rate.powf(f64::from(nth - 1));
            let expected = exact.min(f64::from(cap.unwrap_or(MAX_DELAY_SECONDS)));
            let got = delay(&retrier(interval, rate, cap), nth).as_secs_f64();
            prop_assert!((got - expected).abs() <= 0.001 + expected * 1e-9, "{got} is not {expected}");
        }

        #[test]
        fn full_jitter_stays_between_zero_and_the_delay(draw in 0.0f64..=1.0, used in 0u32..3) {
            let mut jittered = retrier(7, 2.0, None);
            jittered.jitter_strategy = Jitter::Full;
            let policy = RetryPolicy::new(vec![jittered.clone()]).unwrap();
            let Decision::Retry { delay: got, .. } = policy.decide(&Failure::new(ErrorName::TIMEOUT, ""), &[used], draw) else {
                panic!("no retry");
            };
            prop_assert!(got <= delay(&jittered, used + 1));
        }
    }
}
