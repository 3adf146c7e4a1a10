//! Every instant of an absence gets its place, and a firing that meets a run gets its rule.

use std::sync::Arc;
use std::time::Duration;

use chrono::SubsecRound as _;
use proptest::prelude::*;

use super::*;
use crate::engine::run::Asker;
use crate::engine::samples;
use crate::engine::schedule::{self, Dst, Schedule};

const HOUR: u64 = 3600;

fn job(schedule: &str, catchup: Catchup, window: u64) -> Job {
    let admission = Admission {
        overlap: Overlap::Skip,
        catchup,
        catchup_window: Duration::from_secs(window),
        ..Admission::default()
    };
    Job { admission, ..samples::job(schedule) }
}

/// 2025-06-15, so many seconds after midnight UTC.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_749_945_600 + seconds, 0).unwrap()
}

/// What has come up to `now` for a job without a spread, of which rates count from `mark`.
fn undecided(mark: DateTime<Utc>, now: DateTime<Utc>) -> Undecided {
    Undecided { mark, anchor: mark, until: now, absence: Absence { from: mark, until: now } }
}

/// What became of each instant: its second of the day and how it starts, or the rule that left it out.
fn decided(job: &Job, mark: i64, now: i64) -> Vec<(i64, String)> {
    let told = |planned: Planned| match planned {
        Planned::Start(firing) => ((firing.scheduled_at - at(0)).num_seconds(), format!("{:?}", firing.trigger)),
        Planned::LeftOut { firing, outcome } => {
            let reason = outcome.reason().expect("a reason");
            let (away, rule) = reason.split_once("; ").expect("the absence and the rule");
            assert!(away.starts_with("the daemon was away from 2025-06-15T"), "{away}");
            ((firing.scheduled_at - at(0)).num_seconds(), rule.to_owned())
        }
    };
    plan(job, undecided(at(mark), at(now)), &[]).into_iter().map(told).collect()
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
    let counted = "101 instants, from 2025-06-15T00:01:00Z to this one; catchup = \"none\"";
    assert_eq!(words(&more), [(101 * 60, counted), (102 * 60, "Schedule")]);
}

fn paused(since: i64, until: Option<i64>) -> (Scope, Pause) {
    let asker = Asker { by: "ops".into(), reason: Some("maintenance".into()) };
    (Scope::Job(samples::job("@daily").name), Pause { asker, since: at(since), until: until.map(at) })
}

/// Each instant by its second, and what becomes of it in one letter: starts, skipped, missed.
fn letters(planned: &[Planned]) -> Vec<(i64, char)> {
    let letter = |planned: &Planned| match planned {
        Planned::Start(_) => 'r',
        Planned::LeftOut { outcome: Outcome::Skipped { .. }, .. } => 's',
        Planned::LeftOut { .. } => 'm',
    };
    planned.iter().map(|planned| ((instant(planned) - at(0)).num_seconds(), letter(planned))).collect()
}

#[test]
fn instants_of_a_pause_are_skipped_and_never_made_up_for() {
    let five = job("*/5 * * * *", Catchup::All, HOUR);
    // The daemon was away over the end of the pause.
    let planned = plan(&five, undecided(at(0), at(1_500)), &[paused(300, Some(900))]);
    assert_eq!(letters(&planned), [(300, 'r'), (600, 's'), (900, 's'), (1_200, 'r'), (1_500, 'r')]);
    let Planned::LeftOut { outcome, .. } = &planned[1] else { unreachable!("it is skipped") };
    let reason = "the job was paused at 2025-06-15T00:05:00Z until 2025-06-15T00:15:00Z by ops: maintenance";
    assert_eq!(outcome.reason(), Some(reason));
    let planned = plan(&five, undecided(at(0), at(900)), &[paused(300, None)]);
    assert_eq!(letters(&planned), [(300, 'r'), (600, 's'), (900, 's')]);
}

#[test]
fn two_pauses_that_overlap_leave_each_instant_out_once() {
    let five = job("*/5 * * * *", Catchup::None, HOUR);
    let all = (Scope::All, paused(0, Some(600)).1);
    let planned = plan(&five, undecided(at(0), at(1_500)), &[paused(300, Some(1_200)), all]);
    assert_eq!(letters(&planned), [(300, 's'), (600, 's'), (900, 's'), (1_200, 's'), (1_500, 'r')]);
}

#[test]
fn a_long_pause_of_a_job_of_every_second_is_one_row_after_an_absence() {
    let secondly = job("* * * * * *", Catchup::None, HOUR);
    let planned = plan(&secondly, undecided(at(0), at(86_400)), &[paused(-5, None)]);
    assert_eq!(letters(&planned), [(86_400, 's')]);
    assert_eq!(covered(&planned[0]), Some(Covered { first: at(1), count: 86_400 }));
}

#[test]
fn a_pause_is_about_when_a_job_leaves_and_a_spread_lets_it_leave_later() {
    let five = job("*/5 * * * *", Catchup::All, HOUR);
    // It leaves 100 s after its instants: of 300 at 400, of 600 at 700.
    let spread = Undecided { until: at(600), ..undecided(at(0), at(700)) };
    assert_eq!(letters(&plan(&five, spread, &[paused(350, Some(650))])), [(300, 's'), (600, 'r')]);
    let early = Undecided { until: at(599), ..undecided(at(0), at(699)) };
    assert_eq!(letters(&plan(&five, early, &[])), [(300, 'r')], "the time of 600 has not come");
}

#[test]
fn a_late_instant_beyond_its_start_deadline_does_not_start() {
    let mut five = job("*/5 * * * *", Catchup::All, HOUR);
    let limits = crate::engine::job::Limits { start_deadline: Some(Duration::from_secs(400)), ..Default::default() };
    Arc::make_mut(&mut five.definition).limits = limits;
    let rule = "its start_deadline of 400s had passed";
    assert_eq!(words(&decided(&five, 0, 1000)), [(300, rule), (600, rule), (900, "Catchup")]);
}

#[test]
fn a_job_that_leaves_has_a_row_for_what_its_spread_held_back() {
    let five = job("*/5 * * * *", Catchup::All, HOUR);
    let planned = plan_removed(&five, undecided(at(0), at(300)));
    assert_eq!(letters(&planned), [(300, 'm')]);
}

#[test]
fn only_what_ran_counts_towards_a_row_of_failures() {
    let ends = [Status::Failed, Status::Skipped, Status::TimedOut, Status::Cancelled, Status::Missed, Status::Unknown];
    let counted = ends.iter().scan(0, |count, ended| {
        *count = failed_in_a_row(*count, *ended);
        Some(*count)
    });
    assert_eq!(counted.collect::<Vec<_>>(), [1, 1, 2, 2, 2, 3]);
    assert_eq!(failed_in_a_row(3, Status::Succeeded), 0);
}

/// The row of the range that a plan begins with, and the instants that it starts.
fn one_row_and_starts(planned: Vec<Planned>) -> (DateTime<Utc>, Covered, String, Vec<DateTime<Utc>>) {
    let mut planned = planned.into_iter();
    let Some(Planned::LeftOut { firing: last, outcome: Outcome::Missed { reason, covers: Some(covers) } }) =
        planned.next()
    else {
        panic!("the first row stands for a range");
    };
    let starts = planned.map(|planned| match planned {
        Planned::Start(firing) => firing.scheduled_at,
        Planned::LeftOut { firing, outcome } => panic!("{} is left out too: {outcome:?}", firing.scheduled_at),
    });
    (last.scheduled_at, covers, reason, starts.collect())
}

#[test]
fn years_of_seconds_are_one_row_with_the_exact_count_and_the_newest_start() {
    for years in [1, 10] {
        let away = years * 365 * 24 * 3600;
        let window = u64::try_from(away).unwrap();
        for (catchup, window, started, rule) in [
            (Catchup::None, window, 60, "catchup = \"none\""),
            (Catchup::Last, window, 60, "catchup = \"last\" makes up for the last instant only"),
            (Catchup::All, window, 60 + 1_000, "catchup = \"all\" starts the newest 1000 only"),
            (Catchup::All, 360, 360, "outside the catch-up window of 360s"),
        ] {
            let secondly = job("* * * * * *", catchup, window);
            let planned = plan(&secondly, undecided(at(0), at(away)), &[]);
            let (last, covers, reason, starts) = one_row_and_starts(planned);
            let missed = away - started;
            assert_eq!((last, covers.first, covers.count), (at(missed), at(1), u64::try_from(missed).unwrap()));
            let expected = format!(
                "the daemon was away from 2025-06-15T00:00:00Z to {}; {missed} instants, from 2025-06-15T00:00:01Z to this \
                 one; {rule}",
                in_words(at(away))
            );
            assert_eq!(reason, expected);
            let newest: Vec<_> = (missed + 1..=away).map(at).collect();
            assert_eq!(starts, newest, "{catchup:?}");
        }
    }
}

#[test]
fn two_rules_of_one_absence_have_a_row_each() {
    let day = 24 * 3600;
    let secondly = job("* * * * * *", Catchup::All, 24 * HOUR);
    let planned = plan(&secondly, undecided(at(0), at(10 * day)), &[]);
    let rows: Vec<_> =
        planned.iter().filter_map(|planned| covered(planned).map(|covers| (instant(planned), covers))).collect();
    let covers = |first, count| Covered { first: at(first), count };
    let late = 10 * day - 1_060;
    assert_eq!(rows, [(at(9 * day), covers(1, 9 * 86_400)), (at(late), covers(9 * day + 1, 86_400 - 1_060))]);
}

fn covered(planned: &Planned) -> Option<Covered> {
    match planned {
        Planned::LeftOut { outcome, .. } => outcome.covers(),
        Planned::Start(_) => None,
    }
}

fn instant(planned: &Planned) -> DateTime<Utc> {
    match planned {
        Planned::Start(firing) | Planned::LeftOut { firing, .. } => firing.scheduled_at,
    }
}

const EXPRESSIONS: [&str; 9] = [
    "* * * * *",
    "*/20 * * * * *",
    "0 * * * *",
    "30 2 * * *",
    "*/3 1-3 * * *",
    "cron(0 9 L * ? *)",
    "rate(1 minute)",
    "rate(7 minutes)",
    "at(2026-10-25T02:30:00)",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_instant_since_the_mark_starts_or_has_one_row(
        expressions in prop::collection::vec(prop::sample::select(EXPRESSIONS.to_vec()), 1..4),
        both in any::<bool>(), catchup in prop::sample::select(vec![Catchup::None, Catchup::Last, Catchup::All]),
        spring in any::<bool>(), mark in -40_000_000..40_000_000_i64, away in -100_000..60_000_000_i64, short in any::<bool>(),
        window in 0..80_000_u64, anchor in -300_000..0_i64,
    ) {
        // Around both nights on which the clocks of Berlin change.
        let night = if spring { 1_774_746_000 } else { 1_792_890_000 };
        let mark = DateTime::from_timestamp(night, 0).unwrap() + TimeDelta::milliseconds(mark);
        let away = TimeDelta::milliseconds(if short { away / 100 } else { away });
        let now = mark + away;
        let overlap = if both { schedule::Overlap::Both } else { schedule::Overlap::First };
        let dst = Dst { overlap, ..Dst::default() };
        let schedule = Schedule::parse(&expressions, chrono_tz::Europe::Berlin, dst).unwrap();
        let anchor = (mark + TimeDelta::seconds(anchor)).trunc_subsecs(0);
        let job = Job { schedule, ..job("@daily", catchup, window) };

        let planned = plan(&job, Undecided { anchor, ..undecided(mark, now) }, &[]);
        let mut accounted = Vec::new();
        for planned in &planned {
            let last = instant(planned);
            match covered(planned) {
                None => accounted.push(last),
                Some(Covered { first, count }) => {
                    let before = first - TimeDelta::nanoseconds(1);
                    let instants: Vec<_> = job.schedule.firings(before, last, anchor).collect();
                    prop_assert_eq!((instants.first(), instants.len() as u64), (Some(&first), count));
                    prop_assert!(instants.len() > MISSED_ROWS_MAX);
                    accounted.extend(instants);
                }
            }
        }
        let expected: Vec<_> = job.schedule.firings(mark, now, anchor).collect();
        prop_assert_eq!(accounted, expected);
        prop_assert!(planned.len() < 2 * MISSED_ROWS_MAX + 1_000 + 100);
    }
}

fn living(count: usize, due_from: usize) -> Vec<Living> {
    let run = |nth| {
        let id = RunId::from_text(&format!("run-{nth}"));
        Living { id, is_due: nth >= due_from, trigger: Trigger::Schedule }
    };
    (0..count).map(run).collect()
}

#[test]
fn a_firing_that_meets_nothing_starts_under_every_policy() {
    use Overlap::{Allow, CancelRunning, QueueAll, QueueOne, Skip};
    for overlap in [Allow, CancelRunning, QueueAll, QueueOne, Skip] {
        assert_eq!(meet(overlap, Trigger::Schedule, &[], QUEUE_MAX), Meeting::Start);
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
        assert_eq!(
            meet(overlap, Trigger::Schedule, &living, QUEUE_MAX),
            expected,
            "{overlap:?} with {} living",
            living.len()
        );
    }
}

#[test]
fn a_backfill_costs_the_schedule_no_instant() {
    let mut runs = living(4, 1);
    runs.iter_mut().for_each(|run| run.trigger = Trigger::Backfill);
    for overlap in [Overlap::Skip, Overlap::QueueOne, Overlap::QueueAll, Overlap::CancelRunning, Overlap::Allow] {
        assert_eq!(meet(overlap, Trigger::Schedule, &runs, QUEUE_MAX), Meeting::Start, "{overlap:?}");
    }
    assert_eq!(place_among(Trigger::Schedule, &runs), 1, "behind the one that is under way");
    assert_eq!(place_among(Trigger::Backfill, &runs), 4);
    let skipped = meet(Overlap::Skip, Trigger::Backfill, &living(1, 1), QUEUE_MAX);
    assert!(matches!(skipped, Meeting::Skip { .. }), "a backfill itself meets everything: {skipped:?}");
    // One of the schedule that waits already is in the way of the next one.
    runs.insert(1, Living { trigger: Trigger::Schedule, ..living(5, 0)[4].clone() });
    assert!(matches!(meet(Overlap::Skip, Trigger::Schedule, &runs, QUEUE_MAX), Meeting::Skip { .. }));
}
