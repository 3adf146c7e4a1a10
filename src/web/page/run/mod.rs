//! The page of a run: how it is and why first, then its graph, its attempts, and all that is on record of it.

mod attempts;
mod console;
mod draw;
mod graph;
mod head;
mod records;
mod retries;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};

use super::parts::Look;
use super::shell::{NoPage, Viewer, page_of_job};
use crate::engine::failure::Failure;
use crate::engine::job::Definition;
use crate::engine::launch::Launch;
use crate::engine::run::{HistoryEvent, Request, RunId, Trigger};
use crate::store::{RunStory, RunSummary, Store};
use crate::web::api::{Problem, Sources, view_of, waits_for};
use crate::web::asked::Named;
use crate::web::objects::RunObject;

/// All that the page tells.
#[derive(Debug, Clone)]
struct Told {
    /// What the interface says of the run.
    run: RunObject,
    definition: Arc<Definition>,
    launch: Option<Launch>,
    deadline: Option<DateTime<Utc>>,
    /// Of the newest attempt.
    failure: Option<Failure>,
    /// The other runs of its instant.
    others: Vec<RunSummary>,
    /// The zone of its job today; none if the job is not configured, or nobody could tell.
    zone: Option<Tz>,
    /// Whether its job is known not to be configured any more.
    is_orphan: bool,
    now: DateTime<Utc>,
}

impl Told {
    fn new(story: RunStory, now: DateTime<Utc>) -> Told {
        Told {
            definition: Arc::clone(&story.definition),
            launch: story.launch.clone(),
            deadline: story.deadline,
            failure: story.attempts.last().and_then(|attempt| attempt.failure.clone()),
            run: RunObject::from(story),
            others: Vec::new(),
            zone: None,
            is_orphan: false,
            now,
        }
    }

    /// What somebody asked for; none if the schedule named it.
    fn request(&self) -> Option<&Request> {
        self.run.events.iter().find_map(|entry| match &entry.event {
            HistoryEvent::ExecutionStarted { request, .. } => request.as_ref(),
            _ => None,
        })
    }

    /// What began it, in words.
    fn trigger(&self) -> &'static str {
        match self.run.summary.trigger {
            Trigger::Schedule => "by its schedule",
            Trigger::Catchup => "to catch up",
            Trigger::Manual => "by hand",
            Trigger::Backfill => "as a backfill",
        }
    }

    /// Why the newest failure was not tried again.
    fn why_no_retry(&self) -> Option<String> {
        let granted = self.run.attempt_list.iter().filter_map(|attempt| attempt.retrier);
        if self.run.attempt_list.last()?.retrier.is_some() {
            return None;
        }
        let used = retries::used(&self.definition, granted);
        retries::why_none(&self.definition, &used, self.run.summary.status, self.failure.as_ref()?)
    }
}

/// Seconds as the interface has them.
fn seconds(seconds: f64) -> TimeDelta {
    std::time::Duration::try_from_secs_f64(seconds.max(0.0))
        .ok()
        .and_then(|time| TimeDelta::from_std(time).ok())
        .unwrap_or_default()
}

pub(super) async fn run<S: Store>(
    State(sources): State<Sources<S>>,
    viewer: Viewer,
    Named(name): Named,
) -> Result<Response, NoPage> {
    let id = RunId::from_text(&name);
    let story = sources.store.story(id.clone()).await?.ok_or_else(|| Problem::no_run(&id))?;
    let mut told = Told::new(story, viewer.now);
    told.run.waits_for = waits_for(&sources, &told.run.summary).await;
    let (job, instant) = (told.run.summary.job.clone(), told.run.summary.scheduled_at);
    told.others = sources.store.of_instant(job.clone(), instant).await?;
    told.others.retain(|other| other.run != id);
    // The page of a run is no worse for a loop that does not answer.
    if let Ok(view) = view_of(&sources.mailbox, &job).await {
        told.zone = view.as_ref().map(|view| view.job.schedule.zone());
        told.is_orphan = view.is_none();
    }
    Ok(page_of_job(&viewer, id.as_str(), &job, &body(&told, viewer.may_act)))
}

fn body(told: &Told, may_act: bool) -> Markup {
    let graph = graph::Graph::of(told);
    html! {
        section #head data-live { (head::head(told)) }
        @if may_act { div #deeds data-live { (head::deeds(told)) } }
        div .run {
            section #graph data-live aria-labelledby="graph-title" {
                h2 #graph-title { "Graph" }
                (draw::picture(&graph))
                (legend())
            }
            section #attempts data-live aria-labelledby="attempts-title" {
                h2 #attempts-title { "Attempts" }
                (attempts::attempts(told))
            }
        }
        (records::records(told))
    }
}

fn legend() -> Markup {
    html! {
        ul .legend aria-label="Legend" {
            @for look in Look::ALL {
                li class=(look.class()) { span .mark aria-hidden="true" { (look.sign()) } " " (look.word()) }
            }
            li .muted { span .dashed aria-hidden="true" {} " not taken" }
        }
    }
}
