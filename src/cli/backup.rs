//! `backup`: a copy of the state. A running daemon makes it and sends its bytes, for a service may write nowhere else; without
//! one the command takes the lock, copies, and gives the lock back.
//!
//! The file has its name only when all of it is on the disk and its hash is the one that the daemon told.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::client::Client;
use super::exit::{Exit, Failed};
use super::output::{print, print_error};
use super::signals::outlive_full_files;
use super::{Context, places, run};
use crate::config;
use crate::daemon::clock;
use crate::engine::job::Instance;
use crate::observe;
use crate::store::sqlite::{Holder, copy_at_rest};
use crate::web::backup::{PATH, SHA256};
use crate::web::hands::Plain;

/// How long the daemon may take to answer at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long the daemon may take for the next bytes.
const BYTES_WITHIN: Duration = Duration::from_secs(60);
/// Standard output.
const STDOUT: &str = "-";
/// What lies beside the database of a daemon, by its name and these.
const BESIDE: [&str; 3] = [".lock", "-wal", "-shm"];
/// Who holds the lock, if the configuration does not say.
const NO_INSTANCE: &str = "default";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file to write, or `-` for standard output
    path: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<Exit, Failed> {
    let Arguments { path, force, reason } = arguments;
    outlive_full_files()?;
    let is_stdout = path.as_os_str() == STDOUT;
    if is_stdout && io::stdout().is_terminal() {
        return Err(Failed::new(Exit::Usage, "standard output is a terminal; give a file, or send it somewhere"));
    }
    let mut draft = if is_stdout { None } else { Some(Draft::of(&path, force)?) };
    match (answering(context).await, &mut draft) {
        (Ok(client), draft) => {
            let response = client.post_for_file(PATH, &Plain { reason }).await?;
            match draft {
                Some(draft) => receive(response, draft.create()?, &path).await?,
                None => receive(response, io::stdout().lock(), Path::new("the output")).await?,
            }
        }
        (Err(silent), Some(draft)) if silent.exit == Exit::NoDaemon && context.socket.is_none() => {
            at_rest(context, &draft.partial, &silent)?;
        }
        (Err(failed), _) => return Err(failed),
    }
    match draft {
        Some(draft) => {
            let len = draft.keep()?;
            print(&format!("{}: {len} bytes\n", path.display()))?;
        }
        None => print_error("the backup is complete"),
    }
    Ok(Exit::Ok)
}

/// The daemon, if it answers anything at all: a copy may take it long, so one that hangs is to be found out before.
async fn answering(context: &Context) -> Result<Client, Failed> {
    let client = context.daemon().await?;
    match tokio::time::timeout(ANSWER_WITHIN, client.get::<serde_json::Value>("/healthz")).await {
        Ok(_whatever) => Ok(client),
        Err(_elapsed) => Err(Failed::new(Exit::NoDaemon, "the daemon does not answer; it hangs")),
    }
}

/// Copies a database that no daemon has open.
fn at_rest(context: &Context, to: &Path, silent: &Failed) -> Result<(), Failed> {
    let loaded = config::load(&context.config);
    let candidates = places::databases(&context.config, &loaded);
    let Some(database) = candidates.iter().find(|path| path.exists()) else {
        let looked: Vec<String> = candidates.iter().map(|path| format!("  {}", path.display())).collect();
        let message = format!("{}\nand there is no state to copy. Looked for:\n{}", silent.message, looked.join("\n"));
        return Err(Failed::new(Exit::NoDaemon, message));
    };
    let unnamed = || Instance::new(NO_INSTANCE).map_err(|error| Failed::new(Exit::Software, error.to_string()));
    let instance = loaded.config.map(|config| config.instance).map_or_else(unnamed, Ok)?;
    copy_at_rest(database, to, &Holder::this_process(instance), clock::now()).map_err(|error| {
        let exit = run::exit_of(&error);
        let told = observe::chain(&error);
        let message = if exit == Exit::Held { format!("{told}, and {}", silent.message) } else { told };
        Failed::new(exit, message)
    })
}

/// Writes the bytes as they come, and checks that they are all and the right ones.
async fn receive(response: Response<Incoming>, mut to: impl Write, name: &Path) -> Result<(), Failed> {
    let cut = |why: String| Failed::new(Exit::Failed, format!("the backup was cut off: {why}"));
    let told = response.headers().get(SHA256).and_then(|hash| hash.to_str().ok()).map(str::to_owned);
    let mut body = response.into_body();
    let mut hash = Sha256::new();
    loop {
        let frame = tokio::time::timeout(BYTES_WITHIN, body.frame()).await;
        let Some(frame) = frame.map_err(|_| cut("the daemon sent nothing for a minute".into()))? else { break };
        let Ok(bytes) = frame.map_err(|error| cut(observe::chain(&error)))?.into_data() else { continue };
        hash.update(&bytes);
        to.write_all(&bytes).map_err(|error| write_failed(name, &error))?;
    }
    to.flush().map_err(|error| write_failed(name, &error))?;
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if told.as_deref() == Some(found.as_str()) {
        return Ok(());
    }
    let told = told.unwrap_or_else(|| "none".into());
    Err(Failed::new(
        Exit::Failed,
        format!("the bytes that came are not those of the backup: SHA-256 {found}, not {told}"),
    ))
}

fn write_failed(path: &Path, error: &io::Error) -> Failed {
    Failed::new(Exit::Failed, format!("failed to write {}: {error}", path.display()))
}

/// A file that has its name when it is complete; until then another one beside it, which goes away with this.
#[derive(Debug)]
struct Draft {
    path: PathBuf,
    partial: PathBuf,
    may_replace: bool,
}

impl Draft {
    fn of(path: &Path, may_replace: bool) -> Result<Draft, Failed> {
        let refused = |why: &str| Failed::new(Exit::Failed, format!("{}: {why}", path.display()));
        let Some(name) = path.file_name() else { return Err(refused("is not the name of a file")) };
        match fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => return Err(refused("what stands there is no file; nothing was written")),
            Ok(_) if !may_replace => return Err(refused("is there already; --force replaces it")),
            Ok(_) if is_of_a_state(path, &name.to_string_lossy()) => {
                return Err(refused(
                    "is a state, or belongs to one, and a daemon may be at work on it; nothing was written",
                ));
            }
            Ok(_) | Err(_) => {}
        }
        let partial = path.with_file_name(format!(".{}.{}.partial", name.to_string_lossy(), std::process::id()));
        Ok(Draft { path: path.to_owned(), partial, may_replace })
    }

    fn create(&self) -> Result<File, Failed> {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.partial);
        made.map_err(|error| write_failed(&self.partial, &error))
    }

    /// Gives it its name once it is on the disk, and says how long it is.
    fn keep(self) -> Result<u64, Failed> {
        let failed = |error: io::Error| write_failed(&self.path, &error);
        let file = File::open(&self.partial).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        if self.may_replace {
            fs::rename(&self.partial, &self.path).map_err(failed)?;
        } else {
            self.name_it().map_err(failed)?;
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(len)
    }

    /// Whoever made a file of that name meanwhile keeps it.
    fn name_it(&self) -> io::Result<()> {
        match renameat_with(CWD, &self.partial, CWD, &self.path, RenameFlags::NOREPLACE) {
            // Not every file system can.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if !self.path.exists() => {
                fs::rename(&self.partial, &self.path)
            }
            renamed => Ok(renamed?),
        }
    }
}

/// Whether a file is a database with what a daemon puts beside it, or one of those files. A backup has none of them.
fn is_of_a_state(path: &Path, name: &str) -> bool {
    BESIDE.iter().any(|suffix| {
        let database = name.strip_suffix(suffix).filter(|database| !database.is_empty());
        let is_there = |name: String| path.with_file_name(name).exists();
        is_there(format!("{name}{suffix}")) || database.is_some_and(|database| is_there(database.to_owned()))
    })
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _gone_or_never_there = fs::remove_file(&self.partial);
    }
}
