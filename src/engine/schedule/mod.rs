//! placeholder
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
#[derive(Debug, Clone)]
pub struct Schedule(Tz);
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gap {
    #[default]
    After,
    Skip,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    #[default]
    First,
    Both,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dst {
    pub gap: Gap,
    pub overlap: Overlap,
}
#[derive(Debug, Clone)]
pub struct ScheduleError {
    pub span: (usize, usize),
}
impl std::fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("x")
    }
}
impl Schedule {
    pub fn parse(_e: &[&str], zone: Tz, _dst: Dst) -> Result<Schedule, Vec<(usize, ScheduleError)>> {
        Ok(Schedule(zone))
    }
    pub fn next(&self, after: DateTime<Utc>, _anchor: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Some(after)
    }
    pub fn firings(
        &self,
        _after: DateTime<Utc>,
        _until: DateTime<Utc>,
        _anchor: DateTime<Utc>,
    ) -> impl Iterator<Item = DateTime<Utc>> + use<> {
        std::iter::empty()
    }
    pub fn zone(&self) -> Tz {
        self.0
    }
    pub fn text(&self) -> String {
        String::new()
    }
}
