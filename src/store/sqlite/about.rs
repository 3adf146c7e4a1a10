//! What can be said of a database from outside, without opening it or touching its lock: a daemon may have both, and one
//! that starts just now must not find them taken.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::home;

/// The locks of this machine, as the kernel lists them (proc(5), `/proc/locks`).
const LOCKS: &str = "/proc/locks";

/// A database from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// The file, as it was given.
    pub path: PathBuf,
    /// Its size in bytes; none if it is not there or may not be looked at.
    pub bytes: Option<u64>,
    /// The size of its log.
    pub log_bytes: Option<u64>,
    /// What the file system has left for its user.
    pub free_bytes: Option<u64>,
    /// Whether a process of this machine has it open; none if that can't be told.
    pub held: Option<bool>,
    /// Who has it, or had it last.
    pub holder: Option<String>,
}

impl About {
    /// Looks at a database.
    pub fn of(path: &Path) -> About {
        let real = home::behind_links(path);
        let (log, lock) = (home::beside(&real, "-wal"), home::beside(&real, ".lock"));
        let size = |path: &Path| fs::metadata(path).ok().map(|file| file.len());
        About {
            path: path.to_owned(),
            bytes: size(&real),
            log_bytes: size(&log),
            free_bytes: free_space(&real),
            held: is_locked(&lock),
            holder: fs::read_to_string(&lock).ok().filter(|text| !text.is_empty()),
        }
    }
}

/// Of the first folder on the way up that there is.
fn free_space(path: &Path) -> Option<u64> {
    let folder = path.ancestors().skip(1).find(|folder| folder.is_dir())?;
    let space = rustix::fs::statvfs(folder).ok()?;
    Some(space.f_bavail.saturating_mul(space.f_frsize))
}

fn is_locked(path: &Path) -> Option<bool> {
    match fs::metadata(path) {
        Ok(file) => {
            let suffix = format!(":{}", file.ino());
            let locks = fs::read_to_string(LOCKS).ok()?;
            Some(locks.lines().any(|line| is_flock_of(line, &suffix)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}

/// `1: FLOCK  ADVISORY  WRITE 4711 fd:01:131090 0 EOF`. The device is not compared: overlays and Btrfs show another one
/// here than elsewhere, and two lock files of one number are rarer than either. NFS turns such a lock into a POSIX one.
fn is_flock_of(line: &str, inode: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    // One that waits has an arrow before its kind.
    matches!(words.as_slice(), [_, "FLOCK" | "POSIX", _, "WRITE", _, file, ..] if file.ends_with(inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_and_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let nothing = About::of(&path);
        assert_eq!((nothing.bytes, nothing.log_bytes, nothing.held, nothing.holder), (None, None, Some(false), None));
        assert!(nothing.free_bytes.is_some());
        fs::write(&path, "12345").unwrap();
        let lock = fs::File::create(folder.path().join("state.db.lock")).unwrap();
        fs::write(folder.path().join("state.db.lock"), "pid 1 on host h").unwrap();
        let left = About::of(&path);
        assert_eq!((left.bytes, left.held, left.holder.as_deref()), (Some(5), Some(false), Some("pid 1 on host h")));
        lock.try_lock().unwrap();
        assert_eq!(About::of(&path).held, Some(true));
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(About::of(&link).held, Some(true), "behind a link");
        drop(lock);
        assert_eq!(About::of(&path).held, Some(false));
    }

    #[test]
    fn lines_of_the_kernel_are_read() {
        let inode = ":131090";
        assert!(is_flock_of("1: FLOCK  ADVISORY  WRITE 4711 fd:01:131090 0 EOF", inode));
        assert!(is_flock_of("2: POSIX  ADVISORY  WRITE 4711 00:2a:131090 0 EOF", inode));
        for other in [
            "1: -> FLOCK  ADVISORY  WRITE 4711 fd:01:131090 0 EOF",
            "1: FLOCK  ADVISORY  WRITE 4711 fd:01:13109 0 EOF",
            "1: FLOCK  ADVISORY  WRITE 4711 fd:01:9131090 0 EOF",
            "3: FLOCK  ADVISORY  READ 4711 fd:01:131090 0 EOF",
            "",
        ] {
            assert!(!is_flock_of(other, inode), "{other}");
        }
    }
}
