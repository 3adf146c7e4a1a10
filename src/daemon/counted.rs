//! ECS as the rest of the daemon calls it: each call is timed and counted, and what came of it says whether its cluster
//! answers. What makes the calls knows nothing of that.

use std::time::Duration;

use tokio::time::Instant;

use super::clock;
use super::reach::Reach;
use crate::ecs::{CallError, Described, Ecs, LivePage, TaskEvent};
use crate::engine::call_fault::CallFault;
use crate::engine::job::Site;
use crate::engine::launch::LaunchRequest;
use crate::engine::log_tail::{LogTail, Wanted};
use crate::engine::task::{LaunchAnswer, SearchAnswer, TaskArn, TaskFacts};
use crate::notify::TopicMessage;
use crate::observe::{DESCRIBE_TASKS, LIST_TASKS, Metrics, RUN_TASK, STOP_TASK};

/// An ECS whose calls are counted.
#[derive(Debug, Clone)]
pub(super) struct Counted<E> {
    ecs: E,
    metrics: Metrics,
    reach: Reach,
}

impl<E: Ecs> Counted<E> {
    /// Counts the calls of `ecs`.
    pub(super) fn new(ecs: E, metrics: Metrics, reach: Reach) -> Counted<E> {
        Counted { ecs, metrics, reach }
    }

    /// A call came back; `fault` is how it came to nothing, with what was said.
    fn note(&self, site: &Site, operation: &'static str, fault: Option<(CallFault, &str)>, took: Duration) {
        self.metrics.called(operation, fault.map(|(fault, _)| fault), took);
        self.reach.note(site, fault, clock::now());
    }

    /// The same for a call whose error is one.
    async fn call<T>(
        &self,
        site: &Site,
        operation: &'static str,
        call: impl Future<Output = Result<T, CallError>> + Send,
    ) -> Result<T, CallError> {
        let called_at = Instant::now();
        let answer = call.await;
        let fault = answer.as_ref().err().map(|error| (error.fault, error.message.as_str()));
        self.note(site, operation, fault, called_at.elapsed());
        answer
    }
}

impl<E: Ecs> Ecs for Counted<E> {
    async fn run_task(&self, request: &LaunchRequest) -> LaunchAnswer {
        let called_at = Instant::now();
        let answer = self.ecs.run_task(request).await;
        let said = match &answer {
            LaunchAnswer::Refused { message, .. }
            | LaunchAnswer::Conflict { message, .. }
            | LaunchAnswer::NoAnswer { message, .. } => message,
            LaunchAnswer::Launched { .. } | LaunchAnswer::Failures(_) => "",
        };
        let fault = CallFault::of_launch(&answer).map(|fault| (fault, said));
        self.note(&request.task.site(), RUN_TASK, fault, called_at.elapsed());
        answer
    }

    async fn find_tasks(&self, request: &LaunchRequest) -> SearchAnswer {
        let called_at = Instant::now();
        let answer = self.ecs.find_tasks(request).await;
        let fault = match &answer {
            SearchAnswer::Found(_) | SearchAnswer::Nothing => None,
            SearchAnswer::NoAnswer { fault, message } => Some((*fault, message.as_str())),
        };
        self.note(&request.task.site(), LIST_TASKS, fault, called_at.elapsed());
        answer
    }

    async fn describe_tasks(&self, site: &Site, tasks: &[TaskArn]) -> Result<Described, CallError> {
        self.call(site, DESCRIBE_TASKS, self.ecs.describe_tasks(site, tasks)).await
    }

    async fn with_flags(&self, site: &Site, event: TaskEvent) -> Option<TaskFacts> {
        self.ecs.with_flags(site, event).await
    }

    async fn log_tail(&self, wanted: &Wanted) -> Vec<LogTail> {
        self.ecs.log_tail(wanted).await
    }

    async fn publish(&self, message: &TopicMessage) -> Result<(), CallError> {
        self.ecs.publish(message).await
    }

    async fn live_tasks(&self, site: &Site, page: Option<&str>) -> Result<LivePage, CallError> {
        self.call(site, LIST_TASKS, self.ecs.live_tasks(site, page)).await
    }

    async fn knock(&self, site: &Site) -> Result<(), CallError> {
        self.call(site, LIST_TASKS, self.ecs.knock(site)).await
    }

    async fn stop_task(&self, site: &Site, task: &TaskArn, reason: &str) -> Result<(), CallError> {
        self.call(site, STOP_TASK, self.ecs.stop_task(site, task, reason)).await
    }
}
