//! The watcher stepped by hand: what an idle chain costs, what a restart reads again, how a past is caught up with, and
//! what happens when blocks stop becoming final.

mod support;

use std::sync::Arc;

use alloy_primitives::Address;
use serde_json::json;
use sluice_chain::{Chain, ChainConfig};
use sluice_core::command::Action;
use sluice_core::ids::{BlockRef, ContractRef, DemandId};
use sluice_core::limits::{CATCH_UP_BLOCKS_MAX, CURSOR_BLOCKS_MAX, UNFINAL_BLOCKS_MAX};
use sluice_core::log::entry::{Body, ChainCursor};
use sluice_core::state::ChainSeen;
use sluice_engine::node::Node;
use sluice_engine::settlement::paused;
use sluice_engine::standby::ChainSettings;
use sluice_engine::watcher::Watcher;
use support::proxy::{Proxy, refusal};
use support::term::Term;
use support::{Setup, World, decided, eventually, wallet};
use uuid::Uuid;

/// A world with an open round of ten wallets whose node has stopped, and in which blocks come when asked for.
async fn opened(world: &World) -> (Term, sluice_snapshot::Snapshot) {
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    world.hold_blocks().await;
    node.stop().await;
    (world.term().await, snapshot)
}

/// Ticks until the chain is read as far as it goes and everything final is final.
async fn settle_down(world: &World, watcher: &mut Watcher) {
    world.mine(2).await;
    while watcher.tick().await.expect("a look") > 0 {}
}

fn seen(term: &Term) -> ChainSeen {
    term.follower.read(|state| state.chains[&31_337])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_chain_costs_an_entry_every_few_hundred_blocks_and_a_restart_reads_no_more_again() {
    let world = World::new().await;
    let (term, snapshot) = opened(&world).await;
    let mut watcher = term.watcher(&world);
    settle_down(&world, &mut watcher).await;
    // From a cursor just written.
    world.mine(CURSOR_BLOCKS_MAX).await;
    while watcher.tick().await.unwrap() > 0 {}
    let (quiet, before) = (term.seq(), seen(&term));
    for _ in 0..20 {
        world.mine(10).await;
        watcher.tick().await.unwrap();
    }
    assert_eq!(term.seq(), quiet, "{:?}", term.log_after(quiet).await);
    // A successor begins at the log's cursor and comes to the same.
    let mut watcher = term.watcher(&world);
    watcher.tick().await.unwrap();
    let new: Vec<_> = term.log_after(quiet).await;
    assert!(new.iter().all(|entry| !matches!(entry.body, Body::ChainCursor(_))), "{new:?}");
    world.mine(CURSOR_BLOCKS_MAX - 200).await;
    while watcher.tick().await.unwrap() > 0 {}
    assert!(seen(&term).seen.number >= before.seen.number + CURSOR_BLOCKS_MAX, "the cursor follows");
    let cursors = term.log_after(quiet).await;
    let cursors = cursors.iter().filter(|entry| matches!(entry.body, Body::ChainCursor(_))).count();
    assert_eq!(cursors, 1, "for {} blocks", CURSOR_BLOCKS_MAX);

    // Something happens in blocks that one process has read as empty so far, and another has not read.
    world.mine(20).await;
    watcher.tick().await.unwrap();
    world.anvil("evm_setAutomine", json!([true])).await;
    world.pay_itself(&snapshot, &wallet(3)).await;
    let mut successor = term.watcher(&world);
    successor.tick().await.unwrap();
    let log = term.log_after(quiet).await;
    let events = log.iter().filter(|entry| matches!(entry.body, Body::EventsMined(_))).count();
    assert_eq!(events, 1, "{log:?}");
    while watcher.tick().await.unwrap() > 0 {}
    world.mine(5).await;
    while watcher.tick().await.unwrap() > 0 {}
    let log = term.log_after(quiet).await;
    let events = log.iter().filter(|entry| matches!(entry.body, Body::EventsMined(_))).count();
    assert_eq!(events, 1, "once, whoever saw it: {log:?}");
    let finals = log.iter().filter(|entry| matches!(entry.body, Body::EventsFinal(_))).count();
    assert_eq!(finals, 1, "what waits for finality moves the cursor: {log:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reorganisation_of_empty_blocks_takes_nothing_back_and_what_comes_instead_is_seen() {
    let world = World::with(Setup { slots_in_an_epoch: 24, ..Setup::default() }).await;
    let (term, snapshot) = opened(&world).await;
    let mut watcher = term.watcher(&world);
    settle_down(&world, &mut watcher).await;
    // Everything of before is final.
    world.mine(CURSOR_BLOCKS_MAX).await;
    while watcher.tick().await.unwrap() > 0 {}
    let quiet = term.seq();
    world.mine(20).await;
    watcher.tick().await.unwrap();
    world.anvil("anvil_reorg", json!([10, []])).await;
    world.anvil("evm_setAutomine", json!([true])).await;
    world.pay_itself(&snapshot, &wallet(3)).await;
    while watcher.tick().await.unwrap() > 0 {}
    let log = term.log_after(quiet).await;
    let events = log.iter().filter(|entry| matches!(entry.body, Body::EventsMined(_))).count();
    assert_eq!(events, 1, "{log:?}");
    let back = |body: &Body| matches!(body, Body::EventsUnmined(_) | Body::BatchUnmined(_));
    assert!(!log.iter().any(|entry| back(&entry.body)), "{log:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_distributor_is_caught_up_with_in_bounded_looks() {
    let world = World::new().await;
    world.hold_blocks().await;
    world.mine(CATCH_UP_BLOCKS_MAX + 200).await;
    // A node whose provider gives it no logs: the campaign is created, and nothing of it is read.
    let deaf = Proxy::start(world.anvil.url(), |request| {
        (request["method"] == "eth_getLogs").then(|| refusal(request, "no logs today"))
    })
    .await;
    let mut config = world.config(0);
    for settings in config.chains.values_mut() {
        settings.chain = world.through(&deaf).await;
    }
    let node = Node::start(config).await.expect("a node");
    let created = world.command(&node, Action::CreateCampaign(world.campaign_terms()), 1).await;
    assert!(matches!(created.entry.body, Body::CampaignCreated(_)), "{:?}", created.entry.body);
    node.stop().await;

    let term = world.term().await;
    let is_watched = || term.follower.read(|state| state.campaigns[&world.campaign].watched);
    let mut watcher = term.watcher(&world);
    let mut looks = 1;
    while watcher.tick().await.unwrap() > 0 && !is_watched() {
        looks += 1;
    }
    assert!(is_watched());
    assert!(looks > 1, "{looks} look for more than one look may read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charter_that_the_configuration_names_wrongly_is_refused_with_its_chain_and_field() {
    let world = World::new().await;
    let node = world.node(0).await;
    eventually("the Charter is read", || async { node.home_charter() }).await;
    node.stop().await;
    // Another chain, with nothing where its Charter should be.
    let options =
        sluice_embedded::AnvilOptions { chain_id: 31_338, ..sluice_embedded::AnvilOptions::default() };
    let other = sluice_embedded::Anvil::start(&options).await.expect("a second chain");
    let chain = Chain::connect(ChainConfig::new(31_338, other.url())).await.expect("the second chain");
    let mut config = world.config(0);
    let settings =
        ChainSettings { chain, charter: Address::repeat_byte(7), ..config.chains[&31_337].clone() };
    config.chains.insert(31_338, settings);
    let refused = Node::start(config).await.expect_err("there is no Charter").to_string();
    assert!(refused.starts_with("chains.31338.charter: 0x0707"), "{refused}");

    // The log was told of another one.
    let term = world.term().await;
    let mut view = term.follower.read(|state| state.charters[&31_337].clone());
    view.charter = ContractRef { chain_id: 31_338, address: Address::repeat_byte(8) };
    term.observations.append(vec![Body::CharterRead(view)], Vec::new()).await.unwrap();
    drop(term);
    let chain = Chain::connect(ChainConfig::new(31_338, other.url())).await.expect("the second chain");
    let mut config = world.config(0);
    let settings =
        ChainSettings { chain, charter: Address::repeat_byte(7), ..config.chains[&31_337].clone() };
    config.chains.insert(31_338, settings);
    let refused = Node::start(config).await.expect_err("another Charter is known").to_string();
    assert!(refused.starts_with("chains.31338.charter: the log knows 0x0808"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settlement_pauses_while_blocks_do_not_become_final() {
    let world = World::with(Setup { funded_lanes: false, ..Setup::default() }).await;
    let node = world.node(0).await;
    let (terms, snapshot) = world.snapshot(0..10);
    world.open_round(&node, &terms).await;
    let claim = world.claim(&snapshot, 1, &wallet(1), wallet(1).address());
    let submitted = node.submit_claim(world.campaign, DemandId(Uuid::now_v7()), claim).await;
    decided(&node, submitted.expect("accepted")).await;
    // The node plans the batch and, without coin, signs nothing; from here on the test is the leader.
    eventually("the lane needs funds", || async { node.status().lanes.first()?.missing }).await;
    assert!(node.status().paused.is_empty());
    node.stop().await;
    let lane = world.sequencers[0].1[0].clone();
    world.fund(lane.address()).await;

    let term = world.term().await;
    let here = seen(&term);
    let stopped = BlockRef { number: here.finalized.number + UNFINAL_BLOCKS_MAX + 1, ..here.seen };
    let cursor = |seen| {
        let cursor = ChainCursor { chain_id: 31_337, seen, finalized: here.finalized, caught_up: Vec::new() };
        vec![Body::ChainCursor(cursor)]
    };
    term.observations.append(cursor(stopped), Vec::new()).await.unwrap();
    assert_eq!(paused(&seen(&term)), Some(UNFINAL_BLOCKS_MAX + 1));
    let mut settlement = term.settlement(&world, vec![lane], Arc::default());
    let quiet = term.seq();
    for _ in 0..5 {
        assert_eq!(settlement.tick().await.unwrap(), 0);
    }
    assert_eq!(term.seq(), quiet);
    assert_eq!(world.chain.epoch(world.charter, sluice_chain::At::Latest).await.unwrap() + 1, term.epoch);

    term.observations.append(cursor(here.seen), Vec::new()).await.unwrap();
    assert_eq!(paused(&seen(&term)), None);
    let signed = tokio::time::timeout(support::PATIENCE, async {
        loop {
            settlement.tick().await.unwrap();
            let log = term.log_after(quiet).await;
            if log.iter().any(|entry| matches!(entry.body, Body::AttemptSigned(_))) {
                return;
            }
            world.mine(1).await;
        }
    });
    signed.await.expect("settlement goes on");
}
