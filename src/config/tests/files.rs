//! Trouble with files, and bytes that nobody meant as a configuration.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn of_bytes(bytes: &[u8]) -> Vec<String> {
    let folder = Folder::with(&[]);
    fs::write(folder.path("main.toml"), bytes).unwrap();
    folder.findings()
}

fn jobs(count: usize) -> String {
    let mut text = AROUND.to_owned();
    for number in 0..count {
        writeln!(text, "[jobs.job-{number}]\nschedule = '{} 3 * * *'\ntask_definition = 'nightly'", number % 60)
            .unwrap();
        writeln!(text, "container = [{{ name = 'app', environment = {{ NUMBER = '{number}' }} }}]").unwrap();
    }
    text
}

#[test]
fn an_empty_file_is_an_error() {
    assert_eq!(of_bytes(b""), ["empty-file main.toml:-:-"]);
    assert_eq!(of_bytes(b"# nothing\n\n"), ["empty-file main.toml:-:-"]);
}

#[test]
fn a_file_that_is_no_text_is_an_error_and_nothing_more() {
    assert_eq!(of_bytes(b"\x7fELF\0\0\0\x01\xff\xfe"), ["not-text main.toml:-:-"]);
    assert_eq!(of_bytes(b"a = 'x'\0"), ["not-text main.toml:-:-"]);
    assert_eq!(of_bytes(b"a = '\xff'\n"), ["not-text main.toml:-:-"]);
    assert_eq!(of_bytes(b"\xff\xfea\0"), ["not-text main.toml:-:-"]);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_accepted() {
    let text = format!("\u{feff}{}", job_with("overlap = 'x'").replace('\n', "\r\n"));
    assert_eq!(of_bytes(text.as_bytes()), ["bad-value main.toml:8:11"]);
}

#[test]
fn a_file_that_is_not_there_is_an_error_and_nothing_more() {
    assert_eq!(Folder::with(&[]).findings(), ["missing-file main.toml:-:-"]);
    assert_eq!(Folder::with(&[("main.toml/x", "")]).findings(), ["not-a-file main.toml:-:-"]);
    assert_eq!(
        Folder::with(&[("main.toml", &job_with("")), ("jobs.d/a.toml/x", "")]).findings(),
        ["not-a-file jobs.d/a.toml:-:-"]
    );
    assert_eq!(Folder::with(&[("main.toml", &job_with("")), ("jobs.d", "")]).findings(), ["not-a-file jobs.d:-:-"]);
}

#[cfg(unix)]
#[test]
fn a_dangling_link_a_device_and_a_locked_file_are_errors() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = Folder::with(&[("main.toml", &job_with("")), ("jobs.d/b.toml", "")]);
    symlink("nowhere", folder.path("jobs.d/a.toml")).unwrap();
    symlink("/dev/zero", folder.path("jobs.d/c.toml")).unwrap();
    fs::set_permissions(folder.path("jobs.d/b.toml"), fs::Permissions::from_mode(0o000)).unwrap();
    // Whoever may read everything finds the locked file empty.
    let is_locked = fs::read(folder.path("jobs.d/b.toml")).is_err();
    let mut expected = vec!["missing-file jobs.d/a.toml:-:-", "not-a-file jobs.d/c.toml:-:-"];
    expected.insert(
        if is_locked { 1 } else { 2 },
        if is_locked { "unreadable-file jobs.d/b.toml:-:-" } else { "empty-file jobs.d/b.toml:-:-" },
    );
    assert_eq!(folder.findings(), expected);
}

#[test]
fn a_missing_default_of_an_unreadable_main_file_is_no_second_mistake() {
    let folder = Folder::with(&[("jobs.d/a.toml", "[jobs.a]\nschedule = '@daily'\n")]);
    assert_eq!(folder.findings(), ["missing-file main.toml:-:-"]);
}

#[test]
fn five_megabytes_of_jobs_load() {
    let text = jobs(40_000);
    assert!(text.len() > 5 << 20, "{}", text.len());
    assert_eq!(clean(&text).jobs.len(), 40_000);
}

#[test]
fn five_megabytes_of_findings_in_one_line_stay_bounded() {
    let entries: Vec<String> =
        (0..40_000).map(|number| format!("j{number} = {{ schedule = 'x', overlap = 'ä', zone = 1 }}")).collect();
    let loaded =
        main_file(&format!("instance = 'i'\ndefaults.cluster = 'c'\njobs = {{ {} }}\n", entries.join(", "))).load();
    assert_eq!(loaded.findings.len(), 5 * 40_000);
    let rendered = loaded.render(false);
    assert!(rendered.len() < 300_000 && rendered.contains("and 199900 more"), "{}", rendered.len());
}

#[test]
fn five_megabytes_of_garbage_make_a_bounded_report() {
    for garbage in ["]\n", "= [", "\u{1}x'''", "[[[[", "a = 1\n"] {
        let loaded = main_file(&garbage.repeat((5 << 20) / garbage.len())).load();
        assert!(loaded.config.is_none() && !loaded.findings.is_empty() && loaded.findings.len() < 10, "{garbage:?}");
        assert!(loaded.render(false).len() < 10_000, "{garbage:?}");
    }
    let listed = main_file(&"]\n".repeat(1_000)).load();
    assert_eq!(
        (listed.findings.len(), listed.findings[0].message.as_str()),
        (201, "the file has 800 more syntax mistakes")
    );
}

#[test]
fn an_overlong_name_is_quoted_in_part() {
    let loaded = main_file(&format!("{AROUND}[jobs.'{}\\n']\n", "\u{1b}[31mx".repeat(10_000))).load();
    assert!(loaded.findings.iter().all(|finding| finding.message.len() < 1_000));
    assert!(!loaded.render(false).contains('\u{1b}'), "a terminal must not obey a file");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        of_bytes(&bytes);
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        main_file(&text).rendered();
    }

    #[test]
    fn arbitrary_pieces_of_toml_never_panic(pieces in proptest::collection::vec(0usize..PIECES.len(), 0..60)) {
        let text: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
        let loaded = main_file(&text).load();
        loaded.render(true);
        let is_refused = loaded.findings.iter().any(|finding| finding.level == Level::Error);
        prop_assert_eq!(loaded.config.is_none(), is_refused);
        for finding in &loaded.findings {
            let line = finding.line.map(|line| text.split('\n').nth(line - 1).map(|line| line.chars().count() + 1));
            prop_assert!(line.is_none_or(|columns| columns >= finding.column), "{:?} in {:?}", finding, text);
        }
    }
}

/// What a configuration is made of, to be put together wrongly.
const PIECES: [&str; 30] = [
    "[jobs.a]\n",
    "[jobs.b]\n",
    "[[jobs.a.retry]]\n",
    "[jobs.a.retry]\n",
    "[[jobs.a.container]]\n",
    "[defaults]\n",
    "[ecs]\n",
    "[local.task_definitions.t]\n",
    "schedule",
    "timeout",
    "error_equals",
    "retry",
    "tags",
    "cluster",
    "name",
    " = ",
    ".",
    "'@daily'\n",
    "\"ä\\n",
    "'''",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\n",
    "1e400",
    "'1h'\n",
    "#",
    "\t",
];
