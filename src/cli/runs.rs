//! `runs`: the history, newest first.

use super::Context;
use super::client::escaped;
use super::exit::{Exit, Failed};
use super::output::{instant, or_dash, print_json, print_table};
use crate::store::RunSummary;
use crate::web::api::{self, RUNS_DEFAULT, RUNS_MAX};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Of this job only
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// In this status only
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// How many, at most 1000
    #[arg(short = 'n', default_value_t = RUNS_DEFAULT, value_name = "N")]
    count: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<Exit, Failed> {
    if let Some(status) = arguments.status.as_deref().filter(|text| text.parse::<crate::engine::run::Status>().is_err())
    {
        let message = format!("`{status}` is not a status; accepted are {}", api::statuses());
        return Err(Failed::new(Exit::Usage, message));
    }
    let mut path = format!("/api/v1/runs?limit={}", arguments.count.min(RUNS_MAX));
    for (key, value) in [("job", &arguments.job), ("status", &arguments.status)] {
        if let Some(value) = value {
            path.push_str(&format!("&{key}={}", escaped(value)));
        }
    }
    let runs: Vec<RunSummary> = context.daemon().await?.get(&path).await?;
    if arguments.json {
        print_json(&runs)?;
        return Ok(Exit::Ok);
    }
    let rows: Vec<[String; 7]> = runs
        .into_iter()
        .map(|run| {
            [
                run.run.to_string(),
                run.status.as_str().to_owned(),
                run.attempts.to_string(),
                or_dash(run.exit_code),
                instant(Some(run.created_at)),
                instant(run.finished_at),
                or_dash(run.cause.map(|cause| run.error.map_or(cause.clone(), |error| format!("{error}: {cause}")))),
            ]
        })
        .collect();
    print_table(["RUN", "STATUS", "ATTEMPTS", "EXIT", "CREATED", "FINISHED", "WHY"], &rows)?;
    Ok(Exit::Ok)
}
