//! The firings to come on a lane: one mark each, or a band where they are too near to be told apart.

use chrono::{DateTime, TimeDelta, Utc};

use super::window::{WIDTH, Window};
use crate::daemon::driver::JobView;

/// Marks nearer than this, in thousandths of the width, are a band.
const GAP: i32 = 8;
/// How many marks and bands a page has.
pub(super) const MARKS_MAX: usize = 1_200;
const INSTANT: TimeDelta = TimeDelta::milliseconds(1);

/// A firing to come, or several that are near each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) first: DateTime<Utc>,
    pub(super) last: DateTime<Utc>,
    pub(super) count: u64,
    /// The job is paused then.
    pub(super) left_out: bool,
}

/// When a job leaves, in the range (`after`, `until`], its part of the spread included.
pub(super) fn departures(
    view: &JobView,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> impl Iterator<Item = DateTime<Utc>> + '_ {
    let offset = view.offset;
    view.job.schedule.firings(after - offset, until - offset, view.anchor).map(move |at| at + offset)
}

/// The marks of a page, as finely as it may be without becoming heavy.
pub(super) fn marks(views: &[&JobView], window: &Window) -> Vec<Vec<Mark>> {
    let mut gap = GAP;
    loop {
        let marks: Vec<Vec<Mark>> = views.iter().map(|view| on_lane(view, window, gap)).collect();
        if marks.iter().map(Vec::len).sum::<usize>() <= MARKS_MAX || gap > WIDTH {
            return marks;
        }
        gap *= 2;
    }
}

fn on_lane(view: &JobView, window: &Window, gap: i32) -> Vec<Mark> {
    let near = window.lasting(gap);
    let next = |after| departures(view, after, window.until).next();
    let mut marks: Vec<Mark> = Vec::new();
    let mut after = window.from.max(window.now);
    while let Some(at) = next(after) {
        let left_out = is_left_out(view, at);
        // What lies between it and the next look is counted at the end, so that a lane costs as much as its width.
        let is_dense = next(at).is_some_and(|next| next - at < near && is_left_out(view, next) == left_out);
        let seen = if is_dense { next_look(view, at, near, window) } else { at };
        match marks.last_mut().filter(|last| at - last.last < near && last.left_out == left_out) {
            Some(last) => last.last = seen,
            None => marks.push(Mark { first: at, last: seen, count: 1, left_out }),
        }
        after = seen;
    }
    for mark in marks.iter_mut().filter(|mark| mark.last > mark.first) {
        let (before, until) = (mark.first - INSTANT - view.offset, mark.last - view.offset);
        mark.count = view.job.schedule.count(before, until, view.anchor);
        let last = view.job.schedule.last(before, until, view.anchor);
        mark.last = last.map_or(mark.last, |last| last + view.offset);
    }
    marks
}

/// Where to look on from a firing that others follow at once: not beyond the end of a pause.
fn next_look(view: &JobView, at: DateTime<Utc>, near: TimeDelta, window: &Window) -> DateTime<Utc> {
    let look = (at + near - INSTANT).min(window.until);
    match view.next_at {
        Some(resumed) if is_left_out(view, at) => look.min(resumed - INSTANT),
        _ => look,
    }
}

/// Whether the job is paused when it would leave.
fn is_left_out(view: &JobView, at: DateTime<Utc>) -> bool {
    view.paused.is_some() && view.next_at.is_none_or(|next| at < next)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, paused, view};
    use super::*;

    fn window(hours: i64) -> Window {
        Window::new(None, Some(hours), at("2026-07-01T12:00:00Z")).unwrap()
    }

    fn told(marks: &[Mark]) -> Vec<(String, String, u64, bool)> {
        let clock = |at: DateTime<Utc>| at.format("%H:%M:%S").to_string();
        marks.iter().map(|mark| (clock(mark.first), clock(mark.last), mark.count, mark.left_out)).collect()
    }

    fn mark(first: &str, last: &str, count: u64, left_out: bool) -> (String, String, u64, bool) {
        (first.to_owned(), last.to_owned(), count, left_out)
    }

    #[test]
    fn firings_apart_are_marks_of_their_own_from_now_on() {
        let hourly = view("hourly", "0 * * * *");
        let marks = on_lane(&hourly, &window(3), GAP);
        let expected = ["13:00:00", "14:00:00", "15:00:00"].map(|clock| mark(clock, clock, 1, false));
        assert_eq!(told(&marks), expected);
        let past = Window::new(Some(at("2026-06-01T00:00:00Z")), None, at("2026-07-01T12:00:00Z")).unwrap();
        assert_eq!(on_lane(&hourly, &past, GAP), []);
    }

    #[test]
    fn firings_too_near_are_a_band_with_their_exact_count() {
        let marks = on_lane(&view("often", "* * * * *"), &window(24), GAP);
        assert_eq!(told(&marks), [mark("12:01:00", "12:00:00", 24 * 60, false)]);
        let marks = on_lane(&view("pairs", "0,1 */6 * * *"), &window(12), GAP);
        let expected = [("12:01:00", "12:01:00", 1), ("18:00:00", "18:01:00", 2), ("00:00:00", "00:00:00", 1)];
        assert_eq!(told(&marks), expected.map(|(first, last, count)| mark(first, last, count, false)));
    }

    #[test]
    fn a_firing_each_second_costs_no_more_than_the_lane_is_wide() {
        let window = window(168);
        let marks = on_lane(&view("seconds", "* * * * * *"), &window, GAP);
        let seconds = (window.until - window.now).num_seconds();
        assert_eq!(marks.iter().map(|mark| mark.count).collect::<Vec<_>>(), [seconds.unsigned_abs()]);
    }

    #[test]
    fn what_a_pause_leaves_out_is_marked_until_it_is_over() {
        let marks = on_lane(&paused(view("p", "0 * * * *"), Some(at("2026-07-01T14:00:00Z"))), &window(3), GAP);
        assert_eq!(told(&marks).into_iter().map(|mark| mark.3).collect::<Vec<_>>(), [true, true, false]);
        let marks = on_lane(&paused(view("p", "* * * * *"), Some(at("2026-07-01T14:00:00Z"))), &window(3), GAP);
        assert_eq!(told(&marks), [mark("12:01:00", "14:00:00", 120, true), mark("14:01:00", "15:00:00", 60, false)]);
        let marks = on_lane(&paused(view("p", "* * * * *"), None), &window(3), GAP);
        assert_eq!(told(&marks), [mark("12:01:00", "15:00:00", 180, true)]);
    }

    #[test]
    fn a_spread_job_is_marked_where_it_leaves() {
        let spread = JobView { offset: TimeDelta::minutes(90), ..view("spread", "0 12 * * *") };
        assert_eq!(told(&on_lane(&spread, &window(3), GAP)), [mark("13:30:00", "13:30:00", 1, false)]);
        let often = JobView { offset: TimeDelta::seconds(10), ..view("often", "* * * * *") };
        assert_eq!(told(&on_lane(&often, &window(24), GAP)), [mark("12:00:10", "11:59:10", 24 * 60, false)]);
    }

    #[test]
    fn a_page_of_marks_stays_light() {
        let hourly = view("hourly", "0 * * * *");
        let lanes = marks(&vec![&hourly; 50], &window(24));
        assert!(lanes.iter().all(|marks| marks.len() == 24));
        let quarters = view("quarters", "*/15 * * * *");
        let marks = marks(&vec![&quarters; 50], &window(12));
        let total: usize = marks.iter().map(Vec::len).sum();
        assert!(total <= MARKS_MAX, "{total}");
        assert!(marks.iter().all(|marks| marks.iter().map(|mark| mark.count).sum::<u64>() == 48));
    }
}
