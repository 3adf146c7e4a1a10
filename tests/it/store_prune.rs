//! What is kept no longer, in every store: what goes, what stays, and that nothing else is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tenacron::engine::job::{Definition, Instance};
use tenacron::engine::retention::Retention;
use tenacron::engine::run::{Entry, Event, Outcome, Run, RunId};
use tenacron::engine::task::LaunchAnswer;
use tenacron::store::memory::MemoryStore;
use tenacron::store::sqlite::SqliteStore;
use tenacron::store::{Audit, Batch, NoticeQuery, Position, RunSummary, Store, StoreError};

use super::harness::now;
use super::store::{Bench, Disk, batch, conformance, mark, save};
use super::store_hands::{audit, log_tails, pauses};
use super::store_lives::{Life, all, arn, at, cancel, definition, firing, stopped};
use super::store_notices::{dead, notice, turn};

conformance! {
    what_is_kept_no_longer_goes_and_nothing_else
    the_newest_run_of_every_end_stays_for_ever
    what_people_did_goes_by_its_age
    a_definition_that_no_run_has_goes_and_can_come_back
    a_run_that_owes_a_notice_stays_until_that_is_settled
    a_slice_is_small_and_the_next_one_goes_on
    who_is_deposed_deletes_nothing
    nothing_goes_where_nothing_is_too_old
}

const DAY: i64 = 86_400;

fn rules(days: Option<u64>, max_runs: Option<u32>) -> Retention {
    Retention { max_age: days.map(|days| Duration::from_secs(days * DAY.unsigned_abs())), max_runs }
}

/// Deletes all that is kept no longer, and says how many runs and deeds went, and in how many slices.
async fn prune(store: &impl Store, rules: Retention, now: DateTime<Utc>) -> (usize, usize, usize) {
    let (mut runs, mut deeds, mut slices) = (0, 0, 0);
    let mut from = Some(Position::first());
    while let Some(position) = from {
        let pruned = store.prune(rules, position, now).await.unwrap();
        (runs, deeds, slices, from) = (runs + pruned.runs, deeds + pruned.audit, slices + 1, pruned.next);
        assert!(slices < 10_000, "it comes to an end");
    }
    (runs, deeds, slices)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Succeeds,
    Fails,
    Cancelled,
    Missed,
    Lives,
}

/// A run of this job whose instant and end are at these seconds.
fn life(job: &str, scheduled: i64, now: i64, end: End) -> Life {
    let instance = Instance::new("prod").unwrap();
    let firing = firing(job, at(scheduled));
    if end == End::Missed {
        let outcome = Outcome::Missed { reason: "the daemon was away".into(), covers: None };
        return Life::of(Run::not_started(firing, instance, definition(), outcome, at(now)));
    }
    let name = format!("{job}-{scheduled}");
    let launched = LaunchAnswer::Launched { tasks: vec![arn(&name)], failures: Vec::new() };
    let due = Life::of(Run::due(firing, instance, definition(), at(now)));
    let running = |due: Life| due.tell(now, Event::Permitted).tell(now, Event::Answered(launched.clone()));
    match end {
        End::Succeeds => running(due).tell(now, stopped(&name, Some(0))),
        End::Fails => {
            let mut failing = running(due);
            for retry in 1..4 {
                failing = failing.tell(now + 10 * retry, stopped(&name, Some(1)));
                failing = failing.tell(now + 10 * retry + 5, Event::Permitted);
                failing = failing.tell(now + 10 * retry + 5, Event::Answered(launched.clone()));
            }
            failing.tell(now + 50, stopped(&name, Some(1)))
        }
        End::Cancelled => due.tell(now, cancel()),
        End::Missed | End::Lives => running(due),
    }
}

/// The rule in other words, over everything that there was, in the order in which it was recorded.
fn kept(lives: &[Life], rules: Retention, now: DateTime<Utc>) -> BTreeSet<RunId> {
    let day = TimeDelta::days(1);
    let mut kept = BTreeSet::new();
    for (nth, life) in lives.iter().enumerate() {
        let run = &life.run;
        let newer: Vec<&Run> =
            lives[nth + 1..].iter().map(|life| &life.run).filter(|other| other.job == run.job).collect();
        let Some(finished_at) = run.finished_at() else {
            kept.insert(run.id.clone());
            continue;
        };
        let age = now - finished_at;
        let is_too_old = rules.max_age.is_some_and(|max| age > TimeDelta::from_std(max).unwrap());
        let is_surplus = rules.max_runs.is_some_and(|max| newer.len() >= usize::try_from(max).unwrap());
        let is_last_of_its_end = newer.iter().all(|other| other.status() != run.status());
        if !(is_too_old || is_surplus) || is_last_of_its_end || age <= day || now - run.scheduled_at <= day {
            kept.insert(run.id.clone());
        }
    }
    kept
}

/// Numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Some weeks of a few jobs, which are this seed's own, on a clock that now and then ran ahead by a year.
fn weeks(seed: u64) -> Vec<Life> {
    let mut dice = Dice(seed);
    let mut seconds = 0;
    let mut lives = Vec::new();
    let mut instants = BTreeSet::new();
    for _ in 0..200 {
        seconds += i64::try_from(dice.below(50_000)).unwrap();
        let ahead = if dice.below(20) == 0 { 365 * DAY } else { 0 };
        let job = format!("job-{seed}-{}", dice.below(3));
        let ends = [End::Succeeds, End::Succeeds, End::Fails, End::Cancelled, End::Missed, End::Lives];
        let end = ends[usize::try_from(dice.below(6)).unwrap()];
        // Some instants are made up for days later.
        let late = if dice.below(5) == 0 { i64::try_from(dice.below(3)).unwrap() * DAY } else { 0 };
        if instants.insert((job.clone(), seconds + ahead - late)) {
            lives.push(life(&job, seconds + ahead - late, seconds + ahead, end));
        }
    }
    lives
}

type Story = (RunSummary, usize, Vec<Entry>, usize);

/// All that is told of the runs of these lives that are there.
async fn stories(store: &impl Store, lives: &[Life]) -> BTreeMap<RunId, Story> {
    let mut stories = BTreeMap::new();
    for life in lives {
        if let Some(story) = store.story(life.run.id.clone()).await.unwrap() {
            let told = (story.summary, story.attempts.len(), story.entries, story.log_tails.len());
            stories.insert(life.run.id.clone(), told);
        }
    }
    stories
}

async fn what_is_kept_no_longer_goes_and_nothing_else(bench: impl Bench) {
    let store = bench.open();
    let marks = vec![mark("nightly", "@daily", 9)];
    let set = pauses().into_iter().map(|(scope, pause)| (scope, Some(pause))).collect();
    store.commit(Batch { marks, pauses: set, ..batch(store.term(), 0, vec![]) }).await.unwrap();
    let (mut went, mut stayed) = (0, 0);
    for seed in 0..4 {
        let mut lives = weeks(seed);
        save(&store, lives.iter_mut().map(Life::save).collect()).await;
        let tails = lives.iter().step_by(3).map(|life| (life.run.id.clone(), 1, log_tails())).collect();
        store.commit(Batch { log_tails: tails, ..Batch::empty(store.term(), at(1)) }).await.unwrap();
        let now =
            lives.iter().map(|life| life.run.created_at).filter(|created| *created < at(300 * DAY)).max().unwrap();
        // One pass after the other, by rules that become stricter.
        let passes = [
            (rules(Some(60), None), now),
            (rules(None, Some(40)), now),
            (rules(Some(20), Some(15)), now + TimeDelta::days(2)),
            (rules(Some(1), Some(1)), now + TimeDelta::days(40)),
        ];
        for (rules, now) in passes {
            let (held, loaded) = (stories(&store, &lives).await, store.load().await.unwrap());
            lives.retain(|life| held.contains_key(&life.run.id));
            let keeps = kept(&lives, rules, now);
            let (runs, ..) = prune(&store, rules, now).await;
            let left = stories(&store, &lives).await;
            assert_eq!(left.keys().cloned().collect::<BTreeSet<_>>(), keeps, "seed {seed}, {rules:?}");
            assert!(left.iter().all(|(run, story)| held.get(run) == Some(story)), "what stays is as it was");
            let after = store.load().await.unwrap();
            assert_eq!((after.runs, after.marks, after.pauses), (loaded.runs, loaded.marks, loaded.pauses));
            (went, stayed) = (went + runs, stayed + keeps.len());
        }
    }
    assert!(went > 400 && stayed > 400, "{went} went, {stayed} stayed");
}

/// Runs of one job, one a day, that end so.
fn daily(job: &str, ends: &[End]) -> Vec<Life> {
    let days = (0..).map(|day| day * DAY);
    days.zip(ends).map(|(seconds, end)| life(job, seconds, seconds, *end)).collect()
}

async fn names(store: &impl Store) -> Vec<String> {
    store.runs(all()).await.unwrap().into_iter().map(|run| run.run.to_string()).collect()
}

async fn the_newest_run_of_every_end_stays_for_ever(bench: impl Bench) {
    let store = bench.open();
    let ends = [End::Fails, End::Missed, End::Fails, End::Cancelled, End::Succeeds, End::Succeeds, End::Missed];
    let mut lives: Vec<Life> = ["a", "b"].iter().flat_map(|job| daily(job, &ends)).collect();
    save(&store, lives.iter_mut().map(Life::save).collect()).await;
    let (runs, ..) = prune(&store, rules(Some(1), Some(1)), at(10_000 * DAY)).await;
    assert_eq!(runs, 2 * 3);
    let expected = |nth: &usize| lives[*nth].run.id.to_string();
    let newest_first = [13, 12, 10, 9, 6, 5, 3, 2];
    assert_eq!(names(&store).await, newest_first.iter().map(expected).collect::<Vec<_>>());
    let last = store.last_runs(None).await.unwrap();
    assert_eq!(last.into_iter().map(|run| run.run.to_string()).collect::<Vec<_>>(), [expected(&6), expected(&13)]);
    // An instant whose row is gone is no longer known; the row of a later one does not stand for it.
    let found = store.of_instant(lives[0].run.job.clone(), at(0)).await.unwrap();
    assert!(found.is_empty(), "{found:?}");
}

async fn what_people_did_goes_by_its_age(bench: impl Bench) {
    let store = bench.open();
    let deed = |day: i64| Audit { at: at(day * DAY), run: None, job: None, ..audit().remove(0) };
    let deeds: Vec<Audit> = (0..2_500).map(|nth| deed(nth / 100)).collect();
    store.commit(Batch { audit: deeds.clone(), ..batch(store.term(), 0, vec![]) }).await.unwrap();
    assert_eq!(
        prune(&store, rules(None, Some(1)), at(10_000 * DAY)).await.1,
        0,
        "a number of runs says nothing of deeds"
    );
    let (runs, gone, slices) = prune(&store, rules(Some(10), None), at(24 * DAY)).await;
    assert_eq!((runs, gone), (0, 1_400));
    assert!(slices >= 3, "{slices}");
    let left = async || {
        let rows = store.audit(None, 9_999).await.unwrap();
        rows.into_iter().rev().map(|row| (row.seq, row.audit)).collect::<Vec<_>>()
    };
    let numbered: Vec<(u64, Audit)> = (1..).zip(deeds).collect();
    assert_eq!(left().await, numbered[1_400..]);
    // The newest stays, so that a number that was told never means another deed.
    prune(&store, rules(Some(10), None), at(10_000 * DAY)).await;
    assert_eq!(left().await, numbered[2_499..]);
    store.commit(Batch { audit: vec![deed(0)], ..batch(store.term(), 0, vec![]) }).await.unwrap();
    assert_eq!(left().await[1].0, 2_501);
}

async fn a_definition_that_no_run_has_goes_and_can_come_back(bench: impl Bench) {
    let store = bench.open();
    let former: Arc<Definition> = definition();
    let later = Arc::new(Definition { log_tail: 7, ..Definition::clone(&former) });
    let of = |day: i64, definition: &Arc<Definition>| {
        let life = Life::of(Run::due(
            firing("a", at(day * DAY)),
            Instance::new("prod").unwrap(),
            Arc::clone(definition),
            at(day * DAY),
        ));
        life.tell(day * DAY, cancel())
    };
    let mut lives = [of(0, &former), of(1, &former), of(2, &later)];
    save(&store, lives.iter_mut().map(Life::save).collect()).await;
    assert_eq!(prune(&store, rules(Some(1), None), at(9 * DAY)).await.0, 2);
    // By the same handle, which knows where it had stored the former one.
    let instance = Instance::new("prod").unwrap();
    let mut again = Life::of(Run::due(firing("a", at(9 * DAY)), instance, Arc::clone(&former), at(9 * DAY)));
    save(&store, vec![again.save()]).await;
    let store = bench.open();
    assert_eq!(store.load().await.unwrap().runs, [again.run]);
    let story = store.story(lives[2].run.id.clone()).await.unwrap().unwrap();
    assert_eq!(story.definition, later);
}

async fn a_run_that_owes_a_notice_stays_until_that_is_settled(bench: impl Bench) {
    let store = bench.open();
    let mut lives = daily("a", &[End::Fails; 4]);
    let owed = [notice(&lives[0].run, "n-0", "ops", 1), notice(&lives[1].run, "n-1", "ops", 2)];
    let saves = lives.iter_mut().map(Life::save).collect();
    store.commit(Batch { notices: owed.to_vec(), ..batch(store.term(), 0, saves) }).await.unwrap();
    turn(&store, vec![dead("n-1", 3)]).await;
    let (rules, now) = (rules(Some(1), None), at(99 * DAY));
    // A dead letter goes with its run, and the run that nothing is owed of goes.
    assert_eq!(prune(&store, rules, now).await.0, 2);
    let left = store.notices(NoticeQuery { limit: 9, ..NoticeQuery::default() }).await.unwrap().unwrap();
    assert_eq!(left.iter().map(|notice| notice.id.as_str()).collect::<Vec<_>>(), ["n-0"]);
    assert_eq!(names(&store).await, [lives[3].run.id.to_string(), lives[0].run.id.to_string()]);
    turn(&store, vec![dead("n-0", 4)]).await;
    assert_eq!(prune(&store, rules, now).await.0, 1);
    assert!(store.notices(NoticeQuery { limit: 9, ..NoticeQuery::default() }).await.unwrap().unwrap().is_empty());
}

async fn a_slice_is_small_and_the_next_one_goes_on(bench: impl Bench) {
    let store = bench.open();
    let mut lives: Vec<Life> = ["a", "b", "c"].iter().flat_map(|job| daily(job, &[End::Missed; 90])).collect();
    save(&store, lives.iter_mut().map(Life::save).collect()).await;
    let (rules, now) = (rules(Some(30), None), at(89 * DAY + 1));
    let first = store.prune(rules, Position::first(), now).await.unwrap();
    assert_eq!(first.runs, 100, "a hundred at most");
    assert_eq!(names(&store).await.len(), 270 - 100);
    // A slice that begins anew, as after a restart, goes on just so.
    let second = store.prune(rules, Position::first(), now).await.unwrap();
    let third = store.prune(rules, second.next.unwrap(), now).await.unwrap();
    assert_eq!((second.runs, third.runs), (80, 0));
    let left: BTreeSet<RunId> = names(&store).await.iter().map(|name| RunId::from_text(name)).collect();
    assert_eq!(left, kept(&lives, rules, now));
}

async fn who_is_deposed_deletes_nothing(bench: impl Bench) {
    let older = bench.open();
    let mut lives = daily("a", &[End::Missed; 9]);
    save(&older, lives.iter_mut().map(Life::save).collect()).await;
    let newer = bench.open();
    let refused = older.prune(rules(Some(1), None), Position::first(), at(99 * DAY)).await;
    let terms = (older.term().0, newer.term().0);
    assert!(matches!(refused, Err(StoreError::Deposed { mine, current }) if (mine, current) == terms), "{refused:?}");
    assert_eq!(names(&newer).await.len(), 9);
    assert_eq!(prune(&newer, rules(Some(1), None), at(99 * DAY)).await.0, 8);
}

async fn nothing_goes_where_nothing_is_too_old(bench: impl Bench) {
    let store = bench.open();
    assert_eq!(prune(&store, rules(Some(1), Some(1)), at(0)).await, (0, 0, 1), "nor from an empty store");
    let mut lives = weeks(1);
    save(&store, lives.iter_mut().map(Life::save).collect()).await;
    for rules in [rules(None, None), rules(Some(10_000), None), rules(None, Some(1_000)), Retention::default()] {
        let (runs, deeds, _) = prune(&store, rules, at(200 * DAY)).await;
        assert_eq!((runs, deeds), (0, 0), "{rules:?}");
    }
}

/// Nothing that belonged to a run is left without it, and no definition that nobody has.
#[tokio::test]
async fn sqlite_is_left_with_no_orphans() {
    let disk = Disk::new();
    let store = disk.open();
    let mut lives = weeks(7);
    let all_of_them = lives.len();
    save(&store, lives.iter_mut().map(Life::save).collect()).await;
    let tails = lives.iter().map(|life| (life.run.id.clone(), 1, log_tails())).collect();
    store.commit(Batch { log_tails: tails, ..Batch::empty(store.term(), at(1)) }).await.unwrap();
    let (runs, ..) = prune(&store, rules(Some(1), Some(5)), at(200 * DAY)).await;
    store.close().await;
    let database = rusqlite::Connection::open(disk.path()).unwrap();
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
    assert!(runs > 50, "{runs}");
    assert_eq!(count("SELECT COUNT(*) FROM run"), u32::try_from(all_of_them - runs).unwrap());
    for table in ["event", "attempt", "launch", "log_tail"] {
        assert!(count(&format!("SELECT COUNT(*) FROM {table}")) > 0, "{table}");
        let orphans = format!("SELECT COUNT(*) FROM {table} WHERE run NOT IN (SELECT seq FROM run)");
        assert_eq!(count(&orphans), 0, "{table}");
    }
    assert_eq!(count("SELECT COUNT(*) FROM definition WHERE id NOT IN (SELECT definition FROM run)"), 0);
    assert_eq!(count("SELECT COUNT(*) FROM pragma_foreign_key_check"), 0);
}

/// How many runs the store has in [`a_large_store_is_pruned_while_commits_go_on`], which prints what it takes.
const LARGE: &str = "RUNS";

/// A store with so many runs more, a thousand each minute, all of jobs of their own: copies of these, made by SQL.
fn multiply(disk: &Disk, jobs: i64, minutes: i64) {
    let database = rusqlite::Connection::open(disk.path()).unwrap();
    let copies = format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {minutes})");
    let columns = "instance, job, trigger, deadline, cancelled, status, state, definition, retries_used, history_len, attempts, \
                   error, cause, exit_code, next_action_at, term, request";
    let later = |column: &str| format!("{column} + i * 60000");
    let shifted = ["scheduled_at", "created_at", "finished_at"].map(later).join(", ");
    let script = format!(
        "BEGIN;
         {copies} INSERT INTO run (seq, id, scheduled_at, created_at, finished_at, {columns})
             SELECT seq + i * {jobs}, id || '-' || i, {shifted}, {columns} FROM n, run ORDER BY i, seq;
         {copies} INSERT INTO launch (run, generation, client_token, started_by, request, first_sent_at, unresolved)
             SELECT run + i * {jobs}, generation, client_token || '-' || i, started_by, request, first_sent_at, unresolved
             FROM n, launch;
         {copies} INSERT INTO attempt (run, attempt, body) SELECT run + i * {jobs}, attempt, body FROM n, attempt;
         {copies} INSERT INTO event (run, seq, at, type, detail)
             SELECT run + i * {jobs}, seq, at, type, detail FROM n, event;
         COMMIT;"
    );
    database.execute_batch(&script).unwrap();
}

/// `RUNS=1000000 cargo test --test it a_large_store -- --nocapture` prints how long slices and commits take.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_store_is_pruned_while_commits_go_on() {
    let runs: i64 = std::env::var(LARGE).map_or(6_000, |text| text.parse().expect("RUNS is a number"));
    let jobs = runs.min(1_000);
    let minutes = runs / jobs;
    let disk = Disk::new();
    let store = disk.open();
    let mut lives: Vec<Life> = (0..jobs).map(|nth| life(&format!("job-{nth:04}"), 0, 0, End::Succeeds)).collect();
    save(&store, lives.iter_mut().map(Life::save).collect()).await;
    store.close().await;
    multiply(&disk, jobs, minutes - 1);
    let store = disk.open();
    let commit = async |store: &SqliteStore| {
        let began = now();
        store.commit(Batch { marks: vec![mark("a", "@daily", 1)], ..batch(store.term(), 1, vec![]) }).await.unwrap();
        now() - began
    };
    let mut alone = Vec::new();
    for _ in 0..200 {
        alone.push(commit(&store).await);
    }
    let (half, mut meanwhile) = ((minutes + 1) / 2, Vec::new());
    let pruning = {
        let (store, rules) = (store.clone(), rules(Some(1), None));
        tokio::spawn(async move {
            let (mut slices, mut from) = (Vec::new(), Some(Position::first()));
            let now_then = at(DAY + half * 60 + 1);
            while let Some(position) = from {
                let began = now();
                let pruned = store.prune(rules, position, now_then).await.unwrap();
                slices.extend((pruned.runs > 0).then(|| now() - began));
                from = pruned.next;
            }
            slices
        })
    };
    while !pruning.is_finished() {
        meanwhile.push(commit(&store).await);
    }
    let slices = pruning.await.unwrap();
    for (what, mut times) in [("a commit alone", alone), ("a commit meanwhile", meanwhile), ("a slice", slices)] {
        times.sort_unstable();
        let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!("{what}: median {median:?}, p99 {p99:?}, longest {:?}, of {}", times[times.len() - 1], times.len());
    }
    let left = rusqlite::Connection::open(disk.path()).unwrap();
    let left: i64 = left.query_row("SELECT COUNT(*) FROM run", [], |row| row.get(0)).unwrap();
    println!("{} of {runs} runs deleted", jobs * minutes - left);
    assert_eq!(left, jobs * (minutes - half - 1).max(1), "what is younger than a day stays");
}
