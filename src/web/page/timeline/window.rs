//! What part of time the chart shows, where an instant stands in it, and the addresses of other parts.

use chrono::{DateTime, Datelike as _, SecondsFormat, TimeDelta, Timelike as _, Utc};

use crate::web::page::parts::escaped;

/// How many hours there may be on each side of the middle.
pub(super) const HOURS: [i64; 7] = [1, 3, 6, 12, 24, 48, 168];
/// How many unless told.
pub(super) const HOURS_DEFAULT: i64 = 24;
/// The chart is so wide: places and widths are thousandths of it, one is about a pixel.
pub(super) const WIDTH: i32 = 1_000;
/// Into how many parts the launches are counted. The window begins at a multiple of such a part, so that what is drawn stands
/// still while time passes.
pub(super) const PARTS: usize = 96;
/// The years that schedules know, less a week at each end.
const YEARS: std::ops::RangeInclusive<i32> = 1971..=2198;

/// A part of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: DateTime<Utc>,
    pub(super) until: DateTime<Utc>,
    /// The moment of which the page speaks, wherever it is.
    pub(super) now: DateTime<Utc>,
    /// On each side of the middle.
    pub(super) hours: i64,
    /// Whether it goes with the time.
    follows: bool,
}

impl Window {
    /// So many hours on each side of an instant, or of now.
    ///
    /// # Errors
    /// What is wrong with what was asked for.
    pub(super) fn new(at: Option<DateTime<Utc>>, hours: Option<i64>, now: DateTime<Utc>) -> Result<Window, String> {
        let hours = hours.unwrap_or(HOURS_DEFAULT);
        if !HOURS.contains(&hours) {
            return Err(format!("`hours` is one of {}", HOURS.map(|hours| hours.to_string()).join(", ")));
        }
        let middle = at.unwrap_or(now);
        if !YEARS.contains(&middle.year()) {
            return Err(format!("`at` lies in the years {} to {}", YEARS.start(), YEARS.end()));
        }
        let part = part_of(hours);
        let middle = middle.timestamp().div_euclid(part.num_seconds()) * part.num_seconds();
        let middle = DateTime::from_timestamp(middle, 0).unwrap_or(now);
        let side = TimeDelta::hours(hours);
        Ok(Window { from: middle - side, until: middle + side, now, hours, follows: at.is_none() })
    }

    /// One of the parts in which launches are counted.
    pub(super) fn part(&self) -> TimeDelta {
        part_of(self.hours)
    }

    /// In which of them an instant lies.
    pub(super) fn part_at(&self, at: DateTime<Utc>) -> Option<usize> {
        let part = (at - self.from).num_seconds().div_euclid(self.part().num_seconds());
        usize::try_from(part).ok().filter(|part| *part < PARTS)
    }

    /// When one of them begins.
    pub(super) fn begin_of(&self, part: usize) -> DateTime<Utc> {
        self.from + self.part() * i32::try_from(part).unwrap_or_default()
    }

    /// Where an instant stands, in thousandths of the width; one outside stands at the edge.
    pub(super) fn place(&self, at: DateTime<Utc>) -> i32 {
        let whole = (self.until - self.from).num_milliseconds();
        let passed = (at - self.from).num_milliseconds().clamp(0, whole);
        i32::try_from(passed * i64::from(WIDTH) / whole).unwrap_or(WIDTH)
    }

    /// How long so many thousandths last.
    pub(super) fn lasting(&self, places: i32) -> TimeDelta {
        TimeDelta::milliseconds((self.until - self.from).num_milliseconds() * i64::from(places) / i64::from(WIDTH))
    }

    /// Whether an instant lies in it.
    pub(super) fn holds(&self, at: DateTime<Utc>) -> bool {
        (self.from..=self.until).contains(&at)
    }

    fn middle(&self) -> DateTime<Utc> {
        self.from + (self.until - self.from) / 2
    }

    /// Where the lines of the hours or days stand.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let step = match self.hours {
            1 => TimeDelta::minutes(15),
            3 => TimeDelta::minutes(30),
            6 => TimeDelta::hours(1),
            12 => TimeDelta::hours(2),
            24 => TimeDelta::hours(4),
            48 => TimeDelta::hours(12),
            _ => TimeDelta::days(1),
        };
        let seconds = step.num_seconds();
        let first = (self.from.timestamp() - 1).div_euclid(seconds) * seconds + seconds;
        let all = std::iter::successors(DateTime::from_timestamp(first, 0), |last| Some(*last + step));
        let all = all.take_while(|at| *at <= self.until);
        let mut ticks: Vec<Tick> =
            all.map(|at| Tick { at, place: self.place(at), is_day: at.num_seconds_from_midnight() == 0 }).collect();
        // Somewhere the day must be said.
        if !ticks.iter().any(|tick| tick.is_day)
            && let Some(first) = ticks.first_mut()
        {
            first.is_day = true;
        }
        ticks
    }

    /// The address of this part of time, or of another that goes with the time if none is named.
    fn address_of(&self, at: Option<DateTime<Utc>>, hours: i64, q: &str, page: usize) -> String {
        let at = at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
        let hours = (hours != HOURS_DEFAULT).then(|| hours.to_string());
        let page = (page > 1).then(|| page.to_string());
        let q = (!q.is_empty()).then(|| escaped(q));
        let asked = [("at", at), ("hours", hours), ("q", q), ("page", page)];
        let asked = asked.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        let asked = asked.collect::<Vec<_>>().join("&");
        if asked.is_empty() { "/timeline".to_owned() } else { format!("/timeline?{asked}") }
    }

    /// The middle as it stands in an address; none if it goes with the time.
    pub(super) fn at(&self) -> Option<DateTime<Utc>> {
        (!self.follows).then(|| self.middle())
    }

    pub(super) fn earlier(&self, q: &str) -> String {
        self.address_of(Some(self.middle() - TimeDelta::hours(self.hours)), self.hours, q, 1)
    }

    pub(super) fn later(&self, q: &str) -> String {
        self.address_of(Some(self.middle() + TimeDelta::hours(self.hours)), self.hours, q, 1)
    }

    /// The same length around now; none if it is that.
    pub(super) fn around_now(&self, q: &str) -> Option<String> {
        (!self.follows).then(|| self.address_of(None, self.hours, q, 1))
    }

    /// The same middle with another length.
    pub(super) fn zoomed(&self, hours: i64, q: &str) -> String {
        self.address_of(self.at(), hours, q, 1)
    }

    /// The same window, another page of the jobs.
    pub(super) fn on_page(&self, q: &str, page: usize) -> String {
        self.address_of(self.at(), self.hours, q, page)
    }
}

/// A line of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tick {
    pub(super) at: DateTime<Utc>,
    pub(super) place: i32,
    /// Whether its label names the day.
    pub(super) is_day: bool,
}

fn part_of(hours: i64) -> TimeDelta {
    // 75 seconds for each hour of a side: twice the hours make 96 of them.
    TimeDelta::seconds(hours * 75)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_goes_with_the_time_in_whole_parts() {
        let window = Window::new(None, None, at("2026-07-01T12:34:56Z")).unwrap();
        assert_eq!((window.from, window.until), (at("2026-06-30T12:30:00Z"), at("2026-07-02T12:30:00Z")));
        let later = Window::new(None, None, at("2026-07-01T12:59:59Z")).unwrap();
        assert_eq!((later.from, later.until), (window.from, window.until), "what is drawn stands still");
        for hours in HOURS {
            let window = Window::new(None, Some(hours), at("2026-07-01T12:34:56Z")).unwrap();
            assert_eq!(window.part() * i32::try_from(PARTS).unwrap(), window.until - window.from, "{hours}");
            assert!(window.holds(window.now));
        }
    }

    #[test]
    fn what_makes_no_window_is_refused() {
        let now = at("2026-07-01T12:00:00Z");
        assert_eq!(Window::new(None, Some(5), now).unwrap_err(), "`hours` is one of 1, 3, 6, 12, 24, 48, 168");
        for far in
            ["1970-01-01T00:00:00Z", "2199-12-31T00:00:00Z", "+262000-01-01T00:00:00Z", "-200000-01-01T00:00:00Z"]
        {
            assert!(Window::new(Some(at(far)), None, now).unwrap_err().contains("1971 to 2198"), "{far}");
        }
        for far in ["1971-01-01T00:00:00Z", "2198-12-31T23:59:59Z"] {
            let window = Window::new(Some(at(far)), Some(168), now).unwrap();
            assert!(window.ticks().len() > 10 && window.later("").contains("at="), "{far}");
        }
    }

    #[test]
    fn instants_stand_in_thousandths_and_those_outside_at_the_edge() {
        let window = Window::new(Some(at("2026-07-01T12:00:00Z")), Some(24), at("2026-07-09T00:00:00Z")).unwrap();
        let places = ["2026-06-01T00:00:00Z", "2026-06-30T12:00:00Z", "2026-07-01T12:00:00Z", "2026-07-02T12:00:00Z"];
        assert_eq!(places.map(|text| window.place(at(text))), [0, 0, 500, 1_000]);
        assert_eq!(window.place(at("2027-01-01T00:00:00Z")), 1_000);
        assert_eq!(window.part_at(at("2026-06-30T12:29:59Z")), Some(0));
        assert_eq!(window.part_at(at("2026-07-02T11:59:59Z")), Some(PARTS - 1));
        assert_eq!([window.part_at(at("2026-07-02T12:00:00Z")), window.part_at(at("2026-06-30T11:59:59Z"))], [None; 2]);
    }

    #[test]
    fn ticks_are_few_and_one_of_them_names_the_day() {
        for hours in HOURS {
            let window =
                Window::new(Some(at("2026-07-01T12:34:56Z")), Some(hours), at("2026-07-01T00:00:00Z")).unwrap();
            let ticks = window.ticks();
            assert!((6..=15).contains(&ticks.len()), "{hours}: {}", ticks.len());
            assert!(ticks.iter().any(|tick| tick.is_day) && ticks.iter().all(|tick| window.holds(tick.at)), "{hours}");
        }
    }

    #[test]
    fn addresses_keep_what_was_asked_for() {
        let now = at("2026-07-01T12:00:00Z");
        let window = Window::new(None, None, now).unwrap();
        assert_eq!(window.around_now(""), None);
        assert_eq!(window.earlier(""), "/timeline?at=2026-06-30T12:00:00Z");
        assert_eq!(window.zoomed(6, "a b&c=<é>"), "/timeline?hours=6&q=a%20b%26c%3D%3C%C3%A9%3E");
        assert_eq!(window.on_page("x", 2), "/timeline?q=x&page=2");
        let past = Window::new(Some(at("2026-06-01T00:00:00Z")), Some(1), now).unwrap();
        assert_eq!(past.later("x"), "/timeline?at=2026-06-01T01:00:00Z&hours=1&q=x");
        assert_eq!(past.around_now("x").as_deref(), Some("/timeline?hours=1&q=x"));
        assert_eq!(past.on_page("", 1), "/timeline?at=2026-06-01T00:00:00Z&hours=1");
    }
}
