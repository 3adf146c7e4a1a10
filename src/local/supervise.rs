//! One task from its launch until it has stopped.
//!
//! A supervisor owns the processes of its task; nobody else signals them. StopTask only leaves its reason in the state and cancels a
//! token, so a stop that comes before, during or after the end of a container takes the same path. Of several causes the first counts.
//!
//! The end is written to the journal before the API shows it. A supervisor that is dropped kills its processes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::clock;
use super::definitions::Plan;
use super::endpoint::Endpoint;
use super::journal::Entry;
use super::orphans::Recorded;
use super::process::Process;
use super::tasks::{ESSENTIAL_CONTAINER_EXITED, TASK_FAILED_TO_START};
use super::trouble::{Fate, Interruption};

const ESSENTIAL_EXITED: &str = "Essential container in task exited";
const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";

/// Why a supervisor begins to stop its task, other than a container's end.
enum Cause {
    /// StopTask has already said why.
    Requested,
    Interrupted(Interruption),
    Closing,
}

/// A task that was just created.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) task: String,
    pub(super) plans: Vec<Plan>,
    pub(super) fate: Fate,
}

/// The processes of one task and what ends them.
struct Supervisor {
    endpoint: Arc<Endpoint>,
    task: String,
    containers: JoinSet<(usize, Option<i32>)>,
    /// SIGTERM, and after its stop timeout SIGKILL, to every container.
    stop: CancellationToken,
    /// SIGKILL to every container.
    kill: CancellationToken,
    /// The host is gone, so nobody learns an exit code any more.
    host_lost: bool,
    /// The next essential container that ends was killed for its memory use.
    out_of_memory: bool,
}

/// Starts the supervisor of a task. `requested` is cancelled by StopTask.
pub(super) fn start(endpoint: &Arc<Endpoint>, launched: Launched, requested: CancellationToken) {
    let supervisor = Supervisor {
        endpoint: Arc::clone(endpoint),
        task: launched.task.clone(),
        containers: JoinSet::new(),
        stop: CancellationToken::new(),
        kill: endpoint.killing.child_token(),
        host_lost: false,
        out_of_memory: false,
    };
    endpoint.supervisors.spawn(supervisor.supervise(launched, requested));
}

impl Supervisor {
    async fn supervise(mut self, launched: Launched, requested: CancellationToken) {
        self.endpoint.update(&self.task, |task, now| task.pend(now)).await;
        let interruption = match launched.fate {
            Fate::Run | Fate::RunUnseen(_) => None,
            Fate::RunLate(delay) => {
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = requested.cancelled() => {}
                    () = self.endpoint.closing.cancelled() => {}
                }
                None
            }
            // An interruption too far away for the clock never comes.
            Fate::Interrupt(kind, after) => Instant::now().checked_add(after).map(|at| (kind, at)),
            Fate::FailToStart(reason) => {
                self.fail_to_start(&reason).await;
                return self.finish().await;
            }
        };
        if !requested.is_cancelled() && !self.endpoint.closing.is_cancelled() {
            self.start_containers(&launched.plans).await;
        }
        loop {
            let closing = self.endpoint.closing.clone();
            let stopping = self.stop.is_cancelled();
            tokio::select! {
                ended = self.containers.join_next() => match ended {
                    Some(ended) => self.container_ended(&launched.plans, ended.ok()).await,
                    None => break,
                },
                cause = cause(&requested, &closing, interruption.as_ref()), if !stopping => self.begin_stop(cause).await,
            }
        }
        if self.endpoint.closing.is_cancelled() {
            // A task that was never started, because the endpoint ends, has had no cause yet.
            self.endpoint.update(&self.task, |task, now| task.lose_host(now)).await;
        }
        self.finish().await;
    }

    async fn start_containers(&mut self, plans: &[Plan]) {
        let mut processes = BTreeMap::new();
        for (index, plan) in plans.iter().enumerate() {
            match Process::spawn(plan, &self.task) {
                Ok(process) => {
                    processes.extend(Some(plan.name.clone()).zip(Recorded::of(process.id())));
                    self.containers.spawn(attend(
                        index,
                        process,
                        self.stop.clone(),
                        self.kill.clone(),
                        plan.stop_timeout,
                    ));
                }
                Err(error) => {
                    let program = plan.argv.first().map_or("", String::as_str);
                    let reason = format!(
                        "CannotStartContainerError: failed to run {program:?} of container {}: {error}",
                        plan.name
                    );
                    self.endpoint
                        .update(&self.task, |task, _| {
                            task.end_container(index, None, Some(&reason));
                        })
                        .await;
                    if plan.essential {
                        return self.fail_to_start(&reason).await;
                    }
                }
            }
        }
        let started = Entry::Started { at: clock::now(), task: self.task.clone(), processes };
        self.endpoint.state.lock().await.observe(started).await;
    }

    async fn fail_to_start(&mut self, reason: &str) {
        let code = Some(TASK_FAILED_TO_START);
        self.endpoint.update(&self.task, |task, now| task.begin_stop(code, reason, now)).await;
        self.stop.cancel();
    }

    async fn begin_stop(&mut self, cause: Cause) {
        match cause {
            Cause::Requested => {}
            Cause::Interrupted(Interruption::Stop { code, reason }) => {
                self.endpoint.update(&self.task, |task, now| task.begin_stop(code.as_deref(), &reason, now)).await;
            }
            Cause::Interrupted(Interruption::OutOfMemory) => {
                self.out_of_memory = true;
                self.kill.cancel();
            }
            Cause::Interrupted(gone @ (Interruption::HostGone | Interruption::Forgotten)) => {
                self.host_lost = true;
                self.endpoint
                    .update(&self.task, |task, now| {
                        task.lose_host(now);
                        if gone == Interruption::Forgotten {
                            task.hide();
                        }
                    })
                    .await;
                self.kill.cancel();
            }
            Cause::Closing => {
                self.host_lost = true;
                self.endpoint.update(&self.task, |task, now| task.lose_host(now)).await;
            }
        }
        self.stop.cancel();
    }

    async fn container_ended(&mut self, plans: &[Plan], ended: Option<(usize, Option<i32>)>) {
        let Some((index, exit_code)) = ended else {
            // Only a panic ends so, and the process was killed with it. The others must not wait for it for ever.
            return self.stop.cancel();
        };
        let exit_code = exit_code.filter(|_| !self.host_lost);
        let essential = plans.get(index).is_some_and(|plan| plan.essential);
        let reason = (essential && std::mem::take(&mut self.out_of_memory)).then_some(OUT_OF_MEMORY);
        self.endpoint
            .update(&self.task, |task, now| {
                task.end_container(index, exit_code, reason);
                if essential {
                    let code = Some(ESSENTIAL_CONTAINER_EXITED);
                    task.begin_stop(code, ESSENTIAL_EXITED, now);
                }
            })
            .await;
        if essential {
            self.stop.cancel();
        }
    }

    async fn finish(self) {
        self.endpoint.update(&self.task, |task, now| task.deprovision(now)).await;
        let mut state = self.endpoint.state.lock().await;
        let Some(task) = state.tasks.get(&self.task) else {
            return;
        };
        let mut task = Box::new(task.clone());
        task.stop(clock::now());
        state.observe(Entry::Stopped { task }).await;
    }
}

/// Waits for the first cause that is not a container's end.
async fn cause(
    requested: &CancellationToken,
    closing: &CancellationToken,
    interruption: Option<&(Interruption, Instant)>,
) -> Cause {
    let interrupted = async {
        match interruption {
            Some((kind, at)) => {
                tokio::time::sleep_until(*at).await;
                kind.clone()
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = requested.cancelled() => Cause::Requested,
        () = closing.cancelled() => Cause::Closing,
        kind = interrupted => Cause::Interrupted(kind),
    }
}

/// Owns one process until it has ended, and ends it when told.
async fn attend(
    index: usize,
    mut process: Process,
    stop: CancellationToken,
    kill: CancellationToken,
    stop_timeout: Duration,
) -> (usize, Option<i32>) {
    tokio::select! {
        // What is killed at once gets no SIGTERM first: it would have another exit code.
        biased;
        ended = process.wait() => return (index, ended.ok()),
        () = kill.cancelled() => {}
        () = stop.cancelled() => process.terminate(),
    }
    tokio::select! {
        ended = process.wait() => return (index, ended.ok()),
        () = tokio::time::sleep(stop_timeout) => {}
        () = kill.cancelled() => {}
    }
    process.kill();
    (index, process.wait().await.ok())
}
