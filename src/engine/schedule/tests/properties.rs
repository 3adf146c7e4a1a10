//! Properties that hold for every schedule: the same firings as the slow reference, in order, from wherever one starts.

use super::reference::{any_dst, any_zone, five_fields, six_fields, zone_and_moment};
use super::*;
use chrono::{Datelike, NaiveDate, TimeDelta, Timelike, Weekday};
use proptest::prelude::*;

/// So many cases of a property; with `PROPTEST_CASES`, of which the default is 256, so many times more.
pub(super) fn config(cases: u32) -> ProptestConfig {
    const USUAL: u32 = 256;
    let usual = ProptestConfig::default();
    let times = (usual.cases / USUAL).max(1);
    ProptestConfig { cases: cases.saturating_mul(times), failure_persistence: None, ..usual }
}

/// Nothing to compare where the fields name no day at all.
fn parsed(expressions: &[&str], zone: Tz, dst: Dst) -> Option<Schedule> {
    match Schedule::parse(expressions, zone, dst) {
        Ok(schedule) => Some(schedule),
        Err(mistakes) => {
            let text = mistakes[0].1.to_string();
            assert!(text.contains("never fires"), "{text}");
            None
        }
    }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn five_fields_fire_as_the_slow_reference(
        meaning in five_fields(), dst in any_dst(), (zone, after) in zone_and_moment(40),
    ) {
        let until = after + TimeDelta::hours(60);
        let expected = meaning.firings(zone, dst, after, until, TimeDelta::minutes(1));
        let found: Vec<_> = parsed(&[&meaning.text], zone, dst)
            .map(|schedule| schedule.firings(after, until, after).collect())
            .unwrap_or_default();
        prop_assert_eq!(found, expected, "{} in {}", meaning.text, zone);
    }

    #[test]
    fn a_restart_anywhere_continues_the_same_sequence(
        first in five_fields(), second in six_fields(true), dst in any_dst(),
        (zone, after) in zone_and_moment(40), restart in 0..60 * 3_600_i64,
    ) {
        let texts = [first.text.as_str(), second.text.as_str(), "rate(7 minutes)", "at(2026-03-29T02:30:00)"];
        let Some(schedule) = parsed(&texts[..], zone, Dst { gap: Gap::After, ..dst }) else {
            return Ok(());
        };
        prop_assert!(Schedule::of_identity(&schedule.identity()).is_some_and(|read| read == schedule));
        let anchor = after - TimeDelta::seconds(12_345);
        let until = after + TimeDelta::hours(60);
        let all: Vec<_> = schedule.firings(after, until, anchor).take(400).collect();
        for pair in all.windows(2) {
            prop_assert!(pair[0] < pair[1], "{:?} in {}", pair, zone);
        }
        let end = all.last().copied().unwrap_or(until);
        let restart = (after + TimeDelta::seconds(restart)).min(end);
        let tail: Vec<_> = all.iter().copied().filter(|firing| *firing > restart).collect();
        let again: Vec<_> = schedule.firings(restart, end, anchor).collect();
        prop_assert_eq!(again, tail);
    }

    #[test]
    fn six_fields_mean_what_the_crate_means(meaning in six_fields(false), seconds in 0..4_000_000_000_i64) {
        let after = DateTime::from_timestamp(seconds, 0).unwrap();
        let of_crate: cron::Schedule = meaning.text.parse().unwrap();
        let expected: Vec<_> = of_crate.after(&after).take(20).collect();
        let found: Vec<_> = parsed(&[&meaning.text], Tz::UTC, Dst::default())
            .map(|schedule| {
                let end = utc("2100-12-31 23:59:59");
                schedule.firings(after, end, after).take(20).collect()
            })
            .unwrap_or_default();
        prop_assert_eq!(found, expected, "{}", meaning.text);
    }

    #[test]
    fn a_rate_is_a_multiple_of_its_period(
        count in 1..100_000_u32, unit in 0..3_usize, anchor in 0..4_000_000_000_i64, away in -10_000_000..4_000_000_000_i64, nanos in 0..2_000_000_000_u32,
    ) {
        let (name, seconds) = [("minute", 60), ("hour", 3_600), ("day", 86_400)][unit];
        prop_assume!(i64::from(count) * seconds <= 36_500 * 86_400);
        let plural = if count == 1 { "" } else { "s" };
        let schedule = schedule(&format!("rate({count} {name}{plural})"));
        let anchor = DateTime::from_timestamp(anchor, nanos % 1_000_000_000).unwrap();
        let after = DateTime::from_timestamp(anchor.timestamp() + away, nanos / 2).unwrap();
        let period = TimeDelta::seconds(i64::from(count) * seconds);
        let next = schedule.next(after, anchor).unwrap();
        prop_assert!(next > after && next > anchor);
        prop_assert_eq!((next - anchor).num_seconds() % period.num_seconds(), 0);
        prop_assert_eq!(next.nanosecond(), anchor.nanosecond());
        prop_assert!(next - period <= after.max(anchor));
    }
}

proptest! {
    #![proptest_config(config(120))]

    #[test]
    fn six_fields_fire_as_the_slow_reference(
        meaning in six_fields(true), dst in any_dst(), (zone, after) in zone_and_moment(2),
    ) {
        let until = after + TimeDelta::minutes(150);
        let expected = meaning.firings(zone, dst, after, until, TimeDelta::seconds(1));
        let found: Vec<_> = parsed(&[&meaning.text], zone, dst)
            .map(|schedule| schedule.firings(after, until, after).collect())
            .unwrap_or_default();
        prop_assert_eq!(found, expected, "{} in {}", meaning.text, zone);
    }
}

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn special_days_are_those_that_a_look_at_the_month_finds(
        kind in 0..6_u8, number in 1..=31_u32, weekday in 1..=7_u32, year in 1970..2200_i32, month in 1..=12_u32,
    ) {
        let first = NaiveDate::from_ymd_opt(year, month, 1).unwrap();
        let dates: Vec<_> = first.iter_days().take_while(|date| date.month() == month).collect();
        let works = |date: &&NaiveDate| !matches!(date.weekday(), Weekday::Sat | Weekday::Sun);
        let named: Vec<_> = dates.iter().filter(|date| date.weekday().number_from_sunday() == weekday).collect();
        let nth = usize::try_from(number % 5).unwrap();
        let (fields, expected) = match kind {
            0 => ("L * ?".to_owned(), dates.last()),
            1 => {
                let back = usize::try_from(number.min(30)).unwrap();
                (format!("L-{back} * ?"), dates.iter().rev().nth(back))
            }
            2 => ("LW * ?".to_owned(), dates.iter().rev().find(works)),
            3 => {
                let distance = |date: &&NaiveDate| date.day().abs_diff(number);
                let nearest = dates.iter().filter(works).min_by_key(distance);
                (format!("{number}W * ?"), nearest.filter(|_| dates.iter().any(|date| date.day() == number)))
            }
            4 => (format!("? * {weekday}L"), named.last().copied()),
            _ => (format!("? * {weekday}#{}", nth + 1), named.get(nth).copied()),
        };
        let text = format!("cron(0 9 {fields} *)");
        let schedule = schedule(&text);
        let after = first.and_hms_opt(0, 0, 0).unwrap().and_utc();
        let until = after + TimeDelta::days(i64::from(first.num_days_in_month()));
        let found: Vec<_> = schedule.firings(after, until, after).map(|firing| firing.date_naive()).collect();
        let expected: Vec<_> = expected.into_iter().copied().collect();
        prop_assert_eq!(found, expected, "{}", text);
    }

    #[test]
    fn no_text_makes_reading_panic(text in any::<String>(), zone in any_zone()) {
        judge(&text, zone);
    }

    #[test]
    fn no_text_of_the_right_letters_makes_reading_panic(
        text in "(cron|rate|at|)\\(?([0-9*/?,#LW-]{1,4}|MON|fri-sun|JAN|[0-9]{1,12}| days?|[Ă😀 ]|2026-0[0-9]-2[0-9]T0[0-9]:){1,3}( [0-9*?][0-9*/,-]{0,3}(L|W|#)?){0,7}\\)?",
        zone in any_zone(),
    ) {
        judge(&text, zone);
    }
}

/// Whatever is written is answered: by a schedule that can be asked, or by mistakes that point into the text.
fn judge(text: &str, zone: Tz) {
    let now = utc("2026-01-15 10:07:30");
    match Schedule::parse(&[text], zone, Dst::default()) {
        Ok(schedule) => assert!(schedule.next(now, now).is_none_or(|next| next > now)),
        Err(mistakes) => {
            for (_, mistake) in mistakes {
                assert!(text.get(mistake.span()).is_some(), "{text:?}: {mistake:?}");
                assert!(!mistake.to_string().is_empty());
            }
        }
    }
}
