//! The JSON objects of the interface. Instants are RFC 3339 in UTC, absent values are `null`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::daemon::driver::JobView;
use crate::engine::failure::{ErrorName, Failure};
use crate::engine::hint::hint;
use crate::engine::log_tail::LogTail;
use crate::engine::pause::Pause;
use crate::engine::run::{Attempt, Entry, Phases, TaskEnd};
use crate::engine::task::ContainerFacts;
use crate::store::{NoticeSummary, RunStory, RunSummary};

/// A job in listings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobObject {
    /// Its name.
    pub job: String,
    /// Its expressions as written.
    pub schedule: String,
    /// Its IANA zone.
    pub timezone: String,
    /// Whether its instants are left out.
    pub paused: bool,
    /// By whom, why, since when and until when.
    #[serde(default)]
    pub pause: Option<Pause>,
    /// When it leaves next.
    pub next_at: Option<DateTime<Utc>>,
    /// Its newest run.
    pub last_run: Option<RunSummary>,
    /// Where its rates count from.
    pub anchor: DateTime<Utc>,
}

impl JobObject {
    /// A job with its newest run.
    pub fn new(view: &JobView, last_run: Option<RunSummary>) -> JobObject {
        JobObject {
            job: view.job.name.to_string(),
            schedule: view.job.schedule.text(),
            timezone: view.job.schedule.zone().name().to_owned(),
            paused: view.paused.is_some(),
            pause: view.paused.as_ref().map(|(_, pause)| pause.clone()),
            next_at: view.next_at,
            last_run,
            anchor: view.anchor,
        }
    }
}

/// Everything about one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunObject {
    /// What listings show.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// What keeps it from beginning, while it is due.
    #[serde(default)]
    pub waits_for: Option<String>,
    /// What to do about its error.
    #[serde(default)]
    pub hint: Option<String>,
    /// Who was told of it, in the order in which they were to be.
    #[serde(default)]
    pub notices: Vec<NoticeSummary>,
    /// Its attempts, in order.
    pub attempt_list: Vec<AttemptObject>,
    /// Its history, in order.
    pub events: Vec<Entry>,
}

impl From<RunStory> for RunObject {
    fn from(story: RunStory) -> RunObject {
        let mut log_tails = story.log_tails;
        let with_log = |attempt: Attempt| {
            let log_tail = log_tails.remove(&attempt.attempt).unwrap_or_default();
            AttemptObject { log_tail, ..AttemptObject::from(attempt) }
        };
        let attempt_list: Vec<AttemptObject> = story.attempts.into_iter().map(with_log).collect();
        let hint = hint_of_end(&story.summary, attempt_list.last());
        let RunStory { summary, notices, entries: events, .. } = story;
        RunObject { hint, summary, waits_for: None, notices, attempt_list, events }
    }
}

/// The advice about the error that a run shows, which need not be its last attempt's: the run's own time may be over.
fn hint_of_end(summary: &RunSummary, last: Option<&AttemptObject>) -> Option<String> {
    let (error, cause) = (summary.error.as_ref()?, summary.cause.as_ref()?);
    match last {
        Some(attempt) if attempt.cause.as_ref() == Some(cause) => attempt.hint.clone(),
        Some(_) | None => hint(&Failure::new(ErrorName::new(error), cause)).map(|hint| hint.text.to_owned()),
    }
}

/// One attempt of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields carry the names of the interface; engine::run::Attempt describes them")]
pub struct AttemptObject {
    pub attempt: u32,
    pub generation: u32,
    pub launched_at: Option<DateTime<Utc>>,
    pub task_arn: Option<String>,
    pub started_at: Option<DateTime<Utc>>,
    pub stopped_at: Option<DateTime<Utc>>,
    pub error_names: Vec<String>,
    pub cause: Option<String>,
    #[serde(default)]
    pub hint: Option<String>,
    pub exit_code: Option<i32>,
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
    pub retrier: Option<usize>,
    pub retry_delay_seconds: Option<f64>,
    pub containers: Vec<ContainerFacts>,
    #[serde(default)]
    pub log_tail: Vec<LogTail>,
    #[serde(default)]
    pub due_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub phases: Phases,
    #[serde(default)]
    pub tasks: Vec<TaskObject>,
}

/// One task of an attempt that has ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskObject {
    /// Which.
    pub task_arn: String,
    /// The exit code that stands for it.
    pub exit_code: Option<i32>,
    /// The names of its failure, the most specific first.
    pub error_names: Vec<String>,
    /// What happened.
    pub cause: Option<String>,
    /// Where its time went.
    pub phases: Phases,
    /// The last that DescribeTasks said of it, without the values of its variables.
    pub described: Option<serde_json::Value>,
}

/// The names of a failure and its cause.
fn told(failure: Option<Failure>) -> (Vec<String>, Option<String>) {
    match failure {
        Some(failure) => (failure.names.iter().map(ToString::to_string).collect(), Some(failure.cause)),
        None => (Vec::new(), None),
    }
}

impl From<Attempt> for AttemptObject {
    fn from(attempt: Attempt) -> AttemptObject {
        let shown = attempt.ends.iter().find(|end| Some(&end.task) == attempt.task.as_ref());
        let phases = attempt.phases(&shown.map(|end| end.times).unwrap_or_default());
        let task = |end: &TaskEnd| {
            let (error_names, cause) = told(end.failure.clone());
            TaskObject {
                task_arn: end.task.0.clone(),
                exit_code: end.exit_code,
                error_names,
                cause,
                phases: attempt.phases(&end.times),
                described: end.described.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            }
        };
        let tasks = attempt.ends.iter().map(task).collect();
        let hint = attempt.failure.as_ref().and_then(hint).map(|hint| hint.text.to_owned());
        let (error_names, cause) = told(attempt.failure);
        AttemptObject {
            attempt: attempt.attempt,
            generation: attempt.generation,
            launched_at: attempt.launched_at,
            task_arn: attempt.task.map(|task| task.0),
            started_at: attempt.started_at,
            stopped_at: attempt.stopped_at,
            error_names,
            cause,
            hint,
            exit_code: attempt.exit_code,
            stop_code: attempt.stop_code,
            stopped_reason: attempt.stopped_reason,
            retrier: attempt.retrier,
            retry_delay_seconds: attempt.retry_delay.map(|delay| delay.as_secs_f64()),
            containers: attempt.containers,
            log_tail: Vec::new(),
            due_at: attempt.due_at,
            phases,
            tasks,
        }
    }
}

/// What went wrong with a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorObject {
    /// For a person.
    pub error: String,
}
