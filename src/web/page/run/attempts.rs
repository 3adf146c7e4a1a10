//! The attempts of a run: where the time of each went, what became of its containers, and who took its failure.

use chrono::TimeDelta;
use maud::{Markup, html};

use super::super::parts::{Look, count, lasting, moment_or_dash, words};
use super::console::Place;
use super::{Told, graph, retries, seconds};
use crate::engine::log_tail::LogTail;
use crate::engine::run::Phases;
use crate::engine::task::ContainerFacts;
use crate::web::objects::{AttemptObject, TaskObject};

/// How many attempts are shown with all that is known of them, the newest ones.
const WHOLE_MAX: usize = 20;
/// How many of those before are a line each; of what is older still, only the number is told.
const LINES_MAX: usize = 200;
/// How wide the bar of phases is, and how narrow a phase that took no time to speak of.
const BAR: i32 = 1_000;
const BAR_MIN: i32 = 4;

pub(super) fn attempts(told: &Told) -> Markup {
    let all = &told.run.attempt_list;
    let (older, whole) = all.split_at(all.len().saturating_sub(WHOLE_MAX));
    let (left_out, lines) = older.split_at(older.len().saturating_sub(LINES_MAX));
    html! {
        @if all.is_empty() { p .empty { "There is none. An attempt is one launch by RunTask, with all that becomes of its task." } }
        @if !left_out.is_empty() {
            p .muted { (count(left_out.len(), "older attempt is", "older attempts are")) " in the JSON of this run only." }
        }
        @if !lines.is_empty() { (in_lines(lines)) }
        @for (at, attempt) in whole.iter().enumerate() {
            (whole_attempt(told, attempt, whole.get(at + 1)))
        }
    }
}

fn in_lines(attempts: &[AttemptObject]) -> Markup {
    html! {
        details {
            summary { (count(attempts.len(), "earlier attempt", "earlier attempts")) }
            table .cards {
                caption .sr { "Earlier attempts" }
                thead { tr { th scope="col" { "Attempt" } th scope="col" { "Launched" } th scope="col" { "Stopped" } th scope="col" { "Error" } } }
                tbody {
                    @for attempt in attempts {
                        tr id={ "attempt-" (attempt.attempt) } data-key={ "attempt-" (attempt.attempt) } {
                            th scope="row" { (attempt.attempt) }
                            td data-name="Launched" { (moment_or_dash(attempt.launched_at)) }
                            td data-name="Stopped" { (moment_or_dash(attempt.stopped_at)) }
                            td data-name="Error" { (attempt.error_names.first().map_or("–", String::as_str)) }
                        }
                    }
                }
            }
        }
    }
}

fn whole_attempt(told: &Told, attempt: &AttemptObject, next: Option<&AttemptObject>) -> Markup {
    let id = format!("attempt-{}", attempt.attempt);
    let is_newest = told.run.attempt_list.last().is_some_and(|newest| newest.attempt == attempt.attempt);
    let look = graph::look_of(told, attempt, is_newest);
    html! {
        section .attempt id=(id) data-key=(id) aria-labelledby={ (id) "-title" } {
            h3 id={ (id) "-title" } {
                "Attempt " (attempt.attempt) " "
                span class={ "mark " (look.class()) } { span aria-hidden="true" { (look.sign()) } " " (word(told, attempt, look, is_newest)) }
            }
            @if let Some(cause) = &attempt.cause {
                p class={ "cause " (look.class()) } { b { (attempt.error_names.join(", ")) } ": " (cause) }
            }
            @if let Some(hint) = &attempt.hint { p .hint { "What to do: " (hint) "." } }
            (retry(told, attempt, next, is_newest))
            (phases(&attempt.phases))
            dl .facts {
                dt { "Launched" } dd {
                    (moment_or_dash(attempt.launched_at))
                    @if attempt.generation != attempt.attempt { " " span .muted { "generation " (attempt.generation) } }
                }
                dt { "Started" } dd { (moment_or_dash(attempt.started_at)) }
                dt { "Stopped" } dd {
                    @match (attempt.stopped_at, attempt.started_at) {
                        (None, Some(started)) => { "runs for " (lasting(told.now - started)) },
                        (at, _) => (moment_or_dash(at)),
                    }
                }
                @if let Some(arn) = &attempt.task_arn { dt { "Task" } dd { (task(arn)) } }
                @if let Some(code) = &attempt.stop_code { dt { "Stop code" } dd { (code) } }
                @if let Some(reason) = &attempt.stopped_reason { dt { "Stopped reason" } dd { (reason) } }
            }
            @if !attempt.containers.is_empty() { (containers(told, attempt)) }
            @if attempt.tasks.len() > 1 { (tasks(attempt)) }
            @for tail in &attempt.log_tail { (log(attempt, tail)) }
        }
    }
}

/// How an attempt is, in a word. One that goes on says what its run does.
fn word(told: &Told, attempt: &AttemptObject, look: Look, is_newest: bool) -> String {
    match look {
        Look::Caught if attempt.retrier.is_some() => "failed, tried again".to_owned(),
        _ if is_newest => words(told.run.summary.status.as_str()),
        _ => look.word().to_owned(),
    }
}

/// Who took the failure, how long the wait was to be, and how long it was; or why nobody took it.
fn retry(told: &Told, attempt: &AttemptObject, next: Option<&AttemptObject>, is_newest: bool) -> Markup {
    let Some(retrier) = attempt.retrier else {
        let why = told.why_no_retry().filter(|_| is_newest);
        return html! { @if let Some(why) = why { p .retry { "Not tried again: " (why) "." } } };
    };
    let planned = attempt.retry_delay_seconds.map(seconds).unwrap_or_default();
    let real = next.and_then(|next| Some(next.launched_at? - attempt.stopped_at?));
    html! {
        p .retry {
            span .mark.caught { span aria-hidden="true" { (Look::Caught.sign()) } " " (retries::named(&told.definition, retrier)) }
            " took it: a wait of " (lasting(planned))
            @if let Some(real) = real { "; attempt " (attempt.attempt + 1) " left " (exact(real)) " after the stop" }
            "."
        }
    }
}

/// To the tenth of a second, as far as anybody cares.
fn exact(time: TimeDelta) -> String {
    let millis = time.num_milliseconds().max(0);
    if (10_000..60_000).contains(&millis) {
        format!("{}.{} s", millis / 1_000, millis % 1_000 / 100)
    } else {
        lasting(time)
    }
}

/// Each phase with its name and the class of its colour.
fn named(phases: &Phases) -> [(&'static str, &'static str, Option<f64>); 7] {
    [
        ("queued", "p1", phases.queued_seconds),
        ("launched", "p2", phases.launched_seconds),
        ("provisioning", "p3", phases.provisioning_seconds),
        ("pulling", "p4", phases.pulling_seconds),
        ("starting", "p5", phases.starting_seconds),
        ("running", "p6", phases.running_seconds),
        ("stopping", "p7", phases.stopping_seconds),
    ]
}

/// Where each phase begins on the bar, and how wide it is.
fn bar(lengths: &[f64]) -> Vec<(i32, i32)> {
    let all: f64 = lengths.iter().sum();
    let least = f64::from(BAR_MIN);
    let room = f64::from(BAR) - least * lengths.iter().map(|_| 1.0).sum::<f64>();
    let mut x = 0;
    let mut pieces = Vec::new();
    for length in lengths {
        let share = if all > 0.0 { length / all } else { 0.0 };
        let width = whole(least + share * room.max(0.0));
        pieces.push((x, width));
        x += width;
    }
    pieces
}

#[expect(clippy::cast_possible_truncation, reason = "a place on the bar is within its width")]
fn whole(place: f64) -> i32 {
    place.round() as i32
}

fn phases(phases: &Phases) -> Markup {
    let known: Vec<(&str, &str, f64)> =
        named(phases).into_iter().filter_map(|(name, class, time)| Some((name, class, time?))).collect();
    let lengths: Vec<f64> = known.iter().map(|(.., time)| *time).collect();
    html! {
        @if !known.is_empty() {
            svg .phases viewBox={ "0 0 " (BAR) " 10" } preserveAspectRatio="none" height="10" aria-hidden="true" {
                @for ((_, class, _), (x, width)) in known.iter().zip(bar(&lengths)) {
                    rect class=(class) x=(x) y="0" width=(width) height="10" {}
                }
            }
            ul .phases aria-label="Where its time went" {
                @for (name, class, time) in &known {
                    li { span class={ "swatch " (class) } aria-hidden="true" {} " " (name) " " b { (lasting(seconds(*time))) } }
                }
            }
        }
    }
}

fn task(arn: &str) -> Markup {
    html! {
        code { (arn) }
        @if let Some(place) = Place::of(arn) {
            " " span .links {
                a href=(place.task()) rel="noreferrer" { "ECS console" } " "
                a href=(place.logs()) rel="noreferrer" { "its logs" }
            }
        }
    }
}

fn containers(told: &Told, attempt: &AttemptObject) -> Markup {
    html! {
        table .cards {
            caption .sr { "Containers of attempt " (attempt.attempt) }
            thead { tr { th scope="col" { "Container" } th scope="col" { "Essential" } th scope="col" { "Exit code" } th scope="col" { "Reason" } } }
            tbody {
                @for ContainerFacts { name, essential, exit_code, reason } in &attempt.containers {
                    tr {
                        th scope="row" { (name) }
                        td data-name="Essential" { (match essential { Some(true) => "yes", Some(false) => "no", None => "not known" }) }
                        td data-name="Exit code" {
                            @match exit_code {
                                Some(code) => {
                                    b { (code) }
                                    @if let Some(meaning) = told.definition.exit_codes.meaning(*code) { " " span .muted { (meaning) } }
                                },
                                None => span .muted { "none" },
                            }
                        }
                        td data-name="Reason" { (reason.as_deref().unwrap_or("–")) }
                    }
                }
            }
        }
    }
}

fn tasks(attempt: &AttemptObject) -> Markup {
    html! {
        table .cards {
            caption .sr { "Tasks of attempt " (attempt.attempt) }
            thead { tr { th scope="col" { "Task" } th scope="col" { "Exit code" } th scope="col" { "What happened" } } }
            tbody {
                @for TaskObject { task_arn, exit_code, cause, .. } in &attempt.tasks {
                    tr {
                        th scope="row" { (task(task_arn)) }
                        td data-name="Exit code" { (exit_code.map_or("none".to_owned(), |code| code.to_string())) }
                        td data-name="What happened" { (cause.as_deref().unwrap_or("it ended well")) }
                    }
                }
            }
        }
    }
}

fn log(attempt: &AttemptObject, tail: &LogTail) -> Markup {
    let LogTail { container, lines, note, stream } = tail;
    let place = attempt.task_arn.as_deref().and_then(Place::of);
    let console = place
        .zip(stream.as_ref())
        .and_then(|(place, stream)| place.stream(stream.region.as_deref(), &stream.group, &stream.name));
    let label = format!("Last lines of {container} in attempt {}", attempt.attempt);
    html! {
        h4 {
            "Last lines of " (container)
            @if let Some(console) = console { " " a href=(console) rel="noreferrer" { "CloudWatch console" } }
        }
        @if let Some(note) = note { p .muted { (note) } }
        @if !lines.is_empty() {
            pre tabindex="0" role="region" aria-label=(label) { (lines.join("\n")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests as lives;
    use super::*;
    use crate::engine::log_tail::LogStream;

    #[test]
    fn the_bar_shares_its_width_by_time_and_shows_what_took_none() {
        assert_eq!(bar(&[1.0, 0.0, 3.0]), [(0, 251), (251, 4), (255, 745)]);
        assert_eq!(bar(&[0.0]), [(0, 4)]);
        assert_eq!(bar(&[]), []);
        let (last, width) = *bar(&[0.2, 0.1, 4.0, 9.5, 1.0, 3_600.0, 30.0]).last().unwrap();
        assert!((last + width - BAR).abs() <= 7, "{last} {width}");
    }

    #[test]
    fn a_retried_attempt_says_who_took_it_what_was_planned_and_what_came_of_it() {
        let shown = attempts(&lives::retried()).into_string();
        for said in [
            r#"<section class="attempt" id="attempt-1""#,
            "failed, tried again",
            "Task.ExitCode.1, States.TaskFailed",
            "retrier 2 of 2 (States.TaskFailed)",
            "took it: a wait of 3 s; attempt 2 left 3.1 s after the stop.",
            "any error, as the program sees it",
            "provisioning <b>2 s</b>",
        ] {
            assert!(shown.contains(said), "{said}: {shown}");
        }
        assert!(!shown.contains("style="), "{shown}");
    }

    #[test]
    fn a_task_of_aws_leads_to_its_consoles_and_one_of_this_machine_nowhere() {
        let mut told = lives::failed();
        let attempt = told.run.attempt_list.last_mut().unwrap();
        let stream = LogStream { region: None, group: "/ecs/app".into(), name: "a/app/1".into() };
        attempt.log_tail = vec![LogTail {
            lines: vec!["<b>boom</b>".into()],
            stream: Some(stream),
            ..LogTail::without_lines("app", "cut")
        }];
        let shown = attempts(&told).into_string();
        assert!(shown.contains("console.aws.amazon.com/ecs/v2/clusters/main/tasks/"), "{shown}");
        assert!(shown.contains("#logsV2:log-groups/log-group/$252Fecs$252Fapp/log-events/a$252Fapp$252F1"), "{shown}");
        assert!(shown.contains("&lt;b&gt;boom&lt;/b&gt;") && shown.contains("cut"), "{shown}");
        for attempt in &mut told.run.attempt_list {
            attempt.task_arn = Some("arn:aws:ecs:us-east-1:000000000000:task/main/1".into());
        }
        assert!(!attempts(&told).into_string().contains("https://"));
    }

    #[test]
    fn of_several_tasks_each_is_told() {
        let mut told = lives::succeeded();
        let attempt = &mut told.run.attempt_list[0];
        let task = |nth: u32, cause: Option<&str>| TaskObject {
            task_arn: format!("arn:aws:ecs:eu-central-1:123456789012:task/main/{nth}"),
            exit_code: cause.is_none().then_some(0),
            error_names: Vec::new(),
            cause: cause.map(str::to_owned),
            phases: Phases::default(),
            described: None,
        };
        attempt.tasks = vec![task(1, None), task(2, Some("container <app> vanished"))];
        let shown = attempts(&told).into_string();
        assert!(shown.contains("task/main/2") && shown.contains("it ended well"), "{shown}");
        assert!(shown.contains("container &lt;app&gt; vanished"), "{shown}");
    }

    #[test]
    fn of_very_many_attempts_the_newest_are_whole_and_every_address_of_the_graph_is_there() {
        let shown = attempts(&lives::failed_often(40)).into_string();
        assert!(shown.contains("20 earlier attempts"), "{shown}");
        for nth in 1..=40 {
            assert!(shown.contains(&format!("id=\"attempt-{nth}\"")), "{nth}");
        }
        assert_eq!(shown.matches("<section").count(), WHOLE_MAX);
        let shown = attempts(&lives::failed_often(300)).into_string();
        assert!(shown.contains("80 older attempts are in the JSON of this run only."), "{shown}");
    }
}
