//! `[[jobs.NAME.retry]]`: the retriers of a job, with the names of the Amazon States Language in snake_case.
//!
//! The engine knows the limits and refuses what breaks them; here their mistakes get a place. What the engine accepts may
//! still not be what was meant, because ASL takes any string for an error name: a misspelt name is a custom name that never
//! occurs, and a retrier behind a wildcard is never asked. Those are warnings, because the same lines load in Step Functions.

use crate::engine::failure::{self, ErrorName};
use crate::engine::retry::{InvalidRetrier, Jitter, MAX_DELAY_SECONDS, MAX_INTEGER, Retrier, RetryPolicy};
use crate::engine::task::LaunchAnswer;

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

/// What this engine reports; `Task.ExitCode.<n>` comes beside it.
const REPORTED: [ErrorName; 19] = [
    ErrorName::TASK_FAILED,
    ErrorName::TIMEOUT,
    ErrorName::ECS_EXCEPTION,
    ErrorName::SDK_CLIENT,
    ErrorName::THROTTLED,
    ErrorName::ECS_UNKNOWN,
    ErrorName::PLACEMENT,
    ErrorName::CAPACITY,
    ErrorName::IMAGE_PULL,
    ErrorName::RESOURCE_INIT,
    ErrorName::ENI,
    ErrorName::CONTAINER_START,
    ErrorName::OUT_OF_MEMORY,
    ErrorName::SPOT_INTERRUPTION,
    ErrorName::INFRASTRUCTURE,
    ErrorName::STOPPED,
    ErrorName::LOST,
    ErrorName::START_TIMEOUT,
    ErrorName::LAUNCH_UNKNOWN,
];

/// A retrier with the places that its findings point at.
struct Read {
    retrier: Retrier,
    place: Place,
    error_equals: Place,
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
    warn_of_unreachable(value, &read);
    let retriers = read.iter().map(|(_, one)| one.retrier.clone()).collect();
    let mistakes = match RetryPolicy::new(retriers) {
        Ok(policy) => return Some(policy),
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
        error_equals: names.as_ref().map_or_else(|| vec![ErrorName::TIMEOUT], |(names, _)| names.clone()),
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
    let error_equals = names.map_or(table.place, |(_, place)| place);
    if is_whole {
        return Some(Read { retrier: readable, place: table.place, error_equals, backoff_rate });
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
        table.report().add(Note::warning("short-max-delay", most.place, message));
    }
}

fn error_name(value: &Value<'_>) -> Option<ErrorName> {
    let text = value.text()?;
    if is_doubtful(text) {
        let mut message = format!("\"{}\" never occurs", shown(text));
        let known: Vec<String> = known_names().collect();
        let spelling = likely(text, &known, value.report());
        if let Some(meant) = spelling {
            message.push_str(&format!("; did you mean \"{meant}\"?"));
        }
        value.warn("unknown-error-name", message);
    }
    Some(ErrorName::new(text))
}

/// Whether a name looks like one of ASL, ECS or ours and is none. Any other is somebody's own and passes.
fn is_doubtful(text: &str) -> bool {
    let (prefix, rest) = text.split_once('.').unwrap_or((text, ""));
    let is_ours = ["states", "state", "ecs", "amazonecs", "task", "tenacron"]
        .iter()
        .any(|known| prefix.eq_ignore_ascii_case(known));
    let is_exit_code =
        prefix == "Task" && rest.strip_prefix("ExitCode.").is_some_and(|code| code.parse::<i32>().is_ok());
    is_ours && !is_exit_code && !is_modelled(text) && !known_names().any(|known| known == text)
}

fn known_names() -> impl Iterator<Item = String> {
    let own = REPORTED.into_iter().map(|name| name.to_string());
    STATES.into_iter().map(str::to_owned).chain(own)
}

/// Whether ECS models this exception; the engine knows, so it is asked.
fn is_modelled(text: &str) -> bool {
    let Some(code) = text.strip_prefix("ECS.") else { return false };
    let refused = LaunchAnswer::Refused { code: Some(code.to_owned()), message: String::new(), status: 400 };
    failure::of_answer(&refused).is_some_and(|failure| failure.primary.as_str() == text)
}

/// The known name that differs in the least: in its case, in its prefix, in a letter.
fn likely(text: &str, known: &[String], report: &Report) -> Option<String> {
    if let Some((_, code)) = text.split_once('.') {
        let modelled = format!("ECS.{code}");
        if is_modelled(&modelled) {
            return Some(modelled);
        }
        if code.to_ascii_lowercase().contains("thrott") {
            return Some(ErrorName::THROTTLED.to_string());
        }
    }
    report.suggest(text, known.iter().map(String::as_str)).map(str::to_owned)
}

fn warn_of_unreachable(value: &Value<'_>, read: &[(usize, Read)]) {
    let mut earlier: Vec<&ErrorName> = Vec::new();
    for (index, one) in read {
        let names = &one.retrier.error_equals;
        let never = |name: &ErrorName| *name == ErrorName::RUNTIME || is_taken(name, &earlier);
        if !names.is_empty() && names.iter().all(never) {
            let message = if names.iter().all(|name| *name == ErrorName::RUNTIME) {
                "can never match: no retrier takes States.Runtime"
            } else {
                "can never match: the retriers before it take every error that it names"
            };
            let message = format!("{}[{index}]: {message}", value.path());
            value.report().add(Note::warning("unreachable-retrier", one.error_equals, message));
        }
        earlier.extend(names);
    }
}

/// Whether every failure of this name is taken by one of the earlier names.
fn is_taken(name: &ErrorName, earlier: &[&ErrorName]) -> bool {
    let has = |one: &ErrorName| earlier.contains(&one);
    let is_timeout = [ErrorName::TIMEOUT, ErrorName::START_TIMEOUT].contains(name);
    let is_wild = ![ErrorName::ALL, ErrorName::LAUNCH_UNKNOWN].contains(name);
    let is_refusal = name.as_str().starts_with("ECS.") || *name == ErrorName::ECS_UNKNOWN;
    has(name)
        || (has(&ErrorName::TASK_FAILED) && is_wild && !is_timeout)
        || (has(&ErrorName::TIMEOUT) && is_timeout)
        || (has(&ErrorName::ECS_EXCEPTION) && is_refusal)
        || (has(&ErrorName::TASK_FAILED) && has(&ErrorName::TIMEOUT) && *name == ErrorName::ALL)
}
