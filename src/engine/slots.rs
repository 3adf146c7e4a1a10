//! How many runs may live at once, in all and of a group: who holds a slot, and whether there is one more.
//!
//! A run takes its slot with its first launch and keeps it through its retries until it is over. One that finds none stays
//! due and waits. Limits that were lowered take nothing from anybody: the runs that live finish.

use std::collections::{BTreeMap, HashMap};

use super::run::RunId;

/// What is limited.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limited {
    /// All runs together.
    All,
    /// Those of a group.
    Group(String),
}

/// The limits, and who holds a slot.
#[derive(Debug, Clone, Default)]
pub struct Slots {
    max_running: Option<u32>,
    groups: BTreeMap<String, u32>,
    holders: HashMap<RunId, Option<String>>,
    of_group: HashMap<String, u32>,
}

impl Slots {
    /// No limits but these.
    pub fn new(max_running: Option<u32>, groups: BTreeMap<String, u32>) -> Slots {
        Slots { max_running, groups, ..Slots::default() }
    }

    /// Changes the limits; who holds a slot keeps it.
    pub fn set_limits(&mut self, max_running: Option<u32>, groups: BTreeMap<String, u32>) {
        (self.max_running, self.groups) = (max_running, groups);
    }

    /// What has no slot left for one more run of this group, if anything.
    pub fn full(&self, group: Option<&str>) -> Option<Limited> {
        if let Some(group) = group
            && self.groups.get(group).is_some_and(|max| self.of_group.get(group).copied().unwrap_or(0) >= *max)
        {
            return Some(Limited::Group(group.to_owned()));
        }
        self.max_running.is_some_and(|max| self.holders.len() >= max as usize).then_some(Limited::All)
    }

    /// Gives a run a slot, whether there is one or not.
    pub fn take(&mut self, run: &RunId, group: Option<&str>) {
        if self.holders.insert(run.clone(), group.map(str::to_owned)).is_none()
            && let Some(group) = group
        {
            *self.of_group.entry(group.to_owned()).or_insert(0) += 1;
        }
    }

    /// Takes a run's slot back, and says where one became free.
    pub fn give_back(&mut self, run: &RunId) -> Vec<Limited> {
        let Some(group) = self.holders.remove(run) else { return Vec::new() };
        let mut freed = vec![Limited::All];
        if let Some(group) = group {
            if let Some(count) = self.of_group.get_mut(&group) {
                *count -= 1;
                if *count == 0 {
                    self.of_group.remove(&group);
                }
            }
            freed.push(Limited::Group(group));
        }
        freed
    }

    /// Which rule keeps a run waiting, and behind whom.
    pub fn in_words(&self, full: &Limited) -> String {
        let in_it = |group: &Option<String>| match full {
            Limited::All => true,
            Limited::Group(name) => group.as_ref() == Some(name),
        };
        let mut names: Vec<&RunId> =
            self.holders.iter().filter(|(_, group)| in_it(group)).map(|(run, _)| run).collect();
        names.sort_unstable();
        let rule = match full {
            Limited::All => format!("max_running = {}", self.max_running.unwrap_or_default()),
            Limited::Group(name) => {
                format!("groups.{name}.max_running = {}", self.groups.get(name).copied().unwrap_or_default())
            }
        };
        match names.as_slice() {
            [] => rule,
            [only] => format!("{rule}: run {only} lives"),
            [first, rest @ ..] => format!("{rule}: run {first} and {} more live", rest.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(nth: u32) -> RunId {
        RunId::from_text(&format!("run-{nth}"))
    }

    #[test]
    fn a_group_is_full_before_all_are() {
        let mut slots = Slots::new(Some(3), BTreeMap::from([("db".to_owned(), 2)]));
        slots.take(&run(1), Some("db"));
        assert_eq!(slots.full(Some("db")), None);
        slots.take(&run(2), Some("db"));
        assert_eq!(slots.full(Some("db")), Some(Limited::Group("db".into())));
        assert_eq!(slots.full(None), None);
        assert_eq!(slots.full(Some("a group without a limit")), None);
        slots.take(&run(3), None);
        assert_eq!(slots.full(None), Some(Limited::All));
        assert_eq!(slots.in_words(&Limited::All), "max_running = 3: run run-1 and 2 more live");
    }

    #[test]
    fn a_slot_is_one_however_often_it_is_taken_and_given_back() {
        let mut slots = Slots::new(Some(1), BTreeMap::from([("db".to_owned(), 1)]));
        slots.take(&run(1), Some("db"));
        slots.take(&run(1), Some("db"));
        assert_eq!(slots.in_words(&Limited::Group("db".into())), "groups.db.max_running = 1: run run-1 lives");
        assert_eq!(slots.give_back(&run(1)), [Limited::All, Limited::Group("db".into())]);
        assert_eq!(slots.give_back(&run(1)), []);
        assert_eq!(slots.full(Some("db")), None);
    }

    #[test]
    fn lower_limits_take_nothing_from_anybody() {
        let mut slots = Slots::new(None, BTreeMap::new());
        slots.take(&run(1), None);
        slots.take(&run(2), None);
        slots.set_limits(Some(1), BTreeMap::new());
        slots.give_back(&run(1));
        assert_eq!(slots.full(None), Some(Limited::All));
        slots.give_back(&run(2));
        assert_eq!(slots.full(None), None);
    }
}
