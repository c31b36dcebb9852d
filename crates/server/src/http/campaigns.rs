//! Campaigns and rounds: terms, phases, money, batches in flight. All of one answer is of one position.

use std::collections::BTreeMap;
use std::ops::Bound;

use alloy_primitives::{Address, B256};
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use sluice_core::amount::Total;
use sluice_core::command::{RoundMode, RoundTerms};
use sluice_core::ids::{BatchNo, BlockRef, CampaignId, ChainId, Millis, ProjectId, RoundNo, Seq};
use sluice_core::limits::PAGE_ITEMS_MAX;
use sluice_core::refusal::Code;
use sluice_core::state::batch::{Batch, BatchStage};
use sluice_core::state::campaign::Campaign;
use sluice_core::state::funds::Account;
use sluice_core::state::round::{Round, Shard};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::auth::Caller;
use super::extract::{Path, Query};
use super::money::Money;
use super::problem::Problem;
use super::read;
use super::states::BlockView;

/// A campaign in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignHead {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    campaign: CampaignId,
    /// The project it belongs to.
    #[schema(value_type = uuid::Uuid)]
    project: ProjectId,
    /// Its name.
    name: String,
    /// The chain it pays on.
    chain_id: ChainId,
    /// The contract that holds its tokens and pays.
    #[schema(value_type = String)]
    distributor: Address,
    /// The ERC-20 it pays.
    #[schema(value_type = String)]
    token: Address,
    /// The token's decimals.
    decimals: u8,
    /// Who may look its lists up: `public`, or `private`.
    visibility: &'static str,
    /// The position at which it last changed: what a command must have seen.
    version: Seq,
    /// Why nothing is decided now: `paused` by an institution, or `insufficient_funds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<&'static str>,
    /// The institution's pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pause: Option<PauseView>,
    /// How many rounds there are.
    round_count: usize,
}

/// A pause.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PauseView {
    /// Who paused it.
    #[schema(value_type = String)]
    by: B256,
    /// It ends by itself then, milliseconds.
    until: Millis,
}

/// A page of campaigns.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignPage {
    /// In the order of their ids.
    campaigns: Vec<CampaignHead>,
    /// Ask for `after` this one for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    next: Option<CampaignId>,
}

/// A campaign.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CampaignView {
    #[serde(flatten)]
    head: CampaignHead,
    /// Balances: funded = free + reserved + paid + voided + swept.
    funds: BTreeMap<&'static str, Money>,
    /// Its rounds, by number.
    rounds: Vec<RoundHead>,
    /// Batches that are not final.
    batches: Vec<BatchView>,
    /// The number the next batch takes.
    next_batch: BatchNo,
}

/// A round in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RoundHead {
    /// Its number, from 1.
    round: RoundNo,
    /// `announced`, `published`, `open`, `closed` or `cancelled`.
    phase: &'static str,
    /// `push`, `pull` or `gated`.
    #[schema(value_type = String)]
    mode: RoundMode,
    /// Unix seconds.
    opens_at: u64,
    /// Unix seconds.
    closes_at: u64,
    /// The position at which it last changed: what a command must have seen.
    version: Seq,
    /// The snapshot's root.
    #[schema(value_type = String)]
    root: B256,
    /// Entitlements.
    count: u64,
    /// Their sum.
    total: Money,
    /// The round it corrects.
    #[serde(skip_serializing_if = "Option::is_none")]
    supersedes: Option<RoundNo>,
}

/// A round.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RoundView {
    #[serde(flatten)]
    head: RoundHead,
    /// Its campaign.
    #[schema(value_type = uuid::Uuid)]
    campaign: CampaignId,
    /// Depth of the tree in levels of buckets.
    depth: u8,
    /// Where the list is.
    list_uri: String,
    /// SHA-256 of the snapshot file.
    #[schema(value_type = String)]
    list_hash: B256,
    /// The terms as they were announced and as institutions sign them for the Distributor.
    #[schema(value_type = Object)]
    terms: RoundTerms,
    /// How many entitlements stand where.
    entitlements: Counts,
    /// The sum of what is decided or annulled.
    taken: Money,
}

/// How many entitlements stand where. They overlap: what is paid by us was decided before.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Counts {
    /// Decided by a claim or a push.
    decided: u64,
    /// Finally paid.
    paid: u64,
    /// On hold.
    held: u64,
    /// Annulled.
    voided: u64,
    /// Whose last transfer failed.
    skipped: u64,
}

/// A batch in flight.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchView {
    /// Its number.
    batch: BatchNo,
    /// `planned`, `sent` or `mined`.
    stage: &'static str,
    /// Entitlements in it.
    entitlements: u64,
    /// Their sum.
    total: Money,
    /// Transactions signed for it, oldest first.
    #[schema(value_type = Vec<String>)]
    attempts: Vec<B256>,
    /// The block it was mined in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BlockView>)]
    block: Option<BlockRef>,
}

/// Which campaigns.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// Of this project. With a project's key, its own are listed.
    #[param(value_type = Option<uuid::Uuid>)]
    project: Option<ProjectId>,
    /// Behind this one.
    #[param(value_type = Option<uuid::Uuid>)]
    after: Option<CampaignId>,
    /// At most so many; 1,000 if more or nothing is said.
    limit: Option<usize>,
}

/// List campaigns.
#[utoipa::path(get, path = "/v1/campaigns", operation_id = "listCampaigns", tag = "campaigns", params(Which),
    responses((status = 200, body = CampaignPage)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    if let Some(asked) = which.project {
        caller.may_see(asked)?;
    }
    let project = match caller {
        Caller::Project(own) => Some(own),
        Caller::Anyone | Caller::Operator => which.project,
    };
    let limit = which.limit.unwrap_or(PAGE_ITEMS_MAX).clamp(1, PAGE_ITEMS_MAX);
    let page = read::read(api.node.follower(), |state| {
        let behind = which.after.map_or(Bound::Unbounded, Bound::Excluded);
        let of_project = |c: &&Campaign| project.is_none_or(|project| c.terms.project == project);
        let found = state.campaigns.range((behind, Bound::Unbounded)).map(|(_, campaign)| campaign);
        let mut campaigns: Vec<_> = found.filter(of_project).take(limit + 1).map(CampaignHead::new).collect();
        let more = campaigns.len() > limit;
        campaigns.truncate(limit);
        let next = campaigns.last().filter(|_| more).map(|c| c.campaign);
        CampaignPage { campaigns, next }
    });
    Ok(page.answer())
}

/// See a campaign.
#[utoipa::path(get, path = "/v1/campaigns/{campaign}", operation_id = "showCampaign", tag = "campaigns", params(("campaign" = uuid::Uuid, Path)),
    responses((status = 200, body = CampaignView), (status = 404, body = Problem)))]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(campaign): Path<CampaignId>,
) -> Result<Response, Problem> {
    let read =
        read::read(api.node.follower(), |state| read::campaign(state, campaign).map(CampaignView::new));
    let view = read.transpose()?;
    caller.may_see(view.value.head.project)?;
    Ok(view.answer())
}

/// See a round.
#[utoipa::path(get, path = "/v1/campaigns/{campaign}/rounds/{round}", operation_id = "showRound", tag = "campaigns",
    params(("campaign" = uuid::Uuid, Path), ("round" = u64, Path)),
    responses((status = 200, body = RoundView), (status = 404, body = Problem)))]
pub(crate) async fn round(
    State(api): State<Api>,
    caller: Caller,
    Path((campaign, number)): Path<(CampaignId, RoundNo)>,
) -> Result<Response, Problem> {
    let read = read::read(api.node.follower(), |state| {
        let (campaign, round) = read::round(state, campaign, number)?;
        Ok::<_, Code>((campaign.terms.project, RoundView::new(campaign, round)))
    });
    let read = read.transpose()?;
    caller.may_see(read.value.0)?;
    Ok(read.map(|(_, view)| view).answer())
}

impl CampaignHead {
    fn new(campaign: &Campaign) -> Self {
        let terms = &campaign.terms;
        Self {
            campaign: terms.campaign,
            project: terms.project,
            name: terms.name.clone(),
            chain_id: terms.distributor.chain_id,
            distributor: terms.distributor.address,
            token: terms.token,
            decimals: terms.decimals,
            visibility: terms.visibility.as_str(),
            version: campaign.version,
            paused: campaign.stopped().map(Code::as_str),
            pause: campaign.pause.map(|pause| PauseView { by: pause.by, until: pause.until }),
            round_count: campaign.rounds.len(),
        }
    }
}

impl CampaignView {
    fn new(campaign: &Campaign) -> Self {
        let decimals = campaign.terms.decimals;
        let balance = |account: Account| {
            // The ledger keeps deposits as a negative, so that it adds up to zero; people read them as what came in.
            let sign = if account == Account::Funded { -1 } else { 1 };
            (account.as_str(), Money::signed(sign * campaign.funds.balance(account), decimals))
        };
        Self {
            head: CampaignHead::new(campaign),
            funds: Account::ALL.into_iter().map(balance).collect(),
            rounds: campaign.rounds.values().map(|round| RoundHead::new(round, decimals)).collect(),
            batches: campaign.batches.values().map(|batch| BatchView::new(batch, decimals)).collect(),
            next_batch: campaign.next_batch,
        }
    }
}

impl RoundHead {
    fn new(round: &Round, decimals: u8) -> Self {
        let terms = &round.terms;
        Self {
            round: terms.round,
            phase: round.phase.as_str(),
            mode: terms.mode,
            opens_at: terms.opens_at,
            closes_at: round.closes_at,
            version: round.version,
            root: terms.root,
            count: terms.count,
            total: Money::new(terms.total, decimals),
            supersedes: (terms.supersedes > 0).then_some(terms.supersedes),
        }
    }
}

impl RoundView {
    fn new(campaign: &Campaign, round: &Round) -> Self {
        let decimals = campaign.terms.decimals;
        let taken = round.shards.iter().try_fold(Total::ZERO, |sum, s| sum.checked_add_total(s.taken_total));
        Self {
            head: RoundHead::new(round, decimals),
            campaign: campaign.terms.campaign,
            depth: round.terms.depth,
            list_uri: round.terms.list_uri.clone(),
            list_hash: round.terms.list_hash,
            terms: round.terms.clone(),
            entitlements: Counts::new(round),
            taken: Money::new(taken.expect("part of a total that fits"), decimals),
        }
    }
}

impl Counts {
    fn new(round: &Round) -> Self {
        let add = |sum: Self, shard: &Shard| Self {
            decided: sum.decided + shard.decided.count(),
            paid: sum.paid + shard.paid.count(),
            held: sum.held + shard.held.count(),
            voided: sum.voided + shard.void.count(),
            ..sum
        };
        let counts = round.shards.iter().fold(Self::default(), add);
        Self { skipped: round.skips.len() as u64, ..counts }
    }
}

impl BatchView {
    fn new(batch: &Batch, decimals: u8) -> Self {
        let stage = match batch.stage() {
            BatchStage::Planned => "planned",
            BatchStage::Sent => "sent",
            BatchStage::Mined => "mined",
        };
        Self {
            batch: batch.plan.batch,
            stage,
            entitlements: batch.plan.words.iter().map(|word| u64::from(word.count())).sum(),
            total: Money::new(batch.plan.total, decimals),
            attempts: batch.attempts.iter().map(|attempt| attempt.tx_hash).collect(),
            block: batch.mined.as_ref().map(|mined| mined.block),
        }
    }
}
