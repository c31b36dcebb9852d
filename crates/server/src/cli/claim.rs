//! `sluice claim`: a recipient's claim, signed here and handed in, or paid by the wallet itself on chain.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use alloy_primitives::{Address, Bytes, U256};
use anyhow::{Context, bail, ensure};
use clap::Args;
use sluice_chain::calls::{self, Proven};
use sluice_chain::deploy::Operator;
use sluice_chain::signer::Account;
use sluice_core::amount::Amount;
use sluice_core::command::ClaimDemand;
use sluice_core::ids::{CampaignId, ContractRef, DemandId, EntitlementId, RoundNo};
use sluice_core::signing::claim_digest;

use super::asking::as_claimant;
use super::block_on;
use super::reach::{ChainArgs, KeyArgs, NodeArgs, answer, client_now, new_demand};
use super::words;
use crate::api_client::{ApiClient, ClaimInfo, EntitlementInfo};

/// How long a signed claim stays good by default, seconds: the log asks for a day, settlement may take more.
const GOOD_FOR: u64 = 7 * 86_400;
/// How often --wait looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long --wait waits: finality on Ethereum takes a quarter of an hour.
const FINAL_WITHIN: Duration = Duration::from_secs(7_200);

/// Claim an entitlement: sign and hand in, or pay oneself on chain.
#[derive(Debug, Args)]
pub struct Claim {
    /// The campaign.
    campaign: CampaignId,
    /// The round.
    round: RoundNo,
    #[command(flatten)]
    keys: KeyArgs,
    /// Where the money goes; the wallet itself, unless said.
    #[arg(long, value_name = "ADDRESS", value_parser = words::address, conflicts_with = "self_paid")]
    to: Option<Address>,
    /// Which entitlement, where the list names the address more than once.
    #[arg(long)]
    index: Option<u64>,
    /// The claim's id; give the same one again to repeat a claim whose answer was lost.
    #[arg(long, value_name = "UUID")]
    id: Option<DemandId>,
    /// Last second at which the signature is good, Unix seconds; a week from now by default.
    #[arg(long, value_name = "SECONDS")]
    deadline: Option<u64>,
    /// Do not ask the service to pay: call the Distributor with the wallet's own transaction.
    #[arg(long, requires = "rpc")]
    self_paid: bool,
    /// The chain's JSON-RPC, for --self-paid.
    #[arg(long, value_name = "URL", env = "SLUICE_RPC")]
    rpc: Option<String>,
    /// Wait until the payment is final.
    #[arg(long)]
    wait: bool,
    /// Keep the receipt or ticket in this file (`sluice receipt verify`).
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
    /// Print the result as one line of JSON, last.
    #[arg(long)]
    json: bool,
}

impl Claim {
    /// Does it.
    ///
    /// # Errors
    /// When the node or the Distributor refuses, naming why.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            let api = self.node.client()?;
            let wallet = self.keys.open_one()?;
            let head = api.campaign(self.campaign).await?.head;
            let distributor = ContractRef { chain_id: head.chain_id, address: head.distributor };
            let asked = match head.visibility.as_str() {
                "private" => as_claimant(&api, self.campaign, &wallet).await?,
                _ => api.clone(),
            };
            let entitlement = self.entitlement(&asked, &wallet).await?;
            if self.self_paid {
                return self.pay_itself(&wallet, distributor, &entitlement).await;
            }
            let id = self.id.unwrap_or_else(new_demand);
            let mut told = match self.before(&api).await? {
                Some(told) => told,
                None => {
                    let claim = self.signed(&wallet, distributor, &entitlement)?;
                    let told = api.claim(self.campaign, id, &claim).await;
                    told.with_context(|| format!("claim {id} (repeat it with --id {id})"))?
                }
            };
            self.keep(&api, &told).await?;
            if self.wait {
                told = self.until_final(&api, id).await?;
            }
            self.tell(&told)?;
            Ok(ExitCode::SUCCESS)
        })
    }

    /// The wallet's entitlement, as the node lists it.
    async fn entitlement(&self, api: &ApiClient, wallet: &Account) -> anyhow::Result<EntitlementInfo> {
        let listed = match self.index {
            Some(index) => api.entitlement(self.campaign, self.round, index).await?,
            None => api.entitlements(self.campaign, self.round, wallet.address()).await?,
        };
        let indexes: Vec<u64> = listed.entitlements.iter().map(|e| e.index).collect();
        ensure!(
            indexes.len() == 1,
            "the list names this address {} times; give --index, one of {indexes:?}",
            indexes.len()
        );
        let found = listed.entitlements.into_iter().next().context("the node's answer lists nothing")?;
        ensure!(
            found.recipient == wallet.address(),
            "entitlement {} is {}'s, --key is {}",
            found.index,
            found.recipient,
            wallet.address()
        );
        Ok(found)
    }

    fn signed(
        &self,
        wallet: &Account,
        distributor: ContractRef,
        entitlement: &EntitlementInfo,
    ) -> anyhow::Result<ClaimDemand> {
        let amount = Amount::parse_base(&entitlement.amount.base)
            .map_err(|error| anyhow::anyhow!("the node's amount {:?} {error}", entitlement.amount.base))?;
        let mut claim = ClaimDemand {
            round: self.round,
            index: entitlement.index,
            recipient: wallet.address(),
            to: self.to.unwrap_or(wallet.address()),
            amount,
            deadline: self.deadline.unwrap_or_else(|| client_now() + GOOD_FOR),
            signature: Bytes::new(),
        };
        claim.signature = wallet.sign_digest(claim_digest(&claim, distributor))?;
        Ok(claim)
    }

    /// The wallet's own transaction; the contract checks the proof.
    async fn pay_itself(
        &self,
        wallet: &Account,
        distributor: ContractRef,
        entitlement: &EntitlementInfo,
    ) -> anyhow::Result<ExitCode> {
        let rpc = self.rpc.clone().context("--self-paid needs --rpc")?;
        let chain = ChainArgs { rpc }.connect(distributor.chain_id).await?;
        let id = EntitlementId { round: self.round, index: entitlement.index };
        let proof = &entitlement.proof;
        let data = calls::claim(Proven { entitlement: id, bucket: proof.bucket, proof: &proof.path });
        let itself = Operator::new(chain, wallet.clone());
        let receipt = itself.send("claim", Some(distributor.address), data, U256::ZERO).await?;
        let transaction = receipt.tx_hash.to_string();
        let value = serde_json::json!({ "transaction": transaction, "gas": receipt.gas_used });
        answer(self.json, &value, &[("transaction", transaction), ("gas", receipt.gas_used.to_string())])?;
        Ok(ExitCode::SUCCESS)
    }

    /// What became of the claim with `--id`, if the node has it: signed again it would have another deadline and be another
    /// demand.
    async fn before(&self, api: &ApiClient) -> anyhow::Result<Option<ClaimInfo>> {
        let Some(id) = self.id else { return Ok(None) };
        match api.claim_status(self.campaign, id).await {
            Ok(told) => Ok(Some(told)),
            Err(error) if error.code() == Some("unknown_id") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn keep(&self, api: &ApiClient, told: &ClaimInfo) -> anyhow::Result<()> {
        let Some(path) = &self.out else { return Ok(()) };
        let again = match (&told.receipt, &told.ticket, told.seq) {
            (None, None, Some(_)) => Some(api.claim_receipt(self.campaign, told.id).await?),
            _ => None,
        };
        let Some(proof) = told.receipt.as_ref().or(again.as_ref()).or(told.ticket.as_ref()) else {
            return Ok(());
        };
        std::fs::write(path, serde_json::to_vec_pretty(proof)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    async fn until_final(&self, api: &ApiClient, id: DemandId) -> anyhow::Result<ClaimInfo> {
        let waiting = async {
            loop {
                let told = api.claim_status(self.campaign, id).await?;
                match told.state.as_str() {
                    "final" => return Ok(told),
                    "refused" | "voided" => bail!("{}: {}", told.state, told.sentence),
                    _ => tokio::time::sleep(LOOK_EVERY).await,
                }
            }
        };
        let waited = tokio::time::timeout(FINAL_WITHIN, waiting).await;
        waited.with_context(|| {
            format!("the payment was not final within {FINAL_WITHIN:?}; ask later for claim {id}")
        })?
    }

    fn tell(&self, told: &ClaimInfo) -> anyhow::Result<()> {
        let mut facts =
            vec![("claim", told.id.to_string()), ("state", format!("{}: {}", told.state, told.sentence))];
        facts.extend(told.seq.map(|seq| ("position", seq.to_string())));
        facts.extend(told.transaction.map(|hash| ("transaction", hash.to_string())));
        answer(self.json, told, &facts)
    }
}
