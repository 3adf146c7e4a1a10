//! What ECS literally said of a stopped task, for whoever looks into a failure after ECS has forgotten it.
//!
//! The SDK reads an answer into types that hold what this version knows and can't be written out again. So the body is read
//! a second time, as JSON, where it shows a stopped task: everything is kept, also what nobody knew when this was built. The
//! values of environment variables and the arguments of commands that a job sets are not: passwords stand in them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_ecs::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_ecs::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ecs::error::BoxError;
use serde_json::Value;

use crate::engine::launch::{LEFT_OUT, VARIABLE};

/// How ECS writes that a task has stopped.
const STOPPED: &[u8] = b"\"STOPPED\"";

/// The stopped tasks of one DescribeTasks answer, each as JSON by its ARN.
#[derive(Debug, Clone, Default)]
pub(super) struct Transcript(Arc<Mutex<HashMap<String, String>>>);

impl Transcript {
    /// What was said of a task, once.
    pub(super) fn take(&self, task: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(task)
    }
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for Transcript {
    fn name(&self) -> &'static str {
        "Transcript"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(body) = context.response().body().bytes() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stopped_tasks(body);
        }
        Ok(())
    }
}

/// Whatever can't be read is left out: evidence is no ground to fail for.
fn stopped_tasks(body: &[u8]) -> HashMap<String, String> {
    if !body.windows(STOPPED.len()).any(|part| part == STOPPED) {
        return HashMap::new();
    }
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let tasks = answer.get("tasks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    tasks.iter().filter_map(stopped_task).collect()
}

/// A task that has stopped, with its ARN; none for any other.
pub(super) fn stopped_task(task: &Value) -> Option<(String, String)> {
    let text = |key: &str| task.get(key).and_then(Value::as_str);
    if !matches!(text("lastStatus"), Some("STOPPED" | "DELETED")) {
        return None;
    }
    let arn = text("taskArn")?.to_owned();
    let mut kept = task.clone();
    let overrides = kept.pointer_mut("/overrides/containerOverrides").and_then(Value::as_array_mut);
    for container in overrides.into_iter().flatten() {
        for argument in container.get_mut("command").and_then(Value::as_array_mut).into_iter().flatten() {
            *argument = Value::from(LEFT_OUT);
        }
        let variables = container.get_mut("environment").and_then(Value::as_array_mut);
        for variable in variables.into_iter().flatten() {
            let is_ours = variable.get("name").and_then(Value::as_str).is_some_and(|name| name.starts_with(VARIABLE));
            if let (false, Some(value)) = (is_ours, variable.get_mut("value")) {
                *value = Value::from(LEFT_OUT);
            }
        }
    }
    Some((arn, kept.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stopped_task_is_kept_whole_but_for_what_may_be_secret() {
        let variables = json!([
            { "name": "PASSWORD", "value": "hunter2" },
            { "name": "TENACRON_JOB", "value": "nightly" },
        ]);
        let stopped = json!({
            "taskArn": "arn/1", "lastStatus": "STOPPED", "stoppedAt": 1_708_716_012.345, "tomorrows": { "key": [1] },
            "overrides": { "containerOverrides": [
                { "name": "app", "command": ["login", "hunter2"], "environment": variables },
            ] },
        });
        let going = json!({ "taskArn": "arn/2", "lastStatus": "RUNNING", "desiredStatus": "STOPPED" });
        let body = json!({ "tasks": [stopped, going], "failures": [] }).to_string();
        let kept = stopped_tasks(body.as_bytes());
        assert_eq!(kept.len(), 1);
        let mut expected = stopped;
        let overrides = &mut expected["overrides"]["containerOverrides"][0];
        overrides["environment"][0]["value"] = json!("[redacted]");
        overrides["command"] = json!(["[redacted]", "[redacted]"]);
        assert_eq!(serde_json::from_str::<Value>(&kept["arn/1"]).unwrap(), expected);
    }

    #[test]
    fn an_answer_that_is_none_leaves_no_evidence() {
        for body in ["", "[\"STOPPED\"", "{\"tasks\":[{\"lastStatus\":\"STOPPED\"}]}", "{\"tasks\":\"STOPPED\"}"] {
            assert_eq!(stopped_tasks(body.as_bytes()), HashMap::new(), "{body}");
        }
    }
}
