//! When a notice that was not taken is tried again, and when it is given up.
//!
//! Pauses double, for whoever is down is not helped by more calls, and differ a little from each other, so that what failed
//! together does not come back together. After a day a notice is history: it becomes a dead letter, which people can see.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};

/// The pause after the first try that failed.
pub const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(5);
/// The longest pause of our own.
pub const PAUSE_MAX: TimeDelta = TimeDelta::minutes(15);
/// The longest pause that the other side may ask for.
pub const ASKED_PAUSE_MAX: TimeDelta = TimeDelta::hours(1);
/// For how long a notice is tried.
pub const TRIED_FOR: TimeDelta = TimeDelta::hours(24);
/// For how long notices to a channel that has left the configuration wait for it to come back.
pub const MISSED_FOR: TimeDelta = TimeDelta::hours(1);
/// Pauses are shorter by up to so many thousandths.
const SPREAD: i32 = 200;

/// The pause after so many tries in a row that failed, the same for the same name.
pub fn pause(failures: u32, name: &str, asked_for: Option<TimeDelta>) -> TimeDelta {
    let doublings = failures.saturating_sub(1).min(16);
    let longest = (FIRST_PAUSE * (1 << doublings)).min(PAUSE_MAX);
    let hash = Sha256::digest(format!("{name} {failures}"));
    let share = hash.iter().take(2).fold(0, |sum, byte| sum * 256 + i32::from(*byte)) % (SPREAD + 1);
    let ours = longest - longest * share / 1_000;
    asked_for.map_or(ours, |asked_for| ours.max(asked_for.min(ASKED_PAUSE_MAX)))
}

/// Whether a notice that has been owed since then is given up if it is not taken now.
pub fn is_over(since: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - since >= TRIED_FOR
}

/// What a header `Retry-After` asks for: seconds, or an instant. Source: RFC 9110, "Retry-After".
pub fn asked_for(header: &str, now: DateTime<Utc>) -> Option<TimeDelta> {
    let header = header.trim();
    let seconds = header.parse::<u32>().ok().map(|seconds| TimeDelta::seconds(seconds.into()));
    let instant = || DateTime::parse_from_rfc2822(header).ok().map(|instant| instant.to_utc() - now);
    seconds.or_else(instant).filter(|asked_for| *asked_for > TimeDelta::zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
    }

    #[test]
    fn pauses_double_up_to_a_quarter_of_an_hour_and_differ_by_a_fifth_at_most() {
        let expected = [5, 10, 20, 40, 80, 160, 320, 640, 900, 900];
        for (failures, seconds) in (1..).zip(expected) {
            for name in ["a", "b", "c", "d"] {
                let pause = pause(failures, name, None);
                assert!(
                    pause <= TimeDelta::seconds(seconds) && pause >= TimeDelta::seconds(seconds) * 4 / 5,
                    "{pause}"
                );
            }
        }
        assert_eq!(pause(3, "a", None), pause(3, "a", None));
        assert_ne!(pause(9, "a", None), pause(9, "b", None));
        assert!(pause(u32::MAX, "a", None) <= PAUSE_MAX);
    }

    #[test]
    fn who_asks_for_more_gets_it_up_to_an_hour() {
        let asked = |seconds| pause(1, "a", Some(TimeDelta::seconds(seconds)));
        assert_eq!(asked(120), TimeDelta::seconds(120));
        assert_eq!(asked(86_400), ASKED_PAUSE_MAX);
        assert_eq!(asked(1), pause(1, "a", None), "less is no reason to come sooner");
    }

    #[test]
    fn a_day_is_over_after_a_day() {
        assert!(!is_over(at(0), at(86_399)));
        assert!(is_over(at(0), at(86_400)));
        assert!(!is_over(at(0), at(-5)), "the clock was set back");
    }

    #[test]
    fn retry_after_is_seconds_or_an_instant() {
        assert_eq!(asked_for(" 7 ", at(0)), Some(TimeDelta::seconds(7)));
        assert_eq!(asked_for("Thu, 01 Jan 2026 00:01:00 GMT", at(0)), Some(TimeDelta::seconds(60)));
        for nothing in ["", "0", "-3", "soon", "Thu, 01 Jan 2026 00:00:00 GMT"] {
            assert_eq!(asked_for(nothing, at(0)), None, "{nothing}");
        }
    }
}
