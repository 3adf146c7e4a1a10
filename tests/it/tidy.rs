//! The rules of `docs/architecture.md` that a machine can check: who may import whom, what the pure core must not touch,
//! how long a file may be, and that nothing is left open.

use std::fs;
use std::path::{Path, PathBuf};

/// Who may import which of our modules; the diagram of `docs/architecture.md`.
const MAY_IMPORT: [(&str, &[&str]); 11] = [
    ("engine", &[]),
    ("local", &[]),
    ("outbound", &[]),
    ("notify", &["engine", "outbound"]),
    ("config", &["engine", "local", "notify"]),
    ("store", &["engine"]),
    ("ecs", &["engine", "notify", "outbound"]),
    ("observe", &["engine", "store"]),
    ("daemon", &["engine", "store", "ecs", "notify", "observe", "outbound"]),
    ("web", &["engine", "store", "daemon", "observe"]),
    ("cli", &["engine", "local", "outbound", "notify", "config", "store", "ecs", "observe", "daemon", "web"]),
];

/// What the pure core never names, and why.
const BANNED_IN_ENGINE: [(&str, &str); 10] = [
    ("tokio", "it never awaits"),
    ("async ", "it never awaits"),
    ("aws_", "it knows facts, not SDK types"),
    ("tracing", "it never logs"),
    ("std::fs", "it reads no file"),
    ("std::net", "it has no socket"),
    ("std::env", "it reads no environment"),
    ("rusqlite", "it has no store"),
    ("Utc::now", "time is an argument"),
    ("Instant::now", "time is an argument"),
];

/// The only files that read a clock: the daemon's, and the local endpoint's, which stands for another machine.
const CLOCKS: [&str; 2] = ["src/daemon/clock.rs", "src/local/clock.rs"];

const LINES_MAX: usize = 450;

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines before its tests.
    fn lines(&self) -> Vec<&str> {
        let lines: Vec<&str> = self.text.lines().collect();
        let is_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{');
        let end = lines.windows(2).position(is_tests).unwrap_or(lines.len());
        lines[..end].to_vec()
    }

    /// The code before its tests, without comments.
    fn code(&self) -> String {
        let lines = self.lines().into_iter();
        lines.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The top-level module that the file belongs to.
    fn module(&self) -> &str {
        let inside = self.path.trim_start_matches("src/");
        inside.split(['/', '.']).next().unwrap_or_default()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let found = sources_below("src");
    assert!(found.len() > 30, "the whole of src is looked at");
    found
}

fn sources_below(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("sources are readable") {
            let path: PathBuf = entry.expect("sources are readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                let path = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
                found.push(Source { path, text });
            }
        }
    }
    found
}

fn complain(mistakes: &[String]) {
    assert!(mistakes.is_empty(), "\n{}\n", mistakes.join("\n"));
}

#[test]
fn modules_import_only_along_the_diagram() {
    let mut mistakes = Vec::new();
    for source in sources() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(module, _)| *module == source.module()) else { continue };
        for (other, _) in MAY_IMPORT {
            let is_named = source.code().contains(&format!("crate::{other}"));
            if is_named && other != source.module() && !allowed.contains(&other) {
                mistakes.push(format!("{}: must not import crate::{other}", source.path));
            }
        }
        if source.code().contains("use crate::{") {
            mistakes.push(format!("{}: import our modules one by one, so that this test sees them", source.path));
        }
    }
    complain(&mistakes);
}

#[test]
fn every_module_has_its_place_in_the_diagram() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs is there");
    let declared: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "))
        .filter_map(|rest| rest.strip_suffix(';'))
        .collect();
    for module in &declared {
        assert!(MAY_IMPORT.iter().any(|(known, _)| known == module), "{module} is missing in tidy.rs");
    }
    assert_eq!(declared.len(), MAY_IMPORT.len());
}

#[test]
fn the_engine_is_pure() {
    let mut mistakes = Vec::new();
    for source in sources().iter().filter(|source| source.module() == "engine") {
        for (banned, why) in BANNED_IN_ENGINE {
            if source.code().contains(banned) {
                mistakes.push(format!("{}: names `{banned}`, but {why}", source.path));
            }
        }
    }
    complain(&mistakes);
}

#[test]
fn crates_stay_behind_their_doors() {
    let doors = [
        ("aws_sdk_", "src/ecs/"),
        ("aws_config", "src/ecs/"),
        ("rusqlite", "src/store/"),
        ("cron::", "src/engine/schedule/"),
        ("backoff::", "src/engine/retry.rs"),
        ("toml::", "src/config/"),
        ("clap", "src/cli/"),
    ];
    let mut mistakes = Vec::new();
    for source in sources() {
        for (name, door) in doors {
            let is_named = source
                .code()
                .split(|c: char| !(c.is_alphanumeric() || "_:".contains(c)))
                .any(|word| word.starts_with(name));
            if is_named && !source.path.starts_with(door) {
                mistakes.push(format!("{}: names {name}, which belongs to {door}", source.path));
            }
        }
    }
    complain(&mistakes);
}

#[test]
fn clocks_are_read_in_one_place() {
    let mut mistakes = Vec::new();
    for source in sources().iter().filter(|source| !CLOCKS.contains(&source.path.as_str())) {
        for clock in ["Utc::now()", "SystemTime::now()", "Local::now()"] {
            if source.code().contains(clock) {
                mistakes.push(format!("{}: reads {clock}", source.path));
            }
        }
    }
    complain(&mistakes);
}

#[test]
fn files_are_short_documented_and_finished() {
    let mut mistakes = Vec::new();
    for source in sources() {
        let lines = source.lines().len();
        if lines > LINES_MAX && !source.is_test() {
            mistakes.push(format!("{}: {lines} lines; split it by duty", source.path));
        }
        if !source.text.starts_with("//!") {
            mistakes.push(format!("{}: begins without saying what it is for", source.path));
        }
        for left_open in
            [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("unimple", "mented!"), concat!("to", "do!")]
        {
            if source.text.contains(left_open) {
                mistakes.push(format!("{}: {left_open} is left", source.path));
            }
        }
    }
    complain(&mistakes);
}

#[test]
fn no_test_sleeps_or_is_ignored() {
    let mut mistakes = Vec::new();
    let of_src = sources().into_iter().filter(Source::is_test);
    for Source { path, text } in sources_below("tests/it").into_iter().chain(of_src) {
        for banned in [concat!("#[ig", "nore"), concat!("thread::sl", "eep"), concat!("time::sl", "eep(")] {
            if text.contains(banned) {
                mistakes.push(format!("{path}: {banned}"));
            }
        }
    }
    complain(&mistakes);
}

/// Names such as `perform.rs::STOPS_MAX` in the architecture: the file is there, and the name is in it.
#[test]
fn the_architecture_names_what_there_is() {
    let text = fs::read_to_string(root().join("docs/architecture.md")).expect("the document is there");
    let files: Vec<Source> = sources().into_iter().chain(sources_below("tests/it")).collect();
    let mut mistakes = Vec::new();
    let quoted: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    let named = quoted.iter().filter_map(|quoted| quoted.split_once(".rs::"));
    for (file, name) in named.clone() {
        let is_named = |source: &Source| {
            let path = format!("/{}", source.path);
            path.ends_with(&format!("/{file}.rs")) && source.text.contains(name)
        };
        if !files.iter().any(is_named) {
            mistakes.push(format!("docs/architecture.md: there is no {name} in {file}.rs"));
        }
    }
    assert!(named.count() > 20, "the names are found");
    complain(&mistakes);
}
