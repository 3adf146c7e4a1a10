//! What can be tried from inside only: a fault in the middle of a group of batches, and a migration that breaks off.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::super::row::{self, DefinitionIds};
use super::super::{Batch, RunQuery, RunSave, Store as _, StoreError};
use super::open::{self, Holder, MIGRATIONS, OpenError, Opened, World};
use super::write::{Commit, Saved, save_group};
use super::{SqliteStore, fault, read, sql};
use crate::engine::job::{Definition, Instance};
use crate::engine::run::{Firing, Run, RunId, Trigger};
use crate::engine::samples;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_774_000_000 + seconds, 0).unwrap()
}

fn opened(path: &Path, steps: &[&str]) -> Result<Opened, OpenError> {
    let holder = Holder { pid: 1, host: "mill".into(), instance: Instance::new("prod").unwrap() };
    open::open_with(steps, path, World::Aws, &holder, at(0))
}

/// So many new runs of one instant each; the definition of each is as large as a page at least.
fn batch(opened: &Opened, first: i64, runs: i64) -> Batch {
    let save = |second| {
        let job = samples::job("@daily");
        let mut definition: Definition = (*job.definition).clone();
        definition.limits.timeout = Some(Duration::from_secs(60 + u64::try_from(second).unwrap()));
        definition.task.tags.insert("pad".into(), "x".repeat(5_000));
        let firing = Firing::of_schedule(&job.name, at(second), Trigger::Schedule);
        let (run, entries) = Run::due(firing, Instance::new("prod").unwrap(), Arc::new(definition), at(second));
        RunSave { run, is_new: true, attempts_from: 0, entries }
    };
    let runs = (first..first + runs).map(save).collect();
    Batch { runs, ..Batch::empty(opened.term, at(0)) }
}

/// What each batch of a group is answered.
fn commit(opened: &mut Opened, batches: &[&Batch], definitions: &mut DefinitionIds) -> Vec<Saved> {
    let (group, answers): (Vec<_>, Vec<_>) = batches
        .iter()
        .map(|batch| {
            let (answer, answered) = oneshot::channel();
            (Commit { batch: Arc::new((*batch).clone()), answer }, answered)
        })
        .unzip();
    save_group(&mut opened.writer, &opened.home, group, definitions);
    answers.into_iter().map(|mut answered| answered.try_recv().unwrap()).collect()
}

/// The error and all its sources, as people read it.
fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn stored(opened: &mut Opened) -> BTreeSet<RunId> {
    let loaded = read::at_once(&mut opened.reader, read::load).unwrap();
    loaded.runs.into_iter().map(|run| run.id).collect()
}

fn ids(batches: &[&Batch]) -> BTreeSet<RunId> {
    batches.iter().flat_map(|batch| &batch.runs).map(|save| save.run.id.clone()).collect()
}

#[test]
fn a_database_that_is_full_takes_what_fits_and_the_rest_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let mut opened = opened(&path, &MIGRATIONS).unwrap();
    let mut definitions = DefinitionIds::default();
    let (small, large, last) = (batch(&opened, 0, 1), batch(&opened, 10, 40), batch(&opened, 100, 1));
    let limit = |opened: &Opened, pages: u32| {
        let set = opened.writer.pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, u32>(0));
        assert_eq!(set.unwrap(), pages);
    };
    let pages: u32 = opened.writer.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    limit(&opened, pages + 10);
    let answers = commit(&mut opened, &[&small, &large, &last], &mut definitions);
    assert!(matches!(answers.as_slice(), [Ok(_), Err(_), Ok(_)]), "{answers:?}");
    // Again: the second try must meet what the first one met, and nothing of it.
    for answer in answers.into_iter().skip(1).take(1).chain(commit(&mut opened, &[&large], &mut definitions)) {
        let Err(error @ StoreError::Database { .. }) = answer else { panic!("{answer:?}") };
        let told = chain(&error);
        assert!(told.starts_with("failed to save a batch: the file system of "), "{told}");
        assert!(told.contains("state.db is full") && told.ends_with("database or disk is full"), "{told}");
        assert_eq!(stored(&mut opened), ids(&[&small, &last]));
    }
    limit(&opened, 100_000);
    assert_eq!(commit(&mut opened, &[&large], &mut definitions).remove(0).unwrap(), BTreeSet::new());
    assert_eq!(stored(&mut opened), ids(&[&small, &large, &last]));
}

/// An I/O error inside a statement makes SQLite undo the whole transaction, with every savepoint; a trigger does the same.
#[test]
fn a_fault_that_undoes_the_whole_group_is_told_to_all_of_it_and_all_can_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = opened(&folder.path().join("state.db"), &MIGRATIONS).unwrap();
    let mut definitions = DefinitionIds::default();
    let batches = [batch(&opened, 0, 1), batch(&opened, 10, 1), batch(&opened, 20, 1)];
    let group: Vec<&Batch> = batches.iter().collect();
    let undo = format!(
        "CREATE TEMP TRIGGER undo AFTER INSERT ON run WHEN NEW.scheduled_at = {} \
         BEGIN SELECT RAISE(ROLLBACK, 'undone on request'); END",
        at(10).timestamp_millis()
    );
    opened.writer.execute_batch(&undo).unwrap();
    for _ in 0..2 {
        for answer in commit(&mut opened, &group, &mut definitions) {
            let told = chain(&answer.unwrap_err());
            assert!(told.contains(": undone on request"), "{told}");
        }
        assert!(opened.writer.is_autocommit(), "no transaction is left open");
        assert!(stored(&mut opened).is_empty());
    }
    opened.writer.execute_batch("DROP TRIGGER undo").unwrap();
    for answer in commit(&mut opened, &group, &mut definitions) {
        assert_eq!(answer.unwrap(), BTreeSet::new());
    }
    assert_eq!(stored(&mut opened), ids(&group));
}

/// The steps of a program that is newer by these.
fn with_steps<'a>(newer: &[&'a str]) -> Vec<&'a str> {
    MIGRATIONS.iter().copied().chain(newer.iter().copied()).collect()
}

fn schema(path: &Path) -> String {
    let connection = Connection::open(path).unwrap();
    connection.query_row(sql::META, ["schema_version"], |row| row.get(0)).unwrap()
}

const ADD_COLUMN: &str = "ALTER TABLE run ADD COLUMN note TEXT; UPDATE run SET note = 'moved'";
const BREAKS: &str =
    "CREATE TABLE shelf (book TEXT) STRICT; INSERT INTO shelf VALUES ('one'); INSERT INTO nowhere VALUES (1)";

#[test]
fn a_migration_that_breaks_off_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let mut first = opened(&path, &MIGRATIONS).unwrap();
    let saved = batch(&first, 0, 3);
    commit(&mut first, &[&saved], &mut DefinitionIds::default()).remove(0).unwrap();
    drop(first);
    let before = std::fs::read(&path).unwrap();

    // The first of the two steps works, and is undone with the second.
    let error = opened(&path, &with_steps(&[ADD_COLUMN, BREAKS])).unwrap_err();
    let OpenError::Damaged { doing: "bring up to date the schema", .. } = error else { panic!("{error:?}") };
    assert!(std::fs::read(&path).unwrap() == before, "the file was changed");
    assert!(!super::home::beside(&path, "-wal").exists(), "a log is left");
    let mut older = opened(&path, &MIGRATIONS).unwrap();
    assert_eq!(stored(&mut older), ids(&[&saved]), "the older program goes on");
    assert_eq!(schema(&path), MIGRATIONS.len().to_string());
}

#[test]
fn a_migration_of_several_steps_arrives_at_the_newest_and_is_refused_by_older_programs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(opened(&path, &MIGRATIONS).unwrap());
    let newer = with_steps(&[ADD_COLUMN, "CREATE TABLE shelf (book TEXT) STRICT"]);
    drop(opened(&path, &newer).unwrap());
    assert_eq!(schema(&path), newer.len().to_string());
    let error = opened(&path, &MIGRATIONS).unwrap_err();
    let expected = (newer.len(), MIGRATIONS.len());
    assert!(matches!(error, OpenError::NewerSchema { found, known, .. } if (found, known) == expected), "{error:?}");
    let again = opened(&path, &newer).unwrap();
    assert_eq!(again.term.0, 3, "the refused one began no term");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_hangs_keeps_nobody_waiting_and_nothing_stale_is_read_after() {
    let folder = tempfile::tempdir().unwrap();
    let holder = Holder { pid: 1, host: "mill".into(), instance: Instance::new("prod").unwrap() };
    let store = SqliteStore::open(&folder.path().join("state.db"), World::Aws, &holder, at(0)).unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (began, has_begun) = oneshot::channel();
    let hangs = store.clone();
    let hanging = tokio::spawn(async move {
        let query = move |_: &Connection| {
            began.send(()).map_err(|()| "nobody waits")?;
            Ok(held.recv()?)
        };
        hangs.ask("hang", query).await
    });
    has_begun.await.unwrap();
    let read = Arc::new(AtomicU32::new(0));
    // More than there is room for in the queue.
    let questions = (0..2 * super::QUEUE_MAX).map(|_| {
        let (store, read) = (store.clone(), Arc::clone(&read));
        async move { store.ask_in_time("count", move |_| Ok(read.fetch_add(1, Ordering::SeqCst))).await }
    });
    for answer in questions.collect::<tokio::task::JoinSet<_>>().join_all().await {
        let told = chain(&answer.unwrap_err());
        assert_eq!(told, "failed to count: the database did not answer within 10 s; it is busy, or its disk is");
    }
    tokio::time::resume();
    release.send(()).unwrap();
    hanging.await.unwrap().unwrap();
    assert!(store.runs(RunQuery { limit: 1, ..RunQuery::default() }).await.unwrap().is_empty());
    assert_eq!(read.load(Ordering::SeqCst), 0, "who has gone away is not read for");
}

#[test]
fn a_row_that_can_not_be_read_back_is_damage() {
    let damaged = row::Damaged::new("run a", "state", "it says nothing");
    let told = fault::told(Path::new("/state.db"), "list runs", damaged.into());
    assert!(matches!(told, StoreError::Damaged { .. }), "{told:?}");
}

/// The locks of a file by the kernel's book.
fn locks_on(path: &Path) -> usize {
    let inode = std::fs::metadata(path).unwrap().ino().to_string();
    let book = std::fs::read_to_string("/proc/locks").unwrap();
    let is_of_file = |line: &&str| line.split_whitespace().any(|word| word.ends_with(&format!(":{inode}")));
    book.lines().filter(is_of_file).count()
}

#[test]
fn a_database_that_is_read_through_keeps_its_locks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let opened = opened(&path, &MIGRATIONS).unwrap();
    let before = locks_on(&path);
    assert!(before > 0, "an open database is locked");
    for _ in 0..2 {
        let malformed = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), None);
        fault::examined(&path, malformed.into());
        assert_eq!(locks_on(&path), before, "closing another descriptor of it would have given them up");
    }
    drop(opened);
}

#[test]
fn a_log_alone_is_found_behind_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join("link.db"), folder.path().join("far/state.db"));
    std::fs::create_dir(folder.path().join("far")).unwrap();
    std::os::unix::fs::symlink("far/state.db", &link).unwrap();
    std::fs::write(folder.path().join("far/state.db-wal"), "commits").unwrap();
    let refused = opened(&link, &MIGRATIONS).unwrap_err();
    assert!(chain(&refused).contains("state.db-wal holds what was saved last"), "{}", chain(&refused));
    assert!(!target.exists());
    std::fs::remove_file(folder.path().join("far/state.db-wal")).unwrap();
    let first = opened(&link, &MIGRATIONS).unwrap();
    let second = opened(&target, &MIGRATIONS).unwrap_err();
    assert!(matches!(second, OpenError::Held { .. }), "a link to it is the same database: {second}");
    drop(first);
}
