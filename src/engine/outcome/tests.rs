//! Facts to verdicts: what counts as a success, and the names of everything else, in ECS's own words.

use super::*;
use crate::engine::samples;
use crate::engine::task::{TaskArn, TaskTimes};

fn definition(success: Success, accept_stop_codes: &[&str]) -> Definition {
    let accept_stop_codes = accept_stop_codes.iter().map(|code| (*code).to_owned()).collect();
    Definition { success, accept_stop_codes, ..samples::definition() }
}

fn container(essential: Option<bool>, exit_code: Option<i32>, reason: Option<&str>) -> ContainerFacts {
    ContainerFacts { name: "app".into(), essential, exit_code, reason: reason.map(ToOwned::to_owned) }
}

fn stopped(stop_code: Option<&str>, reason: &str, containers: Vec<ContainerFacts>) -> TaskFacts {
    TaskFacts {
        task: TaskArn("arn:aws:ecs:eu-central-1:1:task/main/1".into()),
        last_status: "STOPPED".into(),
        stop_code: stop_code.map(ToOwned::to_owned),
        stopped_reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
        times: TaskTimes::default(),
        described: None,
        containers,
    }
}

fn names(verdict: &Verdict) -> Vec<&str> {
    match verdict {
        Verdict::Succeeded => vec![],
        Verdict::Skipped { reason } => panic!("skipped: {reason}"),
        Verdict::Failed(failure) => {
            assert_eq!(failure.primary, ErrorName::TASK_FAILED);
            failure.names.iter().map(ErrorName::as_str).collect()
        }
    }
}

const EXITED: Option<&str> = Some("EssentialContainerExited");
const UNSTARTED: Option<&str> = Some("TaskFailedToStart");

/// Stop code, the task's reason, the container's exit code and reason, and the names: `ecs.md` §4 as data.
type Row = (Option<&'static str>, &'static str, Option<i32>, Option<&'static str>, &'static [&'static str]);
const ENDS: [Row; 32] = [
    (EXITED, "Essential container in task exited", Some(0), None, &[]),
    (None, "", Some(0), None, &[]),
    (EXITED, "Essential container in task exited", Some(1), None, &["Task.ExitCode.1"]),
    (EXITED, "Essential container in task exited", Some(143), None, &["Task.ExitCode.143"]),
    (
        EXITED,
        "Essential container in task exited",
        Some(137),
        Some("OutOfMemoryError: Container killed due to memory usage"),
        &["Task.ExitCode.137", "Task.OutOfMemory"],
    ),
    (EXITED, "Essential container in task exited", None, None, &[""]),
    (
        UNSTARTED,
        "CannotPullContainerError: image Manifest does not contain descriptor matching platform: has been retried 1 time(s): failed to resolve ref docker.io/library/no:1",
        None,
        None,
        &["Task.ImagePull"],
    ),
    (UNSTARTED, "Task failed to start", None, Some("CannotPullContainerError: not found"), &["Task.ImagePull"]),
    (
        UNSTARTED,
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed",
        None,
        None,
        &["Task.ResourceInit"],
    ),
    (UNSTARTED, "Timeout waiting for network interface provisioning to complete.", None, None, &["Task.Eni"]),
    (UNSTARTED, "CannotStartContainerError: no such file", None, None, &["Task.ContainerStart"]),
    (UNSTARTED, "CannotCreateContainerError: no space left", None, None, &["Task.ContainerStart"]),
    (UNSTARTED, "CannotInspectContainerError: timed out", None, None, &["Task.ContainerStart"]),
    (
        EXITED,
        "Essential container in task exited",
        None,
        Some("CannotStartContainerError: exec"),
        &["Task.ContainerStart"],
    ),
    (UNSTARTED, "TaskFailedToStart: RESOURCE:MEMORY", None, None, &["Task.Placement"]),
    (UNSTARTED, "TaskFailedToStart: AGENT", None, None, &["Task.Placement"]),
    (UNSTARTED, "TaskFailedToStart: ATTRIBUTE", None, None, &["Task.Placement"]),
    (UNSTARTED, "TaskFailedToStart: MemberOf placement constraint unsatisfied", None, None, &["Task.Placement"]),
    (UNSTARTED, "TaskFailedToStart: NO ACTIVE INSTANCES", None, None, &["Task.Placement"]),
    (UNSTARTED, "TaskFailedToStart: EMPTY CAPACITY PROVIDER", None, None, &["Task.Placement"]),
    (UNSTARTED, "a reason that nobody has seen yet", None, None, &[""]),
    (Some("SpotInterruption"), "Your Spot Task was interrupted.", Some(0), None, &["Task.SpotInterruption"]),
    (Some("TerminationNotice"), "ECS is performing maintenance", Some(0), None, &["Task.Infrastructure"]),
    (Some("UserInitiated"), "stopped by alice", Some(0), None, &["Task.Stopped"]),
    (None, "Host EC2 (instance i-0123) stopped/terminated.", None, None, &["Task.Infrastructure"]),
    (Some("SomethingNew"), "who knows", Some(0), None, &["Task.Stopped"]),
    (Some("InfrastructureHealth"), "", Some(137), None, &["Task.ExitCode.137", "Task.Infrastructure"]),
    (Some("ServiceSchedulerInitiated"), "Scaling activity initiated by x", Some(0), None, &["Task.Stopped"]),
    // The notice of a Spot interruption before it had a stop code of its own.
    (Some("TerminationNotice"), "Your Spot Task was interrupted.", Some(0), None, &["Task.SpotInterruption"]),
    // Words of ECS in the reason that somebody gave are not ECS's.
    (Some("UserInitiated"), "is it OutOfMemory? RESOURCE:CPU", Some(0), None, &["Task.Stopped"]),
    // A task that ran was placed.
    (EXITED, "RESOURCE:CPU", Some(1), Some("AGENT of the past"), &["Task.ExitCode.1"]),
    (UNSTARTED, "Task failed: LOCATION unknown", None, None, &[""]),
];

#[test]
fn a_host_or_capacity_that_went_away_is_no_success_whatever_exit_code_was_left() {
    for (stop_code, reason, name) in [
        (None, "Host EC2 (instance i-0123) terminated.", "Task.Infrastructure"),
        (Some("EssentialContainerExited"), "Host EC2 (instance i-0123) stopped/terminated.", "Task.Infrastructure"),
        (None, "Your Spot Task was interrupted.", "Task.SpotInterruption"),
    ] {
        let facts = stopped(stop_code, reason, vec![container(Some(true), Some(0), None)]);
        let verdict = judge(&facts, &definition(Success::Essential, &[]));
        assert!(names(&verdict).contains(&name), "{verdict:?}");
    }
}

#[test]
fn a_container_whose_flag_could_not_be_read_says_so_in_the_cause() {
    let sidecar = ContainerFacts { name: "log".into(), ..container(None, Some(137), None) };
    let facts = stopped(Some("EssentialContainerExited"), "", vec![container(None, Some(0), None), sidecar]);
    let Verdict::Failed(failure) = judge(&facts, &definition(Success::Essential, &[])) else { panic!("{facts:?}") };
    assert!(failure.cause.contains("whether it is essential could not be read"), "{}", failure.cause);
}

#[test]
fn every_known_end_of_a_task_has_its_names() {
    for (stop_code, reason, exit_code, container_reason, finer) in ENDS {
        let facts = stopped(stop_code, reason, vec![container(Some(true), exit_code, container_reason)]);
        let verdict = judge(&facts, &definition(Success::Essential, &[]));
        let mut expected: Vec<&str> = finer.iter().copied().filter(|name| !name.is_empty()).collect();
        if !finer.is_empty() {
            expected.push("States.TaskFailed");
        }
        assert_eq!(names(&verdict), expected, "{stop_code:?} {reason} {exit_code:?}");
    }
}

#[test]
fn an_absent_exit_code_is_not_zero() {
    for stop_code in [EXITED, None, UNSTARTED] {
        for success in [Success::Essential, Success::All] {
            let facts = stopped(stop_code, "", vec![container(Some(true), None, None)]);
            assert_ne!(judge(&facts, &definition(success, &["TaskFailedToStart"])), Verdict::Succeeded);
            assert_eq!(exit_code(&facts, &definition(success, &[])), None);
        }
    }
}

#[test]
fn a_task_without_containers_is_no_success() {
    let facts = stopped(EXITED, "", vec![]);
    let Verdict::Failed(failure) = judge(&facts, &definition(Success::All, &[])) else { panic!("a success") };
    assert_eq!(failure.cause, "ECS reported no container; EssentialContainerExited");
}

#[test]
fn a_sidecar_that_was_killed_at_the_end_spoils_all_but_not_essential() {
    let sidecar = container(Some(false), Some(137), None);
    let facts = stopped(EXITED, "", vec![sidecar, container(Some(true), Some(0), None)]);
    assert_eq!(judge(&facts, &definition(Success::Essential, &[])), Verdict::Succeeded);
    assert_eq!(exit_code(&facts, &definition(Success::Essential, &[])), Some(0));
    let strict = judge(&facts, &definition(Success::All, &[]));
    assert_eq!(names(&strict), ["Task.ExitCode.137", "States.TaskFailed"]);
    assert_eq!(exit_code(&facts, &definition(Success::All, &[])), Some(137));
}

#[test]
fn a_container_whose_essential_flag_is_unknown_decides() {
    let facts = stopped(EXITED, "", vec![container(None, Some(137), None), container(None, Some(0), None)]);
    assert_ne!(judge(&facts, &definition(Success::Essential, &[])), Verdict::Succeeded);
}

#[test]
fn a_task_whose_containers_are_all_not_essential_has_proved_nothing() {
    let facts = stopped(EXITED, "", vec![container(Some(false), Some(0), None)]);
    assert_ne!(judge(&facts, &definition(Success::Essential, &[])), Verdict::Succeeded);
}

#[test]
fn an_accepted_stop_code_needs_exit_code_zero_as_well() {
    let spot = |exit_code| stopped(Some("SpotInterruption"), "", vec![container(Some(true), exit_code, None)]);
    let accepting = definition(Success::Essential, &["SpotInterruption"]);
    assert_eq!(judge(&spot(Some(0)), &accepting), Verdict::Succeeded);
    assert_ne!(judge(&spot(Some(143)), &accepting), Verdict::Succeeded);
    assert_ne!(judge(&spot(None), &accepting), Verdict::Succeeded);
    assert_ne!(judge(&spot(Some(0)), &definition(Success::Essential, &["UserInitiated"])), Verdict::Succeeded);
}

#[test]
fn our_own_stop_is_no_success_even_if_the_job_accepts_stops() {
    let accepting = definition(Success::Essential, &["UserInitiated", "SpotInterruption"]);
    let ended = |stop_code| stopped(stop_code, "", vec![container(Some(true), Some(0), None)]);
    assert_eq!(judge(&ended(Some("UserInitiated")), &accepting), Verdict::Succeeded);
    assert_ne!(judge_asked_to_stop(&ended(Some("UserInitiated")), &accepting), Verdict::Succeeded);
    assert_eq!(judge_asked_to_stop(&ended(Some("SpotInterruption")), &accepting), Verdict::Succeeded);
    assert_eq!(judge_asked_to_stop(&ended(EXITED), &accepting), Verdict::Succeeded);
}

#[test]
fn the_cause_names_the_container_its_reason_and_what_ecs_says_of_the_task() {
    let broken = container(Some(true), Some(137), Some("OutOfMemoryError: Container killed due to memory usage"));
    let facts = stopped(EXITED, "Essential container in task exited", vec![broken]);
    let Verdict::Failed(failure) = judge(&facts, &definition(Success::Essential, &[])) else { panic!("a success") };
    assert_eq!(
        failure.cause,
        "container `app` exited with 137 (OutOfMemoryError: Container killed due to memory usage); \
         EssentialContainerExited: Essential container in task exited"
    );
}

#[test]
fn a_containers_end_is_not_the_tasks_end() {
    for (status, is_end) in [("DEPROVISIONING", false), ("STOPPING", false), ("STOPPED", true), ("DELETED", true)] {
        let mut facts = stopped(EXITED, "", vec![container(Some(true), Some(0), None)]);
        facts.last_status = status.into();
        assert_eq!(facts.is_stopped(), is_end, "{status}");
    }
}

fn with_codes(exit_codes: ExitCodes, success: Success) -> Definition {
    Definition { exit_codes: exit_codes.into(), ..definition(success, &["SpotInterruption"]) }
}

#[test]
fn exit_codes_make_a_success_or_nothing_to_do_of_what_ended_by_itself() {
    let codes = ExitCodes { succeed: [3].into(), skip: [99].into(), fail: [64].into(), ..ExitCodes::default() };
    let definition = with_codes(codes, Success::Essential);
    let ended = |stop_code, codes: &[i32]| {
        let containers = codes.iter().map(|code| container(Some(true), Some(*code), None)).collect();
        judge(&stopped(stop_code, "", containers), &definition)
    };
    let skipped = Verdict::Skipped { reason: "container `app` exited with 99, which exit_codes.skip lists".into() };
    assert_eq!(ended(EXITED, &[3]), Verdict::Succeeded);
    assert_eq!(ended(None, &[0, 3]), Verdict::Succeeded);
    assert_eq!(ended(EXITED, &[99]), skipped);
    assert_eq!(ended(EXITED, &[0, 99, 3]), skipped);
    assert_eq!(ended(Some("SpotInterruption"), &[99]), skipped, "the job accepts this stop code");
    assert_eq!(names(&ended(EXITED, &[99, 1])), ["Task.ExitCode.1", "States.TaskFailed"], "what failed counts first");
    for code in [3, 99, 64] {
        let cut_short = ended(Some("UserInitiated"), &[code]);
        let expected = [format!("Task.ExitCode.{code}"), "Task.Stopped".into(), "States.TaskFailed".into()];
        assert_eq!(names(&cut_short), expected);
    }
}

#[test]
fn only_a_task_that_ended_by_itself_bears_the_exit_code_that_the_lists_judge() {
    let code_of = |stop_code, exit_code| {
        let facts = stopped(stop_code, "", vec![container(Some(true), exit_code, None)]);
        let Verdict::Failed(failure) = judge(&facts, &definition(Success::Essential, &["SpotInterruption"])) else {
            panic!("no failure")
        };
        failure.exit_code
    };
    assert_eq!(code_of(EXITED, Some(64)), Some(64));
    assert_eq!(code_of(None, Some(64)), Some(64));
    assert_eq!(code_of(Some("SpotInterruption"), Some(64)), Some(64), "accepted, so its exit code counts");
    assert_eq!(code_of(UNSTARTED, Some(64)), None);
    assert_eq!(code_of(Some("UserInitiated"), Some(64)), None);
    assert_eq!(code_of(Some("SomethingNew"), Some(64)), None);
    assert_eq!(code_of(EXITED, None), None);
}

#[test]
fn a_container_that_does_not_decide_lends_no_words() {
    let sidecar = container(Some(false), Some(137), Some("OutOfMemoryError: Container killed due to memory usage"));
    let facts = stopped(EXITED, "", vec![sidecar, container(Some(true), Some(1), None)]);
    let of = |success| judge(&facts, &definition(success, &[]));
    assert_eq!(names(&of(Success::Essential)), ["Task.ExitCode.1", "States.TaskFailed"]);
    assert_eq!(names(&of(Success::All)), ["Task.ExitCode.137", "Task.OutOfMemory", "States.TaskFailed"]);
}

#[test]
fn sigkill_is_not_taken_for_memory_without_the_word_of_ecs() {
    let cause = |reason| {
        let facts = stopped(EXITED, "", vec![container(Some(true), Some(137), reason)]);
        let Verdict::Failed(failure) = judge(&facts, &definition(Success::Essential, &[])) else { panic!("a success") };
        failure.cause
    };
    assert_eq!(
        cause(None),
        "container `app` exited with 137, which is SIGKILL: a stop time-out, the shutdown after another container's end, \
         or the host's memory; EssentialContainerExited"
    );
    assert!(!cause(Some("OutOfMemoryError: x")).contains("SIGKILL"));
}
