//! Whoever signs badly makes a node look up whether a contract signed: at the door. What was accepted does not wait for
//! that, orders do not, and other networks find room.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use serde_json::Value;
use sluice_core::command::{Action, Approval, ClaimDemand, Command, Demand, HoldTarget};
use sluice_core::ids::DemandId;
use sluice_core::limits::{DOOR_LOOKUPS_MAX, ORDER_LOOKUPS_MAX, VAIN_LOOKUPS_AT_ONCE};
use sluice_core::log::entry::{Body, SignedBy};
use sluice_core::refusal::Code;
use sluice_engine::intake::{SubmitError, Submitted};
use sluice_engine::node::{Node, NodeConfig};
use sluice_engine::standby::ChainSettings;
use sluice_engine::verify::door::Crowd;
use sluice_snapshot::Snapshot;
use support::institutions::{SAFE, VAULT};
use support::proxy::{Hold, Proxy};
use support::{FAR, World, decided, eventually, tokens, wallet};
use tokio::task::JoinSet;
use uuid::Uuid;

const HERE: Crowd = Crowd(1);
const THERE: Crowd = Crowd(2);
/// The wallet in whose name garbage is handed in.
const VICTIM: u32 = 0;

type Answers = JoinSet<Result<Submitted, SubmitError>>;

/// An open round, and a leading node that sees its chain through a proxy which answers no look-up about some accounts.
struct Ground {
    world: World,
    node: Node,
    snapshot: Snapshot,
    hold: Arc<Hold>,
    _proxy: Proxy,
}

impl Ground {
    async fn prepare() -> Self {
        let world = World::new().await;
        let silent = [wallet(VICTIM).address(), world.institutions[2].address()];
        let hold = Hold::new(true, move |request: &Value| {
            let to = request["params"][0]["to"].as_str().and_then(|to| to.parse::<Address>().ok());
            request["method"] == "eth_call" && to.is_some_and(|to| silent.contains(&to))
        });
        let proxy = Proxy::holding(world.anvil.url().to_owned(), Arc::clone(&hold), |_| None).await;
        let config = world.config(0);
        let settings = ChainSettings { chain: world.through(&proxy).await, ..config.chains[&31_337].clone() };
        let node = Node::start(NodeConfig { chains: BTreeMap::from([(31_337, settings)]), ..config });
        let node = node.await.expect("a node");
        let listed = [SAFE, VAULT].into_iter().chain((0..4).map(|n| wallet(n).address()));
        let list = listed.fold("address,amount\n".to_owned(), |list, account| format!("{list}{account},5\n"));
        let (terms, snapshot) = world.snapshot_of(&list);
        world.open_round(&node, &terms).await;
        for contract in [SAFE, VAULT] {
            world.consent_to_all(contract).await;
        }
        Self { world, node, snapshot, hold, _proxy: proxy }
    }

    /// A listed account's claim, with this for a signature.
    fn claim(&self, account: Address, signature: &'static [u8]) -> ClaimDemand {
        let index = self.snapshot.find(account).start;
        ClaimDemand {
            round: 1,
            index,
            recipient: account,
            to: account,
            amount: tokens(5),
            deadline: FAR,
            signature: Bytes::from_static(signature),
        }
    }

    async fn submit(&self, by: Option<Crowd>, claim: ClaimDemand) -> Result<Submitted, SubmitError> {
        let (id, campaign) = (DemandId(Uuid::now_v7()), self.world.campaign);
        match by {
            Some(by) => self.node.submit_claim_from(by, campaign, id, claim).await,
            None => self.node.submit_claim(campaign, id, claim).await,
        }
    }

    fn garbage(&self) -> ClaimDemand {
        self.claim(wallet(VICTIM).address(), b"garbage")
    }

    /// Hands in garbage, so often, and does not wait for the answers.
    fn flood(&self, by: Option<Crowd>, often: usize) -> Answers {
        let mut answers = JoinSet::new();
        for _ in 0..often {
            let (node, campaign, claim) = (self.node.clone(), self.world.campaign, self.garbage());
            answers.spawn(async move {
                let id = DemandId(Uuid::now_v7());
                match by {
                    Some(by) => node.submit_claim_from(by, campaign, id, claim).await,
                    None => node.submit_claim(campaign, id, claim).await,
                }
            });
        }
        answers
    }

    async fn stand_still(&self, look_ups: usize) {
        eventually("so many look-ups stand still", || async {
            (self.hold.waiting() == look_ups).then_some(())
        })
        .await;
    }

    /// A wallet's claim, signed by its key, is decided.
    async fn is_decided(&self, by: Option<Crowd>, number: u32) {
        let key = wallet(number);
        let claim = self.world.claim(&self.snapshot, 1, &key, key.address());
        let accepted = self.submit(by, claim).await.expect("accepted");
        let body = decided(&self.node, accepted).await.entry.body;
        assert!(matches!(body, Body::ClaimDecided(_)), "{body:?}");
    }

    /// An order in the name of an institution that did not sign it.
    fn forged_order(&self) -> Demand {
        let signer = self.world.institutions[2].signer_bytes();
        let charter = self.node.home_charter().expect("read");
        let authority = charter.view.institution_of(&signer).expect("an institution");
        Demand::Command(Command {
            action: Action::Hold { target: HoldTarget::Campaign { campaign: self.world.campaign } },
            subject_version: self.node.follower().seq(),
            reason: "garbage".into(),
            valid_at: 0,
            deadline: FAR * 1_000,
            mandate: B256::ZERO,
            delegation: B256::ZERO,
            listed_at: None,
            approvals: vec![Approval { authority, signer, signature: Bytes::from_static(b"garbage") }],
        })
    }
}

fn is_busy(answer: &Result<Submitted, SubmitError>) -> bool {
    matches!(answer, Err(SubmitError::Busy { .. }))
}

fn is_refused(answer: &Result<Submitted, SubmitError>) -> bool {
    matches!(answer, Err(SubmitError::Refused(Code::BadSignature)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_contract_wallets_claim_is_verified_while_every_look_up_at_the_door_stands_still() {
    let ground = Ground::prepare().await;
    let other = ground.world.node(1).await;
    let mut answers = ground.flood(None, DOOR_LOOKUPS_MAX);
    ground.stand_still(DOOR_LOOKUPS_MAX).await;
    // Taken in elsewhere; the node whose door is full decides it.
    let claim = ground.claim(SAFE, b"whatever this wallet understands");
    let id = DemandId(Uuid::now_v7());
    let accepted = other.submit_claim(ground.world.campaign, id, claim).await.expect("accepted");
    let entry = decided(&other, accepted).await.entry;
    let Body::ClaimDecided(claim) = entry.body else { panic!("{:?}", entry.body) };
    assert_eq!(claim.signed_by, SignedBy::Contract);
    // Whom a key signed for needs no look-up.
    ground.is_decided(None, 1).await;
    let more = ground.submit(None, ground.garbage()).await;
    assert!(is_busy(&more), "nobody waits for a look-up: {more:?}");
    assert_eq!(ground.hold.waiting(), DOOR_LOOKUPS_MAX, "and they still stand");
    ground.hold.close(false);
    while let Some(answer) = answers.join_next().await {
        let answer = answer.expect("no panic");
        assert!(is_refused(&answer), "{answer:?}");
    }
    other.stop().await;
    ground.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_network_leaves_look_ups_to_others_and_pays_for_those_in_vain() {
    let ground = Ground::prepare().await;
    let half = DOOR_LOOKUPS_MAX / 2;
    let mut answers = ground.flood(Some(HERE), half + 10);
    ground.stand_still(half).await;
    for _ in 0..10 {
        let answer = answers.join_next().await.expect("an answer").expect("no panic");
        assert!(is_busy(&answer), "{answer:?}");
    }
    // Another network's contract wallet is asked, and this one's keys are.
    let claim = ground.claim(VAULT, b"whatever this wallet understands");
    let accepted = ground.submit(Some(THERE), claim).await.expect("accepted");
    let body = decided(&ground.node, accepted).await.entry.body;
    assert!(matches!(body, Body::ClaimDecided(_)), "{body:?}");
    ground.is_decided(Some(HERE), 1).await;
    assert_eq!(ground.hold.waiting(), half, "and they still stand");
    ground.hold.close(false);
    while let Some(answer) = answers.join_next().await {
        let answer = answer.expect("no panic");
        assert!(is_refused(&answer), "{answer:?}");
    }
    // It may cause some more in vain, and then none for a while.
    let mut in_vain = half;
    loop {
        let answer = ground.submit(Some(HERE), ground.garbage()).await;
        if is_busy(&answer) {
            break;
        }
        assert!(is_refused(&answer), "{answer:?}");
        in_vain += 1;
        assert!(in_vain < 1_000, "nothing limits look-ups in vain");
    }
    assert!(in_vain >= VAIN_LOOKUPS_AT_ONCE as usize, "{in_vain}");
    let elsewhere = ground.submit(Some(THERE), ground.garbage()).await;
    assert!(is_refused(&elsewhere), "{elsewhere:?}");
    ground.is_decided(Some(HERE), 2).await;
    ground.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_orders_keep_neither_orders_nor_claims_waiting() {
    let ground = Ground::prepare().await;
    let mut answers = Answers::new();
    for _ in 0..ORDER_LOOKUPS_MAX {
        let (node, order) = (ground.node.clone(), ground.forged_order());
        answers.spawn(async move { node.submit(DemandId(Uuid::now_v7()), order).await });
    }
    ground.stand_still(ORDER_LOOKUPS_MAX).await;
    let claim = ground.claim(SAFE, b"whatever this wallet understands");
    let accepted = ground.submit(Some(HERE), claim).await.expect("accepted");
    let body = decided(&ground.node, accepted).await.entry.body;
    assert!(matches!(body, Body::ClaimDecided(_)), "{body:?}");
    let more = ground.node.submit_from(HERE, DemandId(Uuid::now_v7()), ground.forged_order()).await;
    assert!(is_busy(&more), "{more:?}");
    let target = HoldTarget::Campaign { campaign: ground.world.campaign };
    let held = ground.world.command(&ground.node, Action::Hold { target }, 2).await.entry.body;
    assert!(matches!(held, Body::Ordered(_)), "{held:?}");
    assert_eq!(ground.hold.waiting(), ORDER_LOOKUPS_MAX, "and they still stand");
    ground.hold.close(false);
    while let Some(answer) = answers.join_next().await {
        let answer = answer.expect("no panic");
        assert!(is_refused(&answer), "{answer:?}");
    }
    ground.node.stop().await;
}
