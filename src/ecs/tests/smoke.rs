use super::adapter;
use crate::ecs::Ecs as _;
use crate::engine::job::*;
use crate::engine::launch::LaunchRequest;
use crate::engine::task::*;
use crate::local::{Container, Outcome, Server, Settings, TaskDefinition};
use std::time::Duration;

fn request(token: &str, family: &str) -> LaunchRequest {
    let mut r = super::full_request();
    r.client_token = serde_json::from_value(token.into()).unwrap();
    r.started_by = format!("tenacron/{token}");
    r.task.task_definition = family.into();
    r.task.capacity = Capacity::LaunchType("FARGATE".into());
    r.task.containers.truncate(1);
    r.task.containers[0].command = None;
    r
}

#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    let c = |name: &str, cmd: &str, essential| Container {
        name: name.into(),
        command: vec!["sh".into(), "-c".into(), cmd.into()],
        essential,
        ..Default::default()
    };
    let settings = Settings {
        clusters: vec!["main".into()],
        task_definitions: vec![
            TaskDefinition {
                family: "ok".into(),
                containers: vec![c("worker", "exit 3", true), c("log", "exit 0", false)],
                outcomes: vec![],
            },
            TaskDefinition {
                family: "slow".into(),
                containers: vec![c("worker", "sleep 100", true)],
                outcomes: vec![],
            },
            TaskDefinition {
                family: "bad".into(),
                containers: vec![c("worker", "sleep 100", true)],
                outcomes: vec![
                    Outcome::Throttled,
                    Outcome::ServerExceptionAfterCreate,
                    Outcome::Failure("RESOURCE:MEMORY".into()),
                    Outcome::ConnectionClosed,
                    Outcome::ConnectionClosedBefore,
                    Outcome::AccessDenied,
                    Outcome::VisibleAfter(Duration::from_secs(1)),
                    Outcome::FailureAfterCreate("AGENT".into()),
                ],
            },
        ],
        ..Default::default()
    };
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), settings).await.unwrap();
    let endpoint = format!("http://{}", server.local_addr());
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(server.serve(stop.clone()));
    let ecs = adapter(&endpoint);
    let a = ecs.run_task(&request("t1", "ok")).await;
    eprintln!("{a:?}");
    eprintln!("again {:?}", ecs.run_task(&request("t1", "ok")).await);
    let LaunchAnswer::Launched { task } = a else { panic!() };
    let mut other = request("t1", "ok");
    other.task.group = Some("x".into());
    eprintln!("conflict {:?}", ecs.run_task(&other).await);
    loop {
        let d = ecs.describe_tasks("main", &[task.clone(), super::arn(1)]).await.unwrap();
        if d.facts.iter().any(|f| f.is_stopped()) {
            eprintln!("{d:#?}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eprintln!("replay stopped {:?}", ecs.run_task(&request("t1", "ok")).await);
    eprintln!("find stopped {:?}", ecs.find_tasks(&request("t1", "ok")).await);
    let a = ecs.run_task(&request("t2", "slow")).await;
    eprintln!("{a:?}");
    let LaunchAnswer::Launched { task } = a else { panic!() };
    eprintln!("find live {:?}", ecs.find_tasks(&request("t2", "slow")).await);
    eprintln!("find none {:?}", ecs.find_tasks(&request("t9", "slow")).await);
    eprintln!("stop {:?}", ecs.stop_task("main", &task, "time-out").await);
    eprintln!("stop unknown {:?}", ecs.stop_task("main", &super::arn(1), "time-out").await);
    loop {
        let d = ecs.describe_tasks("main", &[task.clone()]).await.unwrap();
        if d.facts.iter().any(|f| f.is_stopped()) {
            eprintln!("{d:#?}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for n in 0..8 {
        let r = request(&format!("b{n}"), "bad");
        let a = ecs.run_task(&r).await;
        eprintln!("bad {n} {a:?}");
        eprintln!("  find {:?}", ecs.find_tasks(&r).await);
        if let LaunchAnswer::Launched { task } = a {
            eprintln!("  desc {:?}", ecs.describe_tasks("main", &[task.clone()]).await);
        }
        if let SearchAnswer::Found(t) = ecs.find_tasks(&r).await {
            let _ = ecs.stop_task("main", &t[0], "end").await;
        }
    }
    let mut r = request("c1", "ok");
    r.task.cluster = "nope".into();
    eprintln!("cluster {:?} {:?}", ecs.run_task(&r).await, ecs.find_tasks(&r).await);
    eprintln!("definition {:?}", ecs.run_task(&request("c2", "nope")).await);
    eprintln!("describe {:?}", ecs.describe_tasks("nope", &[task]).await);
    stop.cancel();
    running.await.unwrap();
}
