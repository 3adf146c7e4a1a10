//! Where state and control socket are: as configured, and for `--local` in a folder of its own.
//!
//! A trial must never touch the history of real runs. So `run --local` keeps its state, its control socket and the local
//! endpoint's journal in the *local state directory*: the folder of `[state] url` where that is set, else
//! `.tenacron-local` beside the configuration. The store itself refuses to mix: it records which world it belongs to.

use std::path::{Path, PathBuf};

use crate::config::{self, Config, Loaded};

/// The folder beside the configuration.
const LOCAL_FOLDER: &str = ".tenacron-local";

/// The files of one daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) state: PathBuf,
    pub(super) control_socket: PathBuf,
    /// The local endpoint's journal; none for real ECS.
    pub(super) journal: Option<PathBuf>,
}

impl Places {
    /// For a daemon of this configuration.
    pub(super) fn of(config: &Config, is_local: bool) -> Places {
        if is_local {
            let folder = local_folder(&config.path, config.state.as_deref());
            Places {
                state: config.state.clone().unwrap_or_else(|| folder.join("state.db")),
                control_socket: folder.join("control.sock"),
                journal: Some(folder.join("tasks.jsonl")),
            }
        } else {
            Places {
                state: config.state.clone().unwrap_or_else(|| config::DEFAULT_STATE.into()),
                control_socket: config.control_socket.clone().unwrap_or_else(|| config::DEFAULT_CONTROL_SOCKET.into()),
                journal: None,
            }
        }
    }
}

/// Where a daemon of this configuration may listen: a real one first, then a local one. A configuration that is broken now
/// still says where: whoever mends it wants to ask the daemon that goes on with the one before.
pub(super) fn control_sockets(path: &Path, loaded: &Loaded) -> Vec<PathBuf> {
    let configured = loaded.control_socket.clone();
    vec![
        configured.unwrap_or_else(|| config::DEFAULT_CONTROL_SOCKET.into()),
        local_folder(path, loaded.state.as_deref()).join("control.sock"),
    ]
}

/// Where the state of a daemon of this configuration may be, in the same order.
pub(super) fn databases(path: &Path, loaded: &Loaded) -> Vec<PathBuf> {
    let configured = loaded.state.clone();
    vec![
        configured.unwrap_or_else(|| config::DEFAULT_STATE.into()),
        local_folder(path, loaded.state.as_deref()).join("state.db"),
    ]
}

fn local_folder(config: &Path, state: Option<&Path>) -> PathBuf {
    match state.and_then(Path::parent) {
        Some(folder) => folder.to_owned(),
        None => config.parent().unwrap_or(Path::new("")).join(LOCAL_FOLDER),
    }
}
