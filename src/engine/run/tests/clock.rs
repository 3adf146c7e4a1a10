//! A wall clock that is set back or jumps ahead: waits stay as long, launches as old, and early answers prove no more.

use super::*;

fn set_back(scene: &mut Scene, seconds: i64) {
    scene.now -= TimeDelta::seconds(seconds);
    assert!(scene.run.adjust(ClockChange::SetBack(TimeDelta::seconds(seconds)), scene.now), "the run moves along");
}

#[test]
fn a_clock_that_was_set_back_makes_the_age_of_a_launch_unknown() {
    let mut scene = Scene::sent(definition());
    scene.at(-3600).restart();
    assert!(matches!(scene.run.state, State::Seeking { why: Seek::TooOld, .. }), "{:?}", scene.run.state);
    let mut scene = Scene::sent(definition());
    scene.at(-2).restart();
    assert!(!scene.is_seeking(), "a small correction alone is not a lost clock; the driver knows whether it is alone");
}

#[test]
fn a_lost_age_ends_blind_resending_of_what_is_open() {
    let lose = |scene: &mut Scene| scene.run.adjust(ClockChange::AgeLost, scene.now);
    let mut scene = Scene::sent(definition());
    scene.on(no_answer(true)).at(-3);
    assert!(lose(&mut scene));
    scene.at(11).on(Event::Permitted);
    assert!(matches!(scene.run.state, State::Seeking { why: Seek::TooOld, .. }));
    assert_eq!(scene.run.attempts[1].launched_at, Some(start()), "the limits count from the real send");
    let mut scene = Scene::sent(definition());
    assert!(lose(&mut scene));
    scene.on(launched(1));
    assert!(scene.is_running() && !lose(&mut scene), "an answer under way is still taken");
    let mut scene = Scene::sent(definition());
    scene.on(denied());
    assert!(!lose(&mut scene), "what is not open is not concerned");
}

#[test]
fn small_corrections_add_up_to_the_age_of_a_launch() {
    let mut scene = Scene::sent(definition());
    scene.on(no_answer(true));
    for _ in 0..15 {
        scene.now += TimeDelta::seconds(240);
        set_back(&mut scene, 240);
    }
    assert_eq!(scene.now, start(), "by the clock no time has passed");
    scene.at(10).on(Event::Permitted);
    assert!(matches!(scene.run.state, State::Seeking { why: Seek::TooOld, .. }), "an hour has passed in truth");
}

#[test]
fn a_wait_stays_as_long_on_a_clock_that_is_set_back() {
    let mut scene = Scene::sent(definition());
    scene.on(denied()).at(4);
    set_back(&mut scene, 7200);
    assert_eq!(scene.wait(), 6.0);
}

#[test]
fn limits_of_time_stay_as_long_on_a_clock_that_is_set_back() {
    let mut limited = definition();
    limited.limits = Limits { timeout: seconds(900), attempt_timeout: seconds(600), ..Limits::default() };
    let mut scene = Scene::running(limited);
    scene.at(60);
    set_back(&mut scene, 7200);
    let left = scene.run.wake_after(scene.now).map(|at| at - scene.now);
    assert_eq!(left, Some(TimeDelta::seconds(540)));
    scene.now += TimeDelta::seconds(540);
    scene.on(Event::Woken);
    assert!(scene.is_stopping());
    scene.on(Event::StopAsked { refusal: None });
    set_back(&mut scene, 7200);
    assert_eq!(scene.run.wake_after(scene.now), Some(scene.now + STOP_REPEAT), "it is asked again as soon");
}

#[test]
fn a_look_up_goes_on_as_soon_on_a_clock_that_is_set_back() {
    let mut scene = Scene::sent(Definition { retry: policy(vec![]), ..definition() });
    scene.on(no_answer(true)).on(nothing());
    set_back(&mut scene, 7200);
    assert_eq!(scene.run.wake_after(scene.now), Some(scene.now + LOOKUP_SETTLE / 2));
    scene.find_nothing();
    assert_eq!(scene.run.status(), Status::Failed);
}

#[test]
fn a_jump_ahead_does_not_make_a_task_that_is_not_visible_yet_a_lost_one() {
    let jumped = |scene: &mut Scene| {
        scene.now += TimeDelta::hours(1);
        scene.run.adjust(ClockChange::Ahead, scene.now)
    };
    let mut scene = Scene::running(definition());
    assert!(jumped(&mut scene));
    scene.on(Event::Missing(task(1)));
    assert!(scene.is_running(), "it was launched a second ago, whatever the clock says");
    scene.now += TimeDelta::seconds(301);
    scene.miss(1);
    assert!(scene.names().contains(&"Task.Lost".to_owned()));
    let mut scene = Scene::running(definition());
    scene.on(Event::Observed(facts(1, "RUNNING")));
    assert!(!jumped(&mut scene), "a task that has been seen is visible");
    scene.miss(1);
    assert!(scene.names().contains(&"Task.Lost".to_owned()));
}

#[test]
fn a_jump_ahead_does_not_make_an_early_look_a_late_one() {
    let mut scene = Scene::sent(Definition { retry: policy(vec![]), ..definition() });
    scene.on(no_answer(true)).at(90);
    assert!(scene.run.adjust(ClockChange::Ahead, scene.now));
    scene.on(nothing());
    assert!(scene.is_seeking(), "ECS has had no time to show the task");
    scene.on(found(1));
    assert!(scene.is_running());
}

#[test]
fn a_restart_gives_a_task_that_was_never_seen_its_time_to_become_visible() {
    let mut scene = Scene::running(definition());
    scene.at(3600).restart().on(Event::Missing(task(1)));
    assert!(scene.is_running(), "the clock may have been put right meanwhile");
    scene.at(3600 + 301).miss(1);
    assert!(scene.names().contains(&"Task.Lost".to_owned()));
}

#[test]
fn what_is_over_or_has_not_begun_has_nothing_to_adjust() {
    for change in [ClockChange::SetBack(TimeDelta::hours(1)), ClockChange::AgeLost, ClockChange::Ahead] {
        let mut due = Scene::new(definition());
        assert!(!due.run.adjust(change, due.now));
        let mut over = Scene::running(definition());
        over.on(exited(1, 0));
        assert!(!over.run.adjust(change, over.now));
    }
}
