//! The graph of a run: which steps there are, which of them were taken, and how each looks. `draw.rs` makes a picture of it.

use super::super::parts::{Look, count, lasting, words};
use super::retries;
use super::{Told, seconds};
use crate::engine::run::Status;
use crate::store::NoticeState;
use crate::web::objects::AttemptObject;

/// With more attempts than this those in the middle are one step.
const ATTEMPTS_MAX: usize = 8;
/// How many of the first ones are shown then, and how many of the last.
const FIRST: usize = 2;
const LAST: usize = 5;

/// What a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Where it begins, and where it ends.
    Edge,
    Step,
    /// Several steps that are not shown one by one.
    Folded,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// None if the run did not come by.
    pub(super) look: Option<Look>,
    pub(super) title: String,
    pub(super) detail: String,
    /// Where on the page there is more about it.
    pub(super) link: Option<String>,
}

/// The steps from the first to the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    /// What the newest attempt, at this place, did not lead to.
    pub(super) aside: Option<(usize, String)>,
}

fn step(look: Option<Look>, title: impl Into<String>, detail: impl Into<String>) -> Node {
    Node { kind: Kind::Step, look, title: title.into(), detail: detail.into(), link: None }
}

impl Graph {
    pub(super) fn of(told: &Told) -> Graph {
        let summary = &told.run.summary;
        let start = step(Some(Look::Good), "Start", told.trigger());
        let mut nodes = vec![Node { kind: Kind::Edge, ..start }, admission(told), launch(told)];
        let (mut aside, newest) = (None, told.run.attempt_list.len().checked_sub(1));
        let folded = folded(told.run.attempt_list.len());
        for (at, attempt) in told.run.attempt_list.iter().enumerate() {
            if folded.contains(&at) {
                if at == folded.start {
                    nodes.push(fold(attempt.attempt, folded.len()));
                }
                continue;
            }
            nodes.push(of_attempt(told, attempt, newest == Some(at)));
            if attempt.retrier.is_some() {
                nodes.push(wait(told, attempt, newest == Some(at)));
            } else if newest == Some(at) {
                aside = Some((nodes.len() - 1, not_retried(told)));
            }
        }
        if newest.is_none() {
            nodes.push(step(None, "Attempt 1", ""));
        }
        nodes.push(notify(told));
        let over = summary.finished_at.map(|at| lasting(at - summary.created_at));
        let end = match &over {
            Some(lasted) => step(
                Some(Look::of(summary.status)),
                capital(&words(summary.status.as_str())),
                format!("after {lasted}"),
            ),
            None => step(None, "End", ""),
        };
        nodes.push(Node { kind: Kind::Edge, ..end });
        Graph { nodes, aside }
    }

    /// All of it, for whoever does not see it.
    pub(super) fn in_words(&self) -> String {
        let said = |node: &Node| {
            let how = node.look.map_or("not taken", Look::word);
            if node.detail.is_empty() {
                format!("{}: {how}", node.title)
            } else {
                format!("{}: {how}, {}", node.title, node.detail)
            }
        };
        let steps: Vec<String> = self.nodes.iter().map(said).collect();
        format!("The steps of the run. {}", steps.join("; "))
    }
}

/// The attempts that are not shown one by one.
fn folded(attempts: usize) -> std::ops::Range<usize> {
    if attempts > ATTEMPTS_MAX { FIRST..attempts - LAST } else { 0..0 }
}

fn fold(first: u32, attempts: usize) -> Node {
    let link = Some(format!("#attempt-{first}"));
    let title = format!("… {attempts} more attempts …");
    Node { kind: Kind::Folded, link, ..step(Some(Look::Caught), title, "each failed and was tried again") }
}

fn admission(told: &Told) -> Node {
    let summary = &told.run.summary;
    let (look, detail) = match (told.run.attempt_list.first(), summary.status) {
        (None, Status::Due) => {
            (Look::Live, told.run.waits_for.clone().unwrap_or_else(|| "waits for its turn".to_owned()))
        }
        (Some(first), _) => {
            let waited = first.phases.queued_seconds.filter(|waited| *waited >= 1.0);
            (Look::Good, waited.map_or("at once".to_owned(), |waited| format!("after {}", lasting(seconds(waited)))))
        }
        (None, status) if summary.finished_at.is_some() => (Look::of(status), words(status.as_str())),
        (None, _) => (Look::Good, "at once".to_owned()),
    };
    step(Some(look), "Admission", detail)
}

fn launch(told: &Told) -> Node {
    let Some(first) = told.run.attempt_list.first() else {
        let is_sent = told.run.summary.status == Status::Launching;
        return step(is_sent.then_some(Look::Live), "Launch", if is_sent { "RunTask is being sent" } else { "" });
    };
    let is_newest = told.run.attempt_list.len() == 1;
    let (look, detail) = if first.task_arn.is_some() {
        let took = first.phases.launched_seconds.map(|took| format!(" after {}", lasting(seconds(took))));
        (Look::Good, format!("ECS took it in{}", took.unwrap_or_default()))
    } else if let Some(error) = first.error_names.first() {
        let look = if first.retrier.is_some() || !is_newest { Look::Caught } else { Look::of(told.run.summary.status) };
        (look, format!("refused: {error}"))
    } else {
        (Look::of(told.run.summary.status), words(told.run.summary.status.as_str()))
    };
    Node { link: Some(format!("#attempt-{}", first.attempt)), ..step(Some(look), "Launch", detail) }
}

/// How an attempt looks: one that a retrier took was caught, whatever became of the run.
pub(super) fn look_of(told: &Told, attempt: &AttemptObject, is_newest: bool) -> Look {
    if attempt.retrier.is_some() || !is_newest { Look::Caught } else { Look::of(told.run.summary.status) }
}

fn of_attempt(told: &Told, attempt: &AttemptObject, is_newest: bool) -> Node {
    let ran = attempt.started_at.map(|started| {
        let until = attempt.stopped_at.unwrap_or(told.now);
        format!("{} {}", if attempt.stopped_at.is_some() { "ran" } else { "runs for" }, lasting(until - started))
    });
    let what = match (attempt.error_names.first(), attempt.exit_code) {
        (Some(error), _) => Some(error.clone()),
        (None, Some(code)) => Some(format!("exit code {code}")),
        (None, None) if attempt.stopped_at.is_none() => Some(words(told.run.summary.status.as_str())),
        (None, None) => None,
    };
    let detail: Vec<String> = what.into_iter().chain(ran).collect();
    let node = step(Some(look_of(told, attempt, is_newest)), format!("Attempt {}", attempt.attempt), detail.join(", "));
    Node { link: Some(format!("#attempt-{}", attempt.attempt)), ..node }
}

fn wait(told: &Told, attempt: &AttemptObject, is_newest: bool) -> Node {
    let status = told.run.summary.status;
    // One that the end of the run cut short looks like that end.
    let look = if is_newest && told.run.summary.finished_at.is_some() { Look::of(status) } else { Look::Caught };
    let planned = lasting(seconds(attempt.retry_delay_seconds.unwrap_or_default()));
    let taker = attempt.retrier.map(|retrier| retries::named(&told.definition, retrier)).unwrap_or_default();
    let node = step(Some(look), format!("Wait {planned}"), taker);
    Node { link: Some(format!("#attempt-{}", attempt.attempt)), ..node }
}

/// What stands beside the newest attempt in the place of a wait.
fn not_retried(told: &Told) -> String {
    match told.run.summary.status {
        Status::Succeeded | Status::Skipped => "not needed",
        Status::Failed | Status::TimedOut | Status::Unknown | Status::Missed => "none left",
        Status::Cancelled => "cancelled",
        Status::Due | Status::Launching | Status::Running | Status::Stopping | Status::Waiting => "if it fails",
    }
    .to_owned()
}

fn notify(told: &Told) -> Node {
    let of = |state: NoticeState| told.run.notices.iter().filter(|notice| notice.state == state).count();
    let (owed, delivered, dead) = (of(NoticeState::Owed), of(NoticeState::Delivered), of(NoticeState::Dead));
    let all = [(delivered, "delivered"), (owed, "owed"), (dead, "given up")];
    let said: Vec<String> = all.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let look = match (owed, delivered, dead) {
        (0, 0, 0) => None,
        (_, _, 1..) => Some(Look::Bad),
        (1.., _, 0) => Some(Look::Live),
        (0, 1.., 0) => Some(Look::Good),
    };
    let detail = match (look, told.definition.notify.len()) {
        (Some(_), _) => said.join(", "),
        (None, 0) => "no rule".to_owned(),
        (None, rules) => count(rules, "rule", "rules"),
    };
    let link = look.map(|_| "#notices".to_owned());
    Node { link, ..step(look, "Notify", detail) }
}

/// With a capital letter.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::tests as lives;
    use super::*;

    fn steps(graph: &Graph) -> Vec<(&str, Option<Look>)> {
        graph.nodes.iter().map(|node| (node.title.as_str(), node.look)).collect()
    }

    const GOOD: Option<Look> = Some(Look::Good);
    const CAUGHT: Option<Look> = Some(Look::Caught);
    const BAD: Option<Look> = Some(Look::Bad);

    #[test]
    fn a_success_at_once_leaves_the_retry_aside() {
        let graph = Graph::of(&lives::succeeded());
        let expected = [
            ("Start", GOOD),
            ("Admission", GOOD),
            ("Launch", GOOD),
            ("Attempt 1", GOOD),
            ("Notify", None),
            ("Succeeded", GOOD),
        ];
        assert_eq!(steps(&graph), expected);
        assert_eq!(graph.aside, Some((3, "not needed".to_owned())));
        assert_eq!(graph.nodes[3].link.as_deref(), Some("#attempt-1"));
    }

    #[test]
    fn a_failure_that_was_retried_is_caught_and_its_wait_names_the_retrier() {
        let graph = Graph::of(&lives::retried());
        let expected = [
            ("Start", GOOD),
            ("Admission", GOOD),
            ("Launch", GOOD),
            ("Attempt 1", CAUGHT),
            ("Wait 3 s", CAUGHT),
            ("Attempt 2", GOOD),
            ("Notify", None),
            ("Succeeded", GOOD),
        ];
        assert_eq!(steps(&graph), expected);
        assert_eq!(graph.nodes[4].detail, "retrier 2 of 2 (States.TaskFailed)");
        assert!(graph.in_words().contains("Attempt 1: failed, to be retried, Task.ExitCode.1"), "{}", graph.in_words());
    }

    #[test]
    fn what_failed_for_good_is_red_to_the_end() {
        let graph = Graph::of(&lives::failed());
        assert_eq!(
            steps(&graph).into_iter().rev().take(3).collect::<Vec<_>>(),
            [("Failed", BAD), ("Notify", None), ("Attempt 4", BAD)]
        );
        assert_eq!(graph.aside.map(|(_, said)| said).as_deref(), Some("none left"));
    }

    #[test]
    fn a_wait_that_goes_on_is_the_newest_step_and_one_that_was_cut_short_has_the_colour_of_the_end() {
        let waiting = Graph::of(&lives::waiting());
        assert_eq!(
            steps(&waiting).into_iter().rev().take(3).collect::<Vec<_>>(),
            [("End", None), ("Notify", None), ("Wait 3 s", CAUGHT)]
        );
        assert_eq!(waiting.aside, None);
        let cancelled = Graph::of(&lives::cancelled_while_it_waited());
        assert!(steps(&cancelled).contains(&("Wait 3 s", Some(Look::Gone))), "{cancelled:?}");
        assert!(steps(&cancelled).contains(&("Attempt 1", CAUGHT)), "{cancelled:?}");
    }

    #[test]
    fn what_never_started_goes_from_its_admission_to_its_end() {
        let graph = Graph::of(&lives::skipped());
        let gone = Some(Look::Gone);
        let expected = [
            ("Start", GOOD),
            ("Admission", gone),
            ("Launch", None),
            ("Attempt 1", None),
            ("Notify", None),
            ("Skipped", gone),
        ];
        assert_eq!(steps(&graph), expected);
    }

    #[test]
    fn many_attempts_are_folded_and_the_last_ones_never() {
        assert_eq!((folded(8), folded(9), folded(17)), (0..0, 2..4, 2..12));
        let graph = Graph::of(&lives::failed_often(20));
        let titles: Vec<&str> = graph.nodes.iter().map(|node| node.title.as_str()).collect();
        assert!(titles.contains(&"… 13 more attempts …"), "{titles:?}");
        for shown in ["Attempt 1", "Attempt 2", "Attempt 16", "Attempt 20"] {
            assert!(titles.contains(&shown), "{titles:?}");
        }
        assert!(!titles.contains(&"Attempt 3") && !titles.contains(&"Attempt 15"), "{titles:?}");
        assert_eq!(
            graph.nodes.iter().find(|node| node.kind == Kind::Folded).unwrap().link.as_deref(),
            Some("#attempt-3")
        );
    }
}
