//! The first pass of the sort: every record goes to its bucket, by the leading bits of its address, in one parallel
//! sweep. A block is freed as soon as it is swept, so that the list never stands in memory twice.

use super::{Record, bucket_bits, bucket_of};
use crate::list::Parsed;
use rayon::prelude::*;

/// All records of the blocks, bucket after bucket, lines and ordinals counted over the whole list; and where each
/// bucket begins.
pub(super) fn scatter(blocks: Vec<Parsed>) -> (Vec<Record>, Vec<usize>) {
    let count: usize = blocks.iter().map(|block| block.records.len()).sum();
    let bits = bucket_bits(count);
    // One histogram per group, not per block: a large list has thousands of blocks.
    let groups = group(blocks, 4 * rayon::current_num_threads());
    let histograms: Vec<Vec<usize>> = groups.par_iter().map(|group| histogram(group, bits)).collect();
    let starts = starts(histograms, bits);
    let begins = starts.first().cloned().unwrap_or_default();
    let mut records: Vec<Record> = Vec::with_capacity(count);
    let target = Target(records.as_mut_ptr());
    groups.into_par_iter().zip(starts).for_each(|(group, mut next)| {
        let target = &target;
        for block in group {
            for mut record in block.records {
                record.line += block.line_base;
                record.ordinal += block.ordinal_base;
                let place = &mut next[bucket_of(&record, bits)];
                // SAFETY: `starts` gives each group and bucket a range of its own, as long as the group has records
                // for it, and the ranges tile 0..count, the capacity; so each place is written once, by one thread.
                unsafe { target.0.add(*place).write(record) };
                *place += 1;
            }
        }
    });
    // SAFETY: every place below `count` was written above.
    unsafe { records.set_len(count) };
    (records, begins)
}

/// Where the records go; see the safety comments in [`scatter`].
struct Target(*mut Record);
// SAFETY: the threads write through it to places of their own.
unsafe impl Sync for Target {}

/// The records cut at the places where buckets begin.
pub(super) fn buckets<'a>(mut records: &'a mut [Record], begins: &[usize]) -> Vec<&'a mut [Record]> {
    let mut buckets = Vec::with_capacity(begins.len());
    for &begin in begins.iter().rev() {
        let (before, bucket) = records.split_at_mut(begin);
        buckets.push(bucket);
        records = before;
    }
    buckets
}

fn group(blocks: Vec<Parsed>, groups: usize) -> Vec<Vec<Parsed>> {
    let size = blocks.len().div_ceil(groups).max(1);
    let mut grouped: Vec<Vec<Parsed>> = Vec::with_capacity(groups);
    for block in blocks {
        match grouped.last_mut() {
            Some(group) if group.len() < size => group.push(block),
            _ => grouped.push(vec![block]),
        }
    }
    grouped
}

fn histogram(group: &[Parsed], bits: u32) -> Vec<usize> {
    let mut histogram = vec![0; 1 << bits];
    for record in group.iter().flat_map(|block| &block.records) {
        histogram[bucket_of(record, bits)] += 1;
    }
    histogram
}

/// Turns counts into places: bucket by bucket, and within a bucket group by group.
fn starts(mut histograms: Vec<Vec<usize>>, bits: u32) -> Vec<Vec<usize>> {
    let mut next = 0;
    for bucket in 0..1 << bits {
        for histogram in &mut histograms {
            let count = std::mem::replace(&mut histogram[bucket], next);
            next += count;
        }
    }
    histograms
}
