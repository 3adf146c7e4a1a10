//! The walk of the wall clock: from one local time to the next that the fields name.
//!
//! This is the only file that names the `cron` crate. It matches the ordinary fields; around it stand the three things that it
//! lacks. Day rules (`L`, `W`, `#`) and years are asked of each day that it offers, and a refusal jumps over the whole day or
//! to the next year named. And its years end at 2100 where EventBridge's end at 2199: from 2101 on it is asked 124 years
//! earlier, in years with the same weekdays and leap days (2101-2199 lie between two century years, 1977-2075 around the
//! leap year 2000), so the answer is the same day.
//!
//! The crate is handed naive local times dressed as UTC and never a zone: with one, it walks backwards through the repeated
//! hour of autumn and forgets its second half after a restart. Zones are `local_time.rs`'s.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::day_rule::Days;
use super::error::{ScheduleError, Word};
use super::field::{DAY_OF_MONTH, Field, HOUR, MINUTE, MONTH, NUMBERED_DAY, SECOND, Years};
use super::times::Times;
use super::values::Values;
use chrono::{Datelike, Days as DayCount, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

/// Each turn of the walk passes at least one day, and there are fewer days than this between 1970 and 2199.
const TURNS_MAX: usize = 84_100;
/// How many matchers are kept, of about 3 KB each.
const RECENT_MAX: usize = 1_000;
/// The last second that the crate knows.
const CRATE_END: NaiveDateTime = end_of_year(2100);
const FIRST: NaiveDateTime = end_of_year(1969);
const LAST: NaiveDateTime = end_of_year(2199);
/// From 1977-01-01 to 2101-01-01: 124 years with 30 leap days, whole weeks.
const SHIFT: DayCount = DayCount::new(124 * 365 + 30);

/// The fields that are not days, as sets.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    pub(super) seconds: Values,
    pub(super) minutes: Values,
    pub(super) hours: Values,
    pub(super) months: Values,
    /// None for every year.
    pub(super) years: Option<Years>,
}

/// The local times named by one expression.
#[derive(Debug, Clone)]
pub(super) struct Calendar {
    /// One, or two where crontab joins its day fields with OR.
    alternatives: Vec<Days>,
    fields: Fields,
    every_hour: bool,
}

impl Calendar {
    /// Refuses fields that name no day of any year; `word` is the expression, for the caret.
    pub(super) fn new(fields: Fields, days: &[Days], word: Word<'_>) -> Result<Calendar, ScheduleError> {
        let calendar = Calendar { alternatives: days.to_vec(), every_hour: fields.hours == HOUR.all(), fields };
        if calendar.has_any_day() {
            return Ok(calendar);
        }
        Err(word.error(format!("\"{}\" never fires: no year from 1970 to 2199 has such a day", word.text)))
    }

    /// Told without the crate, which is not needed before the calendar is asked when it fires.
    fn has_any_day(&self) -> bool {
        let mut days = FIRST.date().iter_days().skip(1).take_while(|date| *date <= LAST.date());
        days.any(|date| self.has_day(date))
    }

    /// Whether all 24 hours are named, which decides how the expression meets a change of the clocks.
    pub(super) fn every_hour(&self) -> bool {
        self.every_hour
    }

    /// The times of day, which are the same on every day that is named.
    pub(super) fn times(&self) -> Times {
        Times::of(&self.fields, false)
    }

    /// The same, with every second of the minutes that hold one.
    pub(super) fn times_of_whole_minutes(&self) -> Times {
        Times::of(&self.fields, true)
    }

    /// Whether a day is named, told without a walk.
    pub(super) fn has_day(&self, date: NaiveDate) -> bool {
        (FIRST.date()..LAST.date()).contains(&(date - DayCount::new(1)))
            && self.fields.months.contains(date.month())
            && self.has_year(date.year())
            && self.alternatives.iter().any(|days| days.hold(date))
    }

    /// The end of a stretch around a local time in which every second is named: of the second, or of the minute, hour or day
    /// if all of it is. None if the time is not named.
    pub(super) fn named_until(&self, wall: NaiveDateTime, whole_minutes: bool) -> Option<NaiveDateTime> {
        let Fields { seconds, minutes, hours, .. } = &self.fields;
        let is_named = hours.contains(wall.hour())
            && minutes.contains(wall.minute())
            && (whole_minutes || seconds.contains(wall.second()))
            && self.has_day(wall.date());
        if !is_named {
            return None;
        }
        let (seconds, minutes, hours) =
            (whole_minutes || *seconds == SECOND.all(), *minutes == MINUTE.all(), *hours == HOUR.all());
        match (seconds, minutes, hours) {
            (false, _, _) => Some(wall),
            (true, false, _) => wall.with_second(59),
            (true, true, false) => wall.with_minute(59)?.with_second(59),
            (true, true, true) => wall.date().and_hms_opt(23, 59, 59),
        }
    }

    /// The first local time strictly after `after`, in whole seconds, up to the end of 2199.
    pub(super) fn next(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        self.alternatives.iter().filter_map(|days| self.walk(days, after)).min()
    }

    fn walk(&self, days: &Days, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let mut cursor = self.skip_years(after.max(FIRST))?;
        let matcher = Matcher::new(&self.fields, days);
        for _ in 0..TURNS_MAX {
            let found = matcher.next(cursor)?;
            if !days.rule.admits(found.date()) {
                cursor = found.date().and_time(NaiveTime::MIN) + TimeDelta::seconds(86_399);
            } else if self.has_year(found.year()) {
                return Some(found);
            } else {
                cursor = found;
            }
            cursor = self.skip_years(cursor)?;
        }
        None
    }

    fn has_year(&self, year: i32) -> bool {
        let named = |years: &Years| u32::try_from(year).is_ok_and(|year| years.contains(&year));
        self.fields.years.as_ref().is_none_or(named)
    }

    /// The same cursor if the second after it lies in a year that is named, else the end of the year before the next named one.
    fn skip_years(&self, cursor: NaiveDateTime) -> Option<NaiveDateTime> {
        let Some(years) = &self.fields.years else {
            return Some(cursor);
        };
        let start = cursor.checked_add_signed(TimeDelta::seconds(1))?;
        let next = *years.range(u32::try_from(start.year()).ok()?..).next()?;
        let before = i32::try_from(next).ok()?.checked_sub(1)?;
        Some(cursor.max(end_of_year(before)))
    }
}

/// The six fields that the crate knows, in its order.
type Key = [(&'static Field, Values); 6];

/// What the crate makes of the fields.
struct Matcher(Rc<cron::Schedule>);

thread_local! {
    /// It takes as much memory as all else about a job, and ten times as long to make as to ask. So no job keeps one, and
    /// those that were asked last are kept here: the jobs of one instant mostly share their fields.
    static RECENT: RefCell<HashMap<[Values; 6], Rc<cron::Schedule>>> = RefCell::default();
}

impl Matcher {
    fn new(fields: &Fields, days: &Days) -> Matcher {
        let key: Key = [
            (&SECOND, fields.seconds),
            (&MINUTE, fields.minutes),
            (&HOUR, fields.hours),
            (&DAY_OF_MONTH, days.of_month),
            (&MONTH, fields.months),
            (&NUMBERED_DAY, days.of_week),
        ];
        RECENT.with_borrow_mut(|recent| {
            if recent.len() >= RECENT_MAX {
                recent.clear();
            }
            let made = recent.entry(key.map(|(_, values)| values)).or_insert_with(|| Rc::new(read(&key)));
            Matcher(Rc::clone(made))
        })
    }

    fn next(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        if after >= LAST {
            return None;
        }
        if let Some(found) = self.ask(after) {
            return Some(found);
        }
        let shifted = after.max(CRATE_END).checked_sub_days(SHIFT)?;
        let found = self.ask(shifted)?.checked_add_days(SHIFT)?;
        (found <= LAST).then_some(found)
    }

    fn ask(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let found = self.0.after(&after.and_utc()).next()?;
        Some(found.naive_utc())
    }
}

fn read(key: &Key) -> cron::Schedule {
    let text: Vec<String> = key.iter().map(|(field, values)| written(field, *values)).collect();
    text.join(" ").parse().expect("the crate reads what `written` writes")
}

/// The numbers as the crate reads them: as a range where they are one, because it reads a list item by item, and slowly.
fn written(field: &Field, values: Values) -> String {
    if values == field.all() {
        return "*".to_owned();
    }
    let numbers: Vec<u32> = values.iter().collect();
    if let [first, second, .., last] = *numbers.as_slice()
        && numbers.windows(2).all(|pair| matches!(*pair, [one, next] if next - one == second - first))
    {
        return format!("{first}-{last}/{}", second - first);
    }
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    numbers.join(",")
}

const fn end_of_year(year: i32) -> NaiveDateTime {
    match NaiveDate::from_ymd_opt(year, 12, 31) {
        Some(date) => match date.and_hms_opt(23, 59, 59) {
            Some(end) => end,
            None => NaiveDateTime::MAX,
        },
        None => NaiveDateTime::MAX,
    }
}
