//! Browsers before a port that asks for tokens: what signing in opens, and what a session can't do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::harness::{Process, SETTINGS, Site};
use super::wire::{Answer, Place};

const FULL: &str = "canary-full-9d8c7b6a5f4e3d2c";
const READ: &str = "canary-read-1a2b3c4d5e6f7081";
const PAGE: &str = "Accept: text/html,application/xhtml+xml";
const JOBS: &str = r#"
[jobs.quick]
schedule = "0 3 1 1 *"
task_definition = "quick"
[local.task_definitions.quick]
containers = [{ name = "app", command = ["true"] }]
"#;

struct Guarded {
    site: Site,
    daemon: Process,
    port: Place,
    origin: String,
}

fn write_tokens(site: &Site, name: &str, text: &str) {
    site.write(name, text);
    fs::set_permissions(site.path(name), fs::Permissions::from_mode(0o600)).expect("it is ours");
}

fn guarded() -> Guarded {
    let guard = "listen = \"127.0.0.1:0\"\ntoken_file = \"full\"\nread_token_file = \"readers\"";
    let site = Site::new(&format!("{SETTINGS}\n[http]\n{guard}\n{JOBS}"));
    write_tokens(&site, "full", &format!("ops: {FULL}"));
    write_tokens(&site, "readers", READ);
    let (daemon, address) = site.daemon_on_http(&["run", "--local"]);
    Guarded { site, daemon, origin: format!("Origin: http://{address}"), port: Place::Port(address) }
}

/// Sends a form as a browser does.
pub(crate) fn fill_in(port: &Place, path: &str, headers: &[&str], form: &str) -> Answer {
    let Place::Port(host) = port else { panic!("a form goes over a port") };
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let kind = "Content-Type: application/x-www-form-urlencoded";
    let length = form.len();
    let answer = port.send(
        format!("POST {path} HTTP/1.1\r\nHost: {host}\r\n{headers}{kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{form}")
            .as_bytes(),
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

impl Guarded {
    /// Signs in, and gives the header that a browser sends from then on.
    fn sign_in(&self, token: &str) -> String {
        let answer = fill_in(&self.port, "/sign-in", &[&self.origin], &format!("token={token}&to=%2Fruns"));
        assert_eq!((answer.status, answer.header("location")), (303, Some("/runs")), "{answer:?}");
        let cookie = answer.header("set-cookie").expect("a session");
        assert!(cookie.contains("httponly") && cookie.contains("samesite=lax") && !cookie.contains(token), "{cookie}");
        format!("Cookie: {}", cookie.split(';').next().expect("a pair"))
    }
}

#[test]
fn who_shows_nothing_is_led_to_sign_in_and_a_program_is_told() {
    let Guarded { port, origin, .. } = &guarded();
    for path in ["/", "/runs/quick-1", "/jobs/quick?status=failed"] {
        let led = port.get(path, &[PAGE]);
        assert_eq!(led.status, 303, "{path}");
        assert!(led.header("location").expect("a way").starts_with("/sign-in?to=/"), "{led:?}");
        assert_eq!(port.get(path, &[]).status, 401, "{path}");
    }
    let form = port.get("/sign-in?to=/runs", &[PAGE]);
    assert_eq!(form.status, 200);
    let begins = form.body.find("/assets/page-").expect("it loads the style sheet");
    let path: String = form.body[begins..].chars().take_while(|c| *c != '"').collect();
    let style = port.get(&path, &[]);
    assert_eq!((style.status, style.header("cache-control")), (200, Some("public, max-age=31536000, immutable")));
    assert_eq!(port.get("/assets/page.css", &[]).status, 404);
    for wrong in ["", "x", &FULL[1..]] {
        let refused = fill_in(port, "/sign-in", &[origin], &format!("token={wrong}"));
        assert_eq!((refused.status, refused.header("set-cookie")), (401, None), "{wrong}");
    }
    let late = fill_in(port, "/jobs/quick/trigger", &[origin, PAGE], "reason=x");
    assert_eq!(late.status, 401);
    assert!(late.body.contains("nothing was done"), "{late:?}");
    let elsewhere = fill_in(port, "/sign-in", &["Origin: http://evil.example"], &format!("token={FULL}"));
    assert_eq!(elsewhere.status, 403, "nobody is signed in by a foreign page");
}

#[test]
fn a_session_opens_what_its_token_opens_and_acts_from_our_page_only() {
    let guarded = guarded();
    let Guarded { port, origin, .. } = &guarded;
    let (full, read) = (guarded.sign_in(FULL), guarded.sign_in(READ));
    for session in [&full, &read] {
        for path in ["/", "/runs", "/jobs/quick", "/timeline", "/api/v1/jobs", "/metrics"] {
            assert_eq!(port.get(path, &[session]).status, 200, "{path}");
        }
    }
    let trigger = "/jobs/quick/trigger";
    assert_eq!(fill_in(port, trigger, &[&read, origin], "reason=x").status, 403, "it may only read");
    assert_eq!(fill_in(port, trigger, &[&full], "reason=x").status, 403, "nobody knows which page it comes from");
    assert_eq!(fill_in(port, trigger, &[&full, "Origin: null"], "reason=x").status, 403);
    assert_eq!(port.post("/api/v1/jobs/quick/trigger", &[&full], "{}").status, 403, "the same for the API");
    assert_eq!(fill_in(port, "/api/v1/jobs/quick/trigger", &[&full, origin], "reason=x").status, 400, "no JSON");
    let done = fill_in(port, trigger, &[&full, origin], "reason=a+trial");
    assert_eq!(done.status, 303, "{done:?}");
    assert!(done.header("location").expect("a run").starts_with("/runs/"), "{done:?}");
    guarded.daemon.wait_for_job("quick", "run succeeded");
    let deeds: Value = guarded.site.json(&["audit"]);
    let deed = &deeds[0];
    assert_eq!((&deed["action"], &deed["by"]), (&"trigger".into(), &"HTTP token ops from 127.0.0.1".into()), "{deeds}");
    assert!(deed["detail"].as_str().expect("why").contains("a trial"), "{deeds}");
}

#[test]
fn a_session_ends_with_its_token_and_not_with_the_daemon() {
    let guarded = guarded();
    let (session, reader) = (guarded.sign_in(FULL), guarded.sign_in(READ));
    let out = fill_in(&guarded.port, "/sign-out", &[&reader, &guarded.origin], "");
    assert_eq!(out.status, 303, "{out:?}");
    let out = fill_in(&guarded.port, "/sign-out", &[&session, &guarded.origin], "");
    assert!(out.header("set-cookie").expect("it is taken back").contains("max-age=0"), "{out:?}");
    let Guarded { site, daemon, .. } = guarded;
    drop(daemon);
    let (daemon, address) = site.daemon_on_http(&["run", "--local"]);
    // It listens on another port now, and each has a cookie of its own.
    let (_, proof) = session.split_once('=').expect("a pair");
    let (_, number) = address.split_once(':').expect("a port");
    let session = format!("Cookie: tenacron_session_{number}={proof}");
    let port = Place::Port(address);
    assert_eq!(port.get("/runs", &[&session]).status, 200, "nothing of it was kept in memory");
    write_tokens(&site, "full", "ops: another-token-77665544332211");
    assert_eq!(site.run(&["reload"]).code, Some(0));
    assert_eq!(port.get("/runs", &[&session]).status, 401);
    drop(daemon);
}
