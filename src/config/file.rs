//! What a file says: every key of a job and of the settings, each absent, wrong or valid, nothing inherited yet.
//!
//! A [`JobFile`] is one `[jobs.NAME]` table or `[defaults]`; both have the same keys but for the schedule and
//! its ends. Values that can
//! be judged alone are judged here, so `check.rs` only sees what needs more than one key or more than one table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;

use crate::engine::exit_codes::ExitCodes;
use crate::engine::job::{
    Capacity, Catchup, ContainerOverride, Instance, Network, OnUnknown, Overlap, Success, TaskOverride,
};
use crate::engine::log_tail::LINES_MAX;
use crate::engine::resources::{PlacementConstraint, PlacementStrategy, VolumeConfiguration};
use crate::engine::retention::Retention;
use crate::engine::retry::RetryPolicy;
use crate::engine::schedule::{self, Exceptions, Gap, Moment};
use crate::notify::Heartbeat;

use super::EcsSettings;
use super::exit_codes;
use super::http::{HttpSettings, http};
use super::notify::{self, Notify};
use super::reader::{At, Field, Table, Value};
use super::report::{one_of, shown};
use super::resources;
use super::retention;
use super::retry;
use super::targets::{self, Targets};
use super::task;
use super::volume;
use super::when::{self, Expression};

/// Source: Amazon ECS API reference, RunTask, `count`.
const COUNT_MAX: u32 = 10;
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(500);
const LAUNCH_RATE_MAX: f64 = 1_000.0;
const LAUNCH_BURST_MAX: i64 = 10_000;
/// ECS's own read quota, which consoles and deploy tools share. Source: "Request throttling for the Amazon ECS API".
const DESCRIBE_RATE_MAX: f64 = 20.0;
/// What ECS puts into `stopCode`, but for `EssentialContainerExited`, which needs no permission. Source: Amazon ECS API
/// reference, Task.
const STOP_CODES: [&str; 7] = [
    "EssentialContainerExited",
    "InfrastructureHealth",
    "ServiceSchedulerInitiated",
    "SpotInterruption",
    "TaskFailedToStart",
    "TerminationNotice",
    "UserInitiated",
];

/// One `[jobs.NAME]`, or `[defaults]`.
#[derive(Debug, Clone)]
pub(super) struct JobFile {
    /// Expressions, each with the place of its text.
    pub(super) schedule: Field<Vec<Expression>>,
    pub(super) start_at: Field<Moment>,
    pub(super) end_at: Field<Moment>,
    /// Those of `[defaults]` are shared by all jobs without their own.
    pub(super) except: Field<Arc<Exceptions>>,
    pub(super) timezone: Field<Tz>,
    pub(super) dst_gap: Field<Gap>,
    pub(super) dst_overlap: Field<schedule::Overlap>,
    pub(super) target: Field<String>,
    pub(super) cluster: Field<String>,
    pub(super) task_definition: Field<String>,
    pub(super) count: Field<u32>,
    pub(super) capacity: Field<Capacity>,
    pub(super) platform_version: Field<String>,
    pub(super) network: Field<Arc<Network>>,
    pub(super) container: Field<Vec<ContainerOverride>>,
    pub(super) overrides: Field<Arc<TaskOverride>>,
    pub(super) placement_constraints: Field<Vec<PlacementConstraint>>,
    pub(super) placement_strategy: Field<Vec<PlacementStrategy>>,
    pub(super) volume_configurations: Field<Vec<VolumeConfiguration>>,
    pub(super) group: Field<String>,
    pub(super) tags: Field<BTreeMap<String, String>>,
    pub(super) propagate_tags: Field<String>,
    pub(super) enable_ecs_managed_tags: Field<bool>,
    pub(super) enable_execute_command: Field<bool>,
    pub(super) add_tags: Field<bool>,
    pub(super) add_environment: Field<bool>,
    pub(super) retry: Field<RetryPolicy>,
    pub(super) timeout: Field<Duration>,
    pub(super) attempt_timeout: Field<Duration>,
    pub(super) start_timeout: Field<Duration>,
    pub(super) overlap: Field<Overlap>,
    pub(super) catchup: Field<Catchup>,
    pub(super) catchup_window: Field<Duration>,
    pub(super) spread: Field<Duration>,
    pub(super) start_deadline: Field<Duration>,
    pub(super) pause_after: Field<u32>,
    pub(super) success: Field<Success>,
    pub(super) accept_stop_codes: Field<Vec<String>>,
    pub(super) exit_codes: Field<Arc<ExitCodes>>,
    pub(super) on_unknown: Field<OnUnknown>,
    pub(super) log_tail: Field<u16>,
    /// That of `[defaults]` is shared by all jobs without their own.
    pub(super) notify: Field<Arc<Notify>>,
}

/// `[jobs.NAME]`.
pub(super) fn job(table: &Table<'_>) -> JobFile {
    let schedule = table.get("schedule", when::expressions);
    let start_at = table.get("start_at", when::moment);
    let end_at = table.get("end_at", when::moment);
    JobFile { schedule, start_at, end_at, ..common(table) }
}

/// `[defaults]`: every key of a job but the schedule and its ends.
pub(super) fn defaults(table: &Table<'_>) -> JobFile {
    common(table)
}

fn common(table: &Table<'_>) -> JobFile {
    use schedule::Overlap as Shown;
    let text = |key| table.get(key, |value| value.string());
    let yes_no = |key| table.get(key, |value| value.boolean());
    let limit = |key| table.get(key, |value| value.duration());
    JobFile {
        schedule: Field::Absent,
        start_at: Field::Absent,
        end_at: Field::Absent,
        except: table.get("except", when::exceptions),
        timezone: table.get("timezone", when::zone),
        dst_gap: table.get("dst_gap", |value| value.word(&[("after", Gap::After), ("skip", Gap::Skip)])),
        dst_overlap: table.get("dst_overlap", |value| value.word(&[("first", Shown::First), ("both", Shown::Both)])),
        target: text("target"),
        cluster: table.get("cluster", task::cluster),
        task_definition: table.get("task_definition", task::task_definition),
        count: table.get("count", |value| value.integer(1..=i64::from(COUNT_MAX))),
        capacity: task::capacity(table),
        platform_version: text("platform_version"),
        network: table.get("network", |value| value.table(task::network)),
        container: table.get("container", task::containers),
        overrides: table.get("overrides", |value| value.table(task::overrides)),
        placement_constraints: table.get("placement_constraints", resources::placement_constraints),
        placement_strategy: table.get("placement_strategy", resources::placement_strategy),
        volume_configurations: table.get("volume_configurations", volume::configurations),
        group: text("group"),
        tags: table.get("tags", task::tags),
        propagate_tags: table.get("propagate_tags", task::propagate_tags),
        enable_ecs_managed_tags: yes_no("enable_ecs_managed_tags"),
        enable_execute_command: yes_no("enable_execute_command"),
        add_tags: yes_no("add_tags"),
        add_environment: yes_no("add_environment"),
        retry: table.get("retry", retry::policy),
        timeout: limit("timeout"),
        attempt_timeout: limit("attempt_timeout"),
        start_timeout: limit("start_timeout"),
        overlap: table.get("overlap", overlap),
        catchup: table.get("catchup", |value| {
            value.word(&[("none", Catchup::None), ("last", Catchup::Last), ("all", Catchup::All)])
        }),
        catchup_window: limit("catchup_window"),
        spread: table.get("spread", |value| value.duration_or_zero()),
        start_deadline: limit("start_deadline"),
        pause_after: table.get("pause_after", |value| value.integer(1..=i64::from(u32::MAX))),
        success: table.get("success", |value| value.word(&[("essential", Success::Essential), ("all", Success::All)])),
        accept_stop_codes: table.get("accept_stop_codes", |value| value.list(stop_code)),
        exit_codes: table.get("exit_codes", |value| value.table(exit_codes::lists)),
        on_unknown: table
            .get("on_unknown", |value| value.word(&[("fail", OnUnknown::Fail), ("rerun", OnUnknown::Rerun)])),
        log_tail: table.get("log_tail", |value| value.integer(0..=i64::from(LINES_MAX))),
        notify: table.get("notify", notify::rules),
    }
}

fn overlap(value: &Value<'_>) -> Option<Overlap> {
    value.word(&[
        ("skip", Overlap::Skip),
        ("allow", Overlap::Allow),
        ("queue_one", Overlap::QueueOne),
        ("queue_all", Overlap::QueueAll),
        ("cancel_running", Overlap::CancelRunning),
    ])
}

fn stop_code(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if !STOP_CODES.contains(&text.as_str()) {
        let message = format!("ECS is not known to have the stop code \"{}\"", shown(&text));
        let help = match value.report().suggest(&text, STOP_CODES) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("known are {}", one_of(STOP_CODES)),
        };
        value.warn("unknown-stop-code", message, help);
    }
    Some(text)
}

/// Everything of the main file but its jobs.
#[derive(Debug)]
pub(super) struct SettingsFile {
    pub(super) instance: Field<Instance>,
    pub(super) state: Field<Option<PathBuf>>,
    pub(super) control_socket: Field<Option<PathBuf>>,
    pub(super) http: Field<HttpSettings>,
    pub(super) retention: Field<Retention>,
    pub(super) ecs: Field<EcsSettings>,
    pub(super) targets: Field<Targets>,
    pub(super) max_running: Field<u32>,
    pub(super) groups: Field<BTreeMap<String, At<u32>>>,
    pub(super) heartbeat: Field<Heartbeat>,
    pub(super) defaults: Field<JobFile>,
}

/// Reads the settings; relative paths are meant from `folder`.
pub(super) fn settings(whole: &Table<'_>, folder: &Path) -> SettingsFile {
    SettingsFile {
        instance: whole.get("instance", |value| {
            let text = value.text()?;
            Instance::new(text).map_or_else(|mistake| value.refuse("bad-name", mistake.to_string()), Some)
        }),
        state: whole
            .get("state", |value| value.table(|table| table.get("url", |value| state(value, folder)).optional())),
        control_socket: whole
            .get("control", |value| value.table(|table| table.get("socket", |value| socket(value, folder)).optional())),
        http: whole.get("http", |value| value.table(|table| http(table, folder))),
        retention: whole.get("retention", |value| value.table(retention::retention)),
        ecs: whole.get("ecs", |value| value.table(ecs)),
        targets: whole.get("targets", targets::targets),
        max_running: whole.get("max_running", max_running),
        groups: whole.get("groups", groups),
        heartbeat: whole.get("heartbeat", notify::heartbeat),
        defaults: whole.get("defaults", |value| value.table(|table| Some(defaults(table)))),
    }
}

fn max_running(value: &Value<'_>) -> Option<u32> {
    value.integer(1..=i64::from(u32::MAX))
}

fn groups(value: &Value<'_>) -> Option<BTreeMap<String, At<u32>>> {
    value.names(|table| {
        let mut read = Some(BTreeMap::new());
        for (place, name, value) in table.entries() {
            let limit = value.table(|group| group.required("max_running", max_running));
            read = read.zip(limit).map(|(mut all, value)| {
                all.insert(name.to_owned(), At { value, place });
                all
            });
        }
        read
    })
}

fn state(value: &Value<'_>, folder: &Path) -> Option<PathBuf> {
    const FORMS: &str = "expected \"sqlite:///path\" or \"sqlite://path/beside/this/file\"";
    let text = value.text()?;
    if text.starts_with("postgres") {
        return value.refuse("bad-value", format!("PostgreSQL is not supported by this version; {FORMS}"));
    }
    match text.strip_prefix("sqlite://") {
        None | Some("" | "/") => value.refuse("bad-value", format!("{FORMS}, found \"{}\"", shown(text))),
        Some(path) if path.contains(['?', '#']) => value.refuse("bad-value", format!("takes no parameters; {FORMS}")),
        Some(path) => Some(folder.join(path)),
    }
}

fn socket(value: &Value<'_>, folder: &Path) -> Option<PathBuf> {
    Some(folder.join(value.string()?))
}

fn ecs(table: &Table<'_>) -> Option<EcsSettings> {
    let preset = EcsSettings::default();
    let region = table.get("region", |value| value.string());
    let endpoint = table.get("endpoint", endpoint);
    let poll_interval = table.get("poll_interval", |value| match value.duration()? {
        short if short < POLL_INTERVAL_MIN => value.refuse("bad-value", "is shorter than 500ms"),
        interval => Some(interval),
    });
    let launch_rate = table.get("launch_rate", |value| match value.number()? {
        rate if rate > 0.0 && rate <= LAUNCH_RATE_MAX => Some(rate),
        rate => value.refuse("bad-value", format!("{rate} is not above 0 and at most {LAUNCH_RATE_MAX}")),
    });
    let launch_burst = table.get("launch_burst", |value| value.integer(1..=LAUNCH_BURST_MAX));
    let describe_rate = table.get("describe_rate", |value| match value.number()? {
        rate if rate > 0.0 && rate <= DESCRIBE_RATE_MAX => Some(rate),
        rate => value.refuse("bad-value", format!("{rate} is not above 0 and at most {DESCRIBE_RATE_MAX}")),
    });
    let events_queue = table.get("events_queue", queue);
    Some(EcsSettings {
        region: region.optional()?,
        endpoint: endpoint.optional()?,
        poll_interval: poll_interval.or_default(preset.poll_interval)?,
        launch_rate: launch_rate.or_default(preset.launch_rate)?,
        launch_burst: launch_burst.or_default(preset.launch_burst)?,
        describe_rate: describe_rate.or_default(preset.describe_rate)?,
        events_queue: events_queue.optional()?,
    })
}

/// The URL of an SQS queue, whose path is the account and the name.
pub(super) fn queue(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let parts: Vec<&str> = rest.split('/').collect();
    if parts.len() != 3 || parts.iter().any(|part| part.is_empty()) || text.contains(char::is_whitespace) {
        let message = format!(
            "expected the URL of an SQS queue such as \"https://sqs.eu-central-1.amazonaws.com/123456789012/tenacron\", \
             found \"{}\"",
            shown(&text)
        );
        return value.refuse("bad-value", message);
    }
    Some(text)
}

pub(super) fn endpoint(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    if host.split('/').next().unwrap_or_default().contains('@') {
        // It would stand in the log, and ECS takes signatures.
        return value.refuse("bad-value", "holds a user or a password; credentials come from the AWS environment");
    }
    if host.is_empty() || text.contains(char::is_whitespace) {
        let message = format!("expected a URL such as \"http://127.0.0.1:5100\", found \"{}\"", shown(&text));
        return value.refuse("bad-value", message);
    }
    Some(text)
}
