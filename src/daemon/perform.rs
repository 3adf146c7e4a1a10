//! Performs what the driver ordered, each call in a task of its own, and reports what came of it.
//!
//! Nothing is decided here. Every call ends in exactly one report, also if its task panics, because the driver orders
//! nothing more for a run until the last call for it has been answered.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;

use super::clock;
use super::driver::{Act, Report};
use super::watch::Watcher;
use crate::ecs::Ecs;
use crate::engine::run::{Event, RunId};
use crate::engine::task::{LaunchAnswer, SearchAnswer};

/// How many calls of each kind are under way at once; the others wait their turn. Each kind has slots of its own: after an
/// outage many runs look for their launches at the same time, and no launch or stop may wait behind them.
pub(super) const LAUNCHES_MAX: usize = 128;
pub(super) const LOOKUPS_MAX: usize = 16;
pub(super) const STOPS_MAX: usize = 32;

/// What is reported of a call that panicked.
const ABORTED: &str = "the call was aborted";

/// Performs acts.
#[derive(Debug)]
pub(super) struct Performer<E> {
    ecs: E,
    watcher: Watcher<E>,
    reports: mpsc::Sender<Vec<Report>>,
    tracker: TaskTracker,
    launches: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
    stops: Arc<Semaphore>,
}

impl<E: Ecs> Performer<E> {
    /// A performer that reports to `reports`.
    pub(super) fn new(
        ecs: E,
        watcher: Watcher<E>,
        reports: mpsc::Sender<Vec<Report>>,
        tracker: TaskTracker,
    ) -> Performer<E> {
        let [launches, lookups, stops] =
            [LAUNCHES_MAX, LOOKUPS_MAX, STOPS_MAX].map(|slots| Arc::new(Semaphore::new(slots)));
        Performer { ecs, watcher, reports, tracker, launches, lookups, stops }
    }

    /// Begins one act and returns at once.
    pub(super) fn perform(&mut self, act: Act) {
        let ecs = self.ecs.clone();
        match act {
            Act::Watch { run, site, task } => self.watcher.watch(site, task, run),
            Act::Unwatch { site, task } => self.watcher.unwatch(site, task),
            Act::Launch { run, launch } => {
                let lost = LaunchAnswer::NoAnswer { sent: true, message: ABORTED.into() };
                self.call(&self.launches, run, Event::Answered(lost), async move {
                    if launch.unresolved && !launch.may_be_resent(clock::now()) {
                        // The machine slept between the decision and this line; the run must look before it sends.
                        return Event::Resumed;
                    }
                    Event::Answered(ecs.run_task(&launch.request).await)
                });
            }
            Act::Find { run, launch } => {
                let lost = SearchAnswer::NoAnswer(ABORTED.into());
                self.call(&self.lookups, run, Event::Sought(lost), async move {
                    Event::Sought(ecs.find_tasks(&launch.request).await)
                });
            }
            Act::Stop { run, site, tasks, reason } => {
                self.call(&self.stops, run.clone(), Event::StopAsked { accepted: false }, async move {
                    let mut accepted = true;
                    for task in tasks {
                        if let Err(error) = ecs.stop_task(&site, &task, &reason).await {
                            accepted = false;
                            tracing::warn!(%run, task_arn = %task, %error, "task could not be stopped; trying again");
                        }
                    }
                    Event::StopAsked { accepted }
                });
            }
        }
    }

    /// Runs a call; `lost` is what is reported if it ends without an answer of its own.
    fn call(
        &self,
        slots: &Arc<Semaphore>,
        run: RunId,
        lost: Event,
        call: impl Future<Output = Event> + Send + 'static,
    ) {
        let reports = self.reports.clone();
        let slots = Arc::clone(slots);
        self.tracker.spawn(async move {
            // The semaphore is never closed.
            let _slot = slots.acquire_owned().await;
            let event = tokio::spawn(call).await.unwrap_or_else(|panic| {
                tracing::error!(%run, %panic, "a call to ECS ended without an answer");
                lost
            });
            let answered = vec![Report { run, event, answers_call: true }];
            if reports.send(answered).await.is_err() {
                tracing::debug!("an answer came after the daemon had stopped");
            }
        });
    }
}
