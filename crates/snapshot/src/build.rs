//! From a list to a snapshot file: read, sort, check, hash, write. All or nothing: the output's name exists only when
//! everything is right and durable. The result depends on the rows alone, not on their order or the thread count.

use crate::file::Format;
use crate::file::Header;
use crate::file::layout::Section;
use crate::file::write::Writer;
use crate::foreign;
use crate::keccak::Hash;
use crate::limits::ENTITLEMENTS_MAX;
use crate::list::{
    self, BadRows, Columns, Dropped, Input, List, ListError, Places, ReadOptions, Unit, ZeroAddress,
};
use crate::order::{self, Place, Record, Sorted};
use crate::tree;
use alloy_primitives::{Address, B256};
use rayon::prelude::*;
use serde::Serialize;
use sluice_core::amount::Total;
use sluice_core::entitlement::Word;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

mod native;

pub use crate::order::Duplicates;

/// How a list becomes a snapshot.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// The tree.
    pub format: Format,
    /// Decimals of the token.
    pub decimals: u8,
    /// How the list writes amounts.
    pub unit: Unit,
    /// The columns that are read.
    pub columns: Columns,
    /// What becomes of several rows with one address.
    pub duplicates: Duplicates,
    /// Whether rows naming the zero address are left out. Otherwise a native snapshot refuses them, and a foreign one,
    /// which reproduces what others published, holds them.
    pub drop_zero_address: bool,
    /// Addresses that must not be paid: the token, the Distributor, the Charter.
    pub refused: Vec<Address>,
    /// Control total: the number of entitlements there must be.
    pub expect_count: Option<u64>,
    /// Control total: the sum of the entitlements there must be.
    pub expect_total: Option<Total>,
    /// The root there must be: checks a published list.
    pub expect_root: Option<B256>,
    /// Threads to work with; `None` takes the rayon pool this is called in. The result does not depend on them.
    pub threads: Option<NonZeroUsize>,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self {
            format: Format::Native,
            decimals: 18,
            unit: Unit::Token,
            columns: Columns::default(),
            duplicates: Duplicates::Refuse,
            drop_zero_address: false,
            refused: Vec::new(),
            expect_count: None,
            expect_total: None,
            expect_root: None,
            threads: None,
        }
    }
}

/// A stage of the build, or of what is done with snapshots afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading and parsing, counted in bytes of the input.
    Read,
    /// Sorting and settling duplicates; not counted.
    Sort,
    /// Hashing and writing, counted in entitlements.
    Hash,
    /// Waiting until everything is durable; not counted.
    Sync,
    /// Writing proof pages, counted in pages; no part of the build.
    Pages,
}

/// How far a build is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is under way.
    pub stage: Stage,
    /// How much of it is done.
    pub done: u64,
    /// Of how much, where that is known.
    pub of: Option<u64>,
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The snapshot's name.
    pub root: B256,
    /// The tree.
    pub format: Format,
    /// Entitlements.
    pub count: u64,
    /// Their sum, in base units.
    pub total: Total,
    /// Depth of the native tree; 0 in foreign formats.
    pub depth: u8,
    /// Whether the list names persons.
    pub persons: bool,
    /// Rows added to others.
    pub merged: u64,
    /// Rows left out because they name the zero address.
    #[serde(skip)]
    pub dropped: Dropped,
}

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The list cannot be read.
    #[error(transparent)]
    List(#[from] ListError),
    /// The list has bad rows.
    #[error("{0}")]
    BadRows(BadRows),
    /// Options that contradict each other or the list.
    #[error("{0}")]
    Options(&'static str),
    /// All rows were left out.
    #[error("no rows are left after dropping {0} that name the zero address")]
    NothingLeft(u64),
    /// More entitlements than a snapshot holds.
    #[error("{0} entitlements are more than a snapshot holds ({ENTITLEMENTS_MAX})")]
    TooMany(u64),
    /// A control total is wrong.
    #[error("{what} is {found}, expected was {expected}; nothing was written")]
    Expectation {
        /// Which one.
        what: &'static str,
        /// As given.
        expected: String,
        /// As built.
        found: String,
    },
    /// The threads asked for cannot be had.
    #[error("cannot start the threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// The snapshot cannot be written.
    #[error("cannot write {}; nothing was left behind", path.display())]
    Write {
        /// The output.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Told how far a build is; called from several threads.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Sync);

/// Builds the snapshot file `out` from a list.
pub fn build(
    options: &BuildOptions,
    input: &Input,
    out: &Path,
    progress: OnProgress<'_>,
) -> Result<Report, BuildError> {
    let work = || build_here(options, input, out, progress);
    match options.threads {
        None => work(),
        Some(threads) => rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build()?.install(work),
    }
}

fn build_here(
    options: &BuildOptions,
    input: &Input,
    out: &Path,
    progress: OnProgress<'_>,
) -> Result<Report, BuildError> {
    if options.duplicates == Duplicates::Keep && options.format != Format::Native {
        return Err(BuildError::Options("--duplicates keep works with the format native only"));
    }
    let step = |stage| progress(Progress { stage, done: 0, of: None });
    let on_bytes = |done, of| progress(Progress { stage: Stage::Read, done, of });
    let mut list = list::read(input, &read_options(options), &on_bytes)?;
    if options.duplicates == Duplicates::Keep && !list.places.has_persons() {
        return Err(BuildError::Options(
            "--duplicates keep needs a person column, which tells the rows apart",
        ));
    }
    step(Stage::Sort);
    let dropped = std::mem::take(&mut list.dropped);
    let sorted = sort(list, options)?;
    if sorted.count() == 0 {
        return Err(BuildError::NothingLeft(dropped.count));
    }
    let (count, total, merged) = (sorted.count() as u64, sorted.total, sorted.merged);
    if count > ENTITLEMENTS_MAX {
        return Err(BuildError::TooMany(count));
    }
    expect("the number of entitlements", options.expect_count, count)?;
    expect("their total in base units", options.expect_total, total)?;
    let header = Header {
        format: options.format,
        decimals: options.decimals,
        depth: if options.format == Format::Native { tree::depth_for(count) } else { 0 },
        persons: sorted.places.has_persons(),
        count,
        total,
        root: [0; 32],
        checksums: [[0; 32]; Section::COUNT],
    };
    let header = write(sorted, header, options.expect_root, out, progress)?;
    let Header { format, depth, persons, .. } = header;
    Ok(Report { root: B256::new(header.root), format, count, total, depth, persons, merged, dropped })
}

fn read_options(options: &BuildOptions) -> ReadOptions {
    ReadOptions {
        columns: options.columns.clone(),
        unit: options.unit,
        decimals: options.decimals,
        zero_address: match options.format {
            _ if options.drop_zero_address => ZeroAddress::Drop,
            Format::Native => ZeroAddress::Refuse,
            Format::OpenZeppelin | Format::Uniswap => ZeroAddress::Keep,
        },
        // A right total proves that the last amount is whole; nothing else about a cut file does.
        open_end: options.expect_total.is_some(),
    }
}

/// Sorts the list; all its bad rows, of reading and of sorting, are reported together.
fn sort(mut list: List, options: &BuildOptions) -> Result<Sorted, BuildError> {
    let mut bad = std::mem::take(&mut list.bad);
    let sorted = order::sort(list, options.duplicates, &options.columns, &mut bad);
    order::refuse(&sorted, &options.refused, &options.columns, &mut bad);
    if bad.count > 0 {
        bad.shorten();
        return Err(BuildError::BadRows(bad));
    }
    Ok(sorted)
}

fn expect<T: PartialEq + ToString>(
    what: &'static str,
    expected: Option<T>,
    found: T,
) -> Result<(), BuildError> {
    match expected {
        Some(expected) if expected != found => {
            Err(BuildError::Expectation { what, expected: expected.to_string(), found: found.to_string() })
        }
        _ => Ok(()),
    }
}

/// Hashes and writes sorted entitlements; `header` lacks only root and checksums.
fn write(
    sorted: Sorted,
    mut header: Header,
    expect_root: Option<B256>,
    out: &Path,
    progress: OnProgress<'_>,
) -> Result<Header, BuildError> {
    let failed = |source| BuildError::Write { path: out.to_owned(), source };
    let writer = Writer::create(out, header.layout()).map_err(failed)?;
    let written = match header.format {
        Format::Native => native::write(&writer, &sorted, &mut header, progress).map(|()| Some(sorted)),
        Format::OpenZeppelin | Format::Uniswap => {
            write_foreign(&writer, sorted, &mut header, progress).map(|()| None)
        }
    };
    let sorted = written.map_err(failed)?;
    expect("the root", expect_root, B256::new(header.root))?;
    progress(Progress { stage: Stage::Sync, done: 0, of: None });
    // Giving gigabytes of records back takes the system a while, and so does the disk.
    let (finished, ()) = rayon::join(|| writer.finish(&header), || drop(sorted));
    finished.map_err(failed)?;
    Ok(header)
}

/// Writes words, totals and persons in the order of `records`.
fn write_column<T: Sync, const N: usize>(
    writer: &Writer,
    section: Section,
    items: &[T],
    bytes: impl Fn(&T) -> [u8; N] + Send + Sync,
) -> io::Result<Hash> {
    let column: Vec<[u8; N]> = items.par_iter().map(bytes).collect();
    writer.write_whole(section, column.as_flattened())
}

/// Writes the persons of entitlements, given their rows' places in index order, and the index by person.
fn write_persons(
    writer: &Writer,
    header: &mut Header,
    places: &Places,
    in_order: impl Iterator<Item = Place>,
) -> io::Result<()> {
    let person = |place| *places.person(place).expect("the list names persons");
    let column: Vec<[u8; 32]> = in_order.map(person).collect();
    let count = u32::try_from(column.len()).expect("the count was checked");
    let mut by_person: Vec<u32> = (0..count).collect();
    by_person.par_sort_unstable_by_key(|&index| (column[index as usize], index));
    header.checksums[Section::Persons as usize] =
        writer.write_whole(Section::Persons, column.as_flattened())?;
    header.checksums[Section::ByPerson as usize] =
        write_column(writer, Section::ByPerson, &by_person, |index| index.to_le_bytes())?;
    Ok(())
}

fn write_foreign(
    writer: &Writer,
    sorted: Sorted,
    header: &mut Header,
    progress: OnProgress<'_>,
) -> io::Result<()> {
    let mut words: Vec<Word> = sorted.records().map(Record::word).collect();
    let mut in_order: Vec<Place> = match header.persons {
        true => sorted.records().map(|record| record.place).collect(),
        false => Vec::new(),
    };
    let places = sorted.into_places();
    if header.format == Format::Uniswap {
        foreign::uniswap::sort(&mut words, &mut in_order);
    }
    progress(Progress { stage: Stage::Hash, done: 0, of: Some(header.count) });
    let tree = foreign::tree(header.format, &words);
    header.root = tree.root;
    writer.write_parts(Section::Words, tree::bytes_of(&words))?;
    let totals = totals(&words);
    header.checksums[Section::Totals as usize] =
        write_column(writer, Section::Totals, &totals, |total| total.0.to_le_bytes())?;
    header.checksums[Section::Nodes as usize] =
        writer.write_whole(Section::Nodes, tree.nodes.as_flattened())?;
    header.checksums[Section::Places as usize] =
        write_column(writer, Section::Places, &tree.places, |place| place.to_le_bytes())?;
    if header.persons {
        write_persons(writer, header, &places, in_order.into_iter())?;
    }
    progress(Progress { stage: Stage::Hash, done: header.count, of: Some(header.count) });
    Ok(())
}

/// The total of each shard.
pub(crate) fn totals(words: &[Word]) -> Vec<Total> {
    let shard = usize::try_from(sluice_core::limits::SHARD).expect("65,536");
    words.par_chunks(shard).map(sum).collect()
}

/// The sum of the words' amounts; fewer than 2^32 of them cannot overflow it.
pub(crate) fn sum(words: &[Word]) -> Total {
    Total(words.iter().map(|word| word.amount().get()).sum())
}
