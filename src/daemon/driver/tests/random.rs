//! Everything random in a history, from its one seed.

use chrono::TimeDelta;

/// Xorshift: enough to vary histories, and the same on every machine.
#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        // The first numbers of a small seed are small.
        for _ in 0..8 {
            random.below(2);
        }
        random
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    pub(super) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(super) fn milliseconds(&mut self, from: u64, to: u64) -> TimeDelta {
        TimeDelta::milliseconds(i64::try_from(from + self.below(to - from)).unwrap())
    }

    pub(super) fn seconds(&mut self, from: u64, to: u64) -> TimeDelta {
        TimeDelta::seconds(i64::try_from(from + self.below(to - from)).unwrap())
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}
