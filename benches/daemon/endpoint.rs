//! A fast ECS endpoint in a process of its own, so that its CPU is not counted as the daemon's.
//!
//! It answers at once and keeps only what the benchmarks ask for: when each RunTask arrived, on the clock of the machine
//! that the daemon reads too, how many tasks each DescribeTasks named, and what its quota refused. The bench talks to it
//! by lines: a command on its standard input, one line of answer on its standard output. It ends when that input does.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// The argument that makes the bench's own binary the endpoint.
pub const ROLE: &str = "fast-endpoint";

/// Microseconds since 1970.
pub type Micros = i64;

/// The machine's clock.
pub fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Micros::try_from(since.as_micros()).unwrap()
}

/// What the endpoint has seen since it was last told to forget.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Seen {
    /// When each RunTask that started a task arrived, and the instant in its tags.
    pub launches: Vec<(Micros, Micros)>,
    /// When each DescribeTasks arrived, and how many tasks it named.
    pub looks: Vec<(Micros, usize)>,
    /// RunTask calls that the quota refused.
    pub throttled: usize,
    /// RunTask calls that repeated a client token.
    pub repeated: usize,
}

/// A token bucket, as ECS has one.
struct Quota {
    rate: f64,
    burst: f64,
    tokens: f64,
    filled_at: Micros,
}

impl Quota {
    fn take(&mut self, at: Micros) -> bool {
        self.tokens = (self.tokens + (at - self.filled_at) as f64 / 1e6 * self.rate).min(self.burst);
        self.filled_at = at;
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

#[derive(Default)]
struct Books {
    /// How long a task runs, in microseconds; none: for ever.
    run_for: Option<Micros>,
    quota: Option<Quota>,
    /// When each task was launched; its place is its number.
    tasks: Vec<Micros>,
    /// Which task a client token has started.
    by_token: HashMap<String, usize>,
    seen: Seen,
}

/// The endpoint's own process.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let books = Arc::new(Mutex::new(Books::default()));
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        let told = Arc::clone(&books);
        std::thread::spawn(move || obey(&told));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let books = Arc::clone(&books);
            let service = service_fn(move |request| answer(Arc::clone(&books), request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
}

/// Carries out the bench's commands until it has gone.
fn obey(books: &Mutex<Books>) {
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let mut books = books.lock().unwrap();
        let mut reply = "ok".to_owned();
        match *words {
            ["forget"] => *books = Books::default(),
            ["forget_looks"] => books.seen.looks.clear(),
            ["tasks_run_for", millis] => books.run_for = Some(millis.parse::<Micros>().unwrap() * 1000),
            ["quota", rate, burst] => {
                let (rate, burst) = (rate.parse().unwrap(), burst.parse().unwrap());
                books.quota = Some(Quota { rate, burst, tokens: burst, filled_at: now() });
            }
            ["tell"] => reply = serde_json::to_string(&books.seen).unwrap(),
            _ => panic!("no command: {line}"),
        }
        println!("{reply}");
    }
    std::process::exit(0);
}

async fn answer(books: Arc<Mutex<Books>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let at = now();
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = std::str::from_utf8(&body).unwrap();
    let mut books = books.lock().unwrap();
    let (status, text) = match operation.as_str() {
        "RunTask" => run_task(&mut books, body, at),
        "DescribeTasks" => (StatusCode::OK, describe_tasks(&mut books, body, at)),
        "DescribeTaskDefinition" => (StatusCode::OK, DEFINITION.to_owned()),
        "ListTasks" => (StatusCode::OK, r#"{"taskArns":[]}"#.to_owned()),
        _ => (StatusCode::BAD_REQUEST, r#"{"__type":"ClientException","message":"not served here"}"#.to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/x-amz-json-1.1"));
    Ok(response)
}

const DEFINITION: &str =
    r#"{"taskDefinition":{"family":"bench","revision":1,"containerDefinitions":[{"name":"app","essential":true}]}}"#;
const ARN: &str = "arn:aws:ecs:eu-central-1:123456789012:task/batch/";

fn run_task(books: &mut Books, body: &str, at: Micros) -> (StatusCode, String) {
    let token = member(body, r#""clientToken":""#).unwrap();
    let number = match books.by_token.get(token) {
        Some(number) => {
            books.seen.repeated += 1;
            *number
        }
        None if books.quota.as_mut().is_some_and(|quota| !quota.take(at)) => {
            books.seen.throttled += 1;
            let text = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
            return (StatusCode::BAD_REQUEST, text.to_owned());
        }
        None => {
            let scheduled_at = member(body, r#""tenacron:scheduled-at","value":""#).unwrap();
            let scheduled_at = chrono::DateTime::parse_from_rfc3339(scheduled_at).unwrap();
            books.seen.launches.push((at, scheduled_at.timestamp_micros()));
            books.by_token.insert(token.to_owned(), books.tasks.len());
            books.tasks.push(at);
            books.tasks.len() - 1
        }
    };
    let mut text = r#"{"failures":[],"tasks":["#.to_owned();
    write_task(&mut text, number, Shown::Starting);
    text.push_str("]}");
    (StatusCode::OK, text)
}

/// What follows the mark, up to the next quote: quicker than reading all of the JSON, which would be the bench's own work.
fn member<'a>(body: &'a str, mark: &str) -> Option<&'a str> {
    body.split_once(mark)?.1.split('"').next()
}

fn describe_tasks(books: &mut Books, body: &str, at: Micros) -> String {
    #[derive(Deserialize)]
    struct Asked<'a> {
        #[serde(borrow)]
        tasks: Vec<&'a str>,
    }
    let asked: Asked<'_> = serde_json::from_str(body).unwrap();
    books.seen.looks.push((at, asked.tasks.len()));
    let (mut shown, mut missing) = (String::new(), String::new());
    for arn in asked.tasks {
        let number = arn.strip_prefix(ARN).and_then(|number| number.parse::<usize>().ok());
        let task = number.and_then(|number| Some((number, *books.tasks.get(number)?)));
        let list = if task.is_some() { &mut shown } else { &mut missing };
        if !list.is_empty() {
            list.push(',');
        }
        match task {
            None => write!(list, r#"{{"arn":"{arn}","reason":"MISSING"}}"#).unwrap(),
            Some((number, launched_at)) => {
                let stopped_at = books.run_for.map(|run_for| launched_at + run_for).filter(|stop| *stop <= at);
                write_task(list, number, stopped_at.map_or(Shown::Running(launched_at), Shown::Stopped));
            }
        }
    }
    format!(r#"{{"failures":[{missing}],"tasks":[{shown}]}}"#)
}

enum Shown {
    Starting,
    Running(Micros),
    Stopped(Micros),
}

/// A task with the members that real answers have and the daemon reads.
fn write_task(text: &mut String, number: usize, shown: Shown) {
    let (status, rest, container) = match shown {
        Shown::Starting => ("PROVISIONING", String::new(), ""),
        Shown::Running(since) => ("RUNNING", format!(r#","startedAt":{}"#, since / 1_000_000), ""),
        Shown::Stopped(at) => {
            let at = at / 1_000_000;
            let why = r#""stopCode":"EssentialContainerExited","stoppedReason":"Essential container in task exited""#;
            ("STOPPED", format!(r#","startedAt":{at},"stoppedAt":{at},{why}"#), r#","exitCode":0"#)
        }
    };
    let definition = "arn:aws:ecs:eu-central-1:123456789012:task-definition/bench:1";
    write!(
        text,
        r#"{{"taskArn":"{ARN}{number:032}","taskDefinitionArn":"{definition}","launchType":"FARGATE","lastStatus":"{status}",
        "containers":[{{"name":"app","lastStatus":"{status}"{container}}}]{rest}}}"#
    )
    .unwrap();
}

/// The bench's hold on the endpoint.
pub struct Endpoint {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl Endpoint {
    /// Starts the second process.
    pub fn start() -> Endpoint {
        let own = std::env::current_exe().unwrap();
        let piped = Command::new(own).arg(ROLE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = piped.unwrap();
        let commands = process.stdin.take().unwrap();
        let mut endpoint = Endpoint {
            commands,
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
            address: String::new(),
        };
        endpoint.address = endpoint.answer();
        endpoint
    }

    /// Forgets all; tasks now run so long, or for ever.
    pub fn begin(&mut self, run_for_millis: Option<u64>) {
        self.order("forget");
        if let Some(millis) = run_for_millis {
            self.order(&format!("tasks_run_for {millis}"));
        }
    }

    /// Refuses RunTask beyond so many a second, and so many at once.
    pub fn enforce(&mut self, rate: f64, burst: u32) {
        self.order(&format!("quota {rate} {burst}"));
    }

    /// Forgets the DescribeTasks calls.
    pub fn forget_looks(&mut self) {
        self.order("forget_looks");
    }

    /// What it has seen.
    pub fn seen(&mut self) -> Seen {
        writeln!(self.commands, "tell").unwrap();
        serde_json::from_str(&self.answer()).unwrap()
    }

    fn order(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
        assert_eq!(self.answer(), "ok");
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _ended = self.process.wait();
    }
}
