//! What a configuration comes to, tried on real files.
//!
//! `valid.rs` holds what loads and what it becomes, `mistakes.rs` each mistake with its code and place,
//! `proofs.rs` doubts that take more than one key to see, `rendered.rs` some of
//! them letter by letter, `files.rs` trouble with files and hostile bytes, `surface.rs` the limits of what is launched,
//! `targets.rs` where that is, `notify.rs` who is told, `variables.rs` values from the environment.

use std::fs;
use std::path::PathBuf;

use super::*;

mod files;
mod mistakes;
mod notify;
mod online;
mod proofs;
mod rendered;
mod schema;
mod surface;
mod targets;
mod valid;
mod variables;

/// Enough around a job for it to be valid and without a warning.
const AROUND: &str = "instance = 'test'\n[defaults]\ncluster = 'batch'\ntimeout = '1h'\n";

/// A folder with files; `main.toml` is the main file.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = folder.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self) -> Loaded {
        self.load_with(&[])
    }

    /// The same in an environment of these variables and no others.
    fn load_with(&self, environment: &[(&str, &str)]) -> Loaded {
        let lookup = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        load::load(&self.path("main.toml"), &lookup)
    }

    /// What a person sees, with paths from the folder on.
    fn rendered(&self) -> String {
        self.load().render(false).replace(&format!("{}/", self.0.path().display()), "")
    }

    /// `code file:line:column`, one line for each finding.
    fn findings(&self) -> Vec<String> {
        let place = |number: Option<usize>| number.map_or("-".to_owned(), |number| number.to_string());
        let finding = |finding: &Finding| {
            let file = finding.file.strip_prefix(self.0.path()).unwrap().display();
            format!("{} {file}:{}:{}", finding.code, place(finding.line), place(finding.column))
        };
        self.load().findings.iter().map(finding).collect()
    }
}

fn main_file(text: &str) -> Folder {
    Folder::with(&[("main.toml", text)])
}

/// The configuration of a main file, which must be without any finding.
fn clean(text: &str) -> Config {
    let loaded = main_file(text).load();
    assert!(loaded.findings.is_empty(), "{}", loaded.render(false));
    loaded.config.unwrap()
}

/// A valid job with more keys, on line 5 and following; its keys begin on line 8.
fn job_with(keys: &str) -> String {
    format!("{AROUND}[jobs.a]\nschedule = '@daily'\ntask_definition = 't'\n{keys}\n")
}
