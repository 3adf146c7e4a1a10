//! The ECS of AWS, or of any endpoint that speaks its protocol, behind the [`Ecs`] trait.
//!
//! Each method makes the calls, hands the answers to `facts.rs` and `answer.rs` for transcription, and stops there: no
//! retries, no waiting, no verdict. Clones share connections, credentials and the table of essential flags, whose keys are
//! ARNs and so hold for all accounts and regions.

use std::collections::HashSet;
use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_ecs::Client;

use super::answer::{Unfulfilled, Witness};
use super::clients::Clients;
use super::connect::{self, ConnectError, Settings, Timeouts};
use super::essential::{EssentialTable, Essentials};
use super::events::EventQueue;
use super::evidence::Transcript;
use super::{
    CallError, DESCRIBE_TASKS_MAX, Described, Ecs, LivePage, TaskEvent, facts, live, logs, request, search, sns,
};
use crate::engine::call_fault::CallFault;
use crate::engine::inventory::Destination;
use crate::engine::job::{Site, Target};
use crate::engine::launch::LaunchRequest;
use crate::engine::log_tail::{LogTail, Wanted};
use crate::engine::outcome;
use crate::engine::task::{LaunchAnswer, SearchAnswer, TaskArn, TaskFacts};
use crate::notify::TopicMessage;

/// The longest reason that StopTask is given, in characters. Today's reference names no limit; earlier editions said
/// "up to 255 characters are allowed in this message". Source: Amazon ECS API reference, StopTask.
const STOP_REASON_MAX: usize = 255;

/// Calls ECS through the AWS SDK.
#[derive(Debug, Clone)]
pub struct AwsEcs {
    clients: Arc<Clients>,
    essentials: Arc<EssentialTable>,
}

impl AwsEcs {
    /// Finds region, credentials and endpoint, and checks that the first two exist. The roles of targets are not asked
    /// for yet; see [`AwsEcs::check_target`].
    ///
    /// # Errors
    /// No call could ever succeed; the message says what to set.
    pub async fn connect(settings: &Settings) -> Result<AwsEcs, ConnectError> {
        // Boxed: the SDK's chain of providers is a large future.
        let shared = Box::pin(connect::shared(settings)).await?;
        let region = shared.region().map(|region| region.as_ref().to_owned());
        let own = Target { region, endpoint: settings.endpoint.clone(), ..Target::default() };
        let session = connect::session_name(&settings.instance);
        Ok(AwsEcs::with_clients(Clients::new(shared, own, settings.targets.clone(), session)))
    }

    /// For an endpoint on this machine that takes any credentials, whatever the environment says, and that every target
    /// is.
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
        let endpoint = connect::checked_endpoint(endpoint)?;
        Ok(AwsEcs::with_clients(Clients::local(connect::shared_local(), endpoint, timeouts)))
    }

    pub(super) fn with_clients(clients: Clients) -> AwsEcs {
        AwsEcs { clients: Arc::new(clients), essentials: Arc::default() }
    }

    /// The daemon's own target: the region that the SDK's chain found, and the endpoint of `[ecs]`.
    pub fn own(&self) -> &Target {
        self.clients.own()
    }

    /// Takes over `[targets]` as a reload has read them. Answers with those that are new or have changed.
    pub fn configure(&self, targets: Vec<Target>) -> Vec<Target> {
        self.clients.configure(targets)
    }

    /// Whether a target has credentials now: its role, if it has one, is assumed.
    ///
    /// # Errors
    /// It has none, and why.
    pub async fn check_target(&self, target: &Target) -> Result<(), ConnectError> {
        let shared = self.shared_config(target).await;
        Box::pin(connect::check_role(&shared)).await
    }

    /// What the clients of other services of a target are made of. It holds no endpoint: that of the target is ECS's.
    pub(super) async fn shared_config(&self, target: &Target) -> SdkConfig {
        Box::pin(self.clients.shared(target)).await
    }

    /// The queue of task state changes at this URL, called as the target is.
    pub async fn event_queue(&self, target: &Target, url: &str) -> EventQueue {
        EventQueue::new(&self.shared_config(target).await, url)
    }

    pub(super) async fn client(&self, target: &Target) -> Client {
        Box::pin(self.clients.of(target)).await
    }

    /// Adds the essential flags to the stopped tasks; those whose flags are to be asked for again come back apart, unless the
    /// flags don't matter.
    async fn with_essentials(
        &self,
        client: &Client,
        shown: Vec<(TaskFacts, Option<String>)>,
    ) -> (Vec<TaskFacts>, Vec<TaskEvent>) {
        let (mut facts, mut unjudged) = (Vec::with_capacity(shown.len()), Vec::new());
        // A service that throttles or is silent is not asked for the definitions of the whole batch.
        let mut paused = false;
        for (mut task, definition) in shown {
            let definition = definition.filter(|_| task.is_stopped() && !task.containers.is_empty());
            if let Some(definition) = definition {
                let essentials = self.essentials.of(client, &definition, paused).await;
                if let Essentials::AskAgain { pause } = essentials {
                    paused |= pause;
                    if outcome::depends_on_flags(&task) {
                        unjudged.push(TaskEvent { version: 0, facts: task, task_definition: Some(definition) });
                        continue;
                    }
                }
                for container in &mut task.containers {
                    container.essential = essentials.flag(&container.name);
                }
            }
            facts.push(task);
        }
        (facts, unjudged)
    }
}

impl Ecs for AwsEcs {
    async fn run_task(&self, launch: &LaunchRequest) -> LaunchAnswer {
        let witness = Witness::default();
        let client = self.client(&launch.task.target).await;
        let call = request::fill(client.run_task(), launch).customize().interceptor(witness.clone());
        match Box::pin(call.send()).await {
            Ok(output) => facts::launched(&output),
            Err(error) => {
                let unfulfilled = Unfulfilled::of(&error).under_role(launch.task.target.role_arn.as_deref());
                facts::not_launched(unfulfilled, error.as_service_error(), witness.saw_sending())
            }
        }
    }

    async fn find_tasks(&self, launch: &LaunchRequest) -> SearchAnswer {
        let client = self.client(&launch.task.target).await;
        Box::pin(search::find_tasks(&client, launch)).await
    }

    async fn describe_tasks(&self, site: &Site, tasks: &[TaskArn]) -> Result<Described, CallError> {
        // ECS refuses an empty list, and to ask for nothing is to know it.
        if tasks.is_empty() {
            return Ok(Described::default());
        }
        if tasks.len() > DESCRIBE_TASKS_MAX {
            let message = format!("DescribeTasks takes {DESCRIBE_TASKS_MAX} tasks, not {}", tasks.len());
            return Err(CallError { fault: CallFault::Refused, message });
        }
        let names = tasks.iter().map(|task| task.0.clone()).collect();
        let client = self.client(&site.target).await;
        let call = client.describe_tasks().cluster(&site.cluster).set_tasks(Some(names));
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
        let (facts, unjudged) = Box::pin(self.with_essentials(&client, shown.collect())).await;
        Ok(Described { facts, missing, unjudged })
    }

    async fn with_flags(&self, site: &Site, event: TaskEvent) -> Option<TaskFacts> {
        let client = self.client(&site.target).await;
        let shown = vec![(event.facts, event.task_definition)];
        Box::pin(self.with_essentials(&client, shown)).await.0.pop()
    }

    async fn log_tail(&self, wanted: &Wanted) -> Vec<LogTail> {
        let target = &wanted.site.target;
        let client = self.client(target).await;
        let known = match Box::pin(self.essentials.destinations(&client, &wanted.task_definition)).await {
            Ok(known) => known,
            Err(why) => return wanted.without_lines(&why),
        };
        let config = self.shared_config(target).await;
        let mut tails = Vec::with_capacity(wanted.containers.len());
        for container in &wanted.containers {
            let from = known.get(container).unwrap_or(&Destination::Unsaid);
            tails.push(Box::pin(logs::tail(&config, from, container, &wanted.task, wanted.lines)).await);
        }
        tails
    }

    async fn publish(&self, message: &TopicMessage) -> Result<(), CallError> {
        let config = self.clients.of_topics();
        sns::publish(&config, message).await
    }

    async fn live_tasks(&self, site: &Site, page: Option<&str>) -> Result<LivePage, CallError> {
        let client = self.client(&site.target).await;
        Box::pin(live::page(&client, site, page)).await
    }

    async fn knock(&self, site: &Site) -> Result<(), CallError> {
        let client = self.client(&site.target).await;
        let call = client.list_tasks().cluster(&site.cluster).max_results(1);
        match Box::pin(call.send()).await {
            Ok(_output) => Ok(()),
            Err(error) => Err(Unfulfilled::of(&error).call_error("ListTasks")),
        }
    }

    async fn stop_task(&self, site: &Site, task: &TaskArn, reason: &str) -> Result<(), CallError> {
        let reason: String = reason.chars().take(STOP_REASON_MAX).collect();
        let client = self.client(&site.target).await;
        let call = client.stop_task().cluster(&site.cluster).task(&task.0).reason(reason);
        match Box::pin(call.send()).await {
            Ok(_output) => Ok(()),
            Err(error) => Err(Unfulfilled::of(&error).call_error("StopTask")),
        }
    }
}
