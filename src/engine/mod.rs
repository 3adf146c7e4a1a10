//! What Tenacron decides, and nothing of what it does.
//!
//! Schedules, admission, retry rules, error names, verdicts and the run's state machine live here. Nothing in this folder
//! awaits, logs, reads a clock or a file: time is an argument, failures of the outside world are values, and the shell
//! in `daemon/` performs what is decided. So every rule can be tested at memory speed, and a restart is the ordinary path.
//! `tests/it/tidy.rs` holds the folder to that.

#![deny(clippy::wildcard_enum_match_arm)]

pub mod admit;
pub mod bucket;
pub mod call_fault;
pub mod catalogue;
pub mod exit_codes;
pub mod failure;
pub mod forecast;
pub mod found;
pub mod hint;
pub mod iam;
pub mod inventory;
pub mod job;
mod kind;
pub mod launch;
pub mod log_tail;
pub mod notice;
pub mod outcome;
pub mod overrides;
pub mod pairs;
pub mod pause;
pub mod quota;
pub mod resources;
pub mod retention;
pub mod retry;
pub mod run;
#[cfg(test)]
pub(crate) mod samples;
pub mod schedule;
pub mod slots;
pub mod target;
pub mod task;
pub mod written;
