//! Whether ECS answers, cluster by cluster, and the small question that an idle daemon asks to find out.
//!
//! Every call says it by the way (`counted.rs`). A cluster of which no call has been answered for a minute is asked for one
//! task's name, in the background: a daemon whose jobs run at night must know before the night that it can't reach ECS.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use super::clock;
use crate::ecs::Ecs;
use crate::engine::call_fault::CallFault;
use crate::engine::job::Site;

/// How often clusters are asked of which no call has been answered for so long.
const KNOCK_EACH: Duration = Duration::from_secs(60);
/// The pause after a question that was not answered.
const KNOCK_AGAIN: Duration = Duration::from_secs(5);
/// How old the newest answer may be while calls fail.
const ANSWERED_WITHIN: TimeDelta = TimeDelta::minutes(3);
/// How many clusters are asked at once.
const KNOCKS_MAX: usize = 16;

/// Whether ECS answers for one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteHealth {
    /// The target's name; none for the daemon's own account and region.
    pub target: Option<String>,
    /// Short name or ARN of the cluster.
    pub cluster: String,
    /// When it last answered; none if it has not yet.
    pub answered_at: Option<DateTime<Utc>>,
    /// Why the newest call got no answer, if it got none. A call that is throttled or refused is answered, but not one whose
    /// credentials are.
    pub error: Option<String>,
}

impl SiteHealth {
    /// Why it does not count as answering; none if it does.
    pub fn trouble(&self, now: DateTime<Utc>) -> Option<String> {
        let is_recent = self.answered_at.is_some_and(|at| now - at <= ANSWERED_WITHIN);
        let named = match &self.target {
            Some(target) => format!("cluster {} of target {target}", self.cluster),
            None => format!("cluster {}", self.cluster),
        };
        match (&self.error, self.answered_at) {
            (Some(error), _) if !is_recent => Some(format!("ECS does not answer for {named}: {error}")),
            (None, None) => Some(format!("ECS has not answered yet for {named}")),
            (Some(_), _) | (None, Some(_)) => None,
        }
    }
}

/// What is known of the clusters of the configuration; clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Reach(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    sites: Mutex<BTreeMap<Site, Contact>>,
    /// There is a cluster that nobody has asked.
    is_new: Notify,
}

#[derive(Debug, Clone, Default)]
struct Contact {
    answered_at: Option<DateTime<Utc>>,
    error: Option<String>,
    /// Whether people were told that it does not answer.
    is_told: bool,
}

impl Reach {
    /// These are the clusters from now on.
    pub(super) fn set(&self, sites: BTreeSet<Site>) {
        let mut known = self.sites();
        let mut former = std::mem::take(&mut *known);
        *known =
            sites.into_iter().map(|site| former.remove_entry(&site).unwrap_or((site, Contact::default()))).collect();
        if known.values().any(|contact| contact.answered_at.is_none()) {
            self.0.is_new.notify_one();
        }
    }

    /// A call came back. Of clusters that the configuration does not name nothing is kept.
    pub(super) fn note(&self, site: &Site, fault: Option<(CallFault, &str)>, now: DateTime<Utc>) {
        let mut known = self.sites();
        let Some(contact) = known.get_mut(site) else { return };
        match fault {
            Some((fault, said)) if !fault.is_answer() => contact.error = Some(said.to_owned()),
            Some(_) | None => (contact.answered_at, contact.error) = (Some(now), None),
        }
    }

    /// How it is with each cluster.
    pub(super) fn health(&self) -> Vec<SiteHealth> {
        self.sites().iter().map(|(site, contact)| contact.health(site)).collect()
    }

    /// Asks clusters that have been silent, at once and then each minute, or sooner while one does not answer, until the
    /// future is dropped.
    pub(super) async fn knock<E: Ecs>(self, ecs: E) {
        loop {
            self.ask_silent(&ecs).await;
            self.tell(clock::now());
            let fails = self.sites().values().any(|contact| contact.error.is_some());
            tokio::select! {
                () = tokio::time::sleep(if fails { KNOCK_AGAIN } else { KNOCK_EACH }) => {}
                () = self.0.is_new.notified() => {}
            }
        }
    }

    async fn ask_silent<E: Ecs>(&self, ecs: &E) {
        let slots = Arc::new(Semaphore::new(KNOCKS_MAX));
        let mut asked = JoinSet::new();
        for site in self.silent(clock::now()) {
            let (ecs, slots) = (ecs.clone(), Arc::clone(&slots));
            asked.spawn(async move {
                // The semaphore is never closed.
                let _slot = slots.acquire().await;
                ecs.knock(&site).await
            });
        }
        while let Some(ended) = asked.join_next().await {
            // What it answered was noted by the call itself.
            if let Err(panic) = ended {
                tracing::error!(%panic, "a question whether ECS answers was aborted");
            }
        }
    }

    /// Those of which no call has been answered for a while. A clock that was set back makes them all so, which costs a call.
    fn silent(&self, now: DateTime<Utc>) -> Vec<Site> {
        let is_silent = |contact: &Contact| {
            contact.answered_at.is_none_or(|at| (now - at).abs().to_std().is_ok_and(|age| age >= KNOCK_EACH))
        };
        self.sites().iter().filter(|(_, contact)| is_silent(contact)).map(|(site, _)| site.clone()).collect()
    }

    /// Writes one line when a cluster no longer answers, and one when it does again.
    fn tell(&self, now: DateTime<Utc>) {
        for (site, contact) in self.sites().iter_mut() {
            let trouble = contact.health(site).trouble(now);
            match (&contact.error, contact.is_told) {
                (Some(error), false) if trouble.is_some() => {
                    tracing::error!(cluster = %site, error, "ECS does not answer; the daemon is not ready");
                    contact.is_told = true;
                }
                (None, true) => {
                    tracing::info!(cluster = %site, "ECS answers again");
                    contact.is_told = false;
                }
                (Some(_), _) | (None, false) => {}
            }
        }
    }

    fn sites(&self) -> MutexGuard<'_, BTreeMap<Site, Contact>> {
        // Every change leaves the table whole, so a panic elsewhere in the daemon does not spoil it.
        self.0.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contact {
    fn health(&self, site: &Site) -> SiteHealth {
        SiteHealth {
            target: site.target.name.clone(),
            cluster: site.cluster.clone(),
            answered_at: self.answered_at,
            error: self.error.clone(),
        }
    }
}
