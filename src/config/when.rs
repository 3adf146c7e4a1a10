//! The keys that say when a job is due: expressions, ends, exceptions and the zone.
//!
//! What needs no other key is judged here. Expressions and the ends wait for the zone, which may be inherited, and become a
//! schedule at the end of this file.

use std::sync::Arc;

use chrono_tz::Tz;

use crate::engine::schedule::{
    self, Bounds, BoundsError, Dst, Exceptions, Gap, Moment, Overlap, Schedule, ScheduleError,
};

use super::file::JobFile;
use super::reader::{At, Value};
use super::report::{Note, Place, Report, one_of, shown};

/// How many zones an unknown one is answered with.
const ZONES_SHOWN: usize = 3;

/// A schedule expression, and where each of its bytes stands.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    pub(super) text: String,
    /// Of the value with its quotes.
    pub(super) whole: Place,
    /// Of the text within; the same as `whole` if escapes make the bytes differ.
    pub(super) inner: Place,
}

/// One expression or a list of them.
pub(super) fn expressions(value: &Value<'_>) -> Option<Vec<Expression>> {
    let expression = |value: &Value<'_>| {
        let text = value.text()?.to_owned();
        Some(Expression { whole: value.place, inner: value.part(0..text.len()), text })
    };
    if !value.is_list() {
        return expression(value).map(|one| vec![one]);
    }
    match value.list(expression)? {
        none if none.is_empty() => value.refuse("bad-value", "is empty; a schedule needs at least one expression"),
        some => Some(some),
    }
}

/// A zone by its name.
pub(super) fn zone(value: &Value<'_>) -> Option<Tz> {
    let text = value.text()?;
    schedule::parse_zone(text).ok().or_else(|| {
        let near = nearest_zones(text, value);
        let mut message = format!("the time zone \"{}\" is unknown", shown(text));
        if !near.is_empty() {
            message.push_str(&format!("; did you mean {}?", one_of(near)));
        }
        let help = "accepted: names of the IANA time zone database, such as UTC or Europe/Berlin";
        value.refuse_with_help("unknown-zone", message, Some(help.to_owned()))
    })
}

/// The zones whose name, or whose city, looks most alike.
fn nearest_zones(text: &str, value: &Value<'_>) -> Vec<&'static str> {
    let city = text.rsplit('/').next().unwrap_or(text);
    let cities = schedule::zone_names().filter_map(|zone| zone.rsplit('/').next());
    let mut near: Vec<&'static str> = value.report().suggest(text, schedule::zone_names()).into_iter().collect();
    if let Some(meant) = value.report().suggest(city, cities) {
        near.extend(
            schedule::zone_names()
                .filter(|zone| zone.rsplit('/').next() == Some(meant) && !near.contains(zone))
                .collect::<Vec<_>>(),
        );
    }
    near.truncate(ZONES_SHOWN);
    near
}

/// One end of a schedule: a date, a local time or an instant, as TOML's own or as text.
pub(super) fn moment(value: &Value<'_>) -> Option<Moment> {
    let text = value.text_or_date()?;
    Moment::read(&text).map_or_else(|mistake| refuse(value, &mistake), Some)
}

/// A list of exceptions, or one.
pub(super) fn exceptions(value: &Value<'_>) -> Option<Arc<Exceptions>> {
    // Each is judged at its own place, then all of them are read as one.
    let exception = |value: &Value<'_>| {
        let text = value.text_or_date()?;
        match Exceptions::read(&[&text]) {
            Ok(_) => Some(text),
            Err(mistakes) => {
                mistakes.iter().for_each(|(_, mistake)| {
                    let _: Option<()> = refuse(value, mistake);
                });
                None
            }
        }
    };
    let texts = if value.is_list() { value.list(exception)? } else { vec![exception(value)?] };
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Exceptions::read(&texts).ok().map(Arc::new)
}

/// Puts a mistake at the bytes of the text that it is about.
fn refuse<T>(value: &Value<'_>, mistake: &ScheduleError) -> Option<T> {
    let message = format!("{}: {}", value.path(), shown_long(&mistake.to_string()));
    value.report().add(Note::error("bad-schedule", value.part(mistake.span()), message));
    None
}

/// Reads the expressions, in UTC where the zone is wrong, so that their mistakes show all the same; then what narrows them.
pub(super) fn schedule(report: &Report, name: &str, said: &JobFile) -> Option<Schedule> {
    let expressions = said.schedule.valid()?;
    let zone = said.timezone.clone().or_default(Tz::UTC);
    let gap = said.dst_gap.clone().or_default(Gap::default());
    let overlap = said.dst_overlap.clone().or_default(Overlap::default());
    let dst = Dst { gap: gap.unwrap_or_default(), overlap: overlap.unwrap_or_default() };
    let texts: Vec<&str> = expressions.value.iter().map(|expression| expression.text.as_str()).collect();
    let read = Schedule::parse(&texts, zone.unwrap_or(Tz::UTC), dst);
    match read {
        Ok(_) if zone.is_none() || gap.is_none() || overlap.is_none() => None,
        Ok(schedule) => narrowed(report, name, said, schedule, expressions.place),
        Err(mistakes) => {
            for (index, mistake) in mistakes {
                if let Some(expression) = expressions.value.get(index) {
                    let message = format!("jobs.{}.schedule: {}", shown(name), shown_long(&mistake.to_string()));
                    report.add(Note::error("bad-schedule", part(expression, &mistake.span()), message));
                }
            }
            None
        }
    }
}

/// The schedule between its ends and without its exceptions.
fn narrowed(report: &Report, name: &str, said: &JobFile, schedule: Schedule, place: Place) -> Option<Schedule> {
    let bounds = Bounds {
        start_at: said.start_at.clone().optional()?,
        end_at: said.end_at.clone().optional()?,
        except: said.except.clone().or_default(Arc::default())?,
    };
    if bounds.start_at.is_none() && bounds.end_at.is_none() && bounds.except.is_empty() {
        return Some(schedule);
    }
    schedule.bounded(bounds).map_or_else(
        |mistake| {
            let (start, end) = (place_of(said.start_at.valid()), place_of(said.end_at.valid()));
            let (key, at) = match mistake {
                BoundsError::Reversed { .. } => ("end_at", end),
                BoundsError::NothingBetween { end: Some(_), .. } => ("end_at", end),
                BoundsError::NothingBetween { end: None, .. } => ("start_at", start),
                // Exceptions may be those of [defaults], and it is the job that does not fit them.
                BoundsError::AllExcepted { .. } => ("schedule", None),
            };
            let message = format!("jobs.{}.{key}: {}", shown(name), shown_long(&mistake.to_string()));
            let note = Note::error("bad-schedule", at.unwrap_or(place), message);
            report.add(match mistake {
                BoundsError::Reversed { .. } => note.also(start, "start_at is here"),
                BoundsError::AllExcepted { .. } => note.also(place_of(said.except.valid()), "except is here"),
                BoundsError::NothingBetween { .. } => note,
            });
            None
        },
        Some,
    )
}

fn place_of<T>(at: Option<&At<T>>) -> Option<Place> {
    at.map(|at| at.place)
}

/// The bytes of the file that some bytes of an expression stand for.
fn part(expression: &Expression, span: &std::ops::Range<usize>) -> Place {
    let inner = expression.inner.span();
    if expression.inner == expression.whole || span.is_empty() || inner.start + span.end > inner.end {
        return expression.whole;
    }
    Place::new(expression.whole.source, inner.start + span.start..inner.start + span.end)
}

/// Messages of the schedule quote what they are about, which can be anything.
pub(super) fn shown_long(message: &str) -> String {
    const MESSAGE_MAX: usize = 400;
    let mut text: String = message.chars().take(MESSAGE_MAX).map(|c| if c.is_control() { '�' } else { c }).collect();
    if text.len() < message.len() {
        text.push('…');
    }
    text
}
