//! Which instants start a run, and which are recorded as skipped or missed, with the reason.
//!
//! [`plan`] looks at the whole range since the job was last looked at, so a restart, a suspended machine or a clock that
//! jumped forward is only a longer range. [`meet`] says what a firing does that meets a living run of its job. Neither
//! drops an instant: whatever does not start ends as a row that names its rule, and long absences end as one row with a
//! count. The count comes from arithmetic (`schedule/count.rs`), so that a job of every second and a year away stay bounded.

use chrono::{DateTime, TimeDelta, Utc};

use super::job::{Admission, Catchup, Job, JobName, Overlap};
use super::run::{Covered, Firing, RunId, Trigger, in_words};
use super::schedule::Schedule;

/// An instant that is not older than this is on time, whatever `catchup` says: it covers a restart and a slow disk.
pub const ON_TIME: TimeDelta = TimeDelta::seconds(60);
/// How many instants that one rule left out of one absence get a row each; more share one row.
pub const MISSED_ROWS_MAX: usize = 100;
/// How many instants of one absence `catchup = "all"` starts, the newest ones.
pub const CATCHUP_RUNS_MAX: u64 = 1_000;
/// How many firings of one job may wait under `overlap = "queue_all"`.
pub const QUEUE_MAX: usize = 100;

/// How long after a start a firing waits for the first look at the runs in its way: one of them may have ended meanwhile.
pub const FIRST_LOOK_WITHIN: TimeDelta = TimeDelta::seconds(10);

/// What becomes of an instant, or of a range of instants.
#[derive(Debug, Clone)]
pub enum Planned {
    /// It starts a run, unless it meets one.
    Start(Firing),
    /// It is recorded as missed.
    Missed {
        /// The instant; for a range its last one.
        firing: Firing,
        /// From when to when nobody looked, and which rule left it out.
        reason: String,
        /// The range.
        covers: Option<Covered>,
    },
}

/// The time during which nobody looked at the schedules.
#[derive(Debug, Clone, Copy)]
pub struct Absence {
    /// When the daemon last looked.
    pub from: DateTime<Utc>,
    /// Now.
    pub until: DateTime<Utc>,
}

/// Decides every instant of a job in (mark, now].
///
/// The range is cut into three that touch: too old for the catch-up window, late, on time. The late ones are cut once
/// more, into those that are left out and the newest ones that start.
pub fn plan(job: &Job, mark: DateTime<Utc>, anchor: DateTime<Utc>, absence: Absence) -> Vec<Planned> {
    let now = absence.until;
    let fresh_after = (now - ON_TIME).max(mark);
    let window = TimeDelta::from_std(job.admission.catchup_window).unwrap_or(TimeDelta::MAX);
    let window_after = now.checked_sub_signed(window).unwrap_or(DateTime::<Utc>::MIN_UTC).clamp(mark, fresh_after);

    let fresh: Vec<DateTime<Utc>> = job.schedule.firings(fresh_after, now, anchor).collect();
    let caught_up_after = match catchup_starts(job.admission, !fresh.is_empty()) {
        0 => fresh_after,
        starts => job.schedule.before_newest(starts, window_after, fresh_after, anchor),
    };
    let too_old = format!("outside the catch-up window of {:?}", job.admission.catchup_window);
    let left_out = match job.admission.catchup {
        Catchup::None => "catchup = \"none\"".to_owned(),
        Catchup::Last => "catchup = \"last\" makes up for the last instant only".to_owned(),
        Catchup::All => format!("catchup = \"all\" starts the newest {CATCHUP_RUNS_MAX} only"),
    };

    let (name, schedule) = (&job.name, &job.schedule);
    let mut planned = missed(name, schedule, (mark, window_after), anchor, absence, &too_old);
    planned.extend(missed(name, schedule, (window_after, caught_up_after), anchor, absence, &left_out));
    let caught_up = job.schedule.firings(caught_up_after, fresh_after, anchor);
    planned.extend(caught_up.map(|at| Planned::Start(firing(name, at, Trigger::Catchup))));
    planned.extend(fresh.into_iter().map(|at| Planned::Start(firing(name, at, Trigger::Schedule))));
    planned
}

/// Decides every instant in (mark, now] of the schedule that a job had before it was changed while nobody looked: none
/// starts, for nobody knows when the change was meant to begin, and each has its row.
pub fn plan_changed(
    job: &Job,
    before: &Schedule,
    mark: DateTime<Utc>,
    anchor: DateTime<Utc>,
    absence: Absence,
) -> Vec<Planned> {
    let rule = format!("its schedule then, {}, was changed meanwhile", before.text());
    missed(&job.name, before, (mark, absence.until), anchor, absence, &rule)
}

/// How many of the late instants start, at most, the newest ones.
fn catchup_starts(admission: Admission, a_fresh_one_starts: bool) -> u64 {
    match admission.catchup {
        Catchup::None => 0,
        Catchup::Last => u64::from(!a_fresh_one_starts),
        Catchup::All => CATCHUP_RUNS_MAX,
    }
}

fn firing(job: &JobName, scheduled_at: DateTime<Utc>, trigger: Trigger) -> Firing {
    Firing { job: job.clone(), scheduled_at, trigger }
}

/// A row for each instant of the range (after, until], or one row for all of them where they are many: that of the last one.
fn missed(
    job: &JobName,
    schedule: &Schedule,
    (after, until): (DateTime<Utc>, DateTime<Utc>),
    anchor: DateTime<Utc>,
    absence: Absence,
    rule: &str,
) -> Vec<Planned> {
    let away = format!("the daemon was away from {} to {}", in_words(absence.from), in_words(absence.until));
    let row = |at, reason, covers| Planned::Missed { firing: firing(job, at, Trigger::Schedule), reason, covers };
    let instants: Vec<_> = schedule.firings(after, until, anchor).take(MISSED_ROWS_MAX + 1).collect();
    let many = if instants.len() > MISSED_ROWS_MAX { schedule.last(after, until, anchor) } else { None };
    let (Some(first), Some(last)) = (instants.first().copied(), many) else {
        return instants.into_iter().map(|at| row(at, format!("{away}; {rule}"), None)).collect();
    };
    let count = schedule.count(after, until, anchor);
    let reason = format!("{away}; {count} instants, from {} to this one; {rule}", in_words(first));
    vec![row(last, reason, Some(Covered { first, count }))]
}

/// A living run of the same job, oldest first.
#[derive(Debug, Clone)]
pub struct Living {
    /// Its name.
    pub id: RunId,
    /// Whether its first launch is still to come.
    pub is_due: bool,
}

/// What a firing does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meeting {
    /// It becomes a run that may launch, or that waits until [`may_begin`] lets it.
    Start,
    /// As `Start`, and these runs are cancelled with this reason.
    Replace(Vec<RunId>),
    /// It is recorded as skipped.
    Skip {
        /// Because of which run and which rule.
        reason: String,
    },
}

/// Decides about a firing, given the living runs of its job.
pub fn meet(overlap: Overlap, living: &[Living]) -> Meeting {
    let Some(oldest) = living.first() else { return Meeting::Start };
    let waiting: Vec<&Living> = living.iter().skip(1).filter(|run| run.is_due).collect();
    match overlap {
        Overlap::Allow => Meeting::Start,
        Overlap::Skip => Meeting::Skip { reason: format!("run {} still lives (overlap = \"skip\")", oldest.id) },
        Overlap::QueueOne => match waiting.first() {
            None => Meeting::Start,
            Some(queued) => {
                Meeting::Skip { reason: format!("run {} already waits (overlap = \"queue_one\")", queued.id) }
            }
        },
        Overlap::QueueAll if waiting.len() >= QUEUE_MAX => Meeting::Skip {
            reason: format!("{QUEUE_MAX} runs already wait behind run {} (overlap = \"queue_all\")", oldest.id),
        },
        Overlap::QueueAll => Meeting::Start,
        Overlap::CancelRunning => Meeting::Replace(living.iter().map(|run| run.id.clone()).collect()),
    }
}

/// Whether a living run changes what a firing does.
pub fn heeds_living_runs(overlap: Overlap) -> bool {
    match overlap {
        Overlap::Allow => false,
        Overlap::Skip | Overlap::QueueOne | Overlap::QueueAll | Overlap::CancelRunning => true,
    }
}

/// Whether a due run may launch: at once under `allow`, else when it is the oldest living run of its job.
pub fn may_begin(overlap: Overlap, is_oldest: bool) -> bool {
    is_oldest || !heeds_living_runs(overlap)
}

#[cfg(test)]
mod tests;
