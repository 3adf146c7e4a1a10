//! The last lines of containers, over the protocol of CloudWatch Logs.

use serde_json::{Value, json};

use super::*;
use crate::ecs::Ecs as _;
use crate::engine::log_tail::{LogStream, LogTail, Wanted};
use crate::engine::run::RunId;
use crate::outbound::stub::{Reply, Seen, Stub, ok, refusal};

const STREAM: &str = "ecs/app/0123456789abcdef0123456789abcdef";

fn wanted(containers: &[&str]) -> Wanted {
    Wanted {
        run: RunId::from_text("run"),
        attempt: 1,
        site: main(),
        task: TaskArn(TASK.into()),
        task_definition: DEFINITION.into(),
        containers: containers.iter().map(|&name| name.to_owned()).collect(),
        lines: 20,
    }
}

fn definition(containers: Value) -> Reply {
    ok(json!({ "taskDefinition": { "taskDefinitionArn": DEFINITION, "containerDefinitions": containers } }))
}

fn awslogs() -> Value {
    json!({ "name": "app", "logConfiguration": { "logDriver": "awslogs", "options": {
        "awslogs-group": "/ecs/nightly", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "ecs",
    } } })
}

/// One endpoint for ECS and for the logs.
async fn aws(logs: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Stub {
    Stub::start(move |seen| match seen.operation.as_str() {
        "DescribeTaskDefinition" => definition(json!([awslogs()])),
        _ => logs(seen),
    })
    .await
}

async fn tail(stub: &Stub, wanted: &Wanted) -> Vec<LogTail> {
    adapter_of(with_endpoint(stub), Some(&stub.endpoint)).log_tail(wanted).await
}

async fn note(reply: Reply) -> String {
    let stub = aws(move |_seen| reply.clone()).await;
    let [tail] = <[LogTail; 1]>::try_from(tail(&stub, &wanted(&["app"])).await).unwrap();
    assert_eq!((tail.container.as_str(), tail.lines.len()), ("app", 0));
    tail.note.unwrap()
}

#[tokio::test]
async fn the_newest_lines_of_a_stream_are_read_in_their_order() {
    let events = json!([{ "timestamp": 1, "message": "one\n" }, { "timestamp": 2, "message": "two" }]);
    let stub = aws(move |_seen| ok(json!({ "events": events, "nextBackwardToken": "b/1" }))).await;
    let asked = wanted(&["app"]);
    let stream = LogStream { region: Some("eu-west-1".into()), group: "/ecs/nightly".into(), name: STREAM.into() };
    let lines = vec!["one".into(), "two".into()];
    let expected = LogTail { container: "app".into(), lines, note: None, stream: Some(stream) };
    assert_eq!(tail(&stub, &asked).await, [expected]);
    let seen = stub.seen();
    let sent = json!({ "logGroupName": "/ecs/nightly", "logStreamName": STREAM, "startFromHead": false, "limit": 20 });
    assert_eq!(seen[1].json(), sent);
    assert!(seen[1].head.contains("/eu-west-1/logs/"), "it is signed for the region of the group: {}", seen[1].head);
    assert_eq!(stub.operations(), ["DescribeTaskDefinition", "GetLogEvents"]);
}

#[tokio::test]
async fn an_empty_page_is_followed_back_a_few_times() {
    let page = |seen: &Seen| match seen.json()["nextToken"].as_str() {
        None => ok(json!({ "events": [], "nextBackwardToken": "b/1" })),
        Some("b/1") => ok(json!({ "events": [{ "message": "last" }], "nextBackwardToken": "b/2" })),
        Some(other) => panic!("{other}"),
    };
    let stub = aws(page).await;
    assert_eq!(tail(&stub, &wanted(&["app"])).await[0].lines, ["last"]);
    let same = aws(|_seen| ok(json!({ "events": [], "nextBackwardToken": "b/1" }))).await;
    let empty = tail(&same, &wanted(&["app"])).await.remove(0);
    assert_eq!(empty.note.unwrap(), format!("{STREAM} of /ecs/nightly is empty"));
    assert_eq!(same.operations().len(), 3, "the token stays: that is the beginning of the stream");
    let endless = |seen: &Seen| {
        let token = format!("{}x", seen.json()["nextToken"].as_str().unwrap_or_default());
        ok(json!({ "events": [], "nextBackwardToken": token }))
    };
    let endless = aws(endless).await;
    assert_eq!(tail(&endless, &wanted(&["app"])).await[0].lines, [""; 0]);
    assert_eq!(endless.operations().len(), 4);
}

#[tokio::test]
async fn whatever_keeps_the_lines_away_is_a_note() {
    let told = note(refusal(400, "ResourceNotFoundException", "The specified log stream does not exist.")).await;
    let expected = "GetLogEvents was refused: ResourceNotFoundException: The specified log stream does not exist.";
    assert_eq!(told, format!("{STREAM} of /ecs/nightly: {expected}"));
    let told = note(refusal(400, "AccessDeniedException", "not authorized to perform: logs:GetLogEvents")).await;
    assert!(told.ends_with("AccessDeniedException: not authorized to perform: logs:GetLogEvents"), "{told}");
    let told = note(refusal(400, "ThrottlingException", "Rate exceeded")).await;
    assert!(told.ends_with("ThrottlingException: Rate exceeded"), "{told}");
    assert!(note(Reply::Close).await.contains("GetLogEvents got no answer"));
}

#[tokio::test]
async fn containers_that_write_elsewhere_are_not_asked_for() {
    let containers = json!([
        { "name": "unsaid" },
        { "name": "firelens", "logConfiguration": { "logDriver": "awsfirelens" } },
        { "name": "unnamed", "logConfiguration": { "logDriver": "awslogs", "options": { "awslogs-group": "g" } } },
    ]);
    let stub = Stub::always(definition(containers)).await;
    let notes: Vec<String> = tail(&stub, &wanted(&["unsaid", "firelens", "unnamed", "agent"]))
        .await
        .into_iter()
        .map(|tail| format!("{}: {}", tail.container, tail.note.unwrap()))
        .collect();
    let expected = [
        "unsaid: its task definition names no log driver",
        "firelens: its log driver is awsfirelens, not awslogs",
        "unnamed: its task definition has no awslogs-stream-prefix, so its stream is not known",
        "agent: its task definition names no log driver",
    ];
    assert_eq!(notes, expected);
    assert_eq!(stub.operations(), ["DescribeTaskDefinition"]);
}

#[tokio::test]
async fn a_definition_named_by_its_family_is_not_remembered() {
    let events = json!([{ "message": "line" }]);
    let stub = aws(move |_seen| ok(json!({ "events": events }))).await;
    let adapter = adapter_of(with_endpoint(&stub), Some(&stub.endpoint));
    for (definition, asked) in [("nightly", 2), (DEFINITION, 1)] {
        let before = stub.operations().len();
        for _ in 0..2 {
            let wanted = Wanted { task_definition: definition.into(), ..wanted(&["app"]) };
            assert_eq!(adapter.log_tail(&wanted).await[0].lines, ["line"]);
        }
        let operations = stub.operations().split_off(before);
        let described = operations.iter().filter(|operation| *operation == "DescribeTaskDefinition").count();
        assert_eq!(described, asked, "{definition}");
    }
    let refused = Stub::always(refusal(400, "AccessDeniedException", "no")).await;
    let wanted = Wanted { task_definition: "nightly".into(), ..wanted(&["app", "log"]) };
    let notes: Vec<_> = tail(&refused, &wanted).await.into_iter().filter_map(|tail| tail.note).collect();
    assert_eq!(notes, ["DescribeTaskDefinition was refused: AccessDeniedException: no"; 2]);
}
