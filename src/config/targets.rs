//! `[targets.NAME]`: further accounts and regions, each chosen by jobs with `target = "NAME"`.
//!
//! AWS refuses a role that is no role, an id of a wrong length and a host without an address only when the first job is
//! due, so what can be known of them is refused here. A target that is wrong keeps its name: jobs that choose it are not
//! told that there is none.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::job::{JobName, Target};

use super::check::Frame;
use super::file::{self, JobFile};
use super::reader::{At, Field, Table, Value};
use super::report::{Note, Place, Report, one_of, shown};

/// Source: AWS IAM API reference, `arnType`.
const ROLE_ARN_MAX: usize = 2048;
/// Source: AWS STS API reference, AssumeRole, `ExternalId`.
const EXTERNAL_ID_LENGTH: std::ops::RangeInclusive<usize> = 2..=1224;
/// What a region's name is made of at least: `eu-west-1`.
const REGION_PARTS_MIN: usize = 3;

/// One `[targets.NAME]`.
#[derive(Debug)]
pub(super) struct Named {
    place: Place,
    /// None if it is wrong.
    target: Option<Arc<Target>>,
    events_queue: Option<String>,
    is_used: Cell<bool>,
}

/// All of them, by name.
pub(super) type Targets = BTreeMap<String, Named>;

/// Reads `[targets]`.
pub(super) fn targets(value: &Value<'_>) -> Option<Targets> {
    value.names(|table| {
        let named = table.entries().map(|(place, name, value)| {
            let read = value.table(|table| target(table, name));
            let is_name = JobName::new(name);
            if let Err(mistake) = &is_name {
                table.report().add(Note::error("bad-name", place, format!("targets: {mistake}")));
            }
            let (target, events_queue) = read.filter(|_| is_name.is_ok()).unzip();
            let (target, events_queue) = (target.map(Arc::new), events_queue.flatten());
            (name.to_owned(), Named { place, target, events_queue, is_used: Cell::new(false) })
        });
        Some(named.collect())
    })
}

/// A target, and the queue of its task events.
fn target(table: &Table<'_>, name: &str) -> Option<(Target, Option<String>)> {
    let region = table.get("region", region);
    let role_arn = table.get("role_arn", role_arn);
    let external_id = table.get("external_id", external_id);
    let endpoint = table.get("endpoint", file::endpoint);
    let events_queue = table.get("events_queue", file::queue);
    if table.is_empty() {
        let message = format!("{}: says nothing; set region, role_arn, endpoint or events_queue", table.path);
        table.report().add(Note::error("missing-key", table.place, message));
        return None;
    }
    if let (Field::Is(At { place, .. }), true) = (&external_id, role_arn.is_absent()) {
        let message = format!("{}: role_arn is missing; external_id is sent along with a role only", table.path);
        table.report().add(Note::error("missing-key", *place, message));
        return None;
    }
    let target = Target {
        name: Some(name.to_owned()),
        region: region.optional()?,
        role_arn: role_arn.optional()?,
        external_id: external_id.optional()?,
        endpoint: endpoint.optional()?,
    };
    Some((target, events_queue.optional()?))
}

fn region(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if is_region(&text) {
        return Some(text);
    }
    let message = format!("expected a region such as \"eu-central-1\", found \"{}\"", shown(&text));
    // An availability zone is a region with one letter more.
    let zone = text.strip_suffix(|last: char| last.is_ascii_lowercase()).filter(|region| is_region(region));
    value.refuse_with_help(
        "bad-value",
        message,
        zone.map(|region| format!("this is an availability zone; write \"{region}\"")),
    )
}

fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    let is_made_of = |part: &str, of: fn(&u8) -> bool| !part.is_empty() && part.bytes().all(|byte| of(&byte));
    parts.len() >= REGION_PARTS_MIN
        && is_made_of(number, u8::is_ascii_digit)
        && words.iter().all(|word| is_made_of(word, u8::is_ascii_lowercase))
}

fn role_arn(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if text.len() <= ROLE_ARN_MAX && is_role(&text) {
        return Some(text);
    }
    let message =
        format!("expected a role such as \"arn:aws:iam::123456789012:role/NAME\", found \"{}\"", shown(&text));
    value.refuse("bad-value", message)
}

/// Source: IAM user guide, "IAM identifiers" and "IAM and AWS STS quotas".
fn is_role(text: &str) -> bool {
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let [arn, partition, service, region, account, resource] = std::array::from_fn(|_| next());
    let path = resource.strip_prefix("role/").unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    (arn, service, region) == ("arn", "iam", "")
        && (partition == "aws" || partition.starts_with("aws-"))
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
        && path.bytes().all(|byte| byte.is_ascii_graphic())
}

fn external_id(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    if !EXTERNAL_ID_LENGTH.contains(&text.chars().count()) {
        let (least, most) = EXTERNAL_ID_LENGTH.into_inner();
        let length = text.chars().count();
        return value.refuse("bad-value", format!("{length} characters are not {least} to {most}"));
    }
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte)) {
        return Some(text);
    }
    value.refuse("bad-value", "AWS accepts letters, digits and _ + = , . @ : / - in it")
}

/// The target that a job, or `[defaults]`, chose; none if there is none of that name, or if it is wrong.
pub(super) fn chosen(frame: &Frame<'_>, said: &JobFile) -> Option<Arc<Target>> {
    let At { value: name, place } = match &said.target {
        Field::Absent => return Some(Arc::clone(&frame.own_target)),
        Field::Wrong => return None,
        Field::Is(at) => at,
    };
    let targets = match frame.targets {
        Field::Wrong => return None,
        Field::Absent => None,
        Field::Is(at) => at.value.get(name),
    };
    let Some(named) = targets else {
        let names = frame.targets.valid().map(|at| at.value.keys().map(String::as_str).collect()).unwrap_or_default();
        no_such_target(frame.report, *place, name, names);
        return None;
    };
    named.is_used.set(true);
    named.target.clone()
}

fn no_such_target(report: &Report, place: Place, name: &str, names: Vec<&str>) {
    let mut message = format!("target: there is no [targets.{}]", shown(name));
    if let Some(meant) = report.suggest(name, names.iter().copied()) {
        message.push_str(&format!("; did you mean \"{meant}\"?"));
    }
    let help = match names.is_empty() {
        true => format!("write a [targets.{}] in the main file", shown(name)),
        false => format!("there is {}", one_of(names)),
    };
    report.add_absence(Note::error("unknown-target", place, message).help(help));
}

/// An ARN names region and account, and ECS knows none of another place.
pub(super) fn warn_of_other_places(report: &Report, said: &JobFile, target: &Target) {
    let Target { region, role_arn, .. } = target;
    let account = role_arn.as_deref().and_then(|role| role.split(':').nth(4));
    let arns = [("cluster", &said.cluster), ("task_definition", &said.task_definition)];
    for (key, At { value, place }) in arns.iter().filter_map(|(key, field)| Some((key, field.valid()?))) {
        let mut parts = value.strip_prefix("arn:").unwrap_or_default().split(':').skip(2);
        for (what, arn_has, target_has) in
            [("region", parts.next(), region.as_deref()), ("account", parts.next(), account)]
        {
            let (Some(arn_has), Some(target_has)) = (arn_has, target_has) else { continue };
            if arn_has != target_has {
                let message =
                    format!("{key}: this ARN is of {what} {}, and the target of {target_has}", shown(arn_has));
                let help = "correct the ARN, or write the name alone, or choose another target";
                report.add(Note::warning("arn-of-other-place", *place, message).help(help.to_owned()));
            }
        }
    }
}

/// The queues of task events, by target.
pub(super) fn queues(targets: &Field<Targets>) -> BTreeMap<String, String> {
    let named = targets.valid().into_iter().flat_map(|at| &at.value);
    named.filter_map(|(name, named)| Some((name.clone(), named.events_queue.clone()?))).collect()
}

/// What is left when the jobs are read: the targets by name, and a warning for each that none of them chose.
pub(super) fn settle(targets: Field<Targets>, report: &Report) -> Option<BTreeMap<String, Arc<Target>>> {
    let targets = targets.optional()?.unwrap_or_default();
    for (name, named) in targets.iter().filter(|(_, named)| !named.is_used.get()) {
        if !report.is_any_broken() {
            let message = format!("targets.{}: no job chose it", shown(name));
            let help = format!("remove it, or write target = \"{}\" in a job or in [defaults]", shown(name));
            report.add(Note::warning("unused-target", named.place, message).help(help));
        }
    }
    targets.into_iter().map(|(name, named)| Some((name, named.target?))).collect()
}
