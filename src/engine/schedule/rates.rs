//! Several rates counted from one anchor: how many instants they name together, each once.
//!
//! Their instants are multiples of their periods, so this is arithmetic: the multiples of one period, less those that are
//! multiples of an earlier one as well, which are multiples of the two periods' least common multiple.

use super::interval::{Anchor, elapsed_seconds};
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

pub(super) struct Rates {
    anchor: Anchor,
    /// In seconds; none is a multiple of another.
    periods: Vec<i64>,
}

impl Rates {
    pub(super) fn new(anchor: Anchor, periods: Vec<i64>) -> Rates {
        // Without a rate there is nothing that the anchor could be an instant of.
        let fires = anchor.fires && !periods.is_empty();
        Rates { anchor: Anchor { fires, ..anchor }, periods: without_multiples(periods) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.periods.is_empty()
    }

    /// How many instants lie in (`after`, `until`].
    pub(super) fn count(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        let Anchor { at, fires } = self.anchor;
        let of_anchor = u64::from(fires && after < at && at <= until);
        of_anchor + count_multiples(&self.periods, elapsed_seconds(after, at), elapsed_seconds(until, at))
    }

    /// Whether an instant of a whole second is one of theirs.
    pub(super) fn contains(&self, second: DateTime<Utc>) -> bool {
        let Anchor { at, fires } = self.anchor;
        let is_multiple = || self.periods.iter().any(|period| elapsed_seconds(second, at) % period == 0);
        self.meet_whole_seconds() && ((fires && second == at) || (second > at && is_multiple()))
    }

    /// The seconds in which the instants of (`after`, `until`] may lie, the first and the last one.
    pub(super) fn seconds_of(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        let fraction = TimeDelta::nanoseconds(i64::from(self.anchor.at.timestamp_subsec_nanos()));
        // An instant is a whole second and the anchor's fraction, so it lies in the range if the second does in this one.
        let whole = |end: DateTime<Utc>| end.checked_sub_signed(fraction).unwrap_or(end);
        (whole(after).trunc_subsecs(0) + TimeDelta::seconds(1), whole(until).trunc_subsecs(0))
    }

    /// In how many of so many whole seconds from `first` on an instant lies.
    pub(super) fn count_seconds(&self, first: DateTime<Utc>, count: i64) -> u64 {
        let before = first.signed_duration_since(self.anchor.at.trunc_subsecs(0)).num_seconds();
        let of_anchor = u64::from(self.anchor.fires && (0..count).contains(&-before));
        of_anchor + count_multiples(&self.periods, (before - 1).max(0), (before + count - 1).max(0))
    }

    /// Those of so many whole seconds from `first` on that are instants, numbered from 0: each once, in no order.
    pub(super) fn shared_seconds(&self, first: DateTime<Utc>, count: i64) -> impl Iterator<Item = i64> + '_ {
        let count = if self.meet_whole_seconds() { count } else { 0 };
        self.seconds(first, count)
    }

    /// The same for the seconds in which an instant lies, be it at a fraction of it.
    pub(super) fn seconds(&self, first: DateTime<Utc>, count: i64) -> impl Iterator<Item = i64> + '_ {
        let before = first.signed_duration_since(self.anchor.at.trunc_subsecs(0)).num_seconds();
        let of_anchor = (self.anchor.fires && (0..count).contains(&-before)).then_some(-before);
        let (after, until) = ((before - 1).max(0), (before + count - 1).max(0));
        let multiples = self.periods.iter().enumerate().flat_map(move |(nth, period)| {
            let multiples = (after / period + 1..=until / period).map(move |times| times * period);
            let earlier = self.periods.iter().take(nth);
            let is_new = move |multiple: &i64| earlier.clone().all(|earlier| multiple % earlier != 0);
            multiples.filter(is_new).map(move |multiple| multiple - before)
        });
        of_anchor.into_iter().chain(multiples)
    }

    /// With a fraction of a second in the anchor they never do.
    fn meet_whole_seconds(&self) -> bool {
        self.anchor.at.timestamp_subsec_nanos() == 0
    }
}

/// How many numbers of (`after`, `until`] are multiples of one of the periods.
fn count_multiples(periods: &[i64], after: i64, until: i64) -> u64 {
    let mut count = 0;
    for (nth, period) in periods.iter().enumerate() {
        let both = periods.iter().take(nth).filter_map(|earlier| common_multiple(*earlier, *period));
        let both = without_multiples(both.filter(|both| *both <= until).collect());
        count += (until / period - after / period).unsigned_abs() - count_multiples(&both, after, until);
    }
    count
}

/// None where it is too large to be counted; then no range reaches it.
fn common_multiple(one: i64, other: i64) -> Option<i64> {
    let (mut divisor, mut rest) = (one, other);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    one.checked_div(divisor)?.checked_mul(other)
}

/// The numbers that are multiples of no other; they have the same multiples.
fn without_multiples(mut numbers: Vec<i64>) -> Vec<i64> {
    numbers.sort_unstable();
    let mut kept: Vec<i64> = Vec::new();
    for number in numbers {
        if kept.iter().all(|smaller| number % smaller != 0) {
            kept.push(number);
        }
    }
    kept
}
