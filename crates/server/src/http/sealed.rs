//! Receipts for those who may not read what the entry holds: the same proof, with the entry's leaf in place of its bytes.

use alloy_primitives::B256;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sluice_core::command::Visibility;
use sluice_core::ids::{CampaignId, EntitlementId, Seq};
use sluice_core::log::entry::{Body, Entry, Evidence};
use sluice_core::log::merkle::leaf_hash;
use sluice_core::log::receipt::Receipt;
use sluice_core::state::State as Log;
use sluice_gate::mandate::{ActionKind, Subject};
use utoipa::ToSchema;

use super::problem::Problem;
use super::reader::{Reader, Sight};
use super::{Api, about, from_engine, read};

/// A receipt, sealed or not.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Proved {
    /// With the entry's bytes.
    Open(Receipt),
    /// Without them.
    Sealed(Sealed),
}

/// Proof that an entry with this leaf stands at its position in the log. Who is given the entry's bytes later compares
/// SHA-256 of a zero byte and them with `leaf`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sealed {
    /// `sealed_receipt`.
    kind: &'static str,
    /// 1.
    format: u8,
    /// The position.
    seq: Seq,
    /// RFC 6962's hash of the entry's bytes.
    #[schema(value_type = String)]
    leaf: B256,
    /// Its inclusion path in the tree of the note, from the leaf upwards.
    #[schema(value_type = Vec<String>)]
    path: Vec<B256>,
    /// The signed head of a tree that contains it.
    note: String,
}

/// The receipt of an entry, as this reader may see it.
pub(crate) async fn answer(api: &Api, reader: &Reader, seq: Seq) -> Result<Response, Problem> {
    let receipt = api.node.receipt(seq).await.map_err(from_engine)?;
    let entry = Entry::decode(&receipt.entry).map_err(Problem::internal)?;
    let (as_of, sight, listed) =
        api.node.follower().read(|log| (log.seq, reader.at(log), is_of_public_list(log, &entry)));
    let shown = Proved::unless_hidden(is_open_to(&sight, &entry, listed), receipt);
    Ok(read::marked(axum::Json(shown).into_response(), as_of))
}

impl Proved {
    /// The receipt if this holds, else the same sealed.
    pub(crate) fn unless_hidden(shown: bool, receipt: Receipt) -> Self {
        if shown { Self::Open(receipt) } else { Self::Sealed(receipt.into()) }
    }
}

impl From<Receipt> for Sealed {
    fn from(receipt: Receipt) -> Self {
        Self {
            kind: "sealed_receipt",
            format: sluice_core::log::receipt::FORMAT,
            seq: receipt.seq,
            leaf: leaf_hash(&receipt.entry).into(),
            path: receipt.path.into_iter().map(B256::from).collect(),
            note: receipt.note,
        }
    }
}

/// Whether a claim's entry, which names its recipient, names somebody whom everybody may look up.
fn is_of_public_list(log: &Log, entry: &Entry) -> bool {
    let campaign = match &entry.body {
        Body::ClaimDecided(claim) => claim.intake.campaign,
        Body::ClaimRefused(claim) => claim.intake.campaign,
        _ => return false,
    };
    log.campaign(campaign).is_some_and(|campaign| campaign.terms.visibility == Visibility::Public)
}

/// Whether this reader may see all of an entry; of a claim's it is said whether its list is public.
fn is_open_to(sight: &Sight, entry: &Entry, public_list: bool) -> bool {
    let reads =
        |about: &[Subject]| sight.may(ActionKind::ReadPrivate, about) || sight.may(ActionKind::Audit, about);
    if let Some(command) = about::command(&entry.body) {
        // Why it was ordered, and about whom, is for those who ordered it and for those who may read it.
        let own = command.approvals.iter().any(|approval| sight.is(approval.authority));
        return own || reads(&[about::subject_of(&command.action)]);
    }
    match &entry.body {
        Body::ClaimDecided(c) => {
            (public_list && is_public(&c.evidence)) || reads(&entitlement(c.intake.campaign, c.entitlement))
        }
        Body::ClaimRefused(c) => {
            (public_list && is_public(&c.evidence)) || reads(&entitlement(c.intake.campaign, c.entitlement))
        }
        // The rest says what was decided, moved and seen on chain.
        _ => true,
    }
}

/// Whether a claim's evidence says nothing about a person: neither whose it is, nor what attestations and rules said.
fn is_public(evidence: &Evidence) -> bool {
    evidence.person.is_zero() && evidence.attestations.is_empty() && evidence.rule_sets.is_empty()
}

/// An entitlement, as mandates know it.
pub(crate) fn entitlement(campaign: CampaignId, id: EntitlementId) -> [Subject; 1] {
    [Subject::Entitlement { campaign, round: id.round, index: id.index }]
}
