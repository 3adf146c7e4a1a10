//! The page as it is sent, from facts that are made up.

use std::sync::Arc;

use axum::body::to_bytes;
use chrono::{DateTime, TimeDelta, Utc};

use super::jobs::{JOBS_MAX, Show};
use super::*;
use crate::daemon::{Health, NextFiring, ReloadState, SiteHealth};
use crate::engine::job::{Job, JobName};
use crate::engine::run::{Asker, RunId, Trigger};
use crate::engine::samples;
use crate::engine::schedule::{Dst, Schedule};
use crate::web::page::assets::ASSETS;

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_782_864_000 + 60 * minutes, 0).unwrap()
}

/// A run that was due then, and took twelve seconds if it is over.
pub(super) fn run(job: &str, minute: i64, status: Status) -> RunSummary {
    let is_over = status == Status::Succeeded || status == Status::Cancelled || status == Status::Skipped;
    RunSummary {
        run: RunId::from_text(&format!("{job}-{}", at(minute).format("%Y%m%dT%H%M%SZ"))),
        job: JobName::new(job).unwrap(),
        trigger: Trigger::Schedule,
        scheduled_at: at(minute),
        status,
        attempts: 1,
        error: status.is_bad().then(|| "States.TaskFailed".to_owned()),
        cause: status.is_bad().then(|| "container app exited with 1".to_owned()),
        exit_code: None,
        created_at: at(minute),
        finished_at: (is_over || status.is_bad()).then(|| at(minute) + TimeDelta::seconds(12)),
        next_action_at: None,
        covers: None,
    }
}

fn view(name: &str, schedule: &str) -> JobView {
    let schedule = Schedule::parse(&[schedule], chrono_tz::Europe::Berlin, Dst::default()).unwrap();
    let job = Job { name: JobName::new(name).unwrap(), schedule, ..samples::job("@daily") };
    JobView {
        job: Arc::new(job),
        next_at: Some(at(60)),
        anchor: at(0),
        paused: None,
        offset: TimeDelta::zero(),
        failing: false,
        living: 0,
    }
}

fn pause(reason: &str) -> Pause {
    Pause { asker: Asker { by: "ada".into(), reason: Some(reason.into()) }, since: at(0), until: None }
}

fn viewer() -> Viewer {
    let site = SiteHealth { target: None, cluster: "main".into(), answered_at: Some(at(0)), error: None };
    let health = Health {
        version: "1.0.0".into(),
        began_at: Some(at(-60)),
        turned_at: Some(at(0)),
        next_firing: Some(NextFiring { job: JobName::new("a").unwrap(), at: at(60) }),
        ecs: vec![site],
        config_taken_at: Some(at(-60)),
        ..Health::default()
    };
    Viewer { may_act: true, has_token: false, now: at(0), health, instance: "prod".into() }
}

fn facts(jobs: Vec<JobView>) -> Facts {
    Facts {
        jobs: Ok(jobs),
        in_flight: Vec::new(),
        living: Ok(Vec::new()),
        bad: Ok(Vec::new()),
        notices: Ok(NoticeCounts::default()),
    }
}

fn shown_with(viewer: &Viewer, facts: &Facts, wanted: &Wanted, recent: &Read) -> String {
    body(viewer, facts, wanted, &Chosen::of(facts.known(), wanted), recent).into_string()
}

fn shown(viewer: &Viewer, facts: &Facts) -> String {
    shown_with(viewer, facts, &Wanted::default(), &Ok(Vec::new()))
}

fn unreadable() -> StoreError {
    StoreError::Database { doing: "list runs", source: "the <disk> hangs".into() }
}

/// The text of the first heading.
fn heading(page: &str) -> String {
    let inner = page.split("<h1").nth(1).unwrap().split("</h1>").next().unwrap();
    let mut text = String::new();
    let mut in_tag = true;
    for c in inner.chars() {
        match c {
            '<' => in_tag = true,
            '>' => in_tag = false,
            c if !in_tag => text.push(c),
            _ => {}
        }
    }
    text
}

fn names(chosen: &Chosen<'_>) -> Vec<String> {
    chosen.shown.iter().map(|view| view.job.name.to_string()).collect()
}

#[test]
fn the_first_line_says_whether_everything_is_well() {
    let jobs = |failing: usize| -> Vec<JobView> {
        let of = |n: usize| JobView { failing: n < failing, ..view(&format!("job-{n}"), "@daily") };
        (0..9).map(of).collect()
    };
    let well = viewer();
    assert_eq!(heading(&shown(&well, &facts(jobs(0)))), "✓ All 9 jobs are well");
    assert_eq!(heading(&shown(&well, &facts(vec![view("a", "@daily")]))), "✓ The one job is well");
    assert_eq!(heading(&shown(&well, &facts(jobs(1)))), "✕ 1 of 9 jobs is failing: job-0");
    let many = "✕ 7 of 9 jobs are failing: job-0, job-1, job-2, job-3, job-4 and 2 others";
    assert_eq!(heading(&shown(&well, &facts(jobs(7)))), many);
    assert_eq!(heading(&shown(&well, &facts(Vec::new()))), "– There are no jobs yet");

    let silent = Facts { jobs: Err("the daemon is busy".into()), ..facts(Vec::new()) };
    let page = shown(&well, &silent);
    assert_eq!(heading(&page), "✕ The daemon does not say how its jobs are");
    assert!(page.contains("the daemon is busy"), "{page}");

    let mut unwell = viewer();
    unwell.health.store_error = Some("no space left".into());
    let page = shown(&unwell, &facts(jobs(2)));
    assert_eq!(heading(&page), "✕ The daemon is not ready: the state can't be saved: no space left");
    assert!(page.contains("2 of 9 jobs are failing"), "it says both");
}

#[test]
fn what_is_out_of_the_ordinary_is_told_beside_it() {
    let mut odd = viewer();
    odd.health.draining = Some(2);
    odd.health.reload = Some(ReloadState { at: at(-1), error: Some("jobs.d/a.toml:3: <b>no</b>".into()) });
    let paused =
        JobView { paused: Some((Scope::Job(JobName::new("a").unwrap()), pause("<i>why</i>"))), ..view("a", "@daily") };
    let page = shown(&odd, &facts(vec![paused, view("b", "@daily")]));
    for text in [
        "ends once 2 runs in flight are over",
        "The newest configuration was not taken",
        "jobs.d/a.toml:3: &lt;b&gt;no&lt;/b&gt;",
        r#"<a href="/?show=paused">1 job</a> is paused."#,
        "by ada: &lt;i&gt;why&lt;/i&gt;",
        "until somebody resumes",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("<i>") && !page.contains("<b>no"), "{page}");
}

#[test]
fn a_pause_of_all_jobs_is_told_once_and_can_be_ended() {
    let paused = |name| JobView { paused: Some((Scope::All, pause("a move"))), next_at: None, ..view(name, "@daily") };
    let facts = facts(vec![paused("a"), paused("b")]);
    let page = shown(&viewer(), &facts);
    assert_eq!(heading(&page), "– All jobs are paused");
    assert!(page.contains(r#"action="/resume""#) && !page.contains(r#"action="/pause""#), "{page}");
    let reader = Viewer { may_act: false, ..viewer() };
    assert!(!shown(&reader, &facts).contains("method=\"post\""), "who only reads is offered nothing");
}

#[test]
fn the_daemon_says_what_holds_it_up() {
    let mut slow = viewer();
    slow.health.launches = vec![crate::daemon::driver::LaunchQueue {
        key: crate::engine::quota::QuotaKey { region: Some("eu-central-1".into()), account: None },
        waiting: 7,
        since: Some(at(-2)),
        rate: 9.5,
        slowed: true,
    }];
    slow.health.ecs[0].error = Some("<time-out>".into());
    slow.health.ecs[0].answered_at = None;
    slow.health.next_firing = None;
    let in_flight = vec![(Status::Due, 7), (Status::Running, 2), (Status::Waiting, 0)];
    let page = shown(&slow, &Facts { in_flight, ..facts(vec![view("a", "@daily")]) });
    for text in [
        "7 wait for the quota of the daemon's own account in eu-central-1",
        "9.5 a second now",
        "ECS does not answer for cluster main: &lt;time-out&gt;",
        "none: nothing fires",
        r#"<a href="/runs?status=due">7 due</a>, <a href="/runs?status=running">2 running</a>"#,
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
}

#[test]
fn what_failed_is_listed_with_its_reason_and_escaped() {
    let mut bad: Vec<RunSummary> = (0..11).map(|n| run("nightly", -n, Status::Failed)).collect();
    bad[0].cause = Some(format!("<script>alert(1)</script>{}", "é".repeat(500)));
    bad[1].error = Some("ECS.CannotPullContainerError".into());
    let page = shown(&viewer(), &Facts { bad: Ok(bad), ..facts(vec![view("nightly", "@daily")]) });
    assert!(page.contains("<code>States.TaskFailed</code>: &lt;script&gt;alert(1)&lt;/script&gt;éé"), "{page}");
    assert!(page.contains("é…") && !page.contains(&"é".repeat(200)), "a long cause is cut");
    assert!(page.contains("All that failed") && page.matches("data-key=\"nightly-").count() == 10, "{page}");
    assert!(page.contains(r#"href="/runs/nightly-20260701T000000Z""#), "{page}");
    let none = shown(&viewer(), &facts(vec![view("nightly", "@daily")]));
    assert!(none.contains("Nothing.") && !none.contains("All that failed"));
}

#[test]
fn what_is_in_flight_is_listed_and_the_rest_counted() {
    let living: Vec<RunSummary> = (0..11).map(|n| run("nightly", -n, Status::Running)).collect();
    let mut busy = viewer();
    busy.health.living_runs = 25;
    let page = shown(&busy, &Facts { living: Ok(living), ..facts(vec![view("nightly", "@daily")]) });
    assert!(page.contains("15 older runs") && page.matches("data-key=\"nightly-").count() == 10, "{page}");
}

#[test]
fn a_store_that_does_not_answer_leaves_the_rest_of_the_page() {
    let broken = Facts { living: Err(unreadable()), bad: Err(unreadable()), ..facts(vec![view("a", "@daily")]) };
    let page = shown_with(&viewer(), &broken, &Wanted::default(), &Err(unreadable()));
    assert_eq!(page.matches("failed to list runs: the &lt;disk&gt; hangs").count(), 3, "{page}");
    assert!(page.contains("href=\"/jobs/a\"") && page.contains("Next firing"), "{page}");
}

#[test]
fn a_row_tells_how_a_job_does() {
    let recent = vec![run("a", 0, Status::Failed), run("a", -60, Status::Succeeded), run("b", 0, Status::Running)];
    let failing = JobView { failing: true, ..view("a", "cron(0 3 ? * <b> *)".replace("<b>", "MON").as_str()) };
    let ended = JobView { next_at: None, ..view("c", "@daily") };
    let page =
        shown_with(&viewer(), &facts(vec![failing, view("b", "@daily"), ended]), &Wanted::default(), &Ok(recent));
    for text in [
        r#"<a href="/jobs/a">a</a> <span class="mark bad">✕ failing</span><small>cron(0 3 ? * MON *)</small>"#,
        r#"<a class="mark bad" href="/runs/a-20260701T000000Z">✕ failed</a>"#,
        "Of the last 2: 1 succeeded, 1 failed",
        r#"<td>50 %</td><td>12 s</td>"#,
        "<small>Wed 03:00 CEST</small>",
        r#"<td>–</td><td>–</td>"#,
        "<td>never</td>",
        "never again",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
}

#[test]
fn failing_jobs_come_first_then_paused_ones_then_the_others_by_name() {
    let paused = |name: &str| JobView { paused: Some((Scope::All, pause("x"))), ..view(name, "@daily") };
    let failing = |name: &str| JobView { failing: true, living: 1, ..view(name, "rate(5 minutes)") };
    let jobs = [
        view("Alpha", "@daily"),
        paused("beta"),
        failing("gamma"),
        JobView { failing: true, ..paused("delta") },
        paused("epsilon"),
        failing("zeta"),
        view("eta", "0 3 * * *"),
    ];
    let found = |q: &str, show| names(&Chosen::of(&jobs, &Wanted { q: q.into(), show, page: 0 }));
    assert_eq!(found("", Show::All), ["delta", "gamma", "zeta", "beta", "epsilon", "Alpha", "eta"]);
    assert_eq!(found("", Show::Failing), ["delta", "gamma", "zeta"]);
    assert_eq!(found("", Show::Paused), ["delta", "beta", "epsilon"]);
    assert_eq!(found("", Show::Running), ["gamma", "zeta"]);
    assert_eq!(found(" ALP ", Show::All), ["Alpha"]);
    assert_eq!(found("Rate(5", Show::All), ["gamma", "zeta"], "by the schedule");
    assert_eq!(found("eta", Show::Failing), ["zeta"]);
    let page = shown_with(
        &viewer(),
        &facts(jobs.to_vec()),
        &Wanted { q: "e<ta&".into(), show: Show::Paused, page: 1 },
        &Ok(Vec::new()),
    );
    assert!(page.contains(r#"value="e&lt;ta&amp;""#) && page.contains("No job fits."), "{page}");
    assert!(page.contains(r#"href="/?q=e%3Cta%26&amp;show=failing""#), "{page}");
    assert!(page.contains(r#"<input type="hidden" name="show" value="paused">"#), "{page}");
}

#[test]
fn many_jobs_are_shown_page_by_page() {
    let jobs: Vec<JobView> = (0..120).map(|n| view(&format!("job-{n:03}"), "@daily")).collect();
    let page = |page| Chosen::of(&jobs, &Wanted { page, ..Wanted::default() });
    assert_eq!(names(&page(0))[0], "job-000");
    assert_eq!(names(&page(2)).len(), JOBS_MAX);
    assert_eq!(names(&page(2))[0], "job-050");
    assert_eq!((names(&page(3)).len(), page(3).pages), (20, 3));
    assert_eq!(names(&page(usize::MAX)), names(&page(3)), "there is none after the last");
    let wanted = Wanted { q: "job".into(), page: 2, ..Wanted::default() };
    let shown = shown_with(&viewer(), &facts(jobs.clone()), &wanted, &Ok(Vec::new()));
    assert!(shown.contains(r#"<a href="/?q=job&amp;show=all" rel="prev">"#), "{shown}");
    assert!(shown.contains("Page 2 of 3") && shown.contains(r#"href="/?q=job&amp;show=all&amp;page=3""#), "{shown}");
}

#[test]
fn without_jobs_the_page_teaches_how_to_add_one() {
    let page = shown(&viewer(), &facts(Vec::new()));
    assert!(page.contains("jobs.d/hello.toml") && page.contains("[jobs.hello]"), "{page}");
    assert!(!page.contains("Pause all jobs") && !page.contains("type=\"search\""), "{page}");
}

/// Of an overview of fifty jobs with twenty outcomes each, all that a browser loads.
const WEIGHT_MAX: usize = 60_000;

#[tokio::test]
async fn an_overview_of_fifty_jobs_is_light() {
    let jobs: Vec<JobView> = (0..JOBS_MAX)
        .map(|n| JobView { failing: n < 3, ..view(&format!("team-{}-nightly-{n}", n % 7), "cron(15 3 ? * MON-FRI *)") })
        .collect();
    let outcome = |n: usize| match n % 9 {
        0 => Status::Failed,
        4 => Status::Skipped,
        _ => Status::Succeeded,
    };
    let mut recent = Vec::new();
    for (n, view) in jobs.iter().enumerate() {
        let of_job = |back: i64| run(view.job.name.as_str(), -back, outcome(n + usize::try_from(back).unwrap()));
        recent.extend((0..20).map(of_job));
    }
    let living = (0..11).map(|n| run("team-1-nightly-1", -n, Status::Running)).collect();
    let bad = (0..11).map(|n| run("team-1-nightly-1", -n, Status::Failed)).collect();
    let facts = Facts { living: Ok(living), bad: Ok(bad), ..facts(jobs) };
    let wanted = Wanted::default();
    let body = body(&viewer(), &facts, &wanted, &Chosen::of(facts.known(), &wanted), &Ok(recent));
    let whole = page(&viewer(), Section::Overview, "Overview", &body);
    let sent = to_bytes(whole.into_body(), usize::MAX).await.unwrap().len();
    let all = sent + ASSETS.style.text.len() + ASSETS.script.text.len();
    assert!(all <= WEIGHT_MAX, "{sent} bytes, with style and script {all}");
}
