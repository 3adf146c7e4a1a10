//! What a service manager is told of a daemon that it started: systemd, or whoever set `$NOTIFY_SOCKET` (sd_notify(3)).
//!
//! Ready is a daemon whose loop has turned, with its state loaded. The watchdog is fed by that loop's own progress: each ping
//! needs a turn that was not there at the ping before, so a loop that stands still ends the process although timers go on.
//! A loop that tries again and again to save counts as turning, for a restart would mend nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sd_notify::NotifyState;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::daemon::{Health, Mailbox, clock};
use crate::engine::run::in_words;

/// How often the daemon is looked at for a new status.
const LOOK_EACH: Duration = Duration::from_secs(1);
/// The same until it has turned once, so that readiness is told soon.
const START_LOOK_EACH: Duration = Duration::from_millis(50);
/// How many pings fit into the time after which the service manager takes the daemon for hung.
const PINGS: u32 = 4;

/// A reload begins or is over.
#[derive(Debug)]
pub(super) enum Reload {
    Begins,
    Over,
}

/// One thing that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Ready,
    Reloading,
    Stopping,
    Alive,
    Status(String),
}

/// Tells the service manager how the daemon is, until `end`; does nothing where there is none. `stopping` is when the daemon
/// was told to stop.
pub(super) async fn tell(
    mailbox: Mailbox,
    reloads: mpsc::UnboundedReceiver<Reload>,
    stopping: CancellationToken,
    end: CancellationToken,
) {
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        end.run_until_cancelled(follow(Voice::new(), mailbox, reloads, stopping)).await;
    }
}

async fn follow(
    voice: Voice,
    mailbox: Mailbox,
    mut reloads: mpsc::UnboundedReceiver<Reload>,
    stopping: CancellationToken,
) {
    voice.say(vec![Word::Status("starting".to_owned())]).await;
    let (mut told, mut is_stopping) = (Told::default(), false);
    tokio::select! {
        () = first_turn(&mailbox) => voice.say(vec![Word::Ready]).await,
        () = stopping.cancelled() => {}
    }
    let mut looks = every(LOOK_EACH);
    let mut pings = sd_notify::watchdog_enabled().map(|within| every(within / PINGS));
    loop {
        let words = tokio::select! {
            () = stopping.cancelled(), if !is_stopping => {
                is_stopping = true;
                vec![Word::Stopping]
            }
            Some(reload) = reloads.recv() => match reload {
                Reload::Begins => vec![Word::Reloading],
                Reload::Over => vec![Word::Ready],
            },
            () = tick(&mut pings) => told.ping(&mailbox.health()),
            _ = looks.tick() => told.status(&mailbox.health(), is_stopping, clock::now()),
        };
        voice.say(words).await;
    }
}

async fn first_turn(mailbox: &Mailbox) {
    let mut looks = every(START_LOOK_EACH);
    while mailbox.health().turned_at.is_none() {
        looks.tick().await;
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Never, without a watchdog.
async fn tick(pings: &mut Option<Interval>) {
    match pings {
        Some(pings) => drop(pings.tick().await),
        None => std::future::pending().await,
    }
}

/// What is to be said, and where to tell that it was.
type Saying = (Vec<Word>, oneshot::Sender<()>);

/// A thread that nobody waits for at the end: a service manager that does not read must hold up neither the daemon nor its
/// stop.
struct Voice(std::sync::mpsc::Sender<Saying>);

impl Voice {
    fn new() -> Voice {
        let (sender, sayings) = std::sync::mpsc::channel::<Saying>();
        std::thread::spawn(move || {
            for (words, said) in sayings {
                let states: Vec<NotifyState<'_>> = words.iter().flat_map(Word::states).collect();
                if let Err(error) = sd_notify::notify(&states) {
                    tracing::warn!(%error, "service manager could not be told how the daemon is");
                }
                // Whoever said it may be gone.
                let _gone = said.send(());
            }
        });
        Voice(sender)
    }

    /// Says it, and waits until it was.
    async fn say(&self, words: Vec<Word>) {
        let (said, is_said) = oneshot::channel();
        if !words.is_empty() && self.0.send((words, said)).is_ok() {
            drop(is_said.await);
        }
    }
}

impl Word {
    fn states(&self) -> Vec<NotifyState<'_>> {
        match self {
            Word::Ready => vec![NotifyState::Ready],
            // Without the second one systemd 253 and newer would take the reload for an older one.
            Word::Reloading => {
                [NotifyState::Reloading].into_iter().chain(NotifyState::monotonic_usec_now().ok()).collect()
            }
            Word::Stopping => vec![NotifyState::Stopping],
            Word::Alive => vec![NotifyState::Watchdog],
            Word::Status(text) => vec![NotifyState::Status(text)],
        }
    }
}

/// What was told last.
#[derive(Debug, Default)]
struct Told {
    turned_at: Option<DateTime<Utc>>,
    status: String,
}

impl Told {
    /// A sign of life, if there was one since the last.
    fn ping(&mut self, health: &Health) -> Vec<Word> {
        let has_turned = health.turned_at.is_some() && health.turned_at != self.turned_at;
        self.turned_at = health.turned_at;
        if has_turned { vec![Word::Alive] } else { Vec::new() }
    }

    /// The status, if it is another one.
    fn status(&mut self, health: &Health, is_stopping: bool, now: DateTime<Utc>) -> Vec<Word> {
        let status = in_one_line(health, is_stopping, now);
        if status == self.status {
            return Vec::new();
        }
        self.status.clone_from(&status);
        vec![Word::Status(status)]
    }
}

/// How the daemon is, as `systemctl status` shows it.
fn in_one_line(health: &Health, is_stopping: bool, now: DateTime<Utc>) -> String {
    let runs = |count: usize| format!("{count} {} in flight", if count == 1 { "run" } else { "runs" });
    let mut said = match (health.draining, is_stopping) {
        (Some(count), _) => vec![format!("draining, begins nothing new: waits for {}", runs(count))],
        (None, true) => vec![format!("stopping: {}, which go on at the next start", runs(health.living_runs))],
        (None, false) => {
            let next = health.next_firing.as_ref();
            let next = next.map(|next| format!("next firing: {} at {}", next.job, in_words(next.at)));
            vec![next.unwrap_or_else(|| "no firing to come".to_owned()), runs(health.living_runs)]
        }
    };
    if let Some(why) = health.unready(now) {
        said.insert(0, format!("not ready: {why}"));
    }
    if health.reload.as_ref().is_some_and(|reload| reload.error.is_some()) {
        said.push("the newest configuration was refused, and the one before goes on".to_owned());
    }
    // A line break would end it.
    said.join("; ").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::{NextFiring, ReloadState};
    use crate::engine::job::JobName;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600 + seconds, 0).unwrap()
    }

    #[test]
    fn a_loop_that_stands_still_feeds_no_watchdog() {
        let (mut told, mut health) = (Told::default(), Health::default());
        assert_eq!(told.ping(&health), [], "it has not turned yet");
        for (turned_at, expected) in [
            (at(0), vec![Word::Alive]),
            (at(0), vec![]),
            (at(0), vec![]),
            (at(1), vec![Word::Alive]),
            // A clock that is set back is progress too.
            (at(-60), vec![Word::Alive]),
            (at(-60), vec![]),
        ] {
            health.turned_at = Some(turned_at);
            assert_eq!(told.ping(&health), expected, "{turned_at}");
        }
    }

    #[test]
    fn the_status_is_one_line_and_is_told_when_it_is_another_one() {
        let (mut told, mut health) = (Told::default(), Health { turned_at: Some(at(0)), ..Health::default() });
        let mut status = |health: &Health, is_stopping| match told.status(health, is_stopping, at(1)).as_slice() {
            [] => None,
            [Word::Status(text)] => Some(text.clone()),
            other => panic!("{other:?}"),
        };
        assert_eq!(status(&health, false).as_deref(), Some("no firing to come; 0 runs in flight"));
        assert_eq!(status(&health, false), None);
        health.next_firing = Some(NextFiring { job: JobName::new("billing").unwrap(), at: at(7_200) });
        health.living_runs = 1;
        let usual = "next firing: billing at 2026-01-01T02:00:00Z; 1 run in flight";
        assert_eq!(status(&health, false).as_deref(), Some(usual));
        health.reload = Some(ReloadState { at: at(1), error: Some("a mistake\nin two lines".into()) });
        health.store_error = Some("disk full\nREADY=1".into());
        let expected = format!(
            "not ready: the state can't be saved: disk full READY=1; {usual}; the newest configuration was \
             refused, and the one before goes on"
        );
        assert_eq!(status(&health, false), Some(expected));
        health = Health { turned_at: Some(at(0)), draining: Some(2), living_runs: 5, ..Health::default() };
        let draining = "draining, begins nothing new: waits for 2 runs in flight";
        assert_eq!(status(&health, true).as_deref(), Some(draining));
        health.draining = None;
        let stopping = "stopping: 5 runs in flight, which go on at the next start";
        assert_eq!(status(&health, true).as_deref(), Some(stopping));
    }
}
