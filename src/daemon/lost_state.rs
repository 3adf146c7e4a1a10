//! What a daemon does first on an empty store: it asks ECS for live tasks of a state that is gone.
//!
//! A store that was deleted, or a volume that did not come along, leaves tasks behind that nobody follows, and whose jobs
//! would be launched beside them. So before anything fires, the live tasks of the configured clusters are read, and the
//! driver takes in those that it can prove to be its own. A store in which a daemon ever committed is not asked about:
//! what it holds is what was launched.
//!
//! That must neither hang nor hide anything. It takes [`LOOK_WITHIN`] at most, whatever ECS does, and then the daemon
//! goes on with what was found and says which clusters it knows nothing of. Told to stop meanwhile, it writes nothing:
//! the next start finds the store as empty as this one did, and looks again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::driver::TakenIn;
use super::{Daemon, clock};
use crate::ecs::{CallError, Ecs, LivePage, PAGES_MAX};
use crate::engine::call_fault::CallFault;
use crate::engine::job::Site;
use crate::engine::task::FoundTask;
use crate::store::Store;

/// How long the daemon looks before it goes on with what it has found.
pub(super) const LOOK_WITHIN: Duration = Duration::from_secs(10);
/// The pause before a page that was not answered is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How many clusters are asked at once.
const CLUSTERS_AT_ONCE: usize = 16;
/// How many answers may wait for the loop.
const ANSWERS_MAX: usize = 64;
/// How many tasks that are not followed get a line each; more are counted.
const STRAYS_TOLD_MAX: usize = 50;

/// What a cluster answered.
struct Answer {
    site: Site,
    page: Result<LivePage, CallError>,
}

/// What is known so far.
#[derive(Default)]
struct Seen {
    /// Clusters that are not read to their end, with the newest refusal.
    open: BTreeMap<Site, Option<String>>,
    listed: usize,
    unseen: usize,
    found: Vec<FoundTask>,
}

impl<S: Store, E: Ecs> Daemon<S, E> {
    /// Takes in what runs of an earlier state. False if the daemon was told to stop before it had looked.
    pub(super) async fn find_lost_tasks(&mut self, stop: &CancellationToken) -> bool {
        let sites = self.driver.sites();
        let mut seen = Seen { open: sites.iter().map(|site| (site.clone(), None)).collect(), ..Seen::default() };
        let (mut answers, _looks) = begin(self.ecs.clone(), &sites);
        let over = tokio::time::sleep(LOOK_WITHIN);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = stop.cancelled() => return false,
                () = &mut over => break,
                answer = answers.recv() => match answer {
                    Some(answer) => seen.take(answer),
                    None => break,
                },
                Some(letter) = self.letters.recv() => self.tray.take_in(letter, &self.driver),
            }
        }
        let taken = self.driver.take_in(std::mem::take(&mut seen.found), clock::now());
        tell(sites.len(), &seen, &taken);
        true
    }
}

/// Asks all clusters. The answers end when all looks have; the looks end when they are dropped.
fn begin<E: Ecs>(ecs: E, sites: &BTreeSet<Site>) -> (mpsc::Receiver<Answer>, JoinSet<()>) {
    let (sender, answers) = mpsc::channel(ANSWERS_MAX);
    let slots = Arc::new(Semaphore::new(CLUSTERS_AT_ONCE));
    let mut looks = JoinSet::new();
    for site in sites {
        looks.spawn(look(ecs.clone(), site.clone(), Arc::clone(&slots), sender.clone()));
    }
    (answers, looks)
}

/// Reads a cluster page by page, each until it is answered.
async fn look<E: Ecs>(ecs: E, site: Site, slots: Arc<Semaphore>, answers: mpsc::Sender<Answer>) {
    let mut next = None;
    for _ in 0..PAGES_MAX {
        let page = loop {
            let asked = {
                // The semaphore is never closed.
                let _slot = slots.acquire().await;
                ecs.live_tasks(&site, next.as_deref()).await
            };
            match asked {
                Ok(page) => break page,
                Err(error) => {
                    if answers.send(Answer { site: site.clone(), page: Err(error) }).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        };
        next.clone_from(&page.next);
        if answers.send(Answer { site: site.clone(), page: Ok(page) }).await.is_err() || next.is_none() {
            return;
        }
    }
    let too_many =
        CallError { fault: CallFault::Refused, message: format!("ListTasks has more than {PAGES_MAX} pages") };
    // Nobody listens any more, or the cluster stays open with that.
    drop(answers.send(Answer { site, page: Err(too_many) }).await);
}

impl Seen {
    fn take(&mut self, Answer { site, page }: Answer) {
        match page {
            Ok(LivePage { listed, unseen, found, next }) => {
                self.listed += listed;
                self.unseen += unseen;
                self.found.extend(found);
                if next.is_none() {
                    self.open.remove(&site);
                } else {
                    self.open.insert(site, None);
                }
            }
            Err(error) => {
                let refusal = self.open.entry(site).or_default();
                if refusal.is_none() {
                    tracing::warn!(%error, "live tasks could not be listed; trying again");
                }
                *refusal = Some(error.message);
            }
        }
    }
}

fn tell(clusters: usize, seen: &Seen, taken: &TakenIn) {
    for (site, refusal) in &seen.open {
        let error = refusal.as_deref().unwrap_or("no answer in time");
        tracing::error!(
            cluster = %site,
            error,
            "live tasks were not all looked at; tasks of an earlier state may still run unknown to this daemon"
        );
    }
    if seen.unseen > 0 {
        tracing::error!(
            tasks = seen.unseen,
            "live tasks were listed, but not shown; some may be of an earlier state and unknown to this daemon"
        );
    }
    for stray in taken.strays.iter().take(STRAYS_TOLD_MAX) {
        let (task_arn, started_by, reason) = (&stray.task, &stray.started_by, &stray.reason);
        tracing::warn!(%task_arn, started_by, reason, "live task not followed");
    }
    if let Some(more) = taken.strays.len().checked_sub(STRAYS_TOLD_MAX).filter(|more| *more > 0) {
        tracing::warn!(tasks = more, "more live tasks not followed");
    }
    if taken.foreign > 0 {
        tracing::debug!(tasks = taken.foreign, "live tasks of other installations left alone");
    }
    tracing::info!(
        clusters = clusters - seen.open.len(),
        live_tasks = seen.listed,
        adopted = taken.runs,
        not_followed = taken.strays.len(),
        "state is new; looked for live tasks of an earlier one"
    );
}

#[cfg(test)]
mod tests;
