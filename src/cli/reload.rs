//! `reload`: has the running daemon read its configuration anew.

use super::Context;
use super::exit::{Exit, Failed};
use super::output::{print, print_json};
use crate::daemon::driver::Changes;
use crate::engine::job::JobName;
use crate::web::hands::Plain;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failed> {
    let changes: Changes = context.daemon().await?.post("/api/v1/reload", &Plain::default()).await?;
    if arguments.json {
        print_json(&changes)?;
        return Ok(Exit::Ok);
    }
    let mut lines = Vec::new();
    for (what, names) in [("added", &changes.added), ("changed", &changes.changed), ("removed", &changes.removed)] {
        if !names.is_empty() {
            let names: Vec<&str> = names.iter().map(JobName::as_str).collect();
            lines.push(format!("{what}: {}", names.join(", ")));
        }
    }
    lines.push(format!("{} jobs as before", changes.unchanged));
    print(&format!("{}\n", lines.join("\n")))?;
    Ok(Exit::Ok)
}
