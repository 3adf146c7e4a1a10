//! Which text format a scrape wants, and the older of the two made of the newer.
//!
//! Whoever does not ask for OpenMetrics gets the text format of Prometheus, which everything reads that scrapes. Sources:
//! prometheus.io, "Exposition formats"; OpenMetrics 1.0.0, "Text format".

use axum::http::{HeaderMap, header};

const OPEN_METRICS: &str = "application/openmetrics-text";

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenMetrics 1.0.0.
    Open,
    /// The text format of Prometheus, 0.0.4.
    Text,
}

impl Format {
    /// The one that a request asks for.
    pub(super) fn of(headers: &HeaderMap) -> Format {
        let said = headers.get_all(header::ACCEPT).iter().filter_map(|said| said.to_str().ok());
        let mut ranges = said.flat_map(|said| said.split(','));
        if ranges.any(takes_open_metrics) { Format::Open } else { Format::Text }
    }

    /// As `Content-Type` names it.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Open => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Whether a media range names OpenMetrics, and not to refuse it. Source: RFC 9110, 12.5.1.
fn takes_open_metrics(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let is_named = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(OPEN_METRICS));
    let is_refused = parts.filter_map(|part| part.split_once('=')).any(|(key, value)| {
        key.trim().eq_ignore_ascii_case("q") && value.trim().parse::<f64>().is_ok_and(|weight| weight <= 0.0)
    });
    is_named && !is_refused
}

/// A page of OpenMetrics in the text format of Prometheus. The samples are the same in both; what is said of a family differs:
/// its name is that of its samples, and there are neither units, infos nor an end.
pub(super) fn in_text_format(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    // The line of help stands before that of the type, on which the name depends.
    let mut help: Option<(&str, &str)> = None;
    for line in page.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), told) => help = Some((name, told.unwrap_or_default())),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    same => ("", same),
                };
                if let Some((_, told)) = help.take().filter(|(of, _)| *of == name) {
                    text.push_str(&format!("# HELP {name}{suffix} {told}\n"));
                }
                text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            }
            (Some("#"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(accepts: &[&str]) -> Format {
        let mut headers = HeaderMap::new();
        for accept in accepts {
            headers.append(header::ACCEPT, accept.parse().unwrap());
        }
        Format::of(&headers)
    }

    #[test]
    fn only_whoever_names_openmetrics_gets_it() {
        // Prometheus 3, Prometheus 2.
        let of_prometheus = [
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ];
        for accept in
            of_prometheus.into_iter().chain(["Application/OpenMetrics-Text", "text/html, application/openmetrics-text"])
        {
            assert_eq!(wanted(&[accept]), Format::Open, "{accept}");
        }
        assert_eq!(wanted(&["text/plain", "application/openmetrics-text; q=0.1"]), Format::Open);
        assert_eq!(wanted(&[]), Format::Text);
        for other in [
            "*/*",
            "",
            "text/plain;version=0.0.4;q=1,*/*;q=0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text ; Q=0.000, text/plain",
            "application/openmetrics-text-next",
            "text/plain; of=application/openmetrics-text",
        ] {
            assert_eq!(wanted(&[other]), Format::Text, "{other}");
        }
    }

    #[test]
    fn the_older_format_names_families_as_their_samples() {
        let open = "# HELP a_calls Calls of # HELP.\n# TYPE a_calls counter\na_calls_total{job=\"# TYPE x info\"} 1\n\
                    # HELP a_build Version.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
                    # HELP a_wait_seconds Waits.\n# TYPE a_wait_seconds histogram\n# UNIT a_wait_seconds seconds\n\
                    a_wait_seconds_bucket{le=\"+Inf\"} 0\n# TYPE a_thing unknown\na_thing 1\n# EOF\n";
        let text = "# HELP a_calls_total Calls of # HELP.\n# TYPE a_calls_total counter\n\
                    a_calls_total{job=\"# TYPE x info\"} 1\n\
                    # HELP a_build_info Version.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
                    # HELP a_wait_seconds Waits.\n# TYPE a_wait_seconds histogram\n\
                    a_wait_seconds_bucket{le=\"+Inf\"} 0\n# TYPE a_thing untyped\na_thing 1\n";
        assert_eq!(in_text_format(open), text);
    }
}
