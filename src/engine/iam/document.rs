//! The grammar of policies, as far as it is used here. Source: IAM user guide, "Grammar of the IAM JSON policy language".

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// The longest managed policy, in characters without white space. Source: IAM user guide, "IAM and AWS STS quotas".
pub const CHARACTERS_MAX: usize = 6_144;

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    /// Of the grammar.
    pub version: &'static str,
    /// What is allowed.
    pub statement: Vec<Statement>,
}

/// One thing that is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// Its name within the policy; a trust policy has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// `Allow`.
    pub effect: &'static str,
    /// Who is allowed; only in a trust policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<BTreeMap<&'static str, String>>,
    /// What.
    pub action: Words,
    /// On what; not in a trust policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Words>,
    /// By operator and key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub condition: BTreeMap<&'static str, BTreeMap<&'static str, Words>>,
}

/// Strings of a policy, in order; one alone stands without brackets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Words {
    /// Exactly one.
    One(String),
    /// None or several.
    Several(BTreeSet<String>),
}

impl<W: Into<String>> FromIterator<W> for Words {
    fn from_iter<I: IntoIterator<Item = W>>(words: I) -> Words {
        let mut words: BTreeSet<String> = words.into_iter().map(Into::into).collect();
        match words.pop_first() {
            Some(only) if words.is_empty() => Words::One(only),
            first => {
                words.extend(first);
                Words::Several(words)
            }
        }
    }
}

impl Document {
    pub(super) fn new(statement: Vec<Statement>) -> Document {
        Document { version: "2012-10-17", statement }
    }

    /// How long IAM finds it.
    pub fn characters(&self) -> usize {
        // Without white space, as no string here holds any.
        serde_json::to_string(self).map_or(0, |text| text.chars().count())
    }
}

impl Statement {
    pub(super) fn allow(sid: &str, actions: &[&str], resources: Words) -> Statement {
        Statement {
            sid: Some(sid.to_owned()),
            effect: "Allow",
            principal: None,
            action: actions.iter().copied().collect(),
            resource: Some(resources),
            condition: BTreeMap::new(),
        }
    }

    pub(super) fn only_if(mut self, operator: &'static str, key: &'static str, values: Words) -> Statement {
        self.condition.entry(operator).or_default().insert(key, values);
        self
    }
}

/// The trust policy by which `daemon`, a role or an account, assumes a role; with these external ids, if there are any.
pub fn trust(daemon: &str, external_ids: &BTreeSet<&str>) -> Document {
    let statement = Statement {
        sid: None,
        effect: "Allow",
        principal: Some(BTreeMap::from([("AWS", daemon.to_owned())])),
        action: Words::One("sts:AssumeRole".to_owned()),
        resource: None,
        condition: BTreeMap::new(),
    };
    let statement = match external_ids.is_empty() {
        true => statement,
        false => statement.only_if("StringEquals", "sts:ExternalId", external_ids.iter().copied().collect()),
    };
    Document::new(vec![statement])
}
