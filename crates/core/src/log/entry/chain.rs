//! The half of the format that the chain drives: batches, their attempts and ends, events by other hands, cursors.

use alloy_primitives::{Address, B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::amount::{Amount, Total};
use crate::command::RoundTerms;
use crate::ids::{BatchNo, BlockRef, CampaignId, ChainId, EntitlementId, Epoch, RoundNo, Seq};

/// Bits of one 256-bit word of a round's bitmap, as the Distributor stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct WordMask {
    /// The round.
    pub round: RoundNo,
    /// The word: entitlements 256·word to 256·word + 255.
    pub word: u64,
    /// Bit i of the word is bit i % 64 of `mask[i / 64]`.
    pub mask: [u64; 4],
}

impl WordMask {
    /// How many bits are set.
    pub fn count(&self) -> u32 {
        self.mask.iter().map(|m| m.count_ones()).sum()
    }

    /// Whether this index is among them.
    pub fn contains(&self, round: RoundNo, index: u64) -> bool {
        self.round == round && self.word == index / 256 && {
            let bit = (index % 256) as usize;
            self.mask[bit / 64] >> (bit % 64) & 1 == 1
        }
    }

    /// The indexes, ascending.
    pub fn indexes(&self) -> impl Iterator<Item = u64> + '_ {
        (0..256u64)
            .filter(|bit| self.mask[(*bit / 64) as usize] >> (bit % 64) & 1 == 1)
            .map(|b| self.word * 256 + b)
    }
}

/// A batch's content and form. The bits say exactly who is to be paid; the form, by which call.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BatchPlanned {
    /// The campaign.
    pub campaign: CampaignId,
    /// Its next batch number.
    pub batch: BatchNo,
    /// By which call.
    pub form: BatchForm,
    /// Who: ascending by (round, word), no empty masks.
    pub words: Vec<WordMask>,
    /// The sum, base units.
    pub total: Total,
}

/// Which entry point settles a batch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum BatchForm {
    /// `settle`: a whole aligned subtree of 2^levels buckets from `start` (an index).
    Dense {
        /// The round.
        round: RoundNo,
        /// First index, a multiple of 4·2^levels.
        start: u64,
        /// Tree levels of the subtree.
        levels: u8,
    } = 1,
    /// `settleSparse`: exactly the words' bits.
    Sparse = 2,
    /// `settleTo`: redirected claims, by the positions of their decisions.
    Redirected {
        /// (entitlement, position of its `ClaimDecided`), in the order of the call.
        claims: Vec<(EntitlementId, Seq)>,
    } = 3,
    /// `settleGated`: exactly the words' bits, each word with the mask its gate signed.
    Gated = 4,
}

/// A signed transaction; its raw bytes stand in the `attempt` row of the same append.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AttemptSigned {
    /// The campaign.
    pub campaign: CampaignId,
    /// The batch.
    pub batch: BatchNo,
    /// The settlement account.
    pub lane: Address,
    /// Its nonce.
    pub nonce: u64,
    /// The transaction's hash.
    pub tx_hash: B256,
    /// Wei per gas.
    pub max_fee: u128,
    /// Wei per gas.
    pub priority_fee: u128,
    /// Gas.
    pub gas_limit: u64,
}

/// A mined batch, as the chain's events tell it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BatchMined {
    /// The campaign.
    pub campaign: CampaignId,
    /// The batch.
    pub batch: BatchNo,
    /// Where.
    pub block: BlockRef,
    /// By which transaction.
    pub tx_hash: B256,
    /// Who was paid.
    pub paid: Vec<WordMask>,
    /// Their sum, base units.
    pub paid_total: Total,
    /// Whose transfer failed.
    pub skipped: Vec<Skipped>,
}

/// A failed transfer.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Skipped {
    /// Which entitlement.
    pub entitlement: EntitlementId,
    /// The token's return data, at most 256 bytes of it.
    pub reason: Bytes,
}

/// A batch at a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BatchAt {
    /// The campaign.
    pub campaign: CampaignId,
    /// The batch.
    pub batch: BatchNo,
    /// The block it was mined in.
    pub block: BlockRef,
}

/// A batch that is final.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BatchFinal {
    /// The campaign.
    pub campaign: CampaignId,
    /// The batch.
    pub batch: BatchNo,
    /// The block it was mined in.
    pub block: BlockRef,
    /// Paid although annulled after it was sent: their listed amounts leave the voided account.
    pub void_paid: Vec<(EntitlementId, Amount)>,
}

/// A batch whose content is given up.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BatchReplanned {
    /// The campaign.
    pub campaign: CampaignId,
    /// The batch.
    pub batch: BatchNo,
    /// Why no attempt of the old content can be mined any more.
    pub because: ReplanGround,
    /// Entitlements set aside because simulation named them; the rest is planned again.
    pub poison: Vec<Skipped>,
}

/// CONTRACTS.md, "Reverted batches": when content may change.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum ReplanGround {
    /// The chain finalised an epoch above every epoch under which an attempt was signed.
    EpochFinal(Epoch) = 1,
    /// Every nonce of every attempt is consumed by a final transaction that did not settle it.
    NoncesConsumed(BlockRef) = 2,
    /// No attempt was ever signed.
    NeverSigned = 3,
}

/// A campaign's other events in a block, in their order there.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EventsMined {
    /// The campaign.
    pub campaign: CampaignId,
    /// Where.
    pub block: BlockRef,
    /// What.
    pub events: Vec<ChainEvent>,
}

/// Something a campaign's contracts said that no batch of ours did.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum ChainEvent {
    /// Tokens came in.
    Funded {
        /// Base units. A total, because a deposit may exceed a uint96.
        amount: Total,
    } = 1,
    /// A round is published on chain with these terms. All of them, because a round whose mode, gate or closing
    /// differs from what the log announced pays as little through us as one with another root.
    Published {
        /// As the Distributor tells them.
        terms: Box<RoundTerms>,
    } = 2,
    /// A round is open.
    Opened {
        /// The round.
        round: RoundNo,
    } = 3,
    /// A round was cancelled or vetoed before its opening.
    Cancelled {
        /// The round.
        round: RoundNo,
    } = 4,
    /// Closing was moved.
    ClosingExtended {
        /// The round.
        round: RoundNo,
        /// Unix seconds.
        closes_at: u64,
    } = 5,
    /// Somebody claimed by wallet, or anyone settled in exit.
    Paid {
        /// Which entitlement.
        entitlement: EntitlementId,
        /// The listed amount.
        amount: Amount,
        /// Where it went.
        to: Address,
        /// The transaction.
        tx_hash: B256,
    } = 6,
    /// Entitlements are void on chain.
    Voided {
        /// Which, with the listed amounts.
        items: Vec<(EntitlementId, Amount)>,
    } = 7,
    /// Tokens went back to the refund address; the round pays no more.
    Swept {
        /// The round whose time was over.
        round: RoundNo,
        /// Base units.
        amount: Total,
    } = 8,
    /// Tokens were withdrawn before the first opening.
    Withdrawn {
        /// Base units.
        amount: Total,
    } = 9,
    /// As `Paid`, of a round that the log did not know when the chain was read: nobody could say the amount. It stands
    /// in the announcement or, if the round was announced meanwhile, in [`EventsFinal`].
    PaidUnannounced {
        /// Which entitlement.
        entitlement: EntitlementId,
        /// Where it went; `None` for the listed address, which nobody could say either.
        to: Option<Address>,
        /// The transaction.
        tx_hash: B256,
    } = 10,
    /// As `Voided`, of a round that the log did not know when the chain was read.
    VoidedUnannounced {
        /// Which.
        word: WordMask,
    } = 11,
    /// Entitlements are held on chain.
    HoldSet {
        /// Which.
        mask: WordMask,
        /// Unix seconds; it ends by itself then.
        until: u64,
    } = 12,
    /// Entitlements are not held on chain any more.
    HoldCleared {
        /// Which.
        mask: WordMask,
    } = 13,
    /// The Distributor pays nothing until then; a time that has passed ends the pause.
    PausedUntil {
        /// Unix seconds.
        until: u64,
    } = 14,
    /// A gate version has its key.
    GateInstalled {
        /// The version.
        version: u16,
        /// The key, as ERC-7913 signer bytes.
        signer: Bytes,
    } = 15,
    /// A gate version signs nothing until then.
    GateDisabled {
        /// The version.
        version: u16,
        /// Unix seconds.
        until: u64,
    } = 16,
    /// The Distributor holds everything until then, in the exit, too; a time that has passed ends the hold.
    CampaignHeldUntil {
        /// Unix seconds.
        until: u64,
    } = 17,
    /// A hold on chain was confirmed. It holds what it held; only who may end it, and when, changed.
    HoldConfirmed {
        /// The Warden's number of it.
        hold: u64,
        /// Unix seconds; from then on anyone may end it.
        until: u64,
    } = 18,
}

impl ChainEvent {
    /// The entitlement that this paid, and the transaction.
    pub fn payment(&self) -> Option<(EntitlementId, B256)> {
        match self {
            Self::Paid { entitlement, tx_hash, .. } | Self::PaidUnannounced { entitlement, tx_hash, .. } => {
                Some((*entitlement, *tx_hash))
            }
            _ => None,
        }
    }

    /// The entitlements it names without their amounts, in order.
    pub fn without_amount(&self) -> Vec<EntitlementId> {
        match self {
            Self::PaidUnannounced { entitlement, .. } => vec![*entitlement],
            Self::VoidedUnannounced { word } => {
                word.indexes().map(|index| EntitlementId { round: word.round, index }).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// A campaign's events at a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EventsAt {
    /// The campaign.
    pub campaign: CampaignId,
    /// The block.
    pub block: BlockRef,
}

/// A campaign's events in a final block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EventsFinal {
    /// The campaign.
    pub campaign: CampaignId,
    /// The block.
    pub block: BlockRef,
    /// The listed amounts that the events do not carry, of rounds announced after the chain was read and before this
    /// entry: in the order of the events.
    pub late: Vec<(EntitlementId, Amount)>,
}

/// How far a chain was read.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ChainCursor {
    /// The chain.
    pub chain_id: ChainId,
    /// Everything up to here was read.
    pub seen: BlockRef,
    /// Everything up to here is final; never above `seen`.
    pub finalized: BlockRef,
    /// Campaigns whose contracts have now been read from their deployment up to `seen`; from here on they are read
    /// along with the others.
    pub caught_up: Vec<CampaignId>,
}

/// An epoch the chain has finalised.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EpochOnChain {
    /// The chain.
    pub chain_id: ChainId,
    /// The epoch.
    pub epoch: Epoch,
    /// The final block that showed it.
    pub block: BlockRef,
}
