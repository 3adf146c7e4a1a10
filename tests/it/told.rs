//! Who was told what, through the real binary: what is owed shows in the listing and with its run, and outlives `kill -9`.

use rustix::process::Signal;
use serde_json::Value;

use super::commands::get;
use super::harness::{SETTINGS, Site};

/// Nobody listens there, so that what is owed stays owed.
const JOBS: &str = r#"
[[defaults.notify]]
webhook = "http://127.0.0.1:9/a-path-that-is-secret"
on = ["failed", "recovered", "succeeded"]
[http]
listen = "127.0.0.1:0"
[jobs.broken]
schedule = "0 3 1 1 *"
task_definition = "broken"
retry = []
[jobs.quick]
schedule = "0 3 1 1 *"
task_definition = "quick"
[jobs.quiet]
schedule = "0 3 1 1 *"
task_definition = "broken"
retry = []
notify = []
[local.task_definitions.broken]
containers = [{ name = "app", command = ["false"] }]
[local.task_definitions.quick]
containers = [{ name = "app", command = ["true"] }]
"#;

/// Job, what it is about, and where it is, newest first.
fn told(notices: &Value) -> Vec<[&str; 3]> {
    let list = notices.as_array().expect("a list").iter();
    list.map(|notice| ["job", "on", "state"].map(|key| notice[key].as_str().expect("a text"))).collect()
}

#[test]
fn what_is_owed_is_listed_shown_with_its_run_and_outlives_a_kill() {
    let site = Site::new(SETTINGS);
    site.write("tenacron.toml", format!("{SETTINGS}{JOBS}"));
    let daemon = site.daemon(&["run", "--local"]);
    for (job, end) in [("broken", "run failed"), ("quick", "run succeeded"), ("quiet", "run failed")] {
        assert_eq!(site.run(&["trigger", job]).code, Some(0));
        daemon.wait_for_job(job, end);
    }
    daemon.signal(Signal::KILL);
    daemon.wait();
    let (daemon, address) = site.daemon_on_http_with(&[], &["run", "--local"]);
    let all = site.json(&["notices"]);
    assert_eq!(told(&all), [["quick", "succeeded", "owed"], ["broken", "failed", "owed"]]);
    assert_eq!(told(&site.json(&["notices", "--job", "broken"])).len(), 1);
    assert_eq!(site.json(&["notices", "--dead"]), Value::Array(Vec::new()));
    let channel = all[1]["channel"].as_str().unwrap();
    let by_it = site.json(&["notices", "--channel", channel]);
    assert!(
        !told(&by_it).is_empty() && by_it.as_array().unwrap().iter().all(|one| one["channel"] == channel),
        "{by_it}"
    );
    assert_eq!(told(&site.json(&["notices", "--channel", "webhook:nowhere#00"])).len(), 0);
    let run = all[1]["run"].as_str().unwrap();
    let shown = site.json(&["show", run]);
    assert_eq!((&shown["notices"][0]["id"], shown["notices"][0]["run"].as_str()), (&all[1]["id"], Some(run)));
    let (plain, listed) = (site.run(&["show", run]).stdout, site.run(&["notices", "-n", "1"]).stdout);
    assert!(plain.contains("\nnotices\n  failed to webhook:127.0.0.1"), "{plain}");
    assert!(listed.contains("quick") && !listed.contains("broken"), "{listed}");
    for text in [&plain, &listed, &all.to_string()] {
        assert!(!text.contains("secret"), "{text}");
    }
    let first = get(&address, &address, "/api/v1/notices?limit=1").1;
    let before = first[0]["id"].as_str().unwrap();
    let second = get(&address, &address, &format!("/api/v1/notices?limit=1&before={before}")).1;
    assert_eq!((&first[0]["id"], &second[0]["id"]), (&all[0]["id"], &all[1]["id"]));
    let wrong = site.run(&["notices", "--state", "lost"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("`lost` is not a state; accepted are owed, delivered, dead"), "{}", wrong.stderr);
    let some = site.run(&["notices", "--retry", "--job", "broken", "--channel", channel]);
    assert_eq!(some.code, Some(0), "{}", some.stderr);
    assert_eq!(site.run(&["notices", "--retry", "--job", "no job"]).code, Some(2));
    assert_eq!(site.run(&["notices", "--retry", "--state", "dead"]).code, Some(2));
    let revived = site.run(&["notices", "--retry", "--reason", "it listens now"]);
    assert_eq!((revived.code, revived.stdout.as_str()), (Some(0), "0 dead letters are owed again\n"));
    let record = site.json(&["audit"]);
    assert_eq!(record[0]["action"], "notices");
    assert_eq!(record[0]["detail"], "it listens now; 0 dead letters are owed again");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));
}
