//! What several pages show alike: instants, durations, statuses, causes.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};

use crate::engine::run::Status;

/// What a status means at a glance: Step Functions' legend, with what its console has no word for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    /// It goes on.
    Live,
    /// It failed and is tried again.
    Caught,
    /// All is well.
    Good,
    /// It needs somebody.
    Bad,
    /// It was ended or left out on purpose.
    Gone,
}

impl Look {
    pub(super) const ALL: [Look; 5] = [Look::Live, Look::Caught, Look::Good, Look::Bad, Look::Gone];

    pub(super) fn of(status: Status) -> Look {
        match status {
            Status::Due | Status::Launching | Status::Running | Status::Stopping => Look::Live,
            Status::Waiting => Look::Caught,
            Status::Succeeded => Look::Good,
            Status::Failed | Status::TimedOut | Status::Missed | Status::Unknown => Look::Bad,
            Status::Cancelled | Status::Skipped => Look::Gone,
        }
    }

    /// The name of its class, which carries its colour.
    pub(super) fn class(self) -> &'static str {
        match self {
            Look::Live => "live",
            Look::Caught => "caught",
            Look::Good => "good",
            Look::Bad => "bad",
            Look::Gone => "gone",
        }
    }

    /// A sign beside the colour, for whoever sees none.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Look::Live => "▶",
            Look::Caught => "↻",
            Look::Good => "✓",
            Look::Bad => "✕",
            Look::Gone => "–",
        }
    }

    /// The word of the legend.
    pub(super) fn word(self) -> &'static str {
        match self {
            Look::Live => "in progress",
            Look::Caught => "failed, to be retried",
            Look::Good => "succeeded",
            Look::Bad => "failed",
            Look::Gone => "cancelled or left out",
        }
    }
}

/// A status with its sign and colour.
pub(super) fn status(status: Status) -> Markup {
    let look = Look::of(status);
    html! {
        span class={ "mark " (look.class()) } { span aria-hidden="true" { (look.sign()) } " " (words(status.as_str())) }
    }
}

/// A name of the interface as words.
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// An instant: in UTC as it is sent, in the viewer's own zone once the script has run, and whole in its title.
pub(super) fn moment(at: DateTime<Utc>) -> Markup {
    html! {
        time datetime=(at.to_rfc3339_opts(SecondsFormat::AutoSi, true)) title=(at.format("%a, %-d %b %Y, %H:%M:%S UTC")) {
            (at.format("%-d %b %H:%M:%S"))
        }
    }
}

/// The same where there are many of them: the script adds the title, which would make up a third of them.
pub(super) fn brief_moment(at: DateTime<Utc>) -> Markup {
    html! { time datetime=(at.to_rfc3339_opts(SecondsFormat::AutoSi, true)) { (at.format("%-d %b %H:%M:%S")) } }
}

/// The same, or a dash.
pub(super) fn moment_or_dash(at: Option<DateTime<Utc>>) -> Markup {
    html! { @match at { Some(at) => (moment(at)), None => span .muted { "–" } } }
}

/// An instant on the clocks of a zone, with the zone's offset then.
pub(super) fn local(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%a, %-d %b %Y, %H:%M:%S %Z").to_string()
}

/// How long, in at most two units.
pub(super) fn lasting(time: TimeDelta) -> String {
    let millis = time.num_milliseconds().max(0);
    if millis < 1_000 {
        return format!("{millis} ms");
    }
    if millis < 60_000 {
        let (seconds, tenths) = (millis / 1_000, millis % 1_000 / 100);
        return if tenths == 0 || seconds >= 10 { format!("{seconds} s") } else { format!("{seconds}.{tenths} s") };
    }
    let seconds = millis / 1_000;
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut text = String::new();
    let mut rest = seconds;
    let first = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(3);
    for (size, unit) in units.iter().skip(first).take(2) {
        if rest / size > 0 {
            let space = if text.is_empty() { "" } else { " " };
            // Writing to a string can't fail.
            let _written = write!(text, "{space}{} {unit}", rest / size);
        }
        rest %= size;
    }
    text
}

/// The same in every unit that it has, for what is configured or computed and not measured.
pub(super) fn exactly(time: Duration) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let (mut rest, mut told) = (time.as_secs(), Vec::new());
    for (size, unit) in units {
        if rest / size > 0 {
            told.push(format!("{} {unit}", rest / size));
        }
        rest %= size;
    }
    match time.subsec_millis() {
        0 if told.is_empty() => told.push("0 s".to_owned()),
        0 => {}
        millis => told.push(format!("{millis} ms")),
    }
    told.join(" ")
}

/// Text as a value in an address. Source: RFC 3986, section 2.3.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _written = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The longest text that is searched for, in characters.
const SEARCHED_MAX: usize = 100;

/// What is searched for.
pub(super) fn searched(q: &str) -> String {
    q.trim().chars().take(SEARCHED_MAX).collect()
}

/// A number of things, in the plural where they are several.
pub(super) fn count(number: usize, one: &str, several: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {several}") }
}

/// A form that does something, behind a button that only opens it: doing it takes a second look.
pub(super) fn deed(path: &str, name: &str, what: &str, more: &Markup) -> Markup {
    html! {
        details .deed data-key=(path) {
            summary { (name) }
            form .stack method="post" action=(path) {
                p { (what) }
                (more)
                label { "Reason " input name="reason" maxlength="500" autocomplete="off"; }
                button { (name) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_at_most_two_units() {
        let cases = [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1 s"),
            (1_250, "1.2 s"),
            (12_900, "12 s"),
            (60_000, "1 min"),
            (61_500, "1 min 1 s"),
            (3_600_000, "1 h"),
            (3_659_000, "1 h"),
            (3_660_000, "1 h 1 min"),
            (90_000_000, "1 d 1 h"),
            (-5, "0 ms"),
        ];
        for (millis, text) in cases {
            assert_eq!(lasting(TimeDelta::milliseconds(millis)), text);
        }
        let exact = [(0, "0 s"), (500, "500 ms"), (90_500, "1 min 30 s 500 ms"), (93_661_000, "1 d 2 h 1 min 1 s")];
        for (millis, text) in exact {
            assert_eq!(exactly(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn an_instant_is_whole_in_its_title_and_local_where_a_zone_is_named() {
        let at = DateTime::from_timestamp(1_782_864_000, 0).unwrap();
        let shown = moment(at).into_string();
        assert_eq!(
            shown,
            r#"<time datetime="2026-07-01T00:00:00Z" title="Wed, 1 Jul 2026, 00:00:00 UTC">1 Jul 00:00:00</time>"#
        );
        assert_eq!(local(at, chrono_tz::Europe::Berlin), "Wed, 1 Jul 2026, 02:00:00 CEST");
    }

    #[test]
    fn every_status_has_a_word_and_a_sign_beside_its_colour() {
        for one in Status::ALL {
            let shown = status(one).into_string();
            assert!(shown.contains(&words(one.as_str())) && shown.contains(Look::of(one).sign()), "{shown}");
        }
    }
}
