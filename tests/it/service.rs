//! What a service manager sees of a daemon: when it is ready, how it is, that it lives, and how it ends. The other side of
//! `$NOTIFY_SOCKET` is a socket of the test; `tests/systemd/boot.sh` does the same with systemd itself.

use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::commands::get_text;
use super::harness::{Process, SETTINGS, Site, WITHIN, aws, now};
use super::wire::Place;

/// The service manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn of(site: &Site) -> Manager {
        let path = site.path("notify").to_str().expect("UTF-8").to_owned();
        Manager { socket: UnixDatagram::bind(&path).expect("bound"), path }
    }

    fn environment(&self) -> [(&str, &str); 2] {
        [("NOTIFY_SOCKET", &self.path), ("WATCHDOG_USEC", "4000000")]
    }

    /// The next thing that is told.
    fn next(&self) -> String {
        self.socket.set_read_timeout(Some(WITHIN)).expect("a limit");
        let mut told = [0; 4096];
        let length = self.socket.recv(&mut told).expect("waited in vain for a word");
        String::from_utf8_lossy(&told[..length]).trim_end().to_owned()
    }

    /// The first thing from now on that begins so.
    fn wait_for(&self, beginning: &str) -> String {
        let (until, mut seen) = (now() + WITHIN, Vec::new());
        while now() < until {
            let told = self.next();
            if told.starts_with(beginning) {
                return told;
            }
            seen.push(told);
        }
        panic!("waited in vain for {beginning}; told were {seen:?}");
    }

    /// The first status from now on that holds this text.
    fn wait_for_status(&self, text: &str) -> String {
        let until = now() + WITHIN;
        while now() < until {
            let status = self.wait_for("STATUS=");
            if status.contains(text) {
                return status;
            }
        }
        panic!("waited in vain for a status with {text}");
    }
}

/// A job of every second, and one on demand whose task says `begun RUN` and waits for the gate.
fn site(settings: &str) -> Site {
    let site = Site::new("");
    let gate = site.gate();
    site.write(
        "tenacron.toml",
        format!(
            r#"{SETTINGS}
{settings}
[jobs.tick]
schedule = "* * * * * *"
task_definition = "tick"
[local.task_definitions.tick]
containers = [{{ name = "app", command = ["true"] }}]
[jobs.slow]
schedule = "0 3 1 1 *"
task_definition = "slow"
overlap = "allow"
[[jobs.slow.container]]
name = "app"
[local.task_definitions.slow]
containers = [{{ name = "app", command = ["sh", "-c", "echo begun $TENACRON_RUN_ID; cat {gate}"] }}]
"#,
            gate = gate.display()
        ),
    );
    site
}

fn triggered(site: &Site) -> String {
    site.json(&["trigger", "slow"])["run"].as_str().expect("a run").to_owned()
}

/// Waits until the task of a run has begun.
fn await_task(process: &Process, run: &str) {
    process.wait_for("the task to begin", |line| line["line"] == format!("begun {run}"));
}

fn says(line: &Value, message: &str) -> bool {
    line["message"].as_str().is_some_and(|text| text.starts_with(message))
}

/// The seconds between the instants of a job's rows, newest first.
fn gaps(site: &Site, job: &str) -> Vec<i64> {
    let rows = site.json(&["runs", "--job", job, "-n", "1000"]);
    let at = |row: &Value| {
        let text = row["scheduled_at"].as_str().expect("an instant");
        chrono::DateTime::parse_from_rfc3339(text).expect("an instant").timestamp()
    };
    let mut instants: Vec<i64> = rows.as_array().expect("a list").iter().map(at).collect();
    instants.sort_unstable();
    instants.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn a_service_manager_is_told_of_readiness_life_reloads_and_the_stop() {
    let site = site("[http]\nlisten = \"127.0.0.1:0\"");
    let manager = Manager::of(&site);
    let (daemon, address) = site.daemon_on_http_with(&manager.environment(), &["run", "--local"]);
    assert_eq!(manager.next(), "STATUS=starting");
    assert_eq!(manager.next(), "READY=1");
    let health: Value = serde_json::from_str(&get_text(&address, &address, "/healthz")).expect("JSON");
    assert!(health["turned_at"].is_string(), "it has turned: {health}");
    assert_eq!(health["next_firing"]["job"], "tick");
    manager.wait_for_status("STATUS=next firing: tick at 20");
    manager.wait_for("WATCHDOG=1");
    manager.wait_for("WATCHDOG=1");

    daemon.signal(Signal::HUP);
    let reloading = manager.wait_for("RELOADING=1");
    let since = reloading.lines().nth(1).and_then(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(since.is_some_and(|text| text.parse::<u64>().is_ok()), "{reloading}");
    manager.wait_for("READY=1");
    site.write("jobs.d/broken.toml", "schedule = 5");
    assert_eq!(site.run(&["reload"]).code, Some(78));
    manager.wait_for("RELOADING=1");
    manager.wait_for("READY=1");
    manager.wait_for_status("the newest configuration was refused, and the one before goes on");

    daemon.signal(Signal::TERM);
    manager.wait_for("STOPPING=1");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_stop_does_not_wait_for_calls_and_the_next_start_goes_on_with_them() {
    let site = site("");
    let text = std::fs::read_to_string(site.path("tenacron.toml")).expect("it is there");
    // The task begins at once, and the answer comes far later than a stop may take.
    let text = text.replace("* * * * * *", "0 3 1 1 *") + "outcomes = [{ slow_answer = \"14s\" }]\n";
    site.write("tenacron.toml", text);
    let (endpoint, url) = site.endpoint();
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    let run = triggered(&site);
    await_task(&endpoint, &run);
    daemon.signal(Signal::TERM);
    daemon.wait_for("the stop", |line| says(line, "stopping"));
    let (lines, status) = daemon.last_words();
    assert_eq!(status.code(), Some(0));
    let waited = lines.iter().find(|line| says(line, "task launched") || says(line, "launch failed"));
    assert!(waited.is_none(), "the call was waited for: {waited:?}");
    assert!(lines.iter().any(|line| says(line, "daemon stopped")), "{lines:?}");

    let daemon = site.daemon_with(&aws(&url), &["run"]);
    daemon.wait_for("the same task", |line| says(line, "task launched") && line["run"] == *run);
    site.open_gate();
    daemon.wait_for("its success", |line| says(line, "run succeeded") && line["run"] == *run);
    let attempts = site.json(&["show", &run])["attempt_list"].clone();
    assert_eq!(attempts.as_array().map(Vec::len), Some(1), "{attempts}");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_drain_waits_for_what_is_in_flight_begins_nothing_and_loses_no_firing() {
    let site = site("");
    let manager = Manager::of(&site);
    let daemon = site.daemon_with(&manager.environment(), &["run", "--local", "--drain"]);
    let (stays, goes) = (triggered(&site), triggered(&site));
    for run in [&stays, &goes] {
        await_task(&daemon, run);
    }
    daemon.signal(Signal::TERM);
    manager.wait_for("STOPPING=1");
    // A tick may be in flight as well.
    manager.wait_for_status("draining, begins nothing new: waits for 2 runs in flight");

    let jobs = site.run(&["jobs"]);
    assert!(jobs.stderr.contains("the daemon is draining: it waits for 2 runs in flight"), "{}", jobs.stderr);
    let declined = site.run(&["trigger", "slow"]);
    assert_eq!(declined.code, Some(1));
    assert!(declined.stderr.contains("the daemon is draining"), "{}", declined.stderr);
    assert_eq!(site.run(&["pause", "--all"]).code, Some(1));
    // No configuration is taken any more, and no file has a mistake.
    let declined = site.run(&["reload"]);
    assert_eq!(declined.code, Some(1), "{}", declined.stderr);
    assert!(declined.stderr.contains("the daemon is draining"), "{}", declined.stderr);
    daemon.signal(Signal::HUP);
    let declined = daemon.wait_for("the answer to SIGHUP", |line| {
        says(line, "configuration declined; the next start reads it") && line["by"] == "SIGHUP"
    });
    assert_eq!(declined["level"], "WARN", "{declined}");
    let health = Place::Socket(site.path("control.sock")).get("/healthz", &[]).json();
    assert_eq!((&health["draining"], &health["reload"]), (&json!(2), &Value::Null));
    assert_eq!(site.run(&["cancel", &goes]).code, Some(0));
    daemon.wait_for("the record of it", |line| says(line, "command carried out"));
    let status = manager.wait_for_status("waits for 1 run in flight");
    assert!(!status.contains("refused"), "{status}");
    site.open_gate();
    let (lines, status) = daemon.last_words();
    assert_eq!(status.code(), Some(0));
    assert!(lines.iter().any(|line| says(line, "run succeeded") && line["run"] == *stays), "{lines:?}");
    assert!(lines.iter().any(|line| says(line, "daemon stopped")), "{lines:?}");
    let begun = lines.iter().find(|line| says(line, "run recorded") || says(line, "launch recorded"));
    assert!(begun.is_none(), "{begun:?}");
    assert!(!lines.iter().any(|line| says(line, "configuration refused; the one before goes on")), "{lines:?}");

    let daemon = site.daemon(&["run", "--local"]);
    daemon.wait_for_job("tick", "run succeeded");
    let gaps = gaps(&site, "tick");
    assert!(gaps.iter().all(|seconds| *seconds == 1), "an instant has no row: {gaps:?}");
    assert_eq!(site.json(&["show", &goes])["status"], "cancelled");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_second_signal_ends_a_drain_and_the_next_start_goes_on() {
    let site = site("");
    let (endpoint, url) = site.endpoint();
    let manager = Manager::of(&site);
    let environment = [aws(&url).as_slice(), manager.environment().as_slice()].concat();
    let daemon = site.daemon_with(&environment, &["run", "--drain"]);
    let run = triggered(&site);
    await_task(&endpoint, &run);
    daemon.signal(Signal::TERM);
    manager.wait_for_status("draining");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    site.open_gate();
    daemon.wait_for("its success", |line| says(line, "run succeeded") && line["run"] == *run);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_service_manager_that_does_not_listen_holds_nothing_up() {
    let site = site("");
    let manager = Manager::of(&site);
    let daemon = site.daemon_with(&manager.environment(), &["run", "--local"]);
    // Nobody reads: the socket's queue fills with a status each second.
    for _ in 0..15 {
        daemon.wait_for_job("tick", "run succeeded");
    }
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}
