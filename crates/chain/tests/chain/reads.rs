use alloy_primitives::{Address, B256};
use sluice_chain::reads::{Phase, Quorums, RoundState, institution_id};
use sluice_chain::{At, ChainError};
use sluice_core::amount::Total;
use sluice_core::command::RoundMode;

use crate::tree::Tree;
use crate::world::{World, recipients, timers};

#[tokio::test(flavor = "multi_thread")]
async fn the_constitution_is_read_as_the_log_keeps_it() {
    let world = World::new().await;
    let block = world.chain.latest().await.unwrap();
    let read = world.chain.constitution(world.charter.address, At::Block(block)).await.unwrap();

    assert_eq!((read.view.set_version, read.view.threshold), (1, 2));
    assert_eq!(read.view.log_keys, [B256::repeat_byte(7)]);
    assert_eq!(read.names, ["Registry", "Treasury", "Auditor"]);
    let ids: Vec<_> = read.view.institutions.iter().map(|i| i.id).collect();
    assert_eq!(ids, ["Registry", "Treasury", "Auditor"].map(|name| institution_id(name, 0)));
    for (at, institution) in [(0, 0), (1, 0), (2, 1), (3, 2)] {
        let signer = world.authorities[at].signer_bytes();
        assert_eq!(read.view.institution_of(&signer), Some(ids[institution]));
    }
    assert_eq!(read.quorums, Quorums { third: 2, half: 2, publish: 2, three_quarters: 3 });
    assert_eq!((read.phase, read.phase_counter, read.epoch), (Phase::Active, 0, 0));
    assert_eq!(read.timers, timers());
    assert_eq!(read.sequencers.len(), 1);
    let sequencer = &read.sequencers[0];
    assert_eq!((sequencer.id, sequencer.removed, sequencer.control), (1, false, world.control.address()));
    assert_eq!(sequencer.lanes, [world.lane.address()]);
    assert_eq!(read.log_keys[0].name, "sluice.example/log");

    let charter = world.charter.address;
    assert_eq!(world.chain.phase(charter, At::Latest).await.unwrap(), Phase::Active);
    assert_eq!(world.chain.lane_of(charter, world.lane.address(), At::Latest).await.unwrap(), Some(1));
    assert_eq!(world.chain.lane_of(charter, world.control.address(), At::Latest).await.unwrap(), None);
    assert_eq!(world.chain.control_of(charter, world.control.address(), At::Latest).await.unwrap(), Some(1));
    assert!(world.chain.is_registered(charter, world.distributor).await.unwrap());
    assert!(!world.chain.is_registered(charter, world.token).await.unwrap());
}

#[test]
fn institutions_of_one_name_are_told_apart() {
    assert_ne!(institution_id("Registry", 0), institution_id("Registry", 1));
    assert_ne!(institution_id("Registry", 0), institution_id("Treasury", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn terms_rounds_and_bitmaps_are_read() {
    let world = World::new().await;
    let chain = &world.chain;
    let told = chain.distributor_terms(world.distributor).await.unwrap();
    assert_eq!((told.token, told.charter, told.decimals), (world.token, world.charter.address, 6));
    assert_eq!(
        (told.exit_only, told.grace, told.opening_delay, told.transfer_gas),
        (false, 11_000, 1, 100_000)
    );
    assert_eq!(told.refund, world.operator.account.address());

    assert_eq!(chain.round(world.distributor, 1, At::Latest).await.unwrap(), None);
    let before = chain.latest().await.unwrap();
    let tree = Tree::new(&recipients(9));
    let terms = world.open_round(&tree, RoundMode::Push).await;
    assert_eq!(chain.round(world.distributor, 1, At::Block(before)).await.unwrap(), None, "reads are pinned");

    let round = chain.round(world.distributor, 1, At::Latest).await.unwrap().unwrap();
    assert_eq!((round.state, round.root, round.depth), (RoundState::Open, terms.root, terms.depth));
    assert_eq!((round.count, round.total, round.remaining), (9, Total(45_000), Total(45_000)));
    assert_eq!((round.voided, round.mode), (Total::ZERO, RoundMode::Push));
    assert_eq!((round.opens_at, round.closes_at), (terms.opens_at, terms.closes_at));
    assert_eq!((round.rules_hash, round.list_hash), (terms.rules_hash, terms.list_hash));
    assert!(round.opened_at.unwrap() > round.published_at);
    assert_eq!(chain.closing(world.distributor, 1, At::Latest).await.unwrap(), terms.closes_at);
    assert_eq!(chain.round_count(world.distributor, At::Latest).await.unwrap(), 1);
    assert_eq!(chain.next_batch(world.distributor, At::Latest).await.unwrap(), 1);
    let paid = chain.paid_words(world.distributor, 1, 0..40, At::Latest).await.unwrap();
    assert_eq!(paid, [[0; 4]; 40]);
    assert_eq!(chain.token_symbol(world.token).await.unwrap(), "RLF");

    let nobody = Address::repeat_byte(0x55);
    let error = chain.distributor_terms(nobody).await.unwrap_err();
    assert!(matches!(error, ChainError::NoCode(at) if at == nobody), "{error}");
}
