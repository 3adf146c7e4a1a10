//! Fetches what the containers of failed attempts wrote last, and keeps it with the run.
//!
//! One task does this, one attempt at a time, beside everything else: it begins when the attempt's end is saved, and
//! whatever it meets, it changes no run and keeps none waiting. What it could not have is a note in place of the lines; of
//! what a death took, nothing is kept, for nobody asks a second time.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;

use super::clock;
use crate::ecs::Ecs;
use crate::engine::log_tail::{LogTail, Wanted, bounded};
use crate::engine::run::RunId;
use crate::observe;
use crate::store::{Batch, Store};

/// How many attempts wait their turn; of further ones no lines are fetched.
pub(super) const WAITING_MAX: usize = 256;
/// How long one attempt's lines may take, all containers together.
const FETCH_WITHIN: Duration = Duration::from_secs(5);
/// How many orders are taken in at once.
const ORDERS_AT_ONCE: usize = 1_024;

/// Why there are no lines.
const TOO_MANY: &str = "too many other attempts failed at the same time";
const TOO_LATE: &str = "they did not come within 5 seconds";
const ABORTED: &str = "the call was aborted";

/// What was fetched, as the store takes it.
type Fetched = (RunId, u32, Vec<LogTail>);

/// Fetches log tails.
#[derive(Debug)]
pub(super) struct Fetcher<S, E> {
    store: S,
    ecs: E,
    /// Unbounded in type; `run` takes all of them in between two fetches, and keeps as many as may wait.
    orders: mpsc::UnboundedReceiver<Wanted>,
    waiting: VecDeque<Wanted>,
}

impl<S: Store, E: Ecs> Fetcher<S, E> {
    pub(super) fn new(store: S, ecs: E) -> (mpsc::UnboundedSender<Wanted>, Fetcher<S, E>) {
        let (sender, orders) = mpsc::unbounded_channel();
        (sender, Fetcher { store, ecs, orders, waiting: VecDeque::new() })
    }

    /// Fetches until nobody orders any more, or the future is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let mut new = Vec::new();
            if self.waiting.is_empty() {
                if self.orders.recv_many(&mut new, ORDERS_AT_ONCE).await == 0 {
                    return;
                }
            } else {
                while let Ok(order) = self.orders.try_recv() {
                    new.push(order);
                }
            }
            let room = WAITING_MAX.saturating_sub(self.waiting.len());
            let refused = new.split_off(room.min(new.len()));
            self.waiting.extend(new);
            let mut fetched: Vec<Fetched> =
                refused.into_iter().map(|order| of(&order, order.without_lines(TOO_MANY))).collect();
            if let Some(next) = self.waiting.pop_front() {
                let tails = self.fetch(next.clone()).await;
                fetched.push(of(&next, tails));
            }
            self.keep(fetched).await;
        }
    }

    /// In a task of its own, for the case that it panics.
    async fn fetch(&self, wanted: Wanted) -> Vec<LogTail> {
        let (ecs, asked) = (self.ecs.clone(), wanted.clone());
        let fetching = tokio::spawn(async move { tokio::time::timeout(FETCH_WITHIN, ecs.log_tail(&asked)).await });
        match fetching.await {
            Ok(Ok(tails)) => bounded(tails),
            Ok(Err(_elapsed)) => wanted.without_lines(TOO_LATE),
            Err(panic) => {
                tracing::error!(run = %wanted.run, attempt = wanted.attempt, %panic, "fetching a log tail was aborted");
                wanted.without_lines(ABORTED)
            }
        }
    }

    async fn keep(&self, log_tails: Vec<Fetched>) {
        let kept: Vec<(RunId, u32)> = log_tails.iter().map(|(run, attempt, _)| (run.clone(), *attempt)).collect();
        let batch = Batch { log_tails, ..Batch::empty(self.store.term(), clock::now()) };
        match self.store.commit(batch).await {
            // The lines themselves are the user's, and none of the daemon's log.
            Ok(_) => kept.iter().for_each(|(run, attempt)| tracing::info!(%run, attempt, "log tail kept")),
            // The daemon's loop meets the same fault, and says what follows.
            Err(error) => tracing::warn!(error = observe::chain(&error), "log tail could not be kept"),
        }
    }
}

fn of(wanted: &Wanted, tails: Vec<LogTail>) -> Fetched {
    (wanted.run.clone(), wanted.attempt, tails)
}
