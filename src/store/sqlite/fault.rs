//! What a fault of the database means: whether it can pass, and what a person can do about it.
//!
//! A full disk, an I/O error, a lock or a missing permission can pass, so whoever meets one tries again. Damage does not:
//! a database that contradicts itself may have forgotten a launch, and to go on with it would be to guess. What no
//! database would take is a mistake in the program. An error that is not known here counts as one of these two, because
//! to wait for ever for what never comes is the worst of the three.
//!
//! SQLite calls it damage as well if the system can't read a page (EIO), which can pass: a volume that is lost for a
//! minute. So before that word ends a daemon, the files are read through and the same is tried once more.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{self, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::ErrorCode;

use super::super::StoreError;
use super::super::row::{Damaged, Fault};
use super::home::{self, Astray};
use super::write::Severed;

/// What can be expected of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It can pass while the database stays open.
    Passing,
    /// This process can't save any more, a new one can.
    Severed,
    /// What is stored is not what was stored.
    Damage,
    /// A mistake in the program.
    Mistake,
}

/// A fault with its place and what can be done about it.
#[derive(Debug, thiserror::Error)]
#[error("{advice}")]
pub(super) struct Advised {
    advice: String,
    #[source]
    source: Fault,
}

/// What became of the suspicion that the database is damaged.
#[derive(Debug, thiserror::Error)]
pub(super) enum Examined {
    #[error("{path} is damaged")]
    Damaged {
        path: String,
        #[source]
        source: Fault,
    },
    #[error("{path} or its log can't be read")]
    Unreadable {
        path: String,
        #[source]
        source: io::Error,
    },
}

/// What can be expected of it.
pub(super) fn kind(fault: &Fault) -> Kind {
    if let Some(error) = fault.downcast_ref::<rusqlite::Error>() {
        return kind_of_sqlite(error);
    }
    if let Some(examined) = fault.downcast_ref::<Examined>() {
        return match examined {
            Examined::Damaged { .. } => Kind::Damage,
            Examined::Unreadable { .. } => Kind::Passing,
        };
    }
    if fault.is::<Astray>() {
        Kind::Passing
    } else if fault.is::<Severed>() {
        Kind::Severed
    } else if fault.is::<Damaged>() {
        Kind::Damage
    } else {
        Kind::Mistake
    }
}

fn kind_of_sqlite(error: &rusqlite::Error) -> Kind {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::OperationAborted,
        ) => Kind::Passing,
        Some(
            ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::SchemaChanged
            // "No such table": the statements are tested against the schema, so it is the schema that is not there.
            | ErrorCode::Unknown,
        ) => Kind::Damage,
        Some(_) => Kind::Mistake,
        None => kind_of_value(error),
    }
}

/// Of errors that are rusqlite's own: what it read does not fit, or what we gave it.
fn kind_of_value(error: &rusqlite::Error) -> Kind {
    match error {
        rusqlite::Error::QueryReturnedNoRows
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::SqlInputError { .. } => Kind::Damage,
        _ => Kind::Mistake,
    }
}

/// The fault as the store tells it.
pub(super) fn told(path: &Path, doing: &'static str, fault: Fault) -> StoreError {
    let kind = kind(&fault);
    of_kind(kind, doing, advised(path, fault))
}

pub(super) fn of_kind(kind: Kind, doing: &'static str, source: Fault) -> StoreError {
    match kind {
        Kind::Passing => StoreError::Database { doing, source },
        Kind::Severed => StoreError::Severed { source },
        Kind::Damage => StoreError::Damaged { doing, source },
        Kind::Mistake => StoreError::Inconsistent { source },
    }
}

/// Tries, and if the answer is that the database is damaged, makes sure of it.
pub(super) fn certain<T>(path: &Path, mut attempt: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    match attempt() {
        Err(fault) if looks_damaged(&fault) => match read_through(path) {
            Ok(()) => attempt().map_err(|fault| proven(path, fault)),
            Err(source) => Err(Examined::Unreadable { path: path.display().to_string(), source }.into()),
        },
        attempted => attempted,
    }
}

/// The same for what can't be tried again.
pub(super) fn examined(path: &Path, fault: Fault) -> Fault {
    if !looks_damaged(&fault) {
        return fault;
    }
    match read_through(path) {
        Ok(()) => proven(path, fault),
        Err(source) => Examined::Unreadable { path: path.display().to_string(), source }.into(),
    }
}

/// Whether SQLite says so; it may mean that the system could not read.
pub(super) fn looks_damaged(fault: &Fault) -> bool {
    let error = fault.downcast_ref::<rusqlite::Error>();
    error.and_then(rusqlite::Error::sqlite_error_code) == Some(ErrorCode::DatabaseCorrupt)
}

fn proven(path: &Path, fault: Fault) -> Fault {
    if looks_damaged(&fault) {
        Examined::Damaged { path: path.display().to_string(), source: fault }.into()
    } else {
        fault
    }
}

/// Files that were read through, by device and inode. They stay open: closing any descriptor of a file gives up all locks
/// that this process has on it, SQLite's too. Source: "How To Corrupt An SQLite Database File", 2.2.
static KEPT_OPEN: Mutex<BTreeMap<(u64, u64), File>> = Mutex::new(BTreeMap::new());

/// Whether the system can read all of it.
fn read_through(path: &Path) -> io::Result<()> {
    let real = path.canonicalize()?;
    for path in [home::beside(&real, "-wal"), real] {
        let identity = match fs::metadata(&path) {
            Ok(metadata) => (metadata.dev(), metadata.ino()),
            // A database at rest has no log.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut kept = KEPT_OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file: &File = match kept.entry(identity) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(none) => none.insert(File::open(&path)?),
        };
        file.rewind()?;
        io::copy(&mut file, &mut io::sink())?;
    }
    Ok(())
}

/// The fault with where it is and what can be done; faults that say so themselves are left alone.
pub(super) fn advised(path: &Path, fault: Fault) -> Fault {
    let advice = fault.downcast_ref::<rusqlite::Error>().map(|error| advice(path, error));
    match advice {
        Some(advice) => Box::new(Advised { advice, source: fault }),
        None => fault,
    }
}

fn advice(path: &Path, error: &rusqlite::Error) -> String {
    let name = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => format!("the file system of {name} is full, {} free there", free(path)),
        Some(ErrorCode::SystemIoFailure) => {
            format!(
                "{name} or its log can't be read or written, {} free there; the kernel's log may say why",
                free(path)
            )
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => format!("{name} may not be written"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            format!("{name} is locked by another process")
        }
        Some(ErrorCode::CannotOpen) => format!("{name} or its log can't be opened"),
        Some(ErrorCode::ConstraintViolation) => format!("{name} holds what contradicts what was stored in it"),
        Some(ErrorCode::SchemaChanged | ErrorCode::Unknown) => format!("{name} lacks what its schema should have"),
        None if matches!(error, rusqlite::Error::SqlInputError { .. }) => {
            format!("{name} lacks what its schema should have")
        }
        Some(_) | None => match kind_of_sqlite(error) {
            Kind::Damage => format!("{name} is damaged or can't be read"),
            Kind::Passing | Kind::Severed | Kind::Mistake => format!("{name} failed"),
        },
    }
}

/// How much an unprivileged process may still write beside the database.
fn free(path: &Path) -> String {
    match rustix::fs::statvfs(path) {
        Ok(found) => format!("{} KiB are", found.f_bavail.saturating_mul(found.f_frsize) / 1024),
        Err(_) => "an unknown amount is".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn of_code(code: std::ffi::c_int) -> StoreError {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some("SQLite's words".into()));
        told(Path::new("/state.db"), "save a batch", Box::new(error))
    }

    #[test]
    fn what_can_pass_is_tried_again_and_what_can_not_is_told_apart() {
        let passing = [
            (ffi::SQLITE_FULL, "the file system of /state.db is full, an unknown amount is free there"),
            (ffi::SQLITE_IOERR_FSYNC, "/state.db or its log can't be read or written, "),
            (ffi::SQLITE_READONLY_DBMOVED, "/state.db may not be written"),
            (ffi::SQLITE_PERM, "/state.db may not be written"),
            (ffi::SQLITE_BUSY_SNAPSHOT, "/state.db is locked by another process"),
            (ffi::SQLITE_LOCKED, "/state.db is locked by another process"),
            (ffi::SQLITE_PROTOCOL, "/state.db is locked by another process"),
            (ffi::SQLITE_CANTOPEN, "/state.db or its log can't be opened"),
            (ffi::SQLITE_NOMEM, "/state.db failed"),
        ];
        for (code, advice) in passing {
            let StoreError::Database { source, .. } = of_code(code) else { panic!("{code} can pass") };
            assert!(source.to_string().starts_with(advice), "{source}");
        }
        let lasting = [
            (ffi::SQLITE_CORRUPT, "/state.db is damaged or can't be read"),
            (ffi::SQLITE_CORRUPT_INDEX, "/state.db is damaged or can't be read"),
            (ffi::SQLITE_NOTADB, "/state.db is damaged or can't be read"),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, "/state.db holds what contradicts what was stored in it"),
            (ffi::SQLITE_MISMATCH, "/state.db is damaged or can't be read"),
            (ffi::SQLITE_SCHEMA, "/state.db lacks what its schema should have"),
            (ffi::SQLITE_ERROR, "/state.db lacks what its schema should have"),
        ];
        for (code, advice) in lasting {
            let StoreError::Damaged { source, .. } = of_code(code) else { panic!("{code} is damage") };
            assert_eq!(source.to_string(), advice);
        }
        for code in [ffi::SQLITE_MISUSE, ffi::SQLITE_TOOBIG, ffi::SQLITE_RANGE, ffi::SQLITE_INTERNAL] {
            assert!(matches!(of_code(code), StoreError::Inconsistent { .. }), "{code} is a mistake of ours");
        }
    }
}
