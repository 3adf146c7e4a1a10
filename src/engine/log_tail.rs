//! The last lines that the containers of a failed attempt wrote: which are wanted, and how much of them is kept.
//!
//! Lines are garnish. They are wanted once the attempt's end is on record, and whatever becomes of the request changes no
//! run: what could not be had is a note in their place.

use serde::{Deserialize, Serialize};

use super::job::Site;
use super::run::{Entry, HistoryEvent, Run, RunId};
use super::task::TaskArn;

/// How many lines of a container a job may ask for.
pub const LINES_MAX: u16 = 200;
/// The longest line, in bytes; what is longer is cut.
pub const LINE_BYTES_MAX: usize = 1_024;
/// What is kept of all containers of an attempt, in bytes of lines; the oldest lines go first.
pub const TAIL_BYTES_MAX: usize = 16 * 1_024;

/// The last lines of a container, or why there are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTail {
    /// The container.
    pub container: String,
    /// Its last lines, oldest first.
    pub lines: Vec<String>,
    /// Why there are none, or not all.
    pub note: Option<String>,
    /// Where it writes, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<LogStream>,
}

/// A log stream of CloudWatch Logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStream {
    /// None for that of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its log group.
    pub group: String,
    /// Its name.
    pub name: String,
}

impl LogTail {
    /// No lines, and why.
    pub fn without_lines(container: &str, note: impl Into<String>) -> LogTail {
        LogTail { container: container.to_owned(), lines: Vec::new(), note: Some(note.into()), stream: None }
    }
}

/// What is wanted of the logs of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The run.
    pub run: RunId,
    /// The attempt.
    pub attempt: u32,
    /// Where its task ran.
    pub site: Site,
    /// Its task.
    pub task: TaskArn,
    /// The ARN of its task definition; if ECS did not tell it, what was asked for.
    pub task_definition: String,
    /// The containers that did not end well.
    pub containers: Vec<String>,
    /// How many lines of each.
    pub lines: u16,
}

impl Wanted {
    /// For each container no lines, and why.
    pub fn without_lines(&self, note: &str) -> Vec<LogTail> {
        self.containers.iter().map(|container| LogTail::without_lines(container, note)).collect()
    }
}

/// What is read of the evidence.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    task_definition_arn: Option<String>,
}

/// What is wanted of the attempts whose tasks, by these new entries of the run's history, ended badly.
pub fn wanted(run: &Run, entries: &[Entry]) -> Vec<Wanted> {
    let lines = run.definition.log_tail;
    if lines == 0 {
        return Vec::new();
    }
    let ended = entries.iter().filter_map(|entry| {
        let (HistoryEvent::TaskFailed { attempt, .. } | HistoryEvent::TaskTimedOut { attempt, .. }) = &entry.event
        else {
            return None;
        };
        Some(*attempt)
    });
    ended.filter_map(|number| of_attempt(run, number, lines)).collect()
}

fn of_attempt(run: &Run, number: u32, lines: u16) -> Option<Wanted> {
    let attempt = run.attempts.iter().find(|attempt| attempt.attempt == number)?;
    // A container that never started wrote nothing.
    let wrote = |exit_code: Option<i32>| exit_code.map_or(attempt.started_at.is_some(), |code| code != 0);
    let containers = attempt.containers.iter().filter(|container| wrote(container.exit_code));
    let containers: Vec<String> = containers.map(|container| container.name.clone()).collect();
    let task = attempt.task.clone()?;
    let described = attempt.ends.iter().find(|end| end.task == task).and_then(|end| end.described.as_deref());
    let told = described.and_then(|text| serde_json::from_str::<Described>(text).ok()?.task_definition_arn);
    (!containers.is_empty()).then_some(Wanted {
        run: run.id.clone(),
        attempt: number,
        site: run.definition.task.site(),
        task,
        task_definition: told.unwrap_or_else(|| run.definition.task.task_definition.clone()),
        containers,
        lines,
    })
}

/// Cuts long lines, and leaves out the oldest lines of what is too much as a whole.
pub fn bounded(mut tails: Vec<LogTail>) -> Vec<LogTail> {
    let mut room = TAIL_BYTES_MAX;
    for tail in &mut tails {
        tail.lines.iter_mut().for_each(cut);
        let mut kept = 0;
        for line in tail.lines.iter().rev() {
            let Some(left) = room.checked_sub(line.len()) else { break };
            room = left;
            kept += 1;
        }
        let left_out = tail.lines.len() - kept;
        if left_out > 0 {
            tail.lines.drain(..left_out);
            tail.note.get_or_insert_with(|| format!("{left_out} older lines are left out: too much text"));
        }
    }
    tails
}

fn cut(line: &mut String) {
    if line.len() > LINE_BYTES_MAX {
        let mark = '…';
        line.truncate(line.floor_char_boundary(LINE_BYTES_MAX - mark.len_utf8()));
        line.push(mark);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::{DateTime, Utc};

    use super::*;
    use crate::engine::job::{Definition, Instance};
    use crate::engine::run::{Event, Firing, Step, Trigger};
    use crate::engine::samples;
    use crate::engine::task::{ContainerFacts, LaunchAnswer, TaskFacts, TaskTimes};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_750_000_000 + seconds, 0).unwrap()
    }

    fn container(name: &str, exit_code: Option<i32>) -> ContainerFacts {
        ContainerFacts { name: name.into(), essential: Some(name == "app"), exit_code, reason: None }
    }

    /// What is wanted after a run whose job asks for so many lines has met this end of its task.
    fn after(lines: u16, started: bool, containers: Vec<ContainerFacts>) -> Vec<Wanted> {
        let (job, now) = (samples::job("@daily"), at(0));
        let definition = Arc::new(Definition { log_tail: lines, ..Definition::clone(&job.definition) });
        let firing = Firing::of_schedule(&job.name, now, Trigger::Schedule);
        let (mut run, mut entries) = Run::due(firing, Instance::new("test").unwrap(), definition, now);
        let task = TaskArn("task/1".into());
        let launched = LaunchAnswer::Launched { tasks: vec![task.clone()], failures: Vec::new() };
        let ended = TaskFacts {
            task,
            last_status: "STOPPED".into(),
            stop_code: Some("EssentialContainerExited".into()),
            times: TaskTimes { started_at: started.then(|| at(1)), stopped_at: Some(at(2)), ..TaskTimes::default() },
            containers,
            described: started.then(|| r#"{ "taskDefinitionArn": "arn:nightly:7", "more": 1 }"#.into()),
            ..TaskFacts::default()
        };
        for event in [Event::Permitted, Event::Answered(launched), Event::Observed(ended)] {
            let Ok(Step::Changed(more)) = run.step(event, at(3)) else { panic!("{run:?}") };
            assert_eq!(wanted(&run, &entries), [], "nothing before the end");
            entries = more;
        }
        wanted(&run, &entries)
    }

    fn containers(wanted: &[Wanted]) -> Vec<&str> {
        wanted.iter().flat_map(|wanted| wanted.containers.iter().map(String::as_str)).collect()
    }

    #[test]
    fn lines_are_wanted_of_containers_that_did_not_end_well() {
        let ended = || vec![container("app", Some(1)), container("log", Some(0)), container("proxy", Some(137))];
        let asked = after(20, true, ended());
        assert_eq!(containers(&asked), ["app", "proxy"]);
        let asked = asked.into_iter().next().unwrap();
        assert_eq!((asked.attempt, asked.lines, asked.task), (1, 20, TaskArn("task/1".into())));
        assert_eq!(asked.task_definition, "arn:nightly:7", "the revision that ran");
        assert_eq!(after(0, true, ended()), [], "nobody asked for them");
        assert_eq!(after(20, true, vec![container("app", Some(0))]), [], "it went well");
    }

    #[test]
    fn container_without_exit_code_wrote_something_only_if_its_task_had_started() {
        let gone = || vec![container("app", None)];
        assert_eq!(containers(&after(20, true, gone())), ["app"]);
        assert_eq!(after(20, false, gone()), []);
        assert_eq!(after(20, true, Vec::new()), []);
    }

    #[test]
    fn long_lines_are_cut_and_old_ones_left_out() {
        let tail = |name: &str, lines: Vec<String>| LogTail { lines, note: None, ..LogTail::without_lines(name, "") };
        let small = vec![tail("app", vec!["one".into(), String::new()])];
        assert_eq!(bounded(small.clone()), small);
        let long = bounded(vec![tail("app", vec!["ö".repeat(LINE_BYTES_MAX)])]);
        let line = &long[0].lines[0];
        assert!(line.len() <= LINE_BYTES_MAX && line.len() > LINE_BYTES_MAX - 4 && line.ends_with('…'), "{line}");
        let much = |from: usize| (from..from + 10).map(|n| format!("{n:01024}")).collect();
        let kept = bounded(vec![tail("app", much(0)), tail("log", much(10)), tail("late", much(20))]);
        let sizes: Vec<usize> = kept.iter().map(|tail| tail.lines.len()).collect();
        assert_eq!(sizes, [10, 6, 0]);
        assert_eq!(kept[1].lines[0], format!("{:01024}", 14), "the newest lines stay");
        assert_eq!(kept[0].note, None);
        assert_eq!(kept[1].note.as_deref(), Some("4 older lines are left out: too much text"));
    }
}
