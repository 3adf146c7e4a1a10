//! Values for tests: the plainest definition and job. A test replaces what it is about, so that this is all it shows.

use std::sync::Arc;

use chrono_tz::Tz;

use super::exit_codes::ExitCodes;
use super::job::{Admission, Definition, Job, JobName, Limits, OnUnknown, Success, TaskSpec};
use super::retry::RetryPolicy;
use super::schedule::{Dst, Schedule};

/// One task, the default policy, no limits.
pub(crate) fn definition() -> Definition {
    Definition {
        task: TaskSpec::new("main", "hello"),
        retry: RetryPolicy::default(),
        limits: Limits::default(),
        success: Success::Essential,
        accept_stop_codes: Vec::new(),
        exit_codes: ExitCodes::none(),
        on_unknown: OnUnknown::Fail,
        log_tail: 0,
        notify: Arc::default(),
    }
}

/// The job `nightly`, in UTC.
pub(crate) fn job(schedule: &str) -> Job {
    Job {
        name: JobName::new("nightly").unwrap(),
        schedule: Schedule::parse(&[schedule], Tz::UTC, Dst::default()).unwrap(),
        admission: Admission::default(),
        definition: Arc::new(definition()),
    }
}
