//! Packages of other people for tests that compare with them: installed on first use, kept inside the target directory.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A script beside this file.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file!()).with_file_name(name)
}

/// A Python that has these packages, each with its version, in an environment of this name.
pub(crate) fn with(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let venv = folder.join(format!("{name}-venv"));
    let python = venv.join("bin").join("python");
    // Written last: without it the folder is what an interrupted test has left, or holds other versions.
    let ready = venv.join(format!("ready-{}", packages.join("-")));
    let failed = |error: io::Error| format!("failed to prepare {}: {error}", venv.display());
    fs::create_dir_all(folder).map_err(failed)?;
    // Two test processes may come here at once; the second waits and finds the work done.
    let lock = File::create(folder.join(format!("{name}-venv.lock"))).map_err(failed)?;
    lock.lock().map_err(failed)?;
    if !ready.exists() {
        if venv.exists() {
            fs::remove_dir_all(&venv).map_err(failed)?;
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages))?;
        File::create(&ready).map_err(failed)?;
    }
    Ok(python)
}

/// Runs a command to its end and gives what it wrote, or why it failed.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let what = format!("{command:?}");
    let output = command
        .output()
        .map_err(|error| format!("this test needs python3 with its venv module; failed to run {what}: {error}"))?;
    let written = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(written);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("{what} ended with {}:\n{written}{complaint}", output.status))
}
