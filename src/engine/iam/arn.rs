//! ARNs: taken apart where the configuration has one, put together where it has only a name.

use std::fmt;

use super::Open;

/// In the place of a region that is not known.
pub(super) const REGION: &str = "REGION";
/// In the place of an account that is not known.
pub(super) const ACCOUNT: &str = "ACCOUNT";

/// The parts of an ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arn<'a> {
    /// `aws`, `aws-cn`, …
    pub partition: &'a str,
    /// Such as `ecs`.
    pub service: &'a str,
    /// Empty for what has none.
    pub region: &'a str,
    /// Empty for what has none.
    pub account: &'a str,
    /// All the rest.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Takes it apart; none if it is no ARN.
    pub fn parse(text: &'a str) -> Option<Arn<'a>> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next();
        (next()? == "arn").then_some(())?;
        Some(Arn { partition: next()?, service: next()?, region: next()?, account: next()?, resource: next()? })
    }
}

impl fmt::Display for Arn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arn { partition, service, region, account, resource } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

/// The account and region that names without an ARN belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    partition: String,
    region: String,
    account: String,
}

impl Place {
    /// A place, with `REGION` and `ACCOUNT` for what is not known. `partition` is what a region that is not known
    /// leaves open.
    pub fn new(partition: Option<&str>, region: Option<&str>, account: Option<&str>) -> Place {
        Place {
            partition: region.map(partition_of).or(partition).unwrap_or("aws").to_owned(),
            region: region.unwrap_or(REGION).to_owned(),
            account: account.unwrap_or(ACCOUNT).to_owned(),
        }
    }

    /// The same in another region.
    pub(super) fn in_region(&self, region: &str) -> Place {
        Place::new(None, Some(region), Some(&self.account))
    }

    /// The same in another account.
    pub(super) fn in_account(&self, account: &str) -> Place {
        Place { account: account.to_owned(), ..self.clone() }
    }

    /// What has a region and an account.
    pub(super) fn arn(&self, service: &str, resource: &str) -> String {
        let Place { partition, region, account } = self;
        Arn { partition, service, region, account, resource }.to_string()
    }

    /// A role, which has no region.
    pub fn role(&self, name: &str) -> String {
        let Place { partition, account, .. } = self;
        let resource = format!("role/{name}");
        Arn { partition, service: "iam", region: "", account, resource: &resource }.to_string()
    }

    /// What of it is not known.
    pub(super) fn open(&self) -> impl Iterator<Item = Open> {
        let region = (self.region == REGION).then_some(Open::Region);
        region.into_iter().chain((self.account == ACCOUNT).then_some(Open::Account))
    }
}

/// The partition of a region. Source: AWS General Reference, "Amazon Resource Names (ARNs)"; the table `partitions.json` of
/// the SDKs.
fn partition_of(region: &str) -> &'static str {
    let partitions = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-isob-", "aws-iso-b"),
        ("us-isof-", "aws-iso-f"),
        ("us-iso-", "aws-iso"),
        ("eu-isoe-", "aws-iso-e"),
        ("eusc-", "aws-eusc"),
    ];
    let found = partitions.iter().find(|(prefix, _)| region.starts_with(prefix));
    found.map_or("aws", |(_, partition)| partition)
}

/// Text of the configuration in a policy, where `*`, `?` and `$` would have a meaning. Source: IAM user guide, "IAM policy
/// elements: Variables and tags", special characters.
pub(super) fn literal(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '*' | '?' | '$' => escaped.extend(['$', '{', character, '}']),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_put_together_as_it_was_taken_apart() {
        for text in
            ["arn:aws:iam::123456789012:role/path/name", "arn:aws-cn:ecs:cn-north-1:123456789012:task-definition/job:7"]
        {
            assert_eq!(Arn::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "batch", "arn:aws:ecs", "urn:aws:ecs:eu-west-1:1:cluster/a"] {
            assert_eq!(Arn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_region_has_its_partition() {
        for (region, partition) in [
            ("eu-central-1", "aws"),
            ("cn-northwest-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
        ] {
            let place = Place::new(Some("aws"), Some(region), None);
            assert_eq!(place.role("r"), format!("arn:{partition}:iam::ACCOUNT:role/r"), "{region}");
        }
        let open = Place::new(Some("aws-cn"), None, Some("123456789012"));
        assert_eq!(open.arn("sqs", "q"), "arn:aws-cn:sqs:REGION:123456789012:q");
        assert_eq!(open.open().collect::<Vec<_>>(), [Open::Region]);
        assert_eq!(open.in_region("cn-north-1").open().count(), 0);
    }

    #[test]
    fn what_has_a_meaning_in_a_policy_loses_it() {
        assert_eq!(literal("arn:aws:iam::1:role/a*b?$c"), "arn:aws:iam::1:role/a${*}b${?}${$}c");
    }
}
