//! Where log lines go: to standard error, for eyes on a terminal and as JSON elsewhere.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::limit::Limiter;

/// The environment variable that chooses what is logged.
const LOG_VARIABLE: &str = "TENACRON_LOG";
/// The one that chooses how: `json` or `text`.
const FORMAT_VARIABLE: &str = "TENACRON_LOG_FORMAT";
/// Whatever is asked for: below this level it writes whole URLs, and those of webhooks are secrets.
const CAREFUL: &str = "aws_smithy_http_client=info";

/// Starts logging to standard error. `TENACRON_LOG` takes `tracing-subscriber`'s filter syntax; default `info`, with what
/// `quiet` says in that syntax of libraries that repeat us. `TENACRON_LOG_FORMAT` is `json` or `text`; default text on a
/// terminal and JSON elsewhere.
///
/// A log that can't be written is lost and ends nothing: the daemon outlives a log shipper and a full disk.
pub fn start_logging(quiet: &str) {
    let wanted = variable(LOG_VARIABLE);
    let parsed = wanted.as_deref().map(EnvFilter::try_new);
    let mistake = parsed.as_ref().and_then(|parsed| parsed.as_ref().err().map(ToString::to_string));
    let filter = parsed.and_then(Result::ok).unwrap_or_else(|| EnvFilter::new(format!("info,{quiet}")));
    let filter = CAREFUL.parse().into_iter().fold(filter, EnvFilter::add_directive);
    let format = variable(FORMAT_VARIABLE);
    let is_json = match format.as_deref() {
        Some("json") => true,
        Some("text") => false,
        Some(_) | None => !std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let builder = builder.with_target(false).log_internal_errors(false);
    if is_json {
        builder.json().flatten_event(true).with_current_span(false).finish().with(Limiter::default()).init();
    } else {
        builder.finish().with(Limiter::default()).init();
    }
    if let Some(mistake) = mistake {
        tracing::warn!(variable = LOG_VARIABLE, mistake, "log filter not understood; logging at info");
    }
    if let Some(value) = format.filter(|format| !["json", "text"].contains(&format.as_str())) {
        tracing::warn!(variable = FORMAT_VARIABLE, value, "log format not understood; it is `json` or `text`");
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
