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
    /// None if they are a success, or nothing to do.
    pub(super) failure: Option<Failure>,
    /// Whether they say that there was nothing to do.
    pub(super) is_skipped: bool,
    pub(super) notes: Vec<String>,
}

impl Judged {
    fn of(failure: Option<Failure>, notes: Vec<String>) -> Judged {
        Judged { failure, is_skipped: false, notes }
    }
}

pub(super) fn judge(arguments: &Arguments, definition: &Definition) -> Judged {
    if let Some(name) = &arguments.error {
        named(&ErrorName::new(name), definition)
    } else if let Some(reason) = &arguments.launch_failure {
        let failures = vec![LaunchFailure { reason: reason.clone(), detail: None }];
        Judged::of(failure::of_answer(&LaunchAnswer::Failures(failures)), Vec::new())
    } else {
        stopped(arguments, definition)
    }
}

/// The failure that a name is first of all the name of.
fn named(name: &ErrorName, definition: &Definition) -> Judged {
    let mut kinds = catalogue::of_name(name).into_iter();
    let Some(Kind { failure, .. }) = kinds.next() else { return Judged::of(None, Vec::new()) };
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
    let codes = &definition.exit_codes;
    if failure.exit_code.is_some() && (codes.is_success(failure.exit_code) || codes.is_skip(failure.exit_code)) {
        notes.push("exit_codes makes no failure of this code: ask with --exit-code".to_owned());
    }
    Judged::of(Some(failure), notes)
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
    let is_skipped = matches!(verdict, Verdict::Skipped { .. });
    let failure = match verdict {
        Verdict::Skipped { reason } => {
            notes.push(reason);
            None
        }
        Verdict::Succeeded => {
            if let Some(code) = arguments.exit_code.filter(|code| *code != 0) {
                notes.push(format!("exit_codes.succeed lists {code}"));
            }
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
    Judged { failure, is_skipped, notes }
}

/// The stop code that ECS gives along with such facts. Source: Amazon ECS Developer Guide, "Stopped tasks error messages".
fn likely_stop_code(arguments: &Arguments, judge: impl Fn(Option<&str>) -> Verdict) -> Option<&'static str> {
    let reason = arguments.stopped_reason.as_deref().unwrap_or_default();
    // A host that is gone has no stop code; any other end with a kind and without an exit code is one of a start.
    let is_of_start =
        |failure: &Failure| failure.names.len() > 1 && !failure.names.contains(&ErrorName::INFRASTRUCTURE);
    if reason.contains("Spot Task") {
        Some(SPOT)
    } else if reason.is_empty() || reason.starts_with("Essential container") {
        Some(EXITED)
    } else if arguments.exit_code.is_none() {
        matches!(judge(Some(UNSTARTED)), Verdict::Failed(failure) if is_of_start(&failure)).then_some(UNSTARTED)
    } else {
        let has_kind = matches!(judge(None), Verdict::Failed(failure) if failure.names.len() > 2);
        (!has_kind).then_some(EXITED)
    }
}
