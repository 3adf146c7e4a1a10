//! Files of variables, devices and placement, as RunTask takes them.
//!
//! Source of all limits: Amazon ECS API reference, RunTask, EnvironmentFile, ResourceRequirement, PlacementConstraint and
//! PlacementStrategy.

use crate::engine::resources::{EnvironmentFile, PlacementConstraint, PlacementStrategy, ResourceRequirement};

use super::reader::{Table, Value};
use super::report::{Note, shown};

const ENVIRONMENT_FILES_MAX: usize = 10;
const CONSTRAINTS_MAX: usize = 10;
const STRATEGIES_MAX: usize = 5;
const EXPRESSION_MAX: usize = 2000;

/// The items of a list that ECS limits; an empty one takes back what `[defaults]` says.
pub(super) fn at_most<T>(value: &Value<'_>, most: usize, read: impl Fn(&Table<'_>) -> Option<T>) -> Option<Vec<T>> {
    let items = value.list(|item| item.table(&read))?;
    if items.len() > most {
        return value.refuse("bad-value", format!("{} items are too many; ECS takes {most}", items.len()));
    }
    Some(items)
}

pub(super) fn environment_files(value: &Value<'_>) -> Option<Vec<EnvironmentFile>> {
    at_most(value, ENVIRONMENT_FILES_MAX, |table| {
        let file = table.required("value", |value| {
            let arn = value.string()?;
            if !is_environment_file(&arn) {
                let message = format!("expected the ARN of an S3 object that ends in .env, found \"{}\"", shown(&arn));
                let help = "write \"arn:aws:s3:::BUCKET/PATH.env\"";
                return value.refuse_with_help("bad-value", message, Some(help.to_owned()));
            }
            Some(arn)
        });
        let kind = table.get("type", |value| value.word(&[("s3", "s3")]));
        Some(EnvironmentFile { value: file?, kind: kind.or_default("s3")?.to_owned() })
    })
}

fn is_environment_file(arn: &str) -> bool {
    let object = arn.strip_prefix("arn:").and_then(|rest| rest.split_once(":s3:::")).map(|(_, object)| object);
    let parts = object.and_then(|object| object.split_once('/'));
    parts.is_some_and(|(bucket, key)| !bucket.is_empty() && key.ends_with(".env"))
}

pub(super) fn resource_requirements(value: &Value<'_>) -> Option<Vec<ResourceRequirement>> {
    value.list(|item| item.table(resource_requirement))
}

fn resource_requirement(table: &Table<'_>) -> Option<ResourceRequirement> {
    let kind = table.required("type", |value| {
        if value.text()? == "InferenceAccelerator" {
            return value.refuse("bad-value", "Elastic Inference accelerators are no longer to be had");
        }
        value.word(&[("GPU", "GPU"), ("NeuronDevice", "NeuronDevice")])
    });
    let amount = table.required("value", |value| {
        let amount = value.string()?;
        let is_number = amount.parse::<u32>().is_ok_and(|number| number > 0);
        let expected = match kind? {
            "NeuronDevice" => "\"ALL\"",
            _ if is_number => return Some(amount),
            _ => "a number such as \"1\", or \"ALL\"",
        };
        if amount == "ALL" {
            return Some(amount);
        }
        value.refuse("bad-value", format!("expected {expected}, found \"{}\"", shown(&amount)))
    });
    Some(ResourceRequirement { value: amount?, kind: kind?.to_owned() })
}

pub(super) fn placement_constraints(value: &Value<'_>) -> Option<Vec<PlacementConstraint>> {
    at_most(value, CONSTRAINTS_MAX, |table| {
        let kind = table.required("type", |value| {
            value.word(&[("distinctInstance", "distinctInstance"), ("memberOf", "memberOf")])
        });
        let expression = table.get("expression", |value| {
            let expression = value.string()?;
            let length = expression.chars().count();
            if length > EXPRESSION_MAX {
                return value
                    .refuse("bad-value", format!("{length} characters are too many; ECS takes {EXPRESSION_MAX}"));
            }
            Some(expression)
        });
        goes_with(table, "expression", expression.is_absent(), kind?, kind? == "memberOf")?;
        Some(PlacementConstraint { kind: kind?.to_owned(), expression: expression.optional()? })
    })
}

pub(super) fn placement_strategy(value: &Value<'_>) -> Option<Vec<PlacementStrategy>> {
    at_most(value, STRATEGIES_MAX, |table| {
        let kind = table.required("type", |value| {
            value.word(&[("random", "random"), ("spread", "spread"), ("binpack", "binpack")])
        });
        let field = table.get("field", |value| {
            let field = value.string()?;
            match kind {
                Some("spread") if !is_spread_over(&field) => {
                    let message = format!("nothing is spread over \"{}\"", shown(&field));
                    let help = "accepted: \"instanceId\", \"host\", or \"attribute:NAME\" such as \"attribute:ecs.availability-zone\"";
                    value.refuse_with_help("bad-value", message, Some(help.to_owned()))
                }
                Some("binpack") if !["cpu", "memory"].contains(&field.to_ascii_lowercase().as_str()) => {
                    value.refuse("bad-value", format!("expected \"cpu\" or \"memory\", found \"{}\"", shown(&field)))
                }
                _ => Some(field),
            }
        });
        goes_with(table, "field", field.is_absent(), kind?, kind? != "random")?;
        Some(PlacementStrategy { kind: kind?.to_owned(), field: field.optional()? })
    })
}

fn is_spread_over(field: &str) -> bool {
    let attribute = field.strip_prefix("attribute:");
    field == "instanceId" || field == "host" || attribute.is_some_and(|name| !name.is_empty())
}

/// Whether a key is there if and only if the type needs it.
fn goes_with(table: &Table<'_>, key: &'static str, is_absent: bool, kind: &str, is_needed: bool) -> Option<()> {
    if is_needed != is_absent {
        return Some(());
    }
    let place = table.place_of(key).unwrap_or(table.place);
    if is_needed {
        let message = format!("{}: {key} is missing, which type = \"{kind}\" needs", table.path);
        table.report().add(Note::error("missing-key", place, message));
    } else {
        let message = format!("{}: type = \"{kind}\" takes no {key}", table.path);
        table.report().add(Note::error("bad-value", place, message));
    }
    None
}
