//! How fast and how cheap the daemon is, from outside: its real process, a fast ECS endpoint in another one, a state on disk.
//!
//! `cargo bench --locked --bench daemon -- [SCENARIO…] [--rounds N] [--history RUNS]`; `benches/README.md` says what each scenario does and
//! has the numbers that we quote. Each figure is the median of its rounds, with the least and the greatest of them.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark measures, prints, and ends where it cannot go on"
)]
#![expect(unreachable_pub, reason = "nobody uses a benchmark")]

mod bare;
mod endpoint;
mod machine;
mod page;
mod site;

use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};

use self::endpoint::{Endpoint, Micros, Seen};
use self::site::{Quota, Site, wait_until};

/// One number of one round.
struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    aim: Aim,
}

/// What a number should be.
#[derive(Clone, Copy)]
enum Aim {
    AtMost(f64),
    AtLeast(f64),
    None,
}

fn figure(what: impl Into<String>, value: f64, unit: &'static str, aim: Aim) -> Figure {
    Figure { what: what.into(), value, unit, aim }
}

/// How much is done.
#[derive(Clone, Copy)]
struct Scale {
    rounds: usize,
    precision_seconds: usize,
    small_herd: usize,
    large_herd: usize,
    quota_herd: usize,
    polled: usize,
    sweeps: usize,
    jobs: usize,
    many_jobs: usize,
    recovered: usize,
    shown_jobs: usize,
    history: usize,
}

const FULL: Scale = Scale {
    rounds: 3,
    precision_seconds: 60,
    small_herd: 1_000,
    large_herd: 10_000,
    quota_herd: 400,
    polled: 5_000,
    sweeps: 2,
    jobs: 1_000,
    many_jobs: 100_000,
    recovered: 10_000,
    shown_jobs: 5_000,
    history: 1_000_000,
};

/// Enough to see that all of it works.
const SMALL: Scale = Scale {
    rounds: 1,
    precision_seconds: 2,
    small_herd: 10,
    large_herd: 20,
    quota_herd: 30,
    polled: 250,
    sweeps: 1,
    jobs: 20,
    many_jobs: 100,
    recovered: 20,
    shown_jobs: 60,
    history: 600,
};

type Scenario = fn(&mut Endpoint, Scale) -> Vec<Figure>;

const SCENARIOS: [(&str, Scenario); 8] = [
    ("precision", precision),
    ("herd", small_herd),
    ("large-herd", large_herd),
    ("quota", quota),
    ("polling", polling),
    ("memory", memory),
    ("recovery", recovery),
    ("page", page::page),
];

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|role| role == endpoint::ROLE) {
        endpoint::serve();
        return;
    }
    // Cargo's test runner builds and runs benchmarks too, with this flag missing.
    let mut scale = if take(&mut arguments, "--bench").is_some() { FULL } else { SMALL };
    if let Some(at) = take(&mut arguments, "--rounds") {
        scale.rounds = arguments.remove(at).parse().unwrap();
    }
    if let Some(at) = take(&mut arguments, "--history") {
        scale.history = arguments.remove(at).parse().unwrap();
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    assert!(
        arguments.iter().all(|argument| SCENARIOS.iter().any(|(name, _)| name == argument)),
        "the scenarios are {:?}",
        SCENARIOS.map(|(name, _)| name)
    );
    println!("{}\n", machine::description());
    println!("| scenario | what | median | least … greatest | aim | met |\n| --- | --- | --- | --- | --- | --- |");
    let mut endpoint = Endpoint::start();
    for (name, scenario) in SCENARIOS.into_iter().filter(|(name, _)| wanted(name)) {
        let rounds: Vec<Vec<Figure>> = (0..scale.rounds).map(|_| scenario(&mut endpoint, scale)).collect();
        report(name, &rounds);
    }
    println!("\nload average at the end: {}", machine::load());
}

/// Removes a flag and says where it stood.
fn take(arguments: &mut Vec<String>, flag: &str) -> Option<usize> {
    let at = arguments.iter().position(|argument| argument == flag)?;
    arguments.remove(at);
    Some(at)
}

fn report(scenario: &str, rounds: &[Vec<Figure>]) {
    for (nth, Figure { what, unit, aim, .. }) in rounds.first().unwrap().iter().enumerate() {
        let values: Vec<f64> = rounds.iter().map(|round| round.get(nth).unwrap().value).collect();
        let Spread { median, least, greatest } = spread(values);
        let (aim, met) = match *aim {
            Aim::AtMost(most) => (format!("≤ {most} {unit}"), if median <= most { "yes" } else { "no" }),
            Aim::AtLeast(least) => (format!("≥ {least} {unit}"), if median >= least { "yes" } else { "no" }),
            Aim::None => (String::new(), ""),
        };
        println!("| {scenario} | {what} | {median:.2} {unit} | {least:.2} … {greatest:.2} | {aim} | {met} |");
    }
}

struct Spread {
    median: f64,
    least: f64,
    greatest: f64,
}

fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    let part = |part: f64| percentile(&values, part);
    Spread { median: part(0.5), least: part(0.0), greatest: part(1.0) }
}

/// Of sorted values, the one that this part of them does not exceed.
fn percentile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().checked_sub(1).unwrap();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    let at = (last as f64 * part).round() as usize;
    *sorted.get(at).unwrap()
}

/// How late each RunTask arrived, in milliseconds, sorted.
fn lags(seen: &Seen) -> Vec<f64> {
    let mut lags: Vec<f64> = seen.launches.iter().map(|(at, instant)| (at - instant) as f64 / 1000.0).collect();
    lags.sort_by(f64::total_cmp);
    lags
}

/// Ten jobs of each second.
fn precision(endpoint: &mut Endpoint, scale: Scale) -> Vec<Figure> {
    const JOBS: usize = 10;
    endpoint.begin(Some(0));
    let site = Site::new(&endpoint.address, Quota::OFF, (0..JOBS).map(|_| due("* * * * * *")));
    let daemon = site.daemon();
    let wanted = scale.precision_seconds * JOBS;
    wait_until("all have left", || endpoint.seen().launches.len() >= wanted);
    drop(daemon);
    let mut seen = endpoint.seen();
    seen.launches.truncate(wanted);
    let lags = lags(&seen);
    vec![
        figure("RunTask after its instant, median", percentile(&lags, 0.5), "ms", Aim::AtMost(5.0)),
        figure("RunTask after its instant, p99", percentile(&lags, 0.99), "ms", Aim::AtMost(25.0)),
        figure("RunTask after its instant, worst", percentile(&lags, 1.0), "ms", Aim::None),
    ]
}

/// An instant to come, in whole seconds, and the schedule that names it.
fn instant_in(seconds: i64) -> (Micros, String) {
    let at = DateTime::from_timestamp_micros(endpoint::now()).unwrap() + TimeDelta::seconds(seconds + 1);
    let at = DateTime::<Utc>::from_timestamp(at.timestamp(), 0).unwrap();
    (at.timestamp_micros(), at.format("at(%Y-%m-%dT%H:%M:%S)").to_string())
}

/// Waits for an instant.
fn wait_for(instant: Micros) {
    let left = u64::try_from(instant - endpoint::now()).unwrap_or_default();
    std::thread::sleep(Duration::from_micros(left));
}

/// How long before its instant the daemon of a herd is started: until then it has read the jobs and come to rest.
fn lead(jobs: usize) -> i64 {
    3 + i64::try_from(jobs).unwrap() / 5_000
}

/// What a herd has shown.
struct Herd {
    seen: Seen,
    /// When the last RunTask arrived after the instant, in seconds.
    last: f64,
    /// User and system time of the daemon from the instant until the last end was recorded, in seconds.
    cpu: f64,
    /// How long that took, in seconds.
    recorded: f64,
}

/// So many jobs of one instant, whose tasks end at once.
fn herd(endpoint: &mut Endpoint, jobs: usize, quota: Quota) -> Herd {
    endpoint.begin(Some(0));
    let (instant, schedule) = instant_in(lead(jobs));
    let site = Site::new(&endpoint.address, quota, (0..jobs).map(|_| due(&schedule)));
    let daemon = site.daemon();
    assert!(endpoint::now() < instant, "the daemon has started too late to tell");
    wait_for(instant);
    let cpu = daemon.cpu();
    site.wait_for("succeeded", jobs);
    let recorded = (endpoint::now() - instant) as f64 / 1e6;
    let cpu = daemon.cpu() - cpu;
    drop(daemon);
    let seen = endpoint.seen();
    assert_eq!((seen.launches.len(), seen.repeated), (jobs, 0), "each was launched once");
    let last = percentile(&lags(&seen), 1.0) / 1000.0;
    Herd { seen, last, cpu, recorded }
}

fn small_herd(endpoint: &mut Endpoint, scale: Scale) -> Vec<Figure> {
    let jobs = scale.small_herd;
    let herd = herd(endpoint, jobs, Quota::OFF);
    let first = percentile(&lags(&herd.seen), 0.0);
    vec![
        figure(format!("the first of {jobs} leaves after"), first, "ms", Aim::None),
        figure(format!("the last of {jobs} leaves after"), herd.last * 1000.0, "ms", Aim::AtMost(500.0)),
        figure("the last end is recorded after", herd.recorded, "s", Aim::None),
        figure("CPU of a run, from firing to recorded end", herd.cpu / jobs as f64 * 1e3, "ms", Aim::None),
    ]
}

fn large_herd(endpoint: &mut Endpoint, scale: Scale) -> Vec<Figure> {
    let jobs = scale.large_herd;
    let herd = herd(endpoint, jobs, Quota::OFF);
    endpoint.begin(Some(0));
    let bare = bare::run(&endpoint.address, jobs);
    let cpu = herd.cpu / jobs as f64;
    let first = percentile(&lags(&herd.seen), 0.0);
    vec![
        figure(format!("the first of {jobs} leaves after"), first, "ms", Aim::None),
        figure("launches, from the instant to the last", jobs as f64 / herd.last, "a second", Aim::AtLeast(2_000.0)),
        figure("the last end is recorded after", herd.recorded, "s", Aim::None),
        figure("CPU of a run, from firing to recorded end", cpu * 1e3, "ms", Aim::None),
        figure("CPU of the SDK's RunTask alone", bare.cpu * 1e3, "ms", Aim::None),
        figure("a run costs so many of those", cpu / bare.cpu, "", Aim::AtMost(3.0)),
        figure("the SDK's RunTask alone", bare.rate, "a second", Aim::None),
    ]
}

/// A herd against Fargate's quota, which the endpoint enforces as ECS does.
fn quota(endpoint: &mut Endpoint, scale: Scale) -> Vec<Figure> {
    let (jobs, quota) = (scale.quota_herd, Quota::FARGATE);
    let (rate, burst) = (f64::from(quota.rate), quota.burst);
    endpoint.begin(Some(0));
    endpoint.enforce(rate, burst);
    let (instant, schedule) = instant_in(lead(jobs));
    let site = Site::new(&endpoint.address, quota, (0..jobs).map(|_| due(&schedule)));
    let daemon = site.daemon();
    wait_for(instant);
    wait_until("all have left", || endpoint.seen().launches.len() >= jobs);
    drop(daemon);
    let seen = endpoint.seen();
    let ideal = (jobs as f64 - f64::from(burst)) / rate;
    let drained = percentile(&lags(&seen), 1.0) / 1000.0;
    vec![
        figure(format!("{jobs} leave within, ideal {ideal} s"), drained, "s", Aim::AtMost(ideal * 1.05)),
        figure("refused by the quota", seen.throttled as f64, "calls", Aim::AtMost(0.0)),
    ]
}

/// Many tasks that live on.
fn polling(endpoint: &mut Endpoint, scale: Scale) -> Vec<Figure> {
    let tasks = scale.polled;
    endpoint.begin(None);
    let (_, schedule) = instant_in(lead(tasks));
    let site = Site::new(&endpoint.address, Quota::OFF, (0..tasks).map(|_| due(&schedule)));
    let daemon = site.daemon();
    site.wait_for("running", tasks);
    endpoint.forget_looks();
    let looked_at = |seen: &Seen| seen.looks.iter().map(|(_, tasks)| tasks).sum::<usize>();
    wait_until("some sweeps are over", || looked_at(&endpoint.seen()) >= tasks * scale.sweeps);
    drop(daemon);
    let seen = endpoint.seen();
    let calls = seen.looks.len() as f64;
    let span = (seen.looks.last().unwrap().0 - seen.looks.first().unwrap().0) as f64 / 1e6;
    let sweeps = looked_at(&seen) as f64 / tasks as f64;
    let fewest = tasks.div_ceil(100) as f64;
    vec![
        figure(
            format!("DescribeTasks calls for one look at {tasks} tasks"),
            calls / sweeps,
            "calls",
            Aim::AtMost(fewest),
        ),
        figure("DescribeTasks calls", (calls - 1.0) / span, "a second", Aim::AtMost(2.0)),
    ]
}

/// A daemon that has come to rest, and its memory.
fn memory(endpoint: &mut Endpoint, scale: Scale) -> Vec<Figure> {
    const REST: Duration = Duration::from_secs(5);
    let mut figures = Vec::new();
    let mut measure = |endpoint: &mut Endpoint, what: String, running: usize, jobs: usize, most: f64| {
        endpoint.begin(None);
        let (_, now) = instant_in(lead(jobs));
        let schedule = |nth| if nth < running { now.clone() } else { far(nth) };
        let jobs = (0..jobs).map(|nth| own_container(&schedule(nth), nth));
        let site = Site::new(&endpoint.address, Quota::OFF, jobs);
        let daemon = site.daemon();
        site.wait_for("running", running);
        std::thread::sleep(REST);
        figures.push(figure(format!("{what}, resident"), daemon.megabytes("VmRSS"), "MB", Aim::AtMost(most)));
        figures.push(figure(format!("{what}, at its peak"), daemon.megabytes("VmHWM"), "MB", Aim::None));
    };
    measure(endpoint, "one job, idle".to_owned(), 0, 1, 25.0);
    let (jobs, running) = (scale.jobs, scale.jobs / 2);
    measure(endpoint, format!("{jobs} jobs, {running} running"), running, jobs, 64.0);
    measure(endpoint, format!("{} jobs", scale.many_jobs), 0, scale.many_jobs, 256.0);
    figures
}

/// The keys of a job with nothing of its own but its schedule.
fn due(schedule: &str) -> String {
    format!("schedule = \"{schedule}\"")
}

/// The keys of a job with a container of its own.
fn own_container(schedule: &str, nth: usize) -> String {
    format!(
        "{}\ntask_definition = \"family-{}\"\ncontainer = [{{ name = \"app\", command = [\"run\", \"--part\", \"{nth}\"], \
         environment = {{ PART = \"{nth}\", STAGE = \"prod\" }} }}]",
        due(schedule),
        nth % 500
    )
}

/// A schedule that is not due for months.
fn far(nth: usize) -> String {
    let month = DateTime::from_timestamp_micros(endpoint::now()).unwrap().month();
    format!("{} {} {} {} *", nth % 60, nth / 60 % 24, nth % 28 + 1, (month + 5) % 12 + 1)
}

/// A daemon that is killed while runs are in flight, and started again.
fn recovery(endpoint: &mut Endpoint, scale: Scale) -> Vec<Figure> {
    let runs = scale.recovered;
    endpoint.begin(None);
    let (_, schedule) = instant_in(lead(runs));
    let site = Site::new(&endpoint.address, Quota::OFF, (0..runs).map(|_| due(&schedule)));
    let killed = site.daemon();
    site.wait_for("running", runs);
    drop(killed);
    endpoint.forget_looks();
    let (begun, started_at) = (Instant::now(), endpoint::now());
    let daemon = site.daemon();
    let ready = begun.elapsed().as_secs_f64();
    let looked_at = |seen: &Seen| seen.looks.iter().map(|(_, tasks)| tasks).sum::<usize>();
    wait_until("every run has been looked at", || looked_at(&endpoint.seen()) >= runs);
    drop(daemon);
    let seen = endpoint.seen();
    let after = |at: Micros| (at - started_at) as f64 / 1e6;
    let (first, last) = (seen.looks.first().unwrap().0, seen.looks.last().unwrap().0);
    vec![
        figure(format!("{runs} runs in flight are loaded after"), ready, "s", Aim::None),
        // The pollers are told of all runs at once, then wait a moment, then look.
        figure("all are followed: the first look leaves after", after(first), "s", Aim::AtMost(3.0)),
        figure("each has been looked at, within the budget of calls, after", after(last), "s", Aim::None),
    ]
}
