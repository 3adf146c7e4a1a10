//! `jobs`: what the running daemon has loaded.

use chrono::{DateTime, Utc};

use super::Context;
use super::client::Client;
use super::exit::{Exit, Failed};
use super::output::{instant, or_dash, print_error, print_json, print_table};
use crate::daemon::{Health, ReloadState};
use crate::engine::pause::Pause;
use crate::web::objects::JobObject;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failed> {
    let daemon = context.daemon().await?;
    let jobs: Vec<JobObject> = daemon.get("/api/v1/jobs").await?;
    tell_of_what_is_unusual(&daemon).await;
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
                next_of(job.next_at, job.pause.as_ref()),
                or_dash(last.map(|run| run.status.as_str())),
                instant(last.map(|run| run.scheduled_at)),
            ]
        })
        .collect();
    print_table(["JOB", "SCHEDULE", "TIMEZONE", "NEXT", "LAST", "LAST SCHEDULED"], &rows)?;
    Ok(Exit::Ok)
}

fn next_of(next_at: Option<DateTime<Utc>>, pause: Option<&Pause>) -> String {
    match pause {
        None => instant(next_at),
        Some(pause) => {
            let end = pause.until.map(|until| format!(" until {}", instant(Some(until)))).unwrap_or_default();
            format!("paused{end} {}", pause.asker.in_words())
        }
    }
}

/// Files that were refused are not what the daemon runs on, and one that drains lets nothing fire: whoever looks at its jobs
/// must know.
async fn tell_of_what_is_unusual(daemon: &Client) {
    let Ok(health) = daemon.get::<Health>("/healthz").await else { return };
    if let Some(count) = health.draining {
        let runs = if count == 1 { "run" } else { "runs" };
        print_error(&format!(
            "the daemon is draining: it waits for {count} {runs} in flight, and begins nothing new\n"
        ));
    }
    if let Some(ReloadState { at, error: Some(error) }) = health.reload {
        let at = instant(Some(at));
        print_error(&format!("the configuration of {at} was refused, and the one before goes on:\n{error}\n"));
    }
}
