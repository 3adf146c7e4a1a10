//! Asks ECS whether clusters and task definitions exist, for `tenacron validate --online` and `tenacron iam-policy --online`.
//!
//! Each thing is asked for once, a few calls a second at each target, since the account's other users share its quota.
//! Nothing here is an error: what can't be had is an answer that says why. A target that is silent, or that refuses for a
//! reason which no further call would change, is not asked again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::TaskDefinition;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::{Interval, MissedTickBehavior};

use super::answer::Unfulfilled;
use super::essential::CREDENTIAL_CODES;
use super::{AwsEcs, logs};
use crate::engine::inventory::{Answer, DefinedContainer, DefinitionFacts, Inventory, Questions};
use crate::engine::job::Target;

/// How many targets are asked at once.
const TARGETS_AT_ONCE: usize = 8;
/// How many calls are under way at each of them.
const CALLS_AT_ONCE: usize = 4;
/// How often a call that is throttled is made.
const TRIES: u32 = 4;
/// After how many calls without an answer a target is left alone.
const SILENCES_MAX: u32 = 3;

/// How fast a target is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Between two calls. ECS allows 20 a second. Source: "Request throttling for the Amazon ECS API".
    pub(super) spacing: Duration,
    /// After the first throttle; it doubles with each further one.
    pub(super) throttled: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { spacing: Duration::from_millis(200), throttled: Duration::from_secs(1) }
    }
}

impl AwsEcs {
    /// Asks ECS all of this.
    pub async fn inventory(&self, questions: Questions) -> Inventory {
        self.inventory_at(questions, Pace::default()).await
    }

    pub(super) async fn inventory_at(&self, questions: Questions, pace: Pace) -> Inventory {
        let mut by_target: BTreeMap<Arc<Target>, Questions> = BTreeMap::new();
        for cluster in questions.clusters {
            by_target.entry(Arc::clone(&cluster.target)).or_default().clusters.insert(cluster);
        }
        for definition in questions.definitions {
            by_target.entry(Arc::clone(&definition.target)).or_default().definitions.insert(definition);
        }
        let asked = by_target.into_iter().map(|(target, questions)| Box::pin(self.at(target, questions, pace)));
        let answers: Vec<Inventory> = stream::iter(asked).buffer_unordered(TARGETS_AT_ONCE).collect().await;
        let mut all = Inventory::default();
        for Inventory { clusters, definitions } in answers {
            all.clusters.extend(clusters);
            all.definitions.extend(definitions);
        }
        all
    }

    /// Asks at one target.
    async fn at(&self, target: Arc<Target>, questions: Questions, pace: Pace) -> Inventory {
        let refused = match target.role_arn {
            Some(_) => self.check_target(&target).await.err().map(|error| error.to_string()),
            None => None,
        };
        let client = self.client(&target).await;
        let asker = Asker::new(client, pace, refused);
        let clusters = questions.clusters.into_iter().map(async |named| {
            let answer = asker.cluster(&named.name).await;
            (named, answer)
        });
        let clusters = stream::iter(clusters).buffer_unordered(CALLS_AT_ONCE).collect::<Vec<_>>().await;
        let definitions = questions.definitions.into_iter().map(async |named| {
            let answer = asker.definition(&named.name).await;
            (named, answer)
        });
        let definitions = stream::iter(definitions).buffer_unordered(CALLS_AT_ONCE).collect::<Vec<_>>().await;
        Inventory { clusters: clusters.into_iter().collect(), definitions: definitions.into_iter().collect() }
    }
}

/// What asks one target.
struct Asker {
    client: Client,
    turns: tokio::sync::Mutex<Interval>,
    throttled: Duration,
    left: Mutex<Left>,
}

/// What was given up at a target.
#[derive(Debug, Default)]
struct Left {
    silences: u32,
    /// Why nothing is asked any more.
    all: Option<String>,
    /// Why no task definition is asked for any more.
    definitions: Option<String>,
}

impl Asker {
    fn new(client: Client, pace: Pace, refused: Option<String>) -> Asker {
        let mut turns = tokio::time::interval(pace.spacing);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let left = Mutex::new(Left { all: refused, ..Left::default() });
        Asker { client, turns: tokio::sync::Mutex::new(turns), throttled: pace.throttled, left }
    }

    async fn cluster(&self, name: &str) -> Answer<String> {
        let call = || async {
            let asked = self.client.describe_clusters().clusters(name).send().await;
            asked.map_err(|error| Unfulfilled::of(&error))
        };
        match self.ask("DescribeClusters", |left| left.all.clone(), call).await {
            Err(Failure::Refused(_, why) | Failure::Unasked(why)) => Answer::Unknown(why),
            Ok(output) => match (output.clusters(), output.failures()) {
                ([cluster, ..], _) => Answer::Found(cluster.status().unwrap_or_default().to_owned()),
                // Source: Amazon ECS developer guide, "API failure reasons".
                ([], failures) if failures.iter().any(|failure| failure.reason() == Some("MISSING")) => Answer::Missing,
                ([], failures) => {
                    let reason = failures.first().and_then(|failure| failure.reason()).unwrap_or("nothing was said");
                    Answer::Unknown(format!("DescribeClusters failed: {reason}"))
                }
            },
        }
    }

    async fn definition(&self, name: &str) -> Answer<DefinitionFacts> {
        let call = || async {
            let asked = self.client.describe_task_definition().task_definition(name).send().await;
            asked.map_err(|error| Unfulfilled::of(&error))
        };
        let given_up = |left: &Left| left.all.clone().or_else(|| left.definitions.clone());
        match self.ask("DescribeTaskDefinition", given_up, call).await {
            Ok(output) => match output.task_definition() {
                Some(definition) => Answer::Found(facts(definition)),
                None => Answer::Unknown("DescribeTaskDefinition answered without one".to_owned()),
            },
            Err(Failure::Refused(Unfulfilled::Refused { code, message, .. }, why)) => {
                if code.as_deref() == Some("ClientException") && message.starts_with("Unable to describe") {
                    return Answer::Missing;
                }
                // The permission is for all of them or for none.
                if code.as_deref() == Some("AccessDeniedException") {
                    self.left(|left| left.definitions = Some(why.clone()));
                }
                Answer::Unknown(why)
            }
            Err(Failure::Refused(Unfulfilled::NoAnswer { .. }, why) | Failure::Unasked(why)) => Answer::Unknown(why),
        }
    }

    /// Makes a call in its turn, more than once if it is throttled.
    async fn ask<T>(
        &self,
        operation: &str,
        given_up: impl Fn(&Left) -> Option<String>,
        call: impl AsyncFn() -> Result<T, Unfulfilled>,
    ) -> Result<T, Failure> {
        let mut pause = self.throttled;
        let mut tries = 1;
        loop {
            self.turns.lock().await.tick().await;
            if let Some(why) = self.left(|left| given_up(left)) {
                return Err(Failure::Unasked(why));
            }
            let unfulfilled = match Box::pin(call()).await {
                Ok(output) => return Ok(output),
                Err(unfulfilled) => unfulfilled,
            };
            if unfulfilled.is_throttled() && tries < TRIES {
                tries += 1;
                tokio::time::sleep(pause).await;
                pause *= 2;
                continue;
            }
            let why = unfulfilled.text(operation);
            self.left(|left| left.note(&unfulfilled, &why));
            return Err(Failure::Refused(unfulfilled, why));
        }
    }

    fn left<T>(&self, with: impl FnOnce(&mut Left) -> T) -> T {
        // Every change leaves it whole.
        with(&mut self.left.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Left {
    /// Gives the target up if no further call would fare better.
    fn note(&mut self, unfulfilled: &Unfulfilled, why: &str) {
        let is_hopeless = match unfulfilled {
            Unfulfilled::Refused { code, .. } => CREDENTIAL_CODES.contains(&code.as_deref().unwrap_or_default()),
            Unfulfilled::NoAnswer { .. } => {
                self.silences += 1;
                self.silences >= SILENCES_MAX
            }
        };
        if is_hopeless && self.all.is_none() {
            self.all = Some(why.to_owned());
        }
    }
}

/// Why a call brought nothing, with a word for a person.
enum Failure {
    /// It was made.
    Refused(Unfulfilled, String),
    /// It was not.
    Unasked(String),
}

fn facts(definition: &TaskDefinition) -> DefinitionFacts {
    let text = |text: Option<&str>| text.map(str::to_owned);
    let containers = definition.container_definitions().iter().map(|container| DefinedContainer {
        name: container.name().unwrap_or_default().to_owned(),
        logs: logs::destination(container.log_configuration()),
    });
    DefinitionFacts {
        arn: definition.task_definition_arn().unwrap_or_default().to_owned(),
        status: definition.status().map_or("", |status| status.as_str()).to_owned(),
        containers: containers.collect(),
        compatibilities: definition.compatibilities().iter().map(|kind| kind.as_str().to_owned()).collect(),
        network_mode: definition.network_mode().map(|mode| mode.as_str().to_owned()),
        cpu: text(definition.cpu()),
        memory: text(definition.memory()),
        task_role: text(definition.task_role_arn()),
        execution_role: text(definition.execution_role_arn()),
    }
}
