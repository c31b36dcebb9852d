//! From a payment back to the intention: the transaction, its batch, the decision, what that rested on, and who had put
//! that into force, each step an entry of the log with its position.

mod find;
mod story;

use alloy_primitives::{Address, B256, Bytes};
use serde::Serialize;
use sluice_core::amount::Amount;
use sluice_core::ids::{BatchNo, BlockRef, CampaignId, DemandId, EntitlementId, Epoch, Millis, RoundNo, Seq};
use sluice_gate::rules::{Explained, Told};

use super::{EvidenceError, LogSource};

/// What is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A transaction.
    Transaction(B256),
    /// A claim.
    Claim(DemandId),
    /// An entitlement; the campaign may be left out where the log has but one.
    Entitlement(Option<CampaignId>, EntitlementId),
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((round, index)) = text.split_once('/') {
            let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is not a number"));
            let id = EntitlementId { round: number(round)? as RoundNo, index: number(index)? };
            return Ok(Self::Entitlement(None, id));
        }
        if let Ok(hash) = text.parse::<B256>() {
            return Ok(Self::Transaction(hash));
        }
        text.parse().map(Self::Claim).map_err(|_| {
            format!("{text:?} is neither a transaction hash (0x and 64 digits), a claim's id (UUID), nor ROUND/INDEX")
        })
    }
}

/// A payment's story.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Trace {
    /// The last position that was read.
    pub as_of: Seq,
    /// The campaign.
    pub campaign: CampaignId,
    /// Its name.
    pub name: String,
    /// What is traced.
    pub entitlements: Vec<Traced>,
    /// Newest first: from the payment back to the intention.
    pub steps: Vec<Step>,
}

/// An entitlement that is traced.
#[derive(Clone, Debug, Serialize)]
pub struct Traced {
    /// Which.
    #[serde(flatten)]
    pub id: EntitlementId,
    /// The listed address, where a claim named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Address>,
    /// Base units, where an entry names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// The transactions that paid it.
    pub paid_by: Vec<B256>,
}

/// An entry of the story.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Step {
    /// Its position.
    pub seq: Seq,
    /// Its epoch.
    pub epoch: Epoch,
    /// When it was recorded: from then on it was known.
    pub recorded_at: Millis,
    /// What kind of entry.
    pub kind: &'static str,
    /// In words.
    pub says: String,
    /// The demand it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demand: Option<DemandId>,
    /// The batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchNo>,
    /// The transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<B256>,
    /// The block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<BlockRef>,
    /// Of a claim: how its signature was found good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<&'static str>,
    /// Of a command: since when it is meant to hold in the real world; none where it names no time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_at: Option<Millis>,
    /// Of a command: why, in its authors' words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of a command: who signed, the proposer first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<Who>,
    /// The mandate it was done under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mandate: Option<MandateShown>,
    /// The delegation it was done under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegation: Option<DelegationShown>,
    /// The rule sets that decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rule_sets: Vec<RulesShown>,
    /// The deciding policies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Of a claim that rules refused: why, for offices; the claimant is told the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Told>,
    /// Uids of the attestations used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<B256>,
    /// The person it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<B256>,
    /// SHA-256 of the facts that the policies saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<B256>,
    /// `kept`, `sealed`, `changed` or `erased`, where there were facts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<&'static str>,
    /// The block that look-ups saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<BlockRef>,
    /// Whether it is about a person: that it happened says something about whom the payment belongs to.
    #[serde(skip)]
    pub personal: bool,
    /// Of what was ordered about a hold on a person, or about an appeal against one: which person.
    #[serde(skip)]
    pub held_person: Option<B256>,
}

/// Who signed a command.
#[derive(Clone, Debug, Serialize)]
pub struct Who {
    /// The institution; zero for a person.
    pub authority: B256,
    /// Its name, where the log gives it one.
    pub name: String,
    /// The key.
    pub signer: Bytes,
}

/// A mandate as it was granted.
#[derive(Clone, Debug, Serialize)]
pub struct MandateShown {
    /// Its id.
    pub mandate: B256,
    /// Whose it is.
    pub holder: B256,
    /// The position at which it was granted.
    pub granted: Seq,
    /// Its policies in words.
    pub says: Vec<Explained>,
}

/// A delegation as it was made.
#[derive(Clone, Debug, Serialize)]
pub struct DelegationShown {
    /// Its id.
    pub delegation: B256,
    /// Who delegates.
    pub authority: B256,
    /// The key that may act.
    pub vendor: Bytes,
    /// Which actions.
    pub actions: Vec<String>,
    /// Until when.
    pub expires_at: Millis,
    /// The position at which it was made.
    pub made: Seq,
}

/// A rule set that decided.
#[derive(Clone, Debug, Serialize)]
pub struct RulesShown {
    /// Its name.
    pub rules: B256,
    /// Its owner.
    pub owner: B256,
    /// Whose versions it follows.
    pub lineage: String,
    /// Its author's version.
    pub version: String,
    /// Where it was proposed.
    pub proposed: Seq,
    /// Its rules in words; those that decided are named by the step's policies.
    pub says: Vec<Explained>,
}

/// Traces a payment.
///
/// # Errors
/// [`EvidenceError::NotFound`] when the log does not know it; others when the log cannot be read or was changed.
pub async fn trace(source: &LogSource, target: Target) -> Result<Trace, EvidenceError> {
    let found = find::find(source, target).await?;
    story::tell(source, &found).await
}

impl Trace {
    /// The same without what is about people: their ids, what offices said and wrote about them, what attestations said of
    /// a claim and why rules refused it, its id (which opens what its claimant is told), and addresses that the chain does
    /// not show for this payment. Whoever shows more to somebody starts from this and adds.
    pub fn without_personal_data(mut self) -> Self {
        // What is said of a person is no step of a public story.
        self.steps.retain(|step| !step.personal);
        for step in &mut self.steps {
            step.person = None;
            step.reason = None;
            step.cause = None;
            if step.is_claim() {
                step.demand = None;
                step.attestations.clear();
                // Their text may name people and masked causes; its SHA-256 is the rule set's name.
                step.rule_sets.iter_mut().for_each(|rules| rules.says.clear());
            }
            if step.kind == "claim_refused" {
                step.policies.clear();
            }
        }
        for traced in &mut self.entitlements {
            if traced.paid_by.is_empty() {
                traced.recipient = None;
                traced.amount = None;
            }
        }
        self
    }
}

impl Step {
    /// Whether it is the decision of a claim.
    pub fn is_claim(&self) -> bool {
        matches!(self.kind, "claim_decided" | "claim_refused")
    }
}
