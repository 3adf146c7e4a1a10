//! Random life of a run: whatever a driver could tell it, at whatever instants, the rules of launching hold.
//!
//! [`Shell`] stands for the driver: one call at a time, answers of the kind that was asked, reports about any task that
//! was ever followed, deaths between everything. It keeps its own book of whether a task may be alive.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Call {
    Launch,
    Find,
    Stop,
}

struct Shell {
    scene: Scene,
    call: Option<Call>,
    followed: Vec<TaskArn>,
    /// A task of the newest generation may be alive, as far as anybody can know.
    may_live: bool,
    generation: u32,
    tasks: u32,
}

impl Shell {
    fn new(definition: Definition) -> Shell {
        Shell {
            scene: Scene::new(definition),
            call: None,
            followed: Vec::new(),
            may_live: false,
            generation: 0,
            tasks: 0,
        }
    }

    /// Sends an event that a driver could send: it may come late, but it is never impossible.
    fn tell(&mut self, event: Event) -> bool {
        let before = self.scene.run.clone();
        let told = event.clone();
        match self.scene.run.step(event, self.scene.now) {
            Ok(step) => {
                if let Step::Changed(entries) = step {
                    for entry in entries {
                        assert_eq!(entry.seq, self.scene.entries.last().map_or(1, |last| last.seq + 1));
                        self.scene.entries.push(entry);
                    }
                } else {
                    assert_eq!(self.scene.run, before, "{told:?} changed the run and did not say so");
                }
                assert!(!before.is_finished(), "a finished run took {told:?}");
                self.followed.extend(self.scene.run.followed_task().cloned());
                self.followed.dedup();
                true
            }
            Err(refused) => {
                assert_eq!(refused, Refused::Stale, "{told:?} in {:?}", before.state);
                assert_eq!(self.scene.run, before);
                false
            }
        }
    }

    /// Orders the call that the run asks for, as the driver does when none is under way.
    fn order(&mut self) {
        if self.call.is_some() {
            return;
        }
        let (call, generation) = match self.scene.run.action(self.scene.now) {
            Action::Launch(launch) => (Call::Launch, launch.generation),
            Action::Find(_) => (Call::Find, self.generation),
            Action::Stop { .. } => (Call::Stop, self.generation),
            Action::Begin | Action::Watch(_) | Action::Rest => return,
        };
        if generation != self.generation {
            assert!(!self.may_live, "generation {generation} while the one before may live");
            // More than the next: one that was recorded and never sent before the daemon died was looked up in vain.
            assert!(generation > self.generation);
            self.generation = generation;
        }
        self.call = Some(call);
    }

    fn answer(&mut self, variant: u8) {
        match self.call.take() {
            None => {}
            Some(Call::Stop) => drop(self.tell(Event::StopAsked { refusal: None })),
            Some(Call::Launch) => self.answer_launch(variant),
            Some(Call::Find) => match variant % 4 {
                0 => {
                    self.tasks += 1;
                    let task = self.tasks;
                    self.may_live |= self.tell(found(task));
                }
                1 => drop(self.tell(Event::Sought(SearchAnswer::no_answer("throttled")))),
                _ => {
                    let (launch, now) = (self.scene.launch(), self.scene.now);
                    let proves_nothing = launch.unresolved && !launch.may_be_resent(now);
                    if self.tell(nothing()) && !self.scene.is_seeking() {
                        // Proof, or written off by whoever chose to go on after an unknown launch.
                        self.may_live = false;
                        let ended_otherwise =
                            self.scene.run.is_finished() && self.scene.run.status() != Status::Unknown;
                        assert!(!(proves_nothing && ended_otherwise), "nothing found was taken for proof");
                    }
                }
            },
        }
    }

    fn answer_launch(&mut self, variant: u8) {
        self.tasks += 1;
        let (event, may_live) = match variant % 9 {
            0..=2 => (launched(self.tasks), true),
            3 => (refused("ThrottlingException", 400), self.may_live),
            4 => (refused("ServerException", 500), true),
            5 => (no_answer(true), true),
            6 => (no_answer(false), self.may_live),
            7 => (failures(), true),
            _ => (Event::Answered(LaunchAnswer::Conflict { tasks: vec![], message: String::new() }), true),
        };
        if self.tell(event) {
            self.may_live = may_live;
        }
    }

    /// A poll about any task that was ever followed, so also about one that is over for the run.
    fn poll(&mut self, variant: u8) {
        let Some(task) = self.followed.get(usize::from(variant) % self.followed.len().max(1)).cloned() else { return };
        let mut seen = match variant % 5 {
            0 => facts(0, "PENDING"),
            1 => facts(0, "RUNNING"),
            2 => stopped(0, Some(0)),
            3 => stopped(0, Some(1)),
            _ => {
                if self.tell(Event::Missing(task)) && self.scene.run.followed_task().is_none() {
                    self.may_live = false;
                }
                return;
            }
        };
        seen.task = task;
        let is_end = seen.is_stopped();
        if self.tell(Event::Observed(seen)) && is_end {
            self.may_live = false;
        }
    }

    fn turn(&mut self, choice: u8, variant: u8, seconds: i64) {
        self.scene.now += TimeDelta::seconds(seconds);
        match choice % 10 {
            0 | 1 if self.scene.run.action(self.scene.now) == Action::Begin => drop(self.tell(Event::Permitted)),
            2 if variant < 25 => drop(self.tell(cancel())),
            3 if variant < 80 => {
                // The call may have been performed or not; nobody will tell.
                self.may_live |= self.call == Some(Call::Launch);
                self.call = None;
                self.tell(Event::Resumed);
            }
            2 if variant > 250 => drop(self.scene.run.adjust(ClockChange::AgeLost, self.scene.now)),
            2 if variant > 240 => drop(self.scene.run.adjust(ClockChange::Ahead, self.scene.now)),
            2 if variant > 230 => {
                self.scene.now -= TimeDelta::minutes(3);
                self.scene.run.adjust(ClockChange::SetBack(TimeDelta::minutes(3)), self.scene.now);
            }
            0..=3 => drop(self.tell(Event::Woken)),
            4..=7 => {
                self.order();
                if choice.is_multiple_of(2) {
                    self.answer(variant);
                }
            }
            _ => self.poll(variant),
        }
        self.check();
    }

    fn check(&self) {
        let run = &self.scene.run;
        let numbers = run.attempts.iter().map(|attempt| attempt.attempt);
        assert!(numbers.eq(1..=u32::try_from(run.attempts.len()).unwrap()), "attempts are not counted from 1");
        let generations: Vec<u32> = run.attempts.iter().map(|attempt| attempt.generation).collect();
        assert!(generations.windows(2).all(|pair| pair[1] == pair[0] || pair[1] == pair[0] + 1), "{generations:?}");
        for (used, retrier) in run.retries_used.iter().zip(run.definition.retry.retriers()) {
            assert!(*used <= retrier.max_attempts, "more retries than granted");
        }
        if let State::Finished { outcome, .. } = &run.state {
            assert!(!self.may_live, "ended as {outcome:?} while a task may live");
        } else {
            let waits = matches!(run.state, State::Running { .. });
            let is_moved = run.action(self.scene.now) != Action::Rest || run.wake_after(self.scene.now).is_some();
            assert!(waits || is_moved, "nothing will ever move it: {:?}", run.state);
        }
    }
}

fn any_definition() -> impl Strategy<Value = Definition> {
    let limit = || proptest::option::of((1u64..2000).prop_map(Duration::from_secs));
    let retry = prop_oneof![
        Just(RetryPolicy::default()),
        Just(policy(vec![])),
        Just(policy(vec![retrier(ErrorName::ALL, 1, 4)])),
        Just(policy(vec![retrier(ErrorName::SDK_CLIENT, 3000, 2), retrier(ErrorName::ALL, 5, 9)])),
        Just(policy(
            vec![retrier(ErrorName::LAUNCH_UNKNOWN, 5, 1), retrier(ErrorName::TASK_FAILED, 0, 3)]
                .into_iter()
                .map(|one| Retrier { interval_seconds: one.interval_seconds.max(1), ..one })
                .collect()
        )),
    ];
    (limit(), limit(), limit(), retry, any::<bool>()).prop_map(
        |(timeout, attempt_timeout, start_timeout, retry, reruns)| Definition {
            limits: Limits { timeout, attempt_timeout, start_timeout, start_deadline: None },
            retry,
            on_unknown: if reruns { OnUnknown::Rerun } else { OnUnknown::Fail },
            ..definition()
        },
    )
}

fn any_pause() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 0i64..5, 3 => 5i64..60, 2 => 60i64..900, 1 => 2000i64..20_000, 1 => -600i64..0]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_life_of_a_run_breaks_the_rules_of_launching(
        definition in any_definition(),
        turns in proptest::collection::vec((any::<u8>(), any::<u8>(), any_pause()), 1..120),
    ) {
        let mut shell = Shell::new(definition);
        for (choice, variant, seconds) in turns {
            shell.turn(choice, variant, seconds);
        }
    }

    #[test]
    fn a_run_that_is_stored_and_loaded_asks_for_the_same(
        definition in any_definition(),
        turns in proptest::collection::vec((any::<u8>(), any::<u8>(), any_pause()), 1..60),
    ) {
        let mut shell = Shell::new(definition);
        for (choice, variant, seconds) in turns {
            shell.turn(choice, variant, seconds);
            let run = &shell.scene.run;
            let state = serde_json::from_str(&serde_json::to_string(&run.state).unwrap()).unwrap();
            let kept = serde_json::from_str(&serde_json::to_string(run.definition.as_ref()).unwrap()).unwrap();
            let loaded = Run { state, definition: Arc::new(kept), ..run.clone() };
            prop_assert_eq!(&loaded, run);
            prop_assert_eq!(loaded.action(shell.scene.now), run.action(shell.scene.now));
        }
    }
}
