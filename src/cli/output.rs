//! What commands print: text, JSON and tables.

use std::io::{self, IsTerminal, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::exit::{Exit, Failed};

/// Prints to standard output. A reader that went away (`| head`) is no failure, a full disk is one.
pub(super) fn print(text: &str) -> Result<(), Failed> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failed::new(Exit::Failed, format!("failed to write the output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints to standard error.
pub(super) fn print_error(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Prints a value as indented JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failed> {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&format!("{text}\n")),
        Err(error) => Err(Failed::new(Exit::Failed, format!("failed to write JSON: {error}"))),
    }
}

/// Text from elsewhere, such as ECS's reasons, without what could steer a terminal or reorder a line.
pub(super) fn plain(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let escaped = |c: char| if is_harmful(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

/// Prints rows in aligned columns under their headings.
pub(super) fn print_table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> Result<(), Failed> {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| plain(cell))).collect();
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&mut headings.iter().copied());
    for row in &rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    print(&text)
}

/// An instant, or a dash.
pub(super) fn instant(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".into(), |at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// A value, or a dash.
pub(super) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

/// Whether a stream is a terminal that wants colours.
pub(super) fn wants_colors(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_steers_no_terminal() {
        assert_eq!(
            plain("red \u{1b}[31m, nul \0, turned \u{202e}, näh"),
            "red \\u{1b}[31m, nul \\u{0}, turned \\u{202e}, näh"
        );
    }
}
