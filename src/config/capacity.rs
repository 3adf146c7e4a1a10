//! What a job asks for beside the capacity that it runs on: some of it is for Fargate only, some for instances only.
//!
//! What ECS refuses is an error. What depends on a capacity provider that only the cluster knows is a warning, and nothing is
//! said where the cluster's default strategy decides. Sources: Amazon ECS API reference, RunTask; Amazon ECS developer guide,
//! "Amazon ECS task definition differences for Fargate" and "Amazon ECS clusters for external instances".

use crate::engine::job::Capacity;

use super::file::JobFile;
use super::reader::Field;
use super::report::{Level, Note, Place, Report, shown};
use super::volume::MAGNETIC;

/// Where the tasks of a job run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    Fargate,
    Ec2,
    External,
    /// Instances of whatever kind a capacity provider stands for.
    Provider,
}

impl Host {
    fn of(capacity: &Capacity) -> Option<Host> {
        match capacity {
            Capacity::ClusterDefault => None,
            Capacity::LaunchType(name) => match name.as_str() {
                "FARGATE" => Some(Host::Fargate),
                "EC2" => Some(Host::Ec2),
                "EXTERNAL" => Some(Host::External),
                _ => None,
            },
            Capacity::Strategy(items) => {
                let is_fargate = items.iter().any(|item| is_fargate(&item.capacity_provider));
                Some(if is_fargate { Host::Fargate } else { Host::Provider })
            }
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Host::Fargate => "Fargate",
            Host::Ec2 => "the launch type EC2",
            Host::External => "the launch type EXTERNAL",
            Host::Provider => "a capacity provider other than Fargate's",
        }
    }
}

/// The two providers that every account has.
pub(super) fn is_fargate(provider: &str) -> bool {
    provider == "FARGATE" || provider == "FARGATE_SPOT"
}

/// Reports what the capacity does not take; whether that leaves no error.
pub(super) fn fits(report: &Report, place: Place, name: &str, said: &JobFile) -> bool {
    let Some((capacity, host)) = said.capacity.valid().and_then(|at| Some((at.place, Host::of(&at.value)?))) else {
        return true;
    };
    let mut fits = true;
    for (setting, at, level) in misplaced(said, host) {
        let message = format!("jobs.{}: {setting} is not for {}", shown(name), host.in_words());
        let note = match level {
            Level::Error => Note::error("wrong-capacity", at, message),
            Level::Warning => Note::warning("wrong-capacity", at, message),
        };
        report.add(note.also(Some(capacity), "the capacity").help(format!("remove {setting}, or change the capacity")));
        fits &= level == Level::Warning;
    }
    if host == Host::Fargate && said.network.is_absent() {
        let message = format!("jobs.{}: network is not set, which every task on Fargate needs", shown(name));
        let note = Note::warning("no-network", place, message).also(Some(capacity), "the capacity");
        report.add_absence(note.help("set network = { subnets = […] } here or in [defaults]".to_owned()));
    }
    fits
}

/// The settings that do not belong to a host, each with its place and how sure it is that ECS refuses them.
fn misplaced(said: &JobFile, host: Host) -> Vec<(&'static str, Place, Level)> {
    let mut found = Vec::new();
    let mut check = |setting, place: Option<Place>, level| found.extend(place.map(|place| (setting, place, level)));
    let storage = place_if(&said.overrides, |overrides| overrides.ephemeral_storage_gib.is_some());
    let public_ip = place_if(&said.network, |network| network.assign_public_ip);
    let platform = place_if(&said.platform_version, |_| true);
    match host {
        Host::Fargate => {
            let constraints = place_if(&said.placement_constraints, |items| !items.is_empty());
            let strategy = place_if(&said.placement_strategy, |items| !items.is_empty());
            let devices =
                place_if(&said.container, |items| items.iter().any(|item| !item.resource_requirements.is_empty()));
            let magnetic = place_if(&said.volume_configurations, |items| {
                items.iter().any(|item| item.managed_ebs_volume.volume_type.as_deref() == Some(MAGNETIC))
            });
            check("placement_constraints", constraints, Level::Error);
            check("placement_strategy", strategy, Level::Error);
            check("resource_requirements", devices, Level::Error);
            check("volume_type = \"standard\"", magnetic, Level::Error);
        }
        Host::Ec2 => {
            check("platform_version", platform, Level::Error);
            check("assign_public_ip", public_ip, Level::Error);
            check("ephemeral_storage", storage, Level::Warning);
        }
        Host::External => {
            check("platform_version", platform, Level::Error);
            check("network", place_if(&said.network, |_| true), Level::Error);
            check(
                "volume_configurations",
                place_if(&said.volume_configurations, |items| !items.is_empty()),
                Level::Error,
            );
            check("ephemeral_storage", storage, Level::Warning);
        }
        Host::Provider => {
            check("platform_version", platform, Level::Warning);
            check("assign_public_ip", public_ip, Level::Warning);
            check("ephemeral_storage", storage, Level::Warning);
        }
    }
    found
}

fn place_if<T>(field: &Field<T>, is_set: impl Fn(&T) -> bool) -> Option<Place> {
    field.valid().filter(|at| is_set(&at.value)).map(|at| at.place)
}
