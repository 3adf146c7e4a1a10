//! The command line: one file for each command, exit codes in `exit.rs`.
//!
//! `run` builds the parts of the daemon and hands them over. `validate` and `next` need no daemon. All others ask a
//! running one over its control socket or at `--url`, and never open its store; `backup` opens one that no daemon has.

mod audit;
mod backup;
mod client;
mod completion;
mod doctor;
pub mod exit;
mod explain;
mod follow;
mod gate;
mod hands;
mod healthcheck;
mod iam_policy;
mod jobs;
mod local;
mod next;
mod notices;
mod online;
mod output;
mod places;
mod reload;
mod remote;
mod run;
mod runs;
mod schema;
mod service;
mod show;
mod signals;
mod targets;
mod validate;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::client::Client;
use self::exit::{Exit, Failed};
use self::remote::Remote;
use crate::config::{self, Config, Finding};

/// Where the configuration is unless told.
const DEFAULT_CONFIG: &str = "/etc/tenacron/tenacron.toml";
/// How many jobs an unknown one is answered with.
const JOBS_SHOWN: usize = 20;
/// Version and commit, as the daemon says them too.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("TENACRON_COMMIT"), ")");

/// A self-hosted scheduler for Amazon ECS and Fargate tasks.
#[derive(Debug, Parser)]
#[command(name = "tenacron", disable_version_flag = true, arg_required_else_help = true)]
struct Arguments {
    /// The configuration file; `jobs.d/*.toml` beside it belongs to it [default: /etc/tenacron/tenacron.toml]
    #[arg(long, global = true, env = "TENACRON_CONFIG", value_name = "PATH")]
    config: Option<PathBuf>,
    /// The control socket of the daemon, if it is not where the configuration says
    #[arg(long, global = true, env = "TENACRON_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    remote: remote::Address,
    /// Print version, commit and time zone database
    #[arg(short = 'V', long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Run(run::Arguments),
    /// Run the local ECS endpoint alone
    Local(local::Arguments),
    /// Check the configuration and show every mistake at once
    Validate(validate::Arguments),
    /// Show when jobs fire next; needs no daemon
    Next(next::Arguments),
    /// List the jobs of the running daemon
    Jobs(jobs::Arguments),
    /// List runs, newest first
    Runs(runs::Arguments),
    /// Show everything about one run
    Show(show::Arguments),
    /// Say in one line what became of an instant
    Why(why::Arguments),
    /// Run a job now
    Trigger(hands::TriggerArguments),
    /// End a run, and stop its task
    Cancel(hands::CancelArguments),
    /// Leave out the instants of a job, or of all, from now on
    Pause(hands::PauseArguments),
    /// Let them fire again
    Resume(hands::ResumeArguments),
    /// Run the instant of a run once more
    Retry(hands::RetryArguments),
    /// Run every instant of a range of the past
    Backfill(hands::BackfillArguments),
    /// List what people did, newest first
    Audit(audit::Arguments),
    /// List who was told what, newest first
    Notices(notices::Arguments),
    /// Read the configuration anew; SIGHUP and a change of the files do the same
    Reload(reload::Arguments),
    /// Say whether the daemon is well, in one line and by the exit code
    Healthcheck(healthcheck::Arguments),
    /// Show one page about daemon, configuration and state; needs no daemon
    Doctor(doctor::Arguments),
    /// Copy the state to a file, while the daemon runs or not
    Backup(backup::Arguments),
    /// Show what a job does about a failure; needs no daemon
    Explain(explain::Arguments),
    /// Print the IAM policy that the jobs need; needs no daemon
    IamPolicy(iam_policy::Arguments),
    /// Print a JSON Schema of the configuration, for editors
    Schema,
    /// Print a script that completes commands in a shell
    Completion(completion::Arguments),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::print_error(&format!("tenacron: failed to start: {error}"));
            return Exit::Failed.into();
        }
    };
    match runtime.block_on(dispatch(arguments)) {
        Ok(exit) => exit.into(),
        Err(failed) => {
            output::print_error(&format!("tenacron: {}", failed.message));
            failed.exit.into()
        }
    }
}

async fn dispatch(arguments: Arguments) -> Result<Exit, Failed> {
    if arguments.version {
        let version = VERSION.trim_end_matches(')');
        output::print(&format!("tenacron {version}, time zones {})\n", chrono_tz::IANA_TZDB_VERSION))?;
        return Ok(Exit::Ok);
    }
    let context = Context {
        is_default: arguments.config.is_none(),
        config: arguments.config.unwrap_or_else(|| DEFAULT_CONFIG.into()),
        socket: arguments.socket,
        remote: arguments.remote,
    };
    match arguments.command {
        Some(Command::Run(run)) => run::run(&context, run).await,
        Some(Command::Local(local)) => local::run(&context, local).await,
        Some(Command::Validate(validate)) => validate::run(&context, &validate).await,
        Some(Command::Next(next)) => next::run(&context, next).await,
        Some(Command::Jobs(jobs)) => jobs::run(&context, &jobs).await,
        Some(Command::Runs(runs)) => runs::run(&context, runs).await,
        Some(Command::Show(show)) => show::run(&context, &show).await,
        Some(Command::Why(why)) => why::run(&context, &why).await,
        Some(Command::Trigger(trigger)) => hands::trigger(&context, trigger).await,
        Some(Command::Cancel(cancel)) => hands::cancel(&context, cancel).await,
        Some(Command::Pause(pause)) => hands::pause(&context, pause).await,
        Some(Command::Resume(resume)) => hands::resume(&context, resume).await,
        Some(Command::Retry(retry)) => hands::retry(&context, retry).await,
        Some(Command::Backfill(backfill)) => hands::backfill(&context, backfill).await,
        Some(Command::Audit(audit)) => audit::run(&context, &audit).await,
        Some(Command::Notices(notices)) => notices::run(&context, notices).await,
        Some(Command::Reload(reload)) => reload::run(&context, &reload).await,
        Some(Command::Healthcheck(healthcheck)) => healthcheck::run(&context, &healthcheck).await,
        Some(Command::Doctor(doctor)) => doctor::run(&context, &doctor).await,
        Some(Command::Backup(backup)) => backup::run(&context, backup).await,
        Some(Command::Explain(explain)) => explain::run(&context, &explain),
        Some(Command::IamPolicy(policy)) => iam_policy::run(&context, &policy).await,
        Some(Command::Schema) => schema::run(),
        Some(Command::Completion(completion)) => completion::run(&completion),
        None => Err(Failed::new(Exit::Usage, "no command given; see --help")),
    }
}

/// A job that the configuration does not have, answered with some that it has.
fn no_such_job(config: &Config, name: &str) -> Failed {
    let known: Vec<&str> = config.jobs.keys().take(JOBS_SHOWN).map(|known| known.as_str()).collect();
    Failed::new(Exit::NotFound, format!("there is no job `{name}`; the configuration has {}", known.join(", ")))
}

/// What every command is given.
#[derive(Debug)]
struct Context {
    config: PathBuf,
    /// Nobody named the configuration.
    is_default: bool,
    socket: Option<PathBuf>,
    remote: remote::Address,
}

impl Context {
    /// The configuration and its warnings; its mistakes end the command.
    fn load(&self) -> Result<(Config, Vec<Finding>), Failed> {
        let loaded = config::load(&self.config);
        let told = loaded.render(output::wants_colors(&std::io::stderr()));
        match loaded.config {
            Some(config) => Ok((config, loaded.findings)),
            None => {
                let message = format!("the configuration {} is not usable\n{}", self.config.display(), told.trim_end());
                Err(Failed::new(Exit::Config, message))
            }
        }
    }

    /// The running daemon: at the URL that was named, else that of this configuration.
    async fn daemon(&self) -> Result<Client, Failed> {
        if let Some(remote) = Remote::of(&self.remote)? {
            return Ok(Client::Url(remote));
        }
        match &self.socket {
            Some(socket) => Client::connect(std::slice::from_ref(socket)).await,
            None => {
                let loaded = config::load(&self.config);
                Client::connect(&places::control_sockets(&self.config, &loaded)).await
            }
        }
    }
}
