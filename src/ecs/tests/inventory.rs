//! Asking about clusters and task definitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{AMPLE, adapter, arn};
use crate::ecs::inventory::Pace;
use crate::ecs::{AwsEcs, Timeouts};
use crate::engine::inventory::{Answer, DefinedContainer, DefinitionFacts, Destination, Inventory, Named, Questions};
use crate::outbound::stub::{Reply, Seen, Stub, ok, refusal};

const QUICK: Pace = Pace { spacing: Duration::from_millis(1), throttled: Duration::from_millis(1) };

fn named(name: &str) -> Named {
    Named { target: Arc::default(), name: name.to_owned() }
}

fn questions(clusters: &[&str], definitions: &[&str]) -> Questions {
    Questions {
        clusters: clusters.iter().map(|name| named(name)).collect(),
        definitions: definitions.iter().map(|name| named(name)).collect(),
    }
}

async fn ask(stub: &Stub, clusters: &[&str], definitions: &[&str]) -> Inventory {
    adapter(&stub.endpoint).inventory_at(questions(clusters, definitions), QUICK).await
}

fn asked(seen: &Seen) -> String {
    let body: Value = seen.json();
    body["taskDefinition"].as_str().or(body["clusters"][0].as_str()).unwrap_or_default().to_owned()
}

fn why<T>(answer: &Answer<T>) -> &str {
    match answer {
        Answer::Unknown(why) => why,
        Answer::Found(_) | Answer::Missing => panic!("something is known"),
    }
}

#[tokio::test]
async fn clusters_and_task_definitions_come_back_as_facts() {
    let log = json!({ "logDriver": "awslogs",
        "options": { "awslogs-group": "/ecs/a", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "ecs" } });
    let definition = json!({
        "taskDefinitionArn": super::DEFINITION,
        "status": "ACTIVE",
        "containerDefinitions": [{ "name": "app", "logConfiguration": log }, { "name": "log" }],
        "compatibilities": ["EC2", "FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "taskRoleArn": "arn:aws:iam::123456789012:role/task",
        "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
    });
    let stub = Stub::start(move |seen| match (seen.operation.as_str(), asked(seen).as_str()) {
        ("DescribeClusters", "gone") => {
            ok(json!({ "clusters": [], "failures": [{ "arn": "x", "reason": "MISSING" }] }))
        }
        ("DescribeClusters", name) => ok(json!({ "clusters": [{ "clusterName": name, "status": "INACTIVE" }] })),
        (_, "gone") => refusal(400, "ClientException", "Unable to describe task definition."),
        _ => ok(json!({ "taskDefinition": definition })),
    })
    .await;
    let found = ask(&stub, &["batch", "gone"], &["nightly", "gone"]).await;
    assert_eq!(found.clusters[&named("batch")], Answer::Found("INACTIVE".to_owned()));
    assert_eq!(found.clusters[&named("gone")], Answer::Missing);
    let group =
        Destination::Group { group: "/ecs/a".into(), region: Some("eu-west-1".into()), prefix: Some("ecs".into()) };
    let facts = DefinitionFacts {
        arn: super::DEFINITION.into(),
        status: "ACTIVE".into(),
        containers: vec![
            DefinedContainer { name: "app".into(), logs: group },
            DefinedContainer { name: "log".into(), logs: Destination::Unsaid },
        ],
        compatibilities: vec!["EC2".into(), "FARGATE".into()],
        network_mode: Some("awsvpc".into()),
        cpu: Some("256".into()),
        memory: Some("512".into()),
        task_role: Some("arn:aws:iam::123456789012:role/task".into()),
        execution_role: Some("arn:aws:iam::123456789012:role/execution".into()),
    };
    assert_eq!(found.definitions[&named("nightly")], Answer::Found(facts));
    assert_eq!(found.definitions[&named("gone")], Answer::Missing);
    assert_eq!(stub.seen().len(), 4, "each was asked for once");
}

#[tokio::test]
async fn a_permission_that_is_missing_is_asked_for_once_where_it_is_for_all() {
    let stub = Stub::start(|seen| refusal(400, "AccessDeniedException", &format!("not {}", seen.operation))).await;
    let names: Vec<String> = (0..30).map(|n| arn(n).0).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = ask(&stub, &["a", "b"], &names).await;
    assert_eq!(found.definitions.len(), 30);
    for answer in found.definitions.values() {
        assert_eq!(
            why(answer),
            "DescribeTaskDefinition was refused: AccessDeniedException: not DescribeTaskDefinition"
        );
    }
    let calls = stub.operations();
    let of = |name: &str| calls.iter().filter(|operation| *operation == name).count();
    assert_eq!(of("DescribeClusters"), 2, "one may be allowed where another is not");
    assert!((1..=4).contains(&of("DescribeTaskDefinition")), "{calls:?}");
}

#[tokio::test]
async fn what_is_throttled_is_asked_again_and_given_up_in_the_end() {
    let throttled = || refusal(400, "ThrottlingException", "Rate exceeded");
    let seen = AtomicUsize::new(0);
    let stub = Stub::start(move |_seen| match seen.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => throttled(),
        _ => ok(json!({ "clusters": [{ "status": "ACTIVE" }] })),
    })
    .await;
    assert_eq!(ask(&stub, &["a"], &[]).await.clusters[&named("a")], Answer::Found("ACTIVE".to_owned()));

    let stub = Stub::always(throttled()).await;
    let found = ask(&stub, &["a"], &[]).await;
    assert!(why(&found.clusters[&named("a")]).contains("Rate exceeded"));
    assert_eq!(stub.seen().len(), 4);
}

#[tokio::test]
async fn a_silent_endpoint_is_left_alone_after_a_few_calls() {
    let stub = Stub::always(Reply::Silence).await;
    let soon = Duration::from_millis(100);
    let asking =
        AwsEcs::local_within(&stub.endpoint, Timeouts { connect: AMPLE, attempt: soon, operation: soon }).unwrap();
    let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = asking.inventory_at(questions(&["a"], &names), QUICK).await;
    assert_eq!(found.definitions.len(), 100);
    assert!(found.definitions.values().all(|answer| why(answer).contains("got no answer")));
    // The third one, and those under way together with it.
    assert!(stub.seen().len() <= 6, "{}", stub.seen().len());
}

#[tokio::test]
async fn credentials_that_are_refused_end_the_asking() {
    let stub = Stub::always(refusal(400, "UnrecognizedClientException", "The security token is invalid.")).await;
    let found = ask(&stub, &["a"], &["b", "c"]).await;
    assert!(why(&found.clusters[&named("a")]).contains("security token"));
    assert!(found.definitions.values().all(|answer| why(answer).contains("DescribeClusters was refused")));
    assert_eq!(stub.operations(), ["DescribeClusters"]);
}

#[tokio::test]
async fn calls_keep_their_distance() {
    let stub = Stub::always(ok(json!({ "taskDefinition": {} }))).await;
    let names = ["a", "b", "c"];
    let asking = adapter(&stub.endpoint);
    let pace = Pace { spacing: Duration::from_secs(3_600), throttled: Duration::from_millis(1) };
    let all = asking.inventory_at(questions(&[], &names), pace);
    // The first one leaves at once; whoever waits for its hour has not called.
    let mut all = Box::pin(all);
    while stub.seen().is_empty() {
        tokio::select! {
            _ = &mut all => panic!("three calls within an hour"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(stub.seen().len(), 1);
}
