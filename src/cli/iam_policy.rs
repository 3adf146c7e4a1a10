//! `iam-policy`: the least that IAM must allow for the jobs of the configuration.
//!
//! One policy for each set of credentials: the daemon's own, and each role that its targets have. What the configuration
//! does not say is a placeholder and a note; with `--online` task definitions are read for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::exit::{Exit, Failed};
use super::{Context, online, output};
use crate::config::Config;
use crate::engine::iam::{self, Arn, CHARACTERS_MAX, Document, Needs, Open, Place};
use crate::engine::inventory::{Answer, Inventory};
use crate::engine::job::Target;
use crate::notify::Channel;

/// How many digits an account has.
const ACCOUNT_DIGITS: usize = 12;
/// How many task definitions that could not be read are told.
const UNREAD_TOLD_MAX: usize = 5;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The policy of this target's role; otherwise that of the daemon's own credentials
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// The daemon's own account, where no ARN of the configuration says it
    #[arg(long, value_name = "ID", value_parser = account)]
    account: Option<String>,
    /// The daemon's own region, if [ecs] names none
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Read the task definitions from ECS, for the roles and log groups that they name
    #[arg(long)]
    online: bool,
    /// Print all policies as JSON, with trust policies and notes
    #[arg(long)]
    json: bool,
}

fn account(text: &str) -> Result<String, &'static str> {
    let is_account = text.len() == ACCOUNT_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_account { Ok(text.to_owned()) } else { Err("an account has twelve digits") }
}

/// The JSON object of a policy.
#[derive(Debug, Serialize)]
struct PolicyObject {
    /// None for the daemon's own credentials.
    role_arn: Option<String>,
    targets: BTreeSet<String>,
    policy: Document,
    trust_policy: Option<Document>,
    characters: usize,
    notes: Vec<String>,
}

pub(super) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failed> {
    let (config, _warnings) = context.load()?;
    let target = arguments.target.as_deref();
    online::check_target(&config, target)?;
    let (region, inventory) = match arguments.online {
        false => (None, None),
        true => {
            let (ecs, inventory) = Box::pin(online::ask(&config, online::tasks(&config, None), false)).await?;
            (ecs.own().region.clone(), Some(inventory))
        }
    };
    let own = Own::of(&config, arguments, region, inventory.as_ref());
    let mut policies = policies(&config, &own, inventory.as_ref());
    // The one of the target's role, or of the daemon's own credentials.
    let role = target.and_then(|name| config.targets.get(name)).and_then(|target| target.role_arn.clone());
    if target.is_some() || !arguments.json {
        policies.retain(|policy| policy.role_arn == role);
    }
    if arguments.json {
        output::print_json(&policies)?;
        return Ok(Exit::Ok);
    }
    for PolicyObject { policy, trust_policy, notes, .. } in policies {
        output::print_json(&policy)?;
        if let (Some(name), None) = (target, &role) {
            output::print_error(&format!(
                "note: target {name} has no role: this is the policy of the daemon's own credentials"
            ));
        }
        notes.iter().for_each(|note| output::print_error(&format!("note: {}", output::plain(note))));
        if let Some(trust) = trust_policy.and_then(|trust| serde_json::to_string(&trust).ok()) {
            output::print_error(&format!("note: the trust policy of the role: {trust}"));
        }
    }
    Ok(Exit::Ok)
}

/// What is known of the place of the daemon's own credentials.
struct Own {
    partition: Option<String>,
    region: Option<String>,
    account: Option<String>,
}

impl Own {
    /// The region of the configuration, of the command line, of the SDK's chain, or of the ARNs that jobs name; the account
    /// likewise.
    fn of(config: &Config, arguments: &Arguments, region: Option<String>, inventory: Option<&Inventory>) -> Own {
        let (mut partitions, mut regions, mut accounts) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let tasks = config.jobs.values().map(|job| &job.definition.task);
        for task in tasks.filter(|task| task.target.role_arn.is_none()) {
            let read = inventory.and_then(|inventory| inventory.definition(task)).map(|facts| facts.arn.as_str());
            for arn in [Some(task.cluster.as_str()), Some(&task.task_definition), read].into_iter().flatten() {
                let Some(arn) = Arn::parse(arn) else { continue };
                partitions.insert(arn.partition);
                accounts.insert(arn.account);
                if task.target.region.is_none() {
                    regions.insert(arn.region);
                }
            }
        }
        let only = |found: BTreeSet<&str>| match found.len() {
            1 => found.first().map(|only| (*only).to_owned()),
            _ => None,
        };
        let said = config.ecs.region.clone().or_else(|| arguments.region.clone());
        Own {
            partition: only(partitions),
            region: said.or(region).or_else(|| only(regions)),
            account: arguments.account.clone().or_else(|| only(accounts)),
        }
    }

    /// The place of a target.
    fn place(&self, target: &Target) -> Place {
        let region = target.region.as_deref().or(self.region.as_deref());
        match target.role_arn.as_deref().and_then(Arn::parse) {
            Some(role) => Place::new(Some(role.partition), region, Some(role.account)),
            None => Place::new(self.partition.as_deref(), region, self.account.as_deref()),
        }
    }
}

/// A policy for each set of credentials, the daemon's own first.
fn policies(config: &Config, own: &Own, inventory: Option<&Inventory>) -> Vec<PolicyObject> {
    let mut needs: BTreeMap<Option<&str>, Needs> = BTreeMap::from([(None, Needs::default())]);
    let mut targets: BTreeMap<Option<&str>, Vec<&Target>> = BTreeMap::new();
    for target in config.targets.values() {
        targets.entry(target.role_arn.as_deref()).or_default().push(target);
        needs.entry(target.role_arn.as_deref()).or_default();
    }
    let mut places: BTreeMap<&Arc<Target>, Place> = BTreeMap::new();
    for job in config.jobs.values() {
        let task = &job.definition.task;
        let place = places.entry(&task.target).or_insert_with(|| own.place(&task.target));
        let known = inventory.and_then(|inventory| inventory.definition(task));
        needs.entry(task.target.role_arn.as_deref()).or_default().job(place, &job.definition, known);
    }
    if let Some(url) = &config.ecs.events_queue {
        needs.entry(None).or_default().queue(&own.place(&Target::default()), url);
    }
    for (name, url) in &config.target_queues {
        let Some(target) = config.targets.get(name) else { continue };
        needs.entry(target.role_arn.as_deref()).or_default().queue(&own.place(target), url);
    }
    for channel in config.channels.values() {
        // Notices are sent with the daemon's own credentials, whatever the target of their job.
        if let Channel::Topic(topic) = channel.as_ref() {
            needs.entry(None).or_default().topic(&topic.arn);
        }
    }
    let roles = targets.keys().copied().flatten();
    roles.for_each(|role| needs.entry(None).or_default().role(role));
    let object = |(role, needs): (Option<&str>, Needs)| {
        let of_role = targets.get(&role).map_or(&[][..], Vec::as_slice);
        let policy = needs.document();
        let mut notes = notes(&needs, &policy, unread(inventory, role));
        if role.is_none() {
            notes.extend(targets.iter().filter_map(|(role, of_role)| Some(of_its_own((*role)?, of_role))));
        }
        PolicyObject {
            role_arn: role.map(str::to_owned),
            targets: of_role.iter().filter_map(|target| target.name.clone()).collect(),
            trust_policy: role.map(|_| trust(own, of_role)),
            characters: policy.characters(),
            policy,
            notes,
        }
    };
    needs.into_iter().map(object).collect()
}

fn of_its_own(role: &str, targets: &[&Target]) -> String {
    let name = targets.first().and_then(|target| target.name.as_deref()).unwrap_or_default();
    format!("the role {role} needs a policy of its own: see --target {name}")
}

/// By which the daemon may assume the role of these targets.
fn trust(own: &Own, targets: &[&Target]) -> Document {
    let daemon = own.place(&Target::default()).role("ROLE_OF_THE_DAEMON");
    let external_ids = targets.iter().filter_map(|target| target.external_id.as_deref()).collect();
    iam::trust(&daemon, &external_ids)
}

/// The task definitions of these credentials that could not be read, and why; none if nobody asked.
fn unread(inventory: Option<&Inventory>, role: Option<&str>) -> Option<Vec<String>> {
    let of_role = inventory?.definitions.iter().filter(|(named, _)| named.target.role_arn.as_deref() == role);
    let unread = of_role.filter_map(|(named, answer)| match answer {
        Answer::Found(_) => None,
        Answer::Missing => Some(format!("{}: there is none", named.name)),
        Answer::Unknown(why) => Some(format!("{}: {why}", named.name)),
    });
    Some(unread.collect())
}

/// What a person has to know of a policy.
fn notes(needs: &Needs, policy: &Document, unread: Option<Vec<String>>) -> Vec<String> {
    let mut notes = Vec::new();
    let online = if unread.is_some() { "" } else { ", or read them with --online" };
    for open in needs.open() {
        notes.push(match open {
            Open::Region => "REGION stands for the daemon's own region: give it with --region".to_owned(),
            Open::Account => "ACCOUNT stands for the daemon's own account: give it with --account".to_owned(),
            Open::Roles => format!(
                "TASK_ROLE and EXECUTION_ROLE stand for the roles that task definitions name: write them in their place{online}"
            ),
            Open::Groups => {
                format!("GROUP stands for the log groups that task definitions name: write them in its place{online}")
            }
        });
    }
    let unread = unread.unwrap_or_default();
    notes.extend(
        unread.iter().take(UNREAD_TOLD_MAX).map(|unread| format!("a task definition could not be read: {unread}")),
    );
    if let Some(more @ 1..) = unread.len().checked_sub(UNREAD_TOLD_MAX) {
        notes.push(format!("and {more} more task definitions could not be read"));
    }
    let characters = policy.characters();
    if characters > CHARACTERS_MAX {
        notes.push(format!(
            "{characters} characters are more than the {CHARACTERS_MAX} of a managed policy: put its statements into several, or \
             write a common beginning of families with a `*`"
        ));
    }
    if policy.statement.is_empty() {
        notes.push("nothing needs to be allowed: no job uses these credentials".to_owned());
    }
    notes
}
