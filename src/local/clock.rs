//! The endpoint's own clock.
//!
//! The endpoint plays another machine, so it does not share the daemon's clock. This is the only place that reads the time; all rules
//! take it as an argument, so a test can let a client token or a stopped task grow old.

use chrono::{DateTime, Utc};

/// The time on the machine that ECS would be.
#[expect(clippy::disallowed_methods, reason = "the endpoint stands for another machine, with a clock of its own")]
pub(super) fn now() -> DateTime<Utc> {
    Utc::now()
}
