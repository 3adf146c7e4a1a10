//! Configuration: TOML text to values that the rest of the program can trust.
//!
//! [`load`] reads one file and `jobs.d/*.toml` beside it and answers with a [`Config`], or with every mistake of every file
//! at once. Nobody should repair a file by running into one mistake after the other, and a reload that is refused must
//! say why in one go. So nothing here stops at the first error: the syntax is read by the recovering parser of `toml`
//! (`syntax.rs`), variables of the environment are put into the tree (`variables.rs`), it is read key by key (`reader.rs`)
//! into what each file says (`file.rs`, `http.rs`, `targets.rs`, `task.rs`, `resources.rs`, `volume.rs`, `retry.rs`, `retention.rs`, `notify.rs`,
//! `local.rs`, `when.rs`), and what the files say together becomes domain values (`check.rs`, `capacity.rs`), of which some things can
//! be proved (`proofs.rs`, `reach.rs`), and which can be held against what ECS says (`online/`). Whatever is wrong on the way
//! is put down in one report (`report.rs`) with its place, and the way goes on.
//!
//! A value that is wrong is neither absent nor replaced by its default: it is `Field::Wrong`, so that one
//! mistake makes one finding and not a second one about a missing key. A wrong default is thus reported at its own place,
//! once, however many jobs inherit it.
//!
//! The files of tokens that `[http]` names are read by whoever needs them (`tokens.rs`), not with the configuration: only the
//! daemon may have the right to.
//!
//! Every step is linear in the size of the files; work that is worth it for a few findings only (suggestions, rendering)
//! is bounded by a count.

mod capacity;
mod check;
mod conceal;
mod exit_codes;
mod field;
mod file;
mod hidden;
mod http;
mod load;
mod local;
mod notify;
mod online;
mod proofs;
mod reach;
mod reader;
mod render;
mod report;
mod resources;
mod retention;
mod retry;
mod syntax;
mod targets;
mod task;
#[cfg(test)]
mod tests;
mod tokens;
mod variables;
mod volume;
mod watch;
mod when;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::job::{Instance, Job, JobName, Target};
use crate::engine::notice::ChannelId;
use crate::engine::retention::Retention;
use crate::engine::written::Written;
use crate::local::TaskDefinition;
use crate::notify::{Channel, Heartbeat};

pub use http::{HttpSettings, TokenFile};
pub use report::{Finding, Level};
pub use tokens::{Token, Tokens, UNREADABLE_TOKENS, client_token, read_tokens};
pub use watch::{Look, look};

/// Where the state lives if `[state] url` is not set; the caller applies it, because `--local` has a place of its own.
pub const DEFAULT_STATE: &str = "/var/lib/tenacron/state.db";
/// Where the control socket is if `[control] socket` is not set; the caller applies it, for the same reason.
pub const DEFAULT_CONTROL_SOCKET: &str = "/run/tenacron/control.sock";

/// All of the configuration, valid by construction.
#[derive(Debug, Clone)]
pub struct Config {
    /// The main file, as it was given.
    pub path: PathBuf,
    /// The name of this installation.
    pub instance: Instance,
    /// The SQLite file of `[state] url`; see [`DEFAULT_STATE`].
    pub state: Option<PathBuf>,
    /// The Unix socket of `[control] socket`; see [`DEFAULT_CONTROL_SOCKET`].
    pub control_socket: Option<PathBuf>,
    /// Where HTTP is served, and to whom.
    pub http: HttpSettings,
    /// How long what is over is kept.
    pub retention: Retention,
    /// How ECS is talked to.
    pub ecs: EcsSettings,
    /// Further accounts and regions, by name; a target without a region has that of [`Config::ecs`].
    pub targets: BTreeMap<String, Arc<Target>>,
    /// The SQS queues of task state changes of those that have one.
    pub target_queues: BTreeMap<String, String>,
    /// How many runs may live at once.
    pub max_running: Option<u32>,
    /// How many runs of a group may live at once.
    pub groups: BTreeMap<String, u32>,
    /// What notices go to.
    pub channels: BTreeMap<ChannelId, Arc<Channel>>,
    /// What is pinged while the daemon is well.
    pub heartbeat: Option<Heartbeat>,
    /// The jobs of all files.
    pub jobs: BTreeMap<JobName, Arc<Job>>,
    /// Where each of them is written.
    pub written: Arc<Written>,
    /// What `--local` runs.
    pub local: Vec<TaskDefinition>,
}

/// `[ecs]`.
#[derive(Debug, Clone, PartialEq)]
pub struct EcsSettings {
    /// The region; else from the usual AWS environment.
    pub region: Option<String>,
    /// The endpoint; else the region's own.
    pub endpoint: Option<String>,
    /// How often tasks are looked at, 500 ms at least.
    pub poll_interval: Duration,
    /// RunTask calls a second of each account and region, above 0 and at most 1000.
    pub launch_rate: f64,
    /// How many RunTask calls may go out at once, 1 to 10000.
    pub launch_burst: u32,
    /// DescribeTasks calls a second of each account and region, above 0 and at most 20.
    pub describe_rate: f64,
    /// The SQS queue of task state changes; none if tasks are only polled.
    pub events_queue: Option<String>,
}

impl Default for EcsSettings {
    /// Fargate's own launch quota, and a look every five seconds with a tenth of the read quota.
    fn default() -> EcsSettings {
        EcsSettings {
            region: None,
            endpoint: None,
            poll_interval: Duration::from_secs(5),
            launch_rate: 20.0,
            launch_burst: 20,
            describe_rate: 2.0,
            events_queue: None,
        }
    }
}

/// What loading came to.
#[derive(Debug)]
pub struct Loaded {
    /// None if and only if a finding is an error.
    pub config: Option<Config>,
    /// Everything that was found: errors first, then by file and place.
    pub findings: Vec<Finding>,
    /// [`Config::state`] as far as it can be read, whatever else is wrong: the daemon that runs was given it once.
    pub state: Option<PathBuf>,
    /// [`Config::control_socket`], likewise.
    pub control_socket: Option<PathBuf>,
    sources: Vec<report::Source>,
}

impl Loaded {
    /// The findings for a terminal, each with its line and a caret, and their number.
    pub fn render(&self, color: bool) -> String {
        render::render(&self.findings, &self.sources, color)
    }
}

/// A JSON Schema of what [`load`] reads, for editors. Written by hand, as the reader is; `tests/schema.rs` and
/// `tests/it/schema.rs` hold them together.
pub const SCHEMA: &str = include_str!("schema.json");

/// Reads `path` and `jobs.d/*.toml` beside it, with the variables of this process.
pub fn load(path: &Path) -> Loaded {
    load_with(path, &|name| std::env::var_os(name))
}

/// The same with the variables of another process.
pub fn load_with(path: &Path, lookup: &dyn Fn(&str) -> Option<OsString>) -> Loaded {
    load::load(path, lookup)
}
