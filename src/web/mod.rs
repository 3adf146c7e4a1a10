//! The HTTP API: the same objects on the control socket, on `[http] listen` and on the command line.
//!
//! Reads come from the store and from the daemon's mailbox; what people do goes to the mailbox. Nothing here writes a run. The
//! control socket is guarded by file permissions. A TCP listener has a gate (`gate.rs`): it answers only requests that name this
//! server, so that a web page cannot reach it through a name of its own (DNS rebinding), and asks for tokens where it can be
//! reached from elsewhere. What strangers can make either of them hold has a limit (`serve.rs`).

pub mod api;
mod asked;
pub mod backup;
mod events;
pub mod gate;
pub mod hands;
mod heads;
pub mod listen;
mod metrics;
pub mod notices;
pub mod objects;
mod openapi;
pub mod page;
mod patient;
pub mod peer;
mod seldom;
mod serve;
mod session;
pub mod socket;
pub mod why;
