//! Performs what the driver ordered, each call in a task of its own, and reports what came of it.
//!
//! Nothing is decided here. Every call ends in exactly one report, also if its task panics, because the driver orders
//! nothing more for a run until the last call for it has been answered.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;

use super::clock;
use super::driver::{Act, Report};
use super::watch::Watcher;
use crate::ecs::Ecs;
use crate::engine::job::Target;
use crate::engine::run::{Event, RunId};
use crate::engine::task::{LaunchAnswer, SearchAnswer};

/// How many calls of each kind are under way to one target at once; the others wait their turn. Each kind has slots of its
/// own: after an outage many runs look for their launches at the same time, and no launch or stop may wait behind them. So
/// has each target: one that does not answer must not hold up the others.
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
    slots: HashMap<Arc<Target>, Slots>,
}

/// Those of one target.
#[derive(Debug)]
struct Slots {
    launches: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
    stops: Arc<Semaphore>,
}

impl Default for Slots {
    fn default() -> Slots {
        let [launches, lookups, stops] =
            [LAUNCHES_MAX, LOOKUPS_MAX, STOPS_MAX].map(|slots| Arc::new(Semaphore::new(slots)));
        Slots { launches, lookups, stops }
    }
}

impl<E: Ecs> Performer<E> {
    /// A performer that reports to `reports`.
    pub(super) fn new(
        ecs: E,
        watcher: Watcher<E>,
        reports: mpsc::Sender<Vec<Report>>,
        tracker: TaskTracker,
    ) -> Performer<E> {
        Performer { ecs, watcher, reports, tracker, slots: HashMap::new() }
    }

    /// Begins one act and returns at once.
    pub(super) fn perform(&mut self, act: Act) {
        let ecs = self.ecs.clone();
        match act {
            Act::Watch { run, site, task, often_from } => self.watcher.watch(site, task, run, often_from),
            Act::Pace(pace) => self.watcher.set_pace(pace),
            Act::Unwatch { site, task } => self.watcher.unwatch(site, task),
            Act::Launch { run, launch } => {
                let lost = LaunchAnswer::NoAnswer { sent: true, message: ABORTED.into() };
                let slots = Arc::clone(&self.slots(&launch.request.task.target).launches);
                self.call(slots, run, Event::Answered(lost), async move {
                    if launch.unresolved && !launch.may_be_resent(clock::now()) {
                        // The machine slept between the decision and this line; the run must look before it sends.
                        return Event::Resumed;
                    }
                    Event::Answered(ecs.run_task(&launch.request).await)
                });
            }
            Act::Find { run, launch } => {
                let lost = SearchAnswer::no_answer(ABORTED);
                let slots = Arc::clone(&self.slots(&launch.request.task.target).lookups);
                self.call(slots, run, Event::Sought(lost), async move {
                    Event::Sought(ecs.find_tasks(&launch.request).await)
                });
            }
            Act::Stop { run, site, tasks, reason } => {
                let slots = Arc::clone(&self.slots(&site.target).stops);
                self.call(slots, run, Event::StopAsked { refusal: Some(ABORTED.into()) }, async move {
                    let mut refusal = None;
                    for task in tasks {
                        if let Err(error) = ecs.stop_task(&site, &task, &reason).await {
                            refusal = Some(format!("{task}: {error}"));
                        }
                    }
                    Event::StopAsked { refusal }
                });
            }
        }
    }

    fn slots(&mut self, target: &Arc<Target>) -> &Slots {
        self.slots.entry(Arc::clone(target)).or_default()
    }

    /// Runs a call; `lost` is what is reported if it ends without an answer of its own.
    fn call(&self, slots: Arc<Semaphore>, run: RunId, lost: Event, call: impl Future<Output = Event> + Send + 'static) {
        let reports = self.reports.clone();
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
