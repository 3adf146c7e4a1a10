//! What ended badly of late, and what is in flight.

use maud::{Markup, html};

use super::{LISTED_MAX, Read, unread};
use crate::engine::failure::{ErrorName, Failure};
use crate::engine::hint::hint;
use crate::store::RunSummary;
use crate::web::page::parts::{brief_moment, count, status};
use crate::web::page::table::in_one_line;

pub(super) fn failed(bad: &Read) -> Markup {
    html! {
        h2 { "Failed in the last 24 hours" }
        @match bad {
            Err(error) => (unread(error)),
            Ok(runs) if runs.is_empty() => p .muted { "Nothing." },
            Ok(runs) => {
                table .cards {
                    thead { tr {
                        th scope="col" { "Job" } th scope="col" { "Ended" } th scope="col" { "Run" } th scope="col" { "Why" }
                    } }
                    tbody { @for run in runs.iter().take(LISTED_MAX) { (failure(run)) } }
                }
                @if runs.len() > LISTED_MAX { p { a href="/runs?status=bad" { "All that failed" } } }
            }
        }
    }
}

fn failure(run: &RunSummary) -> Markup {
    html! {
        tr data-key=(run.run) {
            th scope="row" { a href={ "/jobs/" (run.job) } { (run.job) } }
            td data-name="Ended" { @if let Some(at) = run.finished_at { (brief_moment(at)) } }
            td data-name="Run" { a href={ "/runs/" (run.run) } { (status(run.status)) } }
            td data-name="Why" {
                @if let Some(error) = &run.error { code { (error) } ": " }
                @if let Some(cause) = &run.cause { (in_one_line(cause)) }
                @if let Some(text) = advice(run) { " " span .muted { "Hint: " (text) } }
            }
        }
    }
}

/// What to do about it, if that is known.
fn advice(run: &RunSummary) -> Option<&'static str> {
    // A general name has finer ones beside it, which only the page of the run knows: what they advise is another thing.
    let error = run.error.as_deref().filter(|error| *error != ErrorName::TASK_FAILED.as_str())?;
    hint(&Failure::new(ErrorName::new(error), run.cause.as_ref()?)).map(|hint| hint.text)
}

pub(super) fn in_flight(living: &Read, total: usize) -> Markup {
    html! {
        h2 { "In flight" }
        @match living {
            Err(error) => (unread(error)),
            Ok(runs) if runs.is_empty() => p .muted { "Nothing." },
            Ok(runs) => {
                table .cards {
                    thead { tr {
                        th scope="col" { "Job" } th scope="col" { "Since" } th scope="col" { "Run" }
                        th scope="col" { "Attempts" }
                    } }
                    tbody { @for run in runs.iter().take(LISTED_MAX) { (alive(run)) } }
                }
                @if runs.len() > LISTED_MAX {
                    p { a href="/runs?status=live" { (count(total.saturating_sub(LISTED_MAX), "older run", "older runs")) } }
                }
            }
        }
    }
}

fn alive(run: &RunSummary) -> Markup {
    html! {
        tr data-key=(run.run) {
            th scope="row" { a href={ "/jobs/" (run.job) } { (run.job) } }
            td data-name="Since" { (brief_moment(run.created_at)) }
            td data-name="Run" { a href={ "/runs/" (run.run) } { (status(run.status)) } }
            td data-name="Attempts" { (run.attempts) }
        }
    }
}
