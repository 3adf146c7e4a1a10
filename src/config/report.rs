//! The report: what is wrong, where, and in which order a person should see it.
//!
//! Reading goes on after a mistake, so mistakes are not returned but put down here, behind a shared reference: a reader of
//! one value cannot forget to hand on what the reader of another one found. A [`Note`] knows bytes; lines and columns are
//! counted once, at the end, in one sweep over each text ([`locate`]), because counting from the beginning for each note
//! would be quadratic in a file of one long line.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;

use serde::Serialize;

use super::hidden::Hidden;

/// How many suggestions ("did you mean") one load works out; each compares with every candidate.
const SUGGESTIONS_MAX: usize = 1_000;
/// From which likeness on a candidate is suggested, 1 being equal.
const LIKENESS_MIN: f64 = 0.8;
/// How many characters of a text from a file a message quotes.
const QUOTED_MAX: usize = 80;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The configuration is refused.
    Error,
    /// It is accepted, and probably not what was meant.
    Warning,
}

/// One mistake or doubt. Serialises to exactly `{level, code, message, file, line, column}`.
///
/// `docs/commands.md` lists the codes; `tests/it/documented.rs` holds it to the source.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// How grave it is.
    pub level: Level,
    /// What kind it is: a stable word, for tools.
    pub code: &'static str,
    /// What is wrong and what is accepted, in one sentence.
    pub message: String,
    /// In which file, as its path was given.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The column, from 1, in characters.
    pub column: Option<usize>,
    /// The bytes of the file that it is about.
    #[serde(skip)]
    pub span: Option<Range<usize>>,
    /// More than fits the sentence: the list of what is accepted.
    #[serde(skip)]
    pub(super) help: Option<String>,
    #[serde(skip)]
    pub(super) place: Option<Spot>,
    #[serde(skip)]
    pub(super) also: Option<(Spot, &'static str)>,
}

/// A place with its line and column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    pub(super) place: Place,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A file that was read: its path and its text, without a byte order mark.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: PathBuf,
    pub(super) text: String,
}

/// Some bytes of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which source, by its index.
    pub(super) source: u32,
    /// The first byte; u32 is enough for files of 64 MiB and keeps the many places small.
    pub(super) start: u32,
    /// The byte after the last.
    pub(super) end: u32,
}

impl Place {
    pub(super) fn new(source: u32, span: Range<usize>) -> Place {
        let byte = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        Place { source, start: byte(span.start), end: byte(span.end) }
    }

    pub(super) fn span(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A finding before its line is known.
#[derive(Debug)]
pub(super) struct Note {
    level: Level,
    code: &'static str,
    message: String,
    source: u32,
    place: Option<Place>,
    help: Option<String>,
    also: Option<(Place, &'static str)>,
}

impl Note {
    pub(super) fn error(code: &'static str, place: Place, message: impl Into<String>) -> Note {
        let message = message.into();
        Note { level: Level::Error, code, message, source: place.source, place: Some(place), help: None, also: None }
    }

    pub(super) fn warning(code: &'static str, place: Place, message: impl Into<String>) -> Note {
        Note { level: Level::Warning, ..Note::error(code, place, message) }
    }

    /// About a file as a whole.
    pub(super) fn on_file(level: Level, code: &'static str, source: u32, message: impl Into<String>) -> Note {
        Note { level, code, message: message.into(), source, place: None, help: None, also: None }
    }

    pub(super) fn help(mut self, help: impl Into<Option<String>>) -> Note {
        self.help = help.into();
        self
    }

    /// A second place, with what it is.
    pub(super) fn also(mut self, place: Option<Place>, label: &'static str) -> Note {
        self.also = place.map(|place| (place, label));
        self
    }
}

/// Everything found so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    notes: RefCell<Vec<Note>>,
    broken: RefCell<BTreeSet<u32>>,
    /// Strings that could not be read to their end.
    silenced: RefCell<BTreeSet<Place>>,
    hidden: RefCell<Hidden>,
    /// Secrets that stand in a file.
    concealed: RefCell<BTreeSet<Place>>,
    suggestions: Cell<usize>,
}

impl Report {
    pub(super) fn add(&self, note: Note) {
        self.notes.borrow_mut().push(note);
    }

    /// A string in which a variable is missing: what it looks like without is no second mistake.
    pub(super) fn silence(&self, place: Place) {
        self.silenced.borrow_mut().insert(place);
    }

    /// A string with values of the environment, which may be secret: no message shows them.
    pub(super) fn hide(&self, place: Place, written: &str, text: &str, values: &[(&str, String)]) {
        self.hidden.borrow_mut().add(place, written, text, values);
    }

    /// A value that is a secret: no message tells it, and no line is drawn with it.
    pub(super) fn conceal(&self, place: Place, text: Option<&str>) {
        self.concealed.borrow_mut().insert(place);
        if let Some(text) = text {
            self.hidden.borrow_mut().conceal(place, text);
        }
    }

    /// Where secrets stand, and in which sources they can't be told from the rest.
    pub(super) fn concealed(&self) -> (BTreeSet<Place>, BTreeSet<u32>) {
        (self.concealed.borrow().clone(), self.broken.borrow().clone())
    }

    /// A source with syntax mistakes: parts of it may be missing from its tree.
    pub(super) fn set_broken(&self, source: u32) {
        self.broken.borrow_mut().insert(source);
    }

    pub(super) fn is_broken(&self, source: u32) -> bool {
        self.broken.borrow().contains(&source)
    }

    pub(super) fn is_any_broken(&self) -> bool {
        !self.broken.borrow().is_empty()
    }

    /// Puts down that a key is absent, unless it may stand in a part that could not be read: of its own file, or of the
    /// main file, whose defaults every job inherits.
    pub(super) fn add_absence(&self, absence: Note) {
        if !self.is_broken(absence.source) && !self.is_broken(0) {
            self.add(absence);
        }
    }

    /// The candidate that was probably meant.
    pub(super) fn suggest<'c>(&self, text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
        let used = self.suggestions.get();
        if used >= SUGGESTIONS_MAX || text.len() > QUOTED_MAX {
            return None;
        }
        self.suggestions.set(used + 1);
        let meant = plain(text);
        candidates
            .into_iter()
            .map(|candidate| (strsim::jaro_winkler(&meant, &plain(candidate)), candidate))
            .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
            // Likeness favours a long name with the same beginning: `url_file` over `url`.
            .map(|(likeness, candidate)| (strsim::osa_distance(&meant, &plain(candidate)), likeness, candidate))
            .min_by(|(edits, one, _), (other_edits, other, _)| edits.cmp(other_edits).then(other.total_cmp(one)))
            .map(|(_, _, candidate)| candidate)
    }

    /// All findings, errors first, then by file and place, each once.
    pub(super) fn finish(self, sources: &[Source]) -> Vec<Finding> {
        let (mut notes, silenced, hidden) =
            (self.notes.into_inner(), self.silenced.into_inner(), self.hidden.into_inner());
        let is_echo =
            |note: &Note| note.code != "bad-variable" && note.place.is_some_and(|place| silenced.contains(&place));
        notes.retain(|note| !is_echo(note));
        // The parser quotes what it expected, and never what it found.
        for note in notes.iter_mut().filter(|note| note.code != "syntax") {
            note.message = hidden.as_written(&note.message, note.place);
            note.help = note.help.take().map(|help| hidden.as_written(&help, note.place));
        }
        notes.sort_by(|a, b| {
            let key = |note: &Note| (note.level, note.source, note.place, note.code);
            key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
        });
        notes.dedup_by(|a, b| (a.source, a.place, a.code, &a.message) == (b.source, b.place, b.code, &b.message));
        let places = notes.iter().flat_map(|note| note.place.into_iter().chain(note.also.map(|(place, _)| place)));
        let lines = locate(sources, places);
        let spot = |place: Place| {
            let (line, column) = lines.get(&(place.source, place.start)).copied().unwrap_or((1, 1));
            Spot { place, line, column }
        };
        let file = |source: u32| sources.get(source as usize).map(|source| source.file.clone()).unwrap_or_default();
        let finding = |note: Note| {
            let place = note.place.map(spot);
            Finding {
                level: note.level,
                code: note.code,
                message: note.message,
                file: file(note.source),
                line: place.map(|spot| spot.line),
                column: place.map(|spot| spot.column),
                span: note.place.map(Place::span),
                help: note.help,
                place,
                also: note.also.map(|(place, label)| (spot(place), label)),
            }
        };
        without_echoes(notes.into_iter().map(finding).collect())
    }
}

/// A line that is not TOML is read as something else; what that looks like is no second mistake.
fn without_echoes(mut findings: Vec<Finding>) -> Vec<Finding> {
    let line_of = |finding: &Finding| finding.place.map(|spot| (spot.place.source, spot.line));
    let broken: BTreeSet<(u32, usize)> =
        findings.iter().filter(|finding| finding.code == "syntax").filter_map(line_of).collect();
    findings.retain(|finding| finding.code == "syntax" || line_of(finding).is_none_or(|line| !broken.contains(&line)));
    findings
}

/// Line and column of the beginning of each place, in one sweep over each text.
pub(super) fn locate(sources: &[Source], places: impl Iterator<Item = Place>) -> BTreeMap<(u32, u32), (usize, usize)> {
    let mut lines: BTreeMap<(u32, u32), (usize, usize)> =
        places.map(|place| ((place.source, place.start), (1, 1))).collect();
    let (mut source, mut at, mut line, mut column) = (u32::MAX, 0, 1, 1);
    for ((of_source, start), found) in &mut lines {
        if *of_source != source {
            (source, at, line, column) = (*of_source, 0, 1, 1);
        }
        let text = sources.get(source as usize).map_or("", |source| source.text.as_str());
        let until = text.floor_char_boundary(*start as usize);
        for character in text.get(at..until).unwrap_or_default().chars() {
            (line, column) = if character == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        at = until;
        *found = (line, column);
    }
    lines
}

/// Letters and digits in lower case: `ErrorEquals` and `error_equals` are alike.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// A text from a file, for a message: in one line, without control characters, not too long.
pub(super) fn shown(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTED_MAX).collect::<String>().escape_debug().to_string();
    quoted = quoted.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().nth(QUOTED_MAX).is_some() {
        quoted.push('…');
    }
    quoted
}

/// `"a", "b" or "c"`.
pub(super) fn one_of<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    listed(words, "or")
}

/// `"a", "b"` and the like, with a word before the last.
pub(super) fn listed<'w>(words: impl IntoIterator<Item = &'w str>, joined_by: &str) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} {joined_by} {last}", others.join(", ")),
        None => String::new(),
    }
}
