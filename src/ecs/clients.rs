//! One client for each target, made when it is first needed and shared by all clones of the adapter.
//!
//! A call names its target as it was frozen with the launch. The way there is the configuration's of today where that
//! knows the place, so a reload that changes an endpoint or an external id reaches what is in flight. The SDK's
//! configuration behind a client is to be had as well, for the clients of other services of the same target.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use aws_config::SdkConfig;
use aws_sdk_ecs::Client;

use super::connect::{self, Timeouts};
use crate::engine::job::Target;

/// The clients, and what they are made of.
#[derive(Debug)]
pub(super) struct Clients {
    /// The daemon's own region and endpoint.
    own: Target,
    shared: SdkConfig,
    session: String,
    timeouts: Timeouts,
    /// Every target is the one endpoint of `--local`.
    is_local: bool,
    known: RwLock<Known>,
}

#[derive(Debug)]
struct Known {
    configured: Arc<[Target]>,
    /// By target as it was asked for, and by the way there.
    made: HashMap<Target, Client>,
}

impl Clients {
    /// Clients that begin with what the own account's do.
    pub(super) fn new(shared: SdkConfig, own: Target, targets: Vec<Target>, session: String) -> Clients {
        let configured = in_full(targets, &own);
        Clients {
            own,
            shared,
            session,
            timeouts: Timeouts::default(),
            is_local: false,
            known: RwLock::new(Known { configured, made: HashMap::new() }),
        }
    }

    /// One client, whatever the target.
    pub(super) fn local(shared: SdkConfig, endpoint: &str, timeouts: Timeouts) -> Clients {
        let own = Target { endpoint: Some(endpoint.to_owned()), ..Target::default() };
        Clients { timeouts, is_local: true, ..Clients::new(shared, own, Vec::new(), String::new()) }
    }

    /// The daemon's own target.
    pub(super) fn own(&self) -> &Target {
        &self.own
    }

    /// Takes over `[targets]` as they are now. Answers with those that are new or have changed.
    pub(super) fn configure(&self, targets: Vec<Target>) -> Vec<Target> {
        let targets = in_full(targets, &self.own);
        let known = self.look(|known| Arc::clone(&known.configured));
        let new = targets.iter().filter(|target| !known.contains(target)).cloned().collect();
        if *known != *targets {
            self.change(|known| *known = Known { configured: targets, made: HashMap::new() });
        }
        new
    }

    /// The client of a target.
    pub(super) async fn of(&self, target: &Target) -> Client {
        let (made, configured) = self.look(|known| (known.made.get(target).cloned(), Arc::clone(&known.configured)));
        if let Some(made) = made {
            return made;
        }
        let way = self.way(target, &configured);
        let client = match self.look(|known| known.made.get(&way).cloned()) {
            Some(made) => made,
            None => {
                let shared = connect::shared_for(&self.shared, &way, &self.session, self.timeouts).await;
                Client::from_conf(connect::ecs(&shared, way.endpoint.as_deref(), self.timeouts))
            }
        };
        self.change(|known| {
            // The way of a configuration that was replaced meanwhile is good for this call only.
            if Arc::ptr_eq(&known.configured, &configured) {
                known.made.insert(way, client.clone());
                known.made.insert(target.clone(), client.clone());
            }
        });
        client
    }

    /// What the clients of other services begin with: the region and the credentials of a target, and no endpoint.
    pub(super) async fn shared(&self, target: &Target) -> SdkConfig {
        let configured = self.look(|known| Arc::clone(&known.configured));
        connect::shared_for(&self.shared, &self.way(target, &configured), &self.session, self.timeouts).await
    }

    /// What the clients of topics begin with: the daemon's own credentials, and an endpoint with `--local` alone.
    pub(super) fn of_topics(&self) -> SdkConfig {
        match &self.own.endpoint {
            Some(endpoint) if self.is_local => self.shared.clone().into_builder().endpoint_url(endpoint).build(),
            Some(_) | None => self.shared.clone(),
        }
    }

    /// Today's way to a target, which has a name no more.
    fn way(&self, target: &Target, configured: &[Target]) -> Target {
        if self.is_local {
            return self.own.clone();
        }
        let target = target.in_region(self.own.region.as_deref());
        let way = target.way(std::iter::once(&self.own).chain(configured));
        Target { name: None, ..way.clone() }
    }

    fn look<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        // Every change leaves the table whole, so a panic elsewhere in the daemon does not spoil it.
        look(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// With a region each: targets are told apart by it.
fn in_full(targets: Vec<Target>, own: &Target) -> Arc<[Target]> {
    targets.iter().map(|target| target.in_region(own.region.as_deref())).collect()
}
