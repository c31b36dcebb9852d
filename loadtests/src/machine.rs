//! The machine a measurement runs on: what it is, and what this process takes of it.

use crate::report::Show;
use anyhow::Context;
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What can be said of this machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// The system's load over the last minute when the run began: others' work shows here.
    pub load: f64,
}

impl Machine {
    /// This one.
    pub(crate) fn here() -> Self {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            processor: processor.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: kilobytes("/proc/meminfo", "MemTotal:"),
            load: load.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.memory >> 30;
        write!(f, "{}, {} cores, {memory} GiB, load {:.1}", self.processor, self.cores, self.load)
    }
}

/// Bytes free for this user on the disk under `path`.
pub(crate) fn disk_free(path: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail * disk.f_frsize)
}

/// Bytes of memory that can be had without swapping.
pub(crate) fn memory_free() -> u64 {
    kilobytes("/proc/meminfo", "MemAvailable:")
}

/// The memory of this process beyond the page cache, now.
pub(crate) fn memory_now() -> u64 {
    kilobytes("/proc/self/status", "RssAnon:")
}

/// The same of another process; 0 of one that has ended.
pub(crate) fn memory_of(process: u32) -> u64 {
    kilobytes(&format!("/proc/{process}/status"), "RssAnon:")
}

/// Bytes that this process has had read from disks so far: what came from the page cache does not count.
pub(crate) fn bytes_read() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("read_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

/// Keeps this thread, and every thread and process that it starts from now on, to one core.
///
/// # Errors
/// When there is no such core, or it is not ours to use.
pub(crate) fn keep_to_core(core: usize) -> anyhow::Result<()> {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    rustix::thread::sched_setaffinity(None, &cores)
        .with_context(|| format!("this process may not be kept to core {core}"))
}

/// A line such as `MemTotal: 12 kB`, in bytes; 0 where the system does not say.
fn kilobytes(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    number.unwrap_or(0) << 10
}

/// How often [`MemoryPeak`] looks.
const LOOK: Duration = Duration::from_millis(10);

/// Watches this process's memory beyond the page cache. The system keeps a peak of its own (`VmHWM`), but that one
/// counts mapped file pages too.
#[derive(Debug)]
pub(crate) struct MemoryPeak {
    stop: Sender<()>,
    seen: Arc<AtomicU64>,
    watcher: JoinHandle<()>,
}

impl MemoryPeak {
    /// Begins to watch.
    pub(crate) fn watch() -> Self {
        let (stop, stopped) = channel();
        let seen = Arc::new(AtomicU64::new(memory_now()));
        let peak = Arc::clone(&seen);
        let watcher = std::thread::spawn(move || {
            let mut going_on = true;
            while going_on {
                going_on = stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout);
                peak.fetch_max(memory_now(), Ordering::Relaxed);
            }
        });
        Self { stop, seen, watcher }
    }

    /// The highest number of bytes seen since.
    pub(crate) fn end(self) -> u64 {
        let Self { stop, seen, watcher } = self;
        drop(stop);
        watcher.join().expect("reading /proc does not panic");
        seen.load(Ordering::Relaxed)
    }
}

/// Seconds of processor time this process has used, all threads together: user and system.
pub(crate) fn cpu_seconds() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the program's name, which may hold anything; the fields are numbered in proc_pid_stat(5).
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let seconds = |field: usize| {
        let count = fields.get(field - 3).and_then(|text| text.parse::<u64>().ok());
        count.unwrap_or(0) as f64 / ticks
    };
    (seconds(14), seconds(15))
}

/// Seconds of processor time this thread has used: what others take of the machine does not count.
pub(crate) fn thread_seconds() -> f64 {
    processor_clock(rustix::time::ClockId::ThreadCPUTime)
}

/// The same of all threads of this process, finer than [`cpu_seconds`].
pub(crate) fn process_seconds() -> f64 {
    processor_clock(rustix::time::ClockId::ProcessCPUTime)
}

fn processor_clock(clock: rustix::time::ClockId) -> f64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// `sluice-load machine`.
#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    /// The folder whose disk is meant.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    #[command(flatten)]
    show: Show,
}

impl MachineArgs {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let (machine, free) = (Machine::here(), disk_free(&self.folder)?);
        println!("{machine}, {} GiB free in {}", free >> 30, self.folder.display());
        if self.show.json {
            println!("{}", serde_json::to_string(&machine)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_outlives_the_memory_it_saw() {
        const BLOCK: u32 = 64 << 20;
        let watch = MemoryPeak::watch();
        let block = std::hint::black_box(vec![1u8; BLOCK as usize]);
        // The block is whole in memory, so the next look sees at least it, whatever else the process holds.
        while watch.seen.load(Ordering::Relaxed) < u64::from(BLOCK) {
            std::thread::yield_now();
        }
        drop(std::hint::black_box(block));
        assert!(watch.end() >= u64::from(BLOCK));
        assert!(disk_free(Path::new("/")).is_ok() && memory_free() > 0);
    }
}
