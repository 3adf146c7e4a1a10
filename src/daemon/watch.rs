//! One poller per target and cluster: DescribeTasks for every followed task, a hundred at a time.
//!
//! A poller only looks and reports; a look that fails changes nothing about any run. It slows down while ECS throttles
//! and keeps a pause between calls, because the read quota is shared with the whole account.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::driver::Report;
use super::events::Followed;
use crate::ecs::{CallError, DESCRIBE_TASKS_MAX, Described, Ecs, TaskEvent};
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
    followed: Followed,
    sites: HashMap<Site, mpsc::UnboundedSender<Order>>,
}

#[derive(Debug)]
pub(super) enum Order {
    Watch(TaskArn, RunId),
    Unwatch(TaskArn),
    /// The task has changed: look at it now.
    Look(Box<TaskEvent>),
}

impl<E: Ecs> Watcher<E> {
    /// A watcher that polls each `poll_interval` and sends what it saw to `reports`.
    pub(super) fn new(
        ecs: E,
        poll_interval: Duration,
        reports: mpsc::Sender<Vec<Report>>,
        tracker: TaskTracker,
        stop: CancellationToken,
        followed: Followed,
    ) -> Watcher<E> {
        Watcher { ecs, poll_interval, reports, tracker, stop, followed, sites: HashMap::new() }
    }

    /// Follows a task for a run.
    pub(super) fn watch(&mut self, site: Site, task: TaskArn, run: RunId) {
        let poller = self.poller(site);
        self.followed.add(task.clone(), poller.clone());
        send(&poller, Order::Watch(task, run));
    }

    /// Follows a task no longer.
    pub(super) fn unwatch(&mut self, site: Site, task: TaskArn) {
        self.followed.remove(&task);
        send(&self.poller(site), Order::Unwatch(task));
    }

    fn poller(&mut self, site: Site) -> mpsc::UnboundedSender<Order> {
        let poller = self.sites.entry(site).or_insert_with_key(|site| {
            let (sender, orders) = mpsc::unbounded_channel();
            let poller = Poller {
                ecs: self.ecs.clone(),
                site: site.clone(),
                poll_interval: self.poll_interval,
                interval: self.poll_interval,
                reports: self.reports.clone(),
                all: self.followed.clone(),
                followed: BTreeMap::new(),
                changed: BTreeSet::new(),
                look_at: None,
                ended: HashMap::new(),
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
        poller.clone()
    }
}

/// Unbounded in type, bounded in fact: one order per transition of a run or of its task.
fn send(poller: &mpsc::UnboundedSender<Order>, order: Order) {
    if poller.send(order).is_err() {
        tracing::debug!("a poller has ended; the daemon is stopping");
    }
}

struct Poller<E> {
    ecs: E,
    site: Site,
    poll_interval: Duration,
    /// The pause between sweeps now: longer than `poll_interval` while ECS throttles.
    interval: Duration,
    reports: mpsc::Sender<Vec<Report>>,
    all: Followed,
    followed: BTreeMap<TaskArn, RunId>,
    /// Tasks to be looked at before the next sweep, and when: some changes come together.
    changed: BTreeSet<TaskArn>,
    look_at: Option<Instant>,
    /// What an event said of a task that has stopped, for the case that ECS forgets it.
    ended: HashMap<TaskArn, TaskEvent>,
}

impl<E: Ecs> Poller<E> {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut sweep_at = Instant::now() + FIRST_SWEEP;
        loop {
            loop {
                let turn_at = self.look_at.map_or(sweep_at, |look_at| look_at.min(sweep_at));
                let order = if self.followed.is_empty() {
                    orders.recv().await
                } else {
                    match tokio::time::timeout_at(turn_at, orders.recv()).await {
                        Ok(order) => order,
                        Err(_) => break,
                    }
                };
                let Some(order) = order else { return };
                self.obey(order);
            }
            let is_sweep = Instant::now() >= sweep_at;
            let changed = std::mem::take(&mut self.changed).into_iter();
            let tasks = if is_sweep { self.followed.keys().cloned().collect() } else { changed.collect() };
            self.look_at = None;
            if !self.sweep(tasks).await {
                return;
            }
            if is_sweep {
                sweep_at = Instant::now() + self.interval;
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Watch(task, run) => drop(self.followed.insert(task, run)),
            Order::Unwatch(task) => {
                self.followed.remove(&task);
                self.changed.remove(&task);
                self.ended.remove(&task);
            }
            Order::Look(event) => {
                let task = event.facts.task.clone();
                if !self.followed.contains_key(&task) {
                    return;
                }
                if event.facts.is_stopped() {
                    self.ended.insert(task.clone(), *event);
                }
                self.changed.insert(task);
                self.look_at.get_or_insert(Instant::now() + CALL_PAUSE);
            }
        }
    }

    /// Looks at each of these tasks once. False if nobody listens any more.
    async fn sweep(&mut self, tasks: Vec<TaskArn>) -> bool {
        let mut throttled = false;
        for (nth, chunk) in tasks.chunks(DESCRIBE_TASKS_MAX).enumerate() {
            if nth > 0 {
                tokio::time::sleep(CALL_PAUSE).await;
            }
            match self.look(chunk).await {
                Ok(Ok(described)) => {
                    let reports = self.to_reports(described).await;
                    if self.reports.send(reports).await.is_err() {
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

    async fn to_reports(&self, described: Described) -> Vec<Report> {
        let mut events: Vec<(TaskArn, Event)> =
            described.facts.into_iter().map(|facts| (facts.task.clone(), Event::Observed(facts))).collect();
        for task in described.missing {
            if let Some(event) = self.of_missing(&task).await {
                events.push((task, event));
            }
        }
        let report = |(task, event): (TaskArn, Event)| {
            let run = self.followed.get(&task)?.clone();
            Some(Report { run, event, answers_call: false })
        };
        events.into_iter().filter_map(report).collect()
    }

    /// What there is to report of a task that ECS does not show: its end, if an event told it; nothing, while an event may.
    async fn of_missing(&self, task: &TaskArn) -> Option<Event> {
        match self.ended.get(task) {
            Some(ended) => {
                let (ecs, site, ended) = (self.ecs.clone(), self.site.clone(), ended.clone());
                let facts = tokio::spawn(async move { ecs.with_flags(&site, ended).await }).await;
                Some(Event::Observed(facts.ok().flatten()?))
            }
            None => self.all.is_read().then(|| Event::Missing(task.clone())),
        }
    }
}
