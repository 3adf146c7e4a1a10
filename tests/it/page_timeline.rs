//! The timeline of a real daemon: what ran and failed, what is paused, what is asked for wrongly, and what others must not see.

use rustix::process::Signal;

use super::harness::{Process, SETTINGS, Site};
use super::wire::Place;

const JOBS: &str = r#"
[jobs.well]
schedule = "0 3 1 1 *"
task_definition = "well"
[jobs.broken]
schedule = "0 3 1 1 *"
task_definition = "broken"
retry = [{ error_equals = ["States.ALL"], interval_seconds = 1, max_attempts = 1 }]
[jobs.often]
schedule = "* * * * *"
task_definition = "well"
[local.task_definitions.well]
containers = [{ name = "app", command = ["true"] }]
[local.task_definitions.broken]
containers = [{ name = "app", command = ["false"] }]
"#;

fn start(jobs: &str) -> (Site, Process, Place) {
    let site = Site::new(&format!("{SETTINGS}\n[http]\nlisten = \"127.0.0.1:0\"\n{jobs}"));
    let (daemon, address) = site.daemon_on_http(&["run", "--local"]);
    (site, daemon, Place::Port(address))
}

fn shown(place: &Place, path: &str) -> String {
    let answer = place.get(path, &["Accept: text/html"]);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    assert!(answer.header("content-security-policy").is_some_and(|policy| policy.contains("style-src 'self'")));
    let styled = answer.body.contains("style=") || answer.body.contains("<style") || answer.body.contains("onclick");
    assert!(!styled, "{path}: the policy forbids it");
    answer.body
}

#[test]
fn runs_are_bars_that_lead_to_them_and_say_how_they_ended() {
    let (site, daemon, place) = start(JOBS);
    let run = |job: &str| site.json(&["trigger", job])["run"].as_str().expect("a run").to_owned();
    let well = run("well");
    daemon.wait_for_job("well", "run succeeded");
    let broken = run("broken");
    daemon.wait_for("its failure", |line| line["message"] == "run failed" && line["run"] == broken.as_str());
    let page = shown(&place, "/timeline?hours=1");
    for expected in [
        format!(r#"<a href="/runs/{broken}" aria-label="broken: failed, "#),
        format!(r#"<a href="/runs/{well}" aria-label="well: succeeded, "#),
        ", 2 attempts".to_owned(),
        r#"<rect class="bad""#.to_owned(),
        r#"<a href="/jobs/broken">"#.to_owned(),
        "failing".to_owned(),
        r#"<path class="gone-by""#.to_owned(),
        r#"<path class="to-come""#.to_owned(),
        " firings to come\"".to_owned(),
    ] {
        assert!(page.contains(&expected), "{expected}: {page}");
    }
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn the_window_moves_and_what_is_asked_for_wrongly_says_how() {
    let (site, daemon, place) = start(JOBS);
    let past = shown(&place, "/timeline?at=2020-01-01T00:00:00Z&hours=6");
    assert!(past.contains("Nothing of these jobs ran or is due in this part of time."), "{past}");
    assert!(past.contains(r#"href="/timeline?at=2019-12-31T18:00:00Z&amp;hours=6""#), "earlier: {past}");
    assert!(past.contains(r#"href="/timeline?at=2020-01-01T00:00:00Z&amp;hours=3""#), "nearer: {past}");
    assert!(past.contains("This window lies in the past."), "{past}");
    let found = shown(&place, "/timeline?q=oFTen");
    assert!(found.contains("/jobs/often\"") && !found.contains("/jobs/well\""), "{found}");
    let none = shown(&place, "/timeline?q=%3Cscript%3Ealert(1)%3C/script%3E");
    assert!(none.contains("&lt;script&gt;alert(1)") && !none.contains("<script>alert"), "{none}");
    assert_eq!(site.run(&["pause", "often"]).code, Some(0));
    let paused = shown(&place, "/timeline?hours=1");
    assert!(paused.contains("to be left out by a pause") && paused.contains("paused</span>"), "{paused}");
    for (path, why) in [
        ("/timeline?hours=5", "1, 3, 6, 12, 24, 48, 168"),
        ("/timeline?at=yesterday", "the query: at: "),
        ("/timeline?at=0001-01-01T00:00:00Z", "1971 to 2198"),
        ("/timeline?whose=mine", "whose"),
    ] {
        let answer = place.get(path, &["Accept: text/html"]);
        assert!(answer.status == 400 && answer.body.contains(why), "{path}: {answer:?}");
    }
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn launches_that_meet_are_named_before_they_do() {
    let jobs: String =
        (0..30).map(|nth| format!("[jobs.job-{nth}]\nschedule = \"@daily\"\ntask_definition = \"none\"\n")).collect();
    let (_site, daemon, place) = start(&jobs);
    let page = shown(&place, "/timeline?hours=48");
    assert!(page.contains(": 30 launches, the last leaves about 500 ms later"), "{page}");
    assert!(page.contains("launch_burst"), "{page}");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_daemon_without_jobs_says_how_to_add_one() {
    let (_site, daemon, place) = start("");
    let page = shown(&place, "/timeline");
    assert!(page.contains("There are no jobs yet") && page.contains("[jobs.hello]"), "{page}");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}
