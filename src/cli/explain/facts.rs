//! What was said on the command line, as the facts that ECS would have reported, and the engine's judgement of them.

use super::Arguments;
use crate::engine::catalogue::{self, Kind};
use crate::engine::failure::{self, ErrorName, Failure};
use crate::engine::job::{Definition, Success};
use crate::engine::outcome::{self, Verdict};
use crate::engine::retry::Decision;
use crate::engine::run::OUR_STOP;
use crate::engine::task::{ContainerFacts, LaunchAnswer, LaunchFailure, TaskArn, TaskFacts};

const EXITED: &str = "EssentialContainerExited";
const UNSTARTED: &str = "TaskFailedToStart";
const SPOT: &str = "SpotInterruption";
/// How many other failures of the same name are told.
const OTHERS_MAX: usize = 4;

/// What the facts come to.
pub(super) struct Judged {
    /// None if they are a success.
    pub(super) failure: Option<Failure>,
    pub(super) notes: Vec<String>,
}

pub(super) fn judge(arguments: &Arguments, definition: &Definition) -> Judged {
    if let Some(name) = &arguments.error {
        named(&ErrorName::new(name), definition)
    } else if let Some(reason) = &arguments.launch_failure {
        let failures = vec![LaunchFailure { reason: reason.clone(), detail: None }];
        Judged { failure: failure::of_answer(&LaunchAnswer::Failures(failures)), notes: Vec::new() }
    } else {
        stopped(arguments, definition)
    }
}

/// The failure that a name is first of all the name of.
fn named(name: &ErrorName, definition: &Definition) -> Judged {
    let mut kinds = catalogue::of_name(name).into_iter();
    let Some(Kind { failure, .. }) = kinds.next() else { return Judged { failure: None, notes: Vec::new() } };
    let mut notes = Vec::new();
    let is_reported = catalogue::exit_code(name.as_str()).is_some()
        || catalogue::kinds().iter().any(|kind| kind.failure.names.contains(name));
    if !failure.names.contains(name) {
        notes.push(format!("nothing is called {name}: what ECS refuses with this code is called {}", failure.primary));
    } else if !is_reported {
        notes.push(format!("Tenacron itself reports no failure called {name}"));
    }
    let taker = |failure: &Failure| match definition.retry.decide(failure, &[], 1.0) {
        Decision::Retry { retrier, .. } | Decision::Exhausted { retrier } => Some(retrier),
        Decision::NoMatch => None,
    };
    let first = taker(&failure);
    let others = kinds.filter(|kind| taker(&kind.failure) != first).take(OTHERS_MAX).map(|Kind { failure, .. }| {
        let names = failure.names.iter().filter(|other| *other != name).map(ErrorName::as_str).collect::<Vec<_>>();
        let by =
            taker(&failure).map_or("no retrier takes it".to_owned(), |retrier| format!("retry[{retrier}] takes it"));
        format!("a failure of this name that is also {}: {by}", names.join(", "))
    });
    notes.extend(others);
    Judged { failure: Some(failure), notes }
}

/// A task that stopped, with one container that decides.
fn stopped(arguments: &Arguments, definition: &Definition) -> Judged {
    let with = |stop_code: Option<&str>| TaskFacts {
        task: TaskArn(String::new()),
        last_status: "STOPPED".into(),
        stop_code: stop_code.map(str::to_owned),
        stopped_reason: arguments.stopped_reason.clone(),
        containers: vec![ContainerFacts {
            name: definition.task.containers.first().map_or("app", |container| &container.name).to_owned(),
            essential: Some(true),
            exit_code: arguments.exit_code,
            reason: arguments.container_reason.clone(),
        }],
        ..TaskFacts::default()
    };
    let mut notes = Vec::new();
    let stop_code = match &arguments.stop_code {
        Some(code) => Some(code.as_str()),
        None => {
            let likely = likely_stop_code(arguments, |code| outcome::judge(&with(code), definition));
            match likely {
                Some(code) => notes.push(format!("taken for granted: --stop-code {code}")),
                None => {
                    notes.push("no --stop-code is known, and ECS mostly gives one: it may make a difference".into())
                }
            }
            likely
        }
    };
    let verdict = outcome::judge(&with(stop_code), definition);
    let is_accepted = stop_code.is_some_and(|code| definition.accept_stop_codes.iter().any(|known| known == code));
    let failure = match verdict {
        Verdict::Succeeded => {
            if is_accepted {
                notes.push(format!("accept_stop_codes lists {}", stop_code.unwrap_or_default()));
            }
            None
        }
        Verdict::Failed(failure) => {
            if let (Some(0), Some(code)) = (arguments.exit_code, stop_code) {
                notes.push(format!("exit code 0 is no success here: the task was cut short; accept_stop_codes = [\"{code}\"] would accept it"));
            }
            Some(failure)
        }
    };
    if arguments.exit_code.is_some() && definition.success == Success::Essential {
        notes.push("success = \"essential\": only a container that is essential decides".into());
    }
    if arguments.stopped_reason.as_deref().is_some_and(|reason| reason.starts_with(OUR_STOP)) {
        notes.push("Tenacron itself stopped this task: if a limit of time did, ask with --error States.Timeout".into());
    }
    Judged { failure, notes }
}

/// The stop code that ECS gives along with such facts. Source: Amazon ECS Developer Guide, "Stopped tasks error messages".
fn likely_stop_code(arguments: &Arguments, judge: impl Fn(Option<&str>) -> Verdict) -> Option<&'static str> {
    let reason = arguments.stopped_reason.as_deref().unwrap_or_default();
    // What names the kind of end with a stop code, and not without it, belongs to that stop code.
    let names = |code| match judge(code) {
        Verdict::Failed(failure) => failure.names.len(),
        Verdict::Succeeded => 0,
    };
    if reason.contains("Spot Task") {
        Some(SPOT)
    } else if reason.is_empty() || reason.starts_with("Essential container") {
        Some(EXITED)
    } else if arguments.exit_code.is_none() && names(Some(UNSTARTED)) > names(None) {
        Some(UNSTARTED)
    } else {
        arguments.exit_code.map(|_| EXITED).filter(|_| names(None) <= 2)
    }
}
