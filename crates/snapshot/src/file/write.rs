//! Writing a snapshot: aside, synced, then renamed into place. Whoever sees the name sees the whole file.

use super::Header;
use super::layout::{Layout, Section};
use crate::keccak::{self, Hash};
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A snapshot being written beside its final name. Dropped without [`Writer::finish`] it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Writer {
    file: NamedTempFile,
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
        Ok(Self { file, out: out.to_owned(), layout })
    }

    /// Writes at `offset` of a section. Parts of a section may be written in parallel.
    pub(crate) fn write(&self, section: Section, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let range = self.layout.range(section);
        assert!(offset + bytes.len() as u64 <= range.end - range.start, "{section:?} is overrun");
        self.file.as_file().write_all_at(bytes, range.start + offset)
    }

    /// Writes a whole section and returns its checksum.
    pub(crate) fn write_whole(&self, section: Section, bytes: &[u8]) -> io::Result<Hash> {
        self.write(section, 0, bytes)?;
        Ok(if bytes.is_empty() { [0; 32] } else { keccak::checksum(bytes) })
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

fn folder(out: &Path) -> &Path {
    match out.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
