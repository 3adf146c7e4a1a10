//! One poller per target and cluster: DescribeTasks for every followed task, a hundred at a time.
//!
//! A poller only looks and reports; a look that fails changes nothing about any run. It slows down while ECS throttles
//! and keeps a pause between calls, because the read quota is shared with the whole account.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::driver::Report;
use crate::ecs::{CallError, DESCRIBE_TASKS_MAX, Described, Ecs};
use crate::engine::job::Site;
use crate::engine::run::{Event, RunId};
use crate::engine::task::TaskArn;

/// The least pause between two calls of one sweep: two calls a second.
pub(super) const CALL_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between sweeps while ECS throttles.
pub(super) const THROTTLED_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// How soon a poller looks for the first time: a starting daemon must know what ended while it was away.
pub(super) const FIRST_SWEEP: Duration = Duration::from_millis(200);

/// Tells the pollers what to follow, and starts one when a cluster is first heard of.
#[derive(Debug)]
pub(super) struct Watcher<E> {
    ecs: E,
    poll_interval: Duration,
    reports: mpsc::Sender<Vec<Report>>,
    tracker: TaskTracker,
    stop: CancellationToken,
    sites: HashMap<Site, mpsc::UnboundedSender<Order>>,
}

#[derive(Debug)]
enum Order {
    Watch(TaskArn, RunId),
    Unwatch(TaskArn),
}

impl<E: Ecs> Watcher<E> {
    /// A watcher that polls each `poll_interval` and sends what it saw to `reports`.
    pub(super) fn new(
        ecs: E,
        poll_interval: Duration,
        reports: mpsc::Sender<Vec<Report>>,
        tracker: TaskTracker,
        stop: CancellationToken,
    ) -> Watcher<E> {
        Watcher { ecs, poll_interval, reports, tracker, stop, sites: HashMap::new() }
    }

    /// Follows a task for a run.
    pub(super) fn watch(&mut self, site: Site, task: TaskArn, run: RunId) {
        self.order(site, Order::Watch(task, run));
    }

    /// Follows a task no longer.
    pub(super) fn unwatch(&mut self, site: Site, task: TaskArn) {
        self.order(site, Order::Unwatch(task));
    }

    fn order(&mut self, site: Site, order: Order) {
        // Unbounded in type, bounded in fact: one order per transition of a run.
        let orders = self.sites.entry(site).or_insert_with_key(|site| {
            let (sender, orders) = mpsc::unbounded_channel();
            let poller = Poller {
                ecs: self.ecs.clone(),
                site: site.clone(),
                poll_interval: self.poll_interval,
                interval: self.poll_interval,
                reports: self.reports.clone(),
                followed: BTreeMap::new(),
            };
            let stop = self.stop.clone();
            self.tracker.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = poller.run(orders) => {}
                }
            });
            sender
        });
        if orders.send(order).is_err() {
            tracing::debug!("a poller has ended; the daemon is stopping");
        }
    }
}

struct Poller<E> {
    ecs: E,
    site: Site,
    poll_interval: Duration,
    /// The pause between sweeps now: longer than `poll_interval` while ECS throttles.
    interval: Duration,
    reports: mpsc::Sender<Vec<Report>>,
    followed: BTreeMap<TaskArn, RunId>,
}

impl<E: Ecs> Poller<E> {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut pause = FIRST_SWEEP;
        loop {
            let sweep_at = tokio::time::Instant::now() + pause;
            loop {
                let order = if self.followed.is_empty() {
                    orders.recv().await
                } else {
                    match tokio::time::timeout_at(sweep_at, orders.recv()).await {
                        Ok(order) => order,
                        Err(_) => break,
                    }
                };
                match order {
                    Some(Order::Watch(task, run)) => self.followed.insert(task, run),
                    Some(Order::Unwatch(task)) => self.followed.remove(&task),
                    None => return,
                };
            }
            if !self.sweep().await {
                return;
            }
            pause = self.interval;
        }
    }

    /// Looks at every followed task once. False if nobody listens any more.
    async fn sweep(&mut self) -> bool {
        let tasks: Vec<TaskArn> = self.followed.keys().cloned().collect();
        let mut throttled = false;
        for (nth, chunk) in tasks.chunks(DESCRIBE_TASKS_MAX).enumerate() {
            if nth > 0 {
                tokio::time::sleep(CALL_PAUSE).await;
            }
            match self.look(chunk).await {
                Ok(Ok(described)) => {
                    if self.reports.send(self.to_reports(described)).await.is_err() {
                        return false;
                    }
                }
                Ok(Err(error)) => {
                    throttled |= error.throttled;
                    tracing::warn!(cluster = %self.site, %error, "tasks could not be polled; their runs are unchanged");
                }
                Err(panic) => {
                    tracing::error!(cluster = %self.site, %panic, "a poll of tasks ended without an answer");
                }
            }
        }
        self.interval = if throttled {
            (self.interval * 2).min(THROTTLED_INTERVAL_MAX).max(self.poll_interval)
        } else {
            (self.interval / 2).max(self.poll_interval)
        };
        true
    }

    /// One call, in a task of its own: should it panic, the cluster must not go unwatched.
    async fn look(&self, tasks: &[TaskArn]) -> Result<Result<Described, CallError>, JoinError> {
        let (ecs, site, tasks) = (self.ecs.clone(), self.site.clone(), tasks.to_vec());
        tokio::spawn(async move { ecs.describe_tasks(&site, &tasks).await }).await
    }

    fn to_reports(&self, described: Described) -> Vec<Report> {
        let report = |task: &TaskArn, event: Event| {
            let run = self.followed.get(task)?.clone();
            Some(Report { run, event, answers_call: false })
        };
        let seen = described.facts.into_iter().filter_map(|facts| {
            let task = facts.task.clone();
            report(&task, Event::Observed(facts))
        });
        let seen: Vec<Report> = seen.collect();
        let missing = described.missing.into_iter().filter_map(|task| report(&task, Event::Missing(task.clone())));
        seen.into_iter().chain(missing).collect()
    }
}
