//! Whether the database is still the file that was opened.
//!
//! A file that is deleted or replaced under a running daemon goes on working for it, unseen by everybody else, until the
//! next start finds an empty history. So each commit asks first, and nothing is launched on what nobody would find again.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The file, by device and inode.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    identity: (u64, u64),
}

/// The file is not the one that was opened.
#[derive(Debug, thiserror::Error)]
#[error("{path} was deleted or replaced while in use: put it back, or restart on what is there now")]
pub(super) struct Moved {
    path: String,
}

impl Home {
    /// The file as it is now.
    pub(super) fn of(path: &Path) -> io::Result<Home> {
        Ok(Home { path: path.to_owned(), identity: identity(path)? })
    }

    /// Fails if it is another file now, or gone.
    pub(super) fn check(&self) -> Result<(), Moved> {
        let is_same = identity(&self.path).is_ok_and(|identity| identity == self.identity);
        if is_same { Ok(()) } else { Err(Moved { path: self.path.display().to_string() }) }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}
