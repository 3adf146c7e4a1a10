//! What `docs/commands.md` lists is what there is: commands and the codes of findings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::harness::{Ended, tenacron};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn commands_page() -> String {
    fs::read_to_string(root().join("docs/commands.md")).expect("the page is there")
}

/// What stands in backquotes in the first column of the table under a heading.
fn first_column(page: &str, heading: &str) -> Vec<String> {
    let section = page.split_once(&format!("\n## {heading}\n")).expect("the heading is there").1;
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("sources are readable").map(|entry| entry.expect("readable").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let within = folders.into_iter().filter(|folder| !folder.ends_with("tests")).flat_map(|folder| sources(&folder));
    files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")).chain(within).collect()
}

/// A code is the only kind of text in `src/config` that is words in lower case with hyphens between them.
fn codes_of_the_source() -> BTreeSet<String> {
    let is_code = |text: &&str| {
        let words: Vec<&str> = text.split('-').collect();
        let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        *text == "syntax" || (words.len() > 1 && words.iter().all(is_word))
    };
    let mut codes = BTreeSet::new();
    for file in sources(&root().join("src/config")) {
        let text = fs::read_to_string(file).expect("sources are UTF-8");
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in lines {
            codes.extend(line.split('"').skip(1).step_by(2).filter(is_code).map(str::to_owned));
        }
    }
    codes
}

#[test]
fn every_code_of_a_finding_is_documented_once() {
    let listed = first_column(&commands_page(), "Findings of `validate`");
    let codes = codes_of_the_source();
    assert!(codes.len() > 30, "{codes:?}");
    assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), codes);
    assert_eq!(listed.len(), codes.len(), "none is there twice");
}

#[test]
fn every_command_is_documented() {
    let page = commands_page();
    let help = Ended::of(tenacron().arg("--help"));
    let commands = help.stdout.split_once("Commands:").expect("a list").1.split_once("Options:").expect("a list").0;
    let named: Vec<&str> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(named.len() >= 10, "{named:?}");
    for command in named {
        let is_listed = page.lines().any(|line| line.starts_with(&format!("| `{command}")));
        assert!(is_listed, "{command}");
    }
}

/// The functions that are tests, under `src/` and `tests/`.
fn tests_of_the_source() -> BTreeSet<String> {
    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).expect("sources are readable").map(|entry| entry.expect("readable").path());
        let (folders, rust): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
        let rust = rust.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
        rust.chain(folders.into_iter().flat_map(|folder| files(&folder))).collect()
    }
    let name = |line: &str| {
        let (_, rest) = line.split_once("fn ")?;
        Some(rest.split(['(', '<']).next()?.to_owned())
    };
    let mut tests = BTreeSet::new();
    for file in files(&root().join("src")).into_iter().chain(files(&root().join("tests"))) {
        let text = fs::read_to_string(file).expect("sources are UTF-8");
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[") {
                is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            } else {
                tests.extend(name(line).filter(|_| is_test));
                is_test = false;
            }
        }
    }
    tests
}

#[test]
fn every_complaint_about_ecs_has_its_answer_and_its_tests() {
    let page = fs::read_to_string(root().join("docs/pains.md")).expect("the page is there");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")).collect();
    let rows: Vec<&str> = rows.into_iter().filter(|row| !row.starts_with("| ---")).collect();
    let tests = tests_of_the_source();
    for (nth, row) in (1..).zip(&rows) {
        let cells: Vec<&str> = row.split(" | ").collect();
        assert_eq!(cells[0], format!("| {nth}"), "{row}");
        let named: Vec<&str> = cells[3].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row}");
        for test in named {
            assert!(tests.contains(test), "row {nth}: there is no test `{test}`");
        }
    }
    assert_eq!(rows.len(), 30);
}
