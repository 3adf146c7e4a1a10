//! The page as HTML, from jobs and runs made up here; and what the tests of its parts build them with.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::json;

use super::*;
use crate::engine::job::Job;
use crate::engine::pause::{Pause, Scope};
use crate::engine::run::{Asker, Status, Trigger};
use crate::engine::samples;

pub(super) const NOW: &str = "2026-07-01T12:00:00Z";
const QUOTA: Quota = Quota { rate: 20.0, burst: 20 };

pub(super) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A job as it is at noon.
pub(super) fn view(name: &str, schedule: &str) -> JobView {
    let job = Job { name: JobName::new(name).unwrap(), ..samples::job(schedule) };
    let next_at = job.schedule.next(at(NOW), at("2026-01-01T00:00:00Z"));
    JobView {
        job: Arc::new(job),
        next_at,
        anchor: at("2026-01-01T00:00:00Z"),
        paused: None,
        offset: TimeDelta::zero(),
        failing: false,
        living: 0,
    }
}

/// The same while it is paused.
pub(super) fn paused(view: JobView, until: Option<DateTime<Utc>>) -> JobView {
    let asker = Asker { by: "ops".into(), reason: None };
    let next_at = until.and_then(|until| view.job.schedule.next(until, view.anchor));
    JobView { next_at, paused: Some((Scope::All, Pause { asker, since: at(NOW), until })), ..view }
}

/// A run of so many minutes that began so many minutes ago.
fn span(job: &str, ago: i64, minutes: i64, status: Status) -> Span {
    let created_at = at(NOW) - TimeDelta::minutes(ago);
    let finished_at =
        (!matches!(Look::of(status), Look::Live | Look::Caught)).then(|| created_at + TimeDelta::minutes(minutes));
    let job = JobName::new(job).unwrap();
    Span {
        run: RunId::of_firing(&job, created_at),
        job,
        status,
        trigger: Trigger::Schedule,
        scheduled_at: created_at,
        created_at,
        finished_at,
        attempts: 1,
    }
}

struct Page {
    window: Window,
    computed: Computed,
    seen: Seen,
    q: String,
}

fn page_of(views: Vec<JobView>, spans: &[Span], hours: i64, q: &str) -> Page {
    let window = Window::new(None, Some(hours), at(NOW)).unwrap();
    let computed = Computed::new(views, &window, QUOTA, q, 1);
    let mut by_job: HashMap<JobName, Vec<Span>> = HashMap::new();
    for span in spans {
        if span.finished_at.is_none_or(|end| end >= window.from) {
            by_job.entry(span.job.clone()).or_default().push(span.clone());
        }
    }
    let drawn: Vec<Vec<Bar>> = computed.views.iter().map(|view| bars(by_job.get(&view.job.name), &window)).collect();
    let seen = Seen { spans: by_job, lanes: layout::lanes(&drawn), attempts: HashMap::new(), launches: Vec::new() };
    Page { window, computed, seen, q: q.to_owned() }
}

impl Page {
    fn html(&self) -> String {
        body(&self.window, &self.q, QUOTA, &self.computed, &self.seen).into_string()
    }
}

#[test]
fn a_run_is_a_bar_that_leads_to_it_and_a_firing_a_mark() {
    let spans = [span("nightly", 360, 60, Status::Succeeded), span("nightly", 120, 30, Status::Failed)];
    let html = page_of(vec![view("nightly", "0 18 * * *")], &spans, 12, "").html();
    assert!(html.contains(r#"href="/jobs/nightly""#), "{html}");
    assert!(html.contains(r#"<a href="/runs/nightly-20260701T060000Z" aria-label="nightly: succeeded, 1 Jul 06:00:00"><title>nightly: succeeded, 1 Jul 06:00:00 to 1 Jul 07:00:00, 1 h (UTC)</title>"#), "{html}");
    assert!(html.contains(r#"<rect class="good" x="25%" width="4.1%" y="7" height="10"></rect>"#), "{html}");
    assert!(
        html.contains(r#"<rect class="bad" x="41.6%" width="2.1%" y="1" height="22"></rect>"#)
            && html.contains(">✕</text>"),
        "{html}"
    );
    assert!(html.contains("nightly: 2 runs, 1 succeeded, 1 failed; 1 firing to come"), "{html}");
    assert!(html.contains("<title>1 Jul 18:00:00 UTC, to come</title>"), "{html}");
}

#[test]
fn what_can_not_be_told_apart_is_one_bar_with_its_count_and_the_worst_of_it() {
    let mut spans: Vec<Span> = (0..5).rev().map(|nth| span("often", 100 + nth, 1, Status::Succeeded)).collect();
    spans[1].status = Status::TimedOut;
    let html = page_of(vec![view("often", "@yearly")], &spans, 24, "").html();
    let expected = "often: 5 runs, 4 succeeded, 1 failed, begun from 1 Jul 10:16:00 to 1 Jul 10:20:00 UTC; opens the newest that failed";
    assert!(html.contains(expected) && html.contains(r#"href="/runs/often-20260701T101700Z""#), "{html}");
}

#[test]
fn attempts_and_waits_are_seen_where_there_is_room() {
    let mut run = span("flaky", 600, 480, Status::Succeeded);
    run.attempts = 2;
    let id = run.run.clone();
    let mut page = page_of(vec![view("flaky", "@yearly")], &[run.clone()], 12, "");
    let jobs = [run.job.clone()];
    assert_eq!(told_apart(&jobs, &page.seen.spans, &page.seen.lanes), std::slice::from_ref(&id));
    let attempt = |attempt: u32, from: i64, until: i64| {
        let (from, until) = (TimeDelta::minutes(from), TimeDelta::minutes(until));
        let stored = json!({
            "attempt": attempt, "generation": attempt, "launched_at": run.created_at + from,
            "stopped_at": run.created_at + until, "containers": [],
        });
        serde_json::from_value::<Attempt>(stored).unwrap()
    };
    page.seen.attempts.insert(id, vec![attempt(1, 0, 120), attempt(2, 240, 480)]);
    let html = page.html();
    for piece in [
        r#"<rect class="wait" x="8.3%" width="33.3%" y="11" height="2"></rect>"#,
        r#"<rect class="caught" x="8.3%" width="8.3%" y="4" height="16"></rect>"#,
        r#"<rect class="good" x="25%" width="16.6%" y="7" height="10"></rect>"#,
    ] {
        assert!(html.contains(piece), "{piece}: {html}");
    }
    let narrow = page_of(vec![view("flaky", "@yearly")], &[Span { finished_at: Some(run.created_at), ..run }], 12, "");
    assert_eq!(told_apart(&jobs, &narrow.seen.spans, &narrow.seen.lanes), [], "there is no room for them");
}

#[test]
fn what_is_left_out_is_told() {
    let spans: Vec<Span> = (0..RUNS_MAX as i64).rev().map(|nth| span("often", nth, 1, Status::Succeeded)).collect();
    let mut page = page_of(vec![view("often", "* * * * *")], &spans, 24, "");
    page.seen.launches = vec![at(NOW); LAUNCHES_MAX];
    page.computed.coming.counted_until = Some(at(NOW));
    let html = page.html();
    for told in [
        "Of 1 job only the newest 400 runs",
        "Launches before",
        "Launches to come are counted up to",
        "Earlier runs are not drawn",
    ] {
        assert!(html.contains(told), "{told}: {html}");
    }
    let html = page_of(vec![view("often", "@daily")], &spans[..10], 24, "").html();
    assert!(!html.contains("class=\"hint\""), "{html}");
}

#[test]
fn a_crowd_is_named_with_the_last_of_it() {
    let views = (0..312).map(|nth| view(&format!("job-{nth:03}"), "0 0 * * *")).collect();
    let html = page_of(views, &[], 24, "").html();
    assert!(html.contains(": 312 launches, the last leaves about 14 s later"), "{html}");
    assert!(html.contains("Page 1 of 7, 312 jobs"), "{html}");
    assert!(html.contains(r#"href="/timeline?page=2""#), "{html}");
}

#[test]
fn empty_pages_say_what_to_do() {
    let html = page_of(vec![view("yearly", "@yearly")], &[], 1, "").html();
    assert!(html.contains("The next firing is that of") && html.contains("1 Jan 00:00:00"), "{html}");
    let html = page_of(vec![paused(view("yearly", "@yearly"), None)], &[], 1, "").html();
    assert!(html.contains("None of them is due any more") && html.contains("paused"), "{html}");
    assert!(no_jobs().into_string().contains("[jobs.hello]"));
    let html = page_of(vec![view("yearly", "@yearly")], &[], 1, "<script>alert(1)</script>").html();
    assert!(html.contains("holds “&lt;script&gt;") && !html.contains("<script>"), "{html}");
    assert!(html.contains("Show all jobs"), "{html}");
}

#[test]
fn jobs_that_fail_come_first_and_then_those_with_something_to_see() {
    let mut views: Vec<JobView> = (0..60).map(|nth| view(&format!("a-{nth}"), "@yearly")).collect();
    views.push(view("z-due", "0 15 * * *"));
    views.push(JobView { living: 1, ..view("z-lives", "@yearly") });
    views.push(JobView { failing: true, ..view("z-fails", "@yearly") });
    let page = page_of(views, &[], 24, "");
    let first: Vec<&str> = page.computed.views.iter().take(3).map(|view| view.job.name.as_str()).collect();
    assert_eq!((first, page.computed.views.len()), (vec!["z-fails", "z-due", "z-lives"], JOBS_MAX));
    let found = page_of(vec![view("A-job", "@daily"), view("other", "0 3 * * *")], &[], 24, "a-J");
    assert_eq!(found.computed.views.iter().map(|view| view.job.name.as_str()).collect::<Vec<_>>(), ["A-job"]);
    let found = page_of(vec![view("A-job", "@daily"), view("other", "0 3 * * *")], &[], 24, "0 3");
    assert_eq!(found.computed.matching, 1);
}

#[test]
fn a_page_of_fifty_busy_jobs_is_light() {
    let names: Vec<String> = (0..50).map(|nth| format!("export-of-customer-{nth:03}")).collect();
    let status = |nth: i64| if nth % 7 == 0 { Status::Failed } else { Status::Succeeded };
    let runs = |name: &String| {
        let name = name.clone();
        (0..96).rev().map(move |nth| span(&name, nth * 15, 9, status(nth))).collect::<Vec<_>>()
    };
    let spans: Vec<Span> = names.iter().flat_map(runs).collect();
    let views = || names.iter().map(|name| view(name, "*/15 * * * *")).collect::<Vec<_>>();
    for hours in HOURS {
        let html = page_of(views(), &spans, hours, "").html();
        assert!(html.len() <= 97_000, "{hours}: {}", html.len());
    }
    let html = page_of(views(), &spans, 24, "").html();
    assert!(html.contains("There is too much to link every run"));
}

#[tokio::test(start_paused = true)]
async fn timelines_are_computed_one_at_a_time_and_whoever_waits_long_is_told() {
    let first = place().await.ok().unwrap();
    let Problem(status, why) = place().await.err().unwrap();
    assert_eq!((status.as_u16(), why.contains("try again")), (503, true), "{why}");
    drop(first);
    assert!(place().await.is_ok());
}
