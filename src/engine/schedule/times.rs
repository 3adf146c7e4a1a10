//! Times of one day, as a set that can be counted: what a calendar names on each of its days, or several of them together.

use super::calendar::Fields;
use std::ops::RangeInclusive;

const MINUTES: usize = 24 * 60;
const WHOLE_MINUTE: u64 = (1 << 60) - 1;

/// A set of seconds of a day: a word for each minute, a bit for each second of it.
#[derive(Debug, Clone)]
pub(super) struct Times {
    minutes: Vec<u64>,
    count: u64,
}

impl Times {
    /// What the fields name, or with `whole_minutes` every second of the minutes that they name.
    pub(super) fn of(fields: &Fields, whole_minutes: bool) -> Times {
        let named = fields.seconds.iter().fold(0, |word, second| word | bit(second));
        let word = if whole_minutes { WHOLE_MINUTE } else { named };
        let mut minutes = vec![0; MINUTES];
        for (hour, minute) in
            fields.hours.iter().flat_map(|hour| fields.minutes.iter().map(move |minute| (hour, minute)))
        {
            if let Some(named) = usize::try_from(hour * 60 + minute).ok().and_then(|nth| minutes.get_mut(nth)) {
                *named = word;
            }
        }
        Times::counted(minutes)
    }

    pub(super) fn none() -> Times {
        Times::counted(vec![0; MINUTES])
    }

    /// A single one.
    pub(super) fn one(second_of_day: u32) -> Times {
        let mut minutes = vec![0; MINUTES];
        if let Some(named) = usize::try_from(second_of_day / 60).ok().and_then(|nth| minutes.get_mut(nth)) {
            *named = bit(second_of_day % 60);
        }
        Times::counted(minutes)
    }

    /// These but for the others.
    pub(super) fn without(&self, other: &Times) -> Times {
        Times::counted(self.minutes.iter().zip(&other.minutes).map(|(one, other)| one & !other).collect())
    }

    /// The times of either.
    pub(super) fn with(&self, other: &Times) -> Times {
        Times::counted(self.minutes.iter().zip(&other.minutes).map(|(one, other)| one | other).collect())
    }

    fn counted(minutes: Vec<u64>) -> Times {
        let count = minutes.iter().map(|word| u64::from(word.count_ones())).sum();
        Times { minutes, count }
    }

    pub(super) fn is_whole_day(&self) -> bool {
        self.count == 86_400
    }

    pub(super) fn contains(&self, second_of_day: u32) -> bool {
        self.word(second_of_day / 60) & bit(second_of_day % 60) != 0
    }

    /// How many there are from one second of the day to another.
    pub(super) fn count(&self, seconds_of_day: RangeInclusive<u32>) -> u64 {
        let (from, to) = seconds_of_day.into_inner();
        if (from, to) == (0, 86_399) {
            return self.count;
        }
        let part = |minute: u32| {
            let (first, last) = (from.max(minute * 60) % 60, to.min(minute * 60 + 59) % 60);
            let wanted = (bit(last + 1) - 1) & !(bit(first) - 1);
            u64::from((self.word(minute) & wanted).count_ones())
        };
        (from / 60..=to / 60).map(part).sum()
    }

    fn word(&self, minute: u32) -> u64 {
        usize::try_from(minute).ok().and_then(|minute| self.minutes.get(minute)).copied().unwrap_or_default()
    }
}

fn bit(nth: u32) -> u64 {
    1 << nth
}
