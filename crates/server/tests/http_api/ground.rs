//! What the tests stand on: a private chain, a database of their own, two nodes, a funded and open round.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, Bytes};
use sluice_chain::deploy::NewDistributor;
use sluice_chain::signer::Account;
use sluice_core::command::{Action, ClaimDemand, RoundMode, Visibility};
use sluice_core::ids::{CampaignId, ContractRef, ProjectId, RoundNo};
use sluice_core::log::note::LogVerifier;
use sluice_core::sample::wallet_key;
use sluice_core::signing::claim_digest;
use sluice_embedded::Mining;
use sluice_embedded::testing::TestDatabase;
use sluice_engine::node::Node;
use sluice_server::api_client::ApiClient;
use sluice_server::cli::campaign::{create, fund, publish};
use sluice_server::cli::reach::{campaign_id, project_id};
use sluice_server::cli::sign::papers::Papers;
use sluice_server::cli::sign::signed_by;
use sluice_server::dev::{self, Prepared};
use sluice_server::keys::bearer::{self, Purpose};
use sluice_server::{http, telemetry};
use sluice_snapshot::build::Duplicates;
use sluice_snapshot::list::Input;
use sluice_snapshot::{BuildOptions, Snapshot, build};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::ask::Client;

/// Wallets that are listed once. The next one is listed twice, for two persons.
pub(crate) const WALLETS: u32 = 12;
/// How long a signed claim stays good, seconds.
const GOOD_FOR: u64 = 7 * 86_400;

pub(crate) struct Ground {
    pub(crate) leader: Serving,
    pub(crate) follower: Serving,
    pub(crate) campaign: CampaignId,
    pub(crate) project: ProjectId,
    pub(crate) round: RoundNo,
    pub(crate) distributor: ContractRef,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) operator_key: String,
    pub(crate) prepared: Prepared,
    _folder: tempfile::TempDir,
    database: TestDatabase,
}

/// A campaign with private lists.
pub(crate) struct Private {
    pub(crate) campaign: CampaignId,
    pub(crate) distributor: ContractRef,
    pub(crate) round: RoundNo,
    pub(crate) snapshot: Arc<Snapshot>,
}

/// A node with its API.
pub(crate) struct Serving {
    pub(crate) client: Client,
    pub(crate) node: Node,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) server: JoinHandle<()>,
}

impl Serving {
    async fn start(prepared: &Prepared, sequencer: u32, options: http::Options) -> Self {
        let holder = format!("http-test-{}", uuid::Uuid::now_v7());
        let node = Node::start(prepared.node(sequencer, &holder).unwrap()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(format!("http://{}", listener.local_addr().unwrap()));
        let app = http::app(node.clone(), options, telemetry::figures().unwrap());
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(http::serve(listener, app, async {
            let _ = stopped.await;
        }));
        Self { client, node, stop, server }
    }

    async fn until_ready(&self) {
        let ready = async {
            while self.client.get("/readyz").await.status != 200 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ready).await.expect("the node becomes ready");
    }
}

impl Ground {
    pub(crate) async fn prepare() -> Self {
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
        let database = TestDatabase::new(&migrations).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = dev::Options {
            mining: Mining::Mixed(Duration::from_millis(100)),
            keep_chain: false,
            database_url: Some(database.url().to_owned()),
            ..dev::Options::new(folder.path())
        };
        let prepared = dev::prepare(&options).await.unwrap();
        let (operator_key, hash) = bearer::new(Purpose::Operator).unwrap();
        let options = http::Options { operator_key: Some(hash), ..http::Options::default() };
        let leader = Serving::start(&prepared, 1, options.clone()).await;
        leader.until_ready().await;
        let follower = Serving::start(&prepared, 2, options).await;
        follower.until_ready().await;
        let api = ApiClient::new(&leader.client.base, None).unwrap();
        let project = project_id("http tests");
        let (campaign, distributor) = take_in(&prepared, &api, project, Visibility::Public).await;
        let list = listed(folder.path(), true);
        let (round, snapshot) = open_round(&prepared, &api, campaign, distributor.address, &list).await;
        Self {
            leader,
            follower,
            campaign,
            project,
            round,
            distributor,
            snapshot,
            operator_key,
            prepared,
            _folder: folder,
            database,
        }
    }

    /// Another campaign of the project, whose lists are private, with an open round of the same list without persons: its
    /// claims say nothing about anybody but who is listed.
    pub(crate) async fn private(&self) -> Private {
        let api = ApiClient::new(&self.leader.client.base, None).unwrap();
        let (campaign, distributor) = take_in(&self.prepared, &api, self.project, Visibility::Private).await;
        let folder = tempfile::tempdir().unwrap();
        let list = listed(folder.path(), false);
        let (round, snapshot) = open_round(&self.prepared, &api, campaign, distributor.address, &list).await;
        Private { campaign, distributor, round, snapshot }
    }

    /// The account of a sample wallet.
    pub(crate) fn wallet(number: u32) -> Account {
        Account::from_bytes(&wallet_key(number)).unwrap()
    }

    /// A wallet's claim to itself, signed.
    pub(crate) async fn claim(&self, number: u32) -> ClaimDemand {
        let recipient = Self::wallet(number).address();
        let index = self.snapshot.find(recipient).start;
        let amount = self.snapshot.entitlement(index).unwrap().amount;
        let deadline = self.prepared.chain.timestamp().await.unwrap() + GOOD_FOR;
        let claim = ClaimDemand {
            round: self.round,
            index,
            recipient,
            to: recipient,
            amount,
            deadline,
            signature: Bytes::new(),
        };
        self.signed(number, claim)
    }

    /// The same claim with this wallet's signature.
    pub(crate) fn signed(&self, number: u32, mut claim: ClaimDemand) -> ClaimDemand {
        claim.signature = Self::wallet(number).sign_digest(claim_digest(&claim, self.distributor)).unwrap();
        claim
    }

    /// Where the nodes' database is.
    pub(crate) fn database_url(&self) -> &str {
        self.database.url()
    }

    /// A path under the campaign.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/campaigns/{}{rest}", self.campaign)
    }

    /// What receipts and tickets verify with.
    pub(crate) async fn log_key(&self) -> LogVerifier {
        let status = self.leader.client.get("/v1/status").await.is(200);
        status["log_key"].as_str().unwrap().parse().unwrap()
    }

    /// A command that pushes this range, signed by one institution.
    pub(crate) async fn push(&self, from: u64, to: u64, seen: u64) -> Papers {
        let api = ApiClient::new(&self.leader.client.base, None).unwrap();
        let action = Action::Push { campaign: self.campaign, round: self.round, from, to };
        let now = self.prepared.chain.timestamp().await.unwrap();
        let command = Some((action, seen, "a test".to_owned()));
        let papers = Papers::new("push", &api.charter().await.unwrap(), 1, now, command, vec![]);
        signed_by(papers, &self.prepared.authorities[..1]).unwrap()
    }
}

async fn take_in(
    prepared: &Prepared,
    api: &ApiClient,
    project: ProjectId,
    visibility: Visibility,
) -> (CampaignId, ContractRef) {
    let operator = &prepared.operator;
    let terms = NewDistributor {
        token: prepared.token,
        charter: prepared.charter,
        refund: operator.account.address(),
        exit_only: false,
        grace: dev::GRACE,
        opening_delay: dev::OPENING_DELAY,
        transfer_gas: 200_000,
    };
    let deployed = operator.deploy_distributor(&terms).await.unwrap();
    let new = create::NewCampaign {
        project,
        name: "HTTP tests".to_owned(),
        distributor: deployed.address,
        deployed_at: deployed.receipt.block.number,
        visibility,
        jurisdiction: String::new(),
    };
    let charter = api.charter().await.unwrap();
    let papers = create::papers(api, operator, &charter, &new).await.unwrap();
    let papers = signed_by(papers, &prepared.authorities[..2]).unwrap();
    let campaign = create::create(api, operator, &papers, &new).await.unwrap();
    assert_eq!(campaign, campaign_id(prepared.chain.id(), deployed.address));
    (campaign, ContractRef { chain_id: prepared.chain.id(), address: deployed.address })
}

async fn open_round(
    prepared: &Prepared,
    api: &ApiClient,
    campaign: CampaignId,
    distributor: Address,
    list: &Path,
) -> (RoundNo, Arc<Snapshot>) {
    let operator = &prepared.operator;
    let (snapshot, hash) = publish::store(list, &prepared.snapshots()).await.unwrap();
    let now = prepared.chain.timestamp().await.unwrap();
    let wanted = publish::NewRound {
        campaign,
        mode: RoundMode::Push,
        opens_at: now,
        closes_at: now + 30 * 86_400,
        supersedes: 0,
        list_uri: String::new(),
        again: false,
    };
    let info = api.campaign(campaign).await.unwrap();
    let terms = publish::terms(api, &info, &wanted, &snapshot, hash).await.unwrap();
    let charter = api.charter().await.unwrap();
    let papers = publish::papers(api, operator, &charter, &info, &terms).await.unwrap();
    let papers = signed_by(papers, &prepared.authorities[..2]).unwrap();
    publish::publish(api, operator, &info, &papers).await.unwrap();
    let amount = fund::lacking(&prepared.chain, distributor, prepared.token).await.unwrap();
    operator.mint(prepared.token, distributor, amount).await.unwrap();
    fund::open(operator, distributor, terms.round).await.unwrap();
    fund::wait_open(api, campaign, terms.round).await.unwrap();
    (terms.round, snapshot)
}

/// The snapshot file of a list, with or without persons: with them, an agent's address receives for two.
fn listed(folder: &Path, persons: bool) -> std::path::PathBuf {
    let mut text = if persons { "person,address,amount\n" } else { "address,amount\n" }.to_owned();
    for number in 0..WALLETS {
        let (person, wallet) = (sluice_core::sample::person(number), Ground::wallet(number).address());
        let person = if persons { format!("{person},") } else { String::new() };
        text += &format!("{person}{wallet},{}.5\n", number + 1);
    }
    let agent = Ground::wallet(WALLETS).address();
    for number in (WALLETS..WALLETS + 2).filter(|_| persons) {
        text += &format!("{},{agent},40\n", sluice_core::sample::person(number));
    }
    let (list, out) = (folder.join("list.csv"), folder.join("list.snapshot"));
    std::fs::write(&list, text).unwrap();
    let options = BuildOptions {
        decimals: dev::DECIMALS,
        duplicates: if persons { Duplicates::Keep } else { Duplicates::Refuse },
        ..BuildOptions::default()
    };
    build(&options, &Input::File(list), &out, &|_| {}).unwrap();
    out
}
