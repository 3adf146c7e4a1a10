//! One suite for every store, and what only a database on a disk can do wrong.
//!
//! Runs are driven by the real engine, so that what is stored here is what the daemon stores.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tempfile::TempDir;
use tenacron::engine::failure::{ErrorName, Failure};
use tenacron::engine::job::{Instance, JobName};
use tenacron::engine::notice::{LeftOut, Standing};
use tenacron::engine::run::{Event, Run, RunId, Status, Trigger};
use tenacron::engine::task::LaunchAnswer;
use tenacron::store::memory::MemoryStore;
use tenacron::store::sqlite::{Holder, OpenError, SCHEMA, SqliteStore, World};
use tenacron::store::{Batch, Mark, RunQuery, RunSave, RunSummary, Store, StoreError, Term};

pub(crate) use super::store_lives::{
    Life, all, arn, at, batch, cancel, definition, every_life, job, kinds, listed, lives_of_schema_1, save,
    seen_running, stopped, summary_of, told,
};

// ---------------------------------------------------------------------------------------------------------------------
// Stores on a bench
// ---------------------------------------------------------------------------------------------------------------------

/// A place where a store's data lives, and where daemons come and go.
pub(crate) trait Bench {
    type Store: Store;
    /// A new daemon on the same data, while earlier ones may still believe that they lead.
    fn open(&self) -> Self::Store;
}

impl Bench for MemoryStore {
    type Store = MemoryStore;
    fn open(&self) -> MemoryStore {
        self.begin_term()
    }
}

pub(crate) struct Disk {
    pub(crate) directory: TempDir,
}

impl Disk {
    pub(crate) fn new() -> Disk {
        Disk { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("state.db")
    }

    pub(crate) fn try_open(&self) -> Result<SqliteStore, OpenError> {
        SqliteStore::open(&self.path(), World::Aws, &holder(4711), at(0))
    }
}

impl Bench for Disk {
    type Store = SqliteStore;
    fn open(&self) -> SqliteStore {
        // The lock keeps a second daemon out, so the suite does what must never be done: it deletes the lock file.
        let _none_yet = std::fs::remove_file(self.directory.path().join("state.db.lock"));
        self.try_open().unwrap()
    }
}

pub(crate) fn holder(pid: u32) -> Holder {
    Holder { pid, host: "mill".into(), instance: Instance::new("prod").unwrap() }
}

/// Runs each function with every store.
macro_rules! conformance {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Disk::new()).await;
            })*
        }
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::MemoryStore::new()).await;
            })*
        }
    };
}
pub(crate) use conformance;

conformance! {
    every_state_comes_back_as_it_was
    a_life_is_saved_step_by_step
    attempts_before_the_changed_one_are_left_alone
    a_frozen_request_never_changes
    entries_must_continue_the_stored_ones
    a_refused_batch_leaves_nothing_behind
    an_unknown_run_can_not_be_updated
    a_run_that_exists_is_not_written_again
    one_instant_of_a_schedule_is_one_run
    the_first_of_two_equal_runs_in_one_batch_stays
    a_run_may_be_added_and_moved_in_one_batch
    marks_are_replaced_and_forgotten
    an_empty_batch_is_a_heartbeat
    a_new_store_is_empty
    in_flight_runs_come_back_oldest_first
    a_later_term_ends_the_earlier_one
    listings_are_newest_first_and_page
    listings_filter_by_job_and_status
    the_last_run_of_each_job
    the_last_run_of_each_job_in_a_status
    a_story_has_all_attempts_and_entries
    concurrent_commits_are_all_kept
    ten_thousand_firings_are_one_batch
}

// ---------------------------------------------------------------------------------------------------------------------
// The suite
// ---------------------------------------------------------------------------------------------------------------------

async fn every_state_comes_back_as_it_was(bench: impl Bench) {
    let each = lives_of_schema_1();
    assert_eq!(kinds(&each).len(), each.len(), "a state, a reason or an end is missing");
    let mut lives = every_life();
    let store = bench.open();
    save(&store, lives.iter_mut().map(|(_, life)| life.save()).collect()).await;

    let restarted = bench.open();
    let loaded = restarted.load().await.unwrap().runs;
    let unfinished: Vec<Run> =
        lives.iter().map(|(_, life)| life.run.clone()).filter(|run| !run.is_finished()).collect();
    assert_eq!(loaded, unfinished);
    for (name, life) in lives {
        let story = restarted.story(life.run.id.clone()).await.unwrap().expect(name);
        assert_eq!(story.summary, summary_of(&life.run), "{name}");
        assert_eq!(story.attempts, life.run.attempts, "{name}");
        assert_eq!(story.entries, life.all_entries, "{name}");
        assert_eq!((story.launch, story.deadline), (life.run.launch, life.run.deadline), "{name}");
    }
}

async fn a_life_is_saved_step_by_step(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::due("nightly", 0);
    let launched = || Event::Answered(LaunchAnswer::Launched { tasks: vec![arn("nightly")], failures: Vec::new() });
    let events = [
        (1, Event::Permitted),
        (2, launched()),
        (6, seen_running("nightly")),
        (9, stopped("nightly", Some(1))),
        (12, Event::Permitted),
        (13, launched()),
    ];
    save(&store, vec![life.save()]).await;
    for (seconds, event) in events {
        life = life.tell(seconds, event);
        save(&store, vec![life.save()]).await;
        let loaded = store.load().await.unwrap().runs;
        assert_eq!(loaded, [life.run.clone()], "at {seconds} s");
    }
    assert_eq!(life.run.launch.as_ref().unwrap().generation, 2);
    life = life.tell(20, stopped("nightly", Some(0)));
    save(&store, vec![life.save()]).await;
    assert!(store.load().await.unwrap().runs.is_empty());
    let story = store.story(life.run.id.clone()).await.unwrap().unwrap();
    assert_eq!((story.summary.status, story.summary.attempts), (Status::Succeeded, 2));
    assert_eq!(story.entries, life.all_entries);
}

async fn attempts_before_the_changed_one_are_left_alone(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::running("nightly").tell(9, stopped("nightly", Some(1))).tell(12, Event::Permitted);
    save(&store, vec![life.save()]).await;
    let first = life.run.attempts[0].clone();
    // The driver says that only the second changed, so what it holds for the first is not looked at.
    life.run.attempts[0].stop_code = Some("overwritten".into());
    life.run.attempts[1].stop_code = Some("new".into());
    save(&store, vec![life.save()]).await;
    let attempts = store.story(life.run.id.clone()).await.unwrap().unwrap().attempts;
    assert_eq!(attempts, [first, life.run.attempts[1].clone()]);

    let mut gap = life.save();
    gap.attempts_from = 3;
    let error = store.commit(batch(store.term(), 0, vec![gap])).await.unwrap_err();
    assert!(told(&error).contains(life.run.id.as_str()) && told(&error).contains("leave a gap"), "{}", told(&error));
}

async fn a_frozen_request_never_changes(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::due("nightly", 0).tell(1, Event::Permitted);
    save(&store, vec![life.save()]).await;
    let frozen = life.run.launch.clone().unwrap();
    let launch = life.run.launch.as_mut().unwrap();
    Arc::make_mut(&mut launch.request).task.cluster = "another".into();
    (launch.unresolved, launch.first_sent_at) = (true, at(77));
    save(&store, vec![life.save()]).await;
    let loaded = store.load().await.unwrap().runs.remove(0).launch.unwrap();
    assert_eq!(loaded.request, frozen.request);
    assert_eq!((loaded.unresolved, loaded.first_sent_at), (true, at(77)));
}

async fn entries_must_continue_the_stored_ones(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::due("nightly", 0);
    save(&store, vec![life.save()]).await;
    life = life.tell(1, Event::Permitted);
    let good = life.save();
    let mut lost = good.clone();
    lost.entries.clear();
    let mut ahead = good.clone();
    ahead.entries[0].seq += 1;
    ahead.run.history_len += 1;
    let mut rewritten = good.clone();
    rewritten.entries[0].seq = 1;
    for bad in [lost, ahead, rewritten] {
        let error = store.commit(batch(store.term(), 0, vec![bad])).await.unwrap_err();
        assert!(told(&error).contains("do not continue the 1 stored"), "{}", told(&error));
    }
    save(&store, vec![good.clone()]).await;
    let error = store.commit(batch(store.term(), 0, vec![good])).await.unwrap_err();
    assert!(told(&error).contains("do not continue the 2 stored"), "a batch can't be saved twice: {}", told(&error));
    assert_eq!(store.story(life.run.id.clone()).await.unwrap().unwrap().entries, life.all_entries);
}

async fn a_refused_batch_leaves_nothing_behind(bench: impl Bench) {
    let store = bench.open();
    let (mut good, mut bad) = (Life::due("good", 0), Life::due("bad", 0));
    let mut refused = batch(store.term(), 50, vec![good.save(), bad.save()]);
    refused.runs[1].entries.clear();
    refused.marks = vec![mark("good", "rate(1 hour)", 0)];
    store.commit(refused).await.unwrap_err();
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.runs.len(), loaded.marks.len(), loaded.last_commit_at), (0, 0, None));
    // The definition that went with it is stored anew.
    let mut again = Life { is_new: true, entries: good.all_entries.clone(), ..good };
    save(&store, vec![again.save()]).await;
    assert_eq!(store.load().await.unwrap().runs, [again.run]);
}

async fn an_unknown_run_can_not_be_updated(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::due("nightly", 0);
    let save = RunSave { is_new: false, ..life.save() };
    let error = store.commit(batch(store.term(), 0, vec![save])).await.unwrap_err();
    assert!(told(&error).contains("was never saved"), "{}", told(&error));
}

async fn a_run_that_exists_is_not_written_again(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::running("nightly");
    save(&store, vec![life.save()]).await;
    // A daemon that lost its marks fires the same instant again.
    let mut again = Life::due("nightly", 0).tell(3, Event::Permitted);
    let mut other = Life::due("other", 0);
    let dropped = save(&store, vec![again.save(), other.save()]).await;
    assert_eq!(dropped, BTreeSet::from([life.run.id.clone()]));
    assert_eq!(store.load().await.unwrap().runs, [life.run.clone(), other.run]);
    let story = store.story(life.run.id.clone()).await.unwrap().unwrap();
    assert_eq!((story.attempts, story.entries), (life.run.attempts, life.all_entries));
}

async fn one_instant_of_a_schedule_is_one_run(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::due("nightly", 0);
    save(&store, vec![life.save()]).await;
    let mut twin = Life::due("nightly", 0);
    twin.run.id = RunId::from_text("another-name");
    twin.run.trigger = Trigger::Catchup;
    let mut later = Life::due("nightly", 1);
    let dropped = save(&store, vec![twin.save(), later.save()]).await;
    assert_eq!(dropped, BTreeSet::from([RunId::from_text("another-name")]));
    assert_eq!(store.load().await.unwrap().runs, [life.run, later.run]);
}

async fn the_first_of_two_equal_runs_in_one_batch_stays(bench: impl Bench) {
    let store = bench.open();
    let (mut first, mut second) = (Life::due("nightly", 0), Life::due("nightly", 0).tell(1, Event::Permitted));
    let dropped = save(&store, vec![first.save(), second.save()]).await;
    assert_eq!(dropped, BTreeSet::from([first.run.id.clone()]));
    assert_eq!(store.load().await.unwrap().runs, [first.run]);
}

async fn a_run_may_be_added_and_moved_in_one_batch(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::due("nightly", 0);
    let added = life.save();
    life = life.tell(1, Event::Permitted);
    let moved = life.save();
    assert!(save(&store, vec![added, moved]).await.is_empty());
    assert_eq!(store.load().await.unwrap().runs, [life.run.clone()]);
    assert_eq!(store.story(life.run.id).await.unwrap().unwrap().entries, life.all_entries);
}

pub(crate) fn mark(name: &str, schedule: &str, seconds: i64) -> Mark {
    let left_out = LeftOut { nothing_to_do: seconds > 3, ..LeftOut::NONE };
    let standing = Standing { ended_badly: seconds % 2 == 1, left_out };
    Mark { job: job(name), schedule: schedule.into(), mark: at(seconds), anchor: at(-5), failed_in_a_row: 3, standing }
}

async fn marks_are_replaced_and_forgotten(bench: impl Bench) {
    let store = bench.open();
    let term = store.term();
    let with = |marks| Batch { marks, ..batch(term, 0, vec![]) };
    store.commit(with(vec![mark("b", "rate(1 hour)", 1), mark("a", "@daily", 1)])).await.unwrap();
    let mut b = mark("b", "rate(2 hours)", 2);
    b.standing.left_out = LeftOut { missed: true, skipped: true, nothing_to_do: false };
    store.commit(with(vec![b.clone()])).await.unwrap();
    let store = bench.open();
    let marks = store.load().await.unwrap().marks;
    assert_eq!(marks, [mark("a", "@daily", 1), b.clone()]);
    let without_a = Batch { forgotten_marks: vec![job("a")], ..batch(store.term(), 0, vec![]) };
    store.commit(without_a).await.unwrap();
    assert_eq!(bench.open().load().await.unwrap().marks, [b]);
}

async fn an_empty_batch_is_a_heartbeat(bench: impl Bench) {
    let store = bench.open();
    for seconds in [100, 200] {
        assert!(store.commit(batch(store.term(), seconds, vec![])).await.unwrap().is_empty());
        assert_eq!(store.load().await.unwrap().last_commit_at, Some(at(seconds)));
    }
    assert_eq!(bench.open().load().await.unwrap().last_commit_at, Some(at(200)), "opening is no heartbeat");
}

async fn a_new_store_is_empty(bench: impl Bench) {
    let store = bench.open();
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.marks.len(), loaded.runs.len(), loaded.last_commit_at), (0, 0, None));
    assert!(store.runs(all()).await.unwrap().is_empty());
    assert!(store.last_runs(None).await.unwrap().is_empty());
    assert!(store.story(RunId::from_text("nightly-1")).await.unwrap().is_none());
}

async fn in_flight_runs_come_back_oldest_first(bench: impl Bench) {
    let store = bench.open();
    // Names and instants run against the order in which the runs are recorded.
    for (name, seconds) in [("c", 30), ("b", 20), ("a", 10)] {
        save(&store, vec![Life::due(name, seconds).save()]).await;
    }
    let mut life = Life::due("b", 0).tell(1, cancel());
    save(&store, vec![life.save()]).await;
    let jobs: Vec<String> = store.load().await.unwrap().runs.iter().map(|run| run.job.to_string()).collect();
    assert_eq!(jobs, ["c", "b", "a"]);
}

async fn a_later_term_ends_the_earlier_one(bench: impl Bench) {
    let old = bench.open();
    let mut life = Life::due("nightly", 0);
    save(&old, vec![life.save()]).await;
    let new = bench.open();
    assert!(new.term() > old.term());
    let moved = life.tell(1, Event::Permitted).save();
    let mut late = batch(old.term(), 9, vec![moved.clone()]);
    late.marks = vec![mark("nightly", "@daily", 9)];
    let expected = (old.term().0, new.term().0);
    match old.commit(late).await {
        Err(StoreError::Deposed { mine, current }) => assert_eq!((mine, current), expected),
        other => panic!("{other:?}"),
    }
    let heartbeat = old.commit(batch(old.term(), 10, vec![])).await;
    assert!(matches!(heartbeat, Err(StoreError::Deposed { .. })), "{heartbeat:?}");
    let loaded = new.load().await.unwrap();
    assert_eq!((loaded.marks.len(), loaded.last_commit_at), (0, Some(at(0))));
    assert_eq!(loaded.runs[0].status(), Status::Due);
    save(&new, vec![moved]).await;
}

async fn listings_are_newest_first_and_page(bench: impl Bench) {
    let store = bench.open();
    let ids: Vec<String> = (0..10).map(|n| Life::due("nightly", n).run.id.to_string()).collect();
    for half in [0..5, 5..10] {
        save(&store, half.map(|n| Life::due("nightly", n).save()).collect()).await;
    }
    let newest_first: Vec<String> = ids.iter().rev().cloned().collect();
    assert_eq!(listed(&store, all()).await, newest_first);
    let mut paged = Vec::new();
    let mut before = None;
    loop {
        let page = listed(&store, RunQuery { before, limit: 3, ..RunQuery::default() }).await;
        let Some(last) = page.last() else { break };
        before = Some(RunId::from_text(last));
        paged.extend(page);
    }
    assert_eq!(paged, newest_first);
    let unknown = RunQuery { before: Some(RunId::from_text("never-recorded")), ..all() };
    assert!(listed(&store, unknown).await.is_empty());
    assert!(listed(&store, RunQuery::default()).await.is_empty(), "a limit of none is none");
}

async fn listings_filter_by_job_and_status(bench: impl Bench) {
    let store = bench.open();
    let mut lives: Vec<Life> = every_life().into_iter().map(|(_, life)| life).collect();
    lives.extend((1..4).map(|n| Life::due("due", n)));
    lives.push(Life::due("due", 9).tell(10, cancel()));
    save(&store, lives.iter_mut().map(Life::save).collect()).await;
    let jobs = [None, Some(job("due")), Some(job("nobody"))];
    let before = [None, Some(lives[20].run.id.clone())];
    let each = Status::ALL.into_iter().map(|status| vec![status]);
    let several = [vec![], vec![Status::Failed, Status::Running, Status::Succeeded], vec![Status::Due, Status::Due]];
    for statuses in each.chain(several) {
        for (job, before) in jobs.iter().flat_map(|job| before.iter().map(move |before| (job, before))) {
            let end = if before.is_some() { 20 } else { lives.len() };
            let mut expected: Vec<RunSummary> = lives[..end]
                .iter()
                .map(|life| summary_of(&life.run))
                .filter(|run| statuses.is_empty() || statuses.contains(&run.status))
                .filter(|run| job.as_ref().is_none_or(|job| run.job == *job))
                .collect();
            expected.reverse();
            for limit in [100, 3] {
                expected.truncate(limit);
                let (job, statuses, before) = (job.clone(), statuses.clone(), before.clone());
                let query = RunQuery { job, statuses, before, limit };
                assert_eq!(store.runs(query.clone()).await.unwrap(), expected, "{query:?}");
            }
        }
    }
}

async fn the_last_run_of_each_job(bench: impl Bench) {
    let store = bench.open();
    for (name, seconds) in [("b", 5), ("a", 1), ("b", 6), ("a-c", 1), ("a", 2)] {
        save(&store, vec![Life::due(name, seconds).save()]).await;
    }
    let last: Vec<(String, DateTime<Utc>)> =
        store.last_runs(None).await.unwrap().into_iter().map(|run| (run.job.to_string(), run.scheduled_at)).collect();
    assert_eq!(last, [("a".to_owned(), at(2)), ("a-c".to_owned(), at(1)), ("b".to_owned(), at(6))]);
}

async fn the_last_run_of_each_job_in_a_status(bench: impl Bench) {
    let store = bench.open();
    let mut lives: Vec<Life> = every_life().into_iter().map(|(_, life)| life).collect();
    lives.extend((1..4).map(|n| Life::due("due", n)));
    lives.extend([8, 9].map(|n| Life::due("due", n).tell(10, cancel())));
    save(&store, lives.iter_mut().map(Life::save).collect()).await;
    for status in Status::ALL {
        let of_status = lives.iter().map(|life| summary_of(&life.run)).filter(|run| run.status == status);
        let newest: BTreeMap<JobName, RunSummary> = of_status.map(|run| (run.job.clone(), run)).collect();
        let expected: Vec<RunSummary> = newest.into_values().collect();
        assert_eq!(store.last_runs(Some(status)).await.unwrap(), expected, "{status:?}");
        assert!(!expected.is_empty(), "{status:?} is among the lives");
    }
}

async fn a_story_has_all_attempts_and_entries(bench: impl Bench) {
    let store = bench.open();
    let mut lives = every_life();
    let (_, life) = lives.iter_mut().find(|(name, _)| *name == "failed").unwrap();
    save(&store, vec![life.save(), Life::running("other").save()]).await;
    let story = store.story(life.run.id.clone()).await.unwrap().unwrap();
    assert_eq!(story.attempts.len(), 4);
    assert_eq!(story.attempts, life.run.attempts);
    assert_eq!(story.entries, life.all_entries);
    assert_eq!(story.summary.error.as_deref(), Some("States.TaskFailed"));
    let failure = Failure::new(ErrorName::TASK_FAILED, "");
    assert_eq!(story.attempts[3].failure.as_ref().unwrap().primary, failure.primary);
}

async fn concurrent_commits_are_all_kept(bench: impl Bench) {
    let store = bench.open();
    let mut commits = tokio::task::JoinSet::new();
    for n in 0..200 {
        let (store, mut saved) = (store.clone(), Life::due("nightly", n).save());
        if n % 50 == 7 {
            saved.entries.clear();
        }
        commits.spawn(async move { (n, store.commit(batch(store.term(), n, vec![saved])).await.is_ok()) });
    }
    // What is refused takes nobody with it, though they share a transaction.
    let mut kept = BTreeSet::new();
    for (n, is_kept) in commits.join_all().await {
        assert_eq!(is_kept, n % 50 != 7, "{n}");
        if is_kept {
            kept.insert(Life::due("nightly", n).run.id.to_string());
        }
    }
    let listed: BTreeSet<String> = listed(&bench.open(), all()).await.into_iter().collect();
    assert_eq!(listed, kept);
}

async fn ten_thousand_firings_are_one_batch(bench: impl Bench) {
    let store = bench.open();
    let shared = definition();
    let firings: Vec<Life> =
        (0..10_000).map(|n| Life::due_under(&format!("job-{}", n % 1000), n, Arc::clone(&shared))).collect();
    let saves = || firings.iter().cloned().map(|mut life| life.save()).collect();
    assert!(save(&store, saves()).await.is_empty());
    assert_eq!(save(&store, saves()).await.len(), 10_000, "all of them again are all dropped");
    let loaded = store.load().await.unwrap().runs;
    assert_eq!(loaded.len(), 10_000);
    assert!(Arc::ptr_eq(&loaded[0].definition, &loaded[9_999].definition), "equal definitions are shared again");
    assert_eq!(store.last_runs(None).await.unwrap().len(), 1000);
}

// ---------------------------------------------------------------------------------------------------------------------
// In memory only
// ---------------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn memory_fails_as_often_as_it_is_asked_to() {
    let store = MemoryStore::new();
    let mut life = Life::due("nightly", 0);
    let saved = life.save();
    store.fail_next_commits(2);
    for _ in 0..2 {
        let error = store.commit(batch(store.term(), 0, vec![saved.clone()])).await.unwrap_err();
        assert!(told(&error).starts_with("failed to save a batch: "), "{}", told(&error));
        assert!(store.load().await.unwrap().runs.is_empty());
    }
    save(&store, vec![saved]).await;
    assert_eq!(store.load().await.unwrap().runs, [life.run]);
}

// ---------------------------------------------------------------------------------------------------------------------
// On a disk only
// ---------------------------------------------------------------------------------------------------------------------

/// A database with one running run, closed.
pub(crate) async fn disk_with_a_run() -> (Disk, RunId) {
    let disk = Disk::new();
    let mut life = Life::running("nightly");
    save(&disk.try_open().unwrap(), vec![life.save()]).await;
    (disk, life.run.id)
}

/// Changes a closed database behind our back.
pub(crate) fn tamper(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[tokio::test]
async fn sqlite_keeps_everything_over_a_restart() {
    let disk = Disk::new();
    let mut life = Life::running("nightly");
    let store = disk.try_open().unwrap();
    assert_eq!(store.term(), Term(1));
    let marks = vec![mark("nightly", "@daily", 3)];
    store.commit(Batch { marks: marks.clone(), ..batch(Term(1), 7, vec![life.save()]) }).await.unwrap();
    let another = store.clone();
    drop(store);
    assert_eq!(another.load().await.unwrap().runs, [life.run.clone()], "one handle is left");
    drop(another);

    let store = disk.try_open().unwrap();
    assert_eq!(store.term(), Term(2));
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.runs, loaded.marks, loaded.last_commit_at), (vec![life.run], marks, Some(at(7))));
}

#[tokio::test]
async fn sqlite_closed_answers_no_more_and_frees_the_file() {
    let disk = Disk::new();
    let store = disk.try_open().unwrap();
    let another = store.clone();
    store.close().await;
    assert!(!disk.directory.path().join("state.db-wal").exists(), "the log was folded into the database");
    let error = another.commit(batch(Term(1), 0, vec![])).await.unwrap_err();
    assert_eq!(told(&error), "failed to reach the database: it is closed");
    let error = another.load().await.unwrap_err();
    assert_eq!(told(&error), "failed to read what is in flight: the database is closed");
    assert_eq!(disk.try_open().unwrap().term(), Term(2));
}

#[tokio::test]
async fn sqlite_refuses_a_second_daemon_and_names_the_first() {
    let disk = Disk::new();
    let first = disk.try_open().unwrap();
    let error = SqliteStore::open(&disk.path(), World::Aws, &holder(99), at(60)).unwrap_err();
    let expected = format!(
        "{} is in use by pid 4711 on host mill (instance prod) since 2026-03-20T09:46:40Z",
        disk.path().display()
    );
    assert_eq!(told(&error), expected);
    assert!(matches!(error, OpenError::Held { .. }));
    first.commit(batch(first.term(), 0, vec![])).await.expect("the first goes on");
    drop(first);
    assert_eq!(disk.try_open().unwrap().term(), Term(2), "the refused one began no term");
}

#[tokio::test]
async fn sqlite_killed_has_every_answered_commit() {
    let disk = Disk::new();
    let store = disk.try_open().unwrap();
    let mut lives: Vec<Life> = (0..5).map(|n| Life::due("nightly", n)).collect();
    for life in &mut lives {
        save(&store, vec![life.save()]).await;
    }
    // What a killed process leaves: the file and its log, never closed.
    let left = Disk::new();
    for name in ["state.db", "state.db-wal"] {
        std::fs::copy(disk.directory.path().join(name), left.directory.path().join(name)).unwrap();
    }
    let runs: Vec<Run> = lives.into_iter().map(|life| life.run).collect();
    assert_eq!(left.try_open().unwrap().load().await.unwrap().runs, runs);
}

#[tokio::test]
async fn sqlite_refuses_a_newer_schema_and_leaves_it_alone() {
    let disk = Disk::new();
    let store = disk.try_open().unwrap();
    tamper(&disk.path(), "UPDATE meta SET value = '99' WHERE key = 'schema_version'");
    // A newer daemon was killed: its log holds what its database does not yet. Not even that is folded in.
    let left = Disk::new();
    let files = ["state.db", "state.db-wal"].map(|name| left.directory.path().join(name));
    for file in &files {
        std::fs::copy(disk.path().with_file_name(file.file_name().unwrap()), file).unwrap();
    }
    drop(store);
    let bytes = || files.each_ref().map(|file| std::fs::read(file).unwrap());
    let before = bytes();
    let error = left.try_open().unwrap_err();
    assert!(matches!(error, OpenError::NewerSchema { found: 99, known: SCHEMA, .. }), "{error:?}");
    let expected = format!("has schema 99, and this tenacron knows schemas up to {SCHEMA}");
    assert!(told(&error).contains(&expected), "{}", told(&error));
    assert!(bytes() == before, "the refused files were changed");
}

#[tokio::test]
async fn sqlite_refuses_the_history_of_the_other_world() {
    let (disk, _) = disk_with_a_run().await;
    let error = SqliteStore::open(&disk.path(), World::Local, &holder(1), at(0)).unwrap_err();
    assert!(matches!(error, OpenError::OtherWorld { found: World::Aws, wanted: World::Local, .. }), "{error:?}");
    let text = told(&error);
    assert!(text.contains("holds runs of Amazon ECS and can't be used with the local endpoint"), "{text}");
    assert_eq!(disk.try_open().unwrap().term(), Term(2), "the refused one began no term");
}

#[tokio::test]
async fn sqlite_refuses_what_is_not_its_own() {
    let disk = Disk::new();
    std::fs::write(disk.path(), "instance = \"prod\"\n".repeat(100)).unwrap();
    let error = disk.try_open().unwrap_err();
    assert!(told(&error).contains("is a file of another kind, not a database of tenacron"), "{}", told(&error));

    let disk = Disk::new();
    tamper(&disk.path(), "CREATE TABLE recipe (name TEXT)");
    let before = std::fs::read(disk.path()).unwrap();
    let error = disk.try_open().unwrap_err();
    assert!(told(&error).contains("is an SQLite database of another program"), "{}", told(&error));
    assert_eq!(std::fs::read(disk.path()).unwrap(), before);
}

#[test]
fn sqlite_says_what_it_could_not_create() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    // Not even root can make a directory under a file.
    let error = SqliteStore::open(&file.join("sub/state.db"), World::Aws, &holder(1), at(0)).unwrap_err();
    let expected = format!("failed to create the directory {}: ", file.join("sub").display());
    assert!(told(&error).starts_with(&expected), "{}", told(&error));

    let error = SqliteStore::open(directory.path(), World::Aws, &holder(1), at(0)).unwrap_err();
    let expected = format!("failed to open for writing {}: ", directory.path().display());
    assert!(told(&error).starts_with(&expected), "{}", told(&error));
}

#[test]
fn sqlite_keeps_its_files_to_its_own_user() {
    use std::os::unix::fs::PermissionsExt as _;
    let disk = Disk::new();
    let path = disk.directory.path().join("new/deeper/state.db");
    let store = SqliteStore::open(&path, World::Aws, &holder(1), at(0)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
    for beside in ["state.db-wal", "state.db-shm", "state.db.lock"] {
        assert_eq!(mode(&path.with_file_name(beside)), 0o600, "{beside}");
    }
    drop(store);
}

#[tokio::test]
async fn sqlite_names_the_run_and_the_column_that_it_can_not_read() {
    let damages = [
        ("UPDATE run SET state = '{\"state\":\"flying\"}'", "state"),
        ("UPDATE run SET state = '{'", "state"),
        ("UPDATE run SET status = 'flying'", "status"),
        ("UPDATE run SET status = 'waiting'", "status"),
        ("UPDATE run SET trigger = 'whim'", "trigger"),
        ("UPDATE run SET job = 'no name'", "job"),
        ("UPDATE run SET retries_used = 'x'", "retries_used"),
        ("UPDATE run SET scheduled_at = 9223372036854775807", "scheduled_at"),
        ("UPDATE run SET attempts = 7", "attempts"),
        ("UPDATE definition SET body = '{}'", "definition.body"),
        ("UPDATE attempt SET body = '[]'", "attempt.body"),
        ("UPDATE launch SET request = '{}'", "launch.request"),
        ("DELETE FROM launch", "launch"),
    ];
    for (damage, column) in damages {
        let (disk, run) = disk_with_a_run().await;
        tamper(&disk.path(), damage);
        let error = disk.try_open().unwrap().load().await.unwrap_err();
        let expected = format!("failed to read what is in flight: run {run}: column `{column}` can't be read back: ");
        assert!(told(&error).starts_with(&expected), "{damage}: {}", told(&error));
    }
    let (disk, run) = disk_with_a_run().await;
    tamper(&disk.path(), "UPDATE run SET status = 'flying'; UPDATE event SET type = 'Flown' WHERE seq = 2");
    let store = disk.try_open().unwrap();
    let error = store.runs(all()).await.unwrap_err();
    let expected = format!("run {run}: column `status` can't be read back: `flying` is no status");
    assert_eq!(told(&error), format!("failed to list runs: {expected}"));
    drop(store);
    tamper(&disk.path(), "UPDATE run SET status = 'running'");
    let error = disk.try_open().unwrap().story(run.clone()).await.unwrap_err();
    assert!(told(&error).contains(&format!("run {run}, entry 2: column `event.detail`")), "{}", told(&error));
}

#[tokio::test]
async fn sqlite_stores_a_definition_once() {
    let disk = Disk::new();
    let store = disk.try_open().unwrap();
    for n in 0..3 {
        // Equal, yet not the same value: what a reload of an unchanged file makes.
        save(&store, vec![Life::due("nightly", n).save(), Life::due("hourly", n).save()]).await;
    }
    store.close().await;
    let definitions: i64 = rusqlite::Connection::open(disk.path())
        .unwrap()
        .query_row("SELECT COUNT(*) FROM definition", [], |row| row.get(0))
        .unwrap();
    assert_eq!(definitions, 1);
}

#[tokio::test]
async fn sqlite_names_the_row_without_which_it_does_not_know_itself() {
    for row in ["schema_version", "world"] {
        let (disk, _) = disk_with_a_run().await;
        tamper(&disk.path(), &format!("DELETE FROM meta WHERE key = '{row}'"));
        let error = disk.try_open().unwrap_err();
        assert!(told(&error).contains(&format!("the row `{row}` of the table `meta` is missing")), "{}", told(&error));
    }
}

#[test]
fn a_holder_is_this_process() {
    let holder = Holder::this_process(Instance::new("prod").unwrap());
    assert_eq!(holder.pid, std::process::id());
    assert!(!holder.host.is_empty());
}
