//! What has been reported to the loop and not been taken by a turn yet.
//!
//! Pollers and calls report through a channel with a bound, and the loop empties it each turn. While a batch can't be
//! saved there is no turn, perhaps for hours, and a full channel would stop the pollers. So the loop then sets reports
//! aside: of each run the newest look at its task, because a later look says all that an earlier one did, and the answer to
//! its call. A run has one task that is watched and one call under way at most, and no new ones begin meanwhile, so what is
//! set aside is bounded by the number of living runs.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use super::driver::Report;
use crate::engine::run::RunId;

/// How many bundles of reports may wait for the loop.
const REPORTS_MAX: usize = 1_024;
/// How many bundles one turn takes: all of them become one commit.
const REPORTS_A_TURN: usize = 1_024;

/// The loop's end of the channel.
#[derive(Debug)]
pub(super) struct Inbox {
    reports: mpsc::Receiver<Vec<Report>>,
    answers: Vec<Report>,
    looks: BTreeMap<RunId, Report>,
}

pub(super) fn open() -> (mpsc::Sender<Vec<Report>>, Inbox) {
    let (sender, reports) = mpsc::channel(REPORTS_MAX);
    (sender, Inbox { reports, answers: Vec::new(), looks: BTreeMap::new() })
}

impl Inbox {
    /// Everything that has been reported by now, as soon as there is anything: all of it is one turn and one commit.
    /// Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Vec<Report> {
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
        all
    }

    /// Waits for one bundle and sets it aside for [`Inbox::next`]. Nothing is lost if the future is dropped.
    pub(super) async fn set_aside(&mut self) {
        let Some(bundle) = self.reports.recv().await else { return std::future::pending().await };
        for report in bundle {
            if report.answers_call {
                self.answers.push(report);
            } else {
                self.looks.insert(report.run.clone(), report);
            }
        }
    }

    fn take_aside(&mut self) -> Vec<Report> {
        let mut all = std::mem::take(&mut self.answers);
        all.extend(std::mem::take(&mut self.looks).into_values());
        all
    }
}
