//! The days that no set of numbers can name: last day, nearest weekday, n-th or last Friday.
//!
//! The `cron` crate knows none of EventBridge's `L`, `W` and `#`, but it joins its two day fields with AND. So each of them
//! becomes the narrowest pair of day fields that contains it (`FRI#2` is a Friday among the days 8-14, which is all of it)
//! and, where that is not enough, one question about the date. The crate then offers at most a few wrong days a month.
//!
//! A month without the day asked for has no firing: `31W` passes over April, as a plain `31` does.

use super::field::NUMBERED_DAY;
use super::values::Values;
use chrono::{Datelike, NaiveDate, Weekday};

/// The days of a calendar: both sets must hold the day, and the rule must admit it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Days {
    pub(super) of_month: Values,
    /// 1-7, Sunday is 1.
    pub(super) of_week: Values,
    pub(super) rule: DayRule,
}

/// What is asked of a date beyond its two numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum DayRule {
    Any,
    /// So many days before the last of the month.
    BeforeLast(u32),
    /// The Monday to Friday closest to this day, within the month.
    NearestWeekday(u32),
    /// The last Monday to Friday of the month.
    LastWeekday,
    /// The last day of its name in the month.
    LastOfName,
}

impl Days {
    /// Whether a date is one of them, as far as months and years do not decide it.
    pub(super) fn hold(&self, date: NaiveDate) -> bool {
        self.of_month.contains(date.day())
            && self.of_week.contains(date.weekday().number_from_sunday())
            && self.rule.admits(date)
    }

    pub(super) fn new(of_month: Values, of_week: Values) -> Days {
        Days { of_month, of_week, rule: DayRule::Any }
    }

    /// `L` and `L-n`.
    pub(super) fn before_last(back: u32) -> Days {
        Days {
            of_month: near(28_u32.saturating_sub(back), 31_u32.saturating_sub(back)),
            of_week: NUMBERED_DAY.all(),
            rule: DayRule::BeforeLast(back),
        }
    }

    /// `nW`.
    pub(super) fn nearest_weekday(day: u32) -> Days {
        Days {
            of_month: near(day.saturating_sub(2), day.saturating_add(2)),
            of_week: monday_to_friday(),
            rule: DayRule::NearestWeekday(day),
        }
    }

    /// `LW`.
    pub(super) fn last_weekday() -> Days {
        Days { of_month: near(26, 31), of_week: monday_to_friday(), rule: DayRule::LastWeekday }
    }

    /// `FRIL`.
    pub(super) fn last_of_name(day_of_week: u32) -> Days {
        Days { of_month: near(22, 31), of_week: Values::one(day_of_week), rule: DayRule::LastOfName }
    }

    /// `FRI#2`: the two sets say it all.
    pub(super) fn nth_of_name(day_of_week: u32, nth: u32) -> Days {
        let last = nth.saturating_mul(7);
        Days::new(near(last.saturating_sub(6), last), Values::one(day_of_week))
    }
}

impl DayRule {
    pub(super) fn admits(self, date: NaiveDate) -> bool {
        let length = u32::from(date.num_days_in_month());
        match self {
            DayRule::Any => true,
            DayRule::BeforeLast(back) => date.day() + back == length,
            DayRule::NearestWeekday(day) => nearest_weekday(date, day, length) == Some(date.day()),
            DayRule::LastWeekday => nearest_weekday(date, length, length) == Some(date.day()),
            DayRule::LastOfName => date.day() + 7 > length,
        }
    }
}

fn nearest_weekday(month: NaiveDate, day: u32, length: u32) -> Option<u32> {
    let moved = match month.with_day(day)?.weekday() {
        Weekday::Sat if day == 1 => day + 2,
        Weekday::Sat => day - 1,
        Weekday::Sun if day == length => day - 2,
        Weekday::Sun => day + 1,
        Weekday::Mon | Weekday::Tue | Weekday::Wed | Weekday::Thu | Weekday::Fri => day,
    };
    Some(moved)
}

fn near(from: u32, to: u32) -> Values {
    Values::range(from.max(1), to.min(31))
}

fn monday_to_friday() -> Values {
    Values::range(2, 6)
}
