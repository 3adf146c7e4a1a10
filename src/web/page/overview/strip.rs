//! The last outcomes of a job at a glance: a strip of marks, how many succeeded, and how long those took.
//!
//! A strip is one path for each look, and each look has a shape of its own. Marks of one look that stand side by side are one dashed
//! line, which keeps fifty strips small.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::TimeDelta;
use maud::{Markup, html};

use super::OUTCOMES_MAX;
use crate::engine::run::Status;
use crate::store::RunSummary;
use crate::web::page::parts::{Look, words};

/// From one mark to the next; the style sheet knows its dashes of 7 and gaps of 3.
const STEP: usize = 10;
const GAP: usize = 3;

/// The runs of a job, newest first, from left to right in the order of time.
pub(super) fn strip(runs: &[RunSummary]) -> Markup {
    let mut looks: Vec<Look> = runs.iter().take(OUTCOMES_MAX).map(|run| Look::of(run.status)).collect();
    looks.reverse();
    html! {
        svg .strip role="img" aria-label=(label(runs)) {
            // Most are good: that is what a mark is unless told.
            @for (look, path) in paths(&looks) { path class=[(look != Look::Good).then(|| look.class())] d=(path) {} }
        }
    }
}

/// The path of each look; the newest mark stands at the right end.
fn paths(looks: &[Look]) -> BTreeMap<Look, String> {
    let mut paths: BTreeMap<Look, String> = BTreeMap::new();
    let mut x = STEP * OUTCOMES_MAX.saturating_sub(looks.len());
    for same in looks.chunk_by(|one, next| one == next) {
        let Some(look) = same.first() else { continue };
        let path = paths.entry(*look).or_default();
        // Writing to a string can't fail.
        let _written = match look {
            Look::Good | Look::Bad | Look::Gone => write!(path, "M{x} 9h{}", STEP * same.len() - GAP),
            Look::Live => each(path, x, same.len(), "4l7 5-7 5z"),
            Look::Caught => each(path, x, same.len(), "9l4-5 3 5-3 5z"),
        };
        x += STEP * same.len();
    }
    paths
}

fn each(path: &mut String, from: usize, marks: usize, shape: &str) -> std::fmt::Result {
    (0..marks).try_for_each(|mark| write!(path, "M{} {shape}", from + STEP * mark))
}

/// "Of the last 20: 18 succeeded, 2 failed".
fn label(runs: &[RunSummary]) -> String {
    let mut text = format!("Of the last {}: ", runs.len().min(OUTCOMES_MAX));
    let mut comma = "";
    for status in Status::ALL {
        let number = runs.iter().take(OUTCOMES_MAX).filter(|run| run.status == status).count();
        if number > 0 {
            // Writing to a string can't fail.
            let _written = write!(text, "{comma}{number} {}", words(status.as_str()));
            comma = ", ";
        }
    }
    text
}

/// How many of a hundred succeeded, of those that succeeded or ended badly; none if there are none.
pub(super) fn success_rate(runs: &[RunSummary]) -> Option<usize> {
    let good = runs.iter().filter(|run| run.status == Status::Succeeded).count();
    let bad = runs.iter().filter(|run| run.status.is_bad()).count();
    (100 * good).checked_div(good + bad)
}

/// How long those took that succeeded, from their record to their end, waits included: the median.
pub(super) fn typical(runs: &[RunSummary]) -> Option<TimeDelta> {
    let took = |run: &RunSummary| Some(run.finished_at? - run.created_at);
    let mut times: Vec<TimeDelta> =
        runs.iter().filter(|run| run.status == Status::Succeeded).filter_map(took).collect();
    times.sort();
    times.get(times.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::page::overview::tests::run;

    fn runs(statuses: &[Status]) -> Vec<RunSummary> {
        (0..).zip(statuses).map(|(minute, status)| run("nightly", minute, *status)).collect()
    }

    #[test]
    fn marks_of_one_look_are_one_line_and_end_at_the_right() {
        use Status::{Failed, Running, Skipped, Succeeded, Waiting};
        let newest_first = [Running, Succeeded, Succeeded, Failed, Skipped, Succeeded, Waiting];
        let looks: Vec<Look> = newest_first.into_iter().rev().map(Look::of).collect();
        let expected = [
            (Look::Live, "M190 4l7 5-7 5z"),
            (Look::Caught, "M130 9l4-5 3 5-3 5z"),
            (Look::Good, "M140 9h7M170 9h17"),
            (Look::Bad, "M160 9h7"),
            (Look::Gone, "M150 9h7"),
        ];
        assert_eq!(paths(&looks), expected.map(|(look, path)| (look, path.to_owned())).into());
        assert_eq!(paths(&[Look::Good; 20])[&Look::Good], "M0 9h197");
        assert_eq!(paths(&[Look::Live; 2])[&Look::Live], "M180 4l7 5-7 5zM190 4l7 5-7 5z");
    }

    #[test]
    fn a_strip_says_in_words_what_it_shows() {
        let shown = strip(&runs(&[Status::Failed, Status::Succeeded, Status::TimedOut, Status::Failed])).into_string();
        assert!(shown.contains(r#"aria-label="Of the last 4: 1 succeeded, 2 failed, 1 timed out""#), "{shown}");
        let many = strip(&runs(&[Status::Succeeded; 30])).into_string();
        assert!(many.contains("Of the last 20: 20 succeeded") && many.len() < 130, "{many}");
    }

    #[test]
    fn the_rate_is_of_those_that_succeeded_or_ended_badly() {
        use Status::{Cancelled, Failed, Missed, Running, Skipped, Succeeded};
        assert_eq!(success_rate(&[]), None);
        assert_eq!(success_rate(&runs(&[Running, Cancelled, Skipped])), None);
        assert_eq!(success_rate(&runs(&[Running, Succeeded, Skipped])), Some(100));
        assert_eq!(success_rate(&runs(&[Succeeded, Succeeded, Missed])), Some(66), "never more than it is");
        assert_eq!(success_rate(&runs(&[Failed])), Some(0));
    }

    #[test]
    fn what_is_typical_is_the_median_of_successes() {
        let mut runs = runs(&[Status::Succeeded, Status::Failed, Status::Succeeded, Status::Succeeded]);
        for (run, seconds) in runs.iter_mut().zip([1, 500, 100, 3]) {
            run.finished_at = Some(run.created_at + TimeDelta::seconds(seconds));
        }
        assert_eq!(typical(&runs), Some(TimeDelta::seconds(3)));
        assert_eq!(typical(&runs[1..2]), None);
    }
}
