//! Several rates counted from one anchor: how many instants they name together, each once.
//!
//! Their instants are multiples of their periods, so this is arithmetic: the multiples of one period, less those that are
//! multiples of an earlier one as well, which are multiples of the two periods' least common multiple.

use super::interval::elapsed_seconds;
use chrono::{DateTime, Utc};

pub(super) struct Rates {
    anchor: DateTime<Utc>,
    /// In seconds; none is a multiple of another.
    periods: Vec<i64>,
}

impl Rates {
    pub(super) fn new(anchor: DateTime<Utc>, periods: Vec<i64>) -> Rates {
        Rates { anchor, periods: without_multiples(periods) }
    }

    /// How many instants lie in (`after`, `until`].
    pub(super) fn count(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        count_multiples(&self.periods, elapsed_seconds(after, self.anchor), elapsed_seconds(until, self.anchor))
    }

    /// Whether an instant of a whole second is one of theirs.
    pub(super) fn contains(&self, second: DateTime<Utc>) -> bool {
        self.meet_whole_seconds()
            && second > self.anchor
            && self.periods.iter().any(|period| elapsed_seconds(second, self.anchor) % period == 0)
    }

    /// Those of so many whole seconds from `first` on that are instants, numbered from 0: each once, in no order.
    pub(super) fn seconds(&self, first: DateTime<Utc>, count: i64) -> impl Iterator<Item = i64> + '_ {
        let periods = if self.meet_whole_seconds() { self.periods.as_slice() } else { &[] };
        let before = first.signed_duration_since(self.anchor).num_seconds();
        let (after, until) = ((before - 1).max(0), (before + count - 1).max(0));
        periods.iter().enumerate().flat_map(move |(nth, period)| {
            let multiples = (after / period + 1..=until / period).map(move |times| times * period);
            let earlier = periods.iter().take(nth);
            let is_new = move |multiple: &i64| earlier.clone().all(|earlier| multiple % earlier != 0);
            multiples.filter(is_new).map(move |multiple| multiple - before)
        })
    }

    /// With a fraction of a second in the anchor they never do.
    fn meet_whole_seconds(&self) -> bool {
        self.anchor.timestamp_subsec_nanos() == 0
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
