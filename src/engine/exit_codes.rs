//! What the exit codes of a job mean: success beside 0, nothing to do, never again, worth another try.
//!
//! A program knows best why it ended, and says so with its exit code. The lists are about the code with which a deciding
//! container ended a task that ended by itself. A task that was cut short says nothing with its code, and a failure without
//! one (no image, no host, no time) is the retriers' alone: they know names only, and are asked after these lists.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// Lists of exit codes, 0 to 255. A code stands in one list at most, and 0 in none but the first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitCodes {
    /// A success, as 0 is.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub succeed: BTreeSet<u8>,
    /// There was nothing to do: the run ends as skipped.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub skip: BTreeSet<u8>,
    /// A failure that is never tried again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub fail: BTreeSet<u8>,
    /// If it is given, the only codes that the retriers are asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<BTreeSet<u8>>,
}

/// Shared by all jobs that say nothing.
static NONE: LazyLock<Arc<ExitCodes>> = LazyLock::new(Arc::default);

impl ExitCodes {
    /// Nothing said.
    pub fn none() -> Arc<ExitCodes> {
        Arc::clone(&NONE)
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == ExitCodes::default()
    }

    /// Whether a container that ended with this code did well.
    pub fn is_success(&self, code: Option<i32>) -> bool {
        code == Some(0) || holds(&self.succeed, code)
    }

    /// Whether it says that there was nothing to do.
    pub fn is_skip(&self, code: Option<i32>) -> bool {
        holds(&self.skip, code)
    }

    /// Why the retriers are not asked about this failure; none if they are.
    pub fn forbids_retry(&self, failure: &Failure) -> Option<String> {
        let code = failure.exit_code?;
        if holds(&self.fail, Some(code)) {
            return Some(format!("exit_codes.fail lists {code}"));
        }
        let retry = self.retry.as_ref().filter(|retry| !holds(retry, Some(code)))?;
        let listed: Vec<String> = retry.iter().map(ToString::to_string).collect();
        let listed = if listed.is_empty() { "none".to_owned() } else { listed.join(", ") };
        Some(format!("of exit codes, exit_codes.retry lets only {listed} be tried again, not {code}"))
    }
}

impl ExitCodes {
    /// What a code means: what the job says of it, else what it means by convention.
    pub fn meaning(&self, code: i32) -> Option<String> {
        let lists = [(&self.succeed, "succeed"), (&self.skip, "skip"), (&self.fail, "fail")];
        let of_job = lists.into_iter().find(|(list, _)| holds(list, Some(code)));
        match of_job {
            Some((_, name)) => Some(format!("exit_codes.{name} of the job lists it")),
            None => by_convention(code),
        }
    }
}

/// What an exit code means whatever the program, as far as there is a convention.
/// Sources: POSIX, Shell & Utilities, "Exit Status for Commands"; Docker's reference of `docker run`, "Exit status"; Linux
/// man pages signal(7) and sysexits.h(3head).
fn by_convention(code: i32) -> Option<String> {
    let signal = match code {
        0 => return Some("success".to_owned()),
        1 => return Some("any error, as the program sees it".to_owned()),
        64..=78 => {
            return SYSEXITS.get(usize::try_from(code - 64).ok()?).map(|words| format!("in sysexits.h: {words}"));
        }
        125 => return Some("the container runtime itself failed".to_owned()),
        126 => return Some("the command was found and can't be executed".to_owned()),
        127 => return Some("the command was not found".to_owned()),
        255 => return Some("any error; a program that exits with -1 ends so".to_owned()),
        129 => "SIGHUP, a hang-up",
        130 => "SIGINT, an interrupt",
        131 => "SIGQUIT, a quit",
        132 => "SIGILL, an illegal instruction: the program crashed, or was built for another CPU",
        133 => "SIGTRAP, a trap: the program crashed",
        134 => "SIGABRT: the program gave itself up",
        135 => "SIGBUS, a bad memory access: the program crashed",
        136 => "SIGFPE, an arithmetic error: the program crashed",
        137 => "SIGKILL: out of memory, or a stop that took too long",
        139 => "SIGSEGV, a bad memory access: the program crashed",
        141 => "SIGPIPE: what it wrote to was closed",
        143 => "SIGTERM: it was asked to stop",
        _ => return None,
    };
    Some(format!("ended by {signal}"))
}

/// 64 and on.
const SYSEXITS: [&str; 15] = [
    "the command was used wrongly",
    "the input was wrong",
    "an input is missing or can't be read",
    "there is no such user",
    "there is no such host",
    "a service is not available",
    "an internal error of the program",
    "an error of the operating system",
    "a file of the system is missing",
    "an output can't be made",
    "an error of input or output",
    "a failure that may pass",
    "a remote system answered what it should not",
    "not permitted",
    "an error of the configuration",
];

fn holds(list: &BTreeSet<u8>, code: Option<i32>) -> bool {
    code.and_then(|code| u8::try_from(code).ok()).is_some_and(|code| list.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::failure::ErrorName;
    use crate::engine::job::Definition;
    use crate::engine::samples;

    fn ended(exit_code: Option<i32>) -> Failure {
        Failure { exit_code, ..Failure::new(ErrorName::TASK_FAILED, "") }
    }

    #[test]
    fn what_is_never_tried_again_follows_from_the_lists() {
        let none = ExitCodes::default();
        let fail = ExitCodes { fail: [64].into(), ..ExitCodes::default() };
        let retry = ExitCodes { retry: Some([75, 111].into()), ..fail.clone() };
        let nothing = ExitCodes { retry: Some(BTreeSet::new()), ..ExitCodes::default() };
        for (codes, code, is_forbidden) in [
            (&none, 64, false),
            (&fail, 64, true),
            (&fail, 1, false),
            (&retry, 64, true),
            (&retry, 75, false),
            (&retry, 1, true),
            (&retry, -1, true),
            (&nothing, 75, true),
        ] {
            assert_eq!(codes.forbids_retry(&ended(Some(code))).is_some(), is_forbidden, "{codes:?} {code}");
            assert_eq!(codes.forbids_retry(&ended(None)), None, "the retriers' alone");
        }
        let why = retry.forbids_retry(&ended(Some(1))).unwrap();
        assert_eq!(why, "of exit codes, exit_codes.retry lets only 75, 111 be tried again, not 1");
    }

    #[test]
    fn a_code_means_what_its_job_says_and_else_what_is_convention() {
        let codes = ExitCodes { succeed: [3].into(), skip: [75].into(), fail: [143].into(), retry: None };
        let of = |code| codes.meaning(code).unwrap_or_default();
        assert_eq!(
            [3, 75, 143].map(of),
            ["succeed", "skip", "fail"].map(|n| format!("exit_codes.{n} of the job lists it"))
        );
        for (code, words) in
            [(0, "success"), (64, "used wrongly"), (78, "configuration"), (127, "not found"), (137, "SIGKILL")]
        {
            assert!(of(code).contains(words), "{code}: {}", of(code));
        }
        assert_eq!([2, 63, 79, 128, 138, 160, -1, 256, i32::MIN].map(of), [""; 9], "no convention");
    }

    #[test]
    fn only_codes_of_a_byte_are_listed() {
        let codes = ExitCodes { succeed: [3].into(), skip: [255].into(), ..ExitCodes::default() };
        assert!(codes.is_success(Some(0)) && codes.is_success(Some(3)) && !codes.is_success(Some(259)));
        assert!(codes.is_skip(Some(255)) && !codes.is_skip(Some(-1)) && !codes.is_skip(None));
    }

    #[test]
    fn a_definition_without_them_is_stored_as_before_and_reads_back() {
        let plain = samples::definition();
        let stored = serde_json::to_value(&plain).unwrap();
        assert!(stored.get("exit_codes").is_none(), "{stored}");
        assert_eq!(serde_json::from_value::<Definition>(stored).unwrap(), plain);
        let failure = serde_json::to_value(ended(None)).unwrap();
        assert!(failure.get("exit_code").is_none(), "{failure}");
    }

    #[test]
    fn what_is_not_said_is_not_stored() {
        assert_eq!(serde_json::to_string(&ExitCodes::default()).unwrap(), "{}");
        let codes = ExitCodes { retry: Some(BTreeSet::new()), ..ExitCodes::default() };
        let stored = serde_json::to_string(&codes).unwrap();
        assert_eq!((stored.as_str(), serde_json::from_str::<ExitCodes>(&stored).unwrap()), (r#"{"retry":[]}"#, codes));
    }
}
