//! The local ECS endpoint as a foreign client sees it: driven by boto3 over HTTP.
//!
//! Our own SDK and our own reading of the protocol could agree on a mistake. boto3 is built from AWS's model of the API, so what it
//! accepts is the protocol.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tenacron::local::{Container, Outcome, Server, Settings, TaskDefinition};
use tokio_util::sync::CancellationToken;

/// One version, so that the same test passes tomorrow.
const BOTO3: &str = "boto3==1.44.5";

fn troubled(family: &str, outcome: Outcome) -> TaskDefinition {
    TaskDefinition {
        family: family.to_owned(),
        containers: vec![Container {
            name: "app".to_owned(),
            command: vec!["true".to_owned()],
            ..Container::default()
        }],
        outcomes: vec![outcome],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_drives_the_local_endpoint() {
    let python =
        tokio::task::spawn_blocking(python_with_boto3).await.unwrap().unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        region: "eu-central-1".to_owned(),
        clusters: vec!["batch".to_owned()],
        task_definitions: vec![
            troubled("throttled", Outcome::Throttled),
            troubled("closed", Outcome::ConnectionClosed),
            troubled("failing", Outcome::Failure("RESOURCE:MEMORY".to_owned())),
            troubled("late", Outcome::SlowAnswer(Duration::from_millis(500))),
        ],
        journal: Some(folder.path().join("journal")),
        ..Settings::default()
    };
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), settings).await.unwrap();
    let url = format!("http://{}", server.local_addr());
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.serve(stop.clone()));
    let driven = tokio::task::spawn_blocking(move || {
        run(Command::new(python).arg(beside_this_file("boto3_drive.py")).arg(url).env("NO_PROXY", "127.0.0.1"))
    });
    let output = driven.await.unwrap().unwrap_or_else(|error| panic!("{error}"));
    assert!(output.contains("checks passed"), "{output}");
    print!("{output}");
    stop.cancel();
    serving.await.unwrap();
}

fn beside_this_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file!()).with_file_name(name)
}

/// A Python that has boto3, made on first use and kept inside the target directory.
fn python_with_boto3() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let venv = folder.join("boto3-venv");
    let python = venv.join("bin").join("python");
    // Written last: without it the folder is what an interrupted test has left, or holds another version.
    let ready = venv.join(format!("ready-{BOTO3}"));
    let failed = |error: io::Error| format!("failed to prepare {}: {error}", venv.display());
    fs::create_dir_all(folder).map_err(failed)?;
    // Two test processes may come here at once; the second waits and finds the work done.
    let lock = File::create(folder.join("boto3-venv.lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    if !ready.exists() {
        if venv.exists() {
            fs::remove_dir_all(&venv).map_err(failed)?;
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", BOTO3]))?;
        File::create(&ready).map_err(failed)?;
    }
    Ok(python)
}

/// Runs a command to its end and gives what it wrote, or why it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let what = format!("{command:?}");
    let output = command
        .output()
        .map_err(|error| format!("this test needs python3 with its venv module; failed to run {what}: {error}"))?;
    let written = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(written);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{what} ended with {}:\n{written}{complaint}", output.status))
}
