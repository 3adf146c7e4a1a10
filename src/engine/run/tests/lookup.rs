//! Look-ups: before the end, of a launch that is too old, and what nothing found means.

use super::*;

fn no_retries() -> Definition {
    Definition { retry: policy(vec![]), ..definition() }
}

#[test]
fn a_run_whose_budget_is_used_up_looks_before_it_ends() {
    let mut scene = Scene::sent(no_retries());
    scene.on(no_answer(true));
    assert_eq!(scene.run.status(), Status::Launching);
    assert_eq!(scene.run.action(scene.now), Action::Find(scene.launch()));
    for second in [0, 15, 23, 27] {
        scene.at(second).on(nothing());
        assert!(scene.is_seeking(), "nothing found at second {second} is too early to count");
    }
    scene.at(32).on(nothing());
    assert_eq!(scene.error(), "ECS.SdkClientException");
    assert_eq!(scene.run.status(), Status::Failed);
}

#[test]
fn a_slow_look_shows_what_there_was_when_it_began() {
    let mut scene = Scene::sent(no_retries());
    scene.on(no_answer(true)).at(45).on(nothing());
    assert!(scene.is_seeking(), "it began at second 0, when the request may still have been under way");
    assert_eq!(scene.run.action(scene.now), Action::Find(scene.launch()), "the next look counts");
    scene.at(46).on(found(3));
    assert!(scene.is_running());
}

#[test]
fn a_task_found_before_the_end_is_followed_to_its_own_end() {
    let mut scene = Scene::sent(no_retries());
    scene.on(no_answer(true)).at(3).on(found(8));
    assert!(scene.is_running());
    assert_eq!(scene.run.attempts[0].failure, None, "the attempt has not failed after all");
    scene.at(90).on(exited(8, 0));
    assert_eq!(scene.run.status(), Status::Succeeded);
}

#[test]
fn an_adopted_attempt_forgets_the_retry_that_was_granted_for_it() {
    let mut scene = Scene::sent(definition());
    scene.on(no_answer(true));
    assert_eq!(scene.run.attempts[0].retrier, Some(0));
    scene.at(1).on(cancel()).at(2).on(found(8));
    let attempt = &scene.run.attempts[0];
    assert_eq!((attempt.retrier, attempt.retry_delay, &attempt.failure), (None, None, &None));
}

#[test]
fn an_unanswered_look_up_neither_ends_a_run_nor_launches_and_is_told_once() {
    let mut scene = Scene::sent(no_retries());
    scene.on(no_answer(true));
    let before = scene.run.history_len;
    for (nth, pause) in [3, 6, 12, 24, 48, 48, 48].into_iter().enumerate() {
        scene.at((nth as i64 + 1) * 60).on(Event::Sought(SearchAnswer::no_answer("no route")));
        assert!(scene.is_seeking());
        assert_eq!(scene.run.wake_after(scene.now), Some(scene.now + TimeDelta::seconds(pause)));
    }
    assert_eq!(scene.run.history_len, before + 1);
    assert!(scene.run.shown_cause().is_some_and(|cause| cause.contains("ECS does not answer")), "listings say why");
}

#[test]
fn a_launch_too_old_to_send_is_adopted_if_ecs_still_shows_it() {
    let mut scene = Scene::sent(definition());
    scene.at(3 * 3600).restart().on(found(1)).on(exited(1, 0));
    assert_eq!(scene.run.status(), Status::Succeeded);
}

#[test]
fn a_launch_too_old_to_send_that_ecs_does_not_show_is_unknown() {
    let mut scene = Scene::sent(definition());
    scene.at(3 * 3600).restart().find_nothing();
    assert_eq!((scene.run.status(), scene.error()), (Status::Unknown, "Tenacron.LaunchUnknown"));
}

#[test]
fn on_unknown_rerun_launches_a_new_generation() {
    let mut scene = Scene::sent(Definition { on_unknown: OnUnknown::Rerun, ..definition() });
    scene.at(3 * 3600).restart().find_nothing();
    assert_eq!(scene.run.action(scene.now), Action::Begin);
    scene.on(Event::Permitted);
    assert_eq!((scene.launch().generation, scene.run.attempts.len()), (2, 2));
}

#[test]
fn a_retrier_that_names_launch_unknown_retries_it_before_on_unknown_is_asked() {
    let retry = policy(vec![retrier(ErrorName::LAUNCH_UNKNOWN, 7, 1), retrier(ErrorName::ALL, 1, 3)]);
    let mut scene = Scene::sent(Definition { retry, ..definition() });
    scene.at(3 * 3600).restart().find_nothing();
    assert_eq!(scene.wait(), 7.0);
    scene.at(3 * 3600 + 37).on(Event::Permitted).at(6 * 3600).restart().find_nothing();
    assert_eq!(scene.run.status(), Status::Unknown, "the wildcard behind it does not take it");
}

#[test]
fn an_unknown_launch_is_called_unknown_even_past_the_deadline_or_after_a_cancel() {
    let mut late = definition();
    late.limits.timeout = seconds(900);
    late.on_unknown = OnUnknown::Rerun;
    let mut scene = Scene::sent(late);
    scene.at(3 * 3600).restart().find_nothing();
    assert_eq!(scene.run.status(), Status::Unknown, "nobody knows, and no time is left to run it again");
    let mut scene = Scene::sent(definition());
    scene.on(cancel()).at(3 * 3600).restart().find_nothing();
    assert_eq!(scene.run.status(), Status::Unknown, "a task may run that nobody stopped");
}

#[test]
fn a_last_look_up_that_was_interrupted_for_hours_proves_nothing() {
    let mut scene = Scene::sent(no_retries());
    scene.on(no_answer(true)).at(3 * 3600).restart().find_nothing();
    assert_eq!((scene.run.status(), scene.error()), (Status::Unknown, "Tenacron.LaunchUnknown"));
}

#[test]
fn a_task_adopted_after_a_long_wait_keeps_the_attempt_timeout_of_its_launch() {
    let mut slow = definition();
    slow.retry = policy(vec![retrier(ErrorName::SDK_CLIENT, 3600, 3)]);
    slow.limits.attempt_timeout = seconds(2 * 3600);
    let mut scene = Scene::sent(slow);
    scene.on(no_answer(true)).at(3600).on(Event::Permitted).on(found(1));
    assert!(scene.is_running());
    assert_eq!(scene.run.wake_after(scene.now), Some(start() + TimeDelta::hours(2)));
    scene.at(2 * 3600).on(Event::Woken);
    assert!(scene.is_stopping());
}

#[test]
fn a_cancel_during_a_look_up_stops_the_task_that_is_found() {
    let mut scene = Scene::sent(no_retries());
    scene.on(no_answer(true)).at(1).on(cancel()).at(3).on(found(2));
    assert!(scene.is_stopping());
    scene.at(5).on(stopped_on_request(2, 143));
    assert_eq!(scene.run.status(), Status::Cancelled);
}

#[test]
fn a_deadline_that_passes_during_a_look_up_stops_the_task_that_is_found() {
    let mut late = no_retries();
    late.limits.timeout = seconds(5);
    let mut scene = Scene::sent(late);
    scene.on(no_answer(true)).at(6).on(found(2));
    assert!(scene.is_stopping());
    scene.on(stopped_on_request(2, 137));
    assert_eq!(scene.run.status(), Status::TimedOut);
}
