//! Notices over real sockets, by the real binary: each kind of channel, receivers that are slow, broken or hostile, a death
//! between sending and saving, and that no secret is ever told.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::process::Signal;
use serde_json::Value;

use super::harness::{Ended, Heard, Process, SETTINGS, Site, WITHIN, aws, now};
use super::wire::Place;

/// A job that fails with exit code 7 until there is a file `well` in the folder of the site.
fn job(site: &Site, name: &str, keys: &str) -> String {
    let well = site.path("well");
    let well = well.to_str().expect("UTF-8");
    format!(
        "[jobs.{name}]\nschedule = \"@yearly\"\ntask_definition = \"{name}\"\nretry = []\n{keys}\n\
         [local.task_definitions.{name}]\ncontainers = [{{ name = \"app\", command = [\"sh\", \"-c\", \"test -e '{well}' || exit 7\"] }}]\n"
    )
}

fn site_with(jobs: impl Fn(&Site) -> String) -> Site {
    let site = Site::new("");
    let text = format!("{SETTINGS}\n{}", jobs(&site));
    site.write("tenacron.toml", text);
    site
}

/// A request as it came.
#[derive(Debug, Clone)]
struct Request {
    /// Such as `POST /a?b HTTP/1.1`.
    line: String,
    /// By their names in lower case.
    headers: BTreeMap<String, String>,
    body: String,
}

impl Request {
    fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// What to do with a request.
enum Does {
    /// These bytes, then the end of the connection.
    Say(String),
    /// Nothing, with the connection left open.
    Nothing,
}

fn status(line: &str) -> Does {
    Does::Say(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n"))
}

/// A receiver of notices on this machine.
struct Inbox {
    url: String,
    came: Receiver<Request>,
}

impl Inbox {
    fn start(does: impl Fn(&Request) -> Does + Send + Sync + 'static) -> Inbox {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (sender, came) = channel();
        let does = std::sync::Arc::new(does);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (sender, does) = (sender.clone(), std::sync::Arc::clone(&does));
                thread::spawn(move || {
                    let mut stream = stream;
                    let Some(request) = read(&mut stream) else { return };
                    let does = does(&request);
                    // A test that is over hears nothing more, and a peer that is gone neither.
                    drop(sender.send(request));
                    match does {
                        Does::Say(text) => drop(stream.write_all(text.as_bytes())),
                        Does::Nothing => drop(stream.read(&mut [0; 1])),
                    }
                });
            }
        });
        Inbox { url, came }
    }

    fn well() -> Inbox {
        Inbox::start(|_| status("200 OK"))
    }

    /// The next request from now on that fits.
    fn wait_for(&self, what: &str, fits: impl Fn(&Request) -> bool) -> Request {
        let mut seen = Vec::new();
        loop {
            match self.came.recv_timeout(WITHIN) {
                Ok(request) if fits(&request) => return request,
                Ok(request) => seen.push(request.line),
                Err(_) => panic!("waited in vain for {what}; seen: {seen:?}"),
            }
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        let mut some = [0; 4096];
        let count = stream.read(&mut some).ok().filter(|count| *count > 0)?;
        bytes.extend(&some[..count]);
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = bytes[head_end..].to_vec();
    while body.len() < length {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).ok().filter(|count| *count > 0)?;
        body.extend(&some[..count]);
    }
    Some(Request { line, headers, body: String::from_utf8(body).ok()? })
}

fn delivered(daemon: &Process, on: &str, channel: &str) -> Value {
    daemon.wait_for(&format!("{on} to {channel}"), |line| {
        line["message"] == "notice delivered"
            && line["on"] == on
            && line["channel"].as_str().is_some_and(|id| id.starts_with(channel))
    })
}

#[test]
fn every_kind_of_channel_is_told_how_a_run_ended() {
    let inbox = Inbox::well();
    let url = inbox.url.clone();
    let site = site_with(|site| {
        let on = "on = [\"failed\", \"recovered\"]";
        let channels = [
            format!("webhook = \"{url}/hook\"\n{on}\nsecret = \"k3y\"\nheaders = {{ Authorization = \"Bearer x\" }}"),
            format!("webhook = \"{url}/slack\"\n{on}\nformat = \"slack\""),
            format!("ping = \"{url}/check\""),
            format!("ping = \"{url}/cronitor\"\nstyle = \"cronitor\""),
            format!("sns = \"arn:aws:sns:eu-central-1:123456789012:nightly\"\n{on}"),
        ];
        let channels = channels.map(|channel| format!("[[jobs.billing.notify]]\n{channel}\n"));
        job(site, "billing", &channels.concat())
    });
    let daemon = site.daemon(&["run", "--local"]);
    let run = site.json(&["trigger", "billing"])["run"].as_str().expect("a run").to_owned();
    let published = daemon.wait_for("the topic's message", |line| line["message"] == "message published");
    let attributes = published["attributes"].as_str().expect("attributes");
    for expected in
        ["ExitCode=7", "Job=billing", "On=failed", "Status=failed", &format!("Run={run}"), "FullTaskResult={"]
    {
        assert!(attributes.contains(expected), "{expected}: {published}");
    }

    let mut came = BTreeMap::new();
    while came.len() < 6 {
        let request = inbox.wait_for("six requests", |_| true);
        let key = request.line.split(['?', ' ']).nth(1).expect("a path").to_owned();
        let key =
            if key == "/cronitor" && request.line.contains("state=run") { "/cronitor/run".to_owned() } else { key };
        came.insert(key, request);
    }
    let hook = &came["/hook"];
    let told = hook.json();
    assert_eq!(
        (&told["on"], &told["job"], &told["run"], &told["exit_code"]),
        (&"failed".into(), &"billing".into(), &run.as_str().into(), &7.into())
    );
    assert_eq!(hook.headers["tenacron-notice-id"], told["id"].as_str().expect("an id"));
    assert_eq!((&*hook.headers["tenacron-run"], &*hook.headers["authorization"]), (&*run, "Bearer x"));
    let time = &hook.headers["tenacron-timestamp"];
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"k3y").expect("a key");
    mac.update(format!("{time}.{}", hook.body).as_bytes());
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hook.headers["tenacron-signature"], format!("t={time},v1={signature}"));
    let text = came["/slack"].json()["text"].as_str().expect("a text").to_owned();
    assert!(text.contains("billing") && text.contains("exit code 7") && text.contains(&run), "{text}");
    assert!(came["/check/7"].body.contains("billing"), "{:?}", came["/check/7"]);
    let rid = |path: &str| came[path].path().split_once("rid=").expect("a rid").1.to_owned();
    assert_eq!(rid("/check/start"), rid("/check/7"), "a start and its end belong together");
    let series = format!("series={run}");
    assert!(came["/cronitor/run"].line.contains(&series));
    let ended = &came["/cronitor"].line;
    assert!(ended.contains("state=fail") && ended.contains("status_code=7") && ended.contains(&series), "{ended}");

    site.write("well", "");
    site.json(&["trigger", "billing"]);
    let (mut recovered, mut has_succeeded) = (None, false);
    while recovered.is_none() || !has_succeeded {
        let request = inbox.wait_for("the recovery and the success", |_| true);
        has_succeeded |= request.path().starts_with("/check?rid=");
        recovered = recovered.or(Some(request).filter(|request| request.path() == "/hook"));
    }
    let told = recovered.expect("it came").json();
    assert_eq!((&told["on"], &told["failed_in_a_row"]), (&"recovered".into(), &1.into()));
    delivered(&daemon, "recovered", "arn:aws:sns:");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn of_several_failures_in_a_row_the_first_is_told_where_that_is_wished() {
    let inbox = Inbox::well();
    let url = inbox.url.clone();
    let site = site_with(|site| {
        let channels = format!(
            "[[jobs.often.notify]]\nwebhook = \"{url}/first\"\nrepeat = \"first\"\n\
             [[jobs.often.notify]]\nwebhook = \"{url}/every\"\n"
        );
        job(site, "often", &channels)
    });
    let daemon = site.daemon(&["run", "--local"]);
    let mut told = Vec::new();
    for _ in 0..3 {
        site.json(&["trigger", "often"]);
        told.push(inbox.wait_for("each failure", |request| {
            assert!(request.path() == "/every" || request.json()["failed_in_a_row"] == 1, "{request:?}");
            request.path() == "/every"
        }));
    }
    let rows: Vec<Value> = told.iter().map(|request| request.json()["failed_in_a_row"].clone()).collect();
    assert_eq!(rows, [1, 2, 3]);
    site.write("well", "");
    site.json(&["trigger", "often"]);
    let recovered = inbox.wait_for("the recovery at the first one", |request| request.path() == "/first");
    assert_eq!(
        (recovered.json()["on"].as_str(), recovered.json()["failed_in_a_row"].as_u64()),
        (Some("recovered"), Some(3))
    );
    daemon.end(Signal::TERM);
}

#[test]
fn receivers_that_are_slow_broken_or_hostile_hold_up_nobody_else() {
    let elsewhere = Inbox::well();
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {}/x\r\nContent-Length: 0\r\n\r\n", elsewhere.url);
    let tried = std::sync::atomic::AtomicU32::new(0);
    let inbox = Inbox::start(move |request| match request.path() {
        "/silent" => Does::Nothing,
        "/closes" => Does::Say(String::new()),
        "/garbage" => Does::Say("220 mail ESMTP\r\n".to_owned()),
        "/busy" => Does::Say("HTTP/1.1 429 Slow\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n".to_owned()),
        "/moved" => Does::Say(redirect.clone()),
        "/endless" => {
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(65_536));
            Does::Say(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(64)))
        }
        "/recovers" if tried.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 => status("500 Oops"),
        _ => status("200 OK"),
    });
    let url = inbox.url.clone();
    let site = site_with(|site| {
        let paths = ["silent", "closes", "garbage", "busy", "moved", "endless", "recovers", "good"];
        let channels = paths.map(|path| format!("[[jobs.nightly.notify]]\nwebhook = \"{url}/{path}\"\n"));
        job(site, "nightly", &channels.concat())
    });
    let daemon = site.daemon(&["run", "--local"]);
    site.json(&["trigger", "nightly"]);
    let first = inbox.wait_for("the first try", |request| request.path() == "/recovers");
    let expected = [
        "within 10 s",
        "connection closed",
        "invalid HTTP",
        "HTTP 429",
        "HTTP 302, a redirect, which is not followed",
        "HTTP 500",
    ];
    let (mut errors, mut taken) = (Vec::<String>::new(), Vec::new());
    let is_missing = |errors: &[String]| expected.iter().any(|text| !errors.iter().any(|error| error.contains(text)));
    // Two are taken at once, one at its second try, and five are not.
    while is_missing(&errors) || taken.len() < 3 {
        let line = daemon.wait_for("what became of each", |line| {
            line["message"].as_str().is_some_and(|text| text.starts_with("notice "))
        });
        match line["message"].as_str() {
            Some("notice delivered") => taken.push(line["tries"].as_u64().expect("a number")),
            _ => errors.push(line["error"].as_str().expect("an error").to_owned()),
        }
    }
    taken.sort_unstable();
    assert_eq!(taken, [1, 1, 2]);
    let again = inbox.wait_for("the second try", |request| request.path() == "/recovers");
    assert_eq!(again.headers["tenacron-notice-id"], first.headers["tenacron-notice-id"]);
    for path in ["silent", "closes", "garbage", "busy", "moved"] {
        assert!(!errors.iter().any(|error| error.contains(path)), "a path may be a secret: {errors:?}");
    }
    assert!(elsewhere.came.try_recv().is_err(), "the redirect was not followed");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn what_was_sent_and_not_saved_is_sent_again_under_the_same_name() {
    let inbox = Inbox::start(|_| Does::Nothing);
    let url = inbox.url.clone();
    let site = site_with(|site| job(site, "nightly", &format!("notify = [{{ webhook = \"{url}/x\" }}]")));
    let daemon = site.daemon(&["run", "--local"]);
    site.json(&["trigger", "nightly"]);
    let first = inbox.wait_for("the notice", |_| true);
    daemon.end(Signal::KILL);
    let daemon = site.daemon(&["run", "--local"]);
    let again = inbox.wait_for("the same notice", |_| true);
    assert_eq!(again.headers["tenacron-notice-id"], first.headers["tenacron-notice-id"]);
    assert_eq!(again.json()["run"], first.json()["run"]);
    daemon.end(Signal::TERM);
}

#[test]
fn a_channel_that_a_reload_brings_gets_what_waited_for_it() {
    let inbox = Inbox::well();
    let url = inbox.url.clone();
    let with = |site: &Site, url: &str| {
        let keys = format!("notify = [{{ webhook = \"{url}/x\", secret = \"a\" }}]");
        format!("{SETTINGS}\n{}", job(site, "nightly", &keys))
    };
    // Nobody listens there.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let site = Site::new("");
    site.write("tenacron.toml", with(&site, &format!("http://{nobody}")));
    let daemon = site.daemon(&["run", "--local"]);
    site.json(&["trigger", "nightly"]);
    daemon.wait_for("a try that fails", |line| line["message"] == "notice could not be delivered; trying again");
    site.write("tenacron.toml", with(&site, &url));
    assert_eq!(site.run(&["reload"]).code, Some(0));
    site.json(&["trigger", "nightly"]);
    inbox.wait_for("the notice at the new address", |request| request.json()["failed_in_a_row"] == 2);
    daemon.end(Signal::TERM);
}

#[test]
fn a_topic_is_published_to_over_the_wire_of_aws() {
    let site =
        site_with(|site| job(site, "nightly", "notify = [{ sns = \"arn:aws:sns:eu-west-1:123456789012:nightly\" }]"));
    let (endpoint, url) = site.endpoint();
    let daemon = site.daemon_with(&aws(&url), &["run"]);
    site.json(&["trigger", "nightly"]);
    let published = endpoint.wait_for("the message", |line| line["message"] == "message published");
    assert_eq!(published["topic"], "arn:aws:sns:eu-west-1:123456789012:nightly");
    delivered(&daemon, "failed", "arn:aws:sns:eu-west-1:");
    daemon.end(Signal::TERM);
}

#[test]
fn the_heart_beats_while_the_daemon_is_well_and_not_while_ecs_is_silent() {
    let (well, unwell) = (Inbox::well(), Inbox::well());
    let with =
        |site: &Site, url: &str| format!("heartbeat.url = \"{url}/beat\"\n{SETTINGS}\n{}", job(site, "nightly", ""));
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let silent = Site::new("");
    silent.write("tenacron.toml", with(&silent, &unwell.url));
    let nobody = format!("http://{nobody}");
    let unready = silent.daemon_with(&aws(&nobody), &["run"]);
    let site = Site::new("");
    site.write("tenacron.toml", with(&site, &well.url));
    let daemon = site.daemon(&["run", "--local"]);
    let beat = well.wait_for("a heartbeat", |_| true);
    assert!(beat.line.starts_with("GET /beat "), "{}", beat.line);
    unready.wait_for("what is wrong", |line| line["message"].as_str().is_some_and(|text| text.contains("ECS")));
    assert!(unwell.came.try_recv().is_err(), "it is not well");
    daemon.end(Signal::TERM);
    unready.end(Signal::TERM);
}

const CANARY: &str = "c4nary";

/// Secrets in every place that takes one, receivers that fail, and everything that the daemon shows or keeps.
#[test]
fn no_secret_is_told_anywhere() {
    let fails = Inbox::start(|request| status(if request.path().contains("beat") { "200 OK" } else { "500 Oops" }));
    let url = fails.url.clone();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let jobs = |site: &Site| {
        let channels = [
            format!(
                "webhook = \"{url}/{CANARY}-1?key={CANARY}-2\"\nsecret = \"{CANARY}-3\"\nheaders = {{ X-Key = \"{CANARY}-4\" }}"
            ),
            "webhook_file = \"hook\"\nformat = \"slack\"\nheader_files = { X-Key = \"key\" }\nsecret_file = \"key\""
                .to_owned(),
            format!("webhook = \"http://{nobody}/{CANARY}-5\""),
            format!("ping = \"{url}/{CANARY}-6\""),
            "webhook = \"${CANARY_URL}\"\nformat = \"json\"".to_owned(),
        ];
        let channels = channels.map(|channel| format!("[[jobs.nightly.notify]]\n{channel}\n"));
        let heartbeat = format!("heartbeat.url = \"{url}/beat/{CANARY}-7\"");
        format!(
            "{heartbeat}\n{SETTINGS}\n[http]\nlisten = \"127.0.0.1:0\"\n{}",
            job(site, "nightly", &channels.concat())
        )
    };
    let site = Site::new("");
    site.write("hook", format!("{url}/{CANARY}-8\n"));
    site.write("key", format!("{CANARY}-9\n"));
    site.write("tenacron.toml", jobs(&site));
    let address = format!("{url}/{CANARY}-a");
    let environment = [("TENACRON_LOG", "trace"), ("CANARY_URL", address.as_str())];
    let (daemon, http) = site.daemon_on_http_with(&environment, &["run", "--local"]);
    let run = site.json(&["trigger", "nightly"])["run"].as_str().expect("a run").to_owned();
    let (mut tried, mut heard, until) = (0, Vec::new(), now() + WITHIN);
    while tried < 5 {
        let Heard::Line(line) = daemon.hear(until) else { panic!("waited in vain for five tries that fail") };
        tried += u32::from(line["message"] == "notice could not be delivered; trying again");
        heard.push(line);
    }
    fails.wait_for("the heartbeat", |request| request.path().contains("beat"));
    let port = Place::Port(http);
    let mut shown: Vec<String> =
        ["/api/v1/jobs", "/api/v1/runs", "/api/v1/notices", "/api/v1/audit", "/metrics", "/healthz", "/readyz"]
            .into_iter()
            .chain([format!("/api/v1/runs/{run}").as_str(), "/api/v1/jobs/nightly"])
            .map(|path| port.get(path, &[]).body)
            .collect();
    for arguments in
        ["show RUN", "show RUN --json", "jobs --json", "runs --json", "notices", "notices --json", "validate"]
    {
        let arguments: Vec<&str> = arguments.split(' ').map(|word| if word == "RUN" { &run } else { word }).collect();
        let mut command = site.command(&arguments);
        let ended = Ended::of(command.env("CANARY_URL", &address));
        shown.push(format!("{} {}", ended.stdout, ended.stderr));
    }
    // A configuration that is refused is told in full, but for its secrets.
    let broken = [
        jobs(&site).replace("secret =", "secrt ="),
        jobs(&site).replace("webhook = \"http", "webhook = \"htp"),
        jobs(&site).replace("secret = \"", "secret = "),
    ];
    for text in broken {
        site.write("tenacron.toml", text);
        let ended = Ended::of(site.command(&["reload"]).env("CANARY_URL", &address));
        assert_ne!(ended.code, Some(0));
        shown.push(format!("{} {}", ended.stdout, ended.stderr));
        let ended = Ended::of(site.command(&["validate", "--json"]).env("CANARY_URL", &address));
        shown.push(format!("{} {}", ended.stdout, ended.stderr));
        shown.push(port.get("/healthz", &[]).body);
    }
    daemon.signal(Signal::TERM);
    let (lines, _) = daemon.last_words();
    assert!(heard.len() + lines.len() > 100, "trace tells much");
    shown.extend(heard.iter().chain(&lines).map(Value::to_string));
    for file in ["state.db", "state.db-wal"] {
        let bytes = std::fs::read(site.path(file)).unwrap_or_default();
        shown.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    assert!(shown.iter().any(|text| text.contains("webhook:127.0.0.1:")), "the channels are told by their names");
    for text in &shown {
        if let Some(at) = text.find(CANARY) {
            let from = text.floor_char_boundary(at.saturating_sub(200));
            panic!("{}", &text[from..text.ceil_char_boundary((at + 50).min(text.len()))]);
        }
    }
}
