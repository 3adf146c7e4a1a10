//! The ECS of AWS, or of any endpoint that speaks its protocol, behind the [`Ecs`] trait.
//!
//! Each method makes the calls, hands the answers to `facts.rs` and `answer.rs` for transcription, and stops there: no
//! retries, no waiting, no verdict. Clones share connections, credentials and the table of essential flags.

use std::collections::HashSet;
use std::sync::Arc;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::Config;

use super::answer::{Unfulfilled, Witness};
use super::connect::{self, ConnectError, Settings, Timeouts};
use super::essential::{EssentialTable, Essentials};
use super::evidence::Transcript;
use super::{CallError, DESCRIBE_TASKS_MAX, Described, Ecs, LivePage, facts, live, request, search};
use crate::engine::job::Site;
use crate::engine::launch::LaunchRequest;
use crate::engine::task::{LaunchAnswer, SearchAnswer, TaskArn, TaskFacts};

/// The longest reason that StopTask is given, in characters. Today's reference names no limit; earlier editions said
/// "up to 255 characters are allowed in this message". Source: Amazon ECS API reference, StopTask.
const STOP_REASON_MAX: usize = 255;

/// Calls ECS through the AWS SDK.
#[derive(Debug, Clone)]
pub struct AwsEcs {
    client: Client,
    essentials: Arc<EssentialTable>,
}

impl AwsEcs {
    /// Finds region, credentials and endpoint, and checks that the first two exist.
    ///
    /// # Errors
    /// No call could ever succeed; the message says what to set.
    pub async fn connect(settings: &Settings) -> Result<AwsEcs, ConnectError> {
        // Boxed: the SDK's chain of providers is a large future.
        let config = Box::pin(connect::configure(settings, Timeouts::default())).await?;
        Ok(AwsEcs::with_config(config))
    }

    /// For an endpoint on this machine that takes any credentials, whatever the environment says.
    ///
    /// # Errors
    /// The endpoint is no URL.
    pub fn local(endpoint: &str) -> Result<AwsEcs, ConnectError> {
        AwsEcs::local_within(endpoint, Timeouts::default())
    }

    /// The same with other time-outs.
    ///
    /// # Errors
    /// The endpoint is no URL.
    pub fn local_within(endpoint: &str, timeouts: Timeouts) -> Result<AwsEcs, ConnectError> {
        connect::configure_local(endpoint, timeouts).map(AwsEcs::with_config)
    }

    pub(super) fn with_config(config: Config) -> AwsEcs {
        AwsEcs { client: Client::from_conf(config), essentials: Arc::default() }
    }

    /// Adds the essential flags to the stopped tasks; a task whose flags are to be asked for again is left out.
    async fn with_essentials(&self, shown: Vec<(TaskFacts, Option<String>)>) -> Vec<TaskFacts> {
        let mut facts = Vec::with_capacity(shown.len());
        // A service that throttles or is silent is not asked for the definitions of the whole batch.
        let mut paused = false;
        for (mut task, definition) in shown {
            let definition = definition.filter(|_| task.is_stopped() && !task.containers.is_empty());
            if let Some(definition) = definition {
                let essentials = self.essentials.of(&self.client, &definition, paused).await;
                if let Essentials::AskAgain { pause } = essentials {
                    paused |= pause;
                    continue;
                }
                for container in &mut task.containers {
                    container.essential = essentials.flag(&container.name);
                }
            }
            facts.push(task);
        }
        facts
    }
}

impl Ecs for AwsEcs {
    async fn run_task(&self, launch: &LaunchRequest) -> LaunchAnswer {
        let witness = Witness::default();
        let call = request::fill(self.client.run_task(), launch).customize().interceptor(witness.clone());
        match Box::pin(call.send()).await {
            Ok(output) => facts::launched(&output),
            Err(error) => facts::not_launched(Unfulfilled::of(&error), error.as_service_error(), witness.saw_sending()),
        }
    }

    async fn find_tasks(&self, launch: &LaunchRequest) -> SearchAnswer {
        Box::pin(search::find_tasks(&self.client, launch)).await
    }

    async fn describe_tasks(&self, site: &Site, tasks: &[TaskArn]) -> Result<Described, CallError> {
        // ECS refuses an empty list, and to ask for nothing is to know it.
        if tasks.is_empty() {
            return Ok(Described::default());
        }
        if tasks.len() > DESCRIBE_TASKS_MAX {
            let message = format!("DescribeTasks takes {DESCRIBE_TASKS_MAX} tasks, not {}", tasks.len());
            return Err(CallError { throttled: false, message });
        }
        let names = tasks.iter().map(|task| task.0.clone()).collect();
        let call = self.client.describe_tasks().cluster(&site.cluster).set_tasks(Some(names));
        let transcript = Transcript::default();
        let output = Box::pin(call.customize().interceptor(transcript.clone()).send()).await;
        let output = output.map_err(|error| Unfulfilled::of(&error).call_error("DescribeTasks"))?;
        let asked: HashSet<&str> = tasks.iter().map(|task| task.0.as_str()).collect();
        // Source: Amazon ECS developer guide, "API failure reasons". Another reason says nothing about the task.
        let missing = output.failures().iter().filter(|failure| failure.reason() == Some("MISSING"));
        let missing = missing.filter_map(|failure| failure.arn()).filter(|arn| asked.contains(arn));
        let missing = missing.map(|arn| TaskArn(arn.to_owned())).collect();
        let shown = output.tasks().iter().filter_map(|task| {
            let mut facts = facts::task(task).filter(|facts| asked.contains(facts.task.0.as_str()))?;
            facts.described = transcript.take(&facts.task.0);
            Some((facts, task.task_definition_arn().map(str::to_owned)))
        });
        let facts = Box::pin(self.with_essentials(shown.collect())).await;
        Ok(Described { facts, missing })
    }

    async fn live_tasks(&self, site: &Site, page: Option<&str>) -> Result<LivePage, CallError> {
        Box::pin(live::page(&self.client, site, page)).await
    }

    async fn stop_task(&self, site: &Site, task: &TaskArn, reason: &str) -> Result<(), CallError> {
        let reason: String = reason.chars().take(STOP_REASON_MAX).collect();
        let call = self.client.stop_task().cluster(&site.cluster).task(&task.0).reason(reason);
        match Box::pin(call.send()).await {
            Ok(_output) => Ok(()),
            Err(error) => Err(Unfulfilled::of(&error).call_error("StopTask")),
        }
    }
}
