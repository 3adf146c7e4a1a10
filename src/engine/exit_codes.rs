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
