//! TOML text to a tree with places, and every syntax mistake on the way.
//!
//! The parser of `toml` recovers, so one missing quote does not hide the rest. Two things are done around it. A text of
//! garbage makes a mistake of nearly every byte, so only texts of a moderate size are parsed for all their mistakes and
//! only some are listed. And a duplicate is reported with both its places, which the parser knows and does not tell:
//! the first one is found again in the tree, or for a table header in an index of the header lines.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::report::{Level, Note, Place, Report, shown};

/// Up to this size a text is searched for all its mistakes; above, for the first.
const RECOVER_MAX: usize = 1 << 20;
/// How many syntax mistakes of one file are listed.
const LISTED_MAX: usize = 200;
/// How the parser says that a key is there twice.
const DUPLICATE: &str = "duplicate key";

/// Parses a text; the tree is what could be understood.
pub(super) fn parse<'t>(text: &'t str, source: u32, report: &Report) -> DeTable<'t> {
    let first = match DeTable::parse(text) {
        Ok(tree) => return tree.into_inner(),
        Err(first) => first,
    };
    let headers = Headers::of(text);
    if text.len() > RECOVER_MAX {
        report.set_broken(source);
        let help = "of a file over 1 MiB only the first syntax mistake is listed";
        let note = note(&first, text, source, &DeTable::new(), &headers, report);
        report.add(
            note.unwrap_or_else(|| Note::error("syntax", Place::new(source, 0..0), first.message()))
                .help(help.to_owned()),
        );
        return DeTable::new();
    }
    let (tree, mistakes) = DeTable::parse_recoverable(text);
    if mistakes.iter().any(|mistake| mistake.message() != DUPLICATE) {
        report.set_broken(source);
    }
    for mistake in mistakes.iter().take(LISTED_MAX) {
        note(mistake, text, source, tree.get_ref(), &headers, report).into_iter().for_each(|note| report.add(note));
    }
    if let Some(more) = mistakes.len().checked_sub(LISTED_MAX).filter(|more| *more > 0) {
        report.add(Note::on_file(
            Level::Error,
            "too-many",
            source,
            format!("the file has {more} more syntax mistakes"),
        ));
    }
    tree.into_inner()
}

/// The finding of a mistake of the parser; none if another one says it.
fn note(
    mistake: &toml::de::Error,
    text: &str,
    source: u32,
    tree: &DeTable<'_>,
    headers: &Headers,
    report: &Report,
) -> Option<Note> {
    let span = mistake.span().unwrap_or(text.len()..text.len());
    if mistake.message() == DUPLICATE {
        return duplicate(text, source, span, tree, headers, report);
    }
    Some(Note::error("syntax", Place::new(source, span), mistake.message()))
}

/// The finding of a key that is there twice; none if its whole table is, because then that is the finding.
fn duplicate(
    text: &str,
    source: u32,
    span: Range<usize>,
    tree: &DeTable<'_>,
    headers: &Headers,
    report: &Report,
) -> Option<Note> {
    let key = text.get(span.clone()).unwrap_or_default();
    let (path, first) = match headers.at(span.start) {
        Some(header) if header.key == span => (Some(header.path.clone()), headers.first(&header.path)),
        Some(header) if headers.first(&header.path).is_some_and(|first| first.start < header.key.start) => return None,
        Some(header) => (None, first_key(tree, &header.path, span.clone(), key)),
        None => (None, first_key(tree, &[], span.clone(), key)),
    };
    let first = first.filter(|first| first.start < span.start).map(|first| Place::new(source, first));
    // Only the first of two values is in the tree, where a secret is known by its key.
    let line_end = text.get(span.end..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| span.end + length);
    report.conceal(Place::new(source, span.end..line_end), None);
    let place = Place::new(source, span);
    let note = match path.as_deref() {
        Some([table, name]) if table == "jobs" => {
            Note::error("duplicate-job", place, format!("the job `{}` is defined twice", shown(name)))
        }
        Some(path) => Note::error("duplicate-key", place, format!("[{}] is there twice", shown(&path.join(".")))),
        None => Note::error("duplicate-key", place, format!("the key `{}` is there twice", shown(key))),
    };
    Some(note.also(first, "first defined here"))
}

/// The first place of a key whose second is known, in the table of a header or in an inline table within.
fn first_key(tree: &DeTable<'_>, path: &[String], second: Range<usize>, key: &str) -> Option<Range<usize>> {
    let name = DeTable::parse(key_alone(key).as_str())
        .ok()
        .and_then(|one| one.get_ref().keys().next().map(|key| key.get_ref().to_string()))?;
    let mut table = tree;
    for step in path {
        table = match table.get(step.as_str())?.get_ref() {
            DeValue::Table(table) => table,
            DeValue::Array(tables) => {
                let current = tables.iter().rev().find(|item| item.span().start <= second.start)?;
                current.get_ref().as_table()?
            }
            _ => return None,
        };
    }
    loop {
        let first = table.get_key_value(name.as_str()).map(|(first, _)| first.span());
        if first.as_ref().is_some_and(|first| first.start < second.start) {
            return first;
        }
        table = table.values().find_map(|value| inline_around(value, second.start))?;
    }
}

/// The inline table, directly here or in a list, that a byte is in.
fn inline_around<'t>(value: &'t toml::Spanned<DeValue<'t>>, byte: usize) -> Option<&'t DeTable<'t>> {
    if !value.span().contains(&byte) {
        return None;
    }
    match value.get_ref() {
        DeValue::Table(table) => Some(table),
        DeValue::Array(items) => items.iter().find_map(|item| inline_around(item, byte)),
        _ => None,
    }
}

fn key_alone(key: &str) -> String {
    format!("{key} = 0")
}

/// A line that opens a table.
#[derive(Debug)]
struct Header {
    /// The bytes of the last part of its name.
    key: Range<usize>,
    /// All parts of its name.
    path: Vec<String>,
    is_list: bool,
}

/// All header lines of a text, found by their shape. A line within a multi-line string can look like one; what is lost
/// then is the second place of a finding.
#[derive(Debug)]
struct Headers {
    in_order: Vec<Header>,
    first: BTreeMap<Vec<String>, Range<usize>>,
}

impl Headers {
    fn of(text: &str) -> Headers {
        let mut headers = Headers { in_order: Vec::new(), first: BTreeMap::new() };
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            if let Some(header) = header(line, start) {
                if !header.is_list {
                    headers.first.entry(header.path.clone()).or_insert_with(|| header.key.clone());
                }
                headers.in_order.push(header);
            }
            start += line.len();
        }
        headers
    }

    /// The header that a byte stands under, or in.
    fn at(&self, byte: usize) -> Option<&Header> {
        let after = self.in_order.partition_point(|header| header.key.start <= byte);
        after.checked_sub(1).and_then(|index| self.in_order.get(index))
    }

    fn first(&self, path: &[String]) -> Option<Range<usize>> {
        self.first.get(path).cloned()
    }
}

fn header(line: &str, start: usize) -> Option<Header> {
    if !line.trim_start().starts_with('[') {
        return None;
    }
    let tree = DeTable::parse(line).ok()?.into_inner();
    let (mut table, mut path, mut key, mut is_list) = (&tree, Vec::new(), 0..0, false);
    while let Some((name, value)) = table.iter().next() {
        path.push(name.get_ref().to_string());
        key = start + name.span().start..start + name.span().end;
        let (inner, listed) = match value.get_ref() {
            DeValue::Table(inner) => (Some(inner), false),
            DeValue::Array(items) => (items.iter().next().and_then(|item| item.get_ref().as_table()), true),
            _ => return None,
        };
        is_list = listed;
        table = inner?;
    }
    (!path.is_empty()).then_some(Header { key, path, is_list })
}
