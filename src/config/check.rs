//! What the files say together: a job's own keys over the defaults, and the rules that need more than one key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::exit_codes::ExitCodes;
use crate::engine::job::{
    Admission, Capacity, Definition, Job, JobName, Limits, OnUnknown, Success, Target, TaskOverride, TaskSpec,
};
use crate::engine::overrides::{OVERRIDES_MAX, overrides_size};
use crate::engine::retry::RetryPolicy;

use super::capacity;
use super::file::JobFile;
use super::notify::Channels;
use super::proofs::{self, Gaps};
use super::reader::{At, Field};
use super::report::{Note, Place, Report, shown};
use super::targets::{self, Targets};
use super::task;
use super::when::{self, shown_long};

/// What every job of a configuration is checked against.
#[derive(Debug)]
pub(super) struct Frame<'f> {
    pub(super) report: &'f Report,
    pub(super) defaults: &'f JobFile,
    /// Of `[ecs]`.
    pub(super) poll_interval: Duration,
    pub(super) targets: &'f Field<Targets>,
    /// That of `[ecs]`, shared by all jobs that chose none.
    pub(super) own_target: Arc<Target>,
    /// What notices may go to.
    pub(super) channels: Channels,
    pub(super) gaps: Gaps,
}

/// A job's own keys over the defaults; a key of its own replaces the whole value.
fn inherit(own: JobFile, defaults: &JobFile) -> JobFile {
    JobFile {
        schedule: own.schedule,
        start_at: own.start_at,
        end_at: own.end_at,
        except: own.except.or(&defaults.except),
        timezone: own.timezone.or(&defaults.timezone),
        dst_gap: own.dst_gap.or(&defaults.dst_gap),
        dst_overlap: own.dst_overlap.or(&defaults.dst_overlap),
        target: own.target.or(&defaults.target),
        cluster: own.cluster.or(&defaults.cluster),
        task_definition: own.task_definition.or(&defaults.task_definition),
        count: own.count.or(&defaults.count),
        capacity: own.capacity.or(&defaults.capacity),
        platform_version: own.platform_version.or(&defaults.platform_version),
        network: own.network.or(&defaults.network),
        container: own.container.or(&defaults.container),
        overrides: own.overrides.or(&defaults.overrides),
        placement_constraints: own.placement_constraints.or(&defaults.placement_constraints),
        placement_strategy: own.placement_strategy.or(&defaults.placement_strategy),
        volume_configurations: own.volume_configurations.or(&defaults.volume_configurations),
        group: own.group.or(&defaults.group),
        tags: own.tags.or(&defaults.tags),
        propagate_tags: own.propagate_tags.or(&defaults.propagate_tags),
        enable_ecs_managed_tags: own.enable_ecs_managed_tags.or(&defaults.enable_ecs_managed_tags),
        enable_execute_command: own.enable_execute_command.or(&defaults.enable_execute_command),
        add_tags: own.add_tags.or(&defaults.add_tags),
        add_environment: own.add_environment.or(&defaults.add_environment),
        retry: own.retry.or(&defaults.retry),
        timeout: own.timeout.or(&defaults.timeout),
        attempt_timeout: own.attempt_timeout.or(&defaults.attempt_timeout),
        start_timeout: own.start_timeout.or(&defaults.start_timeout),
        overlap: own.overlap.or(&defaults.overlap),
        catchup: own.catchup.or(&defaults.catchup),
        catchup_window: own.catchup_window.or(&defaults.catchup_window),
        spread: own.spread.or(&defaults.spread),
        start_deadline: own.start_deadline.or(&defaults.start_deadline),
        pause_after: own.pause_after.or(&defaults.pause_after),
        success: own.success.or(&defaults.success),
        accept_stop_codes: own.accept_stop_codes.or(&defaults.accept_stop_codes),
        exit_codes: own.exit_codes.or(&defaults.exit_codes),
        on_unknown: own.on_unknown.or(&defaults.on_unknown),
        log_tail: own.log_tail.or(&defaults.log_tail),
        notify: own.notify.or(&defaults.notify),
    }
}

/// Makes a job of what its table and the defaults say; none if any of it is wrong.
pub(super) fn job(frame: &Frame<'_>, place: Place, name: &str, own: JobFile) -> Option<Job> {
    let report = frame.report;
    let checked_name = JobName::new(name)
        .map_err(|mistake| {
            report.add(Note::error("bad-name", place, format!("jobs: {}", shown_long(&mistake.to_string()))))
        })
        .ok();
    frame.channels.add(report, &own.notify);
    let has_own_timeout = !own.timeout.is_absent();
    let said = inherit(own, frame.defaults);
    for (key, is_absent, hint) in [
        ("schedule", said.schedule.is_absent(), ""),
        ("cluster", said.cluster.is_absent(), ", and [defaults] has none"),
        ("task_definition", said.task_definition.is_absent(), ", and [defaults] has none"),
    ] {
        if is_absent {
            let message = format!("jobs.{}: {key} is missing{hint}", shown(name));
            report.add_absence(Note::error("missing-key", place, message));
        }
    }
    let schedule = when::schedule(report, name, &said);
    let target = targets::chosen(frame, &said);
    if let Some(target) = &target {
        targets::warn_of_other_places(report, &said, target);
    }
    let fits = fits(frame, place, name, &said);
    proofs::Case { frame, name, place, said: &said, has_own_timeout, schedule: schedule.as_ref() }.prove();
    let preset = Admission::default();
    let admission = Admission {
        overlap: said.overlap.clone().or_default(preset.overlap)?,
        catchup: said.catchup.clone().or_default(preset.catchup)?,
        catchup_window: said.catchup_window.clone().or_default(preset.catchup_window)?,
        spread: said.spread.clone().or_default(preset.spread)?,
        pause_after: said.pause_after.clone().optional()?,
    };
    let definition = definition(said, target)?;
    fits.then_some(Job { name: checked_name?, schedule: schedule?, admission, definition: Arc::new(definition) })
}

fn definition(said: JobFile, target: Option<Arc<Target>>) -> Option<Definition> {
    Some(Definition {
        retry: said.retry.or_default(RetryPolicy::default())?,
        limits: Limits {
            timeout: said.timeout.optional()?,
            attempt_timeout: said.attempt_timeout.optional()?,
            start_timeout: said.start_timeout.optional()?,
            start_deadline: said.start_deadline.optional()?,
        },
        success: said.success.or_default(Success::Essential)?,
        accept_stop_codes: said.accept_stop_codes.or_default(Vec::new())?,
        exit_codes: said.exit_codes.or_default(ExitCodes::none())?,
        on_unknown: said.on_unknown.or_default(OnUnknown::Fail)?,
        log_tail: said.log_tail.or_default(0)?,
        notify: said.notify.optional()?.map(|notify| Arc::clone(&notify.rules)).unwrap_or_default(),
        task: TaskSpec {
            target: target?,
            cluster: said.cluster.optional()??,
            task_definition: said.task_definition.optional()??,
            count: said.count.or_default(1)?,
            capacity: said.capacity.or_default(Capacity::ClusterDefault)?,
            platform_version: said.platform_version.optional()?,
            network: said.network.optional()?,
            containers: said.container.or_default(Vec::new())?,
            overrides: said.overrides.or_default(TaskOverride::none())?,
            placement_constraints: said.placement_constraints.or_default(Vec::new())?,
            placement_strategy: said.placement_strategy.or_default(Vec::new())?,
            volume_configurations: said.volume_configurations.or_default(Vec::new())?,
            group: said.group.optional()?,
            tags: said.tags.or_default(BTreeMap::new())?,
            propagate_tags: said.propagate_tags.optional()?,
            enable_ecs_managed_tags: said.enable_ecs_managed_tags.or_default(false)?,
            enable_execute_command: said.enable_execute_command.or_default(false)?,
            add_tags: said.add_tags.or_default(true)?,
            add_environment: said.add_environment.or_default(true)?,
        },
    })
}

/// ECS's limits on all tags and on all overrides of a request, ours among them.
fn fits(frame: &Frame<'_>, place: Place, name: &str, said: &JobFile) -> bool {
    let mut fits = capacity::fits(frame.report, place, name, said) & starts_in_time(frame, name, said);
    let set = |field: &Field<bool>| field.valid().is_none_or(|at| at.value);
    let allowed = task::tags_allowed(set(&said.add_tags));
    if let Some(At { value: tags, place }) = said.tags.valid().filter(|tags| tags.value.len() > allowed) {
        let own = if allowed < task::TAGS_MAX { format!(", {} of them ours", task::OWN_TAGS) } else { String::new() };
        let message = format!("tags: {} are too many; a task has at most {}{own}", tags.len(), task::TAGS_MAX);
        frame.report.add(Note::error("bad-tag", *place, message));
        fits = false;
    }
    let none = TaskOverride::none();
    let containers = said.container.valid().map(|at| at.value.as_slice()).unwrap_or_default();
    let overrides = said.overrides.valid().map_or(&none, |at| &at.value);
    let size = overrides_size(containers, overrides, set(&said.add_environment));
    if size > OVERRIDES_MAX {
        let place = said.container.valid().map_or(place, |at| at.place);
        let message = format!(
            "jobs.{}: the container overrides have about {size} characters as JSON, TENACRON_* variables included; ECS takes {}",
            shown(name),
            OVERRIDES_MAX
        );
        let help = "put what is large into a file of variables (environment_files), into the task definition, or into a file that \
                    the command reads";
        frame.report.add(Note::error("overrides-too-large", place, message).help(help.to_owned()));
        fits = false;
    }
    fits
}

/// A job that leaves later than it may would never run.
fn starts_in_time(frame: &Frame<'_>, name: &str, said: &JobFile) -> bool {
    let (Some(deadline), Some(spread)) = (said.start_deadline.valid(), said.spread.valid()) else { return true };
    if deadline.value > spread.value {
        return true;
    }
    let message = format!(
        "jobs.{}: start_deadline = \"{}\" is not longer than spread = \"{}\", by which its launches may be late on purpose",
        shown(name),
        humantime::format_duration(deadline.value),
        humantime::format_duration(spread.value)
    );
    frame.report.add(Note::error("start-deadline-within-spread", deadline.place, message));
    false
}
