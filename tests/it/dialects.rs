//! Each dialect against an implementation that this project did not write, over thousands of random expressions in UTC.
//!
//! Crontab is compared with Python's croniter, `cron(…)` with aws-croniter, seconds first with the `cron` crate, driven
//! directly. What they read otherwise on purpose or by mistake is named here, one function for each, and says what they answer
//! instead: so a difference is never passed over, and one that goes away is noticed. Changes of the clocks are our own rules
//! and are compared elsewhere.
//!
//! `TENACRON_DIALECT_SEED` and `TENACRON_DIALECT_CASES` choose other expressions and more of them.

use std::collections::BTreeSet;
use std::process::Command;
use std::str::FromStr;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use chrono_tz::Tz;
use tenacron::engine::schedule::{Dst, Schedule};

use crate::python;

/// One version each, so that the same test passes tomorrow.
const PACKAGES: [&str; 4] = ["croniter==7.0.0", "aws-croniter==2.1.1", "python-dateutil==2.9.0.post0", "six==1.17.0"];
const SEED: u64 = 20_261_125;
const CASES: usize = 3_000;
/// How many instants after a moment are compared.
const COUNT: usize = 20;
/// As far as the others are asked to look.
const YEARS_AHEAD: i64 = 60;
const SECONDS_OF_A_YEAR: i64 = 31_556_952;

/// Random numbers that are the same on every machine (SplitMix64).
struct Random(u64);

impl Random {
    #[expect(clippy::print_stdout, reason = "whoever sees a failure needs the seed")]
    fn of_environment(dialect: &str) -> Random {
        let seed = std::env::var("TENACRON_DIALECT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(SEED);
        println!("{dialect}: seed {seed}");
        Random(seed)
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn within(&mut self, from: u32, to: u32) -> u32 {
        from + u32::try_from(self.number() % u64::from(to - from + 1)).unwrap()
    }

    fn one_in(&mut self, many: u32) -> bool {
        self.within(1, many) == 1
    }

    /// A moment from 1972 to 2037.
    fn moment(&mut self) -> i64 {
        63_072_000 + i64::try_from(self.number() % 2_082_758_400).unwrap()
    }
}

fn cases() -> usize {
    std::env::var("TENACRON_DIALECT_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES)
}

/// A kind of field, as far as random ones differ.
#[derive(Clone, Copy)]
struct Kind {
    min: u32,
    max: u32,
    names: &'static [&'static str],
    /// One range in so many may run over the end of the field; none for 0.
    wraps: u32,
    steps: bool,
    /// One in so many is no `*`.
    restricted: u32,
}

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const MINUTE: Kind = Kind { min: 0, max: 59, names: &[], wraps: 1, steps: true, restricted: 1 };
const HOUR: Kind = Kind { max: 23, restricted: 2, ..MINUTE };
const DAY: Kind = Kind { min: 1, max: 31, restricted: 2, ..MINUTE };
const MONTH: Kind = Kind { min: 1, max: 12, names: MONTHS, restricted: 4, ..MINUTE };
/// Sunday is 0 and 7.
const CRONTAB_DAY: Kind = Kind { min: 0, max: 7, restricted: 2, ..MINUTE };
/// Sunday is 1.
const NUMBERED_DAY: Kind = Kind { min: 1, max: 7, names: DAYS, restricted: 2, ..MINUTE };

impl Kind {
    fn field(self, random: &mut Random) -> String {
        if !random.one_in(self.restricted) {
            return "*".to_owned();
        }
        let items: Vec<String> = (0..random.within(1, 3)).map(|_| self.item(random)).collect();
        items.join(",")
    }

    fn value(self, number: u32, random: &mut Random) -> String {
        let name = self.names.get((number - self.min) as usize).filter(|_| random.one_in(2));
        let name = name.map(|name| if random.one_in(3) { name.to_lowercase() } else { (*name).to_owned() });
        name.unwrap_or_else(|| number.to_string())
    }

    fn item(self, random: &mut Random) -> String {
        let (one, other) = (random.within(self.min, self.max), random.within(self.min, self.max));
        let (from, to) =
            if self.wraps > 0 && random.one_in(self.wraps) { (one, other) } else { (one.min(other), one.max(other)) };
        let step = random.within(1, (self.max - self.min).min(20));
        match random.within(1, if self.steps { 6 } else { 3 }) {
            1 | 2 => self.value(from, random),
            3 => format!("{}-{}", self.value(from, random), self.value(to, random)),
            4 => format!("{}-{}/{step}", self.value(from, random), self.value(to, random)),
            5 => format!("{}/{step}", self.value(from, random)),
            _ => format!("*/{step}"),
        }
    }
}

/// Minute and hour: in half of all cases one time of the day, so that twenty instants are many days.
fn times_of(minute: Kind, hour: Kind, random: &mut Random) -> [String; 2] {
    if random.one_in(2) {
        [random.within(0, 59).to_string(), random.within(0, 23).to_string()]
    } else {
        [minute.field(random), hour.field(random)]
    }
}

/// An expression and the moment after which it is asked.
struct Question {
    text: String,
    after: i64,
}

impl Question {
    /// Our own instants, up to where the others look; none if the expression never fires.
    fn ours(&self, text: &str) -> Vec<i64> {
        let at = |seconds| DateTime::<Utc>::from_timestamp(seconds, 0).unwrap();
        let (after, until) = (at(self.after), at(self.after + YEARS_AHEAD * SECONDS_OF_A_YEAR));
        match Schedule::parse(&[text], Tz::UTC, Dst::default()) {
            Ok(schedule) => schedule.firings(after, until, after).take(COUNT).map(|at| at.timestamp()).collect(),
            Err(mistakes) => {
                assert!(mistakes[0].1.to_string().contains("never fires"), "{text}: {mistakes:?}");
                Vec::new()
            }
        }
    }
}

/// What another implementation says: instants, or why it refuses.
type Answer = Result<Vec<i64>, String>;

/// Asks the Python packages about all questions at once.
fn answers(dialect: &str, questions: &[Question]) -> Vec<Answer> {
    let python = python::with("dialects", &PACKAGES).unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("questions");
    let lines: Vec<String> = questions
        .iter()
        .map(|question| serde_json::json!([dialect, question.text, question.after, COUNT]).to_string())
        .collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let written = python::run(Command::new(python).arg(python::script("dialects_drive.py")).arg(&file));
    let written = written.unwrap_or_else(|error| panic!("{error}"));
    let answers: Vec<Answer> = written
        .lines()
        .map(|line| match serde_json::from_str::<serde_json::Value>(line).unwrap() {
            serde_json::Value::String(refusal) => Err(refusal),
            instants => Ok(serde_json::from_value(instants).unwrap()),
        })
        .collect();
    assert_eq!(answers.len(), questions.len());
    answers
}

/// Compares all answers; `theirs` gives the expression of ours that means what the other one reads, or what it answers.
#[expect(clippy::print_stdout, reason = "how much was compared is worth a line of the log")]
fn compare(dialect: &str, questions: &[Question], answers: Vec<Answer>, theirs: impl Fn(&str) -> Reading) {
    let (mut alike, mut apart) = (0, 0);
    let mut mistakes = Vec::new();
    for (question, answer) in questions.iter().zip(answers) {
        let reading = theirs(&question.text);
        let expected = match &reading {
            Reading::Same => Ok(question.ours(&question.text)),
            Reading::As(text) => Ok(question.ours(text)),
            Reading::Never => Ok(Vec::new()),
            Reading::Refused(message) => Err((*message).to_owned()),
        };
        match reading {
            Reading::Same => alike += 1,
            _ => apart += 1,
        }
        // The other one may look a little further than the sixty years.
        let agrees = match (&answer, &expected) {
            (Ok(answer), Ok(expected)) => {
                answer.starts_with(expected) && (answer == expected || expected.len() < COUNT)
            }
            (Err(refusal), Err(expected)) => refusal.contains(expected.as_str()),
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        };
        if !agrees {
            mistakes.push(format!(
                "{} after {}\n  they say    {answer:?}\n  we expected {expected:?}",
                question.text, question.after
            ));
        }
    }
    println!("{dialect}: {alike} expressions compared, {apart} read otherwise as expected");
    assert!(
        mistakes.is_empty(),
        "{} differ, such as\n{}",
        mistakes.len(),
        mistakes[..mistakes.len().min(8)].join("\n")
    );
    assert!(alike > apart * 4, "most are compared as they are");
}

/// How another implementation reads an expression of ours.
enum Reading {
    Same,
    As(String),
    Never,
    Refused(&'static str),
}

#[test]
fn five_fields_mean_what_croniter_means() {
    let mut random = Random::of_environment("crontab");
    let questions: Vec<Question> = (0..cases())
        .map(|_| {
            // Ranges that wrap are not crontab(5)'s, so few of them do.
            let few = |kind: Kind| Kind { wraps: 12, ..kind };
            let [minute, hour] = times_of(few(MINUTE), few(HOUR), &mut random);
            let [day, month, weekday] = [DAY, MONTH, CRONTAB_DAY].map(|kind| few(kind).field(&mut random));
            let fields = [minute, hour, day, month, weekday];
            Question { text: fields.join(" "), after: random.moment() }
        })
        .collect();
    let answers = answers("crontab", &questions);
    compare("crontab", &questions, answers, of_croniter);
}

/// Where croniter 7.0.0 is not what crontab(5) says, or goes beyond it in another way than we do.
fn of_croniter(text: &str) -> Reading {
    let kinds = [MINUTE, HOUR, DAY, MONTH, Kind { max: 6, ..CRONTAB_DAY }];
    let mut fields: Vec<String> = text.split(' ').map(str::to_owned).collect();
    for (field, kind) in fields.iter_mut().zip(kinds) {
        let items: Vec<String> = field.split(',').map(|item| item_of_croniter(kind, item)).collect();
        *field = items.join(",");
    }
    // A list of all days becomes a `*` if there is any `*` in the other day field, even one that does not begin it. For
    // cron(8) a field is unrestricted if it begins with `*`.
    for (one, other, kind) in [(2, 4, DAY), (4, 2, Kind { max: 6, ..CRONTAB_DAY })] {
        if values(kind, &fields[one]).len() == (kind.max - kind.min + 1) as usize
            && text.split(' ').nth(other).unwrap().contains('*')
        {
            fields[one] = "*".to_owned();
        }
    }
    let read = fields.join(" ");
    if read == text { Reading::Same } else { Reading::As(read) }
}

/// Two kinds of ranges that it reads otherwise, written out as it reads them.
fn item_of_croniter(kind: Kind, item: &str) -> String {
    let (range, step) = item.split_once('/').unwrap_or((item, "1"));
    let Some((from, to)) = range.split_once('-') else { return item.to_owned() };
    let number = |text: &str| {
        let name = kind.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = name.map_or_else(|| text.parse().unwrap(), |nth| u32::try_from(nth).unwrap() + kind.min);
        // Sunday as 7 is 0 before anything else is decided.
        if number == kind.max + 1 { kind.min } else { number }
    };
    let (from, to, step) = (number(from), number(to), step.parse::<u32>().unwrap());
    let list = |values: Vec<u32>| values.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    if from == to {
        // `5-5` is the whole field to it; crontab(5): "first, last inclusive", so it is 5.
        return list((kind.min..=kind.max).step_by(step as usize).collect());
    }
    if from > to && step > 1 {
        // Over the end of the field its steps grow by one. crontab(5) has no such range; ours and aws-croniter's keep step.
        let mut values: Vec<u32> = (from..=kind.max).step_by(step as usize).collect();
        let last = *values.last().unwrap();
        let (size, left) = (kind.max - kind.min + 1, kind.max - last);
        let skipped = if last - kind.min + step > size && left < step { step - left } else { 0 };
        values.extend((kind.min + skipped..=to).step_by(step as usize));
        return list(values);
    }
    item.to_owned()
}

/// The numbers that a field names; Sunday is 0.
fn values(kind: Kind, field: &str) -> BTreeSet<u32> {
    let days = if kind.min == 0 { "* *" } else { "*" };
    let text = if kind.min == 0 { format!("0 0 {days} {field}") } else { format!("0 0 {field} {days} *") };
    let schedule = Schedule::parse(&[&text], Tz::UTC, Dst::default()).unwrap();
    // January 2023 begins with a Sunday and has all days.
    let after = DateTime::<Utc>::from_timestamp(1_672_531_199, 0).unwrap();
    let month = schedule.firings(after, after + TimeDelta::days(31), after);
    month.map(|at| if kind.min == 0 { at.weekday().num_days_from_sunday() } else { at.day() }).collect()
}

#[test]
fn cron_means_what_aws_croniter_means() {
    let mut random = Random::of_environment("cron(…)");
    let questions: Vec<Question> = (0..cases())
        .map(|_| Question { text: format!("cron({})", eventbridge(&mut random)), after: random.moment() })
        .collect();
    let bare: Vec<Question> = questions
        .iter()
        .map(|question| Question { text: question.text[5..question.text.len() - 1].to_owned(), after: question.after })
        .collect();
    let answers = answers("eventbridge", &bare);
    compare("cron(…)", &questions, answers, of_aws_croniter);
}

/// Where aws-croniter 2.1.1 is not what the EventBridge user guide says ("Cron expressions reference").
fn of_aws_croniter(text: &str) -> Reading {
    let fields: Vec<&str> = text.trim_end_matches(')').split_whitespace().collect();
    if fields[5].contains('/') {
        // The guide has `/` for years; here a step must look like a year itself.
        Reading::Refused("Invalid year value")
    } else if fields[2] == "LW" {
        // Quartz's last weekday: accepted by its check, and then the L is read as a number.
        Reading::Refused("invalid literal for int() with base 10: 'L'")
    } else if fields[4] == "L" {
        // "The L wildcard … specifies the last day of the month or week": Saturday; here it is day 0, which is none.
        Reading::Never
    } else {
        Reading::Same
    }
}

fn eventbridge(random: &mut Random) -> String {
    let ([minute, hour], month) = (times_of(MINUTE, HOUR, random), MONTH.field(random));
    let number = random.within(1, 31);
    let name = NUMBERED_DAY.value(random.within(1, 7), random);
    let days = match random.within(1, 10) {
        1..=3 => format!("{} {month} ?", DAY.field(random)),
        4 | 5 => format!("? {month} {}", Kind { steps: false, ..NUMBERED_DAY }.field(random)),
        6 if number < 10 => format!("L {month} ?"),
        6 => format!("L-{} {month} ?", number - 1),
        7 if number < 4 => format!("LW {month} ?"),
        7 => format!("{number}W {month} ?"),
        8 if number < 4 => format!("? {month} L"),
        8 => format!("? {month} {name}L"),
        _ => format!("? {month} {name}#{}", random.within(1, 5)),
    };
    let year = match random.within(1, 8) {
        1 => format!("{}-{}", random.within(1972, 2030), random.within(2031, 2080)),
        2 => format!("{}/{}", random.within(1972, 2030), random.within(1, 9)),
        _ => "*".to_owned(),
    };
    format!("{minute} {hour} {days} {year}")
}

#[test]
fn seconds_first_mean_what_the_cron_crate_means() {
    let mut random = Random::of_environment("seconds first");
    let straight = |kind: Kind| Kind { wraps: 0, ..kind };
    let mut beyond = 0;
    for _ in 0..cases() * 2 {
        let [minute, hour] = times_of(straight(MINUTE), straight(HOUR), &mut random);
        let [second, day, month, weekday] =
            [MINUTE, DAY, MONTH, NUMBERED_DAY].map(|kind| straight(kind).field(&mut random));
        let mut text = [second, minute, hour, day, month, weekday].join(" ");
        if random.one_in(4) {
            text.push_str(&format!(" {}-{}", random.within(1972, 2020), random.within(2021, 2100)));
        }
        let question = Question { text, after: random.moment() };
        let at = |seconds| DateTime::<Utc>::from_timestamp(seconds, 0).unwrap();
        let until = question.after + YEARS_AHEAD * SECONDS_OF_A_YEAR;
        let of_crate = match cron::Schedule::from_str(&question.text) {
            Ok(of_crate) => of_crate,
            Err(_) if is_beyond_the_crate(&question.text) => {
                // Ours all the same.
                question.ours(&question.text);
                beyond += 1;
                continue;
            }
            Err(error) => panic!("{}: {error}", question.text),
        };
        assert!(!is_beyond_the_crate(&question.text), "the crate reads {}", question.text);
        let theirs: Vec<i64> = of_crate.after(&at(question.after)).map(|at| at.timestamp()).take(COUNT).collect();
        let theirs: Vec<i64> = theirs.into_iter().filter(|at| *at <= until).collect();
        assert_eq!(question.ours(&question.text), theirs, "{} after {}", question.text, question.after);
    }
    println!("seconds first: {} expressions, {beyond} beyond the crate", cases() * 2);
    assert!(beyond < cases(), "most are compared");
}

/// What the crate's grammar lacks: a range from a name to a number or back, and a step after a single name.
fn is_beyond_the_crate(text: &str) -> bool {
    let is_name = |text: &str| text.starts_with(|first: char| first.is_ascii_alphabetic());
    text.split([' ', ',']).any(|item| {
        let (range, step) = item.split_once('/').map_or((item, false), |(range, _)| (range, true));
        match range.split_once('-') {
            Some((from, to)) => is_name(from) != is_name(to),
            None => step && is_name(range),
        }
    })
}
