//! Where jobs are written, for whoever looks for the line to change. Kept small: there may be a hundred thousand.

use std::path::Path;
use std::sync::Arc;

use super::job::JobName;

/// The file and the line of each job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    files: Vec<Arc<Path>>,
    /// By name: which of the files, and the line.
    lines: Box<[(JobName, u32, u32)]>,
}

impl Written {
    /// Takes the jobs in the order of their names, each with its file, as an index, and its line, from 1.
    pub fn new(files: Vec<Arc<Path>>, lines: impl Iterator<Item = (JobName, u32, u32)>) -> Written {
        Written { files, lines: lines.collect() }
    }

    /// In which file a job is written, as it was given or found, and on which line.
    pub fn place(&self, job: &JobName) -> Option<(&Path, u32)> {
        let at = self.lines.binary_search_by(|(name, ..)| name.cmp(job)).ok()?;
        let (_, file, line) = self.lines.get(at)?;
        Some((self.files.get(*file as usize)?, *line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_has_its_own_place() {
        let name = |text| JobName::new(text).unwrap();
        let files = vec![Path::new("a.toml").into(), Path::new("b.toml").into()];
        let written = Written::new(files, [(name("a"), 1, 7), (name("b"), 0, 3)].into_iter());
        assert_eq!(written.place(&name("a")), Some((Path::new("b.toml"), 7)));
        assert_eq!(written.place(&name("b")), Some((Path::new("a.toml"), 3)));
        assert_eq!(written.place(&name("c")), None);
    }
}
