//! The outbox of every store: what is owed is kept, told in its order, and moves on once.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tenacron::engine::notice::{ATTEMPTS_MAX, AttemptFacts, ChannelId, Notice, NoticeFacts, On};
use tenacron::engine::run::{Run, RunId};
use tenacron::store::memory::MemoryStore;
use tenacron::store::{
    Batch, NOTICE_PAUSE_MAX, NoticeMove, NoticeQuery, NoticeState, NoticeSummary, NoticeTurn, OwedNotice, Store,
};

use super::store::{Bench, Disk, batch, conformance, tamper, told};
use super::store_lives::{Life, at, job};

conformance! {
    what_is_owed_is_kept_and_comes_back_as_it_was
    a_notice_that_is_known_by_its_name_is_not_added_again
    a_run_that_is_dropped_owes_nothing
    notices_are_due_by_channel_in_the_order_of_their_tries
    a_notice_moves_on_and_no_delivered_one_is_owed_again
    a_dead_letter_is_kept_and_can_be_revived
    a_try_planned_on_a_clock_that_was_set_back_is_due
    notices_are_listed_newest_first_by_job_and_state
    a_story_tells_who_was_told
}

/// Everything that a notice can say.
fn facts(on: On, run: &Run) -> NoticeFacts {
    let attempt = AttemptFacts {
        attempt: 11,
        launched_at: Some(at(1)),
        stopped_at: Some(at(2)),
        task_arn: Some("arn:task/1".into()),
        error: Some("States.TaskFailed".into()),
        finer_error: None,
        cause: Some("\"é\" \n 🦀".into()),
        exit_code: Some(1),
    };
    NoticeFacts {
        on,
        instance: run.instance.clone(),
        job: run.job.clone(),
        run: run.id.clone(),
        status: run.status(),
        trigger: run.trigger,
        scheduled_at: run.scheduled_at,
        timezone: Some("Europe/Berlin".into()),
        finished_at: Some(at(3)),
        attempt_count: 11,
        attempts: vec![attempt; ATTEMPTS_MAX],
        error: Some("States.TaskFailed".into()),
        finer_error: None,
        cause: Some("it failed".into()),
        hint: Some("look at it".into()),
        exit_code: Some(1),
        exit_code_meaning: Some("the program says so".into()),
        retry_at: Some(at(4)),
        next_at: Some(at(5)),
        paused: Some("ada".into()),
        failed_in_a_row: 3,
        others: 31_535_940,
        others_from: Some(at(-9)),
        made_up_by: None,
        task: Some(serde_json::json!({ "taskArn": "arn:task/1", "containers": [{ "exitCode": 1 }] })),
    }
}

pub(crate) fn notice(run: &Run, id: &str, channel: &str, seconds: i64) -> Notice {
    let facts = Arc::new(facts(On::Failed, run));
    Notice { id: id.into(), channel: ChannelId(channel.into()), at: at(seconds), facts }
}

fn moved(id: &str, seconds: i64, tries: u32, turn: NoticeTurn) -> NoticeMove {
    NoticeMove { id: id.into(), at: at(seconds), tries, turn }
}

fn again(id: &str, seconds: i64, next: i64) -> NoticeMove {
    moved(id, seconds, 1, NoticeTurn::Again { next_at: at(next), error: "HTTP 500".into() })
}

pub(crate) fn dead(id: &str, seconds: i64) -> NoticeMove {
    moved(id, seconds, 7, NoticeTurn::Dead { error: "HTTP 410 for 24 h".into() })
}

async fn owe(store: &impl Store, life: &mut Life, notices: Vec<Notice>) {
    let runs = if life.is_new { vec![life.save()] } else { vec![] };
    store.commit(Batch { notices, ..batch(store.term(), 1, runs) }).await.unwrap();
}

pub(crate) async fn turn(store: &impl Store, notice_moves: Vec<NoticeMove>) {
    store.commit(Batch { notice_moves, ..batch(store.term(), 2, vec![]) }).await.unwrap();
}

async fn due(store: &impl Store, now: DateTime<Utc>, limit: usize) -> Vec<String> {
    all_due(store, now, limit).await.into_iter().map(|owed| owed.notice.id).collect()
}

/// What is due of all channels, at most so many of each.
pub(crate) async fn all_due(store: &impl Store, now: DateTime<Utc>, limit: usize) -> Vec<OwedNotice> {
    let mut due = Vec::new();
    for (channel, _) in store.owed_channels().await.unwrap() {
        due.extend(store.due_notices(channel, now, limit).await.unwrap());
    }
    due
}

async fn channels(store: &impl Store) -> Vec<(String, i64)> {
    let owed = store.owed_channels().await.unwrap();
    owed.into_iter().map(|(channel, next)| (channel.to_string(), (next - at(0)).num_seconds())).collect()
}

async fn listed(store: &impl Store, query: NoticeQuery) -> Vec<String> {
    let listed = store.notices(NoticeQuery { limit: 9, ..query }).await.unwrap();
    listed.expect("there is what it lists from").into_iter().map(|notice| notice.id).collect()
}

fn in_state(state: NoticeState) -> NoticeQuery {
    NoticeQuery { state: Some(state), ..NoticeQuery::default() }
}

async fn what_is_owed_is_kept_and_comes_back_as_it_was(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::due("nightly", 0);
    let owed = notice(&life.run, "n1", "webhook:hooks.example#12", 1);
    owe(&store, &mut life, vec![owed.clone()]).await;
    let store = bench.open();
    assert_eq!(all_due(&store, at(0), 9).await, [], "before its time");
    let expected = OwedNotice { notice: owed.clone(), since: at(1), tries: 0 };
    assert_eq!(all_due(&store, at(1), 9).await, [expected]);
    assert_eq!(channels(&store).await, [("webhook:hooks.example#12".to_owned(), 1)]);
    let counts = store.notice_counts().await.unwrap();
    assert_eq!((counts.owed, counts.dead), (1, 0));
}

async fn a_notice_that_is_known_by_its_name_is_not_added_again(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::due("nightly", 0);
    let first = notice(&life.run, "n1", "a", 1);
    let double = notice(&life.run, "n1", "b", 1);
    owe(&store, &mut life, vec![first.clone(), double]).await;
    turn(&store, vec![moved("n1", 2, 1, NoticeTurn::Delivered)]).await;
    owe(&store, &mut life, vec![first]).await;
    assert_eq!(channels(&store).await, [], "it was delivered");
    assert_eq!(listed(&store, NoticeQuery::default()).await, ["n1"]);
}

async fn a_run_that_is_dropped_owes_nothing(bench: impl Bench) {
    let store = bench.open();
    let (mut life, mut double) = (Life::due("nightly", 0), Life::due("nightly", 0));
    owe(&store, &mut life, vec![]).await;
    let owed = notice(&double.run, "n1", "a", 1);
    owe(&store, &mut double, vec![owed]).await;
    let never_saved = Life::due("often", 0).run;
    owe(&store, &mut life, vec![notice(&never_saved, "n2", "a", 1)]).await;
    assert_eq!(listed(&store, NoticeQuery::default()).await, [""; 0]);
    assert_eq!(channels(&store).await, []);
}

async fn notices_are_due_by_channel_in_the_order_of_their_tries(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::due("nightly", 0);
    let of = |(id, channel, seconds)| notice(&life.run, id, channel, seconds);
    let owed = [("b1", "b", 1), ("a1", "a", 3), ("a2", "a", 3), ("a0", "a", 2), ("a9", "a", 9), ("b2", "b", 2)].map(of);
    owe(&store, &mut life, owed.to_vec()).await;
    assert_eq!(due(&store, at(5), 9).await, ["a0", "a1", "a2", "b1", "b2"]);
    assert_eq!(due(&store, at(5), 1).await, ["a0", "b1"], "one channel keeps no place from another");
    assert_eq!(due(&store, at(1), 9).await, ["b1"]);
    turn(&store, vec![again("a0", 5, 8), again("b1", 5, 6)]).await;
    assert_eq!(due(&store, at(8), 9).await, ["a1", "a2", "a0", "b2", "b1"]);
    assert_eq!(channels(&store).await, [("a".to_owned(), 3), ("b".to_owned(), 2)]);
}

async fn a_notice_moves_on_and_no_delivered_one_is_owed_again(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::due("nightly", 0);
    let owed = notice(&life.run, "n1", "a", 1);
    owe(&store, &mut life, vec![owed.clone()]).await;
    turn(&store, vec![again("n1", 2, 7)]).await;
    let store = bench.open();
    assert_eq!(all_due(&store, at(7), 9).await, [OwedNotice { notice: owed, since: at(1), tries: 1 }]);
    turn(&store, vec![moved("n1", 8, 2, NoticeTurn::Delivered), moved("n9", 8, 2, NoticeTurn::Delivered)]).await;
    turn(&store, vec![again("n1", 9, 10), dead("n1", 9), moved("n1", 9, 0, NoticeTurn::Revived)]).await;
    let expected = NoticeSummary {
        id: "n1".into(),
        on: On::Failed,
        channel: ChannelId("a".into()),
        job: job("nightly"),
        run: life.run.id.clone(),
        state: NoticeState::Delivered,
        owed_at: at(1),
        tries: 2,
        last_error: Some("HTTP 500".into()),
        at: Some(at(8)),
        next_at: None,
    };
    let query = NoticeQuery { limit: 9, ..NoticeQuery::default() };
    assert_eq!(bench.open().notices(query).await.unwrap(), Some(vec![expected]));
    assert_eq!(all_due(&store, at(99), 9).await, []);
    assert_eq!(store.notice_counts().await.unwrap().owed, 0);
}

async fn a_dead_letter_is_kept_and_can_be_revived(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::due("nightly", 0);
    let owed = notice(&life.run, "n1", "a", 1);
    owe(&store, &mut life, vec![owed.clone()]).await;
    turn(&store, vec![moved("n1", 2, 0, NoticeTurn::Revived)]).await;
    assert_eq!(all_due(&store, at(9), 9).await[0].since, at(1), "only a dead letter is revived");
    turn(&store, vec![dead("n1", 50)]).await;
    assert_eq!(all_due(&store, at(99), 9).await, []);
    let letter =
        store.notices(NoticeQuery { limit: 9, ..in_state(NoticeState::Dead) }).await.unwrap().unwrap().remove(0);
    assert_eq!((letter.tries, letter.at, letter.next_at), (7, Some(at(50)), None));
    assert_eq!(letter.last_error.as_deref(), Some("HTTP 410 for 24 h"));
    assert_eq!(store.notice_counts().await.unwrap().dead, 1);
    turn(&store, vec![moved("n1", 60, 0, NoticeTurn::Revived)]).await;
    let expected = OwedNotice { notice: owed, since: at(60), tries: 0 };
    assert_eq!(all_due(&bench.open(), at(60), 9).await, [expected], "it says what it said");
}

async fn a_try_planned_on_a_clock_that_was_set_back_is_due(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::due("nightly", 0);
    let owed = [("soon", 100), ("later", 3_700), ("in-a-day", 86_400), ("now", 10)];
    let owed = owed.map(|(id, seconds)| notice(&life.run, id, "a", seconds));
    owe(&store, &mut life, owed.to_vec()).await;
    assert_eq!(NOTICE_PAUSE_MAX, TimeDelta::hours(1));
    assert_eq!(due(&store, at(10), 9).await, ["now", "later", "in-a-day"]);
    assert_eq!(due(&store, at(10), 2).await, ["now", "later"]);
}

async fn notices_are_listed_newest_first_by_job_and_state(bench: impl Bench) {
    let store = bench.open();
    let mut lives = [Life::due("nightly", 0), Life::due("often", 0)];
    for (nth, life) in lives.iter_mut().enumerate() {
        let mut owed = ["a", "b", "c"].map(|id| notice(&life.run, &format!("{id}{nth}"), "x", 1)).to_vec();
        if nth == 1 {
            owed.push(notice(&life.run, "d1", "y", 1));
        }
        owe(&store, life, owed).await;
    }
    turn(&store, vec![moved("a0", 2, 1, NoticeTurn::Delivered), dead("b0", 2), dead("c1", 2)]).await;
    let store = bench.open();
    let of = |job| NoticeQuery { job: Some(job), ..NoticeQuery::default() };
    assert_eq!(listed(&store, NoticeQuery::default()).await, ["d1", "c1", "b1", "a1", "c0", "b0", "a0"]);
    assert_eq!(listed(&store, of(job("nightly"))).await, ["c0", "b0", "a0"]);
    assert_eq!(listed(&store, in_state(NoticeState::Dead)).await, ["c1", "b0"]);
    assert_eq!(listed(&store, in_state(NoticeState::Owed)).await, ["d1", "b1", "a1", "c0"]);
    let both = NoticeQuery { state: Some(NoticeState::Dead), ..of(job("nightly")) };
    assert_eq!(listed(&store, both).await, ["b0"]);
    let before = |id: &str| NoticeQuery { before: Some(id.into()), ..NoticeQuery::default() };
    assert_eq!(listed(&store, before("a1")).await, ["c0", "b0", "a0"]);
    assert_eq!(listed(&store, NoticeQuery { before: Some("c1".into()), ..in_state(NoticeState::Dead) }).await, ["b0"]);
    assert_eq!(listed(&store, before("a0")).await, [""; 0]);
    assert_eq!(store.notices(before("none")).await.unwrap(), None);
    assert_eq!(store.notices(NoticeQuery { limit: 2, ..NoticeQuery::default() }).await.unwrap().unwrap().len(), 2);
    let by = |channel: &str| NoticeQuery { channel: Some(ChannelId(channel.into())), ..NoticeQuery::default() };
    assert_eq!(listed(&store, by("y")).await, ["d1"]);
    assert_eq!(listed(&store, NoticeQuery { job: Some(job("nightly")), ..by("y") }).await, [""; 0]);
    assert_eq!(listed(&store, NoticeQuery { job: Some(job("often")), ..by("y") }).await, ["d1"]);
    assert_eq!(listed(&store, NoticeQuery { state: Some(NoticeState::Dead), ..by("x") }).await, ["c1", "b0"]);
    let all = NoticeQuery { job: Some(job("often")), state: Some(NoticeState::Owed), ..by("y") };
    assert_eq!(listed(&store, all).await, ["d1"]);
}

async fn a_story_tells_who_was_told(bench: impl Bench) {
    let store = bench.open();
    let mut life = Life::due("nightly", 0);
    let owed = [notice(&life.run, "n1", "a", 1), notice(&life.run, "n2", "b", 1)];
    owe(&store, &mut life, owed.to_vec()).await;
    turn(&store, vec![dead("n1", 2)]).await;
    let mut other = Life::due("often", 0);
    owe(&store, &mut other, vec![]).await;
    let of = async |run: RunId| store.story(run).await.unwrap().unwrap().notices;
    let told = of(life.run.id.clone()).await.into_iter().map(|notice| (notice.id, notice.state, notice.run));
    let run = life.run.id.clone();
    let expected = [("n1".into(), NoticeState::Dead, run.clone()), ("n2".into(), NoticeState::Owed, run)];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(of(other.run.id).await, []);
}

#[tokio::test]
async fn sqlite_names_the_notice_that_cannot_be_read_back() {
    let disk = Disk::new();
    let store = disk.try_open().unwrap();
    let mut life = Life::due("nightly", 0);
    let owed = notice(&life.run, "n1", "a", 1);
    owe(&store, &mut life, vec![owed]).await;
    store.close().await;
    for (sql, column) in [("since = 9223372036854775807", "since"), ("facts = '{'", "facts"), ("facts = NULL", "facts")]
    {
        tamper(&disk.path(), &format!("UPDATE notice SET {sql}"));
        let store = disk.try_open().unwrap();
        let error = told(&store.due_notices(ChannelId("a".into()), at(9), 9).await.unwrap_err());
        assert!(error.contains(&format!("notice n1: column `{column}` can't be read back")), "{sql}: {error}");
        store.close().await;
    }
}

/// Notices in every state, for the fixtures: of a run, in the order in which they were owed.
pub(crate) fn notices_of(run: &Run) -> (Vec<Notice>, Vec<NoticeMove>) {
    let owed = ["n1", "n2", "n3", "n4"].map(|id| notice(run, id, "sns:é", 1));
    (owed.to_vec(), vec![again("n2", 2, 9), dead("n3", 3), moved("n4", 4, 2, NoticeTurn::Delivered)])
}
