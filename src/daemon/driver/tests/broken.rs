//! Deliberately broken builds: each safeguard of launching exactly once, removed. `histories.rs` shows that the simulation
//! catches every one of them, so that a green simulation means something.
//!
//! A flaw is put between the driver and the run, or between the world and the driver; the product's own code is as it is.

use std::cell::Cell;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::people::Wish;
use super::world::World;
use crate::daemon::driver::Driver;
use crate::engine::failure::is_definite;
use crate::engine::job::JobName;
use crate::engine::notice::Standing;
use crate::engine::pause::Scope;
use crate::engine::run::{ClockChange, Event, Outcome, Refused, Run, Seek, State, Step};
use crate::engine::task::{LaunchAnswer, SearchAnswer, TaskFacts, TaskTimes};
use crate::store::Batch;

/// A safeguard that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Acts are performed before the batch that orders them is saved.
    ActsBeforeItsSave,
    /// Marks are saved in a transaction of their own, before the runs that they account for.
    MarksApart,
    /// A run that the store knew already is acted upon all the same.
    ForgetsNoDuplicate,
    /// A request leaves without a last look at its age.
    SendsWhatGrewOld,
    /// After an ambiguous answer the next attempt is a new generation.
    LaunchesAnewAfterAnAmbiguousAnswer,
    /// A retry builds the request again, with what has changed meanwhile.
    RebuildsTheRequest,
    /// `failures` are believed at once.
    LooksForNoGhost,
    /// A ghost is looked for right after `failures` only.
    LooksForAGhostOnlyOnce,
    /// A conflict ends a launch instead of naming the task that there is.
    TakesAConflictForAnEnd,
    /// A launch is sent again however old it is.
    SendsAgainForEver,
    /// A run ends although a launch of it is open.
    EndsWithoutALook,
    /// The first look that finds nothing counts, before ECS can show what it did.
    BelievesTheFirstLook,
    /// A daemon that died while it was sending takes the launch for not sent.
    ResumesAsIfNothingWasSent,
    /// A refusal of one send counts for an earlier, open one of the same launch.
    TakesARefusalForEverySend,
    /// A clock that was set back leaves launches as young as it says.
    TrustsAClockThatWasSetBack,
    /// A task that is not visible yet is lost.
    BelievesAnEarlyMissing,
    /// A task that is not visible yet is lost once the clock has jumped ahead.
    TrustsAClockThatJumpedAhead,
    /// A task that was asked to stop counts as stopped.
    TakesAStopForDone,
    /// A launch of which nobody knows is launched anew without being asked to.
    RetriesTheUnknown,
    /// Whatever has ended has ended well.
    CallsEveryEndGreen,
    /// A run whose retries are used up is tried once more.
    GrantsARetryTooMany,
    /// A firing starts whatever lives of its job.
    StartsBesideALivingRun,
    /// A job is not put back into the agenda.
    LosesAJob,
    /// What a pause was about is decided when it is over.
    ResumesThePast,
    /// A pause is not saved.
    LosesAPause,
    /// A run that is over keeps its slot.
    KeepsASlot,
    /// Runs launch whether there is a slot or not.
    CountsNoSlots,
    /// A schedule that was changed begins before the change.
    ReloadsRetroactively,
    /// A run that somebody triggers is launched before it is saved.
    TriggersBeforeItsSave,
    /// What people did is saved in a transaction of its own, before what came of it.
    AuditsApart,
    /// Runs that begin together are saved in the order of their names.
    SavesRunsByName,
    /// Retries go before every first launch.
    LetsRetriesPass,
    /// Notices are saved in a transaction of their own, after what they are about.
    NotifiesApart,
    /// What is told of an end is decided by how the job stands after it.
    TellsByHowItStandsNow,
    /// What was told is not kept over a restart.
    ForgetsWhatWasTold,
}

impl Flaw {
    pub(super) const ALL: [Flaw; 35] = [
        Flaw::ActsBeforeItsSave,
        Flaw::MarksApart,
        Flaw::ForgetsNoDuplicate,
        Flaw::SendsWhatGrewOld,
        Flaw::LaunchesAnewAfterAnAmbiguousAnswer,
        Flaw::RebuildsTheRequest,
        Flaw::LooksForNoGhost,
        Flaw::LooksForAGhostOnlyOnce,
        Flaw::TakesAConflictForAnEnd,
        Flaw::SendsAgainForEver,
        Flaw::EndsWithoutALook,
        Flaw::BelievesTheFirstLook,
        Flaw::ResumesAsIfNothingWasSent,
        Flaw::TakesARefusalForEverySend,
        Flaw::TrustsAClockThatWasSetBack,
        Flaw::BelievesAnEarlyMissing,
        Flaw::TrustsAClockThatJumpedAhead,
        Flaw::TakesAStopForDone,
        Flaw::RetriesTheUnknown,
        Flaw::CallsEveryEndGreen,
        Flaw::GrantsARetryTooMany,
        Flaw::StartsBesideALivingRun,
        Flaw::LosesAJob,
        Flaw::ResumesThePast,
        Flaw::LosesAPause,
        Flaw::KeepsASlot,
        Flaw::CountsNoSlots,
        Flaw::ReloadsRetroactively,
        Flaw::TriggersBeforeItsSave,
        Flaw::AuditsApart,
        Flaw::SavesRunsByName,
        Flaw::LetsRetriesPass,
        Flaw::NotifiesApart,
        Flaw::TellsByHowItStandsNow,
        Flaw::ForgetsWhatWasTold,
    ];

    /// Puts a flaw, or none, into every driver of this thread.
    pub(super) fn put(flaw: Option<Flaw>) {
        HERE.set(flaw);
    }

    /// Whether this safeguard is removed in this thread.
    pub(super) fn is_here(self) -> bool {
        HERE.get() == Some(self)
    }
}

thread_local! {
    static HERE: Cell<Option<Flaw>> = const { Cell::new(None) };
}

/// What a driver does otherwise before its turn.
pub(super) fn before_turn(world: &mut World, now: DateTime<Utc>) {
    if Flaw::LetsRetriesPass.is_here() {
        let Driver { runs, queue, .. } = &mut world.driver;
        let retries = runs.values_mut().filter(|tracked| tracked.run.launch.is_some());
        for queued in retries.filter_map(|tracked| tracked.queued.as_mut()) {
            queue.remove(&queued.key, &queued.place);
            queued.place.0 = DateTime::<Utc>::MIN_UTC;
            queue.insert(queued.key.clone(), queued.place.clone());
        }
    }
    if !Flaw::ResumesThePast.is_here() {
        return;
    }
    let driver = &mut world.driver;
    let paused: Vec<JobName> = driver.jobs.keys().filter(|name| !driver.pauses_of(name).is_empty()).cloned().collect();
    for wish in &world.people.asked {
        if let Wish::Resume(scope) = wish {
            driver.lift_pause(scope);
        }
    }
    let over: Vec<Scope> =
        driver.pauses.iter().filter(|(_, pause)| !pause.lasts(now)).map(|(scope, _)| scope.clone()).collect();
    over.iter().for_each(|scope| drop(driver.lift_pause(scope)));
    for name in paused {
        if driver.pauses_of(&name).is_empty() {
            driver.enter_agenda(&name);
        } else {
            driver.agenda.retain(|(_, of)| *of != name);
        }
    }
}

/// What it does otherwise after it.
pub(super) fn after_turn(world: &mut World, batch: &mut Option<Batch>, now: DateTime<Utc>) {
    let driver = &mut world.driver;
    if let (true, Some(batch)) = (Flaw::LosesAPause.is_here(), batch.as_mut()) {
        batch.pauses.clear();
    }
    if let (true, Some(batch)) = (Flaw::SavesRunsByName.is_here(), batch.as_mut()) {
        batch.runs.sort_by(|one, other| one.run.id.cmp(&other.run.id));
    }
    if let (true, Some(batch)) = (Flaw::AuditsApart.is_here(), batch.as_mut()) {
        let audit = std::mem::take(&mut batch.audit);
        world.shelf.commit(&Batch { audit, ..Batch::empty(batch.term, batch.at) });
    }
    if let (true, Some(batch)) = (Flaw::NotifiesApart.is_here(), batch.as_mut()) {
        let late = std::mem::take(&mut batch.notices);
        batch.notices = std::mem::replace(&mut world.late_notices, late);
    }
    if let (true, Some(batch)) = (Flaw::TellsByHowItStandsNow.is_here(), batch.as_mut()) {
        let ended = driver.runs.values_mut().filter(|tracked| tracked.before.is_some());
        for tracked in ended {
            tracked.before = driver.jobs.get(&tracked.run.job).map(super::super::JobEntry::stands);
        }
        batch.notices = driver.owed(&batch.runs);
    }
    if let (true, Some(batch)) = (Flaw::ForgetsWhatWasTold.is_here(), batch.as_mut()) {
        batch.marks.iter_mut().for_each(|mark| mark.standing = Standing::default());
    }
    if let (true, Some(batch)) = (Flaw::KeepsASlot.is_here(), batch.as_ref()) {
        for save in batch.runs.iter().filter(|save| save.run.is_finished() && save.run.launch.is_some()) {
            driver.slots.take(&save.run.id, save.run.definition.task.group.as_deref());
        }
    }
    let is_reloaded = world.people.asked.iter().any(|wish| matches!(wish, Wish::Reload(..)));
    if Flaw::ReloadsRetroactively.is_here() && is_reloaded {
        let is_new = |mark: &DateTime<Utc>| *mark == now;
        let names: Vec<JobName> =
            driver.jobs.iter().filter(|(_, entry)| is_new(&entry.mark)).map(|(name, _)| name.clone()).collect();
        for name in names {
            driver.agenda.retain(|(_, of)| *of != name);
            if let Some(entry) = driver.jobs.get_mut(&name) {
                entry.mark -= TimeDelta::seconds(60);
                entry.next_at = entry.job.schedule.next(entry.mark, entry.anchor);
            }
            driver.enter_agenda(&name);
        }
    }
}

/// `Run::step`, with a safeguard removed.
pub(in crate::daemon::driver) fn step(run: &mut Run, event: Event, now: DateTime<Utc>) -> Result<Step, Refused> {
    let Some(flaw) = HERE.get() else { return run.step(event, now) };
    let was_launching = run.state == State::Launching;
    let event = misread(flaw, run, event);
    if flaw == Flaw::SendsAgainForEver
        && let Some(launch) = &mut run.launch
    {
        launch.first_sent_at = now;
    }
    let is_refusal = matches!(&event, Event::Answered(LaunchAnswer::Refused { code, status, .. })
        if is_definite(code.as_deref(), *status));
    let resumed = event == Event::Resumed;
    let mut stepped = run.step(event, now)?;
    misremember(flaw, run, is_refusal, was_launching && resumed, now);
    if flaw == Flaw::LooksForNoGhost && matches!(run.state, State::Seeking { why: Seek::Ghost { .. }, .. }) {
        let more = run.step(Event::Sought(SearchAnswer::Nothing), now)?;
        if let (Step::Changed(entries), Step::Changed(more)) = (&mut stepped, more) {
            entries.extend(more);
        }
    }
    if let (Flaw::LooksForNoGhost | Flaw::LooksForAGhostOnlyOnce, State::Waiting { look_first, .. }) =
        (flaw, &mut run.state)
    {
        *look_first = false;
    }
    Ok(stepped)
}

/// `Run::adjust`, with a safeguard removed.
pub(in crate::daemon::driver) fn adjust(run: &mut Run, change: ClockChange, now: DateTime<Utc>) -> bool {
    let is_ignored = match change {
        ClockChange::SetBack(_) | ClockChange::AgeLost => Flaw::TrustsAClockThatWasSetBack.is_here(),
        ClockChange::Ahead => Flaw::TrustsAClockThatJumpedAhead.is_here(),
    };
    !is_ignored && run.adjust(change, now)
}

/// What the run is told instead.
fn misread(flaw: Flaw, run: &mut Run, event: Event) -> Event {
    match (flaw, event) {
        (Flaw::TakesAConflictForAnEnd, Event::Answered(LaunchAnswer::Conflict { message, .. })) => {
            if let Some(launch) = &mut run.launch {
                launch.unresolved = false;
            }
            Event::Answered(LaunchAnswer::Refused { code: Some("ConflictException".into()), message, status: 400 })
        }
        (Flaw::BelievesAnEarlyMissing, Event::Missing(task)) => {
            run.pretend_missing_for(TimeDelta::minutes(10));
            Event::Missing(task)
        }
        (Flaw::TakesAStopForDone, Event::StopAsked { refusal }) => match run.followed_task().cloned() {
            Some(task) => Event::Observed(TaskFacts {
                task,
                last_status: "STOPPED".into(),
                stop_code: Some("UserInitiated".into()),
                stopped_reason: None,
                times: TaskTimes::default(),
                described: None,
                containers: Vec::new(),
            }),
            None => Event::StopAsked { refusal },
        },
        (Flaw::CallsEveryEndGreen, Event::Observed(mut facts)) => {
            for container in &mut facts.containers {
                container.exit_code = container.exit_code.map(|_| 0);
            }
            Event::Observed(facts)
        }
        (_, event) => event,
    }
}

/// What the run forgets afterwards.
fn misremember(flaw: Flaw, run: &mut Run, after_refusal: bool, after_resume: bool, now: DateTime<Utc>) {
    let mut launch = run.launch.as_mut();
    let mut close = || {
        if let Some(launch) = &mut launch {
            launch.unresolved = false;
        }
    };
    match (flaw, &mut run.state) {
        (Flaw::LaunchesAnewAfterAnAmbiguousAnswer, State::Waiting { resend, .. }) => {
            *resend = false;
            close();
        }
        (Flaw::TakesARefusalForEverySend, State::Waiting { resend, .. }) if after_refusal => {
            *resend = false;
            close();
        }
        (Flaw::ResumesAsIfNothingWasSent, State::Launching) if after_resume => close(),
        (Flaw::RebuildsTheRequest, State::Launching) => {
            if let Some(launch) = launch {
                let attempt = run.attempts.len().to_string();
                Arc::make_mut(&mut launch.request).task.tags.insert("tenacron:attempt".into(), attempt);
            }
        }
        (Flaw::EndsWithoutALook, State::Seeking { why: Seek::BeforeEnd { outcome }, .. }) => {
            run.state = State::Finished { outcome: outcome.clone(), at: now };
        }
        (Flaw::BelievesTheFirstLook, State::Seeking { until, look_at, .. }) => *until = (*until).min(*look_at),
        (Flaw::RetriesTheUnknown, State::Finished { outcome: Outcome::Unknown { .. }, .. }) => {
            run.state = State::Waiting { until: now, resend: false, look_first: false };
        }
        (Flaw::GrantsARetryTooMany, State::Finished { outcome: Outcome::Failed { .. }, .. })
            if run.attempts.iter().all(|attempt| attempt.retrier.is_some() || attempt.failure.is_some())
                && run.attempts.len() == 3 =>
        {
            run.state = State::Waiting { until: now, resend: false, look_first: false };
        }
        _ => {}
    }
}
