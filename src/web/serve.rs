//! Serving connections: each a task of its own, within limits that no stranger can move.
//!
//! Of whoever connects nothing is believed: not that a head or a body ever comes to its end, nor that an answer is taken. All
//! that they can hold is one of a counted number of connections, for a while.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router, middleware};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::api::Problem;
use super::backup;
use super::hands::BodyWithin;
use super::heads::{Heads, TwoLengths};
use super::patient::Patient;
use super::peer::Peer;
use super::seldom::Seldom;

/// How many connections a listener has at once.
const CONNECTIONS_MAX: usize = 512;
/// How long the head of a request may take to come, from the moment when the connection is ready for it: so also how long a
/// connection may be idle.
const HEAD_WITHIN: Duration = Duration::from_secs(20);
/// The largest head of a request, and the most headers.
pub(super) const HEAD_BYTES_MAX: usize = 32 << 10;
const HEADERS_MAX: usize = 64;
/// How long an answer may take to be made; what it waits for has shorter limits of its own, but for a large configuration.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// The same of a backup: the whole state is copied, checked and read before its first byte is sent.
const BACKUP_WITHIN: Duration = Duration::from_secs(60 * 60);
/// How long the other end may take none of an answer.
const TAKE_WITHIN: Duration = Duration::from_secs(30);
/// How long answers under way may take once serving has been told to stop. Whoever sent half a request is not waited for.
const END_WITHIN: Duration = Duration::from_secs(1);
/// The pause after a connection could not be accepted, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What no stranger can move.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    connections: usize,
    head_within: Duration,
    body_within: BodyWithin,
    answer_within: Duration,
    take_within: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: CONNECTIONS_MAX,
            head_within: HEAD_WITHIN,
            body_within: BodyWithin::default(),
            answer_within: ANSWER_WITHIN,
            take_within: TAKE_WITHIN,
        }
    }
}

/// What is listened on.
pub(super) trait Door: Send {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next one.
    fn open(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;

    /// Says at once that there is no place, if the kernel takes it at once.
    fn turn_away(stream: &Self::Stream) -> io::Result<usize>;
}

/// What whoever finds no place is told.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n";

impl Door for TcpListener {
    type Stream = TcpStream;

    async fn open(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, from) = self.accept().await?;
        // Events are small and must not wait for each other.
        stream.set_nodelay(true)?;
        Ok((stream, Peer::Port { address: from.ip().to_canonical(), holder: None }))
    }

    fn turn_away(stream: &TcpStream) -> io::Result<usize> {
        stream.try_write(FULL)
    }
}

impl Door for UnixListener {
    type Stream = UnixStream;

    async fn open(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = self.accept().await?;
        let peer = stream.peer_cred().map_or(Peer::Unknown, |told| Peer::User(told.uid()));
        Ok((stream, peer))
    }

    fn turn_away(stream: &UnixStream) -> io::Result<usize> {
        stream.try_write(FULL)
    }
}

/// Serves until `stop`, and then for as long as answers are under way, within a limit.
pub(super) async fn serve<D: Door>(door: D, router: Router, limits: Limits, stop: CancellationToken) {
    let router = sealed(router, limits);
    let (connections, cut_off) = (TaskTracker::new(), CancellationToken::new());
    let _cut_off = cut_off.clone().drop_guard();
    let places = Arc::new(Semaphore::new(limits.connections));
    let (crowded, failing) = (Seldom::default(), Seldom::default());
    loop {
        let opened = tokio::select! {
            () = stop.cancelled() => break,
            opened = door.open() => opened,
        };
        match (opened, Arc::clone(&places).try_acquire_owned()) {
            (Ok((stream, peer)), Ok(place)) => {
                let connection = connection(stream, peer, router.clone(), limits, stop.clone());
                let cut_off = cut_off.clone();
                connections.spawn(async move {
                    cut_off.run_until_cancelled(connection).await;
                    drop(place);
                });
            }
            (Ok((stream, peer)), Err(_)) => {
                // Whether it hears that is its affair.
                drop(D::turn_away(&stream));
                if let Some(held_back) = crowded.now() {
                    let from = peer.address().map(tracing::field::display);
                    tracing::warn!(connections = limits.connections, from, held_back, "connection refused: too many");
                }
            }
            (Err(error), _) => {
                if let Some(held_back) = failing.now() {
                    tracing::warn!(%error, held_back, "connection could not be accepted");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(door);
    connections.close();
    if tokio::time::timeout(END_WITHIN, connections.wait()).await.is_err() {
        tracing::debug!("connections that had not ended were cut off");
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let (routes, heads) = (TowerToHyperService::new(router), Heads::default());
    let seen = heads.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        if let Some(two_lengths) = seen.next() {
            request.extensions_mut().insert(two_lengths);
        }
        routes.call(request)
    });
    let stream = TokioIo::new(Patient::new(stream, limits.take_within, heads));
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(limits.head_within);
    // Whoever has asked may say that it asks no more (`nc -N`) and still wants its answer. So a connection whose other end is
    // gone is known by what is written to it, or by the end of what it waits for.
    protocol.half_close(true);
    protocol.max_header_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX).max_buf_size(2 * HEAD_BYTES_MAX);
    let mut connection = pin!(protocol.serve_connection(stream, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// What holds for every answer, refusals too.
fn sealed(router: Router, limits: Limits) -> Router {
    router.layer(Extension(limits.body_within)).layer(middleware::from_fn(
        move |request: Request, next: Next| async move {
            let is_encoded = request.headers().contains_key(header::TRANSFER_ENCODING);
            let mut response = answer(request, next, limits.answer_within).await;
            seal(&mut response);
            if is_encoded {
                // `heads.rs` looks no further.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        },
    ))
}

async fn answer(request: Request, next: Next, within: Duration) -> Response {
    if request.extensions().get::<TwoLengths>().is_some() {
        let why = "the request says its length twice: Content-Length and Transfer-Encoding";
        return Problem::bad_request(why).into_response();
    }
    let is_backup = request.uri().path() == backup::PATH;
    let within = if is_backup { BACKUP_WITHIN } else { within };
    let answered = tokio::time::timeout(within, next.run(request)).await;
    answered.unwrap_or_else(|_elapsed| {
        let why = "this took too long, and may still be done";
        Problem(StatusCode::SERVICE_UNAVAILABLE, why.into()).into_response()
    })
}

/// Nothing of an answer is kept, guessed at, shown in a frame, or given to other pages, unless it says otherwise of itself.
fn seal(response: &mut Response) {
    const SEALS: [(HeaderName, &str); 6] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in SEALS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::body::Body;
    use axum::routing::{get, post};
    use futures_util::stream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    use super::super::hands::{Plain, Said};
    use super::*;

    /// Long enough for nothing to hit it by chance.
    const AMPLE: Duration = Duration::from_secs(600);
    const SHORT: Duration = Duration::from_millis(50);

    struct Server {
        address: SocketAddr,
        stop: CancellationToken,
        serving: JoinHandle<()>,
    }

    fn ample() -> Limits {
        let body_within = BodyWithin(AMPLE);
        Limits { head_within: AMPLE, body_within, answer_within: AMPLE, take_within: AMPLE, ..Limits::default() }
    }

    async fn server(limits: Limits) -> Server {
        let endless =
            || async { Body::from_stream(stream::repeat(Ok::<_, std::convert::Infallible>(vec![b'x'; 64 << 10]))) };
        // Some bytes at a time, as events are.
        let drip = || async {
            let pieces = stream::unfold((), |()| async {
                tokio::task::yield_now().await;
                Some((Ok::<_, std::convert::Infallible>("x"), ()))
            });
            Body::from_stream(pieces)
        };
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route("/said", post(|_said: Said<Plain>| async { "done" }))
            .route("/never", get(std::future::pending::<&'static str>))
            .route("/endless", get(endless))
            .route("/drip", get(drip));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        Server { address, serving: tokio::spawn(serve(listener, router, limits, stop.clone())), stop }
    }

    impl Server {
        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        /// All that comes back until the connection is closed.
        async fn exchange(&self, request: &[u8]) -> String {
            let mut stream = self.connect().await;
            stream.write_all(request).await.unwrap();
            rest(&mut stream).await
        }

        /// Waits until a connection has a place.
        async fn gets_through(&self) {
            while !self.exchange(GET).await.starts_with("HTTP/1.1 200 ") {
                tokio::task::yield_now().await;
            }
        }
    }

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    async fn rest(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        // Whoever is cut off may see a reset.
        drop(stream.read_to_end(&mut bytes).await);
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn half_a_head_and_an_idle_connection_are_given_up() {
        let server = server(Limits { head_within: SHORT, ..ample() }).await;
        for begun in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
            assert!(!server.exchange(begun.as_bytes()).await.contains(" 200 "), "{begun}");
        }
        let kept = server.exchange(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(kept.starts_with("HTTP/1.1 200 ") && kept.ends_with("hello"), "{kept}");
    }

    #[tokio::test]
    async fn half_a_body_is_given_up_with_a_word() {
        let server = server(Limits { body_within: BodyWithin(SHORT), ..ample() }).await;
        for framing in ["Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"] {
            let request = format!("POST /said HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{framing}");
            let answer = server.exchange(request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        }
        server.gets_through().await;
    }

    #[tokio::test]
    async fn a_length_that_is_said_twice_is_refused_and_the_connection_is_closed() {
        let server = server(ample()).await;
        let (length, encoding) = ("Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n");
        let post = |headers: &str| format!("POST /said HTTP/1.1\r\nHost: x\r\n{headers}\r\n2\r\n{{}}\r\n0\r\n\r\n");
        let before = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for headers in [format!("{length}{encoding}"), format!("{encoding}{length}")] {
            let answers = server.exchange(format!("{before}{}{before}", post(&headers)).as_bytes()).await;
            let (first, second) = answers.split_once("hello").unwrap();
            assert!(first.starts_with("HTTP/1.1 200 ") && second.starts_with("HTTP/1.1 400 "), "{answers}");
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "nothing comes after it: {answers}");
        }
        let once = server.exchange(format!("{}{before}", post(encoding)).as_bytes()).await;
        assert!(once.starts_with("HTTP/1.1 200 ") && once.matches("HTTP/1.1 ").count() == 1, "{once}");
        assert!(once.contains("\r\nconnection: close\r\n"), "{once}");
    }

    #[tokio::test]
    async fn what_is_too_large_or_no_http_is_refused() {
        let server = server(ample()).await;
        let head = |more: &str| format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n");
        let cases = [
            (head(&format!("X-Large: {}\r\n", "x".repeat(HEAD_BYTES_MAX))), "431"),
            (head(&"X-Many: x\r\n".repeat(HEADERS_MAX)), "431"),
            (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(HEAD_BYTES_MAX)), "4"),
            ("\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n".to_owned(), "400"),
            ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(), "400"),
            (head("A B: x\r\n"), "400"),
        ];
        for (request, status) in cases {
            let answer = server.exchange(request.as_bytes()).await;
            let shown: String = request.chars().take(80).collect();
            assert!(answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown}: {answer}");
        }
        assert!(server.exchange(head(&"X-Some: x\r\n".repeat(HEADERS_MAX - 2)).as_bytes()).await.contains(" 200 "));
    }

    #[tokio::test]
    async fn a_crowd_is_turned_away_and_the_next_one_after_it_is_not() {
        let server = server(Limits { connections: 2, ..ample() }).await;
        let (mut first, mut second) = (server.connect().await, server.connect().await);
        let mut answered = [0; 12];
        for stream in [&mut first, &mut second] {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            stream.read_exact(&mut answered).await.unwrap();
            assert_eq!(&answered, b"HTTP/1.1 200");
        }
        let mut third = server.connect().await;
        let refused = rest(&mut third).await;
        assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 5"), "{refused}");
        drop(first);
        server.gets_through().await;
    }

    #[tokio::test]
    async fn whoever_takes_nothing_of_an_answer_loses_the_connection() {
        let server = server(Limits { connections: 1, take_within: SHORT, ..ample() }).await;
        let mut deaf = server.connect().await;
        deaf.write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        server.gets_through().await;
        drop(deaf);
    }

    #[tokio::test]
    async fn whoever_asks_no_more_gets_its_answer() {
        let server = server(Limits { connections: 1, answer_within: SHORT, ..ample() }).await;
        for (request, status) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
            ("POST /said HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", "200"),
            ("GET /never HTTP/1.1\r\nHost: x\r\n\r\n", "503"),
        ] {
            let mut stream = server.connect().await;
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let answer = rest(&mut stream).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        }
    }

    #[tokio::test]
    async fn whoever_closes_half_of_a_connection_holds_nothing() {
        let server = server(Limits { connections: 1, answer_within: SHORT, take_within: SHORT, ..ample() }).await;
        for request in [
            "GET /never HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n",
            "POST /said HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
            "POST /said HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
            "GET / HTTP/1.1\r\nHo",
            "",
        ] {
            let mut stream = server.connect().await;
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            server.gets_through().await;
            drop(stream);
        }
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_is_noticed_by_what_is_written_to_it() {
        let server = server(Limits { connections: 1, ..ample() }).await;
        let mut reader = server.connect().await;
        reader.write_all(b"GET /drip HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answered = [0; 12];
        reader.read_exact(&mut answered).await.unwrap();
        drop(reader);
        server.gets_through().await;
    }

    #[tokio::test]
    async fn an_answer_that_takes_too_long_is_an_answer_and_every_one_is_sealed() {
        let server = server(Limits { answer_within: SHORT, ..ample() }).await;
        let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        for (path, status) in [("/never", "503"), ("/", "200"), ("/nowhere", "404"), ("/said", "405")] {
            let answer = server.exchange(request(path).as_bytes()).await.to_ascii_lowercase();
            assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{path}: {answer}");
            for header in [
                "cache-control: no-store",
                "x-content-type-options: nosniff",
                "content-security-policy: default-src 'none'; frame-ancestors 'none'",
                "referrer-policy: no-referrer",
                "x-frame-options: deny",
                "cross-origin-resource-policy: same-origin",
            ] {
                assert!(answer.contains(&format!("\r\n{header}\r\n")), "{path} lacks {header}: {answer}");
            }
            assert!(!answer.contains("\r\nserver:") && !answer.contains("access-control-"), "{answer}");
        }
    }

    #[tokio::test]
    async fn the_end_waits_for_nobody_who_asks_for_nothing() {
        let server = server(ample()).await;
        let mut idle = server.connect().await;
        idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answered = [0; 12];
        idle.read_exact(&mut answered).await.unwrap();
        let mut stuck = server.connect().await;
        stuck.write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        server.stop.cancel();
        server.serving.await.unwrap();
        assert!(rest(&mut idle).await.ends_with("hello"));
        assert_eq!(rest(&mut stuck).await, "");
    }
}
