//! Names the commit that `tenacron --version` shows: what `TENACRON_COMMIT` says, for a build without the history such as that
//! of an image, else that of the checkout, else "unknown".

use std::process::Command;

/// As many characters as tell commits apart.
const SHOWN: usize = 12;

fn main() {
    let commit = told().or_else(checked_out).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=TENACRON_COMMIT={commit}");
    println!("cargo::rerun-if-env-changed=TENACRON_COMMIT");
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/refs/heads");
}

fn told() -> Option<String> {
    let told = std::env::var("TENACRON_COMMIT").ok()?;
    let is_commit = !told.is_empty() && told.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_commit.then(|| told.chars().take(SHOWN).collect())
}

fn checked_out() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", &format!("--short={SHOWN}"), "HEAD"]).output().ok()?;
    let text = output.status.success().then(|| String::from_utf8(output.stdout).ok())??;
    Some(text.trim().to_owned())
}
