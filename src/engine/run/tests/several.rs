//! Launches of several tasks: one request, one attempt, and an end when all of them have ended.

use super::*;

fn several(count: u32) -> Definition {
    let plain = definition();
    Definition { task: TaskSpec { count, ..plain.task.clone() }, ..plain }
}

fn placed(nths: &[u32], reasons: &[&str]) -> Event {
    let failure = |reason: &&str| LaunchFailure { reason: (*reason).into(), detail: None };
    let tasks = nths.iter().map(|nth| task(*nth)).collect();
    Event::Answered(LaunchAnswer::Launched { tasks, failures: reasons.iter().map(failure).collect() })
}

fn found_all(nths: &[u32]) -> Event {
    Event::Sought(SearchAnswer::Found(nths.iter().map(|nth| task(*nth)).collect()))
}

fn living(scene: &Scene) -> Vec<TaskArn> {
    scene.run.followed().map(|followed| followed.task.clone()).collect()
}

#[test]
fn the_run_succeeds_when_the_last_of_its_tasks_has() {
    let mut scene = Scene::sent(several(3));
    scene.on(placed(&[1, 2, 3], &[]));
    assert_eq!(living(&scene), [task(1), task(2), task(3)]);
    scene.at(5).on(Event::Observed(facts(2, "RUNNING"))).at(9).on(exited(2, 0)).at(10).on(exited(1, 0));
    assert_eq!((scene.run.status(), living(&scene)), (Status::Running, vec![task(3)]));
    scene.at(60).on(exited(3, 0));
    assert_eq!((scene.run.status(), scene.run.shown_exit_code()), (Status::Succeeded, Some(0)));
    let ended = |entry: &&Entry| matches!(entry.event, HistoryEvent::TaskEnded { .. });
    assert_eq!(scene.entries.iter().filter(ended).count(), 2, "each but the last has a line of its own");
}

#[test]
fn one_failed_task_fails_the_attempt_but_nothing_is_retried_beside_the_others() {
    let mut scene = Scene::sent(several(3));
    scene.on(placed(&[1, 2, 3], &[])).at(5).on(exited(2, 7)).at(6).on(exited(3, 0)).at(7);
    assert_eq!((scene.run.status(), living(&scene)), (Status::Running, vec![task(1)]));
    scene.at(20).on(exited(1, 9));
    assert_eq!((scene.wait(), scene.run.shown_exit_code()), (3.0, Some(7)));
    assert_eq!(scene.names(), ["Task.ExitCode.7", "States.TaskFailed"]);
    let attempt = scene.run.attempts.last().unwrap();
    assert!(attempt.failure.as_ref().unwrap().cause.starts_with("2 of 3 tasks failed; the first: "), "{attempt:?}");
    assert_eq!(attempt.task, Some(task(2)), "the exit code and the task that is shown belong together");
    assert_eq!(attempt.ends.iter().map(|end| end.exit_code).collect::<Vec<_>>(), [Some(7), Some(0), Some(9)]);
    scene.at(23).on(Event::Permitted);
    assert_eq!((scene.launch().generation, scene.launch().request.task.count), (2, 3));
}

#[test]
fn a_launch_that_was_placed_in_part_is_followed_to_its_end_and_is_no_success() {
    let mut scene = Scene::sent(several(3));
    scene.on(placed(&[1, 2], &["RESOURCE:MEMORY"])).at(5).on(exited(1, 0)).at(6).on(exited(2, 0));
    // What ECS said of the third may be wrong, and a retry beside a living task is what never happens.
    assert!(scene.is_seeking());
    scene.on(nothing());
    assert_eq!((scene.wait(), scene.names()[0].as_str()), (10.0, "Task.Placement"));
    let cause = &scene.run.attempts.last().unwrap().failure.as_ref().unwrap().cause;
    assert_eq!(cause, "RunTask started only 2 of its tasks: RESOURCE:MEMORY");
}

#[test]
fn a_task_that_came_up_although_it_was_said_to_have_failed_completes_the_launch() {
    let mut scene = Scene::sent(several(2));
    scene.on(placed(&[1], &["AGENT"])).at(5).on(exited(1, 0)).on(found_all(&[1, 2]));
    assert_eq!(
        (scene.run.status(), living(&scene)),
        (Status::Running, vec![task(2)]),
        "the ended one is not followed again"
    );
    scene.at(9).on(exited(2, 0));
    assert_eq!(scene.run.status(), Status::Succeeded);
}

#[test]
fn fewer_tasks_than_asked_for_are_no_success_even_if_ecs_says_nothing_of_the_others() {
    let mut scene = Scene::sent(several(2));
    scene.on(no_answer(true)).at(10).on(Event::Permitted).on(placed(&[1], &[])).at(15).on(exited(1, 0));
    scene.on(found_all(&[1]));
    assert_eq!(scene.names(), ["AmazonECS.Unknown", "ECS.AmazonECSException"]);
    assert_eq!(scene.run.attempts.last().unwrap().failure.as_ref().unwrap().cause, "ECS named 1 of 2 tasks");
}

#[test]
fn tasks_of_which_ecs_may_have_forgotten_are_not_launched_again() {
    let mut scene = Scene::sent(several(2));
    scene.on(no_answer(true)).at(10).on(Event::Permitted).on(placed(&[1], &[])).at(3_600).on(exited(1, 0));
    scene.find_nothing();
    assert_eq!((scene.run.status(), scene.error()), (Status::Unknown, "Tenacron.LaunchUnknown"));
}

#[test]
fn a_limit_stops_all_that_live_and_the_retry_waits_for_the_last() {
    let limits = Limits { attempt_timeout: seconds(30), ..Limits::default() };
    let mut scene = Scene::sent(Definition { limits, ..several(3) });
    scene.on(placed(&[1, 2, 3], &[])).at(10).on(exited(1, 0)).at(30).on(Event::Woken);
    let reason = format!("tenacron: attempt_timeout reached, run {}", scene.run.id);
    assert_eq!(scene.run.action(scene.now), Action::Stop { tasks: &scene.tasks_since(&[2, 3], 0), reason });
    scene.on(Event::StopAsked { refusal: None }).at(31).on(stopped_on_request(3, 143));
    assert!(scene.is_stopping());
    scene.at(33).on(stopped_on_request(2, 143));
    assert_eq!((scene.run.status(), scene.error()), (Status::Failed, "States.Timeout"));
}

#[test]
fn one_task_that_does_not_start_stops_them_all() {
    let limits = Limits { start_timeout: seconds(60), ..Limits::default() };
    let mut scene = Scene::sent(Definition { limits, ..several(2) });
    scene.on(placed(&[1, 2], &[])).at(5).on(Event::Observed(facts(1, "RUNNING")));
    scene.at(61).on(Event::Observed(facts(2, "PROVISIONING")));
    assert!(scene.is_stopping());
    scene.at(62).on(stopped_on_request(1, 143)).on(stopped_on_request(2, 143));
    assert_eq!(scene.names(), ["Task.StartTimeout", "States.Timeout"]);
}

#[test]
fn a_lost_task_fails_the_attempt_when_the_others_have_ended() {
    let mut scene = Scene::sent(several(2));
    scene.on(placed(&[1, 2], &[])).at(390).on(exited(1, 0)).at(400).miss(2);
    let attempt = scene.run.attempts.last().unwrap();
    assert_eq!(
        (&attempt.task, attempt.exit_code, attempt.containers.len()),
        (&Some(task(2)), None, 0),
        "not those of the good one"
    );
    assert_eq!(scene.names(), ["Task.Lost", "States.TaskFailed"]);
}

#[test]
fn no_more_than_were_asked_for_are_adopted() {
    let mut scene = Scene::sent(several(2));
    scene.on(no_answer(true)).at(10).on(Event::Permitted);
    let conflict = LaunchAnswer::Conflict { tasks: vec![task(1), task(2), task(3)], message: String::new() };
    scene.on(Event::Answered(conflict));
    assert_eq!(living(&scene), [task(1), task(2)]);
    let HistoryEvent::TaskAdopted { others, .. } = &scene.entries.last().unwrap().event else {
        panic!("{:?}", scene.entries)
    };
    assert_eq!(others, &[task(2), task(3)]);
}

#[test]
fn states_of_one_task_are_stored_as_they_always_were() {
    let stored =
        r#"{"state":"running","task":"arn","known_since":"2025-06-15T15:06:40Z","started":true,"missing_since":null}"#;
    let state: State = serde_json::from_str(stored).unwrap();
    assert_eq!(serde_json::to_string(&state).unwrap(), stored);
    let older = r#"{"state":"stopping","task":"arn","known_since":"2025-06-15T15:06:40Z","why":{"why":"cancelled"},"ask_at":"2025-06-15T15:06:40Z","missing_since":null}"#;
    assert!(matches!(serde_json::from_str(older), Ok(State::Stopping { since: None, alerts: 0, .. })));
    let mut scene = Scene::sent(several(3));
    scene.on(placed(&[1, 2, 3], &[]));
    let text = serde_json::to_string(&scene.run.state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), scene.run.state);
}

#[test]
fn exit_codes_of_several_tasks_are_weighed_together() {
    let exit_codes = ExitCodes { skip: [99].into(), fail: [64].into(), ..ExitCodes::default() };
    let ends = |codes: [i32; 3]| {
        let mut scene = Scene::sent(Definition { exit_codes: exit_codes.clone().into(), ..several(3) });
        scene.on(placed(&[1, 2, 3], &[]));
        for (nth, code) in (1..).zip(codes) {
            scene.on(exited(nth, code));
        }
        (scene.run.status(), scene.run.shown_exit_code())
    };
    assert_eq!(ends([0, 0, 0]), (Status::Succeeded, Some(0)));
    assert_eq!(ends([0, 99, 0]), (Status::Skipped, Some(99)));
    assert_eq!(ends([99, 1, 0]), (Status::Waiting, Some(1)), "what failed counts first");
    assert_eq!(ends([1, 0, 64]), (Status::Failed, Some(1)), "a retry would launch all of them");
}
