//! `validate`: every mistake of every file, with line and column.

use super::exit::{Exit, Failed};
use super::{Context, output};
use crate::config::{self, Finding, HttpSettings, Level};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failed> {
    let mut loaded = config::load(&context.config);
    if let Some(http) = loaded.config.as_ref().map(|config| config.http.clone()) {
        loaded.findings.extend(tokens(&http));
    }
    let is_usable = loaded.findings.iter().all(|finding| finding.level == Level::Warning);
    if arguments.json {
        output::print_json(&loaded.findings)?;
    } else {
        output::print(&loaded.render(output::wants_colors(&std::io::stdout())))?;
        if let Some(config) = loaded.config.as_ref().filter(|_| is_usable) {
            output::print(&format!("{}: {} jobs, usable\n", context.config.display(), config.jobs.len()))?;
        }
    }
    Ok(if is_usable { Exit::Ok } else { Exit::Config })
}

/// What is wrong with the files of tokens. One that can't be read here is a doubt: it may be for the daemon alone.
fn tokens(http: &HttpSettings) -> Vec<Finding> {
    let (_, mut findings) = config::read_tokens(http);
    for finding in findings.iter_mut().filter(|finding| finding.code == config::UNREADABLE_TOKENS) {
        finding.level = Level::Warning;
    }
    findings
}
