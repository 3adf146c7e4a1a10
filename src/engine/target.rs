//! Where tasks run: an account and region of ECS, the way there, and the cluster.
//!
//! A target is frozen with the launch, so that a reload or a restart moves nothing that is in flight. Region and role say
//! which place it is; endpoint and external id are only the way there, which may change while a task runs. So the way is
//! taken from today's configuration where that still knows the place, and from the frozen launch where it does not.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// An account and region of ECS, and the way there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// Its name in the configuration; none for that of `[ecs]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The region; none if it is whatever the daemon's own is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The role that is assumed there; none for the daemon's own credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// What the role's trust policy asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The endpoint; none for the region's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

impl Target {
    /// Whether it says nothing: what is stored then is as it was before there were targets.
    pub(super) fn is_own(self: &Arc<Target>) -> bool {
        **self == Target::default()
    }

    /// The same with a region: this one, if it has none of its own.
    #[must_use]
    pub fn in_region(&self, region: Option<&str>) -> Target {
        Target { region: self.region.clone().or_else(|| region.map(str::to_owned)), ..self.clone() }
    }

    /// What identifies the place: its region and the role, which belongs to an account.
    pub fn place(&self) -> (Option<&str>, Option<&str>) {
        (self.region.as_deref(), self.role_arn.as_deref())
    }

    /// The way to this place by a configuration that may be newer than it.
    ///
    /// Its namesake knows the way, endpoint and external id, while it means the same place. Without one, another target of
    /// the place does if it goes to the same endpoint: where a region is spoken of twice, as a trial beside the real one,
    /// the wrong endpoint knows nothing of the task and would have it launched again. Else the way is the frozen one.
    pub fn way<'t>(&'t self, configured: impl Iterator<Item = &'t Target>) -> &'t Target {
        let mut same_endpoint = None;
        for target in configured.filter(|target| target.place() == self.place()) {
            if target.name == self.name {
                return target;
            }
            if same_endpoint.is_none() && target.endpoint == self.endpoint {
                same_endpoint = Some(target);
            }
        }
        same_endpoint.unwrap_or(self)
    }
}

/// Where tasks run: what one client and one poller are for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site {
    /// The account and region.
    pub target: Arc<Target>,
    /// Short name or ARN of the cluster.
    pub cluster: String,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target.name {
            Some(name) => write!(f, "{} of target {name}", self.cluster),
            None => f.write_str(&self.cluster),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: Option<&str>, region: &str, role: Option<&str>, endpoint: Option<&str>) -> Target {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let external_id = name.map(|name| format!("id of {name}"));
        let (region, role_arn) = (Some(region.to_owned()), text(role));
        Target { name: text(name), region, role_arn, external_id, endpoint: text(endpoint) }
    }

    #[test]
    fn a_namesake_of_the_same_place_knows_the_way_today() {
        let frozen = target(Some("a"), "eu-west-1", Some("role"), Some("http://then"));
        let today = [
            target(None, "eu-west-1", None, None),
            target(Some("b"), "eu-west-1", Some("role"), Some("http://then")),
            target(Some("a"), "eu-west-1", Some("role"), Some("http://now")),
        ];
        assert_eq!(frozen.way(today.iter()), &today[2]);
    }

    #[test]
    fn a_namesake_that_means_another_place_is_not_asked() {
        let frozen = target(Some("a"), "eu-west-1", Some("role"), None);
        for (region, role) in [("eu-west-2", Some("role")), ("eu-west-1", Some("other")), ("eu-west-1", None)] {
            let today = [target(Some("a"), region, role, None)];
            assert_eq!(frozen.way(today.iter()), &frozen, "{region} {role:?}");
        }
    }

    #[test]
    fn a_renamed_target_is_known_by_place_and_endpoint() {
        let frozen = target(Some("old"), "eu-west-1", Some("role"), Some("http://vpc"));
        let renamed = target(Some("new"), "eu-west-1", Some("role"), Some("http://vpc"));
        let trial = target(Some("trial"), "eu-west-1", Some("role"), Some("http://127.0.0.1:1"));
        assert_eq!(frozen.way([&trial, &renamed].into_iter()), &renamed);
        assert_eq!(frozen.way([&trial].into_iter()), &frozen);
    }

    #[test]
    fn a_region_of_its_own_stays() {
        let own = Target::default();
        assert_eq!(own.in_region(Some("eu-west-1")).region.as_deref(), Some("eu-west-1"));
        assert_eq!(own.in_region(Some("eu-west-1")).in_region(Some("eu-west-2")).region.as_deref(), Some("eu-west-1"));
        assert_eq!(own.in_region(None), own);
    }
}
