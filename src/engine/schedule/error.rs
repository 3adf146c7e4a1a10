//! What is wrong with an expression, worded for the person who wrote it.
//!
//! The `cron` crate answers a mistake with a caret and often without a word, so every expression is read and judged by us
//! before the crate sees it. An error names the field, quotes the value and says what is accepted; it carries the bytes
//! concerned, so that the configuration can put its caret there. There is no error enum: nobody decides anything by the kind
//! of mistake, people read it.

use std::ops::Range;

/// One mistake in one expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScheduleError {
    message: String,
    span: Range<usize>,
}

impl ScheduleError {
    pub(super) fn new(message: impl Into<String>, span: Range<usize>) -> ScheduleError {
        ScheduleError { message: message.into(), span }
    }

    /// The bytes of the expression that the mistake is about; never past its end, empty only for an empty expression.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }
}

/// A piece of an expression that knows where it stands, so that a mistake found deep inside still points at the right bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) start: usize,
}

impl<'a> Word<'a> {
    pub(super) fn new(text: &'a str, start: usize) -> Word<'a> {
        Word { text, start }
    }

    pub(super) fn error(&self, message: impl Into<String>) -> ScheduleError {
        ScheduleError::new(message, self.start..self.start + self.text.len())
    }

    /// The same without white space at both ends.
    pub(super) fn trim(&self) -> Word<'a> {
        let left = self.text.trim_start();
        let start = self.start + (self.text.len() - left.len());
        Word::new(left.trim_end(), start)
    }

    /// The pieces between separators; always at least one.
    pub(super) fn split(&self, separator: char) -> impl Iterator<Item = Word<'a>> + use<'a> {
        let mut start = self.start;
        self.text.split(separator).map(move |text| {
            let piece = Word::new(text, start);
            start += text.len() + separator.len_utf8();
            piece
        })
    }

    /// The pieces on both sides of the first separator.
    pub(super) fn split_once(&self, separator: char) -> Option<(Word<'a>, Word<'a>)> {
        let (left, right) = self.text.split_once(separator)?;
        let start = self.start + left.len() + separator.len_utf8();
        Some((Word::new(left, self.start), Word::new(right, start)))
    }

    /// The words between white space. We split, not the crate: its grammar reads `15W` as day 15 followed by a month "W".
    pub(super) fn words(&self) -> Vec<Word<'a>> {
        let mut words = Vec::new();
        let mut rest = self.trim();
        while !rest.text.is_empty() {
            let end = rest.text.find(char::is_whitespace).unwrap_or(rest.text.len());
            let (word, after) = rest.text.split_at(end);
            words.push(Word::new(word, rest.start));
            rest = Word::new(after, rest.start + end).trim();
        }
        words
    }
}
