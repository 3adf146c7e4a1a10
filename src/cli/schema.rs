//! `schema`: a JSON Schema of the configuration, for editors.

use super::exit::{Exit, Failed};
use super::output::print;
use crate::config;

pub(super) fn run() -> Result<Exit, Failed> {
    print(config::SCHEMA)?;
    Ok(Exit::Ok)
}
