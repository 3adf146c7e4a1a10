//! One field of a cron expression: a list of values, ranges and steps, read into the set of numbers that it names.
//!
//! The grammar is one for all dialects, so that what is learned in one holds in the others:
//!
//! ```text
//! field = item *( "," item )
//! item  = ( "*" | value | value "-" value ) [ "/" step ]
//! value = number | name            three letters or more of an English month or day, in any case
//! ```
//!
//! * `a/n` means from `a` to the end of the field by `n`, as in EventBridge, Quartz and cronie.
//! * A range whose start is above its end runs over the end of the field: `22-2` is 22, 23, 0, 1, 2 and `FRI-MON` four days.
//!   EventBridge's own examples hold `20-2` (user guide, "Cron expressions reference"). Years do not wrap.
//! * A step larger than the field is refused. `*/90` minutes would fire once an hour, which nobody who writes it wants;
//!   EventBridge and the `cron` crate refuse it too.
//!
//! The dialects differ in which fields they have and how they number the days of the week; that is in their own files.

use super::error::{ScheduleError, Word};
use super::values::Values;
use std::collections::BTreeSet;

/// The years that are named.
pub(super) type Years = BTreeSet<u32>;

/// What may stand in one field.
#[derive(Debug)]
pub(super) struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// The highest number that may be written; above `max` only where crontab knows Sunday as 7.
    written_max: u32,
    max_step: u32,
    /// Full English names, the first one standing for `min`.
    names: &'static [&'static str],
    wraps: bool,
    accepted: &'static str,
}

const MONTHS: &[&str] = &[
    "JANUARY",
    "FEBRUARY",
    "MARCH",
    "APRIL",
    "MAY",
    "JUNE",
    "JULY",
    "AUGUST",
    "SEPTEMBER",
    "OCTOBER",
    "NOVEMBER",
    "DECEMBER",
];
const DAYS: &[&str] = &["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"];
const SHORTEST_NAME: usize = 3;

pub(super) const SECOND: Field = Field::numbers("second", 0, 59, "0-59 (leap seconds cannot be scheduled)");
pub(super) const MINUTE: Field = Field::numbers("minute", 0, 59, "0-59");
pub(super) const HOUR: Field = Field::numbers("hour", 0, 23, "0-23");
pub(super) const DAY_OF_MONTH: Field = Field::numbers("day-of-month", 1, 31, "1-31");
pub(super) const MONTH: Field = Field { names: MONTHS, ..Field::numbers("month", 1, 12, "1-12 or JAN-DEC") };
/// Crontab's: Sunday is 0, and 7 as well.
pub(super) const CRONTAB_DAY: Field = Field {
    names: DAYS,
    written_max: 7,
    max_step: 7,
    ..Field::numbers("day-of-week", 0, 6, "0-7 (Sunday is 0 and 7) or SUN-SAT")
};
/// EventBridge's and the crate's: Sunday is 1.
pub(super) const NUMBERED_DAY: Field =
    Field { names: DAYS, ..Field::numbers("day-of-week", 1, 7, "1-7 (Sunday is 1) or SUN-SAT") };
const YEAR: Field = Field { wraps: false, ..Field::numbers("year", 1970, 2199, "1970-2199") };

impl Field {
    const fn numbers(name: &'static str, min: u32, max: u32, accepted: &'static str) -> Field {
        Field { name, min, max, written_max: max, max_step: max, names: &[], wraps: true, accepted }
    }

    /// Every value of the field, as `*` names them.
    pub(super) const fn all(&self) -> Values {
        Values::range(self.min, self.max)
    }

    pub(super) fn parse<S: Default + Extend<u32>>(&self, word: Word<'_>) -> Result<S, ScheduleError> {
        let mut values = S::default();
        for item in word.split(',') {
            if item.text.is_empty() {
                return Err(word.error(format!("{} \"{}\" has a comma with no value beside it", self.name, word.text)));
            }
            self.item(item, &mut values)?;
        }
        Ok(values)
    }

    fn item(&self, item: Word<'_>, values: &mut impl Extend<u32>) -> Result<(), ScheduleError> {
        let (base, step) = match item.split_once('/') {
            Some((base, step)) => (base, Some(self.step(step)?)),
            None => (item, None),
        };
        let (from, to) = if base.text == "*" {
            (self.min, self.max)
        } else if let Some((from, to)) = base.split_once('-') {
            (self.value(from)?, self.value(to)?)
        } else {
            let value = self.value(base)?;
            match step {
                // Sunday as 7 starts the week like Sunday as 0: a step has to run from there to Saturday.
                Some(_) if value > self.max => (self.min, self.max),
                Some(_) => (value, self.max),
                None => (value, value),
            }
        };
        let step = usize::try_from(step.unwrap_or(1)).unwrap_or(usize::MAX);
        if from <= to {
            values.extend((from..=to).step_by(step).map(|value| self.fold(value)));
        } else if self.wraps {
            let wrapped = (from..=self.max).chain(self.min..=to);
            values.extend(wrapped.step_by(step));
        } else {
            return Err(
                item.error(format!("{} \"{}\" runs backwards: write the lower one first", self.name, item.text))
            );
        }
        Ok(())
    }

    fn fold(&self, value: u32) -> u32 {
        if value > self.max { self.min } else { value }
    }

    fn step(&self, word: Word<'_>) -> Result<u32, ScheduleError> {
        number(word.text).filter(|step| (1..=self.max_step).contains(step)).ok_or_else(|| {
            word.error(format!("{} step \"/{}\" is out of range: 1-{}", self.name, word.text, self.max_step))
        })
    }

    /// One number or name.
    pub(super) fn value(&self, word: Word<'_>) -> Result<u32, ScheduleError> {
        if !word.text.is_empty() && word.text.bytes().all(|byte| byte.is_ascii_digit()) {
            return number(word.text).filter(|value| (self.min..=self.written_max).contains(value)).ok_or_else(|| {
                word.error(format!("{} \"{}\" is out of range: {}", self.name, word.text, self.accepted))
            });
        }
        (self.min..=self.max)
            .zip(self.names)
            .find(|(_, name)| is_name(word.text, name))
            .map(|(value, _)| value)
            .ok_or_else(|| self.not_understood(word))
    }

    fn not_understood(&self, word: Word<'_>) -> ScheduleError {
        let is_day = [&DAY_OF_MONTH, &CRONTAB_DAY].iter().any(|day| day.name == self.name);
        let hint = if word.text == "?" {
            "; \"?\" stands alone, in a day field of cron(…) or of the form with seconds; write \"*\""
        } else if is_day && word.text.contains(['L', 'W', '#', 'l', 'w']) {
            "; L, W and # are read in cron(…) only, one to a field"
        } else {
            ""
        };
        word.error(format!("{} \"{}\" is not understood: {}{hint}", self.name, word.text, self.accepted))
    }
}

/// Reads the fields of one expression and keeps every mistake, so that all of them are shown at once.
#[derive(Debug, Default)]
pub(super) struct FieldReader {
    mistakes: Vec<ScheduleError>,
}

impl FieldReader {
    /// The values of a field; none if it is mistaken.
    pub(super) fn read(&mut self, field: &Field, word: Word<'_>) -> Values {
        self.keep(field.parse(word)).unwrap_or_default()
    }

    /// The same where `?` is another `*`.
    pub(super) fn read_with_any(&mut self, field: &Field, word: Word<'_>) -> Values {
        match word.text {
            "?" => field.all(),
            _ => self.read(field, word),
        }
    }

    /// None for every year, which costs the walk nothing.
    pub(super) fn read_years(&mut self, word: Word<'_>) -> Option<Years> {
        (word.text != "*").then(|| self.keep(YEAR.parse(word)).unwrap_or_default())
    }

    /// The value of a reading, or its mistake kept.
    pub(super) fn keep<T>(&mut self, reading: Result<T, ScheduleError>) -> Option<T> {
        reading.map_err(|mistake| self.mistakes.push(mistake)).ok()
    }

    /// To be called before what was read is used.
    pub(super) fn finish(mut self) -> Result<(), Vec<ScheduleError>> {
        self.mistakes.sort_by_key(|mistake| mistake.span().start);
        if self.mistakes.is_empty() { Ok(()) } else { Err(self.mistakes) }
    }
}

fn is_name(text: &str, name: &str) -> bool {
    text.len() >= SHORTEST_NAME && name.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text))
}

/// Digits only: `str::parse` alone would take "+5".
pub(super) fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}
