//! What can be proved of a job before it runs: limits that leave no room, and settings without effect.
//!
//! Every finding here is a warning, because the job does run, and not as its author thinks. The arithmetic of retries is
//! the engine's (`engine/retry.rs`); here it meets the limits and the schedule, and gets a sentence and a place.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use humantime::format_duration;

use crate::engine::catalogue;
use crate::engine::forecast::longest_run;
use crate::engine::job::{Limits, OnUnknown, Overlap};
use crate::engine::launch::RESEND_WINDOW;
use crate::engine::retry::RetryPolicy;
use crate::engine::schedule::Schedule;

use super::check::Frame;
use super::exit_codes;
use super::file::JobFile;
use super::reader::At;
use super::report::{Note, Place, shown};

/// From where schedules are looked at: 2026-01-01T00:00:00Z. Any moment serves, as long as it is always the same one.
const LOOK_FROM: DateTime<Utc> = DateTime::from_timestamp(1_767_225_600, 0).expect("the instant exists");
/// How many instants of a schedule are looked at.
const INSTANTS_MAX: usize = 50;
/// How many schedules are looked at so closely in one load; of further ones, the first few instants are.
const SCHEDULES_MAX: usize = 2_000;
const INSTANTS_FEW: usize = 3;
/// So many retries fit the list of attempts of one run.
const RETRIES_MAX: u64 = 1_000;

/// The shortest gap of each schedule that was asked for: many jobs share few schedules.
pub(super) type Gaps = RefCell<HashMap<String, Option<Duration>>>;

/// A job as its proofs see it.
pub(super) struct Case<'c> {
    pub(super) frame: &'c Frame<'c>,
    pub(super) name: &'c str,
    /// Of the job's table.
    pub(super) place: Place,
    /// Its own keys and the inherited ones.
    pub(super) said: &'c JobFile,
    /// Whether `timeout` is a key of its own.
    pub(super) has_own_timeout: bool,
    pub(super) schedule: Option<&'c Schedule>,
}

impl Case<'_> {
    /// Reports everything that can be proved.
    pub(super) fn prove(&self) {
        static DEFAULT: LazyLock<RetryPolicy> = LazyLock::new(RetryPolicy::default);
        let retry = match &self.said.retry {
            retry if retry.is_wrong() => None,
            retry => Some(retry.valid().map_or(&*DEFAULT, |at| &at.value)),
        };
        self.no_timeout();
        self.slow_poll();
        self.useless_rerun();
        if let Some(retry) = retry {
            self.exit_codes(retry);
            self.endless_retries(retry);
            self.timeout_too_short(retry);
            self.overlapping_runs(retry);
        }
    }

    fn warn(&self, code: &'static str, place: Place, message: String, help: impl Into<String>) {
        self.frame.report.add(Note::warning(code, place, message).help(help.into()));
    }

    fn no_timeout(&self) {
        if self.said.timeout.is_absent() {
            let message = format!("jobs.{}: timeout is not set, so a run has no limit of time", shown(self.name));
            let help = "set timeout here or in [defaults]: the longest that the whole run may take";
            self.frame.report.add_absence(Note::warning("no-timeout", self.place, message).help(help.to_owned()));
        }
    }

    fn slow_poll(&self) {
        let said = self.said;
        let limits = [
            ("attempt_timeout", &said.attempt_timeout),
            ("start_timeout", &said.start_timeout),
            ("timeout", &said.timeout),
        ];
        for (key, limit) in limits.into_iter().filter_map(|(key, limit)| Some((key, limit.valid()?))) {
            if limit.value < self.frame.poll_interval {
                let (limit_text, interval) = (format_duration(limit.value), format_duration(self.frame.poll_interval));
                let message = format!(
                    "{key}: {limit_text} is shorter than ecs.poll_interval = \"{interval}\", so it is noticed late"
                );
                let help = format!("set {key} to \"{interval}\" or more, or ecs.poll_interval to less");
                self.warn("slow-poll", limit.place, message, help);
            }
        }
    }

    fn useless_rerun(&self) {
        let (Some(on_unknown), Some(timeout)) = (self.said.on_unknown.valid(), self.said.timeout.valid()) else {
            return;
        };
        let window = RESEND_WINDOW.to_std().unwrap_or_default();
        if on_unknown.value == OnUnknown::Rerun && timeout.value <= window {
            let (limit, window) = (format_duration(timeout.value), format_duration(window));
            let message = format!(
                "on_unknown: \"rerun\" has no effect under timeout = \"{limit}\": whether a task was launched is unknown {window} \
                 after its launch at the earliest, and then the run is over"
            );
            self.warn(
                "useless-rerun",
                on_unknown.place,
                message,
                format!("raise timeout above {window}, or remove on_unknown"),
            );
        }
    }

    fn endless_retries(&self, retry: &RetryPolicy) {
        let Some(at) = self.said.retry.valid().filter(|_| self.said.timeout.is_absent()) else { return };
        let granted = retry.retries_max();
        if granted > RETRIES_MAX {
            let message = format!(
                "retry: {granted} retries without a timeout: a run that keeps failing goes on for {}, and its list of attempts grows \
                 without bound",
                long(retry.longest_wait())
            );
            let help = format!("set timeout, or let max_attempts add up to {RETRIES_MAX} at most");
            self.warn("endless-retries", at.place, message, help);
        }
    }

    fn timeout_too_short(&self, retry: &RetryPolicy) {
        let Some(timeout) = self.said.timeout.valid() else { return };
        let Some(beyond) = retry.first_beyond(timeout.value) else { return };
        let (limit, all) = (format_duration(timeout.value), long(retry.longest_wait()));
        let which = format!("retry {} of retry[{}] would begin after {}", beyond.nth, beyond.retrier, long(beyond.at));
        let told = if beyond.after_others {
            format!("once the retriers before it are used up, {which}")
        } else {
            format!("{which}, so it can never happen")
        };
        let message = format!("timeout = \"{limit}\" is not longer than the {all} that the retries may wait: {told}");
        let help = format!("raise timeout above {all} and the time that the attempts take, or lower max_attempts");
        let retriers = self.said.retry.valid();
        let place =
            if self.has_own_timeout { timeout.place } else { self.own_place(retriers).unwrap_or(timeout.place) };
        let also = retriers.map(|at| at.place).filter(|retriers| *retriers != place);
        self.frame.report.add(Note::warning("timeout-too-short", place, message).help(help).also(also, "the retriers"));
    }

    fn exit_codes(&self, retry: &RetryPolicy) {
        let Some(lists) = self.said.exit_codes.valid() else { return };
        let retriers = self.said.retry.valid();
        let own = self.own_place(Some(lists)).or_else(|| self.own_place(retriers));
        let place = own.unwrap_or(lists.place);
        let untried: Vec<String> =
            exit_codes::untried(&lists.value, retry).iter().map(|code| format!("Task.ExitCode.{code}")).collect();
        if !untried.is_empty() {
            let message = format!("exit_codes.retry: no retrier grants {} a retry", untried.join(", "));
            let help = "let a retrier name it, or States.TaskFailed, or take it out of the list";
            self.warn("untried-exit-code", place, message, help);
        }
        for (index, code, fate) in exit_codes::overruled(&lists.value, retry) {
            let message = format!("retry[{index}] names Task.ExitCode.{code}, but exit_codes {fate}");
            let help = "the lists of exit_codes are asked first: take the code out of one of the two";
            let also = retriers.map(|at| at.place).filter(|retriers| *retriers != place);
            let note = Note::warning("overruled-retrier", place, message).help(help.to_owned());
            self.frame.report.add(note.also(also, "the retriers"));
        }
    }

    /// The place of a value that the job does not inherit.
    fn own_place<T>(&self, at: Option<&At<T>>) -> Option<Place> {
        at.map(|at| at.place).filter(|place| place.source == self.place.source && place.start > self.place.start)
    }

    /// An `attempt_timeout` says how long an attempt may take. A `timeout` alone says it if it is the job's own; one of
    /// `[defaults]` is a net under all jobs.
    fn overlapping_runs(&self, retry: &RetryPolicy) {
        let (Some(schedule), Some(expressions)) = (self.schedule, self.said.schedule.valid()) else { return };
        // Most jobs are far from it, and the schedule is looked at only where one may not be.
        let Some(most) = self.longest_run(retry, 1 + retry.retries_max()) else { return };
        let Some(gap) = self.frame.shortest_gap(schedule).filter(|gap| *gap < most.0) else { return };
        let attempts = catalogue::task_attempts_max(retry);
        let Some((longest, made_of)) = self.longest_run(retry, attempts).filter(|(longest, _)| gap < *longest) else {
            return;
        };
        let overlap = match &self.said.overlap {
            overlap if overlap.is_wrong() => return,
            overlap => overlap.valid().map_or(Overlap::Skip, |at| at.value),
        };
        let (word, then) = match overlap {
            Overlap::Skip => ("skip", "is skipped"),
            Overlap::Allow => ("allow", "runs beside it"),
            Overlap::QueueOne => ("queue_one", "waits until the run is over, and further ones are skipped"),
            Overlap::QueueAll => ("queue_all", "waits until the run is over, and so do up to a hundred"),
            Overlap::CancelRunning => ("cancel_running", "stops the run"),
        };
        let message = format!(
            "jobs.{}: a run may take {} ({made_of}), and the next firing can be due {} after it; then the next firing {then} \
             (overlap = \"{word}\")",
            shown(self.name),
            long(longest),
            long(gap)
        );
        let help = "lower attempt_timeout, max_attempts or timeout, or let the job fire less often; if this is meant, leave it";
        self.warn("overlapping-runs", expressions.place, message, help);
    }

    /// How long a run of so many attempts in which a task runs may take, and what of.
    fn longest_run(&self, retry: &RetryPolicy, attempts: u64) -> Option<(Duration, String)> {
        if self.said.attempt_timeout.is_wrong() || self.said.timeout.is_wrong() {
            return None;
        }
        let attempt_timeout = self.said.attempt_timeout.valid().map(|at| at.value);
        let timeout = self.said.timeout.valid().map(|at| at.value);
        let timeout = timeout.filter(|_| self.has_own_timeout || attempt_timeout.is_some());
        let longest = longest_run(&Limits { timeout, attempt_timeout, ..Limits::default() }, retry, attempts)?;
        if longest.is_cut {
            return Some((longest.lasts, "timeout".to_owned()));
        }
        let s = if attempts == 1 { "" } else { "s" };
        let (attempt, waits) = (format_duration(attempt_timeout.unwrap_or_default()), long(longest.waits));
        Some((longest.lasts, format!("{attempts} attempt{s} of {attempt} and {waits} of waits")))
    }
}

impl Frame<'_> {
    /// The shortest gap between two of the first instants of a schedule; none if it has fewer than two.
    fn shortest_gap(&self, schedule: &Schedule) -> Option<Duration> {
        let key = schedule.identity();
        if let Some(known) = self.gaps.borrow().get(&key) {
            return *known;
        }
        let looked_at = if self.gaps.borrow().len() < SCHEDULES_MAX { INSTANTS_MAX } else { INSTANTS_FEW };
        let instants = schedule.firings(LOOK_FROM, DateTime::<Utc>::MAX_UTC, LOOK_FROM).take(looked_at);
        let instants: Vec<DateTime<Utc>> = instants.collect();
        let gap = instants.windows(2).filter_map(|pair| (*pair.last()? - *pair.first()?).to_std().ok()).min();
        self.gaps.borrow_mut().insert(key, gap);
        gap
    }
}

/// A duration in words, however long.
fn long(duration: Duration) -> String {
    const YEARS_MAX: u64 = 1_000;
    const YEAR: u64 = 31_557_600;
    if duration.as_secs() > YEARS_MAX * YEAR {
        return format!("over {YEARS_MAX} years");
    }
    format_duration(duration).to_string()
}
