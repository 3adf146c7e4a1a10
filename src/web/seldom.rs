//! A log line that strangers can cause is written seldom: one a while, with the number of those that were held back.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two lines.
const EACH: Duration = Duration::from_secs(10);

/// One kind of line.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<(Option<Instant>, u64)>);

impl Seldom {
    /// How many were held back since the last one, if one may be written now.
    pub(super) fn now(&self) -> Option<u64> {
        let (mut told, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if told.0.is_some_and(|next| now < next) {
            told.1 += 1;
            return None;
        }
        told.0 = Some(now + EACH);
        Some(std::mem::take(&mut told.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_one_line_and_a_number() {
        let seldom = Seldom::default();
        let flood: Vec<_> = (0..1_000).filter_map(|_| seldom.now()).collect();
        assert_eq!(flood, [0]);
        tokio::time::advance(EACH).await;
        assert_eq!((seldom.now(), seldom.now()), (Some(999), None));
    }
}
