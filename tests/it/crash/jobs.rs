//! The jobs of a history: every overlap policy, tasks that succeed, fail, take their time or take too long, and an ECS
//! that throttles, loses answers and lies about what it created.

use crate::harness::{SETTINGS, Site};

use super::chance::Chance;

/// Retries that every job grants after a task that failed, and after one that took too long.
pub(super) const TASK_RETRIES: usize = 2;
pub(super) const TIMEOUT_RETRIES: usize = 1;

/// A job that fires whenever the second is divisible by `every`.
pub(super) struct Job {
    pub(super) name: &'static str,
    pub(super) every: i64,
    pub(super) overlap: &'static str,
    catchup: &'static str,
    /// What its task does after it has said that it began.
    script: &'static str,
    /// Retries after RunTask failed. Few of them make a run end while it does not know whether a task of it runs.
    pub(super) ecs_retries: usize,
    attempt_timeout: &'static str,
    /// Of a hundred launches, how many go wrong.
    trouble: u64,
}

pub(super) const JOBS: [Job; 7] = [
    Job {
        name: "tick",
        every: 1,
        overlap: "skip",
        catchup: "last",
        script: "exit 0",
        ecs_retries: 6,
        attempt_timeout: "1m",
        trouble: 40,
    },
    Job {
        name: "again",
        every: 1,
        overlap: "allow",
        catchup: "all",
        script: "test $TENACRON_ATTEMPT -gt 1",
        ecs_retries: 2,
        attempt_timeout: "1m",
        trouble: 40,
    },
    Job {
        name: "broken",
        every: 3,
        overlap: "allow",
        catchup: "all",
        script: "exit 1",
        ecs_retries: 1,
        attempt_timeout: "1m",
        trouble: 50,
    },
    Job {
        name: "next",
        every: 2,
        overlap: "queue_one",
        catchup: "last",
        script: "sleep 1",
        ecs_retries: 6,
        attempt_timeout: "1m",
        trouble: 25,
    },
    Job {
        name: "line",
        every: 4,
        overlap: "queue_all",
        catchup: "all",
        script: "sleep 2",
        ecs_retries: 6,
        attempt_timeout: "1m",
        trouble: 15,
    },
    Job {
        name: "fresh",
        every: 5,
        overlap: "cancel_running",
        catchup: "last",
        script: "sleep 7",
        ecs_retries: 6,
        attempt_timeout: "1m",
        trouble: 30,
    },
    Job {
        name: "late",
        every: 6,
        overlap: "skip",
        catchup: "last",
        script: "sleep 60",
        ecs_retries: 2,
        attempt_timeout: "1s",
        trouble: 25,
    },
];

impl Job {
    pub(super) fn of(name: &str) -> Option<&'static Job> {
        JOBS.iter().find(|job| job.name == name)
    }
}

/// What can go wrong with a launch, as the local endpoint scripts it. The likelier ones are there more than once.
fn trouble(chance: &mut Chance) -> String {
    let plain = |name: &str| format!("\"{name}\"");
    match *chance.pick(&[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8]) {
        0 => plain("connection_closed"),
        1 => plain("server_exception_after_create"),
        2 => format!("{{ slow_answer = \"{}ms\" }}", chance.from(100, 2500)),
        3 => "{ failure_after_create = \"AGENT\" }".to_owned(),
        4 => format!("{{ visible_after = \"{}ms\" }}", chance.from(100, 2500)),
        5 => plain("connection_closed_before"),
        6 => plain("server_exception"),
        7 => plain("throttled"),
        _ => "{ failure = \"RESOURCE:MEMORY\" }".to_owned(),
    }
}

/// Whether who reads the configuration plays the script of trouble. A daemon beside its endpoint has no use for it, and
/// would read a long one at each start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Played,
    LeftOut,
}

/// A configuration with its script of trouble, for as many launches of each job.
pub(super) struct Jobs {
    outcomes: Vec<String>,
}

impl Jobs {
    pub(super) fn new(chance: &mut Chance, launches: usize) -> Jobs {
        let mut script = |job: &Job| {
            let mut outcome = || if chance.percent(job.trouble) { trouble(chance) } else { "\"run\"".to_owned() };
            (0..launches).map(|_| outcome()).collect::<Vec<_>>().join(", ")
        };
        Jobs { outcomes: JOBS.iter().map(&mut script).collect() }
    }

    /// Writes the configuration in which the jobs fire.
    pub(super) fn write_firing(&self, site: &Site, script: Script) {
        self.write(site, script, |job| format!("*/{} * * * * *", job.every));
    }

    /// Writes the same one with schedules that are over, so that what was begun can end.
    pub(super) fn write_calm(&self, site: &Site, script: Script) {
        self.write(site, script, |_| "at(2020-01-01T00:00:00)".to_owned());
    }

    fn write(&self, site: &Site, script: Script, schedule: impl Fn(&Job) -> String) {
        let mut text = SETTINGS.replace("timeout = \"2m\"", "timeout = \"30m\"");
        for (job, outcomes) in JOBS.iter().zip(&self.outcomes) {
            let outcomes = if script == Script::Played { outcomes } else { "" };
            let Job { name, overlap, catchup, script, ecs_retries, attempt_timeout, .. } = job;
            let (folder, schedule) = (site.path(""), schedule(job));
            // A run's lock is held as long as any process of its task lives: who can't have it runs beside another.
            text.push_str(&format!(
                r#"
[jobs.{name}]
schedule = "{schedule}"
task_definition = "{name}"
overlap = "{overlap}"
catchup = "{catchup}"
attempt_timeout = "{attempt_timeout}"
[[jobs.{name}.container]]
name = "app"
[[jobs.{name}.retry]]
error_equals = ["ECS.AmazonECSException"]
max_attempts = {ecs_retries}
backoff_rate = 1.0
[[jobs.{name}.retry]]
error_equals = ["States.TaskFailed"]
max_attempts = {TASK_RETRIES}
backoff_rate = 1.0
[[jobs.{name}.retry]]
error_equals = ["States.Timeout"]
max_attempts = {TIMEOUT_RETRIES}
[local.task_definitions.{name}]
containers = [{{ name = "app", command = ["sh", "-c", '''
cd {folder}
task="$TENACRON_RUN_ID $TENACRON_ATTEMPT"
exec 9>>locks/$TENACRON_RUN_ID
flock -n 9 || echo $task >>beside
echo $task >>begun
echo begun
{script}'''] }}]
outcomes = [{outcomes}]
"#,
                folder = folder.display()
            ));
        }
        site.write("tenacron.toml", text);
    }
}
