//! `except`: local days and times at which a schedule does not fire.
//!
//! An exception is a date, a range of dates, or an expression of any dialect but `rate(…)`. It is asked about the local time
//! that the clock shows at an instant, whatever expression named the instant: `0 3 * * *` leaves out a firing that a change of
//! the clocks moved to 03:00. Where an expression has no field for seconds, it leaves out all seconds of the minutes that it
//! names, so that `* 12 * * *` means the whole hour to a job of every second as well.

use super::calendar::Calendar;
use super::error::{ScheduleError, Word};
use super::expression::{self, Expression};
use super::field::number;
use super::local_time::{FIRST, LAST};
use super::times::Times;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use std::ops::RangeInclusive;

const FORMS: &str = "a date such as 2026-12-25, a range of dates such as 2026-12-24..2027-01-02, or a cron expression";
/// The years that every dialect knows.
const YEARS: RangeInclusive<i32> = 1970..=2199;
/// How far one look goes on from stretch to stretch, and how many it passes.
const REACH: TimeDelta = TimeDelta::days(2);
const STRETCHES_MAX: usize = 3_000;
const SECOND: TimeDelta = TimeDelta::seconds(1);

/// The exceptions of one schedule, or of many that share them.
#[derive(Debug, Clone, Default)]
pub struct Exceptions {
    texts: Vec<String>,
    /// Whole days, first and last, in order and apart from each other.
    days: Vec<(NaiveDate, NaiveDate)>,
    expressions: Vec<Excepted>,
}

/// Exceptions are equal if they are written alike.
impl PartialEq for Exceptions {
    fn eq(&self, other: &Exceptions) -> bool {
        self.texts == other.texts
    }
}

impl Eq for Exceptions {}

/// An exception that is not a whole day.
#[derive(Debug, Clone)]
pub(super) enum Excepted {
    Seconds(Calendar),
    WholeMinutes(Calendar),
    Once(NaiveDateTime),
}

impl Exceptions {
    /// Reads dates, ranges of dates and expressions; the number beside a mistake is the index of its exception.
    ///
    /// # Errors
    ///
    /// Every mistake of every exception.
    pub fn read(texts: &[&str]) -> Result<Exceptions, Vec<(usize, ScheduleError)>> {
        let mut exceptions = Exceptions::default();
        let mut mistakes = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match exceptions.add(text) {
                Ok(()) => exceptions.texts.push(text.trim().to_owned()),
                Err(found) => mistakes.extend(found.into_iter().map(|mistake| (index, mistake))),
            }
        }
        exceptions.days = joined(exceptions.days);
        if mistakes.is_empty() { Ok(exceptions) } else { Err(mistakes) }
    }

    fn add(&mut self, text: &str) -> Result<(), Vec<ScheduleError>> {
        let whole = Word::new(text, 0).trim();
        let is_expression = whole.text.starts_with('@') || whole.text.contains('(') || whole.words().len() >= 4;
        if !is_expression {
            self.days.push(days(whole).map_err(|mistake| vec![mistake])?);
            return Ok(());
        }
        let is_seconds_first = whole.words().len() >= 6 && !whole.text.contains('(');
        self.expressions.push(match expression::read(text)? {
            Expression::Calendar(calendar) if is_seconds_first => Excepted::Seconds(calendar),
            Expression::Calendar(calendar) => Excepted::WholeMinutes(calendar),
            Expression::Once(once) => Excepted::Once(once),
            Expression::Interval(_) => {
                let message =
                    format!("\"{}\" is refused: a rate names no time of the clock; write {FORMS}", whole.text);
                return Err(vec![whole.error(message)]);
            }
        });
        Ok(())
    }

    /// The exceptions as they were written.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether a whole day is left out by its date.
    pub(super) fn has_whole_day(&self, date: NaiveDate) -> bool {
        self.last_day(date).is_some()
    }

    /// Those that are not whole days.
    pub(super) fn expressions(&self) -> &[Excepted] {
        &self.expressions
    }

    /// Whether there are exceptions that could concern an instant: all of them name local times from 1970 to 2199.
    pub(super) fn reach(&self, instant: DateTime<Utc>) -> bool {
        !self.is_empty() && (FIRST..LAST).contains(&instant)
    }

    /// Whether a local time is left out.
    pub(super) fn leaves_out(&self, wall: NaiveDateTime) -> bool {
        self.stretch(wall).is_some()
    }

    /// The last second of the stretch that is left out around a local time, or a part of it of two days at least; none if the
    /// time is not left out.
    pub(super) fn left_out_until(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let mut last = self.stretch(wall)?;
        for _ in 0..STRETCHES_MAX {
            match self.stretch(last + SECOND).filter(|_| last - wall < REACH) {
                Some(further) => last = further,
                None => break,
            }
        }
        Some(last)
    }

    fn stretch(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let of_day = self.last_day(wall.date()).and_then(|last| last.and_hms_opt(23, 59, 59));
        let ends = self.expressions.iter().filter_map(|excepted| excepted.until(wall));
        ends.chain(of_day).max()
    }

    /// The last day of the range of dates that holds a day.
    fn last_day(&self, date: NaiveDate) -> Option<NaiveDate> {
        let nth = self.days.partition_point(|(_, last)| *last < date);
        self.days.get(nth).filter(|(first, _)| *first <= date).map(|(_, last)| *last)
    }
}

impl Excepted {
    /// Whether a day has such times.
    pub(super) fn has_day(&self, date: NaiveDate) -> bool {
        match self {
            Excepted::Seconds(calendar) | Excepted::WholeMinutes(calendar) => calendar.has_day(date),
            Excepted::Once(once) => once.date() == date,
        }
    }

    /// The times that are left out on each of its days.
    pub(super) fn times(&self) -> Times {
        match self {
            Excepted::Seconds(calendar) => calendar.times(),
            Excepted::WholeMinutes(calendar) => calendar.times_of_whole_minutes(),
            Excepted::Once(once) => Times::one(once.num_seconds_from_midnight()),
        }
    }

    fn until(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        match self {
            Excepted::Seconds(calendar) => calendar.named_until(wall, false),
            Excepted::WholeMinutes(calendar) => calendar.named_until(wall, true),
            Excepted::Once(once) => (*once == wall).then_some(wall),
        }
    }
}

/// A date, or the first and the last one of a range.
fn days(whole: Word<'_>) -> Result<(NaiveDate, NaiveDate), ScheduleError> {
    let Some((first, rest)) = whole.split_once('.') else {
        return day(whole).map(|day| (day, day));
    };
    let Some(last) = rest.text.strip_prefix('.') else {
        return Err(not_understood(whole));
    };
    let (first, last) = (day(first.trim())?, day(Word::new(last, rest.start + 1).trim())?);
    if first > last {
        let message = format!("the range \"{}\" runs backwards: write the earlier date first", whole.text);
        return Err(whole.error(message));
    }
    Ok((first, last))
}

fn day(word: Word<'_>) -> Result<NaiveDate, ScheduleError> {
    let date = date(word.text).ok_or_else(|| not_understood(word))?;
    date.filter(|date| YEARS.contains(&date.year()))
        .ok_or_else(|| word.error(format!("\"{}\" is no date from 1970 to 2199", word.text)))
}

fn not_understood(word: Word<'_>) -> ScheduleError {
    word.error(format!("exception \"{}\" is not understood: expected {FORMS}", word.text))
}

/// A date written as `yyyy-mm-dd`: outer none if it is not of this shape, inner none if there is no such day.
pub(super) fn date(text: &str) -> Option<Option<NaiveDate>> {
    let piece = |from, to| text.get(from..to).and_then(number);
    let (year, month, day) = (piece(0, 4)?, piece(5, 7)?, piece(8, 10)?);
    let marks: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
    if text.len() != 10 || marks != "--" {
        return None;
    }
    Some(i32::try_from(year).ok().and_then(|year| NaiveDate::from_ymd_opt(year, month, day)))
}

/// The same days in order, with ranges that overlap or touch made one.
fn joined(mut days: Vec<(NaiveDate, NaiveDate)>) -> Vec<(NaiveDate, NaiveDate)> {
    days.sort_unstable();
    let mut joined: Vec<(NaiveDate, NaiveDate)> = Vec::new();
    for (first, last) in days {
        match joined.last_mut() {
            Some((_, end)) if end.succ_opt().is_none_or(|next| first <= next) => *end = last.max(*end),
            Some(_) | None => joined.push((first, last)),
        }
    }
    joined
}
