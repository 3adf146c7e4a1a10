//! `run`: builds the parts of the daemon from the configuration and hands them over.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::exit::{Exit, Failed};
use super::follow::{self, Follower, Kept};
use super::places::Places;
use super::service;
use super::signals::{listen_for, outlive_full_files, stop_on_signals};
use super::{Context, gate, local, targets};
use crate::config::{self, Config, Look};
use crate::daemon::{Daemon, DaemonError, Mailbox, Settings, clock};
use crate::ecs::{self, AwsEcs, EventQueue};
use crate::local::Handle;
use crate::observe;
use crate::store::StoreError;
use crate::store::sqlite::{Holder, OpenError, SqliteStore, World};
use crate::web::api::{self, Sources};
use crate::web::gate::Access;
use crate::web::listen::{self, ControlSocket, ListenError};

/// How many who want the configuration read anew may wait.
const RELOADS_MAX: usize = 16;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Run tasks as processes of this machine, on an ECS endpoint inside this process; needs no AWS account
    #[arg(long)]
    local: bool,
    /// At the first signal to stop, begin nothing new and wait until the runs in flight are over; a second signal stops as usual
    #[arg(long)]
    drain: bool,
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<Exit, Failed> {
    // From before it is read: what changes meanwhile is read again.
    let read = config::look(&context.config);
    let (mut config, warnings) = context.load()?;
    observe::start_logging(ecs::QUIET);
    outlive_full_files()?;
    observe::warnings(warnings.iter().map(|one| (one.code, one.file.as_path(), one.line, &*one.message)));
    let mut places = Places::of(&config, arguments.local);
    if let Some(socket) = &context.socket {
        places.control_socket.clone_from(socket);
    }
    let store = open_store(&config, &places)?;
    let stops = Stops::new(arguments.drain);
    stop_on_signals(stops.stages(), &[SignalKind::terminate(), SignalKind::interrupt()])?;
    let hangups = listen_for(SignalKind::hangup())?;
    let endpoint = if arguments.local { Some(LocalEndpoint::start(&config, &places).await?) } else { None };
    let ecs = connect(&config, endpoint.as_ref()).await?;
    if !arguments.local {
        targets::settle(&mut config, ecs.own());
        targets::check(&ecs, targets::of(&config));
    }
    let event_queues = if arguments.local { Vec::new() } else { targets::event_queues(&config, &ecs).await };
    let local = endpoint.as_ref().map(|endpoint| endpoint.handle.clone());
    let ended = serve(Parts { config, places, store, ecs, event_queues, local, hangups, read }, stops).await;
    if let Some(endpoint) = endpoint {
        endpoint.stop().await;
    }
    ended
}

/// What the signals to stop lead to.
struct Stops {
    /// The first one came.
    asked: CancellationToken,
    /// The loop is to end. The same, unless it drains first.
    stop: CancellationToken,
    drains: bool,
}

impl Stops {
    fn new(drains: bool) -> Stops {
        let asked = CancellationToken::new();
        let stop = if drains { CancellationToken::new() } else { asked.clone() };
        Stops { asked, stop, drains }
    }

    /// One for each signal.
    fn stages(&self) -> Vec<CancellationToken> {
        [Some(&self.asked), self.drains.then_some(&self.stop)].into_iter().flatten().cloned().collect()
    }
}

/// Has the daemon drain once it is asked to stop.
async fn drain(mailbox: Mailbox, asked: CancellationToken) {
    asked.cancelled().await;
    tracing::info!(
        "draining: nothing new begins, and the daemon ends when the runs in flight are over; a second signal stops it"
    );
    mailbox.drain().await;
}

/// What a daemon is put together from.
struct Parts {
    config: Config,
    places: Places,
    store: SqliteStore,
    ecs: AwsEcs,
    event_queues: Vec<EventQueue>,
    /// The local ECS endpoint, if there is one.
    local: Option<Handle>,
    hangups: Signal,
    read: Look,
}

async fn serve(parts: Parts, stops: Stops) -> Result<Exit, Failed> {
    let Parts { config, places, store, ecs, event_queues, local, hangups, read } = parts;
    let listen_failed = |error: ListenError| Failed::new(Exit::Unavailable, observe::chain(&error));
    let control = ControlSocket::bind(&places.control_socket).await.map_err(listen_failed)?;
    let (rules, doubts) = gate::rules(&config.http).map_err(|error| Failed::new(Exit::Config, error))?;
    observe::warnings(doubts.iter().map(|one| (one.code, one.file.as_path(), one.line, &*one.message)));
    let access = Access::new(rules);
    let tcp = match config.http.listen {
        Some(address) => Some(listen::bind_tcp(address).await.map_err(listen_failed)?),
        None => None,
    };
    let http = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok());
    let (path, kept) = (config.path.clone(), Kept::of(&config));
    let (outlets, receiver) = watch::channel(follow::outlets(&config));
    let (shown, shows) = watch::channel(follow::shown(&config));
    let (own, named) = (ecs.own().clone(), config.targets.keys().cloned().collect::<Vec<_>>());
    let calls = ecs.clone();
    let (retention, rules) = watch::channel(config.retention);
    let settings = Settings {
        instance: config.instance,
        jobs: config.jobs.into_values().collect(),
        launch_rate: config.ecs.launch_rate,
        launch_burst: config.ecs.launch_burst,
        poll_interval: config.ecs.poll_interval,
        describe_rate: config.ecs.describe_rate,
        max_running: config.max_running,
        groups: config.groups,
        event_queues,
        outlets: receiver,
        retention: rules,
    };
    let daemon_failed = |error| daemon_failed(error, &places);
    let (daemon, mailbox) = Daemon::start(settings, store.clone(), ecs).await.map_err(daemon_failed)?;
    let (reloads, asks) = mpsc::channel(RELOADS_MAX);
    let listeners = CancellationToken::new();
    let (service, told) = mpsc::unbounded_channel();
    let follower = Follower {
        path,
        kept,
        mailbox: mailbox.clone(),
        ecs: calls,
        access: access.clone(),
        outlets,
        endpoint: local,
        asks,
        hangups,
        service,
        read,
        retention,
        shown,
    };
    let following = tokio::spawn(follower.run(listeners.clone()));
    let telling = tokio::spawn(service::tell(mailbox.clone(), told, stops.asked.clone(), listeners.clone()));
    if stops.drains {
        tokio::spawn(listeners.clone().run_until_cancelled_owned(drain(mailbox.clone(), stops.asked)));
    }
    let router = api::router(Sources { store, mailbox, reloads, shown: shows });
    let control = tokio::spawn(control.serve(router.clone(), listeners.clone()));
    let tcp = tcp.map(|tcp| tokio::spawn(listen::serve_tcp(tcp, router, access, listeners.clone())));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        state = %places.state.display(),
        control_socket = %places.control_socket.display(),
        http = http.map(tracing::field::display),
        region = own.region,
        endpoint = own.endpoint,
        targets = (!named.is_empty()).then(|| named.join(", ")),
        "daemon started"
    );
    let ended = daemon.run(stops.stop).await.map_err(daemon_failed);
    listeners.cancel();
    for listener in [Some(control), tcp, Some(following), Some(telling)].into_iter().flatten() {
        finish(listener).await;
    }
    ended?;
    tracing::info!("daemon stopped");
    Ok(Exit::Ok)
}

async fn finish(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "a part of the daemon ended abnormally");
    }
}

fn daemon_failed(error: DaemonError, places: &Places) -> Failed {
    let exit = match error {
        DaemonError::Load(StoreError::Damaged { .. }) | DaemonError::Damaged(_) => Exit::Damaged,
        DaemonError::Load(_) | DaemonError::StoppedUnsaved(_) | DaemonError::Severed(_) => Exit::State,
        DaemonError::Deposed(_) => Exit::Held,
        DaemonError::Inconsistent(_) => Exit::Software,
    };
    state_failed(exit, observe::chain(&error), places)
}

fn open_store(config: &Config, places: &Places) -> Result<SqliteStore, Failed> {
    let world = if places.journal.is_some() { World::Local } else { World::Aws };
    let holder = Holder::this_process(config.instance.clone());
    SqliteStore::open(&places.state, world, &holder, clock::now()).map_err(|error| {
        state_failed(exit_of(&error), format!("failed to open the state: {}", observe::chain(&error)), places)
    })
}

/// The exit code of a state that can't be opened.
pub(super) fn exit_of(error: &OpenError) -> Exit {
    match error {
        OpenError::Held { .. } => Exit::Held,
        OpenError::Damaged { .. } | OpenError::NotADatabase { .. } => Exit::Damaged,
        OpenError::NotWritable { .. }
        | OpenError::NewerSchema { .. }
        | OpenError::OtherWorld { .. }
        | OpenError::Database { .. } => Exit::State,
    }
}

/// The message with what to do where only a person can help.
fn state_failed(exit: Exit, what: String, places: &Places) -> Failed {
    if exit != Exit::Damaged {
        return Failed::new(exit, what);
    }
    let state = places.state.display();
    let advice = format!(
        "nothing was launched after this was found, and no restart mends it: keep a copy of {state} and what stands beside it, then \
         restore a backup"
    );
    Failed::new(exit, format!("{what}\n{advice}"))
}

async fn connect(config: &Config, endpoint: Option<&LocalEndpoint>) -> Result<AwsEcs, Failed> {
    match endpoint {
        Some(endpoint) => AwsEcs::local(&format!("http://{}", endpoint.address))
            .map_err(|error| Failed::new(Exit::Unavailable, observe::chain(&error))),
        None => targets::connect(config).await,
    }
}

/// The local ECS endpoint inside this process.
struct LocalEndpoint {
    address: SocketAddr,
    handle: Handle,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl LocalEndpoint {
    async fn start(config: &Config, places: &Places) -> Result<LocalEndpoint, Failed> {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = local::bind(anywhere, local::settings(Some(config), places.journal.clone())).await?;
        let (address, handle, stop) = (server.local_addr(), server.handle(), CancellationToken::new());
        tracing::info!(endpoint = %address, journal = places.journal.as_deref().map(Path::display).map(tracing::field::display), "local ECS endpoint started");
        Ok(LocalEndpoint { address, handle, serving: tokio::spawn(server.serve(stop.clone())), stop })
    }

    /// Ends it, and the tasks that it runs.
    async fn stop(self) {
        self.stop.cancel();
        finish(self.serving).await;
    }
}
