//! What the numbers were measured on.

use std::fs;
use std::io::Write as _;
use std::time::Instant;

/// Processor, memory, system, the disk beneath the state, and what else runs.
pub fn description() -> String {
    let cores = std::thread::available_parallelism().unwrap();
    let model = field("/proc/cpuinfo", "model name");
    let kib: f64 = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    format!(
        "machine: {cores} cores of {model}, {:.0} GB of memory, Linux {}, {:.2} ms to write and sync 4 KiB\n\
         load average at the beginning: {}",
        kib * 1024.0 / 1e9,
        kernel.trim(),
        sync_millis(),
        load()
    )
}

/// The load average of the last minutes.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    found.unwrap_or("unknown").trim().to_owned()
}

/// What one commit waits for at least: the median of some.
fn sync_millis() -> f64 {
    const TIMES: usize = 21;
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut times: Vec<f64> = (0..TIMES)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&[0; 4096]).unwrap();
            file.sync_data().unwrap();
            begun.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(TIMES / 2).copied().unwrap()
}
