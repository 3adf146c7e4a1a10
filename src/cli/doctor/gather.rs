//! Asks the daemon, the files and the environment, and says which of the answers need a person.

use std::cmp::Reverse;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::super::client::{Client, escaped};
use super::super::next;
use super::super::places::Places;
use super::super::remote::Remote;
use super::super::{Context, VERSION};
use super::environment::{Environment, Variables};
use super::{Configuration, Daemon, Failure, InFlight, Next, Notices, Paused, Report, counted};
use crate::config::{self, Level, Loaded};
use crate::daemon::{Health, clock};
use crate::engine::run::Status;
use crate::store::sqlite::{About, SCHEMA};
use crate::store::{NoticeState, NoticeSummary, RunSummary};
use crate::web::api::RUNS_MAX;
use crate::web::objects::{JobObject, RunObject};

/// How many lines each list has.
const LINES: usize = 5;
/// How long the daemon may take to say how it is.
const HEALTH_WITHIN: Duration = Duration::from_secs(5);
/// How long a launch may wait for its quota; the log warns from then on too.
const LAG_MAX: TimeDelta = TimeDelta::minutes(1);
/// How long ECS may be silent after a start.
const NEW: TimeDelta = TimeDelta::minutes(1);
/// What the state should have left to grow into: its log alone is kept at up to 64 MiB.
const FREE_MIN: u64 = 256 << 20;
/// For how long a notice that was given up needs a person.
const DEAD_LATELY: TimeDelta = TimeDelta::days(7);
const BAD_ENDS: [Status; 3] = [Status::Failed, Status::TimedOut, Status::Unknown];

pub(super) async fn gather(context: &Context) -> Report {
    let now = clock::now();
    let loaded = config::load(&context.config);
    let (client, places, silence) = find(context, &loaded).await;
    let pid = match &client {
        Some(client) => client.process().await,
        None => None,
    };
    // The daemon reads its files with its own variables, which are a service's and not a shell's.
    let variables = Variables::of(pid);
    let loaded =
        if variables.of_daemon { config::load_with(&context.config, &|name| variables.value(name)) } else { loaded };
    let mut report = Report {
        at: now,
        version: VERSION,
        time_zones: chrono_tz::IANA_TZDB_VERSION,
        schema: SCHEMA,
        needs_a_person: Vec::new(),
        configuration: configuration(context, &loaded),
        daemon: Daemon { place: None, pid, silence, ready: false, health: None },
        state: places.map(|places| About::of(&places.state)),
        next: Vec::new(),
        in_flight: Vec::new(),
        failures: Vec::new(),
        paused: Vec::new(),
        notices: None,
        environment: Environment::of(&variables, loaded.config.as_ref()),
    };
    if let Some(client) = &client {
        ask(client, &mut report).await;
    }
    if report.next.is_empty() && report.daemon.health.is_none() {
        // What a daemon of this configuration would fire, rates counted from now.
        let firings = loaded.config.as_ref().map(|config| next::firings(config, now, LINES)).unwrap_or_default();
        report.next = firings.into_iter().map(|(at, job)| Next { at, job }).collect();
    }
    let before = std::mem::take(&mut report.needs_a_person);
    report.needs_a_person = troubles(&report).into_iter().chain(before).collect();
    report
}

/// The daemon that answers, and where it keeps its state; else where it would, and why none does.
async fn find(context: &Context, loaded: &Loaded) -> (Option<Client>, Option<Places>, Option<String>) {
    match Remote::of(&context.remote) {
        Ok(None) => {}
        Ok(Some(remote)) => return (Some(Client::Url(remote)), None, None),
        Err(failed) => return (None, None, Some(failed.message)),
    }
    let [real, local] = Places::both(&context.config, loaded);
    let mut tried = Vec::new();
    for places in [&real, &local] {
        let socket = context.socket.as_ref().unwrap_or(&places.control_socket);
        match Client::connect(std::slice::from_ref(socket)).await {
            Ok(client) => return (Some(client), Some(places.clone()), None),
            Err(_) if tried.contains(&socket) => {}
            Err(_) => tried.push(socket),
        }
    }
    let tried: Vec<String> = tried.into_iter().map(|socket| socket.display().to_string()).collect();
    let silence = format!("no daemon answers on {}", tried.join(" or "));
    let is_local = !real.state.exists() && local.state.exists();
    (None, Some(if is_local { local } else { real }), Some(silence))
}

fn configuration(context: &Context, loaded: &Loaded) -> Configuration {
    let count = |level| loaded.findings.iter().filter(|finding| finding.level == level).count();
    Configuration {
        path: context.config.clone(),
        jobs: loaded.config.as_ref().map(|config| config.jobs.len()),
        errors: count(Level::Error),
        warnings: count(Level::Warning),
        findings: loaded.findings.iter().take(LINES).cloned().collect(),
    }
}

/// What only the daemon knows. An answer that fails to come is a trouble, and the others are asked for all the same.
async fn ask(client: &Client, report: &mut Report) {
    report.daemon.place = Some(client.place());
    match tokio::time::timeout(HEALTH_WITHIN, client.health("/readyz")).await {
        Ok(Ok((is_ready, Some(health)))) => (report.daemon.ready, report.daemon.health) = (is_ready, Some(health)),
        Ok(Ok((_, None))) => report.daemon.silence = Some("it tells no more to whoever shows no token".to_owned()),
        Ok(Err(failed)) => report.daemon.silence = Some(failed.message),
        Err(_elapsed) => {
            report.daemon.silence = Some(format!("it did not answer within {} s", HEALTH_WITHIN.as_secs()));
        }
    }
    if report.daemon.health.is_none() {
        return;
    }
    match client.get::<Vec<JobObject>>("/api/v1/jobs").await {
        Ok(jobs) => take_jobs(jobs, report),
        Err(failed) => report.needs_a_person.push(format!("the jobs can't be read: {}", failed.message)),
    }
    match client.text("/metrics").await {
        Ok(page) => take_metrics(&page, report),
        Err(failed) => report.needs_a_person.push(format!("the metrics can't be read: {}", failed.message)),
    }
    if let Err(why) = take_dead_notices(client, report).await {
        report.needs_a_person.push(format!("the notices can't be read: {why}"));
    }
    if let Err(why) = take_runs(client, report).await {
        report.needs_a_person.push(format!("the history can't be read: {why}"));
    }
}

fn take_jobs(jobs: Vec<JobObject>, report: &mut Report) {
    let ended_badly = |run: &RunSummary| BAD_ENDS.contains(&run.status);
    let bad: Vec<&str> =
        jobs.iter().filter(|job| job.last_run.as_ref().is_some_and(ended_badly)).map(|job| job.job.as_str()).collect();
    if !bad.is_empty() {
        let more = bad.len().saturating_sub(LINES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named: Vec<&str> = bad.into_iter().take(LINES).collect();
        report.needs_a_person.push(format!("the newest run ended badly of {}{more}", named.join(", ")));
    }
    let mut next: Vec<Next> =
        jobs.iter().filter_map(|job| Some(Next { at: job.next_at?, job: job.job.clone() })).collect();
    next.sort_by(|a, b| (a.at, &a.job).cmp(&(b.at, &b.job)));
    next.truncate(LINES);
    report.next = next;
    report.paused =
        jobs.into_iter().filter(|job| job.paused).map(|job| Paused { job: job.job, pause: job.pause }).collect();
}

/// What is counted in one place only: docs/metrics.md.
fn take_metrics(page: &str, report: &mut Report) {
    let gauges = |name: &'static str| {
        page.lines().filter_map(move |line| {
            let (label, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
            // A count may be written as 3.0.
            let count: usize = value.trim_end_matches(".0").parse().ok()?;
            Some((label.to_owned(), count))
        })
    };
    report.in_flight = gauges("tenacron_runs_in_flight{status=\"")
        .filter(|(_, runs)| *runs > 0)
        .map(|(label, runs)| InFlight { status: label.trim_end_matches("\"}").to_owned(), runs })
        .collect();
    let count = |name| gauges(name).next().map(|(_, count)| count);
    let counts = count("tenacron_notices_waiting").zip(count("tenacron_notices_dead"));
    report.notices = counts.map(|(waiting, dead)| Notices { waiting, dead, dead_lately: 0 });
}

/// How many of the notices that were given up were so lately.
async fn take_dead_notices(client: &Client, report: &mut Report) -> Result<(), String> {
    let Some(notices) = report.notices.as_mut().filter(|notices| notices.dead > 0) else { return Ok(()) };
    let path = format!("/api/v1/notices?state={}&limit={RUNS_MAX}", NoticeState::Dead.as_str());
    let dead: Vec<NoticeSummary> = client.get(&path).await.map_err(|failed| failed.message)?;
    notices.dead_lately = died_lately(&dead, report.at);
    Ok(())
}

fn died_lately(dead: &[NoticeSummary], now: DateTime<Utc>) -> usize {
    dead.iter().filter(|notice| notice.at.is_none_or(|at| now - at <= DEAD_LATELY)).count()
}

async fn take_runs(client: &Client, report: &mut Report) -> Result<(), String> {
    let mut bad = Vec::new();
    for status in BAD_ENDS {
        bad.extend(runs(client, status, LINES).await?);
    }
    bad.sort_by_key(|run| Reverse(run.finished_at));
    for run in bad.into_iter().take(LINES) {
        let path = format!("/api/v1/runs/{}", escaped(run.run.as_str()));
        let whole: RunObject = client.get(&path).await.map_err(|failed| failed.message)?;
        report.failures.push(Failure { run, hint: whole.hint });
    }
    Ok(())
}

async fn runs(client: &Client, status: Status, limit: usize) -> Result<Vec<RunSummary>, String> {
    let path = format!("/api/v1/runs?status={}&limit={limit}", status.as_str());
    client.get(&path).await.map_err(|failed| failed.message)
}

/// What of the report needs a person, the gravest first.
fn troubles(report: &Report) -> Vec<String> {
    let mut troubles = Vec::new();
    let daemon = &report.daemon;
    match (&daemon.silence, &report.state) {
        (Some(silence), Some(About { held: Some(true), holder, .. })) => {
            let holder = holder.as_deref().unwrap_or("a process");
            troubles.push(format!(
                "{silence}, but {holder} has the state: it is starting, hangs, or listens elsewhere (--socket)"
            ));
        }
        (Some(silence), _) => troubles.push(silence.clone()),
        (None, _) => {}
    }
    if let Some(health) = &daemon.health {
        troubles.extend(of_health(health, report.at));
        if !health.version.is_empty() && health.version != report.version {
            troubles.push(format!("the daemon is {}, this program is {}: restart it", health.version, report.version));
        }
    }
    if let Some(dead) = report.notices.as_ref().map(|notices| notices.dead_lately).filter(|dead| *dead > 0) {
        let dead = counted(dead, "notice");
        troubles.push(format!(
            "{dead} given up within a week, which reached nobody: tenacron notices --dead, then --retry"
        ));
    }
    let Configuration { path, errors, .. } = &report.configuration;
    if *errors > 0 {
        troubles.push(format!(
            "{}: {}, so no daemon takes it; see tenacron validate",
            path.display(),
            counted(*errors, "mistake")
        ));
    }
    if let Some(free) = report.state.as_ref().and_then(|state| state.free_bytes).filter(|free| *free < FREE_MIN) {
        troubles.push(format!("the file system of the state has {} MiB left", free >> 20));
    }
    if report.environment.certificates.is_none() {
        troubles.push("no trusted certificates where TLS looks for them: AWS can't be called".to_owned());
    }
    troubles
}

fn of_health(health: &Health, now: DateTime<Utc>) -> Vec<String> {
    let mut troubles = Vec::new();
    if !health.turns(now) {
        troubles.push("the loop stands still: restart the daemon, it goes on from what is saved".to_owned());
    }
    if let Some(why) = &health.store_error {
        troubles.push(format!("the state can't be saved, and nothing is launched: {why}"));
    }
    let is_past = |since: DateTime<Utc>, limit| now - since > limit;
    // A daemon that has just begun has not asked yet.
    let is_new = health.began_at.is_some_and(|at| !is_past(at, NEW));
    let asked = health.ecs.iter().filter(|site| site.error.is_some() || !is_new);
    troubles.extend(asked.filter_map(|site| site.trouble(now)).take(LINES));
    let waits = health.launches.iter().filter(|queue| queue.since.is_some_and(|since| is_past(since, LAG_MAX)));
    troubles.extend(waits.map(|queue| {
        let slowed = if queue.slowed { ", for ECS throttles" } else { "" };
        format!("{} launches wait, the first for over a minute{slowed}: [ecs] launch_rate", queue.waiting)
    }));
    if let Some(why) = health.reload.as_ref().and_then(|reload| reload.error.as_ref()) {
        let first = why.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        troubles.push(format!("the newest configuration was refused, and the one before goes on: {first}"));
    }
    troubles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_that_died_needs_a_person_for_a_week() {
        let now: DateTime<Utc> = "2026-01-15T02:05:00Z".parse().unwrap();
        let died = |days: i64| -> NoticeSummary {
            let at = now - TimeDelta::days(days);
            serde_json::from_value(serde_json::json!({
                "id": "n", "on": "failed", "channel": "ping:h:1", "job": "a", "run": "a-1", "state": "dead",
                "owed_at": at, "tries": 9, "last_error": "no", "at": at, "next_at": null,
            }))
            .unwrap()
        };
        assert_eq!(died_lately(&[died(0), died(7), died(8), died(300)], now), 2);
        assert_eq!(died_lately(&[died(8)], now), 0);
    }
}
