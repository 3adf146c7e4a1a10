//! How long the newest runs took, as bars: oldest on the left, a dashed line at the median.
//!
//! The drawing is stretched to whatever room there is, so it holds bars and lines alone, in whole numbers, and the words stand
//! beside it. A bar tells how its run ended by its shape too: solid if it succeeded, hollow if it was cancelled, with a mark
//! below the line if it ended badly.

use chrono::TimeDelta;
use maud::{Markup, html};

use super::super::parts::{Look, count, lasting, moment, words};
use crate::store::RunSummary;

/// The room of one bar, and the bar itself.
const SLOT: i64 = 10;
const BAR: i64 = 8;
/// The room of the longest bar, and below it of the marks.
const HEIGHT: i64 = 100;
const MARKS: i64 = 10;
/// Room for so many at least, so that a few bars are not as broad as the page.
const SLOTS_MIN: usize = 20;

/// A bar of the chart: where it begins on the left, and how high it is.
#[derive(Debug, PartialEq, Eq)]
struct Bar {
    left: i64,
    height: i64,
}

/// The whole drawing.
#[derive(Debug, PartialEq, Eq)]
struct Chart {
    width: i64,
    bars: Vec<Bar>,
    median: TimeDelta,
    longest: TimeDelta,
    /// Where the line of the median is, from above.
    median_from_above: i64,
}

/// Durations from the oldest to the newest; none if there are none.
fn layout(durations: &[TimeDelta]) -> Option<Chart> {
    let longest = *durations.iter().max()?;
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let (middle, other) = (sorted.get(sorted.len() / 2)?, sorted.get((sorted.len() - 1) / 2)?);
    let median = (*middle + *other) / 2;
    let height = |duration: TimeDelta| HEIGHT * duration.num_milliseconds() / longest.num_milliseconds().max(1);
    // Also what took no time is seen.
    let bars =
        durations.iter().zip(0..).map(|(duration, nth)| Bar { left: nth * SLOT, height: height(*duration).max(1) });
    let slots = i64::try_from(durations.len().max(SLOTS_MIN)).unwrap_or(i64::MAX / SLOT);
    let bars = bars.collect();
    Some(Chart { width: slots * SLOT, bars, median, longest, median_from_above: HEIGHT - height(median) })
}

/// The chart of runs that ended, newest first. One that was cancelled before its first launch is none of them.
pub(super) fn durations(ended: &[RunSummary]) -> Markup {
    let took = |run: &RunSummary| Some((run.finished_at? - run.created_at).max(TimeDelta::zero()));
    let ran = ended.iter().rev().filter(|run| run.attempts > 0);
    let (runs, durations): (Vec<&RunSummary>, Vec<TimeDelta>) = ran.filter_map(|run| Some((run, took(run)?))).unzip();
    let (Some(chart), Some(oldest), Some(newest)) = (layout(&durations), runs.first(), runs.last()) else {
        return html! { p .empty { "No run of it has ended yet. How long the last 60 took is drawn here." } };
    };
    let bad = runs.iter().filter(|run| Look::of(run.status) == Look::Bad).count();
    let (median, longest) = (lasting(chart.median), lasting(chart.longest));
    let told = format!(
        "Durations of the last {}: median {median}, longest {longest}, {bad} ended badly",
        count(runs.len(), "run", "runs")
    );
    html! {
        figure .durations {
            div .plot {
                p .scale aria-hidden="true" { span { (longest) } span { "0" } }
                (drawing(&chart, &runs, &durations, &told))
            }
            p .span { (moment(oldest.scheduled_at)) (moment(newest.scheduled_at)) }
            figcaption {
                "From the instant at which a run is recorded to its end, waits included. Median " b { (median) } " (dashed), longest " b { (longest) } ". "
                span .good { (Look::Good.sign()) " succeeded: solid" } " · "
                span .bad { (Look::Bad.sign()) " ended badly: a mark below the line" } " · "
                span .gone { (Look::Gone.sign()) " cancelled: hollow" }
            }
        }
    }
}

fn drawing(chart: &Chart, runs: &[&RunSummary], durations: &[TimeDelta], told: &str) -> Markup {
    let Chart { width, median_from_above: median, .. } = chart;
    html! {
        svg role="img" aria-label=(told) viewBox={ "0 0 " (width) " " (HEIGHT + MARKS) } preserveAspectRatio="none" {
            @for ((run, bar), duration) in runs.iter().zip(&chart.bars).zip(durations) {
                @let look = Look::of(run.status);
                g class=(look.class()) {
                    title { (run.scheduled_at.format("%-d %b %H:%M UTC")) ", " (words(run.status.as_str())) ", " (lasting(*duration)) }
                    rect x=(bar.left + 1) y=(HEIGHT - bar.height) width=(BAR) height=(bar.height) {}
                    @if look == Look::Bad { rect x=(bar.left + 1) y=(HEIGHT + 3) width=(BAR) height=(MARKS - 3) {} }
                }
            }
            line .axis x1="0" y1=(HEIGHT) x2=(width) y2=(HEIGHT) {}
            line .median x1="0" y1=(median) x2=(width) y2=(median) {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::table::tests::run;
    use super::*;
    use crate::engine::run::Status;

    fn seconds(seconds: &[i64]) -> Vec<TimeDelta> {
        seconds.iter().copied().map(TimeDelta::seconds).collect()
    }

    #[test]
    fn the_longest_is_as_high_as_there_is_room_and_the_median_is_the_middle() {
        assert_eq!(layout(&[]), None);
        let chart = layout(&seconds(&[10, 40, 20])).unwrap();
        let bars: Vec<(i64, i64)> = chart.bars.iter().map(|bar| (bar.left, bar.height)).collect();
        assert_eq!(bars, [(0, 25), (10, 100), (20, 50)]);
        assert_eq!((chart.width, chart.median, chart.median_from_above), (200, TimeDelta::seconds(20), 50));
        assert_eq!(layout(&seconds(&[10, 40])).unwrap().median, TimeDelta::seconds(25), "of two, half way");
        assert_eq!(layout(&seconds(&[5; 60])).unwrap().width, 600);
        let none = layout(&seconds(&[0, 0])).unwrap();
        assert_eq!((none.bars[1].height, none.median_from_above), (1, 100));
    }

    #[test]
    fn bars_tell_their_end_by_shape_and_the_chart_in_words() {
        let ended = [run(Status::Failed, 20), run(Status::Cancelled, 10), run(Status::Succeeded, 0)];
        let shown = durations(&ended).into_string();
        let told = "aria-label=\"Durations of the last 3 runs: median 10 s, longest 10 s, 1 ended badly\"";
        assert!(shown.contains(told), "{shown}");
        assert!(shown.contains("<title>1 Jan 00:00 UTC, succeeded, 10 s</title>"), "{shown}");
        assert_eq!(shown.matches("<rect").count(), 4, "the bad one has a mark below: {shown}");
        let first = |class: &str| shown.find(&format!("<g class=\"{class}\">")).unwrap();
        assert!(first("good") < first("gone") && first("gone") < first("bad"), "the oldest is on the left");
        let unlaunched = RunSummary { attempts: 0, ..run(Status::Cancelled, 0) };
        assert!(durations(&[unlaunched]).into_string().contains("No run of it has ended yet"));
    }
}
