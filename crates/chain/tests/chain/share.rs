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

/// Of the look-ups, those that anybody causes at the door have a part, and those about orders a smaller one: the rest is
/// left to what was accepted.
#[tokio::test(flavor = "multi_thread")]
async fn look_ups_at_the_door_have_a_part_of_all_look_ups() {
    let anvil = Anvil::start(&AnvilOptions::default()).await.unwrap();
    let all = flood(&anvil, Chain::for_look_ups).await;
    let door = flood(&anvil, Chain::at_door).await;
    let orders = flood(&anvil, Chain::for_orders).await;
    // A half and a quarter, with their bursts.
    assert!(orders > 0 && orders * 3 < door * 2 && door * 3 < all * 2, "{all}, {door}, {orders}");
}

/// How much a flood of such look-ups asks while settlement asks as much as it may.
async fn flood(anvil: &Anvil, of: fn(&Chain) -> Chain) -> u32 {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let proxy = Proxy::start(anvil.url(), move |request, answer| {
        if request["method"] != "eth_getTransactionCount" {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        Reply::Answer(answer)
    })
    .await;
    let requests_per_second = NonZeroU32::new(160).unwrap();
    let chain =
        Chain::connect(ChainConfig { requests_per_second, ..config(proxy.url.clone()) }).await.unwrap();
    let mut flood = tokio::task::JoinSet::new();
    for i in 0..32 {
        let chain = of(&chain);
        flood.spawn(async move {
            loop {
                let _ = chain.is_valid_signature(Address::repeat_byte(i), B256::repeat_byte(i), b"bad").await;
            }
        });
    }
    for _ in 0..400 {
        chain.nonce(Address::ZERO, At::Latest).await.unwrap();
    }
    calls.load(Ordering::SeqCst)
}
