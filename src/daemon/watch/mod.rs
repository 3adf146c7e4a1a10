//! Following tasks in ECS: one poller for each site, under a call budget for each account and region.
//!
//! A look never changes a run but by what it saw; a look that fails changes nothing and is made again. `poller.rs` says
//! which tasks are looked at when, `often.rs` how often one is, `budget.rs` when a call may leave.

mod budget;
mod often;
mod poller;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::budget::Budget;
pub(super) use self::poller::Order;
use self::poller::Poller;
use super::act::{Pace, Report};
use super::events::Followed;
use crate::ecs::Ecs;
use crate::engine::job::Site;
use crate::engine::quota::{QuotaKey, quota_key};
use crate::engine::run::RunId;
use crate::engine::task::TaskArn;
use crate::observe::Metrics;

/// Tells the pollers what to follow, and starts one when a site is first heard of.
#[derive(Debug)]
pub(super) struct Watcher<E> {
    ecs: E,
    pace: Pace,
    reports: mpsc::Sender<Vec<Report>>,
    tracker: TaskTracker,
    stop: CancellationToken,
    followed: Followed,
    metrics: Metrics,
    sites: HashMap<Site, mpsc::UnboundedSender<Order>>,
    budgets: HashMap<QuotaKey, Arc<Budget>>,
}

impl<E: Ecs> Watcher<E> {
    /// A watcher whose pollers send what they saw to `reports`.
    pub(super) fn new(
        ecs: E,
        pace: Pace,
        reports: mpsc::Sender<Vec<Report>>,
        tracker: TaskTracker,
        stop: CancellationToken,
        metrics: Metrics,
    ) -> Watcher<E> {
        let followed = Followed::default();
        let (sites, budgets) = (HashMap::new(), HashMap::new());
        Watcher { ecs, pace, reports, tracker, stop, followed, metrics, sites, budgets }
    }

    /// The tasks that are followed, for those who hear of them.
    pub(super) fn followed(&self) -> Followed {
        self.followed.clone()
    }

    /// Follows a task for a run, or goes on following it otherwise: from `often_from` on it may stop at any moment.
    pub(super) fn watch(&mut self, site: Site, task: TaskArn, run: RunId, often_from: Option<DateTime<Utc>>) {
        let poller = self.poller(site);
        self.followed.add(task.clone(), poller.clone());
        send(&poller, Order::Watch { task, run, often_from });
    }

    /// Follows a task no longer.
    pub(super) fn unwatch(&mut self, site: Site, task: TaskArn) {
        self.followed.remove(&task);
        send(&self.poller(site), Order::Unwatch(task));
    }

    /// Polls at another pace from now on.
    pub(super) fn set_pace(&mut self, pace: Pace) {
        if pace == std::mem::replace(&mut self.pace, pace) {
            return;
        }
        self.budgets.values().for_each(|budget| budget.set_pace(pace));
        self.sites.values().for_each(|poller| send(poller, Order::Pace(pace.poll_interval)));
    }

    fn poller(&mut self, site: Site) -> mpsc::UnboundedSender<Order> {
        if let Some(poller) = self.sites.get(&site) {
            return poller.clone();
        }
        let poller = self.start_poller(&site);
        self.sites.insert(site, poller.clone());
        poller
    }

    fn start_poller(&mut self, site: &Site) -> mpsc::UnboundedSender<Order> {
        let (sender, orders) = mpsc::unbounded_channel();
        let budget = self.budgets.entry(quota_key(&site.target)).or_insert_with(|| Arc::new(Budget::new(self.pace)));
        let poll_interval = self.pace.poll_interval;
        let (budget, reports) = (Arc::clone(budget), self.reports.clone());
        let shared = (self.followed.clone(), self.metrics.clone());
        let poller = Poller::new(self.ecs.clone(), site.clone(), poll_interval, budget, reports, shared);
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = poller.run(orders) => {}
            }
        });
        sender
    }
}

/// Unbounded in type, bounded in fact: one order for each transition of a run, or of its task.
fn send(poller: &mpsc::UnboundedSender<Order>, order: Order) {
    if poller.send(order).is_err() {
        tracing::debug!("a poller has ended; the daemon is stopping");
    }
}
