//! Scripted trouble: what is created, what the caller is told, and how it can be found again.

use super::*;

#[tokio::test]
async fn a_lost_answer_leaves_a_task_that_the_token_finds() {
    let outcomes =
        vec![Outcome::ServerExceptionAfterCreate, Outcome::ConnectionClosed, Outcome::ConnectionClosedBefore];
    let local = Local::of(vec![shell("app", "true")], outcomes);
    let call = |token: &str| request(json!({ "clientToken": token }));
    let error = local.call("RunTask", call("t-1")).await.unwrap_err();
    assert_eq!(error.code, "ServerException");
    let found = local.call("RunTask", call("t-1")).await.unwrap();
    local.stopped(arn(&found)).await;
    let lost = local.answer("RunTask", call("t-2"), clock::now()).await;
    assert!(matches!(lost, Ok(Answer::HangUp)));
    let found = local.call("RunTask", call("t-2")).await.unwrap();
    local.stopped(arn(&found)).await;
    assert_eq!(local.list_all().await.len(), 2);
    let lost = local.answer("RunTask", call("t-3"), clock::now()).await;
    assert!(matches!(lost, Ok(Answer::HangUp)));
    assert_eq!(local.list_all().await.len(), 2);
}

#[tokio::test]
async fn a_ghost_is_found_by_started_by_and_by_no_replay() {
    let ghost = Outcome::FailureAfterCreate("AGENT".to_owned());
    let local = Local::of(vec![shell("app", "sleep 60")], vec![ghost]);
    for _ in 0..2 {
        let answer = local.run(json!({ "clientToken": "t-1" })).await.unwrap();
        assert_eq!(answer["tasks"], json!([]));
        assert_eq!(answer["failures"], json!([{ "reason": "AGENT" }]));
    }
    let found = local.list(json!({ "startedBy": "tenacron/1" })).await;
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn scripted_ends_have_their_codes() {
    let outcomes = vec![
        Outcome::TaskFailedToStart("CannotPullContainerError: no such image".to_owned()),
        Outcome::SpotInterruption { after: Duration::from_millis(50) },
        Outcome::HostTerminated { after: Duration::from_millis(50) },
    ];
    let local = Local::of(vec![shell("app", "sleep 60")], outcomes);
    let failed = local.run_to_end(json!({})).await;
    assert_eq!(failed["stopCode"], "TaskFailedToStart");
    assert_eq!(failed["stoppedReason"], "CannotPullContainerError: no such image");
    assert!(failed["containers"][0].get("exitCode").is_none());
    let spot = local.run_to_end(json!({})).await;
    assert_eq!(spot["stopCode"], "SpotInterruption");
    assert_eq!(spot["stoppedReason"], "Your Spot Task was interrupted.");
    assert_eq!(spot["containers"][0]["exitCode"], 143);
    let lost = local.run_to_end(json!({})).await;
    assert!(lost.get("stopCode").is_none());
    assert_eq!(lost["stoppedReason"], "Host EC2 (instance local) terminated.");
    assert!(lost["containers"][0].get("exitCode").is_none());
}

#[tokio::test]
async fn a_slow_answer_comes_after_the_task_and_a_hidden_task_before_its_listing() {
    let outcomes =
        vec![Outcome::SlowAnswer(Duration::from_secs(3600)), Outcome::VisibleAfter(Duration::from_secs(3600))];
    let local = Local::of(vec![shell("app", "sleep 60")], outcomes);
    let slow = tokio::spawn({
        let endpoint = Arc::clone(&local.endpoint);
        async move { perform(&endpoint, "RunTask", request(json!({})), clock::now()).await }
    });
    let mut looks = looks();
    for _ in 0..POLLS_MAX {
        looks.tick().await;
        if !local.list(json!({})).await.is_empty() {
            break;
        }
    }
    assert_eq!(local.list(json!({})).await.len(), 1);
    assert!(!slow.is_finished());
    slow.abort();
    let hidden = local.run(json!({})).await.unwrap();
    assert_eq!(local.list(json!({})).await.len(), 1);
    assert_eq!(local.describe(arn(&hidden)).await, Value::Null);
}

#[tokio::test]
async fn any_stop_code_and_reason_can_be_scripted_and_memory_is_told_by_the_container() {
    let after = Duration::from_millis(50);
    let stopped = |code: Option<&str>, reason: &str| Outcome::Stopped {
        stop_code: code.map(str::to_owned),
        reason: reason.to_owned(),
        after,
    };
    let maintenance = "ECS is performing maintenance on the underlying infrastructure hosting the task";
    let outcomes = vec![
        stopped(Some("TerminationNotice"), maintenance),
        stopped(None, "a reason of the future"),
        Outcome::OutOfMemory { after },
    ];
    let mut sidecar = shell("sidecar", "sleep 60");
    sidecar.essential = false;
    // It outlives SIGTERM, so that only SIGKILL ends it.
    let mut app = shell("app", "trap '' TERM; while :; do sleep 0.01; done");
    app.stop_timeout = Duration::from_millis(50);
    let local = Local::of(vec![sidecar, app], outcomes);
    let retired = local.run_to_end(json!({})).await;
    assert_eq!((&retired["stopCode"], &retired["stoppedReason"]), (&json!("TerminationNotice"), &json!(maintenance)));
    let silent = local.run_to_end(json!({})).await;
    assert!(silent.get("stopCode").is_none());
    assert_eq!(silent["stoppedReason"], "a reason of the future");
    let killed = local.run_to_end(json!({})).await;
    assert_eq!(killed["stopCode"], "EssentialContainerExited");
    let container = |name: &str| {
        let containers = killed["containers"].as_array().unwrap();
        containers.iter().find(|container| container["name"] == name).unwrap().clone()
    };
    assert_eq!(container("app")["exitCode"], 137);
    assert_eq!(container("app")["reason"], "OutOfMemoryError: Container killed due to memory usage");
    assert!(container("sidecar").get("reason").is_none(), "it was not its memory");
}

#[tokio::test]
async fn a_forgotten_task_is_missing_from_then_on() {
    let forgotten = Outcome::Forgotten { after: Duration::from_millis(50) };
    let local = Local::of(vec![shell("app", "sleep 60")], vec![forgotten]);
    let answer = local.run(json!({})).await.unwrap();
    let task = arn(&answer).to_owned();
    let mut looks = looks();
    for _ in 0..POLLS_MAX {
        looks.tick().await;
        let described = local.call("DescribeTasks", json!({ "tasks": [task] })).await.unwrap();
        if described["failures"] == json!([{ "arn": task, "reason": "MISSING" }]) {
            return;
        }
    }
    panic!("it is shown for ever");
}

#[tokio::test]
async fn refusals_failures_and_throttled_looks_are_as_scripted() {
    let refused = Outcome::Refused { code: "SomethingNew".to_owned(), message: "who knows".to_owned(), status: 503 };
    let outcomes = vec![
        refused,
        Outcome::Failure { reason: "ATTRIBUTE".to_owned(), detail: Some("no instance".to_owned()) },
        Outcome::PartialFailure { started: 1, reason: "RESOURCE:CPU".to_owned() },
        Outcome::DescribeThrottled(2),
    ];
    let local = Local::of(vec![shell("app", "sleep 60")], outcomes);
    let refusal = local.run(json!({})).await.unwrap_err();
    assert_eq!((refusal.code.as_ref(), refusal.status.as_u16()), ("SomethingNew", 503));
    let failed = local.run(json!({})).await.unwrap();
    assert_eq!(failed["failures"], json!([{ "reason": "ATTRIBUTE", "detail": "no instance" }]));
    for _ in 0..2 {
        let partly = local.run(json!({ "count": 3, "clientToken": "t-1" })).await.unwrap();
        let reason = json!({ "reason": "RESOURCE:CPU" });
        assert_eq!(partly["tasks"].as_array().unwrap().len(), 1);
        assert_eq!(partly["failures"], json!([reason, reason]), "a replay repeats them");
    }
    let answer = local.run(json!({})).await.unwrap();
    for _ in 0..2 {
        let look = local.call("DescribeTasks", json!({ "tasks": [arn(&answer)] })).await;
        assert_eq!(look.unwrap_err().code, "ThrottlingException");
    }
    assert_eq!(local.describe(arn(&answer)).await["taskArn"], json!(arn(&answer)));
}
