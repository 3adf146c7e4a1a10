//! Which dialect an expression is written in, told from its shape alone.
//!
//! | shape | dialect |
//! |---|---|
//! | `cron(…)`, `rate(…)`, `at(…)` | EventBridge |
//! | `@name` | crontab's shorthands |
//! | five words | crontab |
//! | six or seven words | seconds first, the `cron` crate's own |
//!
//! No text fits two rows, so nothing is tried and nothing is guessed: a mistake is reported in the dialect that was meant.
//! An offset or a zone inside the text is refused, because the zone is the job's `timezone` and there must be one place for it.

use super::calendar::Calendar;
use super::crontab;
use super::error::{ScheduleError, Word};
use super::eventbridge;
use super::field::number;
use super::interval::Interval;
use super::seconds_first;
use chrono::{NaiveDate, NaiveDateTime};

const FORMS: &str = "5 fields (crontab), 6-7 (seconds first), cron(…), rate(…), at(…) or @daily and the like";
const AT_FORM: &str = "at(yyyy-mm-ddThh:mm:ss), such as at(2027-03-01T09:30:00)";
const YEARS: std::ops::RangeInclusive<u32> = 1970..=2199;

/// One expression, read.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    Calendar(Calendar),
    Interval(Interval),
    Once(NaiveDateTime),
}

/// Reads an expression in any dialect, reporting every mistake that can be seen at once.
pub(super) fn read(text: &str) -> Result<Expression, Vec<ScheduleError>> {
    let whole = Word::new(text, 0).trim();
    if whole.text.starts_with('@') {
        return crontab::parse_shorthand(whole).map(Expression::Calendar);
    }
    if let Some((name, rest)) = whole.split_once('(') {
        return call(whole, name, rest);
    }
    let words = whole.words();
    if let Some(first) = words.first().filter(|word| word.text.contains('=')) {
        let message =
            format!("\"{}\" is refused: the zone is the job's timezone, not part of the expression", first.text);
        return Err(vec![first.error(message)]);
    }
    let calendar = match *words.as_slice() {
        [a, b, c, d, e] => crontab::parse(whole, &[a, b, c, d, e]),
        [a, b, c, d, e, f] => seconds_first::parse(whole, &[a, b, c, d, e, f], None),
        [a, b, c, d, e, f, year] => seconds_first::parse(whole, &[a, b, c, d, e, f], Some(year)),
        _ => Err(vec![whole.error(format!("expected {FORMS}, found {}", found(words.len())))]),
    };
    calendar.map(Expression::Calendar)
}

fn found(words: usize) -> String {
    match words {
        0 => "nothing".to_owned(),
        1 => "1 word".to_owned(),
        _ => format!("{words} fields"),
    }
}

fn call(whole: Word<'_>, name: Word<'_>, rest: Word<'_>) -> Result<Expression, Vec<ScheduleError>> {
    let Some(inner) = rest.text.strip_suffix(')') else {
        let message = format!("\"{}\" must end with \")\"", whole.text);
        return Err(vec![whole.error(message)]);
    };
    let body = Word::new(inner, rest.start).trim();
    match name.text.trim_end().to_ascii_lowercase().as_str() {
        "cron" => eventbridge::parse(whole, body).map(Expression::Calendar),
        "rate" => Interval::parse(body).map(Expression::Interval).map_err(|mistake| vec![mistake]),
        "at" => at(body).map(Expression::Once).map_err(|mistake| vec![mistake]),
        _ => Err(vec![name.error(format!("\"{}(…)\" is not known: expected {FORMS}", name.text))]),
    }
}

/// The shape is checked here, not by chrono, which would take signs, single digits and a 60th second.
fn at(body: Word<'_>) -> Result<NaiveDateTime, ScheduleError> {
    let refuse = |why: &str| body.error(format!("at \"{}\" is not understood: {why}{AT_FORM}", body.text));
    let pieces: Option<Vec<u32>> = [(0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19)]
        .into_iter()
        .map(|(from, to)| body.text.get(from..to).and_then(number))
        .collect();
    let marks: String = body.text.chars().filter(|c| !c.is_ascii_digit()).collect();
    let Some(&[year, month, day, hour, minute, second]) = pieces.as_deref() else {
        return Err(refuse(""));
    };
    if body.text.len() != 19 || marks != "--T::" {
        let why = if body.text.len() > 19 {
            "local time in the job's timezone, with no fraction and no offset, "
        } else {
            ""
        };
        return Err(refuse(why));
    }
    if second == 60 {
        return Err(refuse("leap seconds cannot be scheduled, "));
    }
    let date = i32::try_from(year)
        .ok()
        .filter(|_| YEARS.contains(&year))
        .and_then(|year| NaiveDate::from_ymd_opt(year, month, day));
    date.and_then(|date| date.and_hms_opt(hour, minute, second))
        .ok_or_else(|| refuse("no such date or time from 1970 to 2199, "))
}
