//! What has been reported to the loop and not been taken by a turn yet.
//!
//! Pollers and calls report through a channel with a bound, and the loop empties it each turn. While a batch can't be
//! saved there is no turn, perhaps for hours, and a full channel would stop the pollers. So the loop then sets reports
//! aside: of each run the newest look that showed its task, and the answer to its call. A later look says all that an
//! earlier one did, but for one that no longer shows the task: ECS forgets how a task ended within the hour. A run has one
//! task that is watched and one call under way at most, and no new ones begin meanwhile, so what is set aside is bounded by
//! the number of living runs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::driver::Report;
use crate::engine::run::{Event, RunId};

/// How many bundles of reports may wait for the loop.
const REPORTS_MAX: usize = 1_024;
/// How many bundles one turn takes: all of them become one commit.
const REPORTS_A_TURN: usize = 1_024;

/// How long reports gather after a turn has taken some: the answers of a herd come one by one, and a commit for each of them
/// would write the same pages of the database again and again.
const GATHER: Duration = Duration::from_millis(10);

/// The loop's end of the channel.
#[derive(Debug)]
pub(super) struct Inbox {
    reports: mpsc::Receiver<Vec<Report>>,
    answers: Vec<Report>,
    looks: BTreeMap<RunId, Report>,
    /// Until when they gather.
    gather_until: Instant,
}

pub(super) fn open() -> (mpsc::Sender<Vec<Report>>, Inbox) {
    let (sender, reports) = mpsc::channel(REPORTS_MAX);
    (sender, Inbox { reports, answers: Vec::new(), looks: BTreeMap::new(), gather_until: Instant::now() })
}

impl Inbox {
    /// Everything that has been reported by now, as soon as there is anything and reports have gathered: all of it is one turn
    /// and one commit. Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Vec<Report> {
        tokio::time::sleep_until(self.gather_until).await;
        let mut all = self.take_aside();
        if all.is_empty() {
            match self.reports.recv().await {
                Some(first) => all = first,
                // The loop holds on to those who report, so this is never seen.
                None => return std::future::pending().await,
            }
        }
        for _ in 1..REPORTS_A_TURN {
            match self.reports.try_recv() {
                Ok(more) => all.extend(more),
                Err(_) => break,
            }
        }
        self.gather_until = Instant::now() + GATHER;
        all
    }

    /// Waits for one bundle and sets it aside for [`Inbox::next`]. Nothing is lost if the future is dropped.
    pub(super) async fn set_aside(&mut self) {
        let Some(bundle) = self.reports.recv().await else { return std::future::pending().await };
        for report in bundle {
            self.keep(report);
        }
    }

    /// Sets one report aside.
    pub(super) fn keep(&mut self, report: Report) {
        if report.answers_call {
            self.answers.push(report);
            return;
        }
        let shows_nothing = matches!(report.event, Event::Missing(_));
        match self.looks.entry(report.run.clone()) {
            Entry::Occupied(_) if shows_nothing => {}
            Entry::Occupied(mut earlier) => drop(earlier.insert(report)),
            Entry::Vacant(none) => drop(none.insert(report)),
        }
    }

    /// What was set aside.
    pub(super) fn take_aside(&mut self) -> Vec<Report> {
        let mut all = std::mem::take(&mut self.answers);
        all.extend(std::mem::take(&mut self.looks).into_values());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::task::{TaskArn, TaskFacts, TaskTimes};

    fn look(event: Event) -> Vec<Report> {
        vec![Report { run: RunId::from_text("run"), event, answers_call: false }]
    }

    fn shown(last_status: &str) -> Event {
        Event::Observed(TaskFacts {
            task: TaskArn("task/1".into()),
            last_status: last_status.into(),
            stop_code: None,
            stopped_reason: None,
            times: TaskTimes::default(),
            described: None,
            containers: Vec::new(),
        })
    }

    #[tokio::test]
    async fn how_a_task_ended_is_kept_although_ecs_forgets_it_meanwhile() {
        let (sender, mut inbox) = open();
        let missing = || Event::Missing(TaskArn("task/1".into()));
        for event in [missing(), shown("RUNNING"), shown("STOPPED"), missing(), missing()] {
            sender.send(look(event)).await.unwrap();
            inbox.set_aside().await;
        }
        let kept: Vec<Event> = inbox.next().await.into_iter().map(|report| report.event).collect();
        assert_eq!(kept, [shown("STOPPED")]);
    }
}
