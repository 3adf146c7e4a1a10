//! The overview, over the real binary: what is well and what is not, what may be done there, and how the first job is added.

use rustix::process::Signal;

use super::harness::{Process, SETTINGS, Site};
use super::metrics::readiness;
use super::wire::{Answer, Place};

const JOBS: &str = r#"
[jobs.good]
schedule = "0 3 1 1 *"
timezone = "Asia/Tokyo"
task_definition = "good"
[jobs.bad]
schedule = "30 4 1 1 *"
task_definition = "bad"
retry = []
[jobs.slow]
schedule = "rate(300 days)"
task_definition = "slow"
[local.task_definitions.good]
containers = [{ name = "app", command = ["true"] }]
[local.task_definitions.bad]
containers = [{ name = "app", command = ["true"] }]
outcomes = [{ task_failed_to_start = "</style><script>alert(1)</script>" }]
[local.task_definitions.slow]
containers = [{ name = "app", command = ["sleep", "600"] }]
"#;

fn start(jobs: &str) -> (Site, Process, Place) {
    let site = Site::new(&format!("{SETTINGS}\n[http]\nlisten = \"127.0.0.1:0\"\n{jobs}"));
    let (daemon, address) = site.daemon_on_http(&["run", "--local"]);
    (site, daemon, Place::Port(address))
}

fn page(place: &Place, path: &str) -> String {
    let Answer { status, head, body } = place.get(path, &["Accept: text/html"]);
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(!body.contains("<script>") && !body.contains("style="), "{body}");
    body
}

/// The overview of a daemon that has asked ECS once, which it does at its start and for a new cluster.
fn ready(place: &Place) -> String {
    let Place::Port(address) = place else { panic!("a page is looked at over a port") };
    readiness(address, 200);
    page(place, "/")
}

fn has(page: &str, all: &[&str]) {
    for one in all {
        assert!(page.contains(one), "{one} is not in {page}");
    }
}

/// What stands between the two.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = page.split_once(from).unwrap_or_else(|| panic!("{from} is not in {page}"));
    rest.split_once(to).unwrap_or_else(|| panic!("{to} is not in {rest}")).0
}

/// As a browser asks that has the page of this place before it.
fn send(place: &Place, path: &str, form: &str) -> Answer {
    let Place::Port(address) = place else { panic!("a page is looked at over a port") };
    let headers = ["Content-Type: application/x-www-form-urlencoded", &format!("Origin: http://{address}")];
    place.post(path, &headers, form)
}

#[test]
fn the_overview_follows_what_happens() {
    let (site, daemon, place) = start(JOBS);
    has(&ready(&place), &["All 3 jobs are well", "<td>never</td>", "Nothing."]);

    site.json(&["trigger", "good"]);
    daemon.wait_for_job("good", "run succeeded");
    let bad = site.json(&["trigger", "bad"])["run"].as_str().expect("a run").to_owned();
    daemon.wait_for_job("bad", "run failed");
    site.json(&["trigger", "slow"]);
    daemon.wait_for_job("slow", "task started");
    let shown = page(&place, "/");
    has(&shown, &["1 of 3 jobs is failing: ", "Of the last 1: 1 succeeded", "Of the last 1: 1 running", "JST</small>"]);
    let failed = between(&shown, "<section id=\"failed\"", "</section>");
    has(failed, &[&format!("href=\"/runs/{bad}\""), "&lt;script&gt;alert(1)&lt;/script&gt;"]);
    assert!(!failed.contains("/jobs/good") && !failed.contains("/jobs/slow"), "{failed}");
    has(between(&shown, "<section id=\"in-flight\"", "</section>"), &["/jobs/slow"]);

    for (path, of) in [("/?show=failing&q=4", "bad"), ("/?q=RATE(", "slow"), ("/?show=running", "slow")] {
        let page = page(&place, path);
        let jobs = between(&page, "<section id=\"jobs\"", "</section>");
        assert_eq!(jobs.matches("<tr data-key").count(), 1, "{path}: {jobs}");
        has(jobs, &[&format!("data-key=\"{of}\"")]);
    }
    for path in ["/?show=<script>", "/?page=x", "/?colour=red"] {
        let Answer { status, body, .. } = place.get(path, &["Accept: text/html"]);
        assert!(status == 400 && !body.contains("<script>"), "{path}: {status} {body}");
    }
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn all_jobs_are_paused_and_resumed_from_the_page() {
    let (_site, daemon, place) = start(JOBS);
    let done = send(&place, "/pause", "reason=the+%3Cdatabase%3E+moves&hours=2");
    assert_eq!((done.status, done.header("location")), (303, Some("/")), "{done:?}");
    let shown = ready(&place);
    has(&shown, &["All jobs are paused", "the &lt;database&gt; moves", "until <time", "action=\"/resume\""]);
    assert_eq!(page(&place, "/?show=paused").matches("<b>paused</b>").count(), 3);
    assert_eq!(send(&place, "/pause", "hours=soon").status, 400);
    assert_eq!(send(&place, "/resume", "reason=").status, 303);
    has(&ready(&place), &["All 3 jobs are well", "action=\"/pause\""]);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn the_first_job_is_added_as_the_page_says() {
    let (site, daemon, place) = start("");
    let shown = ready(&place);
    has(&shown, &["There are no jobs yet", "jobs.d/hello.toml"]);
    let example = between(&shown, "aria-label=\"An example of a job\">", "</pre>").replace("&quot;", "\"");
    let local = "[local.task_definitions.hello]\ncontainers = [{ name = \"app\", command = [\"true\"] }]\n";
    site.write("jobs.d/hello.toml", format!("{example}{local}"));
    assert_eq!(site.run(&["reload"]).code, Some(0));
    has(&ready(&place), &["The one job is well", "href=\"/jobs/hello\""]);

    site.write("jobs.d/hello.toml", "[jobs.hello]\nschedule = \"<b>never</b>\"\n");
    assert_ne!(site.run(&["reload"]).code, Some(0));
    let shown = page(&place, "/");
    has(
        &shown,
        &["The newest configuration was not taken", "hello.toml:2", "&lt;b&gt;never&lt;/b&gt;", "The one job is well"],
    );
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}
