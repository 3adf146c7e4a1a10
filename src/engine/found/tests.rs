//! Whose a live task is, and what becomes of ours.

use std::time::Duration;

use chrono::TimeDelta;

use super::*;
use crate::engine::failure::ErrorName;
use crate::engine::job::{ContainerOverride, Limits, TaskSpec};
use crate::engine::launch::Launch;
use crate::engine::run::{Event, HistoryEvent, State, Status, Step};
use crate::engine::samples;
use crate::engine::task::{ContainerFacts, TaskFacts, TaskTimes};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000, 0).unwrap()
}

fn minutes(count: i64) -> TimeDelta {
    TimeDelta::minutes(count)
}

fn us() -> Instance {
    Instance::new("prod").unwrap()
}

fn nightly() -> JobName {
    JobName::new("nightly").unwrap()
}

fn definition() -> Definition {
    let plain = samples::definition();
    let app = ContainerOverride { name: "app".into(), ..ContainerOverride::default() };
    Definition { task: TaskSpec { containers: vec![app], ..plain.task.clone() }, ..plain }
}

/// The task of a launch, as an installation froze it ten minutes ago.
fn launched(instance: &Instance, generation: u32) -> FoundTask {
    let firing = Firing::of_schedule(&nightly(), now() - minutes(10), Trigger::Schedule);
    let (run, _) = Run::due(firing, instance.clone(), Arc::new(definition()), now());
    let request = Launch::freeze(&run, generation, now()).request;
    let site = request.task.site();
    let environment = request.task.containers.iter().flat_map(|container| container.environment.clone());
    FoundTask {
        task: TaskArn(format!("task/{generation}")),
        site,
        started_by: request.started_by.clone(),
        created_at: Some(now() - minutes(10) + TimeDelta::seconds(i64::from(generation))),
        tags: request.task.tags.clone(),
        environment: environment.collect(),
    }
}

fn concluded_by(definition: &Definition, found: Vec<FoundTask>) -> Findings {
    let definition = Arc::new(definition.clone());
    conclude(&us(), |job| (*job == nightly()).then(|| Arc::clone(&definition)), found, now())
}

fn concluded(found: Vec<FoundTask>) -> Findings {
    concluded_by(&definition(), found)
}

/// How many runs, strays and tasks of others.
fn counted(found: FoundTask) -> (usize, usize, usize) {
    let Findings { runs, strays, foreign } = concluded(vec![found]);
    (runs.len(), strays.len(), foreign)
}

const OURS: (usize, usize, usize) = (1, 0, 0);
const TOLD: (usize, usize, usize) = (0, 1, 0);
const FOREIGN: (usize, usize, usize) = (0, 0, 1);

#[test]
fn a_task_of_ours_becomes_the_living_run_that_it_was() {
    let findings = concluded(vec![launched(&us(), 1)]);
    let [(run, entries)] = findings.runs.as_slice() else { panic!("{findings:?}") };
    assert_eq!(run.id.as_str(), "nightly-20250615T145640Z");
    assert_eq!((run.status(), run.scheduled_at, run.created_at), (Status::Running, now() - minutes(10), now()));
    assert_eq!(run.followed_task(), Some(&TaskArn("task/1".into())));
    let launch = run.launch.as_ref().unwrap();
    assert_eq!(launch.request.started_by, launched(&us(), 1).started_by);
    assert!(!launch.unresolved, "what has a task is never sent again");
    let [attempt] = run.attempts.as_slice() else { panic!("{:?}", run.attempts) };
    assert_eq!((attempt.attempt, attempt.generation), (1, 1));
    assert_eq!(attempt.launched_at, launched(&us(), 1).created_at);
    let told: Vec<&HistoryEvent> = entries.iter().map(|entry| &entry.event).collect();
    let [HistoryEvent::ExecutionStarted { .. }, HistoryEvent::TaskAdopted { reason, others, .. }] = told.as_slice()
    else {
        panic!("{told:?}")
    };
    assert_eq!((reason.as_str(), others.len()), ("found in ECS; the state that launched it is gone", 0));
    assert_eq!((entries[0].seq, entries[1].seq, run.history_len), (1, 2, 2));
}

#[test]
fn variables_prove_as_tags_do_and_neither_is_needed_twice() {
    let mut without_tags = launched(&us(), 1);
    without_tags.tags.clear();
    assert_eq!(counted(without_tags), OURS);
    let mut without_variables = launched(&us(), 1);
    without_variables.environment.clear();
    assert_eq!(counted(without_variables), OURS);
    let mut half_untagged = launched(&us(), 1);
    half_untagged.tags.remove("tenacron:run");
    assert_eq!(counted(half_untagged), OURS);
}

#[test]
fn a_task_without_marks_is_told_and_left_alone() {
    let mut bare = launched(&us(), 1);
    bare.tags.clear();
    bare.environment.clear();
    assert_eq!(counted(bare.clone()), TOLD);
    let Findings { strays, .. } = concluded(vec![bare.clone()]);
    let reason = "neither tags nor variables say whose it is".to_owned();
    assert_eq!(strays, [Stray { task: bare.task, started_by: bare.started_by, reason }]);
}

#[test]
fn tasks_of_other_installations_are_none_of_ours() {
    let other = Instance::new("staging").unwrap();
    assert_eq!(counted(launched(&other, 1)), FOREIGN);
    let mut without_tags = launched(&other, 1);
    without_tags.tags.clear();
    assert_eq!(counted(without_tags), FOREIGN);
}

#[test]
fn a_claim_that_the_started_by_does_not_bear_out_is_no_proof() {
    let forged = |tag: &str, value: &str| {
        let mut task = launched(&us(), 1);
        task.environment.clear();
        task.tags.insert(format!("tenacron:{tag}"), value.into());
        counted(task)
    };
    assert_eq!(forged("job", "nightly"), OURS, "the same value forges nothing");
    assert_eq!(forged("job", "daily"), TOLD, "the run is another job's");
    assert_eq!(forged("job", "not a name"), TOLD);
    assert_eq!(forged("run", "nightly-20250615T145641Z"), TOLD);
    assert_eq!(forged("scheduled-at", "2025-06-15T14:56:41Z"), TOLD);
    assert_eq!(forged("scheduled-at", "yesterday"), TOLD);
    assert_eq!(forged("attempt", "2"), TOLD);
    assert_eq!(forged("attempt", "0"), TOLD);
    assert_eq!(forged("instance", "staging"), FOREIGN);
    let mut stolen = launched(&us(), 1);
    stolen.started_by = launched(&Instance::new("staging").unwrap(), 1).started_by;
    assert_eq!(counted(stolen), TOLD, "tagged as ours, launched by another");
}

#[test]
fn a_task_of_ours_whose_job_is_gone_is_told_with_its_run() {
    let Findings { runs, strays, foreign } = conclude(&us(), |_| None, vec![launched(&us(), 1)], now());
    assert_eq!((runs.len(), foreign), (0, 0));
    assert_eq!(strays[0].reason, "it is of run nightly-20250615T145640Z, whose job is not configured");
}

#[test]
fn of_several_launches_the_newest_is_followed_and_the_others_are_named() {
    let findings = concluded(vec![launched(&us(), 2), launched(&us(), 3), launched(&us(), 2)]);
    let [(run, entries)] = findings.runs.as_slice() else { panic!("{findings:?}") };
    assert_eq!(run.followed_task(), Some(&TaskArn("task/3".into())));
    assert_eq!((run.attempts[0].attempt, run.attempts[0].generation), (1, 3));
    let HistoryEvent::TaskAdopted { others, .. } = &entries[1].event else { panic!("{entries:?}") };
    assert_eq!(others, &[TaskArn("task/2".into())], "a task that was listed twice is one task");
}

#[test]
fn limits_count_from_the_launch_and_not_from_the_find() {
    let limited = |timeout: u64, attempt_timeout: u64| {
        let seconds = |count| Some(Duration::from_secs(count));
        let limits =
            Limits { timeout: seconds(timeout), attempt_timeout: seconds(attempt_timeout), ..Limits::default() };
        let definition = Definition { limits, ..definition() };
        let tasks = vec![launched(&us(), 1), launched(&us(), 5)];
        concluded_by(&definition, tasks).runs.pop().expect("a run").0
    };
    let run = limited(3600, 1800);
    assert_eq!(run.deadline, Some(now() + minutes(50) + TimeDelta::seconds(1)), "from the earliest launch known");
    assert_eq!(run.wake_at(), Some(now() + minutes(20) + TimeDelta::seconds(5)), "from the launch of the attempt");
    assert!(matches!(limited(60, 1800).state, State::Stopping { .. }), "its time was over before it was found");
    assert!(matches!(limited(3600, 60).state, State::Stopping { .. }));
}

#[test]
fn a_task_from_the_future_or_without_a_date_was_launched_now() {
    for created_at in [None, Some(now() + minutes(3))] {
        let findings = concluded(vec![FoundTask { created_at, ..launched(&us(), 1) }]);
        assert_eq!(findings.runs[0].0.attempts[0].launched_at, Some(now()));
    }
}

#[test]
fn a_job_that_moved_to_another_cluster_is_followed_where_its_task_is() {
    let mut moved = definition();
    moved.task.cluster = "other".into();
    let findings = concluded_by(&moved, vec![launched(&us(), 1)]);
    assert_eq!(findings.runs[0].0.definition.task.cluster, "main");
}

#[test]
fn its_failure_is_retried_by_the_policy_as_the_next_generation() {
    let mut run = concluded(vec![launched(&us(), 2)]).runs.pop().expect("a run").0;
    let facts = TaskFacts {
        task: TaskArn("task/2".into()),
        last_status: "STOPPED".into(),
        stop_code: Some("EssentialContainerExited".into()),
        stopped_reason: None,
        times: TaskTimes { started_at: Some(now() - minutes(9)), stopped_at: Some(now()), ..TaskTimes::default() },
        described: None,
        containers: vec![ContainerFacts {
            name: "app".into(),
            essential: Some(true),
            exit_code: Some(3),
            reason: None,
        }],
    };
    assert!(matches!(run.step(Event::Observed(facts), now()), Ok(Step::Changed(_))));
    assert_eq!((run.status(), run.shown_exit_code()), (Status::Waiting, Some(3)));
    assert_eq!(run.shown_failure().map(|failure| &failure.primary), Some(&ErrorName::TASK_FAILED));
    run.step(Event::Permitted, now() + minutes(1)).unwrap();
    let numbers: Vec<(u32, u32)> = run.attempts.iter().map(|attempt| (attempt.attempt, attempt.generation)).collect();
    assert_eq!(numbers, [(1, 2), (2, 3)]);
}
