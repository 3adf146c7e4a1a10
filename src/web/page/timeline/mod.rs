//! `/timeline`: what ran and what is to run, job by job on one clock, and how many launches that makes.
//!
//! `window.rs` is the part of time, `layout.rs` where bars stand, `marks.rs` where firings to come do, `density.rs` the
//! launches of all jobs, `draw.rs` the SVG. Whatever the history and the schedules are, a page reads and draws so much and no
//! more, and says where that leaves something out.

mod density;
mod draw;
mod layout;
mod marks;
#[cfg(test)]
mod tests;
mod window;

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use self::density::{Coming, Quota};
use self::layout::{Bar, Group, Lanes};
use self::marks::Mark;
use self::window::{HOURS, Window};
use super::parts::{Look, count, lasting, moment, searched};
use super::shell::{NoPage, Section, Viewer, page};
use crate::daemon::driver::JobView;
use crate::engine::job::JobName;
use crate::engine::quota::QuotaKey;
use crate::engine::run::{Attempt, RunId};
use crate::store::{Span, Store};
use crate::web::api::{Problem, Sources, views};
use crate::web::asked::Asked;

/// How many jobs a page shows.
const JOBS_MAX: usize = 50;
/// How many timelines are computed at once, and how long one waits for its turn.
static COMPUTING: Semaphore = Semaphore::const_new(1);
const PLACE_WITHIN: Duration = Duration::from_secs(5);
/// How soon after a change a page that is open asks again: it costs more than others, and shows minutes.
const PACE_MILLIS: u32 = 15_000;
/// How many runs of a job are drawn, the newest.
const RUNS_MAX: usize = 400;
/// How many launches that were are counted, the newest.
const LAUNCHES_MAX: usize = 50_000;
/// Of how many runs the attempts are told apart.
const TOLD_APART_MAX: usize = 40;

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    at: Option<DateTime<Utc>>,
    hours: Option<i64>,
    #[serde(default)]
    q: String,
    page: Option<usize>,
}

pub(super) async fn timeline<S: Store>(
    State(sources): State<Sources<S>>,
    viewer: Viewer,
    query: Result<Asked<Ask>, Problem>,
) -> Result<Response, NoPage> {
    let Asked(ask) = query?;
    let window = Window::new(ask.at, ask.hours, viewer.now).map_err(NoPage::bad_request)?;
    let views = views(&sources.mailbox).await?;
    if views.is_empty() {
        return Ok(page(&viewer, Section::Timeline, "Timeline", &no_jobs()));
    }
    let quota = {
        let shown = sources.shown.borrow();
        Quota { rate: shown.launch_rate, burst: shown.launch_burst }
    };
    let (q, nth) = (searched(&ask.q), ask.page.unwrap_or(1));
    let place = place().await?;
    let computed = tokio::task::spawn_blocking({
        let q = q.clone();
        move || {
            let _place = place;
            Computed::new(views, &window, quota, &q, nth)
        }
    });
    let computed = computed.await.map_err(|_| Problem::unavailable("the firings to come could not be computed"))?;
    let seen = Seen::read(&sources.store, &computed, &window).await?;
    let body = body(&window, &q, quota, &computed, &seen);
    Ok(page(&viewer, Section::Timeline, "Timeline", &body))
}

/// A turn to compute: whoever asks for many must not take the daemon's own threads and cores.
async fn place() -> Result<SemaphorePermit<'static>, Problem> {
    let place = tokio::time::timeout(PLACE_WITHIN, COMPUTING.acquire()).await.ok().and_then(Result::ok);
    place.ok_or_else(|| Problem::unavailable("other timelines are being computed: try again in a while"))
}

/// What follows from the schedules.
struct Computed {
    /// The jobs of this page.
    views: Vec<JobView>,
    marks: Vec<Vec<Mark>>,
    coming: Coming,
    /// How many jobs were asked for.
    matching: usize,
    pages: usize,
    page: usize,
}

impl Computed {
    fn new(views: Vec<JobView>, window: &Window, quota: Quota, q: &str, page: usize) -> Computed {
        let coming = density::coming(&views, window, quota, density::FIRINGS_MAX);
        let mut views: Vec<JobView> = views.into_iter().filter(|view| is_meant(view, q)).collect();
        let matching = views.len();
        let pages = matching.div_ceil(JOBS_MAX).max(1);
        let page = page.clamp(1, pages);
        views.sort_by_cached_key(|view| (rank(view, window), view.job.name.clone()));
        let views: Vec<JobView> = views.into_iter().skip((page - 1) * JOBS_MAX).take(JOBS_MAX).collect();
        let marks = marks::marks(&views.iter().collect::<Vec<_>>(), window);
        Computed { views, marks, coming, matching, pages, page }
    }
}

/// Whether a job's name or schedule holds what is searched for.
fn is_meant(view: &JobView, q: &str) -> bool {
    let q = q.to_lowercase();
    let texts = [view.job.name.as_str().to_lowercase(), view.job.schedule.text().to_lowercase()];
    texts.iter().any(|text| text.contains(&q))
}

/// Jobs that fail come first, then those with something to see: they run, or are due at some time of the window.
fn rank(view: &JobView, window: &Window) -> u8 {
    let is_due = || marks::departures(view, window.from, window.until).next().is_some();
    match view.failing {
        true => 0,
        false if view.living > 0 || is_due() => 1,
        false => 2,
    }
}

/// What the store knows of it.
struct Seen {
    /// By job, oldest first.
    spans: HashMap<JobName, Vec<Span>>,
    lanes: Lanes,
    attempts: HashMap<RunId, Vec<Attempt>>,
    /// When there were launches, newest first.
    launches: Vec<DateTime<Utc>>,
}

impl Seen {
    async fn read<S: Store>(store: &S, computed: &Computed, window: &Window) -> Result<Seen, NoPage> {
        let jobs: Vec<JobName> = computed.views.iter().map(|view| view.job.name.clone()).collect();
        let (from, until) = (window.from, window.until.min(window.now));
        let mut spans: HashMap<JobName, Vec<Span>> = HashMap::new();
        let mut launches = Vec::new();
        if from < until {
            for span in store.spans(jobs.clone(), from, until, RUNS_MAX).await? {
                spans.entry(span.job.clone()).or_default().push(span);
            }
            launches = store.launches(from, until, LAUNCHES_MAX).await?;
        }
        for spans in spans.values_mut() {
            spans.reverse();
        }
        let bars: Vec<Vec<Bar>> = jobs.iter().map(|job| bars(spans.get(job), window)).collect();
        let lanes = layout::lanes(&bars);
        let wanted = told_apart(&jobs, &spans, &lanes);
        let attempts = if wanted.is_empty() { Vec::new() } else { store.attempts(wanted).await? };
        Ok(Seen { spans, lanes, attempts: attempts.into_iter().collect(), launches })
    }
}

fn bars(spans: Option<&Vec<Span>>, window: &Window) -> Vec<Bar> {
    let spans = spans.into_iter().flatten().enumerate();
    let bar = |(run, span): (usize, &Span)| {
        let until = span.finished_at.unwrap_or(window.now);
        Bar { from: window.place(span.created_at), until: window.place(until), look: Look::of(span.status), run }
    };
    spans.map(bar).collect()
}

/// The runs whose attempts are worth a look: several, each wide enough to be seen.
fn told_apart(jobs: &[JobName], spans: &HashMap<JobName, Vec<Span>>, lanes: &Lanes) -> Vec<RunId> {
    let of_lane =
        jobs.iter().zip(&lanes.lanes).flat_map(|(job, lane)| lane.iter().flatten().map(move |group| (job, group)));
    let is_wide = |group: &Group| group.count() == 1 && group.width() >= draw::ATTEMPTS_FROM && lanes.links(group);
    let runs = of_lane.filter(|(_, group)| is_wide(group)).filter_map(|(job, group)| {
        let span = spans.get(job)?.get(group.run)?;
        let several = 2..=u32::try_from(group.width() / 3).unwrap_or(0);
        several.contains(&span.attempts).then(|| span.run.clone())
    });
    runs.take(TOLD_APART_MAX).collect()
}

fn body(window: &Window, q: &str, quota: Quota, computed: &Computed, seen: &Seen) -> Markup {
    html! {
        h1 { "Timeline" }
        (controls(window, q))
        (draw::fillings())
        section #timeline data-live data-pace=(PACE_MILLIS) {
            @if computed.matching == 0 {
                p .empty { "No job's name or schedule holds “" (q) "”. " a href=(window.on_page("", 1)) { "Show all jobs" } }
            } @else {
                (chart(window, quota, computed, seen))
                (pager(window, q, computed))
            }
            (draw::legend())
            (crowds(window, quota, &computed.coming))
        }
    }
}

fn controls(window: &Window, q: &str) -> Markup {
    html! {
        p #span data-live { (moment(window.from)) " to " (moment(window.until)) }
        div .row .controls {
            nav aria-label="Part of time" {
                a href=(window.earlier(q)) { "← Earlier" }
                @if let Some(now) = window.around_now(q) { a href=(now) { "Now" } } @else { span aria-current="true" { "Now" } }
                a href=(window.later(q)) { "Later →" }
            }
            nav aria-label="Hours before and after" {
                span { "Hours around: " }
                @for hours in HOURS {
                    a href=(window.zoomed(hours, q)) aria-current=[(hours == window.hours).then_some("true")] { "±" (hours) }
                }
            }
            form method="get" action="/timeline" role="search" {
                @if let Some(at) = window.at() { input type="hidden" name="at" value=(at.to_rfc3339()); }
                input type="hidden" name="hours" value=(window.hours);
                label { "Jobs " input type="search" name="q" value=(q) maxlength="100" autocomplete="off"; }
                " " button .plain { "Filter" }
            }
        }
    }
}

fn chart(window: &Window, quota: Quota, computed: &Computed, seen: &Seen) -> Markup {
    let gone = density::gone(&seen.launches, window);
    let all = gone.iter().zip(&computed.coming.parts).map(|(gone, coming)| gone + coming).enumerate();
    let (most_at, most) = all.rev().max_by_key(|(_, count)| *count).unwrap_or_default();
    let marks_titled = computed.marks.iter().map(Vec::len).sum::<usize>() <= layout::LINKED_MAX;
    let chart = draw::Chart { window, lanes: &seen.lanes, attempts: &seen.attempts, marks_titled };
    let is_empty = seen.spans.is_empty() && computed.marks.iter().all(Vec::is_empty);
    html! {
        @if is_empty { (nothing(computed)) }
        div .scroll .timeline tabindex="0" role="region" aria-label="Runs and firings by job" {
            div .plot {
                (draw::grid(window))
                div .lane .head { div .name.muted { "Clock" } (draw::axis(window)) }
                div .lane .head {
                    div .name {
                        "Launches of all jobs" br;
                        span .muted {
                            "at most " (most) " in " (lasting(window.part()))
                            @if most > 0 { ", from " (moment(window.begin_of(most_at))) }
                        }
                    }
                    (draw::density(window, &gone, &computed.coming.parts, quota.rate))
                }
                ol {
                    @for ((view, lane), marks) in computed.views.iter().zip(&seen.lanes.lanes).zip(&computed.marks) {
                        @let spans = seen.spans.get(&view.job.name).map(Vec::as_slice).unwrap_or_default();
                        @let drawn_from = (spans.len() == RUNS_MAX).then(|| spans.first().map(|span| span.created_at)).flatten();
                        (draw::lane(&draw::Row { job: &view.job.name, says: says(view), spans, lane, marks, drawn_from }, &chart))
                    }
                }
            }
        }
        (left_out(computed, seen))
    }
}

fn says(view: &JobView) -> Option<(Look, &'static str)> {
    match (view.failing, &view.paused) {
        (true, _) => Some((Look::Bad, "failing")),
        (false, Some(_)) => Some((Look::Gone, "paused")),
        (false, None) => None,
    }
}

/// What the chart does not show, so that nobody takes it for what there is not.
fn left_out(computed: &Computed, seen: &Seen) -> Markup {
    let full = seen.spans.values().filter(|spans| spans.len() == RUNS_MAX).count();
    let oldest = seen.launches.last().filter(|_| seen.launches.len() == LAUNCHES_MAX);
    html! {
        @if full > 0 {
            p .hint {
                "Of " (count(full, "job", "jobs")) " only the newest " (RUNS_MAX) " runs are drawn; what is shaded is not. "
                "Zoom in to see the rest."
            }
        }
        @if let Some(oldest) = oldest {
            p .hint { "Launches before " (moment(*oldest)) " are not counted: there are more than " (LAUNCHES_MAX) " later ones. Zoom in to see them." }
        }
        @if let Some(until) = computed.coming.counted_until {
            p .hint {
                "Launches to come are counted up to " (moment(until)) ", as more than " (density::FIRINGS_MAX)
                " are due by then. Zoom in to see how it goes on."
            }
        }
        @if !seen.lanes.links_all() {
            p .muted {
                "There is too much to link every run: those that succeeded, and all but the newest of the others, are drawn only. "
                "Zoom in or filter to open them."
            }
        }
    }
}

fn pager(window: &Window, q: &str, computed: &Computed) -> Markup {
    let Computed { page, pages, matching, .. } = *computed;
    html! {
        @if pages > 1 {
            nav .pager aria-label="Pages of jobs" {
                @if page > 1 { a href=(window.on_page(q, page - 1)) { "Previous" } }
                span { "Page " (page) " of " (pages) ", " (matching) " jobs; those that fail first, then those that run or are due" }
                @if page < pages { a href=(window.on_page(q, page + 1)) { "Next" } }
            }
        }
    }
}

/// When so many leave at once that the last of them leaves late.
fn crowds(window: &Window, quota: Quota, coming: &Coming) -> Markup {
    let Quota { rate, burst } = quota;
    html! {
        h2 { "When many leave at once" }
        @if window.until <= window.now {
            p .muted { "This window lies in the past." }
        } @else if coming.crowds.is_empty() {
            p { "No second to come in this window has more launches than leave at once (" code { "launch_burst = " (burst) } ")." }
        } @else {
            p {
                "Launches that are due in the same second leave " (burst) " at once and then " (rate) " a second, in each account and region ("
                code { "[ecs] launch_burst" } ", " code { "launch_rate" } "). " code { "spread" } " keeps them apart."
            }
            ul {
                @for crowd in &coming.crowds {
                    li {
                        (moment(crowd.at)) ": " (crowd.count) " launches"
                        @if crowd.of != QuotaKey::default() { " in " (crowd.of) }
                        ", the last leaves about " (lasting(crowd.last_after)) " later"
                    }
                }
            }
        }
    }
}

fn nothing(computed: &Computed) -> Markup {
    let next = computed.views.iter().filter_map(|view| Some((view.next_at?, &view.job.name))).min();
    html! {
        p .empty {
            "Nothing of these jobs ran or is due in this part of time. "
            @match next {
                Some((at, job)) => { "The next firing is that of " a href={ "/jobs/" (job) } { (job) } " at " (moment(at)) "." },
                None => "None of them is due any more: each is paused, or its schedule is over.",
            }
        }
    }
}

fn no_jobs() -> Markup {
    html! {
        h1 { "Timeline" }
        section #timeline .empty data-live {
            p { "There are no jobs yet. Write one into the configuration, or into a file of its own in " code { "jobs.d/" } " beside it:" }
            pre tabindex="0" {
                "[jobs.hello]\nschedule = \"rate(15 minutes)\"\ntask_definition = \"hello\"\n"
            }
            p { "The daemon takes it within seconds, and this page then shows when it runs. " code { "tenacron validate" } " says beforehand what is wrong with it." }
        }
    }
}
