//! What calls cost: a model of the Distributor's gas and calldata, and what its chain charges for either.

use crate::ids::RoundNo;
use crate::limits::BATCH_GAS_MAX;
use crate::log::entry::{BatchForm, WordMask};
use crate::state::campaign::Campaign;

/// Levels of the tree inside a word: 64 buckets.
const WORD_LEVELS: u8 = 6;
/// Calldata of a call with nothing in it, with the frame of its first word or range.
const FRAME_BYTES: u64 = 320;
/// Calldata of a bucket, and of a sibling.
const BUCKET_BYTES: u64 = 128;
const SIBLING_BYTES: u64 = 32;
/// Calldata of one gate's word: nine words of fields in `settleTo`, 50 to 82 bytes in `settleGated`, and an ERC-7913 or
/// ERC-1271 signature of middling size.
const GATE_WORD_BYTES: u64 = 640;
/// Calldata of a redirected claim without its proof: six words of fields, its bucket, its signature.
const REDIRECT_BYTES: u64 = 512;
/// What a call with gates' words costs more than one without, whatever their number: measured 1,830 gas for `settleGated`
/// and 6,000 for `settleTo`.
const GATED_CALL: u64 = 8_000;

/// What calls cost in gas, at most. Fitted to transaction receipts of the contracts' gas bench for OpenZeppelin's ERC-20
/// with fresh recipients and fresh bitmap words, and rounded up; the item, by far the largest part, by 3 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GasModel {
    /// A sparse or redirected call with nothing in it.
    pub call: u64,
    /// A dense call with nothing in it.
    pub dense_call: u64,
    /// One 256-bit word of the paid bitmap.
    pub word: u64,
    /// One sibling of a proof.
    pub level: u64,
    /// One bucket of a sparse call, whether one or four of its entitlements are paid.
    pub bucket: u64,
    /// One node that a sparse call hashes between its buckets and its word.
    pub node: u64,
    /// One bucket of a dense call, with the nodes above it.
    pub dense_bucket: u64,
    /// One entitlement paid: the transfer to somebody who had none of the token.
    pub item: u64,
    /// One entry of a dense call's range that is not paid.
    pub rest: u64,
    /// One redirected claim: bitmap word, proof, signature, which may be a contract's.
    pub redirect_item: u64,
    /// One word's gate signature: measured 5,414 gas for an ECDSA key in `settleGated` and 7,340 in `settleTo`; a contract's
    /// or a passkey's costs more.
    pub gate_word: u64,
    /// What the chain charges for a byte of calldata beside its gas, in gas: for bringing it to another chain. It counts
    /// where calls are compared, and uses up nothing.
    pub byte: u64,
    /// The gas that a byte of calldata uses up beside the call's own: chains of Arbitrum's kind count so what it costs to
    /// bring it to another chain.
    pub byte_gas: u64,
    /// A batch is planned within this and [`BATCH_GAS_MAX`], whichever is less: while fees are high, what a
    /// transaction may cost in all allows less gas. One item is planned whatever it says.
    pub most: u64,
}

impl Default for GasModel {
    fn default() -> Self {
        Self {
            call: 55_000,
            dense_call: 52_500,
            word: 30_000,
            level: 625,
            bucket: 2_150,
            node: 550,
            dense_bucket: 2_200,
            item: 26_000,
            rest: 110,
            redirect_item: 105_000,
            gate_word: 15_000,
            byte: 0,
            byte_gas: 0,
            most: BATCH_GAS_MAX,
        }
    }
}

/// Gas and calldata of a call, or of a part of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Gas.
    pub gas: u64,
    /// Bytes of calldata.
    pub bytes: u64,
}

impl Cost {
    pub(super) fn and(self, other: Self) -> Self {
        Self { gas: self.gas + other.gas, bytes: self.bytes + other.bytes }
    }
}

impl GasModel {
    /// Gas a batch is planned within.
    pub(super) fn budget(&self) -> u64 {
        let word = self.word + self.bucket + 32 * self.level + self.item;
        let bytes = FRAME_BYTES + REDIRECT_BYTES + GATE_WORD_BYTES + 32 * SIBLING_BYTES;
        let one =
            self.call + GATED_CALL + self.gate_word + word.max(self.redirect_item) + bytes * self.byte_gas;
        self.most.max(one).min(BATCH_GAS_MAX)
    }

    /// What a cost is worth, in gas.
    pub fn worth(&self, cost: Cost) -> u64 {
        cost.gas + cost.bytes * self.byte
    }

    /// Gas and calldata, with the gas that the calldata uses up.
    fn of_bytes(&self, gas: u64, bytes: u64) -> Cost {
        Cost { gas: gas + bytes * self.byte_gas, bytes }
    }

    /// A call with nothing in it.
    pub(super) fn empty(&self, form: &BatchForm) -> Cost {
        let gas = match form {
            BatchForm::Dense { .. } => self.dense_call,
            BatchForm::Sparse => self.call,
            BatchForm::Redirected { .. } | BatchForm::Gated => self.call + GATED_CALL,
        };
        self.of_bytes(gas, FRAME_BYTES)
    }

    /// One word of a sparse call over a round of this depth; of a gated one, with its gate's word.
    pub(super) fn word(&self, mask: &[u64; 4], depth: u8, gated: bool) -> Cost {
        let shape = Shape::of(mask, depth);
        let (gate, gate_bytes) = if gated { (self.gate_word, GATE_WORD_BYTES) } else { (0, 0) };
        let gas = self.word
            + shape.buckets * self.bucket
            + shape.nodes * self.node
            + shape.siblings * self.level
            + shape.items * self.item
            + gate;
        let bytes = FRAME_BYTES + shape.buckets * BUCKET_BYTES + shape.siblings * SIBLING_BYTES + gate_bytes;
        self.of_bytes(gas, bytes)
    }

    /// A dense call of 2^levels buckets that pays this many.
    pub(super) fn dense(&self, levels: u8, depth: u8, items: u64) -> Cost {
        let (buckets, path) = (1u64 << levels, u64::from(depth.saturating_sub(levels)));
        let words = (buckets >> WORD_LEVELS).max(1);
        let gas = self.dense_call
            + words * self.word
            + path * self.level
            + buckets * self.dense_bucket
            + items * self.item
            + (buckets * 4).saturating_sub(items) * self.rest;
        self.of_bytes(gas, FRAME_BYTES + buckets * BUCKET_BYTES + path * SIBLING_BYTES)
    }

    /// One redirected claim; it may stand in a word of its own, and need its gate's signature.
    pub(super) fn redirect(&self, depth: u8) -> Cost {
        let bytes = REDIRECT_BYTES + u64::from(depth) * SIBLING_BYTES + GATE_WORD_BYTES;
        self.of_bytes(self.redirect_item + self.gate_word, bytes)
    }

    /// What a batch of the campaign costs, at most.
    pub fn cost(&self, campaign: &Campaign, form: &BatchForm, words: &[WordMask]) -> Cost {
        self.cost_at(form, words, |round| campaign.round(round).map_or(0, |r| r.terms.depth))
    }

    /// The same for rounds of these depths.
    pub fn cost_at(&self, form: &BatchForm, words: &[WordMask], depth: impl Fn(RoundNo) -> u8) -> Cost {
        match form {
            BatchForm::Dense { round, levels, .. } => {
                let items = words.iter().map(|w| u64::from(w.count())).sum();
                self.dense(*levels, depth(*round), items)
            }
            BatchForm::Sparse | BatchForm::Gated => words.iter().fold(self.empty(form), |sum, w| {
                sum.and(self.word(&w.mask, depth(w.round), *form == BatchForm::Gated))
            }),
            BatchForm::Redirected { claims } => {
                claims.iter().fold(self.empty(form), |sum, (id, _)| sum.and(self.redirect(depth(id.round))))
            }
        }
    }

    /// The gas of it.
    pub fn of(&self, campaign: &Campaign, form: &BatchForm, words: &[WordMask]) -> u64 {
        self.cost(campaign, form, words).gas
    }
}

/// What the bits of a word ask of a sparse call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    items: u64,
    buckets: u64,
    /// Hashed from two nodes inside the word, until one is left.
    nodes: u64,
    /// Siblings: those missing inside the word, and one for each level above.
    siblings: u64,
}

impl Shape {
    fn of(mask: &[u64; 4], depth: u8) -> Self {
        let ones = |bits: u64| u64::from(bits.count_ones());
        let items = mask.iter().map(|part| ones(*part)).sum();
        // Twice halved, the sixteen buckets of a part stand in its lowest bits.
        let fold = |part: u64| even_bits(pairs(even_bits(pairs(part))));
        let mut marks = mask.iter().rev().fold(0, |marks, part| marks << 16 | fold(*part));
        let found = ones(marks);
        let (mut nodes, mut siblings, mut level) = (0, 0, 0);
        while level < depth.min(WORD_LEVELS) && ones(marks) > 1 {
            let parents = even_bits(pairs(marks));
            siblings += 2 * ones(parents) - ones(marks);
            nodes += ones(parents);
            marks = parents;
            level += 1;
        }
        Self { items, buckets: found, nodes, siblings: siblings + u64::from(depth - level) }
    }
}

/// A mark on the lower bit of each pair that has one.
fn pairs(bits: u64) -> u64 {
    (bits | bits >> 1) & 0x5555_5555_5555_5555
}

/// The even bits, close together.
fn even_bits(bits: u64) -> u64 {
    let mut x = bits & 0x5555_5555_5555_5555;
    x = (x | x >> 1) & 0x3333_3333_3333_3333;
    x = (x | x >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x >> 4) & 0x00ff_00ff_00ff_00ff;
    x = (x | x >> 8) & 0x0000_ffff_0000_ffff;
    (x | x >> 16) & 0xffff_ffff
}
