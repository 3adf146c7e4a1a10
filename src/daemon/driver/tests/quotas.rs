//! Single rules of the launch quotas: the order of launches, what a throttle does, and that accounts do not hold up one
//! another.

use super::ecs::Mood;
use super::people::{Room, Wish};
use super::rules::{healthy, minutes, statuses};
use super::*;
use crate::engine::quota::quota_key;
use crate::engine::run::Status::{Due, Succeeded};

fn seconds(count: i64) -> TimeDelta {
    TimeDelta::seconds(count)
}

/// 15:07, before which every world begins.
fn seven() -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_020, 0).unwrap()
}

/// Jobs that are due so many seconds after 15:07.
fn herd(name: &str, count: u32, second: u32) -> Vec<Arc<Job>> {
    let schedule = format!("{second} 7 15 * * *");
    let one = |nth| job(&format!("{name}-{nth:02}"), &schedule, Overlap::Skip, Catchup::None, limits(None, None));
    (0..count).map(one).collect()
}

fn there() -> QuotaKey {
    quota_key(&elsewhere(&unscheduled("any", Overlap::Skip)).definition.task.target)
}

/// When the tasks of jobs of this name were started, in their order.
fn started(world: &World, name: &str) -> Vec<TimeDelta> {
    let of_name = world.ecs.tasks.iter().filter(|task| task.run.as_str().starts_with(name));
    of_name.map(|task| task.created_at - seven()).collect()
}

fn queue_of<'a>(queues: &'a [LaunchQueue], key: &QuotaKey) -> &'a LaunchQueue {
    queues.iter().find(|queue| queue.key == *key).expect("its jobs are known")
}

#[test]
fn retries_and_firings_leave_in_the_order_in_which_they_became_due() {
    let jobs = [herd("late", 5, 9), herd("old", 5, 0), herd("early", 5, 3)].concat();
    let mut world = healthy(jobs.clone());
    world.driver.quotas = Quotas::new(1.0, 5);
    world.run_until(seven() - TimeDelta::milliseconds(1));
    // Nobody can connect: these are tried again 4 s after their answers.
    world.ecs.mood = Mood::Unreachable;
    world.run_until(seven() + seconds(3) - TimeDelta::milliseconds(1));
    world.ecs.mood = Mood::Healthy;
    world.run_until(seven() + minutes(2));
    let order: Vec<&str> = world.ecs.tasks.iter().map(|task| task.run.as_str().split('-').next().unwrap()).collect();
    assert_eq!(order, [["early"; 5], ["old"; 5], ["late"; 5]].concat(), "neither waits for all of the others");
    world.audit(&jobs);
}

#[test]
fn a_throttle_slows_every_launch_of_its_account_and_costs_its_run_one_retry() {
    let jobs = [herd("a", 30, 0), herd("b", 30, 2).iter().map(elsewhere).collect()].concat();
    let mut world = healthy(jobs.clone());
    world.driver.quotas = Quotas::new(10.0, 10);
    world.run_until(seven() - TimeDelta::milliseconds(1));
    world.ecs.throttles.insert(QuotaKey::default());
    world.run_until(seven() + TimeDelta::milliseconds(900));
    world.ecs.throttles.clear();
    let queues = world.driver.launch_queues(world.wall());
    let own = queue_of(&queues, &QuotaKey::default());
    assert!(own.slowed && own.rate < 6.0, "the answers to the first burst count once, and halve it: {own:?}");
    assert!(own.waiting > 10 && own.since == Some(seven()), "{own:?}");
    world.run_until(seven() + TimeDelta::milliseconds(3_150));
    // A burst, a tenth of a second for its way, and ten in the second since.
    assert_eq!(started(&world, "b").len(), 20, "another account goes on as fast as ever");
    world.run_until(seven() + seconds(50));
    let queues = world.driver.launch_queues(world.wall());
    assert_eq!(queue_of(&queues, &QuotaKey::default()), &LaunchQueue { key: QuotaKey::default(), ..idle(10.0) });
    assert_eq!(queue_of(&queues, &there()), &LaunchQueue { key: there(), ..idle(10.0) });
    let retried = world.shelf.runs.values().filter(|run| run.attempts.len() > 1).collect::<Vec<_>>();
    assert!((10..20).contains(&retried.len()), "only what was throttled is tried again: {}", retried.len());
    for run in retried {
        let [first, second] = &run.attempts[..] else { panic!("{run:?}") };
        assert!(first.failure.as_ref().unwrap().names.contains(&ErrorName::THROTTLED));
        assert_eq!((first.retrier, first.retry_delay), (Some(0), Some(Duration::from_secs(4))), "as the policy says");
        assert_eq!(second.failure, None);
        assert_eq!(run.retries_used, [1, 0]);
    }
    world.audit(&jobs);
    assert!(world.shelf.runs.values().all(|run| run.status() == Succeeded));
}

fn idle(rate: f64) -> LaunchQueue {
    LaunchQueue { key: QuotaKey::default(), waiting: 0, since: None, rate, slowed: false }
}

#[test]
fn a_full_queue_of_one_account_holds_up_no_other_also_where_slots_are_few() {
    let jobs = [herd("a", 30, 0), herd("b", 10, 1).iter().map(elsewhere).collect()].concat();
    for max_running in [None, Some(4)] {
        let mut world = healthy(jobs.clone());
        world.room = Room { max_running, ..Room::default() };
        world.restart();
        // Of its own account the daemon may launch one task each 100 s.
        let now = world.wall();
        world.driver.quotas.bucket(QuotaKey::default(), now).set_quota(0.01, 1, now);
        world.run_until(seven() + seconds(90));
        assert_eq!(started(&world, "b").len(), 10, "{max_running:?}");
        assert_eq!(started(&world, "a").len(), 1);
        world.settle();
        world.audit(&jobs);
    }
}

#[test]
fn what_a_launch_waits_for_is_told_with_how_many_go_before_it() {
    let jobs = [herd("a", 8, 0), herd("b", 8, 0).iter().map(elsewhere).collect()].concat();
    let mut world = healthy(jobs);
    world.driver.quotas = Quotas::new(0.5, 2);
    world.run_until(seven() + TimeDelta::milliseconds(10));
    let waits_for = |world: &World, job: &str| {
        let run = world.shelf.runs.values().find(|run| run.job.as_str() == job).unwrap();
        world.driver.waits_for(&run.id, world.wall())
    };
    assert_eq!(waits_for(&world, "a-01"), None);
    assert_eq!(waits_for(&world, "a-02").unwrap(), "the launch quota: 0 before it, 0.5 a second");
    assert_eq!(waits_for(&world, "a-07").unwrap(), "the launch quota: 5 before it, 0.5 a second");
    let told = "the launch quota of account 111122223333 in eu-west-1: 5 before it, 0.5 a second";
    assert_eq!(waits_for(&world, "b-07").unwrap(), told);
    // A retry waits for the quota, too, when its own wait is over.
    let now = world.wall();
    world.driver.quotas.bucket(QuotaKey::default(), now).throttled(now, now);
    assert_eq!(waits_for(&world, "a-07").unwrap(), "the launch quota: 5 before it, 0.25 a second while ECS throttles");
}

#[test]
fn the_lag_counts_from_when_nothing_but_the_quota_holds_a_launch_up() {
    let queue = |name| job(name, "* * * * *", Overlap::QueueAll, Catchup::None, limits(None, None));
    let mut world = healthy(vec![queue("a")]);
    let since = |world: &World| world.driver.launch_queues(world.wall())[0].since;
    world.ecs.launches_hang = true;
    world.run_until(seven() + seconds(90));
    assert_eq!((statuses(&world, "a")[1], since(&world)), (Due, None), "it waits for the run before it");
    use_up(&mut world, 0.01);
    world.ecs.launches_hang = false;
    world.ecs.end_all(world.real);
    world.run_until(seven() + seconds(100));
    let let_go = since(&world).expect("it waits for a permit");
    assert!(let_go > seven() + seconds(90), "{let_go}");
    assert_eq!(world.driver.launch_queues(world.wall())[0].waiting, 1);
}

#[test]
fn another_configuration_changes_every_quota_and_moves_nobody_who_waits() {
    let jobs = [herd("a", 12, 0), herd("b", 12, 0).iter().map(elsewhere).collect()].concat();
    let mut world = healthy(jobs.clone());
    world.driver.quotas = Quotas::new(0.01, 1);
    world.run_until(seven() + seconds(5));
    assert_eq!(world.ecs.tasks.len(), 2);
    // The rate of every reload here is 5 a second.
    world.ask(Wish::Reload(jobs.clone(), world.room.clone())).unwrap();
    world.run_until(seven() + seconds(8));
    let order: Vec<&str> = world.ecs.tasks.iter().map(|task| &task.run.as_str()[..4]).collect();
    let of = |name: &str| order.iter().filter(|job| job.starts_with(name)).copied().collect::<Vec<_>>();
    assert_eq!((of("a").len(), of("b").len()), (12, 12));
    assert!(of("a").is_sorted() && of("b").is_sorted(), "{order:?}");
    world.settle();
    world.audit(&jobs);
}
