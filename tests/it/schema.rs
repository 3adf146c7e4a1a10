//! The schema of the configuration, asked by a validator that is not ours, on files that load and on files that do not.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::{Ended, Site, tenacron};
use super::python;

/// One version, so that the same test passes tomorrow.
const JSONSCHEMA: &str = "jsonschema==4.26.0";

/// Keys of a job that is right otherwise, and that neither the reader nor the schema accepts.
const WRONG: [&str; 54] = [
    "timeot = \"1h\"",
    "timeout = 900",
    "timeout = \"900\"",
    "overlap = \"skp\"",
    "launch_type = \"fargate\"",
    "launch_type = \"EC2\"\ncapacity_provider_strategy = [{ capacity_provider = \"FARGATE_SPOT\" }]",
    "capacity_provider_strategy = []",
    "network = { subnets = [] }",
    "network = { security_groups = [] }",
    "network = { subnets = [\"s\"], assign_public_ip = \"ENABLED\" }",
    "container = [{ command = [\"x\"] }]",
    "container = [{ name = \"c\", command = \"x y\" }]",
    "container = [{ name = \"c\", environment = { PORT = 80 } }]",
    "container = [{ name = \"c\", environment = { \"A=B\" = \"x\" } }]",
    "overrides = { ephemeral_storage = { size_in_gib = 20 } }",
    "tags = { \"tenacron:job\" = \"1\" }",
    "tags = { team = \"aws:x\" }",
    "container = [{ name = \"c\", environment_files = [{ value = \"arn:aws:s3:::b/x.txt\" }] }]",
    "container = [{ name = \"c\", environment_files = [{ value = \"arn:aws:s3:::b/x.env\", type = \"efs\" }] }]",
    "container = [{ name = \"c\", resource_requirements = [{ type = \"TPU\", value = \"1\" }] }]",
    "placement_constraints = [{ type = \"distinct\" }]",
    "placement_strategy = [{ field = \"cpu\" }]",
    "volume_configurations = [{ name = \"v\", managed_ebs_volume = { size_in_gib = 1 } }]",
    "volume_configurations = [{ name = \"v\", managed_ebs_volume = { role_arn = \"r\", size_in_gib = 16385 } }]",
    "volume_configurations = [{ name = \"v\", managed_ebs_volume = { role_arn = \"r\", size_in_gib = 1, filesystem_type = \"zfs\" } }]",
    "volume_configurations = [{ name = \"v\", managed_ebs_volume = { role_arn = \"r\", size_in_gib = 1, termination_policy = {} } }]",
    "propagate_tags = \"SERVICE\"",
    "retry = [{ interval_seconds = 1 }]",
    "retry = [{ error_equals = [] }]",
    "retry = [{ error_equals = [\"x\"], interval_seconds = 0 }]",
    "retry = [{ error_equals = [\"x\"], backoff_rate = 0.5 }]",
    "retry = [{ error_equals = [\"x\"], jitter_strategy = \"full\" }]",
    "success = \"any\"",
    "notify = { webhook = \"https://example.com\" }",
    "notify = [{ on = [\"failed\"] }]",
    "notify = [{ webhook = \"https://a.example\", ping = \"https://b.example\" }]",
    "notify = [{ webhook = \"ftp://example.com/\" }]",
    "notify = [{ webhook = \"https://me:pass@example.com/\" }]",
    "notify = [{ webhook = \"https://example.com\", secret = \"a\", secret_file = \"b\" }]",
    "notify = [{ webhook = \"https://example.com\", headers = { \"a b\" = \"c\" } }]",
    "notify = [{ sns = \"arn:aws:sqs:eu-central-1:123456789012:x\" }]",
    "notify = [{ sns = \"arn:aws:sns:eu-central-1:123456789012:x\", on = [\"started\"] }]",
    "notify = [{ sns = \"arn:aws:sns:eu-central-1:123456789012:x\", on = [] }]",
    "[heartbeat]\ninterval = \"1m\"",
    "add_tags = \"yes\"",
    "[ecs]\nlaunch_rate = 0",
    "[retention]\nmax_age = \"always\"",
    "[retention]\nmax_runs_per_job = 0",
    "[state]\nurl = \"/var/lib/x.db\"",
    "[targets.t]",
    "[targets.t]\nregion = \"eu-central-1a\"",
    "[targets.t]\nrole_arn = \"arn:aws:iam::123456789012:user/x\"",
    "[targets.t]\nregion = \"eu-central-1\"\nexternal_id = \"ab\"",
    "[local.task_definitions.t]\ncontainers = [{ name = \"c\", command = [\"x\"] }]\noutcomes = [{ failure = \"x\", slow_answer = \"1s\" }]",
];

fn job_with(keys: &str) -> String {
    format!("instance = \"test\"\n[jobs.a]\nschedule = \"@daily\"\ncluster = \"c\"\ntask_definition = \"t\"\n{keys}\n")
}

/// The shipped files and those that tests load without a mistake.
fn right_files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let below = |folder: &str| {
        let entries = std::fs::read_dir(root.join(folder)).expect("the folder is there");
        let paths = entries.map(|entry| entry.expect("readable").path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect::<Vec<_>>()
    };
    [below("config"), below("config/jobs.d"), below("tests/fixtures/config")].concat()
}

#[test]
fn a_foreign_validator_agrees_with_the_reader() {
    let site = Site::new("");
    let schema = Ended::of(tenacron().arg("schema"));
    assert_eq!(schema.code, Some(0), "{}", schema.stderr);
    site.write("schema.json", &schema.stdout);
    let right = right_files();
    assert!(right.len() >= 6, "{right:?}");
    for file in &right {
        let ended = Ended::of(tenacron().arg("--config").arg(file).arg("validate"));
        // A file of jobs.d lacks what the defaults of its main file give.
        let is_whole = !file.to_string_lossy().contains("jobs.d");
        assert!(ended.code == Some(0) || !is_whole, "{}: {}", file.display(), ended.stdout);
    }
    for (nth, keys) in WRONG.iter().enumerate() {
        let name = format!("wrong-{nth:02}.toml");
        site.write(&name, job_with(keys));
        let ended = Ended::of(tenacron().arg("--config").arg(site.path(&name)).arg("validate"));
        assert_eq!(ended.code, Some(78), "{keys}");
    }
    let interpreter = python::with("jsonschema", &[JSONSCHEMA]).unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new(interpreter);
    command.arg(python::script("schema_check.py")).arg(site.path("schema.json"));
    command.args(&right);
    command.args((0..WRONG.len()).map(|nth| site.path(&format!("wrong-{nth:02}.toml"))));
    let told = python::run(&mut command).unwrap_or_else(|error| panic!("{error}"));
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), right.len() + WRONG.len(), "{told}");
    for line in lines {
        let is_wrong = line.contains("/wrong-");
        assert_eq!(line.ends_with(": valid"), !is_wrong, "{line}");
    }
}
