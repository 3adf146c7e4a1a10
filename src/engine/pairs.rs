//! Names with one value each, such as environment variables, sorted by name.
//!
//! A job has a few of them, and there may be a hundred thousand jobs: a `BTreeMap` of strings takes half a KiB for the first
//! pair, this takes what the pairs need. It is stored as such a map is.

use std::collections::BTreeMap;
use std::ops::Index;

use serde::{Deserialize, Serialize, Serializer};

/// Names with their values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "BTreeMap<String, String>")]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&String> {
        let at = self.find(name).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// Gives a name its value, in the place of the one that it had.
    pub fn insert(&mut self, name: String, value: String) {
        match self.find(&name) {
            Ok(at) => drop(self.0.get_mut(at).map(|(_, old)| std::mem::replace(old, value))),
            Err(at) => self.0.insert(at, (name, value)),
        }
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(name))
    }
}

impl From<BTreeMap<String, String>> for Pairs {
    fn from(sorted: BTreeMap<String, String>) -> Pairs {
        Pairs(sorted.into_iter().collect())
    }
}

impl<const N: usize> From<[(String, String); N]> for Pairs {
    fn from(pairs: [(String, String); N]) -> Pairs {
        Pairs::from(BTreeMap::from(pairs))
    }
}

impl FromIterator<(String, String)> for Pairs {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Pairs {
        Pairs::from(pairs.into_iter().collect::<BTreeMap<_, _>>())
    }
}

impl Extend<(String, String)> for Pairs {
    fn extend<I: IntoIterator<Item = (String, String)>>(&mut self, pairs: I) {
        pairs.into_iter().for_each(|(name, value)| self.insert(name, value));
    }
}

impl IntoIterator for Pairs {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<(String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Index<&str> for Pairs {
    type Output = String;

    /// # Panics
    /// There is no such name.
    fn index(&self, name: &str) -> &String {
        self.get(name).expect("the name is there")
    }
}

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_a_map_that_is_stored_as_one(pairs in proptest::collection::vec(("[a-c]{0,2}", "[a-z]{0,3}"), 0..12)) {
            let map: BTreeMap<String, String> = pairs.iter().cloned().collect();
            let mut one_by_one = Pairs::default();
            one_by_one.extend(pairs.clone());
            prop_assert_eq!(&one_by_one, &Pairs::from(map.clone()));
            prop_assert_eq!(&one_by_one, &pairs.into_iter().collect::<Pairs>());
            prop_assert!(one_by_one.iter().eq(map.iter()));
            prop_assert_eq!(one_by_one.is_empty(), map.is_empty());
            for name in ["", "a", "ab", "z"] {
                prop_assert_eq!(one_by_one.get(name), map.get(name));
            }
            let stored = serde_json::to_string(&map).unwrap();
            prop_assert_eq!(&serde_json::to_string(&one_by_one).unwrap(), &stored);
            prop_assert_eq!(serde_json::from_str::<Pairs>(&stored).unwrap(), one_by_one);
        }
    }
}
