//! Every entry decided again, on the state before it and from what it was decided from: the intake row, the list, and the
//! evidence in the entry.

use sluice_core::amount::Amount;
use sluice_core::command::{Action, AppealAbout, Command, Demand, HoldTarget};
use sluice_core::decide::{
    ClaimVerdict, CommandFacts, Decision, Edge, Input, Listed, MandateSeen, PersonSeen, SignerSeen,
    VerifiedClaim, VerifiedCommand, decide,
};
use sluice_core::ids::{EntitlementId, Millis};
use sluice_core::log::entry::{Body, Covered, Entry, Evidence, SignedBy};
use sluice_core::refusal::Code;
use sluice_core::state::State;
use sluice_core::state::authority::Limits;
use sluice_engine::node::Node;
use sluice_snapshot::Snapshot;

use super::acts::PEOPLE;
use super::audit::person_of;
use crate::support::{STREAM, World};

/// What verification may have said before the position was asked: such a refusal need not follow from State alone.
const VERIFIED: [Code; 9] = [
    Code::NotAuthorized,
    Code::BadSignature,
    Code::MandateMissing,
    Code::MandateDenies,
    Code::MandateSpent,
    Code::DelegationDenies,
    Code::UnknownRules,
    Code::BadRules,
    // Nobody handed it in: only the rows beside the log know.
    Code::AttestationMissing,
];

#[derive(Default)]
pub struct Again {
    /// Entries that became the same.
    pub same: usize,
    /// Entries that rest on what only the chain or a verifier knows.
    pub left: usize,
}

pub async fn every_entry(world: &World, node: &Node, snapshot: &Snapshot, log: &[Entry]) -> Again {
    let (mut state, mut again) = (State::new(STREAM), Again::default());
    for entry in log {
        match input(world, node, snapshot, &state, entry).await {
            None => again.left += 1,
            Some(input) => {
                let decision = decide(&state, &input, entry.recorded_at);
                let wanted = Decision::Entry(Box::new(entry.body.clone()));
                let by_verifier =
                    matches!(&entry.body, Body::CommandRefused(refused) if VERIFIED.contains(&refused.code));
                if by_verifier && decision != wanted {
                    again.left += 1;
                } else {
                    assert_eq!(decision, wanted, "entry {}", entry.seq);
                    again.same += 1;
                }
            }
        }
        state.apply(entry).expect("follows");
    }
    again
}

async fn input(
    world: &World,
    node: &Node,
    snapshot: &Snapshot,
    state: &State,
    entry: &Entry,
) -> Option<Input> {
    let (key, id, evidence) = match &entry.body {
        Body::ClaimDecided(claim) => (claim.intake, claim.id, claim.evidence.clone()),
        Body::ClaimRefused(claim) => (claim.intake, claim.id, claim.evidence.clone()),
        Body::CommandRefused(refused) => (refused.intake, refused.id, Evidence::default()),
        Body::Pushed(p) => (p.command.intake, p.command.id, p.command.evidence.clone()),
        Body::Voided(v) => (v.command.intake, v.command.id, v.command.evidence.clone()),
        Body::Ordered(o) => (o.intake, o.id, o.evidence.clone()),
        // Rest on what the chain and the whole list said.
        Body::CampaignCreated(_) | Body::RoundPublished(_) | Body::GateSigned(_) => return None,
        body => return Some(Input::Observed(body.clone())),
    };
    let row = node.store().intake_by_id(key.campaign, id).await.expect("the database").expect("a row");
    assert_eq!(row.key, key);
    let accepted = row.accepted().expect("a demand");
    let body_hash = accepted.demand.body_hash();
    Some(match accepted.demand {
        Demand::Claim(claim) => {
            let id = EntitlementId { round: claim.round, index: claim.index };
            let person = person_of(snapshot, id);
            let version = state.persons.get(&person).map_or(0, |p| p.version);
            let verdict = ClaimVerdict {
                signed_by: SignedBy::Key,
                looked_at: evidence.looked_at,
                valid_until: Millis::MAX,
                person: Some(PersonSeen { person, version }),
                gate: None,
            };
            Input::Claim(VerifiedClaim {
                key,
                id: accepted.id,
                accepted_at: accepted.accepted_at,
                claim,
                body_hash,
                verdict: Ok(verdict),
            })
        }
        Demand::Command(command) => {
            let verdict = facts(world, snapshot, state, &command, &evidence)?;
            Input::Command(VerifiedCommand {
                key,
                id,
                accepted_at: accepted.accepted_at,
                command,
                verdict: Ok(verdict),
            })
        }
        Demand::Gate(_) => return None,
    })
}

/// What verification establishes of a command; `None` where only the chain knows.
fn facts(
    world: &World,
    snapshot: &Snapshot,
    state: &State,
    command: &Command,
    evidence: &Evidence,
) -> Option<CommandFacts> {
    let amount = |index: u64| snapshot.entitlement(index).map(|e| e.amount);
    let listed = match &command.action {
        Action::CreateCampaign(_) | Action::Publish(_) => return None,
        Action::Push { from, to, .. } => {
            let amounts: Vec<Amount> = (*from..*to).filter_map(amount).collect();
            Listed::Edges(vec![Edge { shard: 0, from: *from, amounts: amounts.into() }])
        }
        Action::Void { indexes, .. } => Listed::Amounts(indexes.iter().filter_map(|i| amount(*i)).collect()),
        Action::Hold { target } => {
            let indexes: Vec<u64> = match target {
                HoldTarget::Entitlements { indexes, .. } => indexes.clone(),
                HoldTarget::Person { person } => {
                    (0..u64::from(PEOPLE)).filter(|i| snapshot.person(*i) == Some(*person)).collect()
                }
                HoldTarget::Campaign { .. } => Vec::new(),
            };
            let covered = |index: u64| {
                let entitlement = EntitlementId { round: 1, index };
                Some(Covered { campaign: world.campaign, entitlement, amount: amount(index)? })
            };
            Listed::Covered { items: indexes.into_iter().filter_map(covered).collect(), as_of: state.seq }
        }
        Action::FileAppeal { about } => Listed::Recipients(appellants(snapshot, state, about)),
        _ => Listed::Nothing,
    };
    let seen = |authority| SignerSeen { authority, key_version: state.key_version(authority) };
    let person = state.concerned_by(&command.action).map(|person| PersonSeen {
        person,
        version: state.persons.get(&person).map_or(0, |known| known.version),
    });
    let mandate = state.mandates.get(&command.mandate).map(|mandate| MandateSeen {
        version: mandate.version,
        permits: true,
        policies: evidence.policies.clone(),
        limits: Limits::default(),
        person,
    });
    Some(CommandFacts {
        set_version: state.set_version(),
        signers: command.approvals.iter().map(|a| seen(a.authority)).collect(),
        mandate,
        looked_at: evidence.looked_at,
        listed,
    })
}

/// Those listed for what an appeal is about, and the addresses of their persons.
fn appellants(snapshot: &Snapshot, state: &State, about: &AppealAbout) -> Vec<alloy_primitives::Address> {
    let concerned: Vec<EntitlementId> = match about {
        AppealAbout::Void { entitlement, .. } | AppealAbout::Refusal { entitlement, .. } => {
            vec![*entitlement]
        }
        AppealAbout::Hold { hold } => {
            state.holds.get(hold).map_or(Vec::new(), |h| h.covers.iter().map(|c| c.entitlement).collect())
        }
    };
    let payee = |person| state.persons.get(&person).map(|p| p.payee);
    let mut addresses = Vec::new();
    for id in concerned {
        addresses.extend(snapshot.entitlement(id.index).map(|e| e.recipient));
        addresses.extend(payee(person_of(snapshot, id)));
    }
    if let AppealAbout::Hold { hold } = about
        && let Some(HoldTarget::Person { person }) = state.holds.get(hold).map(|h| &h.target)
    {
        addresses.extend(payee(*person));
    }
    addresses
}
