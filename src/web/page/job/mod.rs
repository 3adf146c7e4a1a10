//! One job: how it stands, what it did and what it will do, and what it is by its definition.

mod chart;
mod definition;
mod policy;
mod state;
mod to_come;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use super::filter::{self, Filter};
use super::parts::{deed, local, moment};
use super::shell::{NoPage, Viewer, not_found, page_of_job};
use super::table::{Of, no_runs, runs_table};
use crate::daemon::driver::JobView;
use crate::engine::job::JobName;
use crate::engine::pause::Scope;
use crate::engine::run::{RunId, Status};
use crate::store::{RunQuery, RunSummary, Store};
use crate::web::api::{Problem, Sources, listed, view_of};
use crate::web::asked::{Asked, Named};
use crate::web::hands::job_name;
use crate::web::objects::RunObject;

/// How many runs the history shows at once.
const HISTORY_SHOWN: usize = 20;
/// How many runs that ended the chart shows, and how far back a row of bad ends is counted.
const ENDED_SHOWN: usize = 60;
/// How many runs that go on are named.
const LIVING_SHOWN: usize = 5;
/// How a run can end that was launched.
const ENDED: [Status; 5] = [Status::Succeeded, Status::Failed, Status::TimedOut, Status::Cancelled, Status::Unknown];
/// For how long a job can be paused by the page: hours, and how the choice is called.
const PAUSES: [(&str, &str); 5] =
    [("", "until it is resumed"), ("1", "an hour"), ("8", "8 hours"), ("24", "a day"), ("168", "a week")];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    status: String,
    before: String,
}

/// What is known of a job.
struct Seen {
    name: JobName,
    /// None for one that left the configuration.
    view: Option<JobView>,
    /// Runs that go on, the newest ones.
    living: Vec<RunSummary>,
    /// Runs that ended, the newest first.
    ended: Vec<RunSummary>,
    /// When it last went well, if ever.
    last_good: Option<DateTime<Utc>>,
    /// What to do about the newest bad end, if it has ended badly since.
    hint: Option<String>,
    /// The rows of the history, and after which of them there are more.
    rows: Vec<RunSummary>,
    last: Option<RunId>,
}

pub(super) async fn job<S: Store>(
    State(sources): State<Sources<S>>,
    viewer: Viewer,
    Named(name): Named,
    query: Result<Asked<Wanted>, Problem>,
) -> Result<Response, NoPage> {
    let Asked(Wanted { status, before }) = query?;
    let filter = Filter::read(status, &before)?;
    let seen = Seen::gather(&sources, job_name(&name)?, &filter).await?;
    let now = viewer.now;
    let body = html! {
        h1 { (name) }
        section #state data-live aria-label="State" { (state::lines(&seen, now)) }
        @if viewer.health.draining.is_some() {
            p .cause { "The daemon is draining: it begins nothing new. What is to come leaves after its next start." }
        }
        @if let Some(view) = seen.view.as_ref().filter(|_| viewer.may_act && viewer.health.draining.is_none()) {
            section #deeds .row data-live aria-label="Actions" { (deeds(view)) }
        }
        div .sides {
            div {
                section #durations data-live aria-labelledby="durations-of" {
                    h2 #durations-of { "Durations" }
                    (chart::durations(&seen.ended))
                }
                (history(&seen, &filter, now))
            }
            @if let Some(view) = &seen.view {
                div {
                    section #next data-live aria-labelledby="to-come" {
                        h2 #to-come { "Next firings" }
                        (to_come::table(view, now))
                    }
                    section aria-labelledby="policy" {
                        h2 #policy { "When it fails" }
                        (policy::in_words(&view.job.definition))
                    }
                    section aria-labelledby="definition" {
                        h2 #definition { "Definition" }
                        (definition::facts(&view.job, &sources.shown.borrow()))
                    }
                }
            }
        }
    };
    Ok(page_of_job(&viewer, &name, &seen.name, &body))
}

impl Seen {
    /// Asks for no more than the page shows, each by an index.
    async fn gather<S: Store>(sources: &Sources<S>, name: JobName, filter: &Filter) -> Result<Seen, NoPage> {
        let store = &sources.store;
        let of_job = |statuses: &[Status], limit| RunQuery {
            job: Some(name.clone()),
            statuses: statuses.to_vec(),
            before: None,
            limit,
        };
        let view = view_of(&sources.mailbox, &name).await?;
        if view.is_none() && store.runs(of_job(&[], 1)).await?.is_empty() {
            return Err(not_found(&format!("there is no job `{name}` in the configuration, and no run of one")));
        }
        let living = store.runs(of_job(&filter::live(), LIVING_SHOWN)).await?;
        let ended = store.runs(of_job(&ENDED, ENDED_SHOWN)).await?;
        let good = match ended.iter().find(|run| run.status == Status::Succeeded) {
            Some(run) => Some(run.clone()),
            None => store.runs(of_job(&[Status::Succeeded], 1)).await?.pop(),
        };
        let last_good = good.and_then(|run| run.finished_at);
        let hint = match state::row_of_bad_ends(&ended) {
            Some(bad) => store.story(bad.newest.run.clone()).await?.and_then(|story| RunObject::from(story).hint),
            None => None,
        };
        let query = RunQuery { before: filter.before.clone(), ..of_job(&filter.statuses, HISTORY_SHOWN) };
        let (rows, last) = listed(store, query).await?;
        Ok(Seen { name, view, living, ended, last_good, hint, rows, last })
    }
}

fn history(seen: &Seen, filter: &Filter, now: DateTime<Utc>) -> Markup {
    let (job, path) = (seen.name.as_str(), format!("/jobs/{}", seen.name));
    html! {
        section aria-labelledby="runs-of" {
            h2 #runs-of { "Runs" }
            form .row.choose action=(path) {
                (filter.select())
                button { "Show" }
                @if !filter.is_open() { a href=(path) { "Show all" } }
            }
            div #history data-live {
                @if seen.rows.is_empty() {
                    (no_runs(&filter.statuses, Some(job)))
                } @else {
                    (runs_table(&seen.rows, Of::OneJob, "Runs of this job, the newest first", now))
                }
                (filter.pager(&path, None, seen.last.as_ref()))
            }
        }
    }
}

/// What may be done with a job.
fn deeds(view: &JobView) -> Markup {
    let path = format!("/jobs/{}", view.job.name);
    let meets = definition::meeting(view.job.admission.overlap);
    let trigger = format!("Records a run now, whatever the schedule says. If another one lives: {meets}.");
    let is_paused = matches!(&view.paused, Some((Scope::Job(_), _)));
    html! {
        (deed(&format!("{path}/trigger"), "Trigger", &trigger, &html! {}))
        @if is_paused {
            (deed(&format!("{path}/resume"), "Resume", "It fires again from now on. Nothing of the pause is made up for.", &html! {}))
        } @else {
            (deed(&format!("{path}/pause"), "Pause", "Its instants are recorded as skipped meanwhile. What runs goes on.", &hours()))
        }
    }
}

fn hours() -> Markup {
    html! {
        label { "For how long "
            select name="hours" { @for (hours, text) in PAUSES { option value=(hours) { (text) } } }
        }
    }
}

/// When a job leaves next, for the viewer and on the job's own clock.
fn on_both_clocks(at: DateTime<Utc>, view: &JobView) -> Markup {
    html! { (moment(at)) " (" (local(at, view.job.schedule.zone())) ")" }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;

    use super::super::table::tests::at;
    use super::*;
    use crate::engine::pause::Pause;
    use crate::engine::run::Asker;
    use crate::engine::samples;

    pub(super) fn view(schedule: &str) -> JobView {
        let job = Arc::new(samples::job(schedule));
        JobView {
            job,
            next_at: None,
            anchor: at(0),
            paused: None,
            offset: TimeDelta::zero(),
            failing: false,
            living: 0,
        }
    }

    pub(super) fn seen(view: Option<JobView>, ended: Vec<RunSummary>) -> Seen {
        let name = JobName::new("nightly").unwrap();
        Seen { name, view, living: Vec::new(), rows: ended.clone(), ended, last_good: None, hint: None, last: None }
    }

    pub(super) fn paused(scope: Scope, reason: &str) -> Option<(Scope, Pause)> {
        let asker = Asker { by: "ops".to_owned(), reason: Some(reason.to_owned()) };
        Some((scope, Pause { asker, since: at(0), until: None }))
    }

    #[test]
    fn a_paused_job_is_resumed_and_any_other_paused() {
        let offered = |paused| {
            let shown = deeds(&JobView { paused, ..view("@daily") }).into_string();
            ["trigger", "pause", "resume"].map(|deed| shown.contains(&format!("action=\"/jobs/nightly/{deed}\"")))
        };
        let own = Scope::Job(JobName::new("nightly").unwrap());
        assert_eq!(offered(None), [true, true, false]);
        assert_eq!(offered(paused(own, "")), [true, false, true]);
        assert_eq!(offered(paused(Scope::All, "")), [true, true, false], "to resume it alone would change nothing");
    }
}
