//! What follows on a failure, in words: each retrier with its waits, what is not tried again, the longest that a run can take.

use std::collections::BTreeSet;
use std::time::Duration;

use maud::{Markup, html};

use super::super::parts::{count, exactly};
use crate::engine::catalogue::task_attempts_max;
use crate::engine::failure::{ErrorName, Failure};
use crate::engine::forecast::{Longest, longest_run};
use crate::engine::job::{Definition, OnUnknown, Success};
use crate::engine::retry::{Jitter, Retrier, RetryPolicy, delay};

/// How many waits of one retrier are told one by one.
const WAITS_TOLD: u32 = 6;

pub(super) fn in_words(definition: &Definition) -> Markup {
    let retriers = definition.retry.retriers();
    html! {
        @if retriers.is_empty() {
            p { "Nothing is tried again: it has no retrier." }
        } @else {
            @if definition.retry == RetryPolicy::default() { p .muted { "The built-in policy, because the job names no retrier:" } }
            ol .retriers {
                @for retrier in retriers {
                    li {
                        @for (nth, name) in retrier.error_equals.iter().enumerate() { @if nth > 0 { " or " } code { (name) } }
                        ": " (waits(retrier)) "."
                    }
                }
            }
            p .muted { "The first retrier that names a failure decides, also when it is used up. What none of them names ends the run." }
        }
        ul { @for sentence in sentences(definition) { li { (sentence) } } }
    }
}

/// How often and after which waits a retrier tries again.
fn waits(retrier: &Retrier) -> String {
    let granted = retrier.max_attempts;
    let told: Vec<String> = (1..=granted.min(WAITS_TOLD)).map(|nth| exactly(delay(retrier, nth))).collect();
    let Some(first) = told.first() else { return "never tried again".to_owned() };
    let last = exactly(last_wait(retrier));
    let retries = count(usize::try_from(granted).unwrap_or(usize::MAX), "retry", "retries");
    let text = match granted {
        1 => format!("{retries} after {first}"),
        _ if *first == last => format!("{retries}, each after {first}"),
        2..=WAITS_TOLD => format!("{retries} after {}", told.join(", ")),
        _ => format!("{retries} after {} and so on, the last after {last}", told.join(", ")),
    };
    match retrier.jitter_strategy {
        Jitter::None => text,
        Jitter::Full => format!("{text}, where each wait is drawn between zero and that"),
    }
}

/// The wait before the last retry. There can be a hundred million, and then it is good to the second.
fn last_wait(retrier: &Retrier) -> Duration {
    let granted = retrier.max_attempts;
    if granted <= WAITS_TOLD {
        return delay(retrier, granted);
    }
    let exact = retrier.waits(granted).saturating_sub(retrier.waits(granted - 1));
    Duration::from_secs((exact + Duration::from_millis(500)).as_secs())
}

/// What else there is to know about a failure, a sentence each.
fn sentences(definition: &Definition) -> Vec<String> {
    let mut told = vec![longest_in_words(definition)];
    let takes = |failure: Failure| definition.retry.retriers().iter().position(|retrier| retrier.takes(&failure));
    let limits = &definition.limits;
    if limits.attempt_timeout.or(limits.start_timeout).is_some() {
        told.push(match takes(Failure::new(ErrorName::TIMEOUT, "")) {
            Some(retrier) => format!(
                "An attempt that a limit of time ends (States.Timeout) is tried again by retrier {}.",
                retrier + 1
            ),
            None => "An attempt that a limit of time ends (States.Timeout) is not tried again: no retrier names it."
                .to_owned(),
        });
    }
    told.push(match definition.success {
        Success::Essential => "It succeeds if every essential container ends with exit code 0.".to_owned(),
        Success::All => "It succeeds if every container ends with exit code 0 (success = \"all\").".to_owned(),
    });
    let codes = &definition.exit_codes;
    let lists = [
        (Some(&codes.succeed), "a success too"),
        (Some(&codes.skip), "nothing to do: the run ends as skipped"),
        (Some(&codes.fail), "a failure that is never tried again"),
        (codes.retry.as_ref(), "the only ones that are tried again"),
    ];
    for (list, meaning) in lists {
        match list {
            Some(list) if !list.is_empty() => told.push(format!("Exit codes {}: {meaning}.", listed(list))),
            Some(_) | None => {}
        }
    }
    if codes.retry.as_ref().is_some_and(BTreeSet::is_empty) {
        told.push("No exit code is tried again (exit_codes.retry is empty).".to_owned());
    }
    if !definition.accept_stop_codes.is_empty() {
        told.push(format!("Stop codes that spoil no success: {}.", definition.accept_stop_codes.join(", ")));
    }
    told.push(match definition.on_unknown {
        OnUnknown::Fail => "If nobody can know whether a task was launched, the run ends as unknown.".to_owned(),
        OnUnknown::Rerun => {
            "If nobody can know whether a task was launched, it is launched again, possibly for a second time."
                .to_owned()
        }
    });
    told
}

fn listed(codes: &BTreeSet<u8>) -> String {
    codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The longest that a run can take, and what of.
fn longest_in_words(definition: &Definition) -> String {
    let (limits, retry) = (&definition.limits, &definition.retry);
    let attempts = task_attempts_max(retry);
    let of_all = 1 + retry.retries_max();
    let attempt = limits.attempt_timeout.map(exactly).unwrap_or_default();
    match longest_run(limits, retry, attempts) {
        None => format!(
            "Nothing limits how long a run takes: neither timeout nor attempt_timeout is set. It has {} at most.",
            attempts_of(of_all)
        ),
        Some(Longest { lasts, is_cut: true, .. }) => format!(
            "A run takes {} at most: timeout ends it, waits included. It has {} at most.",
            exactly(lasts),
            attempts_of(of_all)
        ),
        Some(Longest { lasts, waits, is_cut: false }) => {
            let refused = match of_all - attempts {
                0 => String::new(),
                refused => format!(" (and {refused} more that ECS refuses)"),
            };
            format!(
                "A run takes {} at most: {} of {attempt}{refused} and {} of waits; the stop of a task comes on top.",
                exactly(lasts),
                attempts_of(attempts),
                exactly(waits)
            )
        }
    }
}

fn attempts_of(number: u64) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), "attempt", "attempts")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::exit_codes::ExitCodes;
    use crate::engine::job::Limits;
    use crate::engine::samples;

    fn retrier(max_attempts: u32, backoff_rate: f64) -> Retrier {
        Retrier {
            error_equals: vec![ErrorName::ECS_EXCEPTION],
            interval_seconds: 10,
            max_attempts,
            backoff_rate,
            max_delay_seconds: Some(300),
            jitter_strategy: Jitter::None,
        }
    }

    #[test]
    fn a_retrier_tells_its_waits() {
        assert_eq!(waits(&retrier(3, 2.0)), "3 retries after 10 s, 20 s, 40 s");
        assert_eq!(waits(&retrier(3, 1.0)), "3 retries, each after 10 s");
        assert_eq!(waits(&retrier(1, 2.0)), "1 retry after 10 s");
        assert_eq!(waits(&retrier(0, 2.0)), "never tried again");
        assert_eq!(
            waits(&retrier(9, 2.0)),
            "9 retries after 10 s, 20 s, 40 s, 1 min 20 s, 2 min 40 s, 5 min and so on, the last after 5 min"
        );
        assert_eq!(waits(&Retrier { max_delay_seconds: Some(5), ..retrier(3, 2.0) }), "3 retries, each after 5 s");
        let drawn = Retrier { jitter_strategy: Jitter::Full, ..retrier(2, 2.0) };
        assert_eq!(waits(&drawn), "2 retries after 10 s, 20 s, where each wait is drawn between zero and that");
        let endless = Retrier { max_attempts: 99_999_999, ..retrier(0, 1.000_001) };
        assert!(waits(&endless).ends_with("the last after 5 min"), "{}", waits(&endless));
    }

    fn longest(timeout: Option<u64>, attempt_timeout: Option<u64>) -> String {
        let [timeout, attempt_timeout] = [timeout, attempt_timeout].map(|limit| limit.map(Duration::from_secs));
        let limits = Limits { timeout, attempt_timeout, ..Limits::default() };
        longest_in_words(&Definition { limits, ..samples::definition() })
    }

    #[test]
    fn the_longest_run_says_what_it_is_made_of() {
        assert_eq!(
            longest(None, Some(600)),
            "A run takes 41 min 19 s at most: 4 attempts of 10 min (and 3 more that ECS refuses) and 1 min 19 s of waits; the stop of a task comes on top."
        );
        assert_eq!(
            longest(Some(900), Some(600)),
            "A run takes 15 min at most: timeout ends it, waits included. It has 7 attempts at most."
        );
        assert!(longest(None, None).starts_with("Nothing limits how long a run takes"));
        let none = Definition { retry: RetryPolicy::new(Vec::new()).unwrap(), ..samples::definition() };
        let once = Definition {
            limits: Limits { attempt_timeout: Some(Duration::from_secs(60)), ..Limits::default() },
            ..none
        };
        assert_eq!(
            longest_in_words(&once),
            "A run takes 1 min at most: 1 attempt of 1 min and 0 s of waits; the stop of a task comes on top."
        );
        assert!(in_words(&once).into_string().contains("Nothing is tried again"));
    }

    #[test]
    fn a_policy_names_its_retriers_and_what_it_leaves_alone() {
        let limits = Limits { attempt_timeout: Some(Duration::from_secs(60)), ..Limits::default() };
        let codes = ExitCodes { skip: [99].into(), retry: Some([75, 76].into()), ..ExitCodes::default() };
        let definition = Definition { limits, exit_codes: Arc::new(codes), ..samples::definition() };
        let shown = in_words(&definition).into_string();
        for part in [
            "The built-in policy",
            "<code>ECS.AmazonECSException</code>: 3 retries after 10 s, 20 s, 40 s.",
            "<code>States.TaskFailed</code>: 3 retries, each after 3 s.",
            "(States.Timeout) is not tried again",
            "Exit codes 99: nothing to do",
            "Exit codes 75, 76: the only ones that are tried again.",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let named = Retrier { error_equals: vec![ErrorName::new("<b>"), ErrorName::TIMEOUT], ..retrier(1, 1.0) };
        let named = Definition { retry: RetryPolicy::new(vec![named]).unwrap(), ..definition };
        let shown = in_words(&named).into_string();
        assert!(
            shown.contains("<code>&lt;b&gt;</code> or <code>States.Timeout</code>: 1 retry after 10 s."),
            "{shown}"
        );
        assert!(shown.contains("is tried again by retrier 1"), "{shown}");
    }
}
