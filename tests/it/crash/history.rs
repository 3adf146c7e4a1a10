//! One history: a daemon that dies and comes back, while the endpoint beside it lives on.
//!
//! Nothing sleeps. A moment to die is a line of the daemon or of a task, a number of lines, or, so that deaths fall between
//! lines too, the end of a wait for a line that need not come. The time that a daemon stays away, or stopped, is such a wait as
//! well, on the endpoint, whose tasks go on.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Heard, Process, Site, aws, now};

use super::chance::Chance;
use super::jobs::{JOBS, Jobs, Script};
use super::record::{JOURNAL, Record, instant};
use super::told::Told;

/// Launches of each job that a history has a script for, for each kill.
const SCRIPTED_FOR_A_KILL: usize = 15;
/// How long a line is waited for that need not come.
const MOMENT_WITHIN: Duration = Duration::from_millis(1500);
/// Longer than the daemon waits for an answer of ECS: a stop of this length finds answers that came, and are too late.
const BEYOND_A_CALL: Duration = Duration::from_secs(17);
/// For what must come.
const WITHIN: Duration = Duration::from_secs(120);
/// After so many deaths the journal is read, long before anything in it can be forgotten.
const READ_EVERY: usize = 50;

/// After which lines the daemon dies, beside any others.
const TELLING: [&str; 12] = [
    "launch recorded",
    "launch recorded",
    "task launched",
    "task launched",
    "task started",
    "task succeeded",
    "launch failed",
    "retry scheduled",
    "launch looked up",
    "task stop requested",
    "run resumed",
    "state loaded",
];

/// Where the endpoint lives.
pub(super) enum World {
    /// A process of its own, which outlives every daemon.
    Beside { endpoint: Process, url: String },
    /// Inside the daemon, and dies with it.
    Inside,
}

#[derive(Default)]
pub(super) struct Deaths {
    pub(super) kills: usize,
    pub(super) terms: usize,
    pub(super) stops: usize,
}

pub(super) struct History {
    pub(super) site: Site,
    jobs: Jobs,
    world: World,
    chance: Chance,
    pub(super) told: Told,
    pub(super) record: Record,
    pub(super) deaths: Deaths,
    log: File,
}

/// What the calm daemon shows at the end.
pub(super) struct Shown {
    /// Every row of its history.
    pub(super) rows: Vec<Value>,
    /// The whole story of each run that was launched.
    pub(super) stories: Vec<Value>,
}

impl History {
    pub(super) fn new(seed: u64, kills: usize, is_inside: bool) -> History {
        let mut chance = Chance::new(seed);
        let site = Site::new("");
        std::fs::create_dir(site.path("locks")).expect("a folder");
        let jobs = Jobs::new(&mut chance, kills * SCRIPTED_FOR_A_KILL);
        jobs.write_firing(&site, Script::Played);
        let world = if is_inside {
            World::Inside
        } else {
            let (endpoint, url) = site.endpoint_with_journal(JOURNAL);
            jobs.write_firing(&site, Script::LeftOut);
            World::Beside { endpoint, url }
        };
        let log = File::create(site.path("lines.jsonl")).expect("a file");
        let (told, record, deaths) = (Told::default(), Record::default(), Deaths::default());
        History { site, jobs, world, chance, told, record, deaths, log }
    }

    /// Lets daemons live and die until so many have been killed.
    pub(super) fn play(&mut self, kills: usize) {
        // The first one lives until every job has begun: from then on no instant may be lost.
        let daemon = self.start();
        self.until("every job to begin", &daemon, |told, _| told.instants.len() == JOBS.len());
        self.kill(daemon);
        while self.deaths.kills < kills {
            self.stay_away();
            self.live_and_die();
            if self.deaths.kills.is_multiple_of(READ_EVERY) {
                self.record.read(&self.site.path(JOURNAL));
            }
        }
    }

    /// A last life in which each job fires once more, then a calm one in which all that was begun ends.
    pub(super) fn settle(&mut self) -> Shown {
        let daemon = self.start();
        let line = self.until("a last start", &daemon, |_, line| line["message"] == "daemon started");
        let started_at: DateTime<Utc> = instant(&line["timestamp"]);
        let fired = |told: &Told, _: &Value| told.instants.values().all(|(_, newest)| *newest > started_at);
        self.until("every job to fire once more", &daemon, fired);
        self.terminate(daemon);
        let is_inside = matches!(self.world, World::Inside);
        self.jobs.write_calm(&self.site, if is_inside { Script::Played } else { Script::LeftOut });
        let daemon = self.start();
        self.until("a calm start", &daemon, |_, line| line["message"] == "daemon started");
        // A run that still lives writes another line when it ends.
        while self.somebody_lives() {
            self.until("the last runs to end", &daemon, |_, line| line["run"].is_string());
        }
        let shown = self.show();
        self.terminate(daemon);
        self.record.read(&self.site.path(JOURNAL));
        shown
    }

    fn start(&mut self) -> Process {
        let mut command = self.site.command(&["run"]);
        match &self.world {
            World::Beside { url, .. } => command.envs(aws(url)),
            World::Inside => command.arg("--local"),
        };
        Process::start(&mut command)
    }

    fn live_and_die(&mut self) {
        let daemon = self.start();
        if self.chance.percent(50) {
            let started = self.listen(&daemon, WITHIN, 1, |line| line["message"] == "daemon started");
            assert!(started, "the daemon ended, or never started; see the lines in {}", self.site.path("").display());
            self.list();
        }
        self.await_a_moment(&daemon);
        if self.chance.percent(20) {
            self.deaths.stops += 1;
            daemon.signal(Signal::STOP);
            let is_long = self.chance.percent(3);
            let while_stopped = if is_long { BEYOND_A_CALL } else { self.chance.milliseconds(100, 2500) };
            self.pass(&daemon, while_stopped);
            if self.chance.percent(70) {
                daemon.signal(Signal::CONT);
                self.await_a_moment(&daemon);
            }
            self.kill(daemon);
        } else if self.chance.percent(12) {
            self.terminate(daemon);
        } else {
            self.kill(daemon);
        }
    }

    /// Waits for one of the moments to die, which may also be one at which nothing is written.
    fn await_a_moment(&mut self, daemon: &Process) {
        match self.chance.from(0, 9) {
            0..=3 => {
                let text = *self.chance.pick(&TELLING);
                let nth = self.chance.from(1, 4);
                self.listen(daemon, MOMENT_WITHIN, nth, |line| line["message"] == text);
            }
            4 | 5 => {
                let nth = self.chance.from(1, 60);
                self.listen(daemon, MOMENT_WITHIN, nth, |_| true);
            }
            // A task begins before the daemon can have been told that it was created.
            6 | 7 => {
                let nth = self.chance.from(1, 3);
                self.await_a_task(daemon, nth);
            }
            _ => {
                let within = self.chance.milliseconds(0, 900);
                self.pass(daemon, within);
            }
        }
    }

    /// The time between two lives: none, or as long as some instants take to pass.
    fn stay_away(&mut self) {
        if let World::Beside { endpoint, .. } = &self.world
            && self.chance.percent(40)
        {
            let until = now() + self.chance.milliseconds(10, 3000);
            while matches!(endpoint.hear(until), Heard::Line(_)) {}
        }
    }

    /// Lets time pass, by waiting for a line that does not come.
    fn pass(&mut self, daemon: &Process, within: Duration) {
        self.listen(daemon, within, 1, |_| false);
    }

    fn await_a_task(&mut self, daemon: &Process, nth: u64) {
        let is_begun = |line: &Value| line["line"] == "begun";
        let World::Beside { endpoint, .. } = &self.world else {
            self.listen(daemon, MOMENT_WITHIN, nth, is_begun);
            return;
        };
        // What it said before is no moment any more.
        while matches!(endpoint.hear(now()), Heard::Line(_)) {}
        let (mut left, until) = (nth, now() + MOMENT_WITHIN);
        while left > 0 {
            match endpoint.hear(until) {
                Heard::Line(line) => left -= u64::from(is_begun(&line)),
                Heard::Silence => return,
                Heard::End => panic!("the endpoint ended"),
            }
        }
    }

    /// Hears the daemon until the n-th line that fits, and says whether it came.
    fn listen(&mut self, daemon: &Process, within: Duration, nth: u64, fits: impl Fn(&Value) -> bool) -> bool {
        let (mut left, until) = (nth, now() + within);
        while left > 0 {
            let Some(line) = self.hear(daemon, until) else { return false };
            left -= u64::from(fits(&line));
        }
        true
    }

    /// Hears the daemon until what must come, and gives the line with which it came.
    fn until(&mut self, what: &str, daemon: &Process, fits: impl Fn(&Told, &Value) -> bool) -> Value {
        let until = now() + WITHIN;
        while let Some(line) = self.hear(daemon, until) {
            if fits(&self.told, &line) {
                return line;
            }
        }
        panic!("waited in vain for {what}; see the lines in {}", self.site.path("").display());
    }

    fn hear(&mut self, daemon: &Process, until: Instant) -> Option<Value> {
        let Heard::Line(line) = daemon.hear(until) else { return None };
        self.note(&line);
        Some(line)
    }

    fn note(&mut self, line: &Value) {
        self.told.hear(line);
        writeln!(self.log, "{line}").expect("the log of a history can be written");
    }

    fn kill(&mut self, daemon: Process) {
        self.deaths.kills += 1;
        daemon.signal(Signal::KILL);
        self.bury(daemon, Signal::KILL);
    }

    /// A daemon that has not come to handle signals yet dies of this one, too.
    fn terminate(&mut self, daemon: Process) {
        self.deaths.terms += 1;
        daemon.signal(Signal::TERM);
        self.bury(daemon, Signal::TERM);
    }

    fn bury(&mut self, daemon: Process, signal: Signal) {
        let (lines, status) = daemon.last_words();
        for line in &lines {
            self.note(line);
        }
        let is_clean = status.success() && signal == Signal::TERM;
        if !is_clean && status.signal() != Some(signal.as_raw()) {
            self.told.complaints.push(format!("a daemon ended by itself: {status}; its last lines: {lines:?}"));
        }
        let death = json!({ "message": "the daemon died", "kills": self.deaths.kills, "how": status.to_string() });
        writeln!(self.log, "{death}").expect("the log of a history can be written");
    }

    /// Every run that was named since the last listing must be in the newest rows.
    fn list(&mut self) {
        let listed = self.get("/api/v1/runs?limit=1000");
        let listed: BTreeSet<&str> = list(&listed).iter().filter_map(|row| row["run"].as_str()).collect();
        for run in std::mem::take(&mut self.told.unlisted) {
            if !listed.contains(run.as_str()) && self.try_get(&format!("/api/v1/runs/{run}")).is_none() {
                self.told.complaints.push(format!("{run} was in the log and is not in the history"));
            }
        }
    }

    fn somebody_lives(&self) -> bool {
        let lives = |status| !list(&self.get(&format!("/api/v1/runs?limit=1&status={status}"))).is_empty();
        ["due", "launching", "running", "stopping", "waiting"].into_iter().any(lives)
    }

    fn show(&self) -> Shown {
        let mut rows: Vec<Value> = Vec::new();
        loop {
            let before = rows.last().and_then(|row| row["run"].as_str());
            let before = before.map_or(String::new(), |run| format!("&before={run}"));
            let page = self.get(&format!("/api/v1/runs?limit=1000{before}"));
            if list(&page).is_empty() {
                break;
            }
            rows.extend_from_slice(list(&page));
        }
        let launched = rows.iter().filter(|row| row["status"] != "skipped" && row["status"] != "missed");
        let story = |row: &Value| self.get(&format!("/api/v1/runs/{}", row["run"].as_str().expect("a run")));
        let stories = launched.map(story).collect();
        Shown { rows, stories }
    }

    fn get(&self, path: &str) -> Value {
        self.try_get(path).unwrap_or_else(|| panic!("{path} does not answer"))
    }

    /// GET over the control socket; nothing for an answer other than 200.
    fn try_get(&self, path: &str) -> Option<Value> {
        let mut stream = UnixStream::connect(self.site.path("control.sock")).expect("the daemon listens");
        stream.set_read_timeout(Some(WITHIN)).expect("a time limit");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        head.starts_with("HTTP/1.1 200 ").then(|| serde_json::from_str(body).expect("JSON"))
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}
