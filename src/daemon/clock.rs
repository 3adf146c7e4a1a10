//! The one clock. Everything that decides by time is handed an instant that was read here.
//!
//! Instants are UTC wall-clock time in whole milliseconds, as the store keeps them, so that a value does not change by
//! being saved. Sleeping is done in short pieces: a sleeping machine's timers stand still while its wall clock goes on,
//! and a piece bounds how late that is noticed. The last piece before an instant is slept by a thread, whose timer is exact
//! to a tenth of a millisecond: those of tokio are up to three too late.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};

/// The longest piece of a sleep.
pub const NAP: Duration = Duration::from_secs(1);
/// The last piece before an instant. By less than that tokio is late: it counts in milliseconds, and rounds up the instant,
/// what is left of the one that passes, and what it asks the kernel for.
const LAST_PIECE: Duration = Duration::from_millis(4);

/// The time now.
#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}

/// Sleeps until the instant, or one [`NAP`] if that is shorter.
pub async fn nap_until(instant: Option<DateTime<Utc>>) {
    let Some(instant) = instant.filter(|instant| left_until(*instant) < NAP) else {
        return tokio::time::sleep(NAP).await;
    };
    if let Some(most) = left_until(instant).checked_sub(LAST_PIECE) {
        tokio::time::sleep(most).await;
    }
    let left = left_until(instant).min(LAST_PIECE);
    // Should the runtime be ending, there is nothing to wait for.
    let _slept = tokio::task::spawn_blocking(move || std::thread::sleep(left)).await;
}

/// How long it is until an instant; nothing if it has passed.
#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
fn left_until(instant: DateTime<Utc>) -> Duration {
    (instant - Utc::now()).to_std().unwrap_or_default()
}
