//! The page of metrics, line by line. `tests/it/metrics.rs` reads that of a real daemon.

use std::collections::BTreeSet;

use super::*;
use crate::daemon::driver::LaunchQueue;
use crate::daemon::{ReloadState, SiteHealth};
use crate::engine::quota::QuotaKey;
use crate::engine::samples;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn health() -> Health {
    let site = |name: &str, error: Option<&str>| SiteHealth {
        target: None,
        cluster: name.into(),
        answered_at: error.is_none().then(|| at(1_767_225_690)),
        error: error.map(Into::into),
    };
    Health {
        turned_at: Some(at(1_767_225_695)),
        living_runs: 3,
        launches: vec![
            LaunchQueue { key: QuotaKey::default(), waiting: 0, since: None, rate: 20.0, slowed: false },
            LaunchQueue {
                key: QuotaKey { region: Some("eu-west-1".into()), account: Some("111122223333".into()) },
                waiting: 131,
                since: Some(at(1_767_225_690)),
                rate: 2.5,
                slowed: true,
            },
        ],
        ecs: vec![site("main", None), site("silent", Some("no route"))],
        config_taken_at: Some(at(1_767_225_600)),
        reload: Some(ReloadState { at: at(1_767_225_700), error: Some("a mistake".into()) }),
        ..Health::default()
    }
}

fn scrape(health: Health) -> Scrape {
    let metrics = Metrics::new(at(1_767_225_500));
    let job = JobNow {
        name: samples::job("@daily").name,
        next_at: Some(at(1_767_225_800)),
        is_paused: false,
        period: Some(TimeDelta::minutes(15)),
    };
    Scrape {
        now: at(1_767_225_696),
        health,
        counts: metrics.jobs(),
        metrics,
        jobs: Some(vec![job]),
        in_flight: Some(vec![(Status::Running, 3)]),
        term: 7,
        notices: Some(NoticeCounts { owed: 2, dead: 1 }),
        process: Process::default(),
    }
}

fn page(health: Health) -> Vec<String> {
    page::text(scrape(health), Format::Open).unwrap().lines().map(str::to_owned).collect()
}

fn has(page: &[String], line: &str) {
    assert!(page.iter().any(|said| said == line), "{line}: {page:#?}");
}

#[test]
fn a_page_says_how_the_daemon_is() {
    let page = page(health());
    for line in [
        "tenacron_ready 0.0",
        "tenacron_ecs_answers{target=\"\",cluster=\"main\"} 1.0",
        "tenacron_ecs_answers{target=\"\",cluster=\"silent\"} 0.0",
        "tenacron_ecs_answered_timestamp_seconds{target=\"\",cluster=\"main\"} 1767225690.0",
        "tenacron_loop_turned_timestamp_seconds 1767225695.0",
        "tenacron_leader_term 7",
        "tenacron_config_last_reload_successful 0.0",
        "tenacron_config_last_reload_success_timestamp_seconds 1767225600.0",
        "tenacron_runs_living 3.0",
        "tenacron_runs_in_flight{status=\"running\"} 3.0",
        "tenacron_runs_in_flight{status=\"waiting\"} 0.0",
        "tenacron_store_writable 1.0",
        "tenacron_launch_queue{account=\"\",region=\"\"} 0.0",
        "tenacron_launch_lag_seconds{account=\"\",region=\"\"} 0.0",
        "tenacron_launch_queue{account=\"111122223333\",region=\"eu-west-1\"} 131.0",
        "tenacron_launch_lag_seconds{account=\"111122223333\",region=\"eu-west-1\"} 6.0",
        "tenacron_launch_rate{account=\"111122223333\",region=\"eu-west-1\"} 2.5",
        "tenacron_job_paused{job=\"nightly\"} 0.0",
        "tenacron_next_firing_timestamp_seconds{job=\"nightly\"} 1767225800.0",
        "tenacron_job_period_seconds{job=\"nightly\"} 900.0",
        "tenacron_notices_waiting 2",
        "tenacron_notices_dead 1",
        "tenacron_notices_total{kind=\"sns\",result=\"delivered\"} 0",
        "process_start_time_seconds 1767225500.0",
        "# EOF",
    ] {
        has(&page, line);
    }
    assert_eq!(page.last().map(String::as_str), Some("# EOF"));
    let mut well = health();
    (well.reload, well.ecs) = (None, Vec::new());
    let page = self::page(well);
    has(&page, "tenacron_config_last_reload_successful 1.0");
    has(&page, "tenacron_ready 1.0");
}

#[test]
fn the_samples_are_the_same_in_both_formats() {
    let samples = |format| {
        let page = page::text(scrape(health()), format).unwrap();
        // In no order that two scrapes have in common.
        page.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let (open, text) = (samples(Format::Open), samples(Format::Text));
    assert!(open.len() > 40 && open == text, "{open:#?}\n{text:#?}");
    let text = page::text(scrape(health()), Format::Text).unwrap();
    for line in [
        "# HELP tenacron_notices_total Tries to deliver notices, and notices given up.",
        "# TYPE tenacron_notices_total counter",
        "# TYPE tenacron_runs_total counter",
        "# TYPE tenacron_build_info gauge",
        "# TYPE tenacron_start_lag_seconds histogram",
    ] {
        assert!(text.lines().any(|said| said == line), "{line}: {text}");
    }
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
}

#[test]
fn a_loop_and_a_store_that_do_not_answer_cost_only_what_they_know() {
    let page =
        page::text(Scrape { jobs: None, in_flight: None, notices: None, ..scrape(health()) }, Format::Text).unwrap();
    assert!(page.contains("tenacron_loop_turned_timestamp_seconds 1767225695.0\n"), "{page}");
    for unknown in ["tenacron_next_firing", "tenacron_runs_in_flight", "tenacron_notices_waiting"] {
        assert!(!page.contains(unknown), "{unknown}: {page}");
    }
}

#[test]
fn two_periods_end_with_the_second_instant_after_a_success() {
    let instant = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let monday = instant("2026-01-19T03:00:00Z");
    let view = |schedule: &str| JobView {
        job: Arc::new(samples::job(schedule)),
        next_at: Some(monday + TimeDelta::minutes(2)),
        anchor: at(0),
        paused: None,
        offset: TimeDelta::minutes(2),
        failing: false,
        living: 0,
    };
    let periods = Periods::default();
    let working_days = view("0 3 * * MON-FRI");
    assert_eq!(periods.of(&working_days, None), Some(TimeDelta::days(1)), "from Monday to Tuesday");
    let friday = instant("2026-01-16T03:00:00Z");
    for _ in 0..2 {
        let period = periods.of(&working_days, Some(friday)).unwrap();
        assert_eq!(friday + period * 2, instant("2026-01-20T03:00:00Z"), "Monday's and Tuesday's are missed");
    }
    assert_eq!(periods.of(&working_days, Some(monday)), Some(TimeDelta::days(1)), "another success");
    assert_eq!(periods.of(&view("@weekly"), Some(monday)), Some(TimeDelta::minutes(9_270)), "another schedule");
    assert_eq!(periods.of(&view("at(2026-01-19T03:00:00)"), None), None);
    periods.keep(&[]);
    assert_eq!(periods.of(&working_days, None), Some(TimeDelta::days(1)));
}
