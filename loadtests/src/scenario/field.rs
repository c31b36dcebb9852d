//! A deployment for a group of campaigns: Charter, tokens, a Distributor each, a node that leads, and every round published,
//! funded and open.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sluice_chain::At;
use sluice_chain::actions::ChainAction;
use sluice_chain::deploy::NewDistributor;
use sluice_core::command::{Action, CampaignTerms, RoundMode, RoundTerms};
use sluice_core::ids::{CampaignId, ContractRef, Epoch, ProjectId};
use sluice_core::log::entry::Body;
use sluice_engine::snapshots::{Snapshots, file_hash};
use sluice_server::dev;
use sluice_snapshot::Snapshot;
use uuid::Uuid;

use super::ROUND;
use super::lists::Campaign;
use crate::claims::ground::{FAR, Ground, Servers, eventually};

/// Gas for every token transfer: what an ordinary ERC-20 needs, three times.
const TRANSFER_GAS: u64 = 200_000;

/// Campaigns with open rounds.
pub(super) struct Field {
    pub(super) ground: Arc<Ground>,
    /// In the group's order.
    pub(super) placed: Vec<Placed>,
}

/// A campaign that is open.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) campaign: CampaignId,
    pub(super) on_chain: OnChain,
    pub(super) snapshot: Arc<Snapshot>,
}

/// Its contracts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct OnChain {
    pub(super) distributor: Address,
    pub(super) token: Address,
}

/// Where and when the chain stood, and who may settle there.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Point {
    pub(super) block: u64,
    /// Unix seconds.
    pub(super) time: u64,
    pub(super) epoch: Epoch,
    pub(super) lane: Address,
}

impl Placed {
    /// The Distributor as a signing domain.
    pub(super) fn contract(&self) -> ContractRef {
        ContractRef { chain_id: dev::CHAIN_ID, address: self.on_chain.distributor }
    }
}

impl Field {
    /// Deploys, publishes, funds and opens everything.
    pub(super) async fn prepare(
        servers: &Servers,
        folder: &Path,
        group: &[Campaign],
        name: &str,
    ) -> anyhow::Result<Self> {
        let ground = Arc::new(Ground::start(servers, name).await?);
        let mut field = Self { ground, placed: Vec::new() };
        let mut tokens: Vec<(u8, Address)> = Vec::new();
        for campaign in group {
            let decimals = campaign.plan.decimals;
            let token = match tokens.iter().find(|(has, _)| *has == decimals) {
                Some((_, token)) => *token,
                None => field.deploy_token(decimals).await?,
            };
            tokens.push((decimals, token));
            let placed = field.publish(folder, campaign, token).await?;
            field.placed.push(placed);
        }
        let operator = &field.ground.prepared.operator;
        for placed in &field.placed {
            let at = placed.on_chain.distributor;
            eventually("a round may be opened", || async { Ok(operator.open(at, ROUND).await.ok()) }).await?;
        }
        eventually("the log knows that all rounds are open", || async { Ok(field.all_open()) }).await?;
        Ok(field)
    }

    async fn deploy_token(&self, decimals: u8) -> anyhow::Result<Address> {
        let name = format!("Scenario token of {decimals} decimals");
        Ok(self.ground.prepared.operator.deploy_test_token(&name, "SCN", decimals).await?.address)
    }

    /// Creates a campaign and publishes and funds its round.
    async fn publish(&self, folder: &Path, campaign: &Campaign, token: Address) -> anyhow::Result<Placed> {
        let (snapshot, hash) = self.store(&campaign.file(folder, "snapshot")).await?;
        let ground = &*self.ground;
        let distributor = self.create(campaign, token).await?;
        let terms = RoundTerms {
            campaign: distributor.0,
            round: ROUND,
            root: snapshot.root(),
            depth: snapshot.depth(),
            count: snapshot.count(),
            total: snapshot.total(),
            rules_hash: B256::ZERO,
            opens_at: 0,
            closes_at: FAR,
            mode: RoundMode::Push,
            gate: 0,
            supersedes: 0,
            list_uri: "file:scenario".into(),
            list_hash: hash,
        };
        let entry = ground.charter_command(Action::Publish(terms.clone()), dev::THRESHOLD.into()).await?;
        ensure!(matches!(entry.body, Body::RoundPublished(_)), "a round was not published: {:?}", entry.body);
        let (operator, at) = (&ground.prepared.operator, distributor.1);
        let action = ChainAction::Publish { distributor: at, terms: Box::new(terms.clone()) };
        operator.publish(at, &terms, &ground.approve(&action)?).await?;
        operator.mint(token, at, terms.total).await?;
        Ok(Placed { campaign: distributor.0, on_chain: OnChain { distributor: at, token }, snapshot })
    }

    /// Puts a snapshot where the node looks for it: the same file under another name.
    async fn store(&self, path: &Path) -> anyhow::Result<(Arc<Snapshot>, B256)> {
        let (path, folder) = (path.to_owned(), self.ground.prepared.snapshots());
        tokio::task::spawn_blocking(move || {
            let hash = file_hash(&path)?;
            let stored = Snapshots::new(&folder).path(hash);
            if std::fs::hard_link(&path, &stored).is_err() {
                // Another disk.
                std::fs::copy(&path, &stored)?;
            }
            Ok((Arc::new(Snapshot::open(&stored)?), hash))
        })
        .await?
    }

    async fn create(&self, campaign: &Campaign, token: Address) -> anyhow::Result<(CampaignId, Address)> {
        let (ground, prepared) = (&*self.ground, &self.ground.prepared);
        let terms = NewDistributor {
            token,
            charter: prepared.charter,
            refund: prepared.operator.account.address(),
            exit_only: false,
            grace: dev::GRACE,
            opening_delay: dev::OPENING_DELAY,
            transfer_gas: TRANSFER_GAS,
        };
        let deployed = prepared.operator.deploy_distributor(&terms).await?;
        let at = deployed.address;
        let register = ground.approve(&ChainAction::RegisterDistributor { distributor: at })?;
        prepared.operator.register_distributor(prepared.charter, at, &register).await?;
        let id = CampaignId(Uuid::now_v7());
        let create = CampaignTerms {
            campaign: id,
            project: ProjectId(Uuid::now_v7()),
            name: format!("Campaign {}", campaign.number),
            distributor: ContractRef { chain_id: dev::CHAIN_ID, address: at },
            token,
            decimals: campaign.plan.decimals,
            deployed_at: deployed.receipt.block.number,
            visibility: Default::default(),
            jurisdiction: String::new(),
        };
        let entry = ground.charter_command(Action::CreateCampaign(create), 1).await?;
        ensure!(matches!(entry.body, Body::CampaignCreated(_)), "no campaign was created: {:?}", entry.body);
        Ok((id, at))
    }

    fn all_open(&self) -> Option<()> {
        self.ground.node.follower().read(|state| {
            let open = |placed: &Placed| {
                state.campaign(placed.campaign).and_then(|c| c.round(ROUND)).is_some_and(|r| r.was_opened())
            };
            self.placed.iter().all(open).then_some(())
        })
    }

    /// Writes down the chain's state, once the chain knows the epoch that the node leads under.
    pub(super) async fn dump(&self, servers: &Servers, path: &Path) -> anyhow::Result<Point> {
        let (node, prepared) = (&self.ground.node, &self.ground.prepared);
        let epoch = eventually("the chain knows the epoch", || async {
            let known = prepared.chain.epoch(prepared.charter, At::Latest).await?;
            Ok(Some(known).filter(|known| Some(*known) == node.status().leading))
        })
        .await?;
        let dump = servers.anvil("anvil_dumpState", json!([])).await?;
        let dump = dump.as_str().context("the chain's state is no text")?;
        std::fs::write(path, alloy_primitives::hex::decode(dump)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let block = servers.anvil("eth_getBlockByNumber", json!(["latest", false])).await?;
        let number = |name: &str| {
            let digits = block.get(name).and_then(Value::as_str).and_then(|text| text.strip_prefix("0x"));
            let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
            number.with_context(|| format!("the newest block has no {name}"))
        };
        let lane = dev::lane(1, 0)?.address();
        Ok(Point { block: number("number")?, time: number("timestamp")?, epoch, lane })
    }
}
