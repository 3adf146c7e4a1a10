//! `cron(minute hour day-of-month month day-of-week year)`, as EventBridge reads it.
//!
//! Sunday is 1. Exactly one of the two day fields is `?`. The last day, the nearest weekday and the n-th day of its name stand
//! alone in their field, no list and no range (EventBridge user guide, "Cron expressions reference"; the forms that it leaves
//! to Quartz, `L-3`, `LW` and `6L`, are read as Quartz reads them). Steps are not in its table for the day-of-week and are
//! refused. An `nW` beyond the end of a short month fires in the longer months only.

use super::calendar::{Calendar, Fields};
use super::day_rule::Days;
use super::error::{ScheduleError, Word};
use super::field::{DAY_OF_MONTH, FieldReader, HOUR, MINUTE, MONTH, NUMBERED_DAY, number};
use super::values::Values;

const SATURDAY: u32 = 7;
const WEEKS_MAX: u32 = 5;
/// `L-30` is the first day of the long months.
const BACK_MAX: u32 = 30;

/// Reads what stands between the parentheses of `cron(…)`; `whole` is the expression with them.
pub(super) fn parse(whole: Word<'_>, body: Word<'_>) -> Result<Calendar, Vec<ScheduleError>> {
    let words = body.words();
    let &[minute, hour, day_of_month, month, day_of_week, year] = words.as_slice() else {
        return Err(vec![body.error(format!(
            "cron(…) takes 6 fields (minute hour day-of-month month day-of-week year), found {}",
            words.len()
        ))]);
    };
    let mut reader = FieldReader::default();
    let days = match (day_of_month.text, day_of_week.text) {
        ("?", "?") => Err(question_marks(day_of_month, day_of_week)),
        (_, "?") => read_day_of_month(day_of_month),
        ("?", _) => read_day_of_week(day_of_week),
        (_, _) => Err(question_marks(day_of_month, day_of_week)),
    };
    let days = reader.keep(days);
    let fields = Fields {
        seconds: Values::one(0),
        minutes: reader.read(&MINUTE, minute),
        hours: reader.read(&HOUR, hour),
        months: reader.read(&MONTH, month),
        years: reader.read_years(year),
    };
    reader.finish()?;
    Calendar::new(fields, days.as_slice(), whole).map_err(|mistake| vec![mistake])
}

fn question_marks(day_of_month: Word<'_>, day_of_week: Word<'_>) -> ScheduleError {
    let end = day_of_week.start + day_of_week.text.len();
    ScheduleError::new(
        format!(
            "exactly one of day-of-month \"{}\" and day-of-week \"{}\" must be \"?\" in cron(…)",
            day_of_month.text, day_of_week.text
        ),
        day_of_month.start..end,
    )
}

fn read_day_of_month(word: Word<'_>) -> Result<Days, ScheduleError> {
    let upper = word.text.to_ascii_uppercase();
    if upper == "L" {
        return Ok(Days::before_last(0));
    }
    if upper == "LW" {
        return Ok(Days::last_weekday());
    }
    if let Some(back) = upper.strip_prefix("L-").and_then(number)
        && (1..=BACK_MAX).contains(&back)
    {
        return Ok(Days::before_last(back));
    }
    if let Some(day) = upper.strip_suffix('W').and_then(number) {
        let day = DAY_OF_MONTH.value(Word::new(&day.to_string(), word.start));
        return Ok(Days::nearest_weekday(day.map_err(|_| special_day(word))?));
    }
    if upper.contains(['L', 'W']) {
        return Err(special_day(word));
    }
    let values = DAY_OF_MONTH.parse(word)?;
    Ok(Days::new(values, NUMBERED_DAY.all()))
}

fn special_day(word: Word<'_>) -> ScheduleError {
    word.error(format!(
        "day-of-month \"{}\" is not understood: 1-31, or alone in the field L, L-1 to L-30, LW, 1W to 31W",
        word.text
    ))
}

fn read_day_of_week(word: Word<'_>) -> Result<Days, ScheduleError> {
    let last = word.text.len().saturating_sub(1);
    if word.text.eq_ignore_ascii_case("L") {
        let saturday = Values::one(SATURDAY);
        return Ok(Days::new(DAY_OF_MONTH.all(), saturday));
    }
    if let Some((name, nth)) = word.split_once('#') {
        let day = NUMBERED_DAY.value(name).map_err(|_| special_name(word))?;
        let nth = number(nth.text).filter(|nth| (1..=WEEKS_MAX).contains(nth));
        let nth = nth.ok_or_else(|| special_name(word))?;
        return Ok(Days::nth_of_name(day, nth));
    }
    if word.text.ends_with(['L', 'l']) {
        let name = Word::new(word.text.get(..last).unwrap_or_default(), word.start);
        let day = NUMBERED_DAY.value(name).map_err(|_| special_name(word))?;
        return Ok(Days::last_of_name(day));
    }
    if word.text.contains('/') {
        return Err(word.error(format!(
            "day-of-week \"{}\" has a step, which EventBridge does not know there: list the days, such as MON,WED,FRI",
            word.text
        )));
    }
    let values = NUMBERED_DAY.parse(word)?;
    Ok(Days::new(DAY_OF_MONTH.all(), values))
}

fn special_name(word: Word<'_>) -> ScheduleError {
    word.error(format!(
        "day-of-week \"{}\" is not understood: 1-7 (Sunday is 1) or SUN-SAT, or alone in the field L, FRIL or 6L, FRI#1 to FRI#5",
        word.text
    ))
}
