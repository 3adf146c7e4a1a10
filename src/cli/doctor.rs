//! `doctor`: one page of state, for whoever is paged at 02:05 and for a bug report.
//!
//! What the daemon knows it is asked; its store is never opened. What a daemon that is down leaves to see is told all the
//! same, and so it is when the configuration is broken. Nothing told is a secret: of variables the names alone.

mod environment;
mod gather;
mod page;

use chrono::{DateTime, Utc};
use serde::Serialize;

use self::environment::Environment;
use super::Context;
use super::exit::{Exit, Failed};
use super::output::{print, print_json};
use crate::config::Finding;
use crate::daemon::Health;
use crate::engine::pause::Pause;
use crate::store::RunSummary;
use crate::store::sqlite::About;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failed> {
    let report = gather::gather(context).await;
    if arguments.json {
        print_json(&report)?;
    } else {
        print(&page::written(&report))?;
    }
    Ok(if report.needs_a_person.is_empty() { Exit::Ok } else { Exit::Failed })
}

/// All that is told; the JSON object of the interface.
#[derive(Debug, Serialize)]
struct Report {
    /// When it was asked.
    at: DateTime<Utc>,
    /// Of this program: version and commit.
    version: &'static str,
    /// The IANA database that is compiled in.
    time_zones: &'static str,
    /// The newest schema of the state that this program knows.
    schema: usize,
    /// What is not as it should be; empty if all is well.
    needs_a_person: Vec<String>,
    configuration: Configuration,
    daemon: Daemon,
    /// None of a daemon at a URL: its files are elsewhere.
    state: Option<About>,
    /// The jobs that fire next.
    next: Vec<Next>,
    /// How many runs are in each status in which they are not over.
    in_flight: Vec<InFlight>,
    /// The newest runs that ended badly.
    failures: Vec<Failure>,
    paused: Vec<Paused>,
    notices: Option<Notices>,
    environment: Environment,
}

#[derive(Debug, Serialize)]
struct Configuration {
    path: std::path::PathBuf,
    /// None if it is broken.
    jobs: Option<usize>,
    errors: usize,
    warnings: usize,
    /// The first ones.
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Daemon {
    /// Where one answers: its socket, or its URL.
    place: Option<String>,
    /// Its process, if that can be seen from here.
    pid: Option<i32>,
    /// Why nothing is known of it, if one answers not at all or not well.
    silence: Option<String>,
    /// Whether it says that it can do its work.
    ready: bool,
    health: Option<Health>,
}

#[derive(Debug, Serialize)]
struct Next {
    at: DateTime<Utc>,
    job: String,
}

#[derive(Debug, Serialize)]
struct InFlight {
    status: String,
    runs: usize,
}

#[derive(Debug, Serialize)]
struct Notices {
    /// How many are owed.
    waiting: usize,
    /// How many nobody will get.
    dead: usize,
    /// How many of them were given up within the last week: those need a person, the others are history.
    dead_lately: usize,
}

#[derive(Debug, Serialize)]
struct Failure {
    #[serde(flatten)]
    run: RunSummary,
    /// What to do about it.
    hint: Option<String>,
}

#[derive(Debug, Serialize)]
struct Paused {
    job: String,
    pause: Option<Pause>,
}

/// "1 job", "2 jobs".
fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
