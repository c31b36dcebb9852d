//! Lock files. The kernel frees a lock when the last process that inherited its file has ended.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// How often a condition that nobody announces is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// The pause between two looks at such a condition, on a thread that may block.
#[expect(clippy::disallowed_methods, reason = "the one pause of every bounded wait here")]
pub(crate) fn pause() {
    std::thread::sleep(POLL);
}

/// Writes our process id into a lock file that we hold, for whoever finds it taken.
pub(crate) fn write_owner(file: &mut File, path: &Path) -> Result<()> {
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(file).map_err(Error::io("write", path))
}

/// Opens a lock file, creating it.
pub(crate) fn open_lock(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).open(path).map_err(Error::io("open", path))
}

/// How long a lock that was let go may still be seen taken: a process that forks at that moment holds a copy of its file
/// until its own program begins.
const FORKS_END: Duration = Duration::from_millis(500);

/// Takes a lock if it is free.
pub(crate) fn try_lock(file: &File, path: &Path) -> Result<bool> {
    let end = Instant::now() + FORKS_END;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if Instant::now() > end => return Ok(false),
            Err(TryLockError::WouldBlock) => pause(),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
        }
    }
}

/// Takes a lock, shared or alone, waiting at most `limit`; `None` when that was not enough.
pub(crate) fn lock_within(path: &Path, shared: bool, limit: Duration) -> Result<Option<File>> {
    let file = open_lock(path)?;
    let end = Instant::now() + limit;
    loop {
        match if shared { file.try_lock_shared() } else { file.try_lock() } {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
            Err(TryLockError::WouldBlock) if Instant::now() > end => return Ok(None),
            Err(TryLockError::WouldBlock) => pause(),
        }
    }
}
