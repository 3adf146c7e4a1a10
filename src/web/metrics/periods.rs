//! How far the instants of each job lie apart.
//!
//! To ask a schedule takes longer than to write all of a job's lines, so what was found is kept until the job has another
//! success, or another definition.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::daemon::driver::JobView;
use crate::engine::job::{Job, JobName};

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Periods(Mutex<HashMap<JobName, Found>>);

#[derive(Debug)]
struct Found {
    job: Arc<Job>,
    from: From,
    period: Option<TimeDelta>,
}

/// Where a period is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// The nominal instant of the newest success.
    Success(DateTime<Utc>),
    /// The next instant, before the first success.
    Next(Option<DateTime<Utc>>),
}

impl Periods {
    /// That of a job; `succeeded` is the nominal instant of its newest success.
    pub(super) fn of(&self, view: &JobView, succeeded: Option<DateTime<Utc>>) -> Option<TimeDelta> {
        let next = || From::Next(view.next_at.and_then(|at| at.checked_sub_signed(view.offset)));
        let from = succeeded.map_or_else(next, From::Success);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&view.job.name)
            && found.from == from
            && Arc::ptr_eq(&found.job, &view.job)
        {
            return found.period;
        }
        let period = period(view, from);
        known.insert(view.job.name.clone(), Found { job: Arc::clone(&view.job), from, period });
        period
    }

    /// Forgets the jobs that are not among these, which are in the order of their names.
    pub(super) fn keep(&self, views: &[JobView]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > views.len() {
            known.retain(|name, _| views.binary_search_by(|view| view.job.name.cmp(name)).is_ok());
        }
    }
}

/// Half the way from the newest success to the second instant after it, so that two periods without a success are over exactly
/// then, be it a schedule of working days. Before the first success, the way between the next two instants.
fn period(view: &JobView, from: From) -> Option<TimeDelta> {
    let next = |after| view.job.schedule.next(after, view.anchor);
    match from {
        From::Success(succeeded) => Some((next(next(succeeded)?)? - succeeded) / 2),
        From::Next(first) => {
            let first = first?;
            Some(next(first)? - first)
        }
    }
}
