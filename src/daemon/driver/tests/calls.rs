//! The calls of a simulated daemon: what `perform.rs` and `watch.rs` do, each with its effect on ECS, its answer on the way, and
//! a death or a sleeping machine where one can be. No act is performed of what is not saved.

use chrono::TimeDelta;

use super::broken::Flaw;
use super::ecs::Mood;
use super::world::{Death, World};
use super::{demand, demand_eq, violated};
use crate::daemon::driver::{Act, Report};
use crate::engine::run::{Event, Run, RunId, State};

impl World {
    pub(super) fn arrived(&mut self) -> Vec<Report> {
        let real = self.real;
        let (arrived, left) = std::mem::take(&mut self.calls).into_iter().partition(|(at, _)| *at <= real);
        self.calls = left;
        arrived.into_iter().map(|(_, report)| report).collect()
    }

    pub(super) fn polled(&mut self) -> Vec<Report> {
        if self.poll_at > self.real {
            return Vec::new();
        }
        self.poll_at = self.real + TimeDelta::seconds(5);
        let mut reports = Vec::new();
        for (task, run) in &self.watched {
            let seen = self.ecs.describe(task, &mut self.random, self.real, self.skew);
            reports.extend(seen.map(|event| Report { run: run.clone(), event, answers_call: false }));
        }
        reports
    }

    fn stored(&self, run: &RunId) -> &State {
        match self.shelf.runs.get(run) {
            Some(run) => &run.state,
            None => violated(format!("an act for {run}, which is not saved")),
        }
    }

    /// Performs an act as `perform.rs` does; false if the daemon died at it.
    pub(super) fn perform(&mut self, act: Act) -> bool {
        match &act {
            Act::Watch { run, task, .. } => {
                let mut followed = self.shelf.runs.get(run).into_iter().flat_map(Run::followed);
                demand(followed.any(|one| one.task == *task), || format!("{run}: watching what is not saved"));
                self.watched.insert(task.clone(), run.clone());
                return true;
            }
            Act::Unwatch { task, .. } => {
                self.watched.remove(task);
                return true;
            }
            Act::Pace(_) => return true,
            Act::Launch { .. } | Act::Find { .. } | Act::Stop { .. } => {}
        }
        if self.dies(Death::BeforeCall, self.calls_made) {
            return false;
        }
        if self.random.below(1_000) < self.naps_in_thousand {
            self.real += self.random.seconds(1, 7_200);
            self.tell(|| "zz the machine slept before a call");
        }
        self.calls_made += 1;
        self.ecs.arrive(&mut self.random, self.real);
        let (after, report) = self.call(act);
        self.calls.push((self.real + after, report));
        !self.dies(Death::AfterCall, self.calls_made - 1)
    }

    /// The effect of a call, and the report that will come of it.
    fn call(&mut self, act: Act) -> (TimeDelta, Report) {
        let soon = self.random.milliseconds(20, 3_000);
        let (run, after, event) = match act {
            Act::Launch { run, launch } => {
                demand_eq(self.stored(&run), &State::Launching, || format!("{run}: sending what is not saved"));
                let saved = self.shelf.runs[&run].launch.as_ref();
                demand_eq(saved, Some(&launch), || format!("{run}: sending another request than the saved one"));
                self.launched_at.push(self.real);
                let checks_age = !Flaw::SendsWhatGrewOld.is_here();
                if checks_age && launch.unresolved && !launch.may_be_resent(self.wall()) {
                    (run, soon, Event::Resumed)
                } else {
                    let request = &launch.request;
                    let (after, answer) = self.ecs.run_task(request, &mut self.random, self.real, self.skew);
                    (run, after, Event::Answered(answer))
                }
            }
            Act::Find { run, launch } => {
                let is_saved = matches!(self.stored(&run), State::Seeking { .. });
                demand(is_saved, || format!("{run}: looking for what is not saved"));
                let answer = self.ecs.find(&launch.request, &mut self.random, self.real, self.skew);
                // It shows what there was when it began, however many pages it had to read.
                let is_slow = self.ecs.mood != Mood::Healthy && self.random.percent(10);
                let after = if is_slow { self.random.seconds(3, 45) } else { soon };
                (run, after, Event::Sought(answer))
            }
            Act::Stop { run, tasks, reason, .. } => {
                let is_saved = matches!(self.stored(&run), State::Stopping { .. });
                demand(is_saved, || format!("{run}: stopping what is not saved"));
                for task in &tasks {
                    self.ecs.stop(task, &reason, &mut self.random, self.real, self.skew);
                }
                (run, soon, Event::StopAsked { refusal: None })
            }
            Act::Watch { .. } | Act::Unwatch { .. } | Act::Pace(_) => unreachable!("these are no calls"),
        };
        self.tell(|| format!("   called for {run}, to be answered after {} ms", after.num_milliseconds()));
        (after, Report { run, event, answers_call: true })
    }
}
