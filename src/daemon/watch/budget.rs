//! The call budget of one account and region: at most so many calls a second, one after the other, whoever makes them.
//!
//! ECS counts reads of the whole account, consoles and deploy tools included, so there is no burst: two calls are never
//! closer than the rate says. Those who wait take turns in the order in which they came. When ECS throttles, the pause
//! between two calls doubles for all of them, up to a minute, and is halved again by each call that is answered.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::Pace;

/// The longest pause between two calls while ECS throttles, unless the usual one between two looks is longer.
pub(super) const THROTTLED_PAUSE_MAX: Duration = Duration::from_secs(60);
/// By what part of itself that pause is cut at most, so that many daemons do not come back together.
const JITTER: f64 = 0.25;

/// Who may call when.
#[derive(Debug)]
pub(super) struct Budget {
    /// Between two calls.
    spacing: Duration,
    poll_interval: Duration,
    /// One caller at a time waits for its instant; the semaphore is fair to those behind it.
    turn: Semaphore,
    /// Wakes that one when its instant has come nearer.
    changed: Notify,
    calls: Mutex<Calls>,
}

#[derive(Debug)]
struct Calls {
    last_at: Option<Instant>,
    next_at: Instant,
    /// Between two calls, on top of the spacing; zero unless ECS throttles.
    pause: Duration,
    throttled_at: Option<Instant>,
    throttles: u64,
}

impl Budget {
    pub(super) fn new(pace: Pace) -> Budget {
        let calls =
            Calls { last_at: None, next_at: Instant::now(), pause: Duration::ZERO, throttled_at: None, throttles: 0 };
        let Pace { poll_interval, describe_rate } = pace;
        let spacing = Duration::try_from_secs_f64(describe_rate.recip()).unwrap_or(Duration::MAX);
        Budget { spacing, poll_interval, turn: Semaphore::new(1), changed: Notify::new(), calls: Mutex::new(calls) }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is one's turn to call.
    pub(super) async fn turn(&self) {
        // The semaphore is never closed.
        let _turn = self.turn.acquire().await;
        loop {
            let next_at = self.calls().next_at;
            if next_at <= Instant::now() {
                break;
            }
            // It may be another one meanwhile.
            tokio::select! {
                () = tokio::time::sleep_until(next_at) => {}
                () = self.changed.notified() => {}
            }
        }
        let mut calls = self.calls();
        let now = Instant::now();
        calls.last_at = Some(now);
        calls.next_at = now + self.spacing.max(calls.pause);
    }

    /// A call that left at `called_at` was answered. One that had left before a throttle says nothing of what came after.
    pub(super) fn answered(&self, called_at: Instant) {
        let mut calls = self.calls();
        if calls.pause.is_zero() || calls.throttled_at.is_some_and(|at| called_at <= at) {
            return;
        }
        let halved = calls.pause / 2;
        calls.pause = if halved > self.poll_interval { halved } else { Duration::ZERO };
        if let Some(last_at) = calls.last_at {
            calls.next_at = last_at + self.spacing.max(calls.pause);
            self.changed.notify_one();
        }
    }

    /// A call that left at `called_at` was throttled. One that had left before the pause grew is no news.
    pub(super) fn throttled(&self, called_at: Instant) {
        let mut calls = self.calls();
        if calls.throttled_at.is_some_and(|at| called_at <= at) {
            return;
        }
        let now = Instant::now();
        calls.throttles += 1;
        let most = THROTTLED_PAUSE_MAX.max(self.poll_interval);
        calls.pause = (calls.pause.max(self.poll_interval) * 2).min(most);
        calls.throttled_at = Some(now);
        calls.next_at = now + calls.pause.mul_f64(1.0 - JITTER * draw(calls.throttles));
    }
}

/// From 0 to 1, another one for each process and each time.
fn draw(nth: u64) -> f64 {
    let mut hasher = DefaultHasher::new();
    (std::process::id(), nth).hash(&mut hasher);
    #[expect(clippy::cast_possible_truncation, reason = "some of the bits are enough")]
    let bits = hasher.finish() as u32;
    f64::from(bits) / f64::from(u32::MAX)
}
