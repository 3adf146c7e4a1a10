//! Where a control socket is, for the one who listens and the one who connects.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

/// The longest path that fits a socket address on Linux, with the final zero byte left out.
const PATH_MAX: usize = 107;

/// A path that fits a socket address and leads to the socket, with what must stay open while it is used. A longer path
/// goes through a handle of its folder.
///
/// # Errors
/// The folder of a long path can't be opened.
pub fn reachable(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if path.as_os_str().len() <= PATH_MAX {
        return Ok((path.to_owned(), None));
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not the path of a socket"));
    };
    let folder = File::open(folder)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    Ok((short, Some(folder)))
}
