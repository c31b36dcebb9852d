//! Entries, format 1. An entry carries everything `apply` needs: nothing is looked up when it is replayed.
//!
//! The bytes are one format byte, then borsh. Discriminants and field order are the format; both are pinned by golden
//! vectors. Changed semantics is a new format number.

use alloy_primitives::{Address, B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::amount::{Amount, Total};
use crate::command::{CampaignTerms, Command, RoundTerms};
use crate::ids::{
    BatchNo, BlockRef, CampaignId, ChainId, ContractRef, DemandId, EntitlementId, Epoch, IntakeKey, Millis,
    NodeId, RoundNo, Seq, StreamId,
};
use crate::refusal::Code;

/// The format this binary writes. It refuses newer ones and re-decides every older one.
pub const FORMAT: u8 = 1;

/// One entry at its position.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Entry {
    /// The log it stands in.
    pub stream: StreamId,
    /// Its position.
    pub seq: Seq,
    /// The epoch of the leader that appended it.
    pub epoch: Epoch,
    /// The database's clock as the leader knew it.
    pub recorded_at: Millis,
    /// What happened.
    pub body: Body,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Body {
    /// The Charter as read from its chain: the founding entry, and again when it changed.
    CharterRead(CharterRead) = 1,
    /// A leader began an epoch.
    EpochBegan(EpochBegan) = 2,
    /// A campaign exists.
    CampaignCreated(Commanded<CampaignTerms>) = 3,
    /// A round was announced; it pays once its opening is final on chain.
    RoundPublished(RoundPublished) = 4,
    /// A claim will be paid.
    ClaimDecided(ClaimDecided) = 5,
    /// A claim will not be paid.
    ClaimRefused(ClaimRefused) = 6,
    /// A range will be paid.
    Pushed(Pushed) = 7,
    /// Entitlements were annulled.
    Voided(Voided) = 8,
    /// A command was refused.
    CommandRefused(CommandRefused) = 9,
    /// Something fell due.
    Due(Due) = 10,
    /// Claims will be settled together.
    BatchPlanned(BatchPlanned) = 11,
    /// A transaction for a batch was signed.
    AttemptSigned(AttemptSigned) = 12,
    /// A batch was mined.
    BatchMined(BatchMined) = 13,
    /// A mined batch was reorganised away.
    BatchUnmined(BatchAt) = 14,
    /// A mined batch is final.
    BatchFinal(BatchFinal) = 15,
    /// A batch's content is given up, by the rule of reverted batches; its number is planned anew.
    BatchReplanned(BatchReplanned) = 16,
    /// Other events of a campaign's Distributor and token in one block.
    EventsMined(EventsMined) = 17,
    /// That block was reorganised away.
    EventsUnmined(EventsAt) = 18,
    /// That block is final.
    EventsFinal(EventsAt) = 19,
    /// How far a chain was read.
    ChainCursor(ChainCursor) = 20,
    /// The chain knows this epoch, finally.
    EpochOnChain(EpochOnChain) = 21,
}

/// The kind number of an entry's row: the discriminant of its body.
pub type Kind = i16;

impl Body {
    /// The discriminant.
    pub fn kind(&self) -> Kind {
        // The first byte of the borsh form is the discriminant by `use_discriminant`; spelled out to stay cheap.
        match self {
            Self::CharterRead(_) => 1,
            Self::EpochBegan(_) => 2,
            Self::CampaignCreated(_) => 3,
            Self::RoundPublished(_) => 4,
            Self::ClaimDecided(_) => 5,
            Self::ClaimRefused(_) => 6,
            Self::Pushed(_) => 7,
            Self::Voided(_) => 8,
            Self::CommandRefused(_) => 9,
            Self::Due(_) => 10,
            Self::BatchPlanned(_) => 11,
            Self::AttemptSigned(_) => 12,
            Self::BatchMined(_) => 13,
            Self::BatchUnmined(_) => 14,
            Self::BatchFinal(_) => 15,
            Self::BatchReplanned(_) => 16,
            Self::EventsMined(_) => 17,
            Self::EventsUnmined(_) => 18,
            Self::EventsFinal(_) => 19,
            Self::ChainCursor(_) => 20,
            Self::EpochOnChain(_) => 21,
        }
    }

    /// The intake row this entry answers.
    pub fn intake(&self) -> Option<IntakeKey> {
        match self {
            Self::CampaignCreated(c) => Some(c.intake),
            Self::RoundPublished(r) => Some(r.command.intake),
            Self::ClaimDecided(c) => Some(c.intake),
            Self::ClaimRefused(c) => Some(c.intake),
            Self::Pushed(p) => Some(p.command.intake),
            Self::Voided(v) => Some(v.command.intake),
            Self::CommandRefused(c) => Some(c.intake),
            _ => None,
        }
    }
}

/// The constitution as read at a block: institutions, thresholds, sequencers, log keys.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CharterRead {
    /// Which Charter.
    pub charter: ContractRef,
    /// Where it was read; the block was final.
    pub block: BlockRef,
    /// What it said.
    pub view: CharterView,
}

/// A Charter's content, as far as decisions depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CharterView {
    /// Raised with each change; signatures collected before are void.
    pub set_version: u64,
    /// Institutions needed to publish, void, withdraw (M).
    pub threshold: u16,
    /// The institutions with their keys.
    pub institutions: Vec<Institution>,
    /// Registered log keys (Ed25519).
    pub log_keys: Vec<B256>,
}

impl CharterView {
    /// The institution a signer belongs to.
    pub fn institution_of(&self, signer: &[u8]) -> Option<B256> {
        self.institutions.iter().find(|i| i.signers.iter().any(|s| s.as_ref() == signer)).map(|i| i.id)
    }
}

/// One institution.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Institution {
    /// Its id in the Charter.
    pub id: B256,
    /// Its keys, as ERC-7913 signer bytes.
    pub signers: Vec<Bytes>,
}

/// A leader's first entry.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EpochBegan {
    /// The process that leads.
    pub node: NodeId,
    /// Its sequencer id in the Charter.
    pub sequencer: u64,
}

/// A command that took effect, with its envelope.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Commanded<T> {
    /// The row it answers.
    pub intake: IntakeKey,
    /// The command's id.
    pub id: DemandId,
    /// The signed command, as received.
    pub command: Command,
    /// What was established when it was verified.
    pub evidence: Evidence,
    /// What it did, beyond the command's own words.
    pub outcome: T,
}

/// What a decision rested on. Empty lists mean that nothing of the kind was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Evidence {
    /// The Charter's set version under which signatures were counted.
    pub set_version: u64,
    /// Hashes of the rule sets in force that permitted it.
    pub rule_sets: Vec<B256>,
    /// The deciding policies.
    pub policies: Vec<String>,
    /// Uids of the attestations used.
    pub attestations: Vec<B256>,
    /// The mandate it was done under; zero where the Charter itself gives the power.
    pub mandate: B256,
    /// The delegation used; zero where none.
    pub delegation: B256,
    /// The block that look-ups saw.
    pub looked_at: Option<BlockRef>,
}

/// A published round.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RoundPublished {
    /// By whose command.
    pub command: Commanded<()>,
    /// The round.
    pub terms: RoundTerms,
    /// The sum of each shard of 65,536 entitlements, so that a push is summed from State.
    pub shard_totals: Vec<Total>,
    /// Entitlements that persons' holds already cover.
    pub held: Vec<(u64, Amount)>,
}

/// A decided claim.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ClaimDecided {
    /// The row it answers.
    pub intake: IntakeKey,
    /// The claim's id.
    pub id: DemandId,
    /// What will be paid.
    pub entitlement: EntitlementId,
    /// The listed address.
    pub recipient: Address,
    /// How much, base units.
    pub amount: Amount,
    /// Where to, if not to the listed address; the signature then pays on chain, too.
    pub redirect: Option<Redirect>,
    /// SHA-256 of the signed demand.
    pub body_hash: B256,
    /// The database's clock at its intake row, which "before closing" compares.
    pub accepted_at: Millis,
    /// How the signature was found good.
    pub signed_by: SignedBy,
    /// What else it rested on.
    pub evidence: Evidence,
}

/// What `settleTo` needs of a redirected claim.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Redirect {
    /// The signed destination.
    pub to: Address,
    /// The signed deadline, Unix seconds.
    pub deadline: u64,
    /// The recipient's signature.
    pub signature: Bytes,
}

/// How a recipient's signature was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum SignedBy {
    /// ECDSA recovery gave the recipient.
    Key = 1,
    /// The recipient's contract accepted it (ERC-1271).
    Contract = 2,
}

/// A refused claim.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ClaimRefused {
    /// The row it answers.
    pub intake: IntakeKey,
    /// The claim's id.
    pub id: DemandId,
    /// Which entitlement was meant.
    pub entitlement: EntitlementId,
    /// SHA-256 of the signed demand: a receipt of a refusal says what was refused.
    pub body_hash: B256,
    /// The database's clock at its intake row, which "before closing" compares.
    pub accepted_at: Millis,
    /// Why.
    pub code: Code,
    /// What the refusal rested on, as far as it was looked up.
    pub evidence: Evidence,
}

/// A pushed range.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Pushed {
    /// By whose command; campaign, round and range stand in it.
    pub command: Commanded<()>,
    /// Per shard touched: its number, how many entitlements this entry decided there, and their sum.
    pub decided: Vec<(u32, u32, Total)>,
}

/// Annulled entitlements.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Voided {
    /// By whose command.
    pub command: Commanded<()>,
    /// What was annulled, with the listed amounts; those already paid or void are left out.
    pub items: Vec<(u64, Amount)>,
}

/// A refused command.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CommandRefused {
    /// The row it answers.
    pub intake: IntakeKey,
    /// The command's id.
    pub id: DemandId,
    /// SHA-256 of the signed demand: a receipt of a refusal says what was refused.
    pub body_hash: B256,
    /// Why.
    pub code: Code,
    /// For a stale command: the position at which the subject changed.
    pub changed_at: Option<Seq>,
}

/// What fell due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Due {
    /// A round's closing time.
    RoundCloses {
        /// The campaign.
        campaign: CampaignId,
        /// The round.
        round: RoundNo,
    } = 1,
    /// A skipped entitlement may be tried again.
    SkipRetry {
        /// The campaign.
        campaign: CampaignId,
        /// The entitlement.
        entitlement: EntitlementId,
    } = 2,
}

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
}

/// A campaign's events at a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EventsAt {
    /// The campaign.
    pub campaign: CampaignId,
    /// The block.
    pub block: BlockRef,
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

/// Why bytes are not an entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Nothing there.
    #[error("an entry has at least its format byte")]
    Empty,
    /// Formats are counted from 1.
    #[error("0 is no entry format")]
    NoFormat,
    /// Written by a newer binary.
    #[error("entry format {0} is newer than this binary's {FORMAT}; upgrade this node first")]
    Newer(u8),
    /// Not the format's bytes.
    #[error("these bytes are not an entry of format {FORMAT}")]
    Malformed(#[source] std::io::Error),
}

impl Entry {
    /// The bytes of the log row.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        self.serialize(&mut bytes).expect("writing to memory cannot fail");
        bytes
    }

    /// Reads a log row.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        match bytes.split_first() {
            None => Err(EntryError::Empty),
            Some((&FORMAT, rest)) => borsh::from_slice(rest).map_err(EntryError::Malformed),
            Some((0, _)) => Err(EntryError::NoFormat),
            Some((&newer, _)) => Err(EntryError::Newer(newer)),
        }
    }
}
