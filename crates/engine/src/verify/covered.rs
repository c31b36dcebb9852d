//! What a hold covers, and which holds cover a new round: resolved from the snapshots' person indexes.

use alloy_primitives::{Address, B256};
use sluice_core::amount::Amount;
use sluice_core::command::{AppealAbout, HoldTarget};
use sluice_core::decide::Listed;
use sluice_core::ids::{CampaignId, EntitlementId, RoundNo, Seq};
use sluice_core::limits::HOLD_ITEMS_MAX;
use sluice_core::log::entry::Covered;
use sluice_core::refusal::Code;
use sluice_core::state::State;
use sluice_snapshot::Snapshot;

use super::Verifier;
use crate::error::EngineError;

/// A hold's position, an index of the new round, its listed amount.
type HeldEntitlements = Vec<(Seq, u64, Amount)>;

/// A round's snapshot, copied out of State so that nothing holds it while pages come from the disk.
struct Announced {
    campaign: CampaignId,
    round: RoundNo,
    list_hash: B256,
}

impl Verifier {
    /// What a hold covers.
    pub(super) fn covered(&self, target: &HoldTarget) -> Result<Result<Listed, Code>, EngineError> {
        match target {
            HoldTarget::Campaign { .. } => Ok(Ok(Listed::Nothing)),
            HoldTarget::Entitlements { campaign, round, indexes } => {
                self.entitlements(*campaign, *round, indexes)
            }
            HoldTarget::Person { person } => self.of_person(*person),
        }
    }

    fn entitlements(
        &self,
        campaign: CampaignId,
        round: RoundNo,
        indexes: &[u64],
    ) -> Result<Result<Listed, Code>, EngineError> {
        let (as_of, found) = self.follower.read(|state| {
            let hash = state.campaign(campaign).and_then(|c| c.round(round)).map(|r| r.terms.list_hash);
            (state.seq, hash)
        });
        let Some(list_hash) = found else { return Ok(Err(Code::UnknownRound)) };
        if indexes.is_empty() || indexes.len() > HOLD_ITEMS_MAX || !indexes.windows(2).all(|w| w[0] < w[1]) {
            return Ok(Err(Code::BadRange));
        }
        let snapshot = self.snapshots.get(list_hash)?;
        let items: Option<Vec<Covered>> =
            indexes.iter().map(|index| item(campaign, round, *index, &snapshot)).collect();
        Ok(items.map(|items| Listed::Covered { items, as_of }).ok_or(Code::BadRange))
    }

    /// Whatever the lists of the rounds owe a person. Rounds that pay no more are left out.
    fn of_person(&self, person: B256) -> Result<Result<Listed, Code>, EngineError> {
        let (as_of, rounds) = self.follower.read(|state| (state.seq, owing(state)));
        let mut items = Vec::new();
        for Announced { campaign, round, list_hash } in rounds {
            let snapshot = self.snapshots.get(list_hash)?;
            if !snapshot.has_persons() {
                continue;
            }
            for index in indexes_of(&snapshot, person)? {
                items.extend(item(campaign, round, index, &snapshot));
                if items.len() > HOLD_ITEMS_MAX {
                    return Ok(Err(Code::TooMany));
                }
            }
        }
        Ok(Ok(Listed::Covered { items, as_of }))
    }

    /// The entitlements of a new round that holds on persons cover, with the position at which holds were looked through.
    pub(super) fn held_in(&self, snapshot: &Snapshot) -> Result<(HeldEntitlements, Seq), EngineError> {
        let (as_of, persons) = self.follower.read(|state| (state.seq, held_persons(state)));
        let mut held = Vec::new();
        if snapshot.has_persons() {
            for (hold, person) in persons {
                for index in indexes_of(snapshot, person)? {
                    held.extend(snapshot.entitlement(index).map(|e| (hold, index, e.amount)));
                }
            }
        }
        Ok((held, as_of))
    }

    /// Who may appeal: those listed for what the decision is about, and the addresses their persons have now.
    pub(super) fn appellants(&self, about: &AppealAbout) -> Result<Result<Listed, Code>, EngineError> {
        let concerned = self.follower.read(|state| match about {
            AppealAbout::Void { campaign, entitlement } | AppealAbout::Refusal { campaign, entitlement } => {
                vec![(*campaign, *entitlement)]
            }
            AppealAbout::Hold { hold } => state
                .holds
                .get(hold)
                .map_or(Vec::new(), |hold| hold.covers.iter().map(|c| (c.campaign, c.entitlement)).collect()),
        });
        let mut addresses: Vec<Address> = Vec::new();
        for (campaign, id) in concerned {
            let Some(list_hash) = self.list_of(campaign, id.round) else {
                return Ok(Err(Code::UnknownRound));
            };
            let snapshot = self.snapshots.get(list_hash)?;
            addresses.extend(snapshot.entitlement(id.index).map(|e| e.recipient));
            let person = snapshot.person(id.index);
            addresses.extend(person.and_then(|p| self.follower.read(|s| s.persons.get(&p).map(|p| p.payee))));
        }
        if let AppealAbout::Hold { hold } = about {
            addresses.extend(self.follower.read(|state| {
                let HoldTarget::Person { person } = state.holds.get(hold)?.target else { return None };
                state.persons.get(&person).map(|p| p.payee)
            }));
        }
        addresses.sort_unstable();
        addresses.dedup();
        Ok(Ok(Listed::Recipients(addresses)))
    }

    fn list_of(&self, campaign: CampaignId, round: RoundNo) -> Option<B256> {
        self.follower.read(|s| s.campaign(campaign)?.round(round).map(|r| r.terms.list_hash))
    }
}

fn item(campaign: CampaignId, round: RoundNo, index: u64, snapshot: &Snapshot) -> Option<Covered> {
    let amount = snapshot.entitlement(index)?.amount;
    Some(Covered { campaign, entitlement: EntitlementId { round, index }, amount })
}

fn indexes_of(snapshot: &Snapshot, person: B256) -> Result<Vec<u64>, EngineError> {
    snapshot.indexes_of_person(person).map_err(|error| EngineError::Incident(error.to_string()))
}

fn owing(state: &State) -> Vec<Announced> {
    let rounds = state.campaigns.iter().flat_map(|(id, campaign)| {
        campaign.rounds.values().filter(|round| !round.swept).map(move |round| Announced {
            campaign: *id,
            round: round.terms.round,
            list_hash: round.terms.list_hash,
        })
    });
    rounds.collect()
}

fn held_persons(state: &State) -> Vec<(Seq, B256)> {
    let person = |target: &HoldTarget| match target {
        HoldTarget::Person { person } => Some(*person),
        _ => None,
    };
    state.holds.iter().filter_map(|(at, hold)| Some((*at, person(&hold.target)?))).collect()
}
