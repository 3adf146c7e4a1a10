//! ARNs, written and read.
//!
//! A caller may name a cluster, a task or a task definition by its short name or by its ARN. An ARN of another region or account
//! names nothing here, so it is compared as a whole and not only by its last part.

/// The region and account that all ARNs of this endpoint carry.
#[derive(Debug, Clone)]
pub(super) struct Names {
    region: String,
    account: String,
}

impl Names {
    pub(super) fn new(region: &str, account: &str) -> Self {
        Self { region: region.to_owned(), account: account.to_owned() }
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    pub(super) fn cluster(&self, name: &str) -> String {
        self.arn("cluster", name)
    }

    pub(super) fn task(&self, cluster: &str, id: &str) -> String {
        self.arn("task", &format!("{cluster}/{id}"))
    }

    pub(super) fn container(&self, cluster: &str, task: &str, id: &str) -> String {
        self.arn("container", &format!("{cluster}/{task}/{id}"))
    }

    pub(super) fn definition(&self, family: &str, revision: u32) -> String {
        self.arn("task-definition", &format!("{family}:{revision}"))
    }

    /// The name of the cluster that `given`, a name or an ARN, means.
    pub(super) fn cluster_name<'a>(&self, given: &'a str) -> Option<&'a str> {
        self.short(given, &self.cluster(""))
    }

    /// The id of the task of `cluster` that `given`, an id or an ARN, means.
    pub(super) fn task_id<'a>(&self, cluster: &str, given: &'a str) -> Option<&'a str> {
        self.short(given, &self.task(cluster, ""))
    }

    /// The family, and the revision if one is given, that `given`, short or an ARN, means.
    pub(super) fn family<'a>(&self, given: &'a str) -> Option<(&'a str, Option<u32>)> {
        let short = self.short(given, &self.arn("task-definition", ""))?;
        match short.split_once(':') {
            None => Some((short, None)),
            Some((family, revision)) => Some((family, Some(revision.parse().ok()?))),
        }
    }

    fn arn(&self, kind: &str, name: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{kind}/{name}", self.region, self.account)
    }

    fn short<'a>(&self, given: &'a str, prefix: &str) -> Option<&'a str> {
        if given.starts_with("arn:") { given.strip_prefix(prefix) } else { Some(given) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_and_arns_mean_the_same() {
        let names = Names::new("eu-central-1", "123456789012");
        let arn = names.task("batch", "0af3");
        assert_eq!(arn, "arn:aws:ecs:eu-central-1:123456789012:task/batch/0af3");
        assert_eq!(names.task_id("batch", &arn), Some("0af3"));
        assert_eq!(names.task_id("batch", "0af3"), Some("0af3"));
        assert_eq!(names.cluster_name(&names.cluster("batch")), Some("batch"));
        assert_eq!(names.family("hello"), Some(("hello", None)));
        assert_eq!(names.family(&names.definition("hello", 7)), Some(("hello", Some(7))));
    }

    #[test]
    fn an_arn_of_elsewhere_names_nothing() {
        let here = Names::new("eu-central-1", "123456789012");
        let there = Names::new("eu-west-1", "123456789012");
        assert_eq!(here.task_id("batch", &there.task("batch", "0af3")), None);
        assert_eq!(here.task_id("other", &here.task("batch", "0af3")), None);
        assert_eq!(here.cluster_name(&there.cluster("batch")), None);
        assert_eq!(here.family("hello:latest"), None);
    }
}
