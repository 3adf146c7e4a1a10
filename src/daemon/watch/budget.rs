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

use crate::daemon::act::Pace;

/// The longest pause between two calls while ECS throttles, unless the usual one between two looks is longer.
pub(super) const THROTTLED_PAUSE_MAX: Duration = Duration::from_secs(60);
/// By what part of itself that pause is cut at most, so that many daemons do not come back together.
const JITTER: f64 = 0.25;

/// The longest pause between two calls, however low the rate: an instant must not lie beyond all clocks.
const SPACING_MAX: Duration = Duration::from_secs(86_400);

/// Who may call when.
#[derive(Debug)]
pub(super) struct Budget {
    /// One caller at a time waits for its instant; the semaphore is fair to those behind it.
    turn: Semaphore,
    /// Wakes that one when its instant has come nearer.
    changed: Notify,
    calls: Mutex<Calls>,
}

#[derive(Debug)]
struct Calls {
    pace: Pace,
    last_at: Option<Instant>,
    next_at: Instant,
    /// Between two calls while ECS throttles, else zero.
    pause: Duration,
    throttled_at: Option<Instant>,
    throttles: u64,
}

impl Calls {
    /// When a call may follow on one of then.
    fn after(&self, last_at: Instant) -> Instant {
        let spacing = Duration::try_from_secs_f64(self.pace.describe_rate.recip()).unwrap_or(SPACING_MAX);
        last_at + spacing.min(SPACING_MAX).max(self.pause)
    }
}

impl Budget {
    pub(super) fn new(pace: Pace) -> Budget {
        let (next_at, pause) = (Instant::now(), Duration::ZERO);
        let calls = Calls { pace, last_at: None, next_at, pause, throttled_at: None, throttles: 0 };
        Budget { turn: Semaphore::new(1), changed: Notify::new(), calls: Mutex::new(calls) }
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
        calls.next_at = calls.after(now);
    }

    /// Calls at another pace from now on.
    pub(super) fn set_pace(&self, pace: Pace) {
        let mut calls = self.calls();
        calls.pace = pace;
        self.come_nearer(&mut calls);
    }

    fn come_nearer(&self, calls: &mut Calls) {
        if let Some(last_at) = calls.last_at {
            calls.next_at = calls.after(last_at);
            self.changed.notify_one();
        }
    }

    /// A call that left at `called_at` was answered. One that had left before a throttle says nothing of what came after.
    pub(super) fn answered(&self, called_at: Instant) {
        let mut calls = self.calls();
        if calls.pause.is_zero() || calls.throttled_at.is_some_and(|at| called_at <= at) {
            return;
        }
        let halved = calls.pause / 2;
        calls.pause = if halved > calls.pace.poll_interval { halved } else { Duration::ZERO };
        self.come_nearer(&mut calls);
    }

    /// A call that left at `called_at` was throttled. One that had left before the pause grew is no news.
    pub(super) fn throttled(&self, called_at: Instant) {
        let mut calls = self.calls();
        if calls.throttled_at.is_some_and(|at| called_at <= at) {
            return;
        }
        let now = Instant::now();
        calls.throttles += 1;
        let usual = calls.pace.poll_interval;
        calls.pause = (calls.pause.max(usual) * 2).min(THROTTLED_PAUSE_MAX.max(usual));
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
