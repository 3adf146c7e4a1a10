//! The local ECS endpoint as a foreign client sees it: driven by boto3 over HTTP.
//!
//! Our own SDK and our own reading of the protocol could agree on a mistake. boto3 is built from AWS's model of the API, so what it
//! accepts is the protocol.

use std::process::Command;
use std::time::Duration;

use tenacron::local::{Container, Outcome, Server, Settings, TaskDefinition};
use tokio_util::sync::CancellationToken;

use crate::python;

/// One version, so that the same test passes tomorrow.
pub(crate) const BOTO3: &str = "boto3==1.44.5";

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
    let python = tokio::task::spawn_blocking(|| python::with("boto3", &[BOTO3])).await.unwrap();
    let python = python.unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        region: "eu-central-1".to_owned(),
        clusters: vec!["batch".to_owned()],
        task_definitions: vec![
            troubled("throttled", Outcome::Throttled),
            troubled("closed", Outcome::ConnectionClosed),
            troubled("failing", Outcome::Failure { reason: "RESOURCE:MEMORY".to_owned(), detail: None }),
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
        python::run(Command::new(python).arg(python::script("boto3_drive.py")).arg(url).env("NO_PROXY", "127.0.0.1"))
    });
    let output = driven.await.unwrap().unwrap_or_else(|error| panic!("{error}"));
    assert!(output.contains("checks passed"), "{output}");
    print!("{output}");
    stop.cancel();
    serving.await.unwrap();
}
