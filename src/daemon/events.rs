//! Listens to queues of task state changes, so that a poller looks at once and a task that ECS has forgotten is not lost.
//!
//! DescribeTasks stays the authority: an event of a task that is followed makes its poller look now, and what the event said
//! of a stopped task counts only if ECS no longer shows it. So an event that comes late, twice or never changes no verdict.
//!
//! The message of a final event stays in the queue for as long as its task is followed, and a task is followed until its end
//! is saved: whoever dies before that finds the message at the next start. All other messages are deleted once they
//! were told: the next look says as much. A queue that fails changes nothing about any run.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::watch::Order;
use crate::ecs::{CallError, EventQueue, LONG_POLL_SECONDS, MESSAGES_MAX, Message, TaskEvent, Unreadable};
use crate::engine::task::TaskArn;

/// The pauses between tries while a queue fails.
const FAILING_PAUSE_MIN: Duration = Duration::from_secs(1);
const FAILING_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long the start of a daemon waits for a queue to be read once before what ECS does not show counts as missing.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// The pause after a call that brought nothing, for an endpoint that does not wait as SQS does.
const EMPTY_PAUSE: Duration = Duration::from_millis(200);
/// The wait of a call until the queue has been read once: the shortest that asks all of SQS's servers.
const FIRST_WAIT_SECONDS: i32 = 1;

/// The tasks that are followed, and who follows each: what pollers and listeners share.
#[derive(Debug, Clone, Default)]
pub(super) struct Followed(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    tasks: Mutex<HashMap<TaskArn, Follower>>,
    /// How many queues have not been read once.
    unread: AtomicUsize,
}

#[derive(Debug)]
struct Follower {
    poller: UnboundedSender<Order>,
    /// Of the newest event.
    version: i64,
}

impl Followed {
    /// So many queues are about to be read.
    pub(super) fn await_queues(&self, queues: usize) {
        self.0.unread.store(queues, Ordering::SeqCst);
    }

    /// A poller follows a task.
    pub(super) fn add(&self, task: TaskArn, poller: UnboundedSender<Order>) {
        self.tasks().entry(task).or_insert(Follower { poller, version: i64::MIN });
    }

    /// Nobody follows a task any more.
    pub(super) fn remove(&self, task: &TaskArn) {
        self.tasks().remove(task);
    }

    /// Whether a task that ECS does not show may be taken for missing: not while its end may be the next message.
    pub(super) fn is_read(&self) -> bool {
        self.0.unread.load(Ordering::SeqCst) == 0
    }

    fn is_followed(&self, task: &TaskArn) -> bool {
        self.tasks().contains_key(task)
    }

    /// Tells the poller of the task, unless it was told as much. False if nobody follows the task.
    pub(super) fn tell(&self, event: TaskEvent) -> bool {
        let mut tasks = self.tasks();
        let Some(follower) = tasks.get_mut(&event.facts.task) else { return false };
        if event.version > follower.version {
            follower.version = event.version;
            // A poller ends with the daemon only.
            drop(follower.poller.send(Order::Look(Box::new(event))));
        }
        true
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<TaskArn, Follower>> {
        // Every change leaves the table whole, so a panic elsewhere in the daemon does not spoil it.
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One listener for each queue. Until a queue has been read once, no task counts as missing.
pub(super) fn listeners(queues: Vec<EventQueue>, followed: &Followed) -> Vec<Listener> {
    followed.await_queues(queues.len());
    queues.into_iter().map(|queue| Listener::new(queue, followed.clone())).collect()
}

/// Listens to one queue.
#[derive(Debug)]
pub(super) struct Listener {
    queue: EventQueue,
    followed: Followed,
    /// Receipts of the final events of tasks that are followed.
    kept: HashMap<TaskArn, String>,
    /// Receipts of messages that are of no more use.
    done: Vec<String>,
    /// What was told of already.
    warned: HashSet<Unreadable>,
    was_read: bool,
}

impl Listener {
    fn new(queue: EventQueue, followed: Followed) -> Listener {
        Listener { queue, followed, kept: HashMap::new(), done: Vec::new(), warned: HashSet::new(), was_read: false }
    }

    /// Listens until the future is dropped. What was received and not deleted is received again.
    pub(super) async fn run(mut self) {
        let give_up_at = Instant::now() + READ_WITHIN;
        let mut pause = None;
        loop {
            let heard = self.hear().await;
            if Instant::now() >= give_up_at {
                self.note_read();
            }
            pause = match (heard, pause) {
                (Ok(()), None) => None,
                (Ok(()), Some(_)) => {
                    tracing::info!(queue = self.queue.url(), "task events are heard again");
                    None
                }
                (Err(error), None) => {
                    let queue = self.queue.url();
                    tracing::warn!(queue, %error, "task events could not be heard; tasks are polled all the same");
                    Some(FAILING_PAUSE_MIN)
                }
                (Err(_), Some(pause)) => Some((pause * 2).min(FAILING_PAUSE_MAX)),
            };
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// One call for messages, and the deletion of those that are of no more use.
    async fn hear(&mut self) -> Result<(), CallError> {
        let wait = if self.was_read { LONG_POLL_SECONDS } else { FIRST_WAIT_SECONDS };
        let messages = self.queue.receive(wait).await?;
        if messages.is_empty() {
            self.note_read();
            tokio::time::sleep(EMPTY_PAUSE).await;
        }
        for message in messages {
            self.take(message);
        }
        let (followed, done) = (&self.followed, &mut self.done);
        done.extend(self.kept.extract_if(|task, _| !followed.is_followed(task)).map(|(_, receipt)| receipt));
        while !self.done.is_empty() {
            let some = self.done.len().min(MESSAGES_MAX);
            let receipts: Vec<String> = self.done.drain(..some).collect();
            // Whatever is not deleted comes again, and is told or deleted then.
            self.queue.delete(&receipts).await?;
        }
        Ok(())
    }

    fn take(&mut self, Message { receipt, body }: Message) {
        let event = match body {
            Ok(event) => event,
            Err(why) => {
                if self.warned.insert(why) {
                    tracing::warn!(queue = self.queue.url(), %why, "message deleted that is no task event");
                }
                self.done.push(receipt);
                return;
            }
        };
        let (task, is_final) = (event.facts.task.clone(), event.facts.is_stopped());
        if self.followed.tell(event) && is_final {
            self.kept.insert(task, receipt);
        } else {
            self.done.push(receipt);
        }
    }

    fn note_read(&mut self) {
        if !std::mem::replace(&mut self.was_read, true) {
            self.followed.0.unread.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
