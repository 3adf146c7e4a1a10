//! The first line: is everything well? And in a sentence or two what is not.

use maud::{Markup, html};

use super::Facts;
use crate::daemon::driver::JobView;
use crate::store::NoticeCounts;
use crate::web::page::parts::{Look, count};
use crate::web::page::shell::Viewer;

/// How many failing jobs are named before the others are only counted.
const NAMED_MAX: usize = 5;

pub(super) fn verdict(viewer: &Viewer, facts: &Facts) -> Markup {
    let failing: Vec<&JobView> = facts.known().iter().filter(|view| view.failing).collect();
    let (look, line) = match (viewer.health.unready(viewer.now), &facts.jobs) {
        (Some(why), _) => (Look::Bad, html! { "The daemon is not ready: " (why) }),
        (None, Err(_)) => (Look::Bad, html! { "The daemon does not say how its jobs are" }),
        (None, Ok(_)) if !failing.is_empty() => (Look::Bad, in_words(&failing, facts.known().len())),
        (None, Ok(jobs)) if jobs.is_empty() => (Look::Gone, html! { "There are no jobs yet" }),
        (None, Ok(_)) if facts.pause_of_all().is_some() => (Look::Gone, html! { "All jobs are paused" }),
        (None, Ok(jobs)) => (Look::Good, html! { (all_well(jobs.len())) }),
    };
    let beside = beside(viewer, facts, &failing);
    html! {
        h1 .verdict.(look.class()) { span aria-hidden="true" { (look.sign()) } " " (line) }
        @if !beside.is_empty() {
            p { @for (n, what) in beside.iter().enumerate() { @if n > 0 { " " } (what) } }
        }
    }
}

fn all_well(jobs: usize) -> String {
    match jobs {
        1 => "The one job is well".to_owned(),
        jobs => format!("All {jobs} jobs are well"),
    }
}

/// "2 of 42 jobs are failing: a, b".
fn in_words(failing: &[&JobView], jobs: usize) -> Markup {
    let are = if failing.len() == 1 { "is" } else { "are" };
    html! {
        (failing.len()) " of " (count(jobs, "job", "jobs")) " " (are) " failing: "
        @for (n, view) in failing.iter().take(NAMED_MAX).enumerate() {
            @if n > 0 { ", " }
            a href={ "/jobs/" (view.job.name) } { (view.job.name) }
        }
        @if failing.len() > NAMED_MAX {
            " and " a href="/?show=failing" { (count(failing.len() - NAMED_MAX, "other", "others")) }
        }
    }
}

/// What else is out of the ordinary; each a sentence.
fn beside(viewer: &Viewer, facts: &Facts, failing: &[&JobView]) -> Vec<Markup> {
    let health = &viewer.health;
    let mut told = Vec::new();
    if health.unready(viewer.now).is_some() && !failing.is_empty() {
        told.push(html! { (in_words(failing, facts.known().len())) "." });
    }
    if let Some(left) = health.draining {
        told.push(html! { "It begins nothing new and ends once " (count(left, "run", "runs")) " in flight " (if left == 1 { "is" } else { "are" }) " over." });
    }
    if health.reload.as_ref().is_some_and(|reload| reload.error.is_some()) {
        told.push(html! { a href="#daemon" { "The newest configuration was not taken" } ", the one before goes on." });
    }
    let paused = facts.known().iter().filter(|view| view.paused.is_some()).count();
    if facts.pause_of_all().is_some() && !failing.is_empty() {
        told.push(html! { a href="#daemon" { "All jobs are paused" } "." });
    }
    if let Ok(NoticeCounts { dead, .. }) = &facts.notices
        && *dead > 0
    {
        let dead = usize::try_from(*dead).unwrap_or(usize::MAX);
        told.push(html! { a href="#daemon" { (count(dead, "notice was", "notices were")) " given up" } "." });
    }
    if facts.pause_of_all().is_none() && paused > 0 {
        let are = if paused == 1 { "is" } else { "are" };
        told.push(html! { a href="/?show=paused" { (count(paused, "job", "jobs")) } " " (are) " paused." });
    }
    told
}
