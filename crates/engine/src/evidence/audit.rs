//! Deciding claims again, from the log and the kept facts alone: State before the claim's position says what could be said
//! without rules; the rule sets whose hashes the evidence names, on the facts whose hash it names, say the rest.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sluice_core::command::{ClaimDemand, RoundMode};
use sluice_core::ids::{CampaignId, DemandId, EntitlementId, Millis, RoundNo, Seq};
use sluice_core::log::entry::{Body, ClaimDecided, ClaimRefused, Entry, Evidence};
use sluice_core::refusal::Code;
use sluice_core::state::State;
use sluice_gate::rules::{Compiled, Hash, KeptClaim, Rulebook, Told, evaluate};

use super::source::Kept;
use super::{EvidenceError, LogSource, Replay, is_of_gate};
use crate::facts::unsalted;

/// What deciding again gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Again {
    /// The same, in everything that was compared.
    Equal,
    /// Something else.
    Different {
        /// What differs.
        what: Vec<String>,
    },
    /// The facts were erased: their hash stands in the entry, and nobody can evaluate them again.
    Erased,
    /// The facts are there, and whoever asks, or exported them, has no key to them.
    Sealed,
    /// The refusal rests on what is not in the log: decision 1202 lists what.
    Outside,
}

/// A claim decided again.
#[derive(Clone, Debug, Serialize)]
pub struct Redecided {
    /// The position of its decision.
    pub seq: Seq,
    /// When that was recorded.
    pub recorded_at: Millis,
    /// When its row was accepted.
    pub accepted_at: Millis,
    /// The claim.
    pub claim: DemandId,
    /// The campaign.
    pub campaign: CampaignId,
    /// What it asked for.
    #[serde(flatten)]
    pub entitlement: EntitlementId,
    /// `decided`, or the refusal's code.
    pub decision: String,
    /// The rule sets that were asked.
    pub rule_sets: Vec<B256>,
    /// The deciding policies: as the entry names them, or, of a refusal, what is kept beside it.
    pub policies: Vec<String>,
    /// Why it was refused, if by rules and if that was not erased: for offices and auditors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Told>,
    /// SHA-256 of the facts, as the entry names it; zero where no gate was asked.
    pub inputs: B256,
    /// What deciding again gave.
    #[serde(flatten)]
    pub again: Again,
}

/// How many claims came out how.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// The same.
    pub equal: u64,
    /// Something else.
    pub different: u64,
    /// Facts erased.
    pub erased: u64,
    /// Facts sealed.
    pub sealed: u64,
    /// Rests on what is not in the log.
    pub outside: u64,
}

/// Which claims are decided again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// One.
    Claim(DemandId),
    /// All that asked a gate.
    Gated,
    /// Every one.
    All,
}

/// Decides claims again; `each` is told every one.
///
/// # Errors
/// When the log cannot be read or was changed.
pub async fn redecide(
    source: &LogSource,
    which: Which,
    mut each: impl FnMut(&Redecided),
) -> Result<Tally, EvidenceError> {
    let rules = Rulebook::default();
    let mut replay = Replay::new(Vec::new());
    let mut pages = source.pages()?;
    let mut tally = Tally::default();
    let mut found = false;
    while let Some(page) = pages.next().await? {
        let go_on = replay.take(&page, |state, entry, facts| {
            let Some(asked) = asked(&entry.body, which) else { return true };
            // A claim cannot be the first entry; what it would be decided on is then nothing.
            let nothing = State::new(entry.stream);
            let redecided = one(&rules, state.unwrap_or(&nothing), entry, asked, facts);
            match &redecided.again {
                Again::Equal => tally.equal += 1,
                Again::Different { .. } => tally.different += 1,
                Again::Erased => tally.erased += 1,
                Again::Sealed => tally.sealed += 1,
                Again::Outside => tally.outside += 1,
            }
            each(&redecided);
            found = true;
            !matches!(which, Which::Claim(_))
        })?;
        if !go_on {
            break;
        }
    }
    match which {
        Which::Claim(id) if !found => Err(EvidenceError::NotFound(format!("the log decides no claim {id}"))),
        _ => Ok(tally),
    }
}

/// A claim's entry, whichever way it went.
#[derive(Clone, Copy)]
enum Asked<'a> {
    Decided(&'a ClaimDecided),
    Refused(&'a ClaimRefused),
}

fn asked(body: &Body, which: Which) -> Option<Asked<'_>> {
    let (asked, id, evidence) = match body {
        Body::ClaimDecided(claim) => (Asked::Decided(claim), claim.id, &claim.evidence),
        Body::ClaimRefused(claim) => (Asked::Refused(claim), claim.id, &claim.evidence),
        _ => return None,
    };
    let wanted = match which {
        Which::Claim(wanted) => id == wanted,
        Which::Gated => !evidence.rule_sets.is_empty(),
        Which::All => true,
    };
    wanted.then_some(asked)
}

fn one(rules: &Rulebook, state: &State, entry: &Entry, asked: Asked<'_>, facts: Option<&Kept>) -> Redecided {
    let (intake, id, entitlement, accepted_at, evidence, decision) = match asked {
        Asked::Decided(c) => (c.intake, c.id, c.entitlement, c.accepted_at, &c.evidence, "decided"),
        Asked::Refused(c) => (c.intake, c.id, c.entitlement, c.accepted_at, &c.evidence, c.code.as_str()),
    };
    // A refusal's policies and cause stand beside the log.
    let told = kept(evidence, facts).ok();
    let refused_for = told.as_ref().and_then(|kept| kept.refused());
    let again = match asked {
        Asked::Decided(claim) => decided(rules, state, claim, facts, entry),
        Asked::Refused(claim) => refused(rules, state, claim, facts),
    };
    Redecided {
        seq: entry.seq,
        recorded_at: entry.recorded_at,
        accepted_at,
        claim: id,
        campaign: intake.campaign,
        entitlement,
        decision: decision.to_owned(),
        rule_sets: evidence.rule_sets.clone(),
        policies: refused_for.map_or_else(|| evidence.policies.clone(), |refused| refused.policies.clone()),
        cause: refused_for.map(|refused| refused.cause.clone()),
        inputs: evidence.inputs,
        again,
    }
}

/// A claim that was decided: State must have admitted it, and its gate permitted it.
fn decided(
    rules: &Rulebook,
    state: &State,
    claim: &ClaimDecided,
    facts: Option<&Kept>,
    entry: &Entry,
) -> Again {
    let mut what = Vec::new();
    let Some(campaign) = state.campaign(claim.intake.campaign) else {
        return Again::Different { what: vec!["there was no such campaign".into()] };
    };
    if let Err(code) = campaign.admits(&demand(claim), claim.accepted_at) {
        what.push(format!("State did not admit it: {}", code.as_str()));
    }
    if !campaign.decided.leaves_room(claim.amount.into()) {
        what.push("the campaign's limit left no room".into());
    }
    if !campaign.funds.covers(claim.amount.into()) {
        what.push("the funds did not cover it".into());
    }
    if claim.redirect.as_ref().is_some_and(|r| r.deadline.saturating_mul(1_000) <= entry.recorded_at) {
        what.push("its deadline had passed".into());
    }
    if campaign.round(claim.entitlement.round).is_none_or(|round| round.terms.mode != RoundMode::Gated) {
        return ended(what);
    }
    if in_force(state, claim.intake.campaign, claim.entitlement.round)
        != Some(claim.evidence.rule_sets.clone())
    {
        what.push(OTHER_RULES.into());
    }
    // A revocation counts from its own position on; what was verified before it is asked again by the leader.
    for uid in claim.evidence.attestations.iter().filter(|uid| state.revoked.contains_key(*uid)) {
        what.push(format!("attestation {uid} was revoked before its position"));
    }
    let kept = match kept(&claim.evidence, facts) {
        Ok(kept) => kept,
        Err(missing) => return missing.with(what),
    };
    let facts = kept.facts();
    let person = (!claim.evidence.person.is_zero()).then_some(claim.evidence.person);
    let to = claim.redirect.as_ref().map_or(claim.recipient, |redirect| redirect.to);
    let same = kept.refused().is_none()
        && facts.campaign == claim.intake.campaign
        && (facts.round, facts.index) == (claim.entitlement.round, claim.entitlement.index)
        && (facts.recipient, facts.to, facts.amount) == (claim.recipient, to, claim.amount)
        && facts.decimals == campaign.terms.decimals
        && (facts.person, facts.accepted_at) == (person, claim.accepted_at);
    if !same {
        what.push("the facts are another claim's".into());
    }
    let said = Said { code: None, policies: &claim.evidence.policies, cause: None };
    compare(rules, state, &claim.evidence, &kept, &said, &mut what);
    ended(what)
}

/// A claim that was refused: by State, by its gate, or by what is not in the log.
fn refused(rules: &Rulebook, state: &State, claim: &ClaimRefused, facts: Option<&Kept>) -> Again {
    let (by_gate, by_state) = (is_of_gate(claim.code), by_state(state, claim));
    let mut what = Vec::new();
    if by_state == Some(false) {
        what.push(format!("State did not refuse it with {}", claim.code.as_str()));
    }
    // What State refuses it refuses whichever rule sets were asked before.
    let named = &claim.evidence.rule_sets;
    let same = in_force(state, claim.intake.campaign, claim.entitlement.round).as_ref() == Some(named);
    if by_gate && !named.is_empty() && !same {
        what.push(OTHER_RULES.into());
    }
    if named.iter().any(|name| name.is_zero()) {
        if claim.code != Code::RulesNotInForce {
            what.push("a rule set was missing, and the refusal names another reason".into());
        }
        return ended(what);
    }
    if claim.evidence.inputs.is_zero() {
        if by_state.is_none() && !is_outside(claim.code) {
            let code = claim.code.as_str();
            what.push(format!("it names no facts, and nobody is refused with {code} without"));
        }
        return if by_state.is_none() && what.is_empty() { Again::Outside } else { ended(what) };
    }
    match kept(&claim.evidence, facts) {
        Ok(kept) => {
            // Rules permitted what State refused: then the entry names what decided.
            let (policies, cause) = kept.refused().map_or((&claim.evidence.policies[..], None), |refused| {
                (refused.policies.as_slice(), Some(refused.cause.code.as_str()))
            });
            let said = Said { code: by_gate.then_some(claim.code), policies, cause };
            compare(rules, state, &claim.evidence, &kept, &said, &mut what);
            ended(what)
        }
        Err(missing) => missing.with(what),
    }
}

/// Whether a refusal without facts rests on what is not in the log: the signature, the list, what the demand said beside its
/// entitlement, a gate that could not be asked, or facts that were too large to be kept (decision 1202).
const fn is_outside(code: Code) -> bool {
    matches!(
        code,
        Code::BadSignature
            | Code::BadRedirect
            | Code::NotListed
            | Code::WrongEntitlement
            | Code::DeadlineTooSoon
            | Code::LimitReached
            | Code::InsufficientFunds
            | Code::GateMissing
            | Code::UnknownGate
            | Code::PolicyError
            | Code::FactsTooLarge
    )
}

const OTHER_RULES: &str = "its rule sets were not those in force for the gate at its position";

/// Of each lineage that a gated round's gate asks for, the rule set in force, zero where there is none; `None` where the round
/// has no gate.
fn in_force(state: &State, campaign: CampaignId, round: RoundNo) -> Option<Vec<B256>> {
    let campaign = state.campaign(campaign)?;
    let round = campaign.round(round).filter(|round| round.terms.mode == RoundMode::Gated)?;
    let gate = campaign.gates.get(&u16::try_from(round.terms.gate).ok()?)?;
    let named = |lineage: &B256| state.rules_in_force(*lineage).unwrap_or_default();
    Some(gate.terms.rule_sets.iter().map(named).collect())
}

fn ended(what: Vec<String>) -> Again {
    if what.is_empty() { Again::Equal } else { Again::Different { what } }
}

/// Why a decision cannot be made again on its facts.
enum Missing {
    Erased,
    Sealed,
    Unreadable(String),
}

impl Missing {
    /// The answer, with what differed without the facts.
    fn with(self, mut what: Vec<String>) -> Again {
        match self {
            Self::Erased if what.is_empty() => Again::Erased,
            Self::Sealed if what.is_empty() => Again::Sealed,
            Self::Unreadable(why) => {
                what.push(why);
                Again::Different { what }
            }
            Self::Erased | Self::Sealed => Again::Different { what },
        }
    }
}

/// The facts beside an entry.
fn kept(evidence: &Evidence, facts: Option<&Kept>) -> Result<KeptClaim, Missing> {
    let bytes = match facts {
        Some(Kept::Open(bytes)) => bytes,
        Some(Kept::Sealed) => return Err(Missing::Sealed),
        Some(Kept::Broken) => return Err(Missing::Unreadable("the facts were changed".into())),
        None => return Err(Missing::Erased),
    };
    if Sha256::digest(bytes).as_slice() != evidence.inputs.as_slice() {
        return Err(Missing::Unreadable("the facts are not those whose hash the entry names".into()));
    }
    unsalted(bytes).map_err(|why| Missing::Unreadable(format!("the facts cannot be read: {why}")))
}

/// What rules said when a claim was decided.
struct Said<'a> {
    /// The refusal's public code; `None` where they permitted.
    code: Option<Code>,
    /// The deciding policies.
    policies: &'a [String],
    /// The refusal's cause.
    cause: Option<&'a str>,
}

/// Evaluates again and compares decision, code and deciding policies.
fn compare(
    rules: &Rulebook,
    state: &State,
    evidence: &Evidence,
    kept: &KeptClaim,
    then: &Said<'_>,
    what: &mut Vec<String>,
) {
    let compiled: Result<Vec<Arc<Compiled>>, String> = evidence
        .rule_sets
        .iter()
        .map(|name| {
            let set = state.rule_sets.get(name).ok_or(format!("rule set {name} is not in the log"))?;
            rules
                .load(&Hash(name.0), &set.terms.text)
                .map_err(|_| format!("rule set {name} does not compile"))
        })
        .collect();
    let compiled = match compiled {
        Ok(compiled) => compiled,
        Err(why) => return what.push(why),
    };
    let sets: Vec<&Compiled> = compiled.iter().map(Arc::as_ref).collect();
    let said = evaluate(&sets, kept.facts());
    let (policies, cause) =
        (said.policies(), said.refusal.as_ref().map(|refusal| refusal.cause.code.as_str()));
    let code = said.refusal.as_ref().map(|refusal| match refusal.told.code.as_str() {
        "under_review" => Code::UnderReview,
        "policy_error" => Code::PolicyError,
        "attestation_missing" => Code::AttestationMissing,
        _ => Code::RuleRefused,
    });
    // That an attestation was there and did not count is known only when it is looked for.
    let refused_with = match then.code {
        Some(Code::AttestationRefused) => Some(Code::AttestationMissing),
        code => code,
    };
    if code != refused_with {
        let name = |code: Option<Code>| code.map_or("permitted", Code::as_str);
        what.push(format!("the rules say {} now, and said {}", name(code), name(refused_with)));
    }
    if cause != then.cause {
        what.push(format!("the cause is {cause:?} now, and was {:?}", then.cause));
    }
    if policies != then.policies {
        what.push(format!("the deciding policies are {policies:?} now, and were {:?}", then.policies));
    }
}

/// Whether State refuses a claim with the code it was refused with; `None` where that is not State's to say.
fn by_state(state: &State, claim: &ClaimRefused) -> Option<bool> {
    let of_state = matches!(
        claim.code,
        Code::AlreadyDecided
            | Code::AlreadyPaid
            | Code::NotOpen
            | Code::Closed
            | Code::Voided
            | Code::Paused
            | Code::PaymentSeen
            | Code::UnknownCampaign
            | Code::UnknownRound
    );
    if !of_state {
        return None;
    }
    let demand = ClaimDemand {
        round: claim.entitlement.round,
        index: claim.entitlement.index,
        recipient: Default::default(),
        to: Default::default(),
        amount: Default::default(),
        deadline: 0,
        signature: Bytes::new(),
    };
    let said = match state.campaign(claim.intake.campaign) {
        Some(campaign) => campaign.admits(&demand, claim.accepted_at),
        None => Err(Code::UnknownCampaign),
    };
    Some(said == Err(claim.code))
}

/// The demand behind a decided claim, as far as State looks at it.
fn demand(claim: &ClaimDecided) -> ClaimDemand {
    ClaimDemand {
        round: claim.entitlement.round,
        index: claim.entitlement.index,
        recipient: claim.recipient,
        to: claim.redirect.as_ref().map_or(claim.recipient, |redirect| redirect.to),
        amount: claim.amount,
        deadline: claim.redirect.as_ref().map_or(u64::MAX, |redirect| redirect.deadline),
        signature: Bytes::new(),
    }
}
