//! Which instants start a run, and which are recorded as skipped or missed, with the reason.
//!
//! Instants are nominal: a job with a `spread` leaves later by a stable part of it, so its instants come later by as much.
//!
//! [`plan`] looks at the whole range since the job was last looked at, so a restart, a suspended machine or a clock that
//! jumped forward is only a longer range. [`meet`] says what a firing does that meets a living run of its job. Neither
//! drops an instant: whatever does not start ends as a row that names its rule, and long absences end as one row with a
//! count. The count comes from arithmetic (`schedule/count.rs`), so that a job of every second and a year away stay bounded.

use chrono::{DateTime, TimeDelta, Utc};

use super::job::{Admission, Catchup, Job, JobName, Overlap};
use super::pause::{Pause, Scope};
use super::run::{Covered, Firing, Outcome, RunId, Status, Trigger, in_words};
use super::schedule::Schedule;

/// An instant that is not older than this is on time, whatever `catchup` says: it covers a restart and a slow disk.
pub const ON_TIME: TimeDelta = TimeDelta::seconds(60);
/// How many instants that one rule left out of one absence get a row each; more share one row.
pub const MISSED_ROWS_MAX: usize = 100;
/// How many instants of one absence `catchup = "all"` starts, the newest ones.
pub const CATCHUP_RUNS_MAX: u64 = 1_000;
/// How many firings of one job may wait under `overlap = "queue_all"`.
pub const QUEUE_MAX: usize = 100;
/// How many instants one backfill takes, and how many runs may wait with those of a backfill.
pub const BACKFILL_MAX: usize = 1_000;

/// How long after a start a firing waits for the first look at the runs in its way: one of them may have ended meanwhile.
pub const FIRST_LOOK_WITHIN: TimeDelta = TimeDelta::seconds(10);

/// What becomes of an instant, or of a range of instants.
#[derive(Debug, Clone)]
pub enum Planned {
    /// It starts a run, unless it meets one.
    Start(Firing),
    /// It is recorded as skipped or missed.
    LeftOut {
        /// The instant; for a range its last one.
        firing: Firing,
        /// By which rule, and for which instants beside its own.
        outcome: Outcome,
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

/// The instants of a job that have come and are not decided yet.
#[derive(Debug, Clone, Copy)]
pub struct Undecided {
    /// What has come up to and with this instant is decided.
    pub mark: DateTime<Utc>,
    /// Where rates count from.
    pub anchor: DateTime<Utc>,
    /// The last instant whose time has come: now, less the job's place in its spread.
    pub until: DateTime<Utc>,
    /// Since when nobody had looked.
    pub absence: Absence,
}

impl Undecided {
    /// The part of it that ends earlier.
    fn up_to(self, until: DateTime<Utc>) -> Undecided {
        Undecided { until, ..self }
    }

    /// The part of it that begins later.
    fn after(self, mark: DateTime<Utc>) -> Undecided {
        Undecided { mark, ..self }
    }

    /// How much later than its instant the job leaves.
    fn offset(self) -> TimeDelta {
        self.absence.until - self.until
    }
}

/// Decides every instant of a job in (mark, until], given the pauses that concern it.
pub fn plan(job: &Job, undecided: Undecided, pauses: &[(Scope, Pause)]) -> Vec<Planned> {
    let mut pauses: Vec<&(Scope, Pause)> = pauses.iter().collect();
    pauses.sort_by_key(|(_, pause)| pause.since);
    let (mut rest, mut planned) = (undecided, Vec::new());
    for (scope, pause) in pauses {
        // What a pause is about is when a job would leave. One that begins later than now began before the clock was set back.
        let since = if pause.since > rest.absence.until { rest.mark } else { pause.since - rest.offset() };
        let until = pause.until.map(|until| until - rest.offset());
        let from = since.max(rest.mark);
        let to = until.map_or(rest.until, |until| until.min(rest.until));
        if from >= to {
            continue;
        }
        planned.extend(plan_open(job, rest.up_to(from), undecided.until));
        planned.extend(left_out(&job.name, &job.schedule, rest.after(from).up_to(to), &Why::paused(scope, pause)));
        rest = rest.after(to);
    }
    planned.extend(plan_open(job, rest, undecided.until));
    planned
}

/// The same where nothing is paused; `now` is what ages are counted from.
///
/// The range is cut into three that touch: too old for the catch-up window, late, on time. The late ones are cut once
/// more, into those that are left out and the newest ones that start.
fn plan_open(job: &Job, undecided: Undecided, now: DateTime<Utc>) -> Vec<Planned> {
    let Undecided { mark, anchor, until, .. } = undecided;
    if mark >= until {
        return Vec::new();
    }
    let (name, schedule) = (&job.name, &job.schedule);
    let (starts_after, too_old) = starts_after(job, now, undecided.absence.until);
    let window_after = starts_after.clamp(mark, until);
    let fresh_after = (now - ON_TIME).clamp(mark, until).max(window_after);

    let fresh: Vec<DateTime<Utc>> = schedule.firings(fresh_after, until, anchor).collect();
    let caught_up_after = match catchup_starts(job.admission, !fresh.is_empty()) {
        0 => fresh_after,
        starts => schedule.before_newest(starts, window_after, fresh_after, anchor),
    };
    let too_many = match job.admission.catchup {
        Catchup::None => "catchup = \"none\"".to_owned(),
        Catchup::Last => "catchup = \"last\" makes up for the last instant only".to_owned(),
        Catchup::All => format!("catchup = \"all\" starts the newest {CATCHUP_RUNS_MAX} only"),
    };

    let missed = |undecided: Undecided, rule| {
        let why = Why { before: Some(undecided.absence.in_words()), rule, outcome: Left::Missed };
        left_out(name, schedule, undecided, &why)
    };
    let mut planned = missed(undecided.up_to(window_after), too_old);
    planned.extend(missed(undecided.after(window_after).up_to(caught_up_after), too_many));
    let start = |at, trigger| Planned::Start(Firing::of_schedule(name, at, trigger));
    let caught_up = schedule.firings(caught_up_after, fresh_after, anchor);
    planned.extend(caught_up.map(|at| start(at, Trigger::Catchup)));
    planned.extend(fresh.into_iter().map(|at| start(at, Trigger::Schedule)));
    planned
}

/// After when an instant must lie to start at all, and the rule that leaves older ones out. What is on time starts however
/// short the window is, but never after its deadline, which counts from the instant itself.
fn starts_after(job: &Job, now: DateTime<Utc>, really_now: DateTime<Utc>) -> (DateTime<Utc>, String) {
    let before = |instant: DateTime<Utc>, limit| {
        let limit = TimeDelta::from_std(limit).ok();
        limit.and_then(|limit| instant.checked_sub_signed(limit)).unwrap_or(DateTime::<Utc>::MIN_UTC)
    };
    let window = job.admission.catchup_window;
    let window_after = before(now, window).min(now - ON_TIME);
    let deadline = job.definition.limits.start_deadline;
    match deadline.map(|deadline| (before(really_now, deadline), deadline)) {
        Some((after, deadline)) if after > window_after => {
            (after, format!("its start_deadline of {deadline:?} had passed"))
        }
        _ => (window_after, format!("outside the catch-up window of {window:?}")),
    }
}

/// Decides what a spread holds back of a job that is about to be otherwise: it leaves at once, unless the job is paused.
pub fn plan_held_back(job: &Job, undecided: Undecided, pauses: &[(Scope, Pause)]) -> Vec<Planned> {
    let Undecided { mark, anchor, until, absence } = undecided;
    match pauses.iter().find(|(_, pause)| pause.lasts(absence.until)) {
        Some((scope, pause)) => left_out(&job.name, &job.schedule, undecided, &Why::paused(scope, pause)),
        None => {
            let start = |at| Planned::Start(Firing::of_schedule(&job.name, at, Trigger::Schedule));
            job.schedule.firings(mark, until, anchor).map(start).collect()
        }
    }
}

/// Decides every instant that has come of the schedule that a job had before it was changed while nobody looked: none
/// starts, for nobody knows when the change was meant to begin, and each has its row.
pub fn plan_changed(job: &Job, before: &Schedule, undecided: Undecided) -> Vec<Planned> {
    let rule = format!("its schedule then, {}, was changed meanwhile", before.text());
    let why = Why { before: Some(undecided.absence.in_words()), rule, outcome: Left::Missed };
    left_out(&job.name, before, undecided, &why)
}

/// Decides every instant that has come of a job that leaves the configuration: none starts any more.
pub fn plan_removed(job: &Job, undecided: Undecided) -> Vec<Planned> {
    let rule = format!("the job left the configuration at {}", in_words(undecided.absence.until));
    let why = Why { before: None, rule, outcome: Left::Missed };
    left_out(&job.name, &job.schedule, undecided, &why)
}

/// How many of the late instants start, at most, the newest ones.
fn catchup_starts(admission: Admission, a_fresh_one_starts: bool) -> u64 {
    match admission.catchup {
        Catchup::None => 0,
        Catchup::Last => u64::from(!a_fresh_one_starts),
        Catchup::All => CATCHUP_RUNS_MAX,
    }
}

/// Why instants are left out.
struct Why {
    before: Option<String>,
    rule: String,
    outcome: Left,
}

#[derive(Clone, Copy)]
enum Left {
    Skipped,
    Missed,
}

impl Why {
    fn paused(scope: &Scope, pause: &Pause) -> Why {
        Why { before: None, rule: pause.in_words(scope), outcome: Left::Skipped }
    }

    fn outcome(&self, many: Option<String>, covers: Option<Covered>) -> Outcome {
        let parts = [self.before.clone(), many, Some(self.rule.clone())];
        let reason = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
        match self.outcome {
            Left::Skipped => Outcome::Skipped { reason, covers },
            Left::Missed => Outcome::Missed { reason, covers },
        }
    }
}

impl Absence {
    fn in_words(self) -> String {
        format!("the daemon was away from {} to {}", in_words(self.from), in_words(self.until))
    }
}

/// A row for each instant that has come, or one row for all of them where they are many: that of the last one.
fn left_out(job: &JobName, schedule: &Schedule, undecided: Undecided, why: &Why) -> Vec<Planned> {
    let Undecided { mark: after, anchor, until, .. } = undecided;
    let row = |at, outcome| {
        let firing = Firing::of_schedule(job, at, Trigger::Schedule);
        Planned::LeftOut { firing, outcome }
    };
    let instants: Vec<_> = schedule.firings(after, until, anchor).take(MISSED_ROWS_MAX + 1).collect();
    let many = if instants.len() > MISSED_ROWS_MAX { schedule.last(after, until, anchor) } else { None };
    let (Some(first), Some(last)) = (instants.first().copied(), many) else {
        return instants.into_iter().map(|at| row(at, why.outcome(None, None))).collect();
    };
    let count = schedule.count(after, until, anchor);
    let many = format!("{count} instants, from {} to this one", in_words(first));
    vec![row(last, why.outcome(Some(many), Some(Covered { first, count })))]
}

/// A living run of the same job, oldest first.
#[derive(Debug, Clone)]
pub struct Living {
    /// Its name.
    pub id: RunId,
    /// Whether its first launch is still to come.
    pub is_due: bool,
    /// What began it.
    pub trigger: Trigger,
}

impl Living {
    /// Whether it makes way for whatever is not of a backfill.
    fn makes_way(&self) -> bool {
        self.is_due && self.trigger == Trigger::Backfill
    }
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

/// Decides about a firing, given the living runs of its job; `queue_max` is how many may wait under `queue_all`.
///
/// A backfill must not cost the schedule an instant: what is not of a backfill itself and meets runs of one only, waits for the
/// one that is under way, and goes before those that wait ([`place_among`]).
pub fn meet(overlap: Overlap, trigger: Trigger, living: &[Living], queue_max: usize) -> Meeting {
    let counts = |run: &&Living| trigger == Trigger::Backfill || run.trigger != Trigger::Backfill;
    let living: Vec<&Living> = living.iter().filter(counts).collect();
    let Some(oldest) = living.first() else { return Meeting::Start };
    let waiting: Vec<&&Living> = living.iter().skip(1).filter(|run| run.is_due).collect();
    match overlap {
        Overlap::Allow => Meeting::Start,
        Overlap::Skip => Meeting::Skip { reason: format!("run {} still lives (overlap = \"skip\")", oldest.id) },
        Overlap::QueueOne => match waiting.first() {
            None => Meeting::Start,
            Some(queued) => {
                Meeting::Skip { reason: format!("run {} already waits (overlap = \"queue_one\")", queued.id) }
            }
        },
        Overlap::QueueAll if waiting.len() >= queue_max => Meeting::Skip {
            reason: format!("{queue_max} runs already wait behind run {} (overlap = \"queue_all\")", oldest.id),
        },
        Overlap::QueueAll => Meeting::Start,
        Overlap::CancelRunning => Meeting::Replace(living.iter().map(|run| run.id.clone()).collect()),
    }
}

/// Where a new run stands among the living ones of its job, the oldest first.
pub fn place_among(trigger: Trigger, living: &[Living]) -> usize {
    match trigger {
        Trigger::Backfill => living.len(),
        Trigger::Schedule | Trigger::Catchup | Trigger::Manual => {
            living.iter().position(Living::makes_way).unwrap_or(living.len())
        }
    }
}

/// How many runs of a job have ended badly in a row, after one more has ended so. What never ran, or was cancelled by
/// somebody, says nothing about the job.
pub fn failed_in_a_row(before: u32, ended: Status) -> u32 {
    match ended {
        Status::Failed | Status::TimedOut | Status::Unknown => before.saturating_add(1),
        Status::Succeeded => 0,
        Status::Cancelled | Status::Skipped | Status::Missed => before,
        Status::Due | Status::Launching | Status::Running | Status::Stopping | Status::Waiting => before,
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
