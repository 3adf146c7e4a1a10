//! Five fields, as crontab(5) reads them, and its shorthands.
//!
//! The days are the part to know: if both day fields are restricted, either one is enough (`0 9 13 * FRI` is every 13th and
//! every Friday); if one of them starts with `*`, both must hold, so `0 9 */2 * MON` is the Mondays with an odd number.
//! That is Vixie's and cronie's rule down to the `*/2`. Sunday is 0 and 7.
//!
//! Beyond crontab: wrapping ranges (`FRI-MON`, `22-2`) and `a/n`. Refused: `@reboot`, since a daemon that restarts is not a
//! machine that boots, and a firing must be an instant that can be known beforehand.

use super::calendar::{Calendar, Fields};
use super::day_rule::Days;
use super::error::{ScheduleError, Word};
use super::field::{CRONTAB_DAY, DAY_OF_MONTH, FieldReader, HOUR, MINUTE, MONTH, NUMBERED_DAY};
use super::values::Values;

const SHORTHANDS: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Reads `minute hour day-of-month month day-of-week`.
pub(super) fn parse(whole: Word<'_>, words: &[Word<'_>; 5]) -> Result<Calendar, Vec<ScheduleError>> {
    let [minute, hour, day_of_month, month, day_of_week] = *words;
    let mut reader = FieldReader::default();
    let fields = Fields {
        seconds: Values::one(0),
        minutes: reader.read(&MINUTE, minute),
        hours: reader.read(&HOUR, hour),
        months: reader.read(&MONTH, month),
        years: None,
    };
    let of_month = reader.read(&DAY_OF_MONTH, day_of_month);
    let of_week = reader.read(&CRONTAB_DAY, day_of_week);
    reader.finish()?;
    // Crontab's Sunday is 0, the calendar's is 1.
    let of_week = of_week.raised();
    let restricted = |word: Word<'_>| !word.text.starts_with('*');
    let days = if restricted(day_of_month) && restricted(day_of_week) {
        vec![Days::new(of_month, NUMBERED_DAY.all()), Days::new(DAY_OF_MONTH.all(), of_week)]
    } else {
        vec![Days::new(of_month, of_week)]
    };
    Calendar::new(fields, &days, whole).map_err(|mistake| vec![mistake])
}

/// Reads `@daily` and its like.
pub(super) fn parse_shorthand(word: Word<'_>) -> Result<Calendar, Vec<ScheduleError>> {
    if word.text.eq_ignore_ascii_case("@reboot") {
        return Err(vec![word.error(
            "\"@reboot\" is refused: it names no instant, and a restart of the daemon must start nothing; trigger the job by hand",
        )]);
    }
    let known = SHORTHANDS.iter().find(|(name, _)| word.text.eq_ignore_ascii_case(name));
    let Some((_, fields)) = known else {
        let names: Vec<&str> = SHORTHANDS.iter().map(|(name, _)| *name).collect();
        return Err(vec![word.error(format!("\"{}\" is not known: {}", word.text, names.join(", ")))]);
    };
    match <[Word<'_>; 5]>::try_from(Word::new(fields, word.start).words()) {
        Ok(words) => parse(word, &words),
        Err(_) => Err(vec![word.error("the shorthand does not have five fields")]),
    }
}
