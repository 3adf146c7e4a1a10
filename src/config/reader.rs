//! A cursor over the tree of one file: typed looks at keys that put down what is not as expected.
//!
//! Each look names a key, so a [`Table`] knows in the end which keys it accepts, and every other key is reported with that
//! list and the nearest of its names; no second list has to be kept. A reader is a function from a [`Value`] to an option:
//! `None` means "wrong, and already reported". Readers of lists and tables read on after a wrong item.

mod secrets;

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::conceal;
pub(super) use super::field::{At, Field};
use super::report::{Note, Place, Report, one_of, shown};

/// The longest duration that is accepted, 366 days as in the Amazon States Language.
const DURATION_MAX: Duration = Duration::from_secs(31_622_400);

/// Where the tree came from and where mistakes go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'r> {
    pub(super) report: &'r Report,
    pub(super) source: u32,
    pub(super) text: &'r str,
    /// From which relative paths are meant: the folder of the main file.
    pub(super) folder: &'r Path,
}

/// A table, and which of its keys have been looked at.
#[derive(Debug)]
pub(super) struct Table<'r> {
    origin: Origin<'r>,
    entries: &'r DeTable<'r>,
    /// Its header or its braces.
    pub(super) place: Place,
    /// Its dotted name, empty for the whole file.
    pub(super) path: String,
    accepted: RefCell<Vec<&'static str>>,
    passed: RefCell<Vec<&'static str>>,
}

impl<'r> Table<'r> {
    /// The table of a whole file.
    pub(super) fn whole(origin: Origin<'r>, entries: &'r DeTable<'r>) -> Table<'r> {
        let place = Place::new(origin.source, 0..0);
        Table { origin, entries, place, path: String::new(), accepted: RefCell::default(), passed: RefCell::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Looks at a key.
    pub(super) fn get<T>(&self, key: &'static str, read: impl FnOnce(&Value<'_>) -> Option<T>) -> Field<T> {
        self.accepted.borrow_mut().push(key);
        let Some(node) = self.entries.get(key) else { return Field::Absent };
        let value = self.value(key, Place::new(self.origin.source, node.span()), node.get_ref());
        match read(&value) {
            Some(read) => Field::Is(At { value: read, place: value.place }),
            None => Field::Wrong,
        }
    }

    /// Looks at a key without which the table makes no sense.
    pub(super) fn required<T>(&self, key: &'static str, read: impl FnOnce(&Value<'_>) -> Option<T>) -> Option<T> {
        let field = self.get(key, read);
        if field.is_absent() {
            self.missing(key);
        }
        field.optional().flatten()
    }

    /// Reports that a key is not there.
    pub(super) fn missing(&self, key: &str) {
        let message = format!("{}: {key} is missing", self.path);
        self.report().add_absence(Note::error("missing-key", self.place, message));
    }

    /// All entries of a table whose keys are names: the place of the name, the name, the value.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Place, &'r str, Value<'_>)> {
        self.entries.iter().map(|(key, node)| {
            let place = Place::new(self.origin.source, node.span());
            let key_place = Place::new(self.origin.source, key.span());
            (key_place, key.get_ref().as_ref(), self.value(key.get_ref(), place, node.get_ref()))
        })
    }

    /// The place of a key, not of its value.
    pub(super) fn place_of(&self, key: &str) -> Option<Place> {
        self.entries.get_key_value(key).map(|(key, _)| Place::new(self.origin.source, key.span()))
    }

    pub(super) fn report(&self) -> &'r Report {
        self.origin.report
    }

    fn value<'v>(&'v self, key: &'v str, place: Place, node: &'v DeValue<'v>) -> Value<'v> {
        Value { origin: self.origin, table: &self.path, key, index: None, place, node }
    }

    /// Passes over keys that somebody else has judged.
    pub(super) fn accept(&self, keys: &[&'static str]) {
        self.passed.borrow_mut().extend(keys);
    }

    /// Reports every key that nobody looked at.
    pub(super) fn refuse_others(&self) {
        let (accepted, passed) = (self.accepted.borrow(), self.passed.borrow());
        // Under a header that is no TOML, keys seem to be those of the whole file.
        let is_astray = self.path.is_empty() && self.report().is_broken(self.origin.source);
        for (key, value) in self.entries {
            let name = key.get_ref().as_ref();
            if accepted.contains(&name) || passed.contains(&name) || (is_astray && !value.get_ref().is_table()) {
                continue;
            }
            let is_harmless = value.get_ref().as_str().is_none_or(|text| !text.contains("://"));
            if conceal::is_telling(name) || !is_harmless || value.get_ref().is_table() || value.get_ref().is_array() {
                // It may be a channel, or a key of one, that is misspelt or in the wrong place.
                self.value(name, Place::new(self.origin.source, value.span()), value.get_ref()).conceal(&[]);
            }
            let mut message = match self.path.as_str() {
                "" => format!("unknown key `{}`", shown(name)),
                path => format!("{path}: unknown key `{}`", shown(name)),
            };
            if let Some(meant) = self.report().suggest(name, accepted.iter().copied()) {
                message.push_str(&format!(", did you mean `{meant}`?"));
            }
            let place = Place::new(self.origin.source, key.span());
            let help = format!("accepted here: {}", accepted.join(", "));
            self.report().add(Note::error("unknown-key", place, message).help(help));
        }
    }
}

/// One value, with the name that a person knows it by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'v> {
    origin: Origin<'v>,
    table: &'v str,
    key: &'v str,
    index: Option<usize>,
    /// Its bytes; for a table with a header, the header.
    pub(super) place: Place,
    node: &'v DeValue<'v>,
}

impl<'v> Value<'v> {
    /// Its dotted name.
    pub(super) fn path(&self) -> String {
        let dot = if self.table.is_empty() { "" } else { "." };
        let index = self.index.map(|index| format!("[{index}]")).unwrap_or_default();
        format!("{}{dot}{}{index}", self.table, shown(self.key))
    }

    pub(super) fn report(&self) -> &'v Report {
        self.origin.report
    }

    /// Reports a mistake in it. Returns `None`, so that a reader can end with it.
    pub(super) fn refuse<T>(&self, code: &'static str, message: impl AsRef<str>) -> Option<T> {
        self.refuse_with_help(code, message, None)
    }

    /// As `refuse`, with more below the line.
    pub(super) fn refuse_with_help<T>(
        &self,
        code: &'static str,
        message: impl AsRef<str>,
        help: Option<String>,
    ) -> Option<T> {
        let message = format!("{}: {}", self.path(), message.as_ref());
        self.report().add(Note::error(code, self.place, message).help(help));
        None
    }

    /// Reports a doubt about it, and what to do.
    pub(super) fn warn(&self, code: &'static str, message: impl AsRef<str>, help: String) {
        let message = format!("{}: {}", self.path(), message.as_ref());
        self.report().add(Note::warning(code, self.place, message).help(help));
    }

    fn expected<T>(&self, what: &str, help: Option<String>) -> Option<T> {
        let found = match self.node {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.refuse_with_help("wrong-type", format!("expected {what}, found {found}"), help)
    }

    /// The text as it stands in the file.
    fn raw(&self) -> &'v str {
        self.origin.text.get(self.place.span()).unwrap_or_default()
    }

    /// Some bytes of a string; all of it if it holds escapes, because then they cannot be told.
    pub(super) fn part(&self, span: std::ops::Range<usize>) -> Place {
        let raw = self.raw();
        let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        if self.node.as_str() == Some(inner) && span.end <= inner.len() && !span.is_empty() {
            let start = self.place.start as usize + 1;
            Place::new(self.place.source, start + span.start..start + span.end)
        } else {
            self.place
        }
    }

    /// Any string.
    pub(super) fn text(&self) -> Option<&'v str> {
        let help = || match self.node {
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                Some(format!("write \"{}\"", shown(self.raw())))
            }
            DeValue::String(_) | DeValue::Array(_) | DeValue::Table(_) => None,
        };
        self.node.as_str().or_else(|| self.expected("a string", help()))
    }

    /// Any string, or a date or time of TOML's as text.
    pub(super) fn text_or_date(&self) -> Option<String> {
        match self.node {
            DeValue::Datetime(date) => Some(date.to_string()),
            _ => self.text().map(str::to_owned),
        }
    }

    /// A string with something in it.
    pub(super) fn string(&self) -> Option<String> {
        let text = self.text()?;
        if text.trim().is_empty() { self.refuse("bad-value", "is empty") } else { Some(text.to_owned()) }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        self.node.as_bool().or_else(|| self.expected("true or false", None))
    }

    /// A whole number within limits.
    pub(super) fn integer<N: TryFrom<i64>>(&self, limits: RangeInclusive<i64>) -> Option<N> {
        let DeValue::Integer(written) = self.node else { return self.expected("an integer", None) };
        let number = i64::from_str_radix(written.as_str(), written.radix()).ok();
        let number = number.filter(|number| limits.contains(number)).and_then(|number| N::try_from(number).ok());
        number.or_else(|| {
            let (least, most) = limits.into_inner();
            self.refuse("bad-value", format!("{} is not in {least} to {most}", shown(self.raw())))
        })
    }

    /// A number with or without a fraction; `nan` and `inf` are the caller's to refuse.
    pub(super) fn number(&self) -> Option<f64> {
        let number = match self.node {
            DeValue::Integer(written) if written.radix() == 10 => written.as_str().parse().ok(),
            DeValue::Float(written) => written.as_str().parse().ok(),
            DeValue::Integer(_)
            | DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        };
        number.or_else(|| self.expected("a number", None))
    }

    /// A duration such as `"15m"`, longer than nothing.
    pub(super) fn duration(&self) -> Option<Duration> {
        match self.duration_or_zero()? {
            Duration::ZERO => self.refuse("bad-value", "is zero; leave the key out if there is no limit"),
            duration => Some(duration),
        }
    }

    /// The same where "0s" has a meaning.
    pub(super) fn duration_or_zero(&self) -> Option<Duration> {
        self.duration_within(DURATION_MAX, "366 days")
    }

    /// The same up to another limit, which is told in these words.
    pub(super) fn duration_within(&self, most: Duration, in_words: &str) -> Option<Duration> {
        const WHAT: &str = "a duration such as \"90s\", \"15m\" or \"1h 30m\"";
        if let DeValue::Integer(written) = self.node {
            let message = format!("expected {WHAT}, found an integer: write \"{}s\"", shown(written.as_str()));
            return self.refuse("wrong-type", message);
        }
        let Some(text) = self.node.as_str() else { return self.expected(WHAT, None) };
        match humantime::parse_duration(text) {
            Err(_) => self.refuse("bad-value", format!("expected {WHAT}, found \"{}\"", shown(text))),
            Ok(duration) if duration > most => self.refuse("bad-value", format!("is longer than {in_words}")),
            Ok(duration) => Some(duration),
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Clone>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(meaning.clone());
        }
        let names = || words.iter().map(|(word, _)| *word);
        let mut message = format!("expected {}, found \"{}\"", one_of(names()), shown(text));
        if let Some(meant) = self.report().suggest(text, names()) {
            message.push_str(&format!("; did you mean \"{meant}\"?"));
        }
        self.refuse("bad-value", message)
    }

    /// The items of a list, read one by one.
    pub(super) fn list<T>(&self, read: impl Fn(&Value<'_>) -> Option<T>) -> Option<Vec<T>> {
        let items = match self.node {
            DeValue::Array(items) => items,
            DeValue::Table(_) => return self.expected("a list of tables", Some(format!("write [[{}]]", self.path()))),
            DeValue::String(_) => return self.expected("a list", Some(format!("write [{}]", shown(self.raw())))),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
                return self.expected("a list", None);
            }
        };
        // Of its size from the start: a list that grows takes room for four.
        let mut read_all = Some(Vec::with_capacity(items.len()));
        for (index, node) in items.iter().enumerate() {
            let place = Place::new(self.origin.source, node.span());
            let item = read(&Value { index: Some(index), place, node: node.get_ref(), ..*self });
            read_all = read_all.zip(item).map(|(mut all, item)| {
                all.push(item);
                all
            });
        }
        read_all
    }

    /// A list of strings.
    pub(super) fn strings(&self) -> Option<Vec<String>> {
        self.list(|item| item.text().map(str::to_owned))
    }

    /// Whether it is a list; for keys that take one thing or a list of it.
    pub(super) fn is_list(&self) -> bool {
        self.node.is_array()
    }

    /// Whether it is a string; for keys that take a word or a table.
    pub(super) fn is_text(&self) -> bool {
        self.node.is_str()
    }

    /// A table with known keys; others are refused.
    pub(super) fn table<T>(&self, read: impl FnOnce(&Table<'_>) -> Option<T>) -> Option<T> {
        self.names(|table| {
            let value = read(table);
            table.refuse_others();
            value
        })
    }

    /// A table whose keys are names.
    pub(super) fn names<T>(&self, read: impl FnOnce(&Table<'_>) -> Option<T>) -> Option<T> {
        let DeValue::Table(entries) = self.node else { return self.expected("a table", None) };
        read(&Table {
            origin: self.origin,
            entries,
            place: self.place,
            path: self.path(),
            accepted: RefCell::default(),
            passed: RefCell::default(),
        })
    }
}
