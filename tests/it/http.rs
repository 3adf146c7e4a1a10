//! The server that others can reach: tokens, foreign pages, hostile peers, streams of events, pages of lists, and the
//! command line at a URL. `src/web/serve.rs` tries each limit of time with a short one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::harness::{Ended, Process, SETTINGS, Site, tenacron};
use super::python;
use super::wire::Place;

const FULL: &str = "canary-full-3b1f0c9a7d5e4f62";
const NAMED: &str = "canary-named-81c2d3e4f5a69788";
const READ: &str = "canary-read-0f1e2d3c4b5a6978";
const WRONG: &str = "canary-wrong-5566778899aabbcc";
const JOBS: &str = r#"
[jobs.quick]
schedule = "0 3 1 1 *"
task_definition = "quick"
overlap = "allow"
[jobs.other]
schedule = "0 3 1 1 *"
task_definition = "quick"
[local.task_definitions.quick]
containers = [{ name = "app", command = ["true"] }]
"#;

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

fn write_tokens(site: &Site, name: &str, text: &str) {
    site.write(name, text);
    fs::set_permissions(site.path(name), fs::Permissions::from_mode(0o600)).expect("it is ours");
}

/// A site whose port asks for tokens.
fn guarded() -> Site {
    let site = Site::new(&format!(
        "{SETTINGS}\n[http]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"full\"\nread_token_file = \"readers\"\n{JOBS}"
    ));
    write_tokens(&site, "full", &format!("# for all\n{FULL}\nci: {NAMED}\n"));
    write_tokens(&site, "readers", READ);
    site
}

fn open() -> Site {
    Site::new(&format!("{SETTINGS}\n[http]\nlisten = \"127.0.0.1:0\"\n{JOBS}"))
}

fn start(site: &Site) -> (Process, Place, Place) {
    let (daemon, address) = site.daemon_on_http(&["run", "--local"]);
    (daemon, Place::Port(address), Place::Socket(site.path("control.sock")))
}

/// Every method and path that the description names, for a job and a run that there are.
fn operations(run: &str) -> Vec<(String, String)> {
    let api: Value = serde_json::from_str(include_str!("../../src/web/openapi.json")).expect("JSON");
    let paths = api["paths"].as_object().expect("paths").iter();
    let all = paths.flat_map(|(path, methods)| {
        let path = path.replace("{job}", "quick").replace("{run}", run);
        let path = if path.ends_with("/why") { format!("{path}?at=2026-01-01T00:00:00Z") } else { path };
        let methods = methods.as_object().expect("methods").keys();
        methods.map(|method| (method.to_ascii_uppercase(), path.clone())).collect::<Vec<_>>()
    });
    // A stream does not end by itself, and a backfill needs a body.
    all.filter(|(_, path)| !path.ends_with("/events") && !path.ends_with("/backfill")).collect()
}

#[test]
fn each_token_opens_what_it_is_for_and_nothing_else() {
    let site = guarded();
    let (daemon, port, socket) = start(&site);
    let run = site.json(&["trigger", "quick"])["run"].as_str().expect("a run").to_owned();
    daemon.wait_for_job("quick", "run succeeded");
    let operations = operations(&run);
    assert!(operations.len() > 15, "{operations:?}");
    for (method, path) in &operations {
        let is_open = path == "/healthz" || path == "/readyz";
        let is_reading = method == "GET";
        let status = |place: &Place, headers: &[&str]| place.ask(method, path, headers, None).status;
        for shown in [None, Some(bearer(WRONG)), Some(bearer("")), Some("Authorization: Basic Og==".to_owned())] {
            let headers: Vec<&str> = shown.iter().map(String::as_str).collect();
            let answer = port.ask(method, path, &headers, None);
            if is_open {
                assert_eq!((answer.status, answer.json()), (200, json!({ "ok": true })), "{path} without details");
            } else {
                assert_eq!(answer.status, 401, "{method} {path} with {shown:?}");
                assert_eq!(answer.header("www-authenticate"), Some("bearer realm=\"tenacron\""));
            }
        }
        let with_read = status(&port, &[&bearer(READ)]);
        assert_eq!(with_read == 403, !is_reading, "{method} {path}: {with_read}");
        for answered in [status(&port, &[&bearer(FULL)]), status(&port, &[&bearer(NAMED)]), status(&socket, &[])] {
            // The run is over already, so it can't be cancelled.
            let is_done = answered == 200 || (answered == 409 && path.ends_with("/cancel"));
            assert!(is_done, "{method} {path}: {answered}");
        }
        if is_reading {
            assert_eq!(with_read, 200, "{path}");
        }
    }
    let details = port.get("/healthz", &[&bearer(READ)]).json();
    assert!(details["turned_at"].is_string(), "{details}");
    for (path, header) in [("/nowhere", bearer(WRONG)), ("/api/v1/../v1/jobs", String::new())] {
        assert_eq!(port.get(path, &[&header]).status, 401, "{path}: what there is, is told to nobody");
    }
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn everything_that_was_done_is_on_record_with_whoever_did_it() {
    let site = guarded();
    let (daemon, port, socket) = start(&site);
    let token = bearer(NAMED);
    for (place, headers) in [(&port, vec![token.as_str()]), (&socket, vec![])] {
        let done = |path: &str, body: &str| {
            let answer = place.post(path, &headers, body);
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            answer.json()
        };
        let run = done("/api/v1/jobs/quick/trigger", r#"{"reason": "a trial"}"#);
        let run = run["run"].as_str().expect("a run").to_owned();
        daemon.wait_for("its success", |line| line["message"] == "run succeeded" && line["run"] == run.as_str());
        done(&format!("/api/v1/runs/{run}/retry"), "{}");
        done("/api/v1/jobs/quick/pause", "{}");
        done("/api/v1/jobs/quick/resume", "{}");
        done("/api/v1/pause", "{}");
        done("/api/v1/resume", "");
        done("/api/v1/reload", "{}");
        let range = r#"{"from": "2024-01-01T00:00:00Z", "until": "2025-06-01T00:00:00Z"}"#;
        done("/api/v1/jobs/other/backfill", range);
    }
    let deeds = site.json(&["audit", "-n", "1000"]);
    let deeds = deeds.as_array().expect("a list");
    let by = |who: &str| -> BTreeSet<&str> {
        let theirs = deeds.iter().filter(|deed| deed["by"].as_str().is_some_and(|by| by.starts_with(who)));
        theirs.filter_map(|deed| deed["action"].as_str()).collect()
    };
    let all = BTreeSet::from(["trigger", "retry", "pause", "resume", "reload", "backfill"]);
    assert_eq!(by("HTTP token ci from 127.0.0.1"), all);
    assert_eq!(by("uid "), all);
    let listed = site.run(&["audit", "-n", "3"]);
    assert_eq!((listed.code, listed.stdout.lines().count()), (Some(0), 4), "{}", listed.stdout);
    assert!(listed.stdout.starts_with("WHEN") && listed.stdout.contains("backfill"), "{}", listed.stdout);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_token_is_replaced_by_a_reload_and_a_broken_file_replaces_none() {
    let site = guarded();
    let (daemon, port, _) = start(&site);
    let next = "canary-next-99887766554433221100";
    assert_eq!(port.get("/api/v1/jobs", &[&bearer(next)]).status, 401);
    write_tokens(&site, "full", "short\n");
    let refused = site.run(&["reload"]);
    assert_eq!(refused.code, Some(78), "{}", refused.stderr);
    assert!(refused.stderr.contains("line 1: the token has 5 characters"), "{}", refused.stderr);
    assert_eq!(port.get("/api/v1/jobs", &[&bearer(FULL)]).status, 200, "the ones before go on");
    write_tokens(&site, "full", next);
    assert_eq!(site.run(&["reload"]).code, Some(0));
    assert_eq!(port.get("/api/v1/jobs", &[&bearer(next)]).status, 200);
    assert_eq!(port.get("/api/v1/jobs", &[&bearer(FULL)]).status, 401, "the one before is no more");
    write_tokens(&site, "full", FULL);
    daemon.signal(Signal::HUP);
    daemon.wait_for("the reload", |line| line["message"] == "configuration taken" && line["by"] == "SIGHUP");
    assert_eq!(port.get("/api/v1/jobs", &[&bearer(FULL)]).status, 200);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn tokens_are_nowhere_but_in_their_files() {
    let site = guarded();
    let (daemon, port, socket) = start(&site);
    let mut told = Vec::new();
    for token in [FULL, NAMED, READ, WRONG] {
        for (method, path) in operations("quick-19700101T000000Z") {
            let answer = port.ask(&method, &path, &[&bearer(token)], None);
            told.push(format!("{}{}", answer.head, answer.body));
        }
    }
    for path in ["/api/v1/audit", "/api/v1/runs", "/api/v1/notices", "/healthz", "/metrics"] {
        told.push(socket.get(path, &[]).body);
    }
    let variables = [("TENACRON_TOKEN", FULL), ("TENACRON_URL", "http://ops:canary-password@127.0.0.1:1")];
    for arguments in [["--help"].as_slice(), &["runs", "--help"], &["jobs"], &["--config", "/nowhere", "runs"]] {
        let ended = Ended::of(tenacron().args(arguments).envs(variables));
        told.push(format!("{}{}", ended.stdout, ended.stderr));
    }
    write_tokens(&site, "full", &format!("{FULL} {NAMED}\n"));
    for arguments in [["reload"].as_slice(), &["validate"], &["validate", "--json"]] {
        let ended = site.run(arguments);
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        told.push(format!("{}{}", ended.stdout, ended.stderr));
    }
    daemon.signal(Signal::TERM);
    let (lines, ended) = daemon.last_words();
    assert_eq!(ended.code(), Some(0));
    let refused: Vec<&Value> = lines.iter().filter(|line| line["message"] == "token refused").collect();
    assert!(refused.len() == 1 && refused[0]["from"] == "127.0.0.1", "{refused:?}");
    told.extend(lines.iter().map(Value::to_string));
    let told = told.join("\n");
    assert!(told.contains("HTTP token ci") && told.contains("expected TOKEN"), "it was looked in the right place");
    let found: Vec<&str> = told.lines().filter(|line| line.contains("canary")).collect();
    assert_eq!(found, [""; 0]);
}

#[test]
fn an_address_of_elsewhere_is_not_listened_on_without_a_token_that_can_be_read() {
    let elsewhere = |more: &str| Site::new(&format!("{SETTINGS}\n[http]\nlisten = \"0.0.0.0:0\"\n{more}{JOBS}"));
    let site = elsewhere("");
    for arguments in [["run", "--local"].as_slice(), &["validate"]] {
        let ended = site.run(arguments);
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        assert!(format!("{}{}", ended.stdout, ended.stderr).contains("no-token"), "{}", ended.stderr);
    }
    let site = elsewhere("token_file = \"full\"\n");
    for (text, told) in
        [(None, "the tokens can't be read"), (Some("# none\n"), "holds no token"), (Some("short"), "at least 16")]
    {
        if let Some(text) = text {
            write_tokens(&site, "full", text);
        }
        let ended = site.run(&["run", "--local"]);
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
    }
    fs::remove_file(site.path("full")).expect("it was there");
    let doubted = site.json(&["validate"]);
    assert_eq!(doubted.as_array().map(Vec::len), Some(1), "perhaps only the daemon may read it: {doubted}");
    assert_eq!((&doubted[0]["code"], &doubted[0]["level"]), (&json!("unreadable-tokens"), &json!("warning")));
    write_tokens(&site, "full", FULL);
    assert_eq!(site.json(&["validate"]), json!([]));
    fs::set_permissions(site.path("full"), fs::Permissions::from_mode(0o644)).expect("it is ours");
    assert_eq!(site.json(&["validate"])[0]["code"], "exposed-tokens");
}

#[test]
fn foreign_pages_and_names_get_nothing() {
    let site = open();
    let (daemon, port, socket) = start(&site);
    let Place::Port(address) = &port else { panic!("a port") };
    let trigger = |headers: &[&str]| port.post("/api/v1/jobs/quick/trigger", headers, "{}").status;
    assert_eq!(trigger(&["Origin: http://evil.example"]), 403);
    assert_eq!(trigger(&["Origin: null"]), 403);
    assert_eq!(trigger(&["Sec-Fetch-Site: cross-site"]), 403);
    assert_eq!(trigger(&["Sec-Fetch-Site: same-site"]), 403);
    assert_eq!(trigger(&[&format!("Origin: http://{address}"), "Sec-Fetch-Site: same-origin"]), 200);
    let form = |place: &Place, host: &str| {
        let head = "Content-Type: text/plain\r\nContent-Length: 2\r\nConnection: close";
        let request = format!("POST /api/v1/jobs/quick/trigger HTTP/1.1\r\nHost: {host}\r\n{head}\r\n\r\n{{}}");
        place.send(request.as_bytes()).split(' ').nth(1).map(str::to_owned)
    };
    assert_eq!(form(&port, address).as_deref(), Some("415"), "what a form can send");
    assert_eq!(form(&socket, "localhost").as_deref(), Some("200"), "no page reaches a socket");
    assert_eq!(form(&port, "rebound.example").as_deref(), Some("400"));
    let preflight = port.ask("OPTIONS", "/api/v1/jobs", &["Origin: http://evil.example"], None);
    assert!(preflight.status == 403 && preflight.header("access-control-allow-origin").is_none(), "{preflight:?}");
    for (method, path, status) in [("GET", "/api/v1/jobs", 200), ("GET", "/nowhere", 404), ("PUT", "/api/v1/jobs", 405)]
    {
        for place in [&port, &socket] {
            let answer = place.ask(method, path, &[], None);
            assert_eq!(answer.status, status, "{method} {path}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(answer.header("x-frame-options"), Some("deny"));
        }
    }
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn hostile_bytes_end_no_daemon_and_hold_up_nobody() {
    let site = open();
    let (daemon, port, socket) = start(&site);
    let large = "x".repeat(100 << 10);
    let post = "POST /api/v1/jobs/quick/trigger HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let attacks = [
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{0}\u{5}hello\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        format!("GET /{large} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {large}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(1_000)),
        format!("{post}Content-Length: {}\r\nConnection: close\r\n\r\n{large}", large.len()),
        format!("{post}Content-Length: 99999999999999999999\r\n\r\n{{}}"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff0\r\n"),
        format!("{post}Content-Length: 4\r\nConnection: close\r\n\r\n[[[["),
        format!("{post}Content-Length: 40000\r\nConnection: close\r\n\r\n{}", "[".repeat(40_000)),
    ];
    // Half a request each, all at once, and nothing more of any.
    let held: Vec<_> = (0..100).map(|_| port.events("/api/v1/jobs HTTP/1.1\r\nX-Half: ", &[])).collect();
    for place in [&port, &socket] {
        for attack in &attacks {
            let answer = place.send(attack.as_bytes());
            let shown: String = attack.chars().take(60).collect();
            let status = answer.split(' ').nth(1).unwrap_or("none");
            assert!(status == "none" || status.starts_with('4'), "{shown:?}: {answer}");
        }
        let too_large = place.post("/api/v1/jobs/quick/trigger", &[], &format!("{{\"reason\": \"{large}\"}}"));
        assert_eq!(too_large.status, 413);
        assert_eq!(place.get("/api/v1/jobs", &[]).status, 200);
    }
    assert_eq!(site.json(&["runs"]), json!([]), "nothing of it was done");
    drop(held);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn whoever_asks_no_more_gets_an_answer_and_what_it_asked_for_is_done_once() {
    let site = open();
    let (daemon, port, socket) = start(&site);
    for place in [&port, &socket] {
        let head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 2";
        let answer =
            place.send_all(format!("POST /api/v1/jobs/quick/trigger HTTP/1.1\r\n{head}\r\n\r\n{{}}").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"run\":\"quick-"), "{answer}");
        let answer = place.send_all(b"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("}]"), "{answer}");
    }
    assert_eq!(site.json(&["runs"]).as_array().map(Vec::len), Some(2));
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn what_is_not_understood_is_answered_at_once_in_our_words() {
    let site = open();
    let (daemon, port, socket) = start(&site);
    let post = |head: &str, body: &str| {
        format!(
            "POST /api/v1/jobs/quick/trigger HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Connection: close\r\n{head}\r\n\r\n{body}"
        )
    };
    let said = |body: &str| post(&format!("Content-Length: {}", body.len()), body);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let cases = [
        (get("/api/v1/jobs/%00%ff"), "400", "the name in the path is not UTF-8"),
        (get("/api/v1/jobs/%ff/why?at=2026-01-01T00:00:00Z"), "400", "the name in the path is not UTF-8"),
        (get("/api/v1/runs/%ff"), "400", "the name in the path is not UTF-8"),
        (get("/api/v1/runs?limit=many"), "400", "the query: limit: "),
        (get("/api/v1/notices?jobs=x"), "400", "the query: jobs: unknown field"),
        (get("/api/v1/jobs/quick/why"), "400", "the query: missing field `at`"),
        (said("[\"why\"]"), "400", "the body must be a JSON object"),
        (said("{\"reasn\": \"why\"}"), "400", "the body, line 1, column 8: unknown field `reasn`"),
        // No byte of it comes.
        (post("Content-Length: 65537", ""), "413", "the body is larger than 64 KiB"),
        (
            post("Content-Length: 2\r\nTransfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n"),
            "400",
            "says its length twice",
        ),
    ];
    for place in [&port, &socket] {
        for (request, status, told) in &cases {
            let answer = place.send(request.as_bytes());
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request}: {answer}"));
            assert_eq!(head.split(' ').nth(1), Some(*status), "{request}: {answer}");
            let error: Value =
                serde_json::from_str(body).unwrap_or_else(|error| panic!("{request}: {error}: {answer}"));
            assert!(error["error"].as_str().is_some_and(|error| error.contains(told)), "{request}: {answer}");
        }
    }
    assert_eq!(site.json(&["runs"]), json!([]), "nothing of it was done");
    let elsewhere = port.send(get("http://rebound.example/api/v1/jobs").as_bytes());
    assert!(elsewhere.starts_with("HTTP/1.1 400 ") && elsewhere.contains("another server"), "{elsewhere}");
    let here = port.send(get("http://localhost/api/v1/jobs").as_bytes());
    assert!(here.starts_with("HTTP/1.1 200 "), "{here}");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn what_changes_is_told_while_it_happens_and_the_stream_ends_with_the_daemon() {
    let site = guarded();
    let (daemon, port, socket) = start(&site);
    let mut all = socket.events("/api/v1/events", &[]);
    let mut of_other = port.events("/api/v1/events?job=other", &[&bearer(READ)]);
    for stream in [&mut all, &mut of_other] {
        let hello = stream.next().expect("a greeting");
        assert_eq!((hello.kind.as_str(), hello.id, &hello.data["instance"]), ("hello", Some(0), &json!("test")));
        assert_eq!(hello.data["version"], env!("CARGO_PKG_VERSION"));
    }
    let run = site.json(&["trigger", "quick"])["run"].as_str().expect("a run").to_owned();
    let mut last = 0;
    loop {
        let event = all.find("its end", |event| event.data["run"] == run.as_str());
        assert!(event.kind == "run" && event.id > Some(last), "{event:?}");
        last = event.id.expect("a number");
        assert!(event.data["last_event"].is_string() && event.data["scheduled_at"].is_string(), "{event:?}");
        if event.data["status"] == "succeeded" {
            assert_eq!(event.data["last_event"], "ExecutionSucceeded");
            break;
        }
    }
    assert_eq!(site.run(&["pause", "quick", "--reason", "quiet"]).code, Some(0));
    assert_eq!(site.run(&["pause", "--all"]).code, Some(0));
    assert_eq!(site.run(&["pause", "other"]).code, Some(0));
    let paused = all.find("the pause", |event| event.kind == "job");
    assert_eq!((&paused.data["action"], &paused.data["job"]), (&json!("pause"), &json!("quick")));
    let first = of_other.next().expect("a change");
    assert_eq!((first.kind.as_str(), &first.data["job"]), ("job", &Value::Null), "what concerns all concerns each");
    assert_eq!(of_other.next().map(|event| event.data["job"].clone()), Some(json!("other")));
    assert_eq!(socket.get("/api/v1/events?jobs=quick", &[]).status, 400);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
    assert!(all.find("the last pause", |event| event.data["job"] == "other").kind == "job" && all.next().is_none());
    assert!(of_other.next().is_none());
}

#[test]
fn there_are_so_many_streams_and_a_reader_that_leaves_makes_room() {
    let site = open();
    let (daemon, port, _) = start(&site);
    let mut streams: Vec<_> = (0..64).map(|_| port.events("/api/v1/events", &[])).collect();
    assert!(streams.iter_mut().all(|stream| stream.next().is_some_and(|event| event.kind == "hello")));
    let refused = port.get("/api/v1/events", &[]);
    assert_eq!(refused.status, 503, "{refused:?}");
    streams.clear();
    // A reader that is gone is noticed by what is written to it.
    while port.events("/api/v1/events", &["Connection: close"]).next().is_none() {
        assert_eq!(port.post("/api/v1/pause", &[], "{}").status, 200);
    }
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_list_goes_on_where_its_answer_says() {
    let site = open();
    let (daemon, port, socket) = start(&site);
    for _ in 0..5 {
        assert_eq!(site.run(&["trigger", "quick"]).code, Some(0));
    }
    assert_eq!(site.run(&["trigger", "other"]).code, Some(0));
    for list in ["/api/v1/runs?job=quick&limit=2", "/api/v1/audit?limit=2"] {
        for place in [&port, &socket] {
            let (mut path, mut pages, mut items) = (list.to_owned(), 0, Vec::new());
            loop {
                let page = place.get(&path, &[]);
                assert_eq!(page.status, 200, "{page:?}");
                items.extend(page.json().as_array().expect("a list").clone());
                pages += 1;
                // The helper reads heads in lower case, and so are these names, but for the instants of runs.
                let Some(link) = page.header("link") else { break };
                let next =
                    link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\"")).expect("a link");
                let (kept, _) = next.split_once("before=").expect("a cursor");
                let last = items.last().expect("an item");
                let cursor = last["run"].as_str().filter(|_| list.contains("runs")).map(str::to_owned);
                let cursor = cursor.unwrap_or_else(|| last["seq"].to_string());
                assert!(next.ends_with(&cursor.to_ascii_lowercase()), "{next}: {cursor}");
                path = format!("{kept}before={cursor}");
            }
            let whole = place.get(&list.replace("limit=2", "limit=1000"), &[]);
            assert_eq!((Value::from(items), whole.header("link")), (whole.json(), None), "{list}");
            assert_eq!(pages, 3, "{list}");
        }
    }
    let gone = port.get("/api/v1/runs?before=quick-19700101T000000Z", &[]);
    assert!(
        gone.status == 404 && gone.json()["error"].as_str().is_some_and(|text| text.contains("begin anew")),
        "{gone:?}"
    );
    let gone = port.get("/api/v1/notices?before=none", &[]);
    assert_eq!((gone.status, gone.json()["error"].as_str().map(|text| text.contains("begin anew"))), (404, Some(true)));
    assert_eq!(port.get("/api/v1/audit?before=first", &[]).status, 400);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn the_command_line_reaches_a_daemon_at_its_url() {
    let site = guarded();
    let (daemon, port, _) = start(&site);
    let Place::Port(address) = &port else { panic!("a port") };
    let url = format!("http://{address}");
    write_tokens(&site, "mine", &format!("# the second is not shown\n{READ}\n{FULL}\n"));
    let with = |variables: &[(&str, &str)], arguments: &[&str]| {
        Ended::of(tenacron().args(["--url", &url]).args(arguments).envs(variables.iter().copied()))
    };
    let jobs = with(&[("TENACRON_TOKEN", READ)], &["jobs", "--json"]);
    assert_eq!((jobs.code, jobs.stdout), (Some(0), site.run(&["jobs", "--json"]).stdout), "{}", jobs.stderr);
    let file = site.path("mine");
    let file = file.to_str().expect("UTF-8");
    assert_eq!(with(&[], &["runs", "--token-file", file]).code, Some(0));
    let refused = with(&[], &["trigger", "quick", "--token-file", file]);
    assert_eq!(refused.code, Some(77), "{}", refused.stderr);
    assert!(refused.stderr.contains("this token may only read"), "{}", refused.stderr);
    for token in [None, Some(("TENACRON_TOKEN", WRONG))] {
        let refused = with(token.as_slice(), &["jobs"]);
        assert_eq!(refused.code, Some(77), "{}", refused.stderr);
    }
    let done = with(&[("TENACRON_TOKEN", NAMED)], &["trigger", "quick", "--quiet", "--reason", "from afar"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let shown = with(&[("TENACRON_TOKEN", READ)], &["show", done.stdout.trim(), "--json"]);
    assert!(shown.stdout.contains("HTTP token ci from 127.0.0.1"), "{}", shown.stdout);
    assert_eq!(with(&[("TENACRON_TOKEN", READ)], &["show", "nothing"]).code, Some(3));
    assert_eq!(with(&[("TENACRON_TOKEN_FILE", "/nowhere")], &["jobs"]).code, Some(2));
    let nobody = Ended::of(tenacron().args(["--url", "http://127.0.0.1:9", "jobs"]));
    assert_eq!(nobody.code, Some(4), "{}", nobody.stderr);
    let by_variable =
        Ended::of(tenacron().arg("jobs").envs([("TENACRON_URL", url.as_str()), ("TENACRON_TOKEN", READ)]));
    assert_eq!(by_variable.code, Some(0), "{}", by_variable.stderr);
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn the_command_line_speaks_tls_with_a_proxy_that_it_trusts_and_shows_no_token_to_another() {
    let site = guarded();
    let (daemon, port, _) = start(&site);
    let Place::Port(address) = &port else { panic!("a port") };
    let (host, number) = address.split_once(':').expect("a port");
    let fixture = |name: &str| format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("python3");
    command.arg(python::script("tls_proxy.py")).args([fixture("server.pem"), fixture("server.key")]);
    let proxy = Process::start(command.args([host, number]));
    // A number is JSON.
    let listens = proxy.wait_for("its port", |line| line.is_number());
    let url = format!("https://127.0.0.1:{listens}");
    let jobs = |trusted: &str| {
        let variables = [("TENACRON_TOKEN", READ), ("SSL_CERT_FILE", trusted)];
        Ended::of(tenacron().args(["--url", &url, "jobs", "--json"]).envs(variables))
    };
    let through = jobs(&fixture("ca.pem"));
    assert_eq!(through.code, Some(0), "{}", through.stderr);
    assert_eq!(through.stdout, site.run(&["jobs", "--json"]).stdout);
    proxy.wait_for("the handshake", |line| line["message"] == "in");
    write_tokens(&site, "none.pem", "");
    let refused = jobs(site.path("none.pem").to_str().expect("UTF-8"));
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    proxy.wait_for("the end of the other handshake", |line| line["message"] == "refused");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}
