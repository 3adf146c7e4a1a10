//! The pages of jobs and of all runs, over the real binary: what is done by a form shows, lists are narrowed by their address,
//! and what there is not is said to be missing.

use super::harness::{Process, SETTINGS, Site};
use super::session::fill_in;
use super::wire::{Answer, Place};

const JOBS: &str = r#"
[jobs.good]
schedule = "30 2 * * *"
timezone = "Europe/Berlin"
task_definition = "good"
attempt_timeout = "10s"
[[jobs.good.container]]
name = "app"
environment = { DB_PASSWORD = "canary-5f2e8d1c" }
[jobs.bad]
schedule = "0 4 1 1 *"
task_definition = "bad"
retry = []
[local.task_definitions.good]
containers = [{ name = "app", command = ["true"] }]
[local.task_definitions.bad]
containers = [{ name = "app", command = ["sh", "-c", "exit 3"] }]
"#;

struct Pages {
    site: Site,
    daemon: Process,
    port: Place,
    origin: String,
}

impl Pages {
    fn open() -> Pages {
        let site = Site::new(&format!("{SETTINGS}\n[http]\nlisten = \"127.0.0.1:0\"\n{JOBS}"));
        let (daemon, address) = site.daemon_on_http(&["run", "--local"]);
        Pages { site, daemon, origin: format!("Origin: http://{address}"), port: Place::Port(address) }
    }

    fn get(&self, path: &str) -> Answer {
        self.port.get(path, &["Accept: text/html"])
    }

    /// The page at an address that there is.
    fn page(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(!answer.body.contains("canary-5f2e8d1c"), "{path} shows the value of a variable");
        answer.body
    }

    /// Fills in a form, and gives where it leads.
    fn act(&self, path: &str, form: &str) -> String {
        let answer = fill_in(&self.port, path, &[&self.origin], form);
        assert_eq!(answer.status, 303, "{path}: {answer:?}");
        answer.header("location").expect("a way on").to_owned()
    }

    /// Triggers a job by its page and waits for its end; gives the address of the run.
    fn run(&self, job: &str, end: &str) -> String {
        let led = self.act(&format!("/jobs/{job}/trigger"), "reason=to+see+it");
        let line = self.daemon.wait_for_job(job, end);
        let run = format!("/runs/{}", line["run"].as_str().expect("a run"));
        assert_eq!(led, run.to_ascii_lowercase(), "a trigger leads to its run");
        run
    }
}

/// So many rows of runs are on a page.
fn rows(page: &str) -> usize {
    page.matches("<td data-name=\"Instant\">").count()
}

#[test]
fn a_job_says_what_it_is_and_what_it_will_do() {
    let pages = Pages::open();
    let page = pages.page("/jobs/good");
    for part in [
        "<h1>good</h1>",
        "No outcome yet:",
        "It fires next <time datetime=",
        "tenacron.toml:",
        "<code>30 2 * * *</code>",
        "<dd>Europe/Berlin</dd>",
        "variables <code>DB_PASSWORD</code>",
        "<code>ECS.AmazonECSException</code>: 3 retries after 10 s, 20 s, 40 s.",
        "A run takes 1 min 59 s at most: 4 attempts of 10 s (and 3 more that ECS refuses) and 1 min 19 s of waits",
        "There is no run of <b>good</b> yet.",
        "action=\"/jobs/good/trigger\"",
        "action=\"/jobs/good/pause\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!(page.matches("<td data-name=\"Your clock\">").count(), 20, "{page}");
}

#[test]
fn a_pause_shows_with_its_reason_and_ends_by_the_same_page() {
    let pages = Pages::open();
    let back = pages.act("/jobs/good/pause", "reason=the+%3Cb%3Edatabase%3C%2Fb%3E+moves&hours=");
    assert_eq!(back, "/jobs/good");
    let page = pages.page(&back);
    assert!(page.contains("because: <q>the &lt;b&gt;database&lt;/b&gt; moves</q>"), "{page}");
    assert!(page.contains("action=\"/jobs/good/resume\"") && !page.contains("action=\"/jobs/good/pause\""), "{page}");
    assert_eq!(page.matches("left out: paused").count(), 20, "{page}");
    assert!(page.contains("It fires next when it is resumed."), "{page}");
    pages.act("/jobs/good/resume", "reason=");
    let page = pages.page("/jobs/good");
    assert!(page.contains("action=\"/jobs/good/pause\"") && !page.contains("left out: paused"), "{page}");
    let day = pages.act("/jobs/good/pause", "reason=&hours=24");
    assert!(pages.page(&day).contains(" until <time datetime="), "a pause of a day has an end");
    assert_eq!(fill_in(&pages.port, "/jobs/good/pause", &[&pages.origin], "reason=&hours=soon").status, 400);
}

#[test]
fn runs_are_listed_with_why_and_narrowed_by_the_address() {
    let pages = Pages::open();
    let (good, bad) = (pages.run("good", "run succeeded"), pages.run("bad", "run failed"));
    let all = pages.page("/runs");
    assert_eq!(rows(&all), 2, "{all}");
    for part in [
        format!("href=\"{good}\""),
        format!("href=\"{bad}\""),
        "<code>States.TaskFailed</code>".to_owned(),
        "container `app` exited with 3".to_owned(),
        "<a href=\"/jobs/bad\">bad</a>".to_owned(),
    ] {
        assert!(all.contains(&part), "{part}: {all}");
    }
    for (query, shown) in [
        ("?job=&status=", 2),
        ("?status=failed", 1),
        ("?status=bad", 1),
        ("?status=live", 0),
        ("?status=succeeded&job=bad", 0),
        ("?job=good", 1),
    ] {
        assert_eq!(rows(&pages.page(&format!("/runs{query}"))), shown, "{query}");
    }
    let before = bad.strip_prefix("/runs/").expect("a run");
    let older = pages.page(&format!("/runs?before={before}"));
    assert!(rows(&older) == 1 && older.contains(&good), "what was recorded before it: {older}");
    assert_eq!(rows(&pages.page("/jobs/bad")), 1);
    assert_eq!(rows(&pages.page("/jobs/bad?status=succeeded")), 0);
}

#[test]
fn a_job_says_how_it_went() {
    let pages = Pages::open();
    pages.run("good", "run succeeded");
    let run = pages.run("bad", "run failed");
    let good = pages.page("/jobs/good");
    assert!(good.contains("Well:") && good.contains("Durations of the last 1 run: median "), "{good}");
    let bad = pages.page("/jobs/bad");
    for part in ["Failing</span> since ", "its last run ended badly", "no run of it that is kept succeeded", &run] {
        assert!(bad.contains(part), "{part}: {bad}");
    }
}

#[test]
fn what_there_is_not_is_said_and_what_is_misspelt_refused() {
    let pages = Pages::open();
    for (path, status, told) in [
        ("/jobs/nobody", 404, "there is no job `nobody`"),
        ("/jobs/%3Cscript%3E", 404, "there is no job `&lt;script&gt;`"),
        ("/runs?before=nobody-1", 404, "begin anew without `before`"),
        ("/runs?stauts=failed", 400, "stauts"),
        ("/jobs/good?job=bad", 400, "job"),
        ("/runs?status=broken", 400, "`broken` is not a status: due, "),
        ("/jobs/good?status=broken", 400, "or several of them: bad, live"),
        ("/runs?job=a%20b", 400, "`a b` is not a name"),
    ] {
        let answer = pages.get(path);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.body.contains(told) && answer.body.contains("<h1>"), "{path}: {answer:?}");
    }
}

#[test]
fn a_job_that_left_the_configuration_keeps_its_history() {
    let pages = Pages::open();
    pages.run("bad", "run failed");
    let without = JOBS.split("[jobs.bad]").next().expect("the first job");
    let definitions = &JOBS[JOBS.find("[local").expect("definitions")..];
    let settings = format!("{SETTINGS}\n[http]\nlisten = \"127.0.0.1:0\"\n");
    pages.site.write("tenacron.toml", format!("{settings}{without}{definitions}"));
    let reloaded = pages.site.run(&["reload"]);
    assert_eq!(reloaded.code, Some(0), "{}", reloaded.stderr);
    let page = pages.page("/jobs/bad");
    assert!(page.contains("It has left the configuration") && rows(&page) == 1, "{page}");
    assert!(!page.contains("action=\"/jobs/bad/trigger\""), "{page}");
}
