//! Which instants start a run, and which are recorded as skipped or missed, with the reason.
//!
//! [`plan`] looks at the whole range since the job was last looked at, so a restart, a suspended machine or a clock that
//! jumped forward is only a longer range. [`meet`] says what a firing does that meets a living run of its job. Neither
//! drops an instant: whatever does not start ends as a row that names its rule, and long absences end as one row with a
//! count, so that a job of every second and a year away stay bounded.

use chrono::{DateTime, TimeDelta, Utc};

use super::job::{Admission, Catchup, Job, Overlap};
use super::run::{Firing, RunId, Trigger, in_words};

/// An instant that is not older than this is on time, whatever `catchup` says: it covers a restart and a slow disk.
pub const ON_TIME: TimeDelta = TimeDelta::seconds(60);
/// How many missed instants of one absence get a row each; more are counted in one row.
pub const MISSED_ROWS_MAX: usize = 100;
/// How many instants of one absence are counted; beyond, the row says "more than".
pub const COUNT_MAX: usize = 100_000;
/// How many instants of one absence `catchup = "all"` starts, the newest ones.
pub const CATCHUP_RUNS_MAX: usize = 1_000;
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
pub fn plan(job: &Job, mark: DateTime<Utc>, anchor: DateTime<Utc>, absence: Absence) -> Vec<Planned> {
    let now = absence.until;
    let fresh_after = (now - ON_TIME).max(mark);
    let window = TimeDelta::from_std(job.admission.catchup_window).unwrap_or(TimeDelta::MAX);
    let window_after = now.checked_sub_signed(window).unwrap_or(DateTime::<Utc>::MIN_UTC).clamp(mark, fresh_after);

    let mut planned = Vec::new();
    if window_after > mark {
        let instants = job.schedule.firings(mark, window_after, anchor);
        let rule = format!("outside the catch-up window of {:?}", job.admission.catchup_window);
        planned.extend(missed(job, instants, absence, &rule));
    }
    let fresh: Vec<DateTime<Utc>> = job.schedule.firings(fresh_after, now, anchor).collect();
    let late = Late { job, after: window_after, until: fresh_after, anchor };
    let caught_up_after = late.before_newest(catchup_starts(job.admission, !fresh.is_empty()));
    let caught_up = job.schedule.firings(caught_up_after, fresh_after, anchor);
    let left_out = job.schedule.firings(window_after, caught_up_after, anchor);
    let rule = match job.admission.catchup {
        Catchup::None => "catchup = \"none\"".to_owned(),
        Catchup::Last => "catchup = \"last\" makes up for the last instant only".to_owned(),
        Catchup::All => format!("catchup = \"all\" starts the newest {CATCHUP_RUNS_MAX} only"),
    };
    planned.extend(missed(job, left_out, absence, &rule));
    planned.extend(caught_up.map(|at| Planned::Start(firing(job, at, Trigger::Catchup))));
    planned.extend(fresh.into_iter().map(|at| Planned::Start(firing(job, at, Trigger::Schedule))));
    planned
}

/// The late instants of a job that are young enough to be caught up, those in (after, until].
struct Late<'a> {
    job: &'a Job,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
    anchor: DateTime<Utc>,
}

impl Late<'_> {
    /// An instant that parts the newest `count` from the older ones. Searched for by halves instead of counted off: the
    /// window may be long and the schedule dense, and each step looks at `count` instants only.
    fn before_newest(&self, count: usize) -> DateTime<Utc> {
        let has_more_than = |count: usize, after| self.instants(after).nth(count).is_some();
        if count == 0 || self.after >= self.until {
            return self.until;
        }
        if !has_more_than(count, self.after) {
            return self.after;
        }
        let (mut too_early, mut late_enough) = (self.after, self.until);
        while late_enough - too_early > TimeDelta::milliseconds(1) {
            let middle = too_early + (late_enough - too_early) / 2;
            if has_more_than(count, middle) { too_early = middle } else { late_enough = middle }
        }
        late_enough
    }

    fn instants(&self, after: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        self.job.schedule.firings(after, self.until, self.anchor)
    }
}

/// How many of the late instants start, at most, the newest ones.
fn catchup_starts(admission: Admission, a_fresh_one_starts: bool) -> usize {
    match admission.catchup {
        Catchup::None => 0,
        Catchup::Last => usize::from(!a_fresh_one_starts),
        Catchup::All => CATCHUP_RUNS_MAX,
    }
}

fn firing(job: &Job, scheduled_at: DateTime<Utc>, trigger: Trigger) -> Firing {
    Firing { job: job.name.clone(), scheduled_at, trigger }
}

/// A row for each instant, or one row for all of them where they are many.
fn missed(job: &Job, instants: impl Iterator<Item = DateTime<Utc>>, absence: Absence, rule: &str) -> Vec<Planned> {
    let away = format!("the daemon was away from {} to {}", in_words(absence.from), in_words(absence.until));
    let mut instants = instants.take(COUNT_MAX + 1);
    let first: Vec<DateTime<Utc>> = instants.by_ref().take(MISSED_ROWS_MAX + 1).collect();
    if first.len() <= MISSED_ROWS_MAX {
        let row =
            |at| Planned::Missed { firing: firing(job, at, Trigger::Schedule), reason: format!("{away}; {rule}") };
        return first.into_iter().map(row).collect();
    }
    let (begin, mut end, mut count) = (first.first().copied(), first.last().copied(), first.len());
    for at in instants {
        end = Some(at);
        count += 1;
    }
    let (Some(begin), Some(end)) = (begin, end) else { return Vec::new() };
    let counted = if count > COUNT_MAX { format!("more than {COUNT_MAX}") } else { count.to_string() };
    let reason =
        format!("{away}; {counted} instants, the first {} and this one the last counted; {rule}", in_words(begin));
    vec![Planned::Missed { firing: firing(job, end, Trigger::Schedule), reason }]
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
