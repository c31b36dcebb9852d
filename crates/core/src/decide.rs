//! `decide`: what an input becomes at its position. Pure: everything from outside stands in the input, and whatever
//! the outcome rests on goes into the entry.

mod claim;
mod command;

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use sha2::{Digest, Sha256};

use crate::amount::{Amount, Total};
use crate::command::{ClaimDemand, Command};
use crate::ids::{BlockRef, DemandId, EntitlementId, IntakeKey, Millis, Seq};
use crate::log::entry::{
    AheadShare, BatchFinal, Body, ChainEvent, CommandRefused, Covered, Evidence, GateAnswered, GateSigned,
    SignedBy,
};
use crate::refusal::Code;
use crate::state::State;
use crate::state::authority::Limits;
use crate::state::batch::Batch;

/// What the leader decides upon.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "inputs wait in bounded queues, and most of them are claims")]
pub enum Input {
    /// A claim that was verified, or found wanting.
    Claim(VerifiedClaim),
    /// A command that was verified, or found wanting.
    Command(VerifiedCommand),
    /// What a gate signed, its signatures verified or found wanting.
    Gate(VerifiedGate),
    /// What the engine did or saw: batches, attempts, events, cursors, Charters, due items.
    Observed(Body),
}

impl Input {
    /// The intake row of a demand.
    pub fn intake(&self) -> Option<IntakeKey> {
        match self {
            Self::Claim(claim) => Some(claim.key),
            Self::Command(command) => Some(command.key),
            Self::Gate(gate) => Some(gate.key),
            Self::Observed(_) => None,
        }
    }

    /// The facts that a gate's policies saw, and whom they are about.
    pub fn facts(&self) -> Option<(&Bytes, About)> {
        let Self::Claim(claim) = self else { return None };
        let (gate, seen) = match &claim.verdict {
            Ok(verdict) => (verdict.gate.as_ref(), verdict.person),
            Err(fault) => (fault.gate.as_ref(), fault.person),
        };
        let about = seen.map_or(About::Recipient(claim.claim.recipient), |seen| About::Person(seen.person));
        gate.map(|gate| (&gate.facts, about))
    }
}

/// Whom kept facts are about: who may have them erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A person, by the id that a registrar gave.
    Person(B256),
    /// Who is listed, where the list names no persons.
    Recipient(Address),
}

impl About {
    /// The 32 bytes of a person's id or the 20 of an address.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Person(person) => person.as_slice(),
            Self::Recipient(address) => address.as_slice(),
        }
    }
}

/// A claim with what verification established outside State.
#[derive(Clone, Debug)]
pub struct VerifiedClaim {
    /// Its intake row.
    pub key: IntakeKey,
    /// The client's id.
    pub id: DemandId,
    /// The database's clock at the row.
    pub accepted_at: Millis,
    /// The claim.
    pub claim: ClaimDemand,
    /// SHA-256 of the demand.
    pub body_hash: [u8; 32],
    /// How the claim was found good, or why not.
    pub verdict: Result<ClaimVerdict, ClaimFault>,
}

/// What verification found against a claim.
#[derive(Clone, Debug)]
pub struct ClaimFault {
    /// Why it cannot be paid.
    pub code: Code,
    /// What the gate's answer rested on, if the gate refused it: it is asked again when that has changed.
    pub gate: Option<GateVerdict>,
    /// Whose entitlement it is, if the refusal rests on that: it is asked again when the binding has changed.
    pub person: Option<PersonSeen>,
}

impl From<Code> for ClaimFault {
    fn from(code: Code) -> Self {
        Self { code, gate: None, person: None }
    }
}

/// What a gate's rule sets said, and what that rested on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateVerdict {
    /// The gate version asked.
    pub gate: u16,
    /// Of each of its lineages, in order, the rule set that was in force; zero where none was, which permits nothing.
    pub rule_sets: Vec<B256>,
    /// The deciding policies.
    pub policies: Vec<String>,
    /// The attestations used.
    pub attestations: Vec<B256>,
    /// The position at which revocations of attestations were looked through.
    pub as_of: Seq,
    /// What is kept beside the log, where it can be erased: the facts that the policies saw, and of a refusal its causes,
    /// which the entry itself does not tell, as canonical bytes behind 32 random ones, so that nobody finds them by
    /// guessing. Empty where no policy was asked.
    pub facts: Bytes,
}

impl GateVerdict {
    /// SHA-256 of the facts: what the log keeps of them. Zero where there are none.
    pub fn inputs(&self) -> B256 {
        if self.facts.is_empty() { B256::ZERO } else { B256::from_slice(&Sha256::digest(&self.facts)) }
    }
}

/// The person to whom a claimed entitlement belongs, as verification saw the binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersonSeen {
    /// The person.
    pub person: B256,
    /// The binding's version; 0 where no registrar has bound the person.
    pub version: Seq,
}

/// A verified claim's evidence.
#[derive(Clone, Debug)]
pub struct ClaimVerdict {
    /// How the signature was verified.
    pub signed_by: SignedBy,
    /// The block that look-ups saw.
    pub looked_at: Option<BlockRef>,
    /// Past this the claim is verified again.
    pub valid_until: Millis,
    /// Whose entitlement it is, where the list names persons.
    pub person: Option<PersonSeen>,
    /// What the gate said, in rounds that have one.
    pub gate: Option<GateVerdict>,
}

/// A command with what verification established outside State.
#[derive(Clone, Debug)]
pub struct VerifiedCommand {
    /// Its intake row.
    pub key: IntakeKey,
    /// The client's id.
    pub id: DemandId,
    /// The database's clock at the row, which mandates look at.
    pub accepted_at: Millis,
    /// The command.
    pub command: Command,
    /// Its facts, or why it cannot stand.
    pub verdict: Result<CommandFacts, Code>,
}

/// A gate's masks with what verification established outside State.
#[derive(Clone, Debug)]
pub struct VerifiedGate {
    /// Its intake row.
    pub key: IntakeKey,
    /// The gate's id of it.
    pub id: DemandId,
    /// What was signed.
    pub signed: GateSigned,
    /// SHA-256 of the demand.
    pub body_hash: [u8; 32],
    /// Whether every signature is the gate version's key's.
    pub verdict: Result<(), Code>,
}

/// What was established about a command outside State.
#[derive(Clone, Debug)]
pub struct CommandFacts {
    /// The Charter's set version under which signatures were checked.
    pub set_version: u64,
    /// Who signed, in the command's order: distinct institutions, every signature found good.
    pub signers: Vec<SignerSeen>,
    /// What the mandate said that the command names.
    pub mandate: Option<MandateSeen>,
    /// The block that look-ups saw.
    pub looked_at: Option<BlockRef>,
    /// What the snapshot says.
    pub listed: Listed,
}

/// A signer as verification saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignerSeen {
    /// The institution; zero for a person who signed as the payee.
    pub authority: B256,
    /// The version of the institution's keys in the log.
    pub key_version: Seq,
}

/// What a mandate's policies said of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MandateSeen {
    /// The mandate's version.
    pub version: Seq,
    /// Whether its policies permit the command.
    pub permits: bool,
    /// The deciding policies.
    pub policies: Vec<String>,
    /// What the permits name; State counts what was spent.
    pub limits: Limits,
    /// The person whose jurisdiction was looked at, where the command is about one. It is looked at again when the person has
    /// moved to another since, not when only the payee has.
    pub person: Option<PersonSeen>,
}

/// What a command needs of a snapshot.
#[derive(Clone, Debug)]
pub enum Listed {
    /// Nothing.
    Nothing,
    /// Of a new round.
    Round {
        /// The sum of each shard.
        shard_totals: Vec<Total>,
        /// What the chain had paid and annulled of it, as far as State knew when it was looked up.
        ahead: Vec<AheadShare>,
        /// Entitlements that holds on persons cover: the hold's position, the index, the listed amount.
        held: Vec<(Seq, u64, Amount)>,
        /// The position at which holds were looked through.
        as_of: Seq,
        /// Of a correction: the entitlements of the superseded round that this one repeats, ascending.
        corrects: Vec<EntitlementId>,
    },
    /// Of a push: the amounts of shards that the range covers in part.
    Edges(Vec<Edge>),
    /// Of a void: each entitlement's amount, in the command's order.
    Amounts(Vec<Amount>),
    /// Of a hold: what it covers, resolved from the rounds announced up to a position.
    Covered {
        /// Campaign, entitlement, listed amount.
        items: Vec<Covered>,
        /// The position at which rounds were looked through.
        as_of: Seq,
    },
    /// Of an appeal: who is listed for what it is about.
    Recipients(Vec<Address>),
}

/// Amounts of the part of a shard that a range covers.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The shard.
    pub shard: u32,
    /// The first index covered.
    pub from: u64,
    /// One amount per index from there.
    pub amounts: Arc<[Amount]>,
}

/// What became of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It becomes this entry.
    Entry(Box<Body>),
    /// What it was verified against has changed: verify it again.
    Again,
    /// It needs no entry: answered before, or overtaken.
    Nothing,
}

impl Decision {
    fn entry(body: Body) -> Self {
        Self::Entry(Box::new(body))
    }
}

/// Decides one input against the state at its position.
pub fn decide(state: &State, input: &Input, now: Millis) -> Decision {
    match input {
        Input::Claim(claim) if state.is_answered(claim.key) => Decision::Nothing,
        Input::Claim(claim) => claim::decide(state, claim, now),
        Input::Command(command) if state.is_answered(command.key) => Decision::Nothing,
        Input::Command(command) => command::decide(state, command, now),
        Input::Gate(gate) if state.is_answered(gate.key) => Decision::Nothing,
        Input::Gate(gate) => gate_signed(state, gate),
        Input::Observed(body) => observed(state, body, now),
    }
}

/// A gate's masks are taken if they follow from what is decided here.
fn gate_signed(state: &State, input: &VerifiedGate) -> Decision {
    let stands = input.verdict.and_then(|()| {
        // A mask over claims that are decided behind this position was read from a longer log than ours, or was changed.
        state.check_gate_signed(&input.signed).map_err(|_| Code::GateMismatch)
    });
    let (intake, id) = (input.key, input.id);
    Decision::entry(match stands {
        Ok(()) => Body::GateSigned(GateAnswered { intake, id, signed: input.signed.clone() }),
        Err(code) => Body::CommandRefused(CommandRefused {
            intake,
            id,
            body_hash: input.body_hash.into(),
            code,
            changed_at: None,
            authority: B256::ZERO,
            policies: Vec::new(),
        }),
    })
}

/// Observations were made against an earlier state; those it has overtaken are dropped, and made again if need be.
fn observed(state: &State, body: &Body, now: Millis) -> Decision {
    let stands = match body {
        Body::BatchPlanned(plan) => state.check_plan(plan).is_ok(),
        Body::AttemptSigned(signed) => state.check_attempt(signed).is_ok(),
        Body::BatchReplanned(replanned) => state.check_replanned(replanned).is_ok(),
        // What the chain did to an open batch is never dropped: if the batch could not have done it, `apply` refuses it
        // and the node stops.
        Body::BatchMined(m) => batch(state, m.campaign, m.batch).is_some_and(Batch::is_open),
        Body::BatchUnmined(at) => mined_at(state, at.campaign, at.batch) == Some(at.block),
        Body::BatchFinal(at) => {
            mined_at(state, at.campaign, at.batch) == Some(at.block)
                && state.campaign(at.campaign).is_some_and(|c| c.batches.keys().next() == Some(&at.batch))
                && void_paid_is_whole(state, at)
        }
        Body::EventsMined(m) => state
            .campaign(m.campaign)
            .is_some_and(|c| m.block.number > c.final_block && !c.unfinal.contains_key(&m.block.number)),
        Body::EventsUnmined(at) => state
            .campaign(at.campaign)
            .and_then(|c| c.unfinal.get(&at.block.number))
            .is_some_and(|b| b.block == at.block),
        Body::EventsFinal(at) => state
            .campaign(at.campaign)
            .and_then(|c| c.unfinal.values().next())
            .is_some_and(|b| b.block == at.block && state.check_late(at).is_ok()),
        Body::EpochOnChain(e) => state.chains.get(&e.chain_id).is_none_or(|c| c.epoch < e.epoch),
        Body::Due(due) => state.due.time_of(due).is_some_and(|at| at <= now),
        Body::CharterRead(read) => state.charters.get(&read.charter.chain_id).is_none_or(|known| {
            known.charter == read.charter
                && known.view != read.view
                && known.block.number <= read.block.number
        }),
        Body::Erased(erased) => erased.check(state.seq + 1).is_ok(),
        Body::ChainCursor(_) | Body::EpochBegan(_) => true,
        // Everything that answers an intake row comes in as a claim or a command.
        _ => false,
    };
    if stands { Decision::entry(body.clone()) } else { Decision::Nothing }
}

fn batch(state: &State, campaign: crate::ids::CampaignId, batch: u64) -> Option<&Batch> {
    state.campaign(campaign)?.batches.get(&batch)
}

fn mined_at(state: &State, campaign: crate::ids::CampaignId, no: u64) -> Option<BlockRef> {
    batch(state, campaign, no)?.mined.as_ref().map(|m| m.block)
}

/// Whether a final batch's entry names exactly those of its payments that were annulled meanwhile.
fn void_paid_is_whole(state: &State, at: &BatchFinal) -> bool {
    state.void_paid(at.campaign, at.batch).is_some_and(|void| {
        void.len() == at.void_paid.len() && void.iter().zip(&at.void_paid).all(|(id, (named, _))| id == named)
    })
}

impl State {
    /// Of a mined batch, the entitlements it paid although they were annulled after it was sent, ascending.
    pub fn void_paid(&self, campaign: crate::ids::CampaignId, no: u64) -> Option<Vec<EntitlementId>> {
        let campaign = self.campaign(campaign)?;
        let mined = campaign.batches.get(&no)?.mined.as_ref()?;
        let paid = mined.paid.iter().flat_map(|w| {
            let round = w.round;
            w.indexes().map(move |index| EntitlementId { round, index }).collect::<Vec<_>>()
        });
        Some(
            paid.filter(|id| {
                campaign.round(id.round).is_some_and(|round| {
                    let (shard, at) = round.shard(id.index);
                    shard.void.get(at)
                })
            })
            .collect(),
        )
    }

    /// Of a recorded block, the entitlements that were paid or annulled before the log knew their round and whose round it
    /// knows now, in the order of the events: their amounts go into [`crate::log::entry::EventsFinal`].
    pub fn late(&self, campaign: crate::ids::CampaignId, block: u64) -> Vec<EntitlementId> {
        let Some(campaign) = self.campaign(campaign) else { return Vec::new() };
        let events = campaign.unfinal.get(&block).map_or(&[][..], |block| &block.events);
        let named = events.iter().flat_map(ChainEvent::without_amount);
        named.filter(|id| campaign.round_of(*id).is_some()).collect()
    }

    /// What a claim's or command's evidence always says.
    pub(crate) fn evidence(&self, looked_at: Option<BlockRef>) -> Evidence {
        let set_version = self.home_charter().map_or(0, |c| c.view.set_version);
        Evidence { set_version, looked_at, ..Evidence::default() }
    }
}
