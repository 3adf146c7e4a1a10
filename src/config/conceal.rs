//! Secrets that are written into a file itself, kept out of the lines that are drawn of it.
//!
//! A finding shows the line that it is about, and ends in logs and answers. So what stands in the place of a secret is written
//! over with asterisks before anything is drawn, byte for byte, so that the caret stays where it was. In a file that is no TOML
//! nobody can tell which string is which: there it goes by the look of a line.

use super::report::{Place, Source};

/// In the names of keys that hold secrets.
const TELLING: [&str; 10] =
    ["webhook", "sns", "ping", "heartbeat", "secret", "header", "auth", "token", "password", "url"];

/// How many digits a port has at most.
const PORT_MAX: usize = 5;

/// Whether a key of this name may hold a secret.
pub(super) fn is_telling(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    TELLING.iter().any(|part| key.contains(part))
}

/// Writes over the secrets at these places, and over what looks like one in files that could not be read whole.
pub(super) fn write_over(sources: &mut [Source], places: impl Iterator<Item = Place>, is_broken: impl Fn(u32) -> bool) {
    for place in places {
        let Some(source) = sources.get_mut(place.source as usize) else { continue };
        if let Some(written) = source.text.get(place.span()) {
            let hidden = hidden(written);
            source.text.replace_range(place.span(), &hidden);
        }
    }
    for (index, source) in (0..).zip(sources).filter(|(index, _)| is_broken(*index)) {
        let _index: u32 = index;
        source.text = source.text.split_inclusive('\n').map(line).collect();
    }
}

/// A value of the same length in bytes: the origin of a URL stays, and so do quotes and ends of lines.
fn hidden(written: &str) -> String {
    let is_kept = |c: char| matches!(c, '"' | '\'' | '\n' | '\r');
    let (origin, rest) = written.split_at(origin_end(written));
    let rest = rest.chars().map(|c| if is_kept(c) { c.to_string() } else { "*".repeat(c.len_utf8()) });
    std::iter::once(origin.to_owned()).chain(rest).collect()
}

/// Where the origin of a URL ends; 0 if there is none that may be shown.
fn origin_end(written: &str) -> usize {
    let Some(start) = written.find("://").map(|at| at + 3) else { return 0 };
    let rest = written.get(start..).unwrap_or_default();
    let authority = rest.split(['/', '?', '#', '"', '\'']).next().unwrap_or_default();
    if authority.contains(['@', '$']) {
        return 0;
    }
    let is_port =
        |port: &str| port.ends_with(']') || (port.len() <= PORT_MAX && port.bytes().all(|b| b.is_ascii_digit()));
    match authority.rsplit_once(':') {
        // What is pasted after a host is no port.
        Some((host, port)) if !is_port(port) => start + host.len(),
        Some(_) | None => start + authority.len(),
    }
}

/// A line of a file that is no TOML, without what may be a secret.
fn line(text: &str) -> String {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let is_secret = is_telling(key) || is_telling(value);
    match text.find("://") {
        _ if is_secret && !value.is_empty() => format!("{key}={}", hidden(value)),
        Some(at) => {
            let start = text.get(..at).and_then(|before| before.rfind(['"', '\'', ' '])).map_or(0, |quote| quote + 1);
            let (before, url) = text.split_at(start);
            format!("{before}{}", hidden(url))
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_keeps_its_length_and_the_origin_of_a_url() {
        for (written, drawn) in [
            ("\"https://h.example/services/x\"", "\"https://h.example***********\""),
            ("'s3cr3t'", "'******'"),
            ("\"Bearer ü\"", "\"*********\""),
            ("\"https://u:p@h/\"", "\"**************\""),
            ("\"https://h\"", "\"https://h\""),
            ("\"https://h:8443/x\"", "\"https://h:8443**\""),
            ("\"https://[::1]/x\"", "\"https://[::1]**\""),
            ("\"https://h:s3cr3t\"", "\"https://h*******\""),
            ("\"https://h:123456/x\"", "\"https://h*********\""),
            ("42", "**"),
        ] {
            assert_eq!(hidden(written), drawn);
            assert_eq!(written.len(), drawn.len());
        }
    }

    #[test]
    fn in_a_broken_file_lines_are_judged_by_their_look() {
        assert_eq!(line("secret = \"abc\n"), "secret =*\"***\n");
        assert_eq!(line("x = { webhook = 'https://h/s', a = }\n").matches('s').count(), 1, "of https alone");
        assert_eq!(line("  'https://h/s3cr3t\n"), "  'https://h*******\n");
        assert_eq!(line("schedule = \"rate(5 minutes)\"\n"), "schedule = \"rate(5 minutes)\"\n");
        assert_eq!(line("[jobs.ping]\n"), "[jobs.ping]\n");
    }
}
