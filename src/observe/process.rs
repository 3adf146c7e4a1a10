//! What the system says of this process, from `/proc`.

use std::fs;

/// This process as the system sees it; none of what it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// Bytes of memory that are in use.
    pub resident_bytes: Option<u64>,
    /// How many files and sockets are open.
    pub open_files: Option<u64>,
    /// How many may be.
    pub open_files_max: Option<u64>,
}

impl Process {
    /// As it is now.
    pub fn look() -> Process {
        let text = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let open = fs::read_dir("/proc/self/fd").ok();
        Process {
            resident_bytes: resident(&text("status")),
            // One of them is the folder that is being read.
            open_files: open.and_then(|open| u64::try_from(open.count().saturating_sub(1)).ok()),
            open_files_max: number_after(&text("limits"), "Max open files"),
        }
    }
}

/// `VmRSS:     23456 kB`. Source: proc(5).
fn resident(status: &str) -> Option<u64> {
    number_after(status, "VmRSS:").map(|kilobytes| kilobytes * 1024)
}

/// The first number of the line that begins so.
fn number_after(text: &str, begin: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(begin))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_knows_this_process() {
        let process = Process::look();
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 1 << 20), "{process:?}");
        assert!(process.open_files.is_some_and(|open| open > 2), "{process:?}");
        assert!(process.open_files <= process.open_files_max, "{process:?}");
    }

    #[test]
    fn what_is_not_said_is_none() {
        assert_eq!(resident("Name:\ttenacron\n"), None);
        assert_eq!(number_after("Max open files            unlimited  unlimited  files\n", "Max open files"), None);
        assert_eq!(resident("VmRSS:\t   12 kB\n"), Some(12_288));
    }
}
