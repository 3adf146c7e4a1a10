//! The people around a simulated daemon: what they want, and that what they were told is so once it was saved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::world::{World, rate};
use super::{demand, demand_eq, violated};
use crate::daemon::driver::{Command, Declined, Done, NewJobs, Pace};
use crate::engine::job::{Definition, Job, JobName, Overlap};
use crate::engine::overrides::Overrides;
use crate::engine::pause::Scope;
use crate::engine::run::{Asker, RunId, Trigger};

/// What somebody wants.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    Trigger { job: JobName, overlap: Option<Overlap>, environment: BTreeMap<String, String> },
    Cancel(RunId),
    Pause(Scope, Option<DateTime<Utc>>),
    Resume(Scope),
    Retry { run: RunId, job: JobName, scheduled_at: DateTime<Utc>, frozen: Option<Arc<Definition>> },
    Backfill { job: JobName, from: DateTime<Utc>, until: DateTime<Utc>, overlap: Overlap },
    Reload(Vec<Arc<Job>>, Room),
}

/// How many runs may live at once.
#[derive(Debug, Clone, Default)]
pub(super) struct Room {
    pub(super) max_running: Option<u32>,
    pub(super) groups: BTreeMap<String, u32>,
}

pub(super) type Answer = Result<Done, Declined>;

#[derive(Debug, Default)]
pub(super) struct People {
    /// For the next turn.
    pub(super) wishes: Vec<Wish>,
    /// Chance in a thousand that somebody wants something before a turn.
    pub(super) busy: u64,
    /// Whether they change the configuration, too.
    pub(super) reload: bool,
    /// Every job that a configuration ever had.
    pub(super) known: Vec<Arc<Job>>,
    /// What the last turn was asked for.
    pub(super) asked: Vec<Wish>,
    /// The jobs before it.
    pub(super) jobs_before: Vec<Arc<Job>>,
    /// What it answered.
    pub(super) answers: Vec<Answer>,
}

impl Wish {
    fn command(self) -> Command {
        let asker = Asker { by: "ops".into(), reason: None };
        match self {
            Wish::Trigger { job, overlap, environment } => {
                let overrides = Overrides { container: None, environment, command: None };
                Command::Trigger { job, asker, overrides, overlap }
            }
            Wish::Cancel(run) => Command::Cancel { run, asker },
            Wish::Pause(scope, until) => Command::Pause { scope, asker, until },
            Wish::Resume(scope) => Command::Resume { scope, asker },
            Wish::Retry { run, job, scheduled_at, frozen } => {
                Command::Retry { run, job, scheduled_at, frozen, asker, overlap: None }
            }
            Wish::Backfill { job, from, until, overlap } => Command::Backfill { job, from, until, asker, overlap },
            Wish::Reload(jobs, room) => {
                let (launch_rate, launch_burst) = rate();
                let Room { max_running, groups } = room;
                let pace = Pace { poll_interval: Duration::from_secs(5), describe_rate: 2.0 };
                Command::Reload { new: NewJobs { jobs, launch_rate, launch_burst, pace, max_running, groups }, asker }
            }
        }
    }

    /// The pause that it is about.
    pub(super) fn scope(&self) -> Option<&Scope> {
        match self {
            Wish::Pause(scope, _) | Wish::Resume(scope) => Some(scope),
            Wish::Trigger { .. } | Wish::Cancel(_) | Wish::Retry { .. } | Wish::Backfill { .. } | Wish::Reload(..) => {
                None
            }
        }
    }
}

impl World {
    pub(super) fn wish(&mut self, wish: Wish) {
        self.people.wishes.push(wish);
    }

    /// Has one thing done, and says what was answered.
    pub(super) fn ask(&mut self, wish: Wish) -> Answer {
        let mut answers = self.ask_all(vec![wish]);
        answers.pop().expect("every command is answered")
    }

    /// Has several things done in one turn.
    pub(super) fn ask_all(&mut self, wishes: Vec<Wish>) -> Vec<Answer> {
        self.people.wishes.extend(wishes);
        self.turn(false);
        std::mem::take(&mut self.people.answers)
    }

    /// Hands the wishes over to the driver. Another configuration is on disk from then on, whatever becomes of the daemon.
    pub(super) fn hand_over(&mut self) {
        let wishes = std::mem::take(&mut self.people.wishes);
        self.people.jobs_before = self.jobs.clone();
        self.people.asked.clone_from(&wishes);
        for mut wish in wishes {
            self.tell(|| match &wish {
                Wish::Reload(jobs, room) => {
                    let names: Vec<String> =
                        jobs.iter().map(|job| format!("{} {}", job.name, job.schedule.text())).collect();
                    format!("?? another configuration: {names:?} {room:?}")
                }
                wish => format!("?? {wish:?}"),
            });
            if let Wish::Reload(jobs, room) = &mut wish {
                let now = self.wall();
                let is_gone = |old: &&Arc<Job>| !jobs.iter().any(|job| job.name == old.name);
                self.shelf.removals.extend(self.jobs.iter().filter(is_gone).map(|old| (old.name.clone(), now)));
                self.shelf.configured_at = now;
                (self.jobs, self.room) = (jobs.clone(), room.clone());
                self.people.known.extend(jobs.iter().cloned());
                *jobs = super::world::as_built(jobs);
            }
            self.driver.order(wish.command());
        }
    }

    /// A daemon that is gone takes with it what nobody had answered.
    pub(super) fn hang_up(&mut self) {
        self.people.asked.clear();
        self.shelf.removals.clear();
    }

    /// Takes the answers to what was asked, of which everything is saved by now.
    pub(super) fn listen(&mut self, duplicates: &BTreeSet<RunId>) {
        let answers: Vec<Answer> = self.driver.answers();
        let asked = std::mem::take(&mut self.people.asked);
        demand_eq(answers.len(), asked.len(), || "every command is answered, and once".to_owned());
        let answers: Vec<Answer> =
            answers.into_iter().map(|answer| answer.and_then(|done| done.unless_dropped(duplicates))).collect();
        for (nth, (wish, answer)) in asked.iter().zip(&answers).enumerate() {
            self.tell(|| format!("   answered: {answer:?}"));
            let said_more = asked.iter().skip(nth + 1).any(|later| later.scope() == wish.scope());
            match answer {
                Ok(done) => self.is_so(done, wish, said_more),
                Err(declined) => self.is_declined_rightly(declined, &asked),
            }
        }
        self.people.answers = answers;
    }

    fn is_so(&self, done: &Done, wish: &Wish, said_more: bool) {
        match (done, wish) {
            (Done::Recorded(receipts), Wish::Trigger { .. } | Wish::Retry { .. } | Wish::Backfill { .. }) => {
                demand(!receipts.is_empty(), || format!("{wish:?} came to nothing"));
                for receipt in receipts {
                    let run = self.shelf.runs.get(&receipt.run);
                    let is_there = run.is_some_and(|run| {
                        run.job == receipt.job && run.request.is_some() && run.scheduled_at == receipt.scheduled_at
                    });
                    demand(is_there, || format!("{receipt:?} is no row"));
                }
                let is_backfill = matches!(wish, Wish::Backfill { .. });
                let all = receipts.iter().all(|one| (one.trigger == Trigger::Backfill) == is_backfill);
                demand(all, || format!("{receipts:?} came of {wish:?}"));
            }
            (Done::Cancelling(run, _), Wish::Cancel(_)) => {
                let is_asked = self.shelf.runs.get(run).is_some_and(|run| run.cancelled.is_some() || run.is_finished());
                demand(is_asked, || format!("{run} goes on as if nobody had cancelled it"));
            }
            (Done::Paused(pause), Wish::Pause(scope, _)) => {
                let saved = self.shelf.pauses.get(scope);
                demand(said_more || saved == Some(pause), || format!("{scope:?} is not paused: {saved:?}"));
            }
            (Done::Resumed { .. }, Wish::Resume(scope)) => {
                let saved = self.shelf.pauses.get(scope);
                demand(said_more || saved.is_none(), || format!("{scope:?} is still paused: {saved:?}"));
            }
            (Done::Reloaded(_), Wish::Reload(..)) => {}
            (done, wish) => violated(format!("{wish:?} was answered with {done:?}")),
        }
    }

    fn is_declined_rightly(&self, declined: &Declined, asked: &[Wish]) {
        let configured = |jobs: &[Arc<Job>], name: &JobName| jobs.iter().any(|job| job.name == *name);
        let reloads = asked.iter().filter(|wish| matches!(wish, Wish::Reload(..))).count();
        let is_right = match declined {
            Declined::NoJob(name) => {
                reloads > 1 || !configured(&self.people.jobs_before, name) || !configured(&self.jobs, name)
            }
            Declined::NotAlive(run) => self.shelf.runs.get(run).is_none_or(|run| run.is_finished()),
            Declined::Alive(run) => self.shelf.runs.contains_key(run),
            Declined::EndHasPassed
            | Declined::NotPast
            | Declined::NoInstant(_)
            | Declined::TooMany { .. }
            | Declined::Overrides(_)
            | Declined::Exists(_)
            | Declined::Leaving
            | Declined::Draining => true,
            Declined::Unsaved(_) => false,
        };
        demand(is_right, || format!("declined: {declined}"));
    }
}
