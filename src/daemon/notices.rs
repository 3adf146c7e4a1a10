//! Delivers the notices that are owed: at least once, each channel by itself.
//!
//! One task does this beside the loop. It is woken when a batch with notices was saved, and when a try is due; what is owed it
//! reads from the store, so a restart goes on where the process died. A notice counts as delivered once that is saved: who
//! dies between the answer and the save sends it again, under the same name.
//!
//! A channel is tried with one notice at a time. One that fails pauses as a whole, and holds up no other: the next try is
//! made with another notice, so that one which the other side can't bear keeps nothing back. Pings are the exception: a start
//! that comes after its end would be the start of a run that never ends, so a ping that fails is tried until it is taken.

mod round;
#[cfg(test)]
mod tests;
mod way;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use self::round::{Ended, Round};
use self::way::Way;
pub(super) use self::way::call;
use super::{LEAVE_WITHIN, clock};
use crate::ecs::Ecs;
use crate::engine::notice::ChannelId;
use crate::notify::Outlets;
use crate::observe::{self, Metrics};
use crate::store::{NOTICE_PAUSE_MAX, Store};

/// How many channels are called at once.
const CHANNELS_MAX: usize = 64;
/// How often the store is asked at most while channels wait for their turn.
const LOOK_EACH: TimeDelta = TimeDelta::seconds(1);
/// The pause after the store did not answer.
const STORE_PAUSE: TimeDelta = TimeDelta::seconds(5);
/// How long until a channel that is not in the configuration is looked at again; a reload is heeded at once.
const MISSING_PAUSE: TimeDelta = TimeDelta::minutes(5);

/// What is known of a channel beside what it is owed.
#[derive(Debug, Default)]
struct Lane {
    /// A round is under way.
    is_busy: bool,
    /// How many tries failed since one did not.
    failures: u32,
    paused_until: Option<DateTime<Utc>>,
    /// Since when the configuration does not have it, once that was told.
    missing_since: Option<DateTime<Utc>>,
}

impl Lane {
    /// When it may be tried: a pause that lies further ahead than any was planned on a clock that was set back since.
    fn free_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.paused_until.filter(|until| *until > now && *until <= now + NOTICE_PAUSE_MAX)
    }
}

/// Delivers notices.
#[derive(Debug)]
pub(super) struct Courier<S, E> {
    store: S,
    way: Way<E>,
    outlets: watch::Receiver<Arc<Outlets>>,
    pokes: Arc<Notify>,
    metrics: Metrics,
    lanes: BTreeMap<ChannelId, Lane>,
    /// Channels whose turn it is, those that have waited longest first.
    ready: VecDeque<ChannelId>,
    under_way: JoinSet<Ended>,
    /// The channel of each round.
    rounds: HashMap<Id, ChannelId>,
    stop: CancellationToken,
}

impl<S: Store, E: Ecs> Courier<S, E> {
    /// Comes with what wakes it.
    pub(super) fn new(
        store: S,
        ecs: E,
        outlets: watch::Receiver<Arc<Outlets>>,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> (Courier<S, E>, Arc<Notify>) {
        let pokes = Arc::<Notify>::default();
        let courier = Courier {
            store,
            way: Way::new(ecs),
            outlets,
            pokes: Arc::clone(&pokes),
            metrics,
            lanes: BTreeMap::new(),
            ready: VecDeque::new(),
            under_way: JoinSet::new(),
            rounds: HashMap::new(),
            stop,
        };
        (courier, pokes)
    }

    /// Delivers until it is told to stop; then tries that are under way have a moment to end.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        let mut looked_at = None;
        let mut next: Option<DateTime<Utc>> = Some(clock::now());
        let mut poked = false;
        while !stop.is_cancelled() {
            let now = clock::now();
            let is_due = next.is_some_and(|next| next <= now || next > now + NOTICE_PAUSE_MAX);
            let may_look = looked_at.is_none_or(|at: DateTime<Utc>| (now - at).abs() >= LOOK_EACH);
            if (poked || is_due) && (self.ready.is_empty() || may_look) {
                (looked_at, poked) = (Some(now), false);
                next = self.look(now).await;
            }
            self.set_out();
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.pokes.notified() => poked = true,
                Some(ended) = self.under_way.join_next_with_id(), if !self.under_way.is_empty() => {
                    self.take_back(ended);
                    // What the channel is owed later is not known.
                    poked = true;
                }
                () = changed(&mut self.outlets) => {
                    self.reloaded();
                    poked = true;
                }
                () = clock::nap_until(next) => {}
            }
        }
        let leave_at = tokio::time::Instant::now() + LEAVE_WITHIN;
        while let Ok(Some(_)) = tokio::time::timeout_at(leave_at, self.under_way.join_next()).await {}
    }

    /// Another secret, or a channel that is back: no pause holds for them. How long one is missing is not forgotten.
    fn reloaded(&mut self) {
        for lane in self.lanes.values_mut().filter(|lane| !lane.is_busy) {
            *lane = Lane { missing_since: lane.missing_since, ..Lane::default() };
        }
    }

    /// Asks the store who is owed something, and answers with when to ask again.
    async fn look(&mut self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut owed = match self.store.owed_channels().await {
            Ok(owed) => owed,
            Err(error) => {
                // What can't be read can't be saved either, and of that the loop tells.
                tracing::debug!(error = observe::chain(&error), "owed notices could not be read");
                return Some(now + STORE_PAUSE);
            }
        };
        let is_owed = |id: &ChannelId| owed.binary_search_by(|(channel, _)| channel.cmp(id)).is_ok();
        self.lanes.retain(|id, lane| lane.is_busy || is_owed(id));
        owed.sort_by_key(|(_, next_at)| *next_at);
        let mut next: Option<DateTime<Utc>> = None;
        self.ready.clear();
        for (channel, next_at) in owed {
            let lane = self.lanes.get(&channel);
            if lane.is_some_and(|lane| lane.is_busy) {
                continue;
            }
            let due_at = if next_at > now + NOTICE_PAUSE_MAX { now } else { next_at };
            let free_at = lane.and_then(|lane| lane.free_at(now)).unwrap_or(due_at).max(due_at);
            if free_at <= now {
                self.ready.push_back(channel);
            } else {
                next = Some(next.map_or(free_at, |next| next.min(free_at)));
            }
        }
        next
    }

    /// Begins a round with each channel whose turn it is, as far as there is room.
    fn set_out(&mut self) {
        while self.under_way.len() < CHANNELS_MAX
            && let Some(id) = self.ready.pop_front()
        {
            let channel = self.outlets.borrow().channels.get(&id).cloned();
            let lane = self.lanes.entry(id.clone()).or_default();
            lane.is_busy = true;
            let round = Round {
                store: self.store.clone(),
                way: self.way.clone(),
                metrics: self.metrics.clone(),
                stop: self.stop.clone(),
                failures: lane.failures,
                missing_since: lane.missing_since,
                channel,
                id,
            };
            let id = round.id.clone();
            self.rounds.insert(self.under_way.spawn(round.go()).id(), id);
        }
    }

    /// Takes note of how a round ended.
    fn take_back(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (task, ended) = match ended {
            Ok((task, ended)) => (task, Some(ended)),
            // Sending has tasks of its own, so this can't come of it.
            Err(error) => {
                tracing::error!("a round of notices was aborted");
                (error.id(), None)
            }
        };
        let Some(id) = self.rounds.remove(&task) else { return };
        let lane = self.lanes.entry(id).or_default();
        let (failures, missing_since) = (lane.failures, lane.missing_since);
        let aborted = || Ended { failures, free_at: Some(clock::now() + STORE_PAUSE), missing_since };
        let Ended { failures, free_at, missing_since } = ended.unwrap_or_else(aborted);
        *lane = Lane { is_busy: false, failures, paused_until: free_at, missing_since };
    }
}

/// Waits for other outlets; for ever if there will be none.
async fn changed(outlets: &mut watch::Receiver<Arc<Outlets>>) {
    if outlets.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
