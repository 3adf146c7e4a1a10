//! Findings letter by letter: what a person reads is part of the product.

use super::*;

#[track_caller]
fn assert_rendered(folder: &Folder, expected: &str) {
    let rendered = folder.rendered();
    assert!(rendered == expected.trim_start_matches('\n'), "this was rendered:\n{rendered}");
}

#[test]
fn an_unknown_key_shows_the_line_and_what_is_accepted() {
    let folder = main_file(&format!("{}\n[ecs]\npoll_intervall = \"5s\"\n", job_with("").trim()));
    assert_rendered(
        &folder,
        r#"
error[unknown-key]: ecs: unknown key `poll_intervall`, did you mean `poll_interval`?
 --> main.toml:9:1
  |
9 | poll_intervall = "5s"
  | ^^^^^^^^^^^^^^
  |
  = help: accepted here: region, endpoint, poll_interval, launch_rate, launch_burst, describe_rate, events_queue

1 error, 0 warnings
"#,
    );
}

#[test]
fn a_bad_schedule_puts_the_caret_under_the_field() {
    let folder = main_file(&job_with("").replace("'@daily'", "[\"@hourly\", \"0 25 * * *\"]"));
    assert_rendered(
        &folder,
        r#"
error[bad-schedule]: jobs.a.schedule: hour "25" is out of range: 0-23
 --> main.toml:6:27
  |
6 | schedule = ["@hourly", "0 25 * * *"]
  |                           ^^

1 error, 0 warnings
"#,
    );
}

#[test]
fn an_unknown_zone_is_answered_with_the_nearest() {
    assert_rendered(
        &main_file(&job_with("timezone = \"Europe/Berln\"")),
        r#"
error[unknown-zone]: jobs.a.timezone: the time zone "Europe/Berln" is unknown; did you mean "Europe/Berlin"?
 --> main.toml:8:12
  |
8 | timezone = "Europe/Berln"
  |            ^^^^^^^^^^^^^^
  |
  = help: accepted: names of the IANA time zone database, such as UTC or Europe/Berlin

1 error, 0 warnings
"#,
    );
}

#[test]
fn a_job_in_two_files_shows_both() {
    let job = "[jobs.nightly]\nschedule = \"@daily\"\ntask_definition = \"t\"\n";
    let again = format!("\n# the same\n{job}");
    let folder = Folder::with(&[("main.toml", AROUND), ("jobs.d/a.toml", job), ("jobs.d/b.toml", &again)]);
    assert_rendered(
        &folder,
        r"
error[duplicate-job]: the job `nightly` is defined twice
 --> jobs.d/b.toml:3:7
  |
3 | [jobs.nightly]
  |       ^^^^^^^
  |
 ::: jobs.d/a.toml:1:7
  |
1 | [jobs.nightly]
  |       ------- first defined here

1 error, 0 warnings
",
    );
}

#[test]
fn launch_type_and_strategy_show_both_lines() {
    let spot = "capacity_provider_strategy = [{ capacity_provider = \"FARGATE_SPOT\" }]";
    let folder = main_file(&job_with(&format!("launch_type = \"FARGATE\"\n{spot}")));
    assert_rendered(
        &folder,
        r#"
error[launch-type-and-strategy]: jobs.a: launch_type and capacity_provider_strategy exclude each other
 --> main.toml:9:1
  |
9 | capacity_provider_strategy = [{ capacity_provider = "FARGATE_SPOT" }]
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
 ::: main.toml:8:1
  |
8 | launch_type = "FARGATE"
  | ----------- one of the two
  |
  = help: keep one of the two

1 error, 0 warnings
"#,
    );
}

#[test]
fn a_number_for_a_duration_says_what_to_write() {
    assert_rendered(
        &main_file(&job_with("timeout = 900")),
        r#"
error[wrong-type]: jobs.a.timeout: expected a duration such as "90s", "15m" or "1h 30m", found an integer: write "900s"
 --> main.toml:8:11
  |
8 | timeout = 900
  |           ^^^

1 error, 0 warnings
"#,
    );
}

#[test]
fn a_line_of_no_toml_is_shown() {
    assert_rendered(
        &main_file(&job_with("group = batch")),
        r"
error[syntax]: string values must be quoted, expected literal string
 --> main.toml:8:9
  |
8 | group = batch
  |         ^^^^^

1 error, 0 warnings
",
    );
}

#[test]
fn a_retrier_that_can_never_match_names_its_line() {
    let retry = "[[jobs.a.retry]]\nerror_equals = [\"States.TaskFailed\"]\n\
                 [[jobs.a.retry]]\nerror_equals = [\"ECS.AmazonECSException\"]";
    assert_rendered(
        &main_file(&job_with(retry)),
        r#"
warning[unreachable-retrier]: jobs.a.retry[1]: can never match: "ECS.AmazonECSException" is taken by retry[0] ("States.TaskFailed")
  --> main.toml:11:16
   |
11 | error_equals = ["ECS.AmazonECSException"]
   |                ^^^^^^^^^^^^^^^^^^^^^^^^^^
   |
  ::: main.toml:9:16
   |
 9 | error_equals = ["States.TaskFailed"]
   |                --------------------- taken here
   |
   = help: the first retrier that matches decides: put retry[1] before retry[0], or remove it

0 errors, 1 warning
"#,
    );
}

#[test]
fn a_file_without_text_has_no_line() {
    assert_rendered(
        &main_file(""),
        r"
error[empty-file]: the file is empty; a configuration needs at least one [jobs.NAME]
--> main.toml

1 error, 0 warnings
",
    );
}

#[test]
fn a_very_long_line_is_shown_in_part() {
    let environment: Vec<String> = (0..2_000).map(|number| format!("A{number} = 'ä'")).collect();
    let rendered = main_file(&job_with(&format!(
        "add_environment = false\ncontainer = [{{ name = 'c', environment = {{ {}, X = 3 }} }}]",
        environment.join(", ")
    )))
    .rendered();
    assert!(rendered.contains(" --> main.toml:9:") && rendered.len() < 1_000, "{rendered}");
    let lines: Vec<&str> = rendered.lines().collect();
    let caret = lines.iter().position(|line| line.contains('^')).unwrap();
    let column = lines[caret].chars().position(|character| character == '^').unwrap();
    assert_eq!(lines[caret - 1].chars().nth(column), Some('3'), "{rendered}");
}
