//! The page in a real browser: Debian's chromium, driven by Playwright. What is looked at stands in `browser_drive.py`; the
//! pictures of `docs/page.md` are made by `browser_shots.py`, with a daemon that runs the shipped example jobs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::harness::{SETTINGS, Site};
use super::python;

/// Playwright brings its driver; the second brings axe-core. One version, so that the same test passes tomorrow.
const PACKAGES: [&str; 2] = ["playwright==1.65.2", "axe-playwright-python==0.1.8"];
const BROWSERS: [&str; 2] = ["chromium", "chromium-browser"];
const FULL: &str = "full-token-5d0c2b7e91f34a68";
const READ: &str = "read-token-8c1e6f2a4b7d9035";
const JOBS: &str = r#"
[jobs.flaky]
schedule = "0 3 1 1 *"
timezone = "Europe/Berlin"
task_definition = "flaky"
[[jobs.flaky.container]]
name = "app"
[jobs.slow]
schedule = "0 3 1 1 *"
task_definition = "slow"
[jobs.hostile]
schedule = "0 4 1 1 *"
task_definition = "hostile"
retry = []
[jobs.minutely]
schedule = "* * * * *"
task_definition = "quick"
[local.task_definitions.flaky]
containers = [{ name = "app", command = ["sh", "-c", "test $TENACRON_ATTEMPT -gt 1"] }]
[local.task_definitions.slow]
containers = [{ name = "app", command = ["sleep", "600"] }]
[local.task_definitions.hostile]
containers = [{ name = "app", command = ["sh", "-c", "exit 3"] }]
[local.task_definitions.quick]
containers = [{ name = "app", command = ["true"] }]
"#;

/// The browser; none where there is none. CI installs it.
#[expect(clippy::print_stdout, reason = "whoever runs the tests must know what was not looked at")]
fn browser() -> Option<&'static str> {
    let found = BROWSERS.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must have chromium; .ci/run installs it as root");
        println!("not looked at: there is no chromium here");
    }
    found
}

/// Runs a script beside this file with the browser and what else it needs.
#[expect(clippy::print_stdout, reason = "what was looked at")]
fn drive(script: &str, browser: &str, arguments: &[&str]) {
    let python = python::with("playwright", &PACKAGES).unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new(python);
    command.arg(python::script(script)).arg(browser).args(arguments).env("NO_PROXY", "127.0.0.1");
    let output = python::run(&mut command).unwrap_or_else(|error| panic!("{error}"));
    assert!(output.contains("checks passed"), "{output}");
    print!("{output}");
}

#[test]
fn the_page_shows_what_happens_and_does_what_is_asked() {
    let Some(browser) = browser() else { return };
    let site = Site::new(&format!("{SETTINGS}\n[http]\nlisten = \"127.0.0.1:0\"\n{JOBS}"));
    let (_daemon, address) = site.daemon_on_http(&["run", "--local"]);
    drive("browser_drive.py", browser, &["open", &format!("http://{address}")]);
}

#[test]
fn a_token_lets_a_browser_in() {
    let Some(browser) = browser() else { return };
    let guard = "token_file = \"full\"\nread_token_file = \"readers\"";
    let site = Site::new(&format!("{SETTINGS}\n[http]\nlisten = \"127.0.0.1:0\"\n{guard}\n{JOBS}"));
    for (name, token) in [("full", FULL), ("readers", READ)] {
        site.write(name, token);
        fs::set_permissions(site.path(name), fs::Permissions::from_mode(0o600)).expect("it is ours");
    }
    let (_daemon, address) = site.daemon_on_http(&["run", "--local"]);
    drive("browser_drive.py", browser, &["guarded", &format!("http://{address}"), FULL, READ]);
}

/// The pictures are made by `TENACRON_MAKE_SCREENSHOTS=1 cargo test --test it pictures`; otherwise it is only looked whether there is
/// one of each page in each scheme.
#[test]
fn the_pictures_of_the_pages_are_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots");
    if std::env::var_os("TENACRON_MAKE_SCREENSHOTS").is_some() {
        let browser = browser().expect("pictures need chromium");
        let site = Site::shipped();
        let (_daemon, address) = site.daemon_on_http(&["run", "--local"]);
        drive("browser_shots.py", browser, &[&format!("http://{address}"), &folder.to_string_lossy()]);
    }
    for page in ["overview", "timeline", "run", "job", "runs"] {
        for scheme in ["light", "dark"] {
            let picture = folder.join(format!("{page}-{scheme}.png"));
            assert!(picture.exists(), "{} is missing", picture.display());
        }
    }
}
