//! What a configuration can be proved to do, or never to do.

use super::*;

/// Code, line and column, message and help of each finding of a job with these keys.
fn proofs(keys: &str) -> Vec<(String, String)> {
    let loaded = main_file(&job_with(keys)).load();
    assert!(loaded.config.is_some(), "{}", loaded.render(false));
    let help = |finding: &Finding| finding.help.clone().expect("every doubt says what to do");
    let found = loaded.findings.iter().map(|finding| {
        let place = format!("{} {}:{}", finding.code, finding.line.unwrap(), finding.column.unwrap());
        (place, format!("{} / {}", finding.message, help(finding)))
    });
    found.collect()
}

/// The only finding of a job with these keys.
fn proof(keys: &str) -> (String, String) {
    let mut found = proofs(keys);
    assert_eq!(found.len(), 1, "{keys}: {found:?}");
    found.remove(0)
}

fn assert_proof(keys: &str, place: &str, parts: &[&str]) {
    let (found, text) = proof(keys);
    assert_eq!(found, place, "{text}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}

fn assert_none(keys: &str) {
    assert_eq!(proofs(keys), [], "{keys}");
}

/// A list of retriers with these names and nothing else.
fn retriers(names: &[&str]) -> String {
    let retrier = |names: &&str| format!("{{ error_equals = [{names}] }}");
    format!("retry = [{}]", names.iter().map(retrier).collect::<Vec<_>>().join(", "))
}

#[test]
fn the_order_of_the_deployed_sample_is_seen_through() {
    for wildcard in ["'States.TaskFailed'", "'Mine', 'States.TaskFailed'"] {
        assert_proof(
            &retriers(&[wildcard, "'ECS.AmazonECSException'"]),
            if wildcard.len() > 20 { "unreachable-retrier 8:77" } else { "unreachable-retrier 8:69" },
            &[
                "jobs.a.retry[1]: can never match",
                "\"ECS.AmazonECSException\" is taken by retry[0] (\"States.TaskFailed\")",
                "put retry[1] before retry[0]",
            ],
        );
    }
    let both = retriers(&["'States.TaskFailed'", "'States.Timeout'", "'States.ALL'"]);
    assert_proof(
        &both,
        "unreachable-retrier 8:108",
        &["\"States.ALL\" is taken by retry[0]", "and retry[1]", "decides: remove it"],
    );
}

#[test]
fn a_name_that_an_earlier_retrier_takes_is_named_with_it() {
    assert_proof(
        &retriers(&["'ECS.AmazonECSException'", "'ECS.Throttled', 'Task.Capacity', 'ECS.ServerException'"]),
        "shadowed-error-name 8:75",
        &[
            "jobs.a.retry[1]",
            "\"ECS.Throttled\" is taken by retry[0] (\"ECS.AmazonECSException\")",
            "\"ECS.ServerException\" is taken by retry[0]",
            "only for \"Task.Capacity\"",
        ],
    );
    assert_none(&retriers(&["'Task.OutOfMemory'", "'Task.ExitCode.137'"]));
    assert_none(&retriers(&["'Task.ExitCode.137'", "'Task.OutOfMemory'", "'States.TaskFailed'", "'States.ALL'"]));
    assert_none(&retriers(&["'ECS.Throttled'", "'ECS.AmazonECSException'", "'Task.Placement', 'Mine'"]));
}

#[test]
fn a_timeout_that_leaves_no_time_for_the_last_retries_says_which() {
    assert_proof(
        "timeout = '1m'",
        "timeout-too-short 8:11",
        &[
            "the 1m 19s that the retries may wait",
            "retry 3 of retry[0] would begin after 1m 10s, so it can never happen",
            "1m 19s",
        ],
    );
    assert_proof(
        "timeout = '75s'",
        "timeout-too-short 8:11",
        &["once the retriers before it are used up, retry 2 of retry[1] would begin after 1m 16s"],
    );
    assert_none("timeout = '80s'");
    let retry = "retry = [{ error_equals = ['x'], interval_seconds = 1800, backoff_rate = 1 }]";
    assert_proof(retry, "timeout-too-short 8:9", &["timeout = \"1h\"", "retry 2 of retry[0] would begin after 1h"]);
    assert_none(&format!("timeout = '2h'\n{retry}"));
}

#[test]
fn an_inherited_doubt_is_told_once() {
    let job = |name: &str| format!("[jobs.{name}]\nschedule = '@daily'\ntask_definition = 't'\n");
    let text = AROUND.replace("'1h'", "'30s'");
    let found = main_file(&format!("{text}{}{}", job("a"), job("b"))).findings();
    assert_eq!(found, ["timeout-too-short main.toml:4:11"]);
}

#[test]
fn a_run_that_can_outlive_the_next_firing_says_what_happens() {
    let with = |schedule: &str, keys: &str| {
        let loaded = main_file(&job_with(keys).replace("'@daily'", schedule)).load();
        let told = loaded.findings.iter().map(|finding| format!("{} {}", finding.code, finding.message));
        told.collect::<Vec<_>>().join("\n")
    };
    let told = with("'*/15 * * * *'", "attempt_timeout = '10m'");
    assert_eq!(
        told,
        "overlapping-runs jobs.a: a run may take 41m 19s (4 attempts of 10m and 1m 19s of waits), and the next firing can be due \
         15m after it; then the next firing is skipped (overlap = \"skip\")"
    );
    for (overlap, then) in [
        ("queue_one", "waits until the run is over, and further ones are skipped"),
        ("queue_all", "waits"),
        ("cancel_running", "stops the run"),
        ("allow", "runs beside it"),
    ] {
        let told = with("'*/15 * * * *'", &format!("attempt_timeout = '10m'\noverlap = '{overlap}'"));
        assert!(told.contains(then) && told.contains(overlap), "{told}");
    }
    let capped = with("'*/15 * * * *'", "timeout = '20m'\nattempt_timeout = '10m'");
    assert!(capped.contains("may take 20m (timeout)"), "{capped}");
    assert!(with("'*/15 * * * *'", "timeout = '20m'").contains("may take 20m (timeout)"));
    assert_eq!(with("'*/15 * * * *'", ""), "", "a timeout of the defaults is a net, not a length");
    assert_eq!(with("'*/15 * * * *'", "timeout = '15m'\nattempt_timeout = '10m'"), "");
    assert_eq!(with("'*/15 * * * *'", "attempt_timeout = '14m'\nretry = []"), "");
    assert_eq!(with("'at(2027-01-01T00:00:00)'", "attempt_timeout = '10m'"), "");
    let uneven = with("['0 3 * * *', '5 3 1 * *']", "attempt_timeout = '2m'");
    assert!(uneven.contains("5m after it"), "{uneven}");
    assert!(with("'rate(5 minutes)'", "attempt_timeout = '2m'").contains("5m after it"));
}

#[test]
fn limits_below_the_poll_interval_are_seen() {
    for key in ["attempt_timeout", "start_timeout"] {
        assert_proof(
            &format!("{key} = '2s'"),
            &format!("slow-poll 8:{}", key.len() + 4),
            &[key, "poll_interval = \"5s\""],
        );
    }
    assert_eq!(proof("timeout = '2s'\nretry = []").0, "slow-poll 8:11");
}

#[test]
fn exit_codes_and_retriers_that_disagree_are_seen() {
    let by_code = "retry = [{ error_equals = ['Task.ExitCode.75', 'Task.ExitCode.64'] }]";
    assert_proof(
        &format!("exit_codes = {{ retry = [75, 111] }}\n{}", by_code.replace(", 'Task.ExitCode.64'", "")),
        "untried-exit-code 8:14",
        &["no retrier grants Task.ExitCode.111 a retry"],
    );
    assert_proof(
        &format!("exit_codes = {{ fail = [64] }}\n{by_code}"),
        "overruled-retrier 8:14",
        &["retry[0] names Task.ExitCode.64, but exit_codes never lets it be tried again"],
    );
    for (list, fate) in [("succeed", "calls it a success"), ("skip", "calls it nothing to do")] {
        assert_proof(&format!("exit_codes = {{ {list} = [64] }}\n{by_code}"), "overruled-retrier 8:14", &[fate]);
    }
    let never =
        "retry = [{ error_equals = ['Task.ExitCode.75'], max_attempts = 0 }, { error_equals = ['States.ALL'] }]";
    assert_proof(&format!("exit_codes = {{ retry = [75] }}\n{never}"), "untried-exit-code 8:14", &["Task.ExitCode.75"]);
    assert_none("exit_codes = { succeed = [0, 3], skip = [99], fail = [64], retry = [75] }");
    assert_none("exit_codes = { retry = [] }");
}

#[test]
fn a_rerun_needs_more_than_45_minutes() {
    assert_proof(
        "on_unknown = 'rerun'\ntimeout = '30m'",
        "useless-rerun 8:14",
        &["timeout = \"30m\"", "45m after its launch", "raise timeout above 45m"],
    );
    assert_eq!(proof("timeout = '45m'\non_unknown = 'rerun'").0, "useless-rerun 9:14");
    assert_none("on_unknown = 'rerun'");
    assert_none("on_unknown = 'fail'\ntimeout = '30m'");
}

#[test]
fn endless_retries_need_a_timeout() {
    let retry = |most: u32| {
        format!("retry = [{{ error_equals = ['x'], max_attempts = {most}, interval_seconds = 1, backoff_rate = 1 }}]")
    };
    let found = |keys: &str| main_file(&job_with(keys).replace("timeout = '1h'\n", "")).findings();
    assert_eq!(found(&retry(1_000)), ["no-timeout main.toml:4:1"]);
    assert_eq!(found(&retry(1_001)), ["no-timeout main.toml:4:1", "endless-retries main.toml:7:9"]);
    assert_none(&retry(1_001));
}

#[test]
fn well_known_slips_are_spelt_out() {
    for (slip, meant) in [
        ("Ecs.AmazonECSException", "ECS.AmazonECSException"),
        ("State.TaskFailed", "States.TaskFailed"),
        ("States.Taskfailed", "States.TaskFailed"),
        ("ECS.ThrottlingException", "ECS.Throttled"),
        ("States.All", "States.ALL"),
        ("Ecs.EcsException", "ECS.AmazonECSException"),
    ] {
        let told = proofs(&retriers(&[&format!("'{slip}'")]));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].1.contains(&format!("\"{slip}\" never occurs")), "{told:?}");
        assert!(told[0].1.contains(&format!("write \"{meant}\"")), "{told:?}");
    }
}

/// Cheap enough: each of many jobs with keys of its own that ask for every proof.
#[test]
fn many_jobs_are_proved() {
    let mut text = AROUND.to_owned();
    for number in 0..500 {
        text.push_str(&format!(
            "[jobs.job-{number}]\nschedule = '{} {} * * {}'\ntask_definition = 't'\nattempt_timeout = '7h'\n\
             retry = [{{ error_equals = ['ECS.AmazonECSException'] }}, {{ error_equals = ['Task.ExitCode.{number}', 'States.TaskFailed'] }}]\n",
            number % 60,
            number / 60 % 24,
            number % 7
        ));
    }
    assert_eq!(clean(&text).jobs.len(), 500);
}
