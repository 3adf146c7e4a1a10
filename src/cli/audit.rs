//! `audit`: what people did, newest first.

use super::Context;
use super::exit::{Exit, Failed};
use super::output::{instant, or_dash, print_json, print_table};
use crate::store::AuditRow;
use crate::web::api::{RUNS_DEFAULT, RUNS_MAX};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many, at most 1000
    #[arg(short = 'n', default_value_t = RUNS_DEFAULT, value_name = "N")]
    count: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failed> {
    let path = format!("/api/v1/audit?limit={}", arguments.count.min(RUNS_MAX));
    let rows: Vec<AuditRow> = context.daemon().await?.get(&path).await?;
    if arguments.json {
        print_json(&rows)?;
        return Ok(Exit::Ok);
    }
    let rows: Vec<[String; 5]> = rows
        .into_iter()
        .map(|AuditRow { audit, .. }| {
            // A run says its job.
            let what = audit.run.map(|run| run.to_string()).or(audit.job.map(|job| job.to_string()));
            [instant(Some(audit.at)), audit.action, or_dash(what), audit.by, or_dash(audit.detail)]
        })
        .collect();
    print_table(["WHEN", "WHAT", "OF", "WHO", "WHY"], &rows)?;
    Ok(Exit::Ok)
}
