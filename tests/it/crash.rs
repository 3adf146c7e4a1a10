//! Crash tests of the real process: `kill -9` at random moments, SIGSTOP, lost and late answers, and then an audit of the
//! endpoint's own record. Nothing may be there twice, and nothing may be lost.
//!
//! The long history is a soak when it is asked to be: `SEED=7 KILLS=200 cargo test --test it crash -- --nocapture`. A seed
//! repeats the choices; what the machine does between them it can't repeat.

mod audit;
mod chance;
mod history;
mod jobs;
mod moments;
mod record;
mod told;

use audit::audit;
use history::History;

use super::harness::now;

/// A number in the environment.
fn wanted(name: &str, unless_set: u64) -> u64 {
    std::env::var(name).map_or(unless_set, |text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

/// Plays a history, settles it and audits it.
#[expect(clippy::print_stdout, reason = "the seed of a failure, and the numbers of a soak")]
fn play(what: &str, kills: u64, is_inside: bool) {
    let seed = wanted("SEED", 2);
    println!("{what}: SEED={seed} KILLS={kills}");
    let begun_at = now();
    let kills = usize::try_from(kills).expect("that many");
    let mut history = History::new(seed, kills, is_inside);
    history.play(kills);
    let shown = history.settle();
    let findings = audit(&history, &shown);
    let attempts: usize = shown.stories.iter().filter_map(|story| story["attempt_list"].as_array()).map(Vec::len).sum();
    let (deaths, told) = (&history.deaths, &history.told);
    let count = |status: &str| shown.rows.iter().filter(|row| row["status"] == status).count();
    println!(
        "{what}: seed {seed}: {} kills, {} SIGSTOPs, {} SIGTERMs in {:.0?}; {} rows ({} succeeded, {} failed, {} cancelled, {} \
         skipped, {} missed), {} runs launched, {} attempts, {} tasks, {} launches met the script; {} launches open at a death, {} \
         failed, {} tasks adopted; {} doubles, {} losses, {} wrong",
        deaths.kills,
        deaths.stops,
        deaths.terms,
        now() - begun_at,
        shown.rows.len(),
        count("succeeded"),
        count("failed"),
        count("cancelled"),
        count("skipped"),
        count("missed"),
        shown.stories.len(),
        attempts,
        history.record.tasks.len(),
        history.record.launches(),
        told.count("run resumed"),
        told.count("launch failed"),
        told.count("task adopted"),
        findings.doubles.len(),
        findings.losses.len(),
        findings.wrongs.len(),
    );
    if !findings.are_none() {
        history.site.keep();
        let folder = history.site.path("");
        panic!("SEED={seed} KILLS={kills} found, with the evidence in {}:\n{}", folder.display(), findings.evidence());
    }
    assert!(history.record.tasks.len() > kills, "the history hardly runs anything");
    assert!(told.count("run resumed") * 4 > kills, "the deaths hardly interrupt a launch");
}

#[test]
fn a_history_of_kills_launches_nothing_twice_and_loses_nothing() {
    play("kills beside the endpoint", wanted("KILLS", 25), false);
}

#[test]
fn a_history_of_kills_of_a_trial_with_its_endpoint_launches_nothing_twice() {
    play("kills of a trial with its endpoint", wanted("KILLS", 25).div_ceil(3), true);
}
