//! How the daemon is: the details behind "ready", and the switch that pauses all jobs.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::Facts;
use crate::daemon::Health;
use crate::engine::pause::Pause;
use crate::engine::run::Status;
use crate::store::NoticeCounts;
use crate::web::page::parts::{Look, count, deed, local, moment, words};
use crate::web::page::shell::Viewer;

/// How many clusters that do not answer are named.
const CLUSTERS_MAX: usize = 10;

pub(super) fn daemon(viewer: &Viewer, facts: &Facts) -> Markup {
    let health = &viewer.health;
    html! {
        h2 { "Daemon" }
        dl .facts {
            dt { "State" }
            dd { (state(viewer)) @if let Some(at) = health.began_at { "; it started at " (moment(at)) } }
            dt { "Next firing" }
            dd { (next_firing(health, facts)) }
            dt { "In flight" }
            dd { (in_flight(&facts.in_flight)) }
            @for queue in health.launches.iter().filter(|queue| queue.waiting > 0 || queue.slowed) {
                dt { "Launches" }
                dd {
                    (count(queue.waiting, "waits", "wait")) " for the quota of " (queue.key)
                    @if let Some(since) = queue.since { ", the first since " (moment(since)) }
                    @if queue.slowed {
                        ". " (mark(Look::Caught, "ECS throttles")) ": " (format!("{:.1}", queue.rate)) " a second now"
                    }
                }
            }
            dt { "ECS" }
            dd { (clusters(health, viewer.now)) }
            dt { "State file" }
            dd {
                @match &health.store_error {
                    None => "can be written",
                    Some(why) => { (mark(Look::Bad, "can't be written")) ": " (why) },
                }
            }
            @if let Ok(NoticeCounts { owed, dead }) = &facts.notices {
                @if owed + dead > 0 {
                    dt { "Notices" }
                    dd {
                        (owed) " to be delivered"
                        @if *dead > 0 { "; " (mark(Look::Bad, "given up:")) " " (dead) }
                        "; " code { "tenacron notices" } " says why"
                    }
                }
            }
            dt { "Configuration" }
            dd { (configuration(health)) }
        }
        @if let Some(pause) = facts.pause_of_all() { p { (mark(Look::Gone, "all jobs are paused")) " " (paused(pause)) } }
        @if viewer.may_act && !facts.known().is_empty() { (switch(facts.pause_of_all().is_some())) }
    }
}

fn mark(look: Look, text: &str) -> Markup {
    html! { span class={ "mark " (look.class()) } { span aria-hidden="true" { (look.sign()) } " " (text) } }
}

fn state(viewer: &Viewer) -> Markup {
    match (viewer.health.unready(viewer.now), viewer.health.draining) {
        (Some(why), _) => html! { (mark(Look::Bad, "not ready")) ": " (why) },
        (None, Some(left)) => {
            html! { (mark(Look::Caught, "draining")) ": it waits for " (count(left, "run", "runs")) }
        }
        (None, None) => mark(Look::Good, "ready"),
    }
}

fn next_firing(health: &Health, facts: &Facts) -> Markup {
    let Some(next) = &health.next_firing else {
        return html! { span .muted { "none: nothing fires, or all that would is paused" } };
    };
    let zone = facts.known().iter().find(|view| view.job.name == next.job).map(|view| view.job.schedule.zone());
    html! {
        a href={ "/jobs/" (next.job) } { (next.job) } ", " (moment(next.at))
        @if let Some(zone) = zone { " " span .muted { "(" (local(next.at, zone)) ")" } }
    }
}

fn in_flight(statuses: &[(Status, usize)]) -> Markup {
    let living: Vec<_> = statuses.iter().filter(|(_, runs)| *runs > 0).collect();
    html! {
        @if living.is_empty() { span .muted { "nothing" } }
        @for (n, (status, runs)) in living.into_iter().enumerate() {
            @if n > 0 { ", " }
            a href={ "/runs?status=" (status.as_str()) } { (runs) " " (words(status.as_str())) }
        }
    }
}

fn clusters(health: &Health, now: DateTime<Utc>) -> Markup {
    let silent: Vec<String> = health.ecs.iter().filter_map(|site| site.trouble(now)).collect();
    let answering = health.ecs.len() - silent.len();
    html! {
        @if silent.is_empty() {
            "answers for " (count(answering, "cluster", "clusters"))
        } @else {
            @for why in silent.iter().take(CLUSTERS_MAX) { div { (mark(Look::Bad, why)) } }
            @if silent.len() > CLUSTERS_MAX { div { "and for " (silent.len() - CLUSTERS_MAX) " more" } }
            @if answering > 0 { div { "It answers for " (count(answering, "other", "others")) "." } }
        }
    }
}

fn configuration(health: &Health) -> Markup {
    let refused = health.reload.as_ref().and_then(|reload| Some((reload.at, reload.error.as_ref()?)));
    html! {
        @if let Some(at) = health.config_taken_at { "taken at " (moment(at)) }
        @if let Some((at, why)) = refused {
            p { (mark(Look::Bad, "not taken")) " at " (moment(at)) ", the one before goes on:" }
            pre tabindex="0" role="region" aria-label="Why the configuration was not taken" { (why) }
        }
    }
}

/// By whom, why and for how long.
pub(super) fn paused(pause: &Pause) -> Markup {
    html! {
        (pause.asker.in_words()) ", "
        @match pause.until { Some(until) => { "until " (moment(until)) }, None => "until somebody resumes" }
    }
}

fn switch(is_paused: bool) -> Markup {
    if is_paused {
        let what = "Instants of all jobs lead to runs again. Those that were left out are not made up for.";
        return deed("/resume", "Resume all jobs", what, &html! {});
    }
    let what = "Instants of all jobs are left out and not made up for. What is in flight goes on.";
    let hours = html! {
        label { "Hours; until somebody resumes if empty " input type="number" name="hours" min="1" max="8784" step="1"; }
    };
    deed("/pause", "Pause all jobs", what, &hours)
}
