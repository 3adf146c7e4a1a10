//! The numbers that a field names, as one word of bits: a configuration of a hundred thousand jobs holds a million of these sets.

/// A set of numbers below 64: of every field but the years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Values(u64);

impl Values {
    pub(super) const fn one(value: u32) -> Values {
        Values(1 << value)
    }

    /// All numbers from one to another; none if they are the wrong way round.
    pub(super) const fn range(from: u32, to: u32) -> Values {
        let (mut bits, mut value) = (0, from);
        while value <= to {
            bits |= 1 << value;
            value += 1;
        }
        Values(bits)
    }

    pub(super) const fn contains(self, value: u32) -> bool {
        value < u64::BITS && self.0 & (1 << value) != 0
    }

    /// The numbers in their order.
    pub(super) fn iter(self) -> impl Iterator<Item = u32> {
        (0..u64::BITS).filter(move |value| self.contains(*value))
    }

    /// Every number raised by one.
    pub(super) const fn raised(self) -> Values {
        Values(self.0 << 1)
    }
}

impl Extend<u32> for Values {
    fn extend<T: IntoIterator<Item = u32>>(&mut self, values: T) {
        for value in values {
            self.0 |= Values::one(value).0;
        }
    }
}
