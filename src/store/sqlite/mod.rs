//! Runs in an embedded SQLite database: the store of a daemon that needs no other server.
//!
//! Two threads own the two connections, one writes and one reads, because SQLite blocks and the daemon's loop must not.
//! [`SqliteStore`] is a handle on both. A commit whose future is dropped may still be saved; nothing is ever half saved.
//! If COMMIT itself fails, for instance because the disk does, this process takes the batch as not saved, while a restart
//! may find it: both are states from which the run goes on safely.
//!
//! `about.rs` looks at a database from outside. `fault.rs` tells which faults can pass and which are damage, `home.rs` whether the files are still those that were
//! opened.
//!
//! Under a paused tokio clock use [`super::memory::MemoryStore`]: tokio does not know that a thread is about to answer and
//! moves its clock on.

mod about;
mod copy;
mod fault;
mod home;
mod open;
mod prune;
mod read;
mod shown;
mod sql;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use self::about::About;
pub use self::copy::copy_at_rest;
pub use self::open::{Holder, OpenError, SCHEMA, World};
use self::write::Writer;
use super::row::Fault;
use super::{
    AuditRow, Batch, Loaded, NoticeCounts, NoticeQuery, NoticeSummary, OwedNotice, Position, Pruned, RunQuery,
    RunStory, RunSummary, Snapshot, Span, Store, StoreError, Term,
};
use crate::engine::job::JobName;
use crate::engine::notice::ChannelId;
use crate::engine::retention::Retention;
use crate::engine::run::{Attempt, RunId, Status};

/// The key in `meta` of the instant of the last batch.
const LAST_COMMIT_AT: &str = "last_commit_at";
/// How many requests wait for a thread before those who ask wait too.
const QUEUE_MAX: usize = 256;
/// How long a question from outside waits for its answer. Longer than SQLite itself waits for a lock, so that its own word
/// is heard where it has one.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A handle on an open database; clones share it. The last one to go waits until what was asked for is written, closes
/// the database and gives the lock back.
#[derive(Debug, Clone)]
pub struct SqliteStore(Arc<Inner>);

/// The order of the fields is the order in which they are dropped: the threads end because their queues do.
struct Inner {
    path: PathBuf,
    term: Term,
    /// Held while a copy is made: one at a time.
    copying: Arc<Semaphore>,
    writer: mpsc::Sender<write::Request>,
    reader: mpsc::Sender<read::Request>,
    _threads: Threads,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("term", &self.term).finish_non_exhaustive()
    }
}

/// The writer, which itself waits for the reader.
struct Threads(Option<JoinHandle<()>>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ended = thread.join();
        }
    }
}

impl SqliteStore {
    /// Opens the database, or creates it with its directory, and begins a new term.
    ///
    /// # Errors
    /// Somebody else has it open, it is not ours to work with, or the file system or the database failed.
    pub fn open(path: &Path, world: World, holder: &Holder, at: DateTime<Utc>) -> Result<SqliteStore, OpenError> {
        let opened = open::open(path, world, holder, at)?;
        let failed =
            |source| OpenError::NotWritable { path: path.to_owned(), doing: "start the threads that serve", source };
        let (reader, reads) = mpsc::channel(QUEUE_MAX);
        let (writer, writes) = mpsc::channel(QUEUE_MAX);
        let connection = opened.reader;
        let read_thread =
            thread::Builder::new().name("store-reader".into()).spawn(move || read::serve(connection, reads));
        let owned = Writer {
            connection: opened.writer,
            lock: opened.lock,
            home: opened.home,
            reader: read_thread.map_err(failed)?,
        };
        let write_thread = thread::Builder::new().name("store-writer".into()).spawn(move || owned.serve(writes));
        let threads = Threads(Some(write_thread.map_err(failed)?));
        Ok(SqliteStore(Arc::new(Inner {
            path: path.to_owned(),
            term: opened.term,
            copying: Arc::new(Semaphore::new(1)),
            writer,
            reader,
            _threads: threads,
        })))
    }

    /// Writes what was asked for, closes the database and gives the lock back, whatever other handles there are: what
    /// they ask for from now on fails.
    pub async fn close(self) {
        let (done, reader_done) = oneshot::channel();
        if self.0.reader.send(read::Request::Close(done)).await.is_ok() {
            let _closed = reader_done.await;
        }
        let (done, writer_done) = oneshot::channel();
        if self.0.writer.send(write::Request::Close(done)).await.is_ok() {
            let _closed = writer_done.await;
        }
    }

    /// Has the reader answer a query, however long that takes.
    async fn ask<T: Send + 'static>(
        &self,
        doing: &'static str,
        query: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let query = move |connection: &mut Connection| {
            // While the database can't be read, those who asked go away one by one; what they asked for must not keep
            // the next one waiting.
            if !answer.is_closed() {
                let _nobody_waits = answer.send(read::at_once(connection, query));
            }
        };
        let closed = || StoreError::Database { doing, source: NoAnswer::Closed.into() };
        self.0.reader.send(read::Request::Query(Box::new(query))).await.map_err(|_| closed())?;
        let answer = answered.await.map_err(|_| closed())?;
        answer.map_err(|fault| fault::told(&self.0.path, doing, fault))
    }

    /// The same for somebody outside, who gets an answer in time or is told that there is none.
    async fn ask_in_time<T: Send + 'static>(
        &self,
        doing: &'static str,
        query: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let answered = tokio::time::timeout(ANSWER_WITHIN, self.ask(doing, query)).await;
        answered.unwrap_or_else(|_elapsed| Err(StoreError::Database { doing, source: NoAnswer::Late.into() }))
    }
}

/// Why nobody answers.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("the database is closed")]
    Closed,
    #[error("another copy of it is being made")]
    Copying,
    #[error("the database did not answer within {} s; it is busy, or its disk is", ANSWER_WITHIN.as_secs())]
    Late,
}

impl Store for SqliteStore {
    fn term(&self) -> Term {
        self.0.term
    }

    async fn commit(&self, batch: impl Into<Arc<Batch>> + Send) -> Result<BTreeSet<RunId>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let request = write::Request::Commit(write::Commit { batch: batch.into(), answer });
        self.0.writer.send(request).await.map_err(|_| StoreError::Closed)?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn load(&self) -> Result<Loaded, StoreError> {
        let path = self.0.path.clone();
        let load = move |connection: &Connection| fault::certain(&path, || read::load(connection));
        self.ask("read what is in flight", load).await
    }

    async fn runs(&self, query: RunQuery) -> Result<Vec<RunSummary>, StoreError> {
        self.ask_in_time("list runs", move |connection| read::runs(connection, &query)).await
    }

    async fn last_runs(&self, status: Option<Status>) -> Result<Vec<RunSummary>, StoreError> {
        self.ask_in_time("list the newest run of each job", move |connection| read::last_runs(connection, status)).await
    }

    async fn story(&self, run: RunId) -> Result<Option<RunStory>, StoreError> {
        self.ask_in_time("read a run", move |connection| read::story(connection, &run)).await
    }

    async fn recent_runs(&self, jobs: Vec<JobName>, per_job: usize) -> Result<Vec<RunSummary>, StoreError> {
        let read = move |connection: &Connection| shown::recent_runs(connection, &jobs, per_job);
        self.ask_in_time("list the newest runs of jobs", read).await
    }

    async fn living(&self, limit: usize) -> Result<Vec<RunSummary>, StoreError> {
        self.ask_in_time("list what is in flight", move |connection| shown::living(connection, limit)).await
    }

    async fn bad_since(&self, since: DateTime<Utc>, limit: usize) -> Result<Vec<RunSummary>, StoreError> {
        self.ask_in_time("list what ended badly", move |connection| shown::bad_since(connection, since, limit)).await
    }

    async fn spans(
        &self,
        jobs: Vec<JobName>,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        per_job: usize,
    ) -> Result<Vec<Span>, StoreError> {
        let read = move |connection: &Connection| shown::spans(connection, &jobs, from, until, per_job);
        self.ask_in_time("list the runs of a time", read).await
    }

    async fn of_instant(&self, job: JobName, instant: DateTime<Utc>) -> Result<Vec<RunSummary>, StoreError> {
        self.ask_in_time("look an instant up", move |connection| read::of_instant(connection, &job, instant)).await
    }

    async fn launches(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<DateTime<Utc>>, StoreError> {
        let read = move |connection: &Connection| shown::launches(connection, from, until, limit);
        self.ask_in_time("read when there were launches", read).await
    }

    async fn attempts(&self, runs: Vec<RunId>) -> Result<Vec<(RunId, Vec<Attempt>)>, StoreError> {
        self.ask_in_time("read the attempts of runs", move |connection| shown::attempts_of(connection, runs)).await
    }

    async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        self.ask_in_time("list what people did", move |connection| read::audit(connection, before, limit)).await
    }

    async fn due_notices(
        &self,
        channel: ChannelId,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<OwedNotice>, StoreError> {
        let read = move |connection: &Connection| read::due_notices(connection, &channel, now, limit);
        self.ask_in_time("read which notices are due", read).await
    }

    async fn owed_channels(&self) -> Result<Vec<(ChannelId, DateTime<Utc>)>, StoreError> {
        self.ask_in_time("read which channels are owed notices", read::owed_channels).await
    }

    async fn notices(&self, query: NoticeQuery) -> Result<Option<Vec<NoticeSummary>>, StoreError> {
        self.ask_in_time("list notices", move |connection| read::notices(connection, &query)).await
    }

    async fn notice_counts(&self) -> Result<NoticeCounts, StoreError> {
        self.ask_in_time("count notices", read::notice_counts).await
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        const DOING: &str = "copy the state";
        let failed = |source| StoreError::Database { doing: DOING, source };
        let permit = Arc::clone(&self.0.copying).try_acquire_owned();
        let permit = permit.map_err(|_| failed(NoAnswer::Copying.into()))?;
        let (answer, answered) = oneshot::channel();
        let path = self.0.path.clone();
        let copy = move || {
            let copied = copy::of_open(&path, || !answer.is_closed());
            drop(permit);
            let _nobody_waits = answer.send(copied);
        };
        // In a thread that nobody waits for: a process that is told to end does.
        let thread = thread::Builder::new().name("store-copy".into()).spawn(copy);
        thread.map_err(|source| failed(source.into()))?;
        answered.await.map_err(|_| failed(NoAnswer::Closed.into()))?.map_err(failed)
    }

    async fn prune(&self, rules: Retention, from: Position, now: DateTime<Utc>) -> Result<Pruned, StoreError> {
        let find = move |connection: &Connection| prune::find(connection, rules, from, now);
        let slice = self.ask_in_time("look for what is kept no longer", find).await?;
        let pruned = Pruned { runs: slice.runs.len(), audit: slice.audit.len(), next: slice.next.clone() };
        if (pruned.runs, pruned.audit) == (0, 0) {
            return Ok(pruned);
        }
        let (answer, answered) = oneshot::channel();
        let request = write::Request::Prune(prune::Prune { slice, term: self.0.term, answer });
        self.0.writer.send(request).await.map_err(|_| StoreError::Closed)?;
        answered.await.unwrap_or(Err(StoreError::Closed)).map(|runs| Pruned { runs, ..pruned })
    }
}
