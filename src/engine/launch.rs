//! One launch: the frozen RunTask request, its client token and the marks by which its task can be found.
//!
//! The request is built once, saved before its first byte is sent and sent again unchanged, so that ECS recognises the
//! repeat by its token and starts nothing twice. Everything in it follows from the run and the generation: the same run
//! of the same instance always asks with the same token, even if the state was lost in between.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::job::{Instance, Target, TaskSpec};
use super::run::{Run, RunId, in_words};

/// How long after its first send a request may be sent again. ECS forgets a token one hour after a task that stopped at
/// once, so a quarter of an hour is kept in hand. Source: Amazon ECS API reference, "Ensuring idempotency".
pub const RESEND_WINDOW: TimeDelta = TimeDelta::minutes(45);

/// A clock that goes back by no more than this was corrected, not lost: a third of what is kept in hand.
pub const CLOCK_CORRECTION: TimeDelta = TimeDelta::minutes(5);

/// What the `startedBy` of every task begins with that a Tenacron launched, whichever installation it was.
pub const STARTED_BY: &str = "tenacron/";
/// What the tags begin with that name the launch of a task.
pub const TAG: &str = "tenacron:";
/// What the environment variables begin with that do.
pub const VARIABLE: &str = "TENACRON_";

/// What stands in place of a value that is not shown.
pub const LEFT_OUT: &str = "[redacted]";

/// One thing that a task is marked with: what its tag and its variable end in.
pub(super) struct Mark {
    pub(super) tag: &'static str,
    pub(super) variable: &'static str,
}

pub(super) const JOB: Mark = Mark { tag: "job", variable: "JOB" };
pub(super) const RUN: Mark = Mark { tag: "run", variable: "RUN_ID" };
pub(super) const SCHEDULED_AT: Mark = Mark { tag: "scheduled-at", variable: "SCHEDULED_AT" };
pub(super) const GENERATION: Mark = Mark { tag: "attempt", variable: "ATTEMPT" };
/// Has a tag only.
pub(super) const INSTANCE_TAG: &str = "tenacron:instance";

/// ECS's idempotency token: at most 64 characters of ASCII 33 to 126.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientToken(String);

impl ClientToken {
    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The RunTask request, frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchRequest {
    /// By which ECS recognises a repeat.
    pub client_token: ClientToken,
    /// By which the task is found without the token: `tenacron/<hex>`.
    pub started_by: String,
    /// What is asked for, with the `tenacron:*` tags and the `TENACRON_*` variables in it.
    pub task: TaskSpec,
}

impl LaunchRequest {
    /// The same for whoever looks, as [`TaskSpec::to_be_shown`] says.
    #[must_use]
    pub fn to_be_shown(&self) -> LaunchRequest {
        LaunchRequest { task: self.task.to_be_shown(), ..self.clone() }
    }
}

impl TaskSpec {
    /// The same for whoever looks: without the values of variables and the arguments of commands that the job sets, for
    /// passwords stand in them, and without what the role's trust policy asks for.
    #[must_use]
    pub fn to_be_shown(&self) -> TaskSpec {
        let mut shown = self.clone();
        for container in &mut shown.containers {
            container.command.iter_mut().flatten().for_each(|argument| LEFT_OUT.clone_into(argument));
            let names = container.environment.iter().map(|(name, value)| {
                let value = if name.starts_with(VARIABLE) { value.clone() } else { LEFT_OUT.to_owned() };
                (name.clone(), value)
            });
            container.environment = names.collect();
        }
        if shown.target.external_id.is_some() {
            let external_id = Some(LEFT_OUT.to_owned());
            shown.target = Arc::new(Target { external_id, ..(*shown.target).clone() });
        }
        shown
    }
}

/// A request with its history of sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The n-th distinct launch of the run, from 1.
    pub generation: u32,
    /// What is sent: frozen, so all who have it share it.
    pub request: Arc<LaunchRequest>,
    /// When it was first about to be sent.
    pub first_sent_at: DateTime<Utc>,
    /// True once an answer was ambiguous and until one is definite: a task may exist that we do not know.
    pub unresolved: bool,
}

impl Launch {
    /// Builds generation `generation` of a run's launch.
    pub fn freeze(run: &Run, generation: u32, now: DateTime<Utc>) -> Launch {
        let digest = identity(&run.instance, &run.id, generation);
        let mut task = run.definition.task.clone();
        let marks = [
            (JOB, run.job.to_string()),
            (RUN, run.id.to_string()),
            (SCHEDULED_AT, in_words(run.scheduled_at)),
            (GENERATION, generation.to_string()),
        ];
        if task.add_tags {
            task.tags.insert(INSTANCE_TAG.into(), run.instance.to_string());
        }
        for (mark, value) in marks {
            if task.add_tags {
                task.tags.insert(format!("{TAG}{}", mark.tag), value.clone());
            }
            if task.add_environment {
                for container in &mut task.containers {
                    container.environment.insert(format!("{VARIABLE}{}", mark.variable), value.clone());
                }
            }
        }
        Launch {
            generation,
            request: Arc::new(LaunchRequest { started_by: short(&digest), client_token: ClientToken(digest), task }),
            first_sent_at: now,
            unresolved: false,
        }
    }

    /// Whether sending it again surely starts nothing new. A first send that lies ahead means that the clock was set back
    /// since, so that nobody knows how old the token is.
    pub fn may_be_resent(&self, now: DateTime<Utc>) -> bool {
        now < self.first_sent_at + RESEND_WINDOW && self.first_sent_at - now <= CLOCK_CORRECTION
    }
}

/// The `startedBy` of a launch: nobody but the installation of that name computes it for that run.
pub(super) fn started_by(instance: &Instance, run: &RunId, generation: u32) -> String {
    short(&identity(instance, run, generation))
}

fn short(digest: &str) -> String {
    format!("{STARTED_BY}{}", digest.chars().take(16).collect::<String>())
}

/// 64 hex digits that name a launch; a run id holds the job and its instant.
fn identity(instance: &Instance, run: &RunId, generation: u32) -> String {
    let mut hash = Sha256::new();
    for part in [instance.as_str(), run.as_str(), &generation.to_string()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::job::{ContainerOverride, JobName};
    use crate::engine::run::{Firing, Trigger};
    use crate::engine::samples;

    #[test]
    fn what_is_shown_of_a_request_names_its_variables_and_holds_no_secret() {
        let mut definition = samples::definition();
        definition.task.containers = vec![ContainerOverride {
            name: "app".into(),
            command: Some(vec!["login".into(), "hunter2".into()]),
            environment: [("PASSWORD".to_owned(), "hunter2".to_owned())].into_iter().collect(),
            ..ContainerOverride::default()
        }];
        definition.task.target = Arc::new(Target { external_id: Some("hunter2".into()), ..Target::default() });
        let at = DateTime::from_timestamp(1_750_000_000, 0).unwrap();
        let firing = Firing::of_schedule(&JobName::new("nightly").unwrap(), at, Trigger::Schedule);
        let (run, _) = Run::due(firing, Instance::new("prod").unwrap(), Arc::new(definition), at);
        let request = Launch::freeze(&run, 1, at).request;
        let shown = request.to_be_shown();
        let text = serde_json::to_string(&shown).unwrap();
        assert!(!text.contains("hunter2") && text.contains("PASSWORD"), "{text}");
        let app = &shown.task.containers[0];
        assert_eq!(app.environment.get("TENACRON_JOB").map(String::as_str), Some("nightly"));
        assert_eq!(app.command.as_deref(), Some([LEFT_OUT, LEFT_OUT].map(str::to_owned).as_slice()));
        assert_eq!((&shown.client_token, &shown.task.tags), (&request.client_token, &request.task.tags));
    }
}
