//! The operations on clusters and task definitions.
//!
//! Clusters are names only: they hold no instances, and a task in one runs like a task in any other. They exist because client tokens
//! and task ARNs belong to a cluster, and asking the wrong one is a mistake that a scheduler must survive.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::endpoint::{DEFAULT_CLUSTER, Endpoint, State};
use super::journal::Entry;
use super::names::Names;
use super::paging::{Item, Order, Paging, page};
use super::tasks::Failure;
use super::wire::{Refusal, parse};

/// The quota of ECS ("Amazon ECS service quotas").
const CLUSTERS_MAX: usize = 10_000;
const CLUSTER_CHARACTERS_MAX: usize = 255;
/// DescribeClusters takes at most 100 clusters a call.
const DESCRIBE_CLUSTERS_MAX: usize = 100;

pub(super) async fn register(endpoint: &Endpoint, body: &Value, now: DateTime<Utc>) -> Result<Value, Refusal> {
    let mut state = endpoint.state.lock().await;
    let definition = state.definitions.next(parse(body)?, now)?;
    let shown = json!({
        "taskDefinition": definition.describe(&endpoint.names),
        "tags": definition.registration.tags,
    });
    state.commit(Entry::Definition { definition: Box::new(definition) }).await?;
    Ok(shown)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DescribeTaskDefinition {
    task_definition: Option<String>,
    include: Vec<String>,
}

pub(super) async fn describe_definition(endpoint: &Endpoint, body: &Value) -> Result<Value, Refusal> {
    let call: DescribeTaskDefinition = parse(body)?;
    let given = call.task_definition.unwrap_or_default();
    if given.is_empty() {
        return Err(Refusal::invalid("TaskDefinition cannot be blank."));
    }
    let state = endpoint.state.lock().await;
    let definition = state
        .definitions
        .resolve(&endpoint.names, &given)
        .ok_or_else(|| Refusal::client("Unable to describe task definition."))?;
    let mut shown = json!({ "taskDefinition": definition.describe(&endpoint.names) });
    if call.include.iter().any(|included| included == "TAGS")
        && let Some(members) = shown.as_object_mut()
    {
        members.insert("tags".to_owned(), json!(definition.registration.tags));
    }
    Ok(shown)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListTaskDefinitions {
    /// In spite of its name, ECS compares the whole family.
    family_prefix: Option<String>,
    status: Option<String>,
    sort: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

pub(super) async fn list_definitions(endpoint: &Endpoint, body: &Value) -> Result<Value, Refusal> {
    let call: ListTaskDefinitions = parse(body)?;
    let order = match call.sort.as_deref().unwrap_or("ASC") {
        "ASC" => Order::Ascending,
        "DESC" => Order::Descending,
        _ => return Err(Refusal::invalid("Sort must be one of ASC, DESC.")),
    };
    // Nothing is ever deregistered here.
    let none = call.status.as_deref().is_some_and(|it| it != "ACTIVE");
    let family = call.family_prefix.as_deref();
    let state = endpoint.state.lock().await;
    let listed = state.definitions.iter().filter(|it| !none && family.is_none_or(|family| it.family() == family));
    let items = listed.map(|definition| Item {
        // Padded, so that revision 10 stands behind revision 9.
        key: format!("{}:{:010}", definition.family(), definition.revision),
        arn: definition.arn(&endpoint.names),
    });
    page("taskDefinitionArns", items, order, &call.paging)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CreateCluster {
    cluster_name: Option<String>,
}

pub(super) async fn create_cluster(endpoint: &Endpoint, body: &Value, now: DateTime<Utc>) -> Result<Value, Refusal> {
    let call: CreateCluster = parse(body)?;
    let name = call.cluster_name.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.len() > CLUSTER_CHARACTERS_MAX || !name.bytes().all(letters) {
        return Err(Refusal::invalid(
            "Cluster name contains invalid characters: up to 255 letters, numbers, hyphens and underscores are allowed.",
        ));
    }
    let mut state = endpoint.state.lock().await;
    if !state.clusters.contains(&name) {
        if state.clusters.len() >= CLUSTERS_MAX {
            return Err(Refusal::client("Maximum number of clusters exceeded."));
        }
        let name = name.clone();
        state.commit(Entry::Cluster { at: now, name }).await?;
    }
    Ok(json!({ "cluster": describe(&state, &endpoint.names, &name) }))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DescribeClusters {
    clusters: Vec<String>,
}

pub(super) async fn describe_clusters(endpoint: &Endpoint, body: &Value) -> Result<Value, Refusal> {
    let call: DescribeClusters = parse(body)?;
    if call.clusters.len() > DESCRIBE_CLUSTERS_MAX {
        return Err(Refusal::invalid("The number of clusters must be at most 100."));
    }
    let given = match call.clusters.as_slice() {
        [] => vec![DEFAULT_CLUSTER.to_owned()],
        given => given.to_vec(),
    };
    let names = &endpoint.names;
    let state = endpoint.state.lock().await;
    let mut clusters = Vec::new();
    let mut failures = Vec::new();
    for given in given {
        let name = names.cluster_name(&given);
        match name.filter(|name| state.clusters.contains(*name)) {
            Some(name) => clusters.push(describe(&state, names, name)),
            None if given.starts_with("arn:") => failures.push(Failure::missing(given)),
            None => failures.push(Failure::missing(names.cluster(&given))),
        }
    }
    Ok(json!({ "clusters": clusters, "failures": failures }))
}

fn describe(state: &State, names: &Names, name: &str) -> Value {
    let (running, pending) = state.tasks.count(name);
    json!({
        "clusterArn": names.cluster(name),
        "clusterName": name,
        "status": "ACTIVE",
        "runningTasksCount": running,
        "pendingTasksCount": pending,
        "registeredContainerInstancesCount": 0,
        "activeServicesCount": 0,
    })
}

pub(super) async fn list_clusters(endpoint: &Endpoint, body: &Value) -> Result<Value, Refusal> {
    let paging: Paging = parse(body)?;
    let state = endpoint.state.lock().await;
    let items = state.clusters.iter().map(|name| Item { key: name.clone(), arn: endpoint.names.cluster(name) });
    page("clusterArns", items, Order::Ascending, &paging)
}
