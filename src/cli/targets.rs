//! Where the jobs of a configuration run, said in full before the daemon takes them, and whether it can be reached.
//!
//! A target without a region means the daemon's own, which the SDK's chain finds at start. It is written into each job, and
//! so into what is frozen with each launch: a daemon that starts again in another region, or with another endpoint, follows
//! what is in flight where it was launched. Nothing is written for `--local`, where every target is the one endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::exit::{Exit, Failed};
use crate::config::Config;
use crate::ecs::{self, AwsEcs, EventQueue};
use crate::engine::job::Target;
use crate::observe;

/// Writes the daemon's own region and endpoint into the jobs that say none.
pub(super) fn settle(config: &mut Config, own: &Target) {
    let mut settled: BTreeMap<Target, Arc<Target>> = BTreeMap::new();
    for job in config.jobs.values_mut() {
        let task = &mut Arc::make_mut(&mut Arc::make_mut(job).definition).task;
        let full = settled.entry((*task.target).clone()).or_insert_with_key(|target| {
            let is_own = target.name.is_none();
            Arc::new(if is_own { own.clone() } else { target.in_region(own.region.as_deref()) })
        });
        task.target = Arc::clone(full);
    }
}

/// The targets of a configuration.
pub(super) fn of(config: &Config) -> Vec<Target> {
    config.targets.values().map(|target| (**target).clone()).collect()
}

/// What calls ECS at all of them, with credentials that were found.
pub(super) async fn connect(config: &Config) -> Result<AwsEcs, Failed> {
    let settings = ecs::Settings {
        instance: config.instance.clone(),
        region: config.ecs.region.clone(),
        endpoint: config.ecs.endpoint.clone(),
        targets: of(config),
    };
    let connected = Box::pin(AwsEcs::connect(&settings)).await;
    connected.map_err(|error| Failed::new(Exit::Unavailable, observe::chain(&error)))
}

/// Assumes the roles of these targets once, each in a task of its own, and says which could not be. Nobody waits for it:
/// the jobs of the others run, and those of such a target fail under ECS's name for it and are retried by their policy.
pub(super) fn check(ecs: &AwsEcs, targets: Vec<Target>) {
    for target in targets.into_iter().filter(|target| target.role_arn.is_some()) {
        let ecs = ecs.clone();
        tokio::spawn(async move {
            let Err(error) = ecs.check_target(&target).await else { return };
            let Target { name, region, role_arn, .. } = target.in_region(ecs.own().region.as_deref());
            tracing::error!(
                target = name,
                region,
                role_arn,
                error = observe::chain(&error),
                "target can't be reached; its jobs fail until it can"
            );
        });
    }
}

/// The queues of task events: the daemon's own and those of its targets, each called as its target is.
pub(super) async fn event_queues(config: &Config, ecs: &AwsEcs) -> Vec<EventQueue> {
    let mut queues = Vec::new();
    if let Some(url) = &config.ecs.events_queue {
        queues.push(ecs.event_queue(ecs.own(), url).await);
    }
    for (name, url) in &config.target_queues {
        if let Some(target) = config.targets.get(name) {
            queues.push(ecs.event_queue(target, url).await);
        }
    }
    queues
}
