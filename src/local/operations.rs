//! The operations on tasks, and the table of all operations.
//!
//! RunTask is the one that matters. It decides, records and only then acts: the entry in the journal is durable before a process
//! starts and before anything is answered. So whatever a caller was told, or was not told because the connection broke, a second call
//! with the same client token finds it. A refusal records no token, and no replay consumes a scripted outcome.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::catalogue;
use super::definitions::Plan;
use super::endpoint::{DEFAULT_CLUSTER, Endpoint, State};
use super::journal::Entry;
use super::launch::RunTask;
use super::names::Names;
use super::paging::{Item, Order, Paging, page};
use super::supervise::{self, Launched};
use super::tasks::{Failure, Filter, Task, USER_INITIATED};
use super::tokens::{Found, Record};
use super::trouble::{Decision, Delivery, Fate, decide, server_error, throttled};
use super::wire::{Answer, Refusal, parse, unknown_operation};

/// DescribeTasks takes at most 100 tasks a call.
const DESCRIBE_TASKS_MAX: usize = 100;
/// How many tasks are remembered, those that stopped within the hour included.
const TASKS_MAX: usize = 100_000;
const STOPPED_BY_USER: &str = "Task stopped by user";

/// Performs one operation at the time `now`.
pub(super) async fn perform(
    endpoint: &Arc<Endpoint>,
    operation: &str,
    body: Value,
    now: DateTime<Utc>,
) -> Result<Answer, Refusal> {
    let body = match operation {
        "RunTask" => return run_task(endpoint, body, now).await,
        "DescribeTasks" => describe_tasks(endpoint, &body, now).await,
        "ListTasks" => list_tasks(endpoint, &body, now).await,
        "StopTask" => stop_task(endpoint, &body, now).await,
        "RegisterTaskDefinition" => catalogue::register(endpoint, &body, now).await,
        "DescribeTaskDefinition" => catalogue::describe_definition(endpoint, &body).await,
        "ListTaskDefinitions" => catalogue::list_definitions(endpoint, &body).await,
        "CreateCluster" => catalogue::create_cluster(endpoint, &body, now).await,
        "DescribeClusters" => catalogue::describe_clusters(endpoint, &body).await,
        "ListClusters" => catalogue::list_clusters(endpoint, &body).await,
        _ => Err(unknown_operation()),
    };
    body.map(Answer::Body)
}

impl State {
    /// The name of the cluster that a request means, if there is one.
    fn cluster(&self, names: &Names, given: Option<&str>) -> Result<String, Refusal> {
        let given = given.filter(|given| !given.is_empty());
        names
            .cluster_name(given.unwrap_or(DEFAULT_CLUSTER))
            .filter(|name| self.clusters.contains(*name))
            .map(str::to_owned)
            .ok_or_else(Refusal::cluster_not_found)
    }
}

async fn run_task(endpoint: &Arc<Endpoint>, mut body: Value, now: DateTime<Utc>) -> Result<Answer, Refusal> {
    let call: RunTask = parse(&body)?;
    call.check()?;
    if let Some(members) = body.as_object_mut() {
        members.remove("clientToken");
    }
    let names = &endpoint.names;
    let mut state = endpoint.state.lock().await;
    let cluster = state.cluster(names, call.cluster.as_deref())?;
    if let Some(token) = &call.client_token
        && let Some(earlier) = earlier(&state, names, (&cluster, token), &body, now)
    {
        return earlier.map(Answer::Body);
    }
    let definition = state
        .definitions
        .resolve(names, call.task_definition())
        .ok_or_else(|| Refusal::client("TaskDefinition not found."))?;
    let plans = definition.plan(&call.overrides()?)?;
    let family = definition.family().to_owned();
    let (outcome, consumed) = state.trouble.next(&family);
    let refused = |refusal: &str| Entry::Consumed {
        at: now,
        family: family.clone(),
        consumed,
        refusal: Some(refusal.to_owned()),
    };
    let (tasks, fate, delivery) = match decide(outcome) {
        Decision::Refuse(refusal) => {
            state.commit(refused(&refusal.code)).await?;
            return Err(refusal);
        }
        Decision::HangUp => {
            state.commit(refused("connection closed")).await?;
            return Ok(Answer::HangUp);
        }
        Decision::Fail(failure) => (Vec::new(), Fate::Run, Delivery::Failure(failure)),
        Decision::Create { .. } if state.tasks.len() >= TASKS_MAX => {
            (Vec::new(), Fate::Run, Delivery::Failure(Failure::of("RESOURCE:MEMORY")))
        }
        Decision::Create { fate, answer, hidden } => {
            let mut tasks = call.tasks(&cluster, definition, hidden, now);
            if let Delivery::Some { started, .. } = &answer {
                tasks.truncate(*started);
            }
            (tasks, fate, answer)
        }
    };
    let record = Box::new(record(body, &tasks, &delivery, call.count(), now));
    let answer = answer(names, &tasks, &record);
    let ids: Vec<String> = tasks.iter().map(|task| task.id.clone()).collect();
    state.commit(Entry::Launch { cluster, family, consumed, token: call.client_token, record, tasks }).await?;
    if let Fate::RunUnseen(calls) = fate {
        state.describes_throttled = state.describes_throttled.saturating_add(calls);
    }
    start(endpoint, &mut state, ids, &plans, &fate);
    drop(state);
    deliver(delivery, answer).await
}

/// The answer to a call whose client token is known.
fn earlier(
    state: &State,
    names: &Names,
    (cluster, token): (&str, &str),
    request: &Value,
    now: DateTime<Utc>,
) -> Option<Result<Value, Refusal>> {
    match state.tokens.find((cluster, token), request, &state.tasks, now) {
        Found::New => None,
        Found::Replay(record) => Some(Ok(replay(state, names, record))),
        Found::Conflict(record) => {
            let tasks = record.tasks.iter().chain(&record.ghosts);
            let arns = tasks.map(|id| names.task(cluster, id)).collect();
            Some(Err(Refusal::conflict(arns)))
        }
    }
}

/// What a replay of this call will find.
fn record(request: Value, tasks: &[Task], delivery: &Delivery, asked: usize, now: DateTime<Utc>) -> Record {
    let ids: Vec<String> = tasks.iter().map(|task| task.id.clone()).collect();
    let (tasks, ghosts, failures) = match delivery {
        Delivery::Failure(failure) => (Vec::new(), ids, vec![failure.clone()]),
        Delivery::Some { reason, .. } => {
            let others = asked.saturating_sub(ids.len());
            (ids, Vec::new(), vec![Failure::of(reason); others])
        }
        Delivery::Prompt | Delivery::Late(_) | Delivery::HangUp | Delivery::ServerError => {
            (ids, Vec::new(), Vec::new())
        }
    };
    Record { request, created_at: now, tasks, ghosts, failures }
}

fn answer(names: &Names, tasks: &[Task], record: &Record) -> Value {
    let told = tasks.iter().filter(|task| record.tasks.contains(&task.id));
    let shown: Vec<Value> = told.map(|task| task.describe(names, true)).collect();
    json!({ "tasks": shown, "failures": record.failures })
}

fn replay(state: &State, names: &Names, record: &Record) -> Value {
    let known = record.tasks.iter().filter_map(|id| state.tasks.get(id));
    let tasks: Vec<Value> = known.map(|task| task.replay(names)).collect();
    json!({ "tasks": tasks, "failures": record.failures })
}

fn start(endpoint: &Arc<Endpoint>, state: &mut State, ids: Vec<String>, plans: &[Plan], fate: &Fate) {
    for task in ids {
        let requested = CancellationToken::new();
        state.stops.insert(task.clone(), requested.clone());
        let launched = Launched { task, plans: plans.to_vec(), fate: fate.clone() };
        supervise::start(endpoint, launched, requested);
    }
}

async fn deliver(delivery: Delivery, answer: Value) -> Result<Answer, Refusal> {
    match delivery {
        Delivery::Prompt | Delivery::Failure(_) | Delivery::Some { .. } => Ok(Answer::Body(answer)),
        Delivery::Late(delay) => {
            tokio::time::sleep(delay).await;
            Ok(Answer::Body(answer))
        }
        Delivery::HangUp => Ok(Answer::HangUp),
        Delivery::ServerError => Err(server_error()),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DescribeTasks {
    cluster: Option<String>,
    tasks: Vec<String>,
    include: Vec<String>,
}

async fn describe_tasks(endpoint: &Endpoint, body: &Value, now: DateTime<Utc>) -> Result<Value, Refusal> {
    let call: DescribeTasks = parse(body)?;
    if call.tasks.is_empty() {
        return Err(Refusal::invalid("Tasks cannot be empty."));
    }
    if call.tasks.len() > DESCRIBE_TASKS_MAX {
        return Err(Refusal::invalid("The number of tasks must be at most 100."));
    }
    let names = &endpoint.names;
    let with_tags = call.include.iter().any(|included| included == "TAGS");
    let mut state = endpoint.state.lock().await;
    if let Some(left) = state.describes_throttled.checked_sub(1) {
        state.describes_throttled = left;
        return Err(throttled());
    }
    let cluster = state.cluster(names, call.cluster.as_deref())?;
    let mut tasks = Vec::new();
    let mut failures = Vec::new();
    for given in call.tasks {
        let shown = names.task_id(&cluster, &given).and_then(|id| state.tasks.shown(&cluster, id, now));
        match shown {
            Some(task) => tasks.push(task.describe(names, with_tags)),
            None if given.starts_with("arn:") => failures.push(Failure::missing(given)),
            None => failures.push(Failure::missing(names.task(&cluster, &given))),
        }
    }
    Ok(json!({ "tasks": tasks, "failures": failures }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListTasks {
    cluster: Option<String>,
    family: Option<String>,
    started_by: Option<String>,
    desired_status: Option<String>,
    launch_type: Option<String>,
    service_name: Option<String>,
    container_instance: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

async fn list_tasks(endpoint: &Endpoint, body: &Value, now: DateTime<Utc>) -> Result<Value, Refusal> {
    let call: ListTasks = parse(body)?;
    let names = &endpoint.names;
    let state = endpoint.state.lock().await;
    let cluster = state.cluster(names, call.cluster.as_deref())?;
    // Nothing here belongs to a service or a container instance, and ECS never shows a task whose desired status is PENDING.
    let mut none = call.service_name.is_some() || call.container_instance.is_some();
    let stopped = match call.desired_status.as_deref().unwrap_or("RUNNING") {
        "RUNNING" => false,
        "STOPPED" => true,
        "PENDING" => {
            none = true;
            false
        }
        _ => {
            return Err(Refusal::invalid("Desired status must be one of RUNNING, PENDING, STOPPED."));
        }
    };
    let filter = Filter {
        cluster: &cluster,
        family: call.family.as_deref(),
        started_by: call.started_by.as_deref(),
        launch_type: call.launch_type.as_deref(),
        stopped,
    };
    let listed = state.tasks.list(&filter, now).filter(|_| !none);
    let items = listed.map(|task| Item { key: task.id.clone(), arn: names.task(&cluster, &task.id) });
    page("taskArns", items, Order::Ascending, &call.paging)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StopTask {
    cluster: Option<String>,
    task: Option<String>,
    reason: Option<String>,
}

async fn stop_task(endpoint: &Endpoint, body: &Value, now: DateTime<Utc>) -> Result<Value, Refusal> {
    let call: StopTask = parse(body)?;
    let names = &endpoint.names;
    let mut state = endpoint.state.lock().await;
    let cluster = state.cluster(names, call.cluster.as_deref())?;
    let given = call.task.unwrap_or_default();
    let task = names
        .task_id(&cluster, &given)
        .filter(|id| state.tasks.shown(&cluster, id, now).is_some())
        .and_then(|id| state.tasks.get_mut(id))
        .ok_or_else(|| Refusal::invalid("The referenced task was not found."))?;
    if !task.has_stopped() {
        let reason = call.reason.as_deref().unwrap_or(STOPPED_BY_USER);
        task.begin_stop(Some(USER_INITIATED), reason, now);
    }
    task.tags.clear();
    let shown = json!({ "task": task.describe(names, false) });
    let id = task.id.clone();
    if let Some(requested) = state.stops.get(&id) {
        requested.cancel();
    }
    Ok(shown)
}
