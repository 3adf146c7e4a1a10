//! How long a hundred thousand jobs take to load, and to find when each is due next.
//!
//! `cargo bench --bench schedules`; `benches/README.md` has the numbers that we quote. A hundred jobs share a file of `jobs.d`,
//! every dialect and a dozen zones are among them, and each has what a job needs and not more.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and ends where it cannot go on")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use tenacron::config::{self, Config};
use tenacron::engine::schedule::{Bounds, Dst, Exceptions, Schedule};

const JOBS: usize = 100_000;
const JOBS_OF_A_FILE: usize = 100;
const ROUNDS: usize = 5;
const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe", "America/Sao_Paulo"];

fn main() {
    // The test runner builds and runs benchmarks too, with this flag missing; then a smoke test is enough.
    let jobs = if std::env::args().any(|argument| argument == "--bench") { JOBS } else { JOBS_OF_A_FILE };
    let folder = std::env::temp_dir().join(format!("tenacron-bench-{}", std::process::id()));
    let main_file = generate(&folder, jobs);

    let (load, loaded) = median(|| config::load(&main_file));
    let config = loaded.config.unwrap();
    assert_eq!(config.jobs.len(), jobs);
    report(&format!("load and validate {jobs} jobs"), load);

    let (toml, _) = median(|| parse_toml(&folder));
    report("of which the TOML parser alone", toml);
    let (expressions, _) = median(|| parse_schedules(&config));
    report("of which the schedules alone", expressions);

    let now = DateTime::<Utc>::from_timestamp(1_795_600_000, 0).unwrap();
    let (next, due) = median(|| count_due(&config, now));
    assert!(due > jobs / 2);
    report(&format!("the next firing of each of {jobs} jobs"), next);

    for (what, schedule) in singles() {
        const TIMES: usize = 10_000;
        let (all, _) = median(|| {
            let mut after = now;
            for _ in 0..TIMES {
                after = schedule.next(after, now).unwrap_or(now);
            }
        });
        report(&format!("one next firing, {what}"), all / u32::try_from(TIMES).unwrap());
    }
    fs::remove_dir_all(&folder).unwrap();
}

fn report(what: &str, time: Duration) {
    println!("{what}: {time:.2?}");
}

/// The median of some rounds, and what the last one gave.
fn median<T>(mut work: impl FnMut() -> T) -> (Duration, T) {
    let mut times = Vec::new();
    loop {
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
        let start = Instant::now();
        let result = work();
        times.push(start.elapsed());
        if times.len() == ROUNDS {
            times.sort_unstable();
            return (times.get(ROUNDS / 2).copied().unwrap_or_default(), result);
        }
    }
}

/// Reads every file as the configuration does, and does nothing with it.
fn parse_toml(folder: &Path) -> usize {
    let files = fs::read_dir(folder.join("jobs.d")).unwrap();
    let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    texts.map(|text| toml::de::DeTable::parse(&text).unwrap().get_ref().len()).sum()
}

fn parse_schedules(config: &Config) -> Vec<Schedule> {
    let schedules = config.jobs.values().map(|job| &job.schedule);
    let texts = schedules.map(|known| (known.text(), known.zone(), known.dst()));
    texts.map(|(text, zone, dst)| Schedule::parse(&[&text], zone, dst).unwrap()).collect()
}

fn count_due(config: &Config, now: DateTime<Utc>) -> usize {
    config.jobs.values().filter(|job| job.schedule.next(now, now).is_some()).count()
}

/// Writes a configuration and gives its main file.
fn generate(folder: &Path, jobs: usize) -> PathBuf {
    let jobs_folder = folder.join("jobs.d");
    fs::create_dir_all(&jobs_folder).unwrap();
    let main_file = folder.join("tenacron.toml");
    let settings = "instance = \"bench\"\n[defaults]\ncluster = \"batch\"\ntimeout = \"1h\"\nlaunch_type = \"FARGATE\"\n\
        network = { subnets = [\"subnet-1\"], security_groups = [\"sg-1\"] }\n";
    fs::write(&main_file, settings).unwrap();
    for file in 0..jobs / JOBS_OF_A_FILE {
        let mut text = String::new();
        for nth in file * JOBS_OF_A_FILE..(file + 1) * JOBS_OF_A_FILE {
            let zone = ZONES.iter().cycle().nth(nth % ZONES.len()).unwrap();
            let (minute, hour, day) = (nth % 60, nth / 60 % 24, nth % 28 + 1);
            let schedule = match nth % 8 {
                0 => format!("{minute} {hour} * * *"),
                1 => format!("*/{} * * * MON-FRI", nth % 29 + 1),
                2 => format!("cron({minute} {hour} {day} * ? *)"),
                3 => format!("cron({minute} {hour} ? * FRI#{} *)", nth % 5 + 1),
                4 => format!("rate({} minutes)", nth % 90 + 2),
                5 => format!("{minute} {minute} {hour} * * *"),
                6 => format!("{minute} {hour} {day} */3 *"),
                _ => "@hourly".to_owned(),
            };
            write!(
                text,
                "[jobs.job-{nth}]\nschedule = \"{schedule}\"\ntimezone = \"{zone}\"\ntask_definition = \"family-{}\"\n\
                 [[jobs.job-{nth}.container]]\nname = \"app\"\ncommand = [\"run\", \"--part\", \"{nth}\"]\n\
                 environment = {{ PART = \"{nth}\", STAGE = \"prod\" }}\n\n",
                nth % 500
            )
            .unwrap();
        }
        fs::write(jobs_folder.join(format!("{file:04}.toml")), text).unwrap();
    }
    main_file
}

/// Single schedules of which the next firing is looked for.
fn singles() -> Vec<(&'static str, Schedule)> {
    let berlin = |text: &str, except: &[&str]| {
        let except = Arc::new(Exceptions::read(except).unwrap());
        let schedule = Schedule::parse(&[text], Tz::Europe__Berlin, Dst::default()).unwrap();
        schedule.bounded(Bounds { except, ..Bounds::default() }).unwrap()
    };
    let holidays = ["2026-12-24..2027-01-02", "2027-03-26", "2027-03-29", "0 0 1 5 *"];
    vec![
        ("0 3 * * *", berlin("0 3 * * *", &[])),
        ("0 3 * * * except holidays", berlin("0 3 * * *", &holidays)),
        ("every second", berlin("* * * * * *", &[])),
        ("every second except 23 hours a day", berlin("* * * * * *", &["* 1-23 * * *"])),
        ("*/5 * * * * except its even hours", berlin("*/5 * * * *", &["* */2 * * *"])),
        ("rate(5 minutes) except holidays", berlin("rate(5 minutes)", &holidays)),
    ]
}
