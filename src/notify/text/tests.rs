//! Whole texts, as people get them.

use std::sync::Arc;

use super::*;
use crate::engine::job::{Instance, JobName};
use crate::engine::notice::{ATTEMPTS_MAX, ChannelId};
use crate::engine::run::{RunId, Status};

fn at(seconds: i64) -> DateTime<Utc> {
    "2026-11-26T01:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

/// A job of 02:00 in Berlin that fires each day.
fn facts(on: On, status: Status) -> NoticeFacts {
    let job = JobName::new("nightly").unwrap();
    NoticeFacts {
        on,
        instance: Instance::new("prod").unwrap(),
        run: RunId::of_firing(&job, at(0)),
        job,
        status,
        trigger: Trigger::Schedule,
        scheduled_at: at(0),
        timezone: Some("Europe/Berlin".into()),
        finished_at: Some(at(1_000)),
        attempt_count: 0,
        attempts: Vec::new(),
        error: None,
        finer_error: None,
        cause: None,
        hint: None,
        exit_code: None,
        exit_code_meaning: None,
        retry_at: None,
        next_at: Some(at(86_400)),
        paused: None,
        failed_in_a_row: 0,
        others: 0,
        others_from: None,
        made_up_by: None,
        task: None,
    }
}

fn attempt(nth: u32, from: i64, took: i64, failed: Option<(&str, &str, Option<i32>)>) -> AttemptFacts {
    AttemptFacts {
        attempt: nth,
        launched_at: Some(at(from)),
        stopped_at: Some(at(from + took)),
        task_arn: Some(format!("arn:aws:ecs:eu-central-1:1:task/main/{nth}")),
        error: failed.map(|(error, _, _)| error.to_owned()),
        finer_error: None,
        cause: failed.map(|(_, cause, _)| cause.to_owned()),
        exit_code: failed.map_or(Some(0), |(_, _, code)| code),
    }
}

fn says(facts: &NoticeFacts, expected_subject: &str, expected: &str) {
    assert_eq!(subject(facts), expected_subject);
    assert_eq!(text(facts), expected.trim_matches('\n'));
}

const EXITED: &str = "container `app` exited with 1";

#[test]
fn a_failure_after_four_attempts() {
    let refused = ("ECS.AmazonECSException", "RunTask: HTTP 500: Service Unavailable", None);
    let exited = ("States.TaskFailed", EXITED, Some(1));
    let failed = NoticeFacts {
        attempt_count: 4,
        attempts: vec![
            attempt(1, 0, 1, Some(refused)),
            attempt(2, 11, 248, Some(exited)),
            attempt(3, 262, 3_723, Some(exited)),
            attempt(4, 86_400, 90_061, Some(exited)),
        ],
        error: Some("States.TaskFailed".into()),
        finer_error: Some("Task.ExitCode.1".into()),
        cause: Some(EXITED.into()),
        hint: Some("the program itself says that it failed: its log says why".into()),
        exit_code: Some(1),
        exit_code_meaning: Some("any error, as the program sees it".into()),
        failed_in_a_row: 3,
        paused: Some("pause_after = 3".into()),
        next_at: None,
        ..facts(On::Failed, Status::Failed)
    };
    says(
        &failed,
        "nightly failed: exit code 1, 4 attempts, 3 in a row [prod]",
        "
nightly failed after 4 attempts.

What: container `app` exited with 1 (Task.ExitCode.1)
Exit code: 1 (any error, as the program sees it)
Hint: the program itself says that it failed: its log says why
Instant: 2026-11-26 02:00:00+01:00 Europe/Berlin (2026-11-26 01:00:00 UTC), by its schedule
Attempts:
  1. 02:00:00+01:00 (01:00:00 UTC), 1 s: ECS.AmazonECSException: RunTask: HTTP 500: Service Unavailable
  2. 02:00:11+01:00 (01:00:11 UTC), 4 min 8 s: exit code 1
  3. 02:04:22+01:00 (01:04:22 UTC), 1 h 2 min: exit code 1
  4. 2026-11-27 02:00:00+01:00 (2026-11-27 01:00:00 UTC), 1 d 1 h: exit code 1
In a row: 3 runs of the job ended badly
Next firing: none, it is paused by pause_after = 3; `tenacron resume nightly` lets it go on
More: tenacron show nightly-20261126T010000Z
Installation: prod
",
    );
}

#[test]
fn a_time_out() {
    let cause = "timeout of the run was reached at 2026-11-26T01:15:00Z";
    let timed_out = NoticeFacts {
        attempt_count: 1,
        attempts: vec![attempt(1, 0, 903, Some(("States.Timeout", cause, Some(143))))],
        error: Some("States.Timeout".into()),
        cause: Some(cause.into()),
        hint: Some("it took longer than its limit: its log says where it was".into()),
        exit_code: Some(143),
        exit_code_meaning: Some("ended by SIGTERM: it was asked to stop".into()),
        failed_in_a_row: 1,
        timezone: Some("UTC".into()),
        trigger: Trigger::Catchup,
        ..facts(On::TimedOut, Status::TimedOut)
    };
    says(
        &timed_out,
        "nightly timed out [prod]",
        "
nightly timed out after 1 attempt.

What: timeout of the run was reached at 2026-11-26T01:15:00Z (States.Timeout)
Exit code: 143 (ended by SIGTERM: it was asked to stop)
Hint: it took longer than its limit: its log says where it was
Instant: 2026-11-26 01:00:00 UTC, to catch up
Attempts:
  1. 01:00:00 UTC, 15 min 3 s: exit code 143
Next firing: 2026-11-27 01:00:00 UTC
More: tenacron show nightly-20261126T010000Z
Installation: prod
",
    );
}

#[test]
fn instants_that_were_missed_together() {
    let away = "the daemon was away from 2026-11-25T22:40:00Z to 2026-11-26T01:02:00Z; catchup = \"none\"";
    let missed = NoticeFacts {
        cause: Some(away.into()),
        others: 37,
        others_from: Some(at(-37 * 900)),
        ..facts(On::Missed, Status::Missed)
    };
    says(
        &missed,
        "nightly missed 38 instants [prod]",
        "
nightly missed an instant and 37 others before it: nothing was run.

What: the daemon was away from 2026-11-25T22:40:00Z to 2026-11-26T01:02:00Z; catchup = \"none\"
Instant: 2026-11-26 02:00:00+01:00 Europe/Berlin (2026-11-26 01:00:00 UTC), by its schedule
First of them: 2026-11-25 16:45:00+01:00 Europe/Berlin (2026-11-25 15:45:00 UTC)
Next firing: 2026-11-27 02:00:00+01:00 Europe/Berlin (2026-11-27 01:00:00 UTC)
More: tenacron show nightly-20261126T010000Z
Installation: prod
",
    );
}

#[test]
fn what_was_missed_and_is_made_up_for_names_the_run() {
    let last = RunId::from_text("nightly-20261126T020000Z");
    let missed = NoticeFacts { made_up_by: Some(last), others: 1, ..facts(On::Missed, Status::Missed) };
    let text = text(&missed);
    assert!(text.starts_with("nightly missed an instant and 1 other before it; one run makes up for it.\n"), "{text}");
    assert!(text.contains("\nMade up by: nightly-20261126T020000Z\n"), "{text}");
}

#[test]
fn a_failure_is_named_as_finely_as_is_known() {
    let with = |error: &str, finer: &str, exit_code| NoticeFacts {
        attempt_count: 1,
        attempts: vec![AttemptFacts {
            finer_error: Some(finer.into()),
            ..attempt(1, 0, 5, Some((error, "why", exit_code)))
        }],
        error: Some(error.into()),
        finer_error: Some(finer.into()),
        cause: Some("why".into()),
        exit_code,
        ..facts(On::Failed, Status::Failed)
    };
    for (error, finer, exit_code, why) in [
        ("States.TaskFailed", "Task.ImagePull", None, "Task.ImagePull"),
        ("States.TaskFailed", "Task.OutOfMemory", Some(137), "Task.OutOfMemory, exit code 137"),
        ("States.TaskFailed", "Task.ExitCode.7", Some(7), "exit code 7"),
        ("States.Timeout", "Task.StartTimeout", None, "a limit of time was reached (Task.StartTimeout)"),
    ] {
        let failed = with(error, finer, exit_code);
        assert_eq!(subject(&failed), format!("nightly failed: {why} [prod]"));
        let text = text(&failed);
        assert!(text.contains(&format!("\nWhat: why ({finer})\n")) && !text.contains(error), "{text}");
        assert_eq!(text.matches("why").count(), 1, "{text}");
    }
    let retried = NoticeFacts { on: On::Retrying, ..with("States.TaskFailed", "Task.Capacity", None) };
    assert_eq!(subject(&retried), "nightly is retried: Task.Capacity [prod]");
}

#[test]
fn an_instant_that_met_a_run() {
    let lives = "run nightly-20261125T010000Z still lives (overlap = \"skip\")";
    let skipped = NoticeFacts { cause: Some(lives.into()), ..facts(On::Skipped, Status::Skipped) };
    says(
        &skipped,
        "nightly skipped 1 instant [prod]",
        "
nightly skipped an instant: nothing was run.

What: run nightly-20261125T010000Z still lives (overlap = \"skip\")
Instant: 2026-11-26 02:00:00+01:00 Europe/Berlin (2026-11-26 01:00:00 UTC), by its schedule
Next firing: 2026-11-27 02:00:00+01:00 Europe/Berlin (2026-11-27 01:00:00 UTC)
More: tenacron show nightly-20261126T010000Z
Installation: prod
",
    );
    let idle = NoticeFacts { attempt_count: 1, ..skipped };
    assert_eq!(subject(&idle), "nightly was skipped: nothing to do [prod]");
    assert!(text(&idle).starts_with("nightly found nothing to do.\n"));
}

#[test]
fn a_launch_of_which_nobody_knows() {
    let cause = "the launch of attempt 1 was sent at 2026-11-26T01:00:00Z, and nobody knows what became of it";
    let unknown = NoticeFacts {
        attempt_count: 1,
        attempts: vec![AttemptFacts { stopped_at: None, exit_code: None, ..attempt(1, 0, 0, None) }],
        error: Some("Tenacron.LaunchUnknown".into()),
        cause: Some(cause.into()),
        hint: Some("look in ECS and in its log whether it ran".into()),
        failed_in_a_row: 1,
        next_at: None,
        ..facts(On::Unknown, Status::Unknown)
    };
    says(
        &unknown,
        "nightly may have run or not [prod]",
        "
Whether nightly ran can't be known.

What: the launch of attempt 1 was sent at 2026-11-26T01:00:00Z, and nobody knows what became of it (Tenacron.LaunchUnknown)
Hint: look in ECS and in its log whether it ran
Instant: 2026-11-26 02:00:00+01:00 Europe/Berlin (2026-11-26 01:00:00 UTC), by its schedule
Attempts:
  1. 02:00:00+01:00 (01:00:00 UTC)
Next firing: none, its schedule names no further instant
More: tenacron show nightly-20261126T010000Z
Installation: prod
",
    );
}

#[test]
fn a_recovery() {
    let recovered = NoticeFacts {
        attempt_count: 1,
        attempts: vec![attempt(1, 0, 61, None)],
        exit_code: Some(0),
        exit_code_meaning: Some("success".into()),
        failed_in_a_row: 3,
        timezone: None,
        next_at: None,
        trigger: Trigger::Manual,
        ..facts(On::Recovered, Status::Succeeded)
    };
    says(
        &recovered,
        "nightly recovered after 3 failures [prod]",
        "
nightly succeeded, after 3 failures in a row.

Exit code: 0 (success)
Instant: 2026-11-26 01:00:00 UTC, by hand
Attempts:
  1. 01:00:00 UTC, 1 min 1 s
Next firing: none, the job has left the configuration
More: tenacron show nightly-20261126T010000Z
Installation: prod
",
    );
    let resumed = NoticeFacts { failed_in_a_row: 0, ..recovered };
    assert_eq!(subject(&resumed), "nightly recovered [prod]");
    assert!(text(&resumed).starts_with("nightly succeeded; its run before had not.\n"));
}

#[test]
fn a_retry() {
    let retrying = NoticeFacts {
        attempt_count: 1,
        attempts: vec![attempt(1, 0, 5, Some(("States.TaskFailed", EXITED, Some(1))))],
        error: Some("States.TaskFailed".into()),
        finer_error: Some("Task.ExitCode.1".into()),
        cause: Some(EXITED.into()),
        exit_code: Some(1),
        retry_at: Some(at(8)),
        finished_at: None,
        paused: Some("ada".into()),
        ..facts(On::Retrying, Status::Waiting)
    };
    says(
        &retrying,
        "nightly is retried: exit code 1 [prod]",
        "
Attempt 1 of nightly failed and is tried again.

What: container `app` exited with 1 (Task.ExitCode.1)
Exit code: 1
Instant: 2026-11-26 02:00:00+01:00 Europe/Berlin (2026-11-26 01:00:00 UTC), by its schedule
Attempts:
  1. 02:00:00+01:00 (01:00:00 UTC), 5 s: exit code 1
Next attempt: 2026-11-26 02:00:08+01:00 Europe/Berlin (2026-11-26 01:00:08 UTC)
Next firing: 2026-11-27 02:00:00+01:00 Europe/Berlin (2026-11-27 01:00:00 UTC); until then it is paused by ada
More: tenacron show nightly-20261126T010000Z
Installation: prod
",
    );
}

#[test]
fn a_success() {
    let succeeded = NoticeFacts {
        attempt_count: 1,
        attempts: vec![attempt(1, 0, 61, None)],
        exit_code: Some(0),
        exit_code_meaning: Some("success".into()),
        ..facts(On::Succeeded, Status::Succeeded)
    };
    says(
        &succeeded,
        "nightly succeeded [prod]",
        "
nightly succeeded.

Exit code: 0 (success)
Instant: 2026-11-26 02:00:00+01:00 Europe/Berlin (2026-11-26 01:00:00 UTC), by its schedule
Attempts:
  1. 02:00:00+01:00 (01:00:00 UTC), 1 min 1 s
Next firing: 2026-11-27 02:00:00+01:00 Europe/Berlin (2026-11-27 01:00:00 UTC)
More: tenacron show nightly-20261126T010000Z
Installation: prod
",
    );
}

/// The longest that every part can be, and of characters that take the most room.
fn immense() -> NoticeFacts {
    let hostile = "\u{1b}[31m\r\n<!channel> @everyone \u{202e}🦀".repeat(99);
    let cause = format!("States.TaskFailed\n{hostile}");
    let failed = attempt(4_000_000_000, 86_400, 90_061, Some((cause.as_str(), cause.as_str(), Some(i32::MIN))));
    let failed = AttemptFacts { finer_error: Some(cause.clone()), ..failed };
    NoticeFacts {
        job: JobName::new(&"j".repeat(64)).unwrap(),
        instance: Instance::new(&"i".repeat(64)).unwrap(),
        run: RunId::from_text(&"r".repeat(120)),
        timezone: Some("America/Argentina/ComodRivadavia".into()),
        attempt_count: u32::MAX,
        attempts: vec![failed; ATTEMPTS_MAX],
        error: Some(cause.clone()),
        cause: Some(hostile.clone()),
        hint: Some(hostile.clone()),
        exit_code: Some(i32::MIN),
        exit_code_meaning: Some(hostile.clone()),
        paused: Some(hostile),
        failed_in_a_row: u32::MAX,
        others: u64::MAX,
        others_from: Some(at(-9_999)),
        finer_error: Some(cause.clone()),
        made_up_by: Some(RunId::from_text(&"r".repeat(120))),
        retry_at: Some(at(9)),
        ..facts(On::Failed, Status::Failed)
    }
}

#[test]
fn whatever_a_container_says_a_text_stays_short_and_in_its_lines() {
    for on in On::ALL {
        let immense = NoticeFacts { on, ..immense() };
        let (subject, text) = (subject(&immense), text(&immense));
        assert!(subject.len() <= SUBJECT_MAX && subject.is_ascii() && subject.starts_with("jjj"), "{subject}");
        assert!(!subject.contains(char::is_control), "{subject}");
        assert!(text.len() <= TEXT_MAX, "{} bytes", text.len());
        assert!(text.ends_with(&format!("Installation: {}", "i".repeat(64))), "nothing is cut off at its end:\n{text}");
        assert!(text.lines().all(|line| !line.contains(char::is_control) && !line.contains('\u{202e}')), "{text}");
        let begins =
            ["What:", "Exit", "Hint:", "Instant:", "First", "Made", "Attempts:", "  ", "Next", "In a", "More:", "Inst"];
        let stray = text.lines().skip(2).find(|line| !begins.iter().any(|begin| line.starts_with(begin)));
        assert_eq!(stray, None, "no line comes from outside");
    }
    let text = text(&immense());
    assert!(text.contains("  4294967285 attempts before these\n"), "{text}");
}

#[test]
fn a_chat_gets_no_mention_and_no_link() {
    let said = for_chat(&text(&immense()));
    assert!(!said.contains('<') && !said.contains('>') && !said.contains("@everyone"), "{said}");
    assert_eq!(for_chat("a < b && <!here>"), "a &lt; b &amp;&amp; &lt;!here&gt;");
    assert_eq!(for_chat("@all").chars().filter(|c| *c != '\u{200b}').collect::<String>(), "@all");
}

#[test]
fn the_json_object_says_everything_and_which_version_it_is() {
    let facts =
        NoticeFacts { task: Some(serde_json::json!({ "taskArn": "arn" })), ..facts(On::Failed, Status::Failed) };
    let notice =
        Notice { id: "0123".into(), channel: ChannelId("webhook".into()), at: at(5), facts: Arc::new(facts.clone()) };
    let object = json(&notice);
    assert_eq!(object["version"], 1);
    assert_eq!(object["id"], "0123");
    assert_eq!(
        (&object["on"], &object["status"], &object["trigger"]),
        (&"failed".into(), &"failed".into(), &"schedule".into())
    );
    assert_eq!(object["scheduled_at"], "2026-11-26T01:00:00Z");
    assert_eq!(object["task"]["taskArn"], "arn");
    assert_eq!((&object["exit_code"], &object["attempts"]), (&Value::Null, &serde_json::json!([])));
    assert_eq!((object["subject"].as_str(), object["text"].as_str()), (Some(&*subject(&facts)), Some(&*text(&facts))));
    let keys = object.as_object().unwrap().len();
    assert_eq!(keys, serde_json::to_value(&facts).unwrap().as_object().unwrap().len() + 4);
}
