//! Overrides: what one run does otherwise than its job, and how large a request may become by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::job::{ContainerOverride, Definition, NAME_MAX, TaskOverride};

/// How many characters the overrides of a launch may have as JSON. Source: Amazon ECS API reference, TaskOverride.
pub const OVERRIDES_MAX: usize = 8192;

/// What somebody wants to be otherwise in one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// In which container; needed where the job's definition does not name exactly one.
    pub container: Option<String>,
    /// Variables that are added or replaced.
    pub environment: BTreeMap<String, String>,
    /// The command instead of the job's.
    pub command: Option<Vec<String>>,
}

/// Why overrides do not fit a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverridesRefused {
    /// It is not clear which container is meant.
    #[error("the job names {0} containers: say which one is meant (--container NAME)")]
    WhichContainer(usize),
    /// ECS takes no more.
    #[error("the container overrides would have about {size} characters as JSON; ECS takes {max}")]
    TooLarge {
        /// How large they would be.
        size: usize,
        /// How large they may be.
        max: usize,
    },
}

impl Definition {
    /// The definition with what somebody wants to be otherwise.
    ///
    /// # Errors
    /// The container is not named, or the request would be too large for ECS.
    pub fn overridden(
        definition: &Arc<Definition>,
        overrides: &Overrides,
    ) -> Result<Arc<Definition>, OverridesRefused> {
        let Overrides { container, environment, command } = overrides;
        if environment.is_empty() && command.is_none() {
            return Ok(Arc::clone(definition));
        }
        let mut changed = Definition::clone(definition);
        let containers = &mut changed.task.containers;
        let name = match (container, containers.as_slice()) {
            (Some(name), _) => name.clone(),
            (None, [only]) => only.name.clone(),
            (None, several) => return Err(OverridesRefused::WhichContainer(several.len())),
        };
        if !containers.iter().any(|one| one.name == name) {
            containers.push(ContainerOverride { name: name.clone(), ..ContainerOverride::default() });
        }
        for one in containers.iter_mut().filter(|one| one.name == name) {
            one.environment.extend(environment.clone());
            if let Some(command) = command {
                one.command = Some(command.clone());
            }
        }
        let size = overrides_size(&changed.task.containers, &changed.task.overrides, changed.task.add_environment);
        if size > OVERRIDES_MAX {
            return Err(OverridesRefused::TooLarge { size, max: OVERRIDES_MAX });
        }
        Ok(Arc::new(changed))
    }
}

/// At most how many characters the overrides of a launch have as JSON; what `TENACRON_*` adds is estimated upwards.
pub fn overrides_size(containers: &[ContainerOverride], overrides: &TaskOverride, add_environment: bool) -> usize {
    let pair = |one: &str, one_text: &str, other: &str, other_text: &str| {
        "{},".len() + member(one, quoted(one_text)) + member(other, quoted(other_text))
    };
    let of_container = |container: &ContainerOverride| {
        let arguments = |words: &Vec<String>| words.iter().map(|word| quoted(word) + ",".len()).sum::<usize>();
        let command = container.command.as_ref().map(|words| member("command", "[]".len() + arguments(words)));
        let variables = container.environment.iter().map(|(name, value)| pair("name", name, "value", value));
        let files = container.environment_files.iter().map(|file| pair("value", &file.value, "type", &file.kind));
        let devices = container.resource_requirements.iter().map(|item| pair("value", &item.value, "type", &item.kind));
        let numbers =
            [("cpu", container.cpu), ("memory", container.memory), ("memoryReservation", container.memory_reservation)];
        let numbers = numbers.into_iter().filter_map(|(name, number)| Some(member(name, number?.to_string().len())));
        "{},".len()
            + member("name", quoted(&container.name))
            + command.unwrap_or_default()
            + list("environment", variables.chain(add_environment.then(own_variables)))
            + list("environmentFiles", files)
            + list("resourceRequirements", devices)
            + numbers.sum::<usize>()
    };
    let texts = [
        ("cpu", &overrides.cpu),
        ("memory", &overrides.memory),
        ("taskRoleArn", &overrides.task_role_arn),
        ("executionRoleArn", &overrides.execution_role_arn),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some(member(name, quoted(text.as_ref()?))));
    let storage = overrides.ephemeral_storage_gib.map_or(0, |_| r#""ephemeralStorage":{"sizeInGiB":200},"#.len());
    "{}".len() + list("containerOverrides", containers.iter().map(of_container)) + texts.sum::<usize>() + storage
}

/// The length of a member of an object, and of a comma behind it.
fn member(name: &str, value: usize) -> usize {
    quoted(name) + ":,".len() + value
}

/// The length of a list as a member, of items with a comma behind each. A list without items is not sent.
fn list(name: &str, items: impl Iterator<Item = usize>) -> usize {
    match items.sum() {
        0 => 0,
        sum => member(name, "[]".len() + sum),
    }
}

/// `TENACRON_JOB`, `_RUN_ID`, `_SCHEDULED_AT` and `_ATTEMPT`, with the longest values they can have.
fn own_variables() -> usize {
    const NAMED: usize = r#"{"name":"TENACRON_SCHEDULED_AT","value":""},"#.len();
    const INSTANT: usize = "2026-01-01T00:00:00.000000000Z".len();
    const SUFFIX: usize = 64;
    4 * NAMED + NAME_MAX + (NAME_MAX + SUFFIX) + INSTANT + 10
}

/// The length of a string as JSON.
fn quoted(text: &str) -> usize {
    let length = |character| match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        control if control < ' ' => 6,
        _ => 1,
    };
    2 + text.chars().map(length).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::samples;

    fn with_containers(names: &[&str]) -> Arc<Definition> {
        let mut definition = samples::definition();
        let container = |name: &&str| ContainerOverride { name: (*name).to_owned(), ..ContainerOverride::default() };
        definition.task.containers = names.iter().map(container).collect();
        Arc::new(definition)
    }

    fn variable(container: Option<&str>, value: &str) -> Overrides {
        let environment = BTreeMap::from([("DAY".to_owned(), value.to_owned())]);
        Overrides { container: container.map(str::to_owned), environment, command: Some(vec!["run".into()]) }
    }

    #[test]
    fn the_only_container_is_meant() {
        let changed = Definition::overridden(&with_containers(&["app"]), &variable(None, "monday")).unwrap();
        let app = &changed.task.containers[0];
        assert_eq!(
            (app.environment["DAY"].as_str(), app.command.as_deref()),
            ("monday", Some(&["run".to_owned()][..]))
        );
    }

    #[test]
    fn of_several_containers_one_must_be_named() {
        let definition = with_containers(&["app", "log"]);
        let refused = Definition::overridden(&definition, &variable(None, "monday")).unwrap_err();
        assert_eq!(refused, OverridesRefused::WhichContainer(2));
        let changed = Definition::overridden(&definition, &variable(Some("log"), "monday")).unwrap();
        assert!(changed.task.containers[0].environment.is_empty());
        assert_eq!(changed.task.containers[1].environment["DAY"], "monday");
    }

    #[test]
    fn a_container_that_the_job_does_not_name_may_be_named_all_the_same() {
        let changed = Definition::overridden(&with_containers(&[]), &variable(Some("app"), "monday")).unwrap();
        assert_eq!(changed.task.containers.len(), 1);
    }

    #[test]
    fn what_is_too_large_for_ecs_is_refused_before_it_is_sent() {
        let refused = Definition::overridden(&with_containers(&["app"]), &variable(None, &"x".repeat(8_192)));
        assert!(matches!(refused, Err(OverridesRefused::TooLarge { max: OVERRIDES_MAX, .. })), "{refused:?}");
    }

    #[test]
    fn nothing_otherwise_is_the_same_definition() {
        let definition = with_containers(&["app"]);
        assert!(Arc::ptr_eq(&definition, &Definition::overridden(&definition, &Overrides::default()).unwrap()));
    }
}
