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
        Places::told(&config.path, config.state.as_deref(), config.control_socket.as_deref(), is_local)
    }

    /// Those of a real daemon and of a local one. A configuration that is broken now still says where: whoever mends it
    /// wants to ask the daemon that goes on with the one before.
    pub(super) fn both(path: &Path, loaded: &Loaded) -> [Places; 2] {
        [false, true]
            .map(|is_local| Places::told(path, loaded.state.as_deref(), loaded.control_socket.as_deref(), is_local))
    }

    fn told(path: &Path, state: Option<&Path>, control_socket: Option<&Path>, is_local: bool) -> Places {
        let or = |told: Option<&Path>, default: PathBuf| told.map_or(default, Path::to_owned);
        if is_local {
            let folder = local_folder(path, state);
            Places {
                state: or(state, folder.join("state.db")),
                control_socket: folder.join("control.sock"),
                journal: Some(folder.join("tasks.jsonl")),
            }
        } else {
            Places {
                state: or(state, config::DEFAULT_STATE.into()),
                control_socket: or(control_socket, config::DEFAULT_CONTROL_SOCKET.into()),
                journal: None,
            }
        }
    }
}

/// Where a daemon of this configuration may listen: a real one first, then a local one.
pub(super) fn control_sockets(path: &Path, loaded: &Loaded) -> Vec<PathBuf> {
    Places::both(path, loaded).into_iter().map(|places| places.control_socket).collect()
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
