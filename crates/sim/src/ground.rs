//! What stands before the first fault: servers, contracts, two campaigns with their lists, open rounds.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, Bytes, U256, keccak256};
use alloy_sol_types::SolValue;
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use sluice_chain::calls::{self, Proven};
use sluice_chain::deploy::{NewDistributor, Operator};
use sluice_chain::signer::Account;
use sluice_core::command::{ClaimDemand, RoundMode};
use sluice_core::ids::{CampaignId, ContractRef, EntitlementId, RoundNo};
use sluice_core::sample::wallet_key;
use sluice_core::signing::claim_digest;
use sluice_embedded::{Anvil, AnvilOptions, Mining};
use sluice_server::api_client::ApiClient;
use sluice_server::cli::campaign::{create, create2, fund, publish};
use sluice_server::cli::reach::project_id;
use sluice_server::cli::sign::papers::Papers;
use sluice_server::cli::sign::signed_by;
use sluice_server::dev::wallets::make_contract_wallet;
use sluice_server::dev::{self, Prepared};
use sluice_snapshot::list::Input;
use sluice_snapshot::{BuildOptions, Snapshot, build};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::clock;

/// Compiled from contracts/src/tokens, whose tests compare this file with the source.
const TOKEN: &str = include_str!("../../../contracts/abi/BarringToken.json");
/// Every so many-th recipient is a contract.
const CONTRACT_EVERY: u32 = 9;
/// The only round of each campaign.
pub(crate) const ROUND: RoundNo = 1;
/// Time between blocks.
pub(crate) const BLOCK_EVERY: Duration = Duration::from_millis(250);
/// The `finalized` tag stays two epochs behind: eight blocks, which a reorganisation never reaches.
const SLOTS_IN_AN_EPOCH: u64 = 4;
/// Settlement accounts of each sequencer.
pub(crate) const LANES: u32 = 2;
/// How long rounds stay open, seconds.
const OPEN_FOR: u64 = 30 * 86_400;
/// Until when signed claims are good, Unix seconds: far.
const DEADLINE: u64 = 40_000_000_000;
/// Sample wallets of campaign n start at n times this.
const WALLETS_APART: u32 = 100_000;

/// The running servers.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) prepared: Prepared,
    /// A token that bars whom it is told to.
    pub(crate) token: Address,
    anvil: Anvil,
    rpc: Rpc,
    blocks: Blocks,
}

/// Asks the chain directly, past every proxy.
#[derive(Clone, Debug)]
struct Rpc {
    http: reqwest::Client,
    url: String,
}

impl Rpc {
    async fn ask(&self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let answer: Value = self.http.post(&self.url).json(&body).send().await?.json().await?;
        ensure!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
        Ok(answer["result"].clone())
    }
}

/// Makes a block every [`BLOCK_EVERY`]. anvil's own timer may strike in the middle of a reorganisation, which leaves
/// heights without a block; ours waits for its turn.
#[derive(Debug)]
struct Blocks {
    turn: Arc<Mutex<()>>,
    miner: JoinHandle<()>,
}

impl Blocks {
    fn start(rpc: Rpc) -> Self {
        let turn = Arc::new(Mutex::new(()));
        let mine = Arc::clone(&turn);
        let miner = tokio::spawn(async move {
            let mut clock = tokio::time::interval(BLOCK_EVERY);
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                clock.tick().await;
                let _turn = mine.lock().await;
                if let Err(error) = rpc.ask("evm_mine", json!([])).await {
                    tracing::warn!(error = format!("{error:#}"), "no block");
                }
            }
        });
        Self { turn, miner }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.miner.abort();
    }
}

/// A campaign to be paid.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) campaign: CampaignId,
    pub(crate) distributor: ContractRef,
    pub(crate) deployed_at: u64,
    pub(crate) snapshot: Arc<Snapshot>,
    /// By index.
    holders: Arc<Vec<Holder>>,
}

/// A recipient of a list: a sample wallet, or a contract that such a wallet owns.
#[derive(Clone, Debug)]
struct Holder {
    key: Account,
    address: Address,
}

impl Holder {
    fn new(number: u32, i: u32) -> anyhow::Result<Self> {
        let key = Account::from_bytes(&wallet_key(number * WALLETS_APART + i))?;
        let own = key.address();
        let contract =
            || Address::from_word(keccak256([b"chaos wallet".as_slice(), own.as_slice()].concat()));
        let address = if i.is_multiple_of(CONTRACT_EVERY) { contract() } else { own };
        Ok(Self { key, address })
    }

    fn is_contract(&self) -> bool {
        self.address != self.key.address()
    }
}

impl Servers {
    pub(crate) async fn start(dir: &Path) -> anyhow::Result<Self> {
        let options = AnvilOptions {
            chain_id: dev::CHAIN_ID,
            mining: Mining::OnDemand,
            slots_in_an_epoch: SLOTS_IN_AN_EPOCH,
            balance_ether: 10_000_000,
            arguments: ["--gas-limit", "60000000"].map(str::to_owned).to_vec(),
            ..AnvilOptions::default()
        };
        let anvil = Anvil::start(&options).await?;
        let rpc = Rpc { http: reqwest::Client::new(), url: anvil.url() };
        let blocks = Blocks::start(rpc.clone());
        let options = dev::Options {
            rpc: Some(anvil.url()),
            keep_chain: false,
            lanes: LANES,
            ..dev::Options::new(dir)
        };
        let prepared = dev::prepare(&options).await?;
        clock::install(&prepared.database_url).await?;
        let token = barring_token(&prepared.operator).await?;
        Ok(Self { prepared, token, anvil, rpc, blocks })
    }

    /// Asks the chain directly, past every proxy.
    pub(crate) async fn anvil(&self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        self.rpc.ask(method, parameters).await
    }

    /// Lets the last blocks vanish with all that was in them; as many empty ones stand in their place.
    pub(crate) async fn reorganise(&self, depth: u64) -> anyhow::Result<()> {
        let _turn = self.blocks.turn.lock().await;
        self.anvil("anvil_reorg", json!([depth, []])).await.map(|_| ())
    }

    /// From here on there are no more blocks.
    pub(crate) async fn end_blocks(&self) {
        let _turn = self.blocks.turn.lock().await;
        self.blocks.miner.abort();
    }

    /// Publishes, funds and opens a round of `count` wallets in a new campaign.
    pub(crate) async fn campaign(&self, api: &ApiClient, number: u32, count: u32) -> anyhow::Result<Field> {
        let (prepared, operator) = (&self.prepared, &self.prepared.operator);
        let (project, name) = (project_id("chaos"), format!("Chaos {number}"));
        let terms = NewDistributor {
            token: self.token,
            charter: prepared.charter,
            refund: operator.account.address(),
            exit_only: false,
            grace: dev::GRACE,
            opening_delay: dev::OPENING_DELAY,
            transfer_gas: 200_000,
        };
        let (distributor, deployed_at) =
            create2::deploy(operator, &terms, create::salt(project, &name)).await?;
        let new = create::NewCampaign {
            project,
            name,
            distributor,
            deployed_at,
            visibility: Default::default(),
            jurisdiction: String::new(),
        };
        let papers = create::papers(api, operator, &api.charter().await?, &new).await?;
        let campaign = create::create(api, operator, &self.signed(papers)?, &new).await?;
        let holders = (0..count).map(|i| Holder::new(number, i)).collect::<anyhow::Result<Vec<_>>>()?;
        for holder in holders.iter().filter(|holder| holder.is_contract()) {
            make_contract_wallet(&self.rpc.url, holder.address, holder.key.address()).await?;
        }
        let file = list(&prepared.dir, number, &holders)?;
        let (snapshot, hash) = publish::store(&file, &prepared.snapshots()).await?;
        let now = operator.chain.timestamp().await?;
        let wanted = publish::NewRound {
            campaign,
            mode: RoundMode::Push,
            opens_at: now,
            closes_at: now + OPEN_FOR,
            supersedes: 0,
            list_uri: String::new(),
            again: false,
        };
        let info = api.campaign(campaign).await?;
        let terms = publish::terms(api, &info, &wanted, &snapshot, hash).await?;
        let papers = publish::papers(api, operator, &api.charter().await?, &info, &terms).await?;
        publish::publish(api, operator, &info, &self.signed(papers)?).await?;
        let amount = fund::lacking(&operator.chain, distributor, self.token).await?;
        operator.mint(self.token, distributor, amount).await?;
        fund::open(operator, distributor, ROUND).await?;
        fund::wait_open(api, campaign, ROUND).await?;
        let holders = Arc::new(by_index(&snapshot, holders)?);
        let distributor = ContractRef { chain_id: dev::CHAIN_ID, address: distributor };
        Ok(Field { campaign, distributor, deployed_at, snapshot, holders })
    }

    /// Papers signed by as many institutions as it takes.
    pub(crate) fn signed(&self, papers: Papers) -> anyhow::Result<Papers> {
        let needed = usize::from(papers.needed);
        signed_by(papers, &self.prepared.authorities[..needed])
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let Self { prepared, anvil, .. } = self;
        prepared.stop().await;
        anvil.stop().await;
        Ok(())
    }

    /// Drops the database: of a run without findings nothing stays.
    pub(crate) async fn drop_database(&self) -> anyhow::Result<()> {
        self.prepared.drop_database().await
    }
}

impl Field {
    pub(crate) fn count(&self) -> u64 {
        self.snapshot.count()
    }

    fn holder(&self, index: u64) -> &Holder {
        &self.holders[usize::try_from(index).expect("a list of this size")]
    }

    /// The key that signs for the recipient, itself or as the owner of its contract.
    pub(crate) fn key(&self, index: u64) -> &Account {
        &self.holder(index).key
    }

    /// Whether the recipient is a contract, which cannot send a transaction of its own.
    pub(crate) fn is_contract(&self, index: u64) -> bool {
        self.holder(index).is_contract()
    }

    pub(crate) fn recipient(&self, index: u64) -> anyhow::Result<Address> {
        Ok(self.snapshot.entitlement(index).context("an index of the list")?.recipient)
    }

    /// A claim by the listed wallet, to itself or elsewhere.
    pub(crate) fn claim(&self, index: u64, to: Option<Address>) -> anyhow::Result<ClaimDemand> {
        let listed = self.snapshot.entitlement(index).context("an index of the list")?;
        let mut claim = ClaimDemand {
            round: ROUND,
            index,
            recipient: listed.recipient,
            to: to.unwrap_or(listed.recipient),
            amount: listed.amount,
            deadline: DEADLINE,
            signature: Default::default(),
        };
        claim.signature = self.key(index).sign_digest(claim_digest(&claim, self.distributor))?;
        Ok(claim)
    }

    /// The call by which a wallet claims on chain itself.
    pub(crate) fn own_claim(&self, index: u64) -> anyhow::Result<(Address, Bytes)> {
        let proof = self.snapshot.proof(index)?;
        let entitlement = EntitlementId { round: ROUND, index };
        let data = calls::claim(Proven { entitlement, bucket: proof.bucket, proof: &proof.path });
        Ok((self.distributor.address, data))
    }
}

/// Deploys the token. Its constructor takes a name, a symbol and the decimals.
async fn barring_token(operator: &Operator) -> anyhow::Result<Address> {
    let arguments = ("Chaos Token".to_owned(), "CHS".to_owned(), U256::from(dev::DECIMALS));
    let data = [token_code()?.as_ref(), &arguments.abi_encode_params()].concat();
    let deployed = operator.send("BarringToken", None, data.into(), U256::ZERO).await?;
    deployed.deployed.context("the deployment names no contract")
}

fn token_code() -> anyhow::Result<Bytes> {
    let artifact: Value = serde_json::from_str(TOKEN)?;
    Ok(artifact["bytecode"]["object"].as_str().context("the token's code")?.parse()?)
}

/// A list of holders, and its snapshot's file. Every amount is different, so that none is mistaken for another.
fn list(dir: &Path, number: u32, holders: &[Holder]) -> anyhow::Result<PathBuf> {
    let mut text = String::from("address,amount\n");
    for (i, holder) in holders.iter().enumerate() {
        writeln!(text, "{},{}.{i:04}", holder.address, 1 + number)?;
    }
    let (csv, out) = (dir.join(format!("list-{number}.csv")), dir.join(format!("list-{number}.snapshot")));
    std::fs::write(&csv, text)?;
    build(&BuildOptions::default(), &Input::File(csv), &out, &|_| {})?;
    Ok(out)
}

/// The holders in the list's order.
fn by_index(snapshot: &Snapshot, holders: Vec<Holder>) -> anyhow::Result<Vec<Holder>> {
    let mut placed = vec![None; usize::try_from(snapshot.count())?];
    for holder in holders {
        let index = usize::try_from(snapshot.find(holder.address).start)?;
        placed[index] = Some(holder);
    }
    placed.into_iter().map(|holder| holder.context("a listed address without a sample wallet")).collect()
}
