//! From what was asked to the entitlements it is about.

use std::collections::{BTreeMap, BTreeSet};

use sluice_core::ids::{BatchNo, CampaignId, EntitlementId};
use sluice_core::log::entry::{Body, ChainEvent, Entry, WordMask};

use super::Target;
use crate::evidence::{EvidenceError, LogSource, Place};

/// What is traced.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) campaign: CampaignId,
    pub(super) entitlements: BTreeSet<EntitlementId>,
}

/// What batches under way hold.
type Planned = BTreeMap<(CampaignId, BatchNo), Vec<WordMask>>;

pub(super) async fn find(source: &LogSource, target: Target) -> Result<Found, EvidenceError> {
    let mut planned = Planned::new();
    let mut campaigns = BTreeSet::new();
    let mut pages = source.pages()?;
    while let Some(page) = pages.next().await? {
        for row in &page.rows {
            let entry = decode(row)?;
            if let Body::CampaignCreated(created) = &entry.body {
                campaigns.insert(created.outcome.campaign);
            }
            if let Some(found) = look(&entry, target, &mut planned) {
                return Ok(found);
            }
        }
    }
    match target {
        Target::Entitlement(campaign, id) => {
            let one = campaign.or_else(|| campaigns.first().copied().filter(|_| campaigns.len() == 1));
            let why = || format!("the log has {} campaigns; name the one that is meant", campaigns.len());
            let campaign = one.ok_or_else(|| EvidenceError::NotFound(why()))?;
            Ok(Found { campaign, entitlements: BTreeSet::from([id]) })
        }
        Target::Transaction(hash) => {
            Err(EvidenceError::NotFound(format!("the log knows no payment by transaction {hash}")))
        }
        Target::Claim(id) => Err(EvidenceError::NotFound(format!("the log decides no claim {id}"))),
    }
}

/// A row's entry, checked against its leaf. Who does not trust the database verifies the whole log.
pub(super) fn decode(row: &crate::evidence::Row) -> Result<Entry, EvidenceError> {
    let wrong = |why: String| EvidenceError::changed(Place::at(row.seq), why);
    if sluice_core::log::merkle::leaf_hash(&row.entry) != row.leaf {
        return Err(wrong("the entry does not hash to its leaf".into()));
    }
    Entry::decode(&row.entry).map_err(|error| wrong(error.to_string()))
}

fn look(entry: &Entry, target: Target, planned: &mut Planned) -> Option<Found> {
    match target {
        Target::Entitlement(..) => None,
        Target::Claim(wanted) => {
            let (id, campaign, entitlement) = match &entry.body {
                Body::ClaimDecided(claim) => (claim.id, claim.intake.campaign, claim.entitlement),
                Body::ClaimRefused(claim) => (claim.id, claim.intake.campaign, claim.entitlement),
                _ => return None,
            };
            (id == wanted).then(|| Found { campaign, entitlements: BTreeSet::from([entitlement]) })
        }
        Target::Transaction(hash) => {
            let (campaign, words) = match &entry.body {
                Body::BatchPlanned(plan) => {
                    planned.insert((plan.campaign, plan.batch), plan.words.clone());
                    return None;
                }
                Body::BatchFinal(at) => {
                    planned.remove(&(at.campaign, at.batch));
                    return None;
                }
                Body::AttemptSigned(signed) if signed.tx_hash == hash => (
                    signed.campaign,
                    planned.get(&(signed.campaign, signed.batch)).cloned().unwrap_or_default(),
                ),
                Body::BatchMined(mined) if mined.tx_hash == hash => {
                    let words = planned.get(&(mined.campaign, mined.batch)).cloned();
                    (mined.campaign, words.unwrap_or_else(|| mined.paid.clone()))
                }
                Body::EventsMined(mined) => {
                    let paid = mined.events.iter().filter_map(ChainEvent::payment);
                    let entitlements: BTreeSet<_> =
                        paid.filter(|(_, by)| *by == hash).map(|(id, _)| id).collect();
                    let found = Found { campaign: mined.campaign, entitlements };
                    return (!found.entitlements.is_empty()).then_some(found);
                }
                _ => return None,
            };
            let ids = words.iter().flat_map(|word| {
                word.indexes().map(|index| EntitlementId { round: word.round, index }).collect::<Vec<_>>()
            });
            Some(Found { campaign, entitlements: ids.collect() })
        }
    }
}
