//! Every instant of an absence gets its place, and a firing that meets a run gets its rule.

use std::time::Duration;

use super::*;
use crate::engine::samples;

const HOUR: u64 = 3600;

fn job(schedule: &str, catchup: Catchup, window: u64) -> Job {
    let admission = Admission { overlap: Overlap::Skip, catchup, catchup_window: Duration::from_secs(window) };
    Job { admission, ..samples::job(schedule) }
}

/// 2025-06-15, so many seconds after midnight UTC.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_749_945_600 + seconds, 0).unwrap()
}

/// What became of each instant: its second of the day and how it starts, or the rule that left it out.
fn decided(job: &Job, mark: i64, now: i64) -> Vec<(i64, String)> {
    let absence = Absence { from: at(mark), until: at(now) };
    let told = |planned: Planned| match planned {
        Planned::Start(firing) => ((firing.scheduled_at - at(0)).num_seconds(), format!("{:?}", firing.trigger)),
        Planned::Missed { firing, reason } => {
            let (away, rule) = reason.split_once("; ").expect("the absence and the rule");
            assert!(away.starts_with("the daemon was away from 2025-06-15T"), "{away}");
            ((firing.scheduled_at - at(0)).num_seconds(), rule.to_owned())
        }
    };
    plan(job, at(mark), at(mark), absence).into_iter().map(told).collect()
}

fn words(decided: &[(i64, String)]) -> Vec<(i64, &str)> {
    decided.iter().map(|(second, word)| (*second, word.as_str())).collect()
}

#[test]
fn an_instant_up_to_a_minute_old_is_on_time_whatever_catchup_says() {
    for catchup in [Catchup::None, Catchup::Last, Catchup::All] {
        let minutely = job("* * * * *", catchup, HOUR);
        assert_eq!(words(&decided(&minutely, 0, 60)), [(60, "Schedule")]);
        assert_eq!(words(&decided(&minutely, 0, 119)), [(60, "Schedule")]);
    }
}

#[test]
fn a_range_begins_after_its_mark_and_ends_with_now() {
    let minutely = job("* * * * *", Catchup::All, HOUR);
    assert_eq!(words(&decided(&minutely, 60, 120)), [(120, "Schedule")]);
    assert_eq!(words(&decided(&minutely, 60, 119)), []);
    assert_eq!(words(&decided(&minutely, 120, 120)), []);
    assert_eq!(words(&decided(&minutely, 180, 120)), [], "a clock that went back decides nothing");
}

#[test]
fn an_instant_of_a_minute_ago_is_late() {
    assert_eq!(words(&decided(&job("* * * * *", Catchup::All, HOUR), 0, 120)), [(60, "Catchup"), (120, "Schedule")]);
}

#[test]
fn catchup_none_records_every_late_instant_as_missed() {
    let decided = decided(&job("* * * * *", Catchup::None, HOUR), 0, 240);
    let missed = "catchup = \"none\"";
    assert_eq!(words(&decided), [(60, missed), (120, missed), (180, missed), (240, "Schedule")]);
}

#[test]
fn catchup_last_starts_the_newest_late_instant_unless_one_is_on_time() {
    let dropped = "catchup = \"last\" makes up for the last instant only";
    let five = job("*/5 * * * *", Catchup::Last, HOUR);
    assert_eq!(words(&decided(&five, 0, 1000)), [(300, dropped), (600, dropped), (900, "Catchup")]);
    assert_eq!(words(&decided(&five, 0, 930)), [(300, dropped), (600, dropped), (900, "Schedule")]);
}

#[test]
fn catchup_all_starts_every_late_instant_in_order() {
    let five = job("*/5 * * * *", Catchup::All, HOUR);
    assert_eq!(words(&decided(&five, 0, 930)), [(300, "Catchup"), (600, "Catchup"), (900, "Schedule")]);
}

#[test]
fn an_instant_outside_the_window_is_missed_whatever_catchup_says() {
    let rule = "outside the catch-up window of 600s";
    for (catchup, late) in
        [(Catchup::Last, "Catchup"), (Catchup::All, "Catchup"), (Catchup::None, "catchup = \"none\"")]
    {
        let five = job("*/5 * * * *", catchup, 600);
        let decided = decided(&five, 0, 1000);
        let expected = match catchup {
            Catchup::Last => "catchup = \"last\" makes up for the last instant only",
            Catchup::None | Catchup::All => late,
        };
        assert_eq!(words(&decided), [(300, rule), (600, expected), (900, late)]);
    }
}

#[test]
fn the_window_excludes_its_far_end_and_a_window_shorter_than_a_minute_takes_nothing_away() {
    let five = job("*/5 * * * *", Catchup::All, 600);
    assert_eq!(words(&decided(&five, 0, 900))[0], (300, "outside the catch-up window of 600s"));
    let none = job("* * * * *", Catchup::All, 1);
    assert_eq!(words(&decided(&none, 0, 90)), [(60, "Schedule")]);
}

#[test]
fn more_than_a_hundred_missed_instants_are_one_row_with_their_count() {
    let minutely = job("* * * * *", Catchup::None, 24 * HOUR);
    let hundred = decided(&minutely, 0, 101 * 60);
    assert_eq!(hundred.len(), 101, "a hundred rows, and the one on time");
    let more = decided(&minutely, 0, 102 * 60);
    assert_eq!(more.len(), 2);
    let counted = "101 instants, the first 2025-06-15T00:01:00Z and this one the last counted; catchup = \"none\"";
    assert_eq!(words(&more), [(101 * 60, counted), (102 * 60, "Schedule")]);
}

#[test]
fn a_year_of_seconds_is_bounded_and_catchup_still_starts_the_newest() {
    let year = 365 * 24 * 3600;
    for (catchup, starts) in [(Catchup::Last, 60), (Catchup::All, 60 + CATCHUP_RUNS_MAX)] {
        let secondly = job("* * * * * *", catchup, u64::try_from(year).unwrap());
        let decided = decided(&secondly, 0, year);
        let (missed, started) = decided.split_at(1);
        assert!(missed[0].1.starts_with("more than 100000 instants"), "{:?}", missed[0]);
        let seconds: Vec<i64> = started.iter().map(|(second, _)| *second).collect();
        let newest: Vec<i64> = (year + 1 - i64::try_from(starts).unwrap()..=year).collect();
        assert_eq!(seconds, newest);
    }
}

#[test]
fn no_instant_between_the_counted_and_the_caught_up_is_lost() {
    // 172,800 instants: more than are counted, fewer than the window.
    let two_days = 2 * 24 * 3600;
    let secondly = job("* * * * * *", Catchup::All, 10 * 24 * HOUR);
    let decided = decided(&secondly, 0, two_days);
    assert_eq!(decided.len(), 1 + CATCHUP_RUNS_MAX + 60);
    assert_eq!(decided[1].0, two_days - 60 - i64::try_from(CATCHUP_RUNS_MAX).unwrap() + 1);
}

fn living(count: usize, due_from: usize) -> Vec<Living> {
    (0..count).map(|nth| Living { id: RunId::from_text(&format!("run-{nth}")), is_due: nth >= due_from }).collect()
}

#[test]
fn a_firing_that_meets_nothing_starts_under_every_policy() {
    use Overlap::{Allow, CancelRunning, QueueAll, QueueOne, Skip};
    for overlap in [Allow, CancelRunning, QueueAll, QueueOne, Skip] {
        assert_eq!(meet(overlap, &[]), Meeting::Start);
        assert!(may_begin(overlap, true));
        assert_eq!(may_begin(overlap, false), overlap == Allow);
    }
}

#[test]
fn a_firing_that_meets_a_run_goes_by_the_policy() {
    let skip = |reason: &str| Meeting::Skip { reason: reason.into() };
    let all = |count: usize| Meeting::Replace(living(count, 0).into_iter().map(|run| run.id).collect());
    let full = format!("{QUEUE_MAX} runs already wait behind run run-0 (overlap = \"queue_all\")");
    let table = [
        (Overlap::Allow, living(3, 1), Meeting::Start),
        (Overlap::Skip, living(1, 1), skip("run run-0 still lives (overlap = \"skip\")")),
        (Overlap::Skip, living(1, 0), skip("run run-0 still lives (overlap = \"skip\")")),
        (Overlap::QueueOne, living(1, 1), Meeting::Start),
        (Overlap::QueueOne, living(1, 0), Meeting::Start),
        (Overlap::QueueOne, living(2, 1), skip("run run-1 already waits (overlap = \"queue_one\")")),
        (Overlap::QueueAll, living(QUEUE_MAX, 1), Meeting::Start),
        (Overlap::QueueAll, living(QUEUE_MAX + 1, 1), skip(&full)),
        (Overlap::CancelRunning, living(2, 1), all(2)),
    ];
    for (overlap, living, expected) in table {
        assert_eq!(meet(overlap, &living), expected, "{overlap:?} with {} living", living.len());
    }
}
