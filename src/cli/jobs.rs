//! `jobs`: what the running daemon has loaded.

use super::Context;
use super::exit::{Exit, Failed};
use super::output::{instant, or_dash, print_json, print_table};
use crate::web::objects::JobObject;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failed> {
    let jobs: Vec<JobObject> = context.daemon().await?.get("/api/v1/jobs").await?;
    if arguments.json {
        print_json(&jobs)?;
        return Ok(Exit::Ok);
    }
    let rows: Vec<[String; 6]> = jobs
        .into_iter()
        .map(|job| {
            let last = job.last_run.as_ref();
            [
                job.job,
                job.schedule,
                job.timezone,
                instant(job.next_at),
                or_dash(last.map(|run| run.status.as_str())),
                instant(last.map(|run| run.scheduled_at)),
            ]
        })
        .collect();
    print_table(["JOB", "SCHEDULE", "TIMEZONE", "NEXT", "LAST", "LAST SCHEDULED"], &rows)?;
    Ok(Exit::Ok)
}
