//! Delivery against a store in memory, and a topic or a loopback server that does as a test says. Rounds are gone by hand, so
//! that nobody waits for a pause.

mod saving;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use chrono::TimeDelta;
use tokio::sync::Semaphore;

use super::super::tests::saving::Moody;
use super::super::tests::{WITHIN, no_connection, settings, until};
use super::super::{Daemon, Settings};
use super::*;
use crate::ecs::{CallError, Described, Ecs, LivePage};
use crate::engine::call_fault::CallFault;
use crate::engine::job::{Instance, Site};
use crate::engine::launch::LaunchRequest;
use crate::engine::notice::{Notice, NoticeFacts, On};
use crate::engine::run::{Firing, Run, RunId, Trigger};
use crate::engine::samples;
use crate::engine::task::{LaunchAnswer, SearchAnswer, TaskArn};
use crate::notify::{Address, Channel, Ping, Style, Topic, TopicMessage};
use crate::outbound::stub::{Reply, Stub};
use crate::store::memory::MemoryStore;
use crate::store::{Batch, NoticeQuery, NoticeState, NoticeSummary, RunSave};

/// What a topic does with a message.
#[derive(Debug, Clone, Copy)]
enum Does {
    Take,
    Refuse,
    Panic,
    Hang,
}

/// Topics that take what they are sent, but for those that a test names.
#[derive(Debug, Clone, Default)]
struct Topics {
    does: Arc<Mutex<BTreeMap<String, Does>>>,
    published: Arc<Mutex<Vec<String>>>,
}

impl Topics {
    fn set(&self, topic: &str, does: Does) {
        self.does.lock().unwrap().insert(arn(topic), does);
    }

    /// The names of the notices that came, in their order.
    fn published(&self) -> Vec<String> {
        self.published.lock().unwrap().clone()
    }
}

impl Ecs for Topics {
    async fn publish(&self, message: &TopicMessage) -> Result<(), CallError> {
        let id = message.attributes.iter().find(|(name, _)| *name == "NoticeId").unwrap().1.clone();
        self.published.lock().unwrap().push(id);
        let does = self.does.lock().unwrap().get(&*message.topic.arn).copied().unwrap_or(Does::Take);
        match does {
            Does::Take => Ok(()),
            Does::Refuse => Err(CallError { fault: CallFault::Refused, message: REFUSED.into() }),
            Does::Panic => panic!("with a s3cr3t"),
            Does::Hang => std::future::pending().await,
        }
    }

    async fn run_task(&self, _request: &LaunchRequest) -> LaunchAnswer {
        no_connection()
    }

    async fn find_tasks(&self, _request: &LaunchRequest) -> SearchAnswer {
        panic!("nothing is looked for")
    }

    async fn describe_tasks(&self, _site: &Site, _tasks: &[TaskArn]) -> Result<Described, CallError> {
        panic!("nothing is looked at")
    }

    async fn live_tasks(&self, _site: &Site, _page: Option<&str>) -> Result<LivePage, CallError> {
        Ok(LivePage::default())
    }

    async fn stop_task(&self, _site: &Site, _task: &TaskArn, _reason: &str) -> Result<(), CallError> {
        panic!("nothing is stopped")
    }
}

fn arn(topic: &str) -> String {
    format!("arn:aws:sns:eu-central-1:123456789012:{topic}")
}

fn topic(name: &str) -> Channel {
    Channel::Topic(Topic::parse(&arn(name)).unwrap())
}

fn ping(url: &str) -> Channel {
    Channel::Ping(Ping { address: Address::parse(url).unwrap(), style: Style::Healthchecks })
}

/// What was logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A store with a run, and topics.
struct Scene {
    store: MemoryStore,
    run: RunId,
    topics: Topics,
}

impl Scene {
    async fn new() -> Scene {
        let store = MemoryStore::new();
        let (job, now) = (samples::job("@daily"), clock::now());
        let firing = Firing::of_schedule(&job.name, now, Trigger::Schedule);
        let (run, entries) = Run::due(firing, Instance::new("test").unwrap(), job.definition, now);
        let id = run.id.clone();
        let runs = vec![RunSave { run, is_new: true, attempts_from: 0, entries }];
        store.commit(Batch { runs, ..Batch::empty(store.term(), now) }).await.unwrap();
        Scene { store, run: id, topics: Topics::default() }
    }

    /// Owes notices since so many seconds ago.
    async fn owe(&self, channel: &Channel, notices: &[(&str, On, i64)]) {
        let now = clock::now();
        let notice = |(id, on, ago): &(&str, On, i64)| Notice {
            id: (*id).to_owned(),
            channel: channel.id(),
            at: now - TimeDelta::seconds(*ago),
            facts: Arc::new(NoticeFacts { run: self.run.clone(), ..samples::notice_facts(*on) }),
        };
        let notices = notices.iter().map(notice).collect();
        self.store.commit(Batch { notices, ..Batch::empty(self.store.term(), now) }).await.unwrap();
    }

    fn round(&self, channel: Channel) -> Round<MemoryStore, Topics> {
        Round {
            store: self.store.clone(),
            way: Way::new(self.topics.clone()),
            metrics: Metrics::new(clock::now()),
            stop: CancellationToken::new(),
            id: channel.id(),
            channel: Some(Arc::new(channel)),
            missing_since: None,
            failures: 0,
        }
    }

    /// All notices by name: where they are, how often they were tried, what went wrong last.
    async fn kept(&self) -> Vec<(String, NoticeState, u32, Option<String>)> {
        let listed =
            self.store.notices(NoticeQuery { limit: usize::MAX, ..NoticeQuery::default() }).await.unwrap().unwrap();
        let mut kept: Vec<_> = listed
            .into_iter()
            .map(|NoticeSummary { id, state, tries, last_error, .. }| (id, state, tries, last_error))
            .collect();
        kept.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        kept
    }
}

fn told(metrics: &Metrics) -> String {
    let mut text = String::new();
    metrics.encode(&mut text).unwrap();
    text
}

const REFUSED: &str = "Publish was refused: NotFound";

fn refused(id: &str, state: NoticeState, tries: u32) -> (String, NoticeState, u32, Option<String>) {
    (id.to_owned(), state, tries, Some(REFUSED.to_owned()))
}

fn plain(id: &str, state: NoticeState, tries: u32) -> (String, NoticeState, u32, Option<String>) {
    (id.to_owned(), state, tries, None)
}

#[tokio::test]
async fn what_is_taken_is_delivered_in_the_order_in_which_it_was_owed() {
    let scene = Scene::new().await;
    scene.owe(&topic("a"), &[("n2", On::Failed, 5), ("n1", On::Retrying, 9), ("n3", On::Failed, 0)]).await;
    let ended = scene.round(topic("a")).go().await;
    assert_eq!((ended.failures, ended.free_at), (0, None));
    assert_eq!(scene.topics.published(), ["n1", "n2", "n3"]);
    assert_eq!(scene.kept().await, ["n1", "n2", "n3"].map(|id| plain(id, NoticeState::Delivered, 1)));
}

#[tokio::test]
async fn a_channel_that_fails_pauses_and_the_next_try_is_made_with_another_notice() {
    let scene = Scene::new().await;
    scene.topics.set("a", Does::Refuse);
    scene.owe(&topic("a"), &[("n1", On::Failed, 9), ("n2", On::Failed, 8), ("n3", On::Failed, 7)]).await;
    let began = clock::now();
    let ended = scene.round(topic("a")).go().await;
    let pause = ended.free_at.unwrap() - began;
    assert!(ended.failures == 1 && pause >= TimeDelta::seconds(4), "{pause}");
    let again = Round { failures: ended.failures, ..scene.round(topic("a")) }.go().await;
    assert!(again.free_at.unwrap() > ended.free_at.unwrap(), "it doubles");
    assert_eq!(scene.topics.published(), ["n1", "n2"]);
    let expected =
        [refused("n1", NoticeState::Owed, 1), refused("n2", NoticeState::Owed, 1), plain("n3", NoticeState::Owed, 0)];
    assert_eq!(scene.kept().await, expected);
    scene.topics.set("a", Does::Take);
    let well = Round { failures: again.failures, ..scene.round(topic("a")) }.go().await;
    assert_eq!((well.failures, well.free_at), (0, None));
    assert_eq!(scene.kept().await[2], plain("n3", NoticeState::Delivered, 1), "the others wait for their own time");
}

#[tokio::test]
async fn after_a_day_a_notice_is_a_dead_letter_with_all_that_are_as_old() {
    const DAY: i64 = 86_400;
    let scene = Scene::new().await;
    scene.topics.set("a", Does::Refuse);
    let mut owed = vec![("n1", On::Failed, DAY + 9), ("n2", On::Failed, DAY + 8), ("young", On::Failed, DAY - 60)];
    let many: Vec<String> = (0..300).map(|n| format!("o{n:03}")).collect();
    owed.extend(many.iter().map(|id| (id.as_str(), On::Failed, DAY + 5)));
    scene.owe(&topic("a"), &owed).await;
    let round = scene.round(topic("a"));
    let metrics = round.metrics.clone();
    assert_eq!(round.go().await.failures, 1);
    assert_eq!(scene.topics.published(), ["n1"], "one try is enough");
    let kept = scene.kept().await;
    assert_eq!(kept[0], refused("n1", NoticeState::Dead, 1));
    assert_eq!(kept[1], refused("n2", NoticeState::Dead, 0));
    assert!(kept[2..302].iter().all(|(_, state, ..)| *state == NoticeState::Dead));
    assert_eq!(kept[302], plain("young", NoticeState::Owed, 0));
    let told = told(&metrics);
    assert!(told.contains("tenacron_notices_total{kind=\"sns\",result=\"dead\"} 302\n"), "{told}");
}

#[tokio::test]
async fn an_old_notice_that_is_taken_is_delivered() {
    let scene = Scene::new().await;
    scene.owe(&topic("a"), &[("n1", On::Failed, 100_000)]).await;
    scene.round(topic("a")).go().await;
    assert_eq!(scene.kept().await, [plain("n1", NoticeState::Delivered, 1)]);
}

#[tokio::test]
async fn a_panic_is_a_try_that_failed_and_tells_nothing() {
    let scene = Scene::new().await;
    scene.topics.set("a", Does::Panic);
    scene.owe(&topic("a"), &[("n1", On::Failed, 0)]).await;
    assert_eq!(scene.round(topic("a")).go().await.failures, 1);
    let told = "sending was aborted by a mistake in Tenacron".to_owned();
    assert_eq!(scene.kept().await, [("n1".into(), NoticeState::Owed, 1, Some(told))]);
}

#[tokio::test(start_paused = true)]
async fn who_never_answers_is_given_up_after_ten_seconds() {
    let scene = Scene::new().await;
    scene.topics.set("a", Does::Hang);
    scene.owe(&topic("a"), &[("n1", On::Failed, 0)]).await;
    let began = tokio::time::Instant::now();
    assert_eq!(scene.round(topic("a")).go().await.failures, 1);
    assert_eq!(began.elapsed(), way::TRY_WITHIN);
    let told = "SNS did not answer within 10 s".to_owned();
    assert_eq!(scene.kept().await, [("n1".into(), NoticeState::Owed, 1, Some(told))]);
}

#[tokio::test]
async fn a_ping_that_fails_is_tried_before_what_was_owed_later() {
    let scene = Scene::new().await;
    let failing = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let fails = Arc::clone(&failing);
    let stub = Stub::start(move |_seen| {
        Reply::Http(if fails.load(std::sync::atomic::Ordering::SeqCst) { 500 } else { 200 }, "OK".into())
    })
    .await;
    let check = ping(&format!("{}/uuid", stub.endpoint));
    scene.owe(&check, &[("n1", On::Started, 9), ("n2", On::Succeeded, 8)]).await;
    for tries in 1..=2 {
        assert!(scene.round(check.clone()).go().await.free_at.is_some());
        let told = Some(format!("{} answered HTTP 500", stub.endpoint));
        assert_eq!(scene.kept().await[0], ("n1".into(), NoticeState::Owed, tries, told));
    }
    failing.store(false, std::sync::atomic::Ordering::SeqCst);
    scene.round(check).go().await;
    let lines: Vec<String> = stub.seen().iter().map(|seen| seen.head.lines().next().unwrap().to_owned()).collect();
    let starts = lines.iter().filter(|line| line.starts_with("POST /uuid/start?rid=")).count();
    assert!(starts == 3 && lines[3].starts_with("POST /uuid?rid="), "{lines:?}");
}

#[tokio::test]
async fn who_asks_for_a_pause_gets_it() {
    let scene = Scene::new().await;
    let slow = "HTTP/1.1 429 Slow\r\nRetry-After: 1800\r\nContent-Length: 0\r\n\r\n";
    let stub = Stub::always(Reply::Bytes(slow.into())).await;
    let check = ping(&stub.endpoint);
    scene.owe(&check, &[("n1", On::Failed, 0)]).await;
    let began = clock::now();
    let ended = scene.round(check).go().await;
    assert!(ended.free_at.unwrap() - began >= TimeDelta::minutes(30));
}

#[tokio::test]
async fn a_channel_that_left_the_configuration_is_waited_for_for_an_hour() {
    let scene = Scene::new().await;
    scene.owe(&topic("a"), &[("n1", On::Failed, 5)]).await;
    let missing = |minutes| Round {
        channel: None,
        missing_since: Some(clock::now() - TimeDelta::minutes(minutes)),
        ..scene.round(topic("a"))
    };
    let ended = missing(58).go().await;
    assert!(ended.free_at.unwrap() - clock::now() <= TimeDelta::minutes(2));
    assert!(ended.missing_since.is_some());
    assert_eq!(scene.kept().await, [plain("n1", NoticeState::Owed, 0)]);
    missing(60).go().await;
    let told = "the channel is no longer in the configuration".to_owned();
    assert_eq!(scene.kept().await, [("n1".into(), NoticeState::Dead, 0, Some(told))]);
    assert!(scene.topics.published().is_empty());
}

#[tokio::test]
async fn a_missing_channel_is_told_once_and_keeps_nothing_for_more_than_a_day() {
    const DAY: i64 = 86_400;
    let scene = Scene::new().await;
    scene.owe(&topic("a"), &[("old", On::Failed, DAY + 5), ("young", On::Failed, 5)]).await;
    let missing = |missing_since| Round { channel: None, missing_since, ..scene.round(topic("a")) };
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let first = missing(None).go().await;
    assert!(first.missing_since.is_some() && first.free_at.is_some());
    missing(first.missing_since).go().await;
    drop(guard);
    let lines = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let told: Vec<&str> = lines.lines().filter(|line| line.contains(" wait for a channel that is not in ")).collect();
    assert!(told.len() == 1 && told[0].contains(&arn("a")) && told[0].contains("waiting=\"2\""), "{lines}");
    assert!(told[0].contains("kept_until="), "{lines}");
    let why = || Some("the channel is no longer in the configuration".to_owned());
    let expected = [("old".into(), NoticeState::Dead, 0, why()), ("young".into(), NoticeState::Owed, 0, why())];
    assert_eq!(scene.kept().await, expected);
    scene.round(topic("a")).go().await;
    assert_eq!(scene.topics.published(), ["young"], "it is back, and what waited is due");
}

fn outlets(channels: &[Channel]) -> Arc<Outlets> {
    let channels = channels.iter().map(|channel| (channel.id(), Arc::new(channel.clone()))).collect();
    Arc::new(Outlets { channels, heartbeat: None })
}

/// Waits until so many notices came.
async fn came(topics: &Topics, count: usize) {
    let all = async {
        while topics.published().len() < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), all).await.expect("they come");
}

#[tokio::test]
async fn a_reload_does_not_begin_the_hour_anew() {
    let scene = Scene::new().await;
    scene.owe(&topic("gone"), &[("n1", On::Failed, 5)]).await;
    let (_configured, latest) = watch::channel(outlets(&[]));
    let metrics = Metrics::new(clock::now());
    let (mut courier, _pokes) =
        Courier::new(scene.store.clone(), scene.topics.clone(), latest, metrics, CancellationToken::new());
    let mut since = Vec::new();
    for _reload in 0..3 {
        courier.look(clock::now()).await;
        courier.set_out();
        let ended = courier.under_way.join_next_with_id().await.unwrap();
        courier.take_back(ended);
        since.push(courier.lanes[&topic("gone").id()].missing_since);
        courier.reloaded();
    }
    assert!(since[0].is_some() && since.iter().all(|at| *at == since[0]), "{since:?}");
}

#[tokio::test]
async fn one_channel_that_hangs_holds_up_no_other_and_a_reload_brings_a_channel() {
    let scene = Scene::new().await;
    scene.topics.set("hangs", Does::Hang);
    scene.owe(&topic("hangs"), &[("h1", On::Failed, 5)]).await;
    scene.owe(&topic("new"), &[("n1", On::Failed, 5)]).await;
    let (configured, latest) = watch::channel(outlets(&[topic("hangs"), topic("good")]));
    let stop = CancellationToken::new();
    let metrics = Metrics::new(clock::now());
    let (courier, pokes) =
        Courier::new(scene.store.clone(), scene.topics.clone(), latest, metrics.clone(), stop.clone());
    let running = tokio::spawn(courier.run());
    came(&scene.topics, 1).await;
    scene.owe(&topic("good"), &[("g1", On::Failed, 0), ("g2", On::Failed, 0)]).await;
    pokes.notify_one();
    came(&scene.topics, 3).await;
    configured.send_replace(outlets(&[topic("hangs"), topic("good"), topic("new")]));
    came(&scene.topics, 4).await;
    assert_eq!(scene.topics.published(), ["h1", "g1", "g2", "n1"]);
    stop.cancel();
    running.await.unwrap();
    let states: Vec<NoticeState> = scene.kept().await.into_iter().map(|(_, state, ..)| state).collect();
    // The last one was sent, and may have been cut off before that was saved.
    assert_eq!(states[..3], [NoticeState::Delivered, NoticeState::Delivered, NoticeState::Owed]);
    assert!(told(&metrics).contains("tenacron_notices_total{kind=\"sns\",result=\"delivered\"}"));
}
