//! Which retrier took a failure, and why none did, in words.

use crate::engine::failure::Failure;
use crate::engine::job::Definition;
use crate::engine::run::Status;

/// "retrier 2 of 3 (States.TaskFailed)"; `retrier` counts from 0.
pub(super) fn named(definition: &Definition, retrier: usize) -> String {
    let all = definition.retry.retriers();
    let names = all.get(retrier).map(|retrier| {
        let names: Vec<&str> = retrier.error_equals.iter().map(|name| name.as_str()).collect();
        format!(" ({})", names.join(", "))
    });
    format!("retrier {} of {}{}", retrier + 1, all.len(), names.unwrap_or_default())
}

/// How often each retrier granted a retry.
pub(super) fn used(definition: &Definition, granted: impl Iterator<Item = usize>) -> Vec<u32> {
    let mut used = vec![0; definition.retry.retriers().len()];
    for retrier in granted {
        if let Some(used) = used.get_mut(retrier) {
            *used += 1;
        }
    }
    used
}

/// Why the last failure of a run that is over was not tried again; none where nobody would ask.
pub(super) fn why_none(definition: &Definition, used: &[u32], end: Status, failure: &Failure) -> Option<String> {
    match end {
        Status::Failed | Status::TimedOut | Status::Unknown => {}
        Status::Due
        | Status::Launching
        | Status::Running
        | Status::Stopping
        | Status::Waiting
        | Status::Succeeded
        | Status::Cancelled
        | Status::Skipped
        | Status::Missed => return None,
    }
    if let Some(forbidden) = definition.exit_codes.forbids_retry(failure) {
        return Some(forbidden);
    }
    let retriers = definition.retry.retriers();
    let Some(taker) = retriers.iter().position(|retrier| retrier.takes(failure)) else {
        let names: Vec<&str> = failure.names.iter().map(|name| name.as_str()).collect();
        return Some(format!("no retrier names {}", names.join(" or ")));
    };
    let max = retriers.get(taker).map(|retrier| retrier.max_attempts).unwrap_or_default();
    if used.get(taker).is_some_and(|used| *used >= max) {
        let all = match max {
            0 => "grants none".to_owned(),
            1 => "has granted its one retry".to_owned(),
            max => format!("has granted its {max} retries"),
        };
        return Some(format!("{} {all}", named(definition, taker)));
    }
    Some("the time of the run was over".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::failure::ErrorName;
    use crate::engine::samples;

    fn failure(name: &str) -> Failure {
        Failure::new(ErrorName::new(name), "it did not go well")
    }

    #[test]
    fn why_nothing_was_tried_again_is_said_for_each_reason() {
        let definition = samples::definition();
        let why = |used: &[u32], end, name| why_none(&definition, used, end, &failure(name));
        assert_eq!(
            why(&[0, 3], Status::Failed, "States.TaskFailed").unwrap(),
            "retrier 2 of 2 (States.TaskFailed) has granted its 3 retries"
        );
        assert_eq!(why(&[0, 0], Status::Failed, "States.Timeout").unwrap(), "no retrier names States.Timeout");
        assert_eq!(why(&[0, 1], Status::TimedOut, "States.TaskFailed").unwrap(), "the time of the run was over");
        for end in [Status::Waiting, Status::Cancelled] {
            assert_eq!(why(&[0, 1], end, "States.TaskFailed"), None, "{end:?}");
        }
    }

    #[test]
    fn retries_are_counted_by_retrier() {
        assert_eq!(used(&samples::definition(), [1, 1, 0, 7].into_iter()), [1, 2]);
    }
}
