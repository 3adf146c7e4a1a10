//! The wording of mistakes and the bytes that they point at.

use super::*;

/// The first mistake, and the text under its caret.
fn mistake(expression: &str) -> (String, &str) {
    let mistakes =
        Schedule::parse(&[expression], Tz::UTC, Dst::default()).expect_err(&format!("{expression} should be refused"));
    let (index, first) = &mistakes[0];
    assert_eq!(*index, 0);
    (first.to_string(), &expression[first.span()])
}

const FORMS: &str = "5 fields (crontab), 6-7 (seconds first), cron(…), rate(…), at(…) or @daily and the like";

#[test]
fn every_refusal_says_what_is_accepted_and_points_at_it() {
    let table: &[(&str, &str, &str)] = &[
        ("0 25 * * *", "hour \"25\" is out of range: 0-23", "25"),
        ("60 1 * * *", "minute \"60\" is out of range: 0-59", "60"),
        ("0 1,24 * * *", "hour \"24\" is out of range: 0-23", "24"),
        ("0 0 0 * *", "day-of-month \"0\" is out of range: 1-31", "0"),
        ("0 0 1 13 *", "month \"13\" is out of range: 1-12 or JAN-DEC", "13"),
        ("0 0 * * 8", "day-of-week \"8\" is out of range: 0-7 (Sunday is 0 and 7) or SUN-SAT", "8"),
        ("0 0 * * MO", "day-of-week \"MO\" is not understood: 0-7 (Sunday is 0 and 7) or SUN-SAT", "MO"),
        (
            "0 0 * * 99999999999",
            "day-of-week \"99999999999\" is out of range: 0-7 (Sunday is 0 and 7) or SUN-SAT",
            "99999999999",
        ),
        ("*/90 * * * *", "minute step \"/90\" is out of range: 1-59", "90"),
        ("*/0 * * * *", "minute step \"/0\" is out of range: 1-59", "0"),
        ("*/ * * * *", "minute step \"/\" is out of range: 1-59", ""),
        ("1, * * * *", "minute \"1,\" has a comma with no value beside it", "1,"),
        ("+5 * * * *", "minute \"+5\" is not understood: 0-59", "+5"),
        ("-5 * * * *", "minute \"\" is not understood: 0-59", ""),
        ("H 3 * * *", "minute \"H\" is not understood: 0-59", "H"),
        (
            "0 0 ? * MON",
            "day-of-month \"?\" is not understood: 1-31; \"?\" stands alone, in a day field of cron(…) or of the form with seconds; write \"*\"",
            "?",
        ),
        (
            "0 0 L * *",
            "day-of-month \"L\" is not understood: 1-31; L, W and # are read in cron(…) only, one to a field",
            "L",
        ),
        (
            "0 0 9 15W * ?",
            "day-of-month \"15W\" is not understood: 1-31; L, W and # are read in cron(…) only, one to a field",
            "15W",
        ),
        (
            "0 0 9 ? * MON#2",
            "day-of-week \"MON#2\" is not understood: 1-7 (Sunday is 1) or SUN-SAT; L, W and # are read in cron(…) only, one to a field",
            "MON#2",
        ),
        ("60 0 9 * * *", "second \"60\" is out of range: 0-59 (leap seconds cannot be scheduled)", "60"),
        ("0 0 9 * * 0", "day-of-week \"0\" is out of range: 1-7 (Sunday is 1) or SUN-SAT", "0"),
        ("0 0 9 * * * 2200", "year \"2200\" is out of range: 1970-2199", "2200"),
        ("0 0 9 * * * 2030-2027", "year \"2030-2027\" runs backwards: write the lower one first", "2030-2027"),
        (
            "0 12 * * ? *",
            "six fields start with the seconds, and \"?\" stands where EventBridge has it: write cron(0 12 * * ? *)",
            "0 12 * * ? *",
        ),
        (
            "0 12 ? * MON *",
            "six fields start with the seconds, and \"?\" stands where EventBridge has it: write cron(0 12 ? * MON *)",
            "0 12 ? * MON *",
        ),
        (" 0 0 30 2 * ", "\"0 0 30 2 *\" never fires: no year from 1970 to 2199 has such a day", "0 0 30 2 *"),
        (
            "cron(0 0 29 2 ? 2027)",
            "\"cron(0 0 29 2 ? 2027)\" never fires: no year from 1970 to 2199 has such a day",
            "cron(0 0 29 2 ? 2027)",
        ),
        (
            "cron(0 0 30W FEB ? *)",
            "\"cron(0 0 30W FEB ? *)\" never fires: no year from 1970 to 2199 has such a day",
            "cron(0 0 30W FEB ? *)",
        ),
        (
            "cron(0 9 * * * *)",
            "exactly one of day-of-month \"*\" and day-of-week \"*\" must be \"?\" in cron(…)",
            "* * *",
        ),
        (
            "cron(0 9 ? * ? *)",
            "exactly one of day-of-month \"?\" and day-of-week \"?\" must be \"?\" in cron(…)",
            "? * ?",
        ),
        (
            "cron(0 9 * * ?)",
            "cron(…) takes 6 fields (minute hour day-of-month month day-of-week year), found 5",
            "0 9 * * ?",
        ),
        (
            "cron(0 9 1,L * ? *)",
            "day-of-month \"1,L\" is not understood: 1-31, or alone in the field L, L-1 to L-30, LW, 1W to 31W",
            "1,L",
        ),
        (
            "cron(0 9 32W * ? *)",
            "day-of-month \"32W\" is not understood: 1-31, or alone in the field L, L-1 to L-30, LW, 1W to 31W",
            "32W",
        ),
        (
            "cron(0 9 L-31 * ? *)",
            "day-of-month \"L-31\" is not understood: 1-31, or alone in the field L, L-1 to L-30, LW, 1W to 31W",
            "L-31",
        ),
        (
            "cron(0 9 ? * 3#1,6#3 *)",
            "day-of-week \"3#1,6#3\" is not understood: 1-7 (Sunday is 1) or SUN-SAT, or alone in the field L, FRIL or 6L, FRI#1 to FRI#5",
            "3#1,6#3",
        ),
        (
            "cron(0 9 ? * MON#6 *)",
            "day-of-week \"MON#6\" is not understood: 1-7 (Sunday is 1) or SUN-SAT, or alone in the field L, FRIL or 6L, FRI#1 to FRI#5",
            "MON#6",
        ),
        (
            "cron(0 9 ? * 2/2 *)",
            "day-of-week \"2/2\" has a step, which EventBridge does not know there: list the days, such as MON,WED,FRI",
            "2/2",
        ),
        ("cron(0 9 ? * 0 *)", "day-of-week \"0\" is out of range: 1-7 (Sunday is 1) or SUN-SAT", "0"),
        ("cron(0 9 ? * MON *", "\"cron(0 9 ? * MON *\" must end with \")\"", "cron(0 9 ? * MON *"),
        ("rate(1 minutes)", "rate unit \"minutes\" does not agree with 1: write rate(1 minute)", "minutes"),
        ("rate(5 minute)", "rate unit \"minute\" does not agree with 5: write rate(5 minutes)", "minute"),
        (
            "rate(0 days)",
            "rate value \"0\" is not accepted: a positive whole number, such as rate(5 minutes), rate(1 hour) or rate(7 days)",
            "0",
        ),
        (
            "rate(1.5 hours)",
            "rate value \"1.5\" is not accepted: a positive whole number, such as rate(5 minutes), rate(1 hour) or rate(7 days)",
            "1.5",
        ),
        ("rate(90 seconds)", "rate unit \"seconds\" is not understood: minute(s), hour(s) or day(s)", "seconds"),
        (
            "rate(5)",
            "rate(…) takes a value and a unit, such as rate(5 minutes), rate(1 hour) or rate(7 days), found \"5\"",
            "5",
        ),
        ("rate(36501 days)", "rate value \"36501\" is out of range: at most 36500 days", "36501"),
        (
            "at(2026-02-30T00:00:00)",
            "at \"2026-02-30T00:00:00\" is not understood: no such date or time from 1970 to 2199, at(yyyy-mm-ddThh:mm:ss), such as at(2027-03-01T09:30:00)",
            "2026-02-30T00:00:00",
        ),
        (
            "at(2026-12-31T23:59:60)",
            "at \"2026-12-31T23:59:60\" is not understood: leap seconds cannot be scheduled, at(yyyy-mm-ddThh:mm:ss), such as at(2027-03-01T09:30:00)",
            "2026-12-31T23:59:60",
        ),
        (
            "at(2026-12-31T23:59:00Z)",
            "at \"2026-12-31T23:59:00Z\" is not understood: local time in the job's timezone, with no fraction and no offset, at(yyyy-mm-ddThh:mm:ss), such as at(2027-03-01T09:30:00)",
            "2026-12-31T23:59:00Z",
        ),
        (
            "at(2026-12-31 23:59:00)",
            "at \"2026-12-31 23:59:00\" is not understood: at(yyyy-mm-ddThh:mm:ss), such as at(2027-03-01T09:30:00)",
            "2026-12-31 23:59:00",
        ),
        (
            "@reboot",
            "\"@reboot\" is refused: it names no instant, and a restart of the daemon must start nothing; trigger the job by hand",
            "@reboot",
        ),
        (
            "@fortnightly",
            "\"@fortnightly\" is not known: @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly",
            "@fortnightly",
        ),
        (
            "CRON_TZ=UTC 0 3 * * *",
            "\"CRON_TZ=UTC\" is refused: the zone is the job's timezone, not part of the expression",
            "CRON_TZ=UTC",
        ),
        ("every(5 minutes)", &format!("\"every(…)\" is not known: expected {FORMS}"), "every"),
        ("0 12 *", &format!("expected {FORMS}, found 3 fields"), "0 12 *"),
        ("daily", &format!("expected {FORMS}, found 1 word"), "daily"),
        ("  ", &format!("expected {FORMS}, found nothing"), ""),
        ("0 0 0 0 0 0 0 0", &format!("expected {FORMS}, found 8 fields"), "0 0 0 0 0 0 0 0"),
    ];
    for (expression, message, under_caret) in table {
        assert_eq!(mistake(expression), ((*message).to_owned(), *under_caret), "{expression}");
    }
}

#[test]
fn all_mistakes_of_all_expressions_are_shown_at_once() {
    let expressions = ["0 3 * * *", "61 25 * * MOO", "cron(60 9 ? * ? 1900)", "rate(0 hours)"];
    let mistakes = Schedule::parse(&expressions, Tz::UTC, Dst::default()).unwrap_err();
    let places: Vec<_> =
        mistakes.iter().map(|(index, mistake)| (*index, &expressions[*index][mistake.span()])).collect();
    assert_eq!(places, [(1, "61"), (1, "25"), (1, "MOO"), (2, "60"), (2, "? * ?"), (2, "1900"), (3, "0")]);
    let none = Schedule::parse(&[], Tz::UTC, Dst::default()).unwrap_err();
    assert_eq!(none[0].1.to_string(), "a schedule needs at least one expression");
}

#[test]
fn a_single_instant_in_a_gap_that_is_skipped_never_fires() {
    let skip = Dst { gap: Gap::Skip, overlap: Overlap::First };
    let expressions = ["@daily", " at(2027-03-28T02:30:00)"];
    let mistakes = Schedule::parse(&expressions, Tz::Europe__Berlin, skip).unwrap_err();
    assert_eq!(mistakes.len(), 1);
    assert_eq!(
        mistakes[0].1.to_string(),
        "\"at(2027-03-28T02:30:00)\" never fires: the clock of Europe/Berlin skips this time"
    );
    assert_eq!((mistakes[0].0, mistakes[0].1.span()), (1, 1..24));
}
