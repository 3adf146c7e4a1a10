//! Six or seven fields, the seconds first, as the `cron` crate reads them.
//!
//! `second minute hour day-of-month month day-of-week [year]`; Sunday is 1; `?` is another `*` in the two day fields; both day
//! fields must hold. What the crate accepts means the same here (the tests compare); beyond it ranges may wrap and years go on
//! to 2199. The five-field numbers of the days differ, so names are the better habit.
//!
//! EventBridge's six fields without their `cron(…)` are the likely mistake. They cannot pass unnoticed: the `?` that
//! EventBridge demands falls on the hour or the month here, where it is refused with the hint.

use super::calendar::{Calendar, Fields};
use super::day_rule::Days;
use super::error::{ScheduleError, Word};
use super::field::{DAY_OF_MONTH, FieldReader, HOUR, MINUTE, MONTH, NUMBERED_DAY, SECOND};

/// Reads six fields and perhaps a year.
pub(super) fn parse(
    whole: Word<'_>,
    words: &[Word<'_>; 6],
    year: Option<Word<'_>>,
) -> Result<Calendar, Vec<ScheduleError>> {
    let [second, minute, hour, day_of_month, month, day_of_week] = *words;
    if year.is_none() && (hour.text == "?" || month.text == "?") {
        return Err(vec![whole.error(format!(
            "six fields start with the seconds, and \"?\" stands where EventBridge has it: write cron({})",
            whole.text
        ))]);
    }
    let mut reader = FieldReader::default();
    let fields = Fields {
        seconds: reader.read(&SECOND, second),
        minutes: reader.read(&MINUTE, minute),
        hours: reader.read(&HOUR, hour),
        months: reader.read(&MONTH, month),
        years: year.and_then(|year| reader.read_years(year)),
    };
    let of_month = reader.read_with_any(&DAY_OF_MONTH, day_of_month);
    let of_week = reader.read_with_any(&NUMBERED_DAY, day_of_week);
    reader.finish()?;
    Calendar::new(fields, &[Days::new(of_month, of_week)], whole).map_err(|mistake| vec![mistake])
}
