//! The live tasks of a cluster, page by page.

use serde_json::{Value, json};

use super::{TASK, adapter, arn, main};
use crate::ecs::{Ecs as _, LivePage};
use crate::engine::task::{FoundTask, TaskArn};
use crate::outbound::stub::{Reply, Seen, Stub, ok, refusal};

/// A server that lists these tasks as the only page, and shows them.
async fn page_of(tasks: Vec<Value>, next: Option<&'static str>) -> Stub {
    let arns: Vec<Value> = tasks.iter().map(|task| task["taskArn"].clone()).collect();
    let shown: Vec<Value> = tasks.into_iter().filter(|task| task["gone"].is_null()).collect();
    Stub::start(move |seen: &Seen| match seen.operation.as_str() {
        "ListTasks" => ok(json!({ "taskArns": arns, "nextToken": next })),
        _ => ok(json!({ "tasks": shown, "failures": [] })),
    })
    .await
}

#[tokio::test]
async fn a_live_task_is_shown_with_its_marks_and_nothing_else() {
    let pair = |name: &str, value: &str| json!({ "name": name, "value": value });
    let tag = |key: &str, value: &str| json!({ "key": key, "value": value });
    let task = json!({
        "taskArn": TASK,
        "startedBy": "tenacron/6f1c9e0a",
        "createdAt": 1_795_400_000.345,
        "tags": [tag("team", "night"), tag("tenacron:job", "nightly"), json!({ "key": "tenacron:bare" })],
        "overrides": { "containerOverrides": [
            { "name": "log" },
            { "name": "app", "environment": [pair("TENACRON_JOB", "nightly"), pair("SECRET", "s3cr3t")] },
        ] },
    });
    let stub = page_of(vec![task], Some("more")).await;
    let page = adapter(&stub.endpoint).live_tasks(&main(), Some("here")).await;
    let found = FoundTask {
        task: TaskArn(TASK.into()),
        site: main(),
        started_by: "tenacron/6f1c9e0a".into(),
        created_at: Some("2026-11-23T02:13:20.345Z".parse().unwrap()),
        tags: [("tenacron:job".to_owned(), "nightly".to_owned())].into(),
        environment: [("TENACRON_JOB".to_owned(), "nightly".to_owned())].into(),
    };
    assert_eq!(page, Ok(LivePage { listed: 1, unseen: 0, found: vec![found], next: Some("more".into()) }));
    let seen = stub.seen();
    let list = json!({ "cluster": "main", "desiredStatus": "RUNNING", "maxResults": 100, "nextToken": "here" });
    assert_eq!(seen[0].json(), list);
    assert_eq!(seen[1].json(), json!({ "cluster": "main", "tasks": [TASK], "include": ["TAGS"] }));
}

#[tokio::test]
async fn tasks_of_others_are_counted_only_and_those_not_shown_as_well() {
    let task = |n: usize, started_by: Value| json!({ "taskArn": arn(n).0, "startedBy": started_by });
    let mut gone = task(4, json!("tenacron/4"));
    gone["gone"] = json!(true);
    let tasks = vec![task(1, json!("tenacron/1")), task(2, json!("AWS Step Functions")), task(3, Value::Null), gone];
    let stub = page_of(tasks, None).await;
    let page = adapter(&stub.endpoint).live_tasks(&main(), None).await.unwrap();
    let found: Vec<&TaskArn> = page.found.iter().map(|found| &found.task).collect();
    assert_eq!((page.listed, page.unseen, found, page.next), (4, 1, vec![&arn(1)], None));
}

#[tokio::test]
async fn an_empty_cluster_costs_one_call() {
    let stub = page_of(vec![], Some("")).await;
    assert_eq!(adapter(&stub.endpoint).live_tasks(&main(), None).await, Ok(LivePage::default()));
    assert_eq!(stub.operations(), ["ListTasks"]);
}

#[tokio::test]
async fn any_error_leaves_the_page_to_be_asked_for_again() {
    for failing in ["ListTasks", "DescribeTasks"] {
        for reply in [refusal(400, "AccessDeniedException", "no"), Reply::Close] {
            let stub = Stub::start(move |seen: &Seen| match seen.operation.as_str() {
                operation if operation == failing => reply.clone(),
                _ => ok(json!({ "taskArns": [TASK] })),
            })
            .await;
            let error = adapter(&stub.endpoint).live_tasks(&main(), None).await.unwrap_err();
            assert!(error.message.starts_with(failing), "{error}");
        }
    }
}
