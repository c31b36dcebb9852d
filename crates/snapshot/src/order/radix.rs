//! Sorting one partition: one sweep by the next bits of the address, which leaves a few records in each bucket, then
//! each bucket by comparison.

use super::Record;
use crate::limits::{SORT_BUCKET, SORT_BUCKET_BITS_MAX, SORT_BUCKET_LARGE};
use rayon::prelude::*;

/// Sorts records whose addresses share their first `shared` bits. `scratch` changes places with the partition.
pub(super) fn sort(part: &mut Vec<Record>, shared: u32, scratch: &mut Vec<Record>) {
    let bits = (part.len() / SORT_BUCKET).max(1).ilog2().min(SORT_BUCKET_BITS_MAX);
    let mut ends = vec![0u32; 1 << bits];
    part.iter().for_each(|record| ends[record.bucket(shared, bits)] += 1);
    let mut begin = 0;
    for end in &mut ends {
        begin += std::mem::replace(end, begin);
    }
    scratch.resize(part.len(), Record::NONE);
    for record in part.iter() {
        let end = &mut ends[record.bucket(shared, bits)];
        scratch[*end as usize] = *record;
        *end += 1;
    }
    std::mem::swap(part, scratch);
    let mut rest = part.as_mut_slice();
    let mut begin = 0;
    for end in ends {
        let (bucket, behind) = rest.split_at_mut((end - begin) as usize);
        sort_bucket(bucket);
        (rest, begin) = (behind, end);
    }
}

fn sort_bucket(bucket: &mut [Record]) {
    match bucket.len() {
        0 | 1 => {}
        // Addresses that share their first bytes, as no list of hashes does, end up in few buckets.
        SORT_BUCKET_LARGE.. => bucket.par_sort_unstable_by(Record::order),
        _ => bucket.sort_unstable_by(Record::order),
    }
}
