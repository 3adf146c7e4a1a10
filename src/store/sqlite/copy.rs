//! Copies of a database: of one that is open, as it stood at one instant and while commits go on; and of one at rest.
//!
//! A copy is made by SQLite's own backup functions under one read transaction, so it holds up no commit and is not begun
//! anew when one comes. It is written beside the database, checked, and its name is gone before anybody reads it: whoever
//! reads slowly, or never, holds up nothing but the room that it takes. A copy is one plain file without a log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest as _, Sha256};

use super::super::Snapshot;
use super::super::row::Fault;
use super::fault;
use super::home;
use super::open::{self, Holder, OpenError};

/// What a copy is called while it is made.
const SUFFIX: &str = ".copying";
/// How many pages are copied at once, a MiB, and the pause after them: commits come between.
const PAGES_AT_ONCE: i32 = 256;
const PAUSE: Duration = Duration::from_millis(5);
/// What must be left free beside a copy, for commits.
const ROOM_LEFT: u64 = 64 << 20;
/// How much is read at once.
const CHUNK: usize = 256 << 10;

/// Why there is no copy, where neither the database nor the system says it.
#[derive(Debug, thiserror::Error)]
enum NoCopy {
    #[error("{path} would take {needed} MiB, and {free} MiB are free there")]
    NoRoom { path: String, needed: u64, free: u64 },
    #[error("the copy is not sound: {0}")]
    Unsound(String),
    #[error("nobody waits for it any more")]
    Abandoned,
    #[error("failed to {doing} {path}")]
    File {
        doing: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
}

fn file_failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Fault {
    let path = path.display().to_string();
    move |source| NoCopy::File { doing, path, source }.into()
}

/// Where a copy of this database is made.
fn beside(database: &Path) -> PathBuf {
    home::beside(&home::behind_links(database), SUFFIX)
}

/// Removes what a process left behind that died over a copy. Only who holds the lock may.
pub(super) fn sweep(database: &Path) {
    let _most_often_none = fs::remove_file(beside(database));
}

/// Copies an open database, for as long as `is_wanted`.
pub(super) fn of_open(database: &Path, is_wanted: impl Fn() -> bool) -> Result<Snapshot, Fault> {
    let to = beside(database);
    sweep(database);
    let copied = copy_of_open(database, &to, is_wanted).and_then(|()| opened(&to));
    // It is read by its handle from here on.
    let _gone = fs::remove_file(&to);
    copied
}

fn copy_of_open(database: &Path, to: &Path, is_wanted: impl Fn() -> bool) -> Result<(), Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = open::connect(database, flags).map_err(|error| fault::advised(database, error.into()))?;
    let len = fs::metadata(database).map_err(file_failed("look at", database))?.len();
    check_room(to, len)?;
    create(to)?;
    copy(&source, database, to, is_wanted)
}

/// Copies a database that no daemon has open to a file that is not there yet, and holds the lock meanwhile.
///
/// # Errors
/// Somebody has it open, it is none of ours, or the file system or the database failed. Nothing is left at `to`.
pub fn copy_at_rest(database: &Path, to: &Path, holder: &Holder, at: DateTime<Utc>) -> Result<(), OpenError> {
    let failed = |source| OpenError::Database { path: database.to_owned(), doing: "make a copy", source };
    if let Err(source) = fs::metadata(database) {
        return Err(OpenError::NotWritable { path: database.to_owned(), doing: "find the database", source });
    }
    let _lock = open::lock(database, &holder.since(at))?;
    open::refuse_a_log_alone(database)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = open::connect(database, flags).map_err(open::failed("open the file", database))?;
    // A file that is none of ours is left as it was, and so is a log of ours: the next start folds it.
    source
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(open::failed("prepare the reading", database))?;
    open::check_is_ours(&source, database)?;
    create(to).map_err(failed)?;
    let copied = copy(&source, database, to, || true);
    if copied.is_err() {
        let _gone = fs::remove_file(to);
    }
    copied.map_err(failed)
}

/// Only its owner reads what was run.
fn create(to: &Path) -> Result<(), Fault> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    made.map(drop).map_err(file_failed("create", to))
}

/// A copy must not take the room that commits need.
fn check_room(to: &Path, len: u64) -> Result<(), Fault> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = rustix::fs::statvfs(folder).map_err(|error| file_failed("look at", folder)(error.into()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let needed = len.saturating_add(ROOM_LEFT);
    if free >= needed {
        return Ok(());
    }
    Err(NoCopy::NoRoom { path: to.display().to_string(), needed: needed >> 20, free: free >> 20 }.into())
}

fn copy(source: &Connection, database: &Path, to: &Path, is_wanted: impl Fn() -> bool) -> Result<(), Fault> {
    let of_source = |error: rusqlite::Error| fault::advised(database, error.into());
    let of_copy = |error: rusqlite::Error| fault::advised(to, error.into());
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = open::connect(to, flags).map_err(of_copy)?;
    // Nothing is lost with a copy that breaks off; who keeps one syncs it.
    copy.pragma_update(None, "journal_mode", "OFF").map_err(of_copy)?;
    copy.pragma_update(None, "synchronous", "OFF").map_err(of_copy)?;
    // Begun here and read from at once, so that all steps see what is stored now.
    let now = source.unchecked_transaction().map_err(of_source)?;
    now.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)).map_err(of_source)?;
    let backup = Backup::new(&now, &mut copy).map_err(of_copy)?;
    loop {
        if !is_wanted() {
            return Err(NoCopy::Abandoned.into());
        }
        match backup.step(PAGES_AT_ONCE).map_err(of_copy)? {
            StepResult::Done => break,
            _ => std::thread::sleep(PAUSE),
        }
    }
    drop(backup);
    drop(now);
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(of_copy)?;
    let verdict: String = copy
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| fault::advised(to, error.into()))?;
    if verdict == "ok" { Ok(()) } else { Err(NoCopy::Unsound(verdict).into()) }
}

/// A finished copy, with its length and its hash.
fn opened(path: &Path) -> Result<Snapshot, Fault> {
    let mut file = File::open(path).map_err(file_failed("open", path))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut len = 0;
    loop {
        let read = file.read(&mut chunk).map_err(file_failed("read", path))?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        len += bytes.len() as u64;
    }
    file.rewind().map_err(file_failed("read", path))?;
    Ok(Snapshot { file, len, sha256: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect() })
}
