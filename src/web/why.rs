//! What became of an instant of a job, in one line: its row, or why it has none.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::api::{Problem, Sources, view_of, waits_for};
use super::asked::{Asked, Named};
use crate::daemon::clock;
use crate::daemon::driver::JobView;
use crate::engine::job::JobName;
use crate::engine::run::{Status, in_words};
use crate::store::{RunSummary, Store};

/// The answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WhyObject {
    /// Which job.
    pub job: JobName,
    /// Which instant.
    pub at: DateTime<Utc>,
    /// In one line, what became of it.
    pub answer: String,
    /// The rows that stand for it, that of the schedule first.
    pub runs: Vec<RunSummary>,
}

/// The query of `why`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyQuery {
    at: DateTime<Utc>,
}

pub(super) async fn why<S: Store>(
    State(sources): State<Sources<S>>,
    Named(name): Named,
    Asked(WhyQuery { at }): Asked<WhyQuery>,
) -> Result<Json<WhyObject>, Problem> {
    let unknown = || Problem::not_found(format!("there is no job `{name}`"));
    let job = JobName::new(&name).map_err(|_| unknown())?;
    let runs = sources.store.of_instant(job.clone(), at).await?;
    let view = view_of(&sources.mailbox, &job).await?;
    let waits_for = match runs.first() {
        Some(run) => waits_for(&sources, run).await,
        None => None,
    };
    let told = told(&runs, at).map(|told| match waits_for {
        Some(what) => format!("{told}: {what}"),
        None => told,
    });
    let answer = match (told, view) {
        (Some(told), _) => told,
        (None, Some(view)) => untold(&view, at, clock::now()),
        (None, None) => return Err(unknown()),
    };
    Ok(Json(WhyObject { job, at, answer, runs }))
}

/// What the rows say; none without rows.
fn told(runs: &[RunSummary], at: DateTime<Utc>) -> Option<String> {
    let (first, others) = runs.split_first()?;
    let mut text = in_short(first);
    if let Some(covered) = first.covers.filter(|_| first.scheduled_at != at) {
        text = format!("{text}; the row of {} stands for {} instants", in_words(first.scheduled_at), covered.count);
    }
    for other in others {
        text.push_str(&format!("; {} run asked for: {}", other.trigger.as_str(), in_short(other)));
    }
    Some(text)
}

fn in_short(run: &RunSummary) -> String {
    let attempts = if run.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", run.attempts) };
    let cause = run.cause.as_ref().map(|cause| match &run.error {
        Some(error) => format!(": {error}: {cause}"),
        None => format!(": {cause}"),
    });
    let (id, cause) = (&run.run, cause.unwrap_or_default());
    match run.status {
        Status::Skipped | Status::Missed => format!("{}{cause}", run.status.as_str()),
        Status::Due => format!("due: run {id} waits"),
        Status::Launching | Status::Running | Status::Stopping | Status::Waiting => {
            format!("{}: run {id}, {attempts}{cause}", run.status.as_str())
        }
        Status::Succeeded | Status::Failed | Status::TimedOut | Status::Cancelled | Status::Unknown => {
            let at = run.finished_at.map(|at| format!(" at {}", in_words(at))).unwrap_or_default();
            format!("{}{at}: run {id}, {attempts}{cause}", run.status.as_str())
        }
    }
}

/// Why an instant has no row.
fn untold(view: &JobView, at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let schedule = &view.job.schedule;
    let before = at - TimeDelta::nanoseconds(1);
    if schedule.next(before, view.anchor) != Some(at) {
        let next = schedule.next(at, view.anchor).map_or_else(|| "none after it".to_owned(), in_words);
        let last = schedule.last(at - NEAR, before, view.anchor).map(|last| format!("{} and ", in_words(last)));
        let near = format!("{}{next}", last.unwrap_or_default());
        return format!("no instant: {} in {} does not name it; near it are {near}", schedule.text(), schedule.zone());
    }
    if at + view.offset <= now && at > view.anchor {
        return "not known any more: its row was deleted, as [retention] says".to_owned();
    }
    if at + view.offset <= now {
        return format!(
            "not known: the daemon has followed this schedule since {} only, and has no row of it",
            in_words(view.anchor)
        );
    }
    let leaves =
        if view.offset.is_zero() { String::new() } else { format!(", it leaves at {}", in_words(at + view.offset)) };
    match &view.paused {
        Some((scope, pause)) if pause.lasts(at + view.offset) => {
            format!("to come, and left out: {}", pause.in_words(scope))
        }
        _ => format!("to come{leaves}"),
    }
}

/// How far back an instant is looked for that is near.
const NEAR: TimeDelta = TimeDelta::days(400);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::pause::{Pause, Scope};
    use crate::engine::run::{Asker, Covered, RunId, Trigger};
    use crate::engine::samples;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600 + second, 0).unwrap()
    }

    fn row(status: Status, scheduled_at: i64, cause: Option<&str>) -> RunSummary {
        RunSummary {
            run: RunId::from_text("nightly-1"),
            job: JobName::new("nightly").unwrap(),
            trigger: Trigger::Schedule,
            scheduled_at: at(scheduled_at),
            status,
            attempts: 2,
            error: None,
            cause: cause.map(str::to_owned),
            exit_code: None,
            created_at: at(scheduled_at),
            finished_at: Some(at(scheduled_at + 90)),
            next_action_at: None,
            covers: None,
        }
    }

    fn view(schedule: &str) -> JobView {
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

    #[test]
    fn a_row_says_what_became_of_its_instant() {
        let mut failed = row(Status::Failed, 0, Some("container `app` exited with 1"));
        failed.error = Some("States.TaskFailed".into());
        assert_eq!(
            told(&[failed], at(0)).unwrap(),
            "failed at 2026-01-01T00:01:30Z: run nightly-1, 2 attempts: States.TaskFailed: container `app` exited with 1"
        );
        let skipped = row(Status::Skipped, 0, Some("run nightly-0 still lives"));
        let again =
            RunSummary { trigger: Trigger::Manual, run: RunId::from_text("n-2"), ..row(Status::Succeeded, 0, None) };
        assert_eq!(
            told(&[skipped, again], at(0)).unwrap(),
            "skipped: run nightly-0 still lives; manual run asked for: succeeded at 2026-01-01T00:01:30Z: run n-2, 2 attempts"
        );
    }

    #[test]
    fn a_row_that_stands_for_many_says_so() {
        let mut missed = row(Status::Missed, 600, Some("the daemon was away"));
        missed.covers = Some(Covered { first: at(0), count: 11 });
        let expected = "missed: the daemon was away; the row of 2026-01-01T00:10:00Z stands for 11 instants";
        assert_eq!(told(&[missed], at(60)).unwrap(), expected);
    }

    #[test]
    fn what_has_no_row_says_why() {
        let daily = view("@daily");
        assert_eq!(untold(&daily, at(86_400), at(86_000)), "to come");
        assert_eq!(
            untold(&daily, at(86_401), at(90_000)),
            "no instant: @daily in UTC does not name it; near it are 2026-01-02T00:00:00Z and 2026-01-03T00:00:00Z"
        );
        assert_eq!(
            untold(&daily, at(-86_400), at(0)),
            "not known: the daemon has followed this schedule since 2026-01-01T00:00:00Z only, and has no row of it"
        );
        assert_eq!(
            untold(&daily, at(86_400), at(500 * 86_400)),
            "not known any more: its row was deleted, as [retention] says"
        );
        let asker = Asker { by: "ops".into(), reason: None };
        let paused = Some((Scope::All, Pause { asker, since: at(0), until: None }));
        assert_eq!(
            untold(&JobView { paused, ..view("@daily") }, at(86_400), at(100)),
            "to come, and left out: all jobs were paused at 2026-01-01T00:00:00Z by ops"
        );
        let late = JobView { offset: TimeDelta::seconds(30), ..view("@daily") };
        assert_eq!(untold(&late, at(86_400), at(86_410)), "to come, it leaves at 2026-01-02T00:00:30Z");
    }
}
