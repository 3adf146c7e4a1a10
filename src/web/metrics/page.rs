//! The page of metrics, written as OpenMetrics. `docs/metrics.md` describes each; names are written in full here.

use std::fmt;

use chrono::{DateTime, Utc};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::Scrape;
use super::format::{Format, in_text_format};
use crate::daemon::driver::LaunchQueue;
use crate::engine::run::Status;
use crate::observe::Counts;

/// In which a run is that is not over.
const LIVING: [Status; 5] = [Status::Due, Status::Launching, Status::Running, Status::Stopping, Status::Waiting];
/// What is shown of a job that has had a run also while it is zero, so that the first one is an increase.
const ALWAYS: [Status; 2] = [Status::Succeeded, Status::Failed];

/// The whole page.
pub(super) fn text(scrape: Scrape, format: Format) -> Result<String, fmt::Error> {
    let mut text = String::new();
    let counted = scrape.metrics.clone();
    let mut registry = Registry::default();
    let build = Info::new([("version", env!("CARGO_PKG_VERSION")), ("commit", env!("TENACRON_COMMIT"))]);
    registry.register("tenacron_build", "Version and commit", build);
    registry.register_collector(Box::new(scrape));
    encode_registry(&mut text, &registry)?;
    counted.encode(&mut text)?;
    encode_eof(&mut text)?;
    Ok(match format {
        Format::Open => text,
        Format::Text => in_text_format(&text),
    })
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.of_the_daemon(&mut page)?;
        self.of_ecs(&mut page)?;
        self.of_launches(&mut page)?;
        self.of_runs(&mut page)?;
        self.of_jobs(&mut page)?;
        self.of_notices(&mut page)?;
        self.of_the_process(&mut page)
    }
}

impl Scrape {
    fn of_the_daemon(&self, page: &mut Page<'_>) -> fmt::Result {
        let health = &self.health;
        page.gauge("tenacron_ready", "Whether loop, store and ECS are well", flag(health.unready(self.now).is_none()))?;
        page.seconds("tenacron_loop_turned_timestamp_seconds", "When the loop last turned", health.turned_at)?;
        page.gauge("tenacron_store_writable", "Whether the state can be saved", flag(health.store_error.is_none()))?;
        page.gauge("tenacron_leader", "Whether this daemon is the one that decides", 1.0)?;
        page.gauge("tenacron_leader_term", "The term of its leadership, higher with each start", self.term)?;
        let is_taken = health.reload.as_ref().is_none_or(|reload| reload.error.is_none());
        page.gauge(
            "tenacron_config_last_reload_successful",
            "Whether the newest configuration was taken",
            flag(is_taken),
        )?;
        page.seconds(
            "tenacron_config_last_reload_success_timestamp_seconds",
            "When a configuration was last taken",
            health.config_taken_at,
        )
    }

    fn of_ecs(&self, page: &mut Page<'_>) -> fmt::Result {
        let sites = || {
            let labelled = self.health.ecs.iter();
            labelled.map(|site| {
                ([("target", site.target.as_deref().unwrap_or_default()), ("cluster", &*site.cluster)], site)
            })
        };
        let answers = sites().map(|(labels, site)| (labels, flag(site.trouble(self.now).is_none())));
        page.gauges("tenacron_ecs_answers", "Whether ECS answers for a cluster", answers)?;
        let answered = sites().filter_map(|(labels, site)| Some((labels, seconds(site.answered_at?))));
        page.gauges("tenacron_ecs_answered_timestamp_seconds", "When ECS last answered for a cluster", answered)
    }

    /// Of each account and region; a label that is empty means the daemon's own.
    fn of_launches(&self, page: &mut Page<'_>) -> fmt::Result {
        fn text(of: &Option<String>) -> &str {
            of.as_deref().unwrap_or_default()
        }
        let queues = |value: fn(&LaunchQueue, DateTime<Utc>) -> f64| {
            self.health.launches.iter().map(move |queue| {
                ([("account", text(&queue.key.account)), ("region", text(&queue.key.region))], value(queue, self.now))
            })
        };
        page.gauges(
            "tenacron_launch_queue",
            "Launches that wait for the launch quota",
            queues(|queue, _| queue.waiting as f64),
        )?;
        page.gauges(
            "tenacron_launch_lag_seconds",
            "How long the next launch has waited for the launch quota",
            queues(|queue, now| queue.since.map_or(0.0, |since| (now - since).as_seconds_f64().max(0.0))),
        )?;
        page.gauges(
            "tenacron_launch_rate",
            "Launches a second, fewer than configured after ECS has throttled",
            queues(|queue, _| queue.rate),
        )
    }

    fn of_runs(&self, page: &mut Page<'_>) -> fmt::Result {
        page.gauge("tenacron_runs_living", "Runs that are not over", self.health.living_runs as f64)?;
        let Some(in_flight) = &self.in_flight else { return Ok(()) };
        let of = |status| in_flight.iter().find(|(known, _)| *known == status).map_or(0, |(_, count)| *count);
        let counts = LIVING.map(|status| ([("status", status.as_str())], of(status) as f64));
        page.gauges("tenacron_runs_in_flight", "Runs that are not over, by status", counts)
    }

    fn of_jobs(&self, page: &mut Page<'_>) -> fmt::Result {
        self.of_jobs_now(page)?;
        let (jobs, gone) = &self.counts;
        let known = || jobs.iter().map(|(name, counts)| (name.as_str(), counts));
        // Jobs that the configuration no longer has are counted together, under no name.
        let all = || known().chain(std::iter::once(("", gone)));
        let runs = all().flat_map(|(job, counts)| {
            let always =
                ALWAYS.into_iter().filter(move |_| !job.is_empty()).map(|status| (status, counts.runs.of(status)));
            let others = counts.runs.iter().filter(move |(status, _)| job.is_empty() || !ALWAYS.contains(status));
            always.chain(others).map(move |(status, count)| ([("job", job), ("status", status.as_str())], count))
        });
        page.counters("tenacron_runs", "Instants by how their runs ended", runs)?;
        let attempts = all().flat_map(|(job, counts)| {
            counts.attempts.iter().map(move |(outcome, count)| ([("job", job), ("outcome", outcome)], count))
        });
        page.counters("tenacron_attempts", "Attempts by how they ended", attempts)?;
        let retries = all().flat_map(|(job, Counts { retries, .. })| {
            retries.iter().map(move |(retrier, count)| ((job, retrier.to_string()), count))
        });
        let mut family = page.0.encode_descriptor(
            "tenacron_retries",
            "Retries by the retrier that granted them.",
            None,
            MetricType::Counter,
        )?;
        for ((job, retrier), count) in retries {
            let labels = [("job", job), ("retrier", &*retrier)];
            family.encode_family(&labels)?.encode_counter::<[(&str, &str); 0], _, f64>(&count, None)?;
        }
        let succeeded = known().filter_map(|(job, counts)| Some(([("job", job)], seconds(counts.last_success?.at))));
        page.gauges("tenacron_last_success_timestamp_seconds", "When the newest success ended", succeeded)?;
        let failed = known().filter_map(|(job, counts)| Some(([("job", job)], seconds(counts.last_failure_at?))));
        page.gauges("tenacron_last_failure_timestamp_seconds", "When the newest failure ended", failed)?;
        let took = known().filter_map(|(job, counts)| Some(([("job", job)], counts.last_duration?.as_seconds_f64())));
        page.gauges("tenacron_job_last_duration_seconds", "How long the newest run took that launched something", took)
    }

    /// What only the loop knows.
    fn of_jobs_now(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(jobs) = &self.jobs else { return Ok(()) };
        page.gauge("tenacron_jobs", "Jobs of the configuration", jobs.len() as f64)?;
        let paused = jobs.iter().filter(|job| job.is_paused).count();
        page.gauge("tenacron_jobs_paused", "Jobs whose instants are left out", paused as f64)?;
        let is_paused = jobs.iter().map(|job| ([("job", job.name.as_str())], flag(job.is_paused)));
        page.gauges("tenacron_job_paused", "Whether the instants of a job are left out", is_paused)?;
        let next = jobs.iter().filter_map(|job| Some(([("job", job.name.as_str())], seconds(job.next_at?))));
        page.gauges("tenacron_next_firing_timestamp_seconds", "When a job leaves next", next)?;
        let periods = jobs.iter().filter_map(|job| Some(([("job", job.name.as_str())], job.period?.as_seconds_f64())));
        page.gauges("tenacron_job_period_seconds", "How far the instants of a job lie apart", periods)
    }

    fn of_notices(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(counts) = self.notices else { return Ok(()) };
        page.gauge("tenacron_notices_waiting", "Notices that are owed", counts.owed)?;
        page.gauge("tenacron_notices_dead", "Notices that nobody will get", counts.dead)
    }

    fn of_the_process(&self, page: &mut Page<'_>) -> fmt::Result {
        let process = &self.process;
        page.seconds("process_start_time_seconds", "When the daemon started", Some(self.metrics.started_at()))?;
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Resident memory", process.resident_bytes),
            ("process_open_fds", "Open file descriptors", process.open_files),
            ("process_max_fds", "How many there may be", process.open_files_max),
        ] {
            if let Some(value) = value {
                page.gauge(name, help, value)?;
            }
        }
        Ok(())
    }
}

/// Where families are written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.0.encode_descriptor(name, &format!("{help}."), None, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// A gauge that is an instant; nothing if there is none.
    fn seconds(&mut self, name: &str, help: &str, at: Option<DateTime<Utc>>) -> fmt::Result {
        at.map_or(Ok(()), |at| self.gauge(name, help, seconds(at)))
    }

    fn gauges<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'static str, &'l str); N], f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, &format!("{help}."), None, MetricType::Gauge)?;
        values.into_iter().try_for_each(|(labels, value)| family.encode_family(&labels)?.encode_gauge(&value))
    }

    /// `name` is without the `_total` that is added to it.
    fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'static str, &'l str); N], u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, &format!("{help}."), None, MetricType::Counter)?;
        values.into_iter().try_for_each(|(labels, value)| {
            family.encode_family(&labels)?.encode_counter::<[(&str, &str); 0], _, f64>(&value, None)
        })
    }
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1e3
}
