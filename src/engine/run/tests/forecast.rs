//! What `engine/forecast.rs` foresees is what a run does.

use super::*;
use crate::engine::catalogue;
use crate::engine::failure::Failure;
use crate::engine::forecast::{End, Forecast, RETRIES_MAX, forecast};
use crate::engine::run::ending::Next;

/// Lets every attempt of a run fail alike.
fn play(definition: &Definition, failure: &Failure) -> Forecast {
    let attempt = forecast(definition, failure).attempt;
    let mut now = start();
    let (mut run, _) = Run::due(firing(), Instance::new("prod").unwrap(), Arc::new(definition.clone()), now);
    let mut played = Forecast { retrier: None, delays: Vec::new(), attempt, cut: None, end: End::Open };
    run.step(Event::Permitted, now).unwrap();
    loop {
        now += TimeDelta::from_std(attempt).unwrap();
        run.fail_attempt(failure.clone(), Next::Fresh, now);
        let last = run.attempts.last().unwrap();
        played.retrier = last.retrier.or(played.retrier);
        let is_rerun = last.retrier.is_none();
        played.end = match &run.state {
            State::Waiting { .. } if is_rerun => End::Rerun,
            State::Waiting { .. } if played.delays.len() == RETRIES_MAX => End::Open,
            State::Waiting { until, .. } => {
                let delay = last.retry_delay.unwrap();
                now = run.deadline.map_or(*until, |deadline| deadline.min(*until));
                run.step(Event::Woken, now).unwrap();
                if !run.is_finished() {
                    run.step(Event::Permitted, now).unwrap();
                    played.delays.push(delay);
                    continue;
                }
                played.cut = Some(delay);
                End::TimedOut
            }
            State::Due
            | State::Launching
            | State::Seeking { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Finished { .. } => {
                let ends =
                    [(Status::Failed, End::Failed), (Status::TimedOut, End::TimedOut), (Status::Unknown, End::Unknown)];
                ends.into_iter().find(|(status, _)| *status == run.status()).expect("the run is over").1
            }
        };
        return played;
    }
}

#[test]
fn a_forecast_is_what_a_run_does() {
    let named = |name: &str| vec![retrier(ErrorName::new(name), 5, 2)];
    let policies = [
        RetryPolicy::default(),
        policy(Vec::new()),
        policy(named("States.ALL")),
        policy(named("Tenacron.LaunchUnknown")),
        policy(vec![retrier(ErrorName::TIMEOUT, 1, 0), retrier(ErrorName::ALL, 60, 2)]),
        policy(vec![retrier(ErrorName::TASK_FAILED, 1, 100_000)]),
    ];
    let mut ends = Vec::new();
    for retry in policies {
        for timeout in [None, seconds(10), seconds(60), seconds(100), seconds(3_600)] {
            for on_unknown in [OnUnknown::Fail, OnUnknown::Rerun] {
                let limits =
                    Limits { timeout, attempt_timeout: seconds(30), start_timeout: seconds(20), start_deadline: None };
                let definition = Definition { retry: retry.clone(), limits, on_unknown, ..definition() };
                for kind in catalogue::kinds() {
                    let seen = forecast(&definition, &kind.failure);
                    let mut played = play(&definition, &kind.failure);
                    // A run that must end does not ask who would have taken its last failure.
                    played.retrier = played.retrier.or(seen.retrier);
                    assert_eq!(seen, played, "{:?} under {definition:?}", kind.failure);
                    ends.push(seen.end);
                }
            }
        }
    }
    for end in [End::Failed, End::TimedOut, End::Unknown, End::Rerun, End::Open] {
        assert!(ends.contains(&end), "{end:?}");
    }
}

#[test]
fn an_exit_code_that_is_never_tried_again_is_foreseen() {
    let exit_codes = ExitCodes { fail: [64].into(), ..ExitCodes::default() };
    for timeout in [None, seconds(10)] {
        let limits = Limits { timeout, ..Limits::default() };
        let definition = Definition { exit_codes: exit_codes.clone().into(), limits, ..definition() };
        for (name, waits) in [("Task.ExitCode.64", 0), ("Task.ExitCode.65", 3)] {
            let failure = catalogue::of_name(&ErrorName::new(name)).remove(0).failure;
            let seen = forecast(&definition, &failure);
            assert_eq!(seen, play(&definition, &failure), "{name}");
            assert_eq!((seen.delays.len(), seen.end), (waits, End::Failed), "{name}");
        }
    }
}

#[test]
fn the_default_policy_is_foreseen() {
    let seen = |name: &str, timeout| {
        let limits = Limits { timeout, ..Limits::default() };
        let failure = catalogue::of_name(&ErrorName::new(name)).remove(0).failure;
        let seen = forecast(&Definition { limits, ..definition() }, &failure);
        (seen.retrier, seen.delays.iter().map(Duration::as_secs).collect::<Vec<_>>(), seen.cut, seen.end)
    };
    assert_eq!(seen("ECS.ThrottlingException", None), (Some(0), vec![10, 20, 40], None, End::Failed));
    assert_eq!(seen("Task.ExitCode.3", None), (Some(1), vec![3, 3, 3], None, End::Failed));
    assert_eq!(seen("States.Timeout", None), (None, vec![], None, End::Failed));
    assert_eq!(seen("Tenacron.LaunchUnknown", None), (None, vec![], None, End::Unknown));
    assert_eq!(seen("ECS.Throttled", seconds(60)), (Some(0), vec![10, 20], seconds(40), End::TimedOut));
}
