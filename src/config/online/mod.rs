//! `validate --online`: a valid configuration, held against what ECS says of the clusters and task definitions that it names.
//!
//! `doubts.rs` says what is wrong with a job; here each doubt gets its place. Jobs keep no places, so the files are parsed once
//! more, from the texts that were read: a load that asks nobody costs nothing more. A value that a job inherits is
//! reported at its own place, once, however many jobs inherit it.

mod doubts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::de::{DeTable, DeValue};

use self::doubts::{Doubt, Key};
use super::Loaded;
use super::load::parse;
use super::reader::Origin;
use super::report::{Level, Note, Place, Report, shown};
use super::variables::Lookup;
use crate::engine::inventory::{Answer, Inventory, Named};
use crate::engine::job::Job;

/// With which every code of a finding of these begins.
const PREFIX: &str = "online-";

impl Loaded {
    /// Adds to the findings what is wrong with the jobs of a valid configuration by these answers; after an error there is
    /// none any more. Jobs of which nothing was asked are passed over.
    pub fn compare(&mut self, with: &Inventory) {
        self.compare_in(with, &|name| std::env::var_os(name));
    }

    pub(super) fn compare_in(&mut self, with: &Inventory, lookup: Lookup<'_>) {
        let Some(config) = &self.config else { return };
        let report = Report::default();
        let folder = config.path.parent().unwrap_or(Path::new(""));
        let origins = (0..).zip(&self.sources);
        let origins = origins.map(|(source, file)| Origin { report: &report, source, text: &file.text, folder });
        // The values of variables are put in again, so that no message shows them.
        let trees: Vec<(u32, DeTable<'_>)> = origins.map(|origin| (origin.source, parse(origin, lookup))).collect();
        let places = Places::of(&trees);
        let mut unknown = Unknown::default();
        for job in config.jobs.values() {
            unknown.add(&places, job, with);
            for doubt in doubts::of(&job.definition, with, &report) {
                let (place, path) = places.find(job, doubt.key);
                let Doubt { level, code, message, help, .. } = doubt;
                let message = format!("{path}: {message}");
                let note = match level {
                    Level::Error => Note::error(code, place, message),
                    Level::Warning => Note::warning(code, place, message),
                };
                report.add(note.help(help));
            }
        }
        unknown.tell(&report);
        let mut found = report.finish(&self.sources);
        // Parsing tells again of what was found before.
        found.retain(|finding| finding.code.starts_with(PREFIX));
        if found.iter().any(|finding| finding.level == Level::Error) {
            self.config = None;
        }
        self.findings.append(&mut found);
        let source = |file: &Path| self.sources.iter().position(|source| source.file == file);
        self.findings.sort_by_key(|found| (found.level, source(&found.file), found.place.map(|spot| spot.place)));
    }
}

/// What could not be had, by the reason: many things have the same one, and it is told once.
#[derive(Debug, Default)]
struct Unknown<'c>(BTreeMap<&'c str, (Place, String, BTreeSet<Named>)>);

impl<'c> Unknown<'c> {
    fn add(&mut self, places: &Places<'_>, job: &Job, with: &'c Inventory) {
        let task = &job.definition.task;
        let (cluster, definition) = (Named::cluster(task), Named::definition(task));
        let why = |answer: Option<&'c str>, key: Key, named: Named| answer.map(|why| (why, key, named));
        let of_cluster = with.clusters.get(&cluster).and_then(Answer::unknown);
        let of_definition = with.definitions.get(&definition).and_then(Answer::unknown);
        let both = [why(of_cluster, Key::Cluster, cluster), why(of_definition, Key::TaskDefinition, definition)];
        for (why, key, named) in both.into_iter().flatten() {
            let told = self.0.entry(why).or_insert_with(|| {
                let (place, path) = places.find(job, key);
                (place, path, BTreeSet::new())
            });
            told.2.insert(named);
        }
    }

    fn tell(self, report: &Report) {
        for (why, (place, path, things)) in self.0 {
            let others = match things.len() {
                1 => String::new(),
                2 => ", nor could one other".to_owned(),
                all => format!(", nor could {} others", all - 1),
            };
            let message = format!("{path}: could not be checked{others}: {why}");
            let help = "this asks ecs:DescribeClusters and ecs:DescribeTaskDefinition; the jobs may run all the same";
            report.add(Note::warning("online-unchecked", place, message).help(help.to_owned()));
        }
    }
}

/// Where each job says what it says.
struct Places<'p> {
    jobs: BTreeMap<&'p str, (u32, Place, &'p DeTable<'p>)>,
    defaults: Option<(u32, &'p DeTable<'p>)>,
}

impl<'p> Places<'p> {
    fn of(trees: &'p [(u32, DeTable<'p>)]) -> Places<'p> {
        let mut jobs = BTreeMap::new();
        for (source, tree) in trees {
            for (name, job) in tree.get("jobs").and_then(|jobs| jobs.get_ref().as_table()).into_iter().flatten() {
                if let DeValue::Table(keys) = job.get_ref() {
                    jobs.insert(name.get_ref().as_ref(), (*source, Place::new(*source, job.span()), keys));
                }
            }
        }
        let defaults =
            trees.first().and_then(|(source, tree)| Some((*source, tree.get("defaults")?.get_ref().as_table()?)));
        Places { jobs, defaults }
    }

    /// The place of a key of a job and its dotted name: where it is, or where it is inherited from, else the job itself.
    fn find(&self, job: &Job, key: Key) -> (Place, String) {
        let name = job.name.as_str();
        let of_job = format!("jobs.{}", shown(name));
        let Some((source, whole, own)) = self.jobs.get(name) else { return (Place::new(0, 0..0), of_job) };
        let tables =
            [Some((*source, *own, of_job.as_str())), self.defaults.map(|(source, keys)| (source, keys, "defaults"))];
        for (source, keys, path) in tables.into_iter().flatten() {
            if let Some((span, key)) = key.find(keys) {
                return (Place::new(source, span), format!("{path}.{key}"));
            }
        }
        (*whole, of_job)
    }
}
