//! Scripted trouble: what happens to the n-th launch of a family.
//!
//! An `Outcome` is what a person scripts; a `Decision` is what RunTask does about it, split by the one question that matters to the
//! caller's safety: was something created, and was the caller told? The position in the list is part of the journal, because an
//! endpoint that crashed must not play its trouble again from the beginning.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::StatusCode;

use super::settings::Outcome;
use super::tasks::Failure;
use super::wire::Refusal;

const SPOT_INTERRUPTED: &str = "Your Spot Task was interrupted.";
const SPOT_INTERRUPTION: &str = "SpotInterruption";

/// What RunTask does with a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing is created, and no client token is recorded: the same call may be tried again.
    Refuse(Refusal),
    /// Nothing is created and nothing is answered.
    HangUp,
    /// Nothing is created, and the failure is the result that a replay of the token repeats.
    Fail(Failure),
    /// A task is created.
    Create { fate: Fate, answer: Delivery, hidden: Duration },
}

/// What becomes of a created task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Run,
    /// It runs, and so many calls of DescribeTasks are throttled.
    RunUnseen(u32),
    /// It runs after this time.
    RunLate(Duration),
    FailToStart(String),
    Interrupt(Interruption, Duration),
}

/// How a running task is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Interruption {
    /// SIGTERM, and SIGKILL after the stop timeout.
    Stop { code: Option<String>, reason: String },
    /// SIGKILL at once, and the first essential container is the reason.
    OutOfMemory,
    /// SIGKILL at once, and nobody learns an exit code.
    HostGone,
    /// The same, and nobody learns anything any more.
    Forgotten,
}

/// How the caller learns of a created task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Delivery {
    Prompt,
    Late(Duration),
    HangUp,
    ServerError,
    Failure(Failure),
    /// Some of the tasks, and this reason for each of the others.
    Some {
        started: usize,
        reason: String,
    },
}

/// What the outcome means for the call and for the task.
pub(super) fn decide(outcome: Outcome) -> Decision {
    let create = |fate, answer| Decision::Create { fate, answer, hidden: Duration::ZERO };
    let interrupt = |kind, after| create(Fate::Interrupt(kind, after), Delivery::Prompt);
    match outcome {
        Outcome::Run => create(Fate::Run, Delivery::Prompt),
        Outcome::Throttled => Decision::Refuse(throttled()),
        Outcome::ThrottledAsInvalidParameter => Decision::Refuse(Refusal::invalid(
            "Error retrieving subnet information: Rate exceeded (ErrorCode: Throttling)",
        )),
        Outcome::AccessDenied => {
            Decision::Refuse(Refusal::new("AccessDeniedException", "User is not authorized to perform: ecs:RunTask"))
        }
        Outcome::Refused { code, message, status } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            Decision::Refuse(Refusal { status, ..Refusal::new(code, message) })
        }
        Outcome::ServerException => Decision::Refuse(server_error()),
        Outcome::ServerExceptionAfterCreate => create(Fate::Run, Delivery::ServerError),
        Outcome::Failure { reason, detail } => Decision::Fail(Failure { arn: None, reason, detail }),
        Outcome::FailureAfterCreate(reason) => create(Fate::Run, Delivery::Failure(Failure::of(&reason))),
        Outcome::PartialFailure { started, reason } => create(Fate::Run, Delivery::Some { started, reason }),
        Outcome::SlowStart(delay) => create(Fate::RunLate(delay), Delivery::Prompt),
        Outcome::TaskFailedToStart(reason) => create(Fate::FailToStart(reason), Delivery::Prompt),
        Outcome::SpotInterruption { after } => {
            let code = Some(SPOT_INTERRUPTION.to_owned());
            interrupt(Interruption::Stop { code, reason: SPOT_INTERRUPTED.to_owned() }, after)
        }
        Outcome::Stopped { stop_code: code, reason, after } => interrupt(Interruption::Stop { code, reason }, after),
        Outcome::OutOfMemory { after } => interrupt(Interruption::OutOfMemory, after),
        Outcome::HostTerminated { after } => interrupt(Interruption::HostGone, after),
        Outcome::Forgotten { after } => interrupt(Interruption::Forgotten, after),
        Outcome::DescribeThrottled(calls) => create(Fate::RunUnseen(calls), Delivery::Prompt),
        Outcome::ConnectionClosedBefore => Decision::HangUp,
        Outcome::ConnectionClosed => create(Fate::Run, Delivery::HangUp),
        Outcome::SlowAnswer(delay) => create(Fate::Run, Delivery::Late(delay)),
        Outcome::VisibleAfter(hidden) => Decision::Create { fate: Fate::Run, answer: Delivery::Prompt, hidden },
    }
}

/// The refusal of a call that comes too soon.
pub(super) fn throttled() -> Refusal {
    Refusal::new("ThrottlingException", "Rate exceeded")
}

/// The 500 that a scripted launch gets.
pub(super) fn server_error() -> Refusal {
    Refusal::server("Service Unavailable. Please try again later.")
}

/// The scripts of all families and how far each has been played.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    scripts: BTreeMap<String, Vec<Outcome>>,
    consumed: BTreeMap<String, usize>,
}

impl Trouble {
    pub(super) fn script(&mut self, family: &str, outcomes: Vec<Outcome>) {
        self.scripts.insert(family.to_owned(), outcomes);
    }

    /// The outcome of the next launch, and the count to give to `consume` once that is recorded.
    pub(super) fn next(&self, family: &str) -> (Outcome, usize) {
        let consumed = self.consumed.get(family).copied().unwrap_or(0);
        let outcome = self.scripts.get(family).and_then(|script| script.get(consumed)).cloned().unwrap_or(Outcome::Run);
        (outcome, consumed.saturating_add(1))
    }

    /// Sets how many launches the family has had. The count never goes back.
    pub(super) fn consume(&mut self, family: &str, consumed: usize) {
        let known = self.consumed.entry(family.to_owned()).or_default();
        *known = consumed.max(*known);
    }

    /// How many launches each family has had.
    pub(super) fn consumed(&self) -> impl Iterator<Item = (&str, usize)> {
        self.consumed.iter().map(|(family, consumed)| (family.as_str(), *consumed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_after_the_script_just_run() {
        let mut trouble = Trouble::default();
        trouble.script("hello", vec![Outcome::Throttled, Outcome::AccessDenied]);
        for expected in [Outcome::Throttled, Outcome::AccessDenied, Outcome::Run] {
            let (outcome, consumed) = trouble.next("hello");
            assert_eq!(outcome, expected);
            trouble.consume("hello", consumed);
        }
        assert_eq!(trouble.next("other").0, Outcome::Run);
    }

    #[test]
    fn asking_alone_consumes_nothing() {
        let mut trouble = Trouble::default();
        trouble.script("hello", vec![Outcome::Throttled]);
        assert_eq!(trouble.next("hello"), trouble.next("hello"));
    }

    #[test]
    fn a_refusal_creates_nothing_and_a_lost_answer_does() {
        assert!(matches!(decide(Outcome::ServerException), Decision::Refuse(_)));
        assert!(matches!(
            decide(Outcome::ServerExceptionAfterCreate),
            Decision::Create { answer: Delivery::ServerError, .. }
        ));
        assert_eq!(decide(Outcome::ConnectionClosedBefore), Decision::HangUp);
    }
}
