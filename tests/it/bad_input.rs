//! Everything that can be wrong before a daemon starts: the message names it, the exit code tells it apart.

use std::net::TcpListener;

use super::harness::{Ended, Site, aws, tenacron};

/// A job that is right, for files in which something else is wrong.
const JOB: &str = r#"
[jobs.good]
schedule = "0 3 * * *"
cluster = "batch"
task_definition = "good"
timeout = "1h"
"#;

fn validate(config: impl AsRef<[u8]>) -> Ended {
    let site = Site::new("");
    site.write("tenacron.toml", config);
    site.run(&["validate"])
}

/// Asserts that the file is refused and that the report holds every one of these texts.
fn refused(config: impl AsRef<[u8]>, texts: &[&str]) {
    let ended = validate(config);
    assert_eq!(ended.code, Some(78), "{}{}", ended.stdout, ended.stderr);
    for text in texts {
        assert!(ended.stdout.contains(text), "`{text}` is missing in:\n{}", ended.stdout);
    }
}

fn job_with(lines: &str) -> String {
    format!("instance = \"test\"\n{JOB}{lines}\n")
}

#[test]
fn every_mistake_of_a_file_is_shown_with_its_place() {
    refused(
        "instance = \"test\"\n[jobs.a]\nschedule = \"0 25 * * *\"\ntimezone = \"Europe/Berln\"\ncluster = \"c\"\ntask_definiton = \"t\"\ntimeout = 5\n",
        &[
            "tenacron.toml:3:",
            "25",
            "Europe/Berlin",
            "tenacron.toml:4:",
            "task_definition",
            "tenacron.toml:6:",
            "tenacron.toml:7:",
        ],
    );
}

#[test]
fn every_mistake_of_one_retrier_is_shown_at_once() {
    let retry = "retry = [{ error_equals = [], max_attempts = -1, backoff_rate = 0.5 }]";
    refused(job_with(retry), &["error_equals: is empty", "max_attempts", "0.5 is not a number of at least 1.0"]);
}

#[test]
fn launch_type_and_capacity_provider_strategy_exclude_each_other() {
    let strategy = "launch_type = \"FARGATE\"\ncapacity_provider_strategy = [{ capacity_provider = \"FARGATE_SPOT\" }]";
    refused(job_with(strategy), &["launch_type", "capacity_provider_strategy"]);
}

#[test]
fn a_job_in_two_files_names_both_places() {
    let site = Site::new(&job_with(""));
    site.write("jobs.d/more.toml", JOB);
    let ended = site.run(&["validate"]);
    assert_eq!(ended.code, Some(78));
    assert!(ended.stdout.contains("tenacron.toml") && ended.stdout.contains("more.toml"), "{}", ended.stdout);
}

#[test]
fn empty_binary_and_huge_files_are_told_apart() {
    refused("", &["empty"]);
    refused([0u8, 159, 146, 150, 0, 1, 2, 255], &["no text"]);
    refused(*b"instance = \"\xff\xfe\"", &["UTF-8"]);
    let huge = "this is no TOML at all\n".repeat(230_000);
    assert!(huge.len() > 5 << 20);
    let ended = validate(&huge);
    assert_eq!(ended.code, Some(78));
    assert!(ended.stdout.len() < 1 << 20, "the report is bounded: {} bytes", ended.stdout.len());
}

#[test]
fn a_file_of_five_megabytes_that_is_right_is_accepted() {
    let jobs = (0..40_000).map(|n| {
        format!("[jobs.job-{n}]\nschedule = \"{} 3 * * *\"\ncluster = \"batch\"\ntask_definition = \"family-{n}\"\ntimeout = \"1h\"\n", n % 60)
    });
    let text = format!("instance = \"test\"\n{}", jobs.collect::<String>());
    assert!(text.len() > 4 << 20);
    let ended = validate(&text);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout.chars().take(2_000).collect::<String>());
}

#[test]
fn unreadable_files_are_named() {
    let site = Site::new("");
    std::fs::remove_file(site.path("tenacron.toml")).expect("removed");
    let ended = site.run(&["validate"]);
    assert_eq!(ended.code, Some(78));
    assert!(ended.stdout.contains("tenacron.toml"), "{}", ended.stdout);
    // A folder in the place of the file can't be read by root either.
    std::fs::create_dir(site.path("tenacron.toml")).expect("created");
    let ended = site.run(&["run"]);
    assert_eq!(ended.code, Some(78));
    assert!(ended.stderr.contains("tenacron.toml"), "{}", ended.stderr);
}

#[test]
fn jobs_d_may_be_missing() {
    let ended = validate(job_with(""));
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = Ended::of(tenacron().args(["local", "--listen", &address]));
    assert_eq!(ended.code, Some(69), "{}", ended.stderr);
    assert!(ended.stderr.contains(&address), "{}", ended.stderr);

    let site = Site::new(&job_with(&format!("[state]\nurl = \"sqlite://state.db\"\n[http]\nlisten = \"{address}\"")));
    let ended = site.run(&["run", "--local"]);
    assert_eq!(ended.code, Some(69), "{}", ended.stderr);
    assert!(ended.stderr.contains(&address), "{}", ended.stderr);
}

#[test]
fn a_foreign_listen_address_is_refused() {
    let ended = Ended::of(tenacron().args(["local", "--listen", "0.0.0.0:0"]));
    assert_eq!(ended.code, Some(69), "{}", ended.stderr);
    assert!(ended.stderr.contains("loopback"), "{}", ended.stderr);
}

#[test]
fn a_state_that_cannot_be_written_is_named() {
    // A path below a file can't be made by root either.
    let site = Site::new(&job_with("[state]\nurl = \"sqlite://tenacron.toml/state.db\""));
    let ended = site.run(&["run", "--local"]);
    assert_eq!(ended.code, Some(74), "{}", ended.stderr);
    assert!(ended.stderr.contains("tenacron.toml"), "it names what is in the way: {}", ended.stderr);
}

#[test]
fn a_state_that_is_no_database_is_refused_and_left_alone() {
    let site = Site::new(&job_with("[state]\nurl = \"sqlite://state.db\""));
    site.write("state.db", "my diary, not a database, and long enough to be looked at as one\n".repeat(40));
    let before = std::fs::read(site.path("state.db")).expect("readable");
    let ended = site.run(&["run", "--local"]);
    assert_eq!(ended.code, Some(65), "{}", ended.stderr);
    assert!(ended.stderr.contains("state.db"), "{}", ended.stderr);
    assert_eq!(std::fs::read(site.path("state.db")).expect("readable"), before);
}

#[test]
fn a_trial_never_mixes_with_real_history() {
    let site = Site::new(&job_with("[state]\nurl = \"sqlite://state.db\"\n[control]\nsocket = \"control.sock\""));
    let trial = site.daemon(&["run", "--local"]);
    trial.end(rustix::process::Signal::TERM);
    let ended = Ended::of(site.command(&["run"]).envs(aws("http://127.0.0.1:9")));
    assert_eq!(ended.code, Some(74), "{}", ended.stderr);
    assert!(ended.stderr.contains("local"), "{}", ended.stderr);
}

#[test]
fn missing_region_credentials_and_a_bad_endpoint_are_told_apart() {
    let site = Site::new(&job_with("[state]\nurl = \"sqlite://state.db\"\n[control]\nsocket = \"control.sock\""));
    let without = |missing: &[&str]| {
        let mut command = site.command(&["run"]);
        command.envs(aws("http://127.0.0.1:9").into_iter().filter(|(name, _)| !missing.contains(name)));
        // No profile of the machine may fill the gap.
        command
            .env("HOME", site.path(""))
            .env("AWS_CONFIG_FILE", "/nowhere")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/nowhere");
        Ended::of(&mut command)
    };
    let no_region = without(&["AWS_REGION"]);
    assert_eq!(no_region.code, Some(69), "{}", no_region.stderr);
    assert!(no_region.stderr.contains("region"), "{}", no_region.stderr);
    let forgotten_scheme = Ended::of(site.command(&["run"]).envs(aws("127.0.0.1:9")));
    assert_eq!(forgotten_scheme.code, Some(69), "{}", forgotten_scheme.stderr);
    assert!(forgotten_scheme.stderr.contains("AWS_ENDPOINT_URL=127.0.0.1:9"), "{}", forgotten_scheme.stderr);
    let no_credentials = without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    assert_eq!(no_credentials.code, Some(69), "{}", no_credentials.stderr);
    assert!(no_credentials.stderr.contains("credentials"), "{}", no_credentials.stderr);
}
