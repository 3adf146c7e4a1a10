//! What a job is by the file: its keys in the order of the file's own documentation, and all of it as JSON. The values of
//! variables are never shown, because they may be secrets.

use chrono_tz::Tz;
use maud::{Markup, html};

use super::super::Shown;
use super::super::parts::{count, exactly, moment};
use crate::engine::job::{Admission, Capacity, Catchup, ContainerOverride, Definition, Job, Overlap, TaskSpec};
use crate::engine::notice::{NotifyRule, On, Repeat};
use crate::engine::schedule::{Dst, Gap, Overlap as Again, Schedule};

/// A key with its value.
type Fact = (&'static str, Markup);

pub(super) fn facts(job: &Job, shown: &Shown) -> Markup {
    let definition = &job.definition;
    let mut facts = Vec::new();
    if let Some((file, line)) = shown.written.place(&job.name) {
        facts.push(("Written in", html! { code { (file.display()) ":" (line) } }));
    }
    when(&job.schedule, &job.admission, &mut facts);
    what(&definition.task, shown, &mut facts);
    let limits = &definition.limits;
    let times = [
        ("timeout", limits.timeout),
        ("attempt_timeout", limits.attempt_timeout),
        ("start_timeout", limits.start_timeout),
        ("start_deadline", limits.start_deadline),
    ];
    facts.extend(times.into_iter().filter_map(|(key, time)| Some((key, html! { (exactly(time?)) }))));
    if definition.log_tail > 0 {
        facts.push(("Log tail", html! { (definition.log_tail) " lines of each failed container" }));
    }
    facts.extend(definition.notify.iter().map(|rule| ("Tells", told(rule))));
    html! {
        dl .facts { @for (key, value) in facts { dt { (key) } dd { (value) } } }
        details {
            summary { "All of it, as JSON" }
            pre .scroll tabindex="0" role="region" aria-label="Definition as JSON" { (as_json(definition)) }
        }
    }
}

fn when(schedule: &Schedule, admission: &Admission, facts: &mut Vec<Fact>) {
    let expressions = schedule.expressions();
    facts.push((
        "Schedule",
        html! { @for (nth, text) in expressions.iter().enumerate() { @if nth > 0 { "; " } code { (text) } } },
    ));
    facts.push(("Zone", html! { (schedule.zone().name()) }));
    let bounds = [("From", schedule.start_at()), ("Until", schedule.end_at())];
    facts.extend(bounds.into_iter().filter_map(|(key, at)| Some((key, moment(at?)))));
    if !schedule.except().is_empty() {
        let texts = schedule.except().texts();
        facts.push((
            "Except",
            html! { @for (nth, text) in texts.iter().enumerate() { @if nth > 0 { "; " } code { (text) } } },
        ));
    }
    // UTC has no such nights.
    if schedule.zone() != Tz::UTC {
        facts.push(("Clock changes", html! { (at_clock_changes(schedule.dst())) }));
    }
    if !admission.spread.is_zero() {
        facts.push(("Spread", html! { "over " (exactly(admission.spread)) }));
    }
    facts.push(("Meets a run", html! { (meeting(admission.overlap)) }));
    facts.push(("After an absence", html! { (catching_up(admission)) }));
    if let Some(limit) = admission.pause_after {
        facts.push(("Pauses itself", html! { "after " (limit) " bad ends in a row" }));
    }
}

fn at_clock_changes(dst: Dst) -> String {
    let gap = match dst.gap {
        Gap::After => "what the clock skips fires right after the gap",
        Gap::Skip => "what the clock skips does not fire",
    };
    let again = match dst.overlap {
        Again::First => "what it shows twice fires the first time",
        Again::Both => "what it shows twice fires both times",
    };
    format!("{gap}, {again}")
}

pub(super) fn meeting(overlap: Overlap) -> &'static str {
    match overlap {
        Overlap::Skip => "the firing is skipped",
        Overlap::Allow => "both run",
        Overlap::QueueOne => "one firing waits, further ones are skipped",
        Overlap::QueueAll => "firings wait and run one after the other",
        Overlap::CancelRunning => "the run is stopped, then the firing starts",
    }
}

fn catching_up(admission: &Admission) -> String {
    let window = exactly(admission.catchup_window);
    match admission.catchup {
        Catchup::None => "what passed is missed".to_owned(),
        Catchup::Last => format!("the last instant of {window} at most is made up for"),
        Catchup::All => format!("all instants of {window} at most are made up for"),
    }
}

fn what(task: &TaskSpec, shown: &Shown, facts: &mut Vec<Fact>) {
    facts.push(("Cluster", html! { code { (task.cluster) } }));
    facts
        .push(("Task definition", html! { code { (task.task_definition) } @if task.count > 1 { " × " (task.count) } }));
    let region = task.target.region.as_ref().or(shown.region.as_ref());
    if task.target.name.is_some() || region.is_some() {
        let role = task.target.role_arn.as_ref();
        facts.push((
            "Target",
            html! {
                @if let Some(name) = &task.target.name { (name) " " }
                @if let Some(region) = region { "in " (region) }
                @if let Some(role) = role { " as " code { (role) } }
            },
        ));
    }
    facts.push(("Runs on", html! { (running_on(&task.capacity)) @if let Some(version) = &task.platform_version { ", platform " (version) } }));
    if let Some(network) = &task.network {
        facts.push(("Network", html! {
            (network.subnets.join(", ")) @if !network.security_groups.is_empty() { "; " (network.security_groups.join(", ")) }
            @if network.assign_public_ip { "; a public address" }
        }));
    }
    let overrides = [
        ("Task CPU", task.overrides.cpu.clone()),
        ("Task memory", task.overrides.memory.clone()),
        ("Task role", task.overrides.task_role_arn.clone()),
        ("Execution role", task.overrides.execution_role_arn.clone()),
        ("Task storage", task.overrides.ephemeral_storage_gib.map(|gib| format!("{gib} GiB"))),
        ("Group", task.group.clone()),
    ];
    facts.extend(overrides.into_iter().filter_map(|(key, value)| value.map(|value| (key, html! { (value) }))));
    if !task.tags.is_empty() {
        let tags = task.tags.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ");
        facts.push(("Tags", html! { (tags) }));
    }
    facts.extend(task.containers.iter().map(|container| ("Container", override_of(container))));
}

fn running_on(capacity: &Capacity) -> String {
    match capacity {
        Capacity::ClusterDefault => "what the cluster has by default".to_owned(),
        Capacity::LaunchType(launch_type) => launch_type.clone(),
        Capacity::Strategy(providers) => {
            let told = providers
                .iter()
                .map(|one| format!("{} (weight {}, base {})", one.capacity_provider, one.weight, one.base));
            told.collect::<Vec<_>>().join(", ")
        }
    }
}

/// What differs in a container, with the names of its variables alone. The frozen request leaves the same out.
fn override_of(container: &ContainerOverride) -> Markup {
    let names = container.environment.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let sizes = [
        ("CPU units", container.cpu),
        ("MiB of memory", container.memory),
        ("MiB of memory reserved", container.memory_reservation),
    ];
    html! {
        b { (container.name) }
        @if let Some(command) = &container.command { "; a command of " (count(command.len(), "argument", "arguments")) }
        @for (unit, size) in sizes { @if let Some(size) = size { "; " (size) " " (unit) } }
        @if !names.is_empty() { "; variables " code { (names) } }
        @for file in &container.environment_files { "; variables of " code { (file.value) } }
        @for device in &container.resource_requirements { "; " (device.value) " " (device.kind) }
    }
}

fn told(rule: &NotifyRule) -> Markup {
    let on = rule.on.iter().map(|on| On::as_str(*on)).collect::<Vec<_>>().join(", ");
    html! {
        code { (rule.channel) } " of " (on)
        @match rule.repeat { Repeat::Every => {}, Repeat::First => ", of several in a row the first" }
    }
}

/// All of a definition, without what passwords stand in.
fn as_json(definition: &Definition) -> String {
    let shown = Definition { task: definition.task.to_be_shown(), ..definition.clone() };
    serde_json::to_string_pretty(&shown).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::engine::job::{Limits, Target};
    use crate::engine::notice::ChannelId;
    use crate::engine::samples;
    use crate::engine::written::Written;

    fn with_secret() -> Definition {
        let container = ContainerOverride {
            name: "app".to_owned(),
            command: Some(vec!["login".to_owned(), "s3cr3t-word".to_owned()]),
            environment: [("DB_PASSWORD".to_owned(), "s3cr3t-value".to_owned())].into(),
            memory: Some(512),
            ..ContainerOverride::default()
        };
        let mut definition = samples::definition();
        definition.task.containers = vec![container];
        let external_id = Some("s3cr3t-id".to_owned());
        definition.task.target =
            Arc::new(Target { name: Some("billing".to_owned()), external_id, ..Target::default() });
        definition
    }

    #[test]
    fn variables_are_named_and_their_values_are_nowhere() {
        let job = Job { definition: Arc::new(with_secret()), ..samples::job("@daily") };
        let shown = facts(&job, &Shown::default()).into_string();
        assert!(!shown.contains("s3cr3t"), "{shown}");
        assert!(shown.contains("variables <code>DB_PASSWORD</code>"), "{shown}");
        assert!(shown.contains("&quot;DB_PASSWORD&quot;: &quot;[redacted]&quot;"), "{shown}");
        assert!(shown.contains("a command of 2 arguments; 512 MiB of memory"), "{shown}");
    }

    #[test]
    fn a_definition_says_where_it_is_written_and_what_it_is() {
        let mut definition = with_secret();
        definition.limits = Limits { timeout: Some(Duration::from_secs(900)), ..Limits::default() };
        let channel = ChannelId("sns:ops".into());
        definition.notify =
            [NotifyRule { on: [On::Failed, On::TimedOut].into(), repeat: Repeat::First, channel }].into();
        let job = Job { definition: Arc::new(definition), ..samples::job("cron(0 3 * * ? *)") };
        let place: Arc<Path> = Path::new("jobs.d/nightly.toml").into();
        let shown = Shown {
            written: Arc::new(Written::new(vec![place], [(job.name.clone(), 0, 7)].into_iter())),
            region: Some("eu-central-1".to_owned()),
            ..Shown::default()
        };
        let html = facts(&job, &shown).into_string();
        for part in [
            "<code>jobs.d/nightly.toml:7</code>",
            "<dt>Schedule</dt><dd><code>cron(0 3 * * ? *)</code></dd>",
            "billing in eu-central-1",
            "<dt>timeout</dt><dd>15 min</dd>",
            "the firing is skipped",
            "the last instant of 1 h at most is made up for",
            "<code>sns:ops</code> of failed, timed_out, of several in a row the first",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }
}
