//! How many launches there were and will be, of all jobs together, and when too many of them are to leave at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use chrono::{DateTime, TimeDelta, Utc};

use super::marks::departures;
use super::window::{PARTS, Window};
use crate::daemon::driver::JobView;
use crate::engine::quota::{QuotaKey, quota_key};

/// How many firings to come are counted, of all jobs together.
pub(super) const FIRINGS_MAX: usize = 50_000;
/// How many instants at which too many launches leave are named.
const CROWDS_MAX: usize = 5;

/// What may leave how fast, in each account and region.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quota {
    /// A second.
    pub(super) rate: f64,
    pub(super) burst: u32,
}

/// The firings to come in a window.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Coming {
    /// In each part of the window.
    pub(super) parts: Vec<u32>,
    /// The instants at which more leave than the quota lets at once, those with the most first.
    pub(super) crowds: Vec<Crowd>,
    /// From when on nothing is counted any more, because there is too much.
    pub(super) counted_until: Option<DateTime<Utc>>,
}

/// More launches of one second than may leave at once in an account and region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crowd {
    pub(super) at: DateTime<Utc>,
    pub(super) of: QuotaKey,
    pub(super) count: u32,
    /// How much later the last of them leaves, at the rate of the quota.
    pub(super) last_after: TimeDelta,
}

/// Counts what is to come, in the order of time and up to `max` firings.
pub(super) fn coming(views: &[JobView], window: &Window, quota: Quota, max: usize) -> Coming {
    let after = window.from.max(window.now);
    let mut parts = vec![0_u32; PARTS];
    let mut counted_until = None;
    let mut left = max;
    let keys: Vec<QuotaKey> = views.iter().map(|view| quota_key(&view.job.definition.task.target)).collect();
    let mut crowd = Counting::new(quota);
    // A paused job leaves not before its pause is over, which its next firing says.
    let of =
        |view: &JobView| departures(view, after.max(view.next_at? - TimeDelta::milliseconds(1)), window.until).next();
    let mut next: BinaryHeap<Reverse<(DateTime<Utc>, usize)>> =
        views.iter().enumerate().filter_map(|(nth, view)| Some(Reverse((of(view)?, nth)))).collect();
    while let Some(Reverse((at, nth))) = next.pop() {
        if left == 0 {
            counted_until = Some(at);
            break;
        }
        left -= 1;
        if let Some(count) = window.part_at(at).and_then(|part| parts.get_mut(part)) {
            *count += 1;
        }
        if let (Some(view), Some(key)) = (views.get(nth), keys.get(nth)) {
            crowd.add(at, key);
            next.extend(departures(view, at, window.until).next().map(|at| Reverse((at, nth))));
        }
    }
    Coming { parts, crowds: crowd.end(), counted_until }
}

/// The launches of each second in turn.
struct Counting<'a> {
    quota: Quota,
    second: i64,
    counts: BTreeMap<&'a QuotaKey, u32>,
    found: Vec<Crowd>,
}

impl<'a> Counting<'a> {
    fn new(quota: Quota) -> Counting<'a> {
        Counting { quota, second: i64::MIN, counts: BTreeMap::new(), found: Vec::new() }
    }

    fn add(&mut self, at: DateTime<Utc>, key: &'a QuotaKey) {
        if at.timestamp() != self.second {
            self.close();
            self.second = at.timestamp();
        }
        *self.counts.entry(key).or_default() += 1;
    }

    fn close(&mut self) {
        let Some(at) = DateTime::from_timestamp(self.second, 0) else { return };
        for (key, count) in std::mem::take(&mut self.counts) {
            let waiting = count.saturating_sub(self.quota.burst);
            if waiting > 0 {
                let seconds = (f64::from(waiting) / self.quota.rate).min(1e9);
                let last_after = TimeDelta::from_std(std::time::Duration::from_secs_f64(seconds.max(0.0)));
                let last_after = last_after.unwrap_or(TimeDelta::MAX);
                self.found.push(Crowd { at, of: key.clone(), count, last_after });
            }
        }
        // Only those that can be among the worst are kept.
        if self.found.len() > 2 * CROWDS_MAX {
            self.keep_worst();
        }
    }

    fn keep_worst(&mut self) {
        self.found.sort_by_key(|crowd| (Reverse(crowd.count), crowd.at));
        self.found.truncate(CROWDS_MAX);
    }

    fn end(mut self) -> Vec<Crowd> {
        self.close();
        self.keep_worst();
        self.found
    }
}

/// How many of these launches fall into each part of the window.
pub(super) fn gone(launches: &[DateTime<Utc>], window: &Window) -> Vec<u32> {
    let mut parts = vec![0_u32; PARTS];
    for at in launches {
        if let Some(count) = window.part_at(*at).and_then(|part| parts.get_mut(part)) {
            *count += 1;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::{at, paused, view};
    use super::*;

    const QUOTA: Quota = Quota { rate: 20.0, burst: 20 };

    fn window(hours: i64) -> Window {
        Window::new(None, Some(hours), at("2026-07-01T12:00:00Z")).unwrap()
    }

    #[test]
    fn firings_to_come_are_counted_in_their_parts() {
        let views = [view("hourly", "0 * * * *"), view("noon", "0 0 13 * * *")];
        let coming = coming(&views, &window(1), QUOTA, FIRINGS_MAX);
        // 13:00 is the end of the window, and lies in no part of it any more.
        assert_eq!(coming.parts, [0; PARTS]);
        let coming = super::coming(&views, &window(3), QUOTA, FIRINGS_MAX);
        let filled: Vec<(usize, u32)> = coming.parts.into_iter().enumerate().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(64, 2), (80, 1)]);
        assert_eq!((coming.crowds, coming.counted_until), (vec![], None));
    }

    #[test]
    fn the_instants_at_which_too_many_leave_are_named_with_the_last_of_them() {
        let views: Vec<JobView> = (0..312).map(|nth| view(&format!("job-{nth}"), "0 0 * * *")).collect();
        let crowds = coming(&views, &window(24), QUOTA, FIRINGS_MAX).crowds;
        let expected = Crowd {
            at: at("2026-07-02T00:00:00Z"),
            of: QuotaKey::default(),
            count: 312,
            last_after: TimeDelta::milliseconds(14_600),
        };
        assert_eq!(crowds, [expected]);
    }

    #[test]
    fn accounts_and_regions_have_quotas_of_their_own() {
        let mut views: Vec<JobView> = (0..30).map(|nth| view(&format!("job-{nth}"), "0 0 * * *")).collect();
        for view in views.iter_mut().take(15) {
            let mut job = (*view.job).clone();
            let mut definition = (*job.definition).clone();
            definition.task.target = Arc::new(crate::engine::job::Target {
                region: Some("eu-west-1".to_owned()),
                ..crate::engine::job::Target::default()
            });
            job.definition = Arc::new(definition);
            view.job = Arc::new(job);
        }
        assert_eq!(coming(&views, &window(24), QUOTA, FIRINGS_MAX).crowds, []);
    }

    #[test]
    fn a_paused_job_leaves_not_before_its_pause_is_over() {
        let count = |view: JobView| coming(&[view], &window(6), QUOTA, 100).parts.iter().sum::<u32>();
        assert_eq!(count(paused(view("paused", "0 * * * *"), None)), 0);
        let until = at("2026-07-01T14:00:00Z");
        assert_eq!(count(paused(view("paused", "0 * * * *"), Some(until))), 3, "15, 16 and 17; 18 is the end");
    }

    #[test]
    fn too_many_firings_are_counted_up_to_a_moment_that_is_told() {
        let views = [view("often", "* * * * *"), view("seldom", "30 * * * *")];
        let coming = coming(&views, &window(6), QUOTA, 31);
        assert_eq!(coming.parts.iter().sum::<u32>(), 31);
        assert_eq!(coming.counted_until, Some(at("2026-07-01T12:31:00Z")));
    }

    #[test]
    fn launches_that_were_are_counted_where_they_were() {
        let launches = [at("2026-07-01T11:00:00Z"), at("2026-07-01T11:00:59Z"), at("2026-07-02T00:00:00Z")];
        let parts = gone(&launches, &window(1));
        assert_eq!((parts.first(), parts.iter().sum()), (Some(&2), 2));
    }
}
