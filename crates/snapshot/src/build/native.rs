//! Hashing and writing the native tree, a shard at a time on all cores.

use super::{OnProgress, Progress, Stage, sum, write_column, write_persons};
use crate::file::Header;
use crate::file::layout::{Section, native_levels};
use crate::file::write::Writer;
use crate::keccak::{self, Hash};
use crate::limits::{WRITE_BYTES, WRITES_IN_FLIGHT};
use crate::order::Sorted;
use crate::tree::{self, SHARD_LEVELS, Upper, WORD_LEVELS};
use memmap2::MmapMut;
use rayon::prelude::*;
use sluice_core::amount::Total;
use sluice_core::entitlement::Word;
use sluice_core::limits::SHARD;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

struct Shard {
    total: Total,
    /// The levels the file stores.
    levels: Vec<Vec<Hash>>,
}

pub(super) fn write(
    writer: &Writer,
    sorted: &Sorted,
    header: &mut Header,
    progress: OnProgress<'_>,
) -> io::Result<()> {
    let (done, of) = (AtomicU64::new(0), Some(header.count));
    let depth = header.depth;
    let count = sorted.count();
    let numbers = (0..count.div_ceil(SHARD_WORDS)).into_par_iter();
    let shards = numbers.map_init(aligned, |room, number| {
        let room = room.as_mut().map_err(|error| io::Error::from(error.kind()))?;
        let range = number * SHARD_WORDS..count.min((number + 1) * SHARD_WORDS);
        let words = fill(room, sorted, range);
        let shard = write_shard(writer, number as u64, words, depth)?;
        let done = done.fetch_add(words.len() as u64, Ordering::Relaxed) + words.len() as u64;
        progress(Progress { stage: Stage::Hash, done, of });
        Ok(shard)
    });
    let shards: Vec<Shard> = beside_the_disk(writer, count, || shards.collect::<io::Result<_>>())?;
    write_nodes(writer, header, &shards)?;
    header.checksums[Section::Totals as usize] =
        write_column(writer, Section::Totals, &shards, |shard| shard.total.0.to_le_bytes())?;
    if header.persons {
        write_persons(writer, header, &sorted.places, sorted.records().map(|record| record.place))?;
    }
    Ok(())
}

const SHARD_WORDS: usize = 1 << 16;
const _: () = assert!(SHARD_WORDS as u64 == SHARD && SHARD_WORDS * 32 == WRITE_BYTES);

/// Room for a shard's words that can be written from where it lies.
fn aligned() -> io::Result<MmapMut> {
    MmapMut::map_anon(WRITE_BYTES)
}

/// The words of some records.
fn fill<'a>(room: &'a mut MmapMut, sorted: &Sorted, range: Range<usize>) -> &'a [Word] {
    let words = &mut room.as_chunks_mut::<32>().0[..range.len()];
    let records = sorted.range(range).flatten();
    words.iter_mut().zip(records).for_each(|(word, record)| *word = record.word().0);
    Word::from_arrays(words)
}

/// Does `work` on a few more threads than there are, where some of them wait for the disk and there is enough to do.
fn beside_the_disk<T: Send>(
    writer: &Writer,
    count: usize,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let threads = rayon::current_num_threads();
    if !writer.waits() || count <= threads * SHARD_WORDS {
        return work();
    }
    match rayon::ThreadPoolBuilder::new().num_threads(threads + WRITES_IN_FLIGHT).build() {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    }
}

fn write_shard(writer: &Writer, number: u64, words: &[Word], depth: u8) -> io::Result<Shard> {
    writer.write(Section::Words, number * SHARD * 32, tree::bytes_of(words))?;
    let levels = tree::levels_over(words, WORD_LEVELS.min(depth), SHARD_LEVELS.min(depth));
    Ok(Shard { total: sum(words), levels })
}

/// Writes the stored levels one after another and computes the root over the shards.
fn write_nodes(writer: &Writer, header: &mut Header, shards: &[Shard]) -> io::Result<()> {
    let levels = native_levels(header.count, header.depth);
    let mut nodes: Vec<Hash> = Vec::new();
    for (i, level) in levels.iter().enumerate() {
        debug_assert_eq!(nodes.len() as u64, level.nodes.start);
        shards.iter().for_each(|shard| nodes.extend_from_slice(&shard.levels[i]));
    }
    let roots: Vec<Hash> = shards.iter().map(|shard| shard.levels[levels.len() - 1][0]).collect();
    header.root = Upper::new(&roots, header.depth).root();
    writer.write(Section::Nodes, 0, nodes.as_flattened())?;
    header.checksums[Section::Nodes as usize] = keccak::checksum(nodes.as_flattened());
    Ok(())
}
