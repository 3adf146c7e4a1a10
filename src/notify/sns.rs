//! A notice as the message of an SNS topic: a text for people, attributes for programs and filter policies.
//!
//! `ExitCode` and `FullTaskResult` have the names under which state machines commonly send them. Here they are filled on
//! failures too, with the exit code of the attempt that decided and with the task as Step Functions writes one: keys in
//! PascalCase. The others are ours. Eight attributes pass SQS's raw delivery, which takes ten.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::channel::Topic;
use super::{subject, text};
use crate::engine::notice::Notice;

/// All of a message, in bytes: text, and names, types and values of attributes. Source: Amazon SNS API reference, Publish,
/// `Message`, 256 KiB; some are left for what is counted in another way.
const MESSAGE_MAX: usize = 250 << 10;

/// What Publish is called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMessage {
    /// The topic.
    pub topic: Topic,
    /// The subject of an e-mail.
    pub subject: String,
    /// What people read.
    pub text: String,
    /// Names and values, all of them strings, none empty.
    pub attributes: Vec<(&'static str, String)>,
    /// The group within which a FIFO topic keeps the order, and the name by which it drops what comes twice.
    pub fifo: Option<(String, String)>,
}

/// The message of a notice.
pub(super) fn message(topic: &Topic, notice: &Notice) -> TopicMessage {
    let facts = &notice.facts;
    let mut attributes = vec![
        ("Job", facts.job.to_string()),
        ("Run", facts.run.to_string()),
        ("Status", facts.status.as_str().to_owned()),
        ("On", facts.on.as_str().to_owned()),
        ("Instance", facts.instance.to_string()),
        ("NoticeId", notice.id.clone()),
    ];
    attributes.extend(facts.telling_exit_code().map(|code| ("ExitCode", code.to_string())));
    let text = text(facts);
    let so_far: usize = attributes.iter().map(|(name, value)| size(name, value)).sum();
    let task = facts.task.clone().map(|task| ("FullTaskResult", in_pascal_case(task).to_string()));
    attributes.extend(task.filter(|(name, task)| so_far + text.len() + size(name, task) <= MESSAGE_MAX));
    let fifo = topic.is_fifo().then(|| (facts.job.to_string(), notice.id.clone()));
    TopicMessage { topic: topic.clone(), subject: subject(facts), text, attributes, fifo }
}

fn size(name: &str, value: &str) -> usize {
    name.len() + "String".len() + value.len()
}

/// Seconds since 1970 as milliseconds, to the nearest.
fn in_millis(seconds: f64) -> Option<u64> {
    let since = Duration::try_from_secs_f64(seconds).ok()? + Duration::from_micros(500);
    u64::try_from(since.as_millis()).ok()
}

/// The same as Step Functions writes it: keys begin with a capital letter, what is null is left out, and instants are in
/// milliseconds, where ECS's own JSON has seconds.
fn in_pascal_case(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let entries = entries.into_iter().filter(|(_, value)| !value.is_null());
            let renamed = entries.map(|(key, value)| {
                let mut rest = key.chars();
                let first = rest.next().map(|first| first.to_ascii_uppercase());
                let millis = value.as_f64().filter(|_| key.ends_with("At")).and_then(in_millis);
                let value = millis.map_or_else(|| in_pascal_case(value), |millis| json!(millis));
                (first.into_iter().chain(rest).collect::<String>(), value)
            });
            Value::Object(renamed.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(in_pascal_case).collect()),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
    }
}
