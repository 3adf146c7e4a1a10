//! Ends the processes that a crashed endpoint left behind.
//!
//! An endpoint that is killed cannot stop its tasks. Its successor reports them as lost with their host, so a scheduler will start
//! them again, and by then the old processes must be gone.
//!
//! Two marks find them. The journal holds the id and the start time of each container's first process, and a process id alone would
//! not do, since it may belong to a stranger by now. A process that was started just before its record was written, or whose leader
//! has ended, still carries the task's id in its environment.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

use super::process::TASK_MARKER;

/// How often `/proc` is searched until nothing is found, and the pause between. Killed processes take a moment to disappear, and a
/// process may fork while it is being killed.
const PASSES_MAX: u32 = 200;
const PASS_PAUSE: Duration = Duration::from_millis(10);
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The first process of a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Recorded {
    pub(super) pid: i32,
    /// The boot and the clock tick in it at which the process started.
    pub(super) started: String,
}

impl Recorded {
    /// The record of a process that lives, or none if it has ended.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let boot = fs::read_to_string(BOOT_ID).ok()?;
        Some(Self { pid, started: started(pid, boot.trim())? })
    }
}

/// Kills these processes with their groups, and every process that carries the mark of one of these tasks. Says whether all are gone.
pub(super) fn kill(processes: &BTreeSet<Recorded>, tasks: &BTreeSet<String>) -> bool {
    if processes.is_empty() && tasks.is_empty() {
        return true;
    }
    let boot = fs::read_to_string(BOOT_ID).unwrap_or_default();
    for _ in 0..PASSES_MAX {
        let mut found = false;
        for pid in living() {
            let leads = started(pid, boot.trim()).is_some_and(|started| processes.contains(&Recorded { pid, started }));
            if leads || is_marked(pid, tasks) {
                found = true;
                end(pid, leads);
            }
        }
        if !found {
            return true;
        }
        std::thread::sleep(PASS_PAUSE);
    }
    false
}

fn end(pid: i32, leads_a_group: bool) {
    let Some(pid) = Pid::from_raw(pid) else {
        return;
    };
    // A failure means that the process is gone already; the next pass looks again.
    let _ = if leads_a_group { kill_process_group(pid, Signal::KILL) } else { kill_process(pid, Signal::KILL) };
}

fn living() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// When the process started, if it is alive: a zombie only waits for its parent, and no signal reaches it.
fn started(pid: i32, boot: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in parentheses may contain anything, so the fields are counted from the last parenthesis: state is the first
    // there, the start time the twentieth (proc_pid_stat(5)).
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let ticks = fields.nth(18)?;
    (state != "Z" && state != "X").then(|| format!("{boot}/{ticks}"))
}

fn is_marked(pid: i32, tasks: &BTreeSet<String>) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| {
        std::str::from_utf8(variable)
            .ok()
            .and_then(|variable| variable.split_once('='))
            .is_some_and(|(name, value)| name == TASK_MARKER && tasks.contains(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::{Child, Command};

    fn sleeper(task: &str) -> Child {
        Command::new("sleep").arg("60").env(TASK_MARKER, task).process_group(0).spawn().unwrap()
    }

    fn recorded(child: &Child) -> Recorded {
        Recorded::of(i32::try_from(child.id()).unwrap()).unwrap()
    }

    #[test]
    fn a_recorded_process_is_killed() {
        let mut child = sleeper("unknown-to-the-search");
        let processes = BTreeSet::from([recorded(&child)]);
        assert!(kill(&processes, &BTreeSet::new()));
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn a_marked_process_is_killed() {
        let mut child = sleeper("task-of-this-test");
        // The mark is there only after exec, and that is when the kernel shows a sleep.
        while !is_marked(recorded(&child).pid, &BTreeSet::from(["task-of-this-test".to_owned()])) {
            std::thread::yield_now();
        }
        assert!(kill(&BTreeSet::new(), &BTreeSet::from(["task-of-this-test".to_owned()])));
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn a_stranger_with_a_recycled_id_lives() {
        let mut child = sleeper("stranger");
        let mut stale = recorded(&child);
        stale.started.push('0');
        assert!(kill(&BTreeSet::from([stale]), &BTreeSet::from(["other".to_owned()])));
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
