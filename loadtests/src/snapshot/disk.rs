//! How fast this disk makes a snapshot's bytes durable, written as a build writes them: large parts past the page cache from
//! all cores, then a sync. Writes that only reach the cache say nothing of the disk, and a sync alone nothing of writing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use rayon::prelude::*;
use rustix::fs::{Mode, OFlags, open};

use crate::claims::stats::median;
use crate::generate::random;

/// Bytes of a part: as many as `sluice_snapshot` writes at once.
const PART: usize = 2 << 20;
/// Parts of a turn, half a gigabyte, and turns, of which the median counts.
const PARTS: u64 = 256;
const TURNS: usize = 3;
/// What writes past the page cache are aligned to.
const PAGE: usize = 4_096;

/// Bytes a second.
pub(super) fn rate(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("disk-rate.tmp");
    let turns = (0..TURNS).map(|_| turn(&path)).collect::<Result<Vec<_>, _>>();
    let removed = std::fs::remove_file(&path);
    let turns = turns.with_context(|| format!("cannot write {}", path.display()))?;
    removed.with_context(|| format!("cannot remove {}", path.display()))?;
    Ok(median(&turns))
}

fn turn(path: &Path) -> std::io::Result<f64> {
    let file = File::create(path)?;
    file.set_len(PARTS * PART as u64)?;
    let direct =
        open(path, OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty()).ok().map(File::from);
    let numbers = (0..(PART + PAGE) as u64 / 8).map(|number| random(1, number).to_le_bytes());
    let noise: Vec<u8> = numbers.flatten().collect();
    let begins = noise.as_ptr().align_offset(PAGE).min(PAGE);
    let part = &noise[begins..begins + PART];
    let begin = Instant::now();
    (0..PARTS).into_par_iter().try_for_each(|number| {
        let at = number * PART as u64;
        let past = direct.as_ref().map(|direct| direct.write_all_at(part, at));
        match past {
            // File systems without it say so when it is opened, or now.
            None => file.write_all_at(part, at),
            Some(Err(error)) if error.kind() == std::io::ErrorKind::InvalidInput => {
                file.write_all_at(part, at)
            }
            Some(written) => written,
        }
    })?;
    file.sync_all()?;
    Ok((PARTS * PART as u64) as f64 / begin.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_has_a_rate_and_nothing_is_left_on_it() {
        // Beside this program, as temporary files may be in memory.
        let here = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(here.parent().unwrap()).unwrap();
        let rate = rate(folder.path()).unwrap();
        assert!(rate.is_finite() && rate > 0.0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
