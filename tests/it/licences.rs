//! The licences and bans of `deny.toml`, checked against the lock file's crates without any tool to install.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// The crates of a build for this machine. Those of other systems are in the lock file too, but a machine that only built
/// Tenacron has never fetched them.
fn packages() -> Vec<Value> {
    let libc = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    let target = format!("{}-unknown-linux-{libc}", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &target])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    metadata["packages"].as_array().expect("a list of packages").clone()
}

fn rules() -> toml::Table {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).expect("deny.toml is there");
    text.parse().expect("deny.toml is TOML")
}

/// Whether one way through an SPDX expression is made of allowed licences only.
fn is_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    flat.split(" OR ").any(|way| way.split(" AND ").all(|licence| allowed.contains(licence.trim())))
}

#[test]
fn every_crate_has_an_allowed_licence() {
    let rules = rules();
    let allowed: BTreeSet<&str> =
        rules["licenses"]["allow"].as_array().expect("a list").iter().filter_map(toml::Value::as_str).collect();
    let packages = packages();
    assert!(packages.len() > 100, "the whole tree is looked at");
    let refused: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(|licence| is_allowed(licence, &allowed)))
        .map(|package| format!("{}: {}", package["name"], package["license"]))
        .collect();
    assert!(refused.is_empty(), "not allowed by deny.toml: {refused:#?}");
}

#[test]
fn no_banned_crate_is_in_the_tree() {
    let rules = rules();
    let packages = packages();
    for ban in rules["bans"]["deny"].as_array().expect("a list") {
        let banned = ban["crate"].as_str().expect("a crate");
        let (name, version) = banned.split_once('@').unwrap_or((banned, ""));
        let found = packages.iter().find(|package| {
            package["name"] == name && package["version"].as_str().is_some_and(|found| found.starts_with(version))
        });
        assert!(found.is_none(), "{banned} is in the tree: {:?}", ban["reason"]);
    }
}
