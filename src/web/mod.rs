//! The HTTP API: the same objects on the control socket, on `[http] listen` and on the command line.
//!
//! Reads come from the store and from the daemon's mailbox; what people do goes to the mailbox. Nothing here writes a run. The control socket is guarded by
//! file permissions. A TCP listener is loopback only and answers only requests that name it, so that a web page cannot
//! reach it through a name of its own (DNS rebinding).

pub mod api;
pub mod backup;
pub mod hands;
pub mod listen;
mod metrics;
pub mod objects;
pub mod peer;
pub mod socket;
pub mod why;
