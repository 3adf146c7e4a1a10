//! Tells when launches are late for want of quota: one line when they begin to be, and one when they no longer are.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::driver::LaunchQueue;
use crate::engine::quota::QuotaKey;

/// How long a launch waits for its permit before somebody is told.
const LATE: TimeDelta = TimeDelta::minutes(1);
/// How much less it must be before that counts as over, so that a lag of about a minute is not told again and again.
const LATE_NO_MORE: TimeDelta = TimeDelta::seconds(30);

/// The accounts and regions whose launches are late.
#[derive(Debug, Default)]
pub(super) struct Lag(BTreeSet<QuotaKey>);

/// What is to be told of one.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Late(TimeDelta),
    InTime,
}

impl Lag {
    /// Writes the log lines that are due.
    pub(super) fn heed(&mut self, queues: &[LaunchQueue], now: DateTime<Utc>) {
        for queue in queues {
            let LaunchQueue { key: QuotaKey { region, account }, waiting, rate, slowed, .. } = queue;
            match self.news(queue, now) {
                Some(News::Late(by)) => {
                    let lag_seconds = by.num_seconds();
                    tracing::warn!(
                        region,
                        account,
                        waiting,
                        lag_seconds,
                        rate,
                        throttled = slowed,
                        "launches wait for the quota"
                    );
                }
                Some(News::InTime) => tracing::info!(region, account, rate, "launches no longer wait for the quota"),
                None => {}
            }
        }
    }

    fn news(&mut self, queue: &LaunchQueue, now: DateTime<Utc>) -> Option<News> {
        let lag = queue.since.map_or(TimeDelta::zero(), |since| now - since);
        if lag > LATE {
            return self.0.insert(queue.key.clone()).then_some(News::Late(lag));
        }
        (lag <= LATE_NO_MORE && self.0.remove(&queue.key)).then_some(News::InTime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_told_once_when_it_begins_and_once_when_it_is_over() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        let lag_of = |seconds: Option<i64>| LaunchQueue {
            key: QuotaKey::default(),
            waiting: 7,
            since: seconds.map(|seconds| now - TimeDelta::seconds(seconds)),
            rate: 20.0,
            slowed: false,
        };
        let mut lag = Lag::default();
        let seen =
            [Some(5), Some(60), Some(61), Some(90), Some(59), Some(61), Some(31), Some(30), None, Some(61), None];
        let told: Vec<Option<News>> = seen.map(|seconds| lag.news(&lag_of(seconds), now)).into_iter().collect();
        let late = || Some(News::Late(TimeDelta::seconds(61)));
        let expected =
            [None, None, late(), None, None, None, None, Some(News::InTime), None, late(), Some(News::InTime)];
        assert_eq!(told, expected);
        let other = LaunchQueue { key: QuotaKey { region: None, account: Some("1".into()) }, ..lag_of(Some(61)) };
        assert_eq!(lag.news(&other, now), late(), "each account by itself");
    }
}
