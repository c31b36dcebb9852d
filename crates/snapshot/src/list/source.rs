//! A list's bytes: from a file or standard input, decompressed.

use super::Input;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a list's bytes cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The operating system refused.
    #[error("cannot read {name}")]
    Io {
        /// The list.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A folder where a file is expected.
    #[error("{0} is a directory; name one list in it")]
    Directory(String),
    /// The name promises a compression that the bytes do not have.
    #[error("{name} is named {extension} and does not begin as {extension} files do")]
    NotCompressed {
        /// The list.
        name: String,
        /// Its name's ending.
        extension: &'static str,
    },
    /// The compressed data end too early.
    #[error("{name} is cut short: its {compression} data end too early")]
    CutShort {
        /// The list.
        name: String,
        /// gzip, xz or zstd.
        compression: &'static str,
    },
    /// The compressed data are damaged.
    #[error("{name} is damaged: its {compression} data cannot be read")]
    Damaged {
        /// The list.
        name: String,
        /// gzip, xz or zstd.
        compression: &'static str,
        /// What the decompressor said.
        #[source]
        source: io::Error,
    },
    /// A list in a store that this build cannot reach.
    #[error(
        "this build reads no lists at {scheme}://; build it with the feature {feature:?}, or fetch the list first"
    )]
    NoStore {
        /// Of the URL.
        scheme: String,
        /// What to build with.
        feature: &'static str,
    },
    /// A scheme that names no kind of store.
    #[error("there are no lists at {0}://; there may be at s3://, gs://, az://, https:// and file://")]
    NoScheme(String),
    /// A Parquet file, in a build that reads none.
    #[error("{0} is a Parquet file; read it with a build with the feature \"parquet\", or export it as CSV")]
    Parquet(String),
    /// A column of a Parquet file whose values cannot be what they should be.
    #[error("the column {column:?} holds {found}; {wanted}")]
    ColumnType {
        /// Its name.
        column: String,
        /// Its type, as Parquet names it.
        found: String,
        /// What would be right.
        wanted: &'static str,
    },
    /// A row longer than any row of a list.
    #[error("line {line} of the list is longer than {} bytes; is this a list?", crate::limits::ROW_BYTES_MAX)]
    RowTooLong {
        /// The line.
        line: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    Gzip,
    Xz,
    Zstd,
}

impl Compression {
    const ALL: [Self; 3] = [Self::Gzip, Self::Xz, Self::Zstd];

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
        }
    }

    /// The bytes that every such file begins with; none of them begins a CSV header.
    fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => &[0x1f, 0x8b],
            Self::Xz => &[0xfd, b'7', b'z', b'X', b'Z', 0],
            Self::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
        }
    }
}

/// An open list.
pub(super) struct Source {
    reader: Box<dyn Read + Send>,
    name: String,
    compression: Option<Compression>,
    /// Whether it is a Parquet file.
    pub is_parquet: bool,
    /// The file's length, when it is a file.
    pub length: Option<u64>,
    /// Bytes of the file consumed, for progress.
    pub consumed: Arc<AtomicU64>,
    /// The open file once more, when it can be read anywhere.
    file: Option<File>,
}

/// Bytes read from the file at once.
const READ_BYTES: usize = 1 << 18;

/// Bytes that every Parquet file begins with, and no CSV header worth its name.
const PARQUET: &[u8] = b"PAR1";

/// A list's bytes as they lie there.
struct Raw {
    reader: Box<dyn Read + Send>,
    length: Option<u64>,
    file: Option<File>,
}

impl Source {
    pub(super) fn open(input: &Input) -> Result<Self, SourceError> {
        let name = input.to_string();
        let io = |source| SourceError::Io { name: name.clone(), source };
        let Raw { reader, length, file } = match input {
            Input::File(path) => open_file(File::open(path).map_err(io)?, &name, true)?,
            Input::Stdin => {
                let file = io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(io)?;
                open_file(file, &name, false)?
            }
            Input::Remote(url) => open_remote(url, &name)?,
        };
        let consumed = Arc::new(AtomicU64::new(0));
        let counted = Counted { reader, consumed: Arc::clone(&consumed) };
        let (begin, bytes) = begin(counted).map_err(io)?;
        let found = Compression::ALL.into_iter().find(|compression| begin.starts_with(compression.magic()));
        if let Some(file_name) = input.file_name() {
            check_name(&name, file_name, found, &begin)?;
        }
        let reader: Box<dyn Read + Send> = match found {
            None => Box::new(bytes),
            Some(Compression::Gzip) => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
            Some(Compression::Xz) => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(bytes)),
            Some(Compression::Zstd) => Box::new(zstd::stream::read::Decoder::with_buffer(bytes).map_err(io)?),
        };
        let is_parquet = begin.starts_with(PARQUET);
        Ok(Self { reader, name, compression: found, is_parquet, length, consumed, file })
    }

    /// The file and its length, once, when it is a file that can be read in ranges: plain, and not empty (a file of the
    /// `/proc` kind says it is). Reading it by offsets does not disturb [`Source::fill`].
    pub(super) fn take_plain_file(&mut self) -> Option<(File, u64)> {
        match (self.compression, self.length) {
            (None, Some(length @ 1..)) => Some((self.file.take()?, length)),
            _ => None,
        }
    }

    /// A file that holds the bytes and can be read anywhere: the list's own, or a copy without a name.
    #[cfg(feature = "parquet")]
    pub(super) fn into_file(mut self) -> Result<File, SourceError> {
        if let Some((file, _)) = self.take_plain_file() {
            return Ok(file);
        }
        let io = |source| SourceError::Io { name: self.name.clone(), source };
        let mut copy = tempfile::tempfile().map_err(io)?;
        io::copy(&mut self.reader, &mut copy).map_err(io)?;
        Ok(copy)
    }

    /// Appends up to `limit` bytes to `buffer`; fewer only at the end.
    pub(super) fn fill(&mut self, buffer: &mut Vec<u8>, limit: usize) -> Result<usize, SourceError> {
        let mut bounded = (&mut self.reader).take(limit as u64);
        bounded.read_to_end(buffer).map_err(|source| {
            let name = self.name.clone();
            match self.compression.map(Compression::name) {
                Some(compression) if source.kind() == io::ErrorKind::UnexpectedEof => {
                    SourceError::CutShort { name, compression }
                }
                // The decompressors report bad data in kinds of their own; the system's errors have a number.
                Some(compression) if source.raw_os_error().is_none() => {
                    SourceError::Damaged { name, compression, source }
                }
                _ => SourceError::Io { name, source },
            }
        })
    }
}

/// A file of this machine; `by_offsets` says whether it may be read so.
fn open_file(file: File, name: &str, by_offsets: bool) -> Result<Raw, SourceError> {
    let io = |source| SourceError::Io { name: name.to_owned(), source };
    let metadata = file.metadata().map_err(io)?;
    if metadata.is_dir() {
        return Err(SourceError::Directory(name.to_owned()));
    }
    // Not by its name, which may stand for another file by now.
    let again = if by_offsets && metadata.is_file() { Some(file.try_clone().map_err(io)?) } else { None };
    let length = metadata.is_file().then_some(metadata.len());
    Ok(Raw { reader: Box::new(file), length, file: again })
}

/// Schemes, the feature that reaches each, and whether this build has it.
const STORES: [(&[&str], &str, bool); 4] = [
    (&["s3", "s3a"], "s3", cfg!(feature = "s3")),
    (&["gs"], "gcs", cfg!(feature = "gcs")),
    (&["az", "adl", "azure", "abfs", "abfss"], "azure", cfg!(feature = "azure")),
    (&["https", "http"], "http", cfg!(feature = "http")),
];

fn open_remote(url: &url::Url, name: &str) -> Result<Raw, SourceError> {
    let scheme = url.scheme();
    match STORES.iter().find(|(schemes, ..)| schemes.contains(&scheme)) {
        Some((.., true)) => {}
        Some((_, feature, false)) => {
            return Err(SourceError::NoStore { scheme: scheme.to_owned(), feature });
        }
        None => return Err(SourceError::NoScheme(scheme.to_owned())),
    }
    #[cfg(feature = "remote")]
    {
        let io = |source| SourceError::Io { name: name.to_owned(), source };
        let (download, length) = super::remote::open(url).map_err(io)?;
        Ok(Raw { reader: Box::new(download), length: Some(length), file: None })
    }
    #[cfg(not(feature = "remote"))]
    unreachable!("{name} is reached by a feature that brings this one along")
}

/// The first bytes of a file, and the file from its beginning.
fn begin(mut file: Counted) -> io::Result<(Vec<u8>, impl BufRead + Send)> {
    let mut begin = Vec::new();
    (&mut file).take(6).read_to_end(&mut begin)?;
    let whole = io::Cursor::new(begin.clone()).chain(BufReader::with_capacity(READ_BYTES, file));
    Ok((begin, whole))
}

fn check_name(
    name: &str,
    file_name: &Path,
    found: Option<Compression>,
    begin: &[u8],
) -> Result<(), SourceError> {
    let file_name = file_name.to_string_lossy().to_lowercase();
    let promised =
        Compression::ALL.into_iter().find(|compression| file_name.ends_with(compression.extension()));
    match promised {
        Some(promised) if found != Some(promised) => {
            let (name, extension) = (name.to_owned(), promised.extension());
            if promised.magic().starts_with(begin) {
                return Err(SourceError::CutShort { name, compression: promised.name() });
            }
            Err(SourceError::NotCompressed { name, extension })
        }
        _ => Ok(()),
    }
}

struct Counted {
    reader: Box<dyn Read + Send>,
    consumed: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.consumed.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn ranges_are_read_from_the_file_that_was_opened() {
        let folder = tempfile::tempdir().unwrap();
        let [list, other] = ["list.csv", "other.csv"].map(|name| folder.path().join(name));
        std::fs::write(&list, "address,amount\n").unwrap();
        std::fs::write(&other, "another list altogether\n").unwrap();
        let mut source = Source::open(&Input::File(list.clone())).unwrap();
        std::fs::rename(&other, &list).unwrap();
        let (file, length) = source.take_plain_file().unwrap();
        let mut ranged = vec![0; usize::try_from(length).unwrap()];
        file.read_exact_at(&mut ranged, 0).unwrap();
        assert_eq!(ranged, b"address,amount\n");
        let mut forward = Vec::new();
        source.fill(&mut forward, 1 << 20).unwrap();
        assert_eq!(forward, ranged, "reading by offsets leaves the way forward alone");
    }
}
