//! Entitlements: who receives what in a round, with the proof; and why not.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use sluice_core::command::{RoundMode, Visibility};
use sluice_core::entitlement::{Entitlement, Word};
use sluice_core::ids::{CampaignId, ChainId, EntitlementId, ProjectId, RoundNo};
use sluice_core::refusal::Code;
use sluice_core::state::campaign::Campaign;
use sluice_core::state::round::{Round, RoundPhase};
use sluice_core::state::status::ClaimState;
use sluice_gate::mandate::{ActionKind, Subject};
use sluice_snapshot::{Absence, Proof, Snapshot, SnapshotError};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::address::Typed;
use super::auth::Caller;
use super::claimant::Claimant;
use super::extract::{Path, Query};
use super::money::Money;
use super::problem::{self, Problem};
use super::read::{self, AsOf};
use super::reader::Reader;
use super::standing::{StandingView, gate_closed};
use super::states::StateView;

/// Entitlements in an answer: each carries a proof of up to 26 hashes.
pub(crate) const PAGE: usize = 100;

/// The entitlements of an address, or one by its index.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listed {
    /// The campaign.
    #[schema(value_type = uuid::Uuid)]
    campaign: CampaignId,
    /// The round.
    round: RoundNo,
    /// The root that proofs lead to.
    #[schema(value_type = String)]
    root: B256,
    /// Levels of the tree: the length of a path.
    depth: u8,
    /// One, unless the list names an address for several persons.
    entitlements: Vec<EntitlementView>,
    /// Ask for `from` this index for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
    /// How to claim by wallet, with no help of this service.
    by_wallet: ByWallet,
}

/// An entitlement.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntitlementView {
    /// Its index in the list.
    index: u64,
    /// The listed address.
    #[schema(value_type = String)]
    recipient: Address,
    /// How much.
    amount: Money,
    /// Where it stands; left out while nobody claimed or pushed it.
    #[serde(flatten)]
    state: Option<StateView>,
    #[serde(flatten)]
    standing: StandingView,
    /// Whether a claim would be taken now; in a gated round its gate is asked when it comes.
    claimable: bool,
    /// Why not, as a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<&'static str>,
    /// Why not, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not_sentence: Option<&'static str>,
    /// The proof against the round's root.
    proof: ProofView,
}

/// A proof: the keccak256 of the bucket is the leaf; each sibling stands on the side the index bits say.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProofView {
    /// The bucket of four words that holds it: address (20 bytes), then amount (12).
    #[schema(value_type = Vec<String>)]
    bucket: [Word; 4],
    /// Sibling hashes, from the bucket upwards.
    #[schema(value_type = Vec<String>)]
    path: Vec<B256>,
}

/// A claim by wallet: call `claim(round, index, bucket, path)` on the Distributor.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ByWallet {
    /// The chain.
    chain_id: ChainId,
    /// The contract to call.
    #[schema(value_type = String)]
    distributor: Address,
    /// The function, with the names under which its arguments stand here; `bucket` is the four words joined.
    function: &'static str,
}

/// Where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begin {
    /// The first index wanted.
    from: Option<u64>,
}

/// What State says of a round, as far as its entitlements need it.
struct Terms {
    project: ProjectId,
    visibility: Visibility,
    list_hash: B256,
    root: B256,
    depth: u8,
    decimals: u8,
    by_wallet: ByWallet,
}

/// See what an address receives, with the proof; or, as a problem with a proof of absence, that it receives nothing.
///
/// Of a private list only who signed the `Claimant` header with this address, the project, the operator and offices with
/// a mandate see it; everybody else gets 403 `private_list`, whether the address is listed or not.
#[utoipa::path(get, path = "/v1/campaigns/{campaign}/rounds/{round}/entitlements/{address}", operation_id = "entitlementsOfAddress", tag = "entitlements",
    params(("campaign" = uuid::Uuid, Path), ("round" = u64, Path), ("address" = String, Path), Begin),
    responses((status = 200, body = Listed), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn of_address(
    State(api): State<Api>,
    caller: Caller,
    reader: Reader,
    claimant: Claimant,
    Path((campaign, round, address)): Path<(CampaignId, RoundNo, Typed)>,
    Query(begin): Query<Begin>,
) -> Result<Response, Problem> {
    let terms = terms(&api, caller, campaign, round)?;
    let sees = terms.seen_by(&api, caller, &reader, claimant, campaign)?;
    if !sees.may_see(address.0) {
        return Err(private());
    }
    let snapshot = api.snapshot(terms.list_hash).await?;
    let found = api.mapped.read(move || find(&snapshot, address.0, begin.from)).await?;
    match found.map_err(Problem::internal)? {
        Found::Listed(proofs, next) => {
            Ok(answer(&api, (&reader, claimant), (campaign, round), terms, proofs, next)?.answer())
        }
        // The proof of absence names two neighbours, who are other people.
        Found::Absent(_) if sees != Sees::All => Err(Problem::not_listed().field("address")),
        Found::Absent(absence) => Err(not_listed(&absence)),
    }
}

/// See one entitlement by its index.
#[utoipa::path(get, path = "/v1/campaigns/{campaign}/rounds/{round}/indexes/{index}", operation_id = "entitlementOfIndex", tag = "entitlements",
    params(("campaign" = uuid::Uuid, Path), ("round" = u64, Path), ("index" = u64, Path)),
    responses((status = 200, body = Listed), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn of_index(
    State(api): State<Api>,
    caller: Caller,
    reader: Reader,
    claimant: Claimant,
    Path((campaign, round, index)): Path<(CampaignId, RoundNo, u64)>,
) -> Result<Response, Problem> {
    let terms = terms(&api, caller, campaign, round)?;
    let sees = terms.seen_by(&api, caller, &reader, claimant, campaign)?;
    let snapshot = api.snapshot(terms.list_hash).await?;
    let found = api.mapped.read(move || snapshot.proof(index).map(|proof| owned(&snapshot, proof))).await?;
    match found {
        Ok((proof, _)) if !sees.may_see(proof.entitlement().recipient) => Err(private()),
        Err(SnapshotError::OutOfRange { .. }) if sees != Sees::All => Err(private()),
        Ok(proof) => {
            Ok(answer(&api, (&reader, claimant), (campaign, round), terms, vec![proof], None)?.answer())
        }
        Err(error @ SnapshotError::OutOfRange { .. }) => {
            Err(Problem::not_listed().field("index").detail(error.to_string()))
        }
        Err(error) => Err(Problem::internal(error)),
    }
}

/// What a caller may see of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sees {
    /// All of it.
    All,
    /// What is listed for an address whose key signed.
    Own(Address),
}

impl Sees {
    fn may_see(self, recipient: Address) -> bool {
        self == Self::All || self == Self::Own(recipient)
    }
}

impl Terms {
    /// What this caller may see. Whoever may not is refused before the list is opened: the answer is the same, and takes
    /// the same time, for who is listed and who is not.
    fn seen_by(
        &self,
        api: &Api,
        caller: Caller,
        reader: &Reader,
        claimant: Claimant,
        campaign: CampaignId,
    ) -> Result<Sees, Problem> {
        let own_list = caller == Caller::Operator || caller == Caller::Project(self.project);
        if self.visibility == Visibility::Public || own_list {
            return Ok(Sees::All);
        }
        let about = [Subject::Campaign { campaign }];
        let office = api.node.follower().read(|log| reader.at(log));
        if office.may(ActionKind::ReadPrivate, &about) || office.may(ActionKind::Audit, &about) {
            return Ok(Sees::All);
        }
        claimant.of(campaign).map(Sees::Own).ok_or_else(private)
    }
}

/// The one refusal of private lists: it does not depend on what is listed.
pub(crate) fn private() -> Problem {
    Problem::from(problem::PRIVATE_LIST).detail(
        "send the Claimant header, signed by the address you ask about, or ask as an office with a mandate for the campaign",
    )
}

/// A proof, and whose entitlement it is.
type Owned = (Proof, Option<B256>);

fn owned(snapshot: &Snapshot, proof: Proof) -> Owned {
    let person = snapshot.person(proof.index);
    (proof, person)
}

enum Found {
    Listed(Vec<Owned>, Option<u64>),
    Absent(Box<Absence>),
}

fn find(snapshot: &Arc<Snapshot>, address: Address, from: Option<u64>) -> Result<Found, SnapshotError> {
    let listed = snapshot.find(address);
    if listed.is_empty() {
        return snapshot.absence(address).map(|absence| Found::Absent(Box::new(absence)));
    }
    let wanted = from.unwrap_or(0).clamp(listed.start, listed.end)..listed.end;
    let proofs: Vec<_> = wanted
        .clone()
        .take(PAGE)
        .map(|index| snapshot.proof(index).map(|proof| owned(snapshot, proof)))
        .collect::<Result<_, _>>()?;
    let next = wanted.start + proofs.len() as u64;
    Ok(Found::Listed(proofs, (next < listed.end).then_some(next)))
}

/// "Why not", provably: the two neighbours between which the address would stand.
fn not_listed(absence: &Absence) -> Problem {
    Problem::not_listed().field("address").with("absence", absence)
}

fn terms(api: &Api, caller: Caller, campaign: CampaignId, round: RoundNo) -> Result<Terms, Problem> {
    let terms = api.node.follower().read(|state| {
        let (campaign, round) = read::round(state, campaign, round)?;
        let distributor = campaign.terms.distributor;
        Ok::<_, Code>(Terms {
            project: campaign.terms.project,
            visibility: campaign.terms.visibility,
            list_hash: round.terms.list_hash,
            root: round.terms.root,
            depth: round.terms.depth,
            decimals: campaign.terms.decimals,
            by_wallet: ByWallet {
                chain_id: distributor.chain_id,
                distributor: distributor.address,
                function: "claim(round, index, bucket, path)",
            },
        })
    })?;
    caller.may_see(terms.project)?;
    Ok(terms)
}

fn answer(
    api: &Api,
    (reader, claimant): (&Reader, Claimant),
    (campaign, round): (CampaignId, RoundNo),
    terms: Terms,
    proofs: Vec<Owned>,
    next: Option<u64>,
) -> Result<AsOf<Listed>, Problem> {
    let wallet = claimant.of(campaign);
    let standing = read::read(api.node.follower(), |state| {
        let (campaign, terms) = read::round(state, campaign, round)?;
        let sight = reader.at(state);
        let of = |(proof, person): &Owned| {
            let id = EntitlementId { round, index: proof.index };
            let status = campaign.status(id);
            let why = why_not(state, campaign, terms, status.as_ref());
            let own = wallet == Some(proof.entitlement().recipient);
            (why, status, StandingView::new(state, campaign, id, (*person, own), &sight))
        };
        Ok::<_, Code>(proofs.iter().map(of).collect())
    });
    let standing: AsOf<Vec<_>> = standing.transpose()?;
    Ok(standing.map(|standing| {
        let views = proofs.into_iter().zip(standing);
        let entitlements = views.map(|((proof, _), (why, status, standing))| {
            view(proof, terms.decimals, why, status.as_ref(), standing)
        });
        Listed {
            campaign,
            round,
            root: terms.root,
            depth: terms.depth,
            entitlements: entitlements.collect(),
            next,
            by_wallet: terms.by_wallet,
        }
    }))
}

fn view(
    proof: Proof,
    decimals: u8,
    why_not: Option<Code>,
    status: Option<&ClaimState>,
    standing: StandingView,
) -> EntitlementView {
    let Entitlement { index, recipient, amount } = proof.entitlement();
    EntitlementView {
        index,
        recipient,
        amount: Money::of(amount, decimals),
        state: status.map(StateView::from),
        standing,
        claimable: why_not.is_none(),
        why_not: why_not.map(Code::as_str),
        why_not_sentence: why_not.map(Code::sentence),
        proof: ProofView { bucket: proof.bucket, path: proof.path },
    }
}

/// Why a claim on this entitlement would be refused now, as far as State says.
fn why_not(
    state: &sluice_core::state::State,
    campaign: &Campaign,
    round: &Round,
    status: Option<&ClaimState>,
) -> Option<Code> {
    let settled = match status {
        None => None,
        Some(ClaimState::Final) => Some(Code::AlreadyPaid),
        Some(ClaimState::Paid(..)) => Some(Code::PaymentSeen),
        Some(ClaimState::Voided) => Some(Code::Voided),
        Some(_) => Some(Code::AlreadyDecided),
    };
    let phase = match round.phase {
        RoundPhase::Announced | RoundPhase::Published => Some(Code::NotOpen),
        RoundPhase::Cancelled => Some(Code::UnknownRound),
        RoundPhase::Closed => Some(Code::Closed),
        RoundPhase::Open => None,
    };
    let gated = (round.terms.mode == RoundMode::Gated).then_some(round.terms.gate);
    let gate = || gated.and_then(|gate| gate_closed(state, campaign, gate));
    settled.or(phase).or_else(|| campaign.stopped()).or_else(gate)
}
