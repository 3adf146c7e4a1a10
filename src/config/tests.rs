//! x
use super::*;
use std::path::{Path, PathBuf};
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}
fn shown(files: &[(&str, &str)]) -> String {
    let f = folder(files);
    let l = load(&f.path().join("t.toml"));
    l.render(false).replace(&format!("{}/", f.path().display()), "")
}
#[test]
fn explore() {
    eprintln!(
        "{}",
        shown(&[
            (
                "t.toml",
                r#"
instance = "prod"
[ecs]
poll_intervall = "5s"
poll_interval = 5
launch_rate = inf
[defaults]
cluster = "batch"
launch_type = "MANAGED_INSTANCES"
timezone = "Europe/Berln"
timeout = "0s"
[jobs.hello]
schedule = ["0 25 * * *", "@dailyy", "x", "0 3 * * 9"]
task_definiton = "hello"
overlap = "skp"
tags = { "aws:x" = "1", a = 3 }
network = { subnets = "subnet-1", assignPublicIp = true }
[jobs.hello.container]
name = "app"
[[jobs.hello.retry]]
ErrorEquals = ["State.ALL"]
[jobs.two]
schedule = "rate(5 minutes)"
task_definition = "x"
launch_type = "FARGATE"
capacity_provider_strategy = [{ capacity_provider = "FARGATE_SPOT" }]
[[jobs.two.retry]]
error_equals = ["States.TaskFailed", "ecs.ServerException", "ECS.ThrottlingException", "Task.ExitCode.3", "Task.OOM"]
backoff_rate = 0.5
[[jobs.two.retry]]
error_equals = ["ECS.AmazonECSException"]
max_delay_seconds = 5
interval_seconds = 10
jitter_strategy = "full"
[jobs.two]
schedule = "rate(5 minutes)"
[http]
listen = "0.0.0.0:80"
"#
            ),
            ("jobs.d/a.toml", "[jobs.two]\nschedule=\"rate(1 hour)\"\ntask_definition=\"a\"\n[ecs]\n"),
            ("jobs.d/b.toml", ""),
            ("jobs.d/c.toml", "[jobs.c]\nschedule = 'rate(1 hour)\ntask_definition = [\n[jobs.d]\n")
        ])
    );
    eprintln!(
        "{}",
        shown(&[(
            "t.toml",
            r#"
[defaults]
cluster = "batch"
[jobs.hello]
schedule = "0 25 * * *"
timezone = "Berlin"
	task_definition = "ä" # tab
	task_definition = { a = 1, b = 2, a = 3 }
[jobs.two]
"#
        )])
    );
}
