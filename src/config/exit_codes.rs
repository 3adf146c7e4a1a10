//! `exit_codes`: what the exit codes of a job mean, and whether its retriers agree.
//!
//! The lists are asked before the retriers (`engine/exit_codes.rs`), so a retrier can name a code that it never sees, and a
//! code can be meant to be tried again by nobody. Both load, and both are warnings.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engine::catalogue;
use crate::engine::exit_codes::ExitCodes;
use crate::engine::failure::ErrorName;
use crate::engine::retry::{Decision, RetryPolicy};

use super::reader::{Table, Value};
use super::report::Note;

/// Reads the lists. A code means one thing, and 0 is a success wherever it comes from.
pub(super) fn lists(table: &Table<'_>) -> Option<Arc<ExitCodes>> {
    let succeed = table.get("succeed", |value| codes(value, 0));
    let skip = table.get("skip", |value| codes(value, 1));
    let fail = table.get("fail", |value| codes(value, 1));
    let retry = table.get("retry", |value| codes(value, 1));
    let lists = [("succeed", &succeed), ("skip", &skip), ("fail", &fail), ("retry", &retry)];
    let mut is_clear = true;
    for (nth, (name, list)) in lists.iter().enumerate() {
        let Some(list) = list.valid() else { continue };
        for (earlier_name, earlier) in lists.iter().take(nth).filter_map(|(name, list)| Some((name, list.valid()?))) {
            for code in list.value.intersection(&earlier.value) {
                let message =
                    format!("{}.{name}: {code} stands in {earlier_name} too; a code means one thing", table.path);
                table.report().add(Note::error("bad-value", list.place, message).also(Some(earlier.place), "here"));
                is_clear = false;
            }
        }
    }
    let lists = ExitCodes {
        succeed: succeed.or_default(BTreeSet::new())?,
        skip: skip.or_default(BTreeSet::new())?,
        fail: fail.or_default(BTreeSet::new())?,
        retry: retry.optional()?,
    };
    is_clear.then(|| Arc::new(lists))
}

fn codes(value: &Value<'_>, least: i64) -> Option<BTreeSet<u8>> {
    let codes: Vec<u8> = value.list(|item| item.integer(least..=255))?;
    Some(codes.into_iter().collect())
}

/// Exit codes that shall be tried again and that no retrier grants a retry.
pub(super) fn untried(lists: &ExitCodes, policy: &RetryPolicy) -> Vec<u8> {
    let is_tried = |code: &u8| {
        let kinds = catalogue::of_name(&ErrorName::exit_code(i32::from(*code)));
        let decided = kinds.first().map(|kind| policy.decide(&kind.failure, &[], 1.0));
        matches!(decided, Some(Decision::Retry { .. }))
    };
    lists.retry.iter().flatten().copied().filter(|code| !is_tried(code)).collect()
}

/// Exit codes that a retrier names and is never asked about: which retrier, the code, and what becomes of it instead.
pub(super) fn overruled(lists: &ExitCodes, policy: &RetryPolicy) -> Vec<(usize, i32, &'static str)> {
    let fate = |code: i32| {
        let failure = catalogue::of_name(&ErrorName::exit_code(code)).into_iter().next().map(|kind| kind.failure);
        if lists.is_success(Some(code)) {
            Some("calls it a success")
        } else if lists.is_skip(Some(code)) {
            Some("calls it nothing to do")
        } else {
            failure.and_then(|failure| lists.forbids_retry(&failure)).map(|_| "never lets it be tried again")
        }
    };
    let names = policy.retriers().iter().enumerate();
    let named = names.flat_map(|(index, retrier)| retrier.error_equals.iter().map(move |name| (index, name)));
    let codes = named.filter_map(|(index, name)| Some((index, catalogue::exit_code(name.as_str())?)));
    codes.filter_map(|(index, code)| Some((index, code, fate(code)?))).collect()
}
