//! What can happen to a database on a disk while it is open: it is locked, moved, deleted, replaced, or its content
//! changes behind our back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tenacron::engine::run::Event;
use tenacron::store::sqlite::{OpenError, SqliteStore, World};
use tenacron::store::{Store, StoreError};

use super::store::{Disk, Life, all, at, batch, disk_with_a_run, holder, save, tamper, told};

/// Commits one run and expects that it is refused; the texts stand in the message.
async fn refused(store: &SqliteStore, life: &mut Life, texts: &[&str]) -> StoreError {
    let mut again = life.clone();
    let error = store.commit(batch(store.term(), 0, vec![again.save()])).await.unwrap_err();
    for text in texts {
        assert!(told(&error).contains(text), "`{text}` is missing in: {}", told(&error));
    }
    error
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[tokio::test]
async fn a_lock_passes() {
    let disk = Disk::new();
    let store = disk.try_open().unwrap();
    let mut life = Life::running("nightly");
    save(&store, vec![life.save()]).await;
    let other = Connection::open(disk.path()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    life = life.tell(6, Event::Cancel { reason: "by ada".into() });
    let error = refused(&store, &mut life, &["state.db is locked by another process: database is locked"]).await;
    assert!(matches!(error, StoreError::Database { .. }), "{error:?}");
    assert_eq!(store.runs(all()).await.unwrap().len(), 1, "readers are not hindered");
    other.execute_batch("ROLLBACK").unwrap();
    save(&store, vec![life.save()]).await;
    assert_eq!(store.load().await.unwrap().runs, [life.run]);
}

#[tokio::test]
async fn a_lock_at_the_start_is_told_as_what_can_pass() {
    let (disk, _) = disk_with_a_run().await;
    let other = Connection::open(disk.path()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = disk.try_open().unwrap_err();
    assert!(matches!(error, OpenError::Database { .. }), "{error:?}");
    assert!(told(&error).contains("is locked by another process"), "{}", told(&error));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(disk.try_open().unwrap().load().await.unwrap().runs.len(), 1);
}

#[tokio::test]
async fn nothing_is_saved_in_a_file_that_was_deleted_or_replaced() {
    let disk = Disk::new();
    let store = disk.try_open().unwrap();
    let (path, aside) = (disk.path(), disk.directory.path().join("aside"));
    fs::rename(&path, &aside).unwrap();
    let mut life = Life::due("nightly", 0);
    for is_replaced in [false, true] {
        if is_replaced {
            fs::write(&path, "another file").unwrap();
        }
        let text = format!("{} was deleted or replaced", path.display());
        let error = refused(&store, &mut life, &[&text]).await;
        assert!(matches!(error, StoreError::Database { .. }), "{error:?}");
    }
    fs::rename(&aside, &path).unwrap();
    save(&store, vec![life.save()]).await;
    assert_eq!(store.load().await.unwrap().runs, [life.run], "it goes on once the file is back");
}

#[tokio::test]
async fn a_folder_that_is_moved_away_takes_the_log_along_and_may_be_put_back() {
    let disk = Disk::new();
    let path = disk.directory.path().join("folder/state.db");
    let store = SqliteStore::open(&path, World::Aws, &holder(1), at(0)).unwrap();
    let (folder, aside) = (disk.directory.path().join("folder"), disk.directory.path().join("aside"));
    fs::rename(&folder, &aside).unwrap();
    let mut life = Life::due("nightly", 0);
    let error = refused(&store, &mut life, &["state.db was deleted or replaced"]).await;
    assert!(matches!(error, StoreError::Database { .. }), "{error:?}");
    fs::rename(&aside, &folder).unwrap();
    save(&store, vec![life.save()]).await;
    // A folder that may not be written hinders no commit: all files are open.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    let mut other = Life::due("hourly", 0);
    save(&store, vec![other.save()]).await;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(store.load().await.unwrap().runs, [life.run, other.run]);
}

#[tokio::test]
async fn a_log_that_was_deleted_or_replaced_is_folded_into_the_database_at_once() {
    for suffix in ["-wal", "-shm"] {
        for is_replaced in [false, true] {
            let disk = Disk::new();
            let store = disk.try_open().unwrap();
            let mut lives: Vec<Life> = (0..5).map(|n| Life::due("nightly", n)).collect();
            for life in &mut lives {
                save(&store, vec![life.save()]).await;
            }
            let log = beside(&disk.path(), suffix);
            fs::remove_file(&log).unwrap();
            if is_replaced {
                fs::write(&log, "").unwrap();
            }
            let text = format!("{}, which belongs to the database, was deleted or replaced", log.display());
            let mut late = Life::due("late", 0);
            let error = refused(&store, &mut late, &[&text, "stands in the database itself"]).await;
            assert!(matches!(error, StoreError::Severed { .. }), "{error:?}");
            // What a process that is killed now leaves is the database alone.
            let left = Disk::new();
            fs::copy(disk.path(), left.path()).unwrap();
            let runs: Vec<_> = lives.iter().map(|life| life.run.clone()).collect();
            assert_eq!(left.try_open().unwrap().load().await.unwrap().runs, runs, "{suffix} {is_replaced}");
            // So does one that ends as it should, and the next start goes on.
            drop(store);
            let store = disk.try_open().unwrap();
            save(&store, vec![late.save()]).await;
            assert_eq!(store.load().await.unwrap().runs.len(), 6, "{suffix} {is_replaced}");
        }
    }
}

#[tokio::test]
async fn a_log_without_its_database_is_not_thrown_away() {
    let disk = Disk::new();
    let store = disk.try_open().unwrap();
    let mut life = Life::running("nightly");
    save(&store, vec![life.save()]).await;
    // What a killed process leaves, and then somebody deletes or empties the database.
    let left = Disk::new();
    for name in ["state.db", "state.db-wal"] {
        fs::copy(disk.directory.path().join(name), left.directory.path().join(name)).unwrap();
    }
    let (database, log) = (left.path(), beside(&left.path(), "-wal"));
    let (kept, logged) = (fs::read(&database).unwrap(), fs::read(&log).unwrap());
    fs::remove_file(&database).unwrap();
    for _ in 0..2 {
        let error = left.try_open().unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
        assert!(told(&error).contains(&format!("{} holds what was saved last", log.display())), "{}", told(&error));
        assert!(fs::read(&log).unwrap() == logged, "the log is as it was");
        fs::write(&database, "").unwrap();
    }
    fs::write(&database, kept).unwrap();
    assert_eq!(left.try_open().unwrap().load().await.unwrap().runs, [life.run]);
}

#[tokio::test]
async fn a_database_behind_a_link_knows_its_log() {
    let disk = Disk::new();
    let real = disk.directory.path().join("real");
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(real.join("target.db"), disk.path()).unwrap();
    let store = disk.try_open().unwrap();
    let mut life = Life::due("nightly", 0);
    save(&store, vec![life.save()]).await;
    fs::remove_file(real.join("target.db-wal")).unwrap();
    let error = refused(&store, &mut Life::due("late", 0), &["target.db-wal"]).await;
    assert!(matches!(error, StoreError::Severed { .. }), "{error:?}");
}

/// Overwrites the page in which a table begins, and lets everybody who has the database open read it anew.
pub(crate) fn overwrite(path: &Path, table: &str) {
    let connection = Connection::open(path).unwrap();
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert!(!busy, "all of the log is in the file");
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
    let page: u32 = connection.query_row(root, [table], |row| row.get(0)).unwrap();
    let size: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    let (page, size) = (usize::try_from(page).unwrap(), usize::try_from(size).unwrap());
    let mut bytes = fs::read(path).unwrap();
    bytes[(page - 1) * size..page * size].fill(0xA5);
    fs::write(path, bytes).unwrap();
    connection.execute_batch("UPDATE lease SET since = since + 1").unwrap();
}

#[tokio::test]
async fn pages_that_were_overwritten_are_damage_for_writers_and_readers() {
    let disk = Disk::new();
    let store = disk.try_open().unwrap();
    let mut life = Life::running("nightly");
    save(&store, vec![life.save()]).await;
    overwrite(&disk.path(), "run");
    life = life.tell(6, Event::Cancel { reason: "by ada".into() });
    let text = format!("{} is damaged: database disk image is malformed", disk.path().display());
    let error = refused(&store, &mut life, &[&text]).await;
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    let error = store.runs(all()).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert!(told(&error).contains("is damaged or can't be read: database disk image"), "{}", told(&error));
    drop(store);
    let error = disk.try_open().unwrap().load().await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { doing: "read what is in flight", .. }), "{error:?}");
}

#[tokio::test]
async fn a_beginning_that_was_overwritten_is_no_database() {
    let (disk, _) = disk_with_a_run().await;
    let mut bytes = fs::read(disk.path()).unwrap();
    bytes[..100].fill(0);
    fs::write(disk.path(), &bytes).unwrap();
    let error = disk.try_open().unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    assert!(fs::read(disk.path()).unwrap() == bytes, "it is left as it is");
}

#[tokio::test]
async fn tables_that_are_gone_and_rows_that_contradict_are_damage() {
    let damages = [
        ("DROP TABLE event", "lacks what its schema should have"),
        ("DELETE FROM lease", "is damaged"),
        (
            "INSERT INTO event (run, seq, at, type, detail) VALUES (1, 4, 0, 'Forged', '{}')",
            "contradicts what was stored",
        ),
        ("UPDATE run SET history_len = 'many'", "is damaged"),
    ];
    for (damage, text) in damages {
        let disk = Disk::new();
        let store = disk.try_open().unwrap();
        let mut life = Life::running("nightly");
        save(&store, vec![life.save()]).await;
        if damage.contains("'many'") {
            // Only a schema that is not ours any more takes such a value.
            let loosen = "PRAGMA writable_schema = ON; \
                          UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'run'";
            tamper(&disk.path(), loosen);
        }
        tamper(&disk.path(), &format!("PRAGMA foreign_keys = OFF; {damage}"));
        life = life.tell(6, Event::Cancel { reason: "by ada".into() });
        let error = refused(&store, &mut life, &[text]).await;
        assert!(matches!(error, StoreError::Damaged { .. }), "{damage}: {error:?}");
    }
}
