//! Pythons with a package, for tests that ask a program which is not ours.
//!
//! Each package has a folder of its own inside the target directory, made on first use, so that nothing of the machine's own
//! Python counts. The version is pinned by the test that asks, so that the same test passes tomorrow.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that has `package`, such as `boto3==1.44.5`, and can `import` it.
pub(crate) fn python_with(package: &str, import: &str) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let venv = folder.join(format!("{import}-venv"));
    let python = venv.join("bin").join("python");
    // Written last: without it the folder is what an interrupted test has left, or holds another version.
    let ready = venv.join(format!("ready-{package}"));
    let failed = |error: io::Error| format!("failed to prepare {}: {error}", venv.display());
    fs::create_dir_all(folder).map_err(failed)?;
    // Two test processes may come here at once; the second waits and finds the work done.
    let lock = File::create(folder.join(format!("{import}-venv.lock"))).map_err(failed)?;
    lock.lock().map_err(failed)?;
    if !ready.exists() {
        if venv.exists() {
            fs::remove_dir_all(&venv).map_err(failed)?;
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", package]))?;
        run(Command::new(&python).args(["-c", &format!("import {import}")]))?;
        File::create(&ready).map_err(failed)?;
    }
    Ok(python)
}

/// A script that lies beside the tests.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file!()).with_file_name(name)
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
