//! Live tasks of a state that is gone: which of them are ours, and of which run.
//!
//! Tags and variables can be written by anybody who may run tasks, so they only claim. The `startedBy` proves: it is a
//! hash over installation, run and generation, and must be the one that follows from the claim. A task that is proven
//! ours becomes the living run that it was, so it is followed, judged and in the way of its job's next firings. A task
//! that claims to be ours, or says nothing at all, is told to a person and left alone: to stop or to follow what may
//! belong to another installation would be worse.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::job::{Definition, Instance, JobName};
use super::launch::{self, GENERATION, INSTANCE_TAG, JOB, Mark, RUN, SCHEDULED_AT, TAG, VARIABLE};
use super::run::{Entry, Firing, FoundLaunch, Run, RunId, Trigger};
use super::task::{FoundTask, TaskArn};

/// What became of the tasks that were found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Living runs, the oldest instant first, with the first entries of their histories.
    pub runs: Vec<(Run, Vec<Entry>)>,
    /// Tasks that may be ours and are not followed.
    pub strays: Vec<Stray>,
    /// How many tasks other installations launched.
    pub foreign: usize,
}

/// A task that may be ours and is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Which task.
    pub task: TaskArn,
    /// By whom it says that it was started.
    pub started_by: String,
    /// Why nobody follows it.
    pub reason: String,
}

/// Sorts tasks out for an installation with these jobs.
pub fn conclude(
    instance: &Instance,
    definition_of: impl Fn(&JobName) -> Option<Arc<Definition>>,
    mut found: Vec<FoundTask>,
    now: DateTime<Utc>,
) -> Findings {
    // A cluster that is configured by name and by ARN was asked twice.
    let mut seen = HashSet::new();
    found.retain(|task| seen.insert(task.task.clone()));
    let mut findings = Findings::default();
    let mut ours: BTreeMap<RunId, (Claim, Arc<Definition>, Vec<Launched>)> = BTreeMap::new();
    for task in found {
        let reason = match owner(instance, &task) {
            Owner::Us(claim) => match definition_of(&claim.job) {
                Some(definition) => {
                    let launched = Launched { generation: claim.generation, task };
                    let run = ours.entry(claim.run.clone()).or_insert_with(|| (claim, definition, Vec::new()));
                    run.2.push(launched);
                    continue;
                }
                None => format!("it is of run {}, whose job is not configured", claim.run),
            },
            Owner::Other => {
                findings.foreign += 1;
                continue;
            }
            Owner::Untold(reason) => reason.to_owned(),
        };
        findings.strays.push(Stray { task: task.task, started_by: task.started_by, reason });
    }
    let run = |(claim, definition, tasks)| run_of(instance, claim, definition, tasks, now);
    findings.runs = ours.into_values().filter_map(run).collect();
    findings.runs.sort_by_key(|(run, _)| (run.scheduled_at, run.id.clone()));
    findings
}

/// A task of a run, and which of its launches it is.
struct Launched {
    generation: u32,
    task: FoundTask,
}

fn run_of(
    instance: &Instance,
    claim: Claim,
    mut definition: Arc<Definition>,
    mut tasks: Vec<Launched>,
    now: DateTime<Utc>,
) -> Option<(Run, Vec<Entry>)> {
    let launched_at = |task: &FoundTask| task.created_at.map_or(now, |at| at.min(now));
    let first_launched_at = tasks.iter().map(|launched| launched_at(&launched.task)).min()?;
    // The newest launch is the one that the run had come to.
    tasks.sort_by_key(|launched| std::cmp::Reverse(launched.generation));
    let Launched { generation, task } = tasks.first()?;
    let (generation, launched_at) = (*generation, launched_at(task));
    if task.site != definition.task.site() {
        // The job has moved since; its task has not.
        let spec = &mut Arc::make_mut(&mut definition).task;
        (spec.target, spec.cluster) = (Arc::clone(&task.site.target), task.site.cluster.clone());
    }
    let (newest, older): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|launched| launched.generation == generation);
    let arns = |launched: Vec<Launched>| launched.into_iter().map(|launched| launched.task.task).collect();
    let launch = FoundLaunch { generation, launched_at, first_launched_at, tasks: arns(newest), others: arns(older) };
    let trigger = claim.trigger().unwrap_or(Trigger::Schedule);
    let Claim { job, run: id, scheduled_at, .. } = claim;
    let firing = Firing { id, job, scheduled_at, trigger, request: None };
    Some(Run::found(firing, instance.clone(), definition, launch, now))
}

/// Whose task it is.
enum Owner {
    /// Ours, by proof.
    Us(Claim),
    /// That of another installation.
    Other,
    /// Nobody can tell, for this reason.
    Untold(&'static str),
}

fn owner(instance: &Instance, task: &FoundTask) -> Owner {
    let tagged = task.tags.get(INSTANCE_TAG);
    if tagged.is_some_and(|name| name != instance.as_str()) {
        return Owner::Other;
    }
    let by_tags = Claim::read(|mark| task.tags.get(&format!("{TAG}{}", mark.tag)));
    let by_variables = Claim::read(|mark| task.environment.get(&format!("{VARIABLE}{}", mark.variable)));
    let claims_anything = by_tags.is_some() || by_variables.is_some();
    let proven = [by_tags, by_variables].into_iter().flatten().find(|claim| claim.is_proven(instance, task));
    match proven {
        Some(claim) => Owner::Us(claim),
        None if tagged.is_some() => {
            Owner::Untold("it is tagged as ours, but its startedBy is not that of a run it names")
        }
        // Variables do not name the installation; the startedBy, which is not ours, does.
        None if claims_anything => Owner::Other,
        None => Owner::Untold("neither tags nor variables say whose it is"),
    }
}

/// What tags or variables say of a task.
struct Claim {
    job: JobName,
    run: RunId,
    scheduled_at: DateTime<Utc>,
    generation: u32,
}

impl Claim {
    fn read<'a>(value_of: impl Fn(&Mark) -> Option<&'a String>) -> Option<Claim> {
        Some(Claim {
            job: JobName::new(value_of(&JOB)?).ok()?,
            run: RunId::from_text(value_of(&RUN)?),
            scheduled_at: DateTime::parse_from_rfc3339(value_of(&SCHEDULED_AT)?).ok()?.to_utc(),
            generation: value_of(&GENERATION)?.parse().ok().filter(|generation| *generation > 0)?,
        })
    }

    /// What began the run, if its name is one for its job and instant.
    fn trigger(&self) -> Option<Trigger> {
        self.run.trigger_of(&self.job, self.scheduled_at)
    }

    /// The `startedBy` proves run and generation, the run's name its job and instant.
    fn is_proven(&self, instance: &Instance, task: &FoundTask) -> bool {
        self.trigger().is_some() && task.started_by == launch::started_by(instance, &self.run, self.generation)
    }
}

#[cfg(test)]
mod tests;
