//! Runs in memory: the same promises without a disk, for simulation and tests.
//!
//! It keeps the rows that SQLite would keep and reads them back the same way, so that a run which does not survive being
//! stored is found here too. Every operation ends at once, without a thread, so that paused clocks stay paused. What a disk
//! and a second daemon do is asked for: [`MemoryStore::begin_term`] is a new daemon on the same data, and
//! [`MemoryStore::fail_next_commits`] a disk that fails.

mod pruning;
mod saving;
mod shown;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use super::notice::{NoticeRow, PAUSE_MAX};
use super::row::{self, Damaged, DefinitionIds, EventRow, Fault, LaunchRow, Origin, Parts, Progress};
use super::{
    AuditRow, Batch, Loaded, Mark, NoticeCounts, NoticeQuery, NoticeState, NoticeSummary, OwedNotice, Position, Pruned,
    RunQuery, RunStory, RunSummary, Snapshot, Span, Store, StoreError, Term,
};
use crate::engine::job::{Definition, JobName};
use crate::engine::launch::Launch;
use crate::engine::notice::{ChannelId, Standing};
use crate::engine::retention::Retention;
use crate::engine::run::{Attempt, Run, RunId, Status};

/// A handle on a store in memory; clones share it.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    term: Term,
    data: Arc<Mutex<Data>>,
}

#[derive(Debug, Default)]
struct Data {
    term: u64,
    last_commit_at: Option<i64>,
    marks: BTreeMap<JobName, MarkRow>,
    /// By the column of their scope.
    pauses: BTreeMap<String, String>,
    audit: Vec<AuditRow>,
    /// In the order in which they were owed, each with its run.
    notices: Vec<(RunId, NoticeRow)>,
    /// By id.
    definitions: BTreeMap<i64, String>,
    definition_ids: DefinitionIds,
    by_hash: HashMap<String, i64>,
    /// By place, which is the order in which they were recorded.
    runs: BTreeMap<usize, Stored>,
    places: HashMap<RunId, usize>,
    next_place: usize,
    /// Of runs that are the only ones for their instant.
    firings: BTreeSet<(JobName, i64)>,
    unfinished: BTreeSet<usize>,
    commits_to_fail: u32,
}

/// A row of the table `mark`.
#[derive(Debug)]
struct MarkRow {
    schedule: String,
    mark: i64,
    anchor: i64,
    failed_in_a_row: u32,
    ended_badly: bool,
    left_out: Option<String>,
}

#[derive(Debug)]
struct Stored {
    origin: Origin,
    progress: Progress,
    definition: i64,
    attempts: Vec<String>,
    /// By generation.
    launches: BTreeMap<u32, LaunchRow>,
    events: Vec<EventRow>,
    /// JSON, by attempt.
    log_tails: BTreeMap<u32, String>,
}

impl MemoryStore {
    /// An empty store, in its first term.
    pub fn new() -> MemoryStore {
        MemoryStore { term: Term(0), data: Arc::default() }.begin_term()
    }

    /// What a new daemon opens: a handle on the same data under a new term, which ends all earlier ones.
    pub fn begin_term(&self) -> MemoryStore {
        let mut data = self.data();
        data.term += 1;
        MemoryStore { term: Term(data.term), data: Arc::clone(&self.data) }
    }

    /// Lets the next `commits` commits fail with nothing saved, whichever handle they come from.
    pub fn fail_next_commits(&self, commits: u32) {
        self.data().commits_to_fail = commits;
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        // Nothing is changed before everything that can fail has been prepared, so a panic leaves no half-saved batch.
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new()
    }
}

impl Store for MemoryStore {
    fn term(&self) -> Term {
        self.term
    }

    async fn commit(&self, batch: impl Into<Arc<Batch>> + Send) -> Result<BTreeSet<RunId>, StoreError> {
        let batch = batch.into();
        let mut data = self.data();
        if data.commits_to_fail > 0 {
            data.commits_to_fail -= 1;
            return Err(row::told("save a batch", "the disk fails on request".into()));
        }
        if data.term != batch.term.0 {
            return Err(StoreError::Deposed { mine: batch.term.0, current: data.term });
        }
        data.save(&batch).map_err(|source| row::told("save a batch", source))
    }

    async fn load(&self) -> Result<Loaded, StoreError> {
        self.data().load().map_err(|source| row::told("read what is in flight", source))
    }

    async fn runs(&self, query: RunQuery) -> Result<Vec<RunSummary>, StoreError> {
        self.data().list(&query).map_err(|source| row::told("list runs", source))
    }

    async fn last_runs(&self, status: Option<Status>) -> Result<Vec<RunSummary>, StoreError> {
        self.data().last_runs(status).map_err(|source| row::told("list the newest run of each job", source))
    }

    async fn story(&self, run: RunId) -> Result<Option<RunStory>, StoreError> {
        self.data().story(&run).map_err(|source| row::told("read a run", source))
    }

    async fn recent_runs(&self, jobs: Vec<JobName>, per_job: usize) -> Result<Vec<RunSummary>, StoreError> {
        self.data().recent_runs(&jobs, per_job).map_err(|source| row::told("list the newest runs of jobs", source))
    }

    async fn living(&self, limit: usize) -> Result<Vec<RunSummary>, StoreError> {
        self.data().living(limit).map_err(|source| row::told("list what is in flight", source))
    }

    async fn bad_since(&self, since: DateTime<Utc>, limit: usize) -> Result<Vec<RunSummary>, StoreError> {
        self.data().bad_since(since, limit).map_err(|source| row::told("list what ended badly", source))
    }

    async fn spans(
        &self,
        jobs: Vec<JobName>,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        per_job: usize,
    ) -> Result<Vec<Span>, StoreError> {
        self.data().spans(&jobs, from, until, per_job).map_err(|source| row::told("list the runs of a time", source))
    }

    async fn of_instant(&self, job: JobName, instant: DateTime<Utc>) -> Result<Vec<RunSummary>, StoreError> {
        self.data().of_instant(&job, instant).map_err(|source| row::told("look an instant up", source))
    }

    async fn launches(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<DateTime<Utc>>, StoreError> {
        Ok(self.data().launches(from, until, limit))
    }

    async fn attempts(&self, runs: Vec<RunId>) -> Result<Vec<(RunId, Vec<Attempt>)>, StoreError> {
        self.data().attempts(runs).map_err(|source| row::told("read the attempts of runs", source))
    }

    async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let data = self.data();
        let older = data.audit.iter().rev().filter(|row| before.is_none_or(|before| row.seq < before));
        Ok(older.take(limit).cloned().collect())
    }

    async fn due_notices(
        &self,
        channel: ChannelId,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<OwedNotice>, StoreError> {
        self.data().due_notices(&channel, now, limit).map_err(|source| row::told("read which notices are due", source))
    }

    async fn owed_channels(&self) -> Result<Vec<(ChannelId, DateTime<Utc>)>, StoreError> {
        self.data().owed_channels().map_err(|source| row::told("read which channels are owed notices", source))
    }

    async fn notices(&self, query: NoticeQuery) -> Result<Option<Vec<NoticeSummary>>, StoreError> {
        self.data().notices(&query).map_err(|source| row::told("list notices", source))
    }

    async fn notice_counts(&self) -> Result<NoticeCounts, StoreError> {
        Ok(self.data().notice_counts())
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Err(StoreError::Database { doing: "copy the state", source: "it is kept in memory only".into() })
    }

    async fn prune(&self, rules: Retention, from: Position, now: DateTime<Utc>) -> Result<Pruned, StoreError> {
        let mut data = self.data();
        if data.term != self.term.0 {
            return Err(StoreError::Deposed { mine: self.term.0, current: data.term });
        }
        pruning::prune(&mut data, rules, from, now).map_err(|source| row::told("delete what is kept no longer", source))
    }
}

impl Data {
    fn load(&self) -> Result<Loaded, Fault> {
        let mut definitions = HashMap::new();
        let unfinished = self.unfinished.iter().filter_map(|place| self.runs.get(place));
        let runs = unfinished.map(|stored| self.whole_run(stored, &mut definitions)).collect::<Result<_, _>>()?;
        let marks = self.marks.iter().map(|(job, mark)| mark.to_mark(job)).collect::<Result<_, Fault>>()?;
        let pauses =
            self.pauses.iter().map(|(scope, body)| Ok(row::to_pause(scope, body)?)).collect::<Result<_, Fault>>()?;
        Ok(Loaded {
            marks,
            runs,
            pauses,
            last_commit_at: self.last_commit_at.and_then(DateTime::<Utc>::from_timestamp_millis),
        })
    }

    fn whole_run(&self, stored: &Stored, read: &mut HashMap<i64, Arc<Definition>>) -> Result<Run, Fault> {
        let id = &stored.origin.id;
        let definition = match read.get(&stored.definition) {
            Some(known) => Arc::clone(known),
            None => {
                let definition = self.definition(stored)?;
                read.insert(stored.definition, Arc::clone(&definition));
                definition
            }
        };
        let parts = Parts {
            definition,
            attempts: stored.attempts.iter().map(|body| row::to_attempt(body, id)).collect::<Result<_, _>>()?,
            launch: stored.newest_launch()?,
        };
        Ok(row::to_run(stored.origin.clone(), stored.progress.clone(), parts)?)
    }

    fn definition(&self, stored: &Stored) -> Result<Arc<Definition>, Fault> {
        let body = self.definitions.get(&stored.definition).ok_or("a run's definition is not stored")?;
        Ok(Arc::new(row::from_json(body, &row::named(&stored.origin.id), "definition.body")?))
    }

    fn of_instant(&self, job: &JobName, instant: DateTime<Utc>) -> Result<Vec<RunSummary>, Fault> {
        let of_job = self.runs.values().filter(|run| run.origin.job == *job);
        let summaries = of_job.map(Stored::summary).collect::<Result<Vec<_>, Fault>>()?;
        let (named, asked): (Vec<_>, Vec<_>) = summaries.into_iter().partition(|run| row::is_unique(run.trigger));
        let mut found: Vec<RunSummary> =
            named.into_iter().filter(|run| row::stands_for(run, instant)).take(1).collect();
        found.extend(asked.into_iter().filter(|run| run.scheduled_at == instant));
        Ok(found)
    }

    fn list(&self, query: &RunQuery) -> Result<Vec<RunSummary>, Fault> {
        let end = match &query.before {
            None => self.next_place,
            // Nothing was recorded before a run that was never recorded.
            Some(run) => self.places.get(run).copied().unwrap_or_default(),
        };
        self.runs
            .range(..end)
            .rev()
            .map(|(_, run)| run)
            .filter(|run| query.job.as_ref().is_none_or(|job| *job == run.origin.job))
            .filter(|run| query.statuses.is_empty() || query.statuses.contains(&run.progress.status))
            .take(query.limit)
            .map(Stored::summary)
            .collect()
    }

    fn last_runs(&self, status: Option<Status>) -> Result<Vec<RunSummary>, Fault> {
        let runs = self.runs.values().filter(|run| status.is_none_or(|status| run.progress.status == status));
        let newest: BTreeMap<&JobName, &Stored> = runs.map(|run| (&run.origin.job, run)).collect();
        newest.into_values().map(Stored::summary).collect()
    }

    fn story(&self, run: &RunId) -> Result<Option<RunStory>, Fault> {
        let Some(stored) = self.places.get(run).and_then(|place| self.runs.get(place)) else { return Ok(None) };
        Ok(Some(RunStory {
            summary: stored.summary()?,
            attempts: stored.attempts.iter().map(|body| row::to_attempt(body, run)).collect::<Result<_, _>>()?,
            entries: stored.events.iter().map(|event| event.clone().into_entry(run)).collect::<Result<_, _>>()?,
            log_tails: stored
                .log_tails
                .iter()
                .map(|(attempt, body)| Ok((*attempt, row::from_json(body, &row::named(run), "log_tail.body")?)))
                .collect::<Result<_, Fault>>()?,
            notices: self
                .notices
                .iter()
                .filter(|(of, _)| of == run)
                .map(|(run, notice)| notice.clone().into_summary(run.clone()))
                .collect::<Result<_, _>>()?,
            definition: self.definition(stored)?,
            launch: stored.newest_launch()?,
            deadline: row::deadline(&stored.progress, run)?,
        }))
    }

    fn notices(&self, query: &NoticeQuery) -> Result<Option<Vec<NoticeSummary>>, Fault> {
        let end = match &query.before {
            None => Some(self.notices.len()),
            Some(id) => self.notices.iter().position(|(_, notice)| notice.id == *id),
        };
        let Some(end) = end else { return Ok(None) };
        let state = query.state.map(NoticeState::as_str);
        let newest_first = self.notices.iter().take(end).rev();
        let listed = newest_first
            .filter(|(_, notice)| query.job.as_ref().is_none_or(|job| job.as_str() == notice.job))
            .filter(|(_, notice)| query.channel.as_ref().is_none_or(|channel| *channel.0 == *notice.channel))
            .filter(|(_, notice)| state.is_none_or(|state| state == notice.state))
            .take(query.limit)
            .map(|(run, notice)| notice.clone().into_summary(run.clone()));
        listed.collect::<Result<_, _>>().map(Some)
    }

    fn owed(&self) -> impl Iterator<Item = (&str, i64, &NoticeRow)> {
        self.notices.iter().filter_map(|(_, notice)| Some((notice.channel.as_str(), notice.next_at?, notice)))
    }

    fn owed_channels(&self) -> Result<Vec<(ChannelId, DateTime<Utc>)>, Fault> {
        let mut channels: BTreeMap<&str, i64> = BTreeMap::new();
        for (channel, next_at, _) in self.owed() {
            channels.entry(channel).and_modify(|first| *first = next_at.min(*first)).or_insert(next_at);
        }
        let at = |at| row::instant(at, "a notice", "next_at");
        channels.into_iter().map(|(channel, next_at)| Ok((ChannelId(channel.into()), at(next_at)?))).collect()
    }

    fn due_notices(&self, channel: &ChannelId, now: DateTime<Utc>, limit: usize) -> Result<Vec<OwedNotice>, Fault> {
        let (now, ahead) = (now.timestamp_millis(), (now + PAUSE_MAX).timestamp_millis());
        let is_due = |at: i64| at <= now || at > ahead;
        let of_channel = self.owed().filter(|(of, next_at, _)| *of == &*channel.0 && is_due(*next_at));
        let mut due: Vec<_> = of_channel.collect();
        // A stable sort: those of one instant stay in the order in which they were owed.
        due.sort_by_key(|(_, next_at, _)| *next_at);
        due.into_iter().take(limit).map(|(_, _, notice)| notice.clone().into_owed()).collect()
    }

    fn notice_counts(&self) -> NoticeCounts {
        let count = |state: NoticeState| {
            let of_state = self.notices.iter().filter(|(_, notice)| notice.state == state.as_str());
            of_state.count() as u64
        };
        NoticeCounts { owed: count(NoticeState::Owed), dead: count(NoticeState::Dead) }
    }
}

impl MarkRow {
    fn of(mark: &Mark) -> MarkRow {
        let Mark { job: _, schedule, mark, anchor, failed_in_a_row, standing: Standing { ended_badly, left_out } } =
            mark;
        MarkRow {
            schedule: schedule.clone(),
            mark: mark.timestamp_millis(),
            anchor: anchor.timestamp_millis(),
            failed_in_a_row: *failed_in_a_row,
            ended_badly: *ended_badly,
            left_out: row::of_left_out(*left_out),
        }
    }

    fn to_mark(&self, job: &JobName) -> Result<Mark, Fault> {
        let named = format!("mark of job {job}");
        let left_out = row::to_left_out(self.left_out.as_deref(), &named)?;
        Ok(Mark {
            job: job.clone(),
            schedule: self.schedule.clone(),
            mark: row::instant(self.mark, &named, "mark")?,
            anchor: row::instant(self.anchor, &named, "anchor")?,
            failed_in_a_row: self.failed_in_a_row,
            standing: Standing { ended_badly: self.ended_badly, left_out },
        })
    }
}

impl Stored {
    fn summary(&self) -> Result<RunSummary, Fault> {
        Ok(row::to_summary(self.origin.clone(), self.progress.clone())?)
    }

    fn newest_launch(&self) -> Result<Option<Launch>, Damaged> {
        let newest = self.launches.last_key_value().map(|(_, launch)| launch.clone());
        newest.map(|launch| launch.into_launch(&self.origin.id)).transpose()
    }
}
