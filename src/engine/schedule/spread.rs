//! How much later than its instant a job leaves, so that a herd at midnight is flattened.

use std::time::Duration;

use chrono::TimeDelta;
use sha2::{Digest as _, Sha256};

use crate::engine::job::{Instance, JobName};

/// A stable part of `spread`, in whole milliseconds and less than it.
pub fn spread_offset(instance: &Instance, job: &JobName, spread: Duration) -> TimeDelta {
    let milliseconds = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
    if milliseconds == 0 {
        return TimeDelta::zero();
    }
    let mut hash = Sha256::new();
    hash.update(instance.as_str());
    hash.update([0]);
    hash.update(job.as_str());
    let mut first = [0u8; 8];
    first.iter_mut().zip(hash.finalize().iter()).for_each(|(to, from)| *to = *from);
    let offset = u64::from_be_bytes(first) % milliseconds;
    TimeDelta::milliseconds(i64::try_from(offset).unwrap_or(i64::MAX))
}
