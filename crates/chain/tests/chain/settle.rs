use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::json;
use sluice_chain::calls::{self, BatchHead, Range, RedirectItem};
use sluice_chain::deploy::Operator;
use sluice_chain::events::{CampaignEvent, Event};
use sluice_chain::signer::Account;
use sluice_chain::simulate::{SimCall, Simulated};
use sluice_chain::{At, Chain, ChainError, RevertKind};
use sluice_core::amount::{Amount, Total};
use sluice_core::command::{ClaimDemand, RoundMode};
use sluice_core::ids::{CampaignId, ContractRef, EntitlementId};
use sluice_core::log::entry::Skipped;
use sluice_core::signing::claim_digest;

use crate::proxy::{Proxy, Reply};
use crate::tree::Tree;
use crate::world::{CHAIN_ID, World, config, recipients};

const ROOT: B256 = B256::repeat_byte(0xaa);

fn head(batch: u64) -> BatchHead {
    BatchHead { epoch: 1, batch, log_root: ROOT }
}

async fn lane(world: &World) -> Operator {
    let control = Operator::new(world.chain.clone(), world.control.clone());
    control.take_epoch(world.charter.address, 1).await.unwrap();
    Operator::new(world.chain.clone(), world.lane.clone())
}

fn events_of(read: &sluice_chain::events::EventsRead) -> Vec<CampaignEvent> {
    let all = read.blocks.iter().flat_map(|b| &b.events);
    all.filter_map(|e| match &e.event {
        Event::Campaign { event, .. } => Some(event.clone()),
        Event::Charter(_) => None,
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dense_and_sparse_calls_pay_exactly_what_they_name() {
    let world = World::new().await;
    let tree = Tree::new(&recipients(23));
    world.open_round(&tree, RoundMode::Push).await;
    let lane = lane(&world).await;
    let from = world.chain.latest().await.unwrap().number + 1;

    let words = &tree.words()[8..16];
    let path = &tree.path(8)[1..];
    let range = Range { round: 1, start: 8, levels: 1, words, path };
    lane.send("settle", Some(world.distributor), calls::settle(head(1), range), U256::ZERO).await.unwrap();
    let chunk = tree.chunk(1, &[0, 9, 17, 22]);
    let data = calls::settle_sparse(head(2), std::slice::from_ref(&chunk));
    lane.send("settleSparse", Some(world.distributor), data, U256::ZERO).await.unwrap();

    let paid = world.chain.paid_words(world.distributor, 1, [0], At::Latest).await.unwrap();
    assert_eq!(paid, [[0xff00 | 1 | 1 << 17 | 1 << 22, 0, 0, 0]]);
    for (index, (to, amount)) in recipients(23).into_iter().enumerate() {
        let expected = if paid[0][0] >> index & 1 == 1 { amount } else { 0 };
        assert_eq!(world.balance(to).await, Total(expected), "entitlement {index}");
    }
    let to = world.chain.latest().await.unwrap().number;
    let events = events_of(&world.chain.events(from, to, &[world.watched()], None).await.unwrap());
    let batch = |batch| CampaignEvent::BatchSettled { batch, epoch: 1, log_root: ROOT };
    let settled =
        |mask| CampaignEvent::Settled(sluice_core::log::entry::WordMask { round: 1, word: 0, mask });
    // 9 was paid by the first batch.
    let second = [1 | 1 << 17 | 1 << 22, 0, 0, 0];
    assert_eq!(events, [batch(1), settled([0xff00, 0, 0, 0]), batch(2), settled(second)]);
    assert_eq!(world.chain.next_batch(world.distributor, At::Latest).await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_wallet_signed_pays_where_it_says() {
    let world = World::new().await;
    let (alice, bob) = (Account::random(), Account::random());
    let (elsewhere, other) = (Address::repeat_byte(0x61), Address::repeat_byte(0x62));
    let mut list = vec![(alice.address(), 500), (bob.address(), 700)];
    list.sort_unstable();
    let tree = Tree::new(&list);
    world.open_round(&tree, RoundMode::Pull).await;
    let lane = lane(&world).await;
    let deadline = world.chain.timestamp().await.unwrap() + 1_000;
    let distributor = ContractRef { chain_id: CHAIN_ID, address: world.distributor };
    let signed = |account: &Account, to| {
        let index = list.iter().position(|(a, _)| *a == account.address()).unwrap();
        let demand = ClaimDemand {
            round: 1,
            index: index as u64,
            recipient: account.address(),
            to,
            amount: Amount::new(list[index].1).unwrap(),
            deadline,
            signature: Bytes::new(),
        };
        (index as u64, account.sign_digest(claim_digest(&demand, distributor)).unwrap())
    };

    let (index, signature) = signed(&alice, elsewhere);
    let path = tree.path(index);
    let proven = tree.proven(1, index, &path);
    let carried = |to| calls::claim_to(proven, to, deadline, signature.clone());
    let stolen = lane.send("claimTo", Some(world.distributor), carried(other), U256::ZERO).await.unwrap_err();
    assert!(
        matches!(&stolen, ChainError::Reverted { revert, .. } if revert.text.starts_with("BadClaimSignature"))
    );
    lane.send("claimTo", Some(world.distributor), carried(elsewhere), U256::ZERO).await.unwrap();
    assert_eq!(world.balance(elsewhere).await, Total(500));

    let (index, signature) = signed(&bob, other);
    let item = RedirectItem {
        entitlement: EntitlementId { round: 1, index },
        to: other,
        deadline,
        signature,
        bucket: tree.words()[..4].try_into().unwrap(),
        proof: tree.path(index),
    };
    let data = calls::settle_to(head(1), &[item]);
    let receipt = lane.send("settleTo", Some(world.distributor), data, U256::ZERO).await.unwrap();
    assert_eq!(world.balance(other).await, Total(700));
    let number = receipt.block.number;
    let events = events_of(&world.chain.events(number, number, &[world.watched()], None).await.unwrap());
    let redirected = CampaignEvent::Redirected { entitlement: EntitlementId { round: 1, index }, to: other };
    assert_eq!(events[1..], [redirected]);
}

/// A token that pays everybody but one. Calls are told apart by their length: `decimals()`, `balanceOf(address)`,
/// `transfer(address,uint256)`.
fn picky_token(blocked: Address) -> Vec<u8> {
    let answer =
        |value: [u8; 2]| vec![0x5b, 0x61, value[0], value[1], 0x60, 0, 0x52, 0x60, 0x20, 0x60, 0, 0xf3];
    let head = 3 * 5 + 12 + 20 + 12;
    let mut code = Vec::new();
    let (decimals, balance, refuse) = (head, head + 12, head + 24 + 6);
    for (size, target) in [(4u8, decimals), (0x24, balance)] {
        code.extend([0x36, 0x60, size, 0x14, 0x60, u8::try_from(target).unwrap(), 0x57]);
    }
    code.extend([0x60, 0x04, 0x35, 0x73]);
    code.extend(blocked);
    code.extend([0x14, 0x60, u8::try_from(refuse).unwrap(), 0x57]);
    code.extend(&answer([0, 1])[1..]);
    code.resize(head, 0x5b);
    code.extend(answer([0, 6]));
    code.extend(answer([0xff, 0xff]));
    code.resize(refuse, 0x5b);
    code.extend([
        0x5b, 0x63, 0xde, 0xad, 0xbe, 0xef, 0x60, 0xe0, 0x1b, 0x60, 0, 0x52, 0x60, 4, 0x60, 0, 0xfd,
    ]);
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn simulation_names_who_would_be_skipped_before_anything_is_sent() {
    let mut world = World::new().await;
    let list = recipients(6);
    let poison = EntitlementId { round: 1, index: 2 };
    world.token = Address::repeat_byte(0x66);
    world.set_code(world.token, &picky_token(list[2].0)).await;
    world.distributor = world.new_distributor(world.token).await;
    world.register(world.distributor).await;
    let tree = Tree::new(&list);
    let terms = world.terms(1, &tree, RoundMode::Push).await;
    world.publish(&terms).await;
    world.pass(2).await;
    world.operator.open(world.distributor, 1).await.unwrap();
    let lane = lane(&world).await;
    let call = |batch, indexes: &[u64]| SimCall {
        from: lane.account.address(),
        to: world.distributor,
        data: calls::settle_sparse(head(batch), &[tree.chunk(1, indexes)]),
        gas_limit: 5_000_000,
    };
    let reason = Bytes::from([0xde, 0xad, 0xbe, 0xef]);
    let skipped = vec![Skipped { entitlement: poison, reason: reason.clone() }];

    let results = world.chain.simulate(&[call(1, &[0, 1]), call(2, &[2, 3])], At::Latest).await.unwrap();
    assert_eq!(results[0].skipped(world.distributor).unwrap(), Some(vec![]));
    assert_eq!(results[1].skipped(world.distributor).unwrap(), Some(skipped.clone()));
    let events = results[1].events(CampaignId::default(), world.distributor).unwrap().unwrap();
    assert!(matches!(events[0], CampaignEvent::BatchSettled { batch: 2, .. }));

    let results = world.chain.simulate(&[call(2, &[0])], At::Latest).await.unwrap();
    let Simulated::Reverts(revert) = &results[0] else { panic!("batch 2 cannot come first") };
    assert_eq!(revert.kind, RevertKind::WrongBatch { given: 2, next: 1 });
    let alone = world.chain.try_call(&call(1, &[2]), At::Latest).await.unwrap();
    assert!(matches!(alone, Simulated::Reverts(revert) if revert.kind == RevertKind::NothingPaid(reason)));

    // A node without `eth_simulateV1` still tells whether the last call reverts.
    let old =
        Proxy::start(world.anvil.url(), |request, answer| match request["method"] == "eth_simulateV1" {
            true => {
                let error = json!({ "code": -32601, "message": "the method eth_simulateV1 does not exist" });
                Reply::Answer(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }))
            }
            false => Reply::Answer(answer),
        })
        .await;
    let plain = Chain::connect(config(&old.url)).await.unwrap();
    let results = plain.simulate(&[call(1, &[2, 3])], At::Latest).await.unwrap();
    assert!(matches!(results[..], [Simulated::Succeeds { logs: None, .. }]));
    assert_eq!(results[0].skipped(world.distributor).unwrap(), None, "unknown is not nobody");
    let results = plain.simulate(&[call(1, &[2])], At::Latest).await.unwrap();
    assert!(matches!(results[..], [Simulated::Reverts(_)]));

    let items: Vec<_> = (1..4).map(|i| (EntitlementId { round: 1, index: i }, call(1, &[i]))).collect();
    assert_eq!(world.chain.poison(&items, At::Latest).await.unwrap(), skipped);
    assert_eq!(world.chain.next_batch(world.distributor, At::Latest).await.unwrap(), 1, "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn settlements_of_strangers_and_old_epochs_revert_by_name() {
    let world = World::new().await;
    let tree = Tree::new(&recipients(4));
    world.open_round(&tree, RoundMode::Push).await;
    let lane = lane(&world).await;
    let kind = async |from: &Account, head| {
        let data = calls::settle_sparse(head, &[tree.chunk(1, &[0])]);
        let call = SimCall { from: from.address(), to: world.distributor, data, gas_limit: 5_000_000 };
        match world.chain.simulate(&[call], At::Latest).await.unwrap().remove(0) {
            Simulated::Reverts(revert) => Some(revert.kind),
            Simulated::Succeeds { .. } => None,
        }
    };
    assert_eq!(kind(&lane.account, head(1)).await, None);
    assert_eq!(kind(&world.control, head(1)).await, Some(RevertKind::NotALane));
    let old = BatchHead { epoch: 0, ..head(1) };
    assert_eq!(kind(&lane.account, old).await, Some(RevertKind::StaleEpoch { given: 0, current: 1 }));
}
