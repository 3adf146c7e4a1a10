//! The offsets of a spread are the same for ever, and even.

use crate::engine::job::{Instance, JobName};
use crate::engine::schedule::spread_offset;
use chrono::TimeDelta;
use proptest::prelude::*;
use std::time::Duration;

fn offset(instance: &str, job: &str, spread: Duration) -> TimeDelta {
    spread_offset(&Instance::new(instance).unwrap(), &JobName::new(job).unwrap(), spread)
}

/// Another version of the program must find the same: a job that moves within its spread may run twice as late as it was.
#[test]
fn offsets_never_change() {
    let hour = Duration::from_secs(3_600);
    let found = [("prod", "nightly"), ("prod", "hourly"), ("stage", "nightly"), ("prodn", "ightly")]
        .map(|(instance, job)| offset(instance, job, hour).num_milliseconds());
    assert_eq!(found, [1_268_460, 561_977, 3_593_519, 1_976_642]);
    assert_eq!(offset("prod", "nightly", Duration::from_secs(60)).num_milliseconds(), found[0] / 60);
    assert_eq!(offset("prod", "nightly", Duration::ZERO), TimeDelta::zero());
    assert_eq!(offset("prod", "nightly", Duration::from_micros(999)), TimeDelta::zero());
}

#[test]
fn ten_thousand_jobs_are_spread_evenly() {
    let mut tenths = [0_u32; 10];
    for nth in 0..10_000 {
        let offset = offset("prod", &format!("job-{nth}"), Duration::from_secs(600));
        tenths[usize::try_from(offset.num_seconds() / 60).unwrap()] += 1;
    }
    // Thirty is the deviation that chance gives; these names are always the same.
    assert!(tenths.iter().all(|count| (880..=1_120).contains(count)), "{tenths:?}");
}

proptest! {
    #[test]
    fn an_offset_is_less_than_its_spread(job in "[a-z][a-z0-9._-]{0,63}", milliseconds in 1..100_000_000_000_u64) {
        let offset = offset("prod", &job, Duration::from_millis(milliseconds));
        let whole = u64::try_from(offset.num_milliseconds()).unwrap();
        prop_assert!(whole < milliseconds);
        prop_assert_eq!(TimeDelta::milliseconds(offset.num_milliseconds()), offset);
    }

    #[test]
    fn a_longer_spread_keeps_the_order_of_the_jobs(one in "[a-z]{1,20}", other in "[a-z]{1,20}", seconds in 1..100_000_u64) {
        let (short, long) = (Duration::from_secs(seconds), Duration::from_secs(seconds * 7));
        if offset("prod", &one, short) < offset("prod", &other, short) {
            prop_assert!(offset("prod", &one, long) < offset("prod", &other, long));
        }
    }
}
