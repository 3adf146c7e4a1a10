//! What a notice says, for a person who is woken at 02:05: what happened to which job, why, what comes next, and where to
//! see more. Plain text, for every channel alike; `docs/notices.md` shows it.
//!
//! What containers and ECS say goes into it, and may hold anything: control characters become spaces here, and what a chat
//! would take for a mention or a link is defused by [`for_chat`].

use std::fmt::Write as _;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use crate::engine::failure::ErrorName;
use crate::engine::notice::{AttemptFacts, Notice, NoticeFacts, On};
use crate::engine::run::Trigger;

/// The version of the JSON object. It rises when a key changes its meaning or goes; new keys may come without.
pub const VERSION: u32 = 1;
/// The longest subject, in ASCII characters. Source: Amazon SNS API reference, Publish: "less than 100 characters".
pub const SUBJECT_MAX: usize = 99;
/// The longest text, in bytes.
pub const TEXT_MAX: usize = 4_096;
/// How much of the cause is told, in bytes.
const CAUSE_MAX: usize = 500;
/// How much of the hint.
const HINT_MAX: usize = 300;
/// The longest line of an attempt.
const ATTEMPT_MAX: usize = 170;
/// How much of a name that somebody gave.
const NAME_MAX: usize = 100;

/// The JSON object: everything that is known, with the subject and the text.
pub fn json(notice: &Notice) -> Value {
    let mut object = serde_json::to_value(&*notice.facts).unwrap_or_default();
    if let Value::Object(object) = &mut object {
        object.insert("version".into(), VERSION.into());
        object.insert("id".into(), notice.id.as_str().into());
        object.insert("subject".into(), subject(&notice.facts).into());
        object.insert("text".into(), text(&notice.facts).into());
    }
    object
}

/// One line: the job, what happened, and which installation says so. ASCII, without control characters.
pub fn subject(facts: &NoticeFacts) -> String {
    let (job, last) = (facts.job.as_str(), newest(facts));
    let attempts = match facts.attempt_count {
        0 | 1 => String::new(),
        count => format!(", {count} attempts"),
    };
    let in_a_row = match facts.failed_in_a_row {
        0 | 1 => String::new(),
        count => format!(", {count} in a row"),
    };
    let what = match facts.on {
        On::Started => "started".to_owned(),
        On::Retrying => format!("is retried: {}", reason(facts.exit_code, &facts.error, &facts.finer_error)),
        On::Succeeded => "succeeded".to_owned(),
        On::Recovered => match facts.failed_in_a_row {
            0 => "recovered".to_owned(),
            count => format!("recovered after {}", of(u64::from(count), "failure")),
        },
        // The exit code is only how the program took our stop.
        On::Failed if facts.error.as_deref() == Some(ErrorName::TIMEOUT.as_str()) => {
            let finer = facts.finer_error.as_ref().map(|finer| format!(" ({})", name(finer))).unwrap_or_default();
            format!("failed: a limit of time was reached{finer}{attempts}{in_a_row}")
        }
        On::Failed => {
            let exit_code = last.and_then(|attempt| attempt.exit_code).or(facts.exit_code);
            let why = reason(exit_code, &facts.error, &facts.finer_error);
            format!("failed: {why}{attempts}{in_a_row}")
        }
        On::TimedOut => format!("timed out{attempts}{in_a_row}"),
        On::Unknown => format!("may have run or not{in_a_row}"),
        On::Missed => format!("missed {}", of(facts.others.saturating_add(1), "instant")),
        On::Skipped if facts.attempt_count > 0 => "was skipped: nothing to do".to_owned(),
        On::Skipped => format!("skipped {}", of(facts.others.saturating_add(1), "instant")),
    };
    let line = plain(&format!("{job} {what} [{}]", facts.instance));
    let ascii: String = line.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
    cut(&ascii, SUBJECT_MAX)
}

/// All that a person needs to know first.
pub fn text(facts: &NoticeFacts) -> String {
    let mut lines = vec![headline(facts), String::new()];
    let cause = facts.cause.as_deref().map(|cause| cut(&plain(cause), CAUSE_MAX));
    match (cause, facts.finer_error.as_ref().or(facts.error.as_ref())) {
        (Some(cause), Some(error)) => lines.push(format!("What: {cause} ({})", name(error))),
        (Some(cause), None) => lines.push(format!("What: {cause}")),
        (None, Some(error)) => lines.push(format!("What: {}", name(error))),
        (None, None) => {}
    }
    if let Some(code) = facts.exit_code {
        let meaning = facts.exit_code_meaning.as_ref().map(|meaning| format!(" ({})", name(meaning)));
        lines.push(format!("Exit code: {code}{}", meaning.unwrap_or_default()));
    }
    lines.extend(facts.hint.as_ref().map(|hint| format!("Hint: {}", cut(&plain(hint), HINT_MAX))));
    lines.push(format!("Instant: {}, {}", instant(facts, facts.scheduled_at), began(facts.trigger)));
    if let Some(from) = facts.others_from {
        lines.push(format!("First of them: {}", instant(facts, from)));
    }
    lines.extend(facts.made_up_by.as_ref().map(|run| format!("Made up by: {run}")));
    lines.extend(attempts(facts));
    lines.extend(facts.retry_at.map(|at| format!("Next attempt: {}", instant(facts, at))));
    if facts.failed_in_a_row > 1 && facts.on != On::Recovered {
        lines.push(format!("In a row: {} runs of the job ended badly", facts.failed_in_a_row));
    }
    lines.push(format!("Next firing: {}", next(facts)));
    lines.push(format!("More: tenacron show {}", facts.run));
    lines.push(format!("Installation: {}", facts.instance));
    cut(&lines.join("\n"), TEXT_MAX)
}

/// Text for a chat that reads markup: `&`, `<` and `>` are escaped, so that no `<!channel>` and no link comes to be, and an `@`
/// before a word mentions nobody. Source: Slack's documentation, "Formatting text for app surfaces", "Escaping text".
pub fn for_chat(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // A character of no width: it reads the same, and is no mention.
            '@' => safe.push_str("@\u{200b}"),
            _ => safe.push(c),
        }
    }
    safe
}

fn headline(facts: &NoticeFacts) -> String {
    let job = &facts.job;
    let attempts = of(u64::from(facts.attempt_count), "attempt");
    let instants = match facts.others {
        0 => "an instant".to_owned(),
        others => format!("an instant and {} before it", of(others, "other")),
    };
    match facts.on {
        On::Started => format!("{job} started."),
        On::Retrying => format!("Attempt {} of {job} failed and is tried again.", facts.attempt_count),
        On::Succeeded => format!("{job} succeeded."),
        On::Recovered if facts.failed_in_a_row == 0 => format!("{job} succeeded; its run before had not."),
        On::Recovered => {
            format!("{job} succeeded, after {} in a row.", of(u64::from(facts.failed_in_a_row), "failure"))
        }
        On::Failed => format!("{job} failed after {attempts}."),
        On::TimedOut => format!("{job} timed out after {attempts}."),
        On::Unknown => format!("Whether {job} ran can't be known."),
        On::Missed if facts.made_up_by.is_some() => format!("{job} missed {instants}; one run makes up for it."),
        On::Missed => format!("{job} missed {instants}: nothing was run."),
        On::Skipped if facts.attempt_count > 0 => format!("{job} found nothing to do."),
        On::Skipped => format!("{job} skipped {instants}: nothing was run."),
    }
}

/// A line for each attempt. What the notice has said already is not said again.
fn attempts(facts: &NoticeFacts) -> Vec<String> {
    let told = u32::try_from(facts.attempts.len()).unwrap_or(u32::MAX);
    let left_out = facts.attempt_count.saturating_sub(told);
    let line = |attempt: &AttemptFacts| {
        let mut line = format!("{}.", attempt.attempt);
        let _infallible = match (attempt.launched_at, attempt.stopped_at) {
            (Some(from), Some(until)) => write!(line, " {}, {}", time(facts, from), duration(until - from)),
            (Some(from), None) => write!(line, " {}", time(facts, from)),
            (None, Some(until)) => write!(line, " until {}", time(facts, until)),
            (None, None) => Ok(()),
        };
        if attempt.error.is_some() {
            let _infallible = write!(line, ": {}", reason(attempt.exit_code, &attempt.error, &attempt.finer_error));
            let news = attempt.cause.as_deref().filter(|cause| facts.cause.as_deref() != Some(*cause));
            let _infallible = news.map(|cause| write!(line, ": {}", plain(cause)));
        }
        cut(&line, ATTEMPT_MAX)
    };
    if facts.attempts.is_empty() {
        return Vec::new();
    }
    let more = (left_out > 0).then(|| format!("  {} before these", of(u64::from(left_out), "attempt")));
    let lines = facts.attempts.iter().map(|attempt| format!("  {}", line(attempt)));
    ["Attempts:".to_owned()].into_iter().chain(more).chain(lines).collect()
}

fn newest(facts: &NoticeFacts) -> Option<&AttemptFacts> {
    facts.attempts.last()
}

/// A failure in a few words: its finest name if that tells more than an exit code, else the code, else its name.
fn reason(exit_code: Option<i32>, error: &Option<String>, finer: &Option<String>) -> String {
    let finer = finer.as_deref().filter(|finer| !finer.starts_with(ErrorName::EXIT_CODES));
    let code = exit_code.filter(|code| *code != 0).map(|code| format!("exit code {code}"));
    match (finer, code, error) {
        (Some(finer), Some(code), _) => format!("{}, {code}", name(finer)),
        (Some(finer), None, _) => name(finer),
        (None, Some(code), _) => code,
        (None, None, Some(error)) => name(error),
        (None, None, None) if exit_code.is_some() => "exit code 0".to_owned(),
        (None, None, None) => "no reason is known".to_owned(),
    }
}

fn next(facts: &NoticeFacts) -> String {
    let paused = facts.paused.as_deref().map(name);
    match (facts.next_at, paused) {
        (Some(at), None) => instant(facts, at),
        (Some(at), Some(by)) => format!("{}; until then it is paused by {by}", instant(facts, at)),
        (None, Some(by)) => format!("none, it is paused by {by}; `tenacron resume {}` lets it go on", facts.job),
        (None, None) if facts.timezone.is_none() => "none, the job has left the configuration".to_owned(),
        (None, None) => "none, its schedule names no further instant".to_owned(),
    }
}

fn began(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Schedule => "by its schedule",
        Trigger::Catchup => "to catch up",
        Trigger::Manual => "by hand",
        Trigger::Backfill => "as a backfill",
    }
}

/// In the job's zone and in UTC.
fn instant(facts: &NoticeFacts, at: DateTime<Utc>) -> String {
    let utc = at.format("%F %H:%M:%S UTC").to_string();
    match zone(facts) {
        Some(zone) => format!("{} {zone} ({utc})", at.with_timezone(&zone).format("%F %H:%M:%S%:z")),
        None => utc,
    }
}

/// The same in short, for the zone has been named: without the date of the run's own instant.
fn time(facts: &NoticeFacts, at: DateTime<Utc>) -> String {
    let date = |at: NaiveDateTime, own: NaiveDateTime| match at.date() == own.date() {
        true => String::new(),
        false => format!("{} ", at.date()),
    };
    let own = facts.scheduled_at;
    let utc = format!("{}{} UTC", date(at.naive_utc(), own.naive_utc()), at.format("%H:%M:%S"));
    let Some(zone) = zone(facts) else { return utc };
    let (at, own) = (at.with_timezone(&zone), own.with_timezone(&zone));
    format!("{}{} ({utc})", date(at.naive_local(), own.naive_local()), at.format("%H:%M:%S%:z"))
}

/// The job's, unless it is UTC.
fn zone(facts: &NoticeFacts) -> Option<Tz> {
    facts.timezone.as_deref().and_then(|zone| zone.parse().ok()).filter(|zone| *zone != Tz::UTC)
}

/// The two largest units.
fn duration(time: TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{days} d {hours} h"),
    }
}

fn of(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn name(text: &str) -> String {
    cut(&plain(text), NAME_MAX)
}

/// One line without what could steer a terminal, begin another line or reorder this one.
fn plain(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if is_harmful(c) { ' ' } else { c }).collect()
}

/// At most so many bytes, and a mark where something is missing.
fn cut(text: &str, max: usize) -> String {
    const MARK: &str = "...";
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max.saturating_sub(MARK.len()));
    format!("{}{MARK}", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests;
