//! When a job is due: cron expressions, rates and single instants, in a zone, as a strictly increasing sequence of instants.
//!
//! A [`Schedule`] is the union of one or more expressions. It holds no clock and no memory: [`Schedule::next`] depends on its
//! arguments alone, so the daemon may ask from any moment, after any absence, and gets the tail of the same sequence.
//! Expressions are read in `expression.rs` and the files of the dialects; `calendar.rs` walks the wall clock with the `cron`
//! crate; `local_time.rs` maps wall clock to instants; `interval.rs` counts elapsed time. `bounds.rs` and `except.rs` narrow
//! the sequence, `left_out.rs` leaps over what is left out of it. `count.rs` counts the instants of a range without walking
//! them. `night.rs` tells which instants a change of the clocks touches. `spread.rs` is about when a run leaves, not about when it is due.
//!
//! # When the clocks change
//!
//! An expression *runs every hour* if its hour field names all 24 hours (`*`, `*/1`, `0-23`, `@hourly`). Then it follows the
//! clock as it is shown: it fires at every instant at which the zone's clock shows a named time, in both passes of a repeated
//! hour, and at nothing that the clock skips. `*/15 * * * *` thus keeps its quarter-hour steps through both nights.
//!
//! Any other expression, and `at(…)`, names points of a day, and each of them counts once:
//!
//! * a named time that the clock skips fires at the first instant after the gap ([`Gap::After`]), or not at all
//!   ([`Gap::Skip`]). Several of them in one gap, or one beside a named time at its end, are one firing.
//! * a named time that the clock shows twice fires when first shown ([`Overlap::First`]), or both times ([`Overlap::Both`]).
//!
//! `rate(…)` knows no wall clock. Where zones shift by half an hour (Lord Howe), the clock that is shown still rules: from
//! 02:00 to 02:30 there is no 02:00, and an hourly expression waits from 01:00 to 03:00.
//!
//! # Limits
//!
//! Years are 1970 to 2199. The compiled zone database knows changes of the clocks up to 2099; later instants use the last
//! offset. Instants have whole seconds, but for the fraction of a rate's anchor.

mod bounds;
mod calendar;
mod count;
mod crontab;
mod day_parts;
mod day_rule;
mod error;
mod eventbridge;
mod except;
mod expression;
mod field;
mod identity;
mod interval;
mod left_out;
mod local_time;
mod night;
mod rates;
mod seconds_first;
mod spread;
#[cfg(test)]
mod tests;
mod times;
mod values;

pub use bounds::{Bounds, BoundsError, Moment};
pub use error::ScheduleError;
pub use except::Exceptions;
pub use night::Night;
pub use spread::spread_offset;

use calendar::Calendar;
use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use expression::Expression;
use interval::Anchor;
use local_time::LocalTime;
use std::sync::Arc;

/// What becomes of a local time that the clock skips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gap {
    /// It fires at the first instant after the gap.
    #[default]
    After,
    /// It does not fire, as in EventBridge Scheduler.
    Skip,
}

/// What becomes of a local time that the clock shows twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// It fires when it is first shown, as in EventBridge Scheduler.
    #[default]
    First,
    /// It fires both times.
    Both,
}

/// How a schedule meets a change of the clocks; the module's documentation says which expressions it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dst {
    /// Times that the clock skips.
    pub gap: Gap,
    /// Times that the clock shows twice.
    pub overlap: Overlap,
}

/// When one job is due: the union of its expressions in a zone, between its bounds and without its exceptions.
#[derive(Debug, Clone)]
pub struct Schedule {
    texts: Vec<String>,
    expressions: Vec<Expression>,
    zone: Tz,
    dst: Dst,
    start: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
    except: Arc<Exceptions>,
}

/// Schedules are equal if they are written alike: the text, the zone, the rule and what narrows them decide everything else.
impl PartialEq for Schedule {
    fn eq(&self, other: &Schedule) -> bool {
        self.texts == other.texts
            && self.zone == other.zone
            && self.dst == other.dst
            && (self.start, self.end) == (other.start, other.end)
            && self.except == other.except
    }
}

impl Eq for Schedule {}

impl Schedule {
    /// Reads expressions of any dialect; the number beside a mistake is the index of its expression.
    ///
    /// # Errors
    ///
    /// Every mistake of every expression, so that one look at the file is enough. Also a list without expressions.
    pub fn parse(expressions: &[&str], zone: Tz, dst: Dst) -> Result<Schedule, Vec<(usize, ScheduleError)>> {
        // Of their size from the start: there are a hundred thousand schedules, and most have one expression.
        let (texts, read) = (Vec::with_capacity(expressions.len()), Vec::with_capacity(expressions.len()));
        let mut schedule =
            Schedule { texts, expressions: read, zone, dst, start: None, end: None, except: Arc::default() };
        let mut mistakes = Vec::new();
        for (index, text) in expressions.iter().enumerate() {
            match expression::read(text) {
                Ok(expression) => {
                    if let Some(mistake) = schedule.never_shown(text, &expression) {
                        mistakes.push((index, mistake));
                    }
                    schedule.texts.push((*text).to_owned());
                    schedule.expressions.push(expression);
                }
                Err(found) => mistakes.extend(found.into_iter().map(|mistake| (index, mistake))),
            }
        }
        if expressions.is_empty() {
            let mistake = ScheduleError::new("a schedule needs at least one expression", 0..0);
            mistakes.push((0, mistake));
        }
        if mistakes.is_empty() { Ok(schedule) } else { Err(mistakes) }
    }

    /// The first instant strictly after `after`. A rate without a start counts from `anchor`; its first instant is `anchor`
    /// plus the period.
    pub fn next(&self, after: DateTime<Utc>, anchor: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.next_until(after, DateTime::<Utc>::MAX_UTC, anchor)
    }

    /// The first instant of (`after`, `until`]: what comes later is not looked at.
    fn next_until(&self, after: DateTime<Utc>, until: DateTime<Utc>, anchor: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (after, until) = self.clipped(after, until);
        let anchor = self.anchor(anchor);
        if self.except.is_empty() {
            self.next_named(after, anchor).filter(|next| *next <= until)
        } else {
            self.next_not_left_out(after, until, anchor)
        }
    }

    /// The instants of the range (`after`, `until`], strictly increasing, computed as they are taken.
    pub fn firings(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
        anchor: DateTime<Utc>,
    ) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        let first = self.next_until(after, until, anchor);
        std::iter::successors(first, move |last| self.next_until(*last, until, anchor))
    }

    /// The zone whose clock the expressions name.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// How changes of the clocks are met.
    pub fn dst(&self) -> Dst {
        self.dst
    }

    /// The expressions as they were written.
    pub fn expressions(&self) -> &[String] {
        &self.texts
    }

    /// The expressions as they were written, in one line.
    pub fn text(&self) -> String {
        self.texts.join("; ")
    }

    /// The next instant as if there were neither bounds nor exceptions.
    fn next_named(&self, after: DateTime<Utc>, anchor: Anchor) -> Option<DateTime<Utc>> {
        self.expressions.iter().filter_map(|expression| self.next_of(expression, after, anchor)).min()
    }

    fn next_of(&self, expression: &Expression, after: DateTime<Utc>, anchor: Anchor) -> Option<DateTime<Utc>> {
        match expression {
            Expression::Calendar(calendar) => self.next_in(calendar, after),
            Expression::Once(once) => self.next_once(*once, after),
            Expression::Interval(interval) => interval.next(after, anchor),
        }
    }

    fn next_in(&self, calendar: &Calendar, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.local_time(calendar.every_hour()).next(after, |wall| calendar.next(wall))
    }

    fn next_once(&self, once: NaiveDateTime, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.local_time(false).next(after, |wall| (wall < once).then_some(once))
    }

    fn local_time(&self, every_hour: bool) -> LocalTime {
        LocalTime { zone: self.zone, dst: self.dst, every_hour }
    }

    /// A single local time that falls into a gap, under the rule that such times do not fire.
    fn never_shown(&self, text: &str, expression: &Expression) -> Option<ScheduleError> {
        match expression {
            Expression::Once(once) if self.next_once(*once, DateTime::<Utc>::MIN_UTC).is_none() => {
                let message = format!("\"{}\" never fires: the clock of {} skips this time", text.trim(), self.zone);
                let start = text.len() - text.trim_start().len();
                let end = text.trim_end().len();
                Some(ScheduleError::new(message, start..end))
            }
            Expression::Once(_) | Expression::Calendar(_) | Expression::Interval(_) => None,
        }
    }
}

/// A time zone name that the IANA database does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "time zone \"{name}\" is not in the IANA database {version}, such as UTC or Europe/Berlin",
    version = chrono_tz::IANA_TZDB_VERSION
)]
pub struct UnknownZone {
    name: String,
}

/// Finds a zone by its IANA name, letter for letter.
///
/// # Errors
///
/// A name that the compiled database does not hold; [`zone_names`] lists those that it does.
pub fn parse_zone(name: &str) -> Result<Tz, UnknownZone> {
    name.parse().map_err(|_| UnknownZone { name: name.to_owned() })
}

/// All zone names, for suggestions.
pub fn zone_names() -> impl Iterator<Item = &'static str> {
    TZ_VARIANTS.iter().map(|zone| zone.name())
}
