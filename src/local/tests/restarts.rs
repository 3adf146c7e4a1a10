//! What outlives the endpoint: its journal, read by the next one.

use super::*;

/// Endpoints that share a journal.
struct Journaled {
    _folder: tempfile::TempDir,
    path: PathBuf,
    settings: Settings,
}

impl Journaled {
    fn new(script: &str, outcomes: Vec<Outcome>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let settings = Settings { journal: Some(path.clone()), ..settings(vec![shell("app", script)], outcomes) };
        Self { _folder: folder, path, settings }
    }

    fn open(&self) -> Local {
        Local::open(&self.settings)
    }

    /// Opens what a crash at this moment would have left, while the first endpoint lives on.
    fn open_as_after_a_crash(&self) -> Local {
        let copy = self.path.with_extension("copy");
        fs::copy(&self.path, &copy).unwrap();
        Local::open(&Settings { journal: Some(copy), ..self.settings.clone() })
    }
}

#[tokio::test]
async fn a_restart_keeps_tasks_tokens_definitions_clusters_and_the_script() {
    let outcomes = vec![Outcome::Throttled, Outcome::Run, Outcome::AccessDenied];
    let journaled = Journaled::new("exit 3", outcomes);
    let local = journaled.open();
    assert!(local.run(json!({})).await.is_err());
    let first = local.run(json!({ "clientToken": "t-1" })).await.unwrap();
    let before = local.stopped(arn(&first)).await;
    let cluster = json!({ "clusterName": "batch" });
    local.call("CreateCluster", cluster).await.unwrap();
    let other = json!({ "family": "other", "containerDefinitions": [{ "name": "app" }] });
    local.call("RegisterTaskDefinition", other).await.unwrap();
    drop(local);
    // Twice, because the second start reads what the first one has rewritten.
    for _ in 0..2 {
        let local = journaled.open();
        assert_eq!(local.describe(arn(&first)).await, before);
        let replay = local.run(json!({ "clientToken": "t-1" })).await.unwrap();
        assert_eq!(arn(&replay), arn(&first));
        let listed = local.call("ListTaskDefinitions", json!({})).await.unwrap();
        assert_eq!(listed["taskDefinitionArns"].as_array().unwrap().len(), 2);
        let listed = local.call("ListClusters", json!({})).await.unwrap();
        assert_eq!(listed["clusterArns"].as_array().unwrap().len(), 2);
    }
    let refusal = journaled.open().run(json!({})).await.unwrap_err();
    assert_eq!(refusal.code, "AccessDeniedException");
}

#[tokio::test]
async fn after_a_crash_a_running_task_is_lost_and_its_process_is_gone() {
    let journaled = Journaled::new("sleep 60", vec![]);
    let local = journaled.open();
    let answer = local.run(json!({ "clientToken": "t-1" })).await.unwrap();
    local.until(arn(&answer), |task| task["lastStatus"] == "RUNNING").await;
    let heir = journaled.open_as_after_a_crash();
    let lost = heir.describe(arn(&answer)).await;
    assert_eq!(lost["lastStatus"], "STOPPED");
    assert_eq!(lost["stoppedReason"], "Host EC2 (instance local) terminated.");
    assert!(lost.get("stopCode").is_none());
    assert!(lost["containers"][0].get("exitCode").is_none());
    assert!(lost["startedAt"].is_number());
    let replay = heir.run(json!({ "clientToken": "t-1" })).await.unwrap();
    assert_eq!(arn(&replay), arn(&answer));
    assert_eq!(heir.list_all().await.len(), 1);
    // The first endpoint still watches the process, and sees how the heir ended it.
    let killed = local.stopped(arn(&answer)).await;
    assert_eq!(killed["containers"][0]["exitCode"], 137);
}

#[tokio::test]
async fn a_rewrite_while_running_forgets_the_old_and_keeps_the_living() {
    let journaled = Journaled::new("sleep 60", vec![Outcome::Throttled]);
    let local = journaled.open();
    assert!(local.run(json!({})).await.is_err());
    let end = json!({ "containerOverrides": [{ "name": "app", "command": ["true"] }] });
    let ended = local.run_to_end(json!({ "overrides": end })).await;
    let running = local.run(json!({ "clientToken": "t-1" })).await.unwrap();
    local.until(arn(&running), |task| task["lastStatus"] == "RUNNING").await;
    let later = clock::now() + TimeDelta::hours(2);
    let mut state = local.endpoint.state.lock().await;
    state.tidy(later).await;
    state.rewrite_journal(later).await;
    drop(state);
    let text = fs::read_to_string(&journaled.path).unwrap();
    let id = |arn: &str| arn.rsplit('/').next().unwrap().to_owned();
    assert!(!text.contains(&id(ended["taskArn"].as_str().unwrap())));
    // What follows is written to the new file, which is still locked.
    let again = local.run(json!({})).await.unwrap();
    assert!(matches!(super::super::journal::open(&journaled.path), Err(JournalError::InUse { .. })));
    let heir = journaled.open_as_after_a_crash();
    for task in [&running, &again] {
        let lost = heir.describe(arn(task)).await;
        assert_eq!(lost["lastStatus"], "STOPPED");
    }
    let replay = heir.run(json!({ "clientToken": "t-1" })).await.unwrap();
    assert_eq!(arn(&replay), arn(&running));
    let killed = local.stopped(arn(&running)).await;
    assert_eq!(killed["containers"][0]["exitCode"], 137);
}

#[tokio::test]
async fn without_its_journal_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    fs::write(&path, "").unwrap();
    let local = Local::of(vec![shell("app", "true")], vec![]);
    let unwritable = Journal::unwritable(&path);
    local.endpoint.state.lock().await.set_journal(unwritable);
    let refusal = local.run(json!({ "clientToken": "t-1" })).await.unwrap_err();
    assert_eq!(refusal.code, "ServerException");
    assert!(local.list_all().await.is_empty());
    assert!(local.endpoint.supervisors.is_empty());
}
