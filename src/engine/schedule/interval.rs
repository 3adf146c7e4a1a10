//! `rate(value unit)`: equal steps of elapsed time, counted from an anchor.
//!
//! The n-th instant is `anchor + n × period`, computed and never walked, so a year of absence costs nothing and a restart
//! cannot shift the phase. A day is 24 hours, whatever the clocks on the wall do (EventBridge Scheduler user guide, "Schedule
//! types"). The unit follows EventBridge's rule: singular after 1, plural otherwise (EventBridge user guide, "Rate
//! expressions": `rate(1 hours)` and `rate(5 hour)` are not valid); a wrong one is refused with the right one spelled out.

use super::error::{ScheduleError, Word};
use super::field::number;
use chrono::{DateTime, TimeDelta, Utc};

/// A hundred years: a longer period is a slip of the keyboard, and sums with a shorter one cannot leave the calendar.
const LONGEST_PERIOD_SECONDS: i64 = 36_500 * 86_400;
const EXAMPLE: &str = "such as rate(5 minutes), rate(1 hour) or rate(7 days)";

/// What rates count from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anchor {
    pub(super) at: DateTime<Utc>,
    /// Whether `at` is an instant itself: `start_at` is, the second in which the daemon first saw a schedule is not.
    pub(super) fires: bool,
}

/// A fixed period, at least a minute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interval {
    period_seconds: i64,
}

impl Interval {
    /// Reads what stands between the parentheses of `rate(…)`.
    pub(super) fn parse(body: Word<'_>) -> Result<Interval, ScheduleError> {
        let words = body.words();
        let &[value, unit] = words.as_slice() else {
            return Err(body.error(format!("rate(…) takes a value and a unit, {EXAMPLE}, found \"{}\"", body.text)));
        };
        let count = number(value.text).filter(|count| *count > 0).ok_or_else(|| {
            value.error(format!("rate value \"{}\" is not accepted: a positive whole number, {EXAMPLE}", value.text))
        })?;
        let lower = unit.text.to_ascii_lowercase();
        let (singular, seconds) = match lower.strip_suffix('s').unwrap_or(&lower) {
            "minute" => ("minute", 60),
            "hour" => ("hour", 3_600),
            "day" => ("day", 86_400),
            _ => {
                return Err(
                    unit.error(format!("rate unit \"{}\" is not understood: minute(s), hour(s) or day(s)", unit.text))
                );
            }
        };
        let plural = if count == 1 { "" } else { "s" };
        if lower.ends_with('s') == plural.is_empty() {
            return Err(unit.error(format!(
                "rate unit \"{}\" does not agree with {count}: write rate({count} {singular}{plural})",
                unit.text
            )));
        }
        i64::from(count)
            .checked_mul(seconds)
            .filter(|period| *period <= LONGEST_PERIOD_SECONDS)
            .map(|period_seconds| Interval { period_seconds })
            .ok_or_else(|| value.error(format!("rate value \"{}\" is out of range: at most 36500 days", value.text)))
    }

    pub(super) fn period_seconds(self) -> i64 {
        self.period_seconds
    }

    /// The first multiple strictly after `after`.
    pub(super) fn next(self, after: DateTime<Utc>, Anchor { at: anchor, fires }: Anchor) -> Option<DateTime<Utc>> {
        if fires && after < anchor {
            return Some(anchor);
        }
        let passed = elapsed_seconds(after, anchor).checked_div(self.period_seconds)?;
        let offset = passed.checked_add(1)?.checked_mul(self.period_seconds)?;
        anchor.checked_add_signed(TimeDelta::try_seconds(offset)?)
    }
}

/// Whole seconds since the anchor, none before it. They are enough to compare with multiples of a period: one that is above
/// the floor is above the fraction too.
pub(super) fn elapsed_seconds(at: DateTime<Utc>, anchor: DateTime<Utc>) -> i64 {
    at.signed_duration_since(anchor).num_seconds().max(0)
}
