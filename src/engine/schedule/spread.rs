//! `spread`: by how much a job leaves after its instants, so that ten thousand jobs of one instant do not leave at once.
//!
//! The offset is a hash of the names, not chance: it is the same after a restart, on another machine and in a forecast, and a
//! job keeps its distance from run to run. The instant itself is not moved, and nothing of a schedule depends on this.

use crate::engine::job::{Instance, JobName};
use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Part of what is hashed, so that no other hash of the same names has the same bits.
const PURPOSE: &str = "tenacron spread 1";

/// The job's own part of a spread: whole milliseconds from zero up to, and not including, `spread`, evenly distributed over
/// the names.
pub fn spread_offset(instance: &Instance, job: &JobName, spread: Duration) -> TimeDelta {
    let digest = Sha256::new()
        .chain_update(PURPOSE)
        .chain_update([0])
        .chain_update(instance.as_str())
        .chain_update([0])
        .chain_update(job.as_str())
        .finalize();
    let hash = digest.iter().take(8).fold(0_u64, |hash, byte| (hash << 8) | u64::from(*byte));
    // The hash as a fraction of one, times the spread: even to one part in 2^64, without the skew of a remainder.
    let milliseconds = (u128::from(hash) * spread.as_millis()) >> 64;
    i64::try_from(milliseconds).ok().and_then(TimeDelta::try_milliseconds).unwrap_or(TimeDelta::MAX)
}
