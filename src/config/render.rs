//! Findings as a person reads them: the sentence, the place, the line with a caret, what is accepted.
//!
//! The renderer of the Rust compiler draws them. It is given single lines, not whole files: it looks at every line of what
//! it gets, and a hundred findings of a large file would take seconds. Of a very long line it gets a window.

use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level as Shown, Origin, Renderer, Snippet};

use super::report::{Finding, Level, Source, Spot};

/// How many findings are drawn; the rest is counted.
const DRAWN_MAX: usize = 100;
/// How many bytes of a line are drawn, before and after the caret's beginning.
const WINDOW: usize = 400;

/// All findings, as far as they are drawn, and a last line with the sum.
pub(super) fn render(findings: &[Finding], sources: &[Source], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for finding in findings.iter().take(DRAWN_MAX) {
        text.push_str(&renderer.render(&[group(finding, sources)]));
        text.push_str("\n\n");
    }
    if let Some(more) = findings.len().checked_sub(DRAWN_MAX).filter(|more| *more > 0) {
        let _infallible = writeln!(text, "and {more} more\n");
    }
    let of = |level| findings.iter().filter(|finding| finding.level == level).count();
    let counted = |count: usize, noun| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let _infallible =
        writeln!(text, "{}, {}", counted(of(Level::Error), "error"), counted(of(Level::Warning), "warning"));
    text
}

fn group<'f>(finding: &'f Finding, sources: &'f [Source]) -> Group<'f> {
    let level = match finding.level {
        Level::Error => Shown::ERROR,
        Level::Warning => Shown::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(finding.message.as_str()).id(finding.code));
    group = match finding.place {
        None => group.element(Origin::path(finding.file.to_string_lossy())),
        Some(spot) => draw(group, spot, sources, AnnotationKind::Primary, None),
    };
    if let Some((spot, label)) = finding.also {
        group = draw(group, spot, sources, AnnotationKind::Context, Some(label));
    }
    match &finding.help {
        None => group,
        Some(help) => group.element(Shown::HELP.message(help.as_str())),
    }
}

fn draw<'f>(
    group: Group<'f>,
    spot: Spot,
    sources: &'f [Source],
    kind: AnnotationKind,
    label: Option<&'static str>,
) -> Group<'f> {
    let Some(source) = sources.get(spot.place.source as usize) else { return group };
    let path = source.file.to_string_lossy();
    let (window, caret) = window(&source.text, spot.place.span());
    let is_whole = window.start == 0 || source.text.as_bytes().get(window.start - 1) == Some(&b'\n');
    let line = source.text.get(window).unwrap_or_default();
    let snippet = Snippet::source(line).line_start(spot.line).annotation(kind.span(caret).label(label));
    if is_whole {
        group.element(snippet.path(path))
    } else {
        group.element(Origin::path(path).line(spot.line).char_column(spot.column)).element(snippet)
    }
}

/// The bytes of the line that are drawn, and the bytes under the caret, counted from the first one drawn.
fn window(text: &str, span: Range<usize>) -> (Range<usize>, Range<usize>) {
    let start = text.floor_char_boundary(span.start);
    let (before, after) = text.split_at(start);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = after.find('\n').map_or(text.len(), |newline| start + newline);
    let line_end = if text.get(line_start..line_end).is_some_and(|line| line.ends_with('\r')) {
        line_end.saturating_sub(1).max(start)
    } else {
        line_end
    };
    let from = text.ceil_char_boundary(line_start.max(start.saturating_sub(WINDOW)));
    let until = text.floor_char_boundary(line_end.min(start + WINDOW));
    let end = text.floor_char_boundary(span.end).clamp(start, until.max(start));
    (from..until, start - from..end - from)
}
