//! What narrows a schedule: `start_at`, `end_at` and the exceptions.
//!
//! Both ends are included and are good to the second. They hold for every expression, `at(…)` too. A rate with a start counts
//! from it and fires at it, as in EventBridge Scheduler ("StartDate"); then the anchor has no say.

use super::Schedule;
use super::error::{ScheduleError, Word};
use super::except::{Exceptions, date};
use super::expression::Expression;
use super::interval::Anchor;
use super::local_time::shown_at;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use std::ops::RangeInclusive;
use std::sync::Arc;

const FORMS: &str = "an instant such as 2026-12-01T00:00:00Z, a local time such as 2026-12-01T08:30:00, or a date";
const YEARS: RangeInclusive<i32> = 1970..=2199;
const SECOND: TimeDelta = TimeDelta::seconds(1);
const NANOSECOND: TimeDelta = TimeDelta::nanoseconds(1);

/// One end of the time in which a schedule fires, as it was written; which instant it is depends on the zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// With an offset.
    Instant(DateTime<Utc>),
    /// Local time.
    Local(NaiveDateTime),
    /// A whole local day: as a start its first second, as an end its last.
    Day(NaiveDate),
}

impl Moment {
    /// Reads RFC 3339 with or without an offset, or a date; with a blank in place of the `T` too, as TOML allows.
    ///
    /// # Errors
    ///
    /// Anything else, a leap second, a fraction of a second, a year before 1970 or after 2199.
    pub fn read(text: &str) -> Result<Moment, ScheduleError> {
        let word = Word::new(text, 0).trim();
        let not_understood = || word.error(format!("\"{}\" is not understood: expected {FORMS}", word.text));
        let out_of_range = || word.error(format!("\"{}\" is no date or time from 1970 to 2199", word.text));
        if let Some(date) = date(word.text) {
            let date = date.filter(|date| YEARS.contains(&date.year()));
            return date.map(Moment::Day).ok_or_else(out_of_range);
        }
        // chrono alone would take single digits and signs.
        let is_shaped = word.text.get(..10).is_some_and(|day| date(day).is_some())
            && word.text.get(10..11).is_some_and(|mark| matches!(mark, "T" | "t" | " "))
            && word.text.get(11..19).is_some_and(is_clock);
        if !is_shaped {
            return Err(not_understood());
        }
        if word.text.get(17..19) == Some("60") {
            return Err(word.error(format!("\"{}\" is a leap second, which no schedule names", word.text)));
        }
        let with_offset = DateTime::parse_from_rfc3339(word.text);
        let local = NaiveDateTime::parse_from_str(word.text, "%Y-%m-%dT%H:%M:%S%.f")
            .or_else(|_| NaiveDateTime::parse_from_str(word.text, "%Y-%m-%d %H:%M:%S%.f"));
        let (wall, moment) = match (with_offset, local) {
            (Ok(at), _) => (at.naive_local(), Moment::Instant(at.to_utc())),
            (Err(_), Ok(wall)) => (wall, Moment::Local(wall)),
            (Err(_), Err(_)) => return Err(not_understood()),
        };
        if wall.nanosecond() != 0 {
            return Err(word.error(format!("\"{}\" has a fraction of a second: write whole seconds", word.text)));
        }
        if YEARS.contains(&wall.year()) { Ok(moment) } else { Err(out_of_range()) }
    }

    /// The first second of it. A local time that the clock skips is the first instant after the gap.
    fn first(self, zone: Tz) -> Option<DateTime<Utc>> {
        match self {
            Moment::Instant(at) => Some(at),
            Moment::Local(wall) => shown_at(zone, wall).map(|(first, _)| first),
            Moment::Day(date) => shown_at(zone, date.and_time(NaiveTime::MIN)).map(|(first, _)| first),
        }
    }

    /// The last second of it. A local time that the clock shows twice is the second one.
    fn last(self, zone: Tz) -> Option<DateTime<Utc>> {
        match self {
            Moment::Instant(at) => Some(at),
            Moment::Local(wall) => shown_at(zone, wall).map(|(_, last)| last),
            Moment::Day(date) => {
                let (_, next) = shown_at(zone, date.succ_opt()?.and_time(NaiveTime::MIN))?;
                Some(next - SECOND)
            }
        }
    }
}

/// `hh:mm:ss`.
fn is_clock(text: &str) -> bool {
    text.bytes().enumerate().all(|(nth, byte)| if nth == 2 || nth == 5 { byte == b':' } else { byte.is_ascii_digit() })
}

/// What a schedule is narrowed by.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// Nothing fires before it.
    pub start_at: Option<Moment>,
    /// Nothing fires after it.
    pub end_at: Option<Moment>,
    /// What is left out between them.
    pub except: Arc<Exceptions>,
}

/// Why a schedule cannot be narrowed like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BoundsError {
    /// The end comes first.
    #[error("end_at ({}) is before start_at ({})", shown(*.end), shown(*.start))]
    Reversed {
        /// The start.
        start: DateTime<Utc>,
        /// The end.
        end: DateTime<Utc>,
    },
    /// Nothing is left between start and end.
    #[error("the schedule names no instant {}", between(*.start, *.end))]
    NothingBetween {
        /// The start.
        start: Option<DateTime<Utc>>,
        /// The end.
        end: Option<DateTime<Utc>>,
    },
    /// Nothing is left between the exceptions.
    #[error("\"{text}\" never fires: except leaves none of its instants")]
    AllExcepted {
        /// The schedule.
        text: String,
    },
}

fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn between(start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> String {
    match (start, end) {
        (Some(start), Some(end)) => format!("from start_at ({}) to end_at ({})", shown(start), shown(end)),
        (Some(start), None) => format!("from start_at ({}) on", shown(start)),
        (None, Some(end)) => format!("up to end_at ({})", shown(end)),
        (None, None) => "at all".to_owned(),
    }
}

impl Schedule {
    /// The same schedule between two ends and without exceptions.
    ///
    /// # Errors
    ///
    /// The ends are the wrong way round, or nothing is left that could ever fire.
    pub fn bounded(self, bounds: Bounds) -> Result<Schedule, BoundsError> {
        let start = bounds.start_at.and_then(|moment| moment.first(self.zone));
        let end = bounds.end_at.and_then(|moment| moment.last(self.zone));
        if let (Some(start), Some(end)) = (start, end)
            && end < start
        {
            return Err(BoundsError::Reversed { start, end });
        }
        let bounded = Schedule { start, end, ..self };
        if !bounded.can_fire() {
            return Err(BoundsError::NothingBetween { start, end });
        }
        let text = bounded.text();
        let excepted = Schedule { except: bounds.except, ..bounded };
        if excepted.except.is_empty() || excepted.can_fire() {
            Ok(excepted)
        } else {
            Err(BoundsError::AllExcepted { text })
        }
    }

    /// The first instant at which it may fire, if it has a start.
    pub fn start_at(&self) -> Option<DateTime<Utc>> {
        self.start
    }

    /// The last instant at which it may fire, if it has an end.
    pub fn end_at(&self) -> Option<DateTime<Utc>> {
        self.end
    }

    /// What is left out.
    pub fn except(&self) -> &Exceptions {
        &self.except
    }

    /// Whether there is an instant at all. Where a rate counts from is not known yet if it has no start; then it is enough if
    /// there is a second that it could name.
    fn can_fire(&self) -> bool {
        let is_open = |expression: &Expression| matches!(expression, Expression::Interval(_)) && self.start.is_none();
        let first = DateTime::<Utc>::MIN_UTC;
        if !self.expressions.iter().any(is_open) {
            return self.next(first, first).is_some();
        }
        let any_second = Schedule::parse(&["* * * * * *"], self.zone, self.dst);
        any_second.is_ok_and(|seconds| {
            let seconds = Schedule { start: self.start, end: self.end, except: Arc::clone(&self.except), ..seconds };
            seconds.next(first, first).is_some()
        })
    }

    /// The part of (`after`, `until`] that lies between the ends, with the same meaning of its own ends.
    pub(super) fn clipped(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        let from_start = self.start.map_or(after, |start| after.max(start - NANOSECOND));
        // All of the last second: a rate may have a fraction of it.
        (from_start, self.end.map_or(until, |end| until.min(end + (SECOND - NANOSECOND))))
    }

    /// What its rates count from, given the second in which it was first seen.
    pub(super) fn anchor(&self, first_seen: DateTime<Utc>) -> Anchor {
        match self.start {
            Some(start) => Anchor { at: start, fires: true },
            None => Anchor { at: first_seen, fires: false },
        }
    }
}
