//! `iam-policy`: what it prints, and that its policies allow each call that a daemon makes, and no other.
//!
//! [`is_allowed`] plays IAM, as far as these policies use its grammar. What a call asks of IAM ([`asks`]) is written down
//! from AWS's service authorization reference, apart from the program.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::aws::{Aws, QUEUE, Shown};
use super::harness::{Site, aws};
use super::tap::{Call, Tap};

const ROLE: &str = "arn:aws:iam::210987654321:role/tenacron";

/// What IAM is asked: an action, on a resource, in a context of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ask {
    action: String,
    resource: String,
    context: Vec<(&'static str, String)>,
}

fn ask(action: &str, resource: &str, context: &[(&'static str, &str)]) -> Ask {
    let context = context.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    Ask { action: action.to_owned(), resource: resource.to_owned(), context }
}

/// Whether a pattern with `*` and `?` fits all of a text.
fn fits(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            let rest = &pattern[1..];
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| fits(rest, &text[at..]))
        }
        (Some('?'), Some(first)) => fits(&pattern[1..], &text[first.len_utf8()..]),
        (Some(wanted), Some(first)) if wanted == first => {
            fits(&pattern[wanted.len_utf8()..], &text[first.len_utf8()..])
        }
        _ => false,
    }
}

/// One string, or any of a list.
fn words(value: &Value) -> Vec<&str> {
    match value {
        Value::String(word) => vec![word],
        Value::Array(words) => words.iter().map(|word| word.as_str().expect("a string")).collect(),
        other => panic!("neither a string nor a list: {other}"),
    }
}

fn allows(statement: &Value, ask: &Ask) -> bool {
    assert_eq!(statement["Effect"], "Allow");
    let holds = |(operator, keys): (&String, &Value)| {
        keys.as_object().expect("keys").iter().all(|(key, wanted)| {
            let given = ask.context.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str());
            given.is_some_and(|given| match operator.as_str() {
                "ArnEquals" => words(wanted).iter().any(|pattern| fits(pattern, given)),
                "StringEquals" => words(wanted).contains(&given),
                other => panic!("{other} is not used"),
            })
        })
    };
    words(&statement["Action"]).contains(&ask.action.as_str())
        && words(&statement["Resource"]).iter().any(|pattern| fits(pattern, &ask.resource))
        && statement["Condition"].as_object().is_none_or(|conditions| conditions.iter().all(holds))
}

fn statements(policy: &Value) -> &Vec<Value> {
    assert_eq!(policy["Version"], "2012-10-17");
    policy["Statement"].as_array().expect("statements")
}

fn is_allowed(policy: &Value, ask: &Ask) -> bool {
    statements(policy).iter().any(|statement| allows(statement, ask))
}

/// What IAM is asked about a call; `account` is that of the endpoint, and the region stands in the signature. Source: AWS
/// service authorization reference.
fn asks(call: &Call, account: &str) -> Vec<Ask> {
    let signed = call.signed.as_deref().expect("signed");
    let region = signed.split('/').nth(1).expect("a region");
    let body = &call.body;
    let text = |key: &str| body[key].as_str().expect("a string");
    let of_ecs = |resource: &str| format!("arn:aws:ecs:{region}:{account}:{resource}");
    let cluster = || of_ecs(&format!("cluster/{}", text("cluster")));
    let on_cluster = |action: &str, resource: &str| ask(action, resource, &[("ecs:cluster", &cluster())]);
    match call.operation.as_str() {
        "RunTask" => {
            // Without a revision, the newest one is what is asked about.
            let definition = of_ecs(&format!("task-definition/{}:1", text("taskDefinition")));
            let mut all = vec![on_cluster("ecs:RunTask", &definition)];
            if body["tags"].is_array() {
                let task = of_ecs(&format!("task/{}/0af3", text("cluster")));
                all.push(ask("ecs:TagResource", &task, &[("ecs:CreateAction", "RunTask")]));
            }
            for role in ["taskRoleArn", "executionRoleArn"] {
                if let Some(role) = body["overrides"][role].as_str() {
                    all.push(ask("iam:PassRole", role, &[("iam:PassedToService", "ecs-tasks.amazonaws.com")]));
                }
            }
            all
        }
        "DescribeTasks" => {
            let tasks = body["tasks"].as_array().expect("tasks").iter();
            tasks.map(|task| on_cluster("ecs:DescribeTasks", task.as_str().expect("an ARN"))).collect()
        }
        "StopTask" => vec![on_cluster("ecs:StopTask", text("task"))],
        "ListTasks" => {
            vec![on_cluster("ecs:ListTasks", &of_ecs(&format!("container-instance/{}/*", text("cluster"))))]
        }
        "DescribeTaskDefinition" => vec![ask("ecs:DescribeTaskDefinition", "*", &[])],
        "ReceiveMessage" | "DeleteMessageBatch" => {
            let name = text("QueueUrl").rsplit('/').next().expect("a name");
            let action = call.operation.trim_end_matches("Batch");
            vec![ask(&format!("sqs:{action}"), &format!("arn:aws:sqs:{region}:{account}:{name}"), &[])]
        }
        "GetLogEvents" => {
            let stream = format!("log-group:{}:log-stream:{}", text("logGroupName"), text("logStreamName"));
            vec![ask("logs:GetLogEvents", &format!("arn:aws:logs:{region}:{account}:{stream}"), &[])]
        }
        other => panic!("nobody has written down what {other} asks of IAM"),
    }
}

/// Each of the calls is allowed, and each statement allows one of them.
fn check(policy: &Value, calls: &[Call], account: &str) -> Vec<Ask> {
    let asked: Vec<Ask> = calls.iter().flat_map(|call| asks(call, account)).collect();
    for one in &asked {
        assert!(is_allowed(policy, one), "{one:?} is not allowed by {policy:#}");
    }
    for statement in statements(policy) {
        for action in words(&statement["Action"]) {
            let is_used = asked.iter().any(|one| one.action == action && allows(statement, one));
            assert!(is_used, "nothing needs {action} of {statement}");
        }
    }
    asked
}

fn printed(site: &Site, arguments: &[&str]) -> Value {
    let ended = site.run(&[&["iam-policy"], arguments].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

#[test]
fn the_policy_allows_each_call_of_a_daemon_and_no_other() {
    let role = |name: &str| format!("arn:aws:iam::000000000000:role/{name}");
    let overrides = format!(
        "overrides = {{ task_role_arn = \"{}\", execution_role_arn = \"{}\" }}",
        role("task"),
        role("execution")
    );
    let job = |name: &str, cluster: &str, command: &str| {
        format!(
            "[jobs.{name}]\nschedule = \"0 3 1 1 *\"\ncluster = \"{cluster}\"\ntask_definition = \"{name}\"\n{overrides}\n\
             [local.task_definitions.{name}]\ncontainers = [{{ name = \"app\", command = [\"sh\", \"-c\", \"{command}\"] }}]\n"
        )
    };
    let jobs = job("home", "batch", "exec sleep 600") + &job("away", "other", "exit 3");
    let site = Site::new(
        &(super::harness::SETTINGS.replace("[ecs]\n", "[ecs]\nregion = \"eu-central-1\"\n") + "retry = []\n" + &jobs),
    );
    let (_endpoint, url) = site.endpoint();
    let tap = Tap::before(&url);
    let daemon = site.daemon_with(&aws(&tap.url), &["run"]);
    for job in ["home", "away"] {
        assert_eq!(site.run(&["trigger", job]).code, Some(0));
    }
    daemon.wait_for_jobs(["home", "away"], "task started");
    let run = site.json(&["runs", "--job", "home"])[0]["run"].as_str().expect("a run").to_owned();
    assert_eq!(site.run(&["cancel", &run]).code, Some(0));
    daemon.wait_for_job("home", "run cancelled");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));

    let policy = printed(&site, &["--account", "000000000000"]);
    let asked = check(&policy, &tap.seen(), "000000000000");
    for action in ["ecs:RunTask", "ecs:StopTask", "ecs:ListTasks", "ecs:TagResource", "iam:PassRole"] {
        assert!(asked.iter().any(|one| one.action == action), "{action} was asked");
    }

    // And no other: what was asked, with one thing changed.
    let changed = |action: &str, change: &dyn Fn(&mut Ask)| {
        for one in asked.iter().filter(|one| one.action == action) {
            let mut other = one.clone();
            change(&mut other);
            assert_ne!(*one, other);
            assert!(!is_allowed(&policy, &other), "{other:?} is allowed by {policy:#}");
        }
    };
    let replace = |from: &'static str, to: &'static str| {
        move |one: &mut Ask| {
            one.resource = one.resource.replace(from, to);
            one.context.iter_mut().for_each(|(_, value)| *value = value.replace(from, to));
        }
    };
    changed("ecs:RunTask", &replace("cluster/", "cluster/x-"));
    changed("ecs:RunTask", &replace("task-definition/", "task-definition/x-"));
    changed("ecs:RunTask", &replace(":1", "-more:1"));
    changed("ecs:RunTask", &replace("eu-central-1", "eu-west-1"));
    changed("ecs:RunTask", &|one| one.context.clear());
    // A family on the cluster of another one.
    changed("ecs:RunTask", &|one| {
        let is_batch = one.context[0].1.ends_with("/batch");
        let (from, to) = if is_batch { ("cluster/batch", "cluster/other") } else { ("cluster/other", "cluster/batch") };
        one.context[0].1 = one.context[0].1.replace(from, to);
    });
    changed("ecs:StopTask", &replace("task/", "task/x-"));
    changed("ecs:ListTasks", &replace("cluster/", "cluster/x-"));
    changed("ecs:TagResource", &|one| one.context[0].1 = "CreateService".to_owned());
    changed("iam:PassRole", &|one| one.context[0].1 = "ec2.amazonaws.com".to_owned());
    changed("iam:PassRole", &|one| one.resource.push_str("-admin"));
    changed("ecs:StopTask", &|one| one.action = "ecs:ExecuteCommand".to_owned());
}

#[test]
fn the_policy_allows_the_queue_and_the_log_of_a_daemon() {
    let on = Aws::start();
    let tap = Tap::before(&on.url);
    let site = Site::new(&format!(
        r#"
instance = "test"
[state]
url = "sqlite://state.db"
[control]
socket = "control.sock"
[ecs]
region = "eu-central-1"
poll_interval = "500ms"
events_queue = "{QUEUE}"
[jobs.nightly]
schedule = "0 3 1 1 *"
cluster = "batch"
task_definition = "nightly"
timeout = "5h"
retry = []
log_tail = 5
"#
    ));
    let daemon = site.daemon_with(&aws(&tap.url), &["run"]);
    assert_eq!(site.run(&["trigger", "nightly"]).code, Some(0));
    daemon.wait_for_job("nightly", "task started");
    let receipt = on.send("no event");
    on.wait_for_deleted(&[receipt]);
    on.show(Shown::Stopped(3));
    tap.wait_for("the log", |call| call.operation == "GetLogEvents");
    assert_eq!(daemon.end(Signal::TERM).code(), Some(0));

    let mut command = site.command(&["iam-policy", "--online"]);
    let ended = super::harness::Ended::of(command.envs(aws(&on.url)));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "nothing is left open");
    let mut policy: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    // StopTask goes with DescribeTasks, and this daemon had no task to stop.
    for statement in policy["Statement"].as_array_mut().expect("statements") {
        if statement["Sid"] == "FollowAndStop" {
            assert_eq!(statement["Action"], json!(["ecs:DescribeTasks", "ecs:StopTask"]));
            statement["Action"] = json!("ecs:DescribeTasks");
        }
    }
    let asked = check(&policy, &tap.seen(), "123456789012");
    for action in ["sqs:ReceiveMessage", "sqs:DeleteMessage", "logs:GetLogEvents"] {
        let mut other = asked.iter().find(|one| one.action == action).expect("it was asked").clone();
        other.resource = other.resource.replace("tenacron", "other").replace("/ecs/nightly", "/ecs/other");
        assert!(!is_allowed(&policy, &other), "{other:?}");
    }
    // Offline, the log group and the roles are placeholders.
    let ended = site.run(&["iam-policy"]);
    for placeholder in ["log-group:GROUP:", "role/TASK_ROLE", "sqs:eu-central-1:123456789012:tenacron", ":ACCOUNT:"] {
        assert!(ended.stdout.contains(placeholder), "{placeholder}: {}", ended.stdout);
    }
    for note in ["ACCOUNT stands for", "TASK_ROLE and EXECUTION_ROLE stand", "GROUP stands", "--online"] {
        assert!(ended.stderr.contains(note), "{note}: {}", ended.stderr);
    }
}

/// The code blocks of this language in the README.
fn blocks(language: &str) -> Vec<String> {
    let readme = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(readme).expect("the README is there");
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_policy_of_the_readme_is_that_of_its_job() {
    let job = blocks("toml").into_iter().find(|block| block.contains("[jobs.billing]")).expect("a job");
    let shown = blocks("json").into_iter().find(|block| block.contains("ecs:RunTask")).expect("a policy");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let site = Site::new(&job);
    assert_eq!(printed(&site, &[]), shown, "print it with `tenacron iam-policy`");
}

/// Jobs at the daemon's own place, at one with a role, and at another region without one.
fn of_targets() -> Site {
    let job = |name: &str, keys: &str| {
        format!(
            "[jobs.{name}]\nschedule = \"@daily\"\ncluster = \"batch\"\ntask_definition = \"{name}\"\nsuccess = \"all\"\n\
             add_tags = false\noverrides = {{ task_role_arn = \"r\", execution_role_arn = \"r\" }}\n{keys}\n"
        )
    };
    Site::new(&format!(
        "instance = \"test\"\n[ecs]\nregion = \"eu-central-1\"\n[targets.lab]\nregion = \"us-gov-west-1\"\nrole_arn = \"{}\"\n\
         external_id = \"prod\"\nevents_queue = \"https://sqs.us-gov-west-1.amazonaws.com/210987654321/lab\"\n\
         [targets.west]\nregion = \"eu-west-1\"\n{}{}{}",
        ROLE.replace(":aws:", ":aws-us-gov:"),
        job("home", ""),
        job("away", "target = \"lab\"\nnotify = [{ sns = \"arn:aws:sns:eu-central-1:123456789012:ops\" }]"),
        job("far", "target = \"west\""),
    ))
}

#[test]
fn each_role_has_a_policy_of_its_own() {
    let site = of_targets();
    let all = printed(&site, &["--account", "123456789012", "--json"]);
    let role = ROLE.replace(":aws:", ":aws-us-gov:");
    let run = |sid: &str, at: &str, family: &str| {
        json!({ "Sid": sid, "Effect": "Allow", "Action": "ecs:RunTask",
            "Resource": format!("{at}:task-definition/{family}:*"),
            "Condition": { "ArnEquals": { "ecs:cluster": format!("{at}:cluster/batch") } } })
    };
    let home = "arn:aws:ecs:eu-central-1:123456789012";
    let west = "arn:aws:ecs:eu-west-1:123456789012";
    let topic = "arn:aws:sns:eu-central-1:123456789012:ops";
    let lab = "arn:aws-us-gov:ecs:us-gov-west-1:210987654321";
    let tasks = [home, west].map(|at| format!("{at}:task/batch/*"));
    let clusters = [home, west].map(|at| format!("{at}:cluster/batch"));
    let passed = json!({ "StringEquals": { "iam:PassedToService": "ecs-tasks.amazonaws.com" } });
    let own = json!({ "Version": "2012-10-17", "Statement": [
        run("Run", home, "home"),
        run("Run2", west, "far"),
        { "Sid": "FollowAndStop", "Effect": "Allow", "Action": ["ecs:DescribeTasks", "ecs:StopTask"],
          "Resource": tasks },
        { "Sid": "Find", "Effect": "Allow", "Action": "ecs:ListTasks", "Resource": "*",
          "Condition": { "ArnEquals": { "ecs:cluster": clusters } } },
        { "Sid": "PassTaskRoles", "Effect": "Allow", "Action": "iam:PassRole",
          "Resource": "arn:aws:iam::123456789012:role/r", "Condition": passed },
        { "Sid": "Notices", "Effect": "Allow", "Action": "sns:Publish", "Resource": topic },
        { "Sid": "AssumeTargetRoles", "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role },
    ] });
    let of_lab = json!({ "Version": "2012-10-17", "Statement": [
        run("Run", lab, "away"),
        { "Sid": "FollowAndStop", "Effect": "Allow", "Action": ["ecs:DescribeTasks", "ecs:StopTask"],
          "Resource": format!("{lab}:task/batch/*") },
        { "Sid": "Find", "Effect": "Allow", "Action": "ecs:ListTasks", "Resource": "*",
          "Condition": { "ArnEquals": { "ecs:cluster": format!("{lab}:cluster/batch") } } },
        { "Sid": "PassTaskRoles", "Effect": "Allow", "Action": "iam:PassRole",
          "Resource": "arn:aws-us-gov:iam::210987654321:role/r", "Condition": passed },
        { "Sid": "TaskEvents", "Effect": "Allow", "Action": ["sqs:DeleteMessage", "sqs:ReceiveMessage"],
          "Resource": "arn:aws-us-gov:sqs:us-gov-west-1:210987654321:lab" },
    ] });
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "AWS": "arn:aws:iam::123456789012:role/ROLE_OF_THE_DAEMON" },
        "Condition": { "StringEquals": { "sts:ExternalId": "prod" } } }] });
    assert_eq!(all.as_array().map(Vec::len), Some(2));
    assert_eq!(json!([all[0]["role_arn"], all[0]["targets"], all[0]["trust_policy"]]), json!([null, ["west"], null]));
    assert_eq!(all[0]["policy"], own);
    assert_eq!(all[0]["notes"], json!([format!("the role {role} needs a policy of its own: see --target lab")]));
    assert_eq!(json!([all[1]["role_arn"], all[1]["targets"], all[1]["trust_policy"]]), json!([role, ["lab"], trust]));
    assert_eq!(all[1]["policy"], of_lab);
    assert_eq!(all[1]["characters"], of_lab.to_string().len());

    assert_eq!(printed(&site, &["--account", "123456789012"]), own);
    let ended = site.run(&["iam-policy", "--target", "lab"]);
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).expect("JSON"), of_lab);
    assert!(ended.stderr.contains("the trust policy of the role: {"), "{}", ended.stderr);
    let ended = site.run(&["iam-policy", "--target", "west", "--account", "123456789012"]);
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).expect("JSON"), own);
    assert!(ended.stderr.contains("target west has no role"), "{}", ended.stderr);
}

#[test]
fn what_is_not_known_is_a_placeholder_and_a_note_or_is_given() {
    let job = "[jobs.a]\nschedule = \"@daily\"\ntask_definition = \"a\"\ntimeout = \"1h\"\ncluster = ";
    let site = Site::new(&format!("instance = \"test\"\n{job}\"batch\"\n"));
    let ended = site.run(&["iam-policy"]);
    assert!(ended.stdout.contains("\"arn:aws:ecs:REGION:ACCOUNT:task-definition/a:*\""), "{}", ended.stdout);
    assert!(ended.stderr.contains("REGION stands for") && ended.stderr.contains("ACCOUNT stands"), "{}", ended.stderr);
    let given = site.run(&["iam-policy", "--region", "cn-north-1", "--account", "123456789012"]);
    assert!(
        given.stdout.contains("\"arn:aws-cn:ecs:cn-north-1:123456789012:task-definition/a:*\""),
        "{}",
        given.stdout
    );
    assert!(!given.stderr.contains("ACCOUNT stands"), "{}", given.stderr);
    // An ARN says it as well.
    site.write(
        "tenacron.toml",
        format!("instance = \"test\"\n{job}\"arn:aws:ecs:eu-west-3:123456789012:cluster/batch\"\n"),
    );
    let said = site.run(&["iam-policy"]);
    assert!(said.stdout.contains("\"arn:aws:ecs:eu-west-3:123456789012:task-definition/a:*\""), "{}", said.stdout);

    assert_eq!(site.run(&["iam-policy", "--account", "123"]).code, Some(2));
    let unknown = site.run(&["iam-policy", "--target", "lab"]);
    assert_eq!(unknown.code, Some(3));
    assert!(unknown.stderr.contains("there is no target `lab`"), "{}", unknown.stderr);
    site.write("tenacron.toml", "[jobs.a]\n");
    assert_eq!(site.run(&["iam-policy"]).code, Some(78));
}

#[test]
fn a_policy_that_is_too_long_is_said_to_be() {
    let job = |n: usize| {
        format!(
            "[jobs.j{n}]\nschedule = \"@daily\"\ncluster = \"batch\"\ntimeout = \"1h\"\ntask_definition = \"family-{n}\"\n"
        )
    };
    let site = Site::new(&format!("instance = \"test\"\n{}", (0..200).map(job).collect::<String>()));
    let ended = site.run(&["iam-policy"]);
    assert!(ended.stderr.contains("more than the 6144 of a managed policy"), "{}", ended.stderr);
}
