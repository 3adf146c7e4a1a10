//! Opening a database: it must be ours, of this world, of a schema that we know, and nobody else's.
//!
//! The checks come before the first write, so that a file which is refused is left as it was: another program's database,
//! one of a newer Tenacron, one that holds the history of the other world. Two daemons on one file would each launch what
//! is due, so the second is refused by a lock on a file beside the database, which also says who holds it. Should that
//! lock be circumvented, for example by deleting the file, the term still keeps the older daemon from writing.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior, ffi};

use super::super::Term;
use super::copy;
use super::fault::{self, Kind};
use super::home::{self, Home};
use super::sql;
use crate::engine::job::Instance;

/// "TNCR" in the header of the file.
const APPLICATION_ID: i64 = 0x544E_4352;
/// The schema, step by step; a released step is never edited.
pub(super) const MIGRATIONS: [&str; 6] = [
    include_str!("../schema/0001_initial.sql"),
    include_str!("../schema/0002_hands.sql"),
    include_str!("../schema/0003_log_tail.sql"),
    include_str!("../schema/0004_notices.sql"),
    include_str!("../schema/0005_retention.sql"),
    include_str!("../schema/0006_page.sql"),
];
/// The newest schema. `tests/fixtures` holds a database of each one.
pub const SCHEMA: usize = MIGRATIONS.len();
/// How long a statement waits for another process, such as a backup or a person's `sqlite3`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Up to where the log is cut back after a burst.
const LOG_SIZE_MAX: i64 = 64 << 20;
/// Firings of a thousand jobs touch as many leaves of each index; negative because SQLite counts pages otherwise.
const CACHE_KIB: i64 = -32_768;
/// Enough to keep every statement prepared.
const STATEMENTS_KEPT: usize = 64;

/// Against what a database's runs were made: real ECS or the local endpoint. The two never mix in one history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// Amazon ECS.
    Aws,
    /// The local endpoint.
    Local,
}

impl World {
    fn as_str(self) -> &'static str {
        match self {
            World::Aws => "aws",
            World::Local => "local",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            World::Aws => "Amazon ECS",
            World::Local => "the local endpoint",
        })
    }
}

/// Who opens a database, for the message that a second daemon gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// Its machine, or its container.
    pub host: String,
    /// Its installation.
    pub instance: Instance,
}

impl Holder {
    /// This process.
    pub fn this_process(instance: Instance) -> Holder {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = if host.trim().is_empty() { "of unknown name" } else { host.trim() };
        Holder { pid: std::process::id(), host: host.to_owned(), instance }
    }

    pub(super) fn since(&self, at: DateTime<Utc>) -> String {
        let Holder { pid, host, instance } = self;
        let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
        format!("pid {pid} on host {host} (instance {instance}) since {at}")
    }
}

/// Why a database could not be opened. One that is refused was not changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another daemon has it open.
    #[error("{} is in use by {holder}", path.display())]
    Held {
        /// The database.
        path: PathBuf,
        /// Who, where and since when.
        holder: String,
    },
    /// The file system does not let us work there.
    #[error("failed to {doing} {}", path.display())]
    NotWritable {
        /// The directory or file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What is stored is not what was stored; to begin on it would be to guess what has been launched.
    #[error("failed to {doing} of {}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What is damaged.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file is something else, or its beginning was overwritten.
    #[error(
        "{} is {found}, not a database of tenacron; if it was meant to be another file, correct [state] url", path.display()
    )]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// A newer Tenacron has worked with it.
    #[error(
        "{} has schema {found}, and this tenacron knows schemas up to {known}: use the newer tenacron, or a backup from \
         before its first start", path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// The newest schema that we know.
        known: usize,
    },
    /// It holds the other world's history.
    #[error(
        "{} holds runs of {found} and can't be used with {wanted}: give each a [state] url of its own", path.display()
    )]
    OtherWorld {
        /// The database.
        path: PathBuf,
        /// Whose history it holds.
        found: World,
        /// What it was opened for.
        wanted: World,
    },
    /// The database itself failed in a way that can pass.
    #[error("failed to {doing} of {}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What an open database consists of.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) writer: Connection,
    pub(super) reader: Connection,
    pub(super) lock: File,
    pub(super) home: Home,
    pub(super) term: Term,
}

/// Opens or creates the database and begins a new term.
pub(super) fn open(path: &Path, world: World, holder: &Holder, at: DateTime<Utc>) -> Result<Opened, OpenError> {
    open_with(&MIGRATIONS, path, world, holder, at)
}

/// The same for a program that knows these schemas.
pub(super) fn open_with(
    steps: &[&str],
    path: &Path,
    world: World,
    holder: &Holder,
    at: DateTime<Utc>,
) -> Result<Opened, OpenError> {
    make_directory(path)?;
    let lock = lock(path, &holder.since(at))?;
    refuse_a_log_alone(path)?;
    make_file(path)?;
    copy::sweep(path);
    let failed = |doing| failed(doing, path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut writer = connect(path, flags).map_err(failed("open the file"))?;
    // Closing would fold a log that a killed process left into the database, and so change a file that is refused.
    let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    writer.set_db_config(keep_log, true).map_err(failed("prepare the reading"))?;
    let schema = Found::read(&writer).map_err(failed("read the header"))?.check(path, world, steps.len())?;
    writer.set_db_config(keep_log, false).map_err(failed("end the reading"))?;
    configure(&writer).map_err(failed("switch on the write-ahead log"))?;
    migrate(&mut writer, steps, schema, world).map_err(failed("bring up to date the schema"))?;
    let term = next_term(&mut writer, &holder.since(at), at).map_err(failed("begin a term"))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = connect(path, flags).map_err(failed("open a reader"))?;
    let home =
        Home::of(path).map_err(|source| OpenError::NotWritable { path: path.to_owned(), doing: "look at", source })?;
    Ok(Opened { writer, reader, lock, home, term })
}

/// What SQLite said, as an error of opening.
pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    move |error| {
        if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) {
            return OpenError::NotADatabase { path, found: "a file of another kind" };
        }
        let fault = fault::examined(&path, error.into());
        let kind = fault::kind(&fault);
        let source = fault::advised(&path, fault);
        match kind {
            Kind::Damage => OpenError::Damaged { path, doing, source },
            Kind::Passing | Kind::Severed | Kind::Mistake => OpenError::Database { path, doing, source },
        }
    }
}

pub(super) fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}

/// Only the daemon's user needs to read what it runs.
fn make_directory(path: &Path) -> Result<(), OpenError> {
    let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.is_dir()) else {
        return Ok(());
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|source| OpenError::NotWritable {
        path: directory.to_owned(),
        doing: "create the directory",
        source,
    })
}

/// Takes the lock, or says who has it. The lock ends with the process, however that ends.
pub(super) fn lock(path: &Path, holder: &str) -> Result<File, OpenError> {
    // Two links to one database are one database.
    let lock_path = home::beside(&home::behind_links(path), ".lock");
    let refused = |doing| {
        let path = lock_path.clone();
        move |source| OpenError::NotWritable { path, doing, source }
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(refused("open the lock file"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = file.read_to_string(&mut text);
            // Between taking the lock and writing the name there is a moment; it is another process all the same.
            let holder = if read.is_err() || text.is_empty() { "another process".to_owned() } else { text };
            return Err(OpenError::Held { path: path.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(refused("lock")(source)),
    }
    file.set_len(0).and_then(|()| file.write_all(holder.as_bytes())).map_err(refused("write the lock file"))?;
    Ok(file)
}

/// A log whose database is gone holds commits that nothing else does, and SQLite would delete it beside a new database.
pub(super) fn refuse_a_log_alone(path: &Path) -> Result<(), OpenError> {
    let len = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let log = home::beside(&home::behind_links(path), "-wal");
    if len(path) > 0 || len(&log) == 0 {
        return Ok(());
    }
    let text = format!(
        "it is missing or empty, while {} holds what was saved last: put the database back beside it, or move the log \
         away to begin anew",
        log.display()
    );
    Err(OpenError::Damaged { path: path.to_owned(), doing: "read the header", source: text.into() })
}

/// Creates the file with its mode, which SQLite gives its companions too, and checks that it can be written: SQLite would
/// quietly open a write-protected one for reading.
fn make_file(path: &Path) -> Result<(), OpenError> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    opened.map(drop).map_err(|source| OpenError::NotWritable {
        path: path.to_owned(),
        doing: "open for writing",
        source,
    })
}

/// Refuses what another program wrote; of which schema and world ours is does not matter to who copies it.
pub(super) fn check_is_ours(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    match Found::read(connection).map_err(failed("read the header", path))? {
        Found::Ours { .. } => Ok(()),
        Found::Empty => Err(OpenError::NotADatabase { path: path.to_owned(), found: "an empty file" }),
        Found::AnotherProgram => Err(another_program(path)),
    }
}

fn another_program(path: &Path) -> OpenError {
    OpenError::NotADatabase { path: path.to_owned(), found: "an SQLite database of another program" }
}

/// What stands in a file before we touch it.
#[derive(Debug)]
enum Found {
    Empty,
    AnotherProgram,
    Ours { schema: Option<usize>, world: Option<World> },
}

impl Found {
    fn read(connection: &Connection) -> rusqlite::Result<Found> {
        let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        if application != APPLICATION_ID {
            let tables: i64 = connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))?;
            return Ok(if tables == 0 && application == 0 { Found::Empty } else { Found::AnotherProgram });
        }
        let meta = |key| connection.query_row(sql::META, [key], |row| row.get::<_, String>(0)).optional();
        let schema = meta("schema_version")?.and_then(|text| text.parse().ok());
        let world = match meta("world")?.as_deref() {
            Some("aws") => Some(World::Aws),
            Some("local") => Some(World::Local),
            Some(_) | None => None,
        };
        Ok(Found::Ours { schema, world })
    }

    /// The schema to start from.
    fn check(self, path: &Path, wanted: World, known: usize) -> Result<usize, OpenError> {
        let path = path.to_owned();
        let missing = |doing, row| {
            let source = format!("the row `{row}` of the table `meta` is missing or says something unknown").into();
            OpenError::Damaged { path: path.clone(), doing, source }
        };
        let (schema, world) = match self {
            Found::Empty => return Ok(0),
            Found::AnotherProgram => return Err(another_program(&path)),
            Found::Ours { schema, world } => (schema, world),
        };
        let found = schema.ok_or_else(|| missing("read the schema", "schema_version"))?;
        if found > known {
            return Err(OpenError::NewerSchema { path, found, known });
        }
        let world = world.ok_or_else(|| missing("read the world", "world"))?;
        if world == wanted { Ok(found) } else { Err(OpenError::OtherWorld { path, found: world, wanted }) }
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        // Seen on file systems without shared memory, such as some network mounts.
        let text = format!("the file system does not support it, the journal stays in mode `{mode}`");
        return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CANTOPEN), Some(text)));
    }
    // NORMAL may lose the last commits when the power fails, and with them the memory of a launch.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Else a large batch writes what its savepoints need to a file in a temporary folder, which may be full or missing.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", LOG_SIZE_MAX)
}

/// Applies the steps that are missing, all of them in one transaction: what an older program has left is either brought
/// up to date or as it was, so that the older program can still be put back.
fn migrate(connection: &mut Connection, steps: &[&str], from: usize, world: World) -> rusqlite::Result<()> {
    if from == steps.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (version, step) in (1usize..).zip(steps).skip(from) {
        transaction.execute_batch(step)?;
        transaction.execute(sql::SET_META, ("schema_version", version.to_string()))?;
        if version == 1 {
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.execute(sql::SET_META, ("world", world.as_str()))?;
        }
    }
    transaction.commit()
}

fn next_term(connection: &mut Connection, holder: &str, at: DateTime<Utc>) -> rusqlite::Result<Term> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let term = transaction.query_row(sql::NEXT_TERM, (holder, at.timestamp_millis()), |row| row.get::<_, i64>(0))?;
    transaction.commit()?;
    Ok(Term(u64::try_from(term).unwrap_or(0)))
}
