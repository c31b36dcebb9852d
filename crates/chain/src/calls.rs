//! Calldata, from `core`'s words and bytes the caller has at hand. Pure: nothing is looked up, nothing is sent.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use sluice_core::amount::Total;
use sluice_core::command::RoundTerms;
use sluice_core::entitlement::Word;
use sluice_core::ids::{BatchNo, EntitlementId, Epoch, RoundNo};
use sluice_core::log::entry::WordMask;

use crate::bindings::{self as sol, Charter, Distributor, TestToken};
use crate::decode::{encode_round_terms, mask_word};
use crate::error::ChainError;

mod powers;

pub use powers::*;

/// What every settlement carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHead {
    /// The sequencer's epoch.
    pub epoch: Epoch,
    /// The Distributor's next batch number.
    pub batch: BatchNo,
    /// Checkpoint root; evidence only.
    pub log_root: B256,
}

/// A whole aligned range with its proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<'a> {
    /// The round.
    pub round: RoundNo,
    /// First index, a multiple of 4·2^levels.
    pub start: u64,
    /// Tree levels of the subtree.
    pub levels: u8,
    /// Its 4·2^levels words, padding included.
    pub words: &'a [Word],
    /// depth − levels sibling hashes, from the range up.
    pub path: &'a [B256],
}

/// Some entitlements of one 256-bit word with their proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Which.
    pub mask: WordMask,
    /// The four words of every bucket with a bit in the mask, ascending.
    pub words: Vec<Word>,
    /// The sibling hashes that are missing, level by level from the buckets up, left to right.
    pub proof: Vec<B256>,
}

/// One redirected entitlement with its proof and its recipient's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectItem {
    /// Which.
    pub entitlement: EntitlementId,
    /// Where the recipient wants it.
    pub to: Address,
    /// The signed deadline, Unix seconds.
    pub deadline: u64,
    /// The recipient's signature over `Claim`.
    pub signature: Bytes,
    /// The four words of the bucket that holds it.
    pub bucket: [Word; 4],
    /// depth sibling hashes, from the bucket up.
    pub proof: Vec<B256>,
}

/// What a gate says of one word: these may be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateContent {
    /// All that it ever approved of the word.
    pub mask: WordMask,
    /// Position of the log up to which it had looked.
    pub as_of_seq: u64,
    /// Last second at which its word may serve, Unix seconds.
    pub expiry: u64,
}

/// The same with its signature over [`crate::actions::gate_digest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateWord {
    /// What it says.
    pub content: GateContent,
    /// Of the key of the round's gate version.
    pub signature: Bytes,
}

/// A chunk of a GATED round with what lets it be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatedChunk {
    /// The entitlements, with their proof.
    pub chunk: Chunk,
    /// The gate's word that covers them.
    pub gate: GateWord,
    /// The round's rules, which the gate signed under.
    pub rules_hash: B256,
}

/// One entitlement with its proof, for claims by wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven<'a> {
    /// Which.
    pub entitlement: EntitlementId,
    /// The four words of the bucket that holds it.
    pub bucket: [Word; 4],
    /// depth sibling hashes, from the bucket up.
    pub proof: &'a [B256],
}

/// Authorities' signatures for one action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approvals {
    /// The set version they bind.
    pub set_version: u64,
    /// Last second at which they may be used, Unix seconds.
    pub deadline: u64,
    /// ERC-7913 signer bytes, signature.
    pub signatures: Vec<(Bytes, Bytes)>,
}

impl Approvals {
    fn encode(&self) -> sol::Approval {
        let one = |(signer, signature): &(Bytes, Bytes)| sol::AuthoritySignature {
            signer: signer.clone(),
            signature: signature.clone(),
        };
        sol::Approval {
            setVersion: self.set_version,
            deadline: self.deadline,
            signatures: self.signatures.iter().map(one).collect(),
        }
    }
}

impl Chunk {
    fn encode(&self) -> sol::SparseWord {
        sol::SparseWord {
            roundNo: U256::from(self.mask.round),
            word: U256::from(self.mask.word),
            mask: mask_word(self.mask.mask),
            words: concatenated(&self.words),
            proof: self.proof.clone(),
        }
    }
}

impl RedirectItem {
    fn encode(&self) -> sol::Redirect {
        sol::Redirect {
            roundNo: U256::from(self.entitlement.round),
            index: U256::from(self.entitlement.index),
            to: self.to,
            deadline: self.deadline,
            signature: self.signature.clone(),
            bucket: self.bucket.map(B256::from),
            proof: self.proof.clone(),
        }
    }
}

impl GateWord {
    fn encode(&self) -> sol::GateWord {
        let GateContent { mask, as_of_seq, expiry } = self.content;
        sol::GateWord {
            roundNo: U256::from(mask.round),
            word: U256::from(mask.word),
            mask: mask_word(mask.mask),
            asOfSeq: as_of_seq,
            expiry,
            signature: self.signature.clone(),
        }
    }
}

/// Words as the contract reads them, one after another.
fn concatenated(words: &[Word]) -> Bytes {
    words.iter().flat_map(|word| word.0).collect()
}

fn bytes(call: impl SolCall) -> Bytes {
    call.abi_encode().into()
}

/// `settle`: pays a whole range.
pub fn settle(head: BatchHead, range: Range<'_>) -> Bytes {
    bytes(Distributor::settleCall {
        epoch: head.epoch,
        batchNo: head.batch,
        logRoot: head.log_root,
        roundNo: U256::from(range.round),
        start: U256::from(range.start),
        levels: range.levels,
        words: concatenated(range.words),
        path: range.path.to_vec(),
    })
}

/// `settleSparse`: pays exactly the masks' bits.
pub fn settle_sparse(head: BatchHead, chunks: &[Chunk]) -> Bytes {
    bytes(Distributor::settleSparseCall {
        epoch: head.epoch,
        batchNo: head.batch,
        logRoot: head.log_root,
        chunks: chunks.iter().map(Chunk::encode).collect(),
    })
}

/// `settleGated`: pays exactly the masks' bits in GATED rounds, each chunk under its gate's word.
pub fn settle_gated(head: BatchHead, chunks: &[GatedChunk]) -> Bytes {
    bytes(Distributor::settleGatedCall {
        epoch: head.epoch,
        batchNo: head.batch,
        logRoot: head.log_root,
        chunks: chunks.iter().map(|gated| gated.chunk.encode()).collect(),
        gates: packed(chunks),
    })
}

/// Of a packed word's first two bytes: how long its signature is. The log takes none that is nearly as long
/// (`sluice_core::limits::SIGNATURE_BYTES_MAX`).
const LENGTH_BITS: u16 = 0x7fff;

/// The gates' words as `settleGated` reads them, one after another: `IDistributor.sol` has their layout. Of a mask only
/// what its chunk does not pay is there, and rules only where they are not those of the word before.
fn packed(chunks: &[GatedChunk]) -> Bytes {
    let mut packed = Vec::new();
    let mut rules = None;
    for GatedChunk { chunk, gate, rules_hash } in chunks {
        let GateContent { mask, as_of_seq, expiry } = gate.content;
        let names_rules = rules.replace(*rules_hash) != Some(*rules_hash);
        let length = u16::try_from(gate.signature.len()).unwrap_or(LENGTH_BITS).min(LENGTH_BITS);
        let head = length | if names_rules { !LENGTH_BITS } else { 0 };
        packed.extend(head.to_be_bytes());
        packed.extend(as_of_seq.to_be_bytes());
        packed.extend(expiry.to_be_bytes());
        packed.extend((mask_word(mask.mask) & !mask_word(chunk.mask.mask)).to_be_bytes::<32>());
        if names_rules {
            packed.extend(rules_hash);
        }
        packed.extend(&gate.signature);
    }
    packed.into()
}

/// `settleTo`: pays where the recipients signed.
pub fn settle_to(head: BatchHead, items: &[RedirectItem]) -> Bytes {
    settle_to_gated(head, items, &[])
}

/// `settleTo` with the gates' words that cover its items of GATED rounds.
pub fn settle_to_gated(head: BatchHead, items: &[RedirectItem], gates: &[GateWord]) -> Bytes {
    bytes(Distributor::settleToCall {
        epoch: head.epoch,
        batchNo: head.batch,
        logRoot: head.log_root,
        items: items.iter().map(RedirectItem::encode).collect(),
        gates: gates.iter().map(GateWord::encode).collect(),
    })
}

/// `claim`: the recipient pays itself.
pub fn claim(item: Proven<'_>) -> Bytes {
    bytes(Distributor::claimCall {
        roundNo: U256::from(item.entitlement.round),
        index: item.entitlement.index,
        bucket: item.bucket.map(B256::from),
        proof: item.proof.to_vec(),
    })
}

/// `claimTo`: anyone carries what the recipient signed. With `to` = recipient it does what `claimFor` does.
pub fn claim_to(item: Proven<'_>, to: Address, deadline: u64, signature: Bytes) -> Bytes {
    bytes(Distributor::claimToCall {
        roundNo: U256::from(item.entitlement.round),
        index: U256::from(item.entitlement.index),
        bucket: item.bucket.map(B256::from),
        proof: item.proof.to_vec(),
        to,
        deadline,
        signature,
    })
}

/// `claimAttested`: as `claim_to`, in a GATED round. The recipient itself may leave its signature empty if it is paid at
/// its own address.
pub fn claim_attested(
    item: Proven<'_>,
    to: Address,
    deadline: u64,
    signature: Bytes,
    gate: &GateWord,
) -> Bytes {
    bytes(Distributor::claimAttestedCall {
        roundNo: U256::from(item.entitlement.round),
        index: U256::from(item.entitlement.index),
        bucket: item.bucket.map(B256::from),
        proof: item.proof.to_vec(),
        to,
        deadline,
        signature,
        gate: gate.encode(),
    })
}

/// `publish`: announces the next round.
///
/// # Errors
/// [`ChainError::DoesNotFit`] for a gate version above a uint16.
pub fn publish(terms: &RoundTerms, approvals: &Approvals) -> Result<Bytes, ChainError> {
    Ok(bytes(Distributor::publishCall {
        roundNo: U256::from(terms.round),
        terms: encode_round_terms(terms)?,
        approval: approvals.encode(),
    }))
}

/// `open`: opens a round whose time and money have come.
pub fn open(round: RoundNo) -> Bytes {
    bytes(Distributor::openCall { roundNo: U256::from(round) })
}

/// `cancel`: ends a round before it opens.
pub fn cancel(round: RoundNo, approvals: &Approvals) -> Bytes {
    bytes(Distributor::cancelCall { roundNo: U256::from(round), approval: approvals.encode() })
}

/// `veto`: ends a round before it opens, by a minority.
pub fn veto(round: RoundNo, approvals: &Approvals) -> Bytes {
    bytes(Distributor::vetoCall { roundNo: U256::from(round), approval: approvals.encode() })
}

/// `extendClosing`: moves a closing to later (Unix seconds).
pub fn extend_closing(round: RoundNo, closes_at: u64, approvals: &Approvals) -> Bytes {
    bytes(Distributor::extendClosingCall {
        roundNo: U256::from(round),
        closesAt: closes_at,
        approval: approvals.encode(),
    })
}

/// `void`: annuls entitlements of one word.
pub fn void(chunk: &Chunk, approvals: &Approvals) -> Bytes {
    bytes(Distributor::voidCall { chunk: chunk.encode(), approval: approvals.encode() })
}

/// `withdraw`: sends base units back before the first opening.
pub fn withdraw(amount: Total, nonce: u64, approvals: &Approvals) -> Bytes {
    bytes(Distributor::withdrawCall {
        amount: U256::from(amount.get()),
        nonce: U256::from(nonce),
        approval: approvals.encode(),
    })
}

/// `sweep`: ends a round after closing and grace.
pub fn sweep(round: RoundNo) -> Bytes {
    bytes(Distributor::sweepCall { roundNo: U256::from(round) })
}

/// `registerDistributor`, at the Charter.
pub fn register_distributor(distributor: Address, approvals: &Approvals) -> Bytes {
    bytes(Charter::registerDistributorCall { distributor, approval: approvals.encode() })
}

/// `takeEpoch`, at the Charter, by a sequencer's control key.
pub fn take_epoch(epoch: Epoch) -> Bytes {
    bytes(Charter::takeEpochCall { epoch })
}

/// `removeSequencer`, at the Charter, with its replacement's control key and lanes if there is one.
pub fn remove_sequencer(
    sequencer: u32,
    replacement: Option<(Address, Vec<Address>)>,
    approvals: &Approvals,
) -> Bytes {
    let keys = |(control, lanes)| sol::SequencerKeys { control, lanes };
    let replacement = replacement.into_iter().map(keys).collect();
    bytes(Charter::removeSequencerCall { id: sequencer, replacement, approval: approvals.encode() })
}

/// `scheduleAuthorities`, at the Charter: names and ERC-7913 signers, and M.
pub fn schedule_authorities(
    institutions: &[(String, Vec<Bytes>)],
    publish_threshold: u8,
    approvals: &Approvals,
) -> Bytes {
    let institution = |(name, signers): &(String, Vec<Bytes>)| sol::Institution {
        name: name.clone(),
        signers: signers.clone(),
    };
    bytes(Charter::scheduleAuthoritiesCall {
        institutions: institutions.iter().map(institution).collect(),
        publishThreshold: publish_threshold,
        approval: approvals.encode(),
    })
}

/// `scheduleSequencer`, at the Charter.
pub fn schedule_sequencer(control: Address, lanes: Vec<Address>, approvals: &Approvals) -> Bytes {
    let keys = sol::SequencerKeys { control, lanes };
    bytes(Charter::scheduleSequencerCall { keys, approval: approvals.encode() })
}

/// `scheduleLanes`, at the Charter: a sequencer's full new list.
pub fn schedule_lanes(sequencer: u32, lanes: Vec<Address>, approvals: &Approvals) -> Bytes {
    bytes(Charter::scheduleLanesCall { sequencer, lanes, approval: approvals.encode() })
}

/// `scheduleLogKeys`, at the Charter: Ed25519 keys with their names to add, keys to revoke.
pub fn schedule_log_keys(add: &[(B256, String)], revoke: Vec<B256>, approvals: &Approvals) -> Bytes {
    let add = add.iter().map(|(key, name)| sol::LogKey { key: *key, name: name.clone() }).collect();
    bytes(Charter::scheduleLogKeysCall { add, revoke, approval: approvals.encode() })
}

/// `cancelChange`, at the Charter.
pub fn cancel_change(change: B256, approvals: &Approvals) -> Bytes {
    bytes(Charter::cancelChangeCall { id: change, approval: approvals.encode() })
}

/// `applyChange`, at the Charter: anyone, once its time has come.
pub fn apply_change(change: B256) -> Bytes {
    bytes(Charter::applyChangeCall { id: change })
}

/// An ERC-20's `transfer`: how a Distributor is funded.
pub fn transfer(to: Address, amount: Total) -> Bytes {
    bytes(TestToken::transferCall { to, value: U256::from(amount.get()) })
}

/// The test token's `mint`.
pub fn mint(to: Address, amount: Total) -> Bytes {
    bytes(TestToken::mintCall { to, amount: U256::from(amount.get()) })
}

#[cfg(test)]
mod tests;
