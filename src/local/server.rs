//! The server: it accepts connections until it is told to stop, and then leaves no process behind.
//!
//! It binds to loopback only. Whoever can reach it can run commands as its user, and nothing here checks who asks.
//!
//! The end of `serve` is bounded: SIGTERM to every container, SIGKILL after a short grace, then the ends are in the journal. If the
//! future is dropped instead, the same tokens are cancelled at once.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clock;
use super::endpoint::{Endpoint, OpenError};
use super::journal::JournalError;
use super::settings::Settings;
use super::wire;

const CONNECTIONS_MAX: usize = 1024;
/// The time between SIGTERM and SIGKILL when the endpoint itself ends, whatever a container's stop timeout is.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// How long the ends of killed processes may take to be seen and written.
const REAP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often what ECS would have forgotten is dropped.
const TIDY_INTERVAL: Duration = Duration::from_secs(60);
/// The pause after a connection could not be accepted, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why an endpoint cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address could be reached from elsewhere.
    #[error(
        "the local ECS endpoint runs commands for whoever reaches it, so it listens on loopback only, not on {address}"
    )]
    NotLoopback {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The address cannot be used.
    #[error("failed to listen on {address} for the local ECS endpoint")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What is new could not be kept.
    #[error("failed to take over new task definitions: {message}")]
    TakeOver {
        /// Why.
        message: String,
    },
    /// A task definition of the settings could never run.
    #[error("local task definition {family}: {message}")]
    TaskDefinition {
        /// Which one.
        family: String,
        /// What RegisterTaskDefinition would answer.
        message: String,
    },
}

/// A local ECS endpoint that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    endpoint: Arc<Endpoint>,
}

/// A handle on an endpoint that serves.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Endpoint>);

impl Handle {
    /// Takes over clusters and task definitions that are new or otherwise, as new revisions; nothing is forgotten.
    ///
    /// # Errors
    /// A definition could never run, and nothing is taken over; or the journal can't be written.
    pub async fn take_over(&self, settings: Settings) -> Result<(), BindError> {
        let mut state = self.0.state.lock().await;
        for entry in state.news(&settings, clock::now()).map_err(BindError::from)? {
            state.commit(entry).await.map_err(|refusal| BindError::TakeOver { message: refusal.message })?;
        }
        Ok(())
    }
}

impl From<OpenError> for BindError {
    fn from(error: OpenError) -> BindError {
        match error {
            OpenError::Journal(error) => BindError::Journal(error),
            OpenError::Definition { family, message } => BindError::TaskDefinition { family, message },
        }
    }
}

impl Server {
    /// Takes the address, then reads the journal and kills what an earlier endpoint left running.
    pub async fn bind(listen: SocketAddr, settings: Settings) -> Result<Self, BindError> {
        if !listen.ip().is_loopback() {
            return Err(BindError::NotLoopback { address: listen });
        }
        let failed = |source| BindError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let opened = tokio::task::spawn_blocking(move || Endpoint::open(&settings, clock::now()));
        let endpoint = opened.await.map_err(|error| failed(io::Error::other(error)))??;
        Ok(Self { listener, address, endpoint: Arc::new(endpoint) })
    }

    /// The address that it listens on, with the port that was chosen if none was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Lets others change what it knows while it serves.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.endpoint))
    }

    /// Serves until `stop` is cancelled, then ends every task and returns once that is recorded.
    pub async fn serve(self, stop: CancellationToken) {
        let endpoint = self.endpoint;
        let _closing = endpoint.closing.clone().drop_guard();
        let _killing = endpoint.killing.clone().drop_guard();
        let connections = TaskTracker::new();
        tokio::select! {
            () = accept(self.listener, &endpoint, &connections) => {}
            () = tidy(&endpoint) => {}
            () = stop.cancelled() => {}
        }
        endpoint.closing.cancel();
        connections.close();
        endpoint.supervisors.close();
        let ended = async {
            endpoint.supervisors.wait().await;
            connections.wait().await;
        };
        let mut ended = pin!(ended);
        if tokio::time::timeout(STOP_GRACE, ended.as_mut()).await.is_ok() {
            return;
        }
        endpoint.killing.cancel();
        if tokio::time::timeout(REAP_TIMEOUT, ended).await.is_err() {
            tracing::error!("failed to see the end of every task of the local endpoint");
        }
    }
}

async fn accept(listener: TcpListener, endpoint: &Arc<Endpoint>, connections: &TaskTracker) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let endpoint = Arc::clone(endpoint);
                connections.spawn(async move {
                    connection(stream, endpoint).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection to the local endpoint");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, endpoint: Arc<Endpoint>) {
    let closing = endpoint.closing.clone();
    let killing = endpoint.killing.clone();
    let service = service_fn(move |request| wire::serve(Arc::clone(&endpoint), request));
    // No time limit on the next request: a client's pool keeps idle connections, and closing one under it would look like trouble that
    // nobody scripted.
    let connection = http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = killing.cancelled() => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the local endpoint ended early");
    }
}

async fn tidy(endpoint: &Endpoint) {
    let mut interval = tokio::time::interval(TIDY_INTERVAL);
    loop {
        interval.tick().await;
        endpoint.state.lock().await.tidy(clock::now()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::orphans::Recorded;
    use super::super::settings::{Container, Outcome, TaskDefinition};
    use super::*;
    use serde_json::Value;
    use std::fs;
    use std::path::Path;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    const LOOPBACK: &str = "127.0.0.1:0";
    const POLLS_MAX: u32 = 3000;

    fn settings(script: &str, outcomes: Vec<Outcome>) -> Settings {
        Settings {
            task_definitions: vec![TaskDefinition {
                family: "hello".to_owned(),
                containers: vec![Container {
                    name: "app".to_owned(),
                    command: ["sh", "-c", script].map(str::to_owned).to_vec(),
                    ..Container::default()
                }],
                outcomes,
            }],
            ..Settings::default()
        }
    }

    async fn start(settings: Settings) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let server = Server::bind(LOOPBACK.parse().unwrap(), settings).await.unwrap();
        let address = server.local_addr();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(stop.clone()));
        (address, stop, serving)
    }

    /// Everything that the endpoint writes on one connection.
    async fn exchange(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // A connection that is reset has no answer either.
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    async fn call(address: SocketAddr, operation: &str, body: &str) -> String {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/x-amz-json-1.1\r\n\
             X-Amz-Target: AmazonEC2ContainerServiceV20141113.{operation}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(address, &request).await
    }

    /// The first process that the journal names.
    async fn first_process(journal: &Path) -> Recorded {
        for _ in 0..POLLS_MAX {
            let text = fs::read_to_string(journal).unwrap();
            let mut entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(started) = entries.find(|entry| entry["event"] == "started") {
                return serde_json::from_value(started["processes"]["app"].clone()).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no process was started");
    }

    fn lives(process: &Recorded) -> bool {
        Recorded::of(process.pid).as_ref() == Some(process)
    }

    #[tokio::test]
    async fn only_loopback_is_served() {
        for address in ["0.0.0.0:0", "192.0.2.1:80", "[::]:0"] {
            let error = Server::bind(address.parse().unwrap(), Settings::default()).await.unwrap_err();
            assert!(matches!(error, BindError::NotLoopback { .. }));
            assert!(error.to_string().contains(address), "{error}");
        }
    }

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let (address, _stop, _serving) = start(Settings::default()).await;
        let error = Server::bind(address, Settings::default()).await.unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn a_definition_that_could_never_run_is_named() {
        let mut settings = settings("true", vec![]);
        settings.task_definitions[0].containers.clear();
        let error = Server::bind(LOOPBACK.parse().unwrap(), settings).await.unwrap_err();
        assert_eq!(error.to_string(), "local task definition hello: Container list cannot be empty.");
    }

    #[tokio::test]
    async fn answers_have_the_headers_of_ecs() {
        let (address, _stop, _serving) = start(settings("true", vec![])).await;
        let answer = call(address, "ListClusters", "{}").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("content-type: application/x-amz-json-1.1\r\n"));
        assert!(answer.contains("x-amzn-requestid: "));
        assert!(answer.contains("cluster/default"));
        let refusal = call(address, "DescribeTasks", "{}").await;
        assert!(refusal.starts_with("HTTP/1.1 400 "), "{refusal}");
        assert!(refusal.contains("\"__type\":\"InvalidParameterException\""));
        let malformed = call(address, "DescribeTasks", "{").await;
        assert!(malformed.contains("SerializationException"), "{malformed}");
        let greeting = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        assert!(exchange(address, greeting).await.contains("local ECS endpoint"));
        let foreign = "GET / HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n";
        let answer = exchange(address, foreign).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }

    #[tokio::test]
    async fn a_closed_connection_carries_not_one_byte() {
        let outcomes = vec![Outcome::ConnectionClosed];
        let (address, _stop, _serving) = start(settings("true", outcomes)).await;
        let run = r#"{"taskDefinition":"hello","clientToken":"t-1"}"#;
        assert_eq!(call(address, "RunTask", run).await, "");
        let replay = call(address, "RunTask", run).await;
        assert!(replay.contains("taskArn"), "{replay}");
    }

    #[tokio::test]
    async fn the_end_of_serving_kills_what_does_not_listen() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal");
        let settings = Settings {
            journal: Some(journal.clone()),
            ..settings("trap '' TERM; while :; do sleep 0.05; done", vec![])
        };
        let (address, stop, serving) = start(settings).await;
        call(address, "RunTask", r#"{"taskDefinition":"hello"}"#).await;
        let process = first_process(&journal).await;
        assert!(lives(&process));
        stop.cancel();
        serving.await.unwrap();
        assert!(!lives(&process));
        let record = fs::read_to_string(&journal).unwrap();
        let last = record.lines().last().unwrap();
        assert!(last.contains("\"event\":\"stopped\""), "{last}");
        assert!(last.contains("Host EC2 (instance local) terminated."));
    }

    #[tokio::test]
    async fn a_dropped_server_leaves_no_process() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal");
        let settings = Settings {
            journal: Some(journal.clone()),
            ..settings("trap '' TERM; while :; do sleep 0.05; done", vec![])
        };
        let (address, _stop, serving) = start(settings).await;
        call(address, "RunTask", r#"{"taskDefinition":"hello"}"#).await;
        let process = first_process(&journal).await;
        serving.abort();
        for _ in 0..POLLS_MAX {
            if !lives(&process) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the process lives on");
    }
}
