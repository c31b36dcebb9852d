use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use alloy_primitives::{Address, B256};
use serde_json::{Value, json};
use sluice_chain::deploy::{Done, Operator};
use sluice_chain::events::{CampaignEvent, CharterEvent, Event, Watched};
use sluice_chain::{Chain, ChainError, Class};
use sluice_core::amount::Total;
use sluice_core::command::RoundMode;
use sluice_core::ids::CampaignId;
use uuid::Uuid;

use crate::proxy::{Proxy, Reply};
use crate::tree::Tree;
use crate::world::{World, ask, config, recipients};

#[tokio::test(flavor = "multi_thread")]
async fn events_come_block_by_block_with_their_places() {
    let world = World::new().await;
    let tree = Tree::new(&recipients(5));
    let terms = world.open_round(&tree, RoundMode::Push).await;
    let control = Operator::new(world.chain.clone(), world.control.clone());
    let Done::Now(taken) = control.take_epoch(world.charter.address, 7).await.unwrap() else { panic!() };

    let to = world.chain.latest().await.unwrap();
    let charter = Some(world.charter.address);
    let read = world.chain.events(0, to.number, &[world.watched()], charter).await.unwrap();
    assert_eq!(read.upto, to);
    for block in &read.blocks {
        assert_eq!(world.chain.block_ref(block.block.number).await.unwrap(), Some(block.block));
        assert!(block.events.is_sorted_by_key(|e| e.log_index));
    }
    assert!(read.blocks.is_sorted_by_key(|b| b.block.number));
    let all: Vec<_> = read.blocks.iter().flat_map(|b| &b.events).collect();
    let last = all.last().unwrap();
    let epoch = CharterEvent::EpochTaken { epoch: 7, sequencer: 1, control: world.control.address() };
    assert_eq!((&last.event, last.tx_hash), (&Event::Charter(epoch), taken.tx_hash));
    let named: Vec<_> = all.iter().map(|e| &e.event).collect();
    let registered = CharterEvent::DistributorRegistered { distributor: world.distributor };
    assert!(named.contains(&&Event::Charter(registered)));
    assert!(named.contains(&&Event::Charter(CharterEvent::SetChanged { set_version: 1 })));

    let campaign = CampaignId::default();
    let events: Vec<_> = named
        .into_iter()
        .filter_map(|e| match e {
            Event::Campaign { event, .. } => Some(event.clone()),
            Event::Charter(_) => None,
        })
        .collect();
    let CampaignEvent::RoundPublished { terms: published, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!(**published, terms, "every field of the terms comes back");
    assert_eq!(published.campaign, campaign);
    assert_eq!(events[1], CampaignEvent::Funded { from: Address::ZERO, amount: Total(15_000) });
    let opened = CampaignEvent::RoundOpened { round: 1, balance: Total(15_000), owed: Total(15_000) };
    assert_eq!(events[2..], [opened]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impostor_is_not_heard() {
    let world = World::new().await;
    let tree = Tree::new(&recipients(4));
    let from = world.chain.latest().await.unwrap().number + 1;

    // The same code at another address says the same things.
    let impostor = World { distributor: world.new_distributor(world.token).await, ..world };
    impostor.open_round(&tree, RoundMode::Push).await;
    let world = World { distributor: impostor.distributor, ..impostor };
    let ours = Watched {
        campaign: CampaignId(Uuid::from_u128(1)),
        distributor: world.new_distributor(world.token).await,
        token: world.token,
    };
    // Another campaign's token, and one nobody watches, are sent to our Distributor: neither funds it.
    let second = operator_token(&world.operator).await;
    let unwatched = operator_token(&world.operator).await;
    let theirs = Watched {
        campaign: CampaignId(Uuid::from_u128(2)),
        distributor: world.new_distributor(second).await,
        token: second,
    };
    for (token, amount) in [(second, 11), (unwatched, 22), (world.token, 33)] {
        world.operator.mint(token, ours.distributor, Total(amount)).await.unwrap();
    }
    let to = world.chain.latest().await.unwrap().number;
    let read = world.chain.events(from, to, &[ours, theirs], None).await.unwrap();
    let events: Vec<_> = read.blocks.iter().flat_map(|b| &b.events).map(|e| &e.event).collect();
    let funded = CampaignEvent::Funded { from: Address::ZERO, amount: Total(33) };
    assert_eq!(events, [&Event::Campaign { campaign: ours.campaign, event: funded }]);
}

async fn operator_token(operator: &Operator) -> Address {
    operator.deploy_test_token("Other", "OTH", 6).await.unwrap().address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_is_seen() {
    let world = World::new().await;
    world.operator.mint(world.token, world.distributor, Total(500)).await.unwrap();
    let before = world.chain.latest().await.unwrap();
    let read = world.chain.events(before.number, before.number, &[world.watched()], None).await.unwrap();
    assert_eq!(read.blocks[0].block, before);

    world.mine(1).await;
    ask(&world.raw, "anvil_reorg", json!([2, []])).await;
    let now = world.chain.block_ref(before.number).await.unwrap().unwrap();
    assert_ne!(now, before);
    let read = world.chain.events(before.number, before.number, &[world.watched()], None).await.unwrap();
    assert_eq!((read.upto, read.blocks), (now, vec![]));
    assert_eq!(world.balance(world.distributor).await, Total::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_a_block_that_no_longer_stands_is_refused() {
    let world = World::new().await;
    world.operator.mint(world.token, world.distributor, Total(500)).await.unwrap();
    let stale = Proxy::start(world.anvil.url(), |request, mut answer| {
        if request["method"] == "eth_getLogs" {
            for log in answer["result"].as_array_mut().unwrap() {
                log["blockHash"] = json!(B256::repeat_byte(0xee));
            }
        }
        Reply::Answer(answer)
    })
    .await;
    let chain = Chain::connect(config(&stale.url)).await.unwrap();
    let head = chain.latest().await.unwrap();
    let error = chain.events(head.number, head.number, &[world.watched()], None).await.unwrap_err();
    assert!(matches!(error, ChainError::Reorganised { seen, now, .. }
        if seen == B256::repeat_byte(0xee) && now == head.hash));
    assert_eq!(error.class(), Class::Retry);
    // Nor is a node believed about blocks that it does not have.
    let error = world.chain.events(head.number, head.number + 1, &[world.watched()], None).await.unwrap_err();
    assert!(matches!(error, ChainError::NoBlock(number) if number == head.number + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_halved_until_the_provider_takes_it() {
    let world = World::new().await;
    let from = world.chain.latest().await.unwrap().number + 1;
    for amount in 1..=20 {
        world.operator.mint(world.token, world.distributor, Total(amount)).await.unwrap();
    }
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let narrow = Proxy::start(world.anvil.url(), move |request, answer| {
        if request["method"] != "eth_getLogs" {
            return Reply::Answer(answer);
        }
        count.fetch_add(1, Ordering::Relaxed);
        let number = |field: &str| {
            let text = request["params"][0][field].as_str().unwrap();
            u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
        };
        if number("toBlock") - number("fromBlock") < 3 {
            return Reply::Answer(answer);
        }
        let error = json!({ "code": -32005, "message": "query returned more than 10000 results" });
        Reply::Answer(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }))
    })
    .await;
    let chain = Chain::connect(config(&narrow.url)).await.unwrap();
    let read = chain.events(from, from + 19, &[world.watched()], None).await.unwrap();
    let whole = world.chain.events(from, from + 19, &[world.watched()], None).await.unwrap();
    assert_eq!(read, whole);
    let sum: u128 = read
        .blocks
        .iter()
        .flat_map(|b| &b.events)
        .map(|e| match e.event {
            Event::Campaign { event: CampaignEvent::Funded { amount, .. }, .. } => amount.get(),
            _ => 0,
        })
        .sum();
    assert_eq!((read.blocks.len(), sum), (20, 210));
    assert!(asked.load(Ordering::Relaxed) > 10, "the range was really halved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_refuses_single_blocks_is_given_up() {
    let world = World::new().await;
    let closed =
        Proxy::start(world.anvil.url(), |request: &Value, answer| match request["method"] == "eth_getLogs" {
            true => {
                let error = json!({ "code": -32602, "message": "logs are not served here" });
                Reply::Answer(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }))
            }
            false => Reply::Answer(answer),
        })
        .await;
    let chain = Chain::connect(config(&closed.url)).await.unwrap();
    let error = chain.events(0, 3, &[world.watched()], None).await.unwrap_err();
    assert!(matches!(error, ChainError::Rpc { method: "eth_getLogs", .. }));
    assert_eq!(error.class(), Class::Final);
}
