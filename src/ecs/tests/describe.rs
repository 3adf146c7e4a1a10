//! Following, finding and stopping tasks.

use std::sync::Mutex;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{DEFINITION, TASK, adapter, arn, full_request, main};
use crate::ecs::{CallError, Described, Ecs as _};
use crate::engine::call_fault::CallFault;
use crate::engine::task::{ContainerFacts, SearchAnswer, TaskArn, TaskFacts, TaskTimes};
use crate::outbound::stub::{Reply, Seen, Stub, ok, refusal};

fn stopped(task: &TaskArn, definition: &str) -> Value {
    json!({
        "taskArn": task.0,
        "taskDefinitionArn": definition,
        "lastStatus": "STOPPED",
        "containers": [{ "name": "worker", "exitCode": 0 }],
    })
}

fn definition() -> Reply {
    ok(json!({ "taskDefinition": { "containerDefinitions": [
        { "name": "worker" },
        { "name": "log", "essential": false },
        { "name": "proxy", "essential": true },
    ] } }))
}

/// Describes `count` stopped tasks `times` times with that answer to DescribeTaskDefinition.
async fn flags_with(definition: Reply, count: usize, times: usize) -> (Vec<Described>, Stub) {
    let stub = Stub::start(move |seen| match seen.operation.as_str() {
        "DescribeTaskDefinition" => definition.clone(),
        _ => ok(
            json!({ "tasks": (0..count).map(|n| stopped(&arn(n), &format!("{DEFINITION}{n}"))).collect::<Vec<_>>() }),
        ),
    })
    .await;
    let ecs = adapter(&stub.endpoint);
    let tasks: Vec<TaskArn> = (0..count).map(arn).collect();
    let mut answers = Vec::new();
    for _time in 0..times {
        // Clones share what they know.
        answers.push(ecs.clone().describe_tasks(&main(), &tasks).await.unwrap());
    }
    (answers, stub)
}

fn asked_for_definitions(stub: &Stub) -> usize {
    stub.operations().iter().filter(|operation| *operation == "DescribeTaskDefinition").count()
}

fn at(text: &str) -> Option<DateTime<Utc>> {
    Some(text.parse().unwrap())
}

#[tokio::test]
async fn stopped_task_is_shown_with_every_fact() {
    let task = json!({
        "taskArn": TASK,
        "taskDefinitionArn": DEFINITION,
        "lastStatus": "STOPPED",
        "stopCode": "MeteoriteImpact",
        "stoppedReason": "Essential container in task exited",
        "createdAt": 1_795_399_990,
        "pullStartedAt": 1_795_399_991,
        "pullStoppedAt": 1_795_399_992,
        "startedAt": 1_795_400_000.345,
        "stoppingAt": 1_795_400_020,
        "executionStoppedAt": 1_795_400_030,
        "stoppedAt": 1_795_400_039.999_9,
        "containers": [
            { "name": "worker", "exitCode": 3 },
            { "name": "log", "reason": "CannotStartContainerError: \n no such file" },
            { "name": "proxy", "exitCode": 0 },
            { "name": "aws-guardduty-agent-x", "exitCode": 137 },
        ],
    });
    let shown = json!({ "tasks": [task] });
    let stub = Stub::start(move |seen| match seen.operation.as_str() {
        "DescribeTasks" => ok(shown.clone()),
        _ => definition(),
    })
    .await;
    let described = adapter(&stub.endpoint).describe_tasks(&main(), &[TaskArn(TASK.into())]).await.unwrap();
    let container = |name: &str, essential: bool, exit_code: Option<i32>, reason: Option<&str>| ContainerFacts {
        name: name.into(),
        essential: Some(essential),
        exit_code,
        reason: reason.map(str::to_owned),
    };
    let facts = TaskFacts {
        task: TaskArn(TASK.into()),
        last_status: "STOPPED".into(),
        stop_code: Some("MeteoriteImpact".into()),
        stopped_reason: Some("Essential container in task exited".into()),
        times: TaskTimes {
            created_at: at("2026-11-23T02:13:10Z"),
            pull_started_at: at("2026-11-23T02:13:11Z"),
            pull_stopped_at: at("2026-11-23T02:13:12Z"),
            started_at: at("2026-11-23T02:13:20.345Z"),
            stopping_at: at("2026-11-23T02:13:40Z"),
            execution_stopped_at: at("2026-11-23T02:13:50Z"),
            stopped_at: at("2026-11-23T02:14:00Z"),
        },
        described: Some(task.to_string()),
        containers: vec![
            container("worker", true, Some(3), None),
            container("log", false, None, Some("CannotStartContainerError: no such file")),
            container("proxy", true, Some(0), None),
            container("aws-guardduty-agent-x", false, Some(137), None),
        ],
    };
    assert_eq!(described, Described { facts: vec![facts], missing: vec![], unjudged: vec![] });
    let seen = stub.seen();
    assert_eq!(seen[0].json(), json!({ "cluster": "main", "tasks": [TASK] }));
    assert_eq!(seen[1].json(), json!({ "taskDefinition": DEFINITION }));
}

#[tokio::test]
async fn live_task_has_no_flags_and_costs_no_second_call() {
    let stub = Stub::always(ok(json!({ "tasks": [{
        "taskArn": TASK,
        "taskDefinitionArn": DEFINITION,
        "lastStatus": "PROVISIONING",
        "containers": [{ "name": "worker" }],
    }] })))
    .await;
    let described = adapter(&stub.endpoint).describe_tasks(&main(), &[TaskArn(TASK.into())]).await.unwrap();
    let worker = ContainerFacts { name: "worker".into(), essential: None, exit_code: None, reason: None };
    let facts = TaskFacts {
        task: TaskArn(TASK.into()),
        last_status: "PROVISIONING".into(),
        stop_code: None,
        stopped_reason: None,
        times: TaskTimes::default(),
        described: None,
        containers: vec![worker],
    };
    assert_eq!(described.facts, [facts]);
    assert_eq!(stub.operations(), ["DescribeTasks"]);
}

#[tokio::test]
async fn missing_is_told_other_failures_and_strangers_are_left_out() {
    let stub = Stub::always(ok(json!({
        "tasks": [{ "taskArn": arn(9).0, "lastStatus": "RUNNING" }, { "lastStatus": "RUNNING" }],
        "failures": [
            { "arn": arn(1).0, "reason": "MISSING" },
            { "arn": arn(2).0, "reason": "BUSY" },
            { "arn": arn(8).0, "reason": "MISSING" },
            { "reason": "MISSING" },
        ],
    })))
    .await;
    let described = adapter(&stub.endpoint).describe_tasks(&main(), &[arn(1), arn(2)]).await.unwrap();
    assert_eq!(described, Described { facts: vec![], missing: vec![arn(1)], unjudged: vec![] });
}

#[tokio::test]
async fn too_many_tasks_and_none_are_not_sent() {
    let stub = Stub::always(Reply::Close).await;
    let ecs = adapter(&stub.endpoint);
    let many: Vec<TaskArn> = (0..101).map(arn).collect();
    let refused = ecs.describe_tasks(&main(), &many).await.unwrap_err();
    assert_eq!(refused.message, "DescribeTasks takes 100 tasks, not 101");
    assert_eq!(ecs.describe_tasks(&main(), &[]).await, Ok(Described::default()));
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn errors_say_what_was_called_and_whether_to_slow_down() {
    for (reply, fault, message) in [
        (
            refusal(400, "ThrottlingException", "Rate exceeded"),
            CallFault::Throttled,
            "was refused: ThrottlingException: Rate exceeded",
        ),
        (refusal(400, "ClientException", ""), CallFault::Refused, "was refused: ClientException"),
        (
            Reply::Http(429, "slow".into()),
            CallFault::Throttled,
            "was refused: HTTP 429 with a body that is no error of ECS",
        ),
        (refusal(500, "ServerException", "Oh"), CallFault::Server, "was refused: ServerException: Oh"),
    ] {
        let ecs = adapter(&Stub::always(reply).await.endpoint);
        let error = |operation: &str| CallError { fault, message: format!("{operation} {message}") };
        assert_eq!(ecs.describe_tasks(&main(), &[arn(1)]).await, Err(error("DescribeTasks")));
        assert_eq!(ecs.stop_task(&main(), &arn(1), "time-out").await, Err(error("StopTask")));
    }
    let ecs = adapter(&Stub::always(Reply::Close).await.endpoint);
    let error = ecs.describe_tasks(&main(), &[arn(1)]).await.unwrap_err();
    assert!(
        error.fault == CallFault::NoAnswer && error.message.starts_with("DescribeTasks got no answer: "),
        "{error}"
    );
}

#[tokio::test]
async fn definition_is_read_once_for_all_its_tasks_and_clones() {
    let (answers, stub) = flags_with(definition(), 2, 3).await;
    for answer in answers {
        let flags: Vec<Option<bool>> = answer.facts.iter().map(|facts| facts.containers[0].essential).collect();
        assert_eq!(flags, [Some(true), Some(true)]);
    }
    assert_eq!(asked_for_definitions(&stub), 2);
}

#[tokio::test]
async fn denied_definition_leaves_the_flags_unknown_and_is_not_asked_for_at_once() {
    for code in ["AccessDeniedException", "ClientException", "UnknownOperationException"] {
        let (answers, stub) = flags_with(refusal(400, code, "no"), 1, 3).await;
        for answer in answers {
            assert_eq!(answer.facts[0].containers[0].essential, None);
        }
        assert_eq!(asked_for_definitions(&stub), 1);
    }
}

#[tokio::test]
async fn definition_not_read_in_passing_is_asked_for_again() {
    for (reply, calls) in [
        // One that fails does not keep the others from being read ...
        (refusal(500, "ServerException", "Oh"), 3),
        (refusal(400, "ExpiredTokenException", "old"), 3),
        // ... but one that is throttled or gets no answer speaks for them all.
        (refusal(400, "ThrottlingException", "Rate exceeded"), 1),
        (Reply::Close, 1),
    ] {
        let (answers, stub) = flags_with(reply.clone(), 3, 2).await;
        for answer in answers {
            assert_eq!(
                (answer.facts.len(), answer.unjudged.len()),
                (3, 0),
                "one container decides whatever it is: {reply:?}"
            );
        }
        assert_eq!(asked_for_definitions(&stub), 2 * calls, "{reply:?}");
    }
}

#[tokio::test]
async fn a_task_whose_flags_can_not_be_read_yet_is_known_to_have_ended_and_judged_where_they_do_not_matter() {
    let shown = |exit_codes: Value| {
        let containers = json!([
            { "name": "worker", "exitCode": exit_codes[0] },
            { "name": "log", "exitCode": exit_codes[1] },
        ]);
        json!({ "taskArn": TASK, "taskDefinitionArn": DEFINITION, "lastStatus": "STOPPED", "containers": containers })
    };
    for (exit_codes, is_judged) in [(json!([0, 0]), true), (json!([3, 3]), true), (json!([0, 137]), false)] {
        let answer = json!({ "tasks": [shown(exit_codes.clone())] });
        let stub = Stub::start(move |seen| match seen.operation.as_str() {
            "DescribeTasks" => ok(answer.clone()),
            _ => refusal(500, "ServerException", "Oh"),
        })
        .await;
        let ecs = adapter(&stub.endpoint);
        let described = ecs.describe_tasks(&main(), &[TaskArn(TASK.into())]).await.unwrap();
        assert_eq!(described.facts.len(), usize::from(is_judged), "{exit_codes}");
        assert_eq!(described.unjudged.len(), usize::from(!is_judged), "{exit_codes}");
        for event in described.unjudged {
            assert!(event.facts.is_stopped());
            assert_eq!(event.task_definition.as_deref(), Some(DEFINITION));
            assert_eq!(ecs.with_flags(&main(), event).await, None, "it is asked for again");
        }
    }
}

/// A server that knows these live ARNs and these pages of stopped tasks with their `startedBy`.
async fn cluster_of(live: Vec<String>, pages: Vec<Vec<Value>>) -> Stub {
    let tasks: Vec<Value> = pages.iter().flatten().cloned().collect();
    let arns = |page: &[Value]| page.iter().map(|task| task["taskArn"].clone()).collect::<Vec<_>>();
    let listed: Vec<Vec<Value>> = pages.iter().map(|page| arns(page)).collect();
    Stub::start(move |seen: &Seen| {
        let body = seen.json();
        if seen.operation == "DescribeTasks" {
            let asked = body["tasks"].as_array().unwrap();
            let shown = tasks.iter().filter(|task| asked.contains(&task["taskArn"]) && task["gone"].is_null());
            return ok(json!({ "tasks": shown.collect::<Vec<_>>(), "failures": [] }));
        }
        if body.get("startedBy").is_some() {
            return ok(json!({ "taskArns": live }));
        }
        let page: usize = body["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let next = (page + 1 < listed.len()).then(|| (page + 1).to_string());
        ok(json!({ "taskArns": listed.get(page), "nextToken": next }))
    })
    .await
}

fn ended(n: usize, started_by: &str, last_status: &str) -> Value {
    json!({ "taskArn": arn(n).0, "startedBy": started_by, "lastStatus": last_status })
}

const OURS: &str = "tenacron/6f1c9e0a";

#[tokio::test]
async fn live_task_is_found_by_its_started_by_alone() {
    let stub = cluster_of(vec![TASK.into()], vec![]).await;
    let found = adapter(&stub.endpoint).find_tasks(&full_request()).await;
    assert_eq!(found, SearchAnswer::Found(vec![TaskArn(TASK.into())]));
    let seen = stub.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].json(), json!({ "cluster": "main", "startedBy": OURS, "maxResults": 100 }));
}

#[tokio::test]
async fn stopped_tasks_are_found_on_any_page_the_one_still_stopping_first() {
    let pages = vec![
        vec![ended(1, "tenacron/other", "STOPPED"), ended(2, OURS, "STOPPED")],
        vec![],
        vec![ended(3, OURS, "DEPROVISIONING"), ended(4, "tenacron/6f1c9e0", "STOPPED")],
    ];
    let stub = cluster_of(vec![], pages).await;
    let found = adapter(&stub.endpoint).find_tasks(&full_request()).await;
    assert_eq!(found, SearchAnswer::Found(vec![arn(3), arn(2)]));
    let list = json!({ "cluster": "main", "family": "nightly", "desiredStatus": "STOPPED", "maxResults": 100 });
    assert_eq!(stub.seen()[1].json(), list);
    let operations = ["ListTasks", "ListTasks", "DescribeTasks", "ListTasks", "ListTasks", "DescribeTasks"];
    assert_eq!(stub.operations(), operations);
}

#[tokio::test]
async fn nothing_is_said_only_of_tasks_that_were_all_seen() {
    let stub = cluster_of(vec![], vec![vec![ended(1, "tenacron/other", "STOPPED")]]).await;
    assert_eq!(adapter(&stub.endpoint).find_tasks(&full_request()).await, SearchAnswer::Nothing);
    let stub = cluster_of(vec![], vec![]).await;
    assert_eq!(adapter(&stub.endpoint).find_tasks(&full_request()).await, SearchAnswer::Nothing);

    let mut gone = ended(1, OURS, "STOPPED");
    gone["gone"] = Value::from(true);
    let stub = cluster_of(vec![], vec![vec![gone, ended(2, "tenacron/other", "STOPPED")]]).await;
    let message = "1 stopped tasks of family nightly were listed, but not shown".to_owned();
    assert_eq!(
        adapter(&stub.endpoint).find_tasks(&full_request()).await,
        SearchAnswer::NoAnswer { fault: CallFault::Refused, message }
    );
}

#[tokio::test]
async fn look_up_that_never_ends_is_given_up() {
    let stub = Stub::always(ok(json!({ "taskArns": [], "nextToken": "more" }))).await;
    let given_up = adapter(&stub.endpoint).find_tasks(&full_request()).await;
    assert_eq!(
        given_up,
        SearchAnswer::NoAnswer { fault: CallFault::Refused, message: "ListTasks has more than 100 pages".into() }
    );
    assert_eq!(stub.seen().len(), 100);
}

#[tokio::test]
async fn any_error_of_a_look_up_is_no_answer() {
    for failing in [0, 1, 2] {
        for reply in [refusal(400, "ClusterNotFoundException", "Cluster not found."), Reply::Close] {
            let calls = Mutex::new(0);
            let stub = Stub::start(move |seen| {
                let mut calls = calls.lock().unwrap();
                *calls += 1;
                match seen.operation.as_str() {
                    _ if *calls > failing => reply.clone(),
                    "ListTasks" if *calls == 1 => ok(json!({ "taskArns": [] })),
                    _ => ok(json!({ "taskArns": [TASK] })),
                }
            })
            .await;
            let answer = adapter(&stub.endpoint).find_tasks(&full_request()).await;
            assert!(matches!(&answer, SearchAnswer::NoAnswer { message, .. } if !message.is_empty()), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn task_is_stopped_with_a_reason_of_limited_length() {
    let stub = Stub::always(ok(json!({ "task": { "taskArn": TASK } }))).await;
    let ecs = adapter(&stub.endpoint);
    assert_eq!(ecs.stop_task(&main(), &TaskArn(TASK.into()), "timeout of 1 h").await, Ok(()));
    assert_eq!(ecs.stop_task(&main(), &TaskArn(TASK.into()), &"ö".repeat(300)).await, Ok(()));
    let seen = stub.seen();
    assert_eq!(seen[0].json(), json!({ "cluster": "main", "task": TASK, "reason": "timeout of 1 h" }));
    assert_eq!(seen[1].json()["reason"], "ö".repeat(255));
}
