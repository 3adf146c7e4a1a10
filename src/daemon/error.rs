//! Why a daemon ends by itself; each reason has an exit code of its own (`cli/run.rs`).

use crate::store::StoreError;

/// Why the daemon ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// What was in flight could not be read.
    #[error("failed to read what is in flight")]
    Load(#[source] StoreError),
    /// Another daemon took over.
    #[error("failed to go on")]
    Deposed(#[source] StoreError),
    /// What is in memory does not continue what is stored, or the store is closed; a restart begins from what is stored.
    #[error("failed to go on")]
    Inconsistent(#[source] StoreError),
    /// The store can save nothing more in this process; a restart goes on from what is stored.
    #[error("failed to go on")]
    Severed(#[source] StoreError),
    /// What is stored is damaged; a restart would meet the same.
    #[error("failed to go on")]
    Damaged(#[source] StoreError),
    /// The daemon was told to stop while its store failed: the newest decisions were neither saved nor performed.
    #[error("stopped while the state could not be saved")]
    StoppedUnsaved(#[source] StoreError),
}
