//! `local`: the local ECS endpoint alone, for daemons and other tools that are pointed at it by `AWS_ENDPOINT_URL`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

use super::exit::{Exit, Failed};
use super::signals::{outlive_full_files, stop_on_signals};
use super::{Context, output};
use crate::config::Config;
use crate::ecs;
use crate::local::{BindError, Server, Settings};
use crate::observe;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8475", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Keep tasks and client tokens in this file, so that they survive this process
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<Exit, Failed> {
    observe::start_logging(ecs::QUIET);
    outlive_full_files()?;
    // Without a configuration there are no task definitions yet; RegisterTaskDefinition adds them.
    let config = if context.is_default && !context.config.exists() { None } else { Some(context.load()?.0) };
    let settings = settings(config.as_ref(), arguments.journal);
    let server = bind(arguments.listen, settings).await?;
    output::print(&format!("local ECS endpoint listening on http://{}\n", server.local_addr()))?;
    let stop = CancellationToken::new();
    stop_on_signals(vec![stop.clone()], &[SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()])?;
    server.serve(stop).await;
    Ok(Exit::Ok)
}

/// What the endpoint knows from the start: the configured task definitions, and the clusters that jobs name.
pub(super) fn settings(config: Option<&Config>, journal: Option<PathBuf>) -> Settings {
    let mut settings = Settings { journal, ..Settings::default() };
    if let Some(config) = config {
        // A job may name its cluster by ARN; the endpoint wants the name.
        let named = config.jobs.values().map(|job| job.definition.task.cluster.as_str());
        let clusters: BTreeSet<&str> = named.map(|cluster| cluster.rsplit('/').next().unwrap_or(cluster)).collect();
        settings.clusters = clusters.into_iter().map(str::to_owned).collect();
        settings.task_definitions.clone_from(&config.local);
        if let Some(region) = &config.ecs.region {
            settings.region.clone_from(region);
        }
    }
    settings
}

pub(super) async fn bind(listen: SocketAddr, settings: Settings) -> Result<Server, Failed> {
    let told = |error: BindError| Failed::new(Exit::Unavailable, observe::chain(&error));
    Server::bind(listen, settings).await.map_err(told)
}
