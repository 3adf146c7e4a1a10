//! What the environment gave to a configuration, and what is a secret by its key, kept out of what is told of it.
//!
//! A value of the environment may be a password, and findings end in logs. So a message shows a string as it is written in the file. It is
//! told by its quotes in a finding about that very string, one around it, or a part of it; anywhere else only a value that is long enough to
//! be told from an ordinary word is.

use std::collections::BTreeMap;

use super::report::{Place, shown};

/// From how many bytes on a value is looked for wherever it may stand.
const TELLING_LENGTH: usize = 8;

/// What is told of a secret.
const CONCEALED: &str = "…";

/// All that is hidden.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    /// By the place of a string: what it and its variables became, and how that is written.
    strings: BTreeMap<Place, Vec<(String, String)>>,
    /// Values that can be told anywhere.
    values: BTreeMap<String, String>,
}

impl Hidden {
    pub(super) fn add(&mut self, place: Place, written: &str, text: &str, values: &[(&str, String)]) {
        let values = values.iter().map(|(name, value)| (value.clone(), format!("${{{name}}}")));
        let telling = values.clone().filter(|(value, _)| value.len() >= TELLING_LENGTH);
        self.values.extend(telling.map(|(value, name)| (shown(&value), name)));
        let whole = std::iter::once((shown(text), shown(written)));
        self.strings.insert(place, whole.chain(values.map(|(value, name)| (shown(&value), name))).collect());
    }

    /// A string that is a secret: no message shows any of it, whatever of it came from where.
    pub(super) fn conceal(&mut self, place: Place, text: &str) {
        let known = self.strings.remove(&place).unwrap_or_default();
        let whole = std::iter::once((shown(text), CONCEALED.to_owned()));
        self.strings.insert(place, whole.chain(known.into_iter().skip(1)).collect());
        if text.len() >= TELLING_LENGTH {
            self.values.insert(shown(text), CONCEALED.to_owned());
        }
    }

    /// A message about a place, with what is written instead of what it became.
    pub(super) fn as_written(&self, message: &str, place: Option<Place>) -> String {
        let mut message = message.to_owned();
        for (value, written) in place.into_iter().flat_map(|place| self.within(place)) {
            for quote in ['"', '`'] {
                message = message.replace(&format!("{quote}{value}{quote}"), &format!("{quote}{written}{quote}"));
            }
        }
        if let Some(place) = place {
            message = self.without_parts(message, place);
        }
        for (value, written) in &self.values {
            message = message.replace(value, written);
        }
        message
    }

    /// A mistake in a part of a string quotes that part, and it may be a part of a value.
    fn without_parts(&self, message: String, place: Place) -> String {
        let mut message = message;
        // Also of the string that the place is a part of.
        for (text, written) in self.strings_within(place).filter_map(|pairs| pairs.first()).chain(self.around(place)) {
            for quote in ['"', '`'] {
                let parts: Vec<&str> = message.split(quote).collect();
                let hidden = |nth: usize, part: &str| {
                    let is_quoted = nth % 2 == 1 && !part.is_empty();
                    is_quoted && text.contains(part) && !written.contains(part)
                };
                let told: Vec<&str> = (0..)
                    .zip(parts)
                    .map(|(nth, part)| if hidden(nth, part) { written.as_str() } else { part })
                    .collect();
                message = told.join(&quote.to_string());
            }
        }
        message
    }

    /// The string that holds a place.
    fn around(&self, place: Place) -> Option<&(String, String)> {
        let (at, pairs) = self.strings.range(..=Place { end: u32::MAX, ..place }).next_back()?;
        (at.source == place.source && at.end >= place.end).then(|| pairs.first()).flatten()
    }

    fn within(&self, place: Place) -> impl Iterator<Item = &(String, String)> {
        self.strings_within(place).flatten()
    }

    /// Of each string the whole comes first.
    fn strings_within(&self, place: Place) -> impl Iterator<Item = &Vec<(String, String)>> {
        let first = Place { end: place.start, ..place };
        let last = Place { start: place.end, end: u32::MAX, ..place };
        self.strings.range(first..=last).map(|(_, pairs)| pairs)
    }
}
