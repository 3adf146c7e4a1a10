//! `explain`: what a job does about a failure, from the configuration alone.
//!
//! The facts are judged, named and put to the policy by the functions that a run asks (`engine/outcome.rs`, `failure.rs`,
//! `retry.rs`, `forecast.rs`); here they are only put together and told.

mod facts;

use std::time::Duration;

use clap::ArgGroup;
use humantime::format_duration;
use serde::Serialize;

use self::facts::Judged;
use super::exit::{Exit, Failed};
use super::output::{plain, print, print_json};
use super::{Context, no_such_job};
use crate::engine::failure::{ErrorName, Failure};
use crate::engine::forecast::{End, Forecast, RETRIES_MAX, forecast};
use crate::engine::hint::hint;
use crate::engine::job::{Definition, Job};
use crate::engine::retry::{Jitter, Retrier, RetryPolicy};

/// How many retries are told one by one; the JSON has them all.
const RETRIES_TOLD: usize = 10;

#[derive(Debug, clap::Args)]
#[command(group(
    ArgGroup::new("facts")
        .args(["error", "exit_code", "stopped_reason", "stop_code", "container_reason", "launch_failure"])
        .required(true)
        .multiple(true)
))]
pub(super) struct Arguments {
    /// The job
    job: String,
    /// The failure by a name, such as ECS.ServerException, Task.ExitCode.1 or States.Timeout
    #[arg(long, value_name = "NAME", value_parser = not_empty, conflicts_with_all = ["exit_code", "stopped_reason", "stop_code", "container_reason", "launch_failure"])]
    error: Option<String>,
    /// A container that decides ended with this exit code
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    exit_code: Option<i32>,
    /// The task stopped, and ECS gave this reason
    #[arg(long, value_name = "TEXT")]
    stopped_reason: Option<String>,
    /// The task stopped with this stop code, such as SpotInterruption; otherwise the likely one
    #[arg(long, value_name = "CODE")]
    stop_code: Option<String>,
    /// The container stopped, and ECS gave this reason for it
    #[arg(long, value_name = "TEXT")]
    container_reason: Option<String>,
    /// RunTask answered `failures` with this reason, such as RESOURCE:MEMORY
    #[arg(long, value_name = "REASON", value_parser = not_empty, conflicts_with_all = ["exit_code", "stopped_reason", "stop_code", "container_reason"])]
    launch_failure: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn not_empty(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("it is empty") } else { Ok(text.to_owned()) }
}

/// The JSON object of an explanation.
#[derive(Debug, Serialize)]
struct ExplanationObject<'e> {
    job: &'e str,
    names: Vec<&'e str>,
    primary: Option<&'e str>,
    retrier: Option<usize>,
    delays_seconds: Vec<f64>,
    total_delay_seconds: f64,
    end: &'static str,
    end_error: Option<&'e str>,
    hint: Option<&'static str>,
    notes: Vec<String>,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failed> {
    let (config, _warnings) = context.load()?;
    let found = config.jobs.values().find(|job| job.name.as_str() == arguments.job);
    let job = found.ok_or_else(|| no_such_job(&config, &arguments.job))?;
    let Judged { failure, is_skipped, notes } = facts::judge(arguments, &job.definition);
    match &failure {
        None if is_skipped => tell_end(job, ("skipped", "there was nothing to do"), notes, arguments.json)?,
        None => tell_end(job, ("succeeded", "this is no failure"), notes, arguments.json)?,
        Some(failure) => tell(job, failure, notes, arguments)?,
    }
    Ok(Exit::Ok)
}

fn tell_end(job: &Job, (end, why): (&'static str, &str), notes: Vec<String>, json: bool) -> Result<(), Failed> {
    if json {
        return print_json(&ExplanationObject {
            job: job.name.as_str(),
            names: Vec::new(),
            primary: None,
            retrier: None,
            delays_seconds: Vec::new(),
            total_delay_seconds: 0.0,
            end,
            end_error: None,
            hint: None,
            notes,
        });
    }
    let mut lines = vec![line("job", job.name.as_str()), line("end", &format!("{end}: {why}"))];
    lines.extend(notes.iter().map(|note| line("note", note)));
    print_lines(&lines)
}

fn tell(job: &Job, failure: &Failure, mut notes: Vec<String>, arguments: &Arguments) -> Result<(), Failed> {
    let definition = &job.definition;
    let seen = forecast(definition, failure);
    notes.extend(doubts(definition, failure, &seen));
    if arguments.json {
        return print_json(&ExplanationObject {
            job: job.name.as_str(),
            names: failure.names.iter().map(ErrorName::as_str).collect(),
            primary: Some(failure.primary.as_str()),
            retrier: seen.retrier,
            delays_seconds: seen.delays.iter().map(Duration::as_secs_f64).collect(),
            total_delay_seconds: waited(&seen.delays).as_secs_f64(),
            end: end_word(seen.end),
            end_error: end_error(&seen, failure),
            hint: hint(failure).map(|hint| hint.text),
            notes,
        });
    }
    // The cause of a failure that was only named would be made up.
    let has_facts = arguments.error.is_none();
    let mut lines = vec![line("job", job.name.as_str())];
    for (nth, name) in failure.names.iter().enumerate() {
        let mark = if *name == failure.primary { "  (primary)" } else { "" };
        lines.push(line(if nth == 0 { "names" } else { "" }, &format!("{name}{mark}")));
    }
    if has_facts && !failure.cause.is_empty() {
        lines.push(line("cause", &failure.cause));
    }
    if let Some(hint) = hint(failure) {
        lines.push(line("hint", hint.text));
    }
    if definition.exit_codes.forbids_retry(failure).is_none() {
        if definition.retry == RetryPolicy::default() {
            lines.push(line("policy", "the built-in one"));
        }
        lines.extend(retrier_lines(definition, failure, seen.retrier));
    }
    lines.extend(delay_lines(&seen.delays));
    lines.push(line("end", &end_sentence(definition, failure, &seen)));
    lines.extend(notes.iter().map(|note| line("note", note)));
    print_lines(&lines)
}

fn line(label: &str, text: &str) -> String {
    format!("{label:<10} {text}").trim_end().to_owned()
}

fn print_lines(lines: &[String]) -> Result<(), Failed> {
    let lines: Vec<String> = lines.iter().map(|line| plain(line)).collect();
    print(&format!("{}\n", lines.join("\n")))
}

fn waited(delays: &[Duration]) -> Duration {
    delays.iter().copied().fold(Duration::ZERO, Duration::saturating_add)
}

/// Which retrier takes it, and why the others do not.
fn retrier_lines(definition: &Definition, failure: &Failure, taker: Option<usize>) -> Vec<String> {
    let retriers = definition.retry.retriers();
    if retriers.is_empty() {
        return vec![line("retry", "there is no retrier")];
    }
    let told = retriers.iter().enumerate().map(|(index, retrier)| {
        let names = retrier.error_equals.iter().map(ErrorName::as_str).collect::<Vec<_>>().join(", ");
        let says = match taker {
            Some(taker) if taker == index && retrier.max_attempts == 0 => "takes it and grants no retry".to_owned(),
            Some(taker) if taker == index => "takes it".to_owned(),
            Some(taker) if taker < index && retrier.takes(failure) => {
                format!("would take it and is not asked: retry[{taker}] comes first, also when it is used up")
            }
            Some(_) | None => why_not(retrier, failure).to_owned(),
        };
        line(&format!("retry[{index}]"), &format!("{says}  ({names})"))
    });
    told.collect()
}

fn why_not(retrier: &Retrier, failure: &Failure) -> &'static str {
    let names = |name: ErrorName| retrier.error_equals.contains(&name);
    if failure.primary == ErrorName::RUNTIME {
        "passes over it: nothing takes States.Runtime"
    } else if failure.primary == ErrorName::LAUNCH_UNKNOWN && (names(ErrorName::ALL) || names(ErrorName::TASK_FAILED)) {
        "passes over it: no wildcard takes Tenacron.LaunchUnknown"
    } else if names(ErrorName::TASK_FAILED) {
        "passes over it: States.TaskFailed takes everything but States.Timeout"
    } else if names(ErrorName::ALL) {
        "passes over it: States.ALL does not take this name"
    } else {
        "passes over it: it names none of these"
    }
}

fn delay_lines(delays: &[Duration]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut passed = Duration::ZERO;
    for (nth, delay) in delays.iter().enumerate() {
        passed = passed.saturating_add(*delay);
        if nth < RETRIES_TOLD {
            let text = format!("after {} s, {} waited in all", delay.as_secs_f64(), format_duration(passed));
            lines.push(line(&format!("retry {}", nth + 1), &text));
        }
    }
    if let Some(more @ 1..) = delays.len().checked_sub(RETRIES_TOLD) {
        lines.push(line("", &format!("and {more} more, {} waited in all", format_duration(passed))));
    }
    lines
}

fn end_word(end: End) -> &'static str {
    match end {
        End::Failed => "failed",
        End::TimedOut => "timed_out",
        End::Unknown => "unknown",
        End::Rerun => "rerun",
        End::Open => "open",
    }
}

fn end_error<'e>(seen: &Forecast, failure: &'e Failure) -> Option<&'e str> {
    match seen.end {
        End::TimedOut => Some("States.Timeout"),
        End::Failed | End::Unknown => Some(failure.primary.as_str()),
        End::Rerun | End::Open => None,
    }
}

fn end_sentence(definition: &Definition, failure: &Failure, seen: &Forecast) -> String {
    let attempts = match seen.delays.len() + 1 {
        1 => "after 1 attempt".to_owned(),
        many => format!("after {many} attempts"),
    };
    let timeout = definition.limits.timeout.map(|limit| format_duration(limit).to_string()).unwrap_or_default();
    match (seen.end, seen.cut) {
        (End::Failed, _) => {
            let why = if definition.exit_codes.forbids_retry(failure).is_some() {
                "exit_codes forbids a retry"
            } else if seen.retrier.is_some() {
                "no retry is left"
            } else {
                "no retrier takes it"
            };
            format!("failed with {} {attempts}: {why}", failure.primary)
        }
        (End::TimedOut, Some(cut)) => format!(
            "timed_out with States.Timeout {attempts}: timeout = {timeout} cuts off the wait of {} s before retry {}",
            cut.as_secs_f64(),
            seen.delays.len() + 1
        ),
        (End::TimedOut, None) => format!("timed_out with States.Timeout {attempts}: timeout = {timeout} is over"),
        (End::Unknown, _) => format!("unknown with {} {attempts}: nobody knows whether a task ran", failure.primary),
        (End::Rerun, _) => "the task is launched again, possibly for a second time: on_unknown = \"rerun\"".to_owned(),
        (End::Open, _) => "it goes on".to_owned(),
    }
}

/// What the forecast takes for granted, where that matters.
fn doubts(definition: &Definition, failure: &Failure, seen: &Forecast) -> Vec<String> {
    let mut doubts: Vec<String> = definition.exit_codes.forbids_retry(failure).into_iter().collect();
    let limits = definition.limits;
    let retrier = seen.retrier.and_then(|index| definition.retry.retriers().get(index));
    if retrier.is_some_and(|retrier| retrier.jitter_strategy == Jitter::Full) {
        doubts.push("jitter_strategy = \"FULL\": each wait is drawn between zero and the one that is told".to_owned());
    }
    if failure.primary == ErrorName::TIMEOUT && limits.attempt_timeout.or(limits.start_timeout).is_none() {
        doubts.push(
            "this job has neither attempt_timeout nor start_timeout, so no attempt of it ends like this".to_owned(),
        );
    } else if !seen.attempt.is_zero() {
        doubts.push(format!("each such attempt lasts at least {}", format_duration(seen.attempt)));
    }
    if let Some(limit) = limits.timeout.filter(|_| seen.end != End::TimedOut && !seen.delays.is_empty()) {
        let limit = format_duration(limit);
        doubts.push(format!("the attempts need time too: timeout = {limit} counts from the first launch, and ends the run wherever it is"));
    }
    if seen.end == End::Open {
        let granted = retrier.map_or(0, |retrier| retrier.max_attempts);
        doubts.push(format!("only the first {RETRIES_MAX} of {granted} retries are foreseen"));
    }
    doubts
}
