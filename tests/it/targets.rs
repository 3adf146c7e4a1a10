//! Several accounts and regions in one daemon: each job's tasks are launched, followed and stopped at their own target, by
//! its own credentials, wherever the daemon itself has moved meanwhile.

use std::cell::{Cell, RefCell};
use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::harness::{Process, SETTINGS, Site};
use super::sts::{Assumed, Sts, key_of};
use super::tap::{Call, Tap};

const ROLE: &str = "arn:aws:iam::210987654321:role/tenacron-lab";

/// Jobs that fire when they are told to, each with a task definition of one process.
fn jobs(jobs: &[(&str, &str, &str)]) -> String {
    let job = |(name, keys, command): &(&str, &str, &str)| {
        format!(
            "[jobs.{name}]\nschedule = \"0 3 1 1 *\"\ntask_definition = \"{name}\"\n{keys}\n[local.task_definitions.{name}]\n\
             containers = [{{ name = \"app\", command = [\"sh\", \"-c\", \"{command}\"] }}]\n"
        )
    };
    jobs.iter().map(job).collect()
}

/// The environment of a daemon with this region, and with endpoints of this machine.
fn aws<'u>(region: &'u str, more: &[(&'u str, &'u str)]) -> Vec<(&'u str, &'u str)> {
    let own = [
        ("AWS_ACCESS_KEY_ID", "OWN"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", region),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    own.iter().chain(more).copied().collect()
}

/// The settings with another `[ecs] endpoint`, and with this before the defaults.
fn settings(endpoint: &str, tables: &str) -> String {
    SETTINGS
        .replace("[ecs]\n", &format!("[ecs]\nendpoint = \"{endpoint}\"\n"))
        .replace("[defaults]", &format!("{tables}[defaults]"))
}

/// A site whose endpoints know the task definitions of these jobs; where they listen is not known yet.
fn site_for_endpoints(jobs: &str) -> Site {
    Site::new(&(settings("http://127.0.0.1:1", "[targets.lab]\nregion = \"us-east-1\"\n") + jobs))
}

fn trigger(site: &Site, job: &str) -> String {
    site.json(&["trigger", job])["run"].as_str().expect("a run").to_owned()
}

fn task_of(site: &Site, run: &str) -> String {
    site.json(&["show", run])["attempt_list"][0]["task_arn"].as_str().expect("a task").to_owned()
}

fn wait_for_run(daemon: &Process, run: &str, message: &str) -> Value {
    daemon.wait_for(&format!("`{message}` of {run}"), |line| line["message"] == message && line["run"] == run)
}

fn is_about(body: &Value, task: &str) -> bool {
    body["tasks"].as_array().is_some_and(|tasks| tasks.iter().any(|named| named == task)) || body["task"] == task
}

#[test]
fn tasks_are_launched_followed_and_stopped_at_the_target_of_their_job() {
    let jobs = jobs(&[("home", "", "exec sleep 600"), ("away", "target = \"lab\"", "exec sleep 600")]);
    let site = site_for_endpoints(&jobs);
    let ((_near, near), (_far, far)) = (site.endpoint(), site.endpoint());
    let (near, far, sts) = (Tap::before(&near), Tap::before(&far), Sts::start());
    sts.want("the+id");
    let lab = format!(
        "[targets.lab]\nregion = \"us-east-1\"\nrole_arn = \"{ROLE}\"\nexternal_id = \"the+id\"\nendpoint = \"{}\"\n",
        far.url
    );
    site.write("tenacron.toml", settings(&near.url, &lab) + &jobs);
    let environment = [("AWS_ENDPOINT_URL_STS", sts.url.as_str())];
    let daemon = Process::start(site.command(&["run"]).envs(aws("eu-central-1", &environment)));
    let started = daemon.wait_for("the daemon to start", |line| line["message"] == "daemon started");
    let told = json!([started["region"], started["endpoint"], started["targets"]]);
    assert_eq!(told, json!(["eu-central-1", near.url, "lab"]));

    let runs = ["home", "away"].map(|job| trigger(&site, job));
    daemon.wait_for_jobs(["home", "away"], "task started");
    for (run, (tap, signer)) in
        runs.iter().zip([(&near, "OWN/eu-central-1/ecs".to_owned()), (&far, format!("{}/us-east-1/ecs", key_of(ROLE)))])
    {
        let task = task_of(&site, run);
        tap.wait_for("a look at its task", |call| call.operation == "DescribeTasks" && is_about(&call.body, &task));
        assert_eq!(site.run(&["cancel", run]).code, Some(0));
        wait_for_run(&daemon, run, "run cancelled");
        assert!(tap.seen().iter().any(|call| call.operation == "StopTask" && is_about(&call.body, &task)));
        assert_eq!(tap.launches().len(), 1);
        assert!(tap.seen().iter().all(|call| call.signed.as_ref() == Some(&signer)), "{signer}: {:?}", tap.seen());
    }
    let shown = site.run(&["show", &runs[1]]).stdout;
    assert!(shown.contains("launching away on batch of target lab (generation 1)"), "{shown}");
    let events = site.json(&["show", &runs[0]])["events"].clone();
    assert!(events.as_array().expect("events").iter().all(|event| event["detail"]["target"].is_null()), "{events}");
    let assumed = Assumed {
        signed: "OWN/us-east-1/sts".into(),
        role_arn: ROLE.into(),
        external_id: Some("the+id".into()),
        session: "tenacron-test".into(),
    };
    let asked = sts.asked();
    assert!(asked.iter().all(|one| *one == assumed), "{asked:?}");
    assert!((1..=2).contains(&asked.len()), "at start, and once for all calls: {asked:?}");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_target_whose_role_is_refused_fails_its_own_jobs_only_until_it_is_granted() {
    let quick = "retry = [{ error_equals = [\"ECS.SdkClientException\"], interval_seconds = 1, max_attempts = 1 }]";
    let away = jobs(&[("away", &format!("target = \"lab\"\n{quick}"), "true")]);
    let home = jobs(&[("home", "", "true")]);
    let elsewhere = site_for_endpoints(&(home.clone() + &away));
    let ((_near, near), (_far, far)) = (elsewhere.endpoint(), elsewhere.endpoint());
    let (far, sts) = (Tap::before(&far), Sts::start());
    sts.want("secret");
    let lab = |id: &str| {
        let endpoint = &far.url;
        format!("[targets.lab]\nregion = \"us-east-1\"\nrole_arn = \"{ROLE}\"\n{id}endpoint = \"{endpoint}\"\n")
    };
    let site = Site::new(&(settings(&near, &lab("")) + &home));
    let environment = aws("eu-central-1", &[("AWS_ENDPOINT_URL_STS", &sts.url)]);
    let daemon = Process::start(site.command(&["run"]).envs(environment));
    // In either order: nobody waits for the role.
    let (told, has_started) = (RefCell::new(Value::Null), Cell::new(false));
    daemon.wait_for("the start, and the error", |line| {
        has_started.set(has_started.get() || line["message"] == "daemon started");
        if line["message"] == "target can't be reached; its jobs fail until it can" {
            told.replace(line.clone());
        }
        has_started.get() && !told.borrow().is_null()
    });
    let told = told.into_inner();
    let taken = || daemon.wait_for("the new configuration", |line| line["message"] == "configuration taken");
    assert_eq!(json!([told["target"], told["region"], told["role_arn"]]), json!(["lab", "us-east-1", ROLE]));
    assert!(told["error"].as_str().is_some_and(|error| error.contains("sts:AssumeRole")), "{told}");

    // Now that there is a state, for whose tasks nobody looks at that target first.
    site.write("jobs.d/away.toml", away);
    taken();
    let [of_home, away] = ["home", "away"].map(|job| trigger(&site, job));
    let failed = wait_for_run(&daemon, &away, "run failed");
    assert_eq!(failed["error"], "ECS.SdkClientException", "{failed}");
    let shown = site.json(&["show", &away]);
    let attempts = shown["attempt_list"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2, "it was retried by its policy");
    for attempt in attempts {
        assert_eq!(attempt["error_names"], json!(["ECS.SdkClientException", "ECS.AmazonECSException"]));
        assert!(attempt["cause"].as_str().is_some_and(|cause| cause.contains("sts:AssumeRole")), "{attempt}");
    }
    let events = shown["events"].as_array().expect("events").iter();
    let refusals: Vec<&Value> = events.filter(|event| event["type"] == "TaskSubmitFailed").collect();
    assert!(refusals.len() == 2 && refusals.iter().all(|event| event["detail"]["ambiguous"] == false), "{refusals:?}");
    assert_eq!(far.seen().len(), 0, "nothing was sent");
    // Its line may have gone by already.
    if site.json(&["show", &of_home])["status"] != "succeeded" {
        wait_for_run(&daemon, &of_home, "run succeeded");
    }

    site.write("tenacron.toml", settings(&near, &lab("external_id = \"secret\"\n")) + &home);
    taken();
    let again = trigger(&site, "away");
    wait_for_run(&daemon, &again, "run succeeded");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}

#[test]
fn a_target_that_never_answers_holds_up_no_other() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let lab = format!("[targets.lab]\nendpoint = \"http://{}\"\n", silent.local_addr().expect("an address"));
    let home = jobs(&[("home", "", "true")]);
    let (_near, near) = site_for_endpoints(&home).endpoint();
    let site = Site::new(&(settings(&near, &lab) + &home));
    let daemon = site.daemon_with(&aws("eu-central-1", &[]), &["run"]);
    // Now that there is a state, for whose tasks nobody looks at that target first.
    site.write("jobs.d/away.toml", jobs(&[("away", "target = \"lab\"", "true")]));
    daemon.wait_for("the new configuration", |line| line["message"] == "configuration taken");
    let away = trigger(&site, "away");
    let (_call, _from) = silent.accept().expect("its launch, which nobody answers");
    let home = trigger(&site, "home");
    wait_for_run(&daemon, &home, "run succeeded");
    let shown = site.json(&["show", &away]);
    // On a slow machine its first launch may have been given up meanwhile.
    assert!(["launching", "waiting"].contains(&shown["status"].as_str().expect("a status")), "{shown}");
}

#[test]
fn a_daemon_that_starts_again_in_another_region_follows_its_runs_where_they_were_launched() {
    let site = Site::new("");
    let gate = site.gate();
    let command = format!("cat {}; exit 3", gate.display());
    site.write("tenacron.toml", format!("{SETTINGS}{}", jobs(&[("long", "retry = []", &command)])));
    let (_endpoint, url) = site.endpoint();
    let tap = Tap::before(&url);
    let daemon = site.daemon_with(&aws("eu-central-1", &[("AWS_ENDPOINT_URL_ECS", &tap.url)]), &["run"]);
    let old = trigger(&site, "long");
    wait_for_run(&daemon, &old, "task started");
    let task = task_of(&site, &old);
    assert_eq!(daemon.end(Signal::KILL).code(), None);

    let tap = Tap::before(&url);
    let daemon = site.daemon_with(&aws("eu-west-3", &[("AWS_ENDPOINT_URL_ECS", &tap.url)]), &["run"]);
    tap.wait_for("a look at its task", |call| call.operation == "DescribeTasks" && is_about(&call.body, &task));
    // Where the job runs today is asked for a task's name, to see whether ECS answers there; nothing more.
    let followed: Vec<_> = tap.seen().into_iter().filter(|call| call.operation != "ListTasks").collect();
    assert!(followed.iter().all(|call| call.signed.as_deref() == Some("OWN/eu-central-1/ecs")), "{followed:?}");
    site.open_gate();
    let failed = wait_for_run(&daemon, &old, "task failed");
    assert_eq!(failed["exit_code"], 3);
    wait_for_run(&daemon, &old, "run failed");
    let new = trigger(&site, "long");
    wait_for_run(&daemon, &new, "task started");
    let launch = tap.seen().into_iter().find(|call| call.operation == "RunTask").expect("a launch");
    assert_eq!(launch.signed.as_deref(), Some("OWN/eu-west-3/ecs"));
    assert_eq!(tap.launches().len(), 1, "the old run was not launched again");
    site.open_gate();
    wait_for_run(&daemon, &new, "run failed");
}

#[test]
fn a_target_that_moves_at_a_reload_takes_new_firings_along_and_leaves_what_runs_where_it_is() {
    let jobs = jobs(&[("long", "target = \"lab\"\noverlap = \"allow\"", "exec sleep 600")]);
    let site = site_for_endpoints(&jobs);
    let (_endpoint, url) = site.endpoint();
    let (first, second) = (Tap::before(&url), Tap::before(&url));
    let lab = |region: &str, endpoint: &str| {
        let lab = format!("[targets.lab]\nregion = \"{region}\"\nendpoint = \"{endpoint}\"\n");
        site.write("tenacron.toml", SETTINGS.replace("[defaults]", &format!("{lab}[defaults]")) + &jobs);
    };
    lab("us-east-1", &first.url);
    let daemon = site.daemon_with(&aws("eu-central-1", &[]), &["run"]);
    let taken = || daemon.wait_for("the new configuration", |line| line["message"] == "configuration taken");
    let old = trigger(&site, "long");
    wait_for_run(&daemon, &old, "task started");
    let task = task_of(&site, &old);
    let is_look = |call: &Call| call.operation == "DescribeTasks" && is_about(&call.body, &task);

    // Another way to the same place: what runs is asked for there.
    lab("us-east-1", &second.url);
    taken();
    second.wait_for("a look by the new way", is_look);
    // Another place: what runs stays where it is, by the way that it went when it was launched.
    lab("us-west-2", &second.url);
    taken();
    first.wait_for("a look by the old way", is_look);
    let new = trigger(&site, "long");
    wait_for_run(&daemon, &new, "task started");
    let launches = |tap: &Tap| {
        let launches = tap.seen().into_iter().filter(|call| call.operation == "RunTask");
        launches.map(|call| call.signed.unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(launches(&first), ["OWN/us-east-1/ecs"]);
    assert_eq!(launches(&second), ["OWN/us-west-2/ecs"]);
    for (run, tap) in [(&old, &first), (&new, &second)] {
        assert_eq!(site.run(&["cancel", run]).code, Some(0));
        wait_for_run(&daemon, run, "run cancelled");
        assert_eq!(tap.seen().iter().filter(|call| call.operation == "StopTask").count(), 1);
    }
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}
