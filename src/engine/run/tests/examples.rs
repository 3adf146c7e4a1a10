//! The worked examples 26 to 30 of `step-functions.md`: deadlines and attempt time-outs, to the second.

use super::*;

fn throttled() -> Event {
    refused("ThrottlingException", 400)
}

#[test]
fn example_26_a_wait_that_would_outlive_the_deadline_ends_at_the_deadline() {
    let limits = Limits { timeout: seconds(60), ..Limits::default() };
    let mut scene = Scene::sent(Definition { limits, ..definition() });
    scene.on(throttled());
    assert_eq!(scene.wait(), 10.0);
    scene.at(10).on(Event::Permitted).on(throttled());
    assert_eq!(scene.wait(), 20.0);
    scene.at(30).on(Event::Permitted).on(throttled());
    assert_eq!(scene.run.wake_after(scene.now), Some(start() + TimeDelta::seconds(60)));
    scene.at(60).on(Event::Woken);
    assert_eq!((scene.run.status(), scene.error(), scene.finished_after()), (Status::TimedOut, "States.Timeout", 60));
    assert_eq!(scene.run.attempts.len(), 3, "no fourth attempt");
}

#[test]
fn example_27_a_hanging_attempt_is_stopped_and_not_retried_by_the_readme_policy() {
    let limits = Limits { attempt_timeout: seconds(30), ..Limits::default() };
    let mut scene = Scene::running(Definition { limits, ..definition() });
    assert_eq!(scene.run.wake_after(scene.now), Some(start() + TimeDelta::seconds(30)));
    scene.at(30).on(Event::Woken).at(34).on(stopped_on_request(1, 137));
    assert_eq!((scene.run.status(), scene.error(), scene.finished_after()), (Status::Failed, "States.Timeout", 34));
}

#[test]
fn example_28_the_attempt_time_out_starts_anew_with_every_attempt() {
    let limits = Limits { attempt_timeout: seconds(30), ..Limits::default() };
    let retry = policy(vec![retrier(ErrorName::TIMEOUT, 5, 2)]);
    let mut scene = Scene::running(Definition { limits, retry, ..definition() });
    for (nth, launched_at) in [(1, 0), (2, 35), (3, 70)] {
        assert_eq!(scene.run.attempts.last().unwrap().launched_at, Some(start() + TimeDelta::seconds(launched_at)));
        scene.at(launched_at + 30).on(Event::Woken).on(stopped_on_request(nth, 137));
        if nth < 3 {
            scene.at(launched_at + 35).on(Event::Permitted).on(launched(nth + 1));
        }
    }
    assert_eq!((scene.run.status(), scene.error(), scene.finished_after()), (Status::Failed, "States.Timeout", 100));
}

#[test]
fn example_29_a_run_time_out_ends_as_timed_out_once_the_task_has_stopped() {
    let limits = Limits { timeout: seconds(900), ..Limits::default() };
    let mut scene = Scene::running(Definition { limits, ..definition() });
    scene.at(899).on(Event::Woken);
    assert!(scene.is_running());
    scene.at(900).on(Event::Woken).at(905).on(stopped_on_request(1, 143));
    assert_eq!((scene.run.status(), scene.error()), (Status::TimedOut, "States.Timeout"));
}

#[test]
fn example_30_the_wait_begins_when_the_attempt_ends() {
    let mut scene = Scene::running(definition());
    scene.at(120).on(exited(1, 1));
    assert_eq!(scene.run.wake_after(scene.now), Some(start() + TimeDelta::seconds(123)));
    scene.at(123).on(Event::Permitted).on(launched(2)).at(124).on(exited(2, 0));
    assert_eq!(scene.run.status(), Status::Succeeded);
}
