//! A table of runs, one line each, with why it ended as it did.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::parts::{lasting, moment, status, words};
use crate::engine::run::{Status, Trigger};
use crate::store::RunSummary;

/// How much of a cause one line shows; the page of the run has all of it.
const CAUSE_MAX: usize = 200;

/// Whose runs a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Of one job, which the page names.
    OneJob,
    /// Of several.
    AllJobs,
}

/// The runs in the order in which they are given; `caption` says to whoever sees no page what they are.
pub(super) fn runs_table(runs: &[RunSummary], of: Of, caption: &str, now: DateTime<Utc>) -> Markup {
    html! {
        table .cards.runs {
            caption .sr { (caption) }
            thead {
                tr {
                    th scope="col" { "Instant" }
                    @if of == Of::AllJobs { th scope="col" { "Job" } }
                    th scope="col" { "Status" }
                    th scope="col" { "Began by" }
                    th .num scope="col" { "Attempts" }
                    th .num scope="col" { "Took" }
                    th scope="col" { "Why" }
                }
            }
            tbody { @for run in runs { (row(run, of, now)) } }
        }
    }
}

fn row(run: &RunSummary, of: Of, now: DateTime<Utc>) -> Markup {
    let (id, job) = (&run.run, run.job.as_str());
    html! {
        tr data-key=(id) {
            td data-name="Instant" { a href={ "/runs/" (id) } { (moment(run.scheduled_at)) } }
            @if of == Of::AllJobs { td data-name="Job" { a href={ "/jobs/" (job) } { (job) } } }
            td data-name="Status" { (status(run.status)) }
            td data-name="Began by" { (began_by(run.trigger)) }
            td .num data-name="Attempts" { (run.attempts) }
            td .num data-name="Took" { (took(run, now)) }
            td .why data-name="Why" { (why(run)) }
        }
    }
}

fn began_by(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Schedule => "schedule",
        Trigger::Catchup => "catch-up",
        Trigger::Manual => "hand",
        Trigger::Backfill => "backfill",
    }
}

/// From when a run was recorded to its end, or to now; nothing for what never began.
fn took(run: &RunSummary, now: DateTime<Utc>) -> Markup {
    html! {
        @if run.attempts == 0 && run.finished_at.is_some() { span .muted { "–" } }
        @else { (lasting(run.finished_at.unwrap_or(now) - run.created_at)) }
    }
}

/// Error name and cause, and how many instants a row stands for that are more than its own.
fn why(run: &RunSummary) -> Markup {
    let is_waiting = matches!(run.status, Status::Waiting);
    html! {
        @if let Some(error) = &run.error { code { (error) } " " }
        @if let Some(cause) = &run.cause { (in_one_line(cause)) }
        @if let (true, Some(at)) = (is_waiting, run.next_action_at) { " Tried again at " (moment(at)) "." }
        @if let Some(covered) = run.covers {
            " Stands for " (covered.count) " instants from " (moment(covered.first)) " on."
        }
    }
}

/// A text that may be long and have many lines, as the beginning of one.
pub(super) fn in_one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = words.chars().take(CAUSE_MAX).collect();
    if cut.len() < words.len() { format!("{cut}…") } else { words }
}

/// What a table that is empty says: what the choice leaves out, or how there come to be runs.
pub(super) fn no_runs(statuses: &[Status], job: Option<&str>) -> Markup {
    let named = statuses.iter().map(|status| words(status.as_str())).collect::<Vec<_>>().join(", ");
    html! {
        div .empty {
            @match (job, statuses.is_empty()) {
                (Some(job), false) => p { "No run of " b { (job) } " is " (named) "." },
                (None, false) => p { "No run is " (named) "." },
                (Some(job), true) => {
                    p { "There is no run of " b { (job) } " yet. One is recorded when an instant of its schedule comes, or when somebody asks for it:" }
                    pre { code { "tenacron trigger " (job) } }
                }
                (None, true) => {
                    p { "There is no run yet. One is recorded when an instant of a job's schedule comes. What comes next:" }
                    pre { code { "tenacron next" } }
                    p { "A job that fires each quarter of an hour, in a file of " code { "jobs.d" } ":" }
                    pre { code { "[jobs.hello]\nschedule = \"*/15 * * * *\"\ntask_definition = \"hello\"" } }
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::job::JobName;
    use crate::engine::run::{Covered, RunId};

    pub(in super::super) fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600 + second, 0).unwrap()
    }

    /// A run of `nightly` that began at this second, and took ten if it is over.
    pub(in super::super) fn run(status: Status, second: i64) -> RunSummary {
        let is_over =
            !matches!(status, Status::Due | Status::Launching | Status::Running | Status::Stopping | Status::Waiting);
        RunSummary {
            run: RunId::from_text(&format!("nightly-{second}")),
            job: JobName::new("nightly").unwrap(),
            trigger: Trigger::Schedule,
            scheduled_at: at(second),
            status,
            attempts: 1,
            error: None,
            cause: None,
            exit_code: None,
            created_at: at(second),
            finished_at: is_over.then(|| at(second + 10)),
            next_action_at: None,
            covers: None,
        }
    }

    #[test]
    fn a_row_links_to_its_run_and_escapes_what_others_wrote() {
        let failed = RunSummary {
            error: Some("States.TaskFailed".to_owned()),
            cause: Some("<script>alert(1)</script>\nexit code 3".to_owned()),
            ..run(Status::Failed, 0)
        };
        let shown = runs_table(&[failed], Of::AllJobs, "Runs", at(60)).into_string();
        for part in [
            r#"<tr data-key="nightly-0">"#,
            r#"<a href="/runs/nightly-0"><time datetime="2026-01-01T00:00:00Z""#,
            r#"<a href="/jobs/nightly">nightly</a>"#,
            "<code>States.TaskFailed</code> &lt;script&gt;alert(1)&lt;/script&gt; exit code 3",
            r#"data-name="Took">10 s</td>"#,
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("<script>"), "{shown}");
        let one = runs_table(&[run(Status::Running, 0)], Of::OneJob, "Runs", at(60)).into_string();
        assert!(!one.contains("/jobs/") && one.contains("1 min"), "{one}");
    }

    #[test]
    fn what_never_began_took_no_time_and_says_for_how_many_it_stands() {
        let covers = Some(Covered { first: at(-600), count: 10 });
        let missed = RunSummary { attempts: 0, covers, ..run(Status::Missed, 0) };
        let shown = runs_table(&[missed], Of::OneJob, "Runs", at(60)).into_string();
        assert!(shown.contains("Stands for 10 instants from") && shown.contains(">–</span>"), "{shown}");
        let waiting = RunSummary { next_action_at: Some(at(90)), ..run(Status::Waiting, 0) };
        let shown = runs_table(&[waiting], Of::OneJob, "Runs", at(60)).into_string();
        assert!(shown.contains("Tried again at <time datetime=\"2026-01-01T00:01:30Z\""), "{shown}");
    }

    #[test]
    fn a_long_cause_is_cut_at_a_character() {
        assert_eq!(in_one_line("a\n  b\t c"), "a b c");
        let long = "ü".repeat(CAUSE_MAX + 1);
        assert_eq!(in_one_line(&long), format!("{}…", "ü".repeat(CAUSE_MAX)));
        assert_eq!(in_one_line(&"ü".repeat(CAUSE_MAX)).chars().count(), CAUSE_MAX);
    }

    #[test]
    fn an_empty_table_teaches() {
        let shown = |statuses: &[Status], job| no_runs(statuses, job).into_string();
        assert!(shown(&[], None).contains("[jobs.hello]"));
        assert!(shown(&[], Some("nightly")).contains("tenacron trigger nightly"));
        assert!(shown(&[Status::TimedOut], Some("nightly")).contains("No run of <b>nightly</b> is timed out."));
        assert!(shown(&[Status::Failed, Status::Missed], None).contains("No run is failed, missed."));
    }
}
