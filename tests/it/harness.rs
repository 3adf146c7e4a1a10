//! Drives the real binary: configurations in a folder of their own, processes whose log lines are waited for.
//!
//! Nothing here sleeps. A test waits for a line that a process prints, and every wait has an end.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The longest wait for a line or an end: far longer than anything takes, so that it only ends a test that would hang.
pub(crate) const WITHIN: Duration = Duration::from_secs(120);
/// How long a process that is no longer wanted may take to end its own.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);

/// What most sites begin with: state and socket beside the file, and jobs for the endpoint of another process.
pub(crate) const SETTINGS: &str = r#"
instance = "test"
[state]
url = "sqlite://state.db"
[control]
socket = "control.sock"
[ecs]
poll_interval = "500ms"
[defaults]
cluster = "batch"
launch_type = "FARGATE"
timeout = "2m"
network = { subnets = ["subnet-1"], security_groups = ["sg-1"], assign_public_ip = true }
"#;

/// A configuration in a folder of its own.
pub(crate) struct Site {
    folder: TempDir,
}

impl Site {
    /// A site with this main file.
    pub(crate) fn new(config: &str) -> Site {
        let site = Site { folder: TempDir::new().expect("a folder") };
        site.write("tenacron.toml", config);
        site
    }

    /// A site with a copy of the configuration that is shipped.
    pub(crate) fn shipped() -> Site {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let read = |path: &Path| std::fs::read_to_string(path).expect("shipped files are readable");
        let main = read(&shipped.join("tenacron.toml"));
        // Tests run side by side, and one port is there once.
        let site = Site::new(&main.replace("127.0.0.1:8474", "127.0.0.1:0"));
        for entry in std::fs::read_dir(shipped.join("jobs.d")).expect("shipped jobs") {
            let path = entry.expect("shipped jobs").path();
            let name = path.file_name().and_then(OsStr::to_str).expect("a name");
            site.write(&format!("jobs.d/{name}"), read(&path));
        }
        site
    }

    /// Leaves the folder behind, for whoever wants to see what happened.
    pub(crate) fn keep(&mut self) {
        self.folder.disable_cleanup(true);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, text).expect("written");
    }

    /// A pipe at which a task that reads it waits until [`Site::open_gate`].
    pub(crate) fn gate(&self) -> PathBuf {
        let gate = self.path("gate");
        let made = Command::new("mkfifo").arg(&gate).status().expect("mkfifo runs");
        assert!(made.success());
        gate
    }

    /// Lets the task that waits go on, or waits for one that does.
    pub(crate) fn open_gate(&self) {
        drop(std::fs::OpenOptions::new().write(true).open(self.path("gate")).expect("the task waits"));
    }

    /// `tenacron --config <this site's> …`, with no AWS settings of the machine.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tenacron();
        command.arg("--config").arg(self.path("tenacron.toml")).args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.command(arguments))
    }

    /// The JSON that a command prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        serde_json::from_str(&ended.stdout).expect("JSON")
    }

    /// Starts the daemon and waits until it has.
    pub(crate) fn daemon(&self, arguments: &[&str]) -> Process {
        self.daemon_with(&[], arguments)
    }

    /// The same with variables in its environment.
    pub(crate) fn daemon_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Process {
        self.started(environment, arguments).0
    }

    /// The same for one with `[http] listen`, and the address that it has got.
    pub(crate) fn daemon_on_http(&self, arguments: &[&str]) -> (Process, String) {
        self.daemon_on_http_with(&[], arguments)
    }

    /// The same with variables in its environment.
    pub(crate) fn daemon_on_http_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> (Process, String) {
        let (daemon, line) = self.started(environment, arguments);
        (daemon, line["http"].as_str().expect("an address").to_owned())
    }

    fn started(&self, environment: &[(&str, &str)], arguments: &[&str]) -> (Process, Value) {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        let daemon = Process::start(&mut command);
        let line = daemon.wait_for("the daemon to start", |line| line["message"] == "daemon started");
        (daemon, line)
    }

    /// Starts `tenacron local` with this site's task definitions, and answers with its URL.
    pub(crate) fn endpoint(&self) -> (Process, String) {
        self.endpoint_with(&[], &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn endpoint_in(&self, environment: &[(&str, &str)]) -> (Process, String) {
        self.endpoint_with(environment, &[])
    }

    /// The same with a journal, the record of what it did, in this file of the site.
    pub(crate) fn endpoint_with_journal(&self, name: &str) -> (Process, String) {
        let path = self.path(name);
        self.endpoint_with(&[], &["--journal", path.to_str().expect("UTF-8")])
    }

    fn endpoint_with(&self, environment: &[(&str, &str)], arguments: &[&str]) -> (Process, String) {
        let mut command = self.command(&[&["local", "--listen", "127.0.0.1:0"], arguments].concat());
        command.envs(environment.iter().copied());
        let endpoint = Process::start(&mut command);
        let line = endpoint.wait_for("the endpoint to listen", |line| {
            line["message"].as_str().is_some_and(|text| text.contains("http://"))
        });
        let text = line["message"].as_str().expect("text");
        let url = text.split_whitespace().find(|word| word.starts_with("http://")).expect("a URL").to_owned();
        (endpoint, url)
    }
}

/// What a daemon needs to use an endpoint instead of an AWS account.
pub(crate) fn aws(url: &str) -> [(&str, &str); 5] {
    [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
}

/// The binary, with nothing of the machine's own settings.
pub(crate) fn tenacron() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenacron"));
    for (name, _) in std::env::vars_os() {
        let is_ours = name.to_str().is_some_and(|name| name.starts_with("AWS_") || name.starts_with("TENACRON_"));
        if is_ours {
            command.env_remove(&name);
        }
    }
    command
}

/// A command that has ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(command: &mut Command) -> Ended {
        let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("the binary runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}

/// What a process was heard to do.
pub(crate) enum Heard {
    Line(Value),
    /// Nothing, in the time given.
    Silence,
    /// It ended.
    End,
}

/// A running process whose lines are read. When dropped it is ended, and so are the tasks that it runs.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<Value>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Process {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let (sender, lines) = channel();
        read_lines(child.stdout.take().expect("piped"), sender.clone());
        read_lines(child.stderr.take().expect("piped"), sender);
        Process { child, lines }
    }

    /// The first line from now on that fits. A line that is not JSON is `{"message": line}`.
    pub(crate) fn wait_for(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        // For all lines together: a daemon that fires every second is never silent.
        let until = now() + WITHIN;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(now())) {
                Ok(line) if fits(&line) => return line,
                Ok(line) => seen.push(line.to_string()),
                Err(RecvTimeoutError::Timeout) => panic!("waited in vain for {what}; seen:\n{}", seen.join("\n")),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended before {what}; seen:\n{}", seen.join("\n")),
            }
        }
    }

    /// The first log line with this text about a run of this job.
    pub(crate) fn wait_for_job(&self, job: &str, message: &str) -> Value {
        self.wait_for(&format!("`{message}` of {job}"), |line| line["message"] == message && line["job"] == job)
    }

    /// The first log line with this text about a run of each of these jobs, whichever comes first.
    pub(crate) fn wait_for_jobs<const N: usize>(&self, jobs: [&str; N], message: &str) -> [Value; N] {
        let mut found = [const { Value::Null }; N];
        while found.iter().any(Value::is_null) {
            let line = self.wait_for(&format!("`{message}` of each of {jobs:?}"), |line| line["message"] == message);
            let at = jobs.iter().position(|job| line["job"] == *job);
            if let Some(first) = at.and_then(|at| found.get_mut(at)).filter(|first| first.is_null()) {
                *first = line;
            }
        }
        found
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The next line, if one comes before `until`.
    pub(crate) fn hear(&self, until: Instant) -> Heard {
        match self.lines.recv_timeout(until.saturating_duration_since(now())) {
            Ok(line) => Heard::Line(line),
            Err(RecvTimeoutError::Timeout) => Heard::Silence,
            Err(RecvTimeoutError::Disconnected) => Heard::End,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it can be signalled");
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end(self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.await_end()
    }

    /// Waits for the end and answers with the exit code; none if a signal ended it.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.await_end().code()
    }

    fn await_end(&mut self) -> ExitStatus {
        assert!(self.falls_silent(WITHIN), "waited in vain for its end");
        self.child.wait().expect("it ends")
    }

    /// Waits for the end, and gives the lines that nobody has heard yet as well.
    pub(crate) fn last_words(mut self) -> (Vec<Value>, ExitStatus) {
        let (mut lines, until) = (Vec::new(), now() + WITHIN);
        loop {
            match self.hear(until) {
                Heard::Line(line) => lines.push(line),
                Heard::End => return (lines, self.child.wait().expect("it ends")),
                Heard::Silence => panic!("waited in vain for its end"),
            }
        }
    }

    /// Whether both its pipes close in time, as they do when it ends.
    fn falls_silent(&self, within: Duration) -> bool {
        let until = now() + within;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(now())) {
                Ok(_line) => {}
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(Signal::TERM);
            self.falls_silent(LEAVE_WITHIN);
        }
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[expect(clippy::disallowed_methods, reason = "the patience of a test is real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn read_lines(from: impl Read + Send + 'static, to: Sender<Value>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let parsed = serde_json::from_str(&line).unwrap_or_else(|_| serde_json::json!({ "message": line }));
            if to.send(parsed).is_err() {
                return;
            }
        }
    });
}
