//! `[[jobs.NAME.retry]]`: the retriers of a job, with the names of the Amazon States Language in snake_case.
//!
//! The engine knows the limits and refuses what breaks them; here their mistakes get a place. What the engine accepts may
//! still not be what was meant, because ASL takes any string for an error name: a misspelt name is a custom name that never
//! occurs, and a retrier behind a wildcard is never asked. Those are warnings, because the same lines load in Step Functions.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::engine::catalogue;
use crate::engine::failure::ErrorName;
use crate::engine::retry::{InvalidRetrier, Jitter, MAX_DELAY_SECONDS, MAX_INTEGER, Retrier, RetryPolicy};

use super::reach::{self, Names};
use super::reader::{Field, Table, Value};
use super::report::{Note, Place, Report, shown};

/// Names of the Amazon States Language that are no wildcard; Source: AWS Step Functions Developer Guide,
/// "Handling errors in Step Functions workflows".
const STATES: [&str; 15] = [
    "States.ALL",
    "States.BranchFailed",
    "States.DataLimitExceeded",
    "States.ExceedToleratedFailureThreshold",
    "States.HeartbeatTimeout",
    "States.Http.Socket",
    "States.IntrinsicFailure",
    "States.ItemReaderFailed",
    "States.NoChoiceMatched",
    "States.ParameterPathFailure",
    "States.Permissions",
    "States.QueryEvaluationError",
    "States.ResultPathMatchFailure",
    "States.ResultWriterFailed",
    "States.Runtime",
];

/// A retrier with the places that its findings point at.
struct Read {
    retrier: Retrier,
    place: Place,
    error_equals: Place,
    name_places: Vec<Place>,
    backoff_rate: Option<Place>,
}

/// Reads the value of `retry`.
pub(super) fn policy(value: &Value<'_>) -> Option<RetryPolicy> {
    let items: Vec<Option<Read>> = value.list(|item| Some(item.table(retrier)))?;
    let count = items.len();
    let read: Vec<(usize, Read)> =
        items.into_iter().enumerate().filter_map(|(index, item)| Some((index, item?))).collect();
    if read.len() < count {
        // Which is the last one is not known, so each is judged as if it were.
        for (index, one) in &read {
            let alone = RetryPolicy::new(vec![one.retrier.clone()]);
            alone.err().into_iter().flatten().for_each(|mistake| refuse(value, *index, one, &mistake));
        }
        return None;
    }
    let retriers = read.iter().map(|(_, one)| one.retrier.clone()).collect();
    let mistakes = match RetryPolicy::new(retriers) {
        Ok(policy) => {
            let names = read.iter().map(|(index, one)| {
                let places = one.name_places.iter().copied();
                Names {
                    index: *index,
                    place: one.error_equals,
                    names: one.retrier.error_equals.iter().cloned().zip(places).collect(),
                }
            });
            reach::warn_of_unreachable(value, &names.collect::<Vec<_>>());
            return Some(policy);
        }
        Err(mistakes) => mistakes,
    };
    for mistake in mistakes {
        if let Some((index, one)) = read.get(mistake.retrier) {
            refuse(value, *index, one, &mistake);
        }
    }
    None
}

fn refuse(value: &Value<'_>, index: usize, read: &Read, mistake: &InvalidRetrier) {
    let place = match mistake.field {
        "error_equals" => read.error_equals,
        "backoff_rate" => read.backoff_rate.unwrap_or(read.place),
        _ => read.place,
    };
    let message = format!("{}[{index}].{}: {mistake}", value.path(), mistake.field);
    value.report().add(Note::error("bad-retrier", place, message));
}

fn retrier(table: &Table<'_>) -> Option<Read> {
    let names = table.required("error_equals", |value| Some((value.list(error_name)?, value.place)));
    let interval = table.get("interval_seconds", |value| value.integer(1..=i64::from(MAX_INTEGER)));
    let max_attempts = table.get("max_attempts", |value| value.integer(0..=i64::from(MAX_INTEGER)));
    let rate = table.get("backoff_rate", |value| value.number());
    let max_delay = table.get("max_delay_seconds", |value| value.integer(1..=i64::from(MAX_DELAY_SECONDS)));
    let jitter = table.get("jitter_strategy", |value| value.word(&[("NONE", Jitter::None), ("FULL", Jitter::Full)]));
    warn_of_short_delay(table, &interval, &max_delay);
    let backoff_rate = rate.valid().map(|at| at.place);
    // What can be read is judged even if another key of this retrier can't be: all mistakes at once.
    let readable = Retrier {
        error_equals: names.as_ref().map_or_else(
            || vec![ErrorName::TIMEOUT],
            |(names, _)| names.iter().map(|(name, _)| name.clone()).collect(),
        ),
        interval_seconds: interval.valid().map_or(1, |at| at.value),
        max_attempts: max_attempts.valid().map_or(3, |at| at.value),
        backoff_rate: rate.valid().map_or(2.0, |at| at.value),
        max_delay_seconds: max_delay.valid().map(|at| at.value),
        jitter_strategy: jitter.valid().map_or(Jitter::None, |at| at.value),
    };
    let is_whole = names.is_some()
        && !(interval.is_wrong()
            || max_attempts.is_wrong()
            || rate.is_wrong()
            || max_delay.is_wrong()
            || jitter.is_wrong());
    let error_equals = names.as_ref().map_or(table.place, |(_, place)| *place);
    if is_whole {
        let name_places = names.into_iter().flat_map(|(names, _)| names).map(|(_, place)| place).collect();
        return Some(Read { retrier: readable, place: table.place, error_equals, name_places, backoff_rate });
    }
    for mistake in RetryPolicy::new(vec![readable]).err().into_iter().flatten() {
        let place = if mistake.field == "error_equals" { Some(error_equals) } else { backoff_rate };
        let message = format!("{}.{}: {mistake}", table.path, mistake.field);
        table.report().add(Note::error("bad-retrier", place.unwrap_or(table.place), message));
    }
    None
}

fn warn_of_short_delay(table: &Table<'_>, interval: &Field<u32>, max_delay: &Field<u32>) {
    let Some(most) = max_delay.valid() else { return };
    let first = interval.valid().map_or(1, |at| at.value);
    if most.value < first {
        let message = format!(
            "{}.max_delay_seconds: {} is below interval_seconds = {first}, so every wait is {} s",
            table.path, most.value, most.value
        );
        let help = format!("raise max_delay_seconds to {first} or more, or lower interval_seconds");
        table.report().add(Note::warning("short-max-delay", most.place, message).help(help));
    }
}

fn error_name(value: &Value<'_>) -> Option<(ErrorName, Place)> {
    let text = value.text()?;
    if is_doubtful(text) {
        let help = match likely(text, value.report()) {
            Some(meant) => format!("write \"{meant}\"; names are compared letter by letter"),
            None => "docs/retries.md lists the names that occur; they are compared letter by letter".to_owned(),
        };
        value.warn("unknown-error-name", format!("\"{}\" never occurs", shown(text)), help);
    }
    Some((ErrorName::new(text), value.place))
}

/// Whether a name looks like one of ASL, ECS or ours and is none. Any other is somebody's own and passes.
pub(super) fn is_doubtful(text: &str) -> bool {
    let (prefix, _) = text.split_once('.').unwrap_or((text, ""));
    let is_ours = ["states", "state", "ecs", "amazonecs", "task", "tenacron"]
        .iter()
        .any(|known| prefix.eq_ignore_ascii_case(known));
    static KNOWN: LazyLock<HashSet<&'static str>> = LazyLock::new(|| known_names().collect());
    is_ours && !KNOWN.contains(text) && catalogue::exit_code(text).is_none()
}

/// What ASL defines and what the engine reports; `Task.ExitCode.<n>` comes beside it.
fn known_names() -> impl Iterator<Item = &'static str> {
    let reported = catalogue::kinds().iter().flat_map(|kind| &kind.failure.names).map(ErrorName::as_str);
    STATES.into_iter().chain(reported)
}

/// The known name that differs in the least: in its case, in its prefix, in a letter.
fn likely(text: &str, report: &Report) -> Option<&'static str> {
    if let Some((prefix, code)) = text.split_once('.') {
        let of_ecs = known_names().find(|known| known.strip_prefix("ECS.") == Some(code));
        if of_ecs.is_some() {
            return of_ecs;
        }
        if code.to_ascii_lowercase().contains("thrott") {
            return Some("ECS.Throttled");
        }
        // The base class of the SDK integration, `arn:aws:states:::aws-sdk:ecs:runTask`.
        if prefix.eq_ignore_ascii_case("ecs") && code.eq_ignore_ascii_case("EcsException") {
            return Some("ECS.AmazonECSException");
        }
    }
    report.suggest(text, known_names())
}
