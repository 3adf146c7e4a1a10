//! Following a task: its start, its limits, its stop, its disappearance.

use super::*;

fn limited(attempt: u64, start: u64) -> Definition {
    let mut limited = definition();
    limited.limits.attempt_timeout = seconds(attempt);
    limited.limits.start_timeout = seconds(start);
    limited
}

#[test]
fn a_task_is_missing_for_five_minutes_before_it_is_lost() {
    let mut scene = Scene::running(definition());
    scene.at(300).on(Event::Missing(task(1)));
    assert!(scene.is_running(), "a fresh task may not be visible yet");
    scene.at(301).on(Event::Missing(task(1))).at(330).on(Event::Missing(task(1)));
    assert!(scene.is_running(), "it is looked for half a minute more");
    scene.on(Event::Observed(facts(1, "RUNNING"))).at(340).on(Event::Missing(task(1)));
    assert!(scene.is_running(), "what was shown again was never away");
    scene.at(370).on(Event::Missing(task(1)));
    assert_eq!(scene.names(), ["Task.Lost", "States.TaskFailed"]);
    assert_eq!(scene.wait(), 3.0);
}

#[test]
fn an_attempt_time_out_stops_the_task_and_waits_for_its_end_before_it_retries() {
    let mut timed = limited(30, 600);
    timed.retry = policy(vec![retrier(ErrorName::TIMEOUT, 5, 2)]);
    let mut scene = Scene::running(timed);
    scene.at(29).on(Event::Woken);
    assert!(scene.is_running());
    scene.at(30).on(Event::Woken);
    let reason = format!("tenacron: attempt_timeout reached, run {}", scene.run.id);
    assert_eq!(scene.run.action(scene.now), Action::Stop { tasks: &scene.tasks_since(&[1], 0), reason });
    scene.on(Event::Observed(facts(1, "RUNNING"))).at(40).on(Event::Observed(facts(1, "STOPPING")));
    assert!(scene.is_stopping(), "no retry beside a task that still runs");
    scene.at(41).on(stopped_on_request(1, 143));
    assert_eq!((scene.wait(), scene.names()), (5.0, vec!["States.Timeout".to_owned()]));
}

#[test]
fn a_stop_that_ecs_does_not_take_is_asked_for_again_soon() {
    let mut scene = Scene::running(definition());
    scene.on(cancel());
    let mut pauses = Vec::new();
    for accepted in [false, false, false, false, false, true, false] {
        let refusal = (!accepted).then(|| "StopTask was refused: AccessDeniedException".to_owned());
        scene.on(Event::StopAsked { refusal });
        let next = scene.run.wake_after(scene.now).expect("it asks again");
        pauses.push((next - scene.now).num_seconds());
        scene.now = next;
        assert!(matches!(scene.run.action(scene.now), Action::Stop { .. }));
    }
    assert_eq!(pauses, [2, 4, 8, 15, 15, 15, 2]);
    let told = scene.entries.iter().filter(|entry| matches!(entry.event, HistoryEvent::TaskStopRefused { .. }));
    assert_eq!(told.count(), 2, "once for each row of refusals");
}

#[test]
fn a_task_that_does_not_stop_is_told_again_and_again() {
    let mut scene = Scene::running(definition());
    scene.on(cancel());
    let mut told = Vec::new();
    for seconds in (0..3_000).step_by(15) {
        let before = scene.entries.len();
        scene.at(seconds).on(Event::StopAsked { refusal: None }).on(Event::Observed(facts(1, "RUNNING")));
        if scene.entries.len() > before {
            assert!(matches!(scene.entries.last().unwrap().event, HistoryEvent::TaskStopOverdue { .. }));
            told.push(seconds);
        }
    }
    assert_eq!(told, [300, 600, 1_200, 2_400]);
    assert!(scene.run.shown_cause().is_some_and(|cause| cause.contains("have not")), "{:?}", scene.run.shown_cause());
    assert!(scene.is_stopping(), "it is followed until it has stopped");
}

#[test]
fn the_stop_is_asked_for_again_every_15_seconds_until_the_task_has_stopped() {
    let mut scene = Scene::running(definition());
    scene.on(cancel());
    for round in 0..20 {
        scene.at(round * 15);
        assert!(matches!(scene.run.action(scene.now), Action::Stop { .. }), "round {round}");
        scene.on(Event::StopAsked { refusal: None });
        assert_eq!(scene.run.action(scene.now), Action::Watch(&scene.tasks_since(&[1], 0)));
        assert_eq!(scene.run.wake_after(scene.now), Some(scene.now + STOP_REPEAT));
        scene.on(Event::Observed(facts(1, "DEACTIVATING")));
    }
    scene.on(stopped_on_request(1, 0));
    assert_eq!(scene.run.status(), Status::Cancelled);
}

#[test]
fn a_success_that_races_a_stop_is_a_success_and_is_not_run_again() {
    let mut scene = Scene::running(limited(30, 600));
    scene.at(30).on(Event::Woken).on(exited(1, 0));
    assert_eq!(scene.run.status(), Status::Succeeded);
}

#[test]
fn a_task_that_our_stop_ended_is_no_success_whatever_stop_codes_are_accepted() {
    let mut lenient = limited(30, 600);
    lenient.accept_stop_codes = vec!["UserInitiated".into()];
    let mut scene = Scene::running(lenient.clone());
    scene.at(30).on(Event::Woken).at(31).on(stopped_on_request(1, 0));
    assert_eq!((scene.run.status(), scene.error()), (Status::Failed, "States.Timeout"));
    let mut scene = Scene::running(lenient);
    scene.at(5).on(stopped_on_request(1, 0));
    assert_eq!(scene.run.status(), Status::Succeeded, "somebody else's stop is what the job accepts");
}

#[test]
fn a_task_that_failed_before_its_limit_failed_although_it_was_noticed_after() {
    let mut scene = Scene::running(limited(600, 900));
    scene.at(1200).restart();
    assert!(scene.is_stopping(), "for all we know it still runs");
    let mut facts = stopped(1, Some(3));
    facts.times.stopped_at = Some(start() + TimeDelta::seconds(100));
    scene.on(Event::Observed(facts));
    assert_eq!(scene.names(), ["Task.ExitCode.3", "States.TaskFailed"]);
    assert_eq!(scene.wait(), 3.0);
}

#[test]
fn a_task_that_does_not_start_in_time_is_stopped() {
    let mut scene = Scene::running(limited(900, 60));
    scene.at(59).on(Event::Observed(facts(1, "PENDING")));
    assert!(scene.is_running());
    scene.at(61).on(Event::Observed(facts(1, "PENDING")));
    assert!(scene.is_stopping());
    scene.at(63).on(stopped_on_request(1, 137));
    assert_eq!(scene.names(), ["Task.StartTimeout", "States.Timeout"]);
    assert_eq!((scene.run.status(), scene.error()), (Status::Failed, "States.Timeout"));
}

#[test]
fn a_task_that_started_while_nobody_looked_is_not_stopped_for_it() {
    let mut scene = Scene::running(limited(900, 60));
    scene.at(61).on(Event::Woken).at(300).restart();
    assert!(scene.is_running(), "not seen running is not the same as not running");
    scene.on(Event::Observed(facts(1, "RUNNING")));
    assert!(scene.is_running());
    assert_eq!(scene.run.wake_after(scene.now), Some(start() + TimeDelta::seconds(900)));
}

#[test]
fn a_task_that_goes_down_without_having_run_has_not_started() {
    let mut scene = Scene::running(definition());
    for status in ["PROVISIONING", "PENDING", "ACTIVATING", "DEPROVISIONING"] {
        scene.on(Event::Observed(facts(1, status)));
    }
    let mut failed = stopped(1, None);
    failed.stop_code = Some("TaskFailedToStart".into());
    failed.stopped_reason = Some("CannotPullContainerError: not found".into());
    scene.on(Event::Observed(failed));
    let started = scene.entries.iter().any(|entry| matches!(entry.event, HistoryEvent::TaskStarted { .. }));
    assert!(!started);
    assert_eq!(scene.names(), ["Task.ImagePull", "States.TaskFailed"]);
}

#[test]
fn a_restart_past_a_limit_enforces_it_at_once() {
    let mut scene = Scene::running(limited(30, 600));
    scene.at(100).restart();
    assert!(matches!(scene.run.action(scene.now), Action::Stop { .. }));
    let mut late = definition();
    late.limits.timeout = seconds(60);
    let mut scene = Scene::running(late);
    scene.at(100).restart();
    assert!(matches!(scene.run.state, State::Stopping { why: StopWhy::RunTimeout, .. }));
}

#[test]
fn a_limit_that_passed_while_the_launch_was_sent_is_enforced_with_its_answer() {
    let mut late = definition();
    late.limits.timeout = seconds(60);
    let mut scene = Scene::sent(late);
    scene.at(61).on(launched(1));
    assert!(scene.is_stopping());
    scene.on(Event::Missing(task(1))).at(400).miss(1);
    assert_eq!(scene.run.status(), Status::TimedOut, "a task that vanished while stopping is over");
}

#[test]
fn a_task_that_ecs_says_we_stopped_was_stopped_by_us_whatever_its_clock_says() {
    let mut limited = definition();
    limited.limits.attempt_timeout = seconds(60);
    let mut scene = Scene::running(limited);
    scene.at(60).on(Event::Woken);
    let Action::Stop { reason, .. } = scene.run.action(scene.now) else { panic!("it is stopped") };
    let mut facts = stopped(1, Some(143));
    facts.stop_code = Some("UserInitiated".into());
    facts.stopped_reason = Some(reason);
    facts.times.stopped_at = Some(start() - TimeDelta::hours(1));
    scene.at(65).on(Event::Observed(facts));
    assert_eq!(scene.error(), "States.Timeout", "ECS's clock is an hour behind");
}
