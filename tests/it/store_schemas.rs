//! Databases of every released schema: today's program opens each, reads it back whole and goes on with it.
//!
//! `tests/fixtures/state-schema-N.db` was written by the program that introduced schema N and is never changed. When a
//! migration is added, make the next one and commit it with the migration:
//!
//! ```sh
//! TENACRON_MAKE_FIXTURE=1 cargo test --test it store_schemas
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tenacron::engine::failure::Failure;
use tenacron::engine::log_tail::LogTail;
use tenacron::engine::notice::{LeftOut, Standing};
use tenacron::engine::pause::{Pause, Scope};
use tenacron::engine::run::{Attempt, Event, HistoryEvent, Outcome, Run, State, Status};
use tenacron::store::sqlite::{SCHEMA, SqliteStore, World};
use tenacron::store::{Audit, Batch, Mark, Store};

use super::store::{Disk, all, batch, holder, mark, save, summary_of};
use super::store_hands::{audit, log_tails, pauses};
use super::store_lives::{Life, at, every_life, lives_of_schema_1};
use super::store_notices::{all_due, notices_of};

/// What a cause says of exit code 137 since some time after schema 2.
const SIGKILL: &str =
    ", which is SIGKILL: a stop time-out, the shutdown after another container's end, or the host's memory";

/// Makes the fixture of the newest schema if it is not there yet.
const MAKE: &str = "TENACRON_MAKE_FIXTURE";

fn fixture(schema: usize) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/state-schema-{schema}.db"))
}

fn marks() -> Vec<Mark> {
    vec![mark("nightly", "@daily", 3), mark("often", "rate(1 hour)", 4)]
}

/// Writes a run in every state, with every reason and every end, and the marks of two jobs.
async fn make(to: &Path) {
    let disk = Disk::new();
    let store = disk.try_open().unwrap();
    let runs = every_life().iter_mut().map(|(_, life)| life.save()).collect();
    let pauses = pauses().into_iter().map(|(scope, pause)| (scope, Some(pause))).collect();
    let audit = audit().into_iter().rev().collect();
    let batch = Batch { marks: marks(), pauses, audit, ..batch(store.term(), 7, runs) };
    let told = batch.runs.iter().map(|save| (save.run.id.clone(), 1, log_tails())).collect();
    store.commit(batch).await.unwrap();
    let (notices, notice_moves) = notices_of(&every_life()[0].1.run);
    let told = Batch { log_tails: told, notices, notice_moves, ..Batch::empty(store.term(), at(7)) };
    store.commit(told).await.unwrap();
    store.close().await;
    rusqlite::Connection::open(disk.path()).unwrap().execute_batch("VACUUM").unwrap();
    std::fs::copy(disk.path(), to).unwrap();
}

/// The runs of a fixture as its program knew them. A schema that adds to a run says here what older ones lack.
fn lives(schema: usize) -> Vec<(&'static str, Life)> {
    let mut lives = if schema == 1 { lives_of_schema_1() } else { every_life() };
    if schema < 3 {
        lives.iter_mut().for_each(|(_, life)| forget_what_came_with_schema_3(life));
    }
    lives
}

/// What the programs of schema 3 add to the JSON of a run, and say in other words.
fn forget_what_came_with_schema_3(life: &mut Life) {
    for attempt in &mut life.run.attempts {
        *attempt = Attempt { due_at: None, shortage: None, ends: Vec::new(), ..attempt.clone() };
        attempt.failure.iter_mut().for_each(forget_of_failure);
    }
    match &mut life.run.state {
        State::Stopping { tasks, since, .. } => {
            let mut stored = serde_json::to_value(&*tasks).unwrap();
            stored["started"] = false.into();
            (*tasks, *since) = (serde_json::from_value(stored).unwrap(), None);
        }
        State::Finished {
            outcome: Outcome::Failed { failure } | Outcome::TimedOut { failure } | Outcome::Unknown { failure },
            ..
        } => forget_of_failure(failure),
        _ => {}
    }
    for entry in life.all_entries.iter_mut().chain(&mut life.entries) {
        if let HistoryEvent::TaskFailed { cause, .. } | HistoryEvent::ExecutionFailed { cause, .. } = &mut entry.event {
            *cause = cause.replace(SIGKILL, "");
        }
    }
}

fn forget_of_failure(failure: &mut Failure) {
    failure.exit_code = None;
    failure.cause = failure.cause.replace(SIGKILL, "");
}

/// Marks of schema 1 count no failures, those before schema 4 nothing that is left out.
fn marks_of(schema: usize) -> Vec<Mark> {
    let known = |mut mark: Mark| {
        if schema == 1 {
            mark.failed_in_a_row = 0;
        }
        if schema < 4 {
            // What failures they counted, they ended with.
            mark.standing = Standing { ended_badly: mark.failed_in_a_row > 0, left_out: LeftOut::NONE };
        }
        mark
    };
    marks().into_iter().map(known).collect()
}

/// Schema 1 knows nothing of what people do.
fn hands_of(schema: usize) -> (Vec<(Scope, Pause)>, Vec<Audit>) {
    if schema == 1 { (Vec::new(), Vec::new()) } else { (pauses(), audit()) }
}

/// Schemas 1 and 2 know nothing of logs.
fn log_tails_of(schema: usize) -> BTreeMap<u32, Vec<LogTail>> {
    if schema < 3 { BTreeMap::new() } else { BTreeMap::from([(1, log_tails())]) }
}

/// Schemas before 4 know nothing of notices; later ones have some of the first life.
fn notices_of_schema(schema: usize) -> [Vec<String>; 2] {
    let (owed, left): (&[&str], &[&str]) =
        if schema < 4 { (&[], &[]) } else { (&["n1", "n2"], &["n1", "n2", "n3", "n4"]) };
    [owed, left].map(|ids| ids.iter().map(|id| (*id).to_owned()).collect())
}

#[tokio::test]
async fn a_database_of_every_released_schema_is_read_back_whole_and_goes_on() {
    let newest = fixture(SCHEMA);
    if std::env::var_os(MAKE).is_some() && !newest.exists() {
        make(&newest).await;
    }
    for schema in 1..=SCHEMA {
        let path = fixture(schema);
        assert!(path.exists(), "{} is missing: see the top of this file", path.display());
        let disk = Disk::new();
        std::fs::copy(&path, disk.path()).unwrap();
        let store = disk.try_open().unwrap();
        assert_eq!(store.term().0, 2, "schema {schema}: it goes on in the next term");
        let loaded = store.load().await.unwrap();
        let lives = lives(schema);
        let in_flight: Vec<Run> =
            lives.iter().map(|(_, life)| life.run.clone()).filter(|run| !run.is_finished()).collect();
        assert_eq!(loaded.runs, in_flight, "schema {schema}");
        assert_eq!((loaded.marks, loaded.last_commit_at), (marks_of(schema), Some(at(7))), "schema {schema}");
        let audit = store.audit(None, 9).await.unwrap().into_iter().map(|row| row.audit).collect();
        let hands = (loaded.pauses, audit);
        assert_eq!(hands, hands_of(schema), "schema {schema}");
        assert_eq!(store.runs(all()).await.unwrap().len(), lives.len(), "schema {schema}");
        for (name, life) in &lives {
            let story = store.story(life.run.id.clone()).await.unwrap().expect(name);
            assert_eq!(story.summary, summary_of(&life.run), "schema {schema}, {name}");
            assert_eq!(story.attempts, life.run.attempts, "schema {schema}, {name}");
            assert_eq!(story.entries, life.all_entries, "schema {schema}, {name}");
            assert_eq!(story.log_tails, log_tails_of(schema), "schema {schema}, {name}");
        }
        let [owed, of_first] = notices_of_schema(schema);
        let due = all_due(&store, at(9), 9).await;
        assert_eq!(due.iter().map(|owed| owed.notice.id.clone()).collect::<Vec<_>>(), owed, "schema {schema}");
        let expected = notices_of(&lives[0].1.run).0;
        assert!(due.iter().zip(expected).all(|(owed, notice)| owed.notice == notice), "schema {schema}");
        let first = store.story(lives[0].1.run.id.clone()).await.unwrap().unwrap();
        assert_eq!(first.notices.into_iter().map(|notice| notice.id).collect::<Vec<_>>(), of_first, "schema {schema}");
        go_on(store, lives, &disk).await;
    }
}

/// Every run in flight takes another event, a new one begins, and a restart finds both.
async fn go_on(store: SqliteStore, mut lives: Vec<(&'static str, Life)>, disk: &Disk) {
    let mut moved = Vec::new();
    for (_, life) in lives.iter_mut().filter(|(_, life)| !life.run.is_finished()) {
        life.save();
        let mut next = life.clone().tell(9_000, Event::Cancel { reason: "by ada, of a newer program".into() });
        save(&store, vec![next.save()]).await;
        moved.push(next.run);
    }
    let mut new = Life::due("new", 9_001);
    save(&store, vec![new.save()]).await;
    store.close().await;
    let mut expected: Vec<Run> = moved.into_iter().filter(|run| !run.is_finished()).collect();
    expected.push(new.run);
    assert!(expected.iter().all(|run| run.status() != Status::Cancelled) && expected.len() > 5);
    let store = SqliteStore::open(&disk.path(), World::Aws, &holder(1), at(9_002)).unwrap();
    assert_eq!(store.load().await.unwrap().runs, expected);
}
