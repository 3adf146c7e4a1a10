//! Looks at values that are secrets, or that name a file which holds one.

use std::path::PathBuf;

use toml::de::DeValue;

use super::Value;
use crate::config::report::Place;

impl<'v> Value<'v> {
    /// A string that is a secret, with something in it; of anything else nothing is quoted.
    pub(in crate::config) fn secret(&self) -> Option<&'v str> {
        let Some(text) = self.node.as_str() else { return self.expected("a string", None) };
        if text.trim().is_empty() { self.refuse("bad-value", "is empty") } else { Some(text) }
    }

    /// Lets nobody see what stands here, but for the values of these keys of a table.
    pub(in crate::config) fn conceal(&self, but: &[&str]) {
        match self.node {
            DeValue::Table(entries) => {
                for (key, node) in entries.iter().filter(|(key, _)| !but.contains(&key.get_ref().as_ref())) {
                    // A header with its value in the place of its name.
                    if !is_bare(key.get_ref()) {
                        self.report().conceal(Place::new(self.origin.source, key.span()), Some(key.get_ref()));
                    }
                    let place = Place::new(self.origin.source, node.span());
                    Value { place, node: node.get_ref(), ..*self }.conceal(&[]);
                }
            }
            DeValue::Array(items) => {
                for node in items.iter() {
                    let place = Place::new(self.origin.source, node.span());
                    Value { place, node: node.get_ref(), ..*self }.conceal(but);
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => self.report().conceal(self.place, self.node.as_str()),
        }
    }

    /// The path of a file that is named here.
    pub(in crate::config) fn path_of_file(&self) -> Option<PathBuf> {
        Some(self.origin.folder.join(self.string()?))
    }
}

/// Whether a key is as TOML takes it without quotes.
fn is_bare(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}
