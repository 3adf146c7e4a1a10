//! A disk that fails on request: `tests/fixtures/failing_disk.c`, built once and preloaded into a daemon. Nothing else
//! fills a disk or breaks one for a test that is not root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::harness::Site;

/// What the disk answers. The numbers are Linux's.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// ENOSPC.
    Full,
    /// EROFS, as a file system that was remounted after an error answers.
    ReadOnly,
    /// EIO when data that were written shall reach the disk.
    Unsynced,
    /// EIO at reading.
    Unreadable,
}

/// The switch of one daemon's disk.
pub(crate) struct FailingDisk {
    order: PathBuf,
}

impl FailingDisk {
    pub(crate) fn of(site: &Site) -> FailingDisk {
        FailingDisk { order: site.path("failing-disk") }
    }

    /// What a daemon needs in its environment to have this disk.
    pub(crate) fn environment(&self) -> [(&str, &str); 2] {
        let text = |path: &'static Path| path.to_str().expect("UTF-8");
        [("LD_PRELOAD", text(library())), ("FAILING_DISK", self.order.to_str().expect("UTF-8"))]
    }

    pub(crate) fn fail(&self, fault: Fault) {
        let order = match fault {
            Fault::Full => "write 28",
            Fault::ReadOnly => "write 30",
            Fault::Unsynced => "sync 5",
            Fault::Unreadable => "read 5",
        };
        // Never half an order.
        let draft = self.order.with_extension("draft");
        fs::write(&draft, order).expect("written");
        fs::rename(draft, &self.order).expect("renamed");
    }

    pub(crate) fn work(&self) {
        fs::remove_file(&self.order).expect("it failed");
    }
}

fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/failing_disk.c");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Two test processes may build it at once; what is renamed is whole.
        let draft = folder.join(format!("failing_disk.{}.so", std::process::id()));
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let built = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&draft, &source])
            .arg("-ldl")
            .status()
            .expect("a C compiler, which the bundled SQLite needs as well");
        assert!(built.success(), "{} was not built", source.display());
        let library = folder.join("failing_disk.so");
        fs::rename(draft, &library).expect("renamed");
        library
    })
}
