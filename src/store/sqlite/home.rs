//! Whether the database and its log are still the files that were opened.
//!
//! A file that is deleted or replaced under a running daemon goes on working for it, unseen by everybody else, until the
//! next start finds an empty history, or one without its newest commits. So each commit asks first, and nothing is
//! launched on what nobody would find again.
//!
//! SQLite itself never removes or replaces its log (`-wal`) or the log's index (`-shm`) while a connection is open, so one
//! that is not the one that was opened means that somebody else did. The database can be put back and then goes on. A log
//! can't: commits would go where only this process sees them, and whoever opens the database meanwhile begins a second
//! log beside it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Device and inode.
type Identity = (u64, u64);

/// The files, as they were opened.
#[derive(Debug)]
pub(super) struct Home {
    database: PathBuf,
    identity: Identity,
    /// The log and its index.
    companions: [(PathBuf, Identity); 2],
}

/// The files are not the ones that were opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum Astray {
    #[error("{path} was deleted or replaced while in use: put it back, or stop the daemon and restore a backup")]
    Moved { path: String },
    #[error("failed to look at {path}")]
    Unseen {
        path: String,
        #[source]
        source: io::Error,
    },
    /// Its index counts as the log.
    #[error("{path}, which belongs to the database, was deleted or replaced while in use")]
    LogGone { path: String },
}

impl Home {
    /// The files as they are now: the log must exist, so something must have been committed.
    pub(super) fn of(database: &Path) -> io::Result<Home> {
        // SQLite keeps the log beside the file itself, not beside a link to it.
        let real = fs::canonicalize(database)?;
        let companion = |suffix| {
            let path = beside(&real, suffix);
            identity(&path).map(|identity| (path, identity))
        };
        let companions = [companion("-wal")?, companion("-shm")?];
        Ok(Home { identity: identity(database)?, database: database.to_owned(), companions })
    }

    /// The database.
    pub(super) fn path(&self) -> &Path {
        &self.database
    }

    /// Fails if one is another file now, or gone.
    pub(super) fn check(&self) -> Result<(), Astray> {
        self.check_database()?;
        for (path, opened) in &self.companions {
            if !is_same(path, *opened)? {
                // A folder that was moved between the two looks took the database with it.
                self.check_database()?;
                return Err(Astray::LogGone { path: path.display().to_string() });
            }
        }
        Ok(())
    }

    fn check_database(&self) -> Result<(), Astray> {
        if is_same(&self.database, self.identity)? {
            Ok(())
        } else {
            Err(Astray::Moved { path: self.database.display().to_string() })
        }
    }
}

/// How many links lead to a database at most, as the kernel counts them.
const LINKS_MAX: usize = 40;

/// The file behind links, also where there is none yet: what belongs to it stands beside it, not beside a link.
pub(super) fn behind_links(database: &Path) -> PathBuf {
    let mut at = database.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(target) = fs::read_link(&at) else { break };
        at = at.parent().unwrap_or(Path::new("")).join(target);
    }
    at
}

/// A file that belongs to a database.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn is_same(path: &Path, opened: Identity) -> Result<bool, Astray> {
    match identity(path) {
        Ok(found) => Ok(found == opened),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(source) => Err(Astray::Unseen { path: path.display().to_string(), source }),
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}
