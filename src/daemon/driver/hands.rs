//! Commands: what people want, decided between the firings of a turn and its launches.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

use super::Driver;
use super::command::{Command, Declined, Done, Receipt};
use super::firing::Beginning;
use crate::engine::admit::{BACKFILL_MAX, QUEUE_MAX};
use crate::engine::job::{Definition, Job, JobName, Overlap};
use crate::engine::overrides::Overrides;
use crate::engine::pause::{Pause, Scope};
use crate::engine::run::{Asker, Event, Firing, Request, Run, RunId, Status};
use crate::store::{Audit, NoticeMove, NoticeTurn};

type Carried = Result<Done, Declined>;

impl Driver {
    /// Hands a command over to the next turn.
    pub fn order(&mut self, command: Command) {
        self.orders.push(command);
    }

    /// What became of the commands of the last turn, in their order; true once its batch is saved.
    pub fn answers(&mut self) -> Vec<Carried> {
        std::mem::take(&mut self.answers)
    }

    pub(super) fn decline_orders(&mut self) {
        let declined = std::mem::take(&mut self.orders).into_iter().map(|_| Err(Declined::Leaving));
        self.answers.extend(declined);
    }

    pub(super) fn carry_out_orders(&mut self, now: DateTime<Utc>) {
        for command in std::mem::take(&mut self.orders) {
            let carried = self.carry_out_order(command, now);
            self.answers.push(carried);
        }
    }

    fn carry_out_order(&mut self, command: Command, now: DateTime<Utc>) -> Carried {
        self.declined_by_drain(&command)?;
        match command {
            Command::Trigger { job, asker, overrides, overlap } => self.trigger(&job, asker, &overrides, overlap, now),
            Command::Cancel { run, asker } => self.cancel(run, &asker, now),
            Command::Pause { scope, asker, until } => self.pause(scope, asker, until, now),
            Command::Resume { scope, asker } => self.resume(scope, &asker, now),
            Command::Retry { run, job, scheduled_at, frozen, asker, overlap } => {
                let request = Request { asker, overlap, retry_of: Some(run) };
                self.retry(&job, scheduled_at, frozen, request, now)
            }
            Command::Backfill { job, from, until, asker, overlap } => {
                let request = Request { asker, overlap: Some(overlap), retry_of: None };
                self.backfill(&job, (from, until), &request, now)
            }
            Command::Revive { notices, asker } => {
                let revived = notices.len();
                let moved = |id| NoticeMove { id, at: now, tries: 0, turn: NoticeTurn::Revived };
                self.revived.extend(notices.into_iter().map(moved));
                self.note("notices", &asker, None, None, Some(format!("{revived} dead letters are owed again")), now);
                Ok(Done::Revived(revived))
            }
            Command::Backup { asker } => {
                self.note("backup", &asker, None, None, None, now);
                Ok(Done::Noted)
            }
            Command::Reload { new, asker } => {
                let changes = self.reload(new, now);
                let (added, changed, removed) = (changes.added.len(), changes.changed.len(), changes.removed.len());
                let detail =
                    format!("{added} added, {changed} changed, {removed} removed, {} as before", changes.unchanged);
                self.note("reload", &asker, None, None, Some(detail), now);
                Ok(Done::Reloaded(changes))
            }
        }
    }

    fn job(&self, name: &JobName) -> Result<Arc<Job>, Declined> {
        self.jobs.get(name).map(|entry| Arc::clone(&entry.job)).ok_or_else(|| Declined::NoJob(name.clone()))
    }

    fn trigger(
        &mut self,
        name: &JobName,
        asker: Asker,
        overrides: &Overrides,
        overlap: Option<Overlap>,
        now: DateTime<Utc>,
    ) -> Carried {
        let job = self.job(name)?;
        let definition = Definition::overridden(&job.definition, overrides)?;
        let request = Request { asker: asker.clone(), overlap, retry_of: None };
        let asked_at = self.asked_at(now);
        let firing = self.named_anew(asked_at, |at| Firing::manual(name, request.clone(), at));
        let receipt = self.begin_on_request(&job, definition, firing, QUEUE_MAX, now);
        self.note("trigger", &asker, Some(name), Some(&receipt.run), receipt.cause.clone(), now);
        Ok(Done::Recorded(vec![receipt]))
    }

    fn retry(
        &mut self,
        name: &JobName,
        scheduled_at: DateTime<Utc>,
        frozen: Option<Arc<Definition>>,
        request: Request,
        now: DateTime<Utc>,
    ) -> Carried {
        let former = request.retry_of.clone();
        let lives = |run: &RunId| self.runs.get(run).is_some_and(|tracked| !tracked.run.is_finished());
        if let Some(run) = former.filter(lives) {
            return Err(Declined::Alive(run));
        }
        let job = self.job(name)?;
        let definition = frozen.unwrap_or_else(|| Arc::clone(&job.definition));
        let asked_at = self.asked_at(now);
        let firing = self.named_anew(asked_at, |at| Firing::retry(name, scheduled_at, request.clone(), at));
        let receipt = self.begin_on_request(&job, definition, firing, QUEUE_MAX, now);
        self.note("retry", &request.asker, Some(name), Some(&receipt.run), receipt.cause.clone(), now);
        Ok(Done::Recorded(vec![receipt]))
    }

    fn backfill(
        &mut self,
        name: &JobName,
        (from, until): (DateTime<Utc>, DateTime<Utc>),
        request: &Request,
        now: DateTime<Utc>,
    ) -> Carried {
        let job = self.job(name)?;
        if until > now {
            return Err(Declined::NotPast);
        }
        let anchor = self.jobs.get(name).map_or(now, |entry| entry.anchor);
        let before = from.checked_sub_signed(TimeDelta::nanoseconds(1)).unwrap_or(from);
        match job.schedule.count(before, until, anchor) {
            0 => return Err(Declined::NoInstant(name.clone())),
            count if count > BACKFILL_MAX as u64 => return Err(Declined::TooMany { count, max: BACKFILL_MAX }),
            _ => {}
        }
        let instants: Vec<DateTime<Utc>> = job.schedule.firings(before, until, anchor).collect();
        let asked_at = self.asked_at(now);
        let receipts: Vec<Receipt> = instants
            .into_iter()
            .map(|instant| {
                let firing = self.named_anew(asked_at, |at| Firing::backfill(name, instant, request.clone(), at));
                self.begin_on_request(&job, Arc::clone(&job.definition), firing, BACKFILL_MAX, now)
            })
            .collect();
        let (first, last) = (receipts.first().map(|run| &run.run), receipts.last().map(|run| &run.run));
        let detail = first.zip(last).map(|(first, last)| format!("{} runs, {first} to {last}", receipts.len()));
        self.note("backfill", &request.asker, Some(name), None, detail, now);
        Ok(Done::Recorded(receipts))
    }

    /// When somebody asks for runs, to the millisecond: what they are named by, so two that ask in one have one each.
    fn asked_at(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        let (now, next) = (now.trunc_subsecs(3), self.asked_at + TimeDelta::milliseconds(1));
        // What lies further ahead is of before the clock was set back.
        let is_next = now < next && next - now < TimeDelta::seconds(1);
        self.asked_at = if is_next { next } else { now };
        self.asked_at
    }

    /// A firing whose run has a name that no living run has.
    fn named_anew(&self, mut asked_at: DateTime<Utc>, firing: impl Fn(DateTime<Utc>) -> Firing) -> Firing {
        loop {
            let firing = firing(asked_at);
            if !self.runs.contains_key(&firing.id) {
                return firing;
            }
            asked_at += TimeDelta::milliseconds(1);
        }
    }

    fn begin_on_request(
        &mut self,
        job: &Job,
        definition: Arc<Definition>,
        firing: Firing,
        queue_max: usize,
        now: DateTime<Utc>,
    ) -> Receipt {
        let (run, trigger, scheduled_at) = (firing.id.clone(), firing.trigger, firing.scheduled_at);
        let overlap = firing.request.as_ref().and_then(|request| request.overlap).unwrap_or(job.admission.overlap);
        self.begin(Beginning { firing, overlap, definition, queue_max }, now);
        let recorded = self.runs.get(&run).map(|tracked| &tracked.run);
        Receipt {
            status: recorded.map_or(Status::Due, Run::status),
            cause: recorded.and_then(|run| run.shown_cause()).map(str::to_owned),
            run,
            job: job.name.clone(),
            trigger,
            scheduled_at,
        }
    }

    fn cancel(&mut self, run: RunId, asker: &Asker, now: DateTime<Utc>) -> Carried {
        let Some(tracked) = self.runs.get(&run).filter(|tracked| !tracked.run.is_finished()) else {
            return Err(Declined::NotAlive(run));
        };
        let job = tracked.run.job.clone();
        let reason = format!("cancelled {}", asker.in_words());
        self.step(&run, Event::Cancel { reason }, now);
        self.note("cancel", asker, Some(&job), Some(&run), asker.reason.clone(), now);
        let status = self.runs.get(&run).map_or(Status::Cancelled, |tracked| tracked.run.status());
        Ok(Done::Cancelling(run, status))
    }

    fn pause(&mut self, scope: Scope, asker: Asker, until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Carried {
        let job = self.job_of(&scope)?;
        if until.is_some_and(|until| until <= now) {
            return Err(Declined::EndHasPassed);
        }
        // What has come before and still waits for a first look is decided under the pause before this one.
        self.decide_held(&scope, now);
        let pause = Pause { asker, since: now, until };
        self.note("pause", &pause.asker, job.as_ref(), None, Some(pause.in_words(&scope)), now);
        self.set_pause(scope, pause.clone());
        Ok(Done::Paused(pause))
    }

    fn resume(&mut self, scope: Scope, asker: &Asker, now: DateTime<Utc>) -> Carried {
        // A pause outlives its job: it may be lifted all the same.
        let job = match (&scope, self.job_of(&scope)) {
            (Scope::Job(name), Err(_)) if self.pauses.contains_key(&scope) => Some(name.clone()),
            (_, job) => job?,
        };
        // What the pause is about and still waits for a first look is decided under it.
        self.decide_held(&scope, now);
        let lifted = self.lift_pause(&scope);
        if let Some(name) = &job
            && let Some(entry) = self.jobs.get_mut(name)
        {
            entry.failed_in_a_row = 0;
            self.moved_marks.insert(name.clone());
        }
        let detail = lifted.as_ref().map(|pause| format!("it was paused {}", pause.asker.in_words()));
        self.note("resume", asker, job.as_ref(), None, detail, now);
        let still = self.pauses.get(&Scope::All).filter(|_| scope != Scope::All).cloned();
        Ok(Done::Resumed { lifted, still })
    }

    fn job_of(&self, scope: &Scope) -> Result<Option<JobName>, Declined> {
        match scope {
            Scope::All => Ok(None),
            Scope::Job(name) => self.job(name).map(|job| Some(job.name.clone())),
        }
    }

    fn note(
        &mut self,
        action: &str,
        asker: &Asker,
        job: Option<&JobName>,
        run: Option<&RunId>,
        detail: Option<String>,
        at: DateTime<Utc>,
    ) {
        let (job, run) = (job.cloned(), run.cloned());
        let said = asker.reason.clone().filter(|said| detail.as_ref().is_none_or(|detail| !detail.contains(said)));
        let detail = [said, detail].into_iter().flatten().reduce(|said, detail| format!("{said}; {detail}"));
        self.audit.push(Audit { at, by: asker.by.clone(), action: action.to_owned(), job, run, detail });
    }
}
