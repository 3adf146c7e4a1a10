//! What people want in a random history, and the configurations that they reload.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::people::{Room, Wish};
use super::plan::{OVERLAPS, change_jobs};
use super::random::Random;
use super::world::World;
use crate::engine::job::{JobName, Overlap};
use crate::engine::pause::Scope;
use crate::engine::run::Run;

/// The groups of random jobs.
pub(super) const GROUPS: [&str; 2] = ["db", "web"];

/// How many runs may live at once.
pub(super) fn room(random: &mut Random) -> Room {
    let max_running = random.one_of(&[None, Some(1), Some(2), Some(3)]);
    let mut groups = BTreeMap::new();
    for group in GROUPS {
        if random.percent(60) {
            groups.insert(group.to_owned(), random.one_of(&[1, 1, 2]));
        }
    }
    Room { max_running, groups }
}

impl World {
    /// Now and then somebody wants something, and now and then several things at once.
    pub(super) fn people_want(&mut self) {
        if self.people.busy == 0 || self.random.below(1_000) >= self.people.busy {
            return;
        }
        for _ in 0..1 + self.random.below(3) {
            if let Some(wish) = self.random_wish() {
                self.wish(wish);
            }
        }
    }

    fn random_wish(&mut self) -> Option<Wish> {
        Some(match self.random.below(if self.people.reload { 16 } else { 12 }) {
            0..3 => {
                let overlap = if self.random.percent(50) { None } else { Some(self.random_overlap()) };
                let environment = if self.random.percent(30) {
                    BTreeMap::from([("DAY".to_owned(), "monday".to_owned())])
                } else {
                    BTreeMap::new()
                };
                Wish::Trigger { job: self.random_job(), overlap, environment }
            }
            3..5 => Wish::Cancel(self.random_run(true)?.id),
            5..7 => {
                let until = self.wall() + self.random.milliseconds(1, 40_000);
                let until = if self.random.percent(60) { Some(until) } else { None };
                Wish::Pause(self.random_scope(), until)
            }
            7..9 => Wish::Resume(self.random_scope()),
            9 | 10 => {
                let run = self.random_run(false)?;
                let frozen = if self.random.percent(50) { Some(Arc::clone(&run.definition)) } else { None };
                Wish::Retry { run: run.id, job: run.job, scheduled_at: run.scheduled_at, frozen }
            }
            11 => {
                let until = self.wall() - self.random.milliseconds(0, 20_000);
                let from = until - self.random.milliseconds(0, 60_000);
                Wish::Backfill { job: self.random_job(), from, until, overlap: self.random_overlap() }
            }
            _ => {
                let jobs = change_jobs(self);
                let room = if self.random.percent(50) { room(&mut self.random) } else { self.room.clone() };
                Wish::Reload(jobs, room)
            }
        })
    }

    fn random_overlap(&mut self) -> Overlap {
        self.random.one_of(&OVERLAPS)
    }

    /// One of those that any configuration may have.
    fn random_job(&mut self) -> JobName {
        let nth = self.random.below(3);
        JobName::new(&format!("job-{nth}")).unwrap()
    }

    fn random_scope(&mut self) -> Scope {
        if self.random.percent(25) { Scope::All } else { Scope::Job(self.random_job()) }
    }

    /// A run that lives, or one that is over; now and then any.
    fn random_run(&mut self, alive: bool) -> Option<Run> {
        let any = self.random.percent(10);
        let fitting = self.shelf.runs.values().filter(|run| any || run.is_finished() != alive);
        let count = fitting.clone().count() as u64;
        if count == 0 {
            return None;
        }
        let nth = usize::try_from(self.random.below(count)).unwrap();
        fitting.clone().nth(nth).cloned()
    }
}
