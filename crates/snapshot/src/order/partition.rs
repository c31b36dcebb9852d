//! Sharing out records while the list is still being read: each goes to the partition that the leading bits of its
//! address name. Partitions are then sorted one by one, so that a list stands in memory once, beside one partition a
//! thread.

use super::Record;
use crate::limits::{PARTITION_BITS_MAX, PARTITION_BITS_UNKNOWN, PARTITION_RECORDS, ROOM_RECORDS_MAX};
use std::sync::{Mutex, PoisonError};

/// The records of a list, shared out by address.
#[derive(Debug)]
pub(crate) struct Partitions {
    bits: u32,
    parts: Vec<Mutex<Vec<Record>>>,
}

/// One thread's records on their way to the partitions.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// As parsed.
    pub records: Vec<Record>,
    /// By partition.
    grouped: Vec<Record>,
    /// Where the next record of each partition goes among them; in the end, where its records end.
    ends: Vec<usize>,
}

impl Partitions {
    /// Partitions for at most `most` records; `None` when nobody knows.
    pub(crate) fn new(most: Option<u64>) -> Self {
        let most = most.map(|most| usize::try_from(most.min(ROOM_RECORDS_MAX)).expect("bounded"));
        let bits = most.map_or(PARTITION_BITS_UNKNOWN, |most| {
            (most / PARTITION_RECORDS).max(1).ilog2().min(PARTITION_BITS_MAX)
        });
        // Room that is never written to costs no memory, and a vector that grows is copied.
        let room = most.map_or(0, |most| (most >> bits) + (most >> bits) / 8);
        let part = |_| {
            let mut part = Vec::new();
            // Without this room the vector grows as it is filled.
            let _ = part.try_reserve_exact(room);
            Mutex::new(part)
        };
        Self { bits, parts: (0..1 << bits).map(part).collect() }
    }

    /// Takes the records of one block.
    pub(crate) fn take(&self, sweep: &mut Sweep, block: usize) {
        let Sweep { records, grouped, ends } = sweep;
        ends.clear();
        ends.resize(self.parts.len(), 0);
        records.iter().for_each(|record| ends[record.bucket(0, self.bits)] += 1);
        let mut begin = 0;
        for end in ends.iter_mut() {
            begin += std::mem::replace(end, begin);
        }
        grouped.resize(records.len(), Record::NONE);
        for record in records.iter() {
            let end = &mut ends[record.bucket(0, self.bits)];
            grouped[*end] = *record;
            *end += 1;
        }
        // Threads begin at different partitions, so that they do not queue up behind each other.
        let count = self.parts.len();
        for part in (0..count).map(|part| (part + block * 61) % count) {
            let begin = if part == 0 { 0 } else { ends[part - 1] };
            if begin < ends[part] {
                let mut part_records = self.parts[part].lock().unwrap_or_else(PoisonError::into_inner);
                part_records.extend_from_slice(&grouped[begin..ends[part]]);
            }
        }
    }

    /// The bits of the address that all records of a partition share, and the partitions in their order.
    pub(crate) fn into_parts(self) -> (u32, Vec<Vec<Record>>) {
        let parts = self.parts.into_iter();
        (self.bits, parts.map(|part| part.into_inner().unwrap_or_else(PoisonError::into_inner)).collect())
    }
}
