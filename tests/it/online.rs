//! `validate --online`: the real binary against the local endpoint, and against services that refuse, throttle or are silent.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::harness::{Ended, SETTINGS, Site, aws};
use super::sts::Sts;
use super::tap::{Call, Tap, first_call};

const JOBS: &str = r#"
[jobs.good]
schedule = "0 3 1 1 *"
task_definition = "good"
[[jobs.good.container]]
name = "app"
[jobs.also]
schedule = "0 3 1 1 *"
task_definition = "good"
[local.task_definitions.good]
containers = [{ name = "app", command = ["true"] }]
"#;

/// What is wrong with these only ECS knows; line 1 is empty.
const WRONG: &str = r#"
[jobs.elsewhere]
schedule = "0 3 1 1 *"
task_definition = "good"
cluster = "btach"

[jobs.unknown]
schedule = "0 3 1 1 *"
task_definition = "godo"

[jobs.misnamed]
schedule = "0 3 1 1 *"
task_definition = "good:1"
[[jobs.misnamed.container]]
name = "apps"
"#;

fn validate(site: &Site, environment: &[(&str, &str)], arguments: &[&str]) -> Ended {
    let mut command = site.command(&[&["validate", "--online"], arguments].concat());
    Ended::of(command.envs(environment.iter().copied()))
}

/// The findings that asking has made.
fn findings(site: &Site, url: &str) -> (Option<i32>, Vec<Value>) {
    let ended = validate(site, &aws(url), &["--json"]);
    let all: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("no JSON: {}", ended.stderr));
    let is_online = |finding: &Value| finding["code"].as_str().is_some_and(|code| code.starts_with("online-"));
    (ended.code, all.into_iter().filter(is_online).collect())
}

/// A service that answers each call so, with a status and a body.
fn service(answer: impl Fn(&Call) -> (u16, Value) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            thread::spawn(move || serve(client, answer.as_ref()));
        }
    });
    url
}

fn serve(mut client: TcpStream, answer: &(impl Fn(&Call) -> (u16, Value) + ?Sized)) {
    let mut waiting = Vec::new();
    let mut piece = [0; 16_384];
    while let Ok(length @ 1..) = client.read(&mut piece) {
        waiting.extend_from_slice(&piece[..length]);
        while let Some((call, end)) = first_call(&waiting) {
            waiting.drain(..end);
            let (status, body) = answer(&call);
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n", body.len());
            if client.write_all((head + &body).as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn refusal(code: &str) -> (u16, Value) {
    (400, json!({ "__type": code, "message": "as the test says" }))
}

fn site() -> Site {
    Site::new(&format!("{SETTINGS}{JOBS}"))
}

#[test]
fn what_ecs_has_is_asked_for_once_and_found_good() {
    let site = site();
    let (_endpoint, url) = site.endpoint();
    let tap = Tap::before(&url);
    let ended = validate(&site, &aws(&tap.url), &[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    assert!(ended.stdout.contains("2 jobs, usable"), "{}", ended.stdout);
    let mut calls: Vec<String> = tap.seen().into_iter().map(|call| call.operation).collect();
    calls.sort();
    assert_eq!(calls, ["DescribeClusters", "DescribeTaskDefinition"]);
}

#[test]
fn what_ecs_does_not_have_is_told_all_at_once_with_its_place() {
    let site = site();
    let (_endpoint, url) = site.endpoint();
    site.write("jobs.d/wrong.toml", WRONG);
    let (code, found) = findings(&site, &url);
    assert_eq!(code, Some(78));
    let told: Vec<(&str, &str, u64, u64)> = found
        .iter()
        .map(|finding| {
            let text = |key: &str| finding[key].as_str().expect("text");
            let number = |key: &str| finding[key].as_u64().expect("a number");
            (text("level"), text("code"), number("line"), number("column"))
        })
        .collect();
    assert_eq!(
        told,
        [
            ("error", "online-cluster", 5, 11),
            ("error", "online-task-definition", 9, 19),
            ("error", "online-container", 15, 8),
        ]
    );
    assert!(found.iter().all(|finding| finding["file"].as_str().is_some_and(|file| file.ends_with("wrong.toml"))));
    let shown = validate(&site, &aws(&url), &[]).stdout;
    for text in ["good:1 has no container \"apps\", did you mean \"app\"?", "name = \"apps\"", "^^^^^^", "3 errors"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
}

#[test]
fn a_refusal_is_a_warning_beside_what_is_answered() {
    let url = service(|call| match call.operation.as_str() {
        "DescribeClusters" => refusal("AccessDeniedException"),
        _ => {
            let containers = json!([{ "name": "app" }]);
            (200, json!({ "taskDefinition": { "status": "ACTIVE", "containerDefinitions": containers } }))
        }
    });
    let ended = validate(&site(), &aws(&url), &[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    assert!(ended.stdout.contains("online-unchecked") && ended.stdout.contains("usable"), "{}", ended.stdout);
}

#[test]
fn where_every_question_is_refused_nothing_was_checked() {
    let url = service(|_| refusal("AccessDeniedException"));
    let shown = validate(&site(), &aws(&url), &[]);
    assert_eq!(shown.code, Some(69));
    assert!(!shown.stdout.contains("usable"), "{}", shown.stdout);
    let why = "nothing could be checked: none of 2 questions was answered; DescribeClusters was refused: \
               AccessDeniedException: as the test says";
    assert!(shown.stderr.contains(why), "{}", shown.stderr);
    let (code, found) = findings(&site(), &url);
    assert_eq!(code, Some(69));
    let told: Vec<&str> = found.iter().filter_map(|finding| finding["message"].as_str()).collect();
    assert_eq!(told.len(), 2, "one for each kind of call: {told:?}");
    for (operation, told) in ["DescribeClusters", "DescribeTaskDefinition"].iter().zip(told) {
        let why = format!("could not be checked: {operation} was refused: AccessDeniedException: as the test says");
        assert!(told.ends_with(&why), "{told}");
    }
    assert!(found.iter().all(|finding| finding["code"] == "online-unchecked" && finding["level"] == "warning"));
}

#[test]
fn a_throttle_is_waited_out() {
    let calls = AtomicUsize::new(0);
    let url = service(move |call| match (calls.fetch_add(1, Ordering::SeqCst), call.operation.as_str()) {
        (0, _) => refusal("ThrottlingException"),
        (_, "DescribeClusters") => (200, json!({ "clusters": [{ "status": "ACTIVE" }] })),
        _ => {
            let containers = json!([{ "name": "app" }]);
            (200, json!({ "taskDefinition": { "status": "ACTIVE", "containerDefinitions": containers } }))
        }
    });
    assert_eq!(findings(&site(), &url), (Some(0), Vec::new()));
}

#[test]
fn an_endpoint_that_is_not_there_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let (code, found) = findings(&site(), &url);
    assert_eq!(code, Some(69));
    assert!(!found.is_empty() && found.iter().all(|finding| finding["code"] == "online-unchecked"), "{found:?}");
    assert!(found[0]["message"].as_str().is_some_and(|told| told.contains("got no answer")), "{found:?}");
}

#[test]
fn targets_are_asked_as_themselves_and_one_alone_if_wanted() {
    let role = "arn:aws:iam::210987654321:role/tenacron";
    let sts = Sts::start();
    let first = site();
    let (_endpoint, url) = first.endpoint();
    let (near, far) = (Tap::before(&url), Tap::before(&url));
    let lab = format!("[targets.lab]\nregion = \"us-east-1\"\nrole_arn = \"{role}\"\nendpoint = \"{}\"\n", far.url);
    let site = Site::new(&format!(
        "{}{JOBS}[jobs.away]\nschedule = \"0 3 1 1 *\"\ntask_definition = \"good\"\ntarget = \"lab\"\n",
        SETTINGS.replace("[defaults]", &format!("{lab}[defaults]"))
    ));
    let mut environment = aws(&near.url).to_vec();
    environment.push(("AWS_ENDPOINT_URL_STS", &sts.url));
    let only = validate(&site, &environment, &["--target", "lab"]);
    assert_eq!(only.code, Some(0), "{}{}", only.stdout, only.stderr);
    assert_eq!((near.seen().len(), far.seen().len()), (0, 2));
    let by = format!("{}/us-east-1/ecs", super::sts::key_of(role));
    assert!(far.seen().iter().all(|call| call.signed.as_ref() == Some(&by)), "{:?}", far.seen());
    assert_eq!(validate(&site, &environment, &[]).code, Some(0));
    assert_eq!((near.seen().len(), far.seen().len()), (2, 4));

    // A role that is refused is told once, and the others are asked all the same.
    sts.want("an id");
    let ended = validate(&site, &environment, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout.matches("online-unchecked").count(), 1, "{}", ended.stdout);
    assert!(ended.stdout.contains("nor could one other: the role could not be assumed"), "{}", ended.stdout);
    assert_eq!((near.seen().len(), far.seen().len()), (4, 4));

    let unknown = validate(&site, &environment, &["--target", "lba"]);
    assert_eq!(unknown.code, Some(3));
    assert!(unknown.stderr.contains("there is no target `lba`; the configuration has lab"), "{}", unknown.stderr);
    assert_eq!(site.run(&["validate", "--target", "lab"]).code, Some(2), "it is about asking");
}

#[test]
fn without_region_or_credentials_nothing_is_asked() {
    let site = site();
    let off_ec2 = ("AWS_EC2_METADATA_DISABLED", "true");
    let nowhere = validate(&site, &[off_ec2], &[]);
    assert_eq!(nowhere.code, Some(69));
    assert!(nowhere.stderr.contains("no AWS region"), "{}", nowhere.stderr);
    let nobody = validate(&site, &[off_ec2, ("AWS_REGION", "eu-central-1")], &[]);
    assert_eq!(nobody.code, Some(69));
    assert!(nobody.stderr.contains("no AWS credentials"), "{}", nobody.stderr);
    // A configuration that is refused anyway is shown without asking.
    site.write("tenacron.toml", "[jobs.a]\n");
    assert_eq!(validate(&site, &[off_ec2], &[]).code, Some(78));
}
