//! The real daemon whose state fails: while it lasts nothing is launched without a record, it says what happened and goes
//! on looking at what runs; afterwards it goes on with nothing twice, or it has ended with a code that says why.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rustix::process::{Resource, Rlimit, Signal, prlimit};
use serde_json::Value;
use tenacron::store::sqlite::{SqliteStore, World};

use super::commands::get;
use super::failing_disk::{FailingDisk, Fault};
use super::harness::{Ended, Process, SETTINGS, Site, aws};
use super::store::{Life, at, holder, save, tamper};
use super::store_faults::overwrite;
use super::tap::Tap;

/// Two jobs that fire each second: a task that ends when it is allowed to, and one that ends at once. Both tell when they
/// begin.
fn site() -> Site {
    let site = Site::new("");
    let (begun, gate) = (site.path("begun.txt"), site.gate());
    let config = format!(
        r#"{SETTINGS}
[http]
listen = "127.0.0.1:0"
[jobs.watched]
schedule = "* * * * * *"
task_definition = "watched"
timeout = "10m"
[[jobs.watched.container]]
name = "app"
[jobs.ticking]
schedule = "* * * * * *"
task_definition = "ticking"
overlap = "allow"
[[jobs.ticking.container]]
name = "app"
[local.task_definitions.watched]
containers = [{{ name = "app", command = ["sh", "-c", "echo $TENACRON_RUN_ID >> {begun}; cat {gate}"] }}]
[local.task_definitions.ticking]
containers = [{{ name = "app", command = ["sh", "-c", "echo $TENACRON_RUN_ID >> {begun}"] }}]
"#,
        begun = begun.display(),
        gate = gate.display(),
    );
    site.write("tenacron.toml", config);
    site
}

/// A daemon with a task that runs and launches that come each second, and every call it makes.
struct Scene {
    daemon: Process,
    http: String,
    /// The run whose task runs, and the task.
    watched: String,
    task: String,
    tap: Tap,
    disk: FailingDisk,
    _endpoint: Process,
    site: Site,
}

impl Scene {
    fn begin() -> Scene {
        let site = site();
        let (endpoint, url) = site.endpoint();
        let (tap, disk) = (Tap::before(&url), FailingDisk::of(&site));
        let (daemon, http) = start(&site, &tap, &disk);
        let started = daemon.wait_for_job("watched", "task started");
        daemon.wait_for_job("ticking", "task launched");
        let text = |key: &str| started[key].as_str().expect("text").to_owned();
        let (watched, task) = (text("run"), text("task_arn"));
        Scene { daemon, http, watched, task, tap, disk, _endpoint: endpoint, site }
    }

    fn state(&self) -> PathBuf {
        self.site.path("state.db")
    }

    /// The next line that says that nothing can be saved.
    fn fails(&self) -> String {
        let line = self.daemon.wait_for("a commit to fail", |line| {
            line["message"] == "state could not be saved; nothing is launched until it can"
        });
        line["error"].as_str().expect("a reason").to_owned()
    }

    fn is_polled(&self) {
        self.tap.wait_for("a look at the task that runs", |call| {
            let tasks = call.body["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
            call.operation == "DescribeTasks" && tasks.iter().any(|task| *task == *self.task)
        });
    }

    /// Every launch that was sent stands in what a restart would find now: this database and the log.
    fn every_launch_is_on_record(&self, database: &Path) {
        let sent: BTreeSet<String> = self.tap.launches().into_iter().collect();
        let left = tempfile::tempdir().expect("a folder");
        let copy = left.path().join("state.db");
        fs::copy(database, &copy).expect("copied");
        fs::copy(self.site.path("state.db-wal"), left.path().join("state.db-wal")).expect("copied");
        let connection = Connection::open(copy).expect("opened");
        let mut tokens = connection.prepare("SELECT client_token FROM launch").expect("prepared");
        let tokens = tokens.query_map([], |row| row.get(0)).expect("read");
        let recorded: BTreeSet<String> = tokens.map(|token| token.expect("read")).collect();
        assert!(sent.is_subset(&recorded) && sent.len() >= 2, "{sent:?} were sent, {recorded:?} are on record");
    }

    /// A fault that lasts for a while, during which the task that is watched ends. `database` is where it is meanwhile.
    fn outlasts<F>(&self, begin: impl FnOnce() -> F, end: impl FnOnce(F), database: &Path, reason: &str) {
        let fault = begin();
        let told = self.fails();
        assert!(told.contains(reason) && told.contains("state.db"), "`{reason}` is missing in: {told}");
        let (status, ready) = get(&self.http, &self.http, "/readyz");
        assert_eq!((status, ready["store_error"].as_str()), (503, Some(told.as_str())));
        assert_eq!(get(&self.http, &self.http, "/healthz").0, 200);
        assert_eq!(get(&self.http, &self.http, "/api/v1/jobs").0, 200, "who asks is answered");
        self.every_launch_is_on_record(database);
        self.site.open_gate();
        self.is_polled();
        self.fails();
        self.is_polled();
        self.every_launch_is_on_record(database);
        end(fault);
        self.daemon.wait_for("the state to be saved", |line| line["message"] == "state can be saved again");
        self.daemon.wait_for("the end of the watched task", |line| {
            line["message"] == "task succeeded" && line["run"] == *self.watched
        });
        assert_eq!(get(&self.http, &self.http, "/readyz").0, 200);
        self.daemon.wait_for_job("ticking", "task launched");
        self.nothing_was_begun_twice();
    }

    /// Every task that began belongs to a run that is known, and no two to the same.
    fn nothing_was_begun_twice(&self) {
        let begun = fs::read_to_string(self.site.path("begun.txt")).expect("tasks wrote");
        let runs = self.site.json(&["runs", "-n", "1000"]);
        let known: BTreeSet<&str> =
            runs.as_array().expect("a list").iter().filter_map(|run| run["run"].as_str()).collect();
        let mut seen = BTreeSet::new();
        for run in begun.lines() {
            assert!(known.contains(run), "{run} began and is not on record");
            assert!(seen.insert(run), "{run} began twice");
        }
    }

    /// The same state with a new daemon, which harvests the task that was watched.
    fn begin_again(mut self) {
        (self.daemon, self.http) = start(&self.site, &self.tap, &self.disk);
        self.site.open_gate();
        self.daemon.wait_for("the end of the watched task", |line| {
            line["message"] == "task succeeded" && line["run"] == *self.watched
        });
        self.daemon.wait_for_job("ticking", "task launched");
        self.nothing_was_begun_twice();
        assert_eq!(self.daemon.end(Signal::TERM).code(), Some(0));
    }
}

fn start(site: &Site, tap: &Tap, disk: &FailingDisk) -> (Process, String) {
    site.daemon_on_http_with(&[aws(&tap.url).as_slice(), &disk.environment()].concat(), &["run"])
}

fn outlasts_a_disk_that_fails(fault: Fault, reason: &str) {
    let scene = Scene::begin();
    scene.outlasts(|| scene.disk.fail(fault), |()| scene.disk.work(), &scene.state(), reason);
}

#[test]
fn a_full_disk_is_outlasted() {
    outlasts_a_disk_that_fails(Fault::Full, "state.db is full");
}

#[test]
fn a_disk_that_turned_read_only_is_outlasted() {
    outlasts_a_disk_that_fails(Fault::ReadOnly, "or its log can't be read or written");
}

/// The batch stands in the log, and this process does not know it: trying again must not meet itself.
#[test]
fn a_disk_that_does_not_sync_is_outlasted() {
    outlasts_a_disk_that_fails(Fault::Unsynced, "or its log can't be read or written");
}

#[test]
fn a_limit_on_the_size_of_files_is_outlasted() {
    let scene = Scene::begin();
    let limit = |bytes| {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(scene.daemon.pid()), Resource::Fsize, limit).expect("it is our process")
    };
    let log = fs::metadata(scene.site.path("state.db-wal")).expect("there is a log");
    let begin = || {
        limit(Some(log.len()));
    };
    let end = |()| {
        limit(None);
    };
    scene.outlasts(begin, end, &scene.state(), "or its log can't be read or written");
}

#[test]
fn a_lock_is_outlasted() {
    let scene = Scene::begin();
    let lock = || {
        let other = Connection::open(scene.state()).expect("opened");
        other.execute_batch("BEGIN EXCLUSIVE").expect("locked");
        other
    };
    scene.outlasts(lock, drop, &scene.state(), "state.db is locked by another process");
}

#[test]
fn a_database_that_was_moved_away_is_waited_for() {
    let scene = Scene::begin();
    let (state, aside) = (scene.state(), scene.site.path("aside.db"));
    let moved = || fs::rename(&state, &aside).expect("moved");
    scene.outlasts(moved, |()| fs::rename(&aside, &state).expect("moved"), &aside, "was deleted or replaced");
}

#[test]
fn a_database_that_was_replaced_is_waited_for() {
    let scene = Scene::begin();
    let (state, aside) = (scene.state(), scene.site.path("aside.db"));
    let replaced = || {
        fs::rename(&state, &aside).expect("moved");
        fs::copy(&aside, &state).expect("copied");
    };
    scene.outlasts(replaced, |()| fs::rename(&aside, &state).expect("moved"), &aside, "was deleted or replaced");
}

#[test]
fn a_daemon_that_is_killed_while_its_disk_fails_begins_nothing_twice() {
    for fault in [Fault::Full, Fault::Unsynced] {
        let mut scene = Scene::begin();
        scene.disk.fail(fault);
        scene.fails();
        scene.fails();
        scene.every_launch_is_on_record(&scene.state());
        scene.daemon.signal(Signal::KILL);
        scene.daemon.ended();
        scene.disk.work();
        scene.begin_again();
    }
}

#[test]
fn a_disk_that_can_not_be_read_is_told_to_who_asks() {
    let scene = Scene::begin();
    scene.disk.fail(Fault::Unreadable);
    // What a commit did not change may still be in memory, so the first answers may be right.
    let refused = (0..100).find_map(|_| {
        scene.daemon.wait_for("anything", |_| true);
        let (status, body) = get(&scene.http, &scene.http, "/api/v1/runs");
        (status == 503).then_some(body)
    });
    let refused = refused.expect("it can't be read");
    let told = refused["error"].as_str().expect("a reason");
    assert!(told.starts_with("failed to list runs: ") && told.contains("can't be read"), "{told}");
    // Another writer makes the daemon's own read again. To SQLite a page that can't be read is damaged; it is not.
    let other = Connection::open(scene.state()).expect("opened");
    other.execute_batch("UPDATE lease SET since = since + 1").expect("updated");
    let told = scene.fails();
    assert!(told.contains("state.db or its log can't be read: Input/output error"), "{told}");
    assert_eq!(get(&scene.http, &scene.http, "/readyz").0, 503);
    assert_eq!(get(&scene.http, &scene.http, "/healthz").0, 200);
    scene.is_polled();
    scene.disk.work();
    scene.daemon.wait_for("the state to be saved", |line| line["message"] == "state can be saved again");
    scene.daemon.wait_for_job("ticking", "task launched");
    assert_eq!(get(&scene.http, &scene.http, "/api/v1/runs").0, 200);
    scene.nothing_was_begun_twice();
}

#[test]
fn a_log_that_was_deleted_ends_the_daemon_and_a_restart_goes_on() {
    let mut scene = Scene::begin();
    fs::remove_file(scene.site.path("state.db-wal")).expect("removed");
    let line = scene.daemon.wait_for("its reason", |line| {
        line["message"].as_str().is_some_and(|text| text.starts_with("tenacron: failed to go on"))
    });
    let told = line["message"].as_str().expect("text");
    assert!(told.contains("state.db-wal, which belongs to the database, was deleted or replaced"), "{told}");
    assert!(told.contains("a new start goes on from there"), "{told}");
    assert_eq!(scene.daemon.ended(), Some(74));
    scene.begin_again();
}

#[test]
fn a_damaged_database_ends_the_daemon_and_every_later_start() {
    let mut scene = Scene::begin();
    overwrite(&scene.state(), "definition");
    let line = scene.daemon.wait_for("its reason", |line| {
        line["message"].as_str().is_some_and(|text| text.starts_with("tenacron: failed to go on"))
    });
    let told = line["message"].as_str().expect("text");
    assert!(told.contains("state.db is damaged: database disk image is malformed"), "{told}");
    let advice = scene.daemon.wait_for("advice", |line| line["message"] != Value::Null);
    assert!(advice["message"].as_str().is_some_and(|text| text.contains("restore a backup")), "{advice}");
    assert_eq!(scene.daemon.ended(), Some(65));
    let sent = scene.tap.launches().len();
    for _ in 0..2 {
        let ended = Ended::of(scene.site.command(&["run"]).envs(aws(&scene.tap.url)));
        assert_eq!(ended.code, Some(65), "{}", ended.stderr);
        assert!(ended.stderr.contains("is damaged") && ended.stderr.contains("restore a backup"), "{}", ended.stderr);
    }
    assert_eq!(scene.tap.launches().len(), sent, "nothing was launched on it");
}

#[tokio::test]
async fn a_start_on_a_state_that_fails_has_a_code_for_what_passes_and_one_for_what_does_not() {
    type Damage = fn(&Path);
    let cases: [(&str, i32, &str, Damage); 6] = [
        ("locked", 74, "is locked by another process", |_| {}),
        ("full", 74, "state.db is full", |_| {}),
        ("newer", 74, "has schema 99", |state| {
            tamper(state, "UPDATE meta SET value = '99' WHERE key = 'schema_version'")
        }),
        ("a row", 65, "column `state` can't be read back", |state| tamper(state, "UPDATE run SET state = '{'")),
        ("no database", 65, "is a file of another kind", |state| fs::write(state, "x".repeat(9_000)).expect("written")),
        ("of another", 65, "is an SQLite database of another program", |state| {
            tamper(state, "PRAGMA application_id = 7");
        }),
    ];
    let site = site();
    let (disk, state) = (FailingDisk::of(&site), site.path("state.db"));
    for (name, code, text, damage) in cases {
        drop(fs::remove_file(&state));
        let store = SqliteStore::open(&state, World::Aws, &holder(1), at(0)).expect("opened");
        save(&store, vec![Life::running("watched").save()]).await;
        store.close().await;
        damage(&state);
        let other = Connection::open(&state).expect("opened");
        match name {
            "locked" => other.execute_batch("BEGIN EXCLUSIVE").expect("locked"),
            "full" => disk.fail(Fault::Full),
            _ => drop(other),
        }
        let ended = Ended::of(site.command(&["run"]).envs(aws("http://127.0.0.1:9")).envs(disk.environment()));
        assert_eq!(ended.code, Some(code), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains(text), "{name}: {}", ended.stderr);
        if name == "full" {
            disk.work();
        }
    }
}
