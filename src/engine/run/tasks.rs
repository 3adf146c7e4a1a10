//! The tasks of a run's newest launch: those that are followed, and what became of those that have ended.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::super::failure::Failure;
use super::super::task::{TaskArn, TaskTimes};
use super::{Run, State};

/// A task that lives, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// Which task.
    pub task: TaskArn,
    /// When ECS named it.
    pub known_since: DateTime<Utc>,
    /// Whether it has been RUNNING.
    #[serde(default)]
    pub started: bool,
    /// Since when ECS has not shown it, although it should.
    #[serde(default)]
    pub missing_since: Option<DateTime<Utc>>,
}

/// The living tasks of a launch, in ECS's order; never empty. Nearly always one, so that is the stored form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Tasks(Vec<Followed>);

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    first: Followed,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<Followed>,
}

impl From<Stored> for Tasks {
    fn from(stored: Stored) -> Tasks {
        let mut tasks = vec![stored.first];
        tasks.extend(stored.others);
        Tasks(tasks)
    }
}

impl From<Tasks> for Stored {
    fn from(Tasks(mut tasks): Tasks) -> Stored {
        Stored { first: tasks.remove(0), others: tasks }
    }
}

impl Tasks {
    /// Tasks that ECS has just named; none for none.
    pub(super) fn named(tasks: impl IntoIterator<Item = TaskArn>, now: DateTime<Utc>) -> Option<Tasks> {
        let followed = |task| Followed { task, known_since: now, started: false, missing_since: None };
        let tasks: Vec<Followed> = tasks.into_iter().map(followed).collect();
        (!tasks.is_empty()).then_some(Tasks(tasks))
    }

    /// The tasks.
    pub fn iter(&self) -> impl Iterator<Item = &Followed> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Followed> {
        self.0.iter_mut()
    }

    /// Those that are left without this one; none if it was the last.
    pub(super) fn without(mut self, task: &TaskArn) -> Option<Tasks> {
        self.0.retain(|followed| followed.task != *task);
        (!self.0.is_empty()).then_some(self)
    }

    /// After a clock was set back.
    pub(super) fn move_back(&mut self, by: TimeDelta) {
        for followed in &mut self.0 {
            followed.known_since -= by;
            followed.missing_since = followed.missing_since.map(|since| since - by);
        }
    }
}

/// How a task ended, with the evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskEnd {
    /// Which task.
    pub task: TaskArn,
    /// The exit code that stands for it.
    pub exit_code: Option<i32>,
    /// Why it failed; none for a success.
    pub failure: Option<Failure>,
    /// When ECS says that it went through what.
    #[serde(default)]
    pub times: TaskTimes,
    /// The last that DescribeTasks said of it, as JSON, without the values of its variables; none if ECS no longer knew it.
    #[serde(default)]
    pub described: Option<String>,
}

impl Run {
    /// The living tasks that must be polled.
    pub fn followed(&self) -> impl Iterator<Item = &Followed> {
        let tasks = match &self.state {
            State::Running { tasks } | State::Stopping { tasks, .. } => Some(tasks),
            State::Due | State::Launching | State::Seeking { .. } | State::Waiting { .. } | State::Finished { .. } => {
                None
            }
        };
        tasks.into_iter().flat_map(Tasks::iter)
    }

    /// The first of them.
    pub fn followed_task(&self) -> Option<&TaskArn> {
        self.followed().next().map(|followed| &followed.task)
    }

    pub(super) fn follows(&self, task: &TaskArn) -> bool {
        self.followed().any(|followed| followed.task == *task)
    }

    /// A broken engine, for the tests of the tests: the first look that misses a task is the last.
    #[cfg(test)]
    pub(crate) fn pretend_missing_for(&mut self, time: TimeDelta) {
        if let State::Running { tasks } = &mut self.state {
            for followed in tasks.iter_mut() {
                followed.known_since -= time;
                followed.missing_since = Some(followed.known_since);
            }
        }
    }

    pub(super) fn followed_mut(&mut self, task: &TaskArn) -> Option<&mut Followed> {
        match &mut self.state {
            State::Running { tasks } | State::Stopping { tasks, .. } => {
                tasks.iter_mut().find(|followed| followed.task == *task)
            }
            State::Due | State::Launching | State::Seeking { .. } | State::Waiting { .. } | State::Finished { .. } => {
                None
            }
        }
    }

    /// How many tasks one launch asks for.
    pub(super) fn tasks_wanted(&self) -> usize {
        usize::try_from(self.definition.task.count).unwrap_or(1).max(1)
    }

    /// The tasks of the newest launch whose end is known.
    pub(super) fn ended_tasks(&self) -> impl Iterator<Item = &TaskEnd> {
        let generation = self.attempts.last().map(|attempt| attempt.generation);
        let of_launch = self.attempts.iter().filter(move |attempt| Some(attempt.generation) == generation);
        of_launch.flat_map(|attempt| &attempt.ends)
    }
}
