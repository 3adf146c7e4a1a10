//! Pauses in the driver's books: who began one, when it is over, and whom it concerns.

use chrono::{DateTime, Utc};

use super::Driver;
use crate::engine::job::JobName;
use crate::engine::pause::{Pause, Scope};
use crate::engine::run::{Asker, RunId};
use crate::store::Audit;

impl Driver {
    /// The pauses that concern a job, that of all jobs first.
    pub(super) fn pauses_of(&self, job: &JobName) -> Vec<(Scope, Pause)> {
        let scopes = [Scope::All, Scope::Job(job.clone())];
        scopes.into_iter().filter_map(|scope| self.pauses.get(&scope).cloned().map(|pause| (scope, pause))).collect()
    }

    pub(super) fn set_pause(&mut self, scope: Scope, pause: Pause) {
        self.changed_pauses.insert(scope.clone());
        self.pauses.insert(scope, pause);
    }

    pub(super) fn lift_pause(&mut self, scope: &Scope) -> Option<Pause> {
        let lifted = self.pauses.remove(scope)?;
        self.changed_pauses.insert(scope.clone());
        Some(lifted)
    }

    /// `pause_after` has been reached.
    pub(super) fn pause_by_rule(&mut self, job: JobName, limit: u32, last: RunId, now: DateTime<Utc>) {
        let scope = Scope::Job(job.clone());
        if self.pauses.contains_key(&scope) {
            return;
        }
        let why = format!("{limit} runs in a row ended badly, the last one is {last}");
        let by = format!("pause_after = {limit}");
        let asker = Asker { by: by.clone(), reason: Some(why.clone()) };
        self.set_pause(scope, Pause { asker, since: now, until: None });
        let audit = Audit { at: now, by, action: "pause".into(), job: Some(job), run: Some(last), detail: Some(why) };
        self.audit.push(audit);
    }

    /// Forgets pauses that are over, once every instant of theirs is decided.
    pub(super) fn end_pauses(&mut self, now: DateTime<Utc>) {
        if !self.held.is_empty() {
            return;
        }
        let over: Vec<Scope> =
            self.pauses.iter().filter(|(_, pause)| !pause.lasts(now)).map(|(scope, _)| scope.clone()).collect();
        for scope in over {
            self.lift_pause(&scope);
        }
    }
}
