//! One process of a task: started in a group of its own, signalled as a group, reaped once.
//!
//! A container's processes end with its first one, so the rest of the group is killed when the leader has ended. A process that has
//! left the group (`setsid`) survives that; only a real container could hold it.
//!
//! The environment is not inherited: the daemon's holds AWS credentials and other secrets that a command has no business with. A few
//! harmless names pass, the definition adds its own, and one marker names the task, so that the next endpoint recognises what a crash
//! of this one left running.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::definitions::Plan;

/// The variable that names the task in each of its processes.
pub(super) const TASK_MARKER: &str = "TENACRON_LOCAL_TASK";
const INHERITED: [&str; 9] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR"];
/// A longer line is forwarded in pieces.
const LINE_BYTES_MAX: u64 = 16 * 1024;
/// How long output may still arrive after the process has ended. More means that something outside the group holds the pipe.
const OUTPUT_DRAIN: Duration = Duration::from_secs(1);

/// A process that runs until `wait` returns. Dropped earlier, it is killed.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Pid,
    output: JoinSet<()>,
    reaped: bool,
}

impl Process {
    pub(super) fn spawn(plan: &Plan, task: &str) -> io::Result<Self> {
        let Some((program, arguments)) = plan.argv.split_first() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "there is no command, and images are not run here",
            ));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment(plan, task, |name| std::env::var(name).ok()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::other("the process has no id"))?;
        let mut output = JoinSet::new();
        if let Some(pipe) = child.stdout.take() {
            output.spawn(forward(pipe, task.to_owned(), plan.name.clone(), "stdout"));
        }
        if let Some(pipe) = child.stderr.take() {
            output.spawn(forward(pipe, task.to_owned(), plan.name.clone(), "stderr"));
        }
        Ok(Self { child, group, output, reaped: false })
    }

    pub(super) fn id(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Waits for the end and gives the exit code, 128 + n for signal n. May be dropped and called again.
    pub(super) async fn wait(&mut self) -> io::Result<i32> {
        let status = self.child.wait().await?;
        // The leader's id is free from here on. A new group cannot have it yet: ids are handed out in a circle.
        self.kill();
        self.reaped = true;
        let drained = tokio::time::timeout(OUTPUT_DRAIN, async { while self.output.join_next().await.is_some() {} });
        if drained.await.is_err() {
            self.output.abort_all();
        }
        Ok(exit_code(status))
    }

    fn signal(&self, signal: Signal) {
        if !self.reaped {
            // The only failure is that the group is gone, which is what a signal is for.
            let _ = kill_process_group(self.group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The environment of a process, where `host` looks a variable of this machine up.
fn environment(plan: &Plan, task: &str, host: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let inherited = INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), host(name)?)));
    let mut environment: BTreeMap<String, String> = inherited.collect();
    environment.extend(plan.environment.clone());
    environment.insert(TASK_MARKER.to_owned(), task.to_owned());
    environment
}

fn exit_code(status: ExitStatus) -> i32 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code,
        // What a shell and a container runtime report.
        (None, signal) => signal.unwrap_or(0).saturating_add(128),
    }
}

/// Hands each line of a container's output to the log.
async fn forward(pipe: impl AsyncRead + Unpin, task: String, container: String, stream: &'static str) {
    let log = |line: &str| {
        tracing::info!(target: "local", task, container, stream, line, "container wrote a line");
    };
    each_line(pipe, log).await;
}

async fn each_line(pipe: impl AsyncRead + Unpin, mut take: impl FnMut(&str)) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await;
        match read {
            Ok(0) | Err(_) => return,
            Ok(_) => take(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::orphans::Recorded;
    use super::*;

    fn plan(argv: &[&str]) -> Plan {
        Plan {
            name: "app".to_owned(),
            essential: true,
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            environment: BTreeMap::from([("OWN".to_owned(), "mine".to_owned())]),
            stop_timeout: Duration::from_secs(1),
        }
    }

    async fn run(script: &str) -> i32 {
        let mut process = Process::spawn(&plan(&["sh", "-c", script]), "0af3").unwrap();
        process.wait().await.unwrap()
    }

    #[tokio::test]
    async fn exit_codes_and_signals_are_reported_as_a_shell_does() {
        assert_eq!(run("exit 0").await, 0);
        assert_eq!(run("exit 3").await, 3);
        assert_eq!(run("kill -TERM $$").await, 143);
        assert_eq!(run("kill -KILL $$").await, 137);
    }

    #[tokio::test]
    async fn the_own_environment_and_the_mark_are_passed() {
        assert_eq!(run("test \"$OWN\" = mine").await, 0);
        assert_eq!(run("test \"$TENACRON_LOCAL_TASK\" = 0af3").await, 0);
        assert_eq!(run("test -n \"$PATH\"").await, 0);
    }

    #[test]
    fn of_the_host_only_a_few_names_are_passed() {
        // A host that has every variable that anyone asks for, secrets included.
        let host = |name: &str| Some(format!("the host's {name}"));
        let environment = environment(&plan(&["true"]), "0af3", host);
        let names: Vec<&str> = environment.keys().map(String::as_str).collect();
        let mut expected = INHERITED.to_vec();
        expected.extend(["OWN", TASK_MARKER]);
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert!(!names.iter().any(|name| name.starts_with("AWS_")));
    }

    #[tokio::test]
    async fn the_rest_of_the_group_ends_with_its_leader() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 60 & echo $! > {}", file.display());
        assert_eq!(run(&script).await, 0);
        let left: i32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        for _ in 0..3000 {
            if Recorded::of(left).is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the child of the leader lives on");
    }

    #[tokio::test]
    async fn sigterm_reaches_the_whole_group() {
        let mut process = Process::spawn(&plan(&["sleep", "60"]), "0af3").unwrap();
        process.terminate();
        assert_eq!(process.wait().await.unwrap(), 143);
    }

    #[tokio::test]
    async fn output_is_cut_at_line_ends_and_at_the_limit() {
        let long = "x".repeat(usize::try_from(LINE_BYTES_MAX).unwrap());
        let text = format!("one\r\n\n{long}y\nrest");
        let mut lines = Vec::new();
        each_line(text.as_bytes(), |line| lines.push(line.to_owned())).await;
        assert_eq!(lines, ["one", "", &long, "y", "rest"]);
    }

    #[test]
    fn a_command_that_does_not_exist_is_an_error() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            assert!(Process::spawn(&plan(&["/no/such/program"]), "0af3").is_err());
            assert!(Process::spawn(&plan(&[]), "0af3").is_err());
        });
    }
}
