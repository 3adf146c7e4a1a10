//! What the page asks every store for: the newest runs of jobs, what is in flight, what ended badly, and the runs of a time.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use tenacron::engine::job::JobName;
use tenacron::engine::run::{Outcome, RunId};
use tenacron::store::memory::MemoryStore;
use tenacron::store::{RunQuery, Span, Store};

use super::store::{Bench, Disk, conformance};
use super::store_lives::{Life, at, cancel, every_life, job, save, stopped, summary_of};

conformance! {
    the_newest_runs_of_each_job_that_was_asked_for
    what_is_in_flight_is_listed_newest_first
    what_ended_badly_is_listed_by_its_end
    the_runs_of_a_time_are_those_that_lived_in_it
    a_run_that_spans_the_whole_time_is_found_however_long_ago_it_began
    the_newest_runs_of_a_time_are_kept
    launches_are_told_by_when_they_were_sent
    the_attempts_of_runs_are_those_that_were_saved
}

/// A run that began then and was cancelled after so many seconds.
fn lasted(name: &str, from: i64, seconds: i64) -> Life {
    Life::due(name, from).tell(from + seconds, cancel())
}

fn ids(lives: &[&Life]) -> Vec<RunId> {
    lives.iter().map(|life| life.run.id.clone()).collect()
}

async fn spans_of(store: &impl Store, names: &[&str], from: i64, until: i64) -> Vec<RunId> {
    let jobs = names.iter().map(|name| job(name)).collect();
    let spans = store.spans(jobs, at(from), at(until), 100).await.unwrap();
    spans.into_iter().map(|span| span.run).collect()
}

async fn the_newest_runs_of_each_job_that_was_asked_for(bench: impl Bench) {
    let store = bench.open();
    let names = ["a", "b", "c"];
    let mut lives: Vec<Life> = (0..30).map(|n| Life::due(names[n % 3], i64::try_from(n).unwrap())).collect();
    save(&store, lives.iter_mut().map(Life::save).collect()).await;
    for per_job in [0, 1, 4, 100] {
        let asked: Vec<JobName> = ["c", "none", "a"].map(job).to_vec();
        let mut expected = Vec::new();
        for job in &asked {
            let query = RunQuery { job: Some(job.clone()), limit: per_job, ..RunQuery::default() };
            expected.extend(store.runs(query).await.unwrap());
        }
        assert_eq!(expected.len(), 2 * per_job.min(10));
        assert_eq!(store.recent_runs(asked, per_job).await.unwrap(), expected);
    }
}

async fn what_is_in_flight_is_listed_newest_first(bench: impl Bench) {
    let store = bench.open();
    assert_eq!(store.living(9).await.unwrap(), []);
    let mut lives = every_life();
    save(&store, lives.iter_mut().map(|(_, life)| life.save()).collect()).await;
    let living = lives.iter().rev().filter(|(_, life)| !life.run.is_finished());
    let expected: Vec<_> = living.map(|(_, life)| summary_of(&life.run)).collect();
    assert!(expected.len() > 10);
    assert_eq!(store.living(100).await.unwrap(), expected);
    assert_eq!(store.living(3).await.unwrap(), expected[..3]);
}

async fn what_ended_badly_is_listed_by_its_end(bench: impl Bench) {
    let store = bench.open();
    let mut lives = every_life();
    let missed = || Outcome::Missed { reason: "the daemon was down".into(), covers: None };
    lives.extend(["m", "n", "o"].map(|name| (name, Life::never(name, missed()))));
    save(&store, lives.iter_mut().map(|(_, life)| life.save()).collect()).await;
    let mut bad: Vec<_> = lives.iter().rev().map(|(_, life)| summary_of(&life.run)).collect();
    bad.retain(|run| run.status.is_bad());
    bad.sort_by_key(|run| std::cmp::Reverse(run.finished_at));
    let statuses: BTreeMap<&str, usize> = bad.iter().map(|run| (run.status.as_str(), 1)).collect();
    assert_eq!(statuses.into_keys().collect::<Vec<_>>(), ["failed", "missed", "timed_out", "unknown"]);
    assert_eq!(store.bad_since(at(-9), 100).await.unwrap(), bad);
    assert_eq!(store.bad_since(at(-9), 2).await.unwrap(), bad[..2]);
    let since = bad[2].finished_at.unwrap();
    let young: Vec<_> = bad.iter().filter(|run| run.finished_at >= Some(since)).cloned().collect();
    assert!((3..bad.len()).contains(&young.len()));
    assert_eq!(store.bad_since(since, 100).await.unwrap(), young);
}

async fn the_runs_of_a_time_are_those_that_lived_in_it(bench: impl Bench) {
    let store = bench.open();
    let [before, into, within, out, after, living] = [
        lasted("a", 0, 99),
        lasted("a", 10, 90),
        lasted("a", 110, 10),
        lasted("a", 200, 1),
        lasted("a", 201, 5),
        Life::running("living"),
    ];
    let mut late = Life::due("living", 300);
    let mut lives = [before, into, within, out, after, living];
    save(&store, lives.iter_mut().map(Life::save).chain([late.save()]).collect()).await;
    let [_, into, within, out, _, living] = &lives;
    let found = spans_of(&store, &["living", "a"], 100, 200).await;
    assert_eq!(found, ids(&[living, out, within, into]), "by job as asked for, newest first");
    assert_eq!(spans_of(&store, &["other"], 100, 200).await, []);
    assert_eq!(spans_of(&store, &["living"], 0, 400).await, ids(&[&late, living]));

    let spans = store.spans(vec![job("a")], at(110), at(112), 9).await.unwrap();
    let run = &within.run;
    let expected = Span {
        run: run.id.clone(),
        job: run.job.clone(),
        status: run.status(),
        trigger: run.trigger,
        scheduled_at: run.scheduled_at,
        created_at: run.created_at,
        finished_at: run.finished_at(),
        attempts: 0,
    };
    assert_eq!(spans, [expected]);
    let mut ended = living.clone().tell(9, stopped("living", Some(0)));
    save(&store, vec![ended.save()]).await;
    assert_eq!(spans_of(&store, &["living"], 10, 20).await, [], "it is over");
    let span = store.spans(vec![job("living")], at(9), at(20), 9).await.unwrap().remove(0);
    assert_eq!((span.attempts, span.finished_at), (1, Some(at(9))));
}

async fn a_run_that_spans_the_whole_time_is_found_however_long_ago_it_began(bench: impl Bench) {
    const DAY: i64 = 86_400;
    let store = bench.open();
    // Each began before the time that is shown: long ago, an hour ago to the second, and what was over by then.
    let each = [
        (0, 40 * DAY),
        (DAY, 29 * DAY),
        (DAY + 1, 29 * DAY - 2),
        (30 * DAY - 3_602, 3_601),
        (30 * DAY - 3_601, 3_601),
        (30 * DAY - 3_600, 3_600),
        (30 * DAY - 3_599, 3_598),
        (30 * DAY - 3_598, 3_598),
        (30 * DAY - 3_597, 7_300),
    ];
    let mut lives = each.map(|(began, seconds)| lasted("a", began, seconds));
    save(&store, lives.iter_mut().map(Life::save).collect()).await;
    let expected = [8, 7, 5, 4, 1, 0].map(|n: usize| &lives[n]);
    assert_eq!(spans_of(&store, &["a"], 30 * DAY, 30 * DAY + 60).await, ids(&expected));
}

async fn the_newest_runs_of_a_time_are_kept(bench: impl Bench) {
    let store = bench.open();
    let mut lives: Vec<Life> = (0..20).map(|n| lasted("a", n, 5)).chain([Life::due("a", 20)]).collect();
    save(&store, lives.iter_mut().map(Life::save).collect()).await;
    let spans = store.spans(vec![job("a")], at(0), at(99), 3).await.unwrap();
    let found: Vec<RunId> = spans.into_iter().map(|span| span.run).collect();
    assert_eq!(found, ids(&[&lives[20], &lives[19], &lives[18]]));
}

async fn launches_are_told_by_when_they_were_sent(bench: impl Bench) {
    let store = bench.open();
    let mut lives = every_life();
    save(&store, lives.iter_mut().map(|(_, life)| life.save()).collect()).await;
    let mut sent: Vec<_> =
        lives.iter().filter_map(|(_, life)| life.run.launch.as_ref()).map(|launch| launch.first_sent_at).collect();
    sent.sort_unstable_by(|a, b| b.cmp(a));
    let (first, last) = (sent[sent.len() - 1], sent[0]);
    assert!(first < last, "they were sent at several times");
    let launches = store.launches(first, last, 1_000).await.unwrap();
    assert!(launches.is_sorted_by(|a, b| a >= b) && sent.iter().all(|at| launches.contains(at)), "{launches:?}");
    assert_eq!(store.launches(first, last, 2).await.unwrap(), launches[..2]);
    let early = store.launches(first, first, 1_000).await.unwrap();
    assert!(!early.is_empty() && early.iter().all(|at| *at == first), "{early:?}");
    assert!(store.launches(last + TimeDelta::milliseconds(1), at(1_000_000), 9).await.unwrap().is_empty());
}

async fn the_attempts_of_runs_are_those_that_were_saved(bench: impl Bench) {
    let store = bench.open();
    let mut lives = every_life();
    save(&store, lives.iter_mut().map(|(_, life)| life.save()).collect()).await;
    let none = RunId::from_text("none-of-them");
    let mut asked: Vec<RunId> = lives.iter().rev().map(|(_, life)| life.run.id.clone()).collect();
    asked.insert(1, none);
    let expected: Vec<_> =
        lives.iter().rev().map(|(_, life)| (life.run.id.clone(), life.run.attempts.clone())).collect();
    assert!(expected.iter().any(|(_, attempts)| attempts.len() > 1));
    assert_eq!(store.attempts(asked).await.unwrap(), expected);
    assert_eq!(store.attempts(Vec::new()).await.unwrap(), []);
}
