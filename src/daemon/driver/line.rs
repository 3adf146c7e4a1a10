//! Runs that wait for a launch, in the order in which their launches became due, each account and region by itself: a line
//! that stands still holds up no other.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::engine::quota::QuotaKey;
use crate::engine::run::RunId;

/// By which runs wait: the one whose launch became due first.
pub(in crate::daemon) type Place = (DateTime<Utc>, RunId);

/// Where a run waits for its permit.
#[derive(Debug)]
pub(in crate::daemon) struct Queued {
    /// Whose permit it wants.
    pub(in crate::daemon) key: QuotaKey,
    /// Where it stands, for as long as it waits, whatever becomes of the run meanwhile.
    pub(in crate::daemon) place: Place,
    /// Since when nothing but a permit keeps it from launching.
    pub(in crate::daemon) since: DateTime<Utc>,
}

/// The lines.
#[derive(Debug, Default)]
pub(super) struct Lines(BTreeMap<QuotaKey, BTreeSet<Place>>);

impl Lines {
    pub(super) fn insert(&mut self, key: QuotaKey, place: Place) {
        self.0.entry(key).or_default().insert(place);
    }

    /// True if it was there.
    pub(super) fn remove(&mut self, key: &QuotaKey, place: &Place) -> bool {
        let Some(line) = self.0.get_mut(key) else { return false };
        let was_there = line.remove(place);
        if line.is_empty() {
            self.0.remove(key);
        }
        was_there
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who is first in each line.
    pub(super) fn firsts(&self) -> impl Iterator<Item = (&QuotaKey, &Place)> {
        self.0.iter().filter_map(|(key, line)| Some((key, line.first()?)))
    }

    pub(super) fn first(&self, key: &QuotaKey) -> Option<&Place> {
        self.0.get(key)?.first()
    }

    /// Takes the first one out of each line.
    pub(super) fn take_firsts(&mut self) -> Lines {
        let firsts: Vec<(QuotaKey, Place)> = self.firsts().map(|(key, place)| (key.clone(), place.clone())).collect();
        let mut taken = Lines::default();
        for (key, place) in firsts {
            self.remove(&key, &place);
            taken.insert(key, place);
        }
        taken
    }

    /// Puts those of other lines where they belong in these.
    pub(super) fn join(&mut self, others: Lines) {
        for (key, line) in others.0 {
            self.0.entry(key).or_default().extend(line);
        }
    }

    /// How many stand in a line.
    pub(super) fn len(&self, key: &QuotaKey) -> usize {
        self.0.get(key).map_or(0, BTreeSet::len)
    }

    /// How many go before this place.
    pub(super) fn before(&self, key: &QuotaKey, place: &Place) -> usize {
        self.0.get(key).map_or(0, |line| line.range(..place).count())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Place> {
        self.0.values().flatten()
    }
}
