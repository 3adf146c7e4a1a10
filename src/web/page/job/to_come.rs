//! The next firings of a job, on the viewer's clock and on its own, with the nights in which the clocks change.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};

use super::super::parts::{lasting, local, moment};
use crate::daemon::driver::JobView;
use crate::engine::schedule::Night;

/// How many firings are shown.
const FIRINGS_SHOWN: usize = 20;

/// A firing to come.
#[derive(Debug, PartialEq)]
struct Firing {
    at: DateTime<Utc>,
    /// Whether a pause leaves it out, as things stand.
    is_left_out: bool,
    night: Option<Night>,
}

fn firings(view: &JobView, now: DateTime<Utc>) -> Vec<Firing> {
    let schedule = &view.job.schedule;
    // What its spread holds back is still to come.
    let instants = schedule.firings(now - view.offset, DateTime::<Utc>::MAX_UTC, view.anchor).take(FIRINGS_SHOWN);
    let mut before = None;
    let firing = |at| {
        let night = schedule.night(before.unwrap_or(at), at, view.anchor);
        before = Some(at);
        let is_before_next = || view.next_at.is_none_or(|next| at + view.offset < next);
        Firing { at, is_left_out: view.paused.is_some() && is_before_next(), night }
    };
    instants.map(firing).collect()
}

pub(super) fn table(view: &JobView, now: DateTime<Utc>) -> Markup {
    let (firings, zone) = (firings(view, now), view.job.schedule.zone());
    html! {
        @if firings.is_empty() {
            p .empty { "Its schedule names no further instant. It still runs when somebody triggers it." }
        } @else {
            @if !view.offset.is_zero() {
                p .muted { "By its place in the spread it leaves " (lasting(view.offset)) " after each of them." }
            }
            table .cards.firings {
                caption .sr { "The next firings" }
                thead { tr {
                    th scope="col" { "Your clock" }
                    th scope="col" { "In " (zone.name()) }
                } }
                tbody {
                    @for firing in &firings {
                        tr {
                            td data-name="Your clock" { (moment(firing.at)) }
                            td data-name={ "In " (zone.name()) } { (local(firing.at, zone)) (note(firing, zone)) }
                        }
                    }
                }
            }
        }
    }
}

/// What is out of the ordinary about a firing, below its local time.
fn note(firing: &Firing, zone: Tz) -> Markup {
    html! {
        @if firing.is_left_out { p .mark.gone { span aria-hidden="true" { "–" } " left out: paused" } }
        @if let Some(night) = firing.night {
            p .mark.caught { span aria-hidden="true" { "◐" } " " (in_words(night, firing.at.with_timezone(&zone).naive_local())) }
        }
    }
}

/// What the change of the clocks does to a firing at this local time.
fn in_words(night: Night, wall: NaiveDateTime) -> String {
    let clock = |wall: NaiveDateTime| wall.format("%H:%M").to_string();
    match night {
        Night::AfterGap { from, to } => {
            format!(
                "clocks go forward: {} to {} is not shown, this is the first instant after it",
                clock(from),
                clock(to)
            )
        }
        Night::Twice { is_second, fires_both } => {
            let which = match (is_second, fires_both) {
                (false, false) => "happens once here, the first time",
                (true, false) => "happens once here, the second time",
                (false, true) => "happens twice here, this is the first time",
                (true, true) => "happens twice here, this is the second time",
            };
            format!("clocks go back: {} comes twice, and {which}", clock(wall))
        }
        Night::Moved { by } if by < TimeDelta::zero() => {
            format!("clocks went back by {} since the firing before", lasting(-by))
        }
        Night::Moved { by } => format!("clocks went forward by {} since the firing before", lasting(by)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::{paused, view};
    use super::*;
    use crate::engine::job::Job;
    use crate::engine::pause::Scope;
    use crate::engine::samples;
    use crate::engine::schedule::{Dst, Schedule};

    fn in_zone(schedule: &str, zone: Tz) -> JobView {
        let schedule = Schedule::parse(&[schedule], zone, Dst::default()).unwrap();
        JobView { job: Arc::new(Job { schedule, ..samples::job("@daily") }), ..view("@daily") }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_nights_of_a_change_are_marked_in_words() {
        let berlin = in_zone("30 2 * * *", chrono_tz::Europe::Berlin);
        let spring = table(&berlin, at("2026-03-27T12:00:00Z")).into_string();
        let gap = "clocks go forward: 02:00 to 03:00 is not shown, this is the first instant after it";
        assert_eq!(spring.matches("clocks").count(), 1, "{spring}");
        assert!(spring.contains(gap) && spring.contains("Sun, 29 Mar 2026, 03:00:00 CEST"), "{spring}");
        let autumn = table(&berlin, at("2026-10-23T12:00:00Z")).into_string();
        assert!(
            autumn.contains("clocks go back: 02:30 comes twice, and happens once here, the first time"),
            "{autumn}"
        );
        assert!(autumn.contains("clocks went back by 1 h since the firing before"), "{autumn}");
        let hourly = table(&in_zone("@hourly", chrono_tz::America::New_York), at("2026-11-01T04:30:00Z")).into_string();
        for which in ["this is the first time", "this is the second time"] {
            let told = format!("clocks go back: 01:00 comes twice, and happens twice here, {which}");
            assert_eq!(hourly.matches(&told).count(), 1, "{hourly}");
        }
        let spring =
            table(&in_zone("0 9 * * *", chrono_tz::America::New_York), at("2026-03-07T00:00:00Z")).into_string();
        assert!(spring.contains("clocks went forward by 1 h since the firing before"), "{spring}");
    }

    #[test]
    fn what_a_pause_leaves_out_is_marked_up_to_its_end() {
        let now = at("2026-01-01T12:00:00Z");
        let marked = |view: &JobView| firings(view, now).iter().filter(|firing| firing.is_left_out).count();
        let open = view("@hourly");
        assert_eq!((firings(&open, now).len(), marked(&open)), (FIRINGS_SHOWN, 0));
        let endless = JobView { paused: paused(Scope::All, ""), ..view("@hourly") };
        assert_eq!(marked(&endless), FIRINGS_SHOWN);
        let until = JobView { next_at: Some(at("2026-01-01T16:00:00Z")), ..endless };
        assert_eq!(marked(&until), 3);
        assert!(table(&until, now).into_string().contains("left out: paused"));
    }

    #[test]
    fn what_the_spread_holds_back_is_to_come() {
        let late = JobView { offset: TimeDelta::seconds(90), ..view("@hourly") };
        let shown = table(&late, at("2026-01-01T12:01:00Z")).into_string();
        assert!(shown.contains("leaves 1 min 30 s after each"), "{shown}");
        assert!(shown.contains("2026-01-01T12:00:00Z"), "{shown}");
        let over = table(&view("at(2025-01-01T00:00:00)"), at("2026-01-01T12:00:00Z")).into_string();
        assert!(over.contains("names no further instant"), "{over}");
    }
}
