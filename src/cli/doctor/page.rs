//! The report as a page of text.

use chrono::{DateTime, SecondsFormat, Utc};

use super::super::healthcheck;
use super::super::output::{instant, or_dash, plain};
use super::{Configuration, Daemon, Notices, Report, counted};
use crate::config::Level;
use crate::store::sqlite::About;

/// How wide the names on the left are.
const NAMES: usize = 16;

/// Lines with a name on the left, of which a further line has none.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, name: &str, text: &str) {
        self.0.push_str(format!("{name:<NAMES$}{}", plain(text)).trim_end());
        self.0.push('\n');
    }

    fn lines(&mut self, name: &str, texts: impl IntoIterator<Item = String>) {
        let mut name = name;
        for text in texts {
            self.line(name, &text);
            name = "";
        }
    }

    /// One line even if there is nothing.
    fn list(&mut self, name: &str, texts: Vec<String>) {
        if texts.is_empty() { self.line(name, "none") } else { self.lines(name, texts) }
    }
}

pub(super) fn written(report: &Report) -> String {
    let mut page = Page::default();
    let at = report.at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let Report { version, time_zones, schema, .. } = report;
    page.line("tenacron", &format!("{version}, time zones {time_zones}, schema {schema}, at {at} by this clock"));
    match report.needs_a_person.as_slice() {
        [] => page.line("verdict", "all is well"),
        troubles => page.lines("needs a person", troubles.iter().cloned()),
    }
    configuration(&mut page, &report.configuration);
    daemon(&mut page, &report.daemon, report.at);
    if let Some(about) = &report.state {
        state(&mut page, about);
    }
    page.list("next", report.next.iter().map(|next| format!("{} {}", instant(Some(next.at)), next.job)).collect());
    if report.daemon.health.is_some() {
        let in_flight: Vec<String> =
            report.in_flight.iter().map(|runs| format!("{} {}", runs.runs, runs.status)).collect();
        page.list("in flight", if in_flight.is_empty() { in_flight } else { vec![in_flight.join(", ")] });
        failures(&mut page, report);
        page.list("paused", report.paused.iter().map(paused).collect());
        if let Some(Notices { waiting, dead, dead_lately }) = &report.notices {
            let lately = if *dead > 0 { format!(", {dead_lately} within a week") } else { String::new() };
            page.line("notices", &format!("{waiting} wait, {dead} given up{lately}"));
        }
    }
    environment(&mut page, report);
    page.0
}

fn configuration(page: &mut Page, found: &Configuration) {
    let Configuration { path, jobs, errors, warnings, findings } = found;
    let jobs = jobs.map_or_else(|| "broken".to_owned(), |jobs| counted(jobs, "job"));
    let (errors, warnings) = (counted(*errors, "error"), counted(*warnings, "warning"));
    page.line("configuration", &format!("{}: {jobs}, {errors}, {warnings}", path.display()));
    page.lines(
        "",
        findings.iter().map(|finding| {
            let level = match finding.level {
                Level::Error => "error",
                Level::Warning => "warning",
            };
            let place = [finding.line, finding.column].map(or_dash).join(":");
            format!("{level} {} {}:{place}: {}", finding.code, finding.file.display(), finding.message)
        }),
    );
}

fn daemon(page: &mut Page, daemon: &Daemon, at: DateTime<Utc>) {
    let Daemon { place, pid, silence, ready, health } = daemon;
    if let Some(place) = place {
        let pid = pid.map(|pid| format!("pid {pid}, ")).unwrap_or_default();
        let since = health.as_ref().map(|health| format!("since {}, ", instant(health.began_at))).unwrap_or_default();
        page.line("daemon", &format!("{pid}{since}answers on {place}"));
    }
    match (place, silence) {
        (None, _) => page.line("daemon", "does not answer"),
        (Some(_), Some(silence)) => page.line("", silence),
        (Some(_), None) => {}
    }
    let Some(health) = health else { return };
    page.line("health", &format!("{}, {}", if *ready { "ready" } else { "not ready" }, healthcheck::told(health, at)));
    for queue in health.launches.iter().filter(|queue| queue.waiting > 0 || queue.slowed) {
        let since = queue.since.map(|since| format!(", the first since {}", instant(Some(since)))).unwrap_or_default();
        let slowed = if queue.slowed { ", slowed because ECS throttled" } else { "" };
        page.line("launches", &format!("{} wait{since}; {:.1} a second{slowed}", queue.waiting, queue.rate));
    }
    let refused = health.reload.as_ref().filter(|reload| reload.error.is_some());
    let refused =
        refused.map(|reload| format!("; one of {} was refused", instant(Some(reload.at)))).unwrap_or_default();
    page.line("", &format!("configuration of {}{refused}", instant(health.config_taken_at)));
}

/// In the largest unit of which there is one.
fn size(bytes: Option<u64>) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match bytes {
        None => "none".to_owned(),
        Some(bytes) => match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
            Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
            None => format!("{bytes} bytes"),
        },
    }
}

fn state(page: &mut Page, state: &About) {
    let About { path, bytes, log_bytes, free_bytes, held, holder } = state;
    page.line(
        "state",
        &format!("{}: {}, log {}, free {}", path.display(), size(*bytes), size(*log_bytes), size(*free_bytes)),
    );
    let holder = holder.as_deref().unwrap_or("an unknown process");
    match held {
        Some(true) => page.line("", &format!("held by {holder}")),
        Some(false) if bytes.is_some() => page.line("", &format!("held by nobody on this machine, last by {holder}")),
        Some(false) | None => {}
    }
}

fn failures(page: &mut Page, report: &Report) {
    let lines = report.failures.iter().flat_map(|failure| {
        let run = &failure.run;
        let error = run.error.as_deref().unwrap_or("-");
        let cause = run.cause.as_deref().unwrap_or("-");
        let told = format!("{} {} {}: {error}: {cause}", instant(run.finished_at), run.run, run.status.as_str());
        [Some(told), failure.hint.as_ref().map(|hint| format!("  {hint}"))]
    });
    page.list("failures", lines.flatten().collect());
}

fn paused(paused: &super::Paused) -> String {
    let Some(pause) = &paused.pause else { return paused.job.clone() };
    let until = pause.until.map(|until| format!(" until {}", instant(Some(until)))).unwrap_or_default();
    format!("{} since {}{until} {}", paused.job, instant(Some(pause.since)), pause.asker.in_words())
}

fn environment(page: &mut Page, report: &Report) {
    let found = &report.environment;
    let names = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    page.line("environment", if found.of_daemon { "of the daemon" } else { "of this command; a service has its own" });
    page.line("  region", &found.region);
    page.line("  endpoint", &found.endpoint);
    page.line("  credentials", &format!("variables that are set: {}", names(&found.credentials)));
    page.line("  proxy", &names(&found.proxies));
    page.line("  tenacron", &names(&found.tenacron));
    let certificates = found.certificates.as_ref().map(|path| path.display().to_string());
    page.line("  certificates", &or_dash(certificates));
}
