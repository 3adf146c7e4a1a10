//! Exit codes. They are an interface: service files, scripts and checks rely on them, and `docs/commands.md` lists them.

use std::process::ExitCode;

/// How a command ended, as its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// It failed in a way that has no code of its own.
    Failed = 1,
    /// The command line was not understood; `clap` uses this number too.
    Usage = 2,
    /// There is no such job or run.
    NotFound = 3,
    /// No daemon answers on the control socket, or at the URL.
    NoDaemon = 4,
    /// Nothing was begun: a policy or the state of a run is against it.
    Declined = 5,
    /// The state is damaged, or is no state of Tenacron; a service manager should not restart on it.
    Damaged = 65,
    /// Something outside is not to be had: a port, a region, credentials.
    Unavailable = 69,
    /// A mistake in Tenacron itself; a restart goes on from what is stored.
    Software = 70,
    /// The state can't be read or written now; a restart may find it well.
    State = 74,
    /// Another daemon holds the state.
    Held = 75,
    /// The daemon wants a token, or another one.
    Denied = 77,
    /// The configuration is broken; a service manager should not restart on it.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command ended early: what to tell, and the exit code.
#[derive(Debug)]
pub struct Failed {
    /// The exit code.
    pub exit: Exit,
    /// For a person, on standard error.
    pub message: String,
}

impl Failed {
    /// A message with its exit code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Failed {
        Failed { exit, message: message.into() }
    }
}
