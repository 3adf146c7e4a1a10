//! What people do, in every store: pauses, the audit log, who asked for a run, and what became of an instant.

use std::collections::BTreeMap;
use std::sync::Arc;

use tenacron::engine::log_tail::LogTail;
use tenacron::engine::pause::{Pause, Scope};
use tenacron::engine::run::{Asker, Firing, Outcome, Request, RunId, Trigger};
use tenacron::store::memory::MemoryStore;
use tenacron::store::{Audit, Batch, Store};

use super::store::{Bench, Disk, batch, conformance, save};
use super::store_lives::{Life, asked_for, at, job, lives_since_schema_2};

conformance! {
    pauses_are_kept_replaced_and_lifted
    what_people_did_is_listed_newest_first
    two_may_ask_for_the_same_instant
    an_instant_is_found_by_its_own_row_and_by_one_that_stands_for_it
    a_story_tells_what_its_run_does
    what_containers_wrote_last_is_kept_by_attempt
}

fn asker(by: &str, reason: Option<&str>) -> Asker {
    Asker { by: by.into(), reason: reason.map(str::to_owned) }
}

/// A pause of all jobs and one of a job, in the order of stores.
pub(crate) fn pauses() -> Vec<(Scope, Pause)> {
    let of =
        |since, until: Option<i64>| Pause { asker: asker("ada", Some("é")), since: at(since), until: until.map(at) };
    vec![(Scope::All, of(1, None)), (Scope::Job(job("nightly")), of(2, Some(900)))]
}

/// What people did, newest first.
pub(crate) fn audit() -> Vec<Audit> {
    let of = |action: &str, run: Option<&str>, detail: Option<&str>, seconds| Audit {
        at: at(seconds),
        by: "uid 0 (root)".into(),
        action: action.into(),
        job: run.map(|_| job("nightly")),
        run: run.map(RunId::from_text),
        detail: detail.map(str::to_owned),
    };
    vec![of("cancel", Some("nightly-1"), Some("too \"long\""), 4), of("pause", None, None, 2)]
}

async fn pauses_are_kept_replaced_and_lifted(bench: impl Bench) {
    let store = bench.open();
    let set: Vec<_> = pauses().into_iter().map(|(scope, pause)| (scope, Some(pause))).collect();
    store.commit(Batch { pauses: set.clone(), ..batch(store.term(), 0, vec![]) }).await.unwrap();
    let store = bench.open();
    assert_eq!(store.load().await.unwrap().pauses, pauses());
    let [(all, _), (one, pause)] = <[_; 2]>::try_from(pauses()).unwrap();
    let shorter = Pause { until: Some(at(3)), ..pause };
    let changes = vec![(all.clone(), None), (one.clone(), Some(shorter.clone()))];
    store.commit(Batch { pauses: changes, ..batch(store.term(), 0, vec![]) }).await.unwrap();
    assert_eq!(bench.open().load().await.unwrap().pauses, [(one, shorter)]);
}

async fn what_people_did_is_listed_newest_first(bench: impl Bench) {
    let store = bench.open();
    for entry in audit().into_iter().rev() {
        store.commit(Batch { audit: vec![entry], ..batch(store.term(), 0, vec![]) }).await.unwrap();
    }
    let store = bench.open();
    let listed = async |before, limit| store.audit(before, limit).await.unwrap();
    let all = listed(None, 9).await;
    assert_eq!(all.iter().map(|row| row.audit.clone()).collect::<Vec<_>>(), audit());
    assert!(all.is_sorted_by(|newer, older| newer.seq > older.seq), "{all:?}");
    assert_eq!(listed(None, 1).await, all[..1]);
    assert_eq!(listed(Some(all[0].seq), 9).await, all[1..], "what comes before an entry");
    assert_eq!(listed(Some(all[1].seq + 1), 1).await, all[1..2], "also before a place that no entry has");
    assert_eq!(listed(Some(0), 9).await, []);
}

async fn two_may_ask_for_the_same_instant(bench: impl Bench) {
    let store = bench.open();
    let request = Request { asker: asker("ada", None), overlap: None, retry_of: Some(RunId::from_text("nightly-1")) };
    let lives = [1, 2].map(|asked| asked_for(Firing::retry(&job("nightly"), at(0), request.clone(), at(asked))));
    let saves: Vec<_> = [Life::due("nightly", 0)].into_iter().chain(lives).map(|mut life| life.save()).collect();
    assert!(save(&store, saves.clone()).await.is_empty());
    let [first, second] = [1, 2].map(|nth: usize| saves[nth].run.id.clone());
    let of = |run| Audit { run: Some(run), ..audit().remove(0) };
    let again = Batch { audit: vec![of(first), of(second)], ..batch(store.term(), 1, saves[1..].to_vec()) };
    assert_eq!(store.commit(again).await.unwrap().len(), 2, "a name is taken once");
    assert_eq!(store.audit(None, 9).await.unwrap(), [], "and what was asked for in vain is no deed");
    let loaded = bench.open().load().await.unwrap().runs;
    assert_eq!(loaded.iter().filter(|run| run.request.as_ref() == Some(&request)).count(), 2);
    let found = store.of_instant(job("nightly"), at(0)).await.unwrap();
    assert_eq!(
        found.iter().map(|run| run.trigger).collect::<Vec<_>>(),
        [Trigger::Schedule, Trigger::Manual, Trigger::Manual]
    );
}

async fn an_instant_is_found_by_its_own_row_and_by_one_that_stands_for_it(bench: impl Bench) {
    let store = bench.open();
    let paused = |(name, life): (&'static str, Life)| (name == "paused").then_some(life);
    let mut many = lives_since_schema_2().into_iter().find_map(paused).unwrap();
    let covers = many.run.state.clone();
    let single = Outcome::Missed { reason: "the daemon was away".into(), covers: None };
    let mut alone = Life::of(tenacron::engine::run::Run::not_started(
        Firing::of_schedule(&job("paused"), at(60), Trigger::Schedule),
        many.run.instance.clone(),
        Arc::clone(&many.run.definition),
        single,
        at(61),
    ));
    save(&store, vec![many.save(), alone.save()]).await;
    let found = async |seconds: i64| {
        let runs = store.of_instant(job("paused"), at(seconds)).await.unwrap();
        runs.into_iter().map(|run| (run.scheduled_at - at(0)).num_seconds()).collect::<Vec<_>>()
    };
    assert!(matches!(covers, tenacron::engine::run::State::Finished { .. }));
    assert_eq!(found(-500).await, [0]);
    assert_eq!(found(-1).await, [0]);
    assert_eq!(found(0).await, [0]);
    assert_eq!(found(60).await, [60]);
    for none in [-501, 1, 59, 61] {
        assert!(found(none).await.is_empty(), "{none}");
    }
    assert!(store.of_instant(job("another"), at(0)).await.unwrap().is_empty());
}

/// What the containers of an attempt wrote.
pub(crate) fn log_tails() -> Vec<LogTail> {
    let lines = vec!["é".into(), "\"x\"\n".into()];
    let app = LogTail { container: "app".into(), lines, note: None, stream: None };
    vec![app, LogTail::without_lines("log", "the stream does not exist")]
}

async fn what_containers_wrote_last_is_kept_by_attempt(bench: impl Bench) {
    let store = bench.open();
    let mut lives = [Life::due("nightly", 0), Life::due("often", 0)];
    save(&store, lives.iter_mut().map(Life::save).collect()).await;
    let [nightly, often] = lives.map(|life| life.run.id);
    let first = vec![LogTail::without_lines("app", "too late")];
    let told = vec![
        (nightly.clone(), 1, first),
        (nightly.clone(), 2, log_tails()),
        (RunId::from_text("never-saved"), 1, log_tails()),
    ];
    store.commit(Batch { log_tails: told, ..batch(store.term(), 1, vec![]) }).await.unwrap();
    let again = vec![(nightly.clone(), 1, log_tails())];
    store.commit(Batch { log_tails: again, ..batch(store.term(), 2, vec![]) }).await.unwrap();
    let store = bench.open();
    let of = async |run: RunId| store.story(run).await.unwrap().unwrap().log_tails;
    assert_eq!(of(nightly).await, BTreeMap::from([(1, log_tails()), (2, log_tails())]));
    assert_eq!(of(often).await, BTreeMap::new());
    assert!(store.story(RunId::from_text("never-saved")).await.unwrap().is_none());
}

async fn a_story_tells_what_its_run_does(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::due("nightly", 0);
    save(&store, vec![life.save()]).await;
    let story = store.story(life.run.id.clone()).await.unwrap().unwrap();
    assert_eq!(story.definition, life.run.definition);
}
