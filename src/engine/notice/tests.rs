//! What is owed for what happened, rule by rule. Runs are moved by the real state machine.

mod facts;

use std::time::Duration;

use chrono::TimeDelta;

use super::*;
use crate::engine::exit_codes::ExitCodes;
use crate::engine::job::{Definition, JobName};
use crate::engine::run::{Asker, Covered, Entry, Event, Firing, Request, Step};
use crate::engine::samples;
use crate::engine::task::{ContainerFacts, LaunchAnswer, TaskArn, TaskFacts, TaskTimes};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000 + seconds, 0).unwrap()
}

fn channel(name: &str) -> ChannelId {
    ChannelId(name.into())
}

fn rule(on: impl IntoIterator<Item = On>, repeat: Repeat, to: &str) -> NotifyRule {
    NotifyRule { on: on.into_iter().collect(), repeat, channel: channel(to) }
}

fn every(on: impl IntoIterator<Item = On>) -> Vec<NotifyRule> {
    vec![rule(on, Repeat::Every, "a")]
}

fn first(on: impl IntoIterator<Item = On>) -> Vec<NotifyRule> {
    vec![rule(on, Repeat::First, "a")]
}

fn definition(rules: Vec<NotifyRule>) -> Arc<Definition> {
    let exit_codes = Arc::new(ExitCodes { skip: [75].into(), ..ExitCodes::default() });
    Arc::new(Definition { notify: rules.into(), exit_codes, ..samples::definition() })
}

fn firing(seconds: i64) -> Firing {
    Firing::of_schedule(&JobName::new("nightly").unwrap(), at(seconds), Trigger::Schedule)
}

fn instance() -> Instance {
    Instance::new("prod").unwrap()
}

/// A run with what was not looked at of its history.
struct Scene {
    run: Run,
    entries: Vec<Entry>,
}

impl Scene {
    fn due(rules: Vec<NotifyRule>) -> Scene {
        let (run, entries) = Run::due(firing(0), instance(), definition(rules), at(0));
        Scene { run, entries }
    }

    fn left_out(rules: Vec<NotifyRule>, seconds: i64, outcome: Outcome) -> Scene {
        let (run, entries) = Run::not_started(firing(seconds), instance(), definition(rules), outcome, at(900));
        Scene { run, entries }
    }

    fn tell(mut self, event: Event) -> Scene {
        let now = self.run.wake_after(at(0)).filter(|_| event == Event::Permitted).unwrap_or(at(10));
        if let Step::Changed(entries) = self.run.step(event, now).unwrap() {
            self.entries.extend(entries);
        }
        self
    }

    /// Sent, and answered with the task of that number.
    fn launched(self, nth: u32) -> Scene {
        let answer = LaunchAnswer::Launched { tasks: vec![task(nth)], failures: Vec::new() };
        self.tell(Event::Permitted).tell(Event::Answered(answer))
    }

    fn stopped(self, nth: u32, exit_code: i32) -> Scene {
        let container =
            ContainerFacts { name: "app".into(), essential: Some(true), exit_code: Some(exit_code), reason: None };
        self.tell(Event::Observed(TaskFacts {
            task: task(nth),
            last_status: "STOPPED".into(),
            stop_code: Some("EssentialContainerExited".into()),
            stopped_reason: None,
            times: TaskTimes::default(),
            containers: vec![container],
            described: Some(format!(r#"{{"taskArn":"{}"}}"#, task(nth))),
        }))
    }

    /// Ended with this code, without a retry that is left.
    fn ended(rules: Vec<NotifyRule>, exit_code: i32) -> Scene {
        let mut scene = Scene::due(rules).launched(1);
        for nth in 1..4 {
            scene = scene.stopped(nth, exit_code);
            if scene.run.is_finished() {
                return scene;
            }
            scene = scene.launched(nth + 1);
        }
        scene.stopped(4, exit_code)
    }

    /// Forgets what is new.
    fn seen(mut self) -> Scene {
        self.entries.clear();
        self
    }

    fn after(&self, before: Before) -> Happened<'_> {
        Happened { run: &self.run, entries: &self.entries, before, by_wish: false }
    }

    fn owes(&self, before: Before) -> Vec<Notice> {
        owed([self.after(before)], |_| JobNow::default())
    }

    /// What is told, in order.
    fn tells(&self, before: Before) -> Vec<On> {
        self.owes(before).iter().map(|notice| notice.facts.on).collect()
    }
}

fn task(nth: u32) -> TaskArn {
    TaskArn(format!("arn:task/{nth}"))
}

fn fine() -> Before {
    Before::default()
}

fn bad(failed_in_a_row: u32) -> Before {
    Before { failed_in_a_row, standing: Standing { ended_badly: true, left_out: LeftOut::NONE } }
}

fn without(left_out: LeftOut) -> Before {
    Before { failed_in_a_row: 0, standing: Standing { ended_badly: false, left_out } }
}

fn missed(covers: Option<Covered>) -> Outcome {
    Outcome::Missed { reason: "away".into(), covers }
}

fn skipped() -> Outcome {
    Outcome::Skipped { reason: "another still lives".into(), covers: None }
}

#[test]
fn a_run_is_told_from_its_start_over_its_retries_to_its_end() {
    let scene = Scene::ended(every(On::ALL), 1);
    assert_eq!(scene.tells(fine()), [On::Started, On::Retrying, On::Retrying, On::Retrying, On::Failed]);
    assert_eq!(Scene::ended(every(On::ALL), 0).tells(fine()), [On::Started, On::Succeeded]);
    assert_eq!(Scene::ended(every(On::ALL), 75).tells(fine()), [On::Started, On::Skipped], "nothing to do");
}

#[test]
fn a_rule_tells_what_it_names_and_nothing_else() {
    for on in On::ALL {
        let told = [
            Scene::ended(every([on]), 1).tells(fine()),
            Scene::ended(every([on]), 0).tells(fine()),
            Scene::ended(every([on]), 0).tells(bad(1)),
            Scene::left_out(every([on]), 0, missed(None)).tells(fine()),
            Scene::left_out(every([on]), 0, skipped()).tells(fine()),
        ];
        let expected: [usize; 5] = match on {
            On::Started => [1, 1, 1, 0, 0],
            On::Retrying => [3, 0, 0, 0, 0],
            On::Failed => [1, 0, 0, 0, 0],
            On::Succeeded => [0, 1, 1, 0, 0],
            On::Recovered => [0, 0, 1, 0, 0],
            On::Missed => [0, 0, 0, 1, 0],
            On::Skipped => [0, 0, 0, 0, 1],
            On::TimedOut | On::Unknown => [0; 5],
        };
        assert_eq!(told.each_ref().map(Vec::len), expected, "{on:?}");
        assert!(told.iter().flatten().all(|told| *told == on), "{told:?}");
    }
    assert_eq!(Scene::ended(vec![], 1).tells(fine()), [], "no rule, no notice");
}

#[test]
fn every_end_has_its_notice() {
    let failure = crate::engine::failure::Failure::new(crate::engine::failure::ErrorName::TIMEOUT, "too long");
    let ends = [
        (Outcome::TimedOut { failure: failure.clone() }, On::TimedOut),
        (Outcome::Unknown { failure: failure.clone() }, On::Unknown),
        (Outcome::Failed { failure }, On::Failed),
    ];
    for (outcome, on) in ends {
        let scene = Scene::left_out(every(On::ALL), 0, outcome);
        let [notice] = <[Notice; 1]>::try_from(scene.owes(bad(2))).unwrap();
        assert_eq!((notice.facts.on, notice.facts.failed_in_a_row), (on, 3));
        assert_eq!(notice.facts.cause.as_deref(), Some("too long"));
        let first = Scene { run: Run { definition: definition(first(On::ALL)), ..scene.run }, ..scene };
        assert_eq!((first.tells(fine()), first.tells(bad(1))), (vec![on], vec![]));
    }
}

#[test]
fn nobody_is_told_of_what_a_person_did() {
    let cancelled = Scene::due(every(On::ALL)).tell(Event::Cancel { reason: "by ada".into() });
    assert!(cancelled.run.is_finished());
    assert_eq!(cancelled.tells(fine()), []);
    let paused = Scene::left_out(every(On::ALL), 0, skipped());
    assert_eq!(owed([Happened { by_wish: true, ..paused.after(fine()) }], |_| JobNow::default()), []);
}

#[test]
fn a_run_starts_once_however_often_it_is_launched() {
    let scene = Scene::due(every([On::Started])).launched(1).stopped(1, 1).seen().launched(2);
    assert_eq!(scene.tells(fine()), [], "a retry is no start");
    // What an earlier send had left open is found by a later one.
    let lost = Event::Answered(LaunchAnswer::NoAnswer { sent: true, message: "timed out".into() });
    let scene = Scene::due(every([On::Started])).tell(Event::Permitted).tell(lost).seen().launched(1);
    assert_eq!(scene.tells(fine()), [On::Started]);
    let [once] = <[Notice; 1]>::try_from(scene.owes(fine())).unwrap();
    let straight = Scene::due(every([On::Started])).launched(1).owes(fine()).remove(0);
    assert_eq!(once.id, straight.id, "and is told under one name");
}

#[test]
fn a_recovery_is_a_success_after_a_bad_end_and_told_once() {
    for (rules, after_bad, after_good) in [
        (every([On::Recovered]), vec![On::Recovered], vec![]),
        (every([On::Succeeded]), vec![On::Succeeded], vec![On::Succeeded]),
        (every([On::Succeeded, On::Recovered]), vec![On::Recovered], vec![On::Succeeded]),
        (first([On::Succeeded, On::Recovered]), vec![On::Recovered], vec![On::Succeeded]),
    ] {
        let scene = Scene::ended(rules, 0);
        assert_eq!((scene.tells(bad(2)), scene.tells(fine())), (after_bad, after_good));
    }
    let two_rules = vec![rule([On::Succeeded], Repeat::Every, "a"), rule([On::Recovered], Repeat::Every, "a")];
    assert_eq!(Scene::ended(two_rules, 0).tells(bad(1)), [On::Recovered], "a channel is told once");
    let recovered = Scene::ended(every([On::Recovered]), 0).owes(bad(7)).remove(0);
    assert_eq!((recovered.facts.failed_in_a_row, recovered.facts.cause.clone()), (7, None));
    // A person resumed the job, which counts anew: it recovers all the same.
    let resumed = Before { failed_in_a_row: 0, ..bad(3) };
    assert_eq!(Scene::ended(every([On::Recovered]), 0).tells(resumed), [On::Recovered]);
}

#[test]
fn the_first_of_several_in_a_row_is_told_and_the_next_ones_are_not() {
    let rules = || first(On::ALL);
    assert_eq!(Scene::ended(rules(), 1).tells(fine()), [On::Started, On::Retrying, On::Failed]);
    assert_eq!(Scene::ended(rules(), 1).tells(bad(1)), [On::Started], "it failed before");
    assert_eq!(Scene::left_out(rules(), 0, missed(None)).tells(fine()), [On::Missed]);
    assert_eq!(Scene::left_out(rules(), 0, missed(None)).tells(without(LeftOut::MISSED)), []);
    assert_eq!(Scene::left_out(rules(), 0, missed(None)).tells(without(LeftOut::SKIPPED)), [On::Missed]);
    assert_eq!(Scene::left_out(rules(), 0, skipped()).tells(without(LeftOut::SKIPPED)), []);
    assert_eq!(Scene::ended(rules(), 75).tells(without(LeftOut::NOTHING_TO_DO)), [On::Started]);
    assert_eq!(Scene::ended(rules(), 75).tells(without(LeftOut::SKIPPED)), [On::Started, On::Skipped]);
    // Two rules of a channel: what one of them tells is told.
    let both = vec![rule([On::Failed], Repeat::First, "a"), rule([On::Failed], Repeat::Every, "a")];
    assert_eq!(Scene::ended(both, 1).tells(bad(1)), [On::Failed]);
}

#[test]
fn missed_and_skipped_by_turns_are_told_once_each_until_a_run_begins() {
    let rows = || {
        let missed = |seconds| Scene::left_out(first(On::ALL), seconds, missed(None));
        let skipped = |seconds| Scene::left_out(first(On::ALL), seconds, skipped());
        [missed(0), skipped(60), missed(120), skipped(180), missed(240)]
    };
    let (mut standing, mut told) = (Standing::default(), Vec::new());
    for scene in rows() {
        told.extend(scene.tells(Before { standing, ..fine() }));
        standing = standing.ended(&scene.run);
    }
    assert_eq!(told, [On::Missed, On::Skipped]);
    assert_eq!(rows()[0].tells(Before { standing: standing.begun(), ..fine() }), [On::Missed]);
    assert_eq!(rows()[1].tells(Before { standing: standing.begun(), ..fine() }), [On::Skipped]);
}

#[test]
fn how_a_job_was_left_out_is_stored_as_names() {
    let all = LeftOut { missed: true, skipped: true, nothing_to_do: true };
    for (left_out, text) in [(LeftOut::NONE, ""), (LeftOut::SKIPPED, "skipped"), (all, "missed,skipped,nothing_to_do")]
    {
        assert_eq!((left_out.to_string().as_str(), text.parse()), (text, Ok(left_out)));
    }
    assert_eq!("missed,late".parse::<LeftOut>(), Err(()));
}

#[test]
fn how_a_job_stands_follows_from_its_rows() {
    let stands = |standing: Standing, scene: &Scene| standing.ended(&scene.run);
    let (failed, succeeded) = (Scene::ended(vec![], 1), Scene::ended(vec![], 0));
    let (idle_run, missed) = (Scene::ended(vec![], 75), Scene::left_out(vec![], 0, missed(None)));
    let cancelled = Scene::due(vec![]).tell(Event::Cancel { reason: "by ada".into() });
    let standing = stands(Standing::default(), &failed);
    assert_eq!(standing, Standing { ended_badly: true, left_out: LeftOut::NONE });
    for scene in [&cancelled, &idle_run, &missed] {
        assert!(stands(standing, scene).ended_badly, "it says nothing of how the job does");
    }
    let gone = stands(standing, &missed);
    assert_eq!(gone.left_out, LeftOut::MISSED);
    assert_eq!(gone.begun(), Standing { ended_badly: true, left_out: LeftOut::NONE }, "instants are attended to again");
    let idle = stands(standing, &idle_run);
    assert_eq!(idle.begun().left_out, LeftOut::NOTHING_TO_DO, "what the next run finds is not known yet");
    assert_eq!(stands(idle, &cancelled).left_out, LeftOut::NONE);
    assert_eq!(stands(idle, &succeeded), Standing::default());
    let skipped = Scene::left_out(vec![], 0, skipped());
    let both = [&missed, &skipped, &missed].into_iter().fold(idle, stands);
    assert_eq!(both.left_out, LeftOut { missed: true, skipped: true, nothing_to_do: true });
    assert_eq!(stands(both, &idle_run).left_out, LeftOut::NOTHING_TO_DO, "a run has begun since");
    assert_eq!(stands(idle, &Scene::due(vec![])), idle, "it is not over");
}

#[test]
fn what_is_left_out_together_is_told_together() {
    let all = [On::Missed, On::Skipped, On::Failed];
    let rules = || {
        [every(all), first(all).into_iter().map(|rule| NotifyRule { channel: channel("b"), ..rule }).collect()].concat()
    };
    let covered = Covered { first: at(-9_000), count: 1_000 };
    let rows = [
        Scene::left_out(rules(), 0, missed(Some(covered))),
        Scene::left_out(rules(), 60, missed(None)),
        Scene::left_out(rules(), 120, skipped()),
        Scene::left_out(rules(), 180, missed(None)),
    ];
    // As the driver keeps them: each row stands before the next.
    let standing = [LeftOut::NONE, LeftOut::MISSED, LeftOut::MISSED, LeftOut::MISSED.and(LeftOut::SKIPPED)];
    let before = |left_out| Before { standing: Standing { left_out, ..Standing::default() }, ..fine() };
    let happened = rows.iter().zip(standing).map(|(scene, left_out)| scene.after(before(left_out)));
    let notices = owed(happened, |_| JobNow::default());
    let told: Vec<_> = notices
        .iter()
        .map(|notice| (notice.facts.on, notice.channel.to_string(), notice.facts.others, notice.facts.scheduled_at))
        .collect();
    let expected = [
        (On::Missed, "a", 1_001, 180),
        (On::Missed, "b", 1_001, 180),
        (On::Skipped, "a", 0, 120),
        (On::Skipped, "b", 0, 120),
    ];
    let expected = expected.map(|(on, to, others, seconds)| (on, to.to_owned(), others, at(seconds)));
    assert_eq!(told, expected);
    assert_eq!(notices[0].facts.others_from, Some(at(-9_000)));
    assert_eq!(notices[2].facts.others_from, None);
    assert!(Arc::ptr_eq(&notices[0].facts, &notices[1].facts), "channels share what they say");
    // One that was told before is not told again, though it would count for others.
    let again = rows[..2].iter().map(|scene| scene.after(without(LeftOut::MISSED)));
    let again = owed(again, |_| JobNow::default());
    assert_eq!(again.iter().map(|notice| notice.channel.to_string()).collect::<Vec<_>>(), ["a"]);
    // Another job's rows are its own.
    let mut other = Scene::left_out(rules(), 60, missed(None));
    other.run.job = JobName::new("often").unwrap();
    let two = owed([rows[1].after(fine()), other.after(fine())], |_| JobNow::default());
    assert_eq!(two.len(), 4);
    // Failed runs each have their reason.
    let mut failed = [Scene::ended(rules(), 1), Scene::ended(rules(), 1)];
    failed[1].run.id = RunId::from_text("another");
    let failed = owed(failed.iter().map(|scene| scene.after(bad(1))), |_| JobNow::default());
    assert_eq!(failed.len(), 2);
}

#[test]
fn what_was_missed_names_the_run_that_makes_up_for_it() {
    let missed = Scene::left_out(every([On::Missed]), 0, missed(None));
    let mut catchup = Scene::due(every([On::Missed]));
    catchup.run.trigger = Trigger::Catchup;
    catchup.run.id = RunId::from_text("the-last");
    let made_up_by = |catchup: &Scene| {
        let notice = owed([missed.after(fine()), catchup.after(fine())], |_| JobNow::default()).remove(0);
        notice.facts.made_up_by.clone()
    };
    assert_eq!(made_up_by(&catchup), Some(RunId::from_text("the-last")));
    let mut skipped = Scene::left_out(vec![], 60, skipped());
    skipped.run.trigger = Trigger::Catchup;
    assert_eq!(made_up_by(&skipped), None, "it did not come to run either");
    assert_eq!(made_up_by(&catchup.seen()), None, "it makes up for something else");
}

#[test]
fn jobs_are_asked_for_only_if_something_is_owed() {
    let quiet = Scene::ended(every([On::Missed]), 1);
    let never = |job: &JobName| -> JobNow { panic!("nobody asked for {job}") };
    assert_eq!(owed([quiet.after(fine())], never), []);
}

#[test]
fn rules_are_stored_with_a_definition_and_a_definition_without_them_as_before() {
    let told = definition(first([On::Failed, On::TimedOut]));
    let stored = serde_json::to_value(&*told).unwrap();
    let expected = serde_json::json!([{ "on": ["failed", "timed_out"], "repeat": "first", "channel": "a" }]);
    let mut on = stored["notify"].clone();
    on[0]["on"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
    assert_eq!(on, expected);
    assert_eq!(serde_json::from_value::<Definition>(stored).unwrap(), *told);
    let plain = serde_json::to_value(samples::definition()).unwrap();
    assert!(plain.get("notify").is_none(), "{plain}");
    assert!(serde_json::from_value::<Definition>(plain).unwrap().notify.is_empty());
}

#[test]
fn a_run_that_was_asked_for_is_told_of_as_any_other() {
    let asker = Asker { by: "ada".into(), reason: None };
    let request = Request { asker, overlap: None, retry_of: None };
    let job = JobName::new("nightly").unwrap();
    let firing = Firing::manual(&job, request, at(0));
    let (run, entries) = Run::due(firing, instance(), definition(every([On::Missed])), at(0));
    let mut definition = Definition::clone(&run.definition);
    definition.limits.start_deadline = Some(Duration::from_secs(5));
    let mut scene = Scene { run: Run { definition: Arc::new(definition), ..run }, entries };
    let overdue =
        scene.run.step(Event::Overdue { waited_for: "a slot".into() }, at(0) + TimeDelta::seconds(6)).unwrap();
    if let Step::Changed(entries) = overdue {
        scene.entries.extend(entries);
    }
    let facts = Arc::clone(&scene.owes(fine())[0].facts);
    assert_eq!((facts.on, facts.trigger), (On::Missed, Trigger::Manual));
}
