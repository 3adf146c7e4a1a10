//! The launch quota as a token bucket, refilled by the instants that it is given.

use chrono::{DateTime, TimeDelta, Utc};

/// Grants up to `burst` permits at once and `rate` a second after that.
#[derive(Debug, Clone)]
pub struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    filled_at: DateTime<Utc>,
}

impl Bucket {
    /// A full bucket. `rate` is in permits a second; both are positive.
    pub fn new(rate: f64, burst: u32, now: DateTime<Utc>) -> Bucket {
        Bucket { rate, burst: f64::from(burst), tokens: f64::from(burst), filled_at: now }
    }

    /// Changes the quota; what is in the bucket stays, up to the new burst.
    pub fn set_quota(&mut self, rate: f64, burst: u32, now: DateTime<Utc>) {
        self.fill(now);
        (self.rate, self.burst) = (rate, f64::from(burst));
        self.tokens = self.tokens.min(self.burst);
    }

    /// Takes a permit, if there is one.
    pub fn take(&mut self, now: DateTime<Utc>) -> bool {
        self.fill(now);
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }

    /// When the next permit is there.
    pub fn next_permit(&self) -> DateTime<Utc> {
        let missing = (1.0 - self.tokens).max(0.0) / self.rate;
        #[expect(clippy::cast_possible_truncation, reason = "a cast saturates, and what is then too far is never")]
        let milliseconds = (missing * 1000.0).ceil() as i64;
        let wait = TimeDelta::try_milliseconds(milliseconds);
        wait.and_then(|wait| self.filled_at.checked_add_signed(wait)).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// A clock that jumped back adds nothing; one that jumped ahead adds at most a burst.
    fn fill(&mut self, now: DateTime<Utc>) {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a refill fit a double")]
        let seconds = (now - self.filled_at).num_microseconds().unwrap_or(i64::MAX).max(0) as f64 / 1e6;
        self.tokens = (self.tokens + seconds * self.rate).min(self.burst);
        self.filled_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let start = DateTime::UNIX_EPOCH;
        let mut bucket = Bucket::new(20.0, 20, start);
        assert_eq!((0..100).filter(|_| bucket.take(start)).count(), 20);
        assert_eq!(bucket.next_permit(), start + TimeDelta::milliseconds(50));
        let granted = (1..=1000).filter(|n| bucket.take(start + TimeDelta::milliseconds(*n))).count();
        assert_eq!(granted, 20);
    }

    #[test]
    fn a_rate_of_nearly_nothing_waits_for_ever() {
        let start = DateTime::UNIX_EPOCH;
        let mut bucket = Bucket::new(f64::MIN_POSITIVE, 1, start);
        assert!(bucket.take(start));
        assert_eq!(bucket.next_permit(), DateTime::<Utc>::MAX_UTC);
    }

    #[test]
    fn a_clock_that_jumps_back_grants_nothing_more() {
        let start = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        let mut bucket = Bucket::new(1.0, 1, start);
        assert!(bucket.take(start));
        assert!(!bucket.take(start - TimeDelta::minutes(30)));
    }
}
