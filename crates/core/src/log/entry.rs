//! Entries, format 1. An entry carries everything `apply` needs: nothing is looked up when it is replayed.
//!
//! The bytes are one format byte, then borsh. Discriminants and field order are the format; both are pinned by golden
//! vectors. Changed semantics is a new format number.

mod chain;
mod claim;
mod erased;
mod office;

use alloy_primitives::{B256, Bytes};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::amount::{Amount, Total};
use crate::command::{CampaignTerms, Command, RoundTerms};
use crate::ids::{
    BlockRef, CampaignId, ContractRef, DemandId, EntitlementId, Epoch, IntakeKey, Millis, NodeId, RoundNo,
    Seq, StreamId,
};
use crate::refusal::Code;

pub use chain::{
    AttemptSigned, BatchAt, BatchFinal, BatchForm, BatchMined, BatchPlanned, BatchReplanned, ChainCursor,
    ChainEvent, EpochOnChain, EventsAt, EventsFinal, EventsMined, ReplanGround, Skipped, WordMask,
};

pub use claim::{ClaimDecided, ClaimRefused, Redirect, SignedBy};
pub use erased::Erased;
pub use office::{Appealed, Covered, GateAnswered, GateMask, GateSigned, HoldPlaced, Outcome};

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
    EventsFinal(EventsFinal) = 19,
    /// How far a chain was read.
    ChainCursor(ChainCursor) = 20,
    /// The chain knows this epoch, finally.
    EpochOnChain(EpochOnChain) = 21,
    /// An institution's or a person's command took effect.
    Ordered(Commanded<Outcome>) = 22,
    /// A gate signed what its claims' decisions approve.
    GateSigned(GateAnswered) = 23,
    /// What lay beside the log about somebody was erased.
    Erased(Erased) = 24,
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
            Self::Ordered(_) => 22,
            Self::GateSigned(_) => 23,
            Self::Erased(_) => 24,
        }
    }

    /// What a command's effect rested on; `None` for what no command did.
    pub fn command_evidence(&self) -> Option<&Evidence> {
        match self {
            Self::CampaignCreated(c) => Some(&c.evidence),
            Self::RoundPublished(r) => Some(&r.command.evidence),
            Self::Pushed(p) => Some(&p.command.evidence),
            Self::Voided(v) => Some(&v.command.evidence),
            Self::Ordered(o) => Some(&o.evidence),
            _ => None,
        }
    }

    /// What a command's effect takes from its mandate and delegation; `None` where the sum overflows.
    pub fn used(&self) -> Option<Used> {
        let mut used = Used { amount: Total::ZERO, items: 0 };
        match self {
            Self::Pushed(pushed) => {
                for (_, count, sum) in &pushed.decided {
                    used.items += u64::from(*count);
                    used.amount = used.amount.checked_add_total(*sum)?;
                }
            }
            Self::Voided(voided) => {
                for (_, amount) in &voided.items {
                    used.add(*amount)?;
                }
            }
            Self::Ordered(Commanded { outcome: Outcome::Held(placed), .. }) => {
                for covered in &placed.covers {
                    used.add(covered.amount)?;
                }
                // A hold on a person who is owed nothing yet is an item, too.
                used.items = used.items.max(1);
            }
            _ => used.items = 1,
        }
        Some(used)
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
            Self::Ordered(c) => Some(c.intake),
            Self::GateSigned(g) => Some(g.intake),
            _ => None,
        }
    }
}

/// What a command decides, annuls or holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Base units.
    pub amount: Total,
    /// Entitlements; 1 for a command about anything else.
    pub items: u64,
}

impl Used {
    fn add(&mut self, amount: Amount) -> Option<()> {
        self.items += 1;
        self.amount = self.amount.checked_add(amount)?;
        Some(())
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
    /// The person to whom the entitlement belongs; zero where the list names none.
    pub person: B256,
    /// SHA-256 of the facts that the policies saw; the facts themselves are kept beside the log and can be erased.
    pub inputs: B256,
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
    /// Entitlements that holds on persons cover: the hold's position, the index, the listed amount.
    pub held: Vec<(Seq, u64, Amount)>,
    /// What the chain had finally paid and annulled of the round before, by shard, ascending; shards without any are
    /// left out. Which entitlements those are, State knows; their sums only the snapshot.
    pub ahead: Vec<AheadShare>,
    /// Of a correction: the entitlements of the superseded round that this one repeats, ascending. Each was finally
    /// annulled before, so that never both are payable.
    pub corrects: Vec<EntitlementId>,
}

/// What the chain did to a shard of a round before the log announced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AheadShare {
    /// The shard.
    pub shard: u32,
    /// Entitlements paid.
    pub paid: u32,
    /// Their sum.
    pub paid_total: Total,
    /// Entitlements annulled.
    pub void: u32,
    /// Their sum.
    pub void_total: Total,
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
    /// Who is named as its proposer; zero for a person.
    pub authority: B256,
    /// The policies of the mandate that forbade it, or that it lacked.
    pub policies: Vec<String>,
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
    /// A hold's time is over.
    HoldEnds {
        /// The position of the entry that placed it.
        hold: Seq,
    } = 3,
    /// A rule set comes into force.
    RulesStart {
        /// Its name.
        rules: B256,
    } = 4,
    /// An appeal was not answered in time.
    AppealLapses {
        /// The position of the entry that filed it.
        appeal: Seq,
    } = 5,
    /// A pause's time is over.
    PauseEnds {
        /// The campaign.
        campaign: CampaignId,
    } = 6,
    /// The time of a hold on a whole campaign, placed on chain, is over.
    ChainHoldEnds {
        /// The campaign.
        campaign: CampaignId,
    } = 7,
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
