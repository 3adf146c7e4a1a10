//! Which retriers can match at all, and which of their names an earlier retrier takes.
//!
//! The rules of matching are the engine's alone: it lists every kind of failure that it reports, and each is put to the
//! retriers in their order, as in a run. A name is *taken* if earlier retriers take every failure that it matches.

use crate::engine::catalogue::{self, Kind};
use crate::engine::failure::{ErrorName, Failure};
use crate::engine::retry::matches;

use super::reader::Value;
use super::report::{Note, Place, listed, shown};
use super::retry::is_doubtful;

/// How many names a message attributes.
const NAMES_SHOWN: usize = 3;

/// The names of a retrier with their places.
pub(super) struct Names {
    /// Its place in the list, from 0.
    pub(super) index: usize,
    /// All of them.
    pub(super) place: Place,
    pub(super) names: Vec<(ErrorName, Place)>,
}

/// By whom a name is taken: each retrier before it, and the name with which it does.
type Takers<'n> = Vec<(&'n Names, &'n ErrorName)>;

/// Reports retriers and names that are never asked.
pub(super) fn warn_of_unreachable(value: &Value<'_>, retriers: &[Names]) {
    for (nth, one) in retriers.iter().enumerate() {
        let earlier = retriers.get(..nth).unwrap_or_default();
        let is_runtime = |(name, _): &(ErrorName, Place)| *name == ErrorName::RUNTIME;
        if !one.names.is_empty() && one.names.iter().all(is_runtime) {
            let message = format!("{}[{}]: can never match: no retrier takes States.Runtime", value.path(), one.index);
            let note = Note::warning("unreachable-retrier", one.place, message);
            value.report().add(note.help("remove this retrier".to_owned()));
            continue;
        }
        if earlier.is_empty() {
            continue;
        }
        let taken: Vec<(&(ErrorName, Place), Takers<'_>)> =
            one.names.iter().filter_map(|name| Some((name, takers(&name.0, earlier)?))).collect();
        let Some(((_, first_place), first_takers)) = taken.first() else { continue };
        let told: Vec<String> = taken.iter().map(|((name, _), takers)| attribution(name, takers)).collect();
        let told = match told.len().checked_sub(NAMES_SHOWN) {
            Some(more @ 1..) => {
                format!("{}, and {more} more", told.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", "))
            }
            Some(0) | None => told.join(", "),
        };
        let before = first_takers.first().map(|(taker, _)| *taker);
        let by = before.map_or(0, |taker| taker.index);
        let retrier = format!("{}[{}]", value.path(), one.index);
        let left: Vec<&str> = one
            .names
            .iter()
            .filter(|name| !taken.iter().any(|(taken, _)| taken.0 == name.0))
            .map(|(name, _)| name.as_str())
            .collect();
        // A wildcard of all must stay last, and one of two equal names is left over in any order.
        let is_left_over = taken
            .iter()
            .any(|((name, _), takers)| *name == ErrorName::ALL || takers.iter().any(|(_, with)| *with == name));
        let advice = |what: &str| {
            let order = format!("put retry[{}] before retry[{by}], or ", one.index);
            let order = if is_left_over { "" } else { order.as_str() };
            format!("the first retrier that matches decides: {order}remove {what}")
        };
        let note = if left.is_empty() {
            Note::warning("unreachable-retrier", one.place, format!("{retrier}: can never match: {told}"))
                .help(advice("it"))
        } else {
            let left = listed(left.into_iter().take(NAMES_SHOWN), "and");
            Note::warning("shadowed-error-name", *first_place, format!("{retrier}: is only for {left}: {told}"))
                .help(advice("these names"))
        };
        value.report().add(note.also(before.map(|taker| taker.place), "taken here"));
    }
}

/// `"X" is taken by retry[0] ("Y")`.
fn attribution(name: &ErrorName, takers: &Takers<'_>) -> String {
    let by: Vec<String> = takers
        .iter()
        .map(|(taker, with)| {
            let with = if *with == name { String::new() } else { format!(" (\"{}\")", shown(with.as_str())) };
            format!("retry[{}]{with}", taker.index)
        })
        .collect();
    format!("\"{}\" is taken by {}", shown(name.as_str()), by.join(" and "))
}

/// None if some failure of this name gets past the retriers before it.
fn takers<'n>(name: &ErrorName, earlier: &'n [Names]) -> Option<Takers<'n>> {
    if is_doubtful(name.as_str()) {
        // It is reported for itself.
        return None;
    }
    let mut takers: Takers<'n> = Vec::new();
    let mut is_reported = false;
    let own: Vec<Kind>;
    let known = catalogue::kinds();
    let kinds = if known.iter().any(|kind| matches(name, &kind.failure)) {
        known
    } else {
        own = catalogue::of_name(name);
        &own
    };
    for kind in kinds.iter().filter(|kind| matches(name, &kind.failure)) {
        is_reported = true;
        let taker = first_taker(&kind.failure, earlier)?;
        if !takers.iter().any(|(known, _)| known.index == taker.0.index) {
            takers.push(taker);
        }
    }
    is_reported.then_some(takers)
}

fn first_taker<'n>(failure: &Failure, earlier: &'n [Names]) -> Option<(&'n Names, &'n ErrorName)> {
    earlier.iter().find_map(|retrier| {
        let name = retrier.names.iter().map(|(name, _)| name).find(|name| matches(name, failure))?;
        Some((retrier, name))
    })
}
