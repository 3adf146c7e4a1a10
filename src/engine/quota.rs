//! The launch quotas: a bucket for each account and region, because ECS counts and throttles by those.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::bucket::Bucket;
use super::failure::{self, ErrorName};
use super::job::Target;
use super::task::LaunchAnswer;

/// An account and region, as far as a configuration tells them apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QuotaKey {
    /// None for the daemon's own.
    pub region: Option<String>,
    /// The account's number; none for that of the daemon's own credentials.
    pub account: Option<String>,
}

impl fmt::Display for QuotaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.account, &self.region) {
            (None, None) => f.write_str("the daemon's own account and region"),
            (None, Some(region)) => write!(f, "the daemon's own account in {region}"),
            (Some(account), None) => write!(f, "account {account}"),
            (Some(account), Some(region)) => write!(f, "account {account} in {region}"),
        }
    }
}

/// Whose quota the calls for a target take from. Targets of one account and region share it, whatever their names, roles
/// and endpoints. That a role is of the daemon's own account can't be seen: such a target counts for itself.
pub fn quota_key(target: &Target) -> QuotaKey {
    // arn:aws:iam::123456789012:role/launcher
    let account = |role: &String| {
        let number = role.split(':').nth(4).filter(|number| !number.is_empty());
        number.unwrap_or(role).to_owned()
    };
    QuotaKey { region: target.region.clone(), account: target.role_arn.as_ref().map(account) }
}

/// Whether RunTask was throttled, openly or in disguise.
pub fn is_throttled(answer: &LaunchAnswer) -> bool {
    failure::of_answer(answer).is_some_and(|failure| failure.names.contains(&ErrorName::THROTTLED))
}

/// A bucket for each account and region, all of the same size. One that has never been asked is full.
#[derive(Debug, Clone)]
pub struct Quotas {
    rate: f64,
    burst: u32,
    buckets: BTreeMap<QuotaKey, Bucket>,
}

impl Quotas {
    /// Buckets that grant `burst` permits at once and `rate` a second; both are positive.
    pub fn new(rate: f64, burst: u32) -> Quotas {
        Quotas { rate, burst, buckets: BTreeMap::new() }
    }

    /// Changes the quota of every account and region.
    pub fn set(&mut self, rate: f64, burst: u32, now: DateTime<Utc>) {
        (self.rate, self.burst) = (rate, burst);
        self.buckets.values_mut().for_each(|bucket| bucket.set_quota(rate, burst, now));
    }

    /// The bucket of an account and region.
    pub fn bucket(&mut self, key: QuotaKey, now: DateTime<Utc>) -> &mut Bucket {
        self.buckets.entry(key).or_insert_with(|| Bucket::new(self.rate, self.burst, now))
    }

    /// The launches that permits were taken for leave now.
    pub fn left(&mut self, now: DateTime<Utc>) {
        self.buckets.values_mut().for_each(|bucket| bucket.left(now));
    }

    /// When the next permit is there; long ago for a bucket that was never asked.
    pub fn next_permit(&self, key: &QuotaKey) -> DateTime<Utc> {
        self.buckets.get(key).map_or(DateTime::<Utc>::MIN_UTC, Bucket::next_permit)
    }

    /// How many permits a second are granted now.
    pub fn pace(&self, key: &QuotaKey, now: DateTime<Utc>) -> f64 {
        self.buckets.get(key).map_or(self.rate, |bucket| bucket.pace(now))
    }

    /// Whether fewer are granted than configured, because ECS throttled.
    pub fn is_slowed(&self, key: &QuotaKey, now: DateTime<Utc>) -> bool {
        self.pace(key, now) < self.rate
    }

    /// Whose buckets are known.
    pub fn keys(&self) -> impl Iterator<Item = &QuotaKey> {
        self.buckets.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(region: Option<&str>, role_arn: Option<&str>) -> Target {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Target { name: Some("there".into()), region: text(region), role_arn: text(role_arn), ..Target::default() }
    }

    #[test]
    fn targets_of_one_account_and_region_share_a_quota() {
        let (a, b) = ("arn:aws:iam::111122223333:role/a", "arn:aws:iam::111122223333:role/path/b");
        let here = quota_key(&target(Some("eu-west-1"), Some(a)));
        assert_eq!(here, quota_key(&target(Some("eu-west-1"), Some(b))));
        assert_eq!(here.account.as_deref(), Some("111122223333"));
        assert_ne!(here, quota_key(&target(Some("eu-west-2"), Some(a))));
        assert_ne!(here, quota_key(&target(Some("eu-west-1"), Some("arn:aws:iam::444455556666:role/a"))));
        assert_ne!(here, quota_key(&target(Some("eu-west-1"), None)));
        let own = quota_key(&Target::default());
        let elsewhere = Target { endpoint: Some("http://127.0.0.1:5100".into()), ..Target::default() };
        assert_eq!((own.clone(), own), (quota_key(&target(None, None)), quota_key(&elsewhere)));
        assert_eq!(quota_key(&target(None, Some("no-arn"))).account.as_deref(), Some("no-arn"));
    }

    #[test]
    fn each_account_and_region_has_its_own() {
        let now = DateTime::UNIX_EPOCH;
        let (own, other) = (QuotaKey::default(), quota_key(&target(Some("eu-west-1"), None)));
        let mut quotas = Quotas::new(10.0, 1);
        assert!(quotas.bucket(own.clone(), now).take(now));
        assert!(!quotas.bucket(own.clone(), now).take(now));
        quotas.bucket(own.clone(), now).throttled(now, now);
        assert!(quotas.bucket(other.clone(), now).take(now));
        assert_eq!((quotas.is_slowed(&own, now), quotas.is_slowed(&other, now)), (true, false));
        quotas.set(2.0, 1, now);
        assert!((quotas.pace(&other, now) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn throttling_is_known_in_disguise() {
        let refused = |code: &str, message: &str| {
            let (code, message) = (Some(code.to_owned()), message.to_owned());
            is_throttled(&LaunchAnswer::Refused { code, message, status: 400 })
        };
        assert!(refused("ThrottlingException", "Rate exceeded"));
        assert!(refused("InvalidParameterException", "Rate exceeded (ErrorCode: Throttling)"));
        assert!(!refused("InvalidParameterException", "no such subnet"));
        assert!(!is_throttled(&LaunchAnswer::NoAnswer { sent: true, message: "timed out".into() }));
    }
}
