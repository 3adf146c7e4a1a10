//! The chart as SVG and HTML. Places are per cent, so that it is as wide as there is room and letters keep their shape; what
//! needs no link is one path for many. Colour is never alone: each look has a height and a filling of its own.

use std::collections::HashMap;
use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};

use super::super::parts::{Look, count, lasting, words};
use super::layout::{Group, Lane, Lanes};
use super::marks::Mark;
use super::window::{PARTS, WIDTH, Window};
use crate::engine::job::JobName;
use crate::engine::run::{Attempt, RunId};
use crate::store::Span;

/// How high a track is.
const TRACK: usize = 24;
/// From which width on there is room for a sign or a count on a bar, and for attempts in it.
const ROOM: i32 = 16;
/// From which width on the attempts of a run are told apart.
pub(super) const ATTEMPTS_FROM: i32 = 12;
/// How high the chart of launches is.
const HIGH: u32 = 60;

/// What stands on a lane.
pub(super) struct Row<'a> {
    pub(super) job: &'a JobName,
    /// Its sign and word beside the name, if there is something to say of it.
    pub(super) says: Option<(Look, &'static str)>,
    pub(super) spans: &'a [Span],
    pub(super) lane: &'a Lane,
    pub(super) marks: &'a [Mark],
    /// Earlier runs than this are not drawn, because there are too many.
    pub(super) drawn_from: Option<DateTime<Utc>>,
}

/// What all lanes have in common.
pub(super) struct Chart<'a> {
    pub(super) window: &'a Window,
    pub(super) lanes: &'a Lanes,
    pub(super) attempts: &'a HashMap<RunId, Vec<Attempt>>,
    /// Whether each mark has a title.
    pub(super) marks_titled: bool,
}

fn percent(place: i32) -> String {
    if place % 10 == 0 { format!("{}%", place / 10) } else { format!("{}.{}%", place / 10, place % 10) }
}

/// An instant in a text that no script translates.
fn utc(at: DateTime<Utc>) -> String {
    at.format("%-d %b %H:%M:%S").to_string()
}

/// The lines behind all lanes.
pub(super) fn grid(window: &Window) -> Markup {
    let now = window.holds(window.now).then(|| percent(window.place(window.now)));
    html! {
        svg .grid aria-hidden="true" {
            @for tick in window.ticks() {
                @let x = percent(tick.place);
                line .day[tick.is_day] x1=(x) x2=(x) y2="100%" {}
            }
            @if let Some(x) = now { line .now x1=(x) x2=(x) y2="100%" {} }
        }
    }
}

/// The clock above the lanes.
pub(super) fn axis(window: &Window) -> Markup {
    let is_inside = |place: i32| (20..=WIDTH - 20).contains(&place);
    html! {
        svg .axis height="36" role="img" aria-label={ "From " (utc(window.from)) " to " (utc(window.until)) " UTC" } {
            @for tick in window.ticks().iter().filter(|tick| is_inside(tick.place)) {
                text x=(percent(tick.place)) y="30" data-at=(tick.at.to_rfc3339_opts(SecondsFormat::Secs, true))
                    data-day[tick.is_day] {
                    @if tick.is_day { (tick.at.format("%-d %b %H:%M")) } @else { (tick.at.format("%H:%M")) }
                }
            }
            @if window.holds(window.now) {
                text .now x=(percent(window.place(window.now))) y="13" { "now" }
            }
        }
    }
}

/// The launches of all jobs, past and to come, with the quota where it is in view.
pub(super) fn density(window: &Window, gone: &[u32], coming: &[u32], quota: f64) -> Markup {
    let all = || gone.iter().zip(coming).map(|(gone, coming)| gone + coming);
    let most = all().max().unwrap_or(0);
    let quota_of_part = quota * f64::from(i32::try_from(window.part().num_seconds()).unwrap_or(i32::MAX));
    // The line is drawn where it does not press the rest flat.
    let line = (f64::from(most) >= quota_of_part / 4.0).then_some(quota_of_part);
    let top = f64::from(most.max(1)).max(line.unwrap_or(0.0));
    let part = lasting(window.part());
    let told = format!("Launches in each {part}: at most {most}");
    let height = |number: f64| format!("{:.0}", f64::from(HIGH) - number / top * f64::from(HIGH - 2));
    html! {
        svg .density height=(HIGH) role="img" aria-label=(told) {
            svg viewBox=(format!("0 0 {} {HIGH}", PARTS * 10)) preserveAspectRatio="none" height=(HIGH) {
                path .gone-by d=(columns(gone, &[], top)) {}
                path .to-come d=(columns(coming, gone, top)) {}
                @if let Some(quota) = line {
                    @let y = height(quota);
                    path .quota d=(format!("M0 {y}H{}", PARTS * 10)) {}
                }
            }
        }
    }
}

/// Columns of these heights, each upon another.
fn columns(numbers: &[u32], upon: &[u32], top: f64) -> String {
    let mut path = String::new();
    for (nth, number) in numbers.iter().enumerate().filter(|(_, number)| **number > 0) {
        let scaled = |number: u32| (f64::from(number) / top * f64::from(HIGH - 2)).ceil();
        let foot = f64::from(HIGH) - scaled(upon.get(nth).copied().unwrap_or(0));
        // Writing to a string can't fail.
        let _written = write!(path, "M{} {foot}v-{}h8V{foot}z", nth * 10 + 1, scaled(*number));
    }
    path
}

/// A job with its runs and firings.
pub(super) fn lane(row: &Row<'_>, chart: &Chart<'_>) -> Markup {
    let height = row.lane.len().max(1) * TRACK;
    let has_links = row.lane.iter().flatten().any(|group| chart.lanes.links(group));
    html! {
        li .lane data-key=(row.job) {
            div .name {
                a href={ "/jobs/" (row.job) } { (row.job) }
                @if let Some((look, word)) = row.says {
                    " " span .mark.(look.class()) { span aria-hidden="true" { (look.sign()) } " " (word) }
                }
            }
            svg height=(height) role=(if has_links { "group" } else { "img" }) aria-label=(told(row)) {
                @if let Some(from) = row.drawn_from {
                    rect .unknown width=(percent(chart.window.place(from))) height=(height) {
                        title { "Earlier runs are not drawn: there are too many of them" }
                    }
                }
                (marks(row.marks, chart))
                @for (nth, track) in row.lane.iter().enumerate() {
                    @if nth == 0 { (groups(track, row, chart)) }
                    @else { g transform=(format!("translate(0 {})", nth * TRACK)) { (groups(track, row, chart)) } }
                }
            }
        }
    }
}

/// A lane in words.
fn told(row: &Row<'_>) -> String {
    let (mut looks, mut runs) = ([0_u32; Look::ALL.len()], 0);
    for group in row.lane.iter().flatten() {
        for (sum, more) in looks.iter_mut().zip(group.looks) {
            *sum += more;
            runs += more;
        }
    }
    let mut parts = Vec::new();
    parts.push(if runs == 0 { "no runs".to_owned() } else { in_number(runs, &looks) });
    for (left_out, what) in [(false, "to come"), (true, "to be left out by a pause")] {
        let firings: u64 = row.marks.iter().filter(|mark| mark.left_out == left_out).map(|mark| mark.count).sum();
        if firings > 0 {
            parts.push(format!("{} {what}", firings_in_number(firings)));
        }
    }
    format!("{}: {}", row.job, parts.join("; "))
}

fn firings_in_number(firings: u64) -> String {
    count(usize::try_from(firings).unwrap_or(usize::MAX), "firing", "firings")
}

fn in_number(runs: u32, looks: &[u32; Look::ALL.len()]) -> String {
    let of_look = Look::ALL.iter().zip(looks).filter(|(_, count)| **count > 0);
    let of_look: Vec<String> = of_look.map(|(look, count)| format!("{count} {}", look.word())).collect();
    let runs = count(usize::try_from(runs).unwrap_or(usize::MAX), "run", "runs");
    format!("{runs}, {}", of_look.join(", "))
}

/// The top and the height of a bar.
fn shape(look: Look) -> (i32, i32) {
    match look {
        Look::Bad => (1, 22),
        Look::Live | Look::Caught => (4, 16),
        Look::Good => (7, 10),
        Look::Gone => (10, 4),
    }
}

/// The bars of one track.
fn groups(track: &[Group], row: &Row<'_>, chart: &Chart<'_>) -> Markup {
    let (linked, plain): (Vec<&Group>, Vec<&Group>) = track.iter().partition(|group| chart.lanes.links(group));
    html! {
        @for look in Look::ALL {
            @let path = boxes(plain.iter().filter(|group| group.look == look).map(|group| (group.from, group.until)), look);
            @if !path.is_empty() { (stretched(look.class(), &path)) }
        }
        @for group in linked { (bar(group, row, chart)) }
    }
}

/// A path in thousandths of the width.
fn stretched(class: &str, path: &str) -> Markup {
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {TRACK}")) preserveAspectRatio="none" height=(TRACK) {
            path class=(class) d=(path) {}
        }
    }
}

fn boxes(places: impl Iterator<Item = (i32, i32)>, look: Look) -> String {
    let (top, height) = shape(look);
    let mut path = String::new();
    for (from, until) in places {
        let _written = write!(path, "M{from} {top}h{0}v{height}h-{0}z", until - from);
    }
    path
}

/// A bar that leads to its run, or to the worst of its runs.
fn bar(group: &Group, row: &Row<'_>, chart: &Chart<'_>) -> Markup {
    let Some(span) = row.spans.get(group.run) else { return html! {} };
    let title = title(group, span, row);
    let label = label(group, span, row);
    let (top, height) = shape(group.look);
    let has_room = group.width() >= ROOM && group.look != Look::Gone;
    let text = match group.count() {
        _ if !has_room => None,
        1 if group.look == Look::Bad => Some(group.look.sign().to_owned()),
        1 => None,
        several => Some(several.to_string()),
    };
    let attempts = chart.attempts.get(&span.run).filter(|_| group.count() == 1 && group.width() >= ATTEMPTS_FROM);
    html! {
        a href={ "/runs/" (span.run) } aria-label=(label) {
            title { (title) }
            @match attempts {
                Some(attempts) => (pieces(attempts, group, span, chart.window)),
                None => rect class=(group.look.class()) x=(percent(group.from)) width=(percent(group.width())) y=(top)
                    height=(height) {},
            }
            @if let (Some(text), true) = (&text, attempts.is_none()) {
                text x=(percent(group.from + group.width() / 2)) y="16" { (text) }
            }
        }
    }
}

/// The attempts of a run, and the waits between them as a thin line.
fn pieces(attempts: &[Attempt], group: &Group, span: &Span, window: &Window) -> Markup {
    let look = Look::of(span.status);
    html! {
        rect .wait x=(percent(group.from)) width=(percent(group.width())) y="11" height="2" {}
        @for (nth, attempt) in attempts.iter().enumerate() {
            @let is_last = nth + 1 == attempts.len();
            @if let Some(from) = attempt.launched_at.or(attempt.due_at) {
                @let until = attempt.stopped_at.or(span.finished_at).unwrap_or(window.now);
                @let (from, until) = (window.place(from), window.place(until));
                @let look = if is_last { look } else { Look::Caught };
                @let (top, height) = shape(look);
                rect class=(look.class()) x=(percent(from)) width=(percent((until - from).max(2))) y=(top) height=(height) {}
            }
        }
    }
}

/// What the link says; the title adds the rest.
fn label(group: &Group, span: &Span, row: &Row<'_>) -> String {
    let at = utc(span.created_at);
    match group.count() {
        1 => format!("{}: {}, {at}", row.job, words(span.status.as_str())),
        several => format!("{}: {several} runs, {}, {at}", row.job, group.look.word()),
    }
}

fn title(group: &Group, span: &Span, row: &Row<'_>) -> String {
    let ends = (row.spans.get(group.ends.0), row.spans.get(group.ends.1));
    if let (Some(first), Some(last), true) = (ends.0, ends.1, group.count() > 1) {
        let opens = if group.look == Look::Bad { "the newest that failed" } else { "the newest" };
        let runs = in_number(group.count(), &group.looks);
        let (from, until) = (utc(first.created_at), utc(last.created_at));
        return format!("{}: {runs}, begun from {from} to {until} UTC; opens {opens}", row.job);
    }
    let until = match span.finished_at {
        Some(end) if end == span.created_at => String::new(),
        Some(end) => format!(" to {}, {}", utc(end), lasting(end - span.created_at)),
        None => " until now".to_owned(),
    };
    let attempts = match span.attempts {
        0 | 1 => String::new(),
        several => format!(", {several} attempts"),
    };
    let status = words(span.status.as_str());
    format!("{}: {status}, {}{until} (UTC){attempts}", row.job, utc(span.created_at))
}

/// The firings to come.
fn marks(marks: &[Mark], chart: &Chart<'_>) -> Markup {
    let box_of = |mark: &Mark| {
        let (from, until) = (chart.window.place(mark.first) - 2, chart.window.place(mark.last) + 2);
        // One is crossed, a band is struck through.
        let cross = match (mark.left_out, mark.count) {
            (false, _) => String::new(),
            (true, 1) => format!("M{} 19L{} 5", from - 1, until + 1),
            (true, _) => format!("M{} 12H{}", from - 3, until + 3),
        };
        format!("M{from} 7h{0}v10h-{0}z{cross}", until - from)
    };
    let title = |mark: &Mark| {
        let what = if mark.left_out { "left out: paused" } else { "to come" };
        match mark.count {
            1 => format!("{} UTC, {what}", utc(mark.first)),
            several => {
                let (from, until) = (utc(mark.first), utc(mark.last));
                format!("{} from {from} to {until} UTC, {what}", firings_in_number(several))
            }
        }
    };
    html! {
        @if !marks.is_empty() {
            svg viewBox=(format!("0 0 {WIDTH} {TRACK}")) preserveAspectRatio="none" height=(TRACK) {
                @if chart.marks_titled {
                    @for mark in marks { path .to-come d=(box_of(mark)) { title { (title(mark)) } } }
                } @else {
                    path .to-come d=(marks.iter().map(box_of).collect::<String>()) {}
                }
            }
        }
    }
}

/// What the bars and marks mean.
pub(super) fn legend() -> Markup {
    let sample = |look: Look| {
        let (top, height) = shape(look);
        html! { svg width="26" height=(TRACK) aria-hidden="true" { rect class=(look.class()) x="1" width="24" y=(top) height=(height) {} } }
    };
    html! {
        ul .legend {
            @for look in Look::ALL { li { (sample(look)) (look.sign()) " " (look.word()) } }
            li {
                svg width="40" height=(TRACK) aria-hidden="true" {
                    rect .wait width="40" y="11" height="2" {}
                    rect .caught x="1" width="10" y="4" height="16" {}
                    rect .good x="26" width="13" y="7" height="10" {}
                }
                "attempts, and waits between them"
            }
            li { svg width="12" height=(TRACK) aria-hidden="true" { path .to-come d="M4 7h4v10h-4z" {} } "to come" }
            li { svg width="14" height=(TRACK) aria-hidden="true" { path .to-come d="M5 7h4v10h-4zM3 20L12 4" {} } "left out by a pause" }
        }
    }
}

/// The fillings that bars refer to.
pub(super) fn fillings() -> Markup {
    html! {
        svg .fillings width="0" height="0" aria-hidden="true" {
            pattern #slanted patternUnits="userSpaceOnUse" width="6" height="6" patternTransform="rotate(45)" {
                rect .caught-ground width="6" height="6" {}
                rect .caught-line width="3" height="6" {}
            }
            pattern #lined patternUnits="userSpaceOnUse" width="6" height="4" {
                rect .live-ground width="6" height="4" {}
                rect .live-line width="6" height="2" {}
            }
        }
    }
}
