//! `why`: what became of an instant of a job, in one line.

use chrono::{DateTime, SecondsFormat, Utc};

use super::Context;
use super::client::escaped;
use super::exit::{Exit, Failed};
use super::next::instant;
use super::output::{plain, print, print_json};
use crate::web::why::WhyObject;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The job
    job: String,
    /// The instant (RFC 3339, or UTC without an offset)
    #[arg(value_name = "T", value_parser = instant)]
    at: DateTime<Utc>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failed> {
    let at = arguments.at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let path = format!("/api/v1/jobs/{}/why?at={}", escaped(&arguments.job), escaped(&at));
    let why: WhyObject = context.daemon().await?.get(&path).await?;
    if arguments.json {
        print_json(&why)?;
    } else {
        print(&format!("{} {at}: {}\n", why.job, plain(&why.answer)))?;
    }
    Ok(Exit::Ok)
}
