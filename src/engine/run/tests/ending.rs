//! How a run is over: cancelled or out of time in each state, and the error names of design §3.

use super::*;

#[test]
fn a_cancelled_run_ends_as_cancelled_from_every_state() {
    let mut due = Scene::new(definition());
    due.on(cancel());
    assert_eq!(due.run.status(), Status::Cancelled);

    let mut launching = Scene::sent(definition());
    launching.on(cancel());
    assert_eq!(launching.run.status(), Status::Launching, "the answer must be seen first");
    launching.on(launched(1));
    assert!(launching.is_stopping());
    launching.on(stopped_on_request(1, 143));
    assert_eq!(launching.run.status(), Status::Cancelled);

    let mut refused_meanwhile = Scene::sent(definition());
    refused_meanwhile.on(cancel()).on(denied());
    assert_eq!(refused_meanwhile.run.status(), Status::Cancelled, "a cancelled run is not retried");

    let mut ghost = Scene::sent(definition());
    ghost.on(failures()).on(cancel()).on(nothing());
    assert!(ghost.is_seeking(), "a ghost may show up late");
    ghost.at(40).find_nothing();
    assert_eq!(ghost.run.status(), Status::Cancelled);

    let mut running = Scene::running(definition());
    running.on(cancel()).on(exited(1, 1));
    assert_eq!(running.run.status(), Status::Cancelled);

    let mut stopping = Scene::running(Definition {
        limits: Limits { attempt_timeout: seconds(9), ..Limits::default() },
        retry: policy(vec![retrier(ErrorName::ALL, 1, 3)]),
        ..definition()
    });
    stopping.at(9).on(Event::Woken).on(cancel()).on(stopped_on_request(1, 143));
    assert_eq!(stopping.run.status(), Status::Cancelled, "no retry after the stop");

    let mut waiting = Scene::sent(definition());
    waiting.on(denied()).on(cancel());
    assert_eq!(waiting.run.status(), Status::Cancelled);

    let mut waiting_open = Scene::sent(definition());
    waiting_open.on(no_answer(true)).on(cancel());
    assert!(waiting_open.is_seeking(), "its launch is unresolved");
    waiting_open.at(40).find_nothing();
    assert_eq!(waiting_open.run.status(), Status::Cancelled);
}

#[test]
fn the_first_reason_to_cancel_is_the_one_that_counts() {
    let mut scene = Scene::running(definition());
    scene.on(cancel()).on(Event::Cancel { reason: "by bob".into() }).on(stopped_on_request(1, 0));
    assert_eq!(scene.outcome(), &Outcome::Cancelled { reason: "by alice".into() });
}

fn timed(timeout: u64) -> Definition {
    Definition { limits: Limits { timeout: seconds(timeout), ..Limits::default() }, ..definition() }
}

#[test]
fn the_deadline_counts_from_the_first_launch_and_ends_a_wait() {
    let mut scene = Scene::new(timed(60));
    scene.at(500).on(Event::Permitted);
    assert_eq!(scene.run.deadline, Some(scene.now + TimeDelta::seconds(60)), "waiting for a permit does not count");
    scene.at(555).on(denied());
    assert_eq!(scene.run.wake_after(scene.now), Some(start() + TimeDelta::seconds(560)));
    scene.at(560).on(Event::Woken);
    assert_eq!((scene.run.status(), scene.error(), scene.finished_after()), (Status::TimedOut, "States.Timeout", 560));
}

#[test]
fn a_deadline_that_passed_while_the_daemon_was_away_ends_a_wait_at_the_restart() {
    let mut scene = Scene::sent(timed(15));
    scene.at(10).on(denied()).at(17).restart();
    assert_eq!(scene.run.status(), Status::TimedOut);
}

#[test]
fn a_deadline_is_kept_while_a_retry_waits_for_its_permit() {
    let mut scene = Scene::sent(timed(60));
    scene.on(denied()).at(10).on(Event::Woken);
    assert_eq!(scene.run.action(scene.now), Action::Begin);
    assert_eq!(scene.run.wake_after(scene.now), Some(start() + TimeDelta::seconds(60)));
    scene.at(60).on(Event::Woken);
    assert_eq!(scene.run.status(), Status::TimedOut);
}

#[test]
fn a_deadline_during_the_launch_or_a_look_up_counts_with_the_answer() {
    let mut scene = Scene::sent(timed(5));
    scene.at(6).on(denied());
    assert_eq!(scene.run.status(), Status::TimedOut);
    let mut scene = Scene::sent(timed(5));
    scene.at(1).on(failures()).at(6).on(nothing()).at(47).find_nothing();
    assert_eq!(scene.run.status(), Status::TimedOut);
    let mut scene = Scene::sent(timed(5));
    scene.at(6).on(no_answer(true));
    assert!(scene.is_seeking(), "an open launch is looked up first");
    scene.at(47).find_nothing();
    assert_eq!(scene.run.status(), Status::TimedOut);
}

#[test]
fn a_retry_that_would_begin_at_its_deadline_does_not_begin() {
    let mut scene = Scene::sent(timed(10));
    scene.on(denied()).at(10).on(Event::Permitted);
    assert_eq!((scene.run.status(), scene.run.attempts.len()), (Status::TimedOut, 1));
}

#[test]
fn a_permit_before_the_wait_is_over_is_stale() {
    let mut scene = Scene::sent(definition());
    scene.on(denied()).at(9);
    assert_eq!(scene.refused(Event::Permitted), Refused::Stale);
}

/// Design §3, one row each: the event that happens to a launched or launching run, and every name in order.
#[test]
fn every_failure_carries_its_names_most_specific_first() {
    let base = "ECS.AmazonECSException";
    let capacity = "Capacity is unavailable at this time. Please try again later or in a different availability zone";
    let subnet = "Error retrieving subnet information for [subnet-1]: Rate exceeded (ErrorCode: Throttling)";
    let answer = |code: Option<&str>, message: &str, status| {
        Event::Answered(LaunchAnswer::Refused { code: code.map(Into::into), message: message.into(), status })
    };
    let reported = |reason: &str| {
        Event::Answered(LaunchAnswer::Failures(vec![LaunchFailure { reason: reason.into(), detail: None }]))
    };
    let rows: Vec<(Event, Vec<&str>)> = vec![
        (answer(Some("AccessDeniedException"), "no", 400), vec!["ECS.AccessDeniedException", base]),
        (answer(Some("ClusterNotFoundException"), "no", 400), vec!["ECS.ClusterNotFoundException", base]),
        (answer(Some("BlockedException"), "no", 400), vec!["ECS.BlockedException", base]),
        (answer(Some("ServerException"), "oops", 500), vec!["ECS.ServerException", base]),
        (answer(Some("ExpiredTokenException"), "old", 400), vec![base]),
        (answer(Some("ServiceUnavailable"), "", 503), vec![base]),
        (answer(None, "", 502), vec![base]),
        (answer(Some("ThrottlingException"), "Rate exceeded", 400), vec!["ECS.Throttled", base]),
        (
            answer(Some("InvalidParameterException"), subnet, 400),
            vec!["ECS.Throttled", "ECS.InvalidParameterException", base],
        ),
        (no_answer(false), vec!["ECS.SdkClientException", base]),
        (no_answer(true), vec!["ECS.SdkClientException", base]),
        (reported("RESOURCE:CPU"), vec!["Task.Placement", "AmazonECS.Unknown", base]),
        (reported("AGENT"), vec!["Task.Placement", "AmazonECS.Unknown", base]),
        (reported(capacity), vec!["Task.Capacity", "AmazonECS.Unknown", base]),
        (
            Event::Answered(LaunchAnswer::Conflict { tasks: vec![], message: String::new() }),
            vec!["ECS.ConflictException", base],
        ),
    ];
    for (event, names) in rows {
        let mut scene = Scene::sent(definition());
        scene.on(event.clone());
        if scene.is_seeking() {
            scene.on(nothing());
        }
        assert_eq!(scene.names(), names, "{event:?}");
        let retrier = scene.run.attempts[0].retrier;
        assert_eq!(retrier, Some(0), "the built-in policy backs off for whatever ECS refuses: {event:?}");
    }
}

#[test]
fn a_task_that_failed_is_retried_steadily_and_then_the_run_is_failed() {
    let mut scene = Scene::running(definition());
    for nth in 1..=3 {
        scene.on(exited(nth, 1));
        assert_eq!(scene.wait(), 3.0);
        scene.now += TimeDelta::seconds(3);
        scene.on(Event::Permitted).on(launched(nth + 1));
    }
    scene.on(exited(4, 1));
    assert_eq!((scene.run.status(), scene.error()), (Status::Failed, "States.TaskFailed"));
    let attempts: Vec<(u32, u32)> = scene.run.attempts.iter().map(|a| (a.attempt, a.generation)).collect();
    assert_eq!(attempts, [(1, 1), (2, 2), (3, 3), (4, 4)]);
}

fn judged_by(exit_codes: ExitCodes) -> Definition {
    let retry = policy(vec![retrier(ErrorName::ALL, 5, 3)]);
    Definition {
        exit_codes: exit_codes.into(),
        retry,
        limits: Limits { attempt_timeout: seconds(9), ..Limits::default() },
        ..definition()
    }
}

#[test]
fn an_exit_code_that_says_nothing_to_do_ends_the_run_as_skipped() {
    let mut scene = Scene::running(judged_by(ExitCodes { skip: [99].into(), ..ExitCodes::default() }));
    scene.on(exited(1, 1)).at(5).on(Event::Permitted).on(launched(2)).on(exited(2, 99));
    assert_eq!((scene.run.status(), scene.run.attempts.len()), (Status::Skipped, 2));
    assert_eq!(scene.run.shown_cause(), Some("container `app` exited with 99, which exit_codes.skip lists"));
    assert_eq!((scene.run.shown_failure(), scene.run.shown_exit_code()), (None, Some(99)));
    assert_eq!(scene.run.attempts[1].failure, None, "nothing failed");
}

#[test]
fn an_exit_code_that_is_never_tried_again_ends_the_run_and_its_history_says_why() {
    let codes = ExitCodes { fail: [64].into(), retry: Some([75].into()), ..ExitCodes::default() };
    for (code, reason) in
        [(64, "exit_codes.fail lists 64"), (1, "of exit codes, exit_codes.retry lets only 75 be tried again, not 1")]
    {
        let mut scene = Scene::running(judged_by(codes.clone()));
        scene.on(exited(1, code));
        assert_eq!((scene.run.status(), scene.error()), (Status::Failed, "States.TaskFailed"));
        let events: Vec<&HistoryEvent> = scene.entries.iter().rev().take(2).map(|entry| &entry.event).collect();
        assert_eq!(events[1], &HistoryEvent::RetryForbidden { attempt: 1, reason: reason.into() });
        assert!(matches!(events[0], HistoryEvent::ExecutionFailed { .. }));
        assert_eq!(scene.run.retries_used, [0]);
    }
    let mut scene = Scene::running(judged_by(codes.clone()));
    scene.on(exited(1, 75));
    assert_eq!(scene.wait(), 5.0, "what is listed is the retriers'");
    let mut taken = Scene::running(judged_by(codes.clone()));
    taken.on(stopped_on_request(1, 64));
    assert_eq!(taken.wait(), 5.0, "a task that was cut short says nothing with its code");
    let mut slow = Scene::running(judged_by(codes));
    slow.at(9).on(Event::Woken).on(stopped_on_request(1, 64));
    assert_eq!((slow.wait(), slow.names()), (5.0, vec!["States.Timeout".to_owned()]), "a time-out is the retriers'");
}
