//! `/metrics`: what a Prometheus scrapes, made anew at each scrape from what the daemon says of itself.

use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::api::{Problem, Sources, views};
use crate::daemon::driver::{JobView, LaunchQueue};
use crate::daemon::{Health, clock};
use crate::store::Store;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn metrics<S: Store>(State(sources): State<Sources<S>>) -> Result<Response, Problem> {
    let views = views(&sources.mailbox).await?;
    let mut text = String::new();
    let written = encode(&mut text, &registry(&sources.mailbox.health(), &views, clock::now()));
    written.map_err(|error| Problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

fn registry(health: &Health, jobs: &[JobView], now: DateTime<Utc>) -> Registry {
    let mut registry = Registry::with_prefix("tenacron");
    let build = Info::new([("version", env!("CARGO_PKG_VERSION")), ("commit", env!("TENACRON_COMMIT"))]);
    registry.register("build", "Version and commit", build);
    let mut gauge = |name: &str, help: &str, value: f64| {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    let is_taken = health.reload.as_ref().is_none_or(|reload| reload.error.is_none());
    gauge("config_last_reload_successful", "Whether the newest configuration was taken", f64::from(u8::from(is_taken)));
    if let Some(at) = health.config_taken_at {
        let seconds = at.timestamp_millis() as f64 / 1e3;
        gauge("config_last_reload_success_timestamp_seconds", "When a configuration was last taken", seconds);
    }
    gauge("jobs", "Jobs of the configuration", jobs.len() as f64);
    let paused = jobs.iter().filter(|view| view.paused.is_some()).count();
    gauge("jobs_paused", "Jobs whose instants are left out", paused as f64);
    gauge("runs_living", "Runs that are not over", health.living_runs as f64);
    let is_saving = health.store_error.is_none();
    gauge("store_writable", "Whether the state can be saved", f64::from(u8::from(is_saving)));
    register_launches(&mut registry, &health.launches, now);
    registry
}

/// Of each account and region; a label that is empty means the daemon's own.
fn register_launches(registry: &mut Registry, launches: &[LaunchQueue], now: DateTime<Utc>) {
    let mut family = |name: &str, help: &str, value: &dyn Fn(&LaunchQueue) -> f64| {
        let family = Family::<[(&'static str, String); 2], Gauge<f64, AtomicU64>>::default();
        for queue in launches {
            let label = |of: &Option<String>| of.clone().unwrap_or_default();
            let labels = [("account", label(&queue.key.account)), ("region", label(&queue.key.region))];
            family.get_or_create(&labels).set(value(queue));
        }
        registry.register(name, help, family);
    };
    family("launch_queue", "Launches that wait for the launch quota", &|queue| queue.waiting as f64);
    family("launch_lag_seconds", "How long the next launch has waited for the launch quota", &|queue| {
        queue.since.map_or(0.0, |since| (now - since).as_seconds_f64().max(0.0))
    });
    family("launch_rate", "Launches a second, fewer than configured after ECS has throttled", &|queue| queue.rate);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::ReloadState;
    use crate::engine::quota::QuotaKey;

    #[test]
    fn a_refused_configuration_shows() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let mut health = Health {
            version: String::new(),
            began_at: None,
            turned_at: None,
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
            store_error: None,
            config_taken_at: Some(at(1_767_225_600)),
            reload: Some(ReloadState { at: at(1_767_225_700), error: Some("a mistake".into()) }),
        };
        let text = |health: &Health| {
            let mut text = String::new();
            encode(&mut text, &registry(health, &[], at(1_767_225_696))).unwrap();
            text
        };
        let refused = text(&health);
        for line in [
            "tenacron_config_last_reload_successful 0.0",
            "tenacron_config_last_reload_success_timestamp_seconds 1767225600.0",
            "tenacron_runs_living 3.0",
            "tenacron_store_writable 1.0",
            "tenacron_launch_queue{account=\"\",region=\"\"} 0.0",
            "tenacron_launch_lag_seconds{account=\"\",region=\"\"} 0.0",
            "tenacron_launch_queue{account=\"111122223333\",region=\"eu-west-1\"} 131.0",
            "tenacron_launch_lag_seconds{account=\"111122223333\",region=\"eu-west-1\"} 6.0",
            "tenacron_launch_rate{account=\"111122223333\",region=\"eu-west-1\"} 2.5",
        ] {
            assert!(refused.lines().any(|said| said == line), "{line}: {refused}");
        }
        health.reload = None;
        assert!(text(&health).contains("tenacron_config_last_reload_successful 1.0"));
    }
}
