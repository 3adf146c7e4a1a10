//! `validate`: every mistake of every file, with line and column.

use super::exit::{Exit, Failed};
use super::{Context, output};
use crate::config;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failed> {
    let loaded = config::load(&context.config);
    if arguments.json {
        output::print_json(&loaded.findings)?;
    } else {
        output::print(&loaded.render(output::wants_colors(&std::io::stdout())))?;
        if let Some(config) = &loaded.config {
            output::print(&format!("{}: {} jobs, usable\n", context.config.display(), config.jobs.len()))?;
        }
    }
    Ok(if loaded.config.is_some() { Exit::Ok } else { Exit::Config })
}
