//! Outcomes whose saving takes long, or fails: what was sent is sent again rather than lost, and the daemon goes on.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_was_sent_while_the_store_hangs_is_sent_again_by_the_next_daemon() {
    let scene = Scene::new().await;
    scene.owe(&topic("a"), &[("a1", On::Failed, 9), ("a2", On::Failed, 8)]).await;
    scene.owe(&topic("b"), &[("b1", On::Failed, 7)]).await;
    let settings = || Settings { outlets: watch::channel(outlets(&[topic("a"), topic("b")])).1, ..settings() };
    let hangs = Moody {
        store: scene.store.clone(),
        permits: Arc::new(Semaphore::new(0)),
        error: None,
        heeds: |batch| !batch.notice_moves.is_empty(),
    };
    let stop = CancellationToken::new();
    let (daemon, mailbox) = Daemon::start(settings(), hangs, scene.topics.clone()).await.unwrap();
    let running = tokio::spawn(daemon.run(stop.clone()));
    until(async || scene.topics.published().len() == 2).await;
    let turned_at = mailbox.health().turned_at;
    until(async || mailbox.health().turned_at > turned_at).await;
    assert_eq!(mailbox.jobs().await.map(|jobs| jobs.len()), Some(1), "the loop answers");
    assert_eq!(mailbox.health().store_error, None);
    stop.cancel();
    tokio::time::timeout(WITHIN, running).await.expect("it waits for no store").unwrap().unwrap();
    let sent = |topics: &Topics| topics.published().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(sent(&scene.topics), ["a1", "b1"].map(str::to_owned).into());
    let owed = ["a1", "a2", "b1"].map(|id| plain(id, NoticeState::Owed, 0));
    assert_eq!(scene.kept().await, owed, "nothing of it could be saved");

    let stop = CancellationToken::new();
    let (daemon, _mailbox) = Daemon::start(settings(), scene.store.clone(), scene.topics.clone()).await.unwrap();
    let running = tokio::spawn(daemon.run(stop.clone()));
    let all = ["a1", "a2", "b1"].map(|id| plain(id, NoticeState::Delivered, 1));
    until(async || scene.kept().await == all).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    let mut published = scene.topics.published();
    published.sort();
    assert_eq!(published, ["a1", "a1", "a2", "b1", "b1"], "at least once, and under the same name");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_answers_late_or_fails_for_a_while_loses_no_outcome() {
    let scene = Scene::new().await;
    scene.owe(&topic("a"), &[("n1", On::Failed, 9), ("n2", On::Failed, 8)]).await;
    scene.store.fail_next_commits(20);
    let ended = tokio::time::timeout(WITHIN, scene.round(topic("a")).go()).await.expect("it goes on");
    assert_eq!((ended.failures, ended.free_at), (0, None));
    assert_eq!(scene.topics.published(), ["n1", "n2"], "a fault of the store is no reason to send twice");
    assert_eq!(scene.kept().await, ["n1", "n2"].map(|id| plain(id, NoticeState::Delivered, 1)));
}
