//! Which containers of a task are essential, and where they write their logs.
//!
//! DescribeTasks does not say it, the task definition does, and a revision never changes once it is registered: so one
//! DescribeTaskDefinition per revision is enough, kept in a bounded table that all clones of the adapter share. It is
//! asked for stopped tasks only, whose outcome depends on it.
//!
//! A task stops once and is judged once, so "could not be read" has two meanings that must not be mixed up. If ECS refuses
//! for good, above all for want of the permission, the flags are unknown and the outcome is judged without them. If the
//! call failed in passing, the caller must leave the task out of its answer, and so be asked about it again.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::TaskDefinition;

use super::answer::Unfulfilled;
use super::logs;
use crate::engine::inventory::Destination;

/// How many task definitions are remembered; the oldest goes first.
const REMEMBERED_MAX: usize = 1024;
/// How many stopped tasks go unjudged by a refusal before the definition is asked for again.
const REFUSAL_USES: u32 = 100;

/// Codes that speak of our credentials, not of the permission: the next call may carry fresh ones.
pub(super) const CREDENTIAL_CODES: [&str; 5] = [
    "ExpiredTokenException",
    "ExpiredToken",
    "RequestExpired",
    "UnrecognizedClientException",
    "InvalidSignatureException",
];

/// What a task definition says of its containers, by their names.
pub(super) type Containers = HashMap<String, Container>;

/// What a task definition says of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) essential: bool,
    pub(super) logs: Destination,
}

/// What is known of a task definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Essentials {
    /// Its containers.
    Known(Containers),
    /// ECS will not tell.
    Untold,
    /// The call failed in passing.
    AskAgain {
        /// Whether a further call would fare no better now.
        pause: bool,
    },
}

impl Essentials {
    /// Whether a container is essential. One that the definition does not name was put beside them by AWS, as the agent of
    /// GuardDuty Runtime Monitoring is; it does not decide how the task ended.
    pub(super) fn flag(&self, container: &str) -> Option<bool> {
        match self {
            Essentials::Known(known) => Some(known.get(container).is_some_and(|container| container.essential)),
            Essentials::Untold | Essentials::AskAgain { .. } => None,
        }
    }
}

/// The shared table.
#[derive(Debug, Default)]
pub(super) struct EssentialTable {
    entries: Mutex<Entries>,
    warned: AtomicBool,
    /// That a call failed in passing was told, and none has been answered since.
    waits: AtomicBool,
}

impl EssentialTable {
    /// The flags of a task definition, from the table or, unless `paused`, from ECS.
    pub(super) async fn of(&self, client: &Client, task_definition: &str, paused: bool) -> Essentials {
        if let Some(known) = self.entries().recall(task_definition) {
            return known;
        }
        if paused {
            return Essentials::AskAgain { pause: true };
        }
        let found = match ask(client, task_definition).await {
            Ok(Some(containers)) => {
                self.waits.store(false, Ordering::Relaxed);
                Essentials::Known(containers)
            }
            Ok(None) => Essentials::Untold,
            Err(unfulfilled) => self.not_found(&unfulfilled, task_definition),
        };
        if !matches!(found, Essentials::AskAgain { .. }) {
            self.entries().keep(task_definition, found.clone());
        }
        found
    }

    /// Where the containers of a task definition write. A name that is no ARN means another definition elsewhere, and
    /// tomorrow, so it is asked for each time.
    ///
    /// # Errors
    /// Why it is not known, for a person.
    pub(super) async fn destinations(
        &self,
        client: &Client,
        task_definition: &str,
    ) -> Result<HashMap<String, Destination>, String> {
        let known = if task_definition.starts_with("arn:") {
            match self.of(client, task_definition, false).await {
                Essentials::Known(known) => Some(known),
                Essentials::Untold | Essentials::AskAgain { .. } => None,
            }
        } else {
            ask(client, task_definition).await.map_err(|unfulfilled| unfulfilled.text("DescribeTaskDefinition"))?
        };
        let known = known.ok_or("its task definition could not be read")?;
        Ok(known.into_iter().map(|(name, container)| (name, container.logs)).collect())
    }

    fn not_found(&self, unfulfilled: &Unfulfilled, task_definition: &str) -> Essentials {
        let in_passing = match unfulfilled {
            Unfulfilled::Refused { code, status, .. } => {
                let code = code.as_deref().unwrap_or_default();
                *status >= 500 || unfulfilled.is_throttled() || CREDENTIAL_CODES.contains(&code)
            }
            Unfulfilled::NoAnswer { .. } => true,
        };
        if in_passing {
            let pause = unfulfilled.is_throttled() || matches!(unfulfilled, Unfulfilled::NoAnswer { .. });
            if !self.waits.swap(true, Ordering::Relaxed) {
                let error = unfulfilled.text("DescribeTaskDefinition");
                tracing::warn!(
                    task_definition,
                    error,
                    "essential flags could not be read; ends that depend on them wait"
                );
            }
            return Essentials::AskAgain { pause };
        }
        if !self.warned.swap(true, Ordering::Relaxed) {
            let error = unfulfilled.text("DescribeTaskDefinition");
            tracing::warn!(
                task_definition,
                error,
                "essential flags unknown, so every container decides; ecs:DescribeTaskDefinition must be allowed"
            );
        }
        Essentials::Untold
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Every change leaves the table whole, so a panic elsewhere in the daemon does not spoil it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(client: &Client, task_definition: &str) -> Result<Option<Containers>, Unfulfilled> {
    let asked = client.describe_task_definition().task_definition(task_definition).send().await;
    let output = asked.map_err(|error| Unfulfilled::of(&error))?;
    Ok(output.task_definition().map(containers))
}

/// A container is essential unless its definition says otherwise.
/// Source: Amazon ECS API reference, ContainerDefinition, `essential`.
fn containers(definition: &TaskDefinition) -> Containers {
    let named = definition.container_definitions().iter();
    let known = named.filter_map(|container| {
        let logs = logs::destination(container.log_configuration());
        Some((container.name()?.to_owned(), Container { essential: container.essential().unwrap_or(true), logs }))
    });
    known.collect()
}

#[derive(Debug, Default)]
struct Entries {
    known: HashMap<String, (Essentials, u32)>,
    by_age: VecDeque<String>,
}

impl Entries {
    /// Counting uses rather than minutes keeps a clock out of here.
    fn recall(&mut self, task_definition: &str) -> Option<Essentials> {
        let (essentials, uses_left) = self.known.get_mut(task_definition)?;
        if *essentials == Essentials::Untold {
            *uses_left = uses_left.checked_sub(1)?;
        }
        Some(essentials.clone())
    }

    fn keep(&mut self, task_definition: &str, essentials: Essentials) {
        if self.known.insert(task_definition.to_owned(), (essentials, REFUSAL_USES)).is_none() {
            self.by_age.push_back(task_definition.to_owned());
        }
        if self.by_age.len() > REMEMBERED_MAX
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_forgets_the_oldest_beyond_its_limit() {
        let mut entries = Entries::default();
        for n in 0..=REMEMBERED_MAX {
            entries.keep(&n.to_string(), Essentials::Known(Containers::new()));
        }
        assert_eq!(entries.recall("0"), None);
        assert_eq!(entries.recall("1"), Some(Essentials::Known(Containers::new())));
        assert_eq!((entries.known.len(), entries.by_age.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
    }

    #[test]
    fn refusal_is_remembered_for_a_number_of_uses() {
        let mut entries = Entries::default();
        for _round in 0..2 {
            entries.keep("job:1", Essentials::Untold);
            let uses = std::iter::from_fn(|| entries.recall("job:1")).count();
            assert_eq!(uses, usize::try_from(REFUSAL_USES).unwrap());
        }
        assert_eq!(entries.by_age.len(), 1);
    }
}
