//! Saying first what a run will take here, and refusing one that cannot end well.

use crate::machine;
use anyhow::{Context, ensure};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// What a run takes at most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Needs {
    /// Roughly how long.
    pub time: Duration,
    /// Bytes on disk, beside what a former run left.
    pub disk: u64,
    /// Bytes of memory beyond the page cache.
    pub memory: u64,
}

/// Left free on the disk by every run: a disk that is full to the last byte harms others.
const DISK_RESERVE: u64 = 1 << 30;

impl Needs {
    /// [`Self::announce`] for a run whose private servers take so many bytes more, where temporary files lie: on the same disk
    /// or another.
    pub(crate) fn announce_with_servers(
        &self,
        what: &str,
        folder: &Path,
        servers: u64,
    ) -> anyhow::Result<()> {
        let temporary = std::env::temp_dir();
        if on_one_disk(folder, &temporary)? {
            return Self { disk: self.disk + servers, ..*self }.announce(what, folder);
        }
        self.announce(what, folder)?;
        Self { disk: servers, ..Self::default() }.announce(&format!("{what}, its servers"), &temporary)
    }

    /// Says it on standard error, and refuses when disk or memory is not there.
    pub(crate) fn announce(&self, what: &str, folder: &Path) -> anyhow::Result<()> {
        let free = machine::disk_free(folder)
            .with_context(|| format!("cannot look at the disk under {}", folder.display()))?;
        let memory = machine::memory_free();
        eprintln!(
            "{what}: about {} s here, {} of disk in {} ({} free), {} of memory ({} free)",
            self.time.as_secs().max(1),
            bytes(self.disk),
            folder.display(),
            bytes(free),
            bytes(self.memory),
            bytes(memory),
        );
        // Private servers lie where temporary files do, which no option says.
        let elsewhere = match folder == std::env::temp_dir() {
            true => "set TMPDIR to a folder of another disk",
            false => "name another folder",
        };
        ensure!(
            free >= self.disk + DISK_RESERVE,
            "the disk under {} has {} free, and {} would be needed with 1 GiB to spare; free some, or {elsewhere}",
            folder.display(),
            bytes(free),
            bytes(self.disk + DISK_RESERVE),
        );
        ensure!(
            memory >= self.memory,
            "{} of memory are free, and {} would be needed; take fewer rows",
            bytes(memory),
            bytes(self.memory),
        );
        Ok(())
    }
}

fn on_one_disk(one: &Path, other: &Path) -> anyhow::Result<bool> {
    let device = |path: &Path| {
        let found = std::fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
        anyhow::Ok(found.dev())
    };
    Ok(device(one)? == device(other)?)
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..0x10_0000 => format!("{} KiB", count.div_ceil(1 << 10)),
        0x10_0000..0x4000_0000 => format!("{} MiB", count >> 20),
        _ => format!("{}.{} GiB", count >> 30, (count >> 20) % 1024 * 10 / 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        let cases = [(1, "1 KiB"), (5 << 20, "5 MiB"), (3 << 29, "1.5 GiB"), (100 << 30, "100.0 GiB")];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn a_disk_too_small_is_refused_before_the_work() {
        let needs = Needs { disk: u64::MAX / 2, ..Needs::default() };
        let error = needs.announce("test", Path::new("/")).unwrap_err().to_string();
        assert!(error.contains("the disk under / has") && error.contains("name another folder"), "{error}");
        let error = needs.announce("test", &std::env::temp_dir()).unwrap_err().to_string();
        assert!(error.contains("set TMPDIR"), "{error}");
        // With what its servers take, whichever disk that is on.
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(Needs::default().announce_with_servers("test", folder, u64::MAX / 2).is_err());
        assert!(Needs::default().announce("test", Path::new("/no such folder")).is_err());
    }
}
