//! The snapshot file, format 1 (`FORMAT.md`): a header of fixed size, then sections at page boundaries. Every length
//! follows from the header, so a file is either exactly what its header says or refused.

use crate::keccak::{self, Hash};
use crate::limits::ENTITLEMENTS_MAX;
use crate::tree;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use sluice_core::amount::Total;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub(crate) mod layout;
pub(crate) mod write;

use layout::{Layout, Section};

/// How the entitlements are ordered and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Sluice's tree, which the Distributor verifies.
    Native,
    /// OpenZeppelin `standard-v1` with leaves `address,uint256`.
    OpenZeppelin,
    /// Uniswap merkle-distributor.
    Uniswap,
}

impl Format {
    /// The name used on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::OpenZeppelin => "openzeppelin",
            Self::Uniswap => "uniswap",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Native => 1,
            Self::OpenZeppelin => 2,
            Self::Uniswap => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Native, Self::OpenZeppelin, Self::Uniswap].into_iter().find(|format| format.code() == code)
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a file cannot be opened as a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file does not begin as a snapshot does.
    #[error("{} is not a snapshot; `sluice snapshot build` makes one from a list", path.display())]
    NotASnapshot {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this software wrote the file.
    #[error("{} has file format {found}, this software reads up to {}; use a newer one", path.display(), Header::VERSION)]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u16,
    },
    /// The file contradicts itself.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
}

/// The facts a snapshot begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub format: Format,
    pub decimals: u8,
    /// Depth of the native tree; 0 in foreign formats.
    pub depth: u8,
    pub persons: bool,
    pub count: u64,
    pub total: Total,
    pub root: Hash,
    /// Checksum of each section; zero for the words, whose checksum is the root, and for empty sections.
    pub checksums: [Hash; Section::COUNT],
}

impl Header {
    pub(crate) const BYTES: usize = 512;
    const MAGIC: [u8; 8] = *b"SLUICE\r\n";
    const VERSION: u16 = 1;
    const SECTIONS_AT: usize = 72;
    const CHECKSUM_AT: usize = Self::BYTES - 32;

    pub(crate) fn layout(&self) -> Layout {
        Layout::new(self.format, self.count, self.depth, self.persons)
    }

    pub(crate) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&Self::MAGIC);
        bytes[8..10].copy_from_slice(&Self::VERSION.to_le_bytes());
        bytes[10] = self.format.code();
        bytes[11] = self.decimals;
        bytes[12] = self.depth;
        bytes[13] = u8::from(self.persons);
        bytes[16..24].copy_from_slice(&self.count.to_le_bytes());
        bytes[24..40].copy_from_slice(&self.total.0.to_le_bytes());
        bytes[40..72].copy_from_slice(&self.root);
        let layout = self.layout();
        for section in Section::ALL {
            let at = Self::SECTIONS_AT + 48 * section as usize;
            let range = layout.range(section);
            bytes[at..at + 8].copy_from_slice(&range.start.to_le_bytes());
            bytes[at + 8..at + 16].copy_from_slice(&(range.end - range.start).to_le_bytes());
            bytes[at + 16..at + 48].copy_from_slice(&self.checksums[section as usize]);
        }
        let checksum = keccak::one(&bytes[..Self::CHECKSUM_AT]);
        bytes[Self::CHECKSUM_AT..].copy_from_slice(&checksum);
        bytes
    }

    fn decode(bytes: &[u8; Self::BYTES], path: &Path) -> Result<Self, OpenError> {
        let path = || path.to_owned();
        let damaged = |what| OpenError::Damaged { path: path(), what };
        if bytes[..8] != Self::MAGIC {
            return Err(OpenError::NotASnapshot { path: path() });
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version > Self::VERSION {
            return Err(OpenError::Newer { path: path(), found: version });
        }
        if keccak::one(&bytes[..Self::CHECKSUM_AT]) != bytes[Self::CHECKSUM_AT..] {
            return Err(damaged("the header's checksum is wrong"));
        }
        let header = Self {
            format: Format::from_code(bytes[10]).ok_or_else(|| damaged("the tree format is unknown"))?,
            decimals: bytes[11],
            depth: bytes[12],
            persons: bytes[13] == 1,
            count: u64::from_le_bytes(array(&bytes[16..24])),
            total: Total(u128::from_le_bytes(array(&bytes[24..40]))),
            root: array(&bytes[40..72]),
            checksums: std::array::from_fn(|i| array(&bytes[Self::SECTIONS_AT + 48 * i + 16..][..32])),
        };
        let depth = if header.format == Format::Native { tree::depth_for(header.count) } else { 0 };
        if header.count == 0 || header.count > ENTITLEMENTS_MAX || header.depth != depth {
            return Err(damaged("count and depth contradict each other"));
        }
        // Offsets, lengths and reserved bytes follow from the fields above, so the header has one spelling.
        if header.encode() != *bytes {
            return Err(damaged("the header's section table is wrong"));
        }
        Ok(header)
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

/// A snapshot file, mapped and with its header checked.
pub(crate) struct Mapped {
    pub path: PathBuf,
    pub header: Header,
    layout: Layout,
    map: Mmap,
}

impl Mapped {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        if length < Header::BYTES as u64 {
            // Reading a directory or a device fails here with the system's own words.
            std::io::Read::read(&mut &file, &mut [0]).map_err(io)?;
            return Err(OpenError::NotASnapshot { path: path.to_owned() });
        }
        // SAFETY: a snapshot is immutable: the writer renames a finished file into place and nothing of ours opens it
        // for writing again. Whoever truncates a file under a running node stops that node.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let header = Header::decode(&array(&map[..Header::BYTES]), path)?;
        let layout = header.layout();
        if layout.end() != length {
            let what = "its length is not what the header says: it was cut short or something was appended";
            return Err(OpenError::Damaged { path: path.to_owned(), what });
        }
        Ok(Self { path: path.to_owned(), header, layout, map })
    }

    pub(crate) fn section(&self, section: Section) -> &[u8] {
        &self.map[self.section_range(section)]
    }

    fn section_range(&self, section: Section) -> Range<usize> {
        let range = self.layout.range(section);
        let at = |offset| usize::try_from(offset).expect("the map holds the whole file");
        at(range.start)..at(range.end)
    }

    pub(crate) fn check(&self, section: Section) -> Result<(), OpenError> {
        let bytes = self.section(section);
        if !bytes.is_empty() && keccak::checksum(bytes) != self.header.checksums[section as usize] {
            return Err(self.damaged(section.damage()));
        }
        Ok(())
    }

    /// Checks that nothing hides between the sections, so that one list has one file, to the byte.
    pub(crate) fn check_gaps(&self) -> Result<(), OpenError> {
        let mut end = Header::BYTES;
        for section in
            Section::ALL.map(|section| self.section_range(section)).into_iter().filter(|s| !s.is_empty())
        {
            if self.map[end..section.start].iter().any(|&byte| byte != 0) {
                return Err(self.damaged("the gaps between its sections are not empty"));
            }
            end = section.end;
        }
        Ok(())
    }

    pub(crate) fn damaged(&self, what: &'static str) -> OpenError {
        OpenError::Damaged { path: self.path.clone(), what }
    }
}

impl std::fmt::Debug for Mapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapped")
            .field("path", &self.path)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}
