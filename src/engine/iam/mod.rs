//! The least that IAM must allow for a set of jobs: each call that the daemon makes for them, on the things that they name.
//!
//! [`Needs`] gathers what one set of credentials is used for and writes it as one policy. Statements are by call, not by
//! job, and hold each thing once, so that thousands of jobs of few families stay small; the order is always the same.
//! Source of actions, resources and condition keys: AWS service authorization reference, "Actions, resources, and condition
//! keys for Amazon Elastic Container Service" and those of the other services.
//!
//! By file: `arn.rs` reads and writes ARNs, `document.rs` has the grammar of policies.

mod arn;
mod document;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use self::arn::literal;
pub use self::arn::{Arn, Place};
pub use self::document::{CHARACTERS_MAX, Document, Statement, Words, trust};
use super::inventory::{DefinitionFacts, Destination};
use super::job::{Definition, Success, TaskSpec};

/// In the place of the role that the containers of a task have, where only its task definition names it.
const TASK_ROLE: &str = "TASK_ROLE";
/// In the place of the role that pulls images and writes logs, likewise.
const EXECUTION_ROLE: &str = "EXECUTION_ROLE";
/// In the place of a log group that is not known.
const GROUP: &str = "GROUP";
/// What ECS calls itself when it hands a role to a task, and when it manages a volume. Source: IAM user guide,
/// `iam:PassedToService`; Amazon ECS developer guide, "Amazon ECS infrastructure IAM role".
const TO_TASKS: &str = "ecs-tasks.amazonaws.com";
const TO_ECS: &str = "ecs.amazonaws.com";

/// What one set of credentials is used for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// The clusters on which tasks of each task definition are launched: by the ARN of the family, and the revision if it is
    /// one.
    launches: BTreeMap<(String, Option<String>), BTreeSet<String>>,
    clusters: BTreeSet<String>,
    /// The tasks of each of them.
    tasks: BTreeSet<String>,
    /// The same, where tasks are launched with tags.
    tagged: BTreeSet<String>,
    has_definitions_read: bool,
    task_roles: BTreeSet<String>,
    volume_roles: BTreeSet<String>,
    log_streams: BTreeSet<String>,
    queues: BTreeSet<String>,
    topics: BTreeSet<String>,
    roles: BTreeSet<String>,
    open: BTreeSet<Open>,
}

/// What a policy leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Open {
    /// A region.
    Region,
    /// An account.
    Account,
    /// The roles that a task definition names.
    Roles,
    /// The log groups that it names.
    Groups,
}

impl Needs {
    /// A job whose tasks run in `place`, and its task definition if that could be read.
    pub fn job(&mut self, place: &Place, job: &Definition, known: Option<&DefinitionFacts>) {
        let task = &job.task;
        let (cluster, tasks) = cluster(place, &task.cluster);
        let definition = definition(place, &task.task_definition);
        self.launches.entry(definition).or_default().insert(cluster.clone());
        // ECS asks for this permission for tags of whatever origin.
        let is_tagged = task.add_tags
            || !task.tags.is_empty()
            || task.enable_ecs_managed_tags
            || task.propagate_tags.as_deref() == Some("TASK_DEFINITION");
        if is_tagged {
            self.tagged.insert(tasks.clone());
        }
        self.tasks.insert(tasks);
        self.clusters.insert(cluster);
        self.has_definitions_read |= job.success == Success::Essential || job.log_tail > 0;
        let volumes = task.volume_configurations.iter();
        self.volume_roles.extend(volumes.map(|volume| literal(&volume.managed_ebs_volume.role_arn)));
        self.roles_of(place, task, known);
        if job.log_tail > 0 {
            self.logs_of(place, known);
        }
        self.open.extend(place.open());
    }

    /// The roles that ECS is handed along with a task: those of the job before those of its task definition.
    fn roles_of(&mut self, place: &Place, task: &TaskSpec, known: Option<&DefinitionFacts>) {
        let role = |name: &str| if Arn::parse(name).is_some() { literal(name) } else { place.role(&literal(name)) };
        let own = [
            (&task.overrides.task_role_arn, known.map(|known| &known.task_role), TASK_ROLE),
            (&task.overrides.execution_role_arn, known.map(|known| &known.execution_role), EXECUTION_ROLE),
        ];
        for (of_job, of_definition, placeholder) in own {
            match (of_job, of_definition) {
                (Some(name), _) => drop(self.task_roles.insert(role(name))),
                (None, Some(name)) => self.task_roles.extend(name.as_deref().map(role)),
                (None, None) => {
                    self.task_roles.insert(place.role(placeholder));
                    self.open.insert(Open::Roles);
                }
            }
        }
    }

    fn logs_of(&mut self, place: &Place, known: Option<&DefinitionFacts>) {
        let streams = |place: &Place, group: &str| place.arn("logs", &format!("log-group:{group}:log-stream:*"));
        let Some(known) = known else {
            self.log_streams.insert(streams(place, GROUP));
            self.open.insert(Open::Groups);
            return;
        };
        for container in &known.containers {
            let Destination::Group { group, region, prefix: Some(_) } = &container.logs else { continue };
            let elsewhere = region.as_deref().map(|region| place.in_region(region));
            self.log_streams.insert(streams(elsewhere.as_ref().unwrap_or(place), &literal(group)));
        }
    }

    /// A queue of task events, by its URL, that is read in `place`.
    pub fn queue(&mut self, place: &Place, url: &str) {
        let mut path = url.rsplit('/');
        let (name, account) = (path.next().unwrap_or_default(), path.next().unwrap_or_default());
        let place = place.in_account(account);
        self.open.extend(place.open());
        self.queues.insert(place.arn("sqs", &literal(name)));
    }

    /// A topic that notices are sent to, by its ARN.
    pub fn topic(&mut self, arn: &str) {
        self.topics.insert(literal(arn));
    }

    /// The role of a target that is assumed.
    pub fn role(&mut self, arn: &str) {
        self.roles.insert(literal(arn));
    }

    /// What is left open.
    pub fn open(&self) -> &BTreeSet<Open> {
        &self.open
    }

    /// The policy.
    pub fn document(&self) -> Document {
        let all = BTreeSet::from(["*".to_owned()]);
        let any_if = |is_wanted: bool| Some(&all).filter(|_| is_wanted);
        let clusters = || self.clusters.iter().cloned().collect();
        let only = |word: &str| Words::One(word.to_owned());
        let mut statements = self.launch_statements();
        statements.extend(allow(Some(&self.tasks), "FollowAndStop", &["ecs:DescribeTasks", "ecs:StopTask"]));
        let find = allow(any_if(!self.clusters.is_empty()), "Find", &["ecs:ListTasks"]);
        statements.extend(find.map(|it| it.only_if("ArnEquals", "ecs:cluster", clusters())));
        statements.extend(allow(any_if(self.has_definitions_read), "TaskDefinitions", &["ecs:DescribeTaskDefinition"]));
        let tag = allow(Some(&self.tagged), "TagOnCreate", &["ecs:TagResource"]);
        statements.extend(tag.map(|it| it.only_if("StringEquals", "ecs:CreateAction", only("RunTask"))));
        for (roles, sid, service) in
            [(&self.task_roles, "PassTaskRoles", TO_TASKS), (&self.volume_roles, "PassVolumeRoles", TO_ECS)]
        {
            let pass = allow(Some(roles), sid, &["iam:PassRole"]);
            statements.extend(pass.map(|it| it.only_if("StringEquals", "iam:PassedToService", only(service))));
        }
        statements.extend(allow(Some(&self.queues), "TaskEvents", &["sqs:ReceiveMessage", "sqs:DeleteMessage"]));
        statements.extend(allow(Some(&self.log_streams), "LogTails", &["logs:GetLogEvents"]));
        statements.extend(allow(Some(&self.topics), "Notices", &["sns:Publish"]));
        statements.extend(allow(Some(&self.roles), "AssumeTargetRoles", &["sts:AssumeRole"]));
        Document::new(statements)
    }

    /// RunTask, with a statement for each set of clusters that task definitions have in common, so that none may run where no
    /// job runs it.
    fn launch_statements(&self) -> Vec<Statement> {
        let mut by_clusters: BTreeMap<BTreeSet<&str>, BTreeSet<String>> = BTreeMap::new();
        for ((family, revision), clusters) in &self.launches {
            let mut clusters: BTreeSet<&str> = clusters.iter().map(String::as_str).collect();
            // All revisions hold each of them.
            if let Some(all) = self.launches.get(&(family.clone(), None)).filter(|_| revision.is_some()) {
                clusters.retain(|cluster| !all.contains(*cluster));
            }
            if !clusters.is_empty() {
                let revision = revision.as_deref().unwrap_or("*");
                by_clusters.entry(clusters).or_default().insert(format!("{family}:{revision}"));
            }
        }
        let statements = (1..).zip(by_clusters).map(|(nth, (clusters, definitions))| {
            let sid = if nth == 1 { "Run".to_owned() } else { format!("Run{nth}") };
            let statement = Statement::allow(&sid, &["ecs:RunTask"], definitions.into_iter().collect());
            statement.only_if("ArnEquals", "ecs:cluster", clusters.into_iter().collect())
        });
        statements.collect()
    }
}

/// A statement about these things, if there are any.
fn allow(things: Option<&BTreeSet<String>>, sid: &str, actions: &[&str]) -> Option<Statement> {
    let things = things.filter(|things| !things.is_empty())?;
    Some(Statement::allow(sid, actions, things.iter().cloned().collect()))
}

/// The ARN of a cluster, and that of all its tasks.
fn cluster(place: &Place, given: &str) -> (String, String) {
    let tasks = |name: &str| format!("task/{}/*", literal(name));
    match Arn::parse(given) {
        None => (place.arn("ecs", &format!("cluster/{}", literal(given))), place.arn("ecs", &tasks(given))),
        Some(arn) => {
            let name = arn.resource.rsplit('/').next().unwrap_or_default();
            (literal(given), Arn { resource: &tasks(name), ..arn }.to_string())
        }
    }
}

/// The ARN of a family, and the revision if it is one. ECS asks about the revision that it is going to run, whether the call
/// names it or not.
fn definition(place: &Place, given: &str) -> (String, Option<String>) {
    let arn = Arn::parse(given);
    let (family, revision) = match arn.map_or(given, |arn| arn.resource).split_once(':') {
        Some((family, revision)) => (family, Some(literal(revision))),
        None => (arn.map_or(given, |arn| arn.resource), None),
    };
    let family = literal(family);
    match arn {
        None => (place.arn("ecs", &format!("task-definition/{family}")), revision),
        Some(arn) => (Arn { resource: &family, ..arn }.to_string(), revision),
    }
}
