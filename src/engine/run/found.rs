//! A run that begins with a task instead of a firing: it was launched under a state that is gone.
//!
//! What the lost state knew beside the launch is not made up: earlier attempts, the retries that they used, the request
//! as it was sent. So the task becomes the run's first attempt, under the generation that it was launched as, and the
//! policy counts from here. The frozen request is rebuilt for its marks alone: a launch whose task is known is never sent
//! again, and the next generation is frozen anew.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::super::job::{Definition, Instance};
use super::super::launch::Launch;
use super::super::task::TaskArn;
use super::{Attempt, Entry, Firing, HistoryEvent, Run, State};

/// Why a task of a lost state is adopted.
const REASON: &str = "found in ECS; the state that launched it is gone";

/// What is known of the newest launch of a run whose state is gone.
#[derive(Debug)]
pub(in super::super) struct FoundLaunch {
    /// Which launch of the run it was.
    pub(in super::super) generation: u32,
    /// When.
    pub(in super::super) launched_at: DateTime<Utc>,
    /// When the earliest launch was that is still known.
    pub(in super::super) first_launched_at: DateTime<Utc>,
    /// Its live tasks.
    pub(in super::super) tasks: Vec<TaskArn>,
    /// Live tasks of earlier launches.
    pub(in super::super) others: Vec<TaskArn>,
}

impl Run {
    /// The run of a task that was found, and the entries that say so.
    pub(in super::super) fn found(
        firing: Firing,
        instance: Instance,
        definition: Arc<Definition>,
        found: FoundLaunch,
        now: DateTime<Utc>,
    ) -> (Run, Vec<Entry>) {
        let FoundLaunch { generation, launched_at, first_launched_at, tasks, mut others } = found;
        let mut run = Run::in_state(State::Due, firing, instance, definition, now);
        run.deadline = run.deadline_from(first_launched_at);
        run.launch = Some(Launch::freeze(&run, generation, launched_at));
        run.attempts.push(Attempt { attempt: 1, generation, launched_at: Some(launched_at), ..Attempt::default() });
        let started = run.started();
        let mut events = vec![started];
        events.extend(run.adopt(tasks, REASON.into(), now).unwrap_or_default());
        if let Some(HistoryEvent::TaskAdopted { others: named, .. }) = events.get_mut(1) {
            named.append(&mut others);
        }
        let entries = events.into_iter().map(|event| run.entry(event, now)).collect();
        (run, entries)
    }
}
