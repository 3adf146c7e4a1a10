//! `doctor` and `healthcheck` in fair weather and foul: what is told when the daemon is well, down, hung or refuses a
//! configuration, and that no secret is.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::harness::{Ended, SETTINGS, Site};

/// One job that fires only when asked.
fn site(command: &str) -> Site {
    let site = Site::new(SETTINGS);
    site.write(
        "jobs.d/a.toml",
        format!(
            "[jobs.a]\nschedule = \"0 3 1 1 *\"\ntask_definition = \"a\"\nretry = []\n[local.task_definitions.a]\n\
             containers = [{{ name = \"app\", command = [{command}] }}]\n"
        ),
    );
    // TLS begins only if it can read one.
    site.write("certificates.pem", include_str!("../fixtures/tls/ca.pem"));
    site
}

/// Whether the machine has certificates must not decide what these tests see.
fn told(site: &Site, arguments: &[&str]) -> Ended {
    Ended::of(site.command(arguments).env("SSL_CERT_FILE", site.path("certificates.pem")).env_remove("SSL_CERT_DIR"))
}

/// Asks until the loop has turned and ECS has answered for the first time.
fn is_ready(site: &Site) {
    let ready = || told(site, &["healthcheck", "--ready"]).stdout.starts_with("ready: the loop last turned at 2");
    assert!((0..3_000).any(|_| ready()), "it gets ready");
}

fn report(site: &Site) -> (Option<i32>, Value) {
    let ended = told(site, &["doctor", "--json"]);
    (ended.code, serde_json::from_str(&ended.stdout).expect("JSON"))
}

fn troubles(report: &Value) -> Vec<&str> {
    report["needs_a_person"].as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

#[test]
fn a_daemon_that_is_well_is_told_with_all_that_matters_and_without_a_secret() {
    let site = site(r#""true""#);
    // What the daemon has and a shell has not.
    let job = fs::read_to_string(site.path("jobs.d/a.toml")).expect("written");
    let told_by_variable = "[[jobs.a.container]]\nname = \"app\"\nenvironment = { WORD = \"${WORD}\" }\n";
    site.write("jobs.d/a.toml", job + told_by_variable);
    let certificates = site.path("certificates.pem");
    let environment = [
        ("SSL_CERT_FILE", certificates.to_str().expect("UTF-8")),
        ("AWS_ACCESS_KEY_ID", "canary-id"),
        ("AWS_SECRET_ACCESS_KEY", "canary-key"),
        ("HTTPS_PROXY", "http://user:canary-word@127.0.0.1:1"),
        ("AWS_REGION", "eu-north-1"),
        ("WORD", "canary"),
    ];
    let daemon = site.daemon_with(&environment, &["run", "--local"]);
    is_ready(&site);
    let page = told(&site, &["doctor"]);
    assert_eq!((page.code, page.stderr.as_str()), (Some(0), ""), "{}", page.stdout);
    let pid = daemon.pid().as_raw_nonzero();
    for wanted in [
        "all is well",
        ": 1 job, 0 errors, 0 warnings",
        &format!("pid {pid}, since 2"),
        &format!("held by pid {pid} on host"),
        "-01-01T03:00:00Z a\n",
        "in flight       none",
        "notices         0 wait, 0 given up\n",
        "of the daemon",
        "region        AWS_REGION",
        "AWS_ACCESS_KEY_ID",
        "HTTPS_PROXY",
    ] {
        assert!(page.stdout.contains(wanted), "`{wanted}` is missing:\n{}", page.stdout);
    }
    assert!(!page.stdout.contains("canary"), "{}", page.stdout);
    assert!(page.stdout.lines().count() <= 50, "one page:\n{}", page.stdout);

    let (code, report) = report(&site);
    assert_eq!(code, Some(0));
    assert!(!report.to_string().contains("canary"), "{report}");
    assert_eq!(report["daemon"]["health"]["version"], report["version"], "both are this build");
    assert_eq!(report["state"]["held"], true);
    assert_eq!(report["next"][0]["job"], "a");
    let health = told(&site, &["healthcheck"]);
    assert_eq!(health.code, Some(0), "{}", health.stderr);
    assert!(health.stdout.starts_with("healthy: the loop last turned at 2"), "{}", health.stdout);
    assert_eq!(health.stdout.lines().count(), 1);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_daemon_at_a_url_is_told_without_the_files_of_this_machine() {
    let site = site(r#""true""#);
    let waits = format!("\"cat\", \"{}\"", site.gate().display());
    let job = fs::read_to_string(site.path("jobs.d/a.toml")).expect("written").replace("\"true\"", &waits);
    site.write("jobs.d/a.toml", job);
    site.write("tenacron.toml", format!("{SETTINGS}\n[http]\nlisten = \"127.0.0.1:0\"\n"));
    let (daemon, address) = site.daemon_on_http(&["run", "--local"]);
    let url = format!("http://{address}");
    is_ready(&site);
    let health = told(&site, &["healthcheck", "--url", &url]);
    assert_eq!(health.code, Some(0), "{}", health.stderr);
    assert!(health.stdout.starts_with("healthy: the loop last turned at 2"), "{}", health.stdout);
    assert_eq!(site.run(&["trigger", "a"]).code, Some(0));
    daemon.wait_for_job("a", "task started");
    let ended = told(&site, &["doctor", "--json", "--url", &url]);
    assert_eq!(ended.code, Some(0), "{} {}", ended.stdout, ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&report["daemon"]["place"], &report["state"]), (&url.as_str().into(), &Value::Null));
    assert_eq!(report["in_flight"], json!([{ "status": "running", "runs": 1 }]));
    assert_eq!(report["notices"], json!({ "waiting": 0, "dead": 0, "dead_lately": 0 }));
    site.open_gate();
    daemon.wait_for_job("a", "run succeeded");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
    assert_eq!(told(&site, &["healthcheck", "--url", &url]).code, Some(4));
    assert_eq!(told(&site, &["doctor", "--url", &url]).code, Some(1));
}

#[test]
fn a_daemon_that_is_down_leaves_much_to_be_told() {
    let site = site(r#""true""#);
    let (code, before) = report(&site);
    assert_eq!(
        (code, &before["state"]["bytes"], &before["state"]["held"]),
        (Some(1), &Value::Null, &Value::Bool(false))
    );
    let daemon = site.daemon(&["run", "--local"]);
    let pid = daemon.pid().as_raw_nonzero();
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
    let (code, after) = report(&site);
    assert_eq!(code, Some(1));
    let state = &after["state"];
    assert!(state["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{state}");
    assert_eq!(state["held"], false);
    assert!(state["holder"].as_str().expect("text").starts_with(&format!("pid {pid} on host")), "{state}");
    let [only] = *troubles(&after) else { panic!("{after}") };
    assert!(only.starts_with("no daemon answers on ") && only.contains("control.sock"), "{only}");
    assert_eq!((&after["next"][0]["job"], &after["configuration"]["jobs"]), (&"a".into(), &1.into()));
    let health = told(&site, &["healthcheck"]);
    assert_eq!((health.code, health.stdout.as_str()), (Some(4), ""), "{}", health.stderr);
}

#[test]
fn a_broken_configuration_and_its_refusal_are_told() {
    let site = site(r#""true""#);
    let daemon = site.daemon(&["run", "--local"]);
    site.write("jobs.d/b.toml", "[jobs.b]\nschedule = \"61 * * * *\"\ntask_definition = \"b\"\n");
    daemon.wait_for("a refusal", |line| line["message"] == "configuration refused; the one before goes on");
    let page = told(&site, &["doctor"]);
    assert_eq!(page.code, Some(1), "{}", page.stderr);
    for wanted in [
        "b.toml:2:13: ",
        ": broken, 1 error, 0 warnings",
        "1 mistake, so no daemon takes it",
        "the newest configuration was refused, and the one before goes on",
        " was refused\n",
        "-01-01T03:00:00Z a\n",
        "not known while the configuration is broken",
    ] {
        assert!(page.stdout.contains(wanted), "`{wanted}` is missing:\n{}", page.stdout);
    }
    assert_eq!(told(&site, &["healthcheck"]).code, Some(0), "the daemon goes on");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
    assert_eq!(told(&site, &["doctor"]).code, Some(1), "nothing is left but what files say");
}

#[test]
fn what_failed_has_its_advice_and_what_is_paused_its_reason() {
    let site = site(r#""sh", "-c", "exit 3""#);
    let daemon = site.daemon(&["run", "--local"]);
    assert_eq!(site.run(&["trigger", "a"]).code, Some(0));
    daemon.wait_for_job("a", "run failed");
    assert_eq!(site.run(&["pause", "a", "--reason", "until it is mended"]).code, Some(0));
    let page = told(&site, &["doctor"]);
    assert_eq!(page.code, Some(1), "{}", page.stdout);
    for wanted in ["the newest run ended badly of a\n", " failed: States.TaskFailed: ", "until it is mended"] {
        assert!(page.stdout.contains(wanted), "`{wanted}` is missing:\n{}", page.stdout);
    }
    let (_, report) = report(&site);
    let failure = &report["failures"][0];
    assert_eq!(
        (&failure["job"], &failure["status"], &failure["exit_code"]),
        (&"a".into(), &"failed".into(), &3.into())
    );
    let shown = site.json(&["show", failure["run"].as_str().expect("a run")]);
    assert_eq!(failure["hint"], shown["hint"]);
    assert!(failure["hint"].is_string(), "{failure}");
    assert_eq!(report["paused"][0]["pause"]["reason"], "until it is mended");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_daemon_that_hangs_is_unhealthy_and_known_to_hold_the_state() {
    let site = site(r#""true""#);
    let daemon = site.daemon(&["run", "--local"]);
    daemon.signal(Signal::STOP);
    let health = told(&site, &["healthcheck"]);
    assert_eq!((health.code, health.stdout.as_str()), (Some(4), ""));
    assert!(health.stderr.contains("did not answer within 5 s"), "{}", health.stderr);
    let (code, report) = report(&site);
    assert_eq!(code, Some(1));
    let [only] = *troubles(&report) else { panic!("{report}") };
    let holder = format!("did not answer within 5 s, but pid {} on host", daemon.pid().as_raw_nonzero());
    assert!(only.contains(&holder) && only.contains("hangs"), "{only}");
    daemon.signal(Signal::CONT);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_state_that_can_not_be_saved_is_healthy_and_not_ready() {
    let site = site(r#""true""#);
    let daemon = site.daemon(&["run", "--local"]);
    fs::rename(site.path("state.db"), site.path("moved.db")).expect("moved");
    let mut trigger = site.command(&["trigger", "a"]).spawn().expect("it runs");
    daemon.wait_for("a commit to fail", |line| {
        line["message"] == "state could not be saved; nothing is launched until it can"
    });
    let (live, ready) = (told(&site, &["healthcheck"]), told(&site, &["healthcheck", "--ready"]));
    assert_eq!((live.code, ready.code), (Some(0), Some(1)), "{} {}", live.stderr, ready.stderr);
    assert!(live.stdout.contains("the state can't be saved: "), "{}", live.stdout);
    assert!(ready.stdout.starts_with("not ready: "), "{}", ready.stdout);
    let (code, report) = report(&site);
    assert_eq!(code, Some(1));
    assert!(
        troubles(&report).iter().any(|told| told.starts_with("the state can't be saved, and nothing is launched: "))
    );
    fs::rename(site.path("moved.db"), site.path("state.db")).expect("put back");
    daemon.wait_for("the state to be saved", |line| line["message"] == "state can be saved again");
    trigger.wait().expect("it ends");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}
