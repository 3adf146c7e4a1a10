//! `next`: when jobs fire, from the configuration alone or from an expression alone.
//!
//! `rate(…)` counts from the instant at which the daemon first saw the schedule. A running daemon is asked for it; without
//! one, rates count from `--from`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::exit::{Exit, Failed};
use super::output::{or_dash, print_json, print_table};
use super::{Context, no_such_job};
use crate::config::Config;
use crate::daemon::clock;
use crate::engine::job::Job;
use crate::engine::schedule::{Bounds, Dst, Exceptions, Gap, Moment, Overlap, Schedule, ScheduleError, parse_zone};
use crate::web::objects::JobObject;

/// How many instants are shown unless told.
const COUNT_DEFAULT: usize = 10;
/// How many instants are shown at most.
const COUNT_MAX: usize = 100_000;
const NANOSECONDS_OF_A_SECOND: u32 = 1_000_000_000;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Of this job only
    #[arg(conflicts_with = "schedule")]
    job: Option<String>,
    /// How many instants; default 10, or all up to --until
    #[arg(short = 'n', value_name = "N")]
    count: Option<usize>,
    /// Instants after this one (RFC 3339, or UTC without an offset); default now
    #[arg(long, value_name = "T", value_parser = instant)]
    from: Option<DateTime<Utc>>,
    /// Instants up to and with this one
    #[arg(long, value_name = "T", value_parser = instant)]
    until: Option<DateTime<Utc>>,
    /// An expression, with no configuration at all; may be repeated
    #[arg(long, value_name = "EXPR")]
    schedule: Vec<String>,
    /// The zone of --schedule
    #[arg(long, value_name = "ZONE", requires = "schedule", default_value = "UTC")]
    timezone: String,
    #[command(flatten)]
    rules: Rules,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a job has in its file beside the expressions of --schedule.
#[derive(Debug, clap::Args)]
struct Rules {
    /// A local time that the clock skips: at the first instant after the gap, or not at all
    #[arg(long, value_name = "RULE", requires = "schedule", value_parser = ["after", "skip"], default_value = "after")]
    dst_gap: String,
    /// A local time that the clock shows twice: the first time, or both times
    #[arg(long, value_name = "RULE", requires = "schedule", value_parser = ["first", "both"], default_value = "first")]
    dst_overlap: String,
    /// A date, FIRST..LAST or an expression that is left out; may be repeated
    #[arg(long, value_name = "WHEN", requires = "schedule")]
    except: Vec<String>,
    /// Nothing before it: a date or a local time, or an instant with an offset
    #[arg(long, value_name = "T", requires = "schedule", value_parser = Moment::read)]
    start_at: Option<Moment>,
    /// Nothing after it
    #[arg(long, value_name = "T", requires = "schedule", value_parser = Moment::read)]
    end_at: Option<Moment>,
}

impl Rules {
    fn dst(&self) -> Dst {
        Dst {
            gap: if self.dst_gap == "skip" { Gap::Skip } else { Gap::After },
            overlap: if self.dst_overlap == "both" { Overlap::Both } else { Overlap::First },
        }
    }

    fn bounds(&self) -> Result<Bounds, Failed> {
        let except =
            Exceptions::read(&texts(&self.except)).map_err(|mistakes| mistaken("except", &self.except, &mistakes))?;
        Ok(Bounds { start_at: self.start_at, end_at: self.end_at, except: Arc::new(except) })
    }
}

/// The JSON object of a firing.
#[derive(Debug, Serialize)]
struct FiringObject {
    job: Option<String>,
    scheduled_at: DateTime<Utc>,
    local: String,
}

/// A schedule that is asked.
struct Asked {
    job: Option<String>,
    schedule: Schedule,
    anchor: DateTime<Utc>,
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<Exit, Failed> {
    let from = arguments.from.unwrap_or_else(clock::now);
    let asked = if arguments.schedule.is_empty() {
        of_configuration(context, arguments.job.as_deref(), from).await?
    } else {
        vec![of_expressions(&arguments, from)?]
    };
    let count = arguments.count.unwrap_or(if arguments.until.is_some() { COUNT_MAX } else { COUNT_DEFAULT });
    let firings = merge(&asked, from, arguments.until, count.min(COUNT_MAX));
    if arguments.json {
        print_json(&firings)?;
    } else {
        let rows: Vec<[String; 3]> = firings.into_iter().map(row).collect();
        print_table(["JOB", "SCHEDULED AT", "LOCAL"], &rows)?;
    }
    Ok(Exit::Ok)
}

fn row(firing: FiringObject) -> [String; 3] {
    [or_dash(firing.job), firing.scheduled_at.to_rfc3339_opts(SecondsFormat::AutoSi, true), firing.local]
}

async fn of_configuration(context: &Context, job: Option<&str>, from: DateTime<Utc>) -> Result<Vec<Asked>, Failed> {
    let (config, _warnings) = context.load()?;
    if let Some(name) = job.filter(|name| !config.jobs.keys().any(|known| known.as_str() == *name)) {
        return Err(no_such_job(&config, name));
    }
    let chosen = config.jobs.into_values().filter(|known| job.is_none_or(|name| known.name.as_str() == name));
    let anchors = anchors(context).await;
    let asked = chosen.map(|job| {
        // The anchor of another schedule than the daemon's own would be wrong.
        let known = anchors.get(job.name.as_str()).filter(|(text, _)| *text == job.schedule.text());
        let anchor = known.map_or(from, |(_, anchor)| *anchor);
        Asked { job: Some(job.name.to_string()), schedule: job.schedule.clone(), anchor }
    });
    Ok(asked.collect())
}

/// The next instants of a configuration with their jobs, rates counted from `from`.
pub(super) fn firings(config: &Config, from: DateTime<Utc>, count: usize) -> Vec<(DateTime<Utc>, String)> {
    let of_job =
        |job: &Arc<Job>| Asked { job: Some(job.name.to_string()), schedule: job.schedule.clone(), anchor: from };
    let asked: Vec<Asked> = config.jobs.values().map(of_job).collect();
    let firings = merge(&asked, from, None, count).into_iter();
    firings.filter_map(|firing| Some((firing.scheduled_at, firing.job?))).collect()
}

/// Schedule and anchor of the running daemon's jobs; none without a daemon.
async fn anchors(context: &Context) -> HashMap<String, (String, DateTime<Utc>)> {
    let Ok(client) = context.daemon().await else { return HashMap::new() };
    let jobs: Vec<JobObject> = client.get("/api/v1/jobs").await.unwrap_or_default();
    jobs.into_iter().map(|job| (job.job, (job.schedule, job.anchor))).collect()
}

fn of_expressions(arguments: &Arguments, anchor: DateTime<Utc>) -> Result<Asked, Failed> {
    let Arguments { schedule: expressions, timezone, rules, .. } = arguments;
    let zone: Tz = parse_zone(timezone).map_err(|error| usage(format!("--timezone: {error}")))?;
    let bounds = rules.bounds()?;
    let schedule = Schedule::parse(&texts(expressions), zone, rules.dst())
        .map_err(|mistakes| mistaken("schedule", expressions, &mistakes))?;
    let schedule = schedule.bounded(bounds).map_err(|mistake| usage(mistake.to_string()))?;
    Ok(Asked { job: None, schedule, anchor })
}

fn usage(message: String) -> Failed {
    Failed::new(Exit::Usage, message)
}

fn texts(values: &[String]) -> Vec<&str> {
    values.iter().map(String::as_str).collect()
}

/// All mistakes in the values of a flag.
fn mistaken(flag: &str, values: &[String], mistakes: &[(usize, ScheduleError)]) -> Failed {
    let told = mistakes.iter().map(|(nth, mistake)| {
        let text = values.get(*nth).map(String::as_str).unwrap_or_default();
        format!("--{flag} `{text}`: {mistake}")
    });
    usage(told.collect::<Vec<_>>().join("\n"))
}

/// The instants of all schedules in their order.
fn merge(asked: &[Asked], from: DateTime<Utc>, until: Option<DateTime<Utc>>, count: usize) -> Vec<FiringObject> {
    let next = |nth: usize, after| {
        let asked = asked.get(nth)?;
        let at = asked.schedule.next(after, asked.anchor)?;
        until.is_none_or(|until| at <= until).then_some(Reverse((at, nth)))
    };
    let mut heads: BinaryHeap<_> = (0..asked.len()).filter_map(|nth| next(nth, from)).collect();
    let mut firings = Vec::new();
    while firings.len() < count {
        let Some(Reverse((scheduled_at, nth))) = heads.pop() else { break };
        if let Some(asked) = asked.get(nth) {
            let local =
                scheduled_at.with_timezone(&asked.schedule.zone()).to_rfc3339_opts(SecondsFormat::AutoSi, false);
            firings.push(FiringObject { job: asked.job.clone(), scheduled_at, local });
        }
        heads.extend(next(nth, scheduled_at));
    }
    firings
}

/// RFC 3339, or a date or a date and time in UTC.
pub(super) fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let with_offset = || DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
    let in_utc = || text.parse::<NaiveDateTime>().ok().map(|at| at.and_utc());
    let midnight = || text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0).map(|at| at.and_utc());
    match with_offset().or_else(in_utc).or_else(midnight) {
        // chrono reads a 60th second of any minute, as a fraction of more than a second.
        Some(at) if at.timestamp_subsec_nanos() >= NANOSECONDS_OF_A_SECOND => {
            Err("leap seconds are not accepted, no schedule names one: write second 59, or 00 of the next minute"
                .into())
        }
        Some(at) => Ok(at),
        None => Err("expected an instant such as 2026-01-15T10:00:00Z".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_in_three_forms() {
        let ten = DateTime::from_timestamp(1_768_471_200, 0).unwrap();
        for text in ["2026-01-15T10:00:00Z", "2026-01-15T11:00:00+01:00", "2026-01-15T10:00:00"] {
            assert_eq!(instant(text), Ok(ten), "{text}");
        }
        assert_eq!(instant("2026-01-15"), Ok(ten - chrono::TimeDelta::hours(10)));
        assert_eq!(instant("2016-12-31T23:59:59.999999999Z").map(|at| at.timestamp()), Ok(1_483_228_799));
        assert!(instant("10:00").is_err());
    }

    #[test]
    fn leap_seconds_are_refused_in_every_form() {
        for text in [
            "2016-12-31T23:59:60Z",
            "2016-12-31T23:59:60.5Z",
            "2017-01-01T00:59:60+01:00",
            "2016-12-31T23:59:60",
            "2026-01-15T10:00:60Z",
        ] {
            let refused = instant(text).unwrap_err();
            assert!(refused.starts_with("leap seconds are not accepted"), "{text}: {refused}");
        }
    }
}
