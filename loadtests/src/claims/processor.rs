//! Who used the processor: this process, one of its threads, a server's processes. And how long this disk takes to make
//! a page durable, without which a rate of durable rows says little.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Ticks a second in `/proc`: fixed at 100 on Linux for every architecture (`man 5 proc`, sysconf `_SC_CLK_TCK`).
const TICKS: f64 = 100.0;
/// A page of PostgreSQL's write-ahead log.
const PAGE: [u8; 8_192] = [7; 8_192];
/// Pages made durable one after another.
const PAGES: usize = 100;

/// Processor seconds of this thread so far.
pub(crate) fn thread_seconds() -> f64 {
    seconds("/proc/thread-self/stat").unwrap_or(0.0)
}

/// Processor seconds so far of a process and its children that live, such as a PostgreSQL with its sessions.
pub(crate) fn family_seconds(parent: u32) -> f64 {
    let children =
        |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let family = children(parent);
    let family = family.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok());
    std::iter::once(parent).chain(family).filter_map(|pid| seconds(&format!("/proc/{pid}/stat"))).sum()
}

/// User and system time of a `stat` file, with what ended children used.
fn seconds(stat: &str) -> Option<f64> {
    let text = std::fs::read_to_string(stat).ok()?;
    // The second field is a name in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<f64> =
        rest.split_whitespace().skip(11).take(4).filter_map(|field| field.parse().ok()).collect();
    (fields.len() == 4).then(|| fields.iter().sum::<f64>() / TICKS)
}

/// The median time until one page written to a file in `folder` is on the disk.
pub(crate) fn sync_time(folder: &Path) -> std::io::Result<Duration> {
    let path = folder.join("sync-probe");
    let mut file = std::fs::File::create(&path)?;
    let mut times = Vec::with_capacity(PAGES);
    for _ in 0..PAGES {
        let start = Instant::now();
        file.write_all(&PAGE)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    drop(file);
    std::fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times[PAGES / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_thread_and_family_use_the_processor() {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(100) {
            std::hint::spin_loop();
        }
        assert!(thread_seconds() > 0.0);
        assert!(family_seconds(std::process::id()) >= thread_seconds());
    }
}
