//! `healthcheck`: one question, one line, one exit code; for a container's HEALTHCHECK, which has no shell.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Context;
use super::exit::{Exit, Failed};
use super::output::{instant, plain, print};
use crate::daemon::{Health, clock};

/// How long all of it may take.
const WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Also ask whether the daemon can do its work now, which a restart need not mend
    #[arg(long)]
    ready: bool,
}

pub(super) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failed> {
    let asked = async {
        let path = if arguments.ready { "/readyz" } else { "/healthz" };
        context.daemon().await?.health(path).await
    };
    let late =
        |_elapsed| Failed::new(Exit::NoDaemon, format!("the daemon did not answer within {} s", WITHIN.as_secs()));
    let (is_well, health) = tokio::time::timeout(WITHIN, asked).await.map_err(late)??;
    let word = match (is_well, arguments.ready) {
        (true, false) => "healthy",
        (true, true) => "ready",
        (false, false) => "unhealthy",
        (false, true) => "not ready",
    };
    let told =
        health.map_or_else(|| "more is told to whoever shows a token".to_owned(), |health| told(&health, clock::now()));
    print(&format!("{word}: {}\n", plain(&told)))?;
    Ok(if is_well { Exit::Ok } else { Exit::Failed })
}

/// How the daemon is, in one line.
pub(super) fn told(health: &Health, now: DateTime<Utc>) -> String {
    let doubt = health.unready(now).map(|doubt| format!("{doubt}; ")).unwrap_or_default();
    let turned = health.turned_at.map_or_else(
        || "the loop has not turned yet".to_owned(),
        |at| format!("the loop last turned at {}", instant(Some(at))),
    );
    let runs = match health.living_runs {
        1 => "1 run in flight".to_owned(),
        runs => format!("{runs} runs in flight"),
    };
    let draining = if health.draining.is_some() { ", draining: nothing new begins" } else { "" };
    format!("{doubt}{turned}, {runs}{draining}")
}
