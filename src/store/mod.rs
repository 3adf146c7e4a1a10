//! Where runs are kept, and the promise that goes with it: what [`Store::commit`] acknowledged survives.
//!
//! The driver hands over everything that one turn of its loop decided as one [`Batch`], and acts only once that batch is
//! durable. So a batch is the unit of atomicity and of group commit: 10,000 firings of one second are one transaction.
//! Every write names the lease term under which it was decided; a daemon whose term is over can write nothing more.
//!
//! Two stores pass the same conformance suite (`tests/it/store.rs`): SQLite for daemons, memory for simulation.

mod audit;
pub mod memory;
mod notice;
mod prune;
mod row;
mod span;
pub mod sqlite;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::engine::job::{Definition, JobName};
use crate::engine::launch::Launch;
use crate::engine::log_tail::LogTail;
use crate::engine::notice::{ChannelId, Notice, Standing};
use crate::engine::pause::{Pause, Scope};
use crate::engine::retention::Retention;
use crate::engine::run::{Attempt, Covered, Entry, Run, RunId, Status, Trigger};

pub use self::audit::{Audit, AuditRow};
pub use self::notice::{
    NoticeCounts, NoticeMove, NoticeQuery, NoticeState, NoticeSummary, NoticeTurn, OwedNotice,
    PAUSE_MAX as NOTICE_PAUSE_MAX,
};
pub use self::prune::{Position, Pruned};
pub use self::span::Span;

/// One period of leadership; a higher term ends all lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term(pub u64);

/// Up to where the instants of a job's schedule have been decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The job.
    pub job: JobName,
    /// The schedule that it belongs to, as text: another one starts anew.
    pub schedule: String,
    /// Every instant up to and including this one has its row.
    pub mark: DateTime<Utc>,
    /// Where `rate(…)` counts from.
    pub anchor: DateTime<Utc>,
    /// How many runs of the job ended badly since one succeeded.
    pub failed_in_a_row: u32,
    /// What decides which notices are owed next.
    pub standing: Standing,
}

/// A run to be saved, with what is new about it.
#[derive(Debug, Clone)]
pub struct RunSave {
    /// The whole run.
    pub run: Run,
    /// True for a run that was never saved: if its id exists already, the old row stays and the new one is dropped.
    pub is_new: bool,
    /// The first attempt (index in `run.attempts`) that changed.
    pub attempts_from: usize,
    /// Entries to append.
    pub entries: Vec<Entry>,
}

/// All that one turn of the driver decided.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The term under which it was decided.
    pub term: Term,
    /// When it was handed over.
    pub at: DateTime<Utc>,
    /// Marks that moved.
    pub marks: Vec<Mark>,
    /// Jobs that left the configuration: should one come back, it begins anew.
    pub forgotten_marks: Vec<JobName>,
    /// Runs that changed.
    pub runs: Vec<RunSave>,
    /// Pauses that began or changed, and those that are over (none).
    pub pauses: Vec<(Scope, Option<Pause>)>,
    /// What people did; a request whose run is dropped, because its id exists already, leaves no record either.
    pub audit: Vec<Audit>,
    /// What failed containers wrote last, beside what the driver decided: an attempt's newest replaces what it had. That of a
    /// run which is not stored is dropped.
    pub log_tails: Vec<(RunId, u32, Vec<LogTail>)>,
    /// Notices that are owed from now on. One that is known by its name, or whose run is dropped, is not added.
    pub notices: Vec<Notice>,
    /// What became of notices. One that is no longer owed stays as it is.
    pub notice_moves: Vec<NoticeMove>,
}

impl Batch {
    /// A batch that changes nothing and says that the daemon is alive.
    pub fn empty(term: Term, at: DateTime<Utc>) -> Batch {
        Batch {
            term,
            at,
            marks: Vec::new(),
            forgotten_marks: Vec::new(),
            runs: Vec::new(),
            pauses: Vec::new(),
            audit: Vec::new(),
            log_tails: Vec::new(),
            notices: Vec::new(),
            notice_moves: Vec::new(),
        }
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        let Batch { term: _, at: _, marks, forgotten_marks, runs, pauses, audit, log_tails, notices, notice_moves } =
            self;
        let nothing_moved = marks.is_empty() && forgotten_marks.is_empty() && runs.is_empty();
        let nothing_told = log_tails.is_empty() && notices.is_empty() && notice_moves.is_empty();
        nothing_moved && nothing_told && pauses.is_empty() && audit.is_empty()
    }
}

/// What a starting daemon needs to know.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Every mark.
    pub marks: Vec<Mark>,
    /// Every run that is not finished, oldest first.
    pub runs: Vec<Run>,
    /// Every pause.
    pub pauses: Vec<(Scope, Pause)>,
    /// When the last batch was handed over; none in a new store.
    pub last_commit_at: Option<DateTime<Utc>>,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunQuery {
    /// Of this job only.
    pub job: Option<JobName>,
    /// In one of these statuses only; in any if none is named.
    pub statuses: Vec<Status>,
    /// Recorded before this run.
    pub before: Option<RunId>,
    /// At most so many.
    pub limit: usize,
}

/// A run as listings show it; the JSON object of the interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Its id.
    pub run: RunId,
    /// Its job.
    pub job: JobName,
    /// What began it.
    pub trigger: Trigger,
    /// Its nominal instant.
    pub scheduled_at: DateTime<Utc>,
    /// Where it is.
    pub status: Status,
    /// How many attempts it has had.
    pub attempts: u32,
    /// The primary error name of its end, or of the attempt that is being waited out.
    pub error: Option<String>,
    /// What happened, for a person.
    pub cause: Option<String>,
    /// The exit code of the newest attempt.
    pub exit_code: Option<i32>,
    /// When it was recorded.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// When something is due next, if that is known.
    pub next_action_at: Option<DateTime<Utc>>,
    /// The instants that it stands for, if it stands for more than its own.
    #[serde(default)]
    pub covers: Option<Covered>,
}

impl RunSummary {
    /// A run as a listing shows it once it is saved; none for one that could be saved nowhere.
    pub fn of(run: &Run) -> Option<RunSummary> {
        let (origin, progress) = row::of_run(run).ok()?;
        row::to_summary(origin, progress).ok()
    }
}

/// Everything about one run.
#[derive(Debug, Clone)]
pub struct RunStory {
    /// Its summary.
    pub summary: RunSummary,
    /// Its attempts, in order.
    pub attempts: Vec<Attempt>,
    /// Its history, in order.
    pub entries: Vec<Entry>,
    /// What the containers of its failed attempts wrote last, by attempt.
    pub log_tails: BTreeMap<u32, Vec<LogTail>>,
    /// Its notices, in the order in which they were owed.
    pub notices: Vec<NoticeSummary>,
    /// What it does.
    pub definition: Arc<Definition>,
    /// Its newest launch; none before the first.
    pub launch: Option<Launch>,
    /// When `timeout` is over, counted from its first launch.
    pub deadline: Option<DateTime<Utc>>,
}

/// All that was stored at one instant, as a database of its own.
#[derive(Debug)]
pub struct Snapshot {
    /// From its beginning on; nobody else finds it.
    pub file: File,
    /// How many bytes.
    pub len: u64,
    /// The SHA-256 of them, in hexadecimal digits.
    pub sha256: String,
}

/// Why a store did not do what it was asked; nothing of the batch is saved.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another daemon has begun a later term.
    #[error("term {mine} is over: term {current} has begun")]
    Deposed {
        /// The term of the batch.
        mine: u64,
        /// The term of the store.
        current: u64,
    },
    /// The batch does not continue what is stored, or could be stored nowhere: a mistake in the program, which trying again
    /// can't mend.
    #[error("failed to save a batch, by a mistake in tenacron")]
    Inconsistent {
        /// Which run, and how.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store's own thread has ended: only a new start opens it again.
    #[error("failed to reach the database: it is closed")]
    Closed,
    /// What was saved is safe, but this handle can save nothing more: only a new start can.
    #[error("failed to save a batch")]
    Severed {
        /// What happened, and to what.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database failed in a way that can pass: full, read-only, locked, moved away, too slow.
    #[error("failed to {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What the database said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is stored is not what was stored. No waiting mends it, and to go on would be to guess what has been launched.
    #[error("failed to {doing}")]
    Damaged {
        /// What was being done.
        doing: &'static str,
        /// What is damaged.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Where runs are kept.
pub trait Store: Clone + Send + Sync + 'static {
    /// The term that this handle was opened with.
    fn term(&self) -> Term;

    /// Saves a batch, all or nothing, and returns when it is durable. Returns the new runs that were dropped because
    /// their id exists already. A batch may be shared, as whoever tries again does: it can be large.
    ///
    /// # Errors
    /// Nothing was saved.
    fn commit(
        &self,
        batch: impl Into<Arc<Batch>> + Send,
    ) -> impl Future<Output = Result<BTreeSet<RunId>, StoreError>> + Send;

    /// Reads what is in flight.
    ///
    /// # Errors
    /// The database failed.
    fn load(&self) -> impl Future<Output = Result<Loaded, StoreError>> + Send;

    /// Lists runs, newest first.
    ///
    /// # Errors
    /// The database failed.
    fn runs(&self, query: RunQuery) -> impl Future<Output = Result<Vec<RunSummary>, StoreError>> + Send;

    /// The newest run of each job; of those in a status, if one is named.
    ///
    /// # Errors
    /// The database failed.
    fn last_runs(&self, status: Option<Status>) -> impl Future<Output = Result<Vec<RunSummary>, StoreError>> + Send;

    /// Everything about one run; none if there is no such run.
    ///
    /// # Errors
    /// The database failed.
    fn story(&self, run: RunId) -> impl Future<Output = Result<Option<RunStory>, StoreError>> + Send;

    /// The newest runs of each of these jobs, at most `per_job` of each; by job, newest first.
    ///
    /// # Errors
    /// The database failed.
    fn recent_runs(
        &self,
        jobs: Vec<JobName>,
        per_job: usize,
    ) -> impl Future<Output = Result<Vec<RunSummary>, StoreError>> + Send;

    /// The newest runs that live.
    ///
    /// # Errors
    /// The database failed.
    fn living(&self, limit: usize) -> impl Future<Output = Result<Vec<RunSummary>, StoreError>> + Send;

    /// The runs that have ended badly since then, see [`Status::is_bad`]; the last end first.
    ///
    /// # Errors
    /// The database failed.
    fn bad_since(
        &self,
        since: DateTime<Utc>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<RunSummary>, StoreError>> + Send;

    /// The runs of each of these jobs that lived at some time from `from` up to `until`, at most the newest `per_job` of each; by
    /// job, newest first.
    ///
    /// # Errors
    /// The database failed.
    fn spans(
        &self,
        jobs: Vec<JobName>,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        per_job: usize,
    ) -> impl Future<Output = Result<Vec<Span>, StoreError>> + Send;

    /// What became of an instant of a job: the row that stands for it, and the runs that people asked for it.
    ///
    /// # Errors
    /// The database failed.
    fn of_instant(
        &self,
        job: JobName,
        instant: DateTime<Utc>,
    ) -> impl Future<Output = Result<Vec<RunSummary>, StoreError>> + Send;

    /// When launches were first sent in the range [`from`, `until`], newest first, at most `limit` of them.
    ///
    /// # Errors
    /// The database failed.
    fn launches(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<DateTime<Utc>>, StoreError>> + Send;

    /// The attempts of each of these runs, in order; nothing of a run that there is not.
    ///
    /// # Errors
    /// The database failed.
    fn attempts(&self, runs: Vec<RunId>)
    -> impl Future<Output = Result<Vec<(RunId, Vec<Attempt>)>, StoreError>> + Send;

    /// What people did, newest first, before this place in the record.
    ///
    /// # Errors
    /// The database failed.
    fn audit(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<AuditRow>, StoreError>> + Send;

    /// Notices that are owed by a channel and whose next try is due, at most `limit` of them, in the order of their tries. One whose next try lies further ahead than any pause is due too: the clock was set back.
    ///
    /// # Errors
    /// The database failed.
    fn due_notices(
        &self,
        channel: ChannelId,
        now: DateTime<Utc>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<OwedNotice>, StoreError>> + Send;

    /// When each channel that is owed something is to be tried next; by channel.
    ///
    /// # Errors
    /// The database failed.
    fn owed_channels(&self) -> impl Future<Output = Result<Vec<(ChannelId, DateTime<Utc>)>, StoreError>> + Send;

    /// Lists notices, newest first; none if there is no notice before which to list.
    ///
    /// # Errors
    /// The database failed.
    fn notices(
        &self,
        query: NoticeQuery,
    ) -> impl Future<Output = Result<Option<Vec<NoticeSummary>>, StoreError>> + Send;

    /// How many notices are owed, and how many were given up.
    ///
    /// # Errors
    /// The database failed.
    fn notice_counts(&self) -> impl Future<Output = Result<NoticeCounts, StoreError>> + Send;

    /// Deletes a slice of what the rules no longer keep: runs that are over, each with all that belongs to it, definitions that
    /// no run has any more, and what people did. Everything of a slice goes at once, and nothing of it once a later term has
    /// begun.
    ///
    /// # Errors
    /// Nothing of the slice was deleted.
    fn prune(
        &self,
        rules: Retention,
        from: Position,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<Pruned, StoreError>> + Send;

    /// Copies everything, while commits go on.
    ///
    /// # Errors
    /// There is no copy: the database or the file system failed, there is no room for one, or another is being made.
    fn snapshot(&self) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;
}
