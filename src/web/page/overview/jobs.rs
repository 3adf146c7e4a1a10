//! The jobs: which of them are asked for, in which order, and a row for each that is shown.

use std::collections::HashMap;
use std::fmt::Write as _;

use chrono::{DateTime, Timelike as _, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};
use serde::Deserialize;

use super::daemon::paused;
use super::strip::{strip, success_rate, typical};
use super::{Read, unread};
use crate::daemon::driver::JobView;
use crate::engine::job::JobName;
use crate::store::RunSummary;
use crate::web::page::parts::{Look, brief_moment, escaped, lasting, words};

/// How many jobs one page shows.
pub(super) const JOBS_MAX: usize = 50;

/// The query of the address. A key that is misspelt must not list what was not asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::web::page) struct Wanted {
    /// A part of the name or of the schedule, in upper or lower case.
    pub(super) q: String,
    pub(super) show: Show,
    /// From 1 on.
    pub(super) page: usize,
}

/// Which jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::web::page) enum Show {
    #[default]
    All,
    Failing,
    Paused,
    Running,
}

impl Show {
    const EACH: [Show; 4] = [Show::All, Show::Failing, Show::Paused, Show::Running];

    fn name(self) -> &'static str {
        match self {
            Show::All => "all",
            Show::Failing => "failing",
            Show::Paused => "paused",
            Show::Running => "running",
        }
    }

    fn has(self, view: &JobView) -> bool {
        match self {
            Show::All => true,
            Show::Failing => view.failing,
            Show::Paused => view.paused.is_some(),
            Show::Running => view.living > 0,
        }
    }
}

/// What is shown of the jobs.
pub(super) struct Chosen<'a> {
    /// One page of them, in order.
    pub(super) shown: Vec<&'a JobView>,
    /// The number of this page, and how many there are.
    pub(super) page: usize,
    pub(super) pages: usize,
    /// How many fit the search, for each of `Show::EACH`.
    counts: [usize; 4],
}

impl<'a> Chosen<'a> {
    /// Failing ones first, then those that are paused, then the others, each by name.
    pub(super) fn of(jobs: &'a [JobView], wanted: &Wanted) -> Chosen<'a> {
        let part = wanted.q.trim().to_lowercase();
        let fits = |view: &&JobView| {
            let has = |text: &str| text.to_lowercase().contains(&part);
            part.is_empty() || has(view.job.name.as_str()) || has(&view.job.schedule.text())
        };
        let found: Vec<&JobView> = jobs.iter().filter(fits).collect();
        let counts = Show::EACH.map(|show| found.iter().filter(|view| show.has(view)).count());
        let mut shown: Vec<&JobView> = found.into_iter().filter(|view| wanted.show.has(view)).collect();
        // A stable sort of what is in the order of names.
        shown.sort_by_key(|view| (!view.failing, view.paused.is_none()));
        let pages = shown.len().div_ceil(JOBS_MAX).max(1);
        let page = wanted.page.clamp(1, pages);
        let shown = shown.into_iter().skip((page - 1) * JOBS_MAX).take(JOBS_MAX).collect();
        Chosen { shown, page, pages, counts }
    }
}

/// The address of another choice.
fn address(q: &str, show: Show, page: usize) -> String {
    let mut path = "/?".to_owned();
    if !q.is_empty() {
        // Writing to a string can't fail.
        let _written = write!(path, "q={}&", escaped(q));
    }
    let _written = write!(path, "show={}", show.name());
    if page > 1 {
        let _written = write!(path, "&page={page}");
    }
    path
}

/// What finds a job; outside of what is live, so that nobody's typing is lost.
pub(super) fn search(wanted: &Wanted) -> Markup {
    html! {
        div .jobs-head {
            h2 { "Jobs" }
            form .row action="/" role="search" {
                label .sr for="q" { "A part of the name or of the schedule" }
                input #q type="search" name="q" value=(wanted.q) placeholder="Name or schedule" maxlength="100";
                @if wanted.show != Show::All { input type="hidden" name="show" value=(wanted.show.name()); }
                button { "Search" }
            }
        }
    }
}

pub(super) fn table(wanted: &Wanted, chosen: &Chosen<'_>, recent: &Read) -> Markup {
    let mut runs: HashMap<&JobName, Vec<RunSummary>> = HashMap::new();
    for run in recent.iter().flatten() {
        runs.entry(&run.job).or_default().push(run.clone());
    }
    html! {
        (choices(wanted, chosen))
        @if let Err(error) = recent { (unread(error)) }
        @if chosen.shown.is_empty() {
            p .empty { "No job fits. " a href="/" { "Show all" } }
        } @else {
            table .cards.jobs {
                thead { tr {
                    th scope="col" { "Job" } th scope="col" { "Last run" } th scope="col" { "Last 20" }
                    th scope="col" .num { "Succeeded" } th scope="col" .num { "Takes" } th scope="col" { "Next firing" }
                } }
                tbody {
                    @for view in &chosen.shown { (row(view, runs.get(&view.job.name).map_or(&[], Vec::as_slice))) }
                }
            }
        }
        (pager(wanted, chosen))
    }
}

fn choices(wanted: &Wanted, chosen: &Chosen<'_>) -> Markup {
    html! {
        nav .choices aria-label="Which jobs" {
            @for (show, number) in Show::EACH.into_iter().zip(chosen.counts) {
                a href=(address(&wanted.q, show, 1)) aria-current=[(show == wanted.show).then_some("true")] {
                    (show.name()) " " (number)
                }
            }
        }
    }
}

fn pager(wanted: &Wanted, chosen: &Chosen<'_>) -> Markup {
    let to = |page| address(&wanted.q, wanted.show, page);
    html! {
        @if chosen.pages > 1 {
            nav .pager aria-label="Pages of jobs" {
                @if chosen.page > 1 { a href=(to(chosen.page - 1)) rel="prev" { "Previous" } }
                span { "Page " (chosen.page) " of " (chosen.pages) }
                @if chosen.page < chosen.pages { a href=(to(chosen.page + 1)) rel="next" { "Next" } }
            }
        }
    }
}

/// What a cell is called stands in the style sheet once, not in each row: fifty of them are most of the page.
fn row(view: &JobView, runs: &[RunSummary]) -> Markup {
    let name = &view.job.name;
    html! {
        tr data-key=(name) {
            th scope="row" {
                a href={ "/jobs/" (name) } { (name) }
                @if view.failing { " " span .mark.bad { "✕ failing" } }
                small { (view.job.schedule.text()) }
            }
            @match runs.first() {
                None => { td { "never" } td {} td {} td {} }
                Some(last) => {
                    td { (newest(last)) }
                    td { (strip(runs)) }
                    td { @match success_rate(runs) { Some(rate) => { (rate) " %" }, None => "–" } }
                    td { @match typical(runs) { Some(time) => (lasting(time)), None => "–" } }
                }
            }
            td { (next(view)) }
        }
    }
}

fn newest(run: &RunSummary) -> Markup {
    let look = Look::of(run.status);
    html! {
        a .mark.(look.class()) href={ "/runs/" (run.run) } { (look.sign()) " " (words(run.status.as_str())) }
        " " (brief_moment(run.scheduled_at))
    }
}

fn next(view: &JobView) -> Markup {
    let zone = view.job.schedule.zone();
    html! {
        @if let Some((_, pause)) = &view.paused { div .paused { b { "paused" } " " (paused(pause)) } }
        @match view.next_at {
            None if view.paused.is_some() => {},
            None => "never again",
            Some(at) => {
                (brief_moment(at))
                @if zone != Tz::UTC { small { (briefly(at, zone)) } }
            }
        }
    }
}

/// An instant on the clocks of the job, beside its date for the viewer.
fn briefly(at: DateTime<Utc>, zone: Tz) -> String {
    let at = at.with_timezone(&zone);
    let format = if at.second() == 0 { "%a %H:%M %Z" } else { "%a %H:%M:%S %Z" };
    at.format(format).to_string()
}

/// A job that can be copied from the page.
const EXAMPLE: &str = "[jobs.hello]
schedule = \"0 3 * * *\"
timezone = \"Europe/Berlin\"
cluster = \"main\"
task_definition = \"hello\"
";

/// How to add the first job.
pub(super) fn none_yet() -> Markup {
    html! {
        div .empty {
            p {
                "There is no job yet. Write one into a file of its own, such as " code { "jobs.d/hello.toml" }
                " beside " code { "tenacron.toml" } ":"
            }
            pre tabindex="0" role="region" aria-label="An example of a job" { (EXAMPLE) }
            p {
                "It is taken within seconds. " code { "tenacron validate" }
                " says beforehand what is wrong with it; what is wrong with it then is also told above, and nothing changes."
            }
        }
    }
}
