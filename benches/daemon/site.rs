//! The real daemon as a process of its own, on a configuration that is made for it and a state on disk.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

/// A pause between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(20);
/// How long anything is waited for before the bench gives up.
const WITHIN: Duration = Duration::from_secs(900);
/// Jobs in one file of `jobs.d`.
const JOBS_OF_A_FILE: usize = 100;
/// `/proc` counts CPU time in hundredths of a second.
const TICKS_A_SECOND: f64 = 100.0;

/// What a daemon may launch.
#[derive(Clone, Copy)]
pub struct Quota {
    pub rate: u32,
    pub burst: u32,
}

impl Quota {
    /// As much as the configuration allows: a herd of ten thousand is one burst.
    pub const OFF: Quota = Quota { rate: 1_000, burst: 10_000 };
    /// Fargate's own.
    pub const FARGATE: Quota = Quota { rate: 20, burst: 20 };
}

/// A configuration and a state in a folder of their own.
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// A site that launches at `endpoint`, with a job for each table of keys.
    pub fn new(endpoint: &str, quota: Quota, jobs: impl IntoIterator<Item = String>) -> Site {
        // Beside the build, for a temporary folder is in memory on many machines, and the state must meet a disk.
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let Quota { rate, burst } = quota;
        let settings = format!(
            "instance = \"bench\"\n[state]\nurl = \"sqlite://state.db\"\n[control]\nsocket = \"control.sock\"\n\
             [ecs]\nregion = \"eu-central-1\"\nendpoint = \"http://{endpoint}\"\nlaunch_rate = {rate}\nlaunch_burst = {burst}\n\
             [defaults]\ncluster = \"batch\"\ntask_definition = \"bench:1\"\nlaunch_type = \"FARGATE\"\ntimeout = \"1d\"\n\
             overlap = \"allow\"\nnetwork = {{ subnets = [\"subnet-1\"], security_groups = [\"sg-1\"] }}\n\
             container = [{{ name = \"app\", command = [\"run\"], environment = {{ STAGE = \"prod\" }} }}]\n"
        );
        fs::write(folder.path().join("tenacron.toml"), settings).unwrap();
        let jobs_folder = folder.path().join("jobs.d");
        fs::create_dir(&jobs_folder).unwrap();
        let jobs: Vec<String> = jobs.into_iter().collect();
        for (file, part) in jobs.chunks(JOBS_OF_A_FILE).enumerate() {
            let mut text = String::new();
            for (nth, job) in part.iter().enumerate() {
                let nth = file * JOBS_OF_A_FILE + nth;
                writeln!(text, "[jobs.job-{nth}]\n{job}").unwrap();
            }
            fs::write(jobs_folder.join(format!("{file:04}.toml")), text).unwrap();
        }
        Site { folder }
    }

    /// Starts the daemon and waits until it says that it has.
    pub fn daemon(&self) -> Daemon {
        let log = self.folder.path().join("log");
        let daemon = Daemon(
            Command::new(env!("CARGO_BIN_EXE_tenacron"))
                .arg("--config")
                .arg(self.folder.path().join("tenacron.toml"))
                .arg("run")
                .env_clear()
                .envs([("AWS_ACCESS_KEY_ID", "bench"), ("AWS_SECRET_ACCESS_KEY", "bench")])
                .stdin(Stdio::null())
                .stderr(fs::File::create(&log).unwrap())
                .spawn()
                .unwrap(),
        );
        wait_until("the daemon has started", || says(&log, "daemon started"));
        daemon
    }

    /// How many runs are recorded in a status.
    pub fn count(&self, status: &str) -> usize {
        let rows = "SELECT COUNT(*) FROM run WHERE status = ?1";
        self.state().query_row(rows, [status], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
    }

    /// Waits until so many runs are recorded in a status, and all that are recorded are.
    pub fn wait_for(&self, status: &str, runs: usize) {
        wait_until(&format!("{runs} runs are {status}"), || self.count(status) == runs);
        let all: i64 = self.state().query_row("SELECT COUNT(*) FROM run", [], |row| row.get(0)).unwrap();
        assert_eq!(usize::try_from(all).unwrap(), runs, "every firing is one run, and none is missing");
    }

    /// Something that the site holds.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn state(&self) -> Connection {
        let state = Connection::open_with_flags(self.path("state.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        state.busy_timeout(Duration::from_secs(10)).unwrap();
        state
    }
}

/// Waits for something that another process does.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < WITHIN, "waited in vain until {what}");
        std::thread::sleep(LOOK);
    }
}

fn says(log: &Path, line: &str) -> bool {
    let text = fs::read_to_string(log).unwrap();
    assert!(!text.contains("tenacron: "), "{text}");
    text.contains(line)
}

/// A daemon's process; killed when it is no longer wanted, as by `kill -9`.
pub struct Daemon(Child);

impl Daemon {
    /// User and system time that it has spent, in seconds.
    pub fn cpu(&self) -> f64 {
        cpu(&self.0.id().to_string())
    }

    /// A line of its `/proc` status, in MB.
    pub fn megabytes(&self, line: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':')).unwrap();
        found.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0 / 1e6
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// User and system time of a process, in seconds.
pub fn cpu(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name in parentheses may hold spaces; `utime` and `stime` are the 14th and 15th fields.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS_A_SECOND
}
