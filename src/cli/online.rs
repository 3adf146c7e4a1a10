//! What ECS knows of the clusters and task definitions that jobs name, for the commands that ask with `--online`.

use super::exit::{Exit, Failed};
use super::targets;
use crate::config::Config;
use crate::ecs::AwsEcs;
use crate::engine::inventory::{Inventory, Named, Questions};
use crate::engine::job::TaskSpec;

/// The tasks of all jobs, or of those of one target.
pub(super) fn tasks<'c>(config: &'c Config, target: Option<&'c str>) -> impl Iterator<Item = &'c TaskSpec> {
    let tasks = config.jobs.values().map(|job| &job.definition.task);
    tasks.filter(move |task| target.is_none() || task.target.name.as_deref() == target)
}

/// Asks ECS about the clusters and task definitions of these tasks, or about the latter alone.
pub(super) async fn ask<'t>(
    config: &Config,
    tasks: impl Iterator<Item = &'t TaskSpec>,
    clusters_too: bool,
) -> Result<(AwsEcs, Inventory), Failed> {
    let mut questions = Questions::default();
    for task in tasks {
        questions.definitions.insert(Named::definition(task));
        if clusters_too {
            questions.clusters.insert(Named::cluster(task));
        }
    }
    let ecs = targets::connect(config).await?;
    let inventory = Box::pin(ecs.inventory(questions)).await;
    Ok((ecs, inventory))
}

/// Refuses the name of a target that there is not.
pub(super) fn check_target(config: &Config, target: Option<&str>) -> Result<(), Failed> {
    let Some(name) = target.filter(|name| !config.targets.contains_key(*name)) else { return Ok(()) };
    let known: Vec<&str> = config.targets.keys().map(String::as_str).collect();
    let known = match known.is_empty() {
        true => "the configuration has none".to_owned(),
        false => format!("the configuration has {}", known.join(", ")),
    };
    Err(Failed::new(Exit::NotFound, format!("there is no target `{name}`; {known}")))
}
