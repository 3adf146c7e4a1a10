//! The page over a long history: how long it takes until the first byte of an answer comes.
//!
//! The daemon makes one run of each job; the rows of those are then copied into the past, with all that belongs to them.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rusqlite::Connection;

use super::endpoint::Endpoint;
use super::site::{Quota, Site, wait_until};
use super::{Aim, Figure, Scale, figure, instant_in, lead, spread};

/// How often each address is asked for.
const ASKED: usize = 21;
/// From one run of a job to the next, in milliseconds.
const APART: i64 = 300_000;
/// Copies that one transaction makes of each run.
const COPIES_AT_ONCE: usize = 100;

/// Copies of all runs that were made. `n` says how far back: the place of a copy lies before those of later ones. Every fiftieth
/// failed.
const COPIES: [&str; 4] = [
    "INSERT INTO run (seq, id, instance, job, trigger, scheduled_at, created_at, finished_at, deadline, cancelled, status, \
     state, definition, retries_used, history_len, attempts, error, cause, exit_code, next_action_at, request, term) \
     SELECT seq - n * JOBS, job || '-copy-' || n, instance, job, trigger, scheduled_at - n * APART, created_at - n * APART, \
     finished_at - n * APART, deadline - n * APART, cancelled, iif((n + seq) % 50, status, 'failed'), state, definition, \
     retries_used, history_len, attempts, iif((n + seq) % 50, error, 'States.TaskFailed'), \
     iif((n + seq) % 50, cause, 'container app exited with 1'), exit_code, next_action_at, request, term",
    "INSERT INTO launch (run, generation, client_token, started_by, request, first_sent_at, unresolved) \
     SELECT run - n * JOBS, generation, client_token || '-' || n, started_by, request, first_sent_at - n * APART, unresolved",
    "INSERT INTO attempt (run, attempt, body) SELECT run - n * JOBS, attempt, body",
    "INSERT INTO event (run, seq, at, type, detail) SELECT run - n * JOBS, seq, at - n * APART, type, detail",
];
const OF: [&str; 4] = ["run WHERE seq > 0", "launch WHERE run > 0", "attempt WHERE run > 0", "event WHERE run > 0"];

/// So many runs of a few jobs, and of many.
pub fn page(endpoint: &mut Endpoint, scale: Scale) -> Vec<Figure> {
    [50, scale.shown_jobs].into_iter().flat_map(|jobs| of_jobs(endpoint, jobs, scale.history)).collect()
}

fn of_jobs(endpoint: &mut Endpoint, jobs: usize, runs: usize) -> Vec<Figure> {
    endpoint.begin(Some(0));
    let (_, once) = instant_in(lead(jobs));
    let schedule = |_| format!("schedule = [\"{once}\", \"0 3 * * *\"]");
    let site = Site::new(&endpoint.address, Quota::OFF, (0..jobs).map(schedule));
    let maker = site.daemon();
    wait_until("each job has a run", || site.count("succeeded") == jobs);
    drop(maker);
    copy(&site, jobs, runs.div_ceil(jobs).saturating_sub(1));
    let daemon = site.daemon();
    let figures = ["/", "/timeline", "/jobs/job-7", "/runs", "/runs/job-7-copy-1"].map(|path| {
        let answers: Vec<Answer> = (0..ASKED).map(|_| ask(&site, path)).collect();
        let kilobytes = answers.iter().map(|answer| answer.bytes).max().unwrap_or_default() as f64 / 1e3;
        let median = spread(answers.into_iter().map(|answer| answer.first_byte).collect()).median;
        let what = format!("{path} of {jobs} jobs with {runs} runs, {kilobytes:.0} kB: the first byte");
        figure(what, median, "ms", Aim::AtMost(20.0))
    });
    drop(daemon);
    figures.into()
}

/// Copies what is stored into the past, so many times.
fn copy(site: &Site, jobs: usize, copies: usize) {
    let mut state = Connection::open(site.path("state.db")).unwrap();
    state.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -262144").unwrap();
    for from in (1..=copies).step_by(COPIES_AT_ONCE) {
        let transaction = state.transaction().unwrap();
        let until = (from + COPIES_AT_ONCE - 1).min(copies);
        for (copy, of) in COPIES.into_iter().zip(OF) {
            let copy = copy.replace("JOBS", &jobs.to_string()).replace("APART", &APART.to_string());
            let numbers = format!("SELECT {until} UNION ALL SELECT n - 1 FROM copy WHERE n > {from}");
            transaction.execute(&format!("WITH RECURSIVE copy (n) AS ({numbers}) {copy} FROM copy, {of}"), []).unwrap();
        }
        transaction.commit().unwrap();
    }
}

struct Answer {
    /// From the connection on, in milliseconds.
    first_byte: f64,
    /// Of the whole answer.
    bytes: usize,
}

fn ask(site: &Site, path: &str) -> Answer {
    let begun = Instant::now();
    let mut socket = UnixStream::connect(site.path("control.sock")).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: text/html\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = vec![0];
    socket.read_exact(&mut answer).unwrap();
    let first_byte = begun.elapsed().as_secs_f64() * 1e3;
    socket.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&answer));
    Answer { first_byte, bytes: answer.len() }
}
