//! The page of a run, over the real binary: what failed and was tried again, what lives and is cancelled, what ECS says.

use rustix::process::Signal;

use super::harness::{Process, SETTINGS, Site};
use super::wire::{Answer, Place};

const JOBS: &str = r#"
[jobs.flaky]
schedule = "0 3 1 1 *"
task_definition = "flaky"
retry = [{ error_equals = ["Task.ExitCode.7"], interval_seconds = 1, max_attempts = 2 }]
[[jobs.flaky.container]]
name = "app"
environment = { PASSWORD = "canary-hunter2" }
[local.task_definitions.flaky]
containers = [{ name = "app", command = ["sh", "-c", "test \"$TENACRON_ATTEMPT\" -gt 1 || exit 7"] }]

[jobs.evil]
schedule = "0 3 1 1 *"
task_definition = "evil"
retry = []
[local.task_definitions.evil]
containers = [{ name = "app", command = ["true"] }]
outcomes = [{ task_failed_to_start = "</style><script>alert(1)</script>" }]

[jobs.long]
schedule = "0 3 1 1 *"
timezone = "Asia/Tokyo"
task_definition = "long"
[local.task_definitions.long]
containers = [{ name = "app", command = ["sleep", "600"] }]
"#;

fn start() -> (Site, Process, Place) {
    let site = Site::new(&format!("{SETTINGS}\n[http]\nlisten = \"127.0.0.1:0\"\n{JOBS}"));
    let (daemon, address) = site.daemon_on_http(&["run", "--local"]);
    (site, daemon, Place::Port(address))
}

fn trigger(site: &Site, job: &str) -> String {
    site.json(&["trigger", job])["run"].as_str().expect("a run").to_owned()
}

/// The page of a run. No page of one holds a script of its own, a style of its own, or what is secret.
fn page(place: &Place, run: &str) -> String {
    let Answer { status, head, body } = place.get(&format!("/runs/{run}"), &["Accept: text/html"]);
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(!body.contains("<script>") && !body.contains("style=") && !body.contains("canary-"), "{body}");
    body
}

fn has(page: &str, all: &[&str]) {
    for one in all {
        assert!(page.contains(one), "{one} is not in {page}");
    }
}

#[test]
fn a_run_that_failed_and_was_retried_shows_who_took_it_and_what_was_asked() {
    let (site, daemon, place) = start();
    let run = trigger(&site, "flaky");
    daemon.wait_for_job("flaky", "run succeeded");
    let page = page(&place, &run);
    has(
        &page,
        &[
            "<body data-job=\"flaky\">",
            "It went well after 2 attempts, ",
            "Attempt 1: failed, to be retried, Task.ExitCode.7, ran ",
            "retrier 1 of 1 (Task.ExitCode.7)",
            "took it: a wait of 1 s; attempt 2 left 1",
            "href=\"#attempt-2\"",
            "id=\"attempt-2\"",
            "TaskSubmitted",
            "What was asked of ECS: launch 2, frozen",
            "&quot;PASSWORD&quot;: &quot;[redacted]&quot;",
            "&quot;lastStatus&quot;: &quot;STOPPED&quot;",
        ],
    );
    // No console shows the tasks of this machine.
    assert!(!page.contains("https://"), "{page}");
    let again = place.ask("POST", &format!("/runs/{run}/retry"), &FORM, None);
    assert_eq!(again.status, 303, "{again:?}");
    let newest = site.json(&["runs", "--job", "flaky"])[0]["run"].as_str().expect("a run").to_owned();
    assert_eq!(again.header("location"), Some(format!("/runs/{newest}").to_lowercase().as_str()));
    has(&self::page(&place, &newest), &["the instant of <a href=\"/runs/flaky-", "Same instant"]);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

/// A form that was left empty.
const FORM: [&str; 2] = ["Content-Type: application/x-www-form-urlencoded", "Content-Length: 0"];

#[test]
fn what_ecs_says_is_text_and_no_part_of_the_page() {
    let (site, daemon, place) = start();
    let run = trigger(&site, "evil");
    daemon.wait_for_job("evil", "run failed");
    has(
        &page(&place, &run),
        &[
            "It failed for good after 1 attempt",
            "TaskFailedToStart: &lt;/style&gt;&lt;script&gt;alert(1)&lt;/script&gt;",
            "Not tried again: no retrier names States.TaskFailed.",
        ],
    );
    let unknown = place.get("/runs/%3Cscript%3Enone", &["Accept: text/html"]);
    assert_eq!(unknown.status, 404);
    has(&unknown.body, &["there is no run `&lt;script&gt;none`", "[retention]"]);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_run_that_lives_is_cancelled_from_its_page() {
    let (site, daemon, place) = start();
    let run = trigger(&site, "long");
    daemon.wait_for_job("long", "task started");
    has(&page(&place, &run), &["Attempt 1 runs since ", " JST", "Deadline", &format!("action=\"/runs/{run}/cancel\"")]);
    let cancelled = place.ask("POST", &format!("/runs/{run}/cancel"), &FORM, None);
    assert_eq!(
        (cancelled.status, cancelled.header("location")),
        (303, Some(format!("/runs/{run}").to_lowercase().as_str()))
    );
    daemon.wait_for_job("long", "run cancelled");
    has(
        &page(&place, &run),
        &["Somebody or a rule ended it", "ended by SIGTERM", &format!("action=\"/runs/{run}/retry\"")],
    );
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}
