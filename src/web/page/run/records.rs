//! What is on record of a run beside its attempts: who was told, its history, what was asked of ECS and what ECS said last.

use maud::{Markup, html};
use serde::Serialize;
use serde_json::Value;

use super::super::parts::{Look, count, moment, words};
use super::Told;
use crate::engine::run::Entry;
use crate::store::{NoticeState, NoticeSummary};

/// How many entries of the history are shown, the newest ones.
const ENTRIES_MAX: usize = 300;
/// How many notices are, likewise.
const NOTICES_MAX: usize = 100;

pub(super) fn records(told: &Told) -> Markup {
    let path = format!("/api/v1/runs/{}", told.run.summary.run);
    html! {
        section #notices data-live aria-labelledby="notices-title" {
            h2 #notices-title { "Notices" }
            (notices(told))
        }
        section #history data-live aria-labelledby="history-title" {
            h2 #history-title { "History" }
            (history(&told.run.events))
        }
        section #evidence data-live aria-labelledby="evidence-title" {
            h2 #evidence-title { "Evidence" }
            (evidence(told))
            p { a href=(path) { "All of this as JSON" } ", as " code { "tenacron show " (told.run.summary.run) " --json" } " prints it" }
        }
    }
}

fn newest<T>(all: &[T], max: usize) -> (usize, &[T]) {
    let left_out = all.len().saturating_sub(max);
    (left_out, all.get(left_out..).unwrap_or_default())
}

fn notices(told: &Told) -> Markup {
    if told.run.notices.is_empty() {
        return html! {
            @if told.definition.notify.is_empty() {
                p .empty {
                    "Nobody is told of the runs of this job. " code { "[[notify]]" } " with " code { "on = [\"failed\"]" }
                    " and a channel tells of those that fail."
                }
            } @else {
                p .muted { "Nothing was to be told yet." }
            }
        };
    }
    let (left_out, shown) = newest(&told.run.notices, NOTICES_MAX);
    html! {
        @if left_out > 0 { p .muted { (count(left_out, "older one is", "older ones are")) " in the JSON only." } }
        table .cards {
            caption .sr { "Who was told of this run" }
            thead { tr { th scope="col" { "About" } th scope="col" { "Channel" } th scope="col" { "State" } th scope="col" { "Tries" } th scope="col" { "Last error" } } }
            tbody { @for notice in shown { (notice_row(notice)) } }
        }
    }
}

fn notice_row(notice: &NoticeSummary) -> Markup {
    let look = match notice.state {
        NoticeState::Owed => Look::Live,
        NoticeState::Delivered => Look::Good,
        NoticeState::Dead => Look::Bad,
    };
    let word = match notice.state {
        NoticeState::Owed => "owed",
        NoticeState::Delivered => "delivered",
        NoticeState::Dead => "given up",
    };
    html! {
        tr data-key=(notice.id) {
            th scope="row" { (words(notice.on.as_str())) }
            td data-name="Channel" { (notice.channel) }
            td data-name="State" {
                span class={ "mark " (look.class()) } { span aria-hidden="true" { (look.sign()) } " " (word) }
                @if let Some(at) = notice.at { " " (moment(at)) }
                @if let Some(next) = notice.next_at { " " span .muted { "next try " (moment(next)) } }
            }
            td data-name="Tries" { (notice.tries) }
            td data-name="Last error" { (notice.last_error.as_deref().unwrap_or("–")) }
        }
    }
}

/// The name of an entry, and what it holds.
fn raw(entry: &Entry) -> (String, Value) {
    let value = serde_json::to_value(&entry.event).unwrap_or_default();
    let name = value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    (name, value.get("detail").cloned().unwrap_or_default())
}

fn history(entries: &[Entry]) -> Markup {
    let (left_out, shown) = newest(entries, ENTRIES_MAX);
    html! {
        @if left_out > 0 { p .muted { (count(left_out, "older entry is", "older entries are")) " in the JSON only." } }
        table .cards.history {
            caption .sr { "What happened, in order" }
            thead { tr { th .num scope="col" { "No." } th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "More" } } }
            tbody {
                @for entry in shown {
                    @let (name, detail) = raw(entry);
                    tr data-key=(entry.seq) {
                        td .num data-name="No." { (entry.seq) }
                        td data-name="When" { (moment(entry.at)) }
                        th scope="row" { (name) }
                        td {
                            (entry.event.to_string())
                            @if detail.as_object().is_some_and(|fields| !fields.is_empty()) {
                                details { summary { "JSON" span .sr { " of entry " (entry.seq) } } (pretty(&detail, &format!("JSON of entry {}", entry.seq))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn evidence(told: &Told) -> Markup {
    let ended = told.run.attempt_list.last().map(|attempt| attempt.tasks.as_slice()).unwrap_or_default();
    html! {
        @match &told.launch {
            Some(launch) => details {
                summary { "What was asked of ECS: launch " (launch.generation) ", frozen" }
                p .muted {
                    "First sent " (moment(launch.first_sent_at)) ". Sent again it is the same to the letter, so that ECS starts nothing twice. "
                    "Values of variables and arguments of commands are not shown: passwords stand in them."
                }
                (pretty(&launch.request.to_be_shown(), "The frozen request"))
            },
            None => p .muted { "Nothing was asked of ECS." },
        }
        @for task in ended {
            @if let Some(described) = &task.described {
                details {
                    summary { "What ECS said last of task " code { (task.task_arn.rsplit('/').next().unwrap_or_default()) } }
                    (pretty(described, "The task as DescribeTasks showed it last"))
                }
            }
        }
        @if let Some(deadline) = told.deadline.filter(|_| told.run.summary.finished_at.is_some()) {
            p .muted { "Its time would have been over at " (moment(deadline)) "." }
        }
    }
}

fn pretty(value: &impl Serialize, label: &str) -> Markup {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    html! { pre tabindex="0" role="region" aria-label=(label) { (text) } }
}

#[cfg(test)]
mod tests {
    use super::super::tests as lives;
    use super::*;
    use crate::engine::notice::{ChannelId, On};
    use crate::engine::run::HistoryEvent;

    fn notice(told: &Told, state: NoticeState, last_error: Option<&str>) -> NoticeSummary {
        NoticeSummary {
            id: "n-1".into(),
            on: On::TimedOut,
            channel: ChannelId("webhook:hooks.example:5c1f0e9a7b".into()),
            job: told.run.summary.job.clone(),
            run: told.run.summary.run.clone(),
            state,
            owed_at: told.now,
            tries: 3,
            last_error: last_error.map(str::to_owned),
            at: Some(told.now),
            next_at: None,
        }
    }

    #[test]
    fn a_notice_tells_its_channel_its_state_and_what_went_wrong() {
        let mut told = lives::failed();
        told.run.notices = vec![notice(&told, NoticeState::Dead, Some("HTTP 500: <script>alert(1)</script>"))];
        let shown = records(&told).into_string();
        for said in ["timed out", "webhook:hooks.example:5c1f0e9a7b", "given up", "HTTP 500: &lt;script&gt;"] {
            assert!(shown.contains(said), "{said}: {shown}");
        }
        let shown = records(&lives::failed()).into_string();
        assert!(shown.contains("Nobody is told of the runs of this job."), "{shown}");
    }

    #[test]
    fn the_history_is_in_words_with_its_json_and_escaped() {
        let mut told = lives::failed();
        let (seq, at) = (2, told.now);
        let event = HistoryEvent::CancelRequested { reason: "</pre><script>alert(1)</script>".into() };
        told.run.events.push(Entry { seq, at, event });
        let shown = records(&told).into_string();
        assert!(shown.contains("ExecutionStarted") && shown.contains("by its schedule, for 2025-06-15"), "{shown}");
        assert!(shown.contains("&quot;reason&quot;: &quot;&lt;/pre&gt;&lt;script&gt;"), "{shown}");
        assert!(!shown.contains("<script"), "{shown}");
    }

    #[test]
    fn a_long_history_shows_its_newest_entries() {
        let mut told = lives::succeeded();
        let entry = told.run.events[0].clone();
        told.run.events = (1..=310).map(|seq| Entry { seq, ..entry.clone() }).collect();
        let shown = history(&told.run.events).into_string();
        assert!(shown.contains("10 older entries are in the JSON only."), "{shown}");
        assert!(shown.contains("data-key=\"310\"") && !shown.contains("data-key=\"10\""), "{shown}");
    }

    #[test]
    fn the_frozen_request_is_shown_without_what_may_be_secret() {
        let shown = records(&lives::succeeded()).into_string();
        assert!(shown.contains("What was asked of ECS: launch 1, frozen"), "{shown}");
        assert!(
            shown.contains("&quot;PASSWORD&quot;: &quot;[redacted]&quot;") && !shown.contains("hunter2"),
            "{shown}"
        );
        assert!(shown.contains("&quot;lastStatus&quot;: &quot;STOPPED&quot;"), "{shown}");
        assert!(records(&lives::skipped()).into_string().contains("Nothing was asked of ECS."));
    }
}
