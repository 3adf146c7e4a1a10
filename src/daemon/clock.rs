//! The one clock. Everything that decides by time is handed an instant that was read here.
//!
//! Instants are UTC wall-clock time in whole milliseconds, as the store keeps them, so that a value does not change by
//! being saved. Sleeping is done in short pieces: a sleeping machine's timers stand still while its wall clock goes on,
//! and a piece bounds how late that is noticed.

use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};

/// The longest piece of a sleep.
pub const NAP: Duration = Duration::from_secs(1);

/// The time now.
#[expect(clippy::disallowed_methods, reason = "this is the one clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}

/// Sleeps until the instant, or one [`NAP`] if that is shorter.
pub async fn nap_until(instant: Option<DateTime<Utc>>) {
    let left = instant.map_or(NAP, |instant| (instant - now()).to_std().unwrap_or_default());
    tokio::time::sleep(left.min(NAP)).await;
}
