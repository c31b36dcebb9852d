//! Writing a snapshot: aside, synced, then renamed into place. Whoever sees the name sees the whole file.
//!
//! What is large goes past the page cache where the file system allows it (`O_DIRECT`). Pages of the cache would have to
//! be found, filled and written back, which costs several times the processor time of the write itself, pushes the list
//! out of memory while it is being read, and leaves all the disk's work for the end.

use super::Header;
use super::layout::{ALIGNMENT, Layout, Section};
use crate::keccak::{self, Hash};
use crate::limits::WRITE_BYTES;
use memmap2::MmapMut;
use rayon::prelude::*;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::NamedTempFile;

/// A snapshot being written beside its final name. Dropped without [`Writer::finish`] it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Writer {
    file: NamedTempFile,
    /// The same file past the page cache, where that can be had.
    direct: Option<File>,
    /// Whether the file system took back its word about it.
    refused: AtomicBool,
    out: PathBuf,
    layout: Layout,
}

impl Writer {
    pub(crate) fn create(out: &Path, layout: Layout) -> io::Result<Self> {
        let name = out
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the output needs a file name"))?;
        let file = tempfile::Builder::new()
            .prefix(&format!(".{}.", name.to_string_lossy()))
            .suffix(".tmp")
            // A snapshot is public; the process's umask decides, as for any file.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder(out))?;
        // Writes that make a file longer wait for each other.
        file.as_file().set_len(layout.end())?;
        let direct = open_direct(file.path());
        Ok(Self { file, direct, refused: AtomicBool::new(false), out: out.to_owned(), layout })
    }

    /// Whether writes wait for the disk.
    pub(crate) fn waits(&self) -> bool {
        self.direct.is_some() && !self.refused.load(Ordering::Relaxed)
    }

    /// Writes at `offset` of a section. Parts of a section may be written in parallel.
    pub(crate) fn write(&self, section: Section, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let range = self.layout.range(section);
        assert!(offset + bytes.len() as u64 <= range.end - range.start, "{section:?} is overrun");
        let at = range.start + offset;
        if self.waits() && is_aligned(bytes, at) && self.write_direct(bytes, at)? {
            return Ok(());
        }
        self.file.as_file().write_all_at(bytes, at)
    }

    /// Whether it was written past the page cache.
    fn write_direct(&self, bytes: &[u8], at: u64) -> io::Result<bool> {
        let Some(direct) = &self.direct else { return Ok(false) };
        match direct.write_all_at(bytes, at) {
            // Some file systems want larger units than pages, and some say so only now.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.refused.store(true, Ordering::Relaxed);
                Ok(false)
            }
            written => written.map(|()| true),
        }
    }

    /// Writes a whole section and returns its checksum.
    pub(crate) fn write_whole(&self, section: Section, bytes: &[u8]) -> io::Result<Hash> {
        self.write_parts(section, bytes)?;
        Ok(if bytes.is_empty() { [0; 32] } else { keccak::checksum(bytes) })
    }

    /// Writes a whole section from wherever it lies in memory, in parts and from all threads where it is large.
    pub(crate) fn write_parts(&self, section: Section, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() < WRITE_BYTES || !self.waits() {
            return self.write(section, 0, bytes);
        }
        let parts = bytes.par_chunks(WRITE_BYTES).enumerate();
        parts.try_for_each_init(
            || MmapMut::map_anon(WRITE_BYTES),
            |aligned, (number, part)| match aligned {
                Ok(aligned) => {
                    aligned[..part.len()].copy_from_slice(part);
                    self.write(section, (number * WRITE_BYTES) as u64, &aligned[..part.len()])
                }
                Err(_) => self.write(section, (number * WRITE_BYTES) as u64, part),
            },
        )
    }

    /// Writes the header, makes everything durable and gives the file its name.
    pub(crate) fn finish(self, header: &Header) -> io::Result<()> {
        self.file.as_file().write_all_at(&header.encode(), 0)?;
        self.file.as_file().sync_all()?;
        self.file.persist(&self.out).map_err(|error| error.error)?;
        // The name itself is durable once the folder is.
        File::open(folder(&self.out))?.sync_all()
    }
}

/// What writes past the page cache are aligned to, in memory and in the file.
const PAGE: usize = 4_096;
const _: () = assert!(ALIGNMENT == PAGE as u64 && WRITE_BYTES.is_multiple_of(PAGE));

/// Small writes are left to the page cache.
fn is_aligned(bytes: &[u8], at: u64) -> bool {
    bytes.len() == WRITE_BYTES && bytes.as_ptr().addr().is_multiple_of(PAGE) && at.is_multiple_of(ALIGNMENT)
}

/// Opens a file for writing past the page cache; `None` where there is no such thing.
fn open_direct(path: &Path) -> Option<File> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Mode, OFlags, open};
        open(path, OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty()).ok().map(File::from)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = path;
        None
    }
}

fn folder(out: &Path) -> &Path {
    match out.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
