//! Who must be told what, written a second time: from the batches as they are saved, without the driver's books.
//!
//! Each batch must owe what its transitions say and nothing else. Where the order of several ends of a job in one batch
//! decides, and the batch does not tell it, either is right, and the job stands as its mark says.

use std::collections::{BTreeMap, BTreeSet};

use super::random::Random;
use super::{demand, demand_eq};
use crate::engine::job::JobName;
use crate::engine::notice::{Before, ChannelId, LeftOut, Notice, NotifyRule, On, Repeat};
use crate::engine::run::{Entry, HistoryEvent, Run, RunId, Status, Trigger};
use crate::store::{Batch, RunSave};

/// Rules of a job, or none. They are drawn beside the history: with them or without it is the same.
pub(super) fn rules(random: &Random) -> Vec<NotifyRule> {
    let mut random = random.clone();
    let all: BTreeSet<On> = On::ALL.into();
    let bad: BTreeSet<On> =
        [On::Failed, On::TimedOut, On::Missed, On::Skipped, On::Unknown, On::Recovered].into_iter().collect();
    let rule =
        |on: &BTreeSet<On>, repeat, to: &str| NotifyRule { on: on.clone(), repeat, channel: ChannelId(to.into()) };
    match random.below(5) {
        0 => Vec::new(),
        1 => vec![rule(&all, Repeat::Every, "every")],
        2 => vec![rule(&bad, Repeat::First, "first")],
        3 => vec![rule(&all, Repeat::Every, "every"), rule(&all, Repeat::First, "first")],
        _ => {
            // A channel that two rules name.
            let good = [On::Succeeded, On::Started].into_iter().collect();
            vec![
                rule(&bad, Repeat::First, "both"),
                rule(&good, Repeat::Every, "both"),
                rule(&bad, Repeat::Every, "every"),
            ]
        }
    }
}

/// What was owed so far, and how the jobs stand.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By name.
    pub(super) notices: BTreeMap<String, Notice>,
    /// Of the jobs that have a mark.
    stands: BTreeMap<JobName, Before>,
    /// As their marks say.
    saved: BTreeMap<JobName, Before>,
    started: BTreeSet<RunId>,
}

/// What a channel may be told of a run in one batch.
#[derive(Debug, Default)]
struct Due {
    started: usize,
    retries: (usize, usize),
    /// None stands for nothing.
    end: Vec<Option<On>>,
}

/// What a channel may be told of the rows of a job that were left out in one way.
#[derive(Debug, Default)]
struct Together {
    rows: BTreeSet<RunId>,
    instants: u64,
    must: bool,
    may: bool,
}

type Key<'a> = (&'a RunId, &'a ChannelId);
type Group<'a> = (&'a JobName, On, &'a ChannelId);

#[derive(Default)]
struct Expected<'a> {
    runs: BTreeMap<Key<'a>, Due>,
    rows: BTreeMap<Group<'a>, Together>,
}

impl Told {
    /// Takes in a batch that was saved, but for the runs that were dropped.
    pub(super) fn note(&mut self, batch: &Batch, dropped: &BTreeSet<RunId>) {
        let saved: Vec<&RunSave> = batch.runs.iter().filter(|save| !dropped.contains(&save.run.id)).collect();
        let unclear = self.unclear(batch, &saved, dropped);
        let mut expected = Expected::default();
        for save in saved {
            let is_clear = !unclear.contains(&save.run.job);
            self.expect(save, is_clear, &mut expected);
            if is_clear && let Some(stands) = self.stands.get_mut(&save.run.job) {
                *stands = after(*stands, save);
            }
        }
        self.stands_are_saved(batch, &unclear);
        // Of a start the first word counts, and the store knows the name: the same attempt may name more tasks later.
        let is_known = |notice: &Notice| notice.facts.on == On::Started && self.notices.contains_key(&notice.id);
        let is_new = |notice: &&Notice| !dropped.contains(&notice.facts.run) && !is_known(notice);
        let owed: Vec<&Notice> = batch.notices.iter().filter(is_new).collect();
        check(&owed, &expected);
        for notice in owed {
            let old = self.notices.insert(notice.id.clone(), notice.clone());
            demand(old.is_none(), || format!("owed twice: {notice:?}"));
        }
    }

    /// Jobs of which the batch does not tell in which order things happened.
    fn unclear(&self, batch: &Batch, saved: &[&RunSave], dropped: &BTreeSet<RunId>) -> BTreeSet<JobName> {
        let mut unclear: BTreeSet<JobName> = batch.forgotten_marks.iter().cloned().collect();
        unclear
            .extend(batch.runs.iter().filter(|save| dropped.contains(&save.run.id)).map(|save| save.run.job.clone()));
        let is_new = |mark: &&crate::store::Mark| !self.stands.contains_key(&mark.job);
        unclear.extend(batch.marks.iter().filter(is_new).map(|mark| mark.job.clone()));
        let mut events: BTreeMap<&JobName, (usize, usize)> = BTreeMap::new();
        for save in saved {
            let (ends, others) = events.entry(&save.run.job).or_default();
            *ends += usize::from(save.run.is_finished() && !(save.is_new && was_left_out(save)));
            // Whether a retry came before the end of another run is not told either.
            let is_retried = !save.run.is_finished() && save.entries.iter().any(|entry| retried(entry).is_some());
            *others += usize::from(save.is_new) + usize::from(is_retried);
        }
        for audit in batch.audit.iter().filter(|audit| audit.action == "resume") {
            let resumed = audit.job.as_ref().and_then(|job| events.get_mut(job));
            // It changes how the job stands, as an end does.
            resumed.into_iter().for_each(|(ends, _)| *ends += 1);
        }
        let is_unclear = |(ends, others): &(usize, usize)| *ends > 0 && ends + others > 1;
        unclear.extend(events.into_iter().filter(|(_, events)| is_unclear(events)).map(|(job, _)| job.clone()));
        unclear
    }

    fn expect<'a>(&mut self, save: &'a RunSave, is_clear: bool, expected: &mut Expected<'a>) {
        let run = &save.run;
        let stands = self.stands.get(&run.job).copied().unwrap_or_default();
        let starts = save.entries.iter().any(names_a_task) && self.started.insert(run.id.clone());
        if by_wish(run) {
            return;
        }
        let (first_end, is_left_out) = (is_first(run, stands), was_left_out(save));
        for rule in &*run.definition.notify {
            let names = |on: &On| rule.on.contains(on);
            let every = rule.repeat == Repeat::Every;
            let on = how_ended(run).filter(|_| save.entries.iter().any(ends_a_run));
            if is_left_out {
                let Some(on) = on.filter(names) else { continue };
                let group = expected.rows.entry((&run.job, on, &rule.channel)).or_default();
                if group.rows.insert(run.id.clone()) {
                    group.instants += instants(run);
                }
                group.must |= every || (is_clear && first_end);
                group.may |= every || !is_clear || first_end;
                continue;
            }
            let due = expected.runs.entry((&run.id, &rule.channel)).or_default();
            due.started = due.started.max(usize::from(starts && names(&On::Started)));
            if names(&On::Retrying) {
                let all = save.entries.iter().filter_map(retried).count();
                let firsts = save.entries.iter().filter_map(retried).filter(|attempt| *attempt == 1).count();
                let (min, max) = match (every, is_clear, stands.failed_in_a_row) {
                    (true, ..) => (all, all),
                    (false, true, 0) => (firsts, firsts),
                    (false, true, _) => (0, 0),
                    (false, false, _) => (0, firsts),
                };
                due.retries = (due.retries.0.max(min), due.retries.1.max(max));
            }
            let Some(on) = on else { continue };
            let mut ends = Vec::new();
            if on == On::Succeeded {
                let good = Some(On::Succeeded).filter(names);
                let back = Some(On::Recovered).filter(names).or(good);
                if !is_clear || !stands.standing.ended_badly {
                    ends.push(good);
                }
                if !is_clear || stands.standing.ended_badly {
                    ends.push(back);
                }
            } else {
                let told = Some(on).filter(names);
                if every || !is_clear || first_end {
                    ends.push(told);
                }
                if !every && (!is_clear || !first_end) {
                    ends.push(None);
                }
            }
            due.also(&ends);
        }
    }

    /// What the marks say is what the rows say.
    fn stands_are_saved(&mut self, batch: &Batch, unclear: &BTreeSet<JobName>) {
        for audit in batch.audit.iter().filter(|audit| audit.action == "resume") {
            let resumed = audit.job.as_ref().and_then(|job| self.stands.get_mut(job));
            resumed.into_iter().for_each(|stands| stands.failed_in_a_row = 0);
        }
        for job in &batch.forgotten_marks {
            self.saved.remove(job);
        }
        for mark in &batch.marks {
            let stored = Before { failed_in_a_row: mark.failed_in_a_row, standing: mark.standing };
            self.saved.insert(mark.job.clone(), stored);
        }
        for job in unclear {
            match self.saved.get(job) {
                Some(saved) => self.stands.insert(job.clone(), *saved),
                None => self.stands.remove(job),
            };
        }
        let touched = batch.runs.iter().map(|save| &save.run.job).chain(batch.marks.iter().map(|mark| &mark.job));
        for job in touched {
            demand_eq(self.saved.get(job), self.stands.get(job), || format!("how {job} stands"));
        }
    }
}

impl Due {
    /// Another rule of the same channel: what either tells is told, a recovery before a success.
    fn also(&mut self, ends: &[Option<On>]) {
        if self.end.is_empty() {
            self.end = ends.to_vec();
            return;
        }
        let better = |one: Option<On>, other: Option<On>| match (one, other) {
            (Some(On::Recovered), _) | (_, Some(On::Recovered)) => Some(On::Recovered),
            _ => one.or(other),
        };
        self.end = self.end.iter().flat_map(|one| ends.iter().map(move |other| better(*one, *other))).collect();
    }
}

fn check(owed: &[&Notice], expected: &Expected<'_>) {
    let mut left: Vec<&Notice> = owed.to_vec();
    let mut take = |is_it: &dyn Fn(&Notice) -> bool| -> Vec<&Notice> {
        let (taken, others) = left.iter().partition::<Vec<&Notice>, _>(|notice| is_it(notice));
        left = others;
        taken
    };
    for ((job, on, channel), group) in &expected.rows {
        let told = take(&|notice| {
            notice.facts.job == **job
                && notice.facts.on == *on
                && notice.channel == **channel
                && group.rows.contains(&notice.facts.run)
        });
        let is_right = match told.as_slice() {
            [] => !group.must,
            [one] => group.may && one.facts.others + 1 == group.instants,
            _ => false,
        };
        demand(is_right, || format!("{job} owes {channel} one notice at most of {group:?}, and owes {told:?}"));
    }
    for ((run, channel), due) in &expected.runs {
        let told = take(&|notice| notice.facts.run == **run && notice.channel == **channel);
        let count = |on: On| told.iter().filter(|notice| notice.facts.on == on).count();
        let ends: Vec<On> =
            told.iter().map(|n| n.facts.on).filter(|on| !matches!(on, On::Started | On::Retrying)).collect();
        demand(ends.len() < 2, || format!("{run} ends more than once for {channel}: {ends:?}"));
        let end = ends.first().copied();
        let is_end = due.end.contains(&end) || (due.end.is_empty() && end.is_none());
        let (min, max) = due.retries;
        let is_right = count(On::Started) == due.started && (min..=max).contains(&count(On::Retrying)) && is_end;
        demand(is_right, || format!("{run} owes {channel} {due:?}, and owes {told:?}"));
    }
    demand(left.is_empty(), || format!("nothing happened of which this tells: {left:?}"));
}

fn how_ended(run: &Run) -> Option<On> {
    match run.status() {
        Status::Succeeded => Some(On::Succeeded),
        Status::Failed => Some(On::Failed),
        Status::TimedOut => Some(On::TimedOut),
        Status::Unknown => Some(On::Unknown),
        Status::Missed => Some(On::Missed),
        Status::Skipped => Some(On::Skipped),
        Status::Cancelled | Status::Due | Status::Launching | Status::Running | Status::Stopping | Status::Waiting => {
            None
        }
    }
}

/// A pause, and what whoever asked for a run was answered.
fn by_wish(run: &Run) -> bool {
    let is_paused = run.shown_cause().is_some_and(|cause| cause.contains(" paused at "));
    let is_asked = matches!(run.trigger, Trigger::Manual | Trigger::Backfill);
    run.status() == Status::Skipped && run.attempts.is_empty() && (is_paused || is_asked)
}

fn is_first(run: &Run, stands: Before) -> bool {
    match run.status() {
        Status::Failed | Status::TimedOut | Status::Unknown => stands.failed_in_a_row == 0,
        Status::Missed => !stands.standing.left_out.missed,
        Status::Skipped => !stands.standing.left_out.skipped,
        _ => true,
    }
}

/// Whether a run that ended was never launched: its rows are told together.
fn was_left_out(save: &RunSave) -> bool {
    matches!(save.run.status(), Status::Missed | Status::Skipped) && save.run.attempts.is_empty()
}

fn instants(run: &Run) -> u64 {
    match &run.state {
        crate::engine::run::State::Finished { outcome, .. } => outcome.covers().map_or(1, |covered| covered.count),
        _ => 0,
    }
}

fn names_a_task(entry: &Entry) -> bool {
    matches!(entry.event, HistoryEvent::TaskSubmitted { .. } | HistoryEvent::TaskAdopted { .. })
}

fn retried(entry: &Entry) -> Option<u32> {
    match entry.event {
        HistoryEvent::RetryScheduled { attempt, .. } | HistoryEvent::LaunchRerun { attempt, .. } => Some(attempt),
        _ => None,
    }
}

fn ends_a_run(entry: &Entry) -> bool {
    let name = serde_json::to_value(&entry.event).unwrap()["type"].as_str().unwrap().to_owned();
    name.starts_with("Execution") && name != "ExecutionStarted"
}

/// How a job stands after a run of it has begun, was left out or is over.
fn after(mut stands: Before, save: &RunSave) -> Before {
    let run = &save.run;
    if save.is_new && !matches!(run.status(), Status::Missed | Status::Skipped) {
        stands.standing.left_out = LeftOut::NONE;
    }
    match run.status() {
        Status::Succeeded => stands = Before::default(),
        Status::Failed | Status::TimedOut | Status::Unknown => {
            stands.failed_in_a_row += 1;
            stands.standing.ended_badly = true;
            stands.standing.left_out = LeftOut::NONE;
        }
        Status::Cancelled => stands.standing.left_out = LeftOut::NONE,
        Status::Missed | Status::Skipped if by_wish(run) => {}
        Status::Missed => stands.standing.left_out.missed = true,
        Status::Skipped => stands.standing.left_out.skipped = true,
        Status::Due | Status::Launching | Status::Running | Status::Stopping | Status::Waiting => {}
    }
    stands
}
