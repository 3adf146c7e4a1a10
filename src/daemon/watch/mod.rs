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
use self::poller::{Order, Poller};
use super::act::{Pace, Report};
use crate::ecs::Ecs;
use crate::engine::job::Site;
use crate::engine::quota::{QuotaKey, quota_key};
use crate::engine::run::RunId;
use crate::engine::task::TaskArn;

/// Tells the pollers what to follow, and starts one when a site is first heard of.
#[derive(Debug)]
pub(super) struct Watcher<E> {
    ecs: E,
    pace: Pace,
    reports: mpsc::Sender<Vec<Report>>,
    tracker: TaskTracker,
    stop: CancellationToken,
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
    ) -> Watcher<E> {
        Watcher { ecs, pace, reports, tracker, stop, sites: HashMap::new(), budgets: HashMap::new() }
    }

    /// Follows a task for a run, or goes on following it otherwise: from `often_from` on it may stop at any moment.
    pub(super) fn watch(&mut self, site: Site, task: TaskArn, run: RunId, often_from: Option<DateTime<Utc>>) {
        self.order(site, Order::Watch { task, run, often_from });
    }

    /// Follows a task no longer.
    pub(super) fn unwatch(&mut self, site: Site, task: TaskArn) {
        self.order(site, Order::Unwatch(task));
    }

    /// Polls at another pace from now on.
    pub(super) fn set_pace(&mut self, pace: Pace) {
        if pace == std::mem::replace(&mut self.pace, pace) {
            return;
        }
        self.budgets.values().for_each(|budget| budget.set_pace(pace));
        let sites: Vec<Site> = self.sites.keys().cloned().collect();
        sites.into_iter().for_each(|site| self.order(site, Order::Pace(pace.poll_interval)));
    }

    fn order(&mut self, site: Site, order: Order) {
        if !self.sites.contains_key(&site) {
            let orders = self.start_poller(&site);
            self.sites.insert(site.clone(), orders);
        }
        // Unbounded in type, bounded in fact: one order per transition of a run.
        if self.sites.get(&site).is_some_and(|orders| orders.send(order).is_err()) {
            tracing::debug!("a poller has ended; the daemon is stopping");
        }
    }

    fn start_poller(&mut self, site: &Site) -> mpsc::UnboundedSender<Order> {
        let (sender, orders) = mpsc::unbounded_channel();
        let budget = self.budgets.entry(quota_key(&site.target)).or_insert_with(|| Arc::new(Budget::new(self.pace)));
        let poll_interval = self.pace.poll_interval;
        let poller =
            Poller::new(self.ecs.clone(), site.clone(), poll_interval, Arc::clone(budget), self.reports.clone());
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
