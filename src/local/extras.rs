//! What a launch may ask for that makes no difference to a process of this machine: checked as ECS would, and shown.
//!
//! Volumes are not made and instances not chosen, but a request that ECS refuses for them should not succeed here.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::wire::Refusal;

const CONSTRAINTS_MAX: usize = 10;
const STRATEGIES_MAX: usize = 5;
const VOLUMES_MAX: usize = 1;
const ENVIRONMENT_FILES_MAX: usize = 10;

/// The members of RunTask that this endpoint checks and does not use.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Extras {
    placement_constraints: Vec<Value>,
    placement_strategy: Vec<Value>,
    volume_configurations: Vec<Volume>,
    network_configuration: Value,
    enable_execute_command: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Volume {
    name: String,
    #[serde(rename = "managedEBSVolume")]
    managed_ebs_volume: Option<Map<String, Value>>,
}

impl Extras {
    /// Refuses what ECS would, for this launch type if one is named.
    pub(super) fn check(
        &self,
        launch_type: Option<&str>,
        platform_version: Option<&str>,
        overrides: Option<&Value>,
    ) -> Result<(), Refusal> {
        let places = self.placement_constraints.len() + self.placement_strategy.len();
        let public_ip = self.network_configuration.pointer("/awsvpcConfiguration/assignPublicIp");
        let containers = overrides.and_then(|overrides| overrides["containerOverrides"].as_array());
        let files = |container: &Value| container["environmentFiles"].as_array().map_or(0, Vec::len);
        let rules = [
            (self.placement_constraints.len() > CONSTRAINTS_MAX, "placementConstraints length must be at most 10."),
            (self.placement_strategy.len() > STRATEGIES_MAX, "placementStrategy length must be at most 5."),
            (
                places > 0 && launch_type == Some("FARGATE"),
                "Placement constraints and strategies are not supported with FARGATE launch type.",
            ),
            (
                platform_version.is_some() && launch_type == Some("EC2"),
                "The platform version must be null when specifying an EC2 launch type.",
            ),
            (
                public_ip.is_some_and(|public_ip| public_ip == "ENABLED") && launch_type == Some("EC2"),
                "Assign public IP is not supported for this launch type.",
            ),
            (self.volume_configurations.len() > VOLUMES_MAX, "Only one volume can be configured at launch."),
            (
                self.volume_configurations.iter().any(|volume| volume.name.is_empty() || !volume.is_complete()),
                "A volume needs a name, a roleArn, and either sizeInGiB or snapshotId.",
            ),
            (
                containers.into_iter().flatten().any(|container| files(container) > ENVIRONMENT_FILES_MAX),
                "environmentFiles length must be at most 10.",
            ),
        ];
        match rules.into_iter().find(|(is_broken, _)| *is_broken) {
            Some((_, message)) => Err(Refusal::invalid(message)),
            None => Ok(()),
        }
    }

    /// The members of DescribeTasks that follow from the request alone.
    pub(super) fn shown(&self, overrides: Option<&Value>) -> Map<String, Value> {
        let attachments: Vec<Value> = self.volume_configurations.iter().map(Volume::attachment).collect();
        let mut shown = Map::new();
        shown.insert("enableExecuteCommand".to_owned(), json!(self.enable_execute_command));
        shown.insert("attachments".to_owned(), json!(attachments));
        for member in ["cpu", "memory", "ephemeralStorage"] {
            if let Some(value) = overrides.and_then(|overrides| overrides.get(member)) {
                shown.insert(member.to_owned(), value.clone());
            }
        }
        shown
    }
}

impl Volume {
    fn is_complete(&self) -> bool {
        self.managed_ebs_volume.as_ref().is_some_and(|volume| {
            volume.contains_key("roleArn") && (volume.contains_key("sizeInGiB") || volume.contains_key("snapshotId"))
        })
    }

    fn attachment(&self) -> Value {
        let named = |name: &str, value: String| json!({ "name": name, "value": value });
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let members =
            self.managed_ebs_volume.iter().flatten().filter(|(_, value)| !value.is_object() && !value.is_array());
        let details = members.map(|(name, value)| named(name, text(value)));
        let details: Vec<Value> = std::iter::once(named("volumeName", self.name.clone())).chain(details).collect();
        json!({
            "id": Uuid::new_v4().to_string(),
            "type": "AmazonElasticBlockStorage",
            "status": "ATTACHED",
            "details": details,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(body: Value, launch_type: Option<&str>) -> Option<String> {
        let extras: Extras = serde_json::from_value(body.clone()).unwrap();
        let platform = body["platformVersion"].as_str();
        extras.check(launch_type, platform, body.get("overrides")).err().map(|refusal| {
            assert_eq!(refusal.code, "InvalidParameterException");
            refusal.message
        })
    }

    #[test]
    fn each_limit_is_refused_one_past_it_and_not_at_it() {
        let constraints =
            |count: usize| json!({ "placementConstraints": vec![json!({ "type": "distinctInstance" }); count] });
        let strategy = |count: usize| json!({ "placementStrategy": vec![json!({ "type": "random" }); count] });
        let volume = json!({ "name": "v", "managedEBSVolume": { "roleArn": "r", "sizeInGiB": 1 } });
        let volumes = |count: usize| json!({ "volumeConfigurations": vec![volume.clone(); count] });
        let file = json!({ "value": "arn:aws:s3:::b/a.env", "type": "s3" });
        let files = |count: usize| json!({ "overrides": { "containerOverrides": [{ "environmentFiles": vec![file.clone(); count] }] } });
        for (good, bad) in [
            (constraints(10), constraints(11)),
            (strategy(5), strategy(6)),
            (volumes(1), volumes(2)),
            (files(10), files(11)),
        ] {
            assert_eq!(checked(good, None), None);
            assert!(checked(bad.clone(), None).is_some(), "{bad}");
        }
        for incomplete in [json!({ "roleArn": "r" }), json!({ "sizeInGiB": 1 }), Value::Null] {
            let body = json!({ "volumeConfigurations": [{ "name": "v", "managedEBSVolume": incomplete }] });
            assert!(checked(body.clone(), None).is_some(), "{body}");
        }
    }

    #[test]
    fn what_a_launch_type_does_not_take_is_refused_for_it_alone() {
        let public = json!({ "networkConfiguration": { "awsvpcConfiguration": { "assignPublicIp": "ENABLED" } } });
        for (body, refused_on, taken_on) in [
            (json!({ "placementStrategy": [{ "type": "random" }] }), "FARGATE", "EC2"),
            (json!({ "platformVersion": "1.4.0" }), "EC2", "FARGATE"),
            (public, "EC2", "FARGATE"),
        ] {
            assert!(checked(body.clone(), Some(refused_on)).is_some(), "{body}");
            assert_eq!(checked(body.clone(), Some(taken_on)), None, "{body}");
            assert_eq!(checked(body, None), None);
        }
    }
}
