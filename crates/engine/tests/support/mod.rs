//! A whole small world for the engine's tests: a database of its own, a chain of its own, a Charter with three
//! institutions of which two suffice, a Distributor, a list whose keys are known, and nodes.

#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "each test file uses what it needs"
)]

mod chain;
pub mod institutions;
pub mod proxy;
pub mod term;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use sluice_chain::actions::ChainAction;
use sluice_chain::calls::{self, Approvals, Proven};
use sluice_chain::deploy::{Founding, NewDistributor, Operator};
use sluice_chain::reads::Timers;
use sluice_chain::signer::Account;
use sluice_chain::{At, Chain, ChainConfig};
use sluice_core::amount::Amount;
use sluice_core::command::{
    Action, Approval, CampaignTerms, ClaimDemand, Command, Demand, RoundMode, RoundTerms,
};
use sluice_core::ids::{CampaignId, ContractRef, DemandId, EntitlementId, ProjectId, RoundNo, StreamId};
use sluice_core::log::entry::{Body, Entry};
use sluice_core::log::note::{LogKey, Origin};
use sluice_core::refusal::Code;
use sluice_core::sample::wallet_key;
use sluice_core::signing::{claim_digest, command_digest};
use sluice_core::state::State;
use sluice_core::state::funds::Account as Ledger;
use sluice_core::state::status::ClaimState;
use sluice_embedded::testing::TestDatabase;
use sluice_embedded::{Anvil, AnvilOptions, Mining};
use sluice_engine::follower::Outcome;
use sluice_engine::intake::Submitted;
use sluice_engine::node::{Node, NodeConfig};
use sluice_engine::snapshots::{Snapshots, file_hash};
use sluice_engine::standby::ChainSettings;
use sluice_snapshot::list::Input;
use sluice_snapshot::{BuildOptions, Snapshot};
use tempfile::TempDir;
use uuid::Uuid;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const STREAM: StreamId = StreamId(1);
pub const FAR: u64 = 40_000_000_000;

pub struct World {
    pub database: TestDatabase,
    pub anvil: Anvil,
    pub folder: TempDir,
    pub chain: Chain,
    pub operator: Operator,
    pub charter: Address,
    pub token: Address,
    pub distributor: Address,
    pub institutions: Vec<Account>,
    pub sequencers: Vec<(Account, Vec<Account>)>,
    pub campaign: CampaignId,
    pub deployed_at: u64,
}

/// An account whose key is derived from its name.
pub fn account(name: &str) -> Account {
    Account::from_bytes(&keccak256(name)).expect("a hash is a key")
}

pub fn wallet(i: u32) -> Account {
    Account::from_bytes(&wallet_key(i)).expect("a hash is a key")
}

/// What a test may want otherwise.
pub struct Setup {
    pub mining: Mining,
    /// The `finalized` tag stays two epochs behind.
    pub slots_in_an_epoch: u64,
    /// Whether settlement accounts have coin from the start.
    pub funded_lanes: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { mining: Mining::Mixed(Duration::from_millis(100)), slots_in_an_epoch: 1, funded_lanes: true }
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let database = TestDatabase::new(&root.join("migrations")).await.expect("a database");
        let options = AnvilOptions {
            mining: setup.mining,
            slots_in_an_epoch: setup.slots_in_an_epoch,
            ..AnvilOptions::default()
        };
        let anvil = Anvil::start(&options).await.expect("anvil");
        let config = ChainConfig {
            requests_per_second: NonZeroU32::new(100_000).expect("not zero"),
            ..ChainConfig::new(31_337, anvil.url())
        };
        let chain = Chain::connect(config).await.expect("the chain");
        let deployer = Account::from_private_key(&anvil.private_keys()[0]).expect("a key");
        let operator = Operator::new(chain.clone(), deployer);
        let institutions: Vec<_> = (0..3).map(|i| account(&format!("institution {i}"))).collect();
        let sequencers: Vec<_> =
            (0..2).map(|s| (account(&format!("control {s}")), vec![account(&format!("lane {s}"))])).collect();
        for (control, lanes) in &sequencers {
            for account in std::iter::once(control).chain(lanes.iter().filter(|_| setup.funded_lanes)) {
                operator
                    .send_coin(account.address(), U256::from(10).pow(U256::from(20)))
                    .await
                    .expect("coin");
            }
        }
        let founding = Founding {
            institutions: institutions
                .iter()
                .enumerate()
                .map(|(i, a)| (format!("institution {i}"), vec![a.signer_bytes()]))
                .collect(),
            publish_threshold: 2,
            sequencers: sequencers
                .iter()
                .map(|(control, lanes)| (control.address(), lanes.iter().map(Account::address).collect()))
                .collect(),
            log_keys: (0..2)
                .map(|s| (log_key(Address::ZERO, s).public().into(), format!("node {s}")))
                .collect(),
            timers: Timers { w1: 3_600, w2: 3_600, finality: 60, beat_every: 0, take_epoch_every: 0 },
        };
        let charter = operator.deploy_charter(&founding).await.expect("the Charter").address;
        let token = operator.deploy_test_token("Test", "TST", 18).await.expect("the token").address;
        let terms = NewDistributor {
            token,
            charter,
            refund: operator_address(&anvil),
            exit_only: false,
            grace: 100_000,
            opening_delay: 1,
            transfer_gas: 100_000,
        };
        let deployed = operator.deploy_distributor(&terms).await.expect("the Distributor");
        let world = Self {
            database,
            anvil,
            folder: TempDir::new().expect("a folder"),
            chain,
            operator,
            charter,
            token,
            distributor: deployed.address,
            institutions,
            sequencers,
            campaign: CampaignId(Uuid::now_v7()),
            deployed_at: deployed.receipt.block.number,
        };
        let register = ChainAction::RegisterDistributor { distributor: world.distributor };
        let approvals = world.approve(&register);
        world
            .operator
            .register_distributor(charter, world.distributor, &approvals)
            .await
            .expect("registered");
        world
    }

    /// A wallet's own claim on chain, waited for until it is mined.
    pub async fn pay_itself(&self, snapshot: &Snapshot, key: &Account) {
        self.fund(key.address()).await;
        let index = snapshot.find(key.address()).start;
        let proof = snapshot.proof(index).expect("a proof");
        let entitlement = EntitlementId { round: 1, index };
        let data = calls::claim(Proven { entitlement, bucket: proof.bucket, proof: &proof.path });
        let itself = Operator { account: key.clone(), ..self.operator.clone() };
        itself.send("claim", Some(self.distributor), data, U256::ZERO).await.expect("a self-paid claim");
    }

    /// Every entry of the log so far.
    pub async fn log(&self, node: &Node) -> Vec<Entry> {
        let rows = node.store().read_log(STREAM, 0, 10_000).await.expect("the log");
        rows.iter().map(|row| row.decode().expect("an entry")).collect()
    }

    pub fn status(&self, node: &Node, index: u64) -> Option<ClaimState> {
        let id = EntitlementId { round: 1, index };
        node.follower().read(|s| s.campaign(self.campaign).and_then(|c| c.status(id)))
    }

    /// Waits until an entitlement's state is as wanted, and returns it.
    pub async fn until(
        &self,
        node: &Node,
        index: u64,
        what: &str,
        wanted: impl Fn(&ClaimState) -> bool,
    ) -> ClaimState {
        eventually(what, || async { self.status(node, index).filter(|state| wanted(state)) }).await
    }

    /// As [`Self::until`], asking for a block each time.
    pub async fn mining_until(
        &self,
        node: &Node,
        index: u64,
        what: &str,
        wanted: impl Fn(&ClaimState) -> bool,
    ) -> ClaimState {
        eventually(what, || async {
            self.mine(1).await;
            self.status(node, index).filter(|state| wanted(state))
        })
        .await
    }

    pub fn funds(&self, node: &Node, account: Ledger) -> i128 {
        node.follower().read(|s| s.campaigns[&self.campaign].funds.balance(account))
    }

    pub fn charter_ref(&self) -> ContractRef {
        ContractRef { chain_id: 31_337, address: self.charter }
    }

    pub fn distributor_ref(&self) -> ContractRef {
        ContractRef { chain_id: 31_337, address: self.distributor }
    }

    /// Two of three institutions sign an action on chain.
    pub fn approve(&self, action: &ChainAction) -> Approvals {
        action.approve(self.charter_ref(), 1, FAR, &self.institutions[..2]).expect("signatures")
    }

    pub fn config(&self, sequencer: usize) -> NodeConfig {
        let (control, lanes) = self.sequencers[sequencer].clone();
        let settings = ChainSettings {
            chain: self.chain.clone(),
            charter: self.charter,
            control,
            lanes,
            policy: sluice_core::fees::FeePolicy::default(),
            terms: sluice_core::fees::SettlementPolicy::default(),
            every: Duration::from_millis(50),
        };
        NodeConfig {
            stream: STREAM,
            database_url: self.database.url().to_owned(),
            holder: format!("test {sequencer} {}", Uuid::now_v7()),
            snapshots: self.folder.path().to_owned(),
            chains: BTreeMap::from([(31_337, settings)]),
            home: 31_337,
            log_secret: log_secret(sequencer),
            seal_secret: SEAL_SECRET,
            sequencer: sequencer as u64 + 1,
            decisions_per_second: None,
            weights: Default::default(),
        }
    }

    pub async fn node(&self, sequencer: usize) -> Node {
        Node::start(self.config(sequencer)).await.expect("a node")
    }

    /// A snapshot of the sample wallets 0 to `count`, wallet i listed with i + 1 tokens; stored where nodes look.
    pub fn snapshot(&self, wallets: std::ops::Range<u32>) -> (RoundTerms, Snapshot) {
        let mut list = String::from("address,amount\n");
        for i in wallets {
            list.push_str(&format!("{},{}\n", wallet(i).address(), i + 1));
        }
        self.snapshot_of(&list)
    }

    pub fn snapshot_of(&self, list: &str) -> (RoundTerms, Snapshot) {
        let csv = self.folder.path().join("list.csv");
        std::fs::write(&csv, list).expect("a list");
        let out = self.folder.path().join("new.snapshot");
        let options = BuildOptions::default();
        sluice_snapshot::build(&options, &Input::File(csv), &out, &|_| ()).expect("a snapshot");
        let list_hash = file_hash(&out).expect("a hash");
        let stored = Snapshots::new(self.folder.path()).path(list_hash);
        std::fs::rename(&out, &stored).expect("stored");
        let snapshot = Snapshot::open(&stored).expect("opens");
        let terms = RoundTerms {
            campaign: self.campaign,
            round: 1,
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
            list_uri: "file:test".into(),
            list_hash,
        };
        (terms, snapshot)
    }

    /// A command signed by the first `signers` institutions; signed again when its subject changed meanwhile, as it does
    /// when the watcher comes to know a new campaign.
    pub async fn command(&self, node: &Node, action: Action, signers: usize) -> Outcome {
        eventually("a command that is not overtaken", || async {
            let outcome = self.command_once(node, action.clone(), signers).await;
            match &outcome.entry.body {
                Body::CommandRefused(refused) if refused.code == Code::Stale => None,
                _ => Some(outcome),
            }
        })
        .await
    }

    async fn command_once(&self, node: &Node, action: Action, signers: usize) -> Outcome {
        let charter = eventually("the Charter is read", || async { node.home_charter() }).await;
        let id = DemandId(Uuid::now_v7());
        let mut command = Command {
            action,
            subject_version: node.follower().seq(),
            reason: "a test".into(),
            valid_at: 0,
            deadline: FAR * 1_000,
            mandate: B256::ZERO,
            delegation: B256::ZERO,
            listed_at: None,
            approvals: Vec::new(),
        };
        command.approvals = self.institutions[..signers]
            .iter()
            .map(|key| {
                let signer = key.signer_bytes();
                let authority = charter.view.institution_of(&signer).expect("an institution");
                let digest = command_digest(&command, id, authority, charter.charter).expect("signed alone");
                Approval { authority, signer, signature: key.sign_digest(digest).expect("signs") }
            })
            .collect();
        let submitted = node.submit(id, Demand::Command(command)).await.expect("accepted");
        decided(node, submitted).await
    }

    /// Creates the campaign, publishes the round, funds and opens it, in the log and on chain.
    pub async fn open_round(&self, node: &Node, terms: &RoundTerms) {
        let created = self.command(node, Action::CreateCampaign(self.campaign_terms()), 1).await;
        assert!(matches!(created.entry.body, Body::CampaignCreated(_)), "{:?}", created.entry.body);
        self.publish_round(node, terms).await;
    }

    pub fn campaign_terms(&self) -> CampaignTerms {
        CampaignTerms {
            campaign: self.campaign,
            project: ProjectId(Uuid::now_v7()),
            name: "a campaign".into(),
            distributor: self.distributor_ref(),
            token: self.token,
            decimals: 18,
            deployed_at: self.deployed_at,
            visibility: Default::default(),
            jurisdiction: String::new(),
        }
    }

    pub async fn publish_round(&self, node: &Node, terms: &RoundTerms) {
        let published = self.command(node, Action::Publish(terms.clone()), 2).await;
        assert!(matches!(published.entry.body, Body::RoundPublished(_)), "{:?}", published.entry.body);
        let action = ChainAction::Publish { distributor: self.distributor, terms: Box::new(terms.clone()) };
        self.operator.publish(self.distributor, terms, &self.approve(&action)).await.expect("published");
        self.operator.mint(self.token, self.distributor, terms.total).await.expect("funded");
        let mut opened = self.operator.open(self.distributor, terms.round).await;
        let start = tokio::time::Instant::now();
        while opened.is_err() && start.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(100)).await;
            opened = self.operator.open(self.distributor, terms.round).await;
        }
        opened.expect("opened");
        let (campaign, round) = (self.campaign, terms.round);
        eventually("the round is open", || async {
            node.follower().read(|s| s.campaign(campaign)?.round(round)?.was_opened().then_some(()))
        })
        .await;
    }

    /// A claim signed by the listed wallet.
    pub fn claim(&self, snapshot: &Snapshot, round: RoundNo, key: &Account, to: Address) -> ClaimDemand {
        let index = snapshot.find(key.address()).start;
        let entitlement = snapshot.entitlement(index).expect("listed");
        let mut claim = ClaimDemand {
            round,
            index,
            recipient: key.address(),
            to,
            amount: entitlement.amount,
            deadline: FAR,
            signature: Bytes::new(),
        };
        claim.signature = key.sign_digest(claim_digest(&claim, self.distributor_ref())).expect("signs");
        claim
    }

    pub async fn balance(&self, owner: Address) -> u128 {
        self.chain.token_balance(self.token, owner, At::Latest).await.expect("a balance").get()
    }

    /// Waits until an entitlement is final.
    pub async fn final_at(&self, node: &Node, id: EntitlementId) {
        let campaign = self.campaign;
        eventually("the entitlement is final", || async {
            node.follower().read(|s| is_final(s, campaign, id).then_some(()))
        })
        .await;
    }
}

pub fn is_final(state: &State, campaign: CampaignId, id: EntitlementId) -> bool {
    state.campaign(campaign).and_then(|c| c.status(id)) == Some(ClaimState::Final)
}

pub fn tokens(n: u128) -> Amount {
    Amount::new(n * 10u128.pow(18)).expect("fits")
}

/// Opens what the nodes of a test seal.
pub const SEAL_SECRET: [u8; 32] = [0x5e; 32];

pub fn log_secret(sequencer: usize) -> [u8; 32] {
    keccak256(format!("log key {sequencer}")).0
}

pub fn log_key(charter: Address, sequencer: usize) -> LogKey {
    LogKey::new(
        &Origin::new(ContractRef { chain_id: 31_337, address: charter }, STREAM),
        &log_secret(sequencer),
    )
}

fn operator_address(anvil: &Anvil) -> Address {
    Account::from_private_key(&anvil.private_keys()[0]).expect("a key").address()
}

/// The outcome of a submission, waited for.
pub async fn decided(node: &Node, submitted: Submitted) -> Outcome {
    match submitted {
        Submitted::Decided(outcome) => *outcome,
        Submitted::Before(row) => outcome_of(node, row.key).await,
        Submitted::Waiting(ticket) => outcome_of(node, ticket.promise.intake).await,
    }
}

async fn outcome_of(node: &Node, key: sluice_core::ids::IntakeKey) -> Outcome {
    eventually("the demand is decided", || async {
        let (_, stored) = node.store().entry_of_intake(key).await.ok()??;
        let entry = stored.decode().ok()?;
        let receipt = node.receipt(entry.seq).await.ok()?;
        Some(Outcome { entry, receipt })
    })
    .await
}

/// Asks until there is an answer; fails with what was waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let start = tokio::time::Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
