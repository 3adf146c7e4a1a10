//! What a notice is called and what it says.

use super::*;

#[test]
fn a_name_is_the_same_whenever_it_is_decided_and_of_one_notice_only() {
    let to_two = || vec![rule(On::ALL, Repeat::Every, "a"), rule(On::ALL, Repeat::Every, "b")];
    let notices = Scene::ended(to_two(), 1).owes(fine());
    let again = Scene::ended(to_two(), 1).owes(bad(3));
    let ids = |notices: &[Notice]| notices.iter().map(|notice| notice.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&notices), ids(&again));
    let distinct: BTreeSet<String> = ids(&notices).into_iter().collect();
    assert_eq!((notices.len(), distinct.len()), (10, 10));
    assert!(distinct.iter().all(|id| id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit())));
    let mut elsewhere = Scene::ended(to_two(), 1);
    elsewhere.run.instance = Instance::new("test").unwrap();
    assert!(elsewhere.owes(fine()).iter().all(|notice| !distinct.contains(&notice.id)));
    assert!(notices.iter().all(|notice| notice.at == at(10) || notice.at == at(13) || notice.at > at(10)));
}

#[test]
fn a_notice_says_what_is_known_when_it_is_owed() {
    let scene = Scene::ended(every([On::Failed]), 137);
    let job = JobNow { timezone: Some("Europe/Berlin".into()), next_at: Some(at(900)), paused: Some("ada".into()) };
    let notice = owed([scene.after(bad(2))], |_| job.clone()).remove(0);
    let facts = &*notice.facts;
    assert_eq!((facts.job.as_str(), &facts.run, facts.instance.as_str()), ("nightly", &scene.run.id, "prod"));
    assert_eq!((facts.status, facts.trigger, facts.scheduled_at), (Status::Failed, Trigger::Schedule, at(0)));
    assert_eq!((facts.finished_at, facts.retry_at), (scene.run.finished_at(), None));
    assert_eq!((facts.attempt_count, facts.attempts.len(), facts.attempts[3].attempt), (4, 4, 4));
    assert_eq!(facts.attempts[0].error.as_deref(), Some("States.TaskFailed"));
    assert_eq!(facts.error.as_deref(), Some("States.TaskFailed"));
    assert_eq!(facts.finer_error.as_deref(), Some("Task.ExitCode.137"));
    assert_eq!(facts.attempts[0].finer_error, facts.finer_error);
    assert!(facts.cause.as_ref().unwrap().contains("exited with 137"), "{facts:?}");
    assert!(facts.hint.as_ref().unwrap().contains("it was killed"), "{facts:?}");
    assert_eq!((facts.exit_code, facts.failed_in_a_row), (Some(137), 3));
    assert!(facts.exit_code_meaning.as_ref().unwrap().contains("SIGKILL"), "{facts:?}");
    assert_eq!(
        (facts.timezone.as_deref(), facts.next_at, facts.paused.as_deref()),
        (Some("Europe/Berlin"), Some(at(900)), Some("ada"))
    );
    assert_eq!(facts.task, Some(serde_json::json!({ "taskArn": "arn:task/4" })));
}

#[test]
fn a_retry_is_told_as_it_was_though_the_next_attempt_has_begun() {
    let scene = Scene::due(every([On::Retrying])).launched(1).stopped(1, 1).launched(2).stopped(2, 2).launched(3);
    let [one, two] = <[Notice; 2]>::try_from(scene.owes(fine())).unwrap();
    for (notice, attempt, exit_code) in [(one, 1, 1), (two, 2, 2)] {
        let facts = &*notice.facts;
        assert_eq!((facts.attempt_count, facts.exit_code), (attempt, Some(exit_code)));
        assert!(facts.cause.as_ref().unwrap().contains(&format!("exited with {exit_code}")), "{facts:?}");
        assert!(facts.retry_at.unwrap() > notice.at);
        assert_eq!(facts.task, Some(serde_json::json!({ "taskArn": format!("arn:task/{attempt}") })));
    }
}

#[test]
fn a_notice_names_the_newest_attempts_only() {
    let mut scene = Scene::ended(every([On::Failed]), 1);
    let last = scene.run.attempts.last().unwrap().clone();
    scene.run.attempts = (1..=25).map(|attempt| crate::engine::run::Attempt { attempt, ..last.clone() }).collect();
    let facts = Arc::clone(&scene.owes(fine())[0].facts);
    assert_eq!((facts.attempt_count, facts.attempts.len()), (25, ATTEMPTS_MAX));
    assert_eq!((facts.attempts[0].attempt, facts.attempts[9].attempt), (16, 25));
}
