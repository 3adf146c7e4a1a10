//! How long what is over is kept.
//!
//! Only runs that are over ever go, and each whole. Of each job the newest run of every end stays, so that "when did it last
//! succeed" and "how did it last fail" always have an answer. So does whatever is younger than a day: the row of an instant is
//! what keeps it from being decided again under a clock that was set back.
//! A run that still owes somebody a notice stays until that is settled; the stores see to it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// How long a row stays whatever the rules say; counted from its instant and from its end.
pub const KEPT_ALWAYS: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a run is kept unless told: one of last year can still be looked at when it comes again this year.
const MAX_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// What is kept; what neither limit names goes on being kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long after its end a run is kept, [`KEPT_ALWAYS`] at least; also what people did. None: for ever.
    pub max_age: Option<Duration>,
    /// How many runs of a job are kept, the newest ones. None: all.
    pub max_runs: Option<u32>,
}

/// What the rules ask of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Its nominal instant.
    pub scheduled_at: DateTime<Utc>,
    /// When it ended; none while it lives.
    pub finished_at: Option<DateTime<Utc>>,
    /// Whether no newer run of its job ended like it.
    pub is_newest_of_its_end: bool,
    /// Whether [`Retention::max_runs`] newer ones of its job are there.
    pub is_surplus: bool,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { max_age: Some(MAX_AGE), max_runs: None }
    }
}

impl Retention {
    /// What ended before is too old; none if nothing ever is.
    pub fn too_old_before(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        before(now, self.max_age?.max(KEPT_ALWAYS))
    }

    /// Whether a run goes.
    pub fn lets_go(&self, run: Kept, now: DateTime<Utc>) -> bool {
        let Kept { scheduled_at, finished_at, is_newest_of_its_end, is_surplus } = run;
        let (Some(finished_at), Some(young)) = (finished_at, before(now, KEPT_ALWAYS)) else { return false };
        let is_too_old = self.too_old_before(now).is_some_and(|too_old| finished_at < too_old);
        let is_young = scheduled_at >= young || finished_at >= young;
        (is_too_old || is_surplus) && !is_young && !is_newest_of_its_end
    }
}

fn before(now: DateTime<Utc>, age: Duration) -> Option<DateTime<Utc>> {
    now.checked_sub_signed(TimeDelta::from_std(age).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const ALL: Retention = Retention { max_age: None, max_runs: None };

    fn at(days: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_774_000_000 + days * DAY, 0).unwrap()
    }

    fn ended(scheduled: i64, finished: i64) -> Kept {
        Kept {
            scheduled_at: at(scheduled),
            finished_at: Some(at(finished)),
            is_newest_of_its_end: false,
            is_surplus: false,
        }
    }

    fn days(days: u64) -> Retention {
        Retention { max_age: Some(Duration::from_secs(days * DAY.unsigned_abs())), max_runs: None }
    }

    #[test]
    fn what_ended_longer_ago_than_the_age_goes() {
        let rules = days(30);
        assert!(rules.lets_go(ended(0, 0), at(31)));
        assert!(!rules.lets_go(ended(0, 0), at(30)), "at the very age it stays");
        assert!(!rules.lets_go(ended(0, 5), at(31)), "the end counts, not the instant");
        assert!(!ALL.lets_go(ended(0, 0), at(10_000)));
    }

    #[test]
    fn what_lives_or_is_the_newest_of_its_end_stays() {
        let rules = days(30);
        assert!(!rules.lets_go(Kept { finished_at: None, is_surplus: true, ..ended(0, 0) }, at(1_000)));
        assert!(!rules.lets_go(Kept { is_newest_of_its_end: true, is_surplus: true, ..ended(0, 0) }, at(1_000)));
    }

    #[test]
    fn a_surplus_goes_when_it_is_a_day_old() {
        let surplus = |scheduled, finished| Kept { is_surplus: true, ..ended(scheduled, finished) };
        assert!(ALL.lets_go(surplus(0, 0), at(2)));
        assert!(!ALL.lets_go(surplus(0, 1), at(2)), "it ended a day ago");
        assert!(!ALL.lets_go(surplus(3, 0), at(2)), "its instant was decided on a clock that ran ahead");
    }

    #[test]
    fn an_age_below_a_day_is_a_day() {
        let rules = Retention { max_age: Some(Duration::from_secs(60)), max_runs: None };
        assert!(!rules.lets_go(ended(0, 0), at(1)));
        assert!(rules.lets_go(ended(0, 0), at(2)));
        let endless = Retention { max_age: Some(Duration::MAX), max_runs: None };
        assert!(!endless.lets_go(ended(0, 0), at(2)), "an age beyond all calendars");
    }
}
