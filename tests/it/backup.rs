//! `tenacron backup`: a copy of the state while runs fire, one without a daemon, and what may go wrong on the way of the bytes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::{Connection, OpenFlags};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::commands::post;
use super::harness::{Ended, Process, SETTINGS, Site};

const OFTEN: &str = r#"
[jobs.often]
schedule = "* * * * * *"
task_definition = "quick"
overlap = "allow"
[local.task_definitions.quick]
containers = [{ name = "app", command = ["true"] }]
"#;

fn site() -> Site {
    Site::new(&format!("{SETTINGS}\n{OFTEN}"))
}

/// More than sockets and channels hold.
const LARGE: usize = 8 << 20;

/// A daemon on a state of some size, which fires each second.
fn large(site: &Site) -> Process {
    assert_eq!(site.daemon(&["run", "--local"]).end(Signal::TERM).code(), Some(0));
    let state = Connection::open(site.path("state.db")).unwrap();
    let half = LARGE / 2;
    let filler = format!("INSERT INTO audit (at, actor, action, detail) VALUES (1, 'a', 'b', hex(randomblob({half})))");
    state.execute_batch(&filler).unwrap();
    drop(state);
    site.daemon(&["run", "--local"])
}

fn reading(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

fn text(database: &Connection, sql: &str) -> String {
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The names of all files of a site's folder that a backup may leave behind.
fn left_behind(site: &Site) -> Vec<String> {
    let names = fs::read_dir(site.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("partial") || name.contains("copying")).collect()
}

fn backup(site: &Site, more: &[&str]) -> Ended {
    let path = site.path("copy.db");
    let path = path.to_str().unwrap().to_owned();
    site.run(&[&["backup", &path], more].concat())
}

#[test]
fn a_backup_under_load_holds_every_run_that_had_ended_and_a_daemon_starts_on_it() {
    let site = site();
    let daemon = large(&site);
    for _ in 0..2 {
        daemon.wait_for_job("often", "run succeeded");
    }
    let before = site.json(&["runs", "--status", "succeeded", "-n", "1000"]);
    let before: Vec<String> =
        before.as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap().into()).collect();
    assert!(before.len() >= 2);
    let done = backup(&site, &["--reason", "before the upgrade"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("copy.db: ") && done.stdout.ends_with(" bytes\n"), "{}", done.stdout);
    daemon.wait_for_job("often", "run succeeded");

    let path = site.path("copy.db");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(left_behind(&site), [""; 0]);
    let copy = reading(&path);
    assert_eq!(text(&copy, "PRAGMA quick_check"), "ok");
    assert_eq!(text(&copy, "PRAGMA journal_mode"), "delete", "one plain file, without a log");
    for run in &before {
        let found = text(&copy, &format!("SELECT status FROM run WHERE id = '{run}'"));
        assert_eq!(found, "succeeded", "{run}");
    }
    let deed = text(&copy, "SELECT detail FROM audit WHERE action = 'backup'");
    assert!(deed.contains("before the upgrade"), "{deed}");
    drop(copy);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));

    let restored = self::site();
    fs::copy(&path, restored.path("state.db")).unwrap();
    let daemon = restored.daemon(&["run", "--local"]);
    let found = restored.json(&["runs", "--status", "succeeded", "-n", "1000"]);
    let found: Vec<&str> = found.as_array().unwrap().iter().map(|run| run["run"].as_str().unwrap()).collect();
    assert!(before.iter().all(|run| found.contains(&run.as_str())), "{before:?} in {found:?}");
    daemon.wait_for_job("often", "run succeeded");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_file_that_is_there_is_replaced_only_if_told() {
    let site = site();
    let daemon = site.daemon(&["run", "--local"]);
    site.write("copy.db", "precious");
    let refused = backup(&site, &[]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("copy.db: is there already; --force replaces it"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(site.path("copy.db")).unwrap(), "precious");
    assert_eq!(backup(&site, &["--force"]).code, Some(0));
    assert_eq!(text(&reading(&site.path("copy.db")), "PRAGMA quick_check"), "ok");
    let device = site.run(&["backup", "/dev/null", "--force"]);
    assert!(device.stderr.contains("/dev/null: what stands there is no file"), "{}", device.stderr);
    let nowhere = site.run(&["backup", site.path("no/copy.db").to_str().unwrap()]);
    assert_eq!(nowhere.code, Some(1));
    assert!(
        nowhere.stderr.contains("failed to write") && nowhere.stderr.contains("No such file"),
        "{}",
        nowhere.stderr
    );
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_backup_goes_to_standard_output_and_a_full_disk_is_told() {
    let site = site();
    let daemon = large(&site);
    let done = site.command(&["backup", "-"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(done.stdout.len() > LARGE && done.stdout.starts_with(b"SQLite format 3\0"), "{}", done.stdout.len());
    fs::write(site.path("piped.db"), &done.stdout).unwrap();
    assert_eq!(text(&reading(&site.path("piped.db")), "PRAGMA quick_check"), "ok");

    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let failed = site.command(&["backup", "-"]).stdin(Stdio::null()).stdout(full).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let told = String::from_utf8(failed.stderr).unwrap();
    assert!(told.contains("failed to write the output: No space left on device"), "{told}");

    // In blocks of 512 bytes or a KiB: less than the state in either case.
    let limited = site.command(&["backup", site.path("copy.db").to_str().unwrap()]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -f 2000; exec \"$@\"", "sh"]).arg(limited.get_program()).args(limited.get_args());
    let failed = Ended::of(&mut shell);
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(failed.stderr.contains("copy.db: File too large"), "{}", failed.stderr);
    assert_eq!(left_behind(&site), [""; 0]);
    assert!(!site.path("copy.db").exists());
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_reader_that_stands_still_or_goes_away_holds_up_nothing() {
    let site = site();
    let daemon = large(&site);
    let ask = || {
        let mut stream = UnixStream::connect(site.path("control.sock")).unwrap();
        let request = "POST /api/v1/backup HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = [0; 15];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        stream
    };
    let still = ask();
    daemon.wait_for_job("often", "run succeeded");
    drop(ask());
    let again = backup(&site, &[]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(left_behind(&site), [""; 0], "a copy that is being sent has no name");
    drop(still);
    daemon.wait_for_job("often", "run succeeded");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

/// Something that answers on a socket, as many requests as there are, always the same.
fn impostor(at: &Path, answer: Vec<u8>) {
    let listener = UnixListener::bind(at).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            // The first connection only tries whether somebody answers.
            if stream.read(&mut request).unwrap() > 0 {
                stream.write_all(&answer).unwrap();
            }
        }
    });
}

#[test]
fn bytes_that_are_cut_off_or_not_those_of_the_backup_leave_nothing_behind() {
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let answers = [
        (format!("Content-Length: 1000\r\ntenacron-sha256: {hash}\r\n\r\nonly this"), "the backup was cut off: "),
        (
            format!("Content-Length: 9\r\ntenacron-sha256: {hash}\r\n\r\nonly this"),
            "are not those of the backup: SHA-256 ",
        ),
        ("Content-Length: 9\r\n\r\nonly this".to_owned(), "not none"),
    ];
    for (answer, told) in answers {
        let site = site();
        impostor(&site.path("control.sock"), format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{answer}").into());
        let failed = backup(&site, &[]);
        assert_eq!(failed.code, Some(1), "{}", failed.stderr);
        assert!(failed.stderr.contains(told), "{}", failed.stderr);
        assert!(!site.path("copy.db").exists());
        assert_eq!(left_behind(&site), [""; 0]);
    }
}

#[test]
fn a_daemon_that_is_killed_while_it_sends_leaves_no_backup_and_the_next_start_sweeps() {
    let site = site();
    let daemon = large(&site);
    let mut stream = UnixStream::connect(site.path("control.sock")).unwrap();
    stream.write_all(b"POST /api/v1/backup HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut head = [0; 1024];
    assert!(stream.read(&mut head).unwrap() > 0);
    assert_eq!(daemon.end(Signal::KILL).code(), None);
    let mut rest = Vec::new();
    // It is cut off, in one way or the other.
    drop(stream.read_to_end(&mut rest));
    assert!(rest.len() < LARGE, "{}", rest.len());
    // As if it had died while the copy was made.
    site.write("state.db.copying", "half a copy");
    let daemon = site.daemon(&["run", "--local"]);
    assert_eq!(left_behind(&site), [""; 0]);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn without_a_daemon_the_state_is_copied_as_it_lies() {
    let site = site();
    let daemon = site.daemon(&["run", "--local"]);
    daemon.wait_for_job("often", "run succeeded");
    let runs = site.json(&["runs", "--status", "succeeded", "-n", "1000"]);
    // What was saved last stands in the log alone.
    assert_eq!(daemon.end(Signal::KILL).code(), None);
    assert!(fs::metadata(site.path("state.db-wal")).unwrap().len() > 0);
    let log = fs::read(site.path("state.db-wal")).unwrap();
    let state = fs::read(site.path("state.db")).unwrap();
    let done = backup(&site, &[]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let copy = reading(&site.path("copy.db"));
    assert_eq!(text(&copy, "PRAGMA quick_check"), "ok");
    for run in runs.as_array().unwrap() {
        let id = run["run"].as_str().unwrap();
        assert_eq!(text(&copy, &format!("SELECT status FROM run WHERE id = '{id}'")), "succeeded");
    }
    assert_eq!(fs::read(site.path("state.db")).unwrap(), state, "the state is as it was");
    assert_eq!(fs::read(site.path("state.db-wal")).unwrap(), log, "and so is its log");
    let daemon = site.daemon(&["run", "--local"]);
    daemon.wait_for_job("often", "run succeeded");

    // Somebody holds it and does not answer.
    fs::remove_file(site.path("control.sock")).unwrap();
    let held = backup(&site, &["--force"]);
    assert_eq!(held.code, Some(75), "{}", held.stderr);
    assert!(held.stderr.contains("state.db is in use by pid "), "{}", held.stderr);
    assert!(held.stderr.contains(", and no daemon answers; "), "{}", held.stderr);
    assert_eq!(left_behind(&site), [""; 0]);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn where_there_is_nothing_to_copy_that_is_told() {
    let site = site();
    let none = backup(&site, &[]);
    assert_eq!(none.code, Some(4));
    assert!(none.stderr.contains("and there is no state to copy. Looked for:"), "{}", none.stderr);
    assert!(!site.path("state.db").exists(), "none is made");
    let piped = site.run(&["backup", "-"]);
    assert_eq!(piped.code, Some(4), "{}", piped.stderr);

    Connection::open(site.path("state.db")).unwrap().execute_batch("CREATE TABLE books (title TEXT)").unwrap();
    let foreign = backup(&site, &[]);
    assert_eq!(foreign.code, Some(65));
    assert!(foreign.stderr.contains("an SQLite database of another program"), "{}", foreign.stderr);
    site.write(
        "state.db",
        "a diary, and quite a long one at that; the header of a database is a hundred bytes, says the manual",
    );
    let foreign = backup(&site, &[]);
    assert_eq!(foreign.code, Some(65), "{}", foreign.stderr);
    assert!(!site.path("copy.db").exists());
    assert_eq!(left_behind(&site), [""; 0]);
}

#[test]
fn whoever_holds_a_full_token_may_fetch_one_and_a_reader_may_not() {
    let http = "[http]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"full\"\nread_token_file = \"readers\"\n";
    let site = Site::new(&format!("{SETTINGS}\n{http}{OFTEN}"));
    site.write("full", "a-full-token-of-this-test");
    site.write("readers", "a-read-token-of-this-test");
    let (daemon, address) = site.daemon_on_http(&["run", "--local"]);
    let ask = |token: &str| {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        let head = format!("POST /api/v1/backup HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n");
        let rest = "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
        stream.write_all(format!("{head}{rest}").as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let body = answer.split_off(end + 4);
        (String::from_utf8(answer).unwrap(), body)
    };
    assert!(ask("a-read-token-of-this-test").0.starts_with("HTTP/1.1 403 "));
    let (head, bytes) = ask("a-full-token-of-this-test");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("tenacron-sha256: "), "{head}");
    fs::write(site.path("copy.db"), bytes).unwrap();
    let copy = reading(&site.path("copy.db"));
    assert_eq!(text(&copy, "PRAGMA quick_check"), "ok");
    let by = text(&copy, "SELECT actor FROM audit WHERE action = 'backup'");
    assert_eq!(by, "HTTP from 127.0.0.1 with a full token");
    // The command line does not fetch files over a URL.
    let url = format!("http://{address}");
    let remote = site.run(&["backup", site.path("far.db").to_str().unwrap(), "--url", &url]);
    assert_eq!(remote.code, Some(2), "{}", remote.stderr);
    assert!(remote.stderr.contains("this goes over the daemon's control socket"), "{}", remote.stderr);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn whoever_reaches_the_port_gets_no_backup() {
    let site = Site::new(&format!("{SETTINGS}\n[http]\nlisten = \"127.0.0.1:0\"\n{OFTEN}"));
    let (daemon, address) = site.daemon_on_http(&["run", "--local"]);
    let (status, body) = post(&address, "/api/v1/backup", "X-No: thing", "");
    assert_eq!((status, &body["error"]), (403, &json!("a backup is for the control socket, or for a full token")));
    let audit: Value = super::commands::get(&address, &address, "/api/v1/audit").1;
    assert_eq!(audit, json!([]));
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}
