//! What the chain said, finally, of a round that the log has not announced. The chain may well be first: publication
//! there and the command here are two transactions of the same people, and wallets need nobody's leave to claim.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::command::RoundTerms;
use crate::ids::EntitlementId;
use crate::limits::SHARD;
use crate::log::entry::ChainEvent;

/// A round's final events before its announcement. Payments and voids are kept as bits, so that a whole country that
/// claims by wallet takes a few megabytes, as it would in the round.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Ahead {
    /// What moves the round's phase, in order.
    pub turns: Vec<ChainEvent>,
    /// Who was paid.
    pub paid: Marks,
    /// What was annulled.
    pub void: Marks,
}

/// A set of indexes, as the Distributor keeps them: 256 to a word.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Marks(BTreeMap<u64, [u64; 4]>);

impl Marks {
    /// Adds an entitlement's index; says whether it is new.
    pub fn add(&mut self, id: EntitlementId) -> bool {
        let bit = (id.index % 256) as usize;
        let part = &mut self.0.entry(id.index / 256).or_default()[bit / 64];
        let before = *part;
        *part |= 1 << (bit % 64);
        before != *part
    }

    /// The indexes below `count`, ascending.
    pub fn below(&self, count: u64) -> impl Iterator<Item = u64> + '_ {
        let of = |(word, mask): (&u64, &[u64; 4])| {
            let (word, mask) = (*word, *mask);
            (0..256u64)
                .filter(move |b| mask[(b / 64) as usize] >> (b % 64) & 1 == 1)
                .map(move |b| word * 256 + b)
        };
        self.0.range(..count.div_ceil(256)).flat_map(of).filter(move |index| *index < count)
    }
}

impl Ahead {
    /// Whether the chain published these terms, as far as it published any.
    pub fn is_of(&self, announced: &RoundTerms) -> bool {
        self.turns.iter().all(|turn| match turn {
            ChainEvent::Published { terms } => **terms == *announced,
            _ => true,
        })
    }

    /// How many are paid and annulled in each shard of a round of `count` entitlements; shards without any are left out.
    pub fn counts(&self, count: u64) -> BTreeMap<u32, (u32, u32)> {
        let mut counts: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
        let shard = |index: u64| u32::try_from(index / SHARD).expect("shards are counted in u32");
        for index in self.paid.below(count) {
            counts.entry(shard(index)).or_default().0 += 1;
        }
        for index in self.void.below(count) {
            counts.entry(shard(index)).or_default().1 += 1;
        }
        counts
    }
}
