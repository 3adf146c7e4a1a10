//! The line under which the state keeps a schedule, written and read back.
//!
//! It holds all that decides when the schedule fires. It is stored, so it must never be written differently for a schedule
//! that has not changed: what a schedule does not have takes no room in it.

use super::bounds::{Bounds, Moment};
use super::{Dst, Exceptions, Gap, Overlap, Schedule, parse_zone};
use chrono::{DateTime, SecondsFormat, Utc};
use std::sync::Arc;

const OVERLAP: &str = ", overlap ";
const GAP: &str = ", gap ";
const ZONE: &str = " in ";
const START: &str = ", start ";
const END: &str = ", end ";
const EXCEPT: &str = ", except ";
const BETWEEN: &str = "; ";

impl Schedule {
    /// All that decides when it fires, in one line: what a mark is kept under. [`Schedule::of_identity`] reads it back.
    pub fn identity(&self) -> String {
        let mut line = format!(
            "{}{ZONE}{}{GAP}{:?}{OVERLAP}{:?}",
            self.texts.join(BETWEEN),
            self.zone,
            self.dst.gap,
            self.dst.overlap
        );
        let instant = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        for (name, at) in [(START, self.start), (END, self.end)] {
            if let Some(at) = at {
                line.push_str(name);
                line.push_str(&instant(at));
            }
        }
        if !self.except.is_empty() {
            line.push_str(EXCEPT);
            line.push_str(&self.except.texts().join(BETWEEN));
        }
        line
    }

    /// The schedule that a mark was kept under; none if this version does not read it.
    pub fn of_identity(identity: &str) -> Option<Schedule> {
        // No expression and no date holds these words, so the first and the last of them are the ones meant.
        let (rest, except) = cut(identity, EXCEPT);
        let (rest, end) = cut(rest, END);
        let (rest, start) = cut(rest, START);
        let (rest, overlap) = rest.rsplit_once(OVERLAP)?;
        let (rest, gap) = rest.rsplit_once(GAP)?;
        let (texts, zone) = rest.rsplit_once(ZONE)?;
        let gap = [Gap::After, Gap::Skip].into_iter().find(|known| format!("{known:?}") == gap)?;
        let overlap = [Overlap::First, Overlap::Both].into_iter().find(|known| format!("{known:?}") == overlap)?;
        let texts: Vec<&str> = texts.split(BETWEEN).collect();
        let schedule = Schedule::parse(&texts, parse_zone(zone).ok()?, Dst { gap, overlap }).ok()?;
        let exceptions: Vec<&str> = except.into_iter().flat_map(|texts| texts.split(BETWEEN)).collect();
        let bounds = Bounds {
            start_at: start.map(Moment::read).transpose().ok()?,
            end_at: end.map(Moment::read).transpose().ok()?,
            except: Arc::new(Exceptions::read(&exceptions).ok()?),
        };
        schedule.bounded(bounds).ok()
    }
}

fn cut<'t>(line: &'t str, word: &str) -> (&'t str, Option<&'t str>) {
    line.split_once(word).map_or((line, None), |(rest, found)| (rest, Some(found)))
}
