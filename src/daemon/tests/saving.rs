//! What the loop does while its store fails: it answers, keeps looking, performs nothing, and goes on or ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{Frail, WITHIN, no_connection, settings, until};
use crate::daemon::driver::Report;
use crate::daemon::{Daemon, DaemonError, Mailbox, clock, inbox};
use crate::ecs::{CallError, Described, Ecs, LivePage};
use crate::engine::job::{Instance, JobName, Site};
use crate::engine::launch::LaunchRequest;
use crate::engine::notice::ChannelId;
use crate::engine::retention::Retention;
use crate::engine::run::{Attempt, Event, Firing, Run, RunId, Status, Step, Trigger};
use crate::engine::samples;
use crate::engine::task::{ContainerFacts, LaunchAnswer, SearchAnswer, TaskArn, TaskFacts, TaskTimes};
use crate::store::memory::MemoryStore;
use crate::store::{
    AuditRow, Batch, Loaded, NoticeCounts, NoticeQuery, NoticeSummary, OwedNotice, Position, Pruned, RunQuery, RunSave,
    RunStory, RunSummary, Snapshot, Span, Store, StoreError, Term,
};

/// More looks than there is room for in the channel of reports.
const MANY_LOOKS: u64 = 5_000;

#[tokio::test(start_paused = true)]
async fn who_asks_while_the_state_cannot_be_saved_is_answered() {
    let store = MemoryStore::new();
    store.fail_next_commits(u32::MAX);
    let (daemon, mailbox) = Daemon::start(settings(), store, Frail::default()).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(daemon.run(stop.clone()));
    let jobs = tokio::time::timeout(WITHIN, mailbox.jobs()).await.expect("an answer, not a wait for the store");
    assert_eq!(jobs.map(|jobs| jobs.len()), Some(1));
    let health = mailbox.health();
    assert!(health.store_error.is_some() && health.turned_at.is_some(), "{health:?}");
    stop.cancel();
    let ended = running.await.unwrap();
    assert!(matches!(ended, Err(DaemonError::StoppedUnsaved(_))), "{ended:?}");
}

/// An ECS with one task, whose looks are counted. The first finds it pending, all others running, until it has ended.
#[derive(Debug, Clone)]
struct Watched {
    looks: watch::Sender<u64>,
    has_ended: Arc<AtomicBool>,
}

impl Watched {
    async fn looked(&self, times: u64) {
        let mut looks = self.looks.subscribe();
        let looked = tokio::time::timeout(WITHIN * 100, looks.wait_for(|looks| *looks >= times)).await;
        looked.expect("polling goes on").unwrap();
    }

    fn facts(&self, task: &TaskArn, looks: u64) -> TaskFacts {
        let has_ended = self.has_ended.load(Ordering::SeqCst);
        let exit_code = has_ended.then_some(0);
        TaskFacts {
            task: task.clone(),
            last_status: if has_ended {
                "STOPPED"
            } else if looks == 1 {
                "PENDING"
            } else {
                "RUNNING"
            }
            .into(),
            stop_code: has_ended.then(|| "EssentialContainerExited".into()),
            stopped_reason: None,
            times: TaskTimes {
                started_at: (looks > 1).then(clock::now),
                stopped_at: has_ended.then(clock::now),
                ..TaskTimes::default()
            },
            described: None,
            containers: vec![ContainerFacts { name: "app".into(), essential: Some(true), exit_code, reason: None }],
        }
    }
}

impl Ecs for Watched {
    async fn run_task(&self, _request: &LaunchRequest) -> LaunchAnswer {
        no_connection()
    }

    async fn find_tasks(&self, _request: &LaunchRequest) -> SearchAnswer {
        std::future::pending().await
    }

    async fn describe_tasks(&self, _site: &Site, tasks: &[TaskArn]) -> Result<Described, CallError> {
        self.looks.send_modify(|looks| *looks += 1);
        let looks = *self.looks.borrow();
        Ok(Described {
            facts: tasks.iter().map(|task| self.facts(task, looks)).collect(),
            missing: Vec::new(),
            unjudged: Vec::new(),
        })
    }

    async fn live_tasks(&self, _site: &Site, _page: Option<&str>) -> Result<LivePage, CallError> {
        Ok(LivePage::default())
    }

    async fn stop_task(&self, _site: &Site, _task: &TaskArn, _reason: &str) -> Result<(), CallError> {
        std::future::pending().await
    }
}

/// A running run of a job that does not fire meanwhile.
async fn running_run(store: &MemoryStore) -> RunId {
    let (job, now) = (samples::job("@yearly"), clock::now());
    let firing = Firing::of_schedule(&job.name, now, Trigger::Schedule);
    let (mut run, mut entries) = Run::due(firing, Instance::new("test").unwrap(), job.definition, now);
    let launched = LaunchAnswer::Launched { tasks: vec![TaskArn("task/1".into())], failures: Vec::new() };
    for event in [Event::Permitted, Event::Answered(launched)] {
        let Ok(Step::Changed(more)) = run.step(event, now) else { panic!("{run:?}") };
        entries.extend(more);
    }
    let id = run.id.clone();
    let runs = vec![RunSave { run, is_new: true, attempts_from: 0, entries }];
    let batch = Batch { runs, ..Batch::empty(store.term(), now) };
    store.commit(batch).await.unwrap();
    id
}

#[tokio::test(start_paused = true)]
async fn polling_outlasts_any_fault_of_the_store_and_what_it_saw_is_recorded_after() {
    let store = MemoryStore::new();
    let run = running_run(&store).await;
    let ecs = Watched { looks: watch::Sender::new(0), has_ended: Arc::default() };
    let (daemon, _mailbox) = Daemon::start(settings(), store.clone(), ecs.clone()).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(daemon.run(stop.clone()));
    ecs.looked(1).await;
    store.fail_next_commits(u32::MAX);
    ecs.looked(MANY_LOOKS).await;
    ecs.has_ended.store(true, Ordering::SeqCst);
    ecs.looked(MANY_LOOKS + 2).await;
    let told = store.story(run.clone()).await.unwrap().unwrap();
    assert_eq!(told.summary.status, Status::Running, "nothing could be saved");
    store.fail_next_commits(0);
    until(async || store.story(run.clone()).await.unwrap().unwrap().summary.status == Status::Succeeded).await;
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_set_aside_is_bounded_by_runs_and_loses_no_answer() {
    let (sender, mut inbox) = inbox::open();
    let look = |run: &str, status: &str| {
        let facts = TaskFacts {
            task: TaskArn(format!("task/{run}")),
            last_status: status.into(),
            stop_code: None,
            stopped_reason: None,
            times: TaskTimes::default(),
            described: None,
            containers: Vec::new(),
        };
        Report { run: RunId::from_text(run), event: Event::Observed(facts), answers_call: false }
    };
    let answer =
        |run: &str| Report { run: RunId::from_text(run), event: Event::Answered(no_connection()), answers_call: true };
    for n in 0..MANY_LOOKS {
        let status = if n + 1 == MANY_LOOKS { "STOPPED" } else { "RUNNING" };
        sender.send(vec![look("a", status), look("b", "RUNNING")]).await.unwrap();
        if n % 1_000 == 0 {
            sender.send(vec![answer(&format!("c{n}"))]).await.unwrap();
            inbox.set_aside().await;
        }
        inbox.set_aside().await;
    }
    sender.send(vec![look("a", "GONE")]).await.unwrap();
    let texts = |reports: Vec<Report>| -> Vec<String> {
        let text = |report: Report| match report.event {
            Event::Observed(facts) => format!("{} {}", report.run, facts.last_status),
            other => format!("{} {other:?}", report.run).split(' ').next().unwrap_or_default().to_owned(),
        };
        reports.into_iter().map(text).collect()
    };
    let kept = ["c0", "c1000", "c2000", "c3000", "c4000", "a STOPPED", "b RUNNING", "a GONE"];
    assert_eq!(texts(inbox.next().await), kept, "answers, the newest looks, then what has come since");
    sender.send(vec![answer("d")]).await.unwrap();
    assert_eq!(texts(inbox.next().await), ["d"]);
}

/// A store whose commits wait for permits, or end in one kind of error.
#[derive(Debug, Clone)]
pub(in crate::daemon) struct Moody {
    pub(in crate::daemon) store: MemoryStore,
    pub(in crate::daemon) permits: Arc<Semaphore>,
    pub(in crate::daemon) error: Option<fn() -> StoreError>,
    /// Which commits are treated so.
    pub(in crate::daemon) heeds: fn(&Batch) -> bool,
}

impl Store for Moody {
    fn term(&self) -> Term {
        self.store.term()
    }

    async fn commit(&self, batch: impl Into<Arc<Batch>> + Send) -> Result<BTreeSet<RunId>, StoreError> {
        let batch = batch.into();
        if !(self.heeds)(&batch) {
            return self.store.commit(batch).await;
        }
        self.permits.acquire().await.unwrap().forget();
        match self.error {
            Some(error) => Err(error()),
            None => self.store.commit(batch).await,
        }
    }

    async fn load(&self) -> Result<Loaded, StoreError> {
        self.store.load().await
    }

    async fn runs(&self, query: RunQuery) -> Result<Vec<RunSummary>, StoreError> {
        self.store.runs(query).await
    }

    async fn last_runs(&self, status: Option<Status>) -> Result<Vec<RunSummary>, StoreError> {
        self.store.last_runs(status).await
    }

    async fn story(&self, run: RunId) -> Result<Option<RunStory>, StoreError> {
        self.store.story(run).await
    }

    async fn recent_runs(&self, jobs: Vec<JobName>, per_job: usize) -> Result<Vec<RunSummary>, StoreError> {
        self.store.recent_runs(jobs, per_job).await
    }

    async fn launches(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<DateTime<Utc>>, StoreError> {
        self.store.launches(from, until, limit).await
    }

    async fn attempts(&self, runs: Vec<RunId>) -> Result<Vec<(RunId, Vec<Attempt>)>, StoreError> {
        self.store.attempts(runs).await
    }

    async fn living(&self, limit: usize) -> Result<Vec<RunSummary>, StoreError> {
        self.store.living(limit).await
    }

    async fn bad_since(&self, since: DateTime<Utc>, limit: usize) -> Result<Vec<RunSummary>, StoreError> {
        self.store.bad_since(since, limit).await
    }

    async fn spans(
        &self,
        jobs: Vec<JobName>,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        per_job: usize,
    ) -> Result<Vec<Span>, StoreError> {
        self.store.spans(jobs, from, until, per_job).await
    }

    async fn of_instant(&self, job: JobName, instant: DateTime<Utc>) -> Result<Vec<RunSummary>, StoreError> {
        self.store.of_instant(job, instant).await
    }

    async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        self.store.audit(before, limit).await
    }

    async fn due_notices(
        &self,
        channel: ChannelId,
        now: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<OwedNotice>, StoreError> {
        self.store.due_notices(channel, now, limit).await
    }

    async fn owed_channels(&self) -> Result<Vec<(ChannelId, DateTime<Utc>)>, StoreError> {
        self.store.owed_channels().await
    }

    async fn notices(&self, query: NoticeQuery) -> Result<Option<Vec<NoticeSummary>>, StoreError> {
        self.store.notices(query).await
    }

    async fn notice_counts(&self) -> Result<NoticeCounts, StoreError> {
        self.store.notice_counts().await
    }

    async fn prune(&self, rules: Retention, from: Position, now: DateTime<Utc>) -> Result<Pruned, StoreError> {
        self.store.prune(rules, from, now).await
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.store.snapshot().await
    }
}

async fn jobs(mailbox: &Mailbox) -> usize {
    let jobs = tokio::time::timeout(WITHIN, mailbox.jobs()).await.expect("an answer, not a wait for the store");
    jobs.expect("the loop runs").len()
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_keeps_nobody_waiting_and_is_told() {
    let store = Moody { store: MemoryStore::new(), permits: Arc::new(Semaphore::new(0)), error: None, heeds: |_| true };
    let (daemon, mailbox) = Daemon::start(settings(), store.clone(), Frail::default()).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(daemon.run(stop.clone()));
    assert_eq!(jobs(&mailbox).await, 1);
    until(async || mailbox.health().store_error.is_some()).await;
    let health = mailbox.health();
    assert_eq!(health.store_error.as_deref(), Some("the store has not answered for several seconds"));
    assert!(health.turned_at.is_some(), "a new start would mend nothing");
    assert_eq!(jobs(&mailbox).await, 1);
    store.permits.add_permits(Semaphore::MAX_PERMITS);
    until(async || mailbox.health().store_error.is_none()).await;
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_no_waiting_mends_ends_the_daemon() {
    let errors: [fn() -> StoreError; 4] = [
        || StoreError::Damaged { doing: "save a batch", source: "damaged".into() },
        || StoreError::Severed { source: "severed".into() },
        || StoreError::Inconsistent { source: "a mistake".into() },
        || StoreError::Deposed { mine: 1, current: 2 },
    ];
    for error in errors {
        let permits = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let store = Moody { store: MemoryStore::new(), permits, error: Some(error), heeds: |_| true };
        let (daemon, _mailbox) = Daemon::start(settings(), store, Frail::default()).await.unwrap();
        let ended = tokio::time::timeout(WITHIN, daemon.run(CancellationToken::new())).await.expect("it ends");
        let is_told_apart = match error() {
            StoreError::Damaged { .. } => matches!(ended, Err(DaemonError::Damaged(_))),
            StoreError::Severed { .. } => matches!(ended, Err(DaemonError::Severed(_))),
            StoreError::Inconsistent { .. } => matches!(ended, Err(DaemonError::Inconsistent(_))),
            _ => matches!(ended, Err(DaemonError::Deposed(_))),
        };
        assert!(is_told_apart, "{ended:?}");
    }
}
