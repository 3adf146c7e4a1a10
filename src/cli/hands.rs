//! `trigger`, `cancel`, `pause`, `resume`, `retry`, `backfill`: what people do to a running daemon. Each is one request; the
//! daemon answers when what it decided is saved.

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use serde_json::Value;

use super::Context;
use super::client::escaped;
use super::exit::{Exit, Failed};
use super::next::instant as read_instant;
use super::output::{instant, print, print_json};
use crate::daemon::driver::Receipt;
use crate::engine::job::Overlap;
use crate::engine::run::Status;
use crate::web::hands::{Backfill, PauseBody, Plain, Retry, Trigger};

/// How many runs of a backfill are listed.
const LISTED_MAX: usize = 20;

/// What every one of them may say.
#[derive(Debug, clap::Args)]
pub(super) struct Why {
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a run does that meets a living run of its job.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Policy {
    Skip,
    Allow,
    QueueOne,
    QueueAll,
    CancelRunning,
}

impl From<Policy> for Overlap {
    fn from(policy: Policy) -> Overlap {
        match policy {
            Policy::Skip => Overlap::Skip,
            Policy::Allow => Overlap::Allow,
            Policy::QueueOne => Overlap::QueueOne,
            Policy::QueueAll => Overlap::QueueAll,
            Policy::CancelRunning => Overlap::CancelRunning,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct TriggerArguments {
    /// The job
    job: String,
    /// A variable of the container, added or replaced; may be repeated
    #[arg(long = "env", short = 'e', value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// The container that --env and the command are for; needed unless the job names exactly one
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// Instead of the job's overlap policy
    #[arg(long, value_name = "POLICY")]
    overlap: Option<Policy>,
    /// Print the run's name and nothing else
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    why: Why,
    /// The command instead of the job's, behind `--`
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) async fn trigger(context: &Context, arguments: TriggerArguments) -> Result<Exit, Failed> {
    let TriggerArguments { job, environment, container, overlap, quiet, why, command } = arguments;
    let body = Trigger {
        reason: why.reason.clone(),
        container,
        environment: environment.into_iter().collect(),
        command: (!command.is_empty()).then_some(command),
        overlap: overlap.map(Overlap::from),
    };
    let path = format!("/api/v1/jobs/{}/trigger", escaped(&job));
    let receipt: Receipt = context.daemon().await?.post(&path, &body).await?;
    tell(&receipt, quiet, why.json)
}

#[derive(Debug, clap::Args)]
pub(super) struct RetryArguments {
    /// The run, as `runs` names it; it must be over
    run: String,
    /// With the definition that the run had, instead of the job's of today
    #[arg(long)]
    frozen: bool,
    /// Instead of the job's overlap policy
    #[arg(long, value_name = "POLICY")]
    overlap: Option<Policy>,
    /// Print the new run's name and nothing else
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    why: Why,
}

pub(super) async fn retry(context: &Context, arguments: RetryArguments) -> Result<Exit, Failed> {
    let RetryArguments { run, frozen, overlap, quiet, why } = arguments;
    let body = Retry { reason: why.reason.clone(), frozen, overlap: overlap.map(Overlap::from) };
    let path = format!("/api/v1/runs/{}/retry", escaped(&run));
    let receipt: Receipt = context.daemon().await?.post(&path, &body).await?;
    tell(&receipt, quiet, why.json)
}

/// The run's name comes first, so that a script can take it from there.
fn tell(receipt: &Receipt, quiet: bool, json: bool) -> Result<Exit, Failed> {
    let is_skipped = receipt.status == Status::Skipped;
    if json {
        print_json(receipt)?;
    } else if quiet {
        print(&format!("{}\n", receipt.run))?;
    } else {
        print(&format!("{}\n", told(receipt)))?;
    }
    Ok(if is_skipped { Exit::Declined } else { Exit::Ok })
}

fn told(receipt: &Receipt) -> String {
    let cause = receipt.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{}  {}{cause}", receipt.run, receipt.status.as_str())
}

#[derive(Debug, clap::Args)]
pub(super) struct BackfillArguments {
    /// The job
    job: String,
    /// The first instant (RFC 3339, or UTC without an offset)
    #[arg(long, value_name = "T", value_parser = read_instant)]
    from: DateTime<Utc>,
    /// The last one; both ends are included
    #[arg(long, value_name = "T", value_parser = read_instant)]
    until: DateTime<Utc>,
    /// What its runs do that meet a living run: one after the other, unless told
    #[arg(long, value_name = "POLICY", default_value = "queue_all")]
    overlap: Policy,
    #[command(flatten)]
    why: Why,
}

pub(super) async fn backfill(context: &Context, arguments: BackfillArguments) -> Result<Exit, Failed> {
    let BackfillArguments { job, from, until, overlap, why } = arguments;
    let body =
        Backfill { reason: why.reason, from: Some(from), until: Some(until), overlap: Some(Overlap::from(overlap)) };
    let path = format!("/api/v1/jobs/{}/backfill", escaped(&job));
    let receipts: Vec<Receipt> = context.daemon().await?.post(&path, &body).await?;
    let skipped = receipts.iter().filter(|receipt| receipt.status == Status::Skipped).count();
    if why.json {
        print_json(&receipts)?;
    } else {
        let mut lines: Vec<String> = receipts.iter().take(LISTED_MAX).map(told).collect();
        if receipts.len() > LISTED_MAX {
            lines.push(format!("… and {} more", receipts.len() - LISTED_MAX));
        }
        let runs = receipts.len() - skipped;
        lines.push(format!(
            "{runs} recorded, {skipped} skipped; they are runs like any other: tenacron runs --job {job}"
        ));
        print(&format!("{}\n", lines.join("\n")))?;
    }
    Ok(if skipped == receipts.len() { Exit::Declined } else { Exit::Ok })
}

#[derive(Debug, clap::Args)]
pub(super) struct CancelArguments {
    /// The run, as `runs` names it
    run: String,
    #[command(flatten)]
    why: Why,
}

pub(super) async fn cancel(context: &Context, arguments: CancelArguments) -> Result<Exit, Failed> {
    let CancelArguments { run, why } = arguments;
    let path = format!("/api/v1/runs/{}/cancel", escaped(&run));
    let answer: Value = context.daemon().await?.post(&path, &Plain { reason: why.reason }).await?;
    if why.json {
        print_json(&answer)?;
    } else {
        let status = answer.get("status").and_then(Value::as_str).unwrap_or_default();
        let more = if status == Status::Cancelled.as_str() { "" } else { "; it is over when its task has stopped" };
        print(&format!("{run}  {status}{more}\n"))?;
    }
    Ok(Exit::Ok)
}

/// A job or all of them.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Whom {
    /// The job
    job: Option<String>,
    /// Every job
    #[arg(long)]
    all: bool,
}

impl Whom {
    fn path(&self, action: &str) -> String {
        match &self.job {
            Some(job) => format!("/api/v1/jobs/{}/{action}", escaped(job)),
            None => format!("/api/v1/{action}"),
        }
    }

    fn name(&self) -> &str {
        self.job.as_deref().unwrap_or("all jobs")
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct PauseArguments {
    #[command(flatten)]
    whom: Whom,
    /// Up to and with when (RFC 3339, or UTC without an offset); until `resume` unless told
    #[arg(long, value_name = "T", value_parser = read_instant)]
    until: Option<DateTime<Utc>>,
    #[command(flatten)]
    why: Why,
}

pub(super) async fn pause(context: &Context, arguments: PauseArguments) -> Result<Exit, Failed> {
    let PauseArguments { whom, until, why } = arguments;
    let body = PauseBody { reason: why.reason, until };
    let answer: Value = context.daemon().await?.post(&whom.path("pause"), &body).await?;
    if why.json {
        print_json(&answer)?;
    } else {
        let end = until
            .map_or_else(|| "until `tenacron resume`".to_owned(), |until| format!("until {}", instant(Some(until))));
        print(&format!("{} paused {end}; runs that are under way go on\n", whom.name()))?;
    }
    Ok(Exit::Ok)
}

#[derive(Debug, clap::Args)]
pub(super) struct ResumeArguments {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    why: Why,
}

pub(super) async fn resume(context: &Context, arguments: ResumeArguments) -> Result<Exit, Failed> {
    let ResumeArguments { whom, why } = arguments;
    let answer: Value = context.daemon().await?.post(&whom.path("resume"), &Plain { reason: why.reason }).await?;
    if why.json {
        print_json(&answer)?;
        return Ok(Exit::Ok);
    }
    let was_paused = answer.get("lifted").is_some_and(|lifted| !lifted.is_null());
    let still = answer.get("paused").and_then(Value::as_bool).unwrap_or_default();
    let mut line = match was_paused {
        true => format!("{} resumed; instants of the pause are not made up for", whom.name()),
        false => format!("{} not paused", whom.name()),
    };
    if still {
        line.push_str("; all jobs are still paused: tenacron resume --all");
    }
    print(&format!("{line}\n"))?;
    Ok(Exit::Ok)
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".into()),
    }
}
