//! Files to a [`Config`]: which files, in which order, and what they may hold.
//!
//! The main file comes first, because its `[defaults]` are needed by every job; then `jobs.d/*.toml` by name. Jobs are
//! checked one by one as their tables are read, so that a large configuration is not held three times. Every kind of
//! trouble with a file itself is a finding like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use crate::engine::job::{Instance, Job, JobName};
use crate::engine::notice::ChannelId;
use crate::engine::written::Written;
use crate::local::TaskDefinition;
use crate::notify::Channel;

use super::check::{self, Frame};
use super::conceal;
use super::file::{self, SettingsFile};
use super::local;
use super::notify::Channels;
use super::proofs::Gaps;
use super::reader::{Field, Origin, Table, Value};
use super::report::{self, Level, Note, Place, Report, Source, shown};
use super::variables::{self, Lookup};
use super::{Config, EcsSettings, Loaded};
use super::{syntax, targets};

/// The largest file that is read.
const FILE_MAX: u64 = 64 << 20;
/// How many files of `jobs.d` are read.
const FILES_MAX: usize = 10_000;
/// The folder beside the main file.
pub(super) const FOLDER: &str = "jobs.d";
/// The tables that only the main file may hold.
const MAIN_ONLY: [&str; 11] = [
    "instance",
    "state",
    "control",
    "http",
    "retention",
    "ecs",
    "targets",
    "max_running",
    "groups",
    "heartbeat",
    "defaults",
];
/// The name of an installation that was given none.
const INSTANCE: &str = "default";
/// The main file is the first source.
const MAIN: u32 = 0;

/// Reads `path` and `jobs.d/*.toml` beside it; `lookup` knows the environment.
pub(super) fn load(path: &Path, lookup: Lookup<'_>) -> Loaded {
    let report = Report::default();
    let mut sources = Vec::new();
    read_file(path, &mut sources, &report);
    let folder = path.parent().unwrap_or(Path::new(""));
    for file in files_of(&folder.join(FOLDER), &mut sources, &report) {
        read_file(&file, &mut sources, &report);
    }
    let (config, [state, control_socket]) = assemble(path, folder, &sources, &report, lookup);
    let (concealed, broken) = report.concealed();
    let findings = report.finish(&sources);
    // Only now that lines and columns are counted.
    conceal::write_over(&mut sources, concealed.into_iter(), |source| broken.contains(&source));
    let is_refused = findings.iter().any(|finding| finding.level == Level::Error);
    Loaded { config: config.filter(|_| !is_refused), findings, state, control_socket, sources }
}

/// Reads a file into `sources`. One that cannot be read stays there with no text, so that its findings have a name.
fn read_file(path: &Path, sources: &mut Vec<Source>, report: &Report) {
    let source = u32::try_from(sources.len()).unwrap_or(u32::MAX);
    let text = read_text(path).unwrap_or_else(|(code, message)| {
        report.set_broken(source);
        report.add(Note::on_file(Level::Error, code, source, message));
        String::new()
    });
    sources.push(Source { file: path.to_owned(), text });
}

fn read_text(path: &Path) -> Result<String, (&'static str, String)> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            ("missing-file", "the file does not exist; give the path of a configuration with --config".to_owned())
        }
        _ => ("unreadable-file", format!("this cannot be read: {error}")),
    };
    let about = fs::metadata(path).map_err(unreadable)?;
    if about.is_dir() {
        return Err(("not-a-file", "this is a directory; give the path of a file".to_owned()));
    }
    if !about.is_file() {
        // Reading a pipe could wait for ever, and a reload would find it empty.
        return Err(("not-a-file", "this is not a regular file".to_owned()));
    }
    // Of its size from the start: all texts are held until all files are read, and a buffer that grows takes twice the room.
    let mut bytes = Vec::with_capacity(usize::try_from(about.len().min(FILE_MAX)).unwrap_or_default());
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(("too-large", format!("the file is larger than {} MiB", FILE_MAX >> 20)));
    }
    text_of(bytes)
}

/// UTF-8 text without its byte order mark.
fn text_of(bytes: Vec<u8>) -> Result<String, (&'static str, String)> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(("not-text", "the file is UTF-16; save it as UTF-8".to_owned()));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(("not-text", format!("the file is no text: byte {} is zero", at + 1)));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        ("not-text", format!("the file is not UTF-8: byte {} in line {line}", at + 1))
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The files of `jobs.d` by name; none if there is no such folder.
fn files_of(folder: &Path, sources: &mut Vec<Source>, report: &Report) -> Vec<PathBuf> {
    let mut refuse = |code, message: String| {
        let source = u32::try_from(sources.len()).unwrap_or(u32::MAX);
        report.set_broken(source);
        report.add(Note::on_file(Level::Error, code, source, message));
        sources.push(Source { file: folder.to_owned(), text: String::new() });
        Vec::new()
    };
    let names: io::Result<BTreeSet<PathBuf>> = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return refuse(
                "not-a-file",
                "this is a file; the job files belong into a directory of this name".to_owned(),
            );
        }
        Err(error) => Err(error),
    };
    let names = match names {
        Ok(names) => names,
        Err(error) => return refuse("unreadable-file", format!("this cannot be read: {error}")),
    };
    let is_hidden = |path: &Path| path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let files: Vec<PathBuf> = names
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml") && !is_hidden(path))
        .collect();
    if files.len() > FILES_MAX {
        return refuse("too-large", format!("the directory holds {} files; at most {FILES_MAX} are read", files.len()));
    }
    files
}

/// The whole, and where state and control socket are even if there is no whole.
fn assemble(
    path: &Path,
    folder: &Path,
    sources: &[Source],
    report: &Report,
    lookup: Lookup<'_>,
) -> (Option<Config>, [Option<PathBuf>; 2]) {
    let text = sources.first().map_or("", |source| source.text.as_str());
    let origin = Origin { report, source: MAIN, text, folder };
    let (tree, nothing) = (parse(origin, lookup), DeTable::new());
    let main = Table::whole(origin, &tree);
    let settings = file::settings(&main, folder);
    if matches!(settings.defaults, Field::Wrong) {
        // What the jobs would inherit is not known, so nothing of theirs can be called missing.
        report.set_broken(MAIN);
    }
    let no_defaults = file::defaults(&Table::whole(origin, &nothing));
    let frame = Frame {
        report,
        defaults: settings.defaults.valid().map_or(&no_defaults, |at| &at.value),
        poll_interval: settings.ecs.valid().map_or(EcsSettings::default().poll_interval, |at| at.value.poll_interval),
        targets: &settings.targets,
        own_target: Arc::default(),
        channels: Channels::default(),
        gaps: Gaps::default(),
    };
    // A default that no job inherits is judged all the same.
    targets::chosen(&frame, frame.defaults);
    frame.channels.add(report, &frame.defaults.notify);
    let mut gathered = Gathered::default();
    gathered.add(&frame, &main);
    main.refuse_others();
    if main.is_empty() && !report.is_broken(MAIN) {
        let message = "the file is empty; a configuration needs at least one [jobs.NAME]";
        report.add(Note::on_file(Level::Error, "empty-file", MAIN, message));
        report.set_broken(MAIN);
    }
    for (source, file) in (0..).zip(sources).skip(1) {
        let origin = Origin { report, source, text: &file.text, folder };
        let tree = parse(origin, lookup);
        let whole = Table::whole(origin, &tree);
        if whole.is_empty() && !report.is_broken(source) {
            let note = Note::on_file(Level::Warning, "empty-file", source, "the file is empty");
            report.add(note.help("remove it, or write a [jobs.NAME]".to_owned()));
        }
        refuse_settings(&whole);
        gathered.add(&frame, &whole);
        whole.refuse_others();
    }
    let places = [&settings.state, &settings.control_socket].map(|field| field.valid()?.value.clone());
    let channels = frame.channels.into_inner();
    (settle(path, settings, gathered, channels, report, sources), places)
}

/// The tree of one file, with its variables replaced.
pub(super) fn parse<'t>(origin: Origin<'t>, lookup: Lookup<'_>) -> DeTable<'t> {
    let mut tree = syntax::parse(origin.text, origin.source, origin.report);
    variables::substitute(&mut tree, origin, lookup);
    tree
}

/// The tables of the main file in a file of `jobs.d`.
fn refuse_settings(whole: &Table<'_>) {
    for (place, key, _) in whole.entries().filter(|(_, key, _)| MAIN_ONLY.contains(key)) {
        let message =
            format!("`{key}` belongs into the main file; a file of {FOLDER} holds [jobs.NAME] and [local] only");
        whole.report().add(Note::error("misplaced-table", place, message));
    }
    whole.accept(&MAIN_ONLY);
}

/// The settings with their defaults, and the doubts about the whole.
fn settle(
    path: &Path,
    settings: SettingsFile,
    gathered: Gathered,
    channels: BTreeMap<ChannelId, Arc<Channel>>,
    report: &Report,
    sources: &[Source],
) -> Option<Config> {
    if settings.instance.is_absent() && !report.is_broken(MAIN) {
        let message = format!(
            "instance is not set, so this installation is called \"{INSTANCE}\"; another one of this name on the same cluster \
             would take its tasks for its own"
        );
        let help = "write instance = \"NAME\" at the top of this file";
        report.add(Note::on_file(Level::Warning, "no-instance", MAIN, message).help(help.to_owned()));
    }
    if gathered.job_places.is_empty() && !report.is_any_broken() {
        let note = Note::on_file(Level::Warning, "no-jobs", MAIN, "no file defines a job, so nothing will ever run");
        report.add(note.help(format!("write a [jobs.NAME] here or in {FOLDER}/NAME.toml beside this file")));
    }
    warn_of_groups(&settings, &gathered, report);
    let target_queues = targets::queues(&settings.targets);
    let targets = targets::settle(settings.targets, report);
    let written = Arc::new(written(&gathered, sources));
    Some(Config {
        path: path.to_owned(),
        instance: match settings.instance {
            Field::Absent => Instance::new(INSTANCE).ok()?,
            Field::Wrong => return None,
            Field::Is(at) => at.value,
        },
        state: settings.state.optional()?.flatten(),
        control_socket: settings.control_socket.optional()?.flatten(),
        http: settings.http.optional()?.unwrap_or_default(),
        retention: settings.retention.optional()?.unwrap_or_default(),
        ecs: settings.ecs.optional()?.unwrap_or_default(),
        targets: targets?,
        target_queues,
        max_running: settings.max_running.optional()?,
        groups: settings
            .groups
            .optional()?
            .unwrap_or_default()
            .into_iter()
            .map(|(name, at)| (name, at.value))
            .collect(),
        channels,
        heartbeat: settings.heartbeat.optional()?,
        jobs: gathered.jobs,
        written,
        local: gathered.local,
    })
}

/// Where each job is written.
fn written(gathered: &Gathered, sources: &[Source]) -> Written {
    let lines = report::locate(sources, gathered.job_places.values().copied());
    let at = |job: &JobName| {
        let place = gathered.job_places.get(job.as_str())?;
        let (line, _) = lines.get(&(place.source, place.start))?;
        Some((job.clone(), place.source, u32::try_from(*line).unwrap_or(u32::MAX)))
    };
    let files = sources.iter().map(|source| Arc::from(source.file.as_path())).collect();
    Written::new(files, gathered.jobs.keys().filter_map(at))
}

/// A group that is misspelt has no limit, and a limit without a job limits nothing.
fn warn_of_groups(settings: &SettingsFile, gathered: &Gathered, report: &Report) {
    let Some(groups) = settings.groups.valid().map(|at| &at.value).filter(|groups| !groups.is_empty()) else { return };
    let mut used = BTreeSet::new();
    for job in gathered.jobs.values() {
        let Some(group) = job.definition.task.group.as_deref() else { continue };
        used.insert(group);
        let place = gathered.job_places.get(job.name.as_str()).filter(|_| !groups.contains_key(group));
        let Some(place) = place else { continue };
        let mut message =
            format!("jobs.{}: there is no [groups.{}], so nothing limits its group", job.name, shown(group));
        if let Some(meant) = report.suggest(group, groups.keys().map(String::as_str)) {
            message.push_str(&format!("; did you mean \"{meant}\"?"));
        }
        report.add(Note::warning("unlimited-group", *place, message));
    }
    for (name, limit) in groups.iter().filter(|(name, _)| !used.contains(name.as_str())) {
        if !report.is_any_broken() {
            let message = format!("groups.{}: no job is of this group", shown(name));
            report.add(Note::warning("unused-group", limit.place, message));
        }
    }
}

/// Everything of all files that has a name, and where each name was first defined.
#[derive(Debug, Default)]
struct Gathered {
    jobs: BTreeMap<JobName, Arc<Job>>,
    job_places: BTreeMap<String, Place>,
    local: Vec<TaskDefinition>,
    local_places: BTreeMap<String, Place>,
}

impl Gathered {
    fn add(&mut self, frame: &Frame<'_>, whole: &Table<'_>) {
        whole.get("jobs", |value| {
            value.names(|table| {
                table.entries().for_each(|entry| self.add_job(frame, entry));
                Some(())
            })
        });
        whole.get("local", |value| value.table(|local| Some(self.add_definitions(frame.report, local))));
    }

    fn add_definitions(&mut self, report: &Report, local: &Table<'_>) -> Field<()> {
        local.get("task_definitions", |value| {
            value.names(|table| {
                table.entries().for_each(|entry| self.add_local(report, entry));
                Some(())
            })
        })
    }

    fn add_job(&mut self, frame: &Frame<'_>, (key, name, value): (Place, &str, Value<'_>)) {
        if let Some(first) = self.job_places.get(name) {
            let message = format!("the job `{}` is defined twice", shown(name));
            frame.report.add(Note::error("duplicate-job", key, message).also(Some(*first), "first defined here"));
        } else {
            self.job_places.insert(name.to_owned(), key);
        }
        let job = value.table(|table| Some(file::job(table))).and_then(|own| check::job(frame, value.place, name, own));
        if let Some(job) = job {
            self.jobs.insert(job.name.clone(), Arc::new(job));
        }
    }

    fn add_local(&mut self, report: &Report, (key, name, value): (Place, &str, Value<'_>)) {
        if let Some(first) = self.local_places.get(name) {
            let message = format!("the local task definition `{}` is defined twice", shown(name));
            let note = Note::error("duplicate-task-definition", key, message);
            report.add(note.also(Some(*first), "first defined here"));
        } else {
            self.local_places.insert(name.to_owned(), key);
        }
        self.local.extend(local::task_definition(name, &value));
    }
}
