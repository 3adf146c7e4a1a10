//! `notices`: who was told what, newest first, and another try of what was given up.

use super::Context;
use super::client::escaped;
use super::exit::{Exit, Failed};
use super::output::{instant, or_dash, print, print_json, print_table};
use crate::store::{NoticeState, NoticeSummary};
use crate::web::api::{RUNS_DEFAULT, RUNS_MAX};
use crate::web::notices::{RetryNotices, Revived, states};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Of this job only
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// By this channel only, as the list names it
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// In this state only: owed, delivered or dead
    #[arg(long, value_name = "STATE", conflicts_with = "dead")]
    state: Option<String>,
    /// Only those that were given up
    #[arg(long)]
    dead: bool,
    /// Deliver those that were given up after all; with --job and --channel only theirs
    #[arg(long, conflicts_with_all = ["state", "dead", "count"])]
    retry: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", requires = "retry")]
    reason: Option<String>,
    /// How many, at most 1000
    #[arg(short = 'n', default_value_t = RUNS_DEFAULT, value_name = "N")]
    count: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<Exit, Failed> {
    if arguments.retry {
        return retry(context, arguments).await;
    }
    let state = if arguments.dead { Some(NoticeState::Dead.as_str().to_owned()) } else { arguments.state };
    if let Some(state) = state.as_deref().filter(|text| text.parse::<NoticeState>().is_err()) {
        let message = format!("`{state}` is not a state; accepted are {}", states());
        return Err(Failed::new(Exit::Usage, message));
    }
    let mut path = format!("/api/v1/notices?limit={}", arguments.count.min(RUNS_MAX));
    for (key, value) in [("job", &arguments.job), ("channel", &arguments.channel), ("state", &state)] {
        if let Some(value) = value {
            path.push_str(&format!("&{key}={}", escaped(value)));
        }
    }
    let notices: Vec<NoticeSummary> = context.daemon().await?.get(&path).await?;
    if arguments.json {
        print_json(&notices)?;
        return Ok(Exit::Ok);
    }
    let rows: Vec<[String; 7]> = notices
        .into_iter()
        .map(|notice| {
            [
                instant(Some(notice.owed_at)),
                notice.on.as_str().to_owned(),
                notice.run.to_string(),
                notice.channel.to_string(),
                notice.state.as_str().to_owned(),
                notice.tries.to_string(),
                or_dash(notice.last_error),
            ]
        })
        .collect();
    print_table(["OWED", "ABOUT", "RUN", "CHANNEL", "STATE", "TRIES", "LAST ERROR"], &rows)?;
    Ok(Exit::Ok)
}

async fn retry(context: &Context, arguments: Arguments) -> Result<Exit, Failed> {
    let body = RetryNotices { reason: arguments.reason, job: arguments.job, channel: arguments.channel };
    let answer: Revived = context.daemon().await?.post("/api/v1/notices/retry", &body).await?;
    if arguments.json {
        print_json(&answer)?;
    } else {
        print(&format!("{} dead letters are owed again\n", answer.revived))?;
    }
    Ok(Exit::Ok)
}
