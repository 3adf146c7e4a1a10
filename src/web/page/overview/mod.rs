//! `/`: is everything well, what failed, what is in flight, and the jobs.
//!
//! Jobs come from the loop, which has all of them in memory: they are searched and put in order here, however many there are. The
//! store is asked only for the runs of those that are shown. What one of the two does not answer is missing on the page with the
//! reason, and the rest is there: the page is opened when something is wrong.

mod daemon;
mod jobs;
mod lists;
mod strip;
#[cfg(test)]
mod tests;
mod verdict;

use axum::extract::State;
use axum::response::Response;
use chrono::TimeDelta;
use maud::{Markup, html};

use self::jobs::{Chosen, Wanted};
use super::parts::searched;
use super::shell::{NoPage, Section, Viewer, page};
use crate::daemon::driver::JobView;
use crate::engine::pause::{Pause, Scope};
use crate::engine::run::Status;
use crate::observe;
use crate::store::{NoticeCounts, RunSummary, Store, StoreError};
use crate::web::api::{ANSWER_WITHIN, Problem, Sources, views};
use crate::web::asked::Asked;

/// How far back what failed is listed.
const RECENT: TimeDelta = TimeDelta::hours(24);
/// How many runs a list here has at most.
const LISTED_MAX: usize = 10;
/// How many outcomes of a job are shown.
const OUTCOMES_MAX: usize = 20;

/// What the store answered, or why it did not.
type Read = Result<Vec<RunSummary>, StoreError>;

/// What the whole page is made of.
struct Facts {
    /// Every job, by name; or why they are not known.
    jobs: Result<Vec<JobView>, String>,
    /// How many living runs are in each status.
    in_flight: Vec<(Status, usize)>,
    /// The newest that live; one more than is listed, if there are more.
    living: Read,
    /// What ended badly, likewise.
    bad: Read,
    /// How many notices are owed and given up.
    notices: Result<NoticeCounts, StoreError>,
}

impl Facts {
    async fn of<S: Store>(sources: &Sources<S>, viewer: &Viewer) -> Facts {
        let in_flight = tokio::time::timeout(ANSWER_WITHIN, sources.mailbox.in_flight());
        let (jobs, in_flight, living, bad, notices) = tokio::join!(
            views(&sources.mailbox),
            in_flight,
            sources.store.living(LISTED_MAX + 1),
            sources.store.bad_since(viewer.now - RECENT, LISTED_MAX + 1),
            sources.store.notice_counts(),
        );
        Facts {
            jobs: jobs.map_err(|Problem(_, why)| why),
            in_flight: in_flight.ok().flatten().unwrap_or_default(),
            living,
            bad,
            notices,
        }
    }

    fn known(&self) -> &[JobView] {
        self.jobs.as_deref().unwrap_or_default()
    }

    /// The pause of all jobs, if they are paused.
    fn pause_of_all(&self) -> Option<&Pause> {
        self.known().iter().find_map(|view| match &view.paused {
            Some((Scope::All, pause)) => Some(pause),
            Some((Scope::Job(_), _)) | None => None,
        })
    }
}

pub(super) async fn overview<S: Store>(
    State(sources): State<Sources<S>>,
    viewer: Viewer,
    query: Result<Asked<Wanted>, Problem>,
) -> Result<Response, NoPage> {
    let Asked(mut wanted) = query?;
    wanted.q = searched(&wanted.q);
    let facts = Facts::of(&sources, &viewer).await;
    let chosen = Chosen::of(facts.known(), &wanted);
    let names = chosen.shown.iter().map(|view| view.job.name.clone()).collect();
    let recent = sources.store.recent_runs(names, OUTCOMES_MAX).await;
    Ok(page(&viewer, Section::Overview, "Overview", &body(&viewer, &facts, &wanted, &chosen, &recent)))
}

fn body(viewer: &Viewer, facts: &Facts, wanted: &Wanted, chosen: &Chosen<'_>, recent: &Read) -> Markup {
    html! {
        section #verdict data-live { (verdict::verdict(viewer, facts)) }
        section #failed data-live { (lists::failed(&facts.bad)) }
        div .sides {
            section #in-flight data-live { (lists::in_flight(&facts.living, viewer.health.living_runs)) }
            section #daemon data-live { (daemon::daemon(viewer, facts)) }
        }
        @if let Err(why) = &facts.jobs {
            h2 { "Jobs" }
            p .cause { "The daemon does not say which jobs it has: " (why) }
        } @else if facts.known().is_empty() {
            h2 { "Jobs" }
            (jobs::none_yet())
        } @else {
            (jobs::search(wanted))
            section #jobs data-live { (jobs::table(wanted, chosen, recent)) }
        }
    }
}

/// Why runs are missing on the page.
fn unread(error: &StoreError) -> Markup {
    html! { p .cause { (observe::chain(error)) } }
}
