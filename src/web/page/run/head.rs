//! How a run is: in one line, what failed and what to do about it, the facts, and what may be done.

use maud::{Markup, html};

use super::super::parts::{Look, count, deed, lasting, local, moment, status};
use super::Told;
use super::graph::capital;
use crate::engine::run::Status;
use crate::store::RunSummary;

pub(super) fn head(told: &Told) -> Markup {
    let summary = &told.run.summary;
    html! {
        p .above { "A run of " a href={ "/jobs/" (summary.job) } { (summary.job) } }
        h1 { (summary.run) }
        p #status .lead { (status(summary.status)) " " span { (in_a_line(told)) } }
        @if let Some(cause) = &summary.cause {
            p class={ "cause " (Look::of(summary.status).class()) } {
                @if let Some(error) = &summary.error { b { (error) } ": " }
                (cause)
            }
        }
        @if let Some(why) = told.why_no_retry() { p .muted { "Not tried again: " (why) "." } }
        @if let Some(hint) = &told.run.hint { p .hint { "What to do: " (hint) "." } }
        @if let Some(what) = what_now(summary.status, told.run.attempt_list.is_empty()) { p .hint { (what) } }
        (facts(told))
    }
}

/// What a status says by itself.
fn in_a_line(told: &Told) -> Markup {
    let summary = &told.run.summary;
    let attempts = count(told.run.attempt_list.len(), "attempt", "attempts");
    let next = summary.next_action_at;
    let newest = told.run.attempt_list.last();
    html! {
        @match summary.status {
            Status::Due => "It waits for its launch.",
            Status::Launching => { "ECS is being asked for attempt " (summary.attempts.max(1)) "." },
            Status::Running => {
                "Attempt " (summary.attempts) " runs"
                @if let Some(started) = newest.and_then(|newest| newest.started_at) { " since " (moment(started)) }
                "."
            },
            Status::Stopping => "Its task was asked to stop and is followed until it has.",
            Status::Waiting => {
                "Attempt " (summary.attempts) " failed. Attempt " (summary.attempts + 1) " is due"
                @if let Some(next) = next { " at " (moment(next)) }
                "."
            },
            Status::Succeeded => { "It went well after " (attempts) ", " (lasted(summary)) " in all." },
            Status::Failed => { "It failed for good after " (attempts) " and " (lasted(summary)) "." },
            Status::TimedOut => { "Its time was over after " (attempts) " and " (lasted(summary)) "." },
            Status::Cancelled => { "Somebody or a rule ended it after " (attempts) "." },
            Status::Skipped if newest.is_some() => "Its task says that there was nothing to do.",
            Status::Skipped => "Nothing was launched: a rule left this instant out.",
            Status::Missed => "Nothing was launched: the instant was missed.",
            Status::Unknown => "Nobody knows whether its task was launched.",
        }
        @if let Some(covered) = summary.covers {
            " This row stands for " (covered.count) " instants that the same rule left out, from " (moment(covered.first))
            " to " (moment(summary.scheduled_at)) "."
        }
    }
}

/// What to do where no hint of a failure says it.
fn what_now(status: Status, is_unlaunched: bool) -> Option<&'static str> {
    match status {
        Status::Missed => Some("What to do: if the work of this instant is wanted all the same, retry it."),
        Status::Skipped if is_unlaunched => Some(
            "Nothing is wrong with it. If it should have run, see overlap, catchup and pauses of its job, or retry it.",
        ),
        Status::Due
        | Status::Launching
        | Status::Running
        | Status::Stopping
        | Status::Waiting
        | Status::Succeeded
        | Status::Failed
        | Status::TimedOut
        | Status::Cancelled
        | Status::Skipped
        | Status::Unknown => None,
    }
}

fn lasted(summary: &RunSummary) -> String {
    summary.finished_at.map(|at| lasting(at - summary.created_at)).unwrap_or_default()
}

fn fact(name: &str, what: &Markup) -> Markup {
    html! { dt { (name) } dd { (what) } }
}

fn facts(told: &Told) -> Markup {
    let summary = &told.run.summary;
    let is_over = summary.finished_at.is_some();
    let instant = html! {
        (moment(summary.scheduled_at))
        @if let Some(zone) = told.zone { " " span .muted { "in the zone of its job: " (local(summary.scheduled_at, zone)) } }
    };
    html! {
        dl .facts {
            (fact("Instant", &instant))
            (fact("Began", &html! { (told.trigger()) (asked(told)) }))
            (fact("Recorded", &moment(summary.created_at)))
            @if let Some(at) = summary.finished_at {
                (fact("Finished", &html! { (moment(at)) " " span .muted { "after " (lasted(summary)) } }))
            } @else {
                (fact("For", &html! { (lasting(told.now - summary.created_at)) }))
            }
            @if let Some(what) = &told.run.waits_for { (fact("Waits for", &html! { (what) })) }
            @if let Some(at) = summary.next_action_at.filter(|at| !is_over && told.deadline != Some(*at)) {
                (fact("Next step", &html! { "due at " (moment(at)) }))
            }
            @if let Some(at) = told.deadline.filter(|_| !is_over) {
                (fact("Deadline", &html! { (moment(at)) " " span .muted { "then it is stopped" } }))
            }
            @if let Some(code) = summary.exit_code {
                @let meaning = told.definition.exit_codes.meaning(code);
                (fact("Exit code", &html! { (code) @if let Some(meaning) = meaning { " " span .muted { (meaning) } } }))
            }
            @if !told.others.is_empty() { (fact("Same instant", &others(&told.others))) }
            @if told.is_orphan { (fact("Its job", &html! { "is not configured any more" })) }
        }
    }
}

fn asked(told: &Told) -> Markup {
    html! {
        @if let Some(request) = told.request() {
            ", asked for " (request.asker.in_words())
            @if let Some(of) = &request.retry_of { "; the instant of " a href={ "/runs/" (of) } { (of) } " once more" }
        }
    }
}

fn others(others: &[RunSummary]) -> Markup {
    html! {
        @for (nth, other) in others.iter().enumerate() {
            @if nth > 0 { br; }
            a href={ "/runs/" (other.run) } { (other.run) } " " (status(other.status))
        }
    }
}

/// One of two, and never one in the place of the other while somebody fills it in: its key is another.
pub(super) fn deeds(told: &Told) -> Markup {
    let run = &told.run.summary.run;
    if told.run.summary.finished_at.is_none() {
        let what = "Ends this run: its task is asked to stop, and nothing is tried again.";
        return html! { div data-key="cancel" { (deed(&format!("/runs/{run}/cancel"), "Cancel", what, &html! {})) } };
    }
    let frozen = html! {
        label {
            input type="checkbox" name="frozen" value="yes" checked[told.is_orphan];
            " As it was defined then, not as its job is today"
        }
    };
    let what = format!(
        "{} its instant once more, as a run of its own.",
        if told.run.attempt_list.is_empty() { capital("runs") } else { capital("repeats") }
    );
    html! { div data-key="retry" { (deed(&format!("/runs/{run}/retry"), "Retry", &what, &frozen)) } }
}
