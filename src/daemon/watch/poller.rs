//! The poller of one site: DescribeTasks for every followed task, up to a hundred at a time.
//!
//! Each task is due at an instant of its own. A call costs the same for one task as for a hundred, so it takes those that
//! are due first, due or not: a site of a hundred tasks is looked at as a whole whenever one of them is due, and thousands
//! take turns in the fewest calls. A look that is throttled or fails is made again; the runs do not notice.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio::time::Instant;

use super::budget::Budget;
use super::often::next_look_in;
use crate::daemon::clock;
use crate::daemon::driver::Report;
use crate::daemon::events::Followed;
use crate::ecs::{CallError, DESCRIBE_TASKS_MAX, Described, Ecs, TaskEvent};
use crate::engine::job::Site;
use crate::engine::run::{Event, RunId};
use crate::engine::task::{TaskArn, TaskFacts};
use crate::observe::Metrics;

/// How soon a poller looks for the first time: a starting daemon must know what ended while it was away.
pub(super) const FIRST_LOOK: Duration = Duration::from_millis(200);

/// What a poller is told.
#[derive(Debug)]
pub(in crate::daemon) enum Order {
    /// Follow a task, or follow it otherwise.
    Watch { task: TaskArn, run: RunId, often_from: Option<DateTime<Utc>> },
    /// Follow it no longer.
    Unwatch(TaskArn),
    /// It has changed: look at it now.
    Look(Box<TaskEvent>),
    /// Look so often from now on.
    Pace(Duration),
}

#[derive(Debug)]
struct Known {
    run: RunId,
    /// When to look next.
    due_at: Instant,
    /// When it was last looked at, or began to be followed.
    looked_at: Instant,
    /// From when on it may stop at any moment.
    often_from: Option<DateTime<Utc>>,
    /// What an event said of its end, for the case that ECS forgets it.
    ended: Option<Box<TaskEvent>>,
}

/// Looks that fail, from the first failure until every task has been looked at since its last one.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    failed_calls: u32,
    /// Whose last look failed.
    unseen: HashSet<TaskArn>,
}

/// See the module.
pub(super) struct Poller<E> {
    ecs: E,
    site: Site,
    poll_interval: Duration,
    budget: Arc<Budget>,
    reports: mpsc::Sender<Vec<Report>>,
    /// By all pollers.
    all: Followed,
    metrics: Metrics,
    first_look_at: Instant,
    followed: HashMap<TaskArn, Known>,
    /// The same tasks, by when they are due.
    due: BTreeSet<(Instant, TaskArn)>,
    trouble: Option<Trouble>,
}

impl<E: Ecs> Poller<E> {
    pub(super) fn new(
        ecs: E,
        site: Site,
        poll_interval: Duration,
        budget: Arc<Budget>,
        reports: mpsc::Sender<Vec<Report>>,
        (all, metrics): (Followed, Metrics),
    ) -> Poller<E> {
        let (followed, due, first_look_at) = (HashMap::new(), BTreeSet::new(), Instant::now() + FIRST_LOOK);
        Poller { ecs, site, poll_interval, budget, reports, all, metrics, first_look_at, followed, due, trouble: None }
    }

    /// Polls until nobody gives orders or listens any more.
    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            let order = match self.due.first() {
                None => Ok(orders.recv().await),
                Some((due_at, _)) => tokio::time::timeout_at(*due_at, orders.recv()).await,
            };
            match order {
                Ok(Some(order)) => self.take(order),
                Ok(None) => return,
                Err(_elapsed) => {
                    self.budget.turn().await;
                    while let Ok(order) = orders.try_recv() {
                        self.take(order);
                    }
                    if !self.look().await {
                        return;
                    }
                }
            }
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Watch { task, run, often_from } => {
                let now = Instant::now();
                let usual = if now < self.first_look_at { self.first_look_at } else { now + self.poll_interval };
                // One that is known is not put off, and one that may stop from now on is not left alone as long as before.
                let due_at = self.followed.get(&task).map_or(usual, |known| known.due_at.min(usual));
                let known = self.followed.remove(&task);
                if let Some(known) = &known {
                    self.due.remove(&(known.due_at, task.clone()));
                }
                let looked_at = known.as_ref().map_or(now, |known| known.looked_at);
                let ended = known.and_then(|known| known.ended);
                self.followed.insert(task.clone(), Known { run, due_at, looked_at, often_from, ended });
                self.due.insert((due_at, task));
            }
            Order::Look(event) => {
                let (task, now) = (event.facts.task.clone(), Instant::now());
                let Some(known) = self.followed.get_mut(&task) else { return };
                let due_at = known.due_at.min(now);
                if event.facts.is_stopped() {
                    known.ended = Some(event);
                }
                self.set_due(&task, due_at);
            }
            Order::Pace(poll_interval) => {
                self.poll_interval = poll_interval;
                let latest = Instant::now() + poll_interval;
                let late: Vec<TaskArn> =
                    self.due.iter().filter(|(due_at, _)| *due_at > latest).map(|(_, task)| task.clone()).collect();
                late.iter().for_each(|task| self.set_due(task, latest));
            }
            Order::Unwatch(task) => {
                if let Some(known) = self.followed.remove(&task) {
                    self.due.remove(&(known.due_at, task.clone()));
                }
                if let Some(trouble) = &mut self.trouble {
                    trouble.unseen.remove(&task);
                }
            }
        }
    }

    /// Has a task that is followed be due at another instant.
    fn set_due(&mut self, task: &TaskArn, due_at: Instant) {
        let Some(known) = self.followed.get_mut(task) else { return };
        let before = std::mem::replace(&mut known.due_at, due_at);
        self.due.remove(&(before, task.clone()));
        self.due.insert((due_at, task.clone()));
    }

    /// One call. False if nobody listens any more.
    async fn look(&mut self) -> bool {
        let called_at = Instant::now();
        // What was due may be followed no longer.
        if self.due.first().is_none_or(|(due_at, _)| *due_at > called_at) {
            return true;
        }
        let tasks: Vec<TaskArn> = self.due.iter().take(DESCRIBE_TASKS_MAX).map(|(_, task)| task.clone()).collect();
        let answer = self.ask(&tasks).await;
        let usual = Instant::now() + self.poll_interval;
        match answer {
            Ok(Ok(described)) => {
                self.budget.answered(called_at);
                self.note_looks(&tasks);
                // Also those that the answer says nothing of.
                tasks.iter().for_each(|task| self.set_due(task, usual));
                described.facts.iter().for_each(|facts| self.shown(facts));
                described.unjudged.iter().for_each(|event| self.ended(event));
                self.saw(&tasks);
                let reports = self.to_reports(described).await;
                return self.reports.send(reports).await.is_ok();
            }
            Ok(Err(error)) => {
                if error.is_throttled() {
                    // They stay due, and the budget says when.
                    self.budget.throttled(called_at);
                } else {
                    tasks.iter().for_each(|task| self.set_due(task, usual));
                }
                self.failed(&tasks, &error);
            }
            Err(panic) => {
                tasks.iter().for_each(|task| self.set_due(task, usual));
                tracing::error!(cluster = %self.site, %panic, "a poll of tasks ended without an answer");
            }
        }
        true
    }

    /// These tasks were looked at.
    fn note_looks(&mut self, tasks: &[TaskArn]) {
        let now = Instant::now();
        let mut oldest = now;
        for task in tasks {
            if let Some(known) = self.followed.get_mut(task) {
                oldest = oldest.min(std::mem::replace(&mut known.looked_at, now));
            }
        }
        self.metrics.swept(now.saturating_duration_since(oldest));
    }

    /// The call in a task of its own: should it panic, the site must not go unwatched.
    async fn ask(&self, tasks: &[TaskArn]) -> Result<Result<Described, CallError>, JoinError> {
        let (ecs, site, tasks) = (self.ecs.clone(), self.site.clone(), tasks.to_vec());
        tokio::spawn(async move { ecs.describe_tasks(&site, &tasks).await }).await
    }

    /// A task was shown, which says when to look again.
    fn shown(&mut self, facts: &TaskFacts) {
        let Some(known) = self.followed.get(&facts.task) else { return };
        let pause = next_look_in(facts, known.often_from, self.poll_interval, clock::now());
        self.set_due(&facts.task, Instant::now() + pause);
    }

    /// A task was shown as stopped, and can't be judged yet. That it has ended is not forgotten if ECS forgets it.
    fn ended(&mut self, event: &TaskEvent) {
        if let Some(known) = self.followed.get_mut(&event.facts.task) {
            known.ended = Some(Box::new(event.clone()));
        }
    }

    async fn to_reports(&self, described: Described) -> Vec<Report> {
        let Described { facts, missing, unjudged: _ } = described;
        let mut events: Vec<(TaskArn, Event)> =
            facts.into_iter().map(|facts| (facts.task.clone(), Event::Observed(facts))).collect();
        for task in missing {
            if let Some(event) = self.of_missing(&task).await {
                events.push((task, event));
            }
        }
        let report = |(task, event): (TaskArn, Event)| {
            let run = self.followed.get(&task)?.run.clone();
            Some(Report { run, event, answers_call: false })
        };
        events.into_iter().filter_map(report).collect()
    }

    /// What there is to report of a task that ECS does not show: its end, if an event told it; nothing, while one still may.
    async fn of_missing(&self, task: &TaskArn) -> Option<Event> {
        match &self.followed.get(task)?.ended {
            Some(ended) => {
                let (ecs, site, ended) = (self.ecs.clone(), self.site.clone(), (**ended).clone());
                let facts = tokio::spawn(async move { ecs.with_flags(&site, ended).await }).await;
                Some(Event::Observed(facts.ok().flatten()?))
            }
            None => self.all.is_read().then(|| Event::Missing(task.clone())),
        }
    }

    /// One line tells that looks fail, however many do.
    fn failed(&mut self, tasks: &[TaskArn], error: &CallError) {
        if self.trouble.is_none() {
            let throttled = error.is_throttled();
            tracing::warn!(cluster = %self.site, throttled, %error, "tasks could not be polled; their runs are unchanged");
        }
        let trouble = self.trouble.get_or_insert_with(|| Trouble {
            since: Instant::now(),
            failed_calls: 0,
            unseen: HashSet::new(),
        });
        trouble.failed_calls += 1;
        trouble.unseen.extend(tasks.iter().cloned());
    }

    /// And one that they no longer do.
    fn saw(&mut self, tasks: &[TaskArn]) {
        let Some(trouble) = &mut self.trouble else { return };
        for task in tasks {
            trouble.unseen.remove(task);
        }
        if trouble.unseen.is_empty() {
            let (failed_calls, seconds) = (trouble.failed_calls, trouble.since.elapsed().as_secs());
            tracing::info!(cluster = %self.site, failed_calls, seconds, "tasks can be polled again");
            self.trouble = None;
        }
    }
}
