//! The signals that a long-running command takes.

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit::{Exit, Failed};

/// Cancels the token on SIGTERM, SIGINT or SIGHUP. A second one ends the process at once, as a crash would: the next start
/// goes on from what is stored.
pub(super) fn stop_on_signals(stop: CancellationToken) -> Result<(), Failed> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    tokio::spawn(async move {
        for is_first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
            if is_first {
                stop.cancel();
            } else {
                std::process::exit(i32::from(Exit::Failed as u8));
            }
        }
    });
    Ok(())
}

/// A write past a limit on the size of files ends a process unless it takes the signal; then the write itself fails, as it
/// does on a full disk, and is dealt with in the same way.
pub(super) fn outlive_full_files() -> Result<(), Failed> {
    // Once taken it stays taken, also when nobody listens any more.
    listen(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}

fn listen(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failed> {
    signal(kind).map_err(|error| Failed::new(Exit::Failed, format!("failed to wait for signals: {error}")))
}
