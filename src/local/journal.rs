//! The journal: one JSON object a line, appended before what it says takes effect.
//!
//! It lets an endpoint that was killed keep ECS's promises in its next life: the tasks and tokens it knew, the trouble it has already
//! played. It is also the record that a test reads to count what was really launched.
//!
//! `record` returns when the entry is on the disk, and is for what a caller will rely on: a launch that is answered, or started, before
//! it is durable could happen twice. `note` returns when the operating system has the entry, which a crash of the endpoint alone
//! cannot undo; a crash of the machine ends the processes as well. A write that fails is cut off again, so that a later one does not
//! continue half a line.
//!
//! At start, and whenever it has grown large, the file is rewritten without what ECS would have forgotten. A last line that a crash
//! cut short is ignored; any other line that cannot be read is an error, because skipping it could forget a launch. While it runs, an
//! endpoint locks its file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use super::definitions::Definition;
use super::orphans::Recorded;
use super::tasks::Task;
use super::tokens::Record;

/// The file is rewritten when it is this large and has doubled since the last time.
const LARGE_BYTES: u64 = 16 * 1024 * 1024;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Entry {
    /// A cluster was created.
    Cluster { at: DateTime<Utc>, name: String },
    /// A task definition was registered.
    Definition { definition: Box<Definition> },
    /// A scripted outcome was played that created nothing and answered no result; or, after a rewrite, the count alone.
    Consumed {
        at: DateTime<Utc>,
        family: String,
        consumed: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refusal: Option<String>,
    },
    /// A RunTask call had a result: tasks, or failures, or both.
    Launch {
        cluster: String,
        family: String,
        consumed: usize,
        token: Option<String>,
        record: Box<Record>,
        tasks: Vec<Task>,
    },
    /// The containers of a task run, as these processes.
    Started { at: DateTime<Utc>, task: String, processes: BTreeMap<String, Recorded> },
    /// A task has stopped; this is its last form.
    Stopped { task: Box<Task> },
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refuses.
    #[error("failed to open the journal {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
    /// Another endpoint uses it.
    #[error("the journal {path} is in use by another local endpoint")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It holds something that this version did not write.
    #[error("line {line} of the journal {path} cannot be read; move the file away to start anew")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// A journal that was read, and is locked, and is not yet being written.
#[derive(Debug)]
pub(super) struct Opened {
    path: PathBuf,
    lock: File,
    pub(super) entries: Vec<Entry>,
}

/// Opens the journal, or creates it, and reads it.
pub(super) fn open(path: &Path) -> Result<Opened, JournalError> {
    let failed = |source| JournalError::Io { path: path.to_owned(), source };
    let in_use = || JournalError::InUse { path: path.to_owned() };
    let mut file = options().open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use()),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    // Between opening and locking, a running endpoint may have put another file, which it has locked, in the place of this one.
    let present = fs::metadata(path).map_err(failed)?;
    if present.ino() != file.metadata().map_err(failed)?.ino() {
        return Err(in_use());
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(failed)?;
    let entries =
        parse(&text).map_err(|(line, source)| JournalError::Unreadable { path: path.to_owned(), line, source })?;
    Ok(Opened { path: path.to_owned(), lock: file, entries })
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // Environments in it may hold secrets, so it is the owner's alone.
    options.create(true).read(true).append(true).mode(0o600);
    options
}

fn parse(text: &[u8]) -> Result<Vec<Entry>, (usize, serde_json::Error)> {
    let mut entries = Vec::new();
    let mut lines = text.split(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        // What follows the last line break is empty, or was cut short.
        if lines.peek().is_none() {
            if !line.is_empty() {
                tracing::warn!("ignored the last line of the journal, which was cut short");
            }
            break;
        }
        entries.push(serde_json::from_slice(line).map_err(|error| (index.saturating_add(1), error))?);
    }
    Ok(entries)
}

impl Opened {
    /// Replaces the file by these entries, in one step, and opens it for writing.
    pub(super) fn rewrite(self, entries: &[Entry]) -> Result<Journal, JournalError> {
        let (file, length) =
            replace(&self.path, entries).map_err(|source| JournalError::Io { path: self.path.clone(), source })?;
        // Only now: until it was replaced, the old file had to stay locked.
        drop(self.lock);
        Ok(Journal { path: self.path, file: tokio::fs::File::from_std(file), length, rewritten: length, broken: false })
    }
}

/// Puts a file with these entries in the place of the journal. The new file is locked before it is there.
fn replace(path: &Path, entries: &[Entry]) -> io::Result<(File, u64)> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = options().open(&new)?;
    file.lock()?;
    for entry in entries {
        file.write_all(&line(entry)?)?;
    }
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

fn line(entry: &Entry) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    Ok(line)
}

/// A journal that is being written.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: tokio::fs::File,
    /// Where the last whole line ends.
    length: u64,
    /// The length after the last rewrite.
    rewritten: u64,
    /// A failed write could not be cut off, so that nothing may follow it.
    broken: bool,
}

impl Journal {
    /// Appends an entry that must survive everything.
    pub(super) async fn record(&mut self, entry: &Entry) -> io::Result<()> {
        let line = line(entry)?;
        let written = match self.write(&line).await {
            Ok(()) => self.file.sync_data().await,
            Err(error) => Err(error),
        };
        self.settle(&line, written).await
    }

    /// Appends an entry that must survive the endpoint.
    pub(super) async fn note(&mut self, entry: &Entry) -> io::Result<()> {
        let line = line(entry)?;
        let written = self.write(&line).await;
        self.settle(&line, written).await
    }

    pub(super) fn is_large(&self) -> bool {
        self.length >= LARGE_BYTES && self.length / 2 >= self.rewritten
    }

    /// Replaces the file by what `keep` keeps of it. If that fails, the file goes on as it was.
    pub(super) async fn rewrite(&mut self, keep: impl FnOnce(Vec<Entry>) -> Vec<Entry>) -> io::Result<()> {
        let text = tokio::fs::read(&self.path).await?;
        let entries = keep(parse(&text).map_err(|(_, error)| error)?);
        let path = self.path.clone();
        let replaced = tokio::task::spawn_blocking(move || replace(&path, &entries));
        let (file, length) = replaced.await.map_err(io::Error::other)??;
        self.file = tokio::fs::File::from_std(file);
        self.length = length;
        self.rewritten = length;
        self.broken = false;
        Ok(())
    }

    async fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed"));
        }
        self.file.write_all(line).await?;
        self.file.flush().await
    }

    async fn settle(&mut self, line: &[u8], written: io::Result<()>) -> io::Result<()> {
        match &written {
            Ok(()) => {
                let bytes = u64::try_from(line.len()).unwrap_or(u64::MAX);
                self.length = self.length.saturating_add(bytes);
            }
            Err(_) => self.broken |= self.file.set_len(self.length).await.is_err(),
        }
        written
    }

    /// A journal on a file that cannot be written.
    #[cfg(test)]
    pub(super) fn unwritable(path: &Path) -> Self {
        let file = File::open(path).unwrap();
        Self { path: path.to_owned(), file: tokio::fs::File::from_std(file), length: 0, rewritten: 0, broken: false }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tasks::tests::{at, task};
    use super::*;
    use serde_json::json;

    fn entries() -> Vec<Entry> {
        let mut stopped = task("a", at(1));
        stopped.end_container(0, Some(3), Some("why"));
        stopped.stop(at(9));
        vec![
            Entry::Cluster { at: at(0), name: "batch".to_owned() },
            Entry::Launch {
                cluster: "batch".to_owned(),
                family: "hello".to_owned(),
                consumed: 4,
                token: Some("t-1".to_owned()),
                record: Box::new(Record {
                    request: json!({ "taskDefinition": "hello" }),
                    created_at: at(1),
                    tasks: vec!["a".to_owned()],
                    ghosts: Vec::new(),
                    failures: Vec::new(),
                }),
                tasks: vec![task("a", at(1))],
            },
            Entry::Stopped { task: Box::new(stopped) },
        ]
    }

    fn empty(path: &Path) -> Journal {
        open(path).unwrap().rewrite(&[]).unwrap()
    }

    #[tokio::test]
    async fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = empty(&path);
        for entry in entries() {
            journal.record(&entry).await.unwrap();
        }
        drop(journal);
        assert_eq!(open(&path).unwrap().entries, entries());
        // A rewrite keeps what it is given, and appends go on after it.
        let mut journal = open(&path).unwrap().rewrite(&entries()[..1]).unwrap();
        journal.note(&entries()[2]).await.unwrap();
        drop(journal);
        let kept = open(&path).unwrap().entries;
        assert_eq!(kept, [entries()[0].clone(), entries()[2].clone()]);
    }

    #[test]
    fn a_line_cut_short_anywhere_loses_only_itself() {
        let whole: Vec<u8> = entries().iter().flat_map(|entry| line(entry).unwrap()).collect();
        let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
        for cut in 0..whole.len() {
            let complete = ends.iter().filter(|end| **end < cut).count();
            assert_eq!(parse(&whole[..cut]).unwrap(), entries()[..complete]);
        }
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        fs::write(&path, "{\"event\":\"clu\n{}\n").unwrap();
        let error = open(&path).unwrap_err();
        assert!(matches!(error, JournalError::Unreadable { line: 1, .. }));
    }

    #[tokio::test]
    async fn a_second_endpoint_finds_the_journal_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = empty(&path);
        assert!(matches!(open(&path).unwrap_err(), JournalError::InUse { .. }));
        drop(journal);
        assert!(open(&path).is_ok());
    }

    #[tokio::test]
    async fn a_failed_write_is_reported_and_leaves_no_half_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        fs::write(&path, "").unwrap();
        let mut journal = Journal::unwritable(&path);
        assert!(journal.record(&entries()[0]).await.is_err());
        assert!(journal.note(&entries()[0]).await.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"");
    }
}
