//! The shipped unit, as `systemd-analyze` sees it. What it does under a real systemd is `tests/systemd/boot.sh`'s to show.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::harness::{Ended, tenacron};

/// The worst exposure that the unit may have, in tenths, as `systemd-analyze security` counts.
const EXPOSURE_MAX: &str = "12";

fn unit() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/tenacron.service")).expect("it is there")
}

/// What `systemd-analyze` says of the unit; none where there is no systemd. CI installs it.
#[expect(clippy::print_stdout, reason = "whoever runs the tests must know what was not looked at")]
fn analyze(arguments: &[&str]) -> Option<Ended> {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI must have systemd-analyze");
        println!("not looked at: there is no systemd-analyze here");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tenacron.service");
    // It is not installed here: `verify` wants to see the program.
    fs::write(&path, unit().replace("/usr/bin/tenacron", env!("CARGO_BIN_EXE_tenacron"))).expect("written");
    Some(Ended::of(Command::new("systemd-analyze").args(arguments).arg(&path)))
}

#[test]
fn the_unit_is_without_a_mistake() {
    let Some(ended) = analyze(&["verify"]) else { return };
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn the_unit_is_shut_in() {
    let Some(ended) = analyze(&["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE_MAX]) else {
        return;
    };
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("Overall exposure level for tenacron.service: 1."), "{}", ended.stdout);
}

/// `src/cli/exit.rs` says of these that no service manager should restart on them.
#[test]
fn the_unit_restarts_on_nothing_that_a_restart_does_not_mend() {
    use tenacron::cli::exit::Exit;
    let never = [Exit::Usage, Exit::Damaged, Exit::Config].map(|exit| (exit as u8).to_string()).join(" ");
    let unit = unit();
    assert!(unit.lines().any(|line| line == format!("RestartPreventExitStatus={never}")), "{never}");
    assert!(unit.lines().any(|line| line == "Restart=on-failure"));
}

#[test]
fn the_configuration_of_the_package_has_no_mistake() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/tenacron.toml");
    let ended = Ended::of(tenacron().arg("--config").arg(path).arg("validate"));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
}
