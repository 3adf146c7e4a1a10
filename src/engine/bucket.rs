//! The launch quota of one account and region as a token bucket, refilled by the instants that it is given.
//!
//! ECS counts the launches of everybody in the account, so it may throttle below the rate that is configured. Then the
//! bucket slows for every run at once: it is empty and fills half as fast, and from then on a twentieth of the configured
//! rate faster each second, until it is throttled again or fills at that rate.

use chrono::{DateTime, TimeDelta, Utc};

/// By how much of the configured rate the pace grows each second. However often it is halved, this lets a launch through
/// now and then (at 20 a second each one and a half), and so finds out when ECS takes launches again.
const GROWTH: f64 = 1.0 / 20.0;
/// How often the pace is halved at most: a burst of launches has many answers, and they tell one thing.
const SLOWED_ONCE_IN: TimeDelta = TimeDelta::seconds(1);

/// Grants up to `burst` permits at once and `rate` a second after that, or fewer for a while after a throttle.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// As configured.
    rate: f64,
    burst: f64,
    /// How fast it fills now.
    pace: f64,
    tokens: f64,
    /// Permits were taken from a full bucket, and their launches have not left yet.
    was_full: bool,
    filled_at: DateTime<Utc>,
    slowed_at: Option<DateTime<Utc>>,
}

impl Bucket {
    /// A full bucket. `rate` is in permits a second; both are positive.
    pub fn new(rate: f64, burst: u32, now: DateTime<Utc>) -> Bucket {
        let burst = f64::from(burst);
        Bucket { rate, burst, pace: rate, tokens: burst, was_full: false, filled_at: now, slowed_at: None }
    }

    /// Changes the quota; what is in the bucket stays, up to the new burst, and so does a pace that throttles have lowered.
    pub fn set_quota(&mut self, rate: f64, burst: u32, now: DateTime<Utc>) {
        self.fill(now);
        self.pace = if self.pace < self.rate { self.pace.min(rate) } else { rate };
        (self.rate, self.burst) = (rate, f64::from(burst));
        self.tokens = self.tokens.min(self.burst);
    }

    /// Whether there is a permit.
    pub fn has_permit(&mut self, now: DateTime<Utc>) -> bool {
        self.fill(now);
        self.tokens >= 1.0
    }

    /// Takes a permit, if there is one.
    pub fn take(&mut self, now: DateTime<Utc>) -> bool {
        self.take_several(1, now)
    }

    /// Takes so many permits, if there is one: a launch of several tasks does not wait until all are there, which with a small
    /// burst would be never. The next launch waits for what it took beforehand.
    pub fn take_several(&mut self, permits: u32, now: DateTime<Utc>) -> bool {
        let granted = self.has_permit(now);
        if granted {
            self.was_full |= self.tokens >= self.burst;
            self.tokens -= f64::from(permits);
        }
        granted
    }

    /// The launches that permits were taken for leave now. The bucket of ECS was full until then, and gained nothing while
    /// they were being saved; so a full one begins to fill only now. And it stays full until the first of them arrives, which
    /// makes a connection and takes longer than those after it: a permit is kept back for that, where there is one to spare.
    pub fn left(&mut self, now: DateTime<Utc>) {
        if std::mem::take(&mut self.was_full) {
            self.filled_at = now;
            self.tokens -= if self.burst > 1.0 { 1.0 } else { 0.0 };
        }
    }

    /// ECS throttled a launch that left at `sent_at`. One that had left before the pace was lowered is no news.
    pub fn throttled(&mut self, sent_at: DateTime<Utc>, now: DateTime<Utc>) {
        self.fill(now);
        // What a launch of several tasks took beforehand stays taken.
        self.tokens = self.tokens.min(0.0);
        if self.slowed_at.is_some_and(|at| sent_at <= at || now - at < SLOWED_ONCE_IN) {
            return;
        }
        self.slowed_at = Some(now);
        self.pace /= 2.0;
    }

    /// When the next permit is there.
    pub fn next_permit(&self) -> DateTime<Utc> {
        let missing = (1.0 - self.tokens).max(0.0);
        let growth = self.rate * GROWTH;
        let slow_for = (self.rate - self.pace) / growth;
        let gained_slowly = slow_for * f64::midpoint(self.pace, self.rate);
        let seconds = if missing > gained_slowly {
            slow_for + (missing - gained_slowly) / self.rate
        } else {
            // Where pace * t + growth * t² / 2 is what is missing.
            ((self.pace.powi(2) + 2.0 * growth * missing).sqrt() - self.pace) / growth
        };
        #[expect(clippy::cast_possible_truncation, reason = "a cast saturates, and what is then too far is never")]
        let milliseconds = (seconds.max(0.0) * 1000.0).ceil() as i64;
        let wait = TimeDelta::try_milliseconds(milliseconds);
        wait.and_then(|wait| self.filled_at.checked_add_signed(wait)).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// How many permits a second it grants now.
    pub fn pace(&self, now: DateTime<Utc>) -> f64 {
        self.gain(now).1
    }

    /// A clock that jumped back adds nothing; one that jumped ahead adds at most a burst.
    fn fill(&mut self, now: DateTime<Utc>) {
        let (gained, pace) = self.gain(now);
        self.tokens = (self.tokens + gained).min(self.burst);
        self.pace = pace;
        self.filled_at = now;
        // Else throttles would be no news until the clock is back where it was.
        self.slowed_at = self.slowed_at.map(|at| at.min(now));
    }

    /// What has come in since it was last filled, and how fast it fills by then.
    fn gain(&self, now: DateTime<Utc>) -> (f64, f64) {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a refill fit a double")]
        let seconds = (now - self.filled_at).num_microseconds().unwrap_or(i64::MAX).max(0) as f64 / 1e6;
        let growth = self.rate * GROWTH;
        let slow_for = ((self.rate - self.pace) / growth).min(seconds);
        let pace = if slow_for < seconds { self.rate } else { self.pace + growth * slow_for };
        (slow_for * f64::midpoint(self.pace, pace) + (seconds - slow_for) * self.rate, pace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many milliseconds after the beginning.
    fn at(milliseconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::milliseconds(milliseconds)
    }

    /// How many permits there are in a stretch of time, asked for each millisecond.
    fn granted(bucket: &mut Bucket, from: i64, until: i64) -> usize {
        (from..until).filter(|millisecond| bucket.take(at(*millisecond))).count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = Bucket::new(20.0, 20, at(0));
        assert_eq!((0..100).filter(|_| bucket.take(at(0))).count(), 20);
        assert_eq!(bucket.next_permit(), at(50));
        assert_eq!(granted(&mut bucket, 1, 1001), 20);
    }

    #[test]
    fn a_launch_of_several_tasks_is_paid_for_by_the_next_one() {
        let mut bucket = Bucket::new(20.0, 5, at(0));
        assert!(bucket.take_several(10, at(0)));
        assert_eq!(bucket.next_permit(), at(300));
        bucket.throttled(at(0), at(0));
        assert!(bucket.next_permit() > at(300), "a throttle gives nothing back");
        let mut bucket = Bucket::new(20.0, 5, at(0));
        assert!(bucket.take_several(10, at(0)));
        assert!(!bucket.take(at(299)) && bucket.take(at(301)));
    }

    #[test]
    fn a_full_bucket_begins_to_fill_when_its_launches_have_left() {
        let mut bucket = Bucket::new(20.0, 20, at(0));
        assert_eq!((0..100).filter(|_| bucket.take(at(0))).count(), 20);
        // It took so long to save them.
        bucket.left(at(40));
        // And may take as long as a permit to arrive.
        assert_eq!(bucket.next_permit(), at(140));
        assert!(!bucket.take(at(139)) && bucket.take(at(141)));
        // From then on ECS's fills as well while launches are being saved, so no time is lost.
        bucket.left(at(145));
        assert_eq!(granted(&mut bucket, 146, 1_142), 20);
    }

    #[test]
    fn a_bucket_of_one_permit_has_none_to_spare() {
        let mut bucket = Bucket::new(20.0, 1, at(0));
        assert!(bucket.take(at(0)));
        bucket.left(at(40));
        assert_eq!(bucket.next_permit(), at(90));
    }

    #[test]
    fn a_rate_of_nearly_nothing_waits_for_ever() {
        let mut bucket = Bucket::new(f64::MIN_POSITIVE, 1, at(0));
        assert!(bucket.take(at(0)));
        assert_eq!(bucket.next_permit(), DateTime::<Utc>::MAX_UTC);
    }

    #[test]
    fn a_clock_that_jumps_back_grants_nothing_more() {
        let start = at(0) + TimeDelta::hours(1);
        let mut bucket = Bucket::new(1.0, 1, start);
        assert!(bucket.take(start));
        assert!(!bucket.take(start - TimeDelta::minutes(30)));
    }

    #[test]
    fn a_throttle_empties_it_and_halves_its_pace_which_grows_by_a_twentieth_each_second() {
        let mut bucket = Bucket::new(20.0, 20, at(0));
        bucket.throttled(at(0), at(1_000));
        assert!(!bucket.has_permit(at(1_000)));
        for (second, pace) in [(1, 10.0), (2, 11.0), (6, 15.0), (11, 20.0), (100, 20.0)] {
            assert!((bucket.pace(at(second * 1_000)) - pace).abs() < 1e-9, "{second}: {}", bucket.pace(at(second)));
        }
        // 15 a second on the way from 10 to 20.
        assert_eq!(granted(&mut bucket, 1_001, 11_002), 150);
        assert_eq!(granted(&mut bucket, 11_002, 12_002), 20);
    }

    #[test]
    fn the_answers_of_one_burst_count_once() {
        let mut bucket = Bucket::new(20.0, 20, at(0));
        for answered in 0..20 {
            bucket.throttled(at(0), at(500 + answered * 200));
        }
        assert!(bucket.pace(at(4_300)) > 13.0, "all of them had left before the first was answered");
        bucket.throttled(at(1_000), at(4_300));
        let slowed = bucket.pace(at(4_300));
        assert!((6.5..7.5).contains(&slowed), "one that left later is news: {slowed}");
        bucket.throttled(at(4_400), at(4_500));
        assert!(bucket.pace(at(4_500)) >= slowed, "it is halved once a second at most");
    }

    #[test]
    fn throttles_never_stop_it() {
        for (rate, longest) in [(20.0, 1_500), (1.0, 6_400), (0.05, 29_000)] {
            let (mut bucket, mut now) = (Bucket::new(rate, 1, at(0)), at(0));
            for _ in 0..100 {
                // Every launch is throttled, and asked for anew at once.
                assert!(bucket.take(now));
                let answered = now + TimeDelta::milliseconds(100);
                bucket.throttled(now, answered);
                now = bucket.next_permit() + TimeDelta::milliseconds(1);
                assert!(now - answered <= TimeDelta::milliseconds(longest), "{rate}: {}", now - answered);
            }
        }
    }

    #[test]
    fn the_next_permit_is_there_when_it_says_so_also_while_the_pace_grows() {
        for throttles in 0..8 {
            let mut bucket = Bucket::new(3.0, 2, at(0));
            for nth in 1..=throttles {
                bucket.throttled(at(nth * 1_500 - 1), at(nth * 1_500));
            }
            let mut now = at(throttles * 1_500 + 1);
            for _ in 0..100 {
                while bucket.take(now) {}
                let next = bucket.next_permit();
                assert!(next > now && !bucket.has_permit(next - TimeDelta::milliseconds(2)), "not too late");
                // A rounding may cost a millisecond.
                now = next + TimeDelta::milliseconds(1);
                assert!(bucket.has_permit(now), "after {throttles} throttles");
            }
        }
    }

    #[test]
    fn a_clock_that_jumps_back_leaves_it_slow_and_takes_throttles_for_news() {
        let mut bucket = Bucket::new(20.0, 20, at(3_600_000));
        bucket.throttled(at(3_599_900), at(3_600_000));
        assert!((bucket.pace(at(0)) - 10.0).abs() < 1e-9);
        assert!(!bucket.has_permit(at(0)));
        bucket.throttled(at(5_000), at(5_100));
        assert!(bucket.pace(at(5_100)) < 8.0, "{}", bucket.pace(at(5_100)));
    }

    #[test]
    fn another_quota_lifts_no_throttle() {
        let mut bucket = Bucket::new(20.0, 20, at(0));
        bucket.set_quota(40.0, 20, at(0));
        assert!((bucket.pace(at(0)) - 40.0).abs() < 1e-9);
        bucket.throttled(at(0), at(1_000));
        bucket.set_quota(100.0, 20, at(1_000));
        assert!((bucket.pace(at(1_000)) - 20.0).abs() < 1e-9);
        bucket.set_quota(5.0, 20, at(1_000));
        assert!((bucket.pace(at(1_000)) - 5.0).abs() < 1e-9);
    }
}
