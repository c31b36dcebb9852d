//! An anvil with a token, a Charter of three institutions and a registered Distributor.

use std::num::NonZeroU32;

use alloy::rpc::client::RpcClient;
use alloy_primitives::{Address, B256, Bytes};
use serde_json::{Value, json};
use sluice_chain::actions::ChainAction;
use sluice_chain::calls::Approvals;
use sluice_chain::deploy::{Done, Founding, NewDistributor, Operator};
use sluice_chain::events::Watched;
use sluice_chain::reads::Timers;
use sluice_chain::signer::Account;
use sluice_chain::{Chain, ChainConfig};
use sluice_core::amount::Total;
use sluice_core::command::{RoundMode, RoundTerms};
use sluice_core::ids::{CampaignId, ContractRef, RoundNo};
use sluice_embedded::{Anvil, AnvilOptions};

use crate::tree::Tree;

pub(crate) const CHAIN_ID: u64 = 31_337;

pub(crate) struct World {
    pub(crate) anvil: Anvil,
    pub(crate) raw: RpcClient,
    pub(crate) chain: Chain,
    pub(crate) operator: Operator,
    pub(crate) control: Account,
    pub(crate) lane: Account,
    /// Two keys of the registry, one of the treasury, one of the auditor.
    pub(crate) authorities: Vec<Account>,
    pub(crate) charter: ContractRef,
    pub(crate) token: Address,
    pub(crate) distributor: Address,
}

pub(crate) fn config(url: impl Into<String>) -> ChainConfig {
    ChainConfig { requests_per_second: NonZeroU32::new(10_000).unwrap(), ..ChainConfig::new(CHAIN_ID, url) }
}

pub(crate) fn raw_client(anvil: &Anvil) -> RpcClient {
    RpcClient::new_http(anvil.url().parse().unwrap())
}

pub(crate) async fn ask(client: &RpcClient, method: &'static str, params: Value) -> Value {
    client.request(method, params).await.unwrap()
}

pub(crate) fn recipients(count: u64) -> Vec<(Address, u128)> {
    (1..=count).map(|n| (Address::with_last_byte(u8::try_from(n).unwrap()), u128::from(n) * 1_000)).collect()
}

pub(crate) fn timers() -> Timers {
    Timers { w1: 3_600, w2: 7_200, finality: 60, beat_every: 0, take_epoch_every: 0 }
}

impl World {
    /// Everything up to the registration.
    pub(crate) async fn new() -> Self {
        Self::with(&AnvilOptions::default()).await
    }

    pub(crate) async fn with(options: &AnvilOptions) -> Self {
        let anvil = Anvil::start(options).await.unwrap();
        let chain = Chain::connect(config(anvil.url())).await.unwrap();
        let key = |at: usize| Account::from_private_key(&anvil.private_keys()[at]).unwrap();
        let (control, lane) = (key(1), key(2));
        let operator = Operator::new(chain.clone(), key(0));
        let authorities: Vec<_> = (0..4).map(|_| Account::random()).collect();
        let signers: Vec<Bytes> = authorities.iter().map(Account::signer_bytes).collect();
        let founding = Founding {
            institutions: vec![
                ("Registry".into(), signers[..2].to_vec()),
                ("Treasury".into(), signers[2..3].to_vec()),
                ("Auditor".into(), signers[3..].to_vec()),
            ],
            publish_threshold: 2,
            sequencers: vec![(control.address(), vec![lane.address()])],
            log_keys: vec![(B256::repeat_byte(7), "sluice.example/log".into())],
            timers: timers(),
        };
        let charter = operator.deploy_charter(&founding).await.unwrap().address;
        let token = operator.deploy_test_token("Relief", "RLF", 6).await.unwrap().address;
        let mut world = Self {
            raw: raw_client(&anvil),
            anvil,
            chain,
            operator,
            control,
            lane,
            authorities,
            charter: ContractRef { chain_id: CHAIN_ID, address: charter },
            token,
            distributor: Address::ZERO,
        };
        world.distributor = world.new_distributor(token).await;
        world.register(world.distributor).await;
        world
    }

    pub(crate) async fn new_distributor(&self, token: Address) -> Address {
        let terms = NewDistributor {
            token,
            charter: self.charter.address,
            refund: self.operator.account.address(),
            exit_only: false,
            grace: 11_000,
            opening_delay: 1,
            transfer_gas: 100_000,
        };
        self.operator.deploy_distributor(&terms).await.unwrap().address
    }

    pub(crate) async fn register(&self, distributor: Address) {
        let approvals = self.approve(&ChainAction::RegisterDistributor { distributor }).await;
        let done = self.operator.register_distributor(self.charter.address, distributor, &approvals).await;
        assert!(matches!(done.unwrap(), Done::Now(receipt) if receipt.succeeded));
    }

    /// Signatures of the treasury and the auditor.
    pub(crate) async fn approve(&self, action: &ChainAction) -> Approvals {
        let deadline = self.chain.timestamp().await.unwrap() + 3_600;
        action.approve(self.charter, 1, deadline, &self.authorities[2..]).unwrap()
    }

    pub(crate) fn watched(&self) -> Watched {
        Watched { campaign: CampaignId::default(), distributor: self.distributor, token: self.token }
    }

    pub(crate) async fn terms(&self, round: RoundNo, tree: &Tree, mode: RoundMode) -> RoundTerms {
        let now = self.chain.timestamp().await.unwrap();
        RoundTerms {
            campaign: CampaignId::default(),
            round,
            root: tree.root(),
            depth: tree.depth,
            count: tree.count,
            total: tree.total(),
            rules_hash: B256::repeat_byte(3),
            opens_at: now,
            closes_at: now + 30 * 86_400,
            mode,
            gate: 0,
            supersedes: 0,
            list_uri: "https://lists.example/november".into(),
            list_hash: B256::repeat_byte(9),
        }
    }

    pub(crate) async fn publish(&self, terms: &RoundTerms) {
        let action = ChainAction::Publish { distributor: self.distributor, terms: Box::new(terms.clone()) };
        let approvals = self.approve(&action).await;
        let done = self.operator.publish(self.distributor, terms, &approvals).await.unwrap();
        assert!(matches!(done, Done::Now(_)));
    }

    /// Publishes, funds and opens round 1.
    pub(crate) async fn open_round(&self, tree: &Tree, mode: RoundMode) -> RoundTerms {
        let terms = self.terms(1, tree, mode).await;
        self.publish(&terms).await;
        self.operator.mint(self.token, self.distributor, tree.total()).await.unwrap();
        self.pass(2).await;
        self.operator.open(self.distributor, 1).await.unwrap();
        terms
    }

    pub(crate) async fn balance(&self, owner: Address) -> Total {
        self.chain.token_balance(self.token, owner, sluice_chain::At::Latest).await.unwrap()
    }

    /// Lets time pass on the chain.
    pub(crate) async fn pass(&self, seconds: u64) {
        ask(&self.raw, "evm_increaseTime", json!([seconds])).await;
        self.mine(1).await;
    }

    pub(crate) async fn mine(&self, blocks: u64) {
        ask(&self.raw, "anvil_mine", json!([format!("{blocks:#x}")])).await;
    }

    pub(crate) async fn set_code(&self, at: Address, code: &[u8]) {
        ask(&self.raw, "anvil_setCode", json!([at, Bytes::copy_from_slice(code)])).await;
    }
}
