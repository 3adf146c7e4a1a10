//! The signals that a long-running command takes.

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::exit::{Exit, Failed};

/// Cancels one of these tokens after the other, one at each of these signals. A further signal ends the process at once, as a
/// crash would: the next start goes on from what is stored.
pub(super) fn stop_on_signals(stages: Vec<CancellationToken>, kinds: &[SignalKind]) -> Result<(), Failed> {
    let (sender, mut arrived) = mpsc::channel(1);
    for kind in kinds {
        let (mut signal, sender) = (listen_for(*kind)?, sender.clone());
        tokio::spawn(async move { while signal.recv().await.is_some() && sender.send(()).await.is_ok() {} });
    }
    tokio::spawn(async move {
        for stage in stages {
            if arrived.recv().await.is_some() {
                stage.cancel();
            }
        }
        if arrived.recv().await.is_some() {
            std::process::exit(i32::from(Exit::Failed as u8));
        }
    });
    Ok(())
}

/// A write past a limit on the size of files ends a process unless it takes the signal; then the write itself fails, as it
/// does on a full disk, and is dealt with in the same way.
pub(super) fn outlive_full_files() -> Result<(), Failed> {
    // Once taken it stays taken, also when nobody listens any more.
    listen_for(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}

/// Takes a signal from now on.
pub(super) fn listen_for(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failed> {
    signal(kind).map_err(|error| Failed::new(Exit::Failed, format!("failed to wait for signals: {error}")))
}
