//! Which notices are owed: decided from what happened to runs, by the rules that are frozen with them.
//!
//! Nobody is told of what a person did: a cancelled run, the instants of a pause, a run that was asked for and skipped, which
//! whoever asked for it learns at once. What was left out together is told together, so that an absence makes one notice for
//! each job, kind and channel, however much it left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use super::super::failure::Failure;
use super::super::hint::hint;
use super::super::job::JobName;
use super::super::run::{Attempt, Entry, HistoryEvent, Outcome, Run, RunId, State, Trigger};
use super::{ATTEMPTS_MAX, AttemptFacts, ChannelId, LeftOut, Notice, NoticeFacts, NotifyRule, On, Repeat, Standing};

/// How a job stands, or stood before a run of it was over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Before {
    /// How many of its runs had ended badly in a row.
    pub failed_in_a_row: u32,
    /// What its newest rows were.
    pub standing: Standing,
}

/// A run that changed.
#[derive(Debug, Clone, Copy)]
pub struct Happened<'a> {
    /// The run as it is now.
    pub run: &'a Run,
    /// What is new in its history.
    pub entries: &'a [Entry],
    /// How its job stood before the run was over; while it lives, how it stands.
    pub before: Before,
    /// It is over because a person wanted it so.
    pub by_wish: bool,
}

/// What a notice says of a job.
#[derive(Debug, Clone, Default)]
pub struct JobNow {
    /// The zone of its schedule.
    pub timezone: Option<String>,
    /// When it leaves next.
    pub next_at: Option<DateTime<Utc>>,
    /// Who paused it.
    pub paused: Option<String>,
}

/// The notices that are owed for what happened, in its order. `job_now` is asked only for what owes something.
pub fn owed<'a>(happened: impl IntoIterator<Item = Happened<'a>>, job_now: impl Fn(&JobName) -> JobNow) -> Vec<Notice> {
    let mut drafts = Drafts::default();
    for happened in happened {
        drafts.note_catchup(&happened);
        for entry in happened.entries {
            if let Some(news) = News::of(entry, &happened) {
                drafts.add(happened, entry, news);
            }
        }
    }
    drafts.into_notices(job_now)
}

/// What an entry of a history has to tell.
#[derive(Debug, Clone, Copy)]
enum News<'a> {
    Started,
    Retrying { attempt: u32, until: DateTime<Utc> },
    Ended(&'a Outcome),
}

impl<'a> News<'a> {
    fn of(entry: &'a Entry, happened: &Happened<'a>) -> Option<News<'a>> {
        match &entry.event {
            HistoryEvent::TaskSubmitted { attempt, .. } | HistoryEvent::TaskAdopted { attempt, .. } => {
                let mut former = happened.run.attempts.iter().take_while(|former| former.attempt < *attempt);
                former.all(|former| former.task.is_none()).then_some(News::Started)
            }
            HistoryEvent::RetryScheduled { attempt, until, .. } => {
                Some(News::Retrying { attempt: *attempt, until: *until })
            }
            HistoryEvent::LaunchRerun { attempt, .. } => Some(News::Retrying { attempt: *attempt, until: entry.at }),
            HistoryEvent::ExecutionSucceeded {}
            | HistoryEvent::ExecutionFailed { .. }
            | HistoryEvent::ExecutionTimedOut { .. }
            | HistoryEvent::ExecutionSkipped { .. }
            | HistoryEvent::ExecutionMissed { .. }
            | HistoryEvent::ExecutionUnknown { .. } => match &happened.run.state {
                State::Finished { outcome, .. } if !happened.by_wish => Some(News::Ended(outcome)),
                State::Finished { .. }
                | State::Due
                | State::Launching
                | State::Seeking { .. }
                | State::Running { .. }
                | State::Stopping { .. }
                | State::Waiting { .. } => None,
            },
            HistoryEvent::ExecutionStarted { .. }
            | HistoryEvent::TaskScheduled { .. }
            | HistoryEvent::TaskSubmitFailed { .. }
            | HistoryEvent::TaskStarted { .. }
            | HistoryEvent::TaskEnded { .. }
            | HistoryEvent::TaskSucceeded { .. }
            | HistoryEvent::TaskFailed { .. }
            | HistoryEvent::TaskTimedOut { .. }
            | HistoryEvent::TaskStopRequested { .. }
            | HistoryEvent::TaskStopRefused { .. }
            | HistoryEvent::TaskStopOverdue { .. }
            | HistoryEvent::RetryForbidden { .. }
            | HistoryEvent::LaunchLookup { .. }
            | HistoryEvent::LaunchLookupFailed { .. }
            | HistoryEvent::Resumed { .. }
            | HistoryEvent::CancelRequested { .. }
            | HistoryEvent::ExecutionAborted { .. } => None,
        }
    }

    /// By which entry it is named.
    fn seq(self, entry: &Entry) -> u32 {
        match self {
            // A run starts once, though several entries may say so.
            News::Started => 0,
            News::Retrying { .. } | News::Ended(_) => entry.seq,
        }
    }

    /// As what a rule tells it, if it does.
    fn as_told_by(self, rule: &NotifyRule, before: Before) -> Option<On> {
        let named = |on: On| rule.on.contains(&on).then_some(on);
        match self {
            News::Started => named(On::Started),
            News::Retrying { .. } => named(On::Retrying),
            News::Ended(outcome) => match outcome {
                Outcome::Succeeded if before.standing.ended_badly => named(On::Recovered).or(named(On::Succeeded)),
                Outcome::Succeeded => named(On::Succeeded),
                Outcome::Failed { .. } => named(On::Failed),
                Outcome::TimedOut { .. } => named(On::TimedOut),
                Outcome::Unknown { .. } => named(On::Unknown),
                Outcome::Missed { .. } => named(On::Missed),
                Outcome::Skipped { .. } => named(On::Skipped),
                Outcome::Cancelled { .. } => None,
            },
        }
    }

    /// Whether the same was not so before.
    fn is_first(self, happened: &Happened<'_>) -> bool {
        let Before { failed_in_a_row, standing } = happened.before;
        match self {
            News::Started => true,
            News::Retrying { attempt, .. } => failed_in_a_row == 0 && attempt == 1,
            News::Ended(outcome) => match LeftOut::of(outcome, happened.run) {
                LeftOut::NONE => outcome.failure().is_none() || failed_in_a_row == 0,
                left_out => !standing.left_out.has(left_out),
            },
        }
    }
}

/// A notice that is about to be owed.
struct Draft<'a> {
    happened: Happened<'a>,
    entry: &'a Entry,
    news: News<'a>,
    on: On,
    channel: &'a ChannelId,
    /// False while it is one more of what was told already.
    is_told: bool,
    /// How many instants it stands for, and the first of them.
    count: u64,
    first: DateTime<Utc>,
}

/// What is told in one notice to a channel: what was left out of a job in one way, or an entry of a history.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Together(&'a JobName, On, &'a ChannelId),
    Alone(&'a RunId, u32, &'a ChannelId),
}

#[derive(Default)]
struct Drafts<'a> {
    all: Vec<Draft<'a>>,
    places: BTreeMap<Key<'a>, usize>,
    /// The newest run that begins to make up for what a job missed.
    catchups: BTreeMap<&'a JobName, &'a RunId>,
}

impl<'a> Drafts<'a> {
    fn note_catchup(&mut self, happened: &Happened<'a>) {
        let run = happened.run;
        let begins = |entry: &Entry| matches!(entry.event, HistoryEvent::ExecutionStarted { .. });
        // What a rule leaves out makes up for nothing.
        let is_left_out = run.is_finished() && run.attempts.is_empty();
        if run.trigger == Trigger::Catchup && !is_left_out && happened.entries.iter().any(begins) {
            self.catchups.insert(&run.job, &run.id);
        }
    }

    fn add(&mut self, happened: Happened<'a>, entry: &'a Entry, news: News<'a>) {
        let run = happened.run;
        let covers = if let News::Ended(outcome) = news { outcome.covers() } else { None };
        let (count, first) = covers.map_or((1, run.scheduled_at), |covered| (covered.count, covered.first));
        for rule in &*run.definition.notify {
            let Some(on) = news.as_told_by(rule, happened.before) else { continue };
            let is_told = match rule.repeat {
                Repeat::Every => true,
                Repeat::First => news.is_first(&happened),
            };
            let channel = &rule.channel;
            let is_together = matches!(on, On::Missed | On::Skipped) && run.attempts.is_empty();
            let key = if is_together {
                Key::Together(&run.job, on, channel)
            } else {
                Key::Alone(&run.id, news.seq(entry), channel)
            };
            let draft = Draft { happened, entry, news, on, channel, is_told, count, first };
            match self.places.get(&key).and_then(|place| self.all.get_mut(*place)) {
                Some(former) => former.join(draft),
                None => {
                    self.places.insert(key, self.all.len());
                    self.all.push(draft);
                }
            }
        }
    }

    fn into_notices(self, job_now: impl Fn(&JobName) -> JobNow) -> Vec<Notice> {
        // Channels share what they say.
        let mut said: BTreeMap<(&RunId, u32, On, u64), Arc<NoticeFacts>> = BTreeMap::new();
        let told = self.all.into_iter().filter(|draft| draft.is_told);
        told.map(|draft| {
            let key = (&draft.happened.run.id, draft.entry.seq, draft.on, draft.count);
            let facts = said.entry(key).or_insert_with(|| {
                let job = &draft.happened.run.job;
                let made_up_by = self.catchups.get(job).filter(|_| draft.on == On::Missed);
                Arc::new(NoticeFacts { made_up_by: made_up_by.map(|id| (*id).clone()), ..draft.facts(job_now(job)) })
            });
            Notice { id: draft.id(), channel: draft.channel.clone(), at: draft.entry.at, facts: Arc::clone(facts) }
        })
        .collect()
    }
}

impl<'a> Draft<'a> {
    /// Takes in the same entry by another rule, or a later row that is told with this one.
    fn join(&mut self, other: Draft<'a>) {
        self.is_told |= other.is_told;
        if self.happened.run.id == other.happened.run.id {
            // Of a recovery, a channel is told once.
            self.on = if other.on == On::Recovered { On::Recovered } else { self.on };
            return;
        }
        let (is_told, first) = (self.is_told, self.first.min(other.first));
        *self = Draft { is_told, first, count: self.count.saturating_add(other.count), ..other };
    }

    /// The same for the same, whenever and by whomever it is decided.
    fn id(&self) -> String {
        let Happened { run, .. } = self.happened;
        let seq = self.news.seq(self.entry);
        let mut hash = Sha256::new();
        hash.update(format!("{}\n{}\n{seq}\n{}", run.instance, run.id, self.channel));
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    fn facts(&self, job: JobNow) -> NoticeFacts {
        let Draft { happened: Happened { run, before, .. }, news, on, .. } = self;
        // A retry may have begun since: what is told of is the attempt before it.
        let attempts = match news {
            News::Retrying { attempt, .. } => run.attempts.get(..*attempt as usize).unwrap_or(&run.attempts),
            News::Started | News::Ended(_) => &run.attempts,
        };
        let newest = attempts.last();
        let (failure, cause) = match news {
            News::Started => (None, None),
            News::Retrying { .. } => (newest.and_then(|attempt| attempt.failure.as_ref()), None),
            News::Ended(outcome) => (outcome.failure(), outcome.reason()),
        };
        let exit_code = newest.and_then(|attempt| attempt.exit_code);
        NoticeFacts {
            on: *on,
            instance: run.instance.clone(),
            job: run.job.clone(),
            run: run.id.clone(),
            status: run.status(),
            trigger: run.trigger,
            scheduled_at: run.scheduled_at,
            timezone: job.timezone,
            finished_at: run.finished_at(),
            attempt_count: u32::try_from(attempts.len()).unwrap_or(u32::MAX),
            attempts: attempts.iter().skip(attempts.len().saturating_sub(ATTEMPTS_MAX)).map(AttemptFacts::of).collect(),
            error: failure.map(|failure| failure.primary.to_string()),
            finer_error: failure.and_then(Failure::finer).map(ToString::to_string),
            cause: failure.map(|failure| failure.cause.as_str()).or(cause).map(str::to_owned),
            hint: failure.and_then(hint).map(|hint| hint.text.to_owned()),
            exit_code,
            exit_code_meaning: match (exit_code, failure) {
                (Some(0), Some(_)) => Some("its program ended well, but that is not what ended the task".to_owned()),
                (code, _) => code.and_then(|code| run.definition.exit_codes.meaning(code)),
            },
            retry_at: if let News::Retrying { until, .. } = news { Some(*until) } else { None },
            next_at: job.next_at,
            paused: job.paused,
            failed_in_a_row: match news {
                News::Ended(outcome) if outcome.failure().is_some() => before.failed_in_a_row.saturating_add(1),
                News::Started | News::Retrying { .. } | News::Ended(_) => before.failed_in_a_row,
            },
            others: self.count.saturating_sub(1),
            others_from: (self.count > 1).then_some(self.first),
            made_up_by: None,
            task: newest.and_then(task_object),
        }
    }
}

/// The object of the task that stands for an attempt, as ECS showed it last.
fn task_object(attempt: &Attempt) -> Option<serde_json::Value> {
    let end = attempt.ends.iter().find(|end| Some(&end.task) == attempt.task.as_ref())?;
    end.described.as_ref().and_then(|text| serde_json::from_str(text).ok())
}

impl AttemptFacts {
    fn of(attempt: &Attempt) -> AttemptFacts {
        let failure: Option<&Failure> = attempt.failure.as_ref();
        AttemptFacts {
            attempt: attempt.attempt,
            launched_at: attempt.launched_at,
            stopped_at: attempt.stopped_at,
            task_arn: attempt.task.as_ref().map(ToString::to_string),
            error: failure.map(|failure| failure.primary.to_string()),
            finer_error: failure.and_then(Failure::finer).map(ToString::to_string),
            cause: failure.map(|failure| failure.cause.clone()),
            exit_code: attempt.exit_code,
        }
    }
}
