//! What a file says about a key: nothing, something wrong, or a value with its place.

use super::report::Place;

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// What a file says about a key.
#[derive(Debug, Clone)]
pub(super) enum Field<T> {
    /// Nothing.
    Absent,
    /// Something that is wrong and reported. No default takes its place, and nobody complains again.
    Wrong,
    /// A valid value.
    Is(At<T>),
}

impl<T> Field<T> {
    /// This, or what is inherited.
    pub(super) fn or(self, inherited: &Field<T>) -> Field<T>
    where
        T: Clone,
    {
        match self {
            Field::Absent => inherited.clone(),
            Field::Wrong | Field::Is(_) => self,
        }
    }

    /// The value, or the default; none if it is wrong.
    pub(super) fn or_default(self, default: T) -> Option<T> {
        match self {
            Field::Absent => Some(default),
            Field::Wrong => None,
            Field::Is(at) => Some(at.value),
        }
    }

    /// The value if there is one; none if it is wrong.
    pub(super) fn optional(self) -> Option<Option<T>> {
        match self {
            Field::Absent => Some(None),
            Field::Wrong => None,
            Field::Is(at) => Some(Some(at.value)),
        }
    }

    /// Whether there is something that is wrong.
    pub(super) fn is_wrong(&self) -> bool {
        matches!(self, Field::Wrong)
    }

    /// The valid value with its place.
    pub(super) fn valid(&self) -> Option<&At<T>> {
        match self {
            Field::Absent | Field::Wrong => None,
            Field::Is(at) => Some(at),
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Field::Absent)
    }
}
