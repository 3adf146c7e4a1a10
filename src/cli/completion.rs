//! `completion`: what a shell completes, made of the command line's own definition.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::exit::{Exit, Failed};
use super::output::print;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failed> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "tenacron", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
