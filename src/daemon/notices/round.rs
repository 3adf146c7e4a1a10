//! A round with one channel: its notices one after the other, until none is due, one is not taken, or the daemon stops.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::super::clock;
use super::way::{Untaken, Way};
use super::{MISSING_PAUSE, STORE_PAUSE};
use crate::ecs::Ecs;
use crate::engine::notice::{ChannelId, Notice, delivery};
use crate::engine::run::in_words;
use crate::notify::{Channel, kind_of};
use crate::observe::{self, DEAD, DELIVERED, FAILED, Metrics};
use crate::store::{Batch, NoticeMove, NoticeTurn, OwedNotice, Store, StoreError};

/// How many notices of a channel are read at once.
const READ_MAX: usize = 16;
/// How many that are too old are given up in one batch.
const GIVEN_UP_MAX: usize = 256;
/// The pauses between tries to save what became of a notice.
const SAVE_PAUSE_MIN: Duration = Duration::from_millis(200);
const SAVE_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Why notices to a channel are given up that the configuration does not have.
const MISSING: &str = "the channel is no longer in the configuration";

/// One round.
#[derive(Debug)]
pub(super) struct Round<S, E> {
    pub(super) store: S,
    pub(super) way: Way<E>,
    pub(super) metrics: Metrics,
    pub(super) stop: CancellationToken,
    pub(super) id: ChannelId,
    /// None if the configuration does not have it.
    pub(super) channel: Option<Arc<Channel>>,
    /// Since when it is known that the configuration does not have it.
    pub(super) missing_since: Option<DateTime<Utc>>,
    /// How many tries failed before.
    pub(super) failures: u32,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) failures: u32,
    /// When the channel may be tried again, if it pauses.
    pub(super) free_at: Option<DateTime<Utc>>,
    /// Since when the configuration does not have it, once that was told.
    pub(super) missing_since: Option<DateTime<Utc>>,
}

impl<S: Store, E: Ecs> Round<S, E> {
    /// Delivers what is due.
    pub(super) async fn go(mut self) -> Ended {
        let free_at = match self.channel.clone() {
            Some(channel) => {
                self.missing_since = None;
                self.deliver(&channel).await
            }
            None => self.wait_for_channel().await,
        };
        Ended { failures: self.failures, free_at, missing_since: self.missing_since }
    }

    async fn deliver(&mut self, channel: &Channel) -> Option<DateTime<Utc>> {
        let keeps_order = matches!(channel, Channel::Ping(_));
        loop {
            let mut due = match self.due(READ_MAX).await {
                Ok(due) if due.is_empty() => return None,
                Ok(due) => due,
                Err(pause) => return Some(pause),
            };
            if keeps_order {
                due.sort_by_key(|owed| owed.notice.at);
            }
            for owed in due {
                if self.stop.is_cancelled() {
                    return None;
                }
                match self.way.send(channel, &owed.notice).await {
                    Ok(()) => {
                        self.failures = 0;
                        let delivered = moved(&owed.notice, owed.tries + 1, NoticeTurn::Delivered);
                        if !self.save(vec![(owed.notice, delivered)]).await {
                            return Some(clock::now() + STORE_PAUSE);
                        }
                    }
                    Err(untaken) => return Some(self.put_off(owed, untaken, keeps_order).await),
                }
            }
        }
    }

    /// A try failed: the notice waits or is given up, with all that are as old, and the channel pauses.
    async fn put_off(&mut self, owed: OwedNotice, untaken: Untaken, keeps_order: bool) -> DateTime<Utc> {
        let now = clock::now();
        let Untaken { why, asked_for } = untaken;
        let tries = owed.tries + 1;
        self.failures += 1;
        let free_at = now + delivery::pause(self.failures, &self.id.0, asked_for);
        if delivery::is_over(owed.since, now) {
            let turn = NoticeTurn::Dead { error: why.clone() };
            let given_up = moved(&owed.notice, tries, turn);
            self.save(vec![(owed.notice, given_up)]).await;
            self.give_up(&why, |owed| delivery::is_over(owed.since, now)).await;
            return free_at;
        }
        // A ping keeps its place before those that were owed later; the pause of the channel is its pause.
        let own = now + delivery::pause(tries, &owed.notice.id, asked_for);
        let next_at = if keeps_order { owed.notice.at.min(now) } else { own };
        let again = moved(&owed.notice, tries, NoticeTurn::Again { next_at, error: why });
        self.save(vec![(owed.notice, again)]).await;
        free_at
    }

    /// The configuration does not have the channel: it may be back soon, if it went by mistake.
    async fn wait_for_channel(&mut self) -> Option<DateTime<Utc>> {
        let now = clock::now();
        let since = match self.missing_since {
            Some(since) => since,
            None => match self.due(GIVEN_UP_MAX).await {
                Ok(due) => {
                    self.miss(due, now).await;
                    *self.missing_since.insert(now)
                }
                Err(pause) => return Some(pause),
            },
        };
        let over_at = since + delivery::MISSED_FOR;
        if now < over_at {
            // The hour begins anew with each start; the day does not.
            self.give_up(MISSING, |owed| delivery::is_over(owed.since, now)).await;
            return Some((now + MISSING_PAUSE).min(over_at));
        }
        self.give_up(MISSING, |_owed| true).await;
        None
    }

    /// Tells in the log that the channel is not there, and whoever lists the notices.
    async fn miss(&self, due: Vec<OwedNotice>, now: DateTime<Utc>) {
        let (channel, kept_until) = (&*self.id.0, in_words(now + delivery::MISSED_FOR));
        let waiting = match due.len() {
            GIVEN_UP_MAX => format!("{GIVEN_UP_MAX} or more"),
            count => count.to_string(),
        };
        tracing::warn!(channel, waiting, kept_until, "notices wait for a channel that is not in the configuration");
        let waits = |owed: OwedNotice| {
            let turn = NoticeTurn::Again { next_at: owed.notice.at.min(now), error: MISSING.to_owned() };
            moved(&owed.notice, owed.tries, turn)
        };
        self.commit(due.into_iter().map(waits).collect()).await;
    }

    /// Gives up all that are due and for which this holds, from the oldest try on.
    async fn give_up(&self, why: &str, holds: impl Fn(&OwedNotice) -> bool) {
        while let Ok(due) = self.due(GIVEN_UP_MAX).await {
            let is_full = due.len() == GIVEN_UP_MAX;
            let dead = |owed: OwedNotice| {
                let dead = moved(&owed.notice, owed.tries, NoticeTurn::Dead { error: why.to_owned() });
                (owed.notice, dead)
            };
            let over: Vec<_> = due.into_iter().filter(&holds).map(dead).collect();
            let is_all = over.len() == GIVEN_UP_MAX;
            if over.is_empty() || !self.save(over).await || !is_full || !is_all {
                return;
            }
        }
    }

    /// What is due, or how long to wait because the store does not say.
    async fn due(&self, limit: usize) -> Result<Vec<OwedNotice>, DateTime<Utc>> {
        let now = clock::now();
        self.store.due_notices(self.id.clone(), now, limit).await.map_err(|error| {
            tracing::debug!(error = observe::chain(&error), "owed notices could not be read");
            now + STORE_PAUSE
        })
    }

    /// Saves what became of notices, and tells of it. False if it can't be saved any more.
    async fn save(&self, moves: Vec<(Notice, NoticeMove)>) -> bool {
        let is_saved = self.commit(moves.iter().map(|(_, moved)| moved.clone()).collect()).await;
        if is_saved {
            moves.iter().for_each(|(notice, moved)| self.tell(notice, moved));
        }
        is_saved
    }

    /// Saves it, however long it takes.
    async fn commit(&self, notice_moves: Vec<NoticeMove>) -> bool {
        let mut pause = SAVE_PAUSE_MIN;
        loop {
            let batch = Batch { notice_moves: notice_moves.clone(), ..Batch::empty(self.store.term(), clock::now()) };
            match self.store.commit(batch).await {
                Ok(_duplicates) => return true,
                // The loop tells of it, and goes on as we do.
                Err(StoreError::Database { .. }) => tokio::time::sleep(pause).await,
                Err(_over) => return false,
            }
            pause = (pause * 2).min(SAVE_PAUSE_MAX);
        }
    }

    /// The line in the log, and the count. A channel is told by its name, which holds no secret.
    fn tell(&self, notice: &Notice, moved: &NoticeMove) {
        let (notice_id, channel, tries) = (&*notice.id, &*notice.channel.0, moved.tries);
        let (job, run, on) = (notice.facts.job.as_str(), notice.facts.run.as_str(), notice.facts.on.as_str());
        let result = match &moved.turn {
            NoticeTurn::Delivered => {
                tracing::info!(job, run, on, channel, notice = notice_id, tries, "notice delivered");
                DELIVERED
            }
            NoticeTurn::Again { error, .. } => {
                tracing::warn!(
                    job,
                    run,
                    on,
                    channel,
                    notice = notice_id,
                    tries,
                    error,
                    "notice could not be delivered; trying again"
                );
                FAILED
            }
            NoticeTurn::Dead { error } => {
                let owed_at = in_words(notice.at);
                tracing::error!(job, run, on, channel, notice = notice_id, tries, owed_at, error, "notice given up");
                DEAD
            }
            NoticeTurn::Revived => return,
        };
        self.metrics.told(kind_of(&notice.channel), result);
    }
}

fn moved(notice: &Notice, tries: u32, turn: NoticeTurn) -> NoticeMove {
    NoticeMove { id: notice.id.clone(), at: clock::now(), tries, turn }
}
