//! How a job stands, in a few sentences: paused, failing since, well, running now, next.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::super::parts::{Look, count, moment, status};
use super::super::table::in_one_line;
use super::{ENDED_SHOWN, Seen, on_both_clocks};
use crate::daemon::driver::JobView;
use crate::engine::admit::failed_in_a_row;
use crate::engine::pause::{Pause, Scope};
use crate::engine::run::Status;
use crate::store::RunSummary;

pub(super) fn lines(seen: &Seen, now: DateTime<Utc>) -> Markup {
    html! {
        @match &seen.view {
            None => p { (mark(Look::Gone, "Gone.")) " It has left the configuration and fires no more; its runs stay as long as [retention] says." },
            Some(JobView { paused: Some((scope, pause)), .. }) => (paused(scope, pause)),
            Some(_) => {}
        }
        (went(seen))
        @if !seen.living.is_empty() {
            p {
                (mark(Look::Live, "Running now:"))
                @for run in &seen.living {
                    " " a href={ "/runs/" (run.run) } { (moment(run.scheduled_at)) } " (" (status(run.status)) ")"
                }
            }
        }
        @if let Some(view) = &seen.view { p { (next(view, now)) } }
    }
}

fn mark(look: Look, text: &str) -> Markup {
    html! { span class={ "mark " (look.class()) } { span aria-hidden="true" { (look.sign()) } " " (text) } }
}

fn paused(scope: &Scope, pause: &Pause) -> Markup {
    let what = match scope {
        Scope::All => "All jobs are paused",
        Scope::Job(_) => "Paused",
    };
    html! {
        p {
            (mark(Look::Gone, what)) " by " (pause.asker.by) " since " (moment(pause.since))
            @if let Some(until) = pause.until { " until " (moment(until)) }
            @if let Some(reason) = &pause.asker.reason { ", because: " q { (reason) } } @else { ", without a reason" }
            "."
            @if *scope == Scope::All { " " a href="/" { "The overview" } " resumes them." }
        }
    }
}

/// How its newest runs ended.
fn went(seen: &Seen) -> Markup {
    let bad = row_of_bad_ends(&seen.ended);
    html! {
        @match (bad, seen.last_good) {
            (Some(bad), last_good) => {
                p {
                    (mark(Look::Bad, "Failing"))
                    " since " (moment(bad.since)) ": "
                    @if bad.count == 1 { "its last run ended badly" }
                    @else { "its last " (count(bad.count, "run", "runs")) " ended badly" @if bad.is_at_least { ", or more" } }
                    @match last_good {
                        Some(at) => { "; it last succeeded " (moment(at)) "." },
                        None => "; no run of it that is kept succeeded.",
                    }
                }
                (why(bad.newest, seen.hint.as_deref()))
            },
            (None, Some(at)) => p { (mark(Look::Good, "Well:")) " its last run that ended by itself succeeded, " (moment(at)) "." },
            (None, None) => p { (mark(Look::Gone, "No outcome yet:")) " no run of it has ended by itself." },
        }
    }
}

fn why(newest: &RunSummary, hint: Option<&str>) -> Markup {
    html! {
        p .cause {
            a href={ "/runs/" (newest.run) } { "The newest of them" } ": "
            @if let Some(error) = &newest.error { code { (error) } " " }
            @match &newest.cause { Some(cause) => (in_one_line(cause)), None => (status(newest.status)) }
        }
        @if let Some(hint) = hint { p .hint { (hint) } }
    }
}

/// Runs that ended badly, one after the other, up to the newest.
#[derive(Debug, PartialEq)]
pub(super) struct BadEnds<'r> {
    count: usize,
    /// Whether there may be more, beyond what was looked at.
    is_at_least: bool,
    /// When the first of them ended.
    since: DateTime<Utc>,
    pub(super) newest: &'r RunSummary,
}

/// Of runs that ended, newest first. What somebody cancelled neither counts nor breaks the row.
pub(super) fn row_of_bad_ends(ended: &[RunSummary]) -> Option<BadEnds<'_>> {
    let since_good = ended.iter().take_while(|run| run.status != Status::Succeeded);
    let bad: Vec<&RunSummary> = since_good.filter(|run| failed_in_a_row(0, run.status) > 0).collect();
    let (newest, first) = (bad.first()?, bad.last()?);
    let is_at_least = ended.len() >= ENDED_SHOWN && ended.iter().all(|run| run.status != Status::Succeeded);
    let since = first.finished_at.unwrap_or(first.created_at);
    Some(BadEnds { count: bad.len(), is_at_least, since, newest })
}

fn next(view: &JobView, now: DateTime<Utc>) -> Markup {
    html! {
        @match view.next_at {
            Some(at) if at <= now => "It fires now.",
            Some(at) => { "It fires next " (on_both_clocks(at, view)) "." },
            None if view.paused.is_some() => "It fires next when it is resumed.",
            None => "It does not fire again: its schedule names no further instant.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::table::tests::{at, run};
    use super::super::tests::{paused, seen, view};
    use super::*;
    use crate::engine::job::JobName;

    #[test]
    fn a_row_of_bad_ends_goes_back_to_the_last_success() {
        let ended = [
            run(Status::Cancelled, 50),
            run(Status::TimedOut, 40),
            run(Status::Failed, 30),
            run(Status::Succeeded, 20),
            run(Status::Failed, 10),
        ];
        let bad = row_of_bad_ends(&ended).unwrap();
        assert_eq!((bad.count, bad.is_at_least, bad.since, bad.newest), (2, false, at(40), &ended[1]));
        assert_eq!(row_of_bad_ends(&ended[3..]), None, "the newest succeeded");
        assert_eq!(row_of_bad_ends(&[run(Status::Cancelled, 0)]), None);
        let long: Vec<RunSummary> = (0..60).map(|nth| run(Status::Failed, -nth)).collect();
        assert_eq!(row_of_bad_ends(&long).map(|bad| (bad.count, bad.is_at_least)), Some((60, true)));
    }

    #[test]
    fn a_failing_job_says_since_when_and_why_and_what_to_do() {
        let failed = RunSummary {
            error: Some("States.TaskFailed".to_owned()),
            cause: Some("CannotPullContainerError: <script>".to_owned()),
            ..run(Status::Failed, 0)
        };
        let hint = Some("look at <i>the image</i>".to_owned());
        let seen = Seen { last_good: Some(at(-600)), hint, ..seen(Some(view("@daily")), vec![failed]) };
        let shown = lines(&seen, at(60)).into_string();
        assert!(shown.contains("Failing</span> since <time datetime=\"2026-01-01T00:00:10Z\""), "{shown}");
        assert!(shown.contains("its last run ended badly; it last succeeded <time"), "{shown}");
        assert!(shown.contains("<code>States.TaskFailed</code> CannotPullContainerError: &lt;script&gt;"), "{shown}");
        assert!(shown.contains("<p class=\"hint\">look at &lt;i&gt;the image"), "{shown}");
    }

    #[test]
    fn a_pause_says_by_whom_and_why() {
        let own = Scope::Job(JobName::new("nightly").unwrap());
        let told = |scope| {
            let view = JobView { paused: paused(scope, "<b>moving</b>"), ..view("@daily") };
            lines(&seen(Some(view), Vec::new()), at(60)).into_string()
        };
        let shown = told(own);
        assert!(shown.contains("Paused</span> by ops since <time"), "{shown}");
        assert!(shown.contains("because: <q>&lt;b&gt;moving&lt;/b&gt;</q>."), "{shown}");
        assert!(shown.contains("It fires next when it is resumed."), "{shown}");
        assert!(told(Scope::All).contains("All jobs are paused"));
    }

    #[test]
    fn a_job_that_is_well_new_over_or_gone_says_so() {
        let shown = |seen: Seen| lines(&seen, at(60)).into_string();
        let well = Seen { last_good: Some(at(10)), ..seen(Some(view("@daily")), vec![run(Status::Succeeded, 0)]) };
        assert!(shown(well).contains("Well:"));
        let new = shown(seen(Some(JobView { next_at: Some(at(86_400)), ..view("@daily") }), Vec::new()));
        assert!(new.contains("No outcome yet:") && new.contains("It fires next <time"), "{new}");
        assert!(new.contains("(Fri, 2 Jan 2026, 00:00:00 UTC)"), "{new}");
        let over = shown(seen(Some(view("@daily")), Vec::new()));
        assert!(over.contains("It does not fire again"), "{over}");
        let living = Seen { living: vec![run(Status::Running, 5)], ..seen(None, Vec::new()) };
        let gone = shown(living);
        assert!(gone.contains("left the configuration") && gone.contains("href=\"/runs/nightly-5\""), "{gone}");
        assert!(!gone.contains("fires next"), "{gone}");
    }
}
