//! `[retention]`: how long what is over is kept.

use std::time::Duration;

use crate::engine::retention::{KEPT_ALWAYS, Retention};

use super::reader::{Table, Value};
use super::report::shown;

/// Longer than anybody looks back; `"forever"` has no end.
const AGE_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);
const FOREVER: &str = "forever";
/// Counting so many of each job, over and over, is still quick.
const RUNS_MAX: i64 = 1_000_000;

/// Reads the table.
pub(super) fn retention(table: &Table<'_>) -> Option<Retention> {
    let preset = Retention::default();
    let max_age = table.get("max_age", max_age);
    let max_runs = table.get("max_runs_per_job", |value| value.integer(1..=RUNS_MAX));
    Some(Retention { max_age: max_age.or_default(preset.max_age)?, max_runs: max_runs.optional()? })
}

fn max_age(value: &Value<'_>) -> Option<Option<Duration>> {
    if value.is_text() {
        let text = value.text()?;
        if text == FOREVER {
            return Some(None);
        }
        if humantime::parse_duration(text).is_err() {
            let message = format!("expected a duration such as \"90d\", or \"{FOREVER}\", found \"{}\"", shown(text));
            return value.refuse("bad-value", message);
        }
    }
    match value.duration_within(AGE_MAX, "100 years")? {
        short if short < KEPT_ALWAYS => value.refuse("bad-value", "is shorter than a day, which is always kept"),
        age => Some(Some(age)),
    }
}
