//! Launching exactly once: tokens, generations, and what each answer to RunTask leads to.

use super::*;

fn generations(scene: &Scene) -> Vec<u32> {
    scene.run.attempts.iter().map(|attempt| attempt.generation).collect()
}

#[test]
fn a_run_is_launched_followed_and_succeeds() {
    let mut scene = Scene::new(definition());
    assert_eq!((scene.run.status(), scene.run.action(scene.now)), (Status::Due, Action::Begin));
    scene.on(Event::Permitted);
    assert_eq!(scene.run.status(), Status::Launching);
    assert_eq!(scene.run.action(scene.now), Action::Launch(scene.launch()));
    scene.at(1).on(launched(1));
    assert_eq!(scene.run.action(scene.now), Action::Watch(&scene.tasks(&[1])));
    scene.at(2).on(Event::Observed(facts(1, "PENDING"))).on(Event::Observed(facts(1, "RUNNING")));
    scene.on(Event::Observed(facts(1, "RUNNING"))).at(9).on(exited(1, 0));
    assert_eq!(scene.outcome(), &Outcome::Succeeded);
    assert_eq!(scene.run.action(scene.now), Action::Rest);
    let told: Vec<String> = scene.entries.iter().map(|entry| format!("{:?}", entry.event)).collect();
    let kinds: Vec<&str> = told.iter().map(|text| text.split(' ').next().unwrap()).collect();
    let expected = ["ExecutionStarted", "TaskScheduled", "TaskSubmitted", "TaskStarted", "TaskSucceeded"];
    assert_eq!(kinds[..5], expected);
    assert_eq!(kinds[5], "ExecutionSucceeded");
    assert_eq!(scene.run.history_len, 6);
}

#[test]
fn the_token_follows_from_instance_run_and_generation_alone() {
    let token = |instance: &str, at: i64, generation: u32, later: i64| {
        let firing = Firing::of_schedule(&firing().job, start() + TimeDelta::seconds(at), Trigger::Schedule);
        let instance = Instance::new(instance).unwrap();
        let (run, _) = Run::due(firing, instance, Arc::new(definition()), start());
        Launch::freeze(&run, generation, start() + TimeDelta::seconds(later)).request
    };
    let first = token("prod", 0, 1, 0);
    assert_eq!(first, token("prod", 0, 1, 999), "the same launch, built later, is the same request");
    let others = [token("test", 0, 1, 0), token("prod", 1, 1, 0), token("prod", 0, 2, 0)];
    for other in &others {
        assert_ne!(first.client_token, other.client_token);
        assert_ne!(first.started_by, other.started_by);
    }
    let text = first.client_token.as_str();
    assert!(text.len() <= 64 && text.bytes().all(|byte| (33..=126).contains(&byte)), "{text}");
    let hex = first.started_by.strip_prefix("tenacron/").unwrap();
    assert!(hex.len() == 16 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", first.started_by);
}

#[test]
fn the_request_carries_the_marks_of_the_run_and_the_users_own() {
    let scene = Scene::sent(definition());
    let request = &scene.launch().request.task;
    let tags = [
        ("team", "billing"),
        ("tenacron:instance", "prod"),
        ("tenacron:job", "nightly"),
        ("tenacron:run", "nightly-20250615T150640Z"),
        ("tenacron:scheduled-at", "2025-06-15T15:06:40Z"),
        ("tenacron:attempt", "1"),
    ];
    assert_eq!(request.tags, tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    let variables = [
        ("TENACRON_JOB", "nightly"),
        ("TENACRON_RUN_ID", "nightly-20250615T150640Z"),
        ("TENACRON_SCHEDULED_AT", "2025-06-15T15:06:40Z"),
        ("TENACRON_ATTEMPT", "1"),
    ];
    let expected = variables.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    assert_eq!(request.containers[0].environment, expected);
}

#[test]
fn marks_can_be_switched_off() {
    let mut plain = definition();
    (plain.task.add_tags, plain.task.add_environment) = (false, false);
    let scene = Scene::sent(plain.clone());
    assert_eq!(scene.launch().request.task, plain.task);
}

#[test]
fn an_ambiguous_answer_makes_the_retry_send_the_same_bytes_again() {
    for ambiguous in [no_answer(true), refused("ServerException", 500), refused("ServiceUnavailable", 503)] {
        let mut scene = Scene::sent(definition());
        let before = Arc::clone(&scene.launch().request);
        scene.at(1).on(ambiguous);
        assert!(scene.launch().unresolved);
        scene.at(11).on(Event::Woken).on(Event::Permitted);
        assert_eq!(serde_json::to_string(&before).unwrap(), serde_json::to_string(&scene.launch().request).unwrap());
        assert_eq!(generations(&scene), [1, 1]);
        assert_eq!(scene.launch().first_sent_at, start(), "the token ages from its first send");
    }
}

#[test]
fn an_answer_that_is_neither_a_task_nor_a_4xx_is_ambiguous() {
    for status in [200, 302, 500, 599] {
        let mut scene = Scene::sent(definition());
        scene.on(refused("Unreadable", status));
        assert!(scene.launch().unresolved, "status {status}");
    }
}

#[test]
fn a_definite_refusal_makes_the_retry_a_new_generation() {
    let mut scene = Scene::sent(definition());
    scene.at(1).on(denied());
    assert!(!scene.launch().unresolved);
    scene.at(11).on(Event::Permitted);
    assert_eq!(generations(&scene), [1, 2]);
}

#[test]
fn a_throttle_after_an_ambiguous_answer_leaves_the_launch_unresolved() {
    let mut scene = Scene::sent(definition());
    scene.at(1).on(no_answer(true)).at(11).on(Event::Permitted).on(refused("ThrottlingException", 400));
    assert!(scene.launch().unresolved, "the throttle answers the second send, not the first");
    scene.at(31).on(Event::Permitted);
    assert_eq!(generations(&scene), [1, 1, 1]);
    scene.on(launched(7));
    assert!(!scene.launch().unresolved);
}

#[test]
fn a_request_that_never_left_is_sent_again_and_its_token_does_not_age() {
    let mut slow = definition();
    slow.retry = policy(vec![retrier(ErrorName::SDK_CLIENT, 3600, 3)]);
    let mut scene = Scene::sent(slow);
    scene.at(1).on(no_answer(false));
    assert!(!scene.launch().unresolved);
    scene.at(3601).on(Event::Permitted);
    assert_eq!((scene.run.status(), generations(&scene)), (Status::Launching, vec![1, 1]));
    assert_eq!(scene.launch().first_sent_at, scene.now);
}

#[test]
fn a_request_that_never_left_ends_a_run_without_a_look_up() {
    let mut strict = definition();
    strict.retry = policy(vec![]);
    let mut scene = Scene::sent(strict);
    scene.on(no_answer(false));
    assert_eq!(scene.error(), "ECS.SdkClientException");
}

#[test]
fn a_conflict_adopts_the_task_that_it_names() {
    let mut scene = Scene::sent(definition());
    let message = "token in use".to_owned();
    scene.on(Event::Answered(LaunchAnswer::Conflict { tasks: vec![task(4), task(5)], message }));
    assert_eq!(scene.run.followed_task(), Some(&task(4)));
    assert_eq!(scene.run.attempts[0].failure, None);
    let adopted = scene.entries.iter().any(|entry| {
        matches!(&entry.event, HistoryEvent::TaskAdopted { others, reason, .. }
            if *others == [task(5)] && reason.contains("ConflictException"))
    });
    assert!(adopted, "the history names the conflict and the other task");
}

#[test]
fn a_conflict_without_tasks_never_bumps_the_token() {
    let mut scene = Scene::sent(definition());
    scene.on(Event::Answered(LaunchAnswer::Conflict { tasks: vec![], message: String::new() }));
    assert!(scene.launch().unresolved);
    scene.at(10).on(Event::Permitted);
    assert_eq!(generations(&scene), [1, 1]);
}

#[test]
fn failures_without_a_ghost_are_the_attempts_failure_and_need_a_new_token() {
    let mut scene = Scene::sent(definition());
    let first = scene.launch().request.client_token.clone();
    scene.on(failures());
    assert_eq!(scene.run.action(scene.now), Action::Find(scene.launch()));
    scene.on(nothing());
    assert_eq!(scene.names(), ["Task.Placement", "AmazonECS.Unknown", "ECS.AmazonECSException"]);
    assert_eq!(scene.wait(), 10.0, "what ECS refuses backs off");
    scene.at(10).on(Event::Woken).on(nothing()).on(Event::Permitted);
    assert_eq!(generations(&scene), [1, 2]);
    assert_ne!(scene.launch().request.client_token, first);
}

#[test]
fn a_ghost_behind_failures_is_adopted_and_costs_no_retry() {
    let mut scene = Scene::sent(definition());
    scene.on(failures()).on(Event::Sought(SearchAnswer::no_answer("throttled")));
    assert!(scene.is_seeking(), "an unanswered look-up proves nothing");
    assert_eq!(scene.run.action(scene.now), Action::Rest);
    assert_eq!(scene.run.wake_at(), Some(scene.now + LOOKUP_PAUSE));
    scene.at(3).on(Event::Sought(SearchAnswer::no_answer("throttled")));
    assert_eq!(scene.run.wake_at(), Some(scene.now + LOOKUP_PAUSE * 2), "the pause grows");
    scene.at(9).on(found(9)).at(60).on(exited(9, 0));
    assert_eq!(scene.outcome(), &Outcome::Succeeded);
    assert_eq!((scene.run.attempts.len(), scene.run.retries_used.iter().sum::<u32>()), (1, 0));
}

#[test]
fn a_ghost_that_shows_up_during_the_wait_is_adopted_before_the_next_generation() {
    let mut scene = Scene::sent(definition());
    scene.on(failures()).on(nothing()).at(9).on(Event::Woken);
    assert_eq!(scene.run.wake_after(scene.now), Some(start() + TimeDelta::seconds(10)));
    scene.at(10).on(Event::Woken);
    assert!(matches!(scene.run.state, State::Seeking { why: Seek::BeforeNext { .. }, .. }), "{:?}", scene.run.state);
    assert_eq!(scene.run.action(scene.now), Action::Find(scene.launch()));
    scene.at(11).on(Event::Sought(SearchAnswer::no_answer("throttled")));
    assert!(scene.is_seeking(), "an unanswered look-up launches nothing");
    scene.at(14).on(found(9)).at(60).on(exited(9, 0));
    assert_eq!((scene.outcome(), scene.run.attempts.len()), (&Outcome::Succeeded, 1));
    assert_eq!(scene.run.retries_used, [0, 0], "the retry that was granted is given back");
}

#[test]
fn the_last_look_for_a_ghost_heeds_a_cancel_and_the_clock() {
    let looking = || {
        let mut scene = Scene::sent(definition());
        scene.on(failures()).on(nothing()).at(10).on(Event::Woken);
        scene
    };
    let mut scene = looking();
    scene.on(cancel()).on(nothing());
    assert!(matches!(scene.run.state, State::Seeking { why: Seek::BeforeEnd { .. }, .. }), "{:?}", scene.run.state);
    scene.find_nothing();
    assert_eq!(scene.run.status(), Status::Cancelled);
    let mut scene = looking();
    scene.now -= TimeDelta::hours(1);
    scene.run.adjust(ClockChange::SetBack(TimeDelta::hours(1)), scene.now);
    scene.on(nothing());
    assert_eq!(scene.run.action(scene.now), Action::Begin, "the launch is due as it was");
}

#[test]
fn a_wait_after_failures_never_misses_its_look() {
    let mut scene = Scene::sent(definition());
    scene.on(failures()).on(nothing()).at(11);
    assert_eq!(scene.run.action(scene.now), Action::Rest, "no permit is wanted before the look");
    assert_eq!(scene.run.wake_after(scene.now), Some(scene.now + TimeDelta::milliseconds(1)));
    scene.restart();
    assert!(scene.is_seeking());
}

#[test]
fn a_run_that_would_end_after_failures_looks_for_a_late_ghost_first() {
    let strict = || Definition { retry: policy(vec![]), ..definition() };
    let mut scene = Scene::sent(strict());
    scene.on(failures()).on(nothing());
    assert!(matches!(scene.run.state, State::Seeking { why: Seek::BeforeEnd { .. }, .. }), "{:?}", scene.run.state);
    scene.at(3).on(nothing()).at(6).on(found(9)).at(60).on(exited(9, 0));
    assert_eq!(scene.outcome(), &Outcome::Succeeded);
    let mut scene = Scene::sent(strict());
    scene.on(failures()).on(nothing()).at(3 * 3600).restart().find_nothing();
    assert_eq!(scene.error(), "AmazonECS.Unknown", "ECS had answered, so nothing found proves what it said");
    let mut scene = Scene::sent(definition());
    scene.on(failures()).on(nothing()).at(5).on(cancel());
    assert!(scene.is_seeking(), "a cancelled run waits for the ghost as well");
}

#[test]
fn a_4xx_without_an_error_of_ecs_is_no_refusal() {
    let mut scene = Scene::sent(definition());
    scene.on(Event::Answered(LaunchAnswer::Refused { code: None, message: "timed out".into(), status: 408 }));
    assert!(scene.launch().unresolved, "what answered was not ECS, so the request may have reached it");
    scene.at(10).on(Event::Permitted);
    assert_eq!(generations(&scene), [1, 1]);
}

#[test]
fn an_exchange_that_broke_off_is_no_refusal_although_it_has_a_code() {
    for (code, status) in [("RequestTimeoutException", 408), ("RequestAbortedException", 400), ("Anything", 408)] {
        let mut scene = Scene::sent(definition());
        scene.on(refused(code, status));
        assert!(scene.launch().unresolved, "{code}");
    }
}

#[test]
fn a_conflict_about_something_else_than_a_task_leaves_the_launch_open() {
    let mut scene = Scene::sent(definition());
    let tasks = vec![TaskArn("arn:aws:ecs:eu-central-1:1:cluster/main".into())];
    scene.on(Event::Answered(LaunchAnswer::Conflict { tasks, message: String::new() }));
    assert!(scene.launch().unresolved);
    assert_eq!(scene.run.status(), Status::Waiting);
}

#[test]
fn a_restart_while_launching_sends_the_same_again_outside_the_budget() {
    let mut scene = Scene::sent(definition());
    let request = Arc::clone(&scene.launch().request);
    scene.at(60).restart();
    assert_eq!(scene.run.action(scene.now), Action::Launch(scene.launch()));
    assert_eq!((&scene.launch().request, scene.launch().unresolved), (&request, true));
    assert_eq!((scene.run.attempts.len(), scene.run.retries_used.as_slice()), (1, &[0, 0][..]));
}

#[test]
fn a_refusal_after_a_restart_leaves_the_send_before_it_open() {
    let mut scene = Scene::sent(definition());
    scene.at(1).restart().on(refused("ThrottlingException", 400)).at(11).on(Event::Permitted);
    assert_eq!(generations(&scene), [1, 1]);
}

#[test]
fn a_launch_is_sent_again_until_45_minutes_and_looked_up_after() {
    let mut scene = Scene::sent(definition());
    scene.at(45 * 60 - 1).restart();
    assert_eq!(scene.run.status(), Status::Launching);
    assert!(!scene.is_seeking());
    let mut scene = Scene::sent(definition());
    scene.at(45 * 60).restart();
    assert!(matches!(scene.run.state, State::Seeking { why: Seek::TooOld, .. }));
}

#[test]
fn a_resend_that_became_too_old_while_waiting_is_looked_up() {
    let mut slow = definition();
    slow.retry = policy(vec![retrier(ErrorName::SDK_CLIENT, 3600, 3)]);
    let mut scene = Scene::sent(slow);
    scene.on(no_answer(true)).at(3600).on(Event::Permitted);
    assert!(matches!(scene.run.state, State::Seeking { why: Seek::TooOld, .. }));
    assert_eq!(generations(&scene), [1, 1]);
}

#[test]
fn a_restart_does_not_launch_for_a_run_that_was_cancelled_or_is_past_its_time() {
    let mut scene = Scene::sent(definition());
    scene.on(cancel()).at(1).restart();
    assert!(matches!(scene.run.state, State::Seeking { why: Seek::BeforeEnd { .. }, .. }));
    scene.at(40).find_nothing();
    assert_eq!(scene.outcome(), &Outcome::Cancelled { reason: "by alice".into() });

    let mut late = definition();
    late.limits.timeout = seconds(60);
    let mut scene = Scene::sent(late);
    scene.at(61).restart().on(found(1));
    assert!(scene.is_stopping(), "what was launched after all is stopped");
}

#[test]
fn events_about_another_state_are_stale_and_impossible_ones_illegal() {
    let mut scene = Scene::new(definition());
    assert_eq!(scene.refused(launched(1)), Refused::Illegal);
    scene.on(Event::Permitted);
    assert_eq!(scene.refused(Event::Permitted), Refused::Illegal);
    for late in
        [nothing(), Event::Observed(facts(1, "RUNNING")), Event::Missing(task(1)), Event::StopAsked { refusal: None }]
    {
        assert_eq!(scene.refused(late), Refused::Stale);
    }
    scene.on(launched(1));
    for late in [launched(2), nothing(), exited(2, 0), Event::Missing(task(2)), Event::StopAsked { refusal: None }] {
        assert_eq!(scene.refused(late), Refused::Stale);
    }
    scene.on(exited(1, 1));
    for late in [
        launched(1),
        nothing(),
        exited(1, 0),
        Event::Missing(task(1)),
        Event::StopAsked { refusal: None },
        Event::Permitted,
    ] {
        assert_eq!(scene.refused(late), Refused::Stale);
    }
    scene.at(3).on(Event::Permitted).on(launched(2)).on(exited(2, 0));
    let all = [launched(3), nothing(), found(3), exited(3, 1), Event::Missing(task(2)), cancel(), Event::Woken];
    for late in all.into_iter().chain([Event::Permitted, Event::Resumed, Event::StopAsked { refusal: None }]) {
        assert_eq!(scene.refused(late), Refused::Stale, "a finished run never changes");
    }
}
