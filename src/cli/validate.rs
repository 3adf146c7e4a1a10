//! `validate`: every mistake of every file, with line and column.

use super::exit::Exit;
use super::{Context, output};
use crate::config::{self, Level};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> Exit {
    let loaded = config::load(&context.config);
    if arguments.json {
        output::print_json(&loaded.findings);
    } else {
        output::print(&loaded.render(output::colors()));
        let count = |level| loaded.findings.iter().filter(|finding| finding.level == level).count();
        let (errors, warnings) = (count(Level::Error), count(Level::Warning));
        let jobs = loaded.config.as_ref().map(|config| format!("{} jobs, ", config.jobs.len())).unwrap_or_default();
        output::print(&format!("{}: {jobs}{errors} errors, {warnings} warnings\n", context.config.display()));
    }
    if loaded.config.is_some() { Exit::Ok } else { Exit::Config }
}
