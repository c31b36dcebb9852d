//! Payments that were right as known when they were decided and are wrong as known now: an entry recorded later says that
//! something else held (`valid_at`) before the decision was recorded.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use serde::Serialize;
use sluice_core::command::{Action, Command, HoldTarget};
use sluice_core::ids::{CampaignId, EntitlementId, Millis, RoundNo, Seq};
use sluice_core::log::entry::{Body, Entry, Evidence, Outcome};

use super::{EvidenceError, LogSource, Replay};

/// An entry that says what had held before it was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Correction {
    /// Its position.
    pub seq: Seq,
    /// When it was recorded: from then on it was known.
    pub recorded_at: Millis,
    /// Since when it holds in the real world.
    pub valid_at: Millis,
    /// What was ordered.
    pub action: &'static str,
    /// By which institution; zero for a person.
    pub by: B256,
    /// Why, in its author's words.
    pub reason: String,
    #[serde(skip)]
    about: About,
}

/// What a correction is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum About {
    Attestation(B256),
    Person(B256, Address),
    Entitlements(CampaignId, RoundNo, Vec<u64>),
    Rules(B256),
    Mandate(B256),
    Delegation(B256),
}

/// A payment that rests on what is known to be wrong now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LatePayment {
    /// The campaign.
    pub campaign: CampaignId,
    /// What was decided.
    #[serde(flatten)]
    pub entitlement: EntitlementId,
    /// The position of the decision.
    pub decided: Seq,
    /// When it was recorded.
    pub recorded_at: Millis,
    /// Where the payment stands at the end of the log.
    pub state: &'static str,
    /// The entries that changed it, in their order.
    pub changed_by: Vec<Correction>,
}

/// Payments that are wrong as known at the end of the log and were right when they were decided.
///
/// # Errors
/// When the log cannot be read or was changed.
pub async fn late(source: &LogSource) -> Result<Vec<LatePayment>, EvidenceError> {
    let corrections = corrections(source).await?;
    let mut suspects = BTreeMap::new();
    let mut replay = Replay::new(Vec::new());
    let mut pages = source.pages()?;
    while let Some(page) = pages.next().await? {
        replay.take(&page, |_, entry, _| {
            suspects_of(&corrections, entry, &mut suspects);
            true
        })?;
    }
    let Some(state) = replay.state() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for ((campaign, entitlement), mut payment) in suspects {
        let status = state.campaign(campaign).and_then(|known| known.status(entitlement));
        // What was annulled and never paid is no payment.
        if let Some(status) = status.filter(|status| status.as_str() != "voided") {
            payment.state = status.as_str();
            found.push(payment);
        }
    }
    Ok(found)
}

/// Every correction of the log: few, beside its decisions.
async fn corrections(source: &LogSource) -> Result<Vec<Correction>, EvidenceError> {
    let mut found = Vec::new();
    let mut replay = Replay::new(Vec::new());
    let mut pages = source.pages()?;
    while let Some(page) = pages.next().await? {
        replay.take(&page, |_, entry, _| {
            found.extend(correction(entry));
            true
        })?;
    }
    Ok(found)
}

fn correction(entry: &Entry) -> Option<Correction> {
    let command = match &entry.body {
        Body::Voided(voided) => &voided.command.command,
        Body::Ordered(ordered) => &ordered.command,
        _ => return None,
    };
    // A command that names no time holds from its entry on, so it changes nothing before it.
    if command.valid_at == 0 || command.valid_at >= entry.recorded_at {
        return None;
    }
    Some(Correction {
        seq: entry.seq,
        recorded_at: entry.recorded_at,
        valid_at: command.valid_at,
        action: command.action.name(),
        by: command.approvals.first().map(|approval| approval.authority).unwrap_or_default(),
        reason: command.reason.clone(),
        about: about(entry, command)?,
    })
}

fn about(entry: &Entry, command: &Command) -> Option<About> {
    Some(match &command.action {
        Action::RevokeAttestation { uid } => About::Attestation(*uid),
        Action::BindPerson { person, payee, .. } | Action::ChangePayee { person, payee } => {
            About::Person(*person, *payee)
        }
        Action::Void { campaign, round, indexes }
        | Action::Hold { target: HoldTarget::Entitlements { campaign, round, indexes } } => {
            About::Entitlements(*campaign, *round, indexes.clone())
        }
        Action::Hold { target: HoldTarget::Person { .. } } => {
            let Body::Ordered(ordered) = &entry.body else { return None };
            let Outcome::Held(placed) = &ordered.outcome else { return None };
            let first = placed.covers.first()?;
            let same = |c: &&sluice_core::log::entry::Covered| {
                (c.campaign, c.entitlement.round) == (first.campaign, first.entitlement.round)
            };
            let indexes = placed.covers.iter().filter(same).map(|c| c.entitlement.index).collect();
            About::Entitlements(first.campaign, first.entitlement.round, indexes)
        }
        Action::RetireRules { rules } => About::Rules(*rules),
        Action::RevokeMandate { mandate } => About::Mandate(*mandate),
        Action::RevokeDelegation { delegation } => About::Delegation(*delegation),
        _ => return None,
    })
}

type Suspects = BTreeMap<(CampaignId, EntitlementId), LatePayment>;

/// Notes what an entry decided that a later one made wrong.
fn suspects_of(corrections: &[Correction], entry: &Entry, suspects: &mut Suspects) {
    let later = corrections.iter().filter(|c| c.seq > entry.seq && c.valid_at <= entry.recorded_at);
    for correction in later {
        let (campaign, wrong) = match &entry.body {
            Body::ClaimDecided(claim) => {
                let wrong = touches_claim(
                    correction,
                    claim.intake.campaign,
                    claim.entitlement,
                    claim.recipient,
                    &claim.evidence,
                );
                (claim.intake.campaign, if wrong { vec![claim.entitlement] } else { Vec::new() })
            }
            Body::Pushed(pushed) => {
                let Action::Push { campaign, round, from, to } = &pushed.command.command.action else {
                    continue;
                };
                let evidence = &pushed.command.evidence;
                (*campaign, pushed_wrongly(correction, evidence, *campaign, *round, *from..*to))
            }
            _ => return,
        };
        for entitlement in wrong {
            let payment = suspects.entry((campaign, entitlement)).or_insert_with(|| LatePayment {
                campaign,
                entitlement,
                decided: entry.seq,
                recorded_at: entry.recorded_at,
                state: "decided",
                changed_by: Vec::new(),
            });
            // What was decided by a claim is not decided again by a push around it.
            if payment.decided == entry.seq {
                payment.changed_by.push(correction.clone());
            }
        }
    }
}

fn touches_claim(
    correction: &Correction,
    of: CampaignId,
    entitlement: EntitlementId,
    recipient: Address,
    evidence: &Evidence,
) -> bool {
    match &correction.about {
        About::Attestation(uid) => evidence.attestations.contains(uid),
        About::Person(person, payee) => {
            !evidence.person.is_zero() && evidence.person == *person && *payee != recipient
        }
        About::Entitlements(campaign, round, indexes) => {
            (*campaign, *round) == (of, entitlement.round)
                && indexes.binary_search(&entitlement.index).is_ok()
        }
        About::Rules(rules) => evidence.rule_sets.contains(rules),
        About::Mandate(_) | About::Delegation(_) => false,
    }
}

/// Which of a pushed range a correction makes wrong. A mandate that had ended makes the whole push wrong, which is shown at
/// its first entitlement.
fn pushed_wrongly(
    correction: &Correction,
    evidence: &Evidence,
    of: CampaignId,
    round: RoundNo,
    range: std::ops::Range<u64>,
) -> Vec<EntitlementId> {
    match &correction.about {
        About::Entitlements(campaign, named, indexes) if (*campaign, *named) == (of, round) => {
            let inside = indexes.iter().filter(|index| range.contains(index));
            inside.map(|index| EntitlementId { round, index: *index }).collect()
        }
        About::Mandate(id) if evidence.mandate == *id => vec![EntitlementId { round, index: range.start }],
        About::Delegation(id) if evidence.delegation == *id => {
            vec![EntitlementId { round, index: range.start }]
        }
        _ => Vec::new(),
    }
}
