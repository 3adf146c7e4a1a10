//! Whether the files of a configuration changed: what their metadata say, looked at now and then.
//!
//! A look costs a `stat` for each file and needs nothing of the file system that NFS, bind mounts or ConfigMaps lack. Links
//! are followed, so a folder that is swapped by a link has changed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::load::FOLDER;

/// What the files look like from outside; equal if none of them changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look(BTreeSet<(PathBuf, Option<Seen>)>);

/// Size, place and time of the last change, in nanoseconds. Links of the path itself are followed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    size: u64,
    device: u64,
    inode: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

/// Looks at `path` and `jobs.d/*.toml` beside it. What can't be looked at is remembered as such.
pub fn look(path: &Path) -> Look {
    let folder = path.parent().unwrap_or(Path::new("")).join(FOLDER);
    let beside = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let jobs = beside.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    Look([path.to_owned(), folder.clone()].into_iter().chain(jobs).map(|path| (path.clone(), seen(&path))).collect())
}

fn seen(path: &Path) -> Option<Seen> {
    let about = fs::metadata(path).ok()?;
    Some(Seen {
        size: about.size(),
        device: about.dev(),
        inode: about.ino(),
        changed: (about.ctime(), about.ctime_nsec()),
        modified: (about.mtime(), about.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_that_is_written_added_or_removed_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tenacron.toml");
        fs::write(&path, "a").unwrap();
        let mut looks = vec![look(&path)];
        assert_eq!(look(&path), looks[0]);
        let jobs = folder.path().join("jobs.d");
        fs::create_dir(&jobs).unwrap();
        looks.push(look(&path));
        fs::write(jobs.join("one.toml"), "x").unwrap();
        looks.push(look(&path));
        fs::write(jobs.join("one.toml"), "xy").unwrap();
        looks.push(look(&path));
        fs::remove_file(&path).unwrap();
        looks.push(look(&path));
        looks.dedup();
        assert_eq!(looks.len(), 5);
    }

    #[test]
    fn a_folder_that_a_link_leads_to_is_seen_when_the_link_is_swapped() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["v1", "v2"] {
            fs::create_dir(folder.path().join(version)).unwrap();
            fs::write(folder.path().join(version).join("tenacron.toml"), "same").unwrap();
        }
        let link = folder.path().join("current");
        symlink("v1", &link).unwrap();
        let path = link.join("tenacron.toml");
        let before = look(&path);
        symlink("v2", folder.path().join("next")).unwrap();
        fs::rename(folder.path().join("next"), &link).unwrap();
        assert_ne!(look(&path), before);
    }
}
