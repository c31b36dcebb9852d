use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use alloy_primitives::{Address, B256};
use sluice_chain::{At, Chain, ChainConfig};
use sluice_embedded::{Anvil, AnvilOptions};

use crate::proxy::{Proxy, Reply};
use crate::world::config;

/// A flood of bad signatures, each of which makes a node ask a contract, leaves settlement its part of the limit.
#[tokio::test(flavor = "multi_thread")]
async fn look_ups_cannot_starve_settlement_of_requests() {
    let anvil = Anvil::start(&AnvilOptions::default()).await.unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let proxy = Proxy::start(anvil.url(), move |request, answer| {
        // Only look-ups ask for the latest block or call a contract here.
        if request["method"] != "eth_getTransactionCount" {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Reply::Answer(answer)
    })
    .await;
    let requests_per_second = NonZeroU32::new(40).unwrap();
    let chain =
        Chain::connect(ChainConfig { requests_per_second, ..config(proxy.url.clone()) }).await.unwrap();

    let mut flood = tokio::task::JoinSet::new();
    for i in 0..64 {
        let look_ups = chain.for_look_ups();
        flood.spawn(async move {
            loop {
                // Refused for want of room is asked again, as the engine does.
                let _ =
                    look_ups.is_valid_signature(Address::repeat_byte(i), B256::repeat_byte(i), b"bad").await;
            }
        });
    }
    // The flood is there before settlement asks.
    while calls.load(Ordering::SeqCst) < 10 {
        tokio::task::yield_now().await;
    }
    let before = calls.load(Ordering::SeqCst);
    let settlement = 120;
    for _ in 0..settlement {
        chain.nonce(Address::ZERO, At::Latest).await.unwrap();
    }
    let look_ups = calls.load(Ordering::SeqCst) - before;
    assert!(look_ups > 0, "look-ups have their share");
    // A quarter of the limit, so a third of what settlement gets, and some slack for the bursts of both.
    assert!(look_ups <= settlement * 2 / 3, "{look_ups} look-ups for {settlement} requests of settlement");
}

/// A flood at the door, of claims and of orders, leaves what was accepted its part of the look-ups.
#[tokio::test(flavor = "multi_thread")]
async fn look_ups_at_the_door_cannot_starve_those_of_accepted_claims() {
    let anvil = Anvil::start(&AnvilOptions::default()).await.unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let accepted = Address::repeat_byte(0xac);
    let proxy = Proxy::start(anvil.url(), move |request, answer| {
        let to = request["params"][0]["to"].as_str().and_then(|to| to.parse::<Address>().ok());
        if to.is_some_and(|to| to != accepted) {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Reply::Answer(answer)
    })
    .await;
    let requests_per_second = NonZeroU32::new(160).unwrap();
    let chain =
        Chain::connect(ChainConfig { requests_per_second, ..config(proxy.url.clone()) }).await.unwrap();
    let mut flood = tokio::task::JoinSet::new();
    for i in 0..64 {
        let door = if i % 2 == 0 { chain.at_door() } else { chain.for_orders() };
        flood.spawn(async move {
            loop {
                let _ = door.is_valid_signature(Address::repeat_byte(i), B256::repeat_byte(i), b"bad").await;
            }
        });
    }
    while calls.load(Ordering::SeqCst) < 10 {
        tokio::task::yield_now().await;
    }
    let before = calls.load(Ordering::SeqCst);
    let look_ups = chain.for_look_ups();
    let asked = 30;
    for _ in 0..asked {
        look_ups.is_valid_signature(accepted, B256::ZERO, b"good").await.unwrap();
    }
    let at_door = calls.load(Ordering::SeqCst) - before;
    assert!(at_door > 0, "the door has its share");
    // Three quarters of the look-ups at most, so three for one of what was accepted; without a share of their own 64 stand
    // before each of them.
    assert!(at_door <= asked * 6, "{at_door} look-ups at the door for {asked} of accepted claims");
}
